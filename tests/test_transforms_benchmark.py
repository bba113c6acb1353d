"""The benchmark of transforms runs without tonic, and says that it is left out."""

import json
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "benchmarks"


def test_transforms_quick(tmp_path):
    program = "import sys, runpy; sys.modules['tonic'] = None; sys.modules['tonic.transforms'] = None;"
    program += f"sys.path.insert(0, {str(FOLDER)!r});"
    program += f"sys.argv = ['transforms.py', '--quick', '--json', {str(tmp_path / 'out.json')!r}];"
    program += f"runpy.run_path({str(FOLDER / 'transforms.py')!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "left out: tonic" in done.stdout
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["events"] == 4000 and len(result["results"]) >= 15
    assert all(row["snnkit"]["median_ms"] > 0 and row["ratio"] is None for row in result["results"])
