"""Pair STDP: learning samples one after another, beside the learners of BindsNET, snnTorch and SpikingJelly and Brian2's C++.

    python benchmarks/stdp.py --peers PYTHON --brian PYTHON      interpreters of the environments that have the peers
    python benchmarks/stdp.py --check --brian PYTHON             the same, and Brian2 with exactly our pairs, in float64
    python benchmarks/stdp.py --quick --json out.json

784 inputs at 20 Hz, all to all to 400 LIF neurons (tau 20 ms, 250 steps of 1 ms), additive all-to-all pair STDP (tau 20 ms, equal rates up
and down), weights in bounds, updated in every step and carried from sample to sample; membranes and traces begin anew. All get the same
initial weights and the same spikes, one thread, float32. Equal rates, because the others also count pairs within one step, which
then cancel; Brian2's usual text counts them as pre before post. There are no delays, so where rules pair (`pairing="departure"` or
"arrival") makes no difference here. What each learned is compared with ours: the largest
difference of a weight beside the largest change, the correlation of the changes, and the rate, for the speed of a
rule is a statement about the rate. Each peer takes its turn in every round, in a process of its own; the best counts.
BindsNET, snnTorch and SpikingJelly are one to two orders slower and run the first `--peer-samples` only. Brian2: C++ standalone,
-O3 -march=native; the time of its run alone, without compiling and loading.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snnkit.events import EventTensor
from snnkit.liquid import Liquid, Projection
from snnkit.neurons import LIF
from snnkit.plasticity import pair_stdp

MS = 1e-3
STEPS, TAU, HZ = 250, 20 * MS, 20.0
MEAN, TOP, RATE = (
    3.1 / 784,
    16 / 784,
    0.01 / 784,
)  # of weights, their bound and the steps of learning, times 784 / inputs
PEERS = {"bindsnet": "BindsNET", "snntorch": "snnTorch", "spikingjelly": "SpikingJelly"}
HERE = Path(__file__).parent


def weights(inputs: int, n: int) -> np.ndarray:
    """Initial weights [inputs, n], uniform, of a mean that makes the neurons fire at about 10 Hz."""
    return np.random.default_rng(1).uniform(0.0, 2 * MEAN * 784 / inputs, (inputs, n)).astype(np.float32)


def events(inputs: int, samples: int) -> EventTensor:
    """Poisson spikes, the same for everybody."""
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(STEPS, samples, inputs, generator=generator) < HZ * MS
    return EventTensor.from_dense(x.float(), MS)


class Ours:
    """A liquid that is nothing but a layer."""

    def __init__(self, w: np.ndarray, ev: EventTensor, *, double: bool = False) -> None:
        scale = 784 / len(w)
        rate = {"a_plus": RATE * scale, "a_minus": RATE * scale}
        rule = pair_stdp(**rate, tau_plus=TAU, tau_minus=TAU, bounds=(0.0, TOP * scale))
        inputs = Projection.dense(*w.shape, w=w.reshape(-1), rule=rule)
        liquid = Liquid(LIF(tau=TAU, dt=MS, reset="zero"), inputs)
        self.liquid, self.ev, self.shape = liquid.double() if double else liquid, ev, w.shape
        self.liquid.learn(ev.batch(slice(0, 1)))  # compiles

    def run(self) -> dict[str, Any]:
        start = time.perf_counter()
        learned = self.liquid.learn(self.ev)
        return {
            "seconds": time.perf_counter() - start,
            "w": learned.projection("inputs").w.reshape(self.shape),
        }

    def spikes(self) -> int:
        """Of all samples, counted apart from the timing."""
        total: list[int] = []
        self.liquid.learn(
            self.ev, before_each=lambda *_: None, after_each=lambda _, c: total.append(int(c.sum()))
        )
        return sum(total)


class Peer:
    """A learner in a process of its own, which runs when it is asked."""

    def __init__(self, python: str, name: str, folder: Path) -> None:
        self.folder, self.name = folder, name
        command = [python, str(HERE / "_stdp_peers.py"), name, str(folder)]
        self.errors = (folder / f"{name}.err").open("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )
        self.version = json.loads(self.answer())["version"]

    def answer(self) -> str:
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            self.errors.seek(0)
            raise RuntimeError(f"{self.name} ended: {self.errors.read()[-2000:]}")
        return line

    def run(self) -> dict[str, Any]:
        self.process.stdin.write("run\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        found = json.loads(self.answer())
        return {**found, "w": np.load(self.folder / f"{self.name}.npy")}

    def close(self) -> None:
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait()
        self.errors.close()


def save(folder: Path, w: np.ndarray, ev: EventTensor, **more: Any) -> None:
    """The network and its input, as the peers read them."""
    folder.mkdir()
    rows, scale = ev.rows().numpy(), 784 / len(w)
    np.savez(
        folder / "network.npz", w=w, steps=ev.shape[0], samples=ev.shape[1], t=rows // ev.shape[1], b=rows % ev.shape[1],
        channel=ev.indices.numpy(), tau=TAU, rate=RATE * scale, top=TOP * scale, **more,
    )  # fmt: skip


def compared(found: dict[str, Any], ours: np.ndarray, before: np.ndarray) -> dict[str, float]:
    """How far the weights of a peer are from ours."""
    change, other = (ours - before).ravel(), (found["w"] - before).ravel()
    return {
        "largest_difference": float(np.abs(change - other).max()),
        "largest_change": float(np.abs(change).max()),
        "correlation": float(np.corrcoef(change, other)[0, 1]),
    }


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    inputs, n, samples, few = (
        (100, 40, 2, 1) if options.quick else (784, 400, options.samples, options.peer_samples)
    )
    w, ev = weights(inputs, n), events(inputs, samples)
    short = ev.batch(slice(0, few))
    save(folder / "short", w, short)
    save(folder / "brian", w, ev, exact=False)
    contestants: dict[str, tuple[Any, int]] = {"snnkit": (Ours(w, ev), samples)}
    for name, word in PEERS.items() if options.peers else ():
        contestants[word] = (Peer(options.peers, name, folder / "short"), few)
    if options.brian:
        contestants["Brian2 C++"] = (Peer(options.brian, "brian2", folder / "brian"), samples)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    last: dict[str, dict[str, Any]] = {}
    for _ in range(options.rounds):
        for name, (one, _) in contestants.items():
            last[name] = one.run()
            times[name].append(last[name]["seconds"])
    ours = {samples: last["snnkit"]["w"], few: Ours(w, short).run()["w"]}
    last["snnkit"]["spikes"] = contestants["snnkit"][0].spikes()
    table = {}
    for name, (one, count) in contestants.items():
        speed = count / min(times[name])
        rate = last[name]["spikes"] / (count * STEPS * MS * n)
        row: dict[str, Any] = {"samples_per_s": speed, "rate_hz": rate, "samples": count}
        if name != "snnkit":
            row |= {"ours_is_faster": table["snnkit"]["samples_per_s"] / speed, "version": one.version}
            row |= compared(last[name], ours[count], w)
            one.close()
        table[name] = row
        show(name, row)
    return table


def show(name: str, row: dict[str, Any]) -> None:
    line = f"{name:14s} {row['samples_per_s']:9.2f} samples/s  {row['rate_hz']:5.2f} Hz"
    if "correlation" in row:
        line += f"  {row['ours_is_faster']:7.1f} x   weights differ by {row['largest_difference']:.1e} of {row['largest_change']:.1e}"
        line += f", correlation {row['correlation']:.6f}   ({row['version']})"
    print(line)


def check(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Against Brian2 with exactly our pairs, in float64."""
    w, ev = weights(200, 50), events(200, 4)
    save(folder / "check", w, ev, exact=True)
    peer = Peer(options.brian, "brian2", folder / "check")
    ours = Ours(w, ev, double=True)
    found = peer.run()
    row = {**compared(found, ours.run()["w"], w), "spikes": found["spikes"], "our_spikes": ours.spikes()}
    peer.close()
    print("with exactly our pairs, float64:", row)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    parser.add_argument(
        "--peers", help="interpreter of an environment with BindsNET, snnTorch and SpikingJelly"
    )
    parser.add_argument("--brian", help="interpreter of an environment with Brian2")
    parser.add_argument("--check", action="store_true", help="also compare with Brian2 to rounding")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--peer-samples", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.check and not options.brian:
        parser.error("--check compares with Brian2: give --brian PYTHON")
    torch.set_num_threads(1)
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if options.check:
            result["check"] = check(options, Path(folder))
        result["stdp"] = measure(options, Path(folder))
    for given, words in ((options.peers, ", ".join(PEERS.values())), (options.brian, "Brian2")):
        if not given:
            print(f"left out: {words} (give --{'brian' if words == 'Brian2' else 'peers'} PYTHON)")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    sys.exit(main())
