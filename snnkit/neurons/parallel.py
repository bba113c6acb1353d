"""Neurons without reset, whose spikes of all steps are computed at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.neurons.base import Neuron
from snnkit.neurons.equations import neuron
from snnkit.neurons.surrogate import ATan, Surrogate


@neuron("h", last=0.0)
def threshold(h, last, *, bias, fire):
    s, _ = fire(h + bias)
    return s, s


class _Threshold(Neuron):
    """Spikes where h >= 0, on the kernels; kernels want a state and a constant, which nobody reads."""

    equation = threshold

    def constants(self) -> dict[str, Tensor]:
        return {"bias": torch.zeros(())}


class _Parallel(nn.Module):
    """What parallel neurons share: a threshold function, and learned weights over time."""

    def __init__(self, surrogate: Surrogate, compare: str, dt: float | None):
        super().__init__()
        self.__dict__["_threshold"] = _Threshold(surrogate=surrogate, compare=compare)  # no layer of its own
        self.dt = dt

    @property
    def surrogate(self) -> Surrogate:
        """Stand-in for the derivative of a spike; assign another to anneal it."""
        return self.__dict__["_threshold"].surrogate

    @surrogate.setter
    def surrogate(self, value: Surrogate) -> None:
        self.__dict__["_threshold"].surrogate = value

    @property
    def compare(self) -> str:
        """ ">=" spikes at h = 0, ">" only above it."""
        return self.__dict__["_threshold"].compare

    def forward(self, x: Tensor) -> Tensor:
        """Run a sequence `[T, B, *N]`."""
        return self.scan(x)[0]

    def scan(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        raise NotImplementedError

    def _fire(self, h: Tensor) -> Tensor:
        return self.__dict__["_threshold"](h)

    def _check(self, x: Any) -> None:
        name = type(self).__name__
        if not isinstance(x, Tensor):
            raise TypeError(f"{name} expected a tensor, got {type(x).__name__}")
        if x.dim() < 2:
            raise UserError(f"{name} expected a sequence [T, B, *N], got {list(x.shape)}")


class PSN(_Parallel):
    """Parallel spiking neuron (Fang et al. 2023, NeurIPS): one matrix product over time instead of a recurrence.

        H = W·X + b        S = [H >= 0]        X: [T, ...], W: T T, b: T, learned

    Every step sees every other one, later ones too, and T is fixed: there is no state, and `step` and `scan` with a state are
    refused. All neurons of the layer share W and b. W begins as torch begins a linear layer, b at -1, minus the threshold.

    Args:
        steps: T.
        causal: keep only the lower triangle of W, so that no step sees a later one.
        generator: random numbers for W; default torch's own.
        surrogate, compare: see `Neuron`.
        dt: time between input samples [s]; not needed for the dynamics, kept for exporters.

    >>> cell = PSN(4, generator=torch.Generator().manual_seed(0))
    >>> cell(torch.ones(4, 2, 3)).shape
    torch.Size([4, 2, 3])
    """

    def __init__(
        self,
        steps: int,
        *,
        causal: bool = False,
        surrogate: Surrogate = ATan(),
        compare: str = ">=",
        dt: float | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__(surrogate, compare, dt)
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise UserError(f"{type(self).__name__} needs a number of steps, got {steps!r}")
        self.steps, self.causal = steps, bool(causal)
        bound = steps**-0.5
        self.weight = nn.Parameter(torch.empty(steps, steps).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.full((steps,), -1.0))

    def matrix(self) -> Tensor:
        """The weights in use, T T."""
        return self.weight.tril() if self.causal else self.weight

    def scan(self, x: Tensor, state: Any = None) -> tuple[Tensor, tuple[()]]:
        """`(m(x), ())` for a whole sequence; there is no state to hand on."""
        self._check(x)
        name = type(self).__name__
        if state not in (None, ()):
            raise UserError(f"{name} has no state; it needs whole sequences of {self.steps} steps")
        if len(x) != self.steps:
            raise UserError(
                f"{name}({self.steps}) needs sequences of {self.steps} steps, got {len(x)}; SlidingPSN takes any"
            )
        h = self.matrix() @ x.reshape(self.steps, -1) + self.bias[:, None]
        return self._fire(h.view(x.shape)), ()

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Refused: a step sees the whole sequence."""
        raise UserError(
            f"{type(self).__name__} has no single steps, it needs the whole sequence; SlidingPSN has them"
        )

    def initial_state(self, x_t: Any) -> tuple[()]:
        """There is none."""
        return ()

    def extra_repr(self) -> str:
        return f"{self.steps}, causal=True" if self.causal else f"{self.steps}"


class MaskedPSN(PSN):
    """Parallel spiking neuron that learns to look back at most k steps (Fang et al. 2023, NeurIPS).

        H = (W ∘ (λ·M + 1 - λ))·X + b        M[t, s] = 1 for t - k < s <= t, else 0

    λ is raised from 0 to 1 in training: assign `cell.strength`. At λ = 1 no step sees a later one.

    Args:
        steps: T.
        order: k.
        strength: λ, 0 to 1.
        surrogate, compare, dt, generator: see `PSN`.

    >>> MaskedPSN(5, order=2).matrix().count_nonzero().item()
    9
    """

    mask: Tensor

    def __init__(self, steps: int, *, order: int, strength: float = 1.0, **options: Any):
        super().__init__(steps, **options)
        if isinstance(order, bool) or not isinstance(order, int) or order < 1:
            raise UserError(f"MaskedPSN needs order >= 1, got {order!r}")
        if not 0 <= strength <= 1:
            raise UserError(f"MaskedPSN needs 0 <= strength <= 1, got {strength!r}")
        self.order, self.strength = order, float(strength)
        band = torch.ones(steps, steps).tril().triu(1 - order)
        self.register_buffer("mask", band, persistent=False)

    def matrix(self) -> Tensor:
        return super().matrix() * (self.strength * self.mask + (1.0 - self.strength))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, order={self.order}, strength={self.strength:g}"


class SlidingPSNState(NamedTuple):
    past: Tensor  # the last k - 1 inputs, oldest first [k - 1, B, *N]; zeros at rest


class SlidingPSN(_Parallel):
    """Parallel spiking neuron with a window that slides over time (Fang et al. 2023, NeurIPS).

        h[t] = Σ_j w[j]·x[t - k + 1 + j] + b, j = 0..k-1        s = [h >= 0]        x before the beginning is 0

    One set of weights for all steps, so sequences may be of any length and be cut anywhere: the state is the last k - 1
    inputs. The weights begin at ..., 1/4, 1/2, 1: the first k terms of a LIF neuron of τ = 2 steps under Euler's rule that is
    never reset. b begins at -1, minus its threshold.

    Args:
        order: k.
        surrogate, compare, dt: see `PSN`.

    >>> cell = SlidingPSN(3)
    >>> cell.weight.tolist(), cell(torch.tensor([0.6, 0.6, 0.6, 0.0]).view(4, 1, 1)).flatten().tolist()
    ([0.25, 0.5, 1.0], [0.0, 0.0, 1.0, 0.0])
    """

    def __init__(
        self, order: int, *, surrogate: Surrogate = ATan(), compare: str = ">=", dt: float | None = None
    ):
        super().__init__(surrogate, compare, dt)
        if isinstance(order, bool) or not isinstance(order, int) or order < 1:
            raise UserError(f"SlidingPSN needs order >= 1, got {order!r}")
        self.order = order
        self.weight = nn.Parameter(0.5 ** torch.arange(order - 1, -1, -1.0))
        self.bias = nn.Parameter(torch.tensor(-1.0))

    def scan(self, x: Tensor, state: Any = None) -> tuple[Tensor, SlidingPSNState]:
        """Run a sequence `[T, B, *N]`; state in, state out. None is rest."""
        self._check(x)
        past = self._past(x, state)
        seen, T = torch.cat([past, x]), len(x)
        h = self.weight[0] * seen[:T]
        for j in range(1, self.order):  # term by term, so that a sum does not depend on where time is cut
            h = h + self.weight[j] * seen[j : j + T]
        return self._fire(h + self.bias), SlidingPSNState(seen[T:])

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, SlidingPSNState]:
        """Run one time step `[B, *N]`; state in, state out. None is rest."""
        s, state = self.scan(x_t.unsqueeze(0), state)
        return s[0], state

    def initial_state(self, x_t: Tensor) -> SlidingPSNState:
        """The state at rest for inputs like `x_t`, one step `[B, *N]`."""
        return SlidingPSNState(x_t.new_zeros((self.order - 1, *x_t.shape)))

    def _past(self, x: Tensor, state: Any) -> Tensor:
        shape = (self.order - 1, *x.shape[1:])
        if state is None:
            return x.new_zeros(shape)
        if not isinstance(state, tuple) or len(state) != 1:
            raise UserError("SlidingPSN has the state (past,), as scan and step return it")
        if state[0].shape != shape:
            raise UserError(
                f"SlidingPSN: the state past has shape {list(state[0].shape)}, but the input asks for {list(shape)}"
            )
        return state[0]

    def extra_repr(self) -> str:
        return f"{self.order}"
