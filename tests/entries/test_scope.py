"""Scopes, held against counting their combinations one by one; and what each source makes of them."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.entries.scope import ANY, Scope, parse_scope
from gridtide.sources.registry import find_entry_scope, narrow_entry

VALUES = st.frozensets(st.sampled_from("ABC"), min_size=1)
QUESTIONS = st.builds(
    lambda regions, kinds, months: Scope.of_facets({"region": regions, "type": kinds, "month": months}, "r"),
    *(VALUES, VALUES, VALUES),
)

EIA_URL = "https://api.eia.gov/v2/electricity/rto/fuel-type-data/data/"
ARCHIVE_URL = "https://archive-api.open-meteo.com/v1/archive"
ISO_URL = "https://webservices.iso-ne.com/api/v1.1"
OASIS_URL = "https://oasis.caiso.com/oasisapi/SingleZip"


def entry_of(**keys: Any) -> Entry:
    """An entry with these keys."""
    return parse({"apis": [{"name": "grid", "output_folder": "grid", **keys}]}).apis[0]


def combinations(scope: Scope) -> set[tuple[str, ...]]:
    """Every combination that is asked for."""
    return set(product(*(sorted(values) for _, values in scope.facets)))


@given(QUESTIONS, QUESTIONS)
def test_what_is_new_is_all_that_was_not_asked_before(now: Scope, before: Scope) -> None:
    """No combination is left out, asked for twice, or asked for although it was before."""
    pieces = [combinations(piece) for piece in now.without(before)]
    assert set().union(*pieces) == combinations(now) - combinations(before)
    assert sum(map(len, pieces)) == len(set().union(*pieces))


def test_a_facet_without_bounds_holds_every_value() -> None:
    """What was asked of all regions covers each; of all regions beyond one nothing less than all can be named."""
    all_regions, region = (Scope.of_facets({"region": values}, "r") for values in ((ANY,), ("A",)))
    assert region.without(all_regions) == []
    assert all_regions.without(region) == [all_regions]


def test_a_facet_that_only_one_of_two_names_cannot_be_compared() -> None:
    """It restricts neither, and they say of each other that they cannot be compared; nor can other readings."""
    now, before = Scope.of_facets({"a": "x", "limit": "9"}, "r"), Scope.of_facets({"a": "x"}, "r")
    assert now.without(before) == []
    assert not now.is_comparable(before)
    assert not before.is_comparable(Scope.of_facets({"a": "x"}, "other"))


@given(QUESTIONS)
def test_a_scope_is_read_as_it_was_written(scope: Scope) -> None:
    """The text of a scope says all of it; a text of another form says nothing."""
    assert parse_scope(scope.as_text()) == scope
    assert parse_scope('{"regions": []}') is None
    assert parse_scope("") is None


def test_only_what_differs_is_named() -> None:
    """Of a part the facets that are smaller than those of the whole, and a few of their values."""
    whole = Scope.of_facets({"region": "ABCDEFGH", "type": "x"}, "r")
    assert Scope.of_facets({"region": "BA", "type": "x"}, "r").describe_within(whole) == "region: A, B"
    longer = Scope.of_facets({"region": "ABCDEFG", "type": "x"}, "r")
    assert longer.describe_within(whole) == "region: A, B, C, D, E and 2 more"
    assert whole.describe_within(whole) == ""


NARROWED = {
    "eia": (
        {"url": EIA_URL, "params": {"facets[respondent][]": ["ISNE", "CISO"], "facets[fueltype][]": ["SUN", "WND"]}},
        {"respondent": ["CISO"], "fueltype": ["SUN"]},
        [{"params": {"facets[respondent][]": ("CISO",), "facets[fueltype][]": ("SUN",)}}],
    ),
    "open_meteo": (
        {
            "url": ARCHIVE_URL,
            "params": {"latitude": [42.4, 34.1], "longitude": [-71.1, -118.2], "hourly": "rain,snowfall"},
            "location": ["Boston", "Los Angeles"],
        },
        {"place": ["Los Angeles, 34.1, -118.2"], "hourly": ["snowfall"]},
        [
            {
                "params": {"latitude": ("34.1",), "longitude": ("-118.2",), "hourly": ("snowfall",)},
                "location": ("Los Angeles",),
            }
        ],
    ),
    "iso_ne": (
        {"url": f"{ISO_URL}/realtimehourlydemand/current.json"},
        {"location": ["4001", "4008"]},
        [{"url": f"{ISO_URL}/realtimehourlydemand/current/location/{zone}.json"} for zone in (4001, 4008)],
    ),
    "caiso": (
        {"url": OASIS_URL, "params": {"queryname": "PRC_LMP", "market_run_id": "DAM", "node": "N1,N2,N3"}},
        {"node": ["N1", "N3"]},
        [{"params": {"queryname": "PRC_LMP", "market_run_id": "DAM", "node": "N1,N3"}}],
    ),
    "synthetic": (
        {"source": "synthetic", "params": {"authority": ["ISNE", "CISO"], "variables": ["demand", "load"]}},
        {"authority": ["CISO"], "variables": ["load"]},
        [{"params": {"authority": ("CISO",), "variables": ("load",)}}],
    ),
    "a list of generic params": (
        {"url": "https://grid.example/{start}", "params": {"region": ["A", "B"], "unit": "MW"}, "time": "t"},
        {"region": ["B"]},
        [{"params": {"region": ("B",), "unit": "MW"}}],
    ),
    "columns of a generic table": (
        {"url": "https://grid.example/{start}", "time": "t", "value": {"load": {"unit": "MW"}, "wind": {}}},
        {"value": ["wind"]},
        [{"params": {}}],
    ),
}


@pytest.mark.parametrize("case", NARROWED)
def test_a_source_asks_for_a_part_of_what_an_entry_asks(case: str) -> None:
    """The narrowed entries ask for exactly the part, and have the name and the place of the entry."""
    keys, chosen, differences = NARROWED[case]
    entry = entry_of(**keys)
    whole = find_entry_scope(entry)
    part = Scope.of_facets({**whole.values(), **chosen}, whole.reading)
    narrowed = narrow_entry(entry, part)
    expected = [{"params": entry.params, "url": entry.url, **difference} for difference in differences]
    assert [
        {key: getattr(narrow, key) for key in of} for narrow, of in zip(narrowed, expected, strict=True)
    ] == expected
    assert set().union(*(combinations(find_entry_scope(narrow)) for narrow in narrowed)) == combinations(part)
    assert {narrow.name for narrow in narrowed} == {"grid"}
    assert narrow_entry(entry, whole) == [entry]


WHOLE_AGAIN = {
    "lists that may belong together": (
        {"url": "https://grid.example/{start}", "params": {"lat": ["1", "2"], "lon": ["3", "4"]}, "time": "t"},
        {"lat": ["2"], "lon": ["4"]},
    ),
    "columns whose names join with those of another column": (
        {"url": "https://grid.example/{start}", "time": "t", "variable": "type", "value": ["mw", "share"]},
        {},
    ),
    "an expectation of the whole answer": (
        {"source": "synthetic", "params": {"authority": ["ISNE", "CISO"]}, "expect": {"minimum_rows": 48}},
        {"authority": ["CISO"]},
    ),
    "places in the URL": (
        {"url": f"{ARCHIVE_URL}?latitude=1,2&longitude=3,4", "params": {"hourly": "rain"}},
        {"place": ["2,4, 2, 4"]},
    ),
}


@pytest.mark.parametrize("case", WHOLE_AGAIN)
def test_what_cannot_be_asked_alone_is_not(case: str) -> None:
    """No entry is narrowed where its parts may depend on each other."""
    keys, chosen = WHOLE_AGAIN[case]
    entry = entry_of(**keys)
    whole = find_entry_scope(entry)
    values = whole.values()
    assert all(set(names) < values[facet] for facet, names in chosen.items())
    if chosen:
        assert not narrow_entry(entry, Scope.of_facets({**values, **chosen}, whole.reading))
    else:
        assert values["value"] == {"mw, share"}


def test_what_is_asked_and_how_it_is_read_are_told_apart() -> None:
    """Files, politeness and schedules change neither; a time zone changes the reading; a length of intervals, a URL
    and a header change what is asked; the host of an upstream that is known does not."""
    url = "https://grid.example/{start}"
    base = find_entry_scope(entry_of(url=url, time="t"))
    same = entry_of(url=url, time="t", output_folder="x", file_prefix="y", format="csv", retries=9, chunk="P1D")
    assert find_entry_scope(same) == base
    zoned = find_entry_scope(entry_of(url=url, time="t", timezone="Europe/London"))
    assert zoned.facets == base.facets
    assert zoned.reading != base.reading
    for keys in ({"url": url + "x"}, {"resolution": "PT5M"}, {"location": "B"}):
        asked = find_entry_scope(entry_of(**{"url": url, "time": "t", **keys}))
        assert (asked.reading, asked.without(base)) == (base.reading, [asked])
    eia = [entry_of(url=EIA_URL), entry_of(url=EIA_URL.replace("api.eia.gov", "localhost:1"), source="eia")]
    assert find_entry_scope(eia[0]) == find_entry_scope(eia[1])
