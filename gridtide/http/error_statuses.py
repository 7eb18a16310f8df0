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
    said = _read_message(body)
    happened = f"{label}: HTTP {status}" + (f", the upstream says: {said}" if said else "")
    if status == 429 or "OVER_RATE_LIMIT" in said:
        return QuotaError(
            entry, happened, 'Ask less often: lower the rates in "rate_limit"', wait=_read_wait(headers, said)
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


def _read_wait(headers: Mapping[str, str], said: str) -> float | None:
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
