"""Convolutional synapses with learnable delays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.kernels.delays.layer import delayed
from snnkit.kernels.delays.shift import shift
from snnkit.layers.base import expected
from snnkit.layers.delay_base import Carried, Delayed, DelayState
from snnkit.layers.initial import check_sizes, init_synapses

KINDS = ("channel", "synaptic", "axonal", "dendritic")


class _DelayedConv(Delayed):
    """A convolution over space, with delays in time; subclasses say over how many axes."""

    axes = 2
    weight: Tensor

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        *,
        max_delay: float,
        dt: float,
        form: str = "two-tap",
        kind: str = "channel",
        sigma: float | None = None,
        bias: bool = False,
        learn_delays: bool = True,
        initial_delay: float | Tensor | None = None,
        tail: float = 0.0,
        generator: torch.Generator | None = None,
    ):
        check_sizes(self._name, c_in=c_in, c_out=c_out)
        super().__init__()
        self._init_delays(max_delay, dt, form, kind, KINDS, sigma, tail)
        self.in_channels, self.out_channels, self.groups = c_in, c_out, 1
        self.kernel_size = self._each("kernel_size", kernel_size, 1)
        self.stride, self.padding = self._each("stride", stride, 1), self._each("padding", padding, 0)
        self.dilation = (1,) * self.axes
        self.weight = nn.Parameter(torch.empty(c_in, *self.kernel_size, c_out))
        self.bias = nn.Parameter(torch.empty(c_out)) if bias else None
        init_synapses(self.weight.movedim(-1, 0), self.bias, generator)
        inner = self.kernel_size if kind == "synaptic" else (1,) * self.axes
        shape = 1 if kind == "dendritic" else c_in, *inner, 1 if kind == "axonal" else c_out
        self._make_delay(shape, initial_delay, learn_delays, generator)

    def _each(self, name: str, given: Any, least: int) -> tuple[int, ...]:
        found = tuple(given) if isinstance(given, (tuple, list)) else (given,) * self.axes
        if len(found) != self.axes or not all(type(n) is int and n >= least for n in found):
            raise UserError(
                f"{self._name}: {name} is a whole number of at least {least}, or {self.axes} of them; got {given!r}"
            )
        return found

    # -- the three verbs --------------------------------------------------------------------------------------------

    def forward(self, x: Tensor | EventTensor, carried: Carried | None = None) -> Any:
        if carried is not None:
            return self.scan(x, carried.state)
        x = self._dense(x)
        return self._add_bias(self._run(x, len(x) + self.tail, None, exact=not self.training)[0])

    def scan(self, x: Tensor | EventTensor, state: Any = None) -> tuple[Tensor, DelayState]:
        """Run a sequence `T B c_in *space`, state in and state out; `None` is rest. `tail` is left to the state."""
        x = self._dense(x)
        T, more = len(x), self._kernel.under_way
        start = self._under_way(state, (more, *self._waiting(x)))
        y, late = self._run(x, T + more, start, exact=True)
        return self._add_bias(y[:T]), DelayState(late[T:].clone())

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, DelayState]:
        """Run one time step `B c_in *space`, state in and state out; `None` is rest."""
        y, state = self(x_t.unsqueeze(0), Carried(state))  # as a call, so that hooks see it
        return y[0], state

    def initial_state(self, x_t: Tensor) -> DelayState:
        """The state at rest for inputs like `x_t`, one step `B c_in *space`."""
        return DelayState(self.weight.new_zeros(self._kernel.under_way, *self._waiting(x_t.unsqueeze(0))))

    def output_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """What `c_in *space` becomes: `c_out *space'`."""
        spans = list(zip(shape[1:], self.kernel_size, self.stride, self.padding, strict=True))
        for n, k, _, p in spans:
            if k > n + 2 * p:
                raise UserError(
                    f"{self.label()}: a kernel of {k} does not fit into {n} with padding {p}; give more padding or a smaller kernel"
                )
        return (self.out_channels, *((n + 2 * p - k) // s + 1 for n, k, s, p in spans))

    def _run(self, x: Tensor, rows: int, start: Tensor | None, *, exact: bool) -> tuple[Tensor, Tensor]:
        """The answer without bias, and what is delayed: the same, or with axonal delays the input."""
        if self.kind == "axonal":
            late = self._shift(x, rows, start)
            return self._convolve(late[: len(x) + self.tail]), late
        if self.kind == "dendritic":
            y = self._shift(self._convolve(x), rows, start)
            return y, y
        samples, space = x.shape[1], self.output_shape(x.shape[2:])[1:]
        delay = self.delay.expand(self.weight.shape).flatten(0, -2)
        begin = None if start is None else start.movedim(2, -1).flatten(1, -2)
        y = delayed(
            self._columns(x),
            self.weight.flatten(0, -2),
            delay,
            self._kernel,
            rows=rows,
            start=begin,
            exact=exact,
        )  # every place is a sample of the kernel for all-to-all synapses
        y = y.view(rows, samples, *space, self.out_channels).movedim(-1, 2)
        return y, y

    def _columns(self, x: Tensor) -> Tensor:
        """`T B c *space` as `T (B places) (c *kernel)`."""
        pad = (1,) * (2 - self.axes)
        flat = x.flatten(0, 1)
        flat = flat.unsqueeze(2) if self.axes == 1 else flat
        zero = (0,) * (2 - self.axes)
        columns = F.unfold(flat, (*pad, *self.kernel_size), 1, (*zero, *self.padding), (*pad, *self.stride))
        columns = columns.transpose(1, 2)
        return columns.reshape(len(x), x.shape[1] * columns.shape[1], columns.shape[2])

    def _shift(self, x: Tensor, rows: int, start: Tensor | None) -> Tensor:
        """`T B c *space`, every channel later by its delay."""
        flat = x.movedim(2, -1)
        begin = None if start is None else start.movedim(2, -1).flatten(1, -2)
        late = shift(flat.flatten(1, -2), self.delay.flatten(), self._kernel, rows, begin)
        return late.view(rows, *flat.shape[1:]).movedim(-1, 2)

    def _convolve(self, x: Tensor) -> Tensor:
        convolve = F.conv2d if self.axes == 2 else F.conv1d
        y = convolve(x.flatten(0, 1), self.weight.movedim(-1, 0), None, self.stride, self.padding)
        return y.unflatten(0, x.shape[:2])

    def _add_bias(self, y: Tensor) -> Tensor:
        return y if self.bias is None else y + self.bias.view(-1, *(1,) * self.axes)

    def _waiting(self, x: Tensor) -> tuple[int, ...]:
        """The shape of one step of what is under way."""
        return tuple(x.shape[1:]) if self.kind == "axonal" else (x.shape[1], *self.output_shape(x.shape[2:]))

    # -- checks -----------------------------------------------------------------------------------------------------

    def _dense(self, x: Any) -> Tensor:
        """The input as a dense sequence of the right shape."""
        if not isinstance(x, (Tensor, EventTensor)):
            raise TypeError(f"{self.label()} takes a tensor or an EventTensor, got {type(x).__name__}")
        shape, axes = tuple(x.shape), ("L",) if self.axes == 1 else ("H", "W")
        if len(shape) != 3 + self.axes or shape[2] != self.in_channels:
            want = f"T B {self.in_channels} {' '.join(axes)}"
            raise expected(
                self.label(), want, shape, lambda s: len(s) == 1 + self.axes and s[0] == self.in_channels
            )
        self.output_shape(shape[2:])
        if isinstance(x, EventTensor):
            if abs(x.dt - self.dt) > 1e-6 * self.dt:
                raise UserError(
                    f"{self.label()} counts steps of dt={self.dt:g} s, but the events have dt={x.dt:g} s"
                )
            return x.dense(self.weight.dtype)
        if x.dtype != self.weight.dtype:
            raise UserError(
                f"{self.label()} has weights of {self.weight.dtype} and got input of {x.dtype}; write x.to({self.weight.dtype})"
            )
        return x

    def label(self) -> str:
        return f"{self._name}({self.in_channels}, {self.out_channels})"

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}"]
        parts += [f"stride={self.stride}"] * (set(self.stride) != {1})
        parts += [f"padding={self.padding}"] * (set(self.padding) != {0})
        said = [p for p in self._said() if p != "kind='channel'"]
        return ", ".join([*parts, *said])


class DelayedConv2d(_DelayedConv):
    """`Conv2d` whose synapses have learnable delays: a convolution over space and time with one tap in time per weight,

        y[t, o, p] = b_o + Σ_{c, k} w[c, k, o] · Σ_n k_n(d[c, o]) · x[t - n, c, p·stride + k - padding]

    with the forms of delay, the gradients, the state and the routes of `DelayedLinear`: every place of the picture is one more
    sample of that layer.

    Args:
        c_in, c_out: input and output channels.
        kernel_size, stride, padding: as in torch; borders are padded with zeros.
        max_delay, dt, form, sigma, bias, learn_delays, initial_delay, tail, generator: as in `DelayedLinear`.
        kind: "channel" has a delay per pair of input and output channel, "synaptic" one per weight, "axonal" one per input
            channel, "dendritic" one per output channel.

    Shapes: `T B c_in H W`, dense or events, to `T+tail B c_out H' W'`. `weight` is `c_in kh kw c_out` (not as in torch), `delay`
    likewise with 1 for the axes that its kind has not, in steps. "channel" and "synaptic" lay out the windows of the picture, so
    they take kh·kw times its memory.

    >>> layer = DelayedConv2d(1, 2, 3, padding=1, max_delay=4e-3, dt=1e-3, initial_delay=3e-3)
    >>> x = torch.zeros(6, 1, 1, 5, 5); x[0, 0, 0, 2, 2] = 1.0
    >>> layer(x).flatten(2).any(2).flatten().nonzero().tolist()
    [[3]]
    """


class DelayedConv1d(_DelayedConv):
    """The same over one axis of space: `T B c_in L` to `T+tail B c_out L'`, weight and delay `c_in k c_out`."""

    axes = 1
