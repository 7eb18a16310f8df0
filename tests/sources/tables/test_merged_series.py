"""Records of several series are never stored as one, whatever tells them apart; what describes values is no series."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridtide.collect.checks import settle_page
from gridtide.config.loading import parse
from gridtide.errors import FormatError
from gridtide.sources import generic
from gridtide.sources.contract import Request, Response

START = datetime(2026, 1, 10, tzinfo=UTC)
Row = Mapping[str, Any]


def read(body: str, **keys: Any) -> list[tuple[str, float]]:
    """The places and values that are stored of `body`."""
    base = {"name": "table", "url": "https://grid.example/table", "output_folder": "table", "time": "at"}
    entry = parse({"apis": [base | {"value": "mw", "interval": "PT1H"} | keys]}).apis[0]
    page = generic.parse_response(entry, Request(entry.url), Response(body.encode(), START))
    rows = settle_page(page, entry, Request(entry.url), None).page.observations.to_pylist()
    return [(row["location"], row["value"]) for row in rows]


def as_csv(rows: Sequence[Row]) -> str:
    """A CSV of `rows`."""
    return "".join(f"{','.join(map(str, line))}\n" for line in [list(rows[0]), *(row.values() for row in rows)])


def as_nested(rows: Sequence[Row]) -> str:
    """JSON with an object for each row that holds its label, and a list with the row itself."""
    return json.dumps([{**row, "points": [{"at": row["at"], "mw": row["mw"]}]} for row in rows])


WRITERS = {"csv": as_csv, "json": lambda rows: json.dumps(list(rows)), "nested": as_nested}

TEXTS = st.one_of(
    st.sampled_from("ABCDEFGHZ"),
    st.integers(1, 30),
    st.integers(1, 9).map("Z{}".format),
    st.sampled_from(["North", "South", "DK1", "Öst", "10Y1001A1001A82H"]),
)
NAMES = st.sampled_from(["area", "zone", "zone_id", "ZoneId", "PTID", "location", "node", "code", "fuel_type", "lat"])


@settings(deadline=None)
@given(
    name=NAMES,
    labels=st.lists(TEXTS, min_size=2, max_size=3, unique_by=str),
    hours=st.lists(st.integers(0, 2), min_size=2, max_size=40),
    kind=st.sampled_from(sorted(WRITERS)),
)
def test_records_of_several_places_are_never_one_series(
    name: str, labels: list[Any], hours: list[int], kind: str
) -> None:
    """One letter, a number or a word, at other times or at the same: without a key the records are refused, and the
    message names the column; with it each record is stored at its place."""
    places = [
        labels[number % len(labels)] if number < 2 else labels[hour % len(labels)] for number, hour in enumerate(hours)
    ]
    rows = [
        {"at": f"{START + timedelta(hours=number):%Y-%m-%dT%H:%MZ}", name: place, "mw": float(number)}
        for number, place in enumerate(places)
    ]
    keys = {"records": "points", "time": "at"} if kind == "nested" else {}
    with pytest.raises(FormatError, match=rf'in {name}[,:].*"location": "{name}"'):
        read(WRITERS[kind](rows), **keys)
    expected = [(str(place), float(number)) for number, place in enumerate(places)]
    assert read(WRITERS[kind](rows), location=name, **keys) == expected


def test_a_label_that_changes_far_down_a_large_table_is_found() -> None:
    """The table is looked at to its end, also where it is read in pieces."""
    lines = [
        f"{START + timedelta(hours=number):%Y-%m-%dT%H:%MZ},{'A' if number < 59_000 else 'B'},{number}"
        for number in range(60_000)
    ]
    body = "\n".join(["at,area,mw", *lines, ""])
    assert len(body) > 1 << 20
    with pytest.raises(FormatError, match="differ in area"):
        read(body)


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("quality", ["A", "E", "A"]),
        ("flag", ["good", "bad", "good"]),
        ("peak", ["Y", "N", "Y"]),
        ("is_holiday", [True, False, False]),
        ("remark", ["", "late", "estimated"]),
        ("id", [17, 18, 19]),
        ("record_id", [17, 18, 19]),
        ("uuid", ["a1b2", "b7c8", "c9d0"]),
        ("updated", ["2026-01-10T09:00Z", "2026-01-10T09:05Z", "2026-01-10T09:10Z"]),
        ("Issued", ["10-Jan-2026 09:00", "10-Jan-2026 10:00", "10-Jan-2026 09:00"]),
        ("note", ["A", "B", "A"]),
        ("status", ["final", "preliminary", "final"]),
        ("capacity", [1, 2, 1]),
        ("wind_direction", [270, 280, 270]),
        ("hour", [1, 2, 3]),
        ("area", ["A", "A", "A"]),
        ("area", ["A", "", "A"]),
        ("unit", ["MW", "MW", "mw"]),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_what_describes_values_makes_no_series(kind: str, name: str, texts: list[Any]) -> None:
    """Qualities, flags, remarks, numbers of records, times and other measurements may differ within a series."""
    rows = [
        {"at": f"{START + timedelta(hours=number):%Y-%m-%dT%H:%MZ}", name: text, "mw": float(number)}
        for number, text in enumerate(texts)
    ]
    assert read(WRITERS[kind](rows)) == [("table", 0.0), ("table", 1.0), ("table", 2.0)]


@pytest.mark.parametrize(
    ("name", "texts", "fix"),
    [
        ("unit", ["MW", "GW", "MW"], {"where": {"unit": ["MW"]}}),
        ("value-units", ["%", "MW", "%"], {"where": {"value-units": ["%"]}}),
        ("price_Measure_Unit.name", ["EUR", "GBP", "EUR"], {"where": {"price_Measure_Unit.name": ["EUR"]}}),
        ("status", ["actual", "forecast", "actual"], {"where": {"status": ["actual"]}}),
    ],
)
def test_units_and_forecasts_are_not_mixed_with_others(name: str, texts: list[str], fix: dict[str, Any]) -> None:
    """Values in several units, or forecasts among measurements, are refused as one series; those of one are stored."""
    rows = [
        {"at": f"{START + timedelta(hours=number):%Y-%m-%dT%H:%MZ}", name: text, "mw": float(number)}
        for number, text in enumerate(texts)
    ]
    with pytest.raises(FormatError, match=name):
        read(as_csv(rows))
    assert read(as_csv(rows), **fix) == [("table", 0.0), ("table", 2.0)]
    assert len(read(as_csv(rows), variable=name)) == 3


def test_a_condition_on_several_texts_merges_no_series() -> None:
    """`where` with two places selects two series, which are told apart by a key or refused."""
    rows = [
        {"at": f"{START + timedelta(hours=number):%Y-%m-%dT%H:%MZ}", "area": area, "mw": 1.0}
        for number, area in enumerate("ABC")
    ]
    with pytest.raises(FormatError, match="differ in area"):
        read(as_csv(rows), where={"area": ["A", "B"]})
    assert read(as_csv(rows), where={"area": ["A"]}) == [("table", 1.0)]
    assert read(as_csv(rows), where={"area": ["A", "B"]}, location="area") == [("A", 1.0), ("B", 1.0)]


def test_a_snapshot_of_many_fuels_names_the_column_of_fuels() -> None:
    """Records of one time that all differ in a column are as many series, not values in conflict."""
    rows = [{"at": "2026-01-10T00:00Z", "what": f"fuel {number}", "mw": 0.0} for number in range(10)]
    with pytest.raises(FormatError, match="differ in what"):
        read(as_csv(rows))
    assert len(read(as_csv(rows), variable="what")) == 10
