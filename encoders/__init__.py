"""From images and values to events: an event camera, rate and latency codes."""

from snnkit.encoders.camera import Camera, Saccades, record

__all__ = ["Camera", "Saccades", "record"]
