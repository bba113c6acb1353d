"""Bags of ROS 2 in SQLite (.db3): the tables `topics` and `messages`, read with everything else switched off."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from snnkit.datasets.files.bags import Message, plain
from snnkit.datasets.files.base import Damaged
from snnkit.datasets.files.unpack import Budget, unpack

ZSTD = b"\x28\xb5\x2f\xfd"
STEPS = 1000  # of SQLite's machine, between two looks at how many it has taken
NEEDED = {"topics": ("id", "name", "type"), "messages": ("topic_id", "timestamp", "data")}


def sqlite(path: Path, budget: Budget) -> Iterator[Message]:
    """All messages, in the order in which they were recorded."""
    try:
        with closing(_opened(path)) as database:
            _check(database)
            rows = database.execute("SELECT id, name, type FROM topics").fetchall()
            topics = {row[0]: (_text(row[1]), plain(_text(row[2]))) for row in rows}
            query = "SELECT topic_id, timestamp, data FROM messages ORDER BY rowid"
            for topic, time, data in database.execute(query):
                if topic not in topics or not isinstance(time, int) or not isinstance(data, bytes):
                    raise Damaged(None, f"a message of topic {topic!r} at time {time!r}, which is none")
                if data[:4] == ZSTD:
                    data = unpack(data, "zstd", budget)
                yield Message(None, *topics[topic], 2, time, data)
    except (sqlite3.Error, OverflowError, UnicodeError) as error:
        raise Damaged(None, f"the SQLite library says: {error}") from None


def _opened(path: Path) -> sqlite3.Connection:
    """The database, for reading; no values larger than the file, no endless programs, nothing that its schema runs."""
    database = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True)
    size = path.stat().st_size
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(max(size, 1 << 16), 1 << 30))
    looks = iter(range(10_000 + size // 100))
    database.set_progress_handler(lambda: next(looks, None) is None, STEPS)
    database.text_factory = bytes
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0"):
        database.execute(f"PRAGMA {pragma}")
    return database


def _check(database: sqlite3.Connection) -> None:
    """`topics` and `messages` are plain tables with stored columns, not views or programs."""
    for table, needed in NEEDED.items():
        found = database.execute("SELECT type, sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        if found is None or found[0] != b"table" or not isinstance(found[1], bytes):
            raise Damaged(None, f"there is no table {table}; expected a bag of ROS 2")
        if not found[1].upper().lstrip().startswith(b"CREATE TABLE"):
            raise Damaged(None, f"{table} is no plain table")
        columns = {_text(row[1]): row[6] for row in database.execute(f"PRAGMA table_xinfo({table})")}
        if any(columns.get(name) != 0 for name in needed):
            raise Damaged(None, f"{table} has the columns {sorted(columns)}; expected {needed}")


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
