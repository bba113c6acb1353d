"""The text in front of Prophesee's files: lines `% key value`, until the first that is none, or until `% end`.

The first bytes of the body may look like the beginning of a line, so a line counts only if it is printable, begins
with "% " and ends within 4096 bytes. Values are kept as text; the first of a repeated key counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from snnkit.datasets.files.base import Damaged, Size, check_size

LONGEST_LINE = 4096
LONGEST = 1 << 20  # bytes of a header; real ones have a few hundred
PRINTABLE = bytes({9, 13, *range(32, 127)})


@dataclass(frozen=True)
class Header:
    """Entries by key, where each stands, where the body begins, and whether the file ends within the header."""

    entries: dict[str, str]
    places: dict[str, int]
    body: int
    cut: bool = False

    def get(self, *keys: str) -> str | None:
        """The value of the first of these keys that is there; upper and lower case are one."""
        return next((self._lower[k][0] for k in keys if k in self._lower), None)

    def place(self, key: str) -> int:
        """Where the line of this key begins; 0 if there is none."""
        return self._lower.get(key, ("", 0))[1]

    @cached_property
    def _lower(self) -> dict[str, tuple[str, int]]:
        return {k.lower(): (v, self.places[k]) for k, v in reversed(self.entries.items())}


def parse(data: bytes) -> Header:
    """The header at the start of `data`."""
    entries: dict[str, str] = {}
    places: dict[str, int] = {}
    at, cut = 0, False
    while data[at : at + 2] == b"% ":
        end = data.find(b"\n", at, at + LONGEST_LINE)
        line = data[at:end] if end >= 0 else data[at : at + LONGEST_LINE]
        if line.translate(None, PRINTABLE):
            break
        if end < 0:
            cut = at + len(line) == len(data)
            break
        key, _, value = line[2:].decode("ascii").strip().partition(" ")
        start, at = at, end + 1
        if (key, value) == ("end", ""):
            break
        if key:
            entries.setdefault(key, value.strip())
            places.setdefault(key, start)
    return Header(entries, places, at, cut)


def read_header(path: Path) -> Header:
    """The header of a file.

    Raises:
        Damaged: the file ends in the middle of a line.
    """
    with path.open("rb") as file:
        data = file.read(LONGEST)
    header = parse(data)
    if header.cut:
        raise Damaged(header.body, "truncated: the file ends in a line of its header")
    return header


def options_of(header: Header) -> dict[str, str]:
    """What follows the name in `% format NAME;key=value;...`, with "" for the name itself."""
    name, *pairs = (header.get("format") or "").split(";")
    found = {k.strip().lower(): v.strip() for k, _, v in (pair.partition("=") for pair in pairs)}
    return {"": name.strip().upper(), **found}


def size_in(header: Header) -> Size | None:
    """The sensor of `% geometry WxH`, of `% format ...;width=..;height=..` or of `% Width`, `% Height`.

    Raises:
        Damaged: they are no numbers, contradict each other or can be no sensor.
    """
    options, found = options_of(header), []
    if geometry := header.get("geometry"):
        width, _, height = geometry.lower().partition("x")
        found.append(_size(header, "geometry", width, height))
    if "width" in options and "height" in options:
        found.append(_size(header, "format", options["width"], options["height"]))
    if (columns := header.get("width")) and (rows := header.get("height")):
        found.append(_size(header, "width", columns, rows))
    if len(set(found)) > 1:
        place = header.place("geometry")
        sizes = " and ".join(f"{s.width}x{s.height}" for s in found)
        raise Damaged(place, f"the header contradicts itself: the sensor has {sizes} pixels")
    return found[0] if found else None


def _size(header: Header, key: str, width: str, height: str) -> Size:
    place = header.place(key)
    if not (_number(width) and _number(height)):
        raise Damaged(place, f"the header's {key} has no width and height: {width[:20]!r}, {height[:20]!r}")
    size = check_size(Size(int(width), int(height)), place)
    assert size is not None
    return size


def _number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10
