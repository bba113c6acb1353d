"""Liquids whose frozen weights are pairs of resistive cells: never trained, noisy when read, drifting with age."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.hardware.crossbar import Crossbar, largest_sum, multiply
from snnkit.hardware.devices import Converter, Device
from snnkit.liquid.features import counts
from snnkit.liquid.liquid import Liquid
from snnkit.liquid.projection import Projection
from snnkit.neurons.base import Neuron

Rows = tuple[np.ndarray, np.ndarray]

CALIBRATION = 64  # samples whose currents set the range of a converter


def resistive(crossbar: Crossbar, **options: Any) -> Projection:
    """All-to-all synapses with the weights of a crossbar, read without noise; `options` as for `Projection.dense`."""
    w = crossbar.weights()
    return Projection.dense(*w.shape, w=w.ravel(), **options)


class ResistiveLiquid:
    """A liquid on one chip of resistive cells (Lin et al. 2025, Nature Computational Science, arXiv 2307.00771).

        W = gain·(G+ - G-)/sd, input and recurrent alike, all to all, frozen
        u = a·v + W_in·x[t] + W_rec·s[t-1]        s = [u >= θ]        v = 0 where s, else u    (LIF with reset "zero")

    Args:
        channels: of the input.
        neurons: N.
        neuron: any model of `snnkit.neurons`, such as `LIF(tau=Decay(0.9), dt=6.2e-3, threshold=5.0, reset="zero")`.
        device: name or `Device` of the cells.
        gain: standard deviation of the weights. It decides, with θ, between a dead and a saturated liquid: sweep it first.
        seed: of the chip: equal seeds, equal cells.
        age: seconds since forming; None is fresh. It matters to devices that drift: of "rram_formed" no drift is published, so it has none.
        rows: of one crossbar; matters to converters only.
    """

    def __init__(
        self, channels: int, neurons: int, *, neuron: Neuron, gain: float, seed: int, device: str | Device = "rram_formed",
        age: float | None = None, rows: int = 128,
    ):  # fmt: skip
        first, second = np.random.SeedSequence(seed).generate_state(2, np.uint64).tolist()
        self.inputs = Crossbar.formed(channels, neurons, device, gain=gain, seed=first).aged(age)
        self.recurrent = Crossbar.formed(neurons, neurons, device, gain=gain, seed=second).aged(age)
        self.seed, self.age, self.rows = seed, age, rows
        self.liquid = Liquid(neuron, resistive(self.inputs), resistive(self.recurrent))
        both = {"inputs": self.inputs, "recurrent": self.recurrent}
        self._weights = {name: (x.weights(), x.noise(age)) for name, x in both.items()}

    def __call__(self, ev: EventTensor) -> EventTensor:
        """Spikes of every sample, read without noise."""
        return self.liquid(ev)

    def counts(
        self,
        ev: EventTensor,
        *,
        reading: int | None = None,
        redraw: str = "inference",
        bits: int | None = None,
    ) -> Tensor:
        """Spikes of each neuron, float32 [B, N]: the features of the digital part.

        Args:
            ev: input, `T B M`.
            reading: seed of the read noise; None reads without.
            redraw: what draws it anew: each "inference", that is, sample, or each "step", over which a membrane averages.
            bits: of converters behind the columns, with the range of the first samples' currents; None for ideal ones.
        """
        if redraw not in ("inference", "step") or (redraw == "step" and bits is not None):
            raise UserError(
                f'redraw is "inference", or "step" with ideal converters; got {redraw!r} and bits={bits!r}'
            )
        if redraw == "step" and reading is not None:
            return self._reread(ev, reading)
        if bits is not None:
            return self._converted(ev, bits, reading)
        if reading is None:
            return counts(self.liquid(ev))
        parts = []
        for b in range(ev.shape[1]):
            drawn = {name: w.ravel() for name, w in self._read(reading, b).items()}
            noisy = self.liquid.with_weights(**drawn)
            parts.append(counts(noisy.run(ev.batch(b), threads=1).spikes))
        return torch.cat(parts) if parts else torch.zeros(0, self.liquid.N)

    def _read(self, reading: int, sample: int) -> dict[str, Any]:
        """Both weight matrices as this sample's inference sees them: `Crossbar.read`, with its parts worked out before."""
        found = {}
        for k, (name, (mean, deviation)) in enumerate(self._weights.items()):
            draw = np.random.default_rng((self.seed, reading, sample, k)).standard_normal(mean.shape)
            found[name] = mean + deviation * draw
        return found

    def _reread(self, ev: EventTensor, reading: int) -> Tensor:
        """Independent reads in each step: a column's sum Σ x·w gets the noise N(0, Σ x²·σ²)."""
        rng = np.random.default_rng((self.seed, reading))
        both = [(mean, np.square(deviation)) for mean, deviation in self._weights.values()]

        def read(x: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
            spread = np.sqrt(np.square(x) @ variance)
            return x @ mean + spread * rng.standard_normal(spread.shape)

        return self._steps(ev, lambda rows: sum(read(x, *pair) for x, pair in zip(rows, both, strict=True)))

    def _converted(self, ev: EventTensor, bits: int, reading: int | None) -> Tensor:
        """Step by step through the converters. The ranges are those of the ideal liquid on the first samples."""
        inputs, recurrent = (w for w, _ in self._weights.values())
        some = ev.batch(slice(0, CALIBRATION))
        peaks = (
            largest_sum(x.flatten(0, 1).flatten(1).numpy(), w, rows=self.rows)
            for x, w in ((some.dense(), inputs), (self.liquid(some).dense(), recurrent))
        )
        ranges = [Converter(bits, peak) if peak > 0 else None for peak in peaks]
        if reading is None:
            return self._stepped(ev, (inputs, recurrent), ranges)
        parts = []
        for b in range(ev.shape[1]):
            drawn = self._read(reading, b)
            parts.append(self._stepped(ev.batch(b), tuple(drawn.values()), ranges))
        return torch.cat(parts) if parts else torch.zeros(0, self.liquid.N)

    def _stepped(self, ev: EventTensor, weights: Any, ranges: list[Converter | None]) -> Tensor:
        def product(rows: Rows) -> np.ndarray:
            parts = zip(rows, weights, ranges, strict=True)
            return sum(multiply(x, w, rows=self.rows, converter=c) for x, w, c in parts)  # type: ignore[return-value]

        return self._steps(ev, product)

    def _steps(self, ev: EventTensor, product: Callable[[Rows], Any]) -> Tensor:
        """Spike counts where `product` turns input and spikes of a step, both B rows, into what neurons take."""
        spikes, total = torch.zeros(ev.shape[1], self.liquid.N), torch.zeros(ev.shape[1], self.liquid.N)
        state = None
        for x_t in ev:
            sums = product((x_t.flatten(1).double().numpy(), spikes.double().numpy()))
            spikes, state = self.liquid.neuron.step(torch.from_numpy(sums).float(), state)
            total += spikes
        return total

    def __repr__(self) -> str:
        channels, neurons = self.inputs.plus.shape
        return f"ResistiveLiquid({channels} to {neurons}, {self.inputs.device.name}, seed={self.seed})"
