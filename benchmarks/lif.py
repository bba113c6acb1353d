"""A layer of LIF neurons alone, forward and backward, beside other libraries and a copy of its bytes.

    python benchmarks/lif.py                  N = 2048, T = 500, B = 16; about a minute
    python benchmarks/lif.py --quick          small, to see that it runs
    python benchmarks/lif.py --json out.json

All contestants take the same input [T, B, N] in float32, decay by 0.95 per step, reset by subtraction, and use the arctan
surrogate. Rounds are interleaved; ratios are of medians within the run, and say more than the times. Of three calls in a
row the first does not count. A library that is not installed is left out, and named.

The kernels use all cores and most of the bandwidth of the memory, the peers one core: beside other work on the same machine
the ratios shrink.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _timing import Clock, interleave, summary

import snnkit
from snnkit.neurons import LIF, surrogate, use_reference

BETA, DT = 0.95, 1e-3
TAU = -DT / math.log(BETA)


def snnkit_fused() -> Callable[[torch.Tensor], torch.Tensor]:
    return LIF(tau=TAU, dt=DT, surrogate=surrogate.ATan(alpha=2.0))


def snnkit_learned() -> Callable[[torch.Tensor], torch.Tensor]:
    return LIF(tau=TAU, dt=DT, surrogate=surrogate.ATan(alpha=2.0), learn=("tau", "threshold"))


class _Atan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        (u,) = ctx.saved_tensors
        return grad / (1 + (math.pi * u) ** 2)


def plain_loop() -> Callable[[torch.Tensor], torch.Tensor]:
    """What one writes by hand, with `unbind`: indexing x[t] would make backward quadratic in T."""

    def run(x: torch.Tensor) -> torch.Tensor:
        v, spikes = torch.zeros_like(x[0]), []
        for x_t in x.unbind(0):
            v = BETA * v + x_t
            s = _Atan.apply(v - 1)
            v = v - s
            spikes.append(s)
        return torch.stack(spikes)

    return run


def snntorch_leaky() -> Callable[[torch.Tensor], torch.Tensor]:
    """The loop of snnTorch's documentation, with `unbind` in place of x[t], which takes its backward from 0.1 to 20 s."""
    import snntorch

    cell = snntorch.Leaky(
        beta=BETA, spike_grad=snntorch.surrogate.atan(alpha=2.0), reset_mechanism="subtract"
    )

    def run(x: torch.Tensor) -> torch.Tensor:
        mem, spikes = cell.init_leaky(), []
        for x_t in x.unbind(0):
            spike, mem = cell(x_t, mem)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


def spikingjelly_lif() -> Callable[[torch.Tensor], torch.Tensor]:
    from spikingjelly.activation_based import functional, neuron
    from spikingjelly.activation_based import surrogate as smooth

    cell = neuron.LIFNode(
        tau=1 / (1 - BETA),
        decay_input=False,
        v_reset=None,
        surrogate_function=smooth.ATan(alpha=2.0),
        step_mode="m",
    )

    def run(x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(cell)
        return cell(x)

    return run


def norse_box() -> Callable[[torch.Tensor], torch.Tensor]:
    from norse.torch import LIFBoxCell, LIFBoxParameters

    cell = LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.tensor((1 - BETA) / DT)), dt=DT)

    def run(x: torch.Tensor) -> torch.Tensor:
        state, spikes = None, []
        for x_t in x.unbind(0):
            spike, state = cell(x_t, state)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


MODELS = {
    "snnkit LIF": snnkit_fused,
    "snnkit LIF, learning tau and threshold": snnkit_learned,
    "plain torch loop": plain_loop,
    "snnTorch Leaky": snntorch_leaky,
    "SpikingJelly LIFNode": spikingjelly_lif,
    "Norse LIFBoxCell": norse_box,
}


def contestants(
    x: torch.Tensor, bar: torch.Tensor
) -> tuple[dict[str, Callable[[Clock], Any]], dict[str, str]]:
    """What can run here, and why the others cannot."""
    found: dict[str, Callable[[Clock], Any]] = {}
    missing: dict[str, str] = {}
    target = torch.empty_like(x)

    def copy(clock: Clock) -> None:
        target.copy_(x)
        clock.lap("forward")  # reads x, writes spikes
        target.copy_(x)
        target[: len(x) // 2].copy_(bar[: len(x) // 2])
        clock.lap("backward")  # reads x and a gradient, writes a gradient: as many bytes as 1.5 copies

    found["copy of the bytes (the limit)"] = copy
    for name, make in MODELS.items():
        try:
            model = make()
        except (ImportError, OSError, AttributeError) as error:  # broken is as absent as not installed
            missing[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue

        def run(clock: Clock, model: Any = model) -> None:
            leaf = x.detach().requires_grad_()
            clock.__init__()  # type: ignore[misc]
            spikes = model(leaf)
            clock.lap("forward")
            spikes.backward(bar)
            clock.lap("backward")

        found[name] = run
    return found, missing


def agreement(x: torch.Tensor) -> dict[str, Any]:
    """That the contestants do the same work: spikes of the kernels, the torch reference and the plain loop."""
    cell = snnkit_fused()
    with torch.no_grad():
        spikes = cell(x)
        with use_reference():
            same = torch.equal(spikes, cell(x))
        loop = float((spikes != plain_loop()(x)).float().mean())
    return {"rate": float(spikes.mean()), "equal_to_reference": same, "differs_from_plain_loop": loop}


def measure(neurons: int, steps: int, batch: int, rounds: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(steps, batch, neurons, generator=generator) * 0.3
    bar = torch.rand(steps, batch, neurons, generator=generator)
    able, missing = contestants(x, bar)
    found = interleave(able, rounds)
    rows = {}
    for name, stages in found.items():
        whole = [a + b for a, b in zip(stages["forward"], stages["backward"], strict=True)]
        rows[name] = {k: summary(v) for k, v in {**stages, "both": whole}.items()}
    return {
        "N": neurons,
        "T": steps,
        "B": batch,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "versions": {"snnkit": snnkit.__version__, "torch": torch.__version__},
        "check": agreement(x[:50]),
        "rows": rows,
        "missing": missing,
    }


def show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console, rows = Console(), result["rows"]
    ours = rows["snnkit LIF"]["both"]["median_ms"]
    table = Table(
        title=f"LIF alone, N = {result['N']}, T = {result['T']}, B = {result['B']}, {result['threads']} threads: "
        f"median ms of {result['rounds']} interleaved rounds (best)"
    )
    table.add_column("")
    for column in ("forward", "backward", "both", "both / snnkit LIF"):
        table.add_column(column, justify="right")
    for name, stages in rows.items():
        cells = [f"{s['median_ms']:.1f} ({s['best_ms']:.1f})" for s in stages.values()]
        table.add_row(name, *cells, f"{stages['both']['median_ms'] / ours:.2f}x")
    console.print(table)
    check = result["check"]
    console.print(
        f"firing rate {check['rate']:.3f}; spikes equal to the torch reference: {check['equal_to_reference']}; "
        f"differing from the plain loop: {check['differs_from_plain_loop']:.1e}"
    )
    for name, reason in result["missing"].items():
        console.print(f"left out: {name} ({reason})")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="A layer of LIF neurons, forward and backward, side by side."
    )
    parser.add_argument("--neurons", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="threads of torch; default: all")
    parser.add_argument(
        "--quick", action="store_true", help="a small layer and one round, to see that it runs"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    size = (64, 40, 2, 1) if given.quick else (given.neurons, given.steps, given.batch, given.rounds)
    result = measure(*size)
    show(result)
    if given.json:
        Path(given.json).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
