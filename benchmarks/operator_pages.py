"""Large answers of operators, parsed into observations, beside the fastest reader of their format alone.

Both bodies come from the sandbox's formats: a page of PJM with 50,000 records, and a day-ahead day of SPP with the
1,234 settlement locations of the real one.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import numpy as np
import orjson
import pyarrow.csv as arrow_csv

from benchmarks.ingest import Row
from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.sandbox.formats.operators import pjm, spp
from gridtide.sandbox.formats.operators.market_days import WHOLE_HOUR, list_day
from gridtide.simulation import Grid
from gridtide.sources.contract import Request, Response
from gridtide.sources.registry import get_source

REPEATS = 7
RECORDS, NODES, LOCATIONS = 50_000, 2084, 1234
"""24 hours of so many nodes are a little more than a page."""


def measure() -> list[Row]:
    """MB a second of CPU of parsing, and of the fastest reader alone."""
    page, day = write_page(), write_day()
    readers: dict[str, Callable[[], Any]] = {
        "orjson.loads": lambda: orjson.loads(page),
        "msgspec.json.decode": lambda: msgspec.json.decode(page),
    }
    name, seconds = min(((name, time_best(read)) for name, read in readers.items()), key=lambda pair: pair[1])
    csv_seconds = time_best(lambda: arrow_csv.read_csv(io.BytesIO(day)))
    return [
        compare(f"PJM page of {RECORDS:,} records", page, entry_of("pjm", ["40000000"]), name, seconds),
        compare("SPP day-ahead day", day, entry_of("spp", []), "pyarrow.csv.read_csv", csv_seconds),
    ]


def compare(name: str, body: bytes, entry: Entry, peer_name: str, peer_seconds: float) -> Row:
    """The row of a body."""
    request = Request(entry.url)
    response = Response(body, datetime(2026, 12, 1, tzinfo=UTC))
    seconds = time_best(lambda: get_source(entry.source).parse_response(entry, request, response))
    megabytes = len(body) / 1e6
    return {
        "name": f"{name} ({megabytes:.1f} MB): parsing",
        "unit": "MB/s of CPU",
        "ours": megabytes / seconds,
        "peer": megabytes / peer_seconds,
        "peer_name": peer_name,
        "limit": megabytes / peer_seconds / 2,
        "limit_name": "half of it, the goal",
    }


def time_best(run: Callable[[], Any]) -> float:
    """The fewest seconds of CPU of several runs."""
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        run()
        seconds.append(time.process_time() - started)
    return min(seconds)


def entry_of(name: str, locations: list[str]) -> Entry:
    """The entry of an operator's day-ahead prices; all that is in the body is stored."""
    raw = {"name": name, "source": name, "product": "lmp_day_ahead", "output_folder": name, "locations": locations}
    [entry] = parse({"apis": [raw]}).apis
    return msgspec.structs.replace(entry, locations=())


def write_day() -> bytes:
    """A day-ahead day of SPP."""
    points = {f"LOC.{number:04}_UNIT": f"NODE{number:04}_LA" for number in range(LOCATIONS)}
    hours = list_day(date(2025, 6, 2), "America/Chicago", WHOLE_HOUR)
    return spp.write_prices(Grid(0), hours, WHOLE_HOUR, "day_ahead", points, baa=False).encode()


def write_page() -> bytes:
    """A page of PJM's day-ahead prices."""
    names = [f"BUS {number:05}  138 KV  UN{number % 7}" for number in range(NODES)]
    hours = list_day(date(2025, 6, 2), "America/New_York", WHOLE_HOUR)
    prices = {
        name: column[:RECORDS]
        for name, column in pjm.list_prices(Grid(0), hours, "day_ahead", WHOLE_HOUR, names).items()
    }
    stamps = np.datetime_as_string(prices["datetime_beginning"], unit="s").tolist()
    local_times = (prices["datetime_beginning"] - np.timedelta64(4, "h")).astype("datetime64[s]")
    local = np.datetime_as_string(local_times, unit="s").tolist()
    parts = [prices[part].tolist() for part in ("energy", "total", "congestion", "loss")]
    items = [
        {
            "datetime_beginning_utc": stamp,
            "datetime_beginning_ept": local[number],
            "pnode_id": 40_000_000 + number % NODES,
            "pnode_name": names[number % NODES],
            "voltage": "138 KV",
            "equipment": f"UN{number % 7}",
            "type": "GEN",
            "zone": f"ZONE{number % 20}",
            "system_energy_price_da": parts[0][number],
            "total_lmp_da": parts[1][number],
            "congestion_price_da": parts[2][number],
            "marginal_loss_price_da": parts[3][number],
            "row_is_current": True,
            "version_nbr": 1,
        }
        for number, stamp in enumerate(stamps)
    ]
    return json.dumps({"links": [], "items": items, "totalRows": len(items)}, separators=(",", ":")).encode()
