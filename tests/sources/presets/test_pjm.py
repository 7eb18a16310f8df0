"""PJM: requests in prevailing time with an inclusive end, the archive's edge, pages, versions, and recordings."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gridtide.errors import ConfigurationError
from gridtide.periods import Period
from gridtide.sources.contract import Request
from gridtide.sources.registry import split_into_chunks
from gridtide.sources.tables.components import INCONSISTENT
from tests.support.presets import entry_of, page_of, read_product, recording, requests_of, stored_of, used_skipped

HUB = {"locations": ["51288"]}


def price(
    start: str, total: float, *, current: bool = True, version: int = 1, energy: float | None = None
) -> dict[str, Any]:
    """A record of the day-ahead prices of the Western Hub."""
    return {
        "datetime_beginning_utc": start,
        "datetime_beginning_ept": "2026-11-01T01:00:00",
        "pnode_id": 51288,
        "pnode_name": "WESTERN HUB",
        "type": "HUB",
        "system_energy_price_da": total - 3 if energy is None else energy,
        "total_lmp_da": total,
        "congestion_price_da": 2.0,
        "marginal_loss_price_da": 1.0,
        "row_is_current": current,
        "version_nbr": version,
    }


def envelope(items: list[dict[str, Any]], total: int | None = None) -> str:
    """An answer of Data Miner 2."""
    return json.dumps(
        {"links": [], "items": items, "searchSpecification": {}, "totalRows": len(items) if total is None else total}
    )


def spans(asked: list[Request]) -> list[str]:
    """The periods in the clock of New York that requests ask for."""
    return [dict(request.params)["datetime_beginning_ept"] for request in asked]


def recent(month: int, day: int) -> datetime:
    """A day of the last two years, whose prices are not archived."""
    now = datetime.now(UTC)
    moment = datetime(now.year, month, day, 12, tzinfo=UTC)
    return moment if moment < now else moment.replace(year=now.year - 1)


def test_the_end_of_a_request_is_the_start_of_its_last_interval() -> None:
    """The upstream includes the end: a day of 25 hours ends at 23:00, without the first hour of the next day."""
    asked = requests_of("pjm", "generation", datetime(2023, 11, 5, 4), datetime(2023, 11, 6, 5))
    assert spans(asked) == ["11/05/2023 00:00to11/05/2023 23:00"]
    asked = requests_of("pjm", "lmp_five_minute", datetime(2023, 3, 12, 5), datetime(2023, 3, 13, 4), **HUB)
    assert spans(asked) == ["03/12/2023 00:00to03/12/2023 23:55"]


def test_chunks_end_at_midnights_of_new_york() -> None:
    """No chunk begins or ends within the hour that comes twice, of which the clock cannot say the pass."""
    period = Period(datetime(2023, 11, 4, 4, tzinfo=UTC), datetime(2023, 11, 7, 5, tzinfo=UTC))
    chunks = split_into_chunks(entry_of("pjm", "generation", chunk="P1D"), period)
    assert [f"{chunk.start:%d %H}" for chunk in chunks] == ["04 04", "05 04", "06 05"]


def test_no_request_spans_a_year_or_the_edge_of_the_archive() -> None:
    """Archived prices are requested without filters, year by year; newer ones with the nodes and current rows alone."""
    now = datetime.now(UTC)
    edge = now - timedelta(days=731)
    asked = requests_of("pjm", "lmp_day_ahead", edge - timedelta(days=400), edge + timedelta(days=10), **HUB)
    for request, span in zip(asked, spans(asked), strict=True):
        first, last = (datetime.strptime(text, "%m/%d/%Y %H:%M") for text in span.split("to"))
        assert first.year == last.year
        is_archived = "pnode_id" not in dict(request.params)
        assert is_archived == ("row_is_current" not in dict(request.params))
        assert is_archived == (last.date() < edge.date())
    assert len({"pnode_id" in dict(request.params) for request in asked}) == 2
    periods = [request.period for request in asked if request.period]
    assert all(later.start == earlier.end for earlier, later in itertools.pairwise(periods))


def test_nodes_are_requested_together_and_must_be_named() -> None:
    """Thousands of nodes are not collected by mistake; several nodes are one request."""
    start = recent(6, 1)
    (asked,) = requests_of("pjm", "lmp_day_ahead", start, start + timedelta(hours=3), locations=["51288", "51217"])
    assert dict(asked.params)["pnode_id"] == "51288;51217"
    with pytest.raises(ConfigurationError, match="locations: is missing, and the requests name them"):
        entry_of("pjm", "lmp_day_ahead")


def test_superseded_versions_are_counted_and_not_stored() -> None:
    """Of a corrected price the current row is stored, whatever the order; a later request brings it as a vintage."""
    old, new = price("2026-11-01T05:00:00", 20.0, current=False), price("2026-11-01T05:00:00", 25.0, version=2)
    for items in ([old, new], [new, old]):
        page = read_product("pjm", "lmp_day_ahead", envelope(items), **HUB)
        assert [row["value"] for row in page_of(page, "lmp_day_ahead")] == [25.0]
        assert [(item.reason, item.count) for item in used_skipped(page)] == [
            ("records with another row_is_current than true or 1 or nothing", 4)
        ]


def test_the_latest_version_of_an_archived_row_counts() -> None:
    """Archived rows do not say whether they are current: of an hour with two versions the second is stored, whatever
    the order, with all of its components, and the rows are as many as declared."""
    hours = [price(f"2023-11-05T{hour:02}:00:00", 20.0 + hour) for hour in (4, 5, 6)]
    rows = [*hours, price("2023-11-05T05:00:00", 90.0, version=2)]
    for row in rows:
        del row["row_is_current"]
    for items in itertools.permutations(rows):
        page = read_product("pjm", "lmp_day_ahead", envelope(list(items)), **HUB)
        assert [row["value"] for row in page_of(page, "lmp_day_ahead")] == [24, 90, 26]
        assert [row["value"] for row in page_of(page, "lmp_day_ahead_energy")] == [21, 87, 23]
        assert page.total == page.record_count == 4
        counted = [(item.reason, item.count) for item in used_skipped(page)]
        assert counted == [("earlier versions of a value, of which the latest is stored", 4)]


def test_utc_tells_the_repeated_hour() -> None:
    """01:00 stands twice in prevailing time; the records are told apart by UTC."""
    items = [price("2026-11-01T05:00:00", 20.0), price("2026-11-01T06:00:00", -30.5)]
    stored = stored_of(read_product("pjm", "lmp_day_ahead", envelope(items), **HUB))
    assert stored["2026-11-01T05:00Z", "51288", "lmp_day_ahead"] == 20
    assert stored["2026-11-01T06:00Z", "51288", "lmp_day_ahead"] == -30.5
    assert stored["2026-11-01T06:00Z", "51288", "lmp_day_ahead_energy"] == -33.5


def test_components_that_do_not_add_up_are_counted() -> None:
    """A record whose energy is wrong is left out with its example."""
    items = [price("2026-11-01T05:00:00", 20.0), price("2026-11-01T06:00:00", 20.0, energy=10.0)]
    page = read_product("pjm", "lmp_day_ahead", envelope(items), **HUB)
    assert page.observations.num_rows == 4
    assert [(item.reason, item.count, item.example) for item in used_skipped(page)] == [
        (INCONSISTENT, 4, "record 2: 20 is not 10 + 2 + 1")
    ]


def test_pages_go_by_rows_and_declare_their_total() -> None:
    """Row numbers begin at 1, and the page after 2 of 5 rows starts at row 3."""
    page = read_product(
        "pjm", "lmp_day_ahead", envelope([price(f"2026-11-01T0{hour}:00:00", 20.0) for hour in (5, 6)], 5), **HUB
    )
    assert page.total == 5
    assert [dict(request.params)["startRow"] for request in page.next_requests] == ["3"]
    assert read_product("pjm", "lmp_day_ahead", envelope([]), **HUB).observations.num_rows == 0


def test_an_archived_answer_is_narrowed_here() -> None:
    """Of all nodes those that the entry names are stored, the others are counted."""
    other = price("2026-11-01T05:00:00", 9.0) | {"pnode_id": 1}
    page = read_product("pjm", "lmp_day_ahead", envelope([price("2026-11-01T05:00:00", 20.0), other]), **HUB)
    assert {row["location"] for row in page.observations.to_pylist()} == {"51288"}
    assert sum(item.count for item in used_skipped(page)) == 4


def test_exports_of_the_page_are_read_in_utc_or_by_the_order_of_rows() -> None:
    """A CSV has times as the page shows them; where it keeps New York's alone, 01:00 stands twice in autumn."""
    header = "datetime_beginning_utc,datetime_beginning_ept,load_area,mw,is_verified\n"
    hours = [("4:00:00 AM", "12:00:00 AM", 1), ("5:00:00 AM", "1:00:00 AM", 2), ("6:00:00 AM", "1:00:00 AM", 3)]
    hours.append(("7:00:00 AM", "2:00:00 AM", 4))
    rows = [f"11/5/2023 {utc},11/5/2023 {ept},RTO,{mw},True\n" for utc, ept, mw in hours]
    expected = {(f"2023-11-05T0{hour}:00Z", "RTO", "load"): hour - 3 for hour in (4, 5, 6, 7)}
    assert stored_of(read_product("pjm", "load", header + "".join(rows))) == expected
    local = [row.split(",", 1)[1] for row in (header, *rows)]
    assert stored_of(read_product("pjm", "load", "".join(local))) == expected
    items = [{"datetime_beginning_ept": f"2023-03-12T0{hour}:00:00", "load_area": "RTO", "mw": hour} for hour in (1, 3)]
    assert stored_of(read_product("pjm", "load", json.dumps(items))) == {
        ("2023-03-12T06:00Z", "RTO", "load"): 1,
        ("2023-03-12T07:00Z", "RTO", "load"): 3,
    }


def test_recordings_are_read_whole() -> None:
    """Generation and the seven days of the load forecast, with one vintage."""
    page = read_product("pjm", "generation", recording("pjm/gen_by_fuel.json"))
    assert (page.observations.num_rows, used_skipped(page)) == (220, [])
    assert stored_of(page)["2025-02-09T00:00Z", "PJM", "generation_natural_gas"] == 47280
    body = recording("pjm/load_frcstd_7_day_2025-03-19.json")
    page = read_product("pjm", "load_forecast_latest", body)
    assert (page.observations.num_rows, used_skipped(page)) == (len(json.loads(body)), [])
    assert {row["published_at"] for row in page.observations.to_pylist()} == {
        datetime(2025, 3, 19, 9, 17, 53, tzinfo=UTC)
    }
    assert stored_of(page)["2025-03-19T04:00Z", "RTO_COMBINED", "load_forecast"] == 76305
