"""Weights on disk: safetensors for the numbers, JSON for what they are. No pickle: loading runs no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from snnkit.errors import UserError
from snnkit.files import beside, prepare_folder, write_text

FORMAT = "snnkit-weights-1"


class CheckpointError(UserError):
    """A weights file that is missing, damaged, or made for another network."""


def save_weights(net: nn.Module, path: str | Path, *, meta: Mapping[str, Any] | None = None) -> Path:
    """Write `net`'s parameters and buffers to `path` (.safetensors) and, beside it, `<name>.json`.

    The JSON holds the shape and type of every tensor and your `meta` (anything JSON can hold). Both files
    appear whole or not at all; the weights come last, so weights never stand beside the JSON of an older
    network.

    Returns the path of the safetensors file (the suffix is added when missing).
    """
    path = _with_suffix(path)
    state = {name: t.detach().cpu().contiguous().clone() for name, t in net.state_dict().items()}
    described = {
        name: {"shape": list(t.shape), "dtype": str(t.dtype).removeprefix("torch.")}
        for name, t in state.items()
    }
    card = {"format": FORMAT, "network": type(net).__name__, "tensors": described, "meta": dict(meta or {})}
    text = json.dumps(card, indent=2)  # before any file is touched: meta may hold something JSON cannot
    prepare_folder(path.parent)
    write_text(path.with_suffix(".json"), text + "\n")
    with beside(path) as temporary:
        save_file(state, temporary, metadata={"format": FORMAT})
    return path


def load_weights(net: nn.Module, path: str | Path) -> dict[str, Any]:
    """Load what `save_weights` wrote into `net`, in place; return the `meta` saved with it.

    Nothing is changed unless every tensor fits. Raises CheckpointError, naming every tensor that is missing,
    unknown or of another shape, or saying that the file is absent or damaged.
    """
    path = _with_suffix(path)
    if not path.is_file():
        raise CheckpointError(f"no weights at {path}; give the file that save_weights or fit(out=...) wrote")
    try:
        found = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}); train again or copy it anew"
        ) from None
    wanted = net.state_dict()
    wrong = _mismatches(wanted, found)
    if wrong:
        raise CheckpointError(
            f"{path} was saved from another network: {'; '.join(wrong)}. Build the same network first."
        )
    net.load_state_dict(found)
    return _read_meta(path.with_suffix(".json"))


def _mismatches(wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> list[str]:
    wrong = [f"'{name}' is missing in the file" for name in wanted if name not in found]
    wrong += [f"'{name}' is not in this network" for name in found if name not in wanted]
    for name in wanted.keys() & found.keys():
        here, there = tuple(wanted[name].shape), tuple(found[name].shape)
        if here != there:
            wrong.append(f"'{name}' has shape {there} in the file and {here} in this network")
    return sorted(wrong)


def _read_meta(path: Path) -> dict[str, Any]:
    """The JSON is for people and tools; weights without it still load."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")).get("meta", {}))
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); delete it to load the weights without it"
        ) from None


def _with_suffix(path: str | Path) -> Path:
    path = Path(path)
    return path if path.suffix == ".safetensors" else path.with_name(path.name + ".safetensors")
