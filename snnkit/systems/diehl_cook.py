"""Unsupervised digits: the network of Diehl and Cook (2015) on the event-driven simulator."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnkit import datasets
from snnkit.encoders.values import spikes_to_events
from snnkit.events import EventTensor
from snnkit.liquid import Liquid, Projection
from snnkit.liquid import counts as spike_counts
from snnkit.neurons import ConductanceLIF, Refractory
from snnkit.plasticity import diehl_cook_stdp
from snnkit.systems.reproduction import Measured, Reproduction, Setting, at_least

TITLE = "Unsupervised digits with spike-timing-dependent plasticity: the network of Diehl and Cook"
SOURCE = "Diehl & Cook, Front Comput Neurosci 9:99 (2015); code github.com/peter-u-diehl/stdp-mnist"
DT, SHOWN = 0.5e-3, 0.35  # s
PIXELS, TOTAL = 784, 78.0  # sum of the weights that reach a neuron
mV = 1e-3


@dataclass(frozen=True)
class Plan:
    """Sizes of one run, and what is switched off in the controls."""

    neurons: int
    train: int
    label: int
    test: int
    learning: bool = True
    adapting: bool = True
    normalising: bool = True


# -- the network ------------------------------------------------------------------------------------------------------


def neurons(n: int, *, theta: Any = 20 * mV, jump: float = 0.05 * mV, tau_theta: float = 1e4) -> Refractory:
    """n excitatory neurons, then n inhibitory ones."""
    both = lambda e, i: torch.cat([torch.as_tensor(e, dtype=torch.float32).expand(n), torch.full((n,), i)])
    cell = ConductanceLIF(
        dt=DT,
        tau=both(100e-3, 10e-3),
        e_l=both(-65 * mV, -60 * mV),
        e_i=both(-100 * mV, -85 * mV),
        threshold=both(-72 * mV, -40 * mV),
        v_reset=both(-65 * mV, -45 * mV),
        initial_a=both(theta, 0.0),
        jump=both(jump, 0.0),
        tau_a=tau_theta,
        compare=">",
    )
    return Refractory(cell, both(5e-3, 2e-3))


def network(n: int, seed: int, *, learning: bool = True, adapting: bool = True) -> Liquid:
    """784 inputs to n excitatory neurons, each with an inhibitory one that silences all others."""
    rng = np.random.default_rng(seed)
    rule = diehl_cook_stdp() if learning else None
    w = 0.3 * (rng.random(PIXELS * n) + 0.01)
    inputs = Projection.dense(PIXELS, 2 * n, post=(0, n), w=w, port="excitatory", rule=rule)
    index = np.arange(n)
    to_i = Projection((2 * n, 2 * n), index, n + index, np.full(n, 10.4), port="excitatory")
    back = np.zeros((2 * n, 2 * n))
    back[n:, :n] = 17.0 * (1 - np.eye(n))
    to_e = Projection.from_matrix(back, port="inhibitory")
    cell = neurons(n, jump=0.05 * mV if adapting else 0.0)
    return Liquid(cell, {"inputs": inputs}, {"excite": to_i, "inhibit": to_e})


def normalise(w: NDArray, n: int) -> None:
    """Scale the weights that reach a neuron to the same sum, in place."""
    table = w.reshape(PIXELS, n)
    table *= TOTAL / table.sum(0, dtype=np.float64)


def poisson(images: NDArray, rng: np.random.Generator) -> EventTensor:
    """Independent Poisson trains of 63.75 Hz for white, over the time shown; `T B 784`."""
    flat = images.reshape(len(images), -1)
    sample, pixel = np.nonzero(flat)
    counts = rng.poisson(flat[sample, pixel] * 63.75 * SHOWN)
    steps = round(SHOWN / DT)
    step = rng.integers(0, steps, counts.sum())
    place = np.repeat(sample * PIXELS + pixel, counts)
    place, step = np.divmod(np.unique(place * steps + step), steps)
    return spikes_to_events(step, place, steps=steps, shape=flat.shape, dt=DT)


# -- learning and testing ---------------------------------------------------------------------------------------------


def learn(
    liquid: Liquid, images: NDArray, plan: Plan, rng: np.random.Generator, *, at_once: int = 500
) -> Liquid:
    """Show the images one after another; weights and thresholds go on from each to the next."""
    before = (lambda _, w: normalise(w["inputs"], plan.neurons)) if plan.normalising else None
    for a in range(0, len(images), at_once):
        spikes = poisson(images[a : a + at_once], rng)
        liquid = liquid.learn(spikes, carry=("a",), before_each=before)
    return liquid


def tested(liquid: Liquid, n: int) -> Liquid:
    """The same network with weights and thresholds frozen."""
    theta = liquid.begin()["a"][:n]
    parts = {label: liquid.projection(label).replaced(rule=None) for label in liquid.labels}
    cell = neurons(n, theta=theta, jump=0.0, tau_theta=1e9)
    return Liquid(cell, {"inputs": parts.pop("inputs")}, parts)


def responses(
    liquid: Liquid, images: NDArray, n: int, rng: np.random.Generator, *, at_once: int = 500
) -> NDArray:
    """Spikes of every excitatory neuron for every image, (images, n)."""
    found = []
    for a in range(0, len(images), at_once):
        spikes = liquid(poisson(images[a : a + at_once], rng))
        found.append(spike_counts(spikes)[:, :n].numpy().astype(np.int64))
    return np.concatenate(found)


def assign(counts: NDArray, labels: NDArray) -> NDArray[np.int64]:
    """The class with the highest mean response, for every neuron; -1 for silent ones."""
    none = np.zeros(counts.shape[1])
    means = np.stack([counts[labels == k].mean(0) if (labels == k).any() else none for k in range(10)])
    return np.where(means.sum(0) > 0, means.argmax(0), -1)


def vote(counts: NDArray, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class whose neurons fire most on average."""
    means = [
        counts[:, classes == k].mean(1) if (classes == k).any() else np.zeros(len(counts)) for k in range(10)
    ]
    return np.stack(means, 1).argmax(1)


def experiment(plan: Plan, data: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train without labels, label the neurons with training images, test."""
    rng = np.random.default_rng([seed, 1])
    images, labels = data["train"]
    order = rng.permutation(len(images))
    liquid = network(plan.neurons, seed, learning=plan.learning, adapting=plan.adapting)
    start = time.perf_counter()
    if plan.learning:
        liquid = learn(liquid, images[order[: plan.train]], plan, rng)
    seconds = time.perf_counter() - start
    frozen = tested(liquid, plan.neurons)
    chosen = order[: plan.label]
    classes = assign(responses(frozen, images[chosen], plan.neurons, rng), labels[chosen])
    test_images, test_labels = (part[: plan.test] for part in data["test"])
    counts = responses(frozen, test_images, plan.neurons, rng)
    return {
        "accuracy": float(np.mean(vote(counts, classes) == test_labels)),
        "spikes per image": float(counts.sum(1).mean()),
        "silent neurons": int((classes < 0).sum()),
        "neurons per class": np.bincount(classes[classes >= 0], minlength=10).tolist(),
        "mean theta [mV]": 1e3 * float(liquid.begin()["a"][: plan.neurons].mean()),
        "ms per training image": 1e3 * seconds / max(1, plan.train) if plan.learning else 0.0,
        "weights": liquid.projection("inputs").w.reshape(PIXELS, plan.neurons).astype(np.float32),
    }


def run(setting: Setting) -> Reproduction:
    """400 neurons and 20 000 images shown once, 100 neurons, and controls."""
    start = time.perf_counter()
    data = {}
    for split in ("train", "test"):
        ds = datasets.load("mnist", split, root=setting.root)
        data[split] = (ds.images[:, 0], ds.labels)
    full = Plan(400, 20_000, 10_000, 10_000)
    if setting.quick:
        full = Plan(50, 200, 200, 200)
    fewer = replace(full, neurons=max(20, full.neurons // 4))
    plans = {
        f"{full.neurons} neurons": full,
        f"{fewer.neurons} neurons": fewer,
        "untrained weights": replace(full, learning=False),
        "thresholds that do not adapt": replace(full, adapting=False, train=full.train // 4),
        "weights that are not normalised": replace(full, normalising=False, train=full.train // 4),
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in plans}
    for seed in setting.seeds:
        for name, plan in plans.items():
            setting.say(f"{name}, seed {seed}")
            found[name].append(experiment(plan, data, seed))
    pictures = {"weights": _picture(next(iter(found.values()))[0].get("weights"))}
    for results in found.values():
        for result in results:
            result.pop("weights")
    return Reproduction(
        "diehl-cook",
        TITLE,
        SOURCE,
        _rows(found, full),
        "images follow each other without the pause of 150 ms, as membranes, conductances and traces start at rest for each; no "
        "second showing of images with fewer than five spikes; no delays; one step from excitatory to inhibitory neurons",
        setting,
        time.perf_counter() - start,
        {"runs": found},
        pictures,
    )


def _rows(found: dict[str, list[dict[str, Any]]], full: Plan) -> list[Measured]:
    rows = []
    bars = {
        f"{full.neurons} neurons": (0.85, "0.870 (several passes)"),
        "100 neurons": (0.80, "0.829 (several passes)"),
    }
    for name, results in found.items():
        values = [r["accuracy"] for r in results]
        what = f"{name}: accuracy on {full.test} test images"
        if name in bars:
            rows.append(at_least(what, values, bars[name][0], published=bars[name][1]))
        else:
            rows.append(Measured(what, tuple(values), note="a control"))
    first = next(iter(found.values()))
    for key in ("spikes per image", "silent neurons", "mean theta [mV]"):
        rows.append(Measured(f"{full.neurons} neurons: {key}", tuple(float(r[key]) for r in first)))
    times = tuple(r["ms per training image"] for r in first)
    rows.append(
        Measured(
            "ms per training image, Poisson input included", times, bar="at most 5", passed=max(times) <= 5
        )
    )
    return rows


def _picture(weights: NDArray | None) -> Any:
    def draw(figure: Any) -> None:
        count = weights.shape[1]  # type: ignore[union-attr]
        side = int(np.ceil(count**0.5))
        sheet = np.zeros((side * 28, side * 28), np.float32)
        for k in range(count):
            row, column = divmod(k, side)
            sheet[28 * row : 28 * row + 28, 28 * column : 28 * column + 28] = weights[:, k].reshape(28, 28)  # type: ignore[index]
        axes = figure.subplots()
        axes.imshow(sheet, cmap="magma")
        axes.set_axis_off()
        axes.set_title("weights of the excitatory neurons")

    return draw
