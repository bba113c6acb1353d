"""Integer model of SynSense Xylo (Audio 2, SYNS61201), bit-exact with XyloSim, and its quantisation.

    for every spike that arrives:  I = sat(I + (w << shift))     at most 15 per input and step, 31 per neuron
    I = I - d(I, dash_syn)
    v = sat(v + sat(I + bias - d(v, dash_mem)))
    while v >= threshold and n < 31 (hidden) or 1 (output):  n = n + 1,  v = v - threshold

sat clips to 16 bits; d(x, k) = x >> k, but the sign of x where that is 0. Input reaches the first layer in
its own step, hidden spikes the next layer one step later. Hidden layers are blocks of the chip's one
recurrent population.
Source: rockpool 3.1 `devices/xylo` and XyloSim 0.1.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnkit.errors import UserError
from snnkit.hardware.cells import cell
from snnkit.hardware.graph import UnsupportedGraph
from snnkit.hardware.placement import place
from snnkit.hardware.quantise import in_thresholds, one
from snnkit.hardware.segments import Stage, stages

SAT = (1 << 15) - 1
THRESHOLD_ROOM = (
    4096  # thresholds stay below, so that currents and membranes have eight times that to move in
)
MOST_IN, MOST_HIDDEN, MOST_OUT = 15, 31, 1


@dataclass(frozen=True)
class XyloLayer:
    """One population: `weight` (n_in, n_out) int8 values, thresholds and biases per neuron, all int64."""

    name: str
    weight: Tensor
    shift: int
    bias: Tensor
    threshold: Tensor
    dash_syn: int
    dash_mem: int
    most: int  # spikes per step


def run_xylo(layers: list[XyloLayer], x: Tensor) -> tuple[list[Tensor], int]:
    """Spike counts of every layer `[T + L - 1, B, N]` for input counts `[T, B, N]`, and how often 16 bits
    were left.

    Layer l (from 0) answers the input of step t in step t + l at the earliest.
    """
    if x.is_floating_point() and not bool((x == x.round()).all()):
        raise UserError("the chip takes whole events: encode analog input into spikes first")
    if (x < 0).any():
        raise UserError(
            "the chip takes events, which cannot be negative; use two channels for two polarities"
        )
    extra = len(layers) - 1
    spikes = torch.cat([x.long().clamp(max=MOST_IN), x.new_zeros(extra, *x.shape[1:]).long()])
    found, clipped = [], 0
    for depth, layer in enumerate(layers):
        if depth:
            spikes = torch.cat([torch.zeros_like(spikes[:1]), spikes[:-1]])
        spikes, times = _run(layer, spikes)
        found.append(spikes)
        clipped += times
    return found, clipped


def _run(layer: XyloLayer, spikes: Tensor) -> tuple[Tensor, int]:
    weight = layer.weight << layer.shift
    exact, room = weight.double(), weight.abs().double()
    current = spikes.new_zeros(spikes.shape[1], weight.shape[1])
    v, out, clipped = current.clone(), spikes.new_zeros(*spikes.shape[:2], weight.shape[1]), 0
    for t, row in enumerate(spikes):
        if bool((current.abs() + row.double() @ room > SAT).any()):
            current, times = _one_by_one(current, weight, row)
            clipped += times
        else:
            current = current + (row.double() @ exact).round().long()
        current = current - leak(current, layer.dash_syn)
        change = (current + layer.bias - leak(v, layer.dash_mem)).clamp(-SAT - 1, SAT)
        clipped += int(((v + change).abs() > SAT).sum())
        v = (v + change).clamp(-SAT - 1, SAT)
        n = torch.div(v, layer.threshold, rounding_mode="floor").clamp(0, layer.most)
        v, out[t] = v - n * layer.threshold, n
    return out, clipped


def _one_by_one(current: Tensor, weight: Tensor, row: Tensor) -> tuple[Tensor, int]:
    """Every spike adds and clips apart, in the order of the inputs, as the chip does."""
    times = 0
    for source in row.any(0).nonzero().flatten().tolist():
        for spike in range(int(row[:, source].max())):
            added = current + weight[source] * (row[:, source, None] > spike)
            times += int((added.abs() > SAT).sum())
            current = added.clamp(-SAT - 1, SAT)
    return current, times


def leak(x: Tensor, by: int) -> Tensor:
    """d(x, k) = x >> k, but at least one step towards zero."""
    shifted = x >> by
    return torch.where(shifted == 0, x.sign(), shifted)


def xylo_layers(graph: Any, dt: float | None = None) -> tuple[list[XyloLayer], list[str], float]:
    """Integer layers of a float network of CubaLIF populations; notes on what differs; and the time step [s].

    Weights are scaled neuron by neuron so that the largest uses 8 bits, the threshold by the same factor.

    Raises:
        DoesNotFit: more inputs, neurons or synapses than the chip has, convolutions.
        UnsupportedGraph: neurons other than CubaLIF (Xylo's have a synaptic filter), several decays in a
            layer.
    """
    place(graph, "xylo")
    found, notes = stages(graph, "deployment to Xylo"), list[str]()
    wrong = [f"{s.name} is {s.neuron.kind if s.neuron else 'no neuron'}" for s in found if not _has_filter(s)]
    if wrong:
        raise UnsupportedGraph(
            f"Xylo's neurons have a synaptic filter and spike, like CubaLIF; {'; '.join(wrong)}. "
            "Train with CubaLIF"
        )
    depth = len(found) - 1
    layers = _blocks(
        [_layer(s, dt, MOST_OUT if i == depth else MOST_HIDDEN, notes) for i, s in enumerate(found)]
    )
    steps = [float(s.neuron.meta["dt"]) for s in found if s.neuron and "dt" in s.neuron.meta]
    return layers, notes, steps[0] if steps else float(dt or 1e-3)


def _has_filter(stage: Stage) -> bool:
    return stage.neuron is not None and stage.neuron.kind == "CubaLIF"


def _layer(stage: Stage, dt: float | None, most: int, notes: list[str]) -> XyloLayer:
    assert stage.neuron is not None
    own, name = cell(stage.neuron, dt), stage.name
    dash_syn = dash(one(own.decay_syn, name, "synaptic decay"), f"layer {name}: synaptic decay", notes)
    dash_mem = dash(one(own.decay, name, "membrane decay"), f"layer {name}: membrane decay", notes)
    weight, bias, _ = in_thresholds(stage.synapse, own)
    weight = weight / (1 - 2.0**-dash_syn)  # the chip lets the current decay in the step in which it arrives
    scale = 127 / weight.abs().amax(1).clamp(min=127 / THRESHOLD_ROOM)
    if own.reset != "subtract":
        notes.append(
            f"layer {name}: the network resets by {own.reset!r}, the chip by subtraction, so rates rise"
        )
    if np.any(np.asarray(own.initial_v) != 0):
        notes.append(f"layer {name}: membranes start at 0 on the chip")
    if bias.any():
        syn = one(own.decay_syn, name, "synaptic decay")
        bias = bias / (1 - syn)  # what the filter would let through in the long run
        notes.append(
            f"layer {name}: the chip adds the bias to the membrane at once, the synapse would filter it in"
        )
    return XyloLayer(
        name=name,
        weight=(weight * scale[:, None]).round().long().T.contiguous(),
        shift=0,
        bias=(bias * scale).round().long(),
        threshold=scale.round().long(),
        dash_syn=dash_syn,
        dash_mem=dash_mem,
        most=most,
    )


def _blocks(layers: list[XyloLayer]) -> list[XyloLayer]:
    """Shift input, recurrent and output weights left, so that decays have digits to work on."""
    groups = [layers[:1], layers[1:-1], layers[-1:]]
    shifts = []
    for group in groups:
        most = max((int(la.threshold.max()) for la in group), default=1)
        bias = max((int(la.bias.abs().max()) for la in group), default=0)
        shifts.append(max(0, int(np.log2(THRESHOLD_ROOM / max(most, bias, 1)))))
    each = [shifts[0], *[shifts[1]] * (len(layers) - 2), shifts[2]]
    return [
        XyloLayer(la.name, la.weight, s, la.bias << s, la.threshold << s, la.dash_syn, la.dash_mem, la.most)
        for la, s in zip(layers, each, strict=True)
    ]


def dash(decay: float, what: str, notes: list[str]) -> int:
    """The bit shift k whose decay 1 - 2**-k is nearest; says so where it is more than a twentieth off."""
    k = min(range(1, 16), key=lambda n: abs(decay - (1 - 2.0**-n)))
    if abs(decay - (1 - 2.0**-k)) > 0.05 * max(decay, 0.05):
        notes.append(f"{what} {decay:.3f} becomes {1 - 2.0**-k:.3f}, the nearest bit shift")
    return k


def specification(layers: list[XyloLayer], dt: float) -> dict[str, Any]:
    """Arguments of rockpool's `from_specification` and `config_from_specification`, as plain lists."""
    sizes = [la.weight.shape[1] for la in layers[:-1]]
    ends = np.cumsum([0, *sizes])
    n_hidden, first, last = int(ends[-1]), layers[0], layers[-1]
    w_in = torch.zeros(first.weight.shape[0], n_hidden, dtype=torch.int64)
    w_in[:, : sizes[0]] = first.weight
    w_rec, w_out = torch.zeros(n_hidden, n_hidden).long(), torch.zeros(n_hidden, last.weight.shape[1]).long()
    for i, la in enumerate(layers[1:-1], start=1):
        w_rec[ends[i - 1] : ends[i], ends[i] : ends[i + 1]] = la.weight
    w_out[ends[-2] :] = last.weight
    hidden = layers[:-1]

    def each(values: list[int]) -> list[int]:
        return [v for v, n in zip(values, sizes, strict=True) for _ in range(n)]

    return {
        "weights_in": w_in.tolist(),
        "weights_rec": w_rec.tolist(),
        "weights_out": w_out.tolist(),
        "dash_mem": each([la.dash_mem for la in hidden]),
        "dash_mem_out": [last.dash_mem] * last.weight.shape[1],
        "dash_syn": each([la.dash_syn for la in hidden]),
        "dash_syn_2": each([la.dash_syn for la in hidden]),
        "dash_syn_out": [last.dash_syn] * last.weight.shape[1],
        "threshold": torch.cat([la.threshold for la in hidden]).tolist(),
        "threshold_out": last.threshold.tolist(),
        "bias": torch.cat([la.bias for la in hidden]).tolist(),
        "bias_out": last.bias.tolist(),
        "weight_shift_in": first.shift,
        "weight_shift_rec": layers[1].shift if len(layers) > 2 else 0,
        "weight_shift_out": last.shift,
        "aliases": [[] for _ in range(n_hidden)],
        "dt": dt,
    }
