"""What each change of place or time does to known events."""

import numpy as np
import pytest
from event_cases import batches as some
from event_cases import recording, rows, same
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.datasets import Events
from snnkit.datasets.transforms import (
    Compose,
    Crop,
    CropTime,
    Decimate,
    Downsample,
    DownsampleTime,
    Drop,
    DropArea,
    DropPixels,
    DropSomePixels,
    DropTime,
    FlipLeftRight,
    FlipPolarity,
    FlipUpDown,
    Jitter,
    MergePolarity,
    Noise,
    OneOf,
    RandomCrop,
    RandomCropTime,
    RandomRotate,
    Refractory,
    ReverseTime,
    Rotate,
    ScaleTime,
    SpaceJitter,
    StartAtZero,
    Stretch,
    end_to_end,
)
from snnkit.errors import UserError

# -- place -----------------------------------------------------------------------------------------------------------


def at(*places, sensor=(2, 4, 6)) -> Events:
    """Events at these (x, y), one per millisecond, ON and OFF by turns."""
    x, y = zip(*places, strict=True)
    return Events(1000 * np.arange(len(x)), x, y, np.arange(len(x)) % 2, sensor=sensor)


def places(events):
    return list(zip(events.x.tolist(), events.y.tolist(), strict=True))


def test_crop_in_the_middle_at_a_corner_and_beyond():
    events = at((0, 0), (2, 1), (3, 2), (5, 3))
    assert places(Crop(2, 2)(events)) == [(0, 0), (1, 1)]
    assert places(Crop(2, 2, x=4, y=2)(events)) == [(1, 1)]
    wide = Crop(8, 6)(events)
    assert places(wide) == [(1, 1), (3, 2), (4, 3), (6, 4)] and wide.sensor == (2, 6, 8)
    assert wide.t.tolist() == [0, 1000, 2000, 3000]


def test_random_crops_reach_every_corner():
    events = at(*[(x, y) for y in range(4) for x in range(6)])
    crops = {tuple(rows(RandomCrop(5, 3)(events, seed))) for seed in range(60)}
    assert len(crops) == 4 and all(len(c) == 15 for c in crops)


def test_flips_and_merge():
    events = at((0, 0), (2, 1))
    assert places(FlipLeftRight()(events)) == [(5, 0), (3, 1)]
    assert places(FlipUpDown()(events)) == [(0, 3), (2, 2)]
    assert FlipPolarity()(events).p.tolist() == [1, 0]
    merged = MergePolarity()(events)
    assert merged.p.tolist() == [0, 0] and merged.sensor == (1, 4, 6)


def test_flips_by_chance_take_whole_recordings():
    packed = end_to_end([recording(20, seed=k) for k in range(400)])
    flipped = FlipLeftRight(0.25)(packed, 1)
    changed = [not same(flipped[i], packed[i]) for i in range(400)]
    assert all(same(flipped[i], FlipLeftRight()(packed[i])) for i in range(400) if changed[i])
    assert abs(sum(changed) - 100) < 4 * (400 * 0.25 * 0.75) ** 0.5


def test_quarter_turns_are_exact():
    events = at((0, 0), (5, 0), (5, 3))
    turned = Rotate(90)(events)
    assert turned.sensor == (2, 6, 4) and places(turned) == [
        (3, 0),
        (3, 5),
        (0, 5),
    ]  # the top left goes to the right
    assert same(Rotate(180)(events), FlipLeftRight()(FlipUpDown()(events)))
    assert same(Rotate(-90)(events), Rotate(270)(events)) and same(Rotate(360)(events), events)
    assert same(Rotate(90)(Rotate(270)(events)), events)


def test_small_angles_turn_about_the_middle():
    sensor = (2, 9, 9)
    events = at((4, 4), (8, 4), (4, 0), sensor=sensor)
    assert places(Rotate(45)(events)) == [(4, 4), (7, 7), (7, 1)]
    assert same(RandomRotate(0)(events, 0), events)


@given(packed=some(polarities=(2,)), factor=st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_downsampling_pools_counts(packed, factor):
    _, height, width = packed.sensor
    pooled = Downsample(factor)(packed)
    for i in range(len(packed)):
        image = np.zeros((-(-height // factor) * factor, -(-width // factor) * factor), int)
        np.add.at(image, (packed[i].y, packed[i].x), 1)
        want = image.reshape(image.shape[0] // factor, factor, -1, factor).sum((1, 3))
        got = np.zeros_like(want)
        np.add.at(got, (pooled[i].y, pooled[i].x), 1)
        np.testing.assert_array_equal(got, want)


def test_downsampling_with_a_refractory_time_is_silent_after_an_event():
    events = recording(5000)
    pooled = Downsample(4, refractory=10e-3)(events)
    assert same(pooled, Refractory(10e-3)(Downsample(4)(events))) and len(pooled) < 400
    for pixel in {(0, 0), (3, 2)}:
        times = pooled.t[(pooled.x == pixel[0]) & (pooled.y == pixel[1])]
        assert len(times) > 3 and np.diff(times).min() >= 10_000


def test_space_jitter_has_its_spread():
    n = 20_000
    middle = np.full(n, 50)
    events = Events(np.arange(n), middle, middle, np.zeros(n, int), sensor=(2, 101, 101))
    moved = SpaceJitter(3.0)(events, 0)
    spread = np.sqrt(9 + 1 / 12)  # rounding adds a twelfth
    assert len(moved) == n and abs(moved.x.std() - spread) < 0.1 and abs(moved.y.mean() - 50) < 0.1
    assert abs(np.corrcoef(moved.x, moved.y)[0, 1]) < 0.04


def test_a_dropped_area_is_a_rectangle_of_its_share():
    events = at(*[(x, y) for y in range(20) for x in range(30)], sensor=(2, 20, 30))
    kept = DropArea(0.25)(events, 3)
    gone = sorted(set(places(events)) - set(places(kept)))
    xs, ys = {x for x, _ in gone}, {y for _, y in gone}
    assert len(gone) == 15 * 10 == len(xs) * len(ys) and max(xs) - min(xs) == 14 and max(ys) - min(ys) == 9
    assert len(DropArea(1.0)(events, 0)) == 0 and len(DropArea(0.0)(events, 0)) == 600


def test_some_pixels_are_silenced_for_the_whole_recording():
    events = recording(5000, sensor=(2, 10, 10))
    kept = DropSomePixels(0.3)(events, 0)
    pixels = set(places(kept))
    assert len(pixels) == 70 and len(kept) == sum(place in pixels for place in places(events))


def test_decimation_keeps_every_nth_event_of_a_pixel_and_polarity():
    events = Events([0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 0, 0], [0] * 6, [1, 0, 1, 1, 0, 1], sensor=(2, 1, 2))
    assert Decimate(2)(events).t.tolist() == [2, 4]
    assert same(Decimate(1)(events), events)
    parts = end_to_end([events, events])
    assert [len(Decimate(2)(parts)[i]) for i in range(2)] == [2, 2]


def test_one_of_several_changes_each_recording():
    packed = end_to_end([recording(30, seed=k) for k in range(300)])
    changed = OneOf(FlipLeftRight(), FlipUpDown(), Compose())(packed, 0)
    found = [
        [same(changed[i], change(packed[i])) for change in (FlipLeftRight(), FlipUpDown(), Compose())]
        for i in range(300)
    ]
    assert all(sum(row) == 1 for row in found)
    assert all(abs(sum(column) - 100) < 4 * (300 * 2 / 9) ** 0.5 for column in zip(*found, strict=True))
    with pytest.raises(UserError, match="choose from"):
        OneOf()


def test_known_pixels_are_silenced():
    events = at((0, 0), (2, 1), (2, 1), (5, 3))
    assert places(DropPixels([(2, 1)])(events)) == [(0, 0), (5, 3)]


# -- time ------------------------------------------------------------------------------------------------------------


def test_start_at_zero_and_crop():
    events = recording(100, start=11_718_656)
    zero = StartAtZero()(events)
    assert zero.t[0] == 0 and np.array_equal(np.diff(zero.t), np.diff(events.t))
    part = CropTime(0.02, 0.05)(zero)
    inside = (zero.t >= 20_000) & (zero.t < 50_000)
    assert np.array_equal(part.t, zero.t[inside] - 20_000) and np.array_equal(part.x, zero.x[inside])
    assert np.array_equal(CropTime(0.02, 0.05, rebase=False)(zero).t, zero.t[inside])


def test_random_crops_of_time_lie_within_the_recording():
    events = recording(2000, start=5_000_000)
    starts = set()
    for seed in range(30):
        part = RandomCropTime(30e-3)(events, seed)
        found = np.flatnonzero(events.x[: len(events) - len(part) + 1] == part.x[0])
        first = next(i for i in found if np.array_equal(events.x[i : i + len(part)], part.x))
        starts.add(int(first))
        assert 450 < len(part) < 750 and part.t[0] >= 0 and part.t[-1] < 30_000
    assert len(starts) > 20
    assert same(RandomCropTime(1.0)(events, 0), StartAtZero()(events)), "a short one stays whole"


def test_jitter_has_its_spread_and_sorts():
    events = recording(20_000, start=1_000_000)
    moved = Jitter(1e-3)(events, 0)
    assert abs(moved.t.std() - np.hypot(events.t.std(), 1000)) < 20 and (np.diff(moved.t) >= 0).all()
    assert sorted(zip(moved.x.tolist(), moved.y.tolist(), strict=True)) == sorted(places(events))


@given(packed=some())
@settings(deadline=None, max_examples=60)
def test_reversing_twice_is_nothing(packed):
    back = ReverseTime(flip_polarity=packed.sensor[0] == 2)
    assert same(back(back(packed)), packed)
    for i in range(len(packed)):
        one, two = packed[i], back(packed)[i]
        if len(one):
            assert (two.t[0], two.t[-1]) == (one.t[0], one.t[-1])
            np.testing.assert_array_equal(two.t, one.t[0] + one.t[-1] - one.t[::-1])
            np.testing.assert_array_equal(two.x, one.x[::-1])


def test_scaling_and_a_coarser_clock():
    events = Events([0, 999, 1000, 1500], [1, 1, 2, 2], [0, 0, 0, 0], [1, 1, 0, 0], sensor=(2, 4, 6))
    assert ScaleTime(2.5)(events).t.tolist() == [0, 2498, 2500, 3750]  # 2497.5 goes to the even number
    assert DownsampleTime(1e-3)(events).t.tolist() == [0, 0, 1000, 1000]
    assert rows(DownsampleTime(1e-3, merge=True)(events)) == [(0, 1, 0, 1), (1000, 2, 0, 0)]


def test_stretch_scales_each_recording_by_one_factor():
    packed = end_to_end([recording(50, seed=k, start=1000) for k in range(200)])
    played = Stretch(0.3)(packed, 0)
    factors = np.array([played[i].t[-1] / packed[i].t[-1] for i in range(200)])
    assert factors.min() > 0.699 and factors.max() < 1.301 and factors.std() > 0.1
    np.testing.assert_allclose(played[7].t, packed[7].t * factors[7], atol=1.0)


def test_a_dropped_stretch_of_time_is_one_gap_of_its_length():
    events = Events(np.arange(0, 100_000, 10), *(np.zeros(10_000, int),) * 3, sensor=(2, 4, 6))
    kept = DropTime(0.3)(events, 2)
    gap = np.diff(kept.t).max()
    assert abs(gap - 30_000) <= 10 and len(kept) == pytest.approx(7000, abs=2)


def test_drop_leaves_its_share():
    n = 40_000
    kept = len(Drop(0.3)(recording(n), 0))
    assert abs(kept - 0.7 * n) < 4 * (0.21 * n) ** 0.5


def test_noise_comes_at_its_rate_and_leaves_the_signal():
    events = recording(500, sensor=(2, 64, 64), span=2_000_000)
    noisy = Noise(5.0)(events, 0)
    expected = 5.0 * 64 * 64 * 2
    assert abs(len(noisy) - 500 - expected) < 4 * expected**0.5
    assert set(rows(events)) <= set(rows(noisy)) and abs(noisy.p.mean() - 0.5) < 0.02
    assert noisy.t[0] >= events.t[0] and noisy.t[-1] == events.t[-1]
    with pytest.raises(UserError, match="rate"):
        Noise(-1.0)
