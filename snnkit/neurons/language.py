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

# The precision in which `where(condition, 0.0, 1.0)` answers: its arguments do not tell.
_precision: ContextVar[torch.dtype | None] = ContextVar("precision", default=None)


def _call(word: str, a: Any) -> Any:
    if hasattr(a, word):  # a tensor or a value on the tape
        return getattr(a, word)()
    if hasattr(a, "free_symbols"):
        import sympy

        return getattr(sympy, word)(a)
    return getattr(math, word)(a)


def exp(a: Any) -> Any:
    """Exponential. Clip its argument: a branch that `where` did not take still has a derivative."""
    return _call("exp", a)


def log(a: Any) -> Any:
    """Natural logarithm."""
    return _call("log", a)


def tanh(a: Any) -> Any:
    """Hyperbolic tangent."""
    return _call("tanh", a)


def floor(a: Any) -> Any:
    """Largest integer not above `a`; its derivative is zero."""
    return _call("floor", a)


def detach(a: Any) -> Any:
    """The same number, without a derivative."""
    return a.detach() if hasattr(a, "detach") else a


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
