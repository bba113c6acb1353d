"""How long one inference takes on Loihi: the slowest core of a step, the barrier, times the steps.

T_step = max over cores(synaptic events · t_syn + neurons · t_update + spikes · t_spike
                        + messages · t_message) + barrier
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from snnkit.hardware.catalog import Chip, Figure
from snnkit.hardware.footprint_loihi import spread
from snnkit.hardware.graph import Node
from snnkit.hardware.layers import layers
from snnkit.hardware.report import Interval

if TYPE_CHECKING:
    from snnkit.activity import Activity
    from snnkit.hardware.placement import Placement


def loihi_time(nodes: list[Node], activity: Activity, chip: Chip, placed: Placement) -> Interval:
    """Seconds of one inference; the work of a layer is spread evenly over its cores and steps."""
    parts, times, steps = layers(nodes), chip.time, activity.steps
    fan: dict[str, int] = {}  # neuron node -> destination cores of its spikes
    for la in parts:
        for source in la.source:
            fan[source] = fan.get(source, 0) + spread(la, len(placed.cores[la.name]), placed.used[la.name])
    slowest = Interval(0.0, 0.0, 0.0)
    for la in parts:
        seen, cores = activity.layers[la.name], len(placed.cores[la.name])
        here = activity.layers.get(la.neuron or "")
        copies = spread(la, cores, placed.used[la.name])
        arriving = sum(
            activity.layers[s].spikes if s in activity.layers else activity.input_events for s in la.source
        )
        work: list[tuple[float, Figure]] = [
            ((seen.synops + seen.macs) / cores, times["synop_conv" if la.is_conv else "synop_dense"]),
            (arriving * copies / cores, times["message_in"]),
        ]
        if here:
            work += [
                (here.updates / cores, times["neuron_update"]),
                (here.spikes / cores, times["spike_out"]),
                (here.spikes * fan.get(la.neuron or "", 1) / cores, times["message_out"]),
            ]
        ends = [sum(n * getattr(f, end) for n, f in work) / steps for end in ("si", "si_low", "si_high")]
        slowest = Interval(*(max(a, b) for a, b in zip(slowest, ends, strict=True)))
    return slowest.plus(_barrier(chip, ceil(placed.n_cores / chip.at_most("cores_per_tile")))).times(
        float(steps)
    )


def _barrier(chip: Chip, tiles: int) -> Interval:
    """Published for 1, 2, 4 and 29 tiles; linear between, constant beyond."""
    known = sorted(
        (int(name.split("_")[1]), f) for name, f in chip.time.items() if name.startswith("barrier_")
    )
    lower = max(((n, f) for n, f in known if n <= max(tiles, 1)), key=lambda p: p[0])
    upper = min(((n, f) for n, f in known if n >= tiles), key=lambda p: p[0], default=lower)
    part = (tiles - lower[0]) / (upper[0] - lower[0]) if upper[0] > lower[0] else 0.0
    ends = [
        getattr(lower[1], e) + part * (getattr(upper[1], e) - getattr(lower[1], e))
        for e in ("si", "si_low", "si_high")
    ]
    return Interval(*ends)
