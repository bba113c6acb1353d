"""Target `xylo`: rockpool's specification as JSON, verified by the integer model."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from snnkit.hardware.deploy.compare import Agreement, Answers
from snnkit.hardware.deploy.folder import FORMAT
from snnkit.hardware.deploy.texts import XYLO
from snnkit.hardware.deploy.vectors import chunks, events_of, write_arrays
from snnkit.hardware.graph import Node
from snnkit.hardware.simulate import scores, simulate
from snnkit.hardware.xylo import run_xylo, specification, xylo_layers


def fill_xylo(
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
    """Quantise, compare on every sample, write xylo.json, vectors.npz and README.md; return the report."""
    layers, notes, step = xylo_layers(graph, dt)
    each, answers, clipped = {la.name: Agreement() for la in layers}, Answers(), 0
    burst = dict.fromkeys(each, 0)
    for start, part in chunks(x, max(prod(n.out_shape) for n in nodes), 1):
        wanted = simulate(nodes, part, dt=dt)
        got, times = run_xylo(layers, part)
        clipped += times
        for depth, (layer, counts) in enumerate(zip(layers, got, strict=True)):
            burst[layer.name] = max(burst[layer.name], int(counts.max()))
            each[layer.name].add(wanted.layers[layer.name], counts[depth : depth + len(x)])
        answers.add(float=scores(wanted.output), integer=scores(got[-1][len(layers) - 1 :]))
        progress(start + part.shape[1], x.shape[1])
    notes += [
        f"layer {n}: the chip fires up to {k} times in a step, the network once"
        for n, k in burst.items()
        if k > 1
    ]
    if clipped:
        notes.append(f"currents or membranes were clipped to 16 bits {clipped} times")
    if bool((x > 15).any()):
        notes.append("inputs of more than 15 events per step and channel were cut to 15")
    kept, _ = run_xylo(layers, x[:, :keep])
    found = {"steps": np.array(len(x) + len(layers) - 1), "input_shape": np.array(x.shape[2:])}
    found |= events_of(x[:, :keep], "input", values=True)
    for i, counts in enumerate(kept):
        found |= events_of(counts, f"{i}_spikes", values=True)
    write_arrays(folder / "vectors.npz", found)
    (folder / "xylo.json").write_text(json.dumps(specification(layers, step)) + "\n", encoding="utf-8")
    lines = "\n".join(f"- {note}" for note in notes) or "- nothing that was noticed"
    (folder / "README.md").write_text(
        XYLO.format(kept=keep, depth=len(layers) - 1, notes=lines), encoding="utf-8"
    )
    return {
        "format": FORMAT,
        "target": "xylo",
        "samples": x.shape[1],
        "steps": len(x),
        "delay_steps": len(layers) - 1,
        "output": answers.to_dict(labels),
        "layers": {name: agreement.spikes() for name, agreement in each.items()},
        "notes": notes,
    }
