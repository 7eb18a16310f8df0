"""The sandbox's answers have the shape of the recorded ones: headers, columns, quotes and how cells are written."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest

from gridtide.sandbox.formats.operators.gateway import KEY_HEADER
from tests.support.shared import SHARED
from tests.support.upstreams.sandbox_server import serving

OPERATORS = SHARED / "operators"
pytestmark = pytest.mark.skipif(not OPERATORS.is_dir(), reason="the recordings of operators are not beside the project")

NOW = datetime(2026, 6, 10, 18, 30, tzinfo=UTC)


SPP = "/file-browser-api/download"
ERCOT = "/api/public-reports"


def written_like(cell: str) -> str:
    """A cell with runs of digits as 9 and runs of letters as a, without its sign."""
    return re.sub(r"[A-Za-z][\w .&]*", "a", re.sub(r"\d+", "9", cell.strip().removeprefix("-")))


def shape_of_csv(text: str, above: int) -> dict[str, Any]:
    """The lines above the header without their digits, the header as written, and how the cells of each column are
    written; columns that differ in a number (`HE 1`) count as one."""
    lines = text.splitlines()
    header, *rows = csv.reader(io.StringIO("\n".join(lines[above:])))
    cells: dict[str, set[str]] = defaultdict(set)
    for place, name in enumerate(header):
        cells[re.sub(r"\d+", "9", name)] |= {written_like(row[place]) for row in rows}
    quotes = [cell.startswith('"') for cell in lines[above + 1].split(",")]
    title = [re.sub(r"\d", "9", line) for line in lines[:above]]
    return {"above": title, "header": lines[above], "quotes": quotes, "cells": cells}


def shape_of_json(node: Any) -> Any:
    """The keys of an answer in their order and how its texts are written; lists by their first element."""
    if isinstance(node, dict):
        return {key: shape_of_json(value) for key, value in node.items()}
    if isinstance(node, list):
        return [shape_of_json(node[0])] if node else []
    return written_like(node) if isinstance(node, str) else type(node).__name__


async def ask(path: str, now: datetime = NOW) -> bytes:
    """The sandbox's answer, with all keys and a new token."""
    headers = {KEY_HEADER: "sandbox-pjm-key", "Authorization": f"Bearer sandbox-token-{int(now.timestamp())}"}
    headers |= {KEY_HEADER: "sandbox-ercot-key"} if path.startswith(ERCOT) else {}
    async with serving(now=now) as client, client.get(path, headers=headers) as response:
        assert response.status == 200, path
        return await response.read()


@pytest.mark.parametrize(
    ("recording", "path", "above"),
    [
        ("nyiso/20171122pal.csv", "/public/csv/pal/20260609pal.csv", 0),
        ("nyiso/20171122isolf.csv", "/public/csv/isolf/20260609isolf.csv", 0),
        (
            "nyiso/nyiso_20250309palIntegrated_sample.csv",
            "/public/csv/palIntegrated/20260609palIntegrated.csv",
            0,
        ),
        ("nyiso/nyiso_20251102damlbmp_zone_sample.csv", "/public/csv/damlbmp/20260609damlbmp_zone.csv", 0),
        ("miso/miso-2025-11-02.csv", "/marketreports/20251102_da_expost_lmp.csv", 3),
        (
            "spp/spp-2026-03-08.csv",
            f"{SPP}/da-lmp-by-settlement-location?path=/2026/03/By_Day/DA-LMP-SL-202603080100.csv",
            0,
        ),
        (
            "spp/RTBM-LMP-SL-202503310840.csv",
            f"{SPP}/rtbm-lmp-by-location?path=/2025/03/By_Interval/31/RTBM-LMP-SL-202503310840.csv",
            0,
        ),
    ],
)
async def test_a_csv_has_the_header_and_cells_of_the_recorded_one(recording: str, path: str, above: int) -> None:
    """Same lines above, header and quotes; every way in which the sandbox writes a column occurs in the recording."""
    recorded = shape_of_csv((OPERATORS / recording).read_text(), above)
    served = shape_of_csv((await ask(path)).decode(), above)
    assert {**served, "cells": None} == {**recorded, "cells": None}
    for name, ways in served["cells"].items():
        assert ways <= recorded["cells"][name], name


async def test_a_month_of_nyiso_is_a_zip_of_days_written_after_each() -> None:
    """Members have the names, the header and the cells of the recorded month, and were written soon after midnight."""
    body = (OPERATORS / "nyiso/20250201rtfuelmix_csv.zip").read_bytes()
    recorded = zipfile.ZipFile(io.BytesIO(body))
    served = zipfile.ZipFile(io.BytesIO(await ask("/public/csv/rtfuelmix/20250201rtfuelmix_csv.zip")))
    assert served.namelist()[:4] == recorded.namelist()
    for one, other in zip(served.infolist()[:4], recorded.infolist(), strict=True):
        assert one.date_time[:5] == other.date_time[:5]
        read, expected = (shape_of_csv(z.read(i).decode(), 0) for z, i in ((served, one), (recorded, other)))
        assert read == {**expected, "cells": read["cells"]}
        assert all(ways <= expected["cells"][name] for name, ways in read["cells"].items())


def members(body: bytes) -> dict[str, str]:
    """The texts in a zip by their names."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


@pytest.mark.parametrize(
    ("recording", "kind"), [("load_forecast_specific_reportid.zip", "12311"), ("solar_specific_reportid.zip", "13483")]
)
async def test_a_document_of_ercot_is_a_zip_like_the_recorded_one(recording: str, kind: str) -> None:
    """The list names the newest document, whose only member has the name, header, number of rows and cells of the
    recorded one."""
    listed = json.loads(await ask(f"/misapp/servlets/IceDocListJsonWS?reportTypeId={kind}"))
    [document] = listed["ListDocsByRptListRes"]["DocumentList"]
    served = members(await ask(f"/misdownload/servlets/mirDownload?doclookupId={document['Document']['DocID']}"))
    recorded = members((OPERATORS / "ercot" / recording).read_bytes())
    [(name, text)], [(recorded_name, recorded_text)] = served.items(), recorded.items()
    assert re.sub(r"\d", "9", name) == re.sub(r"\d", "9", recorded_name)
    assert len(text.splitlines()) == len(recorded_text.splitlines())
    read, expected = shape_of_csv(text, 0), shape_of_csv(recorded_text, 0)
    assert read == {**expected, "cells": read["cells"]}
    for column, ways in read["cells"].items():
        assert ways <= expected["cells"][column], column


PJM_SOLAR = "evaluated_at_ept=10/01/2024 00:00to10/01/2024 23:59"


@pytest.mark.parametrize(
    ("recording", "path"),
    [
        (
            "miso/DataBrokerServicesgetWindForecast.asmx.json",
            "/MISORTWDDataBroker/DataBrokerServices.asmx?messageType=getWindForecast&returnType=json",
        ),
        (
            "pjm/gen_by_fuel.json",
            "/api/v1/gen_by_fuel?rowCount=500&fields=datetime_beginning_utc,fuel_type,mw"
            "&datetime_beginning_utc=2025-02-09T00:00:00.0000000",
        ),
        ("pjm/pjm_5min_solar_forecast_response.json", f"/api/v1/five_min_solar_power_forecast?{PJM_SOLAR}"),
        ("pjm/load_frcstd_7_day_2025-03-19.json", "/api/v1/load_frcstd_7_day?rowCount=50000&download=true"),
        (
            "ercot/ercot-2025-11-02.json",
            f"{ERCOT}/np4-190-cd/dam_stlmnt_pnt_prices?deliveryDateFrom=2025-11-02&deliveryDateTo=2025-11-02"
            "&settlementPoint=HB_HUBAVG&size=100",
        ),
        (
            "ercot/archive_np3-911-er_list.json",
            f"{ERCOT}/archive/np6-345-cd?postDatetimeFrom=2025-11-05T00:00:00&postDatetimeTo=2025-11-06T00:00:00",
        ),
        ("ercot/ERCOT_demand.json", "/api/1/services/read/dashboards/supply-demand.json"),
    ],
)
async def test_a_json_has_the_keys_and_texts_of_the_recorded_one(recording: str, path: str) -> None:
    """Same keys in the same order, and the same types and ways of writing; addresses differ."""
    recorded = json.dumps(shape_of_json(json.loads((OPERATORS / recording).read_text())))
    served = json.dumps(shape_of_json(json.loads(await ask(path, datetime(2025, 11, 7, 18, 30, tzinfo=UTC)))))
    assert ADDRESS.sub("", served) == ADDRESS.sub("", recorded)


ADDRESS = re.compile(r'"(href|emilId|name|friendlyName)": "[^"]*"')
"""What differs with the host and the product."""


async def test_the_autumn_hour_of_ercot_stands_as_recorded() -> None:
    """The rows of the day have the hours and flags of the recorded ones in the same order: the flagged hour first."""
    path = f"{ERCOT}/np4-190-cd/dam_stlmnt_pnt_prices?deliveryDateFrom=2025-11-02&deliveryDateTo=2025-11-02"
    recorded = json.loads((OPERATORS / "ercot/ercot-2025-11-02.json").read_text())
    served = json.loads(await ask(f"{path}&settlementPoint=HB_HUBAVG", datetime(2025, 11, 7, tzinfo=UTC)))
    assert [(row[1], row[4]) for row in served["data"]] == [(row[1], row[4]) for row in recorded["data"]]
    assert served["fields"] == recorded["fields"]


def tree(node: ElementTree.Element) -> Any:
    """The names of the elements of a document, each kind of child once, without those that only some documents have."""
    children = {child.tag.rpartition("}")[2]: tree(child) for child in node}
    return {name: child for name, child in children.items() if name not in OPTIONAL}


OPTIONAL = {"mRID", "sender_MarketParticipant.mRID", "sender_MarketParticipant.marketRole.type"} | {
    *("receiver_MarketParticipant.mRID", "receiver_MarketParticipant.marketRole.type", "process.processType"),
    *("time_Period.timeInterval", "period.timeInterval", "auction.type", "contract_MarketAgreement.type"),
}


@pytest.mark.parametrize(
    ("recording", "query"),
    [
        ("load_FR_20210101.xml", "documentType=A65&processType=A16&outBiddingZone_Domain=10YFR-RTE------C"),
        (
            "prices_PT_20241229_A03.xml",
            "documentType=A44&in_Domain=10YFR-RTE------C&out_Domain=10YFR-RTE------C",
        ),
        ("load_FR_2050_no_data.xml", "documentType=A65&processType=A16&outBiddingZone_Domain=10YXX-XXX------X"),
    ],
)
async def test_a_document_of_entsoe_has_the_elements_of_the_recorded_one(recording: str, query: str) -> None:
    """Same root, namespace and elements in their order."""
    period = "periodStart=202412282300&periodEnd=202412292300&securityToken=sandbox-entsoe-token"
    recorded = ElementTree.fromstring((OPERATORS / "entsoe" / recording).read_bytes())  # noqa: S314  # our own file
    served = ElementTree.fromstring(await ask(f"/api?{query}&{period}"))  # noqa: S314  # our own server's
    assert served.tag == recorded.tag
    assert json.dumps(tree(served)) == json.dumps(tree(recorded))
