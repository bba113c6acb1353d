"""NALSM: a liquid that an astrocyte keeps at the edge of chaos (Ivanov & Michmizos 2021), beside liquids without it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.liquid import Liquid
from snnkit.systems.nalsm import pictures
from snnkit.systems.nalsm.network import GAINS, Wiring, fixed, plastic, wiring
from snnkit.systems.nalsm.phases import FADING, PIECE, Kept, Samples, dynamics, features, initialised
from snnkit.systems.nalsm.readout import read_out
from snnkit.systems.nalsm.stimuli import Images, Recordings, Stimuli
from snnkit.systems.reproduction import Measured, Reproduction, Setting, at_least

TITLE = "Liquid state machine with an astrocyte (NALSM)"
SOURCE = "Ivanov & Michmizos, NeurIPS 2021 (arXiv 2111.01760); code github.com/combra-lab/NALSM"
CHOICES = {
    "dataset": ("mnist", "nmnist", "fashion", "mnist-full", "fashion-full"),
    "neurons": (1000, 8000),
}
SWEEP = (0.3, 0.5, 0.7, 0.9, 1.2, 1.6, 2.2, 3.0)  # |w| of the fixed liquids
PUBLISHED = {  # 1 000 neurons, all training samples
    "mnist": {"nalsm": "0.959 to 0.961", "fixed": "0.953 ± 0.001", "stdp": "0.895 ± 0.004"},
    "nmnist": {"nalsm": "0.958 to 0.960", "fixed": "0.950 ± 0.002", "stdp": "0.868 ± 0.005"},
    "fashion": {"nalsm": "0.828 to 0.832"},
}
LARGE = {
    "mnist": {"nalsm": "0.975 ± 0.001"},
    "nmnist": {"nalsm": "0.974 ± 0.002"},
    "fashion": {"nalsm": "0.856 ± 0.001"},
}  # 8 000 neurons
BARS = {"mnist": 0.93, "mnist-full": 0.955, "fashion-full": 0.825}
NAMES = {
    "nalsm": "NALSM",
    "fixed": "best fixed liquid",
    "raw": "softmax regression on the raw input",
    "stdp": "plain STDP, A = 0.15",
}


@dataclass(frozen=True)
class Plan:
    """Sizes of one run."""

    side: int
    gain: float
    sizes: dict[str, int]
    choosing: int  # training samples with which |w| of the fixed liquid is chosen: whole pieces, which are read once
    sweep: tuple[float, ...] = SWEEP
    watched: int = 20  # samples on which dynamics are looked at


def plan_of(setting: Setting, pool: int, tests: int) -> Plan:
    """The sizes for a setting; `pool` and `tests` samples are there."""
    full = str(setting.dataset).endswith("-full")
    sizes = {"init": 10_000, "train": 10_000, "val": 2000, "test": 10_000}
    if full:
        sizes = {"init": 50_000, "train": 50_000, "val": 10_000, "test": 10_000}
    if setting.quick:
        sizes = {"init": 60, "train": 120, "val": 40, "test": 40}
    if sizes["train"] + sizes["val"] > pool:  # a small set: all of it, a sixth for choosing
        sizes |= {"train": pool - pool // 6, "val": pool // 6}
    sizes["test"] = min(sizes["test"], tests)
    neurons = setting.neurons or 1000
    if setting.quick:
        return Plan(6, GAINS[1000] * 1000 / 216, sizes, 120, (0.8, 3.0), 2)
    return Plan(round(neurons ** (1 / 3)), GAINS[neurons], sizes, 2 * PIECE)


def run(setting: Setting) -> Reproduction:
    """Four arms on the wiring of each seed."""
    start = time.perf_counter()
    dataset = setting.dataset or "mnist"
    stimuli = load(dataset.removesuffix("-full"), setting)
    plan = plan_of(setting, len(stimuli.labels["train"]), len(stimuli.labels["test"]))
    benches = [Bench.of(setting, plan, stimuli, seed) for seed in setting.seeds]
    found: dict[str, list[dict[str, Any]]] = {  # arm by arm, as the last one takes longest
        arm: [setting.once(f"{arm}-seed{b.seed}", getattr(b, arm)) for b in benches] for arm in NAMES
    }
    return Reproduction(
        "nalsm",
        TITLE,
        SOURCE,
        _rows(found, dataset, setting),
        "the readout is a softmax regression with L2 penalty by L-BFGS, chosen on validation samples, instead of Adadelta with "
        "early stopping; a synaptic current decays with the weight it was sent with, where the original multiplies it with the "
        "weight of the moment; weights are clipped after the pre and after the post part of a step; "
        + ("" if dataset.endswith("-full") else "fewer samples than published; ")
        + "one |w| for all synapses of a fixed liquid",
        setting,
        time.perf_counter() - start,
        {"plan": asdict(plan), "runs": found},
        pictures.of(found, NAMES),
    )


def load(name: str, setting: Setting) -> Stimuli:
    """The samples of a dataset by the name that `--dataset` has for it."""
    if name == "nmnist":
        return Recordings.of(name, setting.root)
    return Images.of({"fashion": "fashionmnist"}.get(name, name), setting.root)


@dataclass(frozen=True, eq=False)
class Bench:
    """One seed: its samples and wiring, and the arms on them."""

    setting: Setting
    plan: Plan
    stimuli: Stimuli
    samples: Samples
    wired: Wiring
    seed: int

    @classmethod
    def of(cls, setting: Setting, plan: Plan, stimuli: Stimuli, seed: int) -> Bench:
        labels = stimuli.labels
        samples = Samples.draw(plan.sizes, len(labels["train"]), len(labels["test"]), seed)
        return cls(setting, plan, stimuli, samples, wiring(stimuli.channels, plan.side, seed), seed)

    def nalsm(self) -> dict[str, Any]:
        return self._plastic("nalsm", self.plan.gain)

    def stdp(self) -> dict[str, Any]:
        return self._plastic("stdp", 0.0)

    def _plastic(self, arm: str, gain: float) -> dict[str, Any]:
        """Initialise, then read features while plasticity fades."""
        name, liquid = f"{arm}-seed{self.seed}", plastic(self.wired, gain)
        ids = self.samples.ids["init"]
        tuned, seconds = initialised(liquid, self.stimuli, ids, self.setting, name, self.seed)
        fading = tuned.with_constants({"modulators.c": FADING})
        return self._judged(fading, name, seconds)

    def fixed(self) -> dict[str, Any]:
        """The |w| that is best on validation samples, then all samples with it."""
        name = f"fixed-seed{self.seed}"
        curve = {str(w): self.setting.once(f"{name}-w{w}", partial(self._chance, w)) for w in self.plan.sweep}
        best = max(self.plan.sweep, key=lambda w: (curve[str(w)], -w))
        return {
            "w": best,
            "validation by w": curve,
            **self._judged(fixed(self.wired, best), f"{name}-w{best}"),
        }

    def _chance(self, w: float) -> float:
        """Accuracy of a fixed liquid on validation samples, with fewer training samples."""
        liquid, name = fixed(self.wired, w), f"fixed-seed{self.seed}-w{w}"
        ids = {"train": self.samples.ids["train"][: self.plan.choosing], "val": self.samples.ids["val"]}
        x = {part: self._features(liquid, part, i, name).array for part, i in ids.items()}
        return read_out(x, {part: self.stimuli.labels["train"][i] for part, i in ids.items()}).validation

    def raw(self) -> dict[str, Any]:
        self.setting.say(f"raw input, seed {self.seed}")
        parts = ("train", "val", "test")
        x = {p: self.stimuli.raw(Samples.split(p), self.samples.ids[p]) for p in parts}
        return asdict(read_out(x, self.samples.labels(self.stimuli)))

    def _judged(self, liquid: Liquid, name: str, learned: float = 0.0) -> dict[str, Any]:
        """Features of all samples and their readout; `learned` is how long the initialisation took."""
        parts = ("train", "val", "test")
        found = {p: self._features(liquid, p, self.samples.ids[p], name) for p in parts}
        x = {p: f.array for p, f in found.items()}
        self.setting.say(f"{name}: readout")
        labels = self.samples.labels(self.stimuli)
        read, few = read_out(x, labels), slice(self.plan.choosing)
        sparing = read_out(
            {"train": x["train"][few], "val": x["val"]}, {**labels, "train": labels["train"][few]}
        )
        watched = self.samples.ids["val"][: self.plan.watched]
        return {
            **asdict(read),
            "validation with fewer training samples": sparing.validation,
            **dynamics(liquid, self.stimuli, watched, self.seed),
            "spikes per neuron and sample": float(x["test"].mean()),
            "minutes": (learned + sum(f.seconds for f in found.values())) / 60,
        }

    def _features(self, liquid: Liquid, part: str, ids: NDArray, name: str) -> Kept:
        return features(
            liquid, self.stimuli, Samples.split(part), ids, self.setting, f"{name}-{part}", self.seed
        )


def _rows(found: dict[str, list[dict[str, Any]]], dataset: str, setting: Setting) -> list[Measured]:
    base = dataset.removesuffix("-full")
    papers = (LARGE if setting.neurons == 8000 else PUBLISHED)[base]
    values = {arm: [float(r["test"]) for r in results] for arm, results in found.items()}
    bar = None if setting.quick else BARS.get(dataset)
    rows = []
    for arm, name in NAMES.items():
        what, said = f"{name}: accuracy on test samples", papers.get(arm, "")
        said += " (60 000 samples)" if said and not dataset.endswith("-full") else ""
        if arm == "nalsm" and bar is not None:
            rows.append(at_least(what, values[arm], bar, published=said))
        else:
            rows.append(Measured(what, tuple(values[arm]), said))
    rows += _comparisons(values, judged=base == "mnist" and not setting.quick)
    for arm in ("nalsm", "stdp", "fixed"):
        of = lambda key, arm=arm: tuple(float(np.mean(r[key])) for r in found[arm])
        published = "1.1 to 1.4" if arm == "nalsm" else ""
        rows.append(Measured(f"{NAMES[arm]}: branching factor", of("branching factor"), published))
        rows.append(Measured(f"{NAMES[arm]}: spikes per ms", of("n_out")))
        rows.append(Measured(f"{NAMES[arm]}: processor ms per sample", of("processor ms per sample")))
        rows.append(Measured(f"{NAMES[arm]}: minutes for both phases", of("minutes")))
    rows.append(Measured("|w| of the best fixed liquid", tuple(float(r["w"]) for r in found["fixed"])))
    return rows


def _comparisons(values: dict[str, list[float]], *, judged: bool) -> list[Measured]:
    """NALSM minus each other arm, wiring by wiring."""
    rows = []
    for arm, bar in (("fixed", -0.003), ("stdp", 0.03), ("raw", 0.0)):
        gap = [a - b for a, b in zip(values["nalsm"], values[arm], strict=True)]
        what = f"NALSM minus {NAMES[arm]}"
        rows.append(at_least(what, gap, bar) if judged else Measured(what, tuple(gap)))
    return rows
