"""Chips as data: what an inference costs on them, whether a network fits, and deployment that is verified.

Hardware knows a NIR graph and an `Activity` and nothing else of snnkit, so a network from any library that
writes NIR gets the same treatment. Start with `chips()`, `estimate(graph, activity, chip=...)`, `place(graph,
chip=...)` and `deploy(graph, target=..., out=..., vectors=...)`.
"""

from snnkit.hardware.arrays import Arrays
from snnkit.hardware.catalog import Chip, Figure, UnknownChip, chip, chips
from snnkit.hardware.crossbar import Crossbar
from snnkit.hardware.delays import Room, room_for_delays
from snnkit.hardware.deploy import BadFolder, Deployment, UnknownTarget, deploy, targets
from snnkit.hardware.devices import DEVICES, Converter, Device
from snnkit.hardware.energy import NoEnergy, estimate
from snnkit.hardware.graph import UnsupportedGraph
from snnkit.hardware.placement import DoesNotFit, Placement, place
from snnkit.hardware.report import EnergyReport, Interval
from snnkit.hardware.simulate import Simulation, simulate

__all__ = [
    "chips",
    "chip",
    "Chip",
    "Figure",
    "UnknownChip",
    "estimate",
    "EnergyReport",
    "Interval",
    "NoEnergy",
    "room_for_delays",
    "Room",
    "place",
    "Placement",
    "DoesNotFit",
    "deploy",
    "targets",
    "Deployment",
    "UnknownTarget",
    "BadFolder",
    "simulate",
    "Simulation",
    "Arrays",
    "Crossbar",
    "Converter",
    "Device",
    "DEVICES",
    "UnsupportedGraph",
]
