"""Anything that steps through time: parameters in SI units around one step function, and three verbs."""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from snnkit.errors import UserError, nearest
from snnkit.kernels.neurons import operator
from snnkit.kernels.spread import spread
from snnkit.neurons import reference
from snnkit.neurons.adjoint import define
from snnkit.neurons.equations import RESETS, Equation
from snnkit.neurons.surrogate import ATan, Surrogate


class Decay:
    """A time constant given by what is left of a membrane after one step: `LIF(tau=Decay(0.9), dt=1e-3)`.

    τ = -dt/ln(decay), or dt/(1 - decay) under Euler's rule. Any factor 0 < decay < 1 will do, also one so small
    that τ < dt, which a time constant in seconds may not be, as that is nearly always a mistaken unit.

    Args:
        per_step: the factor, a number or a tensor that broadcasts to `*N`.
    """

    def __init__(self, per_step: float | Tensor | Sequence[float]):
        self.per_step = torch.as_tensor(per_step, dtype=torch.float64).detach().clone()
        if not bool(((self.per_step > 0) & (self.per_step < 1)).all()):
            raise UserError(f"a decay per step lies between 0 and 1, got {per_step!r}; IF has no decay")

    def __repr__(self) -> str:
        return f"Decay({self.per_step.tolist()!r})"


Value = float | Tensor | Sequence[float]
Time = Value | Decay
COMPARES = (">=", ">")
HALVES = (torch.float16, torch.bfloat16)  # computed and answered in float32: a membrane adds up small numbers
DEFINING = ("equation", "reset", "surrogate", "detach_reset", "compare")  # attributes that choose the kernels


class Neuron(nn.Module):
    """A neuron model: `y = m(x)` from rest, `y, state = m.scan(x, state)`, `y_t, state = m.step(x_t, state)`.

    A model gives its `equation` and the equation's constants; see docs/neurons.md. Sequences are `[T, B, *N]`, one
    step is `[B, *N]`, float32 or float64; half precision is computed and answered in float32. A neuron with several
    input ports takes a tuple of them. The state is a NamedTuple of tensors `[B, *N]`; None is rest.

    Args:
        dt: time between input samples [s], or None for a neuron without time constants.
        reset: what a spike does to the membrane: "subtract" the threshold, set it to "zero", or "none".
        surrogate: stand-in for the derivative of a spike.
        detach_reset: True keeps gradients from flowing through the reset.
        compare: ">=" spikes at the threshold, ">" only above it.
        learn: names of the parameters to learn, of those in `learnable`.
    """

    equation: ClassVar[Equation]
    solver: str = "exact"  # how time constants become factors per step: "exact", or by a rule of Euler's
    resets: ClassVar[tuple[str, ...]] = tuple(RESETS)
    State: ClassVar[Callable[..., tuple[Tensor, ...]]]
    learnable: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "equation" in cls.__dict__ and "State" not in cls.__dict__:
            cls.State = namedtuple(f"{cls.__name__}State", cls.equation.states)  # type: ignore[misc]

    def __init__(
        self,
        *,
        dt: float | None = None,
        reset: str = "subtract",
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        learn: str | Sequence[str] = (),
    ):
        super().__init__()
        name = type(self).__name__
        if dt is not None and not (isinstance(dt, Real) and 0 < float(dt) < math.inf):
            raise UserError(f"{name} needs a positive dt in seconds, got {dt!r}")
        self.dt: float | None = None if dt is None else float(dt)
        self.reset = reset
        self.surrogate = surrogate
        self.detach_reset = bool(detach_reset)
        self.compare = compare
        self._learn = (learn,) if isinstance(learn, str) else tuple(learn)
        for word in self._learn:
            if word not in self.learnable:
                raise UserError(f"{name} cannot learn {word!r}; {nearest(word, self.learnable)}")
        self._bind()

    def _bind(self) -> None:
        """Make the kernels know this neuron; done again when what defines it changes."""
        name = type(self).__name__
        if self.reset not in self.resets:
            raise UserError(f"{name}: unknown reset {self.reset!r}; {nearest(str(self.reset), self.resets)}")
        if self.compare not in COMPARES:
            raise UserError(f'{name}: compare is ">=" or ">", got {self.compare!r}')
        if not isinstance(self.surrogate, Surrogate):
            raise TypeError(
                f"{name} needs a surrogate such as surrogate.ATan(alpha=2.0), got {self.surrogate!r}"
            )
        self._hyper = self.surrogate.hyper
        form = self.form()
        if form is not self.equation:
            self.__dict__["equation"] = form
        self._key = define(
            self.equation,
            type(self.surrogate),
            reset=self._reset_word(),
            strict=self.compare == ">",
            detached=self.detach_reset,
        )

    def _reset_word(self) -> str:
        """The reset handed in to the equation; one that resets in other ways names none."""
        return self.reset if self.reset in RESETS else "none"

    def __setattr__(self, name: str, value: Any) -> None:
        bound = name in DEFINING and "_key" in self.__dict__
        before: Any = getattr(self, name) if bound else None
        super().__setattr__(name, value)
        if bound:
            try:
                self._bind()
            except (TypeError, ValueError):
                super().__setattr__(name, before)
                raise

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self._bind()

    # What a model declares ------------------------------------------------------------------------------------

    def form(self) -> Equation:
        """The equation of this neuron; a model whose options choose among several overrides it."""
        return self.equation

    def constants(self) -> dict[str, Tensor]:
        """The equation's constants, each broadcastable to `*N`, derived from the parameters by torch."""
        raise NotImplementedError

    def rest(self) -> dict[str, Any]:
        """States that do not begin at the value of their declaration."""
        return {}

    def add_parameter(self, name: str, value: Value) -> None:
        """Hold `value` as `self.name`: a learnable parameter if `learn` names it, else a buffer in double precision."""
        tensor = self._as_tensor(name, value)
        if name in self._learn:
            setattr(self, name, nn.Parameter(tensor.to(torch.get_default_dtype())))
        else:
            self.register_buffer(name, tensor)

    def add_time_constant(self, name: str, value: Time) -> None:
        """Hold a time constant [s], learned by its logarithm so that it stays positive; read it by `time_constant`."""
        label = type(self).__name__
        if self.dt is None:
            raise UserError(f"{label} needs dt, the time between input samples in seconds, such as dt=1e-3")
        if isinstance(value, Decay):
            factor = value.per_step
            tensor = -self.dt / factor.log() if self.solver == "exact" else self.dt / (1.0 - factor)
        else:
            tensor = self._as_tensor(name, value)
        low = float(tensor.min()) if tensor.numel() else math.inf
        if not self.dt < low and not isinstance(value, Decay):
            raise UserError(
                f"{label} needs 0 < dt < {name}, both in seconds; got dt={self.dt:g} and {name}={low:g}. "
                f"A dt of {self.dt:g} milliseconds is dt={self.dt:g}e-3"
            )
        if name in self._learn:
            setattr(self, f"log_{name}", nn.Parameter(tensor.log().to(torch.get_default_dtype())))
        else:
            self.register_buffer(f"fixed_{name}", tensor)

    def time_constant(self, name: str) -> Tensor:
        """A time constant [s] held by `add_time_constant`."""
        if name in self._learn:
            return getattr(self, f"log_{name}").exp()
        return getattr(self, f"fixed_{name}")

    def decay(self, tau: Tensor) -> Tensor:
        """What is left after one step: exp(-dt/τ), or 1 - dt/τ under Euler's rule."""
        dt: Any = self.dt  # a number wherever there is a time constant
        return torch.exp(-dt / tau) if self.solver == "exact" else 1.0 - dt / tau

    def per_step(self, tau: Tensor) -> Tensor:
        """The constant by which the form of this solver leaks (see `forms.leak`): exp(-dt/τ), dt/τ or τ/dt."""
        dt: Any = self.dt
        if self.solver == "exact":
            return self.decay(tau)
        return dt / tau if self.solver == "euler" else tau / dt

    def _as_tensor(self, name: str, value: Value) -> Tensor:
        tensor = torch.as_tensor(value, dtype=torch.float64).detach().clone()
        if not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{type(self).__name__} needs a finite {name}, got {value!r}")
        return tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Neuron:
        """Fixed parameters follow the module to a device but keep their double precision where the device has it."""
        exact = {k: b for k, b in self._buffers.items() if b is not None and b.dtype is torch.float64}
        for name in exact:
            del self._buffers[name]
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            device = fn(torch.empty(0, dtype=torch.float32, device=buffer.device)).device
            if buffer.is_meta or device.type == "mps":  # nothing to keep; no double precision
                buffer = fn(buffer.float())
            self._buffers[name] = buffer.to(device)
        return self

    # The three verbs ------------------------------------------------------------------------------------------

    def forward(self, x: Any) -> Any:
        """Run a sequence `[T, B, *N]` from rest."""
        return self.scan(x)[0]

    def scan(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        """Run a sequence `[T, B, *N]`; state in, state out. None is rest."""
        inputs = self._inputs(x, "a sequence [T, B, *N]", 2)
        states = self._states(inputs, inputs[0].shape[1:], state)
        constants = self._constants(inputs[0], inputs[0].shape[2:])
        if inputs[0].shape[0] == 0:
            outputs = [inputs[0].clone() for _ in range(self._outputs())]
            return self._pack(outputs), self.State(*states)
        if operator.runs_on(inputs[0].device.type) and not reference.chosen():
            outputs, states = self._fused(inputs, states, constants)
        else:
            outputs, states = reference.scan(
                self.equation, inputs, states, constants, fire=self._fire(), reset=self._reset_word()
            )
        return self._pack(outputs), self.State(*states)

    def step(self, x_t: Any, state: Any = None) -> tuple[Any, Any]:
        """Run one time step `[B, *N]`; state in, state out. None is rest."""
        inputs = self._inputs(x_t, "one step [B, *N]", 1)
        states = self._states(inputs, inputs[0].shape, state)
        constants = self._constants(inputs[0], inputs[0].shape[1:])
        outputs, states = reference.step(
            self.equation, inputs, states, constants, fire=self._fire(), reset=self._reset_word()
        )
        return self._pack(outputs), self.State(*states)

    def initial_state(self, x_t: Any) -> Any:
        """The state at rest for inputs like `x_t`, one step `[B, *N]`."""
        first = x_t[0] if isinstance(x_t, tuple) else x_t
        return self.State(*self._states([first], first.shape, None))

    # Checks and conversions -----------------------------------------------------------------------------------

    def _fused(
        self, inputs: list[Tensor], states: list[Tensor], constants: dict[str, Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        shape = inputs[0].shape[1:]
        each = [spread(constants[k], shape) for k in self.equation.constants]
        return operator.scan(self._key, inputs, each, states, self._hyper)

    def _fire(self) -> reference.Fire:
        return reference.fire_with(self.surrogate, strict=self.compare == ">", detached=self.detach_reset)

    def _outputs(self) -> int:
        return operator.lookup(self._key).outputs

    @staticmethod
    def _pack(outputs: list[Tensor]) -> Any:
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _inputs(self, x: Any, what: str, least: int) -> list[Tensor]:
        name, ports = type(self).__name__, self.equation.ports
        inputs = list(x) if isinstance(x, tuple | list) else [x]
        if len(inputs) != len(ports):
            raise UserError(f"{name} has the input ports {', '.join(ports)}; got {len(inputs)} inputs")
        for tensor in inputs:
            if not isinstance(tensor, Tensor):
                hint = "; write x.dense()" if hasattr(tensor, "dense") else ""
                raise TypeError(f"{name} expected a tensor, got {type(tensor).__name__}{hint}")
            if tensor.dtype not in (torch.float32, torch.float64, *HALVES):
                raise TypeError(f"{name} expected float32 or float64, got {tensor.dtype}; write x.float()")
            if tensor.dim() < least:
                raise UserError(f"{name} expected {what}, got {list(tensor.shape)}")
            if tensor.shape != inputs[0].shape or tensor.dtype != inputs[0].dtype:
                raise UserError(
                    f"{name}: all input ports have one shape and precision, got "
                    + ", ".join(f"{p} {list(t.shape)} {t.dtype}" for p, t in zip(ports, inputs, strict=True))
                )
        return [t.float() for t in inputs] if inputs[0].dtype in HALVES else inputs

    def _states(self, inputs: list[Tensor], shape: torch.Size, state: Any) -> list[Tensor]:
        like, name = inputs[0], type(self).__name__
        if state is None:
            rest = {**self.equation.rest, **self.rest()}
            return [
                r.to(like).expand(shape).clone() if isinstance(r, Tensor) else like.new_full(shape, r)
                for r in (rest[k] for k in self.equation.states)
            ]
        if not isinstance(state, tuple) or len(state) != len(self.equation.states):
            kind = type(state).__name__ + (f" of {len(state)}" if isinstance(state, tuple) else "")
            names = ", ".join(self.equation.states)
            raise UserError(
                f"{name} has the state ({names}), a tuple of tensors as `scan` returned it; got a {kind}"
            )
        for key, tensor in zip(self.equation.states, state, strict=True):
            if tensor.shape != shape:
                raise UserError(
                    f"{name}: the state {key} has shape {list(tensor.shape)}, but the input asks for {list(shape)}; "
                    "a state belongs to one batch: pass None to begin another from rest"
                )
            if tensor.dtype != like.dtype:
                raise UserError(f"{name}: the state {key} is {tensor.dtype}, but the input is {like.dtype}")
        return list(state)

    def _constants(self, like: Tensor, shape: torch.Size) -> dict[str, Tensor]:
        given = self.constants()
        out = {}
        for key in self.equation.constants:
            value = given[key]
            if value.dim() > len(shape) or any(
                a not in (1, b) for a, b in zip(reversed(value.shape), reversed(shape), strict=False)
            ):
                raise UserError(
                    f"{type(self).__name__}: the parameter behind {key} has shape {list(value.shape)}, which does not "
                    f"broadcast to the neurons {list(shape)} of the input"
                )
            out[key] = value.to(device=like.device, dtype=like.dtype)
        return out

    def extra_repr(self) -> str:
        parts = [] if self.dt is None else [f"dt={self.dt:g}"]
        if "reset" in self.equation.handed_in:
            parts.append(f"reset={self.reset!r}")
        if "fire" in self.equation.handed_in:
            parts.append(f"surrogate={self.surrogate!r}")
            parts += ["detach_reset=True"] * self.detach_reset + ["compare='>'"] * (self.compare == ">")
        if self._learn:
            parts.append(f"learn={self._learn!r}")
        return ", ".join(parts)
