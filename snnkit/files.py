"""Files that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snnkit.errors import UserError


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A temporary file in the same folder that takes the place of `path` when the block ends well, and goes otherwise.

    Raises:
        UserError: the file cannot be written there.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _refusal(path, error) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        temporary.replace(path)
    except OSError as error:
        raise _refusal(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or nothing."""
    with beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def prepare_folder(out: str | Path) -> Path:
    """Make the output folder, and find out now rather than after training that it cannot be written."""
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write to the output folder {out} ({error.strerror}); choose another with out=... (--out)"
        ) from None
    return out


def _refusal(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot write {path}: {error.strerror or error}; give a path in a folder you may write")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
