"""`DelayedLinear` and `DelayedConv2d` in NIR graphs: weights as their own nodes, delays as Delay nodes where NIR has a place for them.

NIR's `Delay` holds one delay [s] per channel, so axonal delays stand before the weights and dendritic ones behind them, as a node
`<layer>_delay` that any reader of NIR understands (for every place of a picture the delay of its channel). Delays per synapse have no
node: they are in the metadata of the weights, as are, for all kinds, the settings that make the very same layer again:
`snnkit_kind`, `delay` [s] (laid out as the weights, for synaptic ones; 1 where places of a kernel share one), `delay_steps`, `max_delay`
[s], `dt` [s], `form`, `delay_kind`, `sigma` (steps), `tail` [s], `learn_delays`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.layers import Conv2d, DelayedConv2d, DelayedLinear, Linear

DELAYED = (DelayedLinear, DelayedConv2d)
LAYERS = {kind.__name__: kind for kind in DELAYED}


def turned(t: Tensor) -> Tensor:
    """Weights and delays as everywhere else, `out in ...`, from those of a delayed layer, `in ... out`; `back` undoes it."""
    return t.movedim(-1, 0)


def back(t: Tensor) -> Tensor:
    return t.movedim(0, -1)


def unwritable(layer: nn.Module) -> str:
    """What of a layer has no node, and what to do about it; empty if nothing."""
    several = getattr(layer, "kernel_count", 1)
    if several == 1:
        return ""
    return (
        f"kernel_count={several}, and NIR's matrices hold one synapse per pair of neurons (train with kernel_count=1, or keep the "
        "network in snnkit and save its weights with snnkit.training.save_weights)"
    )


def delays_of(layer: nn.Module) -> dict[str, Any]:
    """What the node of weights holds beside them so that the layer can be made again; nothing for layers without delays."""
    if not isinstance(layer, DELAYED):
        return {}
    steps = turned(layer.delay.detach()).cpu().contiguous()
    return {
        "snnkit_kind": type(layer).__name__,
        "delay": steps.double().numpy() * layer.dt,
        "delay_steps": steps.numpy(),
        "max_delay": layer.max_delay,
        "dt": layer.dt,
        "form": layer.form,
        "delay_kind": layer.kind,
        "sigma": layer.sigma,
        "tail": layer.tail * layer.dt,
        "learn_delays": isinstance(layer.delay, nn.Parameter),
    }


def delay_node(name: str, layer: DelayedLinear | DelayedConv2d, shape: tuple[int, ...]) -> nir.Delay | None:
    """The Delay node of axonal and dendritic delays, on values of this shape; None for those of synapses."""
    if layer.kind not in ("axonal", "dendritic"):
        return None
    seconds = layer.delay.detach().double().clamp(0, layer.longest).cpu().flatten().numpy() * layer.dt
    each = np.broadcast_to(seconds.reshape(-1, *(1,) * (len(shape) - 1)), shape)
    return nir.Delay(np.ascontiguousarray(each), metadata={"snnkit_part_of": name})


class Delay(nn.Module):
    """A Delay node on its way to the weights behind it."""

    def __init__(self, seconds: np.ndarray):
        super().__init__()
        self.seconds = torch.from_numpy(np.asarray(seconds, np.float64).reshape(-1).copy())


def read_delay(node: nir.Delay) -> Delay | None:
    """A Delay node, or None for one that belongs to weights of our own, which know their delays."""
    if "snnkit_part_of" in (node.metadata or {}):
        return None
    return Delay(node.delay)


@torch.no_grad()
def read_weights(
    node: Any, plain: Linear | Conv2d, meta: dict[str, Any], before: OrderedDict, dt: float | None
) -> nn.Module:
    """The layer of a node with weights: with the delays it was written with, or those of a Delay node before it."""
    like = LAYERS.get(str(meta.get("snnkit_kind")))
    if like is not None:
        steps = back(torch.from_numpy(np.array(node.metadata["delay_steps"])))
        layer = _delayed(
            like,
            plain,
            max_delay=float(meta["max_delay"]),
            dt=float(meta["dt"]),
            form=str(meta["form"]),
            kind=str(meta["delay_kind"]),
            sigma=float(meta["sigma"]),
            tail=float(meta["tail"]),
            learn_delays=bool(meta["learn_delays"]),
        )
        if steps.shape != layer.delay.shape:
            raise UserError(
                f"delay_steps has shape {tuple(turned(steps).shape)}; expected {tuple(turned(layer.delay).shape)}"
            )
        layer.delay.copy_(steps)
        # As written, in double precision.
        layer.width = torch.tensor(float(meta["sigma"]), dtype=torch.float64)
        return layer
    last = next(reversed(before), None)
    if last is None or not isinstance(before[last], Delay):
        return plain
    if dt is None:
        raise UserError(f"the Delay node {last} before it needs a time step; pass dt, such as dt=1e-3")
    seconds = _axonal(last, before.pop(last).seconds, plain)
    longest = float(np.ceil(float(seconds.max()) / dt - 1e-6)) * dt
    like = DelayedLinear if isinstance(plain, Linear) else DelayedConv2d
    initial = seconds.view(-1, *(1,) * (plain.weight.dim() - 1))
    return _delayed(
        like, plain, max_delay=longest, dt=dt, form="integer", kind="axonal", initial_delay=initial
    )


def _axonal(name: str, seconds: Tensor, plain: Linear | Conv2d) -> Tensor:
    """The delays [s] of a Delay node, one or one per input channel of the weights behind it."""
    channels = plain.in_features if isinstance(plain, Linear) else plain.in_channels
    if isinstance(plain, Conv2d) and seconds.numel() > channels and seconds.numel() % channels == 0:
        every = seconds.view(channels, -1)
        if not torch.equal(every, every[:, :1].expand_as(every)):
            raise UserError(
                f"the Delay node {name} before it delays the places of a channel differently; snnkit's convolutions have one delay "
                "per channel"
            )
        seconds = every[:, 0]
    if len(seconds) not in (1, channels) or not bool((torch.isfinite(seconds) & (seconds >= 0)).all()):
        raise UserError(
            f"the Delay node {name} before it should have {channels} delays in seconds, none negative; got "
            f"{len(seconds)} from {float(seconds.min()):g} to {float(seconds.max()):g} s"
        )
    return seconds


def _delayed(like: Any, plain: Linear | Conv2d, **settings: Any) -> Any:
    """The delayed layer with the weights of a plain one."""
    settings |= {"bias": plain.bias is not None, "generator": torch.Generator()}
    if isinstance(plain, Linear):
        layer = like(plain.in_features, plain.out_features, **settings)
    else:
        if plain.groups != 1 or set(plain.dilation) != {1} or isinstance(plain.padding, str):
            raise UserError(
                f"it has delays, groups={plain.groups}, dilation={plain.dilation} and padding={plain.padding!r}; with delays snnkit "
                "has groups=1, dilation=1 and padding as numbers"
            )
        sizes: Any = (plain.kernel_size, plain.stride, plain.padding)
        layer = like(plain.in_channels, plain.out_channels, *sizes, **settings)
    layer = layer.to(plain.weight.dtype)
    layer.weight.copy_(back(plain.weight))
    if plain.bias is not None:
        layer.bias.copy_(plain.bias)
    return layer
