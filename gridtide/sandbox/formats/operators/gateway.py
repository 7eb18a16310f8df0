"""The gateway in front of several operators' interfaces: its keys and its errors."""

from __future__ import annotations

from gridtide.sandbox.formats.exchange import Question, WireAnswer, write_json

KEY_HEADER = "Ocp-Apim-Subscription-Key"

KEY_MESSAGES = {
    "missing": "Access denied due to missing subscription key. Make sure to include it when making requests.",
    "invalid": "Access denied due to invalid subscription key. Make sure to provide a valid key for a subscription.",
}


def refuse_key(question: Question, key: str) -> WireAnswer | None:
    """Returns the refusal of a request without a key or with another than `key`, or None if it passes."""
    sent_key = question.headers.get(KEY_HEADER) or question.get("subscription-key")
    if sent_key == key:
        return None
    return write_json({"statusCode": 401, "message": KEY_MESSAGES["invalid" if sent_key else "missing"]}, 401)


def write_gateway_error(status: int, window: float, speed: float) -> WireAnswer:
    """Returns the gateway's error with this status; a 429 asks to wait for the limit of `window` seconds, `speed` times
    faster."""
    messages = {
        401: KEY_MESSAGES["invalid"],
        404: "Resource not found",
        429: f"Rate limit is exceeded. Try again in {max(1, round(window / speed))} seconds.",
    }
    return write_json({"statusCode": status, "message": messages.get(status, f"HTTP status {status}")}, status)
