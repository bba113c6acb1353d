"""The way of events out of the sensor: a bus that takes time for every event and every row, and loses what waits too long."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnkit.errors import UserError
from snnkit.recordings import Events


@dataclass(frozen=True, kw_only=True)
class Readout:
    """A row-wise arbiter, as in most event cameras: `Readout(rate=1e6)(events)`.

    Events keep their order and get the time at which the bus takes them, in whole microseconds: under load times are
    late by the queue's length, and rows come in bursts.

    Args:
        rate: events per second that the bus carries.
        row: extra time when the row changes, in seconds.
        patience: an event that would wait longer is lost, in seconds.
    """

    rate: float = 10e6
    row: float = 0.0
    patience: float = 1e-3

    def __post_init__(self) -> None:
        if not (self.rate > 0 and self.row >= 0 and self.patience >= 0):
            raise UserError(
                "expected rate > 0 in events per second, row >= 0 and patience >= 0 in seconds, got "
                f"{self.rate}, {self.row}, {self.patience}"
            )

    def __call__(self, events: Events) -> Events:
        from snnkit.kernels.encoders.camera import arbitrate

        served = np.empty(len(events), np.int64)
        y = np.ascontiguousarray(events.y)
        arbitrate(np.ascontiguousarray(events.t), y, 1 / self.rate, self.row, self.patience, served)
        kept = served >= 0
        return Events(served[kept], events.x[kept], events.y[kept], events.p[kept], sensor=events.sensor)
