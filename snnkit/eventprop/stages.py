"""A network as stages that run from event to event: weights, and the neurons or readouts behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from snnkit.errors import UserError
from snnkit.layers.delays import DelayedLinear
from snnkit.layers.linear import Linear
from snnkit.layers.recurrent import Recurrent
from snnkit.layers.shape import Dropout, Flatten
from snnkit.neurons.cuba import CubaLIF
from snnkit.neurons.readout import LeakyIntegrator


@dataclass(frozen=True)
class Stage:
    """Weights with the neurons that they drive, or with one or two leaky integrators."""

    name: str  # of the weights
    synapses: Any
    dt: float
    neuron: Any = None
    neuron_name: str = ""
    loop: Any = None  # weights from the neurons to themselves
    leaks: tuple[Any, ...] = ()

    @property
    def reads(self) -> bool:
        return self.neuron is None

    @property
    def n_in(self) -> int:
        return self.synapses.in_features

    @property
    def n_out(self) -> int:
        return self.synapses.out_features

    @property
    def tail(self) -> float:
        """By how much longer it runs than its input [s]."""
        return getattr(self.synapses, "tail", 0) * self.dt


def stages(net: nn.Module) -> list[Stage]:
    """The stages of a network.

    Raises:
        UserError: naming everything that has no exact event-driven form, all at once.
    """
    layers = [(name, layer) for name, layer in _flat(net) if not _passes(layer)]
    wrong = [f"{name} ({type(layer).__name__}) {why}" for name, layer in layers for why in _refusals(layer)]
    if not wrong:
        wrong = _order_of([layer for _, layer in layers])
    if wrong:
        raise UserError("eventprop cannot run this network from event to event: " + "; ".join(wrong))
    found: list[Stage] = []
    k = 0
    while k < len(layers):
        (name, synapses), (neuron_name, neuron) = layers[k], layers[k + 1]
        k += 2
        dt = float(neuron.dt)  # type: ignore[arg-type]
        if isinstance(neuron, LeakyIntegrator):
            leaks = tuple(layer for _, layer in layers[k - 1 :])
            found.append(Stage(name, synapses, dt, leaks=leaks))
            break
        loop = neuron.weight if isinstance(neuron, Recurrent) else None
        cell = neuron.neuron if isinstance(neuron, Recurrent) else neuron
        found.append(Stage(name, synapses, dt, cell, neuron_name, loop))
    return found


def _flat(net: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    if not isinstance(net, nn.Sequential):
        yield prefix or type(net).__name__, net
        return
    for name, layer in net._modules.items():  # named_children leaves out what comes twice
        yield from _flat(layer, f"{prefix}.{name}" if prefix else name)


def _passes(layer: nn.Module) -> bool:
    return isinstance(layer, (Flatten, nn.Identity)) or (isinstance(layer, Dropout) and not layer.training)


def _refusals(layer: Any) -> list[str]:
    """What is wrong with a layer by itself."""
    if isinstance(layer, (CubaLIF, LeakyIntegrator)) and layer.dt is None:
        return ["needs time constants in seconds and dt, not factors per step"]
    if isinstance(layer, Recurrent):
        inner, weight = layer.neuron, layer.weight
        wrong = (
            []
            if isinstance(inner, CubaLIF)
            else [f"is a loop of {type(inner).__name__}; only CubaLIF has an exact form"]
        )
        wrong += (
            []
            if isinstance(weight, (Linear, DelayedLinear))
            else ["needs Linear or DelayedLinear in its loop"]
        )
        if not wrong and weight.in_features != weight.out_features:
            wrong = [f"maps {weight.in_features} neurons to {weight.out_features} in its loop"]
        return wrong or [*_refusals(inner), *_refusals(weight)]
    if isinstance(layer, (Linear, DelayedLinear)):
        return _weights_refusals(layer)
    if isinstance(layer, CubaLIF):
        wrong = [] if layer.gradient == "eventprop" else ['needs gradient="eventprop"']
        wrong += [] if bool((layer.threshold > 0).all()) else ["needs a threshold above 0"]
        return wrong + (["needs initial_v=0"] if bool(layer.initial_v.any()) else [])
    if isinstance(layer, LeakyIntegrator):
        plain = layer.solver == "exact" and not layer.scale_input and not layer.leaks and not layer._learn
        if plain and not bool(layer.initial_v.any()):
            return []
        return ["needs solver, scale_input, v_leak, initial_v and learn as they are by default"]
    if isinstance(layer, Dropout):
        return ["is in training; call .eval(), or leave it out"]
    return [
        "has no exact form; there are Linear, DelayedLinear, CubaLIF, Recurrent, LeakyIntegrator and Flatten"
    ]


def _weights_refusals(layer: Any) -> list[str]:
    wrong = []
    if layer.bias is not None:
        wrong.append("has a bias, a current that is no event; write bias=False")
    if layer.weight.device.type != "cpu":
        wrong.append(f"is on {layer.weight.device}; the kernels run on the CPU, write net.cpu()")
    if getattr(layer, "kernel_count", 1) > 1:
        wrong.append(
            f"has kernel_count={layer.kernel_count}, several synapses per pair; write kernel_count=1"
        )
    if getattr(layer, "form", "") == "gaussian":
        wrong.append('spreads every spike over a window; write form="two-tap" or "integer"')
    return wrong


def _order_of(layers: list[nn.Module]) -> list[str]:
    """What is wrong with the order of layers that are right by themselves."""
    kinds = "".join(
        "w" if isinstance(m, (Linear, DelayedLinear)) else "r" if isinstance(m, LeakyIntegrator) else "s"
        for m in layers
    )
    body = kinds.rstrip("r")
    reads = len(kinds) - len(body)
    body = body[:-1] if reads and body.endswith("w") else body if not reads else "x"
    fine = reads <= 2 and body == "ws" * (len(body) // 2) and kinds
    if not fine:
        return [
            "expected weights and neurons in turn, and in the end perhaps weights and one or two LeakyIntegrators; got "
            + (", ".join(type(m).__name__ for m in layers) or "no layers")
        ]
    steps = {float(dt) for m in layers if (dt := getattr(m, "dt", None)) is not None}
    return [f"all layers need one dt, got {sorted(steps)}"] if len(steps) > 1 else []
