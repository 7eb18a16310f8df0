"""What the imitated operators refuse: absent days, wrong keys, quotas; and the faults of the sandbox on their paths."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from gridtide.sandbox.faults import parse_rules
from gridtide.sandbox.formats.operators import ercot, miso, pjm
from gridtide.sandbox.formats.operators.gateway import KEY_HEADER
from tests.support.upstreams.sandbox_server import serving

NOW = datetime(2026, 6, 10, 18, 30, tzinfo=UTC)
"""14:30 in New York, 13:30 Eastern Standard Time."""

SPP = "/file-browser-api/download"
MISO_KEY = {KEY_HEADER: miso.SECRETS["MISO_LOAD_GENERATION_KEY"]}
PJM_KEY = {KEY_HEADER: pjm.SECRETS["PJM_API_KEY"]}
ERCOT_KEY = {KEY_HEADER: ercot.SECRETS["ERCOT_API_KEY"]}
ERCOT = {**ERCOT_KEY, "Authorization": f"Bearer sandbox-token-{int(NOW.timestamp())}"}
ERCOT_LOAD = "/api/public-reports/np6-345-cd/act_sys_load_by_wzn?operatingDay"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/public/csv/pal/20260610pal.csv", 200),
        ("/public/csv/pal/20260601pal.csv", 200),
        ("/public/csv/pal/20260531pal.csv", 404),  # the eleventh day back
        ("/public/csv/pal/20260501pal_csv.zip", 200),
        ("/public/csv/pal/20260515pal_csv.zip", 404),
        ("/public/csv/pal/20260611pal.csv", 404),
        ("/public/csv/damlbmp/20260611damlbmp_zone.csv", 200),  # published at 11:00
        ("/public/csv/damlbmp/20260612damlbmp_zone.csv", 404),
        ("/public/csv/other/20260610other.csv", 404),
        ("/public/csv/pal/20261340pal.csv", 404),
        ("/marketreports/20260610_da_expost_lmp.csv", 200),
        ("/marketreports/20260611_da_expost_lmp.csv", 404),  # published at 14:00
        ("/marketreports/20260606_rt_lmp_final.csv", 200),
        ("/marketreports/20260607_rt_lmp_final.csv", 404),
        ("/marketreports/20260609_rt_lmp_prelim.csv", 200),
        (f"{SPP}/da-lmp-by-settlement-location?path=/2026/06/By_Day/DA-LMP-SL-202606110100.csv", 200),
        (f"{SPP}/da-lmp-by-settlement-location?path=/2026/06/By_Day/DA-LMP-SL-202606120100.csv", 404),
        (f"{SPP}/mtlf-vs-actual?path=/2026/06/10/OP-MTLF-202606101300.csv", 200),
        (f"{SPP}/mtlf-vs-actual?path=/2026/06/10/OP-MTLF-202606101400.csv", 404),
        (f"{SPP}/other?path=/2026/06/10/OP-MTLF-202606101300.csv", 404),
        ("/api/1/services/read/dashboards/fuel-mix.json", 200),
        ("/api/1/services/read/dashboards/other.json", 404),
    ],
)
async def test_a_file_is_there_from_its_publication_on(path: str, status: int) -> None:
    """Files appear at the documented time, and old days are only in the zip of their month."""
    async with serving(now=NOW) as client, client.get(path) as response:
        assert response.status == status


LGI, PRICING, PJM = "/lgi/v1/real-time", "/pricing/v1/day-ahead", "/api/v1"
PRICES = f"{PJM}/da_hrl_lmps?datetime_beginning_ept="
ENTSOE = "/api?securityToken=sandbox-entsoe-token&documentType=A65&processType=A16"


@pytest.mark.parametrize(
    ("path", "headers", "status", "words"),
    [
        (f"{LGI}/2026-06-09/demand/actual", {}, 401, "missing subscription key"),
        (f"{LGI}/2026-06-09/demand/actual", MISO_KEY, 200, '"lastPage":true'),
        (f"{PRICING}/2026-06-09/lmp-expost", MISO_KEY, 401, "invalid subscription key"),
        (f"{LGI}/2026-06-10/demand/actual", MISO_KEY, 404, "Date not found"),
        (f"{LGI}/yesterday/demand/actual", MISO_KEY, 400, "Invalid date format"),
        (f"{LGI}/2026-06-09/other", MISO_KEY, 404, "Resource not found"),
        (f"{PJM}/gen_by_fuel", {}, 401, "missing subscription key"),
        (f"{PJM}/gen_by_fuel", PJM_KEY, 200, '"totalRows":'),
        (f"{PJM}/other", PJM_KEY, 404, "Resource not found"),
        (f"{PJM}/gen_by_fuel?rowCount=50001", PJM_KEY, 400, "rowCount"),
        (f"{PJM}/gen_by_fuel?colour=red", PJM_KEY, 400, "colour is not a filter"),
        (f"{PRICES}01/01/2030 00:00to01/02/2030 00:00", PJM_KEY, 200, '"totalRows":0'),
        (f"{PRICES}05/01/2024 00:00to05/02/2024 00:00", PJM_KEY, 200, '"totalRows":'),
        (f"{PRICES}05/01/2024 00:00to05/02/2024 00:00&type=HUB", PJM_KEY, 400, "type is not a filter of archived"),
        (f"{PRICES}05/01/2024 00:00to07/02/2024 00:00", PJM_KEY, 400, "archived and standard"),
        (f"{PRICES}12/01/2022 00:00to01/02/2023 00:00", PJM_KEY, 400, "one calendar year"),
        ("/api/public-reports/np4-190-cd/dam_stlmnt_pnt_prices", {}, 401, "missing subscription key"),
        ("/api/public-reports/np4-190-cd/dam_stlmnt_pnt_prices", ERCOT_KEY, 401, "token is missing or invalid"),
        ("/api/public-reports/np4-190-cd/dam_stlmnt_pnt_prices", ERCOT, 200, '"totalRecords":'),
        ("/api/public-reports/np4-190-cd/dam_stlmnt_pnt_prices?colour=red", ERCOT, 400, "query parameters"),
        (f"{ERCOT_LOAD}From=2026-01-05&operatingDayTo=2026-01-06", ERCOT, 200, '"totalRecords":0,'),
        (f"{ERCOT_LOAD}From=2026-06-05&operatingDayTo=2026-06-06", ERCOT, 200, '"totalRecords":48,'),
        ("/api", {}, 401, "security token"),
        (f"{ENTSOE}&outBiddingZone_Domain=10YFR-RTE------C&periodStart=x", {}, 400, "periodStart"),
        (f"{ENTSOE}&periodStart=202601010000&periodEnd=202601020000", {}, 400, "Mandatory parameter"),
        (
            f"{ENTSOE}&outBiddingZone_Domain=x&periodStart=202601010000&periodEnd=202601020000",
            {},
            200,
            "<code>999</code>",
        ),
        (f"{ENTSOE}&outBiddingZone_Domain=x&periodStart=202301010000&periodEnd=202601020000", {}, 400, "one year"),
    ],
)
async def test_requests_are_refused_as_documented(path: str, headers: dict[str, str], status: int, words: str) -> None:
    """Keys, tokens, days that are not out, filters, edges of archives, and absent data."""
    async with serving(now=NOW) as client, client.get(path, headers=headers) as response:
        assert (response.status, words in await response.text()) == (status, True)


TOKEN_PATH = "/ercotb2c.onmicrosoft.com/B2C_1_PUBAPI-ROPC-FLOW/oauth2/v2.0/token"  # a path


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"password": ercot.SECRETS["ERCOT_PASSWORD"]}, 200, '"access_token"'),
        ({"password": "wrong"}, 400, "access_denied"),
        ({"password": ercot.SECRETS["ERCOT_PASSWORD"], "grant_type": "other"}, 400, "unsupported_grant_type"),
    ],
)
async def test_a_login_at_ercot_needs_user_and_password(form: dict[str, str], status: int, words: str) -> None:
    """A token for an hour, or an error of OAuth under 400."""
    form = {"grant_type": "password", "client_id": "x", "username": ercot.SECRETS["ERCOT_USERNAME"], **form}
    async with serving(now=NOW) as client, client.post(TOKEN_PATH, data=form) as response:
        assert (response.status, words in await response.text()) == (status, True)


async def test_a_token_of_ercot_ends_after_an_hour() -> None:
    """The token of 12:30 is refused at 13:30, and taken a minute before."""
    for minutes, status in ((59, 200), (60, 401)):
        given = int((NOW - timedelta(minutes=minutes)).timestamp())
        headers = {**ERCOT_KEY, "Authorization": f"Bearer sandbox-token-{given}"}
        path = "/api/public-reports/np4-190-cd/dam_stlmnt_pnt_prices"
        async with serving(now=NOW) as client, client.get(path, headers=headers) as response:
            assert response.status == status


@pytest.mark.parametrize(("path", "count"), [(f"{PJM}/gen_by_fuel", 7), (ERCOT_LOAD, 31), (f"{LGI}/2026-06-09/x", 101)])
async def test_quotas_are_those_of_the_operators(path: str, count: int) -> None:
    """The gateway refuses what exceeds the documented number in a minute, and names the seconds to wait."""
    async with serving(now=NOW, speed=1.0) as client:
        answers = []
        for _ in range(count + 1):
            async with client.get(path) as response:
                answers.append((response.status, await response.text()))
        assert [status == 429 for status, _ in answers] == [False] * count + [True]
        assert "Try again in 60 seconds" in answers[-1][1]


async def test_another_method_than_get_is_refused() -> None:
    """Only a login takes a POST."""
    async with serving(now=NOW) as client, client.post("/public/csv/pal/20260610pal.csv") as response:
        assert response.status == 405


FAULTY = (
    "/public/csv/pal/20260609pal.csv",
    "/marketreports/20260609_da_expost_lmp.csv",
    f"{SPP}/da-lmp-by-settlement-location?path=/2026/06/By_Day/DA-LMP-SL-202606100100.csv",
    f"{PJM}/gen_by_fuel?rowCount=500",
    "/api/public-reports/np4-190-cd/dam_stlmnt_pnt_prices",
    f"{ENTSOE}&outBiddingZone_Domain=10YFR-RTE------C&periodStart=202601010000&periodEnd=202601020000",
)


@pytest.mark.parametrize("path", FAULTY)
async def test_faults_strike_on_the_paths_of_the_operators(path: str) -> None:
    """A status in the operator's own form, and a body that is shorter than it promises."""
    headers = PJM_KEY if path.startswith(PJM) else ERCOT
    rules = [{"nth": [1], "fault": 503}, {"nth": [2], "fault": "cut"}]
    async with serving(now=NOW, rules=parse_rules(rules)) as client:
        async with client.get(path, headers=headers) as response:
            assert response.status == 503
        async with client.get(path, headers=headers) as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        async with client.get(path, headers=headers) as response:
            assert response.status == 200
            assert len(await response.read()) > 1000
