"""Deployment folders: what is in them, that they verify, that they appear whole or not at all."""

import json
import os

import h5py
import nir
import numpy as np
import pytest
import torch
from hardware_cases import conv, dense, graph, lif

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.hardware import BadFolder, UnknownTarget, UnsupportedGraph, deploy, simulate, targets
from snnkit.hardware.fixed_point import run
from snnkit.hardware.quantise import loihi_layers


def spikes(*shape, rate=0.2, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate).float()


def mixed_net(seed=0):
    """Convolution, pooling, a CubaLIF convolution, pooling, a dense membrane readout."""
    rng = np.random.default_rng(seed)
    pool = [np.array([2, 2]), np.array([2, 2]), np.array([0, 0])]
    return graph(
        (2, 12, 12),
        (10,),
        conv(rng.normal(0, 0.25, (8, 2, 3, 3)), (12, 12), 1, 1),
        lif((8, 12, 12)),
        nir.AvgPool2d(*pool),
        conv(rng.normal(0, 0.4, (8, 8, 3, 3)), (6, 6), 1, 1),
        lif((8, 6, 6), kind="CubaLIF", decay_syn=0.5),
        nir.SumPool2d(*pool),
        nir.Flatten({"input": np.array([8, 3, 3])}, 0, -1),
        nir.Affine(rng.normal(0, 0.1, (10, 72)).astype("f4"), rng.normal(0, 0.1, 10).astype("f4")),
        lif((10,), kind="LI"),
    )


def test_the_folder_holds_what_it_says(tmp_path):
    net, x = mixed_net(), spikes(20, 30, 2, 12, 12, rate=0.1)
    labels = torch.arange(30) % 10
    done = deploy(net, "loihi", tmp_path / "build" / "chip", vectors=x, labels=labels, keep=4)
    assert done.files == [
        "README.md",
        "network.net",
        "network.nir",
        "report.json",
        "vectors.npz",
        "weights.npz",
    ]
    assert sorted(p.name for p in (tmp_path / "build").iterdir()) == ["chip"]  # nothing left beside it
    assert json.loads((done.folder / "report.json").read_text()) == done.report
    again = nir.read(done.folder / "network.nir")
    assert torch.equal(simulate(again, x).output, simulate(net, x).output)
    for name in ("vectors.npz", "weights.npz"):
        with np.load(done.folder / name, allow_pickle=False) as arrays:
            assert all(arrays[key].dtype != object for key in arrays.files)
    assert "fixed_pt" in (done.folder / "README.md").read_text()
    assert "float accuracy" in done.table() and done.report["samples"] == 30


def test_float_and_integer_agree_layer_by_layer(tmp_path):
    net, x = mixed_net(), spikes(20, 30, 2, 12, 12, rate=0.1)
    done = deploy(net, "loihi", tmp_path / "chip", vectors=x, labels=torch.zeros(30))
    first, second, last = done.report["layers"].values()
    assert first["identical_bins"] > 0.995 and first["count_ratio"] == pytest.approx(1, abs=0.02)
    assert second["identical_bins"] > 0.97 and second["correlation"] > 0.8
    assert last["correlation"] > 0.99
    assert done.agreement > 0.7 and set(done.report["output"]) >= {"float_accuracy", "integer_accuracy"}


def test_rates_of_the_report_are_those_of_the_float_network(tmp_path):
    net, x = dense([30, 20, 5], scale=0.4), spikes(25, 12, 30)
    done = deploy(net, "loihi", tmp_path / "chip", vectors=x)
    wanted = simulate(net, x).layers
    for name, row in done.report["layers"].items():
        assert row["float_rate"] == pytest.approx(float(wanted[name].mean()))
    assert "float_accuracy" not in done.report["output"] and done.float_accuracy is None


def test_the_netx_file_has_the_layout_of_lava_dl(tmp_path):
    done = deploy(mixed_net(), "loihi", tmp_path / "chip", vectors=spikes(8, 3, 2, 12, 12))
    layers, _ = loihi_layers(mixed_net(), {"8": 5.0})
    with h5py.File(done.folder / "network.net") as file:
        kinds = [file[f"layer/{i}/type"][0].decode() for i in range(5)]
        assert kinds == ["input", "conv", "conv", "flatten", "dense"] and len(file["layer"]) == 5
        assert [file[f"layer/{i}/shape"][()].tolist() for i in (0, 1, 2, 4)] == [
            [2, 12, 12],
            [8, 12, 12],
            [8, 6, 6],
            [10],
        ]
        for i, layer in zip((1, 2), layers, strict=False):
            group = file[f"layer/{i}"]
            weight = group["weight"][()]
            assert np.array_equal(weight, layer.synapse.weight.numpy()) and weight.dtype == np.int32
            assert (weight % 2 == 0).all() and weight.max() <= 254 and weight.min() >= -256
            assert group["neuron/iDecay"][()] == layer.du + 1 and group["neuron/vDecay"][()] == layer.dv
            assert group["neuron/vThMant"][()] == layer.vth and group["neuron/type"][0] == b"LOIHI"
            assert group["stride"][()].tolist() == list(layer.synapse.stride)
        assert file["layer/2/weight"].shape == (8, 8, 6, 6)  # pooling folded in
        assert file["layer/4/bias"].shape == (10,) and "neuron" not in file["layer/0"]


def test_the_test_vectors_reproduce_from_the_files_alone(tmp_path):
    """Inputs and integers from the .npz files, equations anew: the expected spikes come out."""
    x = spikes(12, 6, 30)
    done = deploy(dense([30, 20, 5], scale=0.4, bias=True), "loihi", tmp_path / "chip", vectors=x, keep=6)
    weights, vectors = (np.load(done.folder / f"{n}.npz") for n in ("weights", "vectors"))
    steps, shape = int(vectors["steps"]), tuple(vectors["input_shape"])
    row = np.zeros((steps, 6, *shape), dtype=np.int64)
    row[vectors["input_t"], vectors["input_b"], vectors["input_i"]] = 1
    assert steps == 14
    for i in range(2):
        du, dv, vth = weights[f"{i}_neuron"].astype(np.int64)
        w, bias = weights[f"{i}_weight"].astype(np.int64), weights[f"{i}_bias"].astype(np.int64)
        v = np.broadcast_to(weights[f"{i}_v0"].astype(np.int64), (6, len(w))).copy()
        assert du == 4095
        out, a = np.zeros((steps, 6, len(w)), dtype=np.int64), np.zeros((6, len(w)), dtype=np.int64)
        for t in range(steps):
            v = np.sign(v) * (np.abs(v) * (4096 - dv) // 4096) + (a + bias << 6)
            out[t] = v > vth << 6
            v[out[t] > 0] = 0
            a = row[t] @ w.T
        expected = np.zeros_like(out)
        expected[vectors[f"{i}_spikes_t"], vectors[f"{i}_spikes_b"], vectors[f"{i}_spikes_i"]] = 1
        assert np.array_equal(out, expected) and expected.sum() > 10
        row = out


def test_bias_at_work_before_the_spikes_arrive_is_taken_back():
    """Biases act from the first step, spikes arrive later: the start of the membrane makes up for it."""
    net, x = dense([30, 20, 8], scale=0.3, bias=True, kind="IF"), spikes(30, 20, 30)
    wanted = simulate(net, x).layers["3"]
    layers, _ = loihi_layers(net, {})
    assert all(layer.v0.any() for layer in layers)
    same = (run(layers, x)[1].spikes[2:32] == wanted).double().mean()
    assert same > 0.9


def test_reset_by_subtraction_is_reported_apart_from_rounding(tmp_path):
    net, x = dense([40, 64, 10], scale=0.35, kind="IF", reset="subtract", compare=">="), spikes(30, 40, 40)
    done = deploy(net, "loihi", tmp_path / "chip", vectors=x, labels=torch.zeros(40))
    assert any("resets by 'subtract'" in note for note in done.report["notes"])
    assert "float_with_reset_to_zero_accuracy" in done.report["output"]
    assert done.report["layers"]["1"]["count_ratio"] < 0.8


def test_counts_are_graded_spikes(tmp_path):
    counts = (3 * torch.rand(10, 4, 30)).floor()
    done = deploy(dense([30, 20, 5], scale=0.2), "loihi", tmp_path / "chip", vectors=counts)
    assert any("counts above 1" in note for note in done.report["notes"])
    assert "input_message_bits=8" in (done.folder / "README.md").read_text()
    assert done.report["layers"]["1"]["identical_bins"] > 0.98


def test_event_tensors_are_taken_as_they_are(tmp_path):
    net, x = dense([30, 20, 5], scale=0.4), spikes(10, 4, 30)
    events = deploy(net, "loihi", tmp_path / "a", vectors=EventTensor.from_dense(x, dt=1e-3))
    assert events.report == deploy(net, "loihi", tmp_path / "b", vectors=x).report


def test_nir_target(tmp_path):
    net, x = mixed_net(), spikes(10, 6, 2, 12, 12)
    done = deploy(net, "nir", tmp_path / "chip", vectors=x, labels=torch.zeros(6), keep=2)
    assert done.files == ["README.md", "network.nir", "report.json", "vectors.npz"]
    vectors, wanted = np.load(done.folder / "vectors.npz"), simulate(net, x).layers
    got = np.zeros((10, 2, 8 * 12 * 12))
    got[vectors["1_t"], vectors["1_b"], vectors["1_i"]] = 1
    assert np.array_equal(got, wanted["1"][:, :2].flatten(2).numpy()) and got.sum() > 0
    assert np.array_equal(vectors["8_v"], wanted["8"][:, :2].numpy())
    assert done.float_accuracy is not None and done.integer_accuracy is None
    from_file = deploy(done.folder / "network.nir", "nir", tmp_path / "again", vectors=x)
    assert (from_file.folder / "network.nir").read_bytes() == (done.folder / "network.nir").read_bytes()


# Bad input leaves nothing behind ----------------------------------------------------------------------------


def test_an_earlier_deployment_is_replaced_and_foreign_folders_are_not(tmp_path):
    net, x = dense([6, 4]), spikes(5, 2, 6)
    out = tmp_path / "chip"
    out.mkdir()  # empty is fine
    deploy(net, "loihi", out, vectors=x)
    deploy(net, "nir", out, vectors=x)
    assert not (out / "network.net").exists()
    (out / "report.json").unlink()
    before = sorted(p.name for p in out.iterdir())
    with pytest.raises(BadFolder, match="not empty and not an earlier deployment"):
        deploy(net, "loihi", out, vectors=x)
    assert sorted(p.name for p in out.iterdir()) == before and list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_file_in_the_way(tmp_path, where):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadFolder, match="is a file"):
        deploy(dense([6, 4]), "loihi", tmp_path / where, vectors=spikes(5, 2, 6))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(BadFolder, match="not writable"):
        deploy(dense([6, 4]), "loihi", tmp_path / "chip", vectors=spikes(5, 2, 6))


def test_a_place_that_no_one_can_write():
    with pytest.raises(BadFolder, match="choose another out"):
        deploy(dense([6, 4]), "loihi", "/proc/nothing/here", vectors=spikes(5, 2, 6))


def test_failures_leave_nothing(tmp_path):
    net, x = dense([6, 4]), spikes(5, 2, 6)
    broken = dense([6, 4])
    broken.nodes["0"].weight[:] = 0
    recurrent = dense([6, 6])
    recurrent.edges.append(("1", "0"))
    cases = [
        (net, {"target": "lohi"}, UnknownTarget, "did you mean 'loihi'"),
        (broken, {}, UnsupportedGraph, "all weights are zero"),
        (recurrent, {}, UnsupportedGraph, "cycle"),
        (net, {"labels": [1, 2, 3]}, UserError, "2 samples in vectors and 3 labels"),
        (net, {"vectors": spikes(5, 2, 7)}, UserError, "expected input of shape T B 6"),
        (net, {"vectors": 0.5 * x}, UserError, "encode analog input"),
        (net, {"keep": 0}, UserError, "at least 1"),
    ]
    for bad, changes, error, words in cases:
        with pytest.raises(error, match=words) as caught:
            deploy(bad, **{"target": "loihi", "out": tmp_path / "chip", "vectors": x, **changes})
        assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_targets_are_listed():
    assert {"loihi", "nir"} <= set(targets())
