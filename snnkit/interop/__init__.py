"""Networks from and to other libraries: through NIR graphs and files, and read from their modules."""

from snnkit.interop.nir_io import load, read_nir, save, write_nir
from snnkit.interop.nir_read import from_nir
from snnkit.interop.nir_write import to_nir
from snnkit.interop.norse import from_norse
from snnkit.interop.snntorch import from_snntorch
from snnkit.interop.spikingjelly import from_spikingjelly

__all__ = [
    "to_nir",
    "from_nir",
    "save",
    "load",
    "read_nir",
    "write_nir",
    "from_snntorch",
    "from_spikingjelly",
    "from_norse",
]
