"""The tempotron on MNIST in a latency code, and how many random patterns it holds (Gütig & Sompolinsky 2006)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit import datasets
from snnkit.encoders.values import spikes_to_events
from snnkit.events import EventTensor
from snnkit.plasticity.tempotron import Tempotron
from snnkit.systems.reproduction import Measured, Reproduction, Setting, at_least

TITLE = "Tempotron: decisions by spike timing, MNIST in a latency code and capacity"
SOURCE = (
    "Gütig & Sompolinsky, Nat Neurosci 9:420 (2006); latency-coded digits as in public code for the tempotron"
)
DT = 1e-3
PAIRS = ((0, 1), (4, 9))
LOADS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)  # patterns per input


def latency_code(images: NDArray, *, duration: float = 0.1, dark: float = 50 / 255) -> EventTensor:
    """One spike per pixel brighter than `dark`, at round(duration (1 - p) / dt) steps: the brightest pixels first.

    Args:
        images: (B, *pixels) in [0, 1].

    Returns:
        `T B pixels`.
    """
    flat = images.reshape(len(images), -1)
    sample, pixel = np.nonzero(flat > dark)
    last = round(duration / DT)
    step = np.rint(last * (1 - flat[sample, pixel])).astype(np.int64)
    place = sample * flat.shape[1] + pixel
    return spikes_to_events(step, place, steps=last + 1, shape=flat.shape, dt=DT)


def random_patterns(
    inputs: int, patterns: int, rng: np.random.Generator, *, duration: float = 0.5
) -> EventTensor:
    """Every input fires once, at a time uniform in [0, duration)."""
    steps = round(duration / DT)
    step = rng.integers(0, steps, inputs * patterns)
    return spikes_to_events(step, np.arange(len(step)), steps=steps, shape=(patterns, inputs), dt=DT)


def run(setting: Setting) -> Reproduction:
    """Accuracy on the full test set after one or two passes over the training set, and the capacity curve."""
    start = time.perf_counter()
    parts = {split: datasets.load("mnist", split, root=setting.root) for split in ("train", "test")}
    count = {"train": 2000, "test": 500} if setting.quick else {"train": 60_000, "test": 10_000}
    data = {k: (ds.images[: count[k]], ds.labels[: count[k]]) for k, ds in parts.items()}
    rows = []
    for a, b in PAIRS:
        chosen = {k: tuple(column[np.isin(y, (a, b))] for column in (x, y)) for k, (x, y) in data.items()}
        bar = 0.99 if (a, b) == (0, 1) else 0.92
        rows.append(_accuracy(f"MNIST {a} against {b}, 2 passes", chosen, bar, setting, epochs=2, rate=2e-3))
    rows.append(_accuracy("MNIST, ten classes, 1 pass", data, 0.86, setting, epochs=1, rate=2e-3))
    curve = _capacity(setting)
    for load in (1.0, 3.0):
        learned = tuple(curve[load])
        good = min(learned) == 1 if load == 1 else max(learned) < 1
        words = "all learned" if load == 1 else "not all learned"
        rows.append(
            Measured(
                f"random patterns learned at {load:g} per input", learned, "capacity near 3", words, good
            )
        )
    return Reproduction(
        "tempotron",
        TITLE,
        SOURCE,
        rows,
        "time runs in steps of 1 ms; plain steps of a constant rate without momentum; bars are those of our own first "
        "measurements, as the paper has no MNIST",
        setting,
        time.perf_counter() - start,
        {"capacity": {f"{load:g}": values for load, values in curve.items()}},
        {"capacity": lambda figure: _draw(figure, curve)},
    )


def _accuracy(
    what: str, data: dict[str, Any], bar: float, setting: Setting, *, epochs: int, rate: float
) -> Measured:
    train, test = (latency_code(data[k][0]) for k in ("train", "test"))
    values = []
    for seed in setting.seeds:
        setting.say(f"{what}, seed {seed}")
        model = Tempotron(epochs=epochs, rate=rate, seed=seed).fit(train, data["train"][1])
        values.append(model.score(test, data["test"][1]))
    return at_least(what, values, bar, note=f"{len(data['test'][1])} test images, rate {rate:g}")


def _capacity(setting: Setting) -> dict[float, list[float]]:
    """By load, the part of random patterns with random classes that is classified right in the end, per seed."""
    inputs, epochs = (50, 100) if setting.quick else (200, 1000)
    found: dict[float, list[float]] = {}
    for load in LOADS:
        for seed in setting.seeds:
            setting.say(f"capacity, {load:g} patterns per input, seed {seed}")
            rng = np.random.default_rng([seed, round(10 * load)])
            count = round(load * inputs)
            x, y = random_patterns(inputs, count, rng), rng.permutation(np.arange(count) % 2)
            model = Tempotron(epochs=epochs, rate=1e-2, seed=seed).fit(x, y)
            found.setdefault(load, []).append(model.score(x, y))
    return found


def _draw(figure: Any, curve: dict[float, list[float]]) -> None:
    axes = figure.subplots()
    axes.errorbar(
        list(curve),
        [np.mean(v) for v in curve.values()],
        [np.std(v) for v in curve.values()],
        marker="o",
        capsize=3,
    )
    axes.set(xlabel="patterns per input", ylabel="part classified right", title="Capacity of the tempotron")
    axes.axhline(1.0, color="0.7", linewidth=1)
