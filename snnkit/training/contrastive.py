"""Embeddings of two kinds of samples in one space, and the contrastive loss that brings matching ones together."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from snnkit.errors import UserError

SameClass = Literal["soft", "mask"]


class Embedding(nn.Module):
    """One fully connected layer with GELU, scaled to length 1: z = g/|g|, g = GELU(W x + b).

    Args:
        features: of x.
        dims: of z.
        generator: of the initial weights, uniform in ±1/sqrt(features).

    Shapes: `B features` to `B dims`.
    """

    def __init__(self, features: int, dims: int = 64, *, generator: torch.Generator | None = None):
        super().__init__()
        self.linear = nn.Linear(features, dims)
        bound = features**-0.5
        for parameter in self.linear.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def forward(self, x: Float[Tensor, "B features"]) -> Float[Tensor, "B dims"]:
        return F.normalize(F.gelu(self.linear(x)), dim=-1)


def contrastive_loss(
    a: Float[Tensor, "B D"],
    b: Float[Tensor, "B D"],
    classes: Int[Tensor, " B"],
    other: Int[Tensor, " B"] | None = None,
    *,
    temperature: float = 1.0,
    same_class: SameClass = "soft",
) -> Tensor:
    """Symmetric cross-entropy of a batch's similarities in which no two samples of one class repel each other.

        S = a bᵀ/temperature        loss = ½ [H(P, softmax over b of S) + H(Q, softmax over a of S)]

    "soft": P[i, j] = 1/n for the n samples j of b that have the class of i (supervised contrastive, Khosla et al. 2020); rows
    without any are left out, and likewise for Q. "mask": P and Q are the identity, i matching i, and other pairs of the same class
    are taken out of the softmax (CLIP, Radford et al. 2021, without its false negatives).

    Args:
        a, b: embeddings of length 1.
        classes: of a, and of b where `other` is not given.
        other: classes of b.
        temperature: of the softmax, > 0.
        same_class: "soft" or "mask"; "mask" needs pairs, that is, equal classes at equal places.
    """
    if a.shape != b.shape or a.dim() != 2 or classes.shape != a.shape[:1]:
        raise UserError(
            f"contrastive_loss expects embeddings B D of equal shape and B classes, got {tuple(a.shape)}, {tuple(b.shape)} "
            f"and {tuple(classes.shape)}"
        )
    if not temperature > 0:
        raise UserError(f"temperature is > 0, got {temperature!r}")
    other = classes if other is None else other
    same = classes[:, None] == other[None, :]
    s = a @ b.t() / temperature
    if same_class == "soft":
        return 0.5 * (_soft(s, same) + _soft(s.t(), same.t()))
    if same_class != "mask":
        raise UserError(f'same_class is "soft" or "mask", got {same_class!r}')
    if not bool(same.diagonal().all()):
        raise UserError('same_class="mask" takes pairs: sample i of b must have the class of sample i of a')
    eye = torch.eye(len(s), dtype=torch.bool, device=s.device)
    s = s.masked_fill(same & ~eye, -torch.inf)
    place = torch.arange(len(s), device=s.device)
    return 0.5 * (F.cross_entropy(s, place) + F.cross_entropy(s.t(), place))


def _soft(s: Tensor, same: Tensor) -> Tensor:
    """Mean over the rows that have a partner of the cross-entropy with the uniform distribution over partners."""
    partners = same.sum(1)
    each = -(s.log_softmax(1) * same).sum(1) / partners.clamp(min=1)
    return each.sum() / (partners > 0).sum().clamp(min=1)
