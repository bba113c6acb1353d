"""Transforms of bands against the definition."""

import numpy as np
import pytest
import torch

from snnkit.kernels.delays.bands import SPAN, back, front, plan
from snnkit.kernels.delays.spectral import SPACE, _plan, adjoint, convolve

CASES = [
    (1, 1),
    (1, 2),
    (1, 7),
    (1, 8),
    (2, 5),
    (2, 6),
    (3, 4),
    (3, 5),
    (4, 5),
    (5, 6),
    (8, 3),
    (9, 14),
]


def frequencies(j, R, m):
    """Those of band j that are kept, in order."""
    n = R * m
    all_of = [j + R * k for k in range(m)]
    return [f for f in all_of if 2 * f <= n] if 2 * j % R == 0 else all_of


def naive_components(x, j, R, m, sign):
    n, rows = R * m, []
    for f in frequencies(j, R, m):
        value = sum(x[t] * np.exp(-2j * np.pi * f * t / n) for t in range(len(x)))
        real = f == 0 or 2 * f == n
        rows += [value.real] if real else [value.real, value.imag, value.real + sign * value.imag]
    return np.array(rows)


@pytest.mark.parametrize("R,m", CASES)
@pytest.mark.parametrize("dtype,tolerance", [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_a_band_has_the_components_of_its_frequencies(R, m, dtype, tolerance):
    n = R * m
    whole = plan(R, m, np.dtype(str(dtype).split(".")[1]))
    x = torch.randn(max(1, n - n // 5), 150, dtype=dtype, generator=torch.Generator().manual_seed(n))
    assert sum(len(frequencies(j, R, m)) for j in range(R // 2 + 1)) == n // 2 + 1, "every frequency once"
    for j, band in enumerate(whole.bands):
        for sign in (1, -1):
            found = front(x, whole, band, sign, torch.full((band.components, 150), torch.nan, dtype=dtype))
            want = naive_components(x.double().numpy(), j, R, m, sign)
            assert found.shape == want.shape and np.abs(found.numpy() - want).max() < tolerance * n


@pytest.mark.parametrize("R,m", CASES)
@pytest.mark.parametrize("conjugate", [False, True])
def test_products_of_components_are_circular_convolutions(R, m, conjugate):
    n, g = R * m, torch.Generator().manual_seed(R)
    whole = plan(R, m, np.dtype("float64"))
    a, b = (torch.randn(n, 5, dtype=torch.float64, generator=g) for _ in range(2))
    y = torch.zeros(n, 5, dtype=torch.float64)
    for band in whole.bands:
        empty = torch.empty(band.components, 5, dtype=torch.float64)
        p = front(a, whole, band, -1 if conjugate else 1, empty) * front(b, whole, band, 1, empty.clone())
        back(p, whole, band, conjugate, y)
    turn = -1 if conjugate else 1
    want = sum(a[s] * b[[turn * (t - s) % n for t in range(n)]] for s in range(n))
    assert torch.allclose(y, want, atol=1e-11 * n)


def test_columns_do_not_depend_on_their_neighbours():
    whole = plan(4, 5, np.dtype("float32"))
    x = torch.randn(17, 2 * SPAN + 130, generator=torch.Generator().manual_seed(0))
    for band in whole.bands:
        together = front(x, whole, band, 1, torch.empty(band.components, x.shape[1]))
        for low in (0, 1, SPAN - 3, 2 * SPAN + 100):
            part = x[:, low : low + 30].contiguous()
            assert torch.equal(
                front(part, whole, band, 1, torch.empty(band.components, 30)), together[:, low : low + 30]
            )


@pytest.mark.parametrize(
    "T,W,rows", [(1, 1, 1), (1, 4, 3), (9, 4, 9), (40, 40, 60), (300, 25, 300), (5, 9, 2)]
)
def test_convolution_and_adjoint_against_sums(T, W, rows):
    g = torch.Generator().manual_seed(T)
    x, k, grad = (
        torch.randn(*s, dtype=torch.float64, generator=g) for s in ((T, 2, 3), (W, 3, 4), (rows, 2, 4))
    )
    y, dx, dk = torch.zeros_like(grad), torch.zeros_like(x), torch.zeros_like(k)
    for t in range(rows):
        for n in range(W):
            if 0 <= t - n < T:
                y[t] += x[t - n] @ k[n]
                dx[t - n] += grad[t] @ k[n].T
                dk[n] += x[t - n].T @ grad[t]
    found = adjoint(x, k, grad, (True, True))
    for a, b in ((convolve(x, k, rows), y), (found[0], dx), (found[1], dk)):
        assert torch.allclose(a, b, atol=1e-10)
    assert adjoint(x, k, grad, (False, True))[0] is None and adjoint(x, k, grad, (True, False))[1] is None


def test_large_spectra_are_taken_in_more_bands():
    small, large = _plan(100, 25, 100, 1 << 10, "float32"), _plan(100, 25, 100, 1 << 20, "float32")
    assert len(large.bands) > len(small.bands)
    assert max(band.components for band in large.bands) << 20 <= SPACE
