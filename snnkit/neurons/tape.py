"""A step function run on values that write down what is done to them: the program of a neuron."""

from __future__ import annotations

from typing import Any

from snnkit.kernels.neurons.program import CONSTANT, HYPER, PORT, STATE, Program
from snnkit.kernels.neurons.tape import Tape, Value
from snnkit.neurons.equations import RESETS, Equation
from snnkit.neurons.surrogate import Surrogate

__all__ = ["Tape", "Value", "Fire", "write", "derivative"]


class Fire:
    """`fire` on a tape: see `snnkit.neurons.reference.Fire`."""

    def __init__(self, tape: Tape, *, strict: bool, detached: bool) -> None:
        self._tape, self._suffix, self._detached = tape, "_above" if strict else "", detached

    def __call__(self, u: Any) -> tuple[Value, Value]:
        return self._pair(self._tape.add("fire" + self._suffix, u))

    def count(self, u: Any) -> tuple[Value, Value]:
        return self._pair(self._tape.add("count" + self._suffix, u))

    def _pair(self, s: Value) -> tuple[Value, Value]:
        return s, s.detach() if self._detached else s


def write(
    equation: Equation, *, reset: str, strict: bool, detached: bool
) -> tuple[Tape, list[tuple[str, Value]]]:
    """One step of an equation on a fresh tape, with its results `out_0, ...` and `next_<state>`."""
    tape = Tape()

    fire = Fire(tape, strict=strict, detached=detached)
    handed = {k: {"fire": fire, "reset": RESETS[reset]}[k] for k in equation.handed_in}
    found = equation.step(
        *(tape.leaf(PORT, name) for name in equation.ports),
        *(tape.leaf(STATE, name) for name in equation.states),
        **{name: tape.leaf(CONSTANT, name) for name in equation.constants},
        **handed,
    )
    found = found if isinstance(found, tuple) else (found,)
    outputs = len(found) - len(equation.states)
    if outputs < 1:
        raise TypeError(
            f"{equation.name} should answer at least one output, then the {len(equation.states)} next states "
            f"({', '.join(equation.states)}); it answered {len(found)} values"
        )
    results = [(f"out_{k}", tape.value(value)) for k, value in enumerate(found[:outputs])]
    for name, value in zip(equation.states, found[outputs:], strict=True):
        results.append((f"next_{name}", tape.add("flush", value)))
    return tape, results


def derivative(surrogate: type[Surrogate], hyper: tuple[str, ...]) -> Program:
    """A surrogate's derivative as a program of the leaves `port_u` and its hyperparameters."""
    tape = Tape()
    value = surrogate.derivative(tape.leaf(PORT, "u"), *(tape.leaf(HYPER, name) for name in hyper))
    return tape.program([("out_0", tape.value(value))])
