"""What layers with learnable delays share: delays in steps, their range, form and width, rounding, the state."""

from __future__ import annotations

import copy
import math
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snnkit.errors import UserError, nearest
from snnkit.kernels.delays.layer import FORMS, Kernel

MOST_STEPS = 10_000  # of a delay; who gives more means steps and not seconds


class DelayState(NamedTuple):
    under_way: Tensor  # what has been sent and not yet arrived [steps, B, *N], the next step first


class Carried(NamedTuple):
    """A state, or None for rest, that makes a call of a layer a scan."""

    state: Any


class Delayed(nn.Module):
    """A layer whose synapses, inputs or outputs have a delay each; see `DelayedLinear` for the forms."""

    takes_events = True
    delay: Tensor
    width: Tensor
    longest: int
    dt: float

    def _init_delays(
        self,
        max_delay: float,
        dt: float,
        form: str,
        kind: str,
        kinds: tuple[str, ...],
        sigma: float | None,
        tail: float,
    ) -> None:
        self._known("form", form, FORMS)
        self._known("kind", kind, kinds)
        if not dt > 0:
            raise UserError(f"{self._name} needs a positive dt in seconds, got {dt!r}")
        self.dt, self._form, self.kind = float(dt), form, kind
        self.longest = self._steps("max_delay", max_delay)
        self.tail = self._steps("tail", tail)
        wide = max(0.23, (self.longest + 1) // 2) + 0.27
        self.register_buffer(
            "width", torch.tensor(self._sigma(wide if sigma is None else sigma), dtype=torch.float64)
        )

    def _make_delay(
        self,
        shape: tuple[int, ...],
        seconds: float | Tensor | None,
        learn: bool,
        generator: torch.Generator | None,
    ) -> None:
        delay = self._initial(shape, seconds, generator)
        if learn:
            self.delay = nn.Parameter(delay)
        else:
            self.register_buffer("delay", delay)

    def _initial(
        self, shape: tuple[int, ...], seconds: float | Tensor | None, generator: torch.Generator | None
    ) -> Tensor:
        if seconds is None:
            return torch.rand(shape, generator=generator) * self.longest
        steps = torch.as_tensor(seconds, dtype=torch.float64).detach() / self.dt
        try:
            steps = steps.expand(shape)
        except RuntimeError:
            raise UserError(
                f"{self._name}: initial_delay of shape {tuple(steps.shape)} does not broadcast to {shape}"
            ) from None
        if not bool(((steps > -1e-6) & (steps < self.longest + 1e-6)).all()):
            raise UserError(
                f"{self._name}: initial_delay lies between 0 and max_delay={self.longest * self.dt:g} s, got values from "
                f"{float(steps.min()) * self.dt:g} to {float(steps.max()) * self.dt:g} s"
            )
        return steps.clamp(0, self.longest).float().clone()

    @property
    def _name(self) -> str:
        return type(self).__name__

    # -- delays -----------------------------------------------------------------------------------------------------

    @property
    def max_delay(self) -> float:
        """Longest delay [s]."""
        return self.longest * self.dt

    @property
    def form(self) -> str:
        """How a delay acts on the steps; may be changed between two sequences, such as to train on with two taps."""
        return self._form

    @form.setter
    def form(self, form: str) -> None:
        self._known("form", form, FORMS)
        self._form = form

    @property
    def sigma(self) -> float:
        """Width of the Gaussian, in steps."""
        return float(self.width)

    @sigma.setter
    def sigma(self, steps: float) -> None:
        self.width.fill_(self._sigma(steps))

    @property
    def delay_seconds(self) -> Tensor:
        """The delays [s]."""
        return self.delay * self.dt

    @torch.no_grad()
    def clamp_(self) -> None:
        """Bring the delays back into 0 .. max_delay; to be called after each step of an optimiser."""
        self.delay.clamp_(0, self.longest)

    def rounded(self) -> Any:
        """A copy with whole delays: what is deployed. Its delays are fixed."""
        other = copy.deepcopy(self)
        delay = (self.delay.detach().clamp(0, self.longest) + 0.5).floor()
        if isinstance(other.delay, nn.Parameter):
            del other.delay
            other.register_buffer("delay", delay)
        else:
            other.delay.copy_(delay)
        other.form = "integer"  # and `width` stays, unused
        return other

    @property
    def _kernel(self) -> Kernel:
        window = self.longest + (1 if self.form == "gaussian" else 2)  # a spare row for the second tap
        return Kernel(self.form, window, self.sigma if self.form == "gaussian" else 0.0)

    def _under_way(self, state: Any, want: tuple[int, ...]) -> Tensor | None:
        """The tensor of a state, of the shape that the input asks for; None for rest."""
        if state is None:
            return None
        if not isinstance(state, tuple) or len(state) != 1:
            raise UserError(
                f"{self.label()} has the state (under_way,), as scan and step return it; got {type(state).__name__}"
            )
        if tuple(state[0].shape) != want:
            raise UserError(
                f"{self.label()}: the state has shape {tuple(state[0].shape)}, but the input asks for {want}; a state belongs "
                "to one batch and one form: pass None to begin another from rest"
            )
        return state[0]

    def label(self) -> str:
        raise NotImplementedError

    def _said(self) -> list[str]:
        """What the settings of delays add to the representation."""
        parts = [f"max_delay={self.max_delay:g}", f"dt={self.dt:g}", f"form={self.form!r}"]
        parts += [f"kind={self.kind!r}"] * (self.kind != "synaptic")
        parts += [f"sigma={self.sigma:g}"] * (self.form == "gaussian")
        return parts + [f"tail={self.tail * self.dt:g}"] * (self.tail > 0)

    # -- checks -----------------------------------------------------------------------------------------------------

    def _known(self, word: str, given: Any, known: tuple[str, ...]) -> None:
        if given not in known:
            raise UserError(f"{self._name}: unknown {word} {given!r}; {nearest(str(given), known)}")

    def _steps(self, name: str, seconds: float) -> int:
        """A time as a whole number of steps."""
        ratio = float(seconds) / self.dt
        if not (math.isfinite(ratio) and ratio > -1e-6):
            raise UserError(f"{self._name}: {name} is a time in seconds, not negative; got {seconds!r}")
        if abs(ratio - round(ratio)) > 1e-3:
            near = max(1, round(ratio)) * self.dt
            hint = "dt and delays are in seconds" if ratio < 0.5 else f"write {name}={near:g}"
            raise UserError(
                f"{self._name}: {name} is a whole number of steps of dt={self.dt:g} s, got {seconds:g} s, which are "
                f"{ratio:g} steps; {hint}"
            )
        if ratio > MOST_STEPS:
            raise UserError(
                f"{self._name}: {name}={seconds:g} s are {ratio:.0f} steps of dt={self.dt:g} s, and {MOST_STEPS} are the most; times "
                f"are in seconds: for {seconds:g} steps write {name}={seconds * self.dt:g}"
            )
        return round(ratio)

    def _sigma(self, sigma: float) -> float:
        if not (isinstance(sigma, Real) and 0 < sigma < math.inf):  # numpy's numbers too
            raise UserError(
                f'{self._name}: sigma is a positive width in steps, got {sigma!r}; for hard delays use form="integer"'
            )
        return float(sigma)
