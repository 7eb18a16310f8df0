"""Records of XML: positions of periods that have no point, elements beside the records, and two resolutions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.config.loading import parse
from gridtide.errors import FormatError
from gridtide.sources import generic
from gridtide.sources.contract import Page, Request, Response

START = datetime(2026, 1, 10, tzinfo=UTC)
PRICES = {"layout": "positions", "value": {"price.amount": {"variable": "price", "unit": "EUR/MWh"}}}


def read(body: str, **keys: Any) -> Page:
    """The page of `body`, read with `keys`."""
    base = {"name": "table", "url": "https://grid.example/table", "output_folder": "table"}
    entry = parse({"apis": [base | keys]}).apis[0]
    return generic.parse_response(entry, Request(entry.url), Response(body.encode(), START))


def series(points: dict[int, float], curve: str, length: int, minutes: int = 60, number: int = 1) -> str:
    """A time series of a document of ENTSO-E with `length` positions."""
    end = START + timedelta(minutes=minutes * length)
    rows = "".join(
        f"<Point><position>{n}</position><price.amount>{p}</price.amount></Point>" for n, p in points.items()
    )
    bounds = f"<start>{START:%Y-%m-%dT%H:%MZ}</start><end>{end:%Y-%m-%dT%H:%MZ}</end>"
    return (
        f"<TimeSeries><mRID>{number}</mRID><curveType>{curve}</curveType><Period><timeInterval>{bounds}</timeInterval>"
        f"<resolution>PT{minutes}M</resolution>{rows}</Period></TimeSeries>"
    )


@given(st.sets(st.integers(1, 24), min_size=1), st.sampled_from(["A01", "A03"]))
def test_positions_are_stored_or_counted(numbers: set[int], curve: str) -> None:
    """A fixed-sized curve has a value at its points alone, a variable-sized one from its first point on; a run warns
    of the positions of the period that have none."""
    points = {number: float(number) for number in sorted(numbers)}
    page = read(f"<Document>{series(points, curve, 24)}</Document>", **PRICES)
    expected = [
        (START + timedelta(hours=position - 1), max(number for number in numbers if number <= position))
        for position in range(1, 25)
        if position in numbers or (curve == "A03" and position > min(numbers))
    ]
    rows = page.observations.to_pylist()
    assert [(row["interval_start"], row["value"]) for row in rows] == expected
    warned = [item.count for item in page.skipped if not item.expected]
    assert sum(warned) == 24 - len(expected)


def test_of_two_resolutions_one_is_chosen() -> None:
    """Two series of one time are refused; the message says how to store one of them, or both apart."""
    hours = series(dict.fromkeys(range(1, 5), 10.0), "A01", 4)
    quarters = series(dict.fromkeys(range(1, 17), 11.0), "A01", 16, 15, 2)
    body = f"<Document>{hours}{quarters}</Document>"
    with pytest.raises(FormatError, match=r'"where": \{"resolution": \["PT\d+M"\]\}; or both apart: "variable"'):
        read(body, **PRICES)
    for resolution, count in (("PT60M", 4), ("PT15M", 16)):
        assert read(body, **PRICES, where={"resolution": [resolution]}).observations.num_rows == count
    assert read(body, **PRICES, variable="resolution").observations.num_rows == 20


ROW = '<row at="2026-01-10T0{}:00Z" mw="{}"/>'


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        ("<r><a>{0}</a><b>{1}</b></r>", {"records": "a.row"}),
        ("<r><a>{0}</a><b><c>{1}</c></b></r>", {"records": "a.row"}),
        ("<r>{0}<next>{1}</next></r>", {"records": "./row"}),
    ],
)
def test_elements_like_records_beside_them_are_warned_of(body: str, keys: dict[str, Any]) -> None:
    """Wherever they stand in the document; what describes the answer is no record."""
    page = read(body.format(ROW.format(0, 1), ROW.format(1, 2)), time="at", value="mw", **keys)
    assert page.observations["value"].to_pylist() == [1]
    assert [(item.count, "beside" in item.reason) for item in page.skipped if not item.expected] == [(1, True)]
    plain = read(
        f'<r at="2026-01-10T00:00Z" user="a"><a>{ROW.format(0, 1)}</a></r>', records="row", time="at", value="mw"
    )
    assert all(item.expected for item in plain.skipped)
