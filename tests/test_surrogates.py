"""Surrogates: each is its formula, on tensors and in the kernels; and one is added in a few lines."""

from dataclasses import dataclass, fields

import numpy as np
import pytest
import torch
from laws import interpret, run, run_reference, same_bits

from snnkit.errors import UserError
from snnkit.neurons import LIF, reference, surrogate
from snnkit.neurons.language import where


def density(x, mean, sigma):
    return np.exp(-(((x - mean) / sigma) ** 2) / 2) / np.sqrt(2 * np.pi) / sigma


FORMULAS = {  # of the distance x, written out once more
    surrogate.ATan(2.0): lambda x: 1 / (1 + (np.pi * x) ** 2),
    surrogate.FastSigmoid(25.0): lambda x: 1 / (1 + 25 * abs(x)) ** 2,
    surrogate.Triangle(0.3, 1.0): lambda x: 0.3 * np.maximum(0, 1 - abs(x)),
    surrogate.PiecewiseQuadratic(1.5): lambda x: 1.5 * np.maximum(0, 1 - 1.5 * abs(x)),
    surrogate.Sigmoid(4.0): lambda x: 4 * np.exp(-4 * x) / (1 + np.exp(-4 * x)) ** 2,
    surrogate.Rectangular(1.0): lambda x: np.where(abs(x) < 0.5, 1.0, 0.0),
    surrogate.Gaussian(0.5): lambda x: density(x, 0, 0.5),
    surrogate.MultiGaussian(0.5, 0.15, 6.0): lambda x: (
        1.15 * density(x, 0, 0.5) - 0.15 * (density(x, 0.5, 3.0) + density(x, -0.5, 3.0))
    ),
    surrogate.PiecewiseLeaky(0.5, 0.01): lambda x: np.where(abs(x) <= 0.5, 1.0, 0.01),
    surrogate.LeakyReLU(0.1): lambda x: np.where(x >= 0, 1.0, 0.1),
    surrogate.StraightThrough(): np.ones_like,
}
PEAKS = {  # at the threshold, with the defaults
    surrogate.ATan: 1.0,
    surrogate.FastSigmoid: 1.0,
    surrogate.Triangle: 1.0,
    surrogate.PiecewiseQuadratic: 1.0,
    surrogate.Sigmoid: 1.0,
    surrogate.Rectangular: 1.0,
    surrogate.Gaussian: 0.797885,
    surrogate.MultiGaussian: 0.878223,
    surrogate.PiecewiseLeaky: 0.5,
    surrogate.LeakyReLU: 1.0,
    surrogate.StraightThrough: 1.0,
    surrogate.Stochastic: 1.0,
}
OF_AREA_ONE = ("ATan", "PiecewiseQuadratic", "Sigmoid", "Rectangular", "Gaussian")
every = pytest.mark.parametrize("kind", PEAKS, ids=lambda kind: kind.__name__)


def values(smooth, x):
    return gradient_of(lambda u: reference.Fire(smooth)(u)[0], x).numpy()


def gradient_of(function, x):
    x = x.clone().requires_grad_()
    function(x).sum().backward()
    return x.grad


@pytest.mark.parametrize("smooth", FORMULAS, ids=lambda s: type(s).__name__)
def test_each_is_its_formula(smooth):
    x = torch.tensor([-30.0, -0.8, -0.3, 0.0, 0.3, 0.8, 30.0], dtype=torch.float64)
    np.testing.assert_allclose(values(smooth, x), FORMULAS[smooth](x.numpy()), rtol=1e-12, atol=1e-15)


def test_no_surrogate_is_forgotten():
    named = {
        k for k in vars(surrogate).values() if isinstance(k, type) and issubclass(k, surrogate.Surrogate)
    }
    assert named - {surrogate.Surrogate} == set(PEAKS) == {type(s) for s in FORMULAS} | {surrogate.Stochastic}


@every
def test_peak_and_area(kind):
    assert values(kind(), torch.zeros(1, dtype=torch.float64))[0] == pytest.approx(PEAKS[kind], abs=1e-6)
    if kind.__name__ in OF_AREA_ONE:
        x = torch.linspace(-500, 500, 2_000_001, dtype=torch.float64)
        area = np.trapezoid(values(kind(), x), x.numpy()) if hasattr(np, "trapezoid") else 1.0
        assert area == pytest.approx(1.0, abs=1e-3)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_kernels_agree_with_autograd(kind, dtype, monkeypatch):
    interpret(monkeypatch)
    cell = LIF(tau=9e-3, dt=1e-3, surrogate=kind(), learn=("tau", "threshold")).to(dtype)
    x = torch.rand(40, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).sub(0.25)
    x = x.to(dtype).requires_grad_()
    results, gradients = run(cell, x)
    expected, autograd = run_reference(cell, x)
    assert same_bits(results, expected) and 0 < results[0].mean() < 0.8
    for a, b in zip(gradients, autograd, strict=True):
        assert float(b.abs().max()) > 0
        error = float((a - b).abs().max() / b.abs().max())
        assert error < (1e-4 if dtype is torch.float32 else 1e-10)


def test_the_compiler_runs_one_with_exponentials():
    cell = LIF(tau=9e-3, dt=1e-3, surrogate=surrogate.MultiGaussian(), learn="tau")
    x = torch.rand(40, 2, 3, generator=torch.Generator().manual_seed(0)).sub(0.25).requires_grad_()
    results, gradients = run(cell, x)
    expected, autograd = run_reference(cell, x)
    assert same_bits(results, expected)
    torch.testing.assert_close(gradients, autograd, rtol=1e-5, atol=1e-5)


def test_stochastic_noise_is_uniform_and_repeats():
    u = -torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    noise = values(surrogate.Stochastic(noise=0.4), u)
    assert abs(noise.mean()) < 2e-3 and abs(noise.std() - 0.4 / np.sqrt(12)) < 2e-3
    assert noise.min() >= -0.2 and noise.max() <= 0.2
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.02 and abs(np.corrcoef(noise, u)[0, 1]) < 0.02
    assert np.array_equal(noise, values(surrogate.Stochastic(noise=0.4), u))


@dataclass(frozen=True)
class Window(surrogate.Surrogate):
    """1/h from h below the threshold upwards: one-sided."""

    reach: float = 1.0

    @staticmethod
    def derivative(u, reach):
        return where(u >= -reach, 1.0 / reach, 0.0)


def test_a_surrogate_of_ones_own(monkeypatch):
    interpret(monkeypatch)
    cell = LIF(tau=9e-3, dt=1e-3, surrogate=Window(reach=0.5))
    x = torch.rand(30, 1, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    _, (gradient,) = run(cell, x)
    _, (expected,) = run_reference(cell, x)
    torch.testing.assert_close(gradient, expected)
    assert float(expected.abs().max()) > 0


@every
def test_fields_are_positive_numbers(kind):
    for field in fields(kind):
        with pytest.raises(UserError, match="positive number"):
            kind(**{field.name: -1.0})


def test_the_same_as_in_snntorch():
    theirs = pytest.importorskip("snntorch.surrogate")
    x = torch.tensor([-0.8, -0.3, 0.3, 0.8])
    for ours, other in [
        (surrogate.ATan(2.0), theirs.atan(alpha=2.0)),
        (surrogate.FastSigmoid(25.0), theirs.fast_sigmoid(slope=25)),
        (surrogate.Sigmoid(4.0), theirs.sigmoid(slope=4)),
    ]:
        torch.testing.assert_close(torch.from_numpy(values(ours, x)), gradient_of(other, x))


def test_the_same_as_in_spikingjelly():
    theirs = pytest.importorskip("spikingjelly.activation_based.surrogate")
    x = torch.tensor([-0.8, -0.3, 0.3, 0.8])
    for ours, other in [
        (surrogate.ATan(2.0), theirs.ATan(alpha=2.0)),
        (surrogate.Sigmoid(4.0), theirs.Sigmoid(alpha=4.0)),
        (surrogate.PiecewiseQuadratic(1.0), theirs.PiecewiseQuadratic(alpha=1.0)),
        (surrogate.Rectangular(1.0), theirs.Rect(alpha=1.0)),
        (surrogate.PiecewiseLeaky(1.0, 0.01), theirs.PiecewiseLeakyReLU(w=1.0, c=0.01)),
    ]:
        torch.testing.assert_close(torch.from_numpy(values(ours, x)), gradient_of(other, x))
