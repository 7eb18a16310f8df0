"""Traces of a run go from the flow to each request, where the environment names a receiver."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gridtide.http.tracing import ENDPOINTS, is_tracing
from tests.support.upstreams.http_servers import serving

ROOT = Path(__file__).parents[2]


class Receiver:
    """A receiver of traces by OTLP over HTTP, and an upstream whose first answer is an error."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.requests = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Keep the spans that are posted, or answer as the upstream."""
        body = await request.read()
        if request.path == "/v1/traces":
            message = ExportTraceServiceRequest()
            message.ParseFromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
            self.spans += [
                span for resource in message.resource_spans for scope in resource.scope_spans for span in scope.spans
            ]
            return web.Response(content_type="application/x-protobuf")
        self.requests += 1
        if self.requests == 1:
            return web.Response(status=503)
        return web.json_response({"rows": [{"time": "2024-03-10T00:00Z", "mw": 1.5}]})


async def ingest(folder: Path, url: str, server: str, **variables: str) -> str:
    """Run `gridtide ingest` for an entry of this upstream; returns its output."""
    api = {"name": "grid", "url": f"{url}planted-path", "output_folder": "grid", "records": "rows", "time": "time"}
    api |= {"value": {"mw": "load"}, "auth": {"kind": "api_key", "env": "PLANTED", "in": "query", "name": "key"}}
    (folder / "api_config.json").write_text(json.dumps({"lake": str(folder / "lake"), "apis": [api]}))
    environment = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deployments.cli", "ingest", "--config", str(folder / "api_config.json")),
        cwd=ROOT,
        env={**environment, "PREFECT_API_URL": server, "PLANTED": "planted-secret", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await command.communicate()
    assert command.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.slow
async def test_a_trace_goes_from_the_flow_to_each_attempt_of_a_request(tmp_path: Path, prefect_server: str) -> None:
    """Each attempt is a span within that of its task, and that within the flow's; no span has a URL or a key."""
    receiver = Receiver()
    async with serving(receiver.answer) as url:
        await ingest(tmp_path, url, prefect_server, OTEL_EXPORTER_OTLP_ENDPOINT=url.rstrip("/"))
    by_id = {span.span_id: span for span in receiver.spans}
    attempts = [span for span in receiver.spans if span.name == "request grid"]
    assert [bool(span.status.code) for span in sorted(attempts, key=lambda span: span.start_time_unix_nano)] == [
        True,
        False,
    ]
    for span in attempts:
        task = by_id[span.parent_span_id]
        assert task.name.startswith("grid")
        assert by_id[task.parent_span_id].name == "ingest all"
        assert {item.key: item.value.string_value for item in span.attributes}["gridtide.entry"] == "grid"
    assert "planted" not in str(receiver.spans)


@pytest.mark.slow
async def test_a_receiver_that_is_away_stops_no_run(tmp_path: Path, prefect_server: str) -> None:
    """Without a receiver at the address the run collects as usual."""
    async with serving(Receiver().answer) as url:
        await ingest(tmp_path, url, prefect_server, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert len(list((tmp_path / "lake" / "grid").glob("*.parquet"))) == 1


def test_traces_are_exported_only_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the variables is enough, unless OpenTelemetry is switched off."""
    for name in (*ENDPOINTS, "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    assert not is_tracing()
    monkeypatch.setenv(ENDPOINTS[0], "http://localhost:4318")
    assert is_tracing()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    assert not is_tracing()
