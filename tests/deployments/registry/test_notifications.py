"""Notifications: each receiver gets one message, at once or as soon as it can be reached."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events import emit_event
from prefect.server.events.schemas.events import Resource, ResourceSpecification
from prefect.states import Scheduled, State

from deployments.cli.flow_commands import send_test_message
from deployments.registry.deploy import POOL, register_deployments
from deployments.registry.notifications import (
    AUTOMATIONS,
    PREFIX,
    VARIABLE,
    apply_notifications,
    build_receiver_block,
    read_receiver_blocks,
)
from flows.notify import notify
from gridtide.config.loading import parse
from gridtide.errors import ConfigurationError
from tasks.notify.deliver import read_receivers
from tasks.notify.history import History, read_history
from tests.support.processes.served import synthetic
from tests.support.receiving import Inbox, mailbox, webhook


def scheduled(schedule: str, *names: str) -> dict[str, Any]:
    """A configuration of entries called `names` with one schedule."""
    apis = [synthetic(name, schedule) for name in names]
    return {"schedules": {schedule: {"cron": "12 * * * *"}}, "apis": apis}


async def deployed(folder: Path, schedule: str = "hourly") -> dict[str, str]:
    """The action for each automation of a deploy of an entry with that schedule."""
    changes = await register_deployments(parse(scheduled(schedule, "a")), folder / "api_config.json", None, False, POOL)
    return {change.name: change.action for change in changes if change.name.startswith(PREFIX)}


async def end(schedule: str, name: str, kind: StateType, message: str = "") -> UUID:
    """Create a run of `ingest/<schedule>` that ends in the state `name`."""
    async with get_client() as client:
        deployment = await client.read_deployment_by_name(f"ingest/{schedule}")
        run = await client.create_flow_run_from_deployment(deployment.id, state=Scheduled())
        await client.set_flow_run_state(run.id, State(type=kind, name=name, message=message), force=True)
        return run.id


async def recorded(seen: Callable[[History], bool] = lambda _: True) -> History:
    """The events of the last minutes on the server, once `seen` is true for them."""
    async with get_client() as client:
        for _ in range(120):
            found = await read_history(client, datetime.now(UTC) - timedelta(minutes=5))
            if seen(found):
                return found
            await asyncio.sleep(0.5)
    raise AssertionError(found)


@pytest.mark.slow
@pytest.mark.usefixtures("nobody")
async def test_every_receiver_is_told_at_once(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure is sent at once to a webhook and by e-mail with reason, time, fix and link, and so is its recovery;
    a run that failed only for reasons that its entries report is not."""
    inbox, mail = Inbox("ingest/at-once"), Inbox("ingest/at-once")
    with webhook(inbox) as hook, mailbox(mail, unused_tcp_port) as smtp:
        monkeypatch.setenv(VARIABLE, f"{hook} {smtp}")
        await deployed(tmp_path, "at-once")
        missing = "RunError: monitor: data is missing: a 2026-03-01T00:00/2026-03-02T00:00"
        await end("at-once", "Failed", StateType.FAILED, missing)
        await end("at-once", "Failed", StateType.FAILED, "1 of 1 entries failed: a")
        for arrived in (inbox, mail):
            [(subject, body)] = await asyncio.to_thread(arrived.until, 1)
            assert subject == "ingest/at-once failed"
            what, why, since, todo, link = body.strip().splitlines()
            assert what.startswith('What: run "')
            assert why == "Why: 1 of 1 entries failed: a"
            assert since.startswith("Since: 20")
            assert "report under Artifacts" in todo
            assert "/runs/flow-run/" in link

        well = f"prefect.flow-run.{await end('at-once', 'Completed', StateType.COMPLETED)}"
        await recorded(lambda found: any(event.resource.id == well for event in found.recoveries))
        assert sum((await notify()).values()) == 2
        assert inbox.subjects == mail.subjects == ["ingest/at-once failed", "ingest/at-once works again"]
        assert sum((await notify()).values()) == 0


@pytest.mark.slow
@pytest.mark.usefixtures("nobody")
async def test_each_kind_of_trouble_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of trouble sends one message with the fix; a run that is late and never starts sends two."""
    inbox = Inbox("each-kind")
    patient = tmp_path / "automations"
    shutil.copytree(AUTOMATIONS, patient)
    waits = patient / "never_started.yaml"
    waits.write_text(waits.read_text().replace("within: 1800", "within: 10"))
    with webhook(inbox) as hook:
        monkeypatch.setenv(VARIABLE, hook)
        await deployed(tmp_path, "each-kind")
        async with get_client() as client:
            await apply_notifications(client, read_receiver_blocks(), patient)
        await end("each-kind", "Late", StateType.SCHEDULED)
        await end("each-kind", "TimedOut", StateType.FAILED)
        await end("each-kind", "Cancelled", StateType.CANCELLED)
        for kind in ("stale", "gaps", "silent"):
            about = {"prefect.resource.id": "gridtide.entry.each-kind", "prefect.resource.name": "each-kind"}
            said = {"what": "nothing since noon", "since": "2026-03-01 12:00", "fix": "gridtide ingest --select a"}
            emit_event(f"gridtide.entry.{kind}", about, payload=said)
        await asyncio.to_thread(inbox.until, 7)
    assert sorted(inbox.subjects) == [
        "each-kind has gaps that could not be filled",
        "each-kind has series without new values",
        "each-kind is stale",
        "ingest/each-kind is late",
        "ingest/each-kind never started",
        "ingest/each-kind timed out",
        "ingest/each-kind was cancelled",
    ]
    assert all("Do: " in body and "Since: 20" in body for _, body in inbox.messages)


@pytest.mark.usefixtures("nobody")
async def test_a_receiver_that_cannot_be_reached_is_named(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`gridtide notify` reports which receivers accepted a test message; without receivers it says what to set."""
    with pytest.raises(ConfigurationError, match="there is no receiver"):
        await send_test_message()
    inbox = Inbox()
    with webhook(inbox) as hook:
        monkeypatch.setenv(VARIABLE, f"{hook} http://planted@127.0.0.1:{unused_tcp_port}/")
        await deployed(tmp_path)
        assert await send_test_message() == 1
    assert inbox.subjects == ["A test of Gridtide"]
    said = capsys.readouterr()
    assert "gridtide-notify-2: did not take the notification" in said.out
    assert "planted" not in said.out + said.err


@pytest.mark.slow
@pytest.mark.usefixtures("nobody")
async def test_nothing_is_lost_while_a_receiver_is_away(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed deliveries are retried until they succeed, in one message with a count, and are not sent twice."""
    inbox = Inbox("ingest/away")
    monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:{unused_tcp_port}/hook")
    monkeypatch.setattr("tasks.notify.history.GRACE", timedelta(0))
    await deployed(tmp_path, "away")
    lost = {f"prefect.flow-run.{await end('away', 'Crashed', StateType.CRASHED, 'killed')}" for _ in range(3)}
    await recorded(lambda found: lost <= {one.resource.id for one in found.troubles} and any(found.failed_ids.values()))
    telling = asyncio.create_task(notify(hours=1))
    await asyncio.sleep(7)  # the first attempts are in vain
    assert not telling.done()
    with webhook(inbox, unused_tcp_port):
        (told,) = (await telling).values()
        [(subject, body)] = inbox.messages
        assert told >= 3
        assert subject == f"{told} notifications of Gridtide"
        assert body.count("ingest/away crashed\n") == 3
        assert list((await notify(hours=1)).values()) == [0]
        assert len(inbox.messages) == 1


@pytest.mark.usefixtures("nobody")
async def test_a_receiver_that_is_none_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalid receiver changes nothing, neither the receivers before it nor the deployments."""
    await deployed(tmp_path)
    monkeypatch.setenv(VARIABLE, "https://example.com/hook mailto://nobody")
    with pytest.raises(ConfigurationError, match="GRIDTIDE_NOTIFY: a receiver with the scheme mailto is not one"):
        await register_deployments(
            parse(scheduled("hourly", "a", "more")), tmp_path / "api_config.json", None, False, POOL
        )
    async with get_client() as client:
        assert await read_receivers(client) == []
        assert (await client.read_deployment_by_name("ingest/hourly")).parameters["select"] == ["a"]


@pytest.mark.usefixtures("nobody")
async def test_automations_are_changed_only_where_they_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Automations that only notify exist only with a receiver; a second deploy changes nothing, and disabled ones
    stay disabled."""
    acting = await deployed(tmp_path)
    assert sorted(acting) == ["gridtide: undelivered", "gridtide: zombie"]
    monkeypatch.setenv(VARIABLE, "https://example.com/hook?key=1")
    all_of_them = await deployed(tmp_path)
    assert len(all_of_them) == 13
    async with get_client() as client:
        late = (await client.read_automations_by_name("gridtide: run late"))[0]
        await client.pause_automation(late.id)
    assert set((await deployed(tmp_path)).values()) == {"unchanged"}
    monkeypatch.setenv(VARIABLE, "https://example.com/other")
    assert set((await deployed(tmp_path)).values()) == {"unchanged"}
    async with get_client() as client:
        assert not (await client.read_automation(late.id)).enabled  # type: ignore[union-attr]  # it is there


@pytest.mark.usefixtures("nobody")
async def test_who_is_named_no_more_is_told_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that the variable no longer names is removed from server and automations; without the variable,
    receivers stay."""
    monkeypatch.setenv(VARIABLE, "https://example.com/one https://example.com/other")
    await deployed(tmp_path)
    async with get_client() as client:
        monkeypatch.setenv(VARIABLE, "https://example.com/one")
        changes = {change.name: change.action for change in await apply_notifications(client, read_receiver_blocks())}
        assert (changes["gridtide-notify-2"], changes["gridtide: run failed"]) == ("removed", "changed")
        monkeypatch.delenv(VARIABLE)
        assert {change.action for change in await apply_notifications(client, read_receiver_blocks())} == {"unchanged"}
        [kept] = await read_receivers(client)
        [failed] = await client.read_automations_by_name("gridtide: run failed")
        assert [str(action.block_document_id) for action in failed.actions] == [kept.block]  # type: ignore[union-attr]


def test_what_was_not_delivered_is_of_those_that_tell() -> None:
    """A failed delivery of every automation with receivers, and of no other, starts the flow `notify`."""
    files = [yaml.safe_load(path.read_text()) for path in AUTOMATIONS.glob("*.yaml")]
    [match] = [data["trigger"]["match"] for data in files if data["name"] == f"{PREFIX}undelivered"]
    about = {
        data["name"]: {"prefect.resource.id": "prefect.automation.1", "prefect.resource.name": data["name"]}
        for data in files
    }
    started = {name for name, one in about.items() if ResourceSpecification(match).matches(Resource(one))}
    assert started == {data["name"] for data in files if "notify" in data}


def test_a_receiver_that_is_none_is_refused_without_its_secret() -> None:
    """The message names the scheme of an invalid receiver, not its URL."""
    with pytest.raises(ConfigurationError, match="GRIDTIDE_NOTIFY: a receiver with the scheme gopher") as caught:
        build_receiver_block("gopher://me:planted@example.com")
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "known_as"),
    [
        ("https://example.com/hook?sig=a%2Bb", "jsons://example.com/hook?-sig=a%2Bb"),
        ("https://hooks.slack.com/services/T1/B2/c3", "https://hooks.slack.com/services/T1/B2/c3"),
        ("mailtos://u:p@example.com?to=you@example.com", "mailtos://u:p@example.com?to=you@example.com&format=text"),
    ],
)
def test_receivers_are_handed_on_to_apprise(url: str, known_as: str) -> None:
    """A webhook gets JSON and keeps its query, Slack is recognised by its host, and e-mails keep their lines."""
    if "slack" in url:
        url = known_as = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert build_receiver_block(url).url.get_secret_value() == known_as
