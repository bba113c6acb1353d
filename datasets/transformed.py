"""Recordings after a transform: stored under its parameters where these can be told, made anew otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from snnkit.datasets.dataset import EventDataset, Labelled
from snnkit.datasets.store import cached, from_stored
from snnkit.datasets.transforms.base import compose, parameters
from snnkit.datasets.writer import FORMAT, Writer, read_contents
from snnkit.errors import UserError
from snnkit.recordings import Events


def transformed(ds: Labelled, transform: Any, *, seed: int = 0, progress: bool = True) -> Any:
    """`ds` with every sample changed.

    The recordings of a stored dataset are changed once, and the result is stored under the parameters of the transform, the
    seed and the version of snnkit. A function of one's own, whose parameters cannot be told, and one that makes something
    else than recordings, are called whenever a sample is taken out. So is every transform of pictures and signals.

    Args:
        ds: from `load`.
        transform: one change or several, as in `snnkit.datasets.transforms`.
        seed: of changes that draw by chance; recording i draws from the generator of [seed, i].
        progress: show a bar on a terminal.
    """
    known = _known(ds, transform)
    if known is None or not isinstance(ds, EventDataset) or _makes_other(ds, transform, seed):
        return replace(ds, transform=_plain(transform, seed))
    key = {"from": known[0], "transform": known[1], "seed": seed}

    def build(writer: Writer) -> None:
        def changed(i: int) -> Events:
            return _change(transform, ds.packed[i], seed, i)

        writer.fill(range(len(ds.packed)), changed, f"transforming {ds.name}", progress=progress)

    packed = from_stored(cached(f"{ds.name.split(' ', maxsplit=1)[0]}-transformed", key, build))
    return replace(ds, packed=packed)


def _known(ds: Labelled, transform: Any) -> tuple[str, Any] | None:
    """What the recordings are, and the parameters of the transform; None where one of them cannot be told."""
    folder = getattr(getattr(ds, "packed", None), "folder", None)
    contents = None if folder is None else read_contents(folder)
    if contents is None:
        return None
    try:
        return f"{contents['digest']}/{FORMAT}", parameters(transform)
    except UserError:
        return None


def _change(transform: Any, events: Events, seed: int, i: int) -> Any:
    if isinstance(transform, list | tuple):
        transform = compose(transform)
    if getattr(transform, "random", False):
        return transform(events, np.random.default_rng([seed, i]))
    return transform(events)


def _makes_other(ds: EventDataset, transform: Any, seed: int) -> bool:
    """Whether it gives something else than recordings, as frames."""
    return bool(len(ds.packed)) and not isinstance(_change(transform, ds.packed[0], seed, 0), Events)


def _plain(transform: Any, seed: int) -> Callable[[Any], Any]:
    if getattr(transform, "random", False) or isinstance(transform, list | tuple):
        raise UserError(
            f"{transform!r} cannot be stored and draws by chance or is a list: give it to batches(..., augment=...) "
            "or pass one function"
        )
    return transform
