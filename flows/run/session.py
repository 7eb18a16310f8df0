"""Reads the parameters that flows share, and opens what the collections of a run share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import runtime
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from pydantic import TypeAdapter, ValidationError

from gridtide import sandbox as embedded
from gridtide.config.loading import load, parse
from gridtide.database.upstreams import Upstreams
from gridtide.entries.entry import Config, Entry
from gridtide.errors import ConfigurationError
from gridtide.periods import Period
from gridtide.sandbox.upstreams import list_secrets
from tasks.collect import CollectionRun
from tasks.lake import open_lake
from tasks.rate_limits import SharedLimiter
from tasks.secrets import read_credentials

EARLIEST = 1900
"""The first year of a period: no grid has data of earlier years, and file names write years with four digits."""

LONGEST = 3660
"""The greatest number of days that a flow looks back, ten years: a larger number is a slip, such as a year."""


def load_selected(config: Config | str | dict[str, Any], select: list[str] | None) -> tuple[Config, list[Entry]]:
    """The configuration, and its entries with the names in `select`, all entries if it is empty.

    `config` is a configuration, the path of its file, or the content of the file. Raises `ConfigurationError`, which
    lists all problems of the configuration, or the unknown names.
    """
    if not isinstance(config, Config):
        config = parse(config) if isinstance(config, dict) else load(config)
    return config, config.select(select or ())


def check_selection(config: str | dict[str, Any], select: list[str] | None = None, **_: Any) -> None:
    """Check the parameters of a flow that has no more to be checked; raises what `load_selected` raises."""
    load_selected(config, select)


def check_days(flow: str, config: str | dict[str, Any], select: list[str] | None, days: int, **_: Any) -> None:
    """Check the parameters of `flow`, which looks at the last `days`, 1 to `LONGEST`.

    Raises `ConfigurationError`, as `load_selected` does, or for an impossible number of days.
    """
    load_selected(config, select)
    if not 1 <= days <= LONGEST:
        raise ConfigurationError(flow, f"{days} is not a possible number of days", f"Give 1 to {LONGEST}")


def name_entries() -> str:
    """The names of the entries that the current flow run selects, or `all`; for the name of the run."""
    return ", ".join(runtime.flow_run.parameters.get("select") or ()) or "all"


def parse_period(start: Any, end: Any) -> Period:
    """The period from `start` to `end`, datetimes or texts, rounded up to whole minutes, the precision of file names.

    Raises `ConfigurationError` if one of them is no time, or the period is empty or begins before the year `EARLIEST`.
    """
    try:
        period = Period(parse_time(start), parse_time(end))
        if period.start.year < EARLIEST:
            raise ValueError(f"it begins before {EARLIEST}")
    except ValueError as error:
        raise ConfigurationError(
            "backfill", f"{start} to {end} is no period: {error}", "Give start and end such as 2024-01-01, start first"
        ) from error
    return period


def parse_time(value: Any) -> datetime:
    """The time in UTC of a datetime or a text (UTC if it has no offset), rounded up to the whole minute, the precision
    of file names. Raises `ValueError` if `value` is no time."""
    try:
        moment = TypeAdapter(datetime).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"not a time: {error.errors()[0]['msg']}") from error
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    minute = utc.replace(second=0, microsecond=0)
    return minute if minute == utc else minute + timedelta(minutes=1)


@asynccontextmanager
async def open_collection_run(
    config: Config | str | dict[str, Any],
    select: list[str] | None,
    lake: str | None,
    sandbox: bool | str,
    refresh: bool = False,
    resume: bool = False,
) -> AsyncIterator[tuple[CollectionRun, list[Entry]]]:
    """Open what the collections of this flow run share, and close it at the end; gives it with the entries to collect.

    With `sandbox`, the entries are those of a sandbox, at this URL or started here.
    """
    settings, entries = load_selected(config, select)
    async with AsyncExitStack() as stack:
        if sandbox:
            sandbox_url = (
                sandbox if isinstance(sandbox, str) else await stack.enter_async_context(embedded.run_sandbox())
            )
            get_run_logger().info(embedded.NOTICE)
            entries = embedded.redirect(settings, sandbox_url).select(entry.name for entry in entries)
        limiter = await stack.enter_async_context(SharedLimiter())
        http = Upstreams(list_secrets() if sandbox else await read_credentials(entries), limiter)
        await stack.enter_async_context(http)
        opened_lake = await open_lake(lake or settings.lake)
        if store_clock := await opened_lake.store.measure_clock(lambda: datetime.now(UTC)):
            http.add_clock(*store_clock)
        yield CollectionRun(opened_lake, http, _find_start(), settings.task_retries, refresh, resume), entries


def _find_start() -> datetime:
    """The start of the first attempt of this flow run, so that the files of a retry have the same names."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.start_time is None:
        raise RuntimeError("this flow must be run by Prefect, not by a call of its plain function")
    # Prefect's own datetimes cannot be divided by a timedelta
    return datetime.fromtimestamp(context.flow_run.start_time.timestamp(), UTC)
