"""Rules that a third factor steers: reward, dopamine, an astrocyte."""

from __future__ import annotations

from typing import Any

from snnkit.errors import UserError
from snnkit.neurons.language import exp, where
from snnkit.plasticity.registry import register
from snnkit.plasticity.rule import Modulators, Rule, Trace

ms = 1e-3
Bounds = tuple[float | None, float | None] | None


@register
def reward_stdp(
    *,
    a_plus: float = 0.01,
    a_minus: float = 0.01,
    tau_plus: float = 20 * ms,
    tau_minus: float = 20 * ms,
    bounds: Bounds = (0.0, 1.0),
) -> Rule:
    """MSTDP: the pair term times the reward of the same step (Florian 2007, Neural Comput 19:1468). Reads the signal "reward"."""
    return Rule(
        traces={"x": Trace("pre", tau_plus), "y": Trace("post", tau_minus)},
        on_pre=lambda w, y, am, reward: w - reward * (am * y),
        on_post=lambda w, x, ap, reward: w + reward * (ap * x),
        const={"ap": a_plus, "am": a_minus},
        signals=("reward",),
        bounds=bounds,
    )


@register
def eligibility_stdp(
    *,
    a_plus: float = 0.01,
    a_minus: float = 0.01,
    tau_plus: float = 20 * ms,
    tau_minus: float = 20 * ms,
    bounds: Bounds = (0.0, 1.0),
) -> Rule:
    """R-STDP and MSTDPET: pairs mark a synapse, reward changes what is marked (Izhikevich 2007, Cereb Cortex 17:2443; Florian 2007).

        pair term: e ← e ± ...        de/dt = -e/τ_c        dw/dt = e·d

    Together with `dopamine(...)` as the liquid's modulators. Nothing happens to a synapse between its events: e is kept as
    e·F with F = exp(t/τ_c), and w owes e·(G - g) with G = ∫ d·exp(-t/τ_c) dt. What w owes is paid when the synapse is next used,
    at the end, and when the frame of time begins anew after a few τ_c, in which each synapse is touched. Between events w is not
    clipped, which matters only where d changes its sign at a bound. `clocked_eligibility_stdp` is the same, every step.
    """
    return Rule(
        traces={"x": Trace("pre", tau_plus), "y": Trace("post", tau_minus)},
        synapse={"e": 0.0, "g": 0.0},
        settle=lambda w, e, g, G: (w + e * (G - g), e, G),
        on_pre=lambda w, e, g, y, am, F: (w, e - am * y * F, g),
        on_post=lambda w, e, g, x, ap, F: (w, e + ap * x * F, g),
        each_step=lambda w, e, g, G, L: (w + e * (G - g), e * L, 0.0),
        when=lambda age, horizon: age >= horizon,
        const={"ap": a_plus, "am": a_minus},
        bounds=bounds,
    )


@register
def clocked_eligibility_stdp(
    *,
    tau_c: float = 1.0,
    a_plus: float = 0.01,
    a_minus: float = 0.01,
    tau_plus: float = 20 * ms,
    tau_minus: float = 20 * ms,
    bounds: Bounds = (0.0, 1.0),
) -> Rule:
    """`eligibility_stdp` with every synapse updated in every step: slower, plain to read. Its modulators have d and dt."""
    return Rule(
        traces={"x": Trace("pre", tau_plus), "y": Trace("post", tau_minus)},
        synapse={"e": 0.0},
        on_pre=lambda w, e, y, am: (w, e - am * y),
        on_post=lambda w, e, x, ap: (w, e + ap * x),
        each_step=lambda w, e, d, dt, tau_c: (w + e * d * dt, e * exp(-dt / tau_c)),
        const={"ap": a_plus, "am": a_minus, "tau_c": tau_c},
        bounds=bounds,
    )


@register
def dopamine(
    *, tau_c: float = 1.0, tau_d: float | None = 0.2, baseline: float = 0.0, frame: float = 4.0
) -> Modulators:
    """Dopamine d, and the moving frame of `eligibility_stdp`; reads the signal "reward".

        dd/dt = -(d + baseline)/τ_d + reward·δ        d begins at -baseline

    A reward acts from the next step on. With τ_d None d is the reward of the last step, less the baseline, as MSTDPET has it.

    Args:
        tau_c: time constant of the eligibility [s], 0.1 to 1.
        tau_d: that of dopamine [s].
        baseline: subtracted from d, such as the mean reward.
        frame: length of the frame in τ_c; in float32 precision goes above about 8.
    """
    if not tau_c > 0 or not (tau_d is None or tau_d > 0) or not 0 < frame <= 40:
        raise UserError(
            f"dopamine needs tau_c > 0, tau_d > 0 or None, 0 < frame <= 40; got {tau_c!r}, {tau_d!r}, {frame!r}"
        )

    def step(d: Any, F: Any, L: Any, G: Any, age: Any, horizon: Any, reward: Any, tau_c: Any, fade: Any, dt: Any, base: Any) -> Any:  # fmt: skip
        anew = age >= horizon
        F, L, G = where(anew, 1.0, F), where(anew, 1.0, L), where(anew, 0.0, G)
        left = exp(-dt / tau_c)
        after = where(fade > 0.0, (d + base) * exp(-dt / where(fade > 0.0, fade, 1.0)), 0.0) + reward - base
        return after, F / left, L * left, G + d * L * dt, where(anew, dt, age + dt), horizon

    return Modulators(
        start={"d": -baseline, "F": 1.0, "L": 1.0, "G": 0.0, "age": 0.0, "horizon": frame * tau_c},
        step=step,
        const={
            "tau_c": tau_c,
            "fade": 0.0 if tau_d is None else tau_d,
            "base": baseline,
        },
        signals=("reward",),
    )


@register
def astrocyte_stdp(
    *, w_max: float = 3.0, tau: float = 10 * ms, add: float = 0.1, dale: bool = True, tau_u: float | None = 1 * ms
) -> Rule:  # fmt: skip
    """STDP whose depression an astrocyte steers: NALSM (Ivanov and Michmizos 2021, NeurIPS).

    r are traces r ← (r + 0.1·s)·exp(-dt/τ). From an excitatory neuron (sign +1): w += η·r_pre at post, w -= A·r_post at pre; from an
    inhibitory one the parts change places. Together with `astrocyte(...)` as modulators, which has A and η.

    Args:
        w_max: bound of |w|.
        tau: time constant of the traces [s].
        add: what a spike adds to them.
        dale: weights keep the sign of their pre neuron; False allows -w_max..w_max, as for inputs.
        tau_u: time constant of a synaptic current in which only the last spike counts [s], with a neuron that decays its input as
            such (`CubaLIF`); None sends w at each spike, as neurons without a synaptic current want it (`LIF`).
    """
    traces = {"r": Trace("pre", tau, add=add), "q": Trace("post", tau, add=add)}
    if tau_u is not None:
        traces["u"] = Trace("pre", tau_u, set=True)
    return Rule(
        traces=traces,
        on_pre=lambda w, q, sign, A, eta: w + where(sign > 0.0, -(A * q), eta * q),
        on_post=lambda w, r, sign, A, eta: w + where(sign > 0.0, eta * r, -(A * r)),
        deliver=None if tau_u is None else (lambda w, u: w * (1.0 - u)),
        const={"top": w_max},
        bounds=(
            (lambda sign, top: where(sign > 0.0, 0.0, -top)) if dale else (lambda top: -top),
            (lambda sign, top: where(sign > 0.0, top, 0.0)) if dale else "top",
        ),
    )


@register
def astrocyte(
    *, tau: float = 100 * ms, gain: float = 0.015, base: float = 0.15, eta: float = 0.15, keep: float = 1.0
) -> Modulators:
    """One astrocyte that compares the liquid's spikes with the input's:

        A ← (A + dt/τ·(-A + b + w_a·(n_out - n_in)))·c        η, w_a, b ← c·(η, w_a, b)

    Too much activity raises the depression A, and so falls. Gain 0 leaves A at b: plain STDP.

    Args:
        tau: τ [s].
        gain: w_a, 0.002 to 0.015.
        base: b, and A at the beginning.
        eta: learning rate of potentiation.
        keep: c, what is left of plasticity after each step; 1 while the liquid learns, 0.99 when features are read out.
    """
    return Modulators(
        start={"A": base, "eta": eta, "wa": gain, "b": base},
        step=lambda A, eta, wa, b, n_in, n_out, tau, dt, c: (
            (A + (-A + b + wa * (n_out - n_in)) * (dt / tau)) * c,
            eta * c,
            wa * c,
            b * c,
        ),
        const={"tau": tau, "c": keep},
    )
