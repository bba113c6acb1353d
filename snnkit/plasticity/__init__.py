"""Local learning rules as data: traces, one-line functions of named arguments, constants, bounds."""

from snnkit.neurons.language import clip, exp, floor, log, maximum, minimum, sigmoid, sqrt, tanh, where
from snnkit.plasticity.astrocytes import AstrocyteNetwork
from snnkit.plasticity.cells import TargetRateLIF
from snnkit.plasticity.conv import ConvSTDP, conv_pair_stdp
from snnkit.plasticity.domains import Domains
from snnkit.plasticity.modulated import (
    astrocyte,
    astrocyte_stdp,
    clocked_eligibility_stdp,
    dopamine,
    eligibility_stdp,
    reward_stdp,
)
from snnkit.plasticity.rates import homeostatic_stdp, oja, short_term
from snnkit.plasticity.registry import register
from snnkit.plasticity.rule import Modulators, Rule, Trace
from snnkit.plasticity.stdp import (
    anti_hebbian_stdp,
    bcm,
    clopath_stdp,
    diehl_cook_stdp,
    pair_stdp,
    power,
    symmetric_stdp,
    triplet_stdp,
)

__all__ = [
    "Rule", "Trace", "Modulators", "Domains", "register",
    "pair_stdp", "triplet_stdp", "symmetric_stdp", "anti_hebbian_stdp", "bcm", "diehl_cook_stdp", "clopath_stdp",
    "reward_stdp", "eligibility_stdp", "clocked_eligibility_stdp", "dopamine", "astrocyte_stdp", "astrocyte", "AstrocyteNetwork",
    "oja", "homeostatic_stdp", "short_term", "TargetRateLIF", "ConvSTDP", "conv_pair_stdp",
    "where", "clip", "minimum", "maximum", "exp", "log", "sqrt", "tanh", "sigmoid", "floor", "power",
]  # fmt: skip
