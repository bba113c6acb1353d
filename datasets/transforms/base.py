"""What all changes to recordings share: they are values, take one recording or a batch, and mutate nothing."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.errors import UserError
from snnkit.recordings import Events, Packed, end_to_end

Recordings = TypeVar("Recordings", Events, Packed)
Random = np.random.Generator | int | None


class Transform:
    """A change to recordings: `change(recordings, rng)` gives new ones of the same kind, `Events` or `Packed`.

    Subclasses are frozen dataclasses with a method `apply(packed, rng)`. Those that draw by chance say so in `random`
    and need `rng`, a numpy Generator or a seed; the others ignore it. So one list of changes serves
    `load(..., transform=...)` and `batches(..., augment=...)`.
    """

    version: ClassVar[int] = 1  # raise it when equal parameters give another result: caches depend on it

    @property
    def random(self) -> bool:
        """Whether the result depends on `rng`."""
        return False

    def __call__(self, recordings: Recordings, rng: Random = None) -> Recordings:
        draw = self._generator(rng)
        if isinstance(recordings, Events):
            return self.apply(end_to_end([recordings]), draw)[0]
        if isinstance(recordings, Packed):
            return self.apply(whole(recordings), draw)
        raise UserError(
            f"{type(self).__name__} takes Events or Packed recordings, got {type(recordings).__name__}"
        )

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        """The change itself, on a batch."""
        raise NotImplementedError

    def parameters(self) -> dict[str, Any]:
        """Name, version and all parameters as JSON: equal if and only if the changes are."""
        return parameters(self)

    def _generator(self, rng: Random) -> np.random.Generator:
        if isinstance(rng, np.random.Generator):
            return rng
        if rng is None and self.random:
            raise UserError(
                f"{type(self).__name__} draws by chance: pass rng=np.random.default_rng(seed), or the seed itself"
            )
        return np.random.default_rng(0 if rng is None else rng)


Change = Transform | Callable[..., Any]


@dataclass(frozen=True)
class Compose(Transform):
    """Changes one after the other; a tuple or list of changes says the same wherever a change is taken.

    The last one may also make something else of the recordings: frames, a surface, an event tensor.
    """

    changes: tuple[Change, ...]

    def __init__(self, *changes: Change | Sequence[Change]):
        flat = [change for part in changes for change in _flat(part)]
        object.__setattr__(self, "changes", tuple(flat))

    @property
    def random(self) -> bool:
        return any(getattr(change, "random", True) for change in self.changes)

    def __call__(self, recordings: Any, rng: Random = None) -> Any:
        draw = self._generator(rng)
        for change in self.changes:
            recordings = change(recordings, draw)
        return recordings


@dataclass(frozen=True)
class OneOf(Transform):
    """One of several changes, drawn for every recording with equal chance.

    EventDrop (Gu et al., IJCAI 2021) is `OneOf(Compose(), Drop(0.3), DropTime(0.3), DropArea(0.3))`.
    """

    changes: tuple[Transform, ...]

    def __init__(self, *changes: Transform):
        for change in changes:
            if not isinstance(change, Transform):
                raise UserError(f"expected changes such as Drop(0.1), got {change!r}")
        if not changes:
            raise UserError("expected changes to choose from, such as OneOf(Drop(0.1), DropTime(0.1))")
        object.__setattr__(self, "changes", tuple(changes))

    @property
    def random(self) -> bool:
        return len(self.changes) > 1 or self.changes[0].random

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        choice = rng.integers(len(self.changes), size=len(packed))
        done: list[Events | None] = [None] * len(packed)
        for k, change in enumerate(self.changes):
            ids = np.flatnonzero(choice == k)
            if len(ids):
                part = change(packed.gather(ids), rng)
                for i, row in enumerate(ids.tolist()):
                    done[row] = part[i]
        return end_to_end(events for events in done if events is not None) if done else packed


def _flat(change: Any) -> list[Change]:
    if isinstance(change, Compose):
        return list(change.changes)
    if isinstance(change, list | tuple):
        return [one for part in change for one in _flat(part)]
    if not callable(change):
        raise UserError(f"expected changes such as Drop(0.1), got {change!r}")
    return [change]


def compose(changes: Change | Sequence[Change] | None) -> Compose:
    """One change, several or none, as one."""
    if isinstance(changes, Compose):
        return changes
    return Compose() if changes is None else Compose(changes)


def parameters(value: Any) -> Any:
    """A change, or one of its parameters, as plain JSON values that say all that its result depends on.

    Raises:
        UserError: it is not made of values, as a function of one's own: what it does cannot be told from its name.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, np.generic):
        return parameters(value.item())
    if isinstance(value, tuple | list):
        return [parameters(v) for v in value]
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(value.tobytes()).hexdigest()
        return {"array": content, "dtype": value.dtype.str, "shape": list(value.shape)}
    if is_dataclass(value) and not isinstance(value, type):
        known = {f.name: parameters(getattr(value, f.name)) for f in fields(value)}
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        return {
            "change": name.replace("snnkit.datasets.", ""),
            "version": getattr(value, "version", 1),
            **known,
        }
    raise UserError(
        f"cannot tell what {value!r} does from its value, so its result cannot be kept; write it as a frozen "
        "dataclass derived from snnkit.datasets.transforms.Transform"
    )


# -- many recordings --------------------------------------------------------------------------------------------------


def whole(packed: Packed) -> Packed:
    """The same recordings, with no row of the columns that belongs to none of them."""
    if len(packed) and packed.offsets[0] == 0 and packed.offsets[-1] == len(packed.t):
        return packed
    return packed.gather(np.arange(len(packed)))


def keep(packed: Packed, which: NDArray[np.bool_]) -> Packed:
    """Only these events of every recording."""
    rows = np.flatnonzero(which)  # taking rows is several times as fast as a mask
    offsets = np.searchsorted(rows, packed.offsets)
    return Packed(packed.t[rows], packed.x[rows], packed.y[rows], packed.p[rows], offsets, packed.sensor)


def moved(packed: Packed, x: NDArray, y: NDArray, sensor: Sequence[int]) -> Packed:
    """The events at other places, on another sensor; those that fall off it are left out."""
    rows = np.flatnonzero((x >= 0) & (x < sensor[2]) & (y >= 0) & (y < sensor[1]))
    return Packed(
        packed.t[rows],
        x[rows].astype(np.int16),
        y[rows].astype(np.int16),
        packed.p[rows],
        np.searchsorted(rows, packed.offsets),
        (packed.sensor[0], int(sensor[1]), int(sensor[2])),
    )


def retimed(packed: Packed, t: NDArray[np.int64]) -> Packed:
    """The events at other times, in order of time within each recording; ties keep their order."""
    backwards = t[1:] < t[:-1]
    inner = packed.offsets[1:-1]
    backwards[inner[(inner > 0) & (inner < len(t))] - 1] = False  # between recordings
    if not backwards.any():
        return replace(packed, t=t)
    order = np.lexsort((t, packed.owners()))
    return replace(packed, t=t[order], x=packed.x[order], y=packed.y[order], p=packed.p[order])


def spans(packed: Packed) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Times of every recording's first and last event in microseconds; 0, -1 for an empty one."""
    first, last = np.zeros(len(packed), np.int64), np.full(len(packed), -1)
    some = np.flatnonzero(np.diff(packed.offsets))
    first[some], last[some] = packed.t[packed.offsets[some]], packed.t[packed.offsets[some + 1] - 1]
    return first, last


def columns(packed: Packed) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
    """t, x, y, p and offsets as a kernel reads them: contiguous, and checked so that no index falls off the sensor.

    Raises:
        UserError: naming the first event that lies outside, or offsets that point beyond the columns.
    """
    t, x, y, p = (_readable(c) for c in (packed.t, packed.x, packed.y, packed.p))
    offsets = _readable(np.asarray(packed.offsets, np.int64))
    for name, column, limit in zip("xyp", (x, y, p), reversed(packed.sensor), strict=True):
        wide = column.view(np.uint16) if column.dtype == np.int16 else column  # below zero becomes very large
        if len(wide) and wide.max() >= limit:
            row = int((wide >= limit).argmax())
            raise UserError(
                f"event {row}: {name}={column[row]} is not in 0..{limit - 1} of shape {packed.sensor}"
            )
    ordered = len(offsets) and offsets[0] >= 0 and (np.diff(offsets) >= 0).all()
    if not ordered or offsets[-1] > min(map(len, (t, x, y, p))):
        raise UserError("offsets point outside the columns: these recordings are damaged")
    return t, x, y, p, offsets


def _readable(column: ArrayLike) -> NDArray:
    """A plain contiguous read-only view: the kernel is compiled once for columns in memory and on disk."""
    view = np.ascontiguousarray(column).view(np.ndarray)
    view.setflags(write=False)
    return view


# -- parameters -------------------------------------------------------------------------------------------------------


def ticks(name: str, seconds: float, *, least: int = 1) -> int:
    """A duration in seconds as whole microseconds, at least `least` of them.

    Raises:
        UserError: not a number of seconds, negative, or finer than a tick.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | np.number):
        raise UserError(f"{name} is a number of seconds, got {seconds!r}; for 10 ms write {name}=10e-3")
    if not math.isfinite(seconds) or not 0 <= seconds <= 1e12:
        raise UserError(f"{name} is a duration in seconds, not negative; got {seconds:g}")
    found = round(seconds * 1e6)
    if found < least:
        raise UserError(
            f"{name}={seconds:g} s is finer than the ticks of the recordings, 1 us; for 1 ms write 1e-3"
        )
    return found


def check_part(name: str, value: float, *, above: float = 0.0, below: float = 1.0) -> None:
    """Refuse a share that is not in [above, below]."""
    if not above <= value <= below:
        raise UserError(f"expected {above:g} <= {name} <= {below:g}, got {value!r}")


def check_count(name: str, value: int, *, least: int = 1) -> None:
    """Refuse what is not a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UserError(f"expected {name} to be a whole number, at least {least}; got {value!r}")
