"""Spike-timing-dependent plasticity: what pairs and triplets of spikes do to a weight.

In all of them x is a trace of pre spikes, y one of post spikes; a pair k steps apart reads exp(-k·dt/τ), a pair in one
step reads nothing.
"""

from __future__ import annotations

from typing import Any

from snnkit.errors import UserError
from snnkit.neurons.language import exp, log, where
from snnkit.plasticity.registry import register
from snnkit.plasticity.rule import Rule, Term, Trace

ms = 1e-3
Bounds = tuple[float | None, float | None] | None


def power(u: Any, p: Any) -> Any:
    """u to the power p, for u >= 0: exp(p·ln u). At u = 0 it is a small number, of exp(-87·p) in float32."""
    return exp(p * log(u))


def _dependence(mu: float, bounds: Bounds) -> tuple[Term | None, Term | None]:
    """Factors of depression and potentiation: (distance from the bound, as a part of the range)^mu."""
    if mu == 0.0:
        return None, None
    low, high = bounds or (None, None)
    if low is None or high is None or mu < 0:
        raise UserError(f"weight dependence needs mu >= 0 and both bounds, got mu={mu!r}, bounds={bounds!r}")
    span = high - low
    if mu == 1.0:
        return lambda w: (w - low) / span, lambda w: (high - w) / span
    return lambda w: power((w - low) / span, mu), lambda w: power((high - w) / span, mu)


@register
def pair_stdp(
    *,
    a_plus: float = 0.01,
    a_minus: float = 0.0105,
    tau_plus: float = 20 * ms,
    tau_minus: float = 20 * ms,
    nearest: bool = False,
    mu: float = 0.0,
    bounds: Bounds = (0.0, 1.0),
) -> Rule:
    """Pair rule: w += A₊·x·f₊(w) at a post spike, w -= A₋·y·f₋(w) at a pre spike (Song, Miller and Abbott 2000).

    Args:
        a_plus, a_minus: A₊ and A₋ (a negative one turns the sign); constants "ap" and "am".
        tau_plus, tau_minus: time constants of x and y [s].
        nearest: only the nearest spike counts, not all (Morrison, Diesmann and Gerstner 2008).
        mu: weight dependence, f₊ = ((high - w)/range)^mu, f₋ = ((w - low)/range)^mu: 0 additive, 1 multiplicative (Gütig et al. 2003).
        bounds: lowest and highest w.
    """
    down, up = _dependence(mu, bounds)
    return Rule(
        traces={"x": Trace("pre", tau_plus, set=nearest), "y": Trace("post", tau_minus, set=nearest)},
        on_pre=(lambda w, y, am: w - am * y) if down is None else (lambda w, y, am: w - am * down(w) * y),
        on_post=(lambda w, x, ap: w + ap * x) if up is None else (lambda w, x, ap: w + ap * up(w) * x),
        const={"ap": a_plus, "am": a_minus},
        bounds=bounds,
    )


@register
def triplet_stdp(
    *,
    a2_plus: float = 5e-10,
    a3_plus: float = 6.2e-3,
    a2_minus: float = 7e-3,
    a3_minus: float = 2.3e-4,
    tau_plus: float = 16.8 * ms,
    tau_minus: float = 33.7 * ms,
    tau_x: float = 101 * ms,
    tau_y: float = 125 * ms,
    nearest: bool = False,
    bounds: Bounds = (0.0, 1.0),
) -> Rule:
    """Triplet rule: w += x₁·(A₂₊ + A₃₊·y₂) at post, w -= y₁·(A₂₋ + A₃₋·x₂) at pre (Pfister and Gerstner 2006, J Neurosci 26:9673).

    x₂ and y₂ are read before the spike adds to them. The values are those of visual cortex, all-to-all: depression at 1 Hz, potentiation at 50 Hz
    for both orders of pre and post.
    """
    return Rule(
        traces={
            "x1": Trace("pre", tau_plus, set=nearest),
            "x2": Trace("pre", tau_x, set=nearest),
            "y1": Trace("post", tau_minus, set=nearest),
            "y2": Trace("post", tau_y, set=nearest),
        },
        on_pre=lambda w, x2, y1, a2m, a3m: w - y1 * (a2m + a3m * x2),
        on_post=lambda w, x1, y2, a2p, a3p: w + x1 * (a2p + a3p * y2),
        const={"a2p": a2_plus, "a3p": a3_plus, "a2m": a2_minus, "a3m": a3_minus},
        bounds=bounds,
    )


@register
def symmetric_stdp(
    *, a: float = 0.01, alpha: float = 0.2, tau: float = 20 * ms, bounds: Bounds = (0.0, 1.0)
) -> Rule:
    """Near coincidence strengthens in either order: w += a·x at post, w += a·(y - α) at pre (Vogels et al. 2011, Science 334:1569).

    α sets the rate at which a post neuron is in balance, ρ = α/(2τ).
    """
    return Rule(
        traces={"x": Trace("pre", tau), "y": Trace("post", tau)},
        on_pre=lambda w, y, a, alpha: w + a * (y - alpha),
        on_post=lambda w, x, a: w + a * x,
        const={"a": a, "alpha": alpha},
        bounds=bounds,
    )


@register
def anti_hebbian_stdp(
    *,
    a_plus: float = 0.0105,
    a_minus: float = 0.01,
    tau_plus: float = 20 * ms,
    tau_minus: float = 20 * ms,
    bounds: Bounds = (0.0, 1.0),
) -> Rule:
    """Pre before post weakens, post before pre strengthens: w -= A₋·x at post, w += A₊·y at pre (Bell et al. 1997, Nature 387:278)."""
    return Rule(
        traces={"x": Trace("pre", tau_minus), "y": Trace("post", tau_plus)},
        on_pre=lambda w, y, ap: w + ap * y,
        on_post=lambda w, x, am: w - am * x,
        const={"ap": a_plus, "am": a_minus},
        bounds=bounds,
    )


@register
def bcm(
    *,
    eta: float = 0.005,
    rate: float = 10.0,
    tau: float = 50 * ms,
    tau_theta: float = 5.0,
    bounds: Bounds = (0.0, 1.0),
) -> Rule:
    """Sliding threshold: w += η·x·(y - θ) at post, θ = z²/y₀ (after Bienenstock, Cooper and Munro 1982).

    y is the post neuron's activity over τ, z its mean over τ_θ, y₀ = rate·τ what y is at the target rate: a neuron busier than
    its target raises its threshold faster than its activity.

    Args:
        eta: η.
        rate: target rate [Hz].
        tau: time constant of x and y [s].
        tau_theta: that of the threshold [s].
        bounds: lowest and highest w.
    """
    return Rule(
        traces={
            "x": Trace("pre", tau),
            "y": Trace("post", tau),
            "z": Trace("post", tau_theta, add=tau / tau_theta),
        },
        on_post=lambda w, x, y, z, eta, y0: w + eta * x * (y - z * z / y0),
        const={"eta": eta, "y0": rate * tau},
        bounds=bounds,
    )


@register
def diehl_cook_stdp(
    *,
    a_minus: float = 1e-4,
    a_plus: float = 1e-2,
    tau_x: float = 20 * ms,
    tau_y1: float = 20 * ms,
    tau_y2: float = 40 * ms,
    bounds: Bounds = (0.0, 1.0),
) -> Rule:
    """w -= A₋·y₁ at pre, w += A₊·x·y₂ at post, all traces set to 1 and y₂ read before (Diehl and Cook 2015, Front Comput Neurosci 9:99)."""
    return Rule(
        traces={
            "x": Trace("pre", tau_x, set=True),
            "y1": Trace("post", tau_y1, set=True),
            "y2": Trace("post", tau_y2, set=True),
        },
        on_pre=lambda w, y1, am: w - am * y1,
        on_post=lambda w, x, y2, ap: w + ap * x * y2,
        const={"am": a_minus, "ap": a_plus},
        bounds=bounds,
    )


@register
def clopath_stdp(
    *,
    a_ltd: float,
    a_ltp: float,
    theta_minus: float,
    theta_plus: float,
    tau_x: float = 15 * ms,
    tau_minus: float = 10 * ms,
    tau_plus: float = 7 * ms,
    bounds: Bounds = (0.0, 1.0),
) -> Rule:
    """Voltage-based rule (Clopath et al. 2010, Nat Neurosci 13:344), [a]₊ = max(a, 0):

        at a pre spike: w -= A_LTD·[ū₋ - θ₋]₊        dw/dt = A_LTP·x·[v - θ₊]₊·[ū₊ - θ₋]₊

    ū₋ and ū₊ are the membrane v filtered over τ₋ and τ₊. The neuron has a state v that passes θ₊ when it spikes: `LIF(reset_timing="next")`
    keeps the charged membrane for one step. Only neurons above θ₊ cost time.

    Args:
        a_ltd, a_ltp: A_LTD [1/unit of v], A_LTP [1/(unit of v)²/s].
        theta_minus, theta_plus: in the unit of v.
        tau_x, tau_minus, tau_plus: time constants [s].
        bounds: lowest and highest w.
    """
    return Rule(
        traces={
            "x": Trace("pre", tau_x),
            "slow": Trace("post", tau_minus, of="v"),
            "fast": Trace("post", tau_plus, of="v"),
        },
        on_pre=lambda w, slow, ltd, low: w - ltd * _positive(slow - low),
        each_step=lambda w, x, v, fast, ltp, low, level, dt: (
            w + dt * ltp * (v - level) * _positive(fast - low) * x
        ),
        when=lambda v, level: v > level,
        const={"ltd": a_ltd, "ltp": a_ltp, "low": theta_minus, "level": theta_plus},
        bounds=bounds,
    )


def _positive(a: Any) -> Any:
    return where(a > 0.0, a, 0.0)
