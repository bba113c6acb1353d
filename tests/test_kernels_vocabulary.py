"""The words of a step function: accurate, the same in every back-end, and differentiable as often as wanted."""

import numpy as np
import pytest
import torch
from laws import interpret, run, run_reference, same_bits
from torch.func import grad, jacfwd, jacrev, vmap

from snnkit.neurons import Neuron, language, neuron, reference, surrogate

precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
ERRORS = {  # relative, of exp, tanh and log
    torch.float32: {"exp": 1.1e-7, "tanh": 2.2e-7, "log": 1.9e-7, "sqrt": 1.2e-7},
    torch.float64: {"exp": 2.0e-16, "tanh": 5.0e-16, "log": 3.6e-16, "sqrt": 2.3e-16},
}


def numbers(word, dtype):
    generator = torch.Generator().manual_seed(0)
    low, high = (-87.3, 88.3) if dtype is torch.float32 else (-708.3, 709.3)
    wide = torch.rand(100_000, generator=generator, dtype=torch.float64) * (high - low) + low
    near = torch.randn(100_000, generator=generator, dtype=torch.float64)
    if word in ("log", "sqrt"):
        return torch.cat([wide.exp(), near.abs() + 1e-3]).to(dtype)
    return torch.cat([wide, near, near * 1e-6]).to(dtype)


@precisions
@pytest.mark.parametrize("word", ["exp", "tanh", "log", "sqrt"])
def test_accuracy(word, dtype):
    if np.finfo(np.longdouble).nmant < 60 and dtype is torch.float64:
        pytest.skip("no longer precision to compare with")
    x = numbers(word, dtype)
    exact = getattr(np, word)(x.numpy().astype(np.longdouble))
    found = getattr(language, word)(x).numpy()
    keep = exact != 0
    assert np.max(np.abs((found[keep] - exact[keep]) / exact[keep])) < ERRORS[dtype][word]


@precisions
def test_at_the_edges(dtype):
    x = torch.tensor([float("nan"), -float("inf"), float("inf"), 0.0, 1e-30], dtype=dtype)
    assert language.sqrt(x)[1:4:2].tolist() == [0.0, 0.0] and torch.isnan(language.sqrt(x)[0])
    e, t, g = language.exp(x), language.tanh(x), language.log(x)
    assert [bool(torch.isnan(y[0])) for y in (e, t, g)] == [True] * 3
    assert torch.isfinite(e[1:]).all() and (e > 0)[1:].all() and e[3] == 1
    assert t[1:].tolist() == [-1.0, 1.0, 0.0, x[4].item()]
    tiny = torch.finfo(dtype).tiny
    assert g[3] == language.log(torch.tensor(tiny, dtype=dtype)) == pytest.approx(np.log(tiny))
    assert language.sigmoid(x)[1:].tolist() == pytest.approx([0.0, 1.0, 0.5, 0.5], abs=1e-37)


@pytest.mark.parametrize("word", ["exp", "tanh", "log", "sigmoid", "sqrt"])
def test_derivatives_of_any_order_on_tensors(word):
    f, exact = getattr(language, word), getattr(torch, word)
    x = torch.tensor([0.3, 0.9, 1.7], dtype=torch.float64)
    for order in (
        lambda f: grad(lambda x: f(x).sum()),
        lambda f: jacrev(jacrev(f)),
        lambda f: jacfwd(jacrev(f)),
        jacfwd,
        lambda f: vmap(grad(f)),
    ):
        torch.testing.assert_close(order(f)(x), order(exact)(x), rtol=1e-13, atol=1e-14)
    assert torch.autograd.gradcheck(f, (x.clone().requires_grad_(),))


def test_words_on_plain_numbers_and_symbols():
    import sympy

    assert language.sigmoid(0.0) == 0.5 and language.sqrt(4.0) == 2.0
    assert language.round_through(1.5) == 2.0 and language.trunc_through(-1.7) == -1.0
    assert language.sigmoid(sympy.Symbol("x")).subs("x", 0) == 0.5


@neuron("x", v=0.0)
def many_spikes(x, v, *, theta, fire):
    u = v + x
    n, r = fire.count(u / theta - 1.0)
    return n, u - r * theta


class ManySpikes(Neuron):
    equation = many_spikes
    learnable = ("threshold",)

    def __init__(self, *, threshold=0.4, **options):
        super().__init__(**options)
        self.add_parameter("threshold", threshold)

    def constants(self):
        return {"theta": self.threshold}


@neuron("x", v=0.0)
def signed(x, v, *, theta, fire):
    u = v + x
    (up, r), (down, q) = fire(u - theta), fire(-u - theta)
    return up - down, language.round_through(8.0 * (u - (r - q) * theta)) / 8.0


class Signed(ManySpikes):
    equation = signed


def drive(dtype, steps=45):
    x = torch.rand(steps, 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return (1.6 * x - 0.7).to(dtype).requires_grad_()


@precisions
@pytest.mark.parametrize("model", [ManySpikes, Signed])
@pytest.mark.parametrize("compare", [">=", ">"])
@pytest.mark.parametrize("detached", [False, True])
def test_counts_and_signs_agree_with_the_reference(model, compare, detached, dtype, monkeypatch):
    interpret(monkeypatch)
    cell = model(compare=compare, detach_reset=detached, learn="threshold").to(dtype)
    x = drive(dtype)
    results, gradients = run(cell, x)
    expected, autograd = run_reference(cell, x)
    assert same_bits(results, expected)
    for a, b in zip(gradients, autograd, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4 if dtype is torch.float32 else 1e-10, atol=1e-6)
    found = set(results[0].unique().tolist())
    assert found >= ({0.0, 1.0, 2.0} if model is ManySpikes else {-1.0, 0.0, 1.0})


@precisions
def test_the_compiler_changes_no_bit_of_a_count(dtype):
    cell, x = ManySpikes(learn="threshold").to(dtype), drive(dtype)
    results, gradients = run(cell, x)
    expected, autograd = run_reference(cell, x)
    assert same_bits(results, expected)
    for a, b in zip(gradients, autograd, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4 if dtype is torch.float32 else 1e-10, atol=1e-6)


def test_a_count_is_of_thresholds_reached_and_slopes_at_the_nearest():
    u = torch.tensor([-3.0, -0.4, -0.0, 0.0, 0.4, 0.6, 1.0, 2.3], requires_grad=True)
    smooth = surrogate.Triangle(width=0.5)
    reached, _ = reference.Fire(smooth).count(u)
    passed, _ = reference.Fire(smooth, strict=True).count(u)
    assert reached.tolist() == [0, 0, 1, 1, 1, 1, 2, 3] and passed.tolist() == [0, 0, 0, 0, 1, 1, 1, 3]
    assert torch.equal(reference.Fire(smooth)(u)[0], reached.clamp(max=1))
    reached.sum().backward()
    expected = [smooth.derivative(d, *smooth.hyper) for d in (-3.0, -0.4, 0.0, 0.0, 0.4, -0.4, 0.0, 0.3)]
    assert u.grad.tolist() == pytest.approx(expected, abs=1e-6)


def test_rounding_keeps_its_slope_on_the_reference():
    x = torch.tensor([-1.5, -0.2, 0.5, 1.7], requires_grad=True)
    for word, expected in (
        ("round_through", [-1.0, 0.0, 1.0, 2.0]),
        ("trunc_through", [-1.0, 0.0, 0.0, 1.0]),
    ):
        y = getattr(language, word)(x)
        assert y.tolist() == expected
        assert torch.autograd.grad(y.sum(), x)[0].tolist() == [1.0] * 4
