"""Neuron nodes of a NIR graph as difference equations: the meaning that simulator and quantiser share.

NIR is continuous-time. snnkit stores the exact discrete meaning in the metadata (`decay`, `reset`, `compare`,
...); a graph from another library has none of it and is read as NIR defines it, by Euler's method: a = 1 -
dt/tau, input gain r·dt/tau, spike when v > threshold, then v = v_reset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.errors import UserError
from snnkit.hardware.graph import Node

Array = Any  # a float or a numpy array that broadcasts to *N


@dataclass(frozen=True)
class Cell:
    """One neuron population in discrete time.

        i = decay_syn·i + gain_syn·x          (only where decay_syn is not None, else i = x)
        u = decay·v + gain·i + leak           s = [u >= threshold] or [u > threshold]
        v = u - s·threshold  |  v = v_reset where s  |  v = u        (reset subtract | zero | none)

    A population without threshold (LI) hands out u itself.
    """

    name: str
    decay: Array
    gain: Array
    decay_syn: Array | None = None
    gain_syn: Array = 1.0
    leak: Array = 0.0
    threshold: Array | None = None
    reset: str = "zero"
    strict: bool = True
    initial_v: Array = 0.0
    v_reset: Array = 0.0

    @property
    def spiking(self) -> bool:
        return self.threshold is not None


def cell(node: Node, dt: float | None = None) -> Cell:
    """Discrete meaning of a neuron node; `dt` [s] is needed only where the metadata does not hold it."""
    meta, field = node.meta, node.nir
    spiking = node.kind in ("IF", "LIF", "CubaLIF")
    common: dict[str, Any] = {
        "name": node.name,
        "threshold": np.asarray(field.v_threshold) if spiking else None,
        "reset": meta.get("reset", "zero") if spiking else "none",
        "strict": meta.get("compare", ">") == ">",
        "initial_v": meta.get("initial_v", 0.0),
    }
    if common["reset"] not in ("subtract", "zero", "none"):
        raise UserError(
            f"{node.name}: reset is 'subtract', 'zero' or 'none', the metadata says {common['reset']!r}"
        )
    if "snnkit_kind" in meta:
        return _exact(node, meta, common)
    dt = dt if dt is not None else meta.get("dt")
    if dt is None:
        raise UserError(
            f"{node.name}: the graph does not say its time step; pass dt=... in seconds, for example dt=1e-3"
        )
    return _euler(node, float(dt), common | {"v_reset": field.v_reset if spiking else 0.0})


def _exact(node: Node, meta: dict[str, Any], common: dict[str, Any]) -> Cell:
    """As snnkit wrote it: gains are 1, or 1 - decay where the input is scaled."""
    scaled = bool(meta.get("scale_input", False))
    if node.kind == "IF":
        return Cell(decay=1.0, gain=1.0, **common)
    if "decay" not in meta:
        raise UserError(f"{node.name}: the metadata has no 'decay'; write the graph again with snnkit.to_nir")
    decay = np.asarray(meta["decay"], dtype=np.float32)
    gain = 1 - decay if scaled else 1.0
    if not node.kind.startswith("Cuba"):
        return Cell(decay=decay, gain=gain, **common)
    decay_syn = np.asarray(meta["decay_syn"], dtype=np.float32)
    return Cell(
        decay=decay, gain=gain, decay_syn=decay_syn, gain_syn=1 - decay_syn if scaled else 1.0, **common
    )


def _euler(node: Node, dt: float, common: dict[str, Any]) -> Cell:
    field = node.nir
    if node.kind == "IF":
        r = np.asarray(field.r)
        return Cell(
            decay=1.0, gain=r if (r == 1).all() else r * dt, **common
        )  # all writers of r = 1 mean v + x
    tau = np.asarray(field.tau_mem if node.kind.startswith("Cuba") else field.tau)
    if not (tau >= dt).all():
        raise UserError(
            f"{node.name}: tau = {tau.min():g} s is below dt = {dt:g} s; both are in seconds, "
            "so dt=1e-3 is a millisecond"
        )
    rest: dict[str, Any] = {
        "decay": 1 - dt / tau,
        "gain": field.r * dt / tau,
        "leak": field.v_leak * dt / tau,
    }
    if node.kind.startswith("Cuba"):
        rest |= {"decay_syn": 1 - dt / field.tau_syn, "gain_syn": field.w_in * dt / field.tau_syn}
    return Cell(**rest, **common)
