"""Changes to recordings: what each does to known events, and what none may ever do."""

import json
from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest
from event_cases import batches as some
from event_cases import check_sound, recording, same, snapshot
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
    end_to_end,
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
    batch = change(end_to_end(parts))
    for i, part in enumerate(parts):
        assert same(batch[i], change(part)) and batch.sensor == change(part).sensor


@pytest.mark.parametrize("change", [c for c in CHANGES if c.random], ids=repr)
def test_chance_needs_a_seed_and_differs_with_it(change):
    events = recording(300, sensor=(2, 12, 16))
    with pytest.raises(UserError, match="rng"):
        change(events)
    assert any(not same(change(events, 0), change(events, seed)) for seed in range(1, 5))


def test_recordings_in_the_middle_of_their_columns():
    parts = end_to_end([recording(50, seed=k) for k in range(3)])
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
    damaged = end_to_end([recording(10)])
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
        (lambda: end_to_end([recording(1), recording(1, sensor=(2, 5, 5))]), "one sensor"),
    ],
)
def test_wrong_parameters_say_what_was_expected(make, words):
    with pytest.raises(UserError, match=words):
        make()


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
