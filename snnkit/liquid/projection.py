"""Synapses between two populations, as data: who, to whom, how strong, how late."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from snnkit.errors import UserError
from snnkit.liquid import topology
from snnkit.plasticity.rule import Rule

Seed = int | np.random.Generator | None
Draw = float | tuple[float, float] | Callable[..., Any] | Sequence[float] | np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Projection:
    """Synapses from `n_pre` to `n_post` neurons, one entry of each array per synapse.

    Make one with `random`, `grid`, `small_world`, `scale_free`, `dense` or `from_matrix`; the constructor takes any list of synapses.

    Args:
        shape: (n_pre, n_post).
        pre, post: neuron indices.
        w: initial weights.
        delay: transmission delays [s], counted in whole steps when a `Liquid` is made; None for the least there is: none for
            an input, one step between neurons.
        port: the neuron's input port, by name or index, or an index per synapse.
        rule: how the weights change; None for fixed ones.
        sign: +1 or -1 per pre neuron (Dale's law), which rules read; default +1.
        positions: of the neurons in space, if they have one.

    In the makers `w` and `delay` are a number, a pair (low, high) to draw from uniformly, one number per synapse, or a function
    `f(generator, n)`; `delay` also a function of distance where there is one, `f(distance=...)`. `inhibitory` is the share of
    pre neurons whose weights are -|w|, drawn by chance, or a mask; with it the others' are +|w|.
    """

    shape: tuple[int, int]
    pre: np.ndarray
    post: np.ndarray
    w: np.ndarray
    delay: np.ndarray | None = None
    port: int | str | np.ndarray = 0
    rule: Rule | None = None
    sign: np.ndarray | None = None
    positions: np.ndarray | None = field(default=None)

    def __post_init__(self) -> None:
        set_ = lambda name, value: object.__setattr__(self, name, value)
        set_("shape", tuple(int(n) for n in self.shape))
        for name, size in (("pre", self.shape[0]), ("post", self.shape[1])):
            index = np.asarray(getattr(self, name))
            if index.size and index.dtype.kind not in "iu":
                raise UserError(f"{name} holds neurons as whole numbers, got {index.dtype}")
            if index.size and not (index.min() >= 0 and index.max() < size):
                raise UserError(
                    f"{name} holds neurons 0..{size - 1}, got {int(index.min())}..{int(index.max())}"
                )
            set_(name, np.ascontiguousarray(index, np.int32))
        n = len(self.pre)
        set_("w", _per_synapse("w", self.w, n))
        if self.delay is not None:
            set_("delay", _per_synapse("delay", self.delay, n))
            if n and self.delay.min() < 0:
                raise UserError(f"delays are seconds >= 0, got {self.delay.min():g}")
        if len(self.post) != n:
            raise UserError(f"pre and post name the two ends of each synapse: got {n} and {len(self.post)}")
        if not isinstance(self.port, int | str):
            set_("port", np.broadcast_to(np.asarray(self.port, np.int16), (n,)))
        sign = np.ones(self.shape[0]) if self.sign is None else np.asarray(self.sign, float)
        if sign.shape != (self.shape[0],) or not np.isin(sign, (-1.0, 1.0)).all():
            raise UserError(f"sign is +1 or -1 for each of the {self.shape[0]} pre neurons")
        set_("sign", sign)
        if self.rule is not None and not isinstance(self.rule, Rule):
            made = f"the function {self.rule.__name__}: call it" if callable(self.rule) else repr(self.rule)
            raise UserError(f"rule is a Rule of snnkit.plasticity, such as pair_stdp(); got {made}")

    def __len__(self) -> int:
        return len(self.pre)

    def __repr__(self) -> str:
        share = len(self) / max(self.shape[0] * self.shape[1], 1)
        rule = "fixed" if self.rule is None else (self.rule.made_by or ("a rule of yours",))[0]
        return f"Projection({self.shape[0]} to {self.shape[1]}, {len(self)} synapses, {100 * share:.3g} %, {rule})"

    def replaced(self, **values: Any) -> Projection:
        """The same synapses with other `w`, `delay`, `rule`, ..."""
        return replace(self, **values)

    def rewired(self, below: float, *, w: Draw, seed: Seed = None) -> Projection:
        """Structural plasticity: synapses with |w| < below go, and as many grow between pairs that have none, drawn by chance.

        A new synapse has the delay and port of the one it replaces, keeps the sign of its pre neuron where that is told (Dale's
        law), and no self loop grows in a square projection that has none (after Butz and van Ooyen 2013; Bellec et al. 2018, DEEP R).

        Args:
            below: threshold.
            w: weights of the new synapses, as for the makers.
            seed: of the draw.
        """
        generator = np.random.default_rng(seed)
        gone = np.flatnonzero(np.abs(self.w) < below)
        taken = set((self.pre.astype(np.int64) * self.shape[1] + self.post).tolist())
        if self.shape[0] == self.shape[1] and (self.pre != self.post).all():
            taken |= set(range(0, self.shape[0] * self.shape[1], self.shape[1] + 1))
        if len(gone) > self.shape[0] * self.shape[1] - len(taken):
            raise UserError(f"{len(gone)} synapses should grow, but fewer pairs are free")
        new: list[int] = []
        while len(new) < len(gone):
            cell = int(generator.integers(self.shape[0] * self.shape[1]))
            if cell not in taken:
                taken.add(cell)
                new.append(cell)
        pre, post, weights = self.pre.copy(), self.post.copy(), self.w.copy()
        pre[gone], post[gone] = np.divmod(np.array(new, np.int64), self.shape[1])
        grown = _draw("w", w, generator, len(gone), None)
        sign = np.asarray(self.sign)
        weights[gone] = np.abs(grown) * sign[pre[gone]] if (sign < 0).any() else grown
        return replace(self, pre=pre, post=post, w=weights)

    def matrix(self) -> np.ndarray:
        """Weights as a dense matrix [n_pre, n_post]; several synapses of one pair are added up."""
        out = np.zeros(self.shape)
        np.add.at(out, (self.pre, self.post), self.w)
        return out

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def random(
        cls, n_pre: int, n_post: int, *, p: float, self_loops: bool = True, **options: Any
    ) -> Projection:
        """Each pair is joined with probability p, independently (Erdős and Rényi 1959).

        Args:
            self_loops: whether neuron i may be joined to itself; say False between neurons of one population.
            w, delay, port, rule, inhibitory, seed: see `Projection`.
        """  # fmt: skip
        generator = _generator(options)
        pre, post = topology.random(_size(n_pre), _size(n_post), _share("p", p), self_loops, generator)
        return _make(cls, (n_pre, n_post), pre, post, generator, **options)

    @classmethod
    def grid(
        cls,
        size: Sequence[int],
        *,
        reach: float,
        p: float | Sequence[float] = 0.3,
        inhibitory: Any = 0.2,
        **options: Any,
    ) -> Projection:
        """A lattice, near neurons joined more often: P = p·exp(-(d/reach)²) (Maass et al. 2002, Neural Comput 14:2531).

        Args:
            size: neurons along each axis, such as (10, 10, 10); their distance d is 1.
            reach: in lattice constants.
            p: one number, or four for E to E, E to I, I to E and I to I.
            w, delay, port, rule, inhibitory, seed: see `Projection`.
        """  # fmt: skip
        generator = _generator(options)
        if not isinstance(size, Iterable):
            raise UserError(f"size is neurons along each axis, such as (10, 10, 10); got {size!r}")
        positions = topology.lattice(tuple(size))
        mask = _mask(inhibitory, len(positions), generator)
        four = np.broadcast_to(np.asarray(p, float), (4,)) if np.ndim(p) == 0 else np.asarray(p, float)
        if four.shape != (4,) or not ((four >= 0) & (four <= 1)).all() or not reach > 0:
            raise UserError(
                f"grid needs reach > 0 and p in 0..1, one or four of them; got reach={reach!r}, p={p!r}"
            )
        pre, post = topology.near(positions, mask, four, reach, generator)
        n = len(positions)
        distance = np.linalg.norm(positions[pre] - positions[post], axis=1)
        return _make(
            cls, (n, n), pre, post, generator, inhibitory=mask, distance=distance, positions=positions, **options
        )  # fmt: skip

    @classmethod
    def small_world(cls, n: int, *, k: int, rewire: float, **options: Any) -> Projection:
        """A ring, each neuron joined to its k next ones, of which a share goes elsewhere (Watts and Strogatz 1998).

        Args:
            k: outgoing synapses of each neuron, to the k/2 neighbours on each side.
            rewire: probability that a synapse goes to a neuron drawn by chance instead.
            w, delay, port, rule, inhibitory, seed: see `Projection`.
        """
        generator = _generator(options)
        pre, post = topology.small_world(_size(n), int(k), _share("rewire", rewire), generator)
        return _make(cls, (n, n), pre, post, generator, **options)

    @classmethod
    def scale_free(cls, n: int, *, m: int, **options: Any) -> Projection:
        """Few neurons with very many synapses: preferential attachment (Barabási and Albert 1999, Science 286:509), each edge
        in a direction drawn by chance.

        Args:
            m: edges that each new neuron brings.
            w, delay, port, rule, inhibitory, seed: see `Projection`.
        """
        generator = _generator(options)
        pre, post = topology.scale_free(_size(n), int(m), generator)
        return _make(cls, (n, n), pre, post, generator, **options)

    @classmethod
    def dense(
        cls,
        n_pre: int,
        n_post: int,
        *,
        pre: tuple[int, int] | None = None,
        post: tuple[int, int] | None = None,
        **options: Any,
    ) -> Projection:
        """All to all, or the block of pre neurons pre[0]..pre[1]-1 and post neurons post[0]..post[1]-1.

        With one delay and one port it is stored and run dense.
        """  # fmt: skip
        generator = _generator(options)
        rows = np.arange(*(pre or (0, n_pre)), dtype=np.int32)
        columns = np.arange(*(post or (0, n_post)), dtype=np.int32)
        pres, posts = np.repeat(rows, len(columns)), np.tile(columns, len(rows))
        return _make(cls, (n_pre, n_post), pres, posts, generator, **options)

    @classmethod
    def from_matrix(cls, w: Any, **options: Any) -> Projection:
        """A synapse for every entry of a matrix [n_pre, n_post] that is not zero."""
        matrix = np.asarray(w, float)
        if matrix.ndim != 2:
            raise UserError(f"expected weights [n_pre, n_post], got shape {matrix.shape}")
        pre, post = matrix.nonzero()
        return _make(cls, matrix.shape, pre, post, _generator(options), w=matrix[pre, post], **options)


def _make(
    cls: type[Projection], shape: tuple[int, int], pre: np.ndarray, post: np.ndarray, generator: np.random.Generator, *,
    w: Draw = 1.0, delay: Draw | None = None, inhibitory: Any = None, distance: np.ndarray | None = None, **options: Any,
) -> Projection:  # fmt: skip
    weights = _draw("w", w, generator, len(pre), None)
    sign = None
    if inhibitory is not None:
        mask = _mask(inhibitory, shape[0], generator)
        sign = np.where(mask, -1.0, 1.0)
        weights = sign[pre] * np.abs(weights)
    late = None if delay is None else _draw("delay", delay, generator, len(pre), distance)
    return cls(shape=shape, pre=pre, post=post, w=weights, delay=late, sign=sign, **options)


def _generator(options: dict[str, Any]) -> np.random.Generator:
    return np.random.default_rng(options.pop("seed", None))


def _size(n: int) -> int:
    if isinstance(n, bool) or int(n) != n or n < 1:
        raise UserError(f"a population has a whole number of neurons, at least one; got {n!r}")
    return int(n)


def _share(name: str, p: float) -> float:
    if not 0 <= p <= 1:
        raise UserError(f"{name} is a probability, 0 to 1; got {p!r}")
    return float(p)


def _mask(inhibitory: Any, n: int, generator: np.random.Generator) -> np.ndarray:
    if np.ndim(inhibitory) == 0:
        mask = np.zeros(n, bool)
        mask[generator.permutation(n)[: round(_share("inhibitory", inhibitory) * n)]] = True
        return mask
    mask = np.asarray(inhibitory)
    if mask.shape != (n,) or mask.dtype != bool:
        raise UserError(
            f"inhibitory is a share or a boolean mask of {n} neurons, got {mask.dtype} {mask.shape}"
        )
    return mask


def _per_synapse(name: str, value: Any, n: int) -> np.ndarray:
    array = np.asarray(value, float)
    if array.ndim and array.shape != (n,):
        raise UserError(f"{name} is one number, or one for each of the {n} synapses; got shape {array.shape}")
    if not np.isfinite(array).all():
        raise UserError(f"{name} holds a number that is not finite")
    return np.ascontiguousarray(np.broadcast_to(array, (n,)))


def _draw(
    name: str, how: Draw, generator: np.random.Generator, n: int, distance: np.ndarray | None
) -> np.ndarray:
    if callable(how):
        import inspect

        if "distance" in inspect.signature(how).parameters:
            if distance is None:
                raise UserError(f"{name} asks for the distance of neurons, which only `grid` has")
            return _per_synapse(name, how(distance=distance), n)
        return _per_synapse(name, how(generator, n), n)
    if isinstance(how, tuple):
        if len(how) != 2 or not how[0] <= how[1]:
            raise UserError(f"{name} as a pair is (low, high), got {how!r}")
        return generator.uniform(how[0], how[1], n)
    return _per_synapse(name, how, n)
