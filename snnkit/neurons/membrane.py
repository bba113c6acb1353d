"""The options that membranes share: which form of leak, input and reset; see `snnkit.neurons.forms`."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from snnkit.errors import UserError, nearest
from snnkit.neurons import forms
from snnkit.neurons.base import Neuron, Value
from snnkit.neurons.equations import RESETS


class Membrane(Neuron):
    """Base of neurons whose membrane comes in several forms.

    Args:
        solver: "exact", a = exp(-dt/τ); "euler", a = 1 - dt/τ; "euler_quotient", the same with a division by τ/dt, which
            differs in the last bit.
        scale_input: the input's gain: False for 1, True for that which makes the gain at rest 1 (1 - a; Euler: dt/τ).
        v_leak: potential at rest, to which the membrane leaks.
        v_reset: with reset="value", the potential after a spike.
        reset_timing: "same" resets in the step of the spike. "next" keeps the charged membrane as the state, resets it in the
            next step after leak and input, and needs no second state. "carry", for reset "subtract": as "same", but
            a membrane that is above threshold at the beginning of its step is compared with 2·θ.
        **options: of `Neuron`.
    """

    resets: ClassVar[tuple[str, ...]] = (*RESETS, "value")
    initial_v: Tensor

    def __init__(
        self,
        *,
        solver: str = "exact",
        scale_input: bool | str = False,
        v_leak: Value = 0.0,
        v_reset: Value | None = None,
        reset_timing: str = "same",
        initial_v: Value | None = None,
        **options: Any,
    ):
        name = type(self).__name__
        for word, given, known in (
            ("solver", solver, forms.SOLVERS),
            ("reset_timing", reset_timing, forms.TIMINGS),
        ):
            if given not in known:
                raise UserError(f"{name}: unknown {word} {given!r}; {nearest(str(given), known)}")
        self.solver = solver  # these choose the equation, which Neuron asks for
        self.scale_input = scale_input if hasattr(self, "order") else bool(scale_input)  # "membrane": of two
        self.reset_timing = reset_timing
        self.leaks = bool(torch.as_tensor(v_leak).any())
        self.targets = v_reset is not None
        super().__init__(**options)
        if self.leaks:
            self.add_parameter("v_leak", v_leak)
        if v_reset is not None:
            self.add_parameter("v_reset", v_reset)
        self.add_parameter("initial_v", v_leak if initial_v is None else initial_v)

    def is_default(self) -> bool:
        """Whether the membrane has the form that `snnkit.neurons.equations` spells out."""
        self._check_reset()
        plain = self.solver == "exact" and not self.scale_input and self.reset_timing == "same"
        return plain and not self.leaks and not self.targets

    def potentials(self) -> dict[str, Tensor]:
        """Of the equation's constants, those that are potentials of rest and reset."""
        return {k: getattr(self, k) for k in ("v_leak", "v_reset") if k in self.equation.constants}

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}

    def extra_repr(self) -> str:
        options = {"solver": "exact", "scale_input": False, "order": "synapse_first", "reset_timing": "same"}
        said = [f"{k}={getattr(self, k)!r}" for k, v in options.items() if getattr(self, k, v) != v]
        return ", ".join([super().extra_repr(), *said])

    def _check_reset(self) -> None:
        name = type(self).__name__
        if (self.reset == "value") != self.targets:
            raise UserError(
                f'{name}: reset="value" and v_reset, that value, go together; got reset={self.reset!r} '
                + ("and a v_reset" if self.targets else "and no v_reset")
            )
        if self.reset_timing == "carry" and self.reset != "subtract":
            raise UserError(f'{name}: reset_timing="carry" is a way to subtract; got reset={self.reset!r}')
