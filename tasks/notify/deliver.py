"""Deliver the notifications that automations could not deliver, and those of recoveries.

The events of the server are the record of what was delivered. An automation that notified leaves an event that names
the event of the trouble and the receiver's block; a delivery here emits an event of the same form. So a receiver gets
each notification once; twice only if a process is killed between sending and recording.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import task
from prefect.blocks.abstract import NotificationError
from prefect.blocks.core import Block
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import PrefectClient, get_client
from prefect.events import Event, RelatedResource, Resource
from prefect.events.clients import get_events_client

from gridtide.errors import UpstreamError
from tasks.notify.events import NOTIFIED, TRIGGERING
from tasks.notify.history import MESSAGE_LIMIT, Notice, compose_message, read_history

RECEIVER_PREFIX = "gridtide-notify"
"""The prefix of the names of the receivers' blocks."""


RETRY_DELAYS = [5, 10, 20, *[40] * 44]
"""Seconds before each further attempt, half an hour in total; after that the next run of `notify` goes on."""


RECORD_TIMEOUT = 30
"""Seconds to wait until the server has stored the record of a delivery."""


@dataclass(frozen=True)
class Receiver:
    """A receiver of notifications: the name of its block, and the id of that block."""

    name: str
    block: str


async def read_receivers(client: PrefectClient) -> list[Receiver]:
    """The receivers on the server."""
    blocks = await client.read_block_documents(include_secrets=False, offset=0, limit=200)
    return [
        Receiver(block.name, str(block.id)) for block in blocks if block.name and block.name.startswith(RECEIVER_PREFIX)
    ]


@task(
    name="deliver",
    task_run_name="deliver to {receiver.name}",
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,  # type: ignore[arg-type]  # a list of int is one of float
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def deliver(receiver: Receiver, window: timedelta) -> int:
    """Send `receiver` one message with its pending notices of the last `window`; returns how many there were.

    Each attempt reads the pending notices again, as an automation may have delivered some meanwhile. Raises
    `UpstreamError` if the receiver does not take the message.
    """
    async with get_client() as client:
        now = datetime.now(UTC)
        since = now - window
        notices = (await read_history(client, since)).pending_notices(receiver.block, since, now)
        if notices:
            await send_message(client, receiver, *compose_message(notices))
            await _record(receiver, notices)
            await _wait_until_recorded(client, receiver, notices[-1], since)
    return len(notices)


async def send_message(client: PrefectClient, receiver: Receiver, subject: str, body: str) -> None:
    """Send one message; raises `UpstreamError` if the receiver does not take it."""
    document = await client.read_block_document(receiver.block)  # type: ignore[arg-type]  # takes text as well
    block: Any = Block._from_block_document(document)
    try:
        with block.raise_on_failure():
            await block.anotify(body, subject)
    except NotificationError as error:  # its text may hold the URL, which may be a secret
        raise UpstreamError(
            receiver.name,
            "did not take the notification",
            "Check that it is reachable and that its URL in GRIDTIDE_NOTIFY is right, then gridtide deploy",
        ) from error


async def _wait_until_recorded(client: PrefectClient, receiver: Receiver, notice: Notice, since: datetime) -> None:
    """Wait until the server has stored the record of `notice`.

    It stores events some seconds later; a run that began before would deliver the notice once more.
    """
    for _ in range(RECORD_TIMEOUT):
        history = await read_history(client, since)
        recorded = history.delivered_ids if notice.role == TRIGGERING else history.recovered_ids
        if notice.event in recorded[receiver.block]:
            return
        await asyncio.sleep(1)


async def _record(receiver: Receiver, notices: Sequence[Notice]) -> None:
    block = {"prefect.resource.id": f"prefect.block-document.{receiver.block}", "prefect.resource.role": "block"}
    async with get_events_client() as events:
        # The server limits the related resources of an event.
        for start in range(0, len(notices), MESSAGE_LIMIT):
            notified = [
                {"prefect.resource.id": f"prefect.event.{notice.event}", "prefect.resource.role": notice.role}
                for notice in notices[start : start + MESSAGE_LIMIT]
            ]
            await events.emit(
                Event(
                    event=NOTIFIED,
                    resource=Resource({"prefect.resource.id": f"gridtide.receiver.{receiver.name}"}),
                    related=[RelatedResource(resource) for resource in [block, *notified]],
                )
            )
