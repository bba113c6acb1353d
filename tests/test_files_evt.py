"""Prophesee's EVT2, EVT2.1 and EVT3: each loop against its naive twin, and the traps of the formats one by one."""

import warnings
from itertools import chain

import naive_files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import datasets
from snnkit.datasets import files
from snnkit.errors import UserError

WIDTH, HEIGHT = 640, 480
DTYPES = {"evt2": "<u4", "evt21": "<u8", "evt3": "<u2"}
VERSIONS = {"evt2": "2.0", "evt21": "2.1", "evt3": "3.0"}


def save(path, encoding, words, *, more="", legacy=False):
    """A file of these words; `more` are lines of its header."""
    header = f"% evt {VERSIONS[encoding]}\n% geometry {WIDTH}x{HEIGHT}\n{more}"
    if encoding == "evt21":
        header += f"% endianness {'legacy' if legacy else 'little'}\n"
        words = [w >> 32 | (w & 0xFFFFFFFF) << 32 for w in words] if legacy else words
    path.write_bytes(header.encode() + b"% end\n" + np.array(words, DTYPES[encoding]).tobytes())
    return path


def rows_of(events):
    return list(zip(events.t.tolist(), events.x.tolist(), events.y.tolist(), events.p.tolist(), strict=True))


def quiet(path, **options):
    """The events before the damage, without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", datasets.EventFileWarning)
        return files.read(path, on_error="truncate", **options)


def kinds(bits, types, values):
    return st.tuples(st.sampled_from(types), values).map(lambda w: w[0] << bits | w[1])


# Mostly words that are right, some that are outside the sensor or undefined.
X, Y = st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1)
WORDS = {
    "evt2": st.one_of(
        st.tuples(st.sampled_from([0, 1]), st.integers(0, 63), X, Y).map(
            lambda w: w[0] << 28 | w[1] << 22 | w[2] << 11 | w[3]
        ),
        st.sampled_from([0, 1, 5, 2**27, 2**28 - 1]).map(lambda v: 0x80000000 | v),
        kinds(28, [0xA, 0xD, 0xE, 0xF], st.integers(0, 2**28 - 1)),
    ),
    "evt21": st.one_of(
        st.tuples(st.sampled_from([0, 1]), st.integers(0, 63), X, Y, st.integers(0, 2**32 - 1)).map(
            lambda w: w[0] << 60 | w[1] << 54 | (w[2] & ~31) << 43 | w[3] << 32 | w[4]
        ),
        st.sampled_from([0, 1, 5, 2**27, 2**28 - 1]).map(lambda v: (0x80000000 | v) << 32),
        kinds(60, [0xA, 0xE, 0xF], st.integers(0, 2**60 - 1)),
    ),
    "evt3": st.one_of(
        st.tuples(st.sampled_from([0x2000, 0x2800, 0x3000, 0x3800]), X).map(sum),
        Y,
        kinds(12, [4, 5, 6], st.integers(0, 4095)),
        st.sampled_from([0, 1, 2, 2047, 2048, 4094, 4095]).map(lambda v: 0x8000 | v),
        kinds(12, [7, 0xA, 0xD, 0xE, 0xF, 1], st.integers(0, 4095)),
    ),
}
SIZES = {"evt2": 2**32 - 1, "evt21": 2**64 - 1, "evt3": 2**16 - 1}


@pytest.mark.parametrize("encoding", WORDS)
@settings(deadline=None)
@given(data=st.data())
def test_the_loop_agrees_with_its_naive_twin(encoding, data, tmp_path_factory):
    """Whole, in chunks, up to the first wrong word."""
    any_word = st.one_of(*[WORDS[encoding]] * 20, st.integers(0, SIZES[encoding]))
    words = data.draw(st.lists(any_word, max_size=60))
    legacy = encoding == "evt21" and data.draw(st.booleans())
    path = save(tmp_path_factory.mktemp("evt") / "a.raw", encoding, words, legacy=legacy)
    rows, bad = getattr(naive_files, encoding)(words, WIDTH, HEIGHT)
    assert rows_of(quiet(path)) == rows
    for chunk in (1, 3, 50):
        pieces = [rows_of(piece) for piece in quiet_chunks(path, chunk)]
        assert list(chain.from_iterable(pieces)) == rows and all(len(piece) == chunk for piece in pieces[:-1])
    if bad is not None:
        size = np.dtype(DTYPES[encoding]).itemsize
        with pytest.raises(datasets.EventFileError, match="Prophesee EVT") as caught:
            files.read(path)
        assert caught.value.offset == path.stat().st_size - size * (len(words) - bad)


def quiet_chunks(path, chunk):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", datasets.EventFileWarning)
        yield from files.read(path, chunk=chunk, on_error="truncate")


# -- time -------------------------------------------------------------------------------------------------------------


def times(path, encoding, words):
    return files.read(save(path / "a.raw", encoding, words)).t.tolist()


def test_evt3_wraps_after_2_to_the_24_us(tmp_path):
    words = [0x8FFF, 0x6FFF, 5, 0x2001, 0x8000, 0x6000, 0x2001, 0x6001, 0x2001]
    assert times(tmp_path, "evt3", words) == [2**24 - 1, 2**24, 2**24 + 1]


@pytest.mark.filterwarnings("ignore::snnkit.datasets.EventFileWarning")
def test_evt3_steps_back_without_a_wrap(tmp_path):
    """Two sources with slightly different clocks: the time high goes back by a few, and forward again."""
    words = [5, 0x8064, 0x6000, 0x2001, 0x8063, 0x6FFF, 0x2001, 0x8064, 0x6001, 0x2001]
    assert times(tmp_path, "evt3", words) == [100 * 4096, 100 * 4096 - 1, 100 * 4096 + 1]


def test_evt3_does_not_count_the_low_part(tmp_path):
    """4095 to 0 goes with a step of the high part. Counted by itself, every time after it is 4096 us late."""
    words = [5]
    for high in range(4):
        words += [0x8000 | high, 0x6000, 0x2001, 0x6FFF, 0x2002]
    expected = [4096 * high + low for high in range(4) for low in (0, 4095)]
    assert times(tmp_path, "evt3", words) == expected


def test_evt3_new_high_part_clears_the_low_one(tmp_path):
    assert times(tmp_path, "evt3", [5, 0x8000, 0x6FFF, 0x2001, 0x8001, 0x2001, 0x6001, 0x2001]) == [
        4095,
        4096,
        4097,
    ]


@pytest.mark.parametrize("encoding", ["evt2", "evt21"])
def test_evt2_wraps_after_2_to_the_34_us(tmp_path, encoding):
    shift, event = (32, 1) if encoding == "evt21" else (0, 0)
    words = [
        0x8FFFFFFF << shift,
        63 << (22 + shift) | event,
        0x80000000 << shift,
        event,
        1 << (22 + shift) | event,
    ]
    assert times(tmp_path, encoding, words) == [2**34 - 1, 2**34, 2**34 + 1]


@pytest.mark.filterwarnings("ignore::snnkit.datasets.EventFileWarning")
def test_evt2_steps_back_without_a_wrap(tmp_path):
    assert times(tmp_path, "evt2", [0x80000064, 0, 0x80000063, 0, 0x80000064, 0]) == [6400, 6336, 6400]


def test_time_that_goes_backwards_is_kept_and_told(tmp_path):
    path = save(tmp_path / "a.raw", "evt2", [0x80000064, 0, 0x80000063, 1, 0x80000064, 2])
    with pytest.warns(datasets.EventFileWarning, match="1 of 3 events are earlier than the one before"):
        events = files.read(path)
    assert events.t.tolist() == [6400, 6336, 6400] and events.y.tolist() == [0, 1, 2]
    ordered = events.sorted()
    assert ordered.t.tolist() == [6336, 6400, 6400] and ordered.y.tolist() == [1, 0, 2]
    with pytest.warns(datasets.EventFileWarning, match="1 of 3 events are earlier"):
        assert sum(len(c) for c in files.read(path, chunk=1)) == 3


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("evt2", [0x00000801, 0x80000001, 0x00000801]),
        ("evt21", [0x0000080100000001, 0x8000000100000000, 0x0000080100000001]),
        ("evt3", [5, 0x2001, 0x4FFF, 0x8001, 0x2001]),
    ],
)
def test_events_before_the_first_time_are_left_out_and_noted(tmp_path, encoding, words):
    recording = files.inspect(save(tmp_path / "a.raw", encoding, words))
    assert len(recording.events()) == 1
    assert "before the first complete time and place are left out" in recording.info.notes[0]


# -- EVT3's vectors and rows -------------------------------------------------------------------------------------------


def test_evt3_vectors_move_their_base_on(tmp_path):
    """12, 12 and 8 pixels are a group; a second group follows without a new base. Polarity is that of the base."""
    group = [0x4801, 0x4801, 0x5F81]  # the upper four bits of an 8-bit vector mean nothing
    words = [0x8000, 7, 0x2805, 0x3000 | 100, *group, *group]
    events = files.read(save(tmp_path / "a.raw", "evt3", words))
    found = [100, 111, 112, 123, 124, 131]
    assert events.x.tolist() == [5, *found, *(x + 32 for x in found)]
    assert events.p.tolist() == [1] + [0] * 12 and set(events.y.tolist()) == {7}


def test_evt3_vector_at_the_edge(tmp_path):
    """Bits beyond the last pixel are damage only if they are set."""
    fits = [0x8000, 7, 0x3000 | (WIDTH - 4), 0x400F, 0x4000]
    assert files.read(save(tmp_path / "a.raw", "evt3", fits)).x.tolist() == [636, 637, 638, 639]
    path = save(tmp_path / "b.raw", "evt3", [*fits[:3], 0x401F])
    with pytest.raises(datasets.EventFileError, match=r"0x401F has a pixel outside the sensor of 640x480"):
        files.read(path)
    assert len(quiet(path)) == 0


def test_evt3_rows_of_other_events_suspend_the_stream(tmp_path):
    words = [0x8000, 7, 0x2001, 0x1008, 0x2002, 9, 0x2003]
    events = files.read(save(tmp_path / "a.raw", "evt3", words))
    assert events.x.tolist() == [1, 3] and events.y.tolist() == [7, 9]


# -- other streams -----------------------------------------------------------------------------------------------------


def test_triggers(tmp_path):
    two = [0x80000001, 0xA0000000 | 5 << 22 | 17 << 8 | 1, 0, 0xA0000000 | 6 << 22 | 17 << 8]
    wide = [w << 32 for w in two]
    three = [0x8000, 0x6045, 0xA000 | 9 << 8 | 1, 7, 0x2001, 0x6046, 0xA000 | 9 << 8]
    for encoding, words, channel in (("evt2", two, 17), ("evt21", wide, 17), ("evt3", three, 9)):
        recording = files.inspect(save(tmp_path / "a.raw", encoding, words))
        assert [(s.name, s.count) for s in recording.info.streams] == [("events", None), ("triggers", 2)]
        assert recording.stream("triggers").tolist() == [(69, channel, 1), (70, channel, 0)]


def test_imu_and_monitoring_words_of_evt2(tmp_path):
    values = [-1, 2, -3, 4, -32768, 32767]
    samples = [(0xD if k == 0 else 0xF) << 28 | 3 << 22 | (v & 0xFFFF) << 1 for k, v in enumerate(values)]
    words = [0x80000002, *samples, 0xE0000000 | 4 << 22 | 1 << 16 | 0x14, 0xF0000000 | 123456]
    recording = files.inspect(save(tmp_path / "a.raw", "evt2", words))
    assert recording.stream("imu").tolist() == [(131, *values)]
    assert recording.stream("monitoring").tolist() == [(132, 0xE, 0x14, 1, 123456)]
    assert len(recording.events()) == 0
    cut = files.inspect(save(tmp_path / "b.raw", "evt2", words[:5]))
    assert [s.name for s in cut.info.streams] == ["events"]  # a sample of four words is none


def test_monitoring_words_of_evt21_and_evt3(tmp_path):
    recording = files.inspect(save(tmp_path / "a.raw", "evt21", [0x80000001 << 32, 0xE1010014F0001234]))
    assert recording.stream("monitoring").tolist() == [(68, 0xE, 0x14, 1, 0xF0001234)]
    words = [0x8000, 0x6005, 0xE014, 0xF234, 0xF001, 0x7003]
    recording = files.inspect(save(tmp_path / "b.raw", "evt3", words))
    assert recording.stream("monitoring").tolist() == [(5, 0xE, 0x14, 0, 0x3001234)]
    with pytest.raises(UserError, match="has no stream 'triggers'"):
        recording.stream("triggers")


# -- byte order of EVT2.1 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
def test_byte_order_is_found_by_content(tmp_path, legacy):
    random = np.random.default_rng(0)
    words = [(0x80000000 | k) << 32 for k in range(20)]
    words += [
        (int(p) << 60) | 3 << 32 | int(m)
        for p, m in zip([0, 1] * 40, random.integers(1, 2**32, 80), strict=True)
    ]
    halves = [w >> 32 | (w & 0xFFFFFFFF) << 32 for w in words] if legacy else words
    path = tmp_path / "a.raw"
    path.write_bytes(b"% evt 2.1\n% geometry 640x480\n% end\n" + np.array(halves, "<u8").tobytes())
    assert rows_of(files.read(path)) == naive_files.evt21(words, WIDTH, HEIGHT)[0]


# -- headers -----------------------------------------------------------------------------------------------------------

EVENT = np.array([0x80000001, 0x00000801], "<u4").tobytes()


def read_with(tmp_path, header, body=EVENT, **options):
    path = tmp_path / "a.raw"
    path.write_bytes(header + body)
    return files.inspect(path, **options)


@pytest.mark.parametrize(
    ("header", "size", "source"),
    [
        (b"% evt 2.0\n% geometry 320x240\n", (320, 240), "header"),
        (b"% format EVT2;height=240;width=320\r\n% evt 3.0\r\n", (320, 240), "header"),
        (b"% system_ID 21\n", (640, 480), "inferred"),
        (b"% system_ID 31\n% evt 2.0\n", (1280, 720), "inferred"),
        (b"% evt 2.0\n% plugin_name hal_plugin_gen41_evk3\n", (1280, 720), "inferred"),
        (b"% evt 2.0\n% sensor_name GenX320\n", (320, 320), "inferred"),
        (b"% evt 2.0\n% sensor_generation 3.1\n", (640, 480), "inferred"),
        (b"% evt 2.0\n", (2, 2), "max+1"),
    ],
)
def test_sensor_and_encoding_from_the_header(tmp_path, header, size, source):
    recording = read_with(tmp_path, header)
    assert rows_of(recording.events()) == [(64, 1, 1, 0)]
    info = recording.info
    assert ((info.width, info.height), info.size_from, info.version) == (size, source, "2.0")


def test_sensor_from_the_argument(tmp_path):
    recording = read_with(tmp_path, b"% evt 2.0\n% geometry 320x240\n", sensor=(2, 100, 200))
    assert recording.events().sensor == (2, 100, 200) and recording.info.size_from == "argument"


def test_body_that_looks_like_a_header(tmp_path):
    """A first word whose bytes are "% " is data: the line it begins is not printable."""
    word = np.frombuffer(b"% \x00\x00", "<u4")
    body = np.concatenate([word, np.frombuffer(EVENT, "<u4")]).astype("<u4").tobytes()
    header = b"% evt 2.0\n% geometry 2048x2048\n"
    assert len(read_with(tmp_path, header, body).events()) == 1
    after_end = b"% evt 2.0\n% end\n"  # there, even a printable line is data
    text = np.concatenate([np.frombuffer(b"% AAAAAA", "<u4"), np.frombuffer(EVENT, "<u4")]).tobytes()
    with pytest.raises(
        datasets.EventFileError, match=f"byte {len(after_end)}: the word 0x41412025 is of type 4"
    ):
        read_with(tmp_path, after_end, text).events()


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"% evt 2.0\n% geometry 0x480\n", "byte 10: a sensor of 0x480 pixels"),
        (b"% evt 2.0\n% geometry 99999999x1\n", "byte 10: a sensor of 99999999x1 pixels"),
        (b"% evt 2.0\n% geometry -5x1\n", "byte 10: the header's geometry has no width"),
        (b"% evt 2.0\n% geometry 640\n", "byte 10: the header's geometry has no width and height"),
        (b"% geometry 640x480\n% format EVT2;height=48;width=64\n", "byte 0: the header contradicts itself"),
        (b"% evt 4.0\n", "the encoding EVT4 is not decoded"),
    ],
)
def test_header_that_lies(tmp_path, header, words):
    with pytest.raises(datasets.EventFileError, match=words):
        read_with(tmp_path, header)


def test_header_that_is_cut(tmp_path):
    with pytest.raises(
        datasets.EventFileError, match="byte 10: truncated: the file ends in a line of its header"
    ):
        read_with(tmp_path, b"% evt 2.0\n% geomet", b"")


def test_encoding_by_content_if_the_header_does_not_say(tmp_path):
    two = np.array(
        [0x80000001] + [0x10000000 | k << 22 | 5 << 11 | 5 for k in range(60)] * 5, "<u4"
    ).tobytes()
    assert read_with(tmp_path, b"% system_ID 9999\n", two).version == "2.0"
    three = np.array([0x8000, 0x6000, 5, *range(0x2000, 0x2100)], "<u2").tobytes()
    assert read_with(tmp_path, b"% system_ID 9999\n", three).version == "3.0"


def test_a_file_without_events_is_legal(tmp_path):
    for encoding in DTYPES:
        events = files.read(save(tmp_path / "a.raw", encoding, []))
        assert len(events) == 0 and events.sensor == (2, HEIGHT, WIDTH)
