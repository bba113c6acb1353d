"""All-to-all synapses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.kernels.dense import spike_linear
from snnkit.kernels.sparse import event_linear
from snnkit.layers.base import Stateless, expected
from snnkit.layers.initial import check_sizes, init_synapses

# Density of events up to which the event-driven product, forward and weight gradient together, beats making the events
# dense and multiplying. benchmarks/linear.py: at 10 % still 2 to 3 times faster on a Zen 5 server CPU without matrix units,
# about equal on one with AMX (two threads, torch 2.13, float32).
CROSSOVER = 0.08


class Linear(Stateless, nn.Linear):
    """All-to-all synapses, y = W·x + b, on dense sequences or events.

    An `EventTensor` of low density runs event-driven: only the weights of channels that carry an event are read. So does a
    dense float32 sequence on the CPU that is mostly zero, such as the spikes of the layer before; a look at it costs about
    a hundredth of the product. Results and gradients are those of the dense product up to rounding. Event-driven ones, and
    the choice, are the same for any number of threads. Events get no gradient, dense input does.

    Weights start uniform with variance 1/n_in. A membrane with decay a that sees independent inputs, each active with
    probability p per step, then fluctuates with variance about p / (1 - a²), so thresholds of order 1 are reached by
    fluctuations (Rossbroich, Gygax & Zenke 2022). The bias starts at 0.

    Args:
        n_in: number of input channels.
        n_out: number of output channels.
        bias: add a learnable constant to every output in every step.
        generator: random numbers for the weights; default torch's own.
        terms: where spikes are too dense to run event-driven, multiply in so many bfloat16 terms on processors with units
            for it (`snnkit info` names them): 3 keeps float32 rounding, 2 errs by about 5e-6 of the largest result, 0
            leaves the product to torch. Spikes and whole numbers up to 256 are exact in bfloat16; other input is left to
            torch. During the product, torch's own switch for such products is on for the whole process, so leave it at
            0 where other threads multiply at the same time.

    Shapes: `T B n_in` to `T B n_out`. `weight` is `n_out n_in` as in torch.

    >>> Linear(3, 2)(torch.zeros(5, 1, 3)).shape
    torch.Size([5, 1, 2])
    """

    takes_events = True
    terms = 0

    def __init__(
        self,
        n_in: int,
        n_out: int,
        bias: bool = False,
        *,
        generator: torch.Generator | None = None,
        terms: int = 0,
    ):
        check_sizes("Linear", n_in=n_in, n_out=n_out)
        if terms not in (0, 2, 3):
            raise UserError(f"Linear: terms is 0, 2 or 3 terms of bfloat16, got {terms!r}")
        self.__dict__["_draw_from"] = generator  # for reset_parameters, which torch calls without arguments
        super().__init__(n_in, n_out, bias=bias)
        self.terms = terms

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew (torch calls this once from its constructor)."""
        generator = self.__dict__.pop("_draw_from", generator)
        init_synapses(self.weight, self.bias, generator)

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[2] != self.in_features:
            raise expected(self.label(), f"T B {self.in_features}", shape, lambda s: s == (self.in_features,))

    def rows(self, x: Tensor) -> Tensor:
        return spike_linear(x, self.weight, self.bias, terms=self.terms)

    def events(self, x: EventTensor) -> Tensor:
        if not self.sparse_enough(x, CROSSOVER):
            return self._fold(x.dense(self.weight.dtype))
        y = event_linear(x.rowptr, x.indices, x.values, self.weight, self.bias)
        return y.view(*x.shape[:2], self.out_features)

    def label(self) -> str:
        return f"Linear({self.in_features}, {self.out_features})"
