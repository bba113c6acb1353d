"""Pictures of place recognition: similarity matrices, precision over recall, weights as images."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

from snnkit.systems.places import scores
from snnkit.systems.places.routes import Images, Route


def drawings(
    route: Route, matrices: dict[str, scores.Matrix], weights: Images, title: str
) -> dict[str, Callable[[Any], None]]:
    """Functions that draw on a figure, by name; `matrices` has one similarity (places, queries) per method."""
    return {
        "similarity": lambda figure: _similarity(figure, route, matrices),
        "precision-recall": lambda figure: _curves(figure, route, matrices),
        "weights": lambda figure: _weights(figure, weights, title),
    }


def _similarity(figure: Any, route: Route, matrices: dict[str, scores.Matrix]) -> None:
    shown = {**matrices, "truth": route.near.astype(float)}
    for axes, (name, matrix) in zip(
        figure.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True
    ):
        low, high = (0, 1) if name == "truth" else np.quantile(matrix, (0.05, 0.999))
        axes.imshow(matrix, aspect="auto", cmap="magma", vmin=low, vmax=high, interpolation="nearest")
        axes.set_xlabel("query")
        axes.set_title("\n".join(textwrap.wrap(name, 20)), fontsize="small")
    figure.axes[0].set_ylabel("place")


def _curves(figure: Any, route: Route, matrices: dict[str, scores.Matrix]) -> None:
    axes = figure.subplots()
    for name, matrix in matrices.items():
        for label, one in (
            (name, matrix),
            (f"{name}, {scores.LENGTH} in sequence", scores.in_sequence(matrix)),
        ):
            precision, recall = scores.precision_recall(one, route.near, ~route.calibration)
            axes.plot(recall, precision, "--" if one is matrix else "-", label=label)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(fontsize="small")


def _weights(figure: Any, weights: Images, title: str) -> None:
    count, height, width = weights.shape
    columns = int(np.ceil(count**0.5))
    rows = -(-count // columns)
    tiles = np.full((rows * columns, height + 1, width + 1), np.nan)
    tiles[:count, :height, :width] = weights
    sheet = tiles.reshape(rows, columns, height + 1, width + 1).swapaxes(1, 2)
    axes = figure.subplots()
    axes.imshow(sheet.reshape(rows * (height + 1), -1), cmap="magma")
    axes.set_axis_off()
    axes.set_title(title)
