"""Writes columns piece by piece, so that a dataset need not fit into memory, and so that a killed writer can go on.

Every piece is appended to the column files, then noted in a journal with its checksum. A writer that opens a folder with
a journal checks the pieces, cuts off what was not noted, and skips them when they are handed in again.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from snnkit.datasets.fingerprint import digest
from snnkit.datasets.progress import track
from snnkit.recordings import Events, Packed

FORMAT = 2  # raise it when the columns or their meaning change
CONTENTS = "meta.json"
HEADER = 128  # bytes of a .npy header with room for any length, so that it can be written last
NOTE = struct.Struct("<qqIIII")  # of a piece: samples and rows so far, checksum, sensor
FACTS = "<qqIII"  # of a note, without the checksum, which covers them
Item = TypeVar("Item")


class Column(NamedTuple):
    """Type of a column; one row of it has this shape."""

    dtype: str
    shape: tuple[int, ...] = ()

    @property
    def row(self) -> int:
        """Bytes of a row."""
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


Columns = Mapping[str, Column]
COLUMNS: Columns = {"t": Column("<i8"), "x": Column("<i2"), "y": Column("<i2"), "p": Column("|u1")}
OFFSETS = Column("<i8")


class Writer:
    """Writes samples one after the other into the folder `work`; see above.

    Args:
        work: a folder of its own, there already or not.
        columns: names and types of the columns.
        key: what the columns depend on; pieces that were made from another key are thrown away.
    """

    def __init__(self, work: Path, *, columns: Columns = COLUMNS, key: Mapping[str, Any] | None = None):
        self.folder, self.columns, self.key = work, columns, dict(key or {})
        self.metadata: dict[str, Any] = {}
        self.sensor = (0, 0, 0)
        self.samples = self.rows = 0  # written, or found written
        self._seen = 0  # handed in to this writer
        self._saved: list[str] = []
        self._files: dict[str, BinaryIO] = {}
        notes = _notes(work, columns, digest(self.key, FORMAT))
        if not notes:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            (work / "journal").write_bytes(digest(self.key, FORMAT).encode())
        else:
            self.samples, self.rows, _, *sensor = notes[-1]
            self.sensor = (sensor[0], sensor[1], sensor[2])
        self._open(len(notes))

    def _open(self, pieces: int) -> None:
        """Open the files, each cut to what the journal vouches for."""
        lengths = {n: HEADER + self.rows * c.row for n, c in self.columns.items()}
        lengths |= {"offsets": HEADER + 8 * (self.samples + 1), "journal": 64 + NOTE.size * pieces}
        for name, length in lengths.items():
            path = self.folder / (name if name == "journal" else f"{name}.npy")
            file = path.open("r+b" if path.exists() else "w+b")
            file.truncate(length)
            file.seek(length)
            self._files[name] = file

    # -- pieces ------------------------------------------------------------------------------------------------------

    def fill(
        self,
        items: Sequence[Item],
        read: Callable[[Item], Events | Mapping[str, ArrayLike]],
        text: str,
        *,
        progress: bool = True,
    ) -> None:
        """Append `read(item)`, a recording or rows, for every item, except for those that are written already."""
        done = min(max(self.samples - self._seen, 0), len(items))
        self._seen += done
        for item in track(items[done:], text, total=len(items), done=done, show=progress):
            found = read(item)
            if isinstance(found, Events):
                self.add(found)
            else:
                self.add_rows(found, [len(np.asarray(found[next(iter(self.columns))]))])

    def add(self, recordings: Events | Packed) -> None:
        """Append one recording, or many."""
        ends = recordings.offsets[1:] if isinstance(recordings, Packed) else [len(recordings)]
        self.add_rows({n: getattr(recordings, n) for n in COLUMNS}, ends, sensor=recordings.sensor)

    def add_rows(
        self, rows: Mapping[str, ArrayLike], ends: ArrayLike, *, sensor: tuple[int, int, int] = (0, 0, 0)
    ) -> None:
        """Append samples that end at rows `ends` of these columns."""
        ends = np.asarray(ends, dtype=np.int64)
        self._seen += len(ends)
        if self._seen <= self.samples:
            return  # a killed writer has written it
        if self._seen - len(ends) < self.samples:
            raise ValueError("the pieces are not those that this folder was begun with")
        data = {n: np.ascontiguousarray(rows[n], dtype=c.dtype) for n, c in self.columns.items()}
        data["offsets"] = (self.rows + ends).astype("<i8")
        samples, last = self._seen, self.rows + (int(ends[-1]) if len(ends) else 0)
        wide = [max(a, b) for a, b in zip(self.sensor, sensor, strict=True)]
        check = zlib.crc32(struct.pack(FACTS, samples, last, *wide))
        for name, column in data.items():
            view = column.reshape(-1).view(np.uint8).data
            self._files[name].write(view)
            check = zlib.crc32(view, check)
        for name in data:
            self._files[name].flush()
        self.samples, self.rows, self.sensor = samples, last, (wide[0], wide[1], wide[2])
        self._files["journal"].write(NOTE.pack(samples, last, check, *wide))
        self._files["journal"].flush()

    # -- the rest ----------------------------------------------------------------------------------------------------

    def save(self, name: str, array: ArrayLike) -> None:
        """Write a whole array, such as the labels."""
        np.save(self.folder / f"{name}.npy", np.asarray(array), allow_pickle=False)
        self._saved.append(name)

    def finish(self) -> None:
        """Write the lengths into the columns, and last the table of contents."""
        self._files.pop("journal").close()
        for name, column in {**self.columns, "offsets": OFFSETS}.items():
            count = self.samples + 1 if name == "offsets" else self.rows
            self._files[name].seek(0)
            self._files[name].write(_npy_header(column, count))
            self._files[name].flush()
            os.fsync(self._files[name].fileno())
        self.close()
        self.save("sensor", np.asarray(self.sensor, dtype=np.int64))
        contents = {
            "format": FORMAT,
            "digest": digest(self.key, FORMAT),
            "key": self.key,
            "columns": list(self.columns),
            "arrays": [*self.columns, "offsets", *self._saved],
            "metadata": self.metadata,
        }
        (self.folder / CONTENTS).write_text(json.dumps(contents, indent=1))
        (self.folder / "journal").unlink()

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}


def read_contents(folder: Path) -> dict[str, Any] | None:
    """The table of contents of a finished folder, or None."""
    try:
        contents = json.loads((folder / CONTENTS).read_text())
        wanted = {"digest": str, "columns": list, "arrays": list, "metadata": dict}
        plain = all(isinstance(contents[name], kind) for name, kind in wanted.items())
        names = [*contents["arrays"], *contents["columns"]]
        plain = plain and all(isinstance(n, str) and n.isidentifier() for n in names)
        return contents if plain and contents["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _notes(work: Path, columns: Columns, made_from: str) -> list[tuple[int, ...]]:
    """The journal's notes of pieces that are in the files as they were written."""
    try:
        text = (work / "journal").read_bytes()
        if text[:64] != made_from.encode():
            return []
        whole = (len(text) - 64) // NOTE.size * NOTE.size
        notes = list(NOTE.iter_unpack(text[64 : 64 + whole]))
        files = {n: (work / f"{n}.npy").open("rb") for n in (*columns, "offsets")}
    except OSError:
        return []
    try:
        return list(_vouched(notes, files, columns))
    finally:
        for file in files.values():
            file.close()


def _vouched(
    notes: list[tuple[int, ...]], files: Mapping[str, BinaryIO], columns: Columns
) -> Iterator[tuple[int, ...]]:
    samples = rows = 0
    for note in notes:
        if note[0] < samples or note[1] < rows:
            return
        check = zlib.crc32(struct.pack(FACTS, note[0], note[1], *note[3:]))
        for name, file in files.items():
            row, first, last = (
                (8, samples + 1, note[0] + 1) if name == "offsets" else (columns[name].row, rows, note[1])
            )
            if os.fstat(file.fileno()).st_size < HEADER + last * row:
                return
            file.seek(HEADER + first * row)
            check = zlib.crc32(file.read((last - first) * row), check)
        if check != note[2]:
            return
        yield note
        samples, rows = note[0], note[1]


def _npy_header(column: Column, length: int) -> bytes:
    """Header of a .npy file, version 1.0, padded with spaces to `HEADER` bytes."""
    shape = (length, *column.shape)
    text = f"{{'descr': {column.dtype!r}, 'fortran_order': False, 'shape': {shape}, }}"
    body = text.ljust(HEADER - 11).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body
