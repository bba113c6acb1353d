"""Products with mostly-zero dense input: the results and gradients of torch's product, whichever way is chosen."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from snnkit.errors import UserError
from snnkit.kernels import dense, sparse
from snnkit.kernels.dense import Look, spike_linear
from snnkit.layers import Linear

needs_units = pytest.mark.skipif(
    not dense.can_split(), reason="no bfloat16 units, or torch has no switch for them"
)


def spikes(rows=40, n_in=90, density=0.05, seed=0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    return (torch.rand(rows, n_in, generator=g) < density).to(dtype)


def weights(n_out=70, n_in=90, seed=1, dtype=torch.float32):
    return torch.randn(n_out, n_in, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def any_size(monkeypatch):
    monkeypatch.setattr(dense, "SMALLEST", 0)
    monkeypatch.setattr(sparse, "_SMALL", 0)


@pytest.fixture
def products(monkeypatch):
    """The names of the products that ran."""
    ran = []
    for name in ("gather_rows", "scatter_rows", "split_linear"):
        ours = getattr(dense, name)
        monkeypatch.setattr(
            dense, name, lambda *args, ours=ours, name=name: (ran.append(name), ours(*args))[1]
        )
    return ran


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(0, 40),
    n=st.integers(1, 70),
    density=st.floats(0, 1),
    kind=st.sampled_from(["spikes", "counts", "real", "minus zero"]),
    seed=st.integers(0, 99),
)
def test_a_look_finds_what_is_there(rows, n, density, kind, seed):
    x = spikes(rows, n, density, seed)
    g = torch.Generator().manual_seed(seed)
    if kind == "counts":
        x = x * torch.randint(-3, 256, x.shape, generator=g)
    if kind == "real":
        x = x * torch.rand(x.shape, generator=g)
    if kind == "minus zero":
        x = -x + 0.0 * x
        x[x == 0] = -0.0
    look = Look(x)
    if kind == "real" and look.density == 1.0:
        assert int((x != 0).sum()) > 0  # given up early
        return
    assert look.density == (x != 0).sum().item() / max(1, x.numel())
    assert look.exact == torch.equal(x, x.bfloat16().float())
    pointers, indices, values = look.events()
    where = x.nonzero()
    assert torch.equal(pointers.diff(), torch.bincount(where[:, 0], minlength=rows))
    assert torch.equal(indices.long(), where[:, 1])
    if values is None:
        assert set(x[x != 0].tolist()) <= {1.0}
    else:
        assert torch.equal(values, x[x != 0])


@pytest.mark.parametrize("terms", [0, 3])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.09, 0.3, 1.0])
@pytest.mark.parametrize("graded", [False, True])
def test_results_and_gradients_are_those_of_the_dense_product(any_size, density, graded, terms):
    x = spikes(density=density)
    if graded:
        x = x * torch.randint(-2, 5, x.shape, generator=torch.Generator().manual_seed(2))
    found = []
    for product in (lambda *a: spike_linear(*a, terms=terms), F.linear):
        inputs = [t.clone().requires_grad_() for t in (x, weights(), weights(70, 1)[:, 0])]
        y = product(*inputs)
        bar = torch.sin(torch.arange(y.numel())).view(y.shape)
        found.append((y.detach(), *torch.autograd.grad(y, inputs, bar)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-6 * max(1e-3, float(theirs.abs().max())))


@pytest.mark.parametrize(
    "library, density, expected",
    [
        ("torch", 0.01, ["gather_rows", "scatter_rows"]),
        ("torch", 0.09, ["gather_rows"]),
        ("torch", 0.3, []),
        ("torch", 1.0, []),
        ("oneDNN", 0.03, ["gather_rows", "scatter_rows"]),
        ("oneDNN", 0.09, []),
    ],
)
def test_the_density_decides_each_product(any_size, products, monkeypatch, library, density, expected):
    monkeypatch.setattr(dense.products, "provider", lambda: library)
    weight = weights().requires_grad_()
    spike_linear(spikes(density=density), weight).sum().backward()
    assert products == expected


@needs_units
@pytest.mark.parametrize("terms, limit", [(2, 5e-6), (3, 3e-7)])
def test_terms_of_bfloat16_are_as_exact_as_said(any_size, products, terms, limit):
    before = torch.backends.mkldnn.matmul.fp32_precision
    x, weight = spikes(200, 400, 0.2) * 3, weights(100, 400)
    y = spike_linear(x, weight, terms=terms)
    exact = x.double() @ weight.double().t()
    assert float((y - exact).abs().max() / exact.abs().max()) < limit
    assert products == ["split_linear"]
    assert torch.backends.mkldnn.matmul.fp32_precision == before


@needs_units
def test_input_that_bfloat16_would_round_stays_float32(any_size, products):
    x, weight = torch.rand(200, 400), weights(100, 400)
    assert torch.equal(spike_linear(x, weight, terms=2), spike_linear(x, weight))
    counts = spikes(200, 400, 0.2) * 257  # one more than bfloat16 can count to
    assert torch.equal(spike_linear(counts, weight, terms=2), spike_linear(counts, weight))
    assert products == []


def test_three_terms_hold_every_bit_of_a_weight():
    weight = weights(300, 300)
    assert torch.equal(sum(reversed(dense.split(weight, 3))), weight)
    assert all(torch.equal(t, t.bfloat16().float()) for t in dense.split(weight, 3))


def test_double_precision_and_small_products_are_untouched(products):
    x, weight = spikes(400, 400, 0.01, dtype=torch.float64), weights(300, 400, dtype=torch.float64)
    assert torch.equal(spike_linear(x, weight), F.linear(x, weight))
    x, weight = spikes(4, 9, 0.01), weights(5, 9)
    assert torch.equal(spike_linear(x, weight), F.linear(x, weight))
    assert products == []


def test_the_number_of_threads_changes_no_bit(any_size):
    x, weight, bar = spikes(300, 90, 0.03), weights(), torch.sin(torch.arange(300 * 70.0)).view(300, 70)
    before, outcomes = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            w = weight.clone().requires_grad_()
            y = spike_linear(x, w)
            outcomes.append((y.detach(), *torch.autograd.grad(y, w, bar)))
    finally:
        torch.set_num_threads(before)
    for y, dw in outcomes[1:]:
        assert torch.equal(y, outcomes[0][0]) and torch.equal(dw, outcomes[0][1])


def test_second_and_forward_derivatives_and_vmap(any_size):
    x, weight, bias = spikes(6, 5, 0.03), weights(4, 5), weights(4, 1)[:, 0]
    x[2, 3] = 1
    ours = lambda x, w, b: spike_linear(x, w, b).sin().sum()
    torchs = lambda x, w, b: F.linear(x, w, b).sin().sum()
    for transform in (torch.func.grad, torch.func.hessian):
        for argument in range(3):
            expected = transform(torchs, argument)(x, weight, bias)
            torch.testing.assert_close(transform(ours, argument)(x, weight, bias), expected)
    tangents = (torch.randn_like(x), torch.randn_like(weight), torch.randn_like(bias))
    found = [torch.func.jvp(f, (x, weight, bias), tangents)[1] for f in (ours, torchs)]
    torch.testing.assert_close(*found)
    many = (torch.stack([x, 2 * x]), torch.stack([weight, -weight]), torch.stack([bias, 3 * bias]))
    for in_dims in [(0, None, None), (None, 0, None), (None, None, 0), (0, 0, 0)]:
        args = [m if d == 0 else m[0] for m, d in zip(many, in_dims, strict=True)]
        for transform in (lambda f: f, lambda f: torch.func.grad(f, 1)):
            expected = torch.func.vmap(transform(torchs), in_dims)(*args)
            torch.testing.assert_close(torch.func.vmap(transform(ours), in_dims)(*args), expected)


def test_the_operators_obey_the_rules_of_torch():
    x, weight, bias = spikes(6, 5), weights(4, 5), weights(4, 1)[:, 0]
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(dense._spike_linear, (x, weight, bias, 0), test_utils=tests)
    torch.library.opcheck(dense._spike_linear_weight, (x, torch.randn(6, 4)), test_utils=tests)


def test_autocast_is_respected(any_size):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert spike_linear(spikes(), weights()).dtype is torch.bfloat16


def test_not_a_number_is_not_lost(any_size):
    x = spikes(density=0.01)
    x[3, 5] = float("nan")
    y = spike_linear(x, weights())
    assert y[3].isnan().all() and not y[4].isnan().any()


def test_the_layer_runs_event_driven_on_a_dense_sequence(products):
    layer = Linear(400, 300)
    x = spikes(60, 400, 0.02).view(20, 3, 400)
    y = layer(x)
    assert products == ["gather_rows"]
    torch.testing.assert_close(y, F.linear(x, layer.weight))
    np.testing.assert_array_equal(y.shape, (20, 3, 300))
    with pytest.raises(UserError, match="terms is 0, 2 or 3"):
        Linear(4, 3, terms=1)
