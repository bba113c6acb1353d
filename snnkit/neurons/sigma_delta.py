"""Signals sent as their changes: delta encoder, sigma decoder, and a unit that is both."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from torch import Tensor

from snnkit.errors import UserError, nearest
from snnkit.neurons.base import Neuron, Value
from snnkit.neurons.equations import Equation, neuron
from snnkit.neurons.language import maximum, round_through, through, trunc_through

SENDS = ("graded", "round", "trunc")


def _delta(a: Any, sent: Any, theta: Any, fire: Any, send: str) -> tuple[Any, Any]:
    """What is sent of a signal `a`, of which `sent` has been sent, and the new `sent`."""
    e = a - sent
    if send == "graded":
        large, _ = fire(abs(e) - theta)
        s = through(e * large, e)
    else:
        s = theta * (round_through(e / theta) if send == "round" else trunc_through(e / theta))
    return s, sent + s


@cache
def delta(send: str) -> Equation:
    """The encoder: what is not sent yet is sent when it is large enough."""

    def step(x: Any, sent: Any, *, theta: Any, fire: Any) -> tuple:
        return _delta(x, sent, theta, fire, send)

    return Equation("delta", step, ("x",), {"sent": 0.0}, ("theta",), ("fire",), (delta, (send,)))


@cache
def sigma_delta(send: str, activation: str | None) -> Equation:
    """Decoder, activation and encoder in one step."""

    def step(x: Any, y: Any, sent: Any, *, theta: Any, bias: Any, fire: Any) -> tuple:
        y = y + x
        a = y + bias
        s, sent = _delta(maximum(a, 0.0) if activation == "relu" else a, sent, theta, fire, send)
        return s, y, sent

    made_by = (sigma_delta, (send, activation))
    rest = {"y": 0.0, "sent": 0.0}
    return Equation("sigma_delta", step, ("x",), rest, ("theta", "bias"), ("fire",), made_by)


@neuron("x", y=0.0)
def sigma(x, y):
    y = y + x
    return y, y


class DeltaEncoderState(NamedTuple):
    sent: Tensor  # sum of what was sent [B, *N]


class DeltaEncoder(Neuron):
    """Sends the changes of a signal (delta modulation; O'Connor and Welling 2017; Yousefzadeh and Sifalakis 2022).

        e = x - r        s = e if |e| >= θ, else 0 (send="graded"); θ·round(e/θ); θ·trunc(e/θ)        r = r + s

    The receiver, `SigmaDecoder`, adds up and is off by less than θ, by at most θ/2 when rounded; by nothing for θ = 0, graded.
    The derivative is that of e, straight through the steps. Halves round upwards.

    Args:
        threshold: θ >= 0, a number or a tensor that broadcasts to `*N`; > 0 for rounded values.
        send: "graded", "round" or "trunc".
        dt: time between input samples [s]; not needed for the dynamics, kept for exporters.
        compare, learn: see `Neuron`; learnable: threshold, for rounded values.

    >>> import torch
    >>> x = torch.tensor([0.0, 0.4, 0.7, 0.8, -0.5]).view(5, 1, 1)
    >>> [round(s, 3) for s in DeltaEncoder(threshold=0.5)(x).flatten().tolist()]
    [0.0, 0.0, 0.7, 0.0, -1.2]
    """

    equation = delta("graded")
    State = DeltaEncoderState
    learnable = ("threshold",)
    threshold: Tensor

    def __init__(
        self,
        *,
        threshold: Value,
        send: str = "graded",
        dt: float | None = None,
        compare: str = ">=",
        learn: str | Sequence[str] = (),
    ):
        self.send = send
        super().__init__(dt=dt, compare=compare, learn=learn)
        _add_threshold(self, threshold)

    def form(self) -> Equation:
        _check_send(self)
        return delta(self.send)

    def constants(self) -> dict[str, Tensor]:
        return {"theta": self.threshold}


class SigmaDecoderState(NamedTuple):
    y: Tensor  # the sum [B, *N]


class SigmaDecoder(Neuron):
    """Adds up what a `DeltaEncoder` sent: y = y + x, and the output is y.

    >>> import torch
    >>> SigmaDecoder()(torch.tensor([0.0, 0.75, 0.0, -1.25]).view(4, 1, 1)).flatten().tolist()
    [0.0, 0.75, 0.75, -0.5]
    """

    equation = sigma
    State = SigmaDecoderState

    def __init__(self, *, dt: float | None = None):
        super().__init__(dt=dt, reset="none")

    def constants(self) -> dict[str, Tensor]:
        return {}


class SigmaDeltaState(NamedTuple):
    y: Tensor  # sum of the changes received [B, *N]
    sent: Tensor  # sum of what was sent [B, *N]


class SigmaDelta(Neuron):
    """A unit of a network that talks in changes: decoder, activation and `DeltaEncoder` in one step.

        y = y + x        e = f(y + b) - r        s = e if |e| >= θ, else 0 (or rounded)        r = r + s

    Between such units stand linear layers without a bias, as the sum of changes is the change of the sum; the bias is here. With
    θ = 0 the network computes what the ordinary one does in every step; a larger θ sends less. For input that is a
    signal and not its changes begin with `DeltaEncoder`, and end with `SigmaDecoder`.

    Args:
        threshold, send: see `DeltaEncoder`.
        activation: f, "relu" or None for none.
        bias: b, a number or a tensor that broadcasts to `*N`.
        dt: time between input samples [s]; not needed for the dynamics, kept for exporters.
        compare, learn: see `Neuron`; learnable: threshold (for rounded values), bias.

    >>> import torch
    >>> x = torch.tensor([0.5, 0.5, -2.0, 1.5]).view(4, 1, 1)
    >>> SigmaDelta(threshold=0.25)(x).flatten().tolist()  # the sum is 0.5, 1, -1, 0.5
    [0.5, 0.5, -1.0, 0.5]
    """

    equation = sigma_delta("graded", "relu")
    State = SigmaDeltaState
    learnable = ("threshold", "bias")
    threshold: Tensor
    bias: Tensor

    def __init__(
        self,
        *,
        threshold: Value,
        send: str = "graded",
        activation: str | None = "relu",
        bias: Value = 0.0,
        dt: float | None = None,
        compare: str = ">=",
        learn: str | Sequence[str] = (),
    ):
        self.send, self.activation = send, activation
        super().__init__(dt=dt, compare=compare, learn=learn)
        _add_threshold(self, threshold)
        self.add_parameter("bias", bias)

    def form(self) -> Equation:
        _check_send(self)
        if self.activation not in ("relu", None):
            raise UserError(f'SigmaDelta: activation is "relu" or None, got {self.activation!r}')
        return sigma_delta(self.send, self.activation)

    def constants(self) -> dict[str, Tensor]:
        return {"theta": self.threshold, "bias": self.bias}


def _check_send(cell: Any) -> None:
    if cell.send not in SENDS:
        raise UserError(
            f"{type(cell).__name__}: unknown send {cell.send!r}; {nearest(str(cell.send), SENDS)}"
        )


def _add_threshold(cell: Any, threshold: Value) -> None:
    name = type(cell).__name__
    cell.add_parameter("threshold", threshold)
    if "threshold" in cell._learn and cell.send == "graded":
        raise UserError(
            f'{name}: a graded signal does not depend on the threshold smoothly; learn it with send="round"'
        )
    if not bool((cell.threshold >= 0).all() if cell.send == "graded" else (cell.threshold > 0).all()):
        raise UserError(
            f"{name} needs a threshold {'>=' if cell.send == 'graded' else '>'} 0, got {threshold!r}"
        )
