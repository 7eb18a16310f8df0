"""Gaps, revisions and late entries, compared with counting hour by hour."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gridtide.config.loading import parse
from gridtide.coverage import upstream_holes
from gridtide.coverage.gaps import find_gaps, find_missed_run, find_revisions, mark_gaps
from gridtide.coverage.picture import Coverage
from gridtide.coverage.schedules import DueRuns
from gridtide.coverage.scopes import FileAnswer, Part, Scoped, read_answers
from gridtide.lake import File
from gridtide.lake.soundness import CheckedFiles
from gridtide.observations.availability import find_due_end
from gridtide.observations.table import Row, from_rows
from gridtide.periods import EPOCH, Period
from gridtide.sources.registry import find_entry_scope

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2024, 3, 1, tzinfo=UTC)
WANTED = Period(START, START + 24 * HOUR)

ENTRY = parse(
    {
        "apis": [
            {
                "name": "grid",
                "source": "synthetic",
                "output_folder": "grid",
                "available": {"lag": "PT2H"},
                "reread": "PT6H",
            }
        ]
    }
).apis[0]


def read_all(files: list[File], now: datetime) -> list[FileAnswer]:
    """The periods of the files, without scopes."""
    return read_answers(ENTRY, files, CheckedFiles(), now)


def hours(parts: Sequence[Scoped]) -> set[int]:
    """The hours since the start that lie in `parts`, each at most once."""
    periods = [part.period for part in parts]
    found = [n for one in periods for n in range((one.start - START) // HOUR, (one.end - START) // HOUR)]
    assert len(found) == len(set(found))
    return set(found)


def made(stamp: datetime, period: Period | None, extension: str = "parquet") -> File:
    """A file of this name."""
    return File("grid/file", stamp, period, extension, 1)


def file(asked: int, start: int, length: int) -> File:
    """A file of a run `asked` hours after the start, of the hours from `start` on."""
    return made(START + asked * HOUR, Period(START + start * HOUR, START + (start + length) * HOUR))


FILES = st.lists(st.builds(file, st.integers(0, 40), st.integers(-3, 30), st.integers(1, 12)), max_size=6)


@given(FILES, st.integers(0, 45))
def test_every_hour_is_a_gap_a_revision_or_neither(files: list[File], now: int) -> None:
    """Due and answered by no file: a gap. Answered, settled by now, settled when no file was made: a revision.

    A file answers the hours of its period that were due when it was made, none if that is after now.
    """
    gaps, revisions = set(), set()
    for hour in range(24):
        if hour + 1 > now - 2:  # its end and the lag
            continue
        answering = [
            asked
            for one in files
            if one.period and one.period.start <= START + hour * HOUR < one.period.end
            if hour + 3 <= (asked := (one.stamp - START) // HOUR) <= now
        ]
        if not answering:
            gaps.add(hour)
        elif hour + 1 <= now - 8 and all(hour + 1 > asked - 8 for asked in answering):
            revisions.add(hour)
    moment = START + now * HOUR
    answers = read_all(files, moment)
    assert hours(find_gaps(ENTRY, WANTED, moment, answers)) == gaps
    assert hours(find_revisions(ENTRY, WANTED, moment, answers)) == revisions


def test_a_schedule_that_rereads_leaves_nothing_to_revise() -> None:
    """Every two hours a run asks for the last six: each hour was asked for when it had settled but for one run.

    Without three of the runs, what no run asked for so late is a revision, and what none asked for a gap.
    """
    two_hourly = DueRuns(START, 2 * HOUR)
    runs = [START + timedelta(hours=n, minutes=31) for n in range(0, 60, 2)]
    due_ends = [(run, find_due_end(ENTRY, run)) for run in runs]
    files = read_all([made(run, Period(end - ENTRY.reread, end)) for run, end in due_ends], runs[-1])
    assert find_revisions(ENTRY, WANTED, runs[-1], files, two_hourly) == []
    assert hours(find_revisions(ENTRY, WANTED, runs[-1], files)) != set()
    without = [one for one in files if not START + 8 * HOUR < one.stamp < START + 14 * HOUR]
    assert hours(find_revisions(ENTRY, WANTED, runs[-1], without, two_hourly)) == {0, 1, 2, 3}
    assert hours(find_gaps(ENTRY, WANTED, runs[-1], without)) == {4, 5}


def test_files_of_bodies_and_snapshots_answer_no_period() -> None:
    """Bodies and snapshots cover nothing, so the whole period is a gap."""
    moment = START + 2 * DAY
    answers = read_all([made(START + DAY, WANTED, "json"), made(START + DAY, None)], moment)
    assert find_gaps(ENTRY, WANTED, moment, answers) == [Part(WANTED, find_entry_scope(ENTRY))]
    assert find_revisions(ENTRY, WANTED, moment, answers) == []


def test_a_run_is_late_without_a_file_of_it_or_of_a_later_one() -> None:
    """A file of the run before is none of it."""
    due = DueRuns(START, DAY)
    before = [made(START - HOUR / 60, None)]
    assert find_missed_run(due, START + DAY, []) == START
    assert find_missed_run(due, START + DAY, before) == START
    assert find_missed_run(due, START + DAY, [*before, made(START, None)]) is None
    assert find_missed_run(due, START + DAY, [*before, made(START + HOUR, None)]) is None


def test_gaps_stay_the_same_while_they_grow_or_grow_too_old() -> None:
    """The mark of gaps is their starts, without the end of any, and without the start of one that began before."""
    parts = [str(Period(START, START + 2 * HOUR)), str(Period(START + 5 * HOUR, START + 7 * HOUR))]
    assert mark_gaps(parts, WANTED) == "before 2024-03-01T05:00"
    assert mark_gaps([parts[0], str(Period(START + 5 * HOUR, START + 9 * HOUR))], WANTED) == mark_gaps(parts, WANTED)


def test_what_was_never_published_is_told_by_series() -> None:
    """Hours without values are reported per series; readings at irregular seconds are not checked."""

    def row(moment: datetime, location: str) -> Row:
        return Row(moment, moment, location, "load", "MW", 1.0)

    rows = [row(START + n * HOUR, "A") for n in range(24) if n not in (3, 4)]
    rows += [row(START + n * HOUR, "B") for n in range(24) if n not in (3, 4, 9)]
    rows += [row(START + timedelta(minutes=7, seconds=31), "C")]
    series = upstream_holes.list_starts(from_rows("generic", rows, START), HOUR)
    assert sorted(series) == ["A load", "B load", "C load"]
    found = upstream_holes.find_holes(series, [Period(START, START + 12 * HOUR)], HOUR)
    assert found == {
        Period(START + 3 * HOUR, START + 5 * HOUR): ["A load", "B load"],
        Period(START + 9 * HOUR, START + 10 * HOUR): ["B load"],
    }
    assert upstream_holes.find_holes({}, [WANTED], HOUR) == {}
    days = {"A": np.array([(START + n * DAY + 5 * HOUR - EPOCH) // timedelta(microseconds=1) for n in (0, 2)])}
    assert upstream_holes.find_holes(days, [Period(START, START + 3 * DAY)], DAY) == {
        Period(START + DAY, START + 2 * DAY): ["A"]
    }


def test_an_hourly_value_is_no_hole_of_five_minute_ones() -> None:
    """Values of an hour count for all of it, as do those of a day; an hour without a value is a hole as before."""
    minutes = timedelta(minutes=5)
    rows = [Row(START + n * HOUR, START + (n + 1) * HOUR, "A", "load", "MW", 1.0) for n in (0, 1, 3)]
    rows += [
        Row(START + n * minutes, START + (n + 1) * minutes, "A", "load", "MW", 1.0) for n in range(48, 60) if n != 50
    ]
    rows += [Row(START, START + DAY, "B", "load", "MW", 1.0)]
    series = upstream_holes.list_starts(from_rows("generic", rows, START), minutes)
    assert upstream_holes.find_holes(series, [Period(START, START + 5 * HOUR)], minutes) == {
        Period(START + 2 * HOUR, START + 3 * HOUR): ["A load"],
        Period(START + 50 * minutes, START + 51 * minutes): ["A load"],
    }


def test_a_picture_shows_complete_missing_and_failed() -> None:
    """A cell shows complete, partly complete, missing or failed; a complete period is not shown as failed."""
    span = Period(START, START + 4 * DAY)
    complete = (Period(START, START + DAY), Period(START + DAY, START + DAY + 12 * HOUR))
    failed = (Period(START, START + HOUR), Period(START + 3 * DAY, START + 4 * DAY))
    coverage = Coverage(span, complete, failed)
    assert coverage.picture(4) == "█▄ ×"
    assert coverage.missing == [Period(START + 36 * HOUR, span.end)]
    assert str(coverage).endswith(" 2024-03-05  37%")
