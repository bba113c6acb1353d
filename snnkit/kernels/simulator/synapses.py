"""Loops over synapses as the text of a Numba module: delivery, the parts of a rule, and what ends a sample.

Sparse synapses lie in rows of their pre neuron, ordered by delay, port and post; `off` holds delay, port and post of a
synapse in one number, so delivery is one addition. Columns go through an index into the rows: a weight lives once. A
complete block of synapses is dense: its rows are vector code, its columns strides. Where spikes are met on arrival, `off` holds
no delay, and a row has a beginning for each delay that the projection has.

Indices are unsigned: a signed one carries a test for negative numbers.
"""

from __future__ import annotations

from snnkit.kernels.neurons.elementary import lowered
from snnkit.kernels.neurons.print import FUNCTIONS, NUMBA, statements
from snnkit.kernels.simulator.plan import INPUTS, LATE, ONE, POST, PRE, SYNAPSE, Hook, ProjectionPlan

# Only `simulate` is called from Python and kept on disk; its parts need neither wrappers nor files of their own.
PART = '@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)\n'

ROW = ["rp_", "off_", "post_"]  # sparse synapses by pre
COLUMN = ["cp_", "perm_", "pre_of_"]  # and by post
LATE_ROW = [*ROW, "waits_", "back_"]  # delays of the projection, ascending, and where the past of each lies
LATE_COLUMN = [*COLUMN, "back_of_"]
# Dense: first and number of pre, first and number of post, offset of the first synapse; where its past lies.
BLOCK = ["block_"]
BLOCK_HEAD = (
    "    first_pre, pres, first_post, posts, base = block_[0], block_[1], block_[2], block_[3], block_[4]"
)


def functions(plan: ProjectionPlan, precision: str, graded: bool) -> list[str]:
    """The functions of one projection; `graded` says that its spikes carry values."""
    name, dense = plan.name, plan.dense
    make = (_dense_pre, _dense_post, _dense_all) if dense else (_sparse_pre, _sparse_post, _sparse_all)
    if plan.late and not dense:
        make = (_late_pre, _sparse_post, _late_all)
    found = [make[0](f"pre_{name}", plan.at_pre, precision, graded)]
    if plan.at_post is not None:
        found.append(make[1](f"at_post_{name}", plan.at_post, precision, None, arrays(plan)[1]))
    if plan.each is not None and plan.gates_posts:
        found.append(make[1](f"each_{name}", plan.each, precision, plan.gate, arrays(plan)[1]))
    elif plan.each is not None:
        found.append(make[2](f"each_{name}", plan.each, precision, plan.gate))
    if plan.finish is not None:
        found.append(make[2](f"finish_{name}", plan.finish, precision, None))
    return found


def calls(plan: ProjectionPlan, graded: bool) -> dict[str, str]:
    """The lines that call them, by the part of a step that they belong to."""
    name = plan.name
    row, column = ([f"{name}_{a}" for a in names] for names in arrays(plan))
    seen, after = (f"[{p} * {'M' if plan.population == INPUTS else 'N'}:]" for p in ("p", "(p + 1)"))
    found = {"pre": _call(f"pre_{name}", [*_spikes(plan, graded), *row], plan.at_pre, past=seen)}
    if plan.at_post is not None:
        found["post"] = _call(f"at_post_{name}", ["spiked", "ns", *column], plan.at_post, past=seen)
    if plan.each is not None:
        head = ["every", "N", *column] if plan.gates_posts else row
        found["each"] = _call(f"each_{name}", head, plan.each, plan.gate, past=after)
    if plan.finish is not None:
        found["finish"] = _call(f"finish_{name}", row, plan.finish, past=seen)
    return found


def arrays(plan: ProjectionPlan) -> tuple[list[str], list[str]]:
    """Names of what says where its synapses are, by pre and by post."""
    if plan.dense:
        return BLOCK, BLOCK
    return (LATE_ROW, LATE_COLUMN) if plan.late else (ROW, COLUMN)


def _spikes(plan: ProjectionPlan, graded: bool) -> list[str]:
    """What delivery is told of spikes: their list, its beginning and end, their values, and where they go."""
    if plan.late:
        flying, worth = (f"{word}_{plan.population}" for word in ("flying", "worth"))
        width = f"{'M' if plan.population == INPUTS else 'N'} + 1"
        list_ = ["at + 1", f"at + 1 + {flying}[at]"] if plan.dense else [f"(p + D) * ({width})", width]
        return [flying, *list_, *([worth] if graded else []), "slot"]
    spikes = ["spiked", "0", "ns"] if plan.recurrent else ["indices", "i0", "i1"]
    values = (["sent"] if plan.recurrent else ["values"]) if graded else []
    return [*spikes, *values, "slot"]


def _reads(*hooks: Hook | None) -> list[tuple[str, str]]:
    return sorted({pair for hook in hooks if hook is not None for pair in (*hook.used(), *_written(hook))})


def _written(hook: Hook) -> list[tuple[str, str]]:
    """States of a synapse that the hook stores without reading them."""
    reads = dict(hook.reads)
    return [(name, reads[name]) for name, _ in hook.program.results if name.startswith(SYNAPSE)]


def _call(function: str, head: list[str], *hooks: Hook | None, past: str) -> str:
    rows = (text + past * leaf.startswith(LATE) for leaf, text in _reads(*hooks))
    return f"{function}({', '.join([*head, *rows])})"


def _define(function: str, head: list[str], *hooks: Hook | None, whole: tuple[str, ...] = ()) -> str:
    """The line that begins a function; rows of the kinds in `whole` are cut in its body, and have another name here."""
    rows = [
        leaf if leaf.startswith(ONE) else f"{leaf}_row" if leaf.startswith(whole) else f"{leaf}_"
        for leaf, _ in _reads(*hooks)
    ]
    return f"\n{PART}def {function}({', '.join([*head, *rows])}):"


def _body(hook: Hook, precision: str, index: dict[str, str], stores: dict[str, str]) -> list[str]:
    """The statements of a hook; `index` gives for each prefix the index of its row, or nothing when it is a local name."""
    program = lowered(hook.program, precision, FUNCTIONS)
    loads = {}
    for leaf, _ in hook.used():
        at = index.get(leaf.split("_", 1)[0])
        loads[leaf] = leaf if at is None else f"{leaf}_[{at}]"
    for name, _ in program.results:
        if name.startswith(SYNAPSE):
            stores = {**stores, name: f"{name}_[{index[SYNAPSE]}] = {{0}}"}
    return statements(program, NUMBA, loads, stores)


def _hoist(prefix: str, at: str, *hooks: Hook | None) -> list[str]:
    """Lines that read once what does not change in the inner loop."""
    return [f"{leaf} = {leaf}_[{at}]" for leaf, _ in _reads(*hooks) if leaf.startswith(prefix)]


def _indent(by: int, lines: list[str]) -> list[str]:
    return [" " * by + line for line in lines]


def _spike_value(graded: bool) -> list[str]:
    return ["value = REAL(values_[a])"] if graded else []


def _amount(target: str, graded: bool) -> dict[str, str]:
    return {"amount": f"{target} += value * {{0}}" if graded else f"{target} += {{0}}"}


def _sparse_pre(function: str, hook: Hook, precision: str, graded: bool) -> str:
    posts = any(leaf.startswith(POST) for leaf, _ in hook.used())
    body = _body(hook, precision, {SYNAPSE: "k", POST: "j"}, _amount("slot[off_[k]]", graded))
    head = ["spikes", "first", "last", *(["values_"] if graded else []), "slot", *ROW]
    lines = [
        _define(function, head, hook),
        "    for a in range(first, last):",
        "        i = spikes[a]",
        *_indent(8, _spike_value(graded)),
        *_indent(8, _hoist(PRE, "i", hook)),
        "        for k in range(np.uint64(rp_[i]), np.uint64(rp_[i + 1])):",
        *_indent(12, ["j = post_[k]"] if posts else []),
        *_indent(12, body),
        "",
    ]
    return "\n".join(lines)


def _late_pre(function: str, hook: Hook, precision: str, graded: bool) -> str:
    """The spikes that arrive in this step, delay by delay; `now` is where the spikes of this step are, `width` the length of a step."""
    posts = any(leaf.startswith(POST) for leaf, _ in hook.used())
    body = _body(hook, precision, {SYNAPSE: "k", POST: "j"}, _amount("slot[off_[k]]", graded))
    head = ["flying", "now", "width", *(["values_"] if graded else []), "slot", *LATE_ROW]
    lines = [
        _define(function, head, hook),
        "    K = waits_.shape[0]",
        "    for q in range(K - 1, -1, -1):",
        "        first = now - waits_[q] * width + 1",
        "        back = back_[q]",
        "        for a in range(first, first + flying[first - 1]):",
        "            i = flying[a]",
        *_indent(12, _spike_value(graded)),
        *_indent(12, _hoist(PRE, "i", hook)),
        *_indent(12, _hoist(LATE, "back + i", hook)),
        "            for k in range(np.uint64(rp_[i * K + q]), np.uint64(rp_[i * K + q + 1])):",
        *_indent(16, ["j = post_[k]"] if posts else []),
        *_indent(16, body),
        "",
    ]
    return "\n".join(lines)


def _late_all(function: str, hook: Hook, precision: str, gate: Hook | None) -> str:
    body = _body(hook, precision, {SYNAPSE: "k", POST: "j"}, {})
    posts = any(leaf.startswith(POST) for leaf, _ in hook.used())
    shut = _gate(gate, precision)
    lines = [
        _define(function, LATE_ROW, hook, gate),
        *_indent(4, [*shut, "    return"] if shut else []),
        "    K = waits_.shape[0]",
        "    for i in range((rp_.shape[0] - 1) // K):",
        *_indent(8, _hoist(PRE, "i", hook)),
        "        for q in range(K):",
        *_indent(12, _hoist(LATE, "back_[q] + i", hook)),
        "            for k in range(np.uint64(rp_[i * K + q]), np.uint64(rp_[i * K + q + 1])):",
        *_indent(16, ["j = post_[k]"] if posts else []),
        *_indent(16, body),
        "",
    ]
    return "\n".join(lines)


def _past(hook: Hook) -> list[str]:
    """Lines that cut the past of a dense block, all of one delay."""
    return [f"{leaf}_ = {leaf}_row[block_[5]:]" for leaf, _ in _reads(hook) if leaf.startswith(LATE)]


def _dense_pre(function: str, hook: Hook, precision: str, graded: bool) -> str:
    body = _body(hook, precision, {SYNAPSE: "k", POST: "k"}, _amount("target[k]", graded))
    rows = [leaf for leaf, _ in _reads(hook)]
    cut = [f"{x}_ = {x}_row[q * posts:(q + 1) * posts]" for x in rows if x.startswith(SYNAPSE)]
    posts = [f"{x}_ = {x}_row[first_post:first_post + posts]" for x in rows if x.startswith(POST)]
    head = ["spikes", "first", "last", *(["values_"] if graded else []), "slot", *BLOCK]
    lines = [
        _define(function, head, hook, whole=(SYNAPSE, POST, LATE)),
        BLOCK_HEAD,
        "    target = slot[base:base + posts]",
        *_indent(4, [*posts, *_past(hook)]),
        "    for a in range(first, last):",
        "        i = spikes[a]",
        "        q = i - first_pre",
        "        if q < 0 or q >= pres:",
        "            continue",
        *_indent(8, _spike_value(graded)),
        *_indent(8, _hoist(PRE, "i", hook)),
        *_indent(8, _hoist(LATE, "i", hook)),
        *_indent(8, cut),
        "        for k in range(np.uint64(posts)):",
        *_indent(12, body),
        "",
    ]
    return "\n".join(lines)


def _gate(gate: Hook | None, precision: str) -> list[str]:
    """Lines that skip a post neuron, or all, where the gate is shut."""
    if gate is None:
        return []
    return _body(gate, precision, {}, {"gate": "if not {0}:"})


def _sparse_post(function: str, hook: Hook, precision: str, gate: Hook | None, column: list[str]) -> str:
    body = _body(hook, precision, {SYNAPSE: "k", PRE: "i", LATE: "m"}, {})
    pres = any(leaf.startswith(PRE) for leaf, _ in hook.used())
    late = any(leaf.startswith(LATE) for leaf, _ in hook.used())
    shut = _gate(gate, precision)
    lines = [
        _define(function, ["spikes", "last", *column], hook, gate),
        "    for a in range(last):",
        "        j = spikes[a]",
        *_indent(8, _hoist(POST, "j", hook, gate)),
        *_indent(8, [*shut, "    continue"] if shut else []),
        "        for c in range(np.uint64(cp_[j]), np.uint64(cp_[j + 1])):",
        "            k = perm_[c]",
        *_indent(12, ["i = pre_of_[c]"] if pres else []),
        *_indent(12, ["m = back_of_[c]"] if late else []),
        *_indent(12, body),
        "",
    ]
    return "\n".join(lines)


def _dense_post(function: str, hook: Hook, precision: str, gate: Hook | None, column: list[str]) -> str:
    body = _body(hook, precision, {SYNAPSE: "k", PRE: "i", LATE: "i"}, {})
    shut = _gate(gate, precision)
    lines = [
        _define(function, ["spikes", "last", *column], hook, gate, whole=(LATE,)),
        BLOCK_HEAD,
        *_indent(4, _past(hook)),
        "    for a in range(last):",
        "        j = spikes[a]",
        "        q = j - first_post",
        "        if q < 0 or q >= posts:",
        "            continue",
        *_indent(8, _hoist(POST, "j", hook, gate)),
        *_indent(8, [*shut, "    continue"] if shut else []),
        "        for n in range(np.uint64(pres)):",
        "            i = n + np.uint64(first_pre)",
        "            k = n * np.uint64(posts) + np.uint64(q)",
        *_indent(12, body),
        "",
    ]
    return "\n".join(lines)


def _sparse_all(function: str, hook: Hook, precision: str, gate: Hook | None) -> str:
    body = _body(hook, precision, {SYNAPSE: "k", POST: "j"}, {})
    posts = any(leaf.startswith(POST) for leaf, _ in hook.used())
    shut = _gate(gate, precision)
    lines = [
        _define(function, ROW, hook, gate),
        *_indent(4, [*shut, "    return"] if shut else []),
        "    for i in range(rp_.shape[0] - 1):",
        *_indent(8, _hoist(PRE, "i", hook)),
        "        for k in range(np.uint64(rp_[i]), np.uint64(rp_[i + 1])):",
        *_indent(12, ["j = post_[k]"] if posts else []),
        *_indent(12, body),
        "",
    ]
    return "\n".join(lines)


def _dense_all(function: str, hook: Hook, precision: str, gate: Hook | None) -> str:
    body = _body(hook, precision, {SYNAPSE: "k", POST: "j"}, {})
    shut = _gate(gate, precision)
    lines = [
        _define(function, BLOCK, hook, gate, whole=(LATE,)),
        BLOCK_HEAD,
        *_indent(4, _past(hook)),
        *_indent(4, [*shut, "    return"] if shut else []),
        "    for q in range(pres):",
        "        i = q + first_pre",
        *_indent(8, _hoist(PRE, "i", hook)),
        *_indent(8, _hoist(LATE, "i", hook)),
        "        for n in range(np.uint64(posts)):",
        "            j = n + np.uint64(first_post)",
        "            k = np.uint64(q * posts) + n",
        *_indent(12, body),
        "",
    ]
    return "\n".join(lines)
