"""Keys that repeat and intervals that overlap, and the quick look that says that there are none."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.collect.checks import PageChecks, settle_page
from gridtide.config.loading import parse
from gridtide.errors import FormatError
from gridtide.periods import Period
from gridtide.sources.contract import Request, Response
from gridtide.sources.registry import get_source
from gridtide.sources.tables import repeats
from gridtide.sources.tables.timing import Timing

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 12), st.sampled_from([4, 4, 4, 2]), st.booleans()), max_size=20
)


@given(ROWS)
def test_regular_records_neither_repeat_a_key_nor_overlap(rows: list[tuple[int, int, int, bool]]) -> None:
    """Whatever the quick look accepts has no pair of intervals of one series that share a moment."""
    series, starts, lengths = (np.array([row[place] for row in rows], np.int64) for place in range(3))
    live = np.array([row[3] for row in rows], bool)
    nowhere = np.zeros(len(rows), bool)
    timing = Timing(starts, starts + lengths, nowhere, nowhere, nowhere)
    overlapping = any(
        live[first]
        and live[second]
        and series[first] == series[second]
        and starts[first] < timing.ends[second]
        and starts[second] < timing.ends[first]
        for first in range(len(rows))
        for second in range(first)
    )
    if repeats.has_regular_keys(series, timing, live):
        assert not overlapping
        assert (repeats.find_repeated_keys(series, timing, live) < 0).all()


def test_a_table_of_hours_is_regular_and_one_with_a_gap_too() -> None:
    """Two series of hours with a missing hour need no sorting; an hour that stands twice, or half an hour, does."""
    series, starts = np.array([0, 1, 0, 1, 0]), np.array([0, 0, 60, 120, 120])
    nowhere, live = np.zeros(5, bool), np.ones(5, bool)
    for moved, expected in ((120, True), (60, False), (90, False)):
        starts[4] = moved
        assert (
            repeats.has_regular_keys(series, Timing(starts, starts + 60, nowhere, nowhere, nowhere), live) is expected
        )


PAGES = [
    "at,version,load\n2026-01-10T00:00Z,1,10\n2026-01-10T01:00Z,1,20\n2026-01-10T02:00Z,1,30\n",
    "at,version,load\n2026-01-10T00:00Z,3,12\n2026-01-10T01:00Z,1,20\n",
    "at,version,load\n2026-01-10T00:00Z,2,11\n2026-01-10T02:00Z,2,31\n",
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_latest_version_counts_whatever_the_order_of_pages(order: tuple[int, ...]) -> None:
    """Of an hour on three pages the third version is stored, and equal rows are one."""
    keys = {"time": "at", "conflict": "version", "value": "load", "interval": "PT1H", "timezone": "UTC"}
    [entry] = parse({"apis": [{"name": "x", "url": "https://grid.example/", "output_folder": "x", **keys}]}).apis
    day = Period(datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 1, 11, tzinfo=UTC))
    with PageChecks(entry, day) as checks:
        for number in order:
            request = Request(entry.url, period=day, label=str(number))
            answer = Response(PAGES[number].encode(), datetime(2026, 1, 12, tzinfo=UTC))
            page = get_source("generic").parse_response(entry, request, answer)
            checks.add(0, request, settle_page(page, entry, request, day))
        rows = [row for draft in checks.complete() for row in draft.table().to_pylist()]
    assert {f"{row['interval_start']:%H}": row["value"] for row in rows} == {"00": 12, "01": 20, "02": 31}
    assert all("rank" not in row for row in rows)


def test_a_version_may_be_a_time_and_must_be_a_column() -> None:
    """Times of posting are versions too; a column that is not there is named."""
    body = "at,posted,load\n2026-01-10T00:00Z,2026-01-10 09:55,10\n2026-01-10T00:00Z,2026-01-10 10:55,11\n"
    for keys, lines in (({"conflict": "posted"}, (0, 1)), ({"conflict": "posted"}, (1, 0))):
        header, *rows = body.splitlines()
        text = "\n".join([header, *(rows[line] for line in lines)]) + "\n"
        assert [row["value"] for row in settle(text, time="at", interval="PT1H", value="load", **keys)] == [11]
    with pytest.raises(FormatError, match="conflict: there is no column lats and no such header"):
        settle(body, time="at", interval="PT1H", value="load", conflict="lats")


def settle(body: str, **keys: Any) -> list[dict[str, Any]]:
    """The rows that are stored of a CSV."""
    [entry] = parse({"apis": [{"name": "x", "url": "https://grid.example/", "output_folder": "x", **keys}]}).apis
    request = Request(entry.url)
    answer = Response(body.encode(), datetime(2026, 1, 12, tzinfo=UTC))
    page = get_source("generic").parse_response(entry, request, answer)
    return settle_page(page, entry, request, None).page.observations.to_pylist()
