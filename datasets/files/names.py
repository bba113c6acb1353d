"""What the columns of arrays and tables are called, and in which unit they say that times are."""

from __future__ import annotations

from collections.abc import Sequence

ROLES = ("t", "x", "y", "p")
NAMES = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs", "x_pos", "col", "column"),
    "y": ("y", "ys", "y_pos", "row"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on", "is_on"),
}
UNITS = {
    "s": 6,
    "sec": 6,
    "seconds": 6,
    "ms": 3,
    "us": 0,
    "µs": 0,
    "microseconds": 0,
    "ns": -3,
}  # powers of ten


def roles_of(names: Sequence[str]) -> tuple[dict[str, int], int | None] | None:
    """Where t, x, y and p are among these names, and the power of ten that makes times microseconds, if they say it.

    None if one of the four is missing.
    """
    places: dict[str, int] = {}
    power = None
    for k, name in enumerate(names):
        word, unit = _split(name)
        for role, known in NAMES.items():
            if word in known and role not in places:
                places[role] = k
                power = UNITS.get(unit, power) if role == "t" else power
    return (places, power) if len(places) == 4 else None


def _split(name: str) -> tuple[str, str]:
    """A name and its unit: `t_us`, `t [us]`, `time(s)`."""
    word = name.strip().strip("\"'").lower().lstrip("#%").strip()
    for opening in ("[", "("):
        head, _, unit = word.partition(opening)
        if unit:
            return head.strip(), unit.rstrip("])").strip()
    head, _, unit = word.rpartition("_")
    return (head, unit) if head and unit in UNITS else (word, "")
