"""Events in bags of ROS 1 and 2: event_camera_msgs/EventPacket (evt3, mono, libcaer, libcaer_cmp) and dvs_msgs/EventArray.

The library `rosbags` is not used here, as it unpacks chunks without a limit; see `bags`. A bag with several cameras needs
`sample`, the topic. Inertial samples and images of other topics are streams under the names of their topics.
(https://github.com/ros-event-camera/event_camera_msgs, https://github.com/uzh-rpg/rpg_dvs_ros)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from snnkit.datasets.files.bags import MCAP, ROS1, SQLITE, Message, messages
from snnkit.datasets.files.base import Columns, Damaged, Format, Options, Reader, Size, Stream
from snnkit.datasets.files.pieces import empty_columns
from snnkit.datasets.files.ros_messages import Packet, array_of, array_size, image_of, imu_of, packet_of
from snnkit.datasets.files.ros_packets import Decoder
from snnkit.datasets.files.rosbag_write import write
from snnkit.errors import UserError

PACKETS = ("event_camera_msgs/EventPacket", "event_array_msgs/EventArray")
ARRAYS = ("dvs_msgs/EventArray", "prophesee_event_msgs/EventArray")
KINDS = {"sensor_msgs/Imu": "imu", "sensor_msgs/Image": "frames"}
NAMES = {ROS1: "ROS 1 bag", MCAP: "ROS 2 bag (MCAP)", SQLITE: "ROS 2 bag (SQLite)"}


class Bag(Reader):
    """See the top of this file."""

    def __init__(self, path: Path, options: Options):
        with path.open("rb") as file:
            start = file.read(16)
        version = next((name for magic, name in NAMES.items() if start.startswith(magic)), "")
        self._counts, first = _topics(path, options.sample)
        cameras = [topic for topic, type in self._counts if type in PACKETS + ARRAYS]
        if not cameras:
            known = ", ".join(sorted({type for _, type in self._counts})) or "nothing"
            raise Damaged(None, f"there are no events in it; it has {known[:300]}")
        self._topic = cameras[0] if options.sample is None else options.sample
        if self._topic not in cameras or (options.sample is None and len(cameras) > 1):
            raise UserError(f"{path} has events of {', '.join(cameras)}; choose one with sample=")
        header = {"container": version, "topic": str(self._topic)}
        size = None
        if first is not None:
            width, height, encoding = _camera(first)
            size, header["encoding"] = Size(width, height), encoding
        super().__init__(path, options, format="ROS bag", version=version, size=size, header=header)

    def columns(self, size: int | None) -> Iterator[Columns]:
        yield empty_columns()
        decoder = Decoder(self.size)
        for message in self._messages(self._topic):
            if message.type in PACKETS:
                packet = packet_of(message)
                columns, damage = decoder.decode(packet)
            else:
                columns, damage = array_of(message, self.size)
            if len(columns.t):
                yield columns
            if damage:
                raise Damaged(message.position, damage)
        if decoder.gaps:
            self.note(f"packets are missing in {decoder.gaps} places")

    def streams(self) -> tuple[Stream, ...]:
        found = [Stream("triggers", "triggers")] if self.header.get("encoding") == "evt3" else []
        for (topic, type), count in self._counts.items():
            if topic != self._topic:
                kind = KINDS.get(type, "other")
                found.append(Stream(topic, kind, count))
        return tuple(found)

    def records(self, name: str) -> Iterator[NDArray[Any]]:
        if name == "triggers":
            decoder = Decoder(self.size)
            for message in self._messages(self._topic):
                yield decoder.triggers(packet_of(message))
            return
        type = next(type for topic, type in self._counts if topic == name)
        if type not in KINDS:
            raise UserError(f"messages of the type {type} cannot be read")
        dtype = None
        for message in self._messages(name):
            row = imu_of(message) if KINDS[type] == "imu" else image_of(message)
            if dtype is not None and row.dtype != dtype:
                raise Damaged(message.position, f"an image of {row.dtype['image']}, after {dtype['image']}")
            dtype = row.dtype
            yield row

    def _messages(self, topic: Any) -> Iterator[Message]:
        return (m for m in messages(self.path) if m.topic == topic)


def _topics(path: Path, topic: Any) -> tuple[Counter[tuple[str, str]], Message | None]:
    """How many messages there are of each topic and type, and the first one with events (of this topic).

    What comes after damage is not counted; it is told when the events are read.
    """
    counts: Counter[tuple[str, str]] = Counter()
    first = None
    try:
        for message in messages(path):
            counts[message.topic, message.type] += 1
            if first is None and message.type in PACKETS + ARRAYS and topic in (None, message.topic):
                first = message
    except Damaged:
        if not counts:
            raise
    return counts, first


def _camera(message: Message) -> tuple[int, int, str]:
    """Width, height and encoding."""
    if message.type in PACKETS:
        packet: Packet = packet_of(message)
        return packet.width, packet.height, packet.encoding
    return *array_size(message), "dvs_msgs"


def _recognise(head: bytes, path: Path) -> bool:
    if head.startswith(SQLITE):
        return b"messages" in head and b"topics" in head
    return head.startswith((ROS1, MCAP))


FORMATS = (Format("rosbag", "ROS bag", (".mcap",), _recognise, Bag, write),)
