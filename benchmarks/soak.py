"""Runs schedules at 30 times their speed for two hours, through faults, and counts what is lost or doubled.

`python -m benchmarks.soak [--minutes 120]` starts a machine of its own (`gridtide up`) in a temporary folder. Four
entries are collected every two minutes, as hourly ones are every hour, from an upstream that fails, publishes late and
revises; the first run of the monitor collects the 30 days before. Meanwhile the worker and the server are killed, the
machine is stopped and started, and the disk of the lake is full (on Linux, as root). At the end every value that was
due must be in the lake once, as the upstream last published it. The figures are written to `benchmarks/soak.json`; the
exit code is 1 if rows are lost, doubled or wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateName
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from rich.progress import Progress

from benchmarks.processes import PROGRAMS, serving
from benchmarks.programs.soak_upstream import ZONES, list_intervals, read_value
from deployments.machine.worker import find_worker
from flows.run.local_server import find_server
from gridtide.config.loading import load
from gridtide.curated import read
from gridtide.lake import Lake

ENTRIES = ("load", "wind", "solar", "price")
SPEED = 30

MONITORED, NIGHT, SAMPLED = 6 * 60 / SPEED, 24 * 60 / SPEED, 0.25
"""Minutes between two runs of the monitor; between two of what is run once a night; between two measurements."""

RESULTS = Path(__file__).parent / "soak.json"

DISK = 64 * 2**20
"""Bytes of the disk of the lake."""


@dataclass
class _Life:
    """Memory in MB and open files of one process from its start to its end, by minute of the soak."""

    name: str
    pid: int
    minutes: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def summarize(self) -> dict[str, Any]:
        """The median of the second quarter of the life, which is after its start, and of the last quarter."""
        quarter = max(len(self.minutes) // 4, 1)
        early, late = slice(quarter, 2 * quarter), slice(-quarter, None)
        return {
            "process": self.name,
            "minutes": round(self.minutes[-1] - self.minutes[0], 1),
            "memory_mb": [round(statistics.median(self.memory[part] or self.memory)) for part in (early, late)],
            "open_files": [round(statistics.median(self.files[part] or self.files)) for part in (early, late)],
        }


@dataclass
class Soak:
    """A machine in `folder` whose clock of schedules began at `began`, and what was measured of it."""

    folder: Path
    upstream: str
    began: float = field(default_factory=time.monotonic)
    lives: list[_Life] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    database_mb: list[float] = field(default_factory=list)

    @property
    def minute(self) -> float:
        """Minutes since the beginning."""
        return (time.monotonic() - self.began) / 60

    def run_command(self, *arguments: str) -> str:
        """Run `gridtide` on this machine, and return its output; its exit code does not matter here."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
            "PREFECT_HOME": str(self.folder / "home"),
            "PREFECT_SERVER_API_PORT": "0",
            "PYTHONPATH": str(PROGRAMS.parents[1]),
        }
        command = [sys.executable, "-m", "deployments.cli", *arguments]
        completed = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        return completed.stdout + completed.stderr

    def note(self, event: str) -> None:
        """Remember what was done to the machine."""
        self.events.append(f"minute {self.minute:.1f}: {event}")

    def sample(self) -> None:
        """Measure server and worker, if they run."""
        for name, running in (("server", find_server()), ("worker", find_worker())):
            if running is None:
                continue
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(running.pid)
                life = next((life for life in self.lives if life.pid == running.pid), None)
                if life is None:
                    life = _Life(name, running.pid)
                    self.lives.append(life)
                life.memory.append(process.memory_info().rss / 2**20)
                life.files.append(process.num_fds())
                life.minutes.append(self.minute)
        database = self.folder / "home" / "prefect.db"
        self.database_mb.append(sum(path.stat().st_size for path in database.parent.glob("prefect.db*")) / 2**20)

    def wait(self, until: float, progress: Progress) -> None:
        """Measure until the minute `until`."""
        while self.minute < until:
            self.sample()
            progress.update(progress.task_ids[0], completed=self.minute)
            time.sleep(min(SAMPLED * 60, max(until - self.minute, 0) * 60 + 0.01))


def kill_worker(soak: Soak) -> None:
    """Kill the worker with its runs, and start the machine again."""
    if worker := find_worker():
        os.killpg(worker.pid, 9)
    soak.run_command("up")
    soak.note("worker and its runs killed, then `gridtide up`")


def kill_server(soak: Soak) -> None:
    """Kill the server, and start the machine again."""
    if server := find_server():
        os.kill(server.pid, 9)
    soak.run_command("up")
    soak.note("server killed, then `gridtide up`")


def stop_and_start(soak: Soak) -> None:
    """Stop the machine for the time of several schedules, and start it."""
    soak.run_command("down")
    time.sleep(5 * 60)
    soak.run_command("up")
    soak.note("`gridtide down`, five minutes, `gridtide up`")


def fill_disk(soak: Soak) -> None:
    """Fill the disk of the lake for three minutes."""
    if not os.path.ismount(soak.folder / "lake"):
        soak.note("left out: a full disk, as no small disk could be mounted")
        return
    ballast = soak.folder / "lake" / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(bytes(2**16))
            file.flush()
    time.sleep(3 * 60)
    ballast.unlink()
    soak.note("disk of the lake full for three minutes")


FAULTS = ((0.2, kill_worker), (0.35, kill_server), (0.5, stop_and_start), (0.7, fill_disk))
"""What happens to the machine, by the share of the soak that has passed."""


@contextlib.contextmanager
def _mount_lake(folder: Path) -> Iterator[None]:
    """Make `folder` a small disk in memory, where that is possible."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    is_mounted = sys.platform == "linux" and os.geteuid() == 0 and subprocess.run(command).returncode == 0
    try:
        yield
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607


def _configure(folder: Path, upstream: str) -> Path:
    keys = {
        "source": "generic", "schedule": "hourly", "time": "at", "location": "zone", "interval": "PT2M",
        "resolution": "PT2M", "available": {"lag": "PT20S"}, "reread": "PT30M", "chunk": "PT2H",
    }  # fmt: skip
    apis = [
        {"name": name, "output_folder": name, "url": f"{upstream}/{name}?start={{start}}&end={{end}}", **keys}
        | {"value": {"mw": {"variable": name, "unit": "MW"}}}
        for name in ENTRIES
    ]
    path = folder / "api_config.json"
    schedules = {"hourly": {"cron": "*/2 * * * *"}}
    path.write_text(json.dumps({"lake": str(folder / "lake"), "schedules": schedules, "apis": apis}, indent=1))
    return path


def _start_run(deployment: str, **parameters: Any) -> None:
    """Start a run by hand, as the schedules of the night are too rare."""
    server = find_server()
    if server is None:
        return
    with (
        temporary_settings({PREFECT_API_URL: server.url}),
        contextlib.suppress(Exception),  # a server that was just killed
        get_client(sync_client=True) as client,
    ):
        client.create_flow_run_from_deployment(client.read_deployment_by_name(deployment).id, parameters=parameters)


def _run_schedules(soak: Soak, minutes: float) -> None:
    """Let the schedules run for `minutes`, with the runs of the night and the faults between them."""
    due = [(minutes * share, fault) for share, fault in FAULTS]
    monitored, night = MONITORED, NIGHT / 2
    with Progress() as progress:
        progress.add_task("soaking", total=minutes)
        while soak.minute < minutes:
            moments = [monitored, night, minutes, *(moment for moment, _ in due)]
            soak.wait(min(moments), progress)
            if due and soak.minute >= due[0][0]:
                due.pop(0)[1](soak)
            elif soak.minute >= monitored:
                _start_run("monitor/six_hourly")
                monitored += MONITORED
            elif soak.minute >= night:
                for deployment in ("compact/nightly", "quality/morning", "retention/weekly"):
                    _start_run(deployment)
                night += NIGHT


def _count_runs() -> dict[str, int]:
    """How many runs ended in which state, by deployment's flow."""
    counts: Counter[str] = Counter()
    with get_client(sync_client=True) as client:
        flows = {flow.id: flow.name for flow in client.read_flows()}
        final = FlowRunFilterState(
            name=FlowRunFilterStateName(any_=["Completed", "Failed", "Crashed", "Cancelled", "Skipped", "Partial"])
        )
        offset = 0
        while runs := client.read_flow_runs(flow_run_filter=FlowRunFilter(state=final), limit=200, offset=offset):
            counts.update(f"{flows[run.flow_id]} {run.state_name}" for run in runs)
            offset += len(runs)
    return dict(sorted(counts.items()))


async def _compare(soak: Soak, config: Path, start: datetime, end: datetime) -> dict[str, int]:
    """What the lake holds of the intervals in [start, end) beside what the upstream published of them."""
    loaded = load(str(config))
    lake = Lake.open(str(soak.folder / "lake"))
    table = (await read(lake, loaded.apis, start, end)).select(["location", "variable", "interval_start", "value"])
    keys = list(zip(*(table[name].to_pylist() for name in ("variable", "location", "interval_start")), strict=True))
    values = dict(zip(keys, table["value"].to_pylist(), strict=True))
    due = {
        (entry, zone, moment): read_value(f"/{entry}", zone, moment, end + timedelta(hours=1))
        for entry in ENTRIES
        for zone in ZONES
        for moment in list_intervals(start, end)
    }
    file_count = 0
    for entry in ENTRIES:
        file_count += len(await lake.list_files(entry, entry))
    return {
        "due": len(due),
        "lost": len(due.keys() - values.keys()),
        "doubled": len(keys) - len(values),
        "not published": len(values.keys() - due.keys()),
        "wrong": sum(values[key] != value for key, value in due.items() if key in values),
        "files": file_count,
    }


def _settle(soak: Soak) -> None:
    """Wait until the monitor has collected what the faults left open: twice, as the second finds nothing to do."""
    for _ in range(2):
        soak.run_command("monitor", "--days", "1")


def run_soak(minutes: float) -> dict[str, Any]:
    """Run the soak for `minutes`; returns its figures."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        stack.enter_context(_mount_lake(folder / "lake"))
        upstream = stack.enter_context(serving(sys.executable, "-m", "benchmarks.programs.soak_upstream"))
        config = _configure(folder, upstream)
        stack.enter_context(temporary_settings({PREFECT_HOME: folder / "home"}, restore_defaults={PREFECT_API_URL}))
        soak = Soak(folder, upstream)
        stack.callback(soak.run_command, "down")
        start = datetime.now(UTC)
        print(soak.run_command("up"))
        _run_schedules(soak, minutes)
        with urllib.request.urlopen(f"{upstream}/counts?stop=1") as response:  # noqa: S310
            requests = json.load(response)
        end = datetime.now(UTC) - timedelta(minutes=3)
        time.sleep(12 * 60)  # until the last revision of these intervals is published
        _settle(soak)
        server = find_server()
        with temporary_settings({PREFECT_API_URL: server.url if server else None}):
            runs = _count_runs()
        return {
            "began": start.isoformat(timespec="seconds"),
            "minutes": round(minutes),
            "speed": SPEED,
            "rows": asyncio.run(_compare(soak, config, start, end)),
            "requests": requests,
            "runs": runs,
            "events": soak.events,
            "processes": [life.summarize() for life in soak.lives if len(life.minutes) > 8],
            "prefect_database_mb": [round(soak.database_mb[0], 1), round(soak.database_mb[-1], 1)],
        }


def main() -> None:
    """Run the soak, write its figures, and exit with 1 if a row was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120)
    figures = run_soak(parser.parse_args().minutes)
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    rows = figures["rows"]
    raise SystemExit(any(rows[fault] for fault in ("lost", "doubled", "not published", "wrong")))


if __name__ == "__main__":
    main()
