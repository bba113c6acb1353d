"""Folders that appear whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snnkit.errors import UserError

REPORT = "report.json"
FORMAT = "snnkit deployment 1"


class BadFolder(UserError):
    """The output folder cannot be written or holds something that is not ours."""


@contextmanager
def whole(out: str | Path) -> Iterator[Path]:
    """A fresh folder that takes the place of `out` when the block ends well, and vanishes otherwise.

    An earlier deployment in `out` is replaced; any other content is refused, before the block runs.
    """
    target = Path(out).expanduser().absolute()
    base = _check(target)
    try:
        beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=base))
    except OSError as error:
        raise BadFolder(f"cannot write into {base}: {error.strerror}; choose another out=...") from error
    try:
        yield beside
        beside.chmod(0o755)  # mkdtemp makes private folders
        target.parent.mkdir(parents=True, exist_ok=True)
        _swap(beside, target)
    except OSError as error:
        raise BadFolder(
            f"cannot write {target}: {error.strerror or error}; choose another out=..."
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check(target: Path) -> Path:
    """The nearest existing ancestor of `target`; raises when `target` may not be replaced."""
    if target.is_dir():
        if any(target.iterdir()) and not is_ours(target):
            raise BadFolder(
                f"{target} is not empty and not an earlier deployment; choose another out=... or empty it"
            )
    elif target.exists():
        raise BadFolder(f"{target} is a file; out=... names a folder")
    base = target.parent
    while not base.exists():
        base = base.parent
    if not base.is_dir():
        raise BadFolder(f"{base} is a file, so {target} cannot be made below it")
    if not os.access(base, os.W_OK | os.X_OK):
        raise BadFolder(f"{base} is not writable; choose another out=...")
    return base


def is_ours(folder: Path) -> bool:
    """Whether a folder holds a deployment that snnkit wrote."""
    try:
        return json.loads((folder / REPORT).read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def _swap(new: Path, target: Path) -> None:
    old = None
    if target.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
        os.replace(target, old)
    try:
        os.replace(new, target)
    except OSError:
        if old:
            os.replace(old, target)
        raise
    if old:
        shutil.rmtree(old, ignore_errors=True)
