"""Lists and texts of variable length in HDF5 files, read by us: the HDF5 library believes the lengths that a file claims.

Such a value is stored as a descriptor (length, address, index); what it stands for is an object in a global heap at that
address. (HDF5 File Format Specification 3.0, III.E Global Heap, IV.A.1 object headers, IV.A.2.m attribute messages.)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import h5py

from snnkit.datasets.files.base import Damaged

DESCRIPTOR = struct.Struct("<IQI")
COLLECTION, OBJECT = struct.Struct("<4sB3xQ"), struct.Struct("<HH4xQ")
ATTRIBUTE, CONTINUATION = 0x0C, 0x10  # types of messages
MOST_MESSAGES, LONGEST = 1000, 4096
VARIABLE = 9  # class of the datatype


def heap_object(file: BinaryIO, descriptor: bytes, item: int) -> bytes:
    """What a descriptor stands for, `item` bytes per element.

    Raises:
        Damaged: it is not there, or has another length.
    """
    length, address, index = DESCRIPTOR.unpack(descriptor)
    if not length:
        return b""
    file.seek(0, 2)
    end = file.tell()
    if address > end - COLLECTION.size:
        raise Damaged(None, f"a heap at byte {address} of a file of {end}")
    file.seek(address)
    signature, _, size = COLLECTION.unpack(file.read(COLLECTION.size))
    if signature != b"GCOL" or size > end - address:
        raise Damaged(address, f"expected a heap, got {signature!r} of {size} bytes")
    at, stop = address + COLLECTION.size, address + size
    while at + OBJECT.size <= stop:
        file.seek(at)
        number, _, size = OBJECT.unpack(file.read(OBJECT.size))
        if number == index and number:
            if size < length * item or size > stop - at - OBJECT.size:
                raise Damaged(at, f"an object of {size} bytes in a heap; expected {length} x {item}")
            return file.read(length * item)
        if number == 0:
            break
        at += OBJECT.size + size + -size % 8
    raise Damaged(address, f"the heap has no object {index}")


def list_of(found: h5py.Dataset, i: int, path: Path, item: int) -> bytes:
    """Element i of a dataset (one axis, no filters) of lists or texts of variable length."""
    at, place = found.id.get_offset(), i
    if found.chunks:
        length = found.chunks[0]
        at, place = found.id.get_chunk_info_by_coord((i // length * length,)).byte_offset, i % length
    if at is None:
        return b""  # never written
    with path.open("rb") as file:
        file.seek(at + DESCRIPTOR.size * place)
        descriptor = file.read(DESCRIPTOR.size)
        if len(descriptor) < DESCRIPTOR.size:
            raise Damaged(at, "truncated: the file ends within a dataset")
        return heap_object(file, descriptor, item)


def text_attributes(path: Path, address: int) -> dict[str, str]:
    """Attributes that are texts of variable length, of the object whose header is at this byte."""
    found = {}
    with path.open("rb") as file:
        for kind, data in _messages(file, address):
            if kind == ATTRIBUTE and (attribute := _attribute(data)) is not None:
                name, descriptor = attribute
                if DESCRIPTOR.unpack(descriptor)[0] <= LONGEST:
                    found[name] = heap_object(file, descriptor, 1).decode("utf-8", "replace").rstrip("\0")
    return found


def _attribute(data: bytes) -> tuple[str, bytes] | None:
    """Name and descriptor, if an attribute message has one text of variable length."""
    if len(data) < 8 or not 1 <= data[0] <= 3:
        return None
    sizes = struct.unpack_from("<HHH", data, 2)
    at = 9 if data[0] == 3 else 8
    places = []
    for size in sizes:  # name, datatype, dataspace
        places.append(at)
        at += size + (-size % 8 if data[0] == 1 else 0)
    datatype = data[places[1] : places[1] + 2]
    if (
        len(data) < at + DESCRIPTOR.size
        or len(datatype) < 2
        or datatype[0] & 15 != VARIABLE
        or datatype[1] & 15 != 1
    ):
        return None
    name = data[places[0] : places[0] + sizes[0]].rstrip(b"\0").decode("utf-8", "replace")
    return name, data[at : at + DESCRIPTOR.size]


def _messages(file: BinaryIO, address: int) -> Iterator[tuple[int, bytes]]:
    """The messages of an object header of either version."""
    file.seek(address)
    start = file.read(34)
    if len(start) < 34:
        return
    new = start[:4] == b"OHDR"
    if new:
        flags = start[5]
        at = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        blocks = [(address + at + width, int.from_bytes(start[at : at + width], "little"))]
        head = 6 if flags & 4 else 4
    else:
        blocks, head = [(address + 16, int.from_bytes(start[8:12], "little"))], 8
    count = 0
    for position, length in blocks:  # grows as continuations are found
        file.seek(position)
        data, at = file.read(min(length, 1 << 20)), 0
        while at + head <= len(data) and count < MOST_MESSAGES:
            count += 1
            kind, size = (
                (data[at], struct.unpack_from("<H", data, at + 1)[0])
                if new
                else struct.unpack_from("<HH", data, at)
            )
            message = data[at + head : at + head + size]
            if kind == CONTINUATION and len(message) >= 16 and len(blocks) < MOST_MESSAGES:
                place, extent = struct.unpack_from("<QQ", message)
                if place < 1 << 62:
                    blocks.append((place + 4, extent - 8) if new else (place, extent))
            yield kind, message
            at += head + size
