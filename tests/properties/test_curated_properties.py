"""With any files and compactions, reading gives the result of a plain loop over all rows."""

import asyncio
from collections import defaultdict
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gridtide import curated
from gridtide.entries.entry import Entry
from gridtide.lake import Lake
from gridtide.observations.identity import KEY
from gridtide.observations.table import SCHEMA, Row
from gridtide.periods import Period
from gridtide.training.series.hourly_grid import HourlyGrid
from tests.support.lakes import HOUR, START, entry, put, row

HOURS = 8
"""The hours of a lake, of which few have values: so that files speak of the same keys, in any order of retrieval."""

WHOLE = Period(START, START + HOURS * HOUR)


class File(NamedTuple):
    """A file with rows and their retrieval time, perhaps followed by a compaction. It may supersede the file that
    was written so many files before it."""

    asked: int
    rows: list[Row]
    periodic: bool
    compact: bool
    supersedes: int = 0


ROWS = st.builds(
    row,
    st.sampled_from([3, 3, 3, 4]),  # the last hour of a month, and the first of the next
    st.sampled_from([1.0, 2.0, None]),
    st.sampled_from([None, None, START - HOUR]),
    st.sampled_from(["ISNE", "ISNE", "CISO"]),
)
DISTINCT = st.lists(ROWS, min_size=1, max_size=3, unique_by=lambda r: (r.interval_start, r.location, r.published_at))
SUPERSEDES = st.sampled_from([0, 0, 0, 1, 1, 2])
FILES = st.lists(
    st.builds(File, st.integers(0, 5), DISTINCT, st.booleans(), st.booleans(), SUPERSEDES), min_size=2, max_size=8
)

DIVIDED = [  # what was one vintage when it was compacted is two by what comes later
    File(1, [row(3, 1.0)], False, False),
    File(5, [row(3, 1.0)], False, True),
    File(3, [row(3, 2.0)], False, False),
]


async def filled(files: list[File], of: Entry, *, compacting: bool) -> tuple[Lake, list[dict[str, Any]]]:
    """A lake with `files`, and all their rows with path, time of writing, and the time from which they do not count."""
    lake, rows = Lake.open("memory://"), []
    paths: list[str] = []
    for file in files:
        period = WHOLE if file.periodic else None
        stored = await put(lake, of, file.asked, file.rows, period)
        if stored.is_new:
            table = await lake.read_table(stored.path)
            rows += [r | {"stored_at": stored.stored_at, "file": stored.path, "until": None} for r in table.to_pylist()]
        paths.append(stored.path)
        old = paths[max(len(paths) - 1 - file.supersedes, 0)]
        if old != stored.path and all(r["until"] is None for r in rows if r["file"] == old):
            until = await lake.supersede(old)
            rows = [r | {"until": until} if r["file"] == old else r for r in rows]
        if file.compact and compacting:
            assert not (await curated.compact(lake, of)).problems
    return lake, rows


def expected(rows: list[dict[str, Any]], as_of: datetime | None) -> list[dict[str, Any]]:
    """Every vintage that was stored by `as_of` and not superseded by then, by key and retrieval."""
    by_key: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for one in rows:
        until = one["until"]
        if (until is None) if as_of is None else (one["stored_at"] <= as_of and (until is None or as_of < until)):
            by_key[tuple(one[name] for name in KEY)].append(one)
    found = []
    for key in sorted(by_key, key=lambda k: (*k[:-1], k[-1] is not None, k[-1])):
        of_key = sorted(by_key[key], key=lambda r: (r["retrieved_at"], r["stored_at"], r["file"]))
        found += [r for n, r in enumerate(of_key) if n == 0 or r["value"] != of_key[n - 1]["value"]]
    return found


def last_of_each_key(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last of the `rows` of each key, without the columns of vintages."""
    latest = {tuple(r[name] for name in KEY): r for r in rows}
    return [{name: r[name] for name in SCHEMA.names} for r in latest.values()]


@pytest.mark.slow
@settings(max_examples=150)
@example(DIVIDED, 8, 0, HOURS, "parquet")
@example([DIVIDED[0], DIVIDED[1], DIVIDED[2]._replace(compact=True)], 8, 0, HOURS, "csv")
@given(FILES, st.integers(0, 12), st.integers(0, HOURS - 1), st.integers(1, HOURS), st.sampled_from(["parquet", "csv"]))
def test_reading_is_the_plain_loop(files: list[File], seen: int, first: int, hours: int, form: str) -> None:
    """Latest and all vintages are right, now and as of the time of any file, with compactions between any files."""

    async def check() -> None:
        of = entry(form=form)
        lake, rows = await filled(files, of, compacting=True)
        moments = sorted({r["stored_at"] for r in rows} | {r["until"] for r in rows if r["until"]})
        as_of = moments[seen] if seen < len(moments) else None
        start, end = START + first * HOUR, START + (first + hours) * HOUR
        wanted = expected([r for r in rows if start <= r["interval_start"] < end], as_of)
        every = await curated.read(lake, [of], start, end, as_of, all_vintages=True)
        available = [r["published_at"] or r["interval_end"] + 2 * HOUR for r in wanted]
        stated = [{name: value for name, value in r.items() if name != "until"} for r in wanted]
        assert every.to_pylist() == [r | {"available_at": at} for r, at in zip(stated, available, strict=True)]
        latest = await curated.read(lake, [of], start, end, as_of)
        assert latest.schema.equals(SCHEMA)
        assert latest.to_pylist() == last_of_each_key(wanted)

    asyncio.run(check())


@pytest.mark.slow
@settings(max_examples=100)
@given(FILES, st.integers(0, 12))
def test_compaction_changes_no_table(files: list[File], seen: int) -> None:
    """A compaction changes neither tables nor grids, as of any time and from pinned files."""

    async def check() -> None:
        of = entry()
        lake, rows = await filled(files, of, compacting=False)
        moments = sorted({r["stored_at"] for r in rows} | {r["until"] for r in rows if r["until"]})
        as_of = moments[seen] if seen < len(moments) else None
        pinned = await curated.list_inputs(lake, [of], WHOLE, as_of)
        before = await state(lake, of, as_of, pinned)
        await curated.compact(lake, of)
        assert await curated.list_inputs(lake, [of], WHOLE, as_of) == pinned
        after = await state(lake, of, as_of, pinned)
        assert after == before
        assert (await curated.compact(lake, of)).months == []

    async def state(lake: Lake, of: Entry, as_of: datetime | None, pinned: list[curated.Input]) -> list[Any]:
        grid = HourlyGrid(Period(START, START + HOURS * HOUR), lambda name: True)
        async for _, table in curated.read_tables(lake, [of], pinned, WHOLE):
            grid.add(table, of.available)
        hourly = grid.finish()
        order = sorted(range(len(hourly.names)), key=lambda number: hourly.names[number])
        tables: list[pa.Table] = [
            await curated.read(lake, [of], WHOLE.start, WHOLE.end, as_of, all_vintages=v) for v in (False, True)
        ]
        return [
            *tables,
            [(hourly.names[n], repr(hourly.values[n]), repr(hourly.known_row[n]), hourly.repeats[n]) for n in order],
        ]

    asyncio.run(check())
