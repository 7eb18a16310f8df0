"""The HTTP client: one pool of connections per run, with rate limits, retries and redaction.

A request is retried here over seconds (connection errors, resets, timeouts, truncated or unreadable bodies, 202, 429,
5xx); a longer failure is raised for the caller, which waits longer. Credentials are never sent to another host, and are
removed from every body and message.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import IO, TypeVar
from urllib.request import getproxies

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from gridtide.entries.entry import Entry
from gridtide.errors import (
    ConfigurationError,
    CredentialsError,
    StorageError,
    UpstreamError,
)
from gridtide.http.attempts import ask_repeatedly
from gridtide.http.clocks import UpstreamClocks
from gridtide.http.credentials import Credentials, build_credentials
from gridtide.http.error_statuses import classify_status
from gridtide.http.failures import AnswerProgress, explain_errors, time_limits
from gridtide.http.limits import Limiter, LocalLimiter
from gridtide.http.logins import Logins
from gridtide.http.tls import TrustedAuthorities
from gridtide.http.tracing import trace_request
from gridtide.sources.contract import Request, Response
from gridtide.sources.registry import get_source
from gridtide.threads import run_blocking

T = TypeVar("T")


REDIRECTS = (301, 302, 303, 307, 308)


BODY_LIMIT = 512 * 2**20
"""The largest decompressed body that is accepted, in bytes."""


RECEIVED_IN_MEMORY = 4 * 2**20
"""The most bytes of a body that are held in memory, where its source reads larger ones from a file."""


READ_HEADERS = (
    *("content-type", "content-length", "transfer-encoding", "link", "x-total-count", "last-modified", "date"),
)
"""Response headers that tell how the response is to be read."""

PAGE_HEADERS = re.compile(
    r"content-range|total-count|x-(wp-)?(total|count|record|result|row|item|page|pagination|has-more|next)[\w-]*"
)
"""And those, in lower case, that may tell whether it is one page of several."""


class Http:
    """The sessions of one run; use it as an async context manager.

    `secrets` maps the environment variables named by entries to their values, and `secret:NAME` to the value of the
    Secret block NAME.
    """

    def __init__(self, secrets: Mapping[str, str], limiter: Limiter | None = None) -> None:
        self._secrets = secrets
        self._limiter = limiter or LocalLimiter()
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._used_up: set[str] = set()
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._connector: aiohttp.TCPConnector | None = None
        self._logins = Logins(secrets)
        self._trusted = TrustedAuthorities()
        self._clocks = UpstreamClocks()

    async def __aenter__(self) -> Http:
        # One pool of connections for all entries, as several entries ask the same host.
        self._connector = aiohttp.TCPConnector(limit=256, limit_per_host=64)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for session in self._sessions.values():
            await session.close()
        if self._connector is not None:
            await self._connector.close()

    def add_clock(self, host: str, offset: timedelta) -> None:
        """Adds another clock, such as the store's, to those of the upstreams; this clock is ahead of it by `offset`."""
        self._clocks.add(host, offset)

    async def fetch(self, entry: Entry, request: Request, read: Callable[[Response], Awaitable[T]]) -> T:
        """Returns what `read` makes of the response to `request`; at most `concurrency` requests of an entry run at a
        time.

        Request and `read` are tried up to `entry.retries` times while the error may pass, also an error of `read`.
        Raises the last error: `CredentialsError`, `QuotaError`, `UpstreamError`, `ConfigurationError` for 400 and 404,
        or an error of `read`. Raises `ClockError`, and reads nothing, if the clocks of upstreams show that the local
        clock is wrong.
        """

        async def ask() -> Response:
            with trace_request(entry, request):
                answer = await self._ask_with_credentials(entry, request)
            return replace(answer, is_undated=not self._clocks.is_confirmed)

        def check_clock() -> None:
            # Before the answer is parsed: with a wrong clock its rows would be stored under wrong times.
            self._clocks.check(entry.name)

        slots = self._slots.setdefault(entry.name, asyncio.Semaphore(entry.concurrency))
        return await ask_repeatedly(entry, slots, ask, read, check_clock, self._used_up)

    async def _ask_with_credentials(self, entry: Entry, request: Request) -> Response:
        """Makes one attempt; a refused token is renewed once, because an upstream may end it early."""
        session = self._session(entry)
        tokens = await self._logins.tokens(entry, session)
        credentials = build_credentials(entry, self._secrets, tokens)
        started = time.monotonic()
        if entry.rate_limit is not None:
            await self._limiter.acquire(entry.rate_limit)
        waited = time.monotonic() - started
        try:
            return replace(await self._ask(session, entry, request, credentials), wait_seconds=waited)
        except CredentialsError:
            if not tokens:
                raise
        self._logins.forget(tokens)
        credentials = build_credentials(entry, self._secrets, await self._logins.tokens(entry, session))
        return await self._ask(session, entry, request, credentials)

    def _session(self, entry: Entry) -> aiohttp.ClientSession:
        """Returns the session of `entry`, which has only its cookies; connections are shared."""
        if self._connector is None:
            raise RuntimeError("Http is used as an async context manager")
        if entry.name not in self._sessions:
            self._sessions[entry.name] = aiohttp.ClientSession(
                connector=self._connector,
                connector_owner=False,
                headers={"User-Agent": "gridtide"},
                trust_env=bool(getproxies()),  # without a proxy, aiohttp would still read .netrc for every request
                cookie_jar=aiohttp.CookieJar(unsafe=True),  # also for hosts that are IP addresses
            )
        return self._sessions[entry.name]

    async def _ask(
        self, session: aiohttp.ClientSession, entry: Entry, request: Request, credentials: Credentials
    ) -> Response:
        """Makes one attempt, following redirects; credentials are sent only to their host."""
        retrieved_at = datetime.now(UTC)
        with explain_errors(entry, request.label, request.url, credentials) as progress:
            url = home = URL(request.url).extend_query(list(request.params))
            method, body = ("POST", request.body) if entry.method == "POST" else ("GET", None)
            tls = self._trusted.context(entry)
            # Redirects are followed here: aiohttp would send keys in headers of their own to the next host too.
            for _ in range(6):
                headers = CIMultiDict(entry.headers)
                headers.update(request.headers)
                if _is_same_site(home, url):
                    headers.update(credentials.headers)
                    url = url.update_query(credentials.params) if credentials.params else url
                else:  # a redirect may repeat the query of the request
                    url = url.without_query_params(*credentials.params)
                async with session.request(
                    method, url, headers=headers, data=body, ssl=tls, timeout=time_limits(entry), allow_redirects=False
                ) as response:
                    target = response.headers.get("Location")
                    if response.status in REDIRECTS and target:
                        url = url.join(URL(target))
                        # A POST becomes a GET after 301, 302 and 303, as in browsers; 307 and 308 keep the method.
                        if response.status < 307:
                            method, body = "GET", None
                        continue
                    if entry.compare_clock:
                        self._clocks.compare(response.url.host or "", response.headers, retrieved_at, datetime.now(UTC))
                    return await _read_response(entry, request, response, credentials, retrieved_at, progress)
        raise UpstreamError(entry.name, f"{home.host} redirects in circles", "Check the url")


async def _read_response(
    entry: Entry,
    request: Request,
    response: aiohttp.ClientResponse,
    credentials: Credentials,
    retrieved_at: datetime,
    progress: AnswerProgress,
) -> Response:
    received = await _receive_body(entry, response, credentials, progress)
    content = received.waiting
    # A body of a few blanks or a line break counts as empty.
    is_empty = response.status == 200 and received.file is None and len(content) < 10 and not content.strip()
    if response.status == 204 or response.status in entry.absent or (is_empty and "empty" in entry.absent):
        return Response(b"", retrieved_at, response.content_type, absent=True, status=response.status)
    message = credentials.redacted_message(content) if response.status != 200 else b""
    error = classify_status(entry, request.label, response.status, response.headers, message)
    if error is not None:
        raise error
    headers = {
        name: credentials.redacted_text(_get_header(response.headers, name))
        for name in dict.fromkeys(map(str.lower, response.headers))
        if name in READ_HEADERS or PAGE_HEADERS.fullmatch(name)
    }
    file = received.file
    if file is not None:
        return Response(b"", retrieved_at, response.content_type, headers=headers, status=response.status, file=file)
    body = credentials.redacted(content)
    return Response(body, retrieved_at, response.content_type, headers=headers, status=response.status)


def _get_header(headers: Mapping[str, str], name: str) -> str:
    """Returns the header `name`; of several with links, all of them."""
    return ", ".join(CIMultiDict(headers).getall(name)) if name == "link" else headers[name]


async def _receive_body(
    entry: Entry, response: aiohttp.ClientResponse, credentials: Credentials, progress: AnswerProgress
) -> _ReceivedBody:
    """Receives the body, in a file if it is large and its source reads files."""
    to_file = response.status == 200 and entry.tabular and get_source(entry.source).READS_FILES
    body, chunks, size = _ReceivedBody(entry.name, credentials), [], 0
    async for chunk in response.content.iter_any():
        progress.bytes += len(chunk)
        if progress.bytes > BODY_LIMIT:
            happened = f"the answer of {response.url.host} is larger than {BODY_LIMIT >> 20} MiB"
            raise ConfigurationError(entry.name, happened, 'Ask for less at a time: shorten "chunk"')
        chunks.append(chunk)
        size += len(chunk)
        if to_file and size > RECEIVED_IN_MEMORY and b"\n" in chunk:
            await run_blocking(body.write, b"".join(chunks))
            chunks, size = [body.waiting], len(body.waiting)
    body.waiting = b"".join(chunks)
    if body.file is not None:
        await run_blocking(body.complete)
    return body


class _ReceivedBody:
    """A body of the entry with the name `entry`: its bytes `waiting`, and a file with those before them, which are free
    of `credentials`. The lines of the file are whole until it is complete, as a credential lies within one."""

    def __init__(self, entry: str, credentials: Credentials) -> None:
        self.entry, self.credentials = entry, credentials
        self.waiting = b""
        self.file: IO[bytes] | None = None

    def write(self, content: bytes) -> None:
        """Writes the whole lines of `content`; the rest is waiting."""
        end = content.rfind(b"\n") + 1
        self._append(content[:end])
        self.waiting = content[end:]

    def complete(self) -> None:
        """Writes what is waiting."""
        self._append(self.waiting)
        self.waiting = b""

    def _append(self, content: bytes) -> None:
        try:
            if self.file is None:
                self.file = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the response
            self.file.write(self.credentials.redacted(content))
        except OSError as error:
            happened = f"its answer cannot be written in {tempfile.gettempdir()}: {error}"
            fix = "Free space there, or set TMPDIR to a folder that has some"
            raise StorageError(self.entry, happened, fix) from error


def _is_same_site(home: URL, url: URL) -> bool:
    """Whether `url` may receive the credentials of `home`: the same host and port, or its upgrade to https."""
    if home.host != url.host or (home.scheme, url.scheme) == ("https", "http"):
        return False
    return home.scheme != url.scheme or home.port == url.port
