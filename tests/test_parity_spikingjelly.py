"""Spike for spike with SpikingJelly 2.0, where it is installed (make peers)."""

import pytest
import torch
from parity import assert_alike, drive, ours, step_by_step
from torch import nn

from snnkit.errors import UserError
from snnkit.interop import from_spikingjelly
from snnkit.neurons import LIF, surrogate

pytest.importorskip("spikingjelly", reason="spikingjelly is not installed: make peers")
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based import surrogate as theirs_surrogate

TIES = pytest.mark.parametrize("ties", [False, True], ids=["random", "eighths"])
RESETS = pytest.mark.parametrize("v_reset", [0.0, None, -0.25], ids=["zero", "subtract", "value"])


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def compare(cell, x):
    net = from_spikingjelly(cell)
    assert_alike(step_by_step(cell, x, lambda cell, _: cell.v), ours(net, x))


@TIES
@RESETS
def test_if(v_reset, ties):
    compare(neuron.IFNode(v_reset=v_reset), drive(1.0, ties))


@TIES
@RESETS
@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("tau", [2.0, 3.3])
def test_lif(tau, decay_input, v_reset, ties):
    x = drive(3.0 if decay_input else 1.0, ties)
    compare(neuron.LIFNode(tau=tau, decay_input=decay_input, v_reset=v_reset), x)


@TIES
@RESETS
@pytest.mark.parametrize("decay_input", [True, False])
def test_parametric_lif(decay_input, v_reset, ties):
    cell = neuron.ParametricLIFNode(init_tau=3.3, decay_input=decay_input, v_reset=v_reset)
    assert dict(from_spikingjelly(cell).named_parameters())["0.w_tau"] == cell.w
    compare(cell, drive(3.0 if decay_input else 1.0, ties))


@TIES
@RESETS
def test_cuba_lif(v_reset, ties):
    compare(neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75, v_threshold=0.5, v_reset=v_reset), drive(0.3, ties))


@TIES
@pytest.mark.parametrize("tau", [2.0, 3.3])
@pytest.mark.parametrize("kind", [neuron.QIFNode, neuron.EIFNode])
def test_neurons_with_an_upswing(kind, tau, ties):
    compare(kind(tau=tau), drive(1.5, ties))


@TIES
@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("scale_reset", [False, True])
@pytest.mark.parametrize("decay_input", [False, True])
def test_klif(v_reset, scale_reset, decay_input, ties):
    cell = neuron.KLIFNode(v_reset=v_reset, scale_reset=scale_reset, decay_input=decay_input)
    cell.k.fill_(2.0 if ties else 1.3)  # they divide θ by k where we divide u - θ: alike to rounding
    compare(cell, drive(1.0 if decay_input else 0.5, ties))


@TIES
def test_complementary_lif(ties):
    compare(neuron.ComplementaryLIFNode(tau=2.0), drive(1.5, ties))


@TIES
@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("cell", [neuron.TernaryIFNode, neuron.TernaryLIFNode])
def test_ternary(cell, v_reset, ties):
    compare(cell(v_reset=v_reset), drive(1.0, ties))


def test_parallel_neurons():
    x = drive(1.0, False)
    torch.manual_seed(0)
    whole = neuron.PSN(200)
    whole.weight.mul_(3.0)
    for cell in (whole, neuron.SlidingPSN(k=3, step_mode="m")):
        theirs = cell(x)
        assert 0.01 < theirs.mean() < 0.7
        assert torch.equal(from_spikingjelly(cell)(x), theirs)


def test_whole_sequences_on_the_kernels():
    cell = neuron.LIFNode(tau=2.0, v_reset=-0.25, step_mode="m")
    x = drive(3.0, True)
    assert torch.equal(from_spikingjelly(cell)(x), cell(x))


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("kind", ["ATan", "Sigmoid", "PiecewiseQuadratic", "Rect"])
def test_gradients_are_theirs(kind, detach):
    smooth = getattr(theirs_surrogate, kind)(alpha=1.5)
    cell = neuron.LIFNode(
        tau=2.5, v_reset=None, detach_reset=detach, surrogate_function=smooth, step_mode="m"
    )
    x, weight = drive(3.0, False)[:40, :, :5], torch.linspace(0.5, 1.5, 40).view(-1, 1, 1)
    with torch.enable_grad():
        theirs, mine = x.clone().requires_grad_(), x.clone().requires_grad_()
        (cell(theirs) * weight).sum().backward()
        (from_spikingjelly(cell)(mine) * weight).sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("torch_layers", [True, False])
def test_a_network(torch_layers):
    torch.manual_seed(5)
    k = nn if torch_layers else layer
    theirs = nn.Sequential(
        k.Conv2d(2, 4, 3, padding=1, bias=False),
        k.BatchNorm2d(4),
        neuron.LIFNode(tau=2.0, v_threshold=0.4),
        k.AvgPool2d(2, 2),
        nn.Sequential(neuron.ParametricLIFNode(init_tau=1.5, v_reset=None, v_threshold=0.2), k.Flatten()),
        k.Dropout(0.5),
        k.Linear(64, 12),
        neuron.IFNode(v_threshold=0.3),
    ).eval()
    theirs[1].running_var.fill_(0.1)
    x = (torch.rand(50, 3, 2, 8, 8) < 0.4).float()
    spikes = torch.stack([theirs(x_t) for x_t in x])
    assert 0.02 < spikes.mean() < 0.9
    assert torch.equal(from_spikingjelly(theirs)(x), spikes)
    if not torch_layers:
        functional.set_step_mode(theirs, "m")
        functional.reset_net(theirs)
        assert torch.equal(from_spikingjelly(theirs)(x), theirs(x))


def test_options_are_kept():
    cell = neuron.LIFNode(tau=4.0, detach_reset=True, surrogate_function=theirs_surrogate.ATan(alpha=3.0))
    mine = from_spikingjelly(cell, dt=2e-3)[0]
    assert isinstance(mine, LIF) and mine.tau.item() == pytest.approx(8e-3) and mine.detach_reset
    assert mine.surrogate == surrogate.ATan(alpha=3.0) and mine.compare == ">="


def test_what_has_no_counterpart_is_named():
    with pytest.raises(
        UserError, match=r"layer 0 \(WSLinear\) has no counterpart.*layer 1\.0 \(GatedLIFNode\)"
    ):
        from_spikingjelly(
            nn.Sequential(layer.WSLinear(4, 4), nn.Sequential(neuron.GatedLIFNode(4)), neuron.IFNode())
        )
    with pytest.raises(UserError, match="v_reset=None is not supported"):
        from_spikingjelly(neuron.QIFNode(v_reset=None))
    with pytest.raises(UserError, match=r"layer 0 \(AvgPool2d\): ceil_mode is not supported"):
        from_spikingjelly(nn.Sequential(layer.AvgPool2d(2, ceil_mode=True)))
