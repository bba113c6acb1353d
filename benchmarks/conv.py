"""Conv2d on events: event-driven against torch's convolution of the dense events, over densities.

    python benchmarks/conv.py [--quick] [--json FILE] [--threads N]

"event" is what snnkit.Conv2d does below its crossover, "dense" what it does above it: make the events dense, then torch's.
Times are medians over repeats that take turns, in milliseconds. The last line is snnkit.layers.conv.CROSSOVER, which should
lie where the ratio of the sums falls through one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from linear import turns
from torch.nn import functional as F

from snnkit.events import EventTensor
from snnkit.kernels.conv import event_conv2d
from snnkit.layers.conv import CROSSOVER

# steps, batch, channels in and out, pixels, kernel, stride: first layers of networks for event cameras, and a later one
SIZES = [
    (30, 16, 2, 16, 34, 3, 1),
    (30, 16, 2, 32, 34, 5, 2),
    (20, 16, 2, 16, 128, 5, 2),
    (20, 16, 2, 32, 128, 3, 1),
    (30, 16, 32, 64, 14, 3, 1),
]
DENSITIES = [0.001, 0.003, 0.01, 0.02, 0.05]


def measure(size: tuple[int, ...], density: float, repeats: int) -> dict[str, float]:
    steps, batch, channels, out, pixels, kernel, stride = size
    g = torch.Generator().manual_seed(0)
    ev = EventTensor.from_dense(
        (torch.rand(steps, batch, channels, pixels, pixels, generator=g) < density).float(), 1e-3
    )
    weight = torch.randn(out, channels, kernel, kernel, generator=g, requires_grad=True)
    pad = kernel // 2
    sizes = {"size": (pixels, pixels), "stride": (stride, stride), "padding": (pad, pad)}

    def event() -> torch.Tensor:
        return event_conv2d(ev.rowptr, ev.indices, ev.values, weight, None, **sizes)

    def dense() -> torch.Tensor:
        return F.conv2d(ev.dense().flatten(0, 1), weight, None, stride, pad)

    ours, theirs = event(), dense()
    assert torch.allclose(ours, theirs, atol=1e-4), "event-driven and dense results differ"
    grad = torch.randn(ours.shape, generator=g)
    found = turns(
        {
            "event": event,
            "dense": dense,
            "event_grad": lambda: torch.autograd.grad(ours, weight, grad, retain_graph=True),
            "dense_grad": lambda: torch.autograd.grad(theirs, weight, grad, retain_graph=True),
        },
        repeats,
    )
    found["ratio"] = (found["dense"] + found["dense_grad"]) / (found["event"] + found["event_grad"])
    return {"size": list(size), "density": density, **found}  # type: ignore[dict-item]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the smallest size, two densities, few repeats")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--threads", type=int, help="number of threads (default: torch's)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    sizes, densities = (SIZES[:1], DENSITIES[::3]) if args.quick else (SIZES, DENSITIES)
    repeats = 2 if args.quick else 9
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, median of {repeats}, milliseconds")
    print(
        f"{'T B in out pixels kernel stride':>32}{'density':>9}{'event':>9}{'dense':>9}{'dW event':>10}{'dW dense':>10}"
    )
    results = []
    for size in sizes:
        for density in densities:
            r = measure(size, density, repeats)
            results.append(r)
            print(
                f"{' '.join(map(str, size)):>32}{100 * density:>8.1f}%{r['event']:>9.2f}{r['dense']:>9.2f}"
                f"{r['event_grad']:>10.2f}{r['dense_grad']:>10.2f}{r['ratio']:>7.1f}x",
                flush=True,
            )
    print(f"snnkit.layers.conv.CROSSOVER is {100 * CROSSOVER:g} %")
    if args.json:
        record = {"torch": torch.__version__, "threads": torch.get_num_threads(), "results": results}
        args.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
