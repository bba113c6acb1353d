"""Complete trainings with known results: what the command line and the demo run.

A recipe is plain hyper-parameters. Its networks are made of Conv2d (stride instead of pooling), Linear, batch
norm that folds away, and LIF neurons with reset to zero, spiking outputs included, so that they fit integer
chips. They were chosen on a validation part of the training set; the test set is read once, by
`train_recipe`, after training.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from snnkit.datasets import batches, info, load
from snnkit.datasets.augment import Shift
from snnkit.errors import UserError, nearest
from snnkit.files import prepare_folder
from snnkit.layers import BatchNorm, Conv2d, Dropout, Flatten, Linear, Sequential
from snnkit.neurons import LIF
from snnkit.neurons.surrogate import ATan
from snnkit.threads import one_thread
from snnkit.training.evaluation import Evaluation, evaluate
from snnkit.training.loop import FitResult, fit
from snnkit.training.losses import rate_cross_entropy


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters of a training on one data set.

    Attributes:
        name, dataset: the recipe's and the data set's name (`snnkit.datasets.load`).
        dt, steps: length [s] and number of time steps of a sample; later events are left out.
        channels, kernels, strides: of each convolution; the padding is kernel//2.
        hidden: units of the linear layer before the output, 0 for none.
        tau: membrane time constant [s] of all neurons.
        surrogate: α of the arctangent surrogate.
        dropout: share of the cells dropped before each linear layer.
        shift: training samples move by up to this many pixels each way.
        epochs, batch_size, lr, weight_decay: of the optimisation, see `fit`.
        scale: of `rate_cross_entropy`.
        validation: share of the training set held out to watch the training and choose the best epoch; 0
            trains on all of it and keeps the last epoch.
    """

    name: str
    dataset: str
    dt: float
    steps: int
    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    hidden: int
    tau: float
    surrogate: float = 2.0
    dropout: float
    shift: int
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float = 1e-2
    scale: float = 10.0
    validation: float = 0.0

    @property
    def sensor(self) -> tuple[int, int, int]:
        """*N of the input: polarities, height, width."""
        return info(self.dataset).sensor

    @property
    def classes(self) -> int:
        return info(self.dataset).classes


DIGITS = Recipe(
    name="digits",
    dataset="digits",
    dt=10e-3,
    steps=32,
    channels=(16, 32),
    kernels=(5, 3),
    strides=(2, 1),
    hidden=0,
    tau=30e-3,
    dropout=0.4,
    shift=0,  # the digits are centred; moving them costs accuracy
    epochs=15,
    batch_size=32,
    lr=1e-2,
)
NMNIST = Recipe(
    name="nmnist",
    dataset="nmnist",
    dt=20e-3,
    steps=16,
    channels=(16, 32, 64),
    kernels=(5, 3, 3),
    strides=(2, 2, 2),
    hidden=0,
    tau=40e-3,
    dropout=0.3,
    shift=2,
    epochs=50,
    batch_size=32,
    lr=1e-2,
)
RECIPES = {recipe.name: recipe for recipe in (DIGITS, NMNIST)}


@dataclass
class Trained:
    """One trained network: the network itself, how training went, and how good it is on the test set."""

    net: Sequential
    seed: int
    fit: FitResult
    test: Evaluation

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        return {
            "seed": self.seed,
            "test_accuracy": self.test.accuracy,
            "test": self.test.to_dict(),
            "training": self.fit.to_dict(),
        }


def recipe(name: str, **changes: Any) -> Recipe:
    """A recipe by name, some hyper-parameters changed (None changes nothing): `recipe("digits", epochs=5)`."""
    if name not in RECIPES:
        raise UserError(f"there is no recipe {name!r}; {nearest(name, RECIPES)}")
    known = Recipe.__dataclass_fields__
    for key in changes:
        if key not in known:
            raise UserError(f"a recipe has no {key!r}; {nearest(key, known)}")
    return replace(RECIPES[name], **{key: value for key, value in changes.items() if value is not None})


def build_net(recipe: Recipe, *, seed: int = 0) -> Sequential:
    """The recipe's untrained network, T B *N -> spikes T B classes; equal seeds give equal weights."""
    draw = torch.Generator().manual_seed(seed)
    channels, height, width = recipe.sensor
    layers: list[nn.Module] = []
    for out, kernel, stride in zip(recipe.channels, recipe.kernels, recipe.strides, strict=True):
        layers += [
            Conv2d(channels, out, kernel, stride=stride, padding=kernel // 2, generator=draw),
            BatchNorm(out),
            _neuron(recipe),
        ]
        channels, height, width = out, _size(height, kernel, stride), _size(width, kernel, stride)
    layers.append(Flatten())
    features = channels * height * width
    for out in (recipe.hidden, recipe.classes) if recipe.hidden else (recipe.classes,):
        layers += [
            Dropout(recipe.dropout),
            Linear(features, out, generator=draw),
            BatchNorm(out),
            _neuron(recipe),
        ]
        features = out
    return Sequential(*layers)


def _size(n: int, kernel: int, stride: int) -> int:
    """Output length of a convolution with padding kernel//2."""
    return (n + 2 * (kernel // 2) - kernel) // stride + 1


def _neuron(recipe: Recipe) -> LIF:
    return LIF(tau=recipe.tau, dt=recipe.dt, reset="zero", surrogate=ATan(alpha=recipe.surrogate))


def train_loaders(recipe: Recipe, *, seed: int = 0, root: str | Path | None = None) -> tuple[Any, Any]:
    """Loaders (train, validation) from the training set only; validation is None if none is held out."""
    data, held_out = load(recipe.dataset, "train", root=root), None
    if recipe.validation:
        data, held_out = data.split(recipe.validation, seed=seed)
    common: dict[str, Any] = {"dt": recipe.dt, "steps": recipe.steps, "batch_size": recipe.batch_size}
    augment = Shift(recipe.shift) if recipe.shift else None
    train = batches(data, shuffle=True, seed=seed, augment=augment, **common)
    return train, None if held_out is None else batches(held_out, **common)


def test_loader(recipe: Recipe, *, root: str | Path | None = None, limit: int | None = None) -> Any:
    """Loader of the test set, or of its first `limit` samples."""
    data = load(recipe.dataset, "test", root=root)
    data = data if limit is None else data.subset(slice(limit))
    return batches(data, dt=recipe.dt, steps=recipe.steps, batch_size=recipe.batch_size)


def train_one(
    recipe: Recipe,
    *,
    seed: int = 0,
    root: str | Path | None = None,
    out: str | Path | None = None,
    progress: bool = True,
    label: str | None = None,
) -> Trained:
    """Build, train and test one network. `out` and `progress` as for `fit`.

    Runs on one thread: the networks are small, and so a seed gives the same result on any number of cores.
    """
    with one_thread():
        return _train_one(recipe, seed, root, out, progress, label or f"{recipe.name}, seed {seed}")


def _train_one(recipe: Recipe, seed: int, root, out, progress: bool, label: str) -> Trained:
    train, validation = train_loaders(recipe, seed=seed, root=root)
    net = build_net(recipe, seed=seed)
    result = fit(
        net,
        train,
        validation,
        loss=partial(rate_cross_entropy, scale=recipe.scale),
        epochs=recipe.epochs,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        seed=seed,
        out=out,
        progress=progress,
        label=label,
    )
    return Trained(net, seed, result, evaluate(net, test_loader(recipe, root=root)))


def train_recipe(
    name: str,
    seeds: Iterable[int] = (0, 1, 2),
    out: str | Path | None = None,
    *,
    root: str | Path | None = None,
    progress: bool = True,
    on_trained: Callable[[Trained], None] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Train a recipe once per seed, test each network once, and report mean and spread.

    Args:
        name: "digits" or "nmnist".
        seeds: each seed covers weights, order, augmentation and dropout.
        out: folder; seed s goes to out/seed<s> (weights.safetensors, weights.json, history.csv). None writes
            nothing.
        root: where the data set's files are; see `snnkit.datasets.load`.
        progress: progress bars on stderr.
        on_trained: called with every `Trained` as soon as it is there, to keep or export the network.
        changes: hyper-parameters other than the recipe's, such as epochs=5.

    Returns a dict that JSON can hold:
        recipe: all hyper-parameters
        seeds: the seeds, in order
        accuracy: test accuracies, in order of the seeds; mean, std (of a sample, 0 for one seed), min, max of
            them
        runs: per seed `Trained.to_dict()`: test accuracy, confusion, output rates, training history
        test_samples, parameters, seconds
    """
    chosen, seeds, start = recipe(name, **changes), list(seeds), time.perf_counter()
    if not seeds:
        raise UserError("give at least one seed, such as seeds=[0]")
    for split in (
        "train",
        "test",
    ):  # a data set that is not there should be known before anything is written or trained
        load(chosen.dataset, split, root=root)
    folder = None if out is None else prepare_folder(out)
    runs = []
    for seed in seeds:
        place = None if folder is None else folder / f"seed{seed}"
        trained = train_one(chosen, seed=seed, root=root, out=place, progress=progress)
        if on_trained is not None:
            on_trained(trained)
        runs.append(trained.to_dict())
    accuracy = [run["test_accuracy"] for run in runs]
    return {
        "recipe": asdict(chosen),
        "seeds": seeds,
        "accuracy": accuracy,
        "mean": statistics.fmean(accuracy),
        "std": statistics.stdev(accuracy) if len(accuracy) > 1 else 0.0,
        "min": min(accuracy),
        "max": max(accuracy),
        "runs": runs,
        "test_samples": trained.test.n,
        "parameters": sum(p.numel() for p in trained.net.parameters()),
        "seconds": time.perf_counter() - start,
    }
