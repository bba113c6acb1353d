"""Networks as NIR graphs (Pedersen et al. 2024, Nat. Commun. 15:8122), with what NIR leaves open in the metadata.

Layers become nodes here; `nir_neurons` writes neurons, `nir_delays` delays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

from snnkit.activity import layer_names
from snnkit.errors import UserError
from snnkit.interop.nir_delays import DELAYED, delay_node, delays_of, turned, unwritable
from snnkit.interop.nir_neurons import TIME_CONSTANTS, array, neuron_node
from snnkit.layers import (
    AvgPool2d,
    BatchNorm,
    Conv2d,
    DelayedConv2d,
    DelayedLinear,
    Dropout,
    Flatten,
    SumPool2d,
)
from snnkit.neurons import IF, LIF, AdaptiveLIF, CubaLIF, LeakyIntegrator, Neuron
from snnkit.neurons.membrane import Membrane

Shape = tuple[int, ...]


@torch.no_grad()
def to_nir(net: nn.Module, input_shape: int | Sequence[int] | None = None) -> nir.NIRGraph:
    """The network as a NIR graph: one node per layer, named as in `snnkit.trace` ("0", "1", ...).

    Batch normalisation (with its running statistics) is folded into the layer before it; dropout is left out. `from_nir`
    gives a network that spikes identically; with batch normalisation, identically up to the rounding of the fold.

    Args:
        net: a `Sequential` (nested is fine) of synapses, pooling, Flatten and neurons, or one such layer.
        input_shape: *N of the input, such as (2, 34, 34); needed unless the first layer is a Linear.

    Raises:
        UserError: naming every layer that has no NIR node.
    """
    if not isinstance(net, nn.Module):
        hint = "; pass its .net" if isinstance(getattr(net, "net", None), nn.Module) else ""
        raise TypeError(f"to_nir takes a network (a torch module), got {type(net).__name__}{hint}")
    layers = _fold(_chain(net))
    if not layers:
        raise UserError("the network has no layer to write")
    given = getattr(net, "input_shape", None) if input_shape is None else input_shape
    shape = _input_shape(layers[0], given)
    ends = [_free(name, {layer.name for layer in layers}) for name in ("input", "output")]
    nodes: dict[str, nir.NIRNode] = {ends[0]: nir.Input({"input": np.array(shape)})}
    for layer in layers:
        node, out = _node(layer, shape)
        for name, part, size in _in_order(layer, node, shape, out):
            part.input_type, part.output_type = {"input": np.array(shape)}, {"output": np.array(size)}
            nodes[name], shape = part, size
    nodes[ends[1]] = nir.Output({"output": np.array(shape)})
    steps = {layer.module.dt for layer in layers if isinstance(layer.module, Neuron)} - {None}
    about: dict[str, Any] = {"snnkit": _version()}
    if len(steps) == 1:
        about["dt"] = steps.pop()
    # nir's own type check knows neither grouped convolutions nor kernels that are not square; shapes are known here.
    return nir.NIRGraph(nodes, list(pairwise(nodes)), metadata=about, type_check=False)


def _version() -> str:
    try:
        return version("snnkit")
    except PackageNotFoundError:  # run from a source tree without installation
        return "unknown"


# -- the chain of layers ----------------------------------------------------------------------------------------------


@dataclass
class Layer:
    """A layer on its way to a node: its weights may have taken up a batch normalisation."""

    name: str
    module: nn.Module
    weight: Tensor | None = None
    bias: Tensor | None = None


def _chain(net: nn.Module) -> list[Layer]:
    """The leaves in order, provided that the network runs them one after another."""
    within: set[int] = set()
    loops = []
    for path, module in net.named_modules():
        if hasattr(module, "parts") and id(module) not in within:
            within.update(id(m) for m in module.modules())
            loops.append(f"layer {path or '0'} is a {type(module).__name__}")
    if loops:
        raise UserError(
            f"{'; '.join(loops)}: layers with loops of their own have no NIR node that would run alike elsewhere, and the graphs of "
            "snnkit are chains; keep the network in snnkit and save its weights with snnkit.training.save_weights"
        )
    for path, module in net.named_modules():
        if any(True for _ in module.children()) and not isinstance(module, nn.Sequential):
            where = f"layer {path}" if path else "the network"
            raise UserError(
                f"{where} is a {type(module).__name__}, whose order of computation is unknown; write it as a Sequential"
            )
    layers, problems = [], []
    for name, module in layer_names(net).items():
        if isinstance(module, (Dropout, nn.Identity)):
            continue
        if isinstance(module, AdaptiveLIF):
            problems.append(
                f"{name} is an AdaptiveLIF, and NIR has no neuron with adaptation (use LIF or CubaLIF, or keep the "
                "network in snnkit and save its weights)"
            )
        elif not isinstance(module, KNOWN):
            problems.append(f"{name} is a {type(module).__name__}")
        elif several := unwritable(module):
            problems.append(f"{name} is a {type(module).__name__} with {several}")
        elif isinstance(module, Membrane) and not _familiar(module):
            problems.append(f"{name} is a {type(module).__name__}, a neuron with a step of its own")
        elif isinstance(module, Membrane) and (untold := _untold(module)):
            problems.append(
                f"{name} is a {type(module).__name__} with {untold}, which a NIR file of snnkit does not carry"
            )
        weight = getattr(module, "weight", None)
        if isinstance(module, DELAYED):
            weight = turned(module.weight)
        layers.append(Layer(name, module, weight, getattr(module, "bias", None)))
    if problems:
        raise UserError(
            "NIR has Linear, DelayedLinear, Conv2d, DelayedConv2d, AvgPool2d, SumPool2d, Flatten, IF, LIF, CubaLIF and LeakyIntegrator; layer "
            + "; layer ".join(problems)
        )
    return layers


KNOWN = (
    nn.Linear,
    Conv2d,
    *DELAYED,
    AvgPool2d,
    SumPool2d,
    Flatten,
    BatchNorm,
    IF,
    LIF,
    CubaLIF,
    LeakyIntegrator,
)


def _familiar(m: Membrane) -> bool:
    """Whether a neuron is one of NIR's, or derived from one without another equation."""
    kinds: tuple[Any, ...] = tuple(TIME_CONSTANTS)
    return any(isinstance(m, k) and type(m).equation is k.equation for k in kinds)


def _untold(m: Membrane) -> str:
    """The option of a membrane that the readers of our NIR nodes, chips among them, would miss; empty if none."""
    options = {
        f"reset_timing={m.reset_timing!r}": m.reset_timing != "same",
        "a v_leak other than 0": m.leaks,
        'reset="value"': m.targets,
        f"order={getattr(m, 'order', '')!r}": getattr(m, "order", "synapse_first") != "synapse_first",
        f"scale_input={m.scale_input!r}": isinstance(m.scale_input, str),
    }
    return next((said for said, used in options.items() if used), "")


def _fold(layers: list[Layer]) -> list[Layer]:
    """Batch normalisation y = (x - mean)·g + β, g = γ/sqrt(var + eps), taken into the weights before it."""
    out: list[Layer] = []
    for layer in layers:
        norm = layer.module
        if not isinstance(norm, BatchNorm):
            out.append(layer)
            continue
        if not out or not isinstance(out[-1].module, (nn.Linear, nn.Conv2d, *DELAYED)):
            raise UserError(
                f"layer {layer.name} is a BatchNorm that does not follow a Linear or Conv2d, so it cannot be folded"
            )
        before = out[-1]
        if norm.running_mean is None or norm.running_var is None:
            raise UserError(
                f"layer {layer.name} is a BatchNorm without running statistics, so it cannot be folded"
            )
        assert before.weight is not None
        dtype = before.weight.dtype
        gain = (norm.running_var.double() + norm.eps).rsqrt()
        gain = gain if norm.weight is None else gain * norm.weight.double()
        bias = (
            -norm.running_mean.double()
            if before.bias is None
            else before.bias.double() - norm.running_mean.double()
        )
        bias = bias * gain if norm.bias is None else bias * gain + norm.bias.double()
        before.weight = (before.weight.double() * gain.view(-1, *[1] * (before.weight.dim() - 1))).to(dtype)
        before.bias = bias.to(dtype)
    return out


def _input_shape(first: Layer, given: int | Sequence[int] | None) -> Shape:
    if given is not None:
        return (given,) if isinstance(given, int) else tuple(int(n) for n in given)
    if isinstance(first.module, nn.Linear | DelayedLinear):
        return (first.module.in_features,)
    raise UserError(
        f"the network begins with layer {first.name} ({type(first.module).__name__}), which does not tell the shape of its "
        "input; pass input_shape, such as to_nir(net, input_shape=(2, 34, 34))"
    )


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _in_order(
    layer: Layer, node: nir.NIRNode, shape: Shape, out: Shape
) -> list[tuple[str, nir.NIRNode, Shape]]:
    """The nodes of a layer with the shapes of their outputs: one, or with that of its delays two."""
    if not isinstance(layer.module, DELAYED):
        return [(layer.name, node, out)]
    axonal = layer.module.kind == "axonal"
    delays = delay_node(layer.name, layer.module, shape if axonal else out)
    if delays is None:
        return [(layer.name, node, out)]
    extra = f"{layer.name}_delay"
    if axonal:
        return [(extra, delays, shape), (layer.name, node, out)]
    return [(layer.name, node, out), (extra, delays, out)]


# -- one layer --------------------------------------------------------------------------------------------------------


def _node(layer: Layer, shape: Shape) -> tuple[nir.NIRNode, Shape]:
    """The node of a layer and the shape of its output."""
    module = layer.module
    if isinstance(module, Neuron):
        return neuron_node(layer.name, module, shape), shape
    if isinstance(module, nn.Linear | DelayedLinear):
        if shape != (module.in_features,):
            hint = "; put a Flatten before it" if math.prod(shape) == module.in_features else ""
            raise UserError(
                f"layer {layer.name} takes {module.in_features} inputs but gets shape {shape}{hint}"
            )
        weight, meta = array(layer.weight), delays_of(module)
        if layer.bias is None:
            return nir.Linear(weight, metadata=meta), (module.out_features,)
        return nir.Affine(weight, array(layer.bias), metadata=meta), (module.out_features,)
    if isinstance(module, Flatten):
        return nir.Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1), (math.prod(shape),)
    channels = module.in_channels if isinstance(module, nn.Conv2d | DelayedConv2d) else shape[0]
    if len(shape) != 3 or shape[0] != channels:
        raise UserError(f"layer {layer.name} takes input of shape ({channels}, H, W) but gets {shape}")
    if isinstance(module, DelayedConv2d):
        return _conv(layer, module, shape), module.output_shape(shape)
    try:
        out = tuple(module.rows(_blank(layer, shape))[0].shape)  # type: ignore[operator]
    except RuntimeError as error:
        raise UserError(
            f"layer {layer.name} cannot take input of shape {shape}: {str(error).splitlines()[0]}"
        ) from None
    if isinstance(module, Conv2d):
        return _conv(layer, module, shape), out
    assert isinstance(module, (AvgPool2d, SumPool2d))
    kind = nir.AvgPool2d if isinstance(module, AvgPool2d) else nir.SumPool2d
    sizes = (np.array(n) for n in (module.kernel_size, module.stride, module.padding))
    return kind(*sizes), out


def _conv(layer: Layer, module: Conv2d | DelayedConv2d, shape: Shape) -> nir.Conv2d:
    bias = np.zeros(module.out_channels, np.float32) if layer.bias is None else array(layer.bias)
    return nir.Conv2d(
        input_shape=shape[1:],
        weight=array(layer.weight),
        stride=module.stride,
        padding=module.padding,
        dilation=module.dilation,
        groups=module.groups,
        bias=bias,
        metadata={**delays_of(module), "bias": layer.bias is not None},
    )


def _blank(layer: Layer, shape: Shape) -> Tensor:
    like = torch.zeros(()) if layer.weight is None else layer.weight
    return like.new_zeros(1, *shape)
