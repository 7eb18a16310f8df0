"""The Prefect events of notifications: their names and subjects."""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect.client.orchestration import PrefectClient
from prefect.events import Event
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter

from gridtide.coverage.troubles import TroubleKind

RUN_TROUBLES = {
    f"prefect.flow-run.{state}": predicate
    for state, predicate in {
        "Failed": "failed",
        "Crashed": "crashed",
        "TimedOut": "timed out",
        "Cancelled": "was cancelled",
        "Late": "is late",
    }.items()
}


STALE, GAPS, SILENT = "gridtide.entry.stale", "gridtide.entry.gaps", "gridtide.entry.silent"
BAD = "gridtide.entry.bad"


NEW_SERIES = "gridtide.entry.new_series"
"""The event of new series of an entry: it is told once, and has no end."""


DATA_TROUBLES = {
    STALE: "is stale",
    GAPS: "has gaps that could not be filled",
    SILENT: "has series without new values",
    NEW_SERIES: "has new series",
    BAD: "has series that cannot be believed",
}


EVENTS_OF_TROUBLES: dict[TroubleKind, str] = {
    "stale": STALE,
    "gaps": GAPS,
    "silent": SILENT,
    "new_series": NEW_SERIES,
    "bad": BAD,
}


RESOLVED_SUFFIX = ".over"
"""The suffix of the events that say that a trouble of an entry is over."""


RESOLVED = {
    f"{STALE}{RESOLVED_SUFFIX}": "is no longer stale",
    f"{GAPS}{RESOLVED_SUFFIX}": "has no gaps any more",
    f"{SILENT}{RESOLVED_SUFFIX}": "has new values of all series again",
    f"{BAD}{RESOLVED_SUFFIX}": "has series that can all be believed again",
}


LAKE_LABEL = "gridtide.lake"
"""The label of an entry's events with the address of its lake."""


MISSING_DATA = "data is missing"
"""The start of the error of a `monitor` run that failed only because of troubles that have events of their own."""


ENTRIES_FAILED = f"*monitor: {MISSING_DATA}: *"


COMPLETED = "prefect.flow-run.Completed"


NOT_DELIVERED, DELIVERED = "prefect.automation.action.failed", "prefect.automation.action.executed"


NOTIFIED = "gridtide.notified"


TRIGGERING, RECOVERED = "triggering-event", "recovered-event"
"""The roles in which a record names the event of a trouble that was notified, or of one whose recovery was."""


EVENT_RETENTION = timedelta(days=7)
"""How long a Prefect server keeps events by default."""


def build_concern_key(event: Event) -> str:
    """The key of the subject of an event: a deployment, or a kind of trouble with an entry's data in a lake.

    A trouble and its end have the same key.
    """
    if event.event in DATA_TROUBLES.keys() | RESOLVED.keys():
        return f"{event.event.removesuffix(RESOLVED_SUFFIX)} {event.resource.id} {event.resource.get(LAKE_LABEL)}"
    return " ".join(list_related_ids(event, "deployment")) or event.resource.id


def list_related_ids(event: Event, role: str) -> list[str]:
    """The ids, without the prefix of their kind, of the resources that an event is related to in `role`."""
    return [resource.id.rpartition(".")[2] for resource in event.related if resource.role == role]


def list_related_names(event: Event, role: str) -> list[str]:
    """The names of the resources that an event is related to in `role`."""
    return [str(resource.name) for resource in event.related if resource.role == role]


def name_subject(event: Event) -> str:
    """The subject of an event for people: `flow/deployment` of a run, else the name of the entry."""
    names = [name for role in ("flow", "deployment") for name in list_related_names(event, role)]
    return "/".join(names) or str(event.resource.name)


async def read_events(client: PrefectClient, names: list[str], since: datetime) -> list[Event]:
    """The events of Gridtide with these names from `since` on, oldest first."""
    event_filter = EventFilter(event=EventNameFilter(name=names), occurred=EventOccurredFilter(since=since))
    page = await client.read_events(event_filter, limit=50)
    events = list(page.events)
    while page.next_page:
        page = await client.read_events_page(str(page.next_page))
        events += page.events
    return sorted((event for event in events if _is_from_gridtide(event)), key=lambda event: event.occurred)


def _is_from_gridtide(event: Event) -> bool:
    # The server may run flows of others; their runs have no such tag, and Gridtide's own events need none.
    return event.event not in {*RUN_TROUBLES, COMPLETED} or "gridtide" in list_related_ids(event, "tag")
