"""From a liquid and its input to the arguments of the kernel, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from snnkit.errors import UserError, nearest
from snnkit.events import EventTensor
from snnkit.liquid.state import LiquidState, Run

if TYPE_CHECKING:
    from snnkit.kernels.simulator.run import Job, Kernel
    from snnkit.liquid.liquid import Liquid
    from snnkit.plasticity.rule import Modulators

Array = np.ndarray
PAST = ("past_", "flying_", "worth_")  # rows of the last steps
REALS = {torch.float32: np.float32, torch.float64: np.float64}


def run(
    liquid: Liquid,
    ev: Any,
    keep: Sequence[str],
    record: Sequence[str],
    signals: Mapping[str, Any] | None,
    threads: int | None,
) -> Run:
    call = Call(liquid, ev, signals, threads)
    places = {name: _kept_at(liquid, name) for name in keep}
    records = _records(call, record)
    for array, _ in places.values():
        call.arrays[array] = np.empty((call.B, call.row[array]), call.real)
    call.arrays |= records
    spikes = call.go(fresh=True, finish=True)
    final = {}
    for name, (array, column) in places.items():
        rows = call.arrays[array]
        final[name] = torch.from_numpy(rows if column is None else rows[:, column].copy())
    return Run(spikes, final, _recorded(call, record))


def learn(
    liquid: Liquid,
    ev: Any,
    carry: Sequence[str],
    signals: Mapping[str, Any] | None,
    before_each: Callable[[int, dict[str, Array]], None] | None,
    after_each: Callable[[int, Array], None] | None = None,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Weights by projection and carried states after all samples."""
    call = Call(liquid, ev, signals, 1)
    states = liquid.blueprint.neuron.states
    for name in carry:
        if name not in states:
            raise UserError(f"the neuron has no state {name!r} to carry; {nearest(name, states)}")
        call.arrays[f"state_{name}_"] = call.arrays[f"begin_{name}"][None].copy()
    plastic = {p.label: f"{p.name}_w" for p in liquid.blueprint.parts if p.plastic}
    if not plastic and before_each is None:
        raise UserError("no projection of this liquid has a rule that changes weights")
    for array in plastic.values():
        call.arrays[f"{array}_"] = call.arrays[f"begin_{array}"][None].copy()
    weights = {label: call.arrays[f"{array}_"][0] for label, array in plastic.items()}
    call.fresh[1] = 0
    for k, name in enumerate(states):
        call.fresh[2 + k] = name not in carry
    carried = {name: call.arrays[f"state_{name}_"][0] for name in carry}
    shown = {**carried, **weights}
    call.before = (lambda b: before_each(b, shown)) if before_each else lambda b: None
    if after_each:
        call.after = lambda b, spikes: after_each(b, np.bincount(spikes, minlength=liquid.N))
    call.go(fresh=None, finish=True)
    return weights, carried


def scan(
    liquid: Liquid,
    ev: Any,
    state: LiquidState | None,
    *,
    signals: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> tuple[EventTensor, LiquidState]:
    from snnkit.kernels.simulator.run import kind

    call = Call(liquid, ev, signals, threads)
    for name, size in call.row.items():
        call.arrays[name] = np.zeros((call.B, size), kind(name, call.real))
    if state is not None:
        given = _unpacked(liquid, state)
        for name in sorted(n for n in {*given} ^ {*call.row} if n.startswith(PAST)):
            raise UserError(
                f"the state is of a liquid that pairs otherwise: {name.strip('_')} is only in one of them; pass None to begin anew"
            )
        for name, value in given.items():
            into = call.arrays[name]
            expected = (call.B, into.shape[1] // 2 if name.startswith(("ring_", *PAST)) else into.shape[1])
            if tuple(value.shape) != expected:
                raise UserError(
                    f"the state is of another batch or another liquid: {name.strip('_')} has shape "
                    f"{list(value.shape)}, expected {list(expected)}; pass None to begin anew"
                )
            into[:, : value.shape[1]] = value
    spikes = call.go(fresh=state is None, finish=False)
    return spikes, _packed(liquid, call, 0 if state is None else state.step)


class Call:
    """The arguments of one call of the kernel, by name."""

    def __init__(
        self, liquid: Liquid, ev: Any, signals: Mapping[str, Any] | None, threads: int | None
    ) -> None:
        self.liquid = liquid
        self.ev = _events(liquid, ev)
        self.T, self.B = self.ev.shape[:2]
        self.real = REALS[liquid._real()]
        self.threads = _threads(threads)
        self.before: Callable[[int], None] | None = None
        self.after: Callable[[int, Array], None] | None = None
        self.fresh = np.ones(2 + len(liquid.blueprint.neuron.states), np.int64)
        self.kernel: Kernel = _kernel(liquid, self.ev.values is not None, self.real)
        fixed = _fixed(liquid, self.real)
        self.arrays: dict[str, Array] = {**fixed, **self._events(), **self._signals(signals)}
        self.row = _rows(liquid, self.kernel, fixed)
        N = liquid.N
        self.arrays |= {f"record_{s}": np.empty((0, 0, N), self.real) for s in liquid.blueprint.neuron.states}
        self.arrays["record_scalars"] = np.empty((0, 0, 0), self.real)

    def go(self, *, fresh: bool | None, finish: bool) -> EventTensor:
        """Run the kernel; `fresh` None leaves the flags as they are."""
        from snnkit.kernels.simulator import run as simulator_run

        liquid = self.liquid
        if fresh is not None:
            self.fresh[:] = fresh
        PN = liquid.ports * liquid.N
        sizes = [self.T, self.B, liquid.N, liquid.M, liquid.slots, PN, int(finish), int(not finish)]
        self.arrays |= {"sizes": np.array(sizes, np.int64), "fresh": self.fresh}
        job: Job = simulator_run.Job(
            self.kernel,
            self.arrays,
            self.arrays["sizes"],
            self.row,
            self.real,
            self.threads,
            self.before,
            self.after,
        )
        rowptr, indices, values = simulator_run.run(job)
        return EventTensor._ready(
            torch.from_numpy(rowptr),
            torch.from_numpy(indices),
            None if values is None else torch.from_numpy(values),
            (self.T, self.B, liquid.N),
            self.ev.dt,
        )

    def _events(self) -> dict[str, Array]:
        ev = self.ev
        found = {
            "rowptr": ev.rowptr.contiguous().numpy(),
            "indices": ev.indices.contiguous().numpy(),
            "counts": np.zeros(self.T * self.B, np.int64),
            "starts": np.zeros(self.B, np.int64),
        }
        if ev.values is not None:
            found["values"] = ev.values.contiguous().numpy()
        return found

    def _signals(self, given: Mapping[str, Any] | None) -> dict[str, Array]:
        given, wanted = dict(given or {}), self.liquid.blueprint.signals
        if set(given) != set(wanted):
            raise UserError(
                f"the rules of this liquid read the signals {list(wanted)}, got {sorted(given)}; "
                "pass signals={'name': array over time}"
            )
        found = {}
        for k, name in enumerate(wanted):
            array = np.asarray(given[name], self.real)
            if array.ndim == 1:
                array = array[:, None]
            if array.ndim != 2 or array.shape[0] != self.T or array.shape[1] not in (1, self.B):
                raise UserError(
                    f"the signal {name} has one number per step, [{self.T}] or [{self.T}, {self.B}]; "
                    f"got {list(np.shape(given[name]))}"
                )
            found[f"signal_{k}"] = np.ascontiguousarray(np.broadcast_to(array, (self.T, self.B)))
        return found


def _events(liquid: Liquid, ev: Any) -> EventTensor:
    if isinstance(ev, Tensor):
        if ev.requires_grad:
            raise UserError(
                "a Liquid has no gradients, but the input requires grad: pass x.detach(), or train snnkit.Recurrent"
            )
        ev = EventTensor.from_dense(ev.cpu(), liquid.dt or 1.0)
    if not isinstance(ev, EventTensor):
        raise TypeError(f"Liquid expected an EventTensor or a tensor T B *M, got {type(ev).__name__}")
    if ev.values is not None and ev.values.requires_grad:
        raise UserError(
            "a Liquid has no gradients, but the events' values require grad; snnkit.Recurrent is trainable"
        )
    channels = math.prod(ev.shape[2:])
    if channels != liquid.M:
        raise UserError(
            f"the liquid has {liquid.M} input channels, but the events have {channels}, shape {tuple(ev.shape)}"
        )
    if liquid.dt is not None and not math.isclose(ev.dt, liquid.dt, rel_tol=1e-6):
        raise UserError(
            f"the liquid steps in dt={liquid.dt:g} s, but the events are binned in dt={ev.dt:g} s: "
            "bin them again, or build the neuron with that dt"
        )
    return ev.to("cpu")


def _threads(given: int | None) -> int:
    if given is None:
        return torch.get_num_threads()
    if isinstance(given, bool) or int(given) != given or given < 1:
        raise UserError(f"threads is a whole number, at least 1; got {given!r}")
    return int(given)


def _kernel(liquid: Liquid, graded: bool, real: type) -> Kernel:
    from snnkit.kernels.simulator import run as simulator_run

    key = f"kernel {graded} {real.__name__}"
    if key not in liquid._cache:
        liquid._cache[key] = simulator_run.kernel(liquid.blueprint.plan(graded), real.__name__)
    return liquid._cache[key]


def _fixed(liquid: Liquid, real: type) -> dict[str, Array]:
    """Arguments that no run changes: wiring, constants, what samples begin with."""
    blueprint, N = liquid.blueprint, liquid.N
    key = f"wiring {real.__name__}"
    if key not in liquid._cache:
        found = dict(blueprint.per_neuron(real))
        for part in blueprint.parts:
            past = liquid.slots if part.late else None
            found |= part.wired.arrays(part.name, liquid.ports, blueprint.columns(part), past)
        like = torch.zeros(1, N, dtype=torch.float64)
        for name, value in liquid.neuron._constants(like, (N,)).items():  # type: ignore[arg-type]
            found[f"const_{name}"] = np.ascontiguousarray(value.detach().cpu().expand(N).numpy(), real)
        for k, (population, trace) in enumerate(blueprint.traces):
            size = liquid.M if population == "inputs" else N
            found[f"begin_trace_{k}"] = np.full(size, trace.rest, real)
        found["every"] = np.arange(N, dtype=np.int32)
        if liquid.modulators is not None and liquid.modulators.domains is not None:
            domains = liquid.modulators.domains
            found["domain_of"] = domains.of
            found["share"] = np.ascontiguousarray(domains.seen(liquid.M), real)
            found["coupling"] = np.ascontiguousarray(domains.coupled(), real)
        liquid._cache[key] = found
    changing: dict[str, Array] = {"par": np.array([*liquid.numbers.values(), 0.0], real)}
    if liquid.modulators is not None:
        changing["begin_mods"] = liquid.modulators.begin().astype(real)
    for name, value in liquid.begin().items():
        changing[f"begin_{name}"] = np.ascontiguousarray(value.detach().cpu().numpy(), real)
    for part in blueprint.parts:
        w: Array = np.ascontiguousarray(liquid._weights(part.label).numpy(), real)
        changing[f"begin_{part.name}_w" if part.plastic else f"{part.name}_w"] = w
        for name, first in part.rule.synapse.items() if part.rule else ():
            changing[f"begin_{part.name}_{name}"] = np.full(len(w), first, real)
    return {**liquid._cache[key], **changing}


def _rows(liquid: Liquid, kernel: Kernel, fixed: Mapping[str, Array]) -> dict[str, int]:
    """Length of the rows that a sample needs, by the name of the argument."""
    found = {}
    for name in kernel.per_sample:
        bare = name.removesuffix("_")
        if bare == "ring":
            found[name] = 2 * liquid.slots * liquid.ports * liquid.N
        elif bare.startswith("past_"):
            found[name] = 2 * liquid.slots * len(fixed[f"begin_trace_{bare.removeprefix('past_')}"])
        elif bare.startswith(PAST):
            found[name] = 2 * liquid.slots * (1 + (liquid.M if bare.endswith("inputs") else liquid.N))
        elif bare.startswith(("state_", "field_")):
            found[name] = liquid.N
        elif bare in ("in_of", "out_of", "flow"):
            found[name] = len(fixed["begin_mods"] if bare == "flow" else fixed["coupling"])
        else:
            found[name] = len(fixed[f"begin_{bare}"])
    return found


def _columns(modulators: Modulators | None) -> dict[str, int | slice]:
    """Where each modulator is in a row of them: one column, or one per domain."""
    if modulators is None:
        return {}
    if modulators.domains is None:
        return {word: k for k, word in enumerate(modulators.start)}
    G = modulators.count
    return {word: slice(k * G, (k + 1) * G) for k, word in enumerate(modulators.start)}


def _kept_at(liquid: Liquid, name: str) -> tuple[str, int | slice | None]:
    """The array of a name that `keep` may hold, and its columns."""
    blueprint = liquid.blueprint
    places: dict[str, tuple[str, int | slice | None]] = {
        s: (f"state_{s}_", None) for s in blueprint.neuron.states
    }
    places |= {word: ("mods_", columns) for word, columns in _columns(liquid.modulators).items()}
    places |= {word: (f"trace_{k}_", None) for word, k in blueprint.trace_of.items()}
    for part, plan in zip(blueprint.parts, blueprint.projections, strict=True):
        for state in plan.states if part.plastic else ():
            places[f"{part.label}.{state}"] = (f"{part.name}_{state}_", None)
    if name not in places:
        raise UserError(f"a run cannot keep {name!r}; {nearest(name, places)}")
    return places[name]


def _records(call: Call, record: Sequence[str]) -> dict[str, Array]:
    liquid = call.liquid
    states = liquid.blueprint.neuron.states
    columns = _scalar_columns(liquid)
    found = {}
    for name in record:
        if name in states:
            found[f"record_{name}"] = np.empty((call.T, call.B, liquid.N), call.real)
        elif name in columns:
            width = int(columns["n_out"]) + 1  # type: ignore[arg-type]
            found["record_scalars"] = np.empty((call.T, call.B, width), call.real)
        else:
            raise UserError(f"a run cannot record {name!r}; {nearest(name, [*states, *columns])}")
    return found


def _scalar_columns(liquid: Liquid) -> dict[str, int | slice]:
    """Columns of the record of numbers per step: modulators, then spikes of input and liquid."""
    width = 0 if liquid.modulators is None else len(liquid.modulators.begin())
    return {**_columns(liquid.modulators), "n_in": width, "n_out": width + 1, "rate": width + 1}


def _recorded(call: Call, record: Sequence[str]) -> dict[str, Tensor]:
    liquid = call.liquid
    columns = _scalar_columns(liquid)
    found = {}
    for name in record:
        if name in liquid.blueprint.neuron.states:
            found[name] = torch.from_numpy(call.arrays[f"record_{name}"])
        else:
            column = call.arrays["record_scalars"][:, :, columns[name]]
            scale = 1.0 / (liquid.N * call.ev.dt) if name == "rate" else 1.0
            found[name] = torch.from_numpy(column * call.real(scale))
    return found


def _unpacked(liquid: Liquid, state: LiquidState) -> dict[str, Array]:
    if not isinstance(state, LiquidState):
        raise UserError(
            f"Liquid has a LiquidState as state, as `scan` returned it; got {type(state).__name__}"
        )
    blueprint = liquid.blueprint
    found = {"ring_": state.arriving.reshape(state.arriving.shape[0], -1).numpy()}
    found |= {f"state_{k}_": v.numpy() for k, v in zip(blueprint.neuron.states, state.neuron, strict=True)}
    found |= {f"trace_{k}_": v.numpy() for k, v in enumerate(state.traces)}
    if liquid.modulators is not None:
        found["mods_"] = state.modulators.numpy()
    found |= {f"{k}_": v.reshape(v.shape[0], -1).numpy() for k, v in state.past.items()}
    for name, value in state.synapses.items():
        found[_kept_at(liquid, name)[0]] = value.numpy()
    return found


def _window(call: Call, name: str) -> Tensor:
    """The last steps of a row that slides."""
    half = call.arrays[name][:, : call.row[name] // 2].copy()
    return torch.from_numpy(half).view(call.B, call.liquid.slots, -1)


def _packed(liquid: Liquid, call: Call, before: int) -> LiquidState:
    blueprint, get = liquid.blueprint, lambda name: torch.from_numpy(call.arrays[name])
    synapses = {}
    for part, plan in zip(blueprint.parts, blueprint.projections, strict=True):
        for state in plan.states if part.plastic else ():
            synapses[f"{part.label}.{state}"] = get(f"{part.name}_{state}_")
    return LiquidState(
        step=before + call.T,
        neuron=liquid.neuron.State(*(get(f"state_{k}_") for k in blueprint.neuron.states)),
        arriving=_window(call, "ring_").view(call.B, liquid.slots, liquid.ports, liquid.N),
        traces=tuple(get(f"trace_{k}_") for k in range(len(blueprint.traces))),
        modulators=get("mods_") if liquid.modulators is not None else torch.empty(call.B, 0),
        synapses=synapses,
        past={name.removesuffix("_"): _window(call, name) for name in call.row if name.startswith(PAST)},
    )
