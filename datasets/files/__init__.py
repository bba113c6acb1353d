"""Files of event cameras and sensors: recognised by content, read whole or in chunks, written."""

from snnkit.datasets.files.base import FileInfo, Reader, Stream
from snnkit.datasets.files.reading import inspect, read, write

__all__ = ["read", "inspect", "write", "Reader", "FileInfo", "Stream"]
