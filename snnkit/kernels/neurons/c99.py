"""A neuron's step as C99, for microcontrollers and for the toolchains of chips: no allocation, no library but math.h.

Compiled without contraction of a*b + c (gcc: `-ffp-contract=off`) it gives the bits of the other back-ends.
"""

from __future__ import annotations

from typing import Any

from snnkit.kernels.neurons.elementary import PRECISIONS, lowered, magic
from snnkit.kernels.neurons.operator import lookup
from snnkit.kernels.neurons.print import c99, statements
from snnkit.kernels.neurons.program import CONSTANT, PORT, STATE, Definition

HEAD = """/* One time step of the neuron {name}, written by snnkit. Compile with -ffp-contract=off to keep its bits. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
"""

BITS = """
static inline {real} pow2({real} n) {{ /* 2^n, exactly */
    {real} x = n + {magic};
    {word} bits;
    memcpy(&bits, &x, sizeof bits);
    bits <<= {mantissa};
    memcpy(&x, &bits, sizeof x);
    return x;
}}

static inline {real} exponent({real} x) {{ /* floor(log2(x)) of a positive normal number */
    {word} bits;
    memcpy(&bits, &x, sizeof bits);
    return ({real})((int)(bits >> {mantissa}) - {bias});
}}
"""

RESERVED = frozenset(
    [
        "auto",
        "break",
        "case",
        "char",
        "const",
        "continue",
        "default",
        "do",
        "double",
        "else",
        "enum",
        "extern",
        "float",
        "for",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "register",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "typedef",
        "union",
        "unsigned",
        "void",
        "volatile",
        "while",
    ]
)


def c_source(neuron: Any, precision: str = "float32") -> str:
    """The step of a neuron as the text of a C99 file.

        float <name>_step(float <port>, ..., <name>_state *, const <name>_constants *, float *out_1, ...)

    answers the first output and writes the next states; further outputs go where the last arguments point. The
    constants are those of the neuron's equation, such as `decay`, as `neuron.constants()` gives them.

    Args:
        neuron: a neuron, or the key of one.
        precision: "float32" or "float64".
    """
    if precision not in PRECISIONS:
        raise ValueError(f'precision is "float32" or "float64", got {precision!r}')
    return _source(lookup(neuron if isinstance(neuron, str) else neuron._key), precision)


def _source(definition: Definition, precision: str) -> str:
    name, real = definition.key.rsplit("-", 1)[0], "float" if precision == "float32" else "double"
    program, language = lowered(definition.forward, precision), c99(precision)
    leaves = program.leaves()
    outputs = [f"out_{k}" for k in range(1, definition.outputs)]
    body = statements(
        program,
        language,
        loads={f"{PORT}_{k}": f"{PORT}_{k}" for k in definition.ports}
        | {f"{STATE}_{s}": f"state->{_member(s)}" for s in definition.states}
        | {f"{CONSTANT}_{c}": f"constants->{_member(c)}" for c in definition.constants},
        stores={"out_0": f"const {real} out_0 = {{0}};"}
        | {out: f"*{out} = {{0}};" for out in outputs}
        | {f"next_{s}": f"state->{_member(s)} = {{0}};" for s in definition.states},
    )
    unused = [f"{PORT}_{k}" for k in definition.ports if f"{PORT}_{k}" not in leaves]
    if not any(f"{CONSTANT}_{c}" in leaves for c in definition.constants):
        unused.append("constants")
    if not definition.states:
        unused.append("state")
    arguments = [
        *(f"{real} {PORT}_{k}" for k in definition.ports),
        f"{name}_state *state",
        f"const {name}_constants *constants",
        *(f"{real} *{out}" for out in outputs),
    ]
    lines = [
        HEAD.format(name=name) + _bits(program, language, precision, real),
        _struct(real, definition.states, f"{name}_state"),
        _struct(real, definition.constants, f"{name}_constants"),
        "",
        f"{real} {name}_step({', '.join(arguments)});",
        "",
        f"{real} {name}_step({', '.join(arguments)}) {{",
        *(f"    (void){what};" for what in unused),
        *(f"    {line}" for line in body),
        "    return out_0;",
        "}",
        "",
    ]
    return "\n".join(lines)


def _member(name: str) -> str:
    return f"{name}_" if name in RESERVED else name


def _struct(real: str, names: tuple[str, ...], name: str) -> str:
    members = " ".join(f"{real} {_member(n)};" for n in names) or "char nothing;"
    return f"typedef struct {{ {members} }} {name};"


def _bits(program: Any, language: Any, precision: str, real: str) -> str:
    if not any(program.nodes[i].op in ("pow2", "exponent") for i in program.live()):
        return ""
    p = PRECISIONS[precision]
    word = "uint32_t" if precision == "float32" else "uint64_t"
    return BITS.format(
        real=real, word=word, magic=language.literal(magic(p)), mantissa=p.mantissa, bias=p.bias
    )
