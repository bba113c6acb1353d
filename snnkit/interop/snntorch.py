"""Networks of snnTorch (Eshraghian et al. 2023, Proc. IEEE 111:1016) as ours, spike for spike; read against version 1.0."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from snnkit.interop.peers import LAYERS, check, everywhere, number, translate
from snnkit.layers import Linear, Recurrent, Sequential
from snnkit.neurons import IF, LIF, Alpha, CubaLIF, Decay
from snnkit.neurons.surrogate import ATan, Surrogate


def from_snntorch(module: nn.Module, *, dt: float = 1e-3, surrogate: Surrogate | None = None) -> Sequential:
    """A network of snnTorch as a `Sequential` that spikes alike.

    It runs whole sequences `[T, B, *N]`, begins every one from rest and answers spikes only. Read are nn.Sequential,
    Leaky, Synaptic, RLeaky, RSynaptic, Lapicque and Alpha (without a reset, as its others have no like), and the layers of torch that a
    network is made of.

    A delayed reset stays one: `reset_timing="next"`. With `reset_mechanism="zero"` a Leaky's delay changes no spike,
    so ours resets at once, and its state at a spike is 0 where snnTorch still shows the charge.

    Args:
        module: nn.Sequential, or one of its layers.
        dt: what a step lasts [s], which snnTorch does not say; time constants follow from it, spikes do not.
        surrogate: stand-in for the derivative of a spike. snnTorch hides its own in a function, so it is not read;
            None is its default, `ATan(alpha=2.0)`.

    Raises:
        UserError: naming every module or option that has no counterpart.
    """
    return translate(module, "snntorch", NEURONS, dt, surrogate)


def _options(m: Any, surrogate: Surrogate | None) -> dict[str, Any]:
    check(
        {
            "inhibition": m.inhibition,
            "state_quant": m.state_quant,
            "graded_spikes_factor": not everywhere(m.graded_spikes_factor, 1.0),
        }
    )
    return {
        "threshold": number(m.threshold),
        "compare": ">",
        "surrogate": surrogate or ATan(alpha=2.0),
        "reset": m.reset_mechanism,
        "detach_reset": getattr(m, "reset_delay", True),  # the flag of the last step carries no gradient
    }


def _learned(m: Any, **names: str) -> tuple[str, ...]:
    return tuple(ours for ours, theirs in names.items() if isinstance(getattr(m, theirs), nn.Parameter))


def _decay(beta: Any) -> Decay:
    return Decay(number(beta.clamp(0, 1)))


def _leaky(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    options = _options(m, surrogate)
    if options["reset"] == "subtract":
        options["reset_timing"] = "next" if m.reset_delay else "carry"
    if everywhere(m.beta.clamp(0, 1), 1.0):
        return IF(dt=dt, learn=_learned(m, threshold="threshold"), **options)
    return LIF(tau=_decay(m.beta), dt=dt, learn=_learned(m, tau="beta", threshold="threshold"), **options)


def _rleaky(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    """A Leaky and the synapses back to it, save that a reset to zero clears the charge of this step too."""
    options = _options(m, surrogate)
    if m.reset_delay:
        options["reset_timing"] = "next"
    elif options["reset"] == "subtract":
        options["reset_timing"] = "carry"
    learn = _learned(m, tau="beta", threshold="threshold")
    return Recurrent(LIF(tau=_decay(m.beta), dt=dt, learn=learn, **options), _back(m))


def _rsynaptic(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    check({"reset_delay=False": not m.reset_delay})
    return Recurrent(_synaptic(m, dt, surrogate), _back(m))


def _back(m: Any) -> nn.Module:
    """Their recurrent synapses as ours."""
    kind = type(m.recurrent).__name__
    if kind in LAYERS:
        return LAYERS[kind](m.recurrent)
    check({f"V of shape {tuple(m.V.shape)} (a vector of one value per neuron is)": m.V.dim() != 1})
    synapses = Linear(len(m.V), len(m.V))
    with torch.no_grad():
        synapses.weight.copy_(m.V.diag())
    return synapses


def _synaptic(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    options = _options(m, surrogate)
    if m.reset_delay:
        options["reset_timing"] = "next"
    elif options["reset"] == "subtract":
        options["reset_timing"] = "carry"
    learn = _learned(m, tau_syn="alpha", tau_mem="beta", threshold="threshold")
    return CubaLIF(tau_syn=_decay(m.alpha), tau_mem=_decay(m.beta), dt=dt, learn=learn, **options)


def _lapicque(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    """u = (1 - k)·u + k·R·x, k = time_step/(R·C): ours in units of R, so that the gain is k."""
    r, options = number(m.R), _options(m, surrogate)
    check({"a negative or missing R": not (r > 0 if isinstance(r, float) else (r > 0).all())})
    options["threshold"] = options["threshold"] / r
    k = number(m.time_step / (m.R * m.C))
    return LIF(
        tau=Decay(1.0 - k),
        dt=dt,
        scale_input=True,
        reset_timing="next",
        learn=_learned(m, threshold="threshold"),
        **options,
    )


def _alpha(m: Any, dt: float, surrogate: Surrogate | None) -> nn.Module:
    """Both kernels are αⁿ - βⁿ up to a factor: theirs has c in front, ours a peak of 1; the threshold takes it up."""
    options = _options(m, surrogate)
    alpha, beta = m.alpha.clamp(0, 1).double(), m.beta.clamp(0, 1).double()
    check(
        {
            f"reset_mechanism={options['reset']!r}": options["reset"] != "none",
            "alpha below beta": bool((alpha <= beta).any()),
        }
    )
    decays: Any = {"tau_mem": _decay(alpha), "tau_syn": _decay(beta), "dt": dt}
    height = Alpha(**decays).constants()["gain"].detach() / (alpha - beta)
    theirs = alpha.log() / (beta.log() - alpha.log()) + 1.0
    options["threshold"] = number(options["threshold"] * height / theirs)
    return Alpha(
        learn=_learned(m, tau_mem="alpha", tau_syn="beta", threshold="threshold"), **decays, **options
    )


NEURONS = {
    "Leaky": _leaky,
    "Synaptic": _synaptic,
    "Lapicque": _lapicque,
    "Alpha": _alpha,
    "RLeaky": _rleaky,
    "RSynaptic": _rsynaptic,
}
