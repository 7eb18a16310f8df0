"""Rate limits that hold across all processes that use one Prefect server.

    process A ─► joins limit "eia" ─► 1 slot of 2 ─► half of the rate, which A applies by itself
    process B ─► joins limit "eia" ─► 1 slot of 2 ─► half of the rate, which B applies by itself

Each process that sends requests under a limit holds one slot of a global concurrency limit, and all processes see
how many slots are held. Prefect's own rate limits grant requests one by one: under contention they let through half of
the rate, because every refusal restarts the decay of their slots. A slot is leased: the share of a process that dies
goes to the other processes within about a minute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import TracebackType
from uuid import UUID

from httpx import HTTPError
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectException
from prefect.logging import get_logger

from gridtide.entries.entry import RateLimit
from gridtide.http.limits import LocalLimiter

MEMBERS = 1000
"""Processes that can share one limit."""


POLL = 1.0
"""Seconds between two requests for the number of processes that share a limit."""


SETTLE = 2 * POLL
"""Seconds that a process waits after it joined others, until all of them have seen it."""


IDLE = 10.0
"""Seconds without a request after which a process gives up its share."""


LEASE = 60.0
"""Seconds of the lease of a slot, the shortest that Prefect allows; it is renewed after a third of them."""


logger = get_logger("gridtide.quota")


class SharedLimiter:
    """A limiter for all processes of one Prefect server; use it as an async context manager.

    While the server does not answer, this process applies the whole limit by itself, and logs a warning.
    """

    def __init__(self) -> None:
        self._local = LocalLimiter()
        self._memberships: dict[str, _Membership] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> SharedLimiter:
        self._client = await self._stack.enter_async_context(get_client())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(membership.leave() for membership in self._memberships.values()))
        await self._stack.aclose()

    async def acquire(self, limit: RateLimit) -> None:
        """Wait until a request under `limit` may be sent."""
        membership = self._memberships.setdefault(limit.name, _Membership(self._client, limit.name))
        async with membership.used():
            await self._local.acquire(limit, membership.share)


class _Membership:
    """This process's slot of one limit."""

    def __init__(self, client: PrefectClient, limit: str) -> None:
        self._client = client
        self._name = f"gridtide-{limit}"
        self._joining = asyncio.Lock()
        self._lease: UUID | None = None
        self._follower: asyncio.Task[None] | None = None
        self._members = 1
        self._waiting = 0
        self._used = self._renewed = 0.0
        self._alone = False

    def share(self) -> float:
        """The share of the limit that this process may use."""
        return 1 / self._members

    @asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """Hold a slot while a request of this process waits, and `IDLE` seconds longer."""
        self._waiting += 1
        try:
            await self._join()
            yield
        finally:
            self._waiting -= 1
            self._used = time.monotonic()

    async def leave(self) -> None:
        """Release the slot."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        await self._give_back()

    async def _join(self) -> None:
        async with self._joining:
            if self._follower is not None and not self._follower.done():
                return
            await self._call_server(self._count)
            self._follower = asyncio.create_task(self._follow())
            if self._members > 1:  # the others still send at their old shares, until they count again
                await asyncio.sleep(SETTLE)

    async def _follow(self) -> None:
        """Update the number of processes and renew the lease, until no request was sent for `IDLE` seconds."""
        while self._waiting or time.monotonic() < self._used + IDLE:
            await asyncio.sleep(POLL)
            await self._call_server(self._count)
        await self._give_back()

    async def _count(self) -> None:
        if self._lease is None:  # no lease yet, or it was lost
            await self._take()
        elif time.monotonic() > self._renewed + LEASE / 3:
            # Without an answer it is unknown whether the lease still holds, so a new one is taken then.
            lease, self._lease = self._lease, None
            await self._client.renew_concurrency_lease(lease, LEASE)
            self._lease, self._renewed = lease, time.monotonic()
        concurrency_limit = await self._client.read_global_concurrency_limit_by_name(self._name)
        self._members = max(1, concurrency_limit.active_slots)

    async def _take(self) -> None:
        try:
            await self._client.read_global_concurrency_limit_by_name(self._name)
        except ObjectNotFound:
            with suppress(ObjectAlreadyExists):  # another process created it
                await self._client.create_global_concurrency_limit(
                    GlobalConcurrencyLimitCreate(name=self._name, limit=MEMBERS, active=True)
                )
        answer = await self._client.increment_concurrency_slots_with_lease([self._name], 1, "concurrency", LEASE)
        self._lease, self._renewed = UUID(answer.json()["lease_id"]), time.monotonic()

    async def _give_back(self) -> None:
        lease, self._lease, self._members = self._lease, None, 1
        if lease is not None:
            await self._call_server(lambda: self._client.release_concurrency_slots_with_lease(lease))

    async def _call_server(self, call: Callable[[], Awaitable[object]]) -> None:
        """Await `call`; that the server does not answer is logged once, until it answers again."""
        try:
            await call()
            self._alone = False
        except (HTTPError, PrefectException) as error:
            if not self._alone:
                logger.warning(
                    "%s: this process applies the whole limit by itself, as the Prefect server failed: %s",
                    self._name,
                    error,
                )
            self._alone = True
