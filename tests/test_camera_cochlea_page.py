"""The page about sensors runs as shown and names what there is; the benchmark's readout learns; imports compile nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from snnkit import encoders

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "sensors.md").read_text()


def test_the_page_runs_as_shown():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    scope: dict = {}
    exec(block, scope)  # noqa: S102 (our own page)
    assert len(scope["events"]) > 100 and len(scope["spikes"]) > 100 and scope["batch"].shape[1] == 2


@pytest.mark.parametrize("name", [n for n in encoders.__all__ if n[0].isupper() or n.startswith("record")])
def test_the_page_names_every_sensor(name):
    module = getattr(encoders, name).__module__.rpartition(".")[2]
    if not module.startswith(("camera", "cochlea", "video")) or name in ("Camera", "Saccades"):
        pytest.skip("not a sensor")
    assert f"`{name}" in PAGE or f".{name}" in PAGE


def test_making_sensors_compiles_nothing():
    program = (
        "import sys; from snnkit import encoders as e; e.DVS(); e.Cochlea(); e.HeidelbergCochlea(); e.SaccadeCamera(); "
        "assert 'numba' not in sys.modules and 'scipy.signal' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_benchmarks_readout_learns_and_looks_at_the_test_part_once(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    sys.modules.pop("cochlea", None)
    import cochlea  # the benchmark

    rng = np.random.default_rng(0)
    y, take = np.tile(np.arange(10), 50), np.repeat(np.arange(50), 10)
    x = np.eye(10)[y] + rng.normal(0, 0.1, (500, 10))
    assert cochlea.accuracy(x, y, take)["test"] == 1.0
    x[take < 5] = rng.normal(0, 1, (50, 10))  # what is wrong in the test part shows only there
    score = cochlea.accuracy(x, y, take)
    assert score["validation"] == 1.0 and score["test"] < 0.5
    clips = [rng.normal(0, 0.1, 3000) for _ in range(3)]
    rows, spikes, seconds = cochlea.features(encoders.Cochlea(rate=8000.0, channels=20), clips)
    assert rows.shape == (3, 400) and spikes > 0 and seconds > 0
    counted = np.expm1(rows).sum(1)
    np.testing.assert_allclose(counted, [len(encoders.Cochlea(rate=8000.0, channels=20)(c)) for c in clips])


@pytest.mark.skipif("SNNKIT_DATA" in os.environ, reason="is about a machine without data")
def test_the_benchmark_says_what_it_needs():
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "cochlea.py"), "--quick"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "SNNKIT_DATA" in done.stderr
