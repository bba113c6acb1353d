"""The spiking memory in one pass: against its equations step by step, forward, backward, cut anywhere, and inside torch.func."""

import pytest
import torch

from snnkit.errors import UserError
from snnkit.layers import L2MU
from snnkit.neurons import reference, surrogate

MS = 1e-3
D = torch.float64


def cell_of(**options):
    g = torch.Generator().manual_seed(1)
    cell = L2MU(
        4, 6, order=5, theta=9 * MS, dt=MS, memory=3, learn_memory=True, generator=g, **options
    ).double()
    with torch.no_grad():
        cell.E_m.weight.normal_(0, 0.3, generator=g)
    return cell


def drive(T=25, B=3, n=4, seed=0):
    return (
        torch.rand(T, B, n, generator=torch.Generator().manual_seed(seed), dtype=D) - 0.2
    ).requires_grad_()


def by_steps(cell, x, state=None):
    rows = []
    for x_t in x.unbind(0):
        y, state = cell.reference_step(x_t, state)
        rows.append(y)
    return torch.stack(rows), state


def state_at(cell, seed=3):
    """A state in the middle of a run, as leaves that want gradients."""
    _, state = by_steps(cell, drive(9, seed=seed))
    flat = [state.h, state.m, *(s.v for s in state[2:])]
    flat = [f.detach().requires_grad_() for f in flat]
    kinds = [type(s) for s in state[2:]]
    return flat, type(state)(flat[0], flat[1], *(k(v) for k, v in zip(kinds, flat[2:], strict=True)))


@pytest.mark.parametrize(
    "fire", [surrogate.ATan(), surrogate.FastSigmoid(5.0)], ids=lambda f: type(f).__name__
)
def test_equals_the_steps_forward_and_backward(fire):
    cell, x = cell_of(surrogate=fire), drive()
    leaves, state = state_at(cell)
    wanted = [x, *leaves, *cell.parameters()]
    found = []
    for run in (cell.scan, lambda x, s: by_steps(cell, x, s)):
        y, end = run(x, state)
        weights = torch.linspace(-1, 1, y.numel(), dtype=D).view_as(y)
        loss = (y * weights).sum() + (end.h * 0.3).sum() + (end.m * weights[:1, :1, :5] * 0.7).sum()
        loss = loss + sum((s.v * (k + 0.5)).sum() for k, s in enumerate(end[2:]))
        found.append((y, end, torch.autograd.grad(loss, wanted)))
    (y, end, grads), (y2, end2, grads2) = found
    assert torch.equal(y, y2) and torch.equal(end.m, end2.m) and 0.02 < float(y.detach().mean()) < 0.9
    for a, b in zip(end[2:], end2[2:], strict=True):
        assert torch.allclose(a.v, b.v, rtol=1e-12)
    for a, b in zip(grads, grads2, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12) and bool(b.any())


def test_steps_and_cuts_are_the_same_bits():
    cell = cell_of().float()
    x = drive(20).detach().float()
    whole, end = cell.scan(x)
    for cut in (1, 7, 19):
        head, state = cell.scan(x[:cut])
        tail, last = cell.scan(x[cut:], state)
        assert torch.equal(torch.cat([head, tail]), whole) and torch.equal(last.hidden.v, end.hidden.v)
    state, rows = None, []
    for x_t in x:
        y, state = cell.step(x_t, state)
        rows.append(y)
    assert torch.equal(torch.stack(rows), whole) and torch.equal(cell(x), whole)


def test_other_ways_to_run_answer_the_same():
    cell, x = cell_of(), drive().detach()
    assert cell._joined(x)
    whole = cell(x)
    with reference.use_reference():
        assert torch.equal(cell(x), whole)
    each = torch.func.vmap(lambda one: cell(one.unsqueeze(1))[:, 0], in_dims=1, out_dims=1)(x)
    assert torch.equal(each, whole)
    cell.neuron_h.compare = ">"  # no longer the neuron that the joined pass knows
    assert not cell._joined(x) and cell(x).shape == whole.shape


def test_a_silent_membrane_ends_at_zero():
    cell = cell_of().float()
    x = torch.zeros(400, 1, 4)
    x[0] = 0.3
    _, end = cell.scan(x)
    for state in end[2:]:
        tiny = state.v[state.v != 0].abs()
        assert not len(tiny) or float(tiny.min()) >= torch.finfo(torch.float32).tiny


def test_a_state_of_another_batch_is_refused():
    cell = cell_of()
    _, state = cell.scan(drive(4, B=3))
    with pytest.raises(UserError, match="belongs to one batch"):
        cell.scan(drive(4, B=2), state)


def test_mixed_precision_runs_step_by_step():
    cell, x = cell_of().float(), drive().detach().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert cell(x).shape == (*x.shape[:2], cell.n_hidden)


def test_transforms_take_the_steps():
    cell, x = cell_of(), drive().detach()
    weights = {name: p.detach() for name, p in cell.named_parameters()}

    def loss(p, x):
        return torch.func.functional_call(cell, p, (x,)).pow(2).sum()

    found = torch.func.grad(loss)(weights, x)
    cell.zero_grad()
    loss(dict(cell.named_parameters()), x).backward()
    for name, p in cell.named_parameters():
        assert torch.allclose(found[name], p.grad), name
