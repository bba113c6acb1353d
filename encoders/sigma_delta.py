"""Sigma-delta codes: the error of every spike goes into the next ones.

`SigmaDelta` and `SignedSigmaDelta` oversample: a signal that changes slowly over R steps is read from R spikes. `Messages` sends the changes
of activations as numbers (the encoder of sigma-delta networks; `snnkit.DeltaEncoder` is the same as a layer with a gradient).
Signals are [T, B, *N], time first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from snnkit.binning import check_dt
from snnkit.encoders.values import (
    LARGEST_COUNT,
    finite_signal,
    per_channel,
    positive,
    signed_dense,
    sorted_events,
)
from snnkit.errors import UserError
from snnkit.events import EventTensor

SLACK = 1e-9  # ten steps of 0.1 are one spike, whatever rounding says


@dataclass(frozen=True, kw_only=True)
class SigmaDelta:
    """First-order sigma-delta modulation of a signal in [0, 1]: v += s; v >= 1: spike, v -= 1.

    After any number of steps the sum of the spikes is less than 1 below the sum of the signal, so the mean over R steps, `decode`, is off by less
    than 1/R: 6 dB less noise for twice R. `decode(order=2)` weighs the spikes with a triangle of 2 R - 1 steps (sinc²), ideally for 9 dB per octave.

    >>> import numpy as np
    >>> events = SigmaDelta().encode(np.full((8, 1, 1), 0.25), dt=1e-3)
    >>> events.dense().flatten().tolist()
    [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    """

    def encode(self, s: Any, *, dt: float) -> EventTensor:
        """A signal [T, B, *N] in [0, 1], one sample every `dt` seconds, to spikes, at most one per step."""
        from snnkit.kernels.encoders.signals import sigma_delta

        signal = finite_signal(s, 0.0, 1.0)
        columns = sigma_delta(signal.reshape(*signal.shape[:2], -1), SLACK)
        return sorted_events(*columns, shape=signal.shape, dt=dt)

    def decode(self, events: EventTensor, *, ratio: int, order: int = 1) -> Tensor:
        """One value per `ratio` = R steps, float64 [T // R, B, *N].

        Args:
            events: of `encode`.
            ratio: R, the oversampling ratio.
            order: 1 for the mean of each block of R steps; 2 for a triangle around the middle of each block, which has the mean
                of the block's neighbours in it as well (edges take what is there).
        """
        if isinstance(ratio, bool) or not isinstance(ratio, int) or not 1 <= ratio <= len(events):
            raise UserError(f"ratio is a number of steps, from 1 to {len(events)}, got {ratio!r}")
        if order not in (1, 2):
            raise UserError(f"order is 1 (mean) or 2 (triangle), got {order!r}")
        o = signed_dense(events)
        blocks = len(o) // ratio
        if order == 1:
            return o[: blocks * ratio].unflatten(0, (blocks, ratio)).mean(1)
        middle = torch.arange(blocks, dtype=torch.float64) * ratio + (ratio - 1) / 2
        away = torch.arange(len(o), dtype=torch.float64) - middle[:, None]
        weights = (ratio - away.abs()).clamp(min=0)
        weights = weights / weights.sum(1, keepdim=True)
        return (weights @ o.flatten(1)).view(blocks, *o.shape[1:])


@dataclass(frozen=True, eq=False, kw_only=True)
class SignedSigmaDelta:
    """Sigma-delta modulation with a filter in its loop, for signals in [-1, 1] (after Yoon 2017).

        e = s - r        v += e        o = sign(v) if |v| >= θ, else 0        r = a r + (1 - a) o,  a = exp(-dt/τ)

    The decoder is the loop's own filter, r. What it gets wrong sums up to v, which the loop holds near max(θ, 1/2) for τ up to about 10 dt,
    so the mean over R steps is off by about v/R. Longer filters lag, and the loop rings.

    Args:
        tau: time constant τ of the filter in seconds, above dt.
        threshold: θ.

    >>> import numpy as np
    >>> code, s = SignedSigmaDelta(tau=10e-3), np.full((1000, 1, 1), -0.3)
    >>> abs(code.decode(code.encode(s, dt=1e-3))[200:].mean().item() + 0.3) < 0.01
    True
    """

    tau: float
    threshold: ArrayLike = 0.5

    def __post_init__(self) -> None:
        positive("tau", self.tau, "a time constant in seconds")
        per_channel("threshold", self.threshold, np.shape(self.threshold))

    def encode(self, s: Any, *, dt: float) -> EventTensor:
        """A signal [T, B, *N] in [-1, 1], one sample every `dt` seconds, to events of +1 and -1."""
        from snnkit.kernels.encoders.signals import sigma_delta_signed

        signal = finite_signal(s, -1.0, 1.0)
        theta = per_channel("threshold", self.threshold, signal.shape[2:])
        columns = sigma_delta_signed(signal.reshape(*signal.shape[:2], -1), theta, self._keep(dt))
        return sorted_events(*columns, shape=signal.shape, dt=dt)

    def decode(self, events: EventTensor) -> Tensor:
        """r over time, float64 [T, B, *N]."""
        keep, r, o = (
            self._keep(events.dt),
            torch.zeros(events.shape[1:], dtype=torch.float64),
            signed_dense(events),
        )
        for t in range(len(o)):
            r = keep * r + (1 - keep) * o[t]
            o[t] = r
        return o

    def _keep(self, dt: float) -> float:
        dt = check_dt(dt)
        if not dt < self.tau:
            raise UserError(
                f"expected dt < tau, both in seconds, got dt={dt:g} and tau={self.tau:g}; "
                f"for {dt:g} ms write dt={dt * 1e-3:g}"
            )
        return math.exp(-dt / self.tau)


@dataclass(frozen=True, eq=False, kw_only=True)
class Messages:
    """Changes of activations as numbers, the encoder half of a sigma-delta neuron (Yoon 2017; Lava's sigma-delta neurons).

        e = s - sent        d = θ · round(e/θ), or with rounded=False: d = e if |e| >= θ, else 0        sent += d

    The receiver adds up: the sum of the messages equals the signal within θ/2, or within θ where they are not rounded (Lava's form, whose
    residue is the same e).

    Args:
        threshold: θ, in the unit of the signal; a number or one per channel.
        rounded: messages are whole thresholds.

    >>> import numpy as np
    >>> Messages(threshold=0.5).encode(np.array([0.1, 0.9, 1.0]).reshape(3, 1, 1), dt=1e-3).dense().flatten().tolist()
    [0.0, 1.0, 0.0]
    """

    threshold: ArrayLike
    rounded: bool = True

    def __post_init__(self) -> None:
        per_channel("threshold", self.threshold, np.shape(self.threshold))

    def encode(self, s: Any, *, dt: float) -> EventTensor:
        """A signal [T, B, *N] of finite samples, one every `dt` seconds, to events whose values are the messages."""
        from snnkit.kernels.encoders.signals import messages

        signal = finite_signal(s)
        theta = per_channel("threshold", self.threshold, signal.shape[2:])
        if np.abs(signal).max() / theta.min() > LARGEST_COUNT:
            raise UserError(
                f"the signal reaches {np.abs(signal).max():g}, more than 2^24 thresholds of {theta.min():g}"
            )
        columns = messages(signal.reshape(*signal.shape[:2], -1), theta, self.rounded)
        return sorted_events(*columns, shape=signal.shape, dt=dt)

    def decode(self, events: EventTensor) -> Tensor:
        """The sum of the messages so far, float64 [T, B, *N]."""
        return signed_dense(events).cumsum(0)
