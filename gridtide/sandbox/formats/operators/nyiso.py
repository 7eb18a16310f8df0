"""NYISO's public files, imitated: /public/csv/<dataset>/<YYYYMMDD><file>.csv and …/<YYYYMM>01<file>_csv.zip.

Days of the last ten days have a CSV of their own; older ones are in the zip of their month, which also holds the newer
ones. Times are those of the clock of New York. Load and fuel mix name `EDT` or `EST`; prices and forecasts do not, so
that the hour that comes twice is told apart by the order of its rows. Some stamps lie off the grid of five minutes.
Congestion has the opposite sign: LBMP = energy + losses − congestion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from gridtide.periods import local_day, local_midnight
from gridtide.sandbox.formats.exchange import Question, WireAnswer, write_html, write_number
from gridtide.sandbox.formats.operators.market_days import (
    FIVE_MINUTES,
    WHOLE_HOUR,
    cut_after,
    find_middles,
    list_day,
    mix_fuels,
    pack_zip,
    write_csv_lines,
    write_http_date,
    write_times,
)
from gridtide.simulation import (
    NEW_YORK,
    Grid,
    Market,
    Times,
    Values,
    count_day_ahead_lead,
    find_utc_offset,
    to_times,
)

PATH_PREFIXES = ("/public/csv/",)

EASTERN_CLOCK = ZoneInfo(NEW_YORK.zone)

DAYS_LISTED = 10
"""The days, today among them, that have a file of their own."""

ZONE_POINTS = {
    "CAPITL": 61757,
    "CENTRL": 61754,
    "DUNWOD": 61760,
    "GENESE": 61753,
    "HUD VL": 61758,
    "LONGIL": 61762,
    "MHK VL": 61756,
    "MILLWD": 61759,
    "N.Y.C.": 61761,
    "NORTH": 61755,
    "WEST": 61752,
}
"""The load zones and their point ids."""

PROXY_POINTS = {"H Q": 61844, "NPX": 61845, "O H": 61846, "PJM": 61847}
"""The neighbours, which have prices."""

PRICE_POINTS = dict(sorted({**ZONE_POINTS, **PROXY_POINTS}.items()))

GENERATOR_POINTS = {"59TH STREET_GT_1": 24138, "BOWLINE___1": 23526, "GILBOA___1": 23756, "NINE MILE_1": 23575}
"""Some generators and their point ids."""

NYISO_FUELS = {
    "Dual Fuel": {"natural_gas": 0.55},
    "Natural Gas": {"natural_gas": 0.45},
    "Nuclear": {"nuclear": 1.0},
    "Other Fossil Fuels": {"petroleum": 1.0},
    "Other Renewables": {"other": 1.0, "solar": 1.0},
    "Wind": {"wind": 1.0},
    "Hydro": {"hydro": 1.0},
}
"""The categories of the fuel mix, by their shares of the simulated fuels."""

FLOW_POINTS = {"SCH - HQ - NY": (23651, "HQT", 0.8), "SCH - HQ_CEDARS": (325274, "HQT", 0.2)} | {
    "SCH - NE - NY": (23652, "ISNE", 1.0),
    "SCH - PJ - NY": (23654, "PJM", 1.0),
}
"""The interfaces: point id, neighbour and share of its flow; positive is into New York."""

FORECAST_DAYS, FORECAST_APPEARS = 6, timedelta(hours=7, minutes=50)

STANDARD_OFFSET = np.timedelta64(-5, "h")

WITH_SECONDS, WITHOUT_SECONDS = "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M"

StampPlace = Literal["start", "end"]
DatasetRows = Callable[[Question, Times], Iterator[Sequence[str]]]
"""Writes the rows of a file for its stamps, UTC."""


@dataclass(frozen=True, slots=True)
class ImitatedFile:
    """One dataset: its columns, its rows, which stamps it has, and when the file of a day appears.

    `appears` is the time from the day's midnight to the file, or None if the file grows during the day.
    """

    columns: tuple[str, ...]
    rows: DatasetRows
    step: timedelta
    place: StampPlace = "start"
    quoted: bool = True
    appears: timedelta | None = None
    off_grid: bool = False
    days: int = 1


def answer_request(question: Question) -> WireAnswer:
    """Answers with the file of a day or the zip of a month, and with 404 where there is none."""
    match = re.fullmatch(r"/public/csv/(\w+)/(\d{8})(\w+?)(_csv\.zip|\.csv)", question.path)
    imitated_file = IMITATED_FILES.get((match[1], match[3])) if match else None
    if match is None or imitated_file is None:
        return _refuse()
    try:
        day = datetime.strptime(match[2], "%Y%m%d").date()
    except ValueError:
        return _refuse()
    if match[4] == ".csv":
        return _answer_day(question, imitated_file, day)
    return _answer_month(question, imitated_file, day, match[3]) if day.day == 1 else _refuse()


def _refuse() -> WireAnswer:
    return write_html("The requested URL was not found on this server.", 404)


def _answer_day(question: Question, imitated_file: ImitatedFile, day: date) -> WireAnswer:
    today = question.now.astimezone(EASTERN_CLOCK).date()
    modified = _find_modification(imitated_file, day, question.now)
    if modified is None or day <= today - timedelta(days=DAYS_LISTED):
        return _refuse()
    body = _write_file(question, imitated_file, day).encode()
    return WireAnswer(body, content_type="text/csv", headers={"Last-Modified": write_http_date(modified)})


def _answer_month(question: Question, imitated_file: ImitatedFile, month: date, name: str) -> WireAnswer:
    days = [month + timedelta(days=number) for number in range(31)]
    members = [
        (f"{day:%Y%m%d}{name}.csv", modified, _write_file(question, imitated_file, day).encode())
        for day in days
        if day.month == month.month and (modified := _find_modification(imitated_file, day, question.now))
    ]
    if not members:
        return _refuse()
    newest = max(modified for _, modified, _ in members)
    headers = {"Last-Modified": write_http_date(newest)}
    return WireAnswer(pack_zip(members, NEW_YORK.zone), content_type="application/zip", headers=headers)


def _find_modification(imitated_file: ImitatedFile, day: date, now: datetime) -> datetime | None:
    """Returns when the file of `day` was last written, or None if there is none at `now`."""
    period = local_day(day, EASTERN_CLOCK)
    if imitated_file.appears is not None:
        written = period.start + imitated_file.appears
        return written if written <= now else None
    first_written = period.start + imitated_file.step
    return min(now.replace(microsecond=0), period.end + timedelta(minutes=15)) if first_written <= now else None


def _write_file(question: Question, imitated_file: ImitatedFile, day: date) -> str:
    stamps = list_stamps(question.grid, imitated_file, day)
    if imitated_file.appears is None:
        complete = imitated_file.step if imitated_file.place == "start" else timedelta(0)
        stamps = cut_after(stamps, question.now - complete)
    return write_csv_lines(imitated_file.columns, imitated_file.rows(question, stamps), imitated_file.quoted)


def list_stamps(grid: Grid, imitated_file: ImitatedFile, day: date) -> Times:
    """Returns the stamps, UTC, of the file of `day`: midnight to the last step before the next one, or, of intervals by
    their end, up to the next midnight; with those off the grid where the dataset has some."""
    step = imitated_file.step
    starts = np.concatenate(
        [list_day(day + timedelta(days=number), NEW_YORK.zone, step) for number in range(imitated_file.days)]
    )
    stamps: Times = starts
    if imitated_file.place == "end":
        stamps = (starts + np.timedelta64(step)).astype("datetime64[s]")
    if not imitated_file.off_grid:
        return stamps
    return np.unique(np.concatenate([stamps, _draw_off_grid(grid, day)]))


def _draw_off_grid(grid: Grid, day: date) -> Times:
    """Returns one to three moments of `day` at which the dispatch ran out of turn."""
    midnight = to_times([local_midnight(day, EASTERN_CLOCK)])
    draws = grid.draw_uniform("nyiso off grid", midnight + np.arange(4) * np.timedelta64(1, "s"))
    seconds = np.floor(draws[1 : 2 + int(3 * draws[0])] * 22 * 3600).astype(np.int64)
    seconds += seconds % 300 == 0
    moments: Times = midnight[0] + seconds * np.timedelta64(1, "s")
    return moments


def _write_stamps(times: Times, pattern: str, quoted: bool = True) -> list[str]:
    texts = write_times(times, NEW_YORK.zone, pattern)
    return [f'"{text}"' for text in texts] if quoted else texts


def _name_clocks(times: Times) -> list[str]:
    """Returns EDT or EST for each of `times`."""
    return ["EDT" if summer else "EST" for summer in find_utc_offset(times, NEW_YORK.zone) > STANDARD_OFFSET]


def _shorten(value: float) -> str:
    return str(write_number(value))


def _write_load_rows(question: Question, stamps: Times, middles: Times, decimals: int) -> Iterator[Sequence[str]]:
    demand = question.grid.state_at(NEW_YORK.code, middles).demand
    loads = {zone: np.round(share * demand, decimals).tolist() for zone, share in NEW_YORK.zones.items()}
    labels = zip(_write_stamps(stamps, WITH_SECONDS), _name_clocks(stamps), strict=True)
    for row_number, (stamp, clock) in enumerate(labels):
        for zone, point in ZONE_POINTS.items():
            yield stamp, f'"{clock}"', f'"{zone}"', str(point), _shorten(loads[zone][row_number])


def _write_load(question: Question, stamps: Times) -> Iterator[Sequence[str]]:
    """The load at each stamp."""
    return _write_load_rows(question, stamps, stamps, 1)


def _write_hourly_load(question: Question, stamps: Times) -> Iterator[Sequence[str]]:
    return _write_load_rows(question, stamps, find_middles(stamps, WHOLE_HOUR), 4)


def _write_fuel_mix(question: Question, stamps: Times) -> Iterator[Sequence[str]]:
    """The output over the five minutes before each stamp."""
    state = question.grid.state_at(NEW_YORK.code, find_middles(stamps, -FIVE_MINUTES))
    outputs = {fuel: np.round(values).tolist() for fuel, values in mix_fuels(state, NYISO_FUELS).items()}
    labels = zip(_write_stamps(stamps, WITH_SECONDS, quoted=False), _name_clocks(stamps), strict=True)
    for row_number, (stamp, clock) in enumerate(labels):
        for category, output in outputs.items():
            yield stamp, clock, category, repr(output[row_number])


def _write_forecast(question: Question, stamps: Times) -> Iterator[Sequence[str]]:
    """The load of each zone as forecast when the file was written, and their sum."""
    loads = forecast_zones(question.grid, stamps)
    columns = [values.astype(int).tolist() for values in loads.values()]
    texts = _write_stamps(stamps, WITHOUT_SECONDS)
    return ((stamp, *(str(load) for load in row)) for stamp, *row in zip(texts, *columns, strict=True))


def forecast_zones(grid: Grid, stamps: Times) -> dict[str, Values]:
    """Returns the forecast load by zone, in whole MW, over the hours from `stamps`, of which the first is the midnight
    of the file; `NYISO` is the sum."""
    middles = find_middles(stamps, WHOLE_HOUR)
    leads = (middles - (stamps[:1] + np.timedelta64(FORECAST_APPEARS))) / np.timedelta64(WHOLE_HOUR)
    demand = grid.state_at(NEW_YORK.code, middles, np.maximum(leads, 0)).demand
    loads = {zone: np.round(share * demand) for zone, share in NEW_YORK.zones.items()}
    return {**loads, "NYISO": np.asarray(sum(loads.values()))}


def _price_rows(
    market: Market,
    step: timedelta,
    pattern: str,
    quoted: bool,
    backwards: bool = False,
    points: Mapping[str, int] = PRICE_POINTS,
) -> DatasetRows:
    """Writes the prices of a market at `points`; `backwards` if stamps are the ends of intervals."""

    def write_rows(question: Question, stamps: Times) -> Iterator[Sequence[str]]:
        middles = find_middles(stamps, -step if backwards else step)
        prices = question.grid.price_nodes(NEW_YORK.code, list(points), middles, market)
        parts = {
            name: [values.tolist() for values in (price.total, price.loss, 0.0 - price.congestion)]
            for name, price in prices.items()
        }
        for row_number, stamp in enumerate(_write_stamps(stamps, pattern, quoted)):
            for name, point in points.items():
                numbers = (f"{values[row_number]:.2f}" for values in parts[name])
                yield stamp, f'"{name}"' if quoted else name, str(point), *numbers

    return write_rows


def _write_flows(question: Question, stamps: Times) -> Iterator[Sequence[str]]:
    flows = question.grid.flows_out(NEW_YORK.code, find_middles(stamps, FIVE_MINUTES))
    for row_number, stamp in enumerate(_write_stamps(stamps, WITHOUT_SECONDS, quoted=False)):
        for interface, (point, neighbour, share) in FLOW_POINTS.items():
            flow = -share * flows[neighbour][row_number]
            yield stamp, interface, str(point), f"{flow:.2f}", "1500.00", "-1500.00"


def _write_rooftop(question: Question, stamps: Times, lead_hours: Values | float) -> Iterator[Sequence[str]]:
    middles = find_middles(stamps, WHOLE_HOUR)
    rooftop = question.grid.state_at(NEW_YORK.code, middles, lead_hours).rooftop
    outputs = {zone: np.round(share * rooftop, 2) for zone, share in NEW_YORK.zones.items()}
    outputs = {"SYSTEM": np.round(np.asarray(sum(outputs.values())), 2), **outputs}
    labels = zip(_write_stamps(stamps, WITHOUT_SECONDS), _name_clocks(stamps), strict=True)
    for row_number, (stamp, clock) in enumerate(labels):
        for zone, output in outputs.items():
            yield stamp, f'"{clock}"', f'"{zone}"', _shorten(float(output[row_number]))


def _write_rooftop_estimate(question: Question, stamps: Times) -> Iterator[Sequence[str]]:
    return _write_rooftop(question, stamps, 0.0)


def _write_rooftop_forecast(question: Question, stamps: Times) -> Iterator[Sequence[str]]:
    lead_hours = count_day_ahead_lead(find_middles(stamps, WHOLE_HOUR), NEW_YORK.zone)
    return _write_rooftop(question, stamps, lead_hours)


PRICE_COLUMNS = (
    *("Time Stamp", "Name", "PTID", "LBMP ($/MWHr)"),
    *("Marginal Cost Losses ($/MWHr)", "Marginal Cost Congestion ($/MWHr)"),
)
LOAD_COLUMNS = ("Time Stamp", "Time Zone", "Name", "PTID")
ROOFTOP_COLUMNS = ("Time Stamp", "Time Zone", "Zone Name", "MW Value")
FORECAST_COLUMNS = (*(zone if zone == "N.Y.C." else zone.title() for zone in NEW_YORK.zones), "NYISO")

IMITATED_FILES = {
    ("pal", "pal"): ImitatedFile((*LOAD_COLUMNS, "Load"), _write_load, FIVE_MINUTES, off_grid=True),
    ("palIntegrated", "palIntegrated"): ImitatedFile(
        (*LOAD_COLUMNS, "Integrated Load"), _write_hourly_load, WHOLE_HOUR
    ),
    ("isolf", "isolf"): ImitatedFile(
        *(("Time Stamp", *FORECAST_COLUMNS), _write_forecast, WHOLE_HOUR),
        appears=FORECAST_APPEARS,
        days=FORECAST_DAYS,
    ),
    ("rtfuelmix", "rtfuelmix"): ImitatedFile(
        *(("Time Stamp", "Time Zone", "Fuel Category", "Gen MW"), _write_fuel_mix, FIVE_MINUTES, "end"),
        quoted=False,
        off_grid=True,
    ),
    ("damlbmp", "damlbmp_zone"): ImitatedFile(
        *(PRICE_COLUMNS, _price_rows("day_ahead", WHOLE_HOUR, WITHOUT_SECONDS, quoted=False), WHOLE_HOUR),
        quoted=False,
        appears=-timedelta(hours=13),
    ),
    ("damlbmp", "damlbmp_gen"): ImitatedFile(
        PRICE_COLUMNS,
        _price_rows("day_ahead", WHOLE_HOUR, WITHOUT_SECONDS, quoted=False, points=GENERATOR_POINTS),
        WHOLE_HOUR,
        quoted=False,
        appears=-timedelta(hours=13),
    ),
    ("realtime", "realtime_zone"): ImitatedFile(
        *(PRICE_COLUMNS, _price_rows("five_minute", FIVE_MINUTES, WITH_SECONDS, quoted=True, backwards=True)),
        *(FIVE_MINUTES, "end"),
        off_grid=True,
    ),
    ("rtlbmp", "rtlbmp_zone"): ImitatedFile(
        *(PRICE_COLUMNS, _price_rows("real_time", WHOLE_HOUR, WITHOUT_SECONDS, quoted=True), WHOLE_HOUR),
    ),
    ("ExternalLimitsFlows", "ExternalLimitsFlows"): ImitatedFile(
        ("Timestamp", "Interface Name", "Point ID", "Flow (MWH)", "Positive Limit (MWH)", "Negative Limit (MWH)"),
        *(_write_flows, FIVE_MINUTES),
        quoted=False,
    ),
    ("btmactualforecast", "BTMEstimatedActual"): ImitatedFile(
        *(ROOFTOP_COLUMNS, _write_rooftop_estimate, WHOLE_HOUR), appears=timedelta(hours=32)
    ),
    ("btmdaforecast", "btmdaforecast"): ImitatedFile(
        *(ROOFTOP_COLUMNS, _write_rooftop_forecast, WHOLE_HOUR), appears=-timedelta(hours=14)
    ),
}
"""The datasets by the name of their folder and of their files."""
