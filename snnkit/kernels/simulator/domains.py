"""Modulators of domains as text: counts per domain, flows between domains, and their numbers spread over the neurons."""

from __future__ import annotations

from snnkit.kernels.simulator.plan import NetworkPlan
from snnkit.kernels.simulator.synapses import PART

HELPERS = f"""
{PART}def spread(field, mods, begin, domain_of):
    for n in range(np.uint64(field.size)):
        field[n] = mods[begin + domain_of[n]]


{PART}def count_out(out_of, spiked, ns, domain_of):
    for g in range(out_of.size):
        out_of[g] = ZERO
    for a in range(ns):
        out_of[domain_of[spiked[a]]] += REAL(1.0)


{PART}def count_in(in_of, indices, i0, i1, share):
    for g in range(in_of.size):
        in_of[g] = ZERO
    for a in range(i0, i1):
        for g in range(in_of.size):
            in_of[g] += share[indices[a], g]


{PART}def couple(flow, mods, begin, G, coupling):
    for g in range(G):
        total = ZERO
        for h in range(G):
            total += coupling[g, h] * (mods[begin + h] - mods[begin + g])
        flow[begin + g] = total

"""


def fields(plan: NetworkPlan) -> list[int]:
    """Modulators that rules read neuron by neuron."""
    hooks = (hook for p in plan.projections for hook in p.hooks)
    texts = {text for hook in hooks for _, text in hook.used() if text.startswith("field_")}
    return sorted(int(text.removeprefix("field_")) for text in texts)


def rows(plan: NetworkPlan) -> list[str]:
    """Arrays that a sample needs beside the modulators themselves."""
    return [*(f"field_{k}" for k in fields(plan)), "in_of", "out_of", "flow"] if plan.domains else []


def arguments(plan: NetworkPlan) -> list[str]:
    """Arrays of the wiring of domains."""
    return ["domain_of", "share", "coupling"] if plan.domains else []


def begin(plan: NetworkPlan) -> list[str]:
    """What rules read before the first step."""
    return [f"spread(field_{k}, mods, {k} * G, domain_of)" for k in fields(plan)] if plan.domains else []


def around(plan: NetworkPlan, step: list[str]) -> list[str]:
    """The modulators' step, for each domain in turn: all of them see the flows and counts from before it."""
    assert plan.modulators is not None
    texts = [text for _, text in plan.modulators.used()]
    lines = ["count_out(out_of, spiked, ns, domain_of)"] if "out_of[g]" in texts else []
    lines += ["count_in(in_of, indices, i0, i1, share)"] if "in_of[g]" in texts else []
    for k in range(plan.scalars):
        lines += [f"couple(flow, mods, {k} * G, G, coupling)"] if f"flow[{k} * G + g]" in texts else []
    return [*lines, "for g in range(G):", *(f"    {line}" for line in step), *begin(plan)]
