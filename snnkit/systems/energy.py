"""Energy per inference of a trained network on three chips: what a system reports beside its accuracy.

The figures are dynamic: synapses, neurons, spikes and messages, without standing power. Where a chip or NIR cannot hold the network
(a loop, delays per synapse, a memory cell), its published cost per operation is multiplied with what the trace counted, without
placement and routing, and the row says so and why; a chip without such figures gets a row without a value.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from textwrap import shorten
from typing import Any

import torch
from torch import nn

from snnkit.activity import Activity, trace
from snnkit.errors import UserError
from snnkit.hardware import Chip, Figure, chip, estimate
from snnkit.hardware.report import Interval, total
from snnkit.interop import to_nir
from snnkit.systems.reproduction import Measured

CHIPS = ("loihi", "spinnaker2", "cmos45")


def energy_per_inference(
    net: nn.Module, x: Any, *, classes: int, chips: Sequence[str] = CHIPS
) -> dict[str, Any]:
    """What one inference costs on each chip, as plain numbers for `Setting.once` and `details`; rows by `energy_rows`.

    Args:
        net: called as `net(x)`, with an output `T B M`; a copy in evaluation mode runs.
        x: samples `T B *N` or an `EventTensor`; the counts are means over them.
        classes: that the network tells apart; M is a multiple of it.
        chips: names from `snnkit.hardware.chips()`.

    Returns:
        {"classes", "activity": totals, "chips": {name: {"energy_j", "low_j", "high_j", "latency_s", "refused", "left_out"}}}, where
        `refused` is why there is no full estimate ("" if there is one); energies are None where nothing could be said.

    Raises:
        UserError: the output does not fit the classes; a chip is not known.
    """
    known = [chip(name) for name in chips]
    runs = copy.deepcopy(net).eval()
    with torch.no_grad(), trace(runs) as activity:
        y = runs(x)
    if not 0 < classes <= math.prod(y.shape[2:]) or math.prod(y.shape[2:]) % classes:
        raise UserError(
            f"the network has outputs {tuple(y.shape[2:])}, which do not stand for {classes} classes"
        )
    graph, refused = None, ""
    try:
        graph = to_nir(runs, input_shape=tuple(x.shape[2:]))
    except (UserError, TypeError) as error:
        refused = f"no NIR graph: {error}"
    totals = {k: activity.total(k) for k in ("neurons", "spikes", "synops", "macs", "updates")}
    about = {
        "samples": activity.samples,
        "steps": activity.steps,
        "dt": activity.dt,
        "input_events": activity.input_events,
        "uncounted": activity.uncounted,
        "spikes_by_layer": {name: layer.spikes for name, layer in activity.layers.items() if layer.neurons},
    }
    return {
        "classes": classes,
        "activity": {**about, **totals},
        "chips": {one.name: _on(one, graph, activity, refused) for one in known},
    }


def _on(one: Chip, graph: Any, activity: Activity, refused: str) -> dict[str, Any]:
    """The dynamic energy on one chip: the estimate of its model, or failing that from counts."""
    if graph is not None:
        try:
            report = estimate(graph, activity, one)
        except UserError as error:
            refused = str(error)
        else:
            left_out = [*report.assumptions, *report.left_out]
            return _said(one, report.neural_dynamic, report.latency_s, "", left_out)
    found = from_counts(one, activity)
    left_out = ["placement, routing between cores and standing power; every spike is one message"]
    left_out += [f"work of {name}: the trace does not count it" for name in activity.uncounted]
    return _said(one, found, None, refused, left_out)


def _said(
    one: Chip, energy: Interval | None, latency: float | None, refused: str, left_out: list[str]
) -> dict[str, Any]:
    joules = (None, None, None) if energy is None else energy
    keys = zip(("energy_j", "low_j", "high_j"), joules, strict=True)
    return {
        "title": one.title,
        **dict(keys),
        "latency_s": latency,
        "refused": refused,
        "left_out": left_out,
    }


def from_counts(one: Chip, activity: Activity) -> Interval | None:
    """Counts times the chip's energy per operation; None where its figures are not per operation.

    A multiply-accumulate on a chip of events is one synaptic event; a neuron update in plain logic is a multiply and an add.
    """
    energy, spans = one.energy, []
    for layer in activity.layers.values():
        synapse = energy.get("synop_conv" if layer.kind == "Conv2d" else "synop_dense") or energy.get("synop")
        if one.model == "operations":
            paid = [(layer.synops, "accumulate"), (layer.macs, "mac")]
            paid += [(layer.updates, "add"), (layer.updates, "multiply")]
        elif one.model == "events" and synapse is not None:
            paid = [(layer.synops + layer.macs, synapse.name), (layer.updates, "neuron_update")]
            paid += [(layer.spikes, "spike_out"), (layer.spikes, "message")]
        else:
            return None
        spans += [_times(count, energy[name]) for count, name in paid if name in energy]
    return total(spans)


def _times(count: float, figure: Figure) -> Interval:
    return Interval(count * figure.si, count * figure.si_low, count * figure.si_high)


def energy_rows(found: Sequence[dict[str, Any]], label: str = "") -> list[Measured]:
    """One row per chip over the seeds, in microjoules, with a `label` in front; what was refused is in the note."""
    rows = []
    for name in found[0]["chips"] if found else ():
        each = [one["chips"][name] for one in found]
        values = tuple(1e6 * e["energy_j"] for e in each if e["energy_j"] is not None)
        ranges = [e for e in each if e["low_j"] is not None and e["low_j"] < e["high_j"]]
        note = ""
        if ranges:
            low, high = min(e["low_j"] for e in ranges), max(e["high_j"] for e in ranges)
            note = f"{1e6 * low:.3g} to {1e6 * high:.3g} uJ by the range of the published constants"
        reason = next((e["refused"] for e in each if e["refused"]), "")
        if reason:
            way = "from counts times energy per operation alone" if values else "no figure"
            note = "; ".join(filter(None, [note, f"{way}: {shorten(reason, 100, placeholder=' ...')}"]))
        head = f"{label}: " if label else ""
        rows.append(
            Measured(f"{head}dynamic energy per inference on {each[0]['title']}, uJ", values, note=note)
        )
    return rows
