"""Members of archives: those that a pattern does not name are counted, and messages name the member."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from typing import Any

import pytest

from gridtide.config.loading import parse
from gridtide.errors import FormatError, UpstreamError
from gridtide.sources import generic
from gridtide.sources.contract import Page, Request, Response

MEMBERS = {"a_zone.csv": 0, "B_ZONE.CSV": 1, "c_zone.csv.bak": 2, "data/d_Zone.csv": 3}


def read(members: dict[str, str], **keys: Any) -> Page:
    """The page of a zip with `members`."""
    base = {"name": "table", "url": "https://grid.example/table", "output_folder": "table", "time": "at"}
    entry = parse({"apis": [base | {"value": "mw"} | keys]}).apis[0]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    retrieved = datetime(2026, 2, 1, tzinfo=UTC)
    return generic.parse_response(entry, Request(entry.url), Response(packed.getvalue(), retrieved))


def test_members_are_chosen_in_whatever_case_and_the_others_counted() -> None:
    """Operators change the case of their names; a file of another kind is counted."""
    members = {name: f"at,mw\n2026-01-10T0{hour}:00Z,{hour}\n" for name, hour in MEMBERS.items()}
    page = read(members, unpack="*_zone.csv")
    assert page.observations["value"].to_pylist() == [0, 1, 3]
    assert [(item.count, item.example) for item in page.skipped] == [(1, "c_zone.csv.bak")]
    assert read(members).skipped == ()


def test_a_member_that_is_no_table_is_named() -> None:
    """The message proposes to choose the members with tables, which works."""
    members = {"a.csv": "at,mw\n2026-01-10T00:00Z,1\n", "readme.txt": "hello\n"}
    with pytest.raises(FormatError, match=r'readme.txt: the body is neither.*"unpack", such as "\*.csv"'):
        read(members)
    assert read(members, unpack="*.csv").observations.num_rows == 1


@pytest.mark.parametrize(("name", "first", "second"), [("zone", "A", "B"), ("meter_id", 17, 18), ("unit", "MW", "GW")])
def test_members_of_several_series_are_not_merged(name: str, first: Any, second: Any) -> None:
    """A column that no key names and that is one text in each file tells the files apart, also at other times."""
    members = {
        f"{label}.csv": f"at,{name},mw\n2026-01-10T0{hour}:00Z,{label},1\n2026-01-10T0{hour + 1}:00Z,{label},2\n"
        for hour, label in ((0, first), (2, second))
    }
    with pytest.raises(FormatError, match=f"{name}.*'{first}' and '{second}'"):
        read(members)
    assert read(members, location=name).observations["location"].to_pylist() == [f"{first}"] * 2 + [f"{second}"] * 2
    assert read({**members, f"{second}.csv": members[f"{first}.csv"].replace("T0", "T1")}).record_count == 4
    assert read(members, ignore=[name]).record_count == 4


def test_an_archive_without_files_is_tried_again() -> None:
    """It says as little as an empty body."""
    with pytest.raises(UpstreamError, match="the archive is empty"):
        read({})
