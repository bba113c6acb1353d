"""Membranes that do not fire, at the end of a network in continuous time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnkit.errors import UserError
from snnkit.eventprop.spikes import Spikes
from snnkit.kernels.eventprop.lists import Constants, Integral, Maximum, Trace


@dataclass(frozen=True, eq=False, repr=False)
class Readout:
    """Leaky membranes over arriving spikes; everything it answers has gradients, in the units of the layers on time steps.

    Args:
        spikes: what arrives.
        weight: readouts x inputs; delay: likewise [s], or None.
        constants: time constants (`tau_syn` 0 for a single `LeakyIntegrator`, without synapse) and the end of the run.
        dt: step of the layers that it stands for [s].
    """

    spikes: Spikes
    weight: Tensor
    delay: Tensor | None
    constants: Constants
    dt: float

    @property
    def duration(self) -> float:
        return self.constants.end

    @property
    def shape(self) -> tuple[int, int]:
        return self.spikes.samples, len(self.weight)

    def trace(self) -> Tensor:
        """The membranes after every step of the layers, `T B C`: what the layers on time steps answer.

        That is at the end of steps behind a synapse, and at their begin without one. Costs T x B x C.
        """
        later = self.dt if bool(self.constants.tau_syn.any()) else 0.0
        return self.at(np.arange(round(self.duration / self.dt)) * self.dt + later)

    def at(self, times: Any) -> Tensor:
        """The membranes at given times [s] in order, `M B C`; times: M of them, or `B C M`."""
        at = np.asarray(times.detach() if isinstance(times, Tensor) else times, dtype=np.float64)
        if at.ndim not in (1, 3) or (np.diff(at) < 0).any():
            raise UserError(f"Readout: times are M times in order, or B x C x M, got shape {at.shape}")
        try:
            at = np.ascontiguousarray(np.broadcast_to(at, (*self.shape, at.shape[-1])))
        except ValueError:
            raise UserError(f"Readout: times of shape {at.shape} do not fit B C = {self.shape}") from None
        return self._given(Trace, at)

    def integral(self, window: float | None = None) -> Tensor:
        """∫ V dt over the run, `B C` [s]; with `window` τ, ∫ exp(-t/τ) V dt, so that early spikes count more.

        The integral with window is a loss that trains well (Nowotny, Turner and Knight 2025, arXiv:2212.01232).
        """
        if window is not None and not 0 < window < math.inf:
            raise UserError(f"Readout: window is a positive time in seconds, got {window!r}")
        return self._given(Integral, 0.0 if window is None else 1.0 / window)

    def maximum(self) -> Tensor:
        """The highest value of every membrane, at any time of the run, `B C`; 0 where it never rises."""
        if not bool(self.constants.tau_syn.all()):
            raise UserError(
                "Readout: a membrane without synapse jumps to its maximum, which has no gradient by time; put "
                "LeakyIntegrator(tau=tau_syn, ...) before it, or use integral() or trace()"
            )
        return self._given(Maximum, None)

    def _given(self, function: Any, what: Any) -> Tensor:
        spikes = self.spikes
        return function.apply(spikes.time, self.weight, self.delay, spikes.arrays(), self.constants, what)

    def __repr__(self) -> str:
        return f"Readout({self.shape[1]} membranes, {self.spikes!r})"


def checked_end(duration: float) -> float:
    if not (math.isfinite(duration) and duration > 0):
        raise UserError(f"eventprop: duration is a positive time in seconds, got {duration!r}")
    return float(duration)


def per_neuron(x: Tensor, n: int, what: str) -> np.ndarray:
    """A parameter of neurons as n numbers."""
    try:
        flat = x.detach().double().cpu().broadcast_to((n,))
    except RuntimeError:
        raise UserError(
            f"eventprop: {what} has shape {tuple(x.shape)}, but the layer has {n} neurons"
        ) from None
    return np.ascontiguousarray(flat.numpy())


def unit(tau_mem: np.ndarray, tau_syn: np.ndarray, dt: float) -> Tensor:
    """κ(dt): what a unit of current does to a membrane within a step. On time steps the membrane is counted in it."""
    rate = 1.0 / tau_syn - 1.0 / tau_mem
    z = rate * dt
    safe = np.where(z == 0, 1.0, z)
    share = np.where(z == 0, 1.0, -np.expm1(-safe) / safe)
    return torch.from_numpy(dt / tau_mem * np.exp(-dt / tau_mem) * share)
