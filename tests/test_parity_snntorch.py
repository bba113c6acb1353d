"""Spike for spike with snnTorch 1.0, where it is installed (make peers)."""

import pytest
import torch
from parity import assert_alike, drive, ours, step_by_step
from torch import nn

from snnkit.errors import UserError
from snnkit.interop import from_snntorch, to_nir
from snnkit.neurons import LIF, CubaLIF, surrogate

snn = pytest.importorskip("snntorch", reason="snntorch is not installed: make peers")

TIES = pytest.mark.parametrize("ties", [False, True], ids=["random", "eighths"])


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@TIES
@pytest.mark.parametrize("beta", [0.9, 0.5, 0.2])
@pytest.mark.parametrize(
    "reset, delay", [("subtract", True), ("zero", True), ("none", True), ("subtract", False), ("zero", False)]
)
def test_leaky(beta, reset, delay, ties):
    cell = snn.Leaky(beta=beta, reset_mechanism=reset, reset_delay=delay, init_hidden=True)
    x = drive(1.0, ties) - (0.375 if reset == "none" else 0.0)
    spikes, states = step_by_step(cell, x, lambda cell, _: cell.mem)
    if reset == "zero" and delay:  # theirs shows the charge of a spike for one more step
        states = states * (1 - spikes)
    assert_alike((spikes, states), ours(from_snntorch(cell), x))


@TIES
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("delay", [True, False])
def test_synaptic(reset, delay, ties):
    cell = snn.Synaptic(alpha=0.5, beta=0.75, reset_mechanism=reset, reset_delay=delay, init_hidden=True)
    x = drive(0.4, ties) - (0.125 if reset == "none" else 0.0)
    assert_alike(step_by_step(cell, x, lambda cell, _: cell.mem), ours(from_snntorch(cell), x))


@TIES
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("given", [{"R": 1.0, "C": 4.0}, {"R": 2.0, "C": 4.0}, {"beta": 0.9}], ids=str)
def test_lapicque(reset, given, ties):
    cell = snn.Lapicque(**given, time_step=1, reset_mechanism=reset, init_hidden=True)
    x = drive(2.0, ties)
    (spikes, states), ratio = step_by_step(cell, x, lambda cell, _: cell.mem), given.get("R", 1.0)
    assert_alike((spikes, states / ratio), ours(from_snntorch(cell), x), high=0.9)


@TIES
def test_alpha(ties):
    cell = snn.Alpha(alpha=0.9, beta=0.8, reset_mechanism="none", init_hidden=True)
    x = drive(1.0, ties) - 0.375
    spikes, states = step_by_step(cell, x, lambda cell, _: cell.mem)
    net = from_snntorch(cell)
    assert_alike((spikes, states * net[0].threshold.item()), ours(net, x), rounding=2e-5)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("synapses", ["dense", "one to one"])
def test_rleaky(reset, delay, synapses):
    torch.manual_seed(1)
    dense = (
        {"linear_features": 64} if synapses == "dense" else {"all_to_all": False, "V": torch.rand(64) - 0.5}
    )
    cell = snn.RLeaky(beta=0.9, reset_mechanism=reset, reset_delay=delay, init_hidden=True, **dense)
    x = drive(1.0, False)
    theirs = torch.stack([cell(x_t) for x_t in x])
    assert 0.01 < theirs.mean() < 0.7
    assert torch.equal(from_snntorch(cell)(x), theirs)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_rsynaptic(reset):
    torch.manual_seed(1)
    cell = snn.RSynaptic(alpha=0.5, beta=0.75, linear_features=64, reset_mechanism=reset, init_hidden=True)
    x = drive(0.4, False)
    theirs = torch.stack([cell(x_t) for x_t in x])
    assert 0.01 < theirs.mean() < 0.7
    assert torch.equal(from_snntorch(cell)(x), theirs)


def test_a_residual_above_threshold_is_carried_as_they_do():
    """The trap of reset_delay=False: from 3.5 without leak, spikes stop while the membrane is still above 1."""
    cell = snn.Leaky(beta=1.0, reset_delay=False, init_hidden=True)
    x = torch.zeros(6, 1, 1)
    x[0] = 3.5
    theirs = step_by_step(cell, x, lambda cell, _: cell.mem)
    assert theirs[0].flatten().tolist() == [1, 1, 0, 0, 0, 0]
    assert_alike(theirs, ours(from_snntorch(cell), x))


def test_gradients_are_theirs():
    """The delayed reset carries no gradient, and the surrogate is the default of both."""
    cell = snn.Leaky(beta=0.9, threshold=0.8, learn_threshold=True, learn_beta=True)
    x = drive(1.0, False)[:50, :, :3]
    weight = torch.linspace(0.5, 1.5, 50).view(-1, 1, 1)
    with torch.enable_grad():
        theirs = x.clone().requires_grad_()
        mem, total = cell.reset_mem(), 0.0
        for x_t, w in zip(theirs, weight, strict=True):
            s, mem = cell(x_t, mem)
            total = total + (s * w).sum()
        total.backward()
        mine = x.clone().requires_grad_()
        net = from_snntorch(cell)
        (net(mine) * weight).sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net[0].threshold.grad.sum(), cell.threshold.grad.sum(), rtol=1e-4, atol=1e-4)
    assert net[0].log_tau.grad.abs() > 0


def test_a_network():
    torch.manual_seed(3)
    theirs = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        snn.Leaky(beta=0.8, init_hidden=True),
        nn.AvgPool2d(2),
        snn.Synaptic(alpha=0.6, beta=0.7, threshold=0.2, reset_mechanism="zero", init_hidden=True),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(64, 10),
        snn.Leaky(beta=torch.rand(10), threshold=0.1, init_hidden=True),
    ).eval()
    theirs[1].running_var.fill_(0.05)
    x = (torch.rand(60, 2, 1, 8, 8) < 0.4).float()
    net = from_snntorch(theirs)
    spikes = torch.stack([theirs(x_t) for x_t in x])
    assert 0.02 < spikes.mean() < 0.9
    assert torch.equal(net(x), spikes)
    assert not net.training


def test_options_are_kept():
    cell = snn.Leaky(beta=0.9, threshold=0.5, learn_beta=True)
    ours_ = from_snntorch(cell, dt=2e-3, surrogate=surrogate.Triangle())[0]
    assert isinstance(ours_, LIF) and ours_.dt == 2e-3 and ours_.surrogate == surrogate.Triangle()
    assert ours_.decay(ours_.tau).item() == pytest.approx(0.9, rel=1e-6)
    assert dict(ours_.named_parameters()).keys() == {"log_tau"}
    cuba = from_snntorch(snn.Synaptic(0.9, 0.8))[0]
    assert isinstance(cuba, CubaLIF) and cuba.reset_timing == "next"


def test_what_has_no_counterpart_is_named():
    with pytest.raises(
        UserError, match=r"layer 1 \(LeakyParallel\) has no counterpart.*layer 3 \(MaxPool2d\)"
    ):
        from_snntorch(
            nn.Sequential(nn.Linear(4, 4), snn.LeakyParallel(4, 4), snn.Leaky(0.9), nn.MaxPool2d(2))
        )
    with pytest.raises(UserError, match=r"Alpha: reset_mechanism='zero' is not supported"):
        from_snntorch(snn.Alpha(0.9, 0.8))
    with pytest.raises(UserError, match=r"Leaky: inhibition is not supported"):
        from_snntorch(snn.Leaky(0.9, inhibition=True))
    with pytest.raises(UserError, match=r"layer 0 .* reset_timing='next'"):
        to_nir(from_snntorch(snn.Leaky(0.9)), input_shape=4)


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.lif = snn.Leaky(0.9)


def test_a_module_of_ones_own_is_refused_with_a_way_out():
    with pytest.raises(UserError, match=r"Custom has no counterpart here; pass its nn\.Sequential"):
        from_snntorch(Custom())
    with pytest.raises(TypeError, match="takes a network"):
        from_snntorch("net")
