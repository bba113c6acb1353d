"""Gated cells that spike: LSTM, GRU, and a membrane whose time constant depends on its input."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snnkit.activity import Population, Wires
from snnkit.errors import UserError
from snnkit.layers.cell import SpikingCell, late
from snnkit.layers.initial import check_sizes
from snnkit.layers.linear import Linear
from snnkit.neurons import Decay
from snnkit.neurons.surrogate import ATan, Surrogate

Learn = str | tuple[str, ...]


class SpikingLSTMState(NamedTuple):
    c: Tensor  # cell [B, n_hidden]
    h: Tensor  # hidden state, which is the membrane [B, n_hidden]


class SpikingLSTM(SpikingCell):
    """An LSTM (Hochreiter & Schmidhuber 1997) that sends a spike where its hidden state is over a threshold, as snnTorch's `SLSTM`.

        i, f, g, o = W_x x + W_h h + b                c ← σ(f)·c + σ(i)·tanh(g)
        h ← σ(o)·tanh(c) - r·θ  (reset "subtract")    s = [h >= θ]        r: the spike of the step before

    Only the output spikes: what returns to the gates is h, so that the recurrence costs multiplications. Without a reset |h| < 1,
    so θ has to be below 1. The cell is that of Eshraghian et al. 2023 (Proc. IEEE 111:1016); the one of Lotfi Rezaabad & Vishwanath 2020,
    in which the gates spike, is another.

    Args:
        n_in, n_hidden: inputs and hidden units.
        threshold: θ.
        reset: "none", "subtract" or "zero" (h alone).
        surrogate, compare, detach_reset: see `Neuron`; the reset passes no gradient unless told to.
        learn: "threshold", or nothing.
        bias: whether the gates have biases.
        generator: random numbers for the weights; default torch's own.

    Shapes: `T B n_in` to spikes `T B n_hidden`. The state is (c, h), each `B n_hidden`. Weights are those of `torch.nn.LSTMCell`, under
    `cell`.

    >>> SpikingLSTM(3, 8)(torch.zeros(5, 2, 3)).shape
    torch.Size([5, 2, 8])
    """

    State: type = SpikingLSTMState

    def __init__(
        self, n_in: int, n_hidden: int, *, threshold: float = 0.3, reset: str = "none", surrogate: Surrogate = ATan(),
        compare: str = ">=", detach_reset: bool = True, learn: Learn = (), bias: bool = True,
        generator: torch.Generator | None = None,
    ):  # fmt: skip
        check_sizes(type(self).__name__, n_in=n_in, n_hidden=n_hidden)
        super().__init__(
            threshold=threshold, reset=reset, surrogate=surrogate, compare=compare, detach_reset=detach_reset, learn=learn,
        )  # fmt: skip
        self.n_in, self.n_hidden = n_in, n_hidden
        self.cell = nn.LSTMCell(n_in, n_hidden, bias=bias)
        for p in self.cell.parameters():
            nn.init.uniform_(p, -(n_hidden**-0.5), n_hidden**-0.5, generator=generator)

    def initial_state(self, x_t: Tensor) -> SpikingLSTMState:
        """The state at rest for inputs like `x_t`, one step `B n_in`."""
        zero = x_t.new_zeros(len(x_t), self.n_hidden)
        return SpikingLSTMState(zero, zero)

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, SpikingLSTMState]:
        """Run one time step `B n_in`, state in and state out; `None` is rest."""
        c, before = self._begin(x_t, state)
        h, c = self.cell(x_t, (before, c))
        h = self.after_reset(h, before)
        return self.fire(h)[0], SpikingLSTMState(c, h)

    def parts(self, x: Tensor, y: Tensor) -> Iterator[tuple[str, Any, Tensor, Tensor]]:
        """Name, part, input and output of synapses and neurons over a sequence from rest, for `snnkit.trace`."""
        state, rows = self.initial_state(x[0]), []
        for x_t in x.unbind(0):
            rows.append(state.h)
            state = self.step(x_t, state)[1]
        yield "input", Wires(self.n_in, 4 * self.n_hidden, self.cell.weight_ih), x, y
        yield "back", Wires(self.n_hidden, 4 * self.n_hidden, self.cell.weight_hh), torch.stack(rows), y
        yield "neuron", Population(type(self).__name__), y, y

    def extra_repr(self) -> str:
        return f"{self.n_in}, {self.n_hidden}, reset={self.reset!r}"


class SpikingGRUState(NamedTuple):
    i: Tensor  # synaptic current [B, n_hidden]
    v: Tensor  # membrane [B, n_hidden]
    s: Tensor  # spikes of the step before [B, n_hidden]


class SpikingGRU(SpikingCell):
    """A current-based membrane whose leak is an update gate (SpikGRU; Dampfhoffer, Mesquida, Valentian & Anghel 2022, ICANN).

        i ← α·i + W_i x + U_i s + b_i        z = σ(W_z x + U_z s + b_z)
        v ← z·v + (1 - z)·i - θ·s            s ← [v >= θ]

    The gate decides how much of the membrane is kept. All that returns is spikes.

    Args:
        n_in, n_hidden: inputs and hidden units.
        tau_syn: of the current [s], or α as `Decay(0.9)`.
        dt: time between input samples [s].
        threshold, surrogate, compare, detach_reset, learn, bias, generator: as in `SpikingLSTM`.

    Shapes: `T B n_in` to spikes `T B n_hidden`. The state is (i, v, s), each `B n_hidden`. `input` and `back` hold the rows of the
    current above those of the gate.

    >>> SpikingGRU(3, 8, tau_syn=5e-3, dt=1e-3)(torch.zeros(5, 2, 3)).shape
    torch.Size([5, 2, 8])
    """

    State: type = SpikingGRUState
    alpha: Tensor

    def __init__(
        self, n_in: int, n_hidden: int, *, tau_syn: float | Decay, dt: float, threshold: float = 1.0,
        surrogate: Surrogate = ATan(), compare: str = ">=", detach_reset: bool = False, learn: Learn = (), bias: bool = True,
        generator: torch.Generator | None = None,
    ):  # fmt: skip
        check_sizes(type(self).__name__, n_in=n_in, n_hidden=n_hidden)
        super().__init__(
            threshold=threshold, reset="subtract", surrogate=surrogate, compare=compare, detach_reset=detach_reset, learn=learn,
        )  # fmt: skip
        self.n_in, self.n_hidden, self.dt = n_in, n_hidden, float(dt)
        self.register_buffer("alpha", _per_step(type(self).__name__, "tau_syn", tau_syn, dt))
        self.input = Linear(n_in, 2 * n_hidden, bias, generator=generator)
        self.back = Linear(n_hidden, 2 * n_hidden, generator=generator)

    def initial_state(self, x_t: Tensor) -> SpikingGRUState:
        """The state at rest for inputs like `x_t`, one step `B n_in`."""
        zero = x_t.new_zeros(len(x_t), self.n_hidden)
        return SpikingGRUState(zero, zero, zero)

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, SpikingGRUState]:
        """Run one time step `B n_in`, state in and state out; `None` is rest."""
        i, v, s = self._begin(x_t, state)
        both = F.linear(x_t, self.input.weight, self.input.bias) + F.linear(s, self.back.weight)
        current, gate = both.split(self.n_hidden, dim=1)
        i, z = self.alpha.to(x_t) * i + current, torch.sigmoid(gate)
        v = z * v + (1 - z) * i - (s.detach() if self.detach_reset else s) * self.threshold
        s = self.fire(v)[0]
        return s, SpikingGRUState(i, v, s)

    def parts(self, x: Tensor, y: Tensor) -> Iterator[tuple[str, Any, Tensor, Tensor]]:
        """Name, part, input and output of synapses and neurons over a sequence from rest, for `snnkit.trace`."""
        yield "input", self.input, x, y
        yield "back", self.back, late(y), y
        yield "neuron", Population(type(self).__name__), y, y

    def extra_repr(self) -> str:
        return f"n_in={self.n_in}, n_hidden={self.n_hidden}, dt={self.dt:g}"


class LiquidLIFState(NamedTuple):
    v: Tensor  # charged membrane, before the reset [B, n]


class LiquidLIF(SpikingCell):
    """Leaky integrate-and-fire with a liquid time constant: how fast it follows its input depends on input and membrane.

        a = σ(T_x x + T_v v + b)        v ← v + a·(x - v), then the reset        s = [v >= θ]        a stands for dt/τ

    (Yin, Corradi & Bohté 2023, Nat Mach Intell 5:518, after Hasani et al. 2021; here without their adaptive threshold.) Put synapses before
    it and, for a recurrent network, `Recurrent` around it. The reset takes place one step after the spike, so v is the charged membrane.

    Args:
        n: neurons.
        tau: time constant at the beginning without input [s]; b = logit(dt/τ). dt < τ.
        dt: time between input samples [s].
        threshold, reset, surrogate, compare, detach_reset, learn, generator: as in `SpikingLSTM`.

    Shapes: `T B n` to spikes `T B n`. The state is (v,), `B n`.

    >>> LiquidLIF(3, tau=20e-3, dt=1e-3)(torch.ones(5, 2, 3)).shape
    torch.Size([5, 2, 3])
    """

    State: type = LiquidLIFState

    def __init__(
        self, n: int, *, tau: float, dt: float, threshold: float = 1.0, reset: str = "subtract", surrogate: Surrogate = ATan(),
        compare: str = ">=", detach_reset: bool = False, learn: Learn = (), generator: torch.Generator | None = None,
    ):  # fmt: skip
        name = type(self).__name__
        check_sizes(name, n=n)
        if not 0 < dt < tau < math.inf:
            raise UserError(f"{name} needs 0 < dt < tau, both in seconds; got dt={dt!r}, tau={tau!r}")
        super().__init__(
            threshold=threshold, reset=reset, surrogate=surrogate, compare=compare, detach_reset=detach_reset, learn=learn,
        )  # fmt: skip
        self.n_in, self.dt = n, float(dt)
        self.from_x = Linear(n, n, bias=True, generator=generator)
        self.from_v = Linear(n, n, generator=generator)
        assert self.from_x.bias is not None
        nn.init.constant_(self.from_x.bias, math.log(dt / (tau - dt)))

    def initial_state(self, x_t: Tensor) -> LiquidLIFState:
        """The state at rest for inputs like `x_t`, one step `B n`."""
        return LiquidLIFState(torch.zeros_like(x_t))

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, LiquidLIFState]:
        """Run one time step `B n`, state in and state out; `None` is rest."""
        (v,) = self._begin(x_t, state)
        kept = self.after_reset(v, v)
        gate = F.linear(x_t, self.from_x.weight, self.from_x.bias) + F.linear(kept, self.from_v.weight)
        v = kept + torch.sigmoid(gate) * (x_t - kept)
        return self.fire(v)[0], LiquidLIFState(v)

    def parts(self, x: Tensor, y: Tensor) -> Iterator[tuple[str, Any, Tensor, Tensor]]:
        """Name, part, input and output of synapses and neurons over a sequence from rest, for `snnkit.trace`."""
        state, rows = self.initial_state(x[0]), []
        for x_t in x.unbind(0):
            rows.append(self.after_reset(state.v, state.v))
            state = self.step(x_t, state)[1]
        yield "from_x", self.from_x, x, y
        yield "from_v", self.from_v, torch.stack(rows), y
        yield "neuron", Population(type(self).__name__), y, y

    def extra_repr(self) -> str:
        return f"n={self.n_in}, dt={self.dt:g}, reset={self.reset!r}"


def _per_step(name: str, what: str, tau: float | Decay, dt: float) -> Tensor:
    """What is left after one step, in double precision."""
    if isinstance(tau, Decay):
        return tau.per_step
    if not 0 < dt < tau < math.inf:
        raise UserError(f"{name} needs 0 < dt < {what}, both in seconds; got dt={dt!r}, {what}={tau!r}")
    return torch.tensor(math.exp(-dt / tau), dtype=torch.float64)
