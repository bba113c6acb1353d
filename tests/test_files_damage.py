"""Files of all formats, cut, flipped and made up: events or one clear error, never anything else."""

import random
import warnings
from functools import cache

import numpy as np
import pytest
from fuzz import law
from fuzz.mutate import mutated
from fuzz.seeds import seeds
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import datasets
from snnkit.datasets import files
from snnkit.datasets.files.formats import MODULES, formats

pytestmark = pytest.mark.filterwarnings("ignore::snnkit.datasets.EventFileWarning")
NAMES = [f.name for f in formats() if f.name not in ("evt4",)]
PLAIN = ("evt2", "evt21", "evt3", "dat", "es", "nmnist")  # a file that is cut has the same events up to there


@cache
def good():
    return seeds()


def largest(name):
    return max((s for s in good()[name] if len(s) <= 1 << 16), key=len)


def lenient(path, name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        events = files.read(path, format=name, on_error="truncate")
    return events, [w for w in caught if issubclass(w.category, datasets.EventFileWarning)]


def test_there_is_a_file_of_every_format():
    assert set(NAMES) == set(good()) and len(MODULES) >= 7


@pytest.mark.parametrize("name", NAMES)
def test_cut_at_every_byte_of_the_end(name, tmp_path):
    """No crash, and the longer the file, the more events."""
    data, path, counts = largest(name), tmp_path / "cut", []
    for length in range(max(len(data) - 64, 0), len(data) + 1):
        path.write_bytes(data[:length])
        try:
            counts.append(len(lenient(path, name)[0]))
        except datasets.EventFileError as error:
            assert error.reason and 0 <= (error.offset or 0) <= length
            counts.append(-1)
    assert counts == sorted(counts) and counts[-1] >= 0


@pytest.mark.parametrize("name", PLAIN)
def test_a_cut_file_is_refused_or_gives_what_is_before_the_cut(name, tmp_path):
    data, path = largest(name), tmp_path / "cut"
    path.write_bytes(data)
    whole = files.read(path, format=name)
    for length in range(len(data) - 20, len(data)):
        path.write_bytes(data[:length])
        events, told = lenient(path, name)
        for column in "txyp":
            np.testing.assert_array_equal(getattr(events, column), getattr(whole, column)[: len(events)])
        try:
            assert len(files.read(path, format=name)) == len(events) and not told
        except datasets.EventFileError as error:
            assert (
                "truncated" in str(error) and f"byte {error.offset}" in str(error) and error.offset <= length
            )
            assert error.format == files.inspect(path, format=name).info.format
            assert len(told) == 1 and f"byte {error.offset}" in str(told[0].message)


@pytest.mark.parametrize("name", NAMES)
def test_one_flipped_bit_of_the_header(name, tmp_path):
    path, data = tmp_path / "flipped", largest(name)
    for at in range(min(len(data), 160)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        law.read_all(path, name if at % 2 else None, random.Random(at), seconds=60)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=25)
@given(body=st.binary(max_size=300), keep=st.integers(0, 200), seed=st.integers(0, 99))
def test_made_up_bodies(name, body, keep, seed, tmp_path_factory):
    """The beginning of a good file, then anything."""
    path = tmp_path_factory.mktemp("bodies") / "a"
    path.write_bytes((largest(name)[:keep] + body) or b"\0")
    law.read_all(path, name, random.Random(seed), seconds=60)


@pytest.mark.parametrize("name", NAMES)
def test_memory_is_bounded_by_the_size_of_the_file(name, tmp_path):
    path, everything = tmp_path / "a", [d for group in good().values() for d in group]
    chance = random.Random(0)
    for k in range(25):
        path.write_bytes(mutated(chance.choice(good()[name]), everything, chance) if k else largest(name))
        if k:
            law.within_memory(path, name, random.Random(k), seconds=60)
        else:
            law.read_all(path, name, random.Random(1), seconds=60)  # compiles


def test_damage_is_told_with_format_byte_and_reason(tmp_path):
    """In the middle of a file, and what is before it is kept."""
    data = bytearray(largest("evt2"))
    events = len(data) // 4
    path = tmp_path / "a.raw"
    at = len(data) - 40 * 4
    data[at : at + 4] = (0x5ABCDEF0).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(
        datasets.EventFileError,
        match=rf"a.raw \(Prophesee EVT2.0\), byte {at}: the word 0x5ABCDEF0 is of type 5, which",
    ) as caught:
        files.read(path)
    assert (caught.value.offset, caught.value.format) == (at, "Prophesee EVT2.0")
    kept, told = lenient(path, None)
    assert 0 < len(kept) < events and f"the {len(kept)} records before it are kept" in str(told[0].message)
    with pytest.warns(datasets.EventFileWarning, match=f"byte {at}"):
        assert sum(len(c) for c in files.read(path, chunk=7, on_error="truncate")) == len(kept)
    assert files.inspect(path).info.notes == (f"damaged at byte {at}: {caught.value.reason}",)
    strict = files.read(path, chunk=1)
    with pytest.raises(datasets.EventFileError):
        for _ in range(len(kept) + 1):
            next(strict)
