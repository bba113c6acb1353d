"""Spike for spike with Norse 1.1, where it is installed (make peers)."""

import pytest
import torch
from parity import assert_alike, drive, ours
from torch import nn

from snnkit.errors import UserError
from snnkit.interop import from_norse
from snnkit.neurons import CubaLIF

norse = pytest.importorskip("norse.torch", reason="norse is not installed: make peers")
from norse.torch.functional import izhikevich
from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.leaky_integrator import LIParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.leaky_integrator_box import LIBoxCell, LIBoxParameters

TIES = pytest.mark.parametrize("ties", [False, True], ids=["random", "eighths"])


def tensor(x):
    return torch.as_tensor(x)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def run(cell, x):
    spikes, states, state = [], [], None
    for x_t in x:
        z, state = cell(x_t, state)
        spikes.append(z)
        states.append(state.v)
    return torch.stack(spikes), torch.stack(states)


@TIES
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reset_method": reset_subtract},
        {"v_reset": tensor(-0.25), "v_leak": tensor(0.125), "v_th": tensor(0.75)},
        {"tau_mem_inv": tensor(250.0)},
    ],
    ids=["zero", "subtract", "value", "fast"],
)
def test_lif_box(options, ties):
    cell, x = norse.LIFBoxCell(LIFBoxParameters(**options)), drive(4.0, ties)
    assert_alike(run(cell, x), ours(from_norse(cell), x))


@TIES
@pytest.mark.parametrize(
    "options",
    [{}, {"v_reset": tensor(-0.25), "v_leak": tensor(0.125)}, {"tau_syn_inv": tensor(500.0)}],
    ids=["zero", "value", "fast"],
)
def test_lif(options, ties):
    cell, x = norse.LIFCell(LIFParameters(**options)), drive(1.5, ties)
    assert_alike(run(cell, x), ours(from_norse(cell), x))


def test_lif_is_a_cuba_lif_whose_current_is_stored_before_it_decays():
    cell, x = norse.LIFCell(), drive(1.5, False)
    _, state = cell(x[0])
    mine = from_norse(cell)
    assert isinstance(mine[0], CubaLIF)
    _, (own,) = mine.step(x[0])
    torch.testing.assert_close(own.i * 0.8, state.i)
    assert torch.equal(own.v, state.v)


def test_sequences_on_the_kernels():
    module, x = norse.LIF(), drive(1.5, False)
    assert torch.equal(from_norse(module)(x), module(x)[0])


def test_recurrent_cells():
    torch.manual_seed(4)
    x = drive(1.5, False)
    for kind in (norse.LIFRecurrentCell, norse.LIFRecurrent):
        cell = kind(64, 32)
        theirs = cell(x)[0] if kind is norse.LIFRecurrent else run(cell, x)[0]
        assert 0.01 < theirs.mean() < 0.7
        assert torch.equal(from_norse(cell)(x), theirs)


@TIES
@pytest.mark.parametrize("v_reset", [0.0, -0.25])
def test_iaf(v_reset, ties):
    cell, x = norse.IAFCell(IAFParameters(v_reset=tensor(v_reset))), drive(1.0, ties)
    assert_alike(run(cell, x), ours(from_norse(cell), x))


@TIES
@pytest.mark.parametrize("kind", ["tonic_spiking", "tonic_bursting", "class_2_exc"])
def test_izhikevich(kind, ties):
    """Potentials are in mV here: on the upstroke they differ by as much as rounding grew."""
    cell, x = norse.IzhikevichCell(getattr(izhikevich, kind)), drive(30.0, ties)
    theirs, mine = run(cell, x), ours(from_norse(cell), x)
    assert 0.01 < theirs[0].mean() < 0.7
    assert torch.equal(theirs[0], mine[0])
    assert (theirs[1] - mine[1]).abs().max() < 0.5


@TIES
@pytest.mark.parametrize("leak", [0.0, 0.5])
def test_readouts(leak, ties):
    x = drive(1.0, ties)
    box = LIBoxCell(LIBoxParameters(v_leak=tensor(leak)))
    membrane = LIParameters(v_leak=tensor(leak))
    for cell in (box, norse.LICell(membrane), norse.LI(membrane)):
        theirs = (cell(x) if isinstance(cell, norse.LI) else run(cell, x))[0]
        torch.testing.assert_close(from_norse(cell)(x), theirs, rtol=2e-6, atol=2e-6)


def test_gradients_are_theirs():
    cell = norse.LIFBoxCell(dt=2e-3)
    x, weight = drive(4.0, False)[:40, :, :5], torch.linspace(0.5, 1.5, 40).view(-1, 1, 1)
    with torch.enable_grad():
        theirs, mine = x.clone().requires_grad_(), x.clone().requires_grad_()
        (run(cell, theirs)[0] * weight).sum().backward()
        (from_norse(cell)(mine) * weight).sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_a_network():
    torch.manual_seed(2)
    theirs = norse.SequentialState(
        nn.Conv2d(1, 4, 3, bias=False),
        norse.LIFCell(LIFParameters(v_th=tensor(0.2))),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 10),
        norse.LIFBoxCell(LIFBoxParameters(v_th=tensor(0.02), tau_mem_inv=tensor(200.0))),
    )
    x = (torch.rand(80, 2, 1, 8, 8) < 0.5).float()
    spikes, state = [], None
    for x_t in x:
        z, state = theirs(x_t, state)
        spikes.append(z)
    spikes = torch.stack(spikes)
    assert 0.02 < spikes.mean() < 0.9
    assert torch.equal(from_norse(theirs)(x), spikes)


def test_lifted_layers_and_time_steps():
    torch.manual_seed(2)
    theirs = norse.SequentialState(
        norse.Lift(nn.Conv2d(1, 4, 3)),
        norse.LIF(dt=2e-3),
        nn.Flatten(2),
        nn.Linear(144, 5),
        norse.LI(dt=2e-3),
    )
    x = 3 * (torch.rand(80, 2, 1, 8, 8) < 0.5).float()
    net = from_norse(theirs)
    assert net[1].dt == 2e-3
    torch.testing.assert_close(net(x), theirs(x)[0], rtol=1e-4, atol=1e-5)


def test_what_has_no_counterpart_is_named():
    with pytest.raises(UserError, match=r"layer 1 \(LSNNCell\) has no counterpart"):
        from_norse(norse.SequentialState(nn.Linear(3, 3), norse.LSNNCell(), norse.LIFCell()))
