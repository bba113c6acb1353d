"""Dense products: both libraries against float64, their derivatives, and what is left to torch."""

from __future__ import annotations

import pytest
import torch
from torch.func import jvp, vmap

from snnkit.kernels import products


def operands(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g)


@pytest.fixture(params=["the faster", "torch"])
def library(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(products, "_operator", lambda: None)
    return request.param


@pytest.mark.parametrize(
    ("m", "k", "n"), [(1, 1, 1), (3, 5, 2), (128, 700, 256), (64, 1, 9), (0, 4, 3), (2, 0, 3)]
)
def test_products_round_as_float32_does(library, m, k, n):
    a, b, bias = operands(m, k), operands(k, n, seed=1), operands(n, seed=2)
    exact = a.double() @ b.double()
    bound = 4e-7 * (a.abs().double() @ b.abs().double()) + 1e-12
    assert ((products.matmul(a, b) - exact).abs() <= bound).all()
    assert (
        (products.linear(a, b.t(), bias) - (exact + bias)).abs() <= bound + 2e-7 * (bias.abs() + exact.abs())
    ).all()


def test_strides_do_not_matter(library):
    a, b = operands(40, 30), operands(40, 50, seed=1)
    torch.testing.assert_close(products.matmul(a.t(), b), products.matmul(a.t().contiguous(), b))
    wide = operands(60, 50, seed=2)
    torch.testing.assert_close(products.matmul(b[:, :30], wide[::2]), b[:, :30] @ wide[::2])
    torch.testing.assert_close(products.matmul(b[:, 0].expand(7, 40), b), b[:, 0].expand(7, 40) @ b)


@pytest.mark.parametrize(
    "size", [(20, 30, 10), (128, 130, 140)]
)  # below and above what oneDNN is worth a call for
def test_stacks_are_their_products(library, size):
    m, k, n = size
    a, b = operands(3, m, k), operands(3, k, n, seed=1)
    y = products.matmuls(a, b, torch.empty(3, m, n))
    torch.testing.assert_close(y, torch.bmm(a, b))
    torch.testing.assert_close(products.matmuls(a, b.mT.contiguous().mT, torch.empty(3, m, n)), y)
    turned = products.matmuls(a.mT.contiguous().mT, b, torch.empty(3, m, n))
    torch.testing.assert_close(turned, y)


def test_double_precision_is_left_to_torch():
    a, b = operands(4, 5).double(), operands(5, 6).double()
    assert torch.equal(products.matmul(a, b), a @ b)


def test_derivatives(library):
    a, b = operands(4, 5).requires_grad_(), operands(5, 6, seed=1).requires_grad_()
    weight = operands(4, 6, seed=2)

    def loss(f):
        return (f(a, b) * weight).tanh().sum()

    for one, other in zip(
        torch.autograd.grad(loss(products.product), (a, b), create_graph=True),
        torch.autograd.grad(loss(torch.matmul), (a, b), create_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
        twice = [torch.autograd.grad(g.square().sum(), (a, b), retain_graph=True) for g in (one, other)]
        torch.testing.assert_close(*twice)
    tangents = operands(4, 5, seed=3), operands(5, 6, seed=4)
    plain = a.detach(), b.detach()
    torch.testing.assert_close(jvp(products.product, plain, tangents), jvp(torch.matmul, plain, tangents))
    many = operands(3, 4, 5, seed=5)
    torch.testing.assert_close(vmap(products.product, (0, None))(many, plain[1]), many @ plain[1])


def test_an_operator_that_has_changed_is_left_alone():
    def other(*arguments):
        raise TypeError("takes 3 arguments")

    assert not products._answers(other)
    assert not products._answers(lambda x, w, *_: x @ w.t() + 1)
    assert products.provider() in ("oneDNN", "torch")
