"""The tape, what it prints, and the derivatives swept from it."""

import numpy as np
import pytest
import torch
from laws import TwoPoint, refractory, two_point, without_compiler

from snnkit.kernels.neurons.elementary import lowered
from snnkit.kernels.neurons.loops_numba import adjoint_source, forward_source
from snnkit.kernels.neurons.operator import lookup
from snnkit.kernels.neurons.print import NUMBA, literals, statements
from snnkit.kernels.spread import spread, tree_sum
from snnkit.neurons import LIF, language, neuron, surrogate
from snnkit.neurons import equations as eq
from snnkit.neurons.adjoint import adjoint, define
from snnkit.neurons.tape import Tape, write

PLAIN = {"reset": "subtract", "strict": False, "detached": False}


def program_of(equation, **options):
    tape, results = write(equation, **{**PLAIN, **options})
    return tape.program(results)


def test_the_order_of_the_lines_is_kept_and_nothing_is_simplified():
    tape = Tape()
    x, y = tape.leaf("port", "x"), tape.leaf("port", "y")
    program = tape.program([("out_0", 2.0 * (x + y) - x), ("out_1", x / x)])
    loads = {"port_x": "x[n]", "port_y": "y[n]"}
    lines = statements(program, NUMBA, loads, {"out_0": "a[n] = {0}", "out_1": "b[n] = {0}"})
    assert lines == [
        "port_x = x[n]",
        "port_y = y[n]",
        "t2 = port_x + port_y",
        "t4 = K_0x1_0000000000000pp1 * t2",
        "t5 = t4 - port_x",
        "t6 = port_x / port_x",
        "a[n] = t5",
        "b[n] = t6",
    ]


def test_the_same_operation_is_written_once():
    tape = Tape()
    x = tape.leaf("port", "x")
    assert (x * x).index == (x**2).index == (x * x).index
    assert (x + 0.0).index != (x + -0.0).index


def test_operations_of_an_update():
    """The counts of the design: what one update costs, flushes and loads left out."""
    assert program_of(eq.lif).count() == {"mul": 2, "add": 1, "sub": 2, "fire": 1}
    assert sum(program_of(eq.cuba_lif).count().values()) == 8
    sweep = adjoint(eq.lif, surrogate.ATan, **PLAIN)
    assert 15 <= sum(sweep.count().values()) <= 24


def test_only_what_the_results_need_is_live():
    sweep = adjoint(eq.lif, surrogate.ATan, **PLAIN)
    fewer = sweep.select({"portbar_x", "statebar_v"})
    assert len(fewer.live()) < len(sweep.live())
    assert "const_decay" in fewer.leaves() and "constbar_decay" not in dict(fewer.results)


def test_words_outside_the_vocabulary():
    x = Tape().leaf("port", "x")
    for wrong in (lambda: bool(x > 0), lambda: float(x), lambda: x**0.5, lambda: x + "1", lambda: x + True):
        with pytest.raises(TypeError):
            wrong()


WORDS = ("exp", "tanh", "log", "sigmoid", "sqrt", "cube", "ratio", "clip", "abs", "floor", "detach")


@pytest.mark.parametrize("word", [*WORDS, "round_through", "trunc_through"])
def test_derivatives_of_the_vocabulary(word):
    functions = {
        "cube": lambda a: a**3,
        "ratio": lambda a: (1.0 - a) / (2.0 + a * a),
        "round_through": lambda a: language.round_through(a * 3.0) * a,
        "trunc_through": lambda a: language.trunc_through(a * 3.0) * a,
        "clip": lambda a: language.clip(a, 0.3, 1.0) * a,
        "abs": lambda a: abs(a) * a,
        "detach": lambda a: a * language.detach(a),
    }
    function = functions.get(word, getattr(language, word, None))

    @neuron("x", v=0.0)
    def cell(x, v):
        y = function(x) + 2.0 * x
        return y, v

    x = torch.tensor([0.2, 0.4, 0.9, 1.7], dtype=torch.float64, requires_grad=True)
    value = function(x) + 2.0 * x
    value.sum().backward()
    definition = lookup(define(cell, surrogate.ATan, **PLAIN))
    head = without_compiler(adjoint_source(definition, "float64", ("port_x",))).split("BLOCK")[0]
    sweep = lowered(adjoint(cell, surrogate.ATan, **PLAIN).select({"portbar_x"}), "float64")
    for k in range(4):
        names = {"port_x": f"REAL({x[k].item()!r})", "outbar_0": "ONE"}
        lines = statements(sweep, NUMBA, names, {"portbar_x": "found = {0}"})
        space = {}
        exec(head, space)  # noqa: S102 (our own text)
        space |= {name: np.float64(value) for name, value in literals(sweep).items()}
        for line in lines:
            exec(line, space)  # noqa: S102 (our own text)
        assert space["found"] == pytest.approx(x.grad[k].item(), rel=1e-12)


def test_names_of_a_model_cannot_meet_those_of_the_loop():
    @neuron("T", c=0.0, t=0.0)
    def clash(T, c, t, *, n, a, k, chunk, fire):
        u = n * c + a * T + k * t
        s, r = fire(u - chunk)
        return s, u - r, t + s

    for equation in (clash, two_point, refractory):
        tape, results = write(equation, **PLAIN)
        assert compile_all(equation, tape.program(results))


def compile_all(equation, program):
    definition = lookup(define(equation, surrogate.ATan, **PLAIN))
    wanted = (*(f"port_{p}" for p in equation.ports), *(f"const_{c}" for c in equation.constants))
    for text in (forward_source(definition, "float32"), adjoint_source(definition, "float64", wanted)):
        compile(text, "kernel", "exec")
    return definition.forward == program


def test_a_key_says_what_the_kernels_are():
    base = LIF(tau=0.02, dt=1e-3)._key
    assert LIF(tau=0.5, dt=1e-3, threshold=2.0)._key == base
    others = [
        LIF(tau=0.02, dt=1e-3, reset="zero"),
        LIF(tau=0.02, dt=1e-3, detach_reset=True),
        LIF(tau=0.02, dt=1e-3, compare=">"),
        LIF(tau=0.02, dt=1e-3, surrogate=surrogate.Triangle()),
        LIF(tau=0.02, dt=1e-3, scale_input=True),
        TwoPoint(tau=0.02, dt=1e-3),
    ]
    assert len({base, *(cell._key for cell in others)}) == 7
    with pytest.raises(KeyError, match="construct one like it"):
        lookup("lif-unknown")


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 64, 1000])
def test_tree_sum(size):
    x = torch.rand(3, size, 2, dtype=torch.float64)
    torch.testing.assert_close(tree_sum(x, 1), x.sum(1))


@pytest.mark.parametrize("shape", [(), (1,), (4,), (3, 1, 1), (3, 5, 4), (1, 5, 1)])
def test_spread_is_expand(shape):
    c = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(2, 3, 5, 4, dtype=torch.float64)
    (spread(c, weight.shape) * weight).sum().backward()
    found, c.grad = c.grad, None
    (c.expand(weight.shape) * weight).sum().backward()
    torch.testing.assert_close(found, c.grad)
