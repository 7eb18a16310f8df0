"""The upstreams of one run, whatever they are: servers of HTTP and databases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TypeVar

from gridtide.database.client import Databases
from gridtide.entries.entry import Entry
from gridtide.http.client import Http
from gridtide.http.limits import Limiter, LocalLimiter
from gridtide.sources.contract import Request, Response
from gridtide.sources.sql import SCHEME

T = TypeVar("T")


class Upstreams:
    """The connections of one run; use it as an async context manager. `secrets` are those of `Http` and `Databases`."""

    def __init__(self, secrets: Mapping[str, str], limiter: Limiter | None = None) -> None:
        limiter = limiter or LocalLimiter()
        self.http = Http(secrets, limiter)
        self._databases = Databases(secrets, limiter)

    async def __aenter__(self) -> Upstreams:
        await self.http.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.http.__aexit__(*exc)

    def add_clock(self, host: str, offset: timedelta) -> None:
        """Adds another clock to those of the upstreams, as `Http.add_clock` does."""
        self.http.add_clock(host, offset)

    async def fetch(self, entry: Entry, request: Request, read: Callable[[Response], Awaitable[T]]) -> T:
        """Returns what `read` makes of the response to `request`; raises the errors of `Http` and `Databases`."""
        if request.url.startswith(SCHEME):
            return await self._databases.fetch(entry, request, read)
        return await self.http.fetch(entry, request, read)
