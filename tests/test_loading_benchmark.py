"""The benchmark of loading runs wherever the library does, on whatever N-MNIST recordings there are."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent.parent / "benchmarks"


def test_quick(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(8):
        rows = zip(
            *rng.integers(0, 34, (2, 200)),
            rng.integers(0, 2, 200),
            np.sort(rng.integers(0, 300_000, 200)),
            strict=True,
        )
        data = b"".join(bytes([x, y]) + struct.pack(">I", int(p) << 23 | int(t))[1:] for x, y, p, t in rows)
        path = tmp_path / "nmnist" / "Train" / str(k % 2) / f"{k:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    script, out = FOLDER / "loading.py", tmp_path / "out.json"
    program = (
        "import sys, runpy; sys.modules['tonic'] = None;"
        f"sys.argv = [{str(script)!r}, '--quick', '--json', {str(out)!r}];"
        f"sys.path.insert(0, {str(FOLDER)!r}); runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    env = os.environ | {
        "SNNKIT_DATA": str(tmp_path),
        "SNNKIT_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["recordings"] == 8 and len(found["samples_per_s"]) == 4
    assert all(rate > 0 for rate in found["samples_per_s"].values()) and "left out: tonic" in done.stdout
