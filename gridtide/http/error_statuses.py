"""The errors that HTTP statuses other than 200 mean."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from gridtide.entries.auth import NoAuth
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, CredentialsError, GridtideError, QuotaError, UpstreamError
from gridtide.http.credentials import describe_credentials
from gridtide.sources.contract import Source
from gridtide.sources.registry import get_source

QUOTA_WORDS = re.compile(r"(?i)rate.?limit|too many requests|quota|throttl|slow down")
"""Words in a 403 that mean a quota instead of wrong credentials: a gateway's "Rate limit exceeded"."""


WAIT_WORDS = re.compile(
    r"(?i)\b(?:after|in|within|wait|for)\s+(?:(\d+):(\d\d):(\d\d)|(\d+(?:\.\d+)?)\s*(s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:ours?)?))\b"
)
"""Times to wait in messages: "Try again in 3 seconds", "quota will be replenished in 01:10:00"."""


def classify_status(
    entry: Entry, label: str, status: int, headers: Mapping[str, str], body: bytes
) -> GridtideError | None:
    """Returns the error that a response with this status means, None for success.

    The source of `entry` corrects wrong statuses of its upstream, and reads the wait from its messages.
    """
    if 200 <= status < 300 and status != 202:
        return None
    message = _read_message(body)
    happened = f"{label}: HTTP {status}" + (f", the upstream says: {message}" if message else "")
    upstream = get_source(entry.source)
    meaning = upstream.correct_status(status, body)
    wait = _read_wait(headers, message, upstream)
    if status == 202:
        return UpstreamError(entry.name, f"{happened}: the answer is not ready yet", "Try again later", wait=wait)
    if meaning == 429 or (meaning == 403 and QUOTA_WORDS.search(message)):
        return QuotaError(entry.name, happened, _fix_rates(entry), wait=wait)
    if meaning in (401, 403):
        return CredentialsError(entry.name, happened, _fix_credentials(entry))
    if meaning >= 500 or meaning in (408, 425):
        return UpstreamError(entry.name, happened, "Try again later", wait=wait)
    return ConfigurationError(entry.name, happened, _fix_request(entry, meaning))


def _fix_rates(entry: Entry) -> str:
    if entry.rate_limit is None:
        return 'Ask less often: give the entry a "rate_limit" such as "1/second"'
    return 'Ask less often: lower the rates in "rate_limit"'


def _fix_credentials(entry: Entry) -> str:
    """Describes how the credentials were sent: the value may be right and its place wrong."""
    if all(isinstance(auth, NoAuth) for auth in entry.auths):
        return 'No credentials were sent: name them with "auth"'
    places = describe_credentials(entry)
    access_description = get_source(entry.source).ACCESS
    access_hint = f". If you have none: {access_description}" if access_description else ""
    keys = '"in" and "name" of "auth" say how a key is sent'
    return f'Check the credentials that "auth" names: {places}; {keys}{access_hint}'


def _fix_request(entry: Entry, status: int) -> str:
    if status in (404, 410):
        return f'Correct "url" or "params"; if it means that there is nothing for that period, add "absent": [{status}]'
    if status == 405:
        return 'Give the "method" that the upstream takes, "GET" or "POST"'
    return 'Correct "url" or "params"' if entry.body is None else 'Correct "url", "params" or "body"'


def _read_message(body: bytes) -> str:
    """Returns the message of an error body on one short line: the message of a JSON or the text of an HTML."""
    text = body[:4000].decode(errors="replace")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(re.sub(r"<[^>]*>", " ", text).split())[:300]
    if isinstance(content, dict):
        # Often one key holds a code and another the message: both describe the error.
        words = [content[key] for key in ("reason", "error", "message") if isinstance(content.get(key), str)]
        content = ": ".join(dict.fromkeys(words)) or content.get("error") or content
    if isinstance(content, dict):
        words = [str(content[key]) for key in ("code", "message") if key in content]
        content = ": ".join(words) or json.dumps(content)
    return str(content)[:300]


def _read_wait(headers: Mapping[str, str], message: str, upstream: Source) -> float | None:
    """Returns the seconds that the upstream asks us to wait: from Retry-After as seconds or a date, or else from the
    message; None without either."""
    retry_after = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", retry_after):
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # not a date, or a date without a time zone
        pass
    wait = upstream.read_wait(message, datetime.now(UTC))
    return _read_wait_words(message) if wait is None else wait


def _read_wait_words(message: str) -> float | None:
    """Returns the seconds that a message asks to wait.

    >>> _read_wait_words("Rate limit is exceeded. Try again in 3 seconds."), _read_wait_words("in 01:00:05")
    (3.0, 3605.0)
    """
    match = WAIT_WORDS.search(message)
    if match is None:
        return None
    if match[1]:
        return 3600.0 * int(match[1]) + 60 * int(match[2]) + int(match[3])
    return float(match[4]) * {"s": 1, "m": 60, "h": 3600}[match[5][0].lower()]
