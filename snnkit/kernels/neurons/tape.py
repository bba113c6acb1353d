"""Values that write down what is done to them: a function run on these becomes a program.

sympy is not used for the program itself: it rewrites `2*(x + y)` and reorders sums, which moves the last bit of a
float, and one bit is a spike. It gives the derivatives of the primitives; see `snnkit.neurons.adjoint`.
"""

from __future__ import annotations

from typing import Any

from snnkit.kernels.neurons.program import Node, Program


class Tape:
    """An ordered list of operations; the same operation on the same arguments is written once."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._known: dict[Node, int] = {}

    def add(self, op: str, *args: Any, name: str = "", value: float = 0.0) -> Value:
        node = Node(op, tuple(self.value(a).index for a in args), name, value)
        if node not in self._known or (
            op == "literal" and str(self.nodes[self._known[node]].value) != str(value)
        ):
            self._known[node] = len(self.nodes)  # -0.0 == 0.0, but they are two literals
            self.nodes.append(node)
        return Value(self, self._known[node])

    def leaf(self, kind: str, name: str) -> Value:
        return self.add("leaf", name=f"{kind}_{name}")

    def value(self, a: Any) -> Value:
        """A number as a literal; a value of this tape as it is."""
        if isinstance(a, Value):
            return a
        if isinstance(a, bool) or not isinstance(a, int | float):
            raise TypeError(f"a step function computes with numbers and its arguments, got {a!r}")
        return self.add("literal", value=float(a))

    def program(self, results: list[tuple[str, Value]]) -> Program:
        return Program(tuple(self.nodes), tuple((name, value.index) for name, value in results))


class Value:
    """A number on a tape."""

    __slots__ = ("index", "tape")
    __hash__ = object.__hash__

    def __init__(self, tape: Tape, index: int) -> None:
        self.tape, self.index = tape, index

    def __add__(self, other: Any) -> Value:
        return self.tape.add("add", self, other)

    def __radd__(self, other: Any) -> Value:
        return self.tape.add("add", other, self)

    def __sub__(self, other: Any) -> Value:
        return self.tape.add("sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self.tape.add("sub", other, self)

    def __mul__(self, other: Any) -> Value:
        return self.tape.add("mul", self, other)

    def __rmul__(self, other: Any) -> Value:
        return self.tape.add("mul", other, self)

    def __truediv__(self, other: Any) -> Value:
        return self.tape.add("div", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return self.tape.add("div", other, self)

    def __neg__(self) -> Value:
        return self.tape.add("neg", self)

    def __abs__(self) -> Value:
        return (self < 0.0).where(-self, self)

    def __pow__(self, power: Any) -> Value:
        if power == 2:
            return self * self
        if power == 3:
            return self * self * self
        raise TypeError(
            f"a step function has the powers 2 and 3, got {power!r}; write exp(p * log(x)) for others"
        )

    def __lt__(self, other: Any) -> Value:
        return self.tape.add("lt", self, other)

    def __le__(self, other: Any) -> Value:
        return self.tape.add("le", self, other)

    def __gt__(self, other: Any) -> Value:
        return self.tape.add("gt", self, other)

    def __ge__(self, other: Any) -> Value:
        return self.tape.add("ge", self, other)

    def __eq__(self, other: object) -> Any:
        return self.tape.add("eq", self, other)

    def __bool__(self) -> bool:
        raise TypeError(
            "a step function has no `if`: both branches are computed; write where(condition, a, b)"
        )

    def __float__(self) -> float:
        raise TypeError(
            "a step function keeps to the words of snnkit.neurons.language, such as exp and minimum"
        )

    def exp(self) -> Value:
        return self.tape.add("exp", self)

    def log(self) -> Value:
        return self.tape.add("log", self)

    def tanh(self) -> Value:
        return self.tape.add("tanh", self)

    def floor(self) -> Value:
        return self.tape.add("floor", self)

    def sqrt(self) -> Value:
        return self.tape.add("sqrt", self)

    def pow2(self) -> Value:
        return self.tape.add("pow2", self)

    def exponent(self) -> Value:
        return self.tape.add("exponent", self)

    def detach(self) -> Value:
        return self.tape.add("detach", self)

    def through(self, carrier: Any) -> Value:
        return self.tape.add("through", self, carrier)

    def where(self, a: Any, b: Any) -> Value:
        return self.tape.add("where", self, a, b)
