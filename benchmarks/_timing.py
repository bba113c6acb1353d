"""Timing side by side: every contestant once per round, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from statistics import median
from typing import Any

Stages = dict[str, float]  # stage -> seconds


class Clock:
    """Seconds between calls of `lap`, by stage."""

    def __init__(self) -> None:
        self.laps: Stages = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.laps[stage] = now - self._last
        self._last = time.perf_counter()


def interleave(
    contestants: dict[str, Callable[[Clock], Any]], rounds: int, turns: int = 3
) -> dict[str, dict[str, list[float]]]:
    """Seconds of every stage of every contestant, in rounds of `turns` calls each.

    The first call of a turn does not count: as in a training loop, a layer follows itself, on warm memory.
    """
    found: dict[str, dict[str, list[float]]] = {name: {} for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            gc.collect()
            for turn in range(turns):
                clock = Clock()
                run(clock)
                for stage, seconds in clock.laps.items():
                    if turn:
                        found[name].setdefault(stage, []).append(seconds)
    return found


def summary(seconds: list[float]) -> dict[str, float]:
    """Median and best, in milliseconds."""
    return {"median_ms": 1e3 * median(seconds), "best_ms": 1e3 * min(seconds)}
