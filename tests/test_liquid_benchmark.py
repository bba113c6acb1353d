"""The benchmark of liquids runs without its peer, and says what it left out."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "liquid.py"


def test_scaling_says_its_slope(tmp_path):
    command = [
        sys.executable,
        str(SCRIPT),
        "--quick",
        "--rounds",
        "1",
        "--scaling",
        "--json",
        str(tmp_path / "out.json"),
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out.json").read_text())["scaling"]
    events = [row["static_events"] for row in result["rows"]]
    assert events[1] > 2 * events[0] and set(result["slopes"]) == {"static", "stdp"}
    assert "to the power of" in done.stdout


def test_quick(tmp_path):
    command = [sys.executable, str(SCRIPT), "--quick", "--rounds", "1", "--json", str(tmp_path / "out.json")]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert all(f"left out: {peer}" in done.stdout for peer in ("Brian2", "NEST", "BindsNET"))
    result = json.loads((tmp_path / "out.json").read_text())
    assert [row["stdp"] for row in result["liquid"]] == [False, True] and result["silent_ns"] > 0
    for part in result["liquid"]:
        rates = {row["rate_hz"] for row in part["rows"].values()}
        assert len(rates) == 1 and 2 < rates.pop() < 20, "the same spikes on any number of threads"
