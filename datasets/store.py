"""A folder of .npy columns: written once, whole or not at all, and read memory-mapped.

The folder's name holds a hash of everything that went into the columns: the sources' content, the parameters and the
version of this layout. So a cache is never stale; at worst it is unused. Nothing is ever unpickled.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from snnkit.datasets.fingerprint import REMEMBERED, Sources, digest, file_digest
from snnkit.datasets.packed import PackedEvents
from snnkit.datasets.writer import COLUMNS, CONTENTS, FORMAT, Columns, Writer, read_contents
from snnkit.errors import UserError

__all__ = [
    "cache_folder",
    "cached",
    "cached_folders",
    "clear",
    "digest",
    "file_digest",
    "from_stored",
    "write_folder",
]


def cache_folder() -> Path:
    """Where decoded datasets are kept: the environment variable SNNKIT_CACHE, else the user's cache folder."""
    if os.environ.get("SNNKIT_CACHE"):
        return Path(os.environ["SNNKIT_CACHE"]).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("snnkit", appauthor=False))


# -- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """The arrays of a folder, memory-mapped and read-only, and what was written about them."""

    folder: Path
    arrays: Mapping[str, NDArray]
    metadata: Mapping[str, Any]

    def __getitem__(self, name: str) -> NDArray:
        return self.arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self.arrays


def read_folder(folder: Path, key: Mapping[str, Any] | None = None) -> Stored | None:
    """What is stored in a folder; None if it is not there, not whole, or was made from another `key`."""
    contents = read_contents(folder)
    if contents is None or (key is not None and contents["digest"] != digest(dict(key), FORMAT)):
        return None
    try:
        arrays = {
            n: np.load(folder / f"{n}.npy", mmap_mode="r", allow_pickle=False) for n in contents["arrays"]
        }
    except (OSError, ValueError, EOFError):
        return None  # damaged by others: it is built again
    offsets = np.asarray(arrays.get("offsets", [-1]))
    rows = {len(arrays[n]) for n in contents["columns"] if n in arrays} | {int(offsets[-1])}
    if len(rows) != 1 or offsets[0] != 0 or (np.diff(offsets) < 0).any():
        return None
    return Stored(folder, arrays, contents["metadata"])


def from_stored(stored: Stored) -> PackedEvents:
    """The recordings in a folder."""
    polarities, height, width = (int(n) for n in stored["sensor"])
    extra = {n: a for n, a in stored.arrays.items() if n not in (*COLUMNS, "offsets", "sensor", "labels")}
    return PackedEvents(
        **{n: stored[n] for n in COLUMNS},
        offsets=np.array(stored["offsets"]),
        sensor=(polarities, height, width),
        labels=np.array(stored["labels"]) if "labels" in stored else None,
        metadata=stored.metadata,
        arrays=extra,
        folder=stored.folder,
    )


# -- writing ---------------------------------------------------------------------------------------------------------


def cached(
    name: str,
    key: Mapping[str, Any],
    build: Callable[[Writer], None],
    *,
    columns: Columns = COLUMNS,
    sources: Sources | None = None,
) -> Stored:
    """What is stored in the cache folder under `key`; the first time it is built and written.

    Args:
        name: dataset and split, for people who look into the folder.
        key: everything the arrays depend on, as JSON; snnkit's version is added.
        build: fills a `Writer`. If it raises, nothing of it stays. If it is killed or interrupted, the next call goes
            on where it stopped.
        columns: names and types of the columns; those of events if not given.
        sources: files that it is made from; that they change meanwhile is an error.

    If the cache folder cannot be written, a temporary one is used for this process, with a warning.
    """
    key = {**key, "snnkit": version("snnkit")}  # another release may decode otherwise
    folder = cache_folder() / f"{name}-{digest(key, FORMAT)[:16]}"
    return write_folder(folder, key, build, columns=columns, sources=sources)


def write_folder(
    folder: Path,
    key: Mapping[str, Any],
    build: Callable[[Writer], None],
    *,
    columns: Columns = COLUMNS,
    sources: Sources | None = None,
) -> Stored:
    """Read `folder`, or build it first; see `cached`. One process builds, others wait for it and read."""
    stored = read_folder(folder, key)
    if stored is not None:
        return stored
    work = folder.parent / f".{folder.name}.part"
    with _only_writer(folder) as lasting:
        if not lasting:
            work = Path(tempfile.mkdtemp(prefix="snnkit-"))
            atexit.register(shutil.rmtree, work, ignore_errors=True)
        stored = read_folder(folder, key)  # another process may have been quicker
        if stored is None:
            _build(work, key, build, columns, sources)
            final = _publish(work, folder) if lasting else work
            stored = read_folder(final, key)
    if stored is None:
        raise UserError(f"cannot read back {folder}; set SNNKIT_CACHE to another folder")
    return stored


def _build(
    work: Path, key: Mapping[str, Any], build: Callable, columns: Columns, sources: Sources | None
) -> None:
    """Fill the folder `work`, going on with what a killed process left there. After an error it is gone."""
    writer = None
    try:
        writer = Writer(work, columns=columns, key=key)
        build(writer)
        if sources is not None:
            sources.check()
        writer.finish()
    except KeyboardInterrupt:
        raise  # the next call goes on here
    except BaseException as error:
        if writer is not None:
            writer.close()
        shutil.rmtree(work, ignore_errors=True)
        if isinstance(
            error, OSError
        ):  # reading the sources has errors of its own; this is a full disk or the like
            text = f"cannot write {work.parent} ({error}); set SNNKIT_CACHE to another folder"
            raise UserError(text) from error
        raise
    finally:
        if writer is not None:
            writer.close()


def _publish(work: Path, folder: Path) -> Path:
    """Give the finished folder its name, in one step."""
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)  # damaged: whole ones are read, not written
    work.rename(folder)
    return folder


@contextlib.contextmanager
def _only_writer(folder: Path) -> Iterator[bool]:
    """Hold the lock on writing `folder`; False, and no lock, if nothing can be written there."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder.parent):
            pass
    except OSError as error:
        warnings.warn(
            f"cannot write {folder.parent} ({error.strerror or error}), so {folder.name} is not kept for the next time; "
            "set SNNKIT_CACHE to a folder that can be written",
            stacklevel=6,
        )
        yield False
        return
    with _lock(folder):
        yield True


@contextlib.contextmanager
def _lock(folder: Path, timeout: float = -1) -> Iterator[None]:
    """Hold the lock on writing `folder`, a file beside it; the system lifts it when its holder dies.

    The file goes when the lock does: who waits for it then takes a new one, for `FileLock` sees that it has no name left.
    """
    path = folder.parent / f".{folder.name}.lock"
    with FileLock(path, timeout=timeout):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows deletes nothing that is open
                path.unlink()


# -- what is there ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cached:
    """A folder in the cache: `name` of dataset and split, its size in bytes, and whether it was finished."""

    name: str
    folder: Path
    size: int
    whole: bool


def cached_folders(name: str | None = None) -> list[Cached]:
    """Folders that `cached` has written, of one dataset or of all."""
    try:
        entries = sorted(cache_folder().iterdir())
    except OSError:
        return []
    found = [c for c in (_cached(entry) for entry in entries) if c is not None]
    return [c for c in found if name is None or c.name == name or c.name.startswith(f"{name}-")]


def _cached(entry: Path) -> Cached | None:
    """None for everything that is not ours: downloads may lie in the cache folder too."""
    whole = not entry.name.startswith(".")
    stem = entry.name if whole else entry.name[1:].removesuffix(".part")
    name, _, hexes = stem.rpartition("-")
    if not name or len(hexes) != 16 or not set(hexes) <= set("0123456789abcdef") or entry.is_symlink():
        return None
    if not (entry / (CONTENTS if whole else "journal")).is_file():
        return None
    size = sum(f.stat().st_size for f in entry.iterdir() if f.is_file())
    return Cached(name, entry, size, whole)


def clear(name: str | None = None) -> list[Cached]:
    """Delete the cached folders of one dataset, or of all; returns what was deleted. Downloads are never touched."""
    gone = []
    for item in cached_folders(name):
        final = (
            item.folder if item.whole else item.folder.with_name(item.folder.name[1:].removesuffix(".part"))
        )
        with contextlib.suppress(Timeout), _lock(final, timeout=0):  # one that is being written is left alone
            shutil.rmtree(item.folder, ignore_errors=True)
            if not item.folder.exists():
                gone.append(item)
    if name is None:
        shutil.rmtree(cache_folder() / REMEMBERED, ignore_errors=True)
    return gone
