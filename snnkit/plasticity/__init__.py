"""Local learning rules as data: traces, one-line functions of named arguments, constants, bounds. Also the tempotron, and
Hebbian subspaces."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from snnkit.neurons.language import clip, exp, floor, log, maximum, minimum, sigmoid, sqrt, tanh, where
from snnkit.plasticity.astrocytes import AstrocyteNetwork, astrocyte_domains
from snnkit.plasticity.cells import TargetRateLIF
from snnkit.plasticity.conv import ConvSTDP, conv_pair_stdp
from snnkit.plasticity.domains import Domains
from snnkit.plasticity.hebbian import HebbianSubspace, ShieldedLinear
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

_LATER = {"Tempotron": "snnkit.plasticity.tempotron"}

__all__ = [
    "Rule", "Trace", "Modulators", "Domains", "register",
    "pair_stdp", "triplet_stdp", "symmetric_stdp", "anti_hebbian_stdp", "bcm", "diehl_cook_stdp", "clopath_stdp",
    "reward_stdp", "eligibility_stdp", "clocked_eligibility_stdp", "dopamine", "astrocyte_stdp", "astrocyte", "AstrocyteNetwork",
    "astrocyte_domains", "Tempotron", "HebbianSubspace", "ShieldedLinear",
    "oja", "homeostatic_stdp", "short_term", "TargetRateLIF", "ConvSTDP", "conv_pair_stdp",
    "where", "clip", "minimum", "maximum", "exp", "log", "sqrt", "tanh", "sigmoid", "floor", "power",
]  # fmt: skip

if TYPE_CHECKING:
    from snnkit.plasticity.tempotron import Tempotron


def __getattr__(name: str) -> Any:
    """When first asked for: its kernels take their time to import."""
    if name not in _LATER:
        raise AttributeError(f"snnkit.plasticity has no {name!r}")
    return getattr(import_module(_LATER[name]), name)
