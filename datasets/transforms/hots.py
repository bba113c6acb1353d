"""A layer of HOTS: time surfaces sorted into prototypes, so that an event's polarity says what it looks like around it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.transforms.base import Transform, check_count, ticks
from snnkit.datasets.transforms.surfaces import HOTS
from snnkit.errors import UserError
from snnkit.recordings import Events, Packed


@dataclass(frozen=True, eq=False)
class HOTSLayer(Transform):
    """p ← the prototype that is nearest to the time surface around the event; the sensor has as many polarities then.

    Layers are stacked with growing radius and τ, each learnt on what the one before gives. How often each polarity occurs is
    what the paper classifies recordings by.

    Args:
        prototypes: (N, P, 2R+1, 2R+1) float32, from `learn_hots`.
        tau: decay time of the surfaces in seconds.

    Source: X. Lagorce et al., IEEE TPAMI (2017), doi:10.1109/TPAMI.2016.2574707.
    """

    prototypes: NDArray[np.float32]
    tau: float

    def __post_init__(self) -> None:
        ticks("tau", self.tau)
        shape = self.prototypes.shape
        if len(shape) != 4 or not 1 <= shape[0] <= 255 or shape[2] != shape[3] or shape[2] % 2 == 0:
            raise UserError(f"expected up to 255 prototypes of shape (N, P, 2R+1, 2R+1), got {shape}")

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        number, polarities, side, _ = self.prototypes.shape
        if packed.sensor[0] != polarities:
            raise UserError(
                f"these prototypes were learnt on {polarities} polarities, the sensor is {packed.sensor}"
            )
        flat, view = self.prototypes.reshape(number, -1), HOTS(side // 2, self.tau)
        p = np.empty(len(packed.t), np.uint8)
        for i, (a, b) in enumerate(
            zip(packed.offsets[:-1].tolist(), packed.offsets[1:].tolist(), strict=True)
        ):
            surfaces = view(packed[i]).reshape(b - a, flat.shape[1])
            # |S - C|² without |S|², which is the same for all C
            p[a:b] = ((flat**2).sum(1) - 2 * surfaces @ flat.T).argmin(1)
        return Packed(packed.t, packed.x, packed.y, p, packed.offsets, (number, *packed.sensor[1:]))


def learn_hots(recordings: Iterable[Events] | Packed, surfaces: HOTS, prototypes: int) -> HOTSLayer:
    """A layer learnt online from recordings, in their order: the first surfaces are the first prototypes.

        C_k ← C_k + α (S - β C_k),   α = 0.01 / (1 + n_k / 20000),   β = cosine of S and C_k

    for the prototype C_k nearest to S, which has been nearest n_k times.

    Args:
        recordings: of one sensor, with at least `prototypes` events.
        surfaces: radius and τ.
        prototypes: how many; the paper's first layer has 4.
    """
    from snnkit.kernels.events.surface import cluster

    check_count("prototypes", prototypes)
    parts = [recordings[i] for i in range(len(recordings))] if isinstance(recordings, Packed) else recordings
    waiting: list[NDArray[np.float32]] = []
    learnt, counts, shape = None, np.ones(prototypes, np.int64), (0,)
    for events in parts:
        found = surfaces(events)
        if shape not in ((0,), found.shape[1:]):
            raise UserError(
                f"expected recordings with the same polarities, got {shape[0]} and {found.shape[1]}"
            )
        shape, rows = found.shape[1:], found.reshape(len(found), int(np.prod(found.shape[1:])))
        if learnt is None:
            rows = np.concatenate([*waiting, rows])
            waiting = [rows]
            if len(rows) < prototypes:
                continue
            learnt, rows = rows[:prototypes].astype(np.float64), rows[prototypes:]
        cluster(rows, learnt, counts)
    if learnt is None:
        raise UserError(
            f"expected at least {prototypes} events to make prototypes of, got {sum(map(len, waiting))}"
        )
    return HOTSLayer(learnt.astype(np.float32).reshape(prototypes, *shape), surfaces.tau)
