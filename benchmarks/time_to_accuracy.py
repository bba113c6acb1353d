"""Seconds to 97 % and to 99 % on MNIST: the same network trained with snnkit, snnTorch and SpikingJelly on the CPU.

    python benchmarks/time_to_accuracy.py               all, until 99 % or the last epoch
    python benchmarks/time_to_accuracy.py --quick       one epoch on 1 000 images, to see that it runs
    python benchmarks/time_to_accuracy.py --only snnkit --json out.json

Needs MNIST's four idx.gz files in $SNNKIT_DATA/mnist (or --data FOLDER).

All train the same thing from the same weights in the same order of batches: constant input for T steps (the image as current
into the first convolution, Rueckauer et al. 2017), 5x5 convolution 1-32 with stride 2, LIF, 3x3 convolution 32-64 with stride
2, LIF, linear 3136-128, LIF, linear 128-10, and the mean over time of the last layer as logits; cross-entropy, Adam with a
learning rate that falls linearly from step to step. The other libraries stand there twice: as their tutorials write it, the
whole network inside a loop over time, and as well as it can be written, each layer on all steps at once and the first
convolution, whose input does not change, once for all of them (so does snnkit). They take turns after every part of an
epoch, so that a noisy machine is noisy for all. Time is training alone, without the tests on all 10 000 images.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import snnkit

BETA, DT, THRESHOLD, ALPHA = 0.8, 1e-3, 0.5, 2.0
GOALS = (0.97, 0.99)
Forward = Callable[[Tensor], Tensor]


def read_idx(path: Path) -> Tensor:
    """The whole numbers of an idx file (magic, sizes, bytes)."""
    raw = gzip.decompress(path.read_bytes())
    axes = raw[3]
    sizes = np.frombuffer(raw, ">u4", axes, 4).astype(int)
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(sizes).copy())


def mnist(folder: Path) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    parts = []
    for name in ("train", "t10k"):
        images = read_idx(folder / f"{name}-images-idx3-ubyte.gz").float().div(255).unsqueeze(1)
        parts.append((images, read_idx(folder / f"{name}-labels-idx1-ubyte.gz").long()))
    return parts[0], parts[1]


class Weights(nn.Module):
    """The synapses, plain torch layers over rows; what is between them is the library's."""

    def __init__(self, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 5, 2, 2), nn.Conv2d(32, 64, 3, 2, 1)
        self.fc1, self.fc2 = nn.Linear(64 * 7 * 7, 128), nn.Linear(128, 10)
        for layer in (self.conv1, self.conv2, self.fc1, self.fc2):
            bound = math.sqrt(3 / layer.weight[0].numel())
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.zeros_(layer.bias)

    def network(
        self, fire: list[Forward], steps: int, linear: Callable[[Tensor, nn.Linear], Tensor]
    ) -> Forward:
        """`fire`: the three layers of neurons, sequences [T, B, *N] to spikes."""

        def forward(images: Tensor) -> Tensor:
            current = self.conv1(images)
            s = fire[0](current.expand(steps, *current.shape))
            s = self.conv2(s.flatten(0, 1)).unflatten(0, s.shape[:2])
            s = fire[1](s).flatten(2)
            s = fire[2](linear(s, self.fc1))
            return self.fc2(
                s.mean(0)
            )  # the last layer is linear: the mean of its outputs is that of the mean

        return forward

    def stepwise(self, fresh: Callable[[], list[Forward]], steps: int) -> Forward:
        """The whole network in a loop over time; `fresh` gives three layers of neurons at rest, one step each call."""

        def forward(images: Tensor) -> Tensor:
            fire, total = fresh(), torch.zeros(())
            for _ in range(steps):
                s = fire[0](self.conv1(images))
                s = fire[1](self.conv2(s)).flatten(1)
                s = fire[2](self.fc1(s))
                total = total + self.fc2(s)
            return total / steps

        return forward


def torch_linear(x: Tensor, layer: nn.Linear) -> Tensor:
    return layer(x)


def with_snnkit(weights: Weights, steps: int) -> Forward:
    from snnkit.kernels.dense import spike_linear

    tau = -DT / math.log(BETA)
    neurons = [
        snnkit.LIF(tau=tau, dt=DT, threshold=THRESHOLD, surrogate=snnkit.surrogate.ATan(alpha=ALPHA))
        for _ in range(3)
    ]

    def linear(x: Tensor, layer: nn.Linear) -> Tensor:
        return spike_linear(x.flatten(0, 1), layer.weight, layer.bias).unflatten(0, x.shape[:2])

    return weights.network(list(neurons), steps, linear)


def _leaky() -> Any:
    import snntorch

    return snntorch.Leaky(
        beta=BETA,
        threshold=THRESHOLD,
        spike_grad=snntorch.surrogate.atan(alpha=ALPHA),
        reset_mechanism="subtract",
    )


def with_snntorch_documented(weights: Weights, steps: int) -> Forward:
    cells = [_leaky() for _ in range(3)]

    def at_rest(cell: Any) -> Forward:
        mem = cell.init_leaky()

        def step(x: Tensor) -> Tensor:
            nonlocal mem
            spikes, mem = cell(x, mem)
            return spikes

        return step

    return weights.stepwise(lambda: [at_rest(cell) for cell in cells], steps)


def with_snntorch(weights: Weights, steps: int) -> Forward:
    def layer() -> Forward:
        cell = _leaky()

        def run(x: Tensor) -> Tensor:
            mem, spikes = cell.init_leaky(), []
            for x_t in x.unbind(0):
                spike, mem = cell(x_t, mem)
                spikes.append(spike)
            return torch.stack(spikes)

        return run

    return weights.network([layer() for _ in range(3)], steps, torch_linear)


def _lif_node(mode: str) -> Any:
    from spikingjelly.activation_based import neuron, surrogate

    return neuron.LIFNode(
        tau=1 / (1 - BETA),
        decay_input=False,
        v_threshold=THRESHOLD,
        v_reset=None,
        surrogate_function=surrogate.ATan(alpha=ALPHA),
        step_mode=mode,
    )


def with_spikingjelly_documented(weights: Weights, steps: int) -> Forward:
    from spikingjelly.activation_based import functional

    cells = [_lif_node("s") for _ in range(3)]

    def fresh() -> list[Forward]:
        for cell in cells:
            functional.reset_net(cell)
        return list(cells)

    return weights.stepwise(fresh, steps)


def with_spikingjelly(weights: Weights, steps: int) -> Forward:
    from spikingjelly.activation_based import functional

    def layer() -> Forward:
        cell = _lif_node("m")

        def run(x: Tensor) -> Tensor:
            functional.reset_net(cell)
            return cell(x)

        return run

    return weights.network([layer() for _ in range(3)], steps, torch_linear)


LIBRARIES = {
    "snnkit": with_snnkit,
    "SpikingJelly, multi-step": with_spikingjelly,
    "SpikingJelly, as documented": with_spikingjelly_documented,
    "snnTorch, as well as can be": with_snntorch,
    "snnTorch, as documented": with_snntorch_documented,
}


@torch.no_grad()
def accuracy(forward: Forward, images: Tensor, labels: Tensor) -> float:
    right = [
        (forward(x).argmax(1) == y).sum() for x, y in zip(images.split(250), labels.split(250), strict=True)
    ]
    return float(sum(right)) / len(labels)


class Contestant:
    """One library's network in training: `part` trains on a part of an epoch and tests."""

    def __init__(self, name: str, train_set: tuple[Tensor, Tensor], given: argparse.Namespace):
        self.name, self.given = name, given
        self.images, self.labels = train_set
        weights = Weights(given.seed)
        self.forward = LIBRARIES[name](weights, given.steps)
        self.forward(self.images[:2]).sum().backward()  # compile and load, which is not training
        weights.zero_grad()
        self.optimizer = torch.optim.Adam(weights.parameters(), lr=given.lr)
        steps = given.epochs * (len(self.images) // given.batch)
        self.schedule = torch.optim.lr_scheduler.LinearLR(self.optimizer, 1.0, 0.02, steps)
        self.spent, self.done = 0.0, 0
        self.reached: dict[str, float] = {}
        self.curve: list[dict[str, float]] = []

    def part(self, batches: list[Tensor], test_set: tuple[Tensor, Tensor]) -> None:
        start = time.perf_counter()
        for ids in batches:
            self.optimizer.zero_grad()
            F.cross_entropy(self.forward(self.images[ids]), self.labels[ids]).backward()
            self.optimizer.step()
            self.schedule.step()
        self.spent += time.perf_counter() - start
        self.done += len(batches)
        epochs = self.done / (len(self.images) // self.given.batch)
        right = accuracy(self.forward, *test_set)
        self.curve.append({"seconds": self.spent, "epochs": epochs, "accuracy": right})
        print(f"  {self.name}: {self.spent:6.1f} s, epoch {epochs:.2f}, {100 * right:.2f} %", flush=True)
        for goal in GOALS:
            if right >= goal:
                self.reached.setdefault(str(goal), self.spent)


def compete(names: list[str], train_set: Any, test_set: Any, given: argparse.Namespace) -> list[Contestant]:
    """Train all of them in turns, each until it reaches the highest goal or the epochs are over."""
    field = []
    for name in names:
        try:
            field.append(Contestant(name, train_set, given))
        except ImportError as error:
            print(f"left out: {name} ({error})")
    generator = torch.Generator().manual_seed(given.seed)
    count = len(train_set[0])
    for _ in range(given.epochs):
        order = torch.randperm(count, generator=generator)
        batches = order[: count // given.batch * given.batch].split(given.batch)
        for part in np.array_split(np.arange(len(batches)), given.tests):
            for contestant in field:
                if str(GOALS[-1]) not in contestant.reached:
                    contestant.part([batches[i] for i in part], test_set)
    return field


def show(field: list[Contestant]) -> None:
    for c in field:
        goals = ", ".join(
            f"{100 * g:g} % in {c.reached[str(g)]:.0f} s"
            if str(g) in c.reached
            else f"{100 * g:g} % not reached"
            for g in GOALS
        )
        best = max(point["accuracy"] for point in c.curve)
        per_epoch = c.curve[-1]["seconds"] / c.curve[-1]["epochs"]
        ratio = per_epoch * field[0].curve[-1]["epochs"] / field[0].curve[-1]["seconds"]
        print(
            f"{c.name}: {goals}; best {100 * best:.2f} %; {per_epoch:.1f} s per epoch, "
            f"{ratio:.2f}x {field[0].name}'s"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one epoch on 1 000 images")
    parser.add_argument("--only", nargs="+", choices=list(LIBRARIES), default=list(LIBRARIES))
    parser.add_argument("--data", type=Path, help="folder of the idx.gz files; default $SNNKIT_DATA/mnist")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--steps", type=int, default=5, help="time steps T")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tests", type=int, default=4, help="tests per epoch")
    parser.add_argument("--threads", type=int, help="threads of torch; default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    folder = given.data or Path(os.environ.get("SNNKIT_DATA", ".")) / "mnist"
    if not (folder / "train-images-idx3-ubyte.gz").exists():
        parser.error(f"no MNIST in {folder}: give its folder with --data, or set SNNKIT_DATA")
    train_set, test_set = mnist(folder)
    if given.quick:
        given.epochs, given.tests = 1, 1
        train_set, test_set = ((x[:1000], y[:1000]) for x, y in (train_set, test_set))
    field = compete(given.only, train_set, test_set, given)
    show(field)
    if given.json:
        settings = {k: v for k, v in vars(given).items() if k not in ("json", "data")}
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        results = {c.name: {"reached": c.reached, "curve": c.curve} for c in field}
        record = {"settings": settings, "threads": torch.get_num_threads(), "load": load, "results": results}
        given.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
