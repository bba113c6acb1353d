"""Operations of training: the only one of the published energy figures that software can reproduce."""

from __future__ import annotations

from collections.abc import Sequence

from snnkit.systems.zero_shot.data import NEURONS, Modality
from snnkit.systems.zero_shot.pairs import DIMS

PUBLISHED = {"CLIP with trained encoders": 152.83, "prototypical network": 393.07}
CLAIMED = {  # about a 40 nm macro beside digital hardware; nothing here reproduces them
    "training cost, times less": PUBLISHED,
    "inference energy efficiency against a digital baseline on a GPU, times": (23.34, 160.0),
}
BACKWARD = 2  # a product's gradients, for its weights and its input, cost a forward pass each


def encoder(data: Modality) -> int:
    """Multiply-accumulates of one sample through a dense recurrent encoder, T·(M·N + N²)."""
    return data.ev.shape[0] * (data.channels * NEURONS + NEURONS**2)


def training(both: Sequence[Modality], *, passes: int, stored: Sequence[int]) -> dict[str, float]:
    """Operations of the same training with frozen and with trained encoders, and their ratios.

        projection   P = Σ_senses N·D           forward and backward 3·P per pair of samples
        trained      passes·3·(Σ_senses E + P)
        frozen       passes·3·P, and encoders forward: nothing where the resistive array computes them ("digital"), once for
                     each of the `stored` samples of a sense if counts are kept ("counts kept"), else in every pass

    Args:
        passes: pairs of samples that training looks at.
        stored: training samples of each sense.
    """
    encoders = sum(encoder(data) for data in both)
    projections = len(both) * NEURONS * DIMS
    step = 1 + BACKWARD
    trained = float(passes * step * (encoders + projections))
    digital = float(passes * step * projections)
    once = sum(n * encoder(data) for n, data in zip(stored, both, strict=True))
    return {
        "trained": trained,
        "frozen, digital": digital,
        "frozen, counts kept": digital + once,
        "frozen, every pass": digital + passes * encoders,
        "ratio, digital": trained / digital,
        "ratio, counts kept": trained / (digital + once),
        "ratio, every pass": trained / (digital + passes * encoders),
    }
