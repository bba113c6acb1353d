"""Static values in [0, 1], as the codes of this room take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from snnkit.binning import check_dt, check_steps
from snnkit.errors import UserError


def unit_values(x: Any) -> NDArray[np.float64]:
    """`x` as an array (B, *N) of numbers in [0, 1], or an error that says what to type."""
    values = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    if values.ndim < 2:
        raise UserError(f"expected values of shape (B, *N), got {values.shape}; for one sample pass x[None]")
    values = values.astype(np.float64)
    wrong = ~((values >= 0) & (values <= 1))  # true for NaN
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise UserError(
            f"expected values in [0, 1], got x{list(at)} = {values[at]:g}; scale or clip them first"
        )
    return values


def checked_grid(steps: int, dt: float, rate: float | None, *, at_most_one: bool) -> tuple[int, float, float]:
    """(steps, dt, spikes per step at x = 1); `rate` None is one spike in every step."""
    steps, dt = check_steps(steps), check_dt(dt)
    per_step = 1.0 if rate is None else rate * dt
    if not per_step > 0:
        raise UserError(f"expected rate > 0 in spikes per second, got {rate}")
    if at_most_one and per_step > 1 + 1e-9:
        raise UserError(
            f"rate={rate:g} Hz at dt={dt:g} s is {per_step:g} spikes per step, but a step holds one; "
            f"lower rate to {1 / dt:g} or use encoders.rate.poisson, which counts"
        )
    return steps, dt, min(per_step, 1.0) if at_most_one else per_step


def generators(seed: int, batch: int, keys: Sequence[int] | None) -> list[np.random.Generator]:
    """One independent generator per sample: a sample's draws do not depend on its neighbours."""
    ids = range(batch) if keys is None else [int(k) for k in keys]
    if len(ids) != batch:
        raise UserError(f"expected one key per sample, got {len(ids)} keys for {batch} samples")
    streams = (np.array([seed % 2**64, k % 2**64], dtype=np.uint64) for k in ids)
    return [np.random.Generator(np.random.Philox(key=key)) for key in streams]
