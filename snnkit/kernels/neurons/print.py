"""Programs as statements of a language, one per operation, in the order of the program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from snnkit.kernels.neurons.program import Program


@dataclass(frozen=True)
class Language:
    """How one language writes operations (`{0}`, `{1}`, ... are the arguments) and literals."""

    operations: dict[str, str]
    literal: Callable[[float], str]
    line: Callable[[str, str, str], str] = lambda op, name, text: f"{name} = {text}"


COMPARISONS = ("lt", "le", "gt", "ge", "eq")


def _constant_name(value: float) -> str:
    return f"K_{value.hex()}".replace("-", "m").replace("+", "p").replace(".", "_")


FUNCTIONS = ("exp", "log", "tanh", "sqrt")  # of the module: written once, they compile three times as fast

# A bare 0.5 is float64 in Numba and takes the expression with it, so literals are typed constants of the module.
NUMBA = Language(
    operations={
        "add": "{0} + {1}",
        "sub": "{0} - {1}",
        "mul": "{0} * {1}",
        "div": "{0} / {1}",
        "neg": "-{0}",
        **{name: f"{name}({{0}})" for name in FUNCTIONS},
        "floor": "np.floor({0})",
        "pow2": "pow2({0})",
        "exponent": "exponent({0})",
        "detach": "{0}",
        "through": "{0}",
        "flush": "ZERO if abs({0}) < TINY else {0}",
        "lt": "{0} < {1}",
        "le": "{0} <= {1}",
        "gt": "{0} > {1}",
        "ge": "{0} >= {1}",
        "eq": "{0} == {1}",
        "where": "{1} if {0} else {2}",
        "fire": "ONE if {0} >= ZERO else ZERO",
        "fire_above": "ONE if {0} > ZERO else ZERO",
    },
    literal=_constant_name,
)


def triton(precision: str) -> Language:
    """Triton; literals are names of tensors, for a bare one may be float32."""
    return Language(
        operations={
            **NUMBA.operations,
            "div": "tl.div_rn({0}, {1})" if precision == "float32" else "{0} / {1}",  # `/` is approximate
            "floor": "tl.floor({0})",
            "flush": "tl.where(tl.abs({0}) < TINY, ZERO, {0})",
            "where": "tl.where({0}, {1}, {2})",
            "fire": "tl.where({0} >= ZERO, ONE, ZERO)",
            "fire_above": "tl.where({0} > ZERO, ONE, ZERO)",
        },
        literal=_constant_name,
    )


def c99(precision: str) -> Language:
    """C: one `const` per operation; bits as elsewhere where the compiler does not contract a*b + c."""
    real, end = ("float", "f") if precision == "float32" else ("double", "")

    def literal(value: float) -> str:
        text = f"{getattr(np, precision)(value)!s}{end}"
        return f"({text})" if text.startswith("-") else text

    zero, one = literal(0.0), literal(1.0)
    tiny = "FLT_MIN" if precision == "float32" else "DBL_MIN"
    return Language(
        operations={
            **NUMBA.operations,
            "floor": f"floor{end}({{0}})",
            "flush": f"fabs{end}({{0}}) < {tiny} ? {zero} : {{0}}",
            "where": "{0} ? {1} : {2}",
            "fire": f"{{0}} >= {zero} ? {one} : {zero}",
            "fire_above": f"{{0}} > {zero} ? {one} : {zero}",
        },
        literal=literal,
        line=lambda op, name, text: f"const {'int' if op in COMPARISONS else real} {name} = {text};",
    )


def statements(
    program: Program, language: Language, loads: dict[str, str], stores: dict[str, str]
) -> list[str]:
    """One line per live operation, then the stores of the results.

    `loads` gives the text that reads a leaf, `stores` the line that takes a result, `{0}` being its name.
    """
    names: dict[int, str] = {}
    lines = []
    for index in program.live():
        node = program.nodes[index]
        if node.op == "literal":
            names[index] = language.literal(node.value)
            continue
        names[index] = node.name if node.op == "leaf" else f"t{index}"
        arguments = [names[a] for a in node.args]
        text = loads[node.name] if node.op == "leaf" else language.operations[node.op].format(*arguments)
        if text != names[index]:
            lines.append(language.line(node.op, names[index], text))
    return lines + [stores[name].format(names[index]) for name, index in program.results]


def literals(*programs: Program) -> dict[str, float]:
    """Name and value of every literal that the programs use."""
    found = {}
    for program in programs:
        for index in program.live():
            node = program.nodes[index]
            if node.op == "literal":
                found[_constant_name(node.value)] = node.value
    return dict(sorted(found.items()))
