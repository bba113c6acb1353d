"""What the pages on liquids and plasticity show works as shown, and names nothing that is not there."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

from snnkit import plasticity
from snnkit.liquid import Projection, complexity, measures, stability

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("page", ["liquid.md", "plasticity.md"])
def test_examples_run_one_after_the_other(page, capsys):
    space: dict = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL):
        exec(compile(block, page, "exec"), space)  # noqa: S102 (our own page)
    assert "liquid" in space


def test_every_rule_and_maker_is_on_its_page():
    text = (DOCS / "plasticity.md").read_text()
    for name in plasticity.registry.names():
        if plasticity.registry._KNOWN[name].__module__.startswith("snnkit."):
            assert f"`{name}`" in text, name
    text = (DOCS / "liquid.md").read_text()
    for name in re.findall(r"`Projection\.(\w+)\(", text):
        assert hasattr(Projection, name)
    for room in (measures, stability, complexity):
        part = text.split(f"`{room.__name__}`")[1].split("Each names")[0].split("`snnkit.")[0]
        names = re.findall(r"`(\w+)`", part)
        assert len(names) >= 2 and all(hasattr(room, name) for name in names), (room, names)


def test_every_name_of_the_page_on_plasticity_is_in_its_room():
    text = (DOCS / "plasticity.md").read_text()
    table = text.split("## Rules with a name")[1].split("\n\n")[1]
    names = re.findall(r"`(\w+)`", table)
    assert len(names) > 15
    for name in names:
        assert name in plasticity.__all__ and hasattr(plasticity, name), name


@pytest.mark.parametrize(
    "room",
    ["liquid.liquid", "liquid.complexity", "plasticity.conv", "plasticity.tempotron", "plasticity.rule"],
)
def test_docstrings(room):
    found = doctest.testmod(importlib.import_module(f"snnkit.{room}"))
    assert found.attempted > 0 and found.failed == 0
