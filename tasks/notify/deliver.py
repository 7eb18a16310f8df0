"""Telling people what automations could not: read what happened and who was told, tell the rest until it arrives.

The record is the server's own events. An automation that notified leaves one that names the event it was
about and the receiver's block; what is delivered here leaves one of the same form. So each receiver is
told each thing once; twice only where a process is killed between sending and recording.
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
"""What the names of the receivers' blocks begin with."""


RETRY_DELAYS = [5, 10, 20, *[40] * 44]
"""Seconds before each further attempt; what is not delivered after half an hour is left to the next run."""


RECORD_TIMEOUT = 30
"""Seconds to wait for the server to write down what was told."""


@dataclass(frozen=True)
class Receiver:
    """A notify block: its name and its id."""

    name: str
    block: str


async def read_receivers(client: PrefectClient) -> list[Receiver]:
    """The receivers there are."""
    blocks = await client.read_block_documents(include_secrets=False, offset=0, limit=200)
    return [Receiver(one.name, str(one.id)) for one in blocks if one.name and one.name.startswith(RECEIVER_PREFIX)]


@task(
    name="deliver",
    task_run_name="deliver to {receiver.name}",
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,  # type: ignore[arg-type]  # a list of int is one of float
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
        notices = (await read_history(client, since)).untold(receiver.block, since, now)
        if notices:
            await send_message(client, receiver, *compose_message(notices))
            await _record(receiver, notices)
            await _until_recorded(client, receiver, notices[-1], since)
    return len(notices)


async def send_message(client: PrefectClient, receiver: Receiver, subject: str, body: str) -> None:
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
    for _ in range(RECORD_TIMEOUT):
        known = await read_history(client, since)
        if notice.event in (known.told if notice.role == TRIGGERING else known.recovered)[receiver.block]:
            return
        await asyncio.sleep(1)


async def _record(receiver: Receiver, notices: Sequence[Notice]) -> None:
    async with get_events_client() as events:
        for start in range(0, len(notices), MESSAGE_LIMIT):
            about = [
                {"prefect.resource.id": f"prefect.event.{notice.event}", "prefect.resource.role": notice.role}
                for notice in notices[start : start + MESSAGE_LIMIT]
            ]
            block = {
                "prefect.resource.id": f"prefect.block-document.{receiver.block}",
                "prefect.resource.role": "block",
            }
            await events.emit(
                Event(
                    event=NOTIFIED,
                    resource=Resource({"prefect.resource.id": f"gridtide.receiver.{receiver.name}"}),
                    related=[RelatedResource(one) for one in [block, *about]],
                )
            )
