"""Charts as SVG text, drawn from few points: no library is loaded, and the same values give the same text.

A chart is a list of elements in pixels. `Axis` maps values to pixels; `draw_chart` puts elements into a document of a
fixed width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape

import numpy as np

from gridtide.observations.array_types import FloatArray, Mask

CHART_WIDTH = 1100
"""The width of a chart in pixels."""

LABEL_WIDTH = 250
"""The pixels left of a chart whose rows have names."""

TIME_STEPS = (1, 7, 14)
"""The days between marks on an axis of at most three months."""

MONTH_STEPS = (1, 3, 6, 12, 24, 60, 120)
"""The months between marks on an axis of more than three months."""

GREY, DARK = "#888888", "#222222"


@dataclass(frozen=True)
class Axis:
    """Maps values from `low` to `high` to pixels from `first_pixel` to `last_pixel`."""

    low: float
    high: float
    first_pixel: float
    last_pixel: float

    def place(self, values: FloatArray | float) -> FloatArray:
        """Returns the pixels of `values` (N,), rounded to tenths."""
        share = (np.asarray(values, float) - self.low) / ((self.high - self.low) or 1.0)
        return np.asarray((self.first_pixel + share * (self.last_pixel - self.first_pixel)).round(1))

    def marks(self, most: int = 6) -> list[float]:
        """Returns at most about `most` round values between the ends.

        >>> Axis(0, 23, 0, 100).marks()
        [0.0, 5.0, 10.0, 15.0, 20.0]
        """
        extent = self.high - self.low
        if not 0 < extent < math.inf:
            return [self.low] if math.isfinite(self.low) else []
        magnitude = 10.0 ** math.floor(math.log10(extent / most))
        step = next(factor * magnitude for factor in (1, 2, 5, 10) if extent / (factor * magnitude) <= most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]


def draw_chart(height: float, elements: Iterable[str], title: str) -> str:
    """Returns the SVG document of `elements`, `height` pixels high, with `title` as its text for screen readers."""
    return (
        f'<svg viewBox="0 0 {CHART_WIDTH} {height:g}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="12">'
        f"{''.join(elements)}</svg>"
    )


def draw_text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = DARK, size: int = 12) -> str:
    """Returns `text` with its base line at `y`; `anchor` is start, middle or end."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{escape(text)}</text>'


def draw_box(x: float, y: float, width: float, height: float, colour: str, opacity: float = 1.0) -> str:
    """Returns a filled rectangle."""
    transparency = f' fill-opacity="{opacity:g}"' if opacity < 1 else ""
    return f'<rect x="{x:g}" y="{y:g}" width="{max(width, 0):g}" height="{height:g}" fill="{colour}"{transparency}/>'


def draw_line(x: FloatArray, y: FloatArray, colour: str = DARK, width: float = 1.2, dashes: str = "") -> str:
    """Returns a line through the points `x`, `y` (N,), broken where `y` is NaN."""
    parts = [_join_points(x[run], y[run]) for run in _split_runs(~np.isnan(y))]
    dash_pattern = f' stroke-dasharray="{dashes}"' if dashes else ""
    path = "".join(f"M{part}" for part in parts)
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dash_pattern}/>' if path else ""


def draw_band(x: FloatArray, low: FloatArray, high: FloatArray, colour: str, opacity: float = 0.3) -> str:
    """Returns the area between `low` and `high` (N,), broken where either is NaN."""
    parts = [
        f"M{_join_points(x[run], high[run])} {_join_points(x[run][::-1], low[run][::-1])}Z"
        for run in _split_runs(~np.isnan(low) & ~np.isnan(high))
    ]
    return f'<path d="{"".join(parts)}" fill="{colour}" fill-opacity="{opacity:g}"/>' if parts else ""


def draw_boxes(boxes: Sequence[tuple[float, float, float, float]], colour: str) -> str:
    """Returns the rectangles `boxes` (x, y, width, height) of one colour as a single element."""
    path = "".join(f"M{x:g} {y:g}h{width:g}v{height:g}h{-width:g}z" for x, y, width, height in boxes)
    return f'<path d="{path}" fill="{colour}"/>' if path else ""


def draw_marks(axis: Axis, edge: float, *, across: float, vertical: bool = False, suffix: str = "") -> list[str]:
    """Returns the round values of `axis` as labels at `edge`, each with a faint line up to `across`."""
    elements = []
    for mark, pixel in zip(axis.marks(), axis.place(np.array(axis.marks())).tolist(), strict=True):
        label = f"{mark:,.10g}{suffix}"
        if vertical:
            elements.append(f'<path d="M{edge:g} {pixel:g}H{across:g}" stroke="#eeeeee"/>')
            elements.append(draw_text(edge - 6, pixel + 4, label, anchor="end", size=11))
        else:
            elements.append(f'<path d="M{pixel:g} {edge:g}V{across:g}" stroke="#eeeeee"/>')
            elements.append(draw_text(pixel, edge + 14, label, anchor="middle", size=11))
    return elements


def draw_dates(start: datetime, axis: Axis, y: float, step: timedelta) -> list[str]:
    """Returns dates below the height `y` of a chart whose `axis` counts steps of `step` from `start`."""
    elements = []
    for moment, label in _mark_dates(start + axis.low * step, start + axis.high * step):
        pixel = float(axis.place((moment - start) / step))
        elements.append(f'<path d="M{pixel:g} {y:g}v4" stroke="{GREY}"/>')
        elements.append(draw_text(pixel, y + 16, label, anchor="middle", size=11))
    return elements


def draw_legend(entries: Mapping[str, str], y: float = 12) -> list[str]:
    """Returns a row of colours and what they stand for, aligned to the right of the chart."""
    elements: list[str] = []
    edge = float(CHART_WIDTH - 10)
    for label, colour in reversed(list(entries.items())):
        edge -= 7.0 * len(label) + 26
        elements += [draw_box(edge, y - 9, 11, 11, colour), draw_text(edge + 16, y, label)]
    return elements


def break_name(name: str, width: int) -> list[str]:
    """Breaks `name` into lines of at most `width` characters, after a slash or an underscore, or at a blank."""
    lines = []
    while len(name) > width:
        position = max(name.rfind(separator, 0, width) for separator in "/ _")
        position = position if position > 0 else width - 1
        lines.append(name[: position + 1].rstrip())
        name = name[position + 1 :]
    return [*lines, name]


def _mark_dates(begin: datetime, end: datetime) -> list[tuple[datetime, str]]:
    """Returns about six to twelve round dates from `begin` to `end`, with labels."""
    length = (end - begin).days
    if length <= 92:
        step = next((days for days in TIME_STEPS if length / days <= 12), TIME_STEPS[-1])
        midnight = datetime(begin.year, begin.month, begin.day, tzinfo=UTC)
        days = (midnight + timedelta(days=number) for number in range(0, length + 2, step))
        return [
            (day, f"{day:%d %b %Y}" if number == 0 else f"{day:%d %b}")
            for number, day in enumerate(days)
            if begin <= day <= end
        ]
    months = length / 30.4
    step = next((count for count in MONTH_STEPS if months / count <= 12), MONTH_STEPS[-1])
    first, last = begin.year * 12 + begin.month - 1, end.year * 12 + end.month - 1
    starts = (
        datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC) for number in range(first - first % step, last + 1, step)
    )
    return [(month, f"{month:%Y}" if month.month == 1 else f"{month:%b}") for month in starts if begin <= month <= end]


def _split_runs(present: Mask) -> list[slice]:
    """Returns the runs of true cells of `present` (N,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]]).astype(np.int8)))
    return [slice(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def _join_points(x: FloatArray, y: FloatArray) -> str:
    return " ".join(f"{across:g},{down:g}" for across, down in zip(x.tolist(), y.tolist(), strict=True))
