"""Target `loihi`: a netx file in 8-bit integers, verified by the fixed-point model."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from snnkit.errors import UserError
from snnkit.hardware.deploy.compare import Agreement, Answers
from snnkit.hardware.deploy.folder import FORMAT
from snnkit.hardware.deploy.netx import check_netx, delay_kind, write_netx
from snnkit.hardware.deploy.texts import loihi_readme
from snnkit.hardware.deploy.vectors import chunks, events_of, write_arrays
from snnkit.hardware.fixed_point import SHIFT, LayerRun, LoihiLayer, run
from snnkit.hardware.graph import Node
from snnkit.hardware.placement import layout
from snnkit.hardware.quantise import OUTPUT, loihi_layers
from snnkit.hardware.simulate import scores, simulate


def fill_loihi(
    graph: Any,
    nodes: list[Node],
    x: Tensor,
    labels: Tensor | None,
    folder: Path,
    *,
    keep: int,
    dt: float | None,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Quantise, compare on every sample, write all files but network.nir; return the report."""
    first = simulate(nodes, x[:, :keep], dt=dt)
    silent = {n.name: first.layers[n.name] for n in nodes if n.kind in ("LI", "CubaLI")}
    peaks = {name: float(out.abs().max()) for name, out in (silent | {OUTPUT: first.output}).items()}
    layers, notes = loihi_layers(graph, peaks, dt)
    check_netx(layers)
    graded = bool((x > 1).any())
    if graded:
        notes.append("inputs carry counts above 1: Loihi 2 does, Loihi 1 would need one spike each")
    found = _compare(nodes, layers, x, labels, dt, progress, graded)
    notes += found.pop("overflows")
    fit = _fit(graph, dt)
    notes += [f"on Loihi 1, {note}" for note in fit.pop("notes", [])]
    report = {
        "format": FORMAT,
        "target": "loihi",
        "samples": x.shape[1],
        "steps": len(x),
        "delay_steps": len(layers),
        **found,
        "placement": fit,
        "notes": [*notes, *(f"one Loihi 1 chip cannot hold it: {p}" for p in fit["problems"])],
        "integers": {la.name: _numbers(la) for la in layers},
    }
    runs = run(layers, x[:, :keep], graded=graded)
    write_netx(layers, folder / "network.net")
    write_arrays(folder / "weights.npz", _weights(layers))
    write_arrays(folder / "vectors.npz", _vectors(layers, runs, x[:, :keep], graded))
    (folder / "README.md").write_text(loihi_readme(layers, report, keep, graded), encoding="utf-8")
    return report


def _compare(
    nodes: list[Node],
    layers: list[LoihiLayer],
    x: Tensor,
    labels: Tensor | None,
    dt: float | None,
    progress: Callable[[int, int], None],
    graded: bool,
) -> dict[str, Any]:
    """Float network, float network with the chip's reset, and integers, on all samples in pieces."""
    each, answers = {la.name: Agreement() for la in layers}, Answers()
    wrapped, saturated = dict.fromkeys(each, 0), dict.fromkeys(each, 0)
    other_reset = any(
        n.meta.get("reset", "zero") != "zero" for n in nodes if n.kind in ("IF", "LIF", "CubaLIF")
    )
    widest = max(prod(n.out_shape) for n in nodes)
    for start, part in chunks(x, widest, 1):
        wanted = simulate(nodes, part, dt=dt)
        runs = run(layers, part, graded=graded)
        for depth, (layer, got) in enumerate(zip(layers, runs, strict=True)):
            f = wanted.layers.get(layer.name, wanted.output)
            each[layer.name].add(f, aligned(layer, got, depth, len(x)))
            wrapped[layer.name] += got.wrapped
            saturated[layer.name] += got.saturated + int(layer.reads_membrane) * int(got.spikes.sum())
        answers.add(float=scores(wanted.output))
        answers.add(integer=scores(aligned(layers[-1], runs[-1], len(layers) - 1, len(x))))
        if other_reset:
            answers.add(float_with_reset_to_zero=scores(simulate(nodes, part, dt=dt, reset="zero").output))
        progress(start + part.shape[1], x.shape[1])
    overflows = [
        f"layer {n}: the current left 24 bits {c} times and wrapped" for n, c in wrapped.items() if c
    ]
    overflows += [f"layer {n}: the membrane saturated {c} times" for n, c in saturated.items() if c]
    rows = {
        la.name: each[la.name].membrane() if la.reads_membrane else each[la.name].spikes() for la in layers
    }
    return {"output": answers.to_dict(labels), "layers": rows, "overflows": overflows}


def aligned(layer: LoihiLayer, got: LayerRun, depth: int, steps: int) -> Tensor:
    """What a layer gave for the T steps of input: spikes, or the membrane in units of the float network."""
    window = slice(depth + 1, depth + 1 + steps)
    if got.v is not None:
        return got.v[window].double() / (layer.scale * (1 << SHIFT))
    return got.spikes[window]


def _fit(graph: Any, dt: float | None) -> dict[str, Any]:
    """Cores on one Loihi 1 chip. What does not fit is a note only: Lava and larger systems can hold it."""
    try:
        placed = layout(graph, "loihi", dt=dt)
    except UserError as error:
        return {"problems": [str(error)]}
    return {
        "cores": placed.n_cores,
        "used": placed.used,
        "problems": list(placed.problems),
        "notes": list(placed.notes),
    }


def _numbers(la: LoihiLayer) -> dict[str, Any]:
    low, high = int(la.synapse.weight.min()), int(la.synapse.weight.max())
    return {
        "weights": list(la.synapse.weight.shape),
        "weight_range": [low, high],
        "zero_weights": float((la.synapse.weight == 0).double().mean()),
        "du": la.du,
        "dv": la.dv,
        "vth": la.vth,
        "units_per_1": la.scale,
        "delays": delay_kind(la.synapse),
        "longest_delay": la.synapse.longest,
    }


def _weights(layers: list[LoihiLayer]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {"names": np.array([la.name for la in layers])}
    for i, la in enumerate(layers):
        s = la.synapse
        found |= {
            f"{i}_weight": s.weight.numpy().astype(np.int16),
            f"{i}_bias": la.bias.numpy().astype(np.int32),
            f"{i}_v0": np.broadcast_to(la.v0.numpy(), s.out_shape).astype(np.int32),
            f"{i}_neuron": np.array([la.du, la.dv, la.vth], dtype=np.int32),
            f"{i}_geometry": np.array([*s.stride, *s.padding, s.groups], dtype=np.int32),
            f"{i}_shapes": np.array([prod(s.in_shape), *s.out_shape], dtype=np.int32),
            f"{i}_units_per_1": np.array(la.scale),
        }
        if s.delay is not None:
            found[f"{i}_delay"] = s.delay.numpy().astype(np.int16)
    return found


def _vectors(
    layers: list[LoihiLayer], runs: list[LayerRun], x: Tensor, graded: bool
) -> dict[str, np.ndarray]:
    found = {
        "steps": np.array(len(runs[-1].spikes)),
        "input_shape": np.array(x.shape[2:]),
        **events_of(x, "input", values=graded),
    }
    for i, (la, got) in enumerate(zip(layers, runs, strict=True)):
        found |= events_of(got.spikes, f"{i}_spikes")
        if la.reads_membrane and got.v is not None:
            found[f"{i}_membrane"] = got.v.numpy().astype(np.int32)
    return found
