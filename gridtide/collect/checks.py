"""Checks the pages of one collection: each key once, the upstream's own counts, the entry's expectations.

Failures are per request: a failed check opens a hole for the period of its request, and the rest of the collection is
stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from gridtide.collect.expected.judgement import EXPECT_FIX, NOTHING_JUDGED, JudgedPage, Judgement, judge_page
from gridtide.collect.holes import Hole, count_skipped, find_day, find_row_parts
from gridtide.collect.row_marks import RowMarks
from gridtide.entries.entry import Entry
from gridtide.errors import FormatError, GridtideError, IncompleteError, list_first
from gridtide.periods import Period, missing, union
from gridtide.sources.contract import Page, Request, Response, Skipped
from gridtide.sources.registry import find_entry_scope

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gridtide.lake import Draft
    from gridtide.observations.identity import ConflictRule, Repeats


EMPTY_ANSWER = (
    'the upstream has nothing for this period; it is asked again while "reread" lasts, later only without its file'
)

ALL_REJECTED = (
    'rules of "expect" reject all rows for this period, which counts as answered; gridtide replay reads its bodies '
    "again under other rules"
)

ABSENT_NAMED = 5
"""The number of requests without data that a warning names."""

LOCATIONS_NAMED = 5
"""The number of locations without rows that a warning names."""

REPEATED = "exact duplicates of other rows"
"""Why the second of two equal rows is not stored."""

OUTRANKED = "earlier versions of a value, of which the latest is stored"
"""Why a row is not stored for which the entry's `conflict` names a column of versions."""

CONFLICT_FIX = 'Choose with "conflict": "first" or "last"'


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """A page with each key once, the fingerprints of its rows, and the number of exact duplicates.

    `conflicts` are the holes for keys with different values, of which none is stored; `skipped` counts the rows that
    were removed here.
    """

    page: Page
    marks: np.ndarray
    repeat_count: int = 0
    repeat_example: str = ""
    conflicts: Sequence[Hole] = ()
    skipped: Sequence[Skipped] = ()
    absent: bool = False
    """Whether the upstream states, by its status, that it has no data for the request."""
    judgement: JudgedPage = NOTHING_JUDGED
    """What the rules of `expect` found, and the rows that they rejected."""
    answer: Response | None = None
    """The answer with the page, of which pieces are still to be read."""
    body_path: str | None = None
    """Where the body of that answer is stored already."""

    @property
    def next_requests(self) -> Sequence[Request]:
        """The requests that follow."""
        return self.page.next_requests


Answered = tuple[int, Period | None]
"""The number of a first request, and the period of a page that followed from it: the rows of such pages are counted
together, as several first requests may be for one period, each for another location."""


@dataclass(frozen=True, slots=True)
class Slice:
    """`rows` of a draft that answer `request`, which follows from the first request with number `root`."""

    root: int
    request: Request
    rows: int


class PageChecks:
    """Writes pages to a draft and checks them against the upstream's counts and the entry's expectations.

    Use it as a context manager: the drafts are deleted at its end.
    """

    def __init__(self, entry: Entry, period: Period | None) -> None:
        self.entry, self.period = entry, period
        self.draft = self._open_draft(period)
        self.drafts: list[Draft] = []
        self.marks = RowMarks(entry.name)
        self.slices: list[Slice] = []
        self.ranks: list[np.ndarray] = []
        self.failed_roots: set[int] = set()
        self.holes: list[Hole] = []
        self.skipped: list[Skipped] = []
        self.repeat_count = 0
        self.repeat_example = ""
        self.record_counts: Counter[Answered] = Counter()
        self.repeats: Counter[Answered] = Counter()
        self.totals: dict[Answered, set[int]] = {}
        self.elsewhere: dict[Period, bool] = {}
        self.has_revisions = False
        self.absent: list[Request] = []
        self.warnings: list[str] = []
        self.judgement = Judgement(entry)

    def __enter__(self) -> PageChecks:
        return self

    def __exit__(self, *exc: object) -> None:
        self.marks.close()
        for draft in (self.draft, *self.drafts):
            draft.__exit__(*exc)

    def add(self, root: int, request: Request, parsed_page: ParsedPage) -> None:
        """Appends the observations of a page and records its counts."""
        page = parsed_page.page
        self._append_rows(root, request, parsed_page)
        for piece in page.more:  # for a body too large to be read at once
            self._append_rows(root, request, settle_page(Page(piece, 0), self.entry, request, self.period))
        self.skipped += page.skipped  # complete once all pieces are read
        self._open_beyond(request, page.reaches)
        if parsed_page.absent:
            self.absent.append(request)
        self.record_counts[root, request.period] += page.record_count
        if page.total is not None:
            self.totals.setdefault((root, request.period), set()).add(page.total)

    def _append_rows(self, root: int, request: Request, parsed_page: ParsedPage) -> None:
        from gridtide.observations import expectations
        from gridtide.observations.table import split_ranks

        rows, ranks = split_ranks(parsed_page.page.observations)
        if self.entry.has_versions:
            self.ranks.append(ranks)
        self.marks.add(parsed_page.marks)
        self.slices.append(Slice(root, request, rows.num_rows))
        self.repeat_count += parsed_page.repeat_count
        self.repeat_example = self.repeat_example or parsed_page.repeat_example
        self.repeats[root, request.period] += parsed_page.repeat_count
        self.skipped += parsed_page.skipped
        self.judgement.add(parsed_page.judgement)
        self.holes += parsed_page.conflicts
        self.has_revisions |= request.beyond and rows.num_rows > 0
        asked_period = request.period or (None if request.beyond else self.period)
        if asked_period and rows.num_rows and self.elsewhere.get(asked_period, True):
            self.elsewhere[asked_period] = not expectations.overlaps_period(rows, asked_period)
        self.draft.append(rows, parsed_page.marks)

    def _open_beyond(self, request: Request, reaches: datetime | None) -> None:
        """Opens a hole of the part of the request's period that a forecast does not reach yet."""
        if reaches is None or request.period is None or reaches >= request.period.end:
            return
        beyond = Period(max(reaches, request.period.start), request.period.end)
        self._open_hole(beyond, None)
        self.warnings.append(f"the forecast reaches {reaches:%Y-%m-%dT%H:%MZ}; {beyond} stays open")

    def fail(self, root: int, request: Request, error: GridtideError) -> None:
        """Opens a hole where `request` failed; other pages that the first request with number `root` led to are not
        stored."""
        self.failed_roots.add(root)
        self._open_hole(request.whole_period or request.period, error)

    def _open_hole(self, period: Period | None, error: GridtideError | None) -> None:
        """Opens a hole for the requested part of `period`: a request may be for a whole day of which only a part was
        wanted."""
        if period and self.period and period.overlaps(self.period):
            self.holes.append(Hole(period.clip(self.period), error))

    def complete(self) -> list[Draft]:
        """Returns the drafts to store, each key once: one for the whole period; or if there are holes, one for each
        answered part, and one without a period for rows that cover nothing.

        Raises `IncompleteError` or `FormatError`; if nothing can be stored, the error of the first hole.
        """
        repeat_count = self.repeat_count + self._drop_repeats()
        self._check_counts()
        self._judge_across()
        if repeat_count:
            self.warnings.append(f"{repeat_count} exact duplicates collapsed")
        if self.absent:
            labels = [request.label or "the snapshot" for request in self.absent]
            self.warnings.append(f"the upstream has nothing, by its status, for {list_first(labels, ABSENT_NAMED)}")
        for period, is_elsewhere in self.elsewhere.items():
            if is_elsewhere:
                self._open_hole(period, None)
                self.warnings.append(
                    f"all rows of the answer for {period} lie outside it: they are stored, and the period stays open"
                )
        self.skipped = count_skipped([*self.skipped, *self.judgement.list_rejected()])
        self.warnings += self.judgement.list_warnings()
        self.warnings += [
            f"{skipped.count} not stored: {skipped.reason}, such as {skipped.example}"
            for skipped in self.skipped
            if not skipped.expected
        ]
        if repeat_count:  # named above; the reports and the metadata count them with the rest
            self.skipped.append(Skipped(REPEATED, repeat_count, self.repeat_example))
        self._warn_of_changed_series()
        self._warn_of_absent_locations()
        is_split = self.period is not None and (bool(self.holes) or self.has_revisions)
        self.drafts = self._split_at_holes() if is_split else [self.draft]
        self._check_expected()
        if self.period is not None and not self.holes and not self.draft.rows:
            self.warnings.append(ALL_REJECTED if self.judgement.rejections else EMPTY_ANSWER)
        for draft in self.drafts:
            # a sum over the files counts each rejected row once
            records = [item.as_dict() for item in self.skipped if not item.rule or draft is self.drafts[0]]
            whole = draft.provenance.period
            absent = [part.clip(whole) for part in self.absent_periods() if whole and part.overlaps(whole)]
            draft.provenance = replace(draft.provenance, skipped=records, absent=absent)
        return self.drafts

    def absent_periods(self) -> list[Period]:
        """Returns the parts of the period for which the upstream has nothing, as its status says, and no other request
        of theirs has either."""
        if self.period is None:
            return []
        present = [part.request.period for part in self.slices if part.rows and part.request.period]
        absent = [request.period for request in self.absent if request.period]
        parts = [part for period in union(absent) for part in missing(period, present)]
        return [part.clip(self.period) for part in parts if part.overlaps(self.period)]

    def _warn_of_changed_series(self) -> None:
        """Warns of series that begin or end within the settled part of the period; later values may still come."""
        from gridtide.observations.series_days import describe_days

        settled = datetime.now(UTC) - self.entry.reread
        if self.period is None or self.period.start >= settled:
            return
        settled_period = Period(self.period.start, min(self.period.end, settled))
        begun, ended = self.draft.series_days.begin_or_end(settled_period)
        if ended:
            verb = "ends" if len(ended) == 1 else "end"
            self.warnings.append(f"{len(ended)} series {verb} within the period: {describe_days(ended)}")
        if begun:
            verb = "begins" if len(begun) == 1 else "begin"
            self.warnings.append(f"{len(begun)} series {verb} within the period: {describe_days(begun)}")

    def _warn_of_absent_locations(self) -> None:
        """Warns of locations that the entry names and of which no row came, such as one that is misspelled."""
        present = {location for location, _ in self.draft.series_days.names}
        absent = [name for name in self.entry.locations if name not in present]
        if absent and present:
            names = list_first(absent, LOCATIONS_NAMED)
            self.warnings.append(f'the answer has no rows of {names}, which "locations" names: check the spelling')

    def _check_counts(self) -> None:
        """Checks that the rows received are as many as the upstream's own count, which must be the same on every
        page."""
        for (root, period), totals in self.totals.items():
            # a repeated page must not compensate for a missing one
            received = self.record_counts[root, period] - self.repeats[root, period]
            if totals == {received}:
                continue
            rows = "different rows" if self.repeats[root, period] else "rows"
            happened = f"{received} {rows} received, the upstream says there are {max(totals)}"
            if len(totals) > 1:
                happened = f"the upstream's count changed while it was paged, from {min(totals)} to {max(totals)}"
            error = IncompleteError(self.entry.name, f"{period or 'snapshot'}: {happened}", "Try again")
            if period is None:
                raise error
            self._open_hole(period, error)
            self.failed_roots.add(root)

    def _drop_repeats(self) -> int:
        """Removes keys that several pages share, and returns the number of exact duplicates; each page is distinct
        already."""
        import numpy as np

        if not self.marks.have_repeats():
            return 0
        table = self.draft.table()
        repeats = _resolve_versions(table, self.entry, np.concatenate(self.ranks) if self.ranks else None)
        dropped = self._keep_rows(table, repeats.rows)
        if len(repeats.outranked):
            self.skipped.append(_describe_versions(repeats, table))
        elif not repeats.refused:  # conflicts are counted as such, not as missing rows
            for row_slice, dropped_count in zip(self.slices, dropped, strict=True):
                self.repeats[row_slice.root, row_slice.request.period] += dropped_count
        if repeats.conflicts.num_rows:
            self.skipped.append(describe_conflicts(repeats.refused, self.entry, repeats.describe_first_conflict()))
            if self.entry.conflict not in ("first", "last") and self.period:
                self.holes += find_conflict_holes(repeats.conflicts, self.entry, self.period)
        repeat_count = sum(dropped) - repeats.refused - len(repeats.outranked)
        if repeat_count:
            self.repeat_example = self.repeat_example or repeats.describe_first_repeat(table)
        return repeat_count

    def _keep_rows(self, table: pa.Table, rows: np.ndarray) -> list[int]:
        """Replaces the draft by those `rows` (kept,) of it, by their positions in its `table`; returns how many fewer
        rows each slice has."""
        owners = self._find_owners()[rows]
        dropped = [row_slice.rows - int((owners == number).sum()) for number, row_slice in enumerate(self.slices)]
        self.slices = [
            replace(row_slice, rows=row_slice.rows - dropped_count)
            for row_slice, dropped_count in zip(self.slices, dropped, strict=True)
        ]
        self.draft.__exit__(None, None, None)
        self.draft = self._open_draft(self.period)
        self.draft.append(table.take(rows))
        return dropped

    def _judge_across(self) -> None:
        """Applies the rules across series: rejected and refused rows leave the draft, and days with refused rows become
        holes. Raises `FormatError` if a snapshot has refused rows."""
        import numpy as np
        import pyarrow as pa

        if not self.entry.expect.cross_rules or not self.draft.rows:
            return
        table = self.draft.table()
        stays, failures = self.judgement.judge_across(table)
        for verdict in failures:
            error = FormatError(self.entry.name, verdict.reason, EXPECT_FIX)
            if self.period is None:
                raise error
            moments = table["interval_start"].filter(pa.array(verdict.is_broken)).unique().to_pylist()
            days = {find_day(moment, self.entry, self.period) for moment in moments}
            self.holes += [Hole(day, error) for day in sorted(days)]
            self.skipped.append(Skipped(f"refused by {verdict.rule.name}", verdict.count, verdict.reason))
            stays &= ~verdict.is_broken
        if not stays.all():
            self._keep_rows(table, np.flatnonzero(stays))

    def _find_owners(self) -> np.ndarray:
        """Returns the number of the slice that each row of the draft belongs to, shape (rows,)."""
        import numpy as np

        return np.repeat(np.arange(len(self.slices)), [row_slice.rows for row_slice in self.slices])

    def _split_at_holes(self) -> list[Draft]:
        """Splits the draft at the holes, without failed rows; revisions of other intervals belong to no part.

        Raises the error of a hole if nothing is left to store.
        """
        assert self.period is not None  # noqa: S101
        parts = missing(self.period, [hole.period for hole in self.holes])
        errors = [hole.error for hole in self.holes if hole.error]
        table = self.draft.table()
        places = find_row_parts(table, self._find_owners(), self.slices, self.failed_roots, parts)
        if errors and not parts and not (places >= 0).any():
            raise errors[0]
        drafts = [self._fill_draft(table, places == number, part) for number, part in enumerate(parts)]
        outside = places == len(parts)
        return [*drafts, self._fill_draft(table, outside, None)] if outside.any() else drafts

    def _fill_draft(self, table: pa.Table, in_part: np.ndarray, period: Period | None) -> Draft:
        import pyarrow as pa

        draft = self._open_draft(period)
        self.drafts.append(draft)  # so that it is deleted at the end, whatever happens
        draft.append(table.filter(pa.array(in_part)))
        return draft

    def _check_expected(self) -> None:
        """Checks what is expected of a whole response; one with holes is not checked, because it is requested again."""
        expect = self.entry.expect
        if self.holes:
            return
        if self.draft.rows < expect.minimum_rows:
            happened = f"{self.draft.rows} rows, at least {expect.minimum_rows} are expected"
            raise IncompleteError(self.entry.name, happened, EXPECT_FIX)
        if expect.required:
            from gridtide.observations import expectations

            broken = expectations.find_unexpected(self.draft.table(), expect.required)
            if broken:
                raise FormatError(self.entry.name, broken, EXPECT_FIX)
        self.warnings += self.judgement.judge_answer(self.period, datetime.now(UTC))

    def _open_draft(self, period: Period | None) -> Draft:
        from gridtide.lake import Draft, Provenance

        file_format: Literal["parquet", "csv"] = "csv" if self.entry.format == "csv" else "parquet"
        scope = find_entry_scope(self.entry).as_text()
        return Draft(file_format, Provenance(self.entry.name, period, self.entry.fingerprint, scope=scope))


def settle_page(page: Page, entry: Entry, request: Request, period: Period | None) -> ParsedPage:
    """Returns `page`, which answers `request`, without the rows that a rule of `entry` rejects, and with each key once.

    Raises `FormatError` if a row breaks a rule with `fail`, or if two rows with one key have different values and the
    entry's `conflict` does not say which of them counts.
    """
    from gridtide.observations.identity import fingerprints, has_repeats
    from gridtide.observations.table import split_ranks

    rows, judged = judge_page(page.observations, entry)
    marks = fingerprints(rows)
    if not has_repeats([marks]):
        return ParsedPage(replace(page, observations=rows), marks, judgement=judged)
    skipped: list[Skipped] = []
    repeats = _resolve_versions(rows, entry, split_ranks(rows)[1] if entry.has_versions else None)
    distinct = rows.take(repeats.rows)
    repeat_count = rows.num_rows - distinct.num_rows - repeats.refused - len(repeats.outranked)
    if len(repeats.outranked):
        skipped.append(_describe_versions(repeats, rows))
    holes: list[Hole] = []
    if repeats.conflicts.num_rows:
        if entry.conflict == "refuse":
            happened = f"keys come with different values, the first is {repeats.describe_first_conflict()}"
            raise FormatError(entry.name, happened, CONFLICT_FIX)
        skipped.append(describe_conflicts(repeats.refused, entry, repeats.describe_first_conflict()))
        if entry.conflict not in ("first", "last") and period:
            asked_period = request.period or period
            clipped = asked_period.clip(period) if asked_period.overlaps(period) else period
            holes = find_conflict_holes(repeats.conflicts, entry, clipped)
    example = repeats.describe_first_repeat(rows) if repeat_count else ""
    marks = fingerprints(distinct)
    distinct_page = replace(page, observations=distinct)
    return ParsedPage(distinct_page, marks, repeat_count, example, holes, skipped, judgement=judged)


def _resolve_versions(rows: pa.Table, entry: Entry, ranks: np.ndarray | None) -> Repeats:
    """Resolves the repeats in `rows` by the entry's `conflict`, which may name the column that `ranks` (rows,) are
    of."""
    from gridtide.observations.identity import resolve_repeats

    rule: ConflictRule = "first" if entry.conflict == "first" else "last" if entry.conflict == "last" else "refuse"
    return resolve_repeats(rows, rule, ranks)


def _describe_versions(repeats: Repeats, rows: pa.Table) -> Skipped:
    return Skipped(OUTRANKED, len(repeats.outranked), repeats.describe_first_outranked(rows), expected=True)


def describe_conflicts(count: int, entry: Entry, example: str) -> Skipped:
    """Describes `count` rows that are not stored because their keys have different values."""
    choice = f"only the {entry.conflict}" if entry.conflict in ("first", "last") else "none"
    return Skipped(f"different values of one key, of which {choice} is stored", count, example)


def find_conflict_holes(conflicts: pa.Table, entry: Entry, period: Period) -> list[Hole]:
    """Returns the days of `period` in which keys of `conflicts` lie; all of `period` for a key outside it.

    Days are those in which the upstream answers, or else days of UTC.
    """
    from gridtide.collect.holes import find_day
    from gridtide.observations.identity import describe_rivals

    days: dict[Period, list[str]] = {}
    columns = conflicts.select(["source", "location", "variable", "interval_start", "value_min", "value_max"])
    for row in columns.to_pylist():
        description = (
            f"{row['location']}/{row['variable']} at {row['interval_start']:%Y-%m-%dT%H:%MZ} comes with "
            f"{describe_rivals(row)}"
        )
        days.setdefault(find_day(row["interval_start"], entry, period), []).append(description)
    return [
        Hole(
            day,
            FormatError(
                entry.name,
                f"{_count_keys(texts)} with different values, none is stored: {texts[0]}",
                CONFLICT_FIX,
            ),
        )
        for day, texts in days.items()
    ]


def _count_keys(keys: Sequence[str]) -> str:
    return "1 key comes" if len(keys) == 1 else f"{len(keys)} keys come"
