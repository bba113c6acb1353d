"""Synapses in the order in which the loop meets them: rows of a pre neuron, columns of a post neuron, or a dense block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnkit.errors import UserError
from snnkit.liquid.projection import Projection


@dataclass(frozen=True, eq=False)
class Wired:
    """A projection sorted by (pre, delay, port, post), its delays in steps and its ports as indices."""

    pre: np.ndarray
    post: np.ndarray
    delay: np.ndarray
    port: np.ndarray
    order: np.ndarray  # of the projection's synapses
    block: tuple[int, int, int, int] | None  # first and number of pre and post neurons, if it is complete
    shape: tuple[int, int]

    def arrays(self, name: str, ports: int, columns: bool, past: int | None = None) -> dict[str, np.ndarray]:
        """The arguments of the kernel for this projection; the ring has `ports` rows of n_post for each step.

        `past` is the number of steps that are remembered, where spikes are met on arrival.
        """
        if past is not None:
            return self._late(name, ports, columns, past)
        n_pre, n_post = self.shape
        if self.block is not None:
            first = (int(self.delay[0]) * ports + int(self.port[0])) * n_post + self.block[2]
            return {f"{name}_block_": np.array([*self.block, first], np.int64)}
        off = (self.delay.astype(np.int64) * ports + self.port) * n_post + self.post
        if len(off) and off.max() >= 1 << 32:
            raise UserError("delays x ports x neurons reach 2^32: use shorter delays or a larger dt")
        rows = np.zeros(n_pre + 1, np.int64)
        np.cumsum(np.bincount(self.pre, minlength=n_pre), out=rows[1:])
        found = {
            f"{name}_rp_": rows,
            f"{name}_off_": off.astype(np.uint32),
            f"{name}_post_": self.post.astype(np.uint32),
        }
        return found | (self._columns(name) if columns else {})

    def _columns(self, name: str) -> dict[str, np.ndarray]:
        n_post = self.shape[1]
        perm = np.argsort(self.post, kind="stable")
        starts = np.zeros(n_post + 1, np.int64)
        np.cumsum(np.bincount(self.post, minlength=n_post), out=starts[1:])
        return {
            f"{name}_cp_": starts,
            f"{name}_perm_": perm.astype(np.uint32),
            f"{name}_pre_of_": self.pre[perm].astype(np.uint32),
        }

    def _late(self, name: str, ports: int, columns: bool, past: int) -> dict[str, np.ndarray]:
        """Rows have a beginning for each delay; what a synapse sees of the past begins (longest - delay) steps in."""
        n_pre, n_post = self.shape
        if past * (n_pre + 1) >= 1 << 32:
            raise UserError("delays x neurons reach 2^32: use shorter delays or a larger dt")
        waits = np.unique(self.delay).astype(np.int64) if len(self.delay) else np.zeros(1, np.int64)
        back = (past - 1 - waits) * n_pre
        found = {f"{name}_waits_": waits}
        if self.block is not None:
            first = int(self.port[0]) * n_post + self.block[2]
            return {**found, f"{name}_block_": np.array([*self.block, first, back[0]], np.int64)}
        which = np.searchsorted(waits, self.delay)
        row = self.pre.astype(np.int64) * len(waits) + which
        rows = np.zeros(n_pre * len(waits) + 1, np.int64)
        np.cumsum(np.bincount(row, minlength=n_pre * len(waits)), out=rows[1:])
        found |= {
            f"{name}_rp_": rows,
            f"{name}_off_": (self.port.astype(np.int64) * n_post + self.post).astype(np.uint32),
            f"{name}_post_": self.post.astype(np.uint32),
            f"{name}_back_": back,
        }
        if columns:
            found |= self._columns(name)
            perm = found[f"{name}_perm_"]
            found[f"{name}_back_of_"] = (back[which] + self.pre)[perm].astype(np.uint32)
        return found


def steps_of(projection: Projection, dt: float | None, least: int, name: str) -> np.ndarray:
    """Delays in whole steps, the nearest."""
    if projection.delay is None:
        return np.full(len(projection), least, np.int32)
    if dt is None:
        raise UserError(
            f"{name} has delays in seconds, so the liquid needs dt: give it to the neuron or as Liquid(dt=...)"
        )
    steps = np.rint(projection.delay / dt).astype(np.int64)
    if len(steps) and steps.min() < least:
        raise UserError(
            f"{name}: spikes between neurons of a liquid travel at least one step of dt={dt:g} s, "
            f"got a delay of {projection.delay.min():g} s"
        )
    if len(steps) and steps.max() > 1 << 20:
        raise UserError(
            f"{name}: a delay of {projection.delay.max():g} s is {steps.max()} steps of dt={dt:g} s; are delays seconds?"
        )
    return steps.astype(np.int32)


def ports_of(projection: Projection, ports: tuple[str, ...], name: str) -> np.ndarray:
    """The port of every synapse as an index."""
    port = projection.port
    if isinstance(port, str):
        if port not in ports:
            raise UserError(f"{name}: the neuron has no port {port!r}; it has {', '.join(ports)}")
        port = ports.index(port)
    array = np.broadcast_to(np.asarray(port, np.int16), (len(projection),))
    if array.size and not (array.min() >= 0 and array.max() < len(ports)):
        raise UserError(
            f"{name}: ports are 0..{len(ports) - 1} ({', '.join(ports)}), got {array.min()}..{array.max()}"
        )
    return array


def wire(
    projection: Projection,
    dt: float | None,
    least: int,
    ports: tuple[str, ...],
    name: str,
    dense: bool | None,
) -> Wired:
    """Sort a projection; `dense` None stores a complete block as such, False never does."""
    delay, port = steps_of(projection, dt, least, name), ports_of(projection, ports, name)
    order = np.lexsort((projection.post, port, delay, projection.pre))
    pre, post = projection.pre[order], projection.post[order]
    delay, port = delay[order], port[order]
    block = None if dense is False else _block(pre, post, delay, port)
    return Wired(pre, post, delay, port, order, block, projection.shape)


def _block(
    pre: np.ndarray, post: np.ndarray, delay: np.ndarray, port: np.ndarray
) -> tuple[int, int, int, int] | None:
    if not len(pre) or (delay != delay[0]).any() or (port != port[0]).any():
        return None
    first_pre, first_post = int(pre[0]), int(post[0])
    pres, posts = int(pre[-1]) - first_pre + 1, int(post[-1]) - first_post + 1
    if pres * posts != len(pre) or posts < 1:
        return None
    full = (pre.reshape(pres, posts) == np.arange(first_pre, first_pre + pres)[:, None]).all()
    full = full and (post.reshape(pres, posts) == np.arange(first_post, first_post + posts)).all()
    return (first_pre, pres, first_post, posts) if full else None
