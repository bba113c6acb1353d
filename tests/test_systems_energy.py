"""Energy of a system's network: the estimate where there is one, counts times published figures elsewhere, and rows that say so."""

from __future__ import annotations

import json

import pytest
import torch

from snnkit import hardware
from snnkit.activity import trace
from snnkit.errors import UserError
from snnkit.interop import to_nir
from snnkit.layers import DelayedLinear, Linear, Recurrent, Sequential
from snnkit.neurons import LIF, LeakyIntegrator
from snnkit.systems import Reproduction, Setting
from snnkit.systems.energy import CHIPS, energy_per_inference, energy_rows

MS = 1e-3


def spikes(T=20, B=3, n=8):
    return (torch.rand(T, B, n, generator=torch.Generator().manual_seed(0)) < 0.4).float()


def network(middle=None):
    g = torch.Generator().manual_seed(1)
    fire = LIF(tau=10 * MS, dt=MS, threshold=0.4)
    return Sequential(
        Linear(8, 6, generator=g),
        fire if middle is None else middle(fire, g),
        Linear(6, 4, generator=g),
        LeakyIntegrator(tau=10 * MS, dt=MS),
    )


def looped(fire, g):
    return Recurrent(fire, Linear(6, 6, generator=g))


def test_a_network_that_chips_hold_gets_their_estimate():
    net, x = network().train(), spikes()
    found = energy_per_inference(net, x, classes=4)
    with torch.no_grad(), trace(net) as activity:
        net(x)
    for name in CHIPS:
        report = hardware.estimate(to_nir(net), activity, name)
        one = found["chips"][name]
        assert one["energy_j"] == pytest.approx(report.dynamic_j, rel=1e-12) and one["energy_j"] > 0
        assert one["low_j"] == pytest.approx(report.neural_dynamic.low, rel=1e-12) and not one["refused"]
    assert net.training and json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["activity"]["spikes"] == activity.total("spikes") > 0


def test_a_loop_is_paid_by_counts_and_says_why():
    net, x = network(looped), spikes()
    found = energy_per_inference(net, x, classes=4)
    with torch.no_grad():
        hidden = net[:2](x)
    events, sent, updates = float(x.sum()) / 3, float(hidden.sum()) / 3, 20 * (6 + 4)
    back = float(hidden[:-1].sum()) / 3  # spikes of the last step do not return within the sequence
    synops = events * 6 + back * 6 + sent * 4
    c = hardware.chip("cmos45").energy
    logic = synops * c["accumulate"].si + updates * (c["add"].si + c["multiply"].si)
    assert found["chips"]["cmos45"]["energy_j"] == pytest.approx(logic, rel=1e-9)
    c = hardware.chip("loihi").energy
    chip = synops * c["synop_dense"].si + updates * c["neuron_update"].si
    chip += sent * (c["spike_out"].si + c["message"].si)
    assert found["chips"]["loihi"]["energy_j"] == pytest.approx(chip, rel=1e-9)
    assert "Recurrent" in found["chips"]["loihi"]["refused"]
    rows = energy_rows([found, found], "recurrent")
    assert [len(r.values) for r in rows] == [2, 2, 2] and all("Recurrent" in r.note for r in rows)
    assert rows[0].mean == pytest.approx(chip * 1e6) and "recurrent: dynamic energy" in rows[0].what


def test_delays_per_synapse_have_a_figure_on_every_chip():
    g = torch.Generator().manual_seed(0)
    net = Sequential(DelayedLinear(8, 4, max_delay=5 * MS, dt=MS, generator=g), LIF(tau=9 * MS, dt=MS))
    found = energy_per_inference(net, spikes(), classes=4)
    assert all(one["energy_j"] > 0 for one in found["chips"].values())
    assert all(len(row.values) == 1 for row in energy_rows([found]))


def test_a_chip_without_figures_gives_a_row_without_a_value(tmp_path):
    found = energy_per_inference(network(looped), spikes(), classes=2, chips=("xylo", "loihi2", "speck"))
    rows = energy_rows([found])
    assert [r.values for r in rows] == [(), (), ()] and all("no figure" in r.note for r in rows)
    whole = Reproduction("x", "x", "x", rows, "", Setting(), 0.0, found)
    json.dumps(whole.as_dict(), allow_nan=False)
    assert whole.as_dict()["rows"][0]["mean"] is None and whole.table()[1][0][2] == "–"
    assert "no figure" in whole.markdown() and whole.write(tmp_path)


def test_mistakes_are_said():
    with pytest.raises(UserError, match="3 classes"):
        energy_per_inference(network(), spikes(), classes=3)
    with pytest.raises(UserError, match="loihi"):
        energy_per_inference(network(), spikes(), classes=4, chips=("loihy",))
