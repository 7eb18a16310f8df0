"""Delivers the notifications that automations could not: failed ones, those of a burst, and recoveries.

automations ─► receiver            at once, even when no worker runs
     └ events ─► notify ─► deliver ─► receiver     one message with all pending notices, retried until it is delivered
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

from flows.run.local_flow import local_flow
from gridtide.errors import GridtideError
from tasks.notify.deliver import Receiver, deliver, read_receivers


@local_flow(name="notify")
async def notify(hours: float = 24) -> dict[str, Any]:
    """Send every receiver its pending notices in one message.

    Returns the number of notices by receiver. Raises `GridtideError` if a receiver could not be reached for half an
    hour, after all others have their message; the next run tries again.

    Args:
        hours: The age in hours up to which troubles are notified of.
    """
    async with get_client() as client:
        receivers = await read_receivers(client)
    results = await asyncio.gather(*(_notify_receiver(receiver, timedelta(hours=hours)) for receiver in receivers))
    failed = [str(result) for result in results if isinstance(result, BaseException)]
    if failed:
        raise GridtideError("notify", "; ".join(failed), "The next run delivers the pending notices")
    counts = {receiver.name: result for receiver, result in zip(receivers, results, strict=True)}
    delivered = ", ".join(f"{count} to {name}" for name, count in counts.items())
    get_run_logger().info("Delivered notices: %s", delivered or "there are no receivers")
    return counts


async def _notify_receiver(receiver: Receiver, window: timedelta) -> Any:
    """The number of notices that the receiver got, or the error of the delivery."""
    state: State[int] = await deliver(receiver, window, return_state=True)  # type: ignore[misc]  # its type is a State, not an awaitable of one
    return await state.aresult(raise_on_failure=False)
