"""Exports the traces of runs by OpenTelemetry: Prefect makes spans of flows and tasks, `gridtide.http` of requests."""

from __future__ import annotations

import logging

from gridtide.http.tracing import is_tracing

logger = logging.getLogger("gridtide.tasks")


def export_traces() -> None:
    """Set up the export of traces in this process, if the environment names a receiver and nothing else has set it up.

    A missing library is a warning. What cannot be sent is in the log of OpenTelemetry, and no run fails by it.
    """
    if not is_tracing():
        return
    from opentelemetry import trace

    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        logger.warning('traces are not exported: %s. Install "gridtide[tracing]"', error)
        return
    provider = TracerProvider(resource=Resource.create({"service.name": "gridtide"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=5)))
    trace.set_tracer_provider(provider)
