"""`deploy`: write the folder and verify it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor

from snnkit.errors import UserError, nearest
from snnkit.hardware.deploy.folder import REPORT, whole
from snnkit.hardware.deploy.loihi import fill_loihi
from snnkit.hardware.deploy.nir_file import fill_nir
from snnkit.hardware.deploy.xylo import fill_xylo
from snnkit.hardware.graph import read
from snnkit.hardware.simulate import dense

TARGETS: dict[str, Callable[..., dict[str, Any]]] = {"loihi": fill_loihi, "nir": fill_nir, "xylo": fill_xylo}


def targets() -> list[str]:
    """Names of the targets that `deploy` can write."""
    return sorted(TARGETS)


class UnknownTarget(UserError):
    """There is no writer for that target."""


@dataclass(frozen=True)
class Deployment:
    """A folder on disk and what its verification found."""

    folder: Path
    target: str
    report: dict[str, Any]

    @property
    def files(self) -> list[str]:
        return sorted(p.name for p in self.folder.iterdir())

    @property
    def float_accuracy(self) -> float | None:
        return self.report["output"].get("float_accuracy")

    @property
    def integer_accuracy(self) -> float | None:
        return self.report["output"].get("integer_accuracy")

    @property
    def agreement(self) -> float | None:
        """Share of samples on which float and integer network decide alike."""
        return self.report["output"].get("integer_agrees")

    def table(self) -> str:
        """The report as plain text."""
        lines = [f"{self.target}: {self.folder}"]
        for name, value in self.report["output"].items():
            lines.append(f"  {name.replace('_', ' '):<28} {value:.4f}")
        for name, row in self.report["layers"].items():
            cells = ", ".join(
                f"{key.replace('_', ' ')} {value:.4g}"
                for key, value in row.items()
                if isinstance(value, float)
            )
            lines.append(f"  layer {name:<8} {cells}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.report["notes"])])


def deploy(
    graph: Any,
    target: str = "loihi",
    out: str | Path = "deployment",
    *,
    vectors: Any,
    labels: Any = None,
    keep: int = 16,
    dt: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Deployment:
    """Write a network for a chip's own tools and verify it on real input.

    Targets: `loihi` (lava-dl netx file) and `xylo` (rockpool specification), both 8-bit integers checked by
    an integer model of the chip, and `nir`. The folder appears whole or not at all; an earlier deployment in
    `out` is replaced, anything else is refused first.

    Args:
        graph: a `nir.NIRGraph` or the path of a .nir file, layers in one line.
        target: where it shall run.
        out: folder to write.
        vectors: input `[T, B, *N]`, an event tensor or a dense one; all of it is used for the comparison.
        labels: class numbers of the B samples, for accuracies.
        keep: so many samples go into `vectors.npz` with the expected spikes of every layer.
        dt: step [s], only for graphs whose metadata does not hold it.
        progress: called with samples done and in all.

    Raises:
        UnknownTarget, BadFolder, UnsupportedGraph: before anything is written.
    """
    if target not in TARGETS:
        raise UnknownTarget(f"there is no deployment target {target!r}: {nearest(str(target), TARGETS)}")
    if keep < 1:
        raise UserError(f"keep is the number of test samples in the folder, at least 1; got {keep}")
    with whole(out) as folder:
        nodes = read(graph)
        x = dense(vectors, nodes)
        chosen = check_labels(labels, x.shape[1])
        report = TARGETS[target](
            graph,
            nodes,
            x,
            chosen,
            folder,
            keep=min(keep, x.shape[1]),
            dt=dt,
            progress=progress or (lambda a, b: None),
        )
        write_graph(graph, folder / "network.nir")
        (folder / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return Deployment(Path(out).expanduser().absolute(), target, report)


def check_labels(labels: Any, samples: int) -> Tensor | None:
    """Labels as int64, one per sample."""
    if labels is None:
        return None
    found = torch.as_tensor(np.asarray(labels)).long().reshape(-1)
    if len(found) != samples:
        raise UserError(
            f"there are {samples} samples in vectors and {len(found)} labels; give one label per sample"
        )
    return found


def write_graph(graph: Any, path: Path) -> None:
    """The float network beside what was made of it."""
    if isinstance(graph, str | Path):
        path.write_bytes(Path(graph).read_bytes())
    else:
        nir.write(path, graph)
