"""Open-Meteo in the sandbox: one or several locations, the lag of the archive, forecasts, zones, errors."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from gridtide.sandbox.formats.exchange import Question
from gridtide.sandbox.formats.open_meteo import count_calls
from gridtide.simulation import HOUR_STEP, Grid, list_interval_starts
from tests.support.upstreams.sandbox_server import NOW, serving

BOSTON = {"latitude": "42.36", "longitude": "-71.06"}


async def ask(client, path, status=200, **params):
    """The decoded answer, which must have this status."""
    async with client.get(f"/v1/{path}", params=params) as response:
        assert response.status == status, await response.text()
        return await response.json()


async def test_the_archive_is_the_simulation_under_gmt_labels():
    """Instants are at their label and radiation covers the hour before it, in the unit of the variable."""
    async with serving() as client:
        answer = await ask(
            client,
            "archive",
            **BOSTON,
            hourly="temperature_2m,shortwave_radiation",
            start_date="2024-03-10",
            end_date="2024-03-11",
        )
    times = list_interval_starts(
        datetime(2024, 3, 10, tzinfo=UTC), datetime(2024, 3, 12, tzinfo=UTC), timedelta(hours=1)
    )
    assert answer["hourly"]["time"][:2] == ["2024-03-10T00:00", "2024-03-10T01:00"]
    assert len(answer["hourly"]["time"]) == 48
    assert answer["hourly_units"] == {"time": "iso8601", "temperature_2m": "°C", "shortwave_radiation": "W/m²"}
    assert (answer["utc_offset_seconds"], answer["timezone"]) == (0, "GMT")
    grid = Grid(0)
    warm, bright = (grid.weather_at([42.36], [-71.06], t) for t in (times, times - HOUR_STEP // 2))
    np.testing.assert_array_equal(answer["hourly"]["temperature_2m"], warm.temperature[0].round(1))
    np.testing.assert_array_equal(answer["hourly"]["shortwave_radiation"], bright.irradiance[0].round(1))


async def test_several_points_are_a_list_numbered_from_the_second():
    """Several locations are a list in the order of the request, with a location_id from the second on."""
    async with serving() as client:
        answer = await ask(
            client, "archive", latitude="42.36,34.05", longitude="-71.06,-118.24", hourly="temperature_2m",
            start_date="2024-03-10", end_date="2024-03-10",
        )  # fmt: skip
    assert [point.get("location_id") for point in answer] == [None, 1]
    assert [point["latitude"] for point in answer] == [42.4, 34.0]
    assert answer[0]["hourly"]["temperature_2m"] != answer[1]["hourly"]["temperature_2m"]


async def test_the_archive_knows_nothing_of_the_last_five_days():
    """Hours of the last five days are null, earlier ones are not."""
    async with serving() as client:
        answer = await ask(
            client, "archive", **BOSTON, hourly="temperature_2m", start_date="2026-06-05", end_date="2026-06-10"
        )
    values = answer["hourly"]["temperature_2m"]
    assert [value is None for value in values] == [False] * 19 + [True] * (6 * 24 - 19)


async def test_a_forecast_reaches_a_week_ahead_and_differs_from_what_comes():
    """A forecast has seven days from midnight; its past is exact, and its end differs from the actual values."""
    async with serving() as client:
        answer = await ask(client, "forecast", **BOSTON, hourly="temperature_2m")
    times = list_interval_starts(
        datetime(2026, 6, 10, tzinfo=UTC), datetime(2026, 6, 17, tzinfo=UTC), timedelta(hours=1)
    )
    truth = Grid(0).weather_at([42.36], [-71.06], times).temperature[0].round(1)
    seen = np.array(answer["hourly"]["temperature_2m"])
    assert len(seen) == 168
    np.testing.assert_array_equal(seen[:19], truth[:19])
    assert np.abs(seen[-48:] - truth[-48:]).mean() > 0.5


async def test_forecasts_change_with_the_six_hourly_run():
    """A forecast changes with each six-hourly run, not in between."""
    seen = []
    for minutes in (0, 20, 360):
        async with serving(now=NOW + timedelta(minutes=minutes)) as client:
            answer = await ask(client, "forecast", **BOSTON, hourly="temperature_2m", forecast_days="3")
            seen.append(answer["hourly"]["temperature_2m"][-24:])
    assert seen[0] == seen[1] != seen[2]


async def test_another_zone_has_one_offset_for_all():
    """Labels of another zone start at local midnight, with one offset for all hours."""
    async with serving() as client:
        answer = await ask(
            client, "archive", **BOSTON, hourly="temperature_2m", start_date="2024-01-10", end_date="2024-01-10",
            timezone="America/New_York",
        )  # fmt: skip
    assert answer["utc_offset_seconds"] == -4 * 3600
    assert answer["timezone_abbreviation"] == "GMT-4"
    assert answer["hourly"]["time"][0] == "2024-01-10T00:00"


async def test_several_models_have_suffixed_columns():
    """Two models give columns `<variable>_<model>`, each with its unit."""
    async with serving() as client:
        answer = await ask(client, "forecast", **BOSTON, hourly="precipitation", models="gfs,icon", forecast_days="1")
    assert set(answer["hourly"]) == {"time", "precipitation_gfs", "precipitation_icon"}
    assert answer["hourly_units"]["precipitation_icon"] == "mm"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"end_date": "2026-06-11"}, "Parameter 'end_date' is out of allowed range from 1940-01-01 to 2026-06-10"),
        ({"hourly": "colour"}, "from invalid String value colour."),
        ({"latitude": "42,43"}, "must have the same number of elements"),
        ({"latitude": "98"}, "Latitude must be in range of -90 to 90°. Given: 98.0."),
        ({"start_date": ""}, "Parameter 'start_date' must be set"),
        ({"timezone": "Mars/Olympus"}, "Invalid timezone"),
    ],
)
async def test_errors_are_400_with_a_reason(changed, reason):
    """Errors are 400 with {"error": true, "reason": …}."""
    asked = {**BOSTON, "hourly": "temperature_2m", "start_date": "2026-06-01", "end_date": "2026-06-02", **changed}
    async with serving() as client:
        answer = await ask(client, "archive", 400, **asked)
    assert answer["error"] is True
    assert reason in answer["reason"]


def test_long_and_wide_requests_count_more():
    """A request of 28 days of two locations counts as four, one of a day of one location as one."""

    def asked(**params):
        return Question("/v1/archive", tuple(params.items()), {}, Grid(0), NOW)

    short = {**BOSTON, "hourly": "rain", "start_date": "2024-01-01", "end_date": "2024-01-01"}
    assert count_calls(asked(**short)) == 1
    long = {**short, "end_date": "2024-01-28", "latitude": "42,43", "longitude": "-71,-72"}
    assert count_calls(asked(**long)) == 4


async def test_previous_runs_are_further_from_the_weather_the_older_they_are():
    """A forecast of seven days before differs more from the weather than one of the day before, over past days too."""
    names = ["temperature_2m_previous_day1", "temperature_2m_previous_day7"]
    async with serving() as client:
        answer = await ask(
            client, "forecast", **BOSTON, hourly=",".join(names), start_date="2024-01-10", end_date="2024-02-10"
        )
    times = list_interval_starts(
        datetime(2024, 1, 10, tzinfo=UTC), datetime(2024, 2, 11, tzinfo=UTC), timedelta(hours=1)
    )
    weather = Grid(0).weather_at([42.36], [-71.06], times).temperature[0]
    near, far = (np.abs(np.array(answer["hourly"][name]) - weather).mean() for name in names)
    assert 0 < near < far
