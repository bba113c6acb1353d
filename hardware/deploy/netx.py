"""lava-dl's netx file: a network for Loihi as HDF5, read by `lava.lib.dl.netx.hdf5.Network`.

Layout as in lava-dl's loader: `/layer/<i>` with `type`, `shape`, `weight`, the geometry of convolutions, and
a group `neuron`. Weights stay even and within -256..254: the loader rescales them itself and turns a layer
with larger ones into zeros.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from snnkit.hardware.fixed_point import LoihiLayer


def write_netx(layers: list[LoihiLayer], path: Path) -> None:
    """Write integer layers as a .net file; the same layers give the same bytes but for HDF5's own order."""
    with h5py.File(path, "w") as file:
        entries: list[tuple[str, LoihiLayer | None, tuple[int, ...]]] = [
            ("input", None, layers[0].synapse.in_shape)
        ]
        for la in layers:
            if not la.synapse.is_conv and len(la.synapse.in_shape) > 1:
                entries.append(("flatten", None, (int(np.prod(la.synapse.in_shape)),)))
            entries.append(("conv" if la.synapse.is_conv else "dense", la, la.synapse.out_shape))
        for i, (kind, layer, shape) in enumerate(entries):
            group = file.create_group(f"layer/{i}")
            group["type"] = np.array([kind.encode()], dtype="S10")
            group["shape"] = np.array(shape, dtype=np.int64)
            if layer is not None:
                _write_layer(group, layer)


def _write_layer(group: h5py.Group, layer: LoihiLayer) -> None:
    s = layer.synapse
    group["weight"] = s.weight.numpy().astype(np.int32)
    if layer.bias.any():
        group["bias"] = layer.bias.numpy().astype(np.int32)
    if s.is_conv:
        group["inChannels"], group["outChannels"] = s.in_shape[0], s.out_shape[0]
        group["kernelSize"] = np.array(s.weight.shape[2:])
        group["stride"], group["padding"] = np.array(s.stride), np.array(s.padding)
        group["dilation"], group["groups"] = np.array((1, 1)), s.groups
    else:
        group["inFeatures"], group["outFeatures"] = s.weight.shape[1], s.weight.shape[0]
    neuron = group.create_group("neuron")
    neuron["type"] = np.array([b"LOIHI"], dtype="S10")
    neuron["iDecay"], neuron["vDecay"] = layer.du + 1, layer.dv
    neuron["vThMant"], neuron["refDelay"] = layer.vth, 1
    neuron["gradedSpike"] = False
