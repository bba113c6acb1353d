"""What recurrent cells share: `n_in` inputs, one step function, sequences from rest, spikes of a membrane."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from snnkit.errors import UserError, nearest
from snnkit.layers.base import expected
from snnkit.neurons import reference
from snnkit.neurons.surrogate import Surrogate


def late(y: Tensor) -> Tensor:
    """A sequence one step later, zeros first."""
    return torch.cat([torch.zeros_like(y[:1]), y[:-1]])


class Cell(nn.Module):
    """What has `n_in` inputs, steps through time and begins at rest."""

    n_in: int
    dt: float | None = None
    State: type  # a NamedTuple; tensors in it have the batch first

    def initial_state(self, x_t: Tensor) -> Any:
        raise NotImplementedError

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Run a sequence `T B n_in` from rest."""
        return self.scan(x)[0]

    def scan(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run a sequence `T B n_in`, state in and state out; `None` is rest."""
        self._check(x)
        rows = []
        for x_t in x.unbind(0):
            y, state = self.step(x_t, state)
            rows.append(y)
        return torch.stack(rows), state

    def _check(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            hint = "; write x.dense()" if hasattr(x, "dense") else ""
            raise TypeError(f"{type(self).__name__} expected a tensor, got {type(x).__name__}{hint}")
        if x.dim() != 3 or x.shape[2] != self.n_in:
            raise expected(
                type(self).__name__, f"T B {self.n_in}", tuple(x.shape), lambda s: s == (self.n_in,)
            )
        if not len(x):
            raise UserError(f"{type(self).__name__} needs at least one time step")
        self._check_dtype(x)

    def _check_dtype(self, x: Tensor) -> None:
        like = next(self.parameters())
        if x.dtype != like.dtype and not torch.is_autocast_enabled(x.device.type):
            raise UserError(
                f"{type(self).__name__} has weights of {like.dtype} and got input of {x.dtype}; write x.to({like.dtype})"
            )

    def _begin(self, x_t: Tensor, state: Any) -> Any:
        """The state to begin a step `B n_in` with; `None` is rest."""
        name, fields = type(self).__name__, self.State._fields  # type: ignore[attr-defined]
        if x_t.dim() != 2 or x_t.shape[1] != self.n_in:
            raise UserError(f"{name} expected one time step B {self.n_in}, got {tuple(x_t.shape)}")
        if state is None:
            self._check_dtype(x_t)
            return self.initial_state(x_t)
        if not (isinstance(state, tuple) and len(state) == len(fields)):
            came = f"{len(state)} states" if isinstance(state, tuple) else type(state).__name__
            raise UserError(
                f"{name} has the state ({', '.join(fields)}), as scan and step return it; got {came}"
            )
        for field, s in zip(fields, state, strict=True):
            if isinstance(s, Tensor) and len(s) != len(x_t):
                raise UserError(
                    f"{name}: the state has {field} of shape {tuple(s.shape)}, but the input has a batch of {len(x_t)}; a state "
                    "belongs to one batch: pass None to begin another from rest"
                )
        return self.State(*state)


class SpikingCell(Cell):
    """A cell whose output is the spikes of a membrane.

    Args:
        threshold: θ.
        reset: what a spike does to the membrane one step later: one of `resets`.
        surrogate, compare, detach_reset: as for every neuron.
        learn: "threshold" makes θ a parameter.
    """

    resets: tuple[str, ...] = ("subtract", "zero", "none")

    def __init__(
        self,
        *,
        threshold: float,
        reset: str,
        surrogate: Surrogate,
        compare: str,
        detach_reset: bool,
        learn: str | tuple[str, ...] = (),
    ):
        super().__init__()
        name, words = type(self).__name__, (learn,) if isinstance(learn, str) else tuple(learn)
        for what, word, known in (
            ("reset", reset, self.resets),
            ("compare", compare, (">=", ">")),
            *(("learn", w, ("threshold",)) for w in words),
        ):
            if word not in known:
                raise UserError(f"{name}: unknown {what} {word!r}; {nearest(str(word), known)}")
        if not isinstance(surrogate, Surrogate):
            raise TypeError(f"{name} needs a surrogate such as surrogate.ATan(), got {surrogate!r}")
        self.reset, self.compare, self.detach_reset, self.surrogate = reset, compare, detach_reset, surrogate
        value = torch.tensor(float(threshold))
        if "threshold" in words:
            self.threshold: Tensor | nn.Parameter = nn.Parameter(value)
        else:
            self.register_buffer("threshold", value)

    def fire(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """The spikes of a membrane, and those that reset it."""
        shoot = reference.fire_with(self.surrogate, strict=self.compare == ">", detached=self.detach_reset)
        return shoot(v - self.threshold)

    def after_reset(self, v: Tensor, before: Tensor) -> Tensor:
        """The charged membrane after the spike that it sent one step ago, when it was `before`."""
        if self.reset == "none":
            return v
        r = self.fire(before)[1]
        return v - r * self.threshold if self.reset == "subtract" else v - r * v
