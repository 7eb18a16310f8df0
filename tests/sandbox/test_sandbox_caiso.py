"""CAISO OASIS in the sandbox: zips, unsorted rows, orders of columns, operating hours, errors with HTTP 200."""

import csv
import io
import zipfile
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import numpy as np
import pytest

from gridtide.simulation import HOUR_STEP, Grid, count_day_ahead_lead, list_interval_starts
from tests.support.upstreams.sandbox_server import serving


async def member(client, queryname, market, start, end, **more):
    """Name and text of the file in the zip of the answer."""
    params = {"queryname": queryname, "market_run_id": market, "resultformat": "6", "version": "1", **more}
    params |= {"startdatetime": f"{start}-0000", "enddatetime": f"{end}-0000"}
    async with client.get("/oasisapi/SingleZip", params=params) as response:
        assert response.status == 200
        assert response.content_type == "application/x-zip-compressed"
        with zipfile.ZipFile(io.BytesIO(await response.read())) as archive:
            [name] = archive.namelist()
            return name, archive.read(name).decode()


async def rows(*asked, **more):
    """The rows of the CSV of the answer."""
    name, text = await member(*asked, **more)
    assert name.endswith(".csv"), text
    return list(csv.DictReader(io.StringIO(text)))


async def error_code(*asked, **more):
    """The name of the file and the error code of the XML of the answer."""
    name, text = await member(*asked, **more)
    root = ElementTree.fromstring(text)  # noqa: S314  # our own server's
    return name, root.findtext(".//{*}ERR_CODE")


DAY = ("20251101T07:00", "20251102T07:00")


async def test_rows_are_unsorted_and_complete():
    """Every area has each hour once, and neither times nor areas are sorted."""
    async with serving() as client:
        found = await rows(client, "SLD_FCST", "ACTUAL", *DAY)
    keys = [(row["TAC_AREA_NAME"], row["INTERVALSTARTTIME_GMT"]) for row in found]
    assert len(set(keys)) == len(keys)
    areas = {area for area, _ in keys}
    assert len(areas) == 34
    assert {"CA ISO-TAC", "PGE", "PGE-TAC"} <= areas
    assert len(keys) == 34 * 24
    assert keys != sorted(keys)
    assert [time for _, time in keys] != sorted(time for _, time in keys)


async def test_the_system_is_the_sum_of_its_areas_and_the_simulation():
    """CA ISO-TAC is the sum of PGE-TAC, SCE-TAC, SDGE-TAC and VEA-TAC, and the simulated demand of CISO within
    rounding."""
    async with serving() as client:
        found = await rows(client, "SLD_FCST", "ACTUAL", *DAY)
    loads = defaultdict(dict)
    for row in found:
        loads[row["TAC_AREA_NAME"]][row["INTERVALSTARTTIME_GMT"]] = float(row["MW"])
    begins = list_interval_starts(
        datetime(2025, 11, 1, 7, tzinfo=UTC), datetime(2025, 11, 2, 7, tzinfo=UTC), timedelta(hours=1)
    )
    demand = Grid(0).state_at("CISO", begins + HOUR_STEP // 2).demand
    for number, (hour, total) in enumerate(sorted(loads["CA ISO-TAC"].items())):
        assert total == sum(loads[f"{area}-TAC"][hour] for area in ("PGE", "SCE", "SDGE", "VEA"))
        assert total == pytest.approx(demand[number], abs=2)


@pytest.mark.parametrize(
    ("period", "hours"),
    [
        (("20251102T07:00", "20251103T08:00"), ["1", "2", "25", "3", "4"]),
        (("20250309T08:00", "20250310T07:00"), ["1", "2", "4", "5", "6"]),
    ],
)
async def test_operating_hours_skip_and_repeat_with_the_clock(period, hours):
    """OPR_HR runs 1, 2, 25, 3 in autumn and 1, 2, 4 in spring, and GMT is continuous."""
    async with serving() as client:
        found = await rows(client, "PRC_LMP", "DAM", *period, node="TH_NP15_GEN-APND")
    lmp = sorted((r["INTERVALSTARTTIME_GMT"], r["OPR_HR"], r["OPR_DT"]) for r in found if r["LMP_TYPE"] == "LMP")
    assert [hour for _, hour, _ in lmp[:5]] == hours
    assert len(lmp) == (25 if "25" in hours else 23)
    assert len({day for _, _, day in lmp}) == 1
    assert lmp[0][0].endswith(":00:00-00:00")


async def test_columns_stand_in_another_order_in_every_report():
    """The five reports have five different headers, with the price in MW or in VALUE."""
    headers = {}
    async with serving() as client:
        for name, market, more in (
            ("SLD_FCST", "DAM", {}),
            ("SLD_REN_FCST", "DAM", {}),
            ("ENE_SLRS", "DAM", {}),
            ("PRC_LMP", "DAM", {"grp_type": "ALL_APNODES"}),
            ("PRC_INTVL_LMP", "RTM", {"node": "TH_NP15_GEN-APND"}),
        ):
            headers[name] = (await member(client, name, market, *DAY, **more))[1].split("\n")[0].split(",")
    assert len({tuple(header) for header in headers.values()}) == 5
    assert headers["SLD_REN_FCST"][:2] == ["OPR_DT", "OPR_HR"]
    assert "VALUE" in headers["PRC_INTVL_LMP"]
    assert all("MW" in header for name, header in headers.items() if name != "PRC_INTVL_LMP")


@pytest.mark.parametrize(
    ("period", "parts"),
    [(DAY, {"LMP", "MCC", "MCE", "MCL", "MGHG"}), (("20240601T07:00", "20240602T07:00"), {"LMP", "MCC", "MCE", "MCL"})],
)
async def test_prices_have_components_and_greenhouse_gases_since_2025(period, parts):
    """LMP is the sum of its components, for each requested node and hour."""
    async with serving() as client:
        found = await rows(client, "PRC_LMP", "DAM", *period, node="TH_NP15_GEN-APND,TH_SP15_GEN-APND")
    prices = defaultdict(dict)
    for row in found:
        prices[row["NODE_ID"], row["INTERVALSTARTTIME_GMT"]][row["LMP_TYPE"]] = float(row["MW"])
    assert len(prices) == 2 * 24
    for price in prices.values():
        assert set(price) == parts
        assert price["LMP"] == pytest.approx(sum(value for part, value in price.items() if part != "LMP"), abs=2e-5)


async def test_schedules_balance():
    """Generation + import = load + export in the totals, and the zones add up to the totals."""
    async with serving() as client:
        found = await rows(client, "ENE_SLRS", "DAM", *DAY)
    hours = defaultdict(lambda: defaultdict(float))
    for row in found:
        where = "total" if row["TAC_ZONE_NAME"] == "Caiso_Totals" else "zones"
        hours[row["INTERVALSTARTTIME_GMT"]][where, row["SCHEDULE"]] += float(row["MW"])
    for hour in hours.values():
        supplied = hour["total", "Generation"] + hour["total", "Import"]
        assert supplied == pytest.approx(hour["total", "Load"] + hour["total", "Export"], abs=0.05)
        assert hour["zones", "Load"] == pytest.approx(hour["total", "Load"], rel=1e-3)


async def test_renewable_forecasts_are_the_day_ahead_view_of_the_hubs():
    """The solar of the hubs adds up to the day-ahead solar of the simulation."""
    async with serving() as client:
        found = await rows(client, "SLD_REN_FCST", "DAM", *DAY)
    begins = list_interval_starts(
        datetime(2025, 11, 1, 7, tzinfo=UTC), datetime(2025, 11, 2, 7, tzinfo=UTC), timedelta(hours=1)
    )
    middles = begins + HOUR_STEP // 2
    solar = Grid(0).state_at("CISO", middles, count_day_ahead_lead(middles, "America/Los_Angeles")).generation["solar"]
    summed = defaultdict(float)
    for row in found:
        if row["RENEWABLE_TYPE"] == "Solar":
            summed[row["INTERVALSTARTTIME_GMT"]] += float(row["MW"])
    np.testing.assert_allclose([summed[hour] for hour in sorted(summed)], solar, atol=0.03)


async def test_five_minute_prices_number_their_intervals():
    """PRC_INTVL_LMP has twelve intervals an hour, OPR_INTERVAL 1 to 12."""
    async with serving() as client:
        found = await rows(client, "PRC_INTVL_LMP", "RTM", "20251101T07:00", "20251101T09:00", node="TH_NP15_GEN-APND")
    lmp = sorted((row["INTERVALSTARTTIME_GMT"], row["OPR_INTERVAL"]) for row in found if row["LMP_TYPE"] == "LMP")
    assert [interval for _, interval in lmp] == [str(n) for n in range(1, 13)] * 2


async def test_day_ahead_comes_at_noon_and_actual_after_the_hour():
    """At 11:30 Pacific the latest day-ahead product is today's; half an hour later it is tomorrow's."""
    asked = ("SLD_FCST", "DAM", "20260610T07:00", "20260613T07:00")
    async with serving() as client:
        before = await rows(client, *asked)
        actual = await rows(client, "SLD_FCST", "ACTUAL", *asked[2:])
    async with serving(now=datetime(2026, 6, 10, 19, tzinfo=UTC)) as client:
        after = await rows(client, *asked)
    assert max(row["INTERVALENDTIME_GMT"] for row in before) == "2026-06-11T07:00:00-00:00"
    assert max(row["INTERVALENDTIME_GMT"] for row in after) == "2026-06-12T07:00:00-00:00"
    assert max(row["INTERVALENDTIME_GMT"] for row in actual) == "2026-06-10T17:00:00-00:00"


async def test_errors_are_zips_of_xml_under_200():
    """Unknown reports and parameters give 1001, more than 31 days 1004, and no data 1000."""
    async with serving() as client:
        assert await error_code(client, "SLD_RTO", "RTM", *DAY) == ("INVALID_REQUEST.xml", "1001")
        assert (await error_code(client, "PRC_LMP", "DAM", *DAY))[1] == "1001"
        assert (await error_code(client, "SLD_FCST", "DAM", "yesterday", DAY[1]))[1] == "1001"
        assert await error_code(client, "SLD_FCST", "DAM", "20250101T08:00", "20250201T09:00") == (
            "INVALID_REQUEST.xml",
            "1004",
        )
        name, code = await error_code(client, "SLD_FCST", "ACTUAL", "20260620T07:00", "20260621T07:00")
        assert (name[:17], name[-4:], code) == ("20260620_20260621", ".xml", "1000")
        old = await error_code(client, "PRC_LMP", "DAM", "20210101T08:00", "20210102T08:00", node="TH_NP15_GEN-APND")
        assert old[1] == "1000"
        assert await rows(client, "SLD_FCST", "DAM", "20250101T08:00", "20250201T08:00")
