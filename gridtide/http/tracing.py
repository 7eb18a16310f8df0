"""Spans of requests for OpenTelemetry, where the environment configures an exporter of traces.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from gridtide.entries.entry import Entry
    from gridtide.sources.contract import Request

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""The variables of OpenTelemetry with the URL of a receiver of traces."""


def is_tracing() -> bool:
    """Whether the environment names a receiver of traces, and does not switch OpenTelemetry off."""
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not is_off and any(os.environ.get(name) for name in ENDPOINTS)


@contextmanager
def trace_request(entry: Entry, request: Request) -> Iterator[None]:
    """Makes a span of one attempt of `request` within the current span; does nothing unless traces are exported.

    The span has the entry, the label of the request and the host, but no URL, which may contain a key.
    """
    if not is_tracing():
        yield
        return
    attributes = {
        "gridtide.entry": entry.name,
        "gridtide.request": request.label,
        "http.request.method": entry.method,
        "server.address": urlsplit(request.url).hostname or "",
    }
    with _get_tracer().start_as_current_span(f"request {entry.name}", attributes=attributes):
        yield


@cache
def _get_tracer() -> Tracer:
    from opentelemetry.trace import get_tracer

    return get_tracer("gridtide")
