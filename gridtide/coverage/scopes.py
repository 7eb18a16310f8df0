"""Which parts of an entry's scope its files answer, and for which periods; pure.

period        |--------------------------------|
files         |--- A ---|          |--- A, B --|
entry         A and B
lacking       |--- B ---|-- A, B --|

Rows with the same key in several files are read once, so files may overlap in period and scope.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from gridtide.coverage.answered import clip_to_reach, find_answered_period
from gridtide.entries.entry import TABULAR, Entry
from gridtide.entries.scope import Scope, parse_scope, rename_scope
from gridtide.lake import File, Metadata
from gridtide.lake.soundness import CheckedFiles
from gridtide.periods import Period, missing, union
from gridtide.sources.registry import find_entry_scope, narrow_entry

NOT_NOTED = "do not say what was asked, and the entry is not as it was then"
"""Why it is unknown what a file of an older version answers."""

TOO_FEW_ROWS = "have fewer rows than intervals of the length that the entry has now, and do not say what was asked"
"""Why a file of an older version may have been asked for longer intervals."""

READ_DIFFERENTLY = "were read with other settings than the entry has now, such as the time zone or the unit"


class Scoped(Protocol):
    """A scope over a period."""

    @property
    def period(self) -> Period:
        """The period of interval starts."""
        ...

    @property
    def scope(self) -> Scope:
        """The part of what an entry may request."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """A requested or lacking part: `scope` over `period`."""

    period: Period
    scope: Scope

    def describe_within(self, whole: Scope) -> str:
        """Returns the period of the part as text, with its scope if that is not `whole`."""
        text = self.scope.describe_within(whole)
        return f"{self.period} of {text}" if text else str(self.period)


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What the file at `path` answers: `scope` over `period`, as of `stamp`.

    `doubt` is the reason why that is uncertain; empty if it is certain.
    """

    path: str
    stamp: datetime
    period: Period
    scope: Scope
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Doubt:
    """The `periods` of a number of `files` that count as complete although that is uncertain, for a `reason`."""

    reason: str
    files: int
    periods: Sequence[Period]

    def describe(self, entry: str) -> str:
        """Describes what is uncertain about the entry of this name, and how to make it certain."""
        start, end = self.periods[0].start, self.periods[-1].end
        command = (
            f"gridtide backfill --start {start:%Y-%m-%dT%H:%M} --end {end:%Y-%m-%dT%H:%M} --select {entry} --refresh"
        )
        file_count = "1 file" if self.files == 1 else f"{self.files} files"
        return f"{file_count} of {Period(start, end)} {self.reason}; that counts as complete; to ask again: {command}"


def read_answers(entry: Entry, files: Iterable[File], checked: CheckedFiles, now: datetime) -> list[FileAnswer]:
    """Returns what each sound file of `files` with observations of a period answers, by its contents in `checked`.

    The period is limited to what was available when the file was made, and, if no other clock agreed with that of the
    run, to what its values reach; a file from after `now` answers nothing. A file
    without contents in `checked`, and a file that does not state what was requested, count as answers to the whole
    scope of `entry`. A file that was requested under a name that an alias of `entry` ends at some time answers the new
    name before that time.
    """
    entry_scope, fingerprint = find_entry_scope(entry), entry.fingerprint
    understood: dict[str, tuple[Scope, str]] = {}  # files are many, and their scopes few
    answers = []
    for file in files:
        period = find_answered_period(entry, file, now)
        if period is None or file.extension not in TABULAR or file.path in checked.damaged_files:
            continue
        content = checked.contents.get(file.path)
        period = clip_to_reach(period, file.stamp, content.reach) if content else period
        if period is None:
            continue
        text = content.scope if content else ""
        if text not in understood:
            file_scope = parse_scope(text)
            understood[text] = (file_scope, _find_doubt(entry_scope, file_scope)) if file_scope else (entry_scope, "")
        scope, doubt = understood[text]
        if content and not parse_scope(text):
            doubt = NOT_NOTED if content.fingerprint != fingerprint else _find_longer_intervals(entry, period, content)
        answer = FileAnswer(file.path, file.stamp, period, scope, doubt)
        answers += [answer, *_rename_answer(entry, answer, entry_scope)]
    return answers


def _rename_answer(entry: Entry, answer: FileAnswer, entry_scope: Scope) -> list[FileAnswer]:
    """Returns what `answer` answers under the names that the aliases of `entry` give, one after the other.

    An alias without an end renames nothing here: the series may have had its new name when the old one was requested,
    and the answer would lack it.
    """
    renamed_answers: list[FileAnswer] = []
    for alias in entry.aliases:
        since, before = alias.bounds
        if before is None:
            continue
        for earlier in (answer, *renamed_answers):
            start, end = max(since or earlier.period.start, earlier.period.start), min(before, earlier.period.end)
            scope = rename_scope(earlier.scope, alias, entry_scope) if start < end else None
            if scope is not None:
                renamed_answers.append(replace(earlier, period=Period(start, end), scope=scope))
    return renamed_answers


def _find_longer_intervals(entry: Entry, period: Period, content: Metadata) -> str:
    """Returns why a file with this `content`, whose version did not note the length of its intervals, may not answer
    `period` in those of `entry`: it has rows for less than half of them, even if all are of one series."""
    intervals = (period.end - period.start) / entry.resolution
    return TOO_FEW_ROWS if 0 < 2 * content.rows < intervals else ""


def _find_doubt(entry_scope: Scope, scope: Scope) -> str:
    """Returns why an answer to `scope` may not be an answer to `entry_scope`, if their values do not tell; empty if
    they do."""
    names = entry_scope.values().keys() ^ scope.values().keys()
    if names:
        return f"were asked with other parameters ({', '.join(sorted(names))})"
    return READ_DIFFERENTLY if entry_scope.reading != scope.reading else ""


def find_unanswered(parts: Iterable[Part], answers: Iterable[Scoped]) -> list[Part]:
    """Returns the parts of `parts` that no answer of `answers` covers; they share neither a period nor a combination of
    values."""
    periods_by_scope: dict[Scope, list[Period]] = defaultdict(list)
    for answer in answers:
        periods_by_scope[answer.scope].append(answer.period)
    gaps = list(parts)
    for scope, periods in periods_by_scope.items():
        union_of_periods = union(periods)
        gaps = join_parts(piece for part in gaps for piece in _subtract(part, scope, union_of_periods))
    return join_parts(gaps)


def _subtract(part: Part, scope: Scope, covered_periods: Sequence[Period]) -> list[Part]:
    lacking_scopes = part.scope.without(scope)
    if lacking_scopes == [part.scope]:
        return [part]
    unanswered_periods = missing(part.period, covered_periods)
    answered_periods = missing(part.period, unanswered_periods)
    return [Part(period, part.scope) for period in unanswered_periods] + [
        Part(period, piece) for piece in lacking_scopes for period in answered_periods
    ]


def join_parts(parts: Iterable[Part]) -> list[Part]:
    """Returns `parts` by period, with touching parts of one scope joined."""
    periods_by_scope: dict[Scope, list[Period]] = defaultdict(list)
    for part in parts:
        periods_by_scope[part.scope].append(part.period)
    joined_parts = [Part(period, scope) for scope, periods in periods_by_scope.items() for period in union(periods)]
    return sorted(joined_parts, key=lambda part: part.period)


def find_doubts(entry_part: Part, answers: Sequence[FileAnswer]) -> list[Doubt]:
    """Finds where `entry_part` counts as answered only because of uncertain answers. An answer to nothing of its scope
    counts for nothing."""
    answers = [answer for answer in answers if entry_part.scope.without(answer.scope) != [entry_part.scope]]
    if not any(answer.doubt for answer in answers):
        return []
    uncertain = union(part.period for part in find_unanswered([entry_part], select_certain(answers)))
    by_reason: dict[str, list[FileAnswer]] = defaultdict(list)
    for answer in answers:
        if answer.doubt and any(answer.period.overlaps(period) for period in uncertain):
            by_reason[answer.doubt].append(answer)
    return [
        Doubt(reason, len(doubtful), union(answer.period for answer in doubtful))
        for reason, doubtful in by_reason.items()
    ]


def find_partial(entry_part: Part, answers: Sequence[FileAnswer]) -> list[Part]:
    """Finds what was not requested in files, although they answer its period."""
    periods = union(answer.period for answer in answers)
    return [
        Part(period, open_part.scope)
        for open_part in find_unanswered([entry_part], answers)
        for period in missing(open_part.period, missing(open_part.period, periods))
    ]


def describe_scopes(entry: str, entry_part: Part, answers: Sequence[FileAnswer]) -> list[str]:
    """Describes which part of `entry_part` was not requested in the files of the entry of this name, and where that is
    uncertain."""
    lacking = [
        f"{part.period}: the requests of the files did not include {_describe_lacking(part, entry_part.scope, answers)}"
        for part in find_partial(entry_part, answers)
    ]
    return lacking + [doubt.describe(entry) for doubt in find_doubts(entry_part, answers)]


def _describe_lacking(part: Part, entry_scope: Scope, answers: Sequence[FileAnswer]) -> str:
    """Describes what of `entry_scope` is missing in `part`; if all of it is, how it differs from the scope of the last
    file."""
    text = part.scope.describe_within(entry_scope)
    if text:
        return text
    last = next(answer for answer in reversed(answers) if answer.period.overlaps(part.period))
    return entry_scope.describe_beyond(last.scope) or "all that the entry asks"


def select_certain(answers: Iterable[FileAnswer]) -> list[FileAnswer]:
    """Returns the `answers` that state what was requested and how it was read."""
    return [answer for answer in answers if not answer.doubt]


def narrow_parts(entry: Entry, parts: Sequence[Part]) -> list[tuple[Entry, Period]]:
    """Returns the periods of `parts`, each with an entry that requests exactly its scope; together they request nothing
    twice.

    If the upstream of `entry` cannot be asked for a part alone, the period gets `entry` itself, and no other parts.
    """
    narrowed = [(part.period, narrow_entry(entry, part.scope)) for part in parts]
    whole_periods = union(period for period, entries in narrowed if not entries)
    narrowed_periods = [
        (narrow, period)
        for part_period, entries in narrowed
        for period in missing(part_period, whole_periods)
        for narrow in entries
    ]
    return sorted([*((entry, period) for period in whole_periods), *narrowed_periods], key=lambda piece: piece[1])
