"""Encoding a batch of images: snnkit's events beside snnTorch's spikegen and plain torch, which make dense tensors.

    python benchmarks/encoders.py [--quick] [--json FILE] [--threads N] [--images FILE]

128 images of 28x28 (random, four fifths black, as MNIST is; or the first of an idx.gz file), T = 100 steps; and signals of 64 x 64 channels,
1 000 samples. Contestants take turns; medians and bests in milliseconds. "snnkit, dense" adds .dense(), for users who want what the others give.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _timing import Clock, interleave, summary

from snnkit import encoders

STEPS, DT, THRESHOLD = 100, 1e-3, 0.1
Work = dict[str, dict[str, Callable[[], Any]]]


def images(path: Path | None, batch: int) -> torch.Tensor:
    if path is not None:
        raw = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, count=batch * 784, offset=16)
        return torch.from_numpy(raw.reshape(batch, 784).astype(np.float32) / 255)
    g = np.random.default_rng(0)
    return torch.from_numpy((g.random((batch, 784)) * (g.random((batch, 784)) < 0.2)).astype(np.float32))


def torch_delta(s: torch.Tensor) -> torch.Tensor:
    d = s.diff(dim=0, prepend=s[:1])
    return (d >= THRESHOLD).float() - (d <= -THRESHOLD).float()


def work(x: torch.Tensor, s: torch.Tensor) -> tuple[Work, str | None]:
    """What is compared: task -> name -> call; and what is missing."""
    per_step = x.expand(STEPS, *x.shape)
    ours = {
        "rate": lambda: encoders.rate.bernoulli(x, steps=STEPS, dt=DT),
        "rate, 50 Hz": lambda: encoders.rate.bernoulli(x, steps=STEPS, dt=DT, rate=50.0),
        "latency": lambda: encoders.latency.linear(x, steps=STEPS, dt=DT),
        "delta": lambda: encoders.SendOnDelta(threshold=THRESHOLD).encode(s, dt=DT),
        "poisson": lambda: encoders.rate.poisson(x, steps=STEPS, dt=DT),
        "poisson, 50 Hz": lambda: encoders.rate.poisson(x, steps=STEPS, dt=DT, rate=50.0),
        "phase": lambda: encoders.Phase(phases=10).encode(x, steps=STEPS, dt=DT),
        "burst": lambda: encoders.Burst().encode(x, steps=STEPS, dt=DT),
        "population": lambda: encoders.Gaussian().encode(x, steps=STEPS, dt=DT),
    }
    found: Work = {task: {"snnkit": call} for task, call in ours.items()}
    for task, call in ours.items():
        found[task]["snnkit, dense"] = lambda call=call: call().dense()
    found["rate"]["torch"] = lambda: torch.rand(per_step.shape).lt(per_step).float()
    found["rate, 50 Hz"]["torch"] = lambda: torch.rand(per_step.shape).lt(per_step * 0.05).float()
    found["poisson"]["torch"] = lambda: torch.poisson(per_step)
    found["poisson, 50 Hz"]["torch"] = lambda: torch.poisson(per_step * 0.05)
    found["delta"]["torch"] = lambda: torch_delta(s)
    found["latency"]["torch"] = lambda: torch.zeros(STEPS, *x.shape).scatter_(
        0, ((STEPS - 1) * (1 - x)).round().long()[None], 1.0
    )
    try:
        from snntorch import spikegen
    except ImportError:
        return found, "snnTorch"
    found["rate"]["snnTorch"] = lambda: spikegen.rate(x, num_steps=STEPS)
    found["rate, 50 Hz"]["snnTorch"] = lambda: spikegen.rate(x, num_steps=STEPS, gain=0.05)
    found["latency"]["snnTorch"] = lambda: spikegen.latency(x, num_steps=STEPS, linear=True, normalize=True)
    found["delta"]["snnTorch"] = lambda: spikegen.delta(s, threshold=THRESHOLD, padding=True, off_spike=True)
    return found, None


def timed(call: Callable[[], Any]) -> Callable[[Clock], None]:
    def run(clock: Clock) -> None:
        call()
        clock.lap("encode")

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="8 images, a short signal, one round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--threads", type=int, help="number of threads of torch (default: its own)")
    parser.add_argument(
        "--images", type=Path, metavar="FILE", help="an idx3 file of 28x28 images, gzipped, such as MNIST's"
    )
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    batch, samples, side = (8, 50, 8) if args.quick else (128, 1000, 64)
    x = images(args.images, batch)
    s = torch.from_numpy(
        np.random.default_rng(1).normal(size=(samples, side, side), scale=0.05).cumsum(0)
    ).float()
    tasks, missing = work(x, s)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {batch} images, milliseconds")
    if missing:
        print(f"left out: {missing}")
    print(f"{'':<16}{'':<16}{'median':>9}{'best':>9}")
    results: dict[str, dict[str, dict[str, float]]] = {}
    for task, calls in tasks.items():
        rounds, turns = (1, 2) if args.quick else (5, 4)
        laps = interleave({name: timed(call) for name, call in calls.items()}, rounds, turns)
        results[task] = {name: summary(stages["encode"]) for name, stages in laps.items()}
        for name, row in results[task].items():
            print(f"{task:<16}{name:<16}{row['median_ms']:>9.2f}{row['best_ms']:>9.2f}", flush=True)
    if args.json:
        record = {
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "batch": batch,
            "results": results,
        }
        args.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
