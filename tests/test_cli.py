"""The command line as a new user meets it: help, results as JSON, and one clear line for every mistake."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import snnkit
from snnkit.cli.app import run

COMMANDS = [
    "demo",
    "train",
    "evaluate",
    "convert",
    "energy",
    "deploy",
    "reproduce",
    "events",
    "chips",
    "datasets",
    "info",
]


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    """Every test starts in an empty folder, without anybody's data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SNNKIT_DATA", raising=False)


@pytest.fixture
def network(tmp_path) -> Path:
    """A small untrained network for the digits recordings."""
    net = snnkit.Sequential(
        snnkit.Conv2d(2, 4, 3, stride=2, padding=1),
        snnkit.LIF(tau=30e-3, dt=10e-3, reset="zero"),
        snnkit.Flatten(),
        snnkit.Linear(4 * 6 * 6, 10),
        snnkit.LIF(tau=30e-3, dt=10e-3, reset="zero"),
    )
    path = tmp_path / "net.nir"
    snnkit.save(net, path, input_shape=snnkit.datasets.info("digits").sensor)
    return path


def mistake(capfd, *arguments: str) -> str:
    """Run a command that must fail: exit code 2, nothing on stdout, one line on stderr, which is returned."""
    before = sorted(Path.cwd().rglob("*"))
    assert run([str(a) for a in arguments]) == 2
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("snnkit: ")]
    assert not out and len(lines) == 1 and "Traceback" not in err, err
    assert sorted(Path.cwd().rglob("*")) == before, "something was left behind"
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, capfd):
    assert run([command, "--help"]) == 0
    text = capfd.readouterr().out
    assert "Example: " in text and "snnkit" in text
    assert all(option in text for option in ("--json", "--seed", "--out"))


def test_chips_list_and_one_chip_with_sources(capfd):
    assert run(["chips", "--json"]) == 0
    listed = {chip["name"] for chip in json.loads(capfd.readouterr().out)}
    assert {"cmos45", "loihi", "truenorth", "spinnaker", "speck", "rram128"} <= listed
    assert run(["chips", "truenorth", "--json"]) == 0
    numbers = json.loads(capfd.readouterr().out)["numbers"]
    assert any(n["value"] == 26 and n["unit"] == "pJ" and n["scope"] == "all_in" for n in numbers)
    assert all(n["source"] and n["evidence"] and n["unit"] for n in numbers)


def test_datasets_say_what_is_here(capfd):
    assert run(["datasets", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)}
    assert rows["digits"]["available"] and not rows["nmnist"]["available"]
    assert "SNNKIT_DATA" in rows["nmnist"]["hint"]


def test_info_names_versions_and_writes_to_a_file(capfd, tmp_path):
    assert run(["info", "--out", str(tmp_path / "info.json")]) == 0
    assert "snnkit" in capfd.readouterr().out
    assert json.loads((tmp_path / "info.json").read_text())["snnkit"] == snnkit.__version__


def test_energy_of_a_saved_network(capfd, network):
    arguments = ["energy", str(network), "--samples", "8", "--chip", "loihi", "--chip", "truenorth", "--json"]
    assert run(arguments) == 0
    first = json.loads(capfd.readouterr().out)
    assert run(arguments) == 0
    assert json.loads(capfd.readouterr().out) == first, "same seed, same result"
    assert first["samples"] == 8 and set(first["chips"]) == {"loihi", "truenorth"}
    synops = sum(layer["synops"] for layer in first["activity"]["layers"].values())
    assert synops > 0
    assert first["chips"]["truenorth"]["energy_j"] == pytest.approx(synops * 26e-12)


def test_evaluate_a_saved_network(capfd, network):
    assert run(["evaluate", str(network), "--samples", "40", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["n"] == 40 == sum(map(sum, result["confusion"]))
    right = sum(row[k] for k, row in enumerate(result["confusion"]))
    assert result["accuracy"] == pytest.approx(right / 40)


def test_deploy_a_saved_network(capfd, network, tmp_path):
    assert run(["deploy", str(network), "--samples", "8", "--out", "chip"]) == 0
    assert "integer" in capfd.readouterr().out
    names = {p.name for p in (tmp_path / "chip").iterdir()}
    assert {"network.net", "network.nir", "README.md", "report.json"} <= names


def test_train_writes_a_network_that_loads(capfd, tmp_path):
    arguments = [
        "train",
        "digits",
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--batch-size",
        "256",
        "--out",
        "run",
        "--json",
    ]
    assert run(arguments) == 0
    result = json.loads(capfd.readouterr().out)
    assert result == json.loads((tmp_path / "run" / "training.json").read_text())
    assert 0 <= result["mean"] <= 1 and result["test_samples"] == 360
    net = snnkit.load(tmp_path / "run" / "network.nir")
    weights = tmp_path / "run" / result["runs"][0]["training"]["weights"]
    assert len(net) and weights.is_file()


ANN = """
import torch
from torch import nn

def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))

def pooled():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 10))

number = 3
"""


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"models_{tmp_path.name.replace('-', '_')}"  # imported modules stay: each test has its own
    (tmp_path / f"{name}.py").write_text(ANN)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return name


def test_convert_a_users_ann(capfd, tmp_path, models):
    arguments = [
        "convert",
        f"{models}:small",
        "--method",
        "percentile",
        "--timesteps",
        "1,64",
        "--out",
        "snn",
    ]
    assert run(arguments) == 0
    table = capfd.readouterr().out
    assert "percentile" in table and "T=64" in table
    result = json.loads((tmp_path / "snn" / "conversion.json").read_text())["methods"]["percentile"]
    assert result["agreement"][-1] > result["agreement"][0]
    assert len(snnkit.load(tmp_path / "snn" / "network.nir", dt=1e-3))


def test_a_misspelt_name_is_answered_with_the_nearest(capfd, network):
    assert "did you mean 'loihi'" in mistake(capfd, "chips", "loihy")
    assert "did you mean 'speck'" in mistake(capfd, "energy", network, "--chip", "spek")
    assert "did you mean 'digits'" in mistake(capfd, "train", "digit")
    assert "did you mean 'loihi'" in mistake(capfd, "deploy", network, "--target", "lohi", "--out", "x")
    assert "did you mean 'qcfs'" in mistake(capfd, "convert", "--method", "qcsf")


def test_missing_data_says_where_to_get_it(capfd):
    assert "SNNKIT_DATA" in mistake(capfd, "train", "nmnist", "--out", "run")
    assert "absent" in mistake(capfd, "train", "nmnist", "--root", "absent", "--out", "run")


@pytest.mark.parametrize("content", ["truncated", "random"])
def test_a_damaged_recording_is_named_with_its_byte(capfd, tmp_path, monkeypatch, content):
    monkeypatch.setenv("SNNKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    good = np.array([[3, 4, 0x80, 0, t] for t in range(40)], dtype=np.uint8).tobytes()
    bad = good[:-2] if content == "truncated" else np.random.default_rng(0).bytes(200)
    for split in ("Train", "Test"):
        for digit in range(10):
            folder = tmp_path / "NMNIST" / split / str(digit)
            folder.mkdir(parents=True)
            (folder / "00001.bin").write_bytes(bad if (split, digit) == ("Train", 7) else good)
    line = mistake(capfd, "train", "nmnist", "--root", tmp_path / "NMNIST", "--out", "run")
    assert "00001.bin" in line and "byte" in line and "7" in line


def test_milliseconds_by_mistake(capfd):
    line = mistake(capfd, "train", "digits", "--dt", "10", "--out", "run")
    assert "seconds" in line and "--dt 0.0" in line


def test_a_network_for_other_channels(capfd, tmp_path):
    net = snnkit.Sequential(snnkit.Flatten(), snnkit.Linear(27, 5), snnkit.LIF(tau=20e-3, dt=1e-3))
    snnkit.save(net, tmp_path / "other.nir", input_shape=(3, 3, 3))
    line = mistake(capfd, "energy", "other.nir")
    assert "(3, 3, 3)" in line and "--data" in line


def test_networks_that_are_none(capfd, tmp_path):
    assert "does not exist" in mistake(capfd, "energy", "absent.nir")
    (tmp_path / "noise.nir").write_bytes(np.random.default_rng(0).bytes(1000))
    assert "noise.nir" in mistake(capfd, "energy", "noise.nir")


def test_anns_that_cannot_be_converted(capfd, models):
    line = mistake(capfd, "convert", f"{models}:pooled", "--out", "snn")
    assert "MaxPool2d" in line and "AvgPool2d" in line
    assert "MODULE:NAME" in mistake(capfd, "convert", models)
    assert "no 'other'" in mistake(capfd, "convert", f"{models}:other")
    assert "cannot import" in mistake(capfd, "convert", "absent_module:net")
    assert "torch.nn.Sequential" in mistake(capfd, "convert", f"{models}:number")
    assert "does not exist" in mistake(capfd, "convert", f"{models}:small", "--weights", "absent.safetensors")
    assert "--weights" in mistake(capfd, "convert", "--weights", "w.safetensors")
    assert "--timesteps" in mistake(capfd, "convert", "--timesteps", "0,two")


@pytest.mark.parametrize(
    "command", [["demo", "--quick"], ["train", "digits"], ["convert"], ["deploy", "net.nir"]]
)
def test_an_output_folder_that_cannot_be_written(capfd, network, tmp_path, command):
    (tmp_path / "file").write_text("kept")
    line = mistake(capfd, *command, "--out", "file/below")
    assert "file" in line and "cannot" in line
    assert (tmp_path / "file").read_text() == "kept"


def test_wrong_options_are_one_line_too(capfd):
    assert "--sed" in mistake(capfd, "chips", "--sed", "3")
    assert "nosuch" in mistake(capfd, "nosuch").lower()
    assert mistake(capfd, "deploy")


def test_the_installed_command_exits_with_two(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "snnkit", "chips", "loihy"], check=False, capture_output=True, text=True
    )
    said = [line for line in done.stderr.splitlines() if line.startswith("snnkit: ")]
    assert done.returncode == 2 and len(said) == 1 and "Traceback" not in done.stderr and not done.stdout
