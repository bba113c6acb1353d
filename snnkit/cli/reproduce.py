"""Published systems from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnkit.cli.common import Json, OutFolder, Root, Seed, emit, screen, show_table
from snnkit.cli.output import output_folder
from snnkit.errors import UserError


def reproduce(
    name: Annotated[str | None, typer.Argument(help="The system; without it, those there are.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small and in seconds: shows that it runs.")] = False,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds", min=1, help="How many seeds, from --seed on; 3 unless the system wants more."
        ),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Where the system offers several.")] = None,
    neurons: Annotated[int | None, typer.Option(help="Size, where the system offers several.")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Folder of finished parts: the same command goes on where it stopped.")
    ] = None,
    as_json: Json = False,
    seed: Seed = 0,
    root: Root = None,
    out: OutFolder = None,
) -> None:
    """Run the experiment of a published system: published figures beside ours, by seed, with pictures.

    Example: snnkit reproduce tempotron --out build/tempotron
    """
    from snnkit import systems
    from snnkit.systems.reproduction import QUICK

    if name is None:
        found = [
            dict(zip(("name", "title", "source"), (n, *systems.about(n)), strict=True))
            for n in systems.names()
        ]
        emit(found, as_json=as_json)
        if out is not None:
            raise UserError("--out needs a system to reproduce: snnkit reproduce NAME --out FOLDER")
        if not as_json:
            show_table(
                "Systems (snnkit reproduce NAME)", ["name", "what"], [[f["name"], f["title"]] for f in found]
            )
        return
    with output_folder(out) as folder:
        with screen.status(f"{name} ...") as status:
            seeds = seeds or (3 if quick else systems.seeds(name))
            setting = systems.Setting(
                quick,
                tuple(range(seed, seed + seeds)),
                root,
                lambda text: status.update(f"{name}: {text}"),
                dataset,
                neurons,
                keep,
            )
            result = systems.reproduce(name, setting)
        result.write(folder)
        emit(result.as_dict(), as_json=as_json)
    if not as_json:
        columns, rows = result.table()
        show_table(f"{result.title} ({result.seconds:.0f} s)", columns, rows)
        print(f"What differs: {result.differs}")
        if quick:
            print(QUICK)
        if out is not None:
            print(f"Table and pictures are in {out}")
