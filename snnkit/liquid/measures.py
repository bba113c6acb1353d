"""How a liquid computes: richness of its states, memory, spread of activity, stability.

States are matrices [samples or steps, features]; activity is spikes per step, given as such or as the spikes themselves.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.liquid.features import per_step
from snnkit.liquid.projection import Projection


def spectral_radius(w: Any) -> float:
    """Largest |eigenvalue| of a weight matrix [N, N] or of a recurrent `Projection`."""
    matrix = w.matrix() if isinstance(w, Projection) else np.asarray(w, float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise UserError(f"spectral_radius needs a square matrix, got shape {matrix.shape}")
    return float(np.abs(np.linalg.eigvals(matrix)).max(initial=0.0))


# Richness of states -------------------------------------------------------------------------------------------------


def rank(states: Any, tolerance: float | None = None) -> int:
    """Linear rank of a matrix of states [samples, features].

    Of the answers to different inputs this is the *kernel quality*, of those to noisy copies of one input the *generalisation
    rank* (Legenstein and Maass 2007, Neural Networks 20:323): a good liquid has much of the first and little of the second.

    Args:
        tolerance: singular values below count as zero; default that of numpy.
    """
    matrix = np.asarray(states, float)
    if matrix.ndim != 2:
        raise UserError(f"states are a matrix [samples, features], got shape {matrix.shape}")
    return int(np.linalg.matrix_rank(matrix, tol=tolerance)) if matrix.size else 0


def separation(states: Any, labels: Any) -> float:
    """Distance of the class means over the spread within classes (Goodman and Ventura 2006, IJCNN).

    mean |μ_a - μ_b| over all pairs (a, b) of classes, equal ones (0) included / (1 + mean spread around μ)

    Args:
        states: [samples, features].
        labels: class of each sample, two or more classes.
    """
    x, y = np.asarray(states, float), np.asarray(labels)
    classes = np.unique(y)
    if x.ndim != 2 or y.shape != x.shape[:1] or len(classes) < 2:
        raise UserError(
            f"separation needs states [samples, features] and a class for each of the samples, two or more classes; "
            f"got shapes {x.shape} and {y.shape}, {len(classes)} classes"
        )
    means = np.stack([x[y == c].mean(0) for c in classes])
    between = np.linalg.norm(means[:, None] - means[None], axis=-1).sum() / len(classes) ** 2
    within = np.mean(
        [np.linalg.norm(x[y == c] - m, axis=1).mean() for c, m in zip(classes, means, strict=True)]
    )
    return float(between / (1.0 + within))


def memory_capacity(
    states: Any, signal: Any, delays: int, *, washout: int = 0, ridge: float = 1e-9
) -> np.ndarray:
    """How well each past input can be read linearly from the present state (Jaeger 2001, GMD report 152).

        MC_k = cov²(y_k, u(t - k)) / (var y_k · var u),  k = 0 .. delays-1;  their sum is the memory capacity, at most N

    y_k is fitted on the first half of the steps and judged on the second, so that chance fits count nothing.

    Args:
        states: [T, N].
        signal: u, independent from step to step, [T].
        delays: how many.
        washout: steps to leave out at the beginning.
        ridge: penalty, relative to the mean square of the states.
    """
    x, u = np.asarray(states, float)[washout:], np.asarray(signal, float)
    T = len(x)
    if len(u) != washout + T or 4 * delays > T or delays < 1:
        raise UserError(f"memory_capacity needs one input per state and at least 4 x delays steps; got {len(u)} inputs, {T} steps, {delays} delays")  # fmt: skip
    targets = np.stack([np.roll(u, k)[washout:] for k in range(delays)], axis=1)
    begin = max(0, delays - washout)
    x, targets = x[begin:], targets[begin:]
    half = len(x) // 2
    a = np.column_stack([x, np.ones(len(x))])
    train, test = a[:half], a[half:]
    penalty = ridge * max((train**2).mean(), 1e-30) * half * np.eye(a.shape[1])
    weights = np.linalg.solve(train.T @ train + penalty, train.T @ targets[:half])
    return np.array([_squared(test @ w, t) for w, t in zip(weights.T, targets[half:].T, strict=True)])


def _squared(y: np.ndarray, u: np.ndarray) -> float:
    """Squared correlation, 0 for a constant."""
    scale = y.var() * u.var()
    return 0.0 if scale < 1e-24 else float(np.cov(y, u, bias=True)[0, 1] ** 2 / scale)


# Spread of activity -------------------------------------------------------------------------------------------------


def branching_factor(spikes: EventTensor, projection: Projection, window: int = 4) -> float:
    """Descendants per ancestor, mean over all spikes (Ivanov and Michmizos 2021).

    For a spike of neuron i in step t: spikes of its post neurons in t+1 .. t+window, over those of its pre neurons in
    t-window .. t-1, at least 1. Only spikes with both windows inside the recording count; NaN without any.

    Args:
        spikes: of the liquid, `T B N`.
        projection: its recurrent synapses.
        window: steps.
    """
    if not isinstance(spikes, EventTensor):
        raise TypeError(f"branching_factor expected spikes as an EventTensor, got {type(spikes).__name__}")
    N = math.prod(spikes.shape[2:])
    if projection.shape != (N, N):
        raise UserError(
            f"branching_factor needs the synapses among the {N} neurons that spike, got a projection of "
            f"{projection.shape[0]} to {projection.shape[1]}"
        )
    joined = np.zeros(projection.shape, bool)
    joined[projection.pre, projection.post] = True
    T, B = spikes.shape[:2]
    ratios = []
    for b in range(B):
        fired = (spikes.batch(b).dense()[:, 0].reshape(T, -1) != 0).numpy().astype(np.float32)
        past = np.concatenate([np.zeros((1, fired.shape[1]), np.float32), fired.cumsum(0)])
        for t in range(window, T - window):
            who = fired[t].nonzero()[0]
            later = past[t + 1 + window] - past[t + 1]
            earlier = past[t] - past[t - window]
            down, up = joined[who] @ later, joined[:, who].T @ earlier
            ratios.append(down / np.maximum(up, 1.0))
    found = np.concatenate(ratios) if ratios else np.empty(0)
    return float(found.mean()) if found.size else float("nan")


def branching_ratio(activity: Any, lags: int = 20) -> float:
    """m of activity that breeds m spikes per spike, also where only some neurons are seen (Wilting and Priesemann 2018, Nat Commun 9:2325).

    Slopes r_k of the regression of a(t+k) on a(t) decay as b·m^k; m is fitted to them. Steps must be those of the dynamics.

    Args:
        activity: spikes per step, [T] or [T, samples], or an EventTensor of spikes.
        lags: k = 1 .. lags.
    """
    from scipy.optimize import curve_fit

    a = _activity(activity)
    if a.shape[0] < 4 * lags:
        raise UserError(f"branching_ratio needs at least 4 x lags = {4 * lags} steps, got {a.shape[0]}")
    if (a == a.flat[0]).all():
        raise UserError("branching_ratio needs activity that changes; it is the same in all steps")
    k = np.arange(1, lags + 1)
    centred = a - a.mean()
    slopes = np.array([(centred[:-j] * centred[j:]).sum() / (centred[:-j] ** 2).sum() for j in k])
    first = slopes[0] if 0 < slopes[0] < 1 else 0.5
    (_, m), _ = curve_fit(lambda k, b, m: b * m**k, k, slopes, p0=(1.0, first), bounds=([0, 0], [2, 1.5]))
    return float(m)


def _activity(given: Any) -> np.ndarray:
    """Spikes per step, [T, samples]."""
    a = np.asarray(per_step(given) if isinstance(given, EventTensor) else given, float)
    if a.ndim not in (1, 2):
        raise UserError(
            f"activity is spikes per step, [T] or [T, samples], or an EventTensor of spikes; got shape {a.shape}"
        )
    return a[:, None] if a.ndim == 1 else a


class Avalanches(NamedTuple):
    sizes: np.ndarray  # spikes
    durations: np.ndarray  # steps


def avalanches(activity: Any) -> Avalanches:
    """Runs of steps with spikes, between steps without (Beggs and Plenz 2003, J Neurosci 23:11167).

    Args:
        activity: spikes per step, [T] or [T, samples], or an EventTensor of spikes. Runs that touch either end are left out:
            they are not whole.
    """
    sizes, durations = [], []
    for column in _activity(activity).T:
        quiet = np.flatnonzero(column == 0)
        total = np.concatenate([[0.0], np.cumsum(column)])
        gaps = np.diff(quiet)
        for at in np.flatnonzero(gaps > 1):
            sizes.append(total[quiet[at + 1]] - total[quiet[at] + 1])
            durations.append(gaps[at] - 1)
    return Avalanches(np.array(sizes), np.array(durations, int))


def power_law_exponent(values: Any, smallest: int = 1) -> float:
    """α of P(x) ∝ x^-α on the whole numbers x >= smallest, by maximum likelihood (Clauset, Shalizi and Newman 2009, SIAM Rev 51:661)."""
    from scipy.optimize import minimize_scalar
    from scipy.special import zeta

    x = np.asarray(values, float)
    x = x[x >= smallest]
    if len(x) < 2 or (x == x[0]).all():
        raise UserError("power_law_exponent needs at least two different values")
    logs = np.log(x).mean()
    found = minimize_scalar(
        lambda alpha: alpha * logs + np.log(zeta(alpha, smallest)), bounds=(1.0001, 8.0), method="bounded"
    )
    return float(found.x)
