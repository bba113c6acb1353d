"""Parallel spiking neurons: the matrix product, what is causal, time cut anywhere, and SpikingJelly's."""

import doctest

import pytest
import torch
from peer_runs import assert_same, drive, run_ours, theirs

from snnkit.errors import UserError
from snnkit.layers import Linear, Sequential, Stream
from snnkit.neurons import PSN, Decay, LeakyIntegrator, MaskedPSN, SlidingPSN, parallel, surrogate


def test_docstrings():
    found = doctest.testmod(parallel)
    assert found.attempted > 0 and found.failed == 0


def built(kind, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    cell = {
        "psn": lambda: PSN(8, generator=generator),
        "causal": lambda: PSN(8, causal=True, generator=generator),
        "masked": lambda: MaskedPSN(8, order=3, generator=generator),
        "half": lambda: MaskedPSN(8, order=3, strength=0.5, generator=generator),
        "sliding": lambda: SlidingPSN(3),
    }[kind]()
    if kind != "sliding":
        torch.nn.init.constant_(cell.bias, -0.1)
    return cell.to(dtype)


EACH = pytest.mark.parametrize(
    ("kind", "causal"),
    [("psn", False), ("causal", True), ("masked", True), ("half", False), ("sliding", True)],
)


@EACH
def test_a_later_input_changes_an_earlier_spike_only_where_it_may(kind, causal):
    """Seen in the gradient: of the spikes of the first steps by the input of the last."""
    cell, x = built(kind), drive(8, 2, 3).requires_grad_()
    cell(x)[:7].sum().backward()
    assert (float(x.grad[7].abs().max()) == 0.0) == causal


def test_masked_looks_back_at_most_its_order():
    cell, x = built("masked"), drive(8, 2, 3).requires_grad_()
    cell(x)[6].sum().backward()
    assert [bool(row.abs().max() > 0) for row in x.grad] == [False] * 4 + [True] * 3 + [False]


@pytest.mark.parametrize("order", [1, 2, 4, 9])
def test_sliding_can_be_cut_anywhere(order):
    cell, x = SlidingPSN(order), drive(20, 2, 5, high=1.3).float()
    whole, end = cell.scan(x)
    assert 0.02 < whole.mean() < 0.9
    for cut in (0, 1, 3, 19, 20):
        head, middle = cell.scan(x[:cut])
        tail, last = cell.scan(x[cut:], middle)
        assert torch.equal(whole, torch.cat([head, tail])) and torch.equal(end.past, last.past)
    state, rows = None, []
    for x_t in x:
        row, state = cell.step(x_t, state)
        rows.append(row)
    assert torch.equal(whole, torch.stack(rows)) and torch.equal(end.past, state.past)


def test_sliding_begins_as_a_membrane_that_is_never_reset():
    x = drive(30, 1, 4)
    membrane = LeakyIntegrator(tau=Decay(0.5), dt=1e-3)(x)
    assert torch.equal(SlidingPSN(40).double()(x), (membrane >= 1.0).double())


def test_gradient_of_sliding_against_the_sum_written_out():
    cell, x = SlidingPSN(3).double(), drive(12, 2, 3)
    spikes, dx = run_ours(cell, x)
    w, weights = (
        cell.weight.detach(),
        torch.rand(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype),
    )
    h = torch.zeros_like(x)
    for t in range(12):
        for j in range(3):
            if t - 2 + j >= 0:
                h[t] += w[j] * x[t - 2 + j]
    bar = weights / (1 + (torch.pi * (h - 1.0)) ** 2)
    expected, dw = torch.zeros_like(x), torch.zeros_like(w)
    for t in range(12):
        for j in range(3):
            if t - 2 + j >= 0:
                expected[t - 2 + j] += w[j] * bar[t]
                dw[j] += (x[t - 2 + j] * bar[t]).sum()
    assert torch.equal(spikes, (h >= 1.0).double())
    assert torch.allclose(dx, expected) and torch.allclose(cell.weight.grad, dw)
    assert cell.bias.grad.item() == pytest.approx(float(bar.sum()))


def test_in_networks():
    x = (drive(8, 2, 6) > 0.3).float()
    whole = Sequential(Linear(6, 4), PSN(8), Linear(4, 2))
    assert whole.scan(x)[0].shape == (8, 2, 2)
    live = Sequential(Linear(6, 4), SlidingPSN(3))
    stream = Stream(live)
    rows = torch.stack([stream(x_t) for x_t in x])
    assert torch.equal(rows, live(x))


@EACH
def test_compiles_as_one_graph_and_anneals(kind, causal):
    cell, x = built(kind), drive(8, 2, 3).requires_grad_()
    compiled = torch.compile(cell, fullgraph=True, backend="aot_eager")
    gradients = []
    for alpha in (2.0, 5.0):
        cell.surrogate = surrogate.ATan(alpha=alpha)
        (found,) = torch.autograd.grad(cell(x).sum(), x)
        gradients.append(found)
    assert not torch.equal(*gradients)
    (again,) = torch.autograd.grad(compiled(x).sum(), x)
    assert torch.equal(compiled(x), cell(x)) and torch.allclose(again, gradients[1])


def test_mistakes_are_said():
    with pytest.raises(UserError, match="8 steps, got 5"):
        PSN(8)(torch.zeros(5, 1, 2))
    with pytest.raises(UserError, match="SlidingPSN"):
        PSN(8).step(torch.zeros(1, 2))
    with pytest.raises(UserError, match="order"):
        SlidingPSN(0)
    with pytest.raises(UserError, match="strength"):
        MaskedPSN(4, order=2, strength=2.0)
    cell = SlidingPSN(3)
    _, state = cell.scan(torch.zeros(4, 2, 5))
    with pytest.raises(UserError, match="shape"):
        cell.scan(torch.zeros(4, 3, 5), state)
    assert cell(torch.zeros(0, 2, 5)).shape == (0, 2, 5)
    assert cell(torch.zeros(4, 0, 5)).shape == (4, 0, 5)


def test_parallel_neurons_of_spikingjelly():
    neuron, slopes = theirs()
    x = drive(8, 2, 5, high=1.5)
    pairs = [
        (neuron.PSN(T=8, surrogate_function=slopes.ATan()), built("psn")),
        (neuron.MaskedPSN(k=3, T=8, lambda_init=0.5, surrogate_function=slopes.ATan(), step_mode="m"), built("half")),
    ]  # fmt: skip
    for peer, mine in pairs:
        peer.weight.data.copy_(mine.weight)
        peer.bias.data.copy_(mine.bias[:, None])
        assert_same(peer, mine, x)
    peer = neuron.SlidingPSN(k=3, surrogate_function=slopes.ATan(), step_mode="m")
    assert_same(peer, SlidingPSN(3).double(), x)
