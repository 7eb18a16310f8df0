"""CAISO's outlook: five-minute CSVs by local day, with the days on which the clocks change."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gridtide.collect import collect
from gridtide.config.loading import parse as parse_config
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, FormatError, UpstreamError
from gridtide.http.client import Http
from gridtide.lake import Lake
from gridtide.observations.availability import available_at, find_due_end
from gridtide.periods import Period, floor, local_day, microseconds
from gridtide.sources import caiso
from gridtide.sources.contract import Page, Response
from tests.support.shared import SHARED

ZONE = ZoneInfo("America/Los_Angeles")
AT = datetime(2026, 8, 1, tzinfo=UTC)
STEP = timedelta(minutes=5)


def entry(report: str = "fuelsource", **keys: Any) -> Entry:
    """The entry of a report."""
    url = f"https://www.caiso.com/outlook/history/{report}.csv"
    return parse_config(
        {"apis": [{"name": "outlook", "source": "caiso", "url": url, "output_folder": "outlook", **keys}]}
    ).apis[0]


def read(body: str | bytes, day: date, report: str = "fuelsource", **keys: Any) -> Page:
    """The file of `day`."""
    made = entry(report, **keys)
    [request] = caiso.build_requests(made, local_day(day, ZONE))
    return caiso.parse_response(made, request, Response(body if isinstance(body, bytes) else body.encode(), AT))


def stored(page: Page) -> list[tuple[str, str, float | None]]:
    """The starts (UTC), variables and values."""
    rows = page.observations.to_pylist()
    return [(f"{row['interval_start']:%m-%d %H:%M}", row["variable"], row["value"]) for row in rows]


def labels(*hours: str) -> list[str]:
    """The labels of the twelve rows of each hour."""
    return [f"{hour}:{minute:02}" for hour in hours for minute in range(0, 60, 5)]


def test_the_recorded_file_equals_an_independent_reading() -> None:
    """Each of 288 rows and 13 columns of the first day of 2023, which was eight hours behind UTC."""
    body = (SHARED / "payloads" / "caiso" / "outlook_history_20230101_fuelsource.csv").read_bytes()
    page = read(body, date(2023, 1, 1))
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    names = {
        "Solar": "generation_solar",
        "Small hydro": "generation_small_hydro",
        "Batteries": "generation_batteries",
        "Imports": "imports",
    }
    for column, variable in names.items():
        values = {start: value for start, name, value in stored(page) if name == variable}
        assert list(values.values()) == [float(row[column]) for row in rows]
    assert (page.observations.num_rows, page.record_count, list(page.skipped)) == (288 * 13, 288, [])
    first = page.observations.to_pylist()[0]
    assert first["interval_start"] == datetime(2023, 1, 1, 8, tzinfo=UTC)
    assert (first["interval_end"] - first["interval_start"], first["location"], first["unit"]) == (STEP, "CAISO", "MW")


def test_a_day_is_asked_for_once_it_is_over() -> None:
    """One request for each local day of a period, and none for a day that is not over, whatever its length."""
    requests = caiso.build_requests(
        entry("co2"), Period(datetime(2024, 3, 9, 8, tzinfo=UTC), datetime(2024, 3, 12, 7, tzinfo=UTC))
    )
    assert [request.url for request in requests] == [
        f"https://www.caiso.com/outlook/history/202403{day:02}/co2.csv" for day in (9, 10, 11)
    ]
    assert requests[1].period == local_day(date(2024, 3, 10), ZONE)
    for now in (
        datetime(2024, month, 1, tzinfo=UTC) + n * timedelta(minutes=30) for month in (3, 11) for n in range(800)
    ):
        last = find_due_end(entry(), now) - timedelta(microseconds=1)
        assert last.astimezone(ZONE).date() < now.astimezone(ZONE).date()


def test_the_skipped_hour_is_listed_without_values_and_counted() -> None:
    """The rows of 02:00 to 02:55 in spring are no observations; the hours around them touch."""
    lines = [f"{label},{'' if label[:2] == '02' else 7}" for label in labels("01", "02", "03")]
    page = read("\n".join(["Time,Solar", *lines]) + "\n", date(2019, 3, 10))
    starts = [start for start, _, _ in stored(page)]
    assert starts == [f"03-10 {hour:02}:{minute:02}" for hour in (9, 10) for minute in range(0, 60, 5)]
    assert [(item.count, item.example) for item in page.skipped] == [(12, "row 13: 02:00")]
    with pytest.raises(FormatError, match="row 1: 02:00 does not exist on this day"):
        read("Time,Solar\n02:00,7\n", date(2019, 3, 10))


def test_the_hour_that_comes_twice_is_stored_as_the_entry_says() -> None:
    """Listed once in autumn it is counted, or one of both hours by `ambiguous`; listed twice it is both in order."""
    body = "Time,Solar\n" + "".join(f"{label},7\n" for label in labels("00", "01", "02"))
    page = read(body, date(2019, 11, 3))
    assert [start[6:8] for start, _, _ in stored(page)] == ["07"] * 12 + ["10"] * 12
    assert [item.count for item in page.skipped] == [12]
    for choice, hour in (("first", "08"), ("second", "09")):
        page = read(body, date(2019, 11, 3), ambiguous=choice)
        assert [start[6:8] for start, _, _ in stored(page)] == ["07"] * 12 + [hour] * 12 + ["10"] * 12
    twice = "Time,Solar\n" + "".join(f"{label},7\n" for label in labels("00", "01", "01", "02"))
    page = read(twice, date(2019, 11, 3))
    assert [start[6:8] for start, _, _ in stored(page)] == [
        hour for hour in ("07", "08", "09", "10") for _ in range(12)
    ]
    assert list(page.skipped) == []


def test_the_next_midnight_belongs_to_the_next_day() -> None:
    """A last row of 00:00 is counted, and does not stand beside the first."""
    page = read(
        "Time,Hour ahead forecast,Current demand\n00:00,5,6\n23:55,7,8\n00:00,9,\n", date(2019, 3, 11), "netdemand"
    )
    assert stored(page) == [
        ("03-11 07:00", "demand_forecast_hour_ahead", 5.0),
        ("03-12 06:55", "demand_forecast_hour_ahead", 7.0),
        ("03-11 07:00", "demand", 6.0),
        ("03-12 06:55", "demand", 8.0),
    ]
    assert [item.count for item in page.skipped] == [1]


def test_cells_are_values_nulls_or_counted() -> None:
    """An empty cell is a null; what is not a number and what stands in unknown columns of demand is counted."""
    page = read("Time,Net demand,Weather\n00:00,,1\n00:05,many,2\n00:10,3,4\n", date(2024, 1, 1), "netdemand")
    assert stored(page) == [("01-01 08:00", "net_demand", None), ("01-01 08:10", "net_demand", 3.0)]
    assert [(item.reason, item.count, item.example) for item in page.skipped] == [
        ("columns that are not read", 3, "Weather in row 1"),
        ("not a number", 1, "Net demand in row 2, 00:05: 'many'"),
    ]


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        ("<!DOCTYPE html><html></html>", UpstreamError, "web page"),
        ("Time,Solar,Wind\n00:00,1,2\n00:05,1", UpstreamError, "cut in row 2"),
        ("A,B\n1,2\n", FormatError, "the columns A, B are not those of a report"),
        ("Time,Solar\nnoon,2\n", FormatError, "row 1: 'noon' is not a time"),
        ("Time,Solar,solar\n00:00,1,2\n", FormatError, "'Solar', 'solar' are one variable, generation_solar"),
        ("Time,Solar\n00:00,many\n", FormatError, "no value is a number, the first is Solar in row 1, 00:00: 'many'"),
    ],
)
def test_what_is_no_report_is_refused(body: str, error: type[Exception], says: str) -> None:
    """With what it holds; what may be better the next time is an upstream error."""
    with pytest.raises(error, match=says):
        read(body, date(2024, 1, 1))


def test_a_url_of_another_report_is_refused_with_one_that_is_read() -> None:
    """Before anything is asked."""
    with pytest.raises(ConfigurationError, match=r"use https://www\.caiso\.com/outlook/history/fuelsource\.csv"):
        entry("storage")


def test_a_forecast_for_days_ahead_is_asked_as_far_as_it_reaches() -> None:
    """The seven-day forecast is due to the end of the seventh day and known seven days before; a run asks for all that
    was issued anew."""
    url = "http://oasis.caiso.com/oasisapi/SingleZip"
    for market, days in (("DAM", 1), ("2DA", 2), ("7DA", 7)):
        params = {"queryname": "SLD_FCST", "market_run_id": market}
        made = parse_config({"apis": [{"name": "load", "url": url, "params": params, "output_folder": "load"}]}).apis[0]
        now = datetime(2025, 2, 21, 22, tzinfo=UTC)  # 14:00 in California
        end = datetime(2025, 2, 22, 8, tzinfo=UTC) + timedelta(days=days)
        assert find_due_end(made, now) == end
        assert made.reread >= timedelta(days=days + 1)
        start = microseconds(datetime(2025, 2, 24, 8, tzinfo=UTC))
        hour = np.array([start + 5 * 3_600_000_000], np.int64)
        [known] = available_at(made.available, hour, hour + 3_600_000_000)
        assert known == microseconds(datetime(2025, 2, 24, 21, tzinfo=UTC) - timedelta(days=days))


def test_each_issue_of_a_forecast_for_days_ahead_is_a_vintage() -> None:
    """Values of hours to come were issued at the latest opening; those of hours that had come say nothing."""
    url = "http://oasis.caiso.com/oasisapi/SingleZip"
    params = {"queryname": "SLD_FCST", "market_run_id": "7DA"}
    made = parse_config({"apis": [{"name": "load", "url": url, "params": params, "output_folder": "load"}]}).apis[0]
    header = "INTERVALSTARTTIME_GMT,INTERVALENDTIME_GMT,MARKET_RUN_ID,TAC_AREA_NAME,MW\n"
    hours = [datetime(2025, 2, day, 20, tzinfo=UTC) for day in (21, 22, 26)]
    lines = [
        f"{hour:%Y-%m-%dT%H:%M:%S}-00:00,{hour + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}-00:00,7DA,PGE,5"
        for hour in hours
    ]
    [request] = caiso.build_requests(made, Period(hours[0], hours[-1]))
    issues = []
    for asked in (datetime(2025, 2, 21, 20, 59, tzinfo=UTC), datetime(2025, 2, 21, 21, tzinfo=UTC)):
        page = caiso.parse_response(made, request, Response((header + "\n".join(lines) + "\n").encode(), asked))
        issues.append(page.observations["published_at"].to_pylist())
    assert issues == [[None, issue, issue] for issue in (datetime(2025, 2, day, 21, tzinfo=UTC) for day in (20, 21))]


async def test_what_a_forecast_does_not_reach_stays_open(tmp_path: Path) -> None:
    """An answer that ends before the period that was asked for covers what it holds; the rest is asked for again."""
    now = floor(datetime.now(UTC), timedelta(hours=1))
    period = Period(now - timedelta(hours=2), now + timedelta(hours=5))
    header = "INTERVALSTARTTIME_GMT,INTERVALENDTIME_GMT,MARKET_RUN_ID,TAC_AREA_NAME,MW"
    hours = [period.start + number * timedelta(hours=1) for number in range(5)]
    lines = [f"{hour:{OASIS_TIME}},{hour + timedelta(hours=1):{OASIS_TIME}},7DA,PGE,5" for hour in hours]

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="\n".join([header, *lines]) + "\n")

    app = web.Application()
    app.router.add_get("/oasisapi/SingleZip", answer)
    async with TestServer(app) as server, Http({}) as http:
        api = {
            "name": "load",
            "source": "caiso",
            "url": str(server.make_url("/oasisapi/SingleZip")),
            "params": {"queryname": "SLD_FCST", "market_run_id": "7DA"},
            "output_folder": "load",
            "rate_limit": None,
        }
        [made] = parse_config({"apis": [api]}).apis
        lake = Lake.open(str(tmp_path))
        collected = await collect(made, lake=lake, http=http, stamp=datetime.now(UTC), period=period)
    reached = now + timedelta(hours=3)
    assert (collected.rows, collected.answered) == (5, (Period(period.start, reached),))
    [hole] = collected.holes
    assert (hole.period, hole.error) == (Period(reached, period.end), None)


OASIS_TIME = "%Y-%m-%dT%H:%M:%S-00:00"
