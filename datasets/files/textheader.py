"""The lines of text with which AEDAT 1, 2 and 3 begin, and the cameras that they name."""

from __future__ import annotations

from pathlib import Path

from snnkit.datasets.files.base import Damaged, Size

LONGEST_LINE, MOST_LINES = 1 << 14, 1 << 16  # jAER writes its preferences into headers: 2 000 lines and more

# Pixels of the cameras, longest names first (iniVation and Institute of Neuroinformatics, data sheets).
CAMERAS = {
    "DVS128": (128, 128),
    "DVS132": (132, 104),
    "DVS640": (640, 480),
    "DAVIS128": (128, 128),
    "DAVIS208": (208, 192),
    "DAVIS240": (240, 180),
    "DAVIS346": (346, 260),
    "DAVIS640": (640, 480),
    "DAVISRGBW640": (640, 480),
    "DAVISHET640": (640, 480),
    "DVXPLORER": (640, 480),
}


def cameras_size(name: str) -> Size | None:
    """The size of a camera by its name, such as DAVIS240C or Davis346blue; None if it is not known."""
    for known, size in CAMERAS.items():
        if name.upper().replace("_", "").startswith(known):
            return Size(*size, source="inferred")
    return None


def text_lines(path: Path, *, end: str) -> tuple[list[str], int]:
    """The lines of the header without their ends, and where the data begins.

    Data may begin with the byte of #, so a line counts only if it is printable text that ends as the first line does; the
    line `end` is the last one if it is there.

    Raises:
        Damaged: there is no first line, or no end to the header.
    """
    lines: list[str] = []
    ending, position = b"\n", 0
    with path.open("rb") as file:
        while len(lines) < MOST_LINES:
            line = file.readline(LONGEST_LINE)
            if not lines and line.endswith(b"\r\n"):
                ending = b"\r\n"
            text = _text(line, ending)
            if text is None:
                break
            lines.append(text)
            position += len(line)
            if text == end:
                break
        else:
            raise Damaged(position, f"the header has no end within {MOST_LINES} lines")
    if not lines:
        raise Damaged(0, f"expected a line of text that begins with #, got {line[:16]!r}")
    return lines, position


def _text(line: bytes, ending: bytes) -> str | None:
    """A line of the header; None if it is none."""
    if not line.startswith(b"#") or not line.endswith(ending):
        return None
    line = line.removesuffix(ending)
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = line.decode("latin-1")
    return text if all(c.isprintable() or c == "\t" for c in text) else None
