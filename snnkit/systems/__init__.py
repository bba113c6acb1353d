"""Published systems, run again here: what was published beside what we measure, over several seeds.

    snnkit reproduce                 the systems there are
    snnkit reproduce tempotron --quick

A system is a module with `TITLE`, `SOURCE` and `run(setting) -> Reproduction`, and with `CHOICES` where it offers several
datasets or sizes: {"dataset": ("mnist", ...), "neurons": (1000, ...)}, the first taken if none is given. `SEEDS` says how many
seeds it wants where three are not enough.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

from snnkit.errors import UserError, nearest
from snnkit.systems.reproduction import Measured, Reproduction, Setting

MODULES = {
    "dcls-delays": "dcls_delays",
    "diehl-cook": "diehl_cook",
    "hlop": "hlop",
    "l2mu": "l2mu",
    "lyapunov-pruning": "lyapunov_pruning",
    "lzc": "lzc",
    "nalsm": "nalsm",
    "place-ensemble": "places.ensemble",
    "tempotron": "tempotron",
    "vprtempo": "places.tempo",
    "zero-shot": "zero_shot",
}

__all__ = ["MODULES", "Measured", "Reproduction", "Setting", "about", "names", "reproduce", "seeds"]


def names() -> list[str]:
    """Names that `reproduce` knows."""
    return sorted(MODULES)


def about(name: str) -> tuple[str, str]:
    """Title and source of a system."""
    module = _module(name)
    return module.TITLE, module.SOURCE


def seeds(name: str) -> int:
    """How many seeds a system runs with if nobody says."""
    return getattr(_module(name), "SEEDS", 3)


def reproduce(name: str, setting: Setting | None = None) -> Reproduction:
    """Run a system's experiment.

    Raises:
        UserError: there is no such system, or it has no such dataset or size; DataNotFound if it needs data that are not here.
    """
    module, setting = _module(name), setting or Setting()
    offers = getattr(module, "CHOICES", {})
    dataset = _chosen(name, "dataset", setting.dataset, offers.get("dataset", ()))
    neurons = _chosen(name, "neurons", setting.neurons, offers.get("neurons", ()))
    kind = "-".join(str(part) for part in (name, dataset, neurons) if part is not None)
    keep = None if setting.keep is None else setting.keep / kind  # one folder serves all systems
    return module.run(replace(setting, dataset=dataset, neurons=neurons, keep=keep))


def _chosen(system: str, what: str, given: Any, offered: tuple[Any, ...]) -> Any:
    if given is None:
        return offered[0] if offered else None
    if given not in offered:
        choice = ", ".join(map(str, offered)) if offered else "no choice; leave it out"
        raise UserError(f"{system} does not run with --{what} {given}; it offers {choice}")
    return given


def _module(name: str) -> Any:
    if name not in MODULES:
        raise UserError(f"there is no system {name!r}; {nearest(name, MODULES)}")
    return importlib.import_module(f"snnkit.systems.{MODULES[name]}")
