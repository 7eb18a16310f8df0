"""Any spelling and order of ISO-NE records gives the same observations, and no document breaks the reader."""

import functools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.errors import GridtideError
from gridtide.sources import iso_ne
from gridtide.sources.contract import Response

AT = datetime(2026, 8, 1, tzinfo=UTC)


@functools.cache
def an_entry(path: str) -> Entry:
    """An entry of one resource."""
    url = f"https://webservices.iso-ne.com/api/v1.1/{path}"
    return parse({"apis": [{"name": "grid", "url": url, "output_folder": "grid"}]}).apis[0]


def read(document: Any, path: str) -> set[tuple[Any, ...]]:
    """The rows of `document`, as the answer to `path`."""
    entry = an_entry(path)
    page = iso_ne.parse_response(
        entry, iso_ne.build_requests(entry, None)[0], Response(json.dumps(document).encode(), AT)
    )
    return {tuple(row.values()) for row in page.observations.to_pylist()}


quarters = st.integers(0, 4 * 24 * 365)
numbers = st.one_of(st.integers(-20000, 20000), st.integers(-400000, 400000).map(lambda n: n / 16))


def spelled(number: float) -> st.SearchStrategy[Any]:
    """`number` in one of the upstream's spellings."""
    ways: list[Any] = [float(number), str(number)]
    return st.sampled_from([*ways, int(number)] if number == int(number) else ways)


def instant(quarter: int) -> st.SearchStrategy[str]:
    """A quarter of an hour of 2024, at any of New England's offsets or in UTC."""
    moment = datetime(2024, 1, 1, tzinfo=UTC) + quarter * timedelta(minutes=15)
    local = (moment.astimezone(iso_ne.ZONE), moment)
    return st.sampled_from([time.isoformat(timespec=form) for time in local for form in ("seconds", "milliseconds")])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_shape_order_and_spelling_do_not_matter(data: st.DataObject) -> None:
    """The same loads in any order, shape and spelling give the same observations."""
    loads = data.draw(st.dictionaries(quarters, numbers, max_size=5))
    expected = set()
    records = []
    for quarter, number in loads.items():
        start = datetime(2024, 1, 1, tzinfo=UTC) + quarter * timedelta(minutes=15)
        expected.add((start, start + timedelta(hours=1), "iso_ne", "32", "load", "MW", float(number), None, AT))
        fields = {
            "BeginDate": data.draw(instant(quarter)),
            "Location": {"@LocId": data.draw(st.sampled_from(["32", 32])), "$": "NEPOOL AREA"},
            "Load": data.draw(spelled(number)),
        }
        records.append(dict(data.draw(st.permutations(list(fields.items())))))
    shuffled = data.draw(st.permutations(records))
    lone = shuffled[0] if len(shuffled) == 1 else shuffled
    shapes = [shuffled, lone] if shuffled else [{}, [], None, ""]
    inner = data.draw(st.sampled_from(shapes))
    document = data.draw(
        st.sampled_from(
            [
                inner,
                {"HourlySystemLoad": inner},
                {"HourlySystemLoads": inner},
                {"HourlySystemLoads": {"HourlySystemLoad": inner}},
            ]
        )
    )
    assert read(document, "hourlysysload/current") == expected


keys = st.sampled_from(
    [
        *("BeginDate", "CreationDate", "MarketDate", "MarketDay", "Location", "@LocId", "Load", "LoadMw", "LmpTotal"),
        *("GenMw", "FuelCategory", "MarginalFlag", "TieDelivery", "TieName", "TieFlowMw", "Weather", "@Day", "$"),
        *(root for product in iso_ne.PRODUCTS for root in product.roots),
    ]
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["2024-03-10T00:00:00.000-05:00", "2024-03-10", "9999-12-31T23:00:00-05:00", "-", "Y", "7"]),
)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5), max_leaves=12
)


@settings(max_examples=150, deadline=None)
@given(documents, st.sampled_from(iso_ne.PRODUCTS), st.booleans(), st.booleans())
def test_any_document_is_read_or_refused(document: Any, product: iso_ne.Product, rooted: bool, known: bool) -> None:
    """Any JSON gives observations, or an error of Gridtide that names the entry."""
    refusal = None
    try:
        read({product.root: document} if rooted else document, f"{product.path}/current" if known else "anything")
    except GridtideError as error:
        refusal = error
    assert refusal is None or refusal.subject == "grid"
