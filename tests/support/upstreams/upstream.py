"""A small upstream of hourly values in JSON for tests of flows, with a scripted answer per path."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

ROWS = [{"time": "2024-01-01T00:00Z", "mw": 1.5}, {"time": "2024-01-01T01:00Z", "mw": 2.5}]


@dataclass
class ScriptedUpstream:
    """Answers `ROWS` on every path, after the statuses that `script` lists for it, in turn.

    It counts what was `asked`, keeps the `headers` and sets the event `first` of a path.
    """

    url: str = ""
    script: dict[str, list[int]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    first: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    headers: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer, and count the request."""
        path = request.match_info["path"]
        self.asked[path] += 1
        self.first[path].set()
        self.headers.append(dict(request.headers))
        left = self.script.get(path, [])
        status = left.pop(0) if left else 200
        return web.json_response(ROWS) if status == 200 else web.json_response({"error": "said so"}, status=status)

    def api(self, name: str, **keys: Any) -> dict[str, Any]:
        """The configuration of an entry `name`, with the path of its name."""
        return {
            "name": name,
            "url": f"{self.url}{name}",
            "output_folder": name,
            "time": "time",
            "value": "mw",
            "unit": "MW",
            "interval": "PT1H",
            "retries": 1,
            **keys,
        }

    def config(self, lake: object, *apis: dict[str, Any], **keys: Any) -> dict[str, Any]:
        """A configuration of these entries, whose tasks retry twice with a short delay."""
        retries = {"count": 2, "delay": "PT0.01S"}
        return {"lake": str(lake), "task_retries": retries, "apis": list(apis), **keys}


@asynccontextmanager
async def running(**script: Sequence[int]) -> AsyncIterator[ScriptedUpstream]:
    """An upstream on a free port; the keywords say which statuses a path answers before it is well."""
    upstream = ScriptedUpstream(script={path: list(statuses) for path, statuses in script.items()})
    app = web.Application()
    app.router.add_get("/{path:.*}", upstream.answer)
    server = TestServer(app)
    await server.start_server()
    upstream.url = str(server.make_url("/"))
    try:
        yield upstream
    finally:
        await server.close()
