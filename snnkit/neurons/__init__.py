"""Neurons: one step function each, run on tensors, printed as kernels, swept in reverse for gradients."""

from snnkit.neurons import surrogate
from snnkit.neurons.adaptive import AdaptiveLIF, AdaptiveLIFState
from snnkit.neurons.alpha import Alpha, AlphaState
from snnkit.neurons.base import Decay, Neuron
from snnkit.neurons.cuba import CubaLIF, CubaLIFState
from snnkit.neurons.equations import Equation, neuron
from snnkit.neurons.exponential import EIF, AdEx, AdExState, EIFState
from snnkit.neurons.hodgkin_huxley import HodgkinHuxley, HodgkinHuxleyState
from snnkit.neurons.izhikevich import Izhikevich, IzhikevichState
from snnkit.neurons.lif import IF, LIF, IFState, LIFState
from snnkit.neurons.quadratic import QIF, QIFState
from snnkit.neurons.readout import LeakyIntegrator, LeakyIntegratorState
from snnkit.neurons.reference import use_reference
from snnkit.neurons.resonate import (
    BalancedResonateAndFire,
    BalancedResonateAndFireState,
    ResonateAndFire,
    ResonateAndFireState,
)
from snnkit.neurons.two_compartment import (
    TCLIF,
    ApicalBurst,
    ApicalBurstState,
    TCLIFState,
    TwoPoint,
    TwoPointState,
)

__all__ = [
    "IF",
    "IFState",
    "LIF",
    "LIFState",
    "CubaLIF",
    "CubaLIFState",
    "AdaptiveLIF",
    "AdaptiveLIFState",
    "LeakyIntegrator",
    "LeakyIntegratorState",
    "Alpha",
    "AlphaState",
    "QIF",
    "QIFState",
    "EIF",
    "EIFState",
    "AdEx",
    "AdExState",
    "Izhikevich",
    "IzhikevichState",
    "HodgkinHuxley",
    "HodgkinHuxleyState",
    "ResonateAndFire",
    "ResonateAndFireState",
    "BalancedResonateAndFire",
    "BalancedResonateAndFireState",
    "TwoPoint",
    "TwoPointState",
    "TCLIF",
    "TCLIFState",
    "ApicalBurst",
    "ApicalBurstState",
    "Neuron",
    "Decay",
    "Equation",
    "neuron",
    "surrogate",
    "use_reference",
]
