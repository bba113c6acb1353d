"""How synapses start, and checks of their sizes."""

from __future__ import annotations

import math
from numbers import Integral

import torch
from torch import Tensor

from snnkit.errors import UserError


@torch.no_grad()
def init_synapses(weight: Tensor, bias: Tensor | None, generator: torch.Generator | None) -> None:
    """Weights uniform in ±sqrt(3 / fan_in), so of variance 1 / fan_in; bias 0."""
    bound = math.sqrt(3.0 / weight[0].numel())
    weight.uniform_(-bound, bound, generator=generator)
    if bias is not None:
        bias.zero_()


def check_sizes(label: str, **sizes: int) -> None:
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, Integral):  # numpy's integers too
            raise TypeError(f"{label}: {name} is a whole number, got {value!r}")
        if value < 1:
            raise UserError(f"{label}: {name} is at least 1, got {value}")
