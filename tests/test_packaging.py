"""The package on disk, in pyproject.toml, in the wheel and for type checkers is one and the same."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINKED = ["encoders", "hardware", "datasets"]


def packages_on_disk() -> set[str]:
    found = set()
    for top in ["snnkit", *LINKED]:
        for init in (ROOT / top).rglob("__init__.py"):  # rglob does not follow the links inside snnkit/
            name = ".".join(init.parent.relative_to(ROOT).parts)
            found.add(name if top == "snnkit" else f"snnkit.{name}")
    return {name for name in found if not any(name.startswith(f"snnkit.{k}.{k}") for k in LINKED)}


def test_every_folder_is_listed_and_every_listed_folder_exists():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert set(settings["packages"]) == packages_on_disk()
    assert settings["package-dir"] == {"snnkit": "snnkit", **{f"snnkit.{k}": k for k in LINKED}}


@pytest.mark.parametrize("name", LINKED)
def test_links_are_relative_and_lead_to_the_root_folders(name):
    link = ROOT / "snnkit" / name
    assert link.is_symlink() and os.readlink(link) == f"../{name}"


def test_data_files_are_listed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert (ROOT / "snnkit" / "py.typed").exists() and "py.typed" in settings["snnkit"]
    assert (
        list((ROOT / "hardware" / "chips").glob("*.toml")) and "chips/*.toml" in settings["snnkit.hardware"]
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a copy of the sources, with the environment's own setuptools (no network)."""
    out, copy = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    for folder in ["snnkit", *LINKED]:
        shutil.copytree(
            ROOT / folder, copy / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    for file in ["pyproject.toml", "README.md", "LICENSE"]:
        shutil.copy(ROOT / file, copy / file)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_holds_every_module_once(wheel):
    names = [n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n]
    assert len(names) == len(set(names))
    expected = {str(p.relative_to(ROOT)) for p in (ROOT / "snnkit").rglob("*.py")}
    for top in LINKED:
        expected |= {f"snnkit/{p.relative_to(ROOT)}" for p in (ROOT / top).rglob("*.py")}
        expected |= {f"snnkit/{p.relative_to(ROOT)}" for p in (ROOT / top).rglob("*.toml")}
    assert set(names) == expected | {"snnkit/py.typed"}


def test_the_wheel_imports_outside_the_repository(wheel, tmp_path):
    """Installed into an environment of its own (its dependencies lent by this one), run from another folder."""
    import venv

    venv.create(tmp_path / "env", system_site_packages=False, with_pip=False, symlinks=True)
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    lent = [p for p in sys.path if p.endswith("site-packages")]
    (site / "lent.pth").write_text("\n".join(lent))
    program = (
        "import snnkit, snnkit.encoders, snnkit.hardware, snnkit.datasets, pathlib\n"
        "print(pathlib.Path(snnkit.__file__).parent)\n"
        "print(pathlib.Path(snnkit.hardware.__file__).parent)\n"
        "print(len(snnkit.hardware.chips()))\n"
    )
    python = tmp_path / "env" / "bin" / "python"
    # -S would drop site-packages; -P keeps the current folder out of the path instead.
    done = subprocess.run(
        [python, "-P", "-c", program], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    package, hardware, chips = done.stdout.split()
    assert package == str(site / "snnkit") and hardware == str(site / "snnkit" / "hardware")
    assert int(chips) >= 6


def test_importing_snnkit_compiles_nothing_and_opens_no_heavy_library():
    program = (
        "import sys, snnkit\n"
        "heavy = {'numba', 'sympy.physics', 'lightning', 'matplotlib', 'sklearn', 'typer'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert 'LIF' in dir(snnkit)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
