"""Checkpointed chunks of time: the results and gradients of the whole sequence, in the memory of a chunk."""

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.layers import AvgPool2d, BatchNorm, Conv2d, Dropout, Flatten, Linear, Sequential
from snnkit.layers.checkpointing import checkpoint, checkpointed_scan
from snnkit.neurons import IF, LIF, CubaLIF, LeakyIntegrator, use_reference

DT = 1e-3


def deep(dropout=0.0, generator=None, seed=0):
    g = torch.Generator().manual_seed(seed)
    return Sequential(
        Linear(6, 9, bias=True, generator=g),
        LIF(tau=10e-3, dt=DT, threshold=0.5, learn=("tau", "threshold")),
        Dropout(dropout, generator=generator),
        Linear(9, 5, generator=g),
        nn.ReLU(),
        CubaLIF(tau_syn=3e-3, tau_mem=10e-3, dt=DT, threshold=0.5),
        LeakyIntegrator(tau=5e-3, dt=DT),
    )


def gradients(net, run, x):
    x = x.clone().requires_grad_()
    y = run(net, x)
    bar = torch.sin(torch.arange(y.numel(), dtype=y.dtype)).view(y.shape)
    grads = torch.autograd.grad(y, [x, *net.parameters()], bar)
    return y.detach(), grads


@pytest.mark.parametrize("chunk", [1, 3, 7, 23, 40, None])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_gradients_are_those_of_the_whole_sequence(chunk, dtype, tolerance):
    net, x = deep().to(dtype), torch.randn(23, 4, 6, dtype=dtype, generator=torch.Generator().manual_seed(1))
    y, whole = gradients(net, lambda net, x: net(x), x)
    z, cut = gradients(net, lambda net, x: checkpoint(net, x, chunk=chunk), x)
    torch.testing.assert_close(z, y, rtol=0, atol=tolerance)
    for ours, theirs in zip(cut, whole, strict=True):
        assert float(theirs.abs().max()) > 0
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * max(1, float(theirs.abs().max())))


@pytest.mark.parametrize(
    "neuron",
    [LIF(tau=10e-3, dt=DT), IF(reset="zero"), CubaLIF(tau_syn=3e-3, tau_mem=10e-3, dt=DT)],
    ids=lambda n: type(n).__name__,
)
def test_results_and_input_gradients_of_neurons_are_the_same_bits(neuron):
    x = torch.randn(57, 3, 11, generator=torch.Generator().manual_seed(2))
    y, (whole,) = gradients(neuron, lambda net, x: net(x), x)
    z, (cut,) = gradients(neuron, lambda net, x: checkpoint(net, x, chunk=10), x)
    assert torch.equal(y, z) and torch.equal(whole, cut)


@pytest.mark.parametrize("own", [False, True], ids=["torch's generator", "a generator of its own"])
def test_dropout_keeps_its_mask_from_chunk_to_chunk_and_in_the_second_run(own):
    x = torch.randn(20, 4, 6, generator=torch.Generator().manual_seed(3))
    generator = torch.Generator() if own else None
    net = deep(0.5, generator).double()
    found = []
    for run in (lambda net, x: net(x), lambda net, x: checkpoint(net, x, chunk=6)):
        (generator or torch.default_generator).manual_seed(5)
        found.append((gradients(net, run, x.double()), torch.rand(1, generator=generator)))
    ((y, whole), after), ((z, cut), after_cut) = found
    torch.testing.assert_close(z, y)
    torch.testing.assert_close(cut, whole)
    assert torch.equal(after, after_cut), "the second run may not use up random numbers"


def test_batch_normalisation_is_refused_in_training_and_exact_in_evaluation():
    net = Sequential(Linear(6, 4), BatchNorm(4), LIF(tau=10e-3, dt=DT)).double()
    x = torch.randn(20, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with pytest.raises(UserError, match=r"layer 1 \(BatchNorm\).*call .eval\(\)"):
        checkpoint(net, x, chunk=5)
    net(x)  # running averages other than the initial ones
    net[1].eval()
    before = net[1].running_mean.clone()
    y, whole = gradients(net, lambda net, x: net(x), x)
    z, cut = gradients(net, lambda net, x: checkpoint(net, x, chunk=5), x)
    torch.testing.assert_close((z, cut), (y, whole))
    assert torch.equal(net[1].running_mean, before)


def test_events_and_images():
    x = (torch.rand(12, 2, 2, 8, 8, generator=torch.Generator().manual_seed(4)) < 0.1).float()
    net = Sequential(
        Conv2d(2, 3, 3, padding=1), IF(threshold=0.5), AvgPool2d(2), Flatten(), Linear(48, 4), IF()
    )
    flat = Sequential(Flatten(), Linear(128, 5), LIF(tau=10e-3, dt=DT, threshold=0.3))
    for network in (net, flat):
        whole = torch.autograd.grad(network(x).sum(), list(network.parameters()))
        ev = EventTensor.from_dense(x, DT)
        cut = torch.autograd.grad(checkpoint(network, ev, chunk=5).sum(), list(network.parameters()))
        torch.testing.assert_close(cut, whole)


def test_state_in_and_state_out():
    net, x = deep().double(), torch.randn(20, 4, 6, dtype=torch.float64)
    y, end = net.scan(x)
    head, middle = checkpointed_scan(net, x[:8], chunk=3)
    tail, same = checkpointed_scan(net, x[8:], middle, chunk=5)
    torch.testing.assert_close(torch.cat([head, tail]), y)
    torch.testing.assert_close(same, end)
    with torch.no_grad():
        torch.testing.assert_close(checkpointed_scan(net, x, chunk=3), (y, end))


def test_second_derivatives():
    net = Sequential(Linear(3, 4), LeakyIntegrator(tau=5e-3, dt=DT)).double()  # smooth all through
    x = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    with use_reference():
        assert torch.autograd.gradgradcheck(lambda x: checkpoint(net, x, chunk=2).tanh(), (x,))


def test_no_steps_no_samples_and_wrong_arguments():
    net = LIF(tau=10e-3, dt=DT)
    assert checkpoint(net, torch.zeros(0, 2, 3), chunk=4).shape == (0, 2, 3)
    assert checkpoint(net, torch.zeros(9, 0, 3), chunk=4).shape == (9, 0, 3)
    with pytest.raises(UserError, match="at least 1 time step"):
        checkpoint(net, torch.zeros(5, 2, 3), chunk=0)
    with pytest.raises(TypeError, match="whole number"):
        checkpoint(net, torch.zeros(5, 2, 3), chunk=2.5)
    with pytest.raises(TypeError, match="needs a network with scan"):
        checkpoint(nn.ReLU(), torch.zeros(5, 2, 3), chunk=2)


MEASURE = """
import json, re, sys, torch
from snnkit.layers import Linear, Sequential
from snnkit.layers.checkpointing import checkpoint
from snnkit.neurons import LIF

def status(what):
    return int(re.search(what + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024

steps, chunk = int(sys.argv[1]), int(sys.argv[2])
net = Sequential(Linear(8, 512), LIF(tau=1e-2, dt=1e-3), Linear(512, 512), LIF(tau=1e-2, dt=1e-3), Linear(512, 2))
run = lambda x, chunk: (checkpoint(net, x, chunk=chunk) if chunk else net(x)).sum().backward()
run(torch.rand(100, 16, 8), 50)  # compile first
x = torch.rand(steps, 16, 8)
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
before = status("VmRSS")
run(x, chunk)
print(json.dumps(status("VmHWM") - before))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="Linux tells the peak of memory")
def test_peak_memory_grows_with_the_chunk_not_with_the_sequence():
    def megabytes(steps, chunk):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(steps), str(chunk)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    whole, cut = megabytes(2000, 0), megabytes(2000, 50)
    assert whole > 2 * cut, (whole, cut)  # 300 against 20 to 80, as Python's collector happens to run
