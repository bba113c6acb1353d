"""docs/models.md has every neuron, and small pictures."""

import importlib.util
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def pictures():
    specification = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    module = sys.modules["pictures"] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    yield module
    del sys.modules["pictures"]


def test_the_page_has_every_neuron_and_its_pictures(pictures):
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    for model in pictures.models():
        name = model.__name__
        assert f"\n## {name}\n" in page, f"{name} is not on the page: run python docs/pictures.py"
        for file in pictures.files(name):
            assert f"(pictures/{file})" in page
            assert 500 < (DOCS / "pictures" / file).stat().st_size < 40_000
    assert page.count("\n## ") == len(pictures.models())


def test_a_picture_is_drawn_again_as_it_is(pictures):
    """What a neuron does is what the page shows: in every state and spike, to a tenth of a point."""
    for model in pictures.models():
        if model.__name__ in ("LIF", "Alpha", "ResonateAndFire"):
            for drive, file in zip(
                pictures.DRIVES[model.__name__], pictures.files(model.__name__), strict=True
            ):
                assert pictures.draw(model, drive) == (DOCS / "pictures" / file).read_text(encoding="utf-8")
