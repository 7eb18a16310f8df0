"""What files answer of what an entry asks, held against counting hours and combinations one by one."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.config.loading import parse
from gridtide.coverage.findings import Finding, find_unpublished
from gridtide.coverage.picture import measure_coverage
from gridtide.coverage.plan import plan_chunks
from gridtide.coverage.scopes import (
    NOT_NOTED,
    READ_DIFFERENTLY,
    TOO_FEW_ROWS,
    FileAnswer,
    Part,
    describe_scopes,
    find_doubts,
    find_partial,
    find_unanswered,
    narrow_parts,
    read_answers,
)
from gridtide.entries.entry import Entry
from gridtide.entries.expect.rules import Expect
from gridtide.entries.scope import Scope
from gridtide.lake import Draft, File, Lake, Metadata, Provenance
from gridtide.lake.soundness import CheckedFiles
from gridtide.observations.table import Row, from_rows
from gridtide.periods import DAY, HOUR, Period
from gridtide.sources.registry import find_entry_scope

START = datetime(2024, 3, 1, tzinfo=UTC)
NOW = datetime(2024, 6, 1, tzinfo=UTC)
ENTRY_KEYS = {"name": "grid", "source": "synthetic", "output_folder": "grid"}
AUTHORITIES, VARIABLES = ("ISNE", "CISO", "NYIS"), ("demand", "load")

Cells = set[tuple[int, tuple[str, ...]]]
"""An hour after the start, with one value of each facet."""


def entry_of(authorities: Any = AUTHORITIES, variables: Any = VARIABLES, **keys: Any) -> Entry:
    """A synthetic entry that asks for these."""
    params = {"authority": list(authorities), "variables": list(variables)}
    return parse({"apis": [{**ENTRY_KEYS, "params": params, **keys}]}).apis[0]


def hours(first: int, length: int) -> Period:
    """A period of hours after the start."""
    return Period(START + first * HOUR, START + (first + length) * HOUR)


def cells(period: Period, scope: Scope) -> Cells:
    """All combinations of `scope` over `period`."""
    first = (period.start - START) // HOUR
    choices = list(product(*(sorted(values) for _, values in scope.facets)))
    return {(first + hour, values) for hour in range(period.duration // HOUR) for values in choices}


ENTRIES = {
    find_entry_scope(entry): entry
    for authorities in chain.from_iterable(combinations(AUTHORITIES, n) for n in (1, 2, 3))
    for variables in (("demand",), ("load",), VARIABLES)
    for entry in (entry_of(authorities, variables),)
}
"""Every entry that asks for some authorities and variables, by its scope."""

SCOPES = st.sampled_from(list(ENTRIES))
ANSWERS = st.lists(
    st.builds(
        lambda first, length, scope: FileAnswer(f"{first}", START, hours(first, length), scope),
        *(st.integers(-3, 12), st.integers(1, 12), SCOPES),
    ),
    max_size=6,
)


@given(SCOPES, ANSWERS)
def test_what_is_asked_next_and_what_was_answered_are_all_that_is_asked(now: Scope, answers: list[FileAnswer]) -> None:
    """Each combination of every hour is either in a file or requested by exactly one narrowed entry."""
    asked, entry = Part(hours(0, 12), now), ENTRIES[now]
    answered = set().union(*(cells(answer.period, answer.scope) for answer in answers))
    lacking = find_unanswered([asked], answers)
    pieces = [cells(part.period, part.scope) for part in lacking]
    fetched = [cells(period, find_entry_scope(narrow)) for narrow, period in narrow_parts(entry, lacking)]
    for parts in (pieces, fetched):
        assert set().union(*parts) == cells(asked.period, now) - answered
        assert sum(map(len, parts)) == len(set().union(*parts))


@given(SCOPES, ANSWERS)
def test_what_cannot_be_asked_in_parts_is_asked_whole_and_once(now: Scope, answers: list[FileAnswer]) -> None:
    """An entry with an expectation of its whole answer is requested as a whole where a part is missing, and nowhere
    else."""
    asked = Part(hours(0, 12), now)
    entry = msgspec.structs.replace(ENTRIES[now], expect=Expect(minimum_rows=1))
    lacking = find_unanswered([asked], answers)
    narrowed = narrow_parts(entry, lacking)
    assert all(narrow is entry for narrow, _ in narrowed)
    fetched = [hour for _, period in narrowed for hour, _ in cells(period, Scope((), ""))]
    assert sorted(fetched) == sorted({hour for part in lacking for hour, _ in cells(part.period, Scope((), ""))})


def test_what_files_were_not_asked_for_is_named() -> None:
    """The period that files answer, and only that, with the regions that they lack."""
    whole = Part(hours(0, 12), find_entry_scope(entry_of()))
    answer = FileAnswer("a", START, hours(2, 4), find_entry_scope(entry_of(["ISNE"])))
    assert find_partial(whole, [answer]) == [Part(hours(2, 4), find_entry_scope(entry_of(["CISO", "NYIS"])))]
    assert describe_scopes("grid", whole, [answer]) == [
        "2024-03-01T02:00/2024-03-01T06:00: the requests of the files did not include authority: CISO, NYIS"
    ]


def metadata(of: Entry, scope: str) -> Metadata:
    """What a file of three hours says of itself."""
    return replace(Metadata.now(Provenance("grid", hours(0, 3), of.fingerprint), 0, ""), scope=scope)


def doubts_of(now: Entry, content: Metadata) -> list[str]:
    """Why it is not certain that a file with this content answers what the entry asks now."""
    file = File("grid/a.parquet", START + DAY, hours(0, 3), "parquet", 1)
    answers = read_answers(now, [file], CheckedFiles(contents={file.path: content}), NOW)
    whole = Part(hours(0, 12), find_entry_scope(now))
    assert [part.period for part in find_unanswered([whole], answers)] == [hours(3, 9)]
    return [doubt.reason for doubt in find_doubts(whole, answers)]


def test_where_it_cannot_be_told_what_was_asked_that_is_said() -> None:
    """A file of an older version counts as before, with a doubt once the entry has changed; so does a file that was
    read in another way, or asked with a parameter of which nothing is known."""
    url = {"source": "generic", "url": "https://grid.example/{start}", "time": "t"}
    before = parse({"apis": [{**ENTRY_KEYS, **url}]}).apis[0]
    zoned = parse({"apis": [{**ENTRY_KEYS, **url, "timezone": "Europe/London"}]}).apis[0]
    limited = parse({"apis": [{**ENTRY_KEYS, **url, "params": {"limit": 9}}]}).apis[0]
    scope = find_entry_scope(before).as_text()
    assert doubts_of(before, metadata(before, "")) == []
    assert doubts_of(zoned, metadata(before, "")) == [NOT_NOTED]
    assert doubts_of(zoned, metadata(before, scope)) == [READ_DIFFERENTLY]
    assert doubts_of(limited, metadata(before, scope)) == ["were asked with other parameters (limit)"]
    assert doubts_of(before, metadata(before, scope)) == []


def test_a_finer_resolution_is_noticed_in_files_that_do_not_note_theirs() -> None:
    """A file of an older version with fewer rows than half of the intervals was asked for longer ones; an empty file
    tells nothing."""
    hourly = entry_of(resolution="PT1H")
    finer = entry_of(resolution="PT5M")
    assert finer.fingerprint == hourly.fingerprint
    content = metadata(hourly, "")
    for rows, entry, reasons in ((12, hourly, []), (12, finer, [TOO_FEW_ROWS]), (144, finer, []), (0, finer, [])):
        assert doubts_of(entry, replace(content, rows=rows)) == reasons


def test_a_doubt_names_the_command_that_ends_it_and_ends_with_a_file_that_is_certain() -> None:
    """The command asks for the doubtful period again; what it stores leaves no doubt."""
    whole = Part(hours(0, 12), find_entry_scope(entry_of()))
    doubtful = [FileAnswer("a", START, hours(n, 3), whole.scope, NOT_NOTED) for n in (0, 6)]
    (doubt,) = find_doubts(whole, doubtful)
    assert doubt.describe("grid") == (
        f"2 files of 2024-03-01T00:00/2024-03-01T09:00 {NOT_NOTED}; that counts as complete; to ask again: "
        "gridtide backfill --start 2024-03-01T00:00 --end 2024-03-01T09:00 --select grid --refresh"
    )
    (later,) = find_doubts(whole, [*doubtful, FileAnswer("b", START, hours(0, 6), whole.scope)])
    assert (later.files, later.periods) == (1, [hours(6, 3)])
    assert find_doubts(whole, [*doubtful, FileAnswer("b", START, hours(0, 12), whole.scope)]) == []


def test_what_was_not_requested_is_not_called_complete() -> None:
    """A file of longer intervals, which was also read differently, answers nothing: no note says that it counts."""
    url = {"source": "generic", "url": "https://grid.example/{start}", "time": "t"}
    hourly = parse({"apis": [{**ENTRY_KEYS, **url, "interval": "PT1H"}]}).apis[0]
    finer = parse({"apis": [{**ENTRY_KEYS, **url, "interval": "PT15M", "resolution": "PT15M"}]}).apis[0]
    file = File("grid/a.parquet", START + DAY, hours(0, 3), "parquet", 1)
    content = metadata(hourly, find_entry_scope(hourly).as_text())
    answers = read_answers(finer, [file], CheckedFiles(contents={file.path: content}), NOW)
    whole = Part(hours(0, 12), find_entry_scope(finer))
    assert describe_scopes("grid", whole, answers) == [
        "2024-03-01T00:00/2024-03-01T03:00: the requests of the files did not include interval length: 15 min"
    ]


async def store(lake: Lake, of: Entry, period: Period, stamp: datetime, skipped_hours: Any = ()) -> None:
    """A file of all that the entry asks over `period`, without some hours."""
    rows = [
        Row(period.start + n * HOUR, period.start + (n + 1) * HOUR, location, variable, "MWh", 1.0)
        for n in range(period.duration // HOUR)
        for location in of.params["authority"]  # type: ignore[union-attr]
        for variable in of.params["variables"]  # type: ignore[union-attr]
        if n not in skipped_hours
    ]
    provenance = Provenance(of.name, period, of.fingerprint, scope=find_entry_scope(of).as_text())
    with Draft("parquet", provenance) as draft:
        draft.append(from_rows("synthetic", rows, stamp))
        await lake.put_draft(draft, of.output_folder, of.file_prefix, stamp)


async def test_a_wider_entry_is_asked_only_for_what_is_new(tmp_path: Path) -> None:
    """If two regions are added, only these are missing, and nothing is missing once they are collected."""
    lake, narrow, wide = Lake.open(str(tmp_path)), entry_of(["ISNE"]), entry_of()
    await store(lake, narrow, hours(0, 72), NOW)
    plan = await plan_chunks(wide, hours(0, 72), NOW, lake)
    assert [(chunk.params["authority"], period) for chunk, period in plan.chunks] == [(("CISO", "NYIS"), hours(0, 72))]
    assert str(await measure_coverage(lake, wide, hours(0, 72), NOW, plan.checked_files)).endswith("  0%")
    await store(lake, plan.chunks[0][0], hours(0, 72), NOW)
    assert (await plan_chunks(wide, hours(0, 72), NOW, lake)).chunks == []
    assert str(await measure_coverage(lake, wide, hours(0, 72), NOW, plan.checked_files)).endswith("100%")
    assert (await plan_chunks(narrow, hours(0, 72), NOW, lake)).chunks == []
    again = await plan_chunks(wide, hours(0, 72), NOW, lake, refresh=True)
    assert again.chunks == [(wide, hours(0, 72))]


async def test_no_hole_is_the_upstreams_on_the_word_of_a_file_that_did_not_ask(tmp_path: Path) -> None:
    """Hours without values are holes of the upstream only if the request of a file included their series."""
    lake = Lake.open(str(tmp_path))
    wide, narrow = entry_of(["ISNE", "CISO"], ["load"]), entry_of(["ISNE"], ["load"])
    await store(lake, narrow, hours(0, 48), START + 4 * DAY, skipped_hours=(5,))
    await store(lake, wide, hours(48, 24), START + 4 * DAY, skipped_hours=(7,))
    settled = hours(0, 72)
    holes = await find_unpublished(wide, settled, NOW, lake, CheckedFiles())
    assert [(hole["period"], hole["series"]) for hole in holes] == [(str(hours(55, 1)), "CISO load, ISNE load")]
    await store(lake, narrow, hours(72, 24), START + 5 * DAY, skipped_hours=(1,))
    holes = await find_unpublished(narrow, hours(0, 96), NOW, lake, CheckedFiles())
    assert [(hole["period"], hole["series"]) for hole in holes] == [
        (str(hours(hour, 1)), "ISNE load") for hour in (5, 55, 73)
    ]


@pytest.mark.parametrize("can_be_narrowed", [True, False])
def test_no_hour_of_a_series_is_requested_for_a_gap_and_for_a_revision(can_be_narrowed: bool) -> None:
    """A region that is new and one that is to be revised are requested once each, together where the upstream cannot be
    asked for a part."""
    entry = entry_of(["ISNE", "CISO"], expect={} if can_be_narrowed else {"minimum_rows": 1})
    new, old = find_entry_scope(entry_of(["CISO"])), find_entry_scope(entry_of(["ISNE"]))
    parts = {"gaps": [Part(hours(0, 72), new)], "revisions": [Part(hours(24, 48), old)]}
    finding = Finding(entry, hours(0, 72), **parts)
    chunks = [*finding.gap_plan.chunks, *finding.revision_plan.chunks]
    requested = [(hour, region) for narrow, period in chunks for hour, (region, *_) in cells(period, by_region(narrow))]
    assert len(requested) == len(set(requested))
    expected = {(hour, "CISO") for hour in range(72)} | {(hour, "ISNE") for hour in range(24, 72)}
    assert expected <= set(requested)
    assert not can_be_narrowed or expected == set(requested)


def by_region(entry: Entry) -> Scope:
    """The scope of `entry` with its regions as the only facet."""
    return Scope((("authority", frozenset(entry.params["authority"])),), "")  # type: ignore[arg-type]
