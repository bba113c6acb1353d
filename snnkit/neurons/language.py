"""The vocabulary of a step function, besides `+ - * /`, powers 2 and 3, `abs` and comparisons.

The same word works on every kind of number that a step may run on: tensors (the torch reference), values on
a tape (the kernels and the adjoint), symbols of sympy (documentation) and plain floats.
"""

from __future__ import annotations

import math
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.neurons import elementary

# The precision in which `where(condition, 0.0, 1.0)` answers: its arguments do not tell.
_precision: ContextVar[torch.dtype | None] = ContextVar("precision", default=None)


class _Elementary(torch.autograd.Function):
    """exp, log, tanh or sqrt of a tensor in the operations of the kernels, with its exact derivative, as often as wanted."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, word: str) -> Tensor:
        return elementary.on_tensor(word, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        x, ctx.word = inputs
        ctx.save_for_backward(x, output)
        ctx.save_for_forward(x, output)  # the same as above, or vmap mistakes one for the other

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, y = ctx.saved_tensors
        return grad * _SLOPES[ctx.word](x, y), None

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, *_: None) -> Tensor:
        x, _ = ctx.saved_tensors
        return dx * _SLOPES[ctx.word](x, _Elementary.apply(x, ctx.word))


_SLOPES = {
    "exp": lambda x, y: y,
    "log": lambda x, y: 1.0 / x,
    "tanh": lambda x, y: 1.0 - y * y,
    "sqrt": lambda x, y: 0.5 / y,
}


def _call(word: str, a: Any) -> Any:
    if isinstance(a, Tensor) and word in _SLOPES and a.dtype in (torch.float32, torch.float64):
        return _Elementary.apply(a, word)
    if hasattr(a, word):  # a tensor or a value on the tape
        return getattr(a, word)()
    if hasattr(a, "free_symbols"):
        import sympy

        return getattr(sympy, word)(a)
    return getattr(math, word)(a)


def exp(a: Any) -> Any:
    """Exponential, the same bits in every back-end. Its argument is clipped to where the result is a normal number
    (-87.33 to 88.37 in float32), so it never answers 0 or infinity; its derivative is the exponential."""
    return _call("exp", a)


def log(a: Any) -> Any:
    """Natural logarithm, the same bits in every back-end; below the smallest normal number it stays at the log of it."""
    return _call("log", a)


def tanh(a: Any) -> Any:
    """Hyperbolic tangent, the same bits in every back-end."""
    return _call("tanh", a)


def sigmoid(a: Any) -> Any:
    """1 / (1 + exp(-a))."""
    return 1.0 / (1.0 + exp(-a))


def sqrt(a: Any) -> Any:
    """Square root, the same bits in every back-end; zero for a negative number. At zero it has no derivative."""
    return _call("sqrt", a)


def floor(a: Any) -> Any:
    """Largest integer not above `a`; its derivative is zero."""
    return _call("floor", a)


def detach(a: Any) -> Any:
    """The same number, without a derivative."""
    return a.detach() if hasattr(a, "detach") else a


def through(value: Any, carrier: Any) -> Any:
    """The value of the first, the derivative of the second: what is called straight-through."""
    if isinstance(value, Tensor):
        return (
            value.detach() + (carrier - carrier.detach()) if isinstance(carrier, Tensor) else value.detach()
        )
    return value.through(carrier) if hasattr(value, "through") else value


def round_through(a: Any) -> Any:
    """The nearest whole number, halves upwards; its derivative is that of `a`."""
    return through(floor(a + 0.5), a)


def trunc_through(a: Any) -> Any:
    """The whole number next to `a` towards zero; its derivative is that of `a`."""
    return through(where(a < 0.0, -floor(-a), floor(a)), a)


def nearest_threshold(u: Any) -> Any:
    """Distance of u from the nearest of the thresholds 0, 1, 2, ...: where a count of spikes has its derivative."""
    return u - maximum(floor(u + 0.5), 0.0)


def where(condition: Any, a: Any, b: Any) -> Any:
    """`a` where the condition holds, else `b`; both are computed."""
    if isinstance(condition, Tensor):
        if not isinstance(a, Tensor) and not isinstance(b, Tensor):
            a = torch.tensor(a, dtype=_precision.get(), device=condition.device)
        return torch.where(condition, a, b)
    if hasattr(condition, "where"):
        return condition.where(a, b)
    if hasattr(condition, "free_symbols"):
        import sympy

        return sympy.Piecewise((a, condition), (b, True))
    return a if condition else b


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two; NaN when either is. At a tie the derivative is that of `a`."""
    return where(a <= b, a, where(b < a, b, a + b))


def maximum(a: Any, b: Any) -> Any:
    """The larger of two; NaN when either is. At a tie the derivative is that of `a`."""
    return where(a >= b, a, where(b > a, b, a + b))


def clip(a: Any, low: Any, high: Any) -> Any:
    """`a`, but not below `low` nor above `high`."""
    return minimum(maximum(a, low), high)
