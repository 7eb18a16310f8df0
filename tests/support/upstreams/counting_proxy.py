"""A proxy before an S3 server that counts the requests it passes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

HOP = {"content-encoding", "content-length", "transfer-encoding", "connection", "date", "server"}
"""The headers that are of one connection, or that the proxy's own answer has."""


@asynccontextmanager
async def count_requests(s3_url: str) -> AsyncIterator[tuple[str, Counter[str]]]:
    """The URL of the proxy before `s3_url`, and the numbers of requests by method; listings count as `LIST`."""
    counts: Counter[str] = Counter()

    async def forward(request: web.Request) -> web.Response:
        counts["LIST" if "list-type" in request.query else request.method] += 1
        url, body = f"{s3_url}{request.raw_path}", await request.read()
        async with session.request(request.method, _encoded(url), headers=request.headers, data=body) as answer:
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
            if request.method == "HEAD":
                headers["Content-Length"] = answer.headers.get("Content-Length", "0")
            return web.Response(status=answer.status, body=await answer.read(), headers=headers)

    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", forward)
    async with aiohttp.ClientSession() as session, TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/"), counts


def _encoded(url: str) -> object:
    from yarl import URL

    return URL(url, encoded=True)
