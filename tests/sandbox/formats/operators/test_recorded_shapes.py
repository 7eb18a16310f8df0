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

import pytest

from tests.support.shared import SHARED
from tests.support.upstreams.sandbox_server import serving

OPERATORS = SHARED / "operators"
pytestmark = pytest.mark.skipif(not OPERATORS.is_dir(), reason="the recordings of operators are not beside the project")

NOW = datetime(2026, 6, 10, 18, 30, tzinfo=UTC)


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
    """The sandbox's answer."""
    async with serving(now=now) as client, client.get(path) as response:
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


@pytest.mark.parametrize(
    ("recording", "path"),
    [
        (
            "miso/DataBrokerServicesgetWindForecast.asmx.json",
            "/MISORTWDDataBroker/DataBrokerServices.asmx?messageType=getWindForecast&returnType=json",
        ),
    ],
)
async def test_a_json_has_the_keys_and_texts_of_the_recorded_one(recording: str, path: str) -> None:
    """Same keys in the same order, and the same types and ways of writing."""
    recorded = shape_of_json(json.loads((OPERATORS / recording).read_text()))
    served = shape_of_json(json.loads(await ask(path)))
    assert json.dumps(served) == json.dumps(recorded)
