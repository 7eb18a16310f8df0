"""What an HTTP status other than 200 means."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from gridtide.errors import ConfigurationError, CredentialsError, GridtideError, QuotaError, UpstreamError
from gridtide.sources.formats.retry_hints import asked_to_wait


def error_of_status(
    entry: str, label: str, status: int, headers: Mapping[str, str], body: bytes
) -> GridtideError | None:
    """The error that an answer of this status means, None for success."""
    if 200 <= status < 300:
        return None
    message = _read_message(body)
    happened = f"{label}: HTTP {status}" + (f", the upstream says: {message}" if message else "")
    if status == 429 or "OVER_RATE_LIMIT" in message:
        return QuotaError(
            entry, happened, 'Ask less often: lower the rates in "rate_limit"', wait=_read_wait(headers, message)
        )
    if status in (401, 403):
        return CredentialsError(entry, happened, 'Check the credentials that "auth" names')
    if (status >= 500 and not _means_not_found(body)) or status in (408, 425):
        return UpstreamError(entry, happened, "Try again later")
    return ConfigurationError(entry, happened, 'Correct "url" or "params"')


def _read_message(body: bytes) -> str:
    """What an error body says, on one short line: the message of a JSON or the text of an HTML."""
    text = body[:4000].decode(errors="replace")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(re.sub(r"<[^>]*>", " ", text).split())[:300]
    if isinstance(message, dict):
        message = next((message[key] for key in ("reason", "error", "message") if key in message), message)
    if isinstance(message, dict):
        message = ": ".join(str(message[key]) for key in ("code", "message") if key in message) or json.dumps(message)
    return str(message)[:300]


def _means_not_found(body: bytes) -> bool:
    """Whether the body is EIA's `{"error": …, "code": 404}`, which arrives under HTTP 500."""
    try:
        message = json.loads(body[:4000])
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and message.get("code") in (400, 404)


def _read_wait(headers: Mapping[str, str], message: str) -> float | None:
    """Seconds the upstream asks us to wait, in Retry-After or in words."""
    after = headers.get("Retry-After", "").strip()
    if after.isdecimal():
        return float(after)
    if after:
        try:
            return max(0.0, (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError):
            return None
    return asked_to_wait(message, datetime.now(UTC))
