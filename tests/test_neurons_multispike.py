"""Several spikes in one step: how many in all, where the gradient is, and what SpikingJelly counts."""

import doctest

import pytest
import torch
from peer_runs import assert_same, drive, theirs

from snnkit.errors import UserError
from snnkit.neurons import IntegerLIF, MultiSpikeIF, multispike, surrogate


def test_docstrings():
    found = doctest.testmod(multispike)
    assert found.attempted > 0 and found.failed == 0


def test_it_sends_the_whole_part_of_its_input():
    eighths = torch.randint(0, 40, (50, 2, 6), generator=torch.Generator().manual_seed(0)) / 8.0
    spikes = MultiSpikeIF(threshold=0.5)(eighths)
    assert torch.equal(spikes.sum(0), (eighths.sum(0) / 0.5).floor())
    assert float(spikes.max()) > 5


def test_nothing_is_sent_below_zero_and_bounds_hold():
    x = drive(50, 2, 6, low=-2.0, high=2.5)
    spikes, _ = MultiSpikeIF(threshold=0.5, n_max=2.0, v_min=-0.25).scan(x)
    assert float(spikes.min()) == 0.0 and float(spikes.max()) == 2.0
    _, state = MultiSpikeIF(threshold=0.5, v_min=-0.25).scan(torch.full((9, 1, 1), -1.0))
    assert state.v.item() == -0.25


def test_gradient_is_the_surrogates_at_the_nearest_threshold():
    u = torch.tensor([-0.4, 0.1, 0.45, 0.6, 0.9, 1.6], dtype=torch.float64).view(1, 6, 1).requires_grad_()
    MultiSpikeIF(threshold=0.5, surrogate=surrogate.ATan(alpha=2.0))(u).sum().backward()
    nearest = torch.tensor([0.5, 0.5, 0.5, 0.5, 1.0, 1.5], dtype=torch.float64).view(1, 6, 1)
    expected = surrogate.ATan.derivative((u - nearest) / 0.5, 2.0) / 0.5
    assert torch.allclose(u.grad, expected)


def test_above_the_threshold_only():
    x = torch.tensor([[[0.5, 1.0, 1.1]]])
    assert MultiSpikeIF(threshold=0.5)(x).flatten().tolist() == [1.0, 2.0, 2.0]
    assert MultiSpikeIF(threshold=0.5, compare=">")(x).flatten().tolist() == [0.0, 1.0, 2.0]


def test_integer_lif_rounds_and_clips_and_its_gradient_is_a_box():
    u = torch.tensor([-0.6, 0.2, 0.7, 2.3, 9.0], dtype=torch.float64).view(1, 5, 1).requires_grad_()
    spikes = IntegerLIF(tau=4e-3 / 3, dt=1e-3, threshold=0.5)(u)
    assert spikes.flatten().tolist() == [0.0, 0.0, 1.0, 4.0, 4.0]  # of u/threshold -1.2, 0.4, 1.4, 4.6, 18
    spikes.sum().backward()
    assert u.grad.flatten().tolist() == [0.0, 2.0, 2.0, 0.0, 0.0]


def test_mistakes_are_said():
    with pytest.raises(UserError, match="positive n_max"):
        MultiSpikeIF(n_max=0)


@pytest.mark.parametrize("detached", [False, True])
def test_integer_lif_of_spikingjelly(detached):
    neuron, _ = theirs()
    mine = IntegerLIF(tau=4e-3 / 3, dt=1e-3, detach_reset=detached)
    assert_same(neuron.ILIFNode(detach_reset=detached), mine, drive(60, 2, 5, low=-0.8, high=3.0))
