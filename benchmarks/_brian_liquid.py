"""Writes and compiles the C++ program of a liquid with Brian2; `liquid.py` runs it. Needs an environment with Brian2.

One run over all samples, end to end: before each one a gap longer than the longest delay empties what is on its way, then membranes,
traces and weights are set back. Input is delivered one step after its spike here, and so are spikes between neurons: times and delays
are one step less. `exact` writes STDP with snnkit's pairs: a pair within a step counts nothing, and a post spike counts from its own step on;
the usual text makes the post part in the next step, behind the pre part, and lets it read what arrives in that step.
"""

import json
import sys
from pathlib import Path

import numpy as np
from brian2 import (
    NeuronGroup,
    SpikeGeneratorGroup,
    SpikeMonitor,
    Synapses,
    defaultclock,
    device,
    magic_network,
    ms,
    prefs,
    run,
    second,
    set_device,
)

GAP = 12

folder = Path(sys.argv[1])
d = dict(np.load(folder / "network.npz"))
set_device("cpp_standalone", directory=str(folder / "program"), build_on_run=False)
prefs.core.default_float_dtype = np.float64 if d["double"] else np.float32
prefs.devices.cpp_standalone.openmp_threads = int(d["openmp"])  # 0 is off
prefs.codegen.cpp.extra_compile_args_gcc = ["-O3", "-march=native", "-w"]
defaultclock.dt = 1 * ms
magic_network.schedule = ["start", "groups", "synapses", "thresholds", "resets", "post", "end"]

n, length = int(d["n"]), int(d["steps"]) + GAP
tau, ap, am, top = float(d["tau"]) * second, float(d["a_plus"]), float(d["a_minus"]), float(d["top"])
cells = NeuronGroup(n, "dv/dt = -v / tau : 1", threshold="v >= 1", reset="v = 0", method="exact")
source = SpikeGeneratorGroup(n, d["channel"], (d["b"] * length + d["t"]) * ms)
drive = Synapses(source, cells, on_pre=f"v_post += {float(d['drive'])}")
drive.connect(j="i")
if d["stdp"]:
    model = "w : 1\nw0 : 1\ndx/dt = -x / (20*ms) : 1 (event-driven)\ndy/dt = -y / (20*ms) : 1 (event-driven)"
    down, up = "v_post += w\nw = clip(w - am * y, 0, top)", "w = clip(w + ap * x, 0, top)\ny += 1"
    on_pre = {"pre": down, "seen": "x += 1"} if d["exact"] else f"{down}\nx += 1"
    back = Synapses(cells, cells, model, on_pre=on_pre, on_post=up)
else:
    back = Synapses(cells, cells, "w : 1", on_pre="v_post += w")
back.connect(i=d["pre"], j=d["post"])
back.w = d["w"]
back.pre.delay = (d["late"] - 1) * ms
if d["stdp"] and d["exact"]:  # both behind the thresholds, where spikes are those of this step
    back.post.when = back.seen.when = "post"
    back.seen.order, back.seen.delay = 2, d["late"] * ms
cells.run_regularly("v = 0", dt=length * ms, when="start")
if d["stdp"]:
    back.w0 = d["w"]
    back.run_regularly("w = w0\nx = 0\ny = 0", dt=length * ms, when="start")
spikes = SpikeMonitor(cells)
for when in ("before", "after"):  # seconds of the processor until here
    line = f'{{ std::ofstream f("results/{when}.txt"); f << double(std::clock()) / CLOCKS_PER_SEC; }}'
    device.insert_code(f"{when}_network_run", line)
run(int(d["samples"]) * length * ms)
device.build(directory=str(folder / "program"), compile=True, run=False)
names = {k: device.get_array_filename(spikes.variables[k]) for k in ("t", "i")}
names["w"] = device.get_array_filename(back.variables["w"])
(folder / "results.json").write_text(json.dumps({**names, "gap": GAP}))
