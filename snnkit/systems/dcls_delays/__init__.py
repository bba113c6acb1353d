"""Learned synaptic delays (Hammouamri, Khalfaoui-Hassani & Masquelier 2024) beside fixed ones, none, and recurrence."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from torch.nn import functional as F

from snnkit import hardware
from snnkit.systems.dcls_delays.data import CONFIGS, Task, load
from snnkit.systems.dcls_delays.network import ARMS, FIXED, LEARNED, SHORT, has_delays
from snnkit.systems.dcls_delays.pictures import draw_accuracy, draw_delays
from snnkit.systems.dcls_delays.training import flat, loader, train
from snnkit.systems.energy import energy_per_inference, energy_rows
from snnkit.systems.reproduction import Measured, Reproduction, Setting, at_least

TITLE = "Learned synaptic delays (DCLS): lags, spoken digits and words, with and without delays"
SOURCE = "Hammouamri, Khalfaoui-Hassani & Masquelier, ICLR 2024, arXiv 2306.17670; code github.com/Thvnvtos/SNN-delays"
CHOICES = {"dataset": tuple(CONFIGS)}
PUBLISHED = {
    "shd": "95.07 ± 0.24 % (epoch chosen on test; run again by others: last epoch 93.89 ± 0.26 %)",
    "ssc": "80.29 % (3 layers, one delay per synapse)",
}
BARS = {"coincidence": 0.98, "fsdd": 0.95, "fsdd-700": 0.95, "shd": 0.93}  # of learned delays, last epoch
BLIND = 0.38  # of six lags, what has no memory tells lag 0 from the others: 2/6, and the chance of a thousand samples
HOLD = ("loihi", "loihi2", "spinnaker", "spinnaker2", "truenorth", "speck", "xylo")
Found = dict[str, list[dict[str, Any]]]


def run(setting: Setting) -> Reproduction:
    """Every arm and seed: accuracy of the last epoch and of the one chosen on validation, delays over training, energy."""
    start = time.perf_counter()
    found = {arm: [measure(setting, arm, seed) for seed in setting.seeds] for arm in ARMS}
    return outcome(setting, found, time.perf_counter() - start)


def outcome(setting: Setting, found: Found, seconds: float) -> Reproduction:
    """The table and pictures of what `measure` found, by arm and seed; learned delays have to be among the arms."""
    name = str(setting.dataset)
    rows = [*_accuracies(name, found), *_orders(name, found), *_costs(found, CONFIGS[name].longest)]
    return Reproduction(
        "dcls-delays",
        f"{TITLE}: {name}",
        SOURCE,
        rows,
        _differs(name),
        setting,
        seconds,
        {"arms": found, "delays on chips": {c: on_chip(c, CONFIGS[name].longest) for c in HOLD}},
        {
            "delays": lambda f: draw_delays(f, found[LEARNED][0]),
            "accuracy": lambda f: draw_accuracy(f, found),
        },
    )


def measure(setting: Setting, arm: str, seed: int) -> dict[str, Any]:
    """Train one arm from one seed, or take what `setting.keep` has of it."""

    def make() -> dict[str, Any]:
        task = load(setting, seed)
        net, found = train(arm, task, seed, setting.say)
        return {**found, "energy": _energy(net, arm, task)}

    return setting.once(f"{setting.dataset}, {arm}, seed {seed}", make)


def _energy(net: Any, arm: str, task: Task) -> dict[str, Any]:
    """On 64 samples of the test part, over as many steps as it answers in."""
    x = flat(next(iter(loader(task, "test")))[0])[:, :64]
    silence = 0 if has_delays(arm) else task.config.silence
    return energy_per_inference(net, F.pad(x, (0, 0, 0, 0, 0, silence)), classes=task.config.classes)


def _accuracies(name: str, found: Found) -> list[Measured]:
    rows = []
    for arm, runs in found.items():
        last, published = [r["last"] for r in runs], PUBLISHED.get(name, "") if arm == LEARNED else ""
        note = (
            f"{runs[0]['synapses']} weights, {runs[0]['delay count']} delays, {runs[0]['extra']} in the loop"
        )
        what = f"{arm}: test accuracy, last epoch"
        if arm == LEARNED and name in BARS:
            rows.append(at_least(what, last, BARS[name], published=published, note=note))
        elif arm == SHORT and name == "coincidence":
            blind = sum(last) / len(last) <= BLIND
            rows.append(
                Measured(
                    what, tuple(last), bar=f"at most {BLIND:g}, as without memory", passed=blind, note=note
                )
            )
        else:
            rows.append(Measured(what, tuple(last), published, note=note))
        epochs = ", ".join(str(r["chosen epoch"]) for r in runs)
        rows.append(
            Measured(
                f"{arm}: test accuracy, epoch chosen on validation",
                tuple(r["chosen"] for r in runs),
                note=f"epochs {epochs} of {len(runs[0]['valid'])}",
            )
        )
    learned = found[LEARNED]
    lost = tuple(r["unrounded"] - r["last"] for r in learned)
    note = "" if CONFIGS[name].sharp == "gaussian" else "they were whole in training already"
    return [*rows, Measured("learned delays: accuracy lost by rounding them", lost, note=note)]


def _orders(name: str, found: Found) -> list[Measured]:
    """Learned above fixed, fixed above none, seed by seed; lags between two channels fixed delays may hold by chance."""
    rows = []
    for better, worse in ((LEARNED, FIXED), (FIXED, SHORT), (LEARNED, SHORT)):
        if not {better, worse} <= set(found):
            continue
        pairs = zip(found[better], found[worse], strict=True)
        gain = tuple(a["last"] - b["last"] for a, b in pairs)
        wanted = name != "coincidence" or FIXED not in (better, worse)
        bar, passed = ("above 0", sum(gain) > 0) if wanted else ("", None)
        rows.append(Measured(f"{better} minus {worse}", gain, bar=bar, passed=passed, note="last epoch"))
    return rows


def _costs(found: Found, longest: int) -> list[Measured]:
    """Energy by arm and chip; for arms with delays also whether the chip holds them, as the energy leaves that out."""
    rows = []
    for arm, runs in found.items():
        energy = [r["energy"] for r in runs]
        for chip, row in zip(energy[0]["chips"], energy_rows(energy, arm), strict=True):
            said = [row.note, on_chip(chip, longest)] if has_delays(arm) else [row.note]
            rows.append(replace(row, note="; ".join(filter(None, said))))
    return rows


def on_chip(name: str, longest: int) -> str:
    """What a chip makes of delays of up to `longest` steps, in words."""
    room = hardware.room_for_delays(hardware.chip(name), longest)
    head = f"delays up to {longest} steps"
    if not room.holds:
        return f"refused: {head}, but {room.said}"
    return f"{head} fit" + (f": {room.said}" if room.said else f" (it holds {room.most})")


def _differs(name: str) -> str:
    c = CONFIGS[name]
    hidden = "-".join(map(str, c.hidden))
    said = [
        f"hidden {hidden}, {c.epochs} epochs, batches of {c.batch}, {c.steps} steps of 10 ms, longest delay {10 * c.longest} ms",
        "validation is a part of train, where the original chose the epoch on test" if name != "ssc" else "",
        "arms without delays get the silent steps at the end that delays add layer by layer",
        "recurrent arm: membranes of 20 ms, gradients of norm 1 at most",
    ]
    if c.sharp == "two-tap":
        said.append(
            "learned delays have two taps instead of a Gaussian of half a step once its width is final"
        )
    if c.rest < 1:
        said.append(f"and they rest in the last {1 - c.rest:.0%} of the epochs")
    if name == "coincidence":
        said.append("not in the paper: its controls on a task that needs delays, six lags of 0 to 200 ms")
        said.append(
            f"weights of the first layer start positive and its normalisation with a bias of {c.bias:g}"
        )
    if name not in ("coincidence", "shd", "ssc"):
        said.append("real sounds through our gammatone cochlea instead of SHD, and smaller")
    return "; ".join(filter(None, said)) + "."
