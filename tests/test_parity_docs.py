"""The example and the table of docs/peers.md are true."""

import re
from pathlib import Path

import pytest
import torch

from snnkit import neurons
from snnkit.layers import Linear, Recurrent

PAGE = (Path(__file__).parent.parent / "docs" / "peers.md").read_text()
VALUES = {
    "alpha": 0.9, "beta": 0.8, "R": 2.0, "C": 5.0, "time_step": 1.0, "threshold": 1.0, "dt": 1e-3, "tau": 2.0,
    "init_tau": 2.0, "c_decay": 0.5, "v_decay": 0.75, "v_c": 0.8, "a0": 1.0, "v_threshold": 1.0, "v_reset": -0.1,
    "delta_T": 1.0, "theta_rh": 0.8, "T": 4, "k": 2,
}  # fmt: skip


def test_the_example_runs():
    pytest.importorskip("snntorch", reason="snntorch is not installed: make peers")
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    namespace: dict = {}
    exec(program, namespace)  # noqa: S102 (our own page)
    assert namespace["net"](torch.rand(5, 2, 100)).shape == (5, 2, 10)


def expressions():
    for section in PAGE.split("\n## ")[2:]:
        common = re.search(r"COMMON = (dict\(.*?\))", section)
        for row in re.findall(r"^\|.*\|$", section, flags=re.MULTILINE):
            for code in re.findall(r"`([A-Z]\w+\([^`]*\))`", row.split(" | ")[-1]):
                if "..." not in code:
                    yield pytest.param(code, common.group(1) if common else "dict()", id=code)


@pytest.mark.parametrize("code, common", list(expressions()))
def test_every_neuron_of_the_tables_can_be_built(code, common):
    names = {
        **vars(neurons),
        **VALUES,
        "Recurrent": Recurrent,
        "linear": Linear(3, 3),
        "COMMON": eval(common),  # noqa: S307 (the text of our own page)
    }
    cell = eval(code, names)  # noqa: S307
    assert isinstance(cell, neurons.Neuron | Recurrent | neurons.PSN | neurons.SlidingPSN)
    assert cell(torch.rand(4, 1, 3)).shape == (4, 1, 3)


def test_the_tables_were_found():
    assert len(list(expressions())) > 15
