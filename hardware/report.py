"""What an estimate says: joules with an interval, split into parts, with everything that was left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from snnkit.hardware.catalog import Figure

PARTS = ("neural_dynamic", "system_dynamic", "static")


class Interval(NamedTuple):
    """A quantity with the range that published constants leave open. Adds up end by end."""

    value: float
    low: float
    high: float

    def plus(self, other: Interval) -> Interval:
        return Interval(*(a + b for a, b in zip(self, other, strict=True)))

    def times(self, factor: float) -> Interval:
        return Interval(*(a * factor for a in self))


ZERO = Interval(0.0, 0.0, 0.0)


def total(intervals: Iterable[Interval]) -> Interval:
    """The sum of intervals."""
    found = ZERO
    for interval in intervals:
        found = found.plus(interval)
    return found


@dataclass(frozen=True)
class Term:
    """One line of the bill: `count` events of kind `what` in `layer`, at one figure of the chip."""

    part: str
    layer: str  # "" for the whole chip
    what: str
    count: float
    energy: Interval
    figure: Figure


@dataclass(frozen=True)
class EnergyReport:
    """Joules and seconds of one inference on one chip.

    `energy_j` is neural dynamic + system dynamic + static energy at the achieved time, within [`low_j`,
    `high_j`]; the three are apart in `neural_dynamic`, `system_dynamic`, `static` (each an `Interval`).
    `static_at_rate` and `system_at_rate` charge the standing power for the whole period 1 / `rate_hz`
    instead. `breakdown` is neural dynamic energy by layer, `terms` every line with its figure. The interval
    is what published constants leave open; a figure without a published range adds no width, which is
    ignorance and not certainty.
    """

    chip: str
    title: str
    terms: tuple[Term, ...]
    latency: Interval | None
    steps: float
    rate_hz: float | None
    static_at_rate: Interval | None
    system_at_rate: Interval | None
    ann_energy_j: float | None
    memory: Interval | None
    ann_memory: Interval | None
    layers: tuple[str, ...]
    assumptions: tuple[str, ...] = field(default=())
    left_out: tuple[str, ...] = field(default=())

    def part(self, name: str) -> Interval:
        """One of neural_dynamic, system_dynamic, static, memory."""
        return total(t.energy for t in self.terms if t.part == name)

    @property
    def neural_dynamic(self) -> Interval:
        return self.part("neural_dynamic")

    @property
    def system_dynamic(self) -> Interval:
        return self.part("system_dynamic")

    @property
    def static(self) -> Interval:
        return self.part("static")

    @property
    def energy(self) -> Interval:
        return total(self.part(name) for name in PARTS)

    @property
    def energy_j(self) -> float:
        return self.energy.value

    @property
    def low_j(self) -> float:
        return self.energy.low

    @property
    def high_j(self) -> float:
        return self.energy.high

    @property
    def dynamic_j(self) -> float:
        return self.neural_dynamic.value

    @property
    def at_rate_j(self) -> float | None:
        """Neural dynamic energy plus standing power over the whole period; None without `rate_hz`."""
        if self.static_at_rate is None or self.system_at_rate is None:
            return None
        return self.dynamic_j + self.system_at_rate.value + self.static_at_rate.value

    @property
    def latency_s(self) -> float | None:
        return None if self.latency is None else self.latency.value

    @property
    def breakdown(self) -> dict[str, float]:
        """Neural dynamic joules by layer, in the order of the graph; "chip" holds what no layer owns."""
        found = dict.fromkeys(self.layers, 0.0)
        for term in self.terms:
            if term.part == "neural_dynamic":
                name = term.layer or "chip"
                found[name] = found.get(name, 0.0) + term.energy.value
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-able copy; every number in joules and seconds."""

        def span(interval: Interval | None) -> dict[str, float] | None:
            return None if interval is None else interval._asdict()

        return {
            "chip": self.chip,
            "title": self.title,
            "energy_j": self.energy_j,
            "low_j": self.low_j,
            "high_j": self.high_j,
            **{name: span(self.part(name)) for name in PARTS},
            "rate_hz": self.rate_hz,
            "static_at_rate": span(self.static_at_rate),
            "system_at_rate": span(self.system_at_rate),
            "at_rate_j": self.at_rate_j,
            "latency_s": self.latency_s,
            "latency": span(self.latency),
            "steps": self.steps,
            "ann_energy_j": self.ann_energy_j,
            "memory": span(self.memory),
            "ann_memory": span(self.ann_memory),
            "breakdown": self.breakdown,
            "terms": [
                {
                    "part": t.part,
                    "layer": t.layer,
                    "what": t.what,
                    "count": t.count,
                    **t.energy._asdict(),
                    "figure": str(t.figure),
                }
                for t in self.terms
            ],
            "assumptions": list(self.assumptions),
            "left_out": list(self.left_out),
        }

    def table(self) -> str:
        """The report as plain text."""
        lines = [f"{self.title} ({self.chip}), one inference of {self.steps:g} steps"]
        for label, interval in self._rows():
            lines.append(f"  {label:<34} {ranged(interval, 'J')}")
        if self.latency is None:
            lines.append(f"  {'latency':<34} unknown (no timing published)")
        else:
            lines.append(f"  {'latency':<34} {ranged(self.latency, 's')}")
        lines.append("  neural dynamic energy by layer")
        whole = self.dynamic_j or 1.0
        for name, value in self.breakdown.items():
            lines.append(f"    {name:<32} {si(value, 'J'):>10}   {100 * value / whole:5.1f} %")
        lines += [f"  assumed: {line}" for line in self.assumptions]
        return "\n".join([*lines, *(f"  left out: {line}" for line in self.left_out)])

    def _rows(self) -> list[tuple[str, Interval]]:
        whats = dict.fromkeys(t.what for t in self.terms if t.part == "neural_dynamic")
        rows = [("energy", self.energy), ("neural dynamic", self.neural_dynamic)]
        rows += [(f"  {w}", total(t.energy for t in self.terms if t.what == w)) for w in whats]
        rows += [("system dynamic", self.system_dynamic), ("static, at the achieved time", self.static)]
        if self.static_at_rate is not None and self.system_at_rate is not None:
            rows.append((f"system, at {self.rate_hz:g} inferences/s", self.system_at_rate))
            rows.append((f"static, at {self.rate_hz:g} inferences/s", self.static_at_rate))
        if self.memory is not None:
            rows.append(("memory traffic (not in the energy)", self.memory))
        if self.ann_energy_j is not None:
            rows.append(("equal ANN, one dense pass", Interval(*[self.ann_energy_j] * 3)))
        if self.ann_memory is not None:
            rows.append(("equal ANN, memory traffic", self.ann_memory))
        return rows


def ranged(interval: Interval, unit: str) -> str:
    """An interval in words: value, and range where there is one."""
    span = f"   {si(interval.low, unit)} to {si(interval.high, unit)}" if interval.low < interval.high else ""
    return f"{si(interval.value, unit):>10}{span}"


def si(value: float, unit: str) -> str:
    """Three digits and the fitting prefix, `2.5e-06, "J"` as `2.5 uJ`."""
    for scale, prefix in ((1, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p")):
        if abs(value) >= scale * 0.9995:
            return f"{value / scale:.3g} {prefix}{unit}"
    return f"{value:g} {unit}" if value else f"0 {unit}"
