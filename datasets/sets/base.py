"""What the loaders of all data sets share: where files are found, what is checked, where the result is kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.archive import files_below
from snnkit.datasets.dataset import EventDataset
from snnkit.datasets.errors import DataNotFound, EventFileError
from snnkit.datasets.fingerprint import Sources
from snnkit.datasets.store import Stored, cache_folder, cached, from_stored
from snnkit.datasets.writer import COLUMNS, Columns, Writer
from snnkit.errors import UserError
from snnkit.recordings import Sensor


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is known of a data set before it is there.

    Args:
        module: of its `load`; imported when it is used.
        summary: what it is, in one line.
        kind: "events", "pictures", "audio" or "motion".
        splits: names of its parts.
        samples: how many of them each part has, where that is known.
        classes: number of classes.
        grid: (polarities, height, width) of its events; None if it has none.
        shape: what one sample is, in words, where it is no recording of a sensor.
        built_in: whether it needs no files.
        licence, citation, source: under which terms, by whom, from where.
        size: bytes to download; None where the source does not tell.
        layouts: for each split, or "" for all, alternatives: names (with * and ?) that must all be in the folder; "a//b" is
            a folder a with b in it, for a may have a common name.
        folders: folders below the root that are searched too.
        checksums: of published files by name, "sha256:..." or "md5:...".
        tonic: class in tonic.datasets that can download it.
        notes: what to know before using it.
    """

    module: str
    summary: str
    kind: str = "events"
    splits: tuple[str, ...]
    samples: Mapping[str, int]
    classes: int
    grid: Sensor | None = None
    shape: str = ""
    built_in: bool = False
    licence: str
    citation: str
    source: str
    size: int | None = None
    layouts: Mapping[str, tuple[tuple[str, ...], ...]]
    folders: tuple[str, ...] = ()
    checksums: Mapping[str, str]
    tonic: str = ""
    notes: str = ""

    @property
    def sensor(self) -> Sensor:
        """(polarities, height, width) of its events.

        Raises:
            UserError: it has none.
        """
        if self.grid is None:
            raise UserError(f"expected a set of events; this one has {self.kind}: {self.summary}")
        return self.grid

    def alternatives(self, split: str) -> tuple[tuple[str, ...], ...]:
        """The layouts in which the files of a split may lie."""
        return self.layouts.get(split, ()) + self.layouts.get("", ())


@dataclass(frozen=True)
class Request:
    """One call of `load`: which part of which set, its files, and what was asked for."""

    name: str
    split: str
    entry: Entry
    paths: tuple[Path, ...]
    verify: bool = True
    progress: bool = True

    @property
    def title(self) -> str:
        return f"{self.name} {self.split}"

    def sources(self) -> Sources:
        """All files it is made from."""
        return Sources.of([f for path in self.paths for f in files_below(path)], self.paths[0].parent)

    def stored(
        self,
        build: Callable[[Writer], None],
        *,
        version: int,
        columns: Columns = COLUMNS,
        part: str | None = None,
        **parameters: Any,
    ) -> Stored:
        """What `build` makes of the files, from the cache if it is there.

        Args:
            build: fills a `Writer`.
            version: of `build`; another one makes another cache.
            columns: those of events if not given.
            part: "all" if all splits are made at once.
            parameters: what else the result depends on.
        """
        sources, part = self.sources(), part or self.split
        content = sources.content(cache_folder(), text=f"checking {self.name}", progress=self.progress)
        key = {"dataset": self.name, "part": part, "source": content, "version": version, **parameters}

        def checked(writer: Writer) -> None:
            if self.verify:
                check_published(self.paths, self.entry.checksums)
            build(writer)

        return cached(f"{self.name}-{part}", key, checked, columns=columns, sources=sources)

    def events(
        self, stored: Stored, classes: tuple[str, ...], ids: NDArray | None = None, **about: NDArray
    ) -> EventDataset:
        """A dataset of the recordings in a folder."""
        labels = np.asarray(stored["labels"])
        return EventDataset(self.title, from_stored(stored), labels, classes, ids=ids, about=about)


def find(name: str, entry: Entry, split: str, root: str | PathLike[str] | None) -> tuple[Path, ...]:
    """The files or folders of a split, in `root`, else in SNNKIT_DATA, else in the cache folder's `data`.

    Raises:
        DataNotFound: they are nowhere; says what to download and where to put it.
    """
    base = Path(root or os.environ.get("SNNKIT_DATA") or cache_folder() / "data").expanduser()
    if base.is_file():
        if any(len(names) == 1 and base.match(_plain(names[0])) for names in entry.alternatives(split)):
            return (base,)
        base = base.parent
    for folder in [base, *(base / f for f in entry.folders)]:
        for names in entry.alternatives(split):
            found = [_first(folder, n) for n in names]
            if all(f is not None for f in found):
                return tuple(f for f in found if f is not None)
    raise DataNotFound(_missing(name, entry, split, base))


def _first(folder: Path, pattern: str) -> Path | None:
    name, _, inside = pattern.partition("//")
    places = sorted(folder.glob(name)) if any(c in name for c in "*?[") else [folder / name]
    return next((p for p in places if (any(p.glob(inside)) if inside else p.exists())), None)


def _plain(pattern: str) -> str:
    return pattern.partition("//")[0]


def _missing(name: str, entry: Entry, split: str, base: Path) -> str:
    state = f"has none of its {split} files" if base.is_dir() else "does not exist"
    forms = " or ".join(" + ".join(map(_plain, names)) for names in entry.alternatives(split)[:3])
    here = f" (also searched: {', '.join(entry.folders)} below it)" if entry.folders and base.is_dir() else ""
    size = f" ({entry.size / 1e6:.0f} MB)" if entry.size else ""
    with_tonic = ""
    if entry.tonic:
        with_tonic = (
            f"; or let tonic download it: pip install 'snnkit[tonic]', then load({name!r}, download=True)"
        )
    return (
        f"{name} is not here: {base} {state}{here}. Download it{size} from {entry.source}, put {forms} into a folder and "
        f"pass that as root=, or set SNNKIT_DATA to it{with_tonic}"
    )


def check_published(paths: tuple[Path, ...], checksums: Mapping[str, str]) -> None:
    """Refuse a file that has a published file's name but not its content.

    Raises:
        EventFileError: naming both hashes.
    """
    for path in paths:
        kind, _, expected = checksums.get(path.name, "").partition(":")
        if not expected or not path.is_file():
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(file, kind).hexdigest()
        if found != expected:
            raise EventFileError(
                str(path),
                None,
                f"not the published file: {kind} {found} instead of {expected}; it is damaged or another version: "
                "download it again, or read it all the same with verify=False",
            )


# -- splits of one's own -----------------------------------------------------------------------------------------------


def drawn(name: str, key: str) -> float:
    """A number in [0, 1) that depends on these words alone: the same on every machine, for ever."""
    return int.from_bytes(hashlib.sha256(f"{name}/{key}".encode()).digest()[:8], "big") / 2**64


def stratified(name: str, labels: NDArray, keys: list[str], shares: Mapping[str, float]) -> NDArray:
    """The split of every sample: in every class the samples, ordered by a hash of their keys, are dealt out by share."""
    out = np.empty(len(labels), dtype=object)
    edges = np.cumsum(list(shares.values()))
    for label in np.unique(labels):
        members = sorted(
            np.flatnonzero(labels == label).tolist(), key=lambda i: (drawn(name, keys[i]), keys[i])
        )
        for place, i in enumerate(members):
            out[i] = list(shares)[int(np.searchsorted(edges, (place + 0.5) / len(members), side="right"))]
    return out


def grouped(name: str, groups: NDArray, shares: Mapping[str, float]) -> NDArray:
    """The split of every sample: whole groups, ordered by a hash of their names, are dealt out by share of groups."""
    names = sorted(np.unique(groups).tolist(), key=lambda g: (drawn(name, str(g)), g))
    edges = np.cumsum(list(shares.values()))
    split = {
        g: list(shares)[int(np.searchsorted(edges, (k + 0.5) / len(names), side="right"))]
        for k, g in enumerate(names)
    }
    return np.array([split[g] for g in groups.tolist()], dtype=object)


def chosen(splits: NDArray, split: str) -> NDArray[np.int64]:
    """Which samples are in a split; "all" takes all."""
    return np.arange(len(splits)) if split == "all" else np.flatnonzero(splits == split)


def columns_of(stored: Stored, *names: str) -> Iterator[NDArray]:
    """Stored arrays, in memory."""
    return (np.array(stored[name]) for name in names)
