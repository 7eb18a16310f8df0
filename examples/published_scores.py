"""Compares forecasters with what is published, on two public tables.

    python examples/published_scores.py isone isone_2003_2014.csv
    python examples/published_scores.py eia eia_930_screened_2015_2020.parquet

`isone`: load and temperature of New England, from the repository yalickj/load-forecasting-resnet. The protocol is that
of Chen et al., Short-term load forecasting with deep residual networks (IEEE Trans. Smart Grid, 2018): the hours of
each day of 2006 are predicted at its begin, with the *actual* temperature of the day.

`eia`: hourly demand and day-ahead forecast of balancing authorities (form EIA-930), from Ruggles et al., EIA Cleaned
Hourly Electricity Demand Data. The hours of each day of 2019 are predicted at its begin, and at noon Eastern time of
the day before, when the operators' own forecasts are available; from demand alone, and with the operator's forecast.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from gridtide.config.loading import parse
from gridtide.entries.entry import Config
from gridtide.evaluation.comparison import compare_forecasters, score_comparison
from gridtide.evaluation.evaluation_set import open_evaluation
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.table import from_columns
from gridtide.periods import Period
from gridtide.training import preparation

HOUR_IN_MICROSECONDS = 3_600_000_000

EIA = "https://api.eia.gov/v2/electricity/rto/region-data/data/"
GENERIC = {"source": "generic", "url": "https://example.org/", "time": "time", "value": "value"}
APIS = [
    {"name": "demand", "url": EIA, "output_folder": "demand"},
    {"name": "forecast", "url": EIA, "params": {"facets[type][]": ["DF"]}, "output_folder": "forecast"},
    {**GENERIC, "name": "load", "output_folder": "load", "available": {"lag": "PT0S"}},
    {**GENERIC, "name": "temperature", "output_folder": "temperature", "available": {"lag": "-P2D"}},
]
"""EIA's entries have its delays; the temperature counts as available before its day, as in the paper."""

AUTHORITIES = {
    "ISNE": ("America/New_York", 5, "12:00", ("NYIS", "PJM")),
    "NYIS": ("America/New_York", 5, "12:00", ("PJM", "ISNE")),
    "PJM": ("America/New_York", 5, "12:00", ("MISO", "NYIS")),
    "MISO": ("America/Chicago", 6, "11:00", ("SWPP", "PJM")),
    "SWPP": ("America/Chicago", 6, "11:00", ("ERCO", "MISO")),
    "ERCO": ("America/Chicago", 6, "11:00", ("SWPP", "MISO")),
    "CISO": ("America/Los_Angeles", 8, "09:00", ("NEVP", "BPAT")),
}
"""Time zone, the hour in UTC at which a day begins in winter, noon Eastern time, and neighbours whose demand is an
input too."""


def store(lake: Lake, config: Config, entry_name: str, columns: Mapping[str, Any]) -> None:
    """Write observations of an hour each to the lake, as if `entry_name` had collected them."""
    entry = config.entry(entry_name)
    table = from_columns(entry.source, datetime.now(UTC), **columns)
    bounds = pc.min_max(table["interval_start"]).as_py()
    period = Period(bounds["min"], bounds["max"] + timedelta(hours=1))
    with Draft("parquet", Provenance(entry.name, period, entry.fingerprint)) as draft:
        draft.append(table)
        asyncio.run(lake.put_draft(draft, entry.output_folder, entry.file_prefix, datetime.now(UTC)))


def compare(
    spec: dict[str, Any], config: Config, lake: Lake, models: Sequence[str], hidden: Sequence[str] = ()
) -> dict[str, float]:
    """The MAPE of each model on the test split of the set of `spec`, in percent."""
    report = asyncio.run(preparation.prepare(spec, config, lake, replace=True))
    evaluation = open_evaluation(Path(lake.uri) / report["path"], hidden=hidden)
    scores = score_comparison(compare_forecasters(evaluation, models, quantiles=False))
    return {row["model"]: row["mape"] for row in scores["scores"] if row["group"] == "all"}


def compare_isone(path: Path, lake: Lake, config: Config) -> None:
    """Print the errors of 2006 in New England."""
    rows = pyarrow.csv.read_csv(path)
    days = [
        f"{year}-{month:02}-{day:02}"
        for year, month, day in zip(*(rows[name].to_pylist() for name in ("year", "month", "day")), strict=True)
    ]
    hours = rows["hour"].to_numpy() - 1 + 5  # the hours are numbered from 1 on, and count as those of UTC−5
    starts = np.array(days, "datetime64[us]").astype(np.int64) + hours * HOUR_IN_MICROSECONDS
    for name, unit, column in (("load", "MW", "demand"), ("temperature", "°F", "temperature")):
        times = {"interval_start": starts, "interval_end": starts + HOUR_IN_MICROSECONDS}
        values = rows[column].to_numpy().astype(float)
        store(lake, config, name, times | {"location": "ISNE", "variable": name, "unit": unit, "value": values})
    place = {
        "name": "ISNE",
        "timezone": "Etc/GMT+5",
        "holidays": "US-MA",
        "targets": ["generic/ISNE/load"],
        "inputs": ["generic/ISNE/*"],
        "future": ["generic/ISNE/temperature"],
    }
    spec = {
        "name": "isone_2006",
        "locations": [place],
        "start": "2003-03-01T05:00Z",
        "end": "2007-01-01T05:00Z",
        "seq_len": 168,
        "leads": [1],
        "splits": {"train_end": "2005-12-31T05:00Z", "validation_end": "2005-12-31T05:00Z", "validation": 0},
        "cleaning": {"stale": 0, "repeat": 0, "spike": 0},
    }
    models = ("day", "week", "ridge", "boosting", "neural", "ensemble")
    print_table("ISO-NE 2006, MAPE in %", models, {"ISNE": compare(spec, config, lake, models)})


def compare_eia(path: Path, lake: Lake, config: Config, names: Sequence[str]) -> None:
    """Print the errors of 2019 of the balancing authorities `names`."""
    regions = {*names, *(neighbour for name in names for neighbour in AUTHORITIES[name][3])}
    rows = pq.read_table(path, filters=[("region", "in", regions), ("date_time", "<", datetime(2020, 1, 2))])
    ends = rows["date_time"].to_numpy().astype("datetime64[us]").astype(np.int64)
    times = {
        "interval_start": ends - HOUR_IN_MICROSECONDS,
        "interval_end": ends,
        "location": rows["region"].to_pylist(),
    }
    for entry, variable, column in (
        ("demand", "demand", "raw demand (MW)"),
        ("forecast", "demand_forecast_day_ahead", "forecast demand (MW)"),
    ):
        values = pc.fill_null(rows[column], float("nan")).to_numpy()
        store(lake, config, entry, times | {"variable": variable, "unit": "MWh", "value": values})
    models = ("operator", "day", "week", "ridge", "neural")
    for title, at_noon, hidden in (
        ("At midnight, from demand alone", False, ("*/*/*forecast*",)),
        ("At noon of the day before, from demand alone", True, ("*/*/*forecast*",)),
        ("At noon of the day before, with the operator's forecast", True, ()),
    ):
        errors = {name: compare(build_eia_spec(name, at_noon), config, lake, models, hidden) for name in names}
        print_table(f"{title}, MAPE of 2019 in %", models, errors)


def build_eia_spec(name: str, at_noon: bool) -> dict[str, Any]:
    """The spec of a set that predicts the days of 2019 of the authority `name`."""
    zone, begin, noon, neighbours = AUTHORITIES[name]
    place = {
        "name": name,
        "timezone": zone,
        "targets": [f"eia/{name}/demand"],
        "inputs": {"own": [f"eia/{name}/demand"], "neighbour": [f"eia/{region}/demand" for region in neighbours]},
        "future": [f"eia/{name}/demand_forecast_day_ahead"],
    }
    first = datetime(2015, 7, 2, begin, tzinfo=UTC)
    test = datetime(2019, 1, 1, begin, tzinfo=UTC)
    spec = {
        "name": f"{name.lower()}_2019",
        "locations": [place],
        "start": first.isoformat(),
        "end": (datetime(2020, 1, 1, begin, tzinfo=UTC)).isoformat(),
        "seq_len": 168,
        "splits": {"train_end": test.isoformat(), "validation_end": test.isoformat(), "validation": 0},
        "pictures": False,
    }
    return spec | ({"gate": noon, "horizon": 25} if at_noon else {})


def print_table(title: str, models: Sequence[str], errors: Mapping[str, Mapping[str, float]]) -> None:
    """Print the errors as a table in Markdown."""
    print(f"\n{title}\n\n| | {' | '.join(models)} |\n|---|{'---:|' * len(models)}")
    for name, row in errors.items():
        print(f"| {name} | {' | '.join(f'{row[model]:.2f}' for model in models)} |", flush=True)


def main() -> None:
    """Compare on the table of the arguments, in a lake that is removed afterwards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("isone", "eia"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--only", nargs="*", default=list(AUTHORITIES), choices=list(AUTHORITIES), help="authorities")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lake, config = Lake.open(folder), parse({"lake": folder, "apis": APIS})
        if arguments.table == "isone":
            compare_isone(arguments.path, lake, config)
        else:
            compare_eia(arguments.path, lake, config, arguments.only)


if __name__ == "__main__":
    main()
