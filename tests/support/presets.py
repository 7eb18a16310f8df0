"""Products of presets, read from bodies: entries, requests, pages and the values in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gridtide.collect.checks import OUTRANKED, settle_page
from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.periods import Period
from gridtide.sources.contract import Page, Request, Response, Skipped
from gridtide.sources.formats.cells import RECORDS_BESIDE
from gridtide.sources.formats.csv_rows import BEHIND_ROWS, COMMENTS, OTHER_LINES
from gridtide.sources.registry import get_source
from gridtide.sources.tables.selection import NUMBERS_UNUSED, UNUSED

OPERATORS = Path(__file__).parents[3] / "shared" / "operators"
UNUSED_COLUMNS = tuple(
    reason.partition("{")[0] for reason in (NUMBERS_UNUSED, UNUSED, RECORDS_BESIDE, COMMENTS, OTHER_LINES, BEHIND_ROWS)
)
RETRIEVED = datetime(2026, 12, 1, tzinfo=UTC)


def recording(path: str) -> bytes:
    """The recorded answer at `path`; the test is skipped where the recordings are not."""
    if not OPERATORS.is_dir():
        pytest.skip(f"the recordings of operators are not in {OPERATORS}")
    return (OPERATORS / path).read_bytes()


def entry_of(source_name: str, product: str, **keys: Any) -> Entry:
    """The entry of a product, with further keys."""
    raw = {"name": "x", "source": source_name, "product": product, "output_folder": "x", **keys}
    return parse({"apis": [raw]}).apis[0]


def read_product(
    source_name: str,
    product: str,
    body: str | bytes,
    *,
    period: Period | None = None,
    headers: Mapping[str, str] | None = None,
    retrieved: datetime = RETRIEVED,
    **keys: Any,
) -> Page:
    """The page of `body`, an answer for `period`, as it is checked and stored."""
    entry = entry_of(source_name, product, **keys)
    request = Request(entry.url, period=period)
    response = Response(body.encode() if isinstance(body, str) else body, retrieved, headers=headers or {})
    page = get_source(source_name).parse_response(entry, request, response)
    settled = settle_page(page, entry, request, period)
    contradicted = [item for item in settled.skipped if item.reason != OUTRANKED]
    assert (contradicted, settled.repeat_count, list(settled.conflicts)) == ([], 0, [])
    return replace(settled.page, skipped=[*settled.page.skipped, *settled.skipped])


def used_skipped(page: Page) -> list[Skipped]:
    """What a page does not store of the columns that its entry names."""
    return [item for item in page.skipped if not item.reason.startswith(UNUSED_COLUMNS)]


def requests_of(source_name: str, product: str, start: datetime, end: datetime, **keys: Any) -> list[Request]:
    """The requests of a product for the period between two times in UTC."""
    period = Period(start.replace(tzinfo=UTC), end.replace(tzinfo=UTC))
    return get_source(source_name).build_requests(entry_of(source_name, product, **keys), period)


def stored_of(page: Page) -> dict[tuple[str, str, str], float | None]:
    """The values of a page by start, location and variable."""
    return {
        (f"{row['interval_start']:%Y-%m-%dT%H:%MZ}", row["location"], row["variable"]): row["value"]
        for row in page.observations.to_pylist()
    }


def page_of(page: Page, variable: str) -> list[dict[str, Any]]:
    """The rows of one variable, by their starts."""
    rows = [row for row in page.observations.to_pylist() if row["variable"] == variable]
    return sorted(rows, key=lambda row: (row["interval_start"], row["location"]))
