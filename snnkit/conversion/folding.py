"""From an ANN as people write it to a flat chain of synapses, activations and pools, batch norm folded in."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snnkit.conversion.qcfs import QCFS
from snnkit.errors import UserError

SUPPORTED = (
    "Conv2d, Linear, BatchNorm1d, BatchNorm2d, ReLU, QCFS, AvgPool2d, Flatten, Dropout, Identity, Sequential"
)
_DROPPED = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity)
_HINTS = {
    "MaxPool2d": "the largest of several spike trains is none: use AvgPool2d, or a Conv2d with stride 2",
    "AdaptiveAvgPool2d": "use AvgPool2d with the kernel size written out",
    "AdaptiveMaxPool2d": "use AvgPool2d with the kernel size written out",
    "LeakyReLU": "spikes cannot carry negative values: use ReLU and train again",
    "GELU": "spikes cannot carry negative values: use ReLU and train again",
    "SiLU": "spikes cannot carry negative values: use ReLU and train again",
    "Sigmoid": "use ReLU and train again",
    "Tanh": "use ReLU and train again",
    "Softmax": "leave it out: the network should end in logits",
    "LogSoftmax": "leave it out: the network should end in logits",
}


class ConversionError(UserError):
    """A network that cannot be converted; the message names the layer and what to use instead."""


@dataclass
class Part:
    """One element of the chain: the ANN's own module (a private copy) and the path it had in the ANN."""

    path: str
    module: nn.Module

    @property
    def is_synapse(self) -> bool:
        return isinstance(self.module, nn.Conv2d | nn.Linear)

    @property
    def is_activation(self) -> bool:
        return isinstance(self.module, nn.ReLU | QCFS)


def chain(ann: nn.Module) -> list[Part]:
    """The ANN as a flat list in evaluation mode, batch norm folded, dropout gone, on copies of the modules.

    Raises ConversionError with everything that stands in the way at once.
    """
    if not _is_chain(ann):
        kind = f"{type(ann).__module__.split('.')[0]}.{type(ann).__qualname__}"
        raise ConversionError(
            f"convert needs a torch.nn.Sequential (nested ones are fine); got {kind}. "
            "Write the network as nn.Sequential(nn.Conv2d(...), nn.ReLU(), ..., nn.Linear(...))."
        )
    parts = _flatten(ann, "")
    wrong = [problem for part in parts for problem in _problems(part)]
    if wrong:
        raise ConversionError(f"{'; '.join(wrong)}. Supported: {SUPPORTED}")
    parts = _fold_norms([part for part in parts if not isinstance(part.module, _DROPPED)])
    _check_order(parts)
    return parts


def _is_chain(module: nn.Module) -> bool:
    """A Sequential that runs its parts in order; a subclass with a forward of its own may do anything."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _flatten(sequential: nn.Module, prefix: str) -> list[Part]:
    parts = []
    for (
        name,
        child,
    ) in sequential._modules.items():  # named_children() would skip a ReLU that stands in two places
        assert child is not None
        if _is_chain(child):
            parts += _flatten(child, f"{prefix}{name}.")
        else:
            parts.append(Part(prefix + name, copy.deepcopy(child).eval()))
    return parts


def _problems(part: Part) -> list[str]:
    module, kind = part.module, type(part.module).__name__
    where = f"layer '{part.path}' ({kind})"
    allowed = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU, QCFS, nn.AvgPool2d, nn.Flatten)
    if type(module) not in (*allowed, *_DROPPED):  # exact types: a subclass may compute something else
        hint = _HINTS.get(kind)
        return [f"{where} cannot be converted" + (f": {hint}" if hint else "")]
    found = []
    if isinstance(module, nn.Conv2d) and (module.padding_mode != "zeros" or isinstance(module.padding, str)):
        found.append(f"{where} needs zero padding given in pixels, such as padding=1")
    if isinstance(module, nn.AvgPool2d) and (
        module.ceil_mode or module.divisor_override or _pair(module.padding) != (0, 0)
    ):
        found.append(f"{where} needs padding=0, ceil_mode=False and no divisor_override")
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) != (1, -1):
        found.append(f"{where} must keep the batch axis and flatten the rest: nn.Flatten()")
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is None:
        found.append(f"{where} has no running statistics to fold: use track_running_stats=True")
    return found


def _fold_norms(parts: list[Part]) -> list[Part]:
    folded: list[Part] = []
    for part in parts:
        if not isinstance(part.module, nn.BatchNorm1d | nn.BatchNorm2d):
            folded.append(part)
            continue
        wanted = nn.Conv2d if isinstance(part.module, nn.BatchNorm2d) else nn.Linear
        before = folded[-1] if folded else None
        if before is None or not isinstance(before.module, wanted):
            raise ConversionError(
                f"layer '{part.path}' ({type(part.module).__name__}) must stand right after a "
                f"{wanted.__name__}, so that it can be folded into its weights"
            )
        fold_norm(before.module, part.module)
    return folded


@torch.no_grad()
def fold_norm(synapse: Any, norm: Any) -> None:
    """Absorb batch norm at its running statistics into the layer before it, in place.

    y = γ (W x + b - μ)/√(σ² + ε) + β   becomes   W' = W·g,  b' = (b - μ)·g + β,  g = γ/√(σ² + ε) per channel
    """
    gain = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        gain = gain * norm.weight
    bias = -norm.running_mean if synapse.bias is None else synapse.bias - norm.running_mean
    bias = bias * gain if norm.bias is None else bias * gain + norm.bias
    synapse.weight.mul_(gain.reshape(-1, *(1,) * (synapse.weight.dim() - 1)))
    synapse.bias = nn.Parameter(bias.clone())


def _check_order(parts: list[Part]) -> None:
    """Every activation needs weights before it to take up its threshold; the network must end in logits."""
    weights_since = False
    for part in parts:
        if part.is_synapse:
            weights_since = True
        elif part.is_activation:
            if not weights_since:
                raise ConversionError(
                    f"layer '{part.path}' ({type(part.module).__name__}) has no Conv2d or Linear between it "
                    "and the activation (or the input) before it; remove it or put weights there"
                )
            weights_since = False
    if not any(part.is_activation for part in parts):
        raise ConversionError(
            "the network has no ReLU or QCFS, so there is nothing to turn into spiking neurons"
        )
    if not weights_since:
        raise ConversionError(
            "the network must end in logits: put a Linear or Conv2d after its last activation"
        )


def run_chain(parts: list[Part], x: Tensor) -> Tensor:
    """The folded ANN's output, B C; equal to the ANN's own in evaluation mode up to rounding."""
    for part in parts:
        x = part.module(x)
    return x


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
