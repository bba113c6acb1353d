"""Chips as data: every number with its unit, scope, evidence and source.

One TOML file per chip in `chips/`. A number is a table

    { value, low, high, unit, scope, covers, evidence, confidence, source, operating_point }

`scope` says what a figure holds. An `incremental` figure is the cost of one more event and nothing else; a
`global` one is whole-chip power shared among events or spent per second; an `all_in` one holds leakage and
routing too. `covers` lists the parts of the bill a figure pays, so that nothing is paid twice. `evidence` is
measured, simulated, vendor, derived or recalled; `confidence` tells how the number was read: R in the primary
source or the tool's own code, S in a secondary one, D derived by arithmetic, C recalled and not verified.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from snnkit.errors import UserError, nearest

FOLDER = Path(__file__).parent / "chips"

SI = {"pJ": 1e-12, "nJ": 1e-9, "uJ": 1e-6, "ns": 1e-9, "us": 1e-6, "ms": 1e-3}
SI |= {"uW": 1e-6, "mW": 1e-3, "W": 1.0, "1": 1.0, "bit": 1.0, "byte": 1.0}
SCOPES = ("incremental", "global", "all_in")
EVIDENCE = ("measured", "simulated", "vendor", "derived", "recalled")
CONFIDENCE = {"R": "primary source", "S": "secondary source", "D": "arithmetic", "C": "recalled, unverified"}


class UnknownChip(UserError):
    """The catalogue has no chip of that name."""


@dataclass(frozen=True)
class Figure:
    """One published number: `value`, `low`, `high` in `unit`; `si`, `si_low`, `si_high` in J, s or W."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    scope: str
    covers: tuple[str, ...]
    evidence: str
    confidence: str
    source: str
    operating_point: str
    ranged: bool

    @property
    def si(self) -> float:
        return self.value * SI[self.unit]

    @property
    def si_low(self) -> float:
        return self.low * SI[self.unit]

    @property
    def si_high(self) -> float:
        return self.high * SI[self.unit]

    def __str__(self) -> str:
        span = f" ({self.low:g} to {self.high:g})" if self.ranged else ""
        unit = "" if self.unit == "1" else f" {self.unit}"
        return f"{self.name} {self.value:g}{span}{unit}, {self.scope}, {self.evidence}: {self.source}"


@dataclass(frozen=True)
class Chip:
    """A chip: energies per event, times, powers and limits, each a `Figure`.

    `model` names the equation that turns counts into joules: `operations`, `events`, `crossbar`, `power`, or
    `none` where no energy was published.
    """

    name: str
    title: str
    process: str
    model: str
    notes: tuple[str, ...]
    energy: dict[str, Figure]
    time: dict[str, Figure]
    power: dict[str, Figure]
    limit: dict[str, Figure]
    lists: dict[str, tuple[int, ...]]  # limits that differ from core to core

    def figures(self) -> list[Figure]:
        """All numbers of the chip, in the order of its file."""
        return [f for part in (self.energy, self.time, self.power, self.limit) for f in part.values()]

    def at_most(self, name: str) -> int:
        """A limit as an integer, for example `chip("loihi").at_most("neurons")`."""
        return int(self.limit[name].value)


def chips() -> list[str]:
    """Names of the chips that the catalogue knows."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def chip(name: str | Chip) -> Chip:
    """The chip of that name; a `Chip` is handed back as it is. A typo is answered with the nearest name.

    >>> chip("loihi").energy["synop_dense"].value
    35.5
    """
    if isinstance(name, Chip):
        return name
    if not isinstance(name, str) or name not in chips():
        raise UnknownChip(f"there is no chip {name!r}: {nearest(str(name), chips())}")
    return _read(FOLDER / f"{name}.toml")


@cache
def _read(path: Path) -> Chip:
    return parse(tomllib.loads(path.read_text(encoding="utf-8")), path.name)


def parse(data: dict[str, Any], where: str) -> Chip:
    """A chip from the contents of its TOML file; a number that is not fully described is an error."""
    sources, lists = data.get("sources", {}), {}
    sections: dict[str, dict[str, Figure]] = {}
    for section in ("energy", "time", "power", "limit"):
        figures = sections[section] = {}
        for name, entry in data.get(section, {}).items():
            if isinstance(entry.get("value"), list):
                lists[name] = tuple(int(v) for v in entry["value"])
                entry = entry | {"value": max(lists[name])}
            figures[name] = _figure(name, entry, sources, f"{where}: {section}.{name}", section)
    return Chip(
        name=data["name"],
        title=data["title"],
        process=data["process"],
        model=data["model"],
        notes=tuple(data.get("notes", ())),
        lists=lists,
        **sections,
    )


def _figure(name: str, entry: dict[str, Any], sources: dict[str, str], where: str, section: str) -> Figure:
    needed = {"value", "unit", "scope", "evidence", "confidence", "source", "operating_point"}
    if section != "limit":
        needed.add("covers")
    if missing := needed - entry.keys():
        raise UserError(
            f"{where} lacks {', '.join(sorted(missing))}: every number says what it is and whence it comes"
        )
    scope_ok = entry["scope"] in SCOPES or (section == "limit" and entry["scope"].startswith("per_"))
    wrong = [
        f"{field} = {entry[field]!r}"
        for field, good in (
            ("unit", entry["unit"] in SI),
            ("scope", scope_ok),
            ("evidence", entry["evidence"] in EVIDENCE),
            ("confidence", entry["confidence"] in CONFIDENCE),
            ("source", entry["source"] in sources),
        )
        if not good
    ]
    value = float(entry["value"])
    low, high = float(entry.get("low", value)), float(entry.get("high", value))
    if not 0 <= low <= value <= high:
        wrong.append(f"low <= value <= high, got {low:g}, {value:g}, {high:g}")
    if wrong:
        raise UserError(f"{where} is not understood: {'; '.join(wrong)}")
    return Figure(
        name=name,
        value=value,
        low=low,
        high=high,
        unit=entry["unit"],
        scope=entry["scope"],
        covers=tuple(entry.get("covers", ())),
        evidence=entry["evidence"],
        confidence=entry["confidence"],
        source=sources[entry["source"]],
        operating_point=entry["operating_point"],
        ranged=low < high,
    )
