"""The cache keys of collections."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gridtide.config.loading import parse
from gridtide.entries.entry import Entry, TaskRetries
from gridtide.http.client import Http
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.table import Row, from_rows
from gridtide.periods import Period
from tasks.collect import CollectionAttempts, CollectionRun, build_cache_key

DAY = Period(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))


def entry(**keys: Any) -> Entry:
    """An entry whose result may be reused for an hour."""
    raw = {"name": "a", "url": "https://grid.example/a", "output_folder": "a", "fresh": "PT1H", **keys}
    return parse({"apis": [raw]}).apis[0]


def test_a_key_is_what_is_asked_and_where_it_goes() -> None:
    """Another name, request, period or lake gives another key; another timeout does not."""
    key = build_cache_key(entry(), DAY, "/lake")
    assert build_cache_key(entry(timeout=5), DAY, "/lake") == key
    others = [
        build_cache_key(entry(name="b"), DAY, "/lake"),
        build_cache_key(entry(params={"x": 1}), DAY, "/lake"),
        build_cache_key(entry(), None, "/lake"),
        build_cache_key(entry(), Period(DAY.start, DAY.end + timedelta(hours=1)), "/lake"),
        build_cache_key(entry(), DAY, "s3://bucket/lake"),
    ]
    assert len({key, *others}) == 6


def test_a_key_is_a_plain_name() -> None:
    """A key is a valid file name without separators and dots."""
    assert re.fullmatch(r"[A-Za-z0-9_-]+", build_cache_key(entry(name="a/../b"), DAY, "s3://x/y"))


async def test_a_result_of_the_future_is_not_used_again(tmp_path: Path) -> None:
    """A result with a stamp in the future is not reused, because it would count as fresh until then."""
    lake, now = Lake.open(str(tmp_path)), datetime.now(UTC)
    work = CollectionAttempts(CollectionRun(lake, Http({}), now, TaskRetries()), entry(), None)
    for stamp, is_usable in ((now, True), (now + timedelta(days=20), False)):
        with Draft("parquet", Provenance("a", None, "")) as draft:
            draft.append(from_rows("generic", [Row(now, now, "A", "load", "MW", 1.0)], now))
            stored = await lake.put_draft(draft, "a", "a", stamp)
        assert await work.is_stored({"file": stored.path}) == is_usable
