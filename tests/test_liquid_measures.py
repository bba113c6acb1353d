"""Every measure on a case whose answer is known."""

import math

import numpy as np
import pytest
import torch
from simulator_cases import MS, interpret, poisson

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.liquid import Liquid, Projection, measures, stability
from snnkit.liquid.features import counts, per_step
from snnkit.liquid.state import repeated
from snnkit.neurons import IF, LIF
from snnkit.plasticity import pair_stdp


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch):
    interpret(monkeypatch)


def ring(n, w=1.0):
    return Projection.from_matrix(w * np.roll(np.eye(n), 1, 1))


def test_spectral_radius():
    assert measures.spectral_radius(ring(7, 0.8)) == pytest.approx(0.8)
    gauss = np.random.default_rng(0).standard_normal((600, 600)) / math.sqrt(600)
    assert measures.spectral_radius(gauss) == pytest.approx(1.0, abs=0.06), "Girko's circular law"
    with pytest.raises(UserError, match="square"):
        measures.spectral_radius(np.zeros((2, 3)))


def test_kernel_quality_and_generalisation_rank():
    """Neurons that copy their channel tell apart as many inputs as there are channels; of one input there is one answer."""
    liquid = Liquid(IF(), Projection.from_matrix(np.eye(12)), dt=MS)
    one = poisson(50, 1, 12, 100.0)
    different = liquid(poisson(50, 12, 12, 100.0))
    same = liquid(EventTensor.stack([one] * 12))
    assert measures.rank(counts(different)) == 12 and measures.rank(counts(same)) == 1
    assert measures.rank(counts(liquid(poisson(50, 30, 12, 100.0)))) == 12


def test_separation():
    states = np.array([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 2.0]])
    assert measures.separation(states, [0, 0, 1, 1]) == pytest.approx((2 * 10 / 4) / (1 + 1))
    assert measures.separation(states, [0, 1, 0, 1]) < 0.4


def test_the_memory_of_a_delay_line_is_its_length():
    u = np.random.default_rng(0).uniform(-1, 1, 4000)
    line = np.stack([np.roll(u, k) for k in range(6)], axis=1) @ np.random.default_rng(1).standard_normal(
        (6, 6)
    )
    found = measures.memory_capacity(line, u, 12, washout=20)
    np.testing.assert_allclose(found[:6], 1.0, atol=1e-6)
    assert found[6:].max() < 0.02 and found.sum() == pytest.approx(6.0, abs=0.05)


def test_lyapunov_exponents_of_maps():
    logistic = stability.lyapunov_exponent(lambda x: 4 * x * (1 - x), [0.3], 20_000, eps=1e-9, skip=100)
    assert logistic == pytest.approx(math.log(2), abs=0.02)
    assert stability.lyapunov_exponent(lambda x: 0.8 * x, [1.0, 2.0], 50) == pytest.approx(math.log(0.8))
    x, jacobians = np.array([0.1, 0.1]), []
    for n in range(12_000):
        if n > 100:
            jacobians.append([[-2.8 * x[0], 1.0], [0.3, 0.0]])
        x = np.array([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]])
    found = stability.lyapunov_spectrum(jacobians)
    assert found[0] == pytest.approx(0.419, abs=0.01) and found.sum() == pytest.approx(
        math.log(0.3), abs=1e-9
    )


def test_the_lyapunov_exponent_of_a_liquid_below_threshold_is_its_leak():
    quiet = Liquid(LIF(tau=20 * MS, dt=MS), Projection.dense(4, 6, w=0.01), ring(6, 0.1)).double()
    found = stability.liquid_lyapunov(quiet, poisson(200, 1, 4, 100.0), eps=1e-6)
    assert found == pytest.approx(-1 / (20 * MS), rel=1e-6)
    wild = Liquid(LIF(tau=20 * MS, dt=MS), Projection.dense(4, 40, w=(0.0, 0.6), seed=0),
                  Projection.random(40, 40, p=0.3, w=lambda g, n: g.normal(0, 0.5, n), seed=1)).double()  # fmt: skip
    assert stability.liquid_lyapunov(wild, poisson(400, 1, 4, 200.0), eps=0.1) > 10.0


def travelling(n, steps):
    """One spike on its way around a ring."""
    return EventTensor.from_dense(torch.eye(n).repeat(-(-steps // n), 1)[:steps, None], MS)


def test_branching_factor_of_chains_and_trees():
    assert measures.branching_factor(travelling(10, 40), ring(10)) == 1.0
    pre, post = [0, 0, 1, 1, 2, 2], [1, 2, 3, 4, 5, 6]
    tree = Projection(shape=(7, 7), pre=pre, post=post, w=np.ones(6))
    x = torch.zeros(30, 1, 7)
    x[10, 0, 0] = x[11, 0, 1:3] = x[12, 0, 3:7] = 1.0
    spikes = EventTensor.from_dense(x, MS)
    assert measures.branching_factor(spikes, tree) == pytest.approx((1 * 2 + 2 * 2 + 4 * 0) / 7)
    assert math.isnan(measures.branching_factor(EventTensor.from_dense(torch.zeros(30, 1, 7), MS), tree))


def branching(m, steps, drive=20.0, seed=0):
    generator, a = np.random.default_rng(seed), np.zeros(steps)
    a[0] = drive / (1 - m)
    for t in range(1, steps):
        a[t] = generator.poisson(m * a[t - 1] + drive)
    return a


@pytest.mark.parametrize("m", [0.8, 0.95, 0.99])
def test_branching_ratio_also_of_a_part(m):
    a = branching(m, 60_000)
    assert measures.branching_ratio(a) == pytest.approx(m, abs=0.02)
    seen = np.random.default_rng(1).binomial(a.astype(int), 0.05)
    assert measures.branching_ratio(seen) == pytest.approx(m, abs=0.04), "where naive regression is far below"


def test_avalanches_are_cut_at_silence():
    found = measures.avalanches([5, 0, 1, 2, 0, 0, 3, 0, 4])
    assert found.sizes.tolist() == [3, 3] and found.durations.tolist() == [2, 1]
    assert len(measures.avalanches([1, 2, 3]).sizes) == 0
    both = measures.avalanches(np.array([[0, 0], [1, 2], [0, 0]]))
    assert both.sizes.tolist() == [1, 2]


def test_power_law_exponents():
    for alpha in (1.5, 2.0, 2.5):
        values = np.random.default_rng(0).zipf(alpha, 20_000)
        assert measures.power_law_exponent(values) == pytest.approx(alpha, abs=0.03)
    with pytest.raises(UserError, match="two different"):
        measures.power_law_exponent([3, 3, 3])


def test_critical_avalanches_have_the_exponent_three_halves():
    generator, activity = np.random.default_rng(0), [0]
    for _ in range(4000):
        now, total = 1, 0
        while now and total < 20_000:
            activity.append(now)
            total, now = total + now, generator.poisson(now)
        activity.append(0)
    found = measures.avalanches(activity)
    assert len(found.sizes) == 4000
    assert measures.power_law_exponent(found.sizes, smallest=8) == pytest.approx(1.5, abs=0.1)


def test_per_step_counts_spikes():
    ev = poisson(30, 3, 5, 200.0)
    assert np.array_equal(per_step(ev), ev.dense().sum(2).numpy().astype(int))


def test_spikes_may_be_given_for_activity():
    ev = poisson(400, 2, 5, 40.0)
    assert measures.avalanches(ev).sizes.tolist() == measures.avalanches(per_step(ev)).sizes.tolist()
    assert measures.branching_ratio(ev) == measures.branching_ratio(per_step(ev))


@pytest.mark.parametrize("pairing", ["departure", "arrival"])
def test_copies_of_a_learning_liquid_meet_again(pairing):
    """What is remembered of the past belongs to both copies: below threshold only the leak is left."""
    rule = pair_stdp(pairing=pairing)
    drive, back = Projection.dense(4, 6, w=0.01), ring(6, 0.1).replaced(delay=np.full(6, 3 * MS), rule=rule)
    quiet = Liquid(LIF(tau=20 * MS, dt=MS), drive, back).double()
    found = stability.liquid_lyapunov(quiet, poisson(200, 1, 4, 100.0), eps=1e-6)
    assert found == pytest.approx(-1 / (20 * MS), rel=1e-6)


def test_a_copied_state_goes_on_as_the_sample_it_is_a_copy_of():
    rule = pair_stdp(pairing="arrival", bounds=(-1.0, 1.0))
    drive = Projection.dense(4, 12, w=(0.0, 0.8), delay=(0.0, 4 * MS), rule=rule, seed=0)
    back = Projection.random(12, 12, p=0.4, w=(-0.3, 0.5), delay=(1 * MS, 5 * MS), rule=rule, seed=1)
    liquid = Liquid(LIF(tau=20 * MS, dt=MS), drive, back)
    ev = poisson(60, 3, 4, 200.0)
    spikes = liquid(ev).dense()
    _, state = liquid.scan(ev[:30])
    rest, end = liquid.scan(ev.batch([1, 1])[30:], repeated(state, 2, row=1))
    assert spikes[30:, 1].sum() > 20 and end.step == 60
    assert torch.equal(rest.dense(), spikes[30:, [1, 1]])


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: measures.avalanches(np.zeros((5, 2, 3))), UserError, "spikes per step"),
        (lambda: measures.branching_ratio(np.ones(100)), UserError, "activity that changes"),
        (lambda: measures.separation(np.zeros((4, 3)), [0, 1]), UserError, "a class for each"),
        (lambda: measures.separation(np.zeros((4, 3)), [1, 1, 1, 1]), UserError, "two or more classes"),
        (lambda: measures.branching_factor(travelling(4, 9), ring(5)), UserError, "among the 4 neurons"),
        (lambda: measures.branching_factor(torch.zeros(9, 1, 4), ring(4)), TypeError, "EventTensor"),
    ],
)
def test_mistakes_are_told(make, error, said):
    with pytest.raises(error, match=said):
        make()
