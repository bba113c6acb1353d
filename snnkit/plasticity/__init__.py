"""Local learning rules as data: traces, one-line functions of named arguments, constants, bounds."""

from snnkit.neurons.language import clip, exp, floor, log, maximum, minimum, sigmoid, sqrt, tanh, where
from snnkit.plasticity.rule import Modulators, Rule, Trace

__all__ = [
    "Rule", "Trace", "Modulators",
    "where", "clip", "minimum", "maximum", "exp", "log", "sqrt", "tanh", "sigmoid", "floor",
]  # fmt: skip
