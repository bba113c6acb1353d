"""Small good files of every format, from which damaged ones are made."""

from __future__ import annotations

import io
import struct
import tempfile
import warnings
from pathlib import Path

import numpy as np

from snnkit.datasets import Events, files
from snnkit.datasets.files.formats import formats
from snnkit.errors import UserError

from . import bags

Seeds = dict[str, list[bytes]]  # by name of the format
LARGEST = 1 << 15  # bytes of a seed


def events(n: int, width: int = 34, height: int = 34, seed: int = 0) -> Events:
    """Random events, a third of them at one time along a row."""
    random = np.random.default_rng(seed)
    t = np.sort(random.integers(0, 300_000, n))
    t[n // 3 : 2 * n // 3] = t[n // 3] if n else 0
    x, y, p = random.integers(0, width, n), random.integers(0, height, n), random.integers(0, 2, n)
    run = slice(n // 3, 2 * n // 3)
    x[run], y[run], p[run] = np.arange(len(x[run])) % width, 5, 1
    return Events(t, x, y, p, sensor=(2, height, width))


def seeds() -> Seeds:
    """What the writers make of a few, some and no events, and by hand what they never make."""
    found: Seeds = {}
    with tempfile.TemporaryDirectory() as folder:
        for format in formats():
            found[format.name] = [*_written(format.name, Path(folder)), *_by_hand().get(format.name, [])]
    small = {name: list(dict.fromkeys(d for d in s if len(d) <= LARGEST)) for name, s in found.items()}
    return {name: s for name, s in small.items() if s}


def _written(name: str, folder: Path) -> list[bytes]:
    format = next(f for f in formats() if f.name == name)
    if format.write is None:
        return []
    out = []
    for n in (0, 3, 120):
        path = folder / f"{name}-{n}{format.suffixes[0]}"
        try:
            files.write(events(n), path, format=name)
        except UserError:
            continue
        out.append(path.read_bytes())
    return [data for data in out if data]


def _by_hand() -> Seeds:
    return {
        "evt2": [_raw("2.0", "<u4", [0x80000001, 0x10000801, 0xA0000101, *_imu(), 0xE0000014, 0xF0001234])],
        "evt21": [
            _raw(
                "2.1", "<u8", [0x80000001 << 32, 0x10000801F000000F, 0xA000010100000000, 0xE1010014F0001234]
            ),
            b"% evt 2.1\n% endianness legacy\n% end\n"
            + np.array([0x80000001, 0xFF10000801], "<u8").tobytes(),
        ],
        "evt3": [
            _raw(
                "3.0",
                "<u2",
                [0x8FFF, 0x6FFF, 5, 0x2001, 0x3005, 0x4FFF, 0x4801, 0x50FF, 0x8000, 0x6001, 0xA101],
            )
            + np.array([0xE014, 0xF234, 0xF001, 0x7003, 0xD001, 0x1005, 0x2001], "<u2").tobytes()
        ],
        "dat": [
            b"% Data file containing triggers\n% Version 2\n\x0e\x08"
            + struct.pack("<IIII", 7, 5 << 26 | 1, 9, 0),
            b"% Data file\n\x00\x08" + struct.pack("<IIII", 7, 5 << 9 | 1, 9, 0),
        ],
        "dat-headless": [struct.pack("<IIIIII", 7, 5 << 9 | 1, 9, 1 << 17, 2**32 - 1, 3)],
        "nmnist": [bytes([1, 2, 3, 4, 5, 0, 240, 0, 0, 0, 33, 33, 131, 9, 9])],
        "es": [
            _es(0, b"\xff\x05\x08abcd\xfe\x01\x81\x02" + b"z" * 192),
            _es(2, b"\xff\x05\x01\0\x02\0\xfe\x06\x03\0\x04\0"),
            _es(4, b"\xff\x05\x01\0\x02\0rgb\xfe\x06\x03\0\x04\0RGB"),
        ],
        "hdf5": _hdf5(),
        **_aedat(),
        **bags.seeds(),
    }


def _raw(version: str, dtype: str, words: list[int]) -> bytes:
    header = f"% evt {version}\n% geometry 64x48\n% system_ID 21\n"
    return header.encode() + np.array(words, dtype).tobytes()


def _imu() -> list[int]:
    return [(0xD if k == 0 else 0xF) << 28 | 3 << 22 | 100 * k << 1 for k in range(6)]


def _es(kind: int, body: bytes) -> bytes:
    size = struct.pack("<HH", 64, 48) if kind else b""
    return b"Event Stream" + bytes([2, 0, 0, kind]) + size + body


def _aedat() -> Seeds:
    """AEDAT 1 to 3, which are read only."""
    davis = [(k << 22 | k << 12 | (k & 1) << 11, 100 * k) for k in range(20)]
    davis += [(1 << 31 | 3 << 10 | code << 28 | 1000 << 12, 3000) for code in range(7)]
    davis += [(1 << 31 | k << 22 | k << 12 | 500, 4000) for k in range(5)]
    two = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n"
    dvs = b"#!AER-DAT2.0\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n"
    polarity = b"".join(struct.pack("<Ii", 1 | k << 17 | k << 2 | (k & 1) << 1, 10 * k) for k in range(20))
    imu = struct.pack("<Ii7f", 1, 50, *range(7))
    frame = struct.pack("<I8i", 1 | 1 << 1, 1, 2, 3, 4, 4, 3, 0, 0) + bytes(24)
    three = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    return {
        "aedat2": [
            two + b"".join(struct.pack(">Ii", *row) for row in davis),
            dvs + b"".join(struct.pack(">II", k << 8 | k << 1 | k & 1, 50 * k) for k in range(20)),
            b"#!AER-DAT1.0\r\n" + b"".join(struct.pack(">HI", k << 8 | k << 1, 50 * k) for k in range(20)),
        ],
        "aedat3": [
            three + _packet(1, 8, 20, polarity) + _packet(3, 36, 1, imu) + _packet(2, 60, 1, frame),
            three + _packet(0, 8, 1, struct.pack("<Ii", 1 | 2 << 1, 5)),
        ],
    }


def _hdf5() -> list[bytes]:
    """The layouts of DSEC, of Prophesee without compression, and of SHD."""
    import h5py

    some, out = events(50), []
    columns = {"t": some.t.astype("u4"), "x": some.x.astype("u2"), "y": some.y.astype("u2"), "p": some.p}
    records = np.empty(50, [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
    for name in columns:
        records[name] = getattr(some, name)
    for layout in ("dsec", "prophesee", "shd"):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            if layout == "dsec":
                for name, column in columns.items():
                    file[f"events/{name}"] = column
                file["ms_to_idx"], file["t_offset"] = np.arange(9, dtype="u8"), np.int64(1000)
            elif layout == "prophesee":
                file.attrs["geometry"], file["CD/events"] = "34x34", records
            else:
                for name, dtype in (("times", "f2"), ("units", "u2")):
                    kind = h5py.vlen_dtype(np.dtype(dtype))
                    rows = file.create_dataset(f"spikes/{name}", 2, dtype=kind)
                    rows[0], rows[1] = np.arange(5), np.arange(3)
                file["labels"] = np.array([1, 2])
        out.append(buffer.getvalue())
    return out


def _packet(kind: int, size: int, count: int, body: bytes) -> bytes:
    return struct.pack("<hhiiiiii", kind, 1, size, 4, 0, count, count, count) + body


def quiet() -> None:
    """Warnings of damaged files are not news here."""
    warnings.simplefilter("ignore")
