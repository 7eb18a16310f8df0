"""The `gridtide` command.

Prefect, which takes seconds to import, is imported inside the commands that run flows, so that
`--help`, `validate` and `status` answer at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from dotenv import load_dotenv
from rich.markup import escape
from typer.core import TyperGroup

from deployments.cli.console import counted, err, exit_code, out
from gridtide.config.loading import load
from gridtide.config.raw_entry import split_url
from gridtide.entries import lake_address
from gridtide.entries.field_types import check_server_name
from gridtide.errors import ConfigurationError, GridtideError
from gridtide.periods import Period


class Commands(TyperGroup):
    """Ends a command that fails with one message and its exit code; `--debug` shows the traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except GridtideError as error:
            if ctx.params["debug"]:
                raise
            err.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
            ctx.exit(exit_code(error))


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


T = TypeVar("T")


def _lake(uri: T) -> T:
    """`uri` if it is the address of a lake."""
    try:
        if uri is not None:
            lake_address.check_lake_address(str(uri))
    except ValueError as error:
        raise ConfigurationError("--lake", str(error)) from None
    return uri


def _pool(name: str) -> str:
    """`name` if a work pool can be called so."""
    try:
        check_server_name(name)
    except ValueError as error:
        raise ConfigurationError("--pool", str(error)) from None
    return name


def _url(text: str | None) -> str | None:
    """`text` if it can be where a sandbox is."""
    parts = split_url({"url": text})
    if text is not None and not (parts and parts.scheme in ("http", "https") and parts.hostname):
        raise ConfigurationError("--sandbox-url", "is no http or https URL", "Use such as http://127.0.0.1:8787")
    if parts and "@" in parts.netloc:
        raise ConfigurationError("--sandbox-url", "holds a user or password", "Leave it out; a sandbox asks for none")
    return text


ConfigPath = Annotated[Path, typer.Option("--config", metavar="FILE", help="The configuration.")]


LakeUri = Annotated[
    str | None,
    typer.Option(
        "--lake",
        metavar="PATH_OR_URI",
        callback=_lake,
        help="Folder or URI of the lake; default: the configuration's.",
    ),
]


Select = Annotated[
    list[str] | None, typer.Option("--select", metavar="NAME", help="This entry alone; repeat it for more.")
]


Sandbox = Annotated[bool, typer.Option("--sandbox", help="Ask simulated upstreams instead of the real ones.")]


SandboxUrl = Annotated[
    str | None,
    typer.Option(
        "--sandbox-url", metavar="URL", callback=_url, help="Ask the sandbox that `gridtide sandbox` runs there."
    ),
]


Cluster = Annotated[
    str | None,
    typer.Option("--cluster", metavar="ADDRESS", help='Work on a Dask scheduler\'s workers; "local" starts some.'),
]


DEFAULT_CONFIG = Path("api_config.json")


@app.callback()
def gridtide(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and everything that is logged.")] = False,
) -> None:
    """Collect power-grid data on schedule, backfill its history, prepare training sequences from it.

    Exit codes: 0 all well · 1 an entry or a step failed · 2 wrong use, configuration or training spec
    · 3 credentials missing or refused · 130 interrupted.
    """
    load_dotenv(".env")
    # The commands say themselves what came of a run; the whole log is in the UI.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "DEBUG" if debug else "CRITICAL")


@app.command()
def up(
    config: ConfigPath = DEFAULT_CONFIG, lake: LakeUri = None, sandbox: Sandbox = False, sandbox_url: SandboxUrl = None
) -> None:
    """Have the schedules of the configuration run on this machine from now on: server, deployments, worker."""
    loaded = load(config)
    from deployments.cli.flow_commands import show_changes
    from deployments.machine import local

    with err.status("Starting what does not run yet"):
        api, changes = asyncio.run(local.start_machine(loaded, config, lake, sandbox_url or sandbox))
    show_changes(changes)
    out.print(f"All is up; the UI is at {api.removesuffix('/api')}")


@app.command()
def down() -> None:
    """Stop the worker, with the runs under way, and the local Prefect server; what was recorded stays."""
    from deployments.machine import local

    with err.status("Stopping what runs"):
        stopped = asyncio.run(local.stop_machine())
    out.print(f"Stopped {' and '.join(stopped)}" if stopped else "Nothing was running")


@app.command()
def deploy(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    sandbox: Sandbox = False,
    sandbox_url: SandboxUrl = None,
    pool: Annotated[
        str, typer.Option("--pool", metavar="NAME", callback=_pool, help="The work pool that runs them.")
    ] = "gridtide",
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Write them as a prefect.yaml instead.")] = False,
) -> None:
    """Make the deployments on the Prefect server those of the configuration."""
    loaded = load(config)
    if as_yaml:
        from deployments.registry.prefect_yaml import prefect_yaml

        typer.echo(prefect_yaml(loaded, str(config), lake, sandbox_url or sandbox, pool), nl=False)
        return
    from deployments.cli.flow_commands import show_deploy

    asyncio.run(show_deploy(loaded, config, lake, sandbox_url or sandbox, pool))


@app.command()
def notify() -> None:
    """Send a test message to everybody who is to be told of failures, and say whether it arrived."""
    from deployments.cli.flow_commands import send_test_message

    raise typer.Exit(asyncio.run(send_test_message()))


@app.command()
def demo(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: Annotated[Path, typer.Option("--lake", metavar="FOLDER", callback=_lake, help="Where its files go.")] = Path(
        "demo-lake"
    ),
) -> None:
    """Everything once against simulated upstreams: collect, backfill 60 days, prepare training data."""
    from deployments.cli.demo import run_demo

    asyncio.run(run_demo(str(config), load(config), str(lake)))


@app.command()
def validate(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Also ask each upstream one question, and try the lake.")
    ] = False,
    sandbox: Sandbox = False,
    sandbox_url: SandboxUrl = None,
) -> None:
    """Tell everything that is wrong with the configuration."""
    loaded = load(config)
    entries = loaded.select(select or ())
    out.print(f"{config}: {counted(len(entries), 'entry', 'entries')}, no problems", soft_wrap=True)
    if probe:
        _check(config, select, sandbox_url)
        from deployments.cli.probe import run_probes

        raise typer.Exit(asyncio.run(run_probes(loaded, entries, lake or loaded.lake, sandbox_url or sandbox)))


@app.command()
def ingest(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    sandbox: Sandbox = False,
    sandbox_url: SandboxUrl = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask although the last answer is still fresh.")] = False,
) -> None:
    """Collect what is current of the entries, each into one file of the lake."""
    _check(config, select, sandbox_url)
    from deployments.cli.flow_commands import FlowOptions, collected

    asyncio.run(collected(FlowOptions(str(config), select, lake, sandbox_url or sandbox), refresh))


@app.command()
def backfill(
    start: Annotated[
        str,
        typer.Option("--start", metavar="A", help="First interval start, such as 2024-01-01 or 2024-01-01T06:00; UTC."),
    ],
    end: Annotated[
        str, typer.Option("--end", metavar="B", help="First interval start that is not asked for any more; UTC.")
    ],
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    sandbox: Sandbox = False,
    sandbox_url: SandboxUrl = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is missing and ask for nothing.")] = False,
    cluster: Cluster = None,
) -> None:
    """Fetch what the lake does not hold yet of the interval starts in [A, B)."""
    _check(config, select, sandbox_url)
    period = _period(start, end)
    from deployments.cli.flow_commands import FlowOptions, backfilled

    asyncio.run(backfilled(FlowOptions(str(config), select, lake, sandbox_url or sandbox), period, dry_run, cluster))


@app.command()
def monitor(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    sandbox: Sandbox = False,
    sandbox_url: SandboxUrl = None,
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, max=3660, help="How far to look back.")] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is found.")] = False,
) -> None:
    """Find gaps, late entries and revisions due in the last N days, and fetch just those."""
    _check(config, select, sandbox_url)
    from deployments.cli.flow_commands import FlowOptions, monitored

    asyncio.run(monitored(FlowOptions(str(config), select, lake, sandbox_url or sandbox), days, dry_run))


@app.command()
def prepare(
    spec: Annotated[Path, typer.Argument(help="The training spec, a JSON file.")],
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    cluster: Cluster = None,
) -> None:
    """Make the training set of SPEC from the lake's files, as features/NAME/ in the lake."""
    load(config)
    from gridtide.training.spec import load as load_spec

    load_spec(str(spec))
    from deployments.cli.flow_commands import prepared

    asyncio.run(prepared(str(spec), str(config), lake, cluster))


@app.command()
def compact(
    config: ConfigPath = DEFAULT_CONFIG, lake: LakeUri = None, select: Select = None, cluster: Cluster = None
) -> None:
    """Gather the lake's files into one file a month under processed/, which keeps every vintage."""
    _check(config, select)
    from deployments.cli.flow_commands import FlowOptions, compacted

    asyncio.run(compacted(FlowOptions(str(config), select, lake), cluster))


@app.command()
def retention(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    days: Annotated[
        int, typer.Option("--days", metavar="N", min=1, max=36525, help="Keep bodies that are no older.")
    ] = 30,
    dry_run: Annotated[
        bool, typer.Option("--dry-run/--remove", help="Say what would be removed, or remove it.")
    ] = True,
) -> None:
    """Tell which response bodies under raw/ are older than N days; with --remove, remove them."""
    _check(config, select)
    from deployments.cli.flow_commands import FlowOptions, cleared

    asyncio.run(cleared(FlowOptions(str(config), select, lake), days, dry_run))


@app.command()
def replay(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="Collections made from then on.")] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="TIME", help="Collections made before then.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is kept.")] = False,
) -> None:
    """Make observations anew from the response bodies under raw/, without asking any upstream."""
    _check(config, select)
    from deployments.cli.flow_commands import FlowOptions, replayed

    asyncio.run(replayed(FlowOptions(str(config), select, lake), start, end, dry_run))


@app.command()
def status(
    config: ConfigPath = DEFAULT_CONFIG,
    lake: LakeUri = None,
    select: Select = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, for scripts.")] = False,
) -> None:
    """Tell what the lake holds of each entry: last file, rows, age, coverage."""
    from deployments.cli import status as status_module
    from deployments.cli.blocks import open_lake
    from deployments.cli.status import Status, status_table

    loaded = load(config)
    entries = loaded.select(select or ())

    async def read() -> list[Status]:
        return await status_module.read_status(
            entries, await open_lake(lake or loaded.lake, make=False), datetime.now(UTC)
        )

    found = asyncio.run(read())
    if as_json:
        typer.echo(json.dumps([one.as_dict() for one in found], indent=2))
    else:
        out.print(status_table(found))


@app.command("sandbox")
def run_sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port; 0 takes a free one.")] = 8787,
    seed: Annotated[int, typer.Option(help="Which simulated grid.")] = 0,
    latency: Annotated[float, typer.Option(min=0, help="Seconds before every answer.")] = 0.0,
    faults: Annotated[str, typer.Option(metavar="JSON", help='Rules such as [{"every": 10, "fault": 503}].')] = "[]",
) -> None:
    """Serve the simulated upstreams until interrupted."""
    from gridtide import sandbox as embedded

    async def serve() -> None:
        async with embedded.running(port=port, seed=seed, latency=latency, faults=_json(faults)) as url:
            out.print(f"The sandbox answers at {url} (Ctrl-C ends it). {embedded.NOTICE}", soft_wrap=True)
            out.print(f"Ask it:      gridtide ingest --sandbox-url {url}", soft_wrap=True)
            out.print(f"In a config: {url} in place of https://api.eia.gov and the like, and in .env:", soft_wrap=True)
            for name, value in embedded.SECRETS.items():
                out.print(f"             {name}={value}", soft_wrap=True)
            await asyncio.Event().wait()

    asyncio.run(serve())


@app.command()
def serve(
    config: ConfigPath = DEFAULT_CONFIG, lake: LakeUri = None, sandbox: Sandbox = False, sandbox_url: SandboxUrl = None
) -> None:
    """Run the schedules of the configuration until interrupted, and what is started in the UI."""
    loaded = load(config)
    from deployments.machine.serving import serve_deployments

    asyncio.run(serve_deployments(loaded, str(config.resolve()), lake, sandbox_url or sandbox))


def _check(config: Path, select: list[str] | None, sandbox_url: str | None = None) -> None:
    """Raises what is wrong with the options of a run, before Prefect is imported."""
    load(config).select(select or ())
    if sandbox_url is not None:
        from gridtide import sandbox as embedded

        asyncio.run(embedded.check(sandbox_url))


def _period(start: str, end: str) -> Period:
    """The interval starts [start, end); a moment without a zone is UTC."""
    moments = []
    for option, text in (("--start", start), ("--end", end)):
        try:
            moment = datetime.fromisoformat(text)
            moments.append(moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC))
        except (ValueError, OverflowError) as error:
            raise ConfigurationError(
                option, f'"{text}" is no date', "Use one such as 2024-01-01 or 2024-01-01T06:00"
            ) from error
    if moments[1] <= moments[0]:
        raise ConfigurationError("--end", f"{end} is not after {start}", "Give [A, B) with A before B")
    return Period(*moments)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigurationError(
            "--faults", f"is not JSON: {error}", 'Give rules such as [{"every": 10, "fault": 503}]'
        ) from error


def main() -> None:
    """The `gridtide` command."""
    warnings = logging.StreamHandler()
    warnings.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.getLogger("gridtide").addHandler(warnings)
    app(prog_name="gridtide")


if __name__ == "__main__":
    main()
