"""What online learning rules share: a network at some moment of a sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.layers.sequential import Sequential
from snnkit.neurons.base import Neuron

Loss = Callable[[Tensor, Any], Tensor]


class OnlineLearner:
    """What the rules share: a network at some moment of a sequence. Use `EProp`, `OTTT` or `DECOLLE`.

    Args:
        net: a `Sequential`; its parameters' `.grad` receives the gradients, so any optimiser of torch steps them.
        loss: loss(y_t, target) -> scalar, of one time step; the loss of a sequence is the sum over its steps.
    """

    def __init__(self, net: Sequential, loss: Loss):
        name = type(self).__name__
        if not isinstance(net, Sequential) or not len(net):
            raise TypeError(f"{name} needs a snnkit.Sequential with layers, got {type(net).__name__}")
        for path, module in net.named_modules():
            if isinstance(module, Neuron) and any(True for _ in module.parameters()):
                raise UserError(
                    f"{name} trains synapses only, but layer {path} ({type(module).__name__}) learns {module._learn}; "
                    "make it without learn=..."
                )
        self.net, self.loss = net, loss
        self.reset()

    def reset(self) -> None:
        """Begin the next sequence from rest. Gradients stay until the optimiser clears them."""
        self._held: dict[Any, Any] = {}

    def step(self, x_t: Tensor, target: Any = None) -> Tensor:
        """One time step `B *N`: the output `B *M`, without gradient; without a target nothing is learned from this step."""
        raise NotImplementedError

    def run(self, x: Tensor | EventTensor, target: Any = None) -> Tensor:
        """`step` for a sequence `T B *N` from where the learner is, with one target for all steps: outputs `T B *M`."""
        x = x.dense() if isinstance(x, EventTensor) else x
        return torch.stack([self.step(x_t, target) for x_t in x])

    def tensors(self) -> list[Tensor]:
        """All that is held between two steps: as much after a thousand as after one."""
        return [t for value in self._held.values() for t in _flat(value)]


def _flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [t for part in value for t in _flat(part)]


def accumulate(parameter: Tensor, gradient: Tensor) -> None:
    """Add to `.grad` of a parameter that learns."""
    if parameter.requires_grad:
        parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad + gradient
