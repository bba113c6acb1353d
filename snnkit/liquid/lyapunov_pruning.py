"""Lyapunov noise pruning of a liquid before it is trained, without data of any task (Chakraborty et al. 2024, ICLR, arXiv 2403.03409).

1. Synapses by noise covariance, times how perturbations grow around their ends; 2. neurons through which few shortest paths run;
3. a few new edges between neurons with few; 4. time constants drawn anew until a measure without task is good.
The publication has no code: what is not in its text was reconstructed, and each function says how.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.liquid import pruning
from snnkit.liquid.liquid import Liquid
from snnkit.liquid.neuron_data import neuron_from, neuron_options
from snnkit.liquid.projection import Projection, Seed
from snnkit.liquid.state import repeated
from snnkit.neurons.base import Neuron

# -- 1. synapses ------------------------------------------------------------------------------------------------------


def local_growth(
    liquid: Liquid, drive: EventTensor, *, perturbations: int = 50, window: int = 10, eps: float = 0.05,
    skip: int = 50, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """How much a perturbation of each neuron grows in `window` steps, [N]: exp(λ_i·window·dt) of local Lyapunov exponents λ_i.

    Copies of the liquid run beside it; in copy i the membrane of neuron i is moved by ±eps, and after the window the distance is taken
    over membranes, currents and spikes on their way. The mean is over squares, not logarithms: most small perturbations of a
    spiking network die, log 0 has no mean.

    Args:
        drive: one sample of at least skip + perturbations·window steps; white noise, say, not data of the task.
        perturbations: how many of each neuron.
        window: steps until the distance is taken, and the copies begin anew.
        eps: in thresholds; small ones see the flow between spikes, large ones how a different spike spreads.
        skip: first steps, until the liquid is at work.
    """
    T, B = drive.shape[:2]
    if B != 1 or skip + perturbations * window > T:
        raise UserError(
            f"local_growth needs one sample of at least skip + perturbations x window = {skip + perturbations * window} steps, "
            f"got T={T}, B={B}"
        )
    names = liquid.blueprint.neuron.states
    if "v" not in names:
        raise UserError(
            f"local_growth perturbs the membrane v, but the neuron's states are {', '.join(names)}"
        )
    at, N = names.index("v"), liquid.N
    rng = np.random.default_rng(seed)
    everyone = drive.batch([0] * (N + 1))  # the last one is not perturbed
    _, state = liquid.scan(drive[:skip])
    total = np.zeros(N)
    for k in range(perturbations):
        begin = skip + k * window
        signs = torch.from_numpy(rng.choice([-eps, eps], N)).to(liquid._real())
        copies = repeated(state, N + 1)
        v = copies.neuron[at]
        v[:N] += torch.diag(signs)
        _, after = liquid.scan(everyone[begin : begin + window], copies)
        total += sum(_squared_distance(x) for x in (*after.neuron, after.arriving)) / eps**2
        state = repeated(after, 1, row=N)
    return np.sqrt(total / perturbations)


def _squared_distance(x: torch.Tensor) -> np.ndarray:
    """Of all rows but the last from the last."""
    return (x[:-1] - x[-1:]).double().square().flatten(1).sum(1).numpy()


def neighbourhood_growth(projection: Projection, growth: Any) -> np.ndarray:
    """Harmonic mean of `growth` over neurons i and j of each synapse and all neurons joined to either, [synapses].

    Growth factors stand for the exponents, whose harmonic mean is not defined where signs differ.
    """
    g = np.asarray(growth, float)
    n = pruning._square(projection).shape[0]
    if g.shape != (n,) or not (g > 0).all():
        raise UserError(f"growth is a number > 0 for each of {n} neurons, got shape {g.shape}")
    near = _joined(projection) | np.eye(n, dtype=bool)
    a, i, j = near.astype(float), projection.post, projection.pre
    size, inverse = a.sum(1), a @ (1.0 / g)
    both, shared = a @ a.T, (a / g) @ a.T
    return (size[i] + size[j] - both[i, j]) / (inverse[i] + inverse[j] - shared[i, j])


def lyapunov_importance(projection: Projection, covariance: Any, growth: Any) -> np.ndarray:
    """`noise_importance` times `neighbourhood_growth`: how noise moves the ends apart, and how what happens there spreads."""
    return pruning.noise_importance(projection, covariance) * neighbourhood_growth(projection, growth)


# -- 2. neurons -------------------------------------------------------------------------------------------------------


def betweenness(projection: Projection, *, pivots: int | None = None, seed: int = 0) -> np.ndarray:
    """Share of the shortest paths between other neurons that lead through each, [N]; a synapse is 1/|w| long (Brandes 2001).

    Args:
        pivots: sources to sample (Brandes and Pich 2007); None takes all, which costs time with neurons times synapses.
    """
    import networkx

    graph = networkx.DiGraph()
    n = pruning._square(projection).shape[0]
    graph.add_nodes_from(range(n))
    strong = np.flatnonzero(projection.w)
    length = 1.0 / np.abs(projection.w[strong])
    order = np.argsort(-length, kind="stable")  # of several synapses of a pair, the shortest is set last
    ends = projection.pre[strong][order].tolist(), projection.post[strong][order].tolist()
    graph.add_weighted_edges_from(zip(*ends, length[order].tolist(), strict=True))
    k = None if pivots is None or pivots >= n else pivots
    found = networkx.betweenness_centrality(graph, k=k, weight="weight", seed=seed)
    return np.array([found[i] for i in range(n)])


def without_neurons(liquid: Liquid, gone: Any) -> Liquid:
    """The liquid without these neurons and their synapses; the others are numbered anew, in their order.

    Args:
        gone: indices, or a boolean mask of N.
    """
    gone = np.asarray(gone)
    if gone.dtype == bool and gone.shape == (liquid.N,):
        gone = np.flatnonzero(gone)
    if gone.size and (gone.dtype.kind not in "iu" or gone.min() < 0 or gone.max() >= liquid.N):
        raise UserError(
            f"gone holds neurons 0..{liquid.N - 1}, or is a boolean mask of {liquid.N}; got {gone.tolist()!r}"
        )
    keep = np.setdiff1d(np.arange(liquid.N), gone)
    if not len(keep):
        raise UserError("no neuron would be left")
    parts = liquid.blueprint.parts
    left = {part.label: _between(liquid.projection(part.label), keep, part.recurrent) for part in parts}
    neuron = _sliced(liquid.neuron, torch.from_numpy(keep), liquid.N)
    small = liquid._of(left, neuron, liquid.modulators)
    return small._with({}, {name: value[keep] for name, value in liquid.begin().items()})


def _between(projection: Projection, keep: np.ndarray, recurrent: bool) -> Projection:
    """Synapses that reach `keep`, and in a recurrent projection also leave from there."""
    n = projection.shape[1]
    new = np.full(n, -1)
    new[keep] = np.arange(len(keep))
    stays = new[projection.post] >= 0
    if recurrent:
        stays &= new[projection.pre] >= 0
    kept = pruning.subset(projection, stays)
    rule = projection.rule
    if rule is not None and (rule.per_post or (rule.per_pre and recurrent)):
        raise UserError("a rule with constants per neuron cannot lose neurons; give the rule after pruning")
    return Projection(
        shape=(len(keep) if recurrent else projection.shape[0], len(keep)),
        pre=new[kept.pre] if recurrent else kept.pre,
        post=new[kept.post],
        w=kept.w, delay=kept.delay, port=kept.port, rule=rule,
        sign=projection.sign[keep] if recurrent else projection.sign,  # type: ignore[index]
        positions=None if projection.positions is None else projection.positions[keep] if recurrent else projection.positions,
    )  # fmt: skip


def _sliced(neuron: Neuron, keep: torch.Tensor, n: int) -> Neuron:
    """The neuron with the constants of some of its n."""

    def cut(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.dim() and value.shape[-1] == n:
            return value.detach()[..., keep].clone()
        if isinstance(value, Mapping):
            return {k: cut(v) for k, v in value.items()}
        return value

    return neuron_from(cut(neuron_options(neuron)))


# -- 3. edges ---------------------------------------------------------------------------------------------------------


def delocalised(projection: Projection, extra: int, *, seed: Seed = None) -> Projection:
    """`extra` new synapses between neurons of lowest degree that share a neighbour but are not joined: hubs then hold less of the
    eigenvectors. A new synapse is as strong as the median of its pre neuron's (of all, if it has none), with its sign, and as late as
    one drawn from all.

    Raises:
        UserError: there are not so many pairs, or the projection has a port per synapse.
    """
    if not isinstance(projection.port, int | str):
        raise UserError("delocalised needs a projection with one port")
    rng = np.random.default_rng(seed)
    joined = _joined(projection)
    free = (joined.astype(np.float32) @ joined.astype(np.float32) > 0) & ~joined
    np.fill_diagonal(free, False)
    if extra > free.sum() // 2:
        raise UserError(
            f"{extra} synapses should grow, but only {free.sum() // 2} pairs share a neighbour and are not joined"
        )
    into = np.bincount(projection.post, minlength=len(joined))
    degree = into + np.bincount(projection.pre, minlength=len(joined))
    pairs = []
    for _ in range(extra):
        rank = degree + rng.random(len(degree))
        i = int(np.argmin(np.where(free.any(1), rank, np.inf)))
        j = int(np.argmin(np.where(free[i], rank, np.inf)))
        free[i, j] = free[j, i] = False
        degree[[i, j]] += 1
        post, pre = (i, j) if into[i] <= into[j] else (j, i)
        into[post] += 1
        pairs.append((pre, post))
    return _grown(projection, np.array(pairs, int).reshape(-1, 2), rng)


def _grown(projection: Projection, pairs: np.ndarray, rng: np.random.Generator) -> Projection:
    size = np.abs(projection.w)
    typical = float(np.median(size)) if len(size) else 1.0
    mine = {int(i): float(np.median(size[projection.pre == i])) for i in np.unique(projection.pre)}
    sign = np.asarray(projection.sign)
    w = np.array([sign[i] * mine.get(int(i), typical) for i in pairs[:, 0]])
    delay = projection.delay
    late = None if delay is None else np.concatenate([delay, rng.choice(delay, len(pairs))])
    join = np.concatenate
    return projection.replaced(
        pre=join([projection.pre, pairs[:, 0]]), post=join([projection.post, pairs[:, 1]]), w=join([projection.w, w]), delay=late
    )  # fmt: skip


def _joined(projection: Projection) -> np.ndarray:
    """Whether two neurons have a synapse, either way."""
    found = np.zeros(projection.shape, bool)
    found[projection.pre, projection.post] = True
    return found | found.T


def participation(vectors: Any) -> np.ndarray:
    """Over how many neurons each column of a matrix [N, k] is spread: (Σ|x|²)² / Σ|x|⁴, 1 to N."""
    power = np.abs(np.asarray(vectors)) ** 2
    return power.sum(0) ** 2 / (power**2).sum(0)


# -- 4. time constants ------------------------------------------------------------------------------------------------


class Timescales(NamedTuple):
    """What `retuned` found best."""

    tau: np.ndarray  # [N], seconds
    mean: float
    cv: float  # standard deviation over mean
    score: float


def gamma_timescales(quantiles: Any, mean: float, cv: float, *, least: float = 0.0) -> np.ndarray:
    """Time constants [s] at these quantiles of a gamma distribution with this mean and coefficient of variation, at least `least`;
    all the same with cv = 0."""
    from scipy.stats import gamma

    q = np.asarray(quantiles, float)
    if not (mean > 0 and cv >= 0 and ((q >= 0) & (q < 1)).all()):
        raise UserError(
            f"gamma_timescales needs quantiles in 0..1, mean > 0 and cv >= 0; got mean={mean!r}, cv={cv!r}"
        )
    found = np.full(q.shape, mean) if cv == 0 else gamma.ppf(q, cv**-2, scale=mean * cv**2)
    return np.maximum(found, least)


def retuned(
    score: Callable[[np.ndarray], float], quantiles: Any, *, mean: tuple[float, float], cv: tuple[float, float],
    trials: int = 24, least: float = 0.0, seed: Seed = None,
) -> Timescales:  # fmt: skip
    """The distribution of time constants with the least `score(tau)`, by random search: log-uniform means, uniform cv.

    Each neuron keeps its quantile, slow ones stay slow. The score should need no task, such as the distance of `liquid_lyapunov` on
    noise from 0; scores that are not finite lose.

    Args:
        quantiles: of each neuron, in 0..1.
        mean, cv: ranges.
        trials: how many to draw (Bergstra and Bengio 2012: random search replaces more careful one).
        least: shortest time constant [s].
    """
    if trials < 1 or not 0 < mean[0] <= mean[1] or not 0 <= cv[0] <= cv[1]:
        raise UserError(
            f"retuned needs trials >= 1 and ranges (low, high); got trials={trials!r}, mean={mean!r}, cv={cv!r}"
        )
    rng = np.random.default_rng(seed)
    best = None
    for _ in range(trials):
        m, c = float(np.exp(rng.uniform(*np.log(mean)))), float(rng.uniform(*cv))
        tau = gamma_timescales(quantiles, m, c, least=least)
        found = float(score(tau))
        if np.isfinite(found) and (best is None or found < best.score):
            best = Timescales(tau, m, c, found)
    if best is None:
        raise UserError(f"none of {trials} trials had a finite score")
    return best


# -- steps 1 to 3 together --------------------------------------------------------------------------------------------


class Pruned(NamedTuple):
    """A smaller liquid and what is left of the old one."""

    liquid: Liquid
    neurons: np.ndarray  # indices of the neurons that stayed


def importance_of(
    liquid: Liquid, drive: EventTensor, *, label: str = "recurrent", tau: Any = None, seed: int = 0
) -> np.ndarray:
    """`lyapunov_importance` of the synapses of a liquid's projection: covariance of its linear dynamics under white noise, growth of
    perturbations under `drive`.

    Args:
        tau: membrane time constants [s]; None reads them from the neuron.
    """
    projection = liquid.projection(label)
    covariance = pruning.noise_covariance(
        pruning.linearised(projection, time_constants(liquid) if tau is None else tau)
    )
    # A neuron whose perturbations all died has growth 0, and a harmonic mean with it would be 0 for all its neighbours.
    growth = np.maximum(local_growth(liquid, drive, seed=seed), 1e-3)
    return lyapunov_importance(projection, covariance, growth)


def lyapunov_noise_pruning(
    liquid: Liquid, density: float, importance: Any, *, neurons: float = 0.9, extra: float = 0.02, label: str = "recurrent",
    pivots: int | None = None, seed: int = 0,
) -> Pruned:  # fmt: skip
    """Steps 1 to 3 on a liquid's recurrent synapses: density x synapses are left, exactly.

    A first draw at this density gives the graph in which the neurons of least betweenness are found; K is set again for the
    synapses among those that stay, so that with the new edges the number is right. At the end neurons get back their total |input|, what
    came from lost neurons included.

    Args:
        density: share of the projection's synapses to keep, new ones included.
        importance: of every synapse in the order of `liquid.projection(label)`, such as `importance_of`.
        neurons: share of the neurons to keep.
        extra: share of the kept synapses that are new edges.
        pivots: see `betweenness`.
    """
    if not 0 < neurons <= 1 or not 0 <= extra < 1:
        raise UserError(f"neurons is in (0, 1] and extra in [0, 1), got neurons={neurons!r}, extra={extra!r}")
    whole, s = liquid.projection(label), np.asarray(importance, float)
    target = round(density * len(whole))
    new = round(extra * target)
    rng = np.random.default_rng(seed)
    draft = pruning.sampled(whole, pruning.keep_probabilities(s, density), correction="none", seed=rng)
    central = betweenness(draft, pivots=pivots, seed=seed)
    stay = np.sort(np.argsort(-central, kind="stable")[: round(neurons * liquid.N)])
    inside = np.isin(whole.pre, stay) & np.isin(whole.post, stay)
    if target - new > inside.sum():
        raise UserError(
            f"density {density:g} wants {target} synapses, but the {len(stay)} neurons that stay have {inside.sum()}; "
            "keep more neurons"
        )
    probability = np.zeros(len(s))
    probability[inside] = pruning.keep_probabilities(s[inside], (target - new) / inside.sum())
    drawn = pruning.sampled(whole, probability, correction="none", seed=rng)
    gone = np.setdiff1d(np.arange(liquid.N), stay)
    small = without_neurons(pruning.with_projection(liquid, label, drawn), gone)
    grown = delocalised(small.projection(label), new, seed=rng)
    grown = pruning.corrected(grown, pruning.total_input(whole)[stay])
    return Pruned(pruning.with_projection(small, label, grown), stay)


def time_constants(liquid: Liquid) -> np.ndarray:
    """Membrane time constants of a liquid's neurons [s], [N]."""
    for name in ("tau_mem", "tau"):
        found = getattr(liquid.neuron, name, None)
        if isinstance(found, torch.Tensor):
            return found.detach().double().expand(liquid.N).numpy()
    raise UserError(
        f"{type(liquid.neuron).__name__} has no tau; say what its membrane time constants are, tau=..."
    )
