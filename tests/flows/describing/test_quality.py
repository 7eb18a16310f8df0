"""The flow quality on a real Prefect server."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from prefect.client.orchestration import get_client

from deployments.cli.status import read_status
from flows.describing.quality import quality
from flows.ingest import ingest
from flows.run.metrics.exporting import PUSHGATEWAY
from flows.run.metrics.samples import list_samples
from flows.run.report import RunError
from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.table import from_columns
from gridtide.periods import DAY, EPOCH, HOUR, Period, floor
from gridtide.quality.flags import Flag
from gridtide.quality.relations.residual_table import RESIDUALS_PATH
from gridtide.quality.table import QUALITY_FOLDER, read_verdicts
from tests.flows.test_monitor import told
from tests.quality.test_screening import demand_wave
from tests.support.processes.s3_servers import free_port

pytestmark = pytest.mark.usefixtures("prefect_server")

DAYS = 60


def config(lake: Path, *names: str) -> dict[str, Any]:
    """A configuration of entries whose files are written by hand."""
    url = "https://api.eia.gov/v2/electricity/rto/region-data/data/"
    apis = [{"name": name, "url": url, "output_folder": name, "available": {"lag": "PT1H"}} for name in names]
    return {"lake": str(lake), "apis": apis}


async def store_demand(
    lake: Lake, entry: Entry, values: np.ndarray, location: str = "ISNE", variable: str = "demand"
) -> None:
    """Store hourly values up to the last whole day."""
    end = floor(datetime.now(UTC), DAY)
    start = end - len(values) * HOUR
    begin = (start - EPOCH) // timedelta(microseconds=1) + 3_600_000_000 * np.arange(len(values))
    table = from_columns(
        entry.source,
        datetime.now(UTC),
        interval_start=begin,
        interval_end=begin + 3_600_000_000,
        location=location,
        variable=variable,
        unit="MWh",
        value=values,
    )
    with Draft("parquet", Provenance(entry.name, Period(start, end), entry.fingerprint)) as draft:
        draft.append(table)
        await lake.put_draft(draft, entry.output_folder, entry.file_prefix, datetime.now(UTC))


def read_metrics(report: dict[str, Any], entry: str) -> dict[str, float]:
    """The metrics of quality of an entry, by name and flag, as Prometheus is told of a run with this report."""
    samples = list_samples("quality", report, datetime.now(UTC)).of_entries[entry]
    names = ("gridtide_entry_quality_flags", "gridtide_entry_bad_series")
    return {
        f"{sample.metric} {sample.labels.get('flag', '')}".strip(): sample.value
        for sample in samples
        if sample.metric in names
    }


async def test_a_series_that_turns_bad_is_told_once_and_once_when_it_is_well(tmp_path: Path) -> None:
    """The table, the artifact and one event say that a series is bad; a second run changes nothing; one event says that
    it is well again."""
    data = config(tmp_path, "bad_demand")
    lake, entry = Lake.open(str(tmp_path)), parse(data).apis[0]
    values = demand_wave(DAYS * 24)
    broken = values.copy()
    broken[-6:] = -1
    await store_demand(lake, entry, broken)
    for number in (1, 2):
        report = await quality(data, days=30)
        (result,) = report["results"]
        assert (result["series"], result["days"], result["fail"], result["good"]) == (1, 30, 1, 29)
        assert list(result["bad"]) == ["eia/ISNE/demand"]
        assert read_metrics(report, "bad_demand") == {
            "gridtide_entry_bad_series": 1,
            "gridtide_entry_quality_flags good": 29,
            "gridtide_entry_quality_flags fail": 1,
            "gridtide_entry_quality_flags suspect": 0,
            "gridtide_entry_quality_flags missing": 0,
            "gridtide_entry_quality_flags not_evaluated": 0,
        }
        assert result["calendars"]["eia/ISNE/demand"] == "█" * 29 + "▁"
        assert len(list((tmp_path / QUALITY_FOLDER).iterdir())) == 1
        assert (report["summary"]["changed"] == 0) == (number == 2)
        (event,) = await told("bad_demand", 1, ("bad",))
        assert event.payload["what"].startswith("eia/ISNE/demand: 25% of its values are flagged on ")
    async with get_client() as client:
        asked = {"artifacts": {"key": {"any_": ["quality"]}}}
        shown = (await client.request("POST", "/artifacts/filter", json=asked)).json()
    assert any("| eia/ISNE/demand | `█" in artifact["data"] for artifact in shown)
    await store_demand(lake, entry, values)  # corrected
    report = await quality(data, days=30)
    assert report["results"][0]["bad"] == {}
    assert report["summary"]["changed"] == 3, "accuracy, its check, and the size of the revision"
    verdicts = await read_verdicts(lake)
    day = floor(datetime.now(UTC), DAY).date() - DAY
    for check in ("accuracy", "accuracy.negative_or_zero"):
        assert verdicts["eia/ISNE/demand", day, check].flag == Flag.GOOD
    assert [event.event for event in await told("bad_demand", 2, ("bad",))][1:] == ["gridtide.entry.bad.over"]


async def test_series_of_different_entries_are_judged_together(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A sum of three entries that lacks 10 % of a day, an operator's load an hour from EIA's, a revised day, a series
    that is gone, and a check about what is not there: table, artifact, events, metrics and status say so."""
    data = config(tmp_path, "demand", "generation", "interchange", "operator")
    data["apis"][3] |= {"source": "iso_ne", "url": "https://webservices.iso-ne.com/api/v1.1/hourlysysload/current"}
    data["checks"] = [
        {"kind": "compare", "series": "eia/ISNE/net_generation", "reference": "eia/ISNE/demand", "bias": 0.5},
        {"kind": "sum", "total": "eia/NOWHERE/demand", "plus": "eia/NOWHERE/generation_*"},
    ]
    lake, entries = Lake.open(str(tmp_path)), parse(data).apis
    load, exchange = demand_wave(100 * 24), demand_wave(100 * 24, 1) / 10
    await store_demand(lake, entries[0], load)
    generation = load + exchange
    generation[-48:-24] *= 1.1
    await store_demand(lake, entries[1], generation, variable="net_generation")
    await store_demand(lake, entries[2], exchange, variable="net_interchange")
    ended = np.where(np.arange(len(exchange)) < len(exchange) - 10 * 24, exchange, np.nan)
    await store_demand(lake, entries[2], ended, "CISO", "net_interchange")
    await store_demand(lake, entries[3], np.roll(load, 1), "32", "load")
    await store_demand(lake, entries[0], np.concatenate([load[-72:-48] * 1.05, load[-48:]]))
    report = await quality(data, days=30)
    verdicts = await read_verdicts(lake)
    day = floor(datetime.now(UTC), DAY).date() - 2 * DAY
    assert verdicts["eia/ISNE/demand", day, "consistency.balance"].flag == Flag.SUSPECT
    month = (day - 2 * DAY).replace(day=1)
    assert verdicts["eia/ISNE/demand", month, "agreement.lag.iso_ne/32/load"][3:] == (Flag.SUSPECT, -1.0, 0.0)
    assert verdicts["eia/ISNE/net_generation", month, "agreement.bias.eia/ISNE/demand"].flag == Flag.GOOD
    assert verdicts["eia/ISNE/demand", day - DAY, "revision"].value == pytest.approx(0.05 / 1.05, rel=1e-6)
    results = {result["name"]: result for result in report["results"]}
    assert list(results["interchange"]["gone"]) == ["eia/CISO/net_interchange"]
    assert "it is -1 h late beside iso_ne/32/load" in results["demand"]["bad"]["eia/ISNE/demand"][0]
    assert read_metrics(report, "demand")["gridtide_entry_bad_series"] == 1
    assert report["problems"] == ["checks about series that are not there: sum of eia/NOWHERE/demand"]
    assert report["pipeline_status"] == "success"
    assert [record.message for record in caplog.records if "NOWHERE" in record.message] == [
        "Some checks of quality were not made: checks about series that are not there: sum of eia/NOWHERE/demand"
    ]
    residuals = pq.read_table(tmp_path / RESIDUALS_PATH).to_pylist()
    assert {(row["series"], row["relation"]) for row in residuals} == {("eia/ISNE/demand", "balance")}
    beyond = [row["hour"].date() for row in residuals if abs(row["residual"]) > 0.02 * row["total"]]
    assert {*beyond} == {day, day - DAY}, "hours of the broken and of the revised day"
    (status, *_) = await read_status(entries, lake, datetime.now(UTC))
    assert status.quality is not None
    assert (status.quality.bad, status.quality.disagreeing) == (1, 1)
    files = sorted((tmp_path / QUALITY_FOLDER).iterdir())
    assert len(await told("demand", 1, ("bad",))) == 1
    partial = await quality(data, select=["demand"], days=30)
    assert partial["results"][0]["bad"] == results["demand"]["bad"], "nothing is well because nobody looked"
    after = await read_verdicts(lake)
    assert (
        after["eia/ISNE/demand", day, "consistency.balance"] == verdicts["eia/ISNE/demand", day, "consistency.balance"]
    ), "a run with a selection takes nothing back that it could not judge"
    assert pq.read_table(tmp_path / RESIDUALS_PATH).num_rows == len(residuals)
    assert sorted((tmp_path / QUALITY_FOLDER).iterdir()) == files


async def test_damaged_tables_and_a_gateway_that_is_away_are_a_warning_each(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged table of quality, damaged residuals and a Pushgateway that is away stop neither the judgement nor a
    collection; each is one warning, and the residuals are written again."""
    monkeypatch.setenv(PUSHGATEWAY, f"http://127.0.0.1:{free_port()}")
    data = config(tmp_path, "demand")
    synthetic = {"name": "grid", "source": "synthetic", "output_folder": "grid", "available": {"lag": "PT1H"}}
    data["apis"].append(synthetic | {"params": {"variables": ["demand", "net_generation", "net_interchange"]}})
    damaged = [f"{QUALITY_FOLDER}/20240101_000000.parquet", RESIDUALS_PATH]
    for path in damaged:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"PAR1 damaged")
    assert (await ingest(data, select=["grid"]))["pipeline_status"] == "success"
    assert [record.message[:11] for record in caplog.records if record.levelname == "WARNING"] == ["metrics are"]
    caplog.clear()
    await store_demand(Lake.open(str(tmp_path)), parse(data).apis[0], demand_wave(DAYS * 24))
    await store_balance(Lake.open(str(tmp_path)), parse(data).apis[0])
    assert (await quality(data, select=["demand"], days=5))["pipeline_status"] == "success"
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [any(text in warning for warning in warnings) for text in (*damaged, "metrics are")] == [True] * 3
    assert len(warnings) == 3
    assert pq.read_table(tmp_path / RESIDUALS_PATH).num_rows == 5 * 24


async def store_balance(lake: Lake, entry: Entry) -> None:
    """Store generation and interchange that balance with the demand of `demand_wave`."""
    load, exchange = demand_wave(DAYS * 24), demand_wave(DAYS * 24, 1) / 10
    await store_demand(lake, entry, load + exchange, variable="net_generation")
    await store_demand(lake, entry, exchange, variable="net_interchange")


async def test_an_entry_that_cannot_be_read_fails_after_the_others(tmp_path: Path) -> None:
    """The damaged file is named, the other entry is judged and stored; an empty entry has no series."""
    data = config(tmp_path, "damaged", "sound", "empty")
    lake, entries = Lake.open(str(tmp_path)), parse(data).apis
    for entry, location in zip(entries[:2], ("CISO", "ISNE"), strict=True):
        await store_demand(lake, entry, demand_wave(DAYS * 24), location)
    (path,) = (tmp_path / "damaged").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match="1 of 3 entries failed: damaged") as caught:
        await quality(data, days=5)
    report = caught.value.report
    assert path.name in report["results"][0]["error"]
    assert [result["series"] for result in report["results"]] == [0, 1, 0]
    assert {key[0] for key in await read_verdicts(lake)} == {"eia/ISNE/demand"}


async def test_impossible_days_are_refused(tmp_path: Path) -> None:
    """A number of days that cannot be judged is refused before anything runs."""
    with pytest.raises(ConfigurationError, match="0 is not a possible number of days"):
        await quality(config(tmp_path, "demand"), days=0)
