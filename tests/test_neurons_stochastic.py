"""Neurons that fire by chance: how often, the same from the same seed, and their gradients."""

import copy
import doctest
import math

import pytest
import torch

from snnkit.errors import UserError
from snnkit.layers import Linear, Sequential, checkpoint
from snnkit.neurons import LIF, MetaNeuron, StochasticLIF, stochastic, use_reference


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def cells(seed=0, **options):
    common = {"tau": 9e-3, "dt": 1e-3, "generator": seeded(seed), **options}
    return [
        StochasticLIF(**common),
        StochasticLIF(form="sigmoid", **common),
        MetaNeuron(amplitude_noise=0.5, threshold_noise=0.2, **common),
    ]


EACH = pytest.mark.parametrize("which", [0, 1, 2], ids=["exponential", "sigmoid", "meta"])


def test_docstrings():
    found = doctest.testmod(stochastic)
    assert found.attempted > 0 and found.failed == 0


def test_escape_rate_at_constant_membrane():
    """u = 0.967·θ: a hazard of 36.8 Hz, p = 0.03612 per step of 1 ms and geometric intervals of mean 1/p."""
    hazard = 36.788  # 1000·exp(-3.3026)
    u = 1.0 + 0.01 * math.log(hazard / 1e3)
    cell = StochasticLIF(tau=1e9, dt=1e-3, width=0.01, reset="none", generator=seeded())
    x = torch.zeros(20_000, 1, 50, dtype=torch.float64)
    x[0] = u
    spikes = cell(x)
    p = 1 - math.exp(-1e-3 * hazard)
    assert (
        p == pytest.approx(0.03612, abs=1e-5) and p / 1e-3 < 36.2
    )  # below the hazard: at most one spike a step
    deviation = math.sqrt(p * (1 - p) / spikes.numel())
    assert float(spikes.mean()) == pytest.approx(p, abs=4 * deviation)
    gaps = torch.cat([torch.nonzero(train).flatten().diff() for train in spikes[:, 0].T]).double()
    assert float(gaps.mean()) == pytest.approx(1 / p, rel=0.02)
    assert float(gaps.std()) == pytest.approx(math.sqrt(1 - p) / p, rel=0.03)


@EACH
def test_the_same_seed_gives_the_same_however_time_is_cut(which):
    x = torch.rand(40, 3, 7, generator=seeded(5)) * 0.5
    whole, end = cells()[which].scan(x)
    assert 0.02 < whole.mean() < 0.9
    for cut in (0, 1, 17, 40):
        cell = cells()[which]
        head, middle = cell.scan(x[:cut])
        tail, last = cell.scan(x[cut:], middle)
        assert torch.equal(torch.cat([head, tail]), whole)
        assert all(torch.equal(a, b) for a, b in zip(end, last, strict=True))
    cell, state, rows = cells()[which], None, []
    for x_t in x:
        row, state = cell.step(x_t, state)
        rows.append(row)
    assert torch.equal(torch.stack(rows), whole)
    with use_reference():
        assert torch.equal(cells()[which](x), whole)
    assert not torch.equal(cells(seed=1)[which](x), whole)


@EACH
def test_threads_change_nothing_and_every_call_draws_anew(which):
    x = torch.rand(60, 2, 3000, generator=seeded(5)) * 0.5
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            cell = cells()[which]
            found.append((cell(x), cell(x)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    assert not torch.equal(*found[0])


def test_neurons_steps_and_batch_elements_are_independent():
    cell = StochasticLIF(tau=1e9, dt=1e-3, width=0.5, rate=600.0, reset="none", generator=seeded())
    x = torch.zeros(3000, 4, 6)
    x[0] = 1.0
    spikes = cell(x).view(3000, 24).double()
    correlation = torch.corrcoef(spikes.T)
    assert float((correlation - torch.eye(24)).abs().max()) < 5 / math.sqrt(3000)
    centred = spikes - spikes.mean(0)
    for lag in (1, 2, 7):
        assert abs(float((centred[lag:] * centred[:-lag]).mean() / spikes.var())) < 5 / math.sqrt(3000 * 24)


def test_numbers_are_uniform():
    key = torch.randint(1 << 24, (2, 500), generator=seeded()).float()
    numbers = stochastic.uniform(key, torch.zeros_like(key), 100, 0)
    assert float(numbers.min()) > 0.0 and float(numbers.max()) < 1.0
    counts = torch.histc(numbers, 20, 0.0, 1.0)
    chi = float(((counts - counts.mean()) ** 2 / counts.mean()).sum())
    assert chi < 45  # of 19 degrees of freedom, p = 0.0007
    assert not torch.equal(numbers, stochastic.uniform(key, torch.zeros_like(key), 100, 1))


def test_gradient_is_that_of_the_probability():
    cell = StochasticLIF(tau=9e-3, dt=1e-3, width=0.2, learn=("threshold", "width", "rate")).double()
    u = torch.linspace(0.4, 1.4, 6, dtype=torch.float64).view(1, 6, 1).requires_grad_()
    with torch.no_grad():
        noise = torch.full_like(u, 0.5)
    spikes, _ = cell.scan((u, noise))
    spikes.sum().backward()
    rho = 1e3 * torch.exp((u - 1.0) / 0.2)
    p = 1 - torch.exp(-1e-3 * rho)
    slope = (1e-3 * rho / 0.2) * (1 - p)
    assert torch.equal(spikes, (p >= noise).double()) and torch.allclose(u.grad, slope)
    assert cell.threshold.grad.item() == pytest.approx(-float(slope.detach().sum()))


def test_a_narrow_width_is_lif():
    x = torch.rand(80, 2, 20, generator=seeded(3), dtype=torch.float64)
    spikes = StochasticLIF(tau=9e-3, dt=1e-3, width=1e-9, rate=1e3)(x)
    assert torch.equal(spikes, LIF(tau=9e-3, dt=1e-3)(x))


def test_meta_neuron_transmits_with_its_probability():
    """x = θ and reset by subtraction without leak: every arrival is one spike; mean and variance are Bernoulli's."""
    p = torch.tensor([0.1, 0.5, 0.9])
    cell = MetaNeuron(tau=None, dt=1e-3, transmission=p, generator=seeded())
    spikes = cell(torch.ones(1, 40_000, 3))[0]
    assert torch.allclose(spikes.mean(0), p, atol=4 * 0.5 / 200)
    assert torch.allclose(spikes.var(0), p * (1 - p), atol=0.01)


def test_meta_neuron_without_noise_is_lif():
    x = torch.rand(60, 2, 5, generator=seeded(2))
    cell = MetaNeuron(tau=9e-3, dt=1e-3, transmission=1.0)
    assert torch.equal(cell(x), LIF(tau=9e-3, dt=1e-3)(x))


def test_meta_neuron_adds_the_noise_it_names():
    cell = MetaNeuron(
        tau=None, dt=1e-3, transmission=1.0, amplitude_noise=0.3, threshold=9.0, generator=seeded()
    )
    _, state = cell.scan(torch.ones(1, 20_000, 2))
    assert float(state.v.mean()) == pytest.approx(1.0, abs=0.01)
    assert float(state.v.std()) == pytest.approx(0.3, abs=0.01)
    level = MetaNeuron(tau=None, dt=1e-3, transmission=1.0, threshold_noise=0.5, generator=seeded())
    share = float(level(torch.full((1, 20_000, 2), 1.5)).mean())
    assert share == pytest.approx(0.5 * (1 + math.erf(1 / math.sqrt(2))), abs=0.01)


def test_meta_neuron_learns_how_reliable_it_is():
    cell = MetaNeuron(
        tau=9e-3, dt=1e-3, transmission=torch.full((4,), 0.5), reset="value", v_reset=torch.zeros(4),
        amplitude_noise=0.1, threshold_noise=0.1, learn=MetaNeuron.learnable, generator=seeded(),
    )  # fmt: skip
    cell(torch.rand(40, 3, 4, generator=seeded(1))).sum().backward()
    assert len(list(cell.parameters())) == 6
    assert all(float(p.grad.abs().max()) > 0 for p in cell.parameters())
    assert bool((cell.transmission.grad > 0).all())


def test_in_a_network_under_checkpoint():
    net = Sequential(Linear(6, 5), StochasticLIF(tau=9e-3, dt=1e-3, generator=seeded()), Linear(5, 2))
    x = (torch.rand(24, 3, 6, generator=seeded(1)) < 0.5).float()
    net[1].generator.manual_seed(4)
    y = net(x)
    y.sum().backward()
    expected = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    net[1].generator.manual_seed(4)
    again = checkpoint(net, x, chunk=5)
    again.sum().backward()
    assert torch.allclose(y, again, atol=1e-6)
    assert all(torch.allclose(p.grad, e, atol=1e-5) for p, e in zip(net.parameters(), expected, strict=True))


def test_copies_draw_the_same():
    for cell in cells():
        again = copy.deepcopy(cell)
        x = torch.ones(20, 2, 3) * 0.4
        assert torch.equal(cell(x), again(x))


def test_mistakes_are_said():
    with pytest.raises(UserError, match="form"):
        StochasticLIF(tau=9e-3, dt=1e-3, form="linear")
    with pytest.raises(UserError, match="positive width"):
        StochasticLIF(tau=9e-3, dt=1e-3, width=0.0)
    with pytest.raises(UserError, match="transmission"):
        MetaNeuron(tau=9e-3, dt=1e-3, transmission=1.5)
    with pytest.raises(UserError, match="v_reset"):
        MetaNeuron(tau=9e-3, dt=1e-3, reset="value")
    with pytest.raises(UserError, match="amplitude_noise"):
        MetaNeuron(tau=9e-3, dt=1e-3, learn="amplitude_noise")
    with pytest.raises(UserError, match="state"):
        StochasticLIF(tau=9e-3, dt=1e-3).scan(torch.zeros(3, 1, 2), (1, 2))
