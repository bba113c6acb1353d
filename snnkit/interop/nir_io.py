"""Networks in .nir files: HDF5 by the package `nir`, written beside and renamed, read without running any code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import nir
from torch import nn

from snnkit.errors import UserError
from snnkit.files import beside
from snnkit.interop.nir_read import READS, from_nir
from snnkit.interop.nir_write import to_nir
from snnkit.layers import Sequential

# What a damaged file makes of h5py, numpy and nir (which asserts).
_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    RuntimeError,
    OverflowError,
)


def save(net: nn.Module, path: str | Path, input_shape: int | Sequence[int] | None = None) -> None:
    """Write a network as a NIR file; see `to_nir` for what it can hold and for `input_shape`."""
    write_nir(to_nir(net, input_shape), path)


def load(path: str | Path, dt: float | None = None) -> Sequential:
    """Read a network from a NIR file; `dt` [s] is needed for files of libraries that do not write it.

    Raises:
        UserError: there is no such file, it is no NIR file, or holds what snnkit cannot run.
    """
    graph = read_nir(path)
    try:
        return from_nir(graph, dt)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def write_nir(graph: nir.NIRGraph, path: str | Path) -> None:
    """Write a graph to a file that appears whole or not at all."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file name, such as {path / 'net.nir'}")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent} to write {path.name} into; create it first")
    with beside(path) as temporary:
        nir.write(temporary, graph)


def read_nir(path: str | Path) -> nir.NIRGraph:
    """Read a graph from a file, with one clear error for anything that is no NIR file."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}; expected a network as a .nir file")
    try:
        with h5py.File(path, "r") as file:
            unknown = _unknown_nodes(file)
    except OSError:
        raise UserError(f"{path} is not a NIR file: it is no HDF5, or it is damaged") from None
    if unknown:
        raise UserError(f"{path} cannot be read: {unknown}")
    try:
        graph = nir.read(path, type_check=False)
    except _DAMAGE as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a valid NIR file: {said}") from None
    if not isinstance(graph, nir.NIRGraph):
        raise UserError(f"{path} holds a single {type(graph).__name__} node; expected a NIR graph")
    return graph


def _unknown_nodes(file: h5py.File) -> str:
    """What is wrong with the nodes of the file; empty if nothing is."""
    nodes = file.get("node/nodes")
    if not isinstance(nodes, h5py.Group):
        return "it is HDF5, but not a NIR graph (there is no group node/nodes)"
    for name, node in nodes.items():
        kind = node.get("type") if isinstance(node, h5py.Group) else None
        if not isinstance(kind, h5py.Dataset):
            return f"node {name} has no type"
        kind = kind[()].decode("utf-8", "replace") if isinstance(kind[()], bytes) else str(kind[()])
        if kind not in nir.ir.__all__ or kind == "NIRNode":
            return (
                f"node {name} is a {kind!r}, which NIR {nir.__version__} does not know; snnkit reads {READS}"
            )
    return ""
