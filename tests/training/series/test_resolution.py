"""Series in steps of minutes and of days."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from gridtide.entries.entry import Available
from gridtide.errors import TrainingError
from gridtide.observations.availability import available_at
from gridtide.observations.table import Row
from gridtide.periods import Period, microseconds
from gridtide.sources.registry import find_hourly_rule
from gridtide.training.features.bases import build_bases
from gridtide.training.series.coarsening import coarsen_hours
from gridtide.training.series.hourly import Hourly
from gridtide.training.series.hourly_grid import HourlyGrid
from gridtide.training.series.steps import format_shift, parse_shift
from gridtide.training.spec import RESOLUTIONS, load_spec
from gridtide.training.training_set import TrainingSet, assemble
from tests.support.grids import HOUR, MINUTE, START, every_kind, tables

Kinds = dict[str, tuple[str, Available, list[Row]]]

DAYS = 3
DAY = timedelta(days=1)


def gather(kinds: Kinds, resolution: timedelta, days: int = DAYS) -> Hourly:
    """The series of `kinds` over `days` in steps of `resolution`."""
    grid = HourlyGrid(Period(START, START + days * DAY), lambda name: True, resolution=resolution)
    for rule, table in tables(kinds):
        grid.add(table, rule)
    hourly = grid.finish()
    return coarsen_hours(hourly, resolution) if resolution > HOUR else hourly


def moment_known(rule: Available, row: Row) -> int:
    """When `row` was available, in µs since 1970."""
    if row.published_at is not None:
        return microseconds(row.published_at)
    return int(available_at(rule, *(np.array([microseconds(moment)]) for moment in row[:2]))[0])


Dated = dict[str, list[tuple[int, Row]]]


def date_rows(kinds: Kinds) -> Dated:
    """The rows of each series, each with the time at which it was available."""
    dated: Dated = {}
    for source, rule, rows in kinds.values():
        for row in rows:
            dated.setdefault(f"{source}/{row.location}/{row.variable}", []).append((moment_known(rule, row), row))
    return dated


def search(dated: Dated, name: str, start: datetime, step: timedelta, t0: datetime) -> float:
    """The value of the series `name` over `[start, start + step)` by a search through all rows, as it was known at
    `t0`; of steps below an hour."""
    pieces: list[tuple[timedelta, float]] = []
    latest: dict[tuple[datetime, datetime], tuple[int, float]] = {}
    source, _, variable = name.split("/")
    rule = find_hourly_rule(source, variable, dated[name][0][1].unit)
    summed, at_start, moment = rule == "sum", rule == "start", microseconds(t0)
    for known, row in dated[name]:
        if known <= moment:
            key = row.interval_start, row.interval_end
            latest[key] = max((known, row.value), latest.get(key, (known, row.value)))
    for (begin, end), (_, value) in sorted(latest.items()):
        if begin == end and at_start:
            if begin <= start < begin + HOUR:
                pieces = [(step, value)]
        elif begin == end:
            pieces += [(step, value)] if start <= begin < start + step else []
        elif begin >= start and end <= start + step:
            pieces.append((end - begin, value))
        elif begin <= start and start + step <= end:
            pieces = [(step, value / ((end - begin) / step) if summed else value)]
    covered = sum((length for length, _ in pieces), timedelta(0)) / step
    if covered < 0.75:
        return np.nan
    total = sum(value if summed else value * (length / step) for length, value in pieces)
    return total / covered


@pytest.mark.parametrize("resolution", ["PT5M", "PT15M", "PT30M"])
def test_each_step_is_what_a_search_through_all_rows_finds(resolution: str) -> None:
    """The newest value of each step of every kind of interval, and the value that row r saw of it, equal a search
    through all rows: what is finer is averaged or summed, what is coarser repeated, energy divided."""
    step, kinds = RESOLUTIONS[resolution], every_kind(DAYS)
    hourly, dated = gather(kinds, step), date_rows(kinds)
    noise = np.random.default_rng(1)
    end = START + 400 * DAY
    for number, name in enumerate(hourly.names):
        for row in noise.integers(0, hourly.values.shape[1], 12).tolist():
            start = START + row * step
            expected = search(dated, name, start, step, end)
            np.testing.assert_allclose(hourly.values[number, row], expected, rtol=1e-12, err_msg=f"{name} {start}")
            for shift in (-8, -1, 3):
                if 0 <= row - shift < hourly.values.shape[1] and name != "iso_ne/ISNE/load_five_minute":
                    seen = hourly.as_known(number, shift)[row - shift]
                    expected = search(dated, name, start, step, start + (1 - shift) * step)
                    np.testing.assert_allclose(seen, expected, rtol=1e-12, err_msg=f"{name} {start} {shift}")


@pytest.mark.parametrize("resolution", ["PT5M", "PT15M", "PT30M"])
def test_the_steps_of_an_hour_make_the_hour(resolution: str) -> None:
    """Energy summed, and everything else averaged, over the steps of an hour is the value of the hour in an hourly set,
    for every series with intervals of an hour or less that divide the step."""
    step, kinds = RESOLUTIONS[resolution], every_kind(DAYS)
    fine, coarse = gather(kinds, step), gather(kinds, HOUR)
    assert fine.names == coarse.names
    compared = 0
    for number, (name, unit) in enumerate(zip(coarse.names, coarse.units, strict=True)):
        if name == "iso_ne/ISNE/generation_wind":  # readings once an hour say nothing of the minutes after them
            continue
        source, _, variable = name.split("/")
        parts = fine.values[number].reshape(-1, HOUR // step)
        joined = parts.sum(axis=1) if find_hourly_rule(source, variable, unit) == "sum" else parts.mean(axis=1)
        np.testing.assert_allclose(joined, coarse.values[number], rtol=1e-12, err_msg=name)
        compared += 1
    assert compared >= 5


def test_days_are_what_a_search_through_the_hours_finds() -> None:
    """The value of each day and all its versions equal those made hour by hour: the sum of energy, the mean of all
    else, once all 24 hours are known, or 18 of them by the end of the next day or later."""
    kinds = every_kind(5)
    source, rule, rows = kinds["demand"]
    kinds["demand"] = (
        source,
        rule,
        [row for number, row in enumerate(rows) if number not in {*range(26, 32), *range(50, 57)}],
    )
    hours, days = gather(kinds, HOUR, 5), gather(kinds, DAY, 5)
    assert days.step == DAY
    for number, (name, unit) in enumerate(zip(days.names, days.units, strict=True)):
        source, _, variable = name.split("/")
        is_summed = find_hourly_rule(source, variable, unit) == "sum"
        versions = hours.versions(number)
        for day in range(5):
            for known_day in range(-3, 6):
                seen: dict[int, float] = {}
                for row, known_row, value in zip(*versions, strict=True):
                    if row // 24 == day and known_row < (known_day + 1) * 24:
                        seen[int(row)] = float(value)
                expected = np.nan
                if len(seen) == 24 or (len(seen) >= 18 and known_day > day):
                    expected = np.mean(list(seen.values())) * (24 if is_summed else 1)
                if 0 <= known_day < 5:
                    shown = days.as_known(number, day - known_day)[known_day]
                    np.testing.assert_allclose(shown, expected, rtol=1e-12, err_msg=f"{name} {day} {known_day}")


def test_energy_of_a_day_stays_that_energy() -> None:
    """A value of 240 MWh for a day is 240 MWh of a day, and 2.5 MWh of each quarter of an hour."""
    rows = [
        Row(START + day * DAY, START + (day + 1) * DAY, "ISNE", "net_generation", "MWh", 240.0) for day in range(DAYS)
    ]
    kinds: Kinds = {"energy": ("eia", Available(lag=timedelta(0)), rows)}
    assert gather(kinds, DAY).values.tolist() == [[240.0] * DAYS]
    assert set(gather(kinds, 15 * MINUTE).values[0].tolist()) == {2.5}


def few_kinds(days: int) -> Kinds:
    """Demand, forecasts of it, and weather."""
    kinds = every_kind(days)
    return {name: kinds[name] for name in ("demand", "day_ahead", "forecast", "weather")}


FUTURE = ["iso_ne/ISNE/load_forecast", "eia/ISNE/demand_forecast_day_ahead"]


def build_set(kinds: Kinds, days: int, **keys: Any) -> TrainingSet:
    """A set that predicts ISNE's demand over `days` from all `kinds`, in the resolution of `keys`."""
    place = {
        "name": "ISNE",
        "timezone": "America/New_York",
        "targets": ["eia/ISNE/demand"],
        "inputs": ["eia/ISNE/*", "iso_ne/ISNE/*", "open_meteo/boston/*"],
        "future": FUTURE,
    }
    spec = load_spec({"name": "steps", "locations": [place], "future_calendar": True} | keys)
    period = Period(START, START + days * DAY)
    hourly = gather(kinds, spec.resolution, days)
    return assemble(spec, period, build_bases(spec, hourly, period, hourly.names))


RESOLVED: list[tuple[int, dict[str, Any]]] = [
    (
        12,
        {
            "resolution": "PT15M",
            "seq_len": "P1D",
            "horizon": "PT6H",
            "stride": "PT2H30M",
            "leads": ["PT1H", 8],
            "features": {"power": True, "weather": True, "prices": True, "lags": ["P1D"], "rolling": [3, "PT6H"]},
        },
    ),
    (
        100,
        {
            "resolution": "P1D",
            "seq_len": 14,
            "horizon": 2,
            "stride": 1,
            "leads": [1, 2],
            "features": {"power": True, "weather": True, "prices": True, "lags": ["P7D"], "rolling": ["P3D"]},
        },
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("days", "keys"), RESOLVED, ids=["quarters of an hour", "days"])
def test_what_was_not_available_at_t0_changes_nothing_in_any_resolution(days: int, keys: dict[str, Any]) -> None:
    """With every row altered that was not available at t0, not a bit of x and x_future changes; with every row altered,
    many do."""
    kinds = every_kind(days) if days < 20 else few_kinds(days)
    keys = {"scaling": "none", "cleaning": {"absurd": 0}} | keys
    made = build_set(kinds, days, **keys)
    windows = made.windows["test"]
    assert len(windows) > 5
    for number in (0, len(windows) - 1):
        t0 = int(windows[number, 1]) + made.spec.seq_len
        moment = microseconds(START + t0 * made.spec.resolution)
        changed: Kinds = {
            name: (source, rule, [r._replace(value=r.value + 7 * (moment_known(rule, r) > moment)) for r in rows])
            for name, (source, rule, rows) in kinds.items()
        }
        other = build_set(changed, days, **keys)
        context = slice(t0 - made.spec.seq_len, t0)
        np.testing.assert_array_equal(other.values[0][context], made.values[0][context])
        np.testing.assert_array_equal(other.mask[0][context], made.mask[0][context])
        for cells, other_cells in zip(made.read_future("test"), other.read_future("test"), strict=True):
            np.testing.assert_array_equal(other_cells[number], cells[number])
    altered: Kinds = {
        name: (source, rule, [row._replace(value=row.value + 7) for row in rows])
        for name, (source, rule, rows) in kinds.items()
    }
    other = build_set(altered, days, **keys)
    assert (np.asarray(other.values) != np.asarray(made.values)).mean() > 0.2
    assert (other.read_future("test")[0] != made.read_future("test")[0]).mean() > 0.05


def test_columns_say_spans_in_their_resolution() -> None:
    """Names say shifts, lags and windows in hours and minutes, or in days; features of the hour are left out of
    days."""
    names = [
        {column.name for column in build_set(few_kinds(days), days, **keys).bases[0].columns} for days, keys in RESOLVED
    ]
    quarters, daily = names
    assert {
        "eia/ISNE/demand_forecast_day_ahead+1h",
        "eia/ISNE/demand-345min lag 24h",
        "eia/ISNE/demand-345min mean 45min",
    } <= quarters
    assert {"eia/ISNE/demand_forecast_day_ahead+1d", "eia/ISNE/demand-1d lag 7d"} <= daily
    assert "calendar/hour_sin" in quarters
    assert not any("hour" in name or "ramp" in name for name in daily)


def test_the_screening_judges_quarters_as_hours() -> None:
    """Values that repeat an hour's, as quarters of it, are rejected as in the hourly set."""
    kinds = {"demand": every_kind(40)["demand"]}
    source, rule, rows = kinds["demand"]
    rows = [row._replace(value=row.value * (9 if number in (700, 800) else 1)) for number, row in enumerate(rows)]
    rows[750:756] = [row._replace(value=rows[750].value) for row in rows[750:756]]
    place = {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/demand"]}
    qualities = []
    for resolution in ("PT1H", "PT15M"):
        spec = load_spec({"name": "screened", "locations": [place], "seq_len": 24, "resolution": resolution})
        hourly = gather({"demand": (source, rule, rows)}, spec.resolution, 40)
        period = Period(START, START + 40 * DAY)
        (base,) = build_bases(spec, hourly, period, hourly.names)
        qualities.append(base)
    hours, quarters = qualities
    assert sum(hours.rejected["target eia/ISNE/demand"].values()) >= 6
    assert quarters.rejected["target eia/ISNE/demand"] == {
        rule: 4 * count for rule, count in hours.rejected["target eia/ISNE/demand"].items()
    }


def test_a_gate_predicts_the_quarters_of_a_local_day() -> None:
    """With a gate in quarters of an hour, targets are the 92 or 96 steps of the next local day."""
    kinds = {
        name: every_kind(45)[name] for name in ("demand", "day_ahead", "forecast", "weather", "report", "five_minute")
    }
    keys = {"resolution": "PT15M", "gate": "10:00", "horizon": 100, "stride": 96, "seq_len": 96, "leads": [4]}
    made = build_set(kinds, 45, splits={"validation": 0, "test": 0}, **keys)
    steps = made.target_steps["train"]
    assert set((steps[:, 1] - steps[:, 0]).tolist()) == {92, 96}
    assert {(START + int(step) * 15 * MINUTE).hour for step in steps[:, 0]} == {4, 5}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"resolution": "PT20M"}, "is not one of PT5M, PT15M, PT30M, PT1H, P1D"),
        ({"resolution": "PT30M", "seq_len": "PT45M"}, "seq_len: PT45M is not a multiple"),
        ({"resolution": "P1D", "start": "2024-02-01T05:00Z"}, "start: .* is not the start of a step"),
        ({"resolution": "P1D", "gate": "10:00"}, "gate: .*an hour or less"),
        ({"resolution": "PT15M", "gate": "10:00"}, "give horizon 100, stride 96"),
        ({"resolution": "PT15M", "features": {"lags": ["P15D"]}}, "look back by 14 days at most"),
        ({"features": {"rolling": [337]}}, "look back by 14 days at most"),
    ],
    ids=["length", "multiple", "midnight", "gate of days", "gate of quarters", "lag", "window"],
)
def test_a_spec_that_does_not_fit_its_resolution_is_refused(keys: dict[str, Any], message: str) -> None:
    """The error names the key and what would be right."""
    place = {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"]}
    with pytest.raises(TrainingError, match=message):
        load_spec({"name": "refused", "locations": [place]} | keys)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_a_shift_is_read_as_it_was_written(resolution: str) -> None:
    """Every shift in rows is the same after it was written and read."""
    step = RESOLUTIONS[resolution]
    for rows in (-400, -13, -1, 0, 1, 5, 96):
        assert parse_shift(format_shift(rows, step), step) == rows
