"""Prophesee's .raw: a header of text, then a stream of words in EVT2, EVT2.1 or EVT3; see the kernels for their layouts.

The encoding is what the header says (`format`, else `evt`, else what the camera `system_ID` writes); the sensor likewise
(`geometry` or `format`, else the camera's name). External triggers, IMU samples and monitoring words are streams of their
own. (docs.prophesee.ai, "RAW File Format" and "Encoding formats"; OpenEB for `system_ID`)
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from snnkit.datasets.files import header as text
from snnkit.datasets.files.base import Damaged, Format, Options, Reader, Size, Stream
from snnkit.datasets.files.blocks import EVENTS, BlockReader, Loop
from snnkit.datasets.files.prophesee_rest import Rest, imu, others, triggers
from snnkit.datasets.files.prophesee_write import write_evt2, write_evt3, write_evt21


class Encoding(NamedTuple):
    """Its name as `% format` and `% evt` have it, and its words."""

    format: str
    version: str
    word: tuple[DTypeLike, int]
    raw: type[np.unsignedinteger]  # a whole word


ENCODINGS = {
    "evt3": Encoding("EVT3", "3.0", (np.uint16, 1), np.uint16),
    "evt2": Encoding("EVT2", "2.0", (np.uint32, 1), np.uint32),
    "evt21": Encoding("EVT21", "2.1", (np.uint32, 2), np.uint64),
}
VGA, HD, SMALL = (640, 480), (1280, 720), (320, 320)
SYSTEMS: dict[int, tuple[str, tuple[int, int]]] = {
    **dict.fromkeys((0x15, 0x17, 0x19, 0x1C, 0x1D, 0x21, 0x22, 0x23, 0x29), ("evt2", VGA)),
    **dict.fromkeys((0x1A, 0x1F, 0x27), ("evt2", HD)),
    **dict.fromkeys((0x1E, 0x2E, 0x30, 0x31, 0x32), ("evt3", HD)),
    0x28: ("evt3", VGA),
}
CAMERAS = (("genx320", SMALL), ("imx636", HD), ("gen41", HD), ("gen4", HD), ("gen31", VGA), ("gen3", VGA))
GENERATIONS = {"3": VGA, "4": HD, "320": SMALL}


class RAW(BlockReader):
    """A .raw file in one of three encodings."""

    def __init__(self, path: Path, options: Options, *, encoding: str):
        header = text.read_header(path)
        self.body, self.encoding = header.body, encoding
        kind = ENCODINGS[encoding]
        size = text.size_in(header) or inferred_size(header)
        super().__init__(
            path, options, format=_title(kind), version=kind.version, size=size, header=header.entries
        )
        self._legacy = encoding == "evt21" and _is_legacy(header, path)

    def count(self) -> int | None:
        return None

    def loop(self, name: str) -> Loop:
        kernel = self._kernel()
        decode = getattr(kernel, self.encoding if name == "events" else f"{self.encoding}_rest")
        kind = ENCODINGS[self.encoding]
        columns = EVENTS if name == "events" else (np.int64, kind.raw)
        return Loop(decode, self._start(kernel), columns, kind.word, self._capacity)

    def _kernel(self) -> ModuleType:
        from snnkit.kernels.events import decode_evt2, decode_evt3, decode_evt21

        return {"evt2": decode_evt2, "evt21": decode_evt21, "evt3": decode_evt3}[self.encoding]

    def _start(self, kernel: ModuleType) -> NDArray[np.int64]:
        return kernel.start(*self.bounds, *([int(self._legacy)] if self.encoding == "evt21" else []))

    def _capacity(self) -> int:
        """Most events that the body can hold: one per word of EVT2; the vectors of the others are counted."""
        if self.encoding == "evt2":
            return self.rest() // 4
        kernel = self._kernel()
        count, state, loop = (
            getattr(kernel, f"{self.encoding}_count"),
            self._start(kernel),
            self.loop("events"),
        )
        return sum(int(count(loop.view(block), state)) for block in self.blocks())

    def finished(self, state: NDArray[np.int64]) -> None:
        if dropped := int(state[self._kernel().DROPPED]):
            self.note(f"{dropped} events or vectors before the first complete time and place are left out")

    def reason(self, code: int, record: bytes) -> str:
        from snnkit.kernels.events.decode_common import UNDEFINED

        size = np.dtype(ENCODINGS[self.encoding].raw).itemsize
        word = int.from_bytes(record[:size], "little")
        if self._legacy:
            word = (word & 0xFFFFFFFF) << 32 | word >> 32
        name = f"the word 0x{word:0{2 * size}X}"
        if code == UNDEFINED:
            return f"{name} is of type {word >> (8 * size - 4):X}, which {self.format} does not have"
        width, height = self.bounds
        hint = (
            ""
            if self.declared is None or self.declared.source == "header"
            else "; pass sensor= if it is another"
        )
        return f"{name} has a pixel outside the sensor of {width}x{height}{hint}"

    # -- everything that is no event --

    def _read_rest(self) -> tuple[Rest, Damaged | None]:
        pieces: list[tuple[NDArray[Any], ...]] = []
        damage = None
        try:
            pieces.extend(self.pieces(self.loop("rest"), 1 << 16))
        except Damaged as found:
            damage = found
        empty = (np.empty(0, np.int64), np.empty(0, ENCODINGS[self.encoding].raw))
        t, raw = (np.concatenate(c) for c in zip(*pieces, empty, strict=True))
        return Rest(self.encoding, t, raw), damage

    def streams(self) -> tuple[Stream, ...]:
        rest, damage = self._read_rest()
        if damage:
            self.note_damage(damage)
        kinds = (("triggers", "triggers"), ("imu", "imu"), ("monitoring", "other"))
        counts = [len(found) for found in (triggers(rest), imu(rest), others(rest))]
        return tuple(Stream(name, kind, n) for (name, kind), n in zip(kinds, counts, strict=True) if n)

    def records(self, name: str) -> Iterator[NDArray[Any]]:
        rest, damage = self._read_rest()
        yield {"triggers": triggers, "imu": imu, "monitoring": others}[name](rest)
        if damage:
            raise damage


def _title(kind: Encoding) -> str:
    return f"Prophesee {kind.format[:3]}{kind.version}"


def inferred_size(header: text.Header) -> Size | None:
    """The sensor of the camera that the header names."""
    names = " ".join(
        header.get(key) or "" for key in ("plugin_name", "sensor_name", "camera_integrator_name")
    ).lower()
    for name, (width, height) in CAMERAS:
        if name in names:
            return Size(width, height, "inferred")
    generation = (header.get("sensor_generation") or "").partition(".")[0]
    if generation in GENERATIONS:
        return Size(*GENERATIONS[generation], "inferred")
    system = header.get("system_id") or ""
    if system.isdecimal() and len(system) < 6 and int(system) in SYSTEMS:
        return Size(*SYSTEMS[int(system)][1], "inferred")
    return None


# -- recognition ------------------------------------------------------------------------------------------------------


def encoding_of(head: bytes) -> str | None:
    """ "evt2", "evt21", "evt3", "evt4" by the header, else by the body; None: no RAW file."""
    header = text.parse(head)
    if header.get("evt", "format", "system_id") is None:
        return None
    name = text.options_of(header)[""].replace(".", "")
    if name.startswith("EVT"):
        return {"EVT20": "evt2", "EVT30": "evt3", "EVT40": "evt4"}.get(name, name.lower())
    version = header.get("evt") or ""
    if version:
        return {"2.0": "evt2", "2.1": "evt21", "3.0": "evt3", "4.0": "evt4"}.get(version)
    system = header.get("system_id") or ""
    if system.isdecimal() and len(system) < 6 and int(system) in SYSTEMS:
        return SYSTEMS[int(system)][0]
    return _by_body(head[header.body :])


def _by_body(body: bytes) -> str | None:
    """The encoding that has no word of an undefined type; of several, the one with the most types that are to be expected."""
    wrong = {
        "evt3": np.isin(np.frombuffer(body[: len(body) & ~1], "<u2") >> 12, (9, 0xB, 0xC, 1)),
        "evt2": np.isin(np.frombuffer(body[: len(body) & ~3], "<u4") >> 28, (2, 3, 4, 5, 6, 7, 9, 0xB, 0xC)),
    }
    share = {name: float(found.mean()) if len(found) else 0.0 for name, found in wrong.items()}
    best = min(share, key=lambda name: share[name])
    return best if share[best] < 0.01 else None


def _is_legacy(header: text.Header, path: Path) -> bool:
    """Byte order of EVT2.1: as the header says; else as the types of the first words make sense; else by the camera."""
    said = text.options_of(header).get("endianness") or header.get("endianness") or ""
    if said.lower() in ("legacy", "little"):
        return said.lower() == "legacy"
    with path.open("rb") as file:
        file.seek(header.body)
        data = file.read(1 << 15)
    halves = np.frombuffer(data[: len(data) & ~7], "<u4").reshape(-1, 2)
    legacy, little = (_all_defined(halves[:, k], halves[:, 1 - k]) for k in (0, 1))
    if legacy != little:
        return legacy
    return (header.get("system_id") or "") in map(str, SYSTEMS)


def _all_defined(upper: NDArray[Any], lower: NDArray[Any]) -> bool:
    kinds = upper >> 28
    return bool(np.isin(kinds, (0, 1, 8, 0xA, 0xE, 0xF)).all() and (lower[kinds == 8] == 0).all())


def _refuse(path: Path, options: Options) -> Reader:
    place = text.read_header(path).place("evt")
    raise Damaged(place, "the encoding EVT4 is not decoded here; convert the file to EVT3 or HDF5")


def _recognises(encoding: str, head: bytes, path: Path) -> bool:
    return encoding_of(head) == encoding


FORMATS = (
    *(
        Format(
            name,
            _title(ENCODINGS[name]),
            (".raw",),
            partial(_recognises, name),
            partial(RAW, encoding=name),
            write,
        )
        for name, write in (("evt3", write_evt3), ("evt2", write_evt2), ("evt21", write_evt21))
    ),
    Format("evt4", "Prophesee EVT4", (), partial(_recognises, "evt4"), _refuse),
)
