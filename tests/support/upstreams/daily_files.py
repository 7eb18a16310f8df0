"""An upstream with a CSV file for each day, some of which fail."""

from __future__ import annotations

from datetime import date

from aiohttp import web

FAULTS = ("absent", "malformed", "conflicting", "outage", "refused")
"""What may be wrong with the file of a day; `ambiguous`, too: only its 21st value is in another style."""


class DailyFiles:
    """A CSV of 24 hourly loads for each day; `faults` gives the days that fail, and how."""

    def __init__(self) -> None:
        self.faults: dict[date, str] = {}
        self.requests: list[date] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Answer with the file of a day."""
        day = date.fromisoformat(request.match_info["day"])
        self.requests.append(day)
        fault = self.faults.get(day)
        statuses = {"absent": 404, "outage": 503, "refused": 403}
        if fault in statuses:
            return web.Response(status=statuses[fault], text="no")
        lines = [f"{day}T{hour:02}:00Z,{load(day, hour)}" for hour in range(24)]
        if fault == "malformed":
            lines[5] = "yesterday,7"
        if fault == "ambiguous":
            lines[20] = f'{day}T20:00Z,"1.234,5"'
        if fault == "conflicting":
            lines.append(f"{day}T05:00Z,-1")
        return web.Response(text="\n".join(["time,load", *lines]) + "\n", content_type="text/csv")


def load(day: date, hour: int) -> int:
    """The load of an hour; all hours differ."""
    return 100 * day.toordinal() % 10_000 + hour
