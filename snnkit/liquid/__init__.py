"""Liquids: sparse recurrent spiking networks without gradients, their wiring, measures and readouts."""

from snnkit.liquid.files import load, save
from snnkit.liquid.liquid import Liquid
from snnkit.liquid.projection import Projection
from snnkit.liquid.state import LiquidState, Run

__all__ = ["Liquid", "LiquidState", "Projection", "Run", "load", "save"]
