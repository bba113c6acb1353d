"""`PackedEvents`: a whole dataset as a few memory-mapped columns; a sample is a slice of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.errors import UserError
from snnkit.recordings import Events, Packed

if TYPE_CHECKING:
    from snnkit.datasets.dataset import EventDataset
    from snnkit.datasets.writer import Writer

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False, repr=False)
class PackedEvents(Packed):
    """Recordings end to end, with what is known of them; on disk a folder of .npy files, in memory a map of it.

    `packed[i]` is recording i as `Events`, a slice and no copy. `open` maps a folder, `save` and `pack` write one, whole or
    not at all. Reading never runs code, and a process that gets it by pickle maps the same folder.

    Args:
        t, x, y, p, offsets, sensor: as for `Packed`.
        labels: the class of every recording, int64; None if there are none.
        metadata: anything that JSON can hold.
        arrays: further arrays with one row per recording, such as the speaker.
        folder: where it is on disk, if it is.
    """

    labels: NDArray[np.int64] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray] = field(default_factory=dict)
    folder: Path | None = None

    @classmethod
    def open(cls, folder: str | PathLike[str]) -> PackedEvents:
        """The recordings that were written to a folder, mapped into memory.

        Raises:
            UserError: there are none, or they are not whole.
        """
        from snnkit.datasets.store import from_stored, read_folder

        stored = read_folder(Path(folder).expanduser())
        if stored is None or not {"t", "x", "y", "p", "sensor"} <= set(stored.arrays):
            raise UserError(
                f"{folder} holds no packed recordings, or damaged ones; write them with PackedEvents.save"
            )
        return from_stored(stored)

    def save(self, folder: str | PathLike[str]) -> PackedEvents:
        """Write these recordings to a new folder, and return them as it has them.

        Raises:
            UserError: it exists with something else in it, or cannot be written.
        """
        from snnkit.datasets.fingerprint import array_digest

        rest = {n: a for n, a in {"labels": self.labels, **self.arrays}.items() if a is not None}
        key = {
            "columns": array_digest(self.t, self.x, self.y, self.p, self.offsets),
            "sensor": list(self.sensor),
            "arrays": {n: array_digest(np.asarray(a)) for n, a in rest.items()},
            "metadata": _json(self.metadata),
        }

        def build(writer: Writer) -> None:
            writer.add(self)
            _save_rest(writer, len(self), self.labels, self.metadata, self.arrays)

        return _write(Path(folder).expanduser(), key, build)

    def dataset(self, name: str = "packed", classes: Sequence[str] | None = None) -> EventDataset:
        """These recordings with their labels, as `batches` and `collate` take them.

        Args:
            name: of the dataset.
            classes: their names; the numbers if not given.

        Raises:
            UserError: they have no labels, or one that is no class.
        """
        from snnkit.datasets.dataset import EventDataset

        if self.labels is None:
            raise UserError("these recordings have no labels: give pack(..., labels=...) one per recording")
        count = int(self.labels.max(initial=-1)) + 1
        names = tuple(map(str, range(count))) if classes is None else tuple(classes)
        if len(names) < count or self.labels.min(initial=0) < 0:
            raise UserError(
                f"expected labels of 0 to {len(names) - 1}, got {self.labels.min()} to {count - 1}"
            )
        return EventDataset(name, self, self.labels, names, about=self.arrays)

    def gather(self, ids: ArrayLike) -> PackedEvents:
        """The recordings `ids`, in that order, as columns of their own (a copy)."""
        ids = np.asarray(ids, dtype=np.int64).reshape(-1)
        part = super().gather(ids)
        labels = None if self.labels is None else self.labels[ids]
        columns = {n: getattr(part, n) for n in ("t", "x", "y", "p", "offsets")}
        arrays = {n: a[ids] for n, a in self.arrays.items()}
        return replace(self, **columns, labels=labels, arrays=arrays, folder=None)

    def __reduce__(self) -> Any:
        if self.folder is not None:
            return PackedEvents.open, (self.folder,)
        names = ("t", "x", "y", "p", "offsets", "sensor", "labels", "metadata", "arrays")
        return PackedEvents, tuple(getattr(self, n) for n in names)


def pack(
    items: Sequence[Item],
    read: Callable[[Item], Events],
    folder: str | PathLike[str],
    *,
    labels: ArrayLike | None = None,
    metadata: Mapping[str, Any] | None = None,
    arrays: Mapping[str, ArrayLike] | None = None,
    key: Any = None,
    progress: bool = True,
) -> PackedEvents:
    """Write `read(item)` of every item to a folder, once; later calls map what is there.

    The folder appears when it is whole. A call that is killed or interrupted is taken up by the next one, which reads no
    finished recording again; several processes may call it at once, one of them writes.

    Args:
        items: what to read, such as paths, in order.
        read: one recording of an item, such as `snnkit.datasets.read`.
        folder: to write to; it must not exist with anything else in it.
        labels: the class of every item.
        metadata, arrays: as for `PackedEvents`.
        key: JSON-able: what the recordings depend on beside the items' names, labels and metadata, such as the parameters
            of `read`. With another key, nothing of an interrupted call is used, and a finished folder is refused.
        progress: show a bar on a terminal.

    Raises:
        UserError: the folder holds something else, or cannot be written.

    >>> packed = pack(paths, datasets.read, "packed", labels=labels)  # doctest: +SKIP
    """
    from snnkit.datasets.fingerprint import array_digest, digest

    items, metadata = list(items), dict(metadata or {})
    given = {"labels": labels, **(arrays or {})}
    tables = {n: np.asarray(a) for n, a in given.items() if a is not None}
    made_from = {
        "items": digest([str(item) for item in items]),
        "arrays": {n: array_digest(a) for n, a in tables.items()},
        "metadata": _json(metadata),
        "key": _json(key),
    }
    rows = tables.pop("labels", None)

    def build(writer: Writer) -> None:
        writer.fill(items, read, "packing", progress=progress)
        _save_rest(writer, len(items), rows, metadata, tables)

    return _write(Path(folder).expanduser(), made_from, build)


def _write(folder: Path, key: Mapping[str, Any], build: Callable[[Writer], None]) -> PackedEvents:
    from snnkit.datasets.store import from_stored, read_folder, write_folder

    if (
        folder.exists()
        and (not folder.is_dir() or any(folder.iterdir()))
        and read_folder(folder, key) is None
    ):
        raise UserError(f"{folder} exists and holds something else; delete it, or choose another folder")
    return from_stored(write_folder(folder, key, build))


def _save_rest(
    writer: Writer, count: int, labels: Any, metadata: Mapping[str, Any], arrays: Mapping[str, NDArray]
) -> None:
    for name, array in {"labels": labels, **arrays}.items():
        if array is None:
            continue
        if not name.isidentifier() or name in (*writer.columns, "offsets", "sensor"):
            raise UserError(f"{name!r} cannot name an array of packed recordings")
        if len(array) != count:
            raise UserError(f"expected one row of {name} per recording, got {len(array)} for {count}")
        writer.save(name, np.asarray(array, dtype=np.int64) if name == "labels" else np.asarray(array))
    writer.metadata = dict(metadata)


def _json(value: Any) -> Any:
    """`value` as JSON gives it back."""
    try:
        return json.loads(json.dumps(value, sort_keys=True))
    except (TypeError, ValueError) as error:
        raise UserError(f"expected values that JSON can hold, got {value!r} ({error})") from error
