"""Which collections share a result."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.periods import Period
from tasks.collect import cache_key

DAY = Period(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))


def entry(**keys: Any) -> Entry:
    """An entry that may be reused within an hour."""
    raw = {"name": "a", "url": "https://grid.example/a", "output_folder": "a", "fresh": "PT1H", **keys}
    return parse({"apis": [raw]}).apis[0]


def test_a_key_is_what_is_asked_and_where_it_goes() -> None:
    """Another name, question, period or lake is another key; another time-out is not."""
    key = cache_key(entry(), DAY, "/lake")
    assert cache_key(entry(timeout=5), DAY, "/lake") == key
    others = [
        cache_key(entry(name="b"), DAY, "/lake"),
        cache_key(entry(params={"x": 1}), DAY, "/lake"),
        cache_key(entry(), None, "/lake"),
        cache_key(entry(), Period(DAY.start, DAY.end + timedelta(hours=1)), "/lake"),
        cache_key(entry(), DAY, "s3://bucket/lake"),
    ]
    assert len({key, *others}) == 6


def test_a_key_is_a_plain_name() -> None:
    """Results and locks are files of that name: no separator, no dot."""
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cache_key(entry(name="a/../b"), DAY, "s3://x/y"))
