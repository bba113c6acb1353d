"""All-to-all synapses with a learnable delay each."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.kernels.delays.layer import Rows, delayed
from snnkit.kernels.delays.shift import shift
from snnkit.kernels.dense import spike_linear
from snnkit.kernels.sparse import event_linear
from snnkit.layers.base import expected
from snnkit.layers.delay_base import Carried, Delayed, DelayState
from snnkit.layers.initial import check_sizes, init_synapses

KINDS = ("synaptic", "axonal", "dendritic")


class DelayedLinear(Delayed):
    """All-to-all synapses, each with a weight and a learnable delay:

        y[t, o] = b_o + Σ_i w[i, o] · Σ_n k_n(d[i, o]) · x[t - n, i]

    `form` is how a delay d, a real number of steps, acts on a grid of whole steps (Hammouamri et al. 2024, arXiv:2306.17670):

        "two-tap"    k_n = max(0, 1 - |n - d|): linear interpolation, the gradient sees the two neighbouring steps
        "gaussian"   k_n = g_n / Σ_m g_m, g_n = exp(-((n - d)/σ)²/2): the gradient sees as far as σ; shrink σ while training
                     (`DelayWidth`), and start wide where delays have to travel
        "integer"    k_n = [n = round(d)]: what chips do. In training the gradient is that of the two taps around d, so
                     delays are learned aware of their rounding

    `kind` "synaptic" has one delay per synapse, "axonal" one per input, "dendritic" one per output. With `kernel_count` above 1
    (DCLS's name for it) so many synapses, each with its own weight and delay, lead from every input to every output:

        y[t, o] = b_o + Σ_i Σ_j w[j, i, o] · Σ_n k_n(d[j, i, o]) · x[t - n, i],  j = 0 .. kernel_count - 1

    Two-tap and integer delays run event-driven on sparse input, else on kernels for dense input; the Gaussian runs by
    transform in training. All agree up to rounding. In evaluation, `scan` and `step`, later input never touches earlier
    output, and for sparse input a sequence cut anywhere gives the same bits.

    Args:
        n_in, n_out: number of input and output channels.
        max_delay: longest delay [s], a whole number of steps.
        dt: time between input samples [s].
        form, kind: see above.
        kernel_count: synapses per pair of neurons, for kind "synaptic". Weights start in ±sqrt(3 / (kernel_count·n_in)), so that
            the output has the same variance. Two-tap and integer delays cost so many times as much, the Gaussian little more.
        sigma: width σ of the Gaussian, in steps; default half the window and a bit, as published. An attribute: set it any time.
        bias: add a learnable constant to every output in every step.
        learn_delays: whether `delay` is a parameter.
        initial_delay: delays at the start [s], a number or a tensor that broadcasts to the delays; default uniform from 0 to
            `max_delay`.
        tail: time by which `layer(x)` answers more steps than it got, so that late spikes ring out [s].
        generator: random numbers for weights and delays; default torch's own.

    Shapes: `T B n_in` to `T+tail B n_out`. `weight` is `n_in n_out` (not as in torch), or
    `kernel_count n_in n_out` with several per pair; `delay` likewise, with 1 for the axis that its kind has not. Delays are
    held in steps, which is what their learning rate refers to; `delay_seconds` shows seconds. After each step of the optimiser
    call `clamp_()`, or `clamp_delays(net)`; until then a delay outside of its range acts as the border. The state is what is
    still under way.

    >>> layer = DelayedLinear(1, 1, max_delay=3e-3, dt=1e-3, initial_delay=2e-3)
    >>> x = torch.zeros(5, 1, 1); x[0] = 1.0
    >>> layer(x).flatten().nonzero().tolist()
    [[2]]
    """

    weight: Tensor

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        max_delay: float,
        dt: float,
        form: str = "two-tap",
        kind: str = "synaptic",
        kernel_count: int = 1,
        sigma: float | None = None,
        bias: bool = False,
        learn_delays: bool = True,
        initial_delay: float | Tensor | None = None,
        tail: float = 0.0,
        generator: torch.Generator | None = None,
    ):
        check_sizes("DelayedLinear", n_in=n_in, n_out=n_out, kernel_count=kernel_count)
        super().__init__()
        self._init_delays(max_delay, dt, form, kind, KINDS, sigma, tail)
        if kernel_count > 1 and kind != "synaptic":
            raise UserError(
                f'DelayedLinear: kernel_count={kernel_count} gives every pair of neurons delays of its own, and with kind="{kind}" synapses share '
                f'theirs; write kind="synaptic" or kernel_count=1'
            )
        self.in_features, self.out_features, self.kernel_count = n_in, n_out, int(kernel_count)
        several = (self.kernel_count,) if kernel_count > 1 else ()
        self.weight = nn.Parameter(torch.empty(*several, n_in, n_out))
        self.bias = nn.Parameter(torch.empty(n_out)) if bias else None
        init_synapses(self.weight.movedim(-1, 0), self.bias, generator)
        shape = 1 if kind == "dendritic" else n_in, 1 if kind == "axonal" else n_out
        self._make_delay((*several, *shape), initial_delay, learn_delays, generator)

    # -- the three verbs --------------------------------------------------------------------------------------------

    def forward(self, x: Tensor | EventTensor, carried: Carried | None = None) -> Any:
        if carried is not None:
            return self.scan(x, carried.state)
        self._check(x)
        return self._run(x, x.shape[0] + self.tail, None, exact=not self.training)

    def scan(self, x: Tensor | EventTensor, state: Any = None) -> tuple[Tensor, DelayState]:
        """Run a sequence `T B n_in`, state in and state out; `None` is rest. `tail` is left to the state."""
        self._check(x)
        T = x.shape[0]
        y = self._run(x, T + self._kernel.under_way, self._state(x, state), exact=True, whole=True)
        return self._add_bias(y[0][:T]), DelayState(y[1][T:].clone())

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, DelayState]:
        """Run one time step `B n_in`, state in and state out; `None` is rest."""
        y, state = self(x_t.unsqueeze(0), Carried(state))  # as a call, so that hooks see it
        return y[0], state

    def initial_state(self, x_t: Tensor) -> DelayState:
        """The state at rest for inputs like `x_t`, one step `B n_in`."""
        n = self.in_features if self.kind == "axonal" else self.out_features
        return DelayState(self.weight.new_zeros(self._kernel.under_way, x_t.shape[0], n))

    def _run(
        self, x: Tensor | EventTensor, rows: int, start: Tensor | None, *, exact: bool, whole: bool = False
    ) -> Any:
        """The answer; with `whole` its parts before weights or bias, and the rows behind the sequence that are to come."""
        kernel = self._kernel
        if self.kind == "synaptic":
            given = Rows(x.rowptr, x.indices, x.values, x.shape[1]) if isinstance(x, EventTensor) else x
            delay = self.delay.expand(self.weight.shape)
            y = delayed(given, self.weight, delay, kernel, rows=rows, start=start, exact=exact)
            return (y, y) if whole else self._add_bias(y)
        if self.kind == "axonal":
            dense = x.dense(self.weight.dtype) if isinstance(x, EventTensor) else x
            late = shift(dense, self.delay[:, 0], kernel, rows, start)
            return (self._weigh(late[: x.shape[0]]), late) if whole else self._add_bias(self._weigh(late))
        y = shift(self._weigh(x), self.delay[0], kernel, rows, start)
        return (y, y) if whole else self._add_bias(y)

    def _weigh(self, x: Tensor | EventTensor) -> Tensor:
        if isinstance(x, EventTensor):
            if self.weight.device.type == "cpu":
                y = event_linear(x.rowptr, x.indices, x.values, self.weight.t())
                return y.view(*x.shape[:2], self.out_features)
            x = x.dense(self.weight.dtype)
        return spike_linear(x.reshape(x.shape[0] * x.shape[1], self.in_features), self.weight.t()).view(
            *x.shape[:2], self.out_features
        )

    def _add_bias(self, y: Tensor) -> Tensor:
        return y if self.bias is None else y + self.bias

    # -- checks -----------------------------------------------------------------------------------------------------

    def _check(self, x: Any) -> None:
        if not isinstance(x, (Tensor, EventTensor)):
            raise TypeError(f"{self.label()} takes a tensor or an EventTensor, got {type(x).__name__}")
        shape = tuple(x.shape)
        if len(shape) != 3 or shape[2] != self.in_features:
            raise expected(self.label(), f"T B {self.in_features}", shape, lambda s: s == (self.in_features,))
        if isinstance(x, EventTensor) and not math.isclose(x.dt, self.dt, rel_tol=1e-6):
            raise UserError(
                f"{self.label()} counts steps of dt={self.dt:g} s, but the events have dt={x.dt:g} s"
            )
        if isinstance(x, Tensor) and x.dtype != self.weight.dtype:
            raise UserError(
                f"{self.label()} has weights of {self.weight.dtype} and got input of {x.dtype}; write x.to({self.weight.dtype})"
            )
        if x.device != self.weight.device:
            raise UserError(
                f"{self.label()} is on {self.weight.device} and its input on {x.device}; "
                f"write x.to('{self.weight.device}')"
            )

    def _state(self, x: Any, state: Any) -> Tensor | None:
        n = self.in_features if self.kind == "axonal" else self.out_features
        return self._under_way(state, (self._kernel.under_way, x.shape[1], n))

    def label(self) -> str:
        return f"DelayedLinear({self.in_features}, {self.out_features})"

    def extra_repr(self) -> str:
        parts = [f"{self.in_features}, {self.out_features}", *self._said()]
        return ", ".join(parts + [f"kernel_count={self.kernel_count}"] * (self.kernel_count > 1))
