"""Liquids: sparse recurrent spiking networks without gradients, their wiring, measures and readouts."""

from snnkit.liquid.liquid import Liquid, LiquidState, Run
from snnkit.liquid.projection import Projection

__all__ = ["Liquid", "LiquidState", "Projection", "Run"]
