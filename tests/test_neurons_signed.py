"""Signed spikes: what is transmitted, both thresholds, and what SpikingJelly sends."""

import doctest

import pytest
import torch
from peer_runs import assert_same, drive, theirs

from snnkit.errors import UserError
from snnkit.neurons import SignedIF, TernaryIF, TernaryLIF, signed, surrogate


def test_docstrings():
    found = doctest.testmod(signed)
    assert found.attempted > 0 and found.failed == 0


def test_the_running_sum_is_transmitted_within_one_threshold():
    x = drive(400, 3, 4, low=-0.7, high=0.7)
    spikes = TernaryIF(threshold=0.7)(x)
    assert float((x.cumsum(0) - 0.7 * spikes.cumsum(0)).abs().max()) < 0.7 + 1e-9
    assert set(spikes.unique().tolist()) == {-1.0, 0.0, 1.0}


def test_it_is_odd_in_its_input():
    x = drive(60, 2, 3, low=-0.9, high=0.9)
    cell = TernaryLIF(tau=9e-3, dt=1e-3)
    assert torch.equal(cell(-x), -cell(x))


def test_gradient_has_a_bump_at_either_threshold():
    u = torch.linspace(-2.0, 2.0, 9, dtype=torch.float64).view(1, 9, 1).requires_grad_()
    slope = surrogate.ATan(alpha=2.0)
    TernaryIF(surrogate=slope, threshold_below=0.5)(u).sum().backward()
    expected = slope.derivative(u - 1.0, 2.0) + slope.derivative(-u - 0.5, 2.0)
    assert torch.allclose(u.grad, expected)


def test_reset_to_zero_follows_either_spike():
    _, state = TernaryIF(reset="zero").scan(torch.tensor([[[1.7, -1.7, 0.3]]]))
    assert state.v.flatten().tolist() == pytest.approx([0.0, 0.0, 0.3])


def test_signed_if_takes_back_only_what_was_sent():
    x = drive(300, 4, 5, low=-1.0, high=0.9)
    spikes, state = SignedIF().scan(x)
    total = spikes.cumsum(0)
    assert float(total.min()) == 0.0 and float(spikes.min()) == -1.0 and float(spikes.max()) == 1.0
    assert torch.equal(total[-1], state.sent)


def test_signed_if_unsends_what_came_too_early():
    """Positive input first, then negative: the plain neuron is wrong for ever, the signed one is not."""
    x = torch.cat(
        [torch.full((4, 1, 1), 1.0), torch.full((4, 1, 1), -1.0)]
    )  # sum 0, so the rectified sum is 0
    spikes = SignedIF()(x).flatten().tolist()
    assert sum(spikes) == 0.0 and spikes[:4] == [1.0] * 4


def test_mistakes_are_said():
    with pytest.raises(UserError, match="positive threshold"):
        TernaryIF(threshold=0.0)
    with pytest.raises(UserError, match="threshold_below"):
        TernaryIF(learn="threshold_below")


@pytest.mark.parametrize("v_reset", [0.0, None])
def test_ternary_neurons_of_spikingjelly(v_reset):
    neuron, slopes = theirs()
    # theirs resets to zero by 1 - (p + n), ours by (1 - p)·(1 - n): the same numbers, another gradient
    options = {"reset": "subtract"} if v_reset is None else {"reset": "zero", "detach_reset": True}
    given = {"v_reset": v_reset, "detach_reset": v_reset is not None, "surrogate_function": slopes.ATan()}
    x = drive(60, 2, 5, low=-0.9, high=0.9)
    assert_same(neuron.TernaryIFNode(**given), TernaryIF(**options), x)
    peer = neuron.TernaryLIFNode(tau=3.0, decay_input=False, **given)
    assert_same(peer, TernaryLIF(tau=3e-3, dt=1e-3, solver="euler", **options), 1.5 * x)
