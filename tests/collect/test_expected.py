"""Rules of `expect`: rows are told, rejected or refused, and nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deployments.cli.status import read_status
from gridtide import curated
from gridtide.collect import Collected, collect
from gridtide.config.loading import parse
from gridtide.coverage.answered import join_answered
from gridtide.curated.compaction import compact
from gridtide.entries.entry import Entry
from gridtide.errors import FormatError, IncompleteError
from gridtide.http.client import Http
from gridtide.lake import Lake
from tests.collect.test_holes import DAY, STAMP, START, days_period

LINES = {
    "A": "load,gas,wind",
    **{f"{day:02}T{hour:02}": f"{100 + hour},{60 + hour},40" for day in (1, 2) for hour in range(24)},
    "02T05": "105,65,41",  # the sum is off by one
    "02T07": "-7,67,40",
}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """An upstream with two days of load and its parts; the load of an hour is negative, and a sum is wrong."""

    async def answer(request: web.Request) -> web.Response:
        day = request.match_info["day"][-2:]
        lines = [f"2026-01-{hour}:00Z,{line}" for hour, line in LINES.items() if hour.startswith(day)]
        return web.Response(text="\n".join(["time,load,gas,wind", *lines]) + "\n", content_type="text/csv")

    app = web.Application()
    app.router.add_get("/{day}.csv", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/")) + "{start:%Y-%m-%d}.csv"


def entry_with(url: str, *rules: dict[str, Any], **keys: Any) -> Entry:
    """The entry of that upstream with these rules."""
    api = {"name": "grid", "url": url, "output_folder": "grid", "time": "time", "chunk": "P2D", "location": "A"}
    columns = {"load": "load", "gas": "gas", "wind": "wind"}
    return parse({"apis": [{**api, "value": columns, "expect": {"rules": list(rules)}, **keys}]}).apis[0]


async def run(entry: Entry, lake: Lake, last: int = 2) -> Collected:
    """Collect the first days."""
    async with Http({}) as http:
        return await collect(entry, lake=lake, http=http, stamp=STAMP, period=days_period(0, last))


SUM = {"kind": "sum", "total": "generic/*/load", "plus": ["generic/*/gas", "generic/*/wind"], "tolerance": 0.5}
NEGATIVE = {"kind": "range", "variable": "load", "lowest": 0}


async def test_rejected_rows_are_kept_apart_and_counted(url: str, tmp_path: Path) -> None:
    """Rows that break rules are under `rejected/` with rule and reason; report, metadata and status count them, the
    hours count as answered, and readers see only the other rows, also after a compaction."""
    entry = entry_with(url, NEGATIVE | {"otherwise": "reject"}, SUM | {"otherwise": "reject"})
    lake = Lake.open(str(tmp_path))
    collected = await run(entry, lake)
    assert (collected.rows, collected.holes, collected.period) == (144 - 4, (), days_period(0, 2))
    assert {item.rule: item.count for item in collected.skipped} == {"range of load": 1, "sum of generic/*/load": 3}
    (path,) = collected.rejected_files
    assert path == "rejected/grid/grid_20260201_030405_20260101T0000_20260103T0000.parquet"
    rows = pq.read_table(tmp_path / path).to_pylist()
    told = {(row["variable"], row["interval_start"].hour, row["value"], str(row["rule"])) for row in rows}
    assert told == {
        ("load", 7, -7.0, "range of load"),
        *(
            (name, 5, number, "sum of generic/*/load")
            for name, number in (("load", 105.0), ("gas", 65.0), ("wind", 41.0))
        ),
    }
    assert {str(row["reason"]) for row in rows} == {
        "1 values of load are outside 0 to inf, the first is -7",
        "A/load differs by -1 at 2026-01-02T05:00Z, in 1 of 47 intervals",
    }
    metadata = await lake.read_metadata(str(collected.file))
    assert {record["rule"]: record["count"] for record in metadata.skipped} == {
        "range of load": 1,
        "sum of generic/*/load": 3,
    }
    files = await lake.list_files("grid", "grid")
    assert join_answered(entry, files, STAMP) == [days_period(0, 2)]
    (status,) = await read_status([entry], lake, STAMP)
    assert (status.rejected_rows, status.problems, status.moved_files) == (4, (), ())
    for _ in range(2):
        assert (await curated.read(lake, [entry], START, START + 2 * DAY)).num_rows == 140
        assert (await compact(lake, entry)).problems == []


async def test_a_repeated_collection_rejects_nothing_twice(url: str, tmp_path: Path) -> None:
    """A retry with the same stamp finds both files; without its file, as after a kill, only that is stored again."""
    entry = entry_with(url, NEGATIVE | {"otherwise": "reject"})
    lake = Lake.open(str(tmp_path))
    first = await run(entry, lake)
    (tmp_path / str(first.file)).unlink()
    again = await run(entry, lake)
    assert (again.rejected_files, again.files) == (first.rejected_files, first.files)
    assert len(list((tmp_path / "rejected/grid").iterdir())) == 1


@pytest.mark.parametrize("form", ["parquet", "csv"])
async def test_warned_rows_are_stored_and_told(url: str, tmp_path: Path, form: str) -> None:
    """By default a rule only warns: every row is stored, and a warning names rule, count and the first row."""
    entry = entry_with(url, NEGATIVE, SUM, format=form)
    collected = await run(entry, Lake.open(str(tmp_path)))
    assert (collected.rows, collected.skipped, collected.rejected_files) == (144, (), ())
    assert [warning for warning in collected.warnings if "not as expected" in warning] == [
        "not as expected, but stored: range of load: 1 rows, such as 1 values of load are outside 0 to inf, "
        "the first is -7",
        "not as expected, but stored: sum of generic/*/load: 6 rows, such as A/load differs by -1 "
        "at 2026-01-02T05:00Z, in 2 of 48 intervals",
    ]
    assert not (tmp_path / "rejected").exists()


@pytest.mark.parametrize("broken", [NEGATIVE, SUM])
async def test_a_refused_day_is_a_hole_and_loses_no_other(url: str, tmp_path: Path, broken: dict[str, Any]) -> None:
    """With `fail` the day of the row is not answered, and the other day is stored."""
    lake = Lake.open(str(tmp_path))
    collected = await run(entry_with(url, broken | {"otherwise": "fail"}, retries=1), lake)
    assert [(hole.period, type(hole.error)) for hole in collected.holes] == [(days_period(1, 2), FormatError)]
    assert collected.answered == (days_period(0, 1),)
    (file,) = [file for file in await lake.list_files("grid", "grid") if file.period]
    assert (await lake.read_table(file.path)).num_rows == 72


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (
            {"kind": "required", "series": ["generic/A/load", "generic/B/load"]},
            FormatError,
            "no values of generic/B/load",
        ),
        ({"kind": "required", "variable": "solar"}, FormatError, "no values of solar"),
        ({"kind": "rows", "minimum": 145}, IncompleteError, "144 rows, at least 145 are expected"),
        ({"kind": "rows", "variable": "gas", "minimum": 49}, IncompleteError, "48 rows, at least 49 are expected"),
        (
            {"kind": "age", "maximum": "PT1H"},
            IncompleteError,
            "3 series end more than 1:00:00 before 2026-01-03T12:00Z",
        ),
    ],
)
async def test_an_answer_that_lacks_something(
    url: str, tmp_path: Path, rule: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Required series, numbers of rows and the age of the latest interval are told, or fail the answer."""
    until = timedelta(hours=12) if rule["kind"] == "age" else timedelta()
    period = days_period(0, 2)
    period = type(period)(period.start, period.end + until)
    for otherwise in ("warn", "fail"):
        entry, lake = entry_with(url, rule | {"otherwise": otherwise}), Lake.open(str(tmp_path / otherwise))
        async with Http({}) as http:
            attempt = collect(entry, lake=lake, http=http, stamp=STAMP, period=period)
            if otherwise == "fail":
                with pytest.raises(error, match=message):
                    await attempt
            else:
                assert any(message in warning for warning in (await attempt).warnings)


async def test_rules_that_name_what_is_not_there_are_one_warning(url: str, tmp_path: Path) -> None:
    """Misspelt series and sums without their series do not stop a collection; one warning names all these rules."""
    absent = [
        {"kind": "range", "variable": "laod", "lowest": 0},
        {"kind": "sum", "total": "generic/*/load", "plus": "generic/*/coal", "otherwise": "fail"},
        {"kind": "opposite", "series": "generic/*/interchange", "otherwise": "reject"},
    ]
    collected = await run(entry_with(url, *absent), Lake.open(str(tmp_path)))
    assert collected.rows == 144
    assert [warning for warning in collected.warnings if "judged" in warning] == [
        "not judged, as the answer has no such series, or no interval with all of them: "
        "range of laod, sum of generic/*/load, "
        "opposite of generic/*/interchange"
    ]


async def test_two_sums_of_one_total_are_told_apart(url: str, tmp_path: Path) -> None:
    """A sum that was judged without one of its parts says so, and is not said to be idle as the other one is."""
    sums = [SUM | {"plus": [*SUM["plus"], "generic/*/solar"]}, SUM | {"plus": "generic/*/coal"}]
    collected = await run(entry_with(url, *sums), Lake.open(str(tmp_path)))
    assert [warning for warning in collected.warnings if "judged" in warning] == [
        "not judged, as the answer has no such series, or no interval with all of them: "
        "sum generic/*/load = generic/*/coal",
        "judged without a part, as the answer has no such series: "
        "sum generic/*/load = generic/*/gas + generic/*/wind + generic/*/solar",
    ]


async def test_an_answer_whose_rows_are_all_rejected_is_no_empty_one(url: str, tmp_path: Path) -> None:
    """The warning says that the rules reject everything, not that the upstream has nothing; the hours are
    covered."""
    refusing = {"kind": "range", "highest": -1000, "otherwise": "reject"}
    entry, lake = entry_with(url, refusing), Lake.open(str(tmp_path))
    collected = await run(entry, lake)
    assert collected.rows == 0
    assert [item.count for item in collected.skipped] == [144]
    assert not any("has nothing" in warning for warning in collected.warnings)
    assert any(warning.startswith('rules of "expect" reject all rows') for warning in collected.warnings)
    assert join_answered(entry, await lake.list_files("grid", "grid"), STAMP) == [days_period(0, 2)]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"kind": "range", "variable": "load"}, 'rules[0]: a range needs "lowest", "highest" or both'),
        ({"kind": "range", "lowest": 2, "highest": 1}, "rules[0]: the range ends before it begins"),
        ({"kind": "rows", "minimum": 1, "otherwise": "reject"}, "rules[0].otherwise: must be 'warn' or 'fail'"),
        ({"kind": "range", "lowest": 2, "otherwise": "drop"}, "rules[0].otherwise: must be 'warn', 'reject' or 'fail'"),
        ({"kind": "range", "series": "load", "lowest": 2}, 'rules[0].series: "load" is not a series'),
        ({"kind": "range", "series": "eia/*/load", "lowest": 2}, "rules[0]: eia/*/load is of another source"),
        ({"kind": "sum", "total": "generic/*/load"}, 'rules[0]: a sum needs "plus", "minus" or both'),
        (
            {"kind": "sum", "total": "generic/*/load", "plus": ["generic/*/gas"], "tolerance": -1},
            "rules[0].tolerance: ",
        ),
        ({"kind": "age", "maximum": "soon"}, "rules[0].maximum: is not a duration"),
        ({"kind": "allowed", "values": []}, "rules[0].values: is empty"),
        ({"kind": "allowed", "values": ["on"]}, "rules[0].values[0]: Expected a number, got a text"),
        ({"kind": "ranges"}, 'rules[0]: has an unknown "kind"; use "unit", "range"'),
        ({"kind": "range", "lowest": 1, "limit": 2}, "rules[0].limit: unknown key"),
        ({"kind": "required"}, 'rules[0]: a required series needs "series" or "variable"'),
    ],
)
def test_every_key_of_a_rule_is_checked(rule: dict[str, Any], problem: str) -> None:
    """A wrong rule is refused with the name of the entry, its key and what would be right."""
    with pytest.raises(Exception, match="grid: expect") as refused:
        entry_with("http://localhost/{start:%Y-%m-%d}.csv", rule)
    assert f"grid: expect.{problem}" in str(refused.value)
