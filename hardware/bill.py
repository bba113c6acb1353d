"""The bill of an inference: terms are added up, and no part of the chip is paid for twice."""

from __future__ import annotations

from snnkit.errors import UserError
from snnkit.hardware.catalog import Chip, Figure
from snnkit.hardware.report import Interval, Term


class Bill:
    """Terms, assumptions and omissions of one estimate.

    Within a layer each part of the bill (`covers`) has one payer. A figure that is not incremental already
    holds its parts for the whole chip, so nothing else may pay for them anywhere: adding leakage to an all-in
    figure raises.
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        self.terms: list[Term] = []
        self.assumptions: list[str] = list(chip.notes)
        self.left_out: list[str] = []
        self._payers: dict[str, dict[str, Figure]] = {}

    def pay(
        self,
        layer: str,
        what: str,
        count: float,
        figure: Figure,
        *,
        part: str = "neural_dynamic",
        span: Interval | None = None,
        low: float = 1.0,
        high: float = 1.0,
    ) -> None:
        """Add `count` events at `figure`. `low` and `high` widen the interval, `span` replaces it."""
        for covered in figure.covers:
            self._claim(covered, layer, figure)
        own = Interval(count * figure.si, count * figure.si_low * low, count * figure.si_high * high)
        self.terms.append(Term(part, layer, what, count, span or own, figure))

    def _claim(self, covered: str, layer: str, figure: Figure) -> None:
        payers = self._payers.setdefault(covered, {})
        for other_layer, other in payers.items():
            apart = layer != other_layer and figure.scope == other.scope == "incremental"
            if other.name != figure.name and not apart:
                raise UserError(
                    f"{self.chip.name}: {covered} would be paid twice, by {other.name} ({other.scope}) and "
                    f"by {figure.name} ({figure.scope}); correct `covers` or `scope` in the chip's file"
                )
        payers.setdefault(layer, figure)
