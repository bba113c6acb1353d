"""What the codes of this room take and give: checked values, checked signals, and event tensors made of spikes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from snnkit.binning import check_dt, check_steps, to_numpy
from snnkit.errors import UserError
from snnkit.events import EventTensor

LARGEST_STEP = 0.5  # seconds; a spike code of longer steps is a dt in milliseconds
LARGEST_COUNT = 2**24  # float32 counts exactly as far as this


def unit_values(x: Any) -> NDArray[np.float64]:
    """`x` as an array (B, *N) of numbers in [0, 1], or an error that says what to type."""
    return bounded_values(x, 0.0, 1.0)


def bounded_values(x: Any, low: float, high: float) -> NDArray[np.float64]:
    """`x` as an array (B, *N) of numbers in [low, high], or an error that says what to type."""
    values = to_numpy(x)
    if values.dtype.kind not in "buif":
        raise UserError(f"expected numbers in [{low:g}, {high:g}], got an array of dtype {values.dtype}")
    if values.ndim < 2:
        raise UserError(f"expected values of shape (B, *N), got {values.shape}; for one sample pass x[None]")
    if math.prod(values.shape[1:]) == 0:
        raise UserError(f"expected values of shape (B, *N) with at least one channel, got {values.shape}")
    values = np.ascontiguousarray(values, dtype=np.float64)
    if values.size and not (values.min() >= low and values.max() <= high):  # also true for NaN
        wrong = ~((values >= low) & (values <= high))
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        hint = "x / 255 makes bytes such values" if (low, high) == (0, 1) and 1 < values[at] <= 255 else ""
        raise UserError(
            f"expected values in [{low:g}, {high:g}], got x{list(at)} = {values[at]:g}; "
            + (hint or "scale or clip them first")
        )
    return values


def code_grid(steps: int, dt: float, *, least: int = 1) -> tuple[int, float]:
    """(steps, dt) of a code of static values; refuses steps so long that milliseconds were meant."""
    dt = check_dt(dt)
    if dt >= LARGEST_STEP:
        raise UserError(
            f"dt is the length of a step in seconds, and dt={dt:g} s is no step of a spike code; "
            f"for {dt:g} ms write dt={dt * 1e-3:g}"
        )
    if least > 1 and (isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < least):
        raise UserError(f"this code needs steps >= {least}, got {steps!r}")
    return check_steps(steps), dt


def checked_grid(steps: int, dt: float, rate: float | None, *, at_most_one: bool) -> tuple[int, float, float]:
    """(steps, dt, spikes per step at x = 1); `rate` None is one spike in every step."""
    steps, dt = code_grid(steps, dt)
    per_step = 1.0 if rate is None else rate * dt
    if not (per_step > 0 and math.isfinite(per_step)):
        raise UserError(f"expected rate > 0 in spikes per second, got {rate}")
    if at_most_one and per_step > 1 + 1e-9:
        raise UserError(
            f"rate={rate:g} Hz at dt={dt:g} s is {per_step:g} spikes per step, but a step holds one; "
            f"lower rate to {1 / dt:g} or use encoders.rate.poisson, which counts"
        )
    return steps, dt, min(per_step, 1.0) if at_most_one else per_step


def sample_keys(batch: int, keys: Sequence[int] | None) -> NDArray[np.uint64]:
    """One number per sample; with the seed it decides the sample's draws, so that they do not depend on its neighbours."""
    ids = range(batch) if keys is None else [int(k) for k in keys]
    if len(ids) != batch:
        raise UserError(f"expected one key per sample, got {len(ids)} keys for {batch} samples")
    return np.array([k % 2**64 for k in ids], dtype=np.uint64)


def checked_seed(seed: int) -> np.uint64:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise UserError(f"seed is a whole number, got {seed!r}")
    return np.uint64(int(seed) % 2**64)


def positive(name: str, value: Any, what: str) -> float:
    """`value` as a float > 0, or an error that says what it is."""
    good = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (good and math.isfinite(value) and value > 0):
        raise UserError(f"{name} is {what} and must be positive, got {name}={value!r}")
    return float(value)


# -- signals ----------------------------------------------------------------------------------------------------------


def signal_values(s: Any) -> NDArray[np.floating]:
    """A signal [T, B, *N] in one piece, float32 if it came so, else float64; samples may be NaN (missing)."""
    signal = to_numpy(s)
    if signal.dtype.kind not in "buif":
        raise UserError(f"a signal holds numbers, got an array of dtype {signal.dtype}")
    if signal.ndim < 3 or 0 in signal.shape:
        raise UserError(
            f"expected a signal of shape (T, B, *N), time first, got {signal.shape}; for one recording (T, C) pass "
            "s[:, None], for batches (B, T, C) pass np.moveaxis(s, 1, 0)"
        )
    return np.ascontiguousarray(signal, dtype=np.float32 if signal.dtype == np.float32 else np.float64)


def finite_signal(s: Any, low: float = -math.inf, high: float = math.inf) -> NDArray[np.floating]:
    """A signal [T, B, *N] of finite numbers in [low, high]."""
    signal = signal_values(s)
    if not (signal.min() >= low and signal.max() <= high and np.isfinite(signal).all()):
        wrong = ~((signal >= low) & (signal <= high) & np.isfinite(signal))
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = "finite samples" if math.isinf(low) else f"samples in [{low:g}, {high:g}]"
        hint = (
            "fill gaps first"
            if not np.isfinite(signal[at])
            else "encoders.Scale.fit(training).apply(s) scales them"
        )
        raise UserError(f"expected {where}, got s{list(at)} = {signal[at]:g}; {hint}")
    return signal


def per_channel(name: str, value: ArrayLike, channels: tuple[int, ...]) -> NDArray[np.float64]:
    """A positive number per channel, flat, from anything that broadcasts to `*N`."""
    array = np.asarray(to_numpy(value), dtype=np.float64)
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise UserError(f"{name} must be positive, in the unit of the signal, got {name}={value!r}")
    try:
        return np.ascontiguousarray(np.broadcast_to(array, channels)).reshape(-1)
    except ValueError:
        raise UserError(
            f"{name} is a number or broadcasts to the channels {channels}, got shape {array.shape}"
        ) from None


# -- event tensors ----------------------------------------------------------------------------------------------------


def spikes_to_events(
    when: NDArray,
    place: NDArray,
    values: NDArray | None = None,
    *,
    steps: int,
    shape: tuple[int, ...],
    dt: float,
) -> EventTensor:
    """Spikes at (step, flat place in `shape` = (B, *N)), in order of place, each cell once."""
    from snnkit.kernels.encoders.codes import arrange

    size = math.prod(shape[1:])
    graded = np.empty(0, np.float32) if values is None else values
    rowptr, indices, graded = arrange(when, place, graded, steps, shape[0], size)
    return sorted_events(rowptr, indices, None if values is None else graded, shape=(steps, *shape), dt=dt)


def sorted_events(
    rowptr: NDArray, indices: NDArray, values: NDArray | None, *, shape: tuple[int, ...], dt: float
) -> EventTensor:
    """An event tensor of columns that are right by construction; values that are all 1 are left out."""
    if values is not None and (values == 1).all():
        values = None
    graded = None if values is None else torch.from_numpy(np.ascontiguousarray(values))
    pointers, channels = torch.from_numpy(rowptr), torch.from_numpy(np.ascontiguousarray(indices))
    return EventTensor._ready(pointers, channels, graded, shape, check_dt(dt))


def totals(events: EventTensor) -> Tensor:
    """Sum of every channel's events over time, (B, *N)."""
    _, batch, *channels = events.shape
    size = math.prod(channels)
    place = events.rows() % max(batch, 1) * size + events.indices
    weights = torch.ones(events.nnz, device=events.device) if events.values is None else events.values
    sums = torch.zeros(batch * size, dtype=torch.float64, device=events.device)
    return sums.index_add_(0, place, weights.double()).float().view(batch, *channels)


def signed_dense(events: EventTensor) -> Tensor:
    """The events of a signal code as float64 [T, B, *N]."""
    return events.dense(torch.float64)


def start_values(start: Any, shape: tuple[int, ...]) -> Tensor:
    """The value that a decoder starts from, (B, *N)."""
    array = torch.from_numpy(np.array(to_numpy(start), dtype=np.float64))
    try:
        return torch.broadcast_to(array, shape)
    except RuntimeError:
        raise UserError(
            f"start is the signal's first sample, a number or of shape {shape}, got {tuple(array.shape)}; "
            "pass start=s[0]"
        ) from None
