"""The figures of the report. Each takes plain numbers and gives a matplotlib Figure (no global state, no screen)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, GREY = "#2a6fbb", "#d9772b", "#2f8f5b", "#7d5ba6", "#7a7f87"
CYCLE = [BLUE, ORANGE, GREEN, PURPLE, "#b8475f", "#4aa3a2", "#9a8a3c", GREY]
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": "#9aa0a8",
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "snnkit",  # the same numbers give the same file
}


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def recording(image: np.ndarray, frames: np.ndarray, rate: np.ndarray, dt: float, label: int) -> Figure:
    """One recording: the image, ON minus OFF events of three moments, and events over time.

    Args:
        image: the still image, H x W.
        frames: signed event counts, 3 x H x W, one per saccade.
        rate: events per time step, T x 2 (OFF, ON).
        dt: duration of a step [s].
        label: the digit.
    """
    with rc_context(STYLE):
        figure = _figure(9, 2.3)
        axes = figure.subplots(1, 5, width_ratios=[1, 1, 1, 1, 2.4])
        axes[0].imshow(image, cmap="gray")
        axes[0].set_title(f"image of a {label}")
        limit = max(1.0, float(np.abs(frames).max()))
        for k in range(3):
            axes[1 + k].imshow(frames[k], cmap="RdBu_r", vmin=-limit, vmax=limit)
            axes[1 + k].set_title(f"saccade {k + 1}")
        for axis in axes[:4]:
            axis.set_xticks([])
            axis.set_yticks([])
        time = 1e3 * dt * np.arange(len(rate))
        axes[4].step(time, rate[:, 1], color="#b2182b", where="post", label="ON")
        axes[4].step(time, rate[:, 0], color="#2166ac", where="post", label="OFF")
        axes[4].set(xlabel="time [ms]", ylabel="events per step", ylim=(0, None))
        axes[4].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return figure


def training(histories: Mapping[str, Sequence[Mapping[str, float | None]]]) -> Figure:
    """Loss and accuracy against epochs, one line per seed; dashed: on samples held out for validation, if any."""
    with rc_context(STYLE):
        figure = _figure(8, 2.8)
        left, right = figure.subplots(1, 2)
        for colour, (name, history) in zip(CYCLE, histories.items(), strict=False):
            epochs = [row["epoch"] for row in history]
            for axis, key in ((left, "loss"), (right, "accuracy")):
                axis.plot(epochs, [row[key] for row in history], color=colour, label=name)
                if history[0].get(f"val_{key}") is not None:
                    axis.plot(epochs, [row[f"val_{key}"] for row in history], "--", color=colour)
        left.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
        right.set(xlabel="epoch", ylabel="accuracy while training")
        right.legend()
    return figure


def rasters(layers: Mapping[str, np.ndarray], dt: float) -> Figure:
    """Spikes of one sample, one panel per layer; `layers[name]` is T x neurons."""
    with rc_context(STYLE):
        figure = _figure(8, 0.6 + 1.25 * len(layers))
        axes = np.atleast_1d(np.asarray(figure.subplots(len(layers), 1, sharex=True)))
        for axis, (name, spikes) in zip(axes, layers.items(), strict=True):
            step, neuron = np.nonzero(spikes)
            size = float(np.clip(4000 / max(1, spikes.shape[1] * 10), 0.5, 14))
            axis.scatter(
                1e3 * dt * step, neuron, s=size, marker="|", linewidths=0.8, color=BLUE, rasterized=True
            )
            axis.set(ylim=(-0.5, spikes.shape[1] - 0.5), ylabel="neuron")
            axis.set_title(f"{name}: {len(step)} spikes from {spikes.shape[1]} neurons")
        axes[-1].set(xlabel="time [ms]", xlim=(0, 1e3 * dt * len(next(iter(layers.values())))))
    return figure


def conversion(curves: Mapping[str, Mapping[int, float]], ann: Mapping[str, float]) -> Figure:
    """Accuracy of the converted networks against time steps; dashed: the ANN each came from."""
    with rc_context(STYLE):
        figure = _figure(6, 2.8)
        axis = figure.subplots()
        for colour, (name, curve) in zip(CYCLE, curves.items(), strict=False):
            axis.plot(list(curve), list(curve.values()), "o-", color=colour, label=f"{name}, spiking")
            axis.axhline(ann[name], color=colour, linestyle="--", linewidth=1, label=f"{name}, ANN")
        axis.set_xscale("log", base=2)
        ticks = sorted({t for curve in curves.values() for t in curve})
        axis.set_xticks(ticks, [str(t) for t in ticks])
        axis.set(xlabel="time steps T", ylabel="test accuracy")
        axis.legend()
    return figure


def energy_by_chip(chips: Mapping[str, tuple[float, float, float]]) -> Figure:
    """Energy per inference by chip on a logarithmic axis; `chips[name]` = (estimate, low, high) in joules."""
    with rc_context(STYLE):
        figure = _figure(7, 0.8 + 0.36 * len(chips))
        axis = figure.subplots()
        names = sorted(chips, key=lambda name: chips[name][0])
        middle = np.array([chips[name][0] for name in names])
        low = np.array([chips[name][1] for name in names])
        high = np.array([chips[name][2] for name in names])
        span = np.clip(np.stack([middle - low, high - middle]), 0, None)
        rows = np.arange(len(names))
        axis.errorbar(middle, rows, xerr=span, fmt="o", color=BLUE, ecolor=GREY, capsize=3)
        axis.set_yticks(rows, names)
        axis.set_xscale("log")
        axis.set(xlabel="joules per inference (bar: interval of the published constants)")
        axis.grid(axis="x", color="#e3e6ea")
        axis.set_axisbelow(True)
    return figure


def energy_by_layer(chips: Mapping[str, Mapping[str, float]]) -> Figure:
    """Share of each layer in a chip's per-layer energy, one stacked bar per chip."""
    with rc_context(STYLE):
        figure = _figure(8, 1.0 + 0.36 * len(chips))
        axis = figure.subplots()
        layers = list(dict.fromkeys(layer for parts in chips.values() for layer in parts))
        start = np.zeros(len(chips))
        totals = np.array([sum(parts.values()) or 1.0 for parts in chips.values()])
        for k, layer in enumerate(layers):
            share = np.array([parts.get(layer, 0.0) for parts in chips.values()]) / totals
            axis.barh(list(chips), 100 * share, left=100 * start, color=CYCLE[k % len(CYCLE)], label=layer)
            start += share
        axis.set(xlabel="share of the dynamic energy [%]", xlim=(0, 100))
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        axis.invert_yaxis()
    return figure


def agreement(layers: Mapping[str, float], spikes: Mapping[str, tuple[float, float]]) -> Figure:
    """Float network against the integer model: identical bins, and spikes per inference of both, by layer."""
    with rc_context(STYLE):
        figure = _figure(8, 0.9 + 0.4 * len(layers))
        left, right = figure.subplots(1, 2, sharey=True)
        names = list(layers)
        rows = np.arange(len(names))
        left.barh(rows, [100 * layers[name] for name in names], color=BLUE, height=0.6)
        left.set_yticks(rows, names)
        left.set(xlabel="identical (time, neuron) bins [%]", xlim=(0, 100))
        _pairs(right, rows, [spikes[name] for name in names])
        left.invert_yaxis()
    return figure


def _pairs(axis: Axes, rows: np.ndarray, pairs: Sequence[tuple[float, float]]) -> None:
    axis.barh(rows - 0.18, [a for a, _ in pairs], color=BLUE, height=0.34, label="float")
    axis.barh(rows + 0.18, [b for _, b in pairs], color=ORANGE, height=0.34, label="integer")
    axis.set(xlabel="spikes per inference")
    axis.legend()
