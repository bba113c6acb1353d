"""What there is: chips, data sets, and this installation."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Annotated, Any

import typer

from snnkit.cli.common import Json, OutFile, Root, Seed, emit, show_table

_LIBRARIES = ["torch", "numpy", "numba", "nir", "h5py", "safetensors", "scikit-learn", "lightning", "tonic"]


def chips(
    name: Annotated[
        str | None, typer.Argument(help="Show every number of this chip, with its source.")
    ] = None,
    as_json: Json = False,
    seed: Seed = 0,
    out: OutFile = None,
) -> None:
    """List the chips that energy and placement know, or every number of one of them.

    Example: snnkit chips loihi
    """
    from snnkit import hardware

    if name is None:
        found = [_chip_summary(hardware.chip(n)) for n in hardware.chips()]
        emit(found, as_json=as_json, out=out)
        if not as_json:
            rows = [[c["name"], c["title"], c["process"], str(c["figures"])] for c in found]
            show_table(
                "Chips (snnkit chips NAME shows the numbers)", ["name", "chip", "process", "figures"], rows
            )
        return
    chip = hardware.chip(name)
    figures = [_figure_row(figure) for figure in chip.figures()]
    emit({**_chip_summary(chip), "numbers": figures, "notes": list(chip.notes)}, as_json=as_json, out=out)
    if not as_json:
        columns = ["name", "value", "interval", "unit", "scope", "evidence", "source"]
        show_table(
            f"{chip.title}, {chip.process}", columns, [[str(row[c]) for c in columns] for row in figures]
        )
        for note in chip.notes:
            print(f"- {note}")


def _chip_summary(chip: Any) -> dict[str, Any]:
    return {"name": chip.name, "title": chip.title, "process": chip.process, "figures": len(chip.figures())}


def _figure_row(figure: Any) -> dict[str, Any]:
    interval = f"{figure.low:g} to {figure.high:g}" if figure.ranged else ""
    keys = ["name", "value", "unit", "scope", "evidence", "source", "operating_point"]
    return {**{key: getattr(figure, key) for key in keys}, "interval": interval}


def datasets(as_json: Json = False, seed: Seed = 0, root: Root = None, out: OutFile = None) -> None:
    """List the data sets, whether they are here, and where they were looked for.

    Example: SNNKIT_DATA=~/data snnkit datasets
    """
    from snnkit import datasets as room

    rows = [_availability(room, name, root) for name in room.names()]
    emit(rows, as_json=as_json, out=out)
    if not as_json:
        show_table(
            "Data sets (folder: --root, then SNNKIT_DATA)",
            ["name", "here", "what"],
            [[r["name"], "yes" if r["available"] else "no", r["about"]] for r in rows],
        )
        for row in rows:
            if row["hint"]:
                print(f"{row['name']}: {row['hint']}")


def _availability(room: Any, name: str, root: Any) -> dict[str, Any]:
    hint = ""
    try:
        room.locate(name, root=root)
    except room.DataNotFound as error:
        hint = str(error)
    return {"name": name, "about": room.about(name), "available": not hint, "hint": hint}


def info(as_json: Json = False, seed: Seed = 0, out: OutFile = None) -> None:
    """Show versions, threads and folders: what to paste into a bug report.

    Example: snnkit info --json
    """
    import torch

    import snnkit
    from snnkit.datasets import cache_folder
    from snnkit.kernels import dense

    result: dict[str, Any] = {
        "snnkit": snnkit.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bf16_units": dense.bf16_units() or "none",
        "linear_products": _products(dense),
        "cuda": torch.cuda.is_available(),
        "data": os.environ.get("SNNKIT_DATA", ""),
        "cache": str(cache_folder()),
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }
    emit(result, as_json=as_json, out=out)
    if not as_json:
        flat = {k: v for k, v in result.items() if k != "libraries"} | result["libraries"]
        show_table("snnkit", ["what", "value"], [[k, str(v) or "not set"] for k, v in flat.items()])


def _products(dense: Any) -> str:
    """Which products Linear takes on this machine, in words."""
    above = "bfloat16 terms where asked for" if dense.can_split() else "no bfloat16 terms"
    return (
        f"event-driven up to {100 * dense.CROSSOVER:g} % spikes (weight gradient {100 * dense.CROSSOVER_WEIGHT:g} %), "
        f"sgemm above; {above}"
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
