"""Who is joined to whom: pairs (pre, post) sorted by pre, then post."""

from __future__ import annotations

import math

import numpy as np

from snnkit.errors import UserError

Pairs = tuple[np.ndarray, np.ndarray]
BLOCK = 1 << 22  # pairs looked at together


def random(n_pre: int, n_post: int, p: float, self_loops: bool, generator: np.random.Generator) -> Pairs:
    """Each pair with probability p. Gaps between hits are drawn, so it costs time per synapse, not per pair."""
    total = n_pre * n_post
    if p >= 1.0:
        at = np.arange(total)
    elif p <= 0.0:
        at = np.empty(0, np.int64)
    else:
        parts, last = [], -1
        while last < total:
            expected = int((total - last) * p)
            gaps = generator.geometric(p, expected + 4 * math.isqrt(expected + 1) + 16)
            gaps = np.minimum(gaps, total + 1)  # for the sum not to overflow where p is next to nothing
            parts.append(last + np.cumsum(gaps))
            last = int(parts[-1][-1])
        at = np.concatenate(parts)
        at = at[at < total]
    pre, post = at // n_post, at % n_post
    keep = slice(None) if self_loops else pre != post
    return pre[keep], post[keep]


def lattice(size: tuple[int, ...]) -> np.ndarray:
    """Positions [n, axes] of the points of a lattice, the last axis fastest."""
    if not size or any(int(s) != s or s < 1 for s in size):
        raise UserError(f"a grid has at least one neuron along each axis, got size={size!r}")
    axes = np.meshgrid(*(np.arange(s) for s in size), indexing="ij")
    return np.stack([a.ravel() for a in axes], axis=1).astype(float)


def near(
    positions: np.ndarray, inhibitory: np.ndarray, p: np.ndarray, reach: float, generator: np.random.Generator
) -> Pairs:
    """Pairs joined with probability p·exp(-(d/reach)²), p by the kinds of the two: EE, EI, IE, II. No self loops."""
    n, kind = len(positions), inhibitory.astype(int)
    rows = max(1, BLOCK // n)
    pres, posts = [], []
    for first in range(0, n, rows):
        part = slice(first, min(n, first + rows))
        square = ((positions[part, None] - positions[None]) ** 2).sum(-1)
        chance = p.reshape(2, 2)[kind[part, None], kind[None]] * np.exp(-square / reach**2)
        hit = generator.random(square.shape) < chance
        pre, post = hit.nonzero()
        keep = pre + first != post
        pres.append(pre[keep] + first)
        posts.append(post[keep])
    return np.concatenate(pres), np.concatenate(posts)


def small_world(n: int, k: int, rewire: float, generator: np.random.Generator) -> Pairs:
    """A ring of n with k outgoing synapses each; rewired ones keep their pre neuron. No self loops, no double synapses."""
    if k < 2 or k % 2 or k >= n:
        raise UserError(f"small_world needs an even k with 2 <= k < n, got k={k} and n={n}")
    steps = np.concatenate([np.arange(-k // 2, 0), np.arange(1, k // 2 + 1)])
    posts = (np.arange(n)[:, None] + steps) % n
    for i, moved in enumerate(generator.random((n, k)) < rewire):
        joined = {i, *posts[i].tolist()}
        for a in moved.nonzero()[0]:
            if len(joined) == n:
                break
            while (new := int(generator.integers(n))) in joined:
                pass
            joined.add(new)
            joined.remove(int(posts[i, a]))
            posts[i, a] = new
    return np.repeat(np.arange(n), k), np.sort(posts, axis=1).ravel()


def scale_free(n: int, m: int, generator: np.random.Generator) -> Pairs:
    """Preferential attachment: each new neuron is joined to m others, drawn in proportion to how many they have."""
    if not 1 <= m < n:
        raise UserError(f"scale_free needs 1 <= m < n, got m={m} and n={n}")
    ends: list[int] = []  # every neuron as often as it has edges
    pairs: list[tuple[int, int]] = []
    for new in range(m, n):
        chosen: set[int] = set(range(m)) if new == m else set()
        while len(chosen) < m:
            chosen.add(ends[int(generator.integers(len(ends)))])
        for old in sorted(chosen):
            ends += [new, old]
            pairs.append((new, old) if generator.random() < 0.5 else (old, new))
    pre, post = np.array(pairs).T
    order = np.lexsort((post, pre))
    return pre[order], post[order]
