"""An event-driven network as plain data: what the printer of its kernel knows, and nothing else.

One step, in this order (the order is part of the definition, for sums of floats depend on it):

    0. spikes that arrive at projections whose rule pairs on arrival, those of the network, then those of the input, the longest
       delay first, ascending: w goes to slot t, then the rule's pre part; they take no part in 1 and 3
    1. input spikes, ascending, projection by projection: w goes to slot t + delay, then the rule's pre part
    2. the neurons read slot t of every port and step, in the order of their index; their spikes are collected
    3. their spikes, ascending, projection by projection: w goes to slot t + delay, then the pre part
    4. for every spike its incoming synapses: the rule's post part, input projections first
    5. traces: jump at spikes, then relax
    6. what rules do to every synapse in each step
    7. modulators
    8. records
"""

from __future__ import annotations

from dataclasses import dataclass

from snnkit.kernels.neurons.program import Definition, Program

# A leaf of a hook says by its prefix whose number it is; `reads` says where in the loop it lies.
# LATE is a pre neuron's, as it was a delay ago.
SYNAPSE, PRE, POST, ONE, LATE = "syn", "pre", "post", "one", "late"
INPUTS, NEURONS = "inputs", "neurons"  # the two populations


@dataclass(frozen=True)
class Hook:
    """A program of a rule, and what its leaves read: a row of an array, or for `one_...` a scalar, as text."""

    program: Program
    reads: tuple[tuple[str, str], ...]

    def used(self) -> list[tuple[str, str]]:
        """Leaf and text of what the program needs, in order of their names."""
        leaves = self.program.leaves()
        return sorted((leaf, text) for leaf, text in self.reads if leaf in leaves)


@dataclass(frozen=True)
class ProjectionPlan:
    """Synapses of one kind.

    `at_pre` has the result `amount`, what reaches the neuron, and those of `w` and the other states of a synapse (as
    `syn_<name>`) that change; the other hooks have only these. `gate` has the result `gate`, a condition.
    """

    name: str  # of its arrays
    recurrent: bool
    dense: bool
    states: tuple[str, ...]  # "w" first
    per_sample: bool  # whether every sample has weights of its own
    at_pre: Hook
    at_post: Hook | None = None
    each: Hook | None = None
    gate: Hook | None = None
    finish: Hook | None = None
    late: bool = False  # spikes are met where they arrive

    @property
    def hooks(self) -> list[Hook]:
        """Those that it has."""
        return [h for h in (self.at_pre, self.at_post, self.each, self.gate, self.finish) if h is not None]

    @property
    def population(self) -> str:
        """Where its spikes come from."""
        return NEURONS if self.recurrent else INPUTS

    @property
    def columns(self) -> bool:
        """Whether the loop asks for the incoming synapses of a neuron."""
        by_post = self.each is not None and self.gates_posts
        return self.at_post is not None or by_post

    @property
    def gates_posts(self) -> bool:
        return self.gate is not None and any(leaf.startswith(POST) for leaf, _ in self.gate.used())


@dataclass(frozen=True)
class TracePlan:
    """The traces of one population: results `next_<k>` of the leaves `pre_<k>`, k being the number of the trace."""

    population: str
    traces: tuple[int, ...]
    bump: Hook
    relax: Hook


@dataclass(frozen=True)
class NetworkPlan:
    """A whole network. `modulators` has results `next_<k>`; `scalars` is how many there are.

    With `domains` there is one of each per domain: `mods[k * G + g]`. Rules then read `field_<k>`, a number per neuron, and the
    modulators' step `in_of[g]`, `out_of[g]` and `flow[k * G + g]`.
    """

    neuron: Definition
    graded_in: bool
    graded_out: bool
    projections: tuple[ProjectionPlan, ...]
    traces: tuple[TracePlan, ...] = ()
    modulators: Hook | None = None
    scalars: int = 0
    signals: int = 0
    domains: bool = False


def is_binary(program: Program, name: str = "out_0") -> bool:
    """Whether a result can only be 0 or 1, as far as the operations tell."""
    known: dict[int, bool] = {}
    for index in program.live():
        node = program.nodes[index]
        if node.op == "literal":
            known[index] = node.value in (0.0, 1.0)
        elif node.op in ("fire", "fire_above"):
            known[index] = True
        elif node.op in ("mul", "detach"):
            known[index] = all(known[a] for a in node.args)
        elif node.op == "where":
            known[index] = known[node.args[1]] and known[node.args[2]]
        elif node.op == "through":
            known[index] = known[node.args[0]]
        else:
            known[index] = False
    return known[dict(program.results)[name]]
