"""Losses and class scores for spiking outputs: from a sequence T B C to one number per class and one loss."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Reduce = Literal["mean", "max", "last"]


def rate_scores(spikes: Float[Tensor, "T B C"]) -> Float[Tensor, "B C"]:
    """Mean spike count per step, r[b, c] = (1/T) Σ_t s[t, b, c]; the class with the highest rate wins."""
    return _sequence(spikes, "rate_scores").mean(0)


def membrane_scores(v: Float[Tensor, "T B C"], *, reduce: Reduce = "mean") -> Float[Tensor, "B C"]:
    """One score per class from a readout's membrane potentials: mean, maximum or last value over time."""
    v = _sequence(v, "membrane_scores")
    if reduce == "mean":
        return v.mean(0)
    if reduce == "max":
        return v.amax(0)
    if reduce == "last":
        return v[-1]
    raise ValueError(f"reduce must be 'mean', 'max' or 'last'; got {reduce!r}")


def class_scores(output: Tensor) -> Float[Tensor, "B C"]:
    """Scores from any network's output: the mean over time of T B C, or B C (an ANN's logits) as it is.

    The mean over time ranks classes as spike counts do, and is the mean membrane of a non-spiking readout.
    """
    return output if output.dim() == 2 else rate_scores(output)


def rate_cross_entropy(
    spikes: Float[Tensor, "T B C"],
    target: Int[Tensor, " B"],
    *,
    scale: float = 10.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of spike rates.

        z[b, c] = scale · (1/T) Σ_t s[t, b, c]        loss = -(1/B) Σ_b log softmax(z[b])[target_b]

    Rates lie in 0..1 spikes per step, so without a scale the softmax could never become certain: with C
    classes the loss cannot fall below log(1 + (C-1)·exp(-scale)), which is 1.46 for scale 1 and 4e-4 for
    scale 10 (C = 10).

    Args:
        spikes: output spikes, T B C.
        target: class numbers, B.
        scale: logit of a neuron that fires in every step.
        label_smoothing: share of the target spread evenly over all classes, 0..1.
    """
    return F.cross_entropy(scale * rate_scores(spikes), target, label_smoothing=label_smoothing)


def membrane_cross_entropy(
    v: Float[Tensor, "T B C"],
    target: Int[Tensor, " B"],
    *,
    reduce: Reduce = "mean",
    scale: float = 1.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of the membrane potentials of a readout that does not spike (`LeakyIntegrator`).

        z[b, c] = scale · reduce_t v[t, b, c]         loss = -(1/B) Σ_b log softmax(z[b])[target_b]

    Args:
        v: membrane potentials, T B C, in units of the threshold.
        target: class numbers, B.
        reduce: "mean" over time, "max" over time (late or brief evidence counts), or the "last" value.
        scale: logit of one unit of potential.
        label_smoothing: share of the target spread evenly over all classes, 0..1.
    """
    z = scale * membrane_scores(v, reduce=reduce)
    return F.cross_entropy(z, target, label_smoothing=label_smoothing)


def cross_entropy(output: Tensor, target: Int[Tensor, " B"]) -> Tensor:
    """Cross-entropy of plain logits B C, for training an ANN with the same loop."""
    return F.cross_entropy(output, target)


def _sequence(x: Tensor, who: str) -> Tensor:
    if x.dim() != 3:
        raise ValueError(
            f"{who} expects a sequence T B C (time, batch, classes); got shape {tuple(x.shape)}. "
            "End the network with Flatten and Linear so that one value per class is left."
        )
    return x
