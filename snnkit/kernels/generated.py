"""Generated source: written to a cache that only its user can touch, named by its own hash, imported from there.

A file on disk gives readable tracebacks and lets Numba keep the compiled code: a second process loads a kernel in
milliseconds. The directory is that of the environment variable SNNKIT_CACHE, else the user's cache directory.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib.util
import os
import shutil
import stat
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from types import ModuleType

_lock = threading.Lock()


def _is_private(folder: Path) -> bool:
    """Whether the folder is ours and nobody else can write to it: what lies in it will be run."""
    try:
        found = folder.stat()
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode) or not os.access(folder, os.W_OK | os.X_OK):
        return False
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o077)


@cache
def cache_folder() -> Path:
    """The folder of generated kernels; a temporary one, gone with the process, where none can be kept privately."""
    base = os.environ.get("SNNKIT_CACHE")
    if base is None:
        from platformdirs import user_cache_dir

        base = user_cache_dir("snnkit")
    folder = Path(base).expanduser().absolute() / "kernels"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _is_private(folder):
        return folder
    temporary = Path(tempfile.mkdtemp(prefix="snnkit-kernels-"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return temporary


def _write(path: Path, source: str) -> None:
    """Write beside, then rename, so that another process never sees half a file; a right one is left alone, for a new
    time stamp would make Numba compile again."""
    try:
        if path.read_text() == source:
            return
    except (OSError, UnicodeDecodeError):
        pass
    handle, beside = tempfile.mkstemp(prefix=path.stem, suffix=".tmp", dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(source)
    os.replace(beside, path)


def load(source: str) -> ModuleType:
    """Import the text of a module."""
    name = f"snnkit_kernel_{hashlib.sha256(source.encode()).hexdigest()[:24]}"
    with _lock:
        if name in sys.modules:
            return sys.modules[name]
        path = cache_folder() / f"{name}.py"
        _write(path, source)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module
