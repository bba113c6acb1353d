"""Crossbars of differential pairs: matrices held by resistive cells, frozen or programmed, and what a chip computes with them.

A weight is W = (G+ - G-)/unit. Cells are frozen per chip: the seed of the crossbar. Read noise is drawn anew per inference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.errors import UserError
from snnkit.hardware.devices import Converter, Device, Seed, device

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Crossbar:
    """Two cells per weight.

    Args:
        device: what the cells are.
        plus, minus: conductances G+ and G- [S], inputs x outputs.
        unit: conductance difference of a weight of 1 [S].
        seed: of the chip, from which its cells' drift is drawn.

    >>> chip = Crossbar.formed(256, 200, "rram_formed", gain=0.3, seed=1)
    >>> bool(abs(chip.weights().std() - 0.3) < 1e-9)
    True
    """

    device: Device
    plus: Matrix
    minus: Matrix
    unit: float
    seed: int

    def __post_init__(self) -> None:
        if self.plus.ndim != 2 or self.plus.shape != self.minus.shape:
            raise UserError(
                f"plus and minus are matrices of one shape, got {self.plus.shape} and {self.minus.shape}"
            )
        if not self.unit > 0:
            raise UserError(
                f"unit is the conductance difference of a weight of 1, in siemens > 0; got {self.unit!r}"
            )

    @classmethod
    def formed(
        cls, inputs: int, outputs: int, cells: str | Device, *, gain: float = 1.0, seed: int
    ) -> Crossbar:
        """Cells as forming left them: W = gain·(G+ - G-)/sd, sd over the pairs of this chip."""
        kind = device(cells)
        if not (inputs > 0 and outputs > 0 and gain > 0):
            raise UserError(
                f"expected inputs, outputs and gain > 0, got {inputs!r}, {outputs!r} and {gain!r}"
            )
        plus, minus = (kind.form((inputs, outputs), (seed, side)) for side in (0, 1))
        spread = float((plus - minus).std())
        if not spread > 0:
            raise UserError(
                f"the cells of {kind.name} are all equal, so there are no weights; give spread > 0"
            )
        return cls(kind, plus, minus, spread / gain, seed)

    @classmethod
    def programmed(cls, weights: ArrayLike, cells: str | Device, *, seed: int) -> Crossbar:
        """Any weights, inputs x outputs: the largest |w| takes the device's whole range, one cell of a pair stays at `low`."""
        kind, w = device(cells), np.asarray(weights, dtype=np.float64)
        if w.ndim != 2 or not np.isfinite(w).all():
            raise UserError(f"expected finite weights [inputs, outputs], got shape {w.shape}")
        most = float(np.abs(w).max(initial=0.0)) or 1.0
        unit = (kind.high - kind.low) / most
        plus = kind.program(kind.low + unit * np.maximum(w, 0), (seed, 0))
        minus = kind.program(kind.low + unit * np.maximum(-w, 0), (seed, 1))
        return cls(kind, plus, minus, unit, seed)

    def aged(self, age: float | None) -> Crossbar:
        """The chip `age` seconds after programming; None is as programmed. The unit stays: nothing recalibrates it."""
        if age is None:
            return self
        sides = ((self.plus, (self.seed, 2)), (self.minus, (self.seed, 3)))
        plus, minus = (self.device.aged(g, age, seed) for g, seed in sides)
        return replace(self, plus=plus, minus=minus)

    def weights(self) -> Matrix:
        """Without read noise."""
        return (self.plus - self.minus) / self.unit

    def noise(self, age: float | None = None) -> Matrix:
        """Standard deviation of each weight in one inference: both cells of a pair are read."""
        sides = (self.device.read_noise(g, age) for g in (self.plus, self.minus))
        return np.hypot(*sides) / self.unit

    def read(self, seed: Seed, age: float | None = None) -> Matrix:
        """Weights as one inference sees them."""
        return self.weights() + self.noise(age) * np.random.default_rng(seed).standard_normal(self.plus.shape)

    def cell_energy(self, inputs: ArrayLike, *, volts: float, seconds: float) -> float:
        """Energy in the cells when rows are driven [J]: V²·t·Σ_rows n·Σ_columns (G+ + G-), n reads of each row.

        Converters, drivers and wires are not in it.
        """
        per_row = (self.plus + self.minus).sum(1)
        return float(volts**2 * seconds * (np.asarray(inputs, dtype=np.float64) @ per_row).sum())


def multiply(x: ArrayLike, weights: Matrix, *, rows: int, converter: Converter | None = None) -> Matrix:
    """x @ weights as arrays with `rows` rows compute it: each array's columns are converted, then added up digitally."""
    x = np.asarray(x, dtype=np.float64)
    out = np.zeros((*x.shape[:-1], weights.shape[1]))
    for part in _parts(x, weights, rows):
        out += part if converter is None else converter.convert(part)
    return out


def largest_sum(x: ArrayLike, weights: Matrix, *, rows: int) -> float:
    """The largest |column| of any array, which a converter's full scale has to cover."""
    parts = _parts(np.asarray(x, dtype=np.float64), weights, rows)
    return max((float(np.abs(part).max(initial=0.0)) for part in parts), default=0.0)


def _parts(x: Matrix, weights: Matrix, rows: int) -> Iterator[Matrix]:
    for first in range(0, len(weights), rows):
        yield x[..., first : first + rows] @ weights[first : first + rows]
