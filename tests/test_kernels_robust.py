"""What the kernels promise beyond numbers: vector code, any number of threads, autocast, copies of every kind."""

import copy
import importlib.util
import io
import os
import platform
import re
import subprocess
import sys

import pytest
import torch
from laws import COMPILED, Case, Wordy, run, same_bits
from test_neurons_laws import flat_call, kernel_results

from snnkit import Linear
from snnkit.kernels.neurons import loops_numba, run_numba
from snnkit.neurons import LIF, surrogate


def has_avx():
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    from llvmlite import binding

    return bool(binding.get_host_cpu_features().get("avx"))


def assembly(source, name, call, folder):
    """The machine code of a kernel compiled here and now; one from Numba's cache would not show it."""
    path = folder / f"{name}_kernel.py"
    path.write_text(source.replace("cache=True, ", ""))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kernel = getattr(module, name)
    call(kernel)
    return kernel.inspect_asm(kernel.signatures[0])


@pytest.mark.skipif(not has_avx(), reason="looks for AVX instructions of x86-64")
@pytest.mark.parametrize("model", [LIF, Wordy], ids=lambda m: m.__name__)
@pytest.mark.parametrize("direction", ["forward", "adjoint"])
def test_the_loops_are_vector_code(model, direction, tmp_path, monkeypatch):
    """Packed arithmetic on whole registers; that the packed loop is also the one that runs, the benchmarks tell."""
    found = flat_call(Case(model), steps=9, size=99)
    wanted = ("port_x", "const_decay")
    texts = {
        "forward": loops_numba.forward_source(found[0], "float32"),
        "adjoint": loops_numba.adjoint_source(found[0], "float32", wanted),
    }

    def call(kernel):
        monkeypatch.setattr(run_numba, f"_{direction}_kernel", lambda *_: kernel)
        definition, inputs, constants, states, hyper = found
        if direction == "forward":
            run_numba.scan(definition, 4, inputs, constants, states)
            return
        results = run_numba.scan(definition, 4, inputs, constants, states)
        k = len(states)
        bars = [torch.ones_like(r) for r in results[: k + 1]]
        run_numba.adjoint(
            definition, 4, " ".join(wanted), hyper, inputs, constants, results[k + 1 :], bars[:1], bars[1:]
        )

    code = assembly(texts[direction], direction, call, tmp_path)
    packed = re.findall(r"\bv?(?:mul|add|sub|f?n?madd\w*)ps\s.*%[yz]mm", code)
    assert len(packed) >= (5 if direction == "forward" else 12)  # of LIF, forward: all
    assert not re.search(r"\bvfn?m(add|sub)\w*[sp]s\b", code)  # nothing contracted: it would move bits


def test_more_threads_than_cores(monkeypatch):
    monkeypatch.setattr(run_numba, "SMALL", 0)
    call = flat_call(COMPILED[1], size=600)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 4, 7):
            torch.set_num_threads(threads)
            found.append(kernel_results(call, chunk=8, tile=16))
    finally:
        torch.set_num_threads(before)
    assert same_bits(found[0], found[1]) and same_bits(found[0], found[2])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_computed_in_float32(dtype):
    cell = LIF(tau=9e-3, dt=1e-3, learn="tau")
    x = torch.rand(40, 2, 3, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    spikes, state = cell.scan(x)
    assert spikes.dtype is torch.float32 and state.v.dtype is torch.float32
    assert torch.equal(spikes, cell(x.float())) and 0 < spikes.mean() < 1
    spikes.sum().backward()
    assert x.grad.dtype is dtype and float(x.grad.abs().max()) > 0
    one, _ = cell.step(x[0], None)
    assert one.dtype is torch.float32
    assert cell(x[:0]).dtype is torch.float32


def test_autocast():
    """Under autocast the synapses answer in bfloat16, the neurons add up in float32."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(20, 30), LIF(tau=9e-3, dt=1e-3), torch.nn.Linear(30, 4))
    x = torch.rand(25, 3, 20) * 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        drive = net[0](x)
        spikes = net[1](drive)
        y = net[2](spikes)
    assert drive.dtype is torch.bfloat16 and spikes.dtype is torch.float32 and y.dtype is torch.bfloat16
    assert torch.equal(spikes, net[1](drive.float())) and 0 < spikes.mean() < 1
    y.float().square().sum().backward()
    assert all(float(p.grad.abs().max()) > 0 for p in net.parameters())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Linear(20, 5)(x).shape == (25, 3, 5)


@pytest.mark.parametrize("case", COMPILED, ids=str)
def test_copies_run_and_state_dict_holds_no_state(case):
    cell = case.build(torch.float32)
    x = case.drive(torch.float32)
    before = set(cell.state_dict())
    expected = run(cell, x)
    buffer = io.BytesIO()
    torch.save(cell, buffer)  # pickle underneath
    buffer.seek(0)
    for other in (copy.copy(cell), copy.deepcopy(cell), torch.load(buffer, weights_only=False)):
        assert type(other) is type(cell) and other._key == cell._key
        assert same_bits(run(other, x)[0], expected[0])
    assert set(cell.state_dict()) == before  # running leaves nothing behind
    assert not before & set(cell.equation.states)
    assert {k for k, _ in cell.named_parameters()} <= before
    assert all(t.shape in ((), (3,)) for t in cell.state_dict().values())


NOTEBOOK = """
from snnkit.neurons import LIF, Neuron, neuron, surrogate
from dataclasses import dataclass

@neuron("x", v=0.0)
def mine(x, v, *, decay, fire):
    u = decay * v + x
    s, r = fire(u - 1.0)
    return s, u - r

@dataclass(frozen=True)
class Flat(surrogate.Surrogate):
    height: float = 0.5
    @staticmethod
    def derivative(u, height):
        return height + 0.0 * u

class Mine(Neuron):
    equation = mine
    def __init__(self, *, tau, dt, **options):
        super().__init__(dt=dt, **options)
        self.add_time_constant("tau", tau)
    def constants(self):
        return {"decay": self.decay(self.time_constant("tau"))}

import cloudpickle, sys
open(sys.argv[1], "wb").write(cloudpickle.dumps(Mine(tau=0.02, dt=1e-3, surrogate=Flat())))
"""
LATER = """
import cloudpickle, sys, torch
cell = cloudpickle.loads(open(sys.argv[1], "rb").read())
x = torch.full((20, 1, 2), 0.4, requires_grad=True)
cell(x).sum().backward()
print(int(cell(x).sum()), bool((x.grad > 0).all()))
"""


def test_a_neuron_of_a_notebook_goes_to_another_process(tmp_path):
    pytest.importorskip("cloudpickle")
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    for text in (NOTEBOOK, LATER):
        command = [sys.executable, "-c", text, str(tmp_path / "cell")]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["14", "True"]


def test_hessian_of_a_neuron_on_the_reference():
    """jvp of fire: forward mode over reverse mode."""
    from snnkit.neurons import use_reference

    cell = LIF(tau=9e-3, dt=1e-3, surrogate=surrogate.Sigmoid(slope=2.0)).double()
    x = torch.rand(6, 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.3

    def loss(x):
        return (cell(x) * torch.arange(6.0).view(6, 1, 1)).sum()

    with use_reference():
        found = torch.func.hessian(loss)(x).reshape(12, 12)
        expected = torch.func.jacrev(torch.func.jacrev(loss))(x).reshape(12, 12)
        forward = torch.func.jacfwd(loss)(x)
        (reverse,) = torch.autograd.grad(loss(x.requires_grad_()), x)
    assert float(found.abs().max()) > 0
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(forward, reverse)
