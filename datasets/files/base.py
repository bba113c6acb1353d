"""What the readers of all formats share.

A format is a module of this folder with `FORMATS`, a tuple of `Format` values, and with a subclass of `Reader` that gives

    columns(size)    the events in the order of the file, as pieces of four columns. Pieces may have any length; the base
                     class cuts them to what was asked for. A good piece has about `size` events, or, if size is None, is
                     the whole file. The iterator may be started more than once, and each time begins anew.
    streams()        what else is in the file, as `Stream` values (the events are listed by the base class)
    records(name)    such a stream as pieces of one structured array; the first piece, which may be empty, before any damage

and whose constructor reads the header and says how large the sensor is (`Size`; None: not said, so it becomes the
largest coordinates plus one). Heavy libraries and kernels are imported where they are used, not at the top.

Damage is told in one way: yield all that comes before it, then raise `Damaged(byte, reason)`. The base class makes of it
an `EventFileError`, or, if the user asked for on_error="truncate", a warning. In the constructor it is always an error.
A decoder promises: 0 <= x < width and 0 <= y < height of its `Size` (else Damaged), p is 0 or 1, times are microseconds,
memory is at most a small multiple of the file, and no count or length in the file is believed before it is checked.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.errors import EventFileError, EventFileWarning
from snnkit.errors import UserError, nearest
from snnkit.recordings import Events, Sensor

LARGEST = 32767  # pixels along one side: coordinates are int16


class Damaged(Exception):
    """A decoder's word for the first damage: where it begins (byte of the file, None if unknown), and what it is."""

    def __init__(self, position: int | None, reason: str):
        super().__init__(position, reason)
        self.position, self.reason = position, reason


class Columns(NamedTuple):
    """A piece of a recording: microseconds, column, row (from the top), polarity (1 is brighter)."""

    t: NDArray[np.int64]
    x: NDArray[np.int16]
    y: NDArray[np.int16]
    p: NDArray[np.uint8]


class Size(NamedTuple):
    """How large a sensor is, and how that is known: header, inferred (from the camera's name), max+1, argument."""

    width: int
    height: int
    source: str = "header"
    polarities: int = 2

    @property
    def sensor(self) -> Sensor:
        return self.polarities, self.height, self.width


@dataclass(frozen=True)
class Stream:
    """One kind of record in a file, to be read by `Reader.stream(name)`."""

    name: str
    kind: str  # events, triggers, imu, frames, text, other
    count: int | None = None  # None: not known without reading all of it


@dataclass(frozen=True)
class FileInfo:
    """What a file says about itself.

    Attributes:
        format, version: of the file, as its specification names them.
        width, height: of the sensor in pixels; None if nothing in the file says so.
        size_from: where they come from: "header", "inferred", "max+1", "argument"; None if they are unknown.
        streams: what is in it.
        header: what else its header says, as text.
        notes: what a reader should know about this file.
    """

    format: str
    version: str
    width: int | None
    height: int | None
    size_from: str | None
    streams: tuple[Stream, ...]
    header: dict[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """What the user asked for; see `snnkit.datasets.read`."""

    sensor: Sensor | None = None
    on_error: str = "raise"
    sample: int | str | None = None

    def __post_init__(self) -> None:
        if self.on_error not in ("raise", "truncate"):
            raise UserError(f'on_error is "raise" or "truncate"; got {self.on_error!r}')
        if self.sensor is not None and (len(self.sensor) != 3 or not _fits(self.sensor)):
            raise UserError(
                f"sensor is (polarities, height, width), such as (2, 480, 640); got {self.sensor!r}"
            )


def _fits(sensor: Sensor) -> bool:
    return sensor[0] in (1, 2) and all(1 <= n <= LARGEST for n in sensor[1:])


@dataclass(frozen=True)
class Format:
    """One format of files.

    Attributes:
        name: for `format=`, in lower case.
        title: for people.
        suffixes: of files to which `write` writes this format.
        recognise: (first 64 KiB, path) -> is it this format? By content alone, never by the name.
        open: (path, options) -> Reader; raises Damaged.
        headless: nothing in such files says what they are; they are also tried if their suffix is one of `suffixes`.
        write: (events, path), where path is a temporary file; None: no writer. Raises UserError before it writes anything if
            these events do not fit the format. Keyword options of its own are passed through.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    recognise: Callable[[bytes, Path], bool]
    open: Callable[[Path, Options], Reader]
    write: Callable[..., None] | None = None
    headless: bool = False


class Reader(ABC):
    """An open recording: `info` tells what is in it, `events`, `chunks` and `stream` read it.

    >>> recording = snnkit.datasets.inspect("recording.raw")             # doctest: +SKIP
    >>> recording.info.streams, recording.stream("triggers")["t"]        # doctest: +SKIP
    """

    def __init__(
        self,
        path: Path,
        options: Options,
        *,
        format: str,
        version: str = "",
        size: Size | None = None,
        header: dict[str, str] | None = None,
    ):
        self.path, self.options, self.format, self.version = path, options, format, version
        if options.sensor is not None:
            p, height, width = options.sensor
            size = Size(width, height, "argument", p)
        self.declared = check_size(size)  # what events are held to
        self.size = self.declared  # the same, or later the largest coordinates plus one
        self.header = header or {}
        self.notes: list[str] = []  # a decoder adds to these with `note` while it reads

    # -- what a format gives --

    @abstractmethod
    def columns(self, size: int | None) -> Iterator[Columns]:
        """Pieces of the events; see the top of this file."""

    def streams(self) -> tuple[Stream, ...]:
        """What else there is."""
        return ()

    def count(self) -> int | None:
        """Number of events, if that is known without decoding them."""
        return None

    def records(self, name: str) -> Iterator[NDArray[Any]]:
        """Pieces of a stream out of `streams`."""
        raise NotImplementedError(name)

    # -- what all of them have --

    def note(self, text: str) -> None:
        """Something to know about this file, for `info`; said once however often the file is read."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def info(self) -> FileInfo:
        """What the file says about itself. Some formats are searched for their streams, which takes as long as reading."""
        width, height, source = self.size[:3] if self.size else (None, None, None)
        streams = (Stream("events", "events", self.count()), *self._others)
        return FileInfo(
            self.format, self.version, width, height, source, streams, self.header, tuple(self.notes)
        )

    def note_damage(self, damage: Damaged) -> None:
        """`info` is for damaged files, too: it says where they are so. Reading them is what raises."""
        place = "" if damage.position is None else f" at byte {damage.position}"
        self.note(f"damaged{place}: {damage.reason}")

    def events(self) -> Events:
        """All events."""
        pieces = list(self._until_damage(self.columns(None)))
        whole = joined(pieces)
        if self.size is None:
            self.size = spanned([whole])
        self._tell_backwards(backwards(whole.t), len(whole.t))
        return self._placed(whole, self.size)

    @staticmethod
    def _placed(piece: Columns, size: Size) -> Events:
        """Events of a sensor; one with a single polarity has them merged."""
        p = piece.p if size.polarities == 2 else np.zeros_like(piece.p)
        return Events(piece.t, piece.x, piece.y, p, sensor=size.sensor)

    def chunks(self, size: int) -> Iterator[Events]:
        """The events in the order of the file, `size` at a time; the last chunk may be shorter."""
        if not isinstance(size, int | np.integer) or size < 1:
            raise UserError(f"chunk is a number of events, 1 or more; got {size!r}")
        return self._chunks(int(size))

    def _chunks(self, size: int) -> Iterator[Events]:
        if self.size is None:
            with warnings.catch_warnings():  # the second pass says it again
                warnings.simplefilter("ignore", EventFileWarning)
                self.size = spanned(self._until_damage(self.columns(max(size, 1 << 16))))
        last, back, total = np.iinfo(np.int64).min, 0, 0
        for piece in recut(self._until_damage(self.columns(size)), size):
            back += backwards(piece.t) + int(piece.t[0] < last)
            last, total = piece.t[-1], total + len(piece.t)
            yield self._placed(piece, self.size)
        self._tell_backwards(back, total)

    def stream(self, name: str) -> NDArray[Any]:
        """All of one of `info.streams` as a structured array, "events" among them."""
        if name == "events":
            return structured(self.events())
        known = [s.name for s in self.info.streams]
        if name not in known:
            raise UserError(f"{self.path} has no stream {name!r}; {nearest(name, known)}")
        pieces = list(self._until_damage(self.records(name)))
        if not pieces:  # all that is left is that there was time
            return np.empty(0, [("t", "<i8")])
        return np.concatenate(pieces) if len(pieces) > 1 else pieces[0]

    # -- damage: the one place where it is handled --

    def _until_damage(self, pieces: Iterator[Any]) -> Iterator[Any]:
        kept = 0
        try:
            for piece in pieces:
                kept += len(piece.t) if isinstance(piece, Columns) else len(piece)
                yield piece
        except Damaged as damage:
            self._tell(damage, f"the {kept} records before it are kept")
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {error.strerror or error}") from error

    @cached_property
    def _others(self) -> tuple[Stream, ...]:
        try:
            return self.streams()
        except Damaged as damage:
            self.note_damage(damage)
            return ()
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {error.strerror or error}") from error

    def _tell(self, damage: Damaged, kept: str) -> None:
        error = EventFileError(str(self.path), damage.position, damage.reason, format=self.format)
        if self.options.on_error == "raise":
            raise error from None
        warnings.warn(f"{error}; {kept}", EventFileWarning, stacklevel=4)

    def _tell_backwards(self, count: int, total: int) -> None:
        if count:
            text = f"{count} of {total} events are earlier than the one before"
            self.note(text)
            warnings.warn(
                f"{self.path} ({self.format}): {text}; events.sorted() puts them in order",
                EventFileWarning,
                stacklevel=4,
            )


def check_size(size: Size | None, position: int | None = 0) -> Size | None:
    """`size` again if it can be a sensor; a reader may call it with the position of its header's entry."""
    if size is not None and not _fits(size.sensor):
        raise Damaged(position, f"a sensor of {size.width}x{size.height} pixels; sides are 1 to {LARGEST}")
    return size


def empty() -> Columns:
    """No events."""
    return Columns(np.empty(0, np.int64), np.empty(0, np.int16), np.empty(0, np.int16), np.empty(0, np.uint8))


def joined(pieces: list[Columns]) -> Columns:
    """Pieces end to end; no copy of a single one."""
    if not pieces:
        return empty()
    if len(pieces) == 1:
        return pieces[0]
    return Columns._make(np.concatenate(column) for column in zip(*pieces, strict=True))


def recut(pieces: Iterator[Columns], size: int) -> Iterator[Columns]:
    """The same events in pieces of exactly `size`, but for the last."""
    held: list[Columns] = []
    count = 0
    for piece in pieces:
        start = 0
        while count + len(piece.t) - start >= size:
            stop = start + size - count
            yield joined([*held, Columns._make(c[start:stop] for c in piece)])
            held, count, start = [], 0, stop
        if start < len(piece.t):
            held.append(Columns._make(c[start:] for c in piece))
            count += len(piece.t) - start
    if held:
        yield joined(held)


def spanned(pieces: Any) -> Size:
    """The smallest sensor that has all these events; 1x1 if there are none."""
    width = height = 1
    for piece in pieces:
        width = max(width, int(piece.x.max(initial=0)) + 1)
        height = max(height, int(piece.y.max(initial=0)) + 1)
    return Size(width, height, "max+1")


def backwards(t: NDArray[np.int64]) -> int:
    """How many times are earlier than the one before."""
    return int(np.count_nonzero(t[1:] < t[:-1]))


def structured(events: Events) -> NDArray[Any]:
    """Events as a structured array with the fields t, x, y, p."""
    out = np.empty(len(events), dtype=[("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1")])
    for name in ("t", "x", "y", "p"):
        out[name] = getattr(events, name)
    return out


def check_writable(
    events: Events, title: str, *, width: int, height: int, last: int, ordered: bool = False
) -> None:
    """Raise before anything is written if a format cannot hold these events.

    Args:
        events: to be written.
        title: of the format, for the message.
        width, height: what coordinates must be below, at most; those of the sensor count too.
        last: latest time in microseconds.
        ordered: the format has no way to go back in time.
    """
    _, rows, columns = events.sensor
    width, height = min(width, columns), min(height, rows)
    for name, values, limit in (("x", events.x, width), ("y", events.y, height), ("p", events.p, 2)):
        low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
        if low < 0 or high >= limit:
            raise UserError(
                f"{title} holds {name} from 0 to {limit - 1} here; these events have {low} to {high}"
            )
    if not len(events):
        return
    if events.t.min() < 0 or events.t.max() > last:
        raise UserError(
            f"{title} holds times from 0 to {last} us; these events have {events.t.min()} to {events.t.max()}; "
            "subtract the first time, or write another format"
        )
    if ordered and backwards(events.t):
        raise UserError(f"{title} holds events in the order of time; write events.sorted()")
