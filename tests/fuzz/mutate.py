"""Changes to files: a byte, a number, a piece, an end; and numbers in headers of text."""

from __future__ import annotations

import re
import struct
from random import Random

LARGEST = 1 << 16  # bytes of what comes out

NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    16,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    2**24 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
HUGE = (0, 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
WORDS = (
    b"0",
    b"-1",
    b"1",
    b"2",
    b"65536",
    b"99999999",
    b"9" * 30,
    b"1e9",
    b"nan",
    b"x",
    b"",
    b"%s" * 9,
    b"\x00",
    b"&a;",
)


def mutated(data: bytes, others: list[bytes], random: Random) -> bytes:
    """One to four changes, more seldom more."""
    out = bytearray(data)
    for _ in range(1 + int(random.expovariate(1.0))):
        random.choice(CHANGES)(out, others, random)
    return bytes(out[:LARGEST])


def _place(out: bytearray, random: Random) -> int:
    """Anywhere; half of the time near the beginning, where headers and lengths are."""
    near = min(len(out), 128) if random.random() < 0.5 else len(out)
    return random.randrange(near) if near else 0


def _bit(out: bytearray, others: list[bytes], random: Random) -> None:
    if out:
        out[_place(out, random)] ^= 1 << random.randrange(8)


def _byte(out: bytearray, others: list[bytes], random: Random) -> None:
    if out:
        out[_place(out, random)] = random.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, random.randrange(256)))


def _number(out: bytearray, others: list[bytes], random: Random) -> None:
    at, order = _place(out, random), random.choice("<>")
    code = random.choice("HHIIQ")
    value = random.choice(HUGE if code == "Q" else NUMBERS) & (1 << 8 * struct.calcsize(code)) - 1
    packed = struct.pack(order + code, value)
    out[at : at + len(packed)] = packed


def _cut(out: bytearray, others: list[bytes], random: Random) -> None:
    del out[_place(out, random) :]


def _remove(out: bytearray, others: list[bytes], random: Random) -> None:
    at = _place(out, random)
    del out[at : at + random.choice((1, 1, 2, 4, 8, random.randrange(1, 64)))]


def _insert(out: bytearray, others: list[bytes], random: Random) -> None:
    at = _place(out, random)
    out[at:at] = random.randbytes(random.choice((1, 2, 4, 8, 40)))


def _repeat(out: bytearray, others: list[bytes], random: Random) -> None:
    a, b = sorted((_place(out, random), _place(out, random)))
    out[b:b] = out[a:b] * random.choice((1, 2, 30))
    del out[LARGEST:]


def _splice(out: bytearray, others: list[bytes], random: Random) -> None:
    other = random.choice(others)
    a, b = sorted(random.randrange(len(other) + 1) for _ in range(2))
    at = _place(out, random)
    if random.random() < 0.5:
        out[at:at] = other[a:b]
    else:
        out[at:] = other[a:]


def _text(out: bytearray, others: list[bytes], random: Random) -> None:
    """Replace a number or a word of a header."""
    found = list(re.finditer(rb"-?\d+|[A-Za-z]{2,}", bytes(out[:2048])))
    if found:
        match = random.choice(found)
        out[match.start() : match.end()] = random.choice(WORDS)


def _noise(out: bytearray, others: list[bytes], random: Random) -> None:
    """Keep a beginning and put noise behind it."""
    out[_place(out, random) :] = random.randbytes(random.choice((3, 40, 500, 5000)))


CHANGES = (_bit, _bit, _byte, _number, _number, _cut, _remove, _insert, _repeat, _splice, _text, _noise)
