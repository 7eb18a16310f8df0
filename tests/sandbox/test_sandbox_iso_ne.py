"""ISO-NE web services in the sandbox: shapes, days of 23 and 25 hours, changes over the years, empty answers,
errors."""

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from gridtide.sandbox.formats.iso_ne import draw_fuel_mix, list_readings
from gridtide.simulation import HOUR_STEP, Grid, list_interval_starts
from tests.support.upstreams.sandbox_server import BASIC, NOW, serving


async def ask(client, tail, status=200, headers=BASIC):
    """The decoded answer at this path below /api/v1.1/, which must have this status."""
    async with client.get(f"/api/v1.1/{tail}", headers=headers) as response:
        assert response.status == status, await response.text()
        return json.loads(await response.text()) if status == 200 else await response.text()


async def test_without_credentials_there_is_a_challenge_in_html():
    """Missing and wrong credentials give 401 and HTML with a Basic challenge."""
    async with serving() as client:
        for headers in ({}, {"Authorization": "Basic bm86bm8="}):
            async with client.get("/api/v1.1/genfuelmix/current", headers=headers) as response:
                assert response.status == 401
                assert response.content_type == "text/html"
                assert response.headers["WWW-Authenticate"].startswith("Basic realm=")


async def test_json_comes_by_accept_or_suffix_and_xml_otherwise():
    """Both ways to request JSON give the same; XML has attributes and texts where JSON has @ and $."""
    plain = {"Authorization": BASIC["Authorization"]}
    async with serving() as client:
        by_accept = await ask(client, "hourlysysload/current")
        by_suffix = await ask(client, "hourlysysload/current.json", headers=plain)
        async with client.get("/api/v1.1/hourlysysload/current", headers=plain) as response:
            assert response.content_type == "application/xml"
            root = ElementTree.fromstring(await response.text())  # noqa: S314  # our own server's
    assert by_accept == by_suffix
    record = by_accept["HourlySystemLoads"]["HourlySystemLoad"]
    location = root.find("HourlySystemLoad/Location")
    assert (location.attrib, location.text) == ({"LocId": "32"}, "NEPOOL AREA")
    assert root.findtext("HourlySystemLoad/BeginDate") == record["BeginDate"] == "2026-06-10T13:00:00.000-04:00"


async def test_one_record_comes_in_three_shapes():
    """A single record is an object under the plural, an object under the singular, or a list of one."""
    async with serving() as client:
        load = await ask(client, "hourlysysload/current")
        demand = await ask(client, "realtimehourlydemand/current/location/4001")
        frequent = await ask(client, "fiveminutesystemload/current")
    assert isinstance(load["HourlySystemLoads"]["HourlySystemLoad"], dict)
    assert demand["HourlyRtDemand"]["Location"]["@LocId"] == "4001"
    assert len(frequent["FiveMinSystemLoad"]) == 1


async def test_days_without_data_are_empty_in_several_ways():
    """Five days in the future give five forms of empty answers."""
    async with serving() as client:
        forms = {json.dumps(await ask(client, f"hourlysysload/day/202606{day}")) for day in range(20, 25)}
    assert forms == {
        '{"HourlySystemLoads": {}}',
        '{"HourlySystemLoads": ""}',
        '{"HourlySystemLoads": null}',
        '{"HourlySystemLoads": {"HourlySystemLoad": []}}',
        "{}",
    }


@pytest.mark.parametrize(
    ("day", "hours", "offsets"),
    [("20240310", 23, {"-05:00": 2, "-04:00": 21}), ("20251102", 25, {"-04:00": 2, "-05:00": 23})],
)
async def test_clock_changes_make_days_of_23_and_25_hours(day, hours, offsets):
    """Days of clock changes have both offsets, and their hours are continuous."""
    async with serving() as client:
        records = (await ask(client, f"hourlylmp/da/final/day/{day}/location/4000"))["HourlyLmps"]["HourlyLmp"]
    stamps = [record["BeginDate"] for record in records]
    assert Counter(stamp[-6:] for stamp in stamps) == offsets
    moments = [datetime.fromisoformat(stamp) for stamp in stamps]
    assert len(moments) == hours
    assert {later - earlier for earlier, later in pairwise(moments)} == {timedelta(hours=1)}


async def test_hourly_load_is_the_simulation_and_begins_its_hour():
    """The native load of a settled day is the simulated demand; Load = NativeLoad + ArdDemand."""
    async with serving() as client:
        records = (await ask(client, "hourlysysload/day/20240309"))["HourlySystemLoads"]["HourlySystemLoad"]
    begins = list_interval_starts(
        datetime(2024, 3, 9, 5, tzinfo=UTC), datetime(2024, 3, 10, 5, tzinfo=UTC), timedelta(hours=1)
    )
    state = Grid(0).state_at("ISNE", begins + HOUR_STEP // 2)
    assert records[0]["BeginDate"] == "2024-03-09T00:00:00.000-05:00"
    assert [record["NativeLoad"] for record in records] == state.demand.round(3).tolist()
    for record in records:
        assert record["Load"] == pytest.approx(record["NativeLoad"] + record["ArdDemand"], abs=0.0015)
        assert record["Location"] == {"@LocId": "32", "$": "NEPOOL AREA"}


async def test_prices_add_up_and_whole_ones_are_integers():
    """LmpTotal is the sum of its components; a congestion of zero is 0, not 0.0."""
    async with serving() as client:
        text = json.dumps(await ask(client, "hourlylmp/da/final/day/20240309"))
    records = json.loads(text)["HourlyLmps"]["HourlyLmp"]
    assert len(records) == 24 * 12
    for record in records:
        parts = (record[f"{name}Component"] for name in ("Energy", "Congestion", "Loss"))
        assert record["LmpTotal"] == pytest.approx(sum(parts), abs=0.005)
    assert '"CongestionComponent": 0,' in text
    assert records[1]["Location"] == {"@LocId": "4001", "@LocType": "LOAD ZONE", "$": ".Z.MAINE"}


async def test_the_fuel_mix_is_read_at_odd_seconds_and_sums_to_the_generation():
    """There are 188 to 267 readings a day at irregular seconds, each with 9 to 12 fuels that add up to the
    generation."""
    async with serving() as client:
        records = (await ask(client, "genfuelmix/day/20240309"))["GenFuelMixes"]["GenFuelMix"]
    by_time = {}
    for record in records:
        by_time.setdefault(record["BeginDate"], {})[record["FuelCategory"]] = record["GenMw"]
    assert 188 <= len(by_time) <= 267
    gaps = np.diff([datetime.fromisoformat(stamp).timestamp() for stamp in by_time])
    assert len(set(gaps.tolist())) > 50
    assert len({len(fuels) for fuels in by_time.values()}) > 1
    times = list_readings(Grid(0), date(2024, 3, 9))
    state = Grid(0).state_at("ISNE", times).whole()
    assert [sum(fuels.values()) for fuels in by_time.values()] == state.net_generation.astype(int).tolist()
    assert {record["FuelCategory"]: record["FuelCategoryRollup"] for record in records}["Wood"] == "Renewables"


async def test_batteries_are_listed_since_2026():
    """Batteries are listed from 1 January 2026 on; flags are Y, N or rarely absent."""
    async with serving() as client:
        before, since = [
            (await ask(client, f"genfuelmix/day/{day}"))["GenFuelMixes"]["GenFuelMix"]
            for day in ("20251231", "20260101")
        ]
    assert "Batteries" not in {record["FuelCategory"] for record in before}
    assert "Batteries" in {record["FuelCategory"] for record in since}
    flags = Counter(record.get("MarginalFlag") for record in before + since)
    assert flags["N"] > flags["Y"] > flags[None] >= 0


async def test_fuel_mix_now_is_the_last_reading_of_the_day():
    """`current` is the last reading of the day."""
    async with serving() as client:
        now = (await ask(client, "genfuelmix/current"))["GenFuelMixes"]["GenFuelMix"]
        day = (await ask(client, "genfuelmix/day/20260610"))["GenFuelMixes"]["GenFuelMix"]
    assert now == day[-len(now) :]
    assert NOW - timedelta(minutes=9) < datetime.fromisoformat(now[0]["BeginDate"]) < NOW


async def test_forecasts_come_in_vintages():
    """An hour has 6 to 9 vintages, all created before now; `day` has only the newest."""
    async with serving() as client:
        every = (await ask(client, "hourlyloadforecast/all/day/20240501"))["HourlyLoadForecasts"]["HourlyLoadForecast"]
        newest = (await ask(client, "hourlyloadforecast/day/20240501"))["HourlyLoadForecasts"]["HourlyLoadForecast"]
        ahead = (await ask(client, "hourlyloadforecast/all/day/20260611"))["HourlyLoadForecasts"]["HourlyLoadForecast"]
        [last] = (await ask(client, "hourlyloadforecast/current"))["HourlyLoadForecast"]
    vintages = {record["CreationDate"] for record in every}
    assert 6 <= len(vintages) <= 9
    assert set(Counter(record["BeginDate"] for record in every).values()) == {len(vintages)}
    assert {record["CreationDate"] for record in newest} == {max(vintages)}
    assert all(datetime.fromisoformat(record["CreationDate"]) <= NOW for record in ahead)
    assert last["BeginDate"].startswith("2026-06-12T23")


async def test_what_is_final_comes_later_than_what_is_preliminary():
    """Day-ahead prices reach tomorrow, preliminary ones the last hour, and final ones five days ago."""
    async with serving() as client:
        assert (
            len((await ask(client, "hourlylmp/da/final/day/20260611/location/4000"))["HourlyLmps"]["HourlyLmp"]) == 24
        )
        prelim = await ask(client, "hourlylmp/rt/prelim/day/20260610/location/4000")
        final = await ask(client, "hourlylmp/rt/final/day/20260605/location/4000")
    assert prelim["HourlyLmps"]["HourlyLmp"][-1]["BeginDate"] == "2026-06-10T13:00:00.000-04:00"
    assert final["HourlyLmps"]["HourlyLmp"][-1]["BeginDate"] == "2026-06-05T13:00:00.000-04:00"


async def test_reports_drift_over_the_years():
    """Types and fields of reports differ between 2019 and 2026."""
    async with serving() as client:
        [old] = (await ask(client, "morningreport/day/20190130"))["MorningReports"]["MorningReport"]
        [new] = (await ask(client, "morningreport/day/20260609"))["MorningReports"]["MorningReport"]
        [before] = (await ask(client, "sevendayforecast/day/20190130"))["SevenDayForecasts"]["SevenDayForecast"]
        [after] = (await ask(client, "sevendayforecast/day/20260609"))["SevenDayForecasts"]["SevenDayForecast"]
    assert (old["ExpActOp4Mw"], new["ExpActOp4Mw"]) == (0, "0")
    assert "DRRCapacityMw" in new.keys() - old.keys()
    assert (before["MarketDay"][0]["@Day"], after["MarketDay"][0]["Day"]) == ("2", 2)
    assert [day["MarketDate"][:10] for day in after["MarketDay"]] == [f"2026-06-{day}" for day in range(10, 16)]
    assert after["MarketDay"][5]["ColdWeatherWatch"] == "-"
    assert new["SurplusDeficiencyMw"] == new["TotAvailCapMw"] - new["CapRequiredMw"]
    assert sum(tie["TieFlowMw"] for tie in new["TieDelivery"]) == new["NetCapDeliveryMw"]


async def test_a_report_is_there_once_it_is_made():
    """At 14:30 Eastern today's reports exist; at 07:00 yesterday's exist, and today's are empty."""
    async with serving() as client:
        current = (await ask(client, "morningreport/current"))["MorningReports"]["MorningReport"]
    async with serving(now=datetime(2026, 6, 10, 11, tzinfo=UTC)) as client:
        early = (await ask(client, "morningreport/current"))["MorningReports"]["MorningReport"]
        today = await ask(client, "morningreport/day/20260610")
    assert current[0]["BeginDate"] == "2026-06-10T00:00:00.000-04:00"
    assert early[0]["BeginDate"] == "2026-06-09T00:00:00.000-04:00"
    assert not (today.get("MorningReports") or {}).get("MorningReport")


@pytest.mark.parametrize(
    ("tail", "status"),
    [
        ("nonsense/current", 404),
        ("hourlylmp/rt/final/current", 404),
        ("fiveminutelmp/day/20240310", 404),
        ("hourlysysload/day/20240310/location/32", 404),
        ("hourlylmp/da/final/day/20240310/location/99999", 404),
        ("hourlylmp/da/final/day/20240310/location/32", 404),
        ("hourlysysload/day/20241399", 400),
        ("hourlysysload", 404),
    ],
)
async def test_paths_that_do_not_exist_are_errors(tail, status):
    """Unknown resources, locations and days give HTML with their status."""
    async with serving() as client:
        assert "<html>" in await ask(client, tail, status)


def test_small_fuels_are_taken_from_gas():
    """Whatever fuels a reading lists, their sum is the generation."""
    times = list_readings(Grid(0), date(2026, 2, 1))
    state = Grid(0).state_at("ISNE", times).whole()
    total = sum(np.nan_to_num(output) for output in draw_fuel_mix(Grid(0), times, state).values())
    np.testing.assert_array_equal(total, state.net_generation)
