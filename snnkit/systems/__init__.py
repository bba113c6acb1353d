"""Published systems, run again here: what was published beside what we measure, over several seeds.

    snnkit reproduce                 the systems there are
    snnkit reproduce tempotron --quick

A system is a module with `TITLE`, `SOURCE` and `run(setting) -> Reproduction`.
"""

from __future__ import annotations

import importlib
from typing import Any

from snnkit.errors import UserError, nearest
from snnkit.systems.reproduction import Measured, Reproduction, Setting

MODULES = {"diehl-cook": "diehl_cook", "hlop": "hlop", "lzc": "lzc", "tempotron": "tempotron"}

__all__ = ["MODULES", "Measured", "Reproduction", "Setting", "about", "names", "reproduce"]


def names() -> list[str]:
    """Names that `reproduce` knows."""
    return sorted(MODULES)


def about(name: str) -> tuple[str, str]:
    """Title and source of a system."""
    module = _module(name)
    return module.TITLE, module.SOURCE


def reproduce(name: str, setting: Setting | None = None) -> Reproduction:
    """Run a system's experiment.

    Raises:
        UserError: there is no such system; DataNotFound if it needs data that are not here.
    """
    return _module(name).run(setting or Setting())


def _module(name: str) -> Any:
    if name not in MODULES:
        raise UserError(f"there is no system {name!r}; {nearest(name, MODULES)}")
    return importlib.import_module(f"snnkit.systems.{MODULES[name]}")
