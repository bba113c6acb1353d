"""The benchmark runs wherever the library does; peers that are absent are named and left out."""

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "lif.py"


def test_quick_benchmark_without_peers(tmp_path):
    blocked = "import sys; sys.modules.update(dict.fromkeys(('snntorch', 'spikingjelly', 'norse')))"
    program = f"{blocked}; sys.argv = {[str(BENCHMARK), '--quick', '--json', str(tmp_path / 'out.json')]!r}; "
    program += f"sys.path.insert(0, {str(BENCHMARK.parent)!r}); import runpy; runpy.run_path({str(BENCHMARK)!r}, run_name='__main__')"
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["check"]["equal_to_reference"] and result["check"]["differs_from_plain_loop"] < 1e-3
    assert len(result["missing"]) == 3 and {"snnkit LIF", "plain torch loop"} < set(result["rows"])
    assert all(stage["median_ms"] > 0 for row in result["rows"].values() for stage in row.values())
    assert "left out: snnTorch Leaky" in done.stdout
