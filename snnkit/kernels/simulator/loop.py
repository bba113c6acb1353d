"""The loop over samples and steps of an event-driven network, as the text of a Numba module.

What decides its speed: the ring of arriving input slides, so that delivery needs no modulo; its move and the loop over
neurons are functions of their own on rows cut beforehand, or a test for negative indices keeps them from being vector
code; spikes are looked for eight neurons at a time.
"""

from __future__ import annotations

from snnkit.kernels.neurons.elementary import lowered
from snnkit.kernels.neurons.loops_numba import DECORATOR, _head
from snnkit.kernels.neurons.print import FUNCTIONS, NUMBA, statements
from snnkit.kernels.neurons.program import CONSTANT, PORT, STATE, Program
from snnkit.kernels.simulator import arrival, domains
from snnkit.kernels.simulator.plan import INPUTS, NEURONS, ONE, Hook, NetworkPlan, ProjectionPlan, TracePlan
from snnkit.kernels.simulator.synapses import PART, _indent, arrays, calls, functions

HELPERS = f"""
{PART}def slide(ring, size):
    low, high = ring[:size], ring[size:]
    for n in range(np.uint64(size)):
        low[n] = high[n]
    for n in range(np.uint64(size)):
        high[n] = ZERO


{PART}def roll(ring, begin, size):
    for n in range(size):
        ring[n] = ring[begin + n]
    for n in range(size, 2 * size):
        ring[n] = ZERO


{PART}def fill(row, of):
    for n in range(np.uint64(row.size)):
        row[n] = of[n]


{PART}def clear(row):
    for n in range(np.uint64(row.size)):
        row[n] = ZERO


{PART}def collect(words, fired, spiked):
    ns = 0
    for q in range(words.shape[0]):
        if words[q] != 0:
            for n in range(8 * q, 8 * q + 8):
                if fired[n] != 0:
                    spiked[ns] = n
                    ns += 1
    return ns

"""

# cursor: sample, end of samples, step (-1: a new sample), spikes written, slot of the ring
CURSOR = ["b", "last", "t", "o", "p"]


def source(plan: NetworkPlan, precision: str) -> tuple[str, tuple[str, ...]]:
    """The module's text, with a function `simulate`, and the names of its arguments in order."""
    neuron = _neuron_program(plan, precision)
    programs = [neuron, *(lowered(h.program, precision, FUNCTIONS) for h in hooks_of(plan))]
    arguments = tuple(dict.fromkeys(_arguments(plan, neuron)))
    parts = [
        _head(plan.neuron, precision, *programs),
        HELPERS,
        *([domains.HELPERS] if plan.domains else []),
        *([arrival.HELPERS] if arrival.populations(plan) else []),
        _neurons(plan, neuron),
        *(text for t in plan.traces for text in _trace_functions(t, precision)),
        *(text for p in plan.projections for text in functions(p, precision, _graded(plan, p))),
        f"\n{DECORATOR}def simulate({', '.join(arguments)}):",
        *_loop(plan, neuron, precision),
        "",
    ]
    return "\n".join(parts), arguments


def hooks_of(plan: NetworkPlan) -> list[Hook]:
    """Every hook of a network."""
    found = [h for p in plan.projections for h in p.hooks]
    found += [h for t in plan.traces for h in (t.bump, t.relax)]
    return [*found, plan.modulators] if plan.modulators is not None else found


def _graded(plan: NetworkPlan, projection: ProjectionPlan) -> bool:
    return plan.graded_out if projection.recurrent else plan.graded_in


def _neuron_program(plan: NetworkPlan, precision: str) -> Program:
    wanted = {"out_0", *(f"next_{s}" for s in plan.neuron.states)}
    return lowered(plan.neuron.forward.select(wanted), precision, FUNCTIONS)


def _used(program: Program, kind: str, names: tuple[str, ...]) -> list[str]:
    leaves = program.leaves()
    return [f"{kind}_{name}" for name in names if f"{kind}_{name}" in leaves]


def per_sample(plan: NetworkPlan) -> list[str]:
    """Arrays with a row per sample, or one row that every sample of a worker begins anew."""
    rows = ["ring", *(f"{STATE}_{s}" for s in plan.neuron.states)]
    rows += [f"trace_{k}" for t in plan.traces for k in t.traces]
    rows += ["mods", *domains.rows(plan)] if plan.modulators else []
    rows += arrival.rows(plan)
    rows += [f"{p.name}_{s}" for p in plan.projections for s in p.states if s != "w" or p.per_sample]
    return rows


def _arguments(plan: NetworkPlan, neuron: Program) -> list[str]:
    names = ["cursor", "sizes", "fresh", "par", "rowptr", "indices", *(["values"] if plan.graded_in else [])]
    names += ["counts", "starts", "out", *(["out_values", "sent"] if plan.graded_out else [])]
    names += ["fired", "words", "spiked", "every", "record_scalars"]
    names += [f"record_{s}" for s in plan.neuron.states]
    names += _used(neuron, CONSTANT, plan.neuron.constants)
    names += [f"begin_{s}" for s in plan.neuron.states]
    names += [f"begin_trace_{k}" for t in plan.traces for k in t.traces]
    names += ["begin_mods", *domains.arguments(plan)] if plan.modulators else []
    names += [f"signal_{k}" for k in range(plan.signals)]
    names += [f"{name}_" for name in per_sample(plan)]
    for p in plan.projections:
        row, column = arrays(p)
        names += [f"{p.name}_{a}" for a in (*row, *(column if p.columns else []))]
        names += [f"{p.name}_waits_"] if p.late else []
        names += [f"begin_{p.name}_{s}" for s in p.states if s != "w" or p.per_sample]
        names += [] if p.per_sample else [f"{p.name}_w"]
        names += [text for h in hooks_of(plan) for _, text in h.used() if text.startswith(f"{p.name}_k_")]
    return names


def _neurons(plan: NetworkPlan, program: Program) -> str:
    """The function that steps all neurons, and says who fired."""
    definition = plan.neuron
    ports, constants = (
        _used(program, PORT, definition.ports),
        _used(program, CONSTANT, definition.constants),
    )
    states = [f"{STATE}_{s}" for s in definition.states]
    rows = [*ports, *constants, *states]
    sends = ["fired[n] = {0} != ZERO"] + (["sent[n] = {0}"] if plan.graded_out else [])
    stores = {"out_0": "\n        ".join(sends)} | {
        f"next_{s}": f"{STATE}_{s}_[n] = {{0}}" for s in definition.states
    }
    reads = [row for row in rows if row in program.leaves() or row in states]
    body = statements(program, NUMBA, {row: f"{row}_[n]" for row in rows}, stores)
    extra = ["sent"] if plan.graded_out else []
    lines = [
        f"{PART}def neurons(N, fired, {', '.join([*extra, *(f'{r}_' for r in reads)])}):",
        "    for n in range(np.uint64(N)):",
        *(f"        {line}" for line in body),
        "",
    ]
    return "\n".join(lines)


def _neuron_call(plan: NetworkPlan, program: Program) -> str:
    definition = plan.neuron
    rows = [
        f"slot[{k} * N:{k + 1} * N]"
        for k, name in enumerate(definition.ports)
        if f"{PORT}_{name}" in program.leaves()
    ]
    rows += _used(program, CONSTANT, definition.constants) + [f"{STATE}_{s}" for s in definition.states]
    extra = ["sent"] if plan.graded_out else []
    return f"neurons({', '.join(['N', 'fired', *extra, *rows])})"


def _trace_functions(plan: TracePlan, precision: str) -> list[str]:
    """`bump_<population>` at the spikes and `relax_<population>` for all."""
    found = []
    for word, hook, head, loop in (
        ("bump", plan.bump, ["spikes", "first", "last"], "for a in range(first, last):"),
        ("relax", plan.relax, ["N"], "for n in range(np.uint64(N)):"),
    ):
        reads = _trace_reads(plan, hook)
        program = lowered(hook.program, precision, FUNCTIONS)
        loads = {leaf: leaf if leaf.startswith(ONE) else f"{leaf}_[n]" for leaf, _ in reads}
        stores = {f"next_{k}": f"pre_{k}_[n] = {{0}}" for k in plan.traces}
        rows = [leaf if leaf.startswith(ONE) else f"{leaf}_" for leaf, _ in reads]
        body = statements(program, NUMBA, loads, stores)
        found.append(f"\n{PART}def {word}_{plan.population}({', '.join([*head, *rows])}):")
        found += [f"    {loop}"]
        found += ["        n = spikes[a]"] if word == "bump" else []
        found += [f"        {line}" for line in body] + [""]
    return found


def _trace_reads(plan: TracePlan, hook: Hook) -> list[tuple[str, str]]:
    stored = {int(name.removeprefix("next_")) for name, _ in hook.program.results}
    return sorted({*hook.used(), *((f"pre_{k}", f"trace_{k}") for k in stored)})


def _trace_calls(plan: NetworkPlan, word: str) -> list[str]:
    lines = []
    for t in plan.traces:
        hook = t.bump if word == "bump" else t.relax
        if not hook.program.results:
            continue
        spikes = ["indices", "i0", "i1"] if t.population == INPUTS else ["spiked", "0", "ns"]
        head = spikes if word == "bump" else ["M" if t.population == INPUTS else "N"]
        lines.append(
            f"{word}_{t.population}({', '.join([*head, *(text for _, text in _trace_reads(t, hook))])})"
        )
    return lines


def _begin(plan: NetworkPlan) -> list[str]:
    """What a new sample begins with; `fresh` says what is begun anew: all else, weights, then every state of the neuron."""
    lines = ["if fresh[0]:", "    clear(ring)"]
    lines += [f"    fill(trace_{k}, begin_trace_{k})" for t in plan.traces for k in t.traces]
    lines += ["    fill(mods, begin_mods)"] if plan.modulators else []
    lines += _indent(4, arrival.begin(plan))
    lines += [
        f"    fill({p.name}_{s}, begin_{p.name}_{s})" for p in plan.projections for s in p.states if s != "w"
    ]
    own = [p.name for p in plan.projections if p.per_sample]
    lines += ["if fresh[1]:", *(f"    fill({name}_w, begin_{name}_w)" for name in own)] if own else []
    for k, s in enumerate(plan.neuron.states):
        lines += [f"if fresh[{2 + k}]:", f"    fill({STATE}_{s}, begin_{s})"]
    return [*lines, *domains.begin(plan), "starts[b] = o", "t = 0", "p = 0"]


def _step(plan: NetworkPlan, neuron: Program, precision: str) -> list[str]:
    called = [(p, calls(p, _graded(plan, p))) for p in plan.projections]

    def at(part: str, recurrent: bool | None = None) -> list[str]:
        now = (p for p in called if part != "pre" or not p[0].late)
        return [c[part] for p, c in now if part in c and recurrent in (None, p.recurrent)]

    return [
        "if o + N > out.shape[0]:",
        *(f"    cursor[{k}] = {name}" for k, name in enumerate(CURSOR)),
        "    return",
        "if p == D:",
        "    slide(ring, D * PN)",
        *_indent(4, arrival.slide(plan)),
        "    p = 0",
        "slot = ring[p * PN:]",
        "i0, i1 = rowptr[t * B + b], rowptr[t * B + b + 1]",
        *arrival.leave(plan, INPUTS),
        *arrival.arrive(plan),
        *at("pre", False),
        _neuron_call(plan, neuron),
        "ns = collect(words, fired, spiked)",
        "counts[t * B + b] = ns",
        "for a in range(ns):",
        "    out[o + a] = spiked[a]",
        *_send(plan),
        "o += ns",
        "n_in, n_out = REAL(i1 - i0), REAL(ns)",
        *arrival.leave(plan, NEURONS),
        *at("pre", True),
        *at("post", False),
        *at("post", True),
        *_trace_calls(plan, "bump"),
        *_trace_calls(plan, "relax"),
        *arrival.remember(plan),
        *at("each"),
        *_modulate(plan, precision),
        *_record(plan),
        "p += 1",
        "t += 1",
    ]


def _send(plan: NetworkPlan) -> list[str]:
    """Graded spikes: their values move to the front, where delivery finds them in the order of the spikes."""
    return ["    sent[a] = sent[spiked[a]]", "    out_values[o + a] = sent[a]"] if plan.graded_out else []


def _modulate(plan: NetworkPlan, precision: str) -> list[str]:
    if plan.modulators is None:
        return []
    hook = plan.modulators
    place = "{} * G + g" if plan.domains else "{}"
    at = {name: place.format(name.removeprefix("next_")) for name, _ in hook.program.results}
    stores = {name: f"mods[{where}] = {{0}}" for name, where in at.items()}
    lines = statements(lowered(hook.program, precision, FUNCTIONS), NUMBA, dict(hook.used()), stores)
    return domains.around(plan, lines) if plan.domains else lines


def _record(plan: NetworkPlan) -> list[str]:
    lines = ["if record_scalars.shape[0] > 0:", "    scalars = record_scalars[t, b]"]
    if plan.domains:
        lines += ["    for k in range(mods.size):", "        scalars[k] = mods[k]"]
        lines += ["    scalars[mods.size] = n_in", "    scalars[mods.size + 1] = n_out"]
    else:
        lines += [f"    scalars[{k}] = mods[{k}]" for k in range(plan.scalars)]
        lines += [f"    scalars[{plan.scalars}] = n_in", f"    scalars[{plan.scalars + 1}] = n_out"]
    for s in plan.neuron.states:
        lines += [f"if record_{s}.shape[0] > 0:", f"    fill(record_{s}[t, b], {STATE}_{s})"]
    return lines


def _loop(plan: NetworkPlan, neuron: Program, precision: str) -> list[str]:
    rows = [f"{name} = {name}_[b % {name}_.shape[0]]" for name in per_sample(plan)]
    finish = [calls(p, False)["finish"] for p in plan.projections if p.finish is not None]
    return [
        "    T, B, N, M, D, PN = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]",
        *(["    G = coupling.shape[0]"] if plan.domains else []),
        f"    {', '.join(CURSOR)} = {', '.join(f'cursor[{k}]' for k in range(len(CURSOR)))}",
        "    while b < last:",
        *_indent(8, rows),
        "        if t < 0:",
        *_indent(12, _begin(plan)),
        "        while t < T:",
        *_indent(12, _step(plan, neuron, precision)),
        *(["        if sizes[6]:", *_indent(12, finish)] if finish else []),
        "        if sizes[7]:",
        "            roll(ring, p * PN, D * PN)",
        *_indent(12, arrival.roll(plan)),
        "        t = -1",
        "        b += 1",
        *_indent(4, [f"cursor[{k}] = {name}" for k, name in enumerate(CURSOR)]),
    ]
