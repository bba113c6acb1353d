"""Events as a sparse tensor over time, batch and everything else: the form in which snnkit carries spikes."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnkit.binning import (
    bins_of,
    channel_shape,
    check_dt,
    check_scale,
    check_steps,
    check_times,
    check_values,
    flat_index,
    infer_steps,
    to_numpy,
)
from snnkit.errors import UserError


@dataclass(frozen=True, eq=False, repr=False)
class EventTensor:
    """Events on a grid of time steps, samples and channels: the sparse twin of a dense tensor `T B *N`.

    Row r = t * B + b holds the events of sample b in step t; its channels are
    `indices[rowptr[r] : rowptr[r + 1]]`, strictly increasing, as flat positions in `*N` (last axis fastest). Each cell
    occurs once: events that fall together are added up into its value.

    Build one with `from_events`, `from_dense` or `stack`; the constructor takes ready-made arrays and checks them.

    Args:
        rowptr: where each row begins and the last ends, int64, T * B + 1 entries.
        indices: flat channel of every event, int32.
        values: value of every event, float32; `None` says that all are 1.
        shape: (T, B, *N).
        dt: length of a step [s].

    >>> ev = EventTensor.from_events([0.0, 0.001, 0.001], [2, 0, 2], shape=3, dt=1e-3)
    >>> ev.shape, ev.nnz, ev.dense()[:, 0].tolist()
    ((2, 1, 3), 3, [[0.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
    """

    rowptr: Tensor
    indices: Tensor
    values: Tensor | None
    shape: tuple[int, ...]
    dt: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "dt", check_dt(self.dt))
        _check_arrays(self)

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def from_events(
        cls,
        t: Any,
        where: Any,
        *,
        shape: int | Sequence[int],
        dt: float,
        steps: int | None = None,
        values: Any = None,
        binary: bool = False,
        unit: float = 1.0,
        drop_late: bool = False,
    ) -> EventTensor:
        """One recording, sorted by time, as an event tensor of shape (T, 1, *N).

        An event at time t belongs to step floor(t / dt); events in the same step and channel are added up.

        Args:
            t: times, not decreasing, counted in `unit`.
            where: the channel of every event; for shape (H, W) the tuple (x, y) or an array n x 2, for shape
                (P, H, W) the tuple (x, y, p) or an array n x 3, with index (p * H + y) * W + x.
            shape: *N, without time and batch.
            dt: length of a step [s].
            steps: T; by default the recording ends with its last event.
            values: weight of every event (default 1).
            binary: make every cell with an event 1, however many fell into it.
            unit: seconds per unit of `t`; integer microseconds are `unit=1e-6`, and are then binned exactly.
            drop_late: leave out events after the last of `steps` instead of refusing them.

        Raises:
            UserError: naming the first event that is out of order, out of range or not a number.
        """
        dt, size = check_dt(dt), channel_shape(shape)
        ticks = check_times(to_numpy(t))
        bins = bins_of(ticks, unit, dt)
        index = flat_index(where, size, len(bins))
        weight = None if values is None else check_values(to_numpy(values), len(bins))
        if steps is None:
            steps = infer_steps(ticks, bins, unit, dt)
        else:
            steps = check_steps(steps)
            late = bins >= steps
            if late.any() and not drop_late:
                i = int(late.argmax())
                raise UserError(
                    f"event {i} comes at t={ticks[i] * unit:g} s, in step {bins[i]}, but there are steps={steps} of "
                    f"dt={dt:g} s; raise steps, leave them out with drop_late=True, or give the unit of t "
                    "(unit=1e-6 for microseconds)"
                )
            bins, index, weight = bins[~late], index[~late], None if weight is None else weight[~late]
        check_scale(ticks, unit, dt)
        return cls._merge(bins, index, weight, (steps, 1, *size), dt, binary)

    @classmethod
    def from_dense(cls, x: Tensor, dt: float) -> EventTensor:
        """The cells of a dense tensor `T B *N` that are not zero, with their values (as float32)."""
        dt = check_dt(dt)
        if not isinstance(x, Tensor) or x.dim() < 3:
            came = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise UserError(
                f"expected a tensor of shape T B *N (at least 3 axes), got {came}; "
                "for a single sample T N pass x.unsqueeze(1)"
            )
        flat = x.detach().flatten(0, 1).flatten(1)
        found = flat.nonzero()  # sorted by row, then channel
        values = flat[found[:, 0], found[:, 1]].to(torch.float32)
        if not bool(torch.isfinite(values).all()):
            bad = int((~torch.isfinite(values)).int().argmax())
            at = np.unravel_index(int(found[bad, 0]) * flat.shape[1] + int(found[bad, 1]), tuple(x.shape))
            raise UserError(
                f"x{[int(i) for i in at]} is {values[bad].item()}; an event needs a finite value "
                "(torch.nan_to_num(x) makes every number finite)"
            )
        rowptr = _pointers(torch.bincount(found[:, 0], minlength=len(flat)))
        plain = bool((values == 1).all())
        return cls._ready(rowptr, found[:, 1].to(torch.int32), None if plain else values, tuple(x.shape), dt)

    @classmethod
    def stack(cls, parts: Sequence[EventTensor]) -> EventTensor:
        """One batch of several event tensors, in order; shorter ones are silent after their end."""
        parts = list(parts)
        if not parts:
            raise UserError("stack needs at least one event tensor, got an empty list")
        first = parts[0]
        for i, part in enumerate(parts):
            if part.shape[2:] != first.shape[2:] or not math.isclose(part.dt, first.dt, rel_tol=1e-9):
                raise UserError(
                    f"stack needs equal channels and dt: part 0 has {first.shape[2:]} at dt={first.dt:g} s, "
                    f"part {i} has {part.shape[2:]} at dt={part.dt:g} s"
                )
        T, B = max(p.shape[0] for p in parts), sum(p.shape[1] for p in parts)
        lengths = torch.zeros(T, B, dtype=torch.int64, device=first.device)
        sides = np.cumsum([0] + [p.shape[1] for p in parts])
        for part, b in zip(parts, sides, strict=False):
            lengths[: part.shape[0], b : b + part.shape[1]] = part._lengths()
        rowptr = _pointers(lengths.reshape(-1))
        indices = torch.empty(int(rowptr[-1]), dtype=torch.int32, device=first.device)
        graded = any(p.values is not None for p in parts)
        values = torch.ones(len(indices), device=first.device) if graded else None
        for part, b in zip(parts, sides, strict=False):
            starts = rowptr[:-1].view(T, B)[: part.shape[0], b : b + part.shape[1]].reshape(-1)
            to = _spread(starts - part.rowptr[:-1], part._lengths().reshape(-1)) + _count(part.indices)
            indices[to] = part.indices
            if values is not None and part.values is not None:
                values[to] = part.values
        return cls._ready(rowptr, indices, values, (T, B, *first.shape[2:]), first.dt)

    @classmethod
    def _ready(
        cls, rowptr: Tensor, indices: Tensor, values: Tensor | None, shape: Sequence[int], dt: float
    ) -> EventTensor:
        """From arrays that are right by construction: no checks, as they would cost as much as the work."""
        self = object.__new__(cls)
        for name, value in zip(
            ("rowptr", "indices", "values", "shape", "dt"),
            (rowptr, indices, values, tuple(shape), dt),
            strict=True,
        ):
            object.__setattr__(self, name, value)
        return self

    @classmethod
    def _merge(
        cls,
        bins: np.ndarray,
        index: np.ndarray,
        weight: np.ndarray | None,
        shape: tuple[int, ...],
        dt: float,
        binary: bool,
    ) -> EventTensor:
        size = math.prod(shape[2:])
        cell, inverse, counts = np.unique(bins * size + index, return_inverse=True, return_counts=True)
        total = counts if weight is None else np.bincount(inverse, weights=weight, minlength=len(cell))
        if not binary and weight is not None:  # weights may cancel: no event is left then
            cell, total = cell[total != 0], total[total != 0]
        plain = binary or bool((total == 1).all())
        rows = torch.from_numpy(np.bincount(cell // size, minlength=shape[0] * shape[1]))
        return cls._ready(
            _pointers(rows),
            torch.from_numpy((cell % size).astype(np.int32)),
            None if plain else torch.from_numpy(total.astype(np.float32)),
            shape,
            dt,
        )

    # -- reading it ---------------------------------------------------------------------------------------------

    @property
    def nnz(self) -> int:
        """Number of cells that hold an event."""
        return len(self.indices)

    @property
    def density(self) -> float:
        """Part of all cells that hold an event, 0 to 1."""
        return self.nnz / max(math.prod(self.shape), 1)

    @property
    def device(self) -> torch.device:
        return self.indices.device

    def dim(self) -> int:
        return len(self.shape)

    def rows(self) -> Tensor:
        """Row t * B + b of every event, int64."""
        return _spread(_count(self.rowptr[1:]), self.rowptr.diff())

    def dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The same events as a dense tensor `T B *N`."""
        size = math.prod(self.shape[2:])
        out = torch.zeros(self.shape[0] * self.shape[1] * size, dtype=dtype, device=self.device)
        at = self.rows() * size + self.indices
        if self.values is None:
            out[at] = 1
        else:
            out[at] = self.values.to(dtype)
        return out.view(self.shape)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> EventTensor:
        """The same events on another device."""
        rowptr = self.rowptr.to(device, non_blocking=non_blocking)
        indices = self.indices.to(device, non_blocking=non_blocking)
        values = None if self.values is None else self.values.to(device, non_blocking=non_blocking)
        return self._ready(rowptr, indices, values, self.shape, self.dt)

    def equal(self, other: object) -> bool:
        """Whether both hold the same events, values, shape and dt."""
        if not isinstance(other, EventTensor) or self.shape != other.shape or self.dt != other.dt:
            return False
        if not (torch.equal(self.rowptr, other.rowptr) and torch.equal(self.indices, other.indices)):
            return False
        mine, yours = (
            torch.ones(e.nnz, device=e.device) if e.values is None else e.values for e in (self, other)
        )
        return torch.equal(mine, yours)

    # -- parts of it --------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[t] for t in range(len(self)))

    def __getitem__(self, key: int | slice) -> Any:
        """`ev[a:b]`: these steps, as an event tensor that shares memory. `ev[t]`: one step, as a dense `B *N`."""
        if isinstance(key, slice):
            start, stop, step = key.indices(self.shape[0])
            if step != 1:
                raise UserError(f"time is sliced in steps of 1, got step {step}; use ev.dense()[::{step}]")
            return self._steps(start, max(start, stop))
        try:
            t = operator.index(key)
        except TypeError:
            raise TypeError(
                f"ev[...] takes a time step or a slice of time, got {key!r}; samples are ev.batch(ids), "
                "anything else is ev.dense()[...]"
            ) from None
        if not -len(self) <= t < len(self):
            raise IndexError(f"step {t} is out of range for {len(self)} time steps")
        t %= len(self)
        return self._steps(t, t + 1).dense()[0]

    def _steps(self, start: int, stop: int) -> EventTensor:
        B = self.shape[1]
        rowptr = self.rowptr[start * B : stop * B + 1]
        first, last = int(rowptr[0]), int(rowptr[-1])
        values = None if self.values is None else self.values[first:last]
        shape = (stop - start, *self.shape[1:])
        return self._ready(rowptr - first, self.indices[first:last], values, shape, self.dt)

    def batch(self, ids: int | slice | Sequence[int] | Tensor) -> EventTensor:
        """These samples, in this order (an int keeps the batch axis, with one sample)."""
        B = self.shape[1]
        if isinstance(ids, slice):
            ids = range(*ids.indices(B))
        pick = torch.as_tensor([ids] if isinstance(ids, int) else ids, device=self.device)
        if pick.dtype == torch.bool:
            pick = pick.nonzero()[:, 0]
        pick = pick.to(torch.int64).reshape(-1)
        wrong = (pick < -B) | (pick >= B)
        if bool(wrong.any()):
            raise IndexError(f"sample {int(pick[wrong][0])} is out of range for a batch of {B}")
        pick = pick % max(B, 1)
        lengths = self._lengths()[:, pick].reshape(-1)
        rowptr = _pointers(lengths)
        starts = self.rowptr[:-1].view(-1, B)[:, pick].reshape(-1)
        at = _spread(starts - rowptr[:-1], lengths)
        at = at + _count(at)
        values = None if self.values is None else self.values[at]
        shape = (self.shape[0], len(pick), *self.shape[2:])
        return self._ready(rowptr, self.indices[at], values, shape, self.dt)

    def _lengths(self) -> Tensor:
        """Events per row, T B."""
        return self.rowptr.diff().view(self.shape[0], self.shape[1])

    def __repr__(self) -> str:
        T, B, *rest = self.shape
        kind = "all 1" if self.values is None else "with values"
        return (
            f"EventTensor(T={T}, B={B}, N={tuple(rest)}, dt={self.dt:g} s, {self.nnz} events {kind}, "
            f"density {100 * self.density:.3g} %, {self.device})"
        )


# -- small arithmetic -----------------------------------------------------------------------------------------------


def _pointers(lengths: Tensor) -> Tensor:
    out = torch.zeros(len(lengths) + 1, dtype=torch.int64, device=lengths.device)
    torch.cumsum(lengths, 0, out=out[1:])
    return out


def _spread(x: Tensor, lengths: Tensor) -> Tensor:
    return torch.repeat_interleave(x, lengths)


def _count(like: Tensor) -> Tensor:
    return torch.arange(len(like), device=like.device)


def _check_arrays(ev: EventTensor) -> None:
    """What every method and kernel relies on."""
    if len(ev.shape) < 3 or any(n < 0 for n in ev.shape):
        raise UserError(f"shape is (T, B, *N), at least three axes; got {ev.shape}")
    n_rows, size = ev.shape[0] * ev.shape[1], math.prod(ev.shape[2:])
    if ev.rowptr.dtype != torch.int64 or ev.indices.dtype != torch.int32:
        raise TypeError(f"rowptr is int64 and indices int32, got {ev.rowptr.dtype} and {ev.indices.dtype}")
    if ev.values is not None and (ev.values.dtype != torch.float32 or ev.values.shape != ev.indices.shape):
        raise UserError("values is float32 with one entry per index, or None")
    lengths = ev.rowptr.diff()
    if ev.rowptr.shape != (n_rows + 1,) or int(ev.rowptr[0]) != 0 or int(ev.rowptr[-1]) != ev.nnz:
        raise UserError(
            f"rowptr has T * B + 1 = {n_rows + 1} entries, from 0 to {ev.nnz}; got {tuple(ev.rowptr.shape)}"
        )
    if bool((lengths < 0).any()):
        raise UserError(f"rowptr never decreases, but it does at row {int((lengths < 0).int().argmax())}")
    outside = (ev.indices < 0) | (ev.indices >= size)
    if bool(outside.any()):
        i = int(outside.int().argmax())
        raise UserError(
            f"event {i}: index {int(ev.indices[i])} is not in 0..{size - 1} of shape {ev.shape[2:]}"
        )
    rows = ev.rows()
    falls = (rows[1:] == rows[:-1]) & (ev.indices[1:] <= ev.indices[:-1])
    if bool(falls.any()):
        i = int(falls.int().argmax()) + 1
        raise UserError(
            f"event {i}: indices increase strictly inside a row, but {int(ev.indices[i])} does not"
        )
