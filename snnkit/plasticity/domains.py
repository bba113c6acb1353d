"""Domains: neurons shared out among modulators that each see and steer their own part of a liquid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.errors import UserError


@dataclass(frozen=True, eq=False)
class Domains:
    """Which neurons belong together; every domain has modulators of its own.

    A synapse belongs to the domain of its post neuron, and its rule reads the modulators of that domain. In the modulators' step
    `n_out` counts the spikes of the domain, `n_in` the input spikes that concern it, and for a modulator A

        flow_A = Σ_h coupling[g, h]·(A_h - A_g)

    is what comes from other domains. The order of sums is that of spikes, and of h.

    Args:
        of: domain of each neuron, 0 .. G-1, [N].
        share: how much an input spike of a channel counts in a domain, [channels, G]; None: its part of the neurons.
        coupling: [G, G], in 1/s where the step multiplies the flow with dt; None for none.

    Raises:
        UserError: a domain has no neuron, or an array has the wrong shape.
    """

    of: np.ndarray
    share: np.ndarray | None = None
    coupling: np.ndarray | None = None

    def __post_init__(self) -> None:
        of = np.asarray(self.of)
        if of.ndim != 1 or not of.size or of.dtype.kind not in "iu" or of.min() < 0:
            raise UserError(
                f"domains are one number 0, 1, ... per neuron, got {of.dtype} of shape {of.shape}"
            )
        object.__setattr__(self, "of", np.ascontiguousarray(of, np.int32))
        empty = np.flatnonzero(self.sizes == 0)
        if empty.size:
            raise UserError(f"every domain has neurons, but {empty.tolist()} of {self.count} have none")
        for name, shape in (("share", (None, self.count)), ("coupling", (self.count, self.count))):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, _matrix(name, given, shape))

    @property
    def count(self) -> int:
        """How many domains, G."""
        return int(self.of.max()) + 1

    @property
    def sizes(self) -> np.ndarray:
        """Neurons of each domain, [G]."""
        return np.bincount(self.of)

    def seen(self, channels: int) -> np.ndarray:
        """`share`, as it is used with so many input channels, [channels, G]."""
        if self.share is None:
            return np.tile(self.sizes / len(self.of), (channels, 1))
        if len(self.share) != channels:
            raise UserError(f"share is for {len(self.share)} input channels, but the liquid has {channels}")
        return self.share

    def coupled(self) -> np.ndarray:
        """`coupling`, zeros if there is none, [G, G]."""
        return np.zeros((self.count, self.count)) if self.coupling is None else self.coupling


def _matrix(name: str, given: Any, shape: tuple[int | None, int]) -> np.ndarray:
    array = np.asarray(given, float)
    if array.ndim != 2 or array.shape[1] != shape[1] or shape[0] not in (None, array.shape[0]):
        expected = f"[{'channels' if shape[0] is None else shape[0]}, {shape[1]}]"
        raise UserError(f"{name} of the domains is {expected}, got {list(array.shape)}")
    if not np.isfinite(array).all():
        raise UserError(f"{name} of the domains holds a number that is not finite")
    return array
