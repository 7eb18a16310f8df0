"""Tokens from logins: shared by the requests of a run, renewed before they expire, never stored."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from gridtide.entries.auth import OAuth, list_secret_names
from gridtide.entries.entry import Entry
from gridtide.errors import CredentialsError, FormatError
from gridtide.http.credentials import Login, build_login
from gridtide.http.error_statuses import classify_status
from gridtide.http.failures import explain_errors, time_limits

MARGIN = 60.0
"""A token is not used in its last seconds, because a request may take that long to be read by the upstream."""


@dataclass(frozen=True, slots=True, repr=False)
class _Token:
    text: str
    until: float
    """Expiry on the monotonic clock."""


class Logins:
    """The tokens of one run, one per login."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets
        self._tokens: dict[str, _Token] = {}
        self._queues: dict[str, asyncio.Lock] = {}

    async def tokens(self, entry: Entry, session: aiohttp.ClientSession) -> dict[str, str]:
        """Returns a token for each login of `entry`, by its identity; logs in if there is no valid token.

        Raises `CredentialsError` if a login is refused, and errors that may pass as `Http.fetch` does.
        """
        tokens = {}
        for auth in entry.auths:
            if isinstance(auth, OAuth):
                async with self._queues.setdefault(auth.identity, asyncio.Lock()):  # one login for all who wait
                    token = self._tokens.get(auth.identity)
                    if token is None or token.until <= time.monotonic():
                        token = await _log_in(entry, auth, build_login(entry, auth, self._secrets), session)
                        self._tokens[auth.identity] = token
                    tokens[auth.identity] = token.text
        return tokens

    def forget(self, tokens: Mapping[str, str]) -> None:
        """Forces a new login before the next request, unless another request has renewed `tokens` since."""
        for identity, token_text in tokens.items():
            if identity in self._tokens and self._tokens[identity].text == token_text:
                del self._tokens[identity]


async def _log_in(entry: Entry, auth: OAuth, login: Login, session: aiohttp.ClientSession) -> _Token:
    label = "the login"
    started_at = time.monotonic()
    headers = {"Accept": "application/json", **login.credentials.headers}
    with explain_errors(entry, label, auth.url, login.credentials):
        async with session.post(
            auth.url, data=dict(login.form), headers=headers, timeout=time_limits(entry), allow_redirects=False
        ) as response:
            body = await response.read()
            if response.status in (400, 401, 403):
                happened = f"the login at {response.url.host} is refused with HTTP {response.status}"
                reason = _read_oauth_error(login.credentials.redacted_message(body))
                names = " and ".join(name.removeprefix("secret:") for name in list_secret_names(auth))
                fix = f'Check {names or "the client"}, and the client and "scope" that "auth" names'
                raise CredentialsError(entry.name, f"{happened}{reason}", fix)
            error = classify_status(
                entry, label, response.status, response.headers, login.credentials.redacted_message(body)
            )
            if error is not None:
                raise error
    answer = _read_json(body)
    token_text = answer.get(auth.token)
    if not isinstance(token_text, str) or not token_text or not token_text.isprintable():
        keys = ", ".join(answer) or "none"
        happened = f'the answer of the login has no "{auth.token}" that is a token; its keys are: {keys}'
        raise FormatError(entry.name, happened, 'Name the key that holds the token with "token" in "auth"')
    return _Token(token_text, started_at + _read_lifetime(answer))


def _read_lifetime(answer: Mapping[str, Any]) -> float:
    """Returns the seconds for which the token may be used; infinite if the response does not limit them."""
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
    """Returns the error of RFC 6749, section 5.2, as `: code: description`; empty if there is none."""
    answer = _read_json(body)
    words = [str(answer[key]) for key in ("error", "error_description") if answer.get(key)]
    return "".join(f": {' '.join(word.split())[:300]}" for word in words)
