"""Linear on events: event-driven against dense products, forward and weight gradient, over densities.

    python benchmarks/linear.py [--quick] [--json FILE] [--threads N]

For every size, rows of events [rows x n_in] meet a weight [n_out x n_in]. "event" is what snnkit.Linear does below its
crossover, "gemm" the dense product of a dense input by the library that Linear takes on this processor ("torch" beside it
is torch's own), "dense" what Linear does above the crossover: make the events dense, then gemm.
Times are medians over repeats that take turns, in milliseconds; on a busy machine trust the ratios. The last table is
the density at which event-driven and dense take equally long, forward and weight gradient together (interpolated in the
logarithm): snnkit.layers.linear.CROSSOVER should lie at or below the smallest of them.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch

from snnkit.events import EventTensor
from snnkit.kernels import products
from snnkit.kernels.sparse import event_linear
from snnkit.layers.linear import CROSSOVER

SIZES = [(12_800, 700, 256), (4_800, 2_312, 512), (1_600, 4_096, 4_096)]
DENSITIES = [0.001, 0.003, 0.01, 0.02, 0.05, 0.1]
BATCH = 16


def turns(work: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median milliseconds of each, one call of each per turn, after a first turn that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 1):
        for name, call in work.items():
            start = time.perf_counter()
            call()
            if turn:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(t) for name, t in times.items()}


def measure(rows: int, n_in: int, n_out: int, density: float, repeats: int) -> dict[str, float]:
    g = torch.Generator().manual_seed(0)
    x = (torch.rand(rows // BATCH, BATCH, n_in, generator=g) < density).float()
    ev = EventTensor.from_dense(x, 1e-3)
    weight = torch.randn(n_out, n_in, generator=g, requires_grad=True)
    grad = torch.randn(rows, n_out, generator=g)
    x = x.view(rows, n_in)

    def event() -> torch.Tensor:
        return event_linear(ev.rowptr, ev.indices, ev.values, weight)

    def gemm(x: torch.Tensor) -> torch.Tensor:
        return products.linear(x, weight)

    sparse, dense = event(), gemm(x)
    assert torch.allclose(sparse, dense, atol=1e-4), "event-driven and dense results differ"
    found = turns(
        {
            "event": event,
            "gemm": lambda: gemm(x),
            "torch": lambda: torch.nn.functional.linear(x, weight.detach()),
            "dense": lambda: gemm(ev.dense().view(rows, n_in)),
            "event_grad": lambda: torch.autograd.grad(sparse, weight, grad, retain_graph=True),
            "gemm_grad": lambda: products.matmul(grad.t(), x),
        },
        repeats,
    )
    found["both_ratio"] = (found["dense"] + found["gemm_grad"]) / (found["event"] + found["event_grad"])
    return {"rows": rows, "n_in": n_in, "n_out": n_out, "density": density} | found


def crossover(results: list[dict[str, float]]) -> float:
    """Density at which the ratio falls through 1; infinite if it never does."""
    for low, high in pairwise(results):
        if low["both_ratio"] >= 1 > high["both_ratio"]:
            part = math.log(low["both_ratio"]) / math.log(low["both_ratio"] / high["both_ratio"])
            return low["density"] * (high["density"] / low["density"]) ** part
    return math.inf if results[-1]["both_ratio"] >= 1 else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="the smallest size, three densities, fewer repeats"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--threads", type=int, help="number of threads (default: torch's)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    sizes = SIZES[:1] if args.quick else SIZES
    densities = DENSITIES[::2] if args.quick else DENSITIES
    repeats = 5 if args.quick else 11
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, median of {repeats}, milliseconds; gemm by {products.provider()}"
    )
    head = ("rows x n_in x n_out", "density", "event", "gemm", "ratio", "dense", "ratio")
    print(
        "{:>20}{:>9}  |{:>9}{:>9}{:>7}{:>9}{:>7}{:>9}  |{:>9}{:>9}{:>7}".format(
            *head, "torch", "event", "gemm", "ratio"
        )
    )
    everything, crossings = [], []
    for size in sizes:
        results = []
        for density in densities:
            r = measure(*size, density, repeats)
            results.append(r)
            print(
                f"{' x '.join(map(str, size)):>20}{100 * density:>8.1f}%  |{r['event']:>9.2f}{r['gemm']:>9.2f}"
                f"{r['gemm'] / r['event']:>6.1f}x{r['dense']:>9.2f}{r['dense'] / r['event']:>6.1f}x{r['torch']:>9.2f}  |"
                f"{r['event_grad']:>9.2f}{r['gemm_grad']:>9.2f}{r['gemm_grad'] / r['event_grad']:>6.1f}x",
                flush=True,
            )
        everything += results
        crossings.append(crossover(results))
    for size, crossing in zip(sizes, crossings, strict=True):
        where = (
            f"equal at {100 * crossing:.1f} %" if math.isfinite(crossing) else "event-driven always faster"
        )
        print(f"{' x '.join(map(str, size)):>20}  {where}")
    print(f"snnkit.layers.linear.CROSSOVER is {100 * CROSSOVER:g} %")
    if args.json:
        record = {"torch": torch.__version__, "threads": torch.get_num_threads(), "results": everything}
        args.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
