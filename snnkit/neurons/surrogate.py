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
from snnkit.neurons.language import exp, floor, maximum, sigmoid, where


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


@dataclass(frozen=True)
class PiecewiseQuadratic(Surrogate):
    """α·max(0, 1 - α·|u|): peak α, area 1, zero beyond 1/α (Esser et al. 2016, PNAS 113:11441)."""

    alpha: float = 1.0

    @staticmethod
    def derivative(u: Any, alpha: Any) -> Any:
        return alpha * maximum(1.0 - alpha * abs(u), 0.0)


@dataclass(frozen=True)
class Sigmoid(Surrogate):
    """k·σ(k·u)·(1 - σ(k·u)): peak k/4, area 1; what an escape rate σ(k·u) has on average."""

    slope: float = 4.0

    @staticmethod
    def derivative(u: Any, slope: Any) -> Any:
        s = sigmoid(slope * u)
        return slope * s * (1.0 - s)


@dataclass(frozen=True)
class Rectangular(Surrogate):
    """1/w where |u| < w/2: area 1 (STBP; Wu et al. 2018, Front Neurosci 12:331)."""

    width: float = 1.0

    @staticmethod
    def derivative(u: Any, width: Any) -> Any:
        return where(abs(u) < 0.5 * width, 1.0 / width, 0.0 * width)


def _normal(u: Any, mean: Any, sigma: Any) -> Any:
    return 0.3989422804014327 / sigma * exp(-0.5 * ((u - mean) / sigma) ** 2)


@dataclass(frozen=True)
class Gaussian(Surrogate):
    """N(u; 0, σ), the normal density: peak 0.4/σ, area 1."""

    sigma: float = 0.5

    @staticmethod
    def derivative(u: Any, sigma: Any) -> Any:
        return _normal(u, 0.0, sigma)


@dataclass(frozen=True)
class MultiGaussian(Surrogate):
    """(1 + h)·N(u; 0, σ) - h·N(u; σ, s·σ) - h·N(u; -σ, s·σ): negative skirts (Yin et al. 2021, Nat Mach Intell 3:905)."""

    sigma: float = 0.5
    height: float = 0.15
    scale: float = 6.0

    @staticmethod
    def derivative(u: Any, sigma: Any, height: Any, scale: Any) -> Any:
        wide = scale * sigma
        skirts = _normal(u, sigma, wide) + _normal(u, -sigma, wide)
        return (1.0 + height) * _normal(u, 0.0, sigma) - height * skirts


@dataclass(frozen=True)
class PiecewiseLeaky(Surrogate):
    """1/(2w) where |u| ≤ w, the leak c outside, so that no neuron is without a gradient."""

    width: float = 1.0
    leak: float = 0.01

    @staticmethod
    def derivative(u: Any, width: Any, leak: Any) -> Any:
        return where(abs(u) <= width, 0.5 / width, leak)


@dataclass(frozen=True)
class LeakyReLU(Surrogate):
    """1 where u ≥ 0, the slope c below: the derivative of a leaky rectifier."""

    slope: float = 0.1

    @staticmethod
    def derivative(u: Any, slope: Any) -> Any:
        return where(u >= 0.0, 1.0 + 0.0 * slope, slope)


@dataclass(frozen=True)
class StraightThrough(Surrogate):
    """1 everywhere (Bengio, Léonard and Courville 2013, arXiv:1308.3432)."""

    @staticmethod
    def derivative(u: Any) -> Any:
        return 1.0


@dataclass(frozen=True)
class Stochastic(Surrogate):
    """1 where u ≥ 0, noise in ±c/2 below, uniform (the form of snnTorch's stochastic spike operator, without a mean).

    The noise is a hash of u, its product with a large number taken modulo one: the same input gives the same gradient in
    every back-end, for any number of threads, and no generator has to be carried along.
    """

    noise: float = 0.2

    @staticmethod
    def derivative(u: Any, noise: Any) -> Any:
        mixed = 10007.31 * u
        mixed = 613.7 * (mixed - floor(mixed))
        return where(u >= 0.0, 1.0 + 0.0 * noise, noise * (mixed - floor(mixed) - 0.5))
