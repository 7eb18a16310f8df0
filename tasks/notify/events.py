"""The events that notifications are made of, and what they are about."""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect.client.orchestration import PrefectClient
from prefect.events import Event
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter

RUN_TROUBLES = {
    f"prefect.flow-run.{state}": said
    for state, said in {
        "Failed": "failed",
        "Crashed": "crashed",
        "TimedOut": "timed out",
        "Cancelled": "was cancelled",
        "Late": "is late",
    }.items()
}


STALE, GAPS = "gridtide.entry.stale", "gridtide.entry.gaps"


DATA_TROUBLES = {STALE: "is stale", GAPS: "has gaps that could not be filled"}


RESOLVED_SUFFIX = ".over"
"""What the names of the events end with that say that a trouble of an entry is over."""


RESOLVED = {f"{STALE}{RESOLVED_SUFFIX}": "is no longer stale", f"{GAPS}{RESOLVED_SUFFIX}": "has no gaps any more"}


LAKE_LABEL = "gridtide.lake"
"""The label of an entry's events that says in which lake."""


MISSING_DATA = "data is missing"
"""How the error of a run of `monitor` begins that fails for nothing but what events of its entries tell."""


ENTRIES_FAILED = f"*monitor: {MISSING_DATA}: *"


COMPLETED = "prefect.flow-run.Completed"


NOT_DELIVERED, DELIVERED = "prefect.automation.action.failed", "prefect.automation.action.executed"


NOTIFIED = "gridtide.notified"


TRIGGERING, RECOVERED = "triggering-event", "recovered-event"
"""The roles in which a record names the event that was told of, or the one that is made good."""


EVENT_RETENTION = timedelta(days=7)
"""How long a server keeps events, if it is not told otherwise."""


def concern_key(event: Event) -> str:
    """What is in trouble, or well: a deployment, or of an entry's data in a lake one thing."""
    if event.event in DATA_TROUBLES.keys() | RESOLVED.keys():
        return f"{event.event.removesuffix(RESOLVED_SUFFIX)} {event.resource.id} {event.resource.get(LAKE_LABEL)}"
    return " ".join(_related(event, "deployment")) or event.resource.id


def _related(event: Event, role: str, what: str = "id") -> list[str]:
    """The last part of the ids, or the names, of what an event is related to in `role`."""
    found = [one for one in event.related if one.role == role]
    if what == "name":
        return [str(one.name) for one in found]
    return [one.id.rpartition(".")[2] for one in found]


def event_title(event: Event) -> str:
    """What an event is about: `flow/deployment` of a run, else the name of the entry."""
    names = [name for role in ("flow", "deployment") for name in _related(event, role, "name")]
    return "/".join(names) or str(event.resource.name)


async def read_events(client: PrefectClient, names: list[str], since: datetime) -> list[Event]:
    """Our events of these names from `since` on, oldest first."""
    wanted = EventFilter(event=EventNameFilter(name=names), occurred=EventOccurredFilter(since=since))
    page = await client.read_events(wanted, limit=50)
    events = list(page.events)
    while page.next_page:
        page = await client.read_events_page(str(page.next_page))
        events += page.events
    return sorted((event for event in events if _is_ours(event)), key=lambda event: event.occurred)


def _is_ours(event: Event) -> bool:
    return event.event not in {*RUN_TROUBLES, COMPLETED} or "gridtide" in _related(event, "tag")
