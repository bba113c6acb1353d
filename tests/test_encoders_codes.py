"""Rate and latency codes against their closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from snnkit.encoders import latency, rate

GRID = np.linspace(0, 1, 101)[None]  # B=1, N=101
unit_arrays = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 3), st.integers(1, 7)), elements=st.floats(0, 1)
)


@pytest.mark.parametrize("code", [rate.bernoulli, rate.poisson])
def test_rates_have_their_mean_and_variance(code):
    steps, p = 2000, 0.3
    counts = code(np.full((1, 4000), p), steps=steps, dt=1e-3, seed=1).dense().sum(0)
    fano = 1 - p if code is rate.bernoulli else 1.0
    sigma = (steps * p * fano / counts.numel()) ** 0.5
    assert abs(counts.mean().item() - steps * p) < 4 * sigma
    assert abs((counts.var() / counts.mean()).item() / fano - 1) < 4 * (2 / counts.numel()) ** 0.5


@pytest.mark.parametrize(("steps", "expected"), [(10, 0.129), (100, 0.0408), (1000, 0.0129)])
def test_bernoulli_error_over_uniform_values(steps, expected):
    """Mean over x of x(1-x)/T is 1/(6T)."""
    x = np.linspace(0, 1, 20001)[None]
    error = rate.decode(rate.bernoulli(x, steps=steps, dt=1e-3, seed=2)).numpy() - x
    assert abs(np.sqrt((error**2).mean()) / expected - 1) < 0.03


def test_extremes_and_independence_in_time():
    spikes = rate.bernoulli([[0.0, 1.0, 0.5]], steps=5000, dt=1e-3, seed=3).dense()[:, 0]
    assert spikes[:, 0].sum() == 0 and spikes[:, 1].sum() == 5000
    s = spikes[:, 2] - spikes[:, 2].mean()
    assert abs((s[1:] * s[:-1]).mean() / (s * s).mean()) < 3 / 5000**0.5


def test_rate_in_hertz():
    counts = rate.poisson(np.full((1, 2000), 0.5), steps=100, dt=1e-2, rate=400.0).dense().sum(0)
    assert abs(counts.mean().item() - 200) < 4 * (200 / 2000) ** 0.5
    assert rate.decode(rate.regular([[0.5]], steps=100, dt=1e-3, rate=200.0), rate=200.0).item() == 0.5


def test_seeds_and_keys():
    x = np.random.default_rng(0).random((3, 50))
    one = rate.bernoulli(x, steps=20, dt=1e-3, seed=5, keys=[7, 8, 9])
    assert one.equal(rate.bernoulli(x, steps=20, dt=1e-3, seed=5, keys=[7, 8, 9]))
    assert not one.equal(rate.bernoulli(x, steps=20, dt=1e-3, seed=6, keys=[7, 8, 9]))
    swapped = rate.bernoulli(x[::-1], steps=20, dt=1e-3, seed=5, keys=[9, 8, 7])
    assert one.equal(swapped.batch([2, 1, 0]))


@settings(max_examples=30, deadline=None)
@given(unit_arrays, st.integers(1, 40))
def test_regular_rate_is_off_by_at_most_one_spike(x, steps):
    error = rate.decode(rate.regular(x, steps=steps, dt=1e-3)).numpy() - x
    assert np.abs(error).max() <= 1 / steps + 1e-6


def test_regular_rate_of_a_tenth():
    assert rate.regular([[0.1]], steps=10, dt=1e-3).dense().flatten().tolist() == [0.0] * 9 + [1.0]


@settings(max_examples=30, deadline=None)
@given(unit_arrays, st.integers(2, 40))
def test_latency_inverts_within_half_a_step_and_keeps_order(x, steps):
    events = latency.linear(x, steps=steps, dt=1e-3)
    assert torch.equal(events.dense().sum(0), torch.ones(x.shape))  # exactly one spike each
    assert np.abs(latency.decode(events).numpy() - x).max() <= 0.5 / (steps - 1) + 1e-6
    first = events.dense().argmax(0).numpy().ravel()
    order = np.argsort(x.ravel(), kind="stable")
    assert (np.diff(first[order]) <= 0).all()


def test_latency_on_its_own_grid_is_exact():
    assert np.allclose(latency.decode(latency.linear(GRID, steps=101, dt=1e-3)).numpy(), GRID, atol=1e-7)


def test_channels_that_never_fire_are_not_the_last_step():
    events = latency.linear([[0.0, 0.01, 1.0]], steps=5, dt=1e-3, silent_zero=True)
    assert events.nnz == 2
    assert latency.decode(events)[0].isnan().tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rate.bernoulli([[2.0]], steps=3, dt=1e-3), r"x\[0, 0\] = 2"),
        (lambda: rate.bernoulli([[float("nan")]], steps=3, dt=1e-3), "nan"),
        (lambda: rate.bernoulli([0.5], steps=3, dt=1e-3), r"x\[None\]"),
        (lambda: rate.bernoulli([[0.5]], steps=3, dt=1e-3, rate=2000.0), "2 spikes per step"),
        (lambda: rate.bernoulli([[0.5]], steps=0, dt=1e-3), "steps"),
        (lambda: rate.poisson([[0.5]], steps=3, dt=1e-3, rate=-1.0), "rate > 0"),
        (lambda: rate.poisson([[0.5]], steps=3, dt=1e-3, keys=[1, 2]), "one key per sample"),
        (lambda: latency.linear([[0.5]], steps=1, dt=1e-3), "steps >= 2"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
