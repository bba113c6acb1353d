"""Hebbian subspaces: lateral neurons that learn what activity spans, and weights that change only outside of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from snnkit.errors import UserError


class HebbianSubspace(nn.Module):
    """The subspace of past activity, learned by local rules (Oja 1989; Xiao et al. 2024, ICLR, "HLOP").

        y = H·x        x̂ = Hᵀ·y        ΔH = y·(x - x̂)ᵀ  (mean over the batch, clamped)        m ← 0.9 m + 0.1 ΔH        H ← H + η·m

    y·xᵀ is Hebbian and -y·x̂ᵀ anti-Hebbian. Rows of earlier tasks are `frozen`, and take part in x̂, so the rows that learn
    become orthogonal to them. η is `rate` / E|x|², so that it does not depend on the scale of the activity.

    Args:
        size: N, length of the activity.
        rate: step relative to the mean square of the activity.
        passes: Hebbian steps per batch.
        limit: clamp of ΔH, in units of E|x|².
    """

    frozen: Tensor
    learning: Tensor
    momentum: Tensor

    def __init__(self, size: int, *, rate: float = 0.5, passes: int = 5, limit: float = 1.0):
        super().__init__()
        if size < 1 or not (rate > 0 and passes >= 1 and limit > 0):
            raise UserError(
                f"HebbianSubspace needs size, passes >= 1 and rate, limit > 0; got {size}, {passes}, {rate:g}, {limit:g}"
            )
        self.size, self.rate, self.passes, self.limit = size, rate, passes, limit
        for name in ("frozen", "learning", "momentum"):
            self.register_buffer(name, torch.zeros(0, size))

    def grow(self, rows: int, generator: torch.Generator | None = None) -> None:
        """Keep what was learned and begin `rows` new lateral neurons, orthogonal to it and to each other."""
        frozen = torch.cat([self.frozen, self.learning])
        if len(frozen) + rows > self.size:
            raise UserError(f"{len(frozen)} rows are taken of {self.size}; {rows} more do not fit")
        new = torch.randn(rows, self.size, generator=generator)
        new -= (new @ frozen.t()) @ frozen
        self.frozen, self.learning = frozen, torch.linalg.qr(new.t()).Q.t().contiguous()
        self.momentum = torch.zeros_like(self.learning)

    @torch.no_grad()
    def learn(self, x: Tensor) -> None:
        """Hebbian steps on a batch of activity, (B, N)."""
        if x.dim() != 2 or x.shape[1] != self.size:
            raise UserError(
                f"expected activity B {self.size}, got {tuple(x.shape)}; of a sequence T B N take x.flatten(0, 1) or a mean over time"
            )
        if not len(self.learning):
            return
        power = x.square().sum(1).mean().clamp_min(1e-12)
        rest = x - (x @ self.frozen.t()) @ self.frozen
        for _ in range(self.passes):
            y = x @ self.learning.t()
            change = y.t() @ (rest - y @ self.learning) / (len(x) * power)
            self.momentum = 0.9 * self.momentum + 0.1 * change.clamp(-self.limit, self.limit)
            self.learning = self.learning + self.rate * self.momentum

    def outside(self, x: Tensor) -> Tensor:
        """The part of x (..., N) that is not in the subspace of the frozen rows."""
        return x - (x @ self.frozen.t()) @ self.frozen if len(self.frozen) else x

    @property
    def rows(self) -> Tensor:
        """Frozen and learning rows, (M, N)."""
        return torch.cat([self.frozen, self.learning])


class _Shielded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, outside: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(outside, weight)
        return x @ weight.t()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, Tensor]:
        outside, weight = ctx.saved_tensors
        dx = grad @ weight if ctx.needs_input_grad[0] else None
        return dx, None, grad.flatten(0, -2).t() @ outside.flatten(0, -2)


class ShieldedLinear(nn.Module):
    """All-to-all synapses without bias whose weights change only outside the subspace of past input.

        y = W·x        dL/dW = Σ δ·(x - HᵀH·x)ᵀ

    The forward pass and the gradient of x are those of `Linear`. Train it by plain gradient descent: momentum, weight
    decay or a step per coordinate (Adam) leave the subspace again.

    Args:
        n_in, n_out: number of input and output channels.
        generator: random numbers for the weights.
        options: of `HebbianSubspace`, at `subspace`.

    Shapes: `T B n_in` to `T B n_out`.
    """

    def __init__(self, n_in: int, n_out: int, *, generator: torch.Generator | None = None, **options: Any):
        super().__init__()
        bound = (3 / n_in) ** 0.5
        self.weight = nn.Parameter(torch.empty(n_out, n_in).uniform_(-bound, bound, generator=generator))
        self.subspace = HebbianSubspace(n_in, **options)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.weight.shape[1]:
            raise UserError(f"expected x of shape T B {self.weight.shape[1]}, got {tuple(x.shape)}")
        outside = self.subspace.outside(x.detach())
        return _Shielded.apply(x, outside, self.weight)
