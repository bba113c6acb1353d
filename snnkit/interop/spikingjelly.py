"""Networks of SpikingJelly (Fang et al. 2023, Sci. Adv. 9:eadi1480) as ours, spike for spike; read against version 2.0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from snnkit.interop.peers import check, hard_reset, number, translate
from snnkit.layers import Sequential
from snnkit.neurons import (
    EIF,
    IF,
    KLIF,
    LIF,
    PSN,
    QIF,
    ComplementaryLIF,
    CubaLIF,
    Decay,
    ParametricLIF,
    SlidingPSN,
    TernaryIF,
    TernaryLIF,
)
from snnkit.neurons.surrogate import ATan, PiecewiseQuadratic, Rectangular, Sigmoid, Surrogate

SURROGATES: dict[
    str, Callable[[float], Surrogate]
] = {  # those of the same derivative, which their alpha stands for
    "ATan": ATan,
    "PiecewiseQuadratic": PiecewiseQuadratic,
    "Rect": lambda alpha: Rectangular(width=1.0 / alpha),
    "Sigmoid": Sigmoid,
}


def from_spikingjelly(
    module: nn.Module, *, dt: float = 1e-3, surrogate: Surrogate | None = None
) -> Sequential:
    """A network of SpikingJelly as a `Sequential` that spikes alike.

    It runs whole sequences `[T, B, *N]` whatever the step mode of the original, and begins every one from rest. Read are
    nn.Sequential, IFNode, LIFNode, ParametricLIFNode, CUBALIFNode, KLIFNode, ComplementaryLIFNode, TernaryIFNode,
    TernaryLIFNode, QIFNode, EIFNode, PSN and SlidingPSN, and the layers a network is made of. Dropout here and there keeps
    one mask for a sequence. The surrogates of QIF and EIF see the distance from the
    threshold relative to that of the reset, so gradients differ from the original's by a factor.

    Args:
        module: nn.Sequential, or one of its layers.
        dt: what a step lasts [s], which SpikingJelly does not say; time constants follow from it, spikes do not.
        surrogate: stand-in for the derivative of a spike; None takes the module's own where it is an ATan, Sigmoid,
            PiecewiseQuadratic or Rect, else `ATan(alpha=2.0)`.

    Raises:
        UserError: naming every module or option that has no counterpart.
    """
    return translate(module, "spikingjelly", NEURONS, dt, surrogate)


def _surrogate(m: Any, given: Surrogate | None) -> Surrogate:
    theirs = m.surrogate_function
    if given is None and type(theirs).__name__ in SURROGATES:
        return SURROGATES[type(theirs).__name__](float(theirs.alpha))
    return given or ATan(alpha=2.0)


def _options(m: Any, surrogate: Surrogate | None) -> dict[str, Any]:
    return {
        "threshold": number(m.v_threshold),
        "compare": ">=",
        "surrogate": _surrogate(m, surrogate),
        "detach_reset": m.detach_reset,
        "initial_v": 0.0 if m.v_reset is None else number(m.v_reset),
        **hard_reset(m.v_reset),
    }


def _if(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    return IF(dt=dt, **_options(m, surrogate))


def _lif(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    """Leaks to the potential of the reset, or to 0 when that subtracts."""
    return LIF(
        tau=number(m.tau) * dt,
        dt=dt,
        solver="euler_quotient",
        scale_input=bool(m.decay_input),
        v_leak=0.0 if m.v_reset is None else number(m.v_reset),
        **_options(m, surrogate),
    )


def _plif(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    """1/τ = sigmoid(w), learned; the same w."""
    ours = ParametricLIF(
        tau=Decay(1.0 - number(m.w.sigmoid())),
        dt=dt,
        scale_input=bool(m.decay_input),
        v_leak=0.0 if m.v_reset is None else number(m.v_reset),
        **_options(m, surrogate),
    )
    with torch.no_grad():
        ours.w_tau.copy_(m.w)  # type: ignore[operator]
    return ours


def _klif(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    options = _options(m, surrogate)
    check({f"v_reset={m.v_reset}": options["reset"] == "value"})
    leak = {"tau": number(m.tau) * dt, "solver": "euler_quotient", "scale_input": bool(m.decay_input)}
    return KLIF(dt=dt, k=number(m.k), scale_reset=bool(m.scale_reset), **leak, **options)


def _clif(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    options = _options(m, surrogate)
    check({f"v_reset={m.v_reset}": options.pop("reset") != "subtract"})
    return ComplementaryLIF(tau=number(m.tau) * dt, dt=dt, **options)


def _ternary(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    options = _options(m, surrogate)
    check({f"v_reset={m.v_reset}": options["reset"] == "value"})
    if not hasattr(m, "tau"):
        return TernaryIF(dt=dt, **options)
    leak = {"tau": number(m.tau) * dt, "solver": "euler_quotient", "scale_input": bool(m.decay_input)}
    return TernaryLIF(dt=dt, **leak, **options)


def _psn(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    ours = PSN(m.T, dt=dt, surrogate=_surrogate(m, surrogate))
    return _weighted(ours, m)


def _sliding(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    return _weighted(SlidingPSN(m.k, dt=dt, surrogate=_surrogate(m, surrogate)), m)


@torch.no_grad()
def _weighted(ours: Any, theirs: Any) -> nn.Module:
    ours.weight.copy_(theirs.weight)
    ours.bias.copy_(theirs.bias.reshape(ours.bias.shape))
    return ours


def _cuba(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    synapse, membrane = Decay(number(m.c_decay)), Decay(number(m.v_decay))
    return CubaLIF(tau_syn=synapse, tau_mem=membrane, dt=dt, **_options(m, surrogate))


def _peaked(m: Any, dt: float, surrogate: Surrogate | None) -> dict[str, Any]:
    check({"v_reset=None": m.v_reset is None})
    options = _options(m, surrogate)
    peak = {"v_peak": options.pop("threshold"), "v_reset": number(m.v_reset), "v_rest": number(m.v_rest)}
    options.pop("reset")
    return {**options, **peak, "tau": number(m.tau) * dt, "dt": dt}


def _qif(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    return QIF(curvature=number(m.a0), v_critical=number(m.v_c), **_peaked(m, dt, surrogate))


def _eif(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    upswing = {"delta": number(m.delta_T), "v_threshold": number(m.theta_rh), "resistance": 1.0}
    return EIF(**upswing, **_peaked(m, dt, surrogate))


NEURONS = {
    "IFNode": _if,
    "LIFNode": _lif,
    "ParametricLIFNode": _plif,
    "CUBALIFNode": _cuba,
    "QIFNode": _qif,
    "EIFNode": _eif,
    "KLIFNode": _klif,
    "ComplementaryLIFNode": _clif,
    "TernaryIFNode": _ternary,
    "TernaryLIFNode": _ternary,
    "PSN": _psn,
    "SlidingPSN": _sliding,
}
