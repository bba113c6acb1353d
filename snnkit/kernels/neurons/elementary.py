"""exp, log, tanh and sqrt in operations that every back-end rounds alike, so that all of them agree bit for bit.

Libraries of mathematics differ in the last bit, and one bit is a spike. Here each function is written once, from
`+ - * /`, `floor` and two exact operations on the exponent of a number, and runs on tensors (the torch reference)
and on a tape (every printer). Loops of such statements also vectorise, which calls of a library do not.

    exp(x) = 2ⁿ·(1 + q(r))        n = ⌊x/ln 2 + 1/2⌋, r = x - n·ln 2 in two parts, q(r) = Σₖ rᵏ/k! by Horner's rule
    tanh(x) = m / (m + 2)         m = exp(2x) - 1 = 2ⁿ·q(r) + (2ⁿ - 1), exact near zero
    log(x) = e·ln 2 + 2·artanh(s) x = 2ᵉ·f with f in [√½, √2], s = (f - 1)/(f + 1), artanh(s) = Σₖ s²ᵏ⁺¹/(2k + 1)
    sqrt(x) = 2ʰ·√f               h = ⌊e/2⌋, f in [1, 4), √f by y ← (y + f/y)/2

Arguments are clipped to where the result is a normal number: exp never answers 0 or infinity, and log of a number below
the smallest normal one is the log of that; its root is 0. NaN stays NaN. Worst relative errors against exact values, measured over the
whole range, in float32 and float64: exp 1.0e-7, 1.8e-16; tanh 2.1e-7, 4.6e-16; log 1.8e-7, 3.3e-16; sqrt 9e-8, 1.7e-16.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.neurons.program import Program
from snnkit.kernels.neurons.tape import Tape


@dataclass(frozen=True)
class Precision:
    """What differs between float32 and float64."""

    low: float  # exp of it is still normal
    high: float
    terms: int  # of the series of exp
    log_terms: int
    roots: int  # steps of Newton's rule
    ln2_high: float  # its product with an exponent is exact
    ln2_low: float
    tiny: float
    huge: float
    integer: torch.dtype
    mantissa: int  # bits
    bias: int  # of the exponent


_F32, _F64 = torch.finfo(torch.float32), torch.finfo(torch.float64)
PRECISIONS = {
    "float32": Precision(
        -87.33, 88.37, 7, 5, 3, 0.693359375, -2.12194440054690583e-4, _F32.tiny, _F32.max, torch.int32, 23, 127
    ),
    "float64": Precision(
        -708.39, 709.4, 13, 11, 4, 0.693145751953125, 1.42860682030941723e-6, _F64.tiny, _F64.max,
        torch.int64, 52, 1023,
    ),
}  # fmt: skip


def magic(p: Precision) -> float:
    """Added to a whole number, it leaves that number plus the bias in the lowest bits of the mantissa."""
    return 1.5 * 2.0**p.mantissa + p.bias


def pow2(n: Any, p: Precision) -> Any:
    """2ⁿ, exactly, for a whole n of a normal result."""
    if isinstance(n, Tensor):
        return ((n + magic(p)).view(p.integer) << p.mantissa).view(n.dtype)
    return n.pow2()


def exponent(x: Any, p: Precision) -> Any:
    """⌊log2 x⌋, exactly, for a positive normal x."""
    if isinstance(x, Tensor):
        return ((x.view(p.integer) >> p.mantissa) - p.bias).to(x.dtype)
    return x.exponent()


def _where(condition: Any, a: Any, b: Any) -> Any:
    return torch.where(condition, a, b) if isinstance(condition, Tensor) else condition.where(a, b)


def _clip(x: Any, low: float, high: float) -> Any:
    x = _where(x < low, low, x)
    return _where(x > high, high, x)


def _reduce(x: Any, p: Precision) -> tuple[Any, Any]:
    """2ⁿ and q(r) = exp(r) - 1."""
    n = (x * 1.4426950408889634 + 0.5).floor()
    r = (x - n * p.ln2_high) - n * p.ln2_low
    q = r * (1.0 / math.factorial(p.terms))
    for k in range(p.terms - 1, 0, -1):
        q = (q + 1.0 / math.factorial(k)) * r
    return pow2(n, p), q


def exp(x: Any, p: Precision) -> Any:
    scale, q = _reduce(_clip(x, p.low, p.high), p)
    return (q + 1.0) * scale


def tanh(x: Any, p: Precision) -> Any:
    scale, q = _reduce(_clip(x + x, -44.0, 44.0), p)
    m = scale * q + (scale - 1.0)
    return m / (m + 2.0)


def log(x: Any, p: Precision) -> Any:
    x = _clip(x, p.tiny, p.huge)
    e = exponent(x, p)
    half = 0.5 * e  # 2⁻ᵉ itself may not be normal
    below = half.floor()
    f = (x * pow2(-below, p)) * pow2(below - e, p)
    large = f > math.sqrt(2.0)
    f, e = _where(large, 0.5 * f, f), _where(large, e + 1.0, e)
    s = (f - 1.0) / (f + 1.0)
    s2 = s * s
    series = s2 * (1.0 / (2 * p.log_terms + 1))
    for k in range(p.log_terms - 1, 0, -1):
        series = (series + 1.0 / (2 * k + 1)) * s2
    s = s + s
    return e * p.ln2_high + (e * p.ln2_low + (s * series + s))


def sqrt(x: Any, p: Precision) -> Any:
    """By Newton's rule, for torch's own is not rounded as the processor's."""
    x = _where(x > p.huge, p.huge, x)
    normal = _where(x < p.tiny, 1.0, x)
    half = (0.5 * exponent(normal, p)).floor()
    down = pow2(-half, p)
    f = (normal * down) * down  # in [1, 4)
    y = 0.3472 * f + 0.6863  # within 4 % of its root
    for _ in range(p.roots):
        y = 0.5 * (y + f / y)
    return _where(x < p.tiny, 0.0, y * pow2(half, p))


def count(u: Any, p: Precision) -> Any:
    """How many of the thresholds 0, 1, 2, ... u has reached."""
    n = u.floor() + 1.0
    return _where(n > 0.0, n, 0.0)


def count_above(u: Any, p: Precision) -> Any:
    """How many of the thresholds 0, 1, 2, ... u has passed."""
    n = -(-u).floor()
    return _where(n > 0.0, n, 0.0)


BODIES: dict[str, Callable[..., Any]] = {
    "exp": exp,
    "log": log,
    "tanh": tanh,
    "sqrt": sqrt,
    "count": count,
    "count_above": count_above,
}


def on_tensor(op: str, x: Tensor) -> Tensor:
    """One of these operations on a tensor of float32 or float64, without derivative."""
    return BODIES[op](x, PRECISIONS[str(x.dtype).removeprefix("torch.")])


def body(op: str, precision: str) -> Program:
    """One of these operations as a program of the leaf `port_x`."""
    tape = Tape()
    return tape.program([("out_0", BODIES[op](tape.leaf("port", "x"), PRECISIONS[precision]))])


def lowered(program: Program, precision: str, keep: tuple[str, ...] = ()) -> Program:
    """The same program with these operations written out, but for those that a language has functions for."""
    live = program.live()
    out = {*BODIES, "through"} - set(keep)
    if not any(program.nodes[i].op in out for i in live):
        return program
    tape, p = Tape(), PRECISIONS[precision]
    found: dict[int, Any] = {}
    for i in live:
        node = program.nodes[i]
        args = [found[a] for a in node.args]
        if node.op == "through":
            found[i] = args[0]
        elif node.op in out:
            found[i] = BODIES[node.op](*args, p)
        else:
            found[i] = tape.add(node.op, *args, name=node.name, value=node.value)
    return tape.program([(name, found[i]) for name, i in program.results])
