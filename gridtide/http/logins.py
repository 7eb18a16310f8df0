"""Tokens that a login yields: shared by the requests of a run, renewed before they end, never stored."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from gridtide.entries.auth import OAuth
from gridtide.entries.entry import Entry
from gridtide.errors import CredentialsError, FormatError
from gridtide.http.credentials import Login, build_login
from gridtide.http.error_statuses import error_of_status
from gridtide.http.failures import explaining, time_limits

MARGIN = 60.0
"""Seconds before its end from which a token is not used any more: a request may take that long to be read there."""


@dataclass(frozen=True, slots=True, repr=False)
class _Token:
    text: str
    until: float
    """On the monotonic clock."""


class Logins:
    """The tokens of one run, one for each way to log in."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets
        self._tokens: dict[str, _Token] = {}
        self._queues: dict[str, asyncio.Lock] = {}

    async def tokens(self, entry: Entry, session: aiohttp.ClientSession) -> dict[str, str]:
        """A token for each login of `entry`, by its identity; logs in where there is none that lasts.

        Raises `CredentialsError` where a login refuses, and what may pass as `Http.fetch` does.
        """
        tokens = {}
        for auth in entry.auths:
            if isinstance(auth, OAuth):
                async with self._queues.setdefault(auth.identity, asyncio.Lock()):  # many wait for one login
                    token = self._tokens.get(auth.identity)
                    if token is None or token.until <= time.monotonic():
                        token = await _log_in(entry, auth, build_login(entry, auth, self._secrets), session)
                        self._tokens[auth.identity] = token
                    tokens[auth.identity] = token.text
        return tokens

    def forget(self, tokens: Mapping[str, str]) -> None:
        """Log in anew before the next request, unless another has done so since `tokens` were used."""
        for identity, text in tokens.items():
            if identity in self._tokens and self._tokens[identity].text == text:
                del self._tokens[identity]


async def _log_in(entry: Entry, auth: OAuth, login: Login, session: aiohttp.ClientSession) -> _Token:
    label = "the login"
    begun = time.monotonic()
    headers = {"Accept": "application/json", **login.credentials.headers}
    with explaining(entry, label, auth.url, login.credentials):
        async with session.post(
            auth.url, data=dict(login.form), headers=headers, timeout=time_limits(entry), allow_redirects=False
        ) as response:
            body = await response.read()
            if response.status in (400, 401, 403):
                happened = f"the login at {response.url.host} is refused with HTTP {response.status}"
                reason = _read_oauth_error(login.credentials.redacted_message(body))
                raise CredentialsError(
                    entry.name, f"{happened}{reason}", 'Check the client, user and "scope" that "auth" names'
                )
            error = error_of_status(
                entry, label, response.status, response.headers, login.credentials.redacted_message(body)
            )
            if error is not None:
                raise error
    answer = _read_json(body)
    text = answer.get(auth.token)
    if not isinstance(text, str) or not text or not text.isprintable():
        keys = ", ".join(answer) or "none"
        happened = f'the answer of the login has no "{auth.token}" that is a token; its keys are: {keys}'
        raise FormatError(entry.name, happened, 'Name the key that holds the token with "token" in "auth"')
    return _Token(text, begun + _lifetime(answer))


def _lifetime(answer: Mapping[str, Any]) -> float:
    """Seconds for which the token may be used; without a word of its end, until it is refused."""
    try:
        seconds = float(answer.get("expires_in") or "inf")
    except (TypeError, ValueError):
        return float("inf")
    return seconds - min(MARGIN, seconds / 10)


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _read_oauth_error(body: bytes) -> str:
    """The error of RFC 6749, section 5.2, as `: code: description`; empty where there is none."""
    answer = _read_json(body)
    words = [str(answer[key]) for key in ("error", "error_description") if answer.get(key)]
    return "".join(f": {' '.join(word.split())[:300]}" for word in words)
