"""Spikes as lists of exact times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.kernels.eventprop.lists import Events


@dataclass(frozen=True, eq=False, repr=False)
class Spikes:
    """Spikes of a batch, sample by sample and in order of time; sample b has those from begin[b] to begin[b + 1].

    Args:
        time: when [s], float64; carries gradients.
        channel: which neuron or input, int32.
        begin: where samples begin and the last one ends, int64, B + 1 entries.
        channels: number of neurons or inputs.
        duration: length of the run [s].
        value: strength of every spike, float64; None says that all are 1.

    >>> s = Spikes.from_lists([([0.001, 0.0025], [0, 2])], channels=3, duration=5e-3)
    >>> s.counts().tolist(), s.first().tolist()
    ([[1, 0, 1]], [[0.001, 0.005, 0.0025]])
    """

    time: Tensor
    channel: Tensor
    begin: Tensor
    channels: int
    duration: float
    value: Tensor | None = None

    # -- making them ------------------------------------------------------------------------------------------------

    @classmethod
    def from_events(cls, events: EventTensor) -> Spikes:
        """The events of an `EventTensor`, each at the begin of its step; *N becomes one axis."""
        T, B, *rest = events.shape
        lengths = (events.rowptr[1:] - events.rowptr[:-1]).cpu().view(T, B)
        rows = torch.repeat_interleave(torch.arange(T * B), lengths.reshape(-1))
        order = torch.argsort(rows % B, stable=True)  # by sample; in order of time as they are
        begin = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.sum(0).cumsum(0)])
        value = None if events.values is None else events.values.cpu().double()[order]
        time = (rows // B).double() * events.dt
        return cls(time[order], events.indices.cpu()[order], begin, math.prod(rest), T * events.dt, value)

    @classmethod
    def from_lists(cls, samples: Sequence[tuple[Any, Any]], *, channels: int, duration: float) -> Spikes:
        """One pair (times [s], channels) per sample, in any order; tensors of times keep their gradients.

        Raises:
            UserError: naming the sample whose times or channels are out of range or not of one length.
        """
        if not (math.isfinite(duration) and duration > 0):
            raise UserError(f"Spikes: duration is a positive time in seconds, got {duration!r}")
        times, who = [], []
        for b, (at, where) in enumerate(samples):
            t, c = torch.as_tensor(at, dtype=torch.float64).flatten(), torch.as_tensor(where).flatten()
            if len(t) != len(c):
                raise UserError(
                    f"Spikes: sample {b} has {len(t)} times and {len(c)} channels; give one channel per time"
                )
            if len(t) and not bool(((t >= 0) & (t <= duration)).all()):
                raise UserError(
                    f"Spikes: sample {b} has times from {t.min().item():g} to {t.max().item():g} s; expected 0 to "
                    f"duration={duration:g}, in seconds"
                )
            if len(c) and (c.is_floating_point() or not 0 <= int(c.min()) <= int(c.max()) < channels):
                raise UserError(
                    f"Spikes: sample {b} has channels that are not whole numbers from 0 to {channels - 1}"
                )
            order = torch.argsort(t.detach(), stable=True)
            times.append(t[order])
            who.append(c.to(torch.int32)[order])
        begin = torch.tensor([0, *np.cumsum([len(t) for t in times])], dtype=torch.int64)
        none = torch.empty(0, dtype=torch.float64)
        return cls(
            torch.cat([none, *times]),
            torch.cat([none.to(torch.int32), *who]),
            begin,
            int(channels),
            float(duration),
        )

    # -- what they say ----------------------------------------------------------------------------------------------

    @property
    def samples(self) -> int:
        return len(self.begin) - 1

    @property
    def sample(self) -> Tensor:
        """The sample of every spike."""
        return torch.repeat_interleave(torch.arange(self.samples), self.begin.diff())

    def __len__(self) -> int:
        return len(self.time)

    def counts(self) -> Tensor:
        """How many spikes every channel has, `B N`; a number has no gradient."""
        cell = self.sample * self.channels + self.channel
        return torch.bincount(cell, minlength=self.samples * self.channels).view(self.samples, self.channels)

    def first(self, silent: float | None = None) -> Tensor:
        """When every channel spikes first, `B N` [s]; `silent` (by default the duration) where it does not."""
        cell = (self.sample * self.channels + self.channel).numpy()
        found, where = np.unique(cell, return_index=True)
        last = self.duration if silent is None else float(silent)
        out = torch.full((self.samples * self.channels,), last, dtype=self.time.dtype)
        out = out.index_put((torch.from_numpy(found),), self.time[torch.from_numpy(where)])
        return out.view(self.samples, self.channels)

    def train(self, dt: float) -> Tensor:
        """The spikes on steps of dt, `T B N`, as layers on a grid give them.

        Backwards, the time of a spike in step n gets (g[n + 1] - g[n])/dt, g the gradient of the train, as in
        `CubaLIF(gradient="eventprop")`: right for losses that see spikes through filters.
        """
        steps = round(self.duration / dt)
        if steps < 1 or abs(steps * dt - self.duration) > 1e-6 * self.duration:
            raise UserError(
                f"Spikes: the duration of {self.duration:g} s is no whole number of steps of dt={dt:g} s"
            )
        return _Train.apply(self.time, self, steps, dt)

    def to_events(self, dt: float) -> EventTensor:
        """The same as events on steps of dt; the places within a step are lost."""
        return EventTensor.from_dense(self.train(dt).detach().float(), dt)

    def to(self, device: Any, non_blocking: bool = False) -> Spikes:
        """Itself: lists of spikes live on the CPU, where their kernels run. For loops that move every batch."""
        if torch.device(device).type != "cpu":
            raise UserError(
                f"Spikes: networks run from event to event on the CPU, not on {device}; write net.cpu()"
            )
        return self

    def check(self) -> None:
        """Refuse lists that were put together wrongly; what `from_events` and `from_lists` make is right.

        Raises:
            UserError: saying what does not hold.
        """
        t, c, begin = self.time.detach(), self.channel, self.begin
        ends = (
            len(begin) > 0
            and int(begin[0]) == 0
            and int(begin[-1]) == len(t)
            and bool((begin.diff() >= 0).all())
        )
        inside = torch.ones(max(0, len(t) - 1), dtype=torch.bool)  # neighbours of one sample
        if ends and len(t) > 1:
            between = begin[(begin > 0) & (begin < len(t))]
            inside[between - 1] = False
        good = {
            "time is float64, on the CPU": t.dtype == torch.float64 and t.device.type == "cpu",
            "time, channel and value are equally long": len(c) == len(t)
            and (self.value is None or len(self.value) == len(t)),
            "begin rises from 0 to the number of spikes": ends,
            f"channels lie in 0..{self.channels - 1}": len(c) == 0
            or 0 <= int(c.min()) <= int(c.max()) < self.channels,
            "times are finite and in order within a sample": bool(torch.isfinite(t).all())
            and not bool((t.diff()[inside] < 0).any()),
        }
        if wrong := [rule for rule, kept in good.items() if not kept]:
            raise UserError(
                f"Spikes: it must hold that {'; '.join(wrong)}. Spikes.from_lists(...) sees to it"
            )

    def arrays(self) -> Events:
        """What the kernels take."""
        value = None if self.value is None else self.value.detach().numpy()
        return Events(self.begin.numpy(), self.channel.to(torch.int32).contiguous().numpy(), value)

    def __repr__(self) -> str:
        return f"Spikes({len(self)} in {self.samples} samples, {self.channels} channels, {self.duration:g} s)"


class _Train(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, time: Tensor, spikes: Spikes, steps: int, dt: float) -> Tensor:
        step = (time.detach() / dt + 1e-9).floor().long().clamp(0, steps - 1)
        where = step, spikes.sample, spikes.channel.long()
        values = torch.ones_like(time) if spikes.value is None else spikes.value
        out = torch.zeros(steps, spikes.samples, spikes.channels, dtype=time.dtype)
        ctx.where, ctx.values, ctx.dt = where, values, dt
        return out.index_put_(where, values.detach(), accumulate=True)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        (grad,), (step, sample, channel) = grads, ctx.where
        padded = torch.cat([grad, torch.zeros_like(grad[:1])])
        moved = (padded[step + 1, sample, channel] - padded[step, sample, channel]) / ctx.dt
        return moved * ctx.values, None, None, None
