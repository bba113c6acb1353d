"""Footprint on Loihi 1: compartments, synapse memory, input and output axons (NengoLoihi 1.1.0 `block.py`)."""

from __future__ import annotations

from functools import cache
from math import ceil

from snnkit.hardware.catalog import Chip
from snnkit.hardware.footprint import Footprint, too_much
from snnkit.hardware.layers import Layer

BLOCK = 64  # synapses behind one header in the dense formats
INDEX_BITS = (0, 6, 7, 8, 9, 10, 11, 12)


def axon_bits(n: int, bits: int) -> int:
    """Bits of one axon with n synapses: blocks of 64 with a 10-bit header, in whole 64-bit words."""
    full, rest = divmod(n, BLOCK)
    return full * _word(BLOCK * bits + 10) + (_word(rest * bits + 10) if rest else 0)


def _word(bits: int) -> int:
    return 64 * ceil(bits / 64)


def loihi(parts: list[Layer], chip: Chip) -> Footprint:
    """Compartments, synapse memory, input and output axons of every core (NengoLoihi `block.py`).

    A layer is cut into as few equal pieces as satisfy all four limits: neurons of a dense layer in slices, a
    convolution in slabs of rows and groups of channels. Layers are sized from the last to the first, as the
    number of destination cores sets how many output axons a neuron takes.
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
    """Fewest (row slabs, channel groups) that satisfy every limit; a problem if none does."""
    limits = {what: chip.at_most(name) for what, name in LOIHI_LIMITS.items()}
    most = (layer.out_shape[1], layer.out_shape[0]) if layer.is_conv else (1, layer.n_out)
    finest = _use_loihi(layer, chip, *most, destinations)  # the least that any cut takes of each resource
    walls = [
        too_much(layer, f"{w} per core".replace("_", " "), finest[w], n)
        for w, n in limits.items()
        if finest[w] > n
    ]
    if not walls:
        largest = min(most[0] * most[1], 16 * chip.at_most("cores"))
        for cores in range(1, largest + 1):
            for rows in range(1, min(cores, most[0]) + 1):
                if cores % rows or cores // rows > most[1]:
                    continue
                use = _use_loihi(layer, chip, rows, cores // rows, destinations)
                if all(use[what] <= limit for what, limit in limits.items()):
                    return rows, cores // rows
        walls = [f"layer {layer.name}: needs more than {largest} cores"]
    found.problems += walls
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
        # Weights are shared between input pixels that see the same kernel rows and columns. The index reaches
        # the neurons of one axon relative to a base.
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
