"""What the imitated operators refuse: absent days, wrong keys, quotas; and the faults of the sandbox on their paths."""

from __future__ import annotations

from datetime import UTC, datetime

import aiohttp
import pytest

from gridtide.sandbox.faults import parse_rules
from gridtide.sandbox.formats.operators import miso
from tests.support.upstreams.sandbox_server import serving

NOW = datetime(2026, 6, 10, 18, 30, tzinfo=UTC)
"""14:30 in New York, 13:30 Eastern Standard Time."""

MISO_KEY = {"Ocp-Apim-Subscription-Key": miso.SECRETS["MISO_LOAD_GENERATION_KEY"]}


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
    ],
)
async def test_a_file_is_there_from_its_publication_on(path: str, status: int) -> None:
    """Files appear at the documented time, and old days are only in the zip of their month."""
    async with serving(now=NOW) as client, client.get(path) as response:
        assert response.status == status


@pytest.mark.parametrize(
    ("path", "headers", "status", "words"),
    [
        ("/lgi/v1/real-time/2026-06-09/demand/actual", {}, 401, "missing subscription key"),
        ("/lgi/v1/real-time/2026-06-09/demand/actual", {**MISO_KEY, "X": "1"}, 200, '"lastPage":true'),
        ("/pricing/v1/day-ahead/2026-06-09/lmp-expost", MISO_KEY, 401, "invalid subscription key"),
        ("/lgi/v1/real-time/2026-06-10/demand/actual", MISO_KEY, 404, "Date not found"),
        ("/lgi/v1/real-time/yesterday/demand/actual", MISO_KEY, 400, "Invalid date format"),
        ("/lgi/v1/real-time/2026-06-09/other", MISO_KEY, 404, "Resource not found"),
    ],
)
async def test_the_data_exchange_of_miso_refuses_as_documented(
    path: str, headers: dict[str, str], status: int, words: str
) -> None:
    """A key for each product, days that are out, and known tables."""
    async with serving(now=NOW) as client, client.get(path, headers=headers) as response:
        assert (response.status, words in await response.text()) == (status, True)


FAULTY = ("/public/csv/pal/20260609pal.csv", "/marketreports/20260609_da_expost_lmp.csv")


@pytest.mark.parametrize("path", FAULTY)
async def test_faults_strike_on_the_paths_of_the_operators(path: str) -> None:
    """A status in the operator's own form, and a body that is shorter than it promises."""
    rules = [{"path": path, "nth": [1], "fault": 503}, {"path": path, "nth": [2], "fault": "cut"}]
    async with serving(now=NOW, rules=parse_rules(rules)) as client:
        async with client.get(path) as response:
            assert response.status == 503
        async with client.get(path) as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        async with client.get(path) as response:
            assert response.status == 200
            assert len(await response.read()) > 1000
