"""Real camera pixels: closed forms of each effect, a naive twin in fine steps, videos in pieces, readout."""

import hashlib
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.encoders.camera import pixel_events, record_packed
from snnkit.encoders.camera_pixel import DVS, clean, esim, ideal, noisy
from snnkit.encoders.camera_readout import Readout
from snnkit.encoders.video import adaptive, record_video, watch
from snnkit.errors import UserError
from snnkit.recordings import Events

DIGITS_EVENTS = 147975
DIGITS_DIGEST = "9354f39754dbf4a581f80e844a80ee41dddd99f6725d442120bdca8a393970c0"  # of the first 100
still = {"random_phase": False}


def film(greys, pixels=1):
    """One row of `pixels` equal pixels, grey levels 0..255 over time."""
    return np.repeat(np.asarray(greys, dtype=np.float64)[:, None, None] / 255, pixels, axis=2)


def test_the_built_in_digits_do_not_change_by_one_event():
    from sklearn.datasets import load_digits

    from snnkit.datasets.digits import CAMERA, PAD, SIZE, enlarge

    images = (load_digits().images[:100] / 16).astype(np.float32)
    packed = record_packed(enlarge(images, SIZE), camera=CAMERA, pad=PAD, seed=0)
    h = hashlib.sha256()
    for column in (packed.t, packed.x, packed.y, packed.p, packed.offsets):
        h.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
    assert len(packed.t) == DIGITS_EVENTS and h.hexdigest() == DIGITS_DIGEST


# -- the ideal pixel ---------------------------------------------------------------------------------------------------


def test_a_step_gives_the_whole_thresholds_in_it():
    events = record_video(np.array([50, 200], np.uint8).reshape(2, 1, 1), [0, 0.01], dvs=ideal(0.2, **still))
    np.testing.assert_array_equal(events.t, np.floor(np.arange(1, 7) * 0.2 / np.log(4) * 1e4))
    assert events.p.all() and events.sensor == (2, 1, 1)


def test_without_imperfections_the_pixels_are_those_of_the_ideal_camera():
    levels = np.exp(4.2 + np.sin(np.cumsum(np.random.default_rng(0).normal(0, 0.4, (40, 5)), axis=0)))
    times = np.arange(40) * 1e-3
    events = record_video(levels[:, None] / 255, times, dvs=ideal(0.15, **still))
    _, t, pixel, polarity = pixel_events(zip(times, np.log(levels)[:, None], strict=True), on=0.15, off=0.15)
    order = np.lexsort((polarity, pixel, t))
    assert len(t) > 100
    np.testing.assert_array_equal(events.x, pixel[order])
    np.testing.assert_array_equal(events.p, polarity[order])
    np.testing.assert_allclose(events.t, t[order], atol=1)


def test_no_motion_and_no_noise_is_no_event():
    scene = np.random.default_rng(0).random((1, 7, 9)).repeat(20, 0)
    assert len(record_video(scene, rate=100.0, dvs=clean())) == 0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=3, max_size=12), st.integers(1, 9))
def test_brighter_and_darker_mirror_each_other(levels, threshold):
    """I → 1/I, about the middle of the scale, swaps the polarities and nothing else."""
    threshold = 0.04 + threshold / 89
    levels = 3.1 + np.array(levels) * 0.0737 + 0.00317 * np.arange(len(levels))  # none lies on a threshold
    mirrored = 8.6 - levels  # stays above the knee, ln 20
    a, b = (
        record_video(film(np.exp(x)), rate=1000.0, dvs=ideal(threshold, **still)) for x in (levels, mirrored)
    )
    np.testing.assert_allclose(a.t, b.t, atol=1)
    np.testing.assert_array_equal(a.p, 1 - b.p)


def test_a_closed_loop_balances():
    loop = np.exp(4 + np.sin(np.linspace(0, 2 * np.pi, 200)))
    events = record_video(film(loop, 30), rate=1000.0, dvs=ideal(0.17))
    for x in range(30):
        mine = events.p[events.x == x]
        assert abs(2 * int(mine.sum()) - len(mine)) <= 1 and len(mine) > 10


def test_the_lin_log_response_is_v2es():
    from snnkit.kernels.encoders.camera import responses

    out = np.empty(4)
    responses(np.array([10.0, 20.0, 20.0 + 1e-9, 100.0]), 1.0, 0.0, out)
    np.testing.assert_allclose(out, [10 * np.log(20) / 20, 2.995732, 2.995732, np.log(100)], atol=1e-6)
    responses(np.array([0.0, 255.0, 0.0, 0.0]), 0.0, 1e-3, out)
    np.testing.assert_allclose(out[:2], [np.log(1e-3), np.log(1.001)])
    # below the knee contrast is linear in intensity: 5 → 10 grey levels is 5 · 0.1498
    assert len(record_video(film([5, 10]), rate=10.0, dvs=ideal(0.2, **still))) == int(0.749 / 0.2)


# -- imperfections, each alone -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [20.0, 120.0, 255.0])
def test_a_step_reaches_1_minus_1_over_e_after_one_time_constant(value):
    """A step of many thresholds: the share of events before τ = 1/(2π f_c i) is 1 - 1/e."""
    dvs = ideal(1e-2, cutoff=100.0, response="log", eps=1e-9, **still)
    low = value * np.exp(-2.0)
    events = record_video(film([low, value, value]), [0, 1e-6, 1.0], dvs=dvs)
    tau = 1 / (2 * np.pi * 100.0 * (value + 20) / 275)
    assert len(events) in (199, 200)
    assert abs(np.mean(events.t * 1e-6 <= tau) - (1 - np.exp(-1))) < 0.01


def test_the_leak_gives_on_events_at_its_rate():
    dvs = ideal(0.2, leak=2.0, leak_jitter=0.1, noise_spread=0.1)
    scene = np.full((1001, 8, 8), 0.5)
    events = record_video(scene, np.linspace(0, 20, 1001), dvs=dvs, seed=1)
    assert events.p.all()
    later = np.bincount(events.y[events.t >= 1e7] * 8 + events.x[events.t >= 1e7], minlength=64)
    rates = dvs.pixels(64, 1)[:, 2]
    assert np.abs(later - rates * 10).max() < 1.5  # counts of ten seconds
    assert abs(np.log10(rates / 2).std() - 0.1) < 0.04
    assert len(np.unique(events.t)) > 0.9 * len(events)  # pixels do not leak in step


@pytest.mark.parametrize("value", [0, 128, 255])
def test_shot_noise_falls_to_a_quarter_in_white(value):
    rate, pixels, seconds = 5.0, 400, 10.0
    events = record_video(film([value, value], pixels), [0, seconds], dvs=ideal(0.2, shot=rate))
    expected = rate * (1 - 0.75 * (value + 20) / 275) * pixels * seconds
    assert abs(len(events) - expected) < 4 * np.sqrt(expected)
    assert abs(events.p.sum() - expected / 2) < 4 * np.sqrt(expected / 2)
    counts = np.bincount(events.x, minlength=pixels)
    assert abs(counts.var() / counts.mean() - 1) < 0.35  # Poisson


def test_noise_goes_inversely_with_the_pixels_threshold():
    dvs = DVS(threshold_on=0.2, threshold_off=0.4, mismatch=0, leak=0, cutoff=0, shot=5, refractory=0)
    dvs = replace(dvs, mismatch=0.1)
    pixels = dvs.pixels(400, 0)
    events = record_video(film([0, 0], 400), [0, 20], dvs=dvs)
    on = np.bincount(events.x[events.p == 1], minlength=400)
    low, high = np.argsort(pixels[:, 0])[:100], np.argsort(pixels[:, 0])[-100:]
    expected = (1 / pixels[low, 0]).mean() / (1 / pixels[high, 0]).mean()
    assert abs(on[low].mean() / on[high].mean() / expected - 1) < 0.2


@pytest.mark.parametrize("wish", [1.0, 10.0])
def test_photoreceptor_noise_comes_near_the_rate_it_is_scaled_for(wish):
    dvs = ideal(0.2, shot=wish, photoreceptor=True, cutoff=50.0, **still)
    ratio = dvs.threshold_on / dvs.noise_voltage()
    x = np.log10(wish / 100)
    assert np.isclose(np.log10(ratio), -0.0026 * x**3 - 0.036 * x**2 - 0.1949 * x + 0.321)
    events = record_video(film([255, 255], 60), [0, 10], dvs=dvs)
    assert 0.25 * wish < len(events) / 600 < 1.5 * wish


@given(st.floats(1e-3, 30e-3), st.booleans())
@settings(max_examples=20, deadline=None)
def test_no_two_events_of_a_pixel_are_closer_than_the_refractory_time(refractory, forgets):
    levels = np.exp(4 + np.sin(np.linspace(0, 12, 60)))
    dvs = ideal(0.05, refractory=refractory, refractory_forgets=forgets, shot=5.0)
    events = record_video(film(levels, 4), rate=100.0, dvs=dvs)
    assert len(events) > 20
    for x in range(4):
        assert np.diff(events.t[events.x == x]).min() >= refractory * 1e6 - 1


def test_what_the_refractory_time_swallows_comes_later_or_never():
    """v2e's memory stays where the last event left it; ESIM's goes on."""
    step = film([30, 200, 200])
    dvs = ideal(0.2, refractory=10e-3, **still)
    late = record_video(step, [0, 1e-3, 1.0], dvs=dvs)
    lost = record_video(step, [0, 1e-3, 1.0], dvs=replace(dvs, refractory_forgets=True))
    assert len(late) == int(np.log(200 / 30) / 0.2) and len(lost) == 1
    np.testing.assert_array_equal(np.diff(late.t), 10_000)


def test_hot_pixels_are_a_fixed_share_and_fire_at_their_rates():
    dvs = ideal(0.2, hot=0.1, hot_rate=(20.0, 200.0))
    events = record_video(np.full((2, 20, 20), 0.5), [0, 5], dvs=dvs, seed=3)
    rates = dvs.pixels(400, 3)[:, 3]
    counts = np.bincount(events.y.astype(int) * 20 + events.x, minlength=400)
    assert 20 <= (rates > 0).sum() <= 65 and events.p.all()
    assert (counts[rates == 0] == 0).all()
    assert (np.abs(counts - rates * 5) <= 5 * np.sqrt(rates * 5) + 1).all()


def test_mismatch_is_a_fixed_pattern_or_jitter():
    def counts(dvs):
        loop = np.exp(4 + np.sin(np.arange(0, 401) * np.pi / 40))
        events = record_video(film(loop, 300), rate=1000.0, dvs=dvs)
        return np.bincount(events.x, minlength=300)

    fixed, jitter = counts(clean(mismatch=0.05)), counts(esim(threshold=0.2, mismatch=0.05, eps=1e-9))
    assert fixed.std() > 2.5 * jitter.std() > 0
    pattern = clean(mismatch=0.05).pixels(20_000, 0)[:, :2]
    assert abs(pattern.std() - 0.05) < 0.002 and DVS(mismatch=5.0).pixels(500, 0)[:, :2].min() == 0.01


# -- all together, against a naive twin in fine steps ------------------------------------------------------------------


def naive_pixel(levels, times, dvs, dt=2e-6):
    """v2e's rules, one small Euler step after another, for a pixel without random parts."""
    span = np.arange(times[0], times[-1], dt)
    L = np.interp(span + dt, times, np.log(levels))
    k = np.clip(np.searchsorted(times, span + dt / 2) - 1, 0, len(times) - 2)
    light = (levels[k] + levels[k + 1]) / 2
    lp, memory, last, found = np.log(levels[0]), np.log(levels[0]), -np.inf, []
    for t, level, i in zip(span + dt, L, light, strict=True):
        lp += (level - lp) * dt * 2 * np.pi * dvs.cutoff * (i + 20) / 275
        memory -= dt * dvs.leak * dvs.threshold_on
        sign = 1 if lp - memory >= dvs.threshold_on else -1 if memory - lp >= dvs.threshold_off else 0
        if sign and t - last >= dvs.refractory:
            memory += dvs.threshold_on if sign > 0 else -dvs.threshold_off
            found.append((t, sign > 0))
            last = t
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_pixel_agrees_with_its_naive_twin(seed):
    rng = np.random.default_rng(seed)
    levels = np.exp(np.clip(4.3 + np.cumsum(rng.normal(0, 0.4, 12)), 3.1, 5.5))
    times = np.cumsum(rng.uniform(2e-3, 8e-3, 12))
    dvs = ideal(0.11, threshold_off=0.13, cutoff=150.0, leak=5.0, refractory=1.3e-3, **still)
    events, expected = record_video(film(levels), times, dvs=dvs), naive_pixel(levels, times, dvs)
    assert len(expected) > 10
    np.testing.assert_array_equal(events.p, [p for _, p in expected])
    np.testing.assert_allclose(events.t * 1e-6, [t for t, _ in expected], atol=1.5e-4)


# -- videos ------------------------------------------------------------------------------------------------------------


def same(a, b):
    return all(np.array_equal(getattr(a, c), getattr(b, c)) for c in "txyp")


@pytest.mark.parametrize("cut", [1, 7, 19])
def test_a_video_in_pieces_is_the_whole(cut):
    video = np.random.default_rng(0).random((20, 6, 5)).astype(np.float32)
    dvs = noisy(hot=0.1, leak=5.0, mismatch_per="frame", random_phase=True)
    whole = record_video(video, rate=50.0, dvs=dvs, seed=4)
    head, state = watch(video[:cut], rate=50.0, dvs=dvs, seed=4)
    tail, _ = watch(video[cut:], state=state, rate=50.0, dvs=dvs)
    joined = [np.concatenate([getattr(head, c), getattr(tail, c)]) for c in "txyp"]
    assert len(whole) > 50 and same(whole, Events(*joined, sensor=whole.sensor))
    again, _ = watch(video[cut:], state=state, rate=50.0, dvs=dvs)
    assert same(tail, again)  # the state is a value: nothing was changed in it


def test_equal_seeds_are_equal_and_others_differ():
    video = np.random.default_rng(0).random((5, 6, 5))
    assert same(DVS()(video, rate=30, seed=1), DVS()(video, rate=30, seed=1))
    assert not same(DVS()(video, rate=30, seed=1), DVS()(video, rate=30, seed=2))


def test_larger_thresholds_give_fewer_events():
    video = np.random.default_rng(0).random((10, 8, 8))
    counts = [len(record_video(video, rate=100, dvs=ideal(th))) for th in (0.1, 0.2, 0.4, 0.8)]
    assert counts == sorted(counts, reverse=True) and counts[-1] > 0


def bar(t, speed=400.0):
    """A smooth bar that starts to move at 50 ms, pixels per second."""
    x = 5 + max(t - 0.05, 0.0) * speed
    return np.tile(0.2 + 0.7 * np.exp(-(((np.arange(64) - x) / 2) ** 2)), (2, 1))


def test_adaptive_frames_are_dense_where_the_scene_moves():
    frames = list(adaptive(bar, 0.15, threshold=0.2, share=0.5, longest=5e-3))
    times = np.array([t for t, _ in frames])
    assert times[0] == 0 and times[-1] == 0.15 and (np.diff(times) > 0).all()
    early, late = np.diff(times[times < 0.05]).mean(), np.diff(times[times > 0.06]).mean()
    assert early > 4e-3 and late < 1e-3
    change = [np.abs(np.log(b + 1e-3) - np.log(a + 1e-3)).max() for (_, a), (_, b) in pairwise(frames)]
    assert np.quantile(change[25:], 0.9) < 0.2
    fine = record_video(((t, bar(t)) for t in np.arange(0, 0.15, 1e-4)), dvs=ideal(0.2, response="log"))
    coarse = record_video(iter(frames), dvs=ideal(0.2, response="log"))
    assert abs(len(coarse) / len(fine) - 1) < 0.05 and len(fine) > 100


def test_bytes_and_floats_are_the_same_light():
    video = np.random.default_rng(0).integers(0, 256, (6, 4, 4), dtype=np.uint8)
    assert same(DVS()(video, rate=30), DVS()(video / 255.0, rate=30))


@pytest.mark.parametrize(
    ("frames", "options", "words"),
    [
        (np.full((2, 3, 3), 80.0), {"rate": 30}, "frames / 255"),
        (np.full((2, 3, 3), np.nan), {"rate": 30}, "light in"),
        (np.zeros((2, 3, 3, 3)), {"rate": 30}, "T, H, W"),
        (np.zeros((2, 3, 3)), {}, "one of the two"),
        (np.zeros((2, 3, 3)), {"times": [0.1, 0.1]}, "increase"),
        (np.zeros((2, 3, 3)), {"times": [0.1]}, "one time"),
        (iter([]), {}, "at least one frame"),
        (iter([(0, np.zeros((2, 2))), (1, np.zeros((2, 3)))]), {}, "one size"),
    ],
)
def test_bad_videos_are_refused(frames, options, words):
    with pytest.raises(UserError, match=words):
        record_video(frames, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold_on": 0.0}, "threshold_on > 0"),
        ({"refractory": 5.0}, "0.5e-3"),
        ({"leak": -1.0}, "leak from 0"),
        ({"response": "linear"}, "response is one of"),
        ({"photoreceptor": True, "cutoff": 0.0, "shot": 1.0}, "photoreceptor=False"),
        ({"hot_rate": (5.0, 1.0)}, "lowest"),
    ],
)
def test_bad_cameras_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        DVS(**options)


def test_presets_are_v2es_table():
    assert asdict(noisy())["shot"] == 5 and noisy().cutoff == 30 and noisy().leak == 0.1
    assert DVS().refractory == 0.5e-3 and DVS().mismatch == 0.03 and clean().mismatch == 0.02
    assert esim().mismatch_per == "frame" and esim().response == "log" and esim().threshold_off == 0.5


# -- readout -----------------------------------------------------------------------------------------------------------


def test_the_bus_delays_and_drops():
    n = 50
    burst = Events(np.zeros(n, int), np.arange(n), np.arange(n) % 2, np.ones(n, int), sensor=(2, 4, 64))
    free = Readout(rate=1e9)(burst)
    assert len(free) == n and (free.t == 0).all()
    slow = Readout(rate=1e5, patience=100e-6)(burst)
    np.testing.assert_array_equal(slow.t, np.arange(11) * 10)  # one per 10 us until 100 us of waiting
    rows = Readout(rate=1e5, row=5e-6, patience=1.0)(burst)
    np.testing.assert_array_equal(np.diff(rows.t), 15)  # every event changes the row
    assert (np.diff(rows.t) >= 0).all() and len(rows) == n
    with pytest.raises(UserError, match="events per second"):
        Readout(rate=0)
