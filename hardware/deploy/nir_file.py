"""Target `nir`: the float network with test vectors, for any library that reads NIR."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from snnkit.hardware.deploy.compare import Answers
from snnkit.hardware.deploy.folder import FORMAT
from snnkit.hardware.deploy.texts import NIR
from snnkit.hardware.deploy.vectors import chunks, events_of, write_arrays
from snnkit.hardware.graph import Node
from snnkit.hardware.simulate import scores, simulate


def fill_nir(
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
    """Write vectors.npz and README.md for the float network; return the report."""
    answers, sums, bins = Answers(), dict[str, float](), dict[str, int]()
    for start, part in chunks(x, max(prod(n.out_shape) for n in nodes), keep):
        got = simulate(nodes, part, dt=dt)
        answers.add(float=scores(got.output))
        for name, out in got.layers.items():
            sums[name] = sums.get(name, 0.0) + float(out.double().sum())
            bins[name] = bins.get(name, 0) + out.numel()
        if start == 0:
            _write_vectors(
                folder / "vectors.npz", nodes, x[:, :keep], {n: o[:, :keep] for n, o in got.layers.items()}
            )
        progress(start + part.shape[1], x.shape[1])
    text = NIR.format(kept=keep, accuracy=" and accuracy" if labels is not None else "")
    (folder / "README.md").write_text(text, encoding="utf-8")
    plain = [n.name for n in nodes if n.is_neuron and "snnkit_kind" not in n.meta]
    return {
        "format": FORMAT,
        "target": "nir",
        "samples": x.shape[1],
        "steps": len(x),
        "delay_steps": 0,
        "output": answers.to_dict(labels),
        "layers": {name: {"mean": sums[name] / bins[name]} for name in sums},
        "notes": [
            f"layers {', '.join(plain)} carry no reset or decay metadata, so NIR's own meaning was used"
        ]
        if plain
        else [],
    }


def _write_vectors(path: Path, nodes: list[Node], x: Tensor, layers: dict[str, Tensor]) -> None:
    found = {
        "steps": np.array(len(x)),
        "input_shape": np.array(x.shape[2:]),
        **events_of(x, "input", values=True),
    }
    spiking = {n.name for n in nodes if n.kind in ("IF", "LIF", "CubaLIF")}
    for name, out in layers.items():
        found |= events_of(out, name) if name in spiking else {f"{name}_v": out.numpy()}
    write_arrays(path, found)
