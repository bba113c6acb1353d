"""The quadratic integrate-and-fire neuron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.errors import UserError
from snnkit.neurons.base import Value
from snnkit.neurons.equations import neuron
from snnkit.neurons.peaked import Peaked
from snnkit.neurons.surrogate import ATan, Surrogate


@neuron("x", v=0.0)
def quadratic(x, v, *, gain, curvature, v_rest, v_critical, resistance, v_peak, v_reset, scale, fire):
    u = v + gain * (curvature * (v - v_rest) * (v - v_critical) + resistance * x)
    s, r = fire((u - v_peak) * scale)
    return s, u * (1.0 - r) + r * v_reset


class QIFState(NamedTuple):
    v: Tensor  # membrane potential [B, *N]


class QIF(Peaked):
    """Quadratic integrate-and-fire (Ermentrout and Kopell 1986; Latham et al. 2000, J Neurophysiol 83:808).

        τ dv/dt = a·(v - v_rest)·(v - v_c) + R·x        spike when v >= v_peak, then v = v_reset
        one step (Euler): u = v + dt/τ·(a·(v - v_rest)·(v - v_c) + R·x)

    Potentials are in any one unit. Without input it rests at v_rest; above v_c it runs away to the peak. A constant
    input fires it above a·(v_c - v_rest)²/(4·R). In the normal form (a = 1, v_rest = v_c = 0) an input I > 0 gives
    the period τ/√I·(atan(v_peak/√I) - atan(v_reset/√I)), which goes to π·τ/√I; Euler adds about one step.

    One step must keep the order of potentials above the lowest of v_reset and v_rest, which holds for
    dt <= τ/(a·(v_rest + v_c - 2·lowest)) and is checked. If spike times matter, keep moreover
    dt/τ·a·(2·v_peak - v_rest - v_c) below about 0.1.

    Args:
        tau: τ [s], a number or a tensor that broadcasts to `*N`; dt < τ.
        dt: time between input samples [s].
        curvature: a > 0, per unit of potential, likewise.
        v_rest, v_critical, v_peak, v_reset: potentials, likewise.
        resistance: R, likewise.
        initial_v: membrane at the start, likewise; None is v_rest.
        surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau, curvature, v_critical, v_peak, v_reset.
            The surrogate sees (u - v_peak)/(v_peak - v_reset).

    >>> import torch
    >>> cell = QIF(tau=0.02, dt=1e-4, v_rest=0.0, v_critical=0.0, v_peak=100.0, v_reset=-100.0, initial_v=-100.0)
    >>> spikes = cell(torch.full((1300, 1, 1), 1.0))  # period about π·20 ms
    >>> torch.nonzero(spikes.flatten()).flatten().tolist()
    [623, 1247]
    """

    equation = quadratic
    State = QIFState
    learnable = ("tau", "curvature", "v_critical", "v_peak", "v_reset")
    v_reset: Tensor
    curvature: Tensor
    v_rest: Tensor
    v_critical: Tensor
    resistance: Tensor

    def __init__(
        self,
        *,
        tau: Value,
        dt: float,
        curvature: Value = 1.0,
        v_rest: Value = 0.0,
        v_critical: Value = 0.8,
        v_peak: Value = 1.5,
        v_reset: Value = -0.1,
        resistance: Value = 1.0,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        initial_v: Value | None = None,
        learn: str | Sequence[str] = (),
    ):
        super().__init__(dt=dt, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn)
        self.add_time_constant("tau", tau)
        self.add_parameter("curvature", curvature)
        self.add_parameter("v_rest", v_rest)
        self.add_parameter("v_critical", v_critical)
        self.add_parameter("resistance", resistance)
        self.add_peak(v_peak, v_reset, v_rest if initial_v is None else initial_v)
        self.needs(self.curvature > 0, "curvature", curvature)
        lowest = torch.minimum(self.v_reset, self.v_rest).detach()
        fall = self.curvature * (self.v_rest + self.v_critical - 2.0 * lowest)
        limit = float((self.tau / fall.clamp_min(1e-30)).detach().min())
        if dt > limit:
            raise UserError(
                f"QIF: dt={dt:g} is too large for an Euler step from v_reset or v_rest; "
                f"the limit is tau/(curvature*(v_rest + v_critical - 2*lowest)) = {limit:.3g} s"
            )

    @property
    def tau(self) -> Tensor:
        """Time constant [s]."""
        return self.time_constant("tau")

    def constants(self) -> dict[str, Any]:
        return {
            "gain": self.dt / self.tau,
            "curvature": self.curvature,
            "v_rest": self.v_rest,
            "v_critical": self.v_critical,
            "resistance": self.resistance,
            **self.peak_constants(),
        }
