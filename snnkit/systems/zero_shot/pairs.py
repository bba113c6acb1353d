"""Digits that were never trained: two are held out, the projections learn from the others, and sounds look for pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snnkit.systems.zero_shot.data import Modality
from snnkit.systems.zero_shot.supervised import standard
from snnkit.training.contrastive import Embedding, contrastive_loss

DIGITS = tuple(range(10))
PAIRS = tuple(combinations(DIGITS, 2))
PUBLISHED_PAIR, PUBLISHED_SEEN = (8, 9), (1, 2, 3, 4, 5, 6, 7)
DIMS, RATE = 64, 1e-3


@dataclass(frozen=True)
class Training:
    """Of the projections: steps of Adam on batches of pairs of one class."""

    steps: int = 300
    batch: int = 128
    temperature: float = 1.0
    same_class: Literal["soft", "mask"] = "soft"

    def loss(self, a: Tensor, b: Tensor, classes: NDArray[np.int64]) -> Tensor:
        """Contrastive, of the embeddings of both senses: row k of either is of class k."""
        found = torch.from_numpy(classes)
        return contrastive_loss(a, b, found, temperature=self.temperature, same_class=self.same_class)


@dataclass(frozen=True, eq=False)
class Features:
    """Spike counts of one chip for both senses, with what is needed to split them."""

    counts: tuple[NDArray, NDArray]  # pictures, sounds
    labels: tuple[NDArray[np.int64], NDArray[np.int64]]
    learn: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    ask: tuple[NDArray[np.bool_], NDArray[np.bool_]]

    @property
    def asked(self) -> list[NDArray[np.int64]]:
        """Classes of the samples to ask."""
        return [y[m] for y, m in zip(self.labels, self.ask, strict=True)]

    @classmethod
    def of(cls, both: Sequence[Modality], gains: Sequence[float], chip: int, *, valid: bool = False) -> Features:  # fmt: skip
        """From a chip; with `valid` the validation samples take the place of the test samples, which are not looked at."""
        counts, labels = [], []
        for data, gain in zip(both, gains, strict=True):
            counts.append(data.liquid(gain, chip).counts(data.ev).numpy())
            labels.append(data.labels)
        learn = [d.fit if valid else d.train for d in both]
        ask = [d.valid if valid else d.test for d in both]
        return cls(tuple(counts), tuple(labels), tuple(learn), tuple(ask))  # type: ignore[arg-type]


def two_voices(data: Modality, gain: float, chip: int) -> Features:
    """The positive control: the words of half the speakers on one chip in place of pictures, those of the others on another chip."""
    assert data.groups is not None
    speakers = np.unique(data.groups)
    first = np.isin(data.groups, speakers[: len(speakers) // 2])
    sides = (first, ~first)
    counts = tuple(data.liquid(gain, chip + 100 * k).counts(data.ev).numpy() for k in range(2))
    learn, ask = (tuple(part & side for side in sides) for part in (data.train, data.test))
    return Features(counts, (data.labels, data.labels), learn, ask)  # type: ignore[arg-type]


def train(features: Features, seen: Sequence[int], training: Training, seed: int, *, shuffled: bool = False) -> Iterator[list[Tensor]]:  # fmt: skip
    """Train two projections on the digits `seen`; after every tenth of the steps the embeddings of the samples to ask, of both senses.

    `shuffled` deals the sounds' classes out anew among the training sounds: the control in which nothing matches.
    """
    rng, generator = np.random.default_rng((seed, 1)), torch.Generator().manual_seed(seed)
    known = [m & np.isin(y, seen) for m, y in zip(features.learn, features.labels, strict=True)]
    x = [torch.from_numpy(standard(c, m)) for c, m in zip(features.counts, known, strict=True)]
    asked = [values[torch.from_numpy(m)] for values, m in zip(x, features.ask, strict=True)]
    labels = [y.copy() for y in features.labels]
    if shuffled:
        labels[1][known[1]] = rng.permutation(labels[1][known[1]])
    members = [rows_by_class(y, m, seen) for y, m in zip(labels, features.learn, strict=True)]
    nets = nn.ModuleList(Embedding(values.shape[1], DIMS, generator=generator) for values in x)
    optimizer = torch.optim.Adam(nets.parameters(), lr=RATE)
    tenth = max(training.steps // 10, 1)
    for step in range(1, training.steps + 1):
        classes = rng.integers(len(seen), size=training.batch)
        picks = [one_of_each(of, classes, rng) for of in members]
        a, b = (net(values[ids]) for net, values, ids in zip(nets, x, picks, strict=True))
        loss = training.loss(a, b, classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % tenth == 0:
            with torch.no_grad():
                yield [net(values) for net, values in zip(nets, asked, strict=True)]


def rows_by_class(labels: NDArray[np.int64], learn: NDArray[np.bool_], seen: Sequence[int]) -> list[NDArray[np.int64]]:  # fmt: skip
    """Training samples of each of the digits `seen`."""
    return [np.flatnonzero(learn & (labels == c)) for c in seen]


def one_of_each(members: list[NDArray[np.int64]], classes: NDArray[np.int64], rng: np.random.Generator) -> Tensor:  # fmt: skip
    """A sample of each of these classes, drawn by chance."""
    size = np.array([len(rows) for rows in members])
    start = np.cumsum(size) - size
    at = start[classes] + (rng.random(len(classes)) * size[classes]).astype(np.int64)
    return torch.from_numpy(np.concatenate(members)[at])


def retrieval(asked: Sequence[NDArray[np.int64]], embeddings: Sequence[Tensor], classes: Sequence[int]) -> dict[str, Any]:  # fmt: skip
    """How often the picture nearest to a sound is of its class, among samples of `classes`; by class; and with class means.

    A sound's answer is the class of the most similar picture; with means, the class whose pictures are most similar on average.

    Args:
        asked: classes of the pictures and of the sounds.
        embeddings: of both, of length 1.
        classes: only these.
    """
    pictures, sounds = (np.flatnonzero(np.isin(y, classes)) for y in asked)
    s = (embeddings[1][sounds] @ embeddings[0][pictures].t()).numpy()
    is_, said = asked[0][pictures], asked[1][sounds]
    right = is_[s.argmax(1)] == said
    means = np.stack([s[:, is_ == c].mean(1) for c in classes], 1)
    return {
        "nearest": float(right.mean()),
        "means": float((np.asarray(classes)[means.argmax(1)] == said).mean()),
        "by class": [float(right[said == c].mean()) for c in classes],
    }


def held_out(features: Features, pair: tuple[int, int], seen: Sequence[int], training: Training, seed: int, *, shuffled: bool = False) -> dict[str, Any]:  # fmt: skip
    """One pair: accuracy on it after the last step, along the way, and on the digits that were trained."""
    way, embeddings = [], []
    for embeddings in train(features, seen, training, seed, shuffled=shuffled):
        way.append(retrieval(features.asked, embeddings, pair)["nearest"])
    return {
        "pair": list(pair),
        "unseen": retrieval(features.asked, embeddings, pair),
        "seen": retrieval(features.asked, embeddings, tuple(seen)),
        "way": way,
    }


def rotation(features: Features, pairs: Sequence[tuple[int, int]], training: Training, seed: int, *, shuffled: bool = False) -> list[dict[str, Any]]:  # fmt: skip
    """Every pair held out in turn, the other eight digits trained."""
    others = ((pair, tuple(d for d in DIGITS if d not in pair)) for pair in pairs)
    return [held_out(features, pair, seen, training, seed, shuffled=shuffled) for pair, seen in others]


def jackknife(pairs: Sequence[tuple[int, int]], values: Sequence[float]) -> tuple[float, float, float]:
    """Mean over pairs and its 95 % interval, leaving out one digit at a time: pairs that share a digit are not independent.

    The mean over pairs is a U-statistic of degree two in the digits; se² = (n-1)/n Σ (θ_-k - mean)², Student's t with n - 1.
    (Arvesen 1969, Ann. Math. Statist. 40:2076.)
    """
    from scipy.special import stdtrit  # Student's t; scipy.stats takes seconds to import

    values = np.asarray(values, dtype=float)  # type: ignore[assignment]
    digits = sorted({d for pair in pairs for d in pair})
    mean, n = float(np.mean(values)), len(digits)
    without = [[v for v, p in zip(values, pairs, strict=True) if d not in p] for d in digits]
    left = np.array([np.mean(some) if some else mean for some in without])
    half = float(stdtrit(max(n - 1, 1), 0.975) * np.sqrt((n - 1) / n * np.square(left - left.mean()).sum()))
    return mean, mean - half, mean + half


def shared_structure(features: Features, draws: int = 2000, seed: int = 0) -> dict[str, float]:
    """Whether digits that look alike also sound alike: the correlation of both similarity matrices of class means, and the share of
    permutations of the digits that reach it (Mantel 1967, Cancer Res. 27:209).

    Without it no alignment learned from seen digits can tell unseen ones apart better than a coin.
    """
    both = []
    for counts, y, learn in zip(features.counts, features.labels, features.learn, strict=True):
        z = standard(counts, learn)
        both.append(np.corrcoef(np.stack([z[learn & (y == d)].mean(0) for d in DIGITS])))
    upper = np.triu_indices(len(DIGITS), 1)
    seen, heard = both[0][upper], both[1]
    found = float(np.corrcoef(seen, heard[upper])[0, 1])
    rng = np.random.default_rng(seed)
    orders = (rng.permutation(len(DIGITS)) for _ in range(draws))
    chance = np.array([np.corrcoef(seen, heard[np.ix_(o, o)][upper])[0, 1] for o in orders])
    return {"correlation": found, "p": float((np.sum(chance >= found) + 1) / (draws + 1))}
