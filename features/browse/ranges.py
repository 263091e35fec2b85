"""From which number to which? A filter on a figure, in an address and in words."""

from dataclasses import dataclass

from .columns import FILTERED, Column

PARTED = ".."  # 0.001..0.01


@dataclass(frozen=True)
class Range:
    """Of a column, both ends included; None: open."""

    column: Column
    low: float | None
    high: float | None

    @classmethod
    def read(cls, text: str) -> "Range | None":
        """From `density:0.001..0.01`; None where it says nothing."""
        name, _, ends = text.partition(":")
        low, _, high = ends.partition(PARTED)
        return cls.of(name, low, high)

    @classmethod
    def of(cls, name: str, low: str, high: str) -> "Range | None":
        """From what was typed: 0.001, 0.1 %, 1e-3, 1,000; None where that says nothing."""
        column, ends = FILTERED.get(name), (_number(low), _number(high))
        return cls(column, *ends) if column and ends != (None, None) else None

    def __str__(self) -> str:
        ends = ("" if end is None else f"{end:.12g}" for end in (self.low, self.high))
        return f"{self.column.name}:{PARTED.join(ends)}"

    @property
    def words(self) -> str:
        """ "Density 0.1 % to 1 %"."""
        low, high = (None if end is None else self._typed(end) for end in (self.low, self.high))
        if None in (low, high):
            return f"{self.column.title} {'up to' if low is None else 'from'} {high or low}"
        return f"{self.column.title} {low} to {high}"

    def _typed(self, end: float) -> str:
        """As somebody would type it."""
        return f"{end * 100:.6g}\u00a0%" if self.column.format == "percent" else f"{end:,.8g}"

    @property
    def lookups(self) -> dict:
        """As a filter of features."""
        ends = {"gte": self.low, "lte": self.high}
        return {f"{self.column.attribute}__{end}": value for end, value in ends.items() if value is not None}

    def holds(self, value: float | None) -> bool:
        """Of a figure that the database does not know; not of one that is missing."""
        if value is None:
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


def _number(text: str) -> float | None:
    text = text.strip().replace(",", "").replace("−", "-")
    share = text.endswith("%")
    try:
        value = float(text.removesuffix("%").strip())
    except ValueError:
        return None
    if value - value != 0:  # infinite, or no number
        return None
    return float(f"{value / 100:.12g}") if share else value
