"""What the flows that collect have in common: from their parameters to entries and a `Run`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from pydantic import TypeAdapter, ValidationError

from gridtide import sandbox as embedded
from gridtide.config.loading import load, parse
from gridtide.entries.entry import Config, Entry
from gridtide.errors import ConfigurationError
from gridtide.http.client import Http
from gridtide.periods import Period
from tasks.collect import CollectionRun
from tasks.lake import open_lake
from tasks.rate_limits import SharedLimiter
from tasks.secrets import read_credentials

EARLIEST = 1900
"""The first year that may be asked for: none before it has a grid, and names of files write four digits."""


def selected(config: Config | str | dict[str, Any], select: list[str] | None) -> tuple[Config, list[Entry]]:
    """The configuration (already read, the path of its file, or its content) and those of its entries that are named,
    all if none are.

    Raises `ConfigurationError` that lists everything wrong with either.
    """
    if not isinstance(config, Config):
        config = parse(config) if isinstance(config, dict) else load(config)
    return config, config.select(select or ())


def period_of(start: Any, end: Any) -> Period:
    """The period between two times, as datetimes or text, to whole minutes as file names have them.

    Raises `ConfigurationError` for what is no time, or no period.
    """
    try:
        period = Period(read_moment(start), read_moment(end))
        if period.start.year < EARLIEST:
            raise ValueError(f"it begins before {EARLIEST}")
    except ValueError as error:
        raise ConfigurationError(
            "backfill", f"{start} to {end} is no period: {error}", "Give start and end such as 2024-01-01, start first"
        ) from error
    return period


def read_moment(value: Any) -> datetime:
    """A time given as a datetime or as text, UTC unless it says otherwise, up to the whole minute that file
    names can say. Raises `ValueError` for what is no time."""
    try:
        parsed = TypeAdapter(datetime).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"that is no time: {error.errors()[0]['msg']}") from error
    utc = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    minute = utc.replace(second=0, microsecond=0)
    return minute if minute == utc else minute + timedelta(minutes=1)


@asynccontextmanager
async def collecting(
    config: Config | str | dict[str, Any],
    select: list[str] | None,
    lake: str | None,
    sandbox: bool | str,
    refresh: bool = False,
    resume: bool = False,
) -> AsyncIterator[tuple[CollectionRun, list[Entry]]]:
    """The shared things of this flow run and the entries to collect; all is closed at the end."""
    loaded, entries = selected(config, select)
    async with AsyncExitStack() as stack:
        if sandbox:
            url = sandbox if isinstance(sandbox, str) else await stack.enter_async_context(embedded.run_sandbox())
            get_run_logger().info(embedded.NOTICE)
            entries = embedded.redirect(loaded, url).select(entry.name for entry in entries)
        limiter = await stack.enter_async_context(SharedLimiter())
        http = Http(embedded.SECRETS if sandbox else await read_credentials(entries), limiter)
        await stack.enter_async_context(http)
        store = await open_lake(lake or loaded.lake)
        yield CollectionRun(store, http, _find_start(), loaded.task_retries, refresh, resume), entries


def _find_start() -> datetime:
    """The start of this flow run's first attempt: what a retry writes has the same names."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.start_time is None:
        raise RuntimeError("a flow is run by Prefect, not by calling its function")
    # Prefect's own datetimes do not divide by a timedelta
    return datetime.fromtimestamp(context.flow_run.start_time.timestamp(), UTC)
