"""Keeping firing rates within bounds while training: fewer spikes cost less, silent neurons learn nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.neurons import Neuron


def rate_penalty(spikes: Float[Tensor, "T B *N"], *, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Squared distance of every neuron's firing rate to an interval, in spikes per step.

        r[n] = (1/TB) Σ_tb s[t, b, n]        penalty = mean_n ( max(0, low - r[n])² + max(0, r[n] - high)² )

    `low` wakes neurons that never fire (their surrogate gradient is small), `high` saves spikes and so
    energy.
    """
    rate = spikes.mean((0, 1))
    return ((low - rate).clamp(min=0) ** 2 + (rate - high).clamp(min=0) ** 2).mean()


@dataclass(frozen=True, kw_only=True)
class RateBounds:
    """Added to the loss by `fit(..., rates=RateBounds(weight=1.0, high=0.1))`, training only.

        loss + weight · mean over spiking layers of rate_penalty(spikes, low, high)

    Args:
        weight: of the penalty.
        low, high: the rates that cost nothing, in spikes per neuron and step, 0..1.
    """

    weight: float = 1.0
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not (self.weight >= 0 and 0 <= self.low <= self.high):
            raise UserError(
                "RateBounds needs weight >= 0 and 0 <= low <= high in spikes per step; "
                f"got weight={self.weight:g}, low={self.low:g}, high={self.high:g}"
            )

    def penalty(self, layers: list[Tensor]) -> Tensor:
        """The term to add, from the spikes of all spiking layers."""
        if not layers:
            raise UserError("rates=RateBounds(...) found no spiking layer in the network")
        return (
            self.weight * torch.stack([rate_penalty(s, low=self.low, high=self.high) for s in layers]).mean()
        )


@contextmanager
def spikes_of(net: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the output of every spiking layer that runs inside the block, in order, with its gradient.

    >>> from snnkit.layers import Sequential
    >>> from snnkit.neurons import IF
    >>> net = Sequential(IF())
    >>> with spikes_of(net) as found:
    ...     y = net(torch.ones(5, 1, 2))
    >>> found[0] is y
    True
    """
    found: list[Tensor] = []
    spiking = [m for m in net.modules() if isinstance(m, Neuron) and "fire" in m.equation.handed_in]
    hooks = [m.register_forward_hook(lambda module, inputs, output: found.append(output)) for m in spiking]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
