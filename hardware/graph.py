"""A NIR graph as hardware reads it: nodes in the order of computation, each with its shapes.

Only feed-forward graphs of known node types pass; whatever else is named at once, with its node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import nir
import numpy as np

from snnkit.errors import UserError

DENSE, CONV, POOLS = ("Affine", "Linear"), ("Conv2d",), ("AvgPool2d", "SumPool2d")
SYNAPSES = DENSE + CONV
NEURONS = ("IF", "LIF", "CubaLIF", "LI", "CubaLI")
KNOWN = ("Input", "Output", "Flatten", "Scale", "Delay", *SYNAPSES, *POOLS, *NEURONS)


class UnsupportedGraph(UserError):
    """The graph has something that the hardware room cannot read or that a target cannot hold."""


@dataclass(frozen=True)
class Node:
    """One node: name, NIR type and object, metadata, shapes without time and batch, predecessors.

    `delay` [s] is that of a Delay node, per channel, or that of the synapses of weights, laid out as these; else None.
    """

    name: str
    kind: str
    nir: Any
    meta: dict[str, Any]
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    before: tuple[str, ...]
    delay: Any = None

    @property
    def neurons(self) -> int:
        return prod(self.out_shape) if self.kind in NEURONS else 0

    @property
    def is_synapse(self) -> bool:
        return self.kind in SYNAPSES

    @property
    def is_neuron(self) -> bool:
        return self.kind in NEURONS


def read(graph: Any) -> list[Node]:
    """Nodes in topological order with inferred shapes. Takes a `nir.NIRGraph` or the path of a .nir file.

    Shapes are worked out here, from the Input node on, without touching the graph (`nir`'s own inference
    writes into it and does not know grouped convolutions).

    Raises:
        UnsupportedGraph: recurrent edges, nested graphs, unknown node types, shapes that do not meet.
    """
    graph = _open(graph)
    problems = [
        f"{name} is a {type(node).__name__}"
        for name, node in graph.nodes.items()
        if type(node).__name__ not in KNOWN
    ]
    if problems:
        raise UnsupportedGraph(
            f"hardware reads {', '.join(KNOWN)}; this graph has others: {'; '.join(problems)}. "
            "Replace them or estimate the rest of the network."
        )
    before: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        before[target].append(source)
    inputs = [name for name, node in graph.nodes.items() if type(node).__name__ == "Input"]
    if len(inputs) != 1:
        raise UnsupportedGraph(f"a graph has one Input node, this one has {len(inputs)}: {', '.join(inputs)}")
    nodes: dict[str, Node] = {}
    for name in _order(before):
        node, kind = graph.nodes[name], type(graph.nodes[name]).__name__
        if not before[name] and kind != "Input":
            raise UnsupportedGraph(f"node {name} ({kind}) has no input: connect it to the Input node")
        shape = _input_shape(name, node, [nodes[b] for b in before[name]])
        nodes[name] = Node(
            name=name,
            kind=kind,
            nir=node,
            meta=plain(getattr(node, "metadata", None) or {}),
            in_shape=shape,
            out_shape=_output_shape(name, kind, node, shape),
            before=tuple(before[name]),
            delay=_delay(name, kind, node, shape),
        )
    return list(nodes.values())


def chain(graph: Any, purpose: str) -> list[Node]:
    """Like `read`, for tools that need one straight line of layers from one input to one output."""
    nodes = read(graph)
    for earlier, node in zip([None, *nodes], nodes, strict=False):
        expected = (earlier.name,) if earlier else ()
        if node.before != expected:
            raise UnsupportedGraph(
                f"{purpose} needs layers in one line; {node.name} gets input from {node.before}"
            )
    return nodes


def sources(nodes: Iterable[Node]) -> dict[str, list[str]]:
    """For every node, the neuron or Input nodes whose spikes reach it."""
    known = {node.name: node for node in nodes}

    def up(name: str) -> list[str]:
        node = known[name]
        if node.is_neuron or node.kind == "Input":
            return [name]
        return [s for b in node.before for s in up(b)]

    return {name: list(dict.fromkeys(s for b in node.before for s in up(b))) for name, node in known.items()}


def targets(nodes: Iterable[Node]) -> dict[str, str | None]:
    """For every synaptic node, the neuron node that its current drives; None for a bare readout."""
    known = list(nodes)
    after: dict[str, list[Node]] = {node.name: [] for node in known}
    for node in known:
        for b in node.before:
            after[b].append(node)

    def down(node: Node) -> str | None:
        while after[node.name]:
            node = after[node.name][0]
            if node.is_neuron:
                return node.name
            if node.is_synapse:
                return None
        return None

    return {node.name: down(node) for node in known if node.is_synapse}


def plain(value: Any) -> Any:
    """Metadata as read from memory or from a file: numpy scalars and bytes become Python's own."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray):
        return plain(value.item()) if value.ndim == 0 else value
    return value.item() if isinstance(value, np.generic) else value


def pair(value: Any) -> tuple[int, int]:
    """An int or a sequence of two as a pair."""
    flat = np.asarray(value).reshape(-1)
    return (int(flat[0]), int(flat[-1]))


def _open(graph: Any) -> nir.NIRGraph:
    if isinstance(graph, str | Path):
        path = Path(graph)
        if not path.is_file():
            raise UserError(f"there is no file {path}: expected a NIR graph or the path of a .nir file")
        try:
            return nir.read(path)
        except Exception as error:
            raise UserError(f"{path} cannot be read as a NIR file: {error}") from error
    if not isinstance(graph, nir.NIRGraph):
        raise UserError(
            f"expected a nir.NIRGraph or a path, got {type(graph).__name__}; for a snnkit network write "
            "snnkit.to_nir(net)"
        )
    return graph


def _order(before: dict[str, list[str]]) -> list[str]:
    """Topological order, stable in the order of the nodes; a cycle is an error that names it."""
    left, done = dict(before), []
    while left:
        ready = [name for name, needs in left.items() if not set(needs) & left.keys()]
        if not ready:
            raise UnsupportedGraph(
                f"recurrent connections are not supported yet: {', '.join(left)} form a cycle"
            )
        done += ready
        for name in ready:
            del left[name]
    return done


def _input_shape(name: str, node: Any, before: list[Node]) -> tuple[int, ...]:
    if not before:
        return tuple(int(n) for n in next(iter(node.input_type.values())))
    shapes = {b.name: b.out_shape for b in before}
    if len(set(shapes.values())) > 1:
        raise UnsupportedGraph(f"inputs of {name} are summed and need one shape, got {shapes}")
    return before[0].out_shape


def _delay(name: str, kind: str, node: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """The delays of a node [s]: a Delay node's, or those that weights hold per synapse in their metadata."""
    if kind == "Delay":
        seconds = np.asarray(node.delay, np.float64)
        fits = seconds.size in (1, prod(shape))
    else:
        meta = getattr(node, "metadata", None) or {}
        if kind not in SYNAPSES or plain(meta.get("delay_kind", "")) not in ("synaptic", "channel"):
            return None  # axonal and dendritic delays have Delay nodes of their own
        seconds = np.clip(np.asarray(meta["delay"], np.float64), 0.0, float(meta.get("max_delay", np.inf)))
        sizes = np.shape(node.weight)
        fits = seconds.shape in (sizes, (*sizes[:2], *(1,) * (len(sizes) - 2)))  # a kernel may share one
        seconds = np.broadcast_to(seconds, sizes) if fits else seconds
    if not fits or not (np.isfinite(seconds) & (seconds >= 0)).all():
        raise UnsupportedGraph(
            f"{name} has delays of shape {seconds.shape} on an input of {shape}; expected one per "
            f"{'channel' if kind == 'Delay' else 'synapse'}, in seconds, none negative"
        )
    return seconds


def _output_shape(name: str, kind: str, node: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    if kind in DENSE:
        out, fan_in = node.weight.shape
        if shape[-1:] != (fan_in,):
            raise UnsupportedGraph(
                f"{name} expects {fan_in} inputs, gets shape {shape}; a Flatten may be missing"
            )
        return (*shape[:-1], out)
    if kind in CONV:
        return _conv_shape(name, node, shape)
    if kind in POOLS:
        if len(shape) != 3:
            raise UnsupportedGraph(f"{name} pools (channels, height, width), gets shape {shape}")
        spans = zip(shape[1:], pair(node.kernel_size), pair(node.stride), pair(node.padding), strict=True)
        return (shape[0], *((n + 2 * p - k) // s + 1 for n, k, s, p in spans))
    if kind == "Flatten":
        start, end = int(node.start_dim), int(node.end_dim) % len(shape)
        return (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :])
    if kind in NEURONS:
        own = np.shape(node.r if hasattr(node, "r") else node.v_threshold)
        try:
            fits = np.broadcast_shapes(own, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            raise UnsupportedGraph(f"{name} has parameters for shape {own}, gets input of shape {shape}")
    return shape


def padding(node: Any) -> tuple[int, int]:
    """Zeros on each side of a NIR Conv2d, also where the node says "valid" or "same"."""
    if not isinstance(node.padding, str):
        return pair(node.padding)
    if node.padding == "valid":
        return (0, 0)
    spans = [d * (k - 1) for d, k in zip(pair(node.dilation), node.weight.shape[2:], strict=True)]
    if any(span % 2 for span in spans) or pair(node.stride) != (1, 1):
        raise UnsupportedGraph("padding 'same' needs an odd kernel and stride 1; give the padding as numbers")
    return (spans[0] // 2, spans[1] // 2)


def _conv_shape(name: str, node: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    out, per_group, *kernel = node.weight.shape
    if len(shape) != 3 or shape[0] != per_group * int(node.groups):
        expected = per_group * int(node.groups)
        raise UnsupportedGraph(f"{name} expects ({expected}, height, width), gets shape {shape}")
    spans = zip(shape[1:], kernel, pair(node.stride), padding(node), pair(node.dilation), strict=True)
    space = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in spans)
    if min(space) < 1:
        raise UnsupportedGraph(f"{name} has a kernel of {kernel} on an input of {shape}: nothing is left")
    return (out, *space)
