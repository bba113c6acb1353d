"""Do the spikes of a cochlea carry the word? Spoken digits (FSDD) through each encoder, read out linearly.

    SNNKIT_DATA=~/data python benchmarks/cochlea.py [--quick] [--only NAME ...] [--json FILE]

Official split: takes 0 to 4 of each speaker and digit are the test part (300), the others train (2 700). A clip becomes spikes;
they are counted per channel (channels pooled to at most 80) in 20 equal parts of the clip; the logarithm of 1 + count is read
out by ridge regression. Its penalty is chosen on takes 5 to 9; then it is fitted once to all training clips and scored once on
the test part. The same readout on the mel energies themselves, without spikes, is the reference. Seconds are CPU time per clip
of one process, after a first call; --quick takes a fifth of the clips, drawn at
random, for which the accuracy is lower.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

from snnkit import datasets
from snnkit.encoders.cochlea import Cochlea, MelCochlea, SiliconCochlea
from snnkit.encoders.cochlea_codes import Delta, Edges, Ladder
from snnkit.encoders.cochlea_heidelberg import HeidelbergCochlea

RATE, PARTS, BANDS = 8000.0, 20, 80
PENALTIES = (100.0, 1000.0, 10000.0, 100000.0)
ENCODERS: dict[str, Any] = {
    "gammatone, 64, LIF": Cochlea(rate=RATE),
    "gammatone, 64, onset/offset": Cochlea(rate=RATE, power=1, cutoff=100.0, code=Edges()),
    "gammatone, 64, send-on-delta": Cochlea(rate=RATE, power=1, cutoff=50.0, code=Delta()),
    "gammatone, 700, LIF": Cochlea(rate=RATE, channels=700),
    "mel, 40, adaptive LIF": MelCochlea(rate=RATE, rms=0.1),
    "mel, 40, onset/offset": MelCochlea(rate=RATE, rms=0.1, code=Edges()),
    "mel, 40, send-on-delta": MelCochlea(rate=RATE, rms=0.1, code=Delta()),
    "mel, 40, 8 levels": MelCochlea(rate=RATE, rms=0.1, code=Ladder()),
    "silicon, 64": SiliconCochlea(rate=RATE),
    "Heidelberg, 700": HeidelbergCochlea(rate=RATE, ramp=5e-3),
}


def features(encoder: Any, clips: list[NDArray]) -> tuple[NDArray[np.float64], float, float]:
    """Log counts of every clip (clips, polarities · bands · parts), spikes per clip and CPU seconds per clip."""
    encoder(clips[0])
    rows, spikes, seconds = [], 0, 0.0
    for i, clip in enumerate(clips):
        began = time.process_time()
        events = encoder(clip, key=i) if isinstance(encoder, HeidelbergCochlea) else encoder(clip)
        seconds += time.process_time() - began
        polarities, _, channels = events.sensor
        bands = min(channels, BANDS) if channels != 320 else channels
        part = np.minimum(events.t * 1e-6 * RATE / max(len(clip), 1) * PARTS, PARTS - 1).astype(int)
        band = events.x.astype(int) * bands // channels
        cell = (events.p.astype(int) * bands + band) * PARTS + part
        rows.append(np.log1p(np.bincount(cell, minlength=polarities * bands * PARTS)))
        spikes += len(events)
    return np.array(rows), spikes / len(clips), seconds / len(clips)


def energies(clips: list[NDArray]) -> NDArray[np.float64]:
    """The reference: mean ln(energy) of 40 mel bands in the same parts of the clip."""
    ear, rows = MelCochlea(rate=RATE, rms=0.1), []
    for clip in clips:
        x = np.log(1e-6 + ear.energies(clip))
        cuts = np.linspace(0, len(x), PARTS + 1).astype(int)
        rows.append([x[a : max(b, a + 1)].mean(0) for a, b in pairwise(cuts)])
    return np.array(rows).reshape(len(clips), -1)


def fit(x: NDArray, y: NDArray, penalty: float):
    scaler = StandardScaler().fit(x)
    model = RidgeClassifier(alpha=penalty).fit(scaler.transform(x), y)
    return lambda other: model.predict(scaler.transform(other))


def accuracy(x: NDArray, y: NDArray, take: NDArray) -> dict[str, float]:
    """Penalty from the validation takes, then one look at the test part."""
    test, valid = take < 5, (take >= 5) & (take < 10)
    rest = ~test & ~valid
    scores = {a: float((fit(x[rest], y[rest], a)(x[valid]) == y[valid]).mean()) for a in PENALTIES}
    best = max(scores, key=lambda a: scores[a])
    right = float((fit(x[~test], y[~test], best)(x[test]) == y[test]).mean())
    return {"penalty": best, "validation": scores[best], "test": right}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the clips")
    parser.add_argument("--only", nargs="*", default=[], help="encoders whose name begins so")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if not os.environ.get("SNNKIT_DATA"):
        raise SystemExit("set SNNKIT_DATA to the folder that holds fsdd")
    ds = datasets.load("fsdd", split="all")
    ids = np.flatnonzero(np.random.default_rng(0).random(len(ds)) < (0.2 if args.quick else 1.0))
    clips, y, take = [ds[int(i)][0] for i in ids], np.asarray(ds.labels)[ids], ds.column("take")[ids]
    found = {"mel energies, no spikes": accuracy(energies(clips), y, take) | {"spikes": 0.0, "ms": 0.0}}
    for name, encoder in ENCODERS.items():
        if args.only and not name.startswith(tuple(args.only)):
            continue
        x, spikes, seconds = features(encoder, clips)
        found[name] = accuracy(x, y, take) | {"spikes": spikes, "ms": 1e3 * seconds}
        row = found[name]
        print(
            f"{name:30s} {spikes:8.0f} spikes {row['ms']:7.2f} ms  valid {row['validation']:.3f}", flush=True
        )
    print(
        f"\n{len(ids)} clips, {np.mean([len(c) for c in clips]) / RATE:.3f} s on average; {int((take < 5).sum())} of them test"
    )
    for name, row in found.items():
        print(
            f"{name:30s} {row['spikes']:8.0f} {row['ms']:7.2f} ms {row['validation']:.3f} {row['test']:.3f}"
        )
    if args.json:
        args.json.write_text(json.dumps({"clips": len(ids), "results": found}, indent=1))


if __name__ == "__main__":
    main()
