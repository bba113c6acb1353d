"""NIR graphs as networks: exactly as snnkit wrote them, or by Euler's rule for graphs of other libraries."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.interop.nir_delays import Delay, read_delay, read_weights
from snnkit.layers import AvgPool2d, Conv2d, Flatten, Linear, Sequential, SumPool2d
from snnkit.neurons import IF, LIF, CubaLIF, Decay, LeakyIntegrator, Neuron, surrogate

NEURONS = {"IF": IF, "LIF": LIF, "CubaLIF": CubaLIF, "LeakyIntegrator": LeakyIntegrator}
SURROGATES = {"ATan": surrogate.ATan, "FastSigmoid": surrogate.FastSigmoid, "Triangle": surrogate.Triangle}
READS = "Affine, Linear, Delay, Conv2d, AvgPool2d, SumPool2d, Flatten, IF, LIF, CubaLIF, LI"


def from_nir(graph: nir.NIRGraph, dt: float | None = None) -> Sequential:
    """A network from a NIR graph, its layers named as the nodes.

    Graphs written by snnkit give the network they were made from, spike for spike. Nodes of other libraries become
    neurons by Euler's rule v + dt/τ·(v_leak - v + r·x), as NIR defines them: a spike when v > v_threshold, then reset to
    v_reset, which must be v_leak. An input gain other than 1 is taken into the threshold (or, before a readout, into the
    weights), so membranes are scaled while spikes are not. `IF` with r = 1 means v + x, as all writers of it mean it.

    Args:
        graph: one chain of nodes from one Input to one Output.
        dt: time step [s], for graphs that do not say it.

    Raises:
        UserError: naming the node that cannot be read and why.
    """
    if not isinstance(graph, nir.NIRGraph):
        raise TypeError(
            f"from_nir takes a nir.NIRGraph, got {type(graph).__name__}; a file is read by snnkit.load(path)"
        )
    names = _order(graph)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name in names:
        node = graph.nodes[name]
        key = name.replace(".", "_")
        if key in layers:
            raise UserError(f"two nodes would be called {key}; rename one")
        try:
            layer = _layer(name, node, graph, dt, layers)
        except (UserError, TypeError, ValueError, AttributeError, KeyError, RuntimeError) as error:
            said = str(error)
            if said.startswith("node "):
                raise
            raise UserError(f"node {name} ({type(node).__name__}) cannot be read: {said}") from None
        if any(isinstance(waiting, Delay) for waiting in layers.values()):
            raise UserError(
                f"node {name} ({type(node).__name__}) follows a Delay; snnkit reads a Delay before weights"
            )
        if layer is not None:
            layers[key] = layer
    if layers and isinstance(next(reversed(layers.values())), Delay):
        raise UserError(
            f"node {names[-1]} (Delay) has no weights behind it; snnkit reads a Delay before weights"
        )
    net = Sequential(layers)
    first = next(iter(graph.inputs.values()))
    net.input_shape = tuple(int(n) for n in first.input_type["input"])
    return net


def _order(graph: nir.NIRGraph) -> list[str]:
    """Names between Input and Output in the one order there is."""
    after: dict[str, list[str]] = {name: [] for name in graph.nodes}
    before: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        if source not in after or target not in after:
            raise UserError(f"the edge {source} -> {target} leads to a node that the graph does not have")
        after[source].append(target)
        before[target].append(source)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise UserError(
            f"expected a graph with one Input and one Output node, got {len(graph.inputs)} and {len(graph.outputs)}"
        )
    for name, node in graph.nodes.items():
        if len(after[name]) > 1 or len(before[name]) > 1:
            raise UserError(
                f"node {name} ({type(node).__name__}) has {len(before[name])} inputs and {len(after[name])} outputs; "
                "branching and recurrent graphs are not supported yet"
            )
    name, last = next(iter(graph.inputs)), next(iter(graph.outputs))
    order: list[str] = []
    while name != last:
        if not after[name] or len(order) > len(graph.nodes):
            raise UserError(f"node {name} leads nowhere: there is no path from Input to Output")
        name = after[name][0]
        order.append(name)
    lost = [n for n in graph.nodes if n not in order and n not in graph.inputs]
    if lost:
        raise UserError(
            f"node {lost[0]} ({type(graph.nodes[lost[0]]).__name__}) is not on the path from Input to Output"
        )
    return order[:-1]


def _layer(
    name: str, node: Any, graph: nir.NIRGraph, dt: float | None, before: OrderedDict
) -> nn.Module | None:
    """The layer of a node; None for one that says what the weights beside it know too."""
    meta = {k: _python(v) for k, v in (node.metadata or {}).items()}
    if isinstance(node, (nir.Affine, nir.Linear)):
        return read_weights(node, _linear(node), meta, before, dt)
    if isinstance(node, nir.Delay):
        return read_delay(node)
    if isinstance(node, nir.Conv2d):
        return read_weights(node, _conv(node), meta, before, dt)
    if isinstance(node, (nir.AvgPool2d, nir.SumPool2d)):
        kind = AvgPool2d if isinstance(node, nir.AvgPool2d) else SumPool2d
        return kind(_pair(node.kernel_size), _pair(node.stride), _pair(node.padding))
    if isinstance(node, nir.Flatten):
        return _flatten(name, node, graph)
    if isinstance(node, (nir.IF, nir.LIF, nir.CubaLIF, nir.LI)):
        if "snnkit_kind" in meta:
            return _exact(name, node, meta, dt)
        return _euler(name, node, meta.get("dt", dt), before)
    raise UserError(f"node {name} is a {type(node).__name__}, which snnkit cannot read; it reads {READS}")


def _linear(node: Any) -> Linear:
    weight, bias = _tensor(node.weight), getattr(node, "bias", None)
    if weight.dim() != 2:
        raise UserError(f"the weight has shape {tuple(weight.shape)}; expected out x in")
    layer = Linear(weight.shape[1], weight.shape[0], bias=bias is not None, generator=torch.Generator())
    return _fill(layer, weight, None if bias is None else _tensor(bias))


def _conv(node: nir.Conv2d) -> Conv2d:
    weight = _tensor(node.weight)
    keeps_bias = bool(_python((node.metadata or {}).get("bias", True)))
    padding = _python(node.padding)
    layer = Conv2d(
        weight.shape[1] * int(node.groups),
        weight.shape[0],
        (int(weight.shape[2]), int(weight.shape[3])),
        _pair(node.stride),
        padding if isinstance(padding, str) else _pair(padding),
        bias=keeps_bias,
        dilation=_pair(node.dilation),
        groups=int(node.groups),
        generator=torch.Generator(),
    )
    return _fill(layer, weight, _tensor(node.bias) if keeps_bias else None)


@torch.no_grad()
def _fill(layer: Any, weight: Tensor, bias: Tensor | None) -> Any:
    layer.to(weight.dtype)
    layer.weight.copy_(weight)
    if bias is not None:
        if bias.shape != layer.bias.shape:
            raise UserError(f"the bias has shape {tuple(bias.shape)}; expected {tuple(layer.bias.shape)}")
        layer.bias.copy_(bias)
    return layer


def _flatten(name: str, node: nir.Flatten, graph: nir.NIRGraph) -> Flatten:
    """Ours flattens everything; that is also what is meant when the layer after it takes everything."""
    size = node.input_type["input"]
    after = next(graph.nodes[b] for a, b in graph.edges if a == name)
    takes_all = size is not None and getattr(after, "weight", np.empty((0, 0))).shape[-1:] == (
        math.prod(size),
    )
    all_axes = int(node.end_dim) == -1 or (size is not None and int(node.end_dim) == len(size) - 1)
    if not all_axes or not (int(node.start_dim) == 0 or takes_all):
        raise UserError(
            f"node {name} flattens axes {node.start_dim} to {node.end_dim}; snnkit flattens all axes (start_dim=0, end_dim=-1)"
        )
    return Flatten()


# -- neurons as snnkit wrote them -------------------------------------------------------------------------------------


def _exact(name: str, node: Any, meta: dict[str, Any], dt: float | None) -> Neuron:
    kind = NEURONS.get(meta["snnkit_kind"])
    if kind is None:
        raise UserError(
            f"node {name} was written as {meta['snnkit_kind']!r}; snnkit knows {', '.join(NEURONS)}"
        )
    own = meta.get("dt")
    if dt is not None and own is not None and not math.isclose(dt, own, rel_tol=1e-9):
        raise UserError(f"node {name} was made for dt={own:g} s, got dt={dt:g} s; leave dt out")
    settings: dict[str, Any] = {
        "dt": own if own is not None else dt,
        "initial_v": _value(meta.get("initial_v", 0.0)),
    }
    settings["learn"] = tuple(filter(None, str(meta.get("learn", "")).split(",")))
    for key, decay in {"tau": "decay", "tau_mem": "decay", "tau_syn": "decay_syn"}.items():
        if key in meta:
            settings[key] = _value(meta[key])
            if own is not None and np.min(meta[key]) <= own:  # as a factor per step, any is allowed
                settings[key] = Decay(_value(meta[decay]))
        elif decay in meta and hasattr(kind, key) and (key != "tau" or kind is not CubaLIF):
            settings[key] = Decay(_value(meta[decay]))
    if "solver" in meta:
        settings["solver"] = str(meta["solver"])
    if "scale_input" in meta:
        settings["scale_input"] = bool(meta["scale_input"])
    if kind is not LeakyIntegrator:
        settings["threshold"] = _value(meta.get("threshold", node.v_threshold))
        settings["reset"] = meta.get("reset", "zero")
        settings["compare"] = meta.get("compare", ">=")
        settings["detach_reset"] = bool(meta.get("detach_reset", False))
        if meta.get("surrogate") in SURROGATES:
            fields = np.atleast_1d(meta.get("surrogate_fields", ())).tolist()
            settings["surrogate"] = SURROGATES[meta["surrogate"]](*fields)
    for key, read in {"gradient": str, "slope_floor": float}.items():
        if key in meta:
            settings[key] = read(meta[key])
    neuron = kind(**settings)
    _restore_learned(neuron, node.metadata)
    return neuron


@torch.no_grad()
def _restore_learned(neuron: Neuron, meta: dict[str, Any]) -> None:
    """Learned parameters get their own bits back: a logarithm and its inverse would round."""
    for key, parameter in neuron.named_parameters(recurse=False):
        if key in meta:
            parameter.data = _tensor(np.asarray(meta[key])).reshape(parameter.shape).clone()


# -- neurons of other libraries ---------------------------------------------------------------------------------------


def _euler(name: str, node: Any, dt: float | None, before: OrderedDict) -> Neuron:
    """Scaled so that the input gain is 1; see `from_nir`."""
    if dt is None:
        raise UserError(
            f"node {name} ({type(node).__name__}) does not say its time step; pass the writer's, such as dt=1e-3 "
            "(snnTorch: dt=1e-4)"
        )
    leak = np.asarray(getattr(node, "v_leak", 0.0), np.float64)
    gain, constants = _gain(name, node, float(dt))
    if isinstance(node, nir.LI):
        if leak.any():
            raise UserError(f"node {name} rests at v_leak={leak.flat[0]:g}; snnkit's membranes rest at 0")
        _into_weights(name, gain, before)
        return LeakyIntegrator(dt=float(dt), **constants)
    reset = np.asarray(node.v_reset, np.float64)
    if not np.array_equal(np.broadcast_to(leak, reset.shape), reset):
        raise UserError(
            f"node {name} resets to v_reset={reset.flat[0]:g} but rests at v_leak={leak.flat[0]:g}; snnkit resets to rest"
        )
    if not (gain > 0).all():
        raise UserError(f"node {name} has an input gain of {gain.min():g}; it must be positive")
    threshold = _value((np.asarray(node.v_threshold, np.float64) - leak) / gain)
    kind = {nir.IF: IF, nir.LIF: LIF, nir.CubaLIF: CubaLIF}[type(node)]
    return kind(dt=float(dt), threshold=threshold, reset="zero", compare=">", **constants)


def _gain(name: str, node: Any, dt: float) -> tuple[np.ndarray, dict[str, Any]]:
    """Input gain of one Euler step, and the time constants whose exact decay is the Euler decay 1 - dt/τ."""
    r = np.asarray(node.r, np.float64)
    if isinstance(node, nir.IF):
        return (r if (r == 1).all() else r * dt), {}

    def constant(key: str) -> tuple[np.ndarray, Any]:
        tau = np.asarray(getattr(node, key), np.float64)
        if not (tau > dt).all():
            raise UserError(
                f"node {name} has {key}={tau.min():g} s, not above dt={dt:g} s; both are in seconds, and Euler's rule "
                "needs dt below the time constant"
            )
        return dt / tau, _value(-dt / np.log1p(-dt / tau))

    if not isinstance(node, nir.CubaLIF):
        step, tau = constant("tau")
        return r * step, {"tau": tau}
    step, tau = constant("tau_mem")
    step_syn, tau_syn = constant("tau_syn")
    gain = r * step * np.asarray(node.w_in, np.float64) * step_syn
    return gain, {"tau_mem": tau, "tau_syn": tau_syn}


@torch.no_grad()
def _into_weights(name: str, gain: np.ndarray, before: OrderedDict) -> None:
    """A readout's output is its membrane: its gain belongs into the weights that feed it."""
    if np.allclose(gain, 1.0, rtol=1e-6):
        return
    synapse = next(reversed(before.values())) if before else None
    if not isinstance(synapse, (Linear, Conv2d)):
        raise UserError(
            f"node {name} has an input gain of {gain.flat[0]:g} and no weights before it to take it up"
        )
    if isinstance(synapse, Conv2d):
        if not (gain == gain.flat[0]).all():
            raise UserError(f"node {name} has several input gains after a convolution; they must be equal")
        gain = np.full(len(synapse.weight), gain.flat[0])
    factor = torch.from_numpy(np.broadcast_to(gain, (len(synapse.weight),)).copy())
    synapse.weight.mul_(factor.view(-1, *[1] * (synapse.weight.dim() - 1)).to(synapse.weight))
    if synapse.bias is not None:
        synapse.bias.mul_(factor.to(synapse.bias))


# -- values from memory or file ---------------------------------------------------------------------------------------


def _tensor(x: Any) -> Tensor:
    array = np.ascontiguousarray(x)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise UserError("its weights hold NaN or infinite values")
    return torch.from_numpy(array.copy())


def _value(x: Any) -> Any:
    """A parameter for a neuron: a float where all entries agree, else a tensor."""
    array = np.asarray(x, np.float64)
    if array.size and (array == array.flat[0]).all():
        return float(array.flat[0])
    return torch.from_numpy(array.copy())


def _python(x: Any) -> Any:
    """Metadata as they come from a file: bytes become text, numpy scalars numbers."""
    if isinstance(x, bytes):
        return x.decode("utf-8", "replace")
    if isinstance(x, np.ndarray) and x.ndim == 0:
        return _python(x.item())
    return x.item() if isinstance(x, np.generic) else x


def _pair(x: Any) -> tuple[int, int]:
    flat = np.asarray(x).reshape(-1)
    if len(flat) not in (1, 2) or not np.array_equal(flat, np.round(flat)):
        raise UserError(f"expected a whole number or two, got {x!r}")
    return int(flat[0]), int(flat[-1])
