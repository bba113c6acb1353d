"""Training from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnkit.cli.common import Json, OutFolder, Root, Seed, emit, show_table
from snnkit.cli.output import growing_folder
from snnkit.errors import UserError

if TYPE_CHECKING:
    from snnkit.training.recipes import Trained


def train(
    dataset: Annotated[str, typer.Argument(help="digits (built in) or nmnist.")] = "digits",
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="How many networks, with seeds from --seed up.")
    ] = 3,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes over the training set.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Samples per step.")] = None,
    dt: Annotated[float | None, typer.Option("--dt", help="Time step in seconds, such as 0.01.")] = None,
    root: Root = None,
    as_json: Json = False,
    seed: Seed = 0,
    out: OutFolder = None,
) -> None:
    """Train a spiking network on event recordings with surrogate gradients and test it once at the end.

    --out gets the network of the first seed as network.nir, weights and history of every seed, and training.json.

    Example: SNNKIT_DATA=~/data snnkit train nmnist --out runs/nmnist
    """
    changes = {"epochs": epochs, "lr": lr, "batch_size": batch_size, **_time(dataset, dt)}
    with growing_folder(out) as folder:
        result, _ = run_training(
            dataset, range(seed, seed + seeds), folder, folder / "network.nir", root=root, **changes
        )
        emit(result, as_json=as_json, out=folder / "training.json")
    if as_json:
        return
    rows = [[str(s), f"{a:.4f}"] for s, a in zip(result["seeds"], result["accuracy"], strict=True)]
    rows.append(["mean", f"{result['mean']:.4f} ± {result['std']:.4f}"])
    minutes = result["seconds"] / 60
    show_table(
        f"Test accuracy on {result['test_samples']} recordings of {dataset} "
        f"({result['parameters']} parameters, {minutes:.1f} min)",
        ["seed", "accuracy"],
        rows,
    )


def run_training(
    dataset: str, seeds: range, folder: Path, network: Path, *, root: Path | None = None, **changes: Any
) -> tuple[dict[str, Any], Trained]:
    """Train a recipe for every seed into `folder`; the first network is written to `network` and handed back."""
    import snnkit
    from snnkit.training.recipes import train_recipe

    first: list[Trained] = []

    def keep(trained: Trained) -> None:
        if not first:
            first.append(trained)
            snnkit.save(trained.net, network, input_shape=recipe_sensor(dataset))

    result = train_recipe(dataset, seeds, out=folder, root=root, on_trained=keep, **changes)
    for run in result["runs"]:  # relative: the folder may move
        run["training"]["weights"] = str(Path(run["training"]["weights"]).relative_to(folder))
    return result, first[0]


def recipe_sensor(dataset: str) -> tuple[int, int, int]:
    """*N of the input of a recipe's network."""
    from snnkit.training.recipes import recipe

    return recipe(dataset).sensor


def _time(dataset: str, dt: float | None) -> dict[str, Any]:
    """Another time step covers the same duration in as many steps as that takes."""
    from snnkit.training.recipes import recipe

    if dt is None:
        return {}
    known = recipe(dataset)
    if not 0 < dt < known.tau:
        raise UserError(
            f"--dt is in seconds and must lie between 0 and the membrane time constant of {known.tau:g} s, got {dt:g}; "
            f"for {known.dt * 1e3:g} ms write --dt {known.dt:g}"
        )
    return {"dt": dt, "steps": max(1, round(known.dt * known.steps / dt))}
