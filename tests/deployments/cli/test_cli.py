"""The `gridtide` command: its output on stdout and stderr, and its exit codes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from deployments.cli import status
from deployments.cli.commands import app
from deployments.cli.console import out
from deployments.cli.flow_commands import show_report
from flows.backfill import BACKFILL_LAYOUT
from gridtide import sandbox
from gridtide.config.loading import load, parse
from gridtide.coverage import failed_periods
from gridtide.coverage.failed_periods import Failure
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.table import Row, from_rows
from gridtide.periods import Period
from gridtide.sandbox.upstreams import list_secrets

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "api_config.json"
HOUR = timedelta(hours=1)

DEMAND = {
    "name": "demand",
    "url": "https://api.eia.gov/v2/electricity/rto/region-data/data/",
    "params": {"facets[respondent][]": ["ISNE"], "facets[type][]": ["D"]},
    "output_folder": "demand",
}


def filled(said: str) -> str:
    """The period that the output of `demo` names."""
    return said.partition("Backfill of ")[2].partition(": ")[0]


def gridtide(*arguments: object) -> Result:
    """Run the command in this process, and restore the environment afterwards."""
    runner = CliRunner(env={"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"})
    return runner.invoke(app, [str(argument) for argument in arguments])


def written(folder: Path, *apis: dict[str, Any], **rest: Any) -> Path:
    """Write a configuration of `apis` into `folder`; its lake is beside it."""
    path = folder / "api_config.json"
    path.write_text(json.dumps({"lake": str(folder / "lake"), "apis": apis, **rest}))
    return path


@pytest.fixture
def upstream() -> Iterator[str]:
    """The URL of a sandbox."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gridtide.sandbox", "--exit-with-stdin"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


@contextmanager
def http_server(folder: Path) -> Iterator[str]:
    """The URL of a file server."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_help_names_every_command() -> None:
    """`--help` lists all commands and the exit codes."""
    page = gridtide("--help").stdout
    for command in [
        *("up", "down", "deploy", "notify", "demo", "validate", "ingest", "backfill", "monitor", "compact"),
        *("quality", "replay", "retention", "prepare", "status", "sandbox", "serve"),
    ]:
        assert f" {command} " in page
    assert "130 interrupted" in page


def test_the_shipped_configuration_is_valid() -> None:
    """`validate` ends with 0 and counts the entries."""
    done = gridtide("validate", "--config", SHIPPED)
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"{len(load(SHIPPED).apis)} entries, no problems" in done.stdout
    one = gridtide("validate", "--config", SHIPPED, "--select", load(SHIPPED).apis[0].name)
    assert ": 1 entry, no problems" in one.stdout


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """All problems are on stderr with entry and key, with exit code 2 and no traceback."""
    bad = [{**DEMAND, "tiemout": 3}, {**DEMAND, "name": "b", "output_folder": "../b"}, {**DEMAND, "schedule": "never"}]
    done = gridtide("validate", "--config", written(tmp_path, *bad))
    assert (done.exit_code, done.stdout) == (2, "")
    for said in (
        "demand: tiemout: unknown key",
        "b: output_folder: '../b' leaves the lake",
        'demand: schedule: "never"',
    ):
        assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["validate", "status", "ingest", "serve", "demo"])
def test_a_missing_configuration_is_wrong_use(command: str, tmp_path: Path) -> None:
    """Every command names the missing file and ends with 2 before it starts anything."""
    done = gridtide(command, "--config", tmp_path / "none.json")
    assert done.exit_code == 2
    assert "none.json: cannot be read" in done.stderr


COMMANDS = [
    *(["ingest"], ["backfill", "--start", "2024-01-01", "--end", "2024-01-02"], ["monitor"], ["compact"], ["replay"]),
    *(["retention"], ["prepare", "spec.json"], ["validate"], ["status"], ["up"], ["serve"], ["deploy"]),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("lake", "said"),
    [
        ("s3://", "names no bucket or container; use a folder, file:///folder, s3://bucket/prefix"),
        ("s3://bucket/x?token=s3cret", "has a part after ? or #"),
    ],
)
def test_a_lake_that_is_none_is_wrong_use(command: list[str], lake: str, said: str) -> None:
    """Every command refuses an invalid `--lake` before it starts anything, without showing a secret."""
    done = gridtide(*command, "--config", SHIPPED, "--lake", lake)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"error: --lake: {said}" in done.stderr
    assert "s3cret" not in done.stderr


def test_a_lake_of_the_configuration_that_is_none_is_a_problem_of_it(tmp_path: Path) -> None:
    """`validate` reports an invalid lake of the configuration with the other problems."""
    done = gridtide("validate", "--config", written(tmp_path, {**DEMAND, "tiemout": 3}, lake="s3://"))
    assert done.exit_code == 2
    assert "demand: tiemout: unknown key" in done.stderr
    assert "lake: names no bucket or container" in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["demo", "--lake", "s3://bucket"], "error: --lake: has a colon but is not a URI"),
        (["deploy", "--pool", ""], "error: --pool: is empty"),
        (["deploy", "--pool", "a/b"], "error: --pool: 'a/b' is not a name for the Prefect server"),
        (["validate", "--select", ""], 'error: "": no such entry'),
        (["monitor", "--days", "0"], "Invalid value for '--days'"),
        (["retention", "--days", "999999999"], "Invalid value for '--days'"),
        (["prepare", "nowhere.json"], "error: nowhere.json: cannot be read"),
        (["evaluate", "nowhere.json"], "error: nowhere.json: cannot be read"),
        (["evaluate", "nowhere"], "error: nowhere: has no sequences.safetensors. Name the folder of a training set"),
        (["evaluate", "nowhere", "--model", "prophet"], "prophet is not a forecaster. Choose from persistence, day"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else None,
)
def test_an_option_that_cannot_be_is_wrong_use(command: list[str], said: str) -> None:
    """An invalid option is named before anything is started."""
    done = gridtide(*command, "--config", SHIPPED)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Prefect UI" not in done.stderr


@pytest.mark.parametrize("command", [*COMMANDS[:3], ["validate", "--probe"]], ids=lambda command: command[0])
def test_a_sandbox_that_is_not_there_is_wrong_use(command: list[str]) -> None:
    """A `--sandbox-url` that does not answer is refused before any request, retry or start."""
    done = gridtide(*command, "--config", SHIPPED, "--sandbox-url", "http://127.0.0.1:1/?key=s3cret")
    assert done.exit_code == 2
    assert "error: --sandbox-url: no sandbox answers at http://127.0.0.1:1. Start one" in done.stderr
    assert "s3cret" not in done.stderr


def test_another_server_is_no_sandbox(tmp_path: Path) -> None:
    """A `--sandbox-url` of another server is refused."""
    with http_server(tmp_path) as url:
        done = gridtide("ingest", "--config", SHIPPED, "--sandbox-url", url)
    assert done.exit_code == 2
    assert f"error: --sandbox-url: the server at {url} is not a sandbox. Start one" in done.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("8787", "is not an http or https URL"),
        ("localhost:8787", "is not an http or https URL"),
        ("http://:x/", "is not an http or https URL"),
        ("", "is not an http or https URL"),
        ("http://u:s3cret@127.0.0.1:1", "holds a user or password"),
    ],
)
@pytest.mark.parametrize("command", ["ingest", "deploy"])
def test_a_sandbox_has_a_url(command: str, url: str, said: str) -> None:
    """An invalid `--sandbox-url` is refused, and so is one with a password, which would be recorded with the run."""
    done = gridtide(command, "--config", SHIPPED, "--sandbox-url", url)
    assert done.exit_code == 2
    assert f"error: --sandbox-url: {said}" in done.stderr
    assert "s3cret" not in done.stderr


def test_an_unknown_entry_is_wrong_use() -> None:
    """`--select` with an unknown name lists the existing names."""
    done = gridtide("ingest", "--config", SHIPPED, "--select", "eia_demnad")
    assert done.exit_code == 2
    assert "eia_demnad: no such entry" in done.stderr
    assert "eia_demand," in done.stderr


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("yesterday", "2024-01-01", "--start"),
        ("2024-01-01", "2024-13-01", "--end"),
        ("2024-02-01", "2024-01-01", "--end"),
        ("0001-01-01T00:00+14:00", "2024-01-01", "--start"),
    ],
)
def test_a_period_that_is_none_is_wrong_use(start: str, end: str, said: str) -> None:
    """`backfill` names the option with the wrong time."""
    done = gridtide("backfill", "--config", SHIPPED, "--start", start, "--end", end)
    assert done.exit_code == 2
    assert f"error: {said}: " in done.stderr


def test_debug_shows_where_an_error_comes_from(tmp_path: Path) -> None:
    """With `--debug` the command raises the error itself."""
    done = gridtide("--debug", "validate", "--config", tmp_path / "none.json")
    assert type(done.exception).__name__ == "ConfigurationError"


async def put(lake: Lake, start: datetime, hours: int, stamp: datetime) -> None:
    """Write a file of `hours` values from `start` on."""
    rows = [Row(start + i * HOUR, start + (i + 1) * HOUR, "ISNE", "demand", "MWh", float(i)) for i in range(hours)]
    period = Period(start, start + hours * HOUR)
    fingerprint = parse({"apis": [DEMAND]}).apis[0].fingerprint
    with Draft("parquet", Provenance("demand", period, fingerprint)) as draft:
        draft.append(from_rows("eia", rows, stamp))
        await lake.put_draft(draft, "demand", "demand", stamp)


async def test_status_tells_what_the_lake_holds(tmp_path: Path) -> None:
    """`status` shows the last file, its rows, its age, the coverage and the missing periods."""
    day = datetime(2024, 1, 1, tzinfo=UTC)
    lake = Lake.open(str(tmp_path / "lake"))
    await put(lake, day, 24, day + 90 * HOUR)
    await put(lake, day + 48 * HOUR, 24, day + 91 * HOUR)
    (tmp_path / "lake" / "demand" / "notes.txt").write_text("not a lake file")
    process = await in_process("status", "--json", "--config", str(written(tmp_path, DEMAND)))
    (found,) = json.loads(process.stdout)
    assert found["entry"] == "demand"
    assert found["files"] == 2
    assert found["last_file"] == "demand/demand_20240104_190000_20240103T0000_20240104T0000.parquet"
    assert found["rows"] == 24
    assert found["age_seconds"] > 86400
    assert found["covered"] == [
        ["2024-01-01T00:00Z", "2024-01-02T00:00Z"],
        ["2024-01-03T00:00Z", "2024-01-04T00:00Z"],
    ]
    assert found["missing"][0] == ["2024-01-02T00:00Z", "2024-01-03T00:00Z"]
    assert found["missing"][1][0] == "2024-01-04T00:00Z"
    assert "notes.txt" in process.stderr
    shown = await in_process("status", "--config", str(tmp_path / "api_config.json"))
    header, _, row, *_ = (line for line in shown.stdout.splitlines() if line.strip())
    assert [title.strip() for title in header.split("  ") if title.strip()] == [
        *("entry", "coverage", "age", "last file's rows", "last file")
    ]
    assert row.split()[-2] == "24"


async def test_status_names_a_damaged_file_and_goes_on(tmp_path: Path) -> None:
    """`status` shows a damaged file in the row of its entry, and succeeds."""
    day = datetime(2024, 1, 1, tzinfo=UTC)
    for number in range(3):
        await put(Lake.open(str(tmp_path / "lake")), day + number * 24 * HOUR, 24, day + (number + 90) * HOUR)
    first, second, last = sorted((tmp_path / "lake" / "demand").iterdir())
    first.write_bytes(first.read_bytes()[:100])
    config = str(written(tmp_path, DEMAND))
    process = await in_process("status", "--config", config)
    assert process.returncode == 0
    assert first.name in "".join(process.stdout.split())  # wherever it was folded
    assert " 24 " in process.stdout
    second.write_bytes(b"")
    last.write_bytes(last.read_bytes()[:100])
    process = await in_process("status", "--config", config)
    assert " 24 " not in process.stdout
    assert "(and 2 more, see --json)" in " ".join(process.stdout.split())
    (found,) = json.loads((await in_process("status", "--json", "--config", config)).stdout)
    assert [problem.partition(":")[0] for problem in found["problems"]] == [
        f"demand/{path.name}" for path in (first, second, last)
    ]
    assert found["covered"] == []


async def test_status_shows_what_failed(tmp_path: Path) -> None:
    """`status` marks failed periods with a cross and the reason, unless a file covers them now."""
    day = datetime(2024, 1, 1, tzinfo=UTC)
    lake, entry = Lake.open(str(tmp_path / "lake")), load(written(tmp_path, DEMAND)).apis[0]
    await put(lake, day, 24, day + 30 * HOUR)
    failures = [Failure(Period(day + n * 24 * HOUR, day + (n + 1) * 24 * HOUR), n + 1, day, "HTTP 404") for n in (0, 1)]
    await failed_periods.remember_failures(lake, entry, failures)
    (found,) = await status.read_status([entry], lake, day + 74 * HOUR)
    assert str(found.coverage) == "2024-01-01 ██████××××××××       2024-01-04  33%"
    assert [one["period"][0] for one in found.as_dict()["failed"]] == ["2024-01-02T00:00:00+00:00"]
    process = await in_process("status", "--config", str(tmp_path / "api_config.json"))
    assert "failed 2 times: HTTP 404" in " ".join(process.stdout.split())


async def test_an_empty_lake_has_a_status(tmp_path: Path) -> None:
    """`status` shows that an entry has no files, and does not create a missing lake."""
    process = await in_process("status", "--config", str(written(tmp_path, DEMAND)))
    assert process.returncode == 0
    assert "no files yet" in process.stdout
    assert f"{tmp_path / 'lake'}: there is no such folder" in process.stderr
    assert not (tmp_path / "lake").exists()


def test_a_lake_that_cannot_be_read_fails(tmp_path: Path) -> None:
    """A lake that cannot be read is one message and exit code 1."""
    (tmp_path / "file").write_text("")
    done = gridtide("status", "--config", written(tmp_path, DEMAND), "--lake", tmp_path / "file" / "lake")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")


def test_a_probe_asks_every_upstream(tmp_path: Path) -> None:
    """In the sandbox, all entries of the shipped configuration answer a probe, and no file is left in the lake."""
    done = gridtide("validate", "--probe", "--sandbox", "--config", SHIPPED, "--lake", tmp_path / "lake")
    assert done.exit_code == 0, done.output
    for entry in load(SHIPPED).apis:
        assert any(line.split()[:2] == [entry.name, "ok"] for line in done.stdout.splitlines()), done.stdout
    assert [path for path in (tmp_path / "lake").rglob("*") if path.is_file()] == []


def test_a_probe_tells_refused_credentials(tmp_path: Path, upstream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong key gives exit code 3; the other entries are probed, and the key is not shown."""
    monkeypatch.setenv("EIA_API_KEY", "planted-key")
    there = {**DEMAND, "source": "eia", "url": DEMAND["url"].replace("https://api.eia.gov", upstream)}  # type: ignore[attr-defined]  # a string
    fine = {"name": "fine", "source": "synthetic", "output_folder": "fine"}
    done = gridtide("validate", "--probe", "--config", written(tmp_path, there, fine))
    assert done.exit_code == 3
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert " failed " in lines["demand"]
    assert " ok " in lines["fine"]
    assert "planted-key" not in done.output


def test_a_probe_tells_an_upstream_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upstream that cannot be reached gives exit code 1 and a message in the row of its entry."""
    monkeypatch.setenv("EIA_API_KEY", "planted-key")
    gone = {**DEMAND, "source": "eia", "url": "http://127.0.0.1:9/v2/electricity/rto/region-data/data/"}
    done = gridtide("validate", "--probe", "--config", written(tmp_path, gone))
    assert done.exit_code == 1
    assert "demand" in done.stdout
    assert " failed " in done.stdout


def test_a_probe_with_more_wrong_than_credentials_is_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If anything besides credentials is wrong, the exit code is 1, as after a run."""
    monkeypatch.delenv("EIA_API_KEY", raising=False)
    gone = {"name": "gone", "url": "http://127.0.0.1:9/weather", "source": "open_meteo", "output_folder": "gone"}
    gone["params"] = {"latitude": 42.36, "longitude": -71.06, "hourly": ["temperature_2m"]}  # type: ignore[assignment]  # JSON
    assert gridtide("validate", "--probe", "--config", written(tmp_path, DEMAND)).exit_code == 3
    assert gridtide("validate", "--probe", "--config", written(tmp_path, DEMAND, gone)).exit_code == 1


def test_the_sandbox_says_how_to_use_it_and_ends_with_ctrl_c() -> None:
    """`gridtide sandbox` prints its URL and credentials, and ends with 130 after Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deployments.cli", "sandbox", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(3 + len(list_secrets()))]
        os.killpg(process.pid, signal.SIGINT)
        _, complaints = process.communicate(timeout=30)
    assert "http://127.0.0.1:" in said[0]
    assert "EIA_API_KEY=" in "".join(said)
    assert process.returncode == 130
    assert "Traceback" not in complaints


async def in_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, for tests that run in an event loop."""
    command = [sys.executable, "-m", "deployments.cli", *arguments]
    return await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("prefect_server")
class TestRuns:
    """Commands that run flows, on the Prefect server of the session."""

    def test_ingest_shows_what_came_of_each_entry(self, tmp_path: Path, upstream: str) -> None:
        """If an entry fails, the command prints the table with the files of the others and ends with 1."""
        config = written(
            tmp_path,
            {**DEMAND, "fresh": "PT0S"},
            {"name": "lost", "url": f"{upstream}/nowhere", "output_folder": "lost"},
            task_retries={"count": 0},
        )
        done = gridtide("ingest", "--config", config, "--sandbox-url", upstream)
        assert done.exit_code == 1
        lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
        assert lines["demand"].split()[1] == "ok"
        assert ".parquet" in lines["demand"]
        assert lines["lost"].split()[1] == "failed"
        assert "HTTP 404" in lines["lost"]
        assert "1 of 2 entries failed: lost" in done.stderr
        assert "Traceback" not in done.stderr

    def test_missing_credentials_are_exit_code_3(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """If only credentials are missing the exit code is 3; with another failure it is 1."""
        monkeypatch.delenv("EIA_API_KEY", raising=False)
        lost = {"name": "lost", "url": "http://127.0.0.1:9/x", "output_folder": "lost", "retries": 1}
        alone = written(tmp_path, DEMAND)
        done = gridtide("ingest", "--config", alone)
        assert done.exit_code == 3
        assert "EIA_API_KEY is not set" in done.stdout
        both = written(tmp_path, DEMAND, lost, task_retries={"count": 0})
        assert gridtide("ingest", "--config", both).exit_code == 1

    def test_backfill_tells_what_is_worth_knowing(self, tmp_path: Path, upstream: str) -> None:
        """The table shows periods without data and periods that are still missing."""
        command = ["backfill", "--config", written(tmp_path, DEMAND), "--sandbox-url", upstream]
        done = gridtide(*command, "--start", "1930-01-01", "--end", "1930-01-02")
        assert "the upstream has nothing for this period" in " ".join(done.stdout.split())
        report = {"name": "load", "failed": 0, "skipped": None, "chunks": 1, "collected": 1, "rows": 5, "errors": []}
        report |= {"warnings": [f"note {n}" for n in range(5)], "covered": "nothing", "missing": ["2024-01"]}
        counts = {"successful_chunks": 1, "chunks": 1}
        totals = {"period": "2024", "pipeline_status": "success", "statistics": counts}
        totals |= {"summary": {"rows": 5, "seconds": 1.0}}
        with out.capture() as captured:
            show_report(BACKFILL_LAYOUT, {**totals, "results": [report]})
        [line, last_line] = [line for line in captured.get().splitlines() if "load" in line]
        assert line.split()[:3] == ["load", "open", "1"]
        assert "note 0; note 1; note 2; and 2 more" in line
        assert last_line.endswith("5 rows in 1.0 s; still missing is data of load")

    def test_backfill_fetches_what_is_missing_once(self, tmp_path: Path, upstream: str) -> None:
        """A dry run collects nothing, the first run everything, and the second nothing."""
        config = written(tmp_path, DEMAND)
        command = [
            "backfill",
            "--config",
            config,
            "--sandbox-url",
            upstream,
            "--start",
            "2024-01-01",
            "--end",
            "2024-01-11",
        ]
        dry = gridtide(*command, "--dry-run")
        assert (dry.exit_code, list((tmp_path / "lake").rglob("*.parquet"))) == (0, [])
        first = gridtide(*command)
        assert first.exit_code == 0, first.output
        assert "240 rows in" in first.stdout
        again = gridtide(*command)
        assert again.exit_code == 0
        assert "0 rows in" in again.stdout
        assert len(list((tmp_path / "lake" / "demand").glob("*.parquet"))) == 1

    def test_monitor_tells_what_was_lacking_and_fetches_it(self, tmp_path: Path, upstream: str) -> None:
        """A dry run names the gap and collects nothing; a run closes it, and the next run finds none."""
        config = written(tmp_path, DEMAND)
        asked = ["monitor", "--config", config, "--sandbox-url", upstream, "--days", 2]
        dry, done, again = gridtide(*asked, "--dry-run"), gridtide(*asked), gridtide(*asked)
        assert (dry.exit_code, done.exit_code, again.exit_code) == (0, 0, 0), done.output
        assert "gap " in dry.stdout
        assert " 0 of 1 " in dry.stdout
        assert " 1 of 1 " in done.stdout
        assert "still missing" not in again.stdout

    @pytest.mark.slow
    def test_prepare_tells_what_is_in_the_set(self, tmp_path: Path, upstream: str) -> None:
        """`prepare` prints shapes and windows; the exit code is 2 if the lake lacks the data of the spec."""
        config = written(tmp_path, DEMAND)
        spec = tmp_path / "spec.json"
        series = {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"]}
        spec.write_text(json.dumps({"name": "small", "locations": [series], "seq_len": 48, "horizon": 24}))
        early = gridtide("prepare", spec, "--config", config)
        assert early.exit_code == 2
        assert "small: no values of eia/ISNE/demand are stored" in early.stderr
        asked = ["--config", config, "--sandbox-url", upstream, "--start", "2024-01-01", "--end", "2024-02-01"]
        assert gridtide("backfill", *asked).exit_code == 0
        done = gridtide("prepare", spec, "--config", config)
        assert done.exit_code == 0, done.output
        assert "744 hours" in done.stdout
        tensors = tmp_path / "lake" / "features" / "small" / "sequences.safetensors"
        first = tensors.read_bytes()
        assert gridtide("backfill", *asked[:-1], "2024-02-05").exit_code == 0
        manifest = tensors.parent / "manifest.json"
        assert gridtide("prepare", "--from", manifest, "--config", config).exit_code == 0
        assert tensors.read_bytes() == first, "the files of the manifest alone are read"
        spec.write_text(spec.read_text().replace('"horizon": 24', '"horizon": 12'))
        refused = gridtide("prepare", spec, "--config", config)
        assert refused.exit_code == 2
        assert "horizon differ" in refused.stderr
        assert gridtide("prepare", spec, "--config", config, "--replace").exit_code == 0
        assert gridtide("prepare", "--config", config).exit_code == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_runs_from_nothing_and_again(tmp_path: Path) -> None:
    """The demo collects, backfills and prepares all shipped entries; a second demo requests no history again."""
    home = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_SERVER_API_PORT": "0"}
    home.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "deployments.cli"]

    def demo() -> str:
        arguments = [*command, "demo", "--lake", str(tmp_path / "lake")]
        done = subprocess.run(arguments, cwd=ROOT, env=home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert sandbox.NOTICE in done.stderr
        return done.stdout

    try:
        first, again = demo(), demo()
        if filled(first) != filled(again):  # an hour began between them
            again = demo()
    finally:
        subprocess.run([*command, "down"], cwd=ROOT, env=home, check=True)
    for entry in load(SHIPPED).apis:
        assert entry.name in first
        assert list((tmp_path / "lake" / entry.output_folder).iterdir())
    assert "168 + 24 hours" in first
    assert "Commands to try next" in first
    assert ": 0 chunks were missing" in again
