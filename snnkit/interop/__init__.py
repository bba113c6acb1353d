"""Networks from and to other libraries, through NIR graphs and files."""

from snnkit.interop.nir_io import load, read_nir, save, write_nir
from snnkit.interop.nir_read import from_nir
from snnkit.interop.nir_write import to_nir

__all__ = ["to_nir", "from_nir", "save", "load", "read_nir", "write_nir"]
