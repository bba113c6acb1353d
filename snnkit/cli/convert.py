"""ANN to SNN from the command line."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnkit.cli.common import Json, OutFolder, Seed, emit, existing_file, screen, show_table
from snnkit.cli.output import output_folder
from snnkit.errors import UserError, nearest

if TYPE_CHECKING:
    from torch import nn

    from snnkit.conversion import Converted


def convert(
    model: Annotated[
        str | None,
        typer.Argument(help="Your ANN as MODULE:NAME, a torch.nn.Sequential or a function that makes one."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Its weights, a .safetensors file.")
    ] = None,
    method: Annotated[
        str, typer.Option("--method", help="How thresholds are set: qcfs or percentile.")
    ] = "qcfs",
    timesteps: Annotated[
        str, typer.Option("--timesteps", help="Time steps to measure, separated by commas.")
    ] = "1,2,4,8,16,32",
    as_json: Json = False,
    seed: Seed = 0,
    out: OutFolder = None,
) -> None:
    """Convert an ANN to spikes and measure its accuracy against time steps, on scikit-learn's 8x8 digits.

    Without MODEL a CNN is trained first, once with ReLU and once with QCFS activations, and both are converted.
    Thresholds come from training images, accuracy from test images.

    Example: snnkit convert mymodels:make_cnn --weights cnn.safetensors --method percentile
    """
    from snnkit.conversion.converter import METHODS

    if method not in METHODS:
        raise UserError(f"there is no method '{method}'; {nearest(method, METHODS)}")
    steps = _steps(timesteps)
    with output_folder(out) as folder:
        if model is None:
            if weights is not None:
                raise UserError(
                    "--weights needs the model they belong to: snnkit convert MODULE:NAME --weights FILE"
                )
            result = _built_in(seed, steps)
        else:
            result = _users(model, weights, method, steps, folder)
        emit(result, as_json=as_json, out=folder / "conversion.json")
    if not as_json:
        rows = [
            [name, f"{r['ann']:.4f}", *(f"{accuracy:.4f}" for accuracy in r["snn"])]
            for name, r in result["methods"].items()
        ]
        title = f"Accuracy on {next(iter(result['methods'].values()))['n']} test images"
        show_table(title, ["thresholds", "ANN", *(f"T={t}" for t in steps)], rows)


def _steps(text: str) -> list[int]:
    try:
        steps = sorted({int(part) for part in text.split(",")})
    except ValueError:
        steps = []
    if not steps or steps[0] < 1:
        raise UserError(f"--timesteps takes whole numbers of at least 1, such as 1,2,4,8; got '{text}'")
    return steps


def _built_in(seed: int, steps: list[int]) -> dict[str, Any]:
    from rich.progress import Progress

    from snnkit.conversion.digits import digits_conversion

    with Progress(console=screen, transient=True) as bar:
        task = bar.add_task("training two CNNs", total=1.0)
        return digits_conversion(
            seed, timesteps=steps, progress=lambda share: bar.update(task, completed=share)
        )


def _users(model: str, weights: Path | None, method: str, steps: list[int], folder: Path) -> dict[str, Any]:
    import snnkit
    from snnkit.conversion import accuracy_by_timesteps
    from snnkit.conversion.digits import digits_images

    ann, data = load_ann(model, weights), digits_images()
    images = data.train_images
    snn: Converted = snnkit.convert(ann, images, method=method, timesteps=steps[-1])  # type: ignore[arg-type]
    result = accuracy_by_timesteps(ann, snn, data.test_images, data.test_labels, steps)
    graph = snnkit.to_nir(snn.net, input_shape=tuple(images.shape[1:]))
    snnkit.interop.write_nir(graph, folder / "network.nir")
    return {"model": model, "methods": {method: {**result, "thresholds": snn.thresholds}}}


def load_ann(model: str, weights: Path | None) -> nn.Module:
    """The module behind MODULE:NAME, with weights from a safetensors file.

    The module is imported from the current folder or the installed packages; naming it is what runs its code, as
    with `python -m`. Weight files hold numbers only.
    """
    from torch import nn

    module_name, _, attribute = model.partition(":")
    if not attribute:
        raise UserError(f"expected MODULE:NAME, such as mymodels:make_cnn, got '{model}'")
    sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name.removesuffix(".py")), attribute)
    except ModuleNotFoundError as error:
        raise UserError(
            f"cannot import '{error.name}'; run snnkit in the folder of {module_name}.py"
        ) from None
    except AttributeError:
        raise UserError(f"module {module_name} has no '{attribute}'") from None
    finally:
        sys.path.pop(0)
    ann = found() if callable(found) and not isinstance(found, nn.Module) else found
    if not isinstance(ann, nn.Module):
        raise UserError(
            f"{model} should be a torch.nn.Sequential or make one, but gives {type(ann).__name__}"
        )
    if weights is not None:
        from snnkit.training import load_weights

        load_weights(ann, existing_file(weights, "weights as a .safetensors file"))
    return ann.eval()
