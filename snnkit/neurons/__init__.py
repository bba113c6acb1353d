"""Neurons: one step function each, run on tensors, printed as kernels, swept in reverse for gradients."""

from snnkit.neurons import surrogate
from snnkit.neurons.adaptive import AdaptiveLIF, AdaptiveLIFState
from snnkit.neurons.base import Neuron
from snnkit.neurons.cuba import CubaLIF, CubaLIFState
from snnkit.neurons.equations import Equation, neuron
from snnkit.neurons.lif import IF, LIF, IFState, LIFState
from snnkit.neurons.readout import LeakyIntegrator, LeakyIntegratorState
from snnkit.neurons.reference import use_reference

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
    "Neuron",
    "Equation",
    "neuron",
    "surrogate",
    "use_reference",
]
