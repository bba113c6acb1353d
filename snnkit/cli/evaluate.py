"""Accuracy of a saved network."""

from __future__ import annotations

from typing import Annotated

import typer

from snnkit.cli.chipside import Data, Network, Step, open_network, test_samples
from snnkit.cli.common import Json, OutFile, Root, Seed, emit, show_table


def evaluate(
    network: Network,
    data: Data = "digits",
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="Only so many test samples, drawn by --seed.")
    ] = None,
    dt: Step = None,
    root: Root = None,
    as_json: Json = False,
    seed: Seed = 0,
    out: OutFile = None,
) -> None:
    """Accuracy and confusion of a network on test recordings.

    Example: snnkit evaluate build/demo/network.nir --data digits
    """
    import snnkit
    from snnkit.threads import one_thread

    net, graph = open_network(network, dt)
    batches = test_samples(net, graph, data, samples, seed, root)
    with one_thread():
        found = snnkit.evaluate(net, batches)
    emit({"network": str(network), "data": data, **found.to_dict()}, as_json=as_json, out=out)
    if not as_json:
        classes = [str(k) for k in range(len(found.confusion))]
        rows = [[k, *(str(n) for n in row)] for k, row in zip(classes, found.confusion, strict=True)]
        title = f"accuracy {found.accuracy:.4f} on {found.n} test samples of {data}; rows: true class"
        show_table(title, ["class", *classes], rows)
