"""Conversion on real data in seconds: a small CNN on scikit-learn's 8x8 handwritten digits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnkit.conversion.converter import convert
from snnkit.conversion.qcfs import with_qcfs
from snnkit.conversion.report import TIMESTEPS, accuracy_by_timesteps
from snnkit.datasets import load
from snnkit.threads import one_thread

Progress = Callable[[float], None]


class Digits(NamedTuple):
    """Images B 1 8 8 in 0..1 and labels B, as two disjoint parts."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def digits_images() -> Digits:
    """The images behind `snnkit.datasets.load("digits")`, split as there: 1437 for training, 360 for testing."""
    train, test = load("digits", "train"), load("digits", "test")
    return Digits(
        torch.from_numpy(train.images.copy()),
        torch.from_numpy(train.labels.copy()),
        torch.from_numpy(test.images.copy()),
        torch.from_numpy(test.labels.copy()),
    )


@dataclass(frozen=True)
class AnnRecipe:
    """Hyper-parameters of the ANN, chosen on a part of the training images.

    Attributes:
        channels: of the two convolutions (the second has stride 2); hidden: units of the linear layer.
        levels, theta: of the QCFS activations, see `QCFS`.
        shift: training images move by up to this many pixels each way.
    """

    channels: tuple[int, int] = (16, 32)
    hidden: int = 64
    dropout: float = 0.2
    levels: int = 8
    theta: float = 1.0
    epochs: int = 30
    batch_size: int = 64
    lr: float = 1e-2
    weight_decay: float = 1e-3
    shift: int = 1


def build_ann(recipe: AnnRecipe = AnnRecipe(), *, seed: int = 0, qcfs: bool = False) -> nn.Sequential:
    """A CNN with batch norm and ReLU, or the same with QCFS activations; equal seeds, equal first weights."""
    first, second = recipe.channels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ann = nn.Sequential(
            nn.Conv2d(1, first, 3, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(recipe.dropout),
            nn.Linear(second * 16, recipe.hidden, bias=False),
            nn.BatchNorm1d(recipe.hidden),
            nn.ReLU(),
            nn.Linear(recipe.hidden, 10),
        )
    return with_qcfs(ann, levels=recipe.levels, theta=recipe.theta) if qcfs else ann


def train_ann(
    ann: nn.Sequential,
    images: Tensor,
    labels: Tensor,
    recipe: AnnRecipe = AnnRecipe(),
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> nn.Sequential:
    """Train in place with AdamW, one-cycle cosine and random shifts; returns the ANN in evaluation mode.

    `progress`, if given, is called with the share done, 0..1, after each epoch. torch's global generator is
    put back.
    """
    steps = recipe.epochs * -(-len(labels) // recipe.batch_size)
    decayed = [p for p in ann.parameters() if p.dim() > 1]
    spared = [p for p in ann.parameters() if p.dim() <= 1]  # biases, norms and thresholds
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=steps, pct_start=0.2)
    ann.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for epoch in range(recipe.epochs):
            for batch in torch.randperm(len(labels)).split(recipe.batch_size):
                loss = F.cross_entropy(ann(_shifted(images[batch], recipe.shift)), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            if progress is not None:
                progress((epoch + 1) / recipe.epochs)
    return ann.eval()


def _shifted(images: Tensor, most: int) -> Tensor:
    """Each image moved by its own whole number of pixels, -most..most both ways, zeros coming in."""
    if most == 0:
        return images
    n, _, h, w = images.shape
    padded = F.pad(images, (most,) * 4)
    dy, dx = torch.randint(0, 2 * most + 1, (2, n, 1, 1))
    rows = torch.arange(h)[None, :, None] + dy
    columns = torch.arange(w)[None, None, :] + dx
    return padded[torch.arange(n)[:, None, None], 0, rows, columns][:, None]


def digits_conversion(
    seed: int = 0,
    *,
    timesteps: Iterable[int] = TIMESTEPS,
    recipe: AnnRecipe = AnnRecipe(),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a ReLU CNN and its QCFS twin on digits, convert both, and measure them on the test images.

    Thresholds come from training images only. Returns a dict that JSON can hold: `seed`, `recipe`, `seconds`,
    and under `methods` for "qcfs" and "percentile" what `accuracy_by_timesteps` reports, plus the
    `thresholds`. Runs on one thread, so a seed gives the same result on any number of cores.
    """
    with one_thread():
        return _digits_conversion(seed, list(timesteps), recipe, progress)


def _digits_conversion(
    seed: int, timesteps: list[int], recipe: AnnRecipe, progress: Progress | None
) -> dict[str, Any]:
    start, data = time.perf_counter(), digits_images()
    methods = {}
    for k, (method, qcfs) in enumerate([("qcfs", True), ("percentile", False)]):
        report = None if progress is None else (lambda share, k=k: progress((k + share) / 2))
        ann = build_ann(recipe, seed=seed, qcfs=qcfs)
        train_ann(ann, data.train_images, data.train_labels, recipe, seed=seed, progress=report)
        snn = convert(ann, data.train_images, method=method, timesteps=8)  # type: ignore[arg-type]
        methods[method] = {
            **accuracy_by_timesteps(ann, snn, data.test_images, data.test_labels, timesteps),
            "thresholds": snn.thresholds,
        }
    return {
        "seed": seed,
        "recipe": asdict(recipe),
        "methods": methods,
        "seconds": time.perf_counter() - start,
    }
