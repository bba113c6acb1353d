"""Delays in a NIR graph: `Delay` nodes (per channel) and delays per synapse, which are in the metadata of the weights.

Chips count in whole steps, so everything here does: a delay of d seconds is ⌊d/dt + 1/2⌋ steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnkit.errors import UserError
from snnkit.hardware.catalog import Chip
from snnkit.hardware.graph import DENSE, Node, UnsupportedGraph
from snnkit.hardware.layers import Layer


def step_of(nodes: list[Node], dt: float | None) -> float:
    """The time step of a graph [s], for delays: as given, or as its metadata says."""
    known = [float(n.meta["dt"]) for n in nodes if n.meta.get("dt")]
    if dt is None and not known:
        late = ", ".join(n.name for n in nodes if n.delay is not None)
        raise UserError(
            f"delays of {late} are in seconds and the graph has no time step; pass dt, such as dt=1e-3"
        )
    return float(dt) if dt is not None else known[0]


def whole_steps(seconds: Any, dt: float) -> np.ndarray:
    """Delays as whole steps."""
    return np.floor(np.asarray(seconds, np.float64) / dt + 0.5 + 1e-6).astype(np.int64)


def late(x: Tensor, steps: np.ndarray, rest: Tensor | None = None) -> Tensor:
    """`T B *N`, each channel so many steps later; what comes after the end is lost. steps: N or one number.

    `rest` is what the channels carried before the first step; default zero.
    """
    flat = x.reshape(*x.shape[:2], -1)
    each = np.broadcast_to(np.asarray(steps).reshape(-1), (flat.shape[2],))
    out = torch.zeros_like(flat) if rest is None else rest.to(flat).reshape(-1).expand_as(flat).clone()
    for n in np.unique(each):
        if n < len(flat):
            which = torch.from_numpy(np.flatnonzero(each == n))
            out[n:, :, which] = flat[: len(flat) - n, :, which]
    return out.view(x.shape)


def late_product(x: Tensor, weight: Tensor, steps: Tensor) -> Tensor:
    """`T B in` to `T B out` through a weight and a delay per synapse; weight, steps: out x in."""
    out = x.new_zeros(*x.shape[:2], len(weight))
    for n in torch.unique(steps).tolist():
        if n < len(x):
            out[n:] += x[: len(x) - n] @ (weight * (steps == n)).to(x).t()
    return out


def combined(nodes: list[Node], shape: tuple[int, int], dt: float) -> Tensor | None:
    """Delays of a dense map that these nodes fold into, in steps, out x in; None where there are none.

    Raises:
        UnsupportedGraph: a delay that does not belong to single entries of the matrix.
    """
    if not any(n.delay is not None for n in nodes):
        return None
    inner = [n.kind not in ("Delay", "Flatten") for n in nodes]
    first, last = (inner.index(True), len(inner) - 1 - inner[::-1].index(True)) if any(inner) else (0, 0)
    total = np.zeros(shape, np.int64)
    for k, node in enumerate(nodes):
        if node.delay is None:
            continue
        steps = whole_steps(node.delay, dt)
        if node.kind in DENSE and first == last and len(node.in_shape) == 1:
            total += steps
        elif node.kind == "Delay" and k < first:
            total += np.broadcast_to(steps.reshape(-1), (shape[1],))[None, :]
        elif node.kind == "Delay" and k > last:
            total += np.broadcast_to(steps.reshape(-1), (shape[0],))[:, None]
        else:
            raise UnsupportedGraph(
                f"the delays of {node.name} lie between layers without neurons; put neurons between them, or the delays "
                "next to neurons"
            )
    return torch.from_numpy(total)


@dataclass(frozen=True)
class Room:
    """What a chip makes of synaptic delays of so many steps: whether it holds them, how many it holds, and that in words.

    `most` is None where nobody has published a limit; `said` is empty where they fit without conditions.
    """

    holds: bool
    most: int | None
    said: str


def room_for_delays(chip: Chip, steps: int) -> Room:
    """Whether a chip holds delays of up to `steps` time steps, beyond the one that every spike takes."""
    figure = chip.limit.get("delay_steps")
    if not steps:
        return Room(True, int(figure.value) if figure else None, "")
    if figure is None:
        return Room(
            True, None, f"{chip.name} has no published limit of delays; what holding them takes is left out"
        )
    most = int(figure.value)
    if not most:
        return Room(False, 0, f"{chip.name} has no synaptic delays")
    if steps > most and chip.name == "spinnaker":
        return Room(
            True, most, f"beyond {most} steps SpiNNaker adds delay extensions, which take cores of their own"
        )
    if steps > most:
        return Room(False, most, f"{chip.name} holds up to {most:,} steps")
    if figure.ranged and steps > figure.low:
        return Room(
            True, most, f"{figure.low:g} are certain, up to {most:,} depend on the delay slots in use"
        )
    return Room(True, most, "")


def check_delays(parts: list[Layer], chip: Chip, dt: float | None) -> tuple[list[str], list[str]]:
    """(problems, notes): layers whose longest delay, in steps, is beyond what the chip holds."""
    problems: list[str] = []
    notes: list[str] = []
    for layer in parts:
        if not layer.delay:
            continue
        step = dt or layer.dt
        if step is None:
            problems.append(
                f"layer {layer.name}: delays up to {layer.delay:g} s and no time step to count them in; pass dt"
            )
            continue
        steps = int(whole_steps(layer.delay, step))
        room = room_for_delays(chip, steps)
        what = f"layer {layer.name}: delays up to {steps:,} steps of {step:g} s ({layer.delay:g} s)"
        if room.holds:
            notes += [f"{what}: {room.said}"] if room.said else []
        elif room.most:
            short = room.most * step
            problems.append(
                f"{what}, but {room.said}; shorten them (max_delay={short:g}, or training with "
                f"delay_excess(net, longest={short:g})), or take longer steps"
            )
        else:
            problems.append(f"{what}, but {room.said}; train without (max_delay=0)")
    return problems, notes
