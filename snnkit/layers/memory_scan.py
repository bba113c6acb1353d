"""The sequence of a spiking Legendre memory in one pass forward and one backward, with the products of several weights joined.

    v_u = β_u·v_u + E_x x + E_h h + E_m m - θ_u·u      u = [v_u >= θ_u]
    v_m = β_m·v_m + Ā m + B̄ u - θ_m·m                  m = [v_m >= θ_m]
    v_h = β_h·v_h + W_x x + W_h h + W_m m - θ_h·h      h = [v_h >= θ_h]

The gradient is that of the steps one after another: a spike has the derivative of the surrogate, and carries on through weights
and resets. Gradients of weights are one product over all steps and samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snnkit.neurons.surrogate import Surrogate

Slope = Callable[[Tensor], Tensor]


class Cell(NamedTuple):
    """What the equations take, all of one precision; β and θ are numbers in tensors `()`."""

    E_x: Tensor
    E_h: Tensor
    E_m: Tensor
    W_x: Tensor
    W_h: Tensor
    W_m: Tensor
    A: Tensor
    B: Tensor
    beta_u: Tensor
    theta_u: Tensor
    beta_m: Tensor
    theta_m: Tensor
    beta_h: Tensor
    theta_h: Tensor


class Rest(NamedTuple):
    """Where a sequence begins: spikes h `B H` and m `B M D`, and the charged membranes."""

    h: Tensor
    m: Tensor
    v_u: Tensor
    v_m: Tensor
    v_h: Tensor


class Run(NamedTuple):
    """What happened in every step: spikes and charged membranes of the three populations, `T B ...`."""

    u: Tensor
    m: Tensor
    h: Tensor
    v_u: Tensor
    v_m: Tensor
    v_h: Tensor


@torch.no_grad()
def run(x: Tensor, start: Rest, cell: Cell) -> Run:
    """All steps of `x`, `T B N`."""
    T, M = len(x), start.m.shape[1]
    from_x = torch.cat([cell.E_x, cell.W_x]).t().contiguous()
    from_h = torch.cat([cell.E_h, cell.W_h]).t().contiguous()
    from_m = torch.cat([cell.E_m, cell.W_m]).t().contiguous()
    memory, row = cell.A.t().contiguous(), cell.B
    kept = Run(*(v.new_empty(T, *v.shape) for v in (*start[2:], *start[2:])))
    v_u, v_m, v_h = start[2:]
    u, m, h = (v_u >= cell.theta_u).to(x.dtype), start.m, start.h
    reset_m, reset_h = (v_m >= cell.theta_m).to(x.dtype), (v_h >= cell.theta_h).to(x.dtype)
    sent = m.flatten(1) @ from_m
    for t in range(T):
        both = torch.mm(h, from_h).addmm_(x[t], from_x)
        v_u = _charge(v_u, both[:, :M] + sent[:, :M], u, cell.beta_u, cell.theta_u, kept.v_u[t])
        u = torch.ge(v_u, cell.theta_u, out=kept.u[t])
        current = torch.matmul(m, memory).addcmul_(u.unsqueeze(-1), row)
        v_m = _charge(v_m, current, reset_m, cell.beta_m, cell.theta_m, kept.v_m[t])
        m = reset_m = torch.ge(v_m, cell.theta_m, out=kept.m[t])
        sent = torch.mm(m.flatten(1), from_m)
        v_h = _charge(v_h, both[:, M:] + sent[:, M:], reset_h, cell.beta_h, cell.theta_h, kept.v_h[t])
        h = reset_h = torch.ge(v_h, cell.theta_h, out=kept.h[t])
    return kept


def _charge(v: Tensor, current: Tensor, spikes: Tensor, beta: Tensor, theta: Tensor, out: Tensor) -> Tensor:
    """β·v + current - θ·spikes, with subnormal numbers taken for 0 as everywhere."""
    current.addcmul_(v, beta).addcmul_(spikes, theta, value=-1)
    return torch.hardshrink(current, torch.finfo(v.dtype).tiny, out=out)


def unroll(x: Tensor, start: Rest, cell: Cell, surrogates: tuple[Surrogate, ...]) -> tuple[Tensor, Rest]:
    """Spikes of the hidden population `T B H` and the state at the end, with gradients for everything but the surrogates."""
    slopes = tuple(_slope(s) for s in surrogates)
    h, m, v_u, v_m, v_h = _Unrolled.apply(slopes, x, *start, *cell)
    return h, Rest(h[-1], m, v_u, v_m, v_h)


def _slope(surrogate: Surrogate) -> Slope:
    return lambda u: surrogate.derivative(u, *surrogate.hyper)


class _Unrolled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, slopes: tuple[Slope, Slope, Slope], x: Tensor, *values: Tensor
    ) -> tuple[Tensor, ...]:
        start, cell = Rest(*values[:5]), Cell(*values[5:])
        kept = run(x, start, cell)
        ctx.slopes = slopes
        ctx.save_for_backward(x, *values, *kept)
        return kept.h, *(last[-1].clone() for last in (kept.m, kept.v_u, kept.v_m, kept.v_h))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        x, start, cell, kept = saved[0], Rest(*saved[1:6]), Cell(*saved[6:20]), Run(*saved[20:])
        at_v, at_start = _back(start, cell, kept, ctx.slopes, grads)
        g_u, _, g_h = at_v
        g_x = g_u @ cell.E_x + g_h @ cell.W_x if ctx.needs_input_grad[1] else None
        return None, g_x, *at_start, *_weights(x, start, cell, kept, at_v, ctx.slopes, grads[2:])


def _back(
    start: Rest, cell: Cell, kept: Run, slopes: tuple[Slope, ...], grads: tuple[Tensor, ...]
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, ...]]:
    """Gradients of the charged membranes in every step, and of the state at the beginning."""
    g_out, g_last = grads[0], grads[1:]
    slope = [f(v - th) for f, v, th in zip(slopes, kept[3:], cell[9::2], strict=True)]
    g_v = tuple(torch.empty_like(v) for v in kept[3:])
    (beta_u, theta_u), (beta_m, theta_m), (beta_h, theta_h) = (cell[8:10], cell[10:12], cell[12:14])
    n_u, n_m, n_h = (torch.zeros_like(v[0]) for v in kept[3:])  # of the step behind
    to_m, to_h = g_last[0].clone(), torch.zeros_like(g_out[0])  # what later steps want of these spikes
    extra = [g.clone() for g in g_last[1:]]  # what whoever goes on wants of the last membranes
    for t in range(len(g_out) - 1, -1, -1):
        s_h = to_h.add_(g_out[t]).addcmul_(n_h, theta_h, value=-1)
        n_h = torch.addcmul(n_h * beta_h, slope[2][t], s_h, out=g_v[2][t])
        n_h = n_h.add_(extra[2]) if extra else n_h
        s_m = to_m.flatten(1).addmm(n_h, cell.W_m).view_as(n_m).addcmul_(n_m, theta_m, value=-1)
        n_m = torch.addcmul(n_m * beta_m, slope[1][t], s_m, out=g_v[1][t])
        n_m = n_m.add_(extra[1]) if extra else n_m
        s_u = torch.matmul(n_m, cell.B).addcmul_(n_u, theta_u, value=-1)
        n_u = torch.addcmul(n_u * beta_u, slope[0][t], s_u, out=g_v[0][t])
        n_u = n_u.add_(extra[0]) if extra else n_u
        to_m = torch.matmul(n_m, cell.A).flatten(1).addmm_(n_u, cell.E_m).view_as(n_m)
        to_h = torch.mm(n_h, cell.W_h).addmm_(n_u, cell.E_h)
        extra = []
    first = [
        n * b - f(v - th) * (n * th)
        for n, v, f, b, th in zip((n_u, n_m, n_h), start[2:], slopes, cell[8::2], cell[9::2], strict=True)
    ]
    return (g_v[0], g_v[1], g_v[2]), (to_h, to_m, *first)


def _weights(
    x: Tensor,
    start: Rest,
    cell: Cell,
    kept: Run,
    g_v: tuple[Tensor, ...],
    slopes: tuple[Slope, ...],
    g_last: tuple[Tensor, ...],
) -> list[Tensor]:
    """Gradients in the order of `Cell`."""
    before_h = torch.cat([start.h.unsqueeze(0), kept.h[:-1]])
    before_m = torch.cat([start.m.unsqueeze(0), kept.m[:-1]])
    g_u, g_m, g_h = (g.flatten(0, 1) for g in g_v)  # rows
    wide = before_m.flatten(0, 1)
    found = [g_u.t() @ x.flatten(0, 1), g_u.t() @ before_h.flatten(0, 1), g_u.t() @ wide.flatten(1)]
    found += [
        g_h.t() @ x.flatten(0, 1),
        g_h.t() @ before_h.flatten(0, 1),
        g_h.t() @ kept.m.flatten(0, 1).flatten(1),
    ]
    found.append(g_m.flatten(0, 1).t() @ wide.flatten(0, 1))
    found.append((g_m * kept.u.flatten(0, 1).unsqueeze(-1)).sum((0, 1)))
    parts = zip(g_v, kept[:3], kept[3:], start[2:], slopes, cell[8::2], cell[9::2], g_last, strict=True)
    for g, spikes, v, v0, slope, beta, theta, last in parts:
        first = (v0 >= theta).to(v.dtype)
        g_beta = (g[1:] * v[:-1]).sum() + (g[0] * v0).sum()
        g_theta = -(g[1:] * spikes[:-1]).sum() - (g[0] * first).sum()
        # θ also stands in s = [v >= θ], worth as much as the part of v's gradient that came through the spikes, negated.
        through = g.sum() - beta * g[1:].sum() - last.sum()
        g_theta = g_theta - through + (slope(v0 - theta) * (g[0] * theta)).sum()
        found += [g_beta, g_theta]
    return found
