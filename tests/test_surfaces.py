"""Dense forms of recordings: what they conserve, their naive twins, and known values."""

import json
import math

import numpy as np
import pytest
from event_cases import batches as some
from event_cases import poisson, recording, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.datasets import Events
from snnkit.datasets.transforms import (
    HATS,
    HOTS,
    SITS,
    TORE,
    BinaRep,
    Frames,
    LastTimes,
    ScaleTime,
    SliceCount,
    SliceNumber,
    SliceTime,
    TimeSurface,
    ToTensor,
    VoxelGrid,
    end_to_end,
)
from snnkit.errors import UserError

# -- naive twins ------------------------------------------------------------------------------------------------------


def naive_voxels(events, bins, split=False):
    out = np.zeros((bins, events.sensor[0] if split else 1, *events.sensor[1:]))
    seen = rows(events)
    for t, x, y, p in seen:
        span = seen[-1][0] - seen[0][0]
        star = (bins - 1) * (t - seen[0][0]) / span if span else 0.0
        for b in range(bins):
            out[b, p if split else 0, y, x] += (1 if split or p else -1) * max(0.0, 1 - abs(b - star))
    return out


def naive_last(events, until=None):
    out = np.full(events.sensor, -np.inf)
    for t, x, y, p in rows(events):
        if until is None or t < until:
            out[p, y, x] = t
    return out


def naive_contexts(events, radius, tau):
    out = []
    for i, (t, x, y, _) in enumerate(rows(events)):
        last = naive_last(Events(*(getattr(events, c)[: i + 1] for c in "txyp"), sensor=events.sensor))
        wide = np.pad(last, ((0, 0), (radius, radius), (radius, radius)), constant_values=-np.inf)
        patch = wide[:, y : y + 2 * radius + 1, x : x + 2 * radius + 1]
        out.append(np.exp((patch - t) / (tau * 1e6)))
    return np.array(out)


def naive_hats(events, cell, radius, tau, window):
    polarities, height, width = events.sensor
    side = 2 * radius + 1
    out = np.zeros((-(-height // cell), -(-width // cell), polarities, side, side))
    counts = np.zeros(out.shape[:2])
    seen = rows(events)
    for i, (t, x, y, p) in enumerate(seen):
        place = y // cell, x // cell
        counts[place] += 1
        for s, u, v, q in seen[:i]:
            near = abs(u - x) <= radius and abs(v - y) <= radius
            if near and q == p and (v // cell, u // cell) == place and t - window * 1e6 <= s < t:
                out[(*place, p, v - y + radius, u - x + radius)] += math.exp(-(t - s) / (tau * 1e6))
    return out / np.maximum(counts, 1)[:, :, None, None, None]


def naive_sits(events, radius):
    out = np.zeros(events.sensor, int)
    for _, x, y, p in rows(events):
        own = out[p, y, x]
        for v in range(events.sensor[1]):
            for u in range(events.sensor[2]):
                inside = abs(u - x) <= radius and abs(v - y) <= radius and (u, v) != (x, y)
                if inside and out[p, v, u] >= own:
                    out[p, v, u] = max(out[p, v, u] - 1, 0)
        out[p, y, x] = (2 * radius + 1) ** 2
    return out


def naive_tore(events, k, tau, least):
    low, high = least * 1e6, tau * 1e6
    out = np.full((k, *events.sensor), high)
    seen = rows(events)
    for place in np.ndindex(*events.sensor):
        p, y, x = place
        times = [t for t, u, v, q in seen if (q, v, u) == (p, y, x)][::-1][:k]
        for j, t in enumerate(times):
            out[(j, *place)] = min(max(seen[-1][0] - t, low), high)
    return np.log(1 + out) - math.log(1 + low)


def naive_surfaces(events, tau, dt):
    t0, t_end = int(events.t[0]), int(events.t[-1])
    count = (t_end - t0) // round(dt * 1e6) + 1
    ends = [t0 + round(dt * 1e6) * (k + 1) for k in range(count)]
    return np.array([np.exp((naive_last(events, until=end) - end) / (tau * 1e6)) for end in ends])


VIEWS = [
    (VoxelGrid(5), lambda e: naive_voxels(e, 5)),
    (VoxelGrid(1), lambda e: naive_voxels(e, 1)),
    (VoxelGrid(4, split=True), lambda e: naive_voxels(e, 4, split=True)),
    (LastTimes(), lambda e: naive_last(e) * 1e-6),
    (TimeSurface(20e-3), lambda e: np.exp((naive_last(e) - e.t[-1]) / 20e3)),
    (TimeSurface(20e-3, dt=30e-3), lambda e: naive_surfaces(e, 20e-3, 30e-3)),
    (HOTS(2, 20e-3), lambda e: naive_contexts(e, 2, 20e-3)),
    (HATS(3, 1, 50e-3, 30e-3), lambda e: naive_hats(e, 3, 1, 50e-3, 30e-3)),
    (SITS(1), lambda e: naive_sits(e, 1)),
    (SITS(2), lambda e: naive_sits(e, 2)),
    (TORE(2, 0.05, 1e-3), lambda e: naive_tore(e, 2, 0.05, 1e-3)),
]


@given(packed=some(empty=False), case=st.sampled_from(VIEWS))
@settings(deadline=None, max_examples=250)
def test_views_agree_with_their_naive_twins(packed, case):
    view, naive = case
    for i in range(len(packed)):
        np.testing.assert_allclose(view(packed[i]), naive(packed[i]), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("case", VIEWS, ids=lambda case: repr(case[0]))
def test_views_agree_with_their_naive_twins_on_a_busy_sensor(case):
    view, naive = case
    events = recording(400, sensor=(2, 7, 8), start=11_000_000)
    np.testing.assert_allclose(view(events), naive(events), rtol=2e-5, atol=2e-6)


ALL = [
    *(view for view, _ in VIEWS if not isinstance(view, HOTS)),
    Frames(SliceTime(20e-3)),
    Frames(SliceCount(30)),
    BinaRep(4, frames=3),
]


@pytest.mark.parametrize("view", ALL, ids=repr)
def test_a_batch_holds_the_views_of_its_recordings(view):
    parts = [recording(n, sensor=(2, 7, 8), seed=k, start=11_000_000) for k, n in enumerate((60, 0, 1, 90))]
    batch = np.moveaxis(view(end_to_end(parts)), view.batch_axis, 0)
    for whole, part in zip(batch, parts, strict=True):
        one = view(part)
        if len(part) and view.batch_axis == 1:  # shorter ones end earlier
            np.testing.assert_array_equal(whole[: len(one)], one)
        elif len(part):
            np.testing.assert_array_equal(whole, one)
    if view.batch_axis == 1 and not isinstance(view, TimeSurface):
        assert batch[1].sum() == 0


def test_contexts_of_a_batch_are_those_of_its_events():
    parts = [recording(n, sensor=(2, 7, 8), seed=n) for n in (30, 0, 20)]
    np.testing.assert_array_equal(HOTS()(end_to_end(parts)), np.concatenate([HOTS()(part) for part in parts]))


@pytest.mark.parametrize("view", [*ALL, HOTS(), ToTensor(1e-3)], ids=repr)
def test_views_are_values_and_leave_their_input_alone(view):
    events = recording(50)
    for column in (events.t, events.x, events.y, events.p):
        column.setflags(write=False)
    first, second = view(events), view(events, np.random.default_rng(0))
    if isinstance(view, ToTensor):
        assert first.equal(second)
    else:
        np.testing.assert_array_equal(first, second)
    assert json.loads(json.dumps(view.parameters())) == view.parameters()


# -- frames ----------------------------------------------------------------------------------------------------------


@given(packed=some(), windows=st.sampled_from([SliceTime(7e-3), SliceCount(7), SliceNumber(5)]))
@settings(deadline=None, max_examples=100)
def test_frames_conserve_the_number_of_events(packed, windows):
    frames = Frames(windows)(packed)
    assert frames.shape[1:] == (len(packed), *packed.sensor) and frames.dtype == np.int16
    np.testing.assert_array_equal(frames.sum(axis=(0, 2, 3, 4)), np.diff(packed.offsets))


def test_frames_count_where_and_when():
    events = Events(
        [0, 900, 999, 1000, 2500], [1, 1, 1, 0, 2], [0, 0, 0, 1, 1], [1, 1, 0, 1, 0], sensor=(2, 2, 3)
    )
    frames = Frames(SliceTime(1e-3))(events)
    want = np.zeros((3, 2, 2, 3), int)
    want[0, 1, 0, 1], want[0, 0, 0, 1], want[1, 1, 1, 0], want[2, 0, 1, 2] = 2, 1, 1, 1
    np.testing.assert_array_equal(frames, want)
    np.testing.assert_array_equal(frames, events.frames(1e-3))
    binary = Frames(SliceTime(1e-3), limit=1)(events)
    np.testing.assert_array_equal(binary, want > 0)
    assert binary.dtype == np.uint8 and Frames(SliceCount(5), limit=255)(events).dtype == np.uint8


def test_counts_stop_at_their_limit():
    n = 40_000
    events = Events(np.arange(n), *(np.zeros(n, int),) * 3, sensor=(1, 1, 1))
    assert (
        Frames(SliceNumber(1))(events).max() == 32_767
        and Frames(SliceNumber(1), limit=255)(events).max() == 255
    )


def test_bina_rep_weighs_the_first_window_most():
    times = [0, 300, 450, 799]  # of 8 windows of 100 us: 0, 3, 4, 7
    events = Events(times, *(np.zeros(4, int),) * 3, sensor=(1, 1, 1))
    assert BinaRep(8)(events).item() == pytest.approx((128 + 16 + 8 + 1) / 255)
    np.testing.assert_allclose(BinaRep(4, frames=2)(events).ravel(), [(8 + 1) / 15, (8 + 1) / 15])
    full = Events(np.arange(800), *(np.zeros(800, int),) * 3, sensor=(1, 1, 1))
    assert BinaRep(8)(full).item() == 1
    assert BinaRep(8, frames=2)(Events([], [], [], [], sensor=(1, 2, 2))).shape == (2, 1, 2, 2)


# -- voxel grids -----------------------------------------------------------------------------------------------------


@given(packed=some(polarities=(2,)), bins=st.integers(1, 9))
@settings(deadline=None, max_examples=100)
def test_voxel_grids_conserve_the_sum_of_polarities(packed, bins):
    grid = VoxelGrid(bins)(packed)
    for i in range(len(packed)):
        signs = np.zeros(packed.sensor[1:])
        np.add.at(signs, (packed[i].y, packed[i].x), 2.0 * packed[i].p - 1)
        np.testing.assert_allclose(grid[:, i, 0].sum(axis=0), signs, atol=1e-4)
    split = VoxelGrid(bins, split=True)(packed)
    np.testing.assert_allclose(split.sum(axis=(0, 2, 3, 4)), np.diff(packed.offsets), rtol=1e-5)


def test_voxel_grid_shares_an_event_between_two_bins():
    events = Events([100, 130, 200], [0, 1, 2], [0, 0, 0], [1, 0, 1], sensor=(2, 1, 3))
    grid = VoxelGrid(3)(events)[:, 0, 0]
    np.testing.assert_allclose(grid, [[1, -0.4, 0], [0, -0.6, 0], [0, 0, 1]], atol=1e-6)
    assert VoxelGrid(5)(recording(5000)).sum() == pytest.approx(
        2 * int(recording(5000).p.sum()) - 5000, abs=1e-2
    )


def test_voxel_grid_of_events_at_one_time_lies_in_bin_0():
    events = Events([7, 7, 7], [0, 1, 1], [0, 0, 0], [1, 1, 0], sensor=(2, 1, 2))
    np.testing.assert_array_equal(VoxelGrid(4)(events)[:, 0, 0], [[1, 0], [0, 0], [0, 0], [0, 0]])


def test_normalised_voxel_grid():
    packed = end_to_end([recording(500, seed=k) for k in range(2)])
    grid, plain = VoxelGrid(5, normalise=True)(packed), VoxelGrid(5)(packed)
    for i in range(2):
        cells = grid[:, i][plain[:, i] != 0]
        assert abs(cells.mean()) < 1e-5 and abs(cells.std() - 1) < 1e-5
    assert (grid[plain == 0] == 0).all()


# -- surfaces --------------------------------------------------------------------------------------------------------


def test_the_surface_of_last_times_starts_at_minus_infinity():
    events = Events([5_000_000, 6_000_000], [0, 0], [0, 0], [1, 1], sensor=(2, 1, 2))
    np.testing.assert_array_equal(LastTimes()(events), [[[-np.inf, -np.inf]], [[6.0, -np.inf]]])


def test_time_surface_decays_from_the_last_event():
    events = Events([0, 20_000], [0, 1], [0, 0], [1, 1], sensor=(2, 1, 3))
    np.testing.assert_allclose(TimeSurface(20e-3)(events)[1, 0], [math.exp(-1), 1, 0], rtol=1e-6)
    steps = TimeSurface(20e-3, dt=10e-3)(events)
    assert steps.shape == (3, 2, 1, 3)
    np.testing.assert_allclose(steps[:, 1, 0, 0], np.exp([-0.5, -1.0, -1.5]), rtol=1e-6)
    np.testing.assert_allclose(steps[:, 1, 0, 1], [0, 0, math.exp(-0.5)], rtol=1e-6)


def test_hots_has_1_at_the_event_and_0_where_nothing_ever_came():
    events = recording(300, sensor=(2, 9, 9))
    patches = HOTS(radius=2, tau=20e-3)(events)
    assert patches.shape == (300, 2, 5, 5) and (patches >= 0).all() and patches.max() == 1
    np.testing.assert_array_equal(patches[np.arange(300), events.p, 2, 2], np.ones(300))
    assert np.count_nonzero(patches[0]) == 1


def test_hats_leaves_out_the_event_itself_and_sums_the_past():
    def middle(times, **options):
        n = len(times)
        events = Events(times, *(np.zeros(n, int),) * 3, sensor=(1, 4, 4))
        return HATS(cell=4, radius=1, tau=10e-3, window=30e-3, **options)(events)[0, 0, 0, 1, 1]

    assert middle([0]) == 0
    assert middle([0, 10_000]) == pytest.approx(math.exp(-1) / 2)
    assert middle([0, 10_000, 10_000]) == pytest.approx(2 * math.exp(-1) / 3), "equal times are not the past"
    assert middle([0, 10_000, 20_000]) == pytest.approx((2 * math.exp(-1) + math.exp(-2)) / 3), (
        "a sum, not the last"
    )
    assert middle([0, 30_000]) == pytest.approx(math.exp(-3) / 2) and middle([0, 30_001]) == 0


def test_hats_does_not_look_beyond_its_cell():
    events = Events([0, 1000], [1, 2], [0, 0], [0, 0], sensor=(1, 2, 4))
    assert HATS(cell=2, radius=1)(events).sum() == 0
    assert HATS(cell=4, radius=1)(events).sum() > 0
    assert HATS(cell=3, radius=1)(recording(20, sensor=(2, 7, 8))).shape == (3, 3, 2, 3, 3)


@pytest.mark.parametrize("factor", [0.001, 3.0, 1e4])
def test_sits_depends_on_the_order_only(factor):
    events = Events(
        np.arange(3000) * 1000, *(np.random.default_rng(0).integers(0, 2, (3, 3000))), sensor=(2, 2, 2)
    )
    busy = recording(3000, sensor=(2, 12, 12))
    for e in (events, Events(np.arange(3000) * 1000, busy.x, busy.y, busy.p, sensor=busy.sensor)):
        np.testing.assert_array_equal(SITS(3)(e), SITS(3)(ScaleTime(factor)(e)))


def test_sits_stays_in_its_range():
    surface = SITS(2)(poisson(100.0, side=20, seconds=0.5))
    assert surface.min() >= 0 and surface.max() == 25 and surface.dtype == np.int32


def test_sits_counts_down_what_is_not_below():
    def surface(*xs):
        return SITS(1)(Events(np.arange(len(xs)), xs, *(np.zeros(len(xs), int),) * 2, sensor=(1, 1, 4)))[
            0, 0
        ].tolist()

    assert surface(0) == [9, 0, 0, 0]
    assert surface(0, 1) == [8, 9, 0, 0]
    assert surface(0, 1, 2) == [8, 8, 9, 0]
    assert surface(0, 1, 1) == [8, 9, 0, 0], "a repeated pixel is above its neighbours: they stay"
    assert surface(3, 2, 1, 0) == [9, 8, 8, 8]


def test_tore_runs_from_now_to_never():
    events = Events([0, 1_000_000, 1_000_100], [0, 0, 1], [0, 0, 0], [0, 0, 0], sensor=(1, 1, 3))
    volume = TORE()(events)
    never = math.log((1 + 5e6) / 151)
    np.testing.assert_allclose(volume[0, 0, 0], [0, 0, never], rtol=1e-6)  # 100 us and less is now
    np.testing.assert_allclose(volume[1, 0, 0], [math.log(1_000_101 / 151), never, never], rtol=1e-6)
    assert volume.shape == (3, 1, 1, 3)


def test_to_tensor_is_what_the_recording_makes_itself():
    packed = end_to_end([recording(100, seed=k) for k in range(3)])
    assert ToTensor(1e-3, steps=90)(packed).equal(packed.tensor(dt=1e-3, steps=90))
    assert ToTensor(1e-3, binary=True)(packed[1]).equal(packed[1].tensor(dt=1e-3, binary=True))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Frames(10e-3), "SliceTime"),
        (lambda: Frames(SliceCount(1), limit=0), "limit"),
        (lambda: Frames(SliceCount(1), limit=40_000), "32767"),
        (lambda: VoxelGrid(0), "bins"),
        (lambda: BinaRep(30), "24"),
        (lambda: TimeSurface(0.0), "tau"),
        (lambda: HATS(cell=0), "cell"),
        (lambda: SITS(0), "radius"),
        (lambda: TORE(tau=1e-4), "least < tau"),
        (lambda: VoxelGrid(10**6)(Events([0], [0], [0], [0], sensor=(2, 720, 1280))), "GiB"),
        (lambda: VoxelGrid(2)("file"), "got str"),
    ],
)
def test_wrong_parameters_say_what_was_expected(make, words):
    with pytest.raises(UserError, match=words):
        make()
