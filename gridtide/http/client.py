"""The one door to the network: one pooled session per run, polite, patient and discreet.

A request is retried here over seconds (connection errors, resets, time-outs, cut or unreadable
bodies, 429, 5xx); what outlasts that is raised for the caller's longer patience. Credentials travel
in headers, never to another host, and are cut out of every body and message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar
from urllib.request import getproxies

import aiohttp
import tenacity
from yarl import URL

from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, GridtideError, QuotaError, UpstreamError
from gridtide.http.credentials import Credentials, build_credentials
from gridtide.http.error_statuses import error_of_status
from gridtide.http.limits import Limiter, LocalLimiter
from gridtide.sources.contract import Request

T = TypeVar("T")


BODY_LIMIT = 512 * 2**20
"""Bytes of a decompressed body beyond which it is refused."""


LONGEST_WAIT = 120.0
"""Seconds a request waits in place when told to; a longer wait is for the caller."""


@dataclass(frozen=True, slots=True)
class Response:
    """A successful answer, free of credentials; `retrieved_at` is when it was asked for, `attempt`
    which attempt it was, from 1."""

    body: bytes
    retrieved_at: datetime
    content_type: str
    attempt: int = 1


class Http:
    """The session of one run; use it as an async context manager.

    `secrets` maps the environment variables that entries name to their values, and `secret:NAME`
    to the value of the Secret block NAME.
    """

    def __init__(self, secrets: Mapping[str, str], limiter: Limiter | None = None) -> None:
        self._secrets = secrets
        self._limiter = limiter or LocalLimiter()
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Http:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=256, limit_per_host=64),
            headers={"User-Agent": "gridtide"},
            trust_env=bool(getproxies()),  # where there is no proxy, aiohttp would still read .netrc for every request
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, entry: Entry, request: Request, read: Callable[[Response], Awaitable[T]]) -> T:
        """What `read` makes of the answer to `request`; of an entry at most `concurrency` are asked at a time.

        Both are tried up to `entry.retries` times while the error is one that may pass, also one
        that `read` raises. Raises the last error: `CredentialsError`, `QuotaError`,
        `UpstreamError`, `ConfigurationError` for 400 and 404, or what `read` raises.
        """
        credentials = build_credentials(entry.name, entry.auth, self._secrets)
        attempts = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(entry.retries),
            retry=tenacity.retry_if_exception(_worth_waiting),
            wait=_wait,
            reraise=True,
        )
        slots = self._slots.setdefault(entry.name, asyncio.Semaphore(entry.concurrency))
        async for attempt in attempts:
            with attempt:
                async with slots:  # not while reading or waiting: the next request leaves meanwhile
                    if entry.rate_limit is not None:
                        await self._limiter.acquire(entry.rate_limit)
                    answer = await self._ask(entry, request, credentials)
                return await read(replace(answer, attempt=attempt.retry_state.attempt_number))
        raise AssertionError("tenacity ends by returning or raising")

    async def _ask(self, entry: Entry, request: Request, credentials: Credentials) -> Response:
        """One attempt, following redirects; credentials stay with the host they are for."""
        if self._session is None:
            raise RuntimeError("Http is used as an async context manager")
        retrieved_at = datetime.now(UTC)
        url = URL(request.url).extend_query(list(request.params))
        home = url
        timeout = aiohttp.ClientTimeout(
            total=10 * entry.timeout, sock_connect=min(entry.timeout, 15), sock_read=entry.timeout
        )
        try:
            for _ in range(6):
                headers = {**dict(request.headers), **(credentials.headers if _same_site(home, url) else {})}
                async with self._session.get(url, headers=headers, timeout=timeout, allow_redirects=False) as response:
                    target = response.headers.get("Location")
                    if response.status in (301, 302, 303, 307, 308) and target:
                        url = url.join(URL(target))
                        continue
                    body = credentials.redacted(await _body(entry, response))
                    refused = error_of_status(entry.name, request.label, response.status, response.headers, body)
                    if refused is not None:
                        raise refused
                    return Response(body, retrieved_at, response.content_type)
        except (ValueError, aiohttp.NonHttpUrlClientError, aiohttp.ClientConnectorCertificateError) as error:
            # A host or a redirect that is no URL is a ValueError, aiohttp's or yarl's own.
            raise ConfigurationError(entry.name, f"{home.host} cannot be asked: {error}", "Correct the url") from error
        except aiohttp.ClientConnectorError as error:
            happened = f"{home.host}:{home.port} cannot be reached: {error.os_error.strerror or error.os_error}"
            raise UpstreamError(entry.name, happened, "Check the url and the network") from error
        except TimeoutError as error:
            happened = f"{request.label}: no answer from {home.host} within {entry.timeout:g} s"
            raise UpstreamError(entry.name, happened, 'Try again later, or raise "timeout"') from error
        except (aiohttp.ClientError, OSError) as error:
            happened = f"{request.label}: the answer of {home.host} broke off: {type(error).__name__}: {error}"
            raise UpstreamError(entry.name, credentials.redacted_text(happened), "Try again later") from error
        raise UpstreamError(entry.name, f"{home.host} redirects in circles", "Check the url")


async def _body(entry: Entry, response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > BODY_LIMIT:
            happened = f"the answer of {response.url.host} is larger than {BODY_LIMIT >> 20} MiB"
            raise ConfigurationError(entry.name, happened, 'Ask for less at a time: shorten "chunk"')
        parts.append(part)
    return b"".join(parts)


def _same_site(home: URL, url: URL) -> bool:
    """Whether `url` may see the credentials of `home`: the same host and port, or its upgrade to https."""
    if home.host != url.host or (home.scheme, url.scheme) == ("https", "http"):
        return False
    return home.scheme != url.scheme or home.port == url.port


def _worth_waiting(error: BaseException) -> bool:
    if not isinstance(error, GridtideError) or not error.retryable:
        return False
    return not isinstance(error, QuotaError) or (error.wait or 0) <= LONGEST_WAIT


_backoff = tenacity.wait_exponential_jitter(multiplier=0.25, max=20, jitter=0.25)


def _wait(state: tenacity.RetryCallState) -> float:
    """As long as the upstream says, else exponentially longer with jitter."""
    error = state.outcome.exception() if state.outcome else None
    wait = error.wait if isinstance(error, QuotaError) else None
    # Requests that were refused together do not come back together.
    return _backoff(state) if wait is None else wait + _backoff(state) / 10
