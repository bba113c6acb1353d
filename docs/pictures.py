"""Write docs/models.md and docs/pictures/*.svg: every neuron of `snnkit.neurons` with its equation and its response.

Run it after adding a neuron: `python docs/pictures.py`. The words come from the docstrings. A neuron without an entry
in DRIVES is driven by a step that a short search finds.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import snnkit.neurons
from snnkit.neurons import LIF

HERE = Path(__file__).parent
WIDTH, LEFT, RIGHT = 640, 64, 12  # of a picture and its margins
INK, RED, BLUE, GREY = "#222222", "#c0392b", "#2471a3", "#888888"
POINTS = 700  # of a line, at most


@dataclass(frozen=True)
class Drive:
    """How a neuron is driven for its picture: steps (from, to, level) for each port, times in seconds."""

    options: dict[str, Any]
    steps: tuple[tuple[float, float, float], ...]
    until: float
    kind: str = ""  # a classmethod `of` makes it
    trace: str = "v"
    unit: str = ""  # of the state that is drawn
    current: str = "x"
    pulses: tuple[float, ...] = field(default=())  # instead of a step, inputs of one sample at these times


MS = 1e-3
DRIVES: dict[str, tuple[Drive, ...]] = {
    "IF": (Drive({"dt": MS}, ((0.02, 0.18, 0.07),), 0.2),),
    "LIF": (Drive({"tau": 20 * MS, "dt": MS}, ((0.02, 0.18, 0.07),), 0.2),),
    "CubaLIF": (
        Drive({"tau_syn": 5 * MS, "tau_mem": 10 * MS, "dt": MS}, ((0.02, 0.18, 0.025),), 0.2),
    ),
    "AdaptiveLIF": (
        Drive({"tau": 20 * MS, "tau_adapt": 0.2, "dt": MS, "beta": 6.0}, ((0.02, 0.38, 0.2),), 0.4),
    ),
    "LeakyIntegrator": (Drive({"tau": 20 * MS, "dt": MS}, ((0.02, 0.12, 0.1),), 0.2),),
    "Alpha": (Drive({"tau_mem": 10 * MS, "tau_syn": 5 * MS, "dt": MS}, ((0.02, 0.18, 0.15),), 0.2),),
    "QIF": (Drive({"tau": 10 * MS, "dt": 0.25 * MS}, ((0.02, 0.18, 0.3),), 0.2),),
    "EIF": (Drive({"tau": 10 * MS, "dt": 0.1 * MS}, ((0.02, 0.18, 200e-12),), 0.2, unit="V", current="x [A]"),),
    "AdEx": tuple(
        Drive(
            {"dt": 0.05 * MS}, ((0.02, 0.28, pA * 1e-12),), 0.3, kind=kind, unit="V", current=f"x [A], {kind}"
        )
        for kind, pA in [("tonic", 65), ("initial burst", 65), ("bursting", 65)]
    ),
    "Izhikevich": tuple(
        Drive({"dt": 0.25 * MS}, ((0.02, 0.18, 10.0),), 0.2, kind=kind, unit="mV", current=f"x, {kind}")
        for kind in ("RS", "CH", "FS")
    ),
    "HodgkinHuxley": (
        Drive({"dt": 0.05 * MS}, ((0.01, 0.07, 10.0),), 0.08, unit="mV", current="x [µA/cm²]"),
    ),
    "ResonateAndFire": (
        Drive({"omega": 200.0, "damping": 20.0, "dt": MS}, ((0.0, 0.0, 0.9),), 0.3, trace="q",
              current="x, pulses", pulses=(0.02, 0.12, 0.151, 0.22, 0.236)),
        Drive({"omega": 200.0, "damping": 20.0, "dt": MS}, ((0.02, 0.18, 0.3),), 0.2, trace="q"),
    ),
    "BalancedResonateAndFire": (
        Drive({"omega": 20.0, "dt": 10 * MS}, ((0.2, 1.8, 30.0),), 2.0, trace="u"),
    ),
    "TwoPoint": (
        Drive({"dt": MS}, ((0.02, 0.28, 0.055), (0.15, 0.28, 0.05)), 0.3, current="basal, apical"),
    ),
    "TCLIF": (
        Drive({"soma_to_dendrite": 0.1, "dendrite_to_soma": 0.1, "dt": MS}, ((0.02, 0.18, 0.2),), 0.2),
    ),
    "ApicalBurst": (
        Drive({"dt": 0.1 * MS}, ((0.05, 0.75, 600e-12), (0.35, 0.75, 300e-12)), 0.8, unit="V",
              current="soma, apical [A]"),
    ),
    "ConductanceLIF": (
        Drive({"dt": 0.5 * MS, "initial_a": 10 * MS, "tau_a": 0.1, "jump": 1e-3},
              ((0.02, 0.18, 0.3), (0.1, 0.18, 0.2)), 0.2, unit="V", current="excitatory, inhibitory"),
    ),
    "PSN": (Drive({"steps": 200, "causal": True, "dt": MS}, ((0.02, 0.18, 5.0),), 0.2),),
    "MaskedPSN": (Drive({"steps": 200, "order": 8, "dt": MS}, ((0.02, 0.18, 8.0),), 0.2),),
    "SlidingPSN": (Drive({"order": 8, "dt": MS}, ((0.02, 0.18, 0.55),), 0.2),),
    "Refractory": (
        Drive({"neuron": LIF(tau=20 * MS, dt=MS), "t_ref": 10 * MS}, ((0.02, 0.18, 0.2),), 0.2, current="x, LIF"),
    ),
}  # fmt: skip


def models() -> list[type[nn.Module]]:
    """Every neuron class that `snnkit.neurons` exports, in its order."""
    found = (getattr(snnkit.neurons, name) for name in snnkit.neurons.__all__)
    return [m for m in found if inspect.isclass(m) and issubclass(m, nn.Module) and m.__name__ != "Neuron"]


# Words ------------------------------------------------------------------------------------------------------------


def words(model: type) -> tuple[str, str, str]:
    """First sentence, equation and remarks of a docstring."""
    text = inspect.cleandoc(model.__doc__ or "").split("\nArgs:")[0].split("\n>>>")[0]
    blocks = text.split("\n\n")
    equation = next((b for b in blocks if b.startswith("    ")), "")
    rest = [b for b in blocks[1:] if b != equation]
    remarks = "\n\n".join(f"```text\n{textwrap.dedent(b)}\n```" if b.startswith("    ") else b for b in rest)
    return blocks[0].replace("\n", " "), textwrap.dedent(equation), remarks.strip()


def page() -> str:
    rows, sections = [], []
    for model in models():
        name = model.__name__
        first, equation, remarks = words(model)
        pieces = re.split(r"\n| {3,}", equation.replace("|", "\\|").replace("`", ""))
        cell = "<br>".join(f"`{piece.strip()}`" for piece in pieces if piece.strip())
        what = first.split(":")[0].split(" (")[0].rstrip(".")
        rows.append(f"| [`{name}`](#{name.lower()}) | {what} | {cell} |")
        pictures = "\n".join(f"![{name} driven by a step](pictures/{file})" for file in files(name))
        text = f"```text\n{equation}\n```\n\n" if equation else ""
        sections.append(f"## {name}\n\n{first}\n\n{text}{remarks}\n\n{pictures}\n".replace("\n\n\n", "\n\n"))
    return HEAD + "\n".join(rows) + "\n\n" + "\n".join(sections)


HEAD = """# All neurons

Every one of these is one step function, run by every back-end ([neurons](neurons.md) tells how); only the parallel
ones (PSN) are products over time. This page and its pictures are written by `python docs/pictures.py` from the docstrings, which also list the parameters:
`help(snnkit.neurons.LIF)`. In the equations, s = [u >= θ] is 1 where the condition holds and 0 elsewhere.

In the pictures the input is above, in red a second one; the membrane below it, after the reset; spikes are the strokes
at the top of it.

| neuron | what it is | equation |
|---|---|---|
"""


def files(name: str) -> list[str]:
    count = len(DRIVES.get(name, (None,)))
    return [f"{name.lower()}{'' if k == 0 else f'_{k + 1}'}.svg" for k in range(count)]


# Pictures ---------------------------------------------------------------------------------------------------------


def build(model: Any, drive: Drive) -> nn.Module:
    torch.manual_seed(0)  # for those that are born with random weights
    return (model.of(drive.kind, **drive.options) if drive.kind else model(**drive.options)).double()


def inputs(drive: Drive, dt: float) -> list[np.ndarray]:
    t = np.arange(round(drive.until / dt)) * dt
    out = [np.where((t >= a - dt / 2) & (t < b - dt / 2), level, 0.0) for a, b, level in drive.steps]
    for at in drive.pulses:
        out[0][round(at / dt)] = drive.steps[0][2]
    return out


def respond(cell: Any, xs: list[np.ndarray], trace: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Outputs of one neuron, and one of its states after each step if it has such."""
    tensors = [torch.tensor(x).view(-1, 1, 1) for x in xs]
    if not hasattr(cell, "equation"):
        return cell(tensors[0] if len(tensors) == 1 else tuple(tensors)).detach().flatten().numpy(), None
    state, outputs, seen = None, [], []
    for row in zip(*tensors, strict=True):
        y, state = cell.step(row if len(row) > 1 else row[0], state)
        outputs.append(float((y[0] if isinstance(y, tuple) else y).detach()))
        value = getattr(state, trace, state[0] if state else torch.tensor(0.0))
        seen.append(float(value.detach()))
    return np.array(outputs), np.array(seen)


def guess(model: Any) -> Drive:
    """A drive for a neuron without an entry: 20 ms wherever a time constant is asked for, and the first step of
    current that makes it answer."""
    options: dict[str, Any] = {}
    for name, parameter in inspect.signature(model).parameters.items():
        if name == "dt":
            options[name] = MS
        elif parameter.default is inspect.Parameter.empty and parameter.kind is parameter.KEYWORD_ONLY:
            options[name] = 20 * MS if name.startswith("tau") else 1
    for name in ("steps", "length", "timesteps"):
        if name in options:
            options[name] = 200
    best: tuple[int, Drive | None] = (0, None)
    for ports in (1, 2):
        for level in (0.07, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0, 60.0):
            drive = Drive(options, ((0.02, 0.18, level),) * ports, 0.2)
            try:
                outputs, _ = respond(build(model, drive), inputs(drive, MS), drive.trace)
            except (TypeError, ValueError):  # another number of inputs
                break
            count = np.count_nonzero(outputs)
            if count >= 3:
                return drive
            best = max(best, (count, drive), key=lambda pair: pair[0])
    if best[1] is not None:
        return best[1]
    raise SystemExit(f"no step makes {model.__name__} answer: give it an entry in DRIVES")


def line(t: np.ndarray, y: np.ndarray, box: tuple[float, float], low: float, high: float, color: str) -> str:
    """A polyline of t in 0..1 and y in low..high within the box (top, bottom); extremes of a group are kept."""
    if len(y) > POINTS:
        groups = np.array_split(np.arange(len(y)), POINTS // 2)
        keep = sorted({int(i) for g in groups for i in (g[y[g].argmin()], g[y[g].argmax()])})
        t, y = t[keep], y[keep]
    px = LEFT + t * (WIDTH - LEFT - RIGHT)
    py = box[1] - (y - low) / (high - low or 1.0) * (box[1] - box[0])
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px, py, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.2"/>'


def label(x: float, y: float, text: str, anchor: str = "end", color: str = INK) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{color}">{text}</text>'


def stairs(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners of a step-wise line."""
    change = np.flatnonzero(np.diff(x)) + 1
    at = np.concatenate([[0], np.repeat(change, 2), [len(x)]])
    return at / len(x), np.repeat(x[np.concatenate([[0], change])], 2)


def draw(model: Any, drive: Drive) -> str:
    cell = build(model, drive)
    dt = getattr(cell, "dt", None) or drive.options.get("dt", MS)
    xs = inputs(drive, dt)
    outputs, seen = respond(cell, xs, drive.trace)
    spiking = set(np.unique(outputs)) <= {-1.0, 0.0, 1.0}
    parts = []
    top = max(x.max() for x in xs)
    for x, color in zip(xs, (INK, RED), strict=False):
        parts.append(line(*stairs(x), (24, 60), min(0.0, *(x.min() for x in xs)), top, color))
    parts += [label(LEFT - 6, 30, f"{top:g}"), label(LEFT - 6, 62, "0")]
    parts.append(label(WIDTH - RIGHT, 16, drive.current, color=GREY))
    shown = outputs if seen is None or not spiking else seen
    low, high = float(shown.min()), float(shown.max())
    t = np.arange(1, len(shown) + 1) / len(shown)
    parts.append(line(t, shown, (100, 190), low, high, BLUE))
    parts += [label(LEFT - 6, 104, f"{high:.3g}"), label(LEFT - 6, 192, f"{low:.3g}")]
    name = (drive.trace + (f" [{drive.unit}]" if drive.unit else "")) if shown is seen else "output"
    parts.append(label(LEFT - 6, 148, name, color=BLUE))
    if spiking:
        at = LEFT + t[outputs != 0] * (WIDTH - LEFT - RIGHT)
        strokes = "".join(
            f"M{a:.1f} {80 if s > 0 else 93}v12" for a, s in zip(at, outputs[outputs != 0], strict=True)
        )
        parts.append(f'<path d="{strokes}" stroke="{INK}" stroke-width="1.2" fill="none"/>')
    parts.append(f'<path d="M{LEFT} 200H{WIDTH - RIGHT}" stroke="{GREY}" fill="none"/>')
    for k in range(5):
        x = LEFT + k / 4 * (WIDTH - LEFT - RIGHT)
        parts.append(label(x, 214, f"{k / 4 * drive.until * 1e3:g}", "middle", GREY))
    parts.append(label(LEFT - 6, 214, "ms", color=GREY))
    title = model.__name__
    parts.append(f'<text x="{LEFT}" y="16" font-weight="bold" fill="{INK}">{title}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 222" font-family="sans-serif" font-size="11">\n'
        f'<title>{title} driven by a step</title>\n<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def main() -> None:
    (HERE / "pictures").mkdir(exist_ok=True)
    for model in models():
        drives = DRIVES.get(model.__name__) or (guess(model),)
        for drive, file in zip(drives, files(model.__name__), strict=True):
            (HERE / "pictures" / file).write_text(draw(model, drive), encoding="utf-8")
    (HERE / "models.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
