"""The networks that are compared: of one size and one order of blocks, with learned delays, fixed delays, or other memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snnkit import surrogate
from snnkit.layers import BatchNorm, DelayedLinear, Dropout, Linear, Recurrent, Sequential
from snnkit.neurons import LIF, LeakyIntegrator

DT = 10e-3
LONG, LOOP = 100e-3, 20e-3  # membranes of the arms that remember by leaking slowly, and in a loop
LEARNED, FIXED, SHORT, LONG_TAU, RECURRENT = ARMS = (
    "learned delays",
    "fixed random delays",
    "no delays, short tau",
    "no delays, long tau",
    "recurrent",
)


@dataclass(frozen=True)
class Config:
    """Sizes and schedule; defaults are those published for SHD.

    `longest` is the longest delay in steps, so that a kernel has `longest + 1` taps. `sharp` is the form of learned delays once
    their Gaussian has its final width: "gaussian", as published, or "integer", which learns with the rounding that is deployed.
    With a negative `bias`, at which normalisation starts, and then positive weights in the first layer, its neurons start as
    detectors of coincidences: one spike is not enough.
    """

    inputs: int = 140
    classes: int = 20
    hidden: tuple[int, ...] = (256, 256)
    steps: int = 140
    longest: int = 24
    tau: float = 10.05e-3  # hardly more than a step: the published network remembers by its delays alone
    dropout: float = 0.4
    epochs: int = 150
    batch: int = 256
    sharp: str = "gaussian"
    bias: float = 0.0
    shrink: float = 0.25  # share of the epochs in which the Gaussian gets narrow
    rest: float = 1.0  # share of the epochs after which delays stay as they are, and only weights learn

    @property
    def tail(self) -> int:
        """Steps by which every layer with delays answers longer than it is asked, (K - 1) // 2."""
        return self.longest // 2

    @property
    def silence(self) -> int:
        """Steps after the input in which an answer may still come; all arms have them."""
        return self.tail * (len(self.hidden) + 1)


def build(arm: str, config: Config, generator: torch.Generator) -> Sequential:
    """Blocks of synapses, batch normalisation over time and batch, LIF, dropout; then synapses and a membrane that never fires.

    The membrane is v[t] = (1 - dt/τ)·v[t-1] + x[t], with a spike at 1 that resets it to 0 and passes no gradient through the reset.
    """
    tau = {LONG_TAU: LONG, RECURRENT: LOOP}.get(arm, config.tau)
    layers: list[nn.Module] = []
    for a, b in pairwise((config.inputs, *config.hidden)):
        fire: nn.Module = LIF(
            tau=tau, dt=DT, solver="euler", reset="zero", detach_reset=True, surrogate=surrogate.ATan(5.0)
        )
        if arm == RECURRENT:
            fire = Recurrent(fire, Linear(b, b, bias=False, generator=generator))
        layers += [_synapses(arm, a, b, config, generator), _norm(b, config), fire, Dropout(config.dropout)]
    if config.bias:
        first = layers[0].weight
        assert isinstance(first, Tensor)
        first.data.abs_()
    layers += [_synapses(arm, config.hidden[-1], config.classes, config, generator)]
    return Sequential(*layers, LeakyIntegrator(tau=tau, dt=DT, solver="euler"))


def _synapses(arm: str, n_in: int, n_out: int, config: Config, generator: torch.Generator) -> nn.Module:
    layer: nn.Module
    if has_delays(arm):
        layer = DelayedLinear(
            n_in,
            n_out,
            max_delay=config.longest * DT,
            dt=DT,
            form="gaussian" if arm == LEARNED else "integer",
            learn_delays=arm == LEARNED,
            tail=config.tail * DT,
            generator=generator,
        )
    else:
        layer = Linear(n_in, n_out, bias=False, generator=generator)
    bound = math.sqrt(6 / n_in)  # Kaiming's
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
    return layer


def _norm(channels: int, config: Config) -> BatchNorm:
    layer = BatchNorm(channels)
    nn.init.constant_(layer.bias, config.bias)
    return layer


def has_delays(arm: str) -> bool:
    return arm in (LEARNED, FIXED)


def delay_layers(net: nn.Module) -> list[DelayedLinear]:
    """The layers with delays, in order."""
    return [m for m in net.modules() if isinstance(m, DelayedLinear)]


def scores(net: Any, x: Tensor, config: Config) -> Tensor:
    """Class scores `B C` of input `T B N`: the sum over time of softmax(v[t]), with as many silent steps behind it for every arm."""
    missing = 0 if delay_layers(net) else config.silence
    return net(F.pad(x, (0, 0, 0, 0, 0, missing))).softmax(2).sum(0)


def parameter_count(net: nn.Module) -> dict[str, int]:
    """Weights of synapses between layers and in loops, and delays, learned or not."""
    loops = {id(m.weight) for m in net.modules() if isinstance(m, Recurrent)}
    layers = [m for m in net.modules() if isinstance(m, DelayedLinear | Linear)]
    return {
        "synapses": sum(m.weight.numel() for m in layers if id(m) not in loops),
        "extra": sum(m.weight.numel() for m in layers if id(m) in loops),
        "delay count": sum(m.delay.numel() for m in delay_layers(net)),
    }
