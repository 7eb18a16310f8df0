"""The Midcontinent: standard time all year, prices without energy, a spreadsheet with captions, and recordings."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from gridtide.errors import FormatError
from tests.support.presets import page_of, read_product, recording, requests_of, stored_of

ABOVE = "Day Ahead Market ExPost LMPs\n11/01/2026\n,,,All Hours-Ending are Eastern Standard Time (EST)\n"
HOURS = "Node,Type,Value," + ",".join(f"HE {hour}" for hour in range(1, 25)) + "\n"


def write_report(prices: dict[str, tuple[str, str, str]]) -> str:
    """A report in which a node has the same LMP, MCC and MLC in all hours."""
    rows = [
        f"{node},Hub,{part}," + ",".join([text] * 24)
        for node, texts in prices.items()
        for part, text in zip(("LMP", "MCC", "MLC"), texts, strict=True)
    ]
    return ABOVE + HOURS + "\n".join(rows) + "\n"


def test_a_day_of_a_clock_change_has_24_hours_of_standard_time() -> None:
    """Hour 1 ends at 01:00 EST, on the day on which New York's clock is set back too."""
    page = read_product("miso", "lmp_day_ahead", write_report({"A.HUB": ("10", ".6", "-.37")}))
    rows = page_of(page, "lmp_day_ahead")
    assert [row["interval_start"] for row in rows[:2]] == [datetime(2026, 11, 1, hour, tzinfo=UTC) for hour in (5, 6)]
    assert (len(rows), rows[-1]["interval_end"]) == (24, datetime(2026, 11, 2, 5, tzinfo=UTC))


def test_prices_of_five_minutes_begin_at_their_stamps_in_standard_time() -> None:
    """Rows are lists of texts in the order of the headers; at 01:30 EST of the autumn day New York's clock is at 01:30
    for the second time."""
    rows = [
        ["2026-11-01T01:30:00", "MINN.HUB", "-5.25", ".50", "-9"],
        ["2026-11-01T01:35:00", "MINN.HUB", "10", "0", "1"],
    ]
    for headers in (["INTERVAL", "CPNODE", "LMP", "MLC", "MCC"], ["INTERVAL", "CPNODE", "LMP", "MCC", "MLC"]):
        data = [row if headers[3] == "MLC" else [*row[:3], row[4], row[3]] for row in rows]
        stored = stored_of(read_product("miso", "lmp_five_minute", json.dumps({"data": data, "headers": headers})))
        parts = ("", "_energy", "_congestion", "_loss")
        assert [stored["2026-11-01T06:30Z", "MINN.HUB", f"lmp_five_minute{part}"] for part in parts] == [
            -5.25,
            3.25,
            -9,
            0.5,
        ]
        assert stored["2026-11-01T06:35Z", "MINN.HUB", "lmp_five_minute_energy"] == 9


def test_the_energy_is_the_price_less_congestion_and_loss() -> None:
    """Numbers without leading zeros are read, and all hours of a node have an energy, negative prices too."""
    page = read_product("miso", "lmp_day_ahead", write_report({"A": ("10", ".6", "-.37"), "B": ("-5.25", "-9", "0")}))
    stored = stored_of(page)
    expected = {"A": (10.0, 9.77, 0.6, -0.37), "B": (-5.25, 3.75, -9.0, 0.0)}
    for node, values in expected.items():
        names = [f"lmp_day_ahead{end}" for end in ("", "_energy", "_congestion", "_loss")]
        assert tuple(stored["2026-11-01T16:00Z", node, name] for name in names) == values
    assert page.observations.num_rows == 2 * 24 * 4


def test_another_price_has_another_name() -> None:
    """Ex post and ex ante, final and preliminary prices do not share names."""
    report = write_report({"A": ("1", "0", "0")})
    names = {
        product: {row["variable"] for row in read_product("miso", product, report).observations.to_pylist()}
        for product in ("lmp_day_ahead", "lmp_day_ahead_ex_ante", "lmp_real_time", "lmp_real_time_preliminary")
    }
    assert all(f"{product}_energy" in variables for product, variables in names.items())
    assert len(set().union(*names.values())) == 16


def test_a_narrowed_entry_says_when_its_node_is_unknown() -> None:
    """A name that is in no record fails, and the message lists some that are."""
    with pytest.raises(FormatError, match="locations: the answer holds none of C"):
        read_product("miso", "lmp_day_ahead", write_report({"A": ("1", "0", "0")}), locations=["C"])


def test_pages_of_the_exchange_follow_each_other() -> None:
    """The first page of two asks for the second, by its number."""
    body = (
        '{"data":[{"interval":"1","timeInterval":{"start":"2026-01-10 00:00:00.000","end":"2026-01-10 01:00:00.000"},'
        '"region":"NORTH","fuelTypes":{"coal":5,"gas":7,"water":1,"storage":-2},"totalMw":11}],'
        '"page":{"pageNumber":1,"totalElements":2,"totalPages":2,"lastPage":false}}'
    )
    page = read_product("miso", "generation_hourly", body)
    assert stored_of(page) == {
        ("2026-01-10T05:00Z", "NORTH", "generation_coal"): 5,
        ("2026-01-10T05:00Z", "NORTH", "generation_natural_gas"): 7,
        ("2026-01-10T05:00Z", "NORTH", "generation_hydro"): 1,
        ("2026-01-10T05:00Z", "NORTH", "generation_storage"): -2,
        ("2026-01-10T05:00Z", "NORTH", "net_generation"): 11,
    }
    assert [dict(request.params)["pageNumber"] for request in page.next_requests] == ["2"]
    assert page.total == 2


def test_days_of_reports_are_days_of_standard_time() -> None:
    """A period that begins at 04:00 UTC needs the report of the day before, in summer too."""
    asked = requests_of("miso", "lmp_day_ahead", datetime(2026, 7, 2, 4), datetime(2026, 7, 2, 6))
    assert [request.url.rpartition("/")[2] for request in asked] == [
        "20260701_da_expost_lmp.csv",
        "20260702_da_expost_lmp.csv",
    ]


def test_recorded_prices_have_one_energy_an_hour() -> None:
    """On the autumn day of 2025 the energy of all recorded nodes agrees to the rounding of three numbers."""
    page = read_product("miso", "lmp_day_ahead", recording("miso/miso-2025-11-02.csv"))
    energies: dict[datetime, list[float]] = {}
    for row in page_of(page, "lmp_day_ahead_energy"):
        energies.setdefault(row["interval_start"], []).append(row["value"])
    assert len(energies) == 24
    assert max(max(values) - min(values) for values in energies.values()) < 0.021


def test_the_spreadsheet_holds_actual_loads_of_a_day_and_forecasts_of_a_week() -> None:
    """Captions, repeated headers and the note at the end are passed over; hours to come are no load of 0 or null."""
    body = recording("miso/20250310_df_al.xls")
    loads = stored_of(read_product("miso", "load", body))
    assert len(loads) == 24 * 7
    assert loads["2025-03-09T05:00Z", "LRZ2_7", "load"] == 14893.41
    assert loads["2025-03-10T04:00Z", "MISO", "load"] == 64878.22
    forecasts = read_product("miso", "load_forecast", body)
    assert forecasts.observations.num_rows == 7 * 24 * 7
    assert stored_of(forecasts)["2025-03-16T04:00Z", "MISO", "load_forecast"] == 67758
    assert {row["published_at"] for row in forecasts.observations.to_pylist()} == {
        datetime(2025, 3, 10, 17, tzinfo=UTC)
    }


def test_a_display_is_a_vintage_of_the_interval_that_it_refers_to() -> None:
    """The wind forecast begins at midnight EST and was published at 04:00 EST."""
    page = read_product("miso", "wind_forecast", recording("miso/DataBrokerServicesgetWindForecast.asmx.json"))
    rows = page_of(page, "generation_wind_forecast")
    assert (len(rows), rows[0]["interval_start"], rows[0]["value"]) == (48, datetime(2025, 3, 10, 5, tzinfo=UTC), 17716)
    assert {row["published_at"] for row in rows} == {datetime(2025, 3, 10, 9, tzinfo=UTC)}


def test_the_load_of_today_has_its_day_from_the_answer() -> None:
    """The times of the display are times of day; their day stands in its reference."""
    loads = ",".join(
        f'{{"Load":{{"Time":"{time}","Value":"{mw}"}}}}' for time, mw in (("00:00", 63000), ("09:25", 71000))
    )
    body = f'{{"LoadInfo":{{"RefId":"10-Mar-2025 - Interval 09:30 EST","FiveMinTotalLoad":[{loads}]}}}}'
    stored = stored_of(read_product("miso", "load_five_minute", body))
    assert stored == {
        ("2025-03-10T05:00Z", "MISO", "load_five_minute"): 63000.0,
        ("2025-03-10T14:25Z", "MISO", "load_five_minute"): 71000.0,
    }
