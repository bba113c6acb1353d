"""The network of `stdp.py` in another library, in that library's environment: `_stdp_peers.py NAME FOLDER`.

Prints its version, then runs once for each line that comes in, and prints the seconds and the spikes; the weights go to FOLDER/NAME.npy.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Network = dict[str, Any]
Run = Callable[[], dict[str, Any]]
STEP_MS = 1.0
# What BindsNET imports for plots, data sets and games; learning needs none of it.
FOR_PLOTS_AND_DATA = (
    "torchvision", "torchvision.utils", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional",
    "cv2", "ale_py", "gymnasium", "gymnasium.spaces", "foolbox", "skimage", "skimage.transform", "skimage.draw", "seaborn", "tensorboardX",
)  # fmt: skip


def input_of(d: Network) -> Any:
    """Dense spikes, T B inputs."""
    import torch

    x = torch.zeros(int(d["steps"]), int(d["samples"]), len(d["w"]))
    x[d["t"], d["b"], d["channel"]] = 1
    return x


def bindsnet(d: Network, folder: Path) -> Run:
    """BindsNET's PostPre on a dense Connection, input and neurons in one step."""
    from unittest.mock import MagicMock

    stubs: set[str] = set()
    for absent in FOR_PLOTS_AND_DATA:
        root = absent.partition(".")[0]
        if root in stubs or importlib.util.find_spec(root) is None:
            stubs.add(root)
            sys.modules[absent] = MagicMock()
    import torch
    from bindsnet.learning import PostPre
    from bindsnet.network import Network as Net
    from bindsnet.network.monitors import Monitor
    from bindsnet.network.nodes import Input, LIFNodes
    from bindsnet.network.topology import Connection

    x, tau, rate = input_of(d), 1e3 * float(d["tau"]), float(d["rate"])
    inputs, n = d["w"].shape
    torch.set_num_threads(1)

    def run() -> dict[str, Any]:
        net = Net(dt=STEP_MS, batch_size=1)
        traces = {"traces": True, "traces_additive": True, "tc_trace": tau}
        source = Input(n=inputs, **traces)
        cells = LIFNodes(n=n, thresh=1.0, rest=0.0, reset=0.0, refrac=0, tc_decay=tau, **traces)
        w = torch.from_numpy(d["w"].copy())
        between = Connection(
            source, cells, w=w, update_rule=PostPre, nu=(rate, rate), wmin=0.0, wmax=float(d["top"])
        )
        for layer, word in ((source, "X"), (cells, "Y")):
            net.add_layer(layer, name=word)
        net.add_connection(between, source="X", target="Y")
        net.add_monitor(Monitor(cells, ["s"], time=len(x)), name="Y")
        spikes, seconds = 0, 0.0
        for b in range(x.shape[1]):
            sample = x[:, b : b + 1].clone()  # a reset zeroes the last step of what it was given
            start = time.perf_counter()
            net.run({"X": sample}, time=len(x), one_step=True)
            seconds += time.perf_counter() - start
            spikes += int(net.monitors["Y"].get("s").sum())
            net.reset_state_variables()
        return {"seconds": seconds, "spikes": spikes, "w": between.w.detach().numpy()}

    return run


def _torch_learner(
    d: Network, build: Callable[[Any], tuple[Callable[..., Any], Callable[[], Any], Callable[[], None]]]
) -> Run:
    """Step by step: the neurons, then the learner's change of the weights; `build` answers (step, change, reset) on a Linear."""
    import torch

    torch.set_num_threads(1)
    x, top = input_of(d), float(d["top"])
    inputs, n = d["w"].shape

    def run() -> dict[str, Any]:
        fc = torch.nn.Linear(inputs, n, bias=False)
        fc.weight.data = torch.from_numpy(d["w"].T.copy())
        step, change, reset = build(fc)
        seconds, spikes = 0.0, 0
        with torch.no_grad():
            for b in range(x.shape[1]):
                reset()
                start = time.perf_counter()
                for x_t in x[:, b : b + 1]:
                    spikes += int(step(x_t).sum())
                    fc.weight.add_(change()).clamp_(0.0, top)
                seconds += time.perf_counter() - start
        return {"seconds": seconds, "spikes": spikes, "w": fc.weight.detach().T.numpy()}

    return run


def snntorch(d: Network, folder: Path) -> Run:
    """snnTorch's STDPLearner on a Linear and a Leaky."""
    import torch
    from snntorch import Leaky
    from snntorch.functional.stdp_learner import STDPLearner

    keep, rate = math.exp(-STEP_MS / (1e3 * float(d["tau"]))), float(d["rate"])

    class Cells(torch.nn.Module):
        """Leaky with its membrane inside, so that its output is the spikes that the learner watches."""

        def __init__(self) -> None:
            super().__init__()
            self.leaky = Leaky(beta=keep, reset_mechanism="zero", reset_delay=False)
            self.mem = torch.zeros(1)

        def forward(self, current: Any) -> Any:
            spikes, self.mem = self.leaky(current, self.mem)
            return spikes

    def build(fc: Any) -> tuple[Any, Any, Any]:
        cells = Cells()
        tau = 1 / (1 - keep)  # its traces lose a share 1/tau per step
        learner = STDPLearner(fc, cells, tau, tau, lambda w: rate, lambda w: rate)

        def reset() -> None:
            cells.mem = torch.zeros(1, fc.out_features)
            learner.trace_pre = learner.trace_post = None

        return lambda x: cells(fc(x)), lambda: learner.step(on_grad=False), reset

    return _torch_learner(d, build)


def spikingjelly(d: Network, folder: Path) -> Run:
    """SpikingJelly's STDPLearner on a Linear and a LIFNode."""
    from spikingjelly.activation_based.learning import STDPLearner
    from spikingjelly.activation_based.neuron import LIFNode

    tau, rate = 1 / (1 - math.exp(-STEP_MS / (1e3 * float(d["tau"])))), float(d["rate"])

    def build(fc: Any) -> tuple[Any, Any, Any]:
        cells = LIFNode(tau=tau, decay_input=False, v_reset=0.0)
        learner = STDPLearner(step_mode="s", synapse=fc, sn=cells, tau_pre=tau, tau_post=tau)
        learner.f_pre = learner.f_post = lambda w: rate

        def reset() -> None:
            cells.reset()
            learner.reset()

        return lambda x: cells(fc(x)), lambda: learner.step(on_grad=False), reset

    return _torch_learner(d, build)


def brian2(d: Network, folder: Path) -> Run:
    """Brian2's C++ standalone program: input, delivery and pre part before the neurons, post part behind them."""
    import brian2 as b2

    b2.set_device("cpp_standalone", directory=str(folder / "program"), build_on_run=False)
    b2.prefs.core.default_float_dtype = np.float64 if d["exact"] else np.float32
    b2.prefs.codegen.cpp.extra_compile_args_gcc = ["-O3", "-march=native", "-w"]
    ms = b2.ms
    b2.defaultclock.dt = STEP_MS * ms
    slots = ["start", "groups", "synapses", "thresholds", "resets", "post", "end"]
    b2.magic_network.schedule = slots
    inputs, n = d["w"].shape
    length, samples, rate, top = int(d["steps"]), int(d["samples"]), float(d["rate"]), float(d["top"])
    tau = f"({1e3 * float(d['tau'])!r}*ms)"
    cells = b2.NeuronGroup(n, f"dv/dt = -v / {tau} : 1", threshold="v >= 1", reset="v = 0", method="exact")
    source = b2.SpikeGeneratorGroup(
        inputs, d["channel"], (d["b"] * length + d["t"]) * ms, when="start", order=1
    )
    down, up = f"w = clip(w - {rate!r} * y, 0, {top!r})", f"w = clip(w + {rate!r} * x, 0, {top!r})"
    model = f"w : 1\ndx/dt = -x / {tau} : 1 (event-driven)\ndy/dt = -y / {tau} : 1 (event-driven)"
    if d["exact"]:  # a pair within one step counts nothing
        pre, post = {"pre": f"v_post += w\n{down}", "seen": "x += 1"}, f"{up}\ny += 1"
    else:
        pre, post = f"v_post += w\n{down}\nx += 1", f"{up}\ny += 1"
    between = b2.Synapses(source, cells, model, on_pre=pre, on_post=post)
    between.connect()
    between.w = d["w"].reshape(-1)
    between.post.when = "post"
    if d["exact"]:
        between.seen.when, between.seen.order = "post", 2
    cells.run_regularly("v = 0", dt=length * STEP_MS * ms, when="start")
    between.run_regularly("x = 0\ny = 0", dt=length * STEP_MS * ms, when="start")
    spikes = b2.SpikeMonitor(cells)
    b2.run(samples * length * STEP_MS * ms)
    b2.device.build(directory=str(folder / "program"), compile=True, run=False)
    count, weights = (
        b2.device.get_array_filename(a) for a in (spikes.variables["N"], between.variables["w"])
    )
    results = folder / "program"

    def run() -> dict[str, Any]:
        subprocess.run(["./main"], cwd=results, check=True, capture_output=True)
        read = lambda name, kind: np.fromfile(results / "results" / Path(name).name, kind)
        w = read(weights, np.float64 if d["exact"] else np.float32).reshape(inputs, n)
        seconds = float((results / "results" / "last_run_info.txt").read_text().split()[0])
        return {"seconds": seconds, "spikes": int(read(count, np.int32)[0]), "w": w}

    return run


def main(name: str, folder: Path) -> None:
    d = dict(np.load(folder / "network.npz"))
    peers = {"bindsnet": bindsnet, "snntorch": snntorch, "spikingjelly": spikingjelly, "brian2": brian2}
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a library prints is no answer
    run = peers[name](d, folder)
    run() if name != "brian2" else None  # warm
    print(json.dumps({"version": importlib.metadata.version(name)}), file=answers, flush=True)
    for _ in sys.stdin:
        found = run()
        np.save(folder / f"{name}.npy", found.pop("w"))
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
