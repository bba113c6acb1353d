"""Liquid: sparse recurrent spiking networks, run event by event, with or without plasticity."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snnkit.errors import UserError, nearest
from snnkit.events import EventTensor
from snnkit.kernels.neurons import operator
from snnkit.liquid import running
from snnkit.liquid.build import Blueprint, Numbers, Part
from snnkit.liquid.projection import Projection
from snnkit.liquid.state import LiquidState, Run
from snnkit.liquid.wiring import wire
from snnkit.neurons.base import Neuron
from snnkit.plasticity.rule import Modulators

Projections = Projection | Mapping[str, Projection]


class Liquid(nn.Module):
    """Neurons joined by sparse synapses with delays and local rules, simulated event by event (Maass et al. 2002).

    In each step: input spikes send w to the slot of their delay; every neuron takes its slot and steps; the spikes send
    w, at least one step late; rules, traces and modulators follow (docs/liquid.md gives the order, which is part of the
    definition). A step costs time with its spikes times their synapses, plus a little per neuron. Samples run in parallel, each from the
    same initial weights; spikes are bit-equal for any number of threads, batch order or cut in time. There are no
    gradients: `snnkit.Recurrent` is the trainable layer.

    Args:
        neuron: any model of `snnkit.neurons` that runs on kernels, with parameters per neuron or one for all.
        inputs: synapses from the input channels, one `Projection` or several by name.
        recurrent: synapses among the neurons, likewise, or None.
        modulators: numbers of the whole sample that rules read, such as an astrocyte's.
        dt: length of a step [s], if the neuron has none.
        dense: False stores complete blocks of synapses as sparse ones.

    Shapes: EventTensor (or tensor) `T B *M` to EventTensor `T B N`.

    >>> from snnkit.neurons import LIF
    >>> drive = Projection.dense(1, 3, w=1.5)
    >>> ring = Projection.from_matrix(0.6 * np.roll(np.eye(3), 1, 1))
    >>> liquid = Liquid(LIF(tau=20e-3, dt=1e-3), inputs=drive, recurrent=ring)
    >>> ev = EventTensor.from_events([0.0], [0], shape=1, dt=1e-3, steps=3)
    >>> liquid(ev).dense()[:, 0].tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        neuron: Neuron,
        inputs: Projections,
        recurrent: Projections | None = None,
        modulators: Modulators | None = None,
        *,
        dt: float | None = None,
        dense: bool | None = None,
    ):
        super().__init__()
        self.neuron, self.modulators = _check_neuron(neuron), modulators
        self.dt, self.dense = _one_dt(neuron.dt, dt), dense
        definition = operator.lookup(neuron._key)
        named = _named(inputs, recurrent)
        self.M, self.N = _sizes(named)
        _check_domains(modulators, self.M, self.N)
        parts = []
        for k, (label, (projection, back)) in enumerate(named.items()):
            wired = wire(projection, self.dt, int(back), definition.ports, label, dense)
            parts.append(Part(label, f"p{k}", projection, wired, back))
            w = torch.from_numpy(projection.w[wired.order]).to(torch.get_default_dtype())
            self.register_buffer(f"w_{label}", w)
        self.blueprint = Blueprint(definition, tuple(parts), modulators, self.dt)
        self.numbers = dict(self.blueprint.numbers.values)
        self.ports = len(definition.ports)
        latest = [int(p.wired.delay.max()) for p in parts if len(p.wired.delay)]
        self.slots = max(latest, default=0) + 1
        for name, value in self._rest(definition.states).items():
            self.register_buffer(f"begin_{name}", value)
        self._cache: dict[str, Any] = {}

    # -- running ------------------------------------------------------------------------------------------------

    def forward(self, ev: Any) -> EventTensor:
        """Run every sample from rest and from the initial weights."""
        return self.run(ev).spikes

    def run(
        self,
        ev: Any,
        *,
        keep: Sequence[str] = (),
        record: Sequence[str] = (),
        signals: Mapping[str, Any] | None = None,
        threads: int | None = None,
    ) -> Run:
        """Run every sample from rest, and answer more than spikes.

        Args:
            ev: input, `T B *M`.
            keep: what to keep of each sample's end: states of the neuron ("v"), of synapses ("recurrent.w", in the order of
                `projection`), traces ("recurrent.x"), modulators. Weights cost memory: batch x synapses.
            record: what to keep of each step: states of the neuron, modulators, "n_in", "n_out" (spikes), "rate" (Hz). Modulators
                of domains have one more axis, [T, B, domains].
            signals: arrays `[T]` or `[T, B]` that rules or modulators read, such as "reward".
            threads: default as many as torch has.
        """
        for word, names in (("keep", keep), ("record", record)):
            if isinstance(names, str):
                raise UserError(f"{word} is a list of names, such as {word}=[{names!r}]; got a string")
        return running.run(self, ev, keep, record, signals, threads)

    def learn(
        self,
        ev: Any,
        *,
        carry: Sequence[str] = (),
        signals: Mapping[str, Any] | None = None,
        before_each: Callable[[int, dict[str, np.ndarray]], None] | None = None,
        after_each: Callable[[int, np.ndarray], None] | None = None,
    ) -> Liquid:
        """A new liquid with the weights that samples leave, run one after another, each from the weights of the one before.

        This is sequential by nature: threads do not speed it up.

        Args:
            carry: states of the neuron that also go on from sample to sample, such as an adaptive threshold.
            before_each: called with the number of the sample and the weights by projection (in the order of `projection`) and
                carried states by name, [N], which it may change in place: to normalise them, say.
            after_each: called with the number of the sample and how often each neuron fired in it, [N].
        """
        weights, states = running.learn(self, ev, carry, signals, before_each, after_each)
        return self._with(weights, states)

    def scan(
        self, ev: Any, state: LiquidState | None = None, **options: Any
    ) -> tuple[EventTensor, LiquidState]:
        """Run a piece of a sequence; state in, state out; None is rest. `signals` and `threads` as for `run`."""
        return running.scan(self, ev, state, **options)

    def step(
        self, x_t: Tensor, state: LiquidState | None = None, **options: Any
    ) -> tuple[Tensor, LiquidState]:
        """One step `B *M`; spikes as a dense tensor `B N`. Weights that change are copied in each call: use `scan` for
        longer pieces."""
        ev, state = self.scan(x_t.unsqueeze(0), state, **options)
        return ev[0], state

    # -- other liquids from this one --------------------------------------------------------------------------

    def frozen(self) -> Liquid:
        """The same weights, without rules and modulators: the faster static kernel."""
        still = {}
        for label in self.labels:
            p = self.projection(label)
            still[label] = p.replaced(rule=p.rule.frozen() if p.rule else None)
        return self._of(still, self.neuron, None)._with({}, self.begin())

    def replaced(self, neuron: Neuron | None = None, /, **projections: Projection) -> Liquid:
        """A new liquid with other projections, by name, or another neuron; all else stays, weights and constants too.

        Samples begin with the states that they begin with now, or, with another neuron, as that one begins.
        """
        for label in projections:
            self._part(label)
        now = {label: self.projection(label) for label in self.labels} | projections
        if neuron is not None:
            return self._of(now, neuron, self.modulators)
        return self._of(now, self.neuron, self.modulators)._with({}, self.begin())

    def with_weights(self, **weights: Any) -> Liquid:
        """A new liquid with other initial weights, by projection, in the order of `projection`."""
        return self._with(weights, {})

    def with_constants(self, values: Mapping[str, float]) -> Liquid:
        """A new liquid in which constants of rules and modulators have other values; nothing is compiled anew.

        Args:
            values: by name, "recurrent.eta" for one projection's, "modulators.c", or "eta" for all that are called so.
        """
        numbers = Numbers(dict(self.numbers))
        for name, value in values.items():
            numbers.set(name, value)
        liquid = self._with({}, {})
        liquid.numbers = numbers.values
        return liquid

    def normalized(self, label: str, total: float) -> Liquid:
        """A new liquid in which the |weights| of a projection that reach a neuron add up to `total`, where there are any."""
        wired, w = self._part(label).wired, self._weights(label)
        if wired.block is not None:  # one row per pre neuron: no index needed
            rows = w.view(wired.block[1], wired.block[3])
            sums = rows.abs().sum(0, dtype=torch.float64)
            factor = torch.where(sums > 0, total / sums, 1.0).to(w.dtype)
            return self._with({label: (rows * factor).view(-1)}, {})
        each = np.bincount(wired.post, weights=w.abs().double().numpy(), minlength=self.N)
        factors = np.divide(total, each, out=np.ones_like(each), where=each > 0)
        return self._with({label: w * torch.from_numpy(factors[wired.post]).to(w.dtype)}, {})

    # -- looking at it -----------------------------------------------------------------------------------------

    def projection(self, label: str) -> Projection:
        """A projection with its present weights, in the order of the kernel: by pre, delay, port, post. Its rule has the present
        constants."""
        part = self._part(label)
        p, order = part.projection, part.wired.order
        port = p.port if isinstance(p.port, int | str) else p.port[order]
        delay = None if p.delay is None else p.delay[order]
        w = self._weights(label).double().numpy()
        now = {k: self.numbers[f"{label}.{k}"] for k in p.rule.const} if p.rule else {}
        rule = p.rule.with_constants(**now) if p.rule and now != dict(p.rule.const) else p.rule
        return p.replaced(pre=part.wired.pre, post=part.wired.post, w=w, delay=delay, port=port, rule=rule)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the projections, those of the input first."""
        return tuple(p.label for p in self.blueprint.parts)

    def begin(self) -> dict[str, Tensor]:
        """States of the neurons at rest, by name, [N]."""
        return {k: getattr(self, f"begin_{k}") for k in self.blueprint.neuron.states}

    def extra_repr(self) -> str:
        parts = ", ".join(f"{p.label}: {p.projection!r}" for p in self.blueprint.parts)
        return f"M={self.M}, N={self.N}, dt={self.dt}, {parts}"

    def __getstate__(self) -> dict[str, Any]:
        """For other processes: without the kernels, which they load from disk."""
        kept = {k: v for k, v in self.__dict__.items() if k not in ("blueprint", "_cache")}
        return {**kept, "parts": self.blueprint.parts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        parts = state.pop("parts")
        super().__setstate__(state)
        definition = operator.lookup(self.neuron._key)
        self.blueprint, self._cache = Blueprint(definition, parts, self.modulators, self.dt), {}

    # -- inside --------------------------------------------------------------------------------------------------

    def _part(self, label: str) -> Part:
        for part in self.blueprint.parts:
            if part.label == label:
                return part
        raise UserError(f"the liquid has no projection {label!r}; {nearest(label, self.labels)}")

    def _weights(self, label: str) -> Tensor:
        return getattr(self, f"w_{label}").detach().cpu()

    def _real(self) -> torch.dtype:
        """Precision of the kernel: that of the weights."""
        dtypes = {getattr(self, f"w_{label}").dtype for label in self.labels}
        return torch.float64 if torch.float64 in dtypes else torch.float32

    def _rest(self, states: Sequence[str]) -> dict[str, Tensor]:
        like = torch.zeros(1, self.N, dtype=torch.float64)
        found = self.neuron._states([like], like.shape, None)
        return {
            k: v[0].detach().clone().to(torch.get_default_dtype()) for k, v in zip(states, found, strict=True)
        }

    def _of(
        self, projections: Mapping[str, Projection], neuron: Neuron, modulators: Modulators | None
    ) -> Liquid:
        """A liquid of these projections for those this one has; constants of modulators, dt and precision stay."""
        groups: tuple[dict[str, Projection], ...] = ({}, {})
        for part in self.blueprint.parts:
            groups[part.recurrent][part.label] = projections[part.label]
        liquid = Liquid(neuron, groups[0], groups[1], modulators, dt=self.dt, dense=self.dense)
        liquid = liquid.to(self._real())
        kept = {k: v for k, v in self.numbers.items() if k.startswith("modulators.")}
        liquid.numbers |= kept if modulators is not None else {}
        return liquid

    def _with(self, weights: Mapping[str, Any], states: Mapping[str, Any]) -> Liquid:
        liquid = object.__new__(type(self))  # copy.copy goes by __setstate__, which plans the kernel anew
        liquid.__dict__.update(self.__dict__)
        liquid._buffers = dict(self._buffers)
        liquid._cache = dict(self._cache)
        for label, value in weights.items():
            self._part(label)
            before = getattr(self, f"w_{label}")
            new = torch.as_tensor(value).detach().to(before, copy=True)
            if new.shape != before.shape:
                raise UserError(
                    f"{label} has {before.numel()} synapses, got weights of shape {list(new.shape)}"
                )
            liquid._buffers[f"w_{label}"] = new
        for name, value in states.items():
            liquid._buffers[f"begin_{name}"] = torch.as_tensor(value).to(getattr(self, f"begin_{name}"))
        return liquid


def _check_neuron(neuron: Any) -> Neuron:
    if not isinstance(neuron, Neuron):
        raise TypeError(
            f"Liquid needs a neuron of snnkit.neurons such as LIF(...), got {type(neuron).__name__}"
        )
    if hasattr(neuron, "noise"):
        raise UserError(
            f"{type(neuron).__name__} draws noise for its ports, but in a liquid every port is fed by synapses; "
            "send it noise as input spikes through a Projection of its own"
        )
    return neuron


def _check_domains(modulators: Modulators | None, M: int, N: int) -> None:
    if modulators is not None and not isinstance(modulators, Modulators):
        hint = "call its modulators()" if hasattr(modulators, "modulators") else "such as astrocyte()"
        raise TypeError(f"modulators are Modulators, {hint}; got {type(modulators).__name__}")
    if modulators is None or modulators.domains is None:
        return
    if len(modulators.domains.of) != N:
        raise UserError(f"the domains are of {len(modulators.domains.of)} neurons, but the liquid has {N}")
    modulators.domains.seen(M)


def _one_dt(of_neuron: float | None, given: float | None) -> float | None:
    if of_neuron is not None and given is not None and not math.isclose(of_neuron, given, rel_tol=1e-9):
        raise UserError(f"the neuron has dt={of_neuron:g} s, but Liquid was given dt={given:g} s")
    return of_neuron if of_neuron is not None else given


def _named(inputs: Projections, recurrent: Projections | None) -> dict[str, tuple[Projection, bool]]:
    named: dict[str, tuple[Projection, bool]] = {}
    for word, given, back in (("inputs", inputs, False), ("recurrent", recurrent, True)):
        if not isinstance(given, Projection | Mapping | None):
            raise TypeError(f"{word} is a Projection, or several by name; got {type(given).__name__}")
        group = {word: given} if isinstance(given, Projection) else dict(given or {})
        for label, projection in group.items():
            if not isinstance(projection, Projection):
                raise TypeError(
                    f"{word} is a Projection, or several by name; got {type(projection).__name__}"
                )
            if not label.isidentifier():
                raise UserError(f"the name of a projection is a word, got {label!r}")
            if label in named:
                raise UserError(f"two projections are called {label!r}")
            named[label] = (projection, back)
    if not any(not back for _, back in named.values()):
        raise UserError(
            "a liquid needs synapses from its input: inputs=Projection.random(channels, neurons, ...)"
        )
    return named


def _sizes(named: Mapping[str, tuple[Projection, bool]]) -> tuple[int, int]:
    """Channels and neurons, on which all projections agree."""
    first = next(p for p, back in named.values() if not back)
    M, N = first.shape
    for label, (p, back) in named.items():
        expected = (N, N) if back else (M, N)
        if p.shape != expected:
            raise UserError(
                f"{label} joins {p.shape[0]} to {p.shape[1]} neurons, expected {expected[0]} to {expected[1]}"
            )
    return M, N
