"""Long kernels along time by transform: one real product per frequency component, whatever the kernel holds.

    y[t] = Σ_n x[t - n] · K[n]      x: T batch in      K: W in out      y: rows batch out

The discrete Fourier transform turns the convolution into one complex product per frequency. Written out in real numbers
with three products instead of four, and with all additions moved into the matrices of the transforms, that is

    y = Dᵀ · (C x ∘ E K)        ∘: for each of about 1.5·(T + W) components a product `batch in` times `in out`

so a dense kernel of any length costs less than two dense layers. Components are taken in groups, and the backward pass
transforms anew instead of keeping spectra: memory stays near that of x, K and y. Rounding is that of transforms: silent
steps get about 1e-7 of the largest output, and late input changes early bits. Hence for training only.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.products import matmul, matmuls

GROUP = 32  # components at a time


@lru_cache(maxsize=32)
def _matrices(
    steps: int, window: int, rows: int, dtype: torch.dtype, device: str
) -> tuple[Tensor, Tensor, Tensor]:
    """C (components x steps), E (components x window) and D (components x rows)."""
    n = max(steps + window - 1, rows, 2)
    f = torch.arange(n // 2 + 1, dtype=torch.float64)
    real = (f == 0) | (2 * f == n)  # without a sine

    def trig(size: int) -> tuple[Tensor, Tensor]:
        angle = 2 * math.pi / n * torch.remainder(f[:, None] * torch.arange(size, dtype=torch.float64), n)
        return angle.cos(), angle.sin()

    def front(size: int) -> Tensor:
        c, s = trig(size)
        return torch.cat([c[real], c[~real], s[~real], (c + s)[~real]])

    c, s = trig(rows)
    back = torch.cat([c[real], 2 * (c - s)[~real], -2 * (c + s)[~real], 2 * s[~real]]) / n
    C, E, D = (m.to(device=device, dtype=dtype) for m in (front(steps), front(window), back))
    return C, E, D


def _setup(x: Tensor, window: int, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    return _matrices(len(x), window, rows, x.dtype, str(x.device))


def _forward(x: Tensor, kernel: Tensor, rows: int) -> Tensor:
    (T, B, N), (W, _, M) = x.shape, kernel.shape
    C, E, D = _setup(x, W, rows)
    x, kernel = x.reshape(T, -1), kernel.reshape(W, -1)
    y = x.new_zeros(rows, B * M)
    for g in range(0, len(C), GROUP):
        c, e, d = C[g : g + GROUP], E[g : g + GROUP], D[g : g + GROUP]
        part = matmuls(matmul(c, x).view(-1, B, N), matmul(e, kernel).view(-1, N, M))
        y += matmul(d.t(), part.view(-1, B * M))
    return y.view(rows, B, M)


def adjoint(
    x: Tensor, kernel: Tensor, grad: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of x and of the kernel, as far as wanted, from that of the rows."""
    (T, B, N), (W, _, M), rows = x.shape, kernel.shape, len(grad)
    C, E, D = _setup(x, W, rows)
    x2, k2, g2 = x.reshape(T, -1), kernel.reshape(W, -1), grad.reshape(rows, -1)
    dx = torch.zeros_like(x2) if wanted[0] else None
    dk = torch.zeros_like(k2) if wanted[1] else None
    for g in range(0, len(C), GROUP):
        c, e = C[g : g + GROUP], E[g : g + GROUP]
        bar = matmul(D[g : g + GROUP], g2).view(-1, B, M)
        if dx is not None:
            dx += matmul(c.t(), matmuls(bar, matmul(e, k2).view(-1, N, M).mT).view(-1, B * N))
        if dk is not None:
            dk += matmul(e.t(), matmuls(matmul(c, x2).view(-1, B, N).mT, bar).view(-1, N * M))
    return None if dx is None else dx.view(x.shape), None if dk is None else dk.view(kernel.shape)


class _Spectral(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, kernel: Tensor, rows: int) -> Tensor:
        return _forward(x.detach(), kernel.detach(), rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x, kernel = ctx.saved_tensors
        wanted = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        return *adjoint(x, kernel, grad.contiguous(), wanted), None


def convolve(x: Tensor, kernel: Tensor, rows: int) -> Tensor:
    """Rows 0 .. rows - 1 of the convolution of `T batch in` with `W in out`, with gradients for both."""
    return _Spectral.apply(x, kernel, rows)
