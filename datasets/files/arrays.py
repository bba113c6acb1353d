"""Arrays of NumPy: .npy (one array) and .npz (several); and tables of text, see `table`.

One array is structured, with fields such as t, x, y and p in any order, or has four columns t, x, y, p. Several arrays are
columns, with `sensor` = (polarities, height, width) if it is known. Times are microseconds; if they are floating-point
numbers and have fractions among the first rows, they are seconds. Objects are refused, as reading them would run code.
"""

from __future__ import annotations

import ast
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from snnkit.datasets.files.base import Columns, Damaged, Format, Options, Reader, Size, structured
from snnkit.datasets.files.names import ROLES, roles_of
from snnkit.datasets.files.pieces import sound
from snnkit.datasets.files.table import CSV
from snnkit.datasets.files.unpack import Budget
from snnkit.recordings import Events

MAGIC, ZIP = b"\x93NUMPY", b"PK\x03\x04"
LONGEST = 10_000  # bytes of a header
PIECE = 1 << 17  # events at a time
PROBED = 1 << 16  # events whose times are looked at for fractions


class Array:
    """An array in a file, read row by row.

    Raises:
        Damaged: no array of numbers begins here.
    """

    def __init__(self, file: IO[bytes], budget: Budget):
        self.shape, fortran, self.dtype = _npy_header(file)
        if self.dtype.hasobject:
            raise Damaged(
                0, "an array of Python objects; reading it would run code. Save plain numbers instead"
            )
        self.rows = self.shape[0] if self.shape else 1
        self.row_bytes = int(np.prod(self.shape[1:], dtype=object)) * self.dtype.itemsize
        if not self.row_bytes or min(self.shape, default=0) < 0:
            raise Damaged(0, f"an array of shape {self.shape} and type {self.dtype}")
        budget.spend(self.rows * self.row_bytes, 0)
        self._file, self._left = file, self.rows
        self._columns = self._turned() if fortran and len(self.shape) > 1 else None

    def read(self, rows: int) -> NDArray[Any]:
        """The next rows; fewer at the end, or if the file is cut off."""
        start, rows = self.rows - self._left, min(rows, self._left)
        if self._columns is not None:
            self._left -= rows
            return self._columns[start : start + rows]
        data = self._file.read(rows * self.row_bytes)
        whole = len(data) // self.row_bytes
        self._left -= rows
        return np.frombuffer(data, self.dtype, whole * self.row_bytes // self.dtype.itemsize).reshape(
            whole, *self.shape[1:]
        )

    def _turned(self) -> NDArray[Any]:
        """The whole of an array that is stored column by column; what is cut off makes all of it unreadable."""
        data = self._file.read(self.rows * self.row_bytes)
        if len(data) < self.rows * self.row_bytes:
            raise Damaged(
                0, f"truncated: {len(data)} of {self.rows * self.row_bytes} bytes of an array by columns"
            )
        return np.frombuffer(data, self.dtype).reshape(self.shape, order="F")


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of an array. (NumPy's own reader takes the text for a program with tokens, and stumbles.)"""
    start = file.read(8)
    if start[:6] != MAGIC or len(start) < 8 or start[6] not in (1, 2, 3):
        raise Damaged(0, f"expected an array of the .npy format, version 1 to 3, got {start!r}")
    size = int.from_bytes(file.read(2 if start[6] == 1 else 4), "little")
    if size > LONGEST:
        raise Damaged(8, f"a header of {size} bytes")
    text = file.read(size).decode("latin-1" if start[6] < 3 else "utf-8", "replace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = ast.literal_eval(text.strip())
            shape, fortran = header["shape"], header["fortran_order"]
            dtype = npy.descr_to_dtype(header["descr"])
    except (ValueError, SyntaxError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise Damaged(8, f"the header of the array: {error}") from None
    except (RecursionError, MemoryError):
        raise Damaged(8, "the header of the array is nested too deeply") from None
    if (
        not isinstance(shape, tuple)
        or not all(type(n) is int for n in shape)
        or not isinstance(dtype, np.dtype)
    ):
        raise Damaged(8, f"an array of shape {shape!r} and type {dtype!r}")
    return shape, bool(fortran), dtype


class Source(NamedTuple):
    """Open arrays and how t, x, y, p are taken from their rows."""

    arrays: list[Array]
    split: Any  # rows of the arrays -> (t, x, y, p)
    power: int | None  # of ten that makes times microseconds; None: not said
    size: Size | None
    archive: bool = False


class Arrays(Reader):
    """See the top of this file."""

    def __init__(self, path: Path, options: Options):
        with self._opened(path) as source:
            rows = min(a.rows for a in source.arrays)
            t = _checked(source.split([a.read(PROBED) for a in source.arrays])[0])
            name = "NumPy .npz" if source.archive else "NumPy .npy"
        super().__init__(path, options, format=name, size=source.size)
        self._rows = rows
        fractions = t.dtype.kind == "f" and bool((np.floor(t) != t).any())
        self._power = (6 if fractions else 0) if source.power is None else source.power
        units = {6: "seconds", 3: "milliseconds", 0: "microseconds", -3: "nanoseconds"}
        self.header["unit of time"] = units[self._power]

    def columns(self, size: int | None) -> Iterator[Columns]:
        step = PIECE if size is None else min(max(size, 1 << 10), PIECE)
        with self._opened(self.path) as source:
            for start in range(0, self._rows, step):
                wanted = min(step, self._rows - start)
                with _zip_errors():
                    rows = [a.read(wanted) for a in source.arrays]
                n = min(len(r) for r in rows)
                t, x, y, p = (_checked(c) for c in source.split([r[:n] for r in rows]))
                yield from sound(t, x, y, p, size=self.size, first=start, scale=10.0**self._power)
                if n < wanted:
                    raise Damaged(None, f"truncated: {start + n} of {self._rows} events are there")
            lengths = [a.rows for a in source.arrays]
            if len(set(lengths)) > 1:
                raise Damaged(None, f"the columns have the lengths {lengths}")

    def count(self) -> int | None:
        return self._rows

    @contextmanager
    def _opened(self, path: Path) -> Iterator[Source]:
        with path.open("rb") as file, _zip_errors():
            budget = Budget(path.stat().st_size)
            if file.read(4) != ZIP:
                file.seek(0)
                yield _source([("", Array(file, budget))], None)
                return
            with zipfile.ZipFile(file) as archive:
                members = [m for m in archive.infolist() if m.filename.endswith(".npy")][:100]
                for member in members:
                    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                        raise Damaged(None, f"{member.filename} is compressed in a way that is not known")
                arrays = [(m.filename.removesuffix(".npy"), Array(archive.open(m), budget)) for m in members]
                sensor = next((a.read(1 << 10) for name, a in arrays if name == "sensor"), None)
                source = _source([(n, a) for n, a in arrays if n != "sensor"], sensor)
                yield source._replace(archive=True)


@contextmanager
def _zip_errors() -> Iterator[None]:
    """Say of what `zipfile` raises that the file is damaged."""
    errors = (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OverflowError,
    )
    try:
        yield
    except errors as error:
        if isinstance(error, RecursionError):
            raise
        raise Damaged(None, f"the archive: {error}") from None


def _source(named: list[tuple[str, Array]], sensor: NDArray[Any] | None) -> Source:
    """Where the four columns are."""
    size = None
    if sensor is not None and sensor.shape == (3,) and sensor.dtype.kind in "iu":
        size = Size(int(sensor[2]), int(sensor[1]), polarities=int(sensor[0]))
    if (found := roles_of([name for name, _ in named])) is not None:
        places, power = found
        arrays = [named[places[role]][1] for role in ROLES]
        if any(len(a.shape) != 1 for a in arrays):
            raise Damaged(None, f"columns have one axis; these have the shapes {[a.shape for a in arrays]}")
        return Source(arrays, tuple, power, size)
    for _, array in named:
        fields = array.dtype.names
        if fields and len(array.shape) == 1 and (found := roles_of(fields)) is not None:
            order, power = [fields[found[0][role]] for role in ROLES], found[1]
            return Source([array], lambda rows, order=order: tuple(rows[0][f] for f in order), power, size)
        if fields is None and len(array.shape) == 2 and array.shape[1] == 4:
            return Source([array], lambda rows: tuple(rows[0].T), None, size)
    shapes = ", ".join(f"{name or 'array'}: {a.dtype} {a.shape}" for name, a in named) or "nothing"
    raise Damaged(None, f"expected fields t, x, y, p, or four columns in this order; got {shapes[:300]}")


def _checked(values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim != 1 or values.dtype.kind not in "iufb" or values.dtype.itemsize > 8:
        raise Damaged(None, f"expected a column of numbers, got {values.dtype} of shape {values.shape}")
    return values.astype(np.uint8) if values.dtype.kind == "b" else values


def write_npy(events: Events, path: Path) -> None:
    """Write events as a structured array of t, x, y, p. The size of the sensor is not kept."""
    with path.open("wb") as file:
        np.save(file, structured(events), allow_pickle=False)


def write_npz(events: Events, path: Path, *, compressed: bool = True) -> None:
    """Write events as the arrays t, x, y, p and sensor."""
    save = np.savez_compressed if compressed else np.savez
    with path.open("wb") as file:
        save(file, t=events.t, x=events.x, y=events.y, p=events.p, sensor=np.array(events.sensor))


def _is_npy(head: bytes, path: Path) -> bool:
    return head.startswith(MAGIC)


def _is_npz(head: bytes, path: Path) -> bool:
    """The name of the archive's first file is that of an array."""
    return head.startswith(ZIP) and head[30 : 30 + int.from_bytes(head[26:28], "little")].endswith(b".npy")


FORMATS = (
    Format("npy", "NumPy .npy", (".npy",), _is_npy, Arrays, write_npy),
    Format("npz", "NumPy .npz", (".npz",), _is_npz, Arrays, write_npz),
    CSV,
)
