"""The README of a deployment folder."""

from __future__ import annotations

from typing import Any

from snnkit.hardware.deploy.netx import delay_kind
from snnkit.hardware.fixed_point import LoihiLayer

LOIHI = """# {title}

Written by snnkit. The network runs on Loihi, or bit for bit the same in Lava's `fixed_pt` simulation.

| file | what |
|---|---|
| `network.net` | the integer network in lava-dl's netx format (HDF5) |
| `network.nir` | the float network it was made from |
| `weights.npz` | the same integers for other tools: per layer weight, bias, du, dv, vth, v0, geometry{arrays} (no pickle) |
| `vectors.npz` | {kept} test samples: input events and the spikes every layer must give |
| `report.json` | float against integer network, layer by layer |

## Load and check in Lava

```python
import numpy as np
from lava.lib.dl import netx
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc import io

vectors = np.load("vectors.npz")
steps, sample = int(vectors["steps"]), 0                  # steps of a run, until the answer is complete
x = np.zeros((steps, *vectors["input_shape"]), dtype=int)  # time, *shape
mine = vectors["input_b"] == sample
x.reshape(steps, -1)[vectors["input_t"][mine], vectors["input_i"][mine]] = {value}

net = netx.hdf5.Network(net_config="network.net"{bits}){init}
source = io.source.RingBuffer(data={data})  # Lava: x, y, channel, time
sink = io.sink.RingBuffer(shape=net.out.shape, buffer=steps)
source.s_out.connect(net.inp)
net.out.connect(sink.a_in)
net.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
print(sink.data.get())                                     # x, y, channel, time
net.stop()
```

Every synapse delivers one step later: what enters at step t leaves layer l (counted from 1) at step t + l at the earliest.
{delays}The answer to T steps of input is complete after T + {complete} steps. {readout}

## What the chip does differently

{notes}

## Layers

| layer | weights | delays | du | dv | threshold | units per 1.0 |
|---|---|---|---|---|---|---|
{rows}
"""

DELAYS = """Delays come on top: a spike waits so many steps more; the longest of every layer add up to {longest} steps.
"""

NIR = """# Network as NIR

Written by snnkit. `network.nir` is read by any library that knows NIR (`nir.read("network.nir")`). Node metadata holds what
NIR itself does not: `dt`, `reset`, `compare` and the exact decay per step; readers that ignore it use Euler's method and
reset to zero, and their spikes differ.

`vectors.npz` has {kept} test samples (`input_t`, `input_b`, `input_i`, `input_v`: step, sample, flat channel, value) and the
spikes that every neuron layer of the float network gives (`<layer>_t`, `_b`, `_i`), or the membrane (`<layer>_v`) of a
layer that is read out. `report.json` has rates{accuracy}.
"""


def loihi_readme(layers: list[LoihiLayer], report: dict[str, Any], kept: int, graded: bool) -> str:
    """How to load the folder in lava-dl."""
    first = layers[0].synapse
    needs_v0 = [i for i, layer in enumerate(layers) if layer.v0.any()]
    init = ""
    if needs_v0:
        init = (
            '\nweights = np.load("weights.npz")  # membranes do not start at 0\n'
            "for i, layer in enumerate(net.layers):\n"
            '    v0 = weights[f"{i}_v0"]\n'
            "    layer.neuron.v.init = np.broadcast_to(v0.T, layer.neuron.v.shape).copy()"
        )
    flat = not first.is_conv and len(first.in_shape) > 1  # the loader wants channel, row, column in one line
    readout = "The answer is in the spikes of the last layer."
    if layers[-1].reads_membrane:
        readout = (
            "The answer is in the membrane of the last layer (`net.layers[-1].neuron.v`), whose threshold is out of reach; "
            "probe it at every step, and divide by 64 x the units per 1.0 below for the float value."
        )
    longest = sum(la.synapse.longest for la in layers)
    rows = "\n".join(
        f"| {la.name} | {' x '.join(map(str, la.synapse.weight.shape))} | {_delays(la)} | {la.du} | {la.dv} | "
        f"{'-' if la.reads_membrane else la.vth} | {la.scale:.6g} |"
        for la in layers
    )
    return LOIHI.format(
        title="Network for Loihi (lava-dl netx)",
        kept=kept,
        bits=", input_message_bits=8" if graded else "",
        value='vectors["input_v"][mine]' if graded else "1",
        init=init,
        data="x.reshape(steps, -1).T" if flat else "x.T",
        arrays=", delay (out x in, steps)" if longest else "",
        delays=DELAYS.format(longest=longest) if longest else "",
        complete=len(layers) + longest,
        readout=readout,
        notes="\n".join(f"- {note}" for note in report["notes"]) or "- nothing that was noticed",
        rows=rows,
    )


def _delays(layer: LoihiLayer) -> str:
    kind = delay_kind(layer.synapse)
    return f"{kind}, up to {layer.synapse.longest} steps" if kind else "-"


XYLO = """# Network for Xylo Audio 2 (SYNS61201)

Written by snnkit. `xylo.json` holds the arguments of rockpool's `from_specification` (simulator) and
`config_from_specification` (chip) in 8-bit weights, bit-shift decays and 16-bit thresholds.

```python
import json
import numpy as np
from rockpool.devices.xylo.syns61201 import XyloSim

lists = ("aliases", "dt", "weight_shift_in", "weight_shift_rec", "weight_shift_out")
given = json.load(open("xylo.json"))
spec = {{k: v if k in lists else np.array(v) for k, v in given.items()}}
chip = XyloSim.from_specification(**spec)

vectors = np.load("vectors.npz")
sample, steps = 0, int(vectors["steps"])
x = np.zeros((steps, *vectors["input_shape"]), dtype=int)
mine = vectors["input_b"] == sample
x[vectors["input_t"][mine], vectors["input_i"][mine]] = vectors["input_v"][mine]
spikes, _, _ = chip(x)                        # time, output neuron
```

`vectors.npz` has {kept} test samples: input counts and the spike counts of every layer (`<layer>_spikes_t`, `_b`, `_i`, `_v`).
Hidden layers are blocks of the recurrent population, so layer l (from 0) answers in step t + l at the earliest; the answer to T
steps is complete after T + {depth}. `report.json` compares float and integer network.

## What the chip does differently

{notes}
"""
