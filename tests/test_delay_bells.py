"""Gaussian taps and their gradients in one pass, against the definition."""

import numpy as np
import pytest
import torch

from snnkit.kernels.delays.bells import LANES, bells, pulls


def naive(w, d, grad, window, sigma):
    """Taps times weights, and the gradients of weight and delay, in float64."""
    n = np.arange(window).reshape(-1, *[1] * w.ndim)
    near = np.abs(np.rint(d) - d)
    g = np.exp(-((n - d) ** 2 - near**2) / (2 * sigma**2))
    k = g / g.sum(0)
    off = n - np.rint(d)
    slope = k * (off - (k * off).sum(0)) / sigma**2
    return w * k, (grad * k).sum(0), w * (grad * slope).sum(0)


@pytest.mark.parametrize("sigma", [0.05, 0.23, 0.5, 3.0, 12.27, 100.0])
@pytest.mark.parametrize("shape,window", [((5, 7), 25), ((1, 1), 1), ((3, 1), 2), ((2, LANES + 3), 9)])
def test_taps_and_gradients_match_their_naive_twins(sigma, shape, window):
    g = torch.Generator().manual_seed(window)
    w, d = torch.randn(shape, generator=g), torch.rand(shape, generator=g) * (window - 1)
    d[0, 0], d[-1, -1] = 0.0, window - 1.0
    grad = torch.randn(window, *shape, generator=g)
    want = naive(*(t.double().numpy() for t in (w, d, grad)), window, sigma)
    found = bells(w, d, window, sigma), *pulls(w, d, grad, sigma)
    for a, b in zip(found, want, strict=True):
        assert a.shape == b.shape and a.dtype is torch.float32
        assert np.abs(a.numpy() - b).max() <= 2e-6 * np.abs(b).max() + 1e-30


def test_the_gradient_is_that_of_the_taps():
    w, d, grad = torch.tensor([[1.5]]), torch.tensor([[3.3]]), torch.linspace(-1, 1, 9).square().view(9, 1, 1)
    ahead, behind = (float((grad * bells(w, d + e, 9, 2.0)).sum()) for e in (0.01, -0.01))
    assert float(pulls(w, d, grad, 2.0)[1]) == pytest.approx((ahead - behind) / 0.02, rel=1e-3)


def test_a_lost_delay_is_not_hidden():
    w, d = torch.ones(1, 3), torch.tensor([[1.0, torch.nan, 2.0]])
    k = bells(w, d, 4, 1.0)
    assert torch.isnan(k[:, 0, 1]).all() and torch.isfinite(k[:, 0, ::2]).all()
    assert torch.isnan(pulls(w, d, torch.ones(4, 1, 3), 1.0)[1]).tolist() == [[False, True, False]]


def test_views_are_taken_as_they_are_and_nothing_is_changed():
    w, d, grad = torch.randn(4, 3).t(), torch.rand(3, 1).expand(3, 4), torch.randn(5, 4, 3).mT
    before = w.clone(), d.clone(), grad.clone()
    one = bells(w, d, 5, 1.0), *pulls(w, d, grad, 1.0)
    other = bells(before[0].contiguous(), before[1].contiguous(), 5, 1.0), *pulls(*before, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(w, before[0]) and torch.equal(d, before[1]) and torch.equal(grad, before[2])
