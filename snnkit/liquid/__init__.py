"""Liquids: sparse recurrent spiking networks without gradients, their wiring, measures and readouts."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from snnkit.liquid.features import counts, filtered
from snnkit.liquid.files import load, save
from snnkit.liquid.liquid import Liquid
from snnkit.liquid.projection import Projection
from snnkit.liquid.state import LiquidState, Run

_LATER = {name: "snnkit.liquid.readout" for name in ("LiquidFeatures", "RidgeReadout", "SoftmaxReadout")}
_LATER |= {"ResistiveLiquid": "snnkit.liquid.resistive"}

__all__ = [
    "Liquid", "Projection", "LiquidState", "Run", "save", "load", "counts", "filtered",
    "ResistiveLiquid", "LiquidFeatures", "RidgeReadout", "SoftmaxReadout",
]  # fmt: skip

if TYPE_CHECKING:
    from snnkit.liquid.readout import LiquidFeatures, RidgeReadout, SoftmaxReadout
    from snnkit.liquid.resistive import ResistiveLiquid


def __getattr__(name: str) -> Any:
    """When first asked for: scikit-learn and hardware take their time to import."""
    if name not in _LATER:
        raise AttributeError(f"snnkit.liquid has no {name!r}")
    return getattr(import_module(_LATER[name]), name)
