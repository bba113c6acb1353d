"""Layers over sequences `T B *N` and event tensors: synapses, pooling, normalisation, and how they are put together."""

from snnkit.layers.base import Stateless
from snnkit.layers.checkpointing import checkpoint, checkpointed_scan
from snnkit.layers.conv import AvgPool2d, Conv2d, SumPool2d
from snnkit.layers.delay_base import DelayState
from snnkit.layers.delay_training import (
    DelayWidth,
    clamp_after,
    clamp_delays,
    delay_excess,
    delay_parameters,
    delay_unroundness,
    rounded_delays,
)
from snnkit.layers.delayed_conv import DelayedConv1d, DelayedConv2d
from snnkit.layers.delays import DelayedLinear
from snnkit.layers.feedback import Feedback, FeedbackState, Inhibition, Lateral
from snnkit.layers.gated import (
    LiquidLIF,
    LiquidLIFState,
    SpikingGRU,
    SpikingGRUState,
    SpikingLSTM,
    SpikingLSTMState,
)
from snnkit.layers.linear import Linear
from snnkit.layers.memory import L2MU, LMU, L2MUState, LMUState
from snnkit.layers.recurrent import Recurrent, RecurrentState
from snnkit.layers.sequential import Sequential, Stream
from snnkit.layers.shape import BatchNorm, Dropout, DropoutState, Flatten
from snnkit.layers.spike_rules import check_gradients

__all__ = [
    "Linear",
    "DelayedLinear",
    "DelayedConv1d",
    "DelayedConv2d",
    "DelayState",
    "DelayWidth",
    "delay_parameters",
    "clamp_delays",
    "clamp_after",
    "delay_excess",
    "delay_unroundness",
    "rounded_delays",
    "Conv2d",
    "AvgPool2d",
    "SumPool2d",
    "Flatten",
    "Dropout",
    "DropoutState",
    "BatchNorm",
    "LMU",
    "LMUState",
    "L2MU",
    "L2MUState",
    "Recurrent",
    "RecurrentState",
    "Feedback",
    "FeedbackState",
    "Lateral",
    "Inhibition",
    "SpikingLSTM",
    "SpikingLSTMState",
    "SpikingGRU",
    "SpikingGRUState",
    "LiquidLIF",
    "LiquidLIFState",
    "Sequential",
    "Stream",
    "checkpoint",
    "checkpointed_scan",
    "Stateless",
    "check_gradients",
]
