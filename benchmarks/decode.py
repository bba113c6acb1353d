"""Reading event files: million events per second beside expelliarmus, faery and tonic, in one interleaved run.

    python benchmarks/decode.py [--quick] [--json FILE] [--events N]

Every file is made of real recordings (SNNKIT_DATA), repeated with their clocks moved on until it has N events; where they
are missing, of random events. All contestants read the same file from the page cache into arrays in memory, once per
turn, on one thread. Time is processor time, of user and system, so that other work on the machine counts little. The
peers are installed apart from snnkit, for their licences are not ours:

    pip install expelliarmus faery && pip install --no-deps tonic importRosbag

"kernel" is snnkit's loop alone, on bytes in memory, into arrays that have been written before.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from snnkit.datasets import Events, files
from snnkit.datasets.files.header import parse

DATA = Path(os.environ.get("SNNKIT_DATA", "/nowhere")) / "event_files"
CHUNK = 1 << 17
Contestants = dict[str, Callable[[], int]]  # name -> reads the file, gives the number of events


# -- files ------------------------------------------------------------------------------------------------------------


def make_files(folder: Path, n: int) -> dict[str, Path]:
    """Files of about n events, by format."""
    made = {}
    for name in ("evt2", "evt3"):
        source = DATA / "expelliarmus" / f"{name}_sample.raw"
        made[name] = folder / f"{name}.raw"
        if source.is_file():
            _repeat_raw(source, made[name], name, n)
        else:
            files.write(_random(n, 1280, 720), made[name], format=name)
    events = files.read(made["evt2"])
    for name in ("evt21", "dat", "es"):
        suffix = ".raw" if name == "evt21" else f".{name}"
        made[name] = files.write(events, folder / f"{name}{suffix}", format=name)
    made["bin"] = _repeat_bin(DATA / "tonic" / "sample_nmnist.bin", folder / "nmnist.bin", n)
    return made


def _repeat_raw(source: Path, target: Path, name: str, n: int) -> None:
    """The body again and again, its words of time moved on each time by as much as it lasts."""
    data = source.read_bytes()
    header = parse(data)
    kind, bits = (np.dtype("<u4"), 28) if name == "evt2" else (np.dtype("<u2"), 12)
    words = np.frombuffer(data[header.body :], kind)
    upper = np.flatnonzero(words >> bits == 8)
    highs = words[upper].astype(np.int64) & (1 << bits) - 1
    once, length = len(files.read(source)), int(highs[-1] - highs[0]) + 1
    with target.open("wb") as file:
        file.write(data[: header.body])
        for k in range(-(-n // once)):
            moved = words.copy()
            moved[upper] = (highs + k * length) % (1 << bits) | 8 << bits
            moved.tofile(file)


def _repeat_bin(source: Path, target: Path, n: int) -> Path:
    """Every event again and again: the clock of 23 bits has no room for recordings one after the other."""
    if source.is_file():
        records = np.fromfile(source, np.uint8).reshape(-1, 5)
        np.repeat(records, -(-n // len(records)), axis=0).tofile(target)
        return target
    return files.write(_random(n, 34, 34), target)


def _random(n: int, width: int, height: int) -> Events:
    random = np.random.default_rng(0)
    t = np.sort(random.integers(0, 8_000_000, n))
    x, y, p = (random.integers(0, limit, n) for limit in (width, height, 2))
    return Events(t, x, y, p, sensor=(2, height, width))


# -- contestants ------------------------------------------------------------------------------------------------------


def contestants(name: str, path: Path) -> Contestants:
    """All that can read this format."""
    found: Contestants = {
        "snnkit": lambda: len(files.read(path)),
        "snnkit, chunks": lambda: sum(len(c) for c in files.read(path, chunk=CHUNK)),
        "snnkit, kernel": _kernel(path),
    }
    if (expelliarmus := _peer("expelliarmus")) and name in ("evt2", "evt3", "dat"):
        found["expelliarmus"] = lambda: len(expelliarmus.Wizard(encoding=name).read(path))
        found["expelliarmus, chunks"] = lambda: _expelliarmus_chunks(expelliarmus, name, path)
    if (faery := _peer("faery")) and name in ("evt2", "evt3", "dat", "es"):
        found["faery"] = lambda: len(faery.events_stream_from_file(path).to_array())
        found["faery, chunks"] = lambda: sum(len(c) for c in faery.events_stream_from_file(path))
    if (tonic := _peer("tonic.io")) and name == "bin":
        dtype = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])  # as its N-MNIST has it
        found["tonic"] = lambda: len(tonic.read_mnist_file(str(path), dtype=dtype))
    return found


def _peer(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _expelliarmus_chunks(expelliarmus: Any, name: str, path: Path) -> int:
    wizard = expelliarmus.Wizard(encoding=name, chunk_size=CHUNK)
    wizard.set_file(path)
    return sum(len(c) for c in wizard.read_chunk())


def _kernel(path: Path) -> Callable[[], int]:
    recording = files.inspect(path)
    loop = recording.loop("events")  # type: ignore[attr-defined]
    body = np.frombuffer(path.read_bytes()[recording.body :], np.uint8).copy()  # type: ignore[attr-defined]
    words, rows = loop.view(body), loop.capacity()
    room = loop.room(rows)

    def run() -> int:
        state, n, at, used = loop.state.copy(), 0, 0, 1
        while used and at < len(words):
            used, n, code = loop.kernel(words[at:], state, *room, n, rows)
            at += used
            assert not code
        return n

    return run


# -- results ----------------------------------------------------------------------------------------------------------


def measure(name: str, path: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Million events per second of every contestant: median and best."""
    running = contestants(name, path)
    counts = {who: run() for who, run in running.items()}
    seconds: dict[str, list[float]] = {who: [] for who in running}
    for _ in range(rounds):
        for who, run in running.items():
            start = time.process_time()
            run()
            seconds[who].append(time.process_time() - start)
    return {
        who: {
            "events": counts[who],
            "median": counts[who] / median(laps) / 1e6,
            "best": counts[who] / min(laps) / 1e6,
        }
        for who, laps in seconds.items()
    }


def report(name: str, path: Path, figures: dict[str, dict[str, float]]) -> None:
    print(f"\n{name}: {figures['snnkit']['events']} events, {path.stat().st_size / 1e6:.1f} MB")
    print(f"  {'':24}{'events':>10}{'median':>9}{'best':>9}   million events/s; snnkit is faster by")
    for who, row in figures.items():
        ours = figures["snnkit, chunks" if who.endswith(", chunks") else "snnkit"]["median"]
        ratio = "" if who.startswith("snnkit") else f"{ours / row['median']:8.1f}x"
        print(f"  {who:24}{row['events']:10.0f}{row['median']:9.1f}{row['best']:9.1f}   {ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small files, to see that it runs")
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    n, rounds = (20_000, 1) if arguments.quick else (arguments.events, arguments.rounds)
    absent = [p for p in ("expelliarmus", "faery", "tonic.io") if _peer(p) is None]
    print(f"real recordings: {DATA.is_dir()}; not installed: {', '.join(absent) or 'none'}")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, path in make_files(Path(folder), n).items():
            found[name] = measure(name, path, rounds)
            report(name, path, found[name])
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
