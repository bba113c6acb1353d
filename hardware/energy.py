"""Joules and seconds of one inference, from a NIR graph and what it did on real input.

The activity says how often each thing happened, the chip what each costs; the product is neural dynamic
energy. Standing power times time is static and system energy. Nothing is fitted to measured networks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from snnkit.errors import UserError
from snnkit.hardware.bill import Bill
from snnkit.hardware.catalog import Chip
from snnkit.hardware.catalog import chip as find_chip
from snnkit.hardware.graph import Node, read
from snnkit.hardware.models import MODELS
from snnkit.hardware.report import EnergyReport, Interval

if TYPE_CHECKING:
    from snnkit.activity import Activity


class NoEnergy(UserError):
    """No energy figures have been published for that chip."""


def estimate(
    graph: Any, activity: Activity, chip: str | Chip = "loihi", *, rate_hz: float | None = None
) -> EnergyReport:
    """Energy and latency of one inference on a chip.

        E = sum over layers of counts x energy per event  +  (static power + system power) x time

    Args:
        graph: a `nir.NIRGraph` or the path of a .nir file.
        activity: what the network did on real input, by `snnkit.trace`; its layer names are the node names.
        chip: a name from `chips()`.
        rate_hz: inferences per second of the application; standing power is then also charged for the whole
            period.

    Raises:
        UnknownChip, NoEnergy: the chip is not known, or nothing was published on its energy.
        UserError: activity and graph do not belong together; a rate that is not positive.

    >>> report = estimate(graph, activity, chip="loihi", rate_hz=10)     # doctest: +SKIP
    >>> report.energy_j, report.low_j, report.high_j, report.latency_s   # doctest: +SKIP
    """
    known = find_chip(chip)
    if known.model not in MODELS:
        raise NoEnergy(f"no energy per event has been published for {known.title}; {' '.join(known.notes)}")
    if rate_hz is not None and not (math.isfinite(rate_hz) and rate_hz > 0):
        raise UserError(f"rate_hz is inferences per second and must be positive, got {rate_hz!r}")
    nodes = read(graph)
    check(nodes, activity)
    bill = Bill(known)
    uncounted = getattr(activity, "uncounted", None)
    if uncounted:
        bill.left_out.append(f"work of {', '.join(uncounted)}: the trace does not count it")
    if any(n.delay is not None for n in nodes):
        bill.left_out.append("delays: what it costs to hold spikes that are under way")
    extra = MODELS[known.model](nodes, activity, bill)
    latency: Interval | None = extra.pop("latency", None)
    at_rate = _standing(bill, latency, rate_hz, extra.pop("chips", 1.0))
    return EnergyReport(
        chip=known.name,
        title=known.title,
        terms=tuple(bill.terms),
        latency=latency,
        steps=float(activity.steps),
        rate_hz=rate_hz,
        static_at_rate=at_rate.get("static"),
        system_at_rate=at_rate.get("system"),
        ann_energy_j=extra.get("ann_energy_j"),
        memory=extra.get("memory"),
        ann_memory=extra.get("ann_memory"),
        layers=tuple(n.name for n in nodes if n.is_synapse or n.is_neuron),
        assumptions=tuple(bill.assumptions),
        left_out=tuple(bill.left_out),
    )


def _standing(
    bill: Bill, latency: Interval | None, rate_hz: float | None, chips: float
) -> dict[str, Interval]:
    """Charge static and system power for the achieved time; return both over the application's period."""
    period = None if rate_hz is None else 1 / rate_hz
    if period and latency and latency.low > period:
        bill.left_out.append(
            f"energy at rate_hz={rate_hz:g}: an inference takes at least {latency.low:.3g} s, so at most "
            f"{1 / latency.low:.3g} per second can be reached"
        )
        period = None
    at_rate = {} if period is None else dict.fromkeys(("static", "system"), Interval(0.0, 0.0, 0.0))
    for name, part in (("static", "static"), ("tile", "static"), ("system", "system_dynamic")):
        figure = bill.chip.power.get(name)
        if figure is None:
            continue
        watts = Interval(figure.si, figure.si_low, figure.si_high).times(chips)
        key = "system" if part == "system_dynamic" else "static"
        if period is not None:
            at_rate[key] = at_rate[key].plus(watts.times(period))
        if latency is None:
            bill.left_out.append(f"{key} energy at the achieved time: the time is not known; give rate_hz")
            continue
        span = Interval(watts.value * latency.value, watts.low * latency.low, watts.high * latency.high)
        bill.pay("", f"{key} power", latency.value * chips, figure, part=part, span=span)
    if not {"static", "tile"} & bill.chip.power.keys() and not any(
        "static" in t.figure.covers for t in bill.terms
    ):
        bill.left_out.append("static power: not published for this model, so idle time costs nothing here")
    return at_rate


def check(nodes: list[Node], activity: Activity) -> None:
    """Graph and activity must speak of the same network: names, sizes, counts that can be counts."""
    if not hasattr(activity, "layers") or not hasattr(activity, "steps"):
        raise UserError(f"expected an Activity from snnkit.trace(net), got {type(activity).__name__}")
    if not activity.steps > 0:
        raise UserError(
            "the activity holds no time step: run the network inside `with snnkit.trace(net) as activity`"
        )
    wanted = [n for n in nodes if n.is_synapse or n.is_neuron]
    missing = [n.name for n in wanted if n.name not in activity.layers]
    if missing:
        raise UserError(
            f"the activity has no layer {', '.join(missing)} of the graph; it has "
            f"{', '.join(activity.layers)}. Trace the network that the graph was made from"
        )
    for node in wanted:
        seen = activity.layers[node.name]
        if node.is_neuron and int(seen.neurons) != node.neurons:
            raise UserError(
                f"layer {node.name} has {node.neurons} neurons in the graph and {seen.neurons} in the "
                "activity: they come from different networks"
            )
        for count in ("spikes", "synops", "macs", "updates", "dense_macs"):
            value = getattr(seen, count, 0) or 0
            if not (math.isfinite(value) and value >= 0):
                raise UserError(
                    f"the activity counts {count} = {value} in layer {node.name}; counts are 0 or more"
                )
