"""Backfills on a real Prefect server, from the synthetic source and from the sandbox."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.artifacts import Artifact

from flows.backfill import backfill, backfill_report
from flows.run.progress import watch_progress
from flows.run.report import RunError
from gridtide import curated, sandbox
from gridtide.config.loading import parse
from gridtide.coverage import failed_periods
from gridtide.coverage.plan import Plan
from gridtide.errors import ConfigurationError, GridtideError, UpstreamError
from gridtide.lake import Lake
from gridtide.periods import Period, union
from tasks.collect import Outcome

pytestmark = pytest.mark.usefixtures("prefect_server")

START, END = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 11, tzinfo=UTC)
HOUR = timedelta(hours=1)


def api(name: str = "grid", **keys: Any) -> dict[str, Any]:
    """A synthetic entry of one variable."""
    params = {"variables": ["demand"]}
    return {"name": name, "source": "synthetic", "output_folder": name, "params": params, "chunk": "P3D", **keys}


def config(lake: Path, *apis: dict[str, Any]) -> dict[str, Any]:
    """A configuration of the entries in `apis`, whose tasks do not retry."""
    return {"lake": str(lake), "task_retries": {"count": 0}, "apis": list(apis)}


async def starts(lake: Path, name: str = "grid") -> list[datetime]:
    """The interval starts in the lake, in order, each as often as it occurs."""
    store = Lake.open(str(lake))
    tables = [await store.read_table(file.path) for file in await store.list_files(name, name)]
    return sorted(moment for table in tables for moment in table["interval_start"].to_pylist())


async def periods(lake: Path, name: str = "grid") -> list[Period]:
    """The periods of the files, in order."""
    return sorted(file.period for file in await Lake.open(str(lake)).list_files(name, name) if file.period)


async def test_what_is_missing_comes_in_chunks(tmp_path: Path) -> None:
    """Ten days in chunks of three days become four adjacent files with every hour once."""
    report = await backfill(START, END, config=config(tmp_path, api()))
    found = await periods(tmp_path)
    assert [period.duration.days for period in found] == [3, 3, 3, 1]
    assert union(found) == [Period(START, END)]
    assert await starts(tmp_path) == [START + n * HOUR for n in range(240)]
    assert report["pipeline_status"] == "success"
    assert report["statistics"] == {
        "entries": 1,
        "skipped_entries": 0,
        "chunks": 4,
        "successful_chunks": 4,
        "failed_chunks": 0,
    }
    assert report["summary"]["rows"] == 240


async def test_a_second_run_asks_for_nothing_and_a_wider_one_for_the_rest(tmp_path: Path) -> None:
    """A second run requests nothing; a run with a longer period requests only its two ends."""
    settings = config(tmp_path, api())
    await backfill(START, END, config=settings)
    again = await backfill(START, END, config=settings)
    assert again["statistics"]["chunks"] == 0
    assert again["results"][0]["covered"] == "10 days"
    wider = await backfill(START - HOUR, END + HOUR, config=settings)
    assert wider["statistics"]["chunks"] == 2
    assert await starts(tmp_path) == [START + n * HOUR for n in range(-1, 241)]


async def test_of_a_wider_entry_only_what_is_new_is_asked_for_and_with_refresh_all(tmp_path: Path) -> None:
    """After a variable is added, only its history is requested, and each hour of both variables is read once;
    `refresh` requests everything again."""
    settings = config(tmp_path, api())
    await backfill(START, END, config=settings)
    wider = config(tmp_path, api(params={"variables": ["demand", "load"]}))
    report = await backfill(START, END, config=wider)
    assert report["statistics"]["successful_chunks"] == 4
    assert report["summary"]["rows"] == 240
    note = "2024-03-01T00:00/2024-03-11T00:00: the requests of the files did not include variables: load"
    assert report["results"][0]["warnings"] == [note]
    assert (await backfill(START, END, config=wider))["statistics"]["chunks"] == 0
    again = await backfill(START, END, config=wider, refresh=True)
    assert (again["statistics"]["successful_chunks"], again["summary"]["rows"]) == (4, 480)
    table = await curated.read(Lake.open(str(tmp_path)), [parse(wider).apis[0]], START, END)
    assert sorted(zip(table["variable"].to_pylist(), table["interval_start"].to_pylist(), strict=True)) == [
        (variable, START + n * HOUR) for variable in ("demand", "load") for n in range(240)
    ]


async def test_a_dry_run_only_says_what_is_missing(tmp_path: Path) -> None:
    """A dry run reports the missing chunks and does not change the lake."""
    report = await backfill(START, END, config=config(tmp_path, api()), dry_run=True)
    assert report["statistics"]["chunks"] == 4
    assert report["statistics"]["successful_chunks"] == 0
    assert await periods(tmp_path) == []


async def test_it_stops_at_what_is_due(tmp_path: Path) -> None:
    """A period that ends in the future is collected up to the latest hour that is due."""
    begun = datetime.now(UTC)
    entry = api(available={"lag": "PT5H"})
    await backfill(begun - timedelta(days=1), begun + timedelta(days=1), config=config(tmp_path, entry))
    (found,) = union(await periods(tmp_path))
    assert timedelta(0) <= found.end - (begun - 6 * HOUR) <= 2 * HOUR


async def test_entries_without_periods_are_skipped_with_the_reason(tmp_path: Path) -> None:
    """Snapshots and entries that keep only bodies are skipped with the reason, and the others are collected."""
    snapshot = {"name": "snapshot", "url": "http://127.0.0.1:1/x", "output_folder": "snapshot"}
    bodies = api("bodies", format="json")
    report = await backfill(START, END, config=config(tmp_path, snapshot, bodies, api()))
    reasons = {row["name"]: row["skipped"] for row in report["results"]}
    assert reasons == {
        "snapshot": "has no history: its URL asks for current data only",
        "bodies": 'keeps bodies only ("format": "json")',
        "grid": None,
    }


async def test_a_failed_chunk_stops_no_other_and_is_asked_for_again(tmp_path: Path) -> None:
    """The run ends with an error that carries the report; the next run collects only the failed chunk."""
    entry = {
        "name": "weather",
        "url": "https://archive-api.open-meteo.com/v1/archive",
        "params": {"latitude": 42.36, "longitude": -71.06, "hourly": ["temperature_2m"]},
        "output_folder": "weather",
        "chunk": "P3D",
        "retries": 1,
    }
    settings = config(tmp_path, entry)
    async with sandbox.run_sandbox(faults=[{"nth": [2], "fault": 503}]) as url:
        with pytest.raises(RunError, match="1 of 4 chunks failed, of weather") as caught:
            await backfill(START, END, config=settings, sandbox=url)
        row = caught.value.report["results"][0]
        assert (row["collected"], row["failed"]) == (3, 1)
        assert "HTTP 503" in row["errors"][0]
        report = await backfill(START, END, config=settings, sandbox=url)
    assert report["statistics"]["chunks"] == 1
    assert union(await periods(tmp_path, "weather")) == [Period(START, END)]


async def test_a_watcher_is_told_of_every_chunk(tmp_path: Path) -> None:
    """A watcher gets the number of chunks at the start, then each finished chunk."""
    told: list[tuple[str, int, int]] = []
    with watch_progress(lambda name, done, pieces: told.append((name, done, pieces))):
        await backfill(START, END, config=config(tmp_path, api()))
    assert told == [("grid", done, 4) for done in range(5)]


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (END, START, "is no period"),
        (START, START, "is no period"),
        ("yesterday", END, "yesterday"),
        ("0024-01-01", END, "before 1900"),
        ("1899-12-31T23:59", END, "before 1900"),
        (datetime(2999, 1, 1, tzinfo=UTC), datetime(2999, 2, 1, tzinfo=UTC), "grid has no data that is due after 20"),
    ],
)
async def test_a_bad_period_is_refused(tmp_path: Path, start: Any, end: Any, says: str) -> None:
    """A wrong period is refused, with a message that names it, before anything runs."""
    with pytest.raises(ConfigurationError, match=says):
        await backfill(start, end, config=config(tmp_path, api()))


async def test_days_may_be_given_as_text(tmp_path: Path) -> None:
    """Texts as from the command line and the form are accepted; without an offset they are UTC."""
    report = await backfill("2024-03-01", "2024-03-01T06:00", config=config(tmp_path, api()))
    assert report["period"] == "2024-03-01T00:00/2024-03-01T06:00"
    assert report["summary"]["rows"] == 6


async def test_what_is_not_due_is_left_out_and_told(tmp_path: Path) -> None:
    """A warning gives the time up to which a period that ends in the future was collected."""
    begun = datetime.now(UTC)
    report = await backfill(begun - timedelta(days=1), begun + timedelta(days=1), config=config(tmp_path, api()))
    (warning,) = report["results"][0]["warnings"]
    assert warning.endswith("is not due yet and left out")
    assert report["results"][0]["missing"] == []


@pytest.mark.slow
async def test_before_the_history_of_an_upstream_there_is_no_endless_hole(tmp_path: Path) -> None:
    """If the upstream answers that it has no data, this is reported once and not requested again; if it refuses, the
    error is reported."""
    eia = {
        "name": "demand",
        "url": "https://api.eia.gov/v2/electricity/rto/region-data/data/",
        "params": {"facets[respondent][]": ["ISNE"], "facets[type][]": ["D"]},
        "output_folder": "demand",
    }
    weather = {
        "name": "weather",
        "url": "https://archive-api.open-meteo.com/v1/archive",
        "params": {"latitude": 42.36, "longitude": -71.06, "hourly": ["temperature_2m"]},
        "output_folder": "weather",
    }
    before = datetime(1930, 1, 1, tzinfo=UTC), datetime(1930, 1, 3, tzinfo=UTC)
    settings = config(tmp_path, eia, weather)
    async with sandbox.run_sandbox() as url:
        with pytest.raises(RunError, match="1 of 2 chunks failed, of weather") as caught:
            await backfill(*before, config=settings, sandbox=url)
        demand, sky = caught.value.report["results"]
        assert demand["warnings"] == [
            "1930-01-01T00:00/1930-01-03T00:00: the upstream has nothing for this period; "
            'it is asked again while "reread" lasts, later only without its file'
        ]
        assert "out of allowed range from 1940-01-01" in sky["errors"][0]
        assert sky["missing"] == ["1930-01-01T00:00/1930-01-03T00:00"]
        again = await backfill(*before, config=settings, sandbox=url, select=["demand"])
    assert again["statistics"]["chunks"] == 0


async def test_the_end_is_a_picture_in_the_ui(tmp_path: Path) -> None:
    """An artifact shows what is complete, failed and missing; failed periods are recorded for `status`."""
    entry = api("weather", url="http://127.0.0.1:9/x?start={start}&end={end}", source="generic", params={}, retries=1)
    store = Lake.open(str(tmp_path))
    await backfill(START, END, config=config(tmp_path, api()))
    with pytest.raises(RunError):
        await backfill(START, END, config=config(tmp_path, api(), entry))
    artifact = await Artifact.get("backfill-coverage")
    assert artifact is not None
    assert f"| grid | `2024-03-01 {20 * '█'} 2024-03-11 100%` | nothing |" in str(artifact.data)
    assert f"| weather | `2024-03-01 {20 * '×'} 2024-03-11   0%` | {Period(START, END)} |" in str(artifact.data)
    (weather,) = parse(config(tmp_path, entry)).apis
    assert [failure.attempts for failure in await failed_periods.recall_failures(store, weather)] == [1, 1, 1, 1]


async def test_unknown_entries_are_refused(tmp_path: Path) -> None:
    """An unknown name of an entry is refused before anything runs, with the existing names."""
    with pytest.raises(ConfigurationError, match=r"gird: no such entry. The entries are: grid"):
        await backfill(START, END, config=config(tmp_path, api()), select=["gird"])


async def test_foreign_files_cover_nothing_and_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files with other names, impossible periods or days, or other prefixes cover nothing and are named in a
    warning."""
    folder = tmp_path / "grid"
    folder.mkdir()
    strange = [
        "notes.txt",
        "grid_20240301_000000_20240311T0000_20240301T0000.parquet",
        "grid_20240301_000000_20240231T0000_20240311T0000.parquet",
    ]
    for name in (*strange, "other_20240301_000000_20240301T0000_20240311T0000.parquet"):
        (folder / name).write_text("not ours")
    report = await backfill(START, END, config=config(tmp_path, api()))
    assert report["statistics"]["successful_chunks"] == 4
    assert all(name in caplog.text for name in strange)
    assert await starts(tmp_path) == [START + n * HOUR for n in range(240)]


async def test_damaged_files_are_named_and_their_periods_asked_for(tmp_path: Path) -> None:
    """An empty file, one without its sidecar and one with the content of another are named in warnings, and their
    periods are collected again; files outside the period are not read."""
    settings = config(tmp_path, api())
    await backfill(START, END, config=settings)
    first, second, third, last = sorted((tmp_path / "grid").glob("*.parquet"), key=lambda path: path.stem.split("_")[3])
    first.write_bytes(b"")
    second.write_bytes(third.read_bytes())
    last.rename(last.with_suffix(".csv"))
    found = await backfill(START, END, config=settings, dry_run=True)
    assert found["results"][0]["missing"] == ["2024-03-01T00:00/2024-03-07T00:00", "2024-03-10T00:00/2024-03-11T00:00"]
    report = await backfill(START, END, config=settings)
    assert (report["statistics"]["successful_chunks"], report["results"][0]["missing"]) == (3, [])
    assert (await backfill(START, END, config=settings))["statistics"]["chunks"] == 0
    empty, other, bare = sorted(report["results"][0]["warnings"])
    assert empty.startswith(f"grid/{first.name}: is damaged")
    assert other.startswith(f"grid/{second.name}: states the period 2024-03-07T00:00/2024-03-10T00:00")
    assert bare.startswith(f"grid/{last.stem}.csv: is damaged: it has no sidecar")
    for path in (first, second, last.with_suffix(".csv")):
        path.unlink()
    assert await starts(tmp_path) == [START + n * HOUR for n in range(240)]
    sound = await backfill(START + timedelta(days=6), START + timedelta(days=9), config=settings, dry_run=True)
    assert sound["results"][0]["warnings"] == []


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (UpstreamError("grid", "HTTP 503"), "Run it again: only what is missing is requested"),
        (ConfigurationError("grid", "HTTP 400"), "Correct what the messages name, then run it again: only what is"),
    ],
)
def test_running_again_is_proposed_where_it_can_help(error: GridtideError, fix: str) -> None:
    """The message proposes another run after an outage, and not after an error of the configuration."""
    api = {"name": "grid", "url": "https://grid.example/", "output_folder": "grid"}
    entry = parse({"apis": [api]}).apis[0]
    period = Period(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))
    report = backfill_report(period, [Plan(entry, [period])], [Outcome(entry, period, error=error)], {}, 1.0)
    assert report.failure is not None
    assert report.failure[1].startswith(fix)
