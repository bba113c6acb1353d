"""Recipes: networks that fit integer chips, a test set that is read once, results that repeat."""

import json
import os

import pytest
import torch

from snnkit.errors import UserError
from snnkit.layers import BatchNorm, Conv2d, Dropout, Flatten, Linear
from snnkit.neurons import LIF
from snnkit.training import RECIPES, build_net, recipe, recipes, train_recipe

TINY = {"channels": (2, 2), "hidden": 0, "steps": 8, "dt": 40e-3, "tau": 80e-3, "epochs": 1}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_networks_are_made_of_what_chips_have(name):
    net = build_net(RECIPES[name], seed=1)
    assert {type(m) for m in net} <= {Conv2d, Linear, BatchNorm, Dropout, Flatten, LIF}
    neurons = [m for m in net if isinstance(m, LIF)]
    assert isinstance(net[-1], LIF) and all(m.reset == "zero" and m.threshold == 1 for m in neurons)
    assert all(m.bias is None for m in net if isinstance(m, Linear | Conv2d))  # batch norm brings the bias
    x = torch.zeros(3, 2, *RECIPES[name].sensor)
    assert net(x).shape == (3, 2, RECIPES[name].classes)


def test_equal_seeds_give_equal_networks_and_leave_the_global_generator():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    a, b, c = (build_net(RECIPES["digits"], seed=s).state_dict() for s in (3, 3, 4))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a[k], b[k]) for k in a) and not torch.equal(a["0.weight"], c["0.weight"])


def test_validation_is_a_part_of_the_training_set():
    part = recipe("digits", validation=0.2, shift=1)
    train, validation = recipes.train_loaders(part, seed=0)
    whole, nothing = recipes.train_loaders(recipe("digits", validation=0.0), seed=0)
    test = recipes.test_loader(part)
    ids = [set(loader.dataset.ids.tolist()) for loader in (train, validation, whole, test)]
    assert nothing is None and ids[0] | ids[1] == ids[2] and not ids[0] & ids[1] and not ids[2] & ids[3]
    assert not validation.augment and not test.augment and not test.shuffle and train.augment


def test_the_test_set_is_read_once_and_after_training(monkeypatch, tmp_path):
    pytest.importorskip("lightning")
    order = []
    fit, test_loader = recipes.fit, recipes.test_loader
    monkeypatch.setattr(recipes, "fit", lambda *a, **k: (order.append("fit"), fit(*a, **k))[1])
    monkeypatch.setattr(
        recipes, "test_loader", lambda *a, **k: (order.append("test"), test_loader(*a, **k))[1]
    )
    kept = []
    report = train_recipe("digits", [4, 5], tmp_path / "run", progress=False, on_trained=kept.append, **TINY)
    assert order == ["fit", "test"] * 2
    assert report["seeds"] == [4, 5] and len(report["accuracy"]) == 2 and report["test_samples"] == 360
    assert report["mean"] == pytest.approx(sum(report["accuracy"]) / 2)
    assert report["accuracy"] == [t.test.accuracy for t in kept] and report["recipe"]["epochs"] == 1
    assert sorted(os.listdir(tmp_path / "run")) == ["seed4", "seed5"]
    assert json.loads(json.dumps(report)) == {**report, "recipe": json.loads(json.dumps(report["recipe"]))}


def test_same_seed_same_result_on_any_number_of_threads():
    pytest.importorskip("lightning")
    before, runs = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            runs.append(train_recipe("digits", [2], progress=False, **TINY)["runs"][0])
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
    assert runs[0]["test"] == runs[1]["test"]
    assert [e["loss"] for e in runs[0]["training"]["history"]] == [
        e["loss"] for e in runs[1]["training"]["history"]
    ]


def test_missing_data_leaves_nothing_behind(tmp_path):
    with pytest.raises(UserError):
        train_recipe("nmnist", [0], tmp_path / "run", root=tmp_path / "nowhere")
    assert os.listdir(tmp_path) == []


def test_misspelt_names_get_a_hint():
    with pytest.raises(UserError, match="did you mean 'digits'"):
        train_recipe("digit")
    with pytest.raises(UserError, match="did you mean 'epochs'"):
        recipe("digits", epoch=3)
    with pytest.raises(UserError, match="at least one seed"):
        train_recipe("digits", [])
