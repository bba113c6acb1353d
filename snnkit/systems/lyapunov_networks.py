"""Networks of the pruning experiment: the dense ones, and what each way of pruning leaves of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from snnkit.events import EventTensor
from snnkit.liquid import Liquid, Projection, counts, pruning
from snnkit.liquid import lyapunov_pruning as lnp
from snnkit.liquid.stability import liquid_lyapunov
from snnkit.neurons import CubaLIF

DT = 1e-3
DENSITIES = (0.5, 0.25, 0.1)  # of the synapses of the dense network
ARMS = ("random, weights kept", "random", "magnitude", "activity", "in proportion to |w|", "noise", "LNP")
TASKS = ("mnist", "lorenz", "noise")


@dataclass(frozen=True)
class Plan:
    """Sizes of the experiment."""

    neurons: int = 500
    joined: float = 0.2  # share of the pairs
    train: int = 3000  # images
    test: int = 1000
    lorenz: int = 2500  # samples to learn from
    judged: int = 1200
    free: int = 300
    pivots: int | None = 50
    perturbations: int = 50
    trials: int = 20
    densities: tuple[float, ...] = DENSITIES
    first: int = 0  # of the images judged: those of the test set
    split: str = "test"


QUICK = Plan(60, 0.2, 200, 100, 200, 260, 60, None, 5, 2, (0.5,))


@dataclass(frozen=True)
class Network:
    """What a task is given: neurons by their time constants, and the synapses among them."""

    tau: np.ndarray  # membranes, s
    tau_syn: np.ndarray
    recurrent: Projection
    neurons: np.ndarray  # their numbers in the dense network, which say which inputs they have

    def liquid(self, inputs: Projection) -> Liquid:
        reaches = pruning.subset(inputs, np.isin(inputs.post, self.neurons))
        new = np.full(inputs.shape[1], -1)
        new[self.neurons] = np.arange(len(self.neurons))
        drive = Projection((inputs.shape[0], len(self.neurons)), reaches.pre, new[reaches.post], reaches.w)
        cell = CubaLIF(
            tau_syn=torch.from_numpy(self.tau_syn).float(),
            tau_mem=torch.from_numpy(self.tau).float(),
            dt=DT,
            scale_input="membrane",
        )
        return Liquid(cell, drive, self.recurrent)


# -- networks ---------------------------------------------------------------------------------------------------------


def dense_network(plan: Plan, seed: int, *, cv: float = 0.5) -> Network:
    """Random synapses, a fifth of the neurons inhibitory and four times as strong; gamma-distributed time constants."""
    n, rng = plan.neurons, np.random.default_rng(seed)
    tau = lnp.gamma_timescales(rng.random(n), 20e-3, cv, least=2e-3)
    tau_syn = lnp.gamma_timescales(rng.random(n), 5e-3, cv, least=2e-3)
    inhibitory = np.zeros(n, bool)
    inhibitory[rng.permutation(n)[: n // 5]] = True
    back = Projection.random(
        n, n, p=plan.joined, self_loops=False, w=lambda g, k: g.gamma(2.0, 0.5, k),
        delay=(1e-3, 5e-3), inhibitory=inhibitory, seed=rng,
    )  # fmt: skip
    strength = 1.0 / math.sqrt(n * plan.joined)
    return Network(
        tau, tau_syn, back.replaced(w=back.w * np.where(back.w < 0, 4.0, 1.0) * strength), np.arange(n)
    )


def inputs(plan: Plan, seed: int, task: str) -> Projection:
    """Synapses from the channels of a task: rows of images, coordinates and a constant, or white noise."""
    n, rng = plan.neurons, np.random.default_rng([seed, 1 + TASKS.index(task)])
    normal = lambda g, k: g.normal(size=k)
    if task == "lorenz":
        w = np.concatenate([2.0 * rng.normal(size=(3, n)), rng.uniform(-1, 2, (1, n))])
        return Projection.from_matrix(w)
    channels, p, gain = (28, 0.3, 4.0) if task == "mnist" else (100, 0.1, 2.0)
    found = Projection.random(channels, n, p=p, w=normal, seed=rng)
    return found.replaced(w=gain * found.w)


def noise(plan: Plan, seed: int, steps: int) -> EventTensor:
    """100 independent Poisson trains of 100 Hz, which belong to no task."""
    generator = torch.Generator().manual_seed(seed)
    return EventTensor.from_dense((torch.rand(steps, 1, 100, generator=generator) < 0.1).float(), DT)


class Pruner:
    """All sparse versions of one dense network; what they share is computed once."""

    def __init__(self, plan: Plan, seed: int):
        self.plan, self.seed = plan, seed
        self.dense = dense_network(plan, seed)
        self.noisy = self.dense.liquid(inputs(plan, seed, "noise")).double()
        self.drive = noise(plan, seed, 50 + 10 * plan.perturbations)
        self.whole = self.noisy.projection("recurrent")
        self._found: dict[str, np.ndarray] = {}

    def score(self, what: str) -> np.ndarray:
        """Importance of every synapse."""
        if what not in self._found:
            self._found[what] = self._score(what)
        return self._found[what]

    def _score(self, what: str) -> np.ndarray:
        if what == "covariance":
            return pruning.noise_covariance(pruning.linearised(self.whole, self.dense.tau))
        if what == "noise":
            return pruning.noise_importance(self.whole, self.score("covariance"))
        if what == "activity":
            rates = counts(self.noisy(self.drive))[0].double().numpy()
            return pruning.activity_importance(self.whole, rates)
        growth = lnp.local_growth(
            self.noisy, self.drive, perturbations=self.plan.perturbations, seed=self.seed
        )
        return self.score("noise") * lnp.neighbourhood_growth(self.whole, np.maximum(growth, 1e-3))

    def sparse(self, arm: str, density: float) -> Network:
        """The network of an arm at this share of the dense one's synapses."""
        strong, size = np.abs(self.whole.w), len(self.whole)
        draw = partial(pruning.sampled, self.whole, seed=self.seed)
        best = partial(pruning.strongest, self.whole, seed=self.seed)
        if arm.startswith("LNP"):
            found = lnp.lyapunov_noise_pruning(
                self.noisy, density, self.score("LNP"), pivots=self.plan.pivots, seed=self.seed
            )
            back, stay = found.liquid.projection("recurrent"), found.neurons
            small = Network(self.dense.tau[stay], self.dense.tau_syn[stay], back, stay)
            return self.retuned(small) if arm == "LNP, retuned" else small
        if arm == "random, weights kept":
            drawn = best(np.zeros(size), density, correction="none")
        elif arm == "random":
            drawn = draw(np.full(size, density))
        elif arm in ("magnitude", "activity"):
            score = strong if arm == "magnitude" else self.score("activity")
            drawn = best(score, density)
        else:
            drawn = draw(
                pruning.keep_probabilities(self.score("noise") if arm == "noise" else strong, density)
            )
        return Network(self.dense.tau, self.dense.tau_syn, drawn, self.dense.neurons)

    def retuned(self, network: Network) -> Network:
        """Step 4: the time constants of the membranes for which the largest exponent under noise is nearest to the dense network's."""
        aim = self.exponent(self.dense)
        order = np.argsort(np.argsort(network.tau))
        quantiles = (order + 0.5) / len(order)
        make = lambda tau: Network(tau, network.tau_syn, network.recurrent, network.neurons)
        score = lambda tau: abs(self.exponent(make(tau)) - aim)
        found = lnp.retuned(
            score, quantiles, mean=(5e-3, 60e-3), cv=(0.0, 1.0), trials=self.plan.trials, least=2e-3, seed=self.seed
        )  # fmt: skip
        return make(found.tau)

    def exponent(self, network: Network) -> float:
        """Largest Lyapunov exponent under noise [1/s], at a distance of 0.05 thresholds."""
        liquid = network.liquid(inputs(self.plan, self.seed, "noise")).double()
        found = liquid_lyapunov(liquid, self.drive[:300], eps=0.05)
        return found if math.isfinite(found) else -1e3
