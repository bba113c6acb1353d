"""Looking into HDF5 files that cannot be trusted: no links, no claims of size, no filters that are not known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files.base import Damaged
from snnkit.datasets.files.ecf import FILTER as ECF
from snnkit.datasets.files.hdf5_raw import LONGEST, list_of, text_attributes
from snnkit.datasets.files.unpack import RATIO, SLACK
from snnkit.errors import UserError

GZIP, SHUFFLE, FLETCHER, LZF = 1, 2, 3, 32000  # come with HDF5 or h5py
PLUGINS = {307: "bzip2", 32001: "Blosc", 32004: "LZ4", 32008: "Bitshuffle", 32015: "Zstd", 32026: "Blosc2"}


@contextmanager
def h5_errors() -> Iterator[None]:
    """Say of everything that h5py raises that the file is damaged."""
    try:
        yield
    except (
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as error:
        if isinstance(error, UserError):
            raise
        raise Damaged(None, f"the HDF5 library says: {str(error) or type(error).__name__}") from None


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file, for reading."""
    with h5_errors():
        file = h5py.File(path, "r", locking=False)
    try:
        yield file
    finally:
        file.close()


def member(group: h5py.Group, name: str) -> Any:
    """A group or dataset by its path; None if there is none.

    Raises:
        Damaged: it is a link, which could lead to another file.
    """
    with h5_errors():
        node: Any = group
        for part in name.split("/"):
            if not isinstance(node, h5py.Group) or part not in node:
                return None
            link = node.get(part, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise Damaged(None, f"{name} is a link; only what is in the file itself is read")
            node = node[part]
        return node


def dataset(group: h5py.Group, name: str, axes: int = 1, *, variable: bool = False) -> h5py.Dataset:
    """A dataset with so many axes whose content is in this file and is not much larger than the file.

    Only if `variable` its elements may be lists or texts of variable length, which the HDF5 library must not read.

    Raises:
        Damaged: it is not so.
        UserError: a library is needed for its compression.
    """
    found = member(group, name)
    if not isinstance(found, h5py.Dataset):
        raise Damaged(None, f"there is no dataset {name}")
    with h5_errors():
        if len(found.shape or ()) != axes:
            raise Damaged(None, f"{name} has the shape {found.shape}; expected {axes} axes")
        if found.dtype.hasobject and not variable:
            raise Damaged(None, f"{name} has the type {found.dtype}; expected numbers")
        if found.is_virtual or found.external:
            raise Damaged(None, f"the content of {name} is in other files")
        most = SLACK + RATIO * Path(found.file.filename).stat().st_size
        chunk = int(np.prod(found.chunks, dtype=object)) if found.chunks else 0
        claimed = max(int(np.prod(found.shape, dtype=object)), chunk) * found.dtype.itemsize
        if claimed > most:
            raise Damaged(None, f"{name} says that it has {claimed} bytes, more than the file can hold")
        stored, there = found.id.get_storage_size(), Path(found.file.filename).stat().st_size
        if stored > there:
            raise Damaged(None, f"{name} says that it takes {stored} bytes of a file of {there}")
        _check_filters(found, name)
    return found


def _check_filters(found: h5py.Dataset, name: str) -> None:
    for code in filters(found):
        if code in (GZIP, SHUFFLE, FLETCHER, LZF, ECF):
            continue
        if code not in PLUGINS:
            raise Damaged(None, f"{name} is compressed with the filter {code}, which is not known")
        if not h5py.h5z.filter_avail(code):
            try:
                import hdf5plugin  # noqa: F401  (makes its filters known)
            except ImportError:
                raise UserError(
                    f"{found.file.filename}: {name} is compressed with {PLUGINS[code]}; for this type: "
                    "pip install snnkit[files]"
                ) from None


def filters(found: h5py.Dataset) -> list[int]:
    """Numbers of the filters of a dataset."""
    plist = found.id.get_create_plist()
    return [plist.get_filter(k)[0] for k in range(plist.get_nfilters())]


def list_of_numbers(found: h5py.Dataset, i: int, name: str) -> NDArray[Any]:
    """Element i of a dataset of lists of variable length."""
    base = h5py.check_vlen_dtype(found.dtype)
    if base is None or base.kind not in "iuf" or i >= len(found):
        raise Damaged(None, f"{name} has no list of numbers for recording {i}, but {found.dtype}")
    return np.frombuffer(_element(found, i, name, base.itemsize), base)


def element_text(found: h5py.Dataset, i: int, name: str) -> str:
    """Element i of a dataset of texts."""
    with h5_errors():
        if found.dtype.hasobject:
            if h5py.check_string_dtype(found.dtype) is None:
                raise Damaged(None, f"{name} has no texts, but {found.dtype}")
            return _element(found, i, name, 1)[:LONGEST].decode("utf-8", "replace").rstrip("\0")
        return text(found[i])


def _element(found: h5py.Dataset, i: int, name: str, item: int) -> bytes:
    if filters(found):
        raise Damaged(None, f"{name} has lists of variable length and is compressed, which is not supported")
    with h5_errors():
        if found.file.id.get_create_plist().get_sizes() != (8, 8):
            raise Damaged(None, "addresses of other than 8 bytes")
        return list_of(found, i, Path(found.file.filename), item)


def text(value: Any) -> str:
    """An attribute or label as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def attributes(file: h5py.File) -> dict[str, str]:
    """Attributes of the file as text, those that are short."""
    with h5_errors():
        found = text_attributes(Path(file.filename), h5py.h5o.get_info(file.id).addr)
        for name in list(file.attrs)[:100]:
            attribute = file.attrs.get_id(name)
            if attribute.dtype.kind in "iufSb" and attribute.get_storage_size() <= LONGEST:
                found[name] = text(file.attrs[name])
    return found


def geometry(found: dict[str, str]) -> tuple[int, int] | None:
    """Width and height in an attribute such as geometry="640x480"."""
    width, _, height = found.get("geometry", "").partition("x")
    return (int(width), int(height)) if width.isdecimal() and height.isdecimal() else None
