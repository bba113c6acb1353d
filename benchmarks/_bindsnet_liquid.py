"""Runs a liquid in BindsNET, for `liquid.py`; needs an environment with BindsNET.

BindsNET has no delays: every spike arrives one step later. Its connections are dense. Static samples run as one batch; with STDP
all samples of a batch share their weights, so they run one by one, and weights are set back. What BindsNET
imports for its data sets and games alone is stood in for where it is not installed.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import torch

PARTS = ("datasets", "transforms", "transforms.functional", "utils")
UNUSED = ["cv2", "ale_py", "gymnasium", "tensorboardX", "foolbox", "skimage", "seaborn", "torchvision"]
for name in UNUSED:
    if importlib.util.find_spec(name) is None:
        sys.modules |= {name: MagicMock(), **{f"{name}.{part}": MagicMock() for part in PARTS}}

from bindsnet.learning import PostPre
from bindsnet.network import Network
from bindsnet.network.monitors import Monitor
from bindsnet.network.nodes import LIFNodes
from bindsnet.network.topology import Connection

folder, threads = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
torch.set_grad_enabled(False)
d = dict(np.load(folder / "network.npz"))
n, steps, few = int(d["n"]), int(d["steps"]), int(d["few"])
w = torch.zeros(n, n)
w[torch.from_numpy(d["pre"]).long(), torch.from_numpy(d["post"]).long()] = torch.from_numpy(d["w"]).float()
stdp = bool(d["stdp"])
cells = LIFNodes(
    n=n, thresh=1.0, rest=0.0, reset=0.0, refrac=0, tc_decay=1e3 * float(d["tau"]), traces=stdp, traces_additive=True, tc_trace=20.0
)  # fmt: skip
rule = {"update_rule": PostPre, "nu": (float(d["a_minus"]), float(d["a_plus"]))} if stdp else {}
top = float(d["top"]) if stdp else np.inf
back = Connection(cells, cells, w=w.clone(), wmin=0.0 if stdp else -np.inf, wmax=top, **rule)
network = Network(dt=1.0)
network.add_layer(cells, "cells")
network.add_connection(back, "cells", "cells")
monitor = Monitor(cells, ["s"], time=steps)
network.add_monitor(monitor, "spikes")
x = torch.zeros(steps, few, n)
mine = d["b"] < few
x[d["t"][mine], d["b"][mine], d["channel"][mine]] = float(d["drive"])

seconds, found = 0.0, []
for part in x.split(1, dim=1) if stdp else [x]:
    network.reset_state_variables()
    back.w.copy_(w)
    start = time.perf_counter()
    network.run({"cells": part.contiguous()}, time=steps, masks={("cells", "cells"): w == 0} if stdp else {})
    seconds += time.perf_counter() - start
    found.append(monitor.get("s").reshape(steps, -1, n))
np.save(folder / "spikes.npy", np.stack(torch.cat(found, 1).nonzero(as_tuple=True)))
(folder / "seconds.json").write_text(json.dumps({"seconds": seconds, "samples": few}))
