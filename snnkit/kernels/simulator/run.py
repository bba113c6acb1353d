"""Running the kernel of an event-driven network: samples in parallel on threads, output buffers that grow, one merge.

A sample is always computed by one thread, alone, so neither the number of threads nor its neighbours in the batch change
a bit. What a sample needs is a row of some array: an own row where the array is kept, else the one row of its worker,
begun anew for every sample.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numba as nb
import numpy as np

from snnkit.kernels.generated import load
from snnkit.kernels.neurons.run_numba import _pool
from snnkit.kernels.simulator import loop as simulator_loop
from snnkit.kernels.simulator.plan import NetworkPlan

FIRST = 1 << 14  # spikes that a new output buffer holds, at least one step more


@dataclass(frozen=True, eq=False)
class Kernel:
    """A compiled network: its loop, the names of its arguments, and those that have a row per sample."""

    simulate: Callable[..., None]
    arguments: tuple[str, ...]
    per_sample: tuple[str, ...]
    graded: bool


@lru_cache(maxsize=256)
def kernel(plan: NetworkPlan, precision: str) -> Kernel:
    """The kernel of a network, compiled when first run and kept on disk."""
    text, arguments = simulator_loop.source(plan, precision)
    rows = tuple(f"{name}_" for name in simulator_loop.per_sample(plan))
    return Kernel(load(text).simulate, arguments, rows, plan.graded_out)


def kind(name: str, real: type) -> type:
    """dtype of a row: spikes on their way are indices."""
    return np.int32 if name.startswith("flying_") else real


@dataclass
class Job:
    """What one run of a network shares between its workers.

    Args:
        arrays: arguments by name; rows of samples only where they are kept `[B, ...]` or carried `[1, ...]`.
        sizes: T, B, N, M, D, ports * N, finish, roll.
        row: sizes of the rows that each worker makes for itself, by name.
        real: dtype of all numbers.
        before: called with the number of the sample before each one; then one thread runs them one by one.
        after: called with the number of the sample and its spikes after each one, where there is a `before`.
    """

    kernel: Kernel
    arrays: Mapping[str, np.ndarray]
    sizes: np.ndarray
    row: Mapping[str, int]
    real: type
    threads: int = 1
    before: Callable[[int], None] | None = None
    after: Callable[[int, np.ndarray], None] | None = None
    _next: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> tuple[int, int]:
        """The next samples that nobody has: many at first and few in the end, so that all threads end together."""
        B = int(self.sizes[1])
        with self._lock:
            first = self._next
            share = (B - first) // (2 * self.threads)
            most = 1 if self.before else max(1, B // (32 * self.threads), min(64, share))
            self._next = last = min(first + most, B)
        return first, last


@dataclass
class Worker:
    """One thread's arrays, and the spikes that it wrote, sample after sample."""

    job: Job
    samples: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        job, N = self.job, int(self.job.sizes[2])
        own: dict[str, np.ndarray] = {
            name: np.zeros((1, job.row[name]), kind(name, job.real))
            for name in job.kernel.per_sample
            if name not in job.arrays
        }
        own["fired"] = np.zeros(-(-N // 8) * 8, np.uint8)
        own["words"] = own["fired"].view(np.uint64)
        own["spiked"], own["sent"] = np.zeros(N, np.int32), np.zeros(N, job.real)
        own["cursor"] = np.zeros(5, np.int64)
        own["out"] = np.empty(max(FIRST, 2 * N), np.int32)
        own["out_values"] = np.empty(len(own["out"]) if job.kernel.graded else 0, job.real)
        self.own = own

    def run(self) -> Worker:
        job, cursor = self.job, self.own["cursor"]
        while True:
            first, last = job.take()
            if first == last:
                return self
            if job.before:
                job.before(first)
            self.samples.append((first, last))
            cursor[0], cursor[1], cursor[2] = first, last, -1
            while cursor[0] < last:
                self.make_room()
                job.kernel.simulate(
                    *(self.own[k] if k in self.own else job.arrays[k] for k in job.kernel.arguments)
                )
            if job.after:
                job.after(first, self.own["out"][job.arrays["starts"][first] : cursor[3]])

    def make_room(self) -> None:
        """A larger output buffer when there is no room for another step."""
        used = int(self.own["cursor"][3])
        if used + self.job.sizes[2] <= len(self.own["out"]):
            return
        for name in ("out", "out_values"):
            old = self.own[name]
            self.own[name] = np.empty(2 * len(old), old.dtype)
            self.own[name][:used] = old[:used]  # the rest is not touched: its pages would have to be fetched


@nb.njit(cache=True, nogil=True)
def _merge(first, last, T, B, starts, rowptr, buffer, out):  # pragma: no cover (compiled)
    """Spikes in the order of samples, as rows of (step, sample)."""
    for b in range(first, last):
        o = starts[b]
        for t in range(T):
            for k in range(rowptr[t * B + b], rowptr[t * B + b + 1]):
                out[k] = buffer[o]
                o += 1


def run(job: Job) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Simulate all samples; the spikes as row pointers over (step, sample), indices and, of graded ones, values."""
    T, B = int(job.sizes[0]), int(job.sizes[1])
    job.threads = 1 if job.before else max(1, min(job.threads, B))
    workers = [Worker(job) for _ in range(job.threads)]
    others = [_pool(job.threads - 1).submit(w.run) for w in workers[1:]]
    try:
        workers[0].run()
    finally:
        for other in others:
            other.result()
    rowptr = np.zeros(T * B + 1, np.int64)
    np.cumsum(job.arrays["counts"], out=rowptr[1:])
    indices = np.empty(rowptr[-1], np.int32)
    values = np.empty(rowptr[-1], np.float32) if job.kernel.graded else None
    starts = job.arrays["starts"]
    for worker in workers:
        for first, last in worker.samples:
            _merge(first, last, T, B, starts, rowptr, worker.own["out"], indices)
            if values is not None:
                _merge(first, last, T, B, starts, rowptr, worker.own["out_values"], values)
    return rowptr, indices, values
