"""Integer model of Loihi's neurons and synapses, bit-exact with Lava's `fixed_pt` process models.

    a = Σ w·s                                         from the spikes of the step before
    u = sgn(u)·⌊|u|·(4096 - (du + 1)) / 4096⌋ + (a << 6)           wraps at 24 bits
    v = sgn(v)·⌊|v|·(4096 - dv) / 4096⌋ + u + (bias << 6)          saturates at ±(2²³ - 1)
    s = [v > vth << 6],   v = 0 where s

Ranges: weights -256..254 and even, du -1..4095, dv 0..4096, bias ±4095, vth 0..131071. Source: lava-nc/lava
`proc/lif` and `proc/dense`, `proc/conv`; M. Davies et al., IEEE Micro 38(1), 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from snnkit.errors import UserError
from snnkit.hardware.segments import Synapse

BITS = 12  # decays are in 1/4096
SHIFT = 6  # synaptic input, bias and threshold are aligned by 6 bits
LIMIT = 1 << 23  # u and v have 24 bits
VTH_MAX = 131_071
WEIGHT_MIN, WEIGHT_MAX = -256, 254
BIAS_MAX = 4095


@dataclass(frozen=True)
class LoihiLayer:
    """One synapse with its neurons in the chip's integers.

    `synapse` holds integer weights (as float64) and no bias; `bias` is the mantissa per output (channel),
    `v0` the membrane before the first step. `scale` is the number of weight units in 1.0 of the float
    membrane.
    """

    name: str
    synapse: Synapse
    bias: Tensor  # int64 (out,)
    du: int
    dv: int
    vth: int
    v0: Tensor  # int64, broadcasts to out_shape
    scale: float
    reads_membrane: bool = False

    def __post_init__(self) -> None:
        weight = self.synapse.weight
        good = {
            "weights are integers": bool((weight == weight.round()).all()),
            f"weights lie in {WEIGHT_MIN}..{WEIGHT_MAX}": bool(
                ((weight >= WEIGHT_MIN) & (weight <= WEIGHT_MAX)).all()
            ),
            "weights are even": bool((weight % 2 == 0).all()),
            "du lies in -1..4095": -1 <= self.du <= 4095,
            "dv lies in 0..4096": 0 <= self.dv <= 4096,
            f"vth lies in 0..{VTH_MAX}": 0 <= self.vth <= VTH_MAX,
            f"bias lies in ±{BIAS_MAX}": bool((self.bias.abs() <= BIAS_MAX).all()),
            "v0 has 24 bits": bool((self.v0.abs() < LIMIT).all()),
        }
        wrong = [rule for rule, kept in good.items() if not kept]
        if wrong:
            raise UserError(
                f"layer {self.name} breaks the chip's number format: it must hold that {', '.join(wrong)}"
            )


class LayerRun(NamedTuple):
    """What a layer did: spikes `[T, B, *N]` as int64 0/1, and its membrane where it is read out."""

    spikes: Tensor
    v: Tensor | None
    wrapped: int  # times a current left 24 bits
    saturated: int  # times a membrane did


def run(layers: list[LoihiLayer], x: Tensor, *, graded: bool = False) -> list[LayerRun]:
    """Run layers on input spikes `[T, B, *N]`; every synapse delivers one step later, as on the chip.

    The result has T + len(layers) steps, and as many more as the longest delays of all layers, so that the answer to the last
    input comes out; what enters layer l at step t comes out, at the earliest, at step t + 1, and later by the delay of its synapse.

    Args:
        x: integers; counts above 1 count once unless `graded` (Loihi 2 carries counts).
    """
    if x.is_floating_point() and not bool((x == x.round()).all()):
        raise UserError("the chip takes whole events: encode analog input into spikes first")
    if (x < 0).any():
        raise UserError(
            "the chip takes events, which cannot be negative; use two channels for two polarities"
        )
    spikes = x.to(torch.float64)
    spikes = spikes if graded else (spikes != 0).to(torch.float64)
    more = len(layers) + sum(layer.synapse.longest for layer in layers)
    spikes = torch.cat([spikes, spikes.new_zeros(more, *spikes.shape[1:])])
    runs: list[LayerRun] = []
    for layer in layers:
        runs.append(_run_layer(layer, layer.synapse(spikes)))
        spikes = runs[-1].spikes.to(torch.float64)
    return runs


def _run_layer(layer: LoihiLayer, a: Tensor) -> LayerRun:
    """Neurons under synaptic sums `a` of every step, which arrive one step later."""
    arriving = torch.cat([torch.zeros_like(a[:1]), a[:-1]]).round().long() << SHIFT
    bias = layer.synapse.per_channel(layer.bias) << SHIFT
    u = torch.zeros_like(arriving[0])
    v = torch.zeros_like(u) + layer.v0
    spikes, membranes, wrapped, saturated = torch.empty_like(arriving), [], 0, 0
    for t, a_t in enumerate(arriving):
        u = decay(u, layer.du + 1) + a_t
        wrapped += int(((u > LIMIT) | (u <= -LIMIT)).sum())
        u = wrap(u)
        v = decay(v, layer.dv) + u + bias
        saturated += int((v.abs() >= LIMIT).sum())
        v = v.clamp(-LIMIT + 1, LIMIT - 1)
        fired = v > layer.vth << SHIFT
        v = torch.where(fired, 0, v)
        spikes[t] = fired
        if layer.reads_membrane:
            membranes.append(v)
    return LayerRun(spikes, torch.stack(membranes) if membranes else None, wrapped, saturated)


def decay(x: Tensor, by: int) -> Tensor:
    """x · (4096 - by) / 4096, truncated toward zero."""
    return x.sign() * ((x.abs() * ((1 << BITS) - by)) >> BITS)


def wrap(u: Tensor) -> Tensor:
    """24-bit overflow as Lava computes it: once around, with 2²³ itself kept and -2²³ folded up."""
    over = torch.where(u > LIMIT, u - 2 * LIMIT, u)
    return torch.where(over <= -LIMIT, u + 2 * LIMIT, over)
