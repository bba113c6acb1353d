"""The network of Diehl and Cook (2015): conductances, one-to-one inhibition, adaptive thresholds, STDP without labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnkit.encoders.values import spikes_to_events
from snnkit.events import EventTensor
from snnkit.liquid import Liquid, Projection
from snnkit.liquid import counts as spike_counts
from snnkit.neurons import ConductanceLIF, Refractory
from snnkit.plasticity import diehl_cook_stdp

DT, SHOWN, PAUSE = 0.5e-3, 0.35, 0.15  # s
# A threshold's decay in one step is less than float32 can tell from none: thresholds decay from showing to showing.
TAU_THETA = 1e4  # s
SHARE = 78 / 784  # mean weight of a neuron's synapses after scaling; the sum is 78 for 28 x 28 pixels
HZ = 255 / 8  # of a white pixel, times the intensity
FIRST, LAST = 2, 32  # intensity of a first showing, and of the last
ENOUGH = 5  # spikes; fewer and the image is shown again
mV = 1e-3


def neurons(n: int, *, theta: Any = 20 * mV, jump: float = 0.05 * mV) -> Refractory:
    """n excitatory neurons, then n inhibitory ones."""
    both = lambda e, i: torch.cat([torch.as_tensor(e, dtype=torch.float32).expand(n), torch.full((n,), i)])
    cell = ConductanceLIF(
        dt=DT,
        tau=both(100e-3, 10e-3),
        e_l=both(-65 * mV, -60 * mV),
        e_i=both(-100 * mV, -85 * mV),
        threshold=both(-72 * mV, -40 * mV),
        v_reset=both(-65 * mV, -45 * mV),
        initial_a=both(theta, 0.0),
        jump=both(jump, 0.0),
        tau_a=1e9,
        compare=">",
    )
    return Refractory(cell, both(5e-3, 2e-3))


def network(
    n: int, seed: int, *, pixels: int = 784, learning: bool = True, adapting: bool = True, **rule: Any
) -> Liquid:
    """Pixels to n excitatory neurons, each with an inhibitory one that silences all others; `rule` goes to `diehl_cook_stdp`."""
    rng = np.random.default_rng(seed)
    w = np.minimum(0.3 * (rng.random(pixels * n) + 0.01), 1.0)
    stdp = diehl_cook_stdp(**rule) if learning else None
    inputs = Projection.dense(pixels, 2 * n, post=(0, n), w=w, port="excitatory", rule=stdp)
    index = np.arange(n)
    to_i = Projection((2 * n, 2 * n), index, n + index, np.full(n, 10.4), port="excitatory")
    back = np.zeros((2 * n, 2 * n))
    back[n:, :n] = 17.0 * (1 - np.eye(n))
    to_e = Projection.from_matrix(back, port="inhibitory")
    cell = neurons(n, jump=0.05 * mV if adapting else 0.0)
    return Liquid(cell, {"inputs": inputs}, {"excite": to_i, "inhibit": to_e})


def normalise(w: NDArray, n: int) -> None:
    """Scale the weights that reach each of n neurons to the same sum, in place."""
    table = w.reshape(-1, n)
    table *= (
        SHARE * len(table) / (np.ones(len(table), w.dtype) @ table)
    )  # BLAS: faster than a sum down the columns


def poisson(images: NDArray, rng: np.random.Generator, intensity: float = FIRST) -> EventTensor:
    """Independent Poisson trains over the time shown, 31.9 Hz times the intensity for white; `T B pixels`."""
    flat = images.reshape(len(images), -1)
    sample, pixel = np.nonzero(flat)
    counts = rng.poisson(flat[sample, pixel] * (HZ * intensity * SHOWN))
    steps = round(SHOWN / DT)
    step = rng.integers(0, steps, counts.sum())
    cell = np.repeat(sample * flat.shape[1] + pixel, counts) * steps + step
    cell.sort()  # two spikes of a step are one
    place, step = np.divmod(cell[np.diff(cell, prepend=-1) > 0], steps)
    return spikes_to_events(step, place, steps=steps, shape=flat.shape, dt=DT)


def learn(
    liquid: Liquid, images: NDArray, rng: np.random.Generator, *, normalising: bool = True
) -> tuple[Liquid, int]:
    """Show images one after another; weights and thresholds go on from each to the next. Answers also the number of showings.

    An image that makes fewer than five excitatory spikes is shown again at the next intensity; what it changed stays.
    Weights are scaled before each showing, and thresholds decay as in the time shown and the pause before it.
    """
    n = liquid.N // 2
    kept = math.exp(-(SHOWN + PAUSE) / TAU_THETA)

    def before(_: int, held: dict[str, NDArray]) -> None:
        held["a"] *= kept
        if normalising:
            normalise(held["inputs"], n)

    fired = np.zeros(2 * n, np.int64)
    showings = 0
    for image in images:
        for intensity in range(FIRST, LAST + 1):
            liquid = liquid.learn(
                poisson(image[None], rng, intensity),
                carry=("a",),
                before_each=before,
                after_each=lambda _, counts: np.copyto(fired, counts),
            )
            showings += 1
            if fired[:n].sum() >= ENOUGH or not image.any():
                break
    return liquid, showings


def tested(liquid: Liquid) -> Liquid:
    """The same network with weights and thresholds frozen."""
    n = liquid.N // 2
    cell = neurons(n, theta=liquid.begin()["a"][:n], jump=0.0)
    return liquid.frozen().replaced(cell)


def responses(
    liquid: Liquid, images: NDArray, rng: np.random.Generator, *, at_once: int = 500
) -> NDArray[np.int64]:
    """Spikes of every excitatory neuron for every image, (images, n); those with fewer than five are shown again, brighter."""
    n = liquid.N // 2
    found = np.zeros((len(images), n), np.int64)
    left = np.arange(len(images))
    for intensity in range(FIRST, LAST + 1):
        for a in range(0, len(left), at_once):
            ids = left[a : a + at_once]
            found[ids] = spike_counts(liquid(poisson(images[ids], rng, intensity)))[:, :n].numpy()
        left = left[(found[left].sum(1) < ENOUGH) & (images[left].max((1, 2), initial=0) > 0)]
    return found


def assign(counts: NDArray, labels: NDArray) -> NDArray[np.int64]:
    """The class with the highest mean response, for every neuron; -1 for silent ones."""
    none = np.zeros(counts.shape[1])
    means = np.stack([counts[labels == k].mean(0) if (labels == k).any() else none for k in range(10)])
    return np.where(means.sum(0) > 0, means.argmax(0), -1)


def vote(counts: NDArray, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class whose neurons fire most on average."""
    means = [
        counts[:, classes == k].mean(1) if (classes == k).any() else np.zeros(len(counts)) for k in range(10)
    ]
    return np.stack(means, 1).argmax(1)


def weights(liquid: Liquid) -> NDArray[np.float32]:
    """Weights of the input, (pixels, n)."""
    return liquid.projection("inputs").w.reshape(liquid.M, -1).astype(np.float32)
