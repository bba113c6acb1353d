"""Legendre memory: a sliding window of the past, held as a few coefficients of orthogonal polynomials."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snnkit.activity import Wires
from snnkit.errors import UserError
from snnkit.kernels.transformed import transformed
from snnkit.layers import memory_scan
from snnkit.layers.cell import Cell, late
from snnkit.layers.initial import check_sizes
from snnkit.layers.linear import Linear
from snnkit.neurons import LIF, Decay, reference
from snnkit.neurons.surrogate import ATan, Surrogate


def legendre_matrices(order: int, steps: float) -> tuple[Tensor, Tensor]:
    """The step of a memory of the last `steps` inputs in Legendre coefficients, exact for input held over a step.

        θ ṁ = A m + B u     A_ij = (2i + 1)·(-1 if i < j else (-1)^(i-j+1))     B_i = (2i + 1)·(-1)^i
        m ← Ā m + B̄ u       Ā, B̄ from exp([[A, B], [0, 0]]/steps)

    (Voelker, Kajić and Eliasmith 2019.) Returns Ā `order order` and B̄ `order`, double precision.
    """
    check_sizes("legendre_matrices", order=order)
    if not (steps > 0 and math.isfinite(steps)):
        raise UserError(f"legendre_matrices needs a window of a positive number of steps, got {steps!r}")
    i = torch.arange(order, dtype=torch.float64)
    sign = torch.where(i[:, None] < i, -1.0, (-1.0) ** (i[:, None] - i + 1))
    both = torch.zeros(order + 1, order + 1, dtype=torch.float64)
    both[:-1, :-1] = (2 * i[:, None] + 1) * sign
    both[:-1, -1] = (2 * i + 1) * (-1.0) ** i
    step = torch.linalg.matrix_exp(both / steps)
    return step[:-1, :-1].contiguous(), step[:-1, -1].contiguous()


def legendre_readout(order: int, ago: float) -> Tensor:
    """Weights of the coefficients that give the input as it was a part `ago` of the window ago, 0 (now) to 1.

    u(t - ago·θ) ≈ Σ_i m_i·P_i(2·ago - 1), with the Legendre polynomials P.
    """
    x, found = 2.0 * ago - 1.0, [1.0, 2.0 * ago - 1.0]
    for n in range(1, order):
        found.append(((2 * n + 1) * x * found[n] - n * found[n - 1]) / (n + 1))
    return torch.tensor(found[:order], dtype=torch.float64)


def _window(name: str, theta: float, dt: float) -> float:
    if not (dt > 0 and theta >= dt and math.isfinite(theta)):
        raise UserError(
            f"{name} needs dt > 0 and a window theta of at least dt, both in seconds; got {dt!r}, {theta!r}"
        )
    return theta / dt


class LMUState(NamedTuple):
    h: Tensor  # hidden state [B, n_hidden]
    m: Tensor  # coefficients [B, memory, order]


class LMU(Cell):
    """Legendre memory unit (Voelker, Kajić and Eliasmith 2019, NeurIPS): a linear memory beside a nonlinear hidden state.

        u = E_x x + E_h h + E_m m       m ← Ā m + B̄ u       h ← tanh(W_x x + W_h h + W_m m)

    Args:
        n_in, n_hidden: inputs and hidden units.
        order: coefficients per memory.
        theta: length of the window [s]; should match the sequences.
        dt: time between input samples [s].
        memory: number of memories, each with a window of its own input u.
        learn_memory: whether Ā and B̄ are parameters.
        generator: random numbers for the weights; default torch's own.

    Shapes: `T B n_in` to `T B n_hidden`. The state is (h, m).

    >>> LMU(3, 8, order=4, theta=20e-3, dt=1e-3)(torch.zeros(5, 2, 3)).shape
    torch.Size([5, 2, 8])
    """

    State: type = LMUState
    A: Tensor
    B: Tensor

    def __init__(
        self, n_in: int, n_hidden: int, *, order: int, theta: float, dt: float, memory: int = 1,
        learn_memory: bool = False, generator: torch.Generator | None = None,
    ):  # fmt: skip
        check_sizes(type(self).__name__, n_in=n_in, n_hidden=n_hidden, order=order, memory=memory)
        super().__init__()
        steps = _window(type(self).__name__, theta, dt)
        self.n_in, self.n_hidden, self.order, self.memory = n_in, n_hidden, order, memory
        self.theta, self.dt = float(theta), float(dt)
        for name, matrix in zip("AB", legendre_matrices(order, steps), strict=True):
            if learn_memory:
                setattr(self, name, nn.Parameter(matrix.float()))
            else:
                self.register_buffer(name, matrix.float())
        wide = memory * order
        self.E_x, self.E_h, self.E_m = (
            Linear(n, memory, generator=generator) for n in (n_in, n_hidden, wide)
        )
        self.W_x, self.W_h, self.W_m = (
            Linear(n, n_hidden, generator=generator) for n in (n_in, n_hidden, wide)
        )
        nn.init.zeros_(self.E_m.weight)
        for layer in (self.W_x, self.W_h, self.W_m):
            nn.init.xavier_normal_(layer.weight, generator=generator)

    def initial_state(self, x_t: Tensor) -> Any:
        """The state at rest for inputs like `x_t`, one step `B n_in`."""
        B = len(x_t)
        return LMUState(x_t.new_zeros(B, self.n_hidden), x_t.new_zeros(B, self.memory, self.order))

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run one time step `B n_in`, state in and state out; `None` is rest."""
        h, m = self._begin(x_t, state)
        u = self._to_memory(x_t, h, m)
        m = self._remember(m, u)
        h = torch.tanh(self._to_hidden(x_t, h, m))
        return h, LMUState(h, m)

    def parts(self, x: Tensor, y: Tensor) -> Iterator[tuple[str, Any, Tensor, Tensor]]:
        """Name, part, input and output of synapses and neurons over a sequence from rest, for `snnkit.trace`."""
        M, D = self.memory, self.order
        u, m = self._inside(x)
        yield "E_x", self.E_x, x, u
        yield "E_h", self.E_h, late(y), u
        yield "E_m", self.E_m, late(m).flatten(2), u
        yield "A", Wires(D, D, self.A.expand(M, D, D)), late(m).flatten(2), m
        yield "B", Wires(1, D, self.B.expand(M, D)), u, m
        yield "W_x", self.W_x, x, y
        yield "W_h", self.W_h, late(y), y
        yield "W_m", self.W_m, m.flatten(2), y

    def _inside(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The memories' inputs `T B memory` and coefficients `T B memory order` of a sequence from rest."""
        state, us, ms = self.initial_state(x[0]), [], []
        for x_t in x.unbind(0):
            us.append(self._to_memory(x_t, state.h, state.m))
            _, state = self.step(x_t, state)
            ms.append(state.m)
        return torch.stack(us), torch.stack(ms)

    def _to_memory(self, x: Tensor, h: Tensor, m: Tensor) -> Tensor:
        return _apply(self.E_x, x) + _apply(self.E_h, h) + _apply(self.E_m, m.flatten(1))

    def _remember(self, m: Tensor, u: Tensor) -> Tensor:
        return m @ self.A.t() + u.unsqueeze(-1) * self.B

    def _to_hidden(self, x: Tensor, h: Tensor, m: Tensor) -> Tensor:
        return _apply(self.W_x, x) + _apply(self.W_h, h) + _apply(self.W_m, m.flatten(1))

    def extra_repr(self) -> str:
        return f"{self.n_in}, {self.n_hidden}, order={self.order}, theta={self.theta:g}, dt={self.dt:g}, memory={self.memory}"


class L2MUState(NamedTuple):
    h: Tensor  # spikes of the hidden population [B, n_hidden]
    m: Tensor  # spikes of the memory population [B, memory, order]
    u: Any  # neurons of the input population
    memory: Any  # neurons of the memory population
    hidden: Any  # neurons of the hidden population


class L2MU(LMU):
    """Legendre memory unit in which every state is a spike (Fra et al. 2024, arXiv:2407.04076).

        s_u = LIF_u(E_x x + E_h s_h + E_m s_m)      s_m = LIF_m(Ā s_m + B̄ s_u)      s_h = LIF_h(W_x x + W_h s_h + W_m s_m)

    The neurons are v ← β·v + I - s·θ with one learnable β and θ per population. As spikes have no sign, the memory is no
    faithful window any more: what is left of it are the connections. Put a stage before it that makes spikes of the input,
    such as `Linear` and `LIF`, and a readout behind it.

    Args:
        n_in, n_hidden, order, theta, dt, memory, learn_memory, generator: as in `LMU`.
        u, m, h: (β, θ) of the three populations at the start; the defaults are those published for Braille with 7 letters.
        surrogate: of all neurons.

    Shapes: `T B n_in` to spikes `T B n_hidden`. The state is (h, m, u, memory, hidden).

    >>> L2MU(3, 8, order=4, theta=20e-3, dt=1e-3, memory=5)(torch.ones(6, 2, 3)).shape
    torch.Size([6, 2, 8])
    """

    State: type = L2MUState

    def __init__(
        self, n_in: int, n_hidden: int, *, order: int, theta: float, dt: float, memory: int = 1,
        u: tuple[float, float] = (0.8, 0.2), m: tuple[float, float] = (0.2, 0.4), h: tuple[float, float] = (0.45, 0.65),
        surrogate: Surrogate = ATan(), learn_memory: bool = False, generator: torch.Generator | None = None,
    ):  # fmt: skip
        for name, pair in (("u", u), ("m", m), ("h", h)):
            if not (isinstance(pair, tuple | list) and len(pair) == 2):
                raise UserError(f"L2MU: {name} is a pair (β, θ), such as (0.8, 0.2); got {pair!r}")
        super().__init__(
            n_in,
            n_hidden,
            order=order,
            theta=theta,
            dt=dt,
            memory=memory,
            learn_memory=learn_memory,
            generator=generator,
        )
        self.neuron_u, self.neuron_m, self.neuron_h = (
            LIF(
                tau=Decay(beta), threshold=threshold, dt=dt, reset_timing="next", surrogate=surrogate,
                learn=("tau", "threshold"),
            )
            for beta, threshold in (u, m, h)
        )  # fmt: skip

    def initial_state(self, x_t: Tensor) -> L2MUState:
        """The state at rest for inputs like `x_t`, one step `B n_in`."""
        h, m = super().initial_state(x_t)
        u = x_t.new_zeros(len(x_t), self.memory)
        cells = zip((self.neuron_u, self.neuron_m, self.neuron_h), (u, m, h), strict=True)
        return L2MUState(h, m, *(cell.initial_state(like) for cell, like in cells))

    def scan(self, x: Tensor, state: Any = None) -> tuple[Tensor, L2MUState]:
        """Run a sequence `T B n_in`, state in and state out; `None` is rest."""
        self._check(x)
        if not self._joined(x):
            return super().scan(x.to(self.A.dtype), state)  # under autocast, of another precision
        h, m, *cells = self._begin(x[0], state)
        weights = [k.weight for k in (self.E_x, self.E_h, self.E_m, self.W_x, self.W_h, self.W_m)]
        constants = [k.constants()[name].to(x) for k in self.neurons for name in ("decay", "theta")]
        start = memory_scan.Rest(h, m, *(k.v for k in cells))
        cell = memory_scan.Cell._make([*weights, self.A, self.B, *constants])
        y, end = memory_scan.unroll(x, start, cell, tuple(k.surrogate for k in self.neurons))
        states = (k.State(v) for k, v in zip(self.neurons, end[2:], strict=True))
        return y, L2MUState(end.h, end.m, *states)

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, L2MUState]:
        """Run one time step `B n_in`, state in and state out; `None` is rest."""
        state = self._begin(x_t, state)
        if not self._joined(x_t):
            return self.reference_step(x_t, state)
        y, state = self.scan(x_t.unsqueeze(0), state)
        return y[0], state

    def parts(self, x: Tensor, y: Tensor) -> Iterator[tuple[str, Any, Tensor, Tensor]]:
        """Name, part, input and output of synapses and neurons over a sequence from rest, for `snnkit.trace`."""
        u, m = self._inside(x)
        yield from super().parts(x, y)
        yield "neuron_u", self.neuron_u, u, u
        yield "neuron_m", self.neuron_m, m, m
        yield "neuron_h", self.neuron_h, y, y

    def _inside(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes of the input population `T B memory` and of the memory `T B memory order` of a sequence from rest."""
        state, us, ms = self.initial_state(x[0]), [], []
        for x_t in x.unbind(0):
            _, state = self.step(x_t, state)
            us.append((state.u.v >= self.neuron_u.threshold).to(x.dtype))
            ms.append(state.m)
        return torch.stack(us), torch.stack(ms)

    def _joined(self, x: Tensor) -> bool:
        """Whether `memory_scan` runs this: the neurons are still those of the equations, and nothing looks into torch's operations."""
        if transformed() or reference.chosen() or torch.is_autocast_enabled(x.device.type):
            return False
        return all(_as_written(k) for k in self.neurons)

    @property
    def neurons(self) -> tuple[LIF, LIF, LIF]:
        """The three populations, in the order of the equations."""
        return self.neuron_u, self.neuron_m, self.neuron_h

    def reference_step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, L2MUState]:
        """`step` by the neurons' own equations, one part after another: slow, and what the joined products are held against."""
        h, m, u_state, m_state, h_state = self._begin(x_t, state)
        u, u_state = self.neuron_u.step(self._to_memory(x_t, h, m), u_state)
        m, m_state = self.neuron_m.step(self._remember(m, u), m_state)
        h, h_state = self.neuron_h.step(self._to_hidden(x_t, h, m), h_state)
        return h, L2MUState(h, m, u_state, m_state, h_state)


def _as_written(k: LIF) -> bool:
    """Whether a population is that of L2MU: v ← β·v + I - s·θ with one β and one θ."""
    options = (k.reset, k.reset_timing, k.compare, k.solver, k.scale_input, k.detach_reset, k.leaks)
    usual = ("subtract", "next", ">=", "exact", False, False, False)
    return type(k) is LIF and options == usual and k.threshold.dim() == k.tau.dim() == 0


def _apply(layer: Linear, x: Tensor) -> Tensor:
    return F.linear(x, layer.weight)
