"""The footprint of each layer on each chip. One function per chip: layers in, cores and problems out.

Sources of the arithmetic: NengoLoihi 1.1.0 `block.py` (Loihi), sinabs 3.1.3 `dynapcnn_layer.py` (Speck), Merolla et al.
2014 (TrueNorth), SpiNNMachine 7.4.1 (SpiNNaker), rockpool 3.1.0 (Xylo), the tile count of ISAAC-type crossbars.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from itertools import count
from math import ceil, log2, prod

from snnkit.hardware.catalog import Chip
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
        """A problem when all layers together need more cores than there are; names the layers that overflow."""
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


# Loihi 1 --------------------------------------------------------------------------------------------------------------

BLOCK = 64  # synapses behind one header in the dense formats
INDEX_BITS = (0, 6, 7, 8, 9, 10, 11, 12)


def axon_bits(n: int, bits: int) -> int:
    """Memory of one axon with n synapses of `bits` each: blocks of 64, a 10-bit header each, rounded to 64-bit words."""
    full, rest = divmod(n, BLOCK)
    return full * _word(BLOCK * bits + 10) + (_word(rest * bits + 10) if rest else 0)


def _word(bits: int) -> int:
    return 64 * ceil(bits / 64)


def loihi(parts: list[Layer], chip: Chip) -> Footprint:
    """Compartments, synapse memory, input and output axons of every core (NengoLoihi `block.py`).

    A layer is cut into as few equal pieces as satisfy all four limits: neurons of a dense layer in slices, a convolution
    in slabs of rows and groups of channels. Layers are sized from the last to the first, as the number of destination
    cores sets how many output axons a neuron takes.
    """
    found, cuts = Footprint(), {}
    reach: dict[str, int] = {}  # neuron node -> destination cores of one of its spikes
    for layer in reversed(parts):
        cut = _cut_loihi(layer, chip, reach.get(layer.neuron or "", 0), found)
        cuts[layer.name] = cut
        for source in layer.source:
            reach[source] = reach.get(source, 0) + _destinations(layer, cut)
    for layer in parts:
        rows, channels = cuts[layer.name]
        use = _use_loihi(layer, chip, rows, channels, reach.get(layer.neuron or "", 0))
        found.take(layer, rows * channels, **use, row_slabs=rows)
    found.problems.reverse()
    found.check_cores(chip.at_most("cores"))
    return found


LOIHI_LIMITS = {
    "compartments": "neurons",
    "synapse_bits": "synapse_bits",
    "input_axons": "input_axons",
    "output_axons": "output_axons",
}


def _cut_loihi(layer: Layer, chip: Chip, destinations: int, found: Footprint) -> tuple[int, int]:
    """Fewest (row slabs, channel groups) that satisfy every limit; the finest cut and a problem if none does."""
    limits = {what: chip.at_most(name) for what, name in LOIHI_LIMITS.items()}
    most = (layer.out_shape[1], layer.out_shape[0]) if layer.is_conv else (1, layer.n_out)
    finest: dict[str, float] = {}
    for cores in count(1):
        for rows in range(1, min(cores, most[0]) + 1):
            if cores % rows or cores // rows > most[1]:
                continue
            use = _use_loihi(layer, chip, rows, cores // rows, destinations)
            if all(use[what] <= limit for what, limit in limits.items()):
                return rows, cores // rows
        if cores >= min(most[0] * most[1], 16 * chip.at_most("cores")):
            finest = _use_loihi(layer, chip, *most, destinations)
            break
    # A limit that even one neuron per core breaks is a wall; else the layer is merely larger than many chips.
    walls = [
        too_much(layer, f"{w} per core".replace("_", " "), finest[w], n)
        for w, n in limits.items()
        if finest[w] > n
    ]
    found.problems += walls or [f"layer {layer.name}: needs more than {cores} cores"]
    return (1, max(1, ceil(layer.n_out / limits["compartments"])))


def _use_loihi(layer: Layer, chip: Chip, rows: int, channels: int, destinations: int) -> dict[str, float]:
    """Resources of the fullest core when a layer is cut into rows x channels pieces."""
    bits = chip.at_most("weight_bits")
    if not layer.is_conv:
        neurons = ceil(layer.n_out / channels)
        memory, axons = layer.n_in * axon_bits(neurons, bits), layer.n_in
    else:
        c_out = ceil(layer.out_shape[0] / channels)
        height = ceil(layer.out_shape[1] / rows)
        neurons = c_out * height * layer.out_shape[2]
        seen = min(layer.in_shape[1], (height - 1) * layer.stride[0] + layer.kernel[0])
        c_in = ceil(layer.in_shape[0] / (layer.groups if channels >= layer.groups else 1))
        axons = c_in * seen * layer.in_shape[2]
        # Weights are shared between input pixels that see the same kernel rows and columns. The index reaches the
        # neurons of one axon relative to a base.
        span = c_out * layer.kernel[0] * layer.out_shape[2]
        index = next((b for b in INDEX_BITS if 2**b >= span), INDEX_BITS[-1])
        patterns = [_patterns(layer, axis) for axis in (0, 1)]
        memory = c_in * sum(axon_bits(c_out * y * x, bits + index) for y in patterns[0] for x in patterns[1])
    return {
        "compartments": neurons,
        "synapse_bits": memory,
        "input_axons": axons,
        "output_axons": neurons * destinations,
    }


@cache
def _patterns(layer: Layer, axis: int) -> list[int]:
    """Sizes of the distinct sets of kernel taps that pixels along one axis use."""
    size, out = layer.in_shape[1 + axis], layer.out_shape[1 + axis]
    kernel, stride, pad = layer.kernel[axis], layer.stride[axis], layer.pad[axis]
    taps = {
        tuple(k for k in range(kernel) if (i + pad - k) % stride == 0 and 0 <= (i + pad - k) // stride < out)
        for i in range(size)
    }
    return [len(t) for t in taps if t]


def _destinations(layer: Layer, cut: tuple[int, int]) -> int:
    """Cores that one spike of the source must reach."""
    rows, channels = cut
    if not layer.is_conv:
        return rows * channels
    height = ceil(layer.out_shape[1] / rows)
    hit = ceil(layer.kernel[0] / layer.stride[0])  # output rows that one input row touches
    return channels * min(rows, ceil((hit - 1) / height) + 1)


def spread(layer: Layer, cores: int, used: dict[str, float]) -> int:
    """Cores that one spike reaches in a layer placed on `cores`; `used` holds the cut as row slabs."""
    rows = int(used.get("row slabs", 1))
    return _destinations(layer, (rows, max(1, cores // rows)))


# Other chips ----------------------------------------------------------------------------------------------------------


def truenorth(parts: list[Layer], chip: Chip) -> Footprint:
    """256 x 256 crossbars: fan-in is a wall, and a neuron has one target, so spreading costs splitter cores."""
    found = Footprint()
    axons, neurons = chip.at_most("input_axons"), chip.at_most("neurons")
    for layer in parts:
        if layer.fan_in > axons:
            found.problems.append(too_much(layer, "fan-in per neuron", layer.fan_in, axons))
            found.take(layer, ceil(layer.fan_in / axons) * ceil(layer.n_out / neurons), fan_in=layer.fan_in)
            continue
        if layer.is_conv:
            patch = max(p for p in range(1, axons + 1) if p == 1 or _patch_inputs(layer, p) <= axons)
            places = prod(ceil(n / patch) for n in layer.out_shape[1:])
            cores = places * ceil(layer.out_shape[0] * patch * patch / neurons)
            copies = ceil(layer.out_shape[0] * patch * patch / neurons)
        else:
            cores = copies = ceil(layer.n_out / neurons)
        splitters = ceil(layer.n_in * copies / neurons) if copies > 1 else 0
        found.take(
            layer, cores + splitters, fan_in=layer.fan_in, neurons=layer.n_out, splitter_cores=splitters
        )
    found.notes.append(
        "synapses are one bit times one of four signed values per neuron: weights must be trained for it"
    )
    found.check_cores(chip.at_most("cores"))
    return found


def _patch_inputs(layer: Layer, patch: int) -> int:
    return layer.in_shape[0] * prod(
        (patch - 1) * s + k for s, k in zip(layer.stride, layer.kernel, strict=True)
    )


def speck(parts: list[Layer], chip: Chip) -> Footprint:
    """One layer per core; kernel, neuron and bias memory as sinabs counts them; cores found by bipartite matching."""
    found, wants = Footprint(), {}
    memory = {"kernel words": chip.lists["kernel_words"], "neuron words": chip.lists["neuron_words"]}
    for layer in parts:
        need = _speck_need(layer)
        wants[layer.name] = need
        found.used[layer.name] = {k: float(v) for k, v in need.items()}
        if layer.is_conv and layer.own_kernel[0] != layer.own_kernel[1]:
            found.problems.append(f"layer {layer.name}: kernel {layer.own_kernel} is not square")
        if need["biases"] > chip.at_most("bias_words"):
            found.problems.append(too_much(layer, "biases", need["biases"], chip.at_most("bias_words")))
        alone = [what for what, sizes in memory.items() if need[what] > max(sizes)]
        found.problems += [too_much(layer, what, need[what], max(memory[what])) for what in alone]
        fits_some = any(all(need[what] <= sizes[c] for what, sizes in memory.items()) for c in range(9))
        if not alone and not fits_some:
            found.problems.append(
                f"layer {layer.name}: no core has both {need['kernel words']:,} kernel and "
                f"{need['neuron words']:,} neuron words"
            )
    match = _match(
        {n: [c for c in range(9) if all(w[k] <= m[c] for k, m in memory.items())] for n, w in wants.items()}
    )
    if len(match) < len(parts) and not found.problems:
        left = [layer.name for layer in parts if layer.name not in match]
        found.problems.append(f"layers {', '.join(left)}: the cores large enough are taken by other layers")
    found.cores = {layer.name: (match[layer.name],) if layer.name in match else () for layer in parts}
    found.total = {"cores": float(len(parts)), "neurons": float(sum(layer.n_out for layer in parts))}
    if len(parts) > chip.at_most("cores"):
        found.problems.append(f"{len(parts)} layers, one core each, {chip.at_most('cores')} cores there")
    found.notes.append("neurons are integrate-and-fire without decay and reset by subtraction")
    return found


def _speck_need(layer: Layer) -> dict[str, int]:
    """c * 2^(ceil(log2 kx*ky) + ceil(log2 f)) kernel words and f * 2^(ceil(log2 fy) + ceil(log2 fx)) neuron words."""
    if layer.is_conv:
        channels, (ky, kx), (f, fy, fx) = layer.in_shape[0], layer.own_kernel, layer.out_shape
    else:  # a dense layer becomes a convolution with a kernel as large as its input
        shape = layer.in_shape if len(layer.in_shape) == 3 else (prod(layer.in_shape), 1, 1)
        f, fy, fx = layer.n_out, 1, 1
        inputs = layer.weights // f  # after pooling
        channels = shape[0] if inputs % shape[0] == 0 else inputs
        ky, kx = inputs // channels, 1
    up = [ceil(log2(n)) for n in (kx * ky, f, fy, fx)]
    return {
        "kernel words": channels * 2 ** (up[0] + up[1]),
        "neuron words": f * 2 ** (up[2] + up[3]),
        "biases": f if layer.has_bias else 0,
    }


def _match(allowed: dict[str, list[int]]) -> dict[str, int]:
    """Maximum bipartite matching by augmenting paths: layer -> core."""
    holder: dict[int, str] = {}

    def seat(name: str, seen: set[int]) -> bool:
        for core in allowed[name]:
            if core in seen:
                continue
            seen.add(core)
            if core not in holder or seat(holder[core], seen):
                holder[core] = name
                return True
        return False

    for name in allowed:
        seat(name, set())
    return {name: core for core, name in holder.items()}


def spinnaker(parts: list[Layer], chip: Chip) -> Footprint:
    """Cores by neurons per core, chips by cores and by synaptic rows in SDRAM (every connection stored)."""
    found, chips_needed = Footprint(), 0
    per_core, per_chip = chip.at_most("neurons"), chip.at_most("cores")
    for layer in parts:
        cores = ceil(layer.n_out / per_core)
        memory = layer.synapses * chip.at_most("synapse_bytes")
        found.take(layer, cores, neurons=layer.n_out, sdram_bytes=memory)
        room = ceil(cores / per_chip) * chip.at_most("sdram_bytes")
        chips_needed += max(0, ceil(memory / chip.at_most("sdram_bytes")) - ceil(cores / per_chip))
        if memory > room * chip.at_most("chips"):
            found.problems.append(too_much(layer, "SDRAM bytes", memory, room * chip.at_most("chips")))
    cores = sum(len(c) for c in found.cores.values())
    chips_needed += ceil(cores / per_chip)
    found.check_cores(per_chip * chip.at_most("chips"))
    found.total["chips"] = float(chips_needed)
    if chips_needed > chip.at_most("chips"):
        found.problems.append(
            f"{chips_needed} chips needed for synapses and neurons, {chip.at_most('chips')} on a board"
        )
    found.notes.append("neurons per core is a software setting; a core that misses its time step needs fewer")
    return found


def arrays(layer: Layer, chip: Chip) -> tuple[int, int]:
    """Crossbars of a layer, down and across: ceil(fan-in / rows) and ceil(outputs x cells per weight / columns)."""
    cells = ceil(chip.at_most("weight_bits") / chip.at_most("cell_bits"))
    fan_in = layer.weights // (layer.out_shape[0] if layer.is_conv else layer.n_out)
    outputs = (layer.out_shape[0] if layer.is_conv else layer.n_out) // layer.groups
    down = ceil(fan_in / chip.at_most("rows"))
    return down, ceil(outputs * cells / chip.at_most("columns")) * layer.groups


def rram(parts: list[Layer], chip: Chip) -> Footprint:
    """Crossbars from shapes; 128 arrays make a tile. "Cores" here are crossbars."""
    found = Footprint()
    for layer in parts:
        down, across = arrays(layer, chip)
        found.take(
            layer, down * across, arrays_down=down, arrays_across=across, passes_per_step=layer.positions
        )
    total = sum(len(c) for c in found.cores.values())
    tiles = ceil(total / chip.at_most("arrays_per_tile"))
    found.total = {"crossbars": float(total), "tiles": float(tiles)}
    if tiles > chip.at_most("tiles"):
        worst = max(parts, key=lambda layer: len(found.cores[layer.name]))
        most = len(found.cores[worst.name])
        found.problems.append(
            f"{tiles} tiles needed, {chip.at_most('tiles')} there (layer {worst.name}: {most} arrays)"
        )
    return found


def xylo(parts: list[Layer], chip: Chip) -> Footprint:
    """One core: at least two dense layers, 16 inputs, 1000 hidden and 8 output neurons."""
    found = Footprint()
    for layer in parts:
        found.cores[layer.name] = (0,)
        found.used[layer.name] = {"neurons": float(layer.n_out), "synapses": float(layer.synapses)}
        if layer.is_conv:
            found.problems.append(f"layer {layer.name}: a convolution, Xylo has dense layers only")
    first, last, hidden = parts[0], parts[-1], sum(layer.n_out for layer in parts[:-1])
    if len(parts) < 2:
        found.problems.append("one layer only, Xylo needs a hidden and an output layer")
    checks = [
        (first, "input channels", first.n_in, "inputs"),
        (parts[-2] if len(parts) > 1 else first, "hidden neurons", hidden, "hidden"),
        (last, "output neurons", last.n_out, "outputs"),
        (max(parts, key=lambda p: p.synapses), "synapses", sum(p.synapses for p in parts), "synapses"),
    ]
    found.problems += [
        too_much(la, what, n, chip.at_most(key)) for la, what, n, key in checks if n > chip.at_most(key)
    ]
    found.total = {"hidden neurons": float(hidden), "synapses": float(sum(p.synapses for p in parts))}
    return found


def odin(parts: list[Layer], chip: Chip) -> Footprint:
    """One crossbar of 256 neurons that all layers and the inputs share."""
    found = Footprint()
    for layer in parts:
        found.cores[layer.name] = (0,)
        found.used[layer.name] = {"neurons": float(layer.n_out), "fan in": float(layer.fan_in)}
        if layer.fan_in > chip.at_most("input_axons"):
            found.problems.append(
                too_much(layer, "fan-in per neuron", layer.fan_in, chip.at_most("input_axons"))
            )
    total = sum(layer.n_out for layer in parts)
    found.total = {"neurons": float(total)}
    if total > chip.at_most("neurons"):
        worst = max(parts, key=lambda p: p.n_out)
        found.problems.append(too_much(worst, "neurons of all layers", total, chip.at_most("neurons")))
    return found


def loihi2(parts: list[Layer], chip: Chip) -> Footprint:
    """Neurons per core and synapses per chip; finer limits are not published."""
    found = Footprint()
    for layer in parts:
        found.take(
            layer, ceil(layer.n_out / chip.at_most("neurons")), neurons=layer.n_out, synapses=layer.synapses
        )
    found.check_cores(chip.at_most("cores"))
    total = sum(layer.weights for layer in parts)
    if total > chip.at_most("synapses"):
        worst = max(parts, key=lambda p: p.weights)
        found.problems.append(too_much(worst, "weights of all layers", total, chip.at_most("synapses")))
    found.notes.append(
        "only neuron and synapse totals are checked: finer limits of Loihi 2 are not published"
    )
    return found
