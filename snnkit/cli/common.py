"""What every command shares: its options, its printing, its checks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from snnkit.errors import UserError
from snnkit.files import write_text

# People read stderr, programs read stdout: --json output is never mixed with progress bars.
screen = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
OutFolder = Annotated[Path | None, typer.Option("--out", help="Folder to write results to.")]
OutFile = Annotated[Path | None, typer.Option("--out", help="File to write the JSON result to.")]
Root = Annotated[
    Path | None, typer.Option("--root", help="Folder with the data; otherwise SNNKIT_DATA, then the cache.")
]


def emit(result: dict[str, Any] | list[Any], *, as_json: bool, out: Path | None = None) -> None:
    """Hand a result to programs: to standard output when `as_json`, and to the file `out` if given."""
    text = json.dumps(result, indent=2, allow_nan=False)
    if out is not None:
        write_text(out, text + "\n")
    if as_json:
        print(text)


def show_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table for people; into a file or pipe as wide as it needs to be."""
    table = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1))
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


def existing_file(path: Path, what: str) -> Path:
    """`path`, if it is a file; otherwise an error that names it."""
    if not path.is_file():
        raise UserError(f"expected {what}, but {path} {'is a folder' if path.is_dir() else 'does not exist'}")
    return path


def si(value: float | None, unit: str) -> str:
    """A quantity with an SI prefix: `si(2.5e-6, "J")` is "2.5 µJ"; None is a dash."""
    if value is None:
        return "–"
    if value == 0:
        return f"0 {unit}"
    for factor, prefix in ((1, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value / 1e-15:.3g} f{unit}"
