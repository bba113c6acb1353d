"""The benchmarks of delays run small, and without the package they compare with."""

import json
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "benchmarks"


def run(script, *arguments):
    program = (
        f"import sys, runpy; sys.modules['DCLS'] = None; sys.argv = {[script, *map(str, arguments)]!r}; "
    )
    program += (
        f"sys.path.insert(0, {str(FOLDER)!r}); runpy.run_path({str(FOLDER / script)!r}, run_name='__main__')"
    )
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_delays_quick(tmp_path):
    out = run("delays.py", "--quick", "--only", "time", "crossover", "--json", tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    floor = "products of the gaussian alone"
    assert list(found["time"]) == ["snnkit two-tap", "snnkit gaussian", floor] and "left out" in out
    assert all(stage["median_ms"] > 0 for row in found["time"].values() for stage in row.values())
    assert [row["density"] for row in found["crossover"]] == [0.01, 0.1]


def test_the_cost_of_eventprop_quick(tmp_path):
    out = run("delays.py", "--quick", "--only", "events", "--json", tmp_path / "out.json")
    rows = json.loads((tmp_path / "out.json").read_text())["events"]
    assert [row["steps"] for row in rows] == [150, 600] and "event to event" in out
    assert rows[0]["spikes"] == rows[1]["spikes"]
    exact, steps = rows[0]["spikes"]["event to event"], rows[0]["spikes"]["time steps"]
    assert exact > 5 and abs(exact - steps) < 0.2 * exact
