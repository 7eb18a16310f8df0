"""Finds the troubles and recoveries that are pending for a receiver, from the events of the server."""

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

from gridtide.errors import list_first
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
    build_concern_key,
    list_related_ids,
    list_related_names,
    name_subject,
    read_events,
)

GRACE = timedelta(seconds=90)
"""How long an automation has time to notify of an event by itself."""


MESSAGE_LIMIT = 20
"""Notices that one message lists; further ones are counted."""


@dataclass(frozen=True)
class Notice:
    """A notice: the id of its event, a `subject`, and a `body` with the reason and the fix."""

    event: str
    subject: str
    body: str
    role: str = TRIGGERING


def _group_ids_by_receiver() -> dict[str, set[str]]:
    return defaultdict(set)


@dataclass
class History:
    """Troubles and recoveries, and by the block of a receiver the ids of the events of its notifications.

    `delivered_ids` are the troubles that the receiver was notified of, `failed_ids` those whose automation could not
    deliver its notification, and `recovered_ids` the troubles whose recovery it was notified of.
    """

    troubles: list[Event] = field(default_factory=list)
    recoveries: list[Event] = field(default_factory=list)
    delivered_ids: dict[str, set[str]] = field(default_factory=_group_ids_by_receiver)
    failed_ids: dict[str, set[str]] = field(default_factory=_group_ids_by_receiver)
    recovered_ids: dict[str, set[str]] = field(default_factory=_group_ids_by_receiver)

    @classmethod
    def from_events(cls, events: Iterable[Event]) -> History:
        """The history in `events`, which are in the order of time."""
        history = cls()
        for event in events:
            if event.event in RUN_TROUBLES.keys() | DATA_TROUBLES.keys() and not _has_own_events(event):
                history.troubles.append(event)
            elif event.event in {COMPLETED, *RESOLVED}:
                history.recoveries.append(event)
            # Records of automations and of the task `deliver` have the same form: they are related to a block.
            for block in list_related_ids(event, "block"):
                notified = history.failed_ids if event.event == NOT_DELIVERED else history.delivered_ids
                notified[block].update(list_related_ids(event, TRIGGERING))
                history.recovered_ids[block].update(list_related_ids(event, RECOVERED))
        return history

    def pending_notices(self, block: str, since: datetime, now: datetime) -> list[Notice]:
        """The notices that the receiver `block` has not had at `now`: troubles from `since` on, oldest first, then
        recoveries.

        A recovery is due for the last trouble of a deployment or entry, if the receiver was or is notified of that
        trouble, and a run completed or the data was complete after it.
        """
        delivered, failed = self.delivered_ids[block], self.failed_ids[block]
        troubles = [
            _write_trouble_notice(event)
            for event in self.troubles
            if event.occurred >= since
            and str(event.id) not in delivered
            # The automation may still deliver a young event; then it would be sent twice.
            and (str(event.id) in failed or event.occurred < now - GRACE)
        ]
        notified = delivered | {notice.event for notice in troubles}
        # Events are in the order of time, so that the last of each kind remains.
        last_trouble = {build_concern_key(event): event for event in self.troubles}
        last_recovery = {build_concern_key(event): event for event in self.recoveries}
        recoveries = [
            _write_recovery_notice(event, last_recovery[concern])
            for concern, event in last_trouble.items()
            if concern in last_recovery
            and last_recovery[concern].occurred > event.occurred
            and str(event.id) in notified
            and str(event.id) not in self.recovered_ids[block]
        ]
        return troubles + recoveries


def _has_own_events(event: Event) -> bool:
    """Whether `event` is a failure of `notify` itself, or one whose reasons have events of their entries."""
    # A failed `notify` run is retried by its own schedule; notifying of it would need what just failed.
    return list_related_names(event, "flow") == ["notify"] or fnmatch(
        event.resource.get("prefect.state-message") or "", ENTRIES_FAILED
    )


def _write_trouble_notice(event: Event) -> Notice:
    predicate = {**RUN_TROUBLES, **DATA_TROUBLES}[event.event]
    if event.event in DATA_TROUBLES:
        lines = [f"{key}: {event.payload.get(key)}" for key in ("what", "since", "fix")]
    else:
        reason = event.resource.get("prefect.state-message") or "see its log"
        lines = [
            f'run "{event.resource.name}": {reason}',
            f"since: {event.occurred:%Y-%m-%d %H:%M:%S} UTC",
            _run_link(event),
        ]
    return Notice(str(event.id), f"{name_subject(event)} {predicate}", "\n".join(lines))


def _write_recovery_notice(trouble: Event, recovery: Event) -> Notice:
    """The notice that `trouble` is over; it refers to the event of the trouble, so that each is notified once."""
    since = f"{trouble.occurred:%Y-%m-%d %H:%M:%S} UTC; nothing has to be done"
    if recovery.event in RESOLVED:
        lines = [f"it was: {trouble.payload.get('what')}", f"as reported at {since}"]
        subject = f"{name_subject(trouble)} {RESOLVED[recovery.event]}"
    else:
        completed = f"{recovery.occurred:%Y-%m-%d %H:%M:%S} UTC"
        lines = [
            f'run "{recovery.resource.name}" completed at {completed}',
            f"it had been in trouble since {since}",
            _run_link(recovery),
        ]
        subject = f"{name_subject(trouble)} works again"
    return Notice(str(trouble.id), subject, "\n".join(lines), RECOVERED)


def _run_link(event: Event) -> str:
    """The page of the event's run in the UI."""
    settings = get_current_settings()
    ui = settings.ui_url or re.sub("/api$", "", settings.api.url or "")
    return f"{ui}/runs/flow-run/{event.resource.id.rpartition('.')[2]}"


def compose_message(notices: Sequence[Notice]) -> tuple[str, str]:
    """Subject and body of one message with all of `notices`."""
    if len(notices) == 1:
        return notices[0].subject, notices[0].body
    blocks = [f"{notice.subject}\n{notice.body}" for notice in notices]
    return f"{len(notices)} notifications of Gridtide", list_first(blocks, MESSAGE_LIMIT, "\n\n", "\n\nand {} more")


async def read_history(client: PrefectClient, since: datetime) -> History:
    """The history of all events that the server keeps; of completed runs those from `since` on.

    Completed runs are by far the most events, and older ones say nothing about a trouble since then.
    """
    names = [*RUN_TROUBLES, *DATA_TROUBLES, *RESOLVED, NOT_DELIVERED, DELIVERED, NOTIFIED]
    events = await read_events(client, names, datetime.now(UTC) - EVENT_RETENTION)
    return History.from_events([*events, *await read_events(client, [COMPLETED], since)])
