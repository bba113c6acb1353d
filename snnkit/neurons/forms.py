"""The forms of one membrane: how it leaks, takes its input and resets, each written once and put together by options.

Textbooks and libraries agree on the leaky integrate-and-fire neuron but not on its discrete step. The default forms
are spelled out in `snnkit.neurons.equations`; here are the pieces from which the other ones are made:

    charge   how v and x become u    solver "exact", "euler", "euler_quotient"; input scaled or not; resting at v_leak
    spike    how u becomes s and v   reset "subtract", "zero", "none", "value"; timing "same", "next", "carry"
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from snnkit.neurons.equations import Equation

SOLVERS = {
    "exact": "decay",
    "euler": "rate",
    "euler_quotient": "steps",
}  # and the constant that each one takes
TIMINGS = ("same", "next", "carry")
ORDERS = ("synapse_first", "membrane_first", "decay_last")


def leak(v: Any, k: Any, rest: Any, solver: str) -> Any:
    """One step of leak towards `rest` (None: 0, and nothing is subtracted).

    exact            rest + a·(v - rest)      k = a = exp(-dt/τ)
    euler            v - k·(v - rest)         k = dt/τ
    euler_quotient   v - (v - rest)/k         k = τ/dt: the same up to rounding, and bit for bit what some libraries do
    """
    off = v if rest is None else v - rest
    if solver == "exact":
        return k * off if rest is None else rest + k * off
    return v - k * off if solver == "euler" else v - off / k


def charge(v: Any, x: Any, k: Any, rest: Any, solver: str, scaled: bool) -> Any:
    """The membrane after one step of leak and input: leak + x, or when scaled with the gain that a unit input ends at 1.

    exact leak + (1 - a)·x        euler v + k·(x - (v - rest))        euler_quotient v + (x - (v - rest))/k
    """
    if not scaled:
        return leak(v, k, rest, solver) + x
    if solver == "exact":
        return leak(v, k, rest, solver) + (1.0 - k) * x
    off = v if rest is None else v - rest
    return v + k * (x - off) if solver == "euler" else v + (x - off) / k


def spike(
    v: Any, u: Any, theta: Any, target: Any, timing: str, fire: Callable, reset: Callable
) -> tuple[Any, Any]:
    """The spike of a charged membrane u that was v at the end of the last step, and what is left of it.

    same    s = [u >= θ], then the reset of u by s
    next    the reset of u by r = [v >= θ], then s = [u >= θ]: the spike of this step is taken off in the next
    carry   as same with reset "subtract", but a membrane that begins its step above θ is compared with 2·θ
    """
    back = reset if target is None else lambda u, r, theta: r * target + (1.0 - r) * u
    if timing == "same":
        s, r = fire(u - theta)
        return s, back(u, r, theta)
    _, before = fire(v - theta)
    u = back(u, before, theta)
    s, r = fire(u - theta)
    return s, u if timing == "next" else u - (r - before) * theta


@cache
def lif(solver: str | None, scaled: bool, leaks: bool, to_value: bool, timing: str) -> Equation:
    """The membrane of `LIF` with these options; without a solver that of `IF`, which does not leak."""
    constant = None if solver is None else SOLVERS[solver]

    def step(x: Any, v: Any, *, theta: Any, fire: Any, reset: Any = None, **k: Any) -> tuple:
        u = v + x if constant is None else charge(v, x, k[constant], k.get("v_leak"), str(solver), scaled)
        return spike(v, u, theta, k.get("v_reset"), timing, fire, reset)

    constants = (constant, "theta", "v_leak" if leaks else None, "v_reset" if to_value else None)
    return Equation(
        name="lif_form" if solver else "integrate_and_fire_form",
        step=step,
        ports=("x",),
        rest={"v": 0.0},
        constants=tuple(filter(None, constants)),
        handed_in=("fire",) if to_value else ("fire", "reset"),
        made_by=(lif, (solver, scaled, leaks, to_value, timing)),
    )


@cache
def cuba_lif(
    solver: str, scaled: bool | str, order: str, leaks: bool, to_value: bool, timing: str
) -> Equation:
    """The synapse and membrane of `CubaLIF` with these options."""
    constant, constant_syn = SOLVERS[solver], f"{SOLVERS[solver]}_syn"

    def step(x: Any, i: Any, v: Any, *, theta: Any, fire: Any, reset: Any = None, **k: Any) -> tuple:
        before = i
        if order == "decay_last":
            i = leak(i + x, k[constant_syn], None, solver)
        else:
            i = charge(i, x, k[constant_syn], None, solver, scaled is True)
        seen = before if order == "membrane_first" else i
        u = charge(v, seen, k[constant], k.get("v_leak"), solver, bool(scaled))
        s, v = spike(v, u, theta, k.get("v_reset"), timing, fire, reset)
        return s, i, v

    constants = (
        constant_syn,
        constant,
        "theta",
        "v_leak" if leaks else None,
        "v_reset" if to_value else None,
    )
    return Equation(
        name="cuba_lif_form",
        step=step,
        ports=("x",),
        rest={"i": 0.0, "v": 0.0},
        constants=tuple(filter(None, constants)),
        handed_in=("fire",) if to_value else ("fire", "reset"),
        made_by=(cuba_lif, (solver, scaled, order, leaks, to_value, timing)),
    )


@cache
def leaky_integrator(solver: str, scaled: bool, leaks: bool) -> Equation:
    """The membrane of `LeakyIntegrator` with these options."""
    constant = SOLVERS[solver]

    def step(x: Any, v: Any, **k: Any) -> tuple:
        v = charge(v, x, k[constant], k.get("v_leak"), solver, scaled)
        return v, v

    return Equation(
        name="leaky_integrator_form",
        step=step,
        ports=("x",),
        rest={"v": 0.0},
        constants=(constant, "v_leak") if leaks else (constant,),
        handed_in=(),
        made_by=(leaky_integrator, (solver, scaled, leaks)),
    )
