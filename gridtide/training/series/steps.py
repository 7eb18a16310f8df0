"""Steps: the rows of a set, each as long as its resolution; how spans of them are written, and split into hours."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gridtide.periods import DAY, HOUR

Scalar = TypeVar("Scalar", bound=np.generic)

SHORTEST_UNIT = timedelta(minutes=1)

SPAN_UNITS = {"d": DAY, "h": HOUR, "min": SHORTEST_UNIT}
"""The units in which spans of steps are written."""


def format_span(rows: int, step: timedelta) -> str:
    """Writes a span of `rows` of length `step` without its sign: in days if a step is a day, else in hours or minutes.

    >>> format_span(-6, HOUR), format_span(6, timedelta(minutes=15)), format_span(8, timedelta(minutes=15))
    ('6h', '90min', '2h')
    """
    span = abs(rows) * step
    unit = "d" if step == DAY else "h" if span % HOUR == timedelta(0) else "min"
    return f"{span // SPAN_UNITS[unit]}{unit}"


def format_shift(rows: int, step: timedelta) -> str:
    """Writes a shift by `rows` of length `step`, with its sign.

    >>> format_shift(-2, timedelta(hours=1)), format_shift(0, timedelta(days=1))
    ('-2h', '+0d')
    """
    return ("-" if rows < 0 else "+") + format_span(rows, step)


def parse_shift(text: str, step: timedelta) -> int:
    """Returns the rows of a shift that `format_shift` wrote.

    >>> parse_shift("-90min", timedelta(minutes=15))
    -6
    """
    number, unit = re.fullmatch(r"([+-]\d+)(d|h|min)", text).groups()  # type: ignore[union-attr]  # as written above
    return int(number) * SPAN_UNITS[unit] // step


def name_steps(step: timedelta) -> str:
    """Returns what steps of that length are called in counts: hours, days, or steps of so many minutes."""
    names = {HOUR: "hours", DAY: "days"}
    return names.get(step, f"steps of {step // SHORTEST_UNIT} min")


def describe_row(rows: int, step: timedelta) -> str:
    """Returns the words for the step that lies `rows` after a row."""
    return f"the row's hour {rows:+d} h" if step == HOUR else f"the row's step {format_shift(rows, step)}"


def split_phases(values: npt.NDArray[Scalar], step: timedelta) -> list[npt.NDArray[Scalar]]:
    """Returns `values` (…, T) as parts with one row an hour each, as views: with four steps an hour, those of the full
    hours, those of the quarters, and so on. Values of hours or days are one part."""
    parts = max(HOUR // step, 1)
    return [values[..., phase::parts] for phase in range(parts)]
