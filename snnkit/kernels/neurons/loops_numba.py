"""The loops around the statements, as the text of a Numba module.

What decides their speed: rows are sliced outside the inner loop (`x[t, lo + n]` carries a test for negative indices
that the compiler cannot remove), and the direction of reversed time is read from memory (`down`): with a visible
negative stride LLVM's hoisted alias checks fail and the scalar loop runs. The rows of the next step are asked for
while this one is computed: they lie far apart in memory, and the processor does not foresee where. No fastmath:
recomputation must be exact.
"""

from __future__ import annotations

from collections.abc import Iterable

from snnkit.kernels.neurons.elementary import PRECISIONS, body, lowered, magic
from snnkit.kernels.neurons.print import FUNCTIONS, NUMBA, literals, statements
from snnkit.kernels.neurons.program import CONSTANT, HYPER, NEXT_BAR, PORT, STATE, Definition, Program

HEAD = '''"""Kernels of the neuron {key}, written by snnkit for {precision}."""

import numpy as np
from numba import njit

REAL = np.{precision}
ZERO, ONE, TINY = REAL(0.0), REAL(1.0), np.finfo(REAL).tiny
{literals}
'''

DECORATOR = '@njit(cache=True, nogil=True, error_model="numpy")\n'

# Functions, for Numba has no `view` of an expression. Numba's int32 becomes int64 in arithmetic: cast it back.
BITS = """
INT = np.{integer}
MANTISSA, MAGIC, BIAS = INT({mantissa}), REAL({magic}), REAL({unit} + {bias})
UNIT = REAL({unit}).view(INT)


{decorator}def pow2(n):
    moved = REAL(n + MAGIC)
    bits = INT(moved.view(INT) << MANTISSA)
    return bits.view(REAL)


{decorator}def exponent(x):
    value = REAL(x)
    bits = INT(INT(value.view(INT) >> MANTISSA) | UNIT)
    return bits.view(REAL) - BIAS

"""

# In the text of the module itself, so that its hash and Numba's cache know of a change.
PREFETCH = """
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

BLOCK, LINE = 128, {line}  # numbers between two requests, numbers in a line of the cache


@intrinsic
def prefetch(typing, row, n):
    def generate(context, builder, signature, arguments):
        data = make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        request = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        where = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        builder.call(request, [where, word(0), word(2), word(1)])
        return context.get_dummy_value()

    return types.none(row, types.intp), generate

"""

LINE = {"float32": 16, "float64": 8}  # numbers in 64 bytes


def forward_source(definition: Definition, precision: str) -> str:
    """Kernel `forward(first, last, tile, chunk, <ports>, <constants>, <states>, <outputs>, <ends>, <checkpoints>)`.

    It runs the neurons first..last of flat arrays `[T, M]` and `[M]`, and keeps the states of every `chunk`-th step.
    """
    program, states = lowered(definition.forward, precision, FUNCTIONS), definition.states
    ports = _used(program, PORT, definition.ports)
    constants = _used(program, CONSTANT, definition.constants)
    outputs = [f"out_{k}" for k in range(definition.outputs)]
    arguments = [
        *_arrays(PORT, definition.ports),
        *_arrays(CONSTANT, definition.constants),
        *_arrays("begin", states),
        *(f"{name}_" for name in outputs),
        *_arrays("end", states),
        *_arrays("kept", states),
    ]
    body = statements(
        program,
        NUMBA,
        loads={
            f"{kind}_{k}": f"{kind}_{k}_r[n]"
            for kind, k in [*ports, *constants, *((STATE, s) for s in states)]
        },
        stores={name: f"{name}_r[n] = {{0}}" for name in outputs}
        | {f"next_{s}": f"state_{s}_r[n] = {{0}}" for s in states},
    )
    return "\n".join(
        [
            _head(definition, precision, program),
            PREFETCH.format(line=LINE[precision]),
            DECORATOR + f"def forward(first, last, tile, chunk, {', '.join(arguments)}):",
            "    T = out_0_.shape[0]",
            "    for a in range(first, last, tile):",
            "        b = min(a + tile, last)",
            *_lines(8, (f"const_{k}_r = const_{k}_[a:b]" for _, k in constants)),
            *_lines(8, (f"state_{s}_r = end_{s}_[a:b]" for s in states)),
            *_lines(8, (f"begin_{s}_r = begin_{s}_[a:b]" for s in states)),
            *_each(8, (f"state_{s}_r[n] = begin_{s}_r[n]" for s in states)),
            "        for c in range((T + chunk - 1) // chunk):",
            *_lines(12, (f"kept_{s}_r = kept_{s}_[c, a:b]" for s in states)),
            *_each(12, (f"kept_{s}_r[n] = state_{s}_r[n]" for s in states)),
            "            for t in range(c * chunk, min(T, c * chunk + chunk)):",
            *_lines(16, (f"port_{k}_r = port_{k}_[t, a:b]" for _, k in ports)),
            *_lines(16, (f"{name}_r = {name}_[t, a:b]" for name in outputs)),
            *_ahead(16, [f"port_{k}" for _, k in ports] + outputs, "min(T - 1, t + 1)", body),
            "",
        ]
    )


def adjoint_source(definition: Definition, precision: str, wanted: tuple[str, ...]) -> str:
    """Kernel `adjoint(first, last, tile, chunk, down, back, hyper_, <ports>, <constants>, <checkpoints>, <bars>)`.

    The bars are those of the outputs and of the end states, then those asked for: `wanted` ports, all states, wanted
    constants (names such as `port_x`). Chunk by chunk from the end, the states are run again from the checkpoint into
    a history that stays in cache, then swept in reverse.
    """
    states = definition.states
    again = lowered(definition.forward.select({f"next_{s}" for s in states}), precision, FUNCTIONS)
    asked = [
        name
        for name in (*_names(PORT, definition.ports), *_names(CONSTANT, definition.constants))
        if name in wanted
    ]
    results = {_bar(name) for name in (*asked, *_names(STATE, states))}
    sweep = lowered(definition.adjoint().select(results), precision, FUNCTIONS)
    bars_in = [*(f"outbar_{k}" for k in range(definition.outputs)), *_names(NEXT_BAR, states)]
    arguments = [
        *_arrays(PORT, definition.ports),
        *_arrays(CONSTANT, definition.constants),
        *_arrays("kept", states),
        *(f"{name}_" for name in bars_in),
        *(f"{_bar(name)}_" for name in (*asked, *_names(STATE, states))),
    ]
    run_body = statements(
        again,
        NUMBA,
        loads=_loads(definition, history="now"),
        stores={f"next_{s}": f"then_{s}_r[n] = {{0}}" for s in states},
    )
    sweep_body = statements(
        sweep,
        NUMBA,
        loads=_loads(definition, history="now")
        | {f"outbar_{k}": f"outbar_{k}_r[n]" for k in range(definition.outputs)}
        | {f"nextbar_{s}": f"statebar_{s}_r[n]" for s in states},
        stores={_bar(name): _store(name) for name in (*asked, *_names(STATE, states))},
    )
    constants = {
        k
        for _, k in [
            *_used(again, CONSTANT, definition.constants),
            *_used(sweep, CONSTANT, definition.constants),
        ]
    }
    summed = [name for name in asked if name.startswith(CONSTANT)]
    rows = [f"outbar_{k}" for k in range(definition.outputs)]
    rows += [f"port_{k}" for _, k in _used(sweep, PORT, definition.ports)]
    rows += [f"portbar_{k}" for k in definition.ports if f"port_{k}" in asked]
    hyper = [
        f"hyper_{h} = hyper_[{k}]" for k, h in enumerate(definition.hyper) if f"hyper_{h}" in sweep.leaves()
    ]
    return "\n".join(
        [
            _head(definition, precision, again, sweep),
            PREFETCH.format(line=LINE[precision]),
            DECORATOR + f"def adjoint(first, last, tile, chunk, down, back, hyper_, {', '.join(arguments)}):",
            "    T = outbar_0_.shape[0]",
            *_lines(4, hyper),
            *_lines(4, (f"history_{s} = np.empty((chunk, tile), REAL)" for s in states)),
            "    for a in range(first, last, tile):",
            "        b = min(a + tile, last)",
            *_lines(8, (f"const_{k}_r = const_{k}_[a:b]" for k in sorted(constants))),
            *_lines(8, (f"{_bar(name)}_r = {_bar(name)}_[a:b]" for name in summed)),
            *_lines(8, (f"statebar_{s}_r = statebar_{s}_[a:b]" for s in states)),
            *_lines(8, (f"nextbar_{s}_r = nextbar_{s}_[a:b]" for s in states)),
            *_each(
                8,
                [f"{_bar(name)}_r[n] = ZERO" for name in summed]
                + [f"statebar_{s}_r[n] = nextbar_{s}_r[n]" for s in states],
            ),
            "        for i in range(back.shape[0]):",
            "            c = back[i]",
            "            steps = min(chunk, T - c * chunk)",
            *_lines(12, (f"kept_{s}_r = kept_{s}_[c, a:b]" for s in states)),
            *_lines(12, (f"then_{s}_r = history_{s}[0, :b - a]" for s in states)),
            *_each(12, (f"then_{s}_r[n] = kept_{s}_r[n]" for s in states)),
            "            for k in range(steps - 1):",
            *_lines(16, (f"port_{k}_r = port_{k}_[c * chunk + k, a:b]" for _, k in _used(again, PORT, definition.ports))),
            *_lines(16, (f"now_{s}_r = history_{s}[k, :b - a]" for s in states)),
            *_lines(16, (f"then_{s}_r = history_{s}[k + 1, :b - a]" for s in states)),
            *_ahead(16, [f"port_{k}" for _, k in _used(again, PORT, definition.ports)], "min(T - 1, c * chunk + k + 1)", run_body),
            "            for j in range(chunk - steps, chunk):",
            "                k = down[j]",
            "                t = c * chunk + k",
            *_lines(16, (f"port_{k}_r = port_{k}_[t, a:b]" for _, k in _used(sweep, PORT, definition.ports))),
            *_lines(16, (f"portbar_{k}_r = portbar_{k}_[t, a:b]" for k in definition.ports if f"port_{k}" in asked)),
            *_lines(16, (f"outbar_{k}_r = outbar_{k}_[t, a:b]" for k in range(definition.outputs))),
            *_lines(16, (f"now_{s}_r = history_{s}[k, :b - a]" for s in states)),
            *_ahead(16, rows, "max(0, t - 1)", sweep_body),
            "",
        ]
    )  # fmt: skip


def _head(definition: Definition, precision: str, *programs: Program) -> str:
    used = {program.nodes[i].op for program in programs for i in program.live()}
    functions = {name: body(name, precision) for name in FUNCTIONS if name in used}
    found = literals(*programs, *functions.values())
    lines = [f"{name} = REAL(float.fromhex({value.hex()!r}))" for name, value in found.items()]
    head = HEAD.format(key=definition.key, precision=precision, literals="\n".join(lines))
    if not functions:
        return head
    p = PRECISIONS[precision]
    bits = BITS.format(
        integer=str(p.integer).removeprefix("torch."),
        mantissa=p.mantissa,
        magic=magic(p),
        unit=2.0**p.mantissa,
        bias=p.bias,
        decorator=DECORATOR,
    )
    return head + bits + "\n".join(_function(name, program) for name, program in functions.items())


def _function(name: str, program: Program) -> str:
    lines = statements(program, NUMBA, {"port_x": "x"}, {"out_0": "return {0}"})
    return "\n".join([f"\n{DECORATOR}def {name}(x):", *_lines(4, lines), ""])


def _lines(indent: int, lines: Iterable[str]) -> list[str]:
    return [" " * indent + line for line in lines]


def _each(indent: int, lines: Iterable[str]) -> list[str]:
    """A loop over the neurons of a tile. Not `a[:] = b`: the error of unequal shapes takes seconds to compile."""
    return [*_lines(indent, ["for n in range(b - a):"]), *_lines(indent + 4, lines)]


def _ahead(indent: int, rows: list[str], then: str, lines: Iterable[str]) -> list[str]:
    """The same loop in blocks, each after a request for its part of these rows at the time `then`.

    An unsigned index has no test for negative ones.
    """
    head = [
        *(f"{row}_then = {row}_[{then}, a:b]" for row in rows),
        "for q in range(0, b - a, BLOCK):",
        "    e = min(b - a, q + BLOCK)",
        "    for p in range(q, e, LINE):",
        *(f"        prefetch({row}_then, p)" for row in rows),
        "    for n in range(np.uint64(q), np.uint64(e)):",
    ]
    return [*_lines(indent, head), *_lines(indent + 8, lines)]


def _names(kind: str, names: Iterable[str]) -> list[str]:
    return [f"{kind}_{name}" for name in names]


def _arrays(kind: str, names: Iterable[str]) -> list[str]:
    return [f"{kind}_{name}_" for name in names]


def _used(program: Program, kind: str, names: tuple[str, ...]) -> list[tuple[str, str]]:
    leaves = program.leaves()
    return [(kind, name) for name in names if f"{kind}_{name}" in leaves]


def _bar(name: str) -> str:
    kind, rest = name.split("_", 1)
    return f"{kind}bar_{rest}"


def _loads(definition: Definition, history: str) -> dict[str, str]:
    return (
        {f"{PORT}_{k}": f"{PORT}_{k}_r[n]" for k in definition.ports}
        | {f"{CONSTANT}_{k}": f"{CONSTANT}_{k}_r[n]" for k in definition.constants}
        | {f"{STATE}_{s}": f"{history}_{s}_r[n]" for s in definition.states}
        | {f"{HYPER}_{h}": f"{HYPER}_{h}" for h in definition.hyper}
    )


def _store(name: str) -> str:
    target = f"{_bar(name)}_r[n]"
    return f"{target} = {target} + {{0}}" if name.startswith(CONSTANT) else f"{target} = {{0}}"
