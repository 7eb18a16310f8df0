"""The fixes that messages of the generic source propose are keys that make the entry work."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gridtide.config.loading import parse
from gridtide.errors import ConfigurationError, GridtideError
from gridtide.periods import local_day
from gridtide.sources import generic
from gridtide.sources.contract import Page, Response
from tests.support.shared import SHARED

CASES = SHARED / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside the project")

AT = datetime(2026, 12, 1, tzinfo=UTC)

MOST_FIXES = 5
"""How many messages in a row may each propose a key."""


def read(file: str, keys: dict[str, Any], day: date | None = None, link: str = "") -> Page:
    """What the file of a case says to an entry with `keys`."""
    whole = {"name": "table", "url": "https://grid.example/{start:%Y%m%d}", "output_folder": "table"} | keys
    entry = parse({"apis": [whole]}).apis[0]
    [request] = generic.build_requests(entry, local_day(day or date(2026, 1, 10), ZoneInfo(entry.timezone)))
    response = Response(next(iter(CASES.glob(file))).read_bytes(), AT, headers={"link": link} if link else {})
    return generic.parse_response(entry, request, response)


def proposed_keys(fix: str) -> dict[str, Any]:
    """The keys and values that `fix` says to add: the first of alternatives."""
    keys: dict[str, Any] = {}
    for match in re.finditer(r'"(\w+)": ', fix.partition(' or "')[0]):
        keys.setdefault(match[1], json.JSONDecoder().raw_decode(fix, match.end())[0])
    inner = {key for value in keys.values() if isinstance(value, dict) for key in value}
    return {key: value for key, value in keys.items() if key not in inner}


def refusal(file: str, keys: dict[str, Any], day: date | None) -> GridtideError | None:
    """Why the table is not read with `keys`, None if it is; an entry that is not valid raises."""
    try:
        read(file, keys, day)
    except ConfigurationError:
        raise
    except GridtideError as error:
        return error
    return None


PROPOSING: dict[str, tuple[str, dict[str, Any], date | None]] = {
    "thousands": ("c01-*/load.csv", {"value": "load"}, None),
    "format of times": ("c02-*/us.csv", {"time": "Time Stamp", "value": "Load"}, None),
    "format of times with dots": ("c02-*/eu.csv", {"time": "Zeit"}, None),
    "format of times of .NET": ("c02-*/ms.json", {"time": "datetime"}, None),
    "column of times": ("c02-*/epoch.json", {}, None),
    "lines before the header": ("c03-*/preamble.csv", {"time": "time"}, None),
    "comments": ("c03-*/hashes.csv", {"time": "time"}, None),
    "last line": ("c03-*/footer.csv", {"time": "time"}, None),
    "units": ("c03-*/units_row.csv", {"time": "time"}, None),
    "hours as columns": (
        "c04-*/wide.csv",
        {"time": "DATE", "location": "ZONE", "timezone": "America/New_York"},
        None,
    ),
    "date and hour": (
        "c05-*/two.csv",
        {"time": "DeliveryDate", "value": "Load", "interval": "PT1H", "timezone": "America/Chicago"},
        None,
    ),
    "decimal comma": ("c06-*/de2.csv", {"value": "preis"}, None),
    "decimal comma and points": ("c06-*/de.csv", {"time": "Datum von", "value": "Biomasse [MWh]"}, None),
    "columns": ("c07-*/col.json", {"time": "unix_seconds"}, None),
    "rows": ("c07-*/arr.json", {"records": "series"}, None),
    "positions": ("c08-*/prices.xml", {"records": "Period", "time": "timeInterval.start"}, None),
    "next page": ("c09-*/p1.json", {"records": "results", "time": "interval_start", "value": "consumption"}, None),
    "encoding": ("c11-*/latin1.csv", {"time": "heure"}, None),
    "overlapping intervals": ("c12-*/p.json", {"time": "t", "interval": "PT1H"}, None),
    "conflicting values": (
        "c13-*/dup.csv",
        {"time": "Time Stamp", "timezone": "America/New_York", "location": "Fuel"},
        None,
    ),
    "repeated hour": (
        "c14-*/autumn.csv",
        {"time": "Time", "timezone": "America/Los_Angeles", "location": "CAISO", "melt": "*", "interval": "PT30M"},
        date(2025, 11, 2),
    ),
    "label column": ("c17-*/t.json", {"records": "records", "time": "HourUTC", "location": "PriceArea"}, None),
    "long table": (
        "parsing/07_generic_long_table/sld_fcst.xml",
        {"records": "REPORT_DATA", "time": "T", "value": "VALUE"},
        None,
    ),
    "records in another place": ("c07-*/arr.json", {"records": "rows", "layout": "rows"}, None),
    "records at another path": ("c09-*/p1.json", {"records": "data", "time": "interval_start"}, None),
    "records of another element": (
        "parsing/07_generic_long_table/sld_fcst.xml",
        {"records": "ROW", "time": "T", "value": "VALUE"},
        None,
    ),
    "renamed column of values": ("c01-*/load.csv", {"value": "System Load"}, None),
    "renamed column of times": ("c02-*/us.csv", {"time": "Timestamp", "value": "Load"}, None),
    "several columns": ("c24-*/n.csv", {}, None),
    "names that become one": ("c39-*/equal.csv", {"time": "time"}, None),
}


@pytest.mark.parametrize("name", PROPOSING)
def test_the_fix_that_a_message_proposes_reads_the_table(name: str) -> None:
    """With the key that the message proposes the entry is valid and is read, or the next message proposes another."""
    file, keys, day = PROPOSING[name]
    for _ in range(MOST_FIXES):
        refused = refusal(file, keys, day)
        if refused is None:
            break
        proposal = proposed_keys(refused.fix)
        assert proposal, f"no key is proposed: {refused}"
        assert any(keys.get(key) != value for key, value in proposal.items()), f"proposed again: {refused}"
        keys = keys | proposal
    assert read(file, keys, day).observations.num_rows
