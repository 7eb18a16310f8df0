"""Troubles of entries as events, announced once."""

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
    """What is wrong with an entry's data, `since` when, and what mends it; while the `mark` is the same it is the
    same trouble."""

    what: str
    since: str
    fix: str
    mark: str


def is_news(last: Event | None, trouble: Trouble | None, days: int) -> bool:
    """Whether the trouble found in the last `days`, or that there is none, is to be told after the `last` event of it.

    Where more days were looked at before, what a shorter look finds says nothing.
    """
    if last is None or last.event in RESOLVED:
        return trouble is not None
    return days >= last.payload["days"] and (trouble is None or trouble.mark != last.payload["mark"])


async def announce_changes(lake: str, days: int, found: Mapping[tuple[str, str], Trouble | None]) -> None:
    """Leave an event of what is news of `found`, which is by kind (of `DATA`) and entry what was found in the last
    `days` of the lake: that there is trouble, for the automation of that kind to tell, or that it is over."""
    now = datetime.now(UTC)
    async with get_client() as client:
        last = {
            concern_key(event): event
            for event in await read_events(client, [*DATA_TROUBLES, *RESOLVED], now - EVENT_RETENTION)
        }
    events = [_entry_event(*about, lake, days, trouble) for about, trouble in found.items()]
    news = [
        event
        for event, trouble in zip(events, found.values(), strict=True)
        if is_news(last.get(concern_key(event)), trouble, days)
    ]
    async with get_events_client() as recorder:
        for event in news:
            await recorder.emit(event)


def _entry_event(kind: str, entry: str, lake: str, days: int, trouble: Trouble | None) -> Event:
    resource = {"prefect.resource.id": f"gridtide.entry.{entry}", "prefect.resource.name": entry, LAKE_LABEL: lake}
    payload = {**asdict(trouble), "days": days} if trouble else {}
    return Event(event=kind if trouble else f"{kind}{RESOLVED_SUFFIX}", resource=Resource(resource), payload=payload)
