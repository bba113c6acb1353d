"""What neurons have in common that generate their own upswing: a peak where they spike, a value where they restart."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from snnkit.errors import UserError
from snnkit.neurons.base import Neuron, Value


class Peaked(Neuron):
    """A membrane that spikes at `v_peak` and restarts at `v_reset`, whatever its overshoot.

    The surrogate sees the distance from the peak in units of v_peak - v_reset, so that one surrogate serves volts and
    millivolts.
    """

    restart: ClassVar[str] = "v_reset"  # the parameter that says where it restarts
    dt: float
    v_peak: Tensor
    scale: Tensor
    initial_v: Tensor

    def add_peak(self, v_peak: Value, v_reset: Value, initial_v: Value) -> None:
        """Hold the three potentials, `initial_v` being that at rest."""
        self.add_parameter("v_peak", v_peak)
        self.add_parameter(self.restart, v_reset)
        self.add_parameter("initial_v", initial_v)
        span = self.v_peak.detach() - getattr(self, self.restart).detach()
        if not bool((span > 0).all()):
            raise UserError(
                f"{type(self).__name__} spikes at v_peak and restarts below it, at {self.restart}; "
                f"got v_peak={v_peak!r} and {self.restart}={v_reset!r}"
            )
        self.register_buffer("scale", 1.0 / span)

    def needs(self, positive: bool | Tensor, name: str, given: Any) -> None:
        """Refuse a parameter that is not positive."""
        if not bool(positive if isinstance(positive, bool) else positive.all()):
            raise UserError(f"{type(self).__name__} needs a positive {name}, got {given!r}")

    def peak_constants(self) -> dict[str, Tensor]:
        """The constants v_peak, v_reset and scale = 1/(v_peak - v_reset), as first given, of an equation."""
        return {"v_peak": self.v_peak, "v_reset": getattr(self, self.restart), "scale": self.scale}

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}
