"""Liquids of LIF neurons with delays, static and with STDP: samples per second, beside Brian2, NEST and BindsNET.

    python benchmarks/liquid.py                       1 000 neurons at 1, 5 and 10 %; 64 samples of 250 steps
    python benchmarks/liquid.py --brian PYTHON        the same in Brian2 (C++ standalone, OpenMP off and on), by this interpreter
    python benchmarks/liquid.py --nest PYTHON --bindsnet PYTHON      likewise, fewer samples
    python benchmarks/liquid.py --scaling             cost against synaptic events, 10^3 to 10^5 neurons
    python benchmarks/liquid.py --brian PYTHON --programs FOLDER --build      compile Brian2's programs and stop
    python benchmarks/liquid.py --quick --json out.json

All run the same wiring, delays (1 to 10 steps), initial weights and input spikes (30 Hz per neuron), in float32; membranes, arriving
spikes and weights begin anew with each sample. The peers need environments of their own. Brian2's C++ program is
built once, with -O3 -march=native, and what counts is the time of its run alone; NEST (float64) builds its network anew for each sample, which
is not counted; BindsNET has no delays, so its spikes are others. Rounds take turns; the best counts. `--cpu` counts the
seconds of the processor instead, for machines with other work: on one thread, and Brian2 alone beside. With STDP Brian2's usual text
pairs spikes where they arrive, and so does snnkit here (`pairing="arrival"`); snnkit's faster default, pairs where they leave, has a row of
its own. NEST's pairs lie on the other side: its delays are dendritic, so a post spike reaches the synapse late. Brian2's usual text also
counts pairs within a step, so rates with STDP may differ a little; each row says its rate, for the speed of a liquid is a statement about
its rate. `--check` compares static spikes with Brian2's and NEST's, one by one, in float64; and with STDP spikes and weights with those of
Brian2 where it is written with exactly our pairs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
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
STEPS, TAU, HZ = 250, 20 * MS, 30.0
RULE = {"a_plus": 1e-4, "a_minus": 1.05e-4, "bounds": (0.0, 0.02)}
SLOW = 3.0  # s
HERE = Path(__file__).parent
NAMES = {"brian": "Brian2", "nest": "NEST", "bindsnet": "BindsNET"}


def wiring(n: int, p: float) -> tuple[Projection, Projection]:
    """One input channel per neuron, and a random network with whole delays."""
    drive = Projection(shape=(n, n), pre=np.arange(n), post=np.arange(n), w=np.full(n, 0.55))
    back = Projection.random(n, n, p=p, self_loops=False, seed=1)
    generator = np.random.default_rng(2)
    delay = MS * generator.integers(1, 11, len(back))
    return drive, back.replaced(w=generator.uniform(0.0, 0.25 / (p * n), len(back)), delay=delay)


def events(n: int, samples: int, steps: int = STEPS) -> EventTensor:
    """Poisson spikes, the same for everybody."""
    generator = torch.Generator().manual_seed(3)
    parts = [
        EventTensor.from_dense((torch.rand(steps, 1, n, generator=generator) < HZ * MS).float(), MS)
        for _ in range(samples)
    ]
    return EventTensor.stack(parts)


def liquid(n: int, p: float, stdp: bool, pairing: str = "departure") -> Liquid:
    drive, back = wiring(n, p)
    back = back.replaced(rule=pair_stdp(**RULE, pairing=pairing) if stdp else None)  # type: ignore[arg-type]
    return Liquid(LIF(tau=TAU, dt=MS, reset="zero"), drive, back)


class Ours:
    """A liquid on so many threads."""

    def __init__(
        self, n: int, p: float, stdp: bool, ev: EventTensor, threads: int, cpu: bool = False,
        pairing: str = "departure",
    ) -> None:  # fmt: skip
        self.liquid, self.ev, self.threads = liquid(n, p, stdp, pairing), ev, threads
        self.clock = time.process_time if cpu else time.perf_counter
        self.run()

    def run(self) -> tuple[float, int]:
        """Seconds and spikes."""
        start = self.clock()
        spikes = self.liquid.run(self.ev, threads=self.threads).spikes
        return self.clock() - start, spikes.nnz


def describe(folder: Path, n: int, p: float, stdp: bool, ev: EventTensor, **more: Any) -> None:
    """The network and its input as `network.npz`, for the scripts of the peers."""
    drive, back = wiring(n, p)
    rows = ev.rows().numpy()
    t, b = rows // ev.shape[1], rows % ev.shape[1]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "network.npz", n=n, samples=ev.shape[1], steps=ev.shape[0], stdp=stdp, tau=TAU,
        pre=back.pre, post=back.post, w=back.w, late=np.rint(back.delay / MS).astype(int), drive=drive.w[0],
        t=t, b=b, channel=ev.indices.numpy(), a_plus=RULE["a_plus"], a_minus=RULE["a_minus"], top=RULE["bounds"][1], **more,
    )  # fmt: skip


def call(python: str, script: str, *arguments: str) -> None:
    done = subprocess.run(
        [python, str(HERE / script), *arguments], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])


class Peer:
    """NEST or BindsNET: a script that runs the first few samples in another environment, and says how long that took."""

    def __init__(
        self, python: str, script: str, folder: Path, n: int, p: float, stdp: bool, ev: EventTensor, few: int
    ) -> None:
        describe(folder, n, p, stdp, ev, few=min(few, ev.shape[1]))
        self.python, self.script, self.folder, self.samples = python, script, folder, ev.shape[1]

    def run(self) -> tuple[float, int]:
        """As if it had run all samples."""
        call(self.python, self.script, str(self.folder), "1")
        told = json.loads((self.folder / "seconds.json").read_text())
        factor = self.samples / told["samples"]
        return told["seconds"] * factor, round(len(self.spikes()[0]) * factor)

    def spikes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Step, sample and neuron of every spike."""
        return tuple(np.load(self.folder / "spikes.npy"))


class Brian:
    """Brian2's C++ program, built by `_brian_liquid.py` in another environment, unless it is there already."""

    def __init__(
        self, python: str, folder: Path, n: int, p: float, stdp: bool, ev: EventTensor,
        double: bool = False, cpu: bool = False, openmp: int = 0, exact: bool = False,
    ) -> None:  # fmt: skip
        if not (folder / "results.json").exists():
            describe(folder, n, p, stdp, ev, double=double, openmp=openmp, exact=exact)
            call(python, "_brian_liquid.py", str(folder))
        self.folder, self.shape, self.cpu = folder, ev.shape, cpu

    def run(self) -> tuple[float, int]:
        program = self.folder / "program"
        subprocess.run(["./main"], cwd=program, check=True, capture_output=True)
        read = lambda name: float((program / "results" / name).read_text().split()[0])
        seconds = read("after.txt") - read("before.txt") if self.cpu else read("last_run_info.txt")
        gap = self.told["gap"]
        return seconds * self.shape[0] / (self.shape[0] + gap), len(self.spikes()[0])

    @property
    def told(self) -> dict[str, Any]:
        """Steps of the gap between samples, and the files of its answers."""
        return json.loads((self.folder / "results.json").read_text())

    def weights(self) -> np.ndarray:
        """Of the last sample, in the order of `wiring`, after its gap; in float64."""
        return np.fromfile(self.folder / "program" / "results" / self.told["w"], np.float64)

    def spikes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Step, sample and neuron of every spike."""
        program, kind = self.folder / "program", self.told
        t = np.fromfile(program / "results" / kind["t"], np.float64)
        i = np.fromfile(program / "results" / kind["i"], np.int32)
        length = self.shape[0] + kind["gap"]
        step = np.rint(t / MS).astype(int)
        at, inside = step // length, step % length - 1
        keep = (inside >= 0) & (inside < self.shape[0])
        return inside[keep], at[keep], i[keep]


def compare(contestants: dict[str, Any], rounds: int, ev: EventTensor, synapses: float) -> dict[str, Any]:
    """Best of some rounds in turns (one for those that take seconds): samples per second, rate, synaptic events per second."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    spikes = {}
    for _ in range(rounds):
        for name, one in contestants.items():
            if min(times[name], default=0.0) < SLOW:
                seconds, spikes[name] = one.run()
                times[name].append(seconds)
    T, B, n = ev.shape
    return {
        name: {
            "samples_per_s": B / min(found),
            "rate_hz": spikes[name] / (B * T * n * MS),
            "million_events_per_s": spikes[name] * synapses / n / min(found) / 1e6,
        }
        for name, found in times.items()
    }


def peers(
    options: argparse.Namespace, folder: Path, n: int, p: float, stdp: bool, ev: EventTensor
) -> dict[str, Any]:
    """Those whose interpreters were given."""
    found: dict[str, Any] = {}
    at = f"{n}-{p}-{stdp}"
    if options.brian:
        programs = options.programs or folder
        found["Brian2 C++"] = Brian(
            options.brian, programs / f"{at}-{ev.shape[1]}", n, p, stdp, ev, cpu=options.cpu
        )
        if not options.cpu:
            name = f"Brian2 C++, OpenMP, {options.threads}"
            where = programs / f"{at}-{ev.shape[1]}-openmp{options.threads}"
            found[name] = Brian(options.brian, where, n, p, stdp, ev, openmp=options.threads)
    if options.nest and not options.cpu:
        found["NEST"] = Peer(options.nest, "_nest_liquid.py", folder / f"nest-{at}", n, p, stdp, ev, 12)
    if options.bindsnet and not options.cpu:
        few = 2 if stdp else 16
        found["BindsNET, no delays"] = Peer(
            options.bindsnet, "_bindsnet_liquid.py", folder / f"bindsnet-{at}", n, p, stdp, ev, few
        )
    return found


def table(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    rows = []
    n, samples = (200, 8) if options.quick else (1000, options.samples)
    ev = events(n, samples)
    for p in (0.05,) if options.quick else (0.01, 0.05, 0.1):
        for stdp in (False, True):
            others = peers(options, folder, n, p, stdp, ev)
            if options.build:
                continue
            contestants: dict[str, Any] = {
                f"snnkit, {k} thread{'s' * (k > 1)}": Ours(n, p, stdp, ev, k, options.cpu, "arrival")
                for k in sorted({1, options.threads})
            }
            if stdp:
                contestants["snnkit, departure, 1"] = Ours(n, p, stdp, ev, 1, options.cpu)
            found = compare(contestants | others, options.rounds, ev, p * n * n)
            rows.append({"p": p, "stdp": stdp, "rows": found})
            print(f"\n{n} neurons, {100 * p:g} %, {'pair STDP, on arrival' if stdp else 'static'}")
            ours = found["snnkit, 1 thread"]["samples_per_s"]
            for name, row in found.items():
                print(
                    f"  {name:22s} {row['samples_per_s']:8.0f} samples/s  {row['rate_hz']:5.1f} Hz  "
                    f"{row['million_events_per_s']:7.0f} million events/s  {ours / row['samples_per_s']:6.2f}x",
                    flush=True,
                )
    return rows


def scaling(options: argparse.Namespace) -> dict[str, Any]:
    """100 synapses per neuron, as many neuron-steps at every size: seconds against synaptic events, and the slope of their logarithms.

    A slope of 1 is a cost in proportion to events; above, an event costs more as the network leaves the caches.
    """
    rows = []
    print("\nneurons  synapses  rate   events, seconds and million events/s per sample: static, STDP")
    for n in (300, 1000) if options.quick else (1000, 3000, 10_000, 30_000, 100_000):
        ev = events(n, max(1, 16_000 // n))
        row: dict[str, float] = {"neurons": n}
        for word, stdp in (("static", False), ("stdp", True)):
            found = compare({word: Ours(n, 100 / n, stdp, ev, 1, options.cpu)}, 2, ev, 100 * n)[word]
            row |= {word: found["million_events_per_s"], f"{word}_hz": found["rate_hz"]}
            row[f"{word}_seconds"] = 1 / found["samples_per_s"]
            row[f"{word}_events"] = 1e6 * found["million_events_per_s"] / found["samples_per_s"]
        rows.append(row)
        told = "  ".join(
            f"{row[f'{k}_events']:.2e} {row[f'{k}_seconds']:8.4f} s {row[k]:5.0f}" for k in ("static", "stdp")
        )
        print(f"{n:7d}  {100 * n:8d}  {row['static_hz']:4.1f}  {told}", flush=True)
    slopes = {
        word: float(
            np.polyfit(*(np.log([r[f"{word}_{what}"] for r in rows]) for what in ("events", "seconds")), 1)[0]
        )
        for word in ("static", "stdp")
    }
    print(
        f"seconds grow as events to the power of {slopes['static']:.2f} (static), {slopes['stdp']:.2f} (STDP)"
    )
    return {"rows": rows, "slopes": slopes}


def silent(options: argparse.Namespace) -> float:
    """Nanoseconds of a neuron and step in which nothing happens."""
    n, steps = 1000, 20_000
    ev = EventTensor.from_events([], [], shape=n, dt=MS, steps=steps)
    best = min(Ours(n, 0.05, False, ev, 1, options.cpu).run()[0] for _ in range(3))
    print(f"\nsilent: {1e9 * best / (n * steps):.2f} ns per neuron and step")
    return 1e9 * best / (n * steps)


def check(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Spikes that differ from Brian2's and NEST's, static, in float64; with STDP spikes and weights, from Brian2's."""
    n, p = 200, 0.1
    ev = events(n, 4)
    others: dict[str, Any] = {}
    if options.brian:
        others["Brian2"] = Brian(options.brian, folder / "check", n, p, False, ev, double=True)
    if options.nest:
        others["NEST"] = Peer(options.nest, "_nest_liquid.py", folder / "check-nest", n, p, False, ev, 4)
    ours = liquid(n, p, False).double()(ev).dense().bool().numpy()
    differ: dict[str, Any] = {}
    for name, one in others.items():
        one.run()
        theirs = np.zeros_like(ours)
        theirs[one.spikes()] = True
        differ[name] = int((ours != theirs).sum())
        print(f"\nspikes against {name}: {ours.sum()} and {theirs.sum()}, {differ[name]} differ")
    if options.brian:
        differ["Brian2, STDP"] = check_stdp(options, folder, n, p, ev)
    return differ


def check_stdp(
    options: argparse.Namespace, folder: Path, n: int, p: float, ev: EventTensor
) -> dict[str, float]:
    """Against Brian2 with exactly our pairs on arrival; weights are those of the last sample, in float64."""
    brian = Brian(options.brian, folder / "check-stdp", n, p, True, ev, double=True, exact=True)
    brian.run()
    silence = torch.zeros(brian.told["gap"] - 1, *ev.shape[1:])  # Brian2's samples go on in the gap
    longer = EventTensor.from_dense(torch.cat([ev.dense(), silence]), MS)
    _, back = wiring(n, p)
    spikes, after = {}, {}
    for pairing in ("arrival", "departure"):
        net = liquid(n, p, True, pairing).double()
        order = net._part("recurrent").wired.order
        run = net.with_weights(recurrent=back.w[order]).run(longer, keep=["recurrent.w"])
        spikes[pairing] = run.spikes.dense().bool().numpy()[: ev.shape[0]]
        after[pairing] = run.final["recurrent.w"][-1].numpy()
    theirs = np.zeros_like(spikes["arrival"])
    theirs[brian.spikes()] = True
    weights = brian.weights()[order]
    found = {
        "spikes": int(theirs.sum()),
        "differ": int((spikes["arrival"] != theirs).sum()),
        "largest_change": float(np.abs(after["arrival"] - back.w[order]).max()),
        "largest_difference": float(np.abs(after["arrival"] - weights).max()),
        "on_departure": float(np.abs(after["departure"] - weights).max()),
    }
    print("with STDP, Brian2 with our pairs on arrival:", found)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    parser.add_argument("--brian", help="interpreter of an environment with Brian2")
    parser.add_argument("--nest", help="interpreter of an environment with NEST")
    parser.add_argument("--bindsnet", help="interpreter of an environment with BindsNET")
    parser.add_argument(
        "--programs", type=Path, help="folder of Brian2's programs: those that are there are not built"
    )
    parser.add_argument("--build", action="store_true", help="build Brian2's programs, measure nothing")
    parser.add_argument("--check", action="store_true", help="compare spikes with Brian2's and NEST's")
    parser.add_argument("--cpu", action="store_true", help="seconds of the processor, on one thread")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.check and not (options.brian or options.nest):
        parser.error("--check compares with Brian2 and NEST: give --brian PYTHON or --nest PYTHON")
    if options.build and not (options.brian and options.programs):
        parser.error("--build is for Brian2's programs: give --brian PYTHON and --programs FOLDER")
    options.threads = 1 if options.cpu else options.threads
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if options.check:
            result["differ"] = check(options, Path(folder))
        result["liquid"] = table(options, Path(folder))
    if options.build:
        return
    if options.scaling:
        result["scaling"] = scaling(options)
    result["silent_ns"] = silent(options)
    for name in ("brian", "nest", "bindsnet"):
        if not getattr(options, name):
            print(f"left out: {NAMES[name]} (give --{name} PYTHON)")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
