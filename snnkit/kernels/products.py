"""Dense float32 products on the CPU, by whichever of torch's two libraries is the faster on this processor.

torch multiplies matrices with MKL, which on AMD's processors with AVX-512 reaches less than half of what oneDNN does
(benchmarks/linear.py: 90 against 210 GFLOP/s on a Zen 5 core). oneDNN comes with torch too, behind the operator that
compiled graphs use for linear layers. Which one runs depends on the processor and on nothing else. Neither rounds to a
shorter format.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


@lru_cache(maxsize=1)
def _operator() -> Any:
    """oneDNN's linear layer, or None where MKL is as fast or there is none."""
    operator = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if operator is None or not torch.backends.mkldnn.is_available():
        return None
    return operator if _slow_for_mkl() and _answers(operator) else None


def _slow_for_mkl() -> bool:
    try:
        vendor = "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="utf-8")[:1000]
    except OSError:
        return False
    return (
        vendor and torch.backends.mkl.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
    )


def _answers(operator: Any) -> bool:
    """The operator is not part of torch's documented interface: it is asked once, and left alone if it has changed."""
    a, b = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3)
    try:
        return torch.equal(operator(a, b, None, "none", [], ""), a @ b.t())
    except (RuntimeError, TypeError):
        return False


def provider() -> str:
    """The library that multiplies float32 matrices on the CPU: "oneDNN", or "torch" for its own choice."""
    return "oneDNN" if _operator() is not None else "torch"


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias` for float32 matrices on the CPU, `R in` and `out in` of any strides, without gradients."""
    x, weight = x.detach(), weight.detach()
    bias = None if bias is None else bias.detach()
    operator = _operator()
    if operator is None or x.numel() == 0 or weight.numel() == 0:
        return torch.nn.functional.linear(x, weight, bias)
    return operator(x, weight, bias, "none", [], "")


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` for matrices, likewise; what is not float32 on the CPU is left to torch."""
    if a.dtype is torch.float32 and a.device.type == "cpu":
        return linear(a, b.t())
    return a.detach() @ b.detach()


_SMALL = 1 << 21  # multiplications below which a call of oneDNN's operator costs more than it gains


def matmuls(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """`a @ b` for stacks of matrices, `S M K` and `S K N`, likewise, into `out`."""
    many = a.shape[1] * a.shape[2] * b.shape[2] >= _SMALL
    if many and a.dtype is torch.float32 and a.device.type == "cpu" and _operator() is not None:
        for x, y, z in zip(a, b.mT, out, strict=True):
            z.copy_(linear(x, y))
        return out
    return torch.bmm(a.detach(), b.detach(), out=out)


# -- with derivatives -------------------------------------------------------------------------------------------------


@torch.library.custom_op("snnkit::matmul", mutates_args=(), device_types="cpu")
def _matmul(a: Tensor, b: Tensor) -> Tensor:
    return matmul(a, b)


@_matmul.register_fake
def _(a, b):
    return a.new_empty(a.shape[0], b.shape[1])


def forward_mode() -> bool:
    """Whether forward-mode differentiation runs. What is kept for it stays in memory even under checkpointing, so not
    otherwise; a torch that does not tell keeps it."""
    return getattr(torch.autograd.forward_ad, "_current_level", 0) >= 0


def in_front(x: Tensor, axis: int | None) -> Tensor:
    """The axis of vmap in front, of length one where x has none."""
    return x.unsqueeze(0) if axis is None else x.movedim(axis, 0)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(a: Tensor, b: Tensor) -> Tensor:
        return _matmul(a, b)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        if forward_mode():
            ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        a, b = ctx.saved_tensors
        da = _Product.apply(grad, b.t()) if ctx.needs_input_grad[0] else None
        return da, _Product.apply(a.t(), grad) if ctx.needs_input_grad[1] else None

    @staticmethod
    def jvp(ctx: Any, a_t: Any, b_t: Any) -> Tensor:
        a, b = ctx.saved_tensors
        parts = ([] if a_t is None else [a_t @ b]) + ([] if b_t is None else [a @ b_t])
        return sum(parts[1:], parts[0])

    @staticmethod
    def vmap(info: Any, in_dims: Any, a: Tensor, b: Tensor) -> tuple:
        """Many products at once are torch's."""
        return in_front(a, in_dims[0]) @ in_front(b, in_dims[1]), 0


def product(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` for two float32 matrices on the CPU, with derivatives of any order, forward and backward."""
    return _Product.apply(a, b)
