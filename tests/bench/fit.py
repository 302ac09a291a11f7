"""Statistics of figures: spread of rounds, and the exponent of growth."""

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

BEND = 0.3
"""Change of the exponent between two neighbouring steps that counts as a bend."""

Points = Sequence[tuple[float, float]]


class Growth(NamedTuple):
    """Growth as y = a * x^exponent, fitted by least squares of the logarithms."""

    exponent: float
    steps: list[float]
    """The exponent between each point and the next one."""
    bends_at: float | None
    """x of the point at which the exponent changes most; None if it changes by less than BEND."""


def fit(points: Points) -> Growth:
    """Fit at least two points with positive coordinates, in the order of x. Raises ValueError otherwise."""
    if len(points) < 2 or any(x <= 0 or y <= 0 for x, y in points):
        raise ValueError(f"growth needs at least two points above 0, not {list(points)}")
    logs = [(math.log(x), math.log(y)) for x, y in points]
    exponent = statistics.linear_regression([x for x, _ in logs], [y for _, y in logs]).slope
    steps = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in pairwise(logs)]
    changes = [abs(after - before) for before, after in pairwise(steps)]
    bend = max(range(len(changes)), key=changes.__getitem__, default=None)
    is_bent = bend is not None and changes[bend] >= BEND
    return Growth(exponent, steps, points[bend + 1][0] if bend is not None and is_bent else None)


def ratios(these: Sequence[float], those: Sequence[float]) -> list[float]:
    """Return the ratio of each round."""
    return [this / that for this, that in zip(these, those, strict=True)]


def number(value: float) -> str:
    """Format with three significant digits, and thousands separators."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def spread(values: Sequence[float]) -> str:
    """Format the median, and the least and the most in parentheses."""
    middle = number(statistics.median(values))
    return f"{middle} ({number(min(values))} to {number(max(values))})" if len(values) > 1 else middle
