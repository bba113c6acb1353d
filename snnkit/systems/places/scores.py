"""From similarities of places and queries to recall, precision and their curve; the sum of absolute differences."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from snnkit.errors import UserError
from snnkit.systems.places.routes import Images, Route

LENGTH = 4  # queries of a sequence
Matrix = NDArray[np.float64]  # similarity, places x queries
Mask = NDArray[np.bool_]


def absolute_differences(references: Images, queries: Images) -> Matrix:
    """-Σ|reference - query|, of the traversal that fits best; (traversals, P, h, w) and (Q, h, w) to (P, Q)."""
    flat = queries.reshape(len(queries), -1)
    each = [cdist(one.reshape(len(one), -1), flat, "cityblock") for one in references]
    return -np.min(each, axis=0)


def in_sequence(similarity: Matrix, length: int = LENGTH) -> Matrix:
    """Similarity of sequences that end here, Σ_k s[p - k, q - k] over `length` frames; -inf where one would begin too early.

    Raises:
        UserError: the sequence is longer than the route.
    """
    P, Q = similarity.shape
    if not 1 <= length <= min(P, Q):
        raise UserError(f"sequences have 1 to {min(P, Q)} frames on this route, got {length}")
    found = np.full((P, Q), -np.inf)
    cut = length - 1
    found[cut:, cut:] = sum(similarity[cut - k : P - k, cut - k : Q - k] for k in range(length))
    return found


def hits(similarity: Matrix, truth: Mask) -> Mask:
    """Whether the best match of each query is right."""
    return truth[similarity.argmax(0), np.arange(truth.shape[1])]


def recall_at_1(similarity: Matrix, truth: Mask, judged: Mask) -> float:
    """Share of the judged queries whose best match is right; queries without a finite similarity are left out."""
    judged = judged & np.isfinite(similarity.max(0))
    return float(hits(similarity, truth)[judged].mean())


def precision_recall(similarity: Matrix, truth: Mask, judged: Mask) -> tuple[Matrix, Matrix]:
    """Precision and recall as the similarity from which a best match is accepted falls.

    Precision is the share of right ones among accepted matches, recall the share of queries matched rightly, so the last point is
    R@1 twice. The first one is (1, 0) by convention.
    """
    judged = judged & np.isfinite(similarity.max(0))
    best, right = similarity.max(0)[judged], hits(similarity, truth)[judged]
    found = np.cumsum(right[np.argsort(-best, kind="stable")])
    precision = found / np.arange(1, len(found) + 1)
    return np.concatenate([[1.0], precision]), np.concatenate([[0.0], found / len(found)])


def area(curve: tuple[Matrix, Matrix]) -> float:
    """Area under precision over recall, by trapezoids."""
    precision, recall = curve
    return float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2))


def figures(similarity: Matrix, route: Route, judged: Mask | None = None) -> dict[str, Any]:
    """Recall@1 exact and within the route's tolerance, of single queries and of sequences, and the area under precision-recall.

    Judged are the queries that nothing was chosen with, if not told otherwise.
    """
    judged = ~route.calibration if judged is None else judged
    series = in_sequence(similarity)
    return {
        "R@1": recall_at_1(similarity, route.near, judged),
        "R@1 exact": recall_at_1(similarity, route.truth, judged),
        f"R@1 of {LENGTH} in sequence": recall_at_1(series, route.near, judged),
        f"R@1 of {LENGTH} in sequence, exact": recall_at_1(series, route.truth, judged),
        "area under precision-recall": area(precision_recall(similarity, route.near, judged)),
    }


def for_choosing(similarity: Matrix, route: Route) -> float:
    """What settings are chosen by: mean recall of single calibration queries and of their sequences."""
    found = figures(similarity, route, route.calibration)
    return (found["R@1"] + found[f"R@1 of {LENGTH} in sequence"]) / 2
