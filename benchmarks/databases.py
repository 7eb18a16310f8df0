"""A table of PostgreSQL into a lake, beside its driver alone; SQL over a lake, beside DuckDB on its Parquet; and the
newest features in Redis."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.ingest import Row
from benchmarks.processes import run
from gridtide import curated
from gridtide.config.loading import parse
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.arrays import dictionary_array
from gridtide.observations.table import from_columns
from tests.support.processes.postgres import run_postgres
from tests.support.processes.redis_servers import run_redis

FEW_ROWS, MANY_ROWS = 1_000_000, 10_000_000
GOAL = 200_000
"""Rows per second."""

LAKE_YEARS, LAKE_SERIES = 12, 100
"""Hourly values: 10.5 million rows."""

QUERY = "select location, date_trunc('day', interval_start) as day, avg(value), max(value) from {} group by all"

CREATE = """
create table readings as
select timestamptz '2001-01-01Z' + i / 100 * interval '1 hour' as ts, 'meter ' || i % 100 as meter,
       (random() * 1000)::numeric(10, 3) as mw
from generate_series(0, {rows} - 1) i
"""


def measure() -> list[Row]:
    """Rows per second and MB of both directions."""
    return [*measure_reading(), *measure_queries(), *measure_features()]


def measure_reading() -> list[Row]:
    """Rows per second and MB of a collection, of one and of ten million rows."""
    rows: list[Row] = []
    memory = []
    for row_count in (FEW_ROWS, MANY_ROWS):
        with run_postgres("grid", "plant") as server, tempfile.TemporaryDirectory() as folder:
            server.query(CREATE.format(rows=row_count))
            url = f"postgresql://{server.address}"
            ours = json.loads(run("database_rows", "collect", url, folder).output)
            peer = json.loads(run("database_rows", "driver", url, folder).output)
        if not ours["rows"] == peer["rows"] == row_count:
            raise SystemExit(f"{ours['rows']} and {peer['rows']} rows of {row_count}")
        memory.append(ours["mb"])
        rows.append(
            {"name": f"{row_count:,} rows of PostgreSQL into a lake", "unit": "rows/s"}
            | {
                "ours": row_count / ours["seconds"],
                "peer": row_count / peer["seconds"],
                "peer_name": "ADBC alone, COPY",
            }
            | {"limit": float(GOAL), "limit_name": "goal"}
        )
    return [
        *rows,
        {"name": f"memory for {MANY_ROWS:,} rows", "unit": "MB", "ours": memory[1], "peer": memory[0]}
        | {"peer_name": f"for {FEW_ROWS:,} rows", "limit": 1.5 * memory[0], "limit_name": "half more"},
    ]


def measure_queries() -> list[Row]:
    """Seconds of an aggregation over all rows of a compacted lake."""
    import duckdb

    from gridtide.sql import connect

    entry = parse({"apis": [{"name": "load", "source": "synthetic", "output_folder": "load"}]}).apis[0]
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake.open(folder)
        asyncio.run(fill_lake(lake))
        start_time = time.perf_counter()
        with connect(lake, entries=[entry]) as connection:
            connected = time.perf_counter() - start_time
            ours = median_seconds(lambda: connection.execute(QUERY.format("load")).fetchall())
        with duckdb.connect() as by_hand:
            files = f"read_parquet('{Path(folder)}/processed/load/load/*/*.parquet')"
            peer = median_seconds(lambda: by_hand.execute(QUERY.format(files)).fetchall())
    count = f"{LAKE_YEARS * 8766 * LAKE_SERIES:,}"
    return [
        {"name": f"aggregation of {count} rows", "unit": "s", "ours": ours, "peer": peer}
        | {"peer_name": "DuckDB by hand", "limit": 2.0, "limit_name": "goal"},
        {"name": "connecting to that lake", "unit": "s", "ours": connected, "peer": None, "peer_name": ""}
        | {"limit": None, "limit_name": ""},
    ]


def measure_features() -> list[Row]:
    """Milliseconds for the newest 168 hours of 200 columns from Redis."""
    from gridtide.database.online_store import OnlineStore
    from gridtide.training.realtime import Context
    from gridtide.training.serving import online

    columns = [{"key": f"series/{number}"} for number in range(200)]
    manifest = {"spec": {"name": "features"}, "locations": [{"columns": columns}]}
    scales = {"mean": np.zeros((1, 200)), "deviation": np.ones((1, 200))}
    now = datetime.now(UTC)
    hours = int(now.timestamp()) // 3600 * 3600 - 3600 * np.arange(168, 0, -1)
    values = np.random.default_rng(0).random((1, 168, 200), np.float32)
    body = online.encode_context(Context(values, values < 0.9, hours), online.identify_set(manifest, scales), now)
    with tempfile.TemporaryDirectory() as folder, run_redis(Path(folder), "benchmark") as url:
        OnlineStore(url).put(online.name_key(manifest), body, timedelta(hours=1), began=0)
        times = []
        for _ in range(2000):
            start_time = time.perf_counter()
            online.read_context(manifest, scales, OnlineStore(url), 168)
            times.append(1000 * (time.perf_counter() - start_time))
    return [
        {"name": f"168 h × 200 columns from Redis, p{percent}", "unit": "ms", "peer": None, "peer_name": ""}
        | {"ours": float(np.percentile(times, percent)), "limit": goal, "limit_name": "goal"}
        for percent, goal in ((50, 1.0), (99, 5.0))
    ]


async def fill_lake(lake: Lake) -> None:
    """Stores a file for each year, and compacts them."""
    entry = parse({"apis": [{"name": "load", "source": "synthetic", "output_folder": "load"}]}).apis[0]
    random = np.random.default_rng(0)
    names = [f"zone {number}" for number in range(LAKE_SERIES)]
    for year in range(2010, 2010 + LAKE_YEARS):
        first = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
        last = int(datetime(year + 1, 1, 1, tzinfo=UTC).timestamp())
        starts = np.repeat(np.arange(first, last, 3600) * 1_000_000, LAKE_SERIES)
        codes = np.tile(np.arange(LAKE_SERIES, dtype=np.int32), len(starts) // LAKE_SERIES)
        stamp = datetime(year + 1, 1, 2, tzinfo=UTC)
        table: pa.Table = from_columns(
            "synthetic",
            stamp,
            interval_start=starts,
            interval_end=starts + 3_600_000_000,
            location=dictionary_array(codes, names),
            variable="load",
            unit="MW",
            value=random.normal(1000, 100, len(starts)).round(1),
        )
        with Draft("parquet", Provenance(entry.name, None, entry.fingerprint)) as draft:
            draft.append(table)
            await lake.put_draft(draft, entry.output_folder, entry.file_prefix, stamp)
    await curated.compact(lake, entry)


def median_seconds(work: Callable[[], object]) -> float:
    """The median of five times that `work` takes, after one to warm up."""
    work()
    times = []
    for _ in range(5):
        start_time = time.perf_counter()
        work()
        times.append(time.perf_counter() - start_time)
    return statistics.median(times)
