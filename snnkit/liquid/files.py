"""Liquids in files: safetensors with a JSON header. Loading one runs no code; rules and neurons are found by name.

Layout: tensors `<projection>.pre`, `.post`, `.w`, `.delay`, `.port`, `.sign`, `.positions`; `begin.<state>`; options of neuron and
rules that are arrays. The header `snnkit.liquid` holds names, options, constants and dt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnkit import files
from snnkit.errors import UserError
from snnkit.liquid.liquid import Liquid
from snnkit.liquid.neuron_data import neuron_from, neuron_options
from snnkit.liquid.projection import Projection
from snnkit.plasticity import registry
from snnkit.plasticity.rule import Modulators, Rule

HEADER, VERSION = "snnkit.liquid", 1
ARRAYS = ("pre", "post", "w", "delay", "sign", "positions")


def save(liquid: Liquid, path: str | Path) -> None:
    """Write a liquid with its present weights to a `.safetensors` file, whole or not at all.

    Raises:
        UserError: a rule is of your own and not registered, or the neuron cannot be told in names and numbers.
    """
    from safetensors.torch import save as pack

    tensors: dict[str, Tensor] = {}
    header = {
        "version": VERSION,
        "neuron": _plain(neuron_options(liquid.neuron), "neuron", tensors),
        "modulators": _made("the modulators", liquid.modulators, "modulators", tensors),
        "projections": [_projection(liquid, label, tensors) for label in liquid.labels],
        "numbers": liquid.numbers,
        "dt": liquid.dt,
        "dense": liquid.dense,
    }
    tensors |= {f"begin.{k}": v.detach().cpu().contiguous() for k, v in liquid.begin().items()}
    data = pack(tensors, metadata={HEADER: json.dumps(header)})
    with files.beside(Path(path)) as temporary:
        temporary.write_bytes(data)


def load(path: str | Path) -> Liquid:
    """The liquid of a file that `save` wrote.

    Raises:
        UserError: it is no such file, or names a rule or neuron that is not known here.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER)
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read the liquid {path}: {error}") from None
    if text is None:
        raise UserError(f"{path} holds no liquid: it has no header {HEADER!r}; `save` writes one")
    try:
        header = json.loads(text)
        if header["version"] != VERSION:
            raise UserError(f"{path} is of version {header['version']}, this snnkit reads {VERSION}")
        return _build(header, tensors)
    except (KeyError, json.JSONDecodeError, AttributeError, TypeError) as error:
        raise UserError(f"{path} is damaged: {type(error).__name__} {error}") from None


def _build(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Liquid:
    groups: tuple[dict[str, Projection], ...] = ({}, {})
    for entry in header["projections"]:
        arrays = {
            k: tensors[f"{entry['label']}.{k}"].numpy() for k in ARRAYS if f"{entry['label']}.{k}" in tensors
        }
        port = tensors[f"{entry['label']}.port"].numpy() if entry["port"] is None else entry["port"]
        rule = _remade(entry["rule"], tensors, Rule)
        groups[bool(entry["recurrent"])][entry["label"]] = Projection(
            shape=tuple(entry["shape"]), port=port, rule=rule, **arrays
        )
    liquid = Liquid(
        neuron_from(_unplain(header["neuron"], tensors)),
        groups[0],
        groups[1],
        _remade(header["modulators"], tensors, Modulators),
        dt=header["dt"],
        dense=header["dense"],
    )
    if list(liquid.numbers) != list(header["numbers"]):
        raise UserError(
            "a rule registered here has other constants than the file: it was made by another version"
        )
    liquid.numbers = {k: float(v) for k, v in header["numbers"].items()}
    real = tensors[f"{liquid.labels[0]}.w"].dtype
    liquid = liquid.to(real)
    states = {k: tensors[f"begin.{k}"] for k in liquid.begin()}
    weights = {}
    for label in liquid.labels:  # sorted when saved, and sorting again changes nothing
        weights[label] = tensors[f"{label}.w"]
    return liquid._with(weights, states)


def _projection(liquid: Liquid, label: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    part, p = liquid._part(label), liquid.projection(label)
    for name in ARRAYS:
        value = getattr(p, name)
        if value is not None:
            tensors[f"{label}.{name}"] = torch.from_numpy(np.array(value))
    tensors[f"{label}.w"] = liquid._weights(label).contiguous()
    plain = isinstance(p.port, int | str)
    if not plain:
        tensors[f"{label}.port"] = torch.from_numpy(np.array(p.port))
    return {
        "label": label,
        "shape": list(p.shape),
        "recurrent": part.recurrent,
        "port": p.port if plain else None,
        "rule": _made(f"the rule of {label}", p.rule, f"rule.{label}", tensors),
    }


def _made(what: str, owner: Rule | Modulators | None, where: str, tensors: dict[str, Tensor]) -> Any:
    if owner is None:
        return None
    if owner.made_by is None:
        raise UserError(
            f"{what} has no name, so it cannot be saved: put it into a function that makes it, write "
            "`@snnkit.plasticity.register` above that, and call the function"
        )
    name, options = owner.made_by
    frozen = isinstance(owner, Rule) and not owner.plastic and registry.made(name, dict(options)).plastic
    return {"name": name, "options": _plain(dict(options), where, tensors), "frozen": frozen}


def _remade(entry: Mapping[str, Any] | None, tensors: Mapping[str, Tensor], kind: type) -> Any:
    if entry is None:
        return None
    owner = registry.made(entry["name"], _unplain(entry["options"], tensors))
    if not isinstance(owner, kind):
        raise UserError(f"the file uses {entry['name']!r} as {kind.__name__}, but it is not one")
    return owner.frozen() if isinstance(owner, Rule) and entry["frozen"] else owner


def _plain(value: Any, where: str, tensors: dict[str, Tensor]) -> Any:
    """A value in JSON's words; arrays go among the tensors."""
    if isinstance(value, np.ndarray | Tensor):
        tensors[where] = torch.as_tensor(value).detach().cpu().clone().contiguous()
        return {"tensor": where}
    if isinstance(value, Mapping):
        return {"map": {k: _plain(v, f"{where}.{k}", tensors) for k, v in value.items()}}
    if isinstance(value, tuple | list):
        return {"tuple": [_plain(v, f"{where}.{k}", tensors) for k, v in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UserError(f"{where} cannot be saved: {value!r} is no number, string, array or tuple")


def _unplain(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "map" in value:
        return {k: _unplain(v, tensors) for k, v in value["map"].items()}
    return tuple(_unplain(v, tensors) for v in value["tuple"])
