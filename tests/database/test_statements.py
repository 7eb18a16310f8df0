"""The source `sql`: which keys it refuses, and what it asks for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from gridtide.errors import ConfigurationError
from gridtide.periods import Period
from gridtide.sources.registry import get_source
from tests.support.upstreams.databases import hours, sql_entry


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"query": "select 1"}, 'table: give either a "table" or a "query"'),
        ({"table": None}, 'table: give either a "table" or a "query"'),
        ({"table": None, "query": "select :start, :end, :zone"}, "query: the parameter :zone has no value"),
        ({"table": None, "query": "select :start"}, "query: has only one of the parameters"),
        ({"params": {"zone": 1}}, "params.zone: no query has the parameter :zone"),
        ({"time": None}, "time: is missing"),
        ({"time_format": "%d.%m.%Y"}, "time_format: texts of this format are not in the order of time"),
        ({"auth": {"kind": "bearer", "env": "KEY"}}, "auth: names no database"),
        ({"auth": {"kind": "database_url"}}, 'name either "env"'),
        ({"method": "POST"}, "method: has no meaning for a database"),
        ({"format": "raw"}, "format: the answer of a database is no text"),
        ({"updated": "a", "published": "b"}, 'published: "updated" is the time of publication'),
    ],
)
def test_contradicting_keys_are_refused(keys: dict[str, object], problem: str) -> None:
    """Each problem names its key and says what would be right."""
    with pytest.raises(ConfigurationError) as refusal:
        sql_entry(**keys)
    assert problem in str(refusal.value)


def test_values_are_beside_the_text_of_the_query() -> None:
    """The request has the query as it is written, and its values apart; neither a cast nor an escape is a parameter."""
    query = "select ts::date, '\\:x' from t where ts >= :start and ts < :end and zone in :zones"
    entry = sql_entry(table=None, query=query, params={"zones": ["A", "'; --"]})
    (request,) = get_source("sql").build_requests(entry, hours("2024-03-10", 1))
    assert json.loads(request.body or "")["query"] == query
    assert dict(request.params) == {
        "zones": '["A", "\'; --"]',
        "start": "2024-03-10T00:00:00+00:00",
        "end": "2024-03-10T01:00:00+00:00",
    }


def test_bounds_are_those_of_the_labels() -> None:
    """Times that are ends of intervals are read one interval later; next to the hour that comes twice, bounds are an
    hour wider, as a time without offset may be of either pass."""
    entry = sql_entry(label="end", interval="PT15M", timezone="America/New_York")
    moments = []
    for hour in (4, 5, 6):  # 01:15 comes twice, at 05:15 and 06:15 UTC
        (request,) = get_source("sql").build_requests(entry, hours(f"2024-11-03T0{hour}:00", 1))
        moments.append([text[11:16] for _, text in request.params])
    assert moments == [["04:15", "06:15"], ["04:15", "07:15"], ["05:15", "07:15"]]


def test_changes_are_a_request_of_their_own() -> None:
    """With `updated`, a second request asks for other intervals that were changed in the period; a query has none."""
    period = Period(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=1))
    main, changes = get_source("sql").build_requests(sql_entry(updated="changed"), period)
    assert (main.period, main.beyond, changes.period, changes.beyond) == (period, False, None, True)
    assert [name for name, _ in changes.params] == ["start", "end", "changed_from", "changed_to"]
