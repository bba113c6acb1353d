"""Layers without weights of their own, and normalisation."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.layers.base import Stateless, expected
from snnkit.layers.initial import check_sizes


class Flatten(Stateless):
    """All axes after time and batch become one, the last fastest: `T B *N` to `T B prod(N)`. Events stay events."""

    takes_events = True

    def events(self, x: EventTensor) -> EventTensor:
        shape = (*x.shape[:2], math.prod(x.shape[2:]))
        return EventTensor._ready(x.rowptr, x.indices, x.values, shape, x.dt)  # the indices are flat already

    def rows(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class BatchNorm(Stateless, _BatchNorm):
    """Batch normalisation over time, batch and space, one mean and variance per channel (axis 2 of `T B C ...`).

    y = γ·(x - mean) / sqrt(var + eps) + β, with the statistics of the whole sequence in training and running averages in
    evaluation (as in threshold-dependent BN, Zheng et al. 2021, without its threshold factor: set `weight` for that).
    The running averages see a sequence as one batch. In training, `scan` and `step` normalise by the chunk they get:
    cut time only in evaluation.

    Args:
        num_features: number of channels C.
        eps, momentum, affine: as in torch.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True):
        check_sizes("BatchNorm", num_features=num_features)
        super().__init__(num_features, eps, momentum, affine)

    def _check_input_dim(self, input: Tensor) -> None:
        """torch's hook; `check` has seen the shape before."""

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) < 3 or shape[2] != self.num_features:
            raise expected(
                self.label(), f"T B {self.num_features} ...", shape, lambda s: s[:1] == (self.num_features,)
            )

    def rows(self, x: Tensor) -> Tensor:
        return _BatchNorm.forward(self, x)

    def label(self) -> str:
        return f"BatchNorm({self.num_features})"


class DropoutState(NamedTuple):
    mask: Tensor  # B *N, 0 or 1/(1 - p)


class Dropout(nn.Module):
    """Dropout with one mask per sample for the whole sequence (Gal & Ghahramani 2016): a dropped cell stays silent.

    A new mask at every time step would average out over a membrane's memory. In training the mask is the state, so
    that a sequence in chunks keeps it; in evaluation the layer passes everything and its state is `()`.

    Args:
        p: probability that a cell is dropped; the others are scaled by 1/(1 - p).
        generator: random numbers for the masks; default torch's own.
    """

    def __init__(self, p: float = 0.5, *, generator: torch.Generator | None = None):
        super().__init__()
        if not 0 <= p < 1:
            raise UserError(f"Dropout: p is a probability, 0 <= p < 1; got {p!r}")
        self.p = p
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        return self.scan(x)[0]

    def scan(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """A sequence `T B *N`, state in and state out."""
        if not self.training or self.p == 0:
            return x, ()
        state = state or self._mask(x[0])
        return x * state.mask, state

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One time step `B *N`, state in and state out."""
        if not self.training or self.p == 0:
            return x_t, ()
        state = state or self._mask(x_t)
        return x_t * state.mask, state

    def _mask(self, x_t: Tensor) -> DropoutState:
        keep = torch.empty_like(x_t, requires_grad=False).bernoulli_(1 - self.p, generator=self.generator)
        return DropoutState(keep / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}"
