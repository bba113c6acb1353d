"""Networks of SpikingJelly (Fang et al. 2023, Sci. Adv. 9:eadi1480) as ours, spike for spike; read against version 2.0."""

from __future__ import annotations

from typing import Any

from torch import nn

from snnkit.interop.peers import hard_reset, number, translate
from snnkit.layers import Sequential
from snnkit.neurons import IF, LIF, CubaLIF, Decay
from snnkit.neurons import surrogate as surrogates
from snnkit.neurons.surrogate import Surrogate


def from_spikingjelly(
    module: nn.Module, *, dt: float = 1e-3, surrogate: Surrogate | None = None
) -> Sequential:
    """A network of SpikingJelly as a `Sequential` that spikes alike.

    It runs whole sequences `[T, B, *N]` whatever the step mode of the original, and begins every one from rest. Read are
    nn.Sequential, IFNode, LIFNode, ParametricLIFNode and CUBALIFNode, and the layers a network is made of. Dropout
    here and there keeps one mask for a sequence.

    Args:
        module: nn.Sequential, or one of its layers.
        dt: what a step lasts [s], which SpikingJelly does not say; time constants follow from it, spikes do not.
        surrogate: stand-in for the derivative of a spike; None takes the module's own where it is an ATan or a
            Sigmoid, else `ATan(alpha=2.0)`.

    Raises:
        UserError: naming every module or option that has no counterpart.
    """
    return translate(module, "spikingjelly", NEURONS, dt, surrogate)


def _options(m: Any, surrogate: Surrogate | None) -> dict[str, Any]:
    theirs = m.surrogate_function
    kind = getattr(surrogates, type(theirs).__name__, None) if surrogate is None else None
    if kind is not None and type(theirs).__name__ in ("ATan", "Sigmoid"):
        surrogate = kind(alpha=float(theirs.alpha))
    return {
        "threshold": number(m.v_threshold),
        "compare": ">=",
        "surrogate": surrogate or surrogates.ATan(alpha=2.0),
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


NEURONS = {"IFNode": _if, "LIFNode": _lif, "ParametricLIFNode": _plif, "CUBALIFNode": _cuba}
