"""Latency codes: a value is how early a channel fires its only spike."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnkit.binning import check_dt
from snnkit.encoders.values import unit_values
from snnkit.errors import UserError
from snnkit.events import EventTensor


def linear(x: Any, *, steps: int, dt: float, silent_zero: bool = False) -> EventTensor:
    """One spike per channel, the sooner the larger its value: step t = round((T - 1)(1 - x)).

    `decode` inverts it with an error of at most 1/(2(T - 1)).

    Args:
        x: values in [0, 1], (B, *N).
        steps: T, at least 2.
        dt: length of a step in seconds.
        silent_zero: channels with x = 0 do not fire at all, instead of in the last step.

    Returns:
        `EventTensor` of shape (T, B, *N).

    Raises:
        UserError: values outside [0, 1] or steps < 2.

    >>> linear([[1.0, 0.5, 0.0]], steps=3, dt=1e-3).dense()[:, 0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    values = unit_values(x)
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 2:
        raise UserError(f"a latency needs steps >= 2, got {steps!r}")
    step = np.rint((steps - 1) * (1 - values)).astype(np.int64)
    fires = values > 0 if silent_zero else np.ones(values.shape, dtype=bool)
    dense = np.zeros((steps, values.size), dtype=np.float32)
    dense[step.ravel()[fires.ravel()], np.flatnonzero(fires)] = 1
    return EventTensor.from_dense(torch.from_numpy(dense.reshape(steps, *values.shape)), check_dt(dt))


def decode(events: EventTensor) -> Tensor:
    """The values behind a linear latency code, (B, *N): 1 - t/(T - 1) of a channel's first spike, NaN if it has none.

    No spike is not a spike in the last step: what never fired stays unknown.
    """
    dense = events.dense() != 0
    first = dense.to(torch.float32).argmax(0)
    return torch.where(dense.any(0), 1 - first / (len(events) - 1), torch.nan)
