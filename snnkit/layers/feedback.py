"""Loops around several layers, and connections within one layer by which its neurons hold each other down."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snnkit.activity import Wires
from snnkit.errors import UserError, nearest
from snnkit.events import EventTensor
from snnkit.layers.base import Stateless, check_one_dt, dense
from snnkit.layers.recurrent import Recurrent
from snnkit.layers.sequential import Sequential


class FeedbackState(NamedTuple):
    layers: Any  # the state of the layers in the loop
    last: Tensor  # what the last of them sent in the last step [B, *M]
    back: Any  # the state of the synapses that return it: what is under way, if they have delays


class Feedback(nn.Module):
    """Layers in a row, the output of the last of which returns to the input of the first one step later.

        y[t] = layers(x[t] + back(y[t-1]))

    Within a longer network, `Sequential(a, Feedback(b, c, back=d), e)` brings what `c` sends back to `b`; loops may stand in loops. In
    the first step nothing returns. Gradients flow through the loop; its steps run one after another.

    Args:
        *layers: modules in order, as for `Sequential`.
        back: synapses from the output `B *M` of the last layer to the input `B *N` of the first, such as `Linear(M, N)`, or
            `DelayedLinear`, whose delays come on top of the one step; or several in a `Sequential`.

    Shapes: `T B *N` to `T B *M`. The state is (layers, last, back).

    >>> from snnkit.layers import Linear
    >>> from snnkit.neurons import IF
    >>> net = Feedback(Linear(4, 3), IF(), Linear(3, 2), IF(), back=Linear(2, 4))
    >>> net(torch.ones(5, 1, 4)).shape
    torch.Size([5, 1, 2])
    """

    def __init__(self, *layers: nn.Module, back: nn.Module):
        super().__init__()
        if not layers:
            raise UserError("Feedback needs at least one layer in its loop")
        if not isinstance(back, nn.Module):
            raise TypeError(f"Feedback needs a layer as back, got {type(back).__name__}")
        self.layers = Sequential(*layers)
        self.back = back
        check_one_dt(self)

    def forward(self, x: Tensor | EventTensor) -> Tensor:
        """Run a sequence `T B *N` from rest."""
        return self.scan(x)[0]

    def scan(self, x: Tensor | EventTensor, state: Any = None) -> tuple[Tensor, FeedbackState]:
        """Run a sequence `T B *N`, state in and state out; `None` is rest."""
        x = dense(x)
        if x.dim() < 3 or not len(x):
            raise UserError(f"Feedback expected a sequence T B *N of at least one step, got {tuple(x.shape)}")
        rows = []
        for x_t in x.unbind(0):
            y, state = self.step(x_t, state)
            rows.append(y)
        return torch.stack(rows), state

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, FeedbackState]:
        """Run one time step `B *N`, state in and state out; `None` is rest."""
        inner, back = None, None
        if state is not None:
            inner, last, back = self._checked(state)
            returned, back = self._return(last, back)
            self._fits(returned, x_t)
            x_t = x_t + returned
        y, inner = self.layers.step(x_t, inner)
        return y, FeedbackState(inner, y, back)

    def parts(self, x: Any, y: Tensor) -> Iterator[tuple[str, Any, Tensor, Tensor]]:
        """Name, part, input and output of layers and synapses over a sequence from rest, for `snnkit.trace`."""
        x = dense(x)
        if len(y) > 1:
            scan = getattr(self.back, "scan", None)
            returned = scan(y[:-1])[0] if scan else torch.stack([self.back(row) for row in y[:-1]])
            yield "back", self.back, y[:-1], returned
            x = torch.cat([x[:1], x[1:] + returned])
        yield "layers", self.layers, x, y

    def _return(self, last: Tensor, state: Any) -> tuple[Tensor, Any]:
        step = getattr(self.back, "step", None)
        return step(last, state) if step else (self.back(last), None)

    @staticmethod
    def _checked(state: Any) -> tuple[Any, Tensor, Any]:
        if not (isinstance(state, tuple) and len(state) == 3 and isinstance(state[1], Tensor)):
            came = f"{len(state)} states" if isinstance(state, tuple) else type(state).__name__
            raise UserError(
                f"Feedback has the state (layers, last, back), as scan and step return it; got {came}"
            )
        return state

    @staticmethod
    def _fits(returned: Tensor, x_t: Tensor) -> None:
        if returned.shape != x_t.shape:
            raise UserError(
                f"Feedback: back answers {tuple(returned.shape)}, but the input of the loop is {tuple(x_t.shape)}"
            )


class Lateral(Recurrent):
    """A layer of neurons that inhibit each other: each spike lowers the input of the others in the next step.

        s[t], state = neuron(x[t] - Σ_j w_ij s_j[t-1], state)        w_ij = strength for j ≠ i (or all j), w ≥ 0

    Args:
        neuron: what has `step` and `initial_state`, such as `LIF(...)`.
        strength: of every connection at the start.
        shape: `*N` of the neurons, such as 100 or (16, 8, 8); needed if `learn="weights"`.
        across: "all", every neuron reaches every other; "channels", only those at the same place of other feature maps (`C H W`).
        itself: whether a neuron inhibits itself, too.
        learn: "" fixed; "strength", one number for all; "weights", one per connection (of neurons in a row). A learned number is
            applied as |w|, so that it stays inhibition.

    Fixed and one-number inhibition costs a sum, no matrix. Shapes and state as for `Recurrent`.

    >>> from snnkit.neurons import IF
    >>> x = torch.tensor([[[1.0, 0.0, 0.0]], [[1.0, 1.0, 0.0]]])
    >>> Lateral(IF(), strength=1.0)(x)[:, 0].tolist()  # the first one silences the second
    [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """

    def __init__(
        self, neuron: nn.Module, *, strength: float = 1.0, shape: int | tuple[int, ...] | None = None, across: str = "all",
        itself: bool = False, learn: str = "",
    ):  # fmt: skip
        super().__init__(neuron, Inhibition(strength, shape=shape, across=across, itself=itself, learn=learn))


class Inhibition(Stateless):
    """The synapses of `Lateral`: `R *N` to minus the weighted sum of the others' spikes, `R *N`."""

    def __init__(
        self, strength: float, *, shape: int | tuple[int, ...] | None, across: str, itself: bool, learn: str
    ):
        super().__init__()
        if (isinstance(strength, Tensor) and strength.numel() != 1) or not 0 <= float(strength) < math.inf:
            raise UserError(
                f"Lateral: strength is how much a spike inhibits, one number of 0 or more; got {strength!r}"
            )
        for what, word, known in (
            ("across", across, ("all", "channels")),
            ("learn", learn, ("", "strength", "weights")),
        ):
            if word not in known:
                raise UserError(f"Lateral: unknown {what} {word!r}; {nearest(str(word), known)}")
        self.across, self.itself, self.learn = across, bool(itself), learn
        self.shape = (shape,) if isinstance(shape, int) else None if shape is None else tuple(shape)
        value = torch.tensor(float(strength))
        if learn == "weights":
            value = value.expand(self._row(), self._row()).clone()
        if learn:
            self.strength: Tensor | nn.Parameter = nn.Parameter(value)
        else:
            self.register_buffer("strength", value)

    def _row(self) -> int:
        if self.shape is None or len(self.shape) != 1 or self.across != "all":
            raise UserError(
                f'Lateral: learn="weights" is for neurons in a row, such as shape=100 across "all"; got shape={self.shape}'
            )
        return self.shape[0]

    def rows(self, x: Tensor) -> Tensor:
        if self.across == "channels" and x.dim() != 4:
            raise UserError(f'Lateral across "channels" expected B C H W, got {tuple(x.shape)}')
        if self.shape is not None and tuple(x.shape[1:]) != self.shape:
            raise UserError(f"Lateral was made for neurons {self.shape}, got {tuple(x.shape[1:])}")
        w = self.strength.abs().to(x.dtype)
        if w.dim():
            w = w if self.itself else w - torch.diag(torch.diagonal(w))
            return -(x @ w.t())
        reach = 1 if self.across == "channels" else tuple(range(1, x.dim()))
        every = x.sum(reach, keepdim=True)
        return -w * (every.expand_as(x) if self.itself else every - x)

    def parts(self, x: Tensor, y: Tensor) -> Iterator[tuple[str, Any, Tensor, Tensor]]:
        """The synapses that a chip would need, for `snnkit.trace`."""
        n = math.prod(x.shape[2:])
        fan = (x.shape[2] if self.across == "channels" else n) - (not self.itself)
        yield "synapses", Wires(fan, fan, self.strength.new_zeros(()).expand(n, fan)), x.flatten(2), y

    def extra_repr(self) -> str:
        return f"across={self.across!r}, itself={self.itself}, learn={self.learn!r}"
