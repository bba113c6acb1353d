"""What training delays takes: their own learning rate, clamping after each step, a width that shrinks, rounding to evaluate."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.layers.delay_base import Delayed


def _delayed(net: nn.Module) -> list[Delayed]:
    return [m for m in net.modules() if isinstance(m, Delayed)]


def delay_parameters(
    net: nn.Module, lr: float = 1e-3, weight_decay: float = 1e-5, delay_lr: float | None = None
) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: delays learn at 100 times the rate of the weights and do not decay.

    Delays are counted in steps, so a rate that moves weights by thousandths has to move delays by tenths (Hammouamri et al.
    2024). Vectors and scalars, such as biases, norms and time constants, are spared from weight decay too.

    >>> from snnkit.layers import DelayedLinear
    >>> net = nn.Sequential(DelayedLinear(3, 2, max_delay=5e-3, dt=1e-3))
    >>> [(len(g["params"]), g["lr"], g["weight_decay"]) for g in delay_parameters(net, lr=1e-3)]
    [(1, 0.001, 1e-05), (1, 0.1, 0.0)]
    """
    delays = [m.delay for m in _delayed(net) if isinstance(m.delay, nn.Parameter) and m.delay.requires_grad]
    known = {id(p) for p in delays}
    rest = [p for p in net.parameters() if p.requires_grad and id(p) not in known]
    groups = [
        {"params": [p for p in rest if p.dim() > 1], "lr": lr, "weight_decay": weight_decay},
        {"params": [p for p in rest if p.dim() <= 1], "lr": lr, "weight_decay": 0.0},
        {"params": delays, "lr": 100.0 * lr if delay_lr is None else delay_lr, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def clamp_delays(net: nn.Module) -> None:
    """Bring every delay of a network back into its range; to be called after each step of the optimiser."""
    for layer in _delayed(net):
        layer.clamp_()


def clamp_after(optimiser: Any, net: nn.Module) -> Callable[[], None]:
    """Clamp the delays of `net` after each step of this optimiser, from now on; call the answer to end it.

    >>> from snnkit.layers import DelayedLinear
    >>> net = nn.Sequential(DelayedLinear(3, 2, max_delay=5e-3, dt=1e-3))
    >>> optimiser = torch.optim.Adam(delay_parameters(net))
    >>> end = clamp_after(optimiser, net)
    """
    return optimiser.register_step_post_hook(lambda *_: clamp_delays(net)).remove


def delay_excess(net: nn.Module, longest: float = 0.0) -> Tensor:
    """A penalty that shortens delays, for chips with less room: mean of max(0, d - longest)/max_delay over all delays.

    Add it to the loss, times a factor. `longest` is what costs nothing [s]; 0 makes every delay cost.

    >>> from snnkit.layers import DelayedLinear
    >>> layer = DelayedLinear(2, 1, max_delay=4e-3, dt=1e-3, initial_delay=3e-3)
    >>> round(delay_excess(layer, longest=1e-3).item(), 3)
    0.5
    """
    parts = [
        (layer.delay_seconds - longest).clamp(min=0).flatten() / layer.max_delay
        for layer in _delayed(net)
        if layer.longest
    ]
    if not parts:
        raise UserError("delay_excess: the network has no DelayedLinear or DelayedConv with delays")
    return torch.cat(parts).mean()


def delay_unroundness(net: nn.Module, step: float | None = None) -> Tensor:
    """A penalty that draws delays to whole steps, so that rounding them costs little: mean of sin²(π·d/step) over all delays.

    Add it to the loss, times a factor that grows while training. `step` is what the chip counts delays in [s]; default the dt of
    each layer.

    >>> from snnkit.layers import DelayedLinear
    >>> layer = DelayedLinear(2, 1, max_delay=4e-3, dt=1e-3, initial_delay=3e-3)
    >>> round(delay_unroundness(layer).item(), 3), round(delay_unroundness(layer, step=2e-3).item(), 3)
    (0.0, 1.0)
    """
    if step is not None and not 0 < step < math.inf:
        raise UserError(f"delay_unroundness: step is a positive time in seconds, got {step!r}")
    parts = [
        (math.pi * layer.delay * (1.0 if step is None else layer.dt / step)).sin().square().flatten()
        for layer in _delayed(net)
        if layer.longest
    ]
    if not parts:
        raise UserError("delay_unroundness: the network has no DelayedLinear or DelayedConv with delays")
    return torch.cat(parts).mean()


def rounded_delays(net: nn.Module) -> nn.Module:
    """A copy of a network with whole delays, in evaluation mode: what a chip would run. The network itself is untouched."""
    other = copy.deepcopy(net)
    for path, layer in list(other.named_modules()):
        if isinstance(layer, Delayed):
            if not path:
                return layer.rounded().eval()
            parent, _, name = path.rpartition(".")
            setattr(other.get_submodule(parent), name, layer.rounded())
    return other.eval()


@dataclass(frozen=True)
class DelayWidth:
    """The width of Gaussian delays over training: σ falls geometrically in the first quarter, then stays narrow.

        σ(e) = 0.27 + S·(0.23 / S)^min(1, 4·e/epochs),  S = K // 2, K the steps a delay may take

    which is the published schedule (Hammouamri et al. 2024) and ends at half a step.

    Args:
        epochs: length of training.
        part: the share of it in which σ falls.

    >>> [round(DelayWidth(epochs=100).at(e, 25), 2) for e in (0, 10, 25, 99)]
    [12.27, 2.74, 0.5, 0.5]
    """

    epochs: int
    part: float = 0.25

    def __post_init__(self) -> None:
        if self.epochs < 1 or not 0 < self.part <= 1:
            raise UserError(
                f"DelayWidth: epochs at least 1 and 0 < part <= 1, got {self.epochs} and {self.part}"
            )

    def at(self, epoch: int, steps: int) -> float:
        """σ in this epoch for delays that take `steps` values."""
        wide = max(0.23, float(steps // 2))
        progress = min(1.0, epoch / max(1.0, self.part * self.epochs))
        return 0.27 + wide * (0.23 / wide) ** progress

    def apply(self, net: nn.Module, epoch: int) -> None:
        """Set the width of every Gaussian layer of a network."""
        for layer in _delayed(net):
            if layer.form == "gaussian":
                layer.sigma = self.at(epoch, layer.longest + 1)
