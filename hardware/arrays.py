"""A network's weights on resistive crossbars: pairs of analog cells, or digits in cells of a few bits as the energy model has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from snnkit.errors import UserError
from snnkit.hardware.catalog import Chip, chip
from snnkit.hardware.crossbar import Crossbar, Matrix, largest_sum, multiply
from snnkit.hardware.devices import Converter, Device, device


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """How a network lies on crossbars, for `simulate(graph, x, arrays=...)`; the whole input is one inference.

        pairs     w = (G+ - G-)/unit, analog                                    weight_bits None
        digits    q = round(w/Δ) + 2^(weight_bits-1) = Σ_k 2^(k·cell_bits)·d_k, each digit a cell: G = low + d·(high - low)/(2^cell_bits - 1);
                  Σ x·w = Δ·(Σ_k 2^(k·cell_bits)·Σ x·d_k - 2^(weight_bits-1)·Σ x)     (offset coding, ISAAC)

    Args:
        device: name or `Device` of the cells.
        rows: of one array; longer columns are split, converted one by one and added.
        bits: of the converters; None for ideal ones.
        headroom: their full scale, in units of the largest column sum that ideal weights have on this very input, as a
            calibration would set it; with digits and spikes no level is less than one digit.
        weight_bits, cell_bits: of digits; None for pairs.
        age: seconds since programming; None for as programmed.
        seed: of the chip.
        reading: seed of the read noise; None reads without.

    >>> Arrays.of("rram128").cell_bits
    2
    """

    device: str | Device = "rram_wan"
    rows: int = 128
    bits: int | None = 8
    headroom: float = 1.0
    weight_bits: int | None = None
    cell_bits: int = 2
    age: float | None = None
    seed: int = 0
    reading: int | None = 0

    def __post_init__(self) -> None:
        device(self.device)
        if not (self.rows > 0 and self.headroom > 0):
            raise UserError(
                f"expected rows > 0 and headroom > 0, got rows={self.rows!r}, headroom={self.headroom!r}"
            )
        if self.bits is not None:
            Converter(self.bits, 1.0)
        if self.weight_bits is not None and not 2 <= self.weight_bits <= 16 >= self.cell_bits >= 1:
            raise UserError(
                f"expected weight_bits 2..16 and cell_bits 1..16, got {self.weight_bits!r} and {self.cell_bits!r}"
            )

    @classmethod
    def of(cls, name: str | Chip = "rram128", **options: Any) -> Arrays:
        """The arrays of a chip of the catalogue: those whose passes and conversions `estimate` pays.

        Raises:
            UserError: the chip has no crossbars.
        """
        known = chip(name)
        if known.model != "crossbar":
            raise UserError(f"{known.name} has no crossbars; 'rram128' has")
        figures = ("weight_bits", "cell_bits", "rows")
        found: dict[str, Any] = {figure: known.at_most(figure) for figure in figures}
        return cls(**{**found, "bits": known.at_most("adc_bits"), **options})

    def product(self, x: ArrayLike, weights: ArrayLike, layer: int) -> Matrix:
        """x @ weights [inputs, outputs] as this chip computes it; `layer` numbers the matrices of the chip."""
        x, w = np.asarray(x, dtype=np.float64), np.asarray(weights, dtype=np.float64)
        if w.ndim != 2 or not np.isfinite(w).all():
            raise UserError(f"expected finite weights [inputs, outputs], got shape {w.shape}")
        return self._pairs(x, w, layer) if self.weight_bits is None else self._digits(x, w, layer)

    def _pairs(self, x: Matrix, w: Matrix, layer: int) -> Matrix:
        held = Crossbar.programmed(w, self.device, seed=_mixed(self.seed, layer)).aged(self.age)
        seen = (
            held.weights()
            if self.reading is None
            else held.read((self.seed, layer, 4, self.reading), self.age)
        )
        return self._converted(x, w, seen, signed=True)

    def _digits(self, x: Matrix, w: Matrix, layer: int) -> Matrix:
        assert self.weight_bits is not None
        offset, base = 1 << (self.weight_bits - 1), 1 << self.cell_bits
        delta = float(np.abs(w).max(initial=0.0)) / (offset - 1) or 1.0
        left, out, place = (
            np.rint(w / delta).astype(np.int64) + offset,
            np.zeros((*x.shape[:-1], w.shape[1])),
            1,
        )
        for k in range(-(-self.weight_bits // self.cell_bits)):
            digit = (left % base).astype(np.float64)
            out += place * self._converted(
                x, digit, self._cells(digit, base - 1, (layer, k)), signed=bool((x < 0).any())
            )
            left, place = left // base, place * base
        return delta * (out - offset * x.sum(-1, keepdims=True))

    def _cells(self, digit: Matrix, most: int, where: tuple[int, int]) -> Matrix:
        """Digits as cells hold them and one inference reads them."""
        kind = device(self.device)
        unit = (kind.high - kind.low) / most
        cells = kind.program(kind.low + unit * digit, (self.seed, *where, 0))
        if self.age is not None:
            cells = kind.aged(cells, self.age, (self.seed, *where, 1))
        if self.reading is not None:
            cells = kind.read_out(cells, (self.seed, *where, 2, self.reading), self.age)
        return (cells - kind.low) / unit

    def _converted(self, x: Matrix, ideal: Matrix, seen: Matrix, *, signed: bool) -> Matrix:
        if self.bits is None:
            return multiply(x, seen, rows=self.rows)
        peak = self.headroom * largest_sum(x, ideal, rows=self.rows)
        if not peak > 0:
            return multiply(x, seen, rows=self.rows)
        converter = Converter(self.bits, peak, signed)
        if self.weight_bits is not None and converter.step < 1 and (x == np.rint(x)).all():
            converter = Converter(self.bits, float(converter.levels), signed)  # spikes times digits are whole
        return multiply(x, seen, rows=self.rows, converter=converter)


def _mixed(*numbers: int) -> int:
    """One seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
