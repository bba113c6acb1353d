"""What all layers share: three verbs for a layer that treats every time step alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.events import EventTensor


class Stateless(nn.Module):
    """A layer without memory: time and batch are folded into rows `R *N`, and `rows` maps them.

    `y = layer(x)` takes a sequence `T B *N`, `scan` does the same and hands on the empty state `()`, `step` takes one
    step `B *N`. With `takes_events` set, the layer handles an `EventTensor` in `events` without making it dense.
    """

    takes_events = False

    def rows(self, x: Tensor) -> Tensor:
        """Rows `R *N` to rows `R *M`."""
        raise NotImplementedError

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse a sequence of this shape `T B *N` if it does not fit."""
        if len(shape) < 3:
            raise UserError(
                f"{self.label()} expected x of shape T B *N, got {shape}; for one sample T N pass x.unsqueeze(1), "
                "for one time step B N call .step(x)"
            )

    def events(self, x: EventTensor) -> Tensor | EventTensor:
        return self._fold(x.dense(self._dtype()))

    def forward(self, x: Tensor | EventTensor) -> Any:
        if isinstance(x, EventTensor):
            self.check(x.shape)
            return self.events(x)
        if not isinstance(x, Tensor):
            raise TypeError(f"{self.label()} takes a tensor or an EventTensor, got {type(x).__name__}")
        self.check(tuple(x.shape))
        return self._fold(x)

    def scan(self, x: Tensor | EventTensor, state: Any = None) -> tuple[Any, tuple[()]]:
        """`(layer(x), ())`; there is no state to hand on."""
        return self(x), ()

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, tuple[()]]:
        """One time step `B *N`."""
        return self(x_t.unsqueeze(0))[0], ()

    def label(self) -> str:
        """The layer in words for messages, such as `Linear(700, 256)`."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def sparse_enough(self, x: EventTensor, crossover: float) -> bool:
        """Whether the event-driven kernels take these events and pay: on the CPU, float32 or float64, of low density."""
        weight: Tensor = getattr(self, "weight")  # noqa: B009 (of the layers that call this)
        if x.device != weight.device:
            raise UserError(
                f"{self.label()} is on {weight.device} and its events on {x.device}; write ev.to('{weight.device}')"
            )
        plain = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64)
        return plain and x.density <= crossover

    def _fold(self, x: Tensor) -> Tensor:
        T, B = x.shape[:2]
        y = self.rows(x.reshape(T * B, *x.shape[2:]))
        return y.view(T, B, *y.shape[1:])

    def _dtype(self) -> torch.dtype:
        weight = getattr(self, "weight", None)
        return torch.float32 if weight is None else weight.dtype


def dense(x: Any) -> Tensor:
    """A sequence as a tensor; events of steps one after another gain nothing by being sparse."""
    if isinstance(x, EventTensor):
        return x.dense()
    if not isinstance(x, Tensor):
        raise TypeError(f"expected a tensor T B *N or an EventTensor, got {type(x).__name__}")
    return x


def check_one_dt(module: nn.Module) -> None:
    """Refuse layers that were made for steps of different lengths: what runs in one network runs at one speed."""
    seen: dict[float, str] = {}
    for path, layer in module.named_modules():
        dt = getattr(layer, "dt", None)
        if layer is module or not isinstance(dt, float):
            continue
        other = next((d for d in seen if not math.isclose(d, dt, rel_tol=1e-6)), None)
        if other is not None:
            raise UserError(
                f"{type(module).__name__}: {seen[other]} was made for steps of dt={other:g} s, but {path} "
                f"({type(layer).__name__}) for dt={dt:g} s; make both alike"
            )
        seen.setdefault(dt, f"{path} ({type(layer).__name__})")


def expected(
    label: str, want: str, shape: tuple[int, ...], fits: Callable[[tuple[int, ...]], bool]
) -> UserError:
    """The error for a wrong shape, with a hint if a known slip explains it."""
    size = shape[2:]
    hint = ""
    if len(shape) >= 3 and fits(shape[1:-1]):
        hint = "; if time comes last, pass x.movedim(-1, 0)"
    elif len(size) > 1 and fits((_product(size),)):
        hint = "; put a Flatten() before it"
    elif fits(shape[1:]):
        hint = "; for one time step call .step(x), for one sample pass x.unsqueeze(1)"
    return UserError(f"{label} expected x of shape {want}, got {shape}{hint}")


def _product(size: tuple[int, ...]) -> int:
    out = 1
    for n in size:
        out *= n
    return out
