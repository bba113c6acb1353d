"""From raw events (time, place) to cells of a grid: which step and channel each falls in, with every check on the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from snnkit.errors import UserError

# A time this little below a border between two steps (as a part of one step) belongs to the later step, so that
# k * dt, which rounding may put just below the border, lands in step k. At dt = 1 ms it is 0.1 ns: below any sensor.
BORDER = 1e-7
MAX_STEPS = 50_000_000  # more than this from one recording is a wrong unit of time, not a long recording


def to_numpy(x: Any) -> np.ndarray:
    return x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)


def check_dt(dt: float) -> float:
    """`dt` as a float, or an error that says what a dt is."""
    if isinstance(dt, bool) or not isinstance(dt, (int, float, np.number)):
        raise TypeError(f"dt is the length of a step in seconds, a number; got {dt!r}")
    if not (math.isfinite(dt) and dt > 0):
        raise UserError(
            f"dt is the length of a step in seconds and must be positive, got dt={dt:g}; for 1 ms write dt=1e-3"
        )
    return float(dt)


def channel_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    size = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if not size or any(int(n) != n or n < 1 for n in size):
        raise UserError(f"shape is the shape of one step, such as 700 or (2, 34, 34); got {shape!r}")
    if math.prod(size) > 2**31 - 1:
        raise UserError(f"shape {size} has {math.prod(size)} channels, more than 2**31 - 1")
    return tuple(int(n) for n in size)


def check_steps(steps: int) -> int:
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise UserError(f"steps is a number of time steps, at least 1; got {steps!r}")
    return int(steps)


def check_times(t: np.ndarray) -> np.ndarray:
    if t.ndim != 1:
        raise UserError(f"t has one entry per event; got an array of shape {t.shape}")
    if len(t) == 0:
        return t.astype(np.float64)
    if t.dtype.kind not in "iuf":
        raise TypeError(f"t holds numbers, got dtype {t.dtype}")
    problems = (
        ("is not a finite time", ~np.isfinite(t)),
        ("is before time 0; pass t - t[0]", t < 0),
        (
            "is earlier than the event before it; sort first: order = np.argsort(t, kind='stable')",
            np.r_[False, t[1:] < t[:-1]],
        ),
    )
    for text, wrong in problems:
        if wrong.any():
            i = int(wrong.argmax())
            raise UserError(f"event {i}: t={t[i]} {text}")
    return t


def bins_of(t: np.ndarray, unit: float, dt: float) -> np.ndarray:
    """The step of every event: exact for integer times when dt is a whole number of units."""
    if not (math.isfinite(unit) and unit > 0):
        raise UserError(f"unit is the seconds per unit of t and must be positive, got unit={unit!r}")
    per_step = dt / unit
    if t.dtype.kind in "iu":
        whole = round(per_step)
        if whole >= 1 and abs(per_step - whole) <= 1e-9 * whole:
            return (t // whole).astype(np.int64)
        eps = float(np.finfo(np.float64).eps)
    else:
        eps = float(np.finfo(t.dtype).eps)
    steps = t.astype(np.float64) / per_step
    steps = np.floor(steps + np.maximum(BORDER, 4 * eps * steps))
    return np.minimum(steps, 2.0**62).astype(np.int64)  # absurd times are refused later, not wrapped here


def infer_steps(t: np.ndarray, bins: np.ndarray, unit: float, dt: float) -> int:
    if len(bins) == 0:
        raise UserError("there are no events, so the length is unknown: pass steps=...")
    if bins[-1] >= MAX_STEPS:
        raise UserError(
            f"event {len(t) - 1} comes at t={t[-1] * unit:g} s, which is {bins[-1] + 1} steps of dt={dt:g} s; "
            "t is in seconds unless you say unit=1e-6 (microseconds) or unit=1e-3 (milliseconds)"
        )
    return int(bins[-1]) + 1


def check_scale(t: np.ndarray, unit: float, dt: float) -> None:
    """A dt of 1 is nearly always meant as a millisecond; it shows when the whole recording falls in one step."""
    if dt >= 0.5 and len(t) and t[-1] * unit < dt:
        raise UserError(
            f"dt is in seconds: with dt={dt:g} all {len(t)} events up to t={t[-1] * unit:g} s fall into one step; "
            f"for {dt:g} ms write dt={dt * 1e-3:g}"
        )


def check_values(values: np.ndarray, n: int) -> np.ndarray:
    if values.shape != (n,):
        raise UserError(f"values has one entry per event: expected shape ({n},), got {values.shape}")
    wrong = ~np.isfinite(values.astype(np.float64))
    if wrong.any():
        i = int(wrong.argmax())
        raise UserError(f"event {i}: value {values[i]} is not a finite number")
    return values.astype(np.float64)


AXES = {1: ("channel",), 2: ("x", "y"), 3: ("x", "y", "p")}


def flat_index(where: Any, size: tuple[int, ...], n: int) -> np.ndarray:
    """Flat channel of every event from its coordinates, the last axis of `size` first (x, then y, then p)."""
    if len(size) not in AXES:
        raise UserError(
            f"events fall into shape (N,), (H, W) or (P, H, W), got {size}; for others use EventTensor.from_dense"
        )
    names = AXES[len(size)]
    columns = _columns(where, names, size, n)
    index, stride = np.zeros(n, np.int64), 1
    for name, column, limit in zip(names, columns, reversed(size), strict=True):
        wrong = (column < 0) | (column >= limit)
        if wrong.any():
            i = int(wrong.argmax())
            hint = "; for polarities -1 and 1 pass p > 0" if name == "p" and column[i] == -1 else ""
            raise UserError(f"event {i}: {name}={column[i]} is not in 0..{limit - 1} of shape {size}{hint}")
        index += stride * column.astype(np.int64)
        stride *= limit
    return index


def _columns(where: Any, names: tuple[str, ...], size: tuple[int, ...], n: int) -> list[np.ndarray]:
    want = f"shape {size} takes {', '.join(names)} for each of the {n} events"
    if len(names) == 1:
        columns = [to_numpy(where)]
    elif isinstance(where, tuple) or (isinstance(where, list) and len(where) == len(names) != n):
        columns = [to_numpy(c) for c in where]
    else:
        table = to_numpy(where)
        if table.ndim != 2 or table.shape[1] != len(names):
            raise UserError(
                f"{want}, as a tuple of arrays or an array {n} x {len(names)}; got shape {table.shape}"
            )
        columns = list(table.T)
    if len(columns) != len(names) or any(c.shape != (n,) for c in columns):
        raise UserError(f"{want}; got arrays of shape {', '.join(str(c.shape) for c in columns)}")
    for name, column in zip(names, columns, strict=True):
        whole = column.dtype.kind in "iub" or not len(column)
        if not whole and not (column.dtype.kind == "f" and np.array_equal(column, np.floor(column))):
            raise TypeError(f"{name} holds whole numbers, got dtype {column.dtype}")
    return columns
