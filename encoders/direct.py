"""Direct coding: the values themselves, in every step, as input current of a first layer that is trained.

The network learns its own code: the first layer and its spiking neurons turn a constant current into spikes (Wu et al.
2019; Rathi and Roy 2021), within 1 to 8 steps. This is not a spike code: the first layer multiplies real numbers, so its work is
dense multiply-accumulates, and is to be reported as those and not as synaptic operations on spikes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from snnkit.binning import check_steps
from snnkit.errors import UserError


def repeat(x: Tensor, *, steps: int, layer: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """The same values in each of `steps` steps, [T, B, *N], or what a layer makes of them.

    The current is constant, so a layer without memory is applied once, to one step, and its result repeated: the numbers
    and gradients of applying it in every step, for 1/T of the work. Memory is shared between the steps; clone it to write to it.

    Args:
        x: values of shape (B, *N), any range; gradients pass through.
        steps: T.
        layer: a layer over [T, B, *N] without memory (`snnkit.Linear`, `snnkit.Conv2d`, `torch.nn.Linear`), or None. A layer with
            memory, such as a neuron, does not belong here: it comes next, and sees all the steps.

    >>> repeat(torch.tensor([[0.25, 0.5]]), steps=3).shape
    torch.Size([3, 1, 2])
    """
    x = x if isinstance(x, Tensor) else torch.as_tensor(x, dtype=torch.get_default_dtype())
    if x.dim() < 2:
        raise UserError(
            f"expected values of shape (B, *N), got {tuple(x.shape)}; for one sample pass x[None]"
        )
    if not bool(torch.isfinite(x).all()):
        at = (~torch.isfinite(x)).nonzero()[0].tolist()
        raise UserError(f"expected finite values, got x{at} = {x[tuple(at)].item()}")
    steps, current = check_steps(steps), x[None]
    if layer is not None:
        current = layer(current)
        if not isinstance(current, Tensor) or current.dim() < 3 or current.shape[:2] != (1, len(x)):
            came = tuple(current.shape) if isinstance(current, Tensor) else type(current).__name__
            raise UserError(
                f"expected a layer over (T, B, *N) that gives (1, {len(x)}, ...) for one step, got {came}"
            )
    return current.expand(steps, *current.shape[1:])
