"""Chunks: how missing periods are divided into collections."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.periods import Period, missing
from gridtide.sources.registry import get_source, split_into_chunks

ISO_NE = "https://webservices.iso-ne.com/api/v1.1/hourlysysload/current"
EIA = "https://api.eia.gov/v2/electricity/rto/region-data/data/"
CAISO = "https://oasis.caiso.com/oasisapi/SingleZip?queryname=SLD_FCST&market_run_id=ACTUAL"
ARCHIVE = "https://archive-api.open-meteo.com/v1/archive?latitude=42.36&longitude=-71.06&hourly=temperature_2m"
DAILY = "http://localhost/load/{start:%Y%m%d}"
DAY = timedelta(days=1)


def an_entry(url: str, **keys: Any) -> Entry:
    """An entry with `url`."""
    return parse({"apis": [{"name": "a", "url": url, "output_folder": "a", **keys}]}).apis[0]


def a_period(start: str, end: str) -> Period:
    """The period between two times in UTC."""
    return Period(*(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end)))


HALF_A_YEAR = a_period("2024-01-01", "2024-07-01")


def asked(entry: Entry, chunks: list[Period]) -> Counter[str]:
    """How often each URL is requested for `chunks`."""
    return Counter(request.url for chunk in chunks for request in get_source(entry.source).build_requests(entry, chunk))


@pytest.mark.parametrize(
    ("entry", "days"),
    [
        (an_entry(ISO_NE), 183),
        (an_entry(ISO_NE, chunk="P7D"), 183),
        (an_entry(ISO_NE, chunk="PT6H"), 183),
        (an_entry(DAILY, timezone="Asia/Kolkata", chunk="P7D"), 183),
        (an_entry(DAILY, chunk="PT36H"), 182),
    ],
)
def test_each_day_is_asked_once(entry: Entry, days: int) -> None:
    """If the upstream answers by local day, each day is requested once, and no hour is lost or doubled."""
    chunks = split_into_chunks(entry, HALF_A_YEAR)
    found = asked(entry, chunks)
    assert (len(found), set(found.values())) == (days, {1})
    assert [chunk.start for chunk in chunks] == [HALF_A_YEAR.start, *(chunk.end for chunk in chunks[:-1])]
    assert chunks[-1].end == HALF_A_YEAR.end


def test_a_day_of_the_clock_change_is_one_chunk() -> None:
    """A day of 23 or 25 hours in New York is one chunk."""
    entry = an_entry(ISO_NE, chunk="P1D")
    assert split_into_chunks(entry, a_period("2024-03-10T05:00", "2024-03-12T04:00")) == [
        a_period("2024-03-10T05:00", "2024-03-11T04:00"),
        a_period("2024-03-11T04:00", "2024-03-12T04:00"),
    ]
    assert split_into_chunks(entry, a_period("2024-11-03T04:00", "2024-11-04T05:00")) == [
        a_period("2024-11-03T04:00", "2024-11-04T05:00")
    ]


def test_what_was_cut_elsewhere_stays_held() -> None:
    """With files that end at UTC midnights, only the days in which they end are requested again."""
    entry = an_entry(ISO_NE)
    held = [a_period("2024-01-01", "2024-01-31"), a_period("2024-03-01", "2024-05-30")]
    holes = missing(HALF_A_YEAR, held)
    chunks = [chunk for hole in holes for chunk in split_into_chunks(entry, hole)]
    assert missing(HALF_A_YEAR, [*held, *chunks]) == []
    assert sum((chunk.duration for chunk in chunks), timedelta()) == 62 * DAY
    assert set(asked(entry, chunks).values()) == {1}


def test_the_archive_of_weather_is_cut_between_days_of_utc() -> None:
    """Chunks of the weather archive end at UTC midnights, so that no day is requested twice."""
    chunks = split_into_chunks(an_entry(ARCHIVE), a_period("2022-01-01T12:00", "2024-06-01T00:00"))
    assert chunks == [
        a_period("2022-01-01T12:00", "2023-01-01"),
        a_period("2023-01-01", "2024-01-01"),
        a_period("2024-01-01", "2024-06-01"),
    ]


@pytest.mark.parametrize(
    "url", [EIA, CAISO, "http://localhost/load?from={start}&to={end}"], ids=["eia", "caiso", "generic"]
)
def test_who_answers_any_period_is_asked_from_where_it_begins(url: str) -> None:
    """If the upstream answers any period, chunks start with the missing period, in steps of `chunk`."""
    chunks = split_into_chunks(an_entry(url, chunk="PT36H"), a_period("2024-03-09T12:00", "2024-03-12T12:00"))
    assert chunks == [
        a_period("2024-03-09T12:00", "2024-03-11T00:00"),
        a_period("2024-03-11T00:00", "2024-03-12T12:00"),
    ]


@pytest.mark.parametrize(
    ("per", "chunk", "files", "chunks"),
    [("month", "P7D", 7, 7), ("month", "P62D", 7, 4), ("year", "P7D", 2, 2), ("month", "P3650D", 7, 2)],
)
def test_each_file_of_a_month_or_year_is_asked_once(per: str, chunk: str, files: int, chunks: int) -> None:
    """However short a chunk is; chunks of several months end where the same months always do."""
    form = "%Y-%m" if per == "month" else "%Y"
    entry = an_entry(f"http://localhost/{{start:{form}}}.csv", per=per, chunk=chunk, timezone="Europe/Berlin")
    period = a_period("2023-12-10T05:00", "2024-06-20T07:00")
    pieces = split_into_chunks(entry, period)
    requested = asked(entry, pieces)
    assert (len(requested), set(requested.values()), len(pieces)) == (files, {1}, chunks)
    assert (pieces[0].start, pieces[-1].end, missing(period, pieces)) == (period.start, period.end, [])
