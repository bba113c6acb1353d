"""The event-driven product equals its naive twin and the dense product, with every gradient, for any number of threads."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive_sparse import naive_event_linear, naive_event_linear_weight

from snnkit.events import EventTensor
from snnkit.kernels import sparse
from snnkit.kernels.sparse import event_linear


def case(rows=24, n_in=13, n_out=7, density=0.3, graded=False, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    x = (torch.rand(rows, 1, n_in, generator=g) < density).float()
    if graded:
        x = x * torch.randint(-2, 4, x.shape, generator=g)
    weight = torch.randn(n_out, n_in, generator=g, dtype=dtype)
    bias = torch.randn(n_out, generator=g, dtype=dtype)
    return EventTensor.from_dense(x, 1e-3), x[:, 0].to(dtype), weight, bias


def run(ev, weight, bias=None):
    return event_linear(ev.rowptr, ev.indices, ev.values, weight, bias)


@pytest.fixture(params=["one block", "blocks of columns"], autouse=True)
def either_packing(request, monkeypatch):
    """Wide outputs are cut into blocks of columns: here both ways are taken, with a last block that is not full."""
    if request.param == "blocks of columns":
        monkeypatch.setattr(sparse, "_WIDTH", 3)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 9),
    n_in=st.integers(1, 12),
    n_out=st.integers(1, 9),
    density=st.floats(0, 1),
    graded=st.booleans(),
    seed=st.integers(0, 99),
)
def test_results_and_weight_gradient_equal_naive_loops(rows, n_in, n_out, density, graded, seed):
    ev, x, weight, bias = case(rows, n_in, n_out, density, graded, seed)
    weight.requires_grad_()
    y = run(ev, weight, bias)
    expected = naive_event_linear(x.numpy(), weight.detach().numpy(), bias.numpy())
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-12, atol=1e-12)
    grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=y.dtype)
    (dw,) = torch.autograd.grad(y, weight, grad)
    expected = naive_event_linear_weight(x.numpy(), grad.numpy())
    np.testing.assert_allclose(dw.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 2e-6), (torch.float64, 1e-13)])
@pytest.mark.parametrize("graded", [False, True])
def test_results_and_gradients_equal_the_dense_product(dtype, tolerance, graded):
    ev, x, weight, bias = case(200, 90, 70, 0.1, graded, dtype=dtype)
    results = []
    for product in (lambda w, b: run(ev, w, b), lambda w, b: torch.nn.functional.linear(x, w, b)):
        w, b = weight.clone().requires_grad_(), bias.clone().requires_grad_()
        y = product(w, b)
        y.square().sum().backward()
        results.append((y.detach(), w.grad, b.grad))
    for ours, dense in zip(*results, strict=True):
        torch.testing.assert_close(ours, dense, rtol=0, atol=tolerance * float(dense.abs().max()))


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    monkeypatch.setattr(sparse, "_SMALL", 0)
    ev, _, weight, bias = case(300, 50, 40, 0.2, True, dtype=torch.float32)
    before, outcomes = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            w = weight.clone().requires_grad_()
            y = run(ev, w, bias)
            y.sum().backward()
            outcomes.append((y.detach(), w.grad))
    finally:
        torch.set_num_threads(before)
    for y, dw in outcomes[1:]:
        assert torch.equal(y, outcomes[0][0]) and torch.equal(dw, outcomes[0][1])


def test_values_of_one_are_no_values():
    ev, _, weight, bias = case()
    ones = torch.ones(ev.nnz)
    assert torch.equal(event_linear(ev.rowptr, ev.indices, ones, weight, bias), run(ev, weight, bias))


@pytest.mark.parametrize("graded", [False, True])
def test_the_operators_obey_the_rules_of_torch(graded):
    ev, _, weight, bias = case(6, 5, 4, graded=graded)
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(
        sparse._event_linear, (ev.rowptr, ev.indices, ev.values, weight, bias), test_utils=tests
    )
    torch.library.opcheck(
        sparse._event_linear_weight,
        (ev.rowptr, ev.indices, ev.values, torch.randn(6, 4), 5),
        test_utils=tests,
    )


def test_derivatives_of_any_order():
    ev, _, weight, bias = case(6, 5, 4, graded=True)
    f = lambda w, b: run(ev, w, b).tanh()
    inputs = (weight.requires_grad_(), bias.requires_grad_())
    assert torch.autograd.gradcheck(f, inputs) and torch.autograd.gradgradcheck(f, inputs)


def test_function_transforms():
    ev, x, weight, bias = case(6, 5, 4)
    dense = lambda w, b: torch.nn.functional.linear(x, w, b).square().sum()
    ours = lambda w, b: run(ev, w, b).square().sum()
    many_w, many_b = torch.randn(3, 4, 5, dtype=x.dtype), torch.randn(3, 4, dtype=x.dtype)
    for in_dims, args in [
        ((0, 0), (many_w, many_b)),
        ((0, None), (many_w, bias)),
        ((None, 0), (weight, many_b)),
    ]:
        for f, g in [(ours, dense), (torch.func.grad(ours), torch.func.grad(dense))]:
            expected = torch.func.vmap(g, in_dims)(*args)
            torch.testing.assert_close(torch.func.vmap(f, in_dims)(*args), expected)
    last = torch.func.vmap(torch.func.grad(ours), (2, None))(many_w.movedim(0, 2), bias)
    torch.testing.assert_close(last, torch.func.vmap(torch.func.grad(dense), (0, None))(many_w, bias))


def test_events_themselves_are_no_axis_of_vmap():
    ev, _, weight, _ = case(6, 5, 4)
    values = torch.ones(2, ev.nnz)
    with pytest.raises(NotImplementedError, match="not over events"):
        torch.func.vmap(lambda v: event_linear(ev.rowptr, ev.indices, v, weight))(values)


def test_no_events_and_no_rows():
    weight, bias = torch.randn(4, 5), torch.randn(4)
    silent = EventTensor.from_dense(torch.zeros(3, 2, 5), 1e-3)
    assert torch.equal(run(silent, weight, bias), bias.expand(6, 4))
    assert run(silent[:0], weight).shape == (0, 4)
