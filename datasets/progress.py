"""A progress bar on the terminal; silent where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Iterable[Item], text: str, *, total: int | None = None, show: bool = True) -> Iterator[Item]:
    """Go through `items` with a bar on stderr, if that is a terminal and `show`."""
    if not (show and sys.stderr.isatty()):
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as bar

    count = total if total is not None else len(items) if isinstance(items, Sized) else None
    yield from bar(items, description=text, total=count, console=Console(stderr=True), transient=True)
