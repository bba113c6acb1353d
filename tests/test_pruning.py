"""Pruning: probabilities, unbiased weights, spectra, and the four steps of Lyapunov noise pruning, each on a case with a known answer."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_cases import EVERYTHING, MS, interpret, poisson

from snnkit import systems
from snnkit.errors import UserError
from snnkit.liquid import Liquid, Projection, lyapunov_pruning, pruning
from snnkit.neurons import LIF, CubaLIF
from snnkit.plasticity import pair_stdp
from snnkit.systems import lorenz
from snnkit.systems.lyapunov_pruning import interval


def network(n=200, p=0.3, seed=0, **options):
    """More excitation than inhibition, so that one eigenvalue leads."""
    weights = lambda g, k: g.gamma(2.0, 0.5, k)
    return Projection.random(n, n, p=p, self_loops=False, w=weights, inhibitory=0.2, seed=seed, **options)


def leading(projection):
    return np.linalg.eigvals(projection.matrix()).real.max()


# -- noise ------------------------------------------------------------------------------------------------------------


def test_covariance_solves_the_lyapunov_equation_and_matches_a_simulation():
    back = network(12, 0.4)
    d = pruning.linearised(back, np.linspace(10e-3, 30e-3, 12))
    assert np.linalg.eigvals(d).real.max() < 0
    c = pruning.noise_covariance(d, 2.0)
    np.testing.assert_allclose(d @ c + c @ d.T, -4.0 * np.eye(12), atol=1e-9)
    rng, x, h, total = np.random.default_rng(1), np.zeros((4000, 12)), 2e-4, 0.0
    for _ in range(1500):  # Euler-Maruyama, many copies, many time constants
        x = x + h * x @ d.T + 2.0 * np.sqrt(h) * rng.normal(size=x.shape)
    total = x.T @ x / len(x)
    assert np.linalg.norm(total - c) < 0.12 * np.linalg.norm(c)


def test_linear_dynamics_of_weak_weights_are_theirs():
    w = np.array([[0.0, 0.3], [-0.2, 0.0]])  # from row to column
    d = pruning.linearised(Projection.from_matrix(w), [0.01, 0.02])
    np.testing.assert_allclose(d, [[-100.0, -20.0], [15.0, -50.0]])
    strong = pruning.linearised(Projection.from_matrix([[0.0, 5.0], [5.0, 0.0]]), 0.01)
    assert np.linalg.eigvals(strong).real.max() == pytest.approx(-10.0), (
        "scaled to 0.9 of what would be unstable"
    )


def test_importance_is_the_formula():
    c = np.array([[2.0, 0.5], [0.5, 1.0]])
    found = pruning.noise_importance(Projection.from_matrix([[0.0, 3.0], [-2.0, 0.0]]), c)
    np.testing.assert_allclose(found, [3.0 * (3.0 - 1.0), 2.0 * (3.0 + 1.0)])


def test_dynamics_without_a_stationary_state_are_refused():
    with pytest.raises(UserError, match="unstable"):
        pruning.noise_covariance(np.eye(3))
    with pytest.raises(UserError, match="square"):
        pruning.noise_covariance(np.ones((2, 3)))
    with pytest.raises(UserError, match="abscissa"):
        pruning.linearised(network(5), 0.01, abscissa=1.5)
    with pytest.raises(UserError, match="one population"):
        pruning.linearised(Projection.dense(2, 3), 0.01)
    with pytest.raises(UserError, match="tau"):
        pruning.linearised(network(5), [0.01, 0.02])


# -- keeping synapses -------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=40), st.floats(0.05, 1.0))
def test_probabilities_are_capped_proportional_and_reach_the_density(importance, density):
    s = np.array(importance)
    p = pruning.keep_probabilities(s, density)
    assert (p > 0).all() and p.max() <= 1
    assert p.sum() == pytest.approx(density * len(s), rel=1e-9)
    free = p < 1
    if free.any():
        k = (p[free] / s[free]).mean()
        np.testing.assert_allclose(p, np.minimum(1.0, k * s), rtol=1e-6)


def test_a_giant_is_kept_for_certain():
    p = pruning.keep_probabilities([1e9, 1.0, 1.0, 1.0, 1.0], 0.4)
    np.testing.assert_allclose(p, [1.0, 0.25, 0.25, 0.25, 0.25])


def test_draws_are_unbiased_and_their_number_is_exact():
    back = network(20, 0.3)
    p = pruning.keep_probabilities(
        pruning.noise_importance(back, pruning.noise_covariance(pruning.linearised(back, 0.02))), 0.5
    )
    draws = [pruning.sampled(back, p, correction="none", seed=s) for s in range(600)]
    assert {len(d) for d in draws} <= {int(0.5 * len(back)), int(0.5 * len(back)) + 1}
    mean = np.mean([d.matrix() for d in draws], 0)
    variance = (back.w**2 * (1 / p - 1)).sum() / 600  # of the whole matrix's error, if draws were independent
    assert ((mean - back.matrix()) ** 2).sum() == pytest.approx(variance, rel=0.4)
    certain = p == 1
    assert (np.isin(draws[0].w, back.w[certain]).sum() >= certain.sum()) and certain.any()
    again = pruning.sampled(back, p, correction="none", seed=0)
    assert np.array_equal(again.w, draws[0].w) and np.array_equal(again.pre, draws[0].pre)


def test_leading_eigenvalue_stays_where_weights_are_rescaled_and_not_where_they_are_kept():
    back = network(400, 0.3)
    importance = pruning.noise_importance(back, pruning.noise_covariance(pruning.linearised(back, 0.02)))
    drawn = pruning.sampled(back, pruning.keep_probabilities(importance, 0.5), seed=1)
    kept = pruning.strongest(back, np.zeros(len(back)), 0.5, correction="none", seed=1)
    assert len(drawn) == len(kept) == round(0.5 * len(back))
    assert leading(drawn) == pytest.approx(leading(back), rel=0.05)
    assert leading(kept) < 0.6 * leading(back)


def test_corrections_keep_the_total_input():
    back = network(60, 0.4, delay=(1e-3, 4e-3))
    totals = pruning.total_input(back)
    np.testing.assert_allclose(totals, np.abs(back.matrix()).sum(0))
    drawn = pruning.sampled(back, np.full(len(back), 0.3), correction="none", seed=2)
    rows = pruning.corrected(drawn, totals, "rows")
    np.testing.assert_allclose(pruning.total_input(rows), totals)
    loops = pruning.corrected(drawn, totals, "diagonal")
    margin = np.diag(loops.matrix()) + np.abs(drawn.matrix()).sum(0)
    np.testing.assert_allclose(margin, totals, err_msg="leak and loop against what comes in")
    assert len(loops) == len(drawn) + 60 and loops.delay[len(drawn) :] == pytest.approx(drawn.delay.min())
    with pytest.raises(UserError, match="unknown correction 'row'; did you mean"):
        pruning.corrected(drawn, totals, "row")


def test_the_strongest_stay_as_they_are():
    back = network(40, 0.4)
    kept = pruning.strongest(back, np.abs(back.w), 0.25, correction="none")
    assert np.abs(kept.w).min() >= np.sort(np.abs(back.w))[-len(kept)]
    assert set(kept.w) <= set(back.w) and len(kept) == round(0.25 * len(back))
    rates = np.arange(40.0)
    found = pruning.activity_importance(back, rates)
    np.testing.assert_array_equal(found, rates[back.pre] * rates[back.post])


def test_ties_are_drawn_by_chance():
    back = network(40, 0.4)
    a, b = (pruning.strongest(back, np.ones(len(back)), 0.5, seed=s) for s in (0, 1))
    assert not np.array_equal(a.pre, b.pre) or not np.array_equal(a.post, b.post)


def test_what_cannot_be_pruned_so_is_said():
    back = network(10, 0.4)
    with pytest.raises(UserError, match="only 1 have any importance"):
        pruning.keep_probabilities([1.0, 0.0, 0.0], 0.5)
    for density in (0.0, 1.1):
        with pytest.raises(UserError, match="density is the share"):
            pruning.keep_probabilities([1.0, 2.0], density)
    with pytest.raises(UserError, match=">= 0"):
        pruning.keep_probabilities([1.0, -2.0], 0.5)
    with pytest.raises(UserError, match=r"0\.\.1"):
        pruning.sampled(back, np.full(len(back), 1.5))
    with pytest.raises(UserError, match="finite"):
        pruning.strongest(back, np.full(len(back), np.nan), 0.5)
    with pytest.raises(UserError, match="covariance"):
        pruning.noise_importance(back, np.eye(3))
    with pytest.raises(UserError, match=r"in seconds, or 10 of them; got -1\.0"):
        pruning.linearised(back, -1.0)
    for gone in ([20], [-1], [0.5], [True]):
        with pytest.raises(UserError, match=r"neurons 0\.\.19"):
            lyapunov_pruning.without_neurons(small_liquid(), gone)
    with pytest.raises(UserError, match="rates"):
        pruning.activity_importance(back, [-1.0] * 10)


# -- Lyapunov exponents -----------------------------------------------------------------------------------------------


@pytest.fixture
def no_compiler(monkeypatch):
    interpret(monkeypatch)


def small_liquid(weights=(0.0, 0.3), tau=20 * MS, n=20, **options):
    drive = Projection.dense(4, n, w=(0.0, 0.6), seed=0)
    back = Projection.random(
        n, n, p=0.3, w=weights, delay=(1 * MS, 3 * MS), inhibitory=0.2, seed=1, **options
    )
    return Liquid(LIF(tau=tau, dt=MS), drive, back).double()


def test_without_spikes_a_perturbation_decays_with_the_membrane(no_compiler):
    tau = torch.linspace(5e-3, 40e-3, 20)
    silent = poisson(70, 1, 4, 0.0)
    growth = lyapunov_pruning.local_growth(small_liquid(tau=tau), silent, perturbations=4, window=10, skip=10)
    np.testing.assert_allclose(growth, np.exp(-10e-3 / tau.numpy()), rtol=1e-5)


@pytest.mark.parametrize("pairing", ["departure", "arrival"])
def test_perturbations_of_a_learning_liquid(pairing, no_compiler):
    ev, rule = poisson(90, 1, 4, 150.0), pair_stdp(bounds=(-1.0, 1.0), pairing=pairing)
    growth = lyapunov_pruning.local_growth(small_liquid(rule=rule), ev, perturbations=4, skip=50)
    assert growth.shape == (20,) and (growth > 0).any()


def test_where_spikes_multiply_perturbations_grow_more(no_compiler):
    ev = poisson(260, 1, 4, 150.0)
    calm, wild = (
        lyapunov_pruning.local_growth(small_liquid(w), ev, perturbations=20, skip=50, eps=0.2)
        for w in ((0.0, 0.01), (0.1, 0.3))
    )
    assert wild.mean() > 1.2 * calm.mean()
    with pytest.raises(UserError, match="at least skip"):
        lyapunov_pruning.local_growth(small_liquid(), ev, perturbations=50)


def test_neighbourhoods_are_harmonic_means():
    back = network(15, 0.1)
    growth = np.random.default_rng(0).uniform(0.2, 2.0, 15)
    joined = (back.matrix() != 0) | (back.matrix() != 0).T | np.eye(15, dtype=bool)
    expected = [
        1 / np.mean(1 / growth[joined[i] | joined[j]]) for i, j in zip(back.post, back.pre, strict=True)
    ]
    np.testing.assert_allclose(lyapunov_pruning.neighbourhood_growth(back, growth), expected)
    with pytest.raises(UserError, match="growth"):
        lyapunov_pruning.neighbourhood_growth(back, np.zeros(15))


# -- neurons, edges, time constants -----------------------------------------------------------------------------------


def test_the_bridge_between_two_groups_is_the_most_central():
    w = np.zeros((9, 9))
    w[:4, :4] = w[5:, 5:] = 1.0
    np.fill_diagonal(w, 0.0)
    w[3, 4] = w[4, 5] = w[5, 4] = w[4, 3] = 1.0
    central = lyapunov_pruning.betweenness(Projection.from_matrix(w))
    assert central.argmax() == 4 and np.allclose(central[[0, 1, 2, 6, 7, 8]], 0.0)
    assert central[4] == pytest.approx(2 * 16 / (8 * 7)), "all pairs across, both ways"


def test_strong_synapses_are_short():
    w = np.zeros((3, 3))
    w[0, 2], w[0, 1], w[1, 2] = 0.3, -2.0, 2.0  # 1/0.3 is longer than 1/2 + 1/2
    assert lyapunov_pruning.betweenness(Projection.from_matrix(w)).argmax() == 1
    w[0, 2] = 1.5
    assert lyapunov_pruning.betweenness(Projection.from_matrix(w)).max() == 0


def test_a_liquid_without_neurons_that_do_nothing_spikes_as_before(no_compiler):
    """Neurons that nothing leaves may go, and the others do not notice."""
    n, gone = 20, np.array([3, 11, 19])
    liquid = small_liquid(tau=torch.linspace(5e-3, 40e-3, n))
    back = liquid.projection("recurrent")
    lonely = pruning.with_projection(liquid, "recurrent", pruning.subset(back, ~np.isin(back.pre, gone)))
    ev = poisson(80, 2, 4, 150.0)
    whole = lonely(ev).dense()
    small = lyapunov_pruning.without_neurons(lonely, gone)
    stay = np.setdiff1d(np.arange(n), gone)
    assert small.N == 17 and torch.equal(small(ev).dense(), whole[:, :, stay])
    assert whole[:, :, stay].sum() > 50 and torch.equal(small.neuron.tau, lonely.neuron.tau[stay])
    with pytest.raises(UserError, match="no neuron would be left"):
        lyapunov_pruning.without_neurons(lonely, np.ones(n, bool))
    ruled = lonely.projection("recurrent").replaced(rule=EVERYTHING)
    with pytest.raises(UserError, match="constants per neuron"):
        lyapunov_pruning._between(ruled, stay, True)


def test_new_edges_spread_the_eigenvectors_of_a_hub():
    n, w = 40, np.zeros((40, 40))
    w[0, 1:] = w[1:, 0] = 1.0
    star = Projection.from_matrix(w, delay=2e-3)
    found = lyapunov_pruning.delocalised(star, 300, seed=0)
    first = lambda p: np.linalg.eigh(p.matrix() + p.matrix().T)[1][:, -1:]
    assert len(found) == len(star) + 300 and found.delay.max() == 2e-3
    new = set(zip(found.pre[len(star) :].tolist(), found.post[len(star) :].tolist(), strict=True))
    assert len(new) == 300 and all(a != b and 0 not in (a, b) for a, b in new)
    assert (
        lyapunov_pruning.participation(first(found))[0] > 2 * lyapunov_pruning.participation(first(star))[0]
    )
    degree = np.bincount(np.concatenate([found.pre, found.post]), minlength=n)[1:]
    assert degree.max() - degree.min() <= 1
    with pytest.raises(UserError, match="only 741 pairs"):
        lyapunov_pruning.delocalised(star, 742)


def test_participation_counts_neurons():
    np.testing.assert_allclose(
        lyapunov_pruning.participation(np.column_stack([np.eye(4)[0], np.ones(4)])), [1.0, 4.0]
    )


def test_timescales_have_the_moments_asked_for():
    quantiles = (np.arange(4000) + 0.5) / 4000
    tau = lyapunov_pruning.gamma_timescales(quantiles, 20e-3, 0.5)
    assert tau.mean() == pytest.approx(20e-3, rel=1e-3) and tau.std() / tau.mean() == pytest.approx(
        0.5, rel=0.01
    )
    assert (lyapunov_pruning.gamma_timescales(quantiles, 20e-3, 0.0) == 20e-3).all()


def test_retuning_finds_the_best_of_its_trials():
    quantiles = (np.arange(50) + 0.5) / 50
    score = lambda tau: abs(tau.mean() - 15e-3) if tau.mean() < 40e-3 else np.inf
    found = lyapunov_pruning.retuned(score, quantiles, mean=(5e-3, 60e-3), cv=(0.1, 0.8), trials=30, seed=0)
    assert found.score == score(found.tau) < 3e-3 and (np.diff(found.tau) >= 0).all()
    with pytest.raises(UserError, match="finite score"):
        lyapunov_pruning.retuned(lambda tau: np.nan, quantiles, mean=(1e-3, 2e-3), cv=(0, 1), trials=3)


def test_all_steps_together_reach_the_density(no_compiler):
    n = 30
    back = network(n, 0.4, delay=(1 * MS, 3 * MS))
    cell = CubaLIF(tau_syn=5 * MS, tau_mem=torch.linspace(5e-3, 40e-3, n), dt=MS)
    liquid = Liquid(cell, Projection.dense(4, n, w=0.2), back.replaced(w=0.1 * back.w)).double()
    ev = poisson(120, 1, 4, 100.0)
    s = lyapunov_pruning.importance_of(liquid, ev[:600] if len(ev) > 600 else poisson(560, 1, 4, 100.0))
    found = lyapunov_pruning.lyapunov_noise_pruning(liquid, 0.3, s, neurons=0.8, extra=0.05, seed=3)
    small = found.liquid.projection("recurrent")
    assert len(small) == round(0.3 * len(back)) and found.liquid.N == len(found.neurons) == 24
    whole = pruning.total_input(liquid.projection("recurrent"))[found.neurons]
    now = pruning.total_input(small)
    np.testing.assert_allclose(now[now > 0], whole[now > 0])
    np.testing.assert_allclose(found.liquid.neuron.tau_mem, cell.tau_mem[found.neurons])
    with pytest.raises(UserError, match="keep more neurons"):
        lyapunov_pruning.lyapunov_noise_pruning(liquid, 0.9, s, neurons=0.5)


# -- the experiment ---------------------------------------------------------------------------------------------------


def test_lorenz_stays_on_its_attractor():
    x = lorenz.trajectory(4000, seed=1)
    assert abs(x.mean(0)).max() < 0.3 and abs(x.std(0) - 1).max() < 0.12
    y = x * lorenz.DEVIATION + lorenz.MEAN
    slope = np.gradient(y, lorenz.SAMPLE, axis=0)[1:-1, 0]
    expected = 10 * (y[1:-1, 1] - y[1:-1, 0])
    assert np.corrcoef(slope, expected)[0, 1] > 0.99


def test_intervals_are_students():
    mean, low, high = interval([1.0, 2.0, 3.0, 4.0])
    assert mean == 2.5 and high - mean == pytest.approx(3.1824 * np.std([1, 2, 3, 4], ddof=1) / 2, rel=1e-4)
    assert mean - low == pytest.approx(high - mean)


@pytest.mark.skipif("SNNKIT_DATA" not in os.environ, reason="needs MNIST; SNNKIT_DATA is not set")
def test_quick_run():
    result = systems.reproduce("lyapunov-pruning", systems.Setting(quick=True, seeds=(0,)))
    arms = result.details["arms"]
    assert {"dense", "random, 50 %", "noise, 50 %", "LNP, 50 %", "LNP, retuned, 50 %"} <= set(arms)
    sparse = [arms[name][0]["density"] for name in arms if name.endswith("50 %")]
    assert len(sparse) == 8 and max(abs(d - 0.5) for d in sparse) < 0.002
    assert arms["LNP, 50 %"][0]["neurons"] == 54 and arms["no recurrent synapses"][0]["operations"] == 0
    assert arms["random, weights kept, 50 %"][0]["operations"] < arms["dense"][0]["operations"]
    assert systems.seeds("lyapunov-pruning") == 10 and systems.seeds("hlop") == 3
