"""The two phases, and what is looked at beside them; long ones in pieces that are kept."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnkit import files
from snnkit.errors import UserError
from snnkit.liquid import Liquid, counts
from snnkit.liquid.measures import branching_factor
from snnkit.systems.nalsm.network import weights_of, with_weights_of
from snnkit.systems.nalsm.stimuli import Stimuli
from snnkit.systems.reproduction import Setting

GLIMPSE, SHOWN = 20, 250  # steps of a sample in the two phases
FADING = 0.99  # what is left of plasticity after each ms while features are read
PIECE, AT_ONCE = 2500, 500  # samples in a file, and in memory


@dataclass(frozen=True)
class Samples:
    """Which samples are used, by part: "init" (training samples), "train", "val" and "test"."""

    ids: dict[str, NDArray[np.int64]]

    @classmethod
    def draw(cls, sizes: dict[str, int], pool: int, tests: int, seed: int) -> Samples:
        """Training and validation samples without overlap; those of the initialisation are drawn from the training ones."""
        rng = np.random.default_rng([seed, 73])
        order = rng.permutation(pool)
        train, val = np.split(order[: sizes["train"] + sizes["val"]], [sizes["train"]])
        init = np.concatenate(
            [rng.permutation(train) for _ in range(-(-sizes["init"] // len(train)))]
        )[: sizes["init"]]  # fmt: skip
        test = np.sort(rng.permutation(tests)[: sizes["test"]])
        return cls({"init": init, "train": train, "val": val, "test": test})

    @staticmethod
    def split(part: str) -> str:
        return "test" if part == "test" else "train"

    def labels(self, stimuli: Stimuli) -> dict[str, NDArray[np.int64]]:
        return {part: stimuli.labels[self.split(part)][ids] for part, ids in self.ids.items()}


class Kept(NamedTuple):
    """An array, and how long it took to make it, now or in an earlier run."""

    array: NDArray
    seconds: float


def kept(setting: Setting, part: str, make: Callable[[], NDArray]) -> Kept:
    """An array that `setting.keep` has as a file beside the note that it is whole; made if it is not there.

    Raises:
        UserError: the file is gone or is not the one that was written.
    """
    made: list[NDArray] = []
    path = None if setting.keep is None else setting.keep / f"{part}.npy"

    def work() -> dict[str, Any]:
        start = time.perf_counter()
        made.append(make())
        seconds = time.perf_counter() - start
        if path is not None:
            with files.beside(path) as temporary, temporary.open("wb") as file:
                np.save(file, made[0], allow_pickle=False)
        return {"crc32": zlib.crc32(made[0].tobytes()), "seconds": seconds}

    note = setting.once(part, work)
    if made or path is None:
        return Kept(made[0], note["seconds"])
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); delete {part}.json beside it, and it is made again"
        ) from None
    if zlib.crc32(array.tobytes()) != note["crc32"]:
        raise UserError(f"{path} is not what was written; delete it and {part}.json, and it is made again")
    return Kept(array, note["seconds"])


def initialised(
    liquid: Liquid, stimuli: Stimuli, ids: NDArray, setting: Setting, name: str, seed: int
) -> tuple[Liquid, float]:
    """Phase A: samples of 20 ms one after another, their weights carried on; membranes, currents and A begin anew for each.

    The liquid with these weights, and the seconds that it took."""

    def make() -> NDArray:
        now = liquid
        for k, a in enumerate(range(0, len(ids), PIECE)):
            setting.say(f"{name}: initialisation {a} of {len(ids)} samples")
            now = now.learn(stimuli.glimpses(ids[a : a + PIECE], GLIMPSE, 1000 * seed + k))
        return weights_of(now)

    found = kept(setting, f"{name}-weights", make)
    return with_weights_of(liquid, found.array), found.seconds


def features(
    liquid: Liquid, stimuli: Stimuli, split: str, ids: NDArray, setting: Setting, name: str, seed: int
) -> Kept:
    """Phase B: spikes of every neuron for every sample, (samples, neurons) uint8, each from the same weights."""

    def piece(a: int) -> NDArray:
        chosen, found = ids[a : a + PIECE], []
        for b in range(0, len(chosen), AT_ONCE):
            setting.say(f"{name}: {a + b} of {len(ids)} samples")
            spikes = liquid(stimuli.show(split, chosen[b : b + AT_ONCE], SHOWN, seed))
            found.append(counts(spikes).numpy().astype(np.uint8))  # at most one spike in three steps
        return np.concatenate(found)

    pieces = [kept(setting, f"{name}-{a}", partial(piece, a)) for a in range(0, len(ids), PIECE)]
    return Kept(np.concatenate([p.array for p in pieces]), sum(p.seconds for p in pieces))


def dynamics(liquid: Liquid, stimuli: Stimuli, ids: NDArray, seed: int) -> dict[str, Any]:
    """What the liquid does on a few samples of the training split: spikes per ms, A, the branching factor, processor time."""
    shown = stimuli.show("train", ids, SHOWN, seed)
    liquid(shown.batch(slice(0, 1)))  # so that no kernel is compiled or loaded on the clock
    start = time.process_time()
    liquid(shown)
    busy = time.process_time() - start
    names = ["n_in", "n_out", *(["A"] if liquid.modulators is not None else [])]
    run = liquid.run(shown, record=names)
    factor = branching_factor(run.spikes, liquid.projection("recurrent"))
    return {
        "branching factor": 0.0 if np.isnan(factor) else factor,
        "processor ms per sample": 1e3 * busy / len(ids),
        **{name: run.record[name].double().mean(1).tolist() for name in names},
    }
