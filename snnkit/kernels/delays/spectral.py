"""Long kernels along time by transform: one real product per component of a frequency, whatever the kernel holds.

    y[t] = Σ_n x[t - n] · K[n]      x: T batch in      K: W in out      y: rows batch out

The discrete Fourier transform turns the convolution into one complex product `batch in` times `in out` per frequency,
that is three real ones, about 1.5·(T + W) in all: a dense kernel of any length costs less than two dense layers.
Frequencies are taken in bands (`bands`), and the backward pass transforms anew instead of keeping spectra: memory stays
near that of x, K and y. Rounding is that of transforms: silent steps get about 1e-7 of the largest output, and late input
changes early bits. Hence for training only.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnkit.kernels import lease
from snnkit.kernels.delays.bands import Band, Plan, back, front, plan
from snnkit.kernels.products import matmuls

SPACE = 64 << 20  # bytes that the components of a band may take


@lru_cache(maxsize=64)
def _plan(steps: int, window: int, rows: int, each: int, dtype: str) -> Plan:
    """The cheapest bands whose components, `each` bytes apiece, fit into the space."""
    n = max(steps + window - 1, rows, 2)

    def cost(R: int) -> tuple[bool, int]:
        m = -(-n // R)
        band, h = 3 * (m if R > 2 else m // 2 + 1) * each, m // 8 * 4 + 4
        return band > SPACE, (R // 2 + 1) * (4 * n + 4 * h * h + 10 * m + 600) + 100 * R * m

    R = min(range(1, min(n, 256) + 1), key=cost)
    return plan(R, -(-n // R), np.dtype(dtype))


class _Space(NamedTuple):
    """Room for the components of a band of x, of the kernel and of y."""

    of: Plan
    x: Tensor
    kernel: Tensor
    y: Tensor

    def bands(self) -> Iterator[tuple[Band, Tensor, Tensor, Tensor]]:
        for band in self.of.bands:
            n = band.components
            yield band, self.x[:n], self.kernel[:n], self.y[:n]


def _space(x: Tensor, kernel: Tensor, rows: int) -> _Space:
    (T, B, N), (W, _, M) = x.shape, kernel.shape
    sizes = B * N, N * M, B * M
    of = _plan(T, W, rows, sum(sizes) * x.element_size(), str(x.dtype).removeprefix("torch."))
    n = max(band.components for band in of.bands)
    want = n * sum(sizes)
    if lease.SMALLEST < want * x.element_size() < SPACE:
        # Of one size for all layers, so that they share it; what is not used is no memory.
        want = SPACE // x.element_size()
    room = lease.empty((want,), x.dtype)
    parts = room[: n * sum(sizes)].split([n * size for size in sizes])
    return _Space(of, *(part.view(n, -1) for part in parts))


def _forward(x: Tensor, kernel: Tensor, rows: int) -> Tensor:
    (T, B, N), (W, _, M) = x.shape, kernel.shape
    y = x.new_zeros(rows, B * M)
    if x.numel() == 0 or y.numel() == 0:
        return y.view(rows, B, M)
    space = _space(x, kernel, rows)
    for band, X, K, Y in space.bands():
        front(x.reshape(T, -1), space.of, band, 1, X)
        front(kernel.reshape(W, -1), space.of, band, 1, K)
        matmuls(X.view(-1, B, N), K.view(-1, N, M), Y.view(-1, B, M))
        back(Y, space.of, band, False, y)
    return y.view(rows, B, M)


def adjoint(
    x: Tensor, kernel: Tensor, grad: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of x and of the kernel, as far as wanted, from that of the rows."""
    (T, B, N), (W, _, M), rows = x.shape, kernel.shape, len(grad)
    dx = x.new_zeros(T, B * N) if wanted[0] else None
    dk = x.new_zeros(W, N * M) if wanted[1] else None
    if x.numel() and grad.numel():
        space = _space(x, kernel, rows)
        for band, X, K, G in space.bands():
            front(grad.reshape(rows, -1), space.of, band, -1, G)
            if dx is not None:
                front(kernel.reshape(W, -1), space.of, band, 1, K)
                matmuls(G.view(-1, B, M), K.view(-1, N, M).mT, X.view(-1, B, N))
                back(X, space.of, band, True, dx)
            if dk is not None:
                front(x.reshape(T, -1), space.of, band, 1, X)
                matmuls(X.view(-1, B, N).mT, G.view(-1, B, M), K.view(-1, N, M))
                back(K, space.of, band, True, dk)
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
