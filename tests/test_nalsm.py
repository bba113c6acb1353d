"""NALSM: its liquid against the published order of operations written plainly, its phases, its readout, a quick run."""

import json
import os

import numpy as np
import pytest
import torch

from snnkit import datasets
from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.liquid import Liquid
from snnkit.recordings import Packed
from snnkit.systems import nalsm, reproduce
from snnkit.systems.nalsm import network, phases
from snnkit.systems.nalsm.readout import normalised, read_out
from snnkit.systems.nalsm.stimuli import Images, Recordings, probabilities
from snnkit.systems.reproduction import Setting

MS = 1e-3
CHANNELS, SIDE = 30, 5
needs_data = pytest.mark.skipif("SNNKIT_DATA" not in os.environ, reason="SNNKIT_DATA is not set")


# The liquid ---------------------------------------------------------------------------------------------------------


def published(wired, x, *, gain, eta=0.15, base=0.15, keep=1.0):
    """The order of a millisecond as the authors have it, in dense matrices: spikes, both weights, A(t)."""
    (M, N), T = wired.inputs.shape, len(x)
    w = np.vstack([wired.inputs.matrix(), wired.recurrent.matrix()])
    there = w != 0
    kind = np.concatenate([np.ones(M), wired.recurrent.sign])  # an input counts as excitatory
    low = np.where(np.arange(M + N) < M, -3.0, np.where(kind > 0, 0.0, -3.0))[:, None]
    high = np.where(kind > 0, 3.0, 0.0)[:, None]
    V, left, r, A, b, wa = np.zeros(N), np.zeros(N), np.zeros(M + N), base, base, gain
    since = np.full(M + N, np.inf)
    spikes, As = np.zeros((T, N)), []
    for t in range(T):
        s = (V >= 20.0) & (left <= 0)
        V = np.where(s, 0.0, V)
        both = np.concatenate([x[t] != 0, s])
        since = np.where(both, 0.0, since)
        V = V - V / 64.0 + np.exp(-since) @ w  # tau_u = 1 ms: exp(-t/tau_u)/tau_u
        since = since + 1.0
        left = np.where(s, 2.0, left - 1.0)
        pre, post = both[:, None].astype(float), s[None].astype(float)
        up, down = (kind > 0)[:, None], (kind < 0)[:, None]
        r_post = r[M:][None]
        dw = up * (eta * r[:, None] * post - A * r_post * pre) + down * (
            eta * r_post * pre - A * r[:, None] * post
        )
        w = np.where(there, np.clip(w + dw, low, high), 0.0)
        r = np.exp(-0.1) * (r + 0.1 * both)
        A = A + (-A + b + wa * (s.sum() - (x[t] != 0).sum())) / 100.0
        A, eta, b, wa = A * keep, eta * keep, b * keep, wa * keep
        spikes[t] = s
        As.append(A)
    return spikes, w, np.array(As)


def drive(steps, p=0.25, seed=0):
    return (np.random.default_rng(seed).random((steps, CHANNELS)) < p).astype(float)


def events(x):
    return EventTensor.from_dense(torch.tensor(x)[:, None].float(), MS)


def test_without_plasticity_it_is_the_published_loop_spike_for_spike():
    wired = network.wiring(CHANNELS, SIDE, seed=0)
    x = drive(150)
    expected, _, _ = published(wired, x, gain=0.0, eta=0.0, base=0.0)
    spikes = network.fixed(wired, 3.0).double()(events(x)).dense()[:, 0].numpy()
    assert np.array_equal(spikes, expected) and 0.005 < spikes.mean() < 0.3
    closest = [np.diff(np.flatnonzero(column)).min(initial=99) for column in spikes.T]
    assert min(closest) == 3, "two steps of silence after a spike, and no more"


def test_with_plasticity_it_stays_by_the_published_loop():
    """Only the weight of a current that is under way differs; a chaotic liquid shows it after some thirty steps."""
    wired = network.wiring(CHANNELS, SIDE, seed=0)
    x = drive(150)
    expected, w, A = published(wired, x, gain=0.1, keep=0.995)
    liquid = network.plastic(wired, 0.1).with_constants({"modulators.c": 0.995}).double()
    run = liquid.run(events(x), keep=["inputs.w", "recurrent.w"], record=["A"])
    spikes = run.spikes.dense()[:, 0].numpy()
    assert np.array_equal(spikes[:25], expected[:25]) and expected[:25].sum() > 50
    assert np.allclose(run.record["A"][:25, 0], A[:25], rtol=1e-6)
    assert spikes.sum() == pytest.approx(expected.sum(), rel=0.05)
    assert np.allclose(run.record["A"][:, 0], A, atol=0.01)
    matrices = []
    for label in ("inputs", "recurrent"):
        matrices.append(liquid.projection(label).replaced(w=run.final[f"{label}.w"][0].numpy()).matrix())
    moved = np.abs(w - np.vstack([wired.inputs.matrix(), wired.recurrent.matrix()])).sum()
    assert np.abs(np.vstack(matrices) - w).sum() < 0.15 * moved and moved > 10


def test_the_wiring_is_that_of_the_paper():
    wired = network.wiring(784, 10, seed=3)
    back, into = wired.recurrent, wired.inputs
    assert (np.abs(back.w) == 3.0).all() and np.array_equal(np.sign(back.w), back.sign[back.pre])
    assert (back.sign == -1).sum() == 200 and not (back.pre == back.post).any()
    assert len(into) / 784_000 == pytest.approx(0.15, abs=0.003) and (np.abs(into.w) == 3.0).all()
    assert (into.w > 0).mean() == pytest.approx(0.5, abs=0.01)
    x, excitatory = back.positions, back.sign > 0
    joined = np.zeros((1000, 1000), bool)
    joined[back.pre, back.post] = True
    distance = np.linalg.norm(x[:, None] - x[None], axis=-1)
    near = (distance > 0.5) & (distance < 2.5)
    law = np.exp(-((distance / 3.0) ** 2))
    for pre, post, c in ((1, 1, 0.2), (1, 0, 0.1), (0, 1, 0.3), (0, 0, 0.05)):
        pairs = near & (excitatory == pre)[:, None] & (excitatory == post)[None]
        expected = c * law[pairs].sum()
        assert abs(joined[pairs].sum() - expected) < 4 * np.sqrt(expected)
    first, again = network.wiring(784, 10, seed=3), network.wiring(784, 10, seed=4)
    assert np.array_equal(first.recurrent.pre, back.pre) and not np.array_equal(
        again.inputs.w[:99], into.w[:99]
    )


def test_the_astrocyte_holds_a_liquid_that_plain_stdp_lets_run_away():
    wired = network.wiring(CHANNELS, SIDE, seed=1)
    x = np.stack([drive(100, seed=k) for k in range(15)], 1)
    shown = EventTensor.from_dense(torch.tensor(x).float(), MS)
    rates = {}
    for gain in (0.1, 0.0):
        run = network.plastic(wired, gain).learn(shown).run(shown, record=["n_out", "n_in"])
        rates[gain] = float(run.record["n_out"][20:].mean() / run.record["n_in"][20:].mean())
    assert 0.5 < rates[0.1] < 2.0, "the liquid is as active as its input"
    assert rates[0.0] > 1.5 * rates[0.1]


# Stimuli ------------------------------------------------------------------------------------------------------------


def test_pixels_become_probabilities_that_add_up_alike():
    images = np.array([[[0.0, 1.0], [1.0, 2.0]], [[0.0, 0.0], [0.5, 0.0]]], np.float32)
    p = probabilities(images)
    assert p.tolist() == [[0.0, 0.25, 0.25, 0.5], [0.0, 0.0, 1.0, 0.0]]
    assert not probabilities(np.zeros((2, 2, 2))).any(), "black images are silent"


def few_images():
    p = {k: np.full((6, 4), 0.3, np.float32) for k in ("train", "test")}
    return Images(p, p, {k: np.arange(6) % 2 for k in p}, 4)


def test_a_sample_has_its_own_coins_wherever_it_stands():
    images = few_images()
    both = images.show("train", np.array([4, 2]), 50, seed=1)
    alone = images.show("train", np.array([2]), 50, seed=1)
    assert torch.equal(both.dense()[:, 1:], alone.dense()) and alone.nnz > 20
    assert not torch.equal(alone.dense(), images.show("test", np.array([2]), 50, seed=1).dense())
    assert not torch.equal(alone.dense(), images.show("train", np.array([2]), 50, seed=2).dense())
    twice = images.glimpses(np.array([2, 2]), 50, seed=0).dense()
    assert not torch.equal(twice[:, 0], twice[:, 1]), "a sample that is drawn again gets new coins"


def test_recordings_are_binned_to_presence():
    t = np.array([0, 400, 900, 5200, 260_000, 7000], np.int64)
    x, y = np.array([0, 0, 1, 1, 0, 1], np.int16), np.zeros(6, np.int16)
    p = np.array([0, 0, 0, 1, 1, 1], np.uint8)
    packed = Packed(t, x, y, p, np.array([0, 5, 6]), (2, 1, 2))
    ds = datasets.EventDataset("few", packed, np.array([0, 1]), ("a", "b"))
    shown = Recordings({"train": ds, "test": ds}, {"train": ds.labels, "test": ds.labels}, 4)
    dense = shown.show("train", np.array([1, 0]), 250, seed=0).dense()
    assert dense.shape == (250, 2, 4) and dense.max() == 1.0, "two events in one step are one spike"
    assert dense.nonzero().tolist() == [[0, 1, 0], [0, 1, 1], [5, 1, 3], [7, 0, 3]], (
        "what comes later is cut off"
    )
    assert shown.raw("train", np.array([0, 1])).tolist() == [[2, 1, 1, 1], [0, 0, 0, 1]]
    windows = shown.glimpses(np.zeros(300, int), 20, seed=0)
    assert 0 < windows.nnz < 300 and windows.shape == (20, 300, 4)


# Phases -------------------------------------------------------------------------------------------------------------


def small(gain=0.1):
    return network.plastic(network.wiring(4, 3, seed=0), gain)


def test_features_are_read_from_a_copy_of_the_weights_of_each_sample():
    liquid, images = small(), few_images()
    before = network.weights_of(liquid)
    all_of_them = phases.features(liquid, images, "train", np.arange(6), Setting(), "x", 0).array
    assert all_of_them.dtype == np.uint8 and all_of_them.any()
    last = phases.features(liquid, images, "train", np.array([5]), Setting(), "x", 0).array
    assert np.array_equal(all_of_them[5:], last), "no sample sees what another one learned"
    assert np.array_equal(network.weights_of(liquid), before)


def test_the_initialisation_carries_weights_on_and_is_kept(tmp_path):
    liquid, images = small(), few_images()
    said = []
    setting = Setting(keep=tmp_path, say=said.append)
    ids = np.arange(6)
    tuned, seconds = phases.initialised(liquid, images, ids, setting, "nalsm-seed0", 0)
    expected = liquid.learn(images.glimpses(ids, phases.GLIMPSE, 0))
    assert np.array_equal(network.weights_of(tuned), network.weights_of(expected))
    assert not np.array_equal(network.weights_of(tuned), network.weights_of(liquid))
    assert said == ["nalsm-seed0: initialisation 0 of 6 samples"]
    again, same = phases.initialised(liquid, images, ids, setting, "nalsm-seed0", 0)
    assert len(said) == 1 and np.array_equal(network.weights_of(again), network.weights_of(tuned))
    assert same == seconds > 0, "the time of the run that did the work"


def test_a_kept_array_that_was_changed_is_refused(tmp_path):
    setting = Setting(keep=tmp_path)
    make = lambda: np.arange(5)
    assert phases.kept(setting, "part", make).array.tolist() == [0, 1, 2, 3, 4]
    np.save(tmp_path / "part.npy", np.arange(6))
    with pytest.raises(UserError, match=r"is not what was written; delete it and part.json"):
        phases.kept(setting, "part", make)
    (tmp_path / "part.npy").unlink()
    with pytest.raises(UserError, match=r"cannot be read .*delete part.json beside it"):
        phases.kept(setting, "part", make)
    (tmp_path / "part.json").unlink()
    assert phases.kept(setting, "part", make).array.tolist() == [0, 1, 2, 3, 4]


def test_samples_of_training_validation_and_test_do_not_overlap():
    sizes = {"init": 25, "train": 10, "val": 6, "test": 5}
    drawn = phases.Samples.draw(sizes, 20, 7, seed=0).ids
    assert {k: len(v) for k, v in drawn.items()} == sizes
    assert not set(drawn["train"]) & set(drawn["val"]) and set(drawn["init"]) == set(drawn["train"])
    assert len(set(drawn["test"])) == 5 and max(drawn["test"]) < 7


def test_the_sizes_of_a_small_set_are_all_it_has():
    plan = nalsm.plan_of(Setting(dataset="nmnist", neurons=1000), 1000, 100)
    assert plan.sizes == {"init": 10_000, "train": 834, "val": 166, "test": 100} and plan.side == 10
    full = nalsm.plan_of(Setting(dataset="mnist-full", neurons=8000), 60_000, 10_000)
    assert full.sizes == {"init": 50_000, "train": 50_000, "val": 10_000, "test": 10_000}
    assert full.side == 20 and full.gain == 0.0075


# Readout ------------------------------------------------------------------------------------------------------------


def test_features_are_normalised_sample_by_sample():
    x = {"train": np.array([[1, 3], [4, 0], [0, 0]], np.uint8), "val": np.array([[10, 30]], np.uint8)}
    found = normalised(x)
    assert np.array_equal(found["val"][0], found["train"][0]), (
        "only the shares count, not how many spikes there are"
    )
    assert (
        found["train"].mean(0) == pytest.approx([0.0, 0.0], abs=1e-6) and found["train"].dtype == np.float32
    )


def test_the_penalty_is_chosen_on_validation_samples_alone():
    rng = np.random.default_rng(0)
    labels = {k: rng.integers(0, 3, n) for k, n in (("train", 90), ("val", 60), ("test", 60))}
    x = {k: rng.poisson(3 + 3 * np.eye(3)[y].repeat(4, 1)) for k, y in labels.items()}
    read = read_out(x, labels)
    each = [read_out(x, labels, (c,)) for c in (1e-4, 1e-3, 1e-2)]
    assert read.validation >= max(r.validation for r in each) and read.test > 0.6
    blind = read_out({k: x[k] for k in ("train", "val")}, labels)
    assert blind.test is None and (blind.validation, blind.penalty) == (read.validation, read.penalty)


# The run ------------------------------------------------------------------------------------------------------------


@needs_data
def test_a_quick_run_reports_all_arms_and_goes_on_where_it_stopped(tmp_path):
    setting = Setting(quick=True, seeds=(0,), keep=tmp_path / "keep")
    found = reproduce("nalsm", setting)
    runs = found.details["runs"]
    assert {k: len(v) for k, v in runs.items()} == {"nalsm": 1, "fixed": 1, "stdp": 1, "raw": 1}
    assert runs["nalsm"][0]["test"] > 0.3, "chance is 0.1"
    astrocyte, plain = np.array(runs["nalsm"][0]["A"]), np.array(runs["stdp"][0]["A"])
    assert astrocyte.shape == (250,) and np.allclose(plain, 0.15 * 0.99 ** np.arange(1, 251), rtol=1e-4)
    assert np.mean(runs["nalsm"][0]["n_out"]) < np.mean(runs["stdp"][0]["n_out"])
    w = runs["fixed"][0]["validation by w"]
    assert runs["fixed"][0]["w"] == max((0.8, 3.0), key=lambda k: (w[str(k)], -k))
    out = tmp_path / "out"
    out.mkdir()
    assert {p.name for p in found.write(out)} == {
        "result.json", "table.md", "astrocyte.png", "branching.png", "sweep.png",
    }  # fmt: skip
    assert json.loads((out / "result.json").read_text())["dataset"] == "mnist"

    def never(*_, **__):
        raise AssertionError("all parts are kept")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Liquid, "run", never)
        again = reproduce("nalsm", setting)
    assert [r.values for r in again.rows] == [r.values for r in found.rows]


@needs_data
def test_recordings_of_an_event_camera_run_too():
    found = reproduce("nalsm", Setting(quick=True, seeds=(0,), dataset="nmnist"))
    assert found.setting.dataset == "nmnist" and found.details["runs"]["nalsm"][0]["test"] > 0.3


@needs_data
@pytest.mark.parametrize("dataset", ["mnist", "fashion"])
def test_the_sets_of_images_are_found(dataset):
    images = nalsm.load(dataset, Setting())
    assert images.channels == 784 and len(images.labels["train"]) == 60_000
    total = images.p["train"].sum(1)
    assert total == pytest.approx(np.full(60_000, total[0]), rel=1e-4) and images.p["test"].max() == 1.0


def test_sizes_and_sets_that_are_not_offered_are_refused():
    with pytest.raises(UserError, match="it offers 1000, 8000"):
        reproduce("nalsm", Setting(neurons=500))
    with pytest.raises(UserError, match="it offers mnist, nmnist, fashion, mnist-full, fashion-full"):
        reproduce("nalsm", Setting(dataset="cifar10"))
