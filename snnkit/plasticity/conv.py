"""Local learning in convolutions, where all places of a map share a kernel."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snnkit.encoders.values import spikes_to_events
from snnkit.errors import UserError
from snnkit.events import EventTensor

ms = 1e-3


class ConvSTDP(nn.Module):
    """Convolution of integrate-and-fire neurons that fire at most once, with winner-take-all STDP (Kheradpisheh et al. 2018,
    Neural Networks 99:56).

        v ← v + Σ w·s        spike at v >= threshold, once        Δw = A₊·w(1-w) if the input fired by then, else -A₋·w(1-w)

    A spike silences the other maps at its place for the rest of the sample; of maps that reach the threshold in one
    step, that with the highest potential fires. Per sample up to `winners` spikes teach, the earliest first (then the highest
    potential): one per map, and none within `radius` places of a winner before it. Input fires at most
    once in the paper (latency code); later spikes of an input add to v, and only its first counts for learning.

    Args:
        n_in, n_maps: input channels and maps.
        kernel_size: side of the kernels.
        threshold: in the unit of the weights, which begin normal with mean 0.8 and deviation 0.05.
        stride, padding: as in `Conv2d`.
        winners, radius: of a sample.
        a_plus, a_minus: A₊, A₋. The paper doubles both every 500 images, up to A₊ = 0.15: see `with_rates`.
        generator: random numbers for the weights.

    Shapes: `T B n_in H W` to `T B n_maps H' W'`; `weight` is `n_maps n_in k k`.

    >>> layer = ConvSTDP(2, 8, 5, threshold=10.0)
    >>> layer(torch.zeros(4, 1, 2, 12, 12)).shape
    (4, 1, 8, 8, 8)
    """

    weight: Tensor

    def __init__(
        self,
        n_in: int,
        n_maps: int,
        kernel_size: int,
        *,
        threshold: float,
        stride: int = 1,
        padding: int = 0,
        winners: int = 1,
        radius: int = 0,
        a_plus: float = 0.004,
        a_minus: float = 0.003,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        whole = {
            "n_in": n_in,
            "n_maps": n_maps,
            "kernel_size": kernel_size,
            "stride": stride,
            "winners": winners,
        }
        wrong = [f"{k}={v!r}" for k, v in whole.items() if v < 1]
        wrong += [f"{k}={v!r}" for k, v in {"padding": padding, "radius": radius}.items() if v < 0]
        wrong += [] if threshold > 0 else [f"threshold={threshold!r}"]
        if wrong:
            raise UserError(
                f"ConvSTDP needs sizes, stride and winners >= 1, padding and radius >= 0, threshold > 0; got {', '.join(wrong)}"
            )
        self.stride, self.padding, self.threshold = stride, padding, threshold
        self.winners, self.radius = winners, radius
        self.rates = _rates(a_plus, a_minus)
        weight = 0.8 + 0.05 * torch.randn(n_maps, n_in, kernel_size, kernel_size, generator=generator)
        self.register_buffer("weight", weight.clamp(0.0, 1.0))

    def forward(self, x: Any) -> EventTensor:
        """Spikes of all maps."""
        from snnkit.kernels import conv_stdp

        ev, (steps, batch, *_), (rows, columns) = self._seen(x)
        when = np.empty((batch, rows, columns), np.int64)
        who = np.zeros_like(when)
        conv_stdp.fire(*self._arguments(ev), when, who)
        b, y, x_ = np.nonzero(when >= 0)
        maps = len(self.weight)
        place = ((b * maps + who[b, y, x_]) * rows + y) * columns + x_
        order = np.argsort(place)
        return spikes_to_events(
            when[b, y, x_][order], place[order], steps=steps, shape=(batch, maps, rows, columns), dt=ev.dt
        )

    def learn(self, x: Any) -> ConvSTDP:
        """A new layer with the weights that the samples leave, one after another."""
        from snnkit.kernels import conv_stdp

        ev, _, (rows, columns) = self._seen(x)
        arguments = self._arguments(ev)
        conv_stdp.learn(*arguments, rows, columns, self.winners, self.radius, self.rates)
        learned = copy.deepcopy(self)
        learned.weight = torch.from_numpy(arguments[4]).permute(3, 0, 1, 2).to(self.weight).contiguous()
        return learned

    def with_rates(self, a_plus: float, a_minus: float) -> ConvSTDP:
        """A new layer that learns faster or slower."""
        other = copy.deepcopy(self)
        other.rates = _rates(a_plus, a_minus)
        return other

    def extra_repr(self) -> str:
        maps, n_in, kernel, _ = self.weight.shape
        return f"{n_in}, {maps}, {kernel}, threshold={self.threshold:g}, stride={self.stride}, padding={self.padding}"

    def _seen(self, x: Any) -> tuple[EventTensor, tuple[int, ...], tuple[int, int]]:
        ev = _binary(x)
        n_in, kernel = self.weight.shape[1:3]
        if len(ev.shape) != 5 or ev.shape[2] != n_in or min(ev.shape[3:]) + 2 * self.padding < kernel:
            raise UserError(
                f"expected input T B {n_in} H W of at least {kernel} x {kernel} pixels, got {tuple(ev.shape)}"
            )
        rows, columns = (_places(n, kernel, self.stride, self.padding) for n in ev.shape[3:])
        return ev, ev.shape, (rows, columns)

    def _arguments(self, ev: EventTensor) -> tuple[Any, ...]:
        w = self.weight.detach().cpu().permute(1, 2, 3, 0).double().contiguous().numpy().copy()
        first = np.empty(ev.shape[2:], np.int64)
        sizes = (ev.shape[1], ev.shape[0])
        return (*_arrays(ev), *sizes, w, float(self.threshold), self.stride, self.padding, first)


def conv_pair_stdp(
    pre: Any,
    post: Any,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int = 0,
    a_plus: float = 0.01,
    a_minus: float = 0.0105,
    tau_plus: float = 20 * ms,
    tau_minus: float = 20 * ms,
) -> Tensor:
    """The change that pair STDP asks of a shared kernel: the sum of what it asks at all places, steps and samples.

        Δw = Σ A₊·x at post spikes - Σ A₋·y at pre spikes

    x and y are traces of pre and post spikes as in `pair_stdp` (all-to-all, additive): a pair k steps apart reads exp(-k·dt/τ), a pair
    in one step nothing. Add it to the weight of a `Conv2d` in between, and clip as you like.

    Args:
        pre, post: spikes `T B C H W` and `T B M H' W'`, an EventTensor or dense with the other one's dt.
        kernel_size, stride, padding: of the convolution.
        a_plus, a_minus: A₊, A₋.
        tau_plus, tau_minus: time constants of x and y [s].

    Returns:
        `M C k k`, as `Conv2d.weight`.
    """
    from snnkit.kernels import conv_stdp

    dts = {e.dt for e in (pre, post) if isinstance(e, EventTensor)}
    if len(dts) != 1:
        raise UserError(
            f"pre and post have to agree in dt, one of them at least an EventTensor; got dt {sorted(dts) or 'nowhere'}"
        )
    dt = dts.pop()
    before, after = _binary(pre, dt), _binary(post, dt)
    wanted = tuple(_places(n, kernel_size, stride, padding) for n in before.shape[3:])
    if len(before.shape) != 5 or after.shape[:2] != before.shape[:2] or after.shape[3:] != wanted:
        raise UserError(
            f"with kernel {kernel_size}, stride {stride}, padding {padding} the spikes {tuple(before.shape)} are followed by "
            f"{(*before.shape[:2], 'M', *wanted)}, got {tuple(after.shape)}"
        )
    keep = np.array([math.exp(-dt / tau) for tau in (tau_plus, tau_minus)])
    maps, rows, columns = after.shape[2:]
    x, y = np.empty(before.shape[2:]), np.empty((rows, columns, maps))
    dw = np.zeros((before.shape[2], kernel_size, kernel_size, maps))
    sizes = (before.shape[1], before.shape[0], stride, padding)
    conv_stdp.pairs(*_arrays(before), *_arrays(after), *sizes, _rates(a_plus, a_minus), keep, x, y, dw)
    return torch.from_numpy(dw).permute(3, 0, 1, 2).to(torch.get_default_dtype()).contiguous()


def _rates(a_plus: float, a_minus: float) -> np.ndarray:
    if not (math.isfinite(a_plus) and math.isfinite(a_minus)):
        raise UserError(f"learning rates are finite numbers, got {a_plus!r} and {a_minus!r}")
    return np.array([a_plus, a_minus], float)


def _places(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1


def _arrays(ev: EventTensor) -> tuple[np.ndarray, np.ndarray]:
    return ev.rowptr.contiguous().numpy(), ev.indices.contiguous().numpy()


def _binary(x: Any, dt: float = 1.0) -> EventTensor:
    ev = x if isinstance(x, EventTensor) else EventTensor.from_dense(x.detach().cpu(), dt)
    if ev.values is not None and not bool((ev.values == 1).all()):
        raise UserError("STDP learns from spikes, 0 or 1; got other values")
    return ev.to("cpu")
