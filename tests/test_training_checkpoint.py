"""Weights on disk: what comes back is what went out, or one clear line."""

import json
import os

import pytest
import torch
from torch import nn

from snnkit.errors import UserError
from snnkit.training import CheckpointError, load_weights, save_weights


def small_net(seed=0, hidden=5):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, hidden), nn.BatchNorm1d(hidden), nn.Linear(hidden, 2))


def equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_round_trip_with_meta(tmp_path):
    net, other = small_net(0), small_net(1)
    net(torch.randn(8, 3))  # moves the batch-norm statistics, an integer counter among them
    path = save_weights(net, tmp_path / "deep" / "weights", meta={"epoch": 3})
    assert path.name == "weights.safetensors" and not equal(net, other)
    assert load_weights(other, path) == {"epoch": 3} and equal(net, other)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["tensors"]["0.weight"] == {"shape": [5, 3], "dtype": "float32"}
    assert sorted(os.listdir(path.parent)) == [
        "weights.json",
        "weights.safetensors",
    ]  # nothing temporary stays


def test_mismatch_names_every_tensor_and_changes_nothing(tmp_path):
    path = save_weights(small_net(hidden=4), tmp_path / "w")
    net = small_net()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        load_weights(net, path)
    assert "'0.weight' has shape (4, 3) in the file and (5, 3) in this network" in str(error.value)
    assert "'2.weight'" in str(error.value)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    with pytest.raises(CheckpointError, match=r"'1\.weight' is not in this network"):
        load_weights(nn.Sequential(nn.Linear(3, 4)), path)


@pytest.mark.parametrize("damage", [b"", b"\x00" * 40, os.urandom(300)])
def test_damaged_files_are_refused(tmp_path, damage):
    (tmp_path / "w.safetensors").write_bytes(damage)
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_weights(small_net(), tmp_path / "w.safetensors")


def test_truncated_file_and_missing_file(tmp_path):
    path = save_weights(small_net(), tmp_path / "w")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_weights(small_net(), path)
    with pytest.raises(CheckpointError, match="no weights at"):
        load_weights(small_net(), tmp_path / "other")


def test_a_failed_save_leaves_the_old_file(tmp_path):
    net = small_net()
    path = save_weights(net, tmp_path / "w", meta={"epoch": 1})
    old = path.read_bytes(), path.with_suffix(".json").read_bytes()
    with pytest.raises(TypeError):
        save_weights(small_net(1), path, meta={"epoch": object()})
    assert (path.read_bytes(), path.with_suffix(".json").read_bytes()) == old
    assert len(os.listdir(tmp_path)) == 2


def test_a_folder_that_is_a_file_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="choose another"):
        save_weights(small_net(), tmp_path / "file" / "w")
