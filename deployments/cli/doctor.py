"""Checks this installation: versions, folders, disk, configuration, credentials, lake, clock, server and worker.

The checks only read, except for a test file that shows whether the lake can be written to. They start no server.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
from packaging.requirements import Requirement
from rich.table import Table

from deployments.cli.console import FAILED, MISUSED, REFUSED, count_noun, draw_table
from deployments.cli.status import read_status
from gridtide import __version__
from gridtide.clock import measure_offset, read_date
from gridtide.config.loading import load
from gridtide.entries.entry import Config, Entry
from gridtide.entries.lake_address import BLOCKS
from gridtide.errors import ConfigurationError, CredentialsError, GridtideError, StorageError
from gridtide.http.clocks import is_this_machine
from gridtide.lake import Lake
from gridtide.lake.store_errors import is_refusal
from gridtide.sources.registry import get_source
from gridtide.threads import run_blocking
from tasks.lake import open_lake
from tasks.prefect_home import check_prefect_home
from tasks.secrets import list_credential_names, read_credentials

LOW_DISK, FULL_DISK = 2**30, 100 * 2**20
"""Free bytes below which a disk is low, and below which runs fail."""


CLOCK_WARNING = timedelta(minutes=2)
"""The largest error of the clock without a warning. Availability rules and schedules are in minutes."""


CLOCK_HOSTS = 3
"""The number of upstreams whose clocks are read, so that one wrong clock among them can be recognised."""


CLOCK_TIMEOUT = 10.0
"""The timeout of a request to an upstream, in seconds."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check: `level`, `message`, and the `fix` of a warning or problem."""

    check: str
    level: Literal["ok", "warning", "problem"]
    message: str
    fix: str = ""
    exit_code: int = FAILED


async def examine(config: Path, lake: str | None, now: Callable[[], datetime]) -> list[CheckResult]:
    """The results of all checks with the configuration at `config`; `lake` overrides its lake, `now` is the clock."""
    findings = [*check_versions(), *await _list_findings("PREFECT_HOME", _check_home())]
    try:
        settings = load(config)
    except GridtideError as error:
        return [*findings, _describe_problem("configuration", error), *await _check_server()]
    findings.append(CheckResult("configuration", "ok", count_noun(len(settings.apis), "entry", "entries")))
    address = lake or settings.lake
    return [
        *findings,
        *await _check_credentials(settings.apis),
        *await _list_findings("lake", _check_lake(settings, address, now())),
        *await _check_clock(settings.apis, await _find_store_clock(address, now), now),
        *await _check_server(),
    ]


def sum_up_exit_code(findings: Iterable[CheckResult]) -> int:
    """0 without problems; else the exit code of the problems if they agree, and 1 if they do not."""
    codes = {finding.exit_code for finding in findings if finding.level == "problem"}
    return codes.pop() if len(codes) == 1 else FAILED if codes else 0


def tabulate_findings(findings: Sequence[CheckResult]) -> Table:
    """The results of the checks as a table."""
    rows = [
        (finding.check, finding.level, f"{finding.message.removesuffix('.')}. {finding.fix}".strip(". "))
        for finding in findings
    ]
    return draw_table(("check", "", "result"), rows)


def as_dicts(findings: Sequence[CheckResult]) -> list[dict[str, Any]]:
    """The results of the checks as JSON: `check`, `level`, `message`, `fix`."""
    return [{name: value for name, value in asdict(item).items() if name != "exit_code"} for item in findings]


def _describe_problem(check: str, error: GridtideError) -> CheckResult:
    code = FAILED
    if isinstance(error, ConfigurationError):
        code = MISUSED
    elif isinstance(error, CredentialsError):
        code = REFUSED
    return CheckResult(check, "problem", f"{error.subject}: {error.happened}", error.fix, code)


async def _list_findings(check: str, findings: Awaitable[list[CheckResult]]) -> list[CheckResult]:
    """The `findings` of a check, or its error as a problem, so that the other checks still run."""
    try:
        return await findings
    except GridtideError as error:
        return [_describe_problem(check, error)]


def check_versions() -> list[CheckResult]:
    """Whether the installed packages are those that Gridtide requires."""
    installed = f"gridtide {__version__}, Python {sys.version.split()[0]}, Prefect {metadata.version('prefect')}"
    try:
        requirements = [Requirement(text) for text in metadata.requires("gridtide") or ()]
    except metadata.PackageNotFoundError:
        return [CheckResult("versions", "warning", f"{installed}; gridtide is not installed", "pip install gridtide")]
    wrong = [
        f"{requirement.name} {metadata.version(requirement.name)} is not {requirement.specifier}"
        for requirement in requirements
        if requirement.marker is None and not requirement.specifier.contains(metadata.version(requirement.name))
    ]
    if wrong:
        return [
            CheckResult("versions", "problem", f"{installed}; {', '.join(wrong)}", "pip install --upgrade gridtide")
        ]
    return [CheckResult("versions", "ok", installed)]


async def _check_home() -> list[CheckResult]:
    home = check_prefect_home()
    return [_check_disk("PREFECT_HOME", home), *await run_blocking(check_records, home / "prefect.db")]


def check_records(database: Path) -> list[CheckResult]:
    """A finding if the file `database`, in which the local server keeps its records, is there and cannot be read: no
    server starts with it."""
    if not database.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:  # locked, or being written: no damage
        return []
    except sqlite3.DatabaseError as error:
        fix = (
            "Put a copy of it back, or move it away: the next server starts without records of runs, "
            "and gridtide deploy registers the deployments again"
        )
        return [CheckResult("PREFECT_HOME", "problem", f"{database} is damaged: {error}", fix)]
    return []


def _check_disk(check: str, folder: Path) -> CheckResult:
    free = shutil.disk_usage(folder).free
    message = f"{folder} has {free / 1e9:,.1f} GB free"
    if free >= LOW_DISK:
        return CheckResult(check, "ok", message)
    fix = "Free space on that disk; gridtide retention --remove clears old response bodies"
    return CheckResult(check, "problem" if free < FULL_DISK else "warning", message, fix)


async def _check_credentials(entries: Sequence[Entry]) -> list[CheckResult]:
    """Whether the variables that entries name are set; Secret blocks are read by `gridtide validate --probe`."""
    in_environment = [entry for entry in entries if not any(_is_block(name) for name in list_credential_names(entry))]
    values = await read_credentials(in_environment)
    missing = {
        name: [entry.name for entry in in_environment if name in list_credential_names(entry)]
        for entry in in_environment
        for name in list_credential_names(entry)
        if name not in values
    }
    return [
        CheckResult(
            "credentials",
            "problem",
            f"{name} is not set; {', '.join(names)} cannot be collected",
            f"Set it in the environment or in .env: {name}=…{_describe_access(names, entries)}",
            REFUSED,
        )
        for name, names in missing.items()
    ] or [CheckResult("credentials", "ok", f"{count_noun(len(values), 'value', 'values')} set")]


def _describe_access(names: Sequence[str], entries: Sequence[Entry]) -> str:
    """Returns how to get the credentials of the entries called `names`, which are of one upstream."""
    access = next((get_source(entry.source).ACCESS for entry in entries if entry.name in names), "")
    return f". To get it: {access}" if access else ""


def _is_block(name: str) -> bool:
    return name.startswith("secret:")


async def _check_lake(config: Config, address: str, now: datetime) -> list[CheckResult]:
    if address.startswith(BLOCKS):
        message = f"{address} is a Prefect block, which is read only by runs"
        return [CheckResult("lake", "warning", message, "gridtide validate --probe")]
    lake = await open_lake(address, make=False)
    folder = Path(lake.uri.removeprefix("file://"))
    is_local = lake.uri.startswith(("/", "file://"))
    if is_local and not await asyncio.to_thread(folder.exists):
        return [CheckResult("lake", "ok", f"{address} does not exist yet; the first run creates it")]
    findings = [_check_disk("lake", folder)] if is_local else [CheckResult("lake", "ok", lake.uri)]
    statuses = await read_status(config.apis, lake, now)
    damaged = [problem for status in statuses for problem in status.problems]
    if damaged:
        message = f"{count_noun(len(damaged), 'file is', 'files are')} damaged or foreign: {damaged[0]}"
        findings.append(CheckResult("lake", "warning", message, "gridtide status --json lists all"))
    return [*findings, *await _list_findings("lake", _check_writable(lake))]


async def _check_writable(lake: Lake) -> list[CheckResult]:
    """Whether files can be written to the lake, which can be read."""
    try:
        await lake.store.probe()
    except StorageError as error:
        if not is_refusal(error):
            raise
        message = f"{lake.uri} can be read, but not written: {error.happened}"
        fix = f"Training sets: gridtide prepare --out FOLDER. To collect data: {error.fix[0].lower()}{error.fix[1:]}"
        return [CheckResult("lake", "warning", message, fix)]
    return []


async def _find_store_clock(address: str, now: Callable[[], datetime]) -> Mapping[str, timedelta]:
    """How far this clock is ahead of that of the lake's store, by its host; empty if the store does not tell."""
    try:
        lake = None if address.startswith(BLOCKS) else await open_lake(address, make=False)
    except GridtideError:  # reported by the check of the lake
        return {}
    measured = await lake.store.measure_clock(now) if lake else None
    return dict([measured]) if measured else {}


async def _check_clock(
    entries: Sequence[Entry], store_clock: Mapping[str, timedelta], now: Callable[[], datetime]
) -> list[CheckResult]:
    """Compare the clock of this machine with `store_clock`, and with the `Date` header of the upstreams' answers, which
    may be errors."""
    parts = [urlsplit(entry.url) for entry in entries if entry.url]
    hosts = list(dict.fromkeys(f"{part.scheme}://{part.netloc}/" for part in parts))[:CLOCK_HOSTS]
    if not hosts and not store_clock:
        return [CheckResult("clock", "ok", "no upstream to compare with")]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CLOCK_TIMEOUT), trust_env=True) as session:
        offsets = await asyncio.gather(*(_read_offset(session, host, now) for host in hosts))
    upstream_clocks = {
        urlsplit(host).hostname or host: offset
        for host, offset in zip(hosts, offsets, strict=True)
        if offset is not None
    }
    if not store_clock and not upstream_clocks:
        message = f"could not be compared: no answer with a Date from {', '.join(hosts)}"
        return [
            CheckResult("clock", "warning", message, "Check the network connection, then gridtide validate --probe")
        ]
    return [judge_clock(store_clock, upstream_clocks)]


def judge_clock(store_clock: Mapping[str, timedelta], upstream_clocks: Mapping[str, timedelta]) -> CheckResult:
    """Judges this clock by how far it is ahead of others, by host. Servers on this machine, which have its clock, count
    only if no other tells the time."""
    distant_store, distant_upstreams = (
        {host: offset for host, offset in clocks.items() if not is_this_machine(host)}
        for clocks in (store_clock, upstream_clocks)
    )
    suffix = ""
    if distant_store or distant_upstreams:
        store_clock, upstream_clocks = distant_store, distant_upstreams
    else:
        suffix = ", which run on this machine"
    offset = min([*store_clock.values(), *upstream_clocks.values()], key=abs)  # one wrong clock proves nothing
    compared = " and ".join([*store_clock, *["the upstreams"] * bool(upstream_clocks)]) + suffix
    if abs(offset) <= CLOCK_WARNING:
        return CheckResult("clock", "ok", f"{abs(offset).total_seconds():.0f} s from the clocks of {compared}")
    direction = "ahead of" if offset > timedelta(0) else "behind"
    rounded = timedelta(seconds=round(abs(offset).total_seconds()))  # `Date` has whole seconds
    message = f"this clock is {rounded} {direction} those of {compared}"
    return CheckResult("clock", "problem", message, "Set it, and keep it right with NTP: timedatectl set-ntp true")


async def _read_offset(session: aiohttp.ClientSession, host: str, now: Callable[[], datetime]) -> timedelta | None:
    """How far this clock is ahead of that of `host`; None where it does not answer, or without a `Date`."""
    sent_at = now()
    try:
        async with session.head(host, allow_redirects=False) as answer:
            moment = read_date(answer.headers)
    except (aiohttp.ClientError, TimeoutError):
        return None
    return measure_offset(moment, sent_at, now()) if moment else None


async def _check_server() -> list[CheckResult]:
    """Whether the Prefect server answers, and whether its deployments can run with this version."""
    try:
        check_prefect_home()
    except ConfigurationError:
        return []  # reported by the check of PREFECT_HOME; without a home folder Prefect cannot be imported
    from prefect.settings import get_current_settings

    from deployments.machine.worker import find_worker
    from flows.run.local_server import find_server

    configured = get_current_settings().api.url
    if not configured and find_server() is None:
        fix = "gridtide up starts server and worker; other commands start a server when they need it"
        return [CheckResult("server", "warning", "no local Prefect server is running", fix)]
    findings = await _list_findings("server", _check_registered())
    worker = find_worker()
    if worker is None and not configured:
        findings.append(CheckResult("worker", "warning", "no worker runs on this machine", "gridtide up"))
    elif worker is not None:
        findings.append(CheckResult("worker", "ok", f"process {worker.pid} takes runs of the pool {worker.pool}"))
    return findings


async def _check_registered() -> list[CheckResult]:
    from prefect import __version__ as client_version
    from prefect.client.orchestration import get_client

    from deployments.machine.prefect_api import connect_prefect
    from deployments.registry.deploy import read_registered

    async with connect_prefect() as url, get_client() as client:
        version = await client.api_version()
        deployments = await read_registered(client)
    findings = [CheckResult("server", "ok", f"{url} runs Prefect {version}")]
    if version != client_version:
        message = f"the server at {url} runs Prefect {version}, this machine has {client_version}"
        findings = [CheckResult("server", "warning", message, "gridtide down and gridtide up restart a local server")]
    broken = [name for name, deployment in deployments.items() if not _can_start(deployment.entrypoint)]
    older = [name for name, deployment in deployments.items() if deployment.version != __version__]
    if broken:
        message = f"runs of {', '.join(broken)} cannot start: their entrypoint no longer exists"
        return [*findings, CheckResult("deployments", "problem", message, "gridtide deploy")]
    if older:
        message = f"{', '.join(older)} were registered by another version; they run with the settings of that version"
        return [*findings, CheckResult("deployments", "warning", message, "gridtide deploy")]
    return [*findings, CheckResult("deployments", "ok", f"{len(deployments)} registered by version {__version__}")]


def _can_start(entrypoint: str | None) -> bool:
    """Whether the module of an entrypoint, such as `flows.ingest.ingest`, is installed."""
    return bool(entrypoint) and util.find_spec(str(entrypoint).rpartition(".")[0]) is not None
