"""What the pages on liquids and plasticity show works as shown, and names nothing that is not there."""

import re
from pathlib import Path

import pytest

from snnkit import plasticity
from snnkit.liquid import Projection, measures, stability

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
    for room in (measures, stability):
        for name in re.findall(r"`(\w+)`", text.split("`snnkit.liquid.measures`")[1].split("Each names")[0]):
            assert hasattr(measures, name) or hasattr(stability, name), (room, name)
