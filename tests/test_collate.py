"""Collation against its naive twin: the same tensor, bit for bit, and no index outside an array."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.binning import bins_of, flat_index
from snnkit.datasets.batches import batches, collate
from snnkit.datasets.dataset import EventDataset
from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.recordings import Events, Packed, _edges, end_to_end, steps_for


def naive(packed, dt, steps=None, binary=False):
    """Sort all keys ((step · B + recording) · cells + cell), then count equal ones."""
    longest = float(packed.durations().max(initial=0.0))
    steps = steps_for(longest, dt) if steps is None else steps
    cells, shape = math.prod(packed.sensor), (steps, len(packed), *packed.sensor)
    step = bins_of(packed.t, 1e-6, dt)
    cell = flat_index((packed.x, packed.y, packed.p), packed.sensor, len(packed.t))
    key = np.sort(((step * len(packed) + packed.owners()) * cells + cell)[step < steps])
    first = np.flatnonzero(np.diff(key, prepend=-1))
    counts, (rows, cell) = np.diff(first, append=len(key)), np.divmod(key[first], cells)
    rowptr = torch.from_numpy(np.searchsorted(rows, np.arange(steps * len(packed) + 1)))
    plain = binary or counts.max(initial=1) == 1
    values = None if plain else torch.from_numpy(counts.astype(np.float32))
    return EventTensor(rowptr, torch.from_numpy(cell.astype(np.int32)), values, shape=shape, dt=dt)


def same(a, b):
    assert a.shape == b.shape and a.dt == b.dt
    for name in ("rowptr", "indices", "values"):
        one, two = getattr(a, name), getattr(b, name)
        assert (one is None) == (two is None), name
        assert one is None or (one.dtype == two.dtype and torch.equal(one, two)), name


def random_packed(rng, sizes, sensor, span):
    parts = []
    for n in sizes:
        place = [rng.integers(0, limit, n) for limit in reversed(sensor)]
        parts.append(Events(np.sort(rng.integers(0, span, n)), *place, sensor=sensor))
    return end_to_end(parts)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=5),
    sensor=st.sampled_from([(1, 1, 1), (2, 1, 64), (2, 34, 34), (1, 1, 700), (2, 70, 130)]),
    dt=st.sampled_from([1e-6, 1e-4, 1e-3, 7.3e-4, 1 / 300, 1 / 30, 2.5e-6]),
    late=st.booleans(),
    binary=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_kernel_equals_its_naive_twin(sizes, sensor, dt, late, binary, seed):
    rng = np.random.default_rng(seed)
    span = max(int(dt * 1e6 * 12), 3)
    packed = random_packed(rng, sizes, sensor, span)
    if packed.durations().max() <= dt:
        return  # refused: dt as long as the recordings
    steps = 7 if late else None
    twin = naive(packed, dt, steps, binary)
    same(packed.tensor(dt=dt, steps=steps, binary=binary), twin)
    assert torch.equal(packed.frames(dt=dt, steps=steps, binary=binary), twin.dense())


def test_many_events_in_one_cell_and_a_large_sensor():
    n = 5000
    crowd = Events(np.arange(n), np.full(n, 639), np.full(n, 479), np.ones(n, int), sensor=(2, 480, 640))
    same(crowd.tensor(dt=1e-3), naive(end_to_end([crowd]), 1e-3))
    assert crowd.tensor(dt=1e-3).values.tolist() == [1000.0] * 5


@pytest.mark.parametrize("dt", [1e-6, 1e-3, 1 / 3, 1 / 300, 7.3e-4, 1e-3 + 1e-12, 2.0, 333.3])
def test_edges_are_where_the_steps_begin(dt):
    edges = _edges(dt, 50)
    k = np.arange(51)
    assert (bins_of(edges, 1e-6, dt) >= k).all() and edges[0] == 0
    assert (bins_of(edges[1:] - 1, 1e-6, dt) < k[1:]).all()


def test_whatever_was_in_the_memory_is_overwritten(monkeypatch):
    monkeypatch.setattr("snnkit.kernels.lease.empty", lambda shape, dtype: torch.full(shape, 7, dtype=dtype))
    packed = random_packed(np.random.default_rng(0), [40, 0, 90], (2, 5, 6), 30_000)
    twin = naive(packed, 1e-3, 40)
    same(packed.tensor(dt=1e-3, steps=40), twin)
    assert torch.equal(packed.frames(dt=1e-3, steps=40), twin.dense())


def test_parts_and_orders_are_slices_of_the_whole():
    packed = random_packed(np.random.default_rng(0), [40, 0, 90, 10], (2, 5, 6), 30_000)
    for ids in ([2, 0], [1], [3, 3, 1], []):
        part = packed.tensor(dt=1e-3, steps=30, ids=ids)
        same(part, naive(packed.gather(ids), 1e-3, 30))


def test_recordings_out_of_order_are_sorted_first():
    rng = np.random.default_rng(1)
    packed = random_packed(rng, [50, 60], (2, 5, 6), 30_000)
    shuffled = np.concatenate([rng.permutation(50), 50 + rng.permutation(60)])
    columns = {c: getattr(packed, c)[shuffled] for c in ("t", "x", "y", "p")}
    mixed = Packed(**columns, offsets=packed.offsets, sensor=packed.sensor)
    same(mixed.tensor(dt=1e-3, steps=30), packed.tensor(dt=1e-3, steps=30))
    assert torch.equal(mixed.frames(dt=1e-3, steps=30), packed.frames(dt=1e-3, steps=30))


def test_the_input_is_left_alone_and_may_be_strided():
    packed = random_packed(np.random.default_rng(2), [50, 60], (2, 5, 6), 30_000)
    table = np.zeros((110, 2), np.int16)
    table[:, 0] = packed.x
    strided = Packed(packed.t, table[:, 0], packed.y, packed.p, packed.offsets, packed.sensor)
    before = packed.t.copy()
    same(strided.tensor(dt=1e-3), packed.tensor(dt=1e-3))
    assert np.array_equal(packed.t, before) and packed.t.flags.writeable


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"t": [0, -4, 9]}, "recording 1, event 0 is before time 0"),
        ({"x": [0, 3, 9]}, r"recording 1, event 1: x=9 is not in 0..3"),
        ({"y": [0, -1, 0]}, r"recording 1, event 0: y=-1 is not in 0..2"),
        ({"p": [2, 1, 1]}, r"recording 0, event 0: p=2 is not in 0..1"),
        ({"offsets": [0, 1, 4]}, "outside the columns"),
        ({"offsets": [0, 2, 1]}, "outside the columns"),
        ({"offsets": [-1, 1, 3]}, "outside the columns"),
    ],
)
def test_events_that_have_no_cell_are_named(change, words):
    columns = {"t": [0, 4, 9], "x": [0, 1, 2], "y": [0, 0, 0], "p": [1, 0, 1], "offsets": [0, 1, 3]} | change
    types = {"t": np.int64, "x": np.int16, "y": np.int16, "p": np.uint8, "offsets": np.int64}
    packed = Packed(**{n: np.array(columns[n], t) for n, t in types.items()}, sensor=(2, 3, 4))
    with pytest.raises(UserError, match=words):
        packed.tensor(dt=2e-6, steps=5)
    with pytest.raises(UserError, match=words):
        packed.frames(dt=2e-6, steps=5)


# -- batches and DataLoader --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ds():
    packed = random_packed(np.random.default_rng(3), [30, 60, 0, 20, 80, 10, 40], (2, 5, 6), 30_000)
    return EventDataset("toy", packed, np.array([0, 1, 0, 1, 2, 2, 0]), ("a", "b", "c"))


@pytest.mark.parametrize("prefetch", [1, 2, 9])
def test_batches_made_ahead_are_the_same(ds, prefetch):
    options = {"dt": 1e-3, "steps": 30, "batch_size": 2, "shuffle": True, "seed": 4}
    plain, ahead = batches(ds, **options), batches(ds, **options, prefetch=prefetch)
    for _ in range(2):
        for (events, labels), (mine, my_labels) in zip(plain, ahead, strict=True):
            same(mine, events)
            assert torch.equal(labels, my_labels)
    for _ in ahead:
        break  # a pass that is given up ends its thread


def test_an_error_while_batches_are_made_ahead_is_raised(ds):
    def fails(packed, rng):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        list(batches(ds, dt=1e-3, steps=30, augment=fails, prefetch=1))


def test_dense_batches_hold_the_same(ds):
    grid = {"dt": 1e-3, "steps": 30, "batch_size": 3}
    for (events, _), (dense, _) in zip(batches(ds, **grid), batches(ds, **grid, dense=True), strict=True):
        assert torch.equal(events.dense(), dense) and dense.dtype == torch.float32


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_loader_gives_the_batches_that_batches_gives(ds, workers):
    grid = {"dt": 1e-3, "steps": 30}
    loader = torch.utils.data.DataLoader(ds, batch_size=3, num_workers=workers, collate_fn=collate(**grid))
    ours = list(batches(ds, batch_size=3, **grid))
    for (events, labels), (mine, my_labels) in zip(loader, ours, strict=True):
        same(events, mine)
        assert torch.equal(labels, my_labels) and labels.dtype == torch.int64


def test_collate_takes_samples_one_by_one_too(ds):
    whole, labels = collate(dt=1e-3, steps=30)(ds)
    pieces, same_labels = collate(dt=1e-3, steps=30)([ds[i] for i in range(len(ds))])
    same(whole, pieces)
    assert torch.equal(labels, same_labels)
    binary, _ = collate(dt=1e-2, binary=True)(ds)
    assert binary.values is None and binary.shape[0] == 3


def test_samples_for_a_batch_are_a_view(ds):
    part = ds.__getitems__([4, 1])
    assert part.packed is ds.packed and part.labels.tolist() == [2, 1]


def test_a_transform_is_applied_in_batches_too(ds):
    from dataclasses import replace

    def flipped(events):
        return Events(events.t, 5 - events.x, events.y, events.p, sensor=events.sensor)

    seen = replace(ds, transform=flipped)
    (events, _), (plain, _) = (next(iter(batches(d, dt=1e-3, steps=30))) for d in (seen, ds))
    assert torch.equal(events.dense(), plain.dense().flip(-1))
    with pytest.raises(UserError, match="give steps="):
        batches(seen, dt=1e-3)


def test_what_cannot_be_collated_is_refused(ds):
    small = Events([1], [0], [0], [0], sensor=(2, 2, 2))
    with pytest.raises(UserError, match="need one sensor"):
        collate(dt=1e-3, steps=3)([ds[0], (small, 1)])
    with pytest.raises(UserError, match="got ndarray"):
        collate(dt=1e-3, steps=3)([(np.zeros(3), 1)])
    with pytest.raises(UserError, match="at least one"):
        collate(dt=1e-3, steps=3)([])
    with pytest.raises(UserError, match="positive"):
        collate(dt=0)
    with pytest.raises(UserError, match="prefetch >= 0"):
        batches(ds, dt=1e-3, prefetch=-1)
