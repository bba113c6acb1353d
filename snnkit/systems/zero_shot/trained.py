"""The baseline whose encoders are trained, too: spiking recurrent networks with surrogate gradients before the same projections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snnkit import surrogate
from snnkit.layers import Linear, Recurrent
from snnkit.neurons import LIF, Decay
from snnkit.systems.zero_shot.data import NEURONS, Modality
from snnkit.systems.zero_shot.pairs import (
    DIMS,
    RATE,
    Training,
    one_of_each,
    retrieval,
    rows_by_class,
)
from snnkit.training.contrastive import Embedding


class Encoder(nn.Module):
    """M-200 spiking neurons with trained input and recurrent weights, rates of spikes, one projection."""

    def __init__(self, data: Modality, gain: float, generator: torch.Generator):
        super().__init__()
        fire = surrogate.ATan()
        neuron = LIF(
            tau=Decay(data.decay),
            dt=data.ev.dt,
            threshold=data.threshold,
            reset="zero",
            surrogate=fire,
            detach_reset=True,
        )
        self.synapses = Linear(data.channels, NEURONS, generator=generator)
        self.cells = Recurrent(neuron, gain * torch.randn(NEURONS, NEURONS, generator=generator))
        nn.init.normal_(self.synapses.weight, 0.0, gain, generator=generator)
        self.embedding = Embedding(NEURONS, DIMS, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """`T B M` to `B DIMS`."""
        rates = self.cells(self.synapses(x)).mean(0)
        return self.embedding(10 * rates)


def held_out(both: Sequence[Modality], gains: Sequence[float], pair: tuple[int, int], seen: Sequence[int], training: Training, seed: int) -> dict[str, Any]:  # fmt: skip
    """As `pairs.held_out`, with `training.steps` steps through time."""
    rng, generator = np.random.default_rng((seed, 2)), torch.Generator().manual_seed(seed)
    nets = nn.ModuleList(Encoder(data, gain, generator) for data, gain in zip(both, gains, strict=True))
    optimizer = torch.optim.Adam(nets.parameters(), lr=RATE)
    dense = [data.ev.dense() for data in both]
    members = [rows_by_class(data.labels, data.train, seen) for data in both]
    for _ in range(training.steps):
        classes = rng.integers(len(seen), size=training.batch)
        a, b = (
            net(x[:, one_of_each(of, classes, rng)]) for net, x, of in zip(nets, dense, members, strict=True)
        )
        loss = training.loss(a, b, classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        parts = [torch.from_numpy(np.flatnonzero(data.test)).split(200) for data in both]
        embeddings = [
            torch.cat([net(x[:, ids]) for ids in split])
            for net, x, split in zip(nets, dense, parts, strict=True)
        ]
    asked = [data.labels[data.test] for data in both]
    return {
        "pair": list(pair),
        "unseen": retrieval(asked, embeddings, pair),
        "seen": retrieval(asked, embeddings, tuple(seen)),
    }
