"""The loops around the statements, as the text of a Triton module: one program for a block of neurons, all of time.

States stay in registers. As on the CPU, backward keeps checkpoints only and runs each chunk of time again, here into a
history in global memory that the same threads read back. Offsets are 64-bit. Lanes past the last neuron compute on
constants of one, so that nothing divides by zero.
"""

from __future__ import annotations

from collections.abc import Iterable

from snnkit.kernels.neurons.elementary import PRECISIONS, lowered, magic
from snnkit.kernels.neurons.print import literals, statements, triton
from snnkit.kernels.neurons.program import CONSTANT, HYPER, NEXT_BAR, PORT, STATE, Definition, Program

HEAD = '''"""Kernels of the neuron {key}, written by snnkit for {precision} on a GPU."""

import triton
import triton.language as tl

'''

BITS = """
@triton.jit
def pow2(n):
    return ((n + {magic}).to(tl.{integer}, bitcast=True) << {mantissa}).to(tl.{precision}, bitcast=True)


@triton.jit
def exponent(x):
    return ((x.to(tl.{integer}, bitcast=True) >> {mantissa}) - {bias}).to(tl.{precision})

"""

START = """    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = n < M
    row = tl.full((BLOCK,), 0, tl.int64) + M
    ZERO, ONE, TINY = {zero}, {one}, {tiny}
"""


def _start(precision: str, *programs: Program) -> list[str]:
    def full(value: float) -> str:
        return f"tl.full((BLOCK,), {value!r}, tl.{precision})"

    start = START.format(zero=full(0.0), one=full(1.0), tiny=full(PRECISIONS[precision].tiny))
    return [start + "\n".join(f"    {name} = {full(value)}" for name, value in literals(*programs).items())]


def _head(definition: Definition, precision: str, *programs: Program) -> str:
    head = HEAD.format(key=definition.key, precision=precision)
    if not any(program.nodes[i].op in ("pow2", "exponent") for program in programs for i in program.live()):
        return head
    p = PRECISIONS[precision]
    integer = str(p.integer).removeprefix("torch.")
    return head + BITS.format(
        magic=magic(p), integer=integer, mantissa=p.mantissa, bias=p.bias, precision=precision
    )


def _load(name: str, where: str, other: float = 0.0) -> str:
    return f"tl.load({name}_ + {where}, mask=inside, other={other})"


def _store(name: str, where: str, value: str) -> str:
    return f"tl.store({name}_ + {where}, {value}, mask=inside)"


def _lines(indent: int, lines: Iterable[str]) -> list[str]:
    return [" " * indent + line for line in lines]


def _define(name: str, arguments: Iterable[str]) -> list[str]:
    return [
        '\n@triton.jit(do_not_specialize=["T", "chunk"])',
        f"def {name}(M, T, chunk, {', '.join(f'{a}_' for a in arguments)}, BLOCK: tl.constexpr):",
    ]


def forward_source(definition: Definition, precision: str) -> str:
    """Kernel `forward(M, T, chunk, <ports>, <constants>, <states>, <outputs>, <ends>, <checkpoints>, BLOCK)`."""
    program, states = lowered(definition.forward, precision), definition.states
    leaves = program.leaves()
    outputs = [f"out_{k}" for k in range(definition.outputs)]
    arguments = [
        *(f"{PORT}_{k}" for k in definition.ports),
        *(f"{CONSTANT}_{c}" for c in definition.constants),
        *(f"begin_{s}" for s in states),
        *outputs,
        *(f"end_{s}" for s in states),
        *(f"kept_{s}" for s in states),
    ]
    constants = [f"{CONSTANT}_{c}" for c in definition.constants if f"{CONSTANT}_{c}" in leaves]
    body = statements(
        program,
        triton(precision),
        loads={f"{PORT}_{k}": _load(f"{PORT}_{k}", "row * t + n") for k in definition.ports}
        | {name: name for name in constants}
        | {f"{STATE}_{s}": f"{STATE}_{s}" for s in states},
        stores={name: _store(name, "row * t + n", "{0}") for name in outputs}
        | {f"next_{s}": f"then_{s} = {{0}}" for s in states},
    )
    return "\n".join(
        [
            _head(definition, precision, program),
            *_define("forward", arguments),
            *_start(precision, program),
            *_lines(4, (f"{name} = {_load(name, 'n', 1.0)}" for name in constants)),
            *_lines(4, (f"{STATE}_{s} = {_load(f'begin_{s}', 'n')}" for s in states)),
            "    for t in range(T):",
            "        if t % chunk == 0:",
            *_lines(
                12,
                [_store(f"kept_{s}", "row * (t // chunk) + n", f"{STATE}_{s}") for s in states] or ["pass"],
            ),
            *_lines(8, body),
            *_lines(8, (f"{STATE}_{s} = then_{s}" for s in states)),
            *_lines(4, (_store(f"end_{s}", "n", f"{STATE}_{s}") for s in states)),
            "",
        ]
    )


def adjoint_source(definition: Definition, precision: str, wanted: tuple[str, ...]) -> str:
    """Kernel `adjoint(M, T, chunk, hyper, <ports>, <constants>, <checkpoints>, <bars>, <wanted bars>, <histories>)`.

    The order of the bars is that of `snnkit.kernels.neurons.loops_numba.adjoint_source`.
    """
    states, language = definition.states, triton(precision)
    again = lowered(definition.forward.select({f"next_{s}" for s in states}), precision)
    ports = [f"{PORT}_{k}" for k in definition.ports]
    constants = [f"{CONSTANT}_{c}" for c in definition.constants]
    asked = [name for name in (*ports, *constants) if name in wanted]
    results = {_bar(name) for name in (*asked, *(f"{STATE}_{s}" for s in states))}
    sweep = lowered(definition.adjoint().select(results), precision)
    outbars = [f"outbar_{k}" for k in range(definition.outputs)]
    arguments = [
        "hyper",
        *ports,
        *constants,
        *(f"kept_{s}" for s in states),
        *outbars,
        *(f"{NEXT_BAR}_{s}" for s in states),
        *(_bar(name) for name in asked),
        *(f"{STATE}bar_{s}" for s in states),
        *(f"history_{s}" for s in states),
    ]
    leaves = again.leaves() | sweep.leaves()
    summed = [name for name in asked if name in constants]
    fixed = {name: name for name in constants} | {f"{HYPER}_{h}": f"{HYPER}_{h}" for h in definition.hyper}
    run_body = statements(
        again,
        language,
        loads={name: _load(name, "row * t + n") for name in ports}
        | fixed
        | {f"{STATE}_{s}": f"{STATE}_{s}" for s in states},
        stores={f"next_{s}": f"then_{s} = {{0}}" for s in states},
    )
    sweep_body = statements(
        sweep,
        language,
        loads={name: _load(name, "row * t + n") for name in (*ports, *outbars)}
        | fixed
        | {f"{STATE}_{s}": _load(f"history_{s}", "row * k + n") for s in states}
        | {f"{NEXT_BAR}_{s}": f"{STATE}bar_{s}" for s in states},
        stores={_bar(name): _store(_bar(name), "row * t + n", "{0}") for name in asked if name in ports}
        | {_bar(name): f"{_bar(name)} = {_bar(name)} + {{0}}" for name in summed}
        | {f"{STATE}bar_{s}": f"before_{s} = {{0}}" for s in states},
    )
    return "\n".join(
        [
            _head(definition, precision, again, sweep),
            *_define("adjoint", arguments),
            *_start(precision, again, sweep),
            *_lines(
                4,
                (
                    f"{HYPER}_{h} = ZERO + tl.load(hyper_ + {k})"
                    for k, h in enumerate(definition.hyper)
                    if f"{HYPER}_{h}" in leaves
                ),
            ),
            *_lines(4, (f"{name} = {_load(name, 'n', 1.0)}" for name in constants if name in leaves)),
            *_lines(4, (f"{_bar(name)} = ZERO" for name in summed)),
            *_lines(4, (f"{STATE}bar_{s} = {_load(f'{NEXT_BAR}_{s}', 'n')}" for s in states)),
            "    chunks = (T + chunk - 1) // chunk",
            "    for i in range(chunks):",
            "        c = chunks - 1 - i",
            "        steps = tl.minimum(chunk, T - c * chunk)",
            *_lines(8, (f"{STATE}_{s} = {_load(f'kept_{s}', 'row * c + n')}" for s in states)),
            *_lines(8, (_store(f"history_{s}", "n", f"{STATE}_{s}") for s in states)),
            *(_rerun(run_body, states) if states else []),
            "        tl.debug_barrier()",
            "        for j in range(steps):",
            "            k = steps - 1 - j",
            "            t = c * chunk + k",
            *_lines(12, sweep_body),
            *_lines(12, (f"{STATE}bar_{s} = before_{s}" for s in states)),
            "        tl.debug_barrier()",
            *_lines(4, (_store(_bar(name), "n", _bar(name)) for name in summed)),
            *_lines(4, (_store(f"{STATE}bar_{s}", "n", f"{STATE}bar_{s}") for s in states)),
            "",
        ]
    )


def _rerun(body: list[str], states: tuple[str, ...]) -> list[str]:
    return [
        "        for k in range(steps - 1):",
        "            t = c * chunk + k",
        *_lines(12, body),
        *_lines(12, (f"{STATE}_{s} = then_{s}" for s in states)),
        *_lines(12, (_store(f"history_{s}", "row * (k + 1) + n", f"{STATE}_{s}") for s in states)),
    ]


def _bar(name: str) -> str:
    kind, rest = name.split("_", 1)
    return f"{kind}bar_{rest}"
