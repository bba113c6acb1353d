"""Conversion: trained ANNs become spiking networks."""

from snnkit.conversion.converter import Converted, convert
from snnkit.conversion.folding import ConversionError
from snnkit.conversion.qcfs import QCFS, with_qcfs
from snnkit.conversion.report import accuracy_by_timesteps

__all__ = ["convert", "Converted", "ConversionError", "QCFS", "with_qcfs", "accuracy_by_timesteps"]
