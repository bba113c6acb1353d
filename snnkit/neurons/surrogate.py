"""Surrogate gradients: what stands for the derivative of a spike, ds/du at u = charge - threshold.

A surrogate *is* its derivative, written in the vocabulary of `snnkit.neurons.language`. Its fields are run-time
scalars of the kernels, so a new slope compiles nothing. To add one, derive a frozen dataclass from `Surrogate` with
float fields and a `derivative(u, *fields)`.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from numbers import Real
from typing import Any

from snnkit.errors import UserError
from snnkit.neurons.language import maximum


@dataclass(frozen=True)
class Surrogate:
    """Base of all surrogates: positive float fields, and a static `derivative(u, *fields)`."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, Real) and 0 < float(value) < float("inf")):
                raise UserError(
                    f"{type(self).__name__} needs a positive number for {field.name}, got {value!r}"
                )

    @staticmethod
    def derivative(u: Any, *hyper: Any) -> Any:
        """ds/du at distance `u` from the threshold."""
        raise NotImplementedError

    @property
    def hyper(self) -> tuple[float, ...]:
        """The fields as floats, in the order in which `derivative` takes them."""
        return tuple(float(value) for value in astuple(self))


@dataclass(frozen=True)
class ATan(Surrogate):
    """α/2 / (1 + (π/2·α·u)²): peak α/2, area 1 (Fang et al. 2021, ICCV)."""

    alpha: float = 2.0

    @staticmethod
    def derivative(u: Any, alpha: Any) -> Any:
        return 0.5 * alpha / (1.0 + (1.5707963267948966 * alpha * u) ** 2)


@dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """1 / (1 + k·|u|)²: peak 1, area 2/k (Zenke and Ganguli 2018, Neural Comput 30:1514)."""

    slope: float = 25.0

    @staticmethod
    def derivative(u: Any, slope: Any) -> Any:
        return 1.0 / (1.0 + slope * abs(u)) ** 2


@dataclass(frozen=True)
class Triangle(Surrogate):
    """h·max(0, 1 - |u|/w): height h at the threshold, zero beyond w (Bellec et al. 2018: h = 0.3, w = 1)."""

    height: float = 1.0
    width: float = 1.0

    @staticmethod
    def derivative(u: Any, height: Any, width: Any) -> Any:
        return height * maximum(1.0 - abs(u) / width, 0.0)
