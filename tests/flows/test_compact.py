"""The flows compact and retention on a real Prefect server."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from flows.compact import compact
from flows.run.report import RunError
from gridtide.errors import ConfigurationError
from gridtide.lake import Lake
from tests.support.lakes import entry, put, row

pytestmark = pytest.mark.usefixtures("prefect_server")


def config(lake: Path | str, *names: str) -> dict[str, Any]:
    """A configuration of the entries that `tests.support.lakes.entry` makes."""
    keys = ("name", "url", "output_folder", "format")
    apis = [{**{key: getattr(entry(name), key) for key in keys}, "available": {"lag": "PT2H"}} for name in names]
    return {"lake": str(lake), "apis": apis}


async def test_each_entry_becomes_months(tmp_path: Path) -> None:
    """The report and the artifact give files, rows and months of each entry; a second run writes nothing."""
    lake, start = Lake.open(str(tmp_path)), datetime.now(UTC)
    for name in ("one", "two"):
        await put(lake, entry(name), 1, [row(3, 1.0), row(4, 2.0)])
    report = await compact(config(tmp_path, "one", "two"))
    assert report["pipeline_status"] == "success"
    assert {key: report["summary"][key] for key in ("files", "rows", "months")} == {"files": 2, "rows": 4, "months": 4}
    assert [row["months"] for row in report["results"]] == [["2024-01", "2024-02"]] * 2
    months = [one.path for one in await lake.store.list_objects("processed") if one.path.endswith(".parquet")]
    assert months == [f"processed/{n}/{n}/2024/2024-{m}.parquet" for n in ("one", "two") for m in ("01", "02")]
    again = await compact(config(tmp_path, "one", "two"))
    assert (again["summary"]["files"], again["summary"]["bytes"]) == (0, 0)
    pruned = await compact(config(tmp_path, "one", "two"), prune=True)  # months are younger than a day
    assert (pruned["pipeline_status"], pruned["summary"]["removed"]) == ("success", 0)
    assert len(await lake.store.list_objects("one")) == len(await lake.store.list_objects("two")) == 1
    async with get_client() as client:
        asked = {"artifacts": {"key": {"any_": ["compact"]}}}
        shown = (await client.request("POST", "/artifacts/filter", json=asked)).json()
    ours = [artifact for artifact in shown if datetime.fromisoformat(artifact["created"]) >= start]
    assert sum("2024-01 to 2024-02" in artifact["data"] for artifact in ours) == 1


async def test_a_damaged_file_fails_its_entry_after_the_others(tmp_path: Path) -> None:
    """The error names the damaged file; the other files of the entry are compacted."""
    lake = Lake.open(str(tmp_path))
    bad = await put(lake, entry("bad"), 1, [row(3, 1.0)])
    await put(lake, entry("bad"), 2, [row(3, 2.0)])
    await put(lake, entry("good"), 1, [row(3, 1.0)])
    (tmp_path / bad.path).write_bytes(b"")
    with pytest.raises(RunError, match="1 of 2 entries failed: bad") as caught:
        await compact(config(tmp_path, "bad", "good"))
    report = caught.value.report
    assert report["pipeline_status"] == "partial"
    assert bad.path in report["results"][0]["error"]
    assert [row["files"] for row in report["results"]] == [1, 1]


async def test_what_holds_no_observations_is_refused(tmp_path: Path) -> None:
    """An entry that keeps only bodies is refused before anything runs."""
    asked = config(tmp_path, "one")
    asked["apis"][0]["format"] = "json"
    with pytest.raises(ConfigurationError, match="keeps bodies only"):
        await compact(asked)
