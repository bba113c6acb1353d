"""A saved network on a chip: energy per inference, deployment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnkit.cli.common import (
    Json,
    OutFile,
    OutFolder,
    Root,
    Seed,
    emit,
    existing_file,
    screen,
    show_table,
    si,
)
from snnkit.errors import UserError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from snnkit.events import EventTensor

Network = Annotated[Path, typer.Argument(help="A network as a .nir file.", show_default=False)]
Data = Annotated[str, typer.Option("--data", help="Data set whose test samples are run.")]
Samples = Annotated[
    int, typer.Option("--samples", min=1, help="How many test samples to run, drawn by --seed.")
]
Step = Annotated[
    float | None, typer.Option("--dt", help="Time step [s]; needed only where the file holds none.")
]


def energy(
    network: Network,
    data: Data = "digits",
    chip: Annotated[
        list[str] | None, typer.Option("--chip", help="A chip; may be repeated. Default: all.")
    ] = None,
    samples: Samples = 64,
    rate: Annotated[
        float | None,
        typer.Option("--rate", help="Inferences per second, to charge standing power over the period."),
    ] = None,
    dt: Step = None,
    root: Root = None,
    as_json: Json = False,
    seed: Seed = 0,
    out: OutFile = None,
) -> None:
    """Energy and latency per inference, from spikes and synaptic operations on real test samples.

    Example: snnkit energy build/demo/network.nir --data digits --chip loihi --chip speck
    """
    import snnkit
    from snnkit import hardware

    for name in chip or []:
        hardware.chip(name)  # a typo is found before any work is done
    net, graph = open_network(network, dt)
    events, _ = test_events(net, graph, data, samples, seed, root)
    with snnkit.trace(net) as activity:
        net(events)
    reports = estimates(graph, activity, chip or None, rate)
    result = {
        "network": str(network),
        "data": data,
        "samples": activity.samples,
        "activity": activity.to_dict(),
        "chips": {name: report.to_dict() for name, report in reports.items()},
    }
    emit(result, as_json=as_json, out=out)
    if as_json:
        return
    rows = [energy_row(report, graph) for report in reports.values()]
    show_table(f"One inference, mean of {activity.samples} test samples of {data}", ENERGY_COLUMNS, rows)
    print(ENERGY_NOTE)
    for name in chip or []:
        print(reports[name].table())


ENERGY_COLUMNS = [
    "chip",
    "fits",
    "energy",
    "interval",
    "neural dynamic",
    "system",
    "static",
    "latency",
    "equal ANN",
]
ENERGY_NOTE = (
    "fits: cores the network takes on one chip, or no; a dash where limits, an interval, or a part of the energy, are not published "
    "or not modelled."
)


def energy_row(report: Any, graph: Any) -> list[str]:
    """One line of the table of chips."""
    low, high = si(report.low_j, "J"), si(report.high_j, "J")
    parts = [report.neural_dynamic.value, report.system_dynamic.value, report.static.value]
    return [
        report.chip,
        fits(graph, report.chip),
        si(report.energy_j, "J"),
        f"{low} … {high}" if low != high else "–",
        *(si(joules or None, "J") for joules in parts),
        si(report.latency_s, "s"),
        si(report.ann_energy_j, "J"),
    ]


def fits(graph: Any, chip: str) -> str:
    """How many cores of a chip the network takes, "no" if it has too few, a dash where placement has no rules."""
    from snnkit import hardware

    try:
        return str(hardware.place(graph, chip).n_cores)
    except hardware.DoesNotFit:
        return "no"
    except UserError:
        return "–"


def estimates(
    graph: Any, activity: Any, names: list[str] | None, rate: float | None = None
) -> dict[str, Any]:
    """Reports by chip. Without `names`, all chips for which energy has been published."""
    from snnkit import hardware

    found = {}
    for name in names or hardware.chips():
        try:
            found[name] = hardware.estimate(graph, activity, chip=name, rate_hz=rate)
        except hardware.NoEnergy:
            if names:
                raise
    return found


def deploy(
    network: Network,
    out: OutFolder,
    target: Annotated[
        str, typer.Option("--target", help="What to deploy for: see hardware.targets().")
    ] = "loihi",
    data: Data = "digits",
    samples: Samples = 64,
    dt: Step = None,
    root: Root = None,
    as_json: Json = False,
    seed: Seed = 0,
) -> None:
    """Write the config a chip's own tools load, test vectors, and a report of float against integer spikes.

    Example: snnkit deploy build/demo/network.nir --target loihi --out build/loihi
    """
    from snnkit import hardware

    if target not in hardware.targets():
        raise UserError(f"there is no target '{target}'; {nearest(target, hardware.targets())}")
    if out is None:
        raise UserError("a deployment is a folder of files; say where with --out FOLDER")
    net, graph = open_network(network, dt)
    events, labels = test_events(net, graph, data, samples, seed, root)
    deployment = hardware.deploy(graph, target=target, out=out, vectors=events, labels=labels)
    emit({"folder": str(deployment.folder), "report": deployment.report}, as_json=as_json)
    if not as_json:
        print(deployment.table())


def open_network(path: Path, dt: float | None) -> tuple[Any, Any]:
    """A network and its NIR graph from a .nir file."""
    import snnkit

    existing_file(path, "a network as a .nir file (snnkit train --out FOLDER writes one)")
    net = snnkit.load(path, dt=dt).eval()
    return net, snnkit.to_nir(net)


def test_events(
    net: Any, graph: Any, data: str, samples: int, seed: int, root: Path | None
) -> tuple[EventTensor, Tensor]:
    """`samples` test recordings, drawn by chance, as one batch that fits the network."""
    return next(iter(test_samples(net, graph, data, samples, seed, root, batch_size=samples)))


def test_samples(
    net: Any,
    graph: Any,
    data: str,
    samples: int | None,
    seed: int,
    root: Path | None,
    batch_size: int = 64,
) -> Any:
    """Batches of `samples` test recordings, drawn by chance (all of them for None), that fit the network."""
    import numpy as np

    from snnkit import datasets
    from snnkit.training.recipes import RECIPES

    dataset = datasets.load(data, split="test", root=root)
    wanted = input_shape(graph)
    if tuple(dataset.shape) != wanted:
        raise UserError(
            f"the network takes input of shape {wanted}, but recordings of {data} have {tuple(dataset.shape)} "
            "(polarities, height, width); give the data set it was trained on with --data"
        )
    step = next((m.dt for m in net.modules() if getattr(m, "dt", None)), None)
    if step is None:
        raise UserError("the network holds no time step; give it in seconds, for 10 ms: --dt 0.01")
    if samples is not None:
        rng = np.random.default_rng(seed)
        dataset = dataset.subset(np.sort(rng.permutation(len(dataset))[:samples]))
    known = RECIPES.get(data)  # as long as in training, so that figures are the same
    steps = known.steps if known is not None and known.dt == step else None
    batches = datasets.batches(dataset, dt=step, steps=steps, batch_size=batch_size)
    screen.print(f"running {len(dataset)} test samples of {data}: {batches.steps} steps of {step:g} s")
    return batches


def input_shape(graph: Any) -> tuple[int, ...]:
    """*N of the input node of a NIR graph."""
    for node in graph.nodes.values():
        if type(node).__name__ == "Input":
            return tuple(int(n) for n in next(iter(node.input_type.values())))
    raise UserError("the NIR file has no Input node, so it does not say what it takes")
