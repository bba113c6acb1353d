"""Compressed parts of files, unpacked with a limit: a few bytes can stand for gigabytes.

A part is unpacked step by step and never past what is left of the file's budget, `SLACK` bytes and `RATIO` times the
size of the file. Recordings shrink to a half or a fifth; only what has no content shrinks a hundredfold.
"""

from __future__ import annotations

import bz2
from typing import Any

from snnkit.datasets.files.base import Damaged

SLACK, RATIO = 1 << 24, 100
FIRST = 1 << 16  # bytes of the first step
WINDOW = 1 << 27  # largest window of Zstd, its own default


class Budget:
    """Bytes that the compressed parts of one file may still become."""

    def __init__(self, file_bytes: int):
        self.left = SLACK + RATIO * file_bytes

    def spend(self, size: int, position: int | None) -> None:
        """Take `size` bytes off.

        Raises:
            Damaged: there are not so many left.
        """
        self.left -= size
        if self.left < 0:
            raise Damaged(position, f"unpacks to more than {RATIO} times the size of the file")


def unpack(data: bytes, codec: str, budget: Budget, position: int | None = None) -> bytes:
    """One whole frame of "lz4", "zstd" or "bz2"; "" gives `data` back.

    Raises:
        Damaged: it is cut off or corrupt, does not end with `data`, or is more than the budget has.
    """
    if not codec:
        return data
    pieces, total = [], 0
    step = max(FIRST, 4 * len(data))
    try:
        reader = READERS[codec](data)
        while piece := reader.read(min(step, budget.left - total + 1)):
            pieces.append(piece)
            total += len(piece)
            step = max(step, total)
            if total > budget.left:
                break
    except (RuntimeError, ValueError, OSError, EOFError) as error:
        raise Damaged(position, f"{codec} data is corrupt: {error}") from None
    budget.spend(total, position)
    if not reader.ended(total):
        raise Damaged(position, f"{codec} data is cut off, or goes on after its end")
    return b"".join(pieces)


class _Stepwise:
    """LZ4 frames and bz2, whose decompressors take a limit for each step."""

    def __init__(self, decompressor: Any, data: bytes):
        self._inner, self._data = decompressor, data

    def read(self, size: int) -> bytes:
        if self._inner.eof:
            return b""
        data, self._data = self._data, b""
        return self._inner.decompress(data, max_length=size)

    def ended(self, total: int) -> bool:
        return self._inner.eof and not self._inner.unused_data


class _Zstd:
    def __init__(self, data: bytes):
        import zstandard

        self._error = zstandard.ZstdError
        try:
            self._claimed = zstandard.frame_content_size(data)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from None
        self._source = zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(data)

    def read(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except self._error as error:
            raise ValueError(str(error)) from None

    def ended(self, total: int) -> bool:
        return self._claimed in (-1, total)


def _lz4(data: bytes) -> _Stepwise:
    import lz4.frame

    return _Stepwise(lz4.frame.LZ4FrameDecompressor(), data)


def _bz2(data: bytes) -> _Stepwise:
    return _Stepwise(bz2.BZ2Decompressor(), data)


READERS: dict[str, Any] = {"lz4": _lz4, "zstd": _Zstd, "bz2": _bz2}
