"""N-MNIST's decoder, which lives in `snnkit.datasets.files.nmnist`."""

from snnkit.datasets.files.nmnist import SENSOR, decode_nmnist, read_nmnist

__all__ = ["SENSOR", "decode_nmnist", "read_nmnist"]
