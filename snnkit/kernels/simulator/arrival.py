"""Spikes met where they arrive: lists of the last steps' spikes, and pre traces as they were a delay ago.

A synapse with a delay of d steps sees the trace that its pre neuron had d steps ago; this is the trace that the arriving spikes would
drive, bit for bit, so there is no trace per synapse. Spikes and traces of the last D steps lie in rows that slide like the ring of
arriving input: rows p .. p + D - 1 are the last D steps before this one, row p + D is this one.
"""

from __future__ import annotations

from snnkit.kernels.simulator.plan import INPUTS, LATE, NetworkPlan, ProjectionPlan
from snnkit.kernels.simulator.synapses import PART, calls

HELPERS = f"""
{PART}def shift(rows, size):
    low, high = rows[:size], rows[size:]
    for n in range(np.uint64(size)):
        low[n] = high[n]


{PART}def repeat(rows, of):
    for begin in range(0, rows.size, of.size):
        fill(rows[begin:begin + of.size], of)


{PART}def silence(flying, width):
    for n in range(0, flying.size, width):
        flying[n] = 0


{PART}def leave(flying, at, spikes, first, last):
    flying[at] = last - first
    for a in range(last - first):
        flying[at + 1 + a] = spikes[first + a]


{PART}def price(worth, at, values, first, last):
    for a in range(last - first):
        worth[at + 1 + a] = values[first + a]

"""


def _size(population: str) -> str:
    return "M" if population == INPUTS else "N"


def _graded(plan: NetworkPlan, population: str) -> bool:
    return plan.graded_in if population == INPUTS else plan.graded_out


def populations(plan: NetworkPlan) -> list[str]:
    """Those whose spikes are met where they arrive."""
    return sorted({p.population for p in plan.projections if p.late})


def pasts(plan: NetworkPlan) -> dict[str, str]:
    """Traces that are read a delay later, `past_<k>`, and the size of their population as text."""
    reads = ((p, *pair) for p in plan.projections for hook in p.hooks for pair in hook.used())
    return dict(sorted((text, _size(p.population)) for p, leaf, text in reads if leaf.startswith(LATE)))


def rows(plan: NetworkPlan) -> list[str]:
    """Arrays that a sample needs for it."""
    found = list(pasts(plan))
    for name in populations(plan):
        found += [f"flying_{name}", *([f"worth_{name}"] if _graded(plan, name) else [])]
    return found


def _widths(plan: NetworkPlan) -> dict[str, str]:
    """Length of one step of each of them, as text: spikes come behind their number."""
    lists = [row for row in rows(plan) if not row.startswith("past_")]
    return pasts(plan) | {row: f"({_size(row.split('_', 1)[1])} + 1)" for row in lists}


def begin(plan: NetworkPlan) -> list[str]:
    """Nothing is on its way, and traces have always been at rest."""
    lines = [f"repeat({past}, begin_trace_{past.removeprefix('past_')})" for past in pasts(plan)]
    return lines + [f"silence(flying_{name}, {_size(name)} + 1)" for name in populations(plan)]


def slide(plan: NetworkPlan) -> list[str]:
    return [f"shift({row}, D * {width})" for row, width in _widths(plan).items()]


def roll(plan: NetworkPlan) -> list[str]:
    return [f"roll({row}, p * {width}, D * {width})" for row, width in _widths(plan).items()]


def leave(plan: NetworkPlan, population: str) -> list[str]:
    """The spikes of this step set out."""
    if population not in populations(plan):
        return []
    mine = "indices, i0, i1" if population == INPUTS else "spiked, 0, ns"
    at = f"(p + D) * ({_size(population)} + 1)"
    lines = [f"leave(flying_{population}, {at}, {mine})"]
    if _graded(plan, population):
        values = mine.replace("indices", "values").replace("spiked", "sent")
        lines.append(f"price(worth_{population}, {at}, {values})")
    return lines


def arrive(plan: NetworkPlan) -> list[str]:
    """Delivery and pre parts of the spikes that arrive in this step."""
    late = [p for p in plan.projections if p.late]
    lines = []
    for p in (*(p for p in late if p.recurrent), *(p for p in late if not p.recurrent)):
        lines += _arrive(p, _graded(plan, p.population))
    return lines


def _arrive(plan: ProjectionPlan, graded: bool) -> list[str]:
    if not plan.dense:
        return [calls(plan, graded)["pre"]]
    flying, width = f"flying_{plan.population}", f"({_size(plan.population)} + 1)"
    waits = f"{plan.name}_waits_"
    return [
        f"for q in range({waits}.shape[0] - 1, -1, -1):",
        f"    at = (p + D - {waits}[q]) * {width}",
        f"    if {flying}[at] > 0:",
        f"        {calls(plan, graded)['pre']}",
    ]


def remember(plan: NetworkPlan) -> list[str]:
    """The traces of this step, for later."""
    return [
        f"fill({past}[(p + D) * {size}:(p + D + 1) * {size}], trace_{past.removeprefix('past_')})"
        for past, size in pasts(plan).items()
    ]
