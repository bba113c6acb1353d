"""The room of encoders: its table of contents, its page, its benchmark."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from snnkit import encoders

ROOT = Path(__file__).parent.parent


def run(program, **options):
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", encoders.__all__)
def test_every_promised_name_exists(name):
    assert getattr(encoders, name) is not None


def test_type_checkers_see_the_same_table():
    tree = ast.parse(Path(encoders.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(encoders.__all__)


def test_importing_it_compiles_nothing():
    program = "import sys, snnkit.encoders; from snnkit.encoders import rate, delta, bsa; assert 'numba' not in sys.modules"
    run(program)


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="has no 'SendOnDelt'"):
        encoders.SendOnDelt  # noqa: B018


def test_the_page_runs_as_shown():
    (block,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "encoders.md").read_text(), flags=re.DOTALL
    )
    run(block + "\nassert abs(track.numpy() - s).max() < 0.5 and (back.numpy() - x).std() < 0.06")


CODES = [
    "phase",
    "burst",
    "population",
    "delta",
    "sigma_delta",
    "bsa",
    "times",
    "signals",
]  # the page has no sensors


@pytest.mark.parametrize("name", [n for module in CODES for n in encoders._CONTENTS[module]])
def test_the_page_names_every_code(name):
    page = (ROOT / "docs" / "encoders.md").read_text()
    assert re.search(rf"\b{name}\b", page)


def test_the_benchmark_runs_without_its_peer(tmp_path):
    folder, out = ROOT / "benchmarks", tmp_path / "out.json"
    arguments = [str(folder / "encoders.py"), "--quick", "--json", str(out)]
    program = (
        f"import sys, runpy; sys.modules['snntorch'] = None; sys.argv = {arguments!r}; "
        f"sys.path.insert(0, {str(folder)!r}); runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    assert "left out: snnTorch" in run(program, env=env, timeout=300)
    results = json.loads(out.read_text())["results"]
    assert len(results) == 9 and set(results["rate"]) == {"snnkit", "snnkit, dense", "torch"}
    assert all(row["best_ms"] > 0 for task in results.values() for row in task.values())
