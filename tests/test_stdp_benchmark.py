"""The benchmark of pair STDP runs without its peers; the peers that are here learn what we learn."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
SCRIPT = FOLDER / "stdp.py"
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


def test_quick(tmp_path):
    command = [sys.executable, str(SCRIPT), "--quick", "--rounds", "1", "--json", str(tmp_path / "out.json")]
    done = subprocess.run(command, check=False, env=ENV, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "left out: BindsNET, snnTorch, SpikingJelly" in done.stdout and "left out: Brian2" in done.stdout
    row = json.loads((tmp_path / "out.json").read_text())["stdp"]["snnkit"]
    assert 2 < row["rate_hz"] < 60 and row["samples_per_s"] > 0


@pytest.mark.parametrize("name", ["snntorch", "spikingjelly", "bindsnet"])
def test_a_peer_learns_the_same_weights(name, tmp_path):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not here")
    program = f"""
import sys; sys.path.insert(0, {str(FOLDER)!r})
import json, stdp
from pathlib import Path
w, ev = stdp.weights(60, 20), stdp.events(60, 2)
stdp.save(Path({str(tmp_path)!r}) / "net", w, ev)
peer, ours = stdp.Peer(sys.executable, {name!r}, Path({str(tmp_path)!r}) / "net"), stdp.Ours(w, ev)
found = peer.run()
print(json.dumps({{**stdp.compared(found, ours.run()["w"], w), "spikes": [found["spikes"], ours.spikes()]}}))
peer.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, env=ENV, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert row["spikes"][0] == row["spikes"][1] > 20
    assert row["largest_change"] > 1e-4
    assert row["largest_difference"] < 1e-3 * row["largest_change"]
