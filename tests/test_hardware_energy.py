"""Estimates against published numbers. Nothing here is fitted: the constants come from other sources than the
rows.
"""

import json
import math

import nir
import numpy as np
import pytest
from hardware_cases import activity_of, conv, dense, graph, io, lif

from snnkit.activity import Activity, LayerActivity
from snnkit.errors import UserError
from snnkit.hardware import NoEnergy, chips, estimate

PUBLISHED = [c for c in chips() if c != "loihi2"]


def net_and_activity(steps=100, events=1950.0, rate=0.02):
    """390-256-256-29 with a constant rate in every hidden layer."""
    net = dense([390, 256, 256, 29])
    spikes = {name: rate * n * steps for name, n in (("1", 256), ("3", 256), ("5", 29))}
    synops = {"0": events * 256, "2": spikes["1"] * 256, "4": spikes["3"] * 29}
    return net, activity_of(net, steps, events, spikes, synops)


# Published rows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("acs", "macs", "mj"), [(0.50e9, 2.75e9, 13.10), (0.0, 1.82e9, 8.372)])
def test_the_table_of_syops_counter(acs, macs, mj):
    net = graph((4,), (2,), nir.Linear(np.ones((2, 4), dtype=np.float32)))
    report = estimate(net, activity_of(net, 1, synops={"0": acs}, macs={"0": macs}), "cmos45")
    assert report.energy_j * 1e3 == pytest.approx(mj, rel=1e-3)
    assert report.low_j == report.energy_j == report.high_j


@pytest.mark.parametrize(
    ("events", "synops", "uj"), [(1950, 603_368, 25.6), (3900, 1_257_823, 49.2), (7800, 2_450_815, 92.2)]
)
def test_loihi_against_an_event_level_simulator(events, synops, uj):
    """SANA-FE 2.2.9, 390-256-256-29, 100 steps at input rate 0.05, 0.1, 0.2: total energy within 1 %."""
    hidden = (synops - events * 256) / (256 + 29)  # the same number of spikes in both hidden layers
    net = dense([390, 256, 256, 29])
    counts = {"0": events * 256, "2": hidden * 256, "4": hidden * 29}
    report = estimate(net, activity_of(net, 100, events, {"1": hidden, "3": hidden}, counts), "loihi")
    assert report.dynamic_j * 1e6 == pytest.approx(uj, rel=0.01)
    synaptic = sum(t.energy.value for t in report.terms if t.what == "synaptic events")
    assert synaptic == pytest.approx(synops * 35.5e-12)


@pytest.mark.parametrize("rate", [0.06, 0.075, 0.09])
def test_loihi_slope_of_the_scaling_study(rate):
    """Blouw et al. 2019: a branch of ten layers 256 -> 256 adds 16.9 uJ at 0.06 to 0.09 spikes/step."""
    reports = [estimate(*branches(n, rate), "loihi").neural_dynamic for n in (1, 2)]
    slope = [1e6 * (b - a) for a, b in zip(*reports, strict=True)]
    assert slope[1] <= 16.9 <= slope[2]
    assert slope[0] == pytest.approx(16.9, rel=0.6)


def branches(n, rate, steps=10):
    """390 -> 256, n branches of ten layers, concatenated (a sum of Affines) -> 256 -> 29."""
    nodes = dict(zip(("input", "output"), io((390,), (29,)), strict=True))
    edges, spikes, synops = [], {}, {}

    def layer(name, before, n_out):
        n_in = 390 if before == "input" else 256
        nodes[name] = nir.Linear(np.ones((n_out, n_in), dtype=np.float32))
        edges.append((before, name))
        synops[name] = rate * n_in * steps * n_out

    def neurons(name, *before):
        size = 29 if name == "out" else 256
        nodes[name] = lif((size,))
        edges.extend((b, name) for b in before)
        spikes[name] = rate * size * steps
        return name

    layer("w0", "input", 256)
    root = neurons("n0", "w0")
    for b in range(n):
        last = root
        for k in range(10):
            layer(f"w{b}_{k}", last, 256)
            last = neurons(f"n{b}_{k}", f"w{b}_{k}")
        layer(f"c{b}", last, 256)
    layer("wo", neurons("c", *(f"c{b}" for b in range(n))), 29)
    edges.append((neurons("out", "wo"), "output"))
    net = nir.NIRGraph(nodes, edges, type_check=False)
    return net, activity_of(net, steps, rate * 390 * steps, spikes, synops)


def test_a_synops_only_model_of_the_keyword_spotter_is_not_what_was_measured():
    """About 5 uJ are neural where 272 uJ were measured: standing power makes the rest."""
    net = dense([390, 256, 256, 29])
    rate, steps = 0.08, 10
    spikes = {"1": rate * 256 * steps, "3": rate * 256 * steps}
    synops = {"0": rate * 390 * steps * 256, "2": spikes["1"] * 256, "4": spikes["3"] * 29}
    report = estimate(net, activity_of(net, steps, rate * 3900, spikes, synops), "loihi", rate_hz=296.5)
    assert 3e-6 < report.dynamic_j < 8e-6
    assert report.dynamic_j + report.system_at_rate.value == pytest.approx(271.6e-6, rel=0.1)
    assert report.static_at_rate.value == pytest.approx(29.6e-3 / 296.5)


@pytest.mark.parametrize(("spikes", "milliwatts"), [(1.0e6, 9.5), (0.4e6, 3.8)])
def test_speck_gesture_rows(spikes, milliwatts):
    """Yao et al. 2024, 540 ms window: chip power within the interval, from spikes and resting power."""
    nodes = []
    for c_in, stride, size in ((2, 1, 32), (32, 2, 16), (32, 1, 16)):
        weight = np.ones((32, c_in, 3, 3))
        nodes += [conv(weight, (size * stride, size * stride), stride, 1), lif((32, size, size), kind="IF")]
    net = graph((2, 32, 32), (32, 16, 16), *nodes)
    share = {"1": 0.5 * spikes, "3": 0.3 * spikes, "5": 0.2 * spikes}
    synops = {"0": 5e4 * 288, "2": share["1"] * 72, "4": share["3"] * 288}
    report = estimate(net, activity_of(net, 540, 5e4, share, synops), "speck")
    low, high = report.low_j / 0.54, report.high_j / 0.54
    assert low <= milliwatts * 1e-3 <= high
    assert report.energy_j / 0.54 == pytest.approx(milliwatts * 1e-3, rel=0.1)


def test_truenorth_pays_26_pj_per_event_and_nothing_else():
    net, activity = net_and_activity()
    report = estimate(net, activity, "truenorth")
    events = sum(la.synops for la in activity.layers.values())
    assert report.energy_j == pytest.approx(26e-12 * events)
    assert report.static.value == report.system_dynamic.value == 0
    assert report.latency_s == pytest.approx(0.1)


def test_spinnaker_mnist_is_dominated_by_the_idle_chip():
    """784-500-500-10, 11 ms, 3.3 mJ published; the idle power of one chip alone is 3.85 mJ."""
    net = dense([784, 500, 500, 10])
    report = estimate(net, activity_of(net, 11, 100, synops={"0": 5e4, "2": 2.5e4, "4": 500}), "spinnaker")
    assert report.static.value == pytest.approx(0.35 * 11e-3)
    assert pytest.approx(report.energy_j, rel=0.7) == 3.3e-3


# The report -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_parts_add_up_and_lie_in_the_interval(name):
    net, activity = net_and_activity()
    report = estimate(net, activity, name, rate_hz=2.0)
    parts = (report.neural_dynamic, report.system_dynamic, report.static)
    assert report.energy_j > 0 and report.energy_j == pytest.approx(sum(p.value for p in parts))
    assert report.low_j <= report.energy_j <= report.high_j
    assert sum(report.breakdown.values()) == pytest.approx(report.dynamic_j)
    assert list(report.breakdown)[:6] == ["0", "1", "2", "3", "4", "5"]
    assert report.left_out and report.assumptions
    assert json.loads(json.dumps(report.to_dict()))["energy_j"] == report.energy_j
    assert report.title in report.table() and "left out" in report.table()
    if report.latency_s is None:
        assert any("latency" in line for line in report.left_out) or name.startswith("cmos45")


@pytest.mark.parametrize("name", [c for c in PUBLISHED if c not in ("xylo", "rram128")])
def test_twice_the_activity_costs_twice_the_events(name):
    net = dense([390, 256, 29])
    one = activity_of(net, 10, 100, {"1": 50.0}, {"0": 25600.0, "2": 1450.0})
    two = activity_of(net, 20, 200, {"1": 100.0}, {"0": 51200.0, "2": 2900.0})
    first, second = (estimate(net, a, name).dynamic_j for a in (one, two))
    assert second == pytest.approx(2 * first)


def test_crossbars_pay_for_passes_not_for_spikes():
    net = dense([390, 256, 29])
    silent = estimate(net, activity_of(net, 10), "rram128")
    busy = estimate(net, activity_of(net, 10, 1000, {"1": 500.0}, {"0": 256e3, "2": 14500.0}), "rram128")
    assert silent.dynamic_j > 0.9 * busy.dynamic_j
    assert silent.neural_dynamic.low < 0.2 * silent.dynamic_j  # skipping silent passes would save nearly all
    # 4 x 8 + 2 x 1 arrays, ten passes each, 128 conversions of 1.56 pJ
    conversions = [t for t in busy.terms if t.what == "analog-digital conversions"]
    assert sum(t.energy.value for t in conversions) == pytest.approx(34 * 10 * 128 * 1.56e-12)


def test_the_equal_ann_is_one_dense_pass_of_macs():
    net, activity = net_and_activity()
    report = estimate(net, activity, "cmos45")
    assert report.ann_energy_j == pytest.approx(4.6e-12 * (390 * 256 + 256 * 256 + 256 * 29))
    assert report.memory.value > report.energy_j and report.ann_memory.value > 0
    assert estimate(net, activity, "cmos45_int8").energy_j < report.energy_j


def test_memory_energy_interpolates_in_capacity():
    from snnkit.hardware import chip
    from snnkit.hardware.models import _sram

    known = chip("cmos45")
    sizes = [1e3, 8e3, 20e3, 32e3, 516e3, 1e6, 5e6]
    expected = [10, 10, 15, 20, 60, 100, 100]
    assert [1e12 * _sram(known, s) for s in sizes] == pytest.approx(expected)


def test_loihi_time_is_the_slowest_core_plus_the_barrier():
    net, activity = net_and_activity(steps=10, events=195.0, rate=0.0)
    # Layer 0 on one core: 195 events x 256 synapses, 195 messages in, 256 updates per step; three cores, one
    # tile.
    step = 195 * 256 / 10 * 3.8e-9 + 19.5 * 16e-9 + 256 * 9.7e-9 + 0.6e-6
    assert estimate(net, activity, "loihi").latency_s == pytest.approx(10 * step)


def test_a_rate_that_cannot_be_reached_is_left_out():
    net, activity = net_and_activity()
    report = estimate(net, activity, "truenorth", rate_hz=50.0)
    assert report.at_rate_j is None
    assert any("at most 10 per second" in line for line in report.left_out)


# Bad input --------------------------------------------------------------------------------------------------


def test_bad_input_is_one_clear_line():
    net, activity = net_and_activity()
    other = dense([390, 128, 256, 29])
    for call, words in [
        (lambda: estimate(net, activity, "loihi2"), "no energy per event"),
        (lambda: estimate(net, activity, rate_hz=0), "rate_hz"),
        (lambda: estimate(net, Activity(steps=0)), "no time step"),
        (lambda: estimate(net, {"steps": 3}), "expected an Activity"),
        (
            lambda: estimate(net, Activity(steps=1, layers={"a": LayerActivity("a", "LIF")})),
            "the activity has no layer 0, 1",
        ),
        (lambda: estimate(other, activity), "128 neurons in the graph and 256"),
        (lambda: estimate("nowhere.nir", activity), "no file nowhere.nir"),
        (lambda: estimate([1, 2], activity), "expected a nir.NIRGraph"),
    ]:
        with pytest.raises(UserError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
    with pytest.raises(NoEnergy):
        estimate(net, activity, "loihi2")
    activity.layers["2"].synops = math.nan
    with pytest.raises(UserError, match="counts synops = nan in layer 2"):
        estimate(net, activity)


def test_a_damaged_file_and_an_unknown_node_are_named(tmp_path):
    damaged = tmp_path / "damaged.nir"
    damaged.write_bytes(b"\x89HDF nothing")
    with pytest.raises(UserError, match="cannot be read as a NIR file"):
        estimate(damaged, None)
    net = graph((4,), (4,), nir.Threshold(np.ones(4)))
    with pytest.raises(UserError, match="0 is a Threshold"):
        estimate(net, None)
