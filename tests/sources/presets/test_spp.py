"""The Southwest: ends of intervals in GMT, new columns, empty files, fuels in two parts, and recordings."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime

import pytest

from gridtide.collect.checks import settle_page
from gridtide.errors import UpstreamError
from gridtide.periods import Period
from gridtide.sources.contract import Request, Response
from gridtide.sources.registry import get_source
from gridtide.sources.tables.components import INCONSISTENT
from tests.support.presets import (
    RETRIEVED,
    entry_of,
    page_of,
    read_product,
    recording,
    requests_of,
    stored_of,
    used_skipped,
)

HEADER = "Interval,GMTIntervalEnd,Settlement Location,Pnode,LMP,MLC,MCC,MEC\n"


def test_times_are_the_ends_of_intervals_in_gmt() -> None:
    """02:00 stands twice on the autumn day and is told apart by GMT, whatever the order of rows."""
    rows = [("02:00", "08:00", 3), ("01:00", "06:00", 1), ("02:00", "07:00", 2), ("03:00", "09:00", 4)]
    body = HEADER + "".join(
        f"11/01/2026 {local}:00,11/01/2026 {gmt}:00,A,B,{price},0,0,{price}\n" for local, gmt, price in rows
    )
    page = page_of(read_product("spp", "lmp_day_ahead", body), "lmp_day_ahead")
    assert [(f"{row['interval_start']:%H:%M}", row["value"]) for row in page] == [
        ("05:00", 1),
        ("06:00", 2),
        ("07:00", 3),
        ("08:00", 4),
    ]


def test_a_new_column_changes_nothing() -> None:
    """Columns are read by their names, so that the BAA of 2026, and any later one, does not move the others."""
    plain = HEADER + "11/01/2026 01:00:00,11/01/2026 06:00:00,A,B,-10.5,0.5,-31,20\n"
    wider = (
        HEADER.replace("Settlement", "BAA,Settlement").replace("MEC", "MEC,MGHG")
        + "11/01/2026 01:00:00,11/01/2026 06:00:00,SPP,A,B,-10.5,0.5,-31,20,0\n"
    )
    assert stored_of(read_product("spp", "lmp_day_ahead", plain)) == stored_of(
        read_product("spp", "lmp_day_ahead", wider)
    )


def test_a_price_that_is_not_the_sum_of_its_components_is_counted() -> None:
    """The record is not stored, the others are, and the count has an example with the numbers."""
    body = HEADER + "".join(
        f"11/01/2026 0{hour}:00:00,11/01/2026 0{hour + 5}:00:00,A,B,{price},1,2,20\n"
        for hour, price in ((1, 23), (2, 23.02), (3, 23.03))
    )
    page = read_product("spp", "lmp_day_ahead", body)
    assert [row["value"] for row in page_of(page, "lmp_day_ahead")] == [23, 23.02]
    assert [(item.reason, item.count, item.expected) for item in used_skipped(page)] == [(INCONSISTENT, 4, False)]
    assert used_skipped(page)[0].example == "line 4: 23.03 is not 20 + 2 + 1"


def test_a_component_that_is_missing_in_a_row_is_no_contradiction() -> None:
    """Where a component is null, the price and the other components are stored."""
    body = HEADER + "11/01/2026 01:00:00,11/01/2026 06:00:00,A,B,23,,2,20\n"
    stored = stored_of(read_product("spp", "lmp_day_ahead", body))
    assert stored["2026-11-01T05:00Z", "A", "lmp_day_ahead"] == 23
    assert stored["2026-11-01T05:00Z", "A", "lmp_day_ahead_loss"] is None


def test_an_empty_file_is_an_answer_without_rows() -> None:
    """The upstream's empty body is declared as such; the parser itself never takes it for a table."""
    assert entry_of("spp", "lmp_five_minute").absent == ("empty",)
    with pytest.raises(UpstreamError, match="the body is empty"):
        read_product("spp", "lmp_five_minute", recording("spp/RTBM-LMP-SL-202503310845.csv"))
    assert read_product("spp", "lmp_day_ahead", HEADER).observations.num_rows == 0


def test_fuels_in_two_parts_are_added_up() -> None:
    """Self-scheduled and market generation make one variable per fuel, as in the files that have them together."""
    parts = "Coal Market,Coal Self,Natural Gas Market,Gas Self,Diesel Fuel Oil Market,Diesel Fuel Oil Self"
    divided = f"GMT MKT Interval,{parts},Load\n2026-01-10T00:05:00Z,100.5,20,7,3,0,1,31000\n"
    header = "GMT MKT Interval,BAA,Coal,Natural Gas,Diesel Fuel Oil,Average Actual Load"
    together = f"{header}\n2026-01-10T00:05:00Z,SPP,120.5,10,1,31000\n"
    expected = {
        ("2026-01-10T00:00Z", "SPP", "generation_coal"): 120.5,
        ("2026-01-10T00:00Z", "SPP", "generation_natural_gas"): 10,
        ("2026-01-10T00:00Z", "SPP", "generation_petroleum"): 1,
    }
    assert stored_of(read_product("spp", "generation", divided)) == expected
    lacking = divided.replace("Coal Self", "Coal Other").replace("Gas Self", "Gas Market Self")
    page = read_product("spp", "generation", lacking)
    assert "generation_coal" not in {variable for _, _, variable in stored_of(page)}
    assert stored_of(read_product("spp", "generation", together)) == expected


def test_forecasts_are_vintages_of_the_morning() -> None:
    """The file of 09:00 counts as published ten minutes later; the time in GMT has either of its names."""
    period = Period(datetime(2026, 1, 10, 6, tzinfo=UTC), datetime(2026, 1, 11, 6, tzinfo=UTC))
    for name in ("GMTIntervalEnd", "GMTInterval"):
        body = f"Interval,{name},MTLF,Averaged Actual\n01/10/2026 10:00:00,01/10/2026 16:00:00,30000,\n"
        (row,) = read_product("spp", "load_forecast", body, period=period).observations.to_pylist()
        assert (row["location"], row["value"], row["published_at"]) == (
            "SPP",
            30000,
            datetime(2026, 1, 10, 15, 10, tzinfo=UTC),
        )
    (asked,) = requests_of("spp", "load_forecast", period.start, period.end)
    assert dict(asked.params) == {"path": "/2026/01/10/OP-MTLF-202601100900.csv"}


def test_both_layouts_of_the_hourly_load_are_read() -> None:
    """A column for each control zone until March 2026, a record for each since."""
    wide = "MarketHour, CSWS, EDE\n01/10/2026 07:00:00,3500.5,600\n"
    header = "Market Hour,Balancing Area Name,Control Zone Name,Forecast Area Type,Load MW"
    long = f"{header}\n1/10/2026 7:00,SPP,CSWS,CF,3500.5\n1/10/2026 7:00,SPP,EDE,CF,600\n"
    expected = {("2026-01-10T06:00Z", "CSWS", "load"): 3500.5, ("2026-01-10T06:00Z", "EDE", "load"): 600}
    assert stored_of(read_product("spp", "load", wide)) == expected
    assert stored_of(read_product("spp", "load", long)) == expected


def test_conforming_and_other_load_of_a_zone_are_added_up() -> None:
    """Seven zones have a record of each kind, as one number in older files; a part without a number is no sum, nor is
    one that stands twice."""
    header = "Market Hour,Balancing Area Name,Control Zone Name,Forecast Area Type,Load MW\n"
    rows = ["KCPL,CF,3000.5", "KCPL,NC,100.25", "SPS,CF,5000", "LES,CF,500", "LES,NC,"]
    page = read_product("spp", "load", header + "".join(f"4/1/2026 6:00,SPP,{row}\n" for row in rows))
    assert stored_of(page) == {
        ("2026-04-01T05:00Z", "KCPL", "load"): 3100.75,
        ("2026-04-01T05:00Z", "SPS", "load"): 5000,
        ("2026-04-01T05:00Z", "LES", "load"): None,
    }
    twice = header + "".join(f"4/1/2026 6:00,SPP,KCPL,CF,{load}\n" for load in (3000, 3000))
    page = read_product("spp", "load", twice)
    assert [row["value"] for row in page.observations.to_pylist()] == [None]
    assert [(item.reason, item.count) for item in used_skipped(page)] == [("sums of which a part stands twice", 1)]


@pytest.mark.parametrize(
    ("stamp", "start"),
    [
        ("12/2/2016", "2016-12-01T23:00Z"),
        ("12/2/2016 06:00:00", "2016-12-02T05:00Z"),
        ("1/1/11 7:00", "2011-01-01T06:00Z"),
        ("3/8/2026 8:00", "2026-03-08T07:00Z"),
    ],
)
def test_hours_of_the_load_are_written_in_several_ways(stamp: str, start: str) -> None:
    """Years of two digits, hours without seconds, and midnights without an hour, all of them ends in GMT."""
    page = read_product("spp", "load", f"MarketHour, CSWS, EDE\n{stamp},3500.5,600\n,,\n")
    assert stored_of(page) == {(start, "CSWS", "load"): 3500.5, (start, "EDE", "load"): 600}


def test_the_file_of_a_day_has_other_names_than_that_of_an_interval() -> None:
    """`GMT Interval`, `Settlement Location Name` and `PNODE Name` are the columns of every other file."""
    body = (
        "Interval, GMT Interval, Settlement Location Name, PNODE Name, LMP, MLC, MCC, MEC\n"
        "11/02/2025 00:05:00,11/02/2025 05:05:00,AEC,SOUC,-10.5,0.5,-31,20\n"
    )
    stored = stored_of(read_product("spp", "lmp_five_minute", body))
    assert stored["2025-11-02T05:00Z", "AEC", "lmp_five_minute"] == -10.5
    assert len(stored) == 4


def test_the_load_of_an_area_comes_from_the_file_of_the_next_midnight() -> None:
    """What was measured in the day before is the load of the balancing area; hours to come are none."""
    (day,) = requests_of("spp", "load_system", datetime(2025, 11, 1, 5), datetime(2025, 11, 2, 5))
    assert dict(day.params) == {"path": "/2025/11/02/OP-MTLF-202511020000.csv"}
    body = (
        "Interval,GMTIntervalEnd,BAA,MTLF,Averaged Actual\n11/03/2025 00:00:00,11/03/2025 06:00:00,SPP,30000,29950.5\n"
        "11/03/2025 01:00:00,11/03/2025 07:00:00,SPP,30100,\n"
    )
    assert stored_of(read_product("spp", "load_system", body)) == {("2025-11-03T05:00Z", "SPP", "load"): 29950.5}


def test_a_file_of_the_repeated_hour_is_read_by_its_time_in_gmt() -> None:
    """A file that ends in `d.csv` can be named in `params`; its second 02:00 is an hour after the first."""
    start = datetime(2025, 11, 2, 5, tzinfo=UTC)
    params = {"path": "/{start:%Y}/{start:%m}/{start:%d}/OP-MTLF-{start:%Y%m%d}0200d.csv"}
    (asked,) = requests_of("spp", "load_forecast", start, start.replace(day=3, hour=6), params=params)
    assert dict(asked.params)["path"] == "/2025/11/02/OP-MTLF-202511020200d.csv"
    body = "Interval,GMTIntervalEnd,MTLF,Averaged Actual\n" + "".join(
        f"11/02/2025 02:00:00,11/02/2025 {gmt}:00:00,{load},\n" for gmt, load in (("08", 2), ("07", 1))
    )
    stored = stored_of(read_product("spp", "load_forecast", body, params=params))
    assert stored == {
        ("2025-11-02T06:00Z", "SPP", "load_forecast"): 1,
        ("2025-11-02T07:00Z", "SPP", "load_forecast"): 2,
    }


def test_recordings_are_read_whole_and_add_up() -> None:
    """Every recorded price, many of them below zero, is the sum of its components."""
    counts = {
        ("lmp_day_ahead", "spp-2026-03-08.csv"): 208,
        ("lmp_five_minute_latest", "RTBM-LMP-SL-202503310840.csv"): 4936,
    }
    for (product, path), count in counts.items():
        page = read_product("spp", product, recording(f"spp/{path}"))
        assert (page.observations.num_rows, used_skipped(page)) == (count, [])
        assert min(row["value"] for row in page_of(page, product.removesuffix("_latest"))) < 0


def test_the_first_of_25_hours_comes_from_the_file_of_an_hour_earlier() -> None:
    """The file of midnight looks back 24 hours; that of 23:00 is asked for too, and only its first hour is stored."""
    midnight, earlier = requests_of("spp", "load_system", datetime(2025, 11, 2, 5), datetime(2025, 11, 3, 6))
    assert dict(midnight.params) == {"path": "/2025/11/03/OP-MTLF-202511030000.csv"}
    assert dict(earlier.params) == {"path": "/2025/11/02/OP-MTLF-202511022300.csv"}
    assert earlier.period == Period(datetime(2025, 11, 2, 5, tzinfo=UTC), datetime(2025, 11, 2, 6, tzinfo=UTC))
    body = (
        "Interval,GMTIntervalEnd,BAA,MTLF,Averaged Actual\n11/02/2025 01:00:00,11/02/2025 06:00:00,SPP,30000,25.5\n"
        "11/02/2025 01:00:00,11/02/2025 06:00:00,SWPW,2000,2.5\n11/02/2025 02:00:00,11/02/2025 07:00:00,SPP,30000,99\n"
    )
    entry = entry_of("spp", "load_system")
    page = get_source("spp").parse_response(entry, earlier, Response(body.encode(), RETRIEVED))
    assert stored_of(page) == {("2025-11-02T05:00Z", "SPP", "load"): 25.5, ("2025-11-02T05:00Z", "SWPW", "load"): 2.5}


def test_a_place_of_two_areas_and_rows_without_an_area_lose_no_others() -> None:
    """A settlement location with two prices has none, a load without its area is counted, and the others are stored."""
    header = "Interval,GMTIntervalEnd,BAA,Settlement Location,Pnode,LMP,MLC,MCC,MEC\n"
    stamp = "05/01/2026 01:00:00,05/01/2026 06:00:00"
    rows = ["SPP,X,P,-10.5,0.5,-31,20", "SWPW,X,P,10,0,0,10", "SPP,Y,P,7,0,0,7"]
    entry = entry_of("spp", "lmp_day_ahead")
    period = Period(datetime(2026, 5, 1, 5, tzinfo=UTC), datetime(2026, 5, 2, 5, tzinfo=UTC))
    request = Request(entry.url, period=period)
    body = header + "".join(f"{stamp},{row}\n" for row in rows)
    page = get_source("spp").parse_response(entry, request, Response(body.encode(), RETRIEVED))
    settled = settle_page(page, entry, request, period)
    assert {row["location"] for row in settled.page.observations.to_pylist()} == {"Y"}
    assert [item.count for item in settled.skipped] == [8]
    assert [hole.period for hole in settled.conflicts] == [period]
    loads = "Interval,GMTIntervalEnd,BAA,MTLF,Averaged Actual\n" + "".join(
        f"{stamp},{area},5,{load}\n" for area, load in (("SPP", 25000), ("", 2000))
    )
    page = read_product("spp", "load_system", loads)
    assert stored_of(page) == {("2026-05-01T05:00Z", "SPP", "load"): 25000}
    assert [(item.reason, item.count) for item in used_skipped(page)] == [("records without a location", 1)]


def test_closed_years_of_the_load_come_from_the_months_of_their_zip() -> None:
    """A year is one request; of its zip the months are read, as the days beside them hold the same hours again."""
    (asked,) = requests_of("spp", "load_history", datetime(2022, 1, 1, 6), datetime(2022, 3, 1, 6))
    assert dict(asked.params) == {"path": "/2022/2022.zip"}
    rows = {
        "2022/HOURLY_LOAD-202201.csv": "01/31/2022 07:00:00,3500.5,600\n",
        "2022/HOURLY_LOAD-202202.csv": "02/01/2022 07:00:00,3400,590\n",
        "2022/DAILY_HOURLY_LOAD-20220131.csv": "01/31/2022 07:00:00,9999,9999\n",
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, text in rows.items():
            archive.writestr(name, f"MarketHour, CSWS, EDE\n{text}")
    page = get_source("spp").parse_response(
        entry_of("spp", "load_history"), asked, Response(sink.getvalue(), RETRIEVED)
    )
    assert stored_of(page) == {
        ("2022-01-31T06:00Z", "CSWS", "load"): 3500.5,
        ("2022-01-31T06:00Z", "EDE", "load"): 600,
        ("2022-02-01T06:00Z", "CSWS", "load"): 3400,
        ("2022-02-01T06:00Z", "EDE", "load"): 590,
    }
    for product, path in (
        ("generation_history", "/GenMix_2022.csv"),
        ("lmp_day_ahead_history", "/2022/2022.zip"),
    ):
        (asked,) = requests_of("spp", product, datetime(2022, 1, 1, 6), datetime(2022, 3, 1, 6))
        assert dict(asked.params) == {"path": path}


def test_the_mix_of_old_years_is_read_with_empty_fuels() -> None:
    """In 2011 a column holds each fuel and that of solar is empty; in 2016 coal alone is divided."""
    old = "GMTTime,Coal,Natural Gas,Solar,Wind\n2011-06-01T00:05:00Z,120.5,10,,7\n2011-06-01T00:10:00Z,121.5,11,,8\n"
    page = read_product("spp", "generation_history", old)
    assert {variable for _, _, variable in stored_of(page)} == {
        *("generation_coal", "generation_natural_gas", "generation_wind")
    }
    divided = "GMTTime,Coal Market,Coal Self,Natural Gas,Gas Self\n2016-06-01T00:05:00Z,100,20,10,1\n"
    stored = stored_of(read_product("spp", "generation_history", divided))
    assert {variable: value for (_, _, variable), value in stored.items()} == {
        "generation_coal": 120,
        "generation_natural_gas": 11,
    }
