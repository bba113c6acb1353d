"""Delays of a network before hardware: read, held against the chip's longest, simulated in floats and in integers."""

import nir
import numpy as np
import pytest
import torch
from hardware_cases import conv, dense, graph, lif

import snnkit
from snnkit.errors import UserError
from snnkit.hardware import DoesNotFit, Room, chip, estimate, place, room_for_delays
from snnkit.hardware.deploy import deploy
from snnkit.hardware.fixed_point import run
from snnkit.hardware.graph import UnsupportedGraph, read
from snnkit.hardware.layers import layers
from snnkit.hardware.quantise import loihi_layers
from snnkit.hardware.segments import stages
from snnkit.hardware.simulate import simulate
from snnkit.layers import DelayedLinear, rounded_delays

MS = 1e-3


def network(kind="synaptic", longest=12, form="two-tap", sizes=(6, 9, 4)):
    g = torch.Generator().manual_seed(0)
    options = {"max_delay": longest * MS, "dt": MS, "form": form, "kind": kind, "generator": g}
    net = snnkit.Sequential(
        DelayedLinear(sizes[0], sizes[1], **options), snnkit.LIF(tau=8 * MS, dt=MS, reset="zero"),
        DelayedLinear(sizes[1], sizes[2], **options), snnkit.LIF(tau=8 * MS, dt=MS, reset="zero"),
    )  # fmt: skip
    for layer in (net[0], net[2]):
        layer.weight.data.normal_(0.25, 0.3, generator=g)
        layer.delay.data[0, 0] = longest
    return net


def spikes(T=60, n=6):
    return (torch.rand(T, 3, n, generator=torch.Generator().manual_seed(1)) < 0.25).float()


@pytest.mark.parametrize("kind", ["synaptic", "axonal", "dendritic"])
def test_a_simulated_graph_is_the_rounded_network(kind):
    net = network(kind)
    want = rounded_delays(net)(spikes())
    got = simulate(snnkit.to_nir(net, input_shape=(6,)), spikes())
    assert torch.equal(got.output, want) and 10 < int(want.sum()) < 0.9 * want.numel()
    without = network(kind)
    for layer in (without[0], without[2]):
        layer.delay.data.zero_()
    assert not torch.equal(rounded_delays(without)(spikes()), want)


@pytest.mark.parametrize("kind", ["synaptic", "axonal", "dendritic"])
def test_the_longest_delay_of_a_layer_is_that_of_its_way_from_neuron_to_neuron(kind):
    found = layers(snnkit.to_nir(network(kind), input_shape=(6,)))
    assert [la.delay for la in found] == pytest.approx([12 * MS, 12 * MS]) and found[0].dt == MS
    one = np.array([3.0, 1.0]) * MS
    nodes = [nir.Delay(one), nir.Linear(np.ones((2, 2), np.float32)), nir.Delay(2 * one), lif((2,))]
    (layer,) = layers(graph((2,), (2,), *nodes))
    assert layer.delay == pytest.approx(9 * MS)
    assert all(la.delay == 0 for la in layers(dense([3, 2, 2])))


def test_placement_holds_them_against_the_chip():
    for name, most in (("loihi", 62), ("loihi2", 62), ("truenorth", 14)):
        assert chip(name).at_most("delay_steps") == most
        place(snnkit.to_nir(network(longest=most), input_shape=(6,)), name)
        with pytest.raises(DoesNotFit) as caught:
            place(snnkit.to_nir(network(longest=most + 1), input_shape=(6,)), name)
        said = caught.value.problems
        assert [p.split(":")[0] for p in said] == ["layer 0", "layer 2"]
        for part in (
            f"up to {most + 1} steps of 0.001 s",
            f"holds up to {most} steps",
            f"max_delay={most * MS:g}",
            "delay_excess",
            name,
        ):
            assert part in str(caught.value)
    for name in ("speck", "xylo", "odin", "rram128"):
        with pytest.raises(DoesNotFit, match=f"{name} has no synaptic delays"):
            place(snnkit.to_nir(network(), input_shape=(6,)), name)
        place(snnkit.to_nir(network(longest=0), input_shape=(6,)), name) if name != "xylo" else None


def test_what_lies_between_certain_and_possible_is_a_note():
    assert not place(snnkit.to_nir(network(longest=8), input_shape=(6,)), "loihi").notes
    notes = place(snnkit.to_nir(network(longest=9), input_shape=(6,)), "loihi").notes
    assert [n for n in notes if "8 are certain" in n and n.startswith("layer 0")]
    far = place(snnkit.to_nir(network(longest=40), input_shape=(6,)), "spinnaker")
    assert any("delay extensions" in n for n in far.notes)


def test_what_a_chip_makes_of_delays_is_said_in_one_place():
    room = room_for_delays
    assert room(chip("loihi"), 0) == Room(True, 62, "") == room(chip("loihi"), 8)
    assert room(chip("loihi"), 30).holds and "8 are certain" in room(chip("loihi"), 30).said
    assert room(chip("loihi"), 63) == Room(False, 62, "loihi holds up to 62 steps")
    assert room(chip("spinnaker"), 15) == Room(True, 15, "")
    assert room(chip("spinnaker"), 16).holds and room(chip("spinnaker"), 16).said
    assert room(chip("xylo"), 1) == Room(False, 0, "xylo has no synaptic delays")
    unknown = room(chip("darwin3"), 10_000)
    assert unknown.holds and unknown.most is None and "no published limit" in unknown.said


def test_delays_count_in_the_steps_of_the_chip():
    net = snnkit.to_nir(network(longest=100), input_shape=(6,))
    with pytest.raises(DoesNotFit, match="100 steps"):
        place(net, "loihi")
    assert place(net, "loihi", dt=2 * MS).cores
    bare = graph(
        (2,),
        (2,),
        nir.Delay(np.array([5.0, 1.0])),
        nir.Linear(np.ones((2, 2), np.float32)),
        nir.IF(np.ones(2), np.ones(2), np.zeros(2)),
    )
    with pytest.raises(DoesNotFit, match="no time step"):
        place(bare, "loihi")
    assert place(bare, "loihi", dt=0.1).cores
    with pytest.raises(UserError, match="pass dt"):
        simulate(bare, torch.zeros(3, 1, 2))


def walk(layer, x):
    """One integer layer, spike by spike: every one waits for its synapse, and one step more."""
    T, B, _ = x.shape
    arriving = np.zeros((T + 1, B, layer.synapse.out_shape[0]), dtype=np.int64)
    for t, b, i in np.argwhere(x > 0):
        for o in range(arriving.shape[2]):
            at = t + 1 + int(layer.synapse.delay[o, i])
            if at < T:
                arriving[at, b, o] += int(layer.synapse.weight[o, i])
    return arriving[:T]


@pytest.mark.parametrize("kind", ["synaptic", "axonal", "dendritic"])
def test_the_integers_run_with_them(kind):
    net = snnkit.to_nir(network(kind, longest=5), input_shape=(6,))
    found, _ = loihi_layers(net, {}, MS)
    assert [la.synapse.longest for la in found] == [5, 5]
    x = spikes(40)
    runs = run(found, x)
    assert len(runs[0].spikes) == 40 + 2 + 10
    padded = np.concatenate([x.numpy(), np.zeros((12, 3, 6))])
    arriving = walk(found[0], padded)
    v = np.zeros((3, 9))
    layer = found[0]
    for t in range(len(arriving)):
        v = np.sign(v) * ((np.abs(v).astype(np.int64) * (4096 - layer.dv)) >> 12) + (arriving[t] << 6)
        fired = v > layer.vth << 6
        v[fired] = 0
        assert np.array_equal(runs[0].spikes[t].numpy() > 0, fired), t
    floats = simulate(net, x)
    ours = runs[1].spikes[2 : 2 + 40]
    alike = [(runs[1].spikes[k : k + 40] == floats.output).double().mean() for k in (1, 2, 3)]
    assert alike[1] > 0.93 and alike[1] > max(alike[0], alike[2]) and int(ours.sum()) > 5


def test_what_has_no_place_is_refused_by_name(tmp_path):
    delayed = snnkit.to_nir(network(), input_shape=(6,))
    with pytest.raises(DoesNotFit, match=r"layer 0: .*xylo has no synaptic delays"):
        deploy(delayed, target="xylo", out=tmp_path / "xylo", vectors=spikes())
    assert not (tmp_path / "xylo").exists()
    folder = deploy(delayed, target="nir", out=tmp_path / "nir", vectors=spikes())
    assert folder.report["layers"]["1"]["mean"] > 0
    late = nir.Delay(np.full(2 * 4 * 4, MS))
    beside = graph((2, 4, 4), (3, 4, 4), late, conv(np.ones((3, 2, 3, 3)), (4, 4), 1, 1), lif((3, 4, 4)))
    with pytest.raises(UnsupportedGraph, match="belong to a convolution"):
        stages(beside, "this", delays=True)
    two = [
        nir.Linear(np.ones((2, 2), np.float32)),
        nir.Delay(np.array([MS, 0.0])),
        nir.Linear(np.ones((2, 2), np.float32)),
    ]
    with pytest.raises(UnsupportedGraph, match="delays of 1 lie between layers"):
        stages(graph((2,), (2,), *two, lif((2,))), "this", delays=True)
    with pytest.raises(UnsupportedGraph, match="expected one per channel"):
        read(graph((2,), (2,), nir.Delay(np.ones(3)), lif((2,))))
    with pytest.raises(UnsupportedGraph, match="none negative"):
        read(graph((2,), (2,), nir.Delay(np.array([1.0, -1.0])), lif((2,))))


def test_energy_says_that_it_leaves_the_buffers_out():
    net = network()
    with snnkit.trace(net) as activity:
        net(spikes())
    report = estimate(snnkit.to_nir(net, input_shape=(6,)), activity, chip="loihi")
    assert report.energy_j > 0 and any("under way" in line for line in report.left_out)
