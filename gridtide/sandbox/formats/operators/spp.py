"""SPP's file browser, imitated: /file-browser-api/download/<folder>?path=/<YYYY>/<MM>/….

Files name the end of an interval, on the clock of Chicago and in GMT. Since April 2026 they have a column `BAA`; since
25 March 2026 the hourly load is a list instead of a table. Files of forecasts that are published in the repeated autumn
hour end in `d.csv`. An interval's file is rarely empty, and a file that does not exist is a 404 without a body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from gridtide.periods import local_day, local_midnight
from gridtide.sandbox.formats.exchange import Question, WireAnswer
from gridtide.sandbox.formats.operators.market_days import (
    FIVE_MINUTES,
    WHOLE_HOUR,
    cut_after,
    find_middles,
    list_day,
    mix_fuels,
    write_csv_lines,
    write_times,
)
from gridtide.simulation import SOUTHWEST_POOL, Grid, Market, Times, list_interval_starts, to_times

PATH_PREFIXES = ("/file-browser-api/download/",)

POOL_CLOCK = ZoneInfo(SOUTHWEST_POOL.zone)

BAA_COLUMN_FROM, LONG_LOAD_FROM = date(2026, 4, 1), date(2026, 3, 25)

PRICED_LOCATIONS = {
    "AEC": "SOUC",
    "AECC_CSWS": "CSWS_AECC_LA",
    "CSWS_HUB": "CSWS_HUB_H",
    "ERCOTE": "ERCOTE",
    "ERCOTN": "ERCOTN",
    "MISO": "MISO",
    "NPPD.NPPD": "NPPD_NPPD_LA",
    "OKGE.OKGE": "OKGE_OKGE_LA",
    "SPPNORTH_HUB": "SPPNORTH_H",
    "SPPSOUTH_HUB": "SPPSOUTH_H",
    "SPS.SPS": "SPS_SPS_LA",
    "WAUE.WAUE": "WAUE_WAUE_LA",
}
"""The settlement locations and their pricing nodes."""

SPP_FUELS = {
    "Coal": {"coal": 1.0},
    "Diesel Fuel Oil": {"petroleum": 1.0},
    "Hydro": {"hydro": 1.0},
    "Natural Gas": {"natural_gas": 1.0},
    "Nuclear": {"nuclear": 1.0},
    "Solar": {"solar": 1.0},
    "Waste Disposal Services": {"other": 0.4},
    "Wind": {"wind": 1.0},
    "Waste Heat": {},
    "Energy Storage": {},
    "Other": {"other": 0.6},
}
"""The columns of the generation mix, by their shares of the simulated fuels."""

STAMP = "%m/%d/%Y %H:%M:%S"

PRICES_OUT, LOADS_OUT, DAY_OUT = (timedelta(hours=hours) for hours in (-11, 30, 26))
"""When the files of a day come out, from its midnight on: day-ahead prices at 13:00 on the day before; hourly loads and
the real-time prices of a day on the next morning."""

LOAD_PARTS = {"CF": 0.9, "NC": 0.1}
"""The shares of conforming and of other load in zones that have both."""

DIVIDED_ZONES = frozenset(("KCPL", "LES", "NPPD", "OPPD", "WAUE", "WR"))

EMPTY_SHARE = 0.004
"""The share of intervals whose file is empty."""

FORECAST_HOURS, PAST_HOURS = 168, 24


def answer_request(question: Question) -> WireAnswer:
    """Answers with a file, or with 404 and no body."""
    folder = question.path.removeprefix(PATH_PREFIXES[0])
    for pattern, write in FILES_BY_FOLDER.get(folder, ()):
        match = re.fullmatch(pattern, question.get("path"))
        if match is not None:
            try:
                text = write(question, *match.groups())
            except ValueError:  # the name holds no day
                text = None
            if text is not None:
                return WireAnswer(text.encode(), content_type="text/csv")
    return WireAnswer(b"", 404, "text/plain")


def _read_day(text: str) -> date:
    return datetime.strptime(text, "%Y%m%d").date()


def _is_out(question: Question, day: date, after_midnight: timedelta) -> bool:
    return local_midnight(day, POOL_CLOCK) + after_midnight <= question.now


def _write_ends(starts: Times, step: timedelta) -> tuple[list[str], list[str]]:
    """Returns the ends of intervals on the clock of Chicago and in GMT."""
    ends = (starts + np.timedelta64(step)).astype("datetime64[s]")
    return write_times(ends, SOUTHWEST_POOL.zone, STAMP), write_times(ends, "UTC", STAMP)


def write_prices(grid: Grid, starts: Times, step: timedelta, market: Market, points: dict[str, str], baa: bool) -> str:
    """Returns the file of prices at `points` (locations and their nodes) over the intervals from `starts`."""
    prices = grid.price_nodes(SOUTHWEST_POOL.code, list(points), find_middles(starts, step), market, 4)
    parts = {
        location: [values.tolist() for values in (price.total, price.loss, price.congestion, price.energy)]
        for location, price in prices.items()
    }
    authority = ("SPP",) if baa else ()
    rows = (
        (local, gmt, *authority, location, node, *(f"{values[number]:.4f}" for values in parts[location]))
        for number, (local, gmt) in enumerate(zip(*_write_ends(starts, step), strict=True))
        for location, node in points.items()
    )
    header = ("Interval", "GMTIntervalEnd", *(("BAA",) if baa else ()), "Settlement Location", "Pnode")
    return write_csv_lines((*header, "LMP", "MLC", "MCC", "MEC"), rows)


def _write_day_ahead_prices(question: Question, name: str) -> str | None:
    day = _read_day(name)
    if not _is_out(question, day, PRICES_OUT):
        return None
    starts = list_day(day, SOUTHWEST_POOL.zone, WHOLE_HOUR)
    return write_prices(question.grid, starts, WHOLE_HOUR, "day_ahead", PRICED_LOCATIONS, day >= BAA_COLUMN_FROM)


def _write_day_of_intervals(question: Question, name: str) -> str | None:
    day = _read_day(name)
    if not _is_out(question, day, DAY_OUT):
        return None
    starts = list_day(day, SOUTHWEST_POOL.zone, FIVE_MINUTES)
    return _write_intervals(question, starts, day)


def _write_intervals(question: Question, starts: Times, day: date) -> str:
    baa = day >= BAA_COLUMN_FROM
    return write_prices(question.grid, starts, FIVE_MINUTES, "five_minute", PRICED_LOCATIONS, baa)


def _write_interval(question: Question, name: str, second_pass: str) -> str | None:
    """The prices of the interval that ends at the local time `name`; rarely an empty file."""
    end = _read_moment(name, bool(second_pass))
    if end > question.now:
        return None
    start = to_times([end - FIVE_MINUTES])
    is_empty = question.grid.draw_uniform("spp empty", start)[0] < EMPTY_SHARE
    return "" if is_empty else _write_intervals(question, start, end.astimezone(POOL_CLOCK).date())


def _write_latest_interval(question: Question) -> str:
    end = question.now - timedelta(seconds=question.now.timestamp() % 300)
    return _write_intervals(question, to_times([end - FIVE_MINUTES]), end.astimezone(POOL_CLOCK).date())


def _read_moment(name: str, second_pass: bool) -> datetime:
    """Returns the local time `YYYYMMDDHHMM`, of the second pass of the autumn hour if so, in UTC."""
    local_time = datetime.strptime(name, "%Y%m%d%H%M")
    # In UTC, because sums with a local time would forget which pass it is of.
    return local_time.replace(tzinfo=POOL_CLOCK, fold=int(second_pass)).astimezone(UTC)


def _write_hourly_load(question: Question, name: str) -> str | None:
    """The load of each control zone by the hour of a local day, labelled by its end in GMT."""
    day = _read_day(name)
    if not _is_out(question, day, LOADS_OUT):
        return None
    starts = list_day(day, SOUTHWEST_POOL.zone, WHOLE_HOUR)
    ends = (starts + np.timedelta64(WHOLE_HOUR)).astype("datetime64[s]")
    demand = question.grid.state_at(SOUTHWEST_POOL.code, find_middles(starts, WHOLE_HOUR)).demand
    loads = {zone: np.round(share * demand, 3).tolist() for zone, share in SOUTHWEST_POOL.zones.items()}
    if day < LONG_LOAD_FROM:
        stamps = write_times(ends, "UTC", "%m/%d/%Y %H:%M:%S")
        columns = zip(stamps, *loads.values(), strict=True)
        return write_csv_lines(("MarketHour", *loads), ((row[0], *map(str, row[1:])) for row in columns))
    stamps = [re.sub(r"\b0(\d)(?=[/:])", r"\1", text) for text in write_times(ends, "UTC", "%m/%d/%Y %H:%M")]
    rows = (
        (stamp, "SPP", zone, kind, f"{share * values[number]:.3f}")
        for number, stamp in enumerate(stamps)
        for zone, values in loads.items()
        for kind, share in (LOAD_PARTS if zone in DIVIDED_ZONES else {"CF": 1.0}).items()
    )
    header = ("Market Hour", "Balancing Area Name", "Control Zone Name", "Forecast Area Type", "Load MW")
    return write_csv_lines(header, rows)


class ForecastFile(NamedTuple):
    """The hours of a file of forecasts: their starts, how many of them are past, and the hours ahead of each."""

    starts: Times
    past: int
    leads: np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def list_forecast_hours(published: datetime) -> ForecastFile:
    """Returns the hours of a mid-term file: a day back and a week ahead of the hour at which it is published."""
    first, last = published - timedelta(hours=PAST_HOURS), published + timedelta(hours=FORECAST_HOURS)
    starts = list_interval_starts(first, last, WHOLE_HOUR)
    leads = (find_middles(starts, WHOLE_HOUR) - to_times([published])) / np.timedelta64(WHOLE_HOUR)
    return ForecastFile(starts, PAST_HOURS, np.maximum(leads, 0))


ForecastColumns = Callable[[Grid, ForecastFile], Sequence[tuple[str, Sequence[str]]]]


def _forecast_load_columns(grid: Grid, hours: ForecastFile) -> Sequence[tuple[str, Sequence[str]]]:
    middles = find_middles(hours.starts, WHOLE_HOUR)
    foreseen = grid.state_at(SOUTHWEST_POOL.code, middles, hours.leads).demand
    actual = grid.state_at(SOUTHWEST_POOL.code, middles).demand
    return [
        ("MTLF", [f"{value:.0f}" for value in foreseen]),
        ("Averaged Actual", [f"{value:.3f}" if number < hours.past else "" for number, value in enumerate(actual)]),
    ]


def _forecast_resource_columns(grid: Grid, hours: ForecastFile) -> Sequence[tuple[str, Sequence[str]]]:
    middles = find_middles(hours.starts, WHOLE_HOUR)
    foreseen = grid.state_at(SOUTHWEST_POOL.code, middles, hours.leads).generation
    actual = grid.state_at(SOUTHWEST_POOL.code, middles).generation
    columns = []
    for fuel in ("wind", "solar"):
        past = [f"{value:.2f}" if number < hours.past else "" for number, value in enumerate(actual[fuel])]
        columns += [(f"{fuel.title()} Forecast MW", [f"{value:.2f}" for value in foreseen[fuel]])]
        columns += [(f"{fuel.title()} Actual MW", past)]
    return columns


def _write_forecast(columns: ForecastColumns) -> Callable[[Question, str, str], str | None]:
    def write(question: Question, name: str, second_pass: str) -> str | None:
        published = _read_moment(name, bool(second_pass))
        if published > question.now:
            return None
        hours = list_forecast_hours(published)
        named_columns = columns(question.grid, hours)
        baa = [("BAA", ["SPP"] * len(hours.starts))] if _read_day(name[:8]) >= BAA_COLUMN_FROM else []
        local, gmt = _write_ends(hours.starts, WHOLE_HOUR)
        table = [("Interval", local), ("GMTIntervalEnd", gmt), *baa, *named_columns]
        return write_csv_lines([title for title, _ in table], zip(*(cells for _, cells in table), strict=True))

    return write


def _write_short_term_load(question: Question, name: str, second_pass: str) -> str | None:
    """Ten minutes back and ten ahead; the time in GMT is called `GMTInterval` here."""
    published = _read_moment(name, bool(second_pass))
    if published > question.now:
        return None
    starts = to_times([published + number * FIVE_MINUTES for number in range(-2, 2)])
    middles = find_middles(starts, FIVE_MINUTES)
    leads = np.maximum((middles - to_times([published])) / np.timedelta64(WHOLE_HOUR), 0)
    foreseen = question.grid.state_at(SOUTHWEST_POOL.code, middles, leads).demand
    actual = question.grid.state_at(SOUTHWEST_POOL.code, middles).demand
    rows = [
        (local, gmt, f"{foreseen[number]:.0f}", f"{actual[number]:.3f}" if number < 2 else "")
        for number, (local, gmt) in enumerate(zip(*_write_ends(starts, FIVE_MINUTES), strict=True))
    ]
    return write_csv_lines(("Interval", "GMTInterval", "STLF", "Actual"), rows)


def _write_mix(question: Question, starts: Times, combined: bool) -> str:
    """The generation mix; fuels are divided into market and self-scheduled ones unless they are `combined`."""
    state = question.grid.state_at(SOUTHWEST_POOL.code, find_middles(starts, FIVE_MINUTES))
    columns: dict[str, list[float]] = {}
    for fuel, output in mix_fuels(state, SPP_FUELS).items():
        rounded = np.round(output, 1)
        if combined:
            columns[fuel] = rounded.tolist()
        elif fuel != "Energy Storage":
            market = np.round(0.7 * rounded, 1)
            columns[f"{fuel} Market"] = market.tolist()
            columns[f"{fuel} Self".replace("Natural Gas Self", "Gas Self")] = np.round(rounded - market, 1).tolist()
    columns["Load"] = np.round(state.demand, 3).tolist()
    ends = (starts + np.timedelta64(FIVE_MINUTES)).astype("datetime64[s]")
    stamps = [f"{text}Z" for text in np.datetime_as_string(ends, unit="s").tolist()]
    baa = ("SPP",) if combined else ()
    rows: Iterator[Sequence[str]] = (
        (stamp, *baa, *map(str, numbers)) for stamp, *numbers in zip(stamps, *columns.values(), strict=True)
    )
    return write_csv_lines(("GMT MKT Interval", *(("BAA",) if combined else ()), *columns), rows)


def _write_recent_mix(question: Question, span: str) -> str:
    length = timedelta(hours=2) if span == "2Hour" else timedelta(days=365)
    starts = list_interval_starts(question.now - length, question.now, FIVE_MINUTES)
    return _write_mix(question, cut_after(starts, question.now - FIVE_MINUTES), combined=True)


def _write_yearly_mix(question: Question, year: str) -> str | None:
    first = local_day(date(int(year), 1, 1), POOL_CLOCK).start
    last = local_day(date(int(year), 12, 31), POOL_CLOCK).end
    starts = cut_after(list_interval_starts(first, last, FIVE_MINUTES), question.now - FIVE_MINUTES)
    return _write_mix(question, starts, combined=False) if len(starts) else None


FILES_BY_FOLDER: dict[str, Sequence[tuple[str, Callable[..., str | None]]]] = {
    "da-lmp-by-settlement-location": [
        (r"/\d{4}/\d\d/By_Day/DA-LMP-SL-(\d{8})0100\.csv", _write_day_ahead_prices),
    ],
    "rtbm-lmp-by-location": [
        (r"/\d{4}/\d\d/By_Interval/\d\d/RTBM-LMP-SL-(\d{12})(d?)\.csv", _write_interval),
        (r"/\d{4}/\d\d/By_Day/RTBM-LMP-DAILY-SL-(\d{8})\.csv", _write_day_of_intervals),
        (r"/RTBM-LMP-SL-latestInterval\.csv", _write_latest_interval),
    ],
    "hourly-load": [(r"/\d{4}/DAILY_HOURLY_LOAD-(\d{8})\.csv", _write_hourly_load)],
    "mtlf-vs-actual": [
        (r"/\d{4}/\d\d/\d\d/OP-MTLF-(\d{10}00)(d?)\.csv", _write_forecast(_forecast_load_columns)),
    ],
    "stlf-vs-actual": [(r"/\d{4}/\d\d/\d\d/\d\d/OP-STLF-(\d{12})(d?)\.csv", _write_short_term_load)],
    "midterm-resource-forecast": [
        (r"/\d{4}/\d\d/\d\d/OP-MTRF-(\d{10}00)(d?)\.csv", _write_forecast(_forecast_resource_columns)),
    ],
    "generation-mix-historical": [
        (r"/SPP/GenMix(2Hour|365)_SPP\.csv", _write_recent_mix),
        (r"/GenMix_(\d{4})\.csv", _write_yearly_mix),
    ],
}
"""The files of each folder: a pattern of their paths, and the function that writes one."""
