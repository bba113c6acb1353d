"""Event-driven convolutions: the same numbers as torch's on the dense rows, forward, gradients, for any number of threads."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import snnkit
from snnkit.errors import UserError
from snnkit.kernels.conv import event_conv2d
from snnkit.layers import conv as layer

pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


def events(seed: int, density: float, *shape: int, counts: bool = False) -> snnkit.EventTensor:
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(*shape, generator=generator) < density).double()
    if counts:
        x *= torch.randint(1, 5, shape, generator=generator)
    return snnkit.EventTensor.from_dense(x, dt=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 99),
    pairs,
    pairs,
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.booleans(),
    st.booleans(),
)
def test_equals_the_dense_convolution_for_any_geometry(seed, kernel, stride, padding, counts, with_bias):
    generator = torch.Generator().manual_seed(seed)
    channels, out, height, width = (int(torch.randint(1, 5, (), generator=generator)) for _ in range(4))
    height, width = height + kernel[0], width + kernel[1]
    ev = events(seed, 0.3, 2, 3, channels, height, width, counts=counts)
    weight = torch.randn(out, channels, *kernel, dtype=torch.float64, generator=generator, requires_grad=True)
    bias = (
        torch.randn(out, dtype=torch.float64, generator=generator, requires_grad=True) if with_bias else None
    )
    wanted = [weight] if bias is None else [weight, bias]
    values = None if ev.values is None else ev.values.double()
    sizes = {"size": (height, width), "stride": stride, "padding": padding}
    y = event_conv2d(ev.rowptr, ev.indices, values, weight, bias, **sizes)
    dense = ev.dense(torch.float64).flatten(0, 1)
    expected = F.conv2d(dense, weight, bias, stride, padding)
    torch.testing.assert_close(y, expected)
    grad = torch.randn(y.shape, dtype=torch.float64, generator=generator)
    for ours, theirs in zip(
        torch.autograd.grad(y, wanted, grad), torch.autograd.grad(expected, wanted, grad), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_gradients_of_first_and_second_order_match_finite_differences():
    ev = events(1, 0.4, 2, 1, 2, 5, 4)

    def run(weight, bias):
        return event_conv2d(
            ev.rowptr, ev.indices, ev.values, weight, bias, size=(5, 4), stride=(2, 1), padding=(1, 0)
        )

    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 2, 3, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    bias = torch.randn(3, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(run, (weight, bias))
    assert torch.autograd.gradgradcheck(run, (weight, bias))


def test_threads_change_no_bit():
    ev = events(2, 0.05, 20, 4, 2, 40, 40)
    net = snnkit.Conv2d(2, 16, 5, padding=2, bias=True)
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            net.zero_grad()
            y = event_conv2d(
                ev.rowptr,
                ev.indices,
                None,
                net.weight,
                net.bias,
                size=(40, 40),
                stride=(1, 1),
                padding=(2, 2),
            )
            y.square().sum().backward()
            results.append((y.detach().clone(), net.weight.grad.clone()))
    finally:
        torch.set_num_threads(before)
    for y, dw in results[1:]:
        assert torch.equal(y, results[0][0]) and torch.equal(dw, results[0][1])


@pytest.mark.parametrize("density", [0.0, 0.01, 0.3])
def test_the_layer_takes_events_sparse_or_not(density):
    ev = events(3, density, 6, 2, 2, 16, 12, counts=True)
    net = snnkit.Conv2d(2, 4, 3, stride=2, padding=1, bias=True, generator=torch.Generator().manual_seed(0))
    torch.nn.init.normal_(net.bias)
    assert (ev.density <= layer.CROSSOVER) == (density < 0.1)
    y, expected = net(ev), net(ev.dense())
    torch.testing.assert_close(y, expected)
    sums = [torch.autograd.grad(out.pow(2).sum(), list(net.parameters())) for out in (y, expected)]
    torch.testing.assert_close(sums[0], sums[1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("options", [{"groups": 2}, {"dilation": 2}, {"padding": "same"}])
def test_what_the_kernel_does_not_know_is_made_dense(options):
    ev = events(4, 0.01, 3, 2, 2, 9, 9)
    net = snnkit.Conv2d(2, 4, 3, **options)
    torch.testing.assert_close(net(ev), net(ev.dense()))


def test_networks_trace_and_train_on_events():
    ev = events(5, 0.02, 8, 3, 2, 12, 12)
    net = snnkit.Sequential(
        snnkit.Conv2d(2, 4, 3, padding=1),
        snnkit.LIF(tau=10e-3, dt=1e-3),
        snnkit.Flatten(),
        snnkit.Linear(576, 3),
    )
    with snnkit.trace(net) as sparse:
        y = net(ev)
    with snnkit.trace(net) as dense:
        torch.testing.assert_close(net(ev.dense()), y)
    assert sparse.as_dict() == dense.as_dict() if hasattr(sparse, "as_dict") else str(sparse) == str(dense)
    y.sum().backward()
    assert net[0].weight.grad.abs().sum() > 0


def test_a_kernel_that_does_not_fit_is_refused():
    net = snnkit.Conv2d(2, 4, 5)
    for x in (events(6, 0.01, 3, 2, 2, 4, 9), torch.zeros(3, 2, 2, 4, 9)):
        with pytest.raises(UserError, match="kernel of 5 does not fit into 4 rows"):
            net(x)


def test_no_events_and_no_rows():
    net = snnkit.Conv2d(2, 3, 3, bias=True)
    torch.nn.init.ones_(net.bias)
    assert torch.equal(net(events(0, 0.0, 2, 1, 2, 5, 5)), torch.ones(2, 1, 3, 3, 3))
    assert net(events(0, 0.0, 0, 1, 2, 5, 5)).shape == (0, 1, 3, 3, 3)
