"""Rate codes drawn event by event: their laws, their order, exact times and dead times."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from snnkit.encoders import filtered, rate
from snnkit.encoders.times import SpikeTimes
from snnkit.errors import UserError
from snnkit.events import EventTensor

unit_arrays = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 3), st.integers(1, 7)), elements=st.floats(0, 1)
)


@pytest.mark.parametrize("p", [1e-4, 0.01, 0.099, 0.1, 0.5, 0.97, 1.0])
def test_bernoulli_on_both_sides_of_the_switch_to_gaps(p):
    """Mean p, Fano 1 - p, no correlation from step to step, the same in every step."""
    steps, channels = 500, 2000
    spikes = rate.bernoulli(np.full((1, channels), p), steps=steps, dt=1e-3, seed=11).dense()[:, 0].numpy()
    cells = steps * channels
    assert abs(spikes.mean() - p) <= 4 * np.sqrt(p * (1 - p) / cells)
    counts = spikes.sum(0)
    assert abs(counts.var() - steps * p * (1 - p)) <= 5 * steps * p * np.sqrt(
        (2 + 1 / (steps * p)) / channels
    )
    both = (spikes[1:] * spikes[:-1]).mean()
    assert abs(both - p * p) <= 5 * np.sqrt(p * p / cells) + 1e-9
    assert abs(spikes[: steps // 2].mean() - spikes[steps // 2 :].mean()) <= 5 * np.sqrt(
        p * (1 - p) / cells * 4
    )


def test_gaps_are_geometric():
    p, steps = 0.05, 4000
    spikes = rate.bernoulli(np.full((1, 300), p), steps=steps, dt=1e-3, seed=4).dense()[:, 0].numpy()
    gaps = np.concatenate([np.diff(np.flatnonzero(c)) for c in spikes.T])
    for g in (1, 2, 5, 20):
        expected = p * (1 - p) ** (g - 1)
        assert abs((gaps == g).mean() - expected) < 5 * np.sqrt(expected / len(gaps))


def test_channels_and_samples_are_independent():
    spikes = rate.bernoulli(np.full((8, 64), 0.5), steps=2000, dt=1e-3, seed=0).dense().flatten(1).numpy()
    matrix = np.corrcoef(spikes.T)
    np.fill_diagonal(matrix, 0)
    assert np.abs(matrix).max() < 6 / np.sqrt(2000)
    other = rate.bernoulli(np.full((8, 64), 0.5), steps=2000, dt=1e-3, seed=1).dense().flatten(1).numpy()
    assert abs(np.corrcoef(spikes.ravel(), other.ravel())[0, 1]) < 5 / np.sqrt(spikes.size)


@settings(max_examples=30, deadline=None)
@given(unit_arrays, st.integers(1, 30), st.integers(1, 30), st.integers(-(2**70), 2**70))
def test_a_longer_run_begins_with_the_shorter(x, short, more, seed):
    for code, options in (
        (rate.bernoulli, {"rate": 300.0}),
        (rate.bernoulli, {}),
        (rate.poisson, {"rate": 900.0}),
    ):
        long = code(x, steps=short + more, dt=1e-3, seed=seed, **options)
        assert long[:short].equal(code(x, steps=short, dt=1e-3, seed=seed, **options))
        EventTensor(long.rowptr, long.indices, long.values, long.shape, long.dt)  # checks its arrays


@settings(max_examples=50, deadline=None)
@given(unit_arrays, st.integers(1, 50), st.floats(1, 1000))
def test_regular_matches_its_naive_twin(x, steps, hertz):
    t = np.arange(steps + 1).reshape(-1, 1, 1)
    due = np.floor(t * (x * hertz * 1e-3) + 1e-9)
    found = rate.regular(x, steps=steps, dt=1e-3, rate=hertz).dense().numpy()
    assert np.array_equal(found, np.diff(due, axis=0))


def test_poisson_times_follow_the_exponential_law():
    spikes = rate.times(np.full((1, 500), 0.5), duration=2.0, rate=200.0, seed=3)
    counts = np.bincount(spikes.channel, minlength=500)
    assert abs(counts.mean() - 200) < 4 * np.sqrt(200 / 500)
    assert abs(counts.var() / counts.mean() - 1) < 5 * np.sqrt(2 / 500)
    gaps = np.concatenate([np.diff(spikes.t[spikes.channel == n]) for n in range(500)])
    for g in (0.002, 0.01, 0.03):
        expected = np.exp(-100 * g)
        assert abs((gaps > g).mean() - expected) < 5 * np.sqrt(expected / len(gaps)) + 0.002
    assert (np.diff(spikes.t) >= 0).all() and spikes.t.max() < 2.0


def test_dead_time_is_kept_and_compensated():
    """Realised rate r with a dead time, as without: r' = r/(1 - r t_ref)."""
    x = np.full((1, 400), 0.8)
    spikes = rate.times(x, duration=5.0, rate=250.0, refractory=2e-3, seed=5)
    gaps = np.concatenate([np.diff(spikes.t[spikes.channel == n]) for n in range(400)])
    assert gaps.min() >= 2e-3
    assert (
        abs(len(spikes) / 400 / 5.0 - 200) < 1.0
    )  # the first gap lacks its dead time: at most 0.4 spikes more
    first = np.array([spikes.t[spikes.channel == n][0] for n in range(400)])
    expected = 1 - np.exp(-200 / (1 - 200 * 2e-3) * 2e-3)  # r' = 333 Hz
    assert abs((first < 2e-3).mean() - expected) < 4 * 0.5 / 400**0.5
    binned = rate.poisson(x, steps=5000, dt=1e-3, rate=250.0, refractory=2e-3, seed=5)
    assert binned.values is None
    assert abs(rate.decode(binned, rate=250.0).mean().item() - 0.8) < 0.005
    first = np.diff(np.flatnonzero(binned.dense()[:, 0, 0].numpy()))
    assert first.min() >= 2


def test_times_and_counts_are_one_process():
    x = np.random.default_rng(0).random((3, 20))
    exact = rate.times(x, duration=0.1, rate=700.0, seed=9, keys=[4, 5, 6])
    counts = rate.poisson(x, steps=50, dt=2e-3, rate=700.0, seed=9, keys=[4, 5, 6])
    assert np.array_equal(exact.tensor(dt=2e-3, steps=50).dense(), counts.dense())
    t, channel, value = exact.sample(-1)
    alone = EventTensor.from_events(t, channel, shape=20, dt=2e-3, steps=50, values=value)
    assert alone.equal(counts.batch(2))
    assert "spikes, B=3, N=(20,)" in repr(exact)


def test_an_exponential_filter_reads_rates():
    """Mean r, variance r/(2τ), a step is followed with lag τ."""
    tau, hertz, dt = 50e-3, 80.0, 1e-3
    x = np.full((1, 2000), 1.0)
    y = filtered(rate.poisson(x, steps=500, dt=dt, rate=hertz, seed=1), tau=tau)[-1]
    spread = (hertz / (2 * tau)) ** 0.5
    assert abs(y.mean().item() - hertz) < 4 * spread / 2000**0.5 + 0.01
    assert y.std().item() == pytest.approx(spread, rel=0.08)
    step = filtered(rate.regular([[1.0]], steps=300, dt=dt), tau=tau).flatten()
    assert step[49].item() == pytest.approx((1 - np.exp(-1)) * 1000, rel=1e-6)
    assert step[-1].item() == pytest.approx(1000, rel=0.01)
    with pytest.raises(UserError, match="dt < tau"):
        filtered(rate.regular([[1.0]], steps=3, dt=dt), tau=1e-4)


def test_spike_times_on_a_grid():
    spikes = SpikeTimes.from_places(
        np.array([0.003, 0.0, 0.0012, 0.0018]),
        np.array([1, 2, 0, 0]),
        np.array([1, 1, 1, -1], np.float32),
        shape=(2, 2),
    )
    assert spikes.sample(0)[0].tolist() == [0.0012, 0.0018, 0.003] and len(spikes) == 4
    events = spikes.tensor(dt=1e-3)
    assert events.shape == (4, 2, 2) and events.nnz == 2  # up and down in one cell cancel
    assert events.dense()[3, 0].tolist() == [0, 1] and events.dense()[0, 1].tolist() == [1, 0]
    assert spikes.tensor(dt=1e-3, steps=2).nnz == 1
    with pytest.raises(UserError, match="seconds"):
        SpikeTimes.from_places(np.array([2.0]), np.array([0]), shape=(1, 1)).tensor(dt=1.0, steps=1)
    with pytest.raises(IndexError):
        spikes.sample(2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rate.bernoulli([[0.5]], steps=3, dt=1), "milli|dt=0.001"),
        (lambda: rate.bernoulli([[0.5]], steps=3, dt=1e-3, seed=0.5), "seed"),
        (lambda: rate.bernoulli([[0.5]], steps=3, dt=1e-3, rate=float("nan")), "rate > 0"),
        (lambda: rate.times([[0.5]], duration=-1.0, rate=5.0), "duration"),
        (lambda: rate.times([[0.5]], duration=1.0, rate=500.0, refractory=5.0), "seconds"),
        (lambda: rate.times([[0.5]], duration=1.0, rate=500.0, refractory=-1e-3), "refractory"),
        (lambda: rate.poisson([[1.0]], steps=3, dt=1e-3, rate=1000.0, refractory=1e-3), "rate . refractory"),
        (lambda: rate.regular(np.zeros((2, 0)), steps=3, dt=1e-3), "at least one channel"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_an_empty_batch_stays_one():
    for code in (rate.bernoulli, rate.poisson, rate.regular):
        events = code(np.zeros((0, 3, 2)), steps=4, dt=1e-3)
        assert events.shape == (4, 0, 3, 2) and events.nnz == 0


def test_against_snntorch():
    spikegen = pytest.importorskip("snntorch.spikegen")
    import torch

    x = torch.rand(4, 500, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    theirs = spikegen.rate(x, num_steps=400).mean(0)
    ours = rate.decode(rate.bernoulli(x, steps=400, dt=1e-3))
    for found in (theirs, ours):
        assert ((found - x).square().mean().sqrt() - 1 / (6 * 400) ** 0.5).abs() < 0.1 / (6 * 400) ** 0.5
