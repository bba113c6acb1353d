"""A report as one self-contained HTML file: no scripts, no links to other files."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from matplotlib.figure import Figure

CSS = """
:root { color-scheme: light; --ink: #1d2229; --soft: #5b636e; --line: #dde1e6; --accent: #2a6fbb; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); max-width: 58rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.4rem; border-top: 1px solid var(--line); padding-top: 1.2rem; }
p.lead { color: var(--soft); margin-top: 0; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0; }
.card { border: 1px solid var(--line); border-radius: .5rem; padding: .7rem 1rem; flex: 1 1 11rem; }
.card b { display: block; font-size: 1.35rem; color: var(--accent); } .card span { color: var(--soft); font-size: .86rem; }
figure { margin: 1rem 0; } figure img { max-width: 100%; } figcaption { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; margin: .8rem 0; }
th, td { text-align: right; padding: .25rem .8rem; border-bottom: 1px solid var(--line); } th:first-child, td:first-child { text-align: left; } td { white-space: nowrap; }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--accent); } li { margin: .15rem 0; } code { font-size: .9em; }
"""


class Report:
    """Collects headings, text, cards, tables and figures; `html()` gives the page.

    >>> page = Report("A title", "What it is about")
    >>> page.section("One"); page.text("Hello & goodbye")
    >>> "Hello &amp; goodbye" in page.html()
    True
    """

    def __init__(self, title: str, lead: str) -> None:
        self.title = title
        self._parts = [f"<h1>{escape(title)}</h1>", f'<p class="lead">{escape(lead)}</p>']

    def section(self, heading: str) -> None:
        self._parts.append(f"<h2>{escape(heading)}</h2>")

    def text(self, text: str) -> None:
        self._parts.append(f"<p>{escape(text)}</p>")

    def cards(self, cards: Sequence[tuple[str, str]]) -> None:
        """Figures that matter: pairs of (value, what it is)."""
        boxes = "".join(
            f'<div class="card"><b>{escape(v)}</b><span>{escape(t)}</span></div>' for v, t in cards
        )
        self._parts.append(f'<div class="cards">{boxes}</div>')

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        head = "".join(f"<th>{escape(c)}</th>" for c in columns)
        body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        self._parts.append(f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>')

    def notes(self, summary: str, lines: Sequence[str]) -> None:
        """A list that opens on a click."""
        items = "".join(f"<li>{escape(line)}</li>" for line in lines)
        self._parts.append(f"<details><summary>{escape(summary)}</summary><ul>{items}</ul></details>")

    def figure(self, figure: Figure, caption: str) -> None:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", dpi=150, metadata={"Date": None})
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        self._parts.append(
            f'<figure><img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )

    def html(self) -> str:
        body = "\n".join(self._parts)
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{CSS}</style></head>\n<body>\n{body}\n</body></html>\n"
        )
