"""Layers of synapses with delays beside the DCLS package: forward and all gradients, and peak memory.

    python benchmarks/delays.py [--quick] [--json FILE] [--threads N] [--rounds N] [--only time memory crossover events]

A network 700-256-256-20 with 25 steps of delay, T = 100, B = 128; every layer gets spikes of its own density, 5, 10 and 10 %,
so that all contestants do the same work, and gives the gradients of weights, delays and (behind the first layer) input.
"two-tap" stands beside DCLS v1, which interpolates linearly, "gaussian" beside DCLS gauss; results are compared before they
are timed; a row shows what the matrix products of the Gaussian's transform take alone. Contestants take turns, medians count; memory is the peak of a process of its own above its inputs and layers. "crossover"
is the density at which events stop paying, "events" the cost of EventProp from event to event, on time steps and behind DCLS
against the number of steps (`_spike_cost.py`). DCLS (`pip install dcls`, GPL) is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _spike_cost
import torch
from _timing import Clock, interleave, summary
from torch import Tensor, nn

import snnkit
from snnkit.kernels.delays.layer import CROSSOVER, CROSSOVER_GAUSSIAN, Kernel, delayed
from snnkit.kernels.products import matmuls

SIZES, DENSITIES = (700, 256, 256, 20), (0.05, 0.10, 0.10)
STEPS, BATCH, TAPS, WIDTH = 100, 128, 25, 12.27
SMALL = {"sizes": (60, 32, 32, 10), "steps": 40, "batch": 16}
Layer = Callable[[Tensor], Tensor]
NAMES = ("snnkit two-tap", "snnkit gaussian", "DCLS v1", "DCLS gauss")
FLOOR = "products of the gaussian alone"
PAIRS = (("snnkit two-tap", "DCLS v1"), ("snnkit gaussian", "DCLS gauss"))


class Dcls(nn.Module):
    """A layer of DCLS on sequences T B N: time last, padded in front."""

    def __init__(self, n_in: int, n_out: int, version: str):
        super().__init__()
        from DCLS.construct.modules import Dcls1d

        self.conv = Dcls1d(
            n_in, n_out, kernel_count=1, groups=1, dilated_kernel_size=TAPS, bias=False, version=version
        )

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x.permute(1, 2, 0), (TAPS - 1, 0))
        return self.conv(padded).permute(2, 0, 1)


def build(name: str, n_in: int, n_out: int, seed: int) -> nn.Module:
    """One layer; all contestants of a seed have the same weights and delays."""
    g = torch.Generator().manual_seed(seed)
    form = "gaussian" if name in ("snnkit gaussian", "DCLS gauss") else "two-tap"
    ours = snnkit.layers.DelayedLinear(
        n_in, n_out, max_delay=(TAPS - 1) * 1e-2, dt=1e-2, form=form, sigma=WIDTH, generator=g
    )
    if name.startswith("snnkit"):
        return ours
    theirs = Dcls(n_in, n_out, name.split()[1])
    with torch.no_grad():
        theirs.conv.weight.copy_(ours.weight.t().unsqueeze(2))
        theirs.conv.P.copy_(
            (TAPS // 2 - ours.delay).t().view(theirs.conv.P.shape)
        )  # a later tap is a shorter delay
        if form == "gaussian":
            theirs.conv.SIG.fill_(WIDTH - 0.27)
    return theirs


def problem(sizes: tuple[int, ...], steps: int, batch: int) -> list[tuple[Tensor, Tensor]]:
    """Input and gradient of the output of every layer."""
    g = torch.Generator().manual_seed(0)
    found = []
    for k, density in enumerate(DENSITIES):
        x = (torch.rand(steps, batch, sizes[k], generator=g) < density).float().requires_grad_(k > 0)
        found.append((x, torch.randn(steps, batch, sizes[k + 1], generator=g)))
    return found


def network(name: str, sizes: tuple[int, ...]) -> list[nn.Module]:
    return [build(name, sizes[k], sizes[k + 1], seed=k) for k in range(3)]


def run(layers: list[nn.Module], inputs: list[tuple[Tensor, Tensor]], clock: Clock | None = None) -> None:
    for k, (layer, (x, grad)) in enumerate(zip(layers, inputs, strict=True)):
        for p in (x, *layer.parameters()):
            p.grad = None
        layer(x).backward(grad)
        if clock:
            clock.lap(f"layer {k}")


def gradients(layer: nn.Module, x: Tensor, grad: Tensor) -> list[Tensor]:
    """Output, and gradients of weight [in, out], delay [in, out] and input."""
    for p in (x, *layer.parameters()):
        p.grad = None
    y = layer(x)
    y.backward(grad)
    found = [y.detach()]
    if isinstance(layer, Dcls):
        found += [layer.conv.weight.grad[:, :, 0].t(), -layer.conv.P.grad[0, :, :, 0].t()]
    else:
        found += [layer.weight.grad, layer.delay.grad]
    return [*found, *([x.grad] if x.grad is not None else [])]


def differences(sizes: tuple[int, ...], inputs: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Largest difference from DCLS over output and gradients, relative to the largest of each."""
    out = {}
    for ours, theirs in PAIRS:
        worst = 0.0
        for a, b, pair in zip(network(ours, sizes), network(theirs, sizes), inputs, strict=True):
            for p, q in zip(gradients(a, *pair), gradients(b, *pair), strict=True):
                worst = max(worst, float((p - q).abs().max() / q.abs().max()))
        out[f"{ours} / {theirs}"] = worst
    return out


def has_dcls() -> bool:
    try:
        import DCLS.construct.modules  # noqa: F401
    except ImportError:
        return False
    return True


def floor(sizes: tuple[int, ...], steps: int, batch: int) -> Callable[[Clock], None]:
    """The products of the transform alone, 1.5·(T + W - 1) per layer and direction, on operands that stay in the cache."""
    g = torch.Generator().manual_seed(0)
    count = 3 * (steps + TAPS - 1) // 2

    def one(rows: int, between: int, columns: int) -> Callable[[], Any]:
        a = torch.randn(1, rows, between, generator=g).expand(count, -1, -1)
        b = torch.randn(1, between, columns, generator=g).expand(count, -1, -1)
        out = torch.empty(1, rows, columns).expand(count, -1, -1)
        return lambda: [
            matmuls(x, y, z) for x, y, z in zip(a.split(1), b.split(1), out.split(1), strict=True)
        ]

    stages = []
    for k in range(3):
        n, m = sizes[k], sizes[k + 1]
        stages.append([one(batch, n, m), one(n, batch, m), *([one(batch, m, n)] if k else [])])

    def once(clock: Clock) -> None:
        for k, products in enumerate(stages):
            for product in products:
                product()
            clock.lap(f"layer {k}")

    return once


# -- the parts --------------------------------------------------------------------------------------------------------


def times(names: list[str], inputs: Any, sizes: tuple[int, ...], rounds: int) -> dict[str, Any]:
    nets = {name: network(name, sizes) for name in names}
    contestants = {name: (lambda clock, net=net: run(net, inputs, clock)) for name, net in nets.items()}
    if "snnkit gaussian" in names:
        contestants[FLOOR] = floor(sizes, *inputs[0][0].shape[:2])
    found = interleave(contestants, rounds)
    rows = {}
    for name, stages in found.items():
        whole = [sum(parts) for parts in zip(*stages.values(), strict=True)]
        rows[name] = {**{k: summary(v) for k, v in stages.items()}, "total": summary(whole)}
    return rows


def peak(once: Callable[[], Any]) -> float:
    """By how much a call raises the memory of this process at most, in MB."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    once()
    return _status("VmHWM") - before


def memory(name: str, quick: bool) -> float:
    """Peak of this process above inputs and layers, in MB, after a small run that loads the kernels."""
    if "@" in name:
        contestant, steps = name.split("@")
        _spike_cost.contestant(contestant, 150, _spike_cost.SMALL, Dcls)()
        size = _spike_cost.SMALL if quick else _spike_cost.FULL
        return peak(_spike_cost.contestant(contestant, int(steps), size, Dcls))
    run(network(name, SMALL["sizes"]), problem(**SMALL))  # type: ignore[arg-type]
    sizes, steps, batch = (SMALL["sizes"], SMALL["steps"], SMALL["batch"]) if quick else (SIZES, STEPS, BATCH)
    inputs, net = problem(sizes, steps, batch), network(name, sizes)  # type: ignore[arg-type]
    return peak(lambda: run(net, inputs))


def _status(key: str) -> float:
    line = next(s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith(key))
    return int(line.split()[1]) / 1024


def memories(names: list[str], quick: bool) -> dict[str, float]:
    found = {}
    for name in names:
        call = [sys.executable, __file__, "--peak", name, *(["--quick"] if quick else [])]
        done = subprocess.run(call, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            found[name] = float(done.stdout.split()[-1])
    return found


def spike_costs(quick: bool, rounds: int) -> list[dict[str, Any]]:
    names = [n for n in _spike_cost.CONTESTANTS if n != "DCLS v1" or has_dcls()]
    steps = [150, 600] if quick else [150, 600, 2400, 9600]

    def used(name: str, T: int) -> float:
        return memories([f"{name}@{T}"], quick).get(f"{name}@{T}", math.nan)

    measured = None if quick or not Path("/proc/self/clear_refs").exists() else used
    sizes = _spike_cost.SMALL if quick else _spike_cost.FULL
    return _spike_cost.costs(steps, names, sizes, 1 if quick else rounds, Dcls, measured)


def crossings(quick: bool) -> list[dict[str, float]]:
    """Forward and gradients of weight and delay over densities: events beside the kernel for dense input."""
    n_in, n_out, steps, batch = (60, 32, 40, 16) if quick else (256, 256, STEPS, BATCH)
    g = torch.Generator().manual_seed(0)
    w = torch.randn(n_in, n_out, generator=g, requires_grad=True)
    d = (torch.rand(n_in, n_out, generator=g) * (TAPS - 1)).requires_grad_()
    rows = []
    for density in (0.01, 0.1) if quick else (0.01, 0.02, 0.03, 0.05, 0.07, 0.1):
        x = (torch.rand(steps, batch, n_in, generator=g) < density).float()
        grad = torch.randn(steps, batch, n_out, generator=g)
        routes = {"events": "two-tap", "lanes": "two-tap", "rows": "gaussian", "spectral": "gaussian"}

        def once(clock: Clock, route: str, form: str, x: Tensor = x, grad: Tensor = grad) -> None:
            kernel = Kernel(form, TAPS + (form == "two-tap"), WIDTH)
            route = "events" if route == "rows" else route
            y = delayed(x, w, d, kernel, rows=steps, route=route)
            torch.autograd.grad(y, (w, d), grad)
            clock.lap("both")

        found = interleave(
            {r: (lambda clock, r=r, f=f: once(clock, r, f)) for r, f in routes.items()}, 1 if quick else 3
        )
        rows.append({"density": density, **{r: summary(s["both"])["median_ms"] for r, s in found.items()}})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small layers, to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--threads", type=int, help="number of threads (default: torch's)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every contestant")
    parser.add_argument(
        "--only", nargs="+", default=["time", "memory", "crossover", "events"], metavar="PART"
    )
    parser.add_argument("--peak", help=argparse.SUPPRESS)  # the process of one contestant
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.peak:
        print(memory(args.peak, args.quick))
        return
    sizes, steps, batch = (
        (SMALL["sizes"], SMALL["steps"], SMALL["batch"]) if args.quick else (SIZES, STEPS, BATCH)
    )
    names = [n for n in NAMES if n.startswith("snnkit") or has_dcls()]
    record: dict[str, Any] = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    missing = [n for n in NAMES if n not in names]
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads"
        + (f"; left out: {missing}" if missing else "")
    )
    inputs = problem(sizes, steps, batch)  # type: ignore[arg-type]
    if not missing:
        record["differences"] = differences(sizes, inputs)  # type: ignore[arg-type]
        for pair, worst in record["differences"].items():
            print(f"{pair}: largest relative difference of outputs and gradients {worst:.1e}")
    if "time" in args.only:
        record["time"] = times(names, inputs, sizes, 1 if args.quick else args.rounds)  # type: ignore[arg-type]
        show_times(record["time"])
    if "memory" in args.only and Path("/proc/self/clear_refs").exists():
        record["memory_mb"] = memories(names, args.quick)
        print("peak memory, MB: " + ", ".join(f"{k} {v:.0f}" for k, v in record["memory_mb"].items()))
    if "crossover" in args.only:
        record["crossover"] = crossings(args.quick)
        show_crossings(record["crossover"])
    if "events" in args.only:
        record["events"] = spike_costs(args.quick, args.rounds)
        _spike_cost.show(record["events"])
    if args.json:
        args.json.write_text(json.dumps(record, indent=1))


def show_times(rows: dict[str, Any]) -> None:
    stages = list(next(iter(rows.values())))
    print("forward and gradients, median ms" + "".join(f"{s:>10}" for s in stages))
    for name, found in rows.items():
        print(f"{name:>32}" + "".join(f"{found[s]['median_ms']:>10.1f}" for s in stages))
    for ours, theirs in PAIRS:
        if theirs in rows:
            ratio = rows[theirs]["total"]["median_ms"] / rows[ours]["total"]["median_ms"]
            print(f"{ours} is {ratio:.1f} times as fast as {theirs}")
    if FLOOR in rows and "DCLS gauss" in rows:
        ratio = rows["DCLS gauss"]["total"]["median_ms"] / rows[FLOOR]["total"]["median_ms"]
        print(
            f"{FLOOR} would be {ratio:.1f} times as fast as DCLS gauss: more is not to be had by transforms"
        )


def show_crossings(rows: list[dict[str, float]]) -> None:
    print("256 x 256, forward and gradients of weight and delay, median ms")
    print("".join(f"{k:>10}" for k in rows[0]))
    for row in rows:
        print(
            f"{100 * row['density']:>9.0f}%"
            + "".join(f"{v:>10.1f}" for k, v in row.items() if k != "density")
        )
    print(
        f"events are used up to {100 * CROSSOVER:g} %, rows of a Gaussian up to {100 * CROSSOVER_GAUSSIAN:g} %"
    )


if __name__ == "__main__":
    main()
