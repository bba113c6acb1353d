"""A leaky integrate-and-fire neuron driven by a decaying synaptic current."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.errors import UserError, nearest
from snnkit.neurons import equations, eventprop, forms
from snnkit.neurons.base import Time, Value
from snnkit.neurons.equations import Equation
from snnkit.neurons.membrane import Membrane
from snnkit.neurons.surrogate import ATan, Surrogate


class CubaLIFState(NamedTuple):
    i: Tensor  # synaptic current [B, *N]
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold


GRADIENTS = ("surrogate", "eventprop")


class CubaLIF(Membrane):
    """Current-based leaky integrate-and-fire: an exponential synapse before the membrane (Gerstner et al. 2014).

        i = α·i + x        u = β·v + i        α = exp(-dt/τ_syn), β = exp(-dt/τ_mem)        s = [u >= θ]

    The membrane sees the new current. A unit pulse at step 0 gives v[n] = (βⁿ⁺¹ - αⁿ⁺¹)/(β - α). The reset acts on
    the membrane alone. `scale_input=True` holds inputs over the step: i = α·i + (1-α)·x, u = β·v + (1-β)·i, and
    `scale_input="membrane"` does so for the membrane only.

    Authors differ in the order: `order="membrane_first"` lets the membrane see the current of the step before, and
    `"decay_last"` decays the input with the current, i = α·(i + x).

    `gradient="eventprop"` trains by the exact gradient of spike times instead of a surrogate; see `snnkit.neurons.eventprop` for
    the rule. Forward nothing changes. It is right where small changes of the weights neither make nor remove spikes, says
    nothing of spikes that are not there (a silent neuron has gradient zero), and errs by the order of dt; everything
    that spikes behind such a neuron has to be trained so too, and what lies between may not mix time or batch other than
    linearly. Its state has a third part, `later`, which is zero.

    Args:
        tau_syn: time constant of the synapse [s], a number or a tensor that broadcasts to `*N`; dt < τ. Or the factor
            per step instead, such as `Decay(0.9)`.
        tau_mem: time constant of the membrane [s], likewise.
        dt: time between input samples [s].
        threshold, initial_v: as in `LIF`.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau_syn, tau_mem, threshold.
        scale_input, solver, v_leak, v_reset, reset_timing: see `Membrane`.
        order: "synapse_first", "membrane_first" or "decay_last".
        gradient: "surrogate" or "eventprop"; the latter takes the default form (`order` may be "membrane_first" too), resets
            "subtract" and "zero", and learns no parameter of the neuron.
        slope_floor: smallest slope τ_mem·V' at a crossing by which EventProp divides, in thresholds: membranes that graze the
            threshold have boundless gradients.

    >>> import torch
    >>> cell = CubaLIF(tau_syn=5e-3, tau_mem=10e-3, dt=1e-3, threshold=10.0)
    >>> spikes, state = cell.scan(torch.ones(1, 1, 1))
    >>> state
    CubaLIFState(i=tensor([[1.]]), v=tensor([[1.]]))
    """

    equation = equations.cuba_lif
    learnable = ("tau_syn", "tau_mem", "threshold")
    threshold: Tensor
    _gradient: str

    def __init__(
        self,
        *,
        tau_syn: Time,
        tau_mem: Time,
        dt: float,
        threshold: Value = 1.0,
        reset: str = "subtract",
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        scale_input: bool | str = False,
        initial_v: Value | None = None,
        solver: str = "exact",
        order: str = "synapse_first",
        v_leak: Value = 0.0,
        v_reset: Value | None = None,
        reset_timing: str = "same",
        learn: str | Sequence[str] = (),
        gradient: str = "surrogate",
        slope_floor: float = 0.02,
    ):
        if not 0 < slope_floor < math.inf:
            raise UserError(f"CubaLIF: slope_floor is a positive slope in thresholds, got {slope_floor!r}")
        self.slope_floor = float(slope_floor)
        self.gradient = gradient
        if order not in forms.ORDERS:
            raise UserError(f"CubaLIF: unknown order {order!r}; {nearest(str(order), forms.ORDERS)}")
        if isinstance(scale_input, str) and scale_input != "membrane":
            raise UserError(f'CubaLIF: scale_input is True, False or "membrane", got {scale_input!r}')
        scale_input = scale_input if isinstance(scale_input, str) else bool(scale_input)
        if order == "decay_last" and scale_input is True:
            raise UserError('CubaLIF: order="decay_last" takes scale_input False or "membrane"')
        self.order = order
        super().__init__(
            dt=dt, reset=reset, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn,
            scale_input=scale_input, solver=solver, v_leak=v_leak, v_reset=v_reset, reset_timing=reset_timing,
            initial_v=initial_v,
        )  # fmt: skip
        self.add_time_constant("tau_syn", tau_syn)
        self.add_time_constant("tau_mem", tau_mem)
        self.add_parameter("threshold", threshold)

    @property
    def tau_syn(self) -> Tensor:
        """Time constant of the synapse [s]."""
        return self.time_constant("tau_syn")

    @property
    def tau_mem(self) -> Tensor:
        """Time constant of the membrane [s]."""
        return self.time_constant("tau_mem")

    @property
    def tau(self) -> Tensor:
        """Time constant of the membrane [s]; the same as `tau_mem`."""
        return self.tau_mem

    @property
    def gradient(self) -> str:
        """How it is trained: "surrogate" or "eventprop"; may be set any time."""
        return self._gradient

    @gradient.setter
    def gradient(self, word: str) -> None:
        if word not in GRADIENTS:
            raise UserError(f"CubaLIF: unknown gradient {word!r}; {nearest(str(word), GRADIENTS)}")
        before = self.__dict__.get("_gradient", "surrogate")
        self._gradient = word
        if "_key" in self.__dict__:  # made before
            try:
                self._bind()
            except UserError:
                self._gradient = before
                raise

    @property
    def State(self) -> Any:  # type: ignore[override]
        """The state's class."""
        return eventprop.EventPropState if self.gradient == "eventprop" else CubaLIFState

    def form(self) -> Equation:
        if self.gradient == "eventprop":
            self._check_eventprop()
            return eventprop.cuba_lif(self.order)
        if self.is_default() and self.order == "synapse_first":
            return type(self).equation
        return forms.cuba_lif(
            self.solver, self.scale_input, self.order, self.leaks, self.targets, self.reset_timing
        )

    def _check_eventprop(self) -> None:
        """Refuse what the rule of `snnkit.neurons.eventprop` does not cover, all at once."""
        plain = self.solver == "exact" and not self.scale_input and self.reset_timing == "same"
        wrong = [
            said
            for said, found in {
                "solver, scale_input and reset_timing as they are by default": not plain,
                "a v_leak of 0": self.leaks,
                'reset="subtract" or "zero"': self.reset not in ("subtract", "zero"),
                'order="synapse_first" or "membrane_first"': self.order == "decay_last",
                "learn=() (it has gradients for input, weights and delays)": bool(self._learn),
            }.items()
            if found
        ]
        if wrong:
            raise UserError(f'CubaLIF: gradient="eventprop" needs {"; ".join(wrong)}')

    def extra_repr(self) -> str:
        said = super().extra_repr()
        return said if self.gradient == "surrogate" else f"{said}, gradient={self.gradient!r}"

    def constants(self) -> dict[str, Tensor]:
        if self.gradient == "eventprop":
            syn, mem, dt = self.tau_syn.double(), self.tau_mem.double(), float(self.dt or 0.0)
            return {
                "decay_syn": self.decay(self.tau_syn), "decay": self.decay(self.tau_mem), "theta": self.threshold,
                "drive": eventprop.drive(syn, mem, dt), "steps": mem / dt,
                "slope_floor": torch.as_tensor(self.slope_floor, dtype=torch.float64),
            }  # fmt: skip
        name = forms.SOLVERS[self.solver]
        leaks = {f"{name}_syn": self.per_step(self.tau_syn), name: self.per_step(self.tau_mem)}
        return {**leaks, "theta": self.threshold, **self.potentials()}
