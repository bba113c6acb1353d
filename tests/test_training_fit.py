"""The training loop: it learns, it repeats itself, it is silent, and it leaves only what was asked for."""

import csv
import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from snnkit.errors import UserError
from snnkit.layers import DelayedLinear, DelayWidth, Linear, Sequential
from snnkit.neurons import LIF, LeakyIntegrator
from snnkit.training import (
    RateBounds,
    cross_entropy,
    evaluate,
    fit,
    load_weights,
    loop,
    membrane_cross_entropy,
    predict,
    spikes_of,
)

pytest.importorskip("lightning")


def loader(n=96, seed=0, shuffle=True, batch_size=16):
    """Two classes, told apart by the sign of the first of four inputs."""
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=batch_size, shuffle=shuffle)


def small_net(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2)
        )


def train(net=None, *, train=None, val=None, **options):
    net = small_net() if net is None else net
    options = {"loss": cross_entropy, "epochs": 4, "lr": 1e-2, "progress": False, **options}
    return net, fit(net, train or loader(), val, **options)


def figures(result):
    return [(e.loss, e.accuracy, e.val_loss, e.val_accuracy, e.lr) for e in result.history]


def test_it_learns_and_ends_in_evaluation_mode():
    net, result = train(val=loader(seed=1, shuffle=False), epochs=8)
    assert result.history[-1].loss < 0.7 * result.history[0].loss
    assert evaluate(net, loader(200, seed=2)).accuracy > 0.9
    assert not any(module.training for module in net.modules())


def test_same_seed_same_result_and_the_global_generator_is_untouched():
    torch.manual_seed(7)
    state = torch.get_rng_state()
    a, first = train(val=loader(seed=1, shuffle=False), seed=3)
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(5)  # whatever the caller did in between
    b, second = train(val=loader(seed=1, shuffle=False), seed=3)
    _, third = train(val=loader(seed=1, shuffle=False), seed=4)
    assert figures(first) == figures(second) != figures(third)
    assert all(
        torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_a_loader_with_passes_starts_at_its_first():
    class Passes(list):
        epoch = 5

        def set_epoch(self, epoch):
            self.epoch = epoch

    passes = Passes(loader(shuffle=False))
    train(train=passes)
    assert passes.epoch == 0


def test_learning_rate_rises_then_falls_along_a_cosine():
    _, result = train(epochs=10, lr=0.01, warmup=0.2)  # 6 batches an epoch: 12 steps up, 48 down
    rates = [e.lr for e in result.history]
    assert rates[0] < rates[1] and rates[-1] == pytest.approx(0, abs=1e-9)
    assert rates[1] == pytest.approx(0.01)  # after step 12
    assert rates[5] == pytest.approx(0.005)  # after step 36, half way down


def test_the_network_holds_the_best_epoch(tmp_path):
    val = loader(seed=1, shuffle=False)
    net, result = train(val=val, epochs=6, lr=0.3, out=tmp_path / "run")  # jumps about
    best = max(result.history, key=lambda e: (e.val_accuracy, -e.val_loss))
    assert (result.best_epoch, result.best_accuracy) == (best.epoch, best.val_accuracy)
    assert evaluate(net, val).accuracy == best.val_accuracy
    saved = small_net(9)
    assert load_weights(saved, tmp_path / "run" / "weights")["epoch"] == best.epoch
    assert all(
        torch.equal(p, q) for p, q in zip(saved.state_dict().values(), net.state_dict().values(), strict=True)
    )


def test_delays_have_their_rate_stay_in_range_and_narrow_by_epochs():
    g = torch.Generator().manual_seed(0)
    layer = DelayedLinear(4, 2, max_delay=4e-3, dt=1e-3, form="gaussian", generator=g)
    net, seen = Sequential(layer, LeakyIntegrator(tau=5e-3, dt=1e-3)), []
    before, width = layer.delay.detach().clone(), DelayWidth(epochs=4)

    def narrow(epoch):
        width.apply(net, epoch)
        seen.append((epoch, layer.sigma))

    x = torch.randn(10, 32, 4, generator=g)
    batches = [(x, (x[0, :, 0] > 0).long())] * 6
    train(net, train=batches, loss=membrane_cross_entropy, before_epoch=narrow)
    assert seen == [(e, pytest.approx(width.at(e, 5))) for e in range(4)] and layer.sigma == seen[-1][1]
    delay = layer.delay.detach()
    moved = (delay - before).abs().max()
    assert float(moved) > 0.5 and float(delay.min()) >= 0 and float(delay.max()) <= 4


def test_early_stop_waits_for_patience():
    val = [(torch.zeros(4, 4), torch.tensor([0, 1, 0, 1]))]  # nothing to learn: equal inputs, unequal labels
    frozen = nn.Sequential(nn.Linear(4, 2))
    frozen[0].weight.requires_grad_(False)
    frozen[0].bias.data.zero_()
    _, result = train(frozen, val=val, epochs=30, patience=2)
    assert len(result.history) == result.best_epoch + 3 < 30


def test_nothing_is_written_or_said(tmp_path, monkeypatch, capfd, recwarn):
    monkeypatch.chdir(tmp_path)
    train(val=loader(seed=1, shuffle=False))
    assert os.listdir(tmp_path) == []
    assert capfd.readouterr() == ("", "")
    assert [str(w.message) for w in recwarn] == []


def test_progress_bar_goes_to_stderr(capfd):
    train(progress=True, label="learning signs")
    out, err = capfd.readouterr()
    assert out == "" and "learning signs" in err and "24/24" in err


def test_files_when_asked_for(tmp_path):
    _, result = train(val=loader(seed=1, shuffle=False), out=tmp_path / "run")
    assert sorted(os.listdir(tmp_path / "run")) == ["history.csv", "weights.json", "weights.safetensors"]
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    assert [float(r["val_loss"]) for r in rows] == [e.val_loss for e in result.history]
    assert result.to_dict()["weights"] == str(tmp_path / "run" / "weights.safetensors")


def test_bad_arguments_before_any_work(tmp_path):
    (tmp_path / "file").write_text("x")
    cases = [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"lr": -1.0}, "lr must be a positive number"),
        ({"lr": float("nan")}, "lr must be a positive number"),
        ({"patience": 2}, "needs a validation set"),
        ({"train": []}, "at least one batch"),
        ({"net": nn.Sequential(nn.ReLU())}, "no trainable parameter"),
        ({"out": tmp_path / "file"}, "cannot write to the output folder"),
    ]
    for options, message in cases:
        options = {"net": small_net(), "train": loader(), **options}
        with pytest.raises(UserError, match=message):
            fit(options.pop("net"), options.pop("train"), **{"epochs": 1, "loss": cross_entropy, **options})
    assert (tmp_path / "file").read_text() == "x"


def test_rate_bounds_quieten_a_network():
    def rates(bounds):
        draw = torch.Generator().manual_seed(0)
        net = Sequential(
            Linear(4, 8, bias=True, generator=draw), LIF(tau=20e-3, dt=5e-3), Linear(8, 2, generator=draw)
        )
        x = torch.rand(6, 32, 4, generator=draw) * 2
        batch = [(x, (x.mean(0)[:, 0] > 1).long())] * 8
        fit(net, batch, loss=membrane_cross_entropy, epochs=4, lr=2e-2, rates=bounds, progress=False)
        with spikes_of(net) as found:
            net(x)
        return found[0].mean().item()

    assert rates(RateBounds(weight=50.0, high=0.01)) < 0.6 * rates(None)


def test_a_loss_that_explodes_is_a_clear_error():
    poisoned = [(torch.full((4, 4), float("nan")), torch.zeros(4, dtype=torch.long))]
    with pytest.raises(UserError, match="loss became nan in epoch 0"):
        train(train=poisoned)


def test_ctrl_c_stays_ctrl_c():
    def interrupted(output, target):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(loss=interrupted)


def test_missing_lightning_names_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    monkeypatch.delitem(sys.modules, "snnkit.training._lightning", raising=False)
    monkeypatch.delattr("snnkit.training._lightning", raising=False)
    with pytest.raises(UserError, match=r"pip install 'snnkit\[train\]'"):
        loop._lightning_run()


def test_lightning_is_not_imported_with_the_package():
    code = "import sys, snnkit.training; sys.exit('lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_evaluation_counts_and_leaves_modes_alone():
    net = nn.Sequential(nn.Identity(), nn.Dropout(0.9))
    net[0].eval()
    z = torch.tensor([[2.0, 1.0, 0.0], [0.0, 5.0, 1.0], [9.0, 1.0, 0.0]])
    result = evaluate(net, [(z[:2], torch.tensor([0, 1])), (z[2:], torch.tensor([2]))])
    assert (result.accuracy, result.n) == (pytest.approx(2 / 3), 3)
    assert result.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert result.rates.tolist() == z.tolist()
    assert net[1].training and not net[0].training
    scores, labels = predict(net, [(z, torch.tensor([0, 1, 2]))])
    assert torch.equal(scores, z) and labels.tolist() == [0, 1, 2]


def test_evaluation_refuses_labels_it_has_no_output_for():
    with pytest.raises(UserError, match="3 outputs"):
        evaluate(nn.Identity(), [(torch.zeros(2, 3), torch.tensor([0, 3]))])
    with pytest.raises(UserError, match="no batch"):
        evaluate(nn.Identity(), [])
