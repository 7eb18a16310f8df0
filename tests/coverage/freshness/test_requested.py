"""Which series an entry still requests after its requests have changed."""

from typing import Any

import pytest

from gridtide.config.loading import parse
from gridtide.coverage.freshness.last_rows import LastRows
from gridtide.coverage.freshness.requested import select_requested
from gridtide.entries.entry import Entry
from gridtide.periods import EPOCH
from gridtide.sources.registry import find_entry_scope

GENERIC = {"name": "grid", "url": "https://x.test/{start}/{end}", "time": "time", "location": "region", "value": "load"}
GENERIC |= {"unit": "MW", "interval": "PT1H", "output_folder": "grid"}
EIA = {"name": "grid", "source": "eia", "output_folder": "grid"}
EIA |= {"url": "https://api.eia.gov/v2/electricity/rto/fuel-type-data/data/"}
REGIONS = {"params": {"region": ["A", "B", "C"]}}


def entry_of(base: dict[str, Any], changes: dict[str, Any]) -> Entry:
    """Returns the entry with these changes of its keys."""
    return parse({"apis": [base | changes]}).apis[0]


def rows_of(entry: Entry) -> LastRows:
    """Returns the last rows of a series that an answer to `entry` held."""
    return LastRows(EPOCH, EPOCH, EPOCH, entry.fingerprint, find_entry_scope(entry).as_text())


def select(base: dict[str, Any], before: dict[str, Any], now: dict[str, Any], old: str, new: str) -> str:
    """Returns the locations of the series that are still requested: those of `old` were last held by an answer to the
    entry `before`, those of `new` by an answer to it `now`."""
    entry_before, entry_now = entry_of(base, before), entry_of(base, now)
    last_rows = {(location, "load"): rows_of(entry_before) for location in old}
    last_rows |= {(location, "load"): rows_of(entry_now) for location in new}
    return "".join(location for location, _ in select_requested(entry_now, last_rows))


@pytest.mark.parametrize(
    "now",
    [
        {"params": {"region": ["A", "B", "C", "D"]}},
        {"params": {"region": ["A", "B", "C"], "kind": "actual"}},
        {"params": {"region": ["A", "B", "C"]}, "timeout": 99, "chunk": "P3D", "retries": 1},
        {"params": {"region": ["A", "B", "C"]}, "interval": "PT15M", "resolution": "PT15M"},
        {"params": {"region": ["A", "B", "C"]}, "timezone": "Europe/Paris"},
        {"params": {"region": ["A", "B", "C"]}, "value": ["load", "wind"]},
        {"params": {"region": ["A", "B", "C"]}, "url": "https://x.test/v2/{start}/{end}"},
        {"params": {"region": ["C", "A"]}},
    ],
)
def test_a_series_stays_requested_when_its_entry_changes_in_other_ways(now: dict[str, Any]) -> None:
    """An entry that gains, loses or alters anything but the series itself still requests it."""
    assert "C" in select(GENERIC, REGIONS, now, "C", "A")


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (REGIONS, {"params": {"region": ["A", "B"]}}),
        (REGIONS, {"params": {"region": ["A", "B", "D"]}}),
        ({"params": {"region": "A,B,C"}}, {"params": {"region": "A,B"}}),
        (
            {"params": {}, "url": "https://x.test/C?from={start}&to={end}"},
            {"url": "https://x.test/A?from={start}&to={end}"},
        ),
        ({"params": {"region": ["c", "a"]}}, {"params": {"region": ["a"]}}),
    ],
)
def test_a_series_that_the_entry_has_dropped_is_not_requested(before: dict[str, Any], now: dict[str, Any]) -> None:
    """What the entry named and names no longer is dropped, before and after the next answer."""
    assert select(GENERIC, before, now, "C", "") == ""
    assert select(GENERIC, before, now, "C", "A") == "A"


def test_a_list_in_one_text_that_grows_drops_nothing() -> None:
    """Values may stand in one text, as the upstream wants it."""
    now = {"params": {"region": "A,B,C,D"}}
    assert select(GENERIC, {"params": {"region": "A,B,C"}}, now, "C", "A") == "CA"


def test_series_with_other_names_than_the_values_are_known_by_later_answers() -> None:
    """The fuel `NG` is stored as `generation_natural_gas`: series show which fuels and regions there are now."""
    before = entry_of(EIA, {"params": {"facets[respondent][]": ["A", "B"], "facets[fueltype][]": ["NG", "OIL"]}})
    now = entry_of(EIA, {"params": {"facets[respondent][]": ["A", "B"], "facets[fueltype][]": ["NG"]}})
    last_rows = {
        ("A", "generation_natural_gas"): rows_of(now),
        ("B", "generation_natural_gas"): rows_of(before),
        ("A", "generation_oil"): rows_of(before),
    }
    assert list(select_requested(now, last_rows)) == [("A", "generation_natural_gas"), ("B", "generation_natural_gas")]


def test_of_all_locations_a_few_remain() -> None:
    """An entry without a list of regions that gets one requests these."""
    assert select(EIA, {}, {"params": {"facets[respondent][]": ["A", "C"]}}, "BC", "A") == "CA"


@pytest.mark.parametrize(("scope", "fingerprint"), [("", ""), ("", "same"), ("{}", "same")])
def test_what_is_not_known_to_be_dropped_is_requested(scope: str, fingerprint: str) -> None:
    """Files of older versions do not say what was requested; if the entry is as it was, they count."""
    entry = entry_of(GENERIC, REGIONS)
    rows = LastRows(EPOCH, EPOCH, EPOCH, fingerprint and entry.fingerprint, scope)
    assert select_requested(entry, {("X", "load"): rows})


def test_of_older_files_of_another_entry_the_names_count() -> None:
    """Such a file says neither what was requested nor that it was this entry."""
    entry = entry_of(GENERIC, REGIONS)
    rows = {(name, "load"): LastRows(EPOCH, EPOCH, EPOCH, "another") for name in "CX"}
    assert list(select_requested(entry, rows)) == [("C", "load")]
