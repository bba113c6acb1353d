"""The event camera: closed-form event counts, symmetry, repeatability, and a digit that looks like N-MNIST's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.encoders.camera import Camera, Saccades, pixel_events, record, record_packed


def watch(intensities, times=None, **options):
    """Events of pixels that see these intensities, an array (frames, pixels)."""
    log = np.log(np.asarray(intensities, dtype=np.float64))[:, None, :]
    times = np.arange(len(log)) * 1e-3 if times is None else times
    return pixel_events(zip(times, log, strict=True), **({"on": 0.2, "off": 0.2} | options))


def naive_pixel(levels, times, on, off, reference):
    """One pixel, one event at a time: the definition."""
    found = []
    for (t0, before), (t1, after) in zip(
        zip(times, levels, strict=True), zip(times[1:], levels[1:], strict=False), strict=False
    ):
        while after - reference >= on or reference - after >= off:
            sign = 1 if after > reference else -1
            reference += on if sign > 0 else -off
            t = t0 + (reference - before) / (after - before) * (t1 - t0)
            found.append((int(t * 1e6 + 1e-6), int(sign > 0)))
    return found


def strokes(n=12, count=3, seed=0):
    rng = np.random.default_rng(seed)
    images = np.zeros((count, n, n))
    for image in images:
        row, column = rng.integers(2, n - 4, 2)
        image[row : row + 2, 2:-2] = rng.uniform(0.5, 1)
        image[2:-2, column : column + 2] = rng.uniform(0.5, 1)
    return images


def test_a_step_gives_the_whole_thresholds_in_it():
    _, t, _, polarity = watch([[50.0], [200.0]])
    assert len(t) == int(np.log(4) / 0.2) == 6 and polarity.all()
    np.testing.assert_array_equal(t, np.floor(np.arange(1, 7) * 0.2 / np.log(4) * 1000))  # a straight line


def test_a_static_scene_is_silent():
    assert len(watch(np.full((50, 9), 3.0))[1]) == 0
    packed = record_packed(strokes(), path=Saccades(legs=((0.0, 0.0),), start=(0.3, 0.2)))
    assert len(packed.t) == 0 and len(packed) == 3


def test_the_rest_of_a_step_stays_in_the_reference():
    """1.5 thresholds up give one event; half a threshold more gives the second."""
    _, t, _, _ = watch(np.exp([[0.0], [0.3], [0.41]]))
    assert len(t) == 2 and t[0] < 1000 <= t[1]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(-30, 30), min_size=2, max_size=8),
    st.integers(1, 50),
    st.integers(1, 50),
    st.integers(-9, 9),
)
def test_pixels_follow_the_definition(levels, on, off, phase):
    """Levels, thresholds and phase are of different primes, so that no level lies on a threshold up to rounding."""
    levels, on, off, phase = [v * 0.0737 for v in levels], 0.05 + on / 83, 0.05 + off / 89, phase / 9.7
    times = np.arange(len(levels)) * 1e-3
    log = np.asarray(levels)[:, None, None]
    _, t, _, polarity = pixel_events(zip(times, log, strict=True), on=on, off=off, phase=phase)
    expected = naive_pixel(levels, times, on, off, levels[0] - phase * (on if phase > 0 else off))
    assert polarity.tolist() == [p for _, p in expected]
    assert np.abs(t - np.array([t for t, _ in expected], dtype=int)).max(initial=0) <= 1


def test_brighter_and_darker_mirror_each_other():
    """Under I → 1/I every ON becomes an OFF at the same time, if both thresholds are alike."""
    walk = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.15, (40, 5)), axis=0))
    _, t, pixel, polarity = watch(walk)
    mirrored = watch(1 / walk)
    assert len(t) > 20
    order, other = (np.lexsort((p, t_)) for t_, p in ((t, pixel), (mirrored[1], mirrored[2])))
    np.testing.assert_allclose(t[order], mirrored[1][other], atol=1)
    np.testing.assert_array_equal(polarity[order], 1 - mirrored[3][other])


def test_the_path_is_n_mnists_triangle_and_returns():
    path = Saccades()
    corners = path.positions([0.0, 0.105, 0.210, 0.315])
    np.testing.assert_allclose(corners, [(-3.5, -3.5), (0, 3.5), (3.5, -3.5), (-3.5, -3.5)], atol=1e-12)
    first, second = path.positions(np.linspace(0, 0.105, 9)), path.positions(np.linspace(0.105, 0.21, 9))
    np.testing.assert_allclose(first[:, 1], -second[:, 1], atol=1e-12)  # legs 1 and 2 mirror in y
    np.testing.assert_allclose(path.scaled(0.5).positions(0.1), path.positions(0.1) / 2)


def test_the_events_follow_the_image_and_return():
    """A dot's events are where the path puts it."""
    dot = np.zeros((1, 28, 28))
    dot[0, 13:15, 13:15] = 1
    events = record(dot, camera=Camera(threshold=0.05, mismatch=0))[0]
    assert events.sensor == (2, 36, 36)
    for time in (0.04, 0.15, 0.25):
        near = events.between(time - 0.004, time + 0.004)
        x, y = Saccades().positions(time)[0] + 17.5
        assert abs(near.x.mean() - x) < 0.6 and abs(near.y.mean() - y) < 0.6


def test_on_and_off_balance():
    """The image returns to where it began, so each pixel's ON and OFF differ by at most one."""
    packed = record_packed(strokes(), camera=Camera(mismatch=0.0))
    signed = np.zeros((3, 16, 16))
    np.add.at(signed, (packed.owners(), packed.y, packed.x), 2 * packed.p.astype(int) - 1)
    assert np.abs(signed).max() <= 1
    assert 0.48 < packed.p.mean() < 0.54


def test_recordings_are_sorted_and_inside():
    packed = record_packed(strokes())
    for events in (packed[i] for i in range(3)):
        assert len(events) > 100
        order = np.lexsort((events.x, events.y, events.t))
        np.testing.assert_array_equal(order, np.arange(len(events)))
        assert events.t[0] >= 0 and events.t[-1] <= 315_000
        assert events.x.max() < 16 and events.y.max() < 16 and events.p.max() == 1


def same(a, b):
    return all(np.array_equal(getattr(a, c), getattr(b, c)) for c in "txyp")


def test_equal_seeds_are_equal_whatever_the_batch():
    images = strokes(count=5)
    first = record(images, seed=3)
    backwards = record(images[::-1], seed=3)[::-1]
    alone = [record(image, seed=3)[0] for image in images]
    assert all(same(a, b) and same(a, c) for a, b, c in zip(first, backwards, alone, strict=True))
    assert not same(first[0], record(images, seed=4)[0])
    twice = record(np.stack([images[0], images[0]]), seed=3, keys=[0, 1])
    assert not same(*twice)  # other keys: another recording of the same image


def test_a_batch_larger_than_a_chunk_is_no_different():
    images = strokes(count=70)
    assert same(record(images)[66], record(images[66])[0])


def test_a_larger_threshold_gives_fewer_events():
    counts = [len(record(strokes(), camera=Camera(threshold=th))[0]) for th in (0.15, 0.25, 0.35, 0.6)]
    assert counts == sorted(counts, reverse=True) and counts[-1] > 0


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.full((1, 8, 8), 255.0), "images / 255"),
        (np.full((1, 8, 8), np.nan), "expected grey values in"),
        (np.zeros((2, 1, 8, 8)), r"expected images of shape"),
    ],
)
def test_bad_images_are_refused(images, words):
    with pytest.raises(ValueError, match=words):
        record(images)


def test_bad_cameras_are_refused():
    with pytest.raises(ValueError, match="threshold > 0"):
        Camera(threshold=0)
    with pytest.raises(ValueError, match="ln 0"):
        Camera(background=0.0)
    with pytest.raises(ValueError, match="in seconds"):
        Camera(frame=1.0)
    with pytest.raises(ValueError, match="one key per image"):
        record(strokes(), keys=[1])
