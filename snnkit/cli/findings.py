"""What the demo found, and the figures of it that programs read."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass, field
from typing import Any

TARGET = "loihi"


@dataclass
class Findings:
    """What the stages found, for the report and the summary."""

    quick: bool
    training: dict[str, Any] = field(default_factory=dict)
    conversion: dict[str, Any] = field(default_factory=dict)
    activity: Any = None
    graph: Any = None
    reports: dict[str, Any] = field(default_factory=dict)
    deployment: Any = None
    recording: dict[str, Any] = field(default_factory=dict)
    rasters: dict[str, Any] = field(default_factory=dict)
    dt: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)


def summary(found: Findings, seed: int, seconds: float) -> dict[str, Any]:
    """The figures that matter, for programs."""
    import snnkit

    training, deployment = found.training, found.deployment
    return {
        "snnkit": snnkit.__version__,
        "seed": seed,
        "quick": found.quick,
        "seconds": {**found.seconds, "all": seconds},
        "peak_memory_gb": _peak_memory_gb(),
        "digits": {
            **{
                key: training[key]
                for key in ("seeds", "accuracy", "mean", "std", "test_samples", "parameters")
            },
            "training_seconds": training["seconds"],
        },
        "conversion": {name: _curve(method) for name, method in found.conversion["methods"].items()},
        "energy": {
            "samples": found.activity.samples,
            "spikes": found.activity.total("spikes"),
            "synops": found.activity.total("synops"),
            "chips": {name: _energy(report) for name, report in found.reports.items()},
        },
        "deployment": {
            "target": TARGET,
            "float_accuracy": deployment.float_accuracy,
            "integer_accuracy": deployment.integer_accuracy,
            "agreement": deployment.agreement,
            "layers": deployment.report["layers"],
        },
    }


def _curve(method: dict[str, Any], longest: int = 16) -> dict[str, Any]:
    """Accuracy against T, and the first T up to `longest` with the smallest gap to the ANN."""
    gaps = {t: gap for t, gap in zip(method["timesteps"], method["gap"], strict=True) if t <= longest}
    best = min(gaps, key=lambda t: (max(gaps[t], 0.0), t))  # better than the ANN is no gap
    return {
        "ann": method["ann"],
        "timesteps": method["timesteps"],
        "snn": method["snn"],
        "gap": method["gap"],
        "best_timesteps": best,
        "best_gap": gaps[best],
    }


def _energy(report: Any) -> dict[str, Any]:
    return {
        "energy_j": report.energy_j,
        "low_j": report.low_j,
        "high_j": report.high_j,
        "neural_dynamic_j": report.neural_dynamic.value,
        "system_dynamic_j": report.system_dynamic.value,
        "static_j": report.static.value,
        "latency_s": report.latency_s,
        "ann_energy_j": report.ann_energy_j,
    }


def _peak_memory_gb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)
