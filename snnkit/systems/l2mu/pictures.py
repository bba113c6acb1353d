"""Pictures of a run: validation accuracy over the epochs, and how much every population of the memory fires."""

from __future__ import annotations

import statistics
from typing import Any

from snnkit.systems.l2mu.network import L2MU_ARM

NAMES = {"neuron_u": "inputs of the memory (u)", "neuron_m": "memory (m)", "neuron_h": "hidden (h)"}


def draw_accuracy(figure: Any, found: dict[str, list[dict[str, Any]]]) -> None:
    """The mean over seeds of every arm."""
    axes = figure.subplots()
    for arm, results in found.items():
        curve = [statistics.fmean(values) for values in zip(*(r["curve"] for r in results), strict=True)]
        axes.plot(range(1, len(curve) + 1), curve, label=arm)
    axes.set(xlabel="epoch", ylabel="validation accuracy")
    axes.legend(fontsize="small")


def draw_rates(figure: Any, found: dict[str, list[dict[str, Any]]]) -> None:
    """Spikes per neuron and step of the populations of the memory, the mean over seeds."""
    axes = figure.subplots()
    results = found[L2MU_ARM]
    for part, name in NAMES.items():
        runs = [
            [next(v for k, v in epoch.items() if k.endswith(part)) for epoch in r["rates"]] for r in results
        ]
        curve = [statistics.fmean(values) for values in zip(*runs, strict=True)]
        axes.plot(range(1, len(curve) + 1), curve, label=name)
    axes.set(xlabel="epoch", ylabel="spikes per neuron and step", ylim=(0, None))
    axes.legend(fontsize="small")
