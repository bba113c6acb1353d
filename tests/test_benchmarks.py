"""The benchmarks run wherever the library does: small, and with the peers that are absent named and left out."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent.parent / "benchmarks"


def run(script, *arguments, block=True):
    blocked = (
        "sys.modules.update(dict.fromkeys(('snntorch', 'spikingjelly', 'norse', 'sinabs')));" if block else ""
    )
    program = f"import sys, runpy; {blocked} sys.argv = {[str(FOLDER / script), *map(str, arguments)]!r}; "
    program += f"sys.path.insert(0, {str(FOLDER)!r}); runpy.run_path(sys.argv[0], run_name='__main__')"
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_neurons_quick(tmp_path):
    out = run(
        "neurons.py",
        *(
            "--quick",
            "--only",
            "layer",
            "linear",
            "steps",
            "--json",
            tmp_path / "out.json",
            "--plot",
            tmp_path / "out.png",
        ),
    )
    result = json.loads((tmp_path / "out.json").read_text())
    assert [part["density"] for part in result["layer"]] == [None, 0.02, 0.05]
    for part in result["layer"]:
        assert len(part["rows"]) == 2 and len(part["missing"]) == 7
        assert all(stage["median_ms"] > 0 for row in part["rows"].values() for stage in row.values())
    assert part["rates"].keys() == {"snnkit"}
    assert {"snnkit", "snnkit.checkpoint"} == result["steps"]["us_per_step"].keys()
    assert "left out: snnTorch, as documented" in out
    assert (tmp_path / "out.png").stat().st_size > 10_000


def test_contestants_do_the_same_work():
    sys.path.insert(0, str(FOLDER))
    try:
        import _layers
    finally:
        sys.path.remove(str(FOLDER))
    import torch

    names = [
        name for name in _layers.MODELS if name not in (*_layers.SLOW, _layers.FLOOR)
    ]  # Norse's LIF has a current more
    able, _ = _layers.build(names, 64)
    x = torch.rand(40, 4, 64, generator=torch.Generator().manual_seed(0)) * 2
    spikes = {name: run(x).detach() for name, (run, _) in able.items()}
    rates = {
        name: float(s.mean()) for name, s in spikes.items() if "Norse" not in name
    }  # its decay is Euler's, its threshold >
    assert 0.01 < rates["snnkit"] < 0.9
    assert all(abs(rate - rates["snnkit"]) < 0.03 for rate in rates.values()), rates


def test_time_to_accuracy_quick(tmp_path):
    g = np.random.default_rng(0)
    for name, n in (("train", 1000), ("t10k", 1000)):
        for kind, head, data in (
            ("images-idx3", (n, 28, 28), g.integers(0, 256, (n, 28, 28))),
            ("labels-idx1", (n,), g.integers(0, 10, n)),
        ):
            raw = (
                bytes([0, 0, 8, len(head)])
                + np.array(head, ">u4").tobytes()
                + data.astype(np.uint8).tobytes()
            )
            (tmp_path / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(raw))
    out = run("time_to_accuracy.py", "--quick", "--data", tmp_path, "--json", tmp_path / "out.json")
    result = json.loads((tmp_path / "out.json").read_text())
    assert list(result["results"]) == ["snnkit"] and len(result["results"]["snnkit"]["curve"]) == 1
    assert "left out: snnTorch, as documented" in out and "97 % not reached" in out


def test_conv_quick(tmp_path):
    out = run("conv.py", "--quick", "--json", tmp_path / "out.json")
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert [r["density"] for r in results] == [0.001, 0.02]
    assert all(r["event"] > 0 and r["dense_grad"] > 0 for r in results) and "CROSSOVER" in out
