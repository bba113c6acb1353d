"""Pruning a heterogeneous spiking reservoir before training: Lyapunov noise pruning beside its controls (Chakraborty et al. 2024)."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeClassifier

from snnkit import datasets
from snnkit.liquid import counts, pruning
from snnkit.systems import lorenz
from snnkit.systems.lyapunov_networks import ARMS, DT, QUICK, Network, Plan, Pruner, dense_network, inputs
from snnkit.systems.reproduction import Measured, Reproduction, Setting, at_least

TITLE = "Lyapunov noise pruning: a recurrent network made sparse before it is trained"
SOURCE = "Chakraborty, Kang, Kumar & Mukhopadhyay, ICLR 2024, arXiv 2403.03409; noise rule: Moore & Chaudhuri, NeurIPS 2020"
SEEDS = 10  # initial networks, unless the caller says otherwise
ROUND, WINDOWS, PENALTY = 4, 7, 0.1  # steps per row of an image; counts; ridge, per sample
FLOOR = 1.0  # spikes, of the deviations by which counts are divided: neurons that hardly spike stay small
HOLD, PREDICTS = 5, 1e-3  # steps per sample of the Lorenz system; ridge

# -- measures ---------------------------------------------------------------------------------------------------------


def spectrum(w: np.ndarray, leading: int = 10) -> tuple[float, np.ndarray]:
    """Largest real part of the eigenvalues, and the largest absolute values."""
    values = np.linalg.eigvals(w)
    return float(values.real.max()), np.sort(np.abs(values))[::-1][:leading]


@cache
def _images(root: Any, split: str, first: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    ds = datasets.load("mnist", split, root=root).subset(slice(first, first + n))
    return ds.images.reshape(-1, 28, 28).astype(np.float32) / np.max(ds.images), np.asarray(ds.labels)


def digits(network: Network, plan: Plan, seed: int, root: Any) -> dict[str, float]:
    """Accuracy of a ridge readout of windowed counts, images shown row by row, and what a sample costs."""
    liquid = network.liquid(inputs(plan, seed, "mnist"))
    sets = (_images(root, "train", 0, plan.train), _images(root, plan.split, plan.first, plan.test))
    features, fired = [], np.zeros(liquid.N)
    for images, _ in sets:
        parts = []
        for at in range(0, len(images), 250):
            rows = images[at : at + 250].transpose(1, 0, 2)
            spikes = liquid.run(lorenz.pulses(rows, ROUND, DT), threads=1).spikes
            parts.append(counts(spikes, WINDOWS).numpy())
            fired += parts[-1].sum(0, dtype=float).reshape(WINDOWS, -1).sum(0)
        features.append(np.concatenate(parts))
    mean, scale = features[0].mean(0), np.hypot(features[0].std(0), FLOOR)
    train, test = ((f - mean) / scale for f in features)
    labels, truth = sets[0][1], sets[1][1]
    model = RidgeClassifier(alpha=PENALTY * len(labels)).fit(train, labels)
    samples = len(train) + len(test)
    out = np.bincount(network.recurrent.pre, minlength=liquid.N)
    return {
        "accuracy": float((model.predict(test) == truth).mean()),
        "operations": float(fired @ out) / samples,
        "rate": float(fired.sum()) / (samples * liquid.N * 28 * ROUND * DT),
    }


def judge(pruner: Pruner, network: Network, root: Any) -> dict[str, float]:
    """Everything that is told of one network."""
    plan, seed = pruner.plan, pruner.seed
    old, new = (spectrum(x.matrix()) for x in (pruner.whole, network.recurrent))
    found = digits(network, plan, seed, root)
    told = lorenz.predict(
        network.liquid(inputs(plan, seed, "lorenz")), HOLD, train=plan.lorenz, test=plan.judged, starts=8,
        free=plan.free, alpha=PREDICTS, seed=seed + 1000 * (plan.split == "train"),
    )  # fmt: skip
    return {
        **found,
        "nrmse": told.nrmse,
        "valid time": told.valid_time,
        "operations, Lorenz": told.operations,
        "neurons": len(network.neurons),
        "density": len(network.recurrent) / len(pruner.whole),
        "exponent": pruner.exponent(network),
        "leading eigenvalue": new[0],
        "leading error": abs(new[0] - old[0]) / abs(old[0]),
        "spectrum error": float(np.abs(new[1] - old[1]).sum() / old[1].sum()),
    }


# -- the experiment ---------------------------------------------------------------------------------------------------


def _parts(plan: Plan, seed: int) -> dict[str, Any]:
    """What is judged for one initial network: a function for each arm that makes the network."""
    pruner = cache(partial(Pruner, plan, seed))
    none = lambda: Network(
        pruner().dense.tau,
        pruner().dense.tau_syn,
        pruning.subset(pruner().whole, np.empty(0, int)),
        pruner().dense.neurons,
    )
    networks: dict[str, Callable[[], Network]] = {
        "dense": lambda: pruner().dense,
        "dense, homogeneous": lambda: dense_network(plan, seed, cv=0.0),
        "no recurrent synapses": none,
    }
    for density in plan.densities:
        for arm in ARMS:
            networks[f"{arm}, {100 * density:g} %"] = partial(_sparse, pruner, arm, density)
    retuned = plan.densities[0]
    networks[f"LNP, retuned, {100 * retuned:g} %"] = partial(_sparse, pruner, "LNP, retuned", retuned)
    return {name: (pruner, make) for name, make in networks.items()}


def _sparse(pruner: Callable[[], Pruner], arm: str, density: float) -> Network:
    return pruner().sparse(arm, density)


def _judged(pruner: Callable[[], Pruner], make: Callable[[], Network], root: Any) -> dict[str, float]:
    return judge(pruner(), make(), root)


def run(setting: Setting) -> Reproduction:
    """Accuracy and prediction of all arms at equal numbers of synapses; differences are paired by the initial network."""
    start = time.perf_counter()
    plan = QUICK if setting.quick else Plan()
    found: dict[str, list[dict[str, float]]] = {}
    for seed in setting.seeds:
        for name, (pruner, make) in _parts(plan, seed).items():
            setting.say(f"network {seed}: {name}")
            result = setting.once(f"{name}, seed {seed}", partial(_judged, pruner, make, setting.root))
            found.setdefault(name, []).append(result)
    return Reproduction(
        "lyapunov-pruning", TITLE, SOURCE, _rows(found, plan),
        f"{plan.neurons} neurons, {plan.train} training and {plan.test} test images, ridge readouts, no training of the reservoir; the published tables could "
        "not be read, and the method is reconstructed where its text says nothing (see snnkit.liquid.lyapunov_pruning); "
        f"betweenness from {plan.pivots or 'all'} sources; the controls keep the total |input| of each neuron too, but for 'weights kept'",
        setting, time.perf_counter() - start, {"arms": found},
        {"densities": lambda figure: _draw(figure, found, plan)},
    )  # fmt: skip


def interval(differences: list[float]) -> tuple[float, float, float]:
    """Mean and 95 % confidence interval (Student's t) of paired differences."""
    from scipy.stats import t

    mean, n = float(np.mean(differences)), len(differences)
    if n < 2:
        return mean, -math.inf, math.inf
    half = float(t.ppf(0.975, n - 1) * np.std(differences, ddof=1) / math.sqrt(n))
    return mean, mean - half, mean + half


def _rows(found: dict[str, list[dict[str, float]]], plan: Plan) -> list[Measured]:
    take = lambda name, key: [r[key] for r in found[name]]
    rows = []
    for name, results in found.items():
        average = lambda key, of=results: statistics.fmean(r[key] for r in of)
        note = (
            f"{average('operations'):.3g} synaptic operations per image, {average('operations, Lorenz'):.3g} per Lorenz sample; "
            f"{average('neurons'):.0f} neurons, density {average('density'):.3f}, {average('rate'):.0f} Hz; largest exponent {average('exponent'):.1f} per "
            f"second, leading eigenvalue off by {100 * average('leading error'):.1f} %, spectrum by {100 * average('spectrum error'):.1f} %"
        )
        digits_ = take(name, "accuracy")
        what = f"{name}: MNIST accuracy"
        rows.append(
            at_least(what, digits_, 0.93, note=note)
            if name == "dense"
            else Measured(what, tuple(digits_), note=note)
        )
        rows.append(Measured(f"{name}: Lorenz NRMSE, one step", tuple(take(name, "nrmse"))))
        rows.append(
            Measured(f"{name}: Lorenz valid time, free run [Lyapunov times]", tuple(take(name, "valid time")))
        )
    return rows + _comparisons(found, plan)


def _comparisons(found: dict[str, list[dict[str, float]]], plan: Plan) -> list[Measured]:
    """Differences paired by the initial network: MNIST in points, Lorenz error in percent."""

    def points(a: str, b: str, *, low: float | None = None, mean: float | None = None) -> Measured:
        pairs = zip(found[a], found[b], strict=True)
        return _margin(
            f"{a} less {b}: MNIST points",
            [100 * (x["accuracy"] - y["accuracy"]) for x, y in pairs],
            low,
            mean,
        )

    def error(a: str, b: str, most: float | None = None) -> Measured:
        percent = [100 * (x["nrmse"] / y["nrmse"] - 1) for x, y in zip(found[a], found[b], strict=True)]
        return _at_most(f"{a} over {b}: Lorenz NRMSE, %", percent, most)

    rows = [points("dense", "dense, homogeneous", mean=0.0), error("dense", "dense, homogeneous", 0.0)]
    rows += [points("dense", "no recurrent synapses"), error("dense", "no recurrent synapses")]
    for density in plan.densities:
        at = f", {100 * density:g} %"
        rows.append(points(f"LNP{at}", "dense", mean={0.5: -1.0, 0.25: -3.0}.get(density)))
        rows.append(error(f"LNP{at}", "dense", 10.0 if density == 0.5 else None))
        for arm in ARMS[:-1]:
            rows.append(points(f"LNP{at}", arm + at, low=-0.3 if arm in ("random", "magnitude") else None))
            rows.append(error(f"LNP{at}", arm + at))
        for arm in ("noise", "random, weights kept"):
            off = [100 * r["leading error"] for r in found[arm + at]]
            most = 5.0 if (arm, density) == ("noise", 0.5) else None
            rows.append(_at_most(f"{arm}{at}: leading eigenvalue off by, %", off, most))
    return rows


def _told(values: list[float]) -> str:
    mean, low, high = interval(values)
    return f"{mean:+.2f}, 95 % confidence interval {low:+.2f} to {high:+.2f}"


def _margin(what: str, values: list[float], low: float | None, mean: float | None) -> Measured:
    """Differences of which the lower end of the confidence interval, or the mean, has a bar."""
    center, lower, _ = interval(values)
    if low is not None:
        return Measured(what, tuple(values), "", f"interval from {low:g}", lower >= low, _told(values))
    if mean is not None:
        return Measured(what, tuple(values), "", f"at least {mean:g}", center >= mean, _told(values))
    return Measured(what, tuple(values), note=_told(values))


def _at_most(what: str, values: list[float], most: float | None) -> Measured:
    if most is None:
        return Measured(what, tuple(values), note=_told(values))
    return Measured(
        what, tuple(values), "", f"at most {most:g}", statistics.fmean(values) <= most, _told(values)
    )


def _draw(figure: Any, found: dict[str, list[dict[str, float]]], plan: Plan) -> None:
    axes = figure.subplots(1, 2)
    for ax, key, label in zip(
        axes, ("accuracy", "nrmse"), ("MNIST accuracy", "Lorenz NRMSE, one step"), strict=True
    ):
        for arm in ARMS:
            values = [[r[key] for r in found[f"{arm}, {100 * d:g} %"]] for d in plan.densities]
            spread = [np.std(v) for v in values]
            ax.errorbar(
                [100 * d for d in plan.densities], [np.mean(v) for v in values], spread, fmt="o-", label=arm
            )
        for name, style in (("dense", "-"), ("no recurrent synapses", ":")):
            ax.axhline(np.mean([r[key] for r in found[name]]), color="black", ls=style, label=name)
        ax.set(xscale="log", xlabel="synapses kept [%]", ylabel=label)
    axes[0].legend(fontsize=7)
