"""Recordings cut into windows, and two recordings mixed into one."""

import json

import numpy as np
import pytest
from event_cases import batches as some
from event_cases import check_sound, recording, rows, same, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import datasets
from snnkit.datasets import Events
from snnkit.datasets.transforms import (
    Crop,
    CutMix,
    Drop,
    EventMix,
    ScaleTime,
    SliceCount,
    SliceNumber,
    SliceTime,
    end_to_end,
    one_hot,
)
from snnkit.errors import UserError

SLICERS = [
    SliceTime(7e-3),
    SliceTime(7e-3, stride=3e-3),
    SliceTime(5e-6, incomplete=False),
    SliceCount(5),
    SliceCount(5, stride=2),
    SliceCount(4, stride=9),
    SliceCount(5, incomplete=False),
    SliceNumber(4),
    SliceNumber(3, overlap=0.5),
    SliceNumber(3, by_count=True),
    SliceNumber(5, overlap=0.3, by_count=True),
]
WHOLE = [
    s for s in SLICERS if s in (SliceTime(7e-3), SliceCount(5), SliceNumber(4), SliceNumber(3, by_count=True))
]


def ticking(n, every=1000, start=0) -> Events:
    """Event k at start + k · every microseconds, at pixel (k % 5, 0)."""
    k = np.arange(n)
    return Events(start + k * every, k % 5, 0 * k, k % 2, sensor=(2, 4, 5))


@given(packed=some(), slicer=st.sampled_from(SLICERS))
@settings(deadline=None, max_examples=150)
def test_pieces_are_windows_of_their_recordings(packed, slicer):
    if isinstance(slicer, SliceTime) and slicer.window < 1e-3 and packed.t.size and np.ptp(packed.t) > 10_000:
        return  # half a million windows: slow, and nothing new
    before = snapshot(packed)
    pieces, owners = slicer(packed)
    check_sound(pieces)
    assert len(pieces) == len(owners) and (np.diff(owners) >= 0).all()
    assert all(np.array_equal(a, b) for a, b in zip(before, snapshot(packed), strict=True))
    windows = slicer.windows(packed)
    for k, owner in enumerate(owners.tolist()):
        a, b = int(windows.starts[k]), int(windows.stops[k])
        assert packed.offsets[owner] <= a <= b <= packed.offsets[owner + 1]
        np.testing.assert_array_equal(pieces[k].t + windows.begins[k], packed.t[a:b])
        assert not b > a or (pieces[k].t[0] >= 0 and packed.t[b - 1] < windows.ends[k])


@given(packed=some(), slicer=st.sampled_from(WHOLE))
@settings(deadline=None, max_examples=100)
def test_without_overlap_every_event_is_in_one_piece(packed, slicer):
    pieces, owners = slicer(packed)
    for i in range(len(packed)):
        parts = [pieces[int(k)] for k in np.flatnonzero(owners == i)]
        assert sum(len(p) for p in parts) == len(packed[i])
        if parts:
            np.testing.assert_array_equal(np.concatenate([p.x for p in parts]), packed[i].x)


def test_windows_of_time_are_half_open():
    pieces = SliceTime(3e-3)(ticking(8, start=11_000_000))
    assert [p.t.tolist() for p in pieces] == [[0, 1000, 2000], [0, 1000, 2000], [0, 1000]]
    assert [len(p) for p in SliceTime(3e-3, incomplete=False)(ticking(8))] == [3, 3]
    assert [p.x.tolist() for p in SliceTime(3e-3, stride=2e-3)(ticking(7))] == [
        [0, 1, 2],
        [2, 3, 4],
        [4, 0, 1],
        [1],
    ]
    late = SliceTime(3e-3, start=1e-3, rebase=False)(ticking(6))
    assert [p.t.tolist() for p in late] == [[1000, 2000, 3000], [4000, 5000]]


def test_silent_windows_are_kept():
    events = Events([0, 9000], [0, 1], [0, 0], [0, 1], sensor=(2, 4, 5))
    assert [len(p) for p in SliceTime(2e-3)(events)] == [1, 0, 0, 0, 1]


def test_windows_of_events():
    assert [p.x.tolist() for p in SliceCount(3)(ticking(7))] == [[0, 1, 2], [3, 4, 0], [1]]
    assert [len(p) for p in SliceCount(3, incomplete=False)(ticking(7))] == [3, 3]
    assert [len(p) for p in SliceCount(4, stride=2)(ticking(10))] == [4, 4, 4, 4], "no piece of a piece"
    assert [len(p) for p in SliceCount(4, stride=2)(ticking(11))] == [4, 4, 4, 4, 3]
    assert [len(p) for p in SliceCount(20)(ticking(7))] == [7]
    assert SliceCount(20, incomplete=False)(ticking(7)) == []


def test_a_number_of_windows_shares_time_or_events():
    events = ticking(12)
    assert [len(p) for p in SliceNumber(4)(events)] == [3, 3, 3, 3]
    uneven = Events([0, 1, 2, 3, 100], *(np.zeros(5, int),) * 3, sensor=(2, 4, 5))
    assert [len(p) for p in SliceNumber(2)(uneven)] == [4, 1]
    assert [len(p) for p in SliceNumber(2, by_count=True)(uneven)] == [2, 3]
    halves = SliceNumber(3, overlap=0.5).windows(end_to_end([events]))
    lengths = halves.ends - halves.begins
    assert abs(lengths - 11_001 / 2).max() <= 1 and abs(np.diff(halves.begins) - 11_001 / 4).max() <= 1
    assert [len(p) for p in SliceNumber(9)(ticking(1))].count(1) == 1, "one event is in one window"


def test_a_dataset_is_cut_with_its_labels():
    ds = datasets.load("digits").subset([3, 5, 8])
    pieces = SliceNumber(4)(ds)
    assert len(pieces) == 12 and pieces.events == ds.events and pieces.classes == ds.classes
    assert pieces.labels.tolist() == np.repeat(ds.labels, 4).tolist()
    assert same(pieces[5][0], SliceNumber(4)(ds[1][0])[1])


def test_a_dataset_with_a_transform_is_changed_before_it_is_cut():
    recordings = end_to_end([ticking(10), ticking(6)])
    ds = datasets.EventDataset(
        "two",
        recordings,
        np.array([0, 1]),
        ("a", "b"),
        about={"speaker": np.array(["x", "y"])},
        transform=ScaleTime(2.0),
    )
    pieces = SliceTime(10e-3)(ds)
    assert [len(p) for p, _ in pieces] == [5, 5, 5, 1] and pieces.labels.tolist() == [0, 0, 1, 1]
    assert pieces.column("speaker").tolist() == ["x", "x", "y", "y"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SliceTime(0.0), "1 us"),
        (lambda: SliceTime("5ms"), "seconds"),
        (lambda: SliceCount(0), "count"),
        (lambda: SliceNumber(2, overlap=1.0), "overlap"),
        (lambda: SliceTime(1e-6)(Events([0, 10**9], [0, 0], [0, 0], [0, 0], sensor=(2, 2, 2))), "windows"),
        (lambda: SliceTime(1e-3)("file.raw"), "got str"),
        (
            lambda: SliceTime(1e-3)(Events([5, 4], [0, 0], [0, 0], [0, 0], sensor=(2, 2, 2))),
            "event 1 is earlier",
        ),
    ],
)
def test_wrong_windows_say_what_was_expected(make, words):
    with pytest.raises(UserError, match=words):
        make()


# -- mixtures --------------------------------------------------------------------------------------------------------

MIXES = [CutMix(), CutMix(alpha=0.2), EventMix(), EventMix(gaussians=1, widths=(0.2, 0.2))]


@given(packed=some(), mix=st.sampled_from(MIXES), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=100)
def test_mixtures_are_sound_seeded_and_share_out_the_label(packed, mix, seed):
    targets, before = one_hot(np.arange(len(packed)) % 3, 3), snapshot(packed)
    mixed, soft = mix(packed, targets, seed)
    again, soft_again = mix(packed, targets, np.random.default_rng(seed))
    assert same(mixed, again) and np.array_equal(soft, soft_again)
    assert all(np.array_equal(a, b) for a, b in zip(before, snapshot(packed), strict=True))
    check_sound(mixed)
    assert len(mixed) == len(packed) and soft.shape == targets.shape
    assert (soft >= 0).all() and np.allclose(soft.sum(1), 1, atol=1e-6)
    events = set().union(*(rows(packed[i]) for i in range(len(packed))))
    assert set(rows(mixed)) <= events


def test_a_cut_is_a_rectangle_whose_area_is_in_the_label():
    sensor, n = (2, 20, 30), 600
    y, x = np.divmod(np.arange(n), 30)
    a, b = (Events(np.arange(n), x, y, np.full(n, p), sensor=sensor) for p in (0, 1))
    parts = []
    for seed in range(40):
        mixed, target = CutMix().pair(a, [1, 0], b, [0, 1], seed)
        from_b = mixed.p == 1
        assert len(mixed) == n, "every pixel shows one of the two"
        xs, ys = mixed.x[from_b], mixed.y[from_b]
        assert from_b.sum() == (np.ptp(xs) + 1) * (np.ptp(ys) + 1) if from_b.any() else True
        assert target[1] == pytest.approx(from_b.mean(), abs=1e-6)
        parts.append(target[1])
    assert np.std(parts) > 0.1


def test_an_event_mixture_takes_its_label_from_the_events():
    a, b = (recording(4000, seed=k, sensor=(2, 40, 40)) for k in range(2))
    known = set(rows(a))
    parts = []
    for seed in range(40):
        mixed, target = EventMix().pair(a, [1, 0], b, [0, 1], seed)
        from_a = np.mean([row in known for row in rows(mixed)])
        assert target[0] == pytest.approx(from_a, abs=0.01)
        parts.append(target[0])
    assert 0.3 < np.mean(parts) < 0.7 and np.std(parts) > 0.15, "λ is uniform for alpha = 1"


def test_a_mixture_does_not_depend_on_when_the_camera_was_switched_on():
    early, late = (end_to_end([recording(500, seed=k, start=s) for k in (0, 1)]) for s in (0, 40_000_000))
    one, two = (EventMix()(packed, one_hot([0, 1], 2), 7)[0] for packed in (early, late))
    assert np.array_equal(one.t, two.t - 40_000_000) and np.array_equal(one.x, two.x)


def test_partners_are_a_permutation():
    packed = end_to_end([Events([k], [k], [0], [0], sensor=(2, 2, 64)) for k in range(64)])
    _, soft = CutMix()(packed, one_hot(np.arange(64), 64), 5)
    assert ((soft > 0).sum(1) == 2).mean() > 0.8, "most recordings are mixed with another one"
    assert not np.array_equal(soft, CutMix()(packed, one_hot(np.arange(64), 64), 6)[1])


def test_soft_labels_train():
    import torch

    ds = datasets.load("digits").subset(slice(16))
    packed, soft = EventMix()(ds.packed.gather(ds.ids), one_hot(ds.labels, 10), 0)
    x = packed.tensor(dt=0.1, steps=3).dense().sum(0).flatten(1)
    weight = torch.zeros(x.shape[1], 10, requires_grad=True)
    torch.nn.functional.cross_entropy(x @ weight, torch.from_numpy(soft)).backward()
    assert weight.grad is not None and weight.grad.abs().sum() > 0


def test_parameters_of_slicers_and_mixtures():
    texts = [json.dumps(value.parameters(), sort_keys=True) for value in (*SLICERS, *MIXES)]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CutMix(alpha=0), "alpha"),
        (lambda: EventMix(widths=(0.5, 0.1)), "widths"),
        (lambda: one_hot([0, 3], 3), "0..2"),
        (lambda: CutMix()(end_to_end([ticking(3)]), [1], 0), "one_hot"),
        (lambda: CutMix().pair(ticking(3), [1, 0], Crop(9, 9)(ticking(3)), [0, 1], 0), "one sensor"),
        (lambda: EventMix()(end_to_end([ticking(3)]), one_hot([0, 1], 2), 0), "shape"),
    ],
)
def test_wrong_mixtures_say_what_was_expected(make, words):
    with pytest.raises(UserError, match=words):
        make()


def test_pieces_of_what_was_changed_before():
    events = recording(300)
    pieces = SliceTime(20e-3)(Drop(0.5)(events, 0))
    assert sum(len(p) for p in pieces) == len(Drop(0.5)(events, 0))
