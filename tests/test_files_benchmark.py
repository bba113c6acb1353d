"""The benchmark of decoding and the fuzzers run, small."""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

ROOT = Path(__file__).parent.parent


def run(*command, **more):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "SNNKIT_DATA": "/nowhere", **more}
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        check=False,
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_decode_benchmark(tmp_path):
    out = run("benchmarks/decode.py", "--quick", "--json", tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    assert set(found) == {"evt2", "evt3", "evt21", "dat", "es", "bin"} and "million events/s" in out
    for figures in found.values():
        assert {"snnkit", "snnkit, chunks", "snnkit, kernel"} <= set(figures)
        assert len({row["events"] for row in figures.values()}) == 1  # all contestants read the same


def test_fuzzing_by_mutation(tmp_path):
    out = run(
        "-m",
        "tests.fuzz.run",
        "--inputs",
        60,
        "--formats",
        "es",
        "dat",
        "--out",
        tmp_path,
        NUMBA_BOUNDSCHECK="0",
        NUMBA_CACHE_DIR="",
    )
    assert "60 inputs, seed 0" in out and "nothing broken" in out and "es " in out
    assert not list(tmp_path.glob("broken*"))


def test_changes_are_changes_and_repeat():
    from fuzz.mutate import CHANGES, mutated

    data = bytes(range(200))
    made = [mutated(data, [data], Random(seed)) for seed in range(50)]
    assert made == [mutated(data, [data], Random(seed)) for seed in range(50)]
    assert sum(m != data for m in made) > 40 and len({len(m) for m in made}) > 5
    for change in CHANGES:
        for seed in range(5):
            change(bytearray(), [b"x"], Random(seed))  # nothing to change is no error
