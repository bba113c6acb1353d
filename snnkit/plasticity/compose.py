"""A rule run on values that write down what is done to them: the programs from which its kernel is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from snnkit.errors import UserError, nearest
from snnkit.kernels.neurons.tape import Tape, Value
from snnkit.kernels.simulator.plan import ONE, PRE, SYNAPSE, Hook
from snnkit.plasticity.rule import COUNTS, Modulators, Rule, Term, Trace, arguments


@dataclass(frozen=True)
class Known:
    """What a name of a rule's function means: whose number it is, and where the loop has it."""

    kind: str  # "syn", "pre", "post" or "one"
    text: str


class Writer:
    """A fresh tape, on which functions are called by the names of their arguments."""

    def __init__(self, known: Mapping[str, Known], what: str, of_rule: bool = False) -> None:
        self.tape, self.known, self.what, self.of_rule = Tape(), known, what, of_rule
        self.now: dict[str, Any] = {}  # values that stand for a name from here on

    def read(self, name: str) -> Any:
        if name in self.now:
            return self.now[name]
        if name not in self.known:
            hint = ". Liquid(..., modulators=...) adds numbers of the whole sample, such as astrocyte() or dopamine()"
            raise UserError(
                f"{self.what} reads {name!r}, which is unknown; {nearest(name, self.known)}"
                + (hint if self.of_rule else "")
            )
        return self.tape.leaf(self.known[name].kind, name)

    def call(self, term: Term) -> Any:
        try:
            return term(**{name: self.read(name) for name in arguments(term)})
        except TypeError as error:
            raise UserError(f"{self.what}: {error}") from None

    def hook(self, results: list[tuple[str, Value]]) -> Hook:
        reads = tuple((f"{k.kind}_{name}", k.text) for name, k in self.known.items())
        return Hook(self.tape.program(results), reads)


class Synapse:
    """A synapse on a tape, through the parts of a rule."""

    def __init__(self, rule: Rule, known: Mapping[str, Known], part: str) -> None:
        self.rule = rule
        self.names = ("w", *rule.synapse)
        self.writer = Writer(known, f"the rule's {part}", of_rule=True)
        self.begin = {name: self.writer.tape.leaf(SYNAPSE, name) for name in self.names}
        self.writer.now.update(self.begin)

    def apply(self, term: Term | None) -> None:
        """Let a function change the synapse; the weight is clipped."""
        if term is None:
            return
        found = self.writer.call(term)
        values = found if isinstance(found, tuple) else (found,)
        if len(values) != len(self.names):
            raise UserError(
                f"{self.writer.what} should answer ({', '.join(self.names)}), got {len(values)} values"
            )
        values = tuple(self.writer.tape.value(v) for v in values)
        self.writer.now.update(zip(self.names, values, strict=True))
        self.writer.now["w"] = self._clip(self.writer.now["w"])

    def _clip(self, w: Value) -> Value:
        low, high = self.rule.bounds or (None, None)
        if low is not None:
            bound = self._bound(low)
            w = (w < bound).where(bound, w)
        if high is not None:
            bound = self._bound(high)
            w = (w > bound).where(bound, w)
        return w

    def _bound(self, bound: Any) -> Any:
        if callable(bound):
            return self.writer.call(bound)
        return self.writer.read(bound) if isinstance(bound, str) else float(bound)

    def hook(self, first: list[tuple[str, Value]] | None = None) -> Hook:
        results = list(first or [])
        for name in self.names:
            value = self.writer.now[name]
            if value.index != self.begin[name].index:
                value = value if name == "w" else self.writer.tape.add("flush", value)
                results.append((f"{SYNAPSE}_{name}", value))
        return self.writer.hook(results)


STATIC = Rule()


def hooks(rule: Rule | None, known: Mapping[str, Known]) -> dict[str, Hook | None]:
    """The hooks of a projection: `at_pre`, and those of `at_post`, `each`, `gate` and `finish` that the rule has."""
    rule = rule or STATIC
    early = {name: k for name, k in known.items() if name not in COUNTS}
    pre = Synapse(rule, early, "on_pre")
    pre.apply(rule.settle)
    amount = pre.writer.call(rule.deliver) if rule.deliver is not None else pre.writer.now["w"]
    amount = pre.writer.tape.value(amount)
    pre.apply(rule.on_pre)
    found: dict[str, Hook | None] = {"at_pre": pre.hook([("amount", amount)])}
    for part, term, names in (
        ("at_post", rule.on_post, early),
        ("each", rule.each_step, known),
        ("finish", rule.settle, early),
    ):
        if term is None:
            continue
        synapse = Synapse(rule, names, {"each": "each_step", "at_post": "on_post", "finish": "settle"}[part])
        if part == "at_post":
            synapse.apply(rule.settle)
        synapse.apply(term)
        found[part] = synapse.hook()
    if rule.when is not None:
        found["gate"] = _gate(rule.when, known)
    return found


def _gate(when: Term, known: Mapping[str, Known]) -> Hook:
    writer = Writer({n: k for n, k in known.items() if k.kind not in (SYNAPSE, PRE)}, "the rule's `when`")
    answer = writer.call(when)
    if not isinstance(answer, Value) or writer.tape.nodes[answer.index].op not in (
        "lt",
        "le",
        "gt",
        "ge",
        "eq",
    ):
        raise UserError("the rule's `when` answers a comparison, such as `lambda v, level: v > level`")
    return writer.hook([("gate", answer)])


def bump(traces: Mapping[int, tuple[Trace, Mapping[str, Known]]], par: Callable[[str, float], str]) -> Hook:
    """What a spike does to the traces of a population, all reading the values before it."""
    tape, reads, results = Tape(), {}, []
    for k, (trace, known) in traces.items():
        x = tape.leaf(PRE, str(k))
        reads[f"{PRE}_{k}"] = f"trace_{k}"
        if trace.of is not None:
            continue
        if trace.jump is not None:
            writer = Writer({}, f"the jump of trace {k}")
            writer.tape, writer.known = tape, known
            value = tape.value(_renamed(writer, trace.jump, reads))
        else:
            add = tape.leaf(ONE, f"add_{k}")
            reads[f"{ONE}_add_{k}"] = par(f"trace_{k}.add", trace.add)
            value = add if trace.set else x + add
        results.append((f"next_{k}", value))
    return Hook(tape.program(results), tuple(reads.items()))


def _renamed(writer: Writer, term: Term, reads: dict[str, str]) -> Any:
    """Call a function whose names are traces and constants, each a leaf named by where it lies: rules share names."""
    given = {}
    for name in arguments(term):
        if name not in writer.known:
            raise UserError(f"{writer.what} reads {name!r}, which is unknown; {nearest(name, writer.known)}")
        text = writer.known[name].text
        if text.startswith("trace_"):
            leaf = (PRE, text.removeprefix("trace_"))
        else:
            leaf = (writer.known[name].kind, text.translate(str.maketrans("[].", "___")).strip("_"))
        reads["_".join(leaf)] = text
        given[name] = writer.tape.leaf(*leaf)
    return term(**given)


def relax(
    traces: Mapping[int, Trace], decay: Callable[[float], float], par: Callable[[str, float], str]
) -> Hook:
    """One step of the traces of a population without spikes."""
    tape, reads, results = Tape(), {}, []
    for k, trace in traces.items():
        x, keep = tape.leaf(PRE, str(k)), tape.leaf(ONE, f"keep_{k}")
        reads[f"{PRE}_{k}"] = f"trace_{k}"
        reads[f"{ONE}_keep_{k}"] = par(f"trace_{k}.keep", decay(trace.tau))
        if trace.of is not None:
            reads[f"{PRE}_of_{trace.of}"] = f"state_{trace.of}"
            reads[f"{ONE}_gain_{k}"] = par(f"trace_{k}.gain", 1.0 - decay(trace.tau))
            value = keep * x + tape.leaf(ONE, f"gain_{k}") * tape.leaf(PRE, f"of_{trace.of}")
        elif trace.rest:
            rest = tape.leaf(ONE, f"rest_{k}")
            reads[f"{ONE}_rest_{k}"] = par(f"trace_{k}.rest", trace.rest)
            value = rest + (x - rest) * keep
        else:
            value = x * keep
        results.append((f"next_{k}", tape.add("flush", value)))
    return Hook(tape.program(results), tuple(reads.items()))


def modulate(modulators: Modulators, known: Mapping[str, Known]) -> Hook:
    """One step of the modulators: results `next_<k>`."""
    writer = Writer(known, "the modulators' step")
    found = writer.call(modulators.step)
    values = found if isinstance(found, tuple) else (found,)
    if len(values) != len(modulators.start):
        raise UserError(
            f"the modulators' step should answer ({', '.join(modulators.start)}), got {len(values)} values"
        )
    results = [(f"next_{k}", writer.tape.value(v)) for k, v in enumerate(values)]
    return writer.hook(results)
