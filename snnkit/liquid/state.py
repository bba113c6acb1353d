"""What a liquid hands back: where it stands, and what a run answered."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from snnkit.events import EventTensor


class LiquidState(NamedTuple):
    """Where a liquid stands: everything that the next step depends on, one row per sample."""

    step: int  # steps done
    neuron: tuple[Tensor, ...]  # the neuron's state [B, N]
    arriving: Tensor  # input of the next steps that is on its way [B, steps, ports, N]
    traces: tuple[Tensor, ...]  # [B, neurons of a side]
    modulators: Tensor  # [B, number of modulators, times domains]
    synapses: dict[str, Tensor]  # "recurrent.w": weights (and other states) that change [B, synapses]
    past: dict[
        str, Tensor
    ]  # spikes and traces of the last steps, where rules pair on arrival [B, steps, ...]


class Run(NamedTuple):
    """What `Liquid.run` answers."""

    spikes: EventTensor
    final: dict[str, Tensor]  # what `keep` named, at the end of each sample [B, ...]
    record: dict[str, Tensor]  # what `record` named, over time [T, B, ...]
