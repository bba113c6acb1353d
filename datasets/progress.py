"""A progress bar on the terminal; silent where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")


def track(
    items: Iterable[Item], text: str, *, total: int | None = None, done: int = 0, show: bool = True
) -> Iterator[Item]:
    """Go through `items` with a bar on stderr, if that is a terminal and `show`; `done` were gone through before."""
    if not (show and sys.stderr.isatty()):
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    count = total if total is not None else len(items) + done if isinstance(items, Sized) else None
    with Progress(console=Console(stderr=True), transient=True) as bars:
        yield from bars.track(items, total=count, completed=done, description=text)
