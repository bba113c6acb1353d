"""Runs a liquid in NEST, for `liquid.py`; needs an environment with NEST (`nest-simulator`).

The network is built anew before every sample, which sets everything back; only the runs are timed. Its
generators spike from step 1 on and reach neurons one step later, so all is two steps late here. Its delays are
dendritic: STDP pairs a pre spike as it leaves with a post spike a delay after it left, so neither of snnkit's pairings is the same.
"""

import json
import sys
import time
from pathlib import Path

import nest
import numpy as np

folder, threads = Path(sys.argv[1]), int(sys.argv[2])
d = dict(np.load(folder / "network.npz"))
n, steps, LATE = int(d["n"]), int(d["steps"]), 2
nest.verbosity = nest.VerbosityLevel.ERROR


def build(sample: int):
    nest.ResetKernel()
    nest.resolution, nest.local_num_threads = 1.0, threads
    still = {"E_L": 0.0, "V_reset": 0.0, "V_m": 0.0, "I_e": 0.0, "t_ref": 0.0, "C_m": 1.0}
    cells = nest.Create(
        "iaf_psc_delta", n, params={**still, "V_th": 1.0, "tau_m": 1e3 * float(d["tau"]), "tau_minus": 20.0}
    )
    mine = d["b"] == sample
    t, channel = d["t"][mine] + 1.0, d["channel"][mine]
    order = np.lexsort((t, channel))
    parts = np.split(t[order], np.cumsum(np.bincount(channel, minlength=n))[:-1])
    source = nest.Create("spike_generator", n, params=[{"spike_times": p} for p in parts])
    nest.Connect(source, cells, "one_to_one", {"weight": float(d["drive"]), "delay": 1.0})
    ids, top, many = np.array(cells.tolist()), float(d["top"]), len(d["pre"])
    how = {"weight": d["w"], "delay": d["late"].astype(float)}
    if d["stdp"]:
        rule = {"Wmax": top, "lambda": float(d["a_plus"]) / top, "alpha": float(d["a_minus"] / d["a_plus"])}
        rule |= {"mu_plus": 0.0, "mu_minus": 0.0, "tau_plus": 20.0}
        how |= {"synapse_model": "stdp_synapse", **{k: np.full(many, v) for k, v in rule.items()}}
    nest.Connect(ids[d["pre"]], ids[d["post"]], "one_to_one", how)
    seen = nest.Create("spike_recorder")
    nest.Connect(cells, seen)
    return seen, ids[0]


seconds, found = 0.0, []
for sample in range(int(d["few"])):
    seen, first = build(sample)
    nest.Prepare()
    nest.Run(1.0)  # the first run of a network sorts its connections
    start = time.perf_counter()
    nest.Run(float(steps + LATE))
    seconds += time.perf_counter() - start
    nest.Cleanup()
    told = seen.events
    step = np.rint(told["times"]).astype(int) - LATE
    inside = (step >= 0) & (step < steps)
    found.append(np.stack([step[inside], np.full(inside.sum(), sample), told["senders"][inside] - first]))
np.save(folder / "spikes.npy", np.concatenate(found, 1))
(folder / "seconds.json").write_text(json.dumps({"seconds": seconds, "samples": int(d["few"])}))
