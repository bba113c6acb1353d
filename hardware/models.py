"""From counts to joules: one function per kind of chip (`model` in the TOML file).

Each takes the nodes of the graph, the activity and the bill, pays for what happened, and returns what else it
knows: latency, number of chips, the equal ANN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Any

from snnkit.errors import UserError
from snnkit.hardware.bill import Bill
from snnkit.hardware.catalog import Chip, Figure
from snnkit.hardware.footprint_loihi import spread
from snnkit.hardware.footprints import arrays
from snnkit.hardware.graph import Node
from snnkit.hardware.layers import Layer, layers
from snnkit.hardware.placement import RULES, Placement, layout
from snnkit.hardware.report import Interval
from snnkit.hardware.timing import loihi_time

if TYPE_CHECKING:
    from snnkit.activity import Activity


def operations(nodes: list[Node], activity: Activity, bill: Bill) -> dict[str, Any]:
    """Digital logic: accumulates for spikes, multiply-accumulates for graded input, a few operations per
    neuron update.

    This is the estimate of most papers (4.6 pJ x MAC + 0.9 pJ x AC). Memory traffic is worked out beside it:
    every operation reads one weight, every update reads and writes one membrane potential per state variable,
    from SRAMs as large as the layer needs, the energy per access interpolated in capacity (Lemaire et al.
    2022).
    """
    energy, word = bill.chip.energy, bill.chip.at_most("word_bits")
    memory = ann_memory = ann = 0.0
    for node in nodes:
        if node.is_synapse:
            seen = activity.layers[node.name]
            bill.pay(node.name, "accumulates", seen.synops, energy["accumulate"])
            if seen.macs:
                bill.pay(
                    node.name,
                    "multiply-accumulates",
                    seen.macs,
                    _same(energy["mac"], "graded"),
                )
            ann += seen.dense_macs * energy["mac"].si
            access = _sram(bill.chip, node.nir.weight.size * word / 8) * word / 64
            memory += (seen.synops + seen.macs) * access
            ann_memory += seen.dense_macs * access
        elif node.is_neuron:
            seen, (adds, multiplies, states) = activity.layers[node.name], UPDATE[node.kind]
            if adds:
                bill.pay(node.name, "neuron adds", seen.updates * adds, energy["add"])
            if multiplies:
                figure = _same(energy["multiply"], "decay")
                bill.pay(node.name, "neuron multiplies", seen.updates * multiplies, figure)
            access = _sram(bill.chip, node.neurons * states * word / 8) * word / 64
            memory += 2 * states * seen.updates * access
    bill.assumptions.append(
        "a neuron update costs one multiply per decaying state and one add per comparison or filter"
    )
    bill.left_out.append(
        "memory traffic is stated beside the energy, not in it; clock, control, leakage and I/O are not"
    )
    return {
        "ann_energy_j": ann,
        "memory": Interval(memory, memory, memory),
        "ann_memory": Interval(ann_memory, ann_memory, ann_memory),
    }


# (adds, multiplies, state words) of one update besides the synaptic sum: threshold comparison as an add, each
# decay as a multiply, the filtered current joining the membrane as an add.
UPDATE = {"IF": (1, 0, 1), "LIF": (1, 1, 1), "CubaLIF": (2, 2, 2), "LI": (0, 1, 1), "CubaLI": (1, 2, 2)}


def _same(figure: Figure, part: str) -> Figure:
    """The figure, paying for another part of the same layer (multiplies beside adds)."""
    return replace(figure, covers=(part,))


def _sram(chip: Chip, size: float) -> float:
    """Joules of a 64-bit SRAM access: linear in size between 8 kB, 32 kB and 1 MB, then constant."""
    points = [(8e3, "sram_64b_8k"), (32e3, "sram_64b_32k"), (1e6, "sram_64b_1m")]
    x, y = [p[0] for p in points], [chip.energy[p[1]].si for p in points]
    for (x0, y0), (x1, y1) in zip(zip(x, y, strict=True), list(zip(x, y, strict=True))[1:], strict=False):
        if size <= x1:
            return y0 + (y1 - y0) * max(0.0, size - x0) / (x1 - x0)
    return y[-1]


def events(nodes: list[Node], activity: Activity, bill: Bill) -> dict[str, Any]:
    """Neuromorphic chips: synaptic events, neuron updates, spikes, messages between cores, each at its own
    figure.

    Whichever figures the chip has are paid; a figure that covers everything (TrueNorth, Speck, ODIN) stands
    alone.
    """
    energy, chip = bill.chip.energy, bill.chip
    parts, placed = {la.name: la for la in layers(nodes)}, _placed(nodes, bill)
    for node in nodes:
        seen = activity.layers.get(node.name)
        if node.is_synapse and seen is not None:
            figure = energy.get("synop_conv" if node.kind == "Conv2d" else "synop_dense") or energy.get(
                "synop"
            )
            if figure:
                bill.pay(node.name, "synaptic events", seen.synops + seen.macs, figure)
        elif node.is_neuron and seen is not None:
            if "neuron_update" in energy:
                bill.pay(node.name, "neuron updates", seen.updates, energy["neuron_update"])
            if "spike_out" in energy:
                bill.pay(node.name, "spikes", seen.spikes, energy["spike_out"])
            if "spike" in energy:
                driven = sum(_events(activity, la) for la in parts.values() if la.neuron == node.name)
                _pay_whole_spikes(bill, node.name, seen.spikes, driven)
    if any(activity.layers[name].macs for name in parts):
        bill.assumptions.append(
            "analog inputs count as one synaptic event per multiply-accumulate, zeros included"
        )
    if "message" in energy:
        _routing(list(parts.values()), activity, bill, placed)
    _say_what_is_missing(bill)
    found = _time(nodes, activity, bill, placed)
    if placed:
        found["chips"] = _chips(chip, placed)
    return found


def _events(activity: Activity, layer: Layer) -> float:
    return activity.layers[layer.name].synops + activity.layers[layer.name].macs


def _pay_whole_spikes(bill: Bill, layer: str, spikes: float, driven: float) -> None:
    """Spikes at whole-chip energy; the span also holds the same measurement per synaptic event."""
    per_spike, per_event = bill.chip.energy["spike"], bill.chip.energy["spike_per_synop"]
    low = min(spikes * per_spike.si_low, driven * per_event.si_low)
    high = max(spikes * per_spike.si_high, driven * per_event.si_high)
    bill.pay(layer, "spikes", spikes, per_spike, span=Interval(spikes * per_spike.si, low, high))


def _placed(nodes: list[Node], bill: Bill) -> Placement | None:
    if bill.chip.name not in RULES:
        return None
    try:
        placed = layout(nodes, bill.chip)
    except UserError as error:
        bill.left_out.append(f"placement: {error}")
        return None
    if placed.problems:
        bill.left_out.append(
            f"the network does not fit as it is, and the cost of splitting it: {placed.problems[0]}"
        )
    return placed


def _chips(chip: Chip, placed: Placement) -> float:
    if "chips" in placed.total:
        return placed.total["chips"]
    return max(1.0, float(ceil(placed.n_cores / chip.at_most("cores")))) if "cores" in chip.limit else 1.0


def _routing(parts: list[Layer], activity: Activity, bill: Bill, placed: Placement | None) -> None:
    """One message per spike and destination core, and hops over the mesh where a hop has a price."""
    energy, home = bill.chip.energy, {la.neuron: placed.cores[la.name] for la in parts} if placed else {}
    for la in parts:
        if placed and bill.chip.name == "loihi":
            copies = float(spread(la, len(placed.cores[la.name]), placed.used[la.name]))
        else:
            copies = 1.0
        for source in la.source:
            inner = source in activity.layers
            spikes = activity.layers[source].spikes if inner else activity.input_events
            bill.pay(la.name, "messages", spikes * copies, energy["message"])
            if placed and "hop_ew" in energy:
                east, north = _hops(bill.chip, home.get(source, (0,)), placed.cores[la.name])
                bill.pay(la.name, "hops", spikes * copies * east, energy["hop_ew"])
                bill.pay(
                    la.name,
                    "hops",
                    spikes * copies * north,
                    _same(energy["hop_ns"], "hop_ns"),
                )
    if "hop_ew" in energy:
        bill.assumptions.append(
            "layers lie on consecutive cores of the mesh; a spike pays each destination core apart"
        )
    else:
        bill.assumptions.append("every spike passes one router, whatever the distance")


def _hops(chip: Chip, here: tuple[int, ...], there: tuple[int, ...]) -> tuple[float, float]:
    """Mean distance in tiles, east-west and north-south, cores numbered row by row, four to a tile."""
    per_tile, width, tiles = (
        chip.at_most("cores_per_tile"),
        chip.at_most("mesh_width"),
        chip.at_most("cores") // 4,
    )
    spots = [
        [((c // per_tile) % tiles % width, (c // per_tile) % tiles // width) for c in cs]
        for cs in (here, there)
    ]
    pairs = [(abs(a[0] - b[0]), abs(a[1] - b[1])) for a in spots[0] for b in spots[1]] or [(0, 0)]
    return sum(p[0] for p in pairs) / len(pairs), sum(p[1] for p in pairs) / len(pairs)


def _say_what_is_missing(bill: Bill) -> None:
    covered = {c for t in bill.terms for c in t.figure.covers}
    for part, sentence in (
        ("neuron", "neuron updates: no figure published"),
        ("message", "routing of spikes between cores: no figure published"),
    ):
        if part not in covered:
            bill.left_out.append(sentence)
    if "system" not in covered and "system" not in bill.chip.power:
        bill.left_out.append("board, host and input/output power")
    elif "system" in bill.chip.power:
        bill.left_out.append(
            "time that the host spends on input and output; it can exceed the time on the chip manyfold"
        )


def _time(nodes: list[Node], activity: Activity, bill: Bill, placed: Placement | None) -> dict[str, Any]:
    times, steps = bill.chip.time, activity.steps
    if "tick" in times:
        bill.assumptions.append(
            "real time: one simulation step per tick of the chip, one tick more per layer in flight"
        )
        span = steps * times["tick"].si
        return {"latency": Interval(span, span, span)}
    if "event" in times:
        if not activity.dt:
            bill.left_out.append("latency: the activity does not say how long a step is (dt)")
            return {}
        depth = sum(1 for n in nodes if n.is_synapse)
        span = steps * activity.dt + times["event"].si * depth / 9
        bill.assumptions.append(
            "the chip follows its input in real time, so an inference lasts as long as the input"
        )
        return {"latency": Interval(span, span, span)}
    if "synop_dense" in times and placed:
        return {"latency": loihi_time(nodes, activity, bill.chip, placed)}
    bill.left_out.append("latency: no timing published")
    return {}


def crossbar(nodes: list[Node], activity: Activity, bill: Bill) -> dict[str, Any]:
    """In-memory computing: every output position of every step is one pass through all arrays of its layer.

    Upper end and value: all arrays convert in every pass. Lower end: a pass in which no input fired is
    skipped, with events spread as a Poisson process over the passes.
    """
    chip, energy = bill.chip, bill.chip.energy
    slowest, depth, used = 0.0, 0, 0
    for la in layers(nodes):
        down, across = arrays(la, chip)
        used, depth = used + down * across, depth + 1
        passes = activity.steps * la.positions
        seen = activity.layers[la.name]
        outputs = max(1, (la.out_shape[0] if la.is_conv else la.n_out) // la.groups)
        active_rows = (seen.synops + seen.macs) / outputs  # row activations, each drives `outputs` columns
        busy = 1.0 - math.exp(-active_rows / (passes * down)) if passes else 0.0
        mvms, columns = passes * down * across, chip.at_most("columns")
        for what, count, name in (
            ("array reads", mvms, "array"),
            ("analog-digital conversions", mvms * columns, "adc"),
            ("shift and add", mvms, "shift_add"),
        ):
            bill.pay(la.name, what, count, energy[name], low=busy)
        bill.pay(la.name, "row drivers", active_rows * across, energy["dac"])
        fetched = passes * down * chip.at_most("rows") / 256  # 1-bit inputs from the buffer
        bill.pay(la.name, "buffer reads", fetched, energy["edram"], low=busy)
        slowest = max(slowest, la.positions * chip.time["pass"].si)
    for node in nodes:
        if node.is_neuron:
            seen = activity.layers[node.name]
            access = _same(energy["edram"], "state")
            state = 2 * seen.updates * chip.at_most("state_bits") / 256
            bill.pay(node.name, "state reads and writes", state, access)
            bill.pay(node.name, "neuron updates", seen.updates, energy["add"])
    bill.assumptions += [
        "8-bit weights in four 2-bit cells with offset coding; one copy of each layer; one-bit row drivers",
        "layers work on successive steps at the same time (pipeline), so the slowest layer sets the pace",
        "ADC energy of one 8-bit converter; real converters span decades",
    ]
    if any(activity.layers[la.name].macs for la in layers(nodes)):
        bill.left_out.append("graded inputs need one pass per input bit; they are counted as one bit here")
    bill.left_out.append(
        "on-chip network, programming of the cells, device variation and the repair it needs"
    )
    span = (activity.steps + depth - 1 + 1) * slowest  # one more stage for the conversion
    tiles = max(1.0, float(ceil(used / chip.at_most("arrays_per_tile"))))
    return {"latency": Interval(span, span, span), "chips": tiles}


def power(nodes: list[Node], activity: Activity, bill: Bill) -> dict[str, Any]:
    """Chips of which one power was measured: power x duration of the input, shared by work."""
    figure = bill.chip.power["inference"]
    if not activity.dt:
        raise UserError(f"{bill.chip.name} works in real time: the activity must say how long a step is (dt)")
    span = activity.steps * activity.dt
    parts = [n.name for n in nodes if n.is_synapse]
    work = {name: activity.layers[name].synops + activity.layers[name].macs for name in parts}
    whole = sum(work.values())
    for name in parts:
        share = work[name] / whole if whole else 1 / len(parts)
        bill.pay(name, "share of chip power", span * share, figure)
    bill.assumptions.append("the split by layer follows synaptic events; the sum does not depend on them")
    bill.left_out.append("microphone front end and input/output power")
    return {"latency": Interval(span, span, span)}


Model = Callable[[list[Node], "Activity", Bill], dict[str, Any]]
MODELS: dict[str, Model] = {"operations": operations, "events": events, "crossbar": crossbar, "power": power}
