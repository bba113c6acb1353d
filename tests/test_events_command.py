"""`snnkit events`: what it says of recordings, in words, as JSON and as a picture, and what it says of bad files."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from event_cases import recording

from snnkit.cli import recording_summary
from snnkit.cli.app import run
from snnkit.cli.recording_summary import Rate, summarise
from snnkit.cli.text_plot import bars
from snnkit.datasets import Events
from snnkit.datasets.files import inspect, write

DATA = os.environ.get("SNNKIT_DATA")


@pytest.fixture
def raw(tmp_path, monkeypatch) -> Path:
    """A recording with one hot pixel, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    plain = recording(4000, sensor=(2, 480, 640), span=200_000, start=5000)
    x, y = plain.x.copy(), plain.y.copy()
    x[::20], y[::20] = 33, 44
    return write(Events(plain.t, x, y, plain.p, sensor=plain.sensor), tmp_path / "recording.raw")


def mistake(capfd, *arguments) -> str:
    """Run a command that must fail: exit code 2, nothing on stdout, one line on stderr, nothing left behind."""
    before = sorted(Path.cwd().rglob("*"))
    assert run(["events", *map(str, arguments)]) == 2
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("snnkit: ")]
    assert not out and len(lines) == 1 and "Traceback" not in err, err
    assert sorted(Path.cwd().rglob("*")) == before, "something was left behind"
    return lines[0]


def test_help_has_an_example(capfd):
    assert run(["events", "--help"]) == 0
    text = capfd.readouterr().out
    assert "Example: snnkit events" in text
    assert all(option in text for option in ("--json", "--seed", "--out", "--plot", "--truncate"))


def test_numbers_of_a_recording(capfd, raw):
    assert run(["events", str(raw), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    events = inspect(raw).events()
    assert found["format"].startswith("Prophesee EVT3") and found["bytes"] == raw.stat().st_size
    assert (found["sensor"]["width"], found["sensor"]["height"]) == (640, 480)
    assert found["events"] == 4000 and found["on"] == pytest.approx(events.p.mean())
    assert (found["first_us"], found["last_us"]) == (events.t[0], events.t[-1])
    assert found["duration_s"] == pytest.approx((events.t[-1] - events.t[0]) * 1e-6)
    assert found["rate_hz"] == pytest.approx(4000 / found["duration_s"])
    assert sum(found["rate"]["on"]) + sum(found["rate"]["off"]) == 4000
    assert sum(found["rate"]["on"]) == events.p.sum()
    assert found["pixels"]["hottest"][0] == {"x": 33, "y": 44, "events": 200}
    assert found["pixels"]["active"] == len(set(zip(events.x.tolist(), events.y.tolist(), strict=True)))
    assert found["warnings"] == []


def test_words_for_people_with_a_plot_of_characters(capfd, raw):
    assert run(["events", str(raw), "--out", "found.json"]) == 0
    text = capfd.readouterr().out
    for words in ("EVT3", "640x480", "4,000", "ON events", "(33, 44)", "events over time", "█"):
        assert words in text
    assert json.loads(Path("found.json").read_text())["events"] == 4000


def test_a_picture(capfd, raw):
    assert run(["events", str(raw), "--plot", "events.png", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["plot"] == "events.png"
    picture = Path("events.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 20_000
    assert run(["events", str(raw), "--plot", "again.png", "--seed", "0"]) == 0
    from matplotlib.image import imread

    np.testing.assert_array_equal(imread("events.png"), imread("again.png"))


def test_a_picture_of_very_few_events(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for n, times in enumerate(([7], [7, 7], [0, 1])):
        size = len(times)
        write(Events(times, [3] * size, [2] * size, [1] * size, sensor=(2, 480, 640)), tmp_path / f"{n}.raw")
        assert run(["events", f"{n}.raw", "--plot", f"{n}.png"]) == 0
        assert f"{size:,}" in capfd.readouterr().out and Path(f"{n}.png").stat().st_size > 10_000


def test_a_recording_without_events(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Events([], [], [], [], sensor=(2, 480, 640)), tmp_path / "silent.raw")
    assert run(["events", "silent.raw", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["events"] == 0
    assert "no events" in mistake(capfd, "silent.raw", "--plot", "silent.png")


def test_files_that_are_none(capfd, raw):
    assert "does not exist" in mistake(capfd, "absent.raw")
    assert "folder" in mistake(capfd, raw.parent)
    Path("noise.raw").write_bytes(np.random.default_rng(0).bytes(1000))
    assert "noise.raw" in mistake(capfd, "noise.raw")
    Path("nothing.raw").write_bytes(b"")
    assert "empty" in mistake(capfd, "nothing.raw")


def test_a_damaged_file_names_the_byte_and_the_way_out(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = write(recording(1000, sensor=(2, 34, 34)), tmp_path / "whole.bin").read_bytes()
    Path("cut.bin").write_bytes(whole[:-3])
    line = mistake(capfd, "cut.bin")
    assert "cut.bin" in line and "byte 4995" in line and "--truncate" in line
    assert run(["events", "cut.bin", "--truncate", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["events"] == 999 and any("4995" in text for text in found["warnings"])
    assert run(["events", "cut.bin", "--truncate"]) == 0
    assert "4995" in capfd.readouterr().out


def test_wrong_options(capfd, raw):
    assert "640x480" in mistake(capfd, raw, "--sensor", "640,480")
    assert "did you mean 'evt3'" in mistake(capfd, raw, "--format", "etv3")
    assert ".png" in mistake(capfd, raw, "--plot", "picture.txt")
    assert "does not exist" in mistake(capfd, raw, "--plot", "absent/picture.png")


def test_the_size_of_the_sensor_can_be_given(capfd, raw):
    assert run(["events", str(raw), "--sensor", "700x500", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["sensor"] == {
        "width": 700,
        "height": 500,
        "polarities": 2,
        "from": "argument",
    }


def test_chunks_give_the_same_numbers_as_the_whole(raw, monkeypatch):
    whole, kept = summarise(inspect(raw), keep=1500)
    monkeypatch.setattr(recording_summary, "CHUNK", 7)
    parts, again = summarise(inspect(raw), keep=1500)
    assert parts == whole and len(kept) == len(again) == 1500
    assert np.array_equal(kept.t, again.t) and np.array_equal(kept.x, inspect(raw).events().x[:1500])


def test_a_very_large_sensor_takes_no_memory_for_its_empty_pixels(raw, monkeypatch, capfd):
    plain, _ = summarise(inspect(raw))
    monkeypatch.setattr(recording_summary, "DENSE", 0)
    monkeypatch.setattr(recording_summary, "CHUNK", 900)
    assert summarise(inspect(raw))[0] == plain
    huge = summarise(inspect(raw, sensor=(2, 32767, 32767)))[0]
    assert huge["pixels"] == plain["pixels"] | {"all": 32767**2}
    assert "--sensor" in mistake(capfd, raw, "--sensor", "32767x32767", "--plot", "huge.png")


def test_rate_doubles_its_bins_until_all_events_fit():
    rate, g = Rate(), np.random.default_rng(0)
    t = 9_000_000 + np.sort(g.integers(0, 10_000_000, 5000))
    p = g.integers(0, 2, 5000).astype(np.uint8)
    for a in range(0, 5000, 100):
        rate.add(t[a : a + 100], p[a : a + 100])
    found = rate.result()
    assert 60 <= found.shape[1] <= 120 and rate.width == 2**17
    bins = (t - t[0]) // rate.width
    np.testing.assert_array_equal(found[1], np.bincount(bins[p == 1], minlength=found.shape[1]))
    np.testing.assert_array_equal(found.sum(0), np.bincount(bins))


def test_bars_of_characters():
    assert bars([0, 8, 16, 4], height=2) == ["  █ ", " ██▄"]
    assert bars([0, 1, 3], height=1, encoding="ascii") == [" .|"]
    assert bars([], height=1) == [""] and bars([0.0, 0.0], height=1) == ["  "]


@pytest.mark.skipif(DATA is None, reason="needs SNNKIT_DATA")
def test_a_real_recording_with_other_streams(capfd):
    assert run(["events", f"{DATA}/event_files/aestream/davis.aedat4", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["events"] == 117_667 and (found["sensor"]["width"], found["sensor"]["height"]) == (346, 260)
    assert {s["name"]: s["count"] for s in found["streams"]} == {"frames": 3, "imu": 130, "triggers": 15}
    assert found["pixels"]["hot"] > 100 and round(found["on"] * 117_667) == 72_363


def test_a_row_of_channels_is_drawn_as_a_raster(tmp_path):
    from snnkit.cli.recording_plots import recording_figure, save_picture

    figure = recording_figure(recording(3000, sensor=(1, 1, 700)), "spikes of 700 channels")
    assert [axis.get_ylabel() for axis in figure.axes] == ["channel", "thousand events per second"]
    save_picture(figure, tmp_path / "raster.png")
    assert (tmp_path / "raster.png").stat().st_size > 10_000
