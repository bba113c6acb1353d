"""Does a network fit a chip, and on which cores? Footprints as the vendors' own compilers count them.

`layout` works the footprint out and collects everything that is wrong; `place` raises `DoesNotFit` with all
of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from snnkit.errors import UserError
from snnkit.hardware import footprints as fp
from snnkit.hardware.catalog import Chip
from snnkit.hardware.catalog import chip as find_chip
from snnkit.hardware.delays import check_delays
from snnkit.hardware.footprint import Footprint
from snnkit.hardware.footprint_loihi import loihi
from snnkit.hardware.layers import Layer, layers


class DoesNotFit(UserError):
    """The network needs more than the chip has; the message names every layer and resource."""

    def __init__(self, message: str, problems: tuple[str, ...] = ()):
        super().__init__(message)
        self.problems = problems


@dataclass(frozen=True)
class Placement:
    """Where a network sits: `cores[layer]` are the core numbers of each synaptic layer with its neurons.

    `used[layer]` gives the resources of the fullest core of that layer, `total` those of the chip, `notes`
    what the chip will do differently from the network.
    """

    chip: str
    cores: dict[str, tuple[int, ...]]
    used: dict[str, dict[str, float]]
    total: dict[str, float]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = field(default=(), repr=False)

    @property
    def n_cores(self) -> int:
        return len({c for cores in self.cores.values() for c in cores})

    def to_dict(self) -> dict[str, Any]:
        """JSON-able copy."""
        return {
            "chip": self.chip,
            "cores": {name: list(cores) for name, cores in self.cores.items()},
            "used": self.used,
            "total": self.total,
            "notes": list(self.notes),
        }

    def table(self) -> str:
        """Plain text, one line per layer."""
        lines = [
            f"{self.chip}: {self.n_cores} cores, " + ", ".join(f"{v:,.0f} {k}" for k, v in self.total.items())
        ]
        for name, cores in self.cores.items():
            span = str(cores[0]) if len(cores) == 1 else f"{cores[0]}-{cores[-1]}"
            used = ", ".join(f"{v:,.0f} {k}" for k, v in self.used[name].items())
            lines.append(f"  {name:<12} core {span if cores else '-':<8} {used}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


Rule = Callable[[list[Layer], Chip], Footprint]
RULES: dict[str, Rule] = {
    "loihi": loihi,
    "truenorth": fp.truenorth,
    "speck": fp.speck,
    "spinnaker": fp.spinnaker,
    "rram128": fp.rram,
    "xylo": fp.xylo,
    "odin": fp.odin,
    "loihi2": fp.loihi2,
}


def place(graph: Any, chip: str | Chip = "loihi", *, dt: float | None = None) -> Placement:
    """Cores of each layer and the resources used; delays are held against the longest that the chip has.

    Args:
        graph: a `nir.NIRGraph` or the path of a .nir file.
        chip: a name from `chips()`.
        dt: the chip's time step [s], in which delays count; by default that of the graph's metadata.

    Raises:
        DoesNotFit: naming every layer and every exhausted resource at once (`.problems` has them one by one).
        UnknownChip: with the nearest name.

    >>> place(graph, chip="speck").cores            # doctest: +SKIP
    {'0': (0,), '2': (3,)}
    """
    found = layout(graph, chip, dt=dt)
    if found.problems:
        raise DoesNotFit(
            f"the network does not fit {found.chip}: {'; '.join(found.problems)}", found.problems
        )
    return found


def layout(graph: Any, chip: str | Chip = "loihi", *, dt: float | None = None) -> Placement:
    """Like `place`, but lists what does not fit in `.problems` and uses as many cores as it takes."""
    known = find_chip(chip)
    if known.name not in RULES:
        raise UserError(
            f"there are no placement rules for {known.name}; there are for {', '.join(sorted(RULES))}"
        )
    parts = layers(graph)
    if not parts:
        raise UserError("the graph has no synaptic layer (Affine, Linear or Conv2d): nothing to place")
    found = RULES[known.name](parts, known)
    problems, notes = check_delays(parts, known, dt)
    return Placement(
        chip=known.name,
        cores=found.cores,
        used=found.used,
        total=found.total,
        notes=(*found.notes, *notes),
        problems=(*found.problems, *problems),
    )
