"""One pair of operators for all neurons: `snnkit::scan` and `snnkit::scan_adjoint`.

Both know a neuron by its key, so a neuron defined in a notebook registers no operator, and an exported graph names a
stable one. Around them stands an `autograd.Function` with `setup_context`, whose backward calls another such
Function: autograd, torch.func and torch.compile see one rule. Dynamo counts the parameters of `forward`, so there is a
class for every number of tensors, made at import.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.neurons import run_numba, run_triton
from snnkit.kernels.neurons.program import Definition

_registry: dict[str, Definition] = {}


def register(definition: Definition) -> None:
    """Make a neuron known by its key; the same key is the same neuron."""
    _registry.setdefault(definition.key, definition)


def lookup(key: str) -> Definition:
    if key not in _registry:
        raise KeyError(
            f"no neuron {key!r} in this process: construct one like it before running a graph that names it"
        )
    return _registry[key]


def runs_on(device: str) -> bool:
    """Whether a kind of device has kernels: a CPU always, CUDA where Triton is installed."""
    return device == "cpu" or (device == "cuda" and run_triton.available())


def default_chunk(steps: int) -> int:
    """Steps between checkpoints: about the root of the sequence, in few sizes so that a compiled graph serves many."""
    for chunk in (32, 64, 128):
        if steps <= chunk * chunk:
            return chunk
    return 256


# The operators: inputs [T, *S], constants and states [*S]; results as flat lists -------------------------------


@torch.library.custom_op("snnkit::scan", mutates_args=(), device_types="cpu")
def scan_op(
    key: str, chunk: int, inputs: Sequence[Tensor], constants: Sequence[Tensor], states: Sequence[Tensor]
) -> list[Tensor]:
    """Outputs `[T, *S]`, end states `[*S]`, then the states of every chunk-th step `[K, *S]`."""
    return run_numba.scan(lookup(key), chunk, inputs, constants, states)


@scan_op.register_kernel("cuda")
def _(key, chunk, inputs, constants, states):
    return run_triton.scan(lookup(key), chunk, inputs, constants, states)


@scan_op.register_fake
def _(key, chunk, inputs, constants, states):
    definition, x = lookup(key), inputs[0]
    kept = (x.shape[0] + chunk - 1) // chunk
    return [
        *(x.new_empty(x.shape) for _ in range(definition.outputs)),
        *(x.new_empty(x.shape[1:]) for _ in definition.states),
        *(x.new_empty((kept, *x.shape[1:])) for _ in definition.states),
    ]


@torch.library.custom_op("snnkit::scan_adjoint", mutates_args=(), device_types="cpu")
def adjoint_op(
    key: str,
    chunk: int,
    wanted: str,
    hyper: Sequence[float],
    inputs: Sequence[Tensor],
    constants: Sequence[Tensor],
    kept: Sequence[Tensor],
    output_bars: Sequence[Tensor],
    state_bars: Sequence[Tensor],
) -> list[Tensor]:
    """Gradients of the states at the start `[*S]`, then those of the ports `[T, *S]` and constants `[*S]` that
    `wanted` names (words such as `port_x const_decay`)."""
    return run_numba.adjoint(
        lookup(key), chunk, wanted, hyper, inputs, constants, kept, output_bars, state_bars
    )


@adjoint_op.register_kernel("cuda")
def _(key, chunk, wanted, hyper, inputs, constants, kept, output_bars, state_bars):
    return run_triton.adjoint(
        lookup(key), chunk, wanted, hyper, inputs, constants, kept, output_bars, state_bars
    )


@adjoint_op.register_fake
def _(key, chunk, wanted, hyper, inputs, constants, kept, output_bars, state_bars):
    x = inputs[0]
    return [
        *(x.new_empty(x.shape[1:]) for _ in kept),
        *(x.new_empty(x.shape if name.startswith("port_") else x.shape[1:]) for name in wanted.split()),
    ]


def _batched(tensors: Sequence[Tensor], dims: Any, size: int, axis: int) -> list[Tensor]:
    """Every tensor with the mapped axis at `axis`, just before the neurons."""
    dims = [dims] * len(tensors) if dims is None else dims
    out = []
    for tensor, dim in zip(tensors, dims, strict=True):
        if dim is None:
            tensor = tensor.unsqueeze(axis)
            out.append(tensor.expand(*tensor.shape[:axis], size, *tensor.shape[axis + 1 :]))
        else:
            out.append(tensor.movedim(dim, axis))
    return out


@scan_op.register_vmap
def _(info, in_dims, key, chunk, inputs, constants, states):
    size, outputs = info.batch_size, lookup(key).outputs
    results = scan_op(
        key,
        chunk,
        _batched(inputs, in_dims[2], size, 1),
        _batched(constants, in_dims[3], size, 0),
        _batched(states, in_dims[4], size, 0),
    )
    k = len(states)
    return results, [1] * outputs + [0] * k + [1] * k


@adjoint_op.register_vmap
def _(info, in_dims, key, chunk, wanted, hyper, inputs, constants, kept, output_bars, state_bars):
    size = info.batch_size
    results = adjoint_op(
        key,
        chunk,
        wanted,
        hyper,
        _batched(inputs, in_dims[4], size, 1),
        _batched(constants, in_dims[5], size, 0),
        _batched(kept, in_dims[6], size, 1),
        _batched(output_bars, in_dims[7], size, 1),
        _batched(state_bars, in_dims[8], size, 0),
    )
    return results, [0] * len(kept) + [int(name.startswith("port_")) for name in wanted.split()]


# The differentiable face ----------------------------------------------------------------------------------------

SECOND = (
    "the fused kernels have first derivatives only; for second ones run the network on the torch reference: "
    "`with snnkit.neurons.use_reference(): ...`"
)


def _forward(key: str, chunk: int, split: tuple[int, int], hyper: tuple[float, ...], tensors: tuple) -> tuple:
    a, b = split
    return tuple(scan_op(key, chunk, list(tensors[:a]), list(tensors[a:b]), list(tensors[b:])))


def _setup(ctx: Any, inputs: tuple, output: tuple) -> None:
    ctx.key, ctx.chunk, ctx.split, ctx.hyper, *tensors = inputs
    states = len(tensors) - ctx.split[1]
    kept = output[len(output) - states :]
    ctx.mark_non_differentiable(*kept)
    ctx.save_for_backward(*tensors[: ctx.split[1]], *kept)


def _backward(ctx: Any, bars: tuple) -> tuple:
    definition, (a, b), saved = lookup(ctx.key), ctx.split, ctx.saved_tensors
    names = (*(f"port_{k}" for k in definition.ports), *(f"const_{k}" for k in definition.constants))
    needed = ctx.needs_input_grad[4:]
    wanted = tuple(name for name, need in zip(names, needed, strict=False) if need)
    outputs, states = definition.outputs, len(definition.states)
    found = adjoint_class(len(saved) + outputs + states).apply(
        ctx.key, ctx.chunk, " ".join(wanted), ctx.hyper, (a, b, len(saved), len(saved) + outputs),
        *saved, *bars[: outputs + states],
    )  # fmt: skip
    gradients = dict(zip(wanted, found[states:], strict=True))
    return (None, None, None, None, *(gradients.get(name) for name in names), *found[:states])


def _adjoint_forward(
    key: str, chunk: int, wanted: str, hyper: tuple[float, ...], split: tuple[int, ...], tensors: tuple
) -> tuple:
    groups = [list(tensors[lo:hi]) for lo, hi in pairwise((0, *split, len(tensors)))]
    return tuple(adjoint_op(key, chunk, wanted, list(hyper), *groups))


_TEMPLATE = """
class Scan{n}(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(key, chunk, split, hyper, {tensors}):
        return _forward(key, chunk, split, hyper, ({tensors},))

    @staticmethod
    def setup_context(ctx, inputs, output):
        _setup(ctx, inputs, output)

    @staticmethod
    def backward(ctx, *bars):
        return _backward(ctx, bars)


class Adjoint{n}(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(key, chunk, wanted, hyper, split, {tensors}):
        return _adjoint_forward(key, chunk, wanted, hyper, split, ({tensors},))

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, *bars):
        raise RuntimeError(SECOND)
"""

LARGEST = 48  # tensors of one call: ports, constants, states twice, outputs
for _n in range(2, LARGEST + 1):
    exec(_TEMPLATE.format(n=_n, tensors=", ".join(f"a{k}" for k in range(_n))))  # noqa: S102 (the text above)
_SCANS = {n: globals()[f"Scan{n}"] for n in range(2, LARGEST + 1)}
_ADJOINTS = {n: globals()[f"Adjoint{n}"] for n in range(2, LARGEST + 1)}


def adjoint_class(tensors: int) -> Any:
    return _ADJOINTS[tensors]


def scan(
    key: str,
    inputs: Sequence[Tensor],
    constants: Sequence[Tensor],
    states: Sequence[Tensor],
    hyper: Sequence[float],
    *,
    chunk: int | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run a neuron over a sequence, differentiably: inputs `[T, *S]`, constants and states `[*S]`, all alike.

    Answers the outputs `[T, *S]` and the states at the end. `chunk` is the number of steps between checkpoints;
    without gradients one is enough.
    """
    definition, x = lookup(key), inputs[0]
    if chunk is None:
        chunk = default_chunk(x.shape[0]) if torch.is_grad_enabled() else x.shape[0]
    tensors = (*inputs, *constants, *states)
    split = (len(inputs), len(inputs) + len(constants))
    found = _SCANS[len(tensors)].apply(key, chunk, split, tuple(hyper), *tensors)
    outputs, k = definition.outputs, len(definition.states)
    return list(found[:outputs]), list(found[outputs : outputs + k])
