"""From images, values and sensor signals to events, and back.

Every code is a frozen dataclass with `encode` and, where one exists, `decode`, or a module of two such functions. Values in [0, 1] come batch
first, (B, *N); signals come time first, [T, B, *N]; events are `EventTensor`s (T, B, *N). docs/encoders.md has the table of codes.
This file is a table of contents: a name is imported from its module when it is first used.
"""

# ruff: noqa: F401 (the names under TYPE_CHECKING are the table of contents)

from importlib import import_module
from typing import TYPE_CHECKING, Any

_CONTENTS = {
    "camera": ["record", "record_packed", "pixel_events", "Camera", "Saccades"],
    "camera_pixel": ["DVS"],
    "camera_readout": ["Readout"],
    "video": ["record_video"],
    "camera_saccades": ["record_saccades", "SaccadeCamera"],
    "cochlea": ["Cochlea", "MelCochlea", "SiliconCochlea"],
    "cochlea_heidelberg": ["HeidelbergCochlea"],
    "phase": ["Phase"],
    "burst": ["Burst", "GrowingBurst"],
    "population": ["Gaussian"],
    "delta": ["SendOnDelta", "StepForward", "DeltaModulator", "MovingWindow", "TemporalContrast"],
    "sigma_delta": ["SigmaDelta", "SignedSigmaDelta", "Messages"],
    "bsa": ["BSA", "Hough"],
    "times": ["SpikeTimes"],
    "signals": ["Scale", "snr", "spike_rate", "noise_rms", "filtered", "threshold_for"],
}
_MODULES = [
    "rate",
    "latency",
    "direct",
    "cochlea_codes",
    "gammatone",
    "hair_cell",
    "mel",
    "membrane",
    *_CONTENTS,
]
_HOME = {name: module for module, names in _CONTENTS.items() for name in names}

__all__ = [*_HOME, *_MODULES]  # noqa: PLE0604 (the names are strings)

if TYPE_CHECKING:  # the same table for type checkers and editors
    from snnkit.encoders import (
        bsa,
        burst,
        camera,
        camera_pixel,
        camera_readout,
        camera_saccades,
        cochlea,
        cochlea_codes,
        cochlea_heidelberg,
        delta,
        direct,
        gammatone,
        hair_cell,
        latency,
        mel,
        membrane,
        phase,
        population,
        rate,
        sigma_delta,
        signals,
        times,
        video,
    )
    from snnkit.encoders.bsa import BSA, Hough
    from snnkit.encoders.burst import Burst, GrowingBurst
    from snnkit.encoders.camera import Camera, Saccades, pixel_events, record, record_packed
    from snnkit.encoders.camera_pixel import DVS
    from snnkit.encoders.camera_readout import Readout
    from snnkit.encoders.camera_saccades import SaccadeCamera, record_saccades
    from snnkit.encoders.cochlea import Cochlea, MelCochlea, SiliconCochlea
    from snnkit.encoders.cochlea_heidelberg import HeidelbergCochlea
    from snnkit.encoders.delta import DeltaModulator, MovingWindow, SendOnDelta, StepForward, TemporalContrast
    from snnkit.encoders.phase import Phase
    from snnkit.encoders.population import Gaussian
    from snnkit.encoders.sigma_delta import Messages, SigmaDelta, SignedSigmaDelta
    from snnkit.encoders.signals import Scale, filtered, noise_rms, snr, spike_rate, threshold_for
    from snnkit.encoders.times import SpikeTimes
    from snnkit.encoders.video import record_video


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"snnkit.encoders has no '{name}'; see dir(snnkit.encoders) for what there is")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
