"""Synapses with delays, and which of the kernels runs them.

    y[t, b, o] = Σ_i w[i, o] · Σ_n k_n(d[i, o]) · x[t - n, b, i]        n = 0 .. W - 1

    two taps    k_n(d) = max(0, 1 - |n - d|)
    integer     k_n(d) = [n = round(d)], with the gradient of two taps for d, which see its place between the steps
    gaussian    k_n(d) = g_n / Σ_m g_m, g_n = exp(-((n - d)/σ)²/2): mass one inside the window for every σ

Weights and delays `k in out` are k synapses from every input to every output, whose products add up. Dense kernels of taps
are summed before their product, which does not grow with k; two taps see the input k times.

All routes give the same numbers up to rounding: `events` and `lanes` (two taps), `events` and `spectral` (gaussian), and
`conv`, which is torch's own convolution and runs on every device, compiled, and with derivatives of any order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from snnkit.errors import UserError
from snnkit.kernels.delays import events as events_
from snnkit.kernels.delays import lanes as lanes_
from snnkit.kernels.delays.bells import bells, pulls
from snnkit.kernels.delays.events import Rows
from snnkit.kernels.delays.spectral import adjoint, convolve
from snnkit.kernels.dense import Look
from snnkit.kernels.transformed import transformed

FORMS = ("two-tap", "gaussian", "integer")
# Densities of events up to which scattering them beats the kernels for dense input; benchmarks/delays.py measures them.
CROSSOVER = 0.05
CROSSOVER_GAUSSIAN = 0.03
CROSSOVER_EXACT = 0.3  # where every cut of time is to give the same bits, events are worth more


class Kernel(NamedTuple):
    """How delays become taps."""

    form: str
    window: int  # W, number of steps that a spike can reach
    sigma: float = 0.0  # width of the Gaussian, in steps

    @property
    def under_way(self) -> int:
        """Steps after the end of the input in which something may still arrive."""
        return self.window - 1


def delayed(
    x: Tensor | Rows,
    weight: Tensor,
    delay: Tensor,
    kernel: Kernel,
    *,
    rows: int,
    start: Tensor | None = None,
    exact: bool = False,
    route: str | None = None,
) -> Tensor:
    """Rows 0 .. rows - 1 of the product, `rows batch out`, with gradients for x, weight, delay and start.

    Args:
        x: `T batch in`, or events.
        weight, delay: `in out`, or `k in out` for k synapses per pair; delays in steps. Outside of 0 .. longest they count as
            the nearest border, with the gradient of it, so that they can come back.
        kernel: form, window and width.
        rows: steps of the result.
        start: what is under way at the start, `steps batch out`.
        exact: keep to kernels that never let later input touch earlier output, and add in the order of time if they can.
        route: "events", "lanes", "spectral" or "conv"; chosen by density if not given.
    """
    find, density = _look(x, weight, route)
    if route is None:
        route = _choose(kernel, density, exact, weight)
    if route == "events":
        rows_of = x if isinstance(x, Rows) else find()
        dense = None if isinstance(x, Rows) or not x.requires_grad else x
        if kernel.form == "gaussian":
            return _Windows.apply(dense, *rows_of, summed_taps(weight, delay, kernel), start, rows)
        if weight.dim() == 3:
            rows_of, dense = _repeat_rows(rows_of, weight), None if dense is None else _repeat(dense, weight)
            weight, delay = weight.flatten(0, 1), delay.flatten(0, 1)
        return _Taps.apply(dense, *rows_of, weight, delay, start, kernel, rows)
    if isinstance(x, Rows):
        x = _dense(x, weight.shape[-2], weight)
    if route == "lanes":
        if weight.dim() == 3:
            x, weight, delay = _repeat(x, weight), weight.flatten(0, 1), delay.flatten(0, 1)
        return _Lanes.apply(x, weight, delay, start, kernel, rows)
    taps = summed_taps(weight, delay, kernel)
    y = convolve(x, taps, rows) if route == "spectral" else convolve_plain(x, taps, rows)
    return y if start is None else torch.cat([y[: len(start)] + start[:rows], y[len(start) :]])


def _choose(kernel: Kernel, density: float, exact: bool, weight: Tensor) -> str:
    if not _native(weight):
        return "conv"
    if kernel.form == "gaussian":
        if density <= (CROSSOVER_EXACT if exact else CROSSOVER_GAUSSIAN):
            return "events"
        return "conv" if exact else "spectral"
    return "events" if density <= (CROSSOVER_EXACT if exact else CROSSOVER) else "lanes"


def _native(weight: Tensor) -> bool:
    """Whether our own kernels run on it: a plain tensor on the CPU, outside of compiled graphs and `torch.func`."""
    plain = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64)
    return plain and not transformed()


def _look(x: Tensor | Rows, weight: Tensor, route: str | None) -> tuple[Callable[[], Rows], float]:
    """How to find the events of x, and how dense they are."""
    if isinstance(x, Rows):
        return lambda: x, len(x.indices) / max(1, (len(x.rowptr) - 1) * weight.shape[-2])
    if route is not None or not _native(weight):
        return lambda: _find(x), 1.0
    flat = x.detach().reshape(-1, x.shape[2])
    if x.dtype is not torch.float32 or not flat.numel():
        return lambda: _find(x), int(torch.count_nonzero(flat)) / max(1, flat.numel())
    look = Look(flat.contiguous())
    return lambda: Rows(*look.events(), x.shape[1]), look.density


def _find(x: Tensor) -> Rows:
    """The events of a dense `T batch in`."""
    flat = x.detach().reshape(-1, x.shape[2])
    at = flat.nonzero()
    pointers = torch.zeros(len(flat) + 1, dtype=torch.int64)
    torch.cumsum(torch.bincount(at[:, 0], minlength=len(flat)), 0, out=pointers[1:])
    return Rows(pointers, at[:, 1].int(), flat[at[:, 0], at[:, 1]], x.shape[1])


def _dense(x: Rows, channels: int, like: Tensor) -> Tensor:
    out = like.new_zeros(len(x.rowptr) - 1, channels)
    at = torch.repeat_interleave(torch.arange(len(out), device=like.device), x.rowptr.diff())
    out[at, x.indices.long()] = 1.0 if x.values is None else x.values.to(like.dtype)
    return out.view(x.steps, x.batch, channels)


def _repeat(x: Tensor, weight: Tensor) -> Tensor:
    """The channels of x once for each of the k synapses in `k in out`: `T batch k*in`."""
    return x.repeat(1, 1, len(weight))


def _repeat_rows(x: Rows, weight: Tensor) -> Rows:
    """The same for events: k in place of each, in the order of time."""
    k, channels = weight.shape[:2]
    first = channels * torch.arange(k, dtype=x.indices.dtype, device=x.indices.device)
    values = None if x.values is None else x.values.repeat_interleave(k)
    return Rows(x.rowptr * k, (x.indices.unsqueeze(1) + first).flatten(), values, x.batch)


# -- taps ---------------------------------------------------------------------------------------------------------------


def check_finite(delay: Tensor) -> None:
    """Refuse delays that training has thrown out; transforms and graphs cannot be asked."""
    if not transformed() and not bool(torch.isfinite(delay).all()):
        raise UserError("a delay is NaN or infinite; try a smaller learning rate for the delays")


def split(delay: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """Whole steps (int64) and the rest of every delay, inside of the window; the rest of an integer delay is 0 or 1."""
    check_finite(delay)
    inside = delay.detach().clamp(0, kernel.window - 2)
    whole = inside.floor()
    rest = inside - whole
    return whole.long(), (rest >= 0.5).to(rest.dtype) if kernel.form == "integer" else rest


def within(delay: Tensor, longest: int) -> Tensor:
    """The delay clamped, its gradient that of the delay itself."""
    return delay + (delay.clamp(0, longest) - delay).detach()


def parts(delay: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """As `split`, with the derivative of the rest by the delay."""
    inside = within(delay, kernel.window - 2)
    rest = inside - inside.detach().floor()
    if kernel.form == "integer":
        rest = (rest >= 0.5).to(rest.dtype) + (rest - rest.detach())
    return inside.detach().floor(), rest


def summed_taps(weight: Tensor, delay: Tensor, kernel: Kernel) -> Tensor:
    """Taps times weights as a dense kernel `W in out`; those of several synapses add up."""
    if weight.dim() == 3:
        return reduce(torch.add, (summed_taps(w, d, kernel) for w, d in zip(weight, delay, strict=True)))
    return gaussian(weight, delay, kernel) if kernel.form == "gaussian" else taps_of(weight, delay, kernel)


def taps_of(weight: Tensor, delay: Tensor, kernel: Kernel) -> Tensor:
    """Two taps (or one) as a dense kernel `W in out`, with derivatives of any order."""
    whole, rest = parts(delay, kernel)
    n = torch.arange(kernel.window, device=weight.device).view(-1, *[1] * weight.dim())
    return weight * ((n == whole) * (1 - rest) + (n == whole + 1) * rest)


def gaussian(weight: Tensor, delay: Tensor, kernel: Kernel) -> Tensor:
    """Gaussian taps times weights, `W in out`."""
    inside = within(delay, kernel.window - 1)
    if transformed():
        return weight * _shape(inside, kernel.window, kernel.sigma)[1]
    check_finite(delay)
    return _Gaussian.apply(weight, inside, kernel.window, kernel.sigma)


_PART = 1 << 20  # taps at a time, for the sake of memory


def _shape(delay: Tensor, window: int, sigma: float) -> tuple[Tensor, Tensor]:
    n = torch.arange(window, dtype=delay.dtype, device=delay.device).view(-1, *[1] * delay.dim())
    off = n - delay
    return off, torch.softmax(-0.5 * (off / sigma) ** 2, 0)


def _fast(weight: Tensor) -> bool:
    return weight.dtype is torch.float32 and weight.numel() > 0 and _native(weight)


class _Gaussian(torch.autograd.Function):
    """With r_n = n - d and the mean r of the taps:  ∂k_n/∂d = k_n·(r_n - r)/σ²."""

    @staticmethod
    def forward(weight: Tensor, delay: Tensor, window: int, sigma: float) -> Tensor:
        if _fast(weight):
            return bells(weight, delay, window, sigma)
        out = weight.new_empty(window, *weight.shape)
        step = max(1, _PART // max(1, window * weight[0].numel()))
        for k in range(0, len(weight), step):
            part = slice(k, k + step)
            torch.mul(_shape(delay[part], window, sigma)[1], weight[part], out=out[:, part])
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        weight, delay, ctx.window, ctx.sigma = inputs
        ctx.save_for_backward(weight, delay)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        weight, delay = ctx.saved_tensors
        if _fast(weight):
            return *pulls(weight, delay, grad, ctx.sigma), None, None
        dw, dd = torch.empty_like(weight), torch.empty_like(delay)
        step = max(1, _PART // max(1, ctx.window * weight[0].numel()))
        for k in range(0, len(weight), step):
            part = slice(k, k + step)
            off, taps = _shape(delay[part], ctx.window, ctx.sigma)
            pull = grad[:, part] * taps
            dw[part] = pull.sum(0)
            mean = (taps * off).sum(0)
            dd[part] = weight[part] * ((pull * off).sum(0) - mean * dw[part]) / ctx.sigma**2
        return dw, dd, None, None


def convolve_plain(x: Tensor, taps: Tensor, rows: int) -> Tensor:
    """The product by torch's convolution: rows 0 .. rows - 1, `rows batch out`, from taps `W in out`."""
    padded = F.pad(x.permute(1, 2, 0), (len(taps) - 1, max(1, rows) - len(x)))
    return F.conv1d(padded, taps.flip(0).permute(2, 1, 0)).permute(2, 0, 1)[:rows]


# -- gradients ------------------------------------------------------------------------------------------------------


def _bars(weight: Tensor, rest: Tensor, da: Tensor, dc: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of weight and delay from those of the two taps w·(1 - f) and w·f."""
    return da + rest * (dc - da), weight * (dc - da)


def _begun(start: Tensor | None, grad: Tensor) -> Tensor | None:
    """Gradient of what was under way at the start."""
    if start is None:
        return None
    missing = len(start) - len(grad)
    return F.pad(grad, (0, 0, 0, 0, 0, missing)) if missing > 0 else grad[: len(start)]


class _Taps(torch.autograd.Function):
    """Two taps on events; `x` is their dense form if it wants a gradient."""

    @staticmethod
    def forward(x, rowptr, indices, values, batch, weight, delay, start, kernel, rows) -> Tensor:
        whole, rest = split(delay, kernel)
        a, c = weight.detach(), None
        if kernel.form == "integer":
            whole = whole + rest.long()
        else:
            a, c = a * (1 - rest), a * rest
        return events_.scatter_taps(
            Rows(rowptr, indices, values, batch), a, c, whole, kernel.window, rows, start
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        x, rowptr, indices, values, ctx.batch, weight, delay, start, ctx.kernel, _ = inputs
        ctx.save_for_backward(rowptr, indices, values, weight, delay, start)
        ctx.steps = 0 if x is None else len(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        rowptr, indices, values, weight, delay, start = ctx.saved_tensors
        whole, rest = split(delay, ctx.kernel)
        dx = dw = dd = None
        if ctx.needs_input_grad[0]:
            dx = lanes_.product_input(
                grad, whole, weight * (1 - rest), weight * rest, ctx.kernel.window, ctx.steps
            )
        if ctx.needs_input_grad[5] or ctx.needs_input_grad[6]:
            found = events_.gather_taps(
                Rows(rowptr, indices, values, ctx.batch), grad, whole, ctx.kernel.window
            )
            dw, dd = _bars(weight, rest, *found)
        return dx, None, None, None, None, dw, dd, _begun(start, grad), None, None


class _Lanes(torch.autograd.Function):
    """Two taps on dense input."""

    @staticmethod
    def forward(x, weight, delay, start, kernel, rows) -> Tensor:
        whole, rest = split(delay, kernel)
        w = weight.detach()
        return lanes_.product(x, whole, w * (1 - rest), w * rest, kernel.window, rows, start)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        *tensors, ctx.kernel, _ = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x, weight, delay, start = ctx.saved_tensors
        whole, rest = split(delay, ctx.kernel)
        window, dx, dw, dd = ctx.kernel.window, None, None, None
        if ctx.needs_input_grad[0]:
            dx = lanes_.product_input(grad, whole, weight * (1 - rest), weight * rest, window, len(x))
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            dw, dd = _bars(weight, rest, *lanes_.product_taps(x, grad, whole, window))
        return dx, dw, dd, _begun(start, grad), None, None


class _Windows(torch.autograd.Function):
    """A window of taps on events; `x` is their dense form if it wants a gradient."""

    @staticmethod
    def forward(x, rowptr, indices, values, batch, taps, start, rows) -> Tensor:
        return events_.scatter_windows(Rows(rowptr, indices, values, batch), taps.detach(), rows, start)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        x, rowptr, indices, values, ctx.batch, taps, start, _ = inputs
        ctx.save_for_backward(x, rowptr, indices, values, taps, start)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x, rowptr, indices, values, taps, start = ctx.saved_tensors
        grad = grad.contiguous()
        dx = dk = None
        if ctx.needs_input_grad[0]:
            dx, _ = adjoint(x, taps, grad, (True, False))
        if ctx.needs_input_grad[5]:
            dk = events_.gather_windows(
                Rows(rowptr, indices, values, ctx.batch), grad, len(taps), taps.shape[1]
            )
        return dx, None, None, None, None, dk, _begun(start, grad), None
