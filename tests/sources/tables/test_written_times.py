"""Times as tables write them: with the abbreviation of a zone, the letter of a pass, or in several ways; the messages
propose keys that read them."""

from __future__ import annotations

import io
import json
import re
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gridtide.config.loading import parse
from gridtide.errors import FormatError
from gridtide.sources import generic
from gridtide.sources.contract import Page, Request, Response

AT = datetime(2026, 2, 1, tzinfo=UTC)
BEGIN = datetime(2025, 10, 25, 23, tzinfo=UTC)
"""01:00 in Berlin, two hours before the clock is set back from 03:00 to 02:00."""

FOUR_HOURS = [BEGIN + timedelta(hours=hour) for hour in range(4)]


def read(body: bytes, **keys: Any) -> Page:
    """The page of `body`, with times in Berlin."""
    base = {"name": "load", "url": "https://grid.example/load", "output_folder": "load", "source": "generic"}
    base |= {"timezone": "Europe/Berlin", "interval": "PT1H"}
    entry = parse({"apis": [base | keys]}).apis[0]
    return generic.parse_response(entry, Request(entry.url), Response(body, AT))


def read_as_proposed(body: bytes, **keys: Any) -> tuple[dict[str, Any], Page]:
    """The keys that a message proposes, the first of alternatives, and the page of `body` read with them."""
    with pytest.raises(FormatError) as refused:
        read(body, **keys)
    proposal = re.split(r' or "|; or, ', refused.value.fix)[0]
    found: dict[str, Any] = {}
    for match in re.finditer(r'"(\w+)": ', proposal):
        found.setdefault(match[1], json.JSONDecoder().raw_decode(proposal, match.end())[0])
    return found, read(body, **(keys | found))


def write_csv(times: list[str], head: str = "time") -> bytes:
    """A CSV of `times`, with numbers from 0."""
    return "".join([f"{head},mw\n", *(f"{time},{number}\n" for number, time in enumerate(times))]).encode()


@pytest.mark.parametrize(
    ("texts", "time_format"),
    [
        (["2025-10-26 {} CEST"] * 2 + ["2025-10-26 {} CET"] * 2, "%Y-%m-%d %H:%M %Z"),
        (["2025-10-26T{} CEST"] * 2 + ["2025-10-26T{} CET"] * 2, "%Y-%m-%dT%H:%M %Z"),
        (["26.10.2025 {}MESZ"] * 2 + ["26.10.2025 {} (MEZ)"] * 2, "%d.%m.%Y %H:%M %Z"),
        (["Sun Oct 26 {}:00 CEST 2025"] * 2 + ["Sun Oct 26 {}:00 CET 2025"] * 2, "%a %b %d %H:%M:%S %Z %Y"),
    ],
)
@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_the_abbreviation_of_a_zone_says_which_time_it_is(texts: list[str], time_format: str, zone: str) -> None:
    """Whatever the entry's own zone is, also where an hour comes twice."""
    times = [text.format(hour) for text, hour in zip(texts, ["01:00", "02:00", "02:00", "03:00"], strict=True)]
    proposal, page = read_as_proposed(write_csv(times), time="time", timezone=zone)
    assert proposal == {"time_format": time_format}
    assert page.observations["interval_start"].to_pylist() == FOUR_HOURS


def test_an_abbreviation_that_means_nothing_is_no_zone() -> None:
    """Nor is a text with two, or with none."""
    for text in ("2025-10-26 01:00 XYZ", "2025-10-26 01:00 CET CEST", "2025-10-26 01:00"):
        with pytest.raises(FormatError, match="not a valid time of the format"):
            read(write_csv([text]), time="time", time_format="%Y-%m-%d %H:%M %Z")


@pytest.mark.parametrize(
    ("times", "keys"),
    [
        (["2025-10-26 01:00", "2025-10-26 02:00A", "2025-10-26 02:00B", "2025-10-26 03:00"], {}),
        (["2025-10-26 01:00", "2025-10-26 02A:00", "2025-10-26 02B:00", "2025-10-26 03:00"], {}),
        (["2025-10-26 03:00", "2025-10-26 02:00 b", "2025-10-26 02:00 a", "2025-10-26 01:00"], {}),
        (["26.10.2025 1", "26.10.2025 2A", "26.10.2025 2B", "26.10.2025 3"], {"time_format": "%d.%m.%Y %H"}),
        (
            ["26.10.2025 2", "26.10.2025 3A", "26.10.2025 3B", "26.10.2025 4"],
            {"time_format": "%d.%m.%Y %H", "label": "end"},
        ),
    ],
)
def test_a_letter_says_which_pass_of_its_hour_a_time_is_of(times: list[str], keys: dict[str, Any]) -> None:
    """In whatever order the rows are."""
    assert sorted(read(write_csv(times), time="time", **keys).observations["interval_start"].to_pylist()) == FOUR_HOURS


def test_letters_at_other_hours_are_refused() -> None:
    """Labels that are ends have the letters at the hour behind; one letter without the other tells no order."""
    times = ["26.10.2025 1", "26.10.2025 2", "26.10.2025 3A", "26.10.2025 3B", "26.10.2025 4"]
    proposal, page = read_as_proposed(write_csv(times), time="time", time_format="%d.%m.%Y %H")
    assert proposal["label"] == "end"
    assert page.observations["interval_start"].to_pylist() == [BEGIN - timedelta(hours=1), *FOUR_HOURS]
    with pytest.raises(FormatError, match="comes twice"):
        read(write_csv(["2025-10-26 01:00", "2025-10-26 02:00A", "2025-10-26 03:00"]), time="time")
    with pytest.raises(FormatError, match="not a valid"):
        read(write_csv(["2025-10-26 12:00A"]), time="time")


@pytest.mark.parametrize(
    "times",
    [
        ["2026-01-10 00:00", "31.01.2026 01:00", "2026-01-10 02:00"],
        ["2026-01-10 00:00", "2026-01-10 01:00", "01/31/2026 02:00"],
        ["31.01.2026", "31.01.2026 01:00"],
        ["2026-01-10T00:00:00", "31.01.2026 01:00"],
    ],
)
def test_times_that_are_written_in_two_ways_are_all_read(times: list[str]) -> None:
    """No message proposes to leave out records at an end of the table."""
    proposal, page = read_as_proposed(write_csv(times), time="time")
    assert list(proposal) == ["time_format"]
    assert page.observations.num_rows == len(times)


def test_a_last_line_that_is_no_time_may_be_left_out() -> None:
    """As a total; one that begins as a time does may be a record, of a format that nobody knows."""
    proposal, page = read_as_proposed(write_csv(["2026-01-10 00:00", "Total"]), time="time")
    assert (proposal, page.record_count) == ({"footer": 1}, 1)
    with pytest.raises(FormatError, match='Name the format with "time_format"'):
        read(write_csv(["2026-01-10 00:00", "2026-01-10/00h15"]), time="time")


@pytest.mark.parametrize(
    ("texts", "time_format"),
    [
        (["2025-10-25 {}-05", "2025-10-25 {}-06"], "%Y-%m-%d %H*"),
        (["2025-10-25 {}:00-05:00", "2025-10-25 {}:00-06:00"], "%Y-%m-%d %H:%M*"),
        (["20251025 {}00-0500", "20251025 {}00-0600"], "%Y%m%d %H%M*"),
        (["2025-10-25-{}-00", "2025-10-25-{}-00"], "%Y-%m-%d-%H-%M"),
    ],
)
def test_two_times_with_a_minus_are_no_time_with_an_offset(texts: list[str], time_format: str) -> None:
    """Python reads 04:00-05:00 as a time in a zone five hours behind UTC, which was stored ten hours away."""
    times = [text.format(f"{hour:02}") for hour, text in enumerate(texts, 4)]
    proposal, page = read_as_proposed(write_csv(times), time="time")
    assert proposal == {"time_format": time_format}
    assert [start.hour for start in page.observations["interval_start"].to_pylist()] == [2, 3]


def test_times_with_an_offset_stay_such() -> None:
    """However many offsets, hours and days there are."""
    times = ["2026-01-10 00:00-05:00", "2026-01-10 01:00-05:00", "2026-01-10T0100-0600"]
    starts = read(write_csv(times), time="time", conflict="first").observations["interval_start"].to_pylist()
    assert [start.hour for start in starts] == [5, 6, 7]
    days = ["2026-01-10 00:00-05:00", "2026-01-11 00:00-05:00"]
    assert [row.hour for row in read(write_csv(days), time="time").observations["interval_start"].to_pylist()] == [5, 5]


SERIES = [
    {"zone": "A", "times": ["2026-01-10T00:00Z", "2026-01-10T01:00Z"], "mw": [1, 2]},
    {"zone": "B", "times": ["2026-01-10T01:00Z"], "mw": [3], "price": [4.5]},
    {"zone": "C", "times": [], "mw": []},
]


def test_series_with_times_of_their_own_are_read_as_columns() -> None:
    """Each with what is beside its lists; a list that some series do not have is nothing there."""
    body = msgspec.json.encode({"data": SERIES})
    keys = {"records": "data", "time": "times", "location": "zone", "value": ["mw", "price"]}
    proposal, page = read_as_proposed(body, **keys)
    assert proposal == {"layout": "columns"}
    rows = [
        (row["location"], row["interval_start"].hour, row["variable"], row["value"])
        for row in page.observations.to_pylist()
        if row["value"] is not None
    ]
    assert sorted(rows) == [("A", 0, "mw", 1.0), ("A", 1, "mw", 2.0), ("B", 1, "mw", 3.0), ("B", 1, "price", 4.5)]
    assert page.record_count == 3
    uneven = msgspec.json.encode({"data": [SERIES[0], {"zone": "D", "times": ["2026-01-10T00:00Z"], "mw": []}]})
    with pytest.raises(FormatError, match=r"element 2 of .* has no lists of one length: times has 1, mw has 0"):
        read(uneven, **keys, layout="columns")


def test_a_column_that_a_member_does_not_have_is_named_with_the_member() -> None:
    """And so is how to read members of which each has columns of its own."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name in ("load", "price"):
            archive.writestr(f"{name}.csv", f"time,{name}\n2026-01-10T00:00Z,5\n")
    with pytest.raises(FormatError, match=r'load.csv: no record has a column price.* "load \|"'):
        read(sink.getvalue(), time="time", value=["load", "price"])
    assert read(sink.getvalue(), time="time", value=["load |", "price |"]).observations.num_rows == 2


@pytest.mark.parametrize(
    "times",
    [["2026-01-10+01:00", "2026-01-11+01:00"], ["2025-10-26+02:00", "2025-10-27+01:00"], ["2026-01-10+01:00"]],
)
def test_days_with_an_offset_are_no_times(times: list[str]) -> None:
    """Python reads an offset behind a day as the time of day; the proposed format reads it as what it is."""
    proposal, page = read_as_proposed(write_csv(times), time="time", interval="P1D")
    assert proposal == {"time_format": "%Y-%m-%d%z"}
    starts = [datetime.fromisoformat(f"{time[:10]}T00:00{time[10:]}") for time in times]
    assert page.observations["interval_start"].to_pylist() == starts


def test_a_minus_behind_a_day_may_be_before_an_offset_or_a_time() -> None:
    """Days that have one each may have an offset, and both formats are proposed; several hours of a day are times."""
    with pytest.raises(FormatError, match=r'"%Y-%m-%d-%H:%M" or "time_format": "%Y-%m-%d%z"'):
        read(write_csv(["2026-01-10-05:00", "2026-01-11-05:00"]), time="time")
    hours = [f"2026-01-{day}-{hour:02}:00" for day in (10, 11) for hour in range(24)]
    assert read(write_csv(hours), time="time").observations.num_rows == 48
    assert read(write_csv(hours[:1]), time="time").observations.num_rows == 1


@pytest.mark.parametrize(
    ("texts", "time_format"),
    [
        (["2026-01-10 {}.00", "2026-01-10 {}.30"], "%Y-%m-%d %H.%M"),
        (["10.01.2026 {}.00", "10.01.2026 {}.30"], "%d.%m.%Y %H.%M"),
    ],
)
def test_a_point_between_hour_and_minute_is_no_part_of_a_second(texts: list[str], time_format: str) -> None:
    """Python reads 01.30 as 01:00 and a part of a second, which lost the half hour."""
    times = [text.format("01") for text in texts]
    proposal, page = read_as_proposed(write_csv(times), time="time", interval="PT30M", timezone="UTC")
    assert proposal == {"time_format": time_format}
    assert [start.strftime("%H:%M") for start in page.observations["interval_start"].to_pylist()] == ["01:00", "01:30"]


def test_decimals_are_of_a_second() -> None:
    """Parts of an hour or a minute are refused, as Python takes them for parts of a second."""
    for text in ("2026-01-10T01.5", "2026-01-10T01:30.5Z", '"20260110T0130,5"'):
        with pytest.raises(FormatError, match="not a valid ISO 8601 time"):
            read(write_csv([text]), time="time")
    starts = read(write_csv(["2026-01-10T01:30:15.5Z", "20260110T023015.5Z"]), time="time").observations
    assert [start.microsecond for start in starts["interval_start"].to_pylist()] == [500_000, 500_000]


def test_numbers_that_are_no_times_are_not_proposed_as_such() -> None:
    """Neither seconds nor milliseconds lead from microseconds since 1970 into these centuries."""
    with pytest.raises(FormatError, match='Name the format with "time_format"'):
        read(write_csv(["1768003200000000"]), time="time")


def test_a_day_and_a_time_of_day_in_two_columns_are_proposed_together() -> None:
    """The day alone would be read, and all of its records would be of one time."""
    body = b"DATE,TIME,mw\n2026/1/10,0:00,1\n2026/1/10,0:30,2\n"
    proposal, page = read_as_proposed(body, interval="PT30M", timezone="UTC")
    assert proposal == {"time": ["DATE", "TIME"], "time_format": "%Y/%m/%d %H:%M"}
    assert [start.minute for start in page.observations["interval_start"].to_pylist()] == [0, 30]
