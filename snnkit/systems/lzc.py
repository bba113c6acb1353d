"""Telling spike sources apart by the complexity of a spiking network's answer (Rudnicka, Szczepanski & Pregowska 2025)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from snnkit.layers import Linear
from snnkit.liquid.complexity import lempel_ziv_complexity
from snnkit.neurons import LIF
from snnkit.systems.reproduction import Measured, Reproduction, Setting, at_least

TITLE = "Spiking network with a Lempel-Ziv readout, and learned intrinsic parameters"
SOURCE = "Rudnicka, Szczepanski & Pregowska, arXiv 2508.11674 and 2506.06750 (2025); abstracts only, no public code"
DT = 1e-3
BINS, NEURONS = 1000, 12


def bernoulli(p: float, count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Independent bins, each a spike with probability p; (count, BINS)."""
    return (rng.random((count, BINS)) < p).astype(np.uint8)


def markov(p: float, correlation: float, count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Two-state chain with mean p whose neighbouring bins have this correlation; (count, BINS)."""
    draw = rng.random((count, BINS))
    out = np.empty((count, BINS), np.uint8)
    out[:, 0] = draw[:, 0] < p
    for t in range(1, BINS):
        out[:, t] = draw[:, t] < p + correlation * (out[:, t - 1] - p)
    return out


def _sources(rng: np.random.Generator, count: int) -> dict[str, tuple[NDArray, NDArray]]:
    """By name, trains of both classes."""
    return {
        "Bernoulli, p = 0.2 or 0.25": (bernoulli(0.2, count, rng), bernoulli(0.25, count, rng)),
        "Markov of equal rate, correlation 0 or 0.6": (
            markov(0.2, 0.0, count, rng),
            markov(0.2, 0.6, count, rng),
        ),
        "Poisson, 30 or 40 Hz": (bernoulli(0.03, count, rng), bernoulli(0.04, count, rng)),
    }


def _data(rng: np.random.Generator, count: int) -> dict[str, tuple[NDArray, NDArray]]:
    labels = np.repeat([0, 1], count)
    return {name: (np.concatenate(both), labels) for name, both in _sources(rng, count).items()}


def nearest_mean(train: tuple[NDArray, NDArray], test: tuple[NDArray, NDArray]) -> float:
    """Accuracy of the class whose mean over the training samples is nearest, in units of the features' spread."""
    (x, y), (u, v) = train, test
    scale = x.std(0) + 1e-9
    means = np.stack([x[y == k].mean(0) for k in (0, 1)]) / scale
    distance = np.square(u[:, None] / scale - means[None]).sum(-1)
    return float(np.mean(distance.argmin(1) == v))


class Network(nn.Module):
    """One input, `NEURONS` LIF neurons; time constants and thresholds are learned or not."""

    def __init__(self, seed: int, *, intrinsic: bool):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.synapses = Linear(1, NEURONS, generator=generator)
        nn.init.uniform_(self.synapses.weight, 0.2, 1.0, generator=generator)
        learn = ("tau", "threshold") if intrinsic else ()
        self.neurons = LIF(
            tau=torch.full((NEURONS,), 5e-3), threshold=torch.ones(NEURONS), dt=DT, learn=learn
        )
        self.readout = nn.Linear(2 * NEURONS, 2)
        with torch.no_grad():
            for parameter in self.readout.parameters():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))

    def spikes(self, x: torch.Tensor) -> torch.Tensor:
        """`T B 1` to `T B NEURONS`."""
        return self.neurons(self.synapses(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits from what is smooth in the spikes: their rate, and how often one follows another."""
        s = self.spikes(x)
        features = torch.cat([s.mean(0), 4 * (s[1:] * s[:-1]).mean(0)], 1)
        return self.readout(8 * features)


def _train(net: Network, data: tuple[NDArray, NDArray], epochs: int, seed: int) -> None:
    x = torch.from_numpy(data[0]).float().t().unsqueeze(-1).contiguous()
    y = torch.from_numpy(data[1])
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for ids in torch.randperm(len(y), generator=generator).split(100):
            optimizer.zero_grad()
            F.cross_entropy(net(x[:, ids].contiguous()), y[ids]).backward()
            optimizer.step()


@torch.no_grad()
def _complexities(net: Network, trains: NDArray) -> NDArray:
    """(samples, NEURONS)."""
    x = torch.from_numpy(trains).float().t().unsqueeze(-1).contiguous()
    spikes = net.spikes(x).to(torch.uint8).permute(1, 2, 0).numpy()
    return lempel_ziv_complexity(spikes)


def run(setting: Setting) -> Reproduction:
    """Accuracies of the plain count, the complexity of the input, and that of a network's output; paired seeds."""
    start = time.perf_counter()
    count, epochs = (50, 2) if setting.quick else (500, 15)
    seeds = (
        setting.seeds
        if setting.quick or len(setting.seeds) >= 10
        else tuple(range(setting.seeds[0], setting.seeds[0] + 10))
    )
    found: dict[str, dict[str, list[float]]] = {}
    for seed in seeds:
        train, test = (_data(np.random.default_rng([seed, k]), count) for k in (0, 1))
        for name in train:
            setting.say(f"{name}, seed {seed}")
            for way, accuracy in _ways(train[name], test[name], seed, epochs).items():
                found.setdefault(name, {}).setdefault(way, []).append(accuracy)
    rows = _rows(found)
    return Reproduction(
        "lzc",
        TITLE,
        SOURCE,
        rows,
        "network sizes and rates of the papers are not public, so these are our own; the network is trained on rates and "
        "successions of spikes, as the complexity has no gradient, and only then read by it",
        setting,
        time.perf_counter() - start,
        {"accuracy": found},
        {"accuracy": lambda figure: _draw(figure, found)},
    )


def _ways(train: Any, test: Any, seed: int, epochs: int) -> dict[str, float]:
    counts = [(x.sum(1, keepdims=True).astype(float), y) for x, y in (train, test)]
    inputs = [(lempel_ziv_complexity(x)[:, None], y) for x, y in (train, test)]
    result = {"count": nearest_mean(*counts), "complexity of the input": nearest_mean(*inputs)}
    for intrinsic, way in (
        (False, "network, weights learned"),
        (True, "network, time constants and thresholds, too"),
    ):
        net = Network(seed, intrinsic=intrinsic)
        _train(net, train, epochs, seed)
        result[way] = nearest_mean(*((_complexities(net, x), y) for x, y in (train, test)))
    return result


def _rows(found: dict[str, dict[str, list[float]]]) -> list[Measured]:
    rows = []
    for name, ways in found.items():
        for way, values in ways.items():
            what = f"{name}: {way}"
            if name.startswith("Markov") and way == "complexity of the input":
                rows.append(at_least(what, values, 0.95, published="up to 0.995, other sources"))
            elif name.startswith("Markov") and way == "count":
                rows.append(
                    Measured(what, tuple(values), bar="at most 0.6", passed=float(np.mean(values)) <= 0.6)
                )
            else:
                rows.append(Measured(what, tuple(values)))
        fixed, learned = list(ways.values())[2:4]
        gain = tuple(100 * (b - a) for a, b in zip(fixed, learned, strict=True))
        rows.append(
            Measured(
                f"{name}: gain by learning intrinsic parameters, points",
                gain,
                "up to 13.5",
                "at least 0",
                float(np.mean(gain)) >= 0,
                "paired seeds",
            )
        )
    return rows


def _draw(figure: Any, found: dict[str, dict[str, list[float]]]) -> None:
    axes = figure.subplots()
    ways = list(next(iter(found.values())))
    for k, way in enumerate(ways):
        at = np.arange(len(found)) + 0.2 * (k - 1.5)
        values = [ways_[way] for ways_ in found.values()]
        axes.bar(at, [np.mean(v) for v in values], 0.18, yerr=[np.std(v) for v in values], label=way)
    axes.set_xticks(range(len(found)), [name.replace(", ", "\n") for name in found], fontsize=8)
    axes.set(ylabel="accuracy", ylim=(0.4, 1.0))
    axes.legend(fontsize=7, loc="lower right")
