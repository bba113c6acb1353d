"""What a reproduction is given and what it answers: settings, rows of published and measured figures, pictures."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snnkit.errors import UserError
from snnkit.files import prepare_folder, write_text

QUICK = "A quick run: it shows that everything works and proves nothing."


def _quiet(_: str) -> None:
    pass


@dataclass(frozen=True)
class Setting:
    """How to run: `quick` sees that everything works in seconds and proves nothing; `seeds` are run one after another.

    `dataset` and `neurons` choose where a system offers a choice (`CHOICES` of its module). With `keep`,
    a folder, every finished part of the work is written there, and a second run with the same folder goes on behind it.
    """

    quick: bool = False
    seeds: tuple[int, ...] = (0, 1, 2)
    root: Path | None = None  # of the data; else SNNKIT_DATA
    say: Callable[[str], None] = _quiet  # told what is being done
    dataset: str | None = None
    neurons: int | None = None
    keep: Path | None = None

    def once(self, part: str, make: Callable[[], Any]) -> Any:
        """What `make()` answers, numbers and lists of them as JSON has them; from `keep` if this part was done before.

        `part` names it with everything that changes it and is not in the setting: the arm, the seed.

        Raises:
            UserError: `keep` cannot be written, or holds a part of another setting.
        """
        if self.keep is None:
            return make()
        path = self.keep / (re.sub(r"[^A-Za-z0-9.=_-]+", "-", part) + ".json")
        about = {"part": part, "quick": self.quick, "dataset": self.dataset, "neurons": self.neurons}
        if path.exists():
            held = _read(path)
            if held.get("about") != about:
                raise UserError(
                    f"{path} holds {held.get('about')}, wanted is {about}; give an empty folder with --keep"
                )
            return held["found"]
        prepare_folder(self.keep)
        found = make()
        write_text(path, json.dumps({"about": about, "found": found}, allow_nan=False) + "\n")
        return found


def _read(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        held = None
    if not isinstance(held, dict):
        raise UserError(f"{path} is not a finished part of a reproduction; delete it or give another --keep")
    return held


@dataclass(frozen=True)
class Measured:
    """One figure: `values` by seed, beside what was published and the bar that our experiment has to pass.

    Without values it is a figure that could not be had; the note says why.
    """

    what: str
    values: tuple[float, ...]
    published: str = ""
    bar: str = ""
    passed: bool | None = None  # None where there is no bar
    note: str = ""

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values) if self.values else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds; 0 for one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0


def at_least(what: str, values: list[float], bar: float, *, published: str = "", note: str = "") -> Measured:
    """A figure whose mean has to reach `bar`."""
    good = statistics.fmean(values) >= bar
    return Measured(what, tuple(values), published, f"at least {bar:g}", good, note)


@dataclass(frozen=True)
class Reproduction:
    """The outcome: rows, what differs from the publication, and pictures (name to a function that draws on a figure)."""

    name: str
    title: str
    source: str
    rows: list[Measured]
    differs: str
    setting: Setting
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Callable[[Any], None]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [
            {
                "what": r.what,
                "mean": r.mean if r.values else None,
                "spread": r.spread,
                "values": list(r.values),
                "published": r.published,
                "bar": r.bar,
                "passed": r.passed,
                "note": r.note,
            }
            for r in self.rows
        ]
        head = {"name": self.name, "title": self.title, "source": self.source, "differs": self.differs}
        s = self.setting
        run = {
            "quick": s.quick,
            "seeds": list(s.seeds),
            "dataset": s.dataset,
            "neurons": s.neurons,
            "seconds": self.seconds,
        }
        return {**head, **run, "rows": rows, "details": self.details}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows for people."""
        rows = []
        for r in self.rows:
            # What rounding left of a sum is no figure.
            mean = 0.0 if abs(r.mean) < 1e-6 * r.spread else r.mean
            ours = f"{mean:.4g}" + (f" ± {r.spread:.2g}" if len(r.values) > 1 else "") if r.values else "–"
            verdict = "" if r.passed is None else "yes" if r.passed else "no"
            rows.append([r.what, r.published or "–", ours, str(len(r.values)), r.bar or "–", verdict])
        return ["", "published", "here", "seeds", "bar", "reached"], rows

    def markdown(self) -> str:
        """The table as a page."""
        columns, rows = self.table()
        lines = [f"# {self.title}", "", self.source, ""]
        lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        lines += ["", *(f"* {r.what}: {r.note}" for r in self.rows if r.note)]
        kind = QUICK if self.setting.quick else ""
        return "\n".join([*lines, "", f"What differs: {self.differs}", "", kind]).rstrip() + "\n"

    def write(self, folder: Path) -> list[Path]:
        """`result.json`, `table.md` and the pictures into a folder that is there."""
        files = [folder / "result.json", folder / "table.md"]
        write_text(files[0], json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n")
        write_text(files[1], self.markdown())
        for name, draw in self.pictures.items():
            files.append(folder / f"{name}.png")
            _draw(draw, files[-1])
        return files


def _draw(draw: Callable[[Any], None], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    figure.savefig(path, dpi=120)
