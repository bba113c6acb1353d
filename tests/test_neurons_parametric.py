"""PLIF is LIF under Euler's rule with 1/tau = sigmoid(w); KLIF against a loop and against SpikingJelly."""

import doctest

import pytest
import torch
from peer_runs import assert_same, drive, theirs

from snnkit.errors import UserError
from snnkit.neurons import KLIF, LIF, ParametricLIF, parametric

DT = 1e-3


def test_docstrings():
    found = doctest.testmod(parametric)
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_with_w_frozen_it_is_lif_with_tau_of_one_over_q(scaled, reset):
    w = torch.tensor([-1.0, 0.3, 1.2], dtype=torch.float64)
    options = {"dt": DT, "reset": reset, "scale_input": scaled}
    cell = ParametricLIF(tau=2 * DT, **options).double()
    cell.w_tau = torch.nn.Parameter(w)
    fixed = LIF(tau=DT / torch.sigmoid(w), solver="euler", **options)
    x = drive(80, 4, 3, high=3.0 if scaled else 0.9)
    spikes = cell(x)
    assert torch.equal(spikes, fixed(x)) and 0.02 < spikes.mean() < 0.9


def test_any_w_is_stable_and_begins_at_the_given_tau():
    cell = ParametricLIF(tau=[2e-3, 5e-3, 20e-3], dt=DT)
    assert torch.allclose(cell.tau, torch.tensor([2e-3, 5e-3, 20e-3]))
    assert float(cell.w_tau[0].detach()) == 0.0  # w = -ln(tau/dt - 1)
    with torch.no_grad():
        cell.w_tau.copy_(torch.tensor([-30.0, 0.0, 30.0]))
    _, state = cell.scan(drive(300, 1, 3, high=0.5).float())
    assert bool(torch.isfinite(state.v).all())


def test_gradient_of_w_is_q_times_one_minus_q_of_the_gradient_of_q():
    cell = ParametricLIF(tau=5e-3, dt=DT, reset="none").double()
    v_bar = torch.tensor(0.7, dtype=torch.float64)
    x, v0 = torch.tensor([[[0.4]]], dtype=torch.float64), torch.tensor([[0.1]], dtype=torch.float64)
    _, state = cell.scan(x, cell.State(v0))
    (v_bar * state.v).sum().backward()
    q = 0.2
    assert cell.w_tau.grad.item() == pytest.approx(0.7 * (0.4 - 0.1) * q * (1 - q), rel=1e-6)


def test_threshold_and_reset_potential_are_learned_per_neuron():
    cell = ParametricLIF(
        tau=3e-3, dt=DT, threshold=torch.ones(3), reset="value", v_reset=torch.zeros(3),
        learn=("tau", "threshold", "v_reset"), scale_input=False,
    )  # fmt: skip
    cell(drive(40, 2, 3).float()).sum().backward()
    assert {n for n, _ in cell.named_parameters()} == {"w_tau", "threshold", "v_reset"}
    assert all(float(p.grad.abs().min()) > 0 for n, p in cell.named_parameters() if n != "w_tau")
    with pytest.raises(UserError, match="v_reset"):
        ParametricLIF(tau=3e-3, dt=DT, learn=("v_reset",))
    with pytest.raises(UserError, match="0 < dt < tau"):
        ParametricLIF(tau=0.5e-3, dt=DT)


def test_moves_with_its_module_and_back_from_a_file():
    cell = ParametricLIF(tau=[2e-3, 4e-3], dt=DT)
    again = ParametricLIF(tau=9e-3, dt=DT)
    again.w_tau = torch.nn.Parameter(torch.zeros(2))
    again.load_state_dict(cell.state_dict())
    assert torch.allclose(again.tau, cell.tau)


@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("decay_input", [True, False])
def test_parametric_lif_of_spikingjelly(decay_input, v_reset):
    neuron, slopes = theirs()
    peer = neuron.ParametricLIFNode(
        init_tau=3.3, decay_input=decay_input, v_reset=v_reset, surrogate_function=slopes.ATan()
    )
    mine = ParametricLIF(
        tau=3.3 * DT, dt=DT, scale_input=decay_input, reset="subtract" if v_reset is None else "zero"
    ).double()
    peer.double()
    mine.w_tau = torch.nn.Parameter(peer.w.detach().clone())
    assert_same(peer, mine, drive(60, 2, 5, high=3.0 if decay_input else 0.9))


@pytest.mark.parametrize("scale_reset", [True, False])
@pytest.mark.parametrize("v_reset", [0.0, None])
def test_klif_of_spikingjelly(v_reset, scale_reset):
    neuron, slopes = theirs()
    peer = neuron.KLIFNode(scale_reset, tau=2.0, v_reset=v_reset, surrogate_function=slopes.ATan())
    peer.k.data.fill_(1.25)
    mine = KLIF(
        tau=2 * DT, dt=DT, k=1.25, solver="euler", scale_input=True, scale_reset=scale_reset,
        reset="subtract" if v_reset is None else "zero",
    )  # fmt: skip
    assert_same(peer, mine.double(), drive(60, 2, 5, low=-0.6, high=2.5))


def test_klif_with_slope_one_and_no_negative_input_is_lif():
    x = drive(60, 2, 3, low=0.0)
    assert torch.equal(KLIF(tau=9e-3, dt=DT)(x), LIF(tau=9e-3, dt=DT)(x))


def test_klif_forgets_what_is_below_zero_and_has_no_gradient_there():
    cell = KLIF(tau=9e-3, dt=DT, detach_reset=True)
    x = torch.tensor([-0.5, 0.5]).view(2, 1, 1).requires_grad_()
    _, state = cell.scan(x)
    state.v.sum().backward()
    assert state.v.item() == 0.5 and x.grad.flatten().tolist() == [0.0, 1.0]
    with pytest.raises(UserError, match="positive k"):
        KLIF(tau=9e-3, dt=DT, k=0.0)
