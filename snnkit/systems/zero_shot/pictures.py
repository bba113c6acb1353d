"""Pictures of the zero-shot liquid: gain, read noise, and the accuracy of every pair of unseen digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from snnkit.systems.zero_shot.rows import BARS, interval

NAMES = [bar[0] for bar in BARS]


def gain(figure: Any, found: dict[str, Any]) -> None:
    """Cross-validated accuracy and activity by the standard deviation of the weights."""
    for axes, name, swept, best in zip(figure.subplots(1, 2), NAMES, found["sweeps"], found["gains"], strict=True):  # fmt: skip
        x = [row["gain"] for row in swept["sweep"]]
        axes.semilogx(x, [row["valid"] for row in swept["sweep"]], "o-", label="cross-validated accuracy")
        axes.semilogx(x, [row["rate"] for row in swept["sweep"]], "s--", label="spikes per neuron and step")
        axes.axvline(best, color="grey", lw=0.8, label="chosen")
        axes.set(title=name, xlabel="standard deviation of the weights", ylim=(0, 1))
        axes.legend(fontsize=8)


def noise(figure: Any, found: dict[str, Any]) -> None:
    """Test accuracy by read noise, mean and standard deviation over chips."""
    axes = figure.subplots()
    for name, chips in zip(NAMES, found["noise"], strict=True):
        x = [100 * row["noise"] for row in chips[0]]
        for key, style in (("accuracy", "o-"), ("learned without noise", "s--")):
            y = np.array([[row[key] for row in chip] for chip in chips])
            label = name if key == "accuracy" else f"{name}, readout learned without noise"
            axes.errorbar(x, y.mean(0), y.std(0), fmt=style, capsize=3, label=label)
    axes.set(xlabel="read noise, %", ylabel="test accuracy, ten classes")
    axes.legend(fontsize=8)


def pairs(figure: Any, found: dict[str, Any]) -> None:
    """Accuracy on two unseen digits, pair by pair, beside the shuffled control."""
    axes = figure.subplots(1, 2, width_ratios=(1, 1.2))
    chips = found["pairs"]
    names = [tuple(p["pair"]) for p in chips[0]["rotated"]]
    table = np.full((10, 10), np.nan)
    arms = {}
    for arm in ("rotated", "shuffled"):
        arms[arm] = np.mean([[p["unseen"]["nearest"] for p in c[arm]] for c in chips], 0)
    for (a, b), value in zip(names, arms["rotated"], strict=True):
        table[b, a] = value
    shown = axes[0].imshow(table, vmin=0, vmax=1, cmap="RdBu")
    axes[0].set(xticks=range(10), yticks=range(10), title="two unseen digits")
    figure.colorbar(shown, ax=axes[0], label="sound to picture")
    order = np.argsort(arms["rotated"])
    axes[1].plot(arms["rotated"][order], "o", label="unseen pairs")
    places = np.linspace(0, len(order) - 1, len(arms["shuffled"]))
    axes[1].plot(places, np.sort(arms["shuffled"]), "x", color="grey", label="shuffled control")
    mean, low, high = interval(found, "rotated")
    axes[1].axhspan(low, high, alpha=0.2, label=f"mean {mean:.3f}, 95 % {low:.3f} to {high:.3f}")
    axes[1].axhline(0.5, color="black", lw=0.8)
    if (8, 9) in names:
        place = int(np.flatnonzero(order == names.index((8, 9)))[0])
        axes[1].plot(place, arms["rotated"][names.index((8, 9))], "*", ms=12, label="8 and 9")
    axes[1].set(xlabel="pairs, sorted", ylabel="accuracy, mean of the chips", ylim=(0, 1))
    axes[1].legend(fontsize=7)


PICTURES: dict[str, Callable[[Any, dict[str, Any]], None]] = {"gain": gain, "noise": noise, "pairs": pairs}
