"""Output folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snnkit.errors import UserError


def _first_missing(path: Path) -> Path | None:
    """The topmost ancestor of `path` (or itself) that does not exist yet."""
    missing = None
    while not path.exists():
        missing, path = path, path.parent
    return missing


@contextmanager
def output_folder(out: Path | str | None) -> Iterator[Path]:
    """A folder to write into that reaches `out` only when everything went well.

    Work happens in a hidden folder beside `out`; at the end its entries are renamed into place, replacing
    those of the same name. When the work fails, or `out` cannot be written, nothing is left behind.
    With `out=None` the files go to a temporary folder that is deleted at the end.

    Raises:
        UserError: `out` is a file, or no folder can be made there.
    """
    if out is None:
        with tempfile.TemporaryDirectory(prefix="snnkit-") as temporary:
            yield Path(temporary)
        return
    out = Path(out).expanduser().absolute()
    if out.exists() and not out.is_dir():
        raise UserError(f"--out needs a folder, but {out} is a file and cannot be one; give another path")
    created = _first_missing(out.parent)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Its own probe: a folder may exist and still refuse new files.
        for folder in {out.parent, out if out.is_dir() else out.parent}:
            tempfile.TemporaryFile(dir=folder).close()
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    except OSError as error:
        _remove(created)
        raise UserError(
            f"cannot write to {out}: {error.strerror or error}; give a folder you may write with --out"
        ) from None
    try:
        yield staging
        out.mkdir(exist_ok=True)
        for entry in sorted(staging.iterdir()):
            _replace(entry, out / entry.name)
        created = None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        _remove(created)


@contextmanager
def growing_folder(out: Path | str | None) -> Iterator[Path]:
    """A folder that fills up while long work goes on, so that an interrupted run keeps what it has.

    It is tried before the work begins. If the work fails before it has written anything, the folder goes again.
    """
    if out is None:
        with output_folder(None) as folder:
            yield folder
        return
    folder = Path(out).expanduser().absolute()
    created = _first_missing(folder)
    with output_folder(folder):
        pass  # makes the folder, or says why not
    try:
        yield folder
    except BaseException:
        if created is not None and not any(path.is_file() for path in created.rglob("*")):
            _remove(created)
        raise


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _replace(source: Path, target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    os.replace(source, target)
