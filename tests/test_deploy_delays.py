"""Deployment of delays to Loihi: the file as lava-dl's loader reads it gives the expected spikes, and what it cannot hold is refused."""

import h5py
import nir
import numpy as np
import pytest
import torch
from hardware_cases import conv, graph, lif

import snnkit
from snnkit.errors import UserError
from snnkit.hardware import UnsupportedGraph, deploy, simulate
from snnkit.hardware.arrays import Arrays
from snnkit.hardware.layers import layers
from snnkit.layers import DelayedConv2d, DelayedLinear, rounded_delays

MS = 1e-3


def network(*kinds, sizes=(10, 14, 6), longest=9, bias=False):
    """Delayed layers of these kinds with neurons behind them; "none" has no delays."""
    g, made = torch.Generator().manual_seed(0), []
    for kind, n_in, n_out in zip(kinds, sizes, sizes[1:], strict=False):
        most = 0.0 if kind == "none" else longest * MS
        name = "synaptic" if kind == "none" else kind
        layer = DelayedLinear(n_in, n_out, max_delay=most, dt=MS, kind=name, bias=bias, generator=g)
        layer.weight.data.normal_(0.15, 0.3, generator=g)
        if bias:
            layer.bias.data.uniform_(-0.05, 0.15, generator=g)
        layer.delay.data[-1, -1] = most / MS
        made += [layer, snnkit.LIF(tau=8 * MS, dt=MS, reset="zero")]
    return snnkit.Sequential(*made)


def exported(net):
    return snnkit.to_nir(net, input_shape=(net[0].in_features,))


def spikes(*shape, rate=0.25):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(1)) < rate).float()


def read_delay(group):
    """The delays out x in, as the loader of lava-dl spreads them: a vector is one of the outputs wherever it fits."""
    n_out, n_in = group["weight"].shape
    delay = group["delay"][()] if "delay" in group else np.zeros((n_out, n_in), int)
    assert delay.max() <= 62 and np.issubdtype(delay.dtype, np.integer)
    if delay.ndim == 2:
        return delay
    return np.broadcast_to(delay[:, None] if len(delay) == n_out else delay[None, :], (n_out, n_in))


def lava(folder):
    """Spikes of every layer on the kept samples, from the netx file and the inputs alone, one spike after the other."""
    weights, vectors = np.load(folder / "weights.npz"), np.load(folder / "vectors.npz")
    steps, kept = int(vectors["steps"]), int(vectors["input_b"].max()) + 1
    row = np.zeros((steps, kept, int(np.prod(vectors["input_shape"]))), dtype=np.int64)
    row[vectors["input_t"], vectors["input_b"], vectors["input_i"]] = 1
    found = []
    with h5py.File(folder / "network.net") as file:
        groups = [file[f"layer/{i}"] for i in range(len(file["layer"]))]
        for i, group in enumerate([g for g in groups if g["type"][0] == b"dense"]):
            weight, delay = group["weight"][()].astype(np.int64), read_delay(group)
            bias = group["bias"][()].astype(np.int64) if "bias" in group else 0
            arriving = np.zeros((steps + 64, kept, len(weight)), dtype=np.int64)
            for t, b, source in np.argwhere(row):
                for target in range(len(weight)):
                    arriving[t + 1 + delay[target, source], b, target] += weight[target, source]
            v = np.broadcast_to(weights[f"{i}_v0"].astype(np.int64), arriving.shape[1:])
            row, dv = np.zeros_like(arriving[:steps]), int(group["neuron/vDecay"][()])
            assert int(group["neuron/iDecay"][()]) == 4096
            for t in range(steps):
                v = np.sign(v) * (np.abs(v) * (4096 - dv) // 4096) + (arriving[t] + bias << 6)
                row[t] = v > int(group["neuron/vThMant"][()]) << 6
                v = np.where(row[t], 0, v)
            found.append(row)
    return found


def expected(folder, runs):
    vectors = np.load(folder / "vectors.npz")
    for i, got in enumerate(runs):
        want = np.zeros_like(got)
        want[tuple(vectors[f"{i}_spikes_{axis}"] for axis in "tbi")] = 1
        yield want


@pytest.mark.parametrize(
    ("kinds", "sizes", "shapes"),
    [
        (("axonal", "axonal"), (10, 14, 6), [(10,), (14,)]),
        (("dendritic", "dendritic"), (10, 14, 6), [(14,), (6,)]),
        (("synaptic", "none", "synaptic"), (10, 14, 6, 3), [(14, 10), None, (3, 6)]),
        (("axonal", "dendritic", "synaptic"), (9, 9, 9, 9), [(9, 9), (9,), (9, 9)]),  # square
    ],
)
def test_the_file_gives_the_expected_spikes(tmp_path, kinds, sizes, shapes):
    net = network(*kinds, sizes=sizes)
    done = deploy(exported(net), "loihi", tmp_path / "chip", vectors=spikes(30, 5, sizes[0]), keep=3)
    with h5py.File(done.folder / "network.net") as file:
        groups = [file[f"layer/{i + 1}"] for i in range(len(kinds))]
        assert [g["delay"].shape if "delay" in g else None for g in groups] == shapes
        for group, layer in zip(groups, net[::2], strict=True):
            rounded = layer.delay.detach().add(0.5).floor().t().numpy().astype(int)
            assert np.array_equal(read_delay(group), np.broadcast_to(rounded, group["weight"].shape))
    runs = lava(done.folder)
    for got, want in zip(runs, expected(done.folder, runs), strict=True):
        assert np.array_equal(got, want) and 20 < want.sum() < 0.8 * want.size


@pytest.mark.parametrize("kind", ["axonal", "dendritic", "synaptic"])
def test_chip_and_network_fire_in_the_same_steps(tmp_path, kind):
    net, x = network(kind, kind, bias=True), spikes(60, 8, 10)
    done = deploy(exported(net), "loihi", tmp_path / "chip", vectors=x, keep=8)
    (*_, got) = expected(done.folder, lava(done.folder))
    want = rounded_delays(net)(x).detach().numpy()
    assert 100 < want.sum() < 0.8 * want.size
    alike = [
        float((got[k : k + 60] == want).mean()) for k in (1, 2, 3)
    ]  # one step per layer, delays not counted
    assert alike[1] > 0.95 and alike[1] > max(alike[0], alike[2]) + 0.05
    assert len(got) == 60 + 2 + 2 * 9  # until the longest way is through
    assert done.report["layers"]["3"]["identical_bins"] == pytest.approx(alike[1])


def test_delays_of_nodes_and_weights_add_up(tmp_path):
    """Input -> Delay -> synapses with a delay each -> Delay: what a spike waits in all."""
    rng = np.random.default_rng(0)
    each = rng.integers(0, 5, (7, 6))
    before, after = rng.integers(0, 4, 6), rng.integers(0, 4, 7)
    meta = {"delay": each * MS, "delay_kind": "synaptic"}
    nodes = [
        nir.Delay(before * MS),
        nir.Linear(rng.normal(0.3, 0.3, (7, 6)).astype("f4"), metadata=meta),
        nir.Delay(after * MS),
        lif((7,)),
    ]
    net, x = graph((6,), (7,), *nodes), spikes(40, 3, 6)
    done = deploy(net, "loihi", tmp_path / "chip", vectors=x)
    with h5py.File(done.folder / "network.net") as file:
        delay = file["layer/1/delay"][()]
    assert np.array_equal(delay, each + before[None, :] + after[:, None])
    assert np.array_equal(np.load(done.folder / "weights.npz")["0_delay"], delay)
    runs = lava(done.folder)
    assert np.array_equal(runs[0], next(expected(done.folder, runs))) and runs[0].sum() > 50
    assert (runs[0][1:41] == simulate(net, x).output.numpy()).mean() > 0.97


def test_delays_before_a_flatten_follow_its_order(tmp_path):
    rng, delay = np.random.default_rng(0), np.arange(8) * MS
    flatten = nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1)
    nodes = [nir.Delay(delay), flatten, nir.Linear(rng.normal(0.3, 0.4, (5, 8)).astype("f4")), lif((5,))]
    done = deploy(graph((2, 2, 2), (5,), *nodes), "loihi", tmp_path / "chip", vectors=spikes(30, 3, 2, 2, 2))
    with h5py.File(done.folder / "network.net") as file:
        assert [file[f"layer/{i}/type"][0] for i in range(3)] == [b"input", b"flatten", b"dense"]
        assert file["layer/2/delay"][()].tolist() == list(range(8))
    runs = lava(done.folder)
    assert np.array_equal(runs[0], next(expected(done.folder, runs))) and runs[0].sum() > 30


def test_report_and_readme_tell_delays_from_the_way_through_the_layers(tmp_path):
    net, x = exported(network("axonal", "synaptic", longest=9)), spikes(20, 4, 10)
    done = deploy(net, "loihi", tmp_path / "chip", vectors=x)
    kinds = [(row["delays"], row["longest_delay"]) for row in done.report["integers"].values()]
    assert kinds == [("axonal", 9), ("synaptic", 9)] and done.report["delay_steps"] == 2
    assert any("8 are certain" in note for note in done.report["notes"])
    text = (done.folder / "README.md").read_text()
    for part in ("complete after T + 20 steps", "axonal, up to 9 steps", "delay (out x in, steps)"):
        assert part in text
    plain = deploy(exported(network("none", "none")), "loihi", tmp_path / "plain", vectors=x)
    text = (plain.folder / "README.md").read_text()
    assert "complete after T + 2 steps" in text and "Delays come on top" not in text
    assert not any("delay" in note for note in plain.report["notes"])
    with h5py.File(plain.folder / "network.net") as file:
        assert "delay" not in file["layer/1"]


def test_the_step_may_be_given(tmp_path):
    """Without a step in the metadata, `dt` counts the delays, in the file and in the report of the fit."""
    one, weight = np.ones(4), np.random.default_rng(0).normal(0.4, 0.4, (4, 3)).astype("f4")
    net = graph(
        (3,), (4,), nir.Delay(np.array([0.0, 3.0, 6.0])), nir.Linear(weight), nir.IF(one, one, 0 * one)
    )
    with pytest.raises(UserError, match="pass dt"):
        deploy(net, "loihi", tmp_path / "chip", vectors=spikes(20, 2, 3))
    done = deploy(net, "loihi", tmp_path / "chip", vectors=spikes(20, 2, 3), dt=1.0)
    with h5py.File(done.folder / "network.net") as file:
        assert file["layer/1/delay"][()].tolist() == [0, 3, 6]
    assert done.report["placement"]["problems"] == []


def test_the_longest_delay_is_62_steps(tmp_path):
    for kind in ("axonal", "dendritic", "synaptic"):
        x = spikes(10, 2, 10)
        deploy(exported(network(kind, "none", longest=62)), "loihi", tmp_path / kind, vectors=x)
        with pytest.raises(UnsupportedGraph, match="62 steps in a netx file") as caught:
            deploy(exported(network(kind, "none", longest=63)), "loihi", tmp_path / "chip", vectors=x)
        said = str(caught.value)
        assert (
            "has 63" in said and "max_delay=62 * dt" in said and "delay_excess" in said and "\n" not in said
        )
        assert not (tmp_path / "chip").exists()


def test_what_has_no_synapse_to_hold_it_is_refused(tmp_path):
    late, flat = nir.Delay(np.full(32, MS)), nir.Linear(np.eye(2, dtype=np.float32))
    beside = graph((2, 4, 4), (3, 4, 4), late, conv(np.ones((3, 2, 3, 3)), (4, 4), 1, 1), lif((3, 4, 4)))
    behind = graph((2,), (2,), flat, lif((2,)), nir.Delay(np.array([MS, 0.0])))
    cases = [
        (beside, spikes(5, 1, 2, 4, 4), "delays 0 belong to a convolution.*DelayedLinear"),
        (behind, spikes(5, 1, 2), "delays 2 come after the last neurons.*leave them out"),
    ]
    for net, x, words in cases:
        with pytest.raises(UnsupportedGraph, match=words):
            deploy(net, "loihi", tmp_path / "chip", vectors=x)
        assert list(tmp_path.iterdir()) == []
    nothing = graph((2,), (2,), flat, lif((2,)), nir.Delay(np.zeros(2)))
    assert deploy(nothing, "loihi", tmp_path / "chip", vectors=spikes(5, 1, 2)).files


@pytest.mark.parametrize("kind", ["channel", "synaptic", "axonal", "dendritic"])
def test_convolutions_with_delays_run_in_floats_and_are_refused_on_the_chip(tmp_path, kind):
    g = torch.Generator().manual_seed(0)
    settings = {"max_delay": 5 * MS, "dt": MS, "kind": kind, "padding": 1, "bias": True, "generator": g}
    net = snnkit.Sequential(DelayedConv2d(2, 4, 3, **settings), snnkit.LIF(tau=8 * MS, dt=MS, reset="zero"))
    net[0].weight.data.normal_(0.1, 0.3, generator=g)
    net[0].bias.data.uniform_(-0.05, 0.15, generator=g)
    written, x = snnkit.to_nir(net, input_shape=(2, 5, 5)), spikes(30, 2, 2, 5, 5)
    want = rounded_delays(net)(x)
    assert torch.equal(simulate(written, x).output, want) and want.sum() > 300
    assert layers(written)[0].delay == pytest.approx(float(net[0].delay.detach().max()) * MS)
    with pytest.raises(UnsupportedGraph, match="belong to a convolution"):
        deploy(written, "loihi", tmp_path / "chip", vectors=x)


def test_the_nir_target_keeps_them(tmp_path):
    for kind in ("axonal", "dendritic", "synaptic"):
        net, x = network(kind, kind, bias=True), spikes(40, 3, 10)
        done = deploy(exported(net), "nir", tmp_path / kind, vectors=x)
        want = rounded_delays(net)(x)
        assert torch.equal(simulate(done.folder / "network.nir", x).output, want) and want.sum() > 30
        again = snnkit.from_nir(nir.read(done.folder / "network.nir"))
        assert torch.equal(rounded_delays(again)(x), want)


def test_crossbars_say_that_they_hold_no_delay_per_weight():
    arrays = Arrays.of("rram128")
    with pytest.raises(UserError, match=r"DelayedLinear\(kind='axonal'\)"):
        simulate(exported(network("synaptic", "none")), spikes(5, 2, 10), arrays=arrays)
    assert simulate(exported(network("axonal", "none")), spikes(5, 2, 10), arrays=arrays).output.shape[0] == 5
