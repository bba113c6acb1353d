"""Networks of Norse (Pehle & Pedersen 2021, doi:10.5281/zenodo.4422025) as ours, spike for spike; read against version 1.1."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from snnkit.errors import UserError
from snnkit.interop.peers import hard_reset, number, translate
from snnkit.layers import Linear, Recurrent, Sequential
from snnkit.neurons import IF, LIF, CubaLIF, Izhikevich, LeakyIntegrator
from snnkit.neurons.surrogate import FastSigmoid, Surrogate


def from_norse(module: nn.Module, *, surrogate: Surrogate | None = None) -> Sequential:
    """A network of Norse as a `Sequential` that spikes alike.

    It runs whole sequences `[T, B, *N]`, of cells (one step) and their modules (sequences) alike. Read are SequentialState and
    nn.Sequential, Lift, LIFBoxCell, LIFCell and LIF, LIFRecurrentCell and LIFRecurrent, IAFCell and IAF, IzhikevichCell
    and Izhikevich, LIBoxCell, LICell and LI, and the layers of torch that a network is made of. Time steps are those of the cells; an Izhikevich cell
    of Norse takes 0.25 ms at its default dt of 1 ms, and is read as what it does.

    Args:
        module: SequentialState or nn.Sequential, or one of its layers.
        surrogate: stand-in for the derivative of a spike; None is what Norse's default "super" computes,
            `FastSigmoid(slope=1.0)`.

    Raises:
        UserError: naming every module or option that has no counterpart.
    """
    return translate(module, "norse", NEURONS, 0.0, surrogate)


def _tau(m: Any, inverse: Any) -> Any:
    """The time constant whose dt/τ is the factor that Norse computes, with its rounding."""
    return m.dt / number(m.dt * inverse)


def _options(m: Any, surrogate: Surrogate | None) -> dict[str, Any]:
    method = getattr(getattr(m.p, "reset_method", None), "__name__", "reset_value")
    if method not in ("reset_value", "reset_subtract"):
        raise UserError(f"the reset method {method} is not supported; reset_value and reset_subtract are")
    return {
        "threshold": number(m.p.v_th),
        "compare": ">",
        "surrogate": surrogate or FastSigmoid(slope=1.0),
        "dt": float(m.dt),
        **hard_reset(None if method == "reset_subtract" else m.p.v_reset),
    }


def _box(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    membrane = {"tau": _tau(m, m.p.tau_mem_inv), "solver": "euler", "v_leak": number(m.p.v_leak)}
    return LIF(scale_input=True, **membrane, **_options(m, surrogate))


def _lif(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    """The membrane sees the current before it decays; ours decays it first in the next step, which is the same."""
    taus = {"tau_syn": _tau(m, m.p.tau_syn_inv), "tau_mem": _tau(m, m.p.tau_mem_inv)}
    return CubaLIF(
        **taus,
        solver="euler",
        scale_input="membrane",
        v_leak=number(m.p.v_leak),
        **_options(m, surrogate),
    )


def _recurrent(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    """Weights in, then the cell and its weights back; the reset of theirs carries no gradient."""
    cell: Any = _lif(m, dt, surrogate)
    cell.detach_reset = True
    into = Linear(int(m.input_size), int(m.hidden_size))
    with torch.no_grad():
        into.weight.copy_(m.input_weights)
    return Sequential(into, Recurrent(cell, m.recurrent_weights))


def _iaf(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    return IF(initial_v=number(m.p.v_reset), **_options(m, surrogate))


def _li_box(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    membrane = {"tau": _tau(m, m.p.tau_mem_inv), "solver": "euler", "v_leak": number(m.p.v_leak)}
    return LeakyIntegrator(dt=float(m.dt), scale_input=True, **membrane)


def _li(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    """A synapse and a membrane, both leaky integrators."""
    synapse = LeakyIntegrator(tau=_tau(m, m.p.tau_syn_inv), dt=float(m.dt), solver="euler")
    return Sequential(synapse, _li_box(m, dt, surrogate))


def _izhikevich(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    p, start = m.p, m.spiking_method.s
    return Izhikevich(
        dt=float(p.tau_inv) * float(m.dt) * 1e-3,
        scheme="euler",
        a=number(p.a),
        b=number(p.b),
        c=number(p.c),
        d=number(p.d),
        quadratic=(float(p.sq), float(p.mn), float(p.bias)),
        v_peak=number(p.v_th),
        compare=">",
        initial_v=number(start.v),
        initial_u=number(start.u),
        surrogate=surrogate or FastSigmoid(slope=1.0),
    )


NEURONS = {
    "IzhikevichCell": _izhikevich,
    "Izhikevich": _izhikevich,
    "LIFBoxCell": _box,
    "LIFCell": _lif,
    "LIF": _lif,
    "LIFRecurrentCell": _recurrent,
    "LIFRecurrent": _recurrent,
    "IAFCell": _iaf,
    "IAF": _iaf,
    "LIBoxCell": _li_box,
    "LICell": _li,
    "LI": _li,
}
