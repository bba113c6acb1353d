"""Files that a kernel decodes block by block: the loop around it.

Memory is one block plus the columns that were asked for, whatever the size of the file. The file is read, not mapped: a
mapped file that shrinks while it is read would end the process.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from snnkit.datasets.files.base import Columns, Damaged, Reader

BLOCK = 1 << 20  # bytes; stays in the second-level cache between reading and decoding
LARGE = 1 << 20  # rows from which it pays to count the events of a file before making room for them

Arrays = tuple[NDArray[Any], ...]
Kernel = Callable[..., tuple[int, int, int]]

EVENTS: tuple[DTypeLike, ...] = (np.int64, np.int16, np.int16, np.uint8)


@dataclass(frozen=True)
class Loop:
    """A kernel with what it needs; see `snnkit.kernels.events.decode_common`.

    Attributes:
        kernel: the loop.
        state: its state at the beginning of the body.
        columns: dtypes of its columns; a pair (dtype, n) has n entries in a row.
        word: (dtype, words of it per record).
        capacity: rows that hold all of the body.
    """

    kernel: Kernel
    state: NDArray[np.int64]
    columns: tuple[Any, ...]
    word: tuple[DTypeLike, int]
    capacity: Callable[[], int]

    @property
    def size(self) -> int:
        """Bytes of a record, or of its smallest part."""
        return np.dtype(self.word[0]).itemsize * self.word[1]

    def view(self, block: NDArray[np.uint8]) -> NDArray[Any]:
        """The whole records of a block."""
        words = block[: len(block) - len(block) % self.size].view(self.word[0])
        words = words.reshape(-1, self.word[1]) if self.word[1] > 1 else words
        words.flags.writeable = False  # as of bytes, so that there is one kernel for both
        return words

    def room(self, rows: int) -> Arrays:
        return room(self.columns, rows)


class BlockReader(Reader):
    """A reader whose events and other streams come out of kernels.

    A format gives `body` (the byte at which it begins), `loop(name)` and `reason(code, record)`.
    """

    body = 0

    @abstractmethod
    def loop(self, name: str) -> Loop:
        """The loop for a stream, at its beginning; "events" is one."""

    @abstractmethod
    def reason(self, code: int, record: bytes) -> str:
        """What is wrong with a record, in words."""

    def columns(self, size: int | None) -> Iterator[Columns]:
        for arrays in self.pieces(self.loop("events"), size):
            yield Columns._make(arrays)

    def pieces(self, loop: Loop, size: int | None) -> Iterator[Arrays]:
        """What a loop makes of the body, `size` rows at a time, or all at once if the file stays as it is meanwhile."""
        state = loop.state.copy()
        limit = size if size is not None and size <= LARGE else min(loop.capacity(), size or 1 << 62)
        limit = max(limit, 1)
        rows, n = loop.room(limit), 0
        damage = None
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.body)
            window = _Window(file, self.body)
            while damage is None and window.fill():
                words, at = loop.view(window.content), 0
                while True:
                    while n >= limit:
                        yield tuple(c[:limit] for c in rows)
                        rows, n = _moved(loop.room(limit), rows, limit, n)
                    used, n, code = loop.kernel(words[at:], state, *rows, n, limit)
                    at += used
                    if code or at == len(words) or (not used and n < limit):
                        break
                window.drop(at * loop.size)
                if code:
                    damage = Damaged(window.position, self.reason(code, bytes(window.content[:64])))
        self.finished(state)
        while n > limit:
            yield tuple(c[:limit] for c in rows)
            rows, n = _moved(loop.room(limit), rows, limit, n)
        if n:
            yield _trimmed(rows, n)
        if damage is None and len(window.content):
            left = len(window.content)
            damage = Damaged(window.position, f"truncated: the file ends {left} bytes into a record")
        if damage:
            raise damage

    def finished(self, state: NDArray[np.int64]) -> None:
        """Called at the end with the state of the loop: a place to make notes."""

    def blocks(self) -> Iterator[NDArray[np.uint8]]:
        """The body in blocks, for counting. The same memory each time."""
        block = np.empty(BLOCK, np.uint8)
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.body)
            while got := _fill(file, block):
                yield block[:got]

    def rest(self) -> int:
        """Bytes of the body."""
        return max(self.path.stat().st_size - self.body, 0)

    @property
    def bounds(self) -> tuple[int, int]:
        """Width and height for a kernel: those of the sensor, or what coordinates can hold."""
        return (self.declared.width, self.declared.height) if self.declared else (1 << 15, 1 << 15)


class _Window:
    """A block of a file that moves on by as much as has been used of it."""

    def __init__(self, file: FileIO, position: int):
        self.file, self.position = file, position
        self._block, self._begin, self._end = np.empty(BLOCK, np.uint8), 0, 0

    @property
    def content(self) -> NDArray[np.uint8]:
        return self._block[self._begin : self._end]

    def drop(self, used: int) -> None:
        self._begin += used
        self.position += used

    def fill(self) -> bool:
        """Put what was not used to the front and read on; False at the end of the file."""
        held = self._end - self._begin
        self._block[:held] = self._block[self._begin : self._end].copy()
        got = _fill(self.file, self._block[held:])
        self._begin, self._end = 0, held + got
        return got > 0


def room(columns: tuple[Any, ...], rows: int) -> Arrays:
    """Columns for so many rows and the few that a kernel may add, in one piece of memory that is used again.

    Fresh memory takes longer to come than the events that fill it.
    """
    from snnkit.kernels import lease
    from snnkit.kernels.events.decode_common import SLACK

    rows += SLACK
    shapes = [
        ((rows, c[1]), np.dtype(c[0])) if isinstance(c, tuple) else ((rows,), np.dtype(c)) for c in columns
    ]
    sizes = [-(-math.prod(shape) * dtype.itemsize // 64) * 64 for shape, dtype in shapes]
    total, at, out = sum(sizes), 0, []
    large = total >= lease.SMALLEST
    block = lease.empty((total,), torch.uint8).numpy() if large else np.empty(total, np.uint8)
    for (shape, dtype), size in zip(shapes, sizes, strict=True):
        out.append(block[at : at + math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape))
        at += size
    return tuple(out)


def _fill(file: FileIO, block: NDArray[np.uint8]) -> int:
    """Read until the block is full or the file ends."""
    view, got = block.data, 0
    while got < len(block) and (more := file.readinto(view[got:])):
        got += more
    return got


def _moved(new: Arrays, old: Arrays, start: int, stop: int) -> tuple[Arrays, int]:
    """Rows start to stop of the old columns at the beginning of the new ones."""
    for a, b in zip(new, old, strict=True):
        a[: stop - start] = b[start:stop]
    return new, stop - start


def _trimmed(rows: Arrays, n: int) -> Arrays:
    """The first n rows; a copy if much room would stay with them for nothing."""
    return tuple(c[:n] if n > 0.75 * len(c) else c[:n].copy() for c in rows)
