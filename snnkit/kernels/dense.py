"""Products with dense tensors that are mostly zero, such as the spikes between the layers of a network.

    y = x · Wᵀ + bias        dW = gᵀ · x        x: R in   W: out in   g: R out

A look at the input decides. Below a crossover the spikes are found and the product is event-driven (sparse.py), with work
in proportion to the spikes; above it, and for real-valued input, it is a dense product. On request that
runs in terms of bfloat16, in which spikes and small counts are exact and a float32 weight is the sum of three terms. The
gradient of the input has no zeros to leave out and is always a dense product.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from snnkit.kernels import lease, products
from snnkit.kernels.sparse import gather_rows, jit, run_pieces, scatter_rows

# Parts of the input that may be non-zero for the event-driven products, found by looking; benchmarks/linear.py measures
# where they meet the dense ones.
CROSSOVER = 0.10  # y
CROSSOVER_WEIGHT = 0.08  # dW
CROSSOVER_ONEDNN = 0.06  # both, where dense products are twice as fast (products.py)
SMALLEST = 1 << 22  # multiply-adds below which a look at the input is not worth it
_PROBES = 16  # rows looked at before all of them are


@jit
def _look(bits, first, last, counts, ones, low):
    """Per row of float32 bits: how many are not zero, how many are one, and all bits that bfloat16 lacks."""
    for r in range(first, last):
        row = bits[r]
        found, plain, rest = np.int32(0), np.int32(0), np.int32(0)
        for j in range(len(row)):
            found += np.int32((row[j] & np.int32(0x7FFFFFFF)) != 0)
            plain += np.int32(row[j] == np.int32(0x3F800000))
            rest |= row[j] & np.int32(0xFFFF)
        counts[r], ones[r], low[r] = found, plain, rest


@jit
def _find(bits, x, pointers, first, last, indices, values):
    """Where the rows are not zero, in order, and unless `values` is None, what is there."""
    n = bits.shape[1]
    for r in range(first, last):
        row, k, end = bits[r], pointers[r], pointers[r + 1]
        j = 0
        while k < end:
            stop = min(j + 32, n)
            some = np.int32(0)
            for i in range(j, stop):
                some |= row[i]
            if some != 0:
                for i in range(j, stop):
                    if row[i] & np.int32(0x7FFFFFFF) != 0:  # minus zero is zero
                        indices[k] = i
                        if values is not None:
                            values[k] = x[r, i]
                        k += 1
            j = stop


class Look:
    """What a matrix `R in` is made of: `density` of what is not zero, and whether it is `exact` in bfloat16."""

    def __init__(self, x: Tensor):
        self.x = x
        rows, n = x.shape
        self.density, self.exact, self.spikes_only = 1.0, False, False
        bits = x.numpy().view(np.int32)
        some = np.ascontiguousarray(bits[:: max(1, rows // _PROBES)][:_PROBES])
        counts, _, low = self._rows(some)
        if low.any() and counts.sum() > 2 * CROSSOVER * some.size:
            return  # real numbers: the rest need not be looked at
        self.counts, ones, low = self._rows(bits)
        found = int(self.counts.sum())
        self.density = found / max(1, rows * n)
        self.exact = not low.any()
        self.spikes_only = int(ones.sum()) == found

    @staticmethod
    def _rows(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, n = bits.shape
        counts, ones, low = (np.empty(rows, np.int32) for _ in range(3))
        run_pieces(np.arange(rows + 1) * (n // 16), 1, lambda a, b: _look(bits, a, b, counts, ones, low))
        return counts, ones, low

    def events(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Row pointers, indices, and values unless all are one."""
        x, bits = self.x.numpy(), self.x.numpy().view(np.int32)
        pointers = np.zeros(len(x) + 1, np.int64)
        np.cumsum(self.counts, out=pointers[1:])
        indices = lease.empty((int(pointers[-1]),), torch.int32)
        values = None if self.spikes_only else lease.empty((len(indices),), torch.float32)
        i, v = indices.numpy(), None if values is None else values.numpy()
        cost = np.arange(len(x) + 1) * (x.shape[1] // 8)
        run_pieces(cost, 1, lambda a, b: _find(bits, x, pointers, a, b, i, v))
        return torch.from_numpy(pointers), indices, values


# -- bfloat16 terms ---------------------------------------------------------------------------------------------------

_switch = threading.Lock()


def bf16_units() -> str:
    """The processor's matrix or vector units for bfloat16: "amx_bf16", "avx512_bf16", or "" for none that we know."""
    try:
        has = torch.cpu.get_capabilities()
    except (AttributeError, RuntimeError):
        return ""
    return next((unit for unit in ("amx_bf16", "avx512_bf16") if has.get(unit)), "")


def can_split() -> bool:
    """Whether products in bfloat16 terms run on this machine: the units, and a torch that lets us ask for them."""
    return bool(bf16_units()) and hasattr(getattr(torch.backends.mkldnn, "matmul", None), "fp32_precision")


@contextmanager
def _bf16_inside() -> Iterator[None]:
    """torch's switch for float32 products whose factors are rounded to bfloat16; it holds for the whole process."""
    matmul: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    with _switch:
        before = matmul.fp32_precision
        matmul.fp32_precision = "bf16"
        try:
            yield
        finally:
            matmul.fp32_precision = before


def split(weight: Tensor, terms: int) -> list[Tensor]:
    """float32 numbers that are exact in bfloat16, the largest first, and sum up to `weight` nearly or, for three, fully."""
    parts = []
    for _ in range(terms):
        part = weight.bfloat16().float()
        parts.append(part)
        weight = weight - part
    return parts


def split_linear(x: Tensor, weight: Tensor, bias: Tensor | None, terms: int) -> Tensor:
    """`x @ weight.T + bias` for x exact in bfloat16, as products of bfloat16 summed in float32, small terms first."""
    parts = split(weight.detach(), terms)
    with _bf16_inside():
        y = F.linear(x, parts.pop())
        while parts:
            y.addmm_(x, parts.pop().t())
    return y if bias is None else y.add_(bias)


def limits() -> tuple[float, float]:
    """Densities up to which products are event-driven on this machine: of y, and of dW."""
    highest = 1.0 if products.provider() == "torch" else CROSSOVER_ONEDNN
    return min(CROSSOVER, highest), min(CROSSOVER_WEIGHT, highest)


# -- operators --------------------------------------------------------------------------------------------------------


@torch.library.custom_op("snnkit::spike_linear", mutates_args=(), device_types="cpu")
def _spike_linear(x: Tensor, weight: Tensor, bias: Tensor | None, terms: int) -> Tensor:
    x = x.detach().contiguous()
    look = Look(x)
    if look.density <= limits()[0]:
        return gather_rows(*look.events(), weight, bias)
    if terms and look.exact and can_split():
        return split_linear(x, weight, bias, terms)
    return products.linear(x, weight, bias)


@_spike_linear.register_fake
def _(x, weight, bias, terms):
    return x.new_empty(x.shape[0], weight.shape[0])


@torch.library.custom_op("snnkit::spike_linear_weight", mutates_args=(), device_types="cpu")
def _spike_linear_weight(x: Tensor, grad: Tensor) -> Tensor:
    x = x.detach().contiguous()
    look = Look(x)
    if look.density <= limits()[1]:
        return scatter_rows(*look.events(), grad, x.shape[1])
    return products.matmul(grad.t(), x)


@_spike_linear_weight.register_fake
def _(x, grad):
    return x.new_empty(grad.shape[1], x.shape[1])


class _SpikeLinear(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, terms: int) -> Tensor:
        return _spike_linear(x, weight, bias, terms)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        if products.forward_mode():
            ctx.save_for_forward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x, weight = ctx.saved_tensors
        dx = products.product(grad, weight) if ctx.needs_input_grad[0] else None
        dw = _SpikeLinearWeight.apply(x, grad) if ctx.needs_input_grad[1] else None
        return dx, dw, grad.sum(0) if ctx.needs_input_grad[2] else None, None

    @staticmethod
    def jvp(ctx: Any, x_t: Any, weight_t: Any, bias_t: Any, _: Any) -> Tensor:
        x, weight = ctx.saved_tensors
        parts = [] if x_t is None else [F.linear(x_t, weight)]
        parts += [] if weight_t is None else [F.linear(x, weight_t)]
        parts += [] if bias_t is None else [bias_t.expand(len(x), len(weight))]
        return sum(parts[1:], parts[0])

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, weight: Tensor, bias: Tensor | None, terms: int) -> tuple:
        """Many products at once are torch's."""
        y = products.in_front(x, in_dims[0]) @ products.in_front(weight, in_dims[1]).transpose(-1, -2)
        if bias is not None:
            y = y + products.in_front(bias, in_dims[2]).unsqueeze(-2)
        return y, 0


class _SpikeLinearWeight(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, grad: Tensor) -> Tensor:
        return _spike_linear_weight(x, grad)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        if products.forward_mode():
            ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad_weight: Tensor) -> tuple:
        x, grad = ctx.saved_tensors
        dx = products.product(grad, grad_weight) if ctx.needs_input_grad[0] else None
        return dx, _SpikeLinear.apply(x, grad_weight, None, 0) if ctx.needs_input_grad[1] else None

    @staticmethod
    def jvp(ctx: Any, x_t: Any, grad_t: Any) -> Tensor:
        x, grad = ctx.saved_tensors
        parts = ([] if x_t is None else [grad.t() @ x_t]) + ([] if grad_t is None else [grad_t.t() @ x])
        return sum(parts[1:], parts[0])

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, grad: Tensor) -> tuple:
        return products.in_front(grad, in_dims[1]).transpose(-1, -2) @ products.in_front(x, in_dims[0]), 0


def spike_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, terms: int = 0) -> Tensor:
    """`x @ weight.T + bias` by whichever product is faster for what x holds.

    Args:
        x: `R in`.
        weight: `out in`.
        bias: `out` or None.
        terms: above the crossover, products of so many bfloat16 terms where x is exact in bfloat16 and the processor has
            units for them: 3 for float32 rounding, 2 for errors of about 5e-6 of the largest result, 0 for none.

    Anything but float32 on the CPU, products too small to be worth a look, and compiled graphs are torch's own. The result
    has derivatives of any order, forward and backward, for x, weight and bias.
    """
    plain = all(t.dtype is torch.float32 and t.device.type == "cpu" for t in (x, weight))
    work = x.shape[0] * x.shape[1] * weight.shape[0]
    if not plain or work < SMALLEST or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return F.linear(x, weight, bias)
    return _SpikeLinear.apply(x, weight, bias, terms)
