"""Seconds to 97 % and to 99 % on MNIST: the same network trained with snnkit, snnTorch and SpikingJelly on the CPU.

    python benchmarks/time_to_accuracy.py               all three, until 99 % or the last epoch
    python benchmarks/time_to_accuracy.py --quick       one epoch on 1 000 images, to see that it runs
    python benchmarks/time_to_accuracy.py --only snnkit --json out.json

Needs MNIST's four idx.gz files in $SNNKIT_DATA/mnist (or --data FOLDER).

All train the same thing from the same weights in the same order of batches: constant input for T steps (the image as current
into the first convolution, Rueckauer et al. 2017), 5x5 convolution 1-32 with stride 2, LIF, 3x3 convolution 32-64 with stride
2, LIF, linear 3136-128, LIF, linear 128-10, and the mean over time of the last layer as logits; cross-entropy, Adam with a
learning rate that falls linearly from epoch to epoch. Every library multiplies all steps of a layer at once, its best
way; the first convolution, whose input does not change, is computed once for all of them. Time is training alone,
without the tests on all 10 000 images after every part of an epoch.
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


def with_snntorch(weights: Weights, steps: int) -> Forward:
    import snntorch

    def layer() -> Forward:
        cell = snntorch.Leaky(
            beta=BETA,
            threshold=THRESHOLD,
            spike_grad=snntorch.surrogate.atan(alpha=ALPHA),
            reset_mechanism="subtract",
        )

        def run(x: Tensor) -> Tensor:
            mem, spikes = cell.init_leaky(), []
            for x_t in x.unbind(0):
                spike, mem = cell(x_t, mem)
                spikes.append(spike)
            return torch.stack(spikes)

        return run

    return weights.network([layer() for _ in range(3)], steps, torch_linear)


def with_spikingjelly(weights: Weights, steps: int) -> Forward:
    from spikingjelly.activation_based import functional, neuron, surrogate

    def layer() -> Forward:
        cell = neuron.LIFNode(
            tau=1 / (1 - BETA),
            decay_input=False,
            v_threshold=THRESHOLD,
            v_reset=None,
            surrogate_function=surrogate.ATan(alpha=ALPHA),
            step_mode="m",
        )

        def run(x: Tensor) -> Tensor:
            functional.reset_net(cell)
            return cell(x)

        return run

    return weights.network([layer() for _ in range(3)], steps, torch_linear)


LIBRARIES = {"snnkit": with_snnkit, "SpikingJelly": with_spikingjelly, "snnTorch": with_snntorch}


@torch.no_grad()
def accuracy(forward: Forward, images: Tensor, labels: Tensor) -> float:
    right = [
        (forward(x).argmax(1) == y).sum() for x, y in zip(images.split(250), labels.split(250), strict=True)
    ]
    return float(sum(right)) / len(labels)


def train(name: str, train_set: Any, test_set: Any, given: argparse.Namespace) -> dict[str, Any]:
    """Train until the highest goal is reached or the epochs are over."""
    weights = Weights(given.seed)
    forward = LIBRARIES[name](weights, given.steps)
    images, labels = train_set
    forward(images[:2]).sum().backward()  # compile and load, which is not training
    weights.zero_grad()
    optimizer = torch.optim.Adam(weights.parameters(), lr=given.lr)
    generator = torch.Generator().manual_seed(given.seed)
    total = given.epochs * (len(images) // given.batch)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total)
    spent, reached, curve, done = 0.0, {}, [], 0
    for _ in range(given.epochs):
        order = torch.randperm(len(images), generator=generator)
        batches = order[: len(order) // given.batch * given.batch].split(given.batch)
        for part in np.array_split(np.arange(len(batches)), given.tests):
            start = time.perf_counter()
            for i in part:
                optimizer.zero_grad()
                F.cross_entropy(forward(images[batches[i]]), labels[batches[i]]).backward()
                optimizer.step()
                schedule.step()
            spent += time.perf_counter() - start
            done += len(part)
            right = accuracy(forward, *test_set)
            curve.append({"seconds": spent, "epochs": done / len(batches), "accuracy": right})
            print(
                f"  {name}: {spent:6.1f} s, epoch {done / len(batches):.2f}, {100 * right:.2f} %", flush=True
            )
            for goal in GOALS:
                if right >= goal:
                    reached.setdefault(str(goal), spent)
            if len(reached) == len(GOALS):
                return {"reached": reached, "curve": curve}
    return {"reached": reached, "curve": curve}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one epoch on 1 000 images")
    parser.add_argument("--only", nargs="+", choices=list(LIBRARIES), default=list(LIBRARIES))
    parser.add_argument("--data", type=Path, help="folder of the idx.gz files; default $SNNKIT_DATA/mnist")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--steps", type=int, default=5, help="time steps T")
    parser.add_argument("--lr", type=float, default=3e-3)
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
    results: dict[str, Any] = {}
    for name in given.only:
        try:
            results[name] = train(name, train_set, test_set, given)
        except ImportError as error:
            print(f"left out: {name} ({error})")
    for name, r in results.items():
        goals = ", ".join(
            f"{100 * g:g} % in {r['reached'][str(g)]:.0f} s"
            if str(g) in r["reached"]
            else f"{100 * g:g} % not reached"
            for g in GOALS
        )
        best = max(point["accuracy"] for point in r["curve"])
        per_epoch = r["curve"][-1]["seconds"] / r["curve"][-1]["epochs"]
        print(f"{name}: {goals}; best {100 * best:.2f} %; {per_epoch:.1f} s per epoch")
    if given.json:
        settings = {k: v for k, v in vars(given).items() if k not in ("json", "data")}
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        record = {"settings": settings, "threads": torch.get_num_threads(), "load": load, "results": results}
        given.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
