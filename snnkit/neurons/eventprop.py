"""EventProp as a way to fire: the exact gradient of spike times, on the grid of time steps.

A spike has no derivative by the membrane, but its time has: where the membrane crosses the threshold with the slope
V' = (I - θ)/τ_mem, a lift by δV lets it cross earlier by δV/V'. Wunderlich and Pehle (2021, Sci Rep 11:12829) propagate
that backwards from spike to spike; delays come along for free (Mészáros, Knight and Nowotny 2025, arXiv:2501.07331).
With p_V = dL/dV behind the spike and τ = dL/dt of the spike,

    p_V  ←  p_V + (θ·p_V - τ_mem·τ) / (I - θ)

The identity that makes this a firing rule: a synapse with τ_syn İ = -I hands back g(t) = dL/d(a unit jump of its current at
t), and moving a spike moves that jump, so τ = dg/dt. On the grid that is the gradient which the next layer returns anyway,

    τ[n] = (g[n + 1] - g[n]) / dt

whatever linear layer it comes through: weights, convolutions, delays, recurrence. The difference along time is made by a
state `later` that is always zero: its adjoint at step n is g[n + 1], at borders of chunks too.

Here time has steps; `snnkit.eventprop` runs the same layers from event to event, without them.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.neurons.equations import Equation
from snnkit.neurons.language import detach, maximum, through


class EventPropState(NamedTuple):
    i: Tensor  # synaptic current [B, *N]
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold
    later: Tensor  # zero; carries the gradient of the next step's spike backwards [B, *N]


@cache
def cuba_lif(order: str) -> Equation:
    """The default `CubaLIF`, with the order of its two halves, firing by EventProp."""

    def step(
        x: Any, i: Any, v: Any, later: Any, *,
        decay_syn: Any, decay: Any, theta: Any, drive: Any, steps: Any, slope_floor: Any, fire: Any, reset: Any,
    ) -> tuple:  # fmt: skip
        before = i
        i = decay_syn * i + x
        seen = before if order == "membrane_first" else i
        u = decay * v + seen
        s = detach(fire(u - theta)[0])
        slope = detach(maximum(drive * seen - theta, slope_floor * theta))  # τ_mem V' at the crossing
        earlier = (
            detach(s * steps / slope) * u
        )  # by how many steps the spike comes earlier, as a function of u
        after = through(reset(u, s, theta), detach(1.0 + s * theta / slope) * u)
        return through(s, earlier + later), i, after, through(0.0 * s, -earlier)

    return Equation(
        name="cuba_lif_eventprop",
        step=step,
        ports=("x",),
        rest={"i": 0.0, "v": 0.0, "later": 0.0},
        constants=("decay_syn", "decay", "theta", "drive", "steps", "slope_floor"),
        handed_in=("fire", "reset"),
        made_by=(cuba_lif, (order,)),
    )


def drive(tau_syn: Tensor, tau_mem: Tensor, dt: float) -> Tensor:
    """What one unit of the current that a step adds to the membrane is at the end of that step, as I in τ_mem V' = I - V.

    A current I at the start of a step lifts the membrane by κ·I, κ = τ_syn/(τ_mem - τ_syn)·(exp(-dt/τ_mem) - exp(-dt/τ_syn)),
    and is then exp(-dt/τ_syn)·I: the quotient of the two.
    """
    z = (dt * (1.0 / tau_syn - 1.0 / tau_mem)).double()
    ratio = torch.where(
        z == 0, torch.ones_like(z), torch.expm1(z) / torch.where(z == 0, torch.ones_like(z), z)
    )
    return tau_mem / (dt * ratio)
