"""Networks of SpikingJelly (Fang et al. 2023, Sci. Adv. 9:eadi1480) as ours, spike for spike; read against version 2.0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from snnkit.interop.peers import check, hard_reset, number, translate
from snnkit.layers import Sequential
from snnkit.neurons import EIF, IF, LIF, QIF, CubaLIF, Decay
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
    nn.Sequential, IFNode, LIFNode, ParametricLIFNode, CUBALIFNode, QIFNode and EIFNode, and the layers a network is made
    of. Dropout here and there keeps one mask for a sequence. The surrogates of QIF and EIF see the distance from the
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


def _options(m: Any, surrogate: Surrogate | None) -> dict[str, Any]:
    theirs = m.surrogate_function
    if surrogate is None and type(theirs).__name__ in SURROGATES:
        surrogate = SURROGATES[type(theirs).__name__](float(theirs.alpha))
    return {
        "threshold": number(m.v_threshold),
        "compare": ">=",
        "surrogate": surrogate or ATan(alpha=2.0),
        "detach_reset": m.detach_reset,
        "initial_v": 0.0 if m.v_reset is None else number(m.v_reset),
        **hard_reset(m.v_reset),
    }


def _if(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    return IF(dt=dt, **_options(m, surrogate))


def _lif(m: Any, dt: float, surrogate: Surrogate | None, **tau: Any) -> nn.Module:
    """Leaks to the potential of the reset, or to 0 when that subtracts."""
    options = tau or {"tau": number(m.tau) * dt, "solver": "euler_quotient"}
    return LIF(
        dt=dt,
        scale_input=bool(m.decay_input),
        v_leak=0.0 if m.v_reset is None else number(m.v_reset),
        **options,
        **_options(m, surrogate),
    )


def _plif(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    """1/τ = sigmoid(w), learned; ours learns the logarithm of τ."""
    return _lif(m, dt, surrogate, tau=dt / number(m.w.sigmoid()), solver="euler", learn="tau")


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
}
