"""Derivatives that nobody writes: the tape of a step, swept in reverse.

Each smooth primitive is declared as a sympy expression, and its partial derivatives are `sympy.diff` of that. Only
structure (`where`, `fire`, comparisons) has rules of its own. A new smooth primitive is one line of `SMOOTH`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any

from snnkit.kernels.neurons.operator import register
from snnkit.kernels.neurons.program import (
    CONSTANT,
    HYPER,
    NEXT_BAR,
    OUTPUT_BAR,
    PORT,
    STATE,
    Definition,
    Program,
)
from snnkit.neurons.equations import Equation
from snnkit.neurons.language import nearest_threshold
from snnkit.neurons.surrogate import Surrogate
from snnkit.neurons.tape import Tape, Value, derivative, write

SMOOTH = {
    "add": "A + B",
    "sub": "A - B",
    "mul": "A * B",
    "div": "A / B",
    "neg": "-A",
    "exp": "exp(A)",
    "log": "log(A)",
    "tanh": "tanh(A)",
    "sqrt": "sqrt(A)",
}
FLAT = ("leaf", "literal", "detach", "floor", "lt", "le", "gt", "ge", "eq")


@cache
def _partials(op: str) -> tuple[Any, ...]:
    import sympy

    whole = sympy.sympify(SMOOTH[op])
    return tuple(sympy.diff(whole, name) for name in ("A", "B") if name in str(whole))


def _on_tape(expression: Any, given: dict[str, Value], tape: Tape) -> Any:
    """A sympy expression of the names A and B, as values on the tape."""
    import sympy

    if expression.is_Symbol:
        return given[expression.name]
    if expression.is_Number:
        return float(expression)
    args = [_on_tape(a, given, tape) for a in expression.args]
    if expression.is_Add:
        return _fold(args, lambda a, b: a + b)
    if expression.is_Mul:
        return _fold([a for a in args if isinstance(a, Value) or a != 1.0], lambda a, b: a * b)
    if expression.is_Pow:
        base, power = args
        if abs(power) == 0.5:
            return base.sqrt() if power > 0 else 1.0 / base.sqrt()
        return base**power if power > 0 else 1.0 / (base if power == -1 else base**-power)
    if isinstance(expression, sympy.exp | sympy.log | sympy.tanh):
        return getattr(args[0], type(expression).__name__)()
    raise TypeError(f"no rule to put {expression} on a tape")


def _fold(values: list[Any], both: Callable[[Any, Any], Any]) -> Any:
    out = values[0]
    for value in values[1:]:
        out = both(out, value)
    return out


def _times(bar: Value, factor: Any) -> Any:
    if isinstance(factor, Value):
        return bar * factor
    return bar if factor == 1.0 else -bar if factor == -1.0 else bar * factor


def sweep(tape: Tape, seeds: list[tuple[Value, Value]], psi: Callable[[Value], Any]) -> dict[int, Value]:
    """Reverse sweep: the adjoint of every node, from the adjoints of the results; `psi` is the derivative of fire."""
    bars: dict[int, Value] = {}

    def add(index: int, bar: Value) -> None:
        bars[index] = bars[index] + bar if index in bars else bar

    for value, bar in seeds:
        add(value.index, bar)
    for index in range(len(tape.nodes) - 1, -1, -1):
        node = tape.nodes[index]
        if index not in bars or node.op in FLAT:
            continue
        bar, args = bars[index], [Value(tape, a) for a in node.args]
        if node.op == "where":
            condition, a, b = args
            add(a.index, condition.where(bar, 0.0))
            add(b.index, condition.where(0.0, bar))
        elif node.op == "flush":
            add(args[0].index, bar)
        elif node.op == "through":
            add(args[1].index, bar)
        elif node.op in ("fire", "fire_above"):
            add(args[0].index, bar * psi(args[0]))
        elif node.op in ("count", "count_above"):
            add(args[0].index, bar * psi(nearest_threshold(args[0])))
        else:
            given = dict(zip("AB", args, strict=False))
            for argument, partial in zip(args, _partials(node.op), strict=True):
                if tape.nodes[argument.index].op != "literal":
                    add(argument.index, _times(bar, _on_tape(partial, given, tape)))
    return bars


def adjoint(
    equation: Equation, surrogate: type[Surrogate], *, reset: str, strict: bool, detached: bool
) -> Program:
    """One step backwards in time: gradients of inputs, states and constants; a missing one is zero."""
    tape, results = write(equation, reset=reset, strict=strict, detached=detached)
    hyper = [tape.leaf(HYPER, f.name) for f in fields(surrogate)]
    seeds = []
    for name, value in results:
        kind, what = name.split("_", 1)
        seeds.append((value, tape.leaf(OUTPUT_BAR if kind == "out" else NEXT_BAR, what)))
    bars = sweep(tape, seeds, lambda u: surrogate.derivative(u, *hyper))
    found = []
    for kind, names in ((PORT, equation.ports), (STATE, equation.states), (CONSTANT, equation.constants)):
        for name in names:
            bar = bars.get(tape.leaf(kind, name).index, tape.value(0.0))
            found.append((f"{kind}bar_{name}", tape.add("flush", bar) if kind == STATE else bar))
    return tape.program(found)


def define(
    equation: Equation, surrogate: type[Surrogate], *, reset: str, strict: bool, detached: bool
) -> str:
    """Register a neuron with the kernels; answers its key, which says all that makes its kernels differ.

    The key is a digest of the equations themselves: a step function redefined in a notebook gets another, and the
    same one gets the same in every process.
    """
    tape, results = write(equation, reset=reset, strict=strict, detached=detached)
    program = tape.program(results)
    hyper = tuple(f.name for f in fields(surrogate))
    parts = (
        program.text(),
        tape_of(surrogate, hyper) if "fire" in equation.handed_in else "",
        repr((equation.ports, equation.states, equation.constants, hyper)),
    )
    key = f"{equation.name}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"
    register(
        Definition(
            key=key,
            ports=equation.ports,
            states=equation.states,
            constants=equation.constants,
            hyper=hyper,
            outputs=len(results) - len(equation.states),
            forward=program,
            adjoint=lambda: adjoint(equation, surrogate, reset=reset, strict=strict, detached=detached),
        )
    )
    return key


def tape_of(surrogate: type[Surrogate], hyper: tuple[str, ...]) -> str:
    return derivative(surrogate, hyper).text()
