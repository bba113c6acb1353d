"""Spikes of many samples as rows of numbers: counts, counts in windows, filtered traces."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from snnkit.errors import UserError
from snnkit.events import EventTensor


def counts(spikes: EventTensor, windows: int = 1, last: float | None = None) -> Tensor:
    """Spikes of each neuron in each of `windows` equal stretches of time, float32 [B, windows·N].

    Args:
        windows: how many; the neurons of the first window come first. Where T is no multiple, they differ by a step.
        last: look only at the end, these seconds.

    Graded spikes count with their value.
    """
    T, B = spikes.shape[:2]
    N = math.prod(spikes.shape[2:])
    first = 0
    if last is not None:
        steps = round(last / spikes.dt)
        if not 0 < steps <= T:
            raise UserError(
                f"last={last:g} s is {steps} steps of dt={spikes.dt:g} s; the spikes have {T} steps"
            )
        first = T - steps
    if not 1 <= windows <= max(T - first, 1):
        raise UserError(f"windows is 1..{max(T - first, 1)} for {T - first} steps, got {windows!r}")
    part = spikes[first:]
    window = torch.arange(len(part)) * windows // max(len(part), 1)
    row = (torch.arange(B) * windows + window[:, None]) * N  # where the counts of a step and sample begin
    at = torch.repeat_interleave(row.flatten(), part.rowptr.diff()) + part.indices
    if part.values is None:
        found = torch.bincount(at, minlength=B * windows * N).float()
    else:
        found = torch.zeros(B * windows * N).index_add_(0, at, part.values)
    return found.view(B, windows * N)


def filtered(spikes: EventTensor, tau: float) -> Tensor:
    """Exponential traces at the end, Σ exp(-(T - 1 - t)·dt/τ) over the spikes of each neuron, float32 [B, N].

    Args:
        tau: τ [s].
    """
    if not tau > 0:
        raise UserError(f"filtered needs a time constant tau > 0 in seconds, got {tau!r}")
    T, B = spikes.shape[:2]
    N = math.prod(spikes.shape[2:])
    rows = spikes.rows()
    t, b = rows // B, rows % B
    weight = torch.exp(-(T - 1 - t) * (spikes.dt / tau)).float()
    weight = weight if spikes.values is None else weight * spikes.values
    return torch.zeros(B * N).index_add_(0, b * N + spikes.indices, weight).view(B, N)


def per_step(spikes: EventTensor) -> np.ndarray:
    """Spikes of all neurons together in each step, [T, B]."""
    return spikes.rowptr.diff().view(spikes.shape[0], spikes.shape[1]).numpy()
