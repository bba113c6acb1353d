"""Recurrence by composition: a neuron, and the synapses that bring its spikes back to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.layers.base import check_one_dt, dense
from snnkit.layers.cell import late
from snnkit.layers.linear import Linear


class RecurrentState(NamedTuple):
    neuron: Any  # the neuron's state
    spikes: Tensor  # what it sent in the last step [B, *N]
    synapses: Any = ()  # the state of the synapses: what is under way, if they have delays


class Recurrent(nn.Module):
    """A neuron whose spikes return to it one step later.

        s[t], state = neuron(x[t] + weight(s[t-1]), state)

    Any neuron will do, and any synapses that map its output `B *N` to its input: a matrix N N, `Linear(n, n)`, a `Conv2d`
    that keeps the size of the picture, or `DelayedLinear(n, n, ...)`, whose delays come on top of the one step. For a neuron with several input ports the first one gets the spikes.
    Gradients flow through the recurrence. Time steps run one after another, on the torch reference.

    Args:
        neuron: what has `step` and `initial_state`, such as `LIF(...)`.
        weight: a layer, or a tensor N N with weight[i, j] from neuron j to neuron i, which becomes a learnable parameter of a
            `Linear`.

    Shapes: `T B *N`, dense or events, to `T B *N`. The state is (neuron, spikes, synapses).

    >>> from snnkit.neurons import IF
    >>> ring = Recurrent(IF(), torch.eye(3).roll(1, 0))  # each neuron drives the next
    >>> x = torch.zeros(4, 1, 3)
    >>> x[0, 0, 0] = 1.0
    >>> ring(x)[:, 0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    neuron: Any

    def __init__(self, neuron: nn.Module, weight: nn.Module | Tensor):
        super().__init__()
        if not (hasattr(neuron, "step") and hasattr(neuron, "initial_state")):
            raise TypeError(f"Recurrent needs a neuron such as LIF(...), got {type(neuron).__name__}")
        self.neuron = neuron
        self.weight = _synapses(weight) if isinstance(weight, Tensor) else weight
        if not isinstance(self.weight, nn.Module):
            raise TypeError(f"Recurrent needs a layer or a tensor as weight, got {type(weight).__name__}")
        check_one_dt(self)

    @property
    def dt(self) -> float | None:
        """Time between input samples [s], of the neuron."""
        return getattr(self.neuron, "dt", None)

    def forward(self, x: Any) -> Tensor:
        """Run a sequence `T B *N` from rest."""
        return self.scan(x)[0]

    def scan(self, x: Any, state: Any = None) -> tuple[Tensor, RecurrentState]:
        """Run a sequence `T B *N`, state in and state out; `None` is rest."""
        ports = tuple(dense(p) for p in (x if isinstance(x, tuple) else (x,)))
        if ports[0].dim() < 3:
            raise UserError(f"Recurrent expected a sequence T B *N, got {tuple(ports[0].shape)}")
        if len(ports[0]) == 0:
            return ports[0].clone(), self._begin(_row([p.new_zeros(p.shape[1:]) for p in ports]), state)
        rows = []
        for xs in zip(*(p.unbind(0) for p in ports), strict=True):
            s, state = self.step(_row(xs), state)
            rows.append(s)
        return torch.stack(rows), state

    def step(self, x_t: Any, state: Any = None) -> tuple[Tensor, RecurrentState]:
        """Run one time step `B *N`, state in and state out; `None` is rest."""
        state = self._begin(x_t, state)
        first, *others = x_t if isinstance(x_t, tuple) else (x_t,)
        back, synapses = self._back(state.spikes, state.synapses)
        if back.shape != first.shape:
            raise UserError(
                f"Recurrent: weight maps spikes {tuple(state.spikes.shape)} to {tuple(back.shape)}, but the input of the "
                f"neuron is {tuple(first.shape)}"
            )
        ports = [first + back, *others]
        if (
            torch.compiler.is_compiling()
        ):  # a sequence of one step is an operator of its own, the reference is not
            s, inner = self.neuron.scan(_row([p.unsqueeze(0) for p in ports]), state.neuron)
            s = s[0]
        else:
            s, inner = self.neuron.step(_row(ports), state.neuron)
        return s, RecurrentState(inner, s, synapses)

    def parts(self, x: Any, y: Tensor) -> Iterator[tuple[str, Any, Any, Tensor]]:
        """Name, part, input and output of neuron and synapses over a sequence from rest, for `snnkit.trace`."""
        yield "neuron", self.neuron, x, y
        yield "weight", self.weight, late(y), y

    def initial_state(self, x_t: Any) -> RecurrentState:
        """The state at rest for inputs like `x_t`, one step `B *N`."""
        first = x_t[0] if isinstance(x_t, tuple) else x_t
        return RecurrentState(self.neuron.initial_state(x_t), torch.zeros_like(first))

    def _begin(self, x_t: Any, state: Any) -> RecurrentState:
        if state is None:
            return self.initial_state(x_t)
        if not (isinstance(state, tuple) and len(state) in (2, 3) and isinstance(state[1], Tensor)):
            raise UserError(
                f"Recurrent has the state (neuron, spikes, synapses), as scan and step return it; got {type(state).__name__}"
                + (f" of {len(state)}" if isinstance(state, tuple) else "")
            )
        return RecurrentState(*state)

    def _back(self, spikes: Tensor, state: Any) -> tuple[Tensor, Any]:
        step = getattr(self.weight, "step", None)
        if step is None:
            return self.weight(spikes), ()
        return step(spikes, None if state == () else state)


def _row(ports: Any) -> Any:
    return tuple(ports) if len(ports) > 1 else ports[0]


def _synapses(weight: Tensor) -> nn.Module:
    if weight.dim() != 2 or weight.shape[0] != weight.shape[1]:
        raise UserError(
            f"Recurrent needs a weight N N, got {tuple(weight.shape)}; for other synapses pass a layer"
        )
    layer = Linear(weight.shape[1], weight.shape[0])
    layer.weight = nn.Parameter(weight.detach().clone())
    return layer
