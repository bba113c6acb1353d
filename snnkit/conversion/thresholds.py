"""Where to put the thresholds: from training (QCFS), or from activations on a calibration batch.

Calibrate on training images. Thresholds chosen on the images that later measure accuracy leak the test set
into the network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.conversion.folding import Part
from snnkit.conversion.qcfs import QCFS, quantise


@torch.no_grad()
def choose_thresholds(
    parts: list[Part], batch: Tensor, *, method: str, percentile: float, levels: int
) -> dict[str, float]:
    """The threshold θ of every activation, by its path in the ANN.

    "percentile": θ = the given percentile of all activations of the layer over `batch`, zeros included
    (Rueckauer et al., 2017, doi 10.3389/fnins.2017.00682).
    "qcfs": the trained θ of a `QCFS`; for a ReLU, which has none, the θ with the least squared error
    ‖QCFS_θ(a) - a‖² among 0.05..1 of the largest activation, with `levels` = the time steps the network will
    run for.
    """
    thresholds, x = {}, batch
    for part in parts:
        x = part.module(x)
        if not part.is_activation:
            continue
        if method == "percentile":
            theta = _percentile(x, percentile)
        elif isinstance(part.module, QCFS):
            theta = part.module.theta.item()
        else:
            theta = _least_error(x, levels)
        thresholds[part.path] = (
            theta if theta > 0 else 1.0
        )  # a layer that is silent stays so with any threshold
    return thresholds


def _percentile(a: Tensor, percentile: float) -> float:
    """Nearest-rank percentile; torch.quantile refuses large tensors."""
    flat = a.flatten()
    rank = max(1, min(flat.numel(), round(percentile / 100 * flat.numel())))
    return flat.kthvalue(rank).values.item()


def _least_error(a: Tensor, levels: int) -> float:
    flat, top = a.flatten(), a.max().item()
    grid = [top * k / 40 for k in range(2, 41)]
    errors = [
        (quantise(flat, theta, levels) - flat).square().mean().item() if theta > 0 else 0.0 for theta in grid
    ]
    return grid[errors.index(min(errors))]
