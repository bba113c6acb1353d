"""The Lorenz-63 system as a task: a trajectory, one-step and free-running prediction by a liquid with a linear readout."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from sklearn.linear_model import Ridge

from snnkit.events import EventTensor
from snnkit.liquid import Liquid

SAMPLE = 0.02  # time units between samples
LYAPUNOV_TIME = 1 / 0.9056  # time units, Sprott 2003
TAUS = (10e-3, 40e-3)  # s, of the traces that are read
FLOOR = 0.1  # of the deviations by which features are divided: neurons that hardly spike stay small
WASHOUT = 100  # samples
MEAN, DEVIATION = (0.0, 0.0, 23.55), (7.92, 9.01, 8.62)  # of the coordinates on the attractor


@lru_cache(8)
def trajectory(samples: int, *, seed: int = 0, between: int = 4) -> np.ndarray:
    """x' = 10(y - x), y' = x(28 - z) - y, z' = xy - 8z/3 (Lorenz 1963, J Atmos Sci 20:130), [samples, 3], on the attractor, each
    coordinate with mean 0 and variance 1 there; Runge-Kutta of fourth order.
    """
    slope = lambda s: np.array([10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]])
    s, h = np.array([1.0, 1.0, 20.0]) + np.random.default_rng(seed).normal(size=3), SAMPLE / between
    found = []
    for _ in range(500 + samples):
        for _ in range(between):
            a = slope(s)
            b = slope(s + h / 2 * a)
            c = slope(s + h / 2 * b)
            s = s + h / 6 * (a + 2 * b + 2 * c + slope(s + h * c))
        found.append(s)
    return (np.array(found[500:]) - MEAN) / DEVIATION


def pulses(x: np.ndarray, hold: int, dt: float) -> EventTensor:
    """Values [T, B, channels] as graded events in every `hold`-th step; zeros are none."""
    out = torch.zeros(len(x) * hold, *x.shape[1:])
    out[::hold] = torch.from_numpy(x).float()
    return EventTensor.from_dense(out, dt)


class Prediction(NamedTuple):
    nrmse: float  # one step ahead, root mean square error over standard deviation
    valid_time: float  # of free runs, mean, in Lyapunov times
    operations: float  # spikes x recurrent fan-out per sample of the trajectory


class Reader:
    """Features of a liquid with four input channels (x, y, z and 1): its spikes, filtered by two time constants."""

    def __init__(self, liquid: Liquid, hold: int) -> None:
        assert liquid.dt is not None
        self.liquid, self.hold, self.dt = liquid, hold, liquid.dt
        self.keep = np.exp(-self.dt / np.array(TAUS))[:, None, None]
        self.powers = self.keep ** np.arange(hold - 1, -1, -1)[:, None]  # taus hold 1

    def read(self, x: np.ndarray, state: tuple | None = None) -> tuple[np.ndarray, tuple, np.ndarray]:
        """Features [T, B, 2N] of samples [T, B, 3], the state after them, and spikes per neuron."""
        u = np.concatenate([x, np.ones((*x.shape[:2], 1))], -1)
        inner, traces = (None, np.zeros((len(TAUS), x.shape[1], self.liquid.N))) if state is None else state
        spikes, inner = self.liquid.scan(pulses(u, self.hold, self.dt), inner, threads=1)
        dense = spikes.dense().numpy().reshape(len(x), self.hold, x.shape[1], -1)
        found = []
        for block in dense:
            jumps = np.einsum("kh,hbn->kbn", self.powers[..., 0], block)
            traces = traces * self.keep**self.hold + jumps
            found.append(np.concatenate(list(traces), -1))
        return np.stack(found), (inner, traces), dense.sum((0, 1, 2))


def predict(
    liquid: Liquid, hold: int, *, train: int, test: int, starts: int, free: int, alpha: float, seed: int
) -> Prediction:
    """Fit on one trajectory, judge on another: one step ahead, and free-running from some of its points.

    A free run is valid until |error| / √3 exceeds 0.4, with all coordinates of variance 1.
    """
    reader = Reader(liquid, hold)
    x = trajectory(WASHOUT + train + 1, seed=2 * seed)
    features = reader.read(x[:-1, None])[0][WASHOUT:, 0]
    mean, scale = features.mean(0), np.hypot(features.std(0), FLOOR)
    model = Ridge(alpha=alpha * len(features)).fit((features - mean) / scale, x[WASHOUT + 1 :])
    answer = lambda f: model.predict((f - mean) / scale)

    y = trajectory(WASHOUT + test + 1, seed=2 * seed + 1)
    features, _, fired = reader.read(y[:-1, None])
    nrmse = float(np.sqrt(((answer(features[WASHOUT:, 0]) - y[WASHOUT + 1 :]) ** 2).mean()))
    out = np.bincount(liquid.projection("recurrent").pre, minlength=liquid.N)
    first = np.linspace(0, test - free - 1, starts).astype(int)
    valid = _free_runs(reader, answer, np.stack([y[a : a + WASHOUT + free] for a in first], 1), free)
    return Prediction(nrmse, valid, float(fired @ out) / (WASHOUT + test))


def _free_runs(
    reader: Reader, answer: Callable[[np.ndarray], np.ndarray], truth: np.ndarray, free: int
) -> float:
    """Mean valid time of free runs, each after WASHOUT samples of the truth [WASHOUT + free, starts, 3]."""
    features, state, _ = reader.read(truth[:WASHOUT])
    good, times = np.ones(truth.shape[1], bool), np.zeros(truth.shape[1])
    for k in range(free):
        now = answer(features[-1])
        error = np.sqrt(((now - truth[WASHOUT + k]) ** 2).mean(-1))
        good &= error < 0.4
        times += good
        if not good.any():
            break
        features, state, _ = reader.read(np.clip(now, -5, 5)[None], state)
    return float(times.mean() * SAMPLE / LYAPUNOV_TIME)
