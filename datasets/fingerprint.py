"""What files contain, as a hash that is affordable at every load.

The content is hashed once. The result is remembered under a hash of every file's name, size, inode and times of change,
among them the one that only the system sets (ctime): no tool can alter a file and put that back. Where the clock of the
file system could be too coarse to tell, because a file changed within the last seconds, nothing is remembered and the
content is hashed again next time.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.errors import DataNotFound
from snnkit.datasets.progress import track
from snnkit.errors import UserError
from snnkit.files import write_text

COARSEST = 2.0  # seconds: ticks of the coarsest file system's clock (FAT)
REMEMBERED = ".contents"  # folder of remembered hashes in the cache folder


def digest(*parts: Any) -> str:
    """A hash of JSON-able values and bytes: the same for equal values, on every machine."""
    h = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        h.update(len(data).to_bytes(8, "little") + data)
    return h.hexdigest()


def array_digest(*arrays: NDArray) -> str:
    """A hash of arrays: types, shapes and content."""
    h = hashlib.sha256()
    for array in arrays:
        h.update(f"{array.dtype.str}{array.shape};".encode())
        h.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return h.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


@dataclass(frozen=True)
class Sources:
    """Files that something is made from, as they were when they were found.

    Args:
        base: folder their names are relative to.
        files: all of them, in a fixed order.
        stamp: hash of names, sizes, inodes and times.
        newest: the latest time of change, seconds since 1970.
    """

    base: Path
    files: tuple[Path, ...]
    stamp: str
    newest: float

    @classmethod
    def of(cls, files: Iterable[Path], base: Path) -> Sources:
        """These files, as they are now.

        Raises:
            DataNotFound: one of them cannot be read.
        """
        listed = tuple(files)
        rows, newest = [], 0.0
        for file in listed:
            try:
                s = file.stat()
            except OSError as error:
                raise DataNotFound(f"cannot read {file}: {error.strerror or error}") from error
            rows.append([_name(file, base), s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_dev])
            newest = max(newest, s.st_mtime, s.st_ctime)
        return cls(base, listed, digest([str(base.absolute()), *rows]), newest)

    def content(self, memory: Path, *, text: str = "checking the files", progress: bool = True) -> str:
        """Hash of all names and contents; remembered in the folder `memory` for as long as nothing changes.

        Raises:
            UserError: a file changed meanwhile. DataNotFound: one cannot be read.
        """
        note = memory / REMEMBERED / self.stamp
        known = _recall(note)
        if known is not None:
            return known
        begun = time.time()
        try:
            with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
                hashes = list(
                    track(pool.map(file_digest, self.files), text, total=len(self.files), show=progress)
                )
        except OSError as error:
            raise DataNotFound(f"cannot read {error.filename}: {error.strerror or error}") from error
        self.check()
        found = digest([[_name(f, self.base), h] for f, h in zip(self.files, hashes, strict=True)])
        if self.newest < begun - COARSEST:
            _remember(note, found)
        return found

    def check(self) -> None:
        """Raise a UserError if a file is not as it was when it was found."""
        if Sources.of(self.files, self.base).stamp != self.stamp:
            raise UserError(f"the files in {self.base} changed while they were read; load them again")


def _name(file: Path, base: Path) -> str:
    return file.relative_to(base).as_posix() if file.is_relative_to(base) else file.as_posix()


def _recall(note: Path) -> str | None:
    try:
        text = note.read_text()
    except OSError:
        return None
    return text if len(text) == 64 and set(text) <= set("0123456789abcdef") else None


def _remember(note: Path, found: str) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_text(note, found)
    except (OSError, UserError):
        return  # a cache that cannot be written: it is hashed again next time
