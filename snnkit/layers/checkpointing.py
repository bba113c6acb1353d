"""Long sequences in little memory: what a chunk of time needs for its gradient is computed again, not kept."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint as torch_checkpoint

from snnkit.errors import UserError
from snnkit.events import EventTensor


def checkpoint(net: Any, x: Any, *, chunk: int | None = None) -> Any:
    """`net(x)` whose memory for the gradient grows with the chunk instead of the sequence.

    The sequence runs in chunks of time. Of each, only the state at its beginning is kept (Chen et al. 2016); the backward
    pass, which goes through the chunks from the last to the first, runs a chunk again and then differentiates it. That costs one
    more forward pass. Input, output and one state per chunk remain in memory, so about sqrt(T) steps a chunk need the
    least.

    Results are those of `net(x)`: cutting time changes nothing. Gradients of neurons and of the input are the same bits
    where the layers' products are (sums over fewer rows may round differently); gradients of parameters are sums over the
    chunks, equal up to rounding. Random numbers are drawn once: dropout keeps its mask, from chunk to chunk and in the
    second run. Without gradients the chunks simply follow each other.

    Args:
        net: what has `scan`: a `Sequential`, a neuron, a layer. With batch normalisation it has to be in evaluation
            mode, as the statistics of a chunk are not those of the sequence.
        x: `T B *N`, an `EventTensor`, or a tuple of tensors for a neuron with several input ports.
        chunk: time steps in a chunk; default about sqrt(T).

    Returns:
        What `net(x)` returns, `T B *M`.

    >>> from snnkit.layers import Linear
    >>> net, x = Linear(4, 2), torch.ones(100, 1, 4)
    >>> torch.equal(checkpoint(net, x, chunk=10), net(x))
    True
    """
    return checkpointed_scan(net, x, chunk=chunk)[0]


def checkpointed_scan(net: Any, x: Any, state: Any = None, *, chunk: int | None = None) -> tuple[Any, Any]:
    """`net.scan(x, state)`, state in and state out, in the chunks of `checkpoint`."""
    _check(net)
    steps = len(x[0]) if isinstance(x, tuple) else len(x)
    chunk = _length(chunk, steps)
    if steps <= chunk and not torch.is_grad_enabled():
        return net.scan(x, state)
    outputs = []
    for first in range(0, max(steps, 1), chunk):
        part = _cut(x, first, min(first + chunk, steps))
        y, state = _run(net, part, state) if torch.is_grad_enabled() else net.scan(part, state)
        outputs.append(y)
    return _join(outputs), state


def _run(net: Any, part: Any, state: Any) -> tuple[Any, Any]:
    drawn = [(g, g.get_state()) for g in _generators(net)]

    def contexts() -> tuple[Any, Any]:
        return nullcontext(), _Again(drawn)

    return torch_checkpoint(net.scan, part, state, use_reentrant=False, context_fn=contexts)


class _Again:
    """The layers' own generators as they were before a chunk ran; torch does the same for its global one."""

    def __init__(self, drawn: list[tuple[torch.Generator, Tensor]]):
        self.drawn = drawn

    def __enter__(self) -> None:
        self.now = [(g, g.get_state()) for g, _ in self.drawn]
        for g, before in self.drawn:
            g.set_state(before)

    def __exit__(self, *error: object) -> None:
        for g, after in self.now:
            g.set_state(after)


def _generators(net: Any) -> list[torch.Generator]:
    if not isinstance(net, nn.Module):
        return []
    held = (value for module in net.modules() for value in vars(module).values())
    return list({id(g): g for g in held if isinstance(g, torch.Generator)}.values())


def _check(net: Any) -> None:
    if not hasattr(net, "scan"):
        raise TypeError(
            f"checkpoint needs a network with scan, such as snnkit.Sequential; got {type(net).__name__}"
        )
    for name, module in net.named_modules() if isinstance(net, nn.Module) else ():
        if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
            raise UserError(
                f"layer {name or 'itself'} ({type(module).__name__}) normalises by the statistics of what it gets, and a "
                "chunk's are not the sequence's; call .eval() on it, or train without checkpoint"
            )


def _length(chunk: int | None, steps: int) -> int:
    if chunk is None:
        return max(1, math.isqrt(max(steps - 1, 0)) + 1)
    if isinstance(chunk, bool) or not isinstance(chunk, int):
        raise TypeError(f"checkpoint: chunk is a whole number of time steps, got {chunk!r}")
    if chunk < 1:
        raise UserError(f"checkpoint: chunk is at least 1 time step, got {chunk}")
    return chunk


def _cut(x: Any, first: int, end: int) -> Any:
    return tuple(port[first:end] for port in x) if isinstance(x, tuple) else x[first:end]


def _join(outputs: list[Any]) -> Any:
    if len(outputs) == 1:
        return outputs[0]
    if isinstance(outputs[0], tuple):
        return tuple(torch.cat(port) for port in zip(*outputs, strict=True))
    if isinstance(outputs[0], EventTensor):  # Flatten alone leaves events events
        return torch.cat([part.dense() for part in outputs])
    return torch.cat(outputs)
