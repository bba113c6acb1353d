"""Continual learning by Hebbian orthogonal projection on permuted MNIST (Xiao et al. 2024, ICLR)."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snnkit import datasets, surrogate
from snnkit.neurons import LIF
from snnkit.plasticity.hebbian import ShieldedLinear
from snnkit.systems.reproduction import Measured, Reproduction, Setting, at_least

TITLE = "HLOP: continual learning by Hebbian orthogonal projection, permuted MNIST"
SOURCE = "Xiao, Meng, Zhang, Wang & Lin, ICLR 2024, arXiv 2402.11984; code github.com/pkuxmq/HLOP-SNN"
STEPS, BATCH, RATE, HIDDEN = 6, 64, 0.1, 400
# New lateral neurons at the inputs of the three layers, task by task: fewer as the layers fill up.
ROWS = ((80, 100, 60), (70, 40, 30), (70, 40, 30), (50, 30, 20), (50, 30, 20))
PUBLISHED = {"hlop": "95.15 %, BWT -1.30 (10 tasks)", "sequential": "70.61 %, BWT -28.88 (10 tasks)"}
Subspace = Callable[["Network", Tensor, int, torch.Generator], None]


class Network(nn.Module):
    """784-400-400-10 without bias; the image is the current of every step, the answer the mean of the last layer."""

    def __init__(self, generator: torch.Generator):
        super().__init__()
        sizes = (784, HIDDEN, HIDDEN, 10)
        self.synapses = [ShieldedLinear(a, b, generator=generator) for a, b in pairwise(sizes)]
        self.layers = nn.ModuleList(self.synapses)
        fire = surrogate.Triangle()
        self.neurons = nn.ModuleList(LIF(tau=5e-3, dt=1e-3, surrogate=fire) for _ in range(2))

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits `B 10`, and what came in at each layer, averaged over time."""
        first, second, last = self.synapses
        current = first(images.unsqueeze(0))
        s = self.neurons[0](current.expand(STEPS, *current.shape[1:]))
        rates = [images, s.detach().mean(0)]
        s = self.neurons[1](second(s))
        rates.append(s.detach().mean(0))
        return last(s.mean(0, keepdim=True))[0], rates


# -- where the subspace comes from ------------------------------------------------------------------------------------


def _grow(net: Network, x: Tensor, task: int, generator: torch.Generator) -> None:
    """Before a task: new orthogonal rows drawn by chance. Without learning they stay so."""
    for layer, rows in zip(net.synapses, ROWS[task], strict=True):
        layer.subspace.grow(rows, generator)


@torch.no_grad()
def _by_svd(net: Network, x: Tensor, task: int, generator: torch.Generator) -> None:
    """After a task: the leading directions of what the frozen rows leave over (as GPM, Saha et al. 2021)."""
    _, rates = net(x[:3000])
    for layer, rate, rows in zip(net.synapses, rates, ROWS[task], strict=True):
        subspace = layer.subspace
        subspace.frozen = subspace.rows
        subspace.learning = (
            torch.linalg.svd(subspace.outside(rate), full_matrices=False).Vh[:rows].contiguous()
        )


# name: (before a task, after a task, whether the rows learn on every batch)
ARMS: dict[str, tuple[Subspace | None, Subspace | None, bool]] = {
    "hlop": (_grow, None, True),
    "sequential": (None, None, False),
    "random subspace": (_grow, None, False),
    "subspace by SVD": (None, _by_svd, False),
}
PAIRED = ("hlop", "sequential")  # with every seed; the controls with the first


# -- the experiment ---------------------------------------------------------------------------------------------------


def _train(
    arm: str, data: dict[str, Any], tasks: int, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Accuracy[i][j] on task j after task i, and checks of the subspace."""
    begin, end, learns = ARMS[arm]
    generator = torch.Generator().manual_seed(seed)
    orders = [
        torch.randperm(784, generator=torch.Generator().manual_seed(1000 * seed + k)) for k in range(tasks)
    ]
    net = Network(generator)
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    (images, labels), test = data["train"], data["test"]
    accuracy: list[list[float]] = []
    checks: dict[str, float] = {}
    shielded: list[float] = []
    for task, order in enumerate(orders):
        say(f"{arm}, seed {seed}, task {task + 1} of {tasks}")
        x = images[:, order]
        if begin is not None:
            begin(net, x, task, generator)
        if learns and task:
            shielded.append(protection(net, x, labels, images[:1000, orders[0]]))
        for ids in torch.randperm(len(x), generator=generator).split(BATCH):
            optimizer.zero_grad()
            logits, rates = net(x[ids])
            F.cross_entropy(logits, labels[ids]).backward()
            optimizer.step()
            if learns:
                for layer, rate in zip(net.synapses, rates, strict=True):
                    layer.subspace.learn(rate)
        if end is not None:
            end(net, x, task, generator)
        if learns and not task:
            checks = subspace_checks(net, x)
        accuracy.append([_accuracy(net, test[0][:, o], test[1]) for o in orders[: task + 1]])
    return {"accuracy": accuracy, **checks, **({"protection": shielded} if shielded else {})}


@torch.no_grad()
def _accuracy(net: Network, images: Tensor, labels: Tensor) -> float:
    answers = torch.cat([net(part)[0].argmax(1) for part in images.split(1000)])
    return float((answers == labels).float().mean())


@torch.no_grad()
def subspace_checks(net: Network, x: Tensor) -> dict[str, float]:
    """How far the rows are from orthonormal, and how much less of the activity's energy they explain than an SVD would."""
    _, rates = net(x[:2000])
    found = {}
    for k, (layer, rate) in enumerate(zip(net.synapses, rates, strict=True)):
        rows = layer.subspace.rows
        found[f"orthonormal {k}"] = float((rows @ rows.t() - torch.eye(len(rows))).norm() / len(rows) ** 0.5)
        best = torch.linalg.svdvals(rate).square()
        explained = float((rate @ rows.t()).square().sum() / rate.square().sum())
        found[f"explained {k}"] = explained
        found[f"explained by SVD {k}"] = float(best[: len(rows)].sum() / best.sum())
    return found


def protection(net: Network, x: Tensor, labels: Tensor, old: Tensor, batches: int = 10) -> float:
    """How many times less one update on a new batch moves the logits of old input than without the shield (root mean square)."""
    moved = []
    with torch.no_grad():
        before = net(old)[0]
    for shield in (False, True):
        total = 0.0
        for k in range(batches):
            tried = copy.deepcopy(net)
            if not shield:
                for layer in tried.synapses:
                    layer.subspace.frozen = layer.subspace.frozen[:0]
            ids = slice(k * BATCH, (k + 1) * BATCH)
            optimizer = torch.optim.SGD(tried.parameters(), lr=RATE)
            optimizer.zero_grad()
            F.cross_entropy(tried(x[ids])[0], labels[ids]).backward()
            optimizer.step()
            with torch.no_grad():
                total += float((tried(old)[0] - before).square().mean().sqrt())
        moved.append(total)
    return moved[0] / max(moved[1], 1e-12)


def run(setting: Setting) -> Reproduction:
    """Mean accuracy over all tasks after the last one, and backward transfer, for all arms; checks of subspace and shield."""
    start = time.perf_counter()
    count, tasks = ((1000, 500), 2) if setting.quick else ((60_000, 10_000), 5)
    data = {}
    for split, n in zip(("train", "test"), count, strict=True):
        ds = datasets.load("mnist", split, root=setting.root).subset(slice(0, n))
        data[split] = (
            (torch.from_numpy(ds.images).flatten(1) - 0.1307) / 0.3081,
            torch.from_numpy(ds.labels),
        )
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in setting.seeds:
        for arm in ARMS if seed == setting.seeds[0] else PAIRED:
            part = partial(_train, arm, data, tasks, seed, setting.say)
            found.setdefault(arm, []).append(setting.once(f"{arm}, seed {seed}", part))
    return Reproduction(
        "hlop",
        TITLE,
        SOURCE,
        _rows(found),
        f"{tasks} tasks instead of 10, two hidden layers of {HIDDEN} instead of 800, {STEPS} steps with a surrogate gradient instead of "
        "20 with the gradient of rates; Hebbian steps relative to the power of the activity; published digits from a summary of the paper",
        setting,
        time.perf_counter() - start,
        {"arms": found},
        {"forgetting": lambda figure: _draw(figure, found)},
    )


def mean_accuracy(result: dict[str, Any]) -> float:
    """Over all tasks, after the last."""
    last = result["accuracy"][-1]
    return sum(last) / len(last)


def backward_transfer(result: dict[str, Any]) -> float:
    """What learning later tasks did to the earlier ones; negative is forgetting."""
    table = result["accuracy"]
    last = len(table) - 1
    return sum(table[last][j] - table[j][j] for j in range(last)) / last


def newly_learned(result: dict[str, Any]) -> float:
    """Mean accuracy on each task right after it was learned."""
    return sum(row[-1] for row in result["accuracy"]) / len(result["accuracy"])


def _rows(found: dict[str, list[dict[str, Any]]]) -> list[Measured]:
    rows = []
    for arm, results in found.items():
        accuracy, transfer = [mean_accuracy(r) for r in results], [backward_transfer(r) for r in results]
        published = PUBLISHED.get(arm, "")
        if arm == "hlop":
            rows.append(at_least(f"{arm}: mean accuracy", accuracy, 0.93, published=published))
            rows.append(at_least(f"{arm}: backward transfer", transfer, -0.02, published=published))
        else:
            rows.append(Measured(f"{arm}: mean accuracy", tuple(accuracy), published))
            forgets = sum(transfer) / len(transfer) <= -0.08 if arm == "sequential" else None
            bar = "at most -0.08" if arm == "sequential" else ""
            rows.append(Measured(f"{arm}: backward transfer", tuple(transfer), published, bar, forgets))
    checks = found["hlop"]
    lost = [newly_learned(b) - newly_learned(a) for a, b in zip(checks, found["sequential"], strict=True)]
    what = "accuracy on a task just learned: sequential above hlop"
    fine = sum(lost) / len(lost) <= 0.015
    rows.append(Measured(what, tuple(lost), bar="at most 0.015", passed=fine))
    spared = [sum(r["protection"]) / len(r["protection"]) for r in checks]
    rows.append(at_least("an update moves the logits of task 1 so many times less", spared, 10))
    for k in range(3):
        off = tuple(r[f"orthonormal {k}"] for r in checks)
        rows.append(
            Measured(
                f"layer {k + 1}: |HHᵀ - 1| / √M after the first task",
                off,
                bar="below 0.1",
                passed=max(off) < 0.1,
            )
        )
        short = tuple(r[f"explained by SVD {k}"] - r[f"explained {k}"] for r in checks)
        rows.append(
            Measured(
                f"layer {k + 1}: energy explained less than by SVD",
                short,
                bar="at most 0.05",
                passed=max(short) <= 0.05,
            )
        )
    return rows


def _draw(figure: Any, found: dict[str, list[dict[str, Any]]]) -> None:
    axes = figure.subplots()
    for arm, results in found.items():
        tables = [r["accuracy"] for r in results]
        curve = [sum(sum(t[i]) / len(t[i]) for t in tables) / len(tables) for i in range(len(tables[0]))]
        axes.plot(range(1, len(curve) + 1), curve, "o-", label=arm)
    axes.set(
        xlabel="tasks learned",
        ylabel="mean accuracy on them",
        title="Permuted MNIST, one task after the other",
    )
    axes.legend()
