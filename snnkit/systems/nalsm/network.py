"""The liquid of Ivanov and Michmizos: geometry, wiring, neurons, plasticity, and the arms that share one wiring."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnkit.liquid import Liquid, Projection
from snnkit.neurons import CubaLIF, Refractory
from snnkit.neurons.base import Decay
from snnkit.plasticity import astrocyte, astrocyte_stdp

ms = 1e-3
DT = 1 * ms
W_MAX = 3.0  # bound of |w|, and |w| of every synapse at the beginning
GAINS = {1000: 0.015, 8000: 0.0075}  # the astrocyte's w_a by size of the liquid
EE, EI, IE, II = 0.2, 0.1, 0.3, 0.05  # C of P(i -> j) = C·exp(-(d/3)²)


@dataclass(frozen=True, eq=False)
class Wiring:
    """Who is joined to whom and with which sign; every arm has the same."""

    inputs: Projection
    recurrent: Projection

    @property
    def synapses(self) -> int:
        return len(self.inputs) + len(self.recurrent)


def wiring(channels: int, side: int, seed: int) -> Wiring:
    """side³ neurons on a lattice, a fifth of them inhibitory at random places, and 15 % of all pairs of channel and neuron with
    a random sign.

    An input takes a step on its way, as a spike of the liquid does: so the spike that it causes comes one step later and finds
    its trace.
    """
    rng = np.random.default_rng([seed, 71])
    signs = lambda g, n: W_MAX * g.choice([-1.0, 1.0], n)
    plastic = astrocyte_stdp(w_max=W_MAX)
    inputs = Projection.random(
        channels, side**3, p=0.15, w=signs, delay=DT, rule=astrocyte_stdp(w_max=W_MAX, dale=False), seed=rng
    )
    recurrent = Projection.grid(
        (side, side, side), reach=3.0, p=(EE, EI, IE, II), w=W_MAX, delay=DT, rule=plastic, seed=rng
    )
    return Wiring(inputs, recurrent)


def cell() -> Refractory:
    """V ← V - V/64 + I, threshold 20, reset to 0; for 2 ms after a spike V integrates and no spike is sent.

    I is a current that decays by e⁻¹ per ms; what a spike adds is such that only the last one counts (`astrocyte_stdp`).
    """
    neuron = CubaLIF(
        tau_syn=Decay(math.exp(-1.0)), tau_mem=Decay(1.0 - 1.0 / 64.0), dt=DT, threshold=20.0, reset="zero"
    )
    return Refractory(neuron, 2 * ms, held=())


def plastic(wired: Wiring, gain: float) -> Liquid:
    """STDP in all synapses; the astrocyte's w_a is `gain`, and 0 leaves A at 0.15: plain STDP."""
    return Liquid(cell(), wired.inputs, wired.recurrent, astrocyte(gain=gain))


def fixed(wired: Wiring, weight: float) -> Liquid:
    """The same synapses, all of one |w|, without plasticity."""
    same = lambda p: p.replaced(w=np.sign(p.w) * weight, rule=p.rule.frozen())
    return Liquid(cell(), same(wired.inputs), same(wired.recurrent))


def weights_of(liquid: Liquid) -> NDArray[np.float32]:
    """All weights end to end, to be kept in a file."""
    return np.concatenate([liquid.projection(label).w.astype(np.float32) for label in liquid.labels])


def with_weights_of(liquid: Liquid, flat: NDArray) -> Liquid:
    """A liquid with the weights that `weights_of` took from another of the same wiring."""
    sizes = [len(liquid.projection(label)) for label in liquid.labels]
    pieces = np.split(flat, np.cumsum(sizes)[:-1])
    return liquid.with_weights(**dict(zip(liquid.labels, pieces, strict=True)))
