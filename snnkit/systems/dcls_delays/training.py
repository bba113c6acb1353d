"""Training as published: weights and delays at their own rates and schedules, evaluation on a copy with whole delays."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snnkit import datasets
from snnkit.layers import DelayWidth, clamp_after, delay_parameters, rounded_delays
from snnkit.systems.dcls_delays.data import Task
from snnkit.systems.dcls_delays.network import (
    DT,
    LEARNED,
    RECURRENT,
    Config,
    build,
    delay_layers,
    parameter_count,
    scores,
)
from snnkit.training.evaluation import evaluating

RATE, PEAK, DECAY = 1e-3, 5e-3, 1e-5
CLIP = 1.0  # norm of the gradients of recurrent networks: without it two of three forgot everything on the way, in validation
Say = Callable[[str], None]


def loader(task: Task, part: str, seed: int | None = None) -> datasets.Batches:
    """Batches of one part; in another order in every pass if there is a seed."""
    c = task.config
    ds = {"train": task.train, "valid": task.valid, "test": task.test}[part]
    size = c.batch if part == "train" else 256
    return datasets.batches(
        ds, dt=DT, steps=c.steps, batch_size=size, shuffle=seed is not None, seed=seed or 0, dense=True
    )


def flat(x: Any) -> Tensor:
    """`T B P H W` to `T B N`."""
    return x.flatten(2)


class Schedules:
    """Two Adams: one cycle per training for the weights, a cosine at 100 times the rate for the delays; both stepped by epoch."""

    def __init__(self, net: nn.Module, epochs: int, clip: float | None = None):
        self.net, self.clip = net, clip
        groups = delay_parameters(net, lr=RATE, weight_decay=DECAY)
        positions = {id(m.delay) for m in delay_layers(net)}
        delays = [g for g in groups if id(g["params"][0]) in positions]
        self.optimisers = [torch.optim.Adam([g for g in groups if id(g["params"][0]) not in positions])]
        self.schedulers: list[Any] = [
            torch.optim.lr_scheduler.OneCycleLR(self.optimisers[0], PEAK, total_steps=epochs + 1)
        ]
        if delays:
            self.optimisers.append(torch.optim.Adam(delays))
            self.schedulers.append(torch.optim.lr_scheduler.CosineAnnealingLR(self.optimisers[1], epochs))
            clamp_after(self.optimisers[1], net)

    def step(self, loss: Tensor, *, resting: bool = False) -> None:
        """One step; delays that are `resting` stay as they are."""
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.backward()
        if (
            self.clip is not None
            and not nn.utils.clip_grad_norm_(self.net.parameters(), self.clip).isfinite()
        ):
            return  # gradients beyond float32 say nothing, not even where to
        for optimiser in self.optimisers[: 1 if resting else 2]:
            optimiser.step()

    def next_epoch(self) -> None:
        for scheduler in self.schedulers:
            scheduler.step()


def shape_delays(net: nn.Module, config: Config, epoch: int) -> None:
    """Form and width of learned delays in this epoch: a Gaussian that shrinks, in the end perhaps whole steps."""
    width = DelayWidth(config.epochs, config.shrink)
    width.apply(net, epoch)
    if config.sharp != "gaussian" and epoch >= width.part * config.epochs:
        for layer in delay_layers(net):
            if layer.form == "gaussian":
                layer.form = config.sharp


def histogram(net: nn.Module) -> list[list[int]]:
    """How many synapses of each layer have each whole delay."""
    return [
        torch.bincount((m.delay.detach() + 0.5).floor().long().flatten(), minlength=m.longest + 1).tolist()
        for m in delay_layers(net)
    ]


@torch.no_grad()
def judge(net: Any, batches: Iterable, config: Config) -> tuple[float, float]:
    """Accuracy and loss of a network as it is."""
    right, loss, count = 0, 0.0, 0
    with evaluating(net):
        for x, y in batches:
            z = scores(net, flat(x), config)
            right += int((z.argmax(1) == y).sum())
            loss += float(F.cross_entropy(z, y, reduction="sum"))
            count += len(y)
    return right / count, loss / count


def train(arm: str, task: Task, seed: int, say: Say) -> tuple[nn.Module, dict[str, Any]]:
    """Train one arm. Returns the network of the last epoch with whole delays, and what it did; the test part is looked at in the end.

    "last" is the test accuracy of that network, "chosen" that of the epoch with the best validation accuracy (of equals, the
    smaller loss).
    """
    c, start = task.config, time.perf_counter()
    net = build(arm, c, torch.Generator().manual_seed(seed))
    schedules = Schedules(net, c.epochs, CLIP if arm == RECURRENT else None)
    batches = loader(task, "train", seed)
    found: dict[str, Any] = {"loss": [], "valid": [], "delays": [histogram(net)], **parameter_count(net)}
    best: tuple[tuple[float, float], int, nn.Module] | None = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # of dropout
        for epoch in range(c.epochs):
            if arm == LEARNED:
                shape_delays(net, c, epoch)
            found["loss"].append(_pass(net, batches, schedules, c, epoch >= c.rest * c.epochs))
            rounded = rounded_delays(net)
            accuracy, loss = judge(rounded, loader(task, "valid"), c)
            found["valid"].append(accuracy)
            found["delays"].append(histogram(net))
            if best is None or (accuracy, -loss) >= best[0]:
                best = (accuracy, -loss), epoch, copy.deepcopy(rounded)
            say(f"{arm}, seed {seed}: epoch {epoch + 1} of {c.epochs}, validation {accuracy:.3f}")
    assert best is not None
    found["chosen epoch"] = best[1] + 1
    found["chosen"] = judge(best[2], loader(task, "test"), c)[0]
    found["last"] = judge(rounded, loader(task, "test"), c)[0]
    found["unrounded"] = judge(net, loader(task, "test"), c)[0]
    found["seconds"] = time.perf_counter() - start
    return rounded, found


def _pass(net: Any, batches: Iterable, schedules: Schedules, config: Config, resting: bool) -> float:
    """One epoch; the mean loss."""
    net.train()
    total, count = 0.0, 0
    for x, y in batches:
        loss = F.cross_entropy(scores(net, flat(x), config), y)
        schedules.step(loss, resting=resting)
        total, count = total + float(loss.detach()) * len(y), count + len(y)
    schedules.next_epoch()
    return total / count
