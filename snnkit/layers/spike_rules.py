"""Which gradients of spikes go together in one network."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from snnkit.errors import UserError


def check_gradients(net: nn.Module) -> None:
    """Refuse a network in which the time gradient of EventProp would come out of something that has none.

    Behind a neuron with `gradient="eventprop"` every spiking neuron has to have it too, for the difference along time of a
    surrogate gradient is no time gradient, and no batch normalisation may be in training, which mixes time and batch. In
    front of it, anything goes. Layers count in the order in which they were put into the network.

    Raises:
        UserError: naming every layer that does not fit.
    """
    first, wrong = "", []
    for path, module in net.named_modules():
        gradient = getattr(module, "gradient", "surrogate")
        fires = "fire" in getattr(getattr(module, "equation", None), "handed_in", ())
        if fires and gradient == "eventprop":
            first = first or path or type(module).__name__
        elif first and fires:
            wrong.append(f"{path} ({type(module).__name__}) spikes with a surrogate gradient")
        elif first and isinstance(module, _BatchNorm) and module.training:
            wrong.append(f"{path} ({type(module).__name__}) normalises over time and batch")
    if wrong:
        raise UserError(
            f'behind layer {first} with gradient="eventprop", '
            + "; ".join(wrong)
            + "; EventProp needs its own rule and "
            "linear layers from there to the loss"
        )
