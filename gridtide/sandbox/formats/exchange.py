"""Requests to and responses from the imitated upstreams."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridtide.simulation import Grid


@dataclass(frozen=True, slots=True)
class Question:
    """One HTTP request: its path, query, headers (by any case), method and body, made at `now` to `grid`."""

    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    grid: Grid
    now: datetime
    method: str = "GET"
    body: bytes = b""

    def get(self, name: str, otherwise: str = "") -> str:
        """Returns the last value of a query parameter."""
        return dict(self.query).get(name, otherwise)


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """One HTTP response."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def write_json(document: Any, status: int = 200) -> WireAnswer:
    """Returns `document` as compact JSON."""
    return WireAnswer(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(), status)


def write_html(text: str, status: int, headers: Mapping[str, str] | None = None) -> WireAnswer:
    """Returns a web page with `text`."""
    return WireAnswer(f"<html><body><p>{text}</p></body></html>".encode(), status, "text/html", headers or {})


def write_number(value: float) -> int | float:
    """Writes `value` as upstreams do: whole numbers without a point."""
    return int(value) if value == int(value) else value
