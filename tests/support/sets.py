"""Small training sets without a lake."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from gridtide.entries.entry import Available
from gridtide.observations.table import Row, from_rows
from gridtide.periods import Period
from gridtide.training import manifest, tensors
from gridtide.training.features.bases import build_bases
from gridtide.training.series.hourly_grid import HourlyGrid
from gridtide.training.spec import load_spec
from gridtide.training.training_set import TrainingSet, assemble
from gridtide.training.windows import windows as windows_module
from tests.support.grids import HOUR, PATTERNS, START, every_kind, tables

DELAY = 3
"""Hours after which demand is known."""

ALREADY = Available(lag=-timedelta(days=3))
"""The rule of what is known days before its hour."""


def training_set(days: int, *, five_minutes: bool = True, **keys: Any) -> TrainingSet:
    """A set that predicts the demand of two locations over `days` days, from `every_kind`; `keys` are keys of the
    spec."""
    kinds = every_kind(days, five_minutes=five_minutes)
    source, rule, rows = kinds["demand"]
    kinds["other"] = (source, rule, [row._replace(location="NYIS") for row in rows])
    places = [
        {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": PATTERNS},
        {"name": "NYIS", "targets": ["eia/NYIS/demand"], "inputs": ["eia/NYIS/*"]},
    ]
    wanted = load_spec({"name": "two", "locations": places} | keys)
    period = Period(START, START + timedelta(days=days))
    grid = HourlyGrid(Period(START, period.end + timedelta(days=2)), lambda name: True)
    for available, table in tables(kinds):
        grid.add(table, available)
    return assemble(wanted, period, build_bases(wanted, grid.finish(), period, grid.names_read))


def write_training_set(path: Path, days: int, **keys: Any) -> None:
    """Write the `training_set` of `days` and `keys` to `path`."""
    made = training_set(days, **keys)
    text = manifest.to_json(manifest.describe_set(made, []))
    path.write_bytes(b"".join(tensors.encode_tensors(manifest.to_tensors(made), {"manifest": text})))


def write_random_set(
    path: Path, random: np.random.Generator, *, locations: int, steps: int, seq_len: int, horizon: int
) -> dict[str, Any]:
    """Write a set with random values to `path`, with all windows in train; returns its tensors."""
    starts = windows_module.place_windows(steps, seq_len=seq_len, horizon=horizon, stride=1).start
    numbers = np.repeat(np.arange(locations), len(starts))
    given = {
        "values": random.random((locations, steps, 3), np.float32),
        "mask": random.random((locations, steps, 3)) < 0.7,
        "targets": random.random((locations, steps, 2), np.float32),
        "target_mask": random.random((locations, steps, 2)) < 0.7,
        "windows.train": np.stack([numbers, np.tile(starts, locations)], axis=1),
    }
    asked = {"name": "random", "seq_len": seq_len, "horizon": horizon, "ring": {"layout": "contiguous", "ranks": 1}}
    path.write_bytes(b"".join(tensors.encode_tensors(given, {"manifest": manifest.to_json({"spec": asked})})))
    return given


def simulate(days: int, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Hourly demand that follows the hour, the weekday and the weather; the weather; the weather as it was forecast a
    day before; and a forecast of demand by an operator that knows half of the noise."""
    noise = np.random.default_rng(seed)
    hours = np.arange(24 * days)
    daily = np.sin(2 * np.pi * (hours % 24 - 9) / 24)
    fronts = np.convolve(noise.normal(size=24 * days + 71), np.ones(72) / 8.5, "valid")
    weather = 10 + 8 * daily + 6 * fronts
    demand = 1000 + 200 * daily - 90 * (hours // 24 % 7 > 4) + 25 * fronts + noise.normal(0, 8, 24 * days)
    forecast = weather + 5 * np.convolve(noise.normal(size=24 * days + 11), np.ones(12) / 3.5, "valid")
    return {
        "demand": demand,
        "weather": weather,
        "as_issued": forecast,
        "operator": demand + noise.normal(0, 5, 24 * days),
    }


def write_demand_set(folder: Path, days: int = 120, **keys: Any) -> Path:
    """Write a set to `folder` that predicts a day of demand; `keys` are keys of the spec, or `future` of its location.

    Series are `eia/ISNE/demand`, known 3 hours later, `eia/ISNE/demand_forecast_day_ahead`, and `open_meteo/boston/`
    `temperature_2m` (the truth) and `temperature_2m_forecast`, all known three days before.
    """
    series = simulate(days)
    grid = HourlyGrid(Period(START, START + timedelta(days=days + 2)), lambda name: True)
    lagged = Available(lag=DELAY * HOUR)
    for source, location, variable, unit, rule, values in (
        ("eia", "ISNE", "demand", "MWh", lagged, series["demand"]),
        ("eia", "ISNE", "demand_forecast_day_ahead", "MWh", ALREADY, series["operator"]),
        ("open_meteo", "boston", "temperature_2m", "°C", ALREADY, series["weather"]),
        ("open_meteo", "boston", "temperature_2m_forecast", "°C", ALREADY, series["as_issued"]),
    ):
        length = HOUR if source == "eia" else timedelta(0)
        times = [START + hour * HOUR for hour in range(len(values))]
        rows = [
            Row(time, time + length, location, variable, unit, float(value))
            for time, value in zip(times, values, strict=True)
        ]
        grid.add(from_rows(source, rows, START + timedelta(days=400)), rule)
    place = {
        "name": "ISNE",
        "targets": ["eia/ISNE/demand"],
        "inputs": ["eia/ISNE/demand"],
        "future": keys.pop("future", []),
    }
    defaults = {"name": "evaluated", "locations": [place], "seq_len": 48, "horizon": 24}
    spec = load_spec(defaults | keys)
    period = Period(START, START + timedelta(days=days))
    made = assemble(spec, period, build_bases(spec, grid.finish(), period, grid.names_read))
    folder.mkdir(parents=True, exist_ok=True)
    described = manifest.to_json(manifest.describe_set(made, []))
    body = tensors.encode_tensors(manifest.to_tensors(made), {"manifest": described})
    (folder / "sequences.safetensors").write_bytes(b"".join(body))
    return folder
