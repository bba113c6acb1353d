"""A folder of .npy columns: written once, whole or not at all, and read memory-mapped.

The folder's name holds a hash of everything that went into the columns: the sources' content, the parameters and the
version of this layout. So a cache is never stale; at worst it is unused. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.recordings import Events, Packed

FORMAT = 1  # raise it when the columns or their meaning change
COLUMNS = {"t": np.int64, "x": np.int16, "y": np.int16, "p": np.uint8}
Arrays = dict[str, NDArray]


def cache_dir() -> Path:
    """Where decoded datasets are kept: the environment variable SNNKIT_CACHE, else the user's cache folder."""
    if os.environ.get("SNNKIT_CACHE"):
        return Path(os.environ["SNNKIT_CACHE"]).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("snnkit", appauthor=False))


def digest(*parts: Any) -> str:
    """A hash of JSON-able values and bytes: the same for equal values, on every machine."""
    h = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        h.update(len(data).to_bytes(8, "little") + data)
    return h.hexdigest()


def file_digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def cached(name: str, key: Mapping[str, Any], build: Callable[[], Arrays]) -> Arrays:
    """The arrays stored under `key`, memory-mapped; the first time they are built and written.

    Args:
        name: dataset and split, for people who look into the folder.
        key: everything the arrays depend on.
        build: makes the arrays. If it raises, nothing is written.

    If the cache folder cannot be written, the arrays are returned all the same, with a warning.
    """
    folder = cache_dir() / f"{name}-{digest(dict(key), FORMAT)[:16]}"
    stored = read_folder(folder)
    if stored is not None:
        return stored
    arrays = build()
    try:
        write_folder(folder, arrays, {"key": dict(key), "format": FORMAT})
    except OSError as error:
        warnings.warn(
            f"{name} is not cached, so the next load starts again: cannot write {folder.parent} "
            f"({error.strerror or error}); set SNNKIT_CACHE to a folder that can be written",
            stacklevel=3,
        )
        return arrays
    return read_folder(folder) or arrays


def read_folder(folder: Path) -> Arrays | None:
    """All columns of a folder, memory-mapped and read-only; None if there is no whole folder."""
    try:
        names = json.loads((folder / "meta.json").read_text())["arrays"]
        return {n: np.load(folder / f"{n}.npy", mmap_mode="r", allow_pickle=False) for n in names}
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent, or damaged by others: it is built again


def write_folder(folder: Path, arrays: Mapping[str, NDArray], meta: Mapping[str, Any]) -> None:
    """Write the columns beside `folder`, then rename: other processes see all of it or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, array in arrays.items():
            np.save(beside / f"{name}.npy", array, allow_pickle=False)
        (beside / "meta.json").write_text(json.dumps({**meta, "arrays": sorted(arrays)}, indent=1))
        if folder.exists() and read_folder(folder) is None:
            shutil.rmtree(folder)  # damaged
        with contextlib.suppress(FileExistsError):  # someone else was quicker, with the same content
            try:
                beside.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def pack(recordings: Iterable[Events], sensor: tuple[int, int, int]) -> Packed:
    """Recordings end to end."""
    parts: dict[str, list[NDArray]] = {name: [] for name in COLUMNS}
    lengths = [0]
    for events in recordings:
        for name, part in parts.items():
            part.append(getattr(events, name))
        lengths.append(len(events))
    columns = {n: np.concatenate([np.zeros(0, COLUMNS[n]), *part]) for n, part in parts.items()}
    return Packed(**columns, offsets=np.cumsum(lengths, dtype=np.int64), sensor=sensor)


def to_arrays(packed: Packed, **extra: NDArray) -> Arrays:
    return {**{n: getattr(packed, n) for n in COLUMNS}, "offsets": packed.offsets, **extra}


def from_arrays(arrays: Arrays, sensor: tuple[int, int, int]) -> Packed:
    return Packed(**{n: arrays[n] for n in COLUMNS}, offsets=np.asarray(arrays["offsets"]), sensor=sensor)
