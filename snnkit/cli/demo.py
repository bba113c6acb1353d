"""The whole promise in one command: events, training, conversion, energy, deployment, report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from snnkit.cli.chipside import estimates
from snnkit.cli.common import Json, Seed, emit, screen
from snnkit.cli.findings import TARGET, Findings, summary
from snnkit.cli.output import output_folder
from snnkit.cli.train import run_training
from snnkit.files import write_text


def demo(
    out: Annotated[
        Path, typer.Option("--out", help="Folder for report.html, summary.json and the networks.")
    ] = Path("build/demo"),
    quick: Annotated[
        bool, typer.Option("--quick", help="One short training only: shows the way, not the accuracy.")
    ] = False,
    as_json: Json = False,
    seed: Seed = 0,
) -> None:
    """Train on digit events, convert an ANN, estimate energy, deploy, and write a report. Needs no download.

    Example: snnkit demo --out build/demo
    """
    start = time.perf_counter()
    with output_folder(out) as folder:
        found = run(folder, seed=seed, quick=quick)
        with stage("report", "Report", found):
            from snnkit.cli.demo_report import page  # matplotlib takes a second to import

            write_text(folder / "report.html", page(found).html())
        result = summary(found, seed, time.perf_counter() - start)
        emit(result, as_json=as_json, out=folder / "summary.json")
    digits, qcfs = result["digits"], result["conversion"]["qcfs"]
    screen.print(
        f"\nspiking accuracy {digits['mean']:.4f} ± {digits['std']:.4f} ({len(digits['seeds'])} seeds), "
        f"conversion gap {qcfs['best_gap']:.4f} at T = {qcfs['best_timesteps']}, "
        f"integer agreement {result['deployment']['agreement']:.4f}, {result['seconds']['all']:.0f} s"
    )
    screen.print(f"open {out / 'report.html'}")


def run(folder: Path, *, seed: int, quick: bool) -> Findings:
    """All stages in order, with their files in `folder`."""
    import snnkit
    from snnkit import datasets, hardware
    from snnkit.threads import one_thread
    from snnkit.training.recipes import recipe, test_loader

    found = Findings(quick)
    with stage("data", "Data: 1 797 real digits seen by a simulated event camera", found):
        test = datasets.load("digits", split="test")
        found.dt = recipe("digits").dt
        found.recording = _recording(test, found.dt)
    with stage("training", "Training with surrogate gradients", found):
        changes: dict[str, Any] = {"epochs": 2} if quick else {}
        seeds = range(seed, seed + (1 if quick else 3))
        found.training, trained = run_training(
            "digits", seeds, folder / "training", folder / "network.nir", **changes
        )
        net = trained.net.eval()
    with stage("conversion", "Conversion of a CNN to spikes", found):
        found.conversion = _conversion(seed, quick)
    with stage("energy", "Energy on chips, from test samples", found), one_thread():
        whole = replace(recipe("digits"), batch_size=len(test))
        events, labels = next(iter(test_loader(whole, limit=32 if quick else None)))
        with snnkit.trace(net) as found.activity:
            net(events)
        found.rasters = _rasters(net, events)
        found.graph = graph = snnkit.to_nir(net, input_shape=test.shape)
        found.reports = estimates(graph, found.activity, None)
    with stage("deployment", "Deployment: integers for Loihi, checked against the float network", found):
        found.deployment = hardware.deploy(graph, TARGET, folder / TARGET, vectors=events, labels=labels)
    return found


@contextmanager
def stage(name: str, title: str, found: Findings) -> Iterator[None]:
    """Say what is going on, and how long it took."""
    start = time.perf_counter()
    screen.print(f"[bold]{title}[/bold]")
    yield
    found.seconds[name] = time.perf_counter() - start


def _conversion(seed: int, quick: bool) -> dict[str, Any]:
    from rich.progress import Progress

    from snnkit.conversion.digits import AnnRecipe, digits_conversion

    chosen = replace(AnnRecipe(), epochs=2) if quick else AnnRecipe()
    with Progress(console=screen, transient=True) as bar:
        task = bar.add_task("training two CNNs", total=1.0)
        return digits_conversion(
            seed, recipe=chosen, progress=lambda share: bar.update(task, completed=share)
        )


def _recording(dataset: Any, dt: float) -> dict[str, Any]:
    """One test recording for the report: its image, what each saccade saw, events over time."""
    import numpy as np

    events, label = dataset[0]
    dense = events.tensor(dt=dt).dense()[:, 0].numpy()  # T P H W
    thirds = np.array_split(dense[:, 1] - dense[:, 0], 3)
    return {
        "image": dataset.images[0, 0],
        "frames": np.stack([part.sum(0) for part in thirds]),
        "rate": dense.sum((2, 3)),
        "label": label,
        "events": len(events),
    }


def _rasters(net: Any, events: Any) -> dict[str, Any]:
    """Spikes of the first sample, T x neurons, for the input and every spiking layer."""
    import torch

    x = events.batch(0).dense()
    found = {"input": x.flatten(2)[:, 0].numpy()}
    with torch.no_grad():
        for name, layer in net.named_children():
            x = layer(x)
            if hasattr(layer, "initial_state"):
                found[f"{name} {type(layer).__name__}"] = x.flatten(2)[:, 0].numpy()
    return found
