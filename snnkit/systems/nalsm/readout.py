"""A softmax regression on spike counts, its penalty chosen on validation samples."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PENALTIES = (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 1.0, 10.0)  # C, the inverse of the L2 penalty, from strong to weak
STEPS = 200  # of L-BFGS for each, begun where the one before ended


@dataclass(frozen=True)
class Read:
    """Accuracies at the penalty that is best on validation samples."""

    validation: float
    test: float | None
    penalty: float


def read_out(
    features: dict[str, NDArray], labels: dict[str, NDArray], penalties: tuple[float, ...] = PENALTIES
) -> Read:
    """Fit on "train", choose on "val", and judge on "test" if that is there.

    Each sample is divided by its L1 norm, then the training mean is taken off and all is divided by the training spread:
    that changes no set of separable classes and lets the solver converge.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    x = normalised(features)
    model = LogisticRegression(warm_start=True, max_iter=STEPS)
    best = Read(-1.0, None, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # the weakest penalties are beyond the best anyway
        for penalty in penalties:
            model.set_params(C=penalty).fit(x["train"], labels["train"])
            right = float(model.score(x["val"], labels["val"]))
            if right > best.validation:
                test = float(model.score(x["test"], labels["test"])) if "test" in x else None
                best = Read(right, test, penalty)
    return best


def normalised(features: dict[str, NDArray]) -> dict[str, NDArray[np.float32]]:
    """L1 norm 1 for each sample; then mean 0 and spread 1 of the training samples."""
    rows = {
        k: x / np.maximum(np.abs(x).sum(1, keepdims=True, dtype=np.float64), 1e-12)
        for k, x in features.items()
    }
    middle, spread = rows["train"].mean(0), rows["train"].std()
    return {k: ((x - middle) / max(spread, 1e-12)).astype(np.float32) for k, x in rows.items()}
