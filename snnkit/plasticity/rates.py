"""Rules of rates: Oja's, homeostasis to a target rate, and synapses that tire or facilitate."""

from __future__ import annotations

from snnkit.errors import UserError
from snnkit.plasticity.registry import register
from snnkit.plasticity.rule import Rule, Trace

ms = 1e-3
Bounds = tuple[float | None, float | None] | None


@register
def oja(*, eta: float = 0.01, tau: float = 20 * ms, bounds: tuple[float, float] = (-1.0, 1.0)) -> Rule:
    """w += η·y·(x - y·w) at post: Hebb's rule that keeps the norm of the weights (Oja 1982, J Math Biol 15:267).

    Where η·y² > 2 it diverges, so it has bounds.
    """
    if bounds is None or None in bounds:
        raise UserError("Oja's rule diverges at high rates: give it both bounds")
    return Rule(
        traces={"x": Trace("pre", tau), "y": Trace("post", tau)},
        on_post=lambda w, x, y, eta: w + eta * y * (x - y * w),
        const={"eta": eta},
        bounds=bounds,
    )


@register
def homeostatic_stdp(
    *,
    a_plus: float = 0.01,
    a_minus: float = 0.0105,
    rate: float = 10.0,
    k: float = 1e-3,
    tau: float = 20 * ms,
    tau_rate: float = 1.0,
    bounds: Bounds = (0.0, 1.0),
) -> Rule:
    """Pair STDP with synaptic scaling to a target rate: w += A₊·x + k·(rate - z)·w at post (van Rossum, Bi and Turrigiano 2000).

    z is the post neuron's rate [Hz], a trace over τ_rate.
    """
    return Rule(
        traces={
            "x": Trace("pre", tau),
            "y": Trace("post", tau),
            "z": Trace("post", tau_rate, add=1.0 / tau_rate),
        },
        on_pre=lambda w, y, am: w - am * y,
        on_post=lambda w, x, z, ap, k, target: w + ap * x + k * (target - z) * w,
        const={"ap": a_plus, "am": a_minus, "k": k, "target": rate},
        bounds=bounds,
    )


@register
def short_term(*, U: float = 0.5, tau_rec: float = 800 * ms, tau_facil: float = 0.0) -> Rule:
    """Short-term depression and facilitation (Tsodyks and Markram 1997; Tsodyks, Pawelzik and Markram 1998):

        at a pre spike: u ← u + U·(1 - u), sends w·u·R, R ← R - u·R        between: dR/dt = (1 - R)/τ_rec, du/dt = -u/τ_facil

    Weights do not change; `frozen` keeps it.

    Args:
        U: part of the resources that a first spike uses, 0 to 1.
        tau_rec: recovery of the resources [s].
        tau_facil: decay of facilitation [s]; 0 for none, u = U.
    """
    if not 0 < U <= 1 or tau_facil < 0:
        raise UserError(
            f"short_term needs 0 < U <= 1 and tau_facil >= 0, got U={U!r}, tau_facil={tau_facil!r}"
        )
    if tau_facil == 0.0:
        return Rule(
            traces={"R": Trace("pre", tau_rec, rest=1.0, jump=lambda R, U: R - U * R)},
            deliver=lambda w, R, U: w * (U * R),
            const={"U": U},
        )
    return Rule(
        traces={
            "u": Trace("pre", tau_facil, jump=lambda u, U: u + U * (1.0 - u)),
            "R": Trace("pre", tau_rec, rest=1.0, jump=lambda R, u, U: R - (u + U * (1.0 - u)) * R),
        },
        deliver=lambda w, u, R, U: w * ((u + U * (1.0 - u)) * R),
        const={"U": U},
    )
