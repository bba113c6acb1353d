"""Unsupervised digits: the network of Diehl and Cook (2015) on the event-driven simulator."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit import datasets
from snnkit.systems import diehl_cook_network as net
from snnkit.systems.reproduction import Measured, Reproduction, Setting, at_least

TITLE = "Unsupervised digits with spike-timing-dependent plasticity: the network of Diehl and Cook"
SOURCE = "Diehl & Cook, Front Comput Neurosci 9:99 (2015); code github.com/peter-u-diehl/stdp-mnist"
CHOICES = {"dataset": ("mnist", "fashionmnist")}
PUBLISHED = {400: "0.870 (several passes)", 100: "0.829 (several passes)"}
BARS = {(400, 20_000): 0.85, (400, 60_000): 0.88, (100, 20_000): 0.80}  # of MNIST
GROWING = (0, 300, 1000, 3000)  # images after which weights are kept for the picture, and at the end
DRAWN = 12  # neurons of that picture
Data = dict[str, tuple[NDArray, NDArray]]


@dataclass(frozen=True)
class Plan:
    """Sizes of one run, and what is switched off in the controls."""

    neurons: int
    train: tuple[int, ...]  # tested after so many images, ascending; () for untrained weights
    label: int
    test: int
    adapting: bool = True
    normalising: bool = True


def experiment(
    plan: Plan, data: Data, seed: int, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Train without labels; name the neurons by training images; test. Figures are lists with one entry per test."""
    rng = np.random.default_rng([seed, 1])
    images = data["train"][0]
    order = rng.permutation(len(images))
    liquid = net.network(plan.neurons, seed, learning=bool(plan.train), adapting=plan.adapting)
    results, pictures = [], [_levels(liquid)[:, :DRAWN].tolist()]
    if plan.train:
        net.learn(liquid, images[:1], np.random.default_rng(0))  # compiles; what it answers is thrown away
    seconds, showings, shown = 0.0, 0, 0
    for end in plan.train:
        for stop in sorted({*(g for g in GROWING if shown < g < end), end}):
            start = time.process_time()
            liquid, count = net.learn(liquid, images[order[shown:stop]], rng, normalising=plan.normalising)
            seconds += time.process_time() - start
            showings, shown = showings + count, stop
            pictures.append(_levels(liquid)[:, :DRAWN].tolist())
            say(f"{shown} images")
        results.append(_tested(liquid, plan, data, order, rng))
    if not plan.train:
        results.append(_tested(liquid, plan, data, order, rng))
    return {
        **{key: [r[key] for r in results] for key in results[0]},
        "showings per image": showings / max(1, shown),
        "ms per training image": 1e3 * seconds / max(1, shown),
        "weights": _levels(liquid).tolist(),
        "growing": pictures,
    }


def _tested(liquid: Any, plan: Plan, data: Data, order: NDArray, rng: np.random.Generator) -> dict[str, Any]:
    frozen, (images, labels) = net.tested(liquid), data["train"]
    chosen = order[: plan.label]
    classes = net.assign(net.responses(frozen, images[chosen], rng), labels[chosen])
    test_images, test_labels = (part[: plan.test] for part in data["test"])
    counts = net.responses(frozen, test_images, rng)
    return {
        "accuracy": float(np.mean(net.vote(counts, classes) == test_labels)),
        "spikes per image": float(counts.sum(1).mean()),
        "silent neurons": int((classes < 0).sum()),
        "neurons per class": np.bincount(classes[classes >= 0], minlength=10).tolist(),
        "mean theta in mV": 1e3 * float(liquid.begin()["a"][: plan.neurons].mean()),
    }


def _levels(liquid: Any) -> NDArray[np.uint8]:
    """Weights as grey levels for pictures."""
    return np.rint(255 * np.clip(net.weights(liquid), 0, 1)).astype(np.uint8)


def _linear(count: int, data: Data) -> dict[str, Any]:
    """What a linear reader of pixels reaches with labels."""
    from sklearn.linear_model import LogisticRegression

    images, labels = (part[:count] for part in data["train"])
    reader = LogisticRegression(max_iter=100, tol=1e-3).fit(images.reshape(count, -1), labels)
    test, truth = data["test"]
    return {"accuracy": [float(np.mean(reader.predict(test.reshape(len(test), -1)) == truth))]}


def run(setting: Setting) -> Reproduction:
    """400 and 100 neurons, 20 000 images shown once; with the first seed also 60 000, and controls."""
    start = time.perf_counter()
    name = setting.dataset or CHOICES["dataset"][0]
    data: Data = {}
    for split in ("train", "test"):
        ds = datasets.load(name, split, root=setting.root)
        data[split] = (ds.images[:, 0], ds.labels)
    full = Plan(400, (20_000, 60_000), 10_000, 10_000)
    few = Plan(100, full.train[:1], full.label, full.test)
    if setting.quick:
        full, few = Plan(50, (200,), 200, 200), Plan(20, (100,), 200, 200)
    short = replace(full, train=full.train[:1])
    plans = {f"{full.neurons} neurons": full, f"{few.neurons} neurons": few}
    controls = {
        "untrained weights": replace(full, train=()),
        "thresholds that do not adapt": replace(short, adapting=False),
        "weights that are not normalised": replace(short, normalising=False),
    }
    found: dict[str, list[dict[str, Any]]] = {}
    later = {arm: replace(plan, train=plan.train[:1]) for arm, plan in plans.items()}
    for seed in setting.seeds:
        for arm, plan in (plans | controls if seed == setting.seeds[0] else later).items():
            part = f"{arm}, seed {seed}"
            make = partial(experiment, plan, data, seed, partial(_say, setting, part))
            found.setdefault(arm, []).append(setting.once(part, make))
    linear = setting.once("logistic regression", lambda: _linear(short.train[0], data))
    pictures = _pictures(found[f"{full.neurons} neurons"][0])
    for results in found.values():
        for result in results:
            del result["weights"], result["growing"]
    return Reproduction(
        "diehl-cook",
        TITLE,
        SOURCE,
        _rows(found, plans, linear, short, bars=name == "mnist"),
        "images follow each other without the pause of 150 ms, as membranes, conductances and traces start at rest for each; "
        "one pass over the images; no delays of the input; one step from excitatory to inhibitory neurons",
        setting,
        time.perf_counter() - start,
        {"dataset": name, "runs": found},
        pictures,
    )


def _say(setting: Setting, part: str, text: str) -> None:
    setting.say(f"{part}: {text}")


# -- tables and pictures ----------------------------------------------------------------------------------------------


def _rows(
    found: dict[str, list[dict[str, Any]]],
    plans: dict[str, Plan],
    linear: dict[str, Any],
    short: Plan,
    *,
    bars: bool,
) -> list[Measured]:
    rows, on = [], f"accuracy on {short.test} test images"
    for arm, plan in plans.items():
        for k, shown in enumerate(plan.train):
            values = [r["accuracy"][k] for r in found[arm] if k < len(r["accuracy"])]
            what, bar = f"{arm}, {shown} images: {on}", BARS.get((plan.neurons, shown))
            published = PUBLISHED.get(plan.neurons, "") if bars else ""
            if bars and bar is not None:
                rows.append(at_least(what, values, bar, published=published))
            else:
                rows.append(Measured(what, tuple(values), published))
    for arm in (a for a in found if a not in plans):
        images = "" if arm.startswith("untrained") else f", {short.train[0]} images"
        rows.append(Measured(f"{arm}{images}: {on}", (found[arm][0]["accuracy"][0],), note="a control"))
    note = "with labels: the ceiling of a linear reader"
    rows.append(
        Measured(
            f"logistic regression, {short.train[0]} images: accuracy", (linear["accuracy"][0],), note=note
        )
    )
    for arm in plans:
        for key in ("spikes per image", "silent neurons", "mean theta in mV"):
            rows.append(Measured(f"{arm}: {key}", tuple(float(r[key][-1]) for r in found[arm])))
        fewest = tuple(float(min(r["neurons per class"][-1])) for r in found[arm])
        rows.append(Measured(f"{arm}: neurons of the rarest class", fewest))
        rows.append(
            Measured(f"{arm}: showings per image", tuple(r["showings per image"] for r in found[arm]))
        )
    times = tuple(r["ms per training image"] for r in found[next(iter(plans))])
    what = f"{next(iter(plans))}: ms of one core per training image, input and repeats included"
    rows.append(Measured(what, times, bar="at most 5", passed=max(times) <= 5))
    return rows


def _sheet(weights: NDArray, columns: int) -> NDArray:
    """Receptive fields (pixels, n) side by side, so many in a row."""
    side, n = round(weights.shape[0] ** 0.5), weights.shape[1]
    rows = -(-n // columns)
    tiles = np.zeros((rows * columns, side, side), weights.dtype)
    tiles[:n] = weights.T.reshape(n, side, side)
    return tiles.reshape(rows, columns, side, side).swapaxes(1, 2).reshape(rows * side, columns * side)


def _pictures(result: dict[str, Any]) -> dict[str, Any]:
    weights = np.array(result["weights"], np.uint8)
    growing = [np.array(part, np.uint8) for part in result["growing"]]

    def fields(figure: Any) -> None:
        axes = figure.subplots()
        axes.imshow(_sheet(weights, int(np.ceil(weights.shape[1] ** 0.5))), cmap="magma")
        axes.set_axis_off()
        axes.set_title("weights of the excitatory neurons")

    def over_time(figure: Any) -> None:
        axes = figure.subplots()
        axes.imshow(np.concatenate([_sheet(part, DRAWN) for part in growing]), cmap="magma")
        axes.set_axis_off()
        axes.set_title("weights of twelve neurons, from before the first image (top) to the last")

    return {"weights": fields, "growing": over_time}
