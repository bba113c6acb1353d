"""A local rule as data: traces, a few one-line functions of named arguments, constants, bounds."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from snnkit.errors import UserError, nearest
from snnkit.plasticity.domains import Domains

Term = Callable[..., Any]
Bound = float | str | Term
HOOKS = ("on_pre", "on_post", "each_step", "when", "deliver", "settle")
PAIRINGS = ("departure", "arrival")
COUNTS = ("n_in", "n_out")  # spikes of this step; known once all neurons have stepped


@dataclass(frozen=True)
class Trace:
    """A memory of spikes, one number per neuron of a side.

        at a spike:  x ← x + add     (set=True: x ← add;  jump: x ← jump(...))
        each step:   x ← rest + (x - rest)·exp(-dt/τ)

    In this order, so a spike's own trace is read from the next step on, one step old. With `of` it follows a state of the
    neurons instead: x ← k·x + (1 - k)·state, k = exp(-dt/τ).

    Args:
        on: "pre" or "post", whose spikes.
        tau: time constant τ [s].
        add: what a spike adds, or sets the trace to.
        set: nearest-spike: only the last spike counts.
        rest: value without spikes.
        jump: value after a spike, a function of the traces (and constants) of the same side, all as before the spike.
        of: name of a neuron's state, such as "v".
    """

    on: str
    tau: float
    add: float = 1.0
    set: bool = False
    rest: float = 0.0
    jump: Term | None = None
    of: str | None = None

    def __post_init__(self) -> None:
        if self.on not in ("pre", "post"):
            raise UserError(f'a trace is on "pre" or "post" spikes, got {self.on!r}')
        if not 0 < self.tau < math.inf:
            raise UserError(f"a trace needs a positive time constant tau in seconds, got {self.tau!r}")
        if self.of is not None and (self.jump is not None or self.set):
            raise UserError(
                "a trace that follows a state (of=...) does not jump at spikes: drop set and jump"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Rule:
    """What pre and post spikes do to a synapse. The names of a function's arguments say what it reads:

    | name | what |
    |---|---|
    | `w`, states of `synapse` | of this synapse |
    | traces | of its pre or post neuron, as the trace says |
    | `const` | one number; set anew by `Liquid.with_constants` without compiling |
    | `per_pre`, `per_post`; `sign` | one number per neuron; `sign` is the pre neuron's, +1 or -1 (Dale's law) |
    | a state of the neuron, such as `v` | of the post neuron |
    | modulators, `signals`, `dt` | one number per sample and step |
    | `n_in`, `n_out` | spikes of this step, in `each_step` and `when` |

    Functions use `+ - * /`, comparisons and the words of `snnkit.plasticity` (`where`, `clip`, `exp`, ...). They answer the new w,
    or (w, *states of the synapse) when `synapse` names some.

    Args:
        traces: name to `Trace`.
        on_pre: at a spike of the pre neuron, after the weight was delivered.
        on_post: at a spike of the post neuron.
        each_step: for every synapse in every step, after the traces. This costs time with the number of synapses.
        when: a condition that lets `each_step` happen, of one-number names, or of names of the post neuron.
        deliver: what reaches the post neuron, w by default; for synapses that depress or facilitate.
        settle: what has become of (w, *states) since they were last touched; called before each use and at the end.
        synapse: further states of each synapse, with their first values.
        const, per_pre, per_post: constants.
        signals: names of arrays over time that `run` is given, such as "reward".
        bounds: lowest and highest w: numbers, names, or functions; None for no bound. Clipped after each part.
        pairing: where a synapse with a delay meets the spikes of its pre neuron. "departure": as they leave, so that the rule sees
            no delay; "arrival": a delay later, see below. From an input without delay both are the same.

    A pair of spikes at t_pre and t_post, d the synapse's delay, is t_post - t_pre apart with "departure", whatever d: the way to the
    synapse and the way back of the post neuron's spike, through the dendrite, are equally long. With "arrival" it is t_post - (t_pre + d)
    apart: all of the delay is axonal, as in Brian2's usual text (Morrison, Diesmann and Gerstner 2008, Biol Cybern 98:459). Then w is
    delivered and `on_pre` happens in the step in which the spike arrives, before the neurons step, with the post traces, modulators and
    signals (a reward) of that step; what a function reads of pre traces is what they were d before. It costs a look-up more for each spike
    and each delay that occurs in the projection. NEST's synapses put all of d on the dendrite, t_post + d - t_pre, which is neither.

    Raises:
        UserError: a name means two things, or something is out of range.
    """

    traces: Mapping[str, Trace] = field(default_factory=dict)
    on_pre: Term | None = None
    on_post: Term | None = None
    each_step: Term | None = None
    when: Term | None = None
    deliver: Term | None = None
    settle: Term | None = None
    synapse: Mapping[str, float] = field(default_factory=dict)
    const: Mapping[str, float] = field(default_factory=dict)
    per_pre: Mapping[str, Any] = field(default_factory=dict)
    per_post: Mapping[str, Any] = field(default_factory=dict)
    signals: tuple[str, ...] = ()
    bounds: tuple[Bound | None, Bound | None] | None = None
    pairing: str = "departure"
    made_by: tuple[str, Mapping[str, Any]] | None = field(default=None, repr=False)  # a registered factory

    def __post_init__(self) -> None:
        seen: dict[str, str] = dict.fromkeys(("w", "dt", "sign", *COUNTS), "a word of every rule")
        for kind in ("traces", "synapse", "const", "per_pre", "per_post", "signals"):
            for name in getattr(self, kind):
                if name in seen:
                    raise UserError(f"the rule uses the name {name!r} twice: in {kind} and as {seen[name]}")
                seen[name] = f"one of its {kind}"
        for name, trace in self.traces.items():
            if not isinstance(trace, Trace):
                raise UserError(
                    f'the trace {name} is a Trace, such as Trace("pre", tau=20e-3); got {trace!r}'
                )
        for hook in HOOKS:
            if getattr(self, hook) is not None and not callable(getattr(self, hook)):
                raise UserError(
                    f"{hook} is a function, such as lambda w, x: w + x; got {getattr(self, hook)!r}"
                )
        if self.pairing not in PAIRINGS:
            raise UserError(
                f'a rule pairs spikes at pairing="departure" or pairing="arrival", got {self.pairing!r}'
            )
        if self.made_by is not None and self.made_by[1].get("pairing", "departure") != self.pairing:
            name, options = self.made_by
            object.__setattr__(self, "made_by", (name, {**options, "pairing": self.pairing}))
        if self.when is not None and self.each_step is None:
            raise UserError("`when` says whether `each_step` happens, but the rule has no each_step")
        if self.synapse and self.settle is None and not (self.on_pre or self.on_post or self.each_step):
            raise UserError("the rule keeps states of synapses, but no function changes them")
        for name, value in self.const.items():
            if not math.isfinite(value):
                raise UserError(f"the constant {name} is a finite number, got {value!r}")
        if self.bounds is not None:
            if not isinstance(self.bounds, tuple | list) or len(self.bounds) != 2:
                raise UserError(f"bounds are (lowest, highest) weight, got {self.bounds!r}")
            low, high = self.bounds
            if isinstance(low, int | float) and isinstance(high, int | float) and not low <= high:
                raise UserError(f"bounds are (lowest, highest) weight, got ({low!r}, {high!r})")

    def __reduce__(self) -> Any:
        """By name and options where a registered function made it, for functions without a name do not travel."""
        if self.made_by is None:
            return super().__reduce__()
        return _again, (self.made_by, dict(self.const), self.plastic)

    @property
    def plastic(self) -> bool:
        """Whether it changes weights."""
        return any((self.on_pre, self.on_post, self.each_step, self.settle))

    def frozen(self) -> Rule | None:
        """The same synapses without learning: what is left is how they deliver, if the rule says so."""
        if self.deliver is None:
            return None
        if self.synapse:
            raise UserError("a rule whose delivery reads states of synapses cannot be frozen")
        return replace(
            self,
            on_pre=None,
            on_post=None,
            each_step=None,
            when=None,
            settle=None,
            bounds=None,
            made_by=self.made_by,
        )

    def with_constants(self, **values: float) -> Rule:
        """The same rule with other constants."""
        for name in values:
            if name not in self.const:
                raise UserError(f"the rule has no constant {name!r}; {nearest(name, self.const)}")
        return replace(self, const={**self.const, **values})


@dataclass(frozen=True, eq=False)
class Modulators:
    """Numbers of a whole sample, stepped once per dt: an astrocyte, dopamine, the annealing of a learning rate.

    `step` takes by name the modulators, its constants, `signals`, `n_in` and `n_out` (spikes of this step, of the input
    and of the liquid) and `dt`, and answers the next modulators in order.

    With `domains` there is one set of these numbers per domain, `start` may hold one number for each, `n_in` and `n_out` are
    those of the domain, and `flow_A` is what a modulator A gets from other domains; see `Domains`.

    >>> fading = Modulators({"eta": 0.1}, lambda eta, c: eta * c, {"c": 0.99})
    """

    start: Mapping[str, Any]
    step: Term
    const: Mapping[str, float] = field(default_factory=dict)
    signals: tuple[str, ...] = ()
    domains: Domains | None = None
    made_by: tuple[str, Mapping[str, Any]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.start:
            raise UserError("modulators need at least one number to begin with")
        names = [*self.start, *self.const, *self.signals, "dt", "sign", *COUNTS]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise UserError(f"modulators use a name twice: {', '.join(sorted(twice))}")
        for name, value in self.start.items():
            if np.shape(value) not in ((), (self.count,) if self.domains else ()):
                wanted = (
                    f"or one for each of {self.count} domains" if self.domains else "as there are no domains"
                )
                raise UserError(
                    f"the modulator {name} begins with one number, {wanted}; got {list(np.shape(value))}"
                )

    @property
    def count(self) -> int:
        """How many sets of these numbers there are."""
        return 1 if self.domains is None else self.domains.count

    def begin(self) -> np.ndarray:
        """First values, modulator by modulator, domains innermost."""
        return np.concatenate(
            [np.broadcast_to(np.asarray(v, float), self.count) for v in self.start.values()]
        )

    def __reduce__(self) -> Any:
        if self.made_by is None:
            return super().__reduce__()
        return _modulators_again, (self.made_by,)


def _again(made_by: tuple[str, Mapping[str, Any]], const: Mapping[str, float], plastic: bool) -> Rule | None:
    from snnkit.plasticity import registry

    rule = registry.made(made_by[0], dict(made_by[1]))
    rule = rule if plastic or not rule.plastic else rule.frozen()
    return None if rule is None else rule.with_constants(**const)


def _modulators_again(made_by: tuple[str, Mapping[str, Any]]) -> Modulators:
    from snnkit.plasticity import registry

    return registry.made(made_by[0], dict(made_by[1]))


def arguments(term: Term) -> tuple[str, ...]:
    """Names of the arguments of a rule's function."""
    parameters = inspect.signature(term).parameters.values()
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        raise UserError("a rule's function names each argument; it has no *args or **kwargs")
    return tuple(p.name for p in parameters)
