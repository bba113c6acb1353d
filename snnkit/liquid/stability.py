"""Lyapunov exponents: how fast near states part or meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.liquid.state import repeated

if TYPE_CHECKING:
    from snnkit.liquid.liquid import Liquid


def lyapunov_exponent(
    step: Callable[[np.ndarray], np.ndarray],
    state: Any,
    steps: int,
    *,
    eps: float = 1e-8,
    skip: int = 0,
    seed: int = 0,
) -> float:
    """Largest exponent λ per step of a map, by following two near states and pulling them together again in each step
    (Benettin et al. 1980, Meccanica 15:9).

    Args:
        step: one step, state to state.
        state: where to begin, an array.
        steps: how many to average over.
        eps: distance of the two.
        skip: first steps that do not count, in which the difference turns into the fastest direction.
    """
    x = np.asarray(state, float)
    away = np.random.default_rng(seed).standard_normal(x.shape)
    away *= eps / np.linalg.norm(away)
    total = 0.0
    for n in range(skip + steps):
        x, near = step(x), step(x + away)
        away = near - x
        distance = np.linalg.norm(away)
        if distance == 0:
            return -np.inf
        if n >= skip:
            total += np.log(distance / eps)
        away *= eps / distance
    return float(total / steps)


def lyapunov_spectrum(jacobians: Iterable[Any]) -> np.ndarray:
    """All exponents per step, the largest first, from the Jacobians along a trajectory, by repeated QR (Eckmann and Ruelle 1985, Rev Mod Phys 57:617)."""
    q, total, n = None, None, 0
    for j in jacobians:
        matrix = np.asarray(j, float)
        q = np.eye(len(matrix)) if q is None else q
        q, r = np.linalg.qr(matrix @ q)
        with np.errstate(divide="ignore"):
            logs = np.log(np.abs(np.diag(r)))
        total = logs if total is None else total + logs
        n += 1
    if total is None:
        raise UserError("lyapunov_spectrum needs at least one Jacobian")
    return np.sort(total / n)[::-1]


def liquid_lyapunov(
    liquid: Liquid, ev: EventTensor, *, eps: float = 1e-3, every: int = 10, skip: int = 50, seed: int = 0
) -> float:
    """Largest exponent [1/s] of a liquid on an input: |membranes, currents| of two copies that begin `eps` apart.

    Spikes are jumps, so the exponent belongs to a distance: small `eps` sees the flow between spikes, larger ones how a different
    spike spreads (after Legenstein and Maass 2007). Use a double-precision liquid, `liquid.double()`, for a small one.

    Args:
        ev: input of one sample.
        eps: distance.
        every: steps between pulling the copies together.
        skip: first steps, without the second copy.
    """
    T, B = ev.shape[:2]
    if B != 1 or skip + every > T:
        raise UserError(
            f"liquid_lyapunov needs one sample of at least skip + every = {skip + every} steps, got T={T}, B={B}"
        )
    pair = EventTensor.stack([ev, ev])
    _, state = liquid.scan(pair[:skip], None)
    generator = torch.Generator().manual_seed(seed)
    real = liquid._real()
    away = [torch.randn(x.shape[1:], generator=generator, dtype=real) for x in state.neuron]
    size = torch.sqrt(sum((a**2).sum() for a in away))  # type: ignore[arg-type]
    away, total, n = [a * (eps / size) for a in away], 0.0, 0
    for t in range(skip, T - every + 1, every):
        cells = [torch.stack([x[0], x[0] + a]) for x, a in zip(state.neuron, away, strict=True)]
        first = repeated(state, 2)._replace(neuron=liquid.neuron.State(*cells))
        _, state = liquid.scan(pair[t : t + every], first)
        away = [x[1] - x[0] for x in state.neuron]
        distance = float(torch.sqrt(sum((a**2).sum() for a in away)))  # type: ignore[arg-type]
        if distance == 0:
            return -np.inf
        total, n = total + float(np.log(distance / eps)), n + every
        away = [a * (eps / distance) for a in away]
    return total / (n * ev.dt)
