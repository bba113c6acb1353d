"""A step as plain data: an ordered list of operations, which printers turn into the text of a kernel.

The order is that in which the lines of the step function were written; no rule of algebra touches it. This is what
makes every back-end agree with the torch reference bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# Names of leaves are prefixed by what they are: a constant called `c` must not meet a counter of the loop.
PORT, STATE, CONSTANT, HYPER, OUTPUT_BAR, NEXT_BAR = "port", "state", "const", "hyper", "outbar", "nextbar"


@dataclass(frozen=True)
class Node:
    """One operation: `args` are indices of earlier nodes; a "leaf" has a name, a "literal" a value."""

    op: str
    args: tuple[int, ...] = ()
    name: str = ""
    value: float = 0.0


@dataclass(frozen=True)
class Program:
    """Operations in order, and the named nodes that are their results."""

    nodes: tuple[Node, ...]
    results: tuple[tuple[str, int], ...]

    def live(self) -> tuple[int, ...]:
        """Indices of the nodes that the results need, in order."""
        needed = {index for _, index in self.results}
        for index in range(len(self.nodes) - 1, -1, -1):
            if index in needed:
                needed.update(self.nodes[index].args)
        return tuple(sorted(needed))

    def leaves(self) -> set[str]:
        """Names of the leaves that the results need."""
        return {self.nodes[i].name for i in self.live() if self.nodes[i].op == "leaf"}

    def count(self) -> dict[str, int]:
        """How many of each operation one step takes; loads, literals and flushes left out."""
        counts: dict[str, int] = {}
        for i in self.live():
            op = self.nodes[i].op
            if op not in ("leaf", "literal", "detach", "flush"):
                counts[op] = counts.get(op, 0) + 1
        return counts

    def select(self, names: set[str]) -> Program:
        """The same program with only these results."""
        return Program(self.nodes, tuple((k, i) for k, i in self.results if k in names))

    def text(self) -> str:
        """One line per live node; two programs with the same text are the same kernel."""
        lines = []
        for i in self.live():
            node = self.nodes[i]
            what = node.name or (node.value.hex() if node.op == "literal" else "")
            lines.append(" ".join([f"{i}:", node.op, what, *map(str, node.args)]))
        return "\n".join([*lines, *(f"{name} = {i}" for name, i in self.results)])


@dataclass(frozen=True, eq=False)
class Definition:
    """All that the kernels know of a neuron.

    `forward` has the results `out_0, out_1, ...` and `next_<state>`; `adjoint()` derives, when first needed, the
    results `portbar_<port>`, `statebar_<state>` and `constbar_<constant>` from the leaves `outbar_0, ...` and
    `nextbar_<state>`.
    """

    key: str
    ports: tuple[str, ...]
    states: tuple[str, ...]
    constants: tuple[str, ...]
    hyper: tuple[str, ...]
    outputs: int
    forward: Program
    adjoint: Callable[[], Program]
