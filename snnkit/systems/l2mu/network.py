"""The networks that are compared, of one number of weights where they spike, and how they are trained."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snnkit.layers import L2MU, LMU, Linear, Recurrent, Sequential
from snnkit.neurons import LIF, Decay
from snnkit.systems.l2mu.data import Data, Part

L2MU_ARM, RANDOM, LEARNED = "L2MU", "L2MU, random fixed matrices", "L2MU, learned matrices"
LOOP, GRU, ANALOG, FLAT = "recurrent LIF", "GRU, 64 units", "LMU without spikes", "linear softmax"
Pair = tuple[float, float]


@dataclass(frozen=True)
class Config:
    """Sizes and schedule. `front` is the width of the stage that makes spikes of real numbers, 0 for input that is spikes.

    u, m, h, out: (β, θ) of the populations at the start; the defaults are published for braille with 7 letters.
    """

    inputs: int
    classes: int
    dt: float
    front: int = 48
    hidden: int = 96
    memory: int = 24
    order: int = 6
    theta: int = 40
    epochs: int = 40
    batch: int = 128
    rate: float = 2e-3
    u: Pair = (0.8, 0.2)
    m: Pair = (0.2, 0.4)
    h: Pair = (0.45, 0.65)
    out: Pair = (0.6, 0.15)
    shift: int = 0  # training samples are moved in time by up to so many steps
    lost: float = 0.0  # and lose this part of their cells
    again: bool = False  # once validation has had its say, another network learns from its samples too

    @property
    def loop(self) -> int:
        """Neurons of a recurrent layer with as many weights as the Legendre memory has."""
        n_in = self.front or self.inputs
        wide = n_in + self.hidden + self.memory * self.order
        weights = (self.memory + self.hidden) * wide
        return round((-n_in + (n_in**2 + 4 * weights) ** 0.5) / 2)


class Mean(nn.Module):
    """A network of torch behind a sequence `T B N`, read out in every step."""

    def __init__(self, cell: nn.Module, read: nn.Module):
        super().__init__()
        self.cell, self.read = cell, read

    def forward(self, x: Tensor) -> Tensor:
        y = self.cell(x)
        return self.read(y[0] if isinstance(y, tuple) else y)


class Flat(nn.Linear):
    """All steps and channels of a window at once, `T B N` to `1 B C`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, 0).flatten(1)).unsqueeze(0)


def build(arm: str, config: Config, generator: torch.Generator, steps: int) -> nn.Module:
    """A network from `T B inputs` to `T B classes`; the answer is the class with the largest sum over time."""
    if arm == FLAT:
        return _drawn(Flat(steps * config.inputs, config.classes), generator)
    if arm == GRU:
        return _drawn(Mean(nn.GRU(config.inputs, 64), nn.Linear(64, config.classes)), generator)
    memory: dict[str, Any] = {
        "order": config.order, "theta": config.theta * config.dt, "dt": config.dt, "memory": config.memory,
        "generator": generator,
    }  # fmt: skip
    if arm == ANALOG:
        analog = LMU(
            config.inputs, config.hidden, **memory | {"theta": steps * config.dt}
        )  # it holds a whole window
        return Sequential(analog, Linear(config.hidden, config.classes, bias=True, generator=generator))
    n_in = config.inputs
    layers: list[nn.Module] = []
    if config.front:
        n_in = config.front
        layers = [Linear(config.inputs, n_in, bias=True, generator=generator), _lif((0.8, 0.5), config)]
    if arm == LOOP:
        n = config.loop
        back = Linear(n, n, generator=generator)
        layers += [Linear(n_in, n, generator=generator), Recurrent(_lif(config.h, config), back)]
    else:
        n = config.hidden
        spiking: dict[str, Any] = {
            "u": config.u,
            "m": config.m,
            "h": config.h,
            "learn_memory": arm == LEARNED,
        }
        cell = L2MU(n_in, n, **memory, **spiking)
        if arm == RANDOM:
            randomise(cell, generator)
        layers.append(cell)
    layers += [Linear(n, config.classes, bias=True, generator=generator), _lif(config.out, config)]
    return Sequential(*layers)


def _lif(start: Pair, config: Config) -> LIF:
    beta, theta = start
    return LIF(
        tau=Decay(beta), threshold=theta, dt=config.dt, reset_timing="next", learn=("tau", "threshold")
    )


def _drawn(net: nn.Module, generator: torch.Generator) -> nn.Module:
    """Weights drawn as torch does, but from this generator."""
    with torch.no_grad():
        for module in net.modules():
            bound = 64**-0.5 if isinstance(module, nn.GRU) else getattr(module, "in_features", 1) ** -0.5
            for p in module.parameters(recurse=False):
                p.uniform_(-bound, bound, generator=generator)
    return net


@torch.no_grad()
def randomise(cell: LMU, generator: torch.Generator) -> None:
    """Matrices drawn from the normal distribution instead of Legendre's: Ā of the same spectral radius, B̄ of the same length."""
    drawn = [torch.randn(k.shape, generator=generator, dtype=torch.float64) for k in (cell.A, cell.B)]
    cell.A.copy_(drawn[0] * (radius(cell.A) / radius(drawn[0])))
    cell.B.copy_(drawn[1] * (cell.B.norm() / drawn[1].norm()))


def radius(matrix: Tensor) -> Tensor:
    """The spectral radius."""
    return torch.linalg.eigvals(matrix.detach().double()).abs().max()


# -- training ---------------------------------------------------------------------------------------------------------


def train(
    net: nn.Module,
    data: Data,
    config: Config,
    generator: torch.Generator,
    say: Callable[[str], None],
    *,
    best: bool = True,
) -> dict:
    """Adam on the cross-entropy of the sums over time; the net is left as it was in the epoch best in validation, or in the last."""
    optimiser = torch.optim.Adam(net.parameters(), lr=config.rate)
    steps = config.epochs * -(-len(data.train.y) // config.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    most, kept, curve, rates = -1.0, copy.deepcopy(net.state_dict()), [], []
    for epoch in range(config.epochs):
        net.train()
        for ids in torch.randperm(len(data.train.y), generator=generator).split(config.batch):
            x, y = data.train.batch(ids)
            x = varied(x, config, generator)
            optimiser.zero_grad()
            F.cross_entropy(net(x).sum(0), y).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            schedule.step()
        curve.append(accuracy(net, data.valid))
        rates.append(populations(net, data.valid))
        say(f"epoch {epoch + 1} of {config.epochs}: validation {curve[-1]:.3f}")
        if curve[-1] > most:
            most, kept = curve[-1], copy.deepcopy(net.state_dict())
    last = accuracy(net, data.test)
    if best:
        net.load_state_dict(kept)
    return {"valid": most, "last": last, "curve": curve, "rates": rates}


def varied(x: Tensor, config: Config, generator: torch.Generator) -> Tensor:
    """Samples `T B N`, each moved in time (silence comes in) and with cells that are lost, as the configuration says."""
    if config.shift:
        T, B, N = x.shape
        by = torch.randint(-config.shift, config.shift + 1, (B,), generator=generator)
        source = torch.arange(T).unsqueeze(1) - by
        inside = ((source >= 0) & (source < T)).unsqueeze(2)
        x = x.gather(0, source.clamp(0, T - 1).unsqueeze(2).expand(T, B, N)) * inside
    if config.lost:
        x = x * (torch.rand(x.shape, generator=generator) >= config.lost)
    return x


@torch.no_grad()
def answers(net: nn.Module, part: Part, at_once: int = 512) -> Tensor:
    """The classes that a network finds."""
    net.eval()
    ids = torch.arange(len(part.y)).split(at_once)
    return torch.cat([net(part.batch(i)[0]).sum(0).argmax(1) for i in ids])


def accuracy(net: nn.Module, part: Part) -> float:
    """Share of right answers."""
    return float((answers(net, part) == part.y).float().mean())


@torch.no_grad()
def populations(net: nn.Module, part: Part, count: int = 64) -> dict[str, float]:
    """Spikes per neuron and step of every population, by name, over some samples; empty where nothing spikes."""
    from snnkit.activity import trace

    if not isinstance(net, Sequential):
        return {}
    with trace(net) as activity:
        net(part.batch(slice(0, count))[0])
    return {name: layer.rate for name, layer in activity.layers.items() if layer.neurons}
