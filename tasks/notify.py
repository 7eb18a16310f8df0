"""Telling people what automations could not: read what happened and who was told, tell the rest until it arrives.

The record is the server's own events. An automation that notified leaves one that names the event it was
about and the receiver's block; what is delivered here leaves one of the same form. So each receiver is
told each thing once; twice only where a process is killed between sending and recording.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from typing import Any

from prefect import task
from prefect.blocks.abstract import NotificationError
from prefect.blocks.core import Block
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import PrefectClient, get_client
from prefect.events import Event, RelatedResource, Resource
from prefect.events.clients import get_events_client
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter
from prefect.settings import get_current_settings

from gridtide.errors import UpstreamError

RECEIVER = "gridtide-notify"
"""What the names of the receivers' blocks begin with."""

RUNS = {
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
DATA = {STALE: "is stale", GAPS: "has gaps that could not be filled"}
OVER = ".over"
"""What the names of the events end with that say that a trouble of an entry is over."""

WELL = {f"{STALE}{OVER}": "is no longer stale", f"{GAPS}{OVER}": "has no gaps any more"}
LAKE = "gridtide.lake"
"""The label of an entry's events that says in which lake."""

MISSING = "data is missing"
"""How the error of a run of `monitor` begins that fails for nothing but what events of its entries tell."""

TOLD_BY_ENTRIES = f"*monitor: {MISSING}: *"
COMPLETED = "prefect.flow-run.Completed"
NOT_DELIVERED, DELIVERED = "prefect.automation.action.failed", "prefect.automation.action.executed"
TOLD = "gridtide.notified"

ABOUT, RECOVERED = "triggering-event", "recovered-event"
"""The roles in which a record names the event that was told of, or the one that is made good."""

KEPT = timedelta(days=7)
"""How long a server keeps events, if it is not told otherwise."""

GRACE = timedelta(seconds=90)
"""How long an automation has to notify of an event by itself."""

PATIENCE = [5, 10, 20, *[40] * 44]
"""Seconds before each further attempt; what is not delivered after half an hour is left to the next run."""

RECORDED_AFTER = 30
"""Seconds to wait for the server to write down what was told."""

MOST = 20
"""Things that one message lists; the rest is counted."""


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
    if last is None or last.event in WELL:
        return trouble is not None
    return days >= last.payload["days"] and (trouble is None or trouble.mark != last.payload["mark"])


async def announce(lake: str, days: int, found: Mapping[tuple[str, str], Trouble | None]) -> None:
    """Leave an event of what is news of `found`, which is by kind (of `DATA`) and entry what was found in the last
    `days` of the lake: that there is trouble, for the automation of that kind to tell, or that it is over."""
    now = datetime.now(UTC)
    async with get_client() as client:
        last = {_concern(event): event for event in await _read(client, [*DATA, *WELL], now - KEPT)}
    events = [_entry_event(*about, lake, days, trouble) for about, trouble in found.items()]
    news = [
        event
        for event, trouble in zip(events, found.values(), strict=True)
        if is_news(last.get(_concern(event)), trouble, days)
    ]
    async with get_events_client() as recorder:
        for event in news:
            await recorder.emit(event)


def _entry_event(kind: str, entry: str, lake: str, days: int, trouble: Trouble | None) -> Event:
    resource = {"prefect.resource.id": f"gridtide.entry.{entry}", "prefect.resource.name": entry, LAKE: lake}
    payload = {**asdict(trouble), "days": days} if trouble else {}
    return Event(event=kind if trouble else f"{kind}{OVER}", resource=Resource(resource), payload=payload)


@dataclass(frozen=True)
class Receiver:
    """A notify block: its name and its id."""

    name: str
    block: str


@dataclass(frozen=True)
class Notice:
    """One thing to tell: the event it is about, `subject`, and what a person needs to act on it."""

    event: str
    subject: str
    body: str
    role: str = ABOUT


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
            if event.event in RUNS.keys() | DATA.keys() and not _is_told_otherwise(event):
                history.troubles.append(event)
            elif event.event in {COMPLETED, *WELL}:
                history.well.append(event)
            for block in _related(event, "block"):
                about = history.in_vain if event.event == NOT_DELIVERED else history.told
                about[block].update(_related(event, ABOUT))
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
        last = {_concern(event): event for event in self.troubles}
        well = {_concern(event): event for event in self.well}
        recovered = [
            _recovery(event, well[concern])
            for concern, event in last.items()
            if concern in well
            and well[concern].occurred > event.occurred
            and str(event.id) in known
            and str(event.id) not in self.recovered[block]
        ]
        return troubles + recovered


def _concern(event: Event) -> str:
    """What is in trouble, or well: a deployment, or of an entry's data in a lake one thing."""
    if event.event in DATA.keys() | WELL.keys():
        return f"{event.event.removesuffix(OVER)} {event.resource.id} {event.resource.get(LAKE)}"
    return " ".join(_related(event, "deployment")) or event.resource.id


def _is_told_otherwise(event: Event) -> bool:
    """Whether it is a failure of `notify` itself, or one whose reasons the events of entries tell."""
    return _related(event, "flow", "name") == ["notify"] or fnmatch(
        event.resource.get("prefect.state-message") or "", TOLD_BY_ENTRIES
    )


def _related(event: Event, role: str, what: str = "id") -> list[str]:
    """The last part of the ids, or the names, of what an event is related to in `role`."""
    found = [one for one in event.related if one.role == role]
    if what == "name":
        return [str(one.name) for one in found]
    return [one.id.rpartition(".")[2] for one in found]


def _title(event: Event) -> str:
    """What an event is about: `flow/deployment` of a run, else the name of the entry."""
    names = [name for role in ("flow", "deployment") for name in _related(event, role, "name")]
    return "/".join(names) or str(event.resource.name)


def _notice(event: Event) -> Notice:
    said = {**RUNS, **DATA}[event.event]
    if event.event in DATA:
        lines = [f"{key}: {event.payload.get(key)}" for key in ("what", "since", "fix")]
    else:
        why = event.resource.get("prefect.state-message") or "see its log"
        lines = [f'run "{event.resource.name}": {why}', f"since: {event.occurred:%Y-%m-%d %H:%M:%S} UTC", _link(event)]
    return Notice(str(event.id), f"{_title(event)} {said}", "\n".join(lines))


def _recovery(trouble: Event, well: Event) -> Notice:
    told = f"{trouble.occurred:%Y-%m-%d %H:%M:%S} UTC; nothing is to be done"
    if well.event in WELL:
        lines = [f"it was: {trouble.payload.get('what')}", f"as told at {told}"]
        return Notice(str(trouble.id), f"{_title(trouble)} {WELL[well.event]}", "\n".join(lines), RECOVERED)
    lines = [
        f'run "{well.resource.name}" completed at {well.occurred:%Y-%m-%d %H:%M:%S} UTC',
        f"it had been in trouble since {told}",
        _link(well),
    ]
    return Notice(str(trouble.id), f"{_title(trouble)} works again", "\n".join(lines), RECOVERED)


def _link(event: Event) -> str:
    settings = get_current_settings()
    ui = settings.ui_url or re.sub("/api$", "", settings.api.url or "")
    return f"{ui}/runs/flow-run/{event.resource.id.rpartition('.')[2]}"


def message(notices: Sequence[Notice]) -> tuple[str, str]:
    """Subject and body of one message that tells all of `notices`."""
    if len(notices) == 1:
        return notices[0].subject, notices[0].body
    blocks = [f"{notice.subject}\n{notice.body}" for notice in notices[:MOST]]
    more = [f"and {len(notices) - MOST} more"] if len(notices) > MOST else []
    return f"{len(notices)} notifications of Gridtide", "\n\n".join([*blocks, *more])


async def receivers(client: PrefectClient) -> list[Receiver]:
    """The receivers there are."""
    blocks = await client.read_block_documents(include_secrets=False, offset=0, limit=200)
    return [Receiver(one.name, str(one.id)) for one in blocks if one.name and one.name.startswith(RECEIVER)]


async def history(client: PrefectClient, since: datetime) -> History:
    """What happened and who was told, as far back as the server knows; of completed runs those from `since` on."""
    events = await _read(client, [*RUNS, *DATA, *WELL, NOT_DELIVERED, DELIVERED, TOLD], datetime.now(UTC) - KEPT)
    return History.of([*events, *await _read(client, [COMPLETED], since)])


async def _read(client: PrefectClient, names: list[str], since: datetime) -> list[Event]:
    """Our events of these names from `since` on, oldest first."""
    wanted = EventFilter(event=EventNameFilter(name=names), occurred=EventOccurredFilter(since=since))
    page = await client.read_events(wanted, limit=50)
    events = list(page.events)
    while page.next_page:
        page = await client.read_events_page(str(page.next_page))
        events += page.events
    return sorted((event for event in events if _is_ours(event)), key=lambda event: event.occurred)


def _is_ours(event: Event) -> bool:
    return event.event not in {*RUNS, COMPLETED} or "gridtide" in _related(event, "tag")


@task(
    name="deliver",
    task_run_name="deliver to {receiver.name}",
    retries=len(PATIENCE),
    retry_delay_seconds=PATIENCE,  # type: ignore[arg-type]  # a list of int is one of float
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def deliver(receiver: Receiver, window: timedelta) -> int:
    """Tell `receiver` in one message what it does not know yet of the last `window`; returns of how many things.

    What is to be told is read anew at each attempt. Raises `UpstreamError` where it does not arrive.
    """
    async with get_client() as client:
        now = datetime.now(UTC)
        since = now - window
        notices = (await history(client, since)).untold(receiver.block, since, now)
        if notices:
            await send(client, receiver, *message(notices))
            await _record(receiver, notices)
            await _until_recorded(client, receiver, notices[-1], since)
    return len(notices)


async def send(client: PrefectClient, receiver: Receiver, subject: str, body: str) -> None:
    """Send one message; raises `UpstreamError` where it does not arrive."""
    document = await client.read_block_document(receiver.block)  # type: ignore[arg-type]  # takes text as well
    block: Any = Block._from_block_document(document)
    try:
        with block.raise_on_failure():
            await block.anotify(body, subject)
    except NotificationError as error:  # what it says may hold the URL, which may be a secret
        raise UpstreamError(
            receiver.name,
            "did not take the notification",
            "Check that it is reachable and that GRIDTIDE_NOTIFY names it rightly, then gridtide deploy",
        ) from error


async def _until_recorded(client: PrefectClient, receiver: Receiver, notice: Notice, since: datetime) -> None:
    """Wait until the server, which writes events seconds later, would not let `notice` be told again."""
    for _ in range(RECORDED_AFTER):
        known = await history(client, since)
        if notice.event in (known.told if notice.role == ABOUT else known.recovered)[receiver.block]:
            return
        await asyncio.sleep(1)


async def _record(receiver: Receiver, notices: Sequence[Notice]) -> None:
    async with get_events_client() as events:
        for start in range(0, len(notices), MOST):
            about = [
                {"prefect.resource.id": f"prefect.event.{notice.event}", "prefect.resource.role": notice.role}
                for notice in notices[start : start + MOST]
            ]
            block = {
                "prefect.resource.id": f"prefect.block-document.{receiver.block}",
                "prefect.resource.role": "block",
            }
            await events.emit(
                Event(
                    event=TOLD,
                    resource=Resource({"prefect.resource.id": f"gridtide.receiver.{receiver.name}"}),
                    related=[RelatedResource(one) for one in [block, *about]],
                )
            )
