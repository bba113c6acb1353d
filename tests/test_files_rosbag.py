"""Bags of ROS 1 and 2: written by the library rosbags, read by us; packets laid out by hand; hostile bags; damage."""

import sqlite3
import struct
from pathlib import Path

import numpy as np
import pytest
from file_damage import check_damaged, joined, same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnkit.datasets.errors import EventFileError, EventFileWarning
from snnkit.datasets.files import inspect, read, write
from snnkit.datasets.files.bags import Message
from snnkit.datasets.files.base import Size
from snnkit.datasets.files.ros_messages import Packet, packet_of
from snnkit.datasets.files.ros_packets import Decoder
from snnkit.errors import UserError
from snnkit.recordings import Events

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PACKET = "event_camera_msgs/EventPacket"
DEFINITIONS = {
    PACKET: "std_msgs/Header header\nuint32 height\nuint32 width\nuint64 seq\nuint64 time_base\n"
    "string encoding\nbool is_bigendian\nuint8[] events\n",
    "dvs_msgs/Event": "uint16 x\nuint16 y\ntime ts\nbool polarity\n",
    "dvs_msgs/EventArray": "std_msgs/Header header\nuint32 height\nuint32 width\ndvs_msgs/Event[] events\n",
}
KINDS = ["ros1", "ros1-lz4", "ros1-bz2", "mcap", "mcap-chunks", "db3", "db3-zstd"]


def some_events(n=500, seed=0, sensor=(2, 260, 346), start=1_633_953_690_975_950) -> Events:
    draw = np.random.default_rng(seed)
    t = start + np.cumsum(draw.integers(0, 300, n))
    _, height, width = sensor
    return Events(
        t, draw.integers(0, width, n), draw.integers(0, height, n), draw.integers(0, 2, n), sensor=sensor
    )


class Bag:
    """A bag under construction by the library rosbags."""

    def __init__(self, folder: Path, kind: str):
        rosbag1, rosbag2, typesys = (
            pytest.importorskip(f"rosbags.{name}") for name in ("rosbag1", "rosbag2", "typesys")
        )
        self.kind, self.connections = kind, {}
        self.ros1 = kind.startswith("ros1")
        self.types = typesys.get_typestore(
            typesys.Stores.ROS1_NOETIC if self.ros1 else typesys.Stores.ROS2_HUMBLE
        )
        for name, text in DEFINITIONS.items():
            text = text if self.ros1 else text.replace("time ts", "builtin_interfaces/Time ts")
            self.types.register(typesys.get_types_from_msg(text, name.replace("/", "/msg/")))
        if self.ros1:
            self.path = folder / "a.bag"
            self.writer = rosbag1.Writer(self.path)
            if kind != "ros1":
                self.writer.set_compression(getattr(self.writer.CompressionFormat, kind[5:].upper()))
        else:
            plugins = rosbag2.enums.StoragePlugin if hasattr(rosbag2, "enums") else rosbag2.StoragePlugin
            plugin = plugins.MCAP if kind.startswith("mcap") else plugins.SQLITE3
            self.writer = rosbag2.Writer(folder / "bag", version=9, storage_plugin=plugin)
            if kind in ("mcap-chunks", "db3-zstd"):
                mode = (
                    rosbag2.CompressionMode.STORAGE
                    if kind == "mcap-chunks"
                    else rosbag2.CompressionMode.MESSAGE
                )
                self.writer.set_compression(mode, rosbag2.CompressionFormat.ZSTD)
            self.path = folder / "bag" / f"bag.{kind[:4].rstrip('-')}"
        self.writer.open()

    def message(self, type: str, time: int, **fields):
        """An instance of a message with a header."""
        types = self.types.types
        stamp = types["builtin_interfaces/msg/Time"](sec=time // 10**9, nanosec=time % 10**9)
        more = {"seq": 3} if self.ros1 else {}
        header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="cam", **more)
        return types[type.replace("/", "/msg/")](header=header, **fields)

    def add(self, topic: str, type: str, time: int, message) -> None:
        full = type.replace("/", "/msg/")
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(topic, full, typestore=self.types)
        serialise = self.types.serialize_ros1 if self.ros1 else self.types.serialize_cdr
        self.writer.write(self.connections[topic], time, serialise(message, full))

    def packet(
        self, data: bytes, *, encoding="mono", base=0, seq=0, topic="/events", sensor=(2, 260, 346)
    ) -> None:
        fields = {
            "height": sensor[1],
            "width": sensor[2],
            "seq": seq,
            "time_base": base,
            "encoding": encoding,
        }
        fields |= {"is_bigendian": False, "events": np.frombuffer(data, np.uint8)}
        self.add(topic, PACKET, base, self.message(PACKET, base, **fields))

    def close(self) -> Path:
        self.writer.close()
        found = (
            self.path
            if self.path.exists()
            else next(p for p in self.path.parent.iterdir() if p.suffix != ".yaml")
        )
        return found


def mono(events: Events, base: int) -> bytes:
    words = (events.t * 1000 - base).astype(np.uint64) | events.x.astype(np.uint64) << np.uint64(32)
    words |= events.y.astype(np.uint64) << np.uint64(48) | events.p.astype(np.uint64) << np.uint64(63)
    return words.astype("<u8").tobytes()


def part(events: Events, a: int, b: int) -> Events:
    return Events(events.t[a:b], events.x[a:b], events.y[a:b], events.p[a:b], sensor=events.sensor)


@pytest.mark.parametrize("kind", KINDS)
def test_bags_of_rosbags(tmp_path, kind):
    bag, events = Bag(tmp_path, kind), some_events()
    for seq, start in enumerate(range(0, 500, 120)):
        piece = part(events, start, start + 120)
        bag.packet(mono(piece, int(piece.t[0]) * 1000), base=int(piece.t[0]) * 1000, seq=seq)
    path = bag.close()
    assert same(read(path), events)
    assert same(joined(read(path, chunk=77), events.sensor), events)
    info = inspect(path).info
    assert info.header["topic"] == "/events" and info.header["encoding"] == "mono" and not info.notes


def test_round_trip_and_what_rosbags_reads_of_it(tmp_path):
    events = some_events(20_000)
    path = write(events, tmp_path / "a.mcap")
    assert same(read(path), events)
    module = pytest.importorskip("rosbags.rosbag2.storage_mcap")
    typesys = pytest.importorskip("rosbags.typesys")
    types = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
    types.register(typesys.get_types_from_msg(DEFINITIONS[PACKET], PACKET.replace("/", "/msg/")))
    bag = module.McapReader(path)
    bag.open()
    found = [
        types.deserialize_cdr(data, PACKET.replace("/", "/msg/"))
        for _, _, data in bag.messages(bag.connections)
    ]
    bag.close()
    assert [m.seq for m in found] == [0, 1, 2] and found[0].encoding == "mono" and found[0].width == 346
    words = np.concatenate([m.events for m in found]).view("<u8")
    assert np.array_equal(words >> np.uint64(63), events.p) and found[0].time_base == events.t[0] * 1000


@pytest.mark.parametrize(
    "events",
    [
        Events([], [], [], [], sensor=(2, 5, 6)),
        Events([5, 4, 9], [0, 1, 2], [0, 0, 0], [0, 1, 1], sensor=(2, 2, 3)),
        Events(
            [0, 4_294_967, 4_294_968, 10**12],
            [32766, 0, 1, 2],
            [32766, 0, 1, 2],
            [1, 0, 1, 0],
            sensor=(2, 32767, 32767),
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::snnkit.datasets.errors.EventFileWarning")
def test_round_trips_at_the_bounds(tmp_path, events):
    assert same(read(write(events, tmp_path / "a.mcap")), events)


def test_writing_refuses_what_does_not_fit(tmp_path):
    for t in (-1, 2**62 // 1000):
        with pytest.raises(UserError, match="ROS has times from 0"):
            write(Events([t], [0], [0], [0], sensor=(2, 2, 2)), tmp_path / "a.mcap")
    assert not (tmp_path / "a.mcap").exists()


# -- encodings --


def decoded(packets: list[Packet], size=Size(346, 260)):
    decoder, pieces = Decoder(size), []
    for packet in packets:
        columns, damage = decoder.decode(packet)
        assert damage is None
        pieces += list(zip(*(c.tolist() for c in columns), strict=True))
    return pieces, decoder


def words(*values: int) -> bytes:
    return np.array(values, "<u2").tobytes()


def test_evt3_goes_on_from_packet_to_packet():
    a = words(0x8001, 0x6002, 0x0005, 0x2807)
    b = words(0x2008, 0x3010, 0x4003)
    found, decoder = decoded([Packet(260, 346, 4, 0, "evt3", a), Packet(260, 346, 5, 0, "evt3", b)])
    assert (
        found == [(4098, 7, 5, 1), (4098, 8, 5, 0), (4098, 16, 5, 0), (4098, 17, 5, 0)] and decoder.gaps == 0
    )
    lost, decoder = decoded([Packet(260, 346, 4, 0, "evt3", a), Packet(260, 346, 6, 0, "evt3", b)])
    assert lost == found[:1] and decoder.gaps == 1


def test_libcaer_counts_what_its_31_bits_cannot():
    rows = [(1 | 1 << 1 | 3 << 2 | 4 << 17, 2**31 - 1), (0, 2**31 - 1), (1 | 259 << 2 | 345 << 17, 5)]
    data = b"".join(struct.pack("<II", *row) for row in rows)
    found, _ = decoded([Packet(260, 346, 0, 7_000_999, "libcaer", data)])
    assert found == [(7000 + 2**31 - 1, 4, 3, 1), (7000 + 2**31 + 5, 345, 259, 0)]


def test_libcaer_cmp():
    data = words(0x2005, 0x3802, 0x0001, 0x1003, 0x3004, 0x2006, 0x4810, 0x5081, 0x5001)
    again = words(0x3009)  # the time begins anew, the column stays
    found, _ = decoded(
        [
            Packet(260, 346, 0, 9_000_000, "libcaer_cmp", data),
            Packet(260, 346, 1, 10_000_000, "libcaer_cmp", again),
        ]
    )
    t = 9000 + 4096 + 3
    vector = [(t, 6, 16, 1), (t, 6, 23, 1), (t, 6, 24, 1)]
    assert found == [(9000, 5, 2, 1), (t, 5, 4, 0), *vector, (10_000, 6, 9, 0)]


@pytest.mark.parametrize(
    ("encoding", "data", "reason"),
    [
        ("mono", (346 << 32).to_bytes(8, "little"), "event 0 of the packet is outside"),
        ("mono", bytes(12), "truncated: 4 bytes"),
        ("libcaer", struct.pack("<II", 1 | 346 << 17, 0), "outside"),
        ("libcaer_cmp", words(0x2001, 0x9000), "word 1 of the packet, 0x9000"),
        ("libcaer_cmp", words(0x2001, 0x3104), "outside"),
        ("evt3", words(0x8000, 0x0104), "word 1"),
        ("evt9", b"abc", "encoding 'evt9'; known are mono"),
    ],
)
def test_damage_in_packets(encoding, data, reason):
    _, damage = Decoder(Size(346, 260)).decode(Packet(260, 346, 0, 0, encoding, data))
    assert reason in damage


@pytest.mark.parametrize("kind", ["ros1", "mcap"])
def test_dvs_msgs(tmp_path, kind):
    bag, events = Bag(tmp_path, kind), some_events(50)
    types = bag.types.types
    for start in (0, 21):
        rows = [
            types["dvs_msgs/msg/Event"](
                x=int(events.x[k]),
                y=int(events.y[k]),
                ts=types["builtin_interfaces/msg/Time"](
                    sec=int(events.t[k]) // 10**6, nanosec=int(events.t[k]) % 10**6 * 1000 + 999
                ),
                polarity=bool(events.p[k]),
            )
            for k in range(start, 21 if start == 0 else 50)
        ]
        message = bag.message("dvs_msgs/EventArray", 10, height=260, width=346, events=rows)
        bag.add("/dvs/events", "dvs_msgs/EventArray", 10, message)
    assert same(read(bag.close()), events)


@pytest.mark.parametrize("kind", ["ros1", "mcap"])
def test_other_topics_are_streams(tmp_path, kind):
    bag = Bag(tmp_path, kind)
    types = bag.types.types
    bag.packet(words(0x8000, 0x6007, 0xA201), encoding="evt3", topic="/cam/events")
    vector, cov = types["geometry_msgs/msg/Vector3"], np.zeros(9)
    imu = {
        "orientation": types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0),
        "orientation_covariance": cov,
        "angular_velocity": vector(x=1.0, y=2.0, z=3.0),
        "angular_velocity_covariance": cov,
        "linear_acceleration": vector(x=4.0, y=5.0, z=9.81),
        "linear_acceleration_covariance": cov,
    }
    for k in range(2):
        bag.add("/imu", "sensor_msgs/Imu", k, bag.message("sensor_msgs/Imu", 5000 + k * 10**6, **imu))
    pixels = np.arange(12, dtype=np.uint8)
    image = {"height": 2, "width": 5, "encoding": "mono8", "is_bigendian": 0, "step": 6, "data": pixels}
    bag.add("/image", "sensor_msgs/Image", 9, bag.message("sensor_msgs/Image", 9000, **image))
    recording = inspect(bag.close())
    found = {s.name: (s.kind, s.count) for s in recording.info.streams}
    assert found.pop("events") == ("events", None) and found.pop("triggers") == ("triggers", None)
    assert found == {"/imu": ("imu", 2), "/image": ("frames", 1)}
    assert recording.stream("/imu").tolist() == [(5, 1, 2, 3, 4, 5, 9.81), (1005, 1, 2, 3, 4, 5, 9.81)]
    assert recording.stream("/image")["image"][0].tolist() == [[0, 1, 2, 3, 4], [6, 7, 8, 9, 10]]
    assert recording.stream("triggers").tolist() == [(7, 2, 1)]


def test_several_cameras_and_lost_packets(tmp_path):
    bag, events = Bag(tmp_path, "mcap"), some_events(4, start=1000)
    for seq, topic in ((0, "/left"), (0, "/right"), (2, "/left")):
        bag.packet(mono(events, 0), topic=topic, seq=seq)
    path = bag.close()
    with pytest.raises(UserError, match="events of /left, /right; choose one with sample="):
        read(path)
    assert len(read(path, sample="/right")) == 4
    recording = inspect(path, sample="/left")
    with pytest.warns(EventFileWarning):
        assert len(recording.events()) == 8
    assert "packets are missing in 1 places" in recording.notes


def test_a_bag_without_events_is_told(tmp_path):
    bag = Bag(tmp_path, "ros1")
    types = bag.types.types
    bag.add("/chatter", "std_msgs/String", 1, types["std_msgs/msg/String"](data="hello"))
    with pytest.raises(EventFileError, match="no events in it; it has std_msgs/String"):
        read(bag.close())


# -- damage --


def test_packets_with_their_largest_byte_first_are_refused(tmp_path):
    path = write(some_events(10), tmp_path / "a.mcap")
    data = path.read_bytes().replace(b"mono\0\0", b"mono\0\1")
    assert check_damaged(path, data, format="rosbag") is None
    with pytest.raises(Exception, match="little-endian CDR"):
        packet_of(Message(0, "a", PACKET, 2, 0, bytes(80)))


def database(path: Path, *statements: str) -> Path:
    with sqlite3.connect(path) as base:
        for statement in statements:
            base.execute(statement)
    base.close()
    return path


@pytest.mark.parametrize(
    "messages",
    [
        (
            "CREATE VIEW messages AS WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) "
            "SELECT i AS id, 1 AS topic_id, i AS timestamp, zeroblob(1000) AS data FROM n"
        ),
        "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id, timestamp, data AS (zeroblob(900000000)))",
        "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id, data)",
        "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp TEXT, data TEXT)",
    ],
)
def test_databases_that_are_programs(tmp_path, messages):
    path = database(
        tmp_path / "a.db3",
        "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT)",
        f"INSERT INTO topics VALUES (1, '/e', '{PACKET}')",
        messages,
    )
    if "TEXT, data TEXT" in messages:
        database(path, "INSERT INTO messages VALUES (1, 1, 'now', 'text')")
    assert check_damaged(path, path.read_bytes(), format="rosbag") is None


class Bags(dict):
    def __repr__(self):
        return "bags"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Small bags of all kinds."""
    bags = Bags()
    for kind in KINDS:
        bag, events = Bag(tmp_path_factory.mktemp(kind), kind), some_events(40)
        for seq, start in enumerate((0, 20)):
            piece = part(events, start, start + 20)
            bag.packet(mono(piece, int(piece.t[0]) * 1000), base=int(piece.t[0]) * 1000, seq=seq)
        bags[kind] = bag.close().read_bytes()
    return bags


@pytest.mark.parametrize("kind", KINDS)
@settings(SLOW, max_examples=25)
@given(data=st.data())
def test_damaged_bags(tmp_path, good, kind, data):
    path, whole = tmp_path / "bag", good[kind]
    events = check_damaged(path, whole[: data.draw(st.integers(14, len(whole) - 1))], format="rosbag")
    assert events is None or len(events) in (0, 20, 40)
    flipped = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        flipped[data.draw(st.integers(14, len(whole) - 1))] = data.draw(st.integers(0, 255))
    check_damaged(path, bytes(flipped), format="rosbag")
