"""Neurons that fire by chance: escape noise, and failing synapses with noisy amplitudes and thresholds.

Chance enters through input ports, so that kernels and gradients see ordinary numbers. They are a hash of three whole
numbers: a key per neuron and batch element, drawn at rest from the neuron's generator and kept in the state; how many steps
have passed since, kept in the state; and the index of the neuron. So a run can be cut anywhere and goes on with the same
numbers, on any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.errors import UserError
from snnkit.neurons.base import Neuron, Time, Value
from snnkit.neurons.equations import RESETS, Equation
from snnkit.neurons.language import detach, exp, minimum, sigmoid, through
from snnkit.neurons.surrogate import ATan, Surrogate

LOW = 0xFFFFFFFF
KEYS = 1 << 24  # whole numbers that float32 holds


def _mix(h: Tensor) -> Tensor:
    """A bijection of 32-bit numbers that scatters them (lowbias32 by C. Wellons)."""
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & LOW
    h = ((h ^ (h >> 15)) * 0x846CA68B) & LOW
    return h ^ (h >> 16)


def uniform(key: Tensor, clock: Tensor, steps: int, port: int) -> Tensor:
    """Numbers in (0, 1) for `steps` steps `[T, B, *N]`, a function of key, clock and index of the neuron alone."""
    index = torch.arange(math.prod(key.shape[1:]), device=key.device).view(key.shape[1:])
    lane = _mix(_mix(index * 16 + port + 1) ^ key.long())
    out = key.new_empty((steps, *key.shape))
    begin = clock.long()
    for t in range(steps):  # whole numbers of one step at a time: they take twice the memory
        out[t] = ((_mix(lane ^ _mix(begin + t)) >> 8).to(key.dtype) + 0.5) / KEYS
    return out


class Chance(Neuron):
    """Base of neurons with noise as input ports; `y = m(x)` draws it, `y = m((x, noise, ...))` is given it.

    Args:
        generator: where the keys of new sequences come from; default torch's own.
        **options: of `Neuron`.
    """

    def __init__(self, *, generator: torch.Generator | None = None, **options: Any):
        super().__init__(**options)
        self.generator = generator

    def noise(self, port: str, uniform: Tensor) -> Tensor:
        """What a port of noise gets, from numbers uniform in (0, 1)."""
        return uniform

    def scan(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        if isinstance(x, Tensor) and x.dim() >= 2:
            state = self.initial_state(x.new_empty(x.shape[1:])) if state is None else state
            x = (x, *self._draw(x.shape[1:], x, state, len(x)))
        return super().scan(x, state)

    def step(self, x_t: Any, state: Any = None) -> tuple[Any, Any]:
        if isinstance(x_t, Tensor):
            state = self.initial_state(x_t) if state is None else state
            x_t = (x_t, *(row[0] for row in self._draw(x_t.shape, x_t, state, 1)))
        return super().step(x_t, state)

    def initial_state(self, x_t: Any) -> Any:
        """The state at rest with new keys, for inputs like `x_t`, one step `[B, *N]`."""
        state = super().initial_state(x_t)
        device = "cpu" if self.generator is None else self.generator.device
        keys = torch.randint(KEYS, state.key.shape, generator=self.generator, device=device)
        return state._replace(key=keys.to(state.key))

    def _draw(self, shape: torch.Size, like: Tensor, state: Any, steps: int) -> list[Tensor]:
        self._states([like], shape, state)  # complains of a wrong one
        key, clock = state[-2].detach(), state[-1].detach()
        ports = self.equation.ports[1:]
        with torch.no_grad():
            return [self.noise(p, uniform(key, clock, steps, k)) for k, p in enumerate(ports)]


@cache
def escape_rate(form: str, reset: str, detached: bool) -> Equation:
    """LIF that fires with a probability of its distance from the threshold."""

    def step(x: Any, noise: Any, v: Any, key: Any, clock: Any, *, fire: Any, **k: Any) -> tuple:
        u = k["decay"] * v + x
        z = (u - k["theta"]) / k["width"]
        p = sigmoid(z) if form == "sigmoid" else 1.0 - exp(-k["rate"] * exp(minimum(z, 20.0)))
        hit, _ = fire(p - noise)
        s = through(hit, p)
        v = RESETS[reset](u, detach(s) if detached else s, k["theta"])
        return s, v, key, clock + 1.0

    constants = ("decay", "theta", "width") + (("rate",) if form == "exponential" else ())
    rest = {"v": 0.0, "key": 0.0, "clock": 0.0}
    made_by = (escape_rate, (form, reset, detached))
    return Equation("escape_rate_lif", step, ("x", "noise"), rest, constants, ("fire",), made_by)


class StochasticLIFState(NamedTuple):
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold
    key: Tensor  # of this sequence's random numbers [B, *N]
    clock: Tensor  # steps since the sequence began [B, *N]


class StochasticLIF(Chance):
    """Leaky integrate-and-fire with escape noise (Gerstner and Kistler 2002; Jolivet et al. 2006).

        u = a·v + x, a = exp(-dt/τ)        s = 1 with probability p        v = u - s·θ  (reset "subtract")
        p = 1 - exp(-dt·ρ(u)), ρ(u) = ρ₀·exp((u - θ)/Δ)        or, with form="sigmoid", p = 1/(1 + exp(-(u - θ)/Δ))

    The derivative is straight-through, ds/du = dp/du, with the numbers that were drawn; no surrogate. At most one spike is
    sent per step, so the rate p/dt is below ρ by the factor (1 - exp(-dt·ρ))/(dt·ρ). For Δ → 0 it is LIF. (u - θ)/Δ counts as
    20 above 20.

    Args:
        tau: τ [s], a number or a tensor that broadcasts to `*N`; dt < τ.
        dt: time between input samples [s].
        threshold: θ, likewise.
        width: Δ > 0, in the unit of the threshold, likewise.
        rate: ρ₀, escape rate at the threshold [1/s], likewise.
        form: "exponential" or "sigmoid".
        initial_v: membrane at the beginning, likewise.
        generator: where the keys of new sequences come from; default torch's own. A sequence that begins at a state repeats
            its numbers.
        reset, detach_reset, learn: see `Neuron`; learnable: tau, threshold, width, rate.

    >>> cell = StochasticLIF(tau=20e-3, dt=1e-3, generator=torch.Generator().manual_seed(0))
    >>> spikes, state = cell.scan(torch.full((100, 1, 1000), 0.05))
    >>> 0 < spikes.mean() < 0.2
    tensor(True)
    """

    equation = escape_rate("exponential", "subtract", False)
    State = StochasticLIFState
    learnable = ("tau", "threshold", "width", "rate")
    threshold: Tensor
    width: Tensor
    initial_v: Tensor

    def __init__(
        self,
        *,
        tau: Time,
        dt: float,
        threshold: Value = 1.0,
        width: Value = 0.1,
        rate: Value = 1e3,
        form: str = "exponential",
        reset: str = "subtract",
        detach_reset: bool = False,
        initial_v: Value = 0.0,
        generator: torch.Generator | None = None,
        learn: str | Sequence[str] = (),
    ):
        if form not in ("exponential", "sigmoid"):
            raise UserError(f'StochasticLIF: form is "exponential" or "sigmoid", got {form!r}')
        self._form = form
        super().__init__(dt=dt, reset=reset, detach_reset=detach_reset, generator=generator, learn=learn)
        self.add_time_constant("tau", tau)
        self.add_parameter("threshold", threshold)
        self.add_parameter("width", width)
        self.add_parameter("rate", rate)
        self.add_parameter("initial_v", initial_v)
        for name in ("width", "rate"):
            if not bool((getattr(self, name) > 0).all()):
                raise UserError(f"StochasticLIF needs a positive {name}")

    @property
    def tau(self) -> Tensor:
        """Membrane time constant [s]."""
        return self.time_constant("tau")

    def form(self) -> Equation:
        return escape_rate(self._form, self.reset, self.detach_reset)

    def constants(self) -> dict[str, Tensor]:
        return {
            "decay": self.decay(self.tau),
            "theta": self.threshold,
            "width": self.width,
            "rate": self.rate * self.dt,  # type: ignore[operator, dict-item]
        }

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}


@cache
def meta(leaks: bool, amplitude: bool, level: bool, to_value: bool) -> Equation:
    """A membrane behind a synapse that may fail, with noise of amplitude and threshold where asked for."""

    def step(x: Any, release: Any, *values: Any, fire: Any, reset: Any = None, **k: Any) -> tuple:
        *noises, v, key, clock = values
        chance, _ = fire(k["transmission"] - release)
        arrived = through(chance, k["transmission"]) * x
        if amplitude:
            arrived = arrived * (1.0 + k["amplitude_noise"] * noises[0])
        u = k["decay"] * v + arrived if leaks else v + arrived
        theta = k["theta"] + k["threshold_noise"] * noises[-1] if level else k["theta"]
        s, r = fire(u - theta)
        v = r * k["v_reset"] + (1.0 - r) * u if to_value else reset(u, r, k["theta"])
        return s, v, key, clock + 1.0

    ports = ("x", "release", "amplitude" if amplitude else "", "level" if level else "")
    constants = (
        "decay" if leaks else "", "theta", "transmission", "amplitude_noise" if amplitude else "",
        "threshold_noise" if level else "", "v_reset" if to_value else "",
    )  # fmt: skip
    return Equation(
        name="meta_neuron",
        step=step,
        ports=tuple(filter(None, ports)),
        rest={"v": 0.0, "key": 0.0, "clock": 0.0},
        constants=tuple(filter(None, constants)),
        handed_in=("fire",) if to_value else ("fire", "reset"),
        made_by=(meta, (leaks, amplitude, level, to_value)),
    )


class MetaNeuronState(NamedTuple):
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold
    key: Tensor  # of this sequence's random numbers [B, *N]
    clock: Tensor  # steps since the sequence began [B, *N]


class MetaNeuron(Chance):
    """Probabilistic neuron whose intrinsic parameters are learned (after Levy and Baxter 2002, J Neurosci 22:4746).

        φ = 1 with probability p        S = φ·(1 + σ_Q·n₁)·x        u = a·v + S        s = [u >= θ + σ_θ·n₂]
        v = u - s·θ  (reset "subtract"), or v_reset after a spike (reset "value")

    Input arrives with probability p in each step (all of one neuron's input at once), with a random amplitude, at a random
    threshold; n₁, n₂ are normal. p, τ, θ, the reset and the noise can be learned, one per neuron, besides weights. The
    derivative of φ is straight-through: dφ/dp = 1. Repeat an evaluation to report its variance. (Other neurons also go by the
    name of meta neuron.)

    Args:
        tau: τ [s], a number or a tensor that broadcasts to `*N`; dt < τ.  None does not leak.
        dt: time between input samples [s].
        transmission: p in 0..1, likewise.
        amplitude_noise, threshold_noise: σ_Q, σ_θ >= 0, likewise; 0 draws no numbers.
        threshold: θ, likewise.
        v_reset: with reset="value", the potential after a spike, likewise.
        initial_v: membrane at the beginning, likewise.
        generator: see `StochasticLIF`.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau, threshold, transmission,
            amplitude_noise, threshold_noise, v_reset. A learned p is used clipped to 0..1.

    >>> cell = MetaNeuron(tau=20e-3, dt=1e-3, transmission=0.5, generator=torch.Generator().manual_seed(0))
    >>> round(cell(torch.ones(100, 1, 1000)).mean().item(), 1)  # every input that arrives makes it spike
    0.5
    """

    equation = meta(True, True, True, False)
    State = MetaNeuronState
    resets = (*RESETS, "value")
    learnable = ("tau", "threshold", "transmission", "amplitude_noise", "threshold_noise", "v_reset")
    threshold: Tensor
    transmission: Tensor
    initial_v: Tensor

    def __init__(
        self,
        *,
        tau: Time | None,
        dt: float,
        transmission: Value = 0.9,
        amplitude_noise: Value = 0.0,
        threshold_noise: Value = 0.0,
        threshold: Value = 1.0,
        reset: str = "subtract",
        v_reset: Value | None = None,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        initial_v: Value = 0.0,
        generator: torch.Generator | None = None,
        learn: str | Sequence[str] = (),
    ):
        given = {"amplitude_noise": amplitude_noise, "threshold_noise": threshold_noise}
        present = [bool(torch.as_tensor(v).any()) for v in given.values()]
        self._options = (tau is not None, *present, v_reset is not None)
        super().__init__(
            dt=dt, reset=reset, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn,
            generator=generator,
        )  # fmt: skip
        if tau is not None:
            self.add_time_constant("tau", tau)
        optional = {
            **{k: v for (k, v), here in zip(given.items(), present, strict=True) if here},
            "v_reset": v_reset,
        }
        for name, value in {"threshold": threshold, "transmission": transmission, **optional}.items():
            if value is not None:
                self.add_parameter(name, value)
        self.add_parameter("initial_v", initial_v)
        for word in self._learn:
            if not any(hasattr(self, name) for name in (word, f"log_{word}")):
                raise UserError(f"MetaNeuron learns {word} if it is given, and not zero")
        if not bool(((self.transmission >= 0) & (self.transmission <= 1)).all()):
            raise UserError(f"MetaNeuron needs 0 <= transmission <= 1, got {transmission!r}")

    def form(self) -> Equation:
        if (self.reset == "value") != self._options[-1]:
            raise UserError('MetaNeuron: reset="value" and v_reset, that value, go together')
        return meta(*self._options)

    def noise(self, port: str, uniform: Tensor) -> Tensor:
        return uniform if port == "release" else math.sqrt(2.0) * torch.erfinv(2.0 * uniform - 1.0)

    def constants(self) -> dict[str, Tensor]:
        own = ("amplitude_noise", "threshold_noise", "v_reset")
        out = {k: getattr(self, k) for k in own if k in self.equation.constants}
        if self._options[0]:
            out["decay"] = self.decay(self.time_constant("tau"))
        return {**out, "theta": self.threshold, "transmission": self.transmission.clamp(0.0, 1.0)}

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}
