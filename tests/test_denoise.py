"""Noise filters: closed forms on Poisson noise, naive twins, and what they do to known events."""

import math

import numpy as np
import pytest
from event_cases import batches as some
from event_cases import poisson, recording, rows, same
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.datasets import Events
from snnkit.datasets.transforms import (
    BackgroundActivity,
    Compose,
    DropPixels,
    HotPixels,
    Noise,
    OrderN,
    Refractory,
    ShotNoisePairs,
    SpatioTemporalCorrelation,
    hot_pixels,
)

# -- naive twins: every event looks back at all events before it ------------------------------------------------------


def naive_correlation(events, tau, k=1, same_polarity=False, diagonal=True, own=False):
    seen = rows(events)
    stays = []
    for i, (t, x, y, p) in enumerate(seen):
        last = {(u, v): (s, q) for s, u, v, q in seen[:i]}  # later ones replace earlier ones
        support = 0
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                near = last.get((x + dx, y + dy))
                counts = (own if dx == dy == 0 else True) and (diagonal or abs(dx) + abs(dy) < 2)
                if counts and near and t - near[0] < tau and (not same_polarity or near[1] == p):
                    support += 1
        stays.append(support >= k)
    return stays


def naive_order_n(events, tau, own=False):
    columns, lines, stays = {}, {}, []
    for t, x, y, _ in rows(events):
        found = [(u, *columns[u]) for u in (x - 1, x, x + 1) if u in columns]
        near = [(s, (u, v)) for u, s, v in found]
        found = [(v, *lines[v]) for v in (y - 1, y, y + 1) if v in lines]
        near += [(s, (u, v)) for v, s, u in found]
        passes = any(
            t - s < tau and abs(u - x) <= 1 and abs(v - y) <= 1 and (own or (u, v) != (x, y))
            for s, (u, v) in near
        )
        stays.append(passes)
        columns[x], lines[y] = (t, y), (t, x)
    return stays


def naive_refractory(events, dead, retriggerable=False):
    last, stays = {}, []
    for t, x, y, _ in rows(events):
        stays.append((x, y) not in last or t - last[x, y] >= dead)
        if stays[-1] or retriggerable:
            last[x, y] = t
    return stays


def naive_pairs(events, within):
    seen = rows(events)
    gone, before = set(), {}
    for i, (t, x, y, p) in enumerate(seen):
        j = before.get((x, y))
        if j is not None and seen[j][3] != p and t - seen[j][0] < within:
            gone |= {i, j}
            before[x, y] = None
        else:
            before[x, y] = i
    return [i not in gone for i in range(len(seen))]


def kept(events, stays):
    return [row for row, stay in zip(rows(events), stays, strict=True) if stay]


FILTERS = [
    (BackgroundActivity(1e-3), lambda e: naive_correlation(e, 1000)),
    (BackgroundActivity(1e-3, neighbours=4), lambda e: naive_correlation(e, 1000, diagonal=False)),
    (BackgroundActivity(5e-3, own=True), lambda e: naive_correlation(e, 5000, own=True)),
    (SpatioTemporalCorrelation(5e-3, k=2), lambda e: naive_correlation(e, 5000, 2)),
    (
        SpatioTemporalCorrelation(20e-3, k=3, same_polarity=True, own=True),
        lambda e: naive_correlation(e, 20_000, 3, same_polarity=True, own=True),
    ),
    (OrderN(5e-3), lambda e: naive_order_n(e, 5000)),
    (OrderN(5e-3, own=True), lambda e: naive_order_n(e, 5000, own=True)),
    (Refractory(5e-3), lambda e: naive_refractory(e, 5000)),
    (Refractory(5e-3, retriggerable=True), lambda e: naive_refractory(e, 5000, retriggerable=True)),
    (ShotNoisePairs(5e-3), lambda e: naive_pairs(e, 5000)),
]


@given(packed=some(), case=st.sampled_from(FILTERS))
@settings(deadline=None, max_examples=300)
def test_filters_agree_with_their_naive_twins(packed, case):
    change, naive = case
    filtered = change(packed)
    for i in range(len(packed)):
        assert rows(filtered[i]) == kept(packed[i], naive(packed[i]))


@pytest.mark.parametrize("case", FILTERS, ids=lambda case: repr(case[0]))
def test_filters_agree_with_their_naive_twins_on_a_busy_sensor(case):
    change, naive = case
    events = recording(1500, sensor=(2, 6, 7), span=200_000)
    stays = naive(events)
    assert rows(change(events)) == kept(events, stays) and 0 < sum(stays) < len(stays)


# -- closed forms ----------------------------------------------------------------------------------------------------

RATE, TAU, SIDE = 1.0, 25e-3, 64


def passing(n, k):
    """P(at least k of n neighbours fired within TAU)."""
    q = 1 - math.exp(-RATE * TAU)
    return 1 - sum(math.comb(n, j) * q**j * (1 - q) ** (n - j) for j in range(k))


@pytest.mark.parametrize(
    ("change", "k", "stated"),
    [(BackgroundActivity(TAU), 1, 0.181), (SpatioTemporalCorrelation(TAU, k=2), 2, 0.0155)],
    ids=["nearest neighbour", "STCF"],
)
def test_the_share_of_poisson_noise_that_passes(change, k, stated):
    assert passing(8, k) == pytest.approx(stated, abs=6e-4)
    noise = poisson(RATE, side=SIDE, seconds=20)
    inside = (SIDE - 2) ** 2
    edge, corner = 4 * (SIDE - 2), 4
    share = (inside * passing(8, k) + edge * passing(5, k) + corner * passing(3, k)) / SIDE**2
    n = len(noise)
    # neighbours share their supporters, so the count spreads wider than a binomial one: by at most the 9 of a window
    assert abs(len(change(noise)) / n - share) < 4 * math.sqrt(9 * share * (1 - share) / n)


def test_an_event_early_in_the_recording_has_no_neighbours_yet():
    noise = poisson(RATE, side=SIDE, seconds=20)
    early = noise.between(0, TAU)
    assert len(BackgroundActivity(TAU)(early)) < 0.15 * len(early), "the map starts empty, not at time 0"


# -- known events ----------------------------------------------------------------------------------------------------


def at(*events, sensor=(2, 8, 8)) -> Events:
    t, x, y = zip(*events, strict=True)
    return Events(t, x, y, np.zeros(len(t), int), sensor=sensor)


def times(events):
    return events.t.tolist()


@pytest.mark.parametrize(
    "change", [BackgroundActivity(1e-3), OrderN(1e-3), SpatioTemporalCorrelation(1e-3, k=1)]
)
def test_support_comes_from_another_pixel_before(change):
    assert times(change(at((0, 3, 3)))) == [], "an event alone is noise"
    assert times(change(at((0, 3, 3), (999, 3, 4)))) == [999]
    assert times(change(at((0, 3, 3), (1000, 3, 4)))) == [], "tau is over"
    assert times(change(at((0, 3, 3), (10, 3, 3)))) == [], "a pixel does not support itself"
    assert times(change(at((0, 3, 3), (10, 5, 3)))) == [], "two pixels away"
    assert times(change(at((0, 0, 0), (10, 1, 1), (20, 0, 1)))) == [10, 20], "corners and diagonals"
    assert times(change(at((0, 7, 7), (10, 6, 7), (20, 0, 7)))) == [10], (
        "the border is no neighbour of the other side"
    )


def test_diagonal_neighbours_count_among_eight_only():
    events = at((0, 3, 3), (10, 4, 4))
    assert times(BackgroundActivity(1e-3)(events)) == [10]
    assert times(BackgroundActivity(1e-3, neighbours=4)(events)) == []


def test_recordings_of_a_batch_do_not_support_each_other():
    from snnkit.datasets.transforms import end_to_end

    parts = [at((0, 3, 3)), at((10, 3, 4), (20, 3, 3)), at((15, 4, 4))]
    assert [len(BackgroundActivity(1e-3)(end_to_end(parts))[i]) for i in range(3)] == [0, 1, 0]
    assert [len(Refractory(1e-3)(end_to_end([parts[0]] * 3))[i]) for i in range(3)] == [1, 1, 1]


def test_the_order_n_filter_passes_less_than_the_one_per_pixel():
    noise = poisson(RATE, seconds=10)
    for own in (False, True):
        few, many = OrderN(TAU, own=own)(noise), BackgroundActivity(TAU, own=own)(noise)
        assert set(rows(few)) <= set(rows(many)) and 0.4 * len(many) < len(few) < len(many)


def test_refractory_plain_and_retriggerable():
    burst = at(*[(400 * k, 2, 2) for k in range(10)])
    assert times(Refractory(1e-3)(burst)) == [0, 1200, 2400, 3600]
    assert times(Refractory(1e-3, retriggerable=True)(burst)) == [0]
    assert times(Refractory(1e-3)(at((0, 1, 1), (1000, 1, 1)))) == [0, 1000]


def test_pairs_of_opposite_polarity():
    def events(*polarities):
        n = len(polarities)
        return Events(100 * np.arange(n), *(np.zeros(n, int),) * 2, polarities, sensor=(2, 2, 2))

    assert times(ShotNoisePairs(1e-3)(events(1, 0))) == []
    assert times(ShotNoisePairs(1e-3)(events(1, 1, 0))) == [0], "the first ON has no OFF after it"
    assert times(ShotNoisePairs(1e-3)(events(1, 0, 1))) == [200], "an event is in one pair"
    assert times(ShotNoisePairs(100e-6)(events(1, 0))) == [0, 100]


def test_hot_pixels_are_found_and_silenced():
    noise = poisson(2.0, side=32, seconds=5, seed=1)
    g = np.random.default_rng(0)
    n = 2000
    hot = Events(
        np.sort(g.integers(0, 5_000_000, n)),
        np.full(n, 7),
        np.full(n, 9),
        g.integers(0, 2, n),
        sensor=noise.sensor,
    )
    t = np.concatenate([noise.t, hot.t])
    order = np.argsort(t, kind="stable")
    both = Events(
        *(np.concatenate([getattr(noise, c), getattr(hot, c)])[order] for c in "txyp"), sensor=noise.sensor
    )
    for criterion in ({}, {"sigmas": None, "rate": 20.0}, {"sigmas": None, "top": 1}, {"calibration": 0.5}):
        mask = hot_pixels(both, **criterion)
        assert mask[9, 7] and mask.sum() <= 2 and mask.shape == (32, 32)
        assert not ((HotPixels(**criterion)(both).x == 7) & (HotPixels(**criterion)(both).y == 9)).any()
    only = DropPixels(((7, 9),))(both)
    assert same(HotPixels(sigmas=None, top=1)(both), only) and len(both) - len(only) >= n


def test_hot_pixels_hidden_by_hotter_ones():
    counts = {(0, 0): 30_000, (3, 3): 600, **{(x, y): 10 for x in range(16) for y in range(4, 16)}}
    x, y = (np.repeat([place[k] for place in counts], list(counts.values())) for k in (0, 1))
    events = Events(np.arange(len(x)), x, y, np.zeros(len(x), int), sensor=(2, 16, 16))
    assert np.argwhere(hot_pixels(events)).tolist() == [[0, 0], [3, 3]]


def test_a_recording_without_events_has_no_hot_pixels():
    empty = Events([], [], [], [], sensor=(2, 4, 4))
    assert not hot_pixels(empty, rate=1.0, top=3).any() and len(HotPixels()(empty)) == 0


def sweeping_bar() -> Events:
    """A bright bar, 3 columns wide and 40 rows high, crosses 64 columns in a second: ON at its front, OFF at its back."""
    g = np.random.default_rng(0)
    x, y, p = (a.ravel() for a in np.meshgrid(np.arange(64), np.arange(12, 52), [1, 0], indexing="ij"))
    t = 15_000 * x + 45_000 * (p == 0) + g.integers(0, 3000, x.shape)
    order = np.argsort(t, kind="stable")
    return Events(t[order], x[order], y[order], p[order], sensor=(2, 64, 64))


def test_signal_is_told_from_noise():
    """ROC over tau with known noise, three times as many events as the signal has: the area is far above chance."""
    signal = sweeping_bar()
    noisy = Noise(4.0)(signal, 0)
    true = set(rows(signal))
    assert len(noisy) > 3.5 * len(signal)

    def area(make):
        points = [(0.0, 0.0), (1.0, 1.0)]
        for tau in np.geomspace(0.3e-3, 300e-3, 16):
            stays = rows(make(float(tau))(noisy))
            hits = len(true.intersection(stays))
            points.append(((len(stays) - hits) / (len(noisy) - len(signal)), hits / len(signal)))
        false, right = np.array(sorted(points)).T
        return np.trapezoid(right, false)

    nearest, stcf = area(BackgroundActivity), area(lambda tau: SpatioTemporalCorrelation(tau, k=3))
    assert nearest > 0.8 and stcf > 0.93


def test_a_usual_chain_of_filters():
    signal = sweeping_bar()
    noisy = Noise(4.0)(signal, 0)
    cleaned = Compose(HotPixels(), SpatioTemporalCorrelation(20e-3, k=3), Refractory(1e-3))(noisy)
    true = set(rows(signal))
    hits = len(true.intersection(rows(cleaned)))
    assert hits > 0.95 * len(signal) and (len(cleaned) - hits) < 0.08 * (len(noisy) - len(signal))
