"""Pending notices, from the events of troubles and of notifications."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from prefect.events import Event, RelatedResource, Resource

from deployments.registry.notifications import AUTOMATIONS
from gridtide.coverage.troubles import Trouble
from tasks.notify.events import ENTRIES_FAILED, GAPS, RESOLVED_SUFFIX, STALE
from tasks.notify.history import GRACE, History, Notice, compose_message
from tasks.notify.troubles import is_news

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SINCE = NOON - 24 * HOUR


def happened(name: str, when: datetime, deployment: str = "hourly", flow: str = "ingest") -> Event:
    """The event of a run of `flow/deployment` that entered a state."""
    related = [("flow", "prefect.flow.1", flow), ("deployment", f"prefect.deployment.{deployment}", deployment)]
    return event(
        f"prefect.flow-run.{name}",
        {"prefect.resource.id": "prefect.flow-run.7", "prefect.resource.name": "run", "prefect.state-message": "why"},
        when,
        related,
    )


def said(name: str, about: Event, when: datetime, role: str = "triggering-event") -> Event:
    """The event that the receiver b was notified of an event, or that this failed."""
    related = [("block", "prefect.block-document.b", "x"), (role, f"prefect.event.{about.id}", "")]
    return event(name, {"prefect.resource.id": "prefect.automation.1"}, when, related)


def event(name: str, resource: dict[str, str], when: datetime, related: list[tuple[str, str, str]]) -> Event:
    """An event with its related resources: role, id, name."""
    labels = [
        {"prefect.resource.role": role, "prefect.resource.id": key, "prefect.resource.name": called}
        for role, key, called in related
    ]
    return Event(
        event=name, resource=Resource(resource), occurred=when, related=[RelatedResource(one) for one in labels]
    )  # type: ignore[arg-type]  # a datetime is one of Prefect's


def pending_subjects(*events: Event, at: datetime = NOON + 2 * HOUR) -> list[Any]:
    """The subjects of the pending notices of the receiver b."""
    return [notice.subject for notice in History.from_events(events).pending_notices("b", SINCE, at)]


DELIVERED, IN_VAIN = "prefect.automation.action.executed", "prefect.automation.action.failed"


def test_what_an_automation_told_is_not_told_again() -> None:
    """An event that an automation or `notify` delivered to a receiver is not pending for it; for another receiver it
    is."""
    one, two = happened("Failed", NOON), happened("Crashed", NOON)
    events = [one, two, said(DELIVERED, one, NOON), said("gridtide.notified", two, NOON)]
    assert pending_subjects(*events) == []
    assert [notice.subject for notice in History.from_events(events).pending_notices("c", SINCE, NOON + HOUR)] == [
        "ingest/hourly failed",
        "ingest/hourly crashed",
    ]


def test_an_automation_has_a_while_to_tell_by_itself() -> None:
    """A recent event is pending only if its automation could not deliver it."""
    one, two = happened("Failed", NOON), happened("TimedOut", NOON)
    assert pending_subjects(one, two, at=NOON + GRACE) == []
    assert pending_subjects(one, two, said(IN_VAIN, two, NOON), at=NOON + GRACE) == ["ingest/hourly timed out"]
    assert pending_subjects(one, two, at=NOON + 2 * GRACE) == ["ingest/hourly failed", "ingest/hourly timed out"]


def test_notify_says_nothing_of_itself() -> None:
    """Failures of `notify` itself are not pending, as a missing receiver would cause them again and again."""
    assert pending_subjects(happened("Failed", NOON, "pending", "notify")) == []


def test_good_news_is_told_once_and_only_after_bad() -> None:
    """A recovery is pending once, for receivers that were or are notified of the trouble, per deployment."""
    bad, good = happened("Failed", NOON), happened("Completed", NOON + HOUR)
    other = happened("Completed", NOON + HOUR, "daily")
    told = said(DELIVERED, bad, NOON)
    assert pending_subjects(bad, told, good, other) == ["ingest/hourly works again"]
    assert pending_subjects(bad, told, good, said("gridtide.notified", bad, NOON + HOUR, "recovered-event")) == []
    assert pending_subjects(happened("Completed", NOON - HOUR), bad, told) == []
    assert pending_subjects(other, good) == []
    assert pending_subjects(bad, good) == ["ingest/hourly failed", "ingest/hourly works again"]


def of_entry(name: str, when: datetime, lake: str = "/lake", **payload: Any) -> Event:
    """An event about the data of the entry `a` in a lake."""
    labels = {"prefect.resource.id": "gridtide.entry.a", "prefect.resource.name": "a", "gridtide.lake": lake}
    return event(name, labels, when, []).model_copy(update={"payload": payload})


def test_data_is_well_again_in_the_lake_and_of_the_kind_that_was_told() -> None:
    """A recovery matches a trouble of the same lake and kind, also after days."""
    gaps = of_entry(GAPS, NOON - 90 * HOUR, what="still missing: a day")
    told = said(DELIVERED, gaps, NOON - 90 * HOUR)
    assert pending_subjects(gaps, told, of_entry(f"{GAPS}{RESOLVED_SUFFIX}", NOON)) == ["a has no gaps any more"]
    assert pending_subjects(gaps, told, of_entry(f"{GAPS}{RESOLVED_SUFFIX}", NOON, lake="/other")) == []
    assert pending_subjects(gaps, told, of_entry(f"{STALE}{RESOLVED_SUFFIX}", NOON)) == []
    assert pending_subjects(gaps, of_entry(f"{GAPS}{RESOLVED_SUFFIX}", NOON)) == [], (
        "of what happened so long ago nobody needs to hear"
    )


def test_trouble_is_news_when_it_is_new_or_another() -> None:
    """A trouble is news if it is new or another one; a check of fewer days proves no change."""
    hole, other = (Trouble("missing", "noon", "backfill", mark) for mark in ("noon", "noon midnight"))
    last = of_entry(GAPS, NOON, mark="noon", days=30)
    over = of_entry(f"{GAPS}{RESOLVED_SUFFIX}", NOON)
    assert is_news(None, hole, 30)
    assert is_news(over, hole, 30)
    assert is_news(last, other, 30)
    assert is_news(last, None, 30)
    assert not is_news(last, hole, 30)
    assert not is_news(None, None, 30)
    assert not is_news(over, None, 30)
    assert not is_news(last, other, 2)
    assert not is_news(last, None, 2)


def test_a_failed_monitor_is_told_unless_its_entries_tell_it() -> None:
    """A failed monitor run is not notified of if its entries have events of their own, by the flow and by the
    automation."""
    failed = happened("Failed", NOON, "six_hourly", "monitor")
    missing = (
        "Flow run encountered an exception: RunError: monitor: data is missing: a 2026-03-01T00:00/2026-03-02T00:00."
    )
    quiet = failed.model_copy(update={"resource": Resource({**failed.resource.root, "prefect.state-message": missing})})
    assert pending_subjects(failed, quiet) == ["monitor/six_hourly failed"]
    automation = yaml.safe_load((AUTOMATIONS / "failed.yaml").read_text())
    assert automation["trigger"]["match"]["prefect.state-message"] == f"!{ENTRIES_FAILED}"


def test_many_things_are_one_message_with_a_count() -> None:
    """A message lists twenty notices and counts the others; a single notice is sent unchanged."""
    notices = [Notice(str(n), f"ingest/{n} failed", "why") for n in range(25)]
    assert compose_message(notices[:1]) == ("ingest/0 failed", "why")
    subject, body = compose_message(notices)
    assert subject == "25 notifications of Gridtide"
    assert body.startswith("ingest/0 failed\nwhy\n\ningest/1 failed")
    assert body.endswith("ingest/19 failed\nwhy\n\nand 5 more")
