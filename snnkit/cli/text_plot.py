"""A small plot made of characters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BLOCKS = " ▁▂▃▄▅▆▇█"
PLAIN = " .:|"


def bars(values: Sequence[float], *, height: int = 4, encoding: str = "utf-8") -> list[str]:
    """One column per value, from 0 to the largest, as lines from top to bottom; in ASCII if need be.

    >>> bars([0, 4, 8], height=1)
    [' ▄█']
    """
    try:
        BLOCKS.encode(encoding)
        steps = BLOCKS
    except (UnicodeEncodeError, LookupError):
        steps = PLAIN
    top, full = max(values, default=0) or 1, len(steps) - 1
    level = np.array([np.ceil(v / top * height * full) for v in values], dtype=int)
    return [
        "".join(steps[int(np.clip(n - row * full, 0, full))] for n in level)
        for row in range(height - 1, -1, -1)
    ]
