"""From images and values to events.

`record` shows still images to a moving event camera; `rate` and `latency` hold the codes of static values.
"""

from snnkit.encoders import latency, rate
from snnkit.encoders.camera import Camera, Saccades, pixel_events, record, record_packed

__all__ = ["record", "record_packed", "pixel_events", "Camera", "Saccades", "rate", "latency"]
