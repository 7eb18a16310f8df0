"""Tell what automations could not: what did not arrive, what came in a burst, and what is well again.

automations ─► receiver            at once, also when no worker lives
     └ events ─► notify ─► deliver ─► receiver     one message for all that it was not told, until it arrives
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
    """Tell every receiver what it was not told yet.

    Returns by receiver of how many things it was told. Raises `GridtideError` for those that could not
    be reached in half an hour, after all others were told; the next run tries again.

    Args:
        hours: How far back to look for what was not told.
    """
    async with get_client() as client:
        receivers = await read_receivers(client)
    results = await asyncio.gather(*(_notify_receiver(receiver, timedelta(hours=hours)) for receiver in receivers))
    failed = [str(result) for result in results if isinstance(result, BaseException)]
    if failed:
        raise GridtideError("notify", "; ".join(failed), "What was not told is told by the next run")
    counts = {receiver.name: result for receiver, result in zip(receivers, results, strict=True)}
    get_run_logger().info("Told %s", ", ".join(f"{name} of {count}" for name, count in counts.items()) or "nobody")
    return counts


async def _notify_receiver(receiver: Receiver, window: timedelta) -> Any:
    """Of how many things the receiver was told, or why it was not."""
    state: State[int] = await deliver(receiver, window, return_state=True)  # type: ignore[misc]  # it says a State, not what gives one
    return await state.aresult(raise_on_failure=False)
