"""snnkit: train spiking networks on event data, convert ANNs to spikes, and know what an inference costs on a chip.

This file is a table of contents: a name is imported from its room when it is first used, so `import snnkit` opens no file
and compiles nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_CONTENTS = {
    "snnkit.events": ["EventTensor"],
    "snnkit.neurons": [
        "IF",
        "LIF",
        "CubaLIF",
        "AdaptiveLIF",
        "LeakyIntegrator",
        "Alpha",
        "QIF",
        "EIF",
        "AdEx",
        "Izhikevich",
        "HodgkinHuxley",
        "ResonateAndFire",
        "BalancedResonateAndFire",
        "TwoPoint",
        "TCLIF",
        "ApicalBurst",
        "ConductanceLIF",
        "ParametricLIF",
        "KLIF",
        "GatedLIF",
        "ComplementaryLIF",
        "TernaryIF",
        "TernaryLIF",
        "SignedIF",
        "MultiSpikeIF",
        "IntegerLIF",
        "DeltaEncoder",
        "SigmaDecoder",
        "SigmaDelta",
        "StochasticLIF",
        "MetaNeuron",
        "PSN",
        "MaskedPSN",
        "SlidingPSN",
        "Refractory",
        "Neuron",
        "neuron",
    ],
    "snnkit.layers": [
        "Linear",
        "Conv2d",
        "AvgPool2d",
        "SumPool2d",
        "Flatten",
        "Dropout",
        "BatchNorm",
        "Recurrent",
        "Sequential",
        "Stream",
        "checkpoint",
        "DelayedLinear",
        "DelayedConv1d",
        "DelayedConv2d",
        "DelayWidth",
        "delay_parameters",
        "clamp_delays",
        "clamp_after",
        "rounded_delays",
        "LMU",
        "L2MU",
        "Feedback",
        "Lateral",
        "SpikingLSTM",
        "SpikingGRU",
        "LiquidLIF",
    ],
    "snnkit.liquid": ["Liquid", "Projection"],
    "snnkit.activity": ["Activity", "trace"],
    "snnkit.interop": ["to_nir", "from_nir", "save", "load"],
    "snnkit.conversion": ["convert"],
    "snnkit.training": ["fit", "evaluate"],
    "snnkit.errors": ["UserError"],
}
_ROOMS = {
    "surrogate": "snnkit.neurons.surrogate",
    "losses": "snnkit.training.losses",
    **{
        room: f"snnkit.{room}"
        for room in ["conversion", "datasets", "encoders", "eventprop", "hardware", "interop"]
    },
    **{
        room: f"snnkit.{room}"
        for room in ["kernels", "layers", "liquid", "neurons", "plasticity", "systems", "training"]
    },
}
_HOME = {name: room for room, names in _CONTENTS.items() for name in names}

__all__ = [*_HOME, *_ROOMS]  # noqa: PLE0604 (the names are strings)

if TYPE_CHECKING:  # the same table for type checkers and editors
    from snnkit import (
        conversion,
        datasets,
        encoders,
        eventprop,
        hardware,
        interop,
        kernels,
        layers,
        liquid,
        neurons,
        plasticity,
        systems,
        training,
    )
    from snnkit.activity import Activity, trace
    from snnkit.conversion import convert
    from snnkit.errors import UserError
    from snnkit.events import EventTensor
    from snnkit.interop import from_nir, load, save, to_nir
    from snnkit.layers import (
        L2MU,
        LMU,
        AvgPool2d,
        BatchNorm,
        Conv2d,
        DelayedConv1d,
        DelayedConv2d,
        DelayedLinear,
        DelayWidth,
        Dropout,
        Feedback,
        Flatten,
        Lateral,
        Linear,
        LiquidLIF,
        Recurrent,
        Sequential,
        SpikingGRU,
        SpikingLSTM,
        Stream,
        SumPool2d,
        checkpoint,
        clamp_after,
        clamp_delays,
        delay_parameters,
        rounded_delays,
    )
    from snnkit.liquid import Liquid, Projection
    from snnkit.neurons import (
        EIF,
        IF,
        KLIF,
        LIF,
        PSN,
        QIF,
        TCLIF,
        AdaptiveLIF,
        AdEx,
        Alpha,
        ApicalBurst,
        BalancedResonateAndFire,
        ComplementaryLIF,
        ConductanceLIF,
        CubaLIF,
        DeltaEncoder,
        GatedLIF,
        HodgkinHuxley,
        IntegerLIF,
        Izhikevich,
        LeakyIntegrator,
        MaskedPSN,
        MetaNeuron,
        MultiSpikeIF,
        Neuron,
        ParametricLIF,
        Refractory,
        ResonateAndFire,
        SigmaDecoder,
        SigmaDelta,
        SignedIF,
        SlidingPSN,
        StochasticLIF,
        TernaryIF,
        TernaryLIF,
        TwoPoint,
        neuron,
        surrogate,
    )
    from snnkit.training import evaluate, fit, losses


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        value = import_module(_ROOMS[name])
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"snnkit has no '{name}'; see dir(snnkit) for what there is")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
