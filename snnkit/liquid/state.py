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
    ]  # spikes and traces of the last steps, for rules that pair on arrival [B, steps, ...]


def repeated(state: LiquidState, n: int, row: int = 0) -> LiquidState:
    """One sample of a state, n times: where copies of it begin."""
    rows = lambda x: x[row : row + 1].expand(n, *x.shape[1:]).clone()
    return LiquidState(
        step=state.step,
        neuron=type(state.neuron)(*map(rows, state.neuron)),
        arriving=rows(state.arriving),
        traces=tuple(map(rows, state.traces)),
        modulators=rows(state.modulators),
        synapses={k: rows(x) for k, x in state.synapses.items()},
        past={k: rows(x) for k, x in state.past.items()},
    )


class Run(NamedTuple):
    """What `Liquid.run` answers."""

    spikes: EventTensor
    final: dict[str, Tensor]  # what `keep` named, at the end of each sample [B, ...]
    record: dict[str, Tensor]  # what `record` named, over time [T, B, ...]
