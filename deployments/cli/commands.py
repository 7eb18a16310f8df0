"""The `gridtide` command.

Prefect takes seconds to import. It is imported inside the commands that run flows, so that `--help`, `validate` and
`status` answer at once. `--help` needs neither asyncio nor the configuration, which are a third of its time.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from dotenv import load_dotenv
from rich.markup import escape
from typer.core import TyperGroup

from deployments.cli.console import choose_exit_code, count_noun, draw_table, err, out
from gridtide.entries import lake_address
from gridtide.errors import ConfigurationError, GridtideError
from gridtide.periods import Period
from tasks.prefect_home import check_prefect_home, find_prefect_home, settle_home_folders

if TYPE_CHECKING:
    from gridtide.entries.entry import Config


class EvaluationScheme(StrEnum):
    """How `gridtide evaluate` divides windows into those to learn from and those to predict."""

    SPLIT = "split"
    ROLLING = "rolling"
    BLOCKED = "blocked"


class Commands(TyperGroup):
    """The group of commands. A command that fails prints one message and ends with its exit code; with `--debug` it
    prints the traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        from gridtide.config.readings import reading_once

        try:
            with reading_once():
                return super().invoke(ctx)
        except GridtideError as error:
            if ctx.params["debug"]:
                raise
            err.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
            ctx.exit(choose_exit_code(error))


app = typer.Typer(
    name="gridtide",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


T = TypeVar("T")


def _load(path: Path) -> Config:
    """The configuration at `path`."""
    from gridtide.config.loading import load

    return load(path)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`."""
    import asyncio

    return asyncio.run(work)


def _check_lake(uri: T) -> T:
    """`uri`; raises `ConfigurationError` if it is not the address of a lake."""
    _check_address("--lake", uri)
    return uri


def _check_out(uri: T) -> T:
    """`uri`; raises `ConfigurationError` if it is not the address of a place for training sets."""
    _check_address("--out", uri)
    return uri


def _check_address(option: str, uri: object) -> None:
    try:
        if uri is not None:
            lake_address.check_lake_address(str(uri))
    except ValueError as error:
        raise ConfigurationError(option, str(error)) from None


def _check_pool(name: str) -> str:
    """`name`; raises `ConfigurationError` if a work pool cannot have that name."""
    from gridtide.entries.field_types import check_server_name

    try:
        check_server_name(name)
    except ValueError as error:
        raise ConfigurationError("--pool", str(error)) from None
    return name


def _check_url(text: str | None) -> str | None:
    """`text`; raises `ConfigurationError` if it cannot be the URL of a sandbox."""
    from gridtide.config.raw_entry import split_url

    parts = split_url({"url": text})
    if text is not None and not (parts and parts.scheme in ("http", "https") and parts.hostname):
        raise ConfigurationError(
            "--sandbox-url", "is not an http or https URL", "Give a URL such as http://127.0.0.1:8787"
        )
    if parts and "@" in parts.netloc:
        raise ConfigurationError("--sandbox-url", "holds a user or password", "Remove them; a sandbox needs none")
    return text


ConfigPath = Annotated[Path, typer.Option("--config", metavar="FILE", help="The configuration.")]


LakeUri = Annotated[
    str | None,
    typer.Option(
        "--lake",
        metavar="PATH_OR_URI",
        callback=_check_lake,
        help="Folder or URI of the lake; default: the configuration's.",
    ),
]


Select = Annotated[list[str] | None, typer.Option("--select", metavar="NAME", help="Only this entry; repeat for more.")]


SandboxFlag = Annotated[bool, typer.Option("--sandbox", help="Use simulated upstreams instead of the real ones.")]


SandboxUrl = Annotated[
    str | None,
    typer.Option(
        "--sandbox-url",
        metavar="URL",
        callback=_check_url,
        help="Use the sandbox that `gridtide sandbox` serves at this URL.",
    ),
]


Cluster = Annotated[
    str | None,
    typer.Option("--cluster", metavar="ADDRESS", help='Use the workers of this Dask scheduler; "local" starts some.'),
]


DemoLake = Annotated[Path, typer.Option("--lake", metavar="FOLDER", callback=_check_lake, help="The lake of the demo.")]


DEFAULT_CONFIG = Path("api_config.json")


@app.callback()
def set_up_process(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the whole log.")] = False,
) -> None:
    """Collect power-grid data on a schedule, backfill its history, and prepare training sequences.

    Exit codes: 0 success · 1 an entry or a step failed · 2 wrong usage, or invalid configuration or training spec
    · 3 credentials missing or refused · 130 interrupted.
    """
    load_dotenv(".env", encoding="utf-8-sig")  # editors on Windows write a byte order mark
    settle_home_folders()
    # The commands print the results of a run themselves; its whole log is in the UI.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "DEBUG" if debug else "CRITICAL")


@app.command("up")
def up_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    sandbox: SandboxFlag = False,
    sandbox_url: SandboxUrl = None,
) -> None:
    """Start the server, the deployments and the worker: the schedules run on this machine from now on."""
    settings = _load(config)
    check_prefect_home()
    from deployments.cli.flow_commands import show_changes
    from deployments.machine import local

    with err.status("Starting the server and the worker, unless they run"):
        api, changes = _run(local.start_machine(settings, config, lake, sandbox_url or sandbox))
    show_changes(changes)
    out.print(f"Server and worker are running; the UI is at {api.removesuffix('/api')}")


@app.command("down")
def down_command() -> None:
    """Stop the worker and its runs, and the local Prefect server; its records stay."""
    check_prefect_home()
    from deployments.machine import local

    with err.status("Stopping the worker and the server"):
        stopped = _run(local.stop_machine())
    out.print(f"Stopped {' and '.join(stopped)}" if stopped else "Nothing was running")


@app.command("deploy")
def deploy_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    sandbox: SandboxFlag = False,
    sandbox_url: SandboxUrl = None,
    pool: Annotated[
        str,
        typer.Option("--pool", metavar="NAME", callback=_check_pool, help="The work pool of the deployments."),
    ] = "gridtide",
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print a prefect.yaml instead.")] = False,
) -> None:
    """Register the deployments of the configuration on the Prefect server, and remove those that it no longer has."""
    settings = _load(config)
    if as_yaml:
        find_prefect_home()
        from deployments.registry.prefect_yaml import render_prefect_yaml

        typer.echo(render_prefect_yaml(settings, str(config), lake, sandbox_url or sandbox, pool), nl=False)
        return
    check_prefect_home()
    from deployments.cli.flow_commands import show_deploy

    _run(show_deploy(settings, config, lake, sandbox_url or sandbox, pool))


@app.command("notify")
def notify_command() -> None:
    """Send a test message to every receiver of notifications, and report whether each one took it."""
    check_prefect_home()
    from deployments.cli.flow_commands import send_test_message

    raise typer.Exit(_run(send_test_message()))


@app.command("demo")
def demo_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: DemoLake = Path("demo-lake"),
) -> None:
    """Try every step once with simulated upstreams: collect, backfill 60 days, prepare training data."""
    check_prefect_home()
    from deployments.cli.demo import run_demo

    _run(run_demo(str(config), _load(config), str(lake)))


@app.command("validate")
def validate_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Also send one request to each upstream, and test the store of the lake.")
    ] = False,
    sandbox: SandboxFlag = False,
    sandbox_url: SandboxUrl = None,
) -> None:
    """Report every problem of the configuration."""
    settings = _load(config)
    entries = settings.select(select or ())
    out.print(f"{config}: {count_noun(len(entries), 'entry', 'entries')}, no problems", soft_wrap=True)
    if probe:
        _check_options(config, select, sandbox_url)
        from deployments.cli.probe import run_probes

        raise typer.Exit(_run(run_probes(settings, entries, lake or settings.lake, sandbox_url or sandbox)))


@app.command("ingest")
def ingest_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    sandbox: SandboxFlag = False,
    sandbox_url: SandboxUrl = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Send requests even if results are fresh.")] = False,
) -> None:
    """Collect the current data of the entries, each into one file of the lake."""
    _check_options(config, select, sandbox_url)
    check_prefect_home()
    from deployments.cli import flow_commands as flows

    options = flows.FlowOptions(str(config), select, lake, sandbox_url or sandbox)
    _run(flows.run_and_show("ingest", options, refresh))


@app.command("backfill")
def backfill_command(
    start: Annotated[
        str,
        typer.Option("--start", metavar="A", help="First interval start, such as 2024-01-01 or 2024-01-01T06:00; UTC."),
    ],
    end: Annotated[str, typer.Option("--end", metavar="B", help="The first interval start after the period; UTC.")],
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    sandbox: SandboxFlag = False,
    sandbox_url: SandboxUrl = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what is missing; send no requests.")] = False,
    cluster: Cluster = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask for the whole period again, also for what the lake has.")
    ] = False,
) -> None:
    """Collect the data that is missing in the lake, of intervals that start in [A, B)."""
    _check_options(config, select, sandbox_url)
    period = _parse_period(start, end)
    check_prefect_home()
    from deployments.cli import flow_commands as flows

    options = flows.FlowOptions(str(config), select, lake, sandbox_url or sandbox)
    _run(flows.run_and_show("backfill", options, period, dry_run, cluster, refresh))


@app.command("monitor")
def monitor_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    sandbox: SandboxFlag = False,
    sandbox_url: SandboxUrl = None,
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, max=3660, help="How many days to check.")] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what is missing; send no requests.")] = False,
) -> None:
    """Find gaps, late entries and due revisions in the last N days, and collect them."""
    _check_options(config, select, sandbox_url)
    check_prefect_home()
    from deployments.cli import flow_commands as flows

    options = flows.FlowOptions(str(config), select, lake, sandbox_url or sandbox)
    _run(flows.run_and_show("monitor", options, days, dry_run))


@app.command("prepare")
def prepare_command(
    spec: Annotated[Path | None, typer.Argument(help="The training spec, a JSON file; not needed with --from.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    cluster: Cluster = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a set of this name that was made of another spec.")
    ] = False,
    files_of: Annotated[
        str | None,
        typer.Option("--from", metavar="MANIFEST", help="Read exactly the files of this earlier manifest.json."),
    ] = None,
    out_address: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="PATH_OR_URI",
            callback=_check_out,
            help="Write features/NAME/ to this folder or URI; default: the lake.",
        ),
    ] = None,
    extend: Annotated[
        bool,
        typer.Option("--extend", help="Add the hours after those of the set of SPEC; the others stay as they are."),
    ] = False,
) -> None:
    """Prepare the training set of SPEC from the files of the lake, in features/NAME/ of the lake or elsewhere."""
    _load(config)
    from gridtide.training.spec import load_spec

    if spec is not None:
        load_spec(str(spec))
    elif files_of is None:
        raise typer.BadParameter("name the training spec, or an earlier manifest with --from")
    check_prefect_home()
    from deployments.cli import flow_commands as flows

    options = flows.FlowOptions(str(config), lake=lake)
    arguments = (str(spec) if spec else None, cluster, replace, files_of, out_address, extend)
    _run(flows.run_and_show("prepare", options, *arguments))


@app.command("evaluate")
def evaluate_command(
    source: Annotated[
        str,
        typer.Argument(metavar="SPEC|SET", help="A training spec, prepared first; or the folder of a set."),
    ],
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="A forecaster: persistence, day, week, operator, ridge, boosting, neural, kernel, ensemble, or "
            "package.module:function; may be repeated. Default: all that the set allows.",
        ),
    ] = None,
    scheme: Annotated[
        EvaluationScheme,
        typer.Option(
            "--scheme",
            help="Predict the test split; the same in parts; or all windows in blocks.",
        ),
    ] = EvaluationScheme.SPLIT,
    folds: Annotated[int, typer.Option("--folds", metavar="N", min=2, max=100, help="Folds of the other schemes.")] = 5,
    target: Annotated[int, typer.Option("--target", metavar="N", min=0, help="The target, numbered from 0.")] = 0,
    points_only: Annotated[
        bool, typer.Option("--points-only", help="No quantiles, pinball loss and CRPS: half of the time.")
    ] = False,
    hidden: Annotated[
        list[str] | None,
        typer.Option("--hide", metavar="PATTERN", help="Series that are not learned from, such as eia/*/*_forecast*."),
    ] = None,
    out_address: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="PATH_OR_URI", callback=_check_out, help="Write evaluation/ there; default: in the set."
        ),
    ] = None,
) -> None:
    """Compare forecasters on a training set, and write their scores and a page to evaluation/ in its folder."""
    _check_evaluation(source, config, tuple(models or ()))
    check_prefect_home()
    from deployments.cli import flow_commands as flows

    options = flows.FlowOptions(str(config), lake=lake)
    arguments = (
        source,
        tuple(models or ()),
        scheme.value,
        folds,
        target,
        not points_only,
        tuple(hidden or ()),
        out_address,
    )
    _run(flows.run_and_show("evaluate", options, *arguments))


def _check_evaluation(source: str, config: Path, models: tuple[str, ...]) -> None:
    """Refuse forecasters that do not exist or lack an extra, a wrong spec, and a folder without a set, before anything
    is started."""
    from gridtide.evaluation.forecasters.registry import DEFAULT, find_forecasters
    from gridtide.evaluation.scoring import check_address
    from gridtide.training.spec import load_spec

    find_forecasters(models or DEFAULT)
    if Path(source).suffix == ".json":
        _load(config)
        load_spec(source)
    else:
        check_address(source)


@app.command("compact")
def compact_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    cluster: Cluster = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove files that verified months have contained for 30 days.")
    ] = False,
) -> None:
    """Merge the files of each entry into one file per month under processed/, which keeps every vintage."""
    _check_options(config, select)
    check_prefect_home()
    from deployments.cli import flow_commands as flows

    options = flows.FlowOptions(str(config), select, lake)
    _run(flows.run_and_show("compact", options, cluster, prune))


@app.command("retention")
def retention_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    days: Annotated[
        int, typer.Option("--days", metavar="N", min=1, max=36525, help="Keep the bodies of the last N days.")
    ] = 30,
    run_days: Annotated[
        int,
        typer.Option(
            "--run-days",
            metavar="N",
            min=7,
            max=36525,
            help="Keep the server's records of the runs of the last N days.",
        ),
    ] = 90,
    dry_run: Annotated[
        bool, typer.Option("--dry-run/--remove", help="List what would be removed, or remove it.")
    ] = True,
) -> None:
    """List old response bodies under raw/ and, without --select, the server's records of old runs; or remove them."""
    _check_options(config, select)
    check_prefect_home()
    from deployments.cli import flow_commands as flows

    options = flows.FlowOptions(str(config), select, lake)
    _run(flows.run_and_show("retention", options, days, dry_run, run_days))


@app.command("quality")
def quality_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    days: Annotated[
        int, typer.Option("--days", metavar="N", min=1, max=3660, help="Judge the last N whole days that are due.")
    ] = 30,
) -> None:
    """Judge the last days of every series of the lake, and show which of them cannot be believed."""
    _check_options(config, select)
    check_prefect_home()
    from deployments.cli import flow_commands as flows

    options = flows.FlowOptions(str(config), select, lake)
    _run(flows.run_and_show("quality", options, days))


@app.command("replay")
def replay_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="Collections from this time on.")] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="TIME", help="Collections before this time.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what is stored; write nothing.")] = False,
) -> None:
    """Parse the response bodies under raw/ again, and store results that differ; sends no requests."""
    _check_options(config, select)
    check_prefect_home()
    from deployments.cli import flow_commands as flows

    options = flows.FlowOptions(str(config), select, lake)
    _run(flows.run_and_show("replay", options, start, end, dry_run))


@app.command("status")
def status_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Show what the lake contains of each entry: last file, rows, age, coverage."""
    from deployments.cli.status import EntryStatus, read_status, tabulate_quality, tabulate_statuses
    from deployments.machine.prefect_api import connect_for_blocks
    from tasks.lake import open_lake

    settings = _load(config)
    entries = settings.select(select or ())
    address = lake or settings.lake

    async def read_lake() -> list[EntryStatus]:
        async with connect_for_blocks(address):
            lake_opened = await open_lake(address, make=False)
            return await read_status(entries, lake_opened, datetime.now(UTC), all_series=as_json)

    statuses = _run(read_lake())
    if as_json:
        typer.echo(json.dumps([status.as_dict() for status in statuses], indent=2))
    else:
        out.print(tabulate_statuses(statuses))
        quality = tabulate_quality(statuses)
        if quality:
            out.print(quality)


@app.command("catalog")
def catalog_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    write: Annotated[
        bool, typer.Option("--write/--no-write", help="Write catalog/ in the lake, or only print; default: write.")
    ] = True,
) -> None:
    """List every series of the lake: unit, period, coverage, freshness, vintages, licence; and write catalog/."""
    from msgspec.structs import replace

    from deployments.cli.catalog import list_licences, list_problems, tabulate_series
    from deployments.machine.prefect_api import connect_for_blocks, read_schedules
    from gridtide.catalog.page.page_data import LakePicture
    from gridtide.catalog.writing import document_of, picture_lake, write_catalog
    from tasks.lake import open_lake

    settings = _load(config)
    chosen = replace(settings, apis=tuple(settings.select(select or ())))
    address = lake or settings.lake

    async def make_catalog() -> LakePicture:
        async with connect_for_blocks(address):
            lake_opened = await open_lake(address, make=False)
            is_written = write and not select
            schedules = await read_schedules() if is_written or as_json else None
            picture = await picture_lake(lake_opened, chosen, datetime.now(UTC), schedules=schedules)
            if is_written:
                await write_catalog(lake_opened, picture)
        return picture

    picture = _run(make_catalog())
    if as_json:
        typer.echo(json.dumps(document_of(picture), indent=2))
        return
    out.print(tabulate_series(picture.catalogue))
    for line in (*list_problems(picture.catalogue), *list_licences(picture.catalogue)):
        out.print(line, soft_wrap=True, markup=False)


@app.command("compare")
def compare_command(
    first: Annotated[str, typer.Argument(metavar="A", help="A training set: its name in the lake, or its folder.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one, or another version of it.")],
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show the files, columns, cells and windows in which two training sets differ, and why; exit code 1 if they do."""
    address = lake or _load(config).lake
    from gridtide.training.stored.comparing import compare_sets, write_comparison
    from gridtide.training.stored.opening import open_set
    from tasks.lake import open_lake

    async def compare() -> dict[str, Any]:
        opened = await open_lake(address, make=False)
        return compare_sets(await open_set(first, opened), await open_set(second, opened))

    comparison = _run(compare())
    typer.echo(json.dumps(comparison, indent=2) if as_json else write_comparison(comparison, (first, second)))
    if not comparison["equal"]:
        raise typer.Exit(1)


@app.command("lineage")
def lineage_command(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SET|FILE",
            help="A training set: its name or the path of its manifest. Or a file of the lake: of observations, a "
            "compacted month, or a body under raw/; its path in the lake.",
        ),
    ],
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Show what a training set or a file was made from, with hashes, and what was made from it."""
    from deployments.cli.lineage import write_lineage
    from deployments.machine.prefect_api import connect_for_blocks
    from gridtide.catalog.lineage.tracing import Lineage, trace_lineage
    from tasks.lake import open_lake

    address = lake or _load(config).lake

    async def trace_in_lake() -> Lineage:
        async with connect_for_blocks(address):
            return await trace_lineage(await open_lake(address, make=False), subject)

    lineage = _run(trace_in_lake())
    typer.echo(json.dumps(lineage.as_dict(), indent=2) if as_json else write_lineage(lineage))


@app.command("doctor")
def doctor_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Show what is wrong with versions, folders, credentials, lake, clock and server, and how to fix it."""
    from deployments.cli.doctor import as_dicts, examine, sum_up_exit_code, tabulate_findings

    findings = _run(examine(config, lake, lambda: datetime.now(UTC)))
    if as_json:
        typer.echo(json.dumps(as_dicts(findings), indent=2))
    else:
        out.print(tabulate_findings(findings))
    raise typer.Exit(sum_up_exit_code(findings))


@app.command("sandbox")
def sandbox_command(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port; 0 means any free port.")] = 8787,
    seed: Annotated[int, typer.Option(help="The seed of the simulated grid.")] = 0,
    latency: Annotated[float, typer.Option(min=0, help="Seconds before every answer.")] = 0.0,
    faults: Annotated[str, typer.Option(metavar="JSON", help='Rules such as [{"every": 10, "fault": 503}].')] = "[]",
) -> None:
    """Serve the simulated upstreams until interrupted."""
    import asyncio

    from gridtide import sandbox as embedded
    from gridtide.sandbox.upstreams import list_secrets

    async def serve_sandbox() -> None:
        async with embedded.run_sandbox(port=port, seed=seed, latency=latency, faults=_parse_faults(faults)) as url:
            out.print(f"The sandbox answers at {url} (Ctrl-C stops it). {embedded.NOTICE}", soft_wrap=True)
            out.print(f"Use it:      gridtide ingest --sandbox-url {url}", soft_wrap=True)
            out.print(f"In a config: {url} in place of https://api.eia.gov and the like, and in .env:", soft_wrap=True)
            for name, value in list_secrets().items():
                out.print(f"             {name}={value}", soft_wrap=True)
            await asyncio.Event().wait()

    _run(serve_sandbox())


@app.command("serve")
def serve_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    sandbox: SandboxFlag = False,
    sandbox_url: SandboxUrl = None,
) -> None:
    """Run the scheduled flows of the configuration, and those started in the UI, until interrupted."""
    settings = _load(config)
    check_prefect_home()
    from deployments.machine.serving import serve_deployments

    def show_url(api: str, page: str | None) -> None:
        out.print(f"Serving; the deployments are at {api.removesuffix('/api')}/deployments (Ctrl-C stops)")
        if page:
            out.print(f"The catalogue of the lake is at {page}")

    _run(serve_deployments(settings, str(config.resolve()), lake, sandbox_url or sandbox, show_url))


OutFile = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write to this file: .csv, .parquet, .arrow or .feather."),
]


@app.command("sql")
def sql_command(
    query: Annotated[str, typer.Argument(metavar="QUERY", help='Such as "select * from observations limit 5".')],
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    out_file: OutFile = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with all rows, for scripts.")] = False,
    rows: Annotated[int, typer.Option("--rows", min=1, help="How many rows of a table are printed.")] = 50,
) -> None:
    """Ask the lake in SQL: a view for each entry, observations, vintages, quality, and as_of('2024-05-01')."""
    from gridtide.sql.answers import check_target, fetch_answer, write_answer

    check_target(out_file)
    with _connect_sql(config, lake, select) as connection:
        if out_file or as_csv:
            _tell_written(write_answer(connection, query, out_file or sys.stdout.buffer), out_file)
            return
        answer, row_count = fetch_answer(connection, query, rows)
    columns = [map(_write_cell, column.to_pylist()) for column in answer.columns]  # of which several may have one name
    out.print(draw_table(answer.column_names, list(zip(*columns, strict=True))))
    limit = f", the first {rows} are printed" if row_count > rows else ""
    err.print(f"{count_noun(row_count, 'row', 'rows')}{limit}")


def _write_cell(cell: Any) -> str:
    return "" if cell is None else f"{cell:%Y-%m-%dT%H:%M:%SZ}" if isinstance(cell, datetime) else str(cell)


def _tell_written(row_count: int, path: Path | None) -> None:
    if path is not None:
        err.print(f"{path}: {count_noun(row_count, 'row', 'rows')}", markup=False)


@app.command("export")
def export_command(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    series: Annotated[
        list[str] | None,
        typer.Option("--series", metavar="PATTERN", help='Such as "eia/ISNE/*"; repeat for more; default: all.'),
    ] = None,
    start: Annotated[str, typer.Option(help="The first interval start, UTC.")] = "1900-01-01",
    end: Annotated[str, typer.Option(help="The end of the interval starts, UTC.")] = "2200-01-01",
    out_file: OutFile = None,
) -> None:
    """Write series as a wide table: a row for each time, a column for each series; CSV to the terminal by default."""
    from gridtide.sql.answers import check_target, write_wide

    check_target(out_file)
    with _connect_sql(config, lake, select) as connection:
        row_count = write_wide(connection, series or (), _parse_period(start, end), out_file or sys.stdout.buffer)
    _tell_written(row_count, out_file)


def _connect_sql(config: Path, lake: str | None, select: list[str] | None) -> Any:
    """A connection of DuckDB to the lake at the address `lake`, or that of the configuration."""
    from deployments.machine.prefect_api import connect_for_blocks
    from gridtide import sql
    from tasks.lake import open_lake

    settings = _load(config)
    address = lake or settings.lake

    async def open_address() -> Any:
        async with connect_for_blocks(address):
            return await open_lake(address, make=False)

    return sql.connect(_run(open_address()), entries=settings.select(select or ()))


def _check_options(config: Path, select: list[str] | None, sandbox_url: str | None = None) -> None:
    """Raise `ConfigurationError` for wrong options of a run, before Prefect is imported."""
    _load(config).select(select or ())
    if sandbox_url is not None:
        from gridtide import sandbox as embedded

        _run(embedded.check_running(sandbox_url))


def _parse_period(start: str, end: str) -> Period:
    """The period [start, end); a time without an offset is UTC. Raises `ConfigurationError` for wrong times."""
    moments = []
    for option, text in (("--start", start), ("--end", end)):
        try:
            moment = datetime.fromisoformat(text)
            moments.append(moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC))
        except (ValueError, OverflowError) as error:
            raise ConfigurationError(
                option, f'"{text}" is not a date', "Give a date such as 2024-01-01 or 2024-01-01T06:00"
            ) from error
    if moments[1] <= moments[0]:
        raise ConfigurationError("--end", f"{end} is not after {start}", "Give [A, B) with A before B")
    return Period(*moments)


def _parse_faults(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigurationError(
            "--faults", f"is not JSON: {error}", 'Give rules such as [{"every": 10, "fault": 503}]'
        ) from error


def main() -> None:
    """Run the `gridtide` command; warnings of the domain go to stderr."""
    warnings = logging.StreamHandler()
    warnings.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.getLogger("gridtide").addHandler(warnings)
    app(prog_name="gridtide")


if __name__ == "__main__":
    main()
