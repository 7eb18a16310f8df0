"""Troubles of entries as Prefect events, one event per change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from prefect.client.orchestration import get_client
from prefect.events import Event, Resource
from prefect.events.clients import get_events_client

from gridtide.coverage.troubles import Trouble, TroubleKind
from tasks.notify.events import (
    DATA_TROUBLES,
    EVENT_RETENTION,
    EVENTS_OF_TROUBLES,
    LAKE_LABEL,
    NEW_SERIES,
    RESOLVED,
    RESOLVED_SUFFIX,
    build_concern_key,
    read_events,
)


def is_news(last: Event | None, trouble: Trouble | None, days: int) -> bool:
    """Whether `trouble` (None: there is none) differs from what the `last` event of its kind and entry says.

    Both are about the data of the last `days`. A look at fewer days than the last one proves no change: the trouble may
    lie in the days that were not looked at.
    """
    if last is None or last.event in RESOLVED:
        return trouble is not None
    if last.event == NEW_SERIES:  # a look at any number of days finds all new series
        return trouble is not None and trouble.mark != last.payload["mark"]
    return days >= last.payload["days"] and (trouble is None or trouble.mark != last.payload["mark"])


async def announce_changes(lake: str, days: int, troubles: Mapping[str, Mapping[TroubleKind, Trouble | None]]) -> None:
    """Emit an event for each of `troubles` that is news: of the trouble, or that it is over.

    `troubles` are by entry and kind, None where the entry has no such trouble in the last `days` of the lake. The
    automation of that kind notifies of the event.
    """
    now = datetime.now(UTC)
    async with get_client() as client:
        previous = await read_events(client, [*DATA_TROUBLES, *RESOLVED], now - EVENT_RETENTION)
    last = {build_concern_key(event): event for event in previous}
    async with get_events_client() as events_client:
        for entry, troubles_by_kind in troubles.items():
            for kind, trouble in troubles_by_kind.items():
                event = _build_event(EVENTS_OF_TROUBLES[kind], entry, lake, days, trouble)
                if is_news(last.get(build_concern_key(event)), trouble, days):
                    await events_client.emit(event)


def _build_event(name: str, entry: str, lake: str, days: int, trouble: Trouble | None) -> Event:
    resource = {"prefect.resource.id": f"gridtide.entry.{entry}", "prefect.resource.name": entry, LAKE_LABEL: lake}
    payload = {**asdict(trouble), "days": days} if trouble else {}
    return Event(event=name if trouble else f"{name}{RESOLVED_SUFFIX}", resource=Resource(resource), payload=payload)
