"""The table of contents of the root package: every name it promises exists, for users and for type checkers."""

import ast
from pathlib import Path

import pytest

import snnkit


@pytest.mark.parametrize("name", snnkit.__all__)
def test_every_promised_name_exists(name):
    assert getattr(snnkit, name) is not None


def test_type_checkers_see_the_same_table():
    tree = ast.parse(Path(snnkit.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(snnkit.__all__)


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="has no 'LIFF'"):
        snnkit.LIFF  # noqa: B018
