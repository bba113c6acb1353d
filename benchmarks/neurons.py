"""Networks of LIF neurons side by side with other libraries: time, peak memory, and cost against the number of steps.

    python benchmarks/neurons.py                    about eight minutes on two cores
    python benchmarks/neurons.py --quick            small, to see that it runs
    python benchmarks/neurons.py --json out.json --plot out.png --only layer memory

Parts: "lif" (neurons alone, the contestants of lif.py), "layer" (Linear(N, N) and LIF, forward and backward to the weights,
real-valued input and spikes), "linear" (the product alone on events of 1 %), "memory" (peak above imports, model and
input, each in a process of its own), "steps" (cost per step up to T = 10 000).

Rounds are interleaved and figures are medians; ratios are of medians within the run. The load of the machine is
reported: beside other work, what uses both cores suffers more than what uses one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lif
import linear
import torch
from _layers import FLOOR, MODELS, SLOW, build, ours
from _timing import Clock, interleave, summary

import snnkit

PARTS = ("lif", "layer", "linear", "memory", "steps")
OURS = "snnkit"


def contest(run: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, bar: torch.Tensor) -> Any:
    def turn(clock: Clock) -> None:
        clock.__init__()  # type: ignore[misc]
        y = run(x)
        clock.lap("forward")
        y.backward(bar)
        clock.lap("backward")

    return turn


def sequence(steps: int, batch: int, n: int, density: float | None) -> torch.Tensor:
    """Real numbers that make the layer fire, or spikes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(steps, batch, n, generator=generator)
    return x if density is None else (x < density).float()


def timed(turns: dict[str, Any], rounds: int, each: int) -> dict[str, dict[str, dict[str, float]]]:
    rows = {}
    for name, stages in interleave(turns, rounds, each).items():
        whole = [a + b for a, b in zip(stages["forward"], stages["backward"], strict=True)]
        rows[name] = {k: summary(v) for k, v in {**stages, "both": whole}.items()}
    return rows


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def layer(n: int, density: float | None, size: dict[str, int]) -> dict[str, Any]:
    say(f"layer of {n}, input {'real' if density is None else density} ...")
    names = [name for name in MODELS if n <= 512 or name not in SLOW]
    able, missing = build(names, n)
    x = sequence(size["steps"], size["batch"], n, density)
    bar = torch.rand(x.shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        rates = {name: float(run(x[:50]).mean()) for name, (run, _) in able.items() if name != FLOOR}
    rows = timed({k: contest(run, x, bar) for k, (run, _) in able.items()}, size["rounds"], size["turns"])
    return {"N": n, "density": density, "rows": rows, "rates": rates, "missing": missing}


# -- memory -----------------------------------------------------------------------------------------------------------


def _status(what: str) -> float:
    found = re.search(what + r":\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def peak(name: str, n: int, steps: int, batch: int, chunk: int | None) -> float:
    """MB above imports, model and input, in this process; Linux only."""
    run = ours(n, chunk)[0] if chunk else MODELS[name](n)[0]
    run(sequence(20, batch, n, None)).sum().backward()  # compile, load libraries, make the weights' gradient
    x = sequence(steps, batch, n, None)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    run(x).sum().backward()
    return _status("VmHWM") - before


def memory(n: int, size: dict[str, int]) -> dict[str, Any]:
    rows: dict[str, float] = {}
    names = [*MODELS, f"snnkit.checkpoint, chunks of {size['chunk']}"]
    for name in [name for name in names if name not in SLOW]:
        say(f"memory of {name} ...")
        chunk = size["chunk"] if "checkpoint" in name else 0
        call = [
            sys.executable,
            __file__,
            "--peak",
            name,
            str(n),
            str(size["steps"]),
            str(size["batch"]),
            str(chunk),
        ]
        done = subprocess.run(call, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            rows[name] = float(done.stdout.split()[-1])
    return {"N": n, "MB": rows, "input_MB": size["steps"] * size["batch"] * n * 4 / 2**20}


# -- steps ------------------------------------------------------------------------------------------------------------


def over_steps(n: int, batch: int, lengths: list[int], rounds: int) -> dict[str, Any]:
    names = ["snnkit", "SpikingJelly, multi-step", "snnTorch, as documented", "snnTorch, as well as can be"]
    able, missing = build(names, n)
    rows: dict[str, dict[int, float]] = {}
    for steps in lengths:
        say(f"{steps} steps ...")
        x = sequence(steps, batch, n, None)
        bar = torch.rand(x.shape)
        turns = {name: contest(run, x, bar) for name, (run, _) in able.items()}
        turns["snnkit.checkpoint"] = contest(ours(n, round(steps**0.5))[0], x, bar)
        for name, stages in timed(turns, rounds, 2).items():
            rows.setdefault(name, {})[steps] = 1e3 * stages["both"]["median_ms"] / steps
    return {"N": n, "B": batch, "us_per_step": rows, "missing": missing}


# -- all --------------------------------------------------------------------------------------------------------------


def measure(parts: list[str], quick: bool, rounds: int = 3) -> dict[str, Any]:
    sizes = [32] if quick else [512, 2048]
    size = {"steps": 40, "batch": 2, "rounds": 1, "turns": 2, "chunk": 10}
    if not quick:
        size = {"steps": 500, "batch": 16, "rounds": rounds, "turns": 3, "chunk": 25}
    before = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    result: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "load_before": before,
        "versions": {"snnkit": snnkit.__version__, "torch": torch.__version__},
    }
    if "lif" in parts:
        result["lif"] = lif.measure(*((64, 40, 2, 1) if quick else (2048, 500, 16, rounds)))
    if "layer" in parts:
        result["layer"] = [layer(n, d, size) for n in sizes for d in (None, 0.02, 0.05)]
    if "linear" in parts:
        shapes = [(400, 64, 32)] if quick else linear.SIZES
        result["linear"] = [linear.measure(*shape, 0.01, 2 if quick else 5) for shape in shapes]
    if "memory" in parts and Path("/proc/self/clear_refs").exists():
        result["memory"] = memory(sizes[-1], size)
    if "steps" in parts:
        lengths = [10, 20] if quick else [100, 1000, 10_000]
        result["steps"] = over_steps(32 if quick else 256, 4, lengths, 1 if quick else rounds)
    return result


def tables(result: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, columns and rows of every table."""
    found = []
    for part in result.get("layer", []):
        kind = "real-valued input" if part["density"] is None else f"{100 * part['density']:g} % spikes"
        base = part["rows"][OURS]["both"]["median_ms"]
        rows = [
            [
                name,
                *(f"{s['median_ms']:.1f}" for s in stages.values()),
                f"{stages['both']['median_ms'] / base:.2f}x",
            ]
            for name, stages in part["rows"].items()
        ]
        columns = ["", "forward ms", "backward ms", "both ms", "both / snnkit"]
        found.append((f"Linear({part['N']}, {part['N']}) + LIF, {kind}", columns, rows))
    if "linear" in result:
        keys = ["event", "gemm", "event_grad", "gemm_grad"]
        rows = [
            [
                f"{r['rows']} x {r['n_in']} x {r['n_out']}",
                *(f"{r[k]:.2f}" for k in keys),
                f"{r['gemm'] / r['event']:.1f}x",
                f"{r['gemm_grad'] / r['event_grad']:.1f}x",
            ]
            for r in result["linear"]
        ]
        columns = ["rows x in x out", "events ms", "sgemm ms", "dW events", "dW sgemm", "ratio", "ratio dW"]
        found.append(("Linear on events of 1 %", columns, rows))
    if "memory" in result:
        part = result["memory"]
        title = (
            f"Peak memory, Linear({part['N']}, {part['N']}) + LIF; the input holds {part['input_MB']:.0f} MB"
        )
        base = part["MB"][OURS]
        rows = [[name, f"{mb:.0f}", f"{mb / base:.2f}x"] for name, mb in part["MB"].items()]
        found.append((title, ["", "MB", "/ snnkit"], rows))
    if "steps" in result:
        part = result["steps"]
        lengths = list(next(iter(part["us_per_step"].values())))
        rows = [[name, *(f"{us:.0f}" for us in row.values())] for name, row in part["us_per_step"].items()]
        title = f"Linear({part['N']}, {part['N']}) + LIF, B = {part['B']}: microseconds per step, both ways"
        found.append((title, ["", *(f"T = {t}" for t in lengths)], rows))
    return found


def show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if "lif" in result:
        lif.show(result["lif"])
    for title, columns, rows in tables(result):
        table = Table(title=title)
        for i, column in enumerate(columns):
            table.add_column(column, justify="right" if i else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    missing = {k: v for part in result.get("layer", []) for k, v in part["missing"].items()}
    for name, reason in missing.items():
        console.print(f"left out: {name} ({reason})")
    console.print(
        f"{result['threads']} threads of {result['cpus']} cores, load {result['load_before']:.1f} before and "
        f"{result['load_after']:.1f} at the end (the benchmark itself counts)"
    )


def plot(result: dict[str, Any], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    parts = result.get("layer", [])
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    names = [name for name in MODELS if any(name in part["rows"] for part in parts)]
    for i, name in enumerate(names):
        at = [j + (i - len(names) / 2) * 0.1 for j, part in enumerate(parts) if name in part["rows"]]
        times = [part["rows"][name]["both"]["median_ms"] for part in parts if name in part["rows"]]
        axes[0].bar(at, times, 0.1, label=name)
    kinds = ["real" if part["density"] is None else f"{100 * part['density']:g} % spikes" for part in parts]
    axes[0].set_xticks(range(len(parts)), [f"N = {p['N']}\n{k}" for p, k in zip(parts, kinds, strict=True)])
    axes[0].set(yscale="log", ylabel="ms, forward and backward", title="Linear + LIF")
    axes[0].legend(fontsize=7)
    for name, row in result.get("steps", {}).get("us_per_step", {}).items():
        axes[1].loglog(list(row), list(row.values()), "o-", label=name)
    axes[1].set(xlabel="steps T", ylabel="microseconds per step", title="Cost against the number of steps")
    axes[1].legend(fontsize=7)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes and one round, to see that it runs")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts")
    parser.add_argument(
        "--rounds", type=int, default=3, help="interleaved rounds of three calls, of which two count"
    )
    parser.add_argument("--threads", type=int, help="threads of torch; default: all")
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file")
    parser.add_argument("--plot", metavar="FILE", help="draw them into this file")
    parser.add_argument("--peak", nargs=5, help=argparse.SUPPRESS)  # the process of one contestant
    given = parser.parse_args()
    if given.peak:
        print(peak(given.peak[0], *map(int, given.peak[1:])))
        return
    if given.threads:
        torch.set_num_threads(given.threads)
    result = measure(given.only, given.quick, given.rounds)
    result["load_after"] = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    show(result)
    if given.json:
        Path(given.json).write_text(json.dumps(result, indent=2) + "\n")
    if given.plot:
        plot(result, given.plot)


if __name__ == "__main__":
    main()
