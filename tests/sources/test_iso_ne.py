"""ISO-NE Web Services: shapes, changes over the years, local days, and every recorded answer in a second reading."""

import json
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gridtide.config import loading
from gridtide.entries.auth import BasicAuth
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, FormatError, UpstreamError
from gridtide.periods import Period
from gridtide.sources import iso_ne
from gridtide.sources.contract import BOM, Page, Request, Response
from gridtide.sources.iso_ne import VARIABLES
from gridtide.variables import unit_of
from tests.support.shared import SHARED, needs_shared

AT = datetime(2026, 8, 1, tzinfo=UTC)
BASE = "https://webservices.iso-ne.com/api/v1.1"
EASTERN = ZoneInfo("America/New_York")
HOUR = timedelta(hours=1)


def an_entry(path: str = "hourlysysload/current", base: str = BASE, **keys: Any) -> Entry:
    """An entry with one resource."""
    api = {"name": "grid", "source": "iso_ne", "url": f"{base}/{path}", "output_folder": "grid", **keys}
    return loading.parse({"apis": [api]}).apis[0]


def parse(document: Any, path: str = "hourlysysload/current", base: str = BASE) -> Page:
    """The page of `document`, as the answer to `path`."""
    entry = an_entry(path, base)
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return iso_ne.parse_response(entry, iso_ne.build_requests(entry, None)[0], Response(body, AT))


def values(page: Page) -> dict[str, float | None]:
    """The values by variable of a page that holds each variable once."""
    table = page.observations
    found = dict(zip(table["variable"].to_pylist(), table["value"].to_pylist(), strict=True))
    assert len(found) == table.num_rows
    return found


def a_load(begin: str = "2024-07-01T00:00:00.000-04:00", load: Any = 10.0, **fields: Any) -> dict[str, Any]:
    """An HourlySystemLoad."""
    return {"BeginDate": begin, "Location": {"@LocId": "32", "$": "NEPOOL AREA"}, "Load": load, **fields}


def local_hours(day: date) -> list[datetime]:
    """The starts of the hours of the Eastern day `day`, found one by one."""
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
    hours = [moment + hour * HOUR for hour in range(72)]
    return [hour for hour in hours if hour.astimezone(EASTERN).date() == day]


def period(start: str, end: str) -> Period:
    """A period between two UTC times."""
    return Period(datetime.fromisoformat(start + "+00:00"), datetime.fromisoformat(end + "+00:00"))


# What is asked


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("genfuelmix/current", "genfuelmix/day/20240310"),
        ("genfuelmix/current.json", "genfuelmix/day/20240310.json"),
        ("hourlylmp/da/final/current", "hourlylmp/da/final/day/20240310"),
        ("hourlylmp/da/final/current/location/4000", "hourlylmp/da/final/day/20240310/location/4000"),
        ("hourlylmp/rt/prelim/current/location/4000.json", "hourlylmp/rt/prelim/day/20240310/location/4000.json"),
        ("hourlylmp/rt/final", "hourlylmp/rt/final/day/20240310"),
        ("hourlylmp/rt/final/", "hourlylmp/rt/final/day/20240310"),
        ("hourlylmp/rt/final/location/4000", "hourlylmp/rt/final/day/20240310/location/4000"),
        ("hourlyloadforecast/current", "hourlyloadforecast/day/20240310"),
        ("hourlyloadforecast/all/current", "hourlyloadforecast/all/day/20240310"),
        ("hourlyloadforecast/all", "hourlyloadforecast/all/day/20240310"),
        ("fiveminutelmp/current/location/4000", "fiveminutelmp/day/20240310/location/4000"),
        ("sevendayforecast/current", "sevendayforecast/day/20240310"),
    ],
)
def test_a_period_is_asked_by_operating_day(path: str, expected: str) -> None:
    """The day replaces `current`, or precedes the location in a URL without it."""
    entry = an_entry(path)
    asked = iso_ne.build_requests(entry, period("2024-03-10T12:00", "2024-03-10T13:00"))
    assert iso_ne.takes_period(entry)
    assert [request.url for request in asked] == [f"{BASE}/{expected}"]


def test_each_local_day_that_shares_a_moment_is_asked_once() -> None:
    """Each local day that overlaps the period is requested once, and the request has the period of its day."""
    asked = iso_ne.build_requests(an_entry("genfuelmix/current"), period("2024-03-10T04:59", "2024-03-11T04:01"))
    assert [(r.label, r.period) for r in asked] == [
        ("2024-03-09", period("2024-03-09T05:00", "2024-03-10T05:00")),
        ("2024-03-10", period("2024-03-10T05:00", "2024-03-11T04:00")),
        ("2024-03-11", period("2024-03-11T04:00", "2024-03-12T04:00")),
    ]


def test_a_snapshot_asks_the_url_as_it_is_for_json() -> None:
    """Without a period the URL is unchanged, and the Accept header requests JSON."""
    asked = iso_ne.build_requests(an_entry("genfuelmix/current"), None)
    assert asked == [Request(f"{BASE}/genfuelmix/current", (), (("Accept", "application/json"),), "current")]


@pytest.mark.parametrize(
    "path",
    [
        "genfuelmix/day/20240310",
        "hourlylmp/da/final/day/20251102/location/4000",
        "hourlyloadforecast/all/day/20230501",
        "fiveminutelmp/current",
        "locations/all",
    ],
)
def test_what_cannot_be_asked_by_day_is_a_snapshot(path: str) -> None:
    """A URL with a fixed day, five-minute prices of all locations and unknown resources take no period."""
    entry = an_entry(path)
    assert not iso_ne.takes_period(entry)
    asked = iso_ne.build_requests(entry, period("2024-03-10T12:00", "2024-03-12T13:00"))
    assert [request.url for request in asked] == [f"{BASE}/{path}"]


def test_a_recorded_answer_behind_another_url_is_a_snapshot() -> None:
    """A URL without the path of the API takes no period."""
    assert not iso_ne.takes_period(an_entry("genfuelmix_current.json", "http://localhost:8900/file/isone"))


def test_params_are_passed_on() -> None:
    """Parameters of the configuration are sent."""
    entry = an_entry(params={"page": 2, "zone": ["a", "b"]})
    assert iso_ne.build_requests(entry, None)[0].params == (("page", "2"), ("zone", "a"), ("zone", "b"))


@pytest.mark.parametrize("product", iso_ne.PRODUCTS, ids=lambda product: product.path)
def test_every_product_has_defaults_and_units(product: iso_ne.Product) -> None:
    """The defaults of each product give a valid entry with Basic credentials, and its variables are in the registry."""
    entry = an_entry(f"{product.path}/current")
    assert entry.auth == BasicAuth(kind="basic", username_env="ISO_NE_USERNAME", password_env="ISO_NE_PASSWORD")
    assert entry.rate_limit is not None
    assert all(unit_of(VARIABLES, variable) for variable in product.fields.values())


def test_day_ahead_prices_are_known_on_the_day_before() -> None:
    """Day-ahead prices are available at 13:30 Eastern on the day before, final real-time prices days later."""
    assert an_entry("hourlylmp/da/final/current").available.day_before == "13:30"
    assert an_entry("hourlylmp/da/final/current").available.timezone == "America/New_York"
    assert an_entry("hourlylmp/rt/final").available.lag == timedelta(days=7)
    assert an_entry("genfuelmix/current").resolution == timedelta(minutes=5)


# Shapes


@pytest.mark.parametrize(
    "document",
    [
        {"HourlySystemLoads": {"HourlySystemLoad": a_load()}},
        {"HourlySystemLoads": {"HourlySystemLoad": [a_load()]}},
        {"HourlySystemLoads": [a_load()]},
        {"HourlySystemLoad": a_load()},
        {"HourlySystemLoad": [a_load()]},
        [a_load()],
        a_load(),
    ],
)
@pytest.mark.parametrize("base", [BASE, "http://localhost:8900/file/hourlysysload"])
def test_one_record_comes_in_several_shapes(document: Any, base: str) -> None:
    """A record under the plural or singular root, bare or in a list, gives the same observation."""
    page = parse(document, base=base)
    assert page.record_count == 1
    assert values(page) == {"load": 10.0}


@pytest.mark.parametrize("nothing", [{}, "", None, []])
@pytest.mark.parametrize("path", ["hourlysysload/current", "anything"])
def test_no_rows_are_said_in_five_ways(nothing: Any, path: str) -> None:
    """An empty object, an empty string, null, an empty list and a missing root are answers without rows."""
    for document in (
        nothing,
        {"HourlySystemLoads": nothing},
        {"HourlySystemLoads": {"HourlySystemLoad": nothing}},
        {"HourlySystemLoad": nothing},
    ):
        page = parse(document, path)
        assert (page.record_count, page.observations.num_rows) == (0, 0)


def test_a_root_that_holds_nothing_but_attributes_has_no_rows() -> None:
    """A root with only attributes, such as a namespace, is an answer without rows."""
    attributes = {"@xmlns": "http://WEBSERV.iso-ne.com", "@version": "1.1"}
    for document in ({"HourlySystemLoads": attributes}, {"HourlySystemLoads": {"HourlySystemLoad": attributes}}):
        assert parse(document).record_count == 0
    assert values(parse({"HourlySystemLoads": attributes | {"HourlySystemLoad": a_load()}})) == {"load": 10.0}


def test_a_byte_order_mark_is_passed_over() -> None:
    """JSON with a byte order mark is read."""
    assert values(parse(BOM + json.dumps({"HourlySystemLoad": a_load()}).encode())) == {"load": 10.0}


@pytest.mark.parametrize(
    "body", [b"", b"<html>401</html>", b'{"HourlySystemLoads": {', b"\xff\xfe{}", b"<?xml ?><a/>", b"[" * 10_000]
)
def test_a_body_that_is_no_json_may_pass(body: bytes) -> None:
    """HTML, XML and truncated or empty bodies are upstream errors, which are retried."""
    with pytest.raises(UpstreamError, match="grid: the answer is not JSON"):
        parse(body)


@pytest.mark.parametrize(
    ("document", "missing"),
    [
        ({"Locations": {"Location": []}}, "HourlySystemLoads: the answer holds Locations"),
        ({"HourlySystemLoad": ["x"]}, "'x' is not an object"),
        ("text", "'text' is not an object"),
        ({"HourlySystemLoad": {"Load": 1, "Location": {"@LocId": "32"}}}, "has no BeginDate"),
        ({"HourlySystemLoad": {"BeginDate": "2024-07-01T00:00:00-04:00"}}, "has no Load nor NativeLoad nor ArdDemand"),
        ({"HourlySystemLoad": {"BeginDate": "2024-07-01T00:00:00-04:00", "Load": 1}}, "has no Location"),
        ({"HourlySystemLoad": a_load("2024-07-01T00:00:00")}, "has no offset"),
        ({"HourlySystemLoad": a_load("yesterday")}, "yesterday"),
        ({"HourlySystemLoad": a_load(load="many")}, "'many' is not a number"),
    ],
)
def test_another_shape_breaks_the_promise(document: Any, missing: str) -> None:
    """JSON that lacks a part of the resource is refused, and the message names the part."""
    with pytest.raises(FormatError, match=missing):
        parse(document)


@pytest.mark.parametrize("begin", [None, "", "yesterday", "2024-07-01T01:00:00", ...])
def test_a_record_without_a_time_is_counted_and_the_others_are_read(begin: Any) -> None:
    """Whatever stands there instead, or if there is no such field (`...`)."""
    timeless = a_load(load=20.0) | {"BeginDate": begin}
    if begin is ...:
        del timeless["BeginDate"]
    page = parse({"HourlySystemLoad": [a_load(load=10.0), timeless]})
    assert page.observations["value"].to_pylist() == [10.0]
    (skipped,) = page.skipped
    assert (skipped.reason, skipped.count) == ("records without a time that can be read", 1)
    assert "record 2" in skipped.example


def test_a_forecast_day_without_a_date_is_counted_and_the_others_are_read() -> None:
    """The days of a seven-day forecast are records within a record."""
    document = a_seven_day_forecast(PeakLoadMw=18050)
    forecast = document["SevenDayForecasts"]["SevenDayForecast"]
    forecast["MarketDay"] = [forecast["MarketDay"], {"PeakLoadMw": 18060}]
    page = parse(document, "sevendayforecast/current")
    assert page.observations["value"].to_pylist() == [18050.0]
    assert [skipped.reason for skipped in page.skipped] == ["records without a time that can be read"]


def test_an_unknown_answer_names_what_is_known() -> None:
    """A resource without series is refused with the supported roots."""
    with pytest.raises(FormatError, match=r'holds Locations.* GenFuelMixes, HourlyLmps.*"format": "json"'):
        parse({"Locations": {"Location": []}}, "locations/all")


# Values, times and locations


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [(7, 7.0), (7.25, 7.25), ("7.25", 7.25), (" -3 ", -3.0), (".5", 0.5), ("-", None), ("", None), (None, None)],
)
def test_values_come_as_numbers_strings_and_nothing(spelled: Any, expected: float | None) -> None:
    """Integers, floats and strings of numbers are equal, and an empty value is a null."""
    assert values(parse({"HourlySystemLoad": a_load(load=spelled)})) == {"load": expected}


@pytest.mark.parametrize("value", [True, 10**400, "9" * 400, {"$": "7"}, "7,5"])
def test_what_is_no_number_is_refused(value: Any) -> None:
    """Texts that are not numbers are refused, even if Python would convert them."""
    with pytest.raises(FormatError):
        parse({"HourlySystemLoad": a_load(load=value)})


def test_an_absent_field_is_no_observation() -> None:
    """Only fields that a record has become observations."""
    records = [a_load(NativeLoad=9.0), a_load("2024-07-01T01:00:00.000-04:00", ArdDemand=None)]
    table = parse({"HourlySystemLoads": {"HourlySystemLoad": records}}).observations
    found = zip(table["variable"].to_pylist(), table["value"].to_pylist(), strict=True)
    assert list(found) == [("load", 10.0), ("load", 10.0), ("load_native", 9.0), ("load_ard", None)]


@pytest.mark.parametrize(
    ("location", "path", "expected"),
    [
        ({"@LocId": "4001", "@LocType": "LOAD ZONE", "$": ".Z.MAINE"}, "realtimehourlydemand/current", "4001"),
        ({"@LocId": 4001}, "realtimehourlydemand/current", "4001"),
        ({"LocId": "4001"}, "realtimehourlydemand/current", "4001"),
        ({"$": ".Z.MAINE"}, "realtimehourlydemand/current/location/4001", "4001"),
        (None, "realtimehourlydemand/day/20240309/location/4001.json", "4001"),
        (4001, "realtimehourlydemand/current", "4001"),
    ],
)
def test_the_location_is_its_id(location: Any, path: str, expected: str) -> None:
    """The location is the id in the record, or that of the URL."""
    page = parse({"HourlyRtDemand": {"BeginDate": "2024-03-09T00:00:00-05:00", "Location": location, "Load": 1}}, path)
    assert page.observations["location"].to_pylist() == [expected]
    assert values(page) == {"demand_real_time": 1.0}


@pytest.mark.parametrize(("day", "hours"), [(date(2024, 3, 10), 23), (date(2024, 11, 3), 25), (date(2024, 7, 1), 24)])
def test_clock_changes_leave_no_gap_and_no_doubt(day: date, hours: int) -> None:
    """A day of 23, 24 or 25 local hours with offsets becomes that many continuous hours in UTC."""
    starts = local_hours(day)
    records = [a_load(start.astimezone(EASTERN).isoformat(timespec="milliseconds")) for start in starts]
    table = parse({"HourlySystemLoads": {"HourlySystemLoad": records}}).observations
    assert table.num_rows == hours
    assert table["interval_start"].to_pylist() == starts
    assert table["interval_end"].to_pylist() == [start + HOUR for start in starts]


# Resources


def test_the_fuel_mix_is_read_at_its_instant() -> None:
    """Each fuel has its output and, if reported, its marginal flag; the rollup replaces a missing fuel."""
    begin = "2024-11-25T16:07:59.000-05:00"
    records = [
        {"BeginDate": begin, "GenMw": 8586, "FuelCategoryRollup": "Natural Gas", "FuelCategory": "Natural Gas"}
        | {"MarginalFlag": "Y"},
        {"BeginDate": begin, "GenMw": -3, "FuelCategoryRollup": "Renewables", "FuelCategory": "Batteries"}
        | {"MarginalFlag": "N"},
        {"BeginDate": begin, "GenMw": 36, "FuelCategoryRollup": "Landfill Gas"},
    ]
    page = parse({"GenFuelMixes": {"GenFuelMix": records}}, "genfuelmix/current")
    assert page.record_count == 3
    assert values(page) == {
        "generation_natural_gas": 8586.0,
        "generation_batteries": -3.0,
        "generation_landfill_gas": 36.0,
        "marginal_natural_gas": 1.0,
        "marginal_batteries": 0.0,
    }
    instant = [datetime(2024, 11, 25, 21, 7, 59, tzinfo=UTC)] * 5
    assert page.observations["interval_start"].to_pylist() == page.observations["interval_end"].to_pylist() == instant
    assert page.observations["unit"].to_pylist() == ["MW"] * 3 + ["1"] * 2
    assert page.observations["published_at"].null_count == 5


LMP = {"LmpTotal": -1.5, "EnergyComponent": 30, "CongestionComponent": 0, "LossComponent": "-31.5"}


@pytest.mark.parametrize(
    ("path", "root", "variable", "minutes"),
    [
        ("hourlylmp/da/final/current", "HourlyLmp", "lmp_day_ahead", 60),
        ("hourlylmp/rt/final/day/20240310", "HourlyLmp", "lmp_real_time", 60),
        ("hourlylmp/rt/prelim/current/location/4000", "HourlyLmp", "lmp_real_time_preliminary", 60),
        ("fiveminutelmp/current", "FiveMinLmp", "lmp_five_minute", 5),
        ("fifteenminutelmp/final/current", "FifteenMinLmp", "lmp_fifteen_minute_final", 15),
    ],
)
def test_the_path_says_which_price_it_is(path: str, root: str, variable: str, minutes: int) -> None:
    """Each market and step has variables of its own, with components and intervals."""
    record = {"BeginDate": "2024-03-10T03:00:00.000-04:00", "Location": {"@LocId": "4000"}, **LMP}
    page = parse({f"{root}s": {root: record}}, path)
    assert values(page) == {
        variable: -1.5,
        f"{variable}_energy": 30.0,
        f"{variable}_congestion": 0.0,
        f"{variable}_loss": -31.5,
    }
    start = datetime(2024, 3, 10, 7, tzinfo=UTC)
    assert page.observations["interval_start"].to_pylist() == [start] * 4
    assert page.observations["interval_end"].to_pylist() == [start + timedelta(minutes=minutes)] * 4
    assert page.observations["unit"].to_pylist() == ["USD/MWh"] * 4


def test_a_price_without_a_market_is_refused() -> None:
    """Prices are refused if neither URL nor answer gives their market."""
    record = {"BeginDate": "2024-03-10T03:00:00.000-04:00", "Location": {"@LocId": "4000"}, **LMP}
    with pytest.raises(
        FormatError, match=r"hourlylmp/da, hourlylmp/rt/final, hourlylmp/rt/prelim.*/api/v1.1/hourlylmp"
    ):
        parse({"HourlyLmps": {"HourlyLmp": record}}, "prices", "http://localhost:8900")


def test_five_minute_loads_have_names_of_their_own() -> None:
    """Five-minute loads have other names than hourly loads, and the location of the whole system."""
    record = {"BeginDate": "2026-07-27T17:20:00.000-04:00", "LoadMw": 1, "NativeLoad": 2, "ArdDemand": 3}
    page = parse(
        {"FiveMinSystemLoad": [record | {"SystemLoadBtmPv": 4, "NativeLoadBtmPv": 5}]}, "fiveminutesystemload/current"
    )
    assert values(page) == {
        "load_five_minute": 1.0,
        "load_native_five_minute": 2.0,
        "load_ard_five_minute": 3.0,
        "load_btm_pv_five_minute": 4.0,
        "load_native_btm_pv_five_minute": 5.0,
    }
    assert set(page.observations["location"].to_pylist()) == {"ISNE"}
    assert page.observations["interval_end"][0].as_py() == datetime(2026, 7, 27, 21, 25, tzinfo=UTC)


def test_each_vintage_of_a_forecast_is_kept() -> None:
    """Two forecasts of one hour are two observations with different publication times."""
    created = ["2023-04-29T03:36:01.000-04:00", "2023-05-01T13:54:02.000-04:00"]
    records = [
        {"BeginDate": "2023-05-01T00:00:00.000-04:00", "CreationDate": creation, "LoadMw": mw, "NetLoadMw": mw}
        for mw, creation in enumerate(created)
    ]
    table = parse({"HourlyLoadForecasts": {"HourlyLoadForecast": records}}, "hourlyloadforecast/all").observations
    assert table["variable"].to_pylist() == ["load_forecast"] * 2 + ["net_load_forecast"] * 2
    assert table["value"].to_pylist() == [0.0, 1.0, 0.0, 1.0]
    assert table["published_at"].to_pylist() == [datetime.fromisoformat(time) for time in created] * 2
    assert table["location"].to_pylist() == ["ISNE"] * 4


REPORT = {
    "BeginDate": "2024-03-10T00:00:00.000-05:00",
    "CreationDate": "2024-03-10T09:14:58.000-04:00",
    "ReportType": "Final",
    "PeakLoadTodayMw": 17600,
    "PeakLoadTodayHour": "2024-03-10T19:00:00.000-04:00",
    "ExpActOp4Mw": "0",
    "GenOutagesReductionMW": "",
    "UncommitedAvailDRRMw": "-",
    "UnitCommMinOrrCount": 2,
    "NyIsoSarAvail": "Y",
    "GeoMagDistIsoAction": None,
    "CityForecastDetail": {"CityName": "Boston", "HighTemperature": 31, "WindDirSpeed": "NW-13"},
    "TieDelivery": [{"TieName": "NYISO AC", "TieFlowMw": -981}, {"TieName": "Phase 2", "TieFlowMw": None}],
    "InterchangeDetail": {},
}


def test_a_morning_report_is_one_series_a_number() -> None:
    """Each number of a morning report is a series, those of lists with the name of their item; texts, times and
    flags are not."""
    page = parse({"MorningReports": {"MorningReport": [REPORT]}}, "morningreport/current")
    assert values(page) == {
        "morning_report_peak_load_today_mw": 17600.0,
        "morning_report_exp_act_op4_mw": 0.0,
        "morning_report_gen_outages_reduction_mw": None,
        "morning_report_uncommited_avail_drr_mw": None,
        "morning_report_unit_comm_min_orr_count": 2.0,
        "morning_report_high_temperature_boston": 31.0,
        "morning_report_tie_flow_mw_nyiso_ac": -981.0,
        "morning_report_tie_flow_mw_phase_2": None,
    }
    units = dict(zip(page.observations["variable"].to_pylist(), page.observations["unit"].to_pylist(), strict=True))
    assert units["morning_report_tie_flow_mw_nyiso_ac"] == "MW"
    assert units["morning_report_high_temperature_boston"] == "°F"
    assert units["morning_report_unit_comm_min_orr_count"] == "1"


def test_a_morning_report_is_about_the_operating_day() -> None:
    """A morning report covers the operating day, and is published at its creation."""
    table = parse({"MorningReport": REPORT}, "morningreport/current").observations
    assert set(table["interval_start"].to_pylist()) == {datetime(2024, 3, 10, 5, tzinfo=UTC)}
    assert set(table["interval_end"].to_pylist()) == {datetime(2024, 3, 11, 4, tzinfo=UTC)}
    assert set(table["published_at"].to_pylist()) == {datetime(2024, 3, 10, 13, 14, 58, tzinfo=UTC)}
    assert set(table["location"].to_pylist()) == {"ISNE"}


def a_seven_day_forecast(**market_day: Any) -> dict[str, Any]:
    """A forecast of one day; its own BeginDate has no meaning."""
    forecast = {
        "BeginDate": "1999-01-01T00:00:00-05:00",
        "CreationDate": "2024-11-01T09:33:49.344-04:00",
        "MarketDay": {"MarketDate": "2024-11-03T00:00:00.000-04:00", **market_day},
    }
    return {"SevenDayForecasts": {"SevenDayForecast": forecast}}


@pytest.mark.parametrize("number", [{"@Day": "2"}, {"Day": 2}])
def test_the_number_of_a_market_day_has_one_name(number: dict[str, Any]) -> None:
    """`@Day` of 2017 and `Day` of 2026 give the same variable."""
    page = parse(a_seven_day_forecast(PeakLoadMw=18050, **number), "sevendayforecast/current")
    assert values(page) == {"seven_day_peak_load_mw": 18050.0, "seven_day_day": 2.0}


def test_flags_are_one_zero_or_null() -> None:
    """Y is 1, N is 0 and a dash is a null; numbers may be strings; cities follow the names of their fields."""
    weather = {"CityWeather": [{"CityName": "Boston", "DewPointF": 15}, {"CityName": "New Haven", "HighTempF": "30"}]}
    page = parse(
        a_seven_day_forecast(
            ColdWeatherWarn="Y", PowerWatch="N", ColdWeatherEvent="-", CsoMw="26707", Note="none", Weather=weather
        ),
        "sevendayforecast/current",
    )
    assert values(page) == {
        "seven_day_cold_weather_warn": 1.0,
        "seven_day_power_watch": 0.0,
        "seven_day_cold_weather_event": None,
        "seven_day_cso_mw": 26707.0,
        "seven_day_dew_point_f_boston": 15.0,
        "seven_day_high_temp_f_new_haven": 30.0,
    }


@pytest.mark.parametrize("weather", [{}, "", None, {"CityWeather": ""}])
def test_no_weather_is_no_series(weather: Any) -> None:
    """Missing cities give no observations."""
    page = parse(a_seven_day_forecast(PeakLoadMw=1, Weather=weather), "sevendayforecast/current")
    assert values(page) == {"seven_day_peak_load_mw": 1.0}


@pytest.mark.parametrize(
    ("spelled", "start", "end"),
    [
        ("2024-11-03T00:00:00.000-04:00", "2024-11-03T04:00", "2024-11-04T05:00"),
        ("2024-11-04T00:00:00.000-05:00", "2024-11-04T05:00", "2024-11-05T05:00"),
        ("2024-11-04T00:00:00.000-04:00", "2024-11-04T05:00", "2024-11-05T05:00"),
        ("2024-11-04", "2024-11-04T05:00", "2024-11-05T05:00"),
    ],
)
def test_a_market_day_lasts_from_midnight_to_midnight(spelled: str, start: str, end: str) -> None:
    """A market day has 25 hours in autumn, and an offset from before the clock change does not move it."""
    table = parse(a_seven_day_forecast(MarketDate=spelled, CsoMw=1), "sevendayforecast/current").observations
    assert Period(table["interval_start"][0].as_py(), table["interval_end"][0].as_py()) == period(start, end)
    assert table["published_at"].to_pylist() == [datetime(2024, 11, 1, 13, 33, 49, 344000, tzinfo=UTC)]


def test_a_forecast_without_days_breaks_the_promise() -> None:
    """A forecast without MarketDay is refused."""
    with pytest.raises(FormatError, match="a SevenDayForecast has no MarketDay"):
        parse({"SevenDayForecast": {"BeginDate": "1999-01-01T00:00:00-05:00"}}, "sevendayforecast/current")


# The recorded answers, read a second time with nothing but json and datetime

Key = tuple[datetime, datetime, str, str, str, datetime | None]
Found = Iterator[tuple[Key, float | None]]


def utc(text: str) -> datetime:
    """A time with its offset, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def every(root: str, document: Any) -> list[dict[str, Any]]:
    """All records under `root` of a recording."""
    inner = document.get(root) or next(iter(document.values())).get(root) or []
    return inner if isinstance(inner, list) else [inner]


def recorded_fuel_mix(document: Any) -> Found:
    """Two instants per record."""
    for row in every("GenFuelMix", document):
        at = utc(row["BeginDate"])
        fuel = row["FuelCategory"].lower().replace(" ", "_")
        yield (at, at, "ISNE", f"generation_{fuel}", "MW", None), float(row["GenMw"])
        yield (at, at, "ISNE", f"marginal_{fuel}", "1", None), {"Y": 1.0, "N": 0.0}[row["MarginalFlag"]]


def recorded_intervals(root: str, minutes: int, measure: str, fields: dict[str, str], document: Any) -> Found:
    """A value for each of `fields`, over `minutes` from BeginDate."""
    for row in every(root, document):
        start = utc(row["BeginDate"])
        published = utc(row["CreationDate"]) if "CreationDate" in row else None
        location = row["Location"]["@LocId"] if "Location" in row else "ISNE"
        for field, variable in fields.items():
            end = start + timedelta(minutes=minutes)
            yield (start, end, location, variable, measure, published), float(row[field])


def recorded_prices(root: str, minutes: int, variable: str, document: Any) -> Found:
    """The price and its three components."""
    fields = {
        "LmpTotal": variable,
        "EnergyComponent": f"{variable}_energy",
        "CongestionComponent": f"{variable}_congestion",
        "LossComponent": f"{variable}_loss",
    }
    return recorded_intervals(root, minutes, "USD/MWh", fields, document)


def local_day_of(text: str) -> tuple[datetime, datetime]:
    """The local midnights around the day of `text`, found hour by hour."""
    hours = local_hours(date.fromisoformat(text[:10]))
    return hours[0], hours[-1] + HOUR


def spelled(name: str) -> str:
    """A field's or an item's name in snake case, letter by letter: a word starts at a capital that
    follows a small letter or a digit, or that a small letter follows."""
    words = ""
    for i, letter in enumerate(name):
        after_small = i > 0 and (name[i - 1].islower() or name[i - 1].isdigit())
        before_small = 0 < i < len(name) - 1 and name[i - 1].isupper() and name[i + 1].islower()
        words += "_" * (letter.isupper() and (after_small or before_small)) + letter.lower()
    return words.replace(" ", "_")


def recorded_unit(field: str) -> str:
    """MW and °F by the field's ending."""
    if field.lower().endswith("mw"):
        return "MW"
    return "°F" if field in ("HighTemperature", "HighTempF", "DewPointF") else "1"


def recorded_morning_report(document: Any) -> Found:
    """All numbers, those of lists with the name of their item."""
    for report in every("MorningReport", document):
        start, end = local_day_of(report["BeginDate"])
        fields = [(field, "", value) for field, value in report.items() if not isinstance(value, list)]
        for items in (value for value in report.values() if isinstance(value, list)):
            for item in items:
                name = "_" + spelled(item.get("TieName") or item["CityName"])
                fields += [(field, name, value) for field, value in item.items()]
        for field, name, value in fields:
            if isinstance(value, int | float) or value.lstrip("-").isdigit():
                variable = f"morning_report_{spelled(field)}{name}"
                yield (start, end, "ISNE", variable, recorded_unit(field), utc(report["CreationDate"])), float(value)


def recorded_seven_days(document: Any) -> Found:
    """All numbers and flags of each day, and the weather of its cities."""
    for forecast in every("SevenDayForecast", document):
        published = utc(forecast["CreationDate"])
        for day in forecast["MarketDay"]:
            start, end = local_day_of(day["MarketDate"])
            fields = [(f, "", v) for f, v in day.items() if f not in ("MarketDate", "Weather")]
            for city in day["Weather"]["CityWeather"]:
                fields += [(f, f"_{city['CityName'].lower()}", v) for f, v in city.items() if f != "CityName"]
            for field, name, value in fields:
                number = {"Y": 1.0, "N": 0.0, "-": None}[value] if value in ("Y", "N", "-") else float(value)
                variable = f"seven_day_{spelled(field.removeprefix('@'))}{name}"
                yield (start, end, "ISNE", variable, recorded_unit(field), published), number


def recorded_loads(document: Any) -> Found:
    """The three hourly loads."""
    fields = {"Load": "load", "NativeLoad": "load_native", "ArdDemand": "load_ard"}
    return recorded_intervals("HourlySystemLoad", 60, "MW", fields, document)


def recorded_five_minute_loads(document: Any) -> Found:
    """The five five-minute loads."""
    fields = {
        "LoadMw": "load_five_minute",
        "NativeLoad": "load_native_five_minute",
        "ArdDemand": "load_ard_five_minute",
        "SystemLoadBtmPv": "load_btm_pv_five_minute",
        "NativeLoadBtmPv": "load_native_btm_pv_five_minute",
    }
    return recorded_intervals("FiveMinSystemLoad", 5, "MW", fields, document)


def recorded_forecast(document: Any) -> Found:
    """Load and net load, published at their creation."""
    fields = {"LoadMw": "load_forecast", "NetLoadMw": "net_load_forecast"}
    return recorded_intervals("HourlyLoadForecast", 60, "MW", fields, document)


RECORDED: dict[str, tuple[str, Any, int]] = {  # file: path, second reading, observations
    "dayaheadhourlydemand_current_location_32": (
        "dayaheadhourlydemand/current/location/32",
        lambda d: recorded_intervals("HourlyDaDemand", 60, "MW", {"Load": "demand_day_ahead"}, d),
        1,
    ),
    "fifteenminutelmp_final_current": ("fifteenminutelmp/final/current", lambda d: iter(()), 0),
    "fiveminutelmp_current": (
        "fiveminutelmp/current",
        lambda d: recorded_prices("FiveMinLmp", 5, "lmp_five_minute", d),
        64,
    ),
    "fiveminutesystemload_current": ("fiveminutesystemload/current", recorded_five_minute_loads, 5),
    "genfuelmix_current": ("genfuelmix/current", recorded_fuel_mix, 18),
    "genfuelmix_day_20240309": ("genfuelmix/day/20240309", recorded_fuel_mix, 4196),
    "genfuelmix_day_20240310": ("genfuelmix/day/20240310", recorded_fuel_mix, 4788),
    "hourlylmp_da_final_day_20251102_location_4000": (
        "hourlylmp/da/final/day/20251102/location/4000",
        lambda d: recorded_prices("HourlyLmp", 60, "lmp_day_ahead", d),
        100,
    ),
    "hourlyloadforecast_all_day_20230501": ("hourlyloadforecast/all/day/20230501", recorded_forecast, 432),
    "hourlyloadforecast_current": ("hourlyloadforecast/current", recorded_forecast, 2),
    "hourlysysload_current": ("hourlysysload/current", recorded_loads, 3),
    "hourlysysload_day_20240309": ("hourlysysload/day/20240309", recorded_loads, 72),
    "hourlysysload_day_20240310": ("hourlysysload/day/20240310", recorded_loads, 69),
    "morningreport_current_2017": ("morningreport/current", recorded_morning_report, 50),
    "morningreport_current_2026": ("morningreport/current", recorded_morning_report, 58),
    "realtimehourlydemand_current_location_4001": (
        "realtimehourlydemand/current/location/4001",
        lambda d: recorded_intervals("HourlyRtDemand", 60, "MW", {"Load": "demand_real_time"}, d),
        1,
    ),
    "realtimehourlydemand_day_20240309_location_4001": (
        "realtimehourlydemand/day/20240309/location/4001",
        lambda d: recorded_intervals("HourlyRtDemand", 60, "MW", {"Load": "demand_real_time"}, d),
        24,
    ),
    "sevendayforecast_current_2017": ("sevendayforecast/current", recorded_seven_days, 156),
    "sevendayforecast_current_2026": ("sevendayforecast/current", recorded_seven_days, 144),
}
NO_SERIES = {"locations"}


def recorded(name: str) -> bytes:
    """The bytes of a recorded answer."""
    return (SHARED / "payloads" / "isone" / f"{name}.json").read_bytes()


@needs_shared
@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("known", ["by its path", "by its file's name or root"])
def test_a_recorded_answer_is_what_a_second_reading_finds(name: str, known: str) -> None:
    """Keys, units, locations, publication times and values equal those of a second reading, each key once."""
    path, read, count = RECORDED[name]
    body = recorded(name)
    page = parse(body, path) if known == "by its path" else parse(body, f"{name}.json", "http://localhost:8900/file")
    columns = ("interval_start", "interval_end", "location", "variable", "unit", "published_at", "value")
    rows = list(zip(*(page.observations[column].to_pylist() for column in columns), strict=True))
    expected = dict(read(json.loads(body)))
    assert {row[:-1]: row[-1] for row in rows} == expected
    assert len(rows) == len(expected) == count
    assert set(page.observations["source"].to_pylist()) <= {"iso_ne"}
    assert set(page.observations["retrieved_at"].to_pylist()) <= {AT}


@needs_shared
def test_every_recorded_answer_is_read_here() -> None:
    """Every recorded answer is tested, and the list of locations has no series."""
    files = {file.stem for file in (SHARED / "payloads" / "isone").glob("*.json")}
    assert files == RECORDED.keys() | NO_SERIES
    with pytest.raises(FormatError, match="holds Locations"):
        parse(recorded("locations"), "locations/all")


@needs_shared
def test_recorded_values_are_the_ones_in_the_file() -> None:
    """A few values equal those found by hand, including the hours of clock changes."""
    table = parse(recorded("hourlylmp_da_final_day_20251102_location_4000"), "hourlylmp/da/final/current").observations
    prices = {
        start: value
        for start, variable, value in zip(
            *(table[column].to_pylist() for column in ("interval_start", "variable", "value")), strict=True
        )
        if variable == "lmp_day_ahead"
    }
    assert len(prices) == 25
    assert [prices[datetime(2025, 11, 2, hour, tzinfo=UTC)] for hour in (4, 5, 6, 7)] == [32.34, 33.89, 31.96, 31.49]
    load = parse(recorded("hourlysysload_day_20240310")).observations
    assert load["interval_start"].to_pylist()[:3] == [datetime(2024, 3, 10, hour, tzinfo=UTC) for hour in (5, 6, 7)]
    assert math.isclose(load["value"][2].as_py(), 10790.338)


@pytest.mark.parametrize(
    ("path", "variable", "lag"),
    [
        ("fiveminutelmp/final", "lmp_five_minute_final", 7 * 24 * 60),
        ("fiveminutelmp/prelim", "lmp_five_minute_preliminary", 15),
        ("fiveminutelmp", "lmp_five_minute", 15),
        ("fifteenminutelmp/final", "lmp_fifteen_minute_final", 7 * 24 * 60),
        ("fifteenminutelmp/prelim", "lmp_fifteen_minute_preliminary", 15),
        ("fifteenminutelmp", "lmp_fifteen_minute", 15),
    ],
)
def test_final_prices_never_mix_with_preliminary_prices(path: str, variable: str, lag: int) -> None:
    """Final and preliminary prices have different names, and final prices are not available before they are settled."""
    entry = an_entry(f"{path}/current/location/4000")
    root = "FifteenMinLmp" if path.startswith("fifteen") else "FiveMinLmp"
    record = {"BeginDate": "2024-03-10T01:00:00.000-05:00", "Location": {"@LocId": "4000"}, "LmpTotal": 31.5}
    body = json.dumps({f"{root}s": {root: [record]}}).encode()
    table = iso_ne.parse_response(
        entry, iso_ne.build_requests(entry, None)[0], Response(body, datetime(2024, 3, 20, tzinfo=UTC))
    ).observations
    assert table["variable"].to_pylist() == [variable]
    assert entry.available.lag == timedelta(minutes=lag)


@pytest.mark.parametrize("resource", ["realtimehourlydemand", "dayaheadhourlydemand"])
@pytest.mark.parametrize("suffix", ["", ".json"])
def test_hourly_demand_without_a_location_is_asked_by_load_zone(resource: str, suffix: str) -> None:
    """Without a location, each of the eight zones is requested for each day."""
    entry = an_entry(f"{resource}/current{suffix}")
    two_days = period("2024-03-09T05:00", "2024-03-11T04:00")
    asked = iso_ne.build_requests(entry, two_days)
    zones = [(day, zone) for day in (20240309, 20240310) for zone in range(4001, 4009)]
    assert [request.url for request in asked] == [
        f"{BASE}/{resource}/day/{day}/location/{zone}{suffix}" for day, zone in zones
    ]
    assert len({request.label for request in asked}) == 16
    assert len(iso_ne.build_requests(an_entry(f"{resource}/current/location/4001"), two_days)) == 2


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("fiveminutelmp/current/all", "fiveminutelmp/current/location/4000"),
        ("hourlylmp/da/final/current/locationType/HUB", "hourlylmp/da/final/current/location/4000"),
        ("fiveminutesystemload/previous", "fiveminutesystemload/current"),
        ("genfuelmix/info", "genfuelmix/current"),
    ],
)
def test_a_url_without_history_is_refused_with_a_form_that_has_it(path: str, form: str) -> None:
    """The proposed URL takes periods; an entry that keeps only bodies is accepted."""
    with pytest.raises(ConfigurationError, match=rf"url: no history exists of .*; use {BASE}/{form}$"):
        an_entry(path)
    assert iso_ne.takes_period(an_entry(form))
    api = {"name": "bodies", "url": f"{BASE}/{path}", "output_folder": "bodies", "format": "json"}
    assert loading.parse({"apis": [api]}).apis[0].url.endswith(path)
