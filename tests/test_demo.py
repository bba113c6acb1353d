"""The demo in its quick mode: the whole way on built-in data, and a report that needs nothing else."""

import json
import re

import pytest

import snnkit
from snnkit.cli.app import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    assert run(["demo", "--quick", "--out", str(out), "--json"]) == 0
    return out


def test_the_summary_has_the_figures_that_matter(folder):
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["quick"] and summary["digits"]["test_samples"] == 360
    assert 0.3 < summary["digits"]["mean"] <= 1, "two epochs are enough to be far above chance"
    for method in ("qcfs", "percentile"):
        curve = summary["conversion"][method]
        assert curve["timesteps"] == [1, 2, 4, 8, 16, 32] and len(curve["snn"]) == 6
        assert curve["snn"][-1] > 0.6
    chips = summary["energy"]["chips"]
    assert {"cmos45", "loihi", "truenorth", "spinnaker", "speck", "rram128"} <= set(chips)
    assert all(c["low_j"] <= c["energy_j"] <= c["high_j"] and c["energy_j"] > 0 for c in chips.values())
    assert chips["cmos45"]["ann_energy_j"] > 0 and summary["energy"]["synops"] > 0
    assert summary["deployment"]["agreement"] > 0.6
    assert set(summary["seconds"]) == {
        "data",
        "training",
        "conversion",
        "energy",
        "deployment",
        "report",
        "all",
    }


def test_the_report_is_one_file_with_every_section(folder):
    html = (folder / "report.html").read_text()
    assert re.findall(r"<h2>(.*?)</h2>", html) == [
        "Events",
        "Training",
        "Conversion",
        "Energy per inference",
        "Deployment",
    ]
    assert html.count("data:image/svg+xml;base64,") == 7
    assert not re.search(r'(src|href)="(?!data:)', html) and "<script" not in html
    assert "nan" not in re.sub(r"base64,[^\"]*", "", html).lower().replace("finance", "")


def test_the_network_it_trained_can_be_used(folder):
    net = snnkit.load(folder / "network.nir")
    assert run(["energy", str(folder / "network.nir"), "--samples", "4", "--chip", "loihi", "--json"]) == 0
    assert len(net) and (folder / "loihi" / "network.net").is_file()
    assert not list(folder.parent.glob(".*")), "no unfinished folder is left"
