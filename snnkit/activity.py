"""What a network did on real input: spikes, synaptic operations and neuron updates, layer by layer.

The record is plain data. Hardware estimates read it without knowing the network, and any tool can write one.

What counts as what:

* **Events** are inputs in {-1, 0, 1} or non-negative whole numbers; a count c is c events. Averages of events over
  pooling windows are events too, each with its part of the weight. An input of all ones is an event in every cell.
* A **synaptic operation** is one event meeting one synapse: an accumulate. At the borders of a convolution only the
  outputs that an event reaches are counted. A weight of zero is a synapse like any other.
* Anything else is an **analog** input: it costs multiply-accumulates (`macs`), zeros and padding included, in each step.
* What runs its parts step by step (a loop, a memory cell) has a method `parts(x, y)`: name, part, input and output of each over
  the whole sequence, from rest. They are counted like layers. Spikes of the last step no longer return.
* Pooling, flattening and dropout pass events on and cost nothing; batch normalisation is folded into weights on chips
  and costs nothing. Biases are part of the neuron's update.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from snnkit.errors import UserError


@dataclass
class LayerActivity:
    """One layer's counts per inference (means over samples).

    Attributes:
        name: the layer's path in the network with "_" for ".", which is also its node in the NIR graph.
        kind: class of the layer, such as "Linear", "Conv2d", "LIF".
        neurons: number of neurons; 0 for synapses.
        spikes: spikes sent by these neurons (graded ones by their size).
        synops: synaptic operations caused by input events.
        macs: multiply-accumulates caused by analog input.
        updates: neuron updates, neurons times steps.
        dense_macs: multiply-accumulates of **one** pass of the equal ANN layer, padding included.
        fan_in: synapses per neuron.
    """

    name: str
    kind: str
    neurons: int = 0
    spikes: float = 0.0
    synops: float = 0.0
    macs: float = 0.0
    updates: float = 0.0
    dense_macs: float = 0.0
    fan_in: int = 0

    @property
    def rate(self) -> float:
        """Spikes per neuron and step."""
        return self.spikes / self.updates if self.updates else 0.0


@dataclass
class Activity:
    """What a network did, per inference: means over the samples it was traced on.

    Attributes:
        samples: number of samples.
        steps: time steps per sample (their mean, if they differ).
        dt: length of a step [s], if the input or a neuron says so.
        input_events: events in the input; 0 if the input is analog.
        layers: synaptic and neuron layers by name, in the order of the network.
        uncounted: modules with weights whose operations are not counted, as "name (Class)".
    """

    samples: int = 0
    steps: float = 0
    dt: float | None = None
    input_events: float = 0.0
    layers: dict[str, LayerActivity] = field(default_factory=dict)
    uncounted: list[str] = field(default_factory=list)

    def total(self, count: str) -> float:
        """Sum over layers of a count such as "synops"."""
        return math.fsum(getattr(layer, count) for layer in self.layers.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Activity:
        """The inverse of `to_dict`."""
        try:
            layers = {str(name): LayerActivity(**layer) for name, layer in record["layers"].items()}
            return cls(**{**record, "layers": layers})
        except (TypeError, KeyError, AttributeError) as error:
            raise UserError(f"expected a record as written by Activity.to_dict: {error}") from None

    def table(self) -> str:
        """The layers as lines of text."""
        head = f"{'layer':<12}{'kind':<18}{'neurons':>9}{'spikes':>12}{'rate':>8}{'synops':>14}{'macs':>14}"
        lines = [
            f"{la.name:<12}{la.kind:<18}{la.neurons:>9}{la.spikes:>12.1f}{la.rate:>8.4f}{la.synops:>14.1f}{la.macs:>14.1f}"
            for la in self.layers.values()
        ]
        about = f"per inference, mean of {self.samples} samples, {self.steps:g} steps, {self.input_events:.1f} input events"
        return "\n".join([head, *lines, about])


@contextmanager
def trace(net: nn.Module) -> Iterator[Activity]:
    """Record what `net` does inside the block; several calls add up to one mean.

    Every call must be `net(x)` with a sequence `T B *N` or an `EventTensor`; `scan` and `step` are refused, as they
    leave out neurons.

    >>> from snnkit.layers import Linear, Sequential
    >>> net = Sequential(Linear(3, 5))
    >>> with trace(net) as activity:
    ...     y = net(torch.ones(4, 2, 3))
    >>> activity.samples, activity.layers["0"].synops
    (2, 60.0)
    """
    if not isinstance(net, nn.Module):
        hint = "; pass its .net" if isinstance(getattr(net, "net", None), nn.Module) else ""
        raise TypeError(f"trace takes a network (a torch module), got {type(net).__name__}{hint}")
    recorder = _Recorder(net)
    try:
        yield recorder.activity
    finally:
        recorder.remove()


def layer_names(net: nn.Module) -> dict[str, nn.Module]:
    """The leaves of a network, named as in activities and NIR graphs: dotted paths with "_" for "."."""
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)  # an empty one is no layer either
    leaves: list[tuple[str, nn.Module]] = []
    within: set[int] = set()  # parts of neurons made around other neurons
    for path, m in net.named_modules():
        if id(m) in within:
            continue
        neuron = hasattr(m, "equation")
        if neuron:
            within.update(id(part) for part in m.modules())
        if neuron or not (any(True for _ in m.children()) or isinstance(m, containers)):
            leaves.append((path, m))
    names: dict[str, nn.Module] = {}
    for path, module in leaves:
        name = path.replace(".", "_") or "0"
        if name in names:
            raise UserError(f"two layers would be called {name}; rename the one at {path}")
        names[name] = module
    return names


# -- recording ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wires:
    """All-to-all synapses that are no module, for `parts`: `weight` with all of them, so many inputs and outputs each."""

    in_features: int
    out_features: int
    weight: Tensor
    kind_of_layer: str = "Linear"


@dataclass(frozen=True)
class Population:
    """Neurons that are no module, for `parts`: their output `T B *N` is spikes."""

    kind_of_layer: str


class _Recorder:
    """Hooks on a network and the sums they collect."""

    def __init__(self, net: nn.Module):
        self.activity = Activity()
        self.sums: dict[str, LayerActivity] = {}
        self.samples, self.steps, self.input_events = 0, 0, 0.0
        self.running = False
        self.units: dict[int, tuple[Any, float]] = {}  # output of average pooling -> value of one event in it
        self.handles = [net.register_forward_pre_hook(self._begin)]
        within: set[int] = (
            set()
        )  # what stands in a loop is only stepped: the loop is called, and tells of its parts
        for path, module in net.named_modules():
            if hasattr(module, "parts") and id(module) not in within:
                within.update(id(part) for part in module.modules())
                self.handles.append(module.register_forward_hook(self._loop(path)))
        for name, module in layer_names(net).items():
            if id(module) in within:
                continue
            count, factor = _counter(module), _unit_factor(module)
            if count is not None:
                self.handles.append(module.register_forward_hook(self._counting(name, count, module)))
            elif factor is not None:
                self.handles.append(module.register_forward_hook(self._passing(factor)))
            elif any(True for _ in module.parameters()) and not isinstance(module, _BatchNorm):
                self.activity.uncounted.append(f"{name} ({type(module).__name__})")
        self.handles.append(net.register_forward_hook(self._end, always_call=True))

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()

    def _begin(self, net: nn.Module, inputs: tuple[Any, ...]) -> None:
        x = inputs[0] if inputs else None
        shape = tuple(getattr(x, "shape", ()))
        if len(shape) < 3:
            raise UserError(
                f"trace counts calls net(x) with x of shape T B *N, got {shape or type(x).__name__}"
            )
        self.running = True
        events, _ = _events(x, 1.0)
        self.samples += shape[1]
        self.steps += shape[0] * shape[1]
        self.input_events += _sum(events)
        self.activity.dt = self.activity.dt or getattr(x, "dt", None)

    def _end(self, net: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.running = False
        self.units.clear()
        n, record = max(self.samples, 1), self.activity
        steps = self.steps / n
        record.samples, record.steps = self.samples, int(steps) if steps == int(steps) else steps
        record.input_events = self.input_events / n
        for name, total in self.sums.items():
            means = {k: getattr(total, k) / n for k in ("spikes", "synops", "macs", "updates")}
            record.layers[name] = LayerActivity(**{**asdict(total), **means})

    def _counting(self, name: str, count: Any, module: nn.Module) -> Any:
        @torch.no_grad()
        def hook(called: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            self._check_running()
            y = output[0] if isinstance(output, tuple) else output
            self._count(name, count, module, inputs[0], self.unit(inputs[0]), y)

        return hook

    def _count(self, name: str, count: Any, module: Any, x: Any, unit: float, y: Any) -> None:
        kind = getattr(module, "kind_of_layer", type(module).__name__)
        count(module, x, unit, y, self.sums.setdefault(name, LayerActivity(name, kind)))
        self.activity.dt = self.activity.dt or getattr(module, "dt", None)

    def _check_running(self) -> None:
        if not self.running:
            raise UserError(
                "trace counts calls of the whole network, net(x); scan, step and Stream are not counted"
            )

    def _loop(self, path: str) -> Any:
        @torch.no_grad()
        def hook(module: Any, inputs: tuple[Any, ...], output: Any) -> None:
            self._check_running()
            self.running = False  # whatever runs to find out is no work of the network
            try:
                self._parts(path, module, inputs[0], output)
            finally:
                self.running = True

        return hook

    def _parts(self, path: str, module: Any, x: Any, y: Any) -> None:
        """Count the parts of a layer that runs them step by step, parts of parts too."""
        for name, part, x_part, y_part in module.parts(x, y):
            self._part(f"{path}.{name}" if path else name, part, x_part, y_part)

    def _part(self, path: str, part: Any, x: Any, y: Any) -> None:
        layer: Any
        name, count = path.replace(".", "_"), _counter(part)
        if hasattr(part, "parts"):
            self._parts(path, part, x, y)
        elif isinstance(part, nn.Sequential):
            for key, layer in part.named_children():
                out = layer.scan(x)[0] if hasattr(layer, "scan") else layer(x)
                self._part(f"{path}.{key}", layer, x, out)
                x = out
        elif count is not None:
            self._count(name, count, part, x, 1.0, y)
        elif _unit_factor(part) is None and any(True for _ in part.parameters()):
            said = f"{name} ({type(part).__name__})"
            if said not in self.activity.uncounted:
                self.activity.uncounted.append(said)

    def _passing(self, factor: float) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            unit = self.unit(inputs[0]) * factor
            if unit != 1.0:
                self.units[id(output)] = (weakref.ref(output), unit)

        return hook

    def unit(self, x: Any) -> float:
        """Value of one event in `x`: 1, or less after average pooling."""
        owner, unit = self.units.get(id(x), (lambda: None, 1.0))
        return unit if owner() is x else 1.0


def _counter(module: nn.Module) -> Any:
    """How a module is counted: by what it is, or for neurons by what it can do."""
    if isinstance(module, nn.Linear) or type(module).__name__ in (
        "DelayedLinear",
        "Wires",
    ):  # late, but as many
        return _count_linear
    if isinstance(module, nn.Conv2d) or type(module).__name__ in ("DelayedConv1d", "DelayedConv2d"):
        return _count_conv
    if isinstance(module, Population) or (hasattr(module, "initial_state") and hasattr(module, "scan")):
        return _count_neuron
    return None


def _unit_factor(module: nn.Module) -> float | None:
    """For layers that pass events on: by how much they change the value of one. None for other layers."""
    kind = type(module).__name__
    if kind == "AvgPool2d":
        return 1.0 / math.prod(module.kernel_size)  # type: ignore[arg-type]
    return 1.0 if kind in ("SumPool2d", "Flatten", "Dropout", "Identity") else None


def _count_linear(module: Any, x: Any, unit: float, y: Tensor, total: LayerActivity) -> None:
    events, _ = _events(x, unit)
    several = getattr(module, "kernel_count", 1)  # synapses between two neurons
    total.fan_in, total.dense_macs = several * module.in_features, module.weight.numel()
    if events is None:
        total.macs += math.prod(x.shape[:-1]) * total.dense_macs
    else:
        total.synops += _sum(events) * several * module.out_features


def _count_conv(module: Any, x: Any, unit: float, y: Tensor, total: LayerActivity) -> None:
    flat = len(module.kernel_size) == 1
    (H, W), (h, w) = ((1, n[-1]) if flat else n[-2:] for n in (y.shape, x.shape))
    total.fan_in = module.weight.numel() // module.out_channels
    total.dense_macs = module.weight.numel() * H * W
    events, places = _events(x, unit)
    if events is None:
        total.macs += x.shape[0] * x.shape[1] * total.dense_macs
        return
    rows = torch.ones(1, dtype=torch.float64) if flat else _reached(module, 0, h, H)
    columns = _reached(module, -1, w, W)
    reach = torch.outer(rows, columns).to(events.device)  # output positions that an event at each pixel meets
    if places is None:
        sums = events.reshape(-1, h, w).sum(0, dtype=torch.float64)
    else:
        sums = torch.bincount(places % (h * w), weights=events.double(), minlength=h * w).view(h, w)
    total.synops += float((sums * reach).sum()) * (module.out_channels // module.groups)


def _count_neuron(module: Any, x: Any, unit: float, y: Tensor, total: LayerActivity) -> None:
    total.neurons = math.prod(y.shape[2:])
    total.updates += total.neurons * y.shape[0] * y.shape[1]
    equation = getattr(module, "equation", None)
    if equation is None or "fire" in equation.handed_in:  # a readout sends its membrane, not spikes
        events, _ = _events(y, 1.0)
        total.spikes += _sum(events)


def _events(x: Any, unit: float) -> tuple[Tensor | None, Tensor | None]:
    """Number of events in every cell, dense or (for an EventTensor) with flat places; None for an analog input."""
    places = None
    if hasattr(x, "rowptr"):
        places = x.indices.long()
        x = torch.ones(x.nnz, device=x.device) if x.values is None else x.values
    counts = x.detach() if unit == 1.0 else x.detach() / unit
    whole = counts.round()
    near = torch.equal(counts, whole) if unit == 1.0 else bool(((counts - whole).abs() < 1e-3).all())
    size = whole.abs()
    if not near or (bool((whole < 0).any()) and bool((size > 1).any())):
        return None, None
    return size, places


def _sum(events: Tensor | None) -> float:
    return 0.0 if events is None else float(events.sum(dtype=torch.float64))


def _reached(conv: Any, axis: int, n_in: int, n_out: int) -> Tensor:
    """Along one axis: in how many windows each input position lies."""
    kernel, stride, dilation = conv.kernel_size[axis], conv.stride[axis], conv.dilation[axis]
    if conv.padding == "same":
        before = dilation * (kernel - 1) // 2  # torch puts the odd one behind
    else:
        before = 0 if conv.padding == "valid" else conv.padding[axis]
    places = torch.arange(n_out)[:, None] * stride + torch.arange(kernel) * dilation - before
    inside = places[(places >= 0) & (places < n_in)]
    return torch.bincount(inside, minlength=n_in).double()
