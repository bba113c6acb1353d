"""Readouts with scikit-learn's manners: they fit, predict and score, and take part in pipelines and cross-validation.

Samples are an `EventTensor` (a batch), a list of them with one sample each (what cross-validation can take apart), or a
matrix of features that somebody else made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.preprocessing import normalize
from sklearn.utils.validation import check_is_fitted, validate_data

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.liquid.features import counts, filtered

BATCH = 256  # samples run together: their spikes are in memory at once


def samples(ev: EventTensor) -> list[EventTensor]:
    """A batch as a list with one sample each, for cross-validation."""
    return [ev.batch(b) for b in range(ev.shape[1])]


class LiquidFeatures(TransformerMixin, BaseEstimator):
    """Features of what a liquid answers.

    Args:
        liquid: what turns events into spikes; None takes the samples themselves as the spikes.
        kind: "counts" or "filtered".
        windows, last: of counts, see `counts`.
        tau: of filtered traces [s].
        norm: None, "l1" or "l2": scale each sample.
    """

    def __init__(self, liquid: Any = None, kind: str = "counts", *, windows: int = 1, last: float | None = None,
                 tau: float = 20e-3, norm: str | None = None):  # fmt: skip
        self.liquid = liquid
        self.kind = kind
        self.windows = windows
        self.last = last
        self.tau = tau
        self.norm = norm

    def fit(self, X: Any, y: Any = None) -> LiquidFeatures:
        """Learns nothing but the number of features of a matrix."""
        if not _is_events(X):
            validate_data(self, X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Features [samples, features]."""
        if _is_events(X):
            parts = [self._features(ev) for ev in _batches(X)]
            found = np.concatenate(parts) if parts else np.zeros((0, 0))
        else:
            if self.liquid is not None:
                raise UserError("a liquid takes events: pass an EventTensor or a list of them")
            found = validate_data(self, X, reset=False, dtype=float)
        return found if self.norm is None else normalize(found, self.norm)

    def _features(self, ev: EventTensor) -> np.ndarray:
        spikes = ev if self.liquid is None else self.liquid(ev)
        if self.kind == "counts":
            return counts(spikes, self.windows, self.last).numpy()
        if self.kind == "filtered":
            return filtered(spikes, self.tau).numpy()
        raise UserError(f'kind is "counts" or "filtered", got {self.kind!r}')

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


class _Readout(ClassifierMixin, BaseEstimator):
    """A linear classifier behind `LiquidFeatures`."""

    features: Any

    def _model(self) -> Any:
        raise NotImplementedError

    def fit(self, X: Any, y: Any) -> Any:
        """Learn from samples and their classes."""
        matrix = self._matrix(X, y, reset=True)
        labels = np.asarray(y)
        if len(labels) != len(matrix):
            raise UserError(f"{len(matrix)} samples, but {len(labels)} classes")
        self.model_ = self._model().fit(matrix, y)
        self.classes_ = self.model_.classes_
        if hasattr(self.model_, "n_iter_"):
            self.n_iter_ = self.model_.n_iter_
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The class of each sample."""
        check_is_fitted(self)
        return self.model_.predict(self._matrix(X, None, reset=False))

    def decision_function(self, X: Any) -> np.ndarray:
        """A score for each sample and class (one column for two classes)."""
        check_is_fitted(self)
        return self.model_.decision_function(self._matrix(X, None, reset=False))

    def _matrix(self, X: Any, y: Any, *, reset: bool) -> np.ndarray:
        if _is_events(X):
            features = LiquidFeatures() if self.features is None else self.features
            if not hasattr(features, "transform"):
                raise UserError(
                    f"features make numbers of events, such as LiquidFeatures(liquid); got {type(features).__name__}"
                )
            return features.transform(X)
        if reset:
            return validate_data(self, X, y, reset=True, dtype=float)[0]
        return validate_data(self, X, reset=False, dtype=float)


class RidgeReadout(_Readout):
    """Ridge regression on ±1 targets, one per class (scikit-learn's `RidgeClassifier`).

    Args:
        features: a `LiquidFeatures`; default counts.
        alpha: penalty.
    """

    def __init__(self, features: Any = None, *, alpha: float = 1.0):
        self.features = features
        self.alpha = alpha

    def _model(self) -> Any:
        return RidgeClassifier(alpha=self.alpha)


class SoftmaxReadout(_Readout):
    """Softmax regression (scikit-learn's `LogisticRegression`).

    Args:
        features: a `LiquidFeatures`; default counts.
        C: inverse of the L2 penalty.
        max_iter: steps of the solver.
    """

    def __init__(self, features: Any = None, *, C: float = 1.0, max_iter: int = 1000):
        self.features = features
        self.C = C
        self.max_iter = max_iter

    def _model(self) -> Any:
        return LogisticRegression(C=self.C, max_iter=self.max_iter)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class."""
        check_is_fitted(self)
        return self.model_.predict_proba(self._matrix(X, None, reset=False))


def _is_events(X: Any) -> bool:
    return isinstance(X, EventTensor) or (
        isinstance(X, Sequence) and len(X) > 0 and isinstance(X[0], EventTensor)
    )


def _batches(X: Any) -> list[EventTensor]:
    """Samples in batches of a bearable size."""
    if isinstance(X, EventTensor):
        return [X.batch(slice(a, a + BATCH)) for a in range(0, X.shape[1], BATCH)]
    return [EventTensor.stack(X[a : a + BATCH]) for a in range(0, len(X), BATCH)]
