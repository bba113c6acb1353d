"""How the delays of a training are spread, epoch by epoch, and what that gave."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnkit.systems.dcls_delays.network import DT


def draw_delays(figure: Any, run: dict[str, Any]) -> None:
    """Per layer, the share of synapses with each whole delay (ms), from the first to the last epoch."""
    history = run["delays"]  # epoch, layer, delay
    axes = np.atleast_1d(figure.subplots(1, len(history[0]), sharey=True))
    for layer, axis in enumerate(axes):
        counts = np.array([epoch[layer] for epoch in history], dtype=float)
        share = counts / counts.sum(1, keepdims=True)
        edge = DT * 1e3 * (counts.shape[1] - 0.5)
        image = axis.imshow(
            share,
            aspect="auto",
            origin="lower",
            extent=(-0.5 * DT * 1e3, edge, -0.5, len(counts) - 0.5),
            cmap="viridis",
            vmax=3 / counts.shape[1],
        )
        axis.set(title=f"layer {layer + 1}: {int(counts[0].sum())} synapses", xlabel="delay [ms]")
    axes[0].set_ylabel("epoch")
    figure.colorbar(image, ax=axes, label="share of synapses")


def draw_accuracy(figure: Any, found: dict[str, list[dict[str, Any]]]) -> None:
    """Validation accuracy by epoch, mean over seeds with their range, and the test accuracy of the last epoch."""
    axis = figure.subplots()
    for arm, runs in found.items():
        valid = np.array([r["valid"] for r in runs])
        epochs = np.arange(1, valid.shape[1] + 1)
        test = np.mean([r["last"] for r in runs])
        (line,) = axis.plot(epochs, valid.mean(0), label=f"{arm} (test {test:.3f})")
        axis.fill_between(epochs, valid.min(0), valid.max(0), color=line.get_color(), alpha=0.2, linewidth=0)
    axis.set(xlabel="epoch", ylabel="validation accuracy, whole delays")
    axis.legend(fontsize="small")
