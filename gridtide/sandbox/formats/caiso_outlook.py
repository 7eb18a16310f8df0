"""Imitates CAISO's outlook: /outlook/history/<YYYYMMDD>/<report>.csv.

A file of any day has 288 rows of local time. On the day of the spring change, the skipped hour has no values; on that
of the autumn change, the hour that comes twice is listed once, with its first values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from gridtide.periods import local_day
from gridtide.sandbox.formats.exchange import Question, WireAnswer, write_html
from gridtide.simulation import (
    CALIFORNIA,
    Grid,
    Times,
    Values,
    count_day_ahead_lead,
    find_utc_offset,
    list_interval_starts,
)

PATH_PREFIXES = ("/outlook/",)
RATE_LIMITS = ((1, 0.5),)
"""Numbers of requests and the seconds in which they are allowed."""

CODE, CALIFORNIA_CLOCK = CALIFORNIA.code, ZoneInfo(CALIFORNIA.zone)

ROW_LENGTH = timedelta(minutes=5)

FUELS_BY_COLUMN = {
    "Solar": "solar",
    "Wind": "wind",
    "Large Hydro": "hydro",
    "Nuclear": "nuclear",
    "Natural Gas": "natural_gas",
    "Other": "other",
}
"""The fuel of each column; other columns of the upstream are 0 here."""

EMISSIONS = {"Natural Gas CO2": 0.4, "Imports CO2": 0.43}
"""The CO2 of each column in metric tons per MWh."""


REPORTS = ("fuelsource", "renewables", "demand", "netdemand", "co2")


def answer_request(question: Question) -> WireAnswer:
    """Answers with the file of a day that is over, and with 404 for other days."""
    match = re.fullmatch(r"/outlook/history/(\d{8})/(\w+)\.csv", question.path)
    if match is None or match[2] not in REPORTS:
        return write_refusal(404)
    day = date.fromisoformat(match[1])
    if day >= question.now.astimezone(CALIFORNIA_CLOCK).date():
        return write_refusal(404)
    return WireAnswer(_write_csv(question.grid, match[2], day).encode(), content_type="text/csv")


def write_refusal(status: int, window: float = 1, speed: float = 1) -> WireAnswer:
    """Returns the web page that comes with an error of this status."""
    return write_html(f"HTTP Status {status}", status)


def make_columns(grid: Grid, report: str, begins: Times) -> dict[str, Values]:
    """Returns the columns of `report` over five minutes from each of `begins` (T,), each (T,)."""
    middles = begins + np.timedelta64(ROW_LENGTH) // 2
    state = grid.state_at(CODE, middles).whole()
    supply = {column: state.generation[fuel] for column, fuel in FUELS_BY_COLUMN.items()}
    imports = -state.net_interchange
    if report == "co2":
        return {
            "Natural Gas CO2": EMISSIONS["Natural Gas CO2"] * supply["Natural Gas"],
            "Imports CO2": EMISSIONS["Imports CO2"] * np.maximum(imports, 0),
        }
    if report == "fuelsource":
        return {**supply, "Batteries": -state.pumping, "Imports": imports}
    if report == "renewables":
        return {column: supply[column] for column in ("Solar", "Wind")}
    ahead = {
        "Day ahead forecast": grid.state_at(CODE, middles, count_day_ahead_lead(middles, CALIFORNIA_CLOCK.key)).demand,
        "Hour ahead forecast": grid.state_at(CODE, middles, 1.0).demand,
    }
    if report == "demand":
        return {**ahead, "Current demand": state.demand}
    net = state.demand - supply["Solar"] - supply["Wind"]
    return {"Hour ahead forecast": ahead["Hour ahead forecast"], "Current demand": state.demand, "Net demand": net}


def _write_csv(grid: Grid, report: str, day: date) -> str:
    day_period = local_day(day, CALIFORNIA_CLOCK)
    begins = list_interval_starts(day_period.start, day_period.end, ROW_LENGTH)
    local = begins + find_utc_offset(begins, CALIFORNIA_CLOCK.key)
    columns = {name: np.round(values).astype(int) for name, values in make_columns(grid, report, begins).items()}
    row_numbers = {str(label)[11:16]: row_number for row_number, label in reversed(list(enumerate(local)))}
    labels = [f"{datetime.combine(day, datetime.min.time()) + number * ROW_LENGTH:%H:%M}" for number in range(288)]
    lines = [",".join(["Time", *columns])]
    lines += [",".join([label, *_write_cells(columns, row_numbers.get(label))]) for label in labels]
    return "\n".join(lines) + "\n"


def _write_cells(columns: Mapping[str, Values], row_number: int | None) -> list[str]:
    return ["" if row_number is None else str(values[row_number]) for values in columns.values()]
