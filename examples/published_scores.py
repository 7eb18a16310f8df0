"""Compares forecasters with what is published, on two public tables.

    python examples/published_scores.py isone isone_2003_2014.csv
    python examples/published_scores.py eia eia_930_screened_2015_2020.parquet
    python examples/published_scores.py load eia_930_screened_2015_2020.parquet --history isone_2003_2014.csv
    python examples/published_scores.py context eia_930_screened_2015_2020.parquet

`isone`: load and temperature of New England, from the repository yalickj/load-forecasting-resnet. The protocol is that
of Chen et al., Short-term load forecasting with deep residual networks (IEEE Trans. Smart Grid, 2018): the hours of
each day of 2006 are predicted at its begin, with the *actual* temperature of the day.

`eia`: hourly demand and day-ahead forecast of balancing authorities (form EIA-930), from Ruggles et al., EIA Cleaned
Hourly Electricity Demand Data. The hours of each day of 2019 are predicted at its begin, and at noon Eastern time of
the day before, when the operators' own forecasts are available; from demand alone, and with the operator's forecast.
The truth is the reported demand of the hours that the publishers' screening calls okay; forecasters see demand as the
screening of training sets leaves it, by what was known at the time.

`load`: New England's days of 2019 at their begin, from demand alone, learned once and anew each month, with the load of
`isone` as its history since 2003.

`context`: the same days by the attention of `long_context.py`, which sees the last week or the last year.

All of `eia` takes about two hours of one core. With `--results FOLDER`, the predictions of each forecaster are stored
there as soon as they are made: a run that was stopped goes on where it was, and one with other `--only` adds to it.
Remove the folder after a change of the forecasters.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from gridtide.config.loading import parse
from gridtide.entries.entry import Config
from gridtide.evaluation.comparison import Predictions, compare_forecasters, score_comparison
from gridtide.evaluation.evaluation_set import EvaluationSet, open_evaluation
from gridtide.evaluation.folds import Scheme
from gridtide.evaluation.forecasters import registry
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
    "ISNE": ("America/New_York", 5, "12:00", "US-MA", ("NYIS", "PJM")),
    "NYIS": ("America/New_York", 5, "12:00", "US-NY", ("PJM", "ISNE")),
    "PJM": ("America/New_York", 5, "12:00", "US-PA", ("MISO", "NYIS")),
    "MISO": ("America/Chicago", 6, "11:00", "US-IL", ("SWPP", "PJM")),
    "SWPP": ("America/Chicago", 6, "11:00", "US-OK", ("ERCO", "MISO")),
    "ERCO": ("America/Chicago", 6, "11:00", "US-TX", ("SWPP", "MISO")),
    "CISO": ("America/Los_Angeles", 8, "09:00", "US-CA", ("NEVP", "BPAT")),
}
"""Time zone, the hour in UTC at which a day begins in winter, noon Eastern time, holidays, and neighbours whose demand
is an input too."""

LEARNED = ("ridge", "boosting", "neural", "kernel", "ensemble")

FORECASTS = "*/*/*forecast*"
"""The series that are hidden from what learns from demand alone."""


class Truth(NamedTuple):
    """What is predicted: `value` (N,) of the hours that begin at `start` (N,), in µs since 1970; NaN where nothing
    is."""

    start: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]


def store(lake: Lake, config: Config, entry_name: str, columns: Mapping[str, Any]) -> None:
    """Write observations of an hour each to the lake, as if `entry_name` had collected them."""
    entry = config.entry(entry_name)
    table = from_columns(entry.source, datetime.now(UTC), **columns)
    bounds = pc.min_max(table["interval_start"]).as_py()
    period = Period(bounds["min"], bounds["max"] + timedelta(hours=1))
    with Draft("parquet", Provenance(entry.name, period, entry.fingerprint)) as draft:
        draft.append(table)
        asyncio.run(lake.put_draft(draft, entry.output_folder, entry.file_prefix, datetime.now(UTC)))


def prepare(spec: dict[str, Any], config: Config, lake: Lake) -> Path:
    """Prepare the set of `spec`, and return its folder."""
    report = asyncio.run(preparation.prepare(spec, config, lake, replace=True))
    return Path(lake.uri) / str(report["path"])


@dataclass(frozen=True)
class ResultsFolder:
    """The predictions that earlier runs have made, as files in `folder`; None stores nothing."""

    folder: Path | None

    def predict(
        self, label: str, model: str, evaluation: EvaluationSet, scheme: Scheme, folds: int
    ) -> npt.NDArray[np.float64]:
        """The predictions (N, H) of `model` for the test windows of the set `label`, read if they are stored."""
        if model == registry.ENSEMBLE:
            parts = [self.predict(label, part, evaluation, scheme, folds) for part in registry.LEARNED]
            return np.asarray(np.mean(parts, axis=0))
        path = self.folder / f"{label}_{model}.npy" if self.folder else None
        if path and path.is_file():
            return np.asarray(np.load(path))
        compared = compare_forecasters(evaluation, [model], scheme, folds, quantiles=False)
        points = compared.predictions[model].points
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part")
            with unfinished.open("wb") as file:
                np.save(file, points)
            unfinished.replace(path)
        print(f"{label}: {model}, {compared.predictions[model].seconds:.0f} s", file=sys.stderr, flush=True)
        return points

    def score(
        self, label: str, evaluation: EvaluationSet, models: Sequence[str], scheme: Scheme = "split", folds: int = 1
    ) -> dict[str, float]:
        """The MAPE in percent of each model on the test windows of the set `label`, over the steps for which every
        model has a value."""
        comparison = compare_forecasters(evaluation, ["day"], scheme, folds, quantiles=False)
        points = {model: self.predict(label, model, evaluation, scheme, folds) for model in models}
        predictions = {
            model: Predictions(values, np.empty((*values.shape, 0)), 0.0) for model, values in points.items()
        }
        scores = score_comparison(replace(comparison, predictions=predictions))
        return {row["model"]: row["mape"] for row in scores["scores"] if row["group"] == "all"}


def compare_isone(path: Path, lake: Lake, config: Config, results: ResultsFolder) -> None:
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
    models = ("day", "week", *LEARNED)
    errors = results.score("isone_2006", open_evaluation(prepare(spec, config, lake)), models)
    print_table("ISO-NE 2006, MAPE in %", models, {"ISNE": errors})


def store_eia(path: Path, lake: Lake, config: Config, names: Sequence[str]) -> dict[str, Truth]:
    """Write demand and forecasts of the authorities `names` and their neighbours to the lake; returns the truth of
    `names`."""
    regions = {*names, *(neighbour for name in names for neighbour in AUTHORITIES[name][4])}
    rows = pq.read_table(path, filters=[("region", "in", regions), ("date_time", "<", datetime(2020, 1, 2))])
    starts = rows["date_time"].to_numpy().astype("datetime64[us]").astype(np.int64) - HOUR_IN_MICROSECONDS
    region = rows["region"].to_numpy(zero_copy_only=False)
    times = {"interval_start": starts, "interval_end": starts + HOUR_IN_MICROSECONDS, "location": region.tolist()}
    for entry, variable, column in (
        ("demand", "demand", "raw demand (MW)"),
        ("forecast", "demand_forecast_day_ahead", "forecast demand (MW)"),
    ):
        values = pc.fill_null(rows[column], float("nan")).to_numpy()
        store(lake, config, entry, times | {"variable": variable, "unit": "MWh", "value": values})
    demand = pc.fill_null(rows["raw demand (MW)"], float("nan")).to_numpy()
    is_okay = pc.equal(rows["category"], "OKAY").to_numpy(zero_copy_only=False)
    return {name: Truth(starts[region == name], np.where(is_okay, demand, np.nan)[region == name]) for name in names}


def open_judged(folder: Path, truth: Truth, hidden: Sequence[str] = ()) -> EvaluationSet:
    """The set in `folder`, with `truth` as its target: in hours without it, nothing is compared or learned."""
    evaluation = open_evaluation(folder, hidden=hidden)
    first = int(evaluation.period.start.timestamp()) * 1_000_000
    rows = (truth.start - first) // HOUR_IN_MICROSECONDS
    inside = (rows >= 0) & (rows < evaluation.series.shape[1])
    values = evaluation.series.copy()
    values[0, rows[inside]] = truth.value[inside]
    mean, deviation = (evaluation.arrays[f"target_{name}"][0, 0] for name in ("mean", "deviation"))
    targets = {
        "targets": ((values - mean) / deviation)[:, :, None],
        "target_mask": ~np.isnan(values)[:, :, None],
    }
    return replace(evaluation, arrays={**evaluation.arrays, **targets})


def compare_eia(lake: Lake, config: Config, truths: Mapping[str, Truth], results: ResultsFolder) -> None:
    """Print the errors of 2019 of the balancing authorities in `truths`."""
    simple = ("day", "week", "ridge", "kernel")
    tables: dict[str, tuple[Sequence[str], dict[str, dict[str, float]]]] = {
        "At midnight, from demand alone": (("operator", "day", "week", *LEARNED), {}),
        "At noon of the day before, from demand alone": (("operator", *simple), {}),
        "At noon of the day before, with the operator's forecast": (("operator", *LEARNED), {}),
    }
    at_midnight, alone, with_forecast = (errors for _, errors in tables.values())
    for name, truth in truths.items():
        noon = prepare(build_eia_spec(name, at_noon=True), config, lake)
        operator = results.score(f"{name}_noon", open_judged(noon, truth), ["operator"])
        with_forecast[name] = operator | results.score(f"{name}_noon", open_judged(noon, truth), LEARNED)
        midnight = open_judged(prepare(build_eia_spec(name, at_noon=False), config, lake), truth, [FORECASTS])
        at_midnight[name] = operator | results.score(f"{name}_midnight", midnight, ("day", "week", *LEARNED))
        alone[name] = operator | results.score(f"{name}_noon_alone", open_judged(noon, truth, [FORECASTS]), simple)
    for title, (models, errors) in tables.items():
        print_table(f"{title}, MAPE of 2019 in %", models, errors)


def compare_load(lake: Lake, config: Config, truth: Truth, history: Path | None, results: ResultsFolder) -> None:
    """Print the errors of 2019 in New England from demand alone, learned once and learned anew each month."""
    models = ("day", "week", "ridge", "kernel")
    once, monthly = {}, {}
    since = {"2015": "2015-07-02T05:00Z"}
    if history:
        store_history(history, lake, config)
        since["2003"] = "2003-03-02T05:00Z"
    for year, start in since.items():
        folder = prepare(build_eia_spec("ISNE", at_noon=False) | {"start": start}, config, lake)
        judged = open_judged(folder, truth, [FORECASTS])
        once[f"ISNE since {year}"] = results.score(f"ISNE_{year}_once", judged, (*models, "ensemble"))
        monthly[f"ISNE since {year}"] = results.score(f"ISNE_{year}_monthly", judged, models, "rolling", 12)
    print_table("At midnight, from demand alone, MAPE of 2019 in %", (*models, "ensemble"), once)
    print_table("At midnight, from demand alone, learned each month, MAPE of 2019 in %", models, monthly)


def compare_contexts(lake: Lake, config: Config, truth: Truth, results: ResultsFolder) -> None:
    """Print the errors of 2019 in New England of one forecaster that attends to a week, and of one that attends to a
    year, beside those of the day before."""
    models = ("day", "long_context:attend_week", "long_context:attend_year")
    folder = prepare(build_eia_spec("ISNE", at_noon=False) | {"seq_len": 8784}, config, lake)
    errors = results.score("ISNE_year", open_judged(folder, truth, [FORECASTS]), models)
    print_table("At midnight, from demand alone, MAPE of 2019 in %", models, {"ISNE": errors})


def store_history(path: Path, lake: Lake, config: Config) -> None:
    """Write New England's load of the table of `isone` to the lake as EIA's demand of earlier years.

    Its hours count as the clocks in New York show them; those that are skipped or doubled are left out.
    """
    rows = pyarrow.csv.read_csv(path)
    days = rows["date"].to_pylist()
    zone, starts, values = ZoneInfo("America/New_York"), [], []
    for date, hour, value in zip(days, rows["hour"].to_pylist(), rows["demand"].to_pylist(), strict=True):
        year, month, day = map(int, date.split("/"))
        moments = {datetime(year, month, day, hour - 1, fold=fold, tzinfo=zone).astimezone(UTC) for fold in (0, 1)}
        if len(moments) == 1:
            starts.append(int(moments.pop().timestamp()) * 1_000_000)
            values.append(float(value))
    start = np.array(starts)
    times = {"interval_start": start, "interval_end": start + HOUR_IN_MICROSECONDS, "location": "ISNE"}
    store(lake, config, "demand", times | {"variable": "demand", "unit": "MWh", "value": np.array(values)})


def build_eia_spec(name: str, at_noon: bool) -> dict[str, Any]:
    """The spec of a set that predicts the days of 2019 of the authority `name`."""
    zone, begin, noon, holidays, neighbours = AUTHORITIES[name]
    place = {
        "name": name,
        "timezone": zone,
        "holidays": holidays,
        "targets": [f"eia/{name}/demand"],
        "inputs": {"own": [f"eia/{name}/demand"], "neighbour": [f"eia/{region}/demand" for region in neighbours]},
        "future": [f"eia/{name}/demand_forecast_day_ahead"],
    }
    first = datetime(2015, 7, 2, begin, tzinfo=UTC)
    test = datetime(2019, 1, 1, begin, tzinfo=UTC)
    spec = {
        "name": f"{name.lower()}_2019{'_noon' if at_noon else ''}",
        "locations": [place],
        "start": first.isoformat(),
        "end": (datetime(2020, 1, 1, begin, tzinfo=UTC)).isoformat(),
        "seq_len": 168,
        "splits": {"train_end": test.isoformat(), "validation_end": test.isoformat(), "validation": 0},
        "min_inputs": 0,
        "min_targets": 0,
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
    parser.add_argument("table", choices=("isone", "eia", "load", "context"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--only", nargs="*", default=list(AUTHORITIES), choices=list(AUTHORITIES), help="authorities")
    parser.add_argument("--history", type=Path, help="the table of isone, for load")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="where predictions are stored, to go on later")
    arguments = parser.parse_args()
    results = ResultsFolder(arguments.results)
    with tempfile.TemporaryDirectory() as folder:
        lake, config = Lake.open(folder), parse({"lake": folder, "apis": APIS})
        if arguments.table == "isone":
            compare_isone(arguments.path, lake, config, results)
        elif arguments.table == "eia":
            compare_eia(lake, config, store_eia(arguments.path, lake, config, arguments.only), results)
        else:
            truth = store_eia(arguments.path, lake, config, ["ISNE"])["ISNE"]
            if arguments.table == "load":
                compare_load(lake, config, truth, arguments.history, results)
            else:
                compare_contexts(lake, config, truth, results)


if __name__ == "__main__":
    main()
