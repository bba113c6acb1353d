"""Layers over lists of spikes, as torch sees them: spikes of a layer, and what readouts say, with their gradients.

Gradients are sums over neurons in pieces of a fixed size, added in a fixed order: the number of threads changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnkit.errors import UserError
from snnkit.kernels.eventprop import adjoint, forward, readout, recurrent
from snnkit.kernels.sparse import run_pieces

PIECE = 32  # neurons whose gradients are summed by one thread
EVENT = 16  # multiply-adds that an event at a synapse costs about, to decide whether threads pay


class Events(NamedTuple):
    """Spikes sample by sample: those of b are begin[b] : begin[b + 1]; values None says that each counts as one."""

    begin: np.ndarray
    source: np.ndarray  # int32
    value: np.ndarray | None


class Constants(NamedTuple):
    """What belongs to the neurons: time constants [s] per neuron, the end of the run [s], the floor of slopes."""

    tau_mem: np.ndarray
    tau_syn: np.ndarray
    end: float
    floor: np.ndarray
    most: int  # spikes of a sample from which a network counts as running wild


def _array(x: Tensor | None, rows: int) -> np.ndarray:
    if x is None:
        return np.empty((rows, 0))
    return x.detach().to(torch.float64).contiguous().numpy()


def _by_sample(events: Events, width: int, work: Callable[[int, int], None]) -> None:
    run_pieces(events.begin, max(1, width) * EVENT, work)


def _by_piece(cost: int, neurons: int, work: Callable[[int, int, int], None]) -> None:
    """work(piece, first neuron, one behind the last), pieces spread over threads."""
    pieces = -(-neurons // PIECE)

    def some(first: int, last: int) -> None:
        for p in range(first, last):
            work(p, p * PIECE, min((p + 1) * PIECE, neurons))

    run_pieces(np.arange(pieces + 1) * max(1, cost), PIECE * EVENT, some)


def _add_up(parts: np.ndarray) -> np.ndarray:
    total = parts[0].copy() if len(parts) else np.zeros(parts.shape[1:])
    for part in parts[1:]:
        total += part
    return total


def _compact(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return (
        np.concatenate([row[:n] for row, n in zip(rows, counts, strict=True)])
        if len(rows)
        else rows.reshape(-1)
    )


def _find(call: Callable[..., None], samples: int, guess: int, most: int) -> tuple[np.ndarray, ...]:
    """Run `call(rows of time, neuron and slope, counts)` with rows that are long enough; begin, neuron, time, slope."""
    room, counts = guess, np.zeros(samples, np.int64)
    while True:
        rows = np.empty((samples, room)), np.empty((samples, room), np.int32), np.empty((samples, room))
        call(*rows, counts)
        needed = int(counts.max(initial=0))
        if needed > most:
            raise UserError(
                f"eventprop: more than {most} spikes in a sample: the network keeps itself firing; weaken its weights, or raise max_spikes"
            )
        if needed <= room:
            break
        room = max(needed, min(2 * room, most + 1))
    begin = np.concatenate([[0], np.cumsum(counts)])
    time, who, slope = (_compact(r, counts) for r in rows)
    return begin, who, time, slope


class Fire(torch.autograd.Function):
    """Spike times of a layer; with them where samples begin and which neuron fired (no gradients)."""

    @staticmethod
    def forward(
        ctx: Any, time: Tensor, w: Tensor, d: Tensor | None, loop: Tensor | None, back: Tensor | None,
        events: Events, constants: Constants,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """time: of arriving spikes [s]; w, d: neurons x inputs; loop, back: weights and delays of the recurrence, to x from."""
        t, n, samples = time.detach().numpy(), len(w), len(events.begin) - 1
        arrays = [_array(x, n) for x in (w, d, loop, back)]
        c = constants
        if loop is None:
            given: tuple = (*events[:2], t, events.value, *arrays[:2], c.tau_mem, c.tau_syn, c.end)
            kernel: Any = forward.spike_times
        else:
            delays = arrays[1] if d is not None else np.zeros_like(arrays[0])
            weights, late = (
                np.ascontiguousarray(np.concatenate([a.T, b.T]))
                for a, b in ((arrays[0], arrays[2]), (delays, arrays[3]))
            )
            order = np.argsort(late, axis=1, kind="stable").astype(np.int32)
            given = (*events[:2], t, events.value, weights, late, order, c.tau_mem, c.tau_syn, c.end)
            kernel = recurrent.spike_times

        def call(*outputs: np.ndarray) -> None:
            _by_sample(events, n, lambda first, last: kernel(*given, first, last, *outputs))

        begin, who, found, slope = _find(call, samples, min(4 * n + 64, c.most + 1), c.most)
        ctx.layer = (events, constants, arrays, begin, who, slope, loop is not None)
        ctx.dtypes = [None if x is None else x.dtype for x in (w, d, loop, back)]
        out = torch.from_numpy(found)
        ctx.save_for_backward(time, out)
        rest = torch.from_numpy(begin), torch.from_numpy(who)
        ctx.mark_non_differentiable(*rest)
        return (out, *rest)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        events, c, (w, d, loop, back), begin, who, slope, looped = ctx.layer
        time, found = (x.detach().numpy() for x in ctx.saved_tensors)
        grad, n, samples = grads[0].detach().contiguous().numpy(), len(w), len(events.begin) - 1
        pointers, own = np.empty(samples * n + 1, np.int64), np.empty(len(who), np.int32)
        adjoint.by_neuron(begin, who, n, pointers, own)
        pv, pi = np.empty(len(who)), np.empty(len(who))
        taus = c.tau_mem, c.tau_syn
        if looped:
            turned = np.ascontiguousarray(loop.T), np.ascontiguousarray(back.T)
            given: tuple = (begin, pointers, own, who, found, slope, grad, *turned, *taus, c.floor)
            run_pieces(begin, n * EVENT, lambda a, b: adjoint.settle_recurrent(*given, a, b, pv, pi))
        else:
            given = (pointers, own, found, slope, grad, *taus, c.floor)
            adjoint.settle(*given, 0, samples * n, pv, pi)
        behind = (pointers, own, found, pv, pi)

        def collect(
            sent: Events, at: np.ndarray, weight: np.ndarray, delay: np.ndarray, times: bool
        ) -> tuple:
            def work(*a: Any) -> None:
                adjoint.collect(*sent[:2], at, sent.value, *behind, weight, delay, *taus, *a)

            return _summed(sent, weight, delay, times, work)

        dw, dd, dt = collect(events, time, w, d, ctx.needs_input_grad[0])
        dl = db = None
        if looped:
            dl, db, _ = collect(Events(begin, who, None), found, loop, back, False)
        found_all = [_as(g, dtype) for g, dtype in zip((dw, dd, dl, db), ctx.dtypes, strict=True)]
        return dt, *found_all, None, None


def _as(grad: np.ndarray | None, dtype: torch.dtype | None) -> Tensor | None:
    return None if grad is None or dtype is None else torch.from_numpy(grad).to(dtype)


def _summed(
    events: Events, w: np.ndarray, d: np.ndarray, times: bool, work: Callable[..., None]
) -> tuple[np.ndarray, np.ndarray, Tensor | None]:
    """Gradients of weights, delays and times from work(first, last, dw, dd, dt) on pieces of neurons."""
    dw, dd, spikes = np.zeros_like(w), np.zeros_like(d), len(events.source)
    parts = np.zeros((-(-len(w) // PIECE), spikes)) if times else np.empty((0, 0))
    nothing = np.empty(0)
    _by_piece(
        spikes, len(w), lambda p, first, last: work(first, last, dw, dd, parts[p] if times else nothing)
    )
    return dw, dd, torch.from_numpy(_add_up(parts)) if times else None


class Trace(torch.autograd.Function):
    """The membranes of readouts at given times, `M B C`; at: B x C x M in order, tau_syn 0 for readouts without synapse."""

    @staticmethod
    def forward(
        ctx: Any, time: Tensor, w: Tensor, d: Tensor | None, events: Events, constants: Constants, at: np.ndarray
    ) -> Tensor:  # fmt: skip
        t, arrays = time.detach().numpy(), [_array(x, len(w)) for x in (w, d)]
        given = (*events[:2], t, events.value, *arrays, constants.tau_mem, constants.tau_syn, at)
        out = np.empty((at.shape[2], *at.shape[:2]))
        _by_sample(events, len(w), lambda first, last: readout.trace(*given, first, last, out))
        _keep(ctx, given, arrays, events, (w, d))
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        grad = grads[0].detach().contiguous().numpy()
        return *_read_back(ctx, lambda *a: readout.trace_back(*ctx.given, grad, *a)), None, None, None


class Integral(torch.autograd.Function):
    """∫ e^{-t·rate} V dt of readouts, `B C`."""

    @staticmethod
    def forward(
        ctx: Any, time: Tensor, w: Tensor, d: Tensor | None, events: Events, constants: Constants, rate: float
    ) -> Tensor:  # fmt: skip
        t, arrays, c = time.detach().numpy(), [_array(x, len(w)) for x in (w, d)], constants
        given = (*events[:2], t, events.value, *arrays, c.tau_mem, c.tau_syn, c.end, rate)
        out = np.empty((len(events.begin) - 1, len(w)))
        _by_sample(events, len(w), lambda first, last: readout.integrals(*given, first, last, out))
        _keep(ctx, given, arrays, events, (w, d))
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        grad = grads[0].detach().contiguous().numpy()
        return *_read_back(ctx, lambda *a: readout.integrals_back(*ctx.given, grad, *a)), None, None, None


class Maximum(torch.autograd.Function):
    """The highest values of the membranes of readouts with synapse, `B C`."""

    @staticmethod
    def forward(
        ctx: Any, time: Tensor, w: Tensor, d: Tensor | None, events: Events, constants: Constants, _: None
    ) -> Tensor:  # fmt: skip
        c, arrays = constants, [_array(x, len(w)) for x in (w, d)]
        given = (*events[:2], time.detach().numpy(), events.value, *arrays, c.tau_mem, c.tau_syn)
        when, falls = (np.empty((len(events.begin) - 1, len(w))) for _ in range(2))
        _by_sample(events, len(w), lambda first, last: readout.peaks(*given, c.end, first, last, when, falls))
        out, at = np.empty((1, *when.shape)), when[:, :, None]
        _by_sample(events, len(w), lambda first, last: readout.trace(*given, at, first, last, out))
        _keep(ctx, (*given, at), arrays, events, (w, d))
        ctx.falls = falls
        return torch.from_numpy(out[0])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        grad = grads[0].detach().contiguous().numpy()
        begin, source, time, _, w, d, *_, at = ctx.given

        def work(first: int, last: int, dw: np.ndarray, dd: np.ndarray, dt: np.ndarray) -> None:
            readout.trace_back(*ctx.given, grad[None], first, last, dw, dd, dt)
            moved = ctx.falls * ((np.arange(len(w)) >= first) & (np.arange(len(w)) < last))
            readout.kinks_back(begin, source, time, w, d, at[:, :, 0], moved, grad, dd, dt)

        return *_read_back(ctx, work), None, None, None


def _keep(ctx: Any, given: tuple, arrays: list[np.ndarray], events: Events, of: tuple) -> None:
    ctx.given, ctx.arrays, ctx.events = given, arrays, events
    ctx.dtypes = [None if x is None else x.dtype for x in of]


def _read_back(ctx: Any, work: Callable[..., None]) -> tuple:
    w, d = ctx.arrays
    dw, dd, dt = _summed(ctx.events, w, d, ctx.needs_input_grad[0], work)
    return dt, _as(dw, ctx.dtypes[0]), _as(dd, ctx.dtypes[1])
