"""All-to-all synapses with a learnable delay each."""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snnkit.errors import UserError, nearest
from snnkit.events import EventTensor
from snnkit.kernels.delays.layer import FORMS, Kernel, Rows, delayed
from snnkit.kernels.delays.shift import shift
from snnkit.kernels.dense import spike_linear
from snnkit.kernels.sparse import event_linear
from snnkit.layers.base import expected
from snnkit.layers.initial import check_sizes, init_synapses

KINDS = ("synaptic", "axonal", "dendritic")


class DelayState(NamedTuple):
    under_way: Tensor  # what has been sent and not yet arrived [steps, B, n], the next step first


class _Carried(NamedTuple):
    """A state, or None for rest, that makes a call of the layer a scan."""

    state: Any


class DelayedLinear(nn.Module):
    """All-to-all synapses, each with a weight and a learnable delay:

        y[t, o] = b_o + Σ_i w[i, o] · Σ_n k_n(d[i, o]) · x[t - n, i]

    `form` is how a delay d, a real number of steps, acts on a grid of whole steps (Hammouamri et al. 2024, arXiv:2306.17670):

        "two-tap"    k_n = max(0, 1 - |n - d|): linear interpolation, the gradient sees the two neighbouring steps
        "gaussian"   k_n = g_n / Σ_m g_m, g_n = exp(-((n - d)/σ)²/2): the gradient sees as far as σ; shrink σ while training
                     (`DelayWidth`), and start wide where delays have to travel
        "integer"    k_n = [n = round(d)]: what chips do. In training the gradient is that of the two taps around d, so
                     delays are learned aware of their rounding

    `kind` "synaptic" has one delay per synapse, "axonal" one per input, "dendritic" one per output. Two-tap and integer delays
    run event-driven on sparse input, else on kernels for dense input; the Gaussian runs by transform in training. All agree up
    to rounding. In evaluation, `scan` and `step`, later input never touches earlier output, and for sparse input a sequence
    cut anywhere gives the same bits.

    Args:
        n_in, n_out: number of input and output channels.
        max_delay: longest delay [s], a whole number of steps.
        dt: time between input samples [s].
        form, kind: see above.
        sigma: width σ of the Gaussian, in steps; default half the window and a bit, as published. An attribute: set it any time.
        bias: add a learnable constant to every output in every step.
        learn_delays: whether `delay` is a parameter.
        initial_delay: delays at the start [s], a number or a tensor that broadcasts to the delays; default uniform from 0 to
            `max_delay`.
        tail: time by which `layer(x)` answers more steps than it got, so that late spikes ring out [s].
        generator: random numbers for weights and delays; default torch's own.

    Shapes: `T B n_in` to `T+tail B n_out`. `weight` is `n_in n_out` (not as in torch), `delay` likewise with 1 for the axis
    that its kind has not. Delays are held in steps, which is what their learning rate refers to; `delay_seconds` shows seconds.
    After each step of the optimiser call `clamp_()`, or `clamp_delays(net)`; until then a delay outside of its range acts as
    the border. The state is what is still under way.

    >>> layer = DelayedLinear(1, 1, max_delay=3e-3, dt=1e-3, initial_delay=2e-3)
    >>> x = torch.zeros(5, 1, 1); x[0] = 1.0
    >>> layer(x).flatten().nonzero().tolist()
    [[2]]
    """

    takes_events = True
    weight: Tensor
    delay: Tensor
    width: Tensor

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        max_delay: float,
        dt: float,
        form: str = "two-tap",
        kind: str = "synaptic",
        sigma: float | None = None,
        bias: bool = False,
        learn_delays: bool = True,
        initial_delay: float | Tensor | None = None,
        tail: float = 0.0,
        generator: torch.Generator | None = None,
    ):
        check_sizes("DelayedLinear", n_in=n_in, n_out=n_out)
        super().__init__()
        for word, given, known in (("form", form, FORMS), ("kind", kind, KINDS)):
            if given not in known:
                raise UserError(f"DelayedLinear: unknown {word} {given!r}; {nearest(str(given), known)}")
        if not dt > 0:
            raise UserError(f"DelayedLinear needs a positive dt in seconds, got {dt!r}")
        self.in_features, self.out_features = n_in, n_out
        self.dt, self.form, self.kind = float(dt), form, kind
        self.longest = _steps("max_delay", max_delay, dt)
        self.tail = _steps("tail", tail, dt)
        wide = max(0.23, (self.longest + 1) // 2) + 0.27
        self.register_buffer(
            "width", torch.tensor(_width(wide if sigma is None else sigma), dtype=torch.float64)
        )
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.empty(n_out)) if bias else None
        init_synapses(self.weight.t(), self.bias, generator)
        delay = self._initial(initial_delay, generator)
        if learn_delays:
            self.delay = nn.Parameter(delay)
        else:
            self.register_buffer("delay", delay)

    def _initial(self, seconds: float | Tensor | None, generator: torch.Generator | None) -> Tensor:
        shape = (
            1 if self.kind == "dendritic" else self.in_features,
            1 if self.kind == "axonal" else self.out_features,
        )
        if seconds is None:
            return torch.rand(shape, generator=generator) * self.longest
        steps = torch.as_tensor(seconds, dtype=torch.float64).detach() / self.dt
        try:
            steps = steps.expand(shape)
        except RuntimeError:
            raise UserError(
                f"DelayedLinear: initial_delay of shape {tuple(steps.shape)} does not broadcast to {shape}"
            ) from None
        if not bool(((steps > -1e-6) & (steps < self.longest + 1e-6)).all()):
            raise UserError(
                f"DelayedLinear: initial_delay lies between 0 and max_delay={self.longest * self.dt:g} s, got values from "
                f"{float(steps.min()) * self.dt:g} to {float(steps.max()) * self.dt:g} s"
            )
        return steps.clamp(0, self.longest).float().clone()

    # -- delays -----------------------------------------------------------------------------------------------------

    @property
    def max_delay(self) -> float:
        """Longest delay [s]."""
        return self.longest * self.dt

    @property
    def sigma(self) -> float:
        """Width of the Gaussian, in steps."""
        return float(self.width)

    @sigma.setter
    def sigma(self, steps: float) -> None:
        self.width.fill_(_width(steps))

    @property
    def delay_seconds(self) -> Tensor:
        """The delays [s]."""
        return self.delay * self.dt

    @torch.no_grad()
    def clamp_(self) -> None:
        """Bring the delays back into 0 .. max_delay; to be called after each step of an optimiser."""
        self.delay.clamp_(0, self.longest)

    def rounded(self) -> DelayedLinear:
        """A copy with whole delays: what is deployed. Its delays are fixed."""
        other = copy.deepcopy(self)
        delay = (self.delay.detach().clamp(0, self.longest) + 0.5).floor()
        if isinstance(other.delay, nn.Parameter):
            del other.delay
            other.register_buffer("delay", delay)
        else:
            other.delay.copy_(delay)
        other.form = "integer"  # and `width` stays, unused
        return other

    @property
    def _kernel(self) -> Kernel:
        window = self.longest + (1 if self.form == "gaussian" else 2)  # a spare row for the second tap
        return Kernel(self.form, window, self.sigma if self.form == "gaussian" else 0.0)

    # -- the three verbs --------------------------------------------------------------------------------------------

    def forward(self, x: Tensor | EventTensor, carried: _Carried | None = None) -> Any:
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
        y, state = self(x_t.unsqueeze(0), _Carried(state))  # as a call, so that hooks see it
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
            delay = self.delay.expand(self.in_features, self.out_features)
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
        if state is None:
            return None
        if not isinstance(state, tuple) or len(state) != 1:
            raise UserError(
                f"{self.label()} has the state (under_way,), as scan and step return it; got {type(state).__name__}"
            )
        n = self.in_features if self.kind == "axonal" else self.out_features
        want = (self._kernel.under_way, x.shape[1], n)
        if tuple(state[0].shape) != want:
            raise UserError(
                f"{self.label()}: the state has shape {tuple(state[0].shape)}, but the input asks for {want}; a state belongs "
                "to one batch and one form: pass None to begin another from rest"
            )
        return state[0]

    def label(self) -> str:
        return f"DelayedLinear({self.in_features}, {self.out_features})"

    def extra_repr(self) -> str:
        parts = [
            f"{self.in_features}, {self.out_features}, max_delay={self.max_delay:g}, dt={self.dt:g}",
            f"form={self.form!r}",
        ]
        parts += [f"kind={self.kind!r}"] * (self.kind != "synaptic")
        parts += [f"sigma={self.sigma:g}"] * (self.form == "gaussian")
        parts += [f"tail={self.tail * self.dt:g}"] * (self.tail > 0)
        return ", ".join(parts)


def _steps(name: str, seconds: float, dt: float) -> int:
    """A time as a whole number of steps."""
    ratio = float(seconds) / dt
    if not (math.isfinite(ratio) and ratio > -1e-6):
        raise UserError(f"DelayedLinear: {name} is a time in seconds, not negative; got {seconds!r}")
    if abs(ratio - round(ratio)) > 1e-3:
        raise UserError(
            f"DelayedLinear: {name} is a whole number of steps of dt={dt:g} s, got {seconds:g} s, which are {ratio:g} steps; "
            f"write {name}={round(ratio) * dt:g}"
        )
    return round(ratio)


def _width(sigma: float) -> float:
    if not (isinstance(sigma, int | float) and 0 < sigma < math.inf):
        raise UserError(
            f'DelayedLinear: sigma is a positive width in steps, got {sigma!r}; for hard delays use form="integer"'
        )
    return float(sigma)
