"""Run a NIR graph in floating point: the reference that a chip's integers are compared with.

Small on purpose and independent of snnkit's own neurons, so it serves graphs from any library and checks
ours. Sequences are `[T, B, *N]`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from snnkit.errors import UserError
from snnkit.hardware.arrays import Arrays
from snnkit.hardware.cells import Cell, cell
from snnkit.hardware.delays import late, late_product, step_of, whole_steps
from snnkit.hardware.graph import CONV, DENSE, POOLS, Node, padding, pair, read


@dataclass(frozen=True)
class Simulation:
    """`output` of the graph; `layers`: spikes of every neuron node, or the membrane of an LI."""

    output: Tensor
    layers: dict[str, Tensor]


def simulate(
    graph: Any,
    x: Any,
    *,
    dt: float | None = None,
    reset: str | None = None,
    dtype: torch.dtype = torch.float32,
    arrays: Arrays | None = None,
) -> Simulation:
    """Run a graph on an input from rest. Delays are whole steps, as on chips.

    Args:
        graph: a `nir.NIRGraph` or the path of a .nir file.
        x: input `[T, B, *N]`, a tensor or an event tensor.
        dt: step [s] of a graph whose metadata does not say it.
        reset: use this reset in every spiking node instead of its own, to see what a chip's reset does.
        dtype: float32 as networks run, float64 to see rounding.
        arrays: resistive crossbars that hold all weights, with their device's variation, drift and read noise and with their
            converters; None computes exactly. Biases stay digital.
    """
    nodes = graph if isinstance(graph, list) else read(graph)
    x = dense(x, nodes).to(dtype)
    values: dict[str, Tensor] = {}
    layers: dict[str, Tensor] = {}
    for number, node in enumerate(nodes):
        if node.kind == "Input":
            values[node.name] = x
            continue
        incoming = values[node.before[0]]
        for name in node.before[1:]:
            incoming = incoming + values[name]
        if node.is_neuron:
            own = cell(node, dt)
            own = replace(own, reset=reset) if reset and own.spiking else own
            values[node.name] = layers[node.name] = run_cell(own, incoming)
        elif arrays is not None and node.is_synapse:
            if node.delay is not None and node.delay.any():
                raise UserError(
                    f"the weights {node.name} have a delay each, and a crossbar adds up whatever arrives at once; use "
                    "DelayedLinear(kind='axonal') or kind='dendritic'"
                )
            values[node.name] = through_arrays(node, incoming, arrays, number)
        elif node.delay is not None:
            values[node.name] = _later(node, incoming, step_of(nodes, dt), _at_rest(node, nodes))
        else:
            values[node.name] = through(node, incoming)
    ends = [n for n in nodes if n.kind == "Output"] or [nodes[-1]]
    return Simulation(values[ends[0].name], layers)


def dense(x: Any, nodes: list[Node]) -> Tensor:
    """The input as a dense tensor of the right shape; events that come as an event tensor are spread out."""
    x = x.dense() if hasattr(x, "rowptr") else torch.as_tensor(x)
    shape = nodes[0].out_shape
    if x.dim() != 2 + len(shape) or tuple(x.shape[2:]) != shape:
        flat = x.dim() == 3 and len(shape) > 1 and x.shape[2] == nodes[0].nir.input_type["input"].prod()
        hint = f"; reshape to (T, B, {', '.join(map(str, shape))})" if flat else ""
        raise UserError(
            f"expected input of shape T B {' '.join(map(str, shape))}, got {tuple(x.shape)}{hint}"
        )
    if not torch.isfinite(x).all():
        raise UserError("the input has values that are not finite; remove them before running the network")
    return x


def _at_rest(node: Node, nodes: list[Node]) -> Tensor | None:
    """What a Delay node got before the first step: the bias of the weights right before it, which no chip delays."""
    before = next((n for n in nodes if (n.name,) == node.before), None)
    bias = getattr(before.nir, "bias", None) if before and before.is_synapse else None
    if bias is None or before is None:
        return None
    each = torch.as_tensor(bias)
    return each.reshape(-1, 1, 1).expand(before.out_shape) if before.kind in CONV else each


def _later(node: Node, x: Tensor, dt: float, rest: Tensor | None) -> Tensor:
    """A node with delays, over a whole sequence."""
    steps = whole_steps(node.delay, dt)
    if node.kind == "Delay":
        return late(x, steps, rest)
    bias = getattr(node.nir, "bias", None)
    weight = torch.as_tensor(node.nir.weight).to(x)
    if node.kind in CONV:
        return _late_convolution(node, x, weight, steps)
    rows = late_product(x.flatten(2), weight, torch.from_numpy(steps))
    return rows if bias is None else rows + torch.as_tensor(bias).to(x)


def _late_convolution(node: Node, x: Tensor, weight: Tensor, steps: np.ndarray) -> Tensor:
    """A convolution whose weights have a delay each, in steps."""
    bias = torch.as_tensor(node.nir.bias).to(x).reshape(-1, 1, 1)
    out = bias.expand(*x.shape[:2], *node.out_shape).clone()
    for n in np.unique(steps).tolist():
        if n < len(x):
            now = torch.from_numpy(steps == n).to(weight)
            out[n:] += _convolution(node, x[: len(x) - n].flatten(0, 1), weight * now, None).unflatten(
                0, (len(x) - n, x.shape[1])
            )
    return out


def _convolution(node: Node, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    n = node.nir
    return F.conv2d(
        rows,
        weight,
        bias,
        stride=pair(n.stride),
        padding=padding(n),
        dilation=pair(n.dilation),
        groups=int(n.groups),
    )


def through(node: Node, x: Tensor) -> Tensor:
    """A node without state, on every step and sample at once."""
    rows = x.flatten(0, 1)

    def constant(value: Any) -> Tensor:
        return torch.as_tensor(value).to(x)

    if node.kind in DENSE:
        bias = getattr(node.nir, "bias", None)
        rows = F.linear(rows, constant(node.nir.weight), None if bias is None else constant(bias))
    elif node.kind in CONV:
        rows = _convolution(node, rows, constant(node.nir.weight), constant(node.nir.bias))
    elif node.kind in POOLS:
        kernel = pair(node.nir.kernel_size)
        rows = F.avg_pool2d(rows, kernel, pair(node.nir.stride), pair(node.nir.padding))
        rows = rows * (kernel[0] * kernel[1]) if node.kind == "SumPool2d" else rows
    elif node.kind == "Flatten":
        rows = rows.reshape(len(rows), *node.out_shape)
    elif node.kind == "Scale":
        rows = rows * constant(node.nir.scale)
    return rows.unflatten(0, x.shape[:2])


def through_arrays(node: Node, x: Tensor, arrays: Arrays, number: int) -> Tensor:
    """A matrix or a convolution on crossbars: each output position is a product of the patch before it with the kernels."""
    rows = x.flatten(0, 1)
    bias = getattr(node.nir, "bias", None)
    if node.kind in DENSE:
        found = arrays.product(rows.numpy(), np.asarray(node.nir.weight).T, number)
        out = torch.from_numpy(found).to(x)
    else:
        out = _convolved(node, rows, arrays, number)
    if bias is not None:
        out = out + torch.as_tensor(bias).to(x).reshape(-1, *(1,) * (out.dim() - 2))
    return out.unflatten(0, x.shape[:2])


def _convolved(node: Node, rows: Tensor, arrays: Arrays, number: int) -> Tensor:
    n = node.nir
    kernel, groups = np.asarray(n.weight), int(n.groups)
    patches = F.unfold(
        rows, tuple(kernel.shape[2:]), pair(n.dilation), padding(n), pair(n.stride)
    )  # B, taps, positions
    parts = []
    for g, (taps, weight) in enumerate(
        zip(patches.chunk(groups, 1), np.array_split(kernel, groups), strict=True)
    ):
        flat = weight.reshape(len(weight), -1).T
        product = arrays.product(taps.transpose(1, 2).numpy(), flat, number * 100_000 + g)
        parts.append(torch.from_numpy(product).transpose(1, 2).to(rows))
    return torch.cat(parts, 1).unflatten(2, node.out_shape[1:])


def run_cell(own: Cell, x: Tensor) -> Tensor:
    """A neuron population over a sequence, equation by equation as in `Cell`."""

    def constant(value: Any) -> Tensor:
        return torch.as_tensor(value).to(x)

    decay, leak, threshold = constant(own.decay), constant(own.leak), own.threshold
    v = torch.zeros_like(x[0]) + constant(own.initial_v)
    current, leaks, out = torch.zeros_like(x[0]), bool(leak.any()), []
    for x_t in x:
        if own.decay_syn is not None:
            current = x_t = constant(own.decay_syn) * current + _times(own.gain_syn, x_t)
        u = decay * v + _times(own.gain, x_t)
        u = u + leak if leaks else u
        if threshold is None:
            v = u
            out.append(u)
            continue
        theta = constant(threshold)
        fired = u > theta if own.strict else u >= theta
        spikes = fired.to(u)
        if own.reset == "subtract":
            v = u - spikes * theta
        else:
            v = torch.where(fired, constant(own.v_reset), u) if own.reset == "zero" else u
        out.append(spikes)
    return torch.stack(out)


def _times(gain: Any, x: Tensor) -> Tensor:
    return x if isinstance(gain, float) and gain == 1.0 else torch.as_tensor(gain).to(x) * x


def scores(output: Tensor) -> Tensor:
    """Class scores `[B, C]` of an output `[T, B, C]`: the mean over time, of spikes or of a membrane."""
    return output.flatten(2).double().mean(0)
