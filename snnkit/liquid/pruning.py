"""Fewer synapses, nearly the same dynamics: how much each synapse matters, which are kept, and what the kept ones weigh.

Synapses are either drawn, each with a probability, and then weigh w/p, so that the expected matrix is the old one; or the
best by some score stay as they are. Both then get back what each neuron lost of its total |input|. Weights are
`W[post, pre]` in the equations, entry k of an array is synapse k of the projection.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnkit.errors import UserError, nearest
from snnkit.liquid.liquid import Liquid
from snnkit.liquid.projection import Projection, Seed

CORRECTIONS = ("rows", "diagonal", "none")

# -- how much a synapse matters ---------------------------------------------------------------------------------------


def linearised(projection: Projection, tau: Any, *, abscissa: float = 0.9) -> np.ndarray:
    """Linear dynamics dx/dt = D·x of a recurrent projection, [N, N] in 1/s.

        D = diag(1/τ)·(g·W - 1)

    g = 1 where that is stable; otherwise the gain at which the rightmost eigenvalue of g·W is `abscissa`, less where unequal τ make even that
    unstable: a threshold neuron's true gain depends on its drive, and only stable dynamics have a covariance.

    Args:
        tau: membrane time constants [s], one or N.
        abscissa: below 1.

    Raises:
        UserError: the projection is not square, or τ is not positive.
    """
    w = _square(projection).matrix().T
    rate = 1.0 / _positive("tau", tau, len(w))
    if not 0 < abscissa < 1:
        raise UserError(
            f"abscissa is between 0 and 1, where the linear dynamics are stable; got {abscissa!r}"
        )
    rightmost = float(np.linalg.eigvals(w).real.max(initial=0.0))
    gain = 1.0 if rightmost <= abscissa else abscissa / rightmost
    while True:
        d = rate[:, None] * (gain * w - np.eye(len(w)))
        if np.linalg.eigvals(d).real.max(initial=-1.0) < 0:
            return d
        gain *= 0.9


def noise_covariance(dynamics: Any, noise: float = 1.0) -> np.ndarray:
    """Stationary covariance C of dx = D·x·dt + σ·dW: D·C + C·Dᵀ = -σ²·1 (continuous Lyapunov equation).

    Args:
        dynamics: D [N, N], all eigenvalues left of zero.
        noise: σ, the same white noise for all.

    Raises:
        UserError: D is not square, or not stable, so that there is no stationary covariance.
    """
    from scipy.linalg import solve_continuous_lyapunov

    d = np.asarray(dynamics, float)
    if d.ndim != 2 or d.shape[0] != d.shape[1]:
        raise UserError(f"noise_covariance needs a square matrix, got shape {d.shape}")
    rightmost = np.linalg.eigvals(d).real.max(initial=-1.0)
    if not rightmost < 0:
        raise UserError(
            f"the dynamics are unstable, their rightmost eigenvalue is {rightmost:g} per second: noise has no stationary "
            "covariance; scale the weights down, or take snnkit.liquid.pruning.linearised, which does"
        )
    c = solve_continuous_lyapunov(d, -(noise**2) * np.eye(len(d)))
    return 0.5 * (c + c.T)


def noise_importance(projection: Projection, covariance: Any) -> np.ndarray:
    """|w_ij|·(C_ii + C_jj - 2·sgn(w_ij)·C_ij) of every synapse (Moore and Chaudhuri 2020, NeurIPS).

    A synapse matters if it is strong and if noise moves its two ends apart: if they move together anyhow, other paths join them.
    """
    c = np.asarray(covariance, float)
    if c.shape != _square(projection).shape:
        raise UserError(
            f"the covariance is {projection.shape[0]} x {projection.shape[0]}, got shape {c.shape}"
        )
    i, j, w = projection.post, projection.pre, projection.w
    found = np.abs(w) * (c[i, i] + c[j, j] - 2.0 * np.sign(w) * c[i, j])
    return np.maximum(found, 0.0)


def activity_importance(projection: Projection, rates: Any) -> np.ndarray:
    """r_i·r_j of every synapse: how often both its ends fire, were they independent. Needs activity, not structure."""
    r = np.asarray(rates, float)
    if r.shape != (_square(projection).shape[0],) or not (r >= 0).all():
        raise UserError(f"rates are {projection.shape[0]} numbers >= 0, one per neuron; got shape {r.shape}")
    return r[projection.post] * r[projection.pre]


# -- which are kept ---------------------------------------------------------------------------------------------------


def keep_probabilities(importance: Any, density: float) -> np.ndarray:
    """p = min(1, K·importance), K by bisection so that Σp = density x synapses.

    Raises:
        UserError: importances are negative or not finite, density is not in (0, 1], or fewer synapses matter at all.
    """
    s = np.asarray(importance, float)
    if s.ndim != 1 or not (np.isfinite(s).all() and (s >= 0).all()):
        raise UserError("importance is a finite number >= 0 for every synapse")
    target = _share(density) * len(s)
    positive = s[s > 0]
    if len(positive) < target:
        raise UserError(
            f"density {density:g} keeps {target:.0f} of {len(s)} synapses, but only {len(positive)} have any importance; "
            "ask for fewer"
        )
    low, high = 0.0, 1.0 / positive.min(initial=np.inf)
    for _ in range(200):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        short = np.minimum(1.0, middle * s).sum() < target
        low, high = (middle, high) if short else (low, middle)
    return np.minimum(1.0, high * s)


def sampled(
    projection: Projection, probability: Any, *, correction: str = "rows", seed: Seed = None
) -> Projection:
    """Draw synapses, each with its probability, as many as their sum says; the kept ones weigh w/p, so E[W'] = W.

    Synapses are drawn systematically in random order (Madow 1949, Ann Math Stat 20:333): the probabilities are exact and the number
    differs from Σp by less than one.

    Args:
        probability: one for each synapse; 0 never keeps it.
        correction: what is done for the total |input| of each neuron, see `corrected`; "none" leaves E[W'] = W exactly.
    """
    p = np.asarray(probability, float)
    if p.shape != (len(projection),) or not ((p >= 0) & (p <= 1)).all():
        raise UserError(f"probability is a number in 0..1 for each of {len(projection)} synapses")
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(p))
    passed = np.floor(np.concatenate([[0.0], np.cumsum(p[order])]) + generator.random())
    keep = np.sort(order[np.diff(passed) > 0])
    kept = subset(projection, keep)
    return corrected(kept.replaced(w=kept.w / p[keep]), total_input(projection), correction)


def strongest(
    projection: Projection, score: Any, density: float, *, correction: str = "rows", seed: Seed = None
) -> Projection:
    """Keep the synapses of the highest score, with the weights they have: magnitude pruning with |w|. Ties are drawn."""
    s = np.asarray(score, float)
    if s.shape != (len(projection),) or not np.isfinite(s).all():
        raise UserError(f"score is one finite number for each of {len(projection)} synapses")
    order = np.lexsort((np.random.default_rng(seed).random(len(s)), -s))
    keep = np.sort(order[: round(_share(density) * len(s))])
    return corrected(subset(projection, keep), total_input(projection), correction)


# -- what they weigh --------------------------------------------------------------------------------------------------


def total_input(projection: Projection) -> np.ndarray:
    """Σ_j |w_ij| of every post neuron i."""
    return np.bincount(projection.post, weights=np.abs(projection.w), minlength=projection.shape[1])


def corrected(projection: Projection, totals: Any, correction: str = "rows") -> Projection:
    """Give neurons back the total |input| they had, and with it the margin by which they are stable.

    "rows" scales what reaches a neuron by totals_i / Σ_j |w_ij|, where anything does. "diagonal" leaves the weights, and adds to
    D_ii what keeps the margin, -(Σ_j |w_ij| - totals_i), as a synapse from the neuron to itself (Moore and Chaudhuri 2020; N more synapses,
    whose signs do not keep Dale's law). "none" does nothing.
    """
    if correction not in CORRECTIONS:
        raise UserError(f"unknown correction {correction!r}; {nearest(str(correction), CORRECTIONS)}")
    now, before = total_input(projection), np.asarray(totals, float)
    if before.shape != now.shape:
        raise UserError(f"totals are one number for each of {len(now)} neurons, got shape {before.shape}")
    if correction == "rows":
        factor = np.divide(before, now, out=np.ones_like(now), where=now > 0)
        return projection.replaced(w=projection.w * factor[projection.post])
    return _with_loops(projection, before - now) if correction == "diagonal" else projection


def subset(projection: Projection, synapses: Any) -> Projection:
    """The projection with these of its synapses: indices, or a boolean mask."""
    keep = np.asarray(synapses)
    port = projection.port
    return projection.replaced(
        pre=projection.pre[keep],
        post=projection.post[keep],
        w=projection.w[keep],
        delay=None if projection.delay is None else projection.delay[keep],
        port=port if isinstance(port, int | str) else port[keep],
    )


def with_projection(liquid: Liquid, label: str, projection: Projection) -> Liquid:
    """The liquid with other synapses in one projection; its other weights, constants and what samples begin with stay."""
    return liquid.replaced(**{label: projection})


def _with_loops(projection: Projection, w: np.ndarray) -> Projection:
    """A synapse of each neuron to itself, as late as the earliest there is."""
    n = _square(projection).shape[0]
    if not isinstance(projection.port, int | str):
        raise UserError("the diagonal of a projection with several ports has no port; use correction='rows'")
    delay = projection.delay
    late = None if delay is None else np.concatenate([delay, np.full(n, delay.min(initial=np.inf))])
    join = lambda a, b: np.concatenate([a, b])
    ids = np.arange(n)
    return projection.replaced(
        pre=join(projection.pre, ids), post=join(projection.post, ids), w=join(projection.w, w), delay=late
    )


def _square(projection: Projection) -> Projection:
    if projection.shape[0] != projection.shape[1]:
        raise UserError(
            f"pruning needs synapses among the neurons of one population, got shape {projection.shape}"
        )
    return projection


def _positive(name: str, value: Any, n: int) -> np.ndarray:
    array = np.asarray(value, float)
    if array.shape not in ((), (n,)) or not (array > 0).all():
        got = f"shape {array.shape}" if array.ndim else repr(value)
        raise UserError(f"{name} is one number > 0 in seconds, or {n} of them; got {got}")
    return np.broadcast_to(array, (n,))


def _share(density: float) -> float:
    if not 0 < density <= 1:
        raise UserError(f"density is the share of synapses to keep, above 0 and at most 1; got {density!r}")
    return float(density)
