"""Changes to recordings: what each does to known events, and what none may ever do."""

import json
from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest
from event_cases import batches as some
from event_cases import check_sound, recording, rows, same, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import datasets
from snnkit.datasets import Events, transforms
from snnkit.datasets.transformed import transformed
from snnkit.datasets.transforms import (
    BackgroundActivity,
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
    Frames,
    HotPixels,
    Jitter,
    MergePolarity,
    Noise,
    OneOf,
    OrderN,
    RandomCrop,
    RandomCropTime,
    RandomRotate,
    Refractory,
    ReverseTime,
    Rotate,
    ScaleTime,
    Shift,
    ShotNoisePairs,
    SliceTime,
    SpaceJitter,
    SpatioTemporalCorrelation,
    StartAtZero,
    Stretch,
    pack,
)
from snnkit.errors import UserError

CHANGES = [
    Crop(5, 3),
    Crop(20, 20),
    Crop(4, 4, x=2, y=-1),
    RandomCrop(1, 1),
    Shift(2),
    FlipLeftRight(),
    FlipUpDown(0.5),
    MergePolarity(),
    Rotate(90),
    Rotate(33),
    RandomRotate(180),
    SpaceJitter(1.5),
    Downsample(2),
    Downsample(3, refractory=5e-3),
    DropArea(0.3),
    DropPixels(((0, 0),)),
    DropSomePixels(0.5),
    Decimate(2),
    OneOf(Drop(0.5), FlipUpDown(), Compose()),
    StartAtZero(),
    CropTime(0.01, 0.1),
    CropTime(11.0, None, rebase=False),
    RandomCropTime(0.05),
    Jitter(2e-3),
    Stretch(0.5),
    ScaleTime(0.3),
    ReverseTime(),
    ReverseTime(flip_polarity=False),
    DownsampleTime(1e-3),
    DownsampleTime(1e-3, merge=True),
    Drop(0.4),
    DropTime(0.4),
    Noise(3.0),
    HotPixels(sigmas=1.0),
    HotPixels(sigmas=None, rate=10.0, top=2, calibration=0.05),
    Refractory(1e-3),
    Refractory(1e-3, retriggerable=True),
    BackgroundActivity(),
    SpatioTemporalCorrelation(k=3, same_polarity=True),
    OrderN(),
    ShotNoisePairs(),
    Compose(Shift(1), Drop(0.1), Jitter(1e-3)),
]


@given(packed=some(), change=st.sampled_from(CHANGES), seed=st.integers(0, 99))
@settings(max_examples=400, deadline=None)
def test_every_change_keeps_recordings_sound_and_its_input_as_it_was(packed, change, seed):
    before = snapshot(packed)
    for column in (packed.t, packed.x, packed.y, packed.p, packed.offsets):
        column.setflags(write=False)
    one, two = change(packed, np.random.default_rng(seed)), change(packed, seed)
    assert all(np.array_equal(a, b) for a, b in zip(before, snapshot(packed), strict=True))
    assert same(one, two), "same seed, same result"
    assert len(one) == len(packed)
    check_sound(one)


@pytest.mark.parametrize("change", [c for c in CHANGES if not c.random], ids=repr)
def test_a_batch_is_changed_as_its_recordings_are(change):
    parts = [recording(n, seed=1, start=11_000_000) for n in (200, 0, 1, 90)]
    batch = change(pack(parts))
    for i, part in enumerate(parts):
        assert same(batch[i], change(part)) and batch.sensor == change(part).sensor


@pytest.mark.parametrize("change", [c for c in CHANGES if c.random], ids=repr)
def test_chance_needs_a_seed_and_differs_with_it(change):
    events = recording(300, sensor=(2, 12, 16))
    with pytest.raises(UserError, match="rng"):
        change(events)
    assert any(not same(change(events, 0), change(events, seed)) for seed in range(1, 5))


def test_recordings_in_the_middle_of_their_columns():
    parts = pack([recording(50, seed=k) for k in range(3)])
    view = datasets.Packed(parts.t, parts.x, parts.y, parts.p, parts.offsets[1:], parts.sensor)
    for change in (ReverseTime(), BackgroundActivity(), FlipLeftRight()):
        changed = change(view)
        assert len(changed) == 2 and same(changed[1], change(parts[2]))


# -- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES, ids=repr)
def test_changes_are_values(change):
    again = json.loads(json.dumps(change.parameters()))
    assert again == change.parameters() and type(change).__name__ in again["change"]
    name = next(iter(change.__dataclass_fields__), None)
    if name:
        with pytest.raises(FrozenInstanceError):
            setattr(change, name, 1)


def test_parameters_tell_changes_apart():
    texts = [json.dumps(change.parameters(), sort_keys=True) for change in CHANGES]
    assert len(set(texts)) == len(CHANGES)
    assert Drop(0.5).parameters() == {"change": "transforms.timing.Drop", "version": 1, "probability": 0.5}


def test_the_parameters_of_a_function_are_not_known():
    with pytest.raises(UserError, match="frozen dataclass"):
        Compose(Drop(0.1), lambda packed, rng: packed).parameters()


def test_ones_own_change_has_its_name_in_the_parameters():
    @dataclass(frozen=True)
    class Twice(transforms.Transform):
        gain: np.float32

        def apply(self, packed, rng):
            return packed

    assert (
        "Twice" in Twice(np.float32(2)).parameters()["change"]
        and Twice(np.float32(2)).parameters()["gain"] == 2
    )


def test_compose_runs_in_order_and_flattens():
    events = recording(200)
    change = transforms.compose([Crop(8, 8), (FlipLeftRight(), Frames(SliceTime(10e-3)))])
    want = Frames(SliceTime(10e-3))(FlipLeftRight()(Crop(8, 8)(events)))
    np.testing.assert_array_equal(change(events), want)
    assert same(transforms.compose(None)(events), events)
    assert not change.random and Compose(change, Drop(0.1)).random
    assert Compose(change, Drop(0.1)).parameters() == Compose((*change.changes, Drop(0.1))).parameters()
    with pytest.raises(UserError, match="'Drop'"):
        Compose("Drop")


def test_changes_serve_as_augmentation_and_as_transform():
    ds = datasets.load("digits").subset(slice(8))
    changes = (FlipLeftRight(), Drop(0.5), BackgroundActivity())
    once, again = (
        [events.dense() for events, _ in datasets.batches(ds, dt=0.1, seed=3, augment=changes)]
        for _ in range(2)
    )
    assert all(bool((a == b).all()) for a, b in zip(once, again, strict=True))
    assert once[0].sum() < sum(e.dense().sum() for e, _ in datasets.batches(ds, dt=0.1))


def test_wrong_recordings_are_refused():
    outside = Events([1, 2], [0, 16], [0, 0], [0, 0], sensor=(2, 12, 16))
    for change in (BackgroundActivity(), HotPixels(), DropPixels(((0, 0),)), Frames(SliceTime(1e-3))):
        with pytest.raises(UserError, match=r"event 1: x=16"):
            change(outside)
    with pytest.raises(UserError, match="y=-1"):
        Refractory(1e-3)(Events([1], [0], [-1], [0], sensor=(2, 12, 16)))
    with pytest.raises(UserError, match="got list"):
        Drop(0.1)([1, 2], 0)
    damaged = pack([recording(10)])
    damaged = datasets.Packed(
        damaged.t, damaged.x, damaged.y, damaged.p, np.array([0, 3, 40]), damaged.sensor
    )
    with pytest.raises(UserError, match="damaged"):
        transforms.base.columns(damaged)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BackgroundActivity(tau=1e-9), "1 us"),
        (lambda: BackgroundActivity(tau=-1), "seconds"),
        (lambda: BackgroundActivity(tau="10ms"), "10e-3"),
        (lambda: BackgroundActivity(neighbours=5), "4 or 8"),
        (lambda: SpatioTemporalCorrelation(k=0), "k"),
        (lambda: HotPixels(sigmas=None), "sigmas"),
        (lambda: Drop(1.5), "probability"),
        (lambda: Crop(0, 5), "width"),
        (lambda: Crop(5, 2**16), "height"),
        (lambda: Downsample(1.5), "factor"),
        (lambda: Rotate(float("nan")), "degrees"),
        (lambda: ScaleTime(-1.0), "ReverseTime"),
        (lambda: CropTime(2.0, 1.0), "start <= stop"),
        (lambda: RandomCrop(20, 20)(recording(3), 0), "does not fit"),
        (lambda: FlipPolarity()(MergePolarity()(recording(3))), "polarities"),
        (lambda: DropPixels(((16, 0),))(recording(3)), "not on a sensor"),
        (lambda: ScaleTime(1e30)(recording(3)), "longer"),
        (lambda: pack([recording(1), recording(1, sensor=(2, 5, 5))]), "one sensor"),
    ],
)
def test_wrong_parameters_say_what_was_expected(make, words):
    with pytest.raises(UserError, match=words):
        make()


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
    packed = pack([recording(20, seed=k) for k in range(400)])
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
    parts = pack([events, events])
    assert [len(Decimate(2)(parts)[i]) for i in range(2)] == [2, 2]


def test_one_of_several_changes_each_recording():
    packed = pack([recording(30, seed=k) for k in range(300)])
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
    packed = pack([recording(50, seed=k, start=1000) for k in range(200)])
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


# -- hostile recordings ----------------------------------------------------------------------------------------------

FAR = 2**62


@pytest.mark.parametrize("change", [c for c in CHANGES if not isinstance(c, Noise)], ids=repr)
@pytest.mark.parametrize("times", [[0, FAR], [-FAR, FAR - 1], [5, 3, 4, 0], [FAR] * 4], ids=repr)
def test_absurd_times_do_no_harm(change, times):
    n = len(times)
    events = Events(times, [1] * n, [1] * n, [0] * n, sensor=(2, 12, 16))
    try:
        changed = change(events, 0)
    except UserError:
        return
    assert (
        len(changed) <= n and changed.x.min(initial=0) >= 0 and changed.x.max(initial=0) < changed.sensor[2]
    )


def test_more_noise_than_memory_is_refused():
    with pytest.raises(UserError, match="lower rate"):
        Noise(1.0)(Events([0, FAR], [1, 1], [1, 1], [0, 0], sensor=(2, 12, 16)), 0)


def test_a_stored_dataset_takes_a_transform(tmp_path, monkeypatch):
    plain = datasets.load("digits", "test")
    monkeypatch.setenv("SNNKIT_CACHE", str(tmp_path))
    changes = (Crop(8, 8), BackgroundActivity(5e-3))
    changed = transformed(plain, changes)
    assert changed.shape == (2, 8, 8) and same(changed[3][0], Compose(*changes)(plain[3][0]))
    drawn = [transformed(plain, Drop(0.5), seed=k)[3][0] for k in (0, 0, 1)]
    assert same(drawn[0], drawn[1]) and not same(drawn[0], drawn[2])
