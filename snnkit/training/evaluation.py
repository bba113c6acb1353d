"""How good a network is on data it may not learn from: accuracy, confusion, predictions. No Lightning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.training.losses import class_scores


@dataclass(frozen=True)
class Evaluation:
    """What a network did on a labelled set.

    Attributes:
        accuracy: share of samples whose highest score is at the right class, 0..1.
        n: number of samples.
        confusion: counts, row = true class, column = predicted class.
        rates: mean output, row = true class, column = output neuron. For spiking outputs in spikes per step.
    """

    accuracy: float
    n: int
    confusion: np.ndarray
    rates: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        return {
            "accuracy": self.accuracy,
            "n": self.n,
            "confusion": self.confusion.tolist(),
            "rates": [[float(f"{r:.6g}") for r in row] for row in self.rates.tolist()],
        }


def predict(
    net: nn.Module, loader: Iterable, *, scores: Callable[[Tensor], Tensor] = class_scores
) -> tuple[Tensor, Tensor]:
    """Run `net` over every batch of `loader`; return class scores (n, C) and labels (n) on the CPU, in order.

    The network runs in evaluation mode (no dropout, stored batch-norm statistics) and without gradients; its
    mode is put back afterwards. `scores` turns an output into B C; the default takes the mean over time.
    """
    found: list[Tensor] = []
    labels: list[Tensor] = []
    device = device_of(net)
    with evaluating(net), torch.no_grad():
        for x, y in loader:
            found.append(scores(net(x.to(device))).cpu())
            labels.append(torch.as_tensor(y).cpu())
    if not found:
        raise UserError("the loader gave no batch; check that the data set and split are not empty")
    return torch.cat(found), torch.cat(labels)


def evaluate(
    net: nn.Module, loader: Iterable, *, scores: Callable[[Tensor], Tensor] = class_scores
) -> Evaluation:
    """Accuracy, confusion matrix and mean outputs of `net` over `loader`, which yields (input, labels)."""
    z, labels = predict(net, loader, scores=scores)
    n, classes = z.shape
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(
            f"labels run from {int(labels.min())} to {int(labels.max())}, but the network has {classes} "
            f"outputs; give the last layer {int(labels.max()) + 1} outputs"
        )
    predicted = z.argmax(1)
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (labels.numpy(), predicted.numpy()), 1)
    rates = np.zeros((classes, classes))
    np.add.at(rates, labels.numpy(), z.double().numpy())
    rates /= np.maximum(confusion.sum(1, keepdims=True), 1)
    return Evaluation(float((predicted == labels).double().mean()), n, confusion, rates)


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; every module's own mode is put back after it."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def device_of(net: nn.Module) -> torch.device:
    """Where the network's first parameter or buffer lives; the CPU when it has none."""
    for tensor in (*net.parameters(), *net.buffers()):
        return tensor.device
    return torch.device("cpu")
