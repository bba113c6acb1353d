"""N-MNIST: the MNIST digits, recorded by a moving event camera in front of a screen (Orchard 2015)."""

from __future__ import annotations

import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from snnkit.datasets.dataset import EventDataset
from snnkit.datasets.errors import DataNotFound, EventFileError
from snnkit.datasets.files.nmnist import decode_nmnist
from snnkit.datasets.fingerprint import Sources
from snnkit.datasets.sets.base import check_published
from snnkit.datasets.sets.catalog import ENTRIES
from snnkit.datasets.store import cache_folder, cached, from_stored
from snnkit.datasets.writer import Writer
from snnkit.errors import UserError
from snnkit.recordings import Events

VERSION = 1  # raise it when equal files give other recordings
SPLITS = {"train": "Train", "test": "Test"}
SMALL = "NMNISTsmall.tar.gz"  # 1 000 + 100 recordings, as SLAYER's examples have them
SMALL_LABELS = {"train": "train1K.txt", "test": "test100.txt"}
FOLDERS = ("", "nmnist", "NMNIST", "N-MNIST", "nmnist_small")  # under a root
LARGEST = 16 << 20  # bytes of one recording; real ones have 5 to 40 thousand
LARGEST_SET = 1 << 30  # bytes of an archive that is held in memory; the known one has 22 million
DAMAGE = (zlib.error, EOFError, OSError)  # what reading a damaged archive may raise
Recordings = tuple[list[int], list[str], Callable[[str], bytes]]  # classes, names, how to read one


def load(
    split: str = "train",
    *,
    root: str | PathLike[str] | None = None,
    verify: bool = True,
    progress: bool = True,
) -> EventDataset:
    """N-MNIST: 34x34 pixels, OFF and ON, three saccades in about 0.31 s, 60 000 train and 10 000 test recordings.

    Looks in `root`, else in the folder that SNNKIT_DATA names, else in the cache folder's `data`; there, or one folder
    down in `nmnist`, `NMNIST`, `N-MNIST` or `nmnist_small`, for the first of:

        Train/0/00002.bin ... Test/9/...    the original download, unpacked
        Train.zip, Test.zip                 the same, as downloaded
        NMNISTsmall.tar.gz                  the 1 000 train and 100 test recordings of SLAYER's examples

    `root` may be one of those two archives itself. Archives are read in place; nothing is unpacked. The decoded events
    are kept in the cache folder under a hash of the files' content, so that the second load only maps them. Samples are in
    the order of MNIST.

    `verify=False` reads an archive that has a published name but another content.

    Raises:
        DataNotFound: with what to download and where to put it.
        EventFileError: a recording or an archive is damaged, or not the published one; nothing is kept then.
    """
    if split not in SPLITS:
        raise UserError(f"nmnist has the splits train and test; got {split!r}")
    source = locate(root, split)
    files = source.files()
    key = {
        "dataset": "nmnist",
        "split": split,
        "version": VERSION,
        "source": files.content(cache_folder(), progress=progress),
    }

    def build(store: Writer) -> None:
        if verify:
            check_published((source.path,), ENTRIES["nmnist"].checksums)
        _build(store, source, split, progress)

    stored = cached(f"nmnist-{split}", key, build, sources=files)
    classes = tuple(str(k) for k in range(10))
    return EventDataset(f"nmnist {split}", from_stored(stored), np.asarray(stored["labels"]), classes)


def _build(store: Writer, source: Source, split: str, progress: bool) -> None:
    labels, members, read = source.recordings()
    if not labels:
        raise DataNotFound(f"{source.path} has no recordings of nmnist's {split} part")

    def decoded(member: str) -> Events:
        return decode_nmnist(read(member), source.called(member))

    store.fill(members, decoded, f"nmnist {split}", progress=progress)
    store.save("labels", np.asarray(labels, dtype=np.int64))


# -- where the files are ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """A folder or an archive with the recordings of one split."""

    path: Path
    split: str

    def files(self) -> Sources:
        """All files that belong to it."""
        return (
            Sources.of(self._files(), self.path)
            if self.path.is_dir()
            else Sources.of([self.path], self.path.parent)
        )

    def recordings(self) -> Recordings:
        """Their classes and names in the order of MNIST, and how to read one."""
        if self.path.is_dir():
            files = self._files()
            return [int(f.parent.name) for f in files], [str(f) for f in files], lambda f: _read(Path(f))
        if self.path.suffix == ".zip":
            return _from_zip(self.path, self.split)
        return _from_tar(self.path, self.split)

    def called(self, member: str) -> str:
        """Its name in errors."""
        return member if self.path.is_dir() else f"{self.path}:{member}"

    def _files(self) -> list[Path]:
        found = [f for k in range(10) for f in (self.path / str(k)).glob("*.bin")]
        return sorted(found, key=lambda f: (_number(f.stem), f.name))


def locate(root: str | PathLike[str] | None = None, split: str = "train") -> Source:
    """Where the recordings of a split are; see `load`.

    Raises:
        DataNotFound: they are nowhere.
    """
    base = Path(root or os.environ.get("SNNKIT_DATA") or cache_folder() / "data").expanduser()
    if base.is_file():
        return Source(base, split)
    part = SPLITS[split]
    for folder in (base / f for f in FOLDERS):
        for name in (part, part.lower()):
            if (folder / name / "0").is_dir():
                return Source(folder / name, split)
        for name in (f"{part}.zip", f"{part.lower()}.zip", SMALL):
            if (folder / name).is_file():
                return Source(folder / name, split)
    state = "has no N-MNIST in it" if base.is_dir() else "does not exist"
    raise DataNotFound(
        f"nmnist is not here: {base} {state}. Download Train.zip and Test.zip from "
        "https://www.garrickorchard.com/datasets/n-mnist, put them into a folder (zipped, or unpacked to "
        "Train/0/*.bin ... Test/9/*.bin) and pass it as root=, or set SNNKIT_DATA to it"
    )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataNotFound(f"cannot read {file}: {error.strerror or error}") from error


def _number(stem: str) -> int:
    return int(stem) if stem.isdecimal() else -1


# -- archives: read member by member, never unpacked -----------------------------------------------------------------


def _from_zip(path: Path, split: str) -> Recordings:
    """Members Train/<class>/<number>.bin of an original download; those of the other split are left out."""
    try:
        archive = zipfile.ZipFile(path)  # open until its last member has been read
        members = [re.search(r"(?:^|(\w*)/)(\d)/(\d+)\.bin$", name) for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError) as error:
        raise EventFileError(str(path), None, f"not a readable zip archive ({error})") from error
    other = {part.lower() for part in SPLITS.values()} - {split}
    found = [m for m in members if m and (m[1] or "").lower() not in other]
    chosen = sorted((int(m[3]), int(m[2]), m.string) for m in found)
    names = [name for _, _, name in chosen]
    return [label for _, label, _ in chosen], names, lambda name: _zip_member(path, archive, name)


def _zip_member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    _check_size(path, name, archive.getinfo(name).file_size)
    try:
        return archive.read(name)
    except (*DAMAGE, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # the last: encrypted
        raise EventFileError(f"{path}:{name}", None, f"damaged archive ({error})") from error


def _from_tar(path: Path, split: str) -> Recordings:
    """Members <number>.bs2 with their classes in a text member of lines 'number class'."""
    wanted = SMALL_LABELS[split]
    try:
        with tarfile.open(path, "r:gz") as archive:
            contents = dict(_small_members(path, archive))
    except (*DAMAGE, tarfile.TarError) as error:
        raise EventFileError(str(path), None, f"not a readable tar.gz archive ({error})") from error
    if wanted not in contents:
        raise EventFileError(str(path), None, f"expected the labels in a member {wanted}, which is missing")
    labels = _labels(f"{path}:{wanted}", contents[wanted])
    names = [f"{number}.bs2" for number, _ in labels]
    missing = next((name for name in names if name not in contents), None)
    if missing is not None:
        raise EventFileError(str(path), None, f"{wanted} names recording {missing}, which is missing")
    return [label for _, label in labels], names, contents.__getitem__


def _small_members(path: Path, archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """Regular members that are recordings or labels, by their last name; nothing touches the disk."""
    total = 0
    for member in archive:
        name = member.name.rsplit("/", 1)[-1]
        if not member.isreg() or not (re.fullmatch(r"\d+\.bs2", name) or name in SMALL_LABELS.values()):
            continue
        _check_size(path, member.name, member.size)
        total += member.size
        if total > LARGEST_SET:
            raise EventFileError(
                str(path), None, f"its recordings unpack to more than {LARGEST_SET >> 20} MiB"
            )
        file = archive.extractfile(member)
        assert file is not None  # it is a regular member
        yield name, file.read()


def _check_size(path: Path, name: str, size: int) -> None:
    if size > LARGEST:
        raise EventFileError(
            f"{path}:{name}", None, f"{size} bytes is more than a recording can have ({LARGEST})"
        )


def _labels(source: str, text: bytes) -> list[tuple[int, int]]:
    pairs = []
    for k, line in enumerate(text.decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"\s*(\d+)\s+(\d)\s*", line)
        if not match:
            raise EventFileError(source, None, f"line {k}: expected 'number class', got {line[:40]!r}")
        pairs.append((int(match[1]), int(match[2])))
    return pairs
