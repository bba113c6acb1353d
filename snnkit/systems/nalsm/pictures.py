"""Plots of a run: the astrocyte's A(t), branching factors, the sweep of the fixed liquid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Runs = dict[str, list[dict[str, Any]]]


def of(found: Runs, names: dict[str, str]) -> dict[str, Callable[[Any], None]]:
    """By name, functions that draw on a matplotlib figure."""
    return {
        "astrocyte": lambda figure: astrocyte(figure, found, names),
        "branching": lambda figure: branching(figure, found, names),
        "sweep": lambda figure: sweep(figure, found, names),
    }


def astrocyte(figure: Any, found: Runs, names: dict[str, str]) -> None:
    """A(t) and spikes per ms while features are read, with and without the astrocyte."""
    left, right = figure.subplots(1, 2)
    for arm, colour in (("nalsm", "tab:green"), ("stdp", "tab:red")):
        for k, result in enumerate(found[arm]):
            label = names[arm] if k == 0 else None
            left.plot(result["A"], color=colour, label=label, alpha=0.8)
            right.semilogy(np.maximum(result["n_out"], 0.1), color=colour, alpha=0.8)
    for k, result in enumerate(found["nalsm"]):
        right.semilogy(result["n_in"], color="grey", label="input" if k == 0 else None, alpha=0.6)
    left.set(xlabel="time [ms]", ylabel="A, rate of depression", title="plasticity fades by 1 % per ms")
    right.set(xlabel="time [ms]", ylabel="spikes per ms")
    left.legend()
    right.legend()


def branching(figure: Any, found: Runs, names: dict[str, str]) -> None:
    """Branching factor of each arm by seed; 1 is the edge."""
    axes = figure.subplots()
    for k, arm in enumerate(("nalsm", "fixed", "stdp")):
        values = [r["branching factor"] for r in found[arm]]
        axes.scatter([k] * len(values), values, s=60)
    axes.axhline(1.0, color="grey", linestyle=":")
    axes.set(
        xticks=range(3), xticklabels=[names[a] for a in ("nalsm", "fixed", "stdp")], ylabel="branching factor"
    )
    axes.set(xlim=(-0.5, 2.5), ylim=(0, None))


def sweep(figure: Any, found: Runs, names: dict[str, str]) -> None:
    """Validation accuracy of fixed liquids against |w|, with the training samples of the choice; NALSM has no such knob."""
    axes = figure.subplots()
    for k, result in enumerate(found["fixed"]):
        curve = result["validation by w"]
        axes.semilogx([float(w) for w in curve], list(curve.values()), "o-", color="tab:blue", label="fixed liquids" if k == 0 else None)  # fmt: skip
    for k, result in enumerate(found["nalsm"]):
        axes.axhline(
            result["validation with fewer training samples"],
            color="tab:green",
            label=names["nalsm"] if k == 0 else None,
        )
    ticks = [float(w) for w in found["fixed"][0]["validation by w"]]
    axes.set(xlabel="|w|", ylabel="accuracy on validation samples", xticks=ticks, xticklabels=ticks)
    axes.minorticks_off()
    axes.legend()
