"""The one door to the network: one pooled session per run, polite, patient and discreet.

A request is retried here over seconds (connection errors, resets, time-outs, cut or unreadable
bodies, 429, 5xx); what outlasts that is raised for the caller's longer patience. Credentials travel
in headers, never to another host, and are cut out of every body and message.
"""

from __future__ import annotations

import asyncio
import base64
import html
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar
from urllib.parse import quote
from urllib.request import getproxies

import aiohttp
import tenacity
from yarl import URL

from gridtide.config import Auth, BasicAuth, Entry, KeyAuth, Rate, RateLimit
from gridtide.errors import ConfigurationError, CredentialsError, GridtideError, QuotaError, UpstreamError
from gridtide.patience import asked_to_wait
from gridtide.sources import Request

T = TypeVar("T")

BODY_LIMIT = 512 * 2**20
"""Bytes of a decompressed body beyond which it is refused."""

PATIENCE = 120.0
"""Seconds a request waits in place when told to; a longer wait is for the caller."""

SHORT = 8
"""Characters below which a secret could stand in data by chance."""

PACED = 10.0
"""Windows of at most these seconds are kept by even spacing, longer ones by counting."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer, free of credentials; `retrieved_at` is when it was asked for, `attempt`
    the how manieth try it took."""

    body: bytes
    retrieved_at: datetime
    content_type: str
    attempt: int = 1


class Limiter(Protocol):
    """Lets requests through no faster than a rate limit allows."""

    async def acquire(self, limit: RateLimit) -> None:
        """Return when one more request under `limit` may leave."""
        ...


class LocalLimiter:
    """A limiter for the entries of one process.

    Short windows are kept by even spacing: a burst at the end of one window and the start of the
    next would exceed a token bucket at the upstream by the network's jitter.
    """

    def __init__(self) -> None:
        self._queues: dict[str, asyncio.Lock] = {}
        self._sent: dict[tuple[str, str], deque[float]] = {}

    async def acquire(self, limit: RateLimit, share: Callable[[], float] = lambda: 1.0) -> None:
        """Return when one more request under `limit` may leave, in the order of asking; `share` (0 to 1) says
        what part of the limit is this process's when its turn comes."""
        clock = asyncio.get_running_loop().time
        async with self._queues.setdefault(limit.name, asyncio.Lock()):
            for text in limit.rates:
                rate = Rate.parse(text)
                sent = self._sent.setdefault((limit.name, text), deque(maxlen=rate.count))
                slots, window = max(1, int(rate.count * share())), rate.seconds
                if rate.seconds <= PACED:
                    slots, window = 1, rate.seconds / rate.count / share()
                if len(sent) >= slots:
                    await asyncio.sleep(sent[-slots] + window - clock())
            now = clock()
            for text in limit.rates:
                self._sent[limit.name, text].append(now)


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

    async def fetch(self, entry: Entry, request: Request, read: Callable[[Answer], Awaitable[T]]) -> T:
        """What `read` makes of the answer to `request`; of an entry at most `concurrency` are asked at a time.

        Both are tried up to `entry.retries` times while the error is one that may pass, also one
        that `read` raises. Raises the last error: `CredentialsError`, `QuotaError`,
        `UpstreamError`, `ConfigurationError` for 400 and 404, or what `read` raises.
        """
        credentials = authorization(entry.name, entry.auth, self._secrets)
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

    async def _ask(self, entry: Entry, request: Request, credentials: Credentials) -> Answer:
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
                    refused = refusal(entry.name, request.label, response.status, response.headers, body)
                    if refused is not None:
                        raise refused
                    return Answer(body, retrieved_at, response.content_type)
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


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """The headers that carry an entry's credentials, and the texts that must not be seen."""

    headers: Mapping[str, str]
    hidden: tuple[str, ...] = ()

    def redacted(self, body: bytes) -> bytes:
        """`body` without the credentials, in any spelling JSON, a URL or HTML would give them.

        A short one is cut out only where it is a whole string or parameter: it may be part of a date or a value.
        """
        for secret in self.hidden:
            if len(secret) >= SHORT:
                body = _without(secret, body)
            else:
                body = re.sub(rb'(?<=["=])%b(?=["&\s]|$)' % _spelled(secret), b"REDACTED", body)
        return body

    def redacted_text(self, text: str) -> str:
        """`text` without the credentials."""
        said = text.encode()
        for secret in self.hidden:
            said = _without(secret, said)
        return said.decode()


def _without(secret: str, text: bytes) -> bytes:
    """`text` without `secret`, which is mostly not in it: what every spelling leaves as it is is looked for first."""
    plain = max(re.findall("[A-Za-z0-9]*", secret), key=len).encode()
    if plain not in text:
        return text
    if plain == secret.encode():
        return text.replace(plain, b"REDACTED")
    return re.sub(_spelled(secret), b"REDACTED", text)


def _spelled(secret: str) -> bytes:
    """A pattern of the ways in which JSON, URLs and HTML spell `secret`, also one within the other."""
    return "".join(map(_spelled_character, secret)).encode()


def _spelled_character(one: str) -> str:
    if one.isascii() and one.isalnum():
        return one
    number = ord(one)
    in_json, in_url, in_html = json.dumps(one)[1:-1], quote(one, safe=""), html.escape(one)
    ways = [rf"\\*{re.escape(one)}", re.escape(in_json), rf"\\+u{number:04x}", in_url, re.escape(in_html)]
    ways += [f"&#{number};", f"&#x{number:x};", *([r"\+"] if one == " " else [])]
    return f"(?i:{'|'.join(ways)})"


def authorization(entry: str, auth: Auth, secrets: Mapping[str, str]) -> Credentials:
    """The credentials that `auth` names, from `secrets`.

    Raises `CredentialsError` that says which variable or block is missing, or holds what no header can.
    """

    def secret(name: str) -> str:
        value = secrets.get(name)
        if value and value.isprintable():
            return value
        kind, fix = "environment variable", "Set it in the environment or in .env"
        if name.startswith("secret:"):
            kind, fix = "Prefect Secret block", "Set it in the UI under Blocks"
        wrong = "holds a line break, or something else that is no text" if value else "is not set"
        raise CredentialsError(entry, f"the {kind} {name.removeprefix('secret:')} {wrong}", fix)

    match auth:
        case KeyAuth():
            key = secret(f"secret:{auth.secret}" if auth.secret else auth.env or "")
            headers = {"X-Api-Key": key} if auth.kind == "api_key" else {"Authorization": f"Bearer {key}"}
            return Credentials(headers, (key,))
        case BasicAuth():
            if auth.secret:
                pair = secret(f"secret:{auth.secret}")
            else:
                pair = f"{auth.username or secret(auth.username_env)}:{secret(auth.password_env)}"
            encoded = base64.b64encode(pair.encode()).decode()
            return Credentials({"Authorization": f"Basic {encoded}"}, (encoded, pair.partition(":")[2]))
    return Credentials({})


def refusal(entry: str, label: str, status: int, headers: Mapping[str, str], body: bytes) -> GridtideError | None:
    """The error that an answer of this status means, None for success."""
    if 200 <= status < 300:
        return None
    said = _said(body)
    happened = f"{label}: HTTP {status}" + (f", the upstream says: {said}" if said else "")
    if status == 429 or "OVER_RATE_LIMIT" in said:
        return QuotaError(
            entry, happened, 'Ask less often: lower the rates in "rate_limit"', wait=_told_wait(headers, said)
        )
    if status in (401, 403):
        return CredentialsError(entry, happened, 'Check the credentials that "auth" names')
    if (status >= 500 and not _means_not_found(body)) or status in (408, 425):
        return UpstreamError(entry, happened, "Try again later")
    return ConfigurationError(entry, happened, 'Correct "url" or "params"')


def _said(body: bytes) -> str:
    """What an error body says, on one short line: the message of a JSON or the text of an HTML."""
    text = body[:4000].decode(errors="replace")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(re.sub(r"<[^>]*>", " ", text).split())[:300]
    if isinstance(said, dict):
        said = next((said[key] for key in ("reason", "error", "message") if key in said), said)
    if isinstance(said, dict):
        said = ": ".join(str(said[key]) for key in ("code", "message") if key in said) or json.dumps(said)
    return str(said)[:300]


def _means_not_found(body: bytes) -> bool:
    """Whether the body is EIA's `{"error": …, "code": 404}`, which arrives under HTTP 500."""
    try:
        said = json.loads(body[:4000])
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("code") in (400, 404)


def _told_wait(headers: Mapping[str, str], said: str) -> float | None:
    """Seconds the upstream asks us to wait, in Retry-After or in words."""
    after = headers.get("Retry-After", "").strip()
    if after.isdecimal():
        return float(after)
    if after:
        try:
            return max(0.0, (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError):
            return None
    return asked_to_wait(said, datetime.now(UTC))


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
    return not isinstance(error, QuotaError) or (error.wait or 0) <= PATIENCE


_backoff = tenacity.wait_exponential_jitter(multiplier=0.25, max=20, jitter=0.25)


def _wait(state: tenacity.RetryCallState) -> float:
    """As long as the upstream says, else exponentially longer with jitter."""
    error = state.outcome.exception() if state.outcome else None
    told = error.wait if isinstance(error, QuotaError) else None
    return _backoff(state) if told is None else told + _backoff(state) / 10
