"""Serves values that are published late and revised, through faults, for `benchmarks.soak`."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from aiohttp import web

ZONES = ("A", "B", "C", "D", "E")
INTERVAL = timedelta(minutes=2)
"""An hour at 30 times its speed."""

LAG, LATE, REVISED = timedelta(seconds=20), timedelta(minutes=6), timedelta(minutes=10)
"""How long after its end an interval is published; one in twenty; and one in fifteen anew, with its last value."""

FAULTS = {"503": 0.06, "429": 0.03, "cut": 0.03, "reset": 0.02, "page": 0.02, "slow": 0.02, "empty": 0.01}
"""The share of requests that end so."""


def read_value(path: str, zone: str, start: datetime, now: datetime) -> float | None:
    """The value in MW that the upstream shows at `now` of the interval from `start`; None if it is not published."""
    drawn = zlib.crc32(f"{path} {zone} {start.isoformat()}".encode())
    end = start + INTERVAL
    if now < end + (LATE if drawn % 20 == 0 else LAG):
        return None
    value = 1000.0 + drawn % 1000
    return value + 1 if drawn % 15 == 0 and now < end + REVISED else value


def list_intervals(start: datetime, end: datetime) -> Iterator[datetime]:
    """The starts of the intervals in [start, end)."""
    seconds = INTERVAL.total_seconds()
    step = -(-start.timestamp() // seconds)
    while step * seconds < end.timestamp():
        yield datetime.fromtimestamp(step * seconds, UTC)
        step += 1


class _Upstream:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self._counts: Counter[str] = Counter()
        self._is_faulty = True

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer with the records of the period, or a fault."""
        fault = self._draw_fault()
        self._counts[fault or "answers"] += 1
        if fault in ("503", "429"):
            return web.Response(status=int(fault), headers={"Retry-After": "1"})
        if fault == "reset" and request.transport:
            request.transport.abort()
            return web.Response()
        if fault == "page":
            return web.Response(text="<html><body>We are busy.</body></html>", content_type="text/html")
        if fault == "empty":
            return web.Response(body=b"", content_type="application/json")
        if fault == "slow":
            await asyncio.sleep(3)
        body = json.dumps(list(self._list_records(request))).encode()
        response = web.StreamResponse(headers={"Content-Length": str(len(body)), "Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(body[: len(body) // 2] if fault == "cut" else body)
        if fault == "cut" and request.transport:
            request.transport.abort()
        return response

    def _draw_fault(self) -> str | None:
        drawn = self._random.random()
        for fault, share in FAULTS.items():
            drawn -= share
            if drawn < 0:
                return fault if self._is_faulty else None
        return None

    def _list_records(self, request: web.Request) -> Iterator[dict[str, object]]:
        start, end = (datetime.fromisoformat(request.query[name]) for name in ("start", "end"))
        now = datetime.now(UTC)
        for moment in list_intervals(start, min(end, now)):
            for zone in ZONES:
                if (value := read_value(request.path, zone, moment, now)) is not None:
                    yield {"at": moment.isoformat(), "zone": zone, "mw": value}

    async def show_counts(self, request: web.Request) -> web.Response:
        """Answer with how many requests ended how; with `?stop=1` there are no faults from now on."""
        self._is_faulty = self._is_faulty and "stop" not in request.query
        return web.json_response(self._counts)


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    upstream, app = _Upstream(arguments.seed), web.Application()
    app.router.add_get("/counts", upstream.show_counts)
    app.router.add_get("/{path:.*}", upstream.answer)
    web.run_app(app, host="127.0.0.1", port=arguments.port, print=None)


if __name__ == "__main__":
    main()
