"""Folders, zip and tar archives as one thing: names and their contents. Nothing that a name says is ever used as a path.

Archives are read in place. Only a large tar archive, which cannot be read in any order, is unpacked for as long as it is
read: into numbered files of a temporary folder. Links and devices are left out, sizes are capped, checksums are checked.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from snnkit.datasets.errors import DataNotFound, EventFileError

LARGEST = 1 << 30  # bytes of one member
LARGEST_SET = 64 << 30  # bytes of all members
RATIO = 1100  # a member cannot be larger than the archive by more: deflate's limit is 1 032
IN_MEMORY = 128 << 20  # bytes of a tar archive, compressed, that is held in memory
DAMAGE = (
    zlib.error,
    EOFError,
    OSError,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
)
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2")


@dataclass(frozen=True)
class Members:
    """The files in a folder or an archive whose names match, in the order of their names.

    Args:
        path: of the folder or archive.
        names: with slashes, relative to it.
        read: the content of one of them.
    """

    path: Path
    names: tuple[str, ...]
    read: Callable[[str], bytes]

    def called(self, name: str) -> str:
        """A member's name in errors."""
        return str(self.path / name) if self.path.is_dir() else f"{self.path}:{name}"

    def the(self, ending: str) -> str:
        """The one member whose name ends so.

        Raises:
            EventFileError: there is none.
        """
        for name in self.names:
            if name.endswith(ending):
                return name
        raise EventFileError(str(self.path), None, f"expected a member {ending}, which is missing")


@contextlib.contextmanager
def members(path: Path, pattern: str, *, largest: int = LARGEST) -> Iterator[Members]:
    """The regular files below `path`, a folder, zip or tar, whose names match the regular expression.

    Raises:
        DataNotFound: it cannot be read. EventFileError: it is damaged, or a member is larger than `largest` bytes.
    """
    wanted = re.compile(pattern)
    if path.is_dir():
        yield _folder(path, wanted)
    elif path.name.endswith(".zip"):
        with _zip(path, wanted, largest) as found:
            yield found
    else:
        with _tar(path, wanted, largest) as found:
            yield found


def files_below(path: Path) -> list[Path]:
    """The file itself, or all files of a folder by name."""
    return sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]


def read_file(path: Path) -> bytes:
    """Content of a file; of a `.gz` one, what is packed in it, which its checksum must confirm.

    Raises:
        DataNotFound: it cannot be read. EventFileError: it is damaged.
    """
    try:
        with path.open("rb") as raw:
            if raw.read(2) != b"\x1f\x8b":
                raw.seek(0)
                return raw.read()
            raw.seek(0)
            limit = min(LARGEST, RATIO * path.stat().st_size)
            with gzip.open(raw) as packed:
                data = packed.read(limit + 1)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise EventFileError(str(path), None, f"damaged gzip file ({error}); download it again") from error
    except OSError as error:
        raise DataNotFound(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > limit:
        raise EventFileError(str(path), None, f"unpacks to more than {limit} bytes")
    return data


def unpack_one(path: Path, pattern: str, to: Path) -> None:
    """Write what a `.gz` file holds, or the one member of a zip archive that matches, to the file `to`.

    Raises:
        EventFileError: it is damaged, holds no such member, or one that is larger than it can be.
    """
    limit = min(LARGEST_SET, RATIO * path.stat().st_size)
    try:
        with contextlib.ExitStack() as stack:
            if path.suffix == ".zip":
                archive = stack.enter_context(zipfile.ZipFile(path))
                names = [n for n in archive.namelist() if re.search(pattern, n)]
                if len(names) != 1:
                    raise EventFileError(
                        str(path), None, f"expected one member like {pattern}, found {len(names)}"
                    )
                file: IO[bytes] = stack.enter_context(archive.open(names[0]))
            else:
                file = cast(IO[bytes], stack.enter_context(gzip.open(path)))
            with to.open("wb") as out:
                while block := file.read(1 << 20):
                    if out.tell() + len(block) > limit:
                        raise EventFileError(str(path), None, f"unpacks to more than {limit} bytes")
                    out.write(block)
    except DAMAGE as error:
        raise EventFileError(str(path), None, f"damaged archive ({error}); download it again") from error


def _folder(path: Path, wanted: re.Pattern) -> Members:
    found = {f.relative_to(path).as_posix(): f for f in files_below(path)}
    names = tuple(n for n in found if wanted.search(n))

    def read(name: str) -> bytes:
        try:
            return found[name].read_bytes()
        except OSError as error:
            raise DataNotFound(f"cannot read {found[name]}: {error.strerror or error}") from error

    return Members(path, names, read)


@contextlib.contextmanager
def _zip(path: Path, wanted: re.Pattern, largest: int) -> Iterator[Members]:
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise EventFileError(str(path), None, f"not a readable zip archive ({error})") from error
    with archive:
        found = {i.filename: i for i in archive.infolist() if not i.is_dir() and wanted.search(i.filename)}
        _check(path, ((n, i.file_size) for n, i in found.items()), largest)

        def read(name: str) -> bytes:
            try:
                return archive.read(found[name])
            except DAMAGE as error:  # RuntimeError: encrypted
                raise EventFileError(f"{path}:{name}", None, f"damaged archive ({error})") from error

        yield Members(path, tuple(sorted(found)), read)


@contextlib.contextmanager
def _tar(path: Path, wanted: re.Pattern, largest: int) -> Iterator[Members]:
    with contextlib.ExitStack() as stack:
        place: Path | None = None
        if path.stat().st_size > IN_MEMORY:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="snnkit-", dir=room())))
        contents: dict[str, bytes | Path] = {}
        try:
            for name, file in _tar_members(path, wanted, largest):
                if place is None:
                    contents[name] = file.read()
                else:
                    contents[name] = place / str(len(contents))
                    with (place / str(len(contents) - 1)).open("wb") as out:
                        shutil.copyfileobj(file, out)
        except DAMAGE as error:
            raise EventFileError(str(path), None, f"not a readable tar archive ({error})") from error

        def read(name: str) -> bytes:
            found = contents[name]
            return found.read_bytes() if isinstance(found, Path) else found

        yield Members(path, tuple(sorted(contents)), read)


def _tar_members(path: Path, wanted: re.Pattern, largest: int) -> Iterator[tuple[str, IO[bytes]]]:
    """Matching regular members, then the rest of the stream, so that its checksum is checked."""
    openers: dict[str, Callable] = {".bz2": bz2.open, ".tar": open}
    opener = openers.get(path.suffix, gzip.open)
    total = 0
    with opener(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if not member.isreg() or not wanted.search(member.name):
                continue
            total += member.size
            _check(path, [(member.name, member.size)], largest, total)
            file = archive.extractfile(member)
            assert file is not None  # it is a regular member
            yield member.name, file
        while stream.read(1 << 20):
            pass


def _check(path: Path, sizes: object, largest: int, total: int = 0) -> None:
    limit = min(LARGEST_SET, RATIO * path.stat().st_size)
    for name, size in sizes:  # type: ignore[attr-defined]
        if size > min(largest, limit):
            raise EventFileError(f"{path}:{name}", None, f"{size} bytes is more than it can have ({largest})")
        total += size
    if total > limit:
        raise EventFileError(str(path), None, f"unpacks to more than {limit} bytes")


def room() -> Path | None:
    """The cache folder, which has room for data sets where the system's temporary folder may be small."""
    from snnkit.datasets.store import cache_folder

    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return cache_folder()
