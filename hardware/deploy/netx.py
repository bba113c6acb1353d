"""lava-dl's netx file: a network for Loihi as HDF5, read by `lava.lib.dl.netx.hdf5.Network`.

Layout as in lava-dl's loader: `/layer/<i>` with `type`, `shape`, `weight`, the geometry of convolutions, and
a group `neuron`. Weights stay even and within -256..254: the loader rescales them itself and turns a layer
with larger ones into zeros.

Delays of dense layers are `delay`, in steps beyond the one that every synapse takes: a vector of the outputs, or of the inputs, or a
matrix out x in. The loader takes a vector of a square layer as one of the outputs, and cuts delays at 62; it reads none of
convolutions. Checked spike for spike by running the files in Lava (lava-nc/lava b6822fb, lava-nc/lava-dl d825ac5, `fixed_pt`):
axonal, dendritic and synaptic delays from 0 to 62, square layers, delays of the input, behind a flatten, and of a membrane readout.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from snnkit.hardware.fixed_point import LoihiLayer
from snnkit.hardware.graph import UnsupportedGraph
from snnkit.hardware.segments import Synapse

MOST_DELAY = 62  # steps


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


def check_netx(layers: list[LoihiLayer]) -> None:
    """Raise `UnsupportedGraph` for delays that the file cannot hold."""
    long = [f"{la.name} has {la.synapse.longest:,}" for la in layers if la.synapse.longest > MOST_DELAY]
    if long:
        raise UnsupportedGraph(
            f"delays reach {MOST_DELAY} steps in a netx file, layer {', layer '.join(long)}; shorten them "
            f"(max_delay={MOST_DELAY} * dt, or training with delay_excess(net, longest={MOST_DELAY} * dt)) or take longer steps"
        )


def delay_kind(synapse: Synapse) -> str | None:
    """The simplest of `DelayedLinear`'s kinds that gives these delays; None where there are none."""
    delay = synapse.delay
    if delay is None or not synapse.longest:
        return None
    if (delay == delay[:1]).all():
        return "axonal"
    return "dendritic" if (delay == delay[:, :1]).all() else "synaptic"


def _delay(synapse: Synapse) -> np.ndarray | None:
    """The dataset `delay`."""
    kind = delay_kind(synapse)
    if synapse.delay is None or kind is None:
        return None
    delay = synapse.delay.numpy().astype(np.int32)
    if kind == "dendritic":
        return delay[:, 0]
    square = delay.shape[0] == delay.shape[1]  # a vector would be read as dendritic
    return delay if kind == "synaptic" or square else delay[0]


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
        if (delay := _delay(s)) is not None:
            group["delay"] = delay
    neuron = group.create_group("neuron")
    neuron["type"] = np.array([b"LOIHI"], dtype="S10")
    neuron["iDecay"], neuron["vDecay"] = layer.du + 1, layer.dv
    neuron["vThMant"], neuron["refDelay"] = layer.vth, 1
    neuron["gradedSpike"] = False
