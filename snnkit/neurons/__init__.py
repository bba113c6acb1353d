"""Neurons: one step function each, run on tensors, printed as kernels, swept in reverse for gradients."""

from snnkit.neurons import surrogate
from snnkit.neurons.adaptive import AdaptiveLIF, AdaptiveLIFState
from snnkit.neurons.alpha import Alpha, AlphaState
from snnkit.neurons.base import Decay, Neuron
from snnkit.neurons.complementary import ComplementaryLIF, ComplementaryLIFState
from snnkit.neurons.conductance import ConductanceLIF, ConductanceLIFState
from snnkit.neurons.cuba import CubaLIF, CubaLIFState
from snnkit.neurons.equations import Equation, neuron
from snnkit.neurons.exponential import EIF, AdEx, AdExState, EIFState
from snnkit.neurons.gated import GatedLIF, GatedLIFState
from snnkit.neurons.hodgkin_huxley import HodgkinHuxley, HodgkinHuxleyState
from snnkit.neurons.izhikevich import Izhikevich, IzhikevichState
from snnkit.neurons.lif import IF, LIF, IFState, LIFState
from snnkit.neurons.multispike import IntegerLIF, IntegerLIFState, MultiSpikeIF, MultiSpikeIFState
from snnkit.neurons.parallel import PSN, MaskedPSN, SlidingPSN, SlidingPSNState
from snnkit.neurons.parametric import KLIF, KLIFState, ParametricLIF
from snnkit.neurons.quadratic import QIF, QIFState
from snnkit.neurons.readout import LeakyIntegrator, LeakyIntegratorState
from snnkit.neurons.reference import use_reference
from snnkit.neurons.refractory import Refractory
from snnkit.neurons.resonate import (
    BalancedResonateAndFire,
    BalancedResonateAndFireState,
    ResonateAndFire,
    ResonateAndFireState,
)
from snnkit.neurons.sigma_delta import (
    DeltaEncoder,
    DeltaEncoderState,
    SigmaDecoder,
    SigmaDecoderState,
    SigmaDelta,
    SigmaDeltaState,
)
from snnkit.neurons.signed import (
    SignedIF,
    SignedIFState,
    TernaryIF,
    TernaryIFState,
    TernaryLIF,
    TernaryLIFState,
)
from snnkit.neurons.stochastic import MetaNeuron, MetaNeuronState, StochasticLIF, StochasticLIFState
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
    "ConductanceLIF",
    "ConductanceLIFState",
    "ParametricLIF",
    "KLIF",
    "KLIFState",
    "GatedLIF",
    "GatedLIFState",
    "ComplementaryLIF",
    "ComplementaryLIFState",
    "TernaryIF",
    "TernaryIFState",
    "TernaryLIF",
    "TernaryLIFState",
    "SignedIF",
    "SignedIFState",
    "MultiSpikeIF",
    "MultiSpikeIFState",
    "IntegerLIF",
    "IntegerLIFState",
    "DeltaEncoder",
    "DeltaEncoderState",
    "SigmaDecoder",
    "SigmaDecoderState",
    "SigmaDelta",
    "SigmaDeltaState",
    "StochasticLIF",
    "StochasticLIFState",
    "MetaNeuron",
    "MetaNeuronState",
    "PSN",
    "MaskedPSN",
    "SlidingPSN",
    "SlidingPSNState",
    "Refractory",
    "Neuron",
    "Decay",
    "Equation",
    "neuron",
    "surrogate",
    "use_reference",
]
