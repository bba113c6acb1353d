"""The printed C of every neuron, compiled without a warning, gives the bits of the torch reference."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
import torch
from laws import ALL, Case, Wordy, leaves
from test_kernels_vocabulary import ManySpikes, Signed

from snnkit.kernels.neurons.c99 import c_source
from snnkit.kernels.neurons.operator import lookup
from snnkit.neurons import reference

COMPILER = shutil.which("gcc") or shutil.which("cc")
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-O2", "-shared", "-fPIC"]
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler")
precisions = pytest.mark.parametrize("precision", ["float32", "float64"])
REAL = {"float32": ctypes.c_float, "float64": ctypes.c_double}


def forward_cases():
    """One of each model, reset and comparison: surrogates do not matter here."""
    found = {}
    for case in ALL:
        found.setdefault((case.model, case.reset, case.compare, case.scaled), case)
    return list(found.values())


def compiled(source, folder):
    (folder / "step.c").write_text(source)
    command = [COMPILER, *FLAGS, "step.c", "-o", "step.so", "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + source
    return ctypes.CDLL(str(folder / "step.so"))


def run_c(library, definition, real, inputs, states, constants):
    """Outputs [outputs, T, M] and end states [S, M] of flat arrays."""
    step = getattr(library, f"{definition.key.rsplit('-', 1)[0]}_step")
    step.restype = real
    more = definition.outputs - 1
    pointer = ctypes.POINTER(real)
    step.argtypes = [real] * len(inputs) + [pointer] * (2 + more)
    steps, size = inputs[0].shape
    out, ends = np.zeros((1 + more, steps, size)), np.zeros((len(states), size))
    rest = [real() for _ in range(more)]
    for n in range(size):
        state = (real * max(1, len(states)))(*(s[n] for s in states))
        constant = (real * max(1, len(constants)))(*(c[n] for c in constants))
        for t in range(steps):
            out[0, t, n] = step(*(float(x[t, n]) for x in inputs), state, constant, *rest)
            for k, value in enumerate(rest):
                out[1 + k, t, n] = value.value
        ends[:, n] = state[: len(states)]
    return out, ends


def check(cell, x, precision, folder):
    dtype = getattr(torch, precision)
    inputs = [t.detach().to(dtype) for t in leaves(x)]
    shape = inputs[0].shape[1:]
    constants = {k: v.detach().to(dtype).expand(shape) for k, v in cell.constants().items()}
    constants = {k: constants[k] for k in cell.equation.constants}
    states = [s.detach() for s in cell.initial_state(inputs[0][0])]
    outputs, ends = reference.scan(
        cell.equation, inputs, states, constants, fire=cell._fire(), reset=cell._reset_word()
    )
    definition = lookup(cell._key)
    library = compiled(c_source(cell, precision), folder)

    def flat(tensors):
        return [t.reshape(*t.shape[: t.dim() - 2], -1).numpy() for t in tensors]

    found, last = run_c(
        library, definition, REAL[precision], flat(inputs), flat(states), flat(constants.values())
    )
    for a, b in zip(found, flat(outputs), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(last, flat(ends), strict=True):
        np.testing.assert_array_equal(a, b)
    return outputs[0]


@needs_compiler
@precisions
@pytest.mark.parametrize("case", forward_cases(), ids=str)
def test_400_steps_in_c(case, precision, tmp_path):
    dtype = getattr(torch, precision)
    with torch.no_grad():
        spikes = check(case.build(dtype), case.drive(dtype, steps=400, batch=1), precision, tmp_path)
    assert not case.spikes or spikes.abs().mean() > 0


@needs_compiler
@precisions
@pytest.mark.parametrize("model", [ManySpikes, Signed])
@pytest.mark.parametrize("compare", [">=", ">"])
def test_counts_and_rounding_in_c(model, compare, precision, tmp_path):
    x = torch.rand(400, 1, 3, generator=torch.Generator().manual_seed(0)).mul(1.6).sub(0.7)
    check(model(compare=compare), x, precision, tmp_path)


def test_the_text_names_what_a_caller_needs():
    text = c_source(Case(Wordy).build())
    assert "float wordy_step(float port_x, wordy_state *state, const wordy_constants *constants)" in text
    assert "typedef struct { float v; float w; } wordy_state;" in text
    assert "malloc" not in text and "double" not in text
    with pytest.raises(ValueError, match="float32"):
        c_source(Case(Wordy).build(), "half")
