"""The footprint of each layer on each chip. One function per chip: layers in, cores and problems out.

Sources of the arithmetic: NengoLoihi 1.1.0 `block.py` (Loihi), sinabs 3.1.3 `dynapcnn_layer.py` (Speck),
Merolla et al. 2014 (TrueNorth), SpiNNMachine 7.4.1 (SpiNNaker), rockpool 3.1.0 (Xylo), the tile count of
ISAAC-type crossbars.
"""

from __future__ import annotations

from math import ceil, log2, prod

from snnkit.hardware.catalog import Chip
from snnkit.hardware.footprint import Footprint, too_much
from snnkit.hardware.layers import Layer


def truenorth(parts: list[Layer], chip: Chip) -> Footprint:
    """256 x 256 crossbars: fan-in is a wall; a neuron has one target, so spreading costs splitters."""
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
    """One layer per core; memory as sinabs counts it; cores found by bipartite matching."""
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
    """Kernel words c 2^(⌈log2 kx ky⌉ + ⌈log2 f⌉), neuron words f 2^(⌈log2 fy⌉ + ⌈log2 fx⌉)."""
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
    """Crossbars down and across: ⌈fan-in / rows⌉ and ⌈outputs x cells per weight / columns⌉."""
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
