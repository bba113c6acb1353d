"""Liquids on which the laws of the simulator are tried: every rule, in networks at sane rates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from laws import without_compiler

from snnkit.events import EventTensor
from snnkit.kernels.simulator import run as simulator_run
from snnkit.kernels.simulator.synapses import PART
from snnkit.liquid import Liquid, Projection
from snnkit.neurons import LIF, Refractory, TwoPoint
from snnkit.plasticity import (
    Modulators,
    Rule,
    Trace,
    anti_hebbian_stdp,
    astrocyte,
    astrocyte_stdp,
    bcm,
    clocked_eligibility_stdp,
    clopath_stdp,
    diehl_cook_stdp,
    dopamine,
    eligibility_stdp,
    homeostatic_stdp,
    oja,
    pair_stdp,
    reward_stdp,
    short_term,
    symmetric_stdp,
    triplet_stdp,
    where,
)

MS = 1e-3
M, N, T, B = 12, 20, 100, 2


def poisson(steps=T, batch=B, channels=M, rate_hz=40.0, seed=0, dt=MS):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(steps, batch, channels, generator=generator) < rate_hz * dt
    return EventTensor.from_dense(x.float(), dt)


def cell(**options):
    return Refractory(LIF(tau=20 * MS, dt=MS, reset="zero", **options), t_ref=3 * MS)


@dataclass(frozen=True)
class Case:
    name: str
    rule: Rule | None
    modulators: Modulators | None = None
    reward: bool = False
    changes: bool = True  # weights
    neuron: Any = None
    options: dict = field(default_factory=dict)

    def __str__(self):
        return self.name

    def build(self, *, dense=False, dtype=torch.float32, scale=1.0):
        """Inputs all to all; recurrent ones with delays, excitatory and inhibitory, or all to all."""
        neuron = (self.neuron or cell)()
        w_in, w_rec = self.options.get("w", ((0.0, 0.35), (0.0, 0.2)))
        w_rec = tuple(0.15 * w for w in w_rec) if dense else w_rec
        rec = {"w": w_rec, "rule": self.rule, "seed": 2}
        if dense:
            recurrent = Projection.dense(N, N, delay=2 * MS, **rec)
        else:
            recurrent = Projection.random(
                N, N, p=0.3, delay=(1 * MS, 6 * MS), inhibitory=self.options.get("inhibitory"), **rec
            )  # fmt: skip
        inputs = Projection.dense(M, N, w=w_in, rule=self.options.get("input_rule", self.rule), seed=1)
        return Liquid(neuron, inputs, recurrent, self.modulators, dense=None if dense else False).to(dtype)

    def signals(self, steps=T, batch=B):
        if not self.reward:
            return None
        g = np.random.default_rng(5)
        return {"reward": g.choice([0.0, 0.0, 0.0, 1.0, -0.5], (steps, batch))}


def voltage():
    return LIF(tau=20 * MS, dt=MS, reset_timing="next")


EVERYTHING = Rule(  # every kind of name that a rule may use
    traces={"x": Trace("pre", 20 * MS), "y": Trace("post", 30 * MS, rest=0.1), "u": Trace("post", 9 * MS, of="v")},
    synapse={"seen": 0.5},
    on_pre=lambda w, seen, y, u, own, sign, q, low: (w - 0.01 * q * sign * (y + u) * own, where(w > low, seen * 0.9, seen + 0.1)),
    on_post=lambda w, seen, x, there, am, v: (w + am * x * there * seen + 1e-4 * v, seen),
    each_step=lambda w, seen, n_in, n_out, am: (w - am * 1e-3 * (n_out - n_in) * w, seen),
    when=lambda n_out, low: n_out > low,
    const={"am": 0.01, "low": 0.2},
    per_pre={"q": np.linspace(-0.2, 1.0, N)},
    per_post={"there": np.linspace(0.5, 1.5, N), "own": np.linspace(1.0, 2.0, N)},
    bounds=(0.0, lambda there: 0.5 * there),
)  # fmt: skip

CASES = [
    Case("static", None, changes=False),
    Case("pair", pair_stdp()),
    Case("pair-nearest", pair_stdp(nearest=True)),
    Case("pair-multiplicative", pair_stdp(mu=1.0)),
    Case("pair-power", pair_stdp(mu=0.2)),
    Case("triplet", triplet_stdp()),
    Case("symmetric", symmetric_stdp(a=0.003)),
    Case("anti-hebbian", anti_hebbian_stdp()),
    Case("bcm", bcm(eta=0.002, tau_theta=0.2)),
    Case("diehl-cook", diehl_cook_stdp(a_minus=1e-3, a_plus=2e-2)),
    Case(
        "clopath",
        clopath_stdp(a_ltd=0.02, a_ltp=2.0, theta_minus=0.1, theta_plus=0.9, tau_plus=15 * MS),
        neuron=voltage,
    ),
    Case("reward", reward_stdp(), reward=True),
    Case(
        "eligibility",
        eligibility_stdp(a_plus=0.5, a_minus=0.4),
        dopamine(tau_c=10 * MS, tau_d=20 * MS),
        reward=True,
    ),
    Case(
        "eligibility-now",
        eligibility_stdp(a_plus=1.0, a_minus=0.8),
        dopamine(tau_c=25 * MS, tau_d=None),
        reward=True,
    ),
    Case(
        "eligibility-clocked",
        clocked_eligibility_stdp(tau_c=10 * MS, a_plus=0.5, a_minus=0.4),
        dopamine(tau_c=10 * MS, tau_d=20 * MS),
        reward=True,
    ),
    Case(
        "astrocyte",
        astrocyte_stdp(w_max=0.6),
        astrocyte(gain=0.01),
        options={"inhibitory": 0.2, "input_rule": astrocyte_stdp(w_max=0.6, dale=False)},
    ),
    Case(
        "astrocyte-fading",
        astrocyte_stdp(w_max=0.6, tau_u=None),
        astrocyte(keep=0.98),
        options={"inhibitory": 0.2},
    ),
    Case("oja", oja(eta=0.01, bounds=(0.0, 0.5))),
    Case("homeostatic", homeostatic_stdp(a_plus=2e-3, k=1e-3)),
    Case(
        "depressing",
        short_term(U=0.4, tau_rec=100 * MS),
        changes=False,
        options={"w": ((0.3, 0.9), (0.2, 0.8))},
    ),
    Case(
        "facilitating",
        short_term(U=0.2, tau_rec=50 * MS, tau_facil=200 * MS),
        changes=False,
        options={"w": ((0.5, 1.5), (0.2, 0.9))},
    ),
    Case("everything", EVERYTHING, options={"input_rule": None}),
]
BY_NAME = {case.name: case for case in CASES}


def interpret(monkeypatch):
    """Run the generated text in Python instead of compiling it."""

    def loaded(source):
        space = {}
        exec(compile(without_compiler(source.replace(PART, "")), "<kernel>", "exec"), space)  # noqa: S102 (our own text)
        return type("Module", (), {"simulate": staticmethod(space["simulate"])})

    monkeypatch.setattr(simulator_run, "load", loaded)
    monkeypatch.setattr(simulator_run, "kernel", simulator_run.kernel.__wrapped__)


def two_ports(rule=None):
    """Both ports of a neuron with two are fed, one synapse at a time or by projection."""
    rec = Projection.random(N, N, p=0.3, w=(0.0, 0.03), delay=(1 * MS, 5 * MS), rule=rule, seed=4)
    rec = rec.replaced(port=np.arange(len(rec)) % 2)
    return Liquid(
        TwoPoint(tau=20 * MS, dt=MS),
        {
            "soma": Projection.dense(M, N, w=(0.0, 0.13), rule=rule, seed=1, port="basal"),
            "top": Projection.random(M, N, p=0.5, w=(0.0, 0.2), delay=(0.0, 4 * MS), seed=3, port="apical"),
        },
        rec,
    )
