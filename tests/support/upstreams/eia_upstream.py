"""EIA's region-data with few series."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from aiohttp import web

from gridtide.entries.entry import Entry

JANUARY = datetime(2024, 1, 1, tzinfo=UTC)


HOURS = 20_000
"""Four pages."""


class EiaUpstream:
    """EIA's region-data with one series of `hours` hours from 2024, 5,000 rows a page.

    `fault` may answer instead, given the ordinal of the request; `rows` may be changed by a test.
    """

    def __init__(self, hours: int) -> None:
        labels = [f"{JANUARY + timedelta(hours=hour + 1):%Y-%m-%dT%H}" for hour in range(hours)]
        self.rows = [
            {"period": label, "respondent": "ISNE", "type": "D", "value": str(number), "value-units": "megawatthours"}
            for number, label in enumerate(labels)
        ]
        self.total: int | None = None
        self.asked = 0
        self.fault: Callable[[int, web.Request], web.StreamResponse | None] = lambda ordinal, request: None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer with a page of the hours between start and end."""
        self.asked += 1
        fault = self.fault(self.asked, request)
        if fault is not None:
            return fault
        start, end = request.query.get("start", ""), request.query.get("end", "9")
        rows = [row for row in self.rows if start <= row["period"] <= end]
        offset = int(request.query.get("offset", 0))
        total = len(rows) if self.total is None else self.total
        data = rows[offset : offset + 5000]
        echo = {"params": {"api_key": request.headers["X-Api-Key"]}}
        return web.json_response({"response": {"total": str(total), "data": data}, "request": echo})


StartUpstream = Callable[..., Awaitable[tuple[EiaUpstream, Entry]]]
"""Starts an `EiaUpstream` of so many hours; returns it and an entry that asks it, with these keys."""
