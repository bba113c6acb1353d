"""Networks of layers, run from event to event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.eventprop.readout import Readout, checked_end, per_neuron, unit
from snnkit.eventprop.spikes import Spikes
from snnkit.eventprop.stages import Stage, stages
from snnkit.events import EventTensor
from snnkit.kernels.eventprop.lists import Constants, Fire
from snnkit.layers.delays import DelayedLinear

MOST = 1_000_000


@dataclass(frozen=True)
class Answer:
    """What a run found: `spikes` of every spiking layer by its name, and `output`, a `Readout` or the last layer's `Spikes`."""

    spikes: dict[str, Spikes]
    output: Spikes | Readout


def run(
    net: nn.Module, x: EventTensor | Spikes | Tensor, *, duration: float | None = None, max_spikes: int = MOST
) -> Answer:
    """Run a network in continuous time, from rest, with the exact gradient of its spike times.

        τ_m V' = I - V      τ_s I' = -I      spike when V reaches θ: V := 0      a spike adds w to I after its delay

    The network is that of its layers for steps that become shorter and shorter: a weight w, made for steps of dt, lifts the
    membrane as it does there at the end of steps. Crossings are found exactly (closed form, Newton within brackets), a neuron may
    spike any number of times, and gradients of weights, delays and input times are those of EventProp (Wunderlich and Pehle
    2021, Sci Rep 11:12829; delays: Mészáros, Knight and Nowotny 2025, arXiv:2501.07331). The cost grows with spikes
    times synapses; the length of the run and dt do not matter. float64 inside; same bits with any number of threads. CPU only.

    Args:
        net: one of `DelayedLinear` (two-tap, integer) or `Linear`, followed by `CubaLIF(gradient="eventprop")`, alone or in
            `Recurrent` with one of these layers (its delays come on top of one dt, as on time steps), any number of times; in the
            end perhaps weights and `LeakyIntegrator(tau_syn)`, `LeakyIntegrator(tau_mem)`, or the latter alone.
        x: `Spikes`, an `EventTensor` (events are at the begin of their steps), or `T B *N` dense.
        duration: length of the run [s]; by default that of the input.
        max_spikes: of a layer in a sample, above which a network counts as running wild.

    Raises:
        UserError: naming every layer that has no exact event-driven form.
    """
    plan = stages(net)
    spikes = _spikes(x, plan[0].dt)
    end = checked_end(spikes.duration if duration is None else duration)
    found: dict[str, Spikes] = {}
    output: Spikes | Readout = spikes
    for stage in plan:
        if spikes.channels != stage.n_in:
            raise UserError(
                f"eventprop: layer {stage.name} has {stage.n_in} inputs, but gets {spikes.channels} channels"
            )
        end += stage.tail
        if stage.reads:
            output = _read(stage, spikes, end)
        else:
            output = spikes = found[stage.neuron_name] = _fire(stage, spikes, end, max_spikes)
    return Answer(found, output)


class EventProp(nn.Module):
    """A network whose calls run in continuous time: the same layers and parameters, the same losses, the exact gradient.

    Args:
        net: see `run`.
        read: what a call answers: "trace" for what `net` itself would, `T B C` (readouts after every step, or spikes, on the
            grid of its dt), "integral" and "maximum" of the readouts `B C`, "first" spike times `B C` [s], or a function of
            the `Answer`.
        window: time constant of the window of "integral" [s].
        duration, max_spikes: see `run`.

    >>> from snnkit.layers import DelayedLinear, Sequential
    >>> from snnkit.neurons import CubaLIF
    >>> cell = CubaLIF(tau_syn=5e-3, tau_mem=20e-3, dt=1e-3, gradient="eventprop")
    >>> net = Sequential(DelayedLinear(2, 3, max_delay=5e-3, dt=1e-3, initial_delay=2e-3), cell)
    >>> net[0].weight.data.fill_(1.0).shape
    torch.Size([2, 3])
    >>> model = EventProp(net, read="first")
    >>> s = Spikes.from_lists([([0.0, 1e-3], [0, 1])], channels=2, duration=20e-3)
    >>> [round(t, 7) for t in model(s)[0].tolist()]
    [0.003, 0.003, 0.003]
    """

    def __init__(
        self,
        net: nn.Module,
        read: str | Callable[[Answer], Any] = "trace",
        *,
        window: float | None = None,
        duration: float | None = None,
        max_spikes: int = MOST,
    ):
        super().__init__()
        if not callable(read) and read not in _READS:
            raise UserError(
                f"EventProp: read is a function of the answer or one of {', '.join(_READS)}; got {read!r}"
            )
        plan = stages(net)
        if not callable(read) and read != "trace" and plan[-1].reads == (read == "first"):
            raise UserError(
                f"EventProp: read={read!r} needs a network that ends in "
                + ("spikes" if read == "first" else "readouts (LeakyIntegrator)")
            )
        self.net, self.read, self.window = net, read, window
        self.duration, self.max_spikes, self.dt = duration, max_spikes, plan[-1].dt

    def forward(self, x: EventTensor | Spikes | Tensor) -> Any:
        answer = run(self.net, x, duration=self.duration, max_spikes=self.max_spikes)
        found = self.read(answer) if callable(self.read) else _READS[self.read](self, answer.output)
        weights = next(self.net.parameters(), None)
        return (
            found.to(weights.dtype)
            if isinstance(found, Tensor) and self.read != "first" and weights is not None
            else found
        )


def _trace(model: EventProp, output: Any) -> Tensor:
    return output.trace() if isinstance(output, Readout) else output.train(model.dt)


_READS: dict[str, Callable[[EventProp, Any], Tensor]] = {
    "trace": _trace,
    "integral": lambda model, output: output.integral(model.window),
    "maximum": lambda model, output: output.maximum(),
    "first": lambda model, output: output.first(),
}


def _spikes(x: Any, dt: float) -> Spikes:
    if isinstance(x, Spikes):
        x.check()
        return x
    if isinstance(x, Tensor):
        if x.requires_grad:
            raise UserError(
                "eventprop: a dense input gets no gradient; pass Spikes, whose times do, or x.detach()"
            )
        x = EventTensor.from_dense(x, dt)
    if isinstance(x, EventTensor):
        return Spikes.from_events(x)
    raise TypeError(f"eventprop takes Spikes, an EventTensor or a tensor T B *N, got {type(x).__name__}")


def _weights(layer: nn.Module, gain: Tensor) -> Tensor:
    """neurons x inputs, as jumps of the current of membranes whose threshold is 1."""
    weight = layer.weight.t() if isinstance(layer, DelayedLinear) else layer.weight
    if not bool(torch.isfinite(weight).all()):  # type: ignore[arg-type]
        raise UserError("eventprop: a weight is NaN or infinite; try a smaller learning rate")
    return weight.double() * gain[:, None]  # type: ignore[operator]


def _delays(layer: nn.Module, less: float = 0.0) -> Tensor | None:
    """neurons x inputs [s], or None for none; `less` is added to all."""
    if not isinstance(layer, DelayedLinear):
        n, m = layer.out_features, layer.in_features
        return torch.full((n, m), less, dtype=torch.float64) if less else None  # type: ignore[arg-type]
    if not bool(torch.isfinite(layer.delay).all()):
        raise UserError("eventprop: a delay is NaN or infinite; try a smaller learning rate for the delays")
    steps = layer.delay.double().clamp(0, layer.longest)
    if layer.form == "integer":
        steps = steps + ((steps + 0.5).floor() - steps).detach()
    return (steps * layer.dt + less).expand(layer.in_features, layer.out_features).t()


def _fire(stage: Stage, spikes: Spikes, end: float, most: int) -> Spikes:
    n, cell = stage.n_out, stage.neuron
    mem, syn = per_neuron(cell.tau_mem, n, "tau_mem"), per_neuron(cell.tau_syn, n, "tau_syn")
    theta = per_neuron(cell.threshold, n, "threshold")
    gain = 1.0 / (unit(mem, syn, stage.dt) * torch.from_numpy(theta))
    constants = Constants(mem, syn, end, np.full(n, float(cell.slope_floor)), int(most))
    loop = None if stage.loop is None else _weights(stage.loop, gain)
    back = None if stage.loop is None else _delays(stage.loop, stage.dt)
    time, begin, who = Fire.apply(
        spikes.time,
        _weights(stage.synapses, gain),
        _delays(stage.synapses),
        loop,
        back,
        spikes.arrays(),
        constants,
    )
    return Spikes(time, who, begin, n, end)


def _read(stage: Stage, spikes: Spikes, end: float) -> Readout:
    n, leaks = stage.n_out, stage.leaks
    mem = per_neuron(leaks[-1].tau, n, "tau")
    syn, gain = np.zeros(n), torch.ones(n, dtype=torch.float64)
    if len(leaks) == 2:
        syn = per_neuron(leaks[0].tau, n, "tau")
        gain = 1.0 / unit(mem, syn, stage.dt)  # two integrators on time steps count in what a step does
    weights = _weights(stage.synapses, gain)
    constants = Constants(mem, syn, end, np.empty(0), 0)
    return Readout(spikes, weights, _delays(stage.synapses), constants, stage.dt)
