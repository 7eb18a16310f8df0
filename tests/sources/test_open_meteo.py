"""Open-Meteo: preceding hours, locations, and every recorded answer in a second reading."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from gridtide.config import loading
from gridtide.entries.auth import KeyAuth, NoAuth
from gridtide.entries.entry import Entry, RateLimit
from gridtide.errors import ConfigurationError, FormatError, QuotaError, UpstreamError
from gridtide.observations.availability import available_at
from gridtide.periods import Period, microseconds
from gridtide.sources import open_meteo
from gridtide.sources.contract import BOM, Page, Request, Response, Skipped
from tests.support.shared import SHARED, needs_shared

AT = datetime(2026, 8, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ARCHIVE = "https://archive-api.open-meteo.com/v1/archive"
FORECAST = "https://api.open-meteo.com/v1/forecast"
BOSTON: dict[str, Any] = {"latitude": 42.36, "longitude": -71.06, "hourly": ["temperature_2m"]}
TWO: dict[str, Any] = {"latitude": "42.36,41.3", "longitude": [-71.06, -72.9], "hourly": "temperature_2m"}


def an_entry(url: str = ARCHIVE, params: dict[str, Any] | None = None, **keys: Any) -> Entry:
    """An entry for Boston unless `params` say otherwise."""
    api = {"name": "weather", "url": url, "source": "open_meteo", "output_folder": "weather", **keys}
    return loading.parse({"apis": [{**api, "params": BOSTON if params is None else params}]}).apis[0]


def an_answer(units: dict[str, str] | None = None, **columns: list[Any]) -> dict[str, Any]:
    """An answer with an hour from 2024 on for each value, in °C unless `units` say otherwise."""
    hours = len(next(iter(columns.values()), []))
    times = [f"2024-01-01T{hour:02}:00" for hour in range(hours)]
    return {
        "latitude": 42.355,
        "longitude": -71.05,
        "utc_offset_seconds": 0,
        "timezone": "GMT",
        "hourly_units": {"time": "iso8601", **dict.fromkeys(columns, "°C"), **(units or {})},
        "hourly": {"time": times, **columns},
    }


def parse(document: Any, entry: Entry | None = None) -> Page:
    """The page of `document`, as the answer to `entry`."""
    entry = entry or an_entry()
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return open_meteo.parse_response(entry, open_meteo.build_requests(entry, None)[0], Response(body, AT))


def column(page: Page, name: str) -> list[Any]:
    """One column of the page's observations."""
    values: list[Any] = page.observations[name].to_pylist()
    return values


def period(start: str, end: str) -> Period:
    """A period between two UTC times."""
    return Period(datetime.fromisoformat(start + "+00:00"), datetime.fromisoformat(end + "+00:00"))


# What is asked


@pytest.mark.parametrize(
    ("hourly", "start", "end", "days"),
    [
        (["temperature_2m"], "2024-01-01T00:00", "2024-01-03T00:00", ("2024-01-01", "2024-01-02")),
        (["temperature_2m"], "2024-01-01T05:00", "2024-01-03T01:00", ("2024-01-01", "2024-01-03")),
        (["temperature_2m", "rain"], "2024-01-01T00:00", "2024-01-03T00:00", ("2024-01-01", "2024-01-03")),
        (["shortwave_radiation"], "2024-01-01T22:00", "2024-01-01T23:00", ("2024-01-01", "2024-01-01")),
        (["shortwave_radiation"], "2024-01-01T23:00", "2024-01-02T00:00", ("2024-01-01", "2024-01-02")),
    ],
)
def test_a_period_is_asked_in_whole_days(hourly: list[str], start: str, end: str, days: tuple[str, str]) -> None:
    """`end_date` is inclusive, and the last hour of a sum is labelled with its end, perhaps on the next day."""
    (asked,) = open_meteo.build_requests(an_entry(params=BOSTON | {"hourly": hourly}), period(start, end))
    params = dict(asked.params)
    assert (params["start_date"], params["end_date"]) == days
    assert asked.period == period(start, end)


def test_a_long_period_is_asked_by_the_year() -> None:
    """A request has at most 365 days, or `chunk`; requests touch and have different labels."""
    whole = period("2019-01-01T00:00", "2024-01-01T00:00")
    asked = open_meteo.build_requests(an_entry(chunk="P1000D"), whole)
    assert len(asked) == len({request.label for request in asked}) == 6
    assert [asked[0].period, asked[-1].period] == [
        period("2019-01-01T00:00", "2020-01-01T00:00"),
        period("2023-12-31T00:00", "2024-01-01T00:00"),
    ]
    assert len(open_meteo.build_requests(an_entry(chunk="P30D"), period("2024-01-01T00:00", "2024-03-01T00:00"))) == 2


@pytest.mark.parametrize("url", [ARCHIVE, FORECAST])
def test_times_are_always_asked_for_in_gmt(url: str) -> None:
    """Times are requested in GMT, whatever zone and format the configuration has."""
    entry = an_entry(
        url, BOSTON | {"timezone": "America/New_York", "timeformat": "unixtime", "models": ["era5", "ifs"]}
    )
    (asked,) = open_meteo.build_requests(entry, None)
    assert dict(asked.params) == {
        "latitude": "42.36",
        "longitude": "-71.06",
        "hourly": "temperature_2m",
        "models": "era5,ifs",
        "timezone": "GMT",
        "timeformat": "iso8601",
    }
    assert asked.url == url


def test_parameters_may_stand_in_the_url() -> None:
    """Parameters in the URL are sent once, and those of the entry take precedence."""
    entry = an_entry(f"{FORECAST}?latitude=1&longitude=2&hourly=rain&hourly=showers&past_days=1", {"latitude": 3})
    (asked,) = open_meteo.build_requests(entry, None)
    assert asked.url == FORECAST
    assert asked.params[:4] == (("latitude", "3"), ("longitude", "2"), ("hourly", "rain,showers"), ("past_days", "1"))


@pytest.mark.parametrize(
    ("url", "params", "expected"),
    [
        (ARCHIVE, BOSTON, True),
        ("http://localhost:8900/v1/archive", BOSTON, True),
        (ARCHIVE, BOSTON | {"start_date": "2024-01-01", "end_date": "2024-01-02"}, False),
        (FORECAST, BOSTON, False),
        ("http://localhost:8900/v1/forecast", BOSTON, False),
        ("https://historical-forecast-api.open-meteo.com/v1/forecast", BOSTON, True),
        ("https://customer-historical-forecast-api.open-meteo.com/v1/forecast", BOSTON, True),
        ("https://previous-runs-api.open-meteo.com/v1/forecast", BOSTON, True),
        ("http://localhost:8900/v1/forecast", BOSTON | {"hourly": ["rain", "rain_previous_day2"]}, True),
        ("http://localhost:8900/v1/forecast?hourly=rain,rain_previous_day2", {**BOSTON, "hourly": "rain"}, True),
        ("https://ensemble-api.open-meteo.com/v1/ensemble", BOSTON, False),
    ],
)
def test_archives_take_a_period_and_forecasts_are_snapshots(url: str, params: dict[str, Any], expected: bool) -> None:
    """An archive takes a period unless its days are in the configuration; a forecast is a snapshot."""
    entry = an_entry(url, params)
    assert open_meteo.takes_period(entry) is expected
    asked = open_meteo.build_requests(entry, period("2023-01-01T00:00", "2023-01-02T00:00"))
    assert (("start_date", "2023-01-01") in asked[0].params) is expected


def test_defaults_are_the_documented_limits() -> None:
    """Defaults are a key only for customers, three rates, and five days of lag for the archive."""
    archive, forecast = an_entry(ARCHIVE), an_entry(FORECAST)
    assert archive.auth == NoAuth()
    customer = an_entry("https://customer-api.open-meteo.com/v1/forecast")
    assert customer.auth == KeyAuth(kind="api_key", env="OPEN_METEO_API_KEY", place="query", name="apikey")
    assert archive.rate_limit == RateLimit(name="open_meteo", rates=("600/minute", "5000/hour", "10000/day"))
    assert (archive.available.lag, forecast.available.lag) == (timedelta(days=5), timedelta(0))


# Intervals, names and units


@pytest.mark.parametrize(
    "name",
    [
        *("precipitation", "rain", "showers", "snowfall", "precipitation_probability", "rain_gfs_seamless"),
        *("shortwave_radiation", "direct_radiation", "diffuse_radiation", "direct_normal_irradiance"),
        *("global_tilted_irradiance", "terrestrial_radiation", "shortwave_radiation_era5", "sunshine_duration"),
        *("evapotranspiration", "et0_fao_evapotranspiration", "snowfall_water_equivalent"),
    ],
)
def test_sums_and_means_cover_the_preceding_hour(name: str) -> None:
    """The value at `t` covers `[t − 1 h, t)`."""
    page = parse(an_answer(**{name: [1.0, 2.0]}))
    labels = [datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in (0, 1)]
    assert column(page, "interval_start") == [label - HOUR for label in labels]
    assert column(page, "interval_end") == labels


@pytest.mark.parametrize(
    "name",
    [
        *("temperature_2m", "wind_speed_10m", "wind_gusts_10m", "cloud_cover", "weather_code", "snow_depth", "is_day"),
        *("shortwave_radiation_instant", "direct_normal_irradiance_instant", "shortwave_radiation_instant_era5"),
        *("snowfall_height", "temperature_2m_era5", "cape", "visibility", "terrain"),
    ],
)
def test_everything_else_is_an_instant(name: str) -> None:
    """The interval of other variables starts and ends at the label."""
    page = parse(an_answer(**{name: [1.0, 2.0]}))
    labels = [datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in (0, 1)]
    assert column(page, "interval_start") == column(page, "interval_end") == labels


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        (ARCHIVE, "temperature_2m"),
        (FORECAST, "temperature_2m_forecast"),
        ("http://localhost:8900/v1/forecast", "temperature_2m_forecast"),
        ("http://localhost:8900/v1/archive", "temperature_2m"),
        ("https://historical-forecast-api.open-meteo.com/v1/forecast", "temperature_2m_forecast"),
        ("https://customer-api.open-meteo.com/v1/gfs", "temperature_2m_forecast"),
        ("https://mirror.example/v1/ecmwf", "temperature_2m_forecast"),
        ("https://customer-archive-api.open-meteo.com/v1/archive", "temperature_2m"),
    ],
)
def test_a_forecast_is_another_product(url: str, variable: str) -> None:
    """Names of forecasts end in `_forecast`."""
    assert column(parse(an_answer(temperature_2m=[1.0]), an_entry(url)), "variable") == [variable]


def test_historical_forecasts_are_known_after_their_hour() -> None:
    """Historical forecasts, joined from the first hours of runs, have no time of publication and are available like the
    archive, or after the entry's `lag`; a rule by which they were known before their hour is refused."""
    url = "https://historical-forecast-api.open-meteo.com/v1/forecast"
    assert an_entry(url).available.lag == timedelta(days=5)
    entry = an_entry(url, available={"lag": "PT9H"})
    page = parse(an_answer(temperature_2m=[1.0, 2.0]), entry)
    assert column(page, "published_at") == [None, None]
    ends = np.array([microseconds(moment) for moment in column(page, "interval_end")])
    assert (available_at(entry.available, ends, ends) == ends + 9 * 3_600_000_000).all()
    for rule in ({"lag": "-P1D"}, {"day_before": "10:00"}):
        with pytest.raises(ConfigurationError, match="replaces a forecast until its hour"):
            an_entry(url, available=rule)


@pytest.mark.parametrize("rule", [{"lag": "-PT24H"}, {"day_before": "10:00"}])
def test_a_previous_run_is_not_known_before_it_was_made(rule: dict[str, str]) -> None:
    """A rule that subtracts the days of a previous run once more is refused, and the reason is that of this product."""
    with pytest.raises(ConfigurationError, match="the days of a previous run are subtracted from its hours already"):
        an_entry("https://previous-runs-api.open-meteo.com/v1/forecast", available=rule)


@pytest.mark.parametrize("lag", [None, "PT4H"])
def test_previous_runs_were_issued_days_before_their_label(lag: str | None) -> None:
    """A value of `…_previous_dayN` is published N days before its label, plus the delay of the model: 9 hours, or the
    entry's `lag`; other variables have no time of publication. A sum counts from its label, the end of its hour."""
    entry = an_entry(
        "https://previous-runs-api.open-meteo.com/v1/forecast", **({"available": {"lag": lag}} if lag else {})
    )
    delay = timedelta(hours=4 if lag else 9)
    assert entry.available.lag == delay
    names = ("temperature_2m_previous_day1", "temperature_2m_previous_day7_gfs_seamless", "rain_previous_day2", "rain")
    page = parse(an_answer(**{name: [1.0, 2.0] for name in names}), entry)
    labels = [datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in (0, 1)]
    assert column(page, "variable")[::2] == [f"{name}_forecast" for name in names]
    assert column(page, "published_at") == [
        *(label - timedelta(days=1) + delay for label in labels),
        *(label - timedelta(days=7) + delay for label in labels),
        *(label - timedelta(days=2) + delay for label in labels),
        *(None, None),
    ]
    assert column(page, "interval_end") == labels * 4
    assert column(page, "interval_start")[4:6] == [label - HOUR for label in labels]


def test_units_are_those_of_the_answer() -> None:
    """Each variable has the unit of the answer, values may be integers, floats and nulls, and models have columns of
    their own."""
    page = parse(an_answer({"cloud_cover": "%"}, temperature_2m_era5=[1, None], cloud_cover=[None, 50]))
    assert column(page, "variable") == ["temperature_2m_era5"] * 2 + ["cloud_cover"] * 2
    assert column(page, "unit") == ["°C"] * 2 + ["%"] * 2
    assert column(page, "value") == [1.0, None, None, 50.0]
    assert page.record_count == 2
    assert page.observations["published_at"].null_count == 4


def test_other_blocks_are_passed_over() -> None:
    """Blocks other than the hourly one are not read."""
    other = {"time": ["2024-01-01T00:00"], "temperature_2m": [9.0]}
    current = {"current": {"time": "2024-01-01T00:15", "interval": 900, "temperature_2m": 9.0}}
    page = parse({**an_answer(temperature_2m=[1.0]), **current, "minutely_15": other, "daily": other})
    assert column(page, "value") == [1.0]


# Locations


@pytest.mark.parametrize(
    ("coordinates", "expected"),
    [
        ({"latitude": 42.36, "longitude": -71.06}, "42.36,-71.06"),
        ({"latitude": "42.360", "longitude": "-71.0600"}, "42.360,-71.0600"),
        ({"latitude": [42], "longitude": [-71]}, "42,-71"),
    ],
)
def test_a_location_without_a_name_is_its_coordinates_as_asked(coordinates: dict[str, Any], expected: str) -> None:
    """Without a name, the location is the requested coordinates, not those of the grid cell."""
    entry = an_entry(params=BOSTON | coordinates)
    assert column(parse(an_answer(temperature_2m=[1.0]), entry), "location") == [expected]


def test_a_named_location_has_its_name() -> None:
    """The entry's `location` takes precedence over the coordinates."""
    entry = an_entry(location="Boston")
    assert column(parse(an_answer(temperature_2m=[1.0]), entry), "location") == ["Boston"]


@pytest.mark.parametrize(
    ("keys", "expected"), [({"location": ["Boston", "New Haven"]}, ["Boston", "New Haven"]), ({}, None)]
)
def test_several_coordinates_are_matched_in_order(keys: dict[str, Any], expected: list[str] | None) -> None:
    """A list of answers is matched by `location_id` (0 if missing), in any order."""
    first, second = an_answer(temperature_2m=[1.0]), an_answer(temperature_2m=[2.0]) | {"location_id": 1}
    for document in ([first, second], [second, first]):
        page = parse(document, an_entry(params=TWO, **keys))
        assert column(page, "location") == (expected or ["42.36,-71.06", "41.3,-72.9"])
        assert column(page, "value") == [1.0, 2.0]


def test_spaces_between_coordinates_do_not_matter() -> None:
    """`42.36, 41.3` are two latitudes."""
    entry = an_entry(params=TWO | {"latitude": "42.36, 41.3"})
    assert dict(open_meteo.build_requests(entry, None)[0].params)["latitude"] == "42.36,41.3"


@pytest.mark.parametrize(
    ("params", "location"),
    [(TWO, "Boston"), (TWO, ["a", "b", "c"]), (TWO | {"longitude": 1}, None), ({"hourly": "rain"}, None)],
)
def test_names_and_coordinates_must_agree(params: dict[str, Any], location: Any) -> None:
    """Without one name for each pair of coordinates, or none, no request is sent."""
    with pytest.raises(ConfigurationError, match=r"weather: has \d latitudes, \d longitudes and \d locations"):
        open_meteo.build_requests(an_entry(params=params, location=location), None)


# What goes wrong


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"hourly": {"time": [', b"\xff", b"Unexpected error while streaming", b'{"a":' * 10_000]
)
def test_a_body_that_is_no_json_may_pass(body: bytes) -> None:
    """Truncated and empty bodies and HTML are upstream errors, which are retried."""
    with pytest.raises(UpstreamError, match="weather: the answer is not JSON"):
        parse(body)


@pytest.mark.parametrize(
    ("reason", "wait"),
    [
        ("Minutely API request limit exceeded. Please try again in one minute.", 60),
        ("Hourly API request limit exceeded. Please try again in the next hour.", 45 * 60),
        ("Daily API request limit exceeded. Please try again tomorrow.", 45 * 60 + 5 * 3600),
        ("Concurrent request limit exceeded", None),
    ],
)
def test_a_limit_is_a_quota_whatever_the_status_says(reason: str, wait: float | None) -> None:
    """An exceeded limit is a quota error with HTTP 200 too, with the wait until the limit ends."""
    body = json.dumps({"error": True, "reason": reason}).encode()
    with pytest.raises(QuotaError, match=r"weather: Open-Meteo refuses: .*limit exceeded") as caught:
        open_meteo.parse_response(
            an_entry(), Request(ARCHIVE), Response(body, datetime(2026, 1, 1, 18, 15, tzinfo=UTC))
        )
    assert caught.value.wait == wait


def test_a_byte_order_mark_is_passed_over() -> None:
    """JSON with a byte order mark is read."""
    body = json.dumps(an_answer(temperature_2m=[1.5])).encode()
    assert column(parse(BOM + body), "value") == [1.5]


def test_a_refusal_names_its_reason() -> None:
    """The error contains the upstream's reason."""
    with pytest.raises(ConfigurationError, match="'start_date' is out of allowed range"):
        parse({"error": True, "reason": "Parameter 'start_date' is out of allowed range from 2016-01-01 to 2026-10-09"})


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"utc_offset_seconds": -18000}, "times are -18000 s off GMT"),
        ({"hourly": None}, "no hourly block"),
        ({"hourly": {"temperature_2m": [1.0]}}, "no hourly block"),
        ({"hourly": {"time": ["2024-01-01T00:00"], "temperature_2m": [1.0, 2.0]}}, "2 values for 1 hours"),
        ({"hourly": {"time": ["2024-01-01T00:00"], "rain": [1.0]}}, "or no unit"),
        ({"hourly": {"time": ["soon"], "temperature_2m": [1.0]}}, "not a time"),
        ({"hourly": {"time": [1704067200], "temperature_2m": [1.0]}}, "not a time"),
        ({"hourly": {"time": [None], "temperature_2m": [1.0]}}, "hourly.time has 1 nulls"),
        (
            {"hourly": {"time": ["2024-01-01T00:00"], "temperature_2m": ["warm"]}},
            "weather: no value is a number, the first is temperature_2m of .* at 2024-01-01T00:00: .warm.",
        ),
        ({"hourly": [1]}, "documented shape"),
    ],
)
def test_another_shape_breaks_the_promise(changes: dict[str, Any], missing: str) -> None:
    """An answer that is not in GMT, or lacks a part, is refused with the reason."""
    with pytest.raises(FormatError, match=missing):
        parse({**an_answer(temperature_2m=[1.0]), **changes})


@pytest.mark.parametrize("document", [[], [an_answer(temperature_2m=[1.0])] * 3])
def test_an_answer_for_other_places_is_refused(document: Any) -> None:
    """An answer with another number of locations than requested is refused."""
    with pytest.raises(FormatError, match=f"2 locations were requested, the answer has {len(document)}"):
        parse(document, an_entry(params=TWO))


# The recorded answers, read a second time with nothing but json and datetime


RECORDED: dict[str, tuple[str, list[str], int]] = {  # file: url, locations, observations
    "archive_20240101_20240102_gmt.json": (ARCHIVE, ["Berlin"], 48),
    "ruby_forecast_general_http200.json": (FORECAST, ["Berlin"], 168),
    "shiplog_openmeteo_archive.json": (ARCHIVE, ["Vir", "Zadar"], 240),
}
REFUSED = {
    "error_start_date_out_of_range_http400.json": ConfigurationError,
    "error_429_bodies_quoted.txt": QuotaError,
}


@needs_shared
@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_answer_is_what_a_second_reading_finds(name: str) -> None:
    """Keys, units, locations and values equal those of a second reading; all recorded variables are instants."""
    url, locations, count = RECORDED[name]
    body = (SHARED / "payloads" / "openmeteo" / name).read_bytes()
    places = {"latitude": [1.0] * len(locations), "longitude": [2.0] * len(locations), "hourly": "temperature_2m"}
    page = parse(body, an_entry(url, places, location=locations))
    document = json.loads(body)
    expected = {}
    for location, answer in zip(locations, document if isinstance(document, list) else [document], strict=True):
        times = answer["hourly"].pop("time")
        for variable, values in answer["hourly"].items():
            unit = answer["hourly_units"][variable]
            for time, value in zip(times, values, strict=True):
                at = datetime.strptime(time, "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
                expected[at, at, location, variable + "_forecast" * (url == FORECAST), unit] = float(value)
    columns = ("interval_start", "interval_end", "location", "variable", "unit", "value")
    rows = list(zip(*(column(page, name) for name in columns), strict=True))
    assert {row[:-1]: row[-1] for row in rows} == expected
    assert len(rows) == count


@needs_shared
def test_every_recorded_answer_is_read_here() -> None:
    """Every recorded answer is tested; each refusal has its reason."""
    folder = SHARED / "payloads" / "openmeteo"
    assert {file.name for file in folder.iterdir()} == RECORDED.keys() | REFUSED.keys()
    for name, kind in REFUSED.items():
        for body in (folder / name).read_bytes().splitlines():
            with pytest.raises(kind) as refusal:
                parse(body)
            assert json.loads(body)["reason"] in str(refusal.value)


def test_an_overload_under_http_200_may_pass() -> None:
    """An overload with HTTP 200 is an upstream error, which is retried."""
    with pytest.raises(UpstreamError, match="The service is overloaded"):
        parse({"error": True, "reason": "The service is overloaded"})


def test_a_location_that_fails_does_not_lose_the_others() -> None:
    """A `nan` is stored as a null and counted with an example, and all other values are read."""
    entry = an_entry(FORECAST, TWO, location=["a", "b"])
    failed = json.dumps(an_answer(temperature_2m=[1.0, 5.0])).replace("42.355", "-nan").replace("5.0]", "-nan]")
    page = parse(f"[{failed},{json.dumps(an_answer(temperature_2m=[2.0, 2.5]) | {'location_id': 1})}]".encode(), entry)
    assert list(zip(column(page, "location"), column(page, "value"), strict=True)) == [
        ("a", 1.0),
        ("a", None),
        ("b", 2.0),
        ("b", 2.5),
    ]
    assert page.skipped == [Skipped("not a number", 1, "hourly: -nan")]


def test_members_of_an_ensemble_and_models_are_series_of_their_own() -> None:
    """Members and models keep the ending of the upstream, and cover the preceding hour if their variable does."""
    names = ["temperature_2m", "temperature_2m_member01", "precipitation_gfs_seamless"]
    page = parse(
        an_answer(**{name: [1.0] for name in names}), an_entry("https://ensemble-api.open-meteo.com/v1/ensemble")
    )
    assert column(page, "variable") == [f"{name}_forecast" for name in names]
    starts, ends = column(page, "interval_start"), column(page, "interval_end")
    assert [end - start for start, end in zip(starts, ends, strict=True)] == [
        timedelta(0),
        timedelta(0),
        timedelta(hours=1),
    ]
