"""`read`, `inspect` and `write`: one function each for all formats."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, overload

from snnkit.datasets.errors import DataNotFound, EventFileError
from snnkit.datasets.files.base import Damaged, Options, Reader
from snnkit.datasets.files.formats import HEAD, for_writing, named, recognised
from snnkit.errors import UserError
from snnkit.files import beside
from snnkit.recordings import Events, Sensor

AnyPath = str | PathLike[str]


@overload
def read(
    path: AnyPath,
    *,
    chunk: None = None,
    sensor: Sensor | None = None,
    on_error: str = "raise",
    sample: int | str | None = None,
    format: str | None = None,
) -> Events: ...


@overload
def read(
    path: AnyPath,
    *,
    chunk: int,
    sensor: Sensor | None = None,
    on_error: str = "raise",
    sample: int | str | None = None,
    format: str | None = None,
) -> Iterator[Events]: ...


def read(
    path: AnyPath,
    *,
    chunk: int | None = None,
    sensor: Sensor | None = None,
    on_error: str = "raise",
    sample: int | str | None = None,
    format: str | None = None,
) -> Events | Iterator[Events]:
    """Read the events of a recording; its format is recognised by its content.

    Times are microseconds as the file has them, with wraps of the sensor's clock undone; events stay in the order of the
    file, even where the clock goes backwards (a warning says how often; `Events.sorted` orders them). Row 0 is the top
    of the image, polarity 1 is brighter.

    Args:
        path: the file.
        chunk: give an iterator over chunks of this many events instead, for files larger than memory.
        sensor: (2, height, width), if the file does not say it, or says it wrongly. Otherwise it is taken from the
            header, from the camera's name, or from the largest coordinates (`inspect(path).info.size_from`).
            (1, height, width) merges the polarities.
        on_error: what to do about a truncated or corrupt file: "raise", or "truncate" to give the events before the
            damage, with a warning that says where it is.
        sample: which recording, in files that hold many: an index or a key.
        format: skip the recognition, and read the file as this format.

    Raises:
        DataNotFound: there is no such file.
        EventFileError: it is damaged, or no event file; names format, byte and reason.
    """
    reader = inspect(path, sensor=sensor, on_error=on_error, sample=sample, format=format)
    return reader.events() if chunk is None else reader.chunks(chunk)


def inspect(
    path: AnyPath,
    *,
    sensor: Sensor | None = None,
    on_error: str = "raise",
    sample: int | str | None = None,
    format: str | None = None,
) -> Reader:
    """Open a recording: `.info` tells its format, sensor and streams, `.stream(name)` reads triggers, IMU or frames.

    Arguments and errors are those of `read`.
    """
    options = Options(None if sensor is None else tuple(sensor), on_error, sample)  # type: ignore[arg-type]
    file = Path(path)
    head = _head(file)
    found = recognised(file, head) if format is None else named(format)
    try:
        return found.open(file, options)
    except Damaged as damage:
        raise EventFileError(str(file), damage.position, damage.reason, format=found.title) from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error


def write(events: Events, path: AnyPath, *, format: str | None = None, **options: Any) -> Path:
    """Write a recording; the format follows from the suffix, such as .raw (EVT3), .dat, .bin, .es.

    The file appears whole or not at all, and reads back as the same events.

    Args:
        events: what to write.
        path: where to; an existing file is replaced.
        format: the format's name, if its suffix is shared by several: "evt2", "evt21", "evt3".
        options: of the format.

    Raises:
        UserError: the format cannot hold these events, or the place cannot be written.
    """
    file = Path(path)
    chosen = for_writing(file, format)
    assert chosen.write is not None
    with beside(file) as temporary:
        chosen.write(events, temporary, **options)
    return file


def _head(file: Path) -> bytes:
    if file.exists() and not file.is_file():  # a pipe would wait for its writer
        raise DataNotFound(f"cannot read {file}: it is a directory or a device, no file")
    try:
        with file.open("rb") as stream:
            return stream.read(HEAD)
    except OSError as error:
        raise DataNotFound(f"cannot read {file}: {error.strerror or error}") from error
