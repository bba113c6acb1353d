"""A neuron that mixes two kinds of leak, of reset and of input by learned gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.neurons.base import Neuron, Value
from snnkit.neurons.equations import neuron
from snnkit.neurons.surrogate import ATan, Surrogate


@neuron("x", v=0.0, last=0.0)
def gated_lif(x, v, last, *, keep, drop, gain, hard, soft, theta, fire):
    kept = keep * v
    u = kept - drop + gain * x - kept * (hard * last) - soft * last
    s, r = fire(u - theta)
    return s, u, r


class GatedLIFState(NamedTuple):
    v: Tensor  # charged membrane, before the reset [B, *N], in the unit of the threshold
    last: Tensor  # spikes of the step before [B, *N]


FRACTIONS = (
    "decay", "drop", "conductance", "threshold", "soft_reset", "gate_leak", "gate_input", "gate_reset",
)  # fmt: skip


class GatedLIF(Neuron):
    """Gated leaky integrate-and-fire (GLIF; Yao et al. 2022, NeurIPS).

        u = (1 - A·(1 - t))·v·(1 - G·s') - (1 - A)·l + (1 - B·(1 - c))·x - (1 - G)·r·s'        s = [u >= θ]        v = u

    s' is the spike of the step before: the reset comes one step late. The gates A, B, G mix two forms of each part:

        leak   A = 1: by the factor t         A = 0: by the amount l
        input  B = 1: with the gain c         B = 0: with gain 1
        reset  G = 1: to zero                 G = 0: by the amount r

    All eight lie between 0 and 1 and are learned through a sigmoid. The authors' gain c has one value for every step of
    a sequence of known length; here it has none, so that time can be cut anywhere. (Not the GLIF of the Allen Institute.)

    Args:
        dt: time between input samples [s]; not needed for the dynamics, kept for exporters.
        decay, drop, conductance, threshold, soft_reset: t, l, c, θ, r at the beginning, numbers or tensors that broadcast to
            `*N`. The defaults are the authors', for sequences of 4 steps: l = θ/8.
        gate_leak, gate_input, gate_reset: A, B, G at the beginning, likewise. 0 and 1 can be given where they are not
            learned.
        surrogate, detach_reset, compare, learn: see `Neuron`; learnable: all eight, and by default learned.

    >>> cell = GatedLIF(decay=0.9, threshold=0.5, gate_leak=1.0, gate_input=0.0, gate_reset=1.0, learn=())
    >>> cell(torch.full((8, 1, 1), 0.2)).flatten().tolist()  # a LIF neuron with reset to zero, one step late
    [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    """

    equation = gated_lif
    State = GatedLIFState
    learnable = FRACTIONS

    def __init__(
        self,
        *,
        dt: float | None = None,
        decay: Value = 0.25,
        drop: Value = 0.0625,
        conductance: Value = 0.5,
        threshold: Value = 0.5,
        soft_reset: Value = 0.5,
        gate_leak: Value = 0.5,
        gate_input: Value = 0.5,
        gate_reset: Value = 0.5,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        learn: str | Sequence[str] = FRACTIONS,
    ):
        super().__init__(dt=dt, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn)
        given = (decay, drop, conductance, threshold, soft_reset, gate_leak, gate_input, gate_reset)
        for name, value in zip(FRACTIONS, given, strict=True):
            self._add_fraction(name, value)

    def _add_fraction(self, name: str, value: Value) -> None:
        tensor = self._as_tensor(name, value)
        learned = name in self._learn
        if not bool(((tensor > 0) & (tensor < 1) if learned else (tensor >= 0) & (tensor <= 1)).all()):
            bounds = "0 < {0} < 1 to learn it" if learned else "0 <= {0} <= 1"
            raise UserError(f"GatedLIF needs {bounds.format(name)}, got {value!r}")
        if learned:
            setattr(self, f"w_{name}", nn.Parameter(tensor.logit().to(torch.get_default_dtype())))
        else:
            self.register_buffer(f"fixed_{name}", tensor)

    def fraction(self, name: str) -> Tensor:
        """One of the eight values between 0 and 1."""
        return (
            torch.sigmoid(getattr(self, f"w_{name}"))
            if name in self._learn
            else getattr(self, f"fixed_{name}")
        )

    @property
    def threshold(self) -> Tensor:
        """θ, between 0 and 1."""
        return self.fraction("threshold")

    def constants(self) -> dict[str, Tensor]:
        t, drop, c, theta, r, leak, gain, hard = (self.fraction(name) for name in FRACTIONS)
        return {
            "keep": 1.0 - leak * (1.0 - t),
            "drop": (1.0 - leak) * drop,
            "gain": 1.0 - gain * (1.0 - c),
            "hard": hard,
            "soft": (1.0 - hard) * r,
            "theta": theta,
        }
