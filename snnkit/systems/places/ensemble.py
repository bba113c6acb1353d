"""Place recognition by modules that each learn a few places with STDP, never talk, and lose their hyperactive neurons."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnkit.liquid import Liquid
from snnkit.liquid import counts as spike_counts
from snnkit.systems import diehl_cook_network as net
from snnkit.systems.places import pictures, routes, scores
from snnkit.systems.reproduction import Measured, Reproduction, Setting, at_least

TITLE = "Place recognition with ensembles of spiking networks that learn a region each"
SOURCE = (
    "Hussaini, Milford & Fischer, RA-L 2022 (arXiv 2109.06452), ICRA 2023 (2209.08723), T-RO 2024 (2311.13186); "
    "code github.com/QVPR/VPRSNN"
)
CHOICES = {"dataset": routes.NAMES}
MODULE, NEURONS = 25, 400  # places of a module, its excitatory neurons
EPOCHS = 30  # showings of each traversal
OFF = 1.0  # a neuron cannot answer more than all references: none is removed
LIMITS = (OFF, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05)  # of the share of references that a neuron answers
Counts = NDArray[np.int64]


def trained(images: routes.Images, neurons: int, epochs: int, seed: list[int]) -> Liquid:
    """A module that has seen its places (n, inputs) so often, in random orders; weights scaled as before a showing.

    Without that last scaling the image shown last has stronger weights than all others.
    """
    rng = np.random.default_rng(seed)
    liquid = net.network(neurons, int(rng.integers(1 << 31)), pixels=images.shape[1])
    shown = np.concatenate([rng.permutation(len(images)) for _ in range(epochs)])
    liquid, _ = net.learn(liquid, images[shown], rng)
    return liquid.normalized("inputs", net.SHARE * images.shape[1])


def frozen(liquid: Liquid, *, level: bool = True) -> Liquid:
    """The module without learning; with `level` all its neurons have their mean threshold.

    With one or two images per place, thresholds come to fit exactly these images: what a neuron lacks for a changed one is
    more than what sets neurons apart, and queries are recognised hardly better than by chance.
    """
    if not level:
        return net.tested(liquid)
    n = liquid.N // 2
    theta = liquid.begin()["a"][:n]
    cell = net.neurons(n, theta=torch.full_like(theta, float(theta.mean())), jump=0.0)
    return liquid.frozen().replaced(cell)


def responses(
    liquid: Liquid, images: routes.Images, rng: np.random.Generator, *, at_once: int = 400
) -> Counts:
    """Spikes of the excitatory neurons for images (n, inputs), each shown once, at the same intensity for all modules."""
    n = liquid.N // 2
    parts = [images[a : a + at_once] for a in range(0, len(images), at_once)]
    found = [spike_counts(liquid(net.poisson(part, rng)))[:, :n].numpy() for part in parts]
    return np.rint(np.concatenate(found)).astype(np.int64)


def assigned(counts: Counts, places: Counts, n: int) -> Counts:
    """The place 0..n-1 whose images a neuron answers most on average; -1 for silent neurons."""
    means = np.stack([counts[places == p].mean(0) for p in range(n)])
    return np.where(means.sum(0) > 0, means.argmax(0), -1)


def totals(counts: Counts, classes: Counts, n: int) -> tuple[Counts, Counts]:
    """Spikes of all neurons assigned to each place, (places, queries), and how many these neurons are."""
    members = classes[None] == np.arange(n)[:, None]
    return members.astype(np.int64) @ counts.T, members.sum(1)


def module(
    references: routes.Images, queries: routes.Images, places: slice, seed: list[int], plan: dict[str, Any]
) -> dict[str, Any]:
    """Train one module and show it everything; what it answers for every limit of hyperactivity.

    Args:
        references: (traversals, places of the route, inputs), all of them.
        queries: (queries, inputs).
        places: those it learns.
        seed: of weights, order and input spikes.
        plan: neurons, epochs, and whether thresholds are levelled.
    """
    own = references[:, places]
    n, epochs = own.shape[1], plan["epochs"]
    liquid = trained(own.reshape(-1, own.shape[-1]), plan["neurons"], epochs, [*seed, 0])
    frozen_one = frozen(liquid, level=plan["level"])
    rng = np.random.default_rng([*seed, 1])
    answers = np.stack([responses(frozen_one, one, rng) for one in references])
    mine = answers[:, places].reshape(-1, answers.shape[-1])
    classes = assigned(mine, np.tile(np.arange(n), len(references)), n)
    share = (answers > 0).mean((0, 1))
    asked = responses(frozen_one, queries, rng)
    spikes, members = [], []
    for limit in LIMITS:
        kept = np.where(share > limit, -1, classes)
        sums, size = totals(asked, kept, n)
        spikes.append(sums.tolist())
        members.append(size.tolist())
    return {
        "spikes": spikes,
        "members": members,
        "spikes per query": float(asked.sum(1).mean()),
        "spikes per own place": float(mine.sum(1).mean()),
        "silent": int((classes < 0).sum()),
        "weights": np.rint(255 * np.clip(net.weights(liquid), 0, 1)).astype(int).tolist()
        if seed[1] == 0
        else [],
    }


def similarity(modules: list[dict[str, Any]], limit: int) -> scores.Matrix:
    """Mean spikes of the neurons of each place, modules one below the other; `limit` is a number of `LIMITS`."""
    return np.concatenate(
        [
            np.array(m["spikes"][limit]) / np.maximum(np.array(m["members"][limit]), 1)[:, None]
            for m in modules
        ]
    )


def run(setting: Setting) -> Reproduction:
    """Recall with and without removal of hyperactive neurons, of sequences and of the sum over seeds."""
    start = time.perf_counter()
    route = routes.load(setting)
    images = routes.contrast(route)
    neurons, epochs, size = (40, 6, 12) if setting.quick else (NEURONS, EPOCHS, MODULE)
    plan = {"neurons": neurons, "epochs": epochs, "level": True}
    found = [_modules(setting, route, images, plan, size, seed) for seed in setting.seeds]
    control = _modules(setting, route, images, {**plan, "level": False}, size, setting.seeds[0])
    plain = [similarity(m, 0) for m in found]
    limits = [_chosen(m, route) for m in found]
    removed = [similarity(m, k) for m, k in zip(found, limits, strict=True)]
    baseline = scores.absolute_differences(*images)
    matrices = {
        "all neurons": plain,
        "without hyperactive neurons": removed,
        f"sum of {len(found)} seeds, without hyperactive neurons": [np.sum(removed, axis=0)],
        "sum of absolute differences": [baseline],
    }
    kept = _chosen(control, route)
    matrices["own thresholds, all neurons"] = [similarity(control, 0)]
    matrices["own thresholds, without hyperactive neurons"] = [similarity(control, kept)]
    figures = {arm: [scores.figures(s, route) for s in each] for arm, each in matrices.items()}
    alone = [_alone(s, route, size) for s in removed]
    rows = _rows(figures, found, [LIMITS[k] for k in limits], alone, route)
    shown = {arm: each[0] for arm, each in matrices.items() if not arm.startswith("own")}
    levels = np.array(found[0][0]["weights"], np.float32)
    weights = routes.fields(levels, images[1].shape[1:])
    return Reproduction(
        "place-ensemble",
        TITLE,
        SOURCE,
        rows,
        f"{route.name}: {route.places} places, queries right within {route.tolerance} frames; the image front end is a contrast per "
        f"{'window of 7 pixels' if route.signed else 'pixel over the references'}, as on and off inputs; {plan['epochs']} showings of each reference; "
        "all neurons of a module have their mean threshold when it is asked; no rest between images, as state begins anew; "
        "no delays; a share of answered references limits hyperactivity, not a number",
        setting,
        time.perf_counter() - start,
        {
            "dataset": route.name,
            "limits": [LIMITS[k] for k in limits],
            "figures": figures,
            "single modules": alone,
        },
        pictures.drawings(route, shown, weights[:100], "weights of 100 excitatory neurons of a module"),
    )


def _modules(
    setting: Setting,
    route: routes.Route,
    images: tuple[routes.Images, routes.Images],
    plan: dict[str, Any],
    size: int,
    seed: int,
) -> list[dict[str, Any]]:
    references, queries = (routes.rates(part) for part in images)
    found = []
    for k, first in enumerate(range(0, route.places, size)):
        part = f"module {k}, seed {seed}" + ("" if plan["level"] else ", own thresholds")
        setting.say(f"{part} of {-(-route.places // size)} modules")
        places = slice(first, min(first + size, route.places))
        found.append(setting.once(part, partial(module, references, queries, places, [seed, k], plan)))
    return found


def _chosen(modules: list[dict[str, Any]], route: routes.Route) -> int:
    """The limit that recognises most calibration places; of equal ones the first, which removes least."""
    each = [scores.for_choosing(similarity(modules, k), route) for k in range(len(LIMITS))]
    return int(np.argmax(each))


def _alone(matrix: scores.Matrix, route: routes.Route, size: int) -> float:
    """Recall@1 of the modules by themselves: each is asked for its own places only."""
    right = []
    for first in range(0, route.places, size):
        near, truth = route.near[first : first + size], route.truth[first : first + size]
        judged = truth.any(0) & ~route.calibration
        if judged.any():
            right.append(scores.hits(matrix[first : first + size], near)[judged])
    return float(np.concatenate(right).mean())


def _rows(
    figures: dict[str, Any],
    found: list[list[dict[str, Any]]],
    limits: list[float],
    alone: list[float],
    route: routes.Route,
) -> list[Measured]:
    rows = [
        Measured(f"{arm}: {key}", tuple(f[key] for f in each))
        for arm, each in figures.items()
        for key in each[0]
    ]
    plain, removed, summed, baseline, own, own_removed = figures.values()
    if route.name == "procedural":
        rows.append(at_least("single modules, asked for their own places: R@1", alone, 0.75))
        rows.append(at_least("all modules: R@1", [r["R@1"] for r in removed], 0.6))
    else:
        rows.append(Measured("single modules, asked for their own places: R@1", tuple(alone)))
    for what, before, after in (("", plain, removed), (", own thresholds", own, own_removed)):
        gain = [b["R@1"] - a["R@1"] for a, b in zip(before, after, strict=True)]
        label = f"what removal adds to R@1{what}"
        rows.append(at_least(label, gain, 0.03) if route.name == "procedural" else _above(label, gain))
    best = summed[0]["R@1"] - max(r["R@1"] for r in removed)
    rows.append(at_least("what the sum of seeds adds to the best seed", [best], 0.0))
    series = [r[f"R@1 of {scores.LENGTH} in sequence"] - r["R@1"] for r in removed]
    rows.append(_above(f"what sequences of {scores.LENGTH} add to R@1", series))
    less = [r["R@1"] - baseline[0]["R@1"] for r in summed]
    rows.append(Measured("sum of seeds less the sum of absolute differences: R@1", tuple(less)))
    rows.append(Measured("limit of hyperactivity, chosen", tuple(limits)))
    for key in ("spikes per query", "spikes per own place", "silent"):
        each = tuple(float(np.mean([m[key] for m in modules])) for modules in found)
        rows.append(Measured(f"{key}, of a module", each))
    return rows


def _above(what: str, values: list[float]) -> Measured:
    return Measured(what, tuple(values), bar="above 0", passed=float(np.mean(values)) > 0)
