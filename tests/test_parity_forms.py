"""The options by which a membrane takes the form that another library gives it; no other library is needed here."""

import copy
import pickle  # noqa: TID251

import pytest
import torch
from parity import drive

from snnkit.errors import UserError
from snnkit.interop import from_nir, load, save, to_nir
from snnkit.layers import Sequential
from snnkit.neurons import IF, LIF, CubaLIF, Decay, LeakyIntegrator, Neuron, ParametricLIF, neuron

MS = 1e-3


def run(cell, x):
    spikes, state = cell.scan(torch.as_tensor(x, dtype=torch.float64).view(-1, 1, 1))
    return spikes.flatten().tolist(), round(state.v.item(), 12)


@pytest.mark.parametrize("solver", ["exact", "euler", "euler_quotient"])
@pytest.mark.parametrize("factor", [0.1, 0.5, 0.9])
def test_a_decay_is_what_is_left_after_one_step(solver, factor):
    cell = LeakyIntegrator(tau=Decay(factor), dt=MS, solver=solver)
    assert run(cell, [1.0, 0.0])[1] == pytest.approx(factor, rel=1e-12)
    assert Decay(factor).per_step == factor


def test_euler_takes_its_factor_from_the_time_constant():
    assert run(LeakyIntegrator(tau=4 * MS, dt=MS, solver="euler"), [1.0, 0.0])[1] == 0.75
    assert run(LeakyIntegrator(tau=4 * MS, dt=MS, solver="euler", scale_input=True), [1.0])[1] == 0.25


@pytest.mark.parametrize("solver", ["exact", "euler", "euler_quotient"])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_membrane_rests_at_its_leak(solver, scaled):
    cell = LIF(tau=4 * MS, dt=MS, v_leak=-0.5, solver=solver, scale_input=scaled)
    assert run(cell, [0.0] * 50)[1] == -0.5  # begins there and stays
    moved = LIF(tau=4 * MS, dt=MS, v_leak=-0.5, solver=solver, initial_v=0.5)
    assert run(moved, [0.0] * 200)[1] == pytest.approx(-0.5)


def test_where_and_when_a_spike_resets():
    half = {"tau": Decay(0.5), "dt": MS}
    assert run(LIF(**half, reset="value", v_reset=-0.25), [1.5]) == ([1], -0.25)
    assert run(LIF(**half, reset_timing="next"), [1.5]) == ([1], 1.5)  # the charge
    assert run(LIF(**half, reset_timing="next"), [1.5, 0.0]) == ([1, 0], -0.25)  # 0.5·1.5 - 1
    assert run(LIF(**half), [1.5, 0.0]) == ([1, 0], 0.25)  # 0.5·(1.5 - 1)
    assert run(IF(reset="zero", reset_timing="next"), [1.5, 0.5]) == ([1, 0], 0.0)
    assert run(IF(reset_timing="carry"), [3.5, 0.0, 0.0, 0.0]) == ([1, 1, 0, 0], 1.5)
    assert run(IF(), [3.5, 0.0, 0.0, 0.0]) == ([1, 1, 1, 0], 0.5)


def test_the_order_of_synapse_and_membrane():
    options = {"tau_syn": Decay(0.5), "tau_mem": Decay(0.25), "dt": MS, "threshold": 9.0}
    assert run(CubaLIF(**options), [1.0, 0.0])[1] == 0.75  # 0.25·1 + 0.5
    assert run(CubaLIF(**options, order="membrane_first"), [1.0, 0.0])[1] == 1.0  # 0 before, then 1
    assert run(CubaLIF(**options, order="decay_last"), [1.0, 0.0])[1] == 0.375  # 0.25·0.5 + 0.25
    assert run(CubaLIF(**options, scale_input="membrane"), [1.0])[1] == 0.75
    assert run(CubaLIF(**options, scale_input=True), [1.0])[1] == 0.375


@pytest.mark.parametrize(
    "build, says",
    [
        (lambda: Decay(1.0), "between 0 and 1.*IF has no decay"),
        (lambda: Decay([0.5, -0.1]), "between 0 and 1"),
        (lambda: LIF(tau=5 * MS, dt=MS, solver="eulre"), "unknown solver 'eulre'.*euler"),
        (lambda: LIF(tau=5 * MS, dt=MS, reset_timing="later"), "unknown reset_timing"),
        (lambda: LIF(tau=5 * MS, dt=MS, v_reset=0.5), 'reset="value" and v_reset.*and a v_reset'),
        (lambda: LIF(tau=5 * MS, dt=MS, reset="value"), "and no v_reset"),
        (lambda: LIF(tau=5 * MS, dt=MS, reset="zero", reset_timing="carry"), "a way to subtract"),
        (lambda: CubaLIF(tau_syn=5 * MS, tau_mem=5 * MS, dt=MS, order="jump"), "unknown order 'jump'"),
        (lambda: CubaLIF(tau_syn=5 * MS, tau_mem=5 * MS, dt=MS, scale_input="syn"), 'or "membrane"'),
        (
            lambda: CubaLIF(tau_syn=5 * MS, tau_mem=5 * MS, dt=MS, order="decay_last", scale_input=True),
            "takes scale_input False",
        ),
    ],
)
def test_what_cannot_be_is_said(build, says):
    with pytest.raises(UserError, match=says):
        build()


def test_an_option_changed_to_what_cannot_be_leaves_the_neuron_as_it_was():
    cell = LIF(tau=5 * MS, dt=MS)
    with pytest.raises(UserError, match="v_reset"):
        cell.reset = "value"
    assert cell.reset == "subtract"
    cell.reset = "zero"
    assert run(cell, [1.5]) == ([1], 0.0)


def test_forms_are_copied_and_pickled_whole():
    cell = LIF(
        tau=[4 * MS, 9 * MS], dt=MS, solver="euler", v_leak=0.1, reset="value", v_reset=-0.1, learn="tau"
    )
    x = drive(1.0, False)[:30, :, :2]
    for other in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):  # noqa: S301
        assert other.equation is cell.equation
        assert torch.equal(other(x), cell(x))
    assert "solver='euler'" in repr(cell)


@pytest.mark.parametrize(
    "cell",
    [
        LIF(tau=Decay(0.2), dt=MS, threshold=0.5),
        LIF(tau=3 * MS, dt=MS, solver="euler", scale_input=True, threshold=0.4),
        LIF(tau=Decay(0.3), dt=MS, solver="euler_quotient", learn="tau"),
        CubaLIF(tau_syn=Decay(0.2), tau_mem=Decay([0.3] * 4 + [0.8] * 4), dt=MS, solver="euler"),
        LeakyIntegrator(tau=Decay(0.3), dt=MS, solver="euler"),
        ParametricLIF(tau=3.3 * MS, dt=MS, threshold=0.4),
    ],
    ids=lambda c: f"{type(c).__name__}-{c.solver}",
)
def test_files_carry_factors_and_solvers(tmp_path, cell):
    x = drive(1.0, False)[:100, :, :8]
    save(Sequential(cell), tmp_path / "net.nir", input_shape=8)
    back = load(tmp_path / "net.nir")
    assert cell(x).mean() > 0.05
    assert torch.equal(back(x), cell(x)) and back[0].solver == cell.solver


@neuron("x", v=0.0)
def other_step(x, v, *, decay, theta, fire, reset):
    s, r = fire(v + 0.5 * x - theta)
    return s, reset(decay * v + x, r, theta)


class Derived(LIF):
    equation = other_step


@pytest.mark.parametrize(
    "cell, says",
    [
        (LIF(tau=5 * MS, dt=MS, reset_timing="next"), "LIF with reset_timing='next'"),
        (IF(reset="value", v_reset=0.5), 'IF with reset="value"'),
        (LeakyIntegrator(tau=5 * MS, dt=MS, v_leak=0.5), "LeakyIntegrator with a v_leak other than 0"),
        (CubaLIF(tau_syn=2 * MS, tau_mem=5 * MS, dt=MS, order="decay_last"), "order='decay_last'"),
        (CubaLIF(tau_syn=2 * MS, tau_mem=5 * MS, dt=MS, scale_input="membrane"), "scale_input='membrane'"),
        (Derived(tau=5 * MS, dt=MS), "0 is a Derived, a neuron with a step of its own"),
    ],
    ids=lambda c: type(c).__name__ if isinstance(c, Neuron) else "",
)
def test_files_refuse_what_they_do_not_carry(cell, says):
    with pytest.raises(UserError, match=says):
        to_nir(Sequential(cell), input_shape=4)


def test_graphs_know_the_factor_per_step_for_chips():
    graph = to_nir(Sequential(LIF(tau=4 * MS, dt=MS, solver="euler")), input_shape=4)
    assert graph.nodes["0"].metadata["decay"] == 0.75
    assert from_nir(graph)[0].solver == "euler"
