"""`DelayedLinear` in NIR graphs: weights as Linear or Affine, delays as Delay nodes where NIR has a place for them.

NIR's `Delay` holds one delay [s] per channel, so axonal delays stand before the weights and dendritic ones behind them, as a node
`<layer>_delay` that any reader of NIR understands. Delays per synapse have no node: they are in the metadata of the weights, as
are, for all kinds, the settings that make the very same layer again: `snnkit_kind` "DelayedLinear", `delay` [s] (out x in for
synaptic ones), `delay_steps`, `max_delay` [s], `dt` [s], `form`, `delay_kind`, `sigma` (steps), `tail` [s], `learn_delays`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.layers import DelayedLinear, Linear

KIND = "DelayedLinear"


def weights_node(layer: DelayedLinear, weight: Tensor, bias: Tensor | None) -> nir.NIRNode:
    """The weights `out in` (with a norm taken up, maybe) and everything that makes the layer again."""
    steps = layer.delay.detach().t().cpu().contiguous()
    meta = {
        "snnkit_kind": KIND,
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
    array = weight.detach().cpu().contiguous().numpy()
    if bias is None:
        return nir.Linear(array, metadata=meta)
    return nir.Affine(array, bias.detach().cpu().contiguous().numpy(), metadata=meta)


def delay_node(name: str, layer: DelayedLinear) -> nir.Delay | None:
    """The Delay node of axonal and dendritic delays; None for synaptic ones."""
    if layer.kind == "synaptic":
        return None
    seconds = layer.delay.detach().double().clamp(0, layer.longest).cpu().flatten().numpy() * layer.dt
    return nir.Delay(seconds, metadata={"snnkit_part_of": name})


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
    node: Any, linear: Linear, meta: dict[str, Any], before: OrderedDict, dt: float | None
) -> nn.Module:
    """The layer of a node with weights: with the delays it was written with, or those of a Delay node before it."""
    if meta.get("snnkit_kind") == KIND:
        steps = torch.from_numpy(np.array(node.metadata["delay_steps"]))
        layer = DelayedLinear(
            linear.in_features,
            linear.out_features,
            max_delay=float(meta["max_delay"]),
            dt=float(meta["dt"]),
            form=str(meta["form"]),
            kind=str(meta["delay_kind"]),
            sigma=float(meta["sigma"]),
            tail=float(meta["tail"]),
            bias=linear.bias is not None,
            learn_delays=bool(meta["learn_delays"]),
            generator=torch.Generator(),
        ).to(linear.weight.dtype)
        if steps.t().shape != layer.delay.shape:
            raise UserError(
                f"delay_steps has shape {tuple(steps.shape)}; expected {tuple(layer.delay.t().shape)}"
            )
        layer.delay.copy_(steps.t())
        layer.width = torch.tensor(
            float(meta["sigma"]), dtype=torch.float64
        )  # as written, in double precision
        return _fill(layer, linear)
    last = next(reversed(before), None)
    if last is None or not isinstance(before[last], Delay):
        return linear
    seconds = before.pop(last).seconds
    if dt is None:
        raise UserError(f"the Delay node {last} before it needs a time step; pass dt, such as dt=1e-3")
    if len(seconds) not in (1, linear.in_features) or not bool(
        (torch.isfinite(seconds) & (seconds >= 0)).all()
    ):
        raise UserError(
            f"the Delay node {last} before it should have {linear.in_features} delays in seconds, none negative; got "
            f"{len(seconds)} from {float(seconds.min()):g} to {float(seconds.max()):g} s"
        )
    longest = float(np.ceil(float(seconds.max()) / dt - 1e-6)) * dt
    layer = DelayedLinear(
        linear.in_features, linear.out_features, max_delay=longest, dt=dt, form="integer", kind="axonal",
        bias=linear.bias is not None, initial_delay=seconds.unsqueeze(1), generator=torch.Generator(),
    )  # fmt: skip
    return _fill(layer.to(linear.weight.dtype), linear)


def _fill(layer: DelayedLinear, linear: Linear) -> DelayedLinear:
    layer.weight.copy_(linear.weight.t())
    if layer.bias is not None and linear.bias is not None:
        layer.bias.copy_(linear.bias)
    return layer
