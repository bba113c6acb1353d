"""What can go wrong with data: it is not there, or it is not what it says."""

from __future__ import annotations

from snnkit.errors import UserError


class DataNotFound(UserError):
    """The files of a dataset are nowhere to be found; the message says where to get them and where to put them."""


class EventFileError(UserError):
    """A recording is truncated or corrupt.

    Args:
        source: name of the file, with the archive it is in.
        offset: byte at which the first wrong record begins; None if it cannot be told, as in a damaged archive.
        reason: what was expected there and what came.
        format: the file's format, if it was recognised.
    """

    def __init__(self, source: str, offset: int | None, reason: str, *, format: str | None = None):
        place = source if format is None else f"{source} ({format})"
        place = place if offset is None else f"{place}, byte {offset}"
        super().__init__(f"{place}: {reason}")
        self.source, self.offset, self.reason, self.format = source, offset, reason, format


class EventFileWarning(UserWarning):
    """Something about a recording that its reader copes with, but its user should know."""
