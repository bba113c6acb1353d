"""The Triton kernels: in its interpreter here, compiled for a GPU without one, and run on one where there is one."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from laws import Case, Wordy, definition_of, relative_error, run, run_reference

from snnkit.kernels import generated
from snnkit.kernels.neurons import operator, run_triton
from snnkit.kernels.neurons.loops_triton import adjoint_source, forward_source
from snnkit.neurons import LIF, CubaLIF, use_reference

has_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
has_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
HERE = Path(__file__).parent


@has_triton
def test_every_neuron_in_the_interpreter():
    env = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    env["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE.parent)])
    start = [sys.executable, str(HERE / "triton_laws.py")]
    done = subprocess.run(start, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failures, 0 silent" in done.stdout


@has_triton
@pytest.mark.parametrize("model", [LIF, Wordy], ids=lambda m: m.__name__)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_text_compiles_for_a_gpu_without_one(model, precision):
    """As far as machine code for sm_80: no GPU takes part."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("the interpreter is on")
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    definition = definition_of(Case(model).build())
    wanted = tuple(f"port_{p}" for p in definition.ports) + tuple(f"const_{c}" for c in definition.constants)
    for name, text in (
        ("forward", forward_source(definition, precision)),
        ("adjoint", adjoint_source(definition, precision, wanted)),
    ):
        kernel = getattr(generated.load(text), name)
        pointer = "*fp32" if precision == "float32" else "*fp64"
        kinds = {"M": "i32", "T": "i32", "chunk": "i32", "BLOCK": "constexpr"}
        signature = {argument: kinds.get(argument, pointer) for argument in kernel.arg_names}
        source = ASTSource(fn=kernel, signature=signature, constexprs={"BLOCK": 128})
        target = GPUTarget("cuda", 80, 32)
        try:
            found = triton.compile(source, target=target, options={"enable_fp_fusion": False})
        except RuntimeError as error:
            if "ptxas" in str(error):
                pytest.skip("no assembler for GPUs")
            raise
        code = found.asm["ptx"]
        assert ".entry" in code and "mul.rn.f" in code and "fma.rn.f" not in code  # every rounding is kept


def test_without_triton_a_gpu_runs_the_reference(monkeypatch):
    monkeypatch.setattr(run_triton, "available", lambda: False)
    assert operator.runs_on("cpu") and not operator.runs_on("cuda") and not operator.runs_on("mps")
    monkeypatch.setattr(run_triton, "available", lambda: True)
    assert operator.runs_on("cuda") and not operator.runs_on("mps")


def test_importing_and_running_needs_no_triton():
    program = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch, snnkit\n"
        "from snnkit.neurons import LIF\n"
        "x = torch.rand(5, 1, 3, requires_grad=True)\n"
        "LIF(tau=0.02, dt=1e-3)(x).sum().backward()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@has_triton
@has_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_on_a_gpu_as_on_the_cpu(dtype):
    for case in (Case(LIF), Case(CubaLIF), Case(Wordy)):
        cell = case.build(dtype)
        x = case.drive(dtype, steps=70, batch=100)
        expected, gradients = run_reference(cell, x)
        theirs = x.detach().cuda().requires_grad_()
        results, found = run(cell.cuda(), theirs)
        with use_reference():
            same = cell(theirs)
        assert torch.equal(results[0], same)
        for a, b in zip(results, expected, strict=True):
            torch.testing.assert_close(a.cpu(), b)
        assert relative_error([g.cpu() for g in found], gradients) < (
            1e-4 if dtype is torch.float32 else 1e-10
        )
