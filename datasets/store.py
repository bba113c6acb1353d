"""A folder of .npy columns: written once, whole or not at all, and read memory-mapped.

The folder's name holds a hash of everything that went into the columns: the sources' content, the parameters and the
version of this layout. So a cache is never stale; at worst it is unused. Nothing is ever unpickled.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from snnkit.errors import UserError
from snnkit.recordings import Events, Packed

FORMAT = 1  # raise it when the columns or their meaning change
COLUMNS = {"t": "<i8", "x": "<i2", "y": "<i2", "p": "|u1"}
HEADER = 128  # bytes of a .npy header with room for any length, so that it can be written last
Arrays = dict[str, NDArray]


def cache_folder() -> Path:
    """Where decoded datasets are kept: the environment variable SNNKIT_CACHE, else the user's cache folder."""
    if os.environ.get("SNNKIT_CACHE"):
        return Path(os.environ["SNNKIT_CACHE"]).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("snnkit", appauthor=False))


def digest(*parts: Any) -> str:
    """A hash of JSON-able values and bytes: the same for equal values, on every machine."""
    h = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        h.update(len(data).to_bytes(8, "little") + data)
    return h.hexdigest()


def file_digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


class Writer:
    """Writes recordings one after the other into column files, so that a dataset need not fit into memory."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.offsets = [0]
        self.sensor = (0, 0, 0)
        self.saved: list[str] = []
        self._files: dict[str, BinaryIO] = {}

    def add(self, recordings: Events | Packed) -> None:
        """Append one recording, or many."""
        self.sensor = recordings.sensor
        for name, dtype in COLUMNS.items():
            if name not in self._files:
                self._files[name] = (self.folder / f"{name}.npy").open("wb")
                self._files[name].write(bytes(HEADER))
            self._files[name].write(np.ascontiguousarray(getattr(recordings, name), dtype=dtype).data)
        ends = recordings.offsets[1:] if isinstance(recordings, Packed) else [len(recordings)]
        self.offsets.extend((self.offsets[-1] + np.asarray(ends)).tolist())

    def save(self, name: str, array: NDArray) -> None:
        """Write a whole array, such as the labels."""
        np.save(self.folder / f"{name}.npy", array, allow_pickle=False)
        self.saved.append(name)

    def finish(self, key: Mapping[str, Any]) -> None:
        """Write the lengths into the columns, the offsets, and last the table of contents."""
        for name, file in self._files.items():
            file.seek(0)
            file.write(_npy_header(COLUMNS[name], self.offsets[-1]))
        self.close()
        self.save("offsets", np.asarray(self.offsets, dtype=np.int64))
        self.save("sensor", np.asarray(self.sensor, dtype=np.int64))
        contents = {"format": FORMAT, "key": key, "arrays": [*self._files, *self.saved]}
        (self.folder / "meta.json").write_text(json.dumps(contents, indent=1))

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _npy_header(dtype: str, length: int) -> bytes:
    """Header of a .npy file, version 1.0, padded with spaces to `HEADER` bytes."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': ({length},), }}"
    body = text.ljust(HEADER - 11).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


def cached(name: str, key: Mapping[str, Any], build: Callable[[Writer], None]) -> Arrays:
    """The columns and arrays stored under `key`, memory-mapped; the first time they are built and written.

    Args:
        name: dataset and split, for people who look into the folder.
        key: everything the arrays depend on, as JSON.
        build: fills a `Writer`. If it raises, nothing of it stays.

    If the cache folder cannot be written, a temporary one is used for this process, with a warning.
    """
    folder = cache_folder() / f"{name}-{digest(dict(key), FORMAT)[:16]}"
    stored = read_folder(folder)
    if stored is not None:
        return stored
    with _beside(folder) as work:
        writer = Writer(work)
        try:
            build(writer)
            writer.finish(key)
        except OSError as error:  # reading the sources has errors of its own; this is a full disk or the like
            raise UserError(
                f"cannot write {folder.parent} ({error}); set SNNKIT_CACHE to another folder"
            ) from error
        finally:
            writer.close()
        final = _publish(work, folder)
        stored = read_folder(final)
    if stored is None:
        raise UserError(f"cannot read back {final}; set SNNKIT_CACHE to another folder")
    return stored


def read_folder(folder: Path) -> Arrays | None:
    """All arrays of a folder, memory-mapped and read-only; None if there is no whole folder."""
    try:
        names = json.loads((folder / "meta.json").read_text())["arrays"]
        return {n: np.load(folder / f"{n}.npy", mmap_mode="r", allow_pickle=False) for n in names}
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent, or damaged by others: it is built again


def from_arrays(arrays: Arrays) -> Packed:
    """The recordings in what `cached` returned."""
    polarities, height, width = np.asarray(arrays["sensor"]).tolist()
    columns = {n: arrays[n] for n in COLUMNS}
    return Packed(**columns, offsets=np.array(arrays["offsets"]), sensor=(polarities, height, width))


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """An empty folder next to `folder` to work in; it is gone afterwards, unless it was renamed."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        warnings.warn(
            f"cannot write {folder.parent} ({error.strerror or error}), so {folder.name} is not kept for the next time; "
            "set SNNKIT_CACHE to a folder that can be written",
            stacklevel=5,
        )
        work = Path(tempfile.mkdtemp(prefix="snnkit-"))
        atexit.register(shutil.rmtree, work, ignore_errors=True)
        yield work
        return
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _publish(work: Path, folder: Path) -> Path:
    """Give the finished folder its name, in one step; if another process was quicker, its content is the same."""
    if work.parent != folder.parent:
        return work  # the temporary one
    if folder.exists() and read_folder(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)  # damaged
    try:
        work.rename(folder)
    except OSError:
        if not folder.exists():
            raise
    return folder
