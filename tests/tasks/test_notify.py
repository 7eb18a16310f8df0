"""What people are told, from what happened and what they were told before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.events import Event, RelatedResource, Resource

from tasks.notify import GRACE, History, Notice, message

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def happened(name: str, when: datetime, deployment: str = "hourly", flow: str = "ingest") -> Event:
    """A run of `flow/deployment` came into a state."""
    related = [("flow", "prefect.flow.1", flow), ("deployment", f"prefect.deployment.{deployment}", deployment)]
    return event(
        f"prefect.flow-run.{name}",
        {"prefect.resource.id": "prefect.flow-run.7", "prefect.resource.name": "run", "prefect.state-message": "why"},
        when,
        related,
    )


def said(name: str, about: Event, when: datetime, role: str = "triggering-event") -> Event:
    """The receiver b was told of an event, or not."""
    related = [("block", "prefect.block-document.b", "x"), (role, f"prefect.event.{about.id}", "")]
    return event(name, {"prefect.resource.id": "prefect.automation.1"}, when, related)


def event(name: str, resource: dict[str, str], when: datetime, related: list[tuple[str, str, str]]) -> Event:
    """An event with what it is related to: role, id, name."""
    labels = [
        {"prefect.resource.role": role, "prefect.resource.id": key, "prefect.resource.name": called}
        for role, key, called in related
    ]
    return Event(
        event=name, resource=Resource(resource), occurred=when, related=[RelatedResource(one) for one in labels]
    )  # type: ignore[arg-type]  # a datetime is one of Prefect's


def untold(*events: Event, at: datetime = NOON + 2 * HOUR) -> list[Any]:
    """Subjects of what the receiver b is to be told."""
    return [notice.subject for notice in History.of(events).untold("b", at)]


DELIVERED, IN_VAIN = "prefect.automation.action.executed", "prefect.automation.action.failed"


def test_what_an_automation_told_is_not_told_again() -> None:
    """Nor what was told by us; another receiver is another matter."""
    one, two = happened("Failed", NOON), happened("Crashed", NOON)
    events = [one, two, said(DELIVERED, one, NOON), said("gridtide.notified", two, NOON)]
    assert untold(*events) == []
    assert [notice.subject for notice in History.of(events).untold("c", NOON + HOUR)] == [
        "ingest/hourly failed",
        "ingest/hourly crashed",
    ]


def test_an_automation_has_a_while_to_tell_by_itself() -> None:
    """Only what it failed to deliver is told before that."""
    one, two = happened("Failed", NOON), happened("TimedOut", NOON)
    assert untold(one, two, at=NOON + GRACE) == []
    assert untold(one, two, said(IN_VAIN, two, NOON), at=NOON + GRACE) == ["ingest/hourly timed out"]
    assert untold(one, two, at=NOON + 2 * GRACE) == ["ingest/hourly failed", "ingest/hourly timed out"]


def test_notify_says_nothing_of_itself() -> None:
    """Or a receiver that is away would keep it busy with its own failures."""
    assert untold(happened("Failed", NOON, "untold", "notify")) == []


def test_good_news_is_told_once_and_only_after_bad() -> None:
    """When the last run completed, to who knows of the failure, of each deployment for itself."""
    bad, good = happened("Failed", NOON), happened("Completed", NOON + HOUR)
    other = happened("Completed", NOON + HOUR, "daily")
    told = said(DELIVERED, bad, NOON)
    assert untold(bad, told, good, other) == ["ingest/hourly works again"]
    assert untold(bad, told, good, said("gridtide.notified", bad, NOON + HOUR, "recovered-event")) == []
    assert untold(happened("Completed", NOON - HOUR), bad, told) == []
    assert untold(other, good) == []


def test_many_things_are_one_message_with_a_count() -> None:
    """It lists twenty and counts the rest; one thing is told as it is."""
    notices = [Notice(str(n), f"ingest/{n} failed", "why") for n in range(25)]
    assert message(notices[:1]) == ("ingest/0 failed", "why")
    subject, body = message(notices)
    assert subject == "25 notifications of Gridtide"
    assert body.startswith("ingest/0 failed\nwhy\n\ningest/1 failed")
    assert body.endswith("ingest/19 failed\nwhy\n\nand 5 more")
