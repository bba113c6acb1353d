"""Cells with a dendrite: context modulates and does not drive, memory stays, bursts need both inputs."""

import doctest

import numpy as np
import pytest
import torch
from laws import interpret

from snnkit.errors import UserError
from snnkit.neurons import TCLIF, ApicalBurst, TwoPoint, two_compartment

MS = 1e-3


def columns(values, steps):
    return torch.tensor(values, dtype=torch.float64).expand(steps, 1, len(values))


def test_selectivity_of_the_two_point_cell():
    """R only: rate r; C only: nothing; R with C: at least 2·r; R against C: less than r."""
    for drive in (0.05, 0.055, 0.07, 0.1):
        basal, apical = columns([drive, 0, drive, drive], 1000), columns([0, 0.05, 0.05, -0.05], 1000)
        alone, context, coherent, opposed = TwoPoint(dt=MS)((basal, apical)).sum(0)[0].tolist()
        assert alone > 0 and context == 0 and coherent >= 2 * alone and opposed < alone


def test_opposing_context_silences():
    basal, apical = columns([0.042, 0.042], 1000), columns([0.0, -0.05], 1000)
    alone, opposed = TwoPoint(dt=MS)((basal, apical)).sum(0)[0].tolist()
    assert alone > 0 and opposed == 0


def test_coincidence_makes_a_burst_of_a_single_spike(monkeypatch):
    """A volley of 10 ms at the soma; context up to 20 ms earlier makes it two or three spikes."""
    interpret(monkeypatch)
    basal, apical = torch.zeros(2, 200, 1, 4, dtype=torch.float64)
    basal[50:60] = 0.13
    for k, start in enumerate([None, 50, 30, -100]):
        if start is not None and start >= 0:
            apical[start : start + 10, 0, k] = 0.12
    apical[100:110, 0, 3] = 0.12  # too late
    counts = TwoPoint(dt=MS)((basal, apical)).sum(0)[0].tolist()
    assert counts[0] == 1 and counts[1] in (2, 3) and counts[2] in (2, 3) and counts[3] == 1


def test_no_basal_input_no_spike_whatever_the_context():
    apical = torch.randn(500, 2, 5, generator=torch.Generator().manual_seed(1)) * 10
    spikes, state = TwoPoint(dt=MS).scan((torch.zeros_like(apical), apical))
    assert spikes.sum() == 0 and (state.v == 0).all() and (state.a != 0).all()


def test_one_port_is_refused():
    with pytest.raises(UserError, match="TwoPoint has the input ports basal, apical; got 1"):
        TwoPoint(dt=MS)(torch.zeros(2, 1, 1))
    with pytest.raises(UserError, match="positive width"):
        TwoPoint(dt=MS, width=0.0)


@pytest.mark.parametrize("b1, b2", [(0.5, 0.5), (0.9, 0.9), (0.1, 0.3)])
def test_tc_lif_turns_without_growing_or_shrinking(b1, b2):
    """Its linear part has determinant 1 and eigenvalues exp(±i·φ), cos φ = 1 - B1·B2/2."""
    cell = TCLIF(soma_to_dendrite=b1, dendrite_to_soma=b2, threshold=1e9)
    rows = []
    for start in ((1.0, 0.0), (0.0, 1.0)):
        state = tuple(torch.full((1, 1), s, dtype=torch.float64) for s in start)
        _, end = cell.step(torch.zeros(1, 1, dtype=torch.float64), state)
        rows.append([end.v.item(), end.d.item()])
    eigenvalues = np.linalg.eigvals(np.array(rows).T)
    assert np.linalg.det(np.array(rows)) == pytest.approx(1.0)
    assert np.abs(eigenvalues) == pytest.approx([1.0, 1.0])
    assert eigenvalues.real == pytest.approx([1 - b1 * b2 / 2] * 2)


def test_tc_lif_is_its_equation(monkeypatch):
    interpret(monkeypatch)
    x = np.random.default_rng(0).normal(0.2, 0.6, 200)
    y = d = 0.0
    expected = []
    for x_t in x:
        d = d - 0.6 * y + x_t
        u = y + 0.4 * d
        s = float(u >= 1)
        d, y = d - 0.5 * s, u - s
        expected.append(s)
    found = TCLIF(soma_to_dendrite=0.6, dendrite_to_soma=0.4)(torch.tensor(x).view(-1, 1, 1))
    assert found.flatten().tolist() == expected and 5 < sum(expected) < 150


def test_tc_lif_learns_its_couplings_between_0_and_1(monkeypatch):
    interpret(monkeypatch)
    cell = TCLIF(soma_to_dendrite=0.2, learn="soma_to_dendrite")
    assert cell.soma_to_dendrite.item() == pytest.approx(0.2)
    cell(torch.rand(20, 1, 3)).sum().backward()
    assert cell.logit_soma_to_dendrite.grad != 0
    with pytest.raises(UserError, match="0 < dendrite_to_soma < 1"):
        TCLIF(dendrite_to_soma=1.5)


def test_apical_burst():
    """600 pA at the soma: 21 regular spikes in 2 s; with 300 pA at the dendrite 48, of them 40 after less than 16 ms,
    in bursts 200 ms apart; with 500 pA a plateau."""
    dt = 0.05 * MS
    soma = columns([600e-12] * 3, 40_000)
    spikes = ApicalBurst(dt=dt)((soma, columns([0.0, 300e-12, 500e-12], 40_000)))[:, 0]
    times = [torch.nonzero(spikes[:, k]).flatten().numpy() * 0.05 for k in range(3)]
    gaps = [np.diff(t) for t in times]
    assert len(times[0]) == 21 and gaps[0].min() > 16
    assert len(times[1]) == 48 and (gaps[1] < 16).sum() == 40
    assert gaps[1][gaps[1] > 16] == pytest.approx(197, abs=6)
    assert gaps[2][-20:] == pytest.approx(18.6, abs=0.2)


def test_apical_burst_waits_and_hears_its_spike():
    cell = ApicalBurst(dt=0.5 * MS)
    x = torch.full((12, 1, 1), 50e-9, dtype=torch.float64)
    spikes, _ = cell.scan((x, torch.zeros_like(x)))
    times = torch.nonzero(spikes.flatten()).flatten()
    assert times.diff().min() * 0.5 > 3.0  # refractory
    silent = ApicalBurst(dt=0.5 * MS, echo=0.0)
    pulse = torch.zeros_like(x)
    pulse[0] = 50e-9
    with_echo, without = (c.scan((pulse, torch.zeros_like(x)))[1].d.item() for c in (cell, silent))
    assert with_echo > without + 5e-3
    with pytest.raises(UserError, match=r"dt=0.001 s is too large.*limit is 0.0005 s"):
        ApicalBurst(dt=MS)


def test_docstrings():
    found = doctest.testmod(two_compartment)
    assert found.attempted > 0 and found.failed == 0
