"""Float against integer network, layer by layer, added up over batches of samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Agreement:
    """Running sums over the bins of one layer: f from the float network, q from the integer model."""

    bins: int = 0
    same: int = 0
    largest: float = 0.0
    sums: list[float] = field(default_factory=lambda: [0.0] * 5)  # f, q, ff, qq, fq

    def add(self, f: Tensor, q: Tensor) -> None:
        f, q = f.double(), q.double()
        self.bins += f.numel()
        self.same += int((f == q).sum())
        self.largest = max(self.largest, float((f - q).abs().max()))
        for i, term in enumerate((f, q, f * f, q * q, f * q)):
            self.sums[i] += float(term.sum())

    def correlation(self) -> float | None:
        """Pearson's r over all bins; None where one side is constant."""
        f, q, ff, qq, fq = self.sums
        n = max(self.bins, 1)
        spread = (ff - f * f / n) * (qq - q * q / n)
        return (fq - f * q / n) / math.sqrt(spread) if spread > 1e-12 else None

    def spikes(self) -> dict[str, Any]:
        """For a spiking layer."""
        f, q = self.sums[:2]
        return {
            "float_rate": f / max(self.bins, 1),
            "integer_rate": q / max(self.bins, 1),
            "count_ratio": q / f if f else None,
            "identical_bins": self.same / max(self.bins, 1),
            "correlation": self.correlation(),
        }

    def membrane(self) -> dict[str, Any]:
        """For a layer that is read out."""
        return {"correlation": self.correlation(), "largest_difference": self.largest}


@dataclass
class Answers:
    """Class decisions of several variants of the network on the same samples."""

    scores: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, **variants: Tensor) -> None:
        for name, value in variants.items():
            self.scores.setdefault(name, []).append(value)

    def to_dict(self, labels: Tensor | None) -> dict[str, Any]:
        """How often each variant decides as the float network, and accuracies where labels are known."""
        chosen = {name: torch.cat(parts).argmax(1) for name, parts in self.scores.items()}
        found: dict[str, Any] = {
            f"{name}_agrees": float((c == chosen["float"]).double().mean())
            for name, c in chosen.items()
            if name != "float"
        }
        if labels is not None:
            found |= {f"{name}_accuracy": float((c == labels).double().mean()) for name, c in chosen.items()}
        return found
