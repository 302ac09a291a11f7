"""Plots as SVG: horizontal bars, and lines with logarithmic axes. Pure functions that return the document."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 760
LEFT = 290
RIGHT = 120
BAR = 26
COLORS = ("#2563a8", "#c2571a", "#3c8d3c", "#7a4fa3")
PLOT = 300
"""Height of the plot with lines."""


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#d0d0d0"/>'


def _document(height: float, title: str, parts: Sequence[str]) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}"',
        'font-family="sans-serif" font-size="13" role="img">',
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        _text(12, 24, title, bold=True),
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def bars(title: str, values: Mapping[str, float], label: str) -> str:
    """Draw one bar for each value (at least 0); `label` is the format of a value, as in str.format."""
    most = max(values.values(), default=0.0) or 1.0
    parts = []
    for place, (name, value) in enumerate(values.items()):
        y = 44 + place * (BAR + 8)
        width = (WIDTH - LEFT - RIGHT) * value / most
        parts += [
            _text(LEFT - 8, y + 17, name, anchor="end"),
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{COLORS[0]}"/>',
            _text(LEFT + width + 6, y + 17, label.format(value)),
        ]
    return _document(52 + len(values) * (BAR + 8), title, parts)


def _powers(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten below and above all values."""
    low = math.floor(math.log10(min(values)))
    return low, max(low + 1, math.ceil(math.log10(max(values))))


def lines(title: str, series: Mapping[str, Sequence[tuple[float, float]]], x_axis: str) -> str:
    """Draw each series with both axes logarithmic; points that are not above 0 are left out."""
    kept = {name: [(x, y) for x, y in points if x > 0 and y > 0] for name, points in series.items()}
    x_low, x_high = _powers([x for points in kept.values() for x, _ in points])
    y_low, y_high = _powers([y for points in kept.values() for _, y in points])
    left, right, top = 70, WIDTH - 230, 44

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + (right - left) * (math.log10(x) - x_low) / (x_high - x_low),
            top + PLOT * (y_high - math.log10(y)) / (y_high - y_low),
        )

    parts = []
    for power in range(x_low, x_high + 1):
        x, bottom = at(10.0**power, 10.0**y_low)
        parts += [_line(x, top, x, bottom), _text(x, bottom + 18, f"{10**power:,}", anchor="middle")]
    for power in range(y_low, y_high + 1):
        x, y = at(10.0**x_low, 10.0**power)
        parts += [_line(x, y, right, y), _text(x - 6, y + 4, f"{10.0**power:,g}", anchor="end")]
    parts.append(_text((left + right) / 2, top + PLOT + 38, x_axis, anchor="middle"))
    for place, (name, points) in enumerate(kept.items()):
        color = COLORS[place % len(COLORS)]
        drawn = [at(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in drawn]
        y = top + 12 + 22 * place
        parts += [f'<rect x="{right + 16}" y="{y - 9}" width="12" height="12" fill="{color}"/>']
        parts.append(_text(right + 34, y + 2, name))
    return _document(top + PLOT + 52, title, parts)
