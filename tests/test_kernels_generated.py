"""Generated source: private, whole, never stale, compiled once for all processes."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from snnkit.kernels import generated

SOURCE = '"""A module."""\n\nANSWER = 42\n'

RUN = """
import sys, torch
import snnkit.neurons
assert "numba" not in sys.modules and "sympy" not in sys.modules, "imported too early"
from snnkit.neurons import LIF
x = torch.rand(5, 1, 3, requires_grad=True)
LIF(tau=0.02, dt=1e-3)(x).sum().backward()
kernels = [m for n, m in sys.modules.items() if n.startswith("snnkit_kernel_")]
stats = [k.stats for m in kernels for n in ("forward", "adjoint") if (k := getattr(m, n, None))]
print(sum(sum(s.cache_hits.values()) for s in stats), sum(sum(s.cache_misses.values()) for s in stats))
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SNNKIT_CACHE", str(tmp_path / "cache"))
    generated.cache_folder.cache_clear()
    yield tmp_path / "cache" / "kernels"
    generated.cache_folder.cache_clear()
    for name in [n for n in sys.modules if n.startswith("snnkit_kernel_")]:
        if str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def test_the_file_is_private_and_named_by_its_text(cache):
    module = generated.load(SOURCE)
    assert module.ANSWER == 42 and generated.load(SOURCE) is module
    assert generated.load(SOURCE.replace("42", "43")).ANSWER == 43
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert all(p.suffix == ".py" or p.name == "__pycache__" for p in cache.iterdir())  # nothing half-written


def test_a_changed_file_is_written_again(cache):
    path = Path(generated.load(SOURCE).__file__)
    del sys.modules[path.stem]
    path.write_text("ANSWER = 'somebody else'")
    assert generated.load(SOURCE).ANSWER == 42 and path.read_text() == SOURCE
    del sys.modules[path.stem]
    before = path.stat().st_mtime_ns
    generated.load(SOURCE)
    assert path.stat().st_mtime_ns == before  # a right file is left alone


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="permissions as on POSIX")
@pytest.mark.parametrize("mode", [0o777, 0o755, 0o770])
def test_a_folder_that_others_can_enter_is_not_used(cache, mode):
    cache.mkdir(parents=True)
    cache.chmod(mode)
    found = generated.cache_folder()
    assert found != cache and stat.S_IMODE(found.stat().st_mode) == 0o700
    assert generated.load(SOURCE).ANSWER == 42 and not list(cache.iterdir())


def test_without_a_place_to_write_a_temporary_folder_serves(cache):
    cache.parent.write_text("a file where the folder should be")
    assert generated.cache_folder().is_dir() and generated.load(SOURCE).ANSWER == 42


def test_processes_share_compiled_kernels(tmp_path):
    env = {**os.environ, "SNNKIT_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    start = [sys.executable, "-c", RUN]
    both = [subprocess.Popen(start, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]  # at once
    for process in both:
        hits, misses = map(int, process.communicate(timeout=120)[0].split())
        assert process.returncode == 0 and hits + misses == 2
    later = subprocess.run(start, env=env, capture_output=True, text=True, check=True).stdout
    assert later.split() == ["2", "0"]
