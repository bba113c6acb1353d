"""EventProp against the length of a run at a constant number of spikes; part of benchmarks/delays.py.

100 inputs with 200 spikes per sample in the first 100 steps, a delay per synapse of up to 24 steps, 256 neurons; forward, and the
gradients of weights and delays by a loss on the times or currents of output spikes. After the input, silence: runs differ only in
their number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from _timing import Clock, interleave, summary
from torch import Tensor, nn

from snnkit.eventprop import Spikes, run
from snnkit.layers import DelayedLinear, Sequential
from snnkit.neurons import CubaLIF

DT, TM, TS, TAPS, SENT = 1e-3, 20e-3, 5e-3, 25, 100
FULL = {"n_in": 100, "n": 256, "samples": 16, "spikes": 200}
SMALL = {"n_in": 20, "n": 16, "samples": 2, "spikes": 40}
CONTESTANTS = ("event to event", "time steps", "DCLS v1")


def neurons() -> CubaLIF:
    unit = TS / (TM - TS) * (math.exp(-DT / TM) - math.exp(-DT / TS))
    return CubaLIF(tau_syn=TS, tau_mem=TM, dt=DT, threshold=1.0 / unit, reset="zero", gradient="eventprop")


def network(n_in: int, n: int) -> Sequential:
    g = torch.Generator().manual_seed(0)
    layer = DelayedLinear(n_in, n, max_delay=(TAPS - 1) * DT, dt=DT, generator=g)
    layer.weight.data.normal_(5.0 / n_in, 4.5 / math.sqrt(n_in), generator=g)
    return Sequential(layer, neurons())


def inputs(n_in: int, samples: int, spikes: int, steps: int) -> tuple[Spikes, Tensor]:
    """The same input as spikes and as a dense sequence."""
    g = torch.Generator().manual_seed(1)
    cells = torch.stack([torch.randperm(SENT * n_in, generator=g)[:spikes] for _ in range(samples)])
    at, where = cells // n_in, cells % n_in
    x = torch.zeros(steps, samples, n_in)
    x[at, torch.arange(samples)[:, None], where] = 1.0
    lists = list(zip(at.double() * DT, where, strict=True))
    return Spikes.from_lists(lists, channels=n_in, duration=steps * DT), x


def contestant(
    name: str, steps: int, sizes: dict[str, int], dcls: Callable[[int, int, str], nn.Module]
) -> Callable[[], int]:
    """One training pass; answers the number of output spikes."""
    net = network(sizes["n_in"], sizes["n"])
    spikes, x = inputs(sizes["n_in"], sizes["samples"], sizes["spikes"], steps)
    if name == "event to event":
        del x

        def once() -> int:
            out = run(net, spikes).output
            torch.cos(out.time / 5e-3).sum().backward()
            return len(out)

        return once
    if name == "DCLS v1":
        layer: Any = dcls(sizes["n_in"], sizes["n"], "v1")
        with torch.no_grad():
            layer.conv.weight.copy_(net[0].weight.t().unsqueeze(2))
            layer.conv.P.copy_((TAPS // 2 - net[0].delay).t().view(layer.conv.P.shape))
        net = Sequential(layer, neurons())
    weight = torch.randn(steps, sizes["samples"], sizes["n"], generator=torch.Generator().manual_seed(2))

    def once() -> int:
        out = net(x)
        out.backward(weight)
        return int(out.detach().sum())

    return once


def costs(
    steps: list[int],
    names: list[str],
    sizes: dict[str, int],
    rounds: int,
    dcls: Any,
    memory: Callable[[str, int], float] | None,
) -> list[dict[str, Any]]:
    """Median ms and peak memory in MB of every contestant, for every number of steps; `memory` None leaves it out."""
    rows = []
    for T in steps:
        makers = {name: contestant(name, T, sizes, dcls) for name in names}
        row: dict[str, Any] = {
            "steps": T,
            "spikes": {name: make() / sizes["samples"] for name, make in makers.items()},
        }

        def timed(clock: Clock, make: Callable[[], int]) -> None:
            make()
            clock.lap("pass")

        found = interleave({n: (lambda clock, m=m: timed(clock, m)) for n, m in makers.items()}, rounds)
        row["ms"] = {n: summary(stages["pass"])["median_ms"] for n, stages in found.items()}
        row["mb"] = {} if memory is None else {n: memory(n, T) for n in names}
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    names = list(rows[0]["ms"])
    print("EventProp: forward and gradients against the number of steps, spikes held constant; ms (and MB)")
    print(f"{'steps':>8}" + "".join(f"{n:>24}" for n in names))
    for row in rows:
        said = [f" ({row['mb'][n]:>6.1f})" if n in row["mb"] else "" for n in names]
        print(
            f"{row['steps']:>8}"
            + "".join(f"{row['ms'][n]:>14.1f}{s}" for n, s in zip(names, said, strict=True))
        )
    said = ", ".join(f"{n} {s:.0f}" for n, s in rows[-1]["spikes"].items())
    print(f"output spikes per sample: {said}")
