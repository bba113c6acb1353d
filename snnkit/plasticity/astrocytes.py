"""Several astrocytes, each with neurons of its own, joined by gap junctions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnkit.errors import UserError
from snnkit.plasticity.domains import Domains
from snnkit.plasticity.registry import register
from snnkit.plasticity.rule import Modulators

ms = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class AstrocyteNetwork:
    """Astrocytes that each compare the spikes of their domain with its input, and steer the depression of its synapses.

        A_g ← (A_g + dt/τ·(-A_g + b + w_g·(n_out,g - n_in,g)) + dt·κ·Σ_h (A_h - A_g))·c        w_g = w_a·N/N_g

    for astrocyte g with N_g of the N neurons, the sum over its neighbours h: what flows through gap junctions. A synapse belongs to
    the domain of its post neuron. The gains w_g are such that activity spread evenly moves every A_g as it would move the A of one
    astrocyte with gain w_a; with one domain this is `astrocyte(...)`, bit for bit. One astrocyte for all is Ivanov and
    Michmizos (2021); domains that hardly overlap are anatomy (Bushong et al. 2002, J Neurosci 22:183), their coupling is
    diffusion (Giaume et al. 2010, Nat Rev Neurosci 11:87).

    Make one with `whole` or `boxes`, and give `network.modulators()` to a `Liquid` whose rules are `astrocyte_stdp(...)`.

    Args:
        domains: domain of each neuron, 0 .. G-1, [N].
        neighbours: pairs (g, h) of coupled astrocytes.
        coupling: κ [1/s]; 0 for none.
        share: how much a spike of each input channel counts in each domain, [channels, G]; None: N_g/N. See `watching`.
        tau, gain, base, eta, keep: τ, w_a, b, the rate of potentiation and c, as for `astrocyte`.
    """

    domains: np.ndarray
    neighbours: tuple[tuple[int, int], ...] = ()
    coupling: float = 0.0
    share: np.ndarray | None = None
    tau: float = 100 * ms
    gain: float = 0.015
    base: float = 0.15
    eta: float = 0.15
    keep: float = 1.0

    def __post_init__(self) -> None:
        count = self._domains().count  # checks them
        if not self.coupling >= 0 or not self.tau > 0:
            raise UserError(f"expected coupling >= 0 and tau > 0, got {self.coupling!r} and {self.tau!r}")
        pairs = tuple((int(g), int(h)) for g, h in self.neighbours)
        wrong = [p for p in pairs if p[0] == p[1] or not all(0 <= g < count for g in p)]
        if wrong:
            raise UserError(f"neighbours are two different astrocytes of 0..{count - 1}, got {wrong[0]}")
        object.__setattr__(self, "neighbours", pairs)

    @classmethod
    def whole(cls, neurons: int, **options: Any) -> AstrocyteNetwork:
        """One astrocyte for all neurons: global."""
        return cls(domains=np.zeros(neurons, np.int32), **options)

    @classmethod
    def boxes(cls, positions: Any, counts: Sequence[int], **options: Any) -> AstrocyteNetwork:
        """Local ones: space cut into equal boxes, `counts` along each axis; boxes that share a face are neighbours.

        Args:
            positions: of the neurons, [N, axes], such as `Projection.grid(...).positions`.
            counts: boxes along each axis, such as (2, 2, 2).
        """
        x = np.asarray(positions, float)
        if x.ndim != 2 or len(counts) != x.shape[1] or any(int(c) != c or c < 1 for c in counts):
            raise UserError(
                f"boxes need positions [N, axes] and a number of boxes for each axis; got {list(x.shape)} and {counts!r}"
            )
        low, high = x.min(0), x.max(0)
        at = np.floor((x - low) / np.maximum(high - low, 1e-12) * np.asarray(counts) * (1 - 1e-9)).astype(int)
        inside = np.ravel_multi_index(at.T, tuple(counts))
        empty = np.setdiff1d(np.arange(int(np.prod(counts))), inside)
        if empty.size:
            raise UserError(
                f"{empty.size} of {int(np.prod(counts))} boxes have no neuron; take fewer boxes than {tuple(counts)}"
            )
        places = np.stack(np.unravel_index(np.arange(int(np.prod(counts))), tuple(counts)), 1)
        distance = np.abs(places[:, None] - places[None]).sum(-1)
        pairs = [(g, h) for g, h in np.argwhere(distance == 1).tolist() if g < h]
        return cls(
            domains=inside.astype(np.int32),
            neighbours=tuple(pairs),
            **options,
        )

    @property
    def count(self) -> int:
        """How many astrocytes."""
        return self._domains().count

    def watching(self, inputs: Any) -> AstrocyteNetwork:
        """The same network, in which an input spike counts in a domain by the part of its synapses that ends there.

        Args:
            inputs: the `Projection` from the input.
        """
        channels, neurons = inputs.shape
        if neurons != len(self.domains):
            raise UserError(
                f"the projection reaches {neurons} neurons, the domains are of {len(self.domains)}"
            )
        there = np.zeros((channels, self.count))
        np.add.at(there, (inputs.pre, np.asarray(self.domains)[inputs.post]), 1.0)
        return replace(self, share=there / np.maximum(there.sum(1, keepdims=True), 1.0))

    def modulators(self) -> Modulators:
        """For `Liquid(..., modulators=...)`: A, η and the rest, one for each domain."""
        return astrocyte_domains(
            self._domains().of, neighbours=self.neighbours, coupling=self.coupling, share=self.share,
            tau=self.tau, gain=self.gain, base=self.base, eta=self.eta, keep=self.keep,
        )  # fmt: skip

    def _domains(self) -> Domains:
        return Domains(self.domains, self.share)


@register
def astrocyte_domains(
    domains: Any,
    *,
    neighbours: Sequence[Sequence[int]] = (),
    coupling: float = 0.0,
    share: Any = None,
    tau: float = 100 * ms,
    gain: float = 0.015,
    base: float = 0.15,
    eta: float = 0.15,
    keep: float = 1.0,
) -> Modulators:
    """The modulators of an `AstrocyteNetwork`, with its arguments."""
    of = Domains(np.asarray(domains), None if share is None else np.asarray(share))
    joined = np.zeros((of.count, of.count))
    for g, h in neighbours:
        joined[g, h] = joined[h, g] = coupling
    return Modulators(
        start={"A": base, "eta": eta, "wa": gain * len(of.of) / of.sizes, "b": base},
        step=lambda A, eta, wa, b, n_in, n_out, flow_A, tau, dt, c: (
            (A + (-A + b + wa * (n_out - n_in)) * (dt / tau) + flow_A * dt) * c,
            eta * c,
            wa * c,
            b * c,
        ),
        const={"tau": tau, "c": keep},
        domains=replace(of, coupling=joined),
    )
