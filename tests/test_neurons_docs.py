"""The page on neurons runs as it is printed, and so do the examples in the docstrings."""

import doctest
import importlib
import re
from pathlib import Path

import pytest
import torch

from snnkit.neurons import use_reference

PAGE = Path(__file__).parent.parent / "docs" / "neurons.md"


def test_the_page_runs(capsys):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), names)  # noqa: S102 (our own text)
    assert "torch.Size([8, 256])" in capsys.readouterr().out
    cell, x = names["cell"], torch.full((40, 1, 3), 2.0)
    with use_reference():
        expected = cell(x)
    assert torch.equal(cell(x), expected)
    gaps = torch.nonzero(expected[:, 0, 0]).flatten().diff().unique().tolist()
    assert gaps == [6]  # five silent steps between spikes


@pytest.mark.parametrize("name", ["lif", "cuba", "adaptive", "readout", "equations"])
def test_docstrings(name):
    found = doctest.testmod(importlib.import_module(f"snnkit.neurons.{name}"))
    assert found.attempted > 0 and found.failed == 0
