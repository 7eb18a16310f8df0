"""The body of a POST: a text unchanged, values as JSON or as a form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

FORM = "application/x-www-form-urlencoded"


def list_body_texts(body: Any) -> Iterator[str]:
    """Yields the texts in `body` that may contain placeholders, at any depth.

    >>> list(body_texts({"from": "{start}", "zones": ["A", 1]}))
    ['{start}', 'A']
    """
    if isinstance(body, str):
        yield body
    elif isinstance(body, Mapping):
        for value in body.values():
            yield from list_body_texts(value)
    elif isinstance(body, list | tuple):
        for value in body:
            yield from list_body_texts(value)


def write_body(body: Any, headers: Mapping[str, str], fill: Callable[[str], str]) -> tuple[str, str]:
    """Returns `body` with its placeholders filled, as it is sent, and its Content-Type: that in `headers`, or else a
    form for a text and JSON for anything else.

    >>> write_body({"from": "{start}"}, {"content-type": "application/x-www-form-urlencoded"}, lambda text: "1 Jan")
    ('from=1+Jan', 'application/x-www-form-urlencoded')
    """
    content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), None)
    filled = _fill(body, fill)
    if isinstance(filled, str):
        return filled, content_type or FORM
    if content_type and content_type.startswith(FORM) and isinstance(filled, Mapping):
        return urlencode(filled, doseq=True), content_type
    return json.dumps(filled, ensure_ascii=False), content_type or "application/json"


def _fill(body: Any, fill: Callable[[str], str]) -> Any:
    if isinstance(body, str):
        return fill(body)
    if isinstance(body, Mapping):
        return {key: _fill(value, fill) for key, value in body.items()}
    if isinstance(body, list | tuple):
        return [_fill(value, fill) for value in body]
    return body
