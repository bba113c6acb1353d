"""Layers one after another, and a network that keeps its state for live input."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.layers.base import check_one_dt
from snnkit.layers.shape import Dropout

# Layers of torch that would take time or batch for something else.
_MISTAKEN = {
    "Conv2d": "snnkit.Conv2d",
    "AvgPool2d": "snnkit.AvgPool2d",
    "Flatten": "snnkit.Flatten",
    "Dropout": "snnkit.Dropout",
    "Dropout2d": "snnkit.Dropout",
    "BatchNorm1d": "snnkit.BatchNorm",
    "BatchNorm2d": "snnkit.BatchNorm",
    "BatchNorm3d": "snnkit.BatchNorm",
    "MaxPool2d": "snnkit.SumPool2d (the maximum of spikes is no spike count)",
}


class Sequential(nn.Sequential):
    """Layers in a row, each taking what the one before gives: `torch.nn.Sequential` with the three verbs.

    `y = net(x)` runs a sequence `T B *N` (or an `EventTensor`) from rest, `y, state = net.scan(x, state)` carries state
    over chunks, `y_t, state = net.step(x_t, state)` is one step `B *N`. The state is a tuple of the layers' states.

    Element-wise modules of torch (`nn.ReLU`, `nn.Identity`) may stand in between. All layers that know their dt have the same.

    Args:
        *layers: modules in order, or one `OrderedDict` of names and modules, or one list.

    >>> from snnkit.layers import Linear
    >>> net = Sequential(Linear(4, 3), nn.ReLU(), Linear(3, 2))
    >>> y, state = net.scan(torch.zeros(5, 1, 4))
    >>> y.shape, state
    (torch.Size([5, 1, 2]), ((), (), ()))
    """

    takes_events = True
    input_shape: tuple[int, ...] | None = None  # *N of the input, where it is known: from a NIR graph

    def __init__(self, *layers: Any):
        if len(layers) == 1 and isinstance(layers[0], (list, tuple)):
            layers = tuple(layers[0])
        named = (
            layers[0].items()
            if len(layers) == 1 and isinstance(layers[0], OrderedDict)
            else enumerate(layers)
        )
        for name, layer in named:
            _check_layer(str(name), layer)
        super().__init__(*layers)
        check_one_dt(self)

    def forward(self, x: Tensor | EventTensor) -> Any:
        self._check_dt(x)
        for layer in self:
            x = layer(_fit(layer, x))
        return x

    def scan(self, x: Tensor | EventTensor, state: Any = None) -> tuple[Any, tuple]:
        """Run a sequence `T B *N`, state in and state out; `None` is rest."""
        self._check_dt(x)
        states = []
        for layer, s in zip(self, self._split(state), strict=True):
            scan = getattr(layer, "scan", None)
            x, s = scan(_fit(layer, x), s) if scan else (layer(_fit(layer, x)), ())
            states.append(s)
        return x, tuple(states)

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Any, tuple]:
        """Run one time step `B *N`, state in and state out; `None` is rest."""
        states = []
        for layer, s in zip(self, self._split(state), strict=True):
            step = getattr(layer, "step", None)
            x_t, s = step(x_t, s) if step else (layer(x_t), ())
            states.append(s)
        return x_t, tuple(states)

    def _check_dt(self, x: Tensor | EventTensor) -> None:
        """Events know how long their steps are; neurons made for other steps would run at the wrong speed."""
        if not isinstance(x, EventTensor):
            return
        for path, module in self.named_modules():
            dt = getattr(module, "dt", None)
            if dt is not None and not math.isclose(dt, x.dt, rel_tol=1e-6):
                raise UserError(
                    f"the events have steps of dt={x.dt:g} s, but layer {path} ({type(module).__name__}) was made for "
                    f"dt={dt:g} s; make both alike"
                )

    def _split(self, state: Any) -> tuple:
        if state is None:
            return (None,) * len(self)
        if not isinstance(state, tuple) or len(state) != len(self):
            came = f"{len(state)} states" if isinstance(state, tuple) else type(state).__name__
            raise UserError(
                f"expected the state of {len(self)} layers as a tuple, as scan and step return it; got {came}"
            )
        return state


class Stream:
    """A network that holds its state, for live input: the one object in snnkit that remembers.

    Runs without gradients. A network with batch normalisation or dropout has to be in evaluation mode.

    >>> from snnkit.layers import Linear
    >>> live = Stream(Sequential(Linear(4, 2)))
    >>> live(torch.zeros(1, 4)).shape, live.push(torch.zeros(10, 1, 4)).shape
    (torch.Size([1, 2]), torch.Size([10, 1, 2]))
    """

    def __init__(self, net: Any):
        if not (hasattr(net, "scan") and hasattr(net, "step")):
            raise TypeError(
                f"Stream needs a network with scan and step, such as snnkit.Sequential; got {type(net).__name__}"
            )
        self.net = net
        self.state: Any = None

    @torch.no_grad()
    def __call__(self, x_t: Tensor) -> Tensor:
        """One time step `B *N`."""
        self._check()
        y_t, self.state = self.net.step(x_t, self.state)
        return y_t

    @torch.no_grad()
    def push(self, chunk: Tensor | EventTensor) -> Tensor:
        """Some time steps `T B *N`, dense or events."""
        self._check()
        y, self.state = self.net.scan(chunk, self.state)
        return y

    def reset(self) -> None:
        """Back to rest."""
        self.state = None

    def _check(self) -> None:
        for name, module in self.net.named_modules():
            if module.training and isinstance(module, (Dropout, _BatchNorm)):
                raise UserError(
                    f"layer {name} ({type(module).__name__}) is in training mode; call net.eval() first"
                )

    def __repr__(self) -> str:
        return f"Stream({self.net!r}, {'at rest' if self.state is None else 'running'})"


def _fit(layer: nn.Module, x: Any) -> Any:
    """Events as they are for layers that take them, dense for the others."""
    if isinstance(x, EventTensor) and not getattr(layer, "takes_events", False):
        return x.dense()
    return x


def _check_layer(name: str, layer: Any) -> None:
    if not isinstance(layer, nn.Module):
        raise TypeError(
            f"layer {name} is {layer!r}, which is no module; write it with brackets, such as Flatten()"
        )
    kind = type(layer)
    if kind.__module__.startswith("torch.nn.") and kind.__name__ in _MISTAKEN:
        raise TypeError(
            f"layer {name} is torch's {kind.__name__}, which knows no time axis; use {_MISTAKEN[kind.__name__]}"
        )
