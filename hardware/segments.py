"""Between two spiking populations lies one linear map: pooling, convolution, flattening and weights folded
together.

Chips have synapses and neurons only. A run of convolutions and pools becomes one convolution where that is
exact, anything else one dense matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from snnkit.hardware.delays import combined, late_product, step_of
from snnkit.hardware.graph import CONV, DENSE, POOLS, Node, UnsupportedGraph, chain, padding, pair
from snnkit.hardware.simulate import through

LARGEST_MATRIX = 50_000_000  # entries of a dense matrix that folding may make


@dataclass(frozen=True)
class Synapse:
    """A linear map in float64: `weight` (out, in) or (out, in/groups, kh, kw), `bias` (out,).

    `delay` (out, in) is that of every entry of a dense one, in steps, or None.
    """

    name: str
    weight: Tensor
    bias: Tensor
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1
    delay: Tensor | None = None

    @property
    def is_conv(self) -> bool:
        return self.weight.dim() == 4

    @property
    def longest(self) -> int:
        """The longest delay in steps."""
        return 0 if self.delay is None or not self.delay.numel() else int(self.delay.max())

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to `[T, B, *in_shape]`; exact for integers below 2**53 in float64."""
        if self.delay is not None:
            return late_product(x.flatten(2), self.weight.to(x), self.delay).unflatten(2, self.out_shape)
        rows = x.flatten(0, 1)
        if self.is_conv:
            rows = F.conv2d(rows, self.weight.to(x), None, self.stride, self.padding, 1, self.groups)
        else:
            rows = F.linear(rows.flatten(1), self.weight.to(x)).reshape(-1, *self.out_shape)
        return rows.unflatten(0, x.shape[:2])

    def per_channel(self, values: Tensor) -> Tensor:
        """(out,) values shaped to broadcast over `out_shape`."""
        return values.reshape(-1, 1, 1) if self.is_conv else values.reshape(self.out_shape)


@dataclass(frozen=True)
class Stage:
    """A synapse and the neuron node it drives; None for a bare linear readout."""

    synapse: Synapse
    neuron: Node | None

    @property
    def name(self) -> str:
        return self.neuron.name if self.neuron else self.synapse.name


def stages(graph: object, purpose: str, *, delays: bool = False, dt: float | None = None) -> list[Stage]:
    """The graph as synapse, neurons, synapse, ...; `UnsupportedGraph` where it is not one line.

    Graphs with delays are refused unless `delays`, which says that whoever asks applies `Synapse.delay`.
    """
    nodes = graph if isinstance(graph, list) else chain(graph, purpose)
    if not delays and (named := [n.name for n in nodes if n.delay is not None]):
        raise UnsupportedGraph(
            f"{purpose} carries no synaptic delays, and layers {', '.join(named)} have some; place() and estimate() take them"
        )
    found: list[Stage] = []
    between: list[Node] = []
    source = nodes[0].out_shape
    for node in nodes[1:]:
        if node.is_neuron:
            found.append(Stage(_delayed(between, source, node.in_shape, node.name, nodes, dt), node))
            between, source = [], node.out_shape
        elif node.kind != "Output":
            between.append(node)
    if any(n.is_synapse or n.kind in POOLS for n in between):
        found.append(
            Stage(_delayed(between, source, between[-1].out_shape, between[-1].name, nodes, dt), None)
        )
    elif ends := [n.name for n in between if n.delay is not None and n.delay.any()]:
        raise UnsupportedGraph(
            f"delays {', '.join(ends)} come after the last neurons, where {purpose} has no synapse to hold them; leave them "
            "out and read the answer so much later"
        )
    if not found:
        raise UnsupportedGraph(f"{purpose} needs at least one layer of weights and neurons")
    return found


def _delayed(
    between: list[Node],
    in_shape: tuple[int, ...],
    out_shape: tuple[int, ...],
    what: str,
    nodes: list[Node],
    dt: float | None,
) -> Synapse:
    """The linear map with its delays."""
    found = fold([n for n in between if n.kind != "Delay"], in_shape, out_shape, what)
    if not any(n.delay is not None for n in between):
        return found
    if found.is_conv:
        named = ", ".join(n.name for n in between if n.delay is not None)
        raise UnsupportedGraph(
            f"delays {named} belong to a convolution, and on chips only dense layers have delays: train it without (max_delay=0, "
            "or no Delay node around it) and put DelayedLinear where delays are needed"
        )
    return replace(
        found, delay=combined(between, (found.weight.shape[0], found.weight.shape[1]), step_of(nodes, dt))
    )


def fold(nodes: list[Node], in_shape: tuple[int, ...], out_shape: tuple[int, ...], what: str) -> Synapse:
    """Several stateless nodes as one linear map."""
    if not any(n.is_synapse or n.kind in POOLS for n in nodes):
        raise UnsupportedGraph(
            f"neurons {what} have no synapse before them: put an Affine, Linear or Conv2d there"
        )
    name = next((n.name for n in nodes if n.is_synapse), nodes[0].name)
    if len(nodes) == 1 and nodes[0].kind in DENSE and len(in_shape) == 1:
        weight = torch.as_tensor(nodes[0].nir.weight, dtype=torch.float64)
        bias = getattr(nodes[0].nir, "bias", None)
        bias = torch.zeros(len(weight)) if bias is None else torch.as_tensor(bias)
        return Synapse(name, weight, bias.double(), in_shape, out_shape)
    if all(n.kind in CONV + POOLS for n in nodes):
        folded: Synapse | None = _as_conv(nodes[0])
        for node in nodes[1:]:
            after = _as_conv(node)
            if folded is None or not _composes(folded, after):
                folded = None
                break
            folded = _compose(folded, after)
        if folded is not None and folded.out_shape == out_shape:
            return Synapse(name, *_fields(folded))
    return _matrix(nodes, name, in_shape, out_shape)


def _fields(s: Synapse) -> tuple:
    return s.weight, s.bias, s.in_shape, s.out_shape, s.stride, s.padding, s.groups


def _as_conv(node: Node) -> Synapse:
    shapes: dict[str, Any] = {"in_shape": node.in_shape, "out_shape": node.out_shape}
    if node.kind in POOLS:
        kernel, channels = pair(node.nir.kernel_size), node.in_shape[0]
        weight = torch.ones(channels, 1, *kernel, dtype=torch.float64)
        weight = weight / prod(kernel) if node.kind == "AvgPool2d" else weight
        stride, pad, groups = pair(node.nir.stride), pair(node.nir.padding), channels
        return Synapse(
            node.name,
            weight,
            torch.zeros(channels).double(),
            **shapes,
            stride=stride,
            padding=pad,
            groups=groups,
        )
    n = node.nir
    weight = torch.as_tensor(np.asarray(n.weight), dtype=torch.float64)
    spread = weight.new_zeros(
        *weight.shape[:2], *(d * (k - 1) + 1 for d, k in zip(pair(n.dilation), weight.shape[2:], strict=True))
    )
    spread[..., :: pair(n.dilation)[0], :: pair(n.dilation)[1]] = weight
    bias = torch.as_tensor(np.asarray(n.bias), dtype=torch.float64)
    return Synapse(
        node.name, spread, bias, **shapes, stride=pair(n.stride), padding=padding(n), groups=int(n.groups)
    )


def _composes(a: Synapse, b: Synapse) -> bool:
    """Whether b after a is a convolution everywhere, borders included.

    Where b pads, its zeros must be places where a reads zeros only: a without bias and padding, its windows
    laid edge to edge over the whole input.
    """
    if b.padding == (0, 0):
        return True
    tiled = all(
        k == s and n == s * m
        for k, s, n, m in zip(a.weight.shape[2:], a.stride, a.in_shape[1:], a.out_shape[1:], strict=True)
    )
    return tiled and a.padding == (0, 0) and not a.bias.any()


def _compose(a: Synapse, b: Synapse) -> Synapse:
    """One convolution that equals b after a; grouped weights are written out in full."""
    first, second = _ungrouped(a), _ungrouped(b)
    kernel = [
        (kb - 1) * s + ka for ka, kb, s in zip(a.weight.shape[2:], b.weight.shape[2:], a.stride, strict=True)
    ]
    weight = first.new_zeros(len(second), first.shape[1], *kernel)
    for y in range(second.shape[2]):
        for x in range(second.shape[3]):
            top, left = y * a.stride[0], x * a.stride[1]
            window = weight[..., top : top + first.shape[2], left : left + first.shape[3]]
            window += torch.einsum("om,mcij->ocij", second[:, :, y, x], first)
    depthwise = a.groups == b.groups == len(b.weight) == a.in_shape[0]
    if depthwise:
        weight = torch.diagonal(weight).movedim(-1, 0).unsqueeze(1).contiguous()
    return Synapse(
        b.name,
        weight,
        b.bias + second.sum((2, 3)) @ a.bias,
        a.in_shape,
        b.out_shape,
        stride=(a.stride[0] * b.stride[0], a.stride[1] * b.stride[1]),
        padding=(a.padding[0] + b.padding[0] * a.stride[0], a.padding[1] + b.padding[1] * a.stride[1]),
        groups=a.groups if depthwise else 1,
    )


def _ungrouped(s: Synapse) -> Tensor:
    out, per_group = s.weight.shape[:2]
    full = s.weight.new_zeros(out, per_group * s.groups, *s.weight.shape[2:])
    for g in range(s.groups):
        rows, columns = (
            slice(g * n // s.groups, (g + 1) * n // s.groups) for n in (out, per_group * s.groups)
        )
        full[rows, columns] = s.weight[rows]
    return full


def _matrix(nodes: list[Node], name: str, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> Synapse:
    """Any linear map as a matrix: push every unit vector through."""
    n_in, n_out = prod(in_shape), prod(out_shape)
    if n_in * n_out > LARGEST_MATRIX:
        kinds = ", ".join(f"{n.name} ({n.kind})" for n in nodes)
        raise UnsupportedGraph(
            f"{kinds} fold into a matrix of {n_in} x {n_out}, too large; put neurons between them"
        )
    x = torch.zeros(1, 1, *in_shape, dtype=torch.float64)
    units = torch.eye(n_in, dtype=torch.float64).reshape(1, n_in, *in_shape)
    for node in nodes:
        x, units = through(node, x), through(node, units)
    bias = x.reshape(n_out)
    return Synapse(name, (units.reshape(n_in, n_out) - bias).T.contiguous(), bias, in_shape, out_shape)
