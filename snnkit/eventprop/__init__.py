"""Spikes in continuous time: networks run from event to event, with the exact gradient of their spike times.

`run(net, x)` and `EventProp(net)` take the layers that a network on time steps is made of.
"""

from snnkit.eventprop.network import Answer, EventProp, run
from snnkit.eventprop.readout import Readout
from snnkit.eventprop.spikes import Spikes

__all__ = ["run", "EventProp", "Answer", "Readout", "Spikes"]
