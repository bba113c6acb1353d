"""The gated neuron at the ends of its gates is a known one; in between it is SpikingJelly's."""

import doctest

import pytest
import torch
from peer_runs import assert_same, drive, theirs

from snnkit.errors import UserError
from snnkit.neurons import LIF, Decay, GatedLIF, gated


def test_docstrings():
    found = doctest.testmod(gated)
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize("hard", [0.0, 1.0])
def test_with_open_gates_it_is_lif_with_a_late_reset(hard):
    cell = GatedLIF(
        decay=0.8, threshold=0.6, soft_reset=0.5, gate_leak=1.0, gate_input=0.0, gate_reset=hard, learn=()
    )
    v, s, rows = torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.float64), []
    x = drive(60, 2, 3, high=0.6)
    for x_t in x:
        v = 0.8 * v + x_t - (0.8 * v * s if hard else 0.5 * s)
        s = (v >= 0.6).double()
        rows.append(s)
    assert torch.equal(cell(x), torch.stack(rows))
    if hard:
        late = LIF(tau=Decay(0.8), dt=1e-3, threshold=0.6, reset="none")
        quiet = x.clamp_max(0.1)  # no spike, no reset: the same membrane
        assert torch.allclose(cell.scan(quiet)[1].v, late.scan(quiet)[1].v)


def test_closed_leak_gate_loses_an_amount():
    cell = GatedLIF(drop=0.1, threshold=1.0, gate_leak=0.0, gate_input=0.0, learn=())
    _, state = cell.scan(torch.tensor([0.5, 0.0, 0.0]).view(3, 1, 1))
    assert state.v.item() == pytest.approx(0.5 - 3 * 0.1)


def test_all_eight_are_learned_and_stay_fractions():
    cell = GatedLIF(gate_leak=[0.4, 0.6])
    cell(drive(40, 2, 2).float()).sum().backward()
    assert len(list(cell.parameters())) == 8
    assert all(float(p.grad.abs().max()) > 0 for p in cell.parameters())
    with torch.no_grad():
        for p in cell.parameters():
            p.add_(50.0)
    assert all(0 <= float(cell.fraction(n).detach().max()) <= 1 for n in gated.FRACTIONS)
    with pytest.raises(UserError, match="0 < decay < 1"):
        GatedLIF(decay=1.0)
    with pytest.raises(UserError, match="0 <= decay <= 1"):
        GatedLIF(decay=1.1, learn=())


def test_gated_lif_of_spikingjelly():
    neuron, slopes = theirs()
    peer = neuron.GatedLIFNode(T=24, inplane=3, surrogate_function=slopes.ATan()).double()
    mine = GatedLIF(drop=0.5 / 48).double()
    names = {
        "decay": peer.tau, "drop": peer.linear_decay, "threshold": peer.v_threshold, "soft_reset": peer.v_subreset,
        "gate_leak": peer.alpha, "gate_input": peer.beta, "gate_reset": peer.gamma, "conductance": peer.conduct[0],
    }  # fmt: skip
    for name, value in names.items():
        setattr(mine, f"w_{name}", torch.nn.Parameter(value.detach().clone().view(3, 1, 1)))
    assert_same(peer, mine, drive(24, 2, 3, 4, 4, high=1.2))
