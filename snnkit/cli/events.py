"""`snnkit events`: what is in a recording."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from snnkit.cli.common import Json, OutFile, Seed, emit, existing_file, show_table
from snnkit.cli.text_plot import bars
from snnkit.errors import UserError

LARGEST = 1 << 24  # pixels of a sensor that is drawn
SHOWN = 5_000_000  # events that a picture shows: the first ones


def events(
    file: Annotated[
        Path, typer.Argument(help="A recording: .raw, .dat, .aedat4, .bin, .es, .h5 and others.")
    ],
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Also draw it, to a file such as events.png.")
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option("--sample", help="Which recording, in files that hold many: an index or a key."),
    ] = None,
    format: Annotated[
        str | None, typer.Option("--format", help="Read it as this format, such as evt3.")
    ] = None,
    sensor: Annotated[
        str | None,
        typer.Option("--sensor", help="Size of the sensor as WIDTHxHEIGHT, if the file does not say it."),
    ] = None,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Of a damaged file, show the events before the damage.")
    ] = False,
    as_json: Json = False,
    seed: Seed = 0,
    out: OutFile = None,
) -> None:
    """Show what is in a recording: format, sensor, duration, rate over time, polarities, hot pixels, other streams.

    Example: snnkit events recording.raw --plot events.png
    """
    from snnkit.datasets.files import inspect

    existing_file(file, "a recording")
    if plot is not None:
        from snnkit.cli.recording_plots import check_picture

        check_picture(plot)
    options: dict[str, Any] = {"sensor": _sensor(sensor), "sample": _sample(sample), "format": format}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found, shown = _summary(inspect, file, options, truncate, SHOWN if plot is not None else 0)
    found["warnings"] = list(dict.fromkeys(" ".join(str(w.message).split()) for w in said if _ours(w)))
    if plot is not None:
        found["plot"] = _draw(found, shown, plot, seed)
    emit(found, as_json=as_json, out=out)
    if not as_json:
        _print(found)


def _summary(
    inspect: Any, file: Path, options: dict[str, Any], truncate: bool, keep: int
) -> tuple[dict, Any]:
    from snnkit.cli.recording_summary import summarise
    from snnkit.datasets.errors import EventFileError

    reader = inspect(file, on_error="truncate" if truncate else "raise", **options)
    try:
        return summarise(reader, keep=keep)
    except EventFileError as error:  # the header was good, so there may be events before the damage
        hint = "" if truncate else "; --truncate shows the events before it"
        raise UserError(f"{error}{hint}") from None


def _sensor(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise UserError(f"--sensor takes WIDTHxHEIGHT in pixels, such as 640x480; got {text!r}")
    return 2, int(height), int(width)


def _sample(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdigit() else text


def _ours(warning: warnings.WarningMessage) -> bool:
    from snnkit.datasets.errors import EventFileWarning

    return issubclass(warning.category, EventFileWarning)


def _draw(found: dict[str, Any], shown: Any, plot: Path, seed: int) -> str:
    from snnkit.cli.recording_plots import recording_figure, save_picture

    if not len(shown):
        raise UserError(f"{found['file']} has no events to plot")
    _, height, width = shown.sensor
    if height * width > LARGEST:
        raise UserError(
            f"a sensor of {width}x{height} pixels is too large to plot; if it is smaller, give its size with --sensor"
        )
    part = "" if len(shown) == found["events"] else f", the first {len(shown):,}"
    title = f"{Path(found['file']).name}: {found['format']}, {found['events']:,} events{part}"
    save_picture(recording_figure(shown, title, seed=seed), plot)
    return str(plot)


def _print(found: dict[str, Any]) -> None:
    rows = [["format", f"{found['format']} {_version(found)}".strip()], ["size", _bytes(found["bytes"])]]
    if found["sensor"]:
        size = found["sensor"]
        how = {"max+1": "the largest coordinates", "inferred": "the camera's name"}.get(
            size["from"], size["from"]
        )
        rows.append(["sensor", f"{size['width']}x{size['height']} pixels (from {how})"])
    rows.append(["events", f"{found['events']:,}"])
    if found["events"]:
        rows += _event_rows(found)
    for stream in found["streams"]:
        count = "" if stream["count"] is None else f"{stream['count']:,} "
        rows.append([f"stream {stream['name']}", f"{count}{stream['kind']}"])
    rows += [["header " + key, value] for key, value in found["header"].items()]
    rows += [["note", text] for text in dict.fromkeys([*found["notes"], *found["warnings"]])]
    if "plot" in found:
        rows.append(["picture", found["plot"]])
    show_table(found["file"], ["what", "value"], rows)
    if found["events"]:
        _print_rate(found["rate"])


def _version(found: dict[str, Any]) -> str:
    """The version, unless the format's name ends with it."""
    return "" if found["format"].endswith(found["version"]) else found["version"]


def _bytes(n: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            return f"{n:.4g} {unit}" if unit != "bytes" else f"{n} bytes"
        n /= 1000  # type: ignore[assignment]
    raise AssertionError


def _event_rows(found: dict[str, Any]) -> list[list[str]]:
    pixels, mean = found["pixels"], found["rate_hz"]
    rows = [
        ["time", f"{found['first_us']:,} to {found['last_us']:,} µs"],
        ["duration", f"{found['duration_s']:.6g} s"],
        ["mean rate", "all at one time" if mean is None else f"{_per_second(mean)}"],
        *([["ON events", f"{found['on']:.1%}"]] if found["sensor"]["polarities"] > 1 else []),
        [
            "pixels with events",
            f"{pixels['active']:,} of {pixels['all']:,} ({pixels['active'] / pixels['all']:.1%})",
        ],
    ]
    share = pixels["hot_events"] / found["events"]
    hot = f"{pixels['hot']:,} above mean + 5 std, with {share:.1%} of the events" if pixels["hot"] else "none"
    rows.append(["hot pixels", hot])
    rows += [[f"  ({p['x']}, {p['y']})", f"{p['events']:,} events"] for p in pixels["hottest"][:3]]
    return rows


def _per_second(rate: float) -> str:
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if rate >= factor:
            return f"{rate / factor:.3g} {prefix}ev/s"
    return f"{rate:.3g} ev/s"


def _print_rate(rate: dict[str, Any]) -> None:
    """Events over time as a small plot of characters."""
    total = [a + b for a, b in zip(rate["off"], rate["on"], strict=True)]
    print(
        f"  events over time; the top is {_per_second(rate['peak_hz'])}, at {rate['peak_at_s']:.3g} s after the first"
    )
    for line in bars(total, encoding=sys.stdout.encoding or "ascii"):
        print("  |" + line)
    end = f"{len(total) * rate['bin_s']:.4g} s"
    print("  +" + "-" * len(total))
    print("   0" + end.rjust(max(len(total) - 1, len(end) + 1)))
