"""What every placement rule fills in: cores, resources used, notes, problems."""

from __future__ import annotations

from dataclasses import dataclass, field

from snnkit.hardware.layers import Layer


@dataclass
class Footprint:
    """What `placement` turns into a `Placement`; filled in by the rules below."""

    cores: dict[str, tuple[int, ...]] = field(default_factory=dict)
    used: dict[str, dict[str, float]] = field(default_factory=dict)
    total: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def take(self, layer: Layer, cores: int, **used: float) -> None:
        """Give the next `cores` free cores to a layer."""
        first = sum(len(c) for c in self.cores.values())
        self.cores[layer.name] = tuple(range(first, first + cores))
        self.used[layer.name] = {k.replace("_", " "): float(v) for k, v in used.items()}

    def check_cores(self, available: int, what: str = "cores") -> None:
        """A problem when all layers together need more cores than there are."""
        needed = sum(len(c) for c in self.cores.values())
        self.total[what] = float(needed)
        if needed > available:
            over = [
                f"layer {name} takes {len(c)}" for name, c in self.cores.items() if c and c[-1] >= available
            ]
            self.problems.append(f"{needed} {what} needed, {available} there ({', '.join(over)})")


def too_much(layer: Layer, what: str, needed: float, limit: float) -> str:
    """One exhausted resource in the words of every message."""
    return f"layer {layer.name}: {what} {needed:,.0f}, limit {limit:,.0f}"
