"""Troubles of entries as Prefect events, one event per change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from prefect.client.orchestration import get_client
from prefect.events import Event, Resource
from prefect.events.clients import get_events_client

from tasks.notify.events import (
    DATA_TROUBLES,
    EVENT_RETENTION,
    LAKE_LABEL,
    RESOLVED,
    RESOLVED_SUFFIX,
    concern_key,
    read_events,
)


@dataclass(frozen=True)
class Trouble:
    """What is wrong with an entry's data, `since` when, and the command that fixes it.

    Two troubles of an entry with the same `mark` are the same trouble.
    """

    what: str
    since: str
    fix: str
    mark: str


def is_news(last: Event | None, trouble: Trouble | None, days: int) -> bool:
    """Whether `trouble` (None: there is none) differs from what the `last` event of its kind and entry says.

    Both are about the data of the last `days`. A look at fewer days than the last one proves no change: the trouble may
    lie in the days that were not looked at.
    """
    if last is None or last.event in RESOLVED:
        return trouble is not None
    return days >= last.payload["days"] and (trouble is None or trouble.mark != last.payload["mark"])


async def announce_changes(lake: str, days: int, troubles: Mapping[tuple[str, str], Trouble | None]) -> None:
    """Emit an event for each of `troubles` that is news: of the trouble, or that it is over.

    `troubles` are by kind (a key of `DATA_TROUBLES`) and entry, None where the entry has no such trouble in the last
    `days` of the lake. The automation of that kind notifies of the event.
    """
    now = datetime.now(UTC)
    async with get_client() as client:
        previous = await read_events(client, [*DATA_TROUBLES, *RESOLVED], now - EVENT_RETENTION)
    last = {concern_key(event): event for event in previous}
    events = {key: _entry_event(*key, lake, days, trouble) for key, trouble in troubles.items()}
    async with get_events_client() as events_client:
        for key, event in events.items():
            if is_news(last.get(concern_key(event)), troubles[key], days):
                await events_client.emit(event)


def _entry_event(kind: str, entry: str, lake: str, days: int, trouble: Trouble | None) -> Event:
    resource = {"prefect.resource.id": f"gridtide.entry.{entry}", "prefect.resource.name": entry, LAKE_LABEL: lake}
    payload = {**asdict(trouble), "days": days} if trouble else {}
    return Event(event=kind if trouble else f"{kind}{RESOLVED_SUFFIX}", resource=Resource(resource), payload=payload)
