"""Small simulated observations of every kind of interval, for the tests of training sets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from gridtide.config.loading import parse
from gridtide.entries.entry import Available, Config
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.table import Row, from_rows
from gridtide.periods import Period

START = datetime(2024, 2, 1, tzinfo=UTC)


HOUR = timedelta(hours=1)


MINUTE = timedelta(minutes=1)


Table = tuple[Available, pa.Table]


Value = Callable[[float], float]


def hourly(variable: str, hours: int, value: Value, location: str = "ISNE") -> list[Row]:
    """EIA's hourly values in MWh."""
    times = [START + hour * HOUR for hour in range(hours)]
    return [Row(t, t + HOUR, location, variable, "MWh", value(n)) for n, t in enumerate(times)]


def forecast(hours: int, value: Value) -> list[Row]:
    """ISO-NE's load forecast: three vintages of each hour, 40, 16 and 4 hours before it."""
    rows = []
    for hour in range(hours):
        time = START + hour * HOUR
        for ahead in (40, 16, 4):
            published = time - ahead * HOUR - 10 * MINUTE
            rows.append(Row(time, time + HOUR, "ISNE", "load_forecast", "MW", value(hour) + ahead, published))
    return rows


def five_minute(hours: int, value: Value) -> list[Row]:
    """ISO-NE's five-minute load."""
    times = [START + n * 5 * MINUTE for n in range(hours * 12)]
    name = "load_five_minute"
    return [Row(t, t + 5 * MINUTE, "ISNE", name, "MW", value(n / 12)) for n, t in enumerate(times)]


def instants(source_variable: str, unit: str, hours: int, value: Value, location: str) -> list[Row]:
    """Readings at full hours."""
    times = [START + hour * HOUR for hour in range(hours)]
    return [Row(t, t, location, source_variable, unit, value(n)) for n, t in enumerate(times)]


def daily(days: int, value: Value) -> list[Row]:
    """The morning report's value of each operating day in New York."""
    times = [START + 5 * HOUR + timedelta(days=day) for day in range(days)]
    name = "morning_report_peak_load_today_mw"
    return [Row(t, t + timedelta(days=1), "ISNE", name, "MW", value(24 * n)) for n, t in enumerate(times)]


def every_kind(days: int, seed: int = 0, *, five_minutes: bool = True) -> dict[str, tuple[str, Available, list[Row]]]:
    """Source, rule and rows by name; the values follow the hour of the day with some noise. Those of `five_minutes` are
    two thirds of all rows."""
    kinds = make_up(days, seed, five_minutes)
    return {name: (source, rule, list(rows)) for name, (source, rule, rows) in kinds.items()}


@cache
def make_up(days: int, seed: int, five_minutes: bool) -> dict[str, tuple[str, Available, list[Row]]]:
    """The rows of `every_kind`, which many tests use and some modules while they are collected: made up once."""
    hours = days * 24
    noise = iter(np.random.default_rng(seed).normal(size=20 * hours).tolist())  # a number at a time takes longer

    def value(hour: float) -> float:
        return round(100 + 10 * math.sin(hour * 2 * math.pi / 24) + next(noise), 3)

    def warmth(hour: float) -> float:
        return value(hour) - 85

    lag = Available(lag=5 * HOUR)
    at_once = Available(lag=timedelta(0))
    morning = Available(day_before="13:00", timezone="America/New_York")
    soon = Available(lag=10 * MINUTE)
    return {
        "demand": ("eia", lag, hourly("demand", hours, value)),
        "day_ahead": ("eia", morning, hourly("demand_forecast_day_ahead", hours, value)),
        "forecast": ("iso_ne", lag, forecast(hours, value)),
        **({"five_minute": ("iso_ne", soon, five_minute(hours, value))} if five_minutes else {}),
        "fuel_mix": ("iso_ne", at_once, instants("generation_wind", "MW", hours, value, "ISNE")),
        "report": ("iso_ne", at_once, daily(days, value)),
        "weather": (
            "open_meteo",
            at_once,
            instants("temperature_2m", "°C", hours, warmth, "boston"),
        ),
    }


def tables(kinds: dict[str, tuple[str, Available, Sequence[Row]]]) -> list[Table]:
    """`kinds` as observations, retrieved long after their hours."""
    asked = START + timedelta(days=400)
    return [(rule, from_rows(source, rows, asked)) for source, rule, rows in kinds.values()]


PLACE = {"timezone": "America/New_York", "targets": ["eia/ISNE/demand"]}


TWO_PLACES: dict[str, Any] = {
    "locations": [
        {"name": "all", **PLACE, "inputs": ["eia/ISNE/*", "iso_ne/ISNE/*", "open_meteo/boston/*"]},
        {"name": "few", **PLACE, "inputs": ["eia/ISNE/demand"]},
    ],
    "start": START.isoformat(),
    "end": (START + timedelta(days=40)).isoformat(),
    "seq_len": 48,
    "leads": [1, 24],
    "pictures": False,
    "features": {"lags": [24, 168], "rolling": [3, 24], "power": True, "weather": True},
    "splits": {
        "train_end": (START + timedelta(days=25)).isoformat(),
        "validation_end": (START + timedelta(days=32)).isoformat(),
    },
}
"""Keys of a spec of 40 days: one location with every kind of input, and one with its demand alone."""


PATTERNS = ("eia/ISNE/*", "iso_ne/ISNE/*", "open_meteo/boston/*")


APIS = {  # the entry that would write each kind: what it asks, and its format
    "demand": ("https://api.eia.gov/v2/electricity/rto/region-data/data/", "parquet"),
    "day_ahead": ("https://api.eia.gov/v2/electricity/rto/region-data/data/", "csv"),
    "forecast": ("https://webservices.iso-ne.com/api/v1.1/hourlyloadforecast/current", "parquet"),
    "five_minute": ("https://webservices.iso-ne.com/api/v1.1/fiveminutesystemload/current", "csv"),
    "fuel_mix": ("https://webservices.iso-ne.com/api/v1.1/genfuelmix/current", "parquet"),
    "report": ("https://webservices.iso-ne.com/api/v1.1/morningreport/current", "csv"),
    "weather": ("https://archive-api.open-meteo.com/v1/archive", "parquet"),
}


def configuration(kinds: dict[str, tuple[str, Available, Sequence[Row]]]) -> Config:
    """An entry for each of `kinds`, with its `available` rule."""
    apis = []
    for name, (_, rule, _) in kinds.items():
        url, form = APIS[name]
        entry = {"name": name, "url": url, "output_folder": name, "format": form}
        entry["available"] = msgspec.to_builtins(rule)
        if name == "weather":
            entry |= {
                "location": "boston",
                "params": {"latitude": 42.36, "longitude": -71.06, "hourly": ["temperature_2m"]},
            }
        apis.append(entry)
    return parse({"apis": apis})


async def fill(
    lake: Lake, kinds: dict[str, tuple[str, Available, Sequence[Row]]], files: int = 3, day: int = 400
) -> None:
    """Write `kinds` to `lake` as `files` files each, every file with its period and a part of the rows,
    retrieved `day` days after the start."""
    settings = configuration(kinds)
    for name, (source, _, rows) in kinds.items():
        entry = settings.entry(name)
        size = -(-len(rows) // files)
        for number in range(files):
            part = rows[number * size : (number + 1) * size]
            period = Period(min(r.interval_start for r in part), max(r.interval_start for r in part) + HOUR)
            stamp = START + timedelta(days=day, hours=number)
            with Draft(entry.format, Provenance(name, period, entry.fingerprint)) as draft:
                draft.append(from_rows(source, part, stamp))
                await lake.put_draft(draft, entry.output_folder, entry.file_prefix, stamp)
