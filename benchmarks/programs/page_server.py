"""Serves a page with a day of hourly values at every path."""

import argparse
import json

from aiohttp import web

BODY = json.dumps([{"time": f"2024-01-01T{hour:02}:00Z", "mw": 1000.0 + hour} for hour in range(24)]).encode()


async def answer(request: web.Request) -> web.Response:
    """Answer with the page."""
    return web.Response(body=BODY, content_type="application/json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=parser.parse_args().port, print=None)
