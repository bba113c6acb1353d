"""What conversion costs: accuracy of the spiking network against the ANN as the time steps grow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from snnkit.conversion.converter import Converted
from snnkit.conversion.folding import ConversionError

TIMESTEPS = (1, 2, 4, 8, 16, 32)


def accuracy_by_timesteps(
    ann: nn.Module,
    converted: Converted,
    images: Tensor,
    labels: Tensor,
    timesteps: Iterable[int] = TIMESTEPS,
) -> dict[str, Any]:
    """Accuracy of the ANN and, after each number of time steps, of the spiking network made from it.

    `images` must be held out from training and from the calibration batch. The ANN runs in evaluation mode.

    Returns a dict that JSON can hold:
        ann: accuracy of the ANN, 0..1
        timesteps: the T, ascending
        snn: accuracy at each T
        gap: ann - snn at each T; positive when conversion lost accuracy
        agreement: share of images at each T on which both predict the same class
        n: number of images
    """
    if len(images) != len(labels) or len(images) == 0:
        raise ConversionError(
            f"need as many labels as images, at least one; got {len(images)} and {len(labels)}"
        )
    modes = {module: module.training for module in ann.modules()}
    ann.eval()
    with torch.no_grad():
        expected = torch.cat([ann(part) for part in images.split(256)]).argmax(1)
    for module, mode in modes.items():
        module.training = mode
    accuracy = (expected == labels).double().mean().item()
    report: dict[str, Any] = {
        "ann": accuracy,
        "timesteps": [],
        "snn": [],
        "gap": [],
        "agreement": [],
        "n": len(labels),
    }
    for t, logits in converted.logits_over_time(images, timesteps).items():
        predicted = logits.argmax(1)
        snn = (predicted == labels).double().mean().item()
        report["timesteps"].append(t)
        report["snn"].append(snn)
        report["gap"].append(accuracy - snn)
        report["agreement"].append((predicted == expected).double().mean().item())
    return report
