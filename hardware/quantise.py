"""From a float network to Loihi's integers: weights and threshold of a layer scaled together.

The scale S of a layer is the threshold in weight units: the largest whole number for which every weight fits
into 8 bits, every bias into 13 and the threshold into 17. Weights become even integers (with mixed signs the
chip drops the lowest bit).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnkit.hardware.cells import Cell, cell
from snnkit.hardware.fixed_point import BIAS_MAX, LIMIT, SHIFT, VTH_MAX, WEIGHT_MAX, LoihiLayer
from snnkit.hardware.graph import UnsupportedGraph
from snnkit.hardware.segments import Stage, Synapse, stages

MEMBRANE_ROOM = 64_000  # weight units that a read-out membrane may reach, of 131 071

OUTPUT = ""  # name of the network's output among the peaks


def loihi_layers(
    graph: Any, peaks: dict[str, float], dt: float | None = None
) -> tuple[list[LoihiLayer], list[str]]:
    """Integer layers of a float NIR graph, and what the chip will do differently, in sentences.

    Args:
        graph: a NIR graph whose layers lie in one line.
        peaks: largest |membrane| of every layer that is read out without spiking, from a float run; under
            `OUTPUT` that of the network's output.
        dt: step [s] if the metadata does not hold it.

    Raises:
        UnsupportedGraph: several decays in one layer, weights beyond what 8 bits can follow, an all-zero
            layer.
    """
    found: list[LoihiLayer] = []
    notes: list[str] = []
    for stage in stages(graph, "deployment to Loihi", delays=True, dt=dt):
        own = (
            cell(stage.neuron, dt)
            if stage.neuron
            else Cell(name=stage.name, decay=0.0, gain=1.0, reset="none")
        )
        found.append(_layer(stage, own, len(found), peaks, notes))
    return found, notes


def _layer(stage: Stage, own: Cell, depth: int, peaks: dict[str, float], notes: list[str]) -> LoihiLayer:
    name = stage.name
    a, b = one(own.decay, name, "membrane decay"), None
    if own.decay_syn is not None:
        b = one(own.decay_syn, name, "synaptic decay")
    for value, what in ((own.leak, "leak"), (own.v_reset, "v_reset")):
        if np.any(np.asarray(value) != 0):
            raise UnsupportedGraph(f"layer {name}: {what} must be 0 on Loihi")
    weight, bias, theta = in_thresholds(stage.synapse, own)
    if not weight.any():
        raise UnsupportedGraph(f"layer {name}: all weights are zero, the loader of lava-dl cannot scale them")
    if b is not None and bias.any():
        bias = bias / (1 - b)  # what the filter would let through in the long run
        notes.append(
            f"layer {name}: the chip adds the bias to the membrane at once, the synapse would filter it in"
        )
    scale = _scale(weight, bias, own, peaks.get(name, peaks.get(OUTPUT, 1.0)), notes, name)
    whole = (2 * (scale * weight / 2).round()).clamp(-WEIGHT_MAX - 2, WEIGHT_MAX)
    add = (scale * bias).round().clamp(-BIAS_MAX, BIAS_MAX).long()
    s = stage.synapse
    integer = Synapse(
        s.name, whole, torch.zeros_like(bias), s.in_shape, s.out_shape, s.stride, s.padding, s.groups, s.delay
    )
    dv = round(4096 * (1 - a))
    vth = VTH_MAX if not own.spiking else int(scale)
    if own.spiking and not own.strict and dv == 0:
        vth -= 1  # all terms are whole weight units, so v >= S is v > S - 1
    if own.spiking and own.reset != "zero":
        notes.append(
            f"layer {name}: the network resets by {own.reset!r}, the chip to zero; "
            "what a spike leaves over is lost, so rates fall"
        )
    v0 = _start(own, integer, add, scale, dv, depth, vth)
    per_volt = float(scale / np.mean(theta))
    return LoihiLayer(name, integer, add, _du(b), dv, vth, v0, per_volt, reads_membrane=not own.spiking)


def in_thresholds(synapse: Synapse, own: Cell) -> tuple[Tensor, Tensor, np.ndarray]:
    """Weights and biases in units of the threshold of each neuron, input gains folded in; and the thresholds.

    A threshold or gain that differs from place to place inside a channel cannot be folded into shared
    weights.
    """
    factor = np.asarray(own.gain, dtype=np.float64) * np.asarray(own.gain_syn, dtype=np.float64)
    theta = np.asarray(1.0 if own.threshold is None else own.threshold, dtype=np.float64)
    each = np.broadcast_to(factor / theta, synapse.out_shape)
    per_output = each.reshape(len(synapse.weight), -1) if synapse.is_conv else each.reshape(-1, 1)
    if not np.allclose(per_output, per_output[:, :1], rtol=1e-6):
        raise UnsupportedGraph(
            f"layer {own.name}: thresholds differ inside a channel, the shared kernel cannot hold that"
        )
    gain = torch.as_tensor(per_output[:, 0].copy())
    weight = synapse.weight * gain.reshape(-1, *(1,) * (synapse.weight.dim() - 1))
    return weight, synapse.bias * gain, theta


def one(values: Any, name: str, what: str) -> float:
    """The single value of an array; Loihi's compartments of a layer share their decays."""
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    if np.ptp(flat) > 1 / 8192:
        raise UnsupportedGraph(
            f"layer {name}: {what} runs from {flat.min():.4f} to {flat.max():.4f}; on Loihi a layer has one, "
            "so train with a common time constant"
        )
    return float(flat.mean())


def _scale(weight: Tensor, bias: Tensor, own: Cell, peak: float, notes: list[str], name: str) -> int | float:
    largest, most = float(weight.abs().max()), float(bias.abs().max())
    limits = {"weights": WEIGHT_MAX / largest}
    if most:
        limits["biases"] = BIAS_MAX / most
    if not own.spiking:
        limits["the membrane that is read out"] = MEMBRANE_ROOM / max(peak, 1e-9)
        return min(limits.values())
    limits["the threshold"] = float(VTH_MAX)
    binding = min(limits, key=limits.__getitem__)
    scale = int(limits[binding])
    if scale < 2:
        raise UnsupportedGraph(
            f"layer {name}: its largest weight is {largest:.3g} thresholds, "
            "so 8 bits cannot hold weights and threshold"
        )
    if binding != "weights":
        notes.append(
            f"layer {name}: {binding} set the scale; weights use {largest * scale / 2.54:.0f} % of 8 bits"
        )
    if scale < 20:
        notes.append(
            f"layer {name}: the threshold is only {scale} weight units, so small weights round to nothing"
        )
    return scale


def _du(decay_syn: float | None) -> int:
    return 4095 if decay_syn is None else round(4096 * (1 - decay_syn)) - 1


def _start(own: Cell, synapse: Synapse, bias: Tensor, scale: float, dv: int, depth: int, vth: int) -> Tensor:
    """Membrane before the first step: the initial one, less what the bias adds while the first spikes are
    under way.

    Spikes take depth + 1 steps to reach this layer, in which the bias would already be at work. A negative
    bias can ask for a start above threshold; it is kept just below, and the rest of the correction is lost.
    """
    theta = 1.0 if own.threshold is None else own.threshold
    first = torch.as_tensor(np.asarray(own.initial_v, dtype=np.float64) / theta) * scale
    unit, keep = 1 << SHIFT, 1 - dv / 4096
    start = (first.round() if dv == 0 else first) * unit
    if keep > 1 / 64:  # a membrane that forgets within a step needs no correction
        added = synapse.per_channel(bias).double() * unit
        for _ in range(depth + 1):
            start = (start - added) / keep
        if own.spiking:
            start = torch.minimum(start, (vth * unit - added) / keep)
    return start.round().clamp(-LIMIT + 1, LIMIT - 1).long()
