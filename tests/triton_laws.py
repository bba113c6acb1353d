"""Run by test_triton.py in a process of its own: TRITON_INTERPRET has to be set before Triton is imported."""

from __future__ import annotations

import os

os.environ["TRITON_INTERPRET"] = "1"

import sys

import pytest
import torch
from laws import ALL, interpret, leaves
from test_kernels_vocabulary import ManySpikes, Signed

from snnkit.kernels.neurons import operator, run_numba, run_triton
from snnkit.kernels.spread import spread
from snnkit.neurons import LIF, reference

BATCH, NEURONS, BLOCK = 7, 3, 8  # 21 neurons: three programs, the last with five
# Relative to the largest of each gradient. Autograd adds in another order, which stiff neurons amplify in float32.
LIMIT = {torch.float32: 3e-6, torch.float64: 1e-12}


def cases():
    """One of each model, with surrogates in turn; of LIF every reset and comparison."""
    found = {}
    for case in ALL:
        options = (case.reset, case.compare) if case.model is LIF else ()
        found.setdefault((case.model, options), []).append(case)
    return [same[k % len(same)] for k, same in enumerate(found.values())]


def drive(case, dtype, steps):
    x = case.drive(torch.float64, steps=steps, batch=BATCH, neurons=NEURONS)
    return [t.detach().to(dtype) for t in leaves(x)]


def compare(cell, inputs, dtype, chunk=4):
    """Forward bit for bit as the reference, gradients bit for bit as the Numba kernels and nearly as autograd."""
    definition, shape = operator.lookup(cell._key), inputs[0].shape[1:]
    constants = [spread(v.detach(), shape) for v in cell._constants(inputs[0], shape[1:]).values()]
    states = [s.detach() for s in cell.initial_state(inputs[0][0])]
    found = run_triton.scan(definition, chunk, inputs, constants, states, block=BLOCK)
    for tensor in (*inputs, *constants, *states):
        tensor.requires_grad_()
    named = dict(zip(cell.equation.constants, constants, strict=True))
    outputs, ends = reference.scan(
        cell.equation, inputs, states, named, fire=cell._fire(), reset=cell._reset_word()
    )
    results = [*outputs, *ends]
    count = len(results)
    assert all(torch.equal(a, b) for a, b in zip(found[:count], results, strict=True)), "forward differs"
    generator = torch.Generator().manual_seed(3)
    bars = [torch.rand(r.shape, generator=generator, dtype=torch.float64).to(dtype) for r in results]
    reached = [(r, bar) for r, bar in zip(results, bars, strict=True) if r.requires_grad]
    expected = torch.autograd.grad(
        [r for r, _ in reached],
        [*states, *inputs, *constants],
        [bar for _, bar in reached],
        allow_unused=True,
    )
    names = [f"port_{p}" for p in definition.ports] + [f"const_{c}" for c in definition.constants]
    arguments = (
        definition, chunk, " ".join(names), cell._hyper, [t.detach() for t in inputs],
        [t.detach() for t in constants], found[count:], bars[: len(outputs)], bars[len(outputs) :],
    )  # fmt: skip
    gradients = run_triton.adjoint(*arguments, block=BLOCK)
    numba = run_numba.adjoint(*arguments)
    assert all(torch.equal(a, b) for a, b in zip(gradients, numba, strict=True)), "gradients differ"
    worst = 0.0
    for a, b in zip(gradients, expected, strict=True):
        b = torch.zeros_like(a) if b is None else b
        assert bool(torch.isfinite(a).all()) and bool(torch.isfinite(b).all()), "a gradient is not finite"
        worst = max(worst, float((a - b).abs().max() / b.abs().max().clamp_min(1e-300)))
    return outputs[0].detach(), worst


def main() -> int:
    interpret(pytest.MonkeyPatch())  # the Numba kernels too: no compiler
    failures = silent = 0
    for case in cases():
        for dtype in (torch.float32, torch.float64):
            with_spikes, worst = compare(case.build(dtype), drive(case, dtype, 13), dtype)
            ok = worst < LIMIT[dtype]
            failures += not ok
            silent += case.spikes and not with_spikes.any()
            print(case, dtype, f"{worst:.1e}", "" if ok else "FAILED")
    for model in (ManySpikes, Signed):
        x = [torch.rand(13, BATCH, NEURONS, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.7]
        _, worst = compare(model(learn="threshold"), x, torch.float32)
        failures += worst >= LIMIT[torch.float32]
        print(model.__name__, f"{worst:.1e}")
    print(f"{failures} failures, {silent} silent")
    return failures


if __name__ == "__main__":
    sys.exit(main() > 0)
