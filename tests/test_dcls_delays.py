"""The delays of system 1: its block against the published equations, arms, splits, schedules, and quick runs."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

import snnkit
from snnkit import systems
from snnkit.cli.app import run
from snnkit.layers import BatchNorm, DelayedLinear, Linear, Recurrent, rounded_delays
from snnkit.neurons import LIF
from snnkit.systems.dcls_delays import data, network, training
from snnkit.systems.dcls_delays.network import ARMS, FIXED, LEARNED, LONG_TAU, RECURRENT, SHORT, Config

SMALL = Config(
    inputs=2, classes=3, hidden=(6, 5), steps=30, longest=8, dropout=0.0, epochs=4, batch=20, sharp="integer"
)


def net_of(arm: str, config: Config = SMALL, seed: int = 0) -> torch.nn.Module:
    return network.build(arm, config, torch.Generator().manual_seed(seed))


def pulses(config: Config = SMALL, batch: int = 20, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return (torch.rand(config.steps, batch, config.inputs, generator=g) < 0.3).float()


# -- the layer ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["gaussian", "two-tap", "integer"])
@pytest.mark.parametrize("delay", [0, 24])
def test_an_impulse_leaves_at_its_delay(form, delay):
    layer = DelayedLinear(
        1, 1, max_delay=0.24, dt=0.01, form=form, sigma=0.01 if form == "gaussian" else None,
        initial_delay=delay * 0.01, tail=0.24,
    )  # fmt: skip
    layer.weight.data.fill_(1.0)
    x = torch.zeros(5, 1, 1)
    x[2] = 1.0
    y = layer(x).flatten()
    expected = torch.zeros(29)
    expected[2 + delay] = 1.0
    torch.testing.assert_close(y, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("target, sign", [(4, 1.0), (16, -1.0)])
def test_the_gradient_moves_a_delay_towards_where_its_spike_is_wanted(target, sign):
    layer = DelayedLinear(1, 1, max_delay=0.24, dt=0.01, form="gaussian", sigma=4.0, initial_delay=0.10)
    layer.weight.data.fill_(1.0)
    x = torch.zeros(25, 1, 1)
    x[0] = 1.0
    (-layer(x)[target]).sum().backward()
    assert math.copysign(1.0, layer.delay.grad.item()) == sign  # descent goes the other way


@pytest.mark.parametrize("sigma", [0.3, 0.5, 3.0, 12.27])
def test_the_blurred_tap_keeps_its_weight(sigma):
    layer = DelayedLinear(3, 2, max_delay=0.24, dt=0.01, form="gaussian", sigma=sigma, tail=0.24)
    x = torch.zeros(1, 3, 3)
    x[0] = torch.eye(3)  # sample i: one spike of input i
    torch.testing.assert_close(layer(x).sum(0), layer.weight.detach(), atol=1e-5, rtol=1e-5)


# -- the network ----------------------------------------------------------------------------------------------------------


def naive_block(layer: DelayedLinear, norm: BatchNorm, tau: float, x: torch.Tensor) -> torch.Tensor:
    """Whole delays, normalisation over time and batch, v[t] = (1 - dt/τ)·v[t-1] + x[t], spike at 1, reset to 0."""
    delay, w = (layer.delay + 0.5).floor().long(), layer.weight
    steps = len(x) + layer.tail
    y = torch.zeros(steps, x.shape[1], layer.out_features)
    for t in range(len(x)):
        for i in range(layer.in_features):
            for o in range(layer.out_features):
                if (at := t + int(delay[i, o])) < steps:
                    y[at, :, o] += w[i, o] * x[t, :, i]
    mean, var = y.mean((0, 1)), y.var((0, 1), unbiased=False)
    y = (y - mean) / torch.sqrt(var + norm.eps)
    v, out = torch.zeros(x.shape[1], layer.out_features), []
    for row in y:
        v = (1 - 0.01 / tau) * v + row
        out.append((v >= 1).float())
        v = torch.where(v >= 1, torch.zeros_like(v), v)
    return torch.stack(out)


@torch.no_grad()
def test_a_block_is_that_of_the_publication():
    net, x = net_of(FIXED), pulses()
    layer, norm = net[0], net[1]
    spikes = net[2](norm(layer(x)))
    expected = naive_block(layer, norm, SMALL.tau, x)
    assert spikes.sum() > 100
    assert (spikes != expected).float().mean() < 1e-3  # rounding at the threshold


def test_the_score_is_the_sum_of_softmaxes_of_a_membrane_that_never_fires():
    net, x = net_of(LEARNED).eval(), pulses()
    s = x
    for layer in net[:-1]:
        s = layer(s)
    v, expected = torch.zeros(20, 3), torch.zeros(20, 3)
    for row in s:
        v = (1 - 0.01 / SMALL.tau) * v + row
        expected += v.softmax(1)
    torch.testing.assert_close(network.scores(net, x, SMALL), expected, atol=1e-4, rtol=1e-4)
    assert len(s) == SMALL.steps + SMALL.silence


def test_arms_have_one_size_and_differ_in_what_remembers():
    nets = {arm: net_of(arm) for arm in ARMS}
    counts = {arm: network.parameter_count(net) for arm, net in nets.items()}
    assert len({c["synapses"] for c in counts.values()}) == 1
    assert {arm for arm, c in counts.items() if c["delay count"]} == {LEARNED, FIXED}
    assert counts[LEARNED]["delay count"] == counts[LEARNED]["synapses"] == 2 * 6 + 6 * 5 + 5 * 3
    assert {arm for arm, c in counts.items() if c["extra"]} == {RECURRENT} and counts[RECURRENT][
        "extra"
    ] == 61
    tau = {arm: float(next(m for m in net.modules() if isinstance(m, LIF)).tau) for arm, net in nets.items()}
    assert tau[LEARNED] == tau[FIXED] == tau[SHORT] == pytest.approx(SMALL.tau)
    assert tau[LONG_TAU] == pytest.approx(0.1)
    assert any(isinstance(m, Recurrent) for m in nets[RECURRENT].modules())
    for net in nets.values():
        bound = [m.weight.abs().max() for m in net if isinstance(m, DelayedLinear | Linear)]
        assert all(
            0.5 * math.sqrt(6 / n) < b <= math.sqrt(6 / n) for b, n in zip(bound, (2, 6, 5), strict=True)
        )


# -- training -------------------------------------------------------------------------------------------------------------


def task(config: Config = SMALL, count: int = 40) -> data.Task:
    """Lags of 0, 4 and 8 steps."""
    rng = np.random.default_rng(0)

    def part():
        ds = data.coincidence(6 * 20, rng, config.steps)
        return ds.subset(np.flatnonzero(ds.labels < 3)[:count])

    return data.Task(part(), part(), part(), config, "")


def quiet(_: str) -> None:
    pass


def test_learned_delays_move_and_stay_in_range_and_fixed_ones_do_not():
    for arm in (LEARNED, FIXED):
        start = [m.delay.detach().clone() for m in network.delay_layers(net_of(arm))]
        net, found = training.train(arm, task(replace(SMALL, batch=4)), 0, quiet)
        end = [m.delay.detach() for m in network.delay_layers(net)]
        assert len(end) == 3 and len(found["delays"]) == SMALL.epochs + 1
        assert all(sum(h) == e.numel() for h, e in zip(found["delays"][-1], end, strict=True))
        for a, b in zip(start, end, strict=True):
            moved = (a - b).abs().max()
            assert moved > 1.0 if arm == LEARNED else moved <= 0.5  # by rounding
            assert b.min() >= 0 and b.max() <= SMALL.longest and torch.equal(b, b.round())


def test_delays_rest_when_they_should_and_weights_go_on():
    found = training.train(LEARNED, task(replace(SMALL, batch=2, rest=0.5)), 0, quiet)[1]
    moves = [a != b for a, b in zip(found["delays"], found["delays"][1:], strict=False)]
    assert moves[:2] == [True, True] and moves[2:] == [False, False]
    assert len(set(found["loss"])) == SMALL.epochs


def test_training_again_gives_the_same_and_another_seed_does_not():
    runs = [training.train(LEARNED, task(), seed, quiet)[1] for seed in (0, 0, 1)]
    assert runs[0]["loss"] == runs[1]["loss"] != runs[2]["loss"]
    assert runs[0]["delays"] == runs[1]["delays"]


def test_rounding_leaves_the_delays_that_are_trained_alone():
    net = net_of(LEARNED)
    before = [m.delay.detach().clone() for m in network.delay_layers(net)]
    rounded = rounded_delays(net)
    training.judge(rounded, training.loader(task(), "valid"), SMALL)
    after = network.delay_layers(net)
    assert all(torch.equal(a, m.delay) and m.delay.requires_grad for a, m in zip(before, after, strict=True))
    assert all((a != a.round()).any() for a in before) and net.training
    assert all(torch.equal(m.delay, m.delay.round()) for m in network.delay_layers(rounded))


def test_rates_follow_one_cycle_and_a_cosine():
    config = replace(SMALL, epochs=20)
    net = net_of(LEARNED, config)
    schedules = training.Schedules(net, config.epochs)
    weights, delays = schedules.optimisers
    rates = []
    for _ in range(config.epochs):
        rates.append((weights.param_groups[0]["lr"], delays.param_groups[0]["lr"]))
        schedules.step(network.scores(net, pulses(), config).sum())
        schedules.next_epoch()
    up, down = zip(*rates, strict=True)
    assert up[0] == pytest.approx(5e-3 / 25) and max(up) == pytest.approx(5e-3, rel=0.05)
    assert 0 < up.index(max(up)) < 10
    assert down[0] == pytest.approx(0.1) and down[10] == pytest.approx(0.05) and min(down) > 0
    assert delays.param_groups[0]["weight_decay"] == 0
    assert [g["weight_decay"] for g in weights.param_groups] == [1e-5, 0.0]  # synapses; normalisation
    assert len(training.Schedules(net_of(FIXED), 4).optimisers) == 1


def test_width_shrinks_in_a_quarter_and_then_the_form_is_the_sharp_one():
    config = replace(SMALL, epochs=40, longest=24)
    net = net_of(LEARNED, config)
    seen = []
    for epoch in (0, 5, 9, 10, 39):
        training.shape_delays(net, config, epoch)
        seen.append({(round(m.sigma, 2), m.form) for m in network.delay_layers(net)})
    assert all(len(s) == 1 for s in seen)
    (widths, forms) = zip(*(next(iter(s)) for s in seen), strict=True)
    assert widths[0] == pytest.approx(12.27) and widths[0] > widths[1] > widths[2] > widths[3]
    assert forms == ("gaussian",) * 3 + ("integer",) * 2


# -- data -----------------------------------------------------------------------------------------------------------------


def test_every_lag_has_the_same_spikes_on_both_channels():
    ds = data.coincidence(210, np.random.default_rng(3))
    x = ds.packed.frames(dt=network.DT, steps=100)[:, :, 0, 0]
    assert x.shape == (100, 210, 2) and set(x.unique().tolist()) == {0.0, 1.0}
    for k in range(0, 210, 7):
        assert torch.equal(x[:, k, 0].roll(4 * int(ds.labels[k])), x[:, k, 1])
    assert (x.sum(0) == data.PULSES).all()
    assert np.bincount(ds.labels).tolist() == [35] * 6


def test_pooling_adds_neighbouring_channels():
    ds = data.coincidence(21, np.random.default_rng(0))
    both = data.pooled(ds, 2)
    whole, parts = (d.packed.frames(dt=0.01, steps=100).flatten(2) for d in (both, ds))
    assert whole.shape[2] == 1 and torch.equal(whole[..., 0], parts.sum(2))


needs_data = pytest.mark.skipif("SNNKIT_DATA" not in os.environ, reason="needs spoken digits in SNNKIT_DATA")


@pytest.fixture
def silent_cochlea(monkeypatch):
    """Splits without the work of encoding."""
    from snnkit.datasets import EventDataset, Events, load
    from snnkit.recordings import end_to_end

    def encoded(name, encoder, setting):
        sounds = load(name, "all", progress=False)
        one = Events([10], [3], [0], [0], sensor=(1, 1, encoder.channels))
        about = {k: sounds.column(k) for k in sounds.about}
        return EventDataset(name, end_to_end([one] * len(sounds)), sounds.labels, sounds.classes, about=about)

    monkeypatch.setattr(data, "encoded", encoded)


@needs_data
@pytest.mark.parametrize("dataset", ["fsdd", "fsdd-speakers", "speech-commands"])
def test_parts_share_no_recording_and_where_asked_no_speaker(dataset, silent_cochlea):
    tested = set()
    for seed in (0, 1):
        t = data.load(systems.Setting(dataset=dataset), seed)
        parts = (t.train, t.valid, t.test)
        ids = [set(p.ids.tolist()) for p in parts]
        assert all(len(i) >= 50 for i in ids)
        assert not (ids[0] & ids[1] or ids[0] & ids[2] or ids[1] & ids[2])
        voices = [set(p.column("speaker").tolist()) for p in parts]
        if dataset == "fsdd":
            assert len(t.test) == 300 and (t.test.column("take") < 5).all() and len(t.valid) == 270
        else:
            assert not (voices[0] & voices[1] or voices[0] & voices[2] or voices[1] & voices[2])
        tested |= voices[2]
    assert len(tested) == 2 if dataset == "fsdd-speakers" else True


@needs_data
def test_encoded_sounds_are_kept(tmp_path, monkeypatch):
    from snnkit.encoders import MelCochlea

    monkeypatch.setenv("SNNKIT_CACHE", str(tmp_path))
    said = []
    setting = systems.Setting(dataset="fsdd", say=said.append)
    encoder = MelCochlea(bands=4, hop=0.02, rate=8000)
    first = data.encoded("fsdd", encoder, setting)
    again = data.encoded("fsdd", encoder, setting)
    assert len(said) == 1 and "3000" in said[0]
    assert np.array_equal(first.packed.t, again.packed.t) and len(first) == 3000 and first.events > 3000
    one = encoder(snnkit.datasets.load("fsdd", "all", progress=False)[7][0])
    assert np.array_equal(again[7][0].t, one.t) and np.array_equal(again[7][0].x, one.x)


# -- the experiment -----------------------------------------------------------------------------------------------------


def test_a_quick_run_goes_on_where_it_stopped(tmp_path, capsys):
    keep, out = tmp_path / "keep", tmp_path / "out"
    command = ["reproduce", "dcls-delays", "--quick", "--seeds", "1", "--json", "--keep", str(keep)]
    assert run([*command, "--out", str(out)]) == 0
    first = json.loads(capsys.readouterr().out)
    rows = {r["what"]: r for r in first["rows"]}
    for arm in ARMS:
        assert 0 <= rows[f"{arm}: test accuracy, last epoch"]["mean"] <= 1
        assert f"{arm}: test accuracy, epoch chosen on validation" in rows
    energy = [r for w, r in rows.items() if w.startswith(LEARNED) and "energy" in w]
    assert len(energy) == 3 and all(r["mean"] > 0 and "delays" in r["note"] for r in energy)
    assert "8 are certain" in energy[0]["note"] and "no published limit" in energy[2]["note"]
    assert not any("delays" in r["note"] for w, r in rows.items() if w.startswith(SHORT) and "energy" in w)
    held = first["details"]["delays on chips"]
    assert held["xylo"] == "refused: delays up to 24 steps, but xylo has no synaptic delays"
    assert "holds up to 14" in held["truenorth"]
    assert first["details"]["arms"][SHORT][0]["last"] == rows[f"{SHORT}: test accuracy, last epoch"]["mean"]
    assert (out / "delays.png").stat().st_size > 5000 and (out / "accuracy.png").stat().st_size > 5000
    kept = list((keep / "dcls-delays-coincidence").iterdir())
    assert len(kept) == len(ARMS)
    next(p for p in kept if "recurrent" in p.name).unlink()
    assert run(command) == 0
    again = json.loads(capsys.readouterr().out)
    strip = [[r["values"] for r in result["rows"]] for result in (first, again)]
    assert strip[0] == strip[1]


def write_heidelberg(folder, name: str, part: str, classes: int, count: int, seed: int) -> None:
    """A file in the layout of SHD and SSC: the class is where along the membrane most spikes are."""
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % classes)
    with h5py.File(folder / f"{name}_{part}.h5", "w") as file:
        file["labels"] = labels.astype(np.uint16)
        times = file.create_dataset("spikes/times", (count,), dtype=h5py.vlen_dtype(np.float16))
        units = file.create_dataset("spikes/units", (count,), dtype=h5py.vlen_dtype(np.uint16))
        for i, label in enumerate(labels):
            times[i] = np.sort(rng.random(60)).astype(np.float16)
            units[i] = (rng.normal(20 * label + 20, 8, 60) % 700).astype(np.uint16)
        file["extra/speaker"] = (np.arange(count) % 6).astype(np.uint16)


@pytest.mark.parametrize("name, parts", [("shd", ("train", "test")), ("ssc", ("train", "valid", "test"))])
def test_the_heidelberg_sets_run_with_one_command(name, parts, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SNNKIT_CACHE", str(tmp_path / "cache"))
    for k, part in enumerate(parts):
        write_heidelberg(tmp_path, name, part, {"shd": 20, "ssc": 35}[name], 140, k)
    t = data.load(systems.Setting(dataset=name, root=tmp_path), 0)
    assert t.train.shape == (1, 1, 140) and len(t.train) + len(t.valid) == 140 * (len(parts) - 1)
    assert t.config.hidden == ((256, 256) if name == "shd" else (512, 512, 512))
    if name == "shd":
        voices = [set(p.column("speaker").tolist()) for p in (t.train, t.valid)]
        assert voices[1] and not voices[0] & voices[1]
        monkeypatch.setattr(systems.dcls_delays, "ARMS", (LEARNED, FIXED, SHORT))
        command = ["reproduce", "dcls-delays", "--quick", "--seeds", "1", "--dataset", "shd", "--json"]
        assert run([*command, "--root", str(tmp_path)]) == 0
        rows = {r["what"]: r for r in json.loads(capsys.readouterr().out)["rows"]}
        assert "95.07" in rows[f"{LEARNED}: test accuracy, last epoch"]["published"]


def test_a_set_that_is_not_here_says_where_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("SNNKIT_DATA", raising=False)
    monkeypatch.setenv("SNNKIT_CACHE", str(tmp_path))
    assert run(["reproduce", "dcls-delays", "--dataset", "shd", "--quick", "--seeds", "1"]) == 2
    assert "zenkelab.org" in capsys.readouterr().err
