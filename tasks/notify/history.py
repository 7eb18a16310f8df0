"""What happened and what was told of it, and the messages that follow."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch

from prefect.client.orchestration import PrefectClient
from prefect.events import Event
from prefect.settings import get_current_settings

from tasks.notify.events import (
    COMPLETED,
    DATA_TROUBLES,
    DELIVERED,
    ENTRIES_FAILED,
    EVENT_RETENTION,
    NOT_DELIVERED,
    NOTIFIED,
    RECOVERED,
    RESOLVED,
    RUN_TROUBLES,
    TRIGGERING,
    _related,
    concern_key,
    event_title,
    read_events,
)

GRACE = timedelta(seconds=90)
"""How long an automation has to notify of an event by itself."""


MESSAGE_LIMIT = 20
"""Things that one message lists; the rest is counted."""


@dataclass(frozen=True)
class Notice:
    """One thing to tell: the event it is about, `subject`, and what a person needs to act on it."""

    event: str
    subject: str
    body: str
    role: str = TRIGGERING


@dataclass
class History:
    """What happened, and by receiver's block what it was told of, in vain, and as recovered (ids of events)."""

    troubles: list[Event] = field(default_factory=list)
    well: list[Event] = field(default_factory=list)
    told: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    in_vain: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    recovered: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, events: Iterable[Event]) -> History:
        """The history in `events`."""
        history = cls()
        for event in events:
            if event.event in RUN_TROUBLES.keys() | DATA_TROUBLES.keys() and not _is_told_otherwise(event):
                history.troubles.append(event)
            elif event.event in {COMPLETED, *RESOLVED}:
                history.well.append(event)
            for block in _related(event, "block"):
                about = history.in_vain if event.event == NOT_DELIVERED else history.told
                about[block].update(_related(event, TRIGGERING))
                history.recovered[block].update(_related(event, RECOVERED))
        return history

    def untold(self, block: str, since: datetime, now: datetime) -> list[Notice]:
        """What the receiver `block` is to be told at `now`, oldest first: troubles from `since` on, and of each
        deployment or entry that it was or is told is in trouble and that was well after, that it is so again."""
        told, in_vain = self.told[block], self.in_vain[block]
        troubles = [
            _notice(event)
            for event in self.troubles
            if event.occurred >= since
            and str(event.id) not in told
            and (str(event.id) in in_vain or event.occurred < now - GRACE)
        ]
        known = told | {notice.event for notice in troubles}
        last = {concern_key(event): event for event in self.troubles}
        well = {concern_key(event): event for event in self.well}
        recovered = [
            _recovery(event, well[concern])
            for concern, event in last.items()
            if concern in well
            and well[concern].occurred > event.occurred
            and str(event.id) in known
            and str(event.id) not in self.recovered[block]
        ]
        return troubles + recovered


def _is_told_otherwise(event: Event) -> bool:
    """Whether it is a failure of `notify` itself, or one whose reasons the events of entries tell."""
    return _related(event, "flow", "name") == ["notify"] or fnmatch(
        event.resource.get("prefect.state-message") or "", ENTRIES_FAILED
    )


def _notice(event: Event) -> Notice:
    said = {**RUN_TROUBLES, **DATA_TROUBLES}[event.event]
    if event.event in DATA_TROUBLES:
        lines = [f"{key}: {event.payload.get(key)}" for key in ("what", "since", "fix")]
    else:
        why = event.resource.get("prefect.state-message") or "see its log"
        lines = [f'run "{event.resource.name}": {why}', f"since: {event.occurred:%Y-%m-%d %H:%M:%S} UTC", _link(event)]
    return Notice(str(event.id), f"{event_title(event)} {said}", "\n".join(lines))


def _recovery(trouble: Event, well: Event) -> Notice:
    told = f"{trouble.occurred:%Y-%m-%d %H:%M:%S} UTC; nothing is to be done"
    if well.event in RESOLVED:
        lines = [f"it was: {trouble.payload.get('what')}", f"as told at {told}"]
        return Notice(str(trouble.id), f"{event_title(trouble)} {RESOLVED[well.event]}", "\n".join(lines), RECOVERED)
    lines = [
        f'run "{well.resource.name}" completed at {well.occurred:%Y-%m-%d %H:%M:%S} UTC',
        f"it had been in trouble since {told}",
        _link(well),
    ]
    return Notice(str(trouble.id), f"{event_title(trouble)} works again", "\n".join(lines), RECOVERED)


def _link(event: Event) -> str:
    settings = get_current_settings()
    ui = settings.ui_url or re.sub("/api$", "", settings.api.url or "")
    return f"{ui}/runs/flow-run/{event.resource.id.rpartition('.')[2]}"


def compose_message(notices: Sequence[Notice]) -> tuple[str, str]:
    """Subject and body of one message that tells all of `notices`."""
    if len(notices) == 1:
        return notices[0].subject, notices[0].body
    blocks = [f"{notice.subject}\n{notice.body}" for notice in notices[:MESSAGE_LIMIT]]
    more = [f"and {len(notices) - MESSAGE_LIMIT} more"] if len(notices) > MESSAGE_LIMIT else []
    return f"{len(notices)} notifications of Gridtide", "\n\n".join([*blocks, *more])


async def read_history(client: PrefectClient, since: datetime) -> History:
    """What happened and who was told, as far back as the server knows; of completed runs those from `since` on."""
    events = await read_events(
        client,
        [*RUN_TROUBLES, *DATA_TROUBLES, *RESOLVED, NOT_DELIVERED, DELIVERED, NOTIFIED],
        datetime.now(UTC) - EVENT_RETENTION,
    )
    return History.of([*events, *await read_events(client, [COMPLETED], since)])
