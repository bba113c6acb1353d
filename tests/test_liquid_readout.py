"""Readouts: scikit-learn's checks, features against sums written plainly, and a task that a liquid solves."""

import numpy as np
import pytest
import torch
from simulator_cases import MS, cell, interpret, poisson
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.liquid import Liquid, LiquidFeatures, Projection, RidgeReadout, SoftmaxReadout
from snnkit.liquid.features import counts, filtered
from snnkit.liquid.readout import samples


@pytest.mark.parametrize(
    "estimator", [LiquidFeatures(), LiquidFeatures(norm="l2"), RidgeReadout(), SoftmaxReadout()], ids=repr
)
def test_scikit_learns_own_checks(estimator):
    check_estimator(estimator)


def test_features_are_sums():
    ev = poisson(31, 3, 5, 200.0)
    x = ev.dense()
    assert torch.equal(counts(ev), x.sum(0))
    window = torch.arange(31) * 4 // 31
    parts = [x[window == k].sum(0) for k in range(4)]
    assert torch.equal(counts(ev, windows=4), torch.cat(parts, 1))
    assert torch.equal(counts(ev, last=10 * MS), x[-10:].sum(0))
    decay = torch.exp(-torch.arange(30, -1, -1) * (MS / 8e-3))
    torch.testing.assert_close(filtered(ev, 8 * MS), (x * decay[:, None, None]).sum(0))
    graded = EventTensor.from_dense(x * 2.5, MS)
    assert torch.equal(counts(graded), 2.5 * counts(ev))
    for words, call in {
        "31 steps": lambda: counts(ev, last=0.1),
        "windows is 1..31": lambda: counts(ev, windows=0),
        "tau > 0": lambda: filtered(ev, 0.0),
    }.items():
        with pytest.raises(UserError, match=words):
            call()


def task(n=60, seed=0):
    """Two classes with equal counts: which half of the channels fires first."""
    generator, T = torch.Generator().manual_seed(seed), 60
    y = np.arange(n) % 2
    x = torch.zeros(T, n, 8)
    for b, label in enumerate(y):
        early = torch.rand(T // 2, 4, generator=generator) < 0.15
        late = torch.rand(T // 2, 4, generator=generator) < 0.15
        first, second = (slice(0, 4), slice(4, 8)) if label else (slice(4, 8), slice(0, 4))
        x[: T // 2, b, first], x[T // 2 :, b, second] = early.float(), late.float()
    return EventTensor.from_dense(x, MS), y


def test_a_liquid_reads_order_where_counts_of_the_input_cannot(monkeypatch):
    interpret(monkeypatch)
    ev, y = task()
    liquid = Liquid(
        cell(),
        Projection.random(8, 40, p=0.4, w=(0.2, 0.8), seed=0),
        Projection.random(40, 40, p=0.1, w=0.2, inhibitory=0.2, delay=(1 * MS, 10 * MS), seed=1),
    )
    listed = samples(ev)
    raw = cross_val_score(RidgeReadout(), listed, y, cv=3).mean()
    for features in (LiquidFeatures(liquid, "filtered", tau=20 * MS), LiquidFeatures(liquid, last=25 * MS)):
        assert cross_val_score(SoftmaxReadout(features), listed, y, cv=3).mean() > max(0.9, raw + 0.2)
    assert raw < 0.7


def test_pipelines_grids_and_batches(monkeypatch):
    interpret(monkeypatch)
    ev, y = task(24)
    features = LiquidFeatures(kind="counts", windows=2, norm="l1")
    pipe = make_pipeline(features, StandardScaler(), RidgeReadout())
    assert pipe.fit(ev, y).score(ev, y) == pipe.score(samples(ev), y) == 1.0
    search = GridSearchCV(SoftmaxReadout(features), {"C": [0.1, 10.0]}, cv=2).fit(samples(ev), y)
    assert search.best_score_ > 0.9
    assert search.best_estimator_.predict_proba(ev).shape == (24, 2)
    assert SoftmaxReadout(features).fit(ev, np.where(y, "left", "right")).predict(ev)[0] in ("left", "right")


def test_mistakes_are_told():
    ev, y = task(8)
    with pytest.raises(UserError, match="8 samples, but 5 classes"):
        RidgeReadout().fit(ev, y[:5])
    with pytest.raises(UserError, match="such as LiquidFeatures"):
        RidgeReadout(lambda ev: ev).fit(ev, y)
    with pytest.raises(UserError, match='"counts" or "filtered"'):
        LiquidFeatures(kind="rates").fit_transform(ev)
    with pytest.raises(UserError, match="a liquid takes events"):
        LiquidFeatures(lambda ev: ev).transform(np.zeros((2, 3)))
