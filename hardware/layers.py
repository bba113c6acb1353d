"""What a chip has to hold: each synaptic node with the neurons it drives and the neurons that drive it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from snnkit.hardware.graph import CONV, Node, padding, pair, read, sources, targets


@dataclass(frozen=True)
class Layer:
    """One synaptic node, seen from a chip.

    `in_shape` is the shape of the spiking source (before pooling and flattening, which a chip folds into the
    wiring); for a convolution `kernel`, `stride` and `pad` are those of pooling and convolution together.
    """

    name: str
    neuron: str | None  # node that its current drives
    source: tuple[str, ...]  # neuron or Input nodes
    is_conv: bool
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    weights: int  # distinct weights
    has_bias: bool
    groups: int = 1
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    own_kernel: tuple[int, int] = (1, 1)  # of the convolution alone
    pooled: bool = False
    delay: float = 0.0  # longest delay between a spike of the source and the neurons [s]
    dt: float | None = None  # time step, where the graph says it [s]

    @property
    def n_in(self) -> int:
        return prod(self.in_shape)

    @property
    def n_out(self) -> int:
        return prod(self.out_shape)

    @property
    def fan_in(self) -> int:
        """Spiking sources of one neuron, away from borders."""
        return self.in_shape[0] // self.groups * prod(self.kernel) if self.is_conv else self.n_in

    @property
    def synapses(self) -> int:
        """Connections, shared weights counted at every place (borders as if inside)."""
        return self.n_out * self.fan_in

    @property
    def positions(self) -> int:
        """Places at which the weights are applied: output pixels of a convolution, 1 for a dense layer."""
        return prod(self.out_shape[1:]) if self.is_conv else 1


def layers(graph: Any) -> list[Layer]:
    """Synaptic layers of a NIR graph (or of nodes already read), pooling folded in."""
    nodes = graph if isinstance(graph, list) else read(graph)
    known, came, goes = {n.name: n for n in nodes}, sources(nodes), targets(nodes)
    return [_layer(node, known, came[node.name], goes[node.name]) for node in nodes if node.is_synapse]


def _layer(node: Node, known: dict[str, Node], came: list[str], goes: str | None) -> Layer:
    source = known[came[0]]
    common: dict[str, Any] = {
        "name": node.name,
        "neuron": goes,
        "source": tuple(came),
        "out_shape": node.out_shape,
        "weights": int(node.nir.weight.size),
        "delay": _late(node, known),
        "dt": _step(node, goes, known),
        "has_bias": getattr(node.nir, "bias", None) is not None and bool((node.nir.bias != 0).any()),
    }
    pools = _pools(node, known)
    if node.kind not in CONV:
        return Layer(is_conv=False, in_shape=source.out_shape, pooled=bool(pools), **common)
    own = (int(node.nir.weight.shape[2]), int(node.nir.weight.shape[3]))
    kernel = [d * (k - 1) + 1 for d, k in zip(pair(node.nir.dilation), own, strict=True)]
    stride, pad = list(pair(node.nir.stride)), list(padding(node.nir))
    for pool in pools:  # from the convolution upstream
        size, step, zeros = pair(pool.nir.kernel_size), pair(pool.nir.stride), pair(pool.nir.padding)
        for axis in (0, 1):
            kernel[axis] = (kernel[axis] - 1) * step[axis] + size[axis]
            pad[axis] = pad[axis] * step[axis] + zeros[axis]
            stride[axis] *= step[axis]
    return Layer(
        is_conv=True,
        in_shape=source.out_shape,
        groups=int(node.nir.groups),
        kernel=(kernel[0], kernel[1]),
        stride=(stride[0], stride[1]),
        pad=(pad[0], pad[1]),
        own_kernel=own,
        pooled=bool(pools),
        **common,
    )


def _late(node: Node, known: dict[str, Node]) -> float:
    """The longest delay of the weights and of the Delay nodes around them, up to the neurons on both sides [s]."""

    def most(n: Node) -> float:
        return 0.0 if n.delay is None or not n.delay.size else float(n.delay.max())

    total, up = most(node), known[node.before[0]]
    while up.kind != "Input" and not up.is_neuron and not up.is_synapse:
        total, up = total + most(up), known[up.before[0]]
    down: Node | None = node
    while down is not None:
        name = down.name
        down = next(
            (n for n in known.values() if name in n.before and not n.is_neuron and not n.is_synapse), None
        )
        total += 0.0 if down is None else most(down)
    return total


def _step(node: Node, goes: str | None, known: dict[str, Node]) -> float | None:
    metas = [node.meta, *([known[goes].meta] if goes else []), *(n.meta for n in known.values())]
    return next((float(meta["dt"]) for meta in metas if meta.get("dt")), None)


def _pools(node: Node, known: dict[str, Node]) -> list[Node]:
    found, name = [], node.before[0]
    while known[name].kind not in ("Input",) and not known[name].is_neuron:
        if known[name].kind.endswith("Pool2d"):
            found.append(known[name])
        if known[name].is_synapse:
            break
        name = known[name].before[0]
    return found
