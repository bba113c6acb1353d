"""A liquid put together: names to places, rules to programs, constants to one array. No numbers of synapses here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from snnkit.errors import UserError, nearest
from snnkit.kernels.neurons.program import Definition
from snnkit.kernels.simulator.plan import (
    INPUTS,
    LATE,
    NEURONS,
    ONE,
    POST,
    PRE,
    SYNAPSE,
    NetworkPlan,
    ProjectionPlan,
    TracePlan,
    is_binary,
)
from snnkit.liquid.projection import Projection
from snnkit.liquid.wiring import Wired
from snnkit.plasticity import compose
from snnkit.plasticity.compose import Known
from snnkit.plasticity.rule import Modulators, Rule, Trace


@dataclass(frozen=True, eq=False)
class Part:
    """One projection of a liquid."""

    label: str  # as the user knows it: "inputs", "recurrent", ...
    name: str  # of its arrays
    projection: Projection
    wired: Wired
    recurrent: bool

    @property
    def rule(self) -> Rule | None:
        return self.projection.rule

    @property
    def plastic(self) -> bool:
        return self.rule is not None and self.rule.plastic

    @property
    def late(self) -> bool:
        """Whether its spikes are met where they arrive."""
        return self.rule is not None and self.rule.pairing == "arrival"


@dataclass
class Numbers:
    """The one-number constants of all rules, each in its place of the array `par`."""

    values: dict[str, float] = field(default_factory=dict)

    def place(self, key: str, value: float) -> str:
        self.values.setdefault(key, float(value))
        return f"par[{list(self.values).index(key)}]"

    def set(self, name: str, value: float) -> None:
        """`name` is that of one constant ("recurrent.eta"), or of all that are called so ("eta")."""
        found = [k for k in self.values if k == name or k.split(".", 1)[-1] == name]
        found = [k for k in found if not k.startswith("trace_") and k != "dt"]
        if not found:
            known = {
                k.split(".", 1)[-1]
                for k in self.values
                if not k.startswith(("trace_", "keep_")) and k != "dt"
            }
            raise UserError(f"no rule or modulator has the constant {name!r}; {nearest(name, known)}")
        for key in found:
            self.values[key] = float(value)


class Blueprint:
    """What the parts of a liquid mean to the kernel.

    Args:
        neuron: its program, binary or not, and the names of its states.
        parts: projections, those of the input first.
        modulators: or None.
        dt: length of a step [s], or None where nothing asks for it.
    """

    def __init__(
        self, neuron: Definition, parts: tuple[Part, ...], modulators: Modulators | None, dt: float | None
    ) -> None:
        self.neuron, self.parts, self.modulators, self.dt = neuron, parts, modulators, dt
        self.numbers = Numbers()
        self.traces: list[tuple[str, Trace]] = []  # population and trace
        self.jumps: dict[int, Mapping[str, Known]] = {}
        self.signals = tuple(
            dict.fromkeys(
                [
                    s
                    for owner in (modulators, *(p.rule for p in parts))
                    if owner is not None
                    for s in owner.signals
                ]
            )
        )
        self._keys: dict[Any, int] = {}
        self.trace_of: dict[str, int] = {}  # "recurrent.x" -> number
        self.projections = tuple(self._projection(part) for part in parts)
        self.trace_plans = tuple(plan for p in (INPUTS, NEURONS) if (plan := self._traces(p)) is not None)
        self.modulate = None if modulators is None else compose.modulate(modulators, self._of_modulators())

    def plan(self, graded_in: bool) -> NetworkPlan:
        return NetworkPlan(
            neuron=self.neuron,
            graded_in=graded_in,
            graded_out=not self.binary,
            projections=self.projections,
            traces=self.trace_plans,
            modulators=self.modulate,
            scalars=0 if self.modulators is None else len(self.modulators.start),
            signals=len(self.signals),
            domains=self.modulators is not None and self.modulators.domains is not None,
        )

    @cached_property
    def binary(self) -> bool:
        """Whether the neuron sends only 0 and 1."""
        return is_binary(self.neuron.forward)

    # -- names ---------------------------------------------------------------------------------------------------

    def _shared(self) -> dict[str, Known]:
        """Names that mean the same in every rule."""
        known = {"n_in": Known(ONE, "n_in"), "n_out": Known(ONE, "n_out")}
        if self.dt is not None:
            known["dt"] = Known(ONE, self.numbers.place("dt", self.dt))
        domains = self.modulators is not None and self.modulators.domains is not None
        for k, name in enumerate(self.modulators.start if self.modulators else ()):
            known[name] = Known(POST, f"field_{k}") if domains else Known(ONE, f"mods[{k}]")
        for k, name in enumerate(self.signals):
            known[name] = Known(ONE, f"signal_{k}[t, b]")
        return known

    def _of_modulators(self) -> dict[str, Known]:
        assert self.modulators is not None
        known = self._shared()
        if self.modulators.domains is not None:
            known |= {"n_in": Known(ONE, "in_of[g]"), "n_out": Known(ONE, "out_of[g]")}
            for k, name in enumerate(self.modulators.start):
                known[name] = Known(ONE, f"mods[{k} * G + g]")
                known[f"flow_{name}"] = Known(ONE, f"flow[{k} * G + g]")
        for name, value in self.modulators.const.items():
            known[name] = Known(ONE, self.numbers.place(f"modulators.{name}", value))
        return known

    def _of_rule(self, part: Part) -> dict[str, Known]:
        rule = part.rule
        assert rule is not None
        known = self._shared()
        known |= {name: Known(POST, f"state_{name}") for name in self.neuron.states if name not in known}
        own: dict[str, Known] = {"sign": Known(PRE, f"{part.name}_k_sign")}
        for name, value in rule.const.items():
            own[name] = Known(ONE, self.numbers.place(f"{part.label}.{name}", value))
        own |= {name: Known(PRE, f"{part.name}_k_{name}") for name in rule.per_pre}
        own |= {name: Known(POST, f"{part.name}_k_{name}") for name in rule.per_post}
        clash = (set(own) | set(rule.traces) | set(rule.synapse)) & (set(known) - set(self.neuron.states))
        if clash:
            raise UserError(
                f"{part.label}: the rule and the modulators both call something {', '.join(sorted(clash))}"
            )
        known |= own
        for name, trace in rule.traces.items():
            k = self._trace(part, name, trace)
            known[name] = Known(PRE if trace.on == "pre" else POST, f"trace_{k}")
        for k, trace in ((self.trace_of[f"{part.label}.{n}"], t) for n, t in rule.traces.items()):
            if trace.jump is not None:
                self.jumps[k] = self._seen_by_jump(known, rule, trace)
        if part.late:
            before = (
                (name, self.trace_of[f"{part.label}.{name}"])
                for name, t in rule.traces.items()
                if t.on == "pre"
            )
            known |= {name: Known(LATE, f"past_{k}") for name, k in before}
        known |= {name: Known(SYNAPSE, f"{part.name}_{name}") for name in ("w", *rule.synapse)}
        return known

    def _seen_by_jump(self, known: Mapping[str, Known], rule: Rule, trace: Trace) -> dict[str, Known]:
        sides = {n for n, t in rule.traces.items() if t.on == trace.on}
        names = sides | set(rule.const) | set(rule.per_pre if trace.on == "pre" else rule.per_post)
        return {n: Known(PRE if k.kind == POST else k.kind, k.text) for n, k in known.items() if n in names}

    def _trace(self, part: Part, name: str, trace: Trace) -> int:
        """The number of a trace; equal ones of a population are one."""
        population = NEURONS if part.recurrent or trace.on == "post" else INPUTS
        if self.dt is None:
            raise UserError(f"{part.label}: traces have time constants, so the liquid needs dt [s]")
        if trace.of is not None and (population == INPUTS or trace.of not in self.neuron.states):
            raise UserError(
                f"{part.label}: the trace {name} follows the state {trace.of!r}, but "
                + (
                    "an input has no states"
                    if population == INPUTS
                    else nearest(trace.of, self.neuron.states)
                )
            )
        key: Any = (population, trace) if trace.jump is None else object()
        if trace.jump is None:
            key = (population, trace.tau, trace.add, trace.set, trace.rest, trace.of)
        k = self._keys.setdefault(key, len(self.traces))
        if k == len(self.traces):
            self.traces.append((population, trace))
        self.trace_of[f"{part.label}.{name}"] = k
        return k

    # -- plans ---------------------------------------------------------------------------------------------------

    def _projection(self, part: Part) -> ProjectionPlan:
        if part.rule is None:
            hooks = compose.hooks(None, {"w": Known(SYNAPSE, f"{part.name}_w")})
            states: tuple[str, ...] = ("w",)
        else:
            hooks, states = compose.hooks(part.rule, self._of_rule(part)), ("w", *part.rule.synapse)
        at_pre = hooks["at_pre"]
        assert at_pre is not None
        return ProjectionPlan(
            name=part.name,
            recurrent=part.recurrent,
            dense=part.wired.block is not None,
            states=states,
            per_sample=part.plastic,
            at_pre=at_pre,
            at_post=hooks.get("at_post"),
            each=hooks.get("each"),
            gate=hooks.get("gate"),
            finish=hooks.get("finish"),
            late=part.late,
        )

    def _traces(self, population: str) -> TracePlan | None:
        mine = {k: trace for k, (where, trace) in enumerate(self.traces) if where == population}
        if not mine:
            return None
        place = self.numbers.place
        bump = compose.bump({k: (t, self.jumps.get(k, {})) for k, t in mine.items()}, place)
        relax = compose.relax(mine, self.keep, place)
        return TracePlan(population, tuple(mine), bump, relax)

    def keep(self, tau: float) -> float:
        """What is left of a trace after one step."""
        assert self.dt is not None
        return math.exp(-self.dt / tau)

    def columns(self, part: Part) -> bool:
        return self.projections[self.parts.index(part)].columns

    def per_neuron(self, real: type) -> dict[str, np.ndarray]:
        """Constants per pre or post neuron, by the name of the kernel's argument."""
        found: dict[str, np.ndarray] = {}
        for part in self.parts:
            if part.rule is None:
                continue
            n_pre, n_post = part.projection.shape
            found[f"{part.name}_k_sign"] = np.asarray(part.projection.sign, real)
            for values, size, side in (
                (part.rule.per_pre, n_pre, "pre"),
                (part.rule.per_post, n_post, "post"),
            ):
                for name, value in values.items():
                    array: np.ndarray = np.asarray(value, real)
                    if array.shape != (size,):
                        raise UserError(
                            f"{part.label}: per_{side} {name} has one number for each of {size} {side} neurons, "
                            f"got shape {array.shape}"
                        )
                    found[f"{part.name}_k_{name}"] = np.ascontiguousarray(array)
        return found
