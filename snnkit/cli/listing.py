"""What there is: chips, data sets, and this installation."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Annotated, Any

import typer

from snnkit.cli.common import Json, OutFile, Root, Seed, emit, show_table
from snnkit.errors import UserError

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


def datasets(
    name: Annotated[
        str | None,
        typer.Argument(help="Show all that is known of this data set, or choose it for the options."),
    ] = None,
    where: Annotated[
        bool, typer.Option("--where", help="Show where the files are, and what is kept of them in the cache.")
    ] = False,
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete what is kept in the cache, of one data set or of all.")
    ] = False,
    as_json: Json = False,
    seed: Seed = 0,
    root: Root = None,
    out: OutFile = None,
) -> None:
    """List the data sets, or show one: terms, origin, size, splits, and where its files are or should be.

    Example: SNNKIT_DATA=~/data snnkit datasets shd
    """
    from snnkit import datasets as room
    from snnkit.datasets import store

    if name is not None:
        room.info(name)  # a typo is noticed before anything is deleted
    if where and clear:
        raise UserError("--where only looks and --clear deletes: give one of them")
    if clear or where:
        found = store.clear(name) if clear else store.cached_folders(name)
        _show_cached(room, found, name, root, deleted=clear, as_json=as_json, out=out)
    elif name is not None:
        _show_dataset(room, name, root, as_json=as_json, out=out)
    else:
        _list_datasets(room, root, as_json=as_json, out=out)


def _list_datasets(room: Any, root: Any, *, as_json: bool, out: Any) -> None:
    rows = [_availability(room, name, root) for name in room.names()]
    emit(rows, as_json=as_json, out=out)
    if not as_json:
        show_table(
            "Data sets (folder: --root, then SNNKIT_DATA; snnkit datasets NAME says more)",
            ["name", "here", "kind", "what"],
            [[r["name"], "yes" if r["available"] else "no", r["kind"], r["about"]] for r in rows],
        )


def _availability(room: Any, name: str, root: Any) -> dict[str, Any]:
    hint = place = ""
    try:
        place = room.locate(name, root=root)
    except room.DataNotFound as error:
        hint = str(error)
    found = {"name": name, "kind": room.info(name).kind, "about": room.about(name)}
    return {**found, "available": not hint, "where": place, "hint": hint}


def _show_dataset(room: Any, name: str, root: Any, *, as_json: bool, out: Any) -> None:
    entry = room.info(name)
    here = _availability(room, name, root)
    samples = {split: entry.samples.get(split) for split in entry.splits}
    facts = {
        "kind": entry.kind,
        "splits": samples,
        "classes": entry.classes,
        "sensor": list(entry.grid) if entry.grid else None,
        "shape": entry.shape,
        "licence": entry.licence,
        "citation": entry.citation,
        "source": entry.source,
        "size": entry.size,
        "checksums": dict(entry.checksums),
        "notes": entry.notes,
    }
    emit({**here, **facts}, as_json=as_json, out=out)
    if as_json:
        return
    shape = "polarities, height, width: " + " x ".join(map(str, entry.grid)) if entry.grid else entry.shape
    rows = [
        ["splits", ", ".join(f"{s} ({n})" if n else s for s, n in samples.items())],
        ["classes", str(entry.classes)],
        ["a sample", shape],
        ["licence", entry.licence],
        ["citation", entry.citation],
        ["source", entry.source],
        [
            "download",
            f"{entry.size / 1e6:.1f} MB" if entry.size else "-" if entry.built_in else "size not stated",
        ],
        *([file, checksum] for file, checksum in entry.checksums.items()),
        *([["notes", entry.notes]] if entry.notes else []),
        ["here", here["where"] or here["hint"]],
    ]
    print(f"{name}: {entry.summary}\n")
    for what, value in rows:
        print(f"  {what:<28}{value}")


def _show_cached(
    room: Any, found: list[Any], name: str | None, root: Any, *, deleted: bool, as_json: bool, out: Any
) -> None:
    from snnkit.datasets import store

    folders = [{"name": c.name, "folder": str(c.folder), "bytes": c.size, "whole": c.whole} for c in found]
    files = [_availability(room, n, root) for n in ([name] if name else room.names())]
    here = {row["name"]: row["where"] for row in files if row["available"]}
    result = {"cache": str(store.cache_folder()), "deleted" if deleted else "cached": folders, "files": here}
    emit(result, as_json=as_json, out=out)
    if as_json:
        return
    rows = [
        [f["name"], f"{f['bytes'] / 1e6:.1f} MB", "" if f["whole"] else "unfinished", f["folder"]]
        for f in folders
    ]
    title = f"{'Deleted from' if deleted else 'Kept in'} the cache, {store.cache_folder()}"
    show_table(title, ["name", "size", "", "folder"], rows)
    if not deleted:
        show_table("Files", ["name", "folder or file"], [[n, place] for n, place in here.items()])


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
    provider = dense.products.provider()
    forward, gradient = dense.limits()
    return (
        f"event-driven up to {100 * forward:g} % spikes (weight gradient {100 * gradient:g} %), "
        f"{'sgemm' if provider == 'torch' else provider} above; {above}"
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
