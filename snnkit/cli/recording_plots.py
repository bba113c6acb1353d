"""A recording in one picture: frames, events over time, its last time surface, and the events in space and time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from snnkit.cli.figures import STYLE
from snnkit.datasets.transforms import Frames, SliceNumber, SliceTime, TimeSurface
from snnkit.errors import UserError
from snnkit.files import beside
from snnkit.recordings import Events

ON, OFF = "#b2182b", "#2166ac"
FRAMES, STEPS = 4, 100  # pictures in the upper row, steps of the rate
CLOUD = 15_000  # points drawn in space and time; more hide each other


def check_picture(path: Path) -> Path:
    """`path`, if a picture can be written there; found out before a long file is read."""
    known = sorted(Figure().canvas.get_supported_filetypes())
    if path.suffix.lower().lstrip(".") not in known:
        raise UserError(
            f"--plot takes the name of a picture, such as events.png; got {path} (known: {', '.join(known)})"
        )
    if not path.absolute().parent.is_dir():
        raise UserError(f"--plot {path}: the folder {path.absolute().parent} does not exist")
    return path


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all."""
    with beside(path) as temporary:
        figure.savefig(temporary, dpi=120, format=path.suffix.lower().lstrip("."))


def recording_figure(events: Events, title: str, *, seed: int = 0) -> Figure:
    """The picture of a recording that has events; `seed` draws the points that are shown in space and time.

    A row of channels, as of a cochlea, is shown as a raster instead of frames.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(12, 6.4), layout="constrained")
        if events.sensor[1] == 1:
            raster, rate = figure.subplots(2, 1, height_ratios=[2.5, 1], sharex=True)
            _raster(raster, events, seed)
            _rate(rate, events)
            figure.suptitle(title, x=0.01, ha="left")
            return figure
        parts: Any = figure.subfigures(2, 1, height_ratios=[1, 1.25])
        upper, lower = parts
        _frames(upper, events)
        left, right = lower.subfigures(1, 2, width_ratios=[1.35, 1])
        rate, surface = left.subplots(1, 2, width_ratios=[1.2, 1])
        _rate(rate, events)
        _surface(surface, events)
        _cloud(right.add_subplot(projection="3d"), events, seed)
        figure.suptitle(title, x=0.01, ha="left")
    return figure


def _frames(figure: Any, events: Events) -> None:
    counts = Frames(SliceNumber(FRAMES))(events).astype(float)
    signed = counts[:, -1] - (counts[:, 0] if counts.shape[1] > 1 else 0)  # ON minus OFF
    # most pixels have few events; a scale up to the largest count would hide them behind one that flickers
    limit = max(1.0, float(np.quantile(np.abs(signed[signed != 0]), 0.75)) if signed.any() else 1.0)
    length = (int(events.t[-1]) - int(events.t[0])) * 1e-3 / FRAMES
    for k, axis in enumerate(np.atleast_1d(figure.subplots(1, FRAMES))):
        axis.imshow(signed[k], cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axis.set_title(f"{k * length:.4g} to {(k + 1) * length:.4g} ms")
        axis.set(xticks=[], yticks=[])


def _rate(axis: Axes, events: Events) -> None:
    span = int(events.t[-1]) - int(events.t[0]) + 1
    step = max(1, -(-span // STEPS)) * 1e-6
    pieces = SliceTime(step).borders(events.t)
    sums = np.concatenate([[0], np.cumsum(events.p != 0)])
    on = sums[pieces[1]] - sums[pieces[0]]
    time = 1e3 * step * np.arange(len(on))
    off = pieces[1] - pieces[0] - on
    lines = [(on, ON, "ON"), (off, OFF, "OFF")] if events.sensor[0] > 1 else [(on + off, OFF, "events")]
    for values, colour, label in lines:
        axis.step(time, values / step * 1e-3, color=colour, where="post", label=label)
    axis.set(xlabel="time [ms]", ylabel="thousand events per second", ylim=(0, None))
    axis.set_title("rate")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


def _surface(axis: Axes, events: Events) -> None:
    tau = max((int(events.t[-1]) - int(events.t[0])) * 1e-6 / 5, 1e-6)
    surface = TimeSurface(tau)(events)
    latest = surface.max(axis=0) * np.where(surface.argmax(axis=0) == len(surface) - 1, 1, -1)
    axis.imshow(latest, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    axis.set_title(f"time surface at the end, τ = {1e3 * tau:.3g} ms")
    axis.set(xticks=[], yticks=[])


def _drawn(events: Events, seed: int, most: int) -> np.ndarray:
    """Which events are drawn, in order: all of them, or `most` by chance."""
    if len(events) <= most:
        return np.arange(len(events))
    return np.sort(np.random.default_rng(seed).choice(len(events), most, replace=False))


def _raster(axis: Axes, events: Events, seed: int) -> None:
    ids = _drawn(events, seed, 4 * CLOUD)
    colours = np.where(events.p[ids] != 0, ON, OFF)
    time = (events.t[ids] - events.t[0]) * 1e-3
    axis.scatter(time, events.x[ids], c=colours, s=2, linewidths=0, rasterized=True)
    axis.set(ylabel="channel", ylim=(-0.5, events.sensor[2] - 0.5))
    axis.set_title("spikes" if len(ids) == len(events) else f"{len(ids)} of the spikes")


def _cloud(axis: Any, events: Events, seed: int) -> None:
    ids = _drawn(events, seed, CLOUD)
    time = (events.t[ids] - events.t[0]) * 1e-3
    colours = np.where(events.p[ids] != 0, ON, OFF)
    axis.scatter(time, events.x[ids], events.y[ids], c=colours, s=3, alpha=0.6, linewidths=0, rasterized=True)
    axis.set(
        xlabel="time [ms]", ylabel="x", zlabel="y", ylim=(0, events.sensor[2]), zlim=(events.sensor[1], 0)
    )
    axis.view_init(elev=15, azim=-60)
    axis.set_box_aspect((2, 1, float(np.clip(events.sensor[1] / events.sensor[2], 0.3, 2.0))), zoom=1.2)
    for side in (axis.xaxis, axis.yaxis, axis.zaxis):
        side.set_major_locator(MaxNLocator(3))
    axis.set_title("ON and OFF events" if len(ids) == len(events) else f"{len(ids)} of the events")
