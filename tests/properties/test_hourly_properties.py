"""Hourly values and their availability, compared with plain loops over the rows."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gridtide.entries.entry import Available
from gridtide.observations.table import Row, from_rows
from gridtide.periods import Period
from gridtide.sources.registry import find_hourly_rule as rule_of
from gridtide.training.series.hourly_grid import HourlyGrid

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
HOURS = 30

KINDS = {  # source, variable, unit, length in minutes, step in minutes, has vintages
    "hourly energy": ("eia", "demand", "MWh", 60, 60, False),
    "five-minute power": ("iso_ne", "load_five_minute", "MW", 5, 5, False),
    "instants": ("iso_ne", "generation_wind", "MW", 0, 7, False),
    "weather": ("open_meteo", "temperature_2m", "°C", 0, 30, False),
    "quarter-hour energy": ("generic", "energy", "MWh", 15, 15, False),
    "daily": ("iso_ne", "morning_report_peak_load_today_mw", "MW", 1440, 1440, False),
    "forecast": ("iso_ne", "load_forecast", "MW", 60, 60, True),
}

Reading = tuple[Row, datetime]


@st.composite
def readings(draw: st.DrawFn, kind: str) -> list[Reading]:
    """Rows of one series: some null, some retrieved twice, some in several vintages."""
    _, variable, unit, length, step, dated = KINDS[kind]
    most = min(HOURS * 60 // step + 1, 60)
    found = []
    for number in draw(st.lists(st.integers(-2, most), min_size=1, max_size=60)):
        start = START + number * step * MINUTE
        published = START + draw(st.integers(-20, 40)) * 30 * MINUTE if dated else None
        value = draw(st.one_of(st.none(), st.integers(0, 9).map(float)))
        retrieved = START + draw(st.integers(0, 5)) * HOUR
        found.append((Row(start, start + length * MINUTE, "here", variable, unit, value, published), retrieved))
    unique = {(row.interval_start, row.published_at, retrieved): (row, retrieved) for row, retrieved in found}
    return list(unique.values())


def latest(rows: list[Reading]) -> list[Row]:
    """The row of each key that was retrieved last."""
    kept: dict[object, Reading] = {}
    for row, retrieved in rows:
        key = (row.interval_start, row.interval_end, row.published_at)
        if key not in kept or retrieved >= kept[key][1]:
            kept[key] = (row, retrieved)
    return [row for row, _ in kept.values()]


def versions(kind: str, rows: list[Row], lag: timedelta, hour: int) -> list[tuple[datetime, float]]:
    """The versions of the value of `hour` with the times when they became available, earliest first."""
    source, variable, unit, length, _, _ = KINDS[kind]
    begin = START + hour * HOUR
    rule = rule_of(source, variable, unit)
    value_of = {row: math.nan if row.value is None else row.value for row in rows}
    known = {row: row.published_at or row.interval_end + lag for row in rows}
    if length >= 60 or rule == "start":
        covering = [
            row
            for row in rows
            if row.interval_start <= begin < row.interval_end or (length == 0 and row.interval_start == begin)
        ]
        return sorted((known[row], value_of[row]) for row in covering)
    inside = [row for row in rows if begin <= row.interval_start < begin + HOUR and row.value is not None]
    minutes = sum(length for _ in inside)
    if not inside or (length and minutes < 45):
        return []
    total = sum(value_of[row] for row in inside)
    value = total * 60 / minutes if rule == "sum" else total / len(inside)
    return [(max(known[row] for row in inside), value)]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(KINDS)), lag=st.integers(0, 300), shift=st.integers(-6, 6))
def test_hourly_values_are_those_of_a_plain_loop(data: st.DataObject, kind: str, lag: int, shift: int) -> None:
    """Every hour has the latest version of its value, and every row has only values that were available by its end."""
    rows = data.draw(readings(kind))
    source = KINDS[kind][0]
    grid = HourlyGrid(Period(START, START + HOURS * HOUR), lambda name: True)
    for asked in sorted({retrieved for _, retrieved in rows}, reverse=True):
        together = [row for row, retrieved in rows if retrieved == asked]
        grid.add(from_rows(source, together, asked), Available(lag=lag * MINUTE))
    made = grid.finish()
    values = made.values[0] if made.names else np.full(HOURS, np.nan)
    seen = made.as_known(0, shift) if made.names else values
    kept = latest(rows)
    for hour in range(HOURS):
        there = versions(kind, kept, lag * MINUTE, hour)
        np.testing.assert_allclose(values[hour], there[-1][1] if there else math.nan, rtol=1e-12)
    for step in range(HOURS):
        about = step + shift
        end = START + (step + 1) * HOUR
        there = versions(kind, kept, lag * MINUTE, about) if 0 <= about < HOURS else []
        by_then = [value for moment, value in there if moment <= end]
        np.testing.assert_allclose(seen[step], by_then[-1] if by_then else math.nan, rtol=1e-12)
