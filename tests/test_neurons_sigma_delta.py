"""Signals sent as their changes: error bounds, exactness at threshold zero, work in proportion to events."""

import doctest

import pytest
import torch
from peer_runs import drive

from snnkit.errors import UserError
from snnkit.layers import Linear, Sequential
from snnkit.neurons import DeltaEncoder, SigmaDecoder, SigmaDelta, sigma_delta


def test_docstrings():
    found = doctest.testmod(sigma_delta)
    assert found.attempted > 0 and found.failed == 0


def slow_signal():
    t = torch.arange(2000, dtype=torch.float64)[:, None, None] * 0.01
    return torch.sin(t * torch.tensor([0.7, 1.0, 2.3], dtype=torch.float64))


@pytest.mark.parametrize(
    ("send", "low", "high"), [("round", 0.049, 0.05), ("trunc", 0.09, 0.1), ("graded", 0.09, 0.1)]
)
def test_the_receiver_is_off_by_at_most_this(send, low, high):
    x = slow_signal()
    y = SigmaDecoder()(DeltaEncoder(threshold=0.1, send=send)(x))
    assert low < float((y - x).abs().max()) <= high + 1e-12


@pytest.mark.parametrize("send", ["round", "trunc"])
def test_what_is_sent_are_multiples_of_the_threshold(send):
    sent = DeltaEncoder(threshold=0.125, send=send)(drive(60, 2, 3).float())
    assert torch.equal((sent / 0.125).round() * 0.125, sent) and float(sent.abs().max()) > 0.125


def network(threshold):
    torch.manual_seed(0)
    first, second = Linear(3, 8), Linear(8, 2)
    net = Sequential(
        DeltaEncoder(threshold=threshold), first,
        SigmaDelta(threshold=threshold, bias=0.1), second, SigmaDecoder(),
    ).double()  # fmt: skip
    return net, lambda x: second(torch.relu(first(x) + 0.1))


def test_at_threshold_zero_the_network_is_the_ordinary_one():
    net, ordinary = network(0.0)
    x = slow_signal()
    assert torch.allclose(net(x), ordinary(x), atol=1e-10)


def test_a_larger_threshold_sends_less():
    x, events = slow_signal(), []
    for threshold in (0.0, 0.02, 0.1):
        net, ordinary = network(threshold)
        events.append(int((net[:2][0](x) != 0).sum()))
        assert float((net(x) - ordinary(x)).detach().abs().max()) < 20 * threshold + 1e-9
    assert events[0] > 2 * events[1] > 4 * events[2] > 0


@pytest.mark.parametrize("send", ["graded", "round", "trunc"])
def test_gradient_is_straight_through(send):
    """What was sent so far follows the signal, so its derivative is that of the last input."""
    x = drive(6, 1, 2).requires_grad_()
    DeltaEncoder(threshold=0.3, send=send).scan(x)[1].sent.sum().backward()
    assert torch.equal(x.grad[-1], torch.ones(1, 2).double())
    assert torch.allclose(x.grad[:-1], torch.zeros(5, 1, 2).double())


def test_mistakes_are_said():
    with pytest.raises(UserError, match="send"):
        DeltaEncoder(threshold=0.1, send="rounded")
    with pytest.raises(UserError, match="> 0"):
        DeltaEncoder(threshold=0.0, send="round")
    with pytest.raises(UserError, match="smoothly"):
        DeltaEncoder(threshold=0.1, learn="threshold")
    with pytest.raises(UserError, match="activation"):
        SigmaDelta(threshold=0.1, activation="tanh")
