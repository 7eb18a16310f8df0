"""Serves the page of the catalogue from the lake, so that a browser can open it wherever the lake is.

GET /                         ─► /catalog/index.html
GET /catalog/index.html       ─► catalog/index.html in the lake, as the last run of the flow `catalog` wrote it
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import PurePosixPath

from aiohttp import web

from deployments.machine.metrics_endpoint import parse_address
from gridtide.catalog.writing import CATALOG_FOLDER
from gridtide.errors import StorageError, one_line
from gridtide.lake import Lake

logger = logging.getLogger("gridtide.serve")

CATALOG_ADDRESS = "GRIDTIDE_CATALOG_ADDRESS"
"""The environment variable with the address of the page; `off` for none."""

DEFAULT_ADDRESS = "9106"

PAGE_MEDIA = {".html": "text/html", ".js": "text/javascript", ".json": "application/json"}
"""The files that are served, by their suffix: those of the page and its data."""

NOT_MADE = (
    "There is no page of the catalogue in this lake yet. The deployment catalog/hourly makes it at minute 47 of each "
    'hour; "gridtide catalog" makes it now.\n'
)


def read_page_address() -> tuple[str, int] | None:
    """The host and the port at which the page is served; None if it is not. Raises `ConfigurationError` if the
    environment has something else than an address."""
    text = os.environ.get(CATALOG_ADDRESS) or DEFAULT_ADDRESS
    return None if text == "off" else parse_address(CATALOG_ADDRESS, text)


@asynccontextmanager
async def serving_page(lake: Lake | None) -> AsyncIterator[str | None]:
    """Serve the page of `lake` during the block, and give its URL; None if it is not served: as there is no lake or it
    is off, or with a warning as the address is in use."""
    address = read_page_address()
    if address is None or lake is None:
        yield None
        return
    runner = web.AppRunner(build_app(lake), access_log=None)
    await runner.setup()
    try:
        yield await _start_site(runner, *address)
    finally:
        await runner.cleanup()


async def _start_site(runner: web.AppRunner, host: str, port: int) -> str | None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        advice = f'set {CATALOG_ADDRESS} to another port, or to "off"'
        logger.warning("the page of the catalogue is not served: %s; %s", one_line(error), advice)
        return None
    return f"http://{host}:{port}/"


def build_app(lake: Lake) -> web.Application:
    """The application that serves the page of `lake`; it reads files below `catalog/` only, and changes none."""

    async def open_page(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"/{CATALOG_FOLDER}/index.html")

    async def send_file(request: web.Request) -> web.StreamResponse:
        name = PurePosixPath(request.match_info["name"])
        media_type = PAGE_MEDIA.get(name.suffix)
        if media_type is None or ".." in name.parts or name.is_absolute():
            raise web.HTTPNotFound(text="There is no such file of the catalogue.\n")
        try:
            path = f"{CATALOG_FOLDER}/{name}"
            body = await lake.store.read(path) if await lake.store.exists(path) else None
        except StorageError as error:
            raise web.HTTPServiceUnavailable(text=f"The lake does not answer: {one_line(error)}\n") from error
        if body is None:
            raise web.HTTPNotFound(text=NOT_MADE if name.name == "index.html" else f"{path} is not in the lake.\n")
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=bytes(body), content_type=media_type, charset="utf-8", headers=headers)

    app = web.Application()
    app.router.add_get("/", open_page)
    app.router.add_get(f"/{CATALOG_FOLDER}/{{name:.+}}", send_file)
    return app
