"""Ten classes from a liquid's spike counts: the sweep of the gain, the linear baseline, read noise, converters and drift."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from snnkit.hardware.devices import LogLaw, device
from snnkit.liquid.readout import SoftmaxReadout
from snnkit.systems.zero_shot.data import Modality

GAINS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 3.0, 10.0)
PENALTIES = (3e-3, 1e-2, 3e-2, 1e-1, 3e-1)  # C of the readout
NOISE = (0.0, 0.02, 0.05, 0.1)
BITS = (8, 4)
TUNING_CHIPS = (1000, 1001)  # never those that figures are from
READING = 7
DAY = 86400.0


def standard(x: NDArray, train: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Counts less the mean and over the standard deviation of the training samples; a count that hardly varies is not blown up."""
    mean, deviation = x[train].mean(0), x[train].std(0)
    return ((x - mean) / np.maximum(deviation, 0.1)).astype(np.float32)


def accuracy(
    x: NDArray, y: NDArray, learn: NDArray[np.bool_], ask: NDArray[np.bool_], penalty: float
) -> float:
    """Of a softmax regression that learned from some rows, on others."""
    z = standard(x, learn)
    readout = SoftmaxReadout(C=penalty, max_iter=300).fit(z[learn], y[learn])
    return float(readout.score(z[ask], y[ask]))


def sweep(data: Modality, gains: tuple[float, ...], chips: tuple[int, ...]) -> dict[str, Any]:
    """Cross-validated accuracy on training samples and spikes per neuron and step by gain; the best gain, and its best penalty."""
    found, features = [], {}
    for gain in gains:
        counts = [data.liquid(gain, chip).counts(data.part(data.train)).numpy() for chip in chips]
        features[gain] = counts
        good = [_valid(data, x, 1e-2) for x in counts]
        rate = float(np.mean([x.mean() for x in counts])) / data.ev.shape[0]
        found.append({"gain": gain, "valid": float(np.mean(good)), "rate": rate})
    best = max(found, key=lambda row: row["valid"])["gain"]
    scores = {c: float(np.mean([_valid(data, x, c) for x in features[best]])) for c in PENALTIES}
    return {"sweep": found, "gain": best, "penalty": max(scores, key=lambda c: scores[c])}


def baseline(data: Modality) -> dict[str, float]:
    """Softmax regression on the plain counts of input events of each channel, its penalty chosen likewise; no liquid."""
    x = data.ev.dense().sum(0).numpy()
    best = max(PENALTIES, key=lambda c: _valid(data, x[data.train], c))
    test = accuracy(x, data.labels, data.train, data.test, best)
    return {"accuracy": test, "crossed": _valid(data, x[data.train], best), "penalty": best}


def _valid(data: Modality, x: NDArray, penalty: float) -> float:
    """Of features of the training samples: mean accuracy on each fifth, learned from the others."""
    y = data.labels[data.train]
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(x, y)
    masks = [np.isin(np.arange(len(y)), held) for _, held in folds]
    return float(np.mean([accuracy(x, y, ~held, held, penalty) for held in masks]))


def on_chip(data: Modality, gain: float, penalty: float, chip: int) -> dict[str, Any]:
    """Test accuracy of one chip: read without noise, through converters, and after a day of drift; new voices where there are."""
    liquid = data.liquid(gain, chip)
    x = liquid.counts(data.ev).numpy()
    found: dict[str, Any] = {"ideal": _test(data, x, penalty)}
    for bits in BITS:
        found[f"{bits} bits"] = _test(data, liquid.counts(data.ev, bits=bits).numpy(), penalty)
    drifting = device("rram_formed").replaced(drift=LogLaw(0.01), drift_spread=LogLaw(0.005))
    later = data.liquid(gain, chip, device=drifting, age=DAY).counts(data.ev).numpy()
    found["a day later"] = _test(data, np.where(data.test[:, None], later, x), penalty)
    found["learned again"] = _test(data, later, penalty)
    if data.groups is not None:
        found["new voices"] = [
            accuracy(x, data.labels, data.groups != who, data.groups == who, penalty)
            for who in np.unique(data.groups)
        ]
    return found


def crossed(data: Modality, gain: float, penalty: float, chip: int) -> float:
    """Cross-validated accuracy of one chip on the training samples: many more are asked than there are test samples."""
    return _valid(data, data.liquid(gain, chip).counts(data.part(data.train)).numpy(), penalty)


def with_noise(data: Modality, gain: float, penalty: float, chip: int, levels: tuple[float, ...] = NOISE, redraw: str = "inference") -> list[dict[str, float]]:  # fmt: skip
    """Test accuracy by read noise: the readout learned from noisy features of that chip, or from noiseless ones.

    `redraw` as for `ResistiveLiquid.counts`. The first level is none.
    """
    clean, found = None, []
    for level in levels:
        cells = device("rram_formed").replaced(read=level)
        liquid = data.liquid(gain, chip, device=cells)
        x: Tensor = liquid.counts(data.ev, reading=READING if level else None, redraw=redraw)
        clean = x.numpy() if clean is None else clean
        mixed = np.where(data.test[:, None], x.numpy(), clean)
        found.append(
            {
                "noise": level,
                "accuracy": _test(data, x.numpy(), penalty),
                "learned without noise": _test(data, mixed, penalty),
                "changed": float((x.numpy() != clean).mean()),
            }
        )
    return found


def _test(data: Modality, x: NDArray, penalty: float) -> float:
    return accuracy(x, data.labels, data.train, data.test, penalty)
