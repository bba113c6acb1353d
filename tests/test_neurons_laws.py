"""The laws that every neuron obeys; one list of neurons, one set of tests."""

import numpy as np
import pytest
import torch
from laws import (
    ALL,
    COMPILED,
    SENDS,
    THROUGH,
    definition_of,
    interpret,
    leaves,
    primitive,
    relative_error,
    run,
    run_reference,
    same_bits,
    smooth_language,
)

from snnkit.kernels.neurons import loops_numba, operator, run_numba
from snnkit.kernels.spread import spread
from snnkit.neurons import LIF, surrogate, use_reference

every = pytest.mark.parametrize("case", ALL, ids=str)
compiled = pytest.mark.parametrize("case", COMPILED, ids=str)
precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
SMOOTH = [c for c in ALL if c.spikes and not c.detached and c.compare == ">=" and c.model not in THROUGH]


@pytest.mark.parametrize("case", [c for c in ALL if c.spikes], ids=str)
def test_the_drive_neither_silences_nor_saturates_the_neuron(case):
    with use_reference():
        spikes = case.build()(case.drive())
    sent = SENDS.get(case.model, (0.0, 1.0))
    assert sent is None or set(spikes.unique().tolist()) <= set(sent)
    assert 0.01 < (spikes != 0).double().mean() < 0.8


@precisions
@every
def test_kernels_agree_with_the_reference(case, dtype, monkeypatch):
    interpret(monkeypatch)
    cell, x = case.build(dtype), case.drive(dtype, steps=37)
    results, gradients = run(cell, x)
    expected, autograd = run_reference(cell, x)
    assert same_bits(results, expected)
    assert relative_error(gradients, autograd) < (1e-10 if dtype is torch.float64 else 1e-4)


@precisions
@compiled
def test_the_compiler_changes_no_bit(case, dtype, monkeypatch):
    cell = case.build(dtype)
    for steps in (1, 3, 70):  # one step, less than a chunk, an odd number of chunks
        x = case.drive(dtype, steps=steps)
        results, gradients = run(cell, x)
        expected, autograd = run_reference(cell, x)
        assert same_bits(results, expected)
        if steps == 70:
            assert relative_error(gradients, autograd) < (1e-10 if dtype is torch.float64 else 1e-4)
        with monkeypatch.context() as patch:
            interpret(patch)
            again, gradients_again = run(cell, x)
        assert same_bits(results, again) and same_bits(gradients, gradients_again)


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_adjoint_agrees_with_finite_differences_of_the_smooth_network(case, monkeypatch):
    """With `fire` replaced by the function whose derivative the surrogate is, the network is smooth."""
    hyper = case.surrogate.hyper
    soft = primitive(type(case.surrogate))
    monkeypatch.setattr(loops_numba, "NUMBA", smooth_language("soft({0})"))
    interpret(monkeypatch, soft=lambda u: soft(u, *hyper))
    cell, x = case.build(), case.drive(steps=9, batch=1, gentle=True)
    _, gradients = run(cell, x)
    generator = torch.Generator().manual_seed(3)

    def loss():
        outputs, end = cell.scan(x)
        generator.manual_seed(3)
        weights = [torch.rand(r.shape, generator=generator, dtype=torch.float64) for r in (outputs, *end)]
        return float(sum((r * w).sum() for r, w in zip((outputs, *end), weights, strict=True)))

    checked = 0
    with torch.no_grad():
        for tensor, gradient in zip((*leaves(x), *cell.parameters()), gradients, strict=True):
            flat = tensor.view(-1)
            unit = float(flat.abs().max())  # an ampere is not the step for picoamperes
            for k in range(0, flat.numel(), max(1, flat.numel() // 4)):
                before, step = flat[k].item(), 1e-6 * unit
                flat[k] = before + step
                above = loss()
                flat[k] = before - step
                below = loss()
                flat[k] = before
                assert (above - below) / 2e-6 == pytest.approx(
                    gradient.view(-1)[k].item() * unit, rel=1e-5, abs=1e-7
                )
                checked += 1
    assert checked > 4


def flat_call(case, steps=41, size=150, dtype=torch.float32):
    """What the kernels of a case take: inputs [T, M], constants, states and gradients [M]."""
    cell = case.build(dtype)
    x = case.drive(dtype, steps=steps, batch=size // 3)
    inputs = [t.detach() for t in leaves(x)]
    shape = inputs[0].shape[1:]
    constants = [spread(v.detach().to(dtype), shape) for v in cell._constants(inputs[0], shape[1:]).values()]
    states = [torch.zeros(shape, dtype=dtype) for _ in cell.equation.states]
    return definition_of(cell), inputs, constants, states, cell._hyper


def kernel_results(call, *, chunk, tile):
    definition, inputs, constants, states, hyper = call
    found = run_numba.scan(definition, chunk, inputs, constants, states, tile=tile)
    k, outputs = len(states), definition.outputs
    generator = torch.Generator().manual_seed(5)
    bars = [torch.rand(t.shape, generator=generator).to(t.dtype) for t in found[: outputs + k]]
    wanted = [f"port_{p}" for p in definition.ports] + [f"const_{c}" for c in definition.constants]
    back = run_numba.adjoint(
        definition,
        chunk,
        " ".join(wanted),
        hyper,
        inputs,
        constants,
        found[outputs + k :],
        bars[:outputs],
        bars[outputs:],
        tile=tile,
    )
    return [*found[: outputs + k], *back]


@compiled
def test_chunks_tiles_and_threads_change_no_bit(case, monkeypatch):
    call = flat_call(case)
    expected = kernel_results(call, chunk=41, tile=150)
    for chunk, tile in [(1, 150), (7, 64), (64, 7), (8, 1), (41, 149)]:
        assert same_bits(kernel_results(call, chunk=chunk, tile=tile), expected)
    monkeypatch.setattr(run_numba, "SMALL", 0)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert same_bits(kernel_results(call, chunk=7, tile=16), expected)
    finally:
        torch.set_num_threads(before)


def test_threads_change_no_bit_of_a_shared_parameter(monkeypatch):
    monkeypatch.setattr(run_numba, "SMALL", 0)
    cell = LIF(tau=0.02, dt=1e-3, learn=("tau", "threshold"))
    x = torch.rand(30, 3, 5000, generator=torch.Generator().manual_seed(0))
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            cell.zero_grad()
            cell(x).sum().backward()
            found.append([p.grad.clone() for p in cell.parameters()])
    finally:
        torch.set_num_threads(before)
    assert same_bits(found[0], found[1]) and same_bits(found[0], found[2])


@every
def test_cutting_time_anywhere_changes_no_bit(case, monkeypatch):
    interpret(monkeypatch)
    cell, x = case.build(torch.float32), case.drive(torch.float32, steps=40)

    def part(a, b):
        cut = tuple(t[a:b] for t in leaves(x))
        return cut if len(cut) > 1 else cut[0]

    whole, end = cell.scan(x)
    for cut in (1, 32, 39):
        head, middle = cell.scan(part(0, cut))
        tail, same_end = cell.scan(part(cut, 40), middle)
        assert torch.equal(whole, torch.cat([head, tail])) and same_bits(list(end), list(same_end))
    state, rows = None, []
    for t in range(40):
        row, state = cell.step(tuple(q[t] for q in leaves(x)) if isinstance(x, tuple) else x[t], state)
        rows.append(row)
    assert torch.equal(whole, torch.stack(rows)) and same_bits(list(end), list(state))
    assert type(state) is type(end) and state._fields == cell.equation.states


@compiled
def test_permuted_neurons_give_permuted_results(case):
    call = flat_call(case, size=66)
    definition, inputs, constants, states, _ = call
    order = torch.randperm(22 * 3, generator=torch.Generator().manual_seed(1)).view(22, 3)

    def pick(t):
        return t.reshape(*t.shape[: t.dim() - 2], -1)[..., order]

    expected = run_numba.scan(definition, 8, inputs, constants, states)
    found = run_numba.scan(
        definition, 8, [pick(t) for t in inputs], [pick(t) for t in constants], [pick(t) for t in states]
    )
    assert same_bits(found, [pick(t) for t in expected])


@compiled
def test_only_wanted_gradients_are_computed(case, monkeypatch):
    interpret(monkeypatch)
    x = case.drive()
    fixed = case.build()
    for p in fixed.parameters():
        p.requires_grad_(False)
    fixed(x).sum().backward()
    alone = [t.grad.clone() for t in leaves(x)]
    for t in leaves(x):
        t.grad = None
    learned = case.build()
    learned(x).sum().backward()
    assert same_bits(alone, [t.grad for t in leaves(x)])
    assert all(p.grad is None for p in fixed.parameters())
    expected = [p.grad.clone() for p in learned.parameters()]
    learned.zero_grad()
    detached = tuple(t.detach() for t in leaves(x))
    learned(detached if len(detached) > 1 else detached[0]).sum().backward()
    assert same_bits(expected, [p.grad for p in learned.parameters()])


def test_a_new_slope_compiles_nothing(monkeypatch):
    x = torch.rand(20, 2, 3, requires_grad=True)
    keys = set()
    gradients = []
    for alpha in (2.0, 5.0):
        cell = LIF(tau=0.02, dt=1e-3, surrogate=surrogate.ATan(alpha=alpha))
        x.grad = None
        cell(x).sum().backward()
        keys.add(cell._key)
        gradients.append(x.grad)
    assert len(keys) == 1 and not torch.equal(*gradients)
    cell.surrogate = surrogate.ATan(alpha=2.0)  # annealing
    x.grad = None
    cell(x).sum().backward()
    assert torch.equal(x.grad, gradients[0])


def test_silence_decays_to_zero_and_stays_out_of_subnormal_numbers():
    cell = LIF(tau=2e-3, dt=1e-3)
    x = torch.zeros(500, 1, 4)
    x[0] = 0.7
    x.requires_grad_()
    state = cell.scan(x)[1]
    with use_reference():
        expected = cell.scan(x)[1]
    assert torch.equal(state.v, torch.zeros(1, 4)) and torch.equal(expected.v, state.v)
    state.v.sum().backward()
    kept = x.grad[x.grad != 0].abs()
    assert float(kept.min()) >= torch.finfo(torch.float32).tiny * 0.5 and kept.numel() > 4 * 100


def test_a_nan_is_not_lost():
    x = torch.ones(5, 1, 2)
    x[2, 0, 1] = float("nan")
    _, state = LIF(tau=0.02, dt=1e-3).scan(x)
    assert torch.isnan(state.v).tolist() == [[False, True]]


def test_chunk_is_near_the_root_of_the_sequence():
    assert [operator.default_chunk(t) for t in (1, 500, 4096, 10_000, 100_000)] == [32, 32, 64, 128, 256]
    assert all(np.ceil(t / operator.default_chunk(t)) < 0.05 * t for t in (100, 1000, 100_000))
