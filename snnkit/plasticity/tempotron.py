"""The tempotron: a neuron that learns to fire for some spike patterns and to stay silent for others."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.kernels import tempotron as loops
from snnkit.kernels.sparse import run_pieces


class Tempotron:
    """Classifier of spike patterns, one neuron for two classes and one per class for more (Gütig & Sompolinsky 2006).

        V(t) = Σᵢ wᵢ Σ K(t - tᵢ)        K(u) = V₀ (exp(-u/τ) - exp(-u/τₛ)) for u > 0, with peak 1

    The neuron should reach the threshold 1 for its class and nowhere else. After an error, at the time t* of the highest
    potential, every weight moves by ± rate · Σ K(t* - tᵢ) over its spikes before t*: up if a spike was missed, down if it
    was one too many. With more than two classes the highest potential decides.

    Args:
        tau: membrane time constant [s].
        tau_s: synaptic time constant [s]; a quarter of `tau` by default.
        rate: learning rate, in thresholds.
        epochs: passes over the samples; it stops when one has no error.
        tail: how long the potential is followed after the last step [s]; three `tau` by default.
        spread: standard deviation of the initial weights, in thresholds.
        seed: of the initial weights and the order of the samples.

    Attributes after `fit`: `weights_` (inputs, neurons), `classes_`, `errors_` (per epoch).

    >>> there, back = (EventTensor.from_events([0.0, 5e-3], x, shape=2, dt=1e-3, steps=6) for x in ([0, 1], [1, 0]))
    >>> ev = EventTensor.stack([there, back])
    >>> Tempotron(rate=0.05, epochs=200).fit(ev, [0, 1]).predict(ev).tolist()
    [0, 1]
    """

    def __init__(
        self,
        *,
        tau: float = 15e-3,
        tau_s: float | None = None,
        rate: float = 2e-3,
        epochs: int = 10,
        tail: float | None = None,
        spread: float = 0.01,
        seed: int = 0,
    ):
        tau_s = tau / 4 if tau_s is None else tau_s
        if not 0 < tau_s < tau:
            raise UserError(
                f"Tempotron needs 0 < tau_s < tau, both in seconds; got tau_s={tau_s:g}, tau={tau:g}"
            )
        if not (rate > 0 and epochs >= 1 and spread >= 0):
            raise UserError(
                f"Tempotron needs rate > 0, epochs >= 1, spread >= 0; got {rate:g}, {epochs}, {spread:g}"
            )
        self.tau, self.tau_s, self.rate, self.epochs = tau, tau_s, rate, int(epochs)
        self.tail, self.spread, self.seed = 3 * tau if tail is None else tail, spread, seed

    @property
    def norm(self) -> float:
        """V₀, which makes the highest value of K one."""
        ratio = self.tau / self.tau_s
        return 1 / (ratio ** (-1 / (ratio - 1)) - ratio ** (-ratio / (ratio - 1)))

    def kernel(self, u: ArrayLike) -> NDArray[np.float64]:
        """K at times u [s] after a spike."""
        u = np.asarray(u, dtype=np.float64)
        shape = np.exp(-np.maximum(u, 0) / self.tau) - np.exp(-np.maximum(u, 0) / self.tau_s)
        return np.where(u > 0, self.norm * shape, 0.0)

    def fit(self, x: EventTensor, y: ArrayLike) -> Tempotron:
        """Learn from spike patterns `T B *N` (one spike per event) and their classes; B labels, two or more classes."""
        _check(x)
        labels = np.asarray(y)
        if labels.shape != (x.shape[1],):
            raise UserError(f"expected {x.shape[1]} labels, one per sample, got shape {labels.shape}")
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise UserError(f"expected at least two classes, got only {self.classes_.tolist()}")
        several = len(self.classes_) > 2
        wanted = labels[:, None] == (self.classes_ if several else self.classes_[1:])[None]
        rng = np.random.default_rng(self.seed)
        inputs = math.prod(x.shape[2:])
        weights = rng.normal(0.0, self.spread, (inputs, wanted.shape[1]))
        *run, steps, tail = self._setting(x)
        kernel = self.kernel(np.arange(steps + tail + 1) * x.dt)
        self.errors_: list[int] = []
        for _ in range(self.epochs):
            order = rng.permutation(len(labels))
            self.errors_.append(
                loops.learn(
                    *self._events(x), steps, tail, weights, *run, 1.0, self.rate, order, wanted, kernel
                )
            )
            if not self.errors_[-1]:
                break
        self.weights_ = weights
        return self

    def potentials(self, x: EventTensor) -> NDArray[np.float64]:
        """The highest potential of every neuron, (B, neurons), in thresholds."""
        if not hasattr(self, "weights_"):
            raise UserError("this Tempotron has learned nothing yet; call fit(x, y) first")
        _check(x)
        if math.prod(x.shape[2:]) != len(self.weights_):
            raise UserError(f"expected {len(self.weights_)} inputs as in fit, got {math.prod(x.shape[2:])}")
        *run, steps, tail = self._setting(x)
        highest = np.empty((x.shape[1], self.weights_.shape[1]))
        rowptr, indices, batch = self._events(x)
        cost = np.arange(batch + 1) * (len(indices) // max(1, batch) + steps + tail)
        run_pieces(
            cost,
            self.weights_.shape[1],
            lambda a, b: loops.peaks(rowptr, indices, batch, steps, tail, self.weights_, *run, a, b, highest),
        )
        return highest

    def predict(self, x: EventTensor) -> NDArray:
        """The class of every sample."""
        highest = self.potentials(x)
        chosen = highest.argmax(1) if len(self.classes_) > 2 else (highest[:, 0] >= 1.0).astype(np.int64)
        return self.classes_[chosen]

    def score(self, x: EventTensor, y: ArrayLike) -> float:
        """Part of the samples that get their class."""
        return float(np.mean(self.predict(x) == np.asarray(y)))

    def _setting(self, x: EventTensor) -> tuple[float, float, float, int, int]:
        """Decay of both traces per step, V₀, steps and steps of the tail."""
        decays = math.exp(-x.dt / self.tau), math.exp(-x.dt / self.tau_s)
        return *decays, self.norm, x.shape[0], round(self.tail / x.dt)

    def _events(self, x: EventTensor) -> tuple[NDArray, NDArray, int]:
        if x.values is not None and not bool((x.values == 1).all()):
            raise UserError(
                "Tempotron takes spikes; these events carry other values (bins with several spikes?)"
            )
        return x.rowptr.numpy(), x.indices.numpy(), x.shape[1]


def _check(x: EventTensor) -> None:
    if not isinstance(x, EventTensor):
        raise TypeError(f"Tempotron expected an EventTensor T B *N, got {type(x).__name__}")
