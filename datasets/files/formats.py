"""The formats, in the order in which they are tried: those with a signature first, those without one last."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from snnkit.datasets.errors import EventFileError
from snnkit.datasets.files.base import Format
from snnkit.errors import UserError, nearest

# Modules of this folder; each has FORMATS. DAT without a header and N-MNIST have no signature at all: they come last.
MODULES = ("aedat4", "aedat3", "aedat2", "es", "hdf5", "rosbag", "prophesee", "arrays", "dat", "nmnist")
HEAD = 1 << 16  # bytes that a recogniser sees


@cache
def _module(name: str) -> tuple[Format, ...]:
    return importlib.import_module(f"{__package__}.{name}").FORMATS


def formats() -> Iterator[Format]:
    """All of them; modules are imported as the search reaches them."""
    for name in MODULES:
        yield from _module(name)


def named(name: str) -> Format:
    """The format of that name."""
    for format in formats():
        if format.name == name:
            return format
    raise UserError(f"there is no format {name!r}; {nearest(name, [f.name for f in formats()])}")


def recognised(path: Path, head: bytes) -> Format:
    """The format of a file, by its content; if that says nothing, by its suffix.

    Raises:
        EventFileError: neither says anything.
    """
    if not head:
        raise EventFileError(str(path), 0, "the file is empty; download or copy it again")
    for format in formats():
        if format.recognise(head, path):
            return format
    for format in formats():
        if format.headless and path.suffix.lower() in format.suffixes:
            return format
    raise EventFileError(
        str(path),
        0,
        f"none of the known formats begins with {head[:12]!r}; if you know which it is, pass format=, one of "
        + ", ".join(sorted(f.name for f in formats())),
    )


def for_writing(path: Path, name: str | None) -> Format:
    """The format of that name, or the first one that writes files with this suffix."""
    writers = [f for f in formats() if f.write is not None]
    if name is not None:
        format = named(name)
        if format.write is None:
            raise UserError(f"{name} can be read only; {nearest(name, [f.name for f in writers])}")
        return format
    suffix = path.suffix.lower()
    for format in writers:
        if suffix in format.suffixes:
            return format
    known = ", ".join(sorted({s for f in writers for s in f.suffixes}))
    raise UserError(
        f"no format is written to {suffix or 'files without a suffix'}; use one of {known}, or pass format="
    )
