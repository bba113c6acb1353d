"""The neurons on which every law is tried, inputs that make them spike, and the kernels run without a compiler."""

from __future__ import annotations

import inspect
import itertools
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnkit.kernels.neurons import loops_numba, operator, run_numba
from snnkit.neurons import (
    EIF,
    IF,
    KLIF,
    LIF,
    QIF,
    TCLIF,
    AdaptiveLIF,
    AdEx,
    Alpha,
    ApicalBurst,
    BalancedResonateAndFire,
    ComplementaryLIF,
    ConductanceLIF,
    CubaLIF,
    DeltaEncoder,
    GatedLIF,
    HodgkinHuxley,
    IntegerLIF,
    Izhikevich,
    LeakyIntegrator,
    MetaNeuron,
    MultiSpikeIF,
    Neuron,
    ParametricLIF,
    ResonateAndFire,
    SigmaDecoder,
    SigmaDelta,
    SignedIF,
    StochasticLIF,
    TernaryIF,
    TernaryLIF,
    neuron,
    surrogate,
    use_reference,
)
from snnkit.neurons import Refractory as RefractoryTime
from snnkit.neurons import TwoPoint as ApicalTwoPoint
from snnkit.neurons.language import clip, exp, log, maximum, sigmoid, sqrt, tanh, where
from snnkit.neurons.refractory import hold

# Two neurons that a user might add; docs/neurons.md shows the first -------------------------------------------


@neuron("x", v=0.0, hold=0.0)
def refractory(x, v, hold, *, decay, steps, theta, fire):
    free = where(hold > 0.0, 0.0, 1.0)
    u = decay * v + free * x
    s, r = fire(u - theta)
    return s * free, u - r * free * theta, maximum(hold - 1.0, steps * (r * free))


class Refractory(Neuron):
    equation = refractory
    learnable = ("tau", "threshold")

    def __init__(self, *, tau, dt, steps=2, threshold=1.0, **options):
        super().__init__(dt=dt, **options)
        self.add_time_constant("tau", tau)
        self.add_parameter("threshold", threshold)
        self.add_parameter("steps", steps)

    def constants(self):
        return {
            "decay": self.decay(self.time_constant("tau")),
            "steps": self.steps,
            "theta": self.threshold,
        }


@neuron("basal apical", v=0.0, a=0.0)
def two_point(basal, apical, v, a, *, decay, gain, fire):
    a = decay * a + apical
    u = decay * v + basal * (1.0 + gain * clip(a, 0.0, 1.0))
    s, r = fire(u - 1.0)
    return s, u - r, a


class TwoPoint(Neuron):
    equation = two_point
    learnable = ("tau", "gain")

    def __init__(self, *, tau, dt, gain=0.5, **options):
        super().__init__(dt=dt, **options)
        self.add_time_constant("tau", tau)
        self.add_parameter("gain", gain)

    def constants(self):
        return {"decay": self.decay(self.time_constant("tau")), "gain": self.gain}


@neuron("x", v=0.0, w=0.0)
def wordy(x, v, w, *, decay, slope, fire):
    """Every word of the vocabulary in one neuron: an exponential upstroke, a saturating adaptation, a soft gate."""
    u = decay * v + x * sigmoid(3.0 - w) + 0.1 * exp((v - 1.0) / slope)
    s, r = fire(u - 1.0)
    return s, u * (1.0 - r), decay * w + tanh(u) * sqrt(1.0 + u * u) * 0.1 + log(2.0 + r) * r


class Wordy(Neuron):
    equation = wordy
    learnable = ("tau", "slope")

    def __init__(self, *, tau, dt, slope=0.3, **options):
        super().__init__(dt=dt, **options)
        self.add_time_constant("tau", tau)
        self.add_parameter("slope", slope)

    def constants(self):
        return {"decay": self.decay(self.time_constant("tau")), "slope": self.slope}


class RefractoryLIF(RefractoryTime):
    """The refractory time of the library around one of its neurons, made as the others are made."""

    equation = hold(LIF.equation, ("v",))
    learnable = ("tau", "threshold")

    def __init__(self, *, t_ref, **options):
        super().__init__(LIF(**options), t_ref)


# Cases ----------------------------------------------------------------------------------------------------------

MS = 1e-3
PER_NEURON = {  # one value per neuron, three neurons
    IF: {"threshold": [0.8, 1.0, 1.3]},
    LIF: {"tau": [8 * MS, 12 * MS, 20 * MS], "dt": MS, "threshold": [0.9, 1.0, 1.2]},
    CubaLIF: {"tau_syn": [2 * MS, 4 * MS, 6 * MS], "tau_mem": 9 * MS, "dt": MS, "threshold": 1.1},
    AdaptiveLIF: {"tau": 12 * MS, "tau_adapt": [15 * MS, 20 * MS, 30 * MS], "dt": MS, "beta": 1.2},
    LeakyIntegrator: {"tau": [5 * MS, 9 * MS, 20 * MS], "dt": MS},
    Refractory: {"tau": 15 * MS, "dt": MS, "threshold": 0.8},
    TwoPoint: {"tau": 10 * MS, "dt": MS},
    Wordy: {"tau": [8 * MS, 10 * MS, 14 * MS], "dt": MS},
    Alpha: {"tau_mem": [6 * MS, 9 * MS, 9 * MS], "tau_syn": [3 * MS, 9 * MS, 4 * MS], "dt": MS},
    QIF: {"tau": [8 * MS, 10 * MS, 15 * MS], "dt": MS},
    EIF: {"tau": [8 * MS, 10 * MS, 15 * MS], "dt": 0.5 * MS},
    AdEx: {"b": [50e-12, 80.5e-12, 200e-12], "delta": 5e-3, "dt": 0.5 * MS},
    Izhikevich: {"a": [0.02, 0.1, 0.05], "dt": 0.5 * MS},
    HodgkinHuxley: {"g_na": [110.0, 120.0, 130.0], "dt": 0.5 * MS},
    ResonateAndFire: {"omega": [200.0, 300.0, 500.0], "dt": MS},
    BalancedResonateAndFire: {"omega": [20.0, 40.0, 60.0], "dt": 10 * MS},
    ApicalTwoPoint: {"tau": [10 * MS, 20 * MS, 30 * MS], "dt": MS},
    TCLIF: {"soma_to_dendrite": [0.3, 0.5, 0.8]},
    ConductanceLIF: {"tau": [50 * MS, 100 * MS, 70 * MS], "dt": MS, "tau_e": 2 * MS, "tau_i": 3 * MS, "initial_a": 10 * MS, "tau_a": 0.1},
    ApicalBurst: {"b": [100e-12, 200e-12, 300e-12], "dt": 0.5 * MS},
    ParametricLIF: {"tau": [3 * MS, 5 * MS, 9 * MS], "dt": MS, "scale_input": False, "learn": ("tau", "threshold")},
    KLIF: {"tau": [6 * MS, 9 * MS, 12 * MS], "dt": MS, "k": [0.9, 1.0, 1.1]},
    GatedLIF: {"gate_leak": [0.3, 0.6, 0.8]},
    ComplementaryLIF: {"tau": [2 * MS, 4 * MS, 8 * MS], "dt": MS},
    TernaryIF: {"threshold": [0.8, 1.0, 1.3], "threshold_below": [0.5, 0.7, 0.9]},
    TernaryLIF: {"tau": [8 * MS, 12 * MS, 20 * MS], "dt": MS, "threshold_below": 0.3},
    SignedIF: {"threshold": [0.5, 0.7, 1.1]},
    MultiSpikeIF: {"threshold": [0.2, 0.3, 0.5]},
    IntegerLIF: {"tau": [2 * MS, 4 * MS, 8 * MS], "dt": MS, "threshold": 0.5},
    DeltaEncoder: {"threshold": [0.4, 0.5, 0.7], "send": "round"},
    SigmaDelta: {"threshold": [0.4, 0.5, 0.7], "send": "round", "bias": 0.1},
    SigmaDecoder: {},
    StochasticLIF: {"tau": [8 * MS, 12 * MS, 20 * MS], "dt": MS, "width": 0.3},
    MetaNeuron: {
        "tau": [8 * MS, 12 * MS, 20 * MS], "dt": MS, "amplitude_noise": 0.4, "threshold_noise": 0.2,
        "learn": ("tau", "threshold", "transmission", "amplitude_noise", "threshold_noise"),
    },
    RefractoryLIF: {"tau": [8 * MS, 12 * MS, 20 * MS], "dt": MS, "t_ref": [0.0, MS, 3 * MS]},
}  # fmt: skip
GAIN = {  # of the drive, so that each spikes neither always nor never
    CubaLIF: 0.5,
    LeakyIntegrator: 1.0,
    Alpha: 1.5,
    QIF: 10.0,
    EIF: 1.3e-9,
    AdEx: 5e-9,
    Izhikevich: 60.0,
    HodgkinHuxley: 60.0,
    BalancedResonateAndFire: 60.0,
    ApicalTwoPoint: 0.5,
    ApicalBurst: 8e-9,
    ConductanceLIF: 2.0,
}
UPSWING = (QIF, EIF, AdEx, Izhikevich)  # without a hard reset they run away, and finite differences with them
RESETS_NOTHING = (HodgkinHuxley,)  # and so has no options for it
THROUGH = (  # derivatives that no smooth network has
    MultiSpikeIF, IntegerLIF, DeltaEncoder, SigmaDelta, StochasticLIF, MetaNeuron,
)  # fmt: skip
NOISE = ("noise", "release", "amplitude", "level")  # ports that ask for no gradient
SENDS = {  # what a neuron may send, if not 0 and 1; None for any number
    **dict.fromkeys((TernaryIF, TernaryLIF, SignedIF), (-1.0, 0.0, 1.0)),
    MultiSpikeIF: tuple(map(float, range(20))),
    IntegerLIF: (0.0, 1.0, 2.0, 3.0, 4.0),
    DeltaEncoder: None,
    SigmaDelta: None,
}
SURROGATES = (
    surrogate.ATan(alpha=1.7),
    surrogate.FastSigmoid(slope=3.0),
    surrogate.Triangle(height=0.8, width=1.5),
)


@dataclass(frozen=True)
class Case:
    model: type[Neuron]
    reset: str = "subtract"
    surrogate: surrogate.Surrogate = SURROGATES[0]
    detached: bool = False
    compare: str = ">="
    scaled: bool = False
    form: tuple[tuple[str, Any], ...] = ()  # further options, by which a membrane takes another form

    def __str__(self) -> str:
        words = [self.model.__name__, self.reset, type(self.surrogate).__name__]
        words += [f"{k}={v}" for k, v in self.form]
        return "-".join(
            words
            + ["detached"] * self.detached
            + ["above"] * (self.compare == ">")
            + ["scaled"] * self.scaled
        )

    @property
    def spikes(self) -> bool:
        return "fire" in self.model.equation.handed_in

    def build(self, dtype: torch.dtype = torch.float64) -> Neuron:
        options: dict[str, Any] = {"learn": self.model.learnable, **PER_NEURON[self.model]}
        if self.spikes:
            options |= {"surrogate": self.surrogate, "detach_reset": self.detached, "compare": self.compare}
            if "reset" in self.model.equation.handed_in:
                options["reset"] = self.reset
        if self.scaled:
            options["scale_input"] = True
        options |= dict(self.form)
        options = {k: v for k, v in options.items() if takes(self.model, k)}
        return self.model(**options).to(dtype)

    def drive(
        self,
        dtype: torch.dtype = torch.float64,
        steps: int = 53,
        batch: int = 2,
        neurons: int = 3,
        gentle: bool = False,
    ) -> Any:
        """Random input, the same at every call; a tuple when the neuron has several ports."""
        generator = torch.Generator().manual_seed(7)
        ports = len(self.model.equation.ports)
        gain = GAIN.get(self.model, 1.0) * (6.0 if self.scaled else 1.0)
        gain *= 0.02 if gentle and self.model in UPSWING else 1.0
        low = -0.58 if self.reset == "none" and self.spikes else -0.3  # without resets, or they only rise
        shape = (ports, steps, batch, neurons)
        x = gain * (torch.rand(shape, generator=generator, dtype=torch.float64) * 1.2 + low)
        named = zip(x, self.model.equation.ports, strict=True)
        xs = tuple(row.to(dtype).requires_grad_(port not in NOISE) for row, port in named)
        return xs if ports > 1 else xs[0]


def takes(model: type[Neuron], option: str) -> bool:
    if model in RESETS_NOTHING and option in ("detach_reset", "compare"):
        return False
    given = inspect.signature(model).parameters
    return option in given or any(p.kind is p.VAR_KEYWORD for p in given.values())


def _form(model: type[Neuron], reset: str = "subtract", *, scaled: bool = False, **options: Any) -> Case:
    return Case(model, reset, scaled=scaled, form=tuple(options.items()))


FORMS = [
    _form(IF, "value", v_reset=-0.2, reset_timing="next"),
    _form(LIF, "value", v_reset=-0.2, v_leak=0.1, solver="euler"),
    _form(LIF, "zero", v_leak=-0.1, reset_timing="next"),
    _form(LIF, solver="euler_quotient", reset_timing="carry"),
    _form(LIF, scaled=True, solver="euler_quotient", reset_timing="next"),
    _form(LIF, scaled=True, solver="euler", v_leak=[0.1, 0.0, -0.1]),
    _form(CubaLIF, "value", v_reset=0.1, order="membrane_first", solver="euler"),
    _form(CubaLIF, order="decay_last", scale_input="membrane", threshold=0.3, reset_timing="next"),
    _form(CubaLIF, order="decay_last", solver="euler_quotient", v_leak=0.1),
    _form(LeakyIntegrator, solver="euler", v_leak=0.1),
    _form(LeakyIntegrator, scaled=True, solver="euler_quotient"),
    _form(ParametricLIF, "value", scaled=True, v_reset=[-0.1, 0.0, 0.1], learn=ParametricLIF.learnable),
    _form(KLIF, "zero", scaled=True, scale_reset=True, solver="euler"),
    _form(TernaryLIF, solver="euler_quotient"),
    _form(MultiSpikeIF, n_max=2, v_min=-0.2),
    _form(DeltaEncoder, send="graded", learn=()),
    _form(DeltaEncoder, send="trunc"),
    _form(SigmaDelta, send="graded", activation=None, learn="bias"),
    _form(StochasticLIF, form="sigmoid", reset="zero", learn=("tau", "threshold", "width")),
    _form(MetaNeuron, "value", v_reset=-0.2, learn=MetaNeuron.learnable),
    _form(RefractoryLIF, v_reset=-0.1, reset="value", solver="euler"),
]


def _all_cases() -> list[Case]:
    cases = []
    for model in PER_NEURON:
        if "fire" not in model.equation.handed_in:
            cases.append(Case(model))
            continue
        resets = ("subtract", "zero", "none") if "reset" in model.equation.handed_in else ("subtract",)
        detaching = (False, True) if takes(model, "detach_reset") else (False,)
        smoothed = SURROGATES if takes(model, "surrogate") else SURROGATES[:1]
        for reset, smooth, detached in itertools.product(resets, smoothed, detaching):
            cases.append(Case(model, reset, smooth, detached))
    cases += [Case(model, scaled=True) for model in (LIF, CubaLIF, AdaptiveLIF, LeakyIntegrator)]
    return [*cases, Case(LIF, compare=">"), Case(IF, "zero", compare=">"), *FORMS]


ALL = _all_cases()
COMPILED = [  # what is worth a compiler's time in every run of the tests; the rest runs the same text interpreted
    Case(IF, "none", SURROGATES[2]),
    Case(LIF, "subtract", SURROGATES[0]),
    Case(CubaLIF, "zero", SURROGATES[1], detached=True),
    Case(AdaptiveLIF, "subtract", SURROGATES[2], detached=True),
    Case(LeakyIntegrator),
    Case(TwoPoint),
    FORMS[1],
    Case(Wordy),
    Case(AdEx),
    Case(HodgkinHuxley),
    Case(TernaryLIF),
    Case(MultiSpikeIF, detached=True),
    Case(ComplementaryLIF),
]


# Running ----------------------------------------------------------------------------------------------------------


def leaves(x: Any) -> list[Tensor]:
    return list(x) if isinstance(x, tuple) else [x]


def run(cell: Neuron, x: Any, state: Any = None) -> tuple[list[Tensor], list[Tensor]]:
    """Everything that a run answers, and every gradient of a loss on spikes and states."""
    cell.zero_grad()
    for tensor in leaves(x):
        tensor.grad = None
    outputs, end = cell.scan(x, state)
    generator = torch.Generator().manual_seed(3)
    results = [outputs, *end]
    weights = [torch.rand(r.shape, generator=generator, dtype=torch.float64).to(r.dtype) for r in results]
    sum((r * w).sum() for r, w in zip(results, weights, strict=True)).backward()
    gradients = [t.grad for t in (*leaves(x), *cell.parameters()) if t.requires_grad]
    return [r.detach() for r in results], gradients


def run_reference(cell: Neuron, x: Any, state: Any = None) -> tuple[list[Tensor], list[Tensor]]:
    with use_reference():
        return run(cell, x, state)


def same_bits(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(p, q) for p, q in zip(a, b, strict=True))


def relative_error(a: list[Tensor], b: list[Tensor]) -> float:
    """The worst error, relative to the largest of each tensor; NaN or a gradient of zeros is not accepted."""
    worst = 0.0
    for p, q in zip(a, b, strict=True):
        assert bool(torch.isfinite(p).all()) and bool(torch.isfinite(q).all())
        assert float(q.abs().max()) > 0
        worst = max(worst, float((p - q).abs().max() / q.abs().max()))
    return worst


def without_compiler(source: str) -> str:
    """The text of a kernel as plain Python."""
    text = source.replace(loops_numba.DECORATOR, "").replace("from numba import njit\n", "")
    return re.sub(r"(?s)from llvmlite.*?(?=BLOCK)|@intrinsic.*?generate\n", "", text)


def interpret(monkeypatch, **words: Any) -> None:
    """Run the generated text in Python instead of compiling it; `words` are added to its namespace."""

    def loaded(source: str) -> dict[str, Any]:
        namespace: dict[str, Any] = {"prefetch": lambda row, n: None, **words}
        exec(compile(without_compiler(source), "<kernel>", "exec"), namespace)  # noqa: S102 (our own text)
        return namespace

    def forward(definition, precision):
        return loaded(loops_numba.forward_source(definition, precision))["forward"]

    def adjoint(definition, precision, wanted):
        return loaded(loops_numba.adjoint_source(definition, precision, wanted))["adjoint"]

    monkeypatch.setattr(run_numba, "_forward_kernel", forward)
    monkeypatch.setattr(run_numba, "_adjoint_kernel", adjoint)


def definition_of(cell: Neuron):
    return operator.lookup(cell._key)


def smooth_language(fire: str):
    """The printer's language with another text for `fire`, for networks that have finite differences."""
    operations = {**loops_numba.NUMBA.operations, "fire": fire}
    return replace(loops_numba.NUMBA, operations=operations)


def primitive(kind: type[surrogate.Surrogate]):
    """The smooth step whose derivative the surrogate is."""
    return {
        surrogate.ATan: lambda u, alpha: np.arctan(np.pi / 2 * alpha * u) / np.pi + 0.5,
        surrogate.FastSigmoid: lambda u, slope: u / (1 + slope * abs(u)),
        surrogate.Triangle: _triangle,
    }[kind]


def _triangle(u, height, width):
    inside = np.clip(u, -width, width)
    return height * (inside - np.sign(inside) * inside**2 / (2 * width))
