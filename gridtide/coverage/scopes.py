"""Which parts of the scope of an entry its files answer, and for which periods; pure.

period        |--------------------------------|
files         |--- A ---|          |--- A, B --|
entry asks    A and B
lacking       |--- B ---|-- A, B --|

Rows of one key in several files are read once, so that files may overlap in period and scope.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gridtide.coverage.answered import answered_period
from gridtide.entries.entry import TABULAR, Entry
from gridtide.entries.scope import Scope, parse_scope
from gridtide.lake import File
from gridtide.lake.soundness import CheckedFiles
from gridtide.periods import Period, missing, union
from gridtide.sources.registry import narrow_entry, scope_of

NOT_NOTED = "do not say what was asked, and the entry is not as it was then"
"""Why it cannot be told what a file of an older version answers."""

READ_DIFFERENTLY = "were read with other settings than the entry has now, such as the time zone or the unit"


class Scoped(Protocol):
    """A scope over a period."""

    @property
    def period(self) -> Period:
        """For which interval starts."""
        ...

    @property
    def scope(self) -> Scope:
        """Which of what an entry may ask."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """What is asked, or lacking: `scope` over `period`."""

    period: Period
    scope: Scope

    def describe_within(self, whole: Scope) -> str:
        """Its period, and its scope where that is not `whole`."""
        described = self.scope.describe_within(whole)
        return f"{self.period} of {described}" if described else str(self.period)


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What the file at `path` answers: `scope` over `period`, as it was at `stamp`.

    `doubt` says why that is not certain; it is empty where it is.
    """

    path: str
    stamp: datetime
    period: Period
    scope: Scope
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Doubt:
    """The `periods` of a number of `files` that count as complete although that is not certain, for a `reason`."""

    reason: str
    files: int
    periods: Sequence[Period]

    def describe(self, entry: str) -> str:
        """What is not certain of the entry of this name, and how to be certain."""
        start, end = self.periods[0].start, self.periods[-1].end
        command = (
            f"gridtide backfill --start {start:%Y-%m-%dT%H:%M} --end {end:%Y-%m-%dT%H:%M} --select {entry} --refresh"
        )
        number = "1 file" if self.files == 1 else f"{self.files} files"
        return f"{number} of {Period(start, end)} {self.reason}; that counts as complete; to ask again: {command}"


def read_answers(entry: Entry, files: Iterable[File], checked: CheckedFiles, now: datetime) -> list[FileAnswer]:
    """What each of `files` answers that is sound and holds observations of a period, as its contents in `checked` say.

    Its period is what had come when it was made, nothing if that is after `now`.

    A file without contents there counts as an answer to all that `entry` asks, as does a file that does not say what
    was asked.
    """
    whole, fingerprint = scope_of(entry), entry.fingerprint
    answers = []
    for file in files:
        period = answered_period(entry, file, now)
        if period is None or file.extension not in TABULAR or file.path in checked.damaged:
            continue
        content = checked.contents.get(file.path)
        scope = parse_scope(content.scope) if content and content.scope else None
        doubt = ""
        if scope is not None:
            doubt = _find_doubt(whole, scope)
        elif content is not None and content.fingerprint != fingerprint:
            doubt = NOT_NOTED
        answers.append(FileAnswer(file.path, file.stamp, period, scope or whole, doubt))
    return answers


def _find_doubt(whole: Scope, scope: Scope) -> str:
    """Why an answer to `scope` may not be one to `whole` where their values do not tell; empty if they do."""
    names = whole.values().keys() ^ scope.values().keys()
    if names:
        return f"were asked with other parameters ({', '.join(sorted(names))})"
    return READ_DIFFERENTLY if whole.reading != scope.reading else ""


def find_unanswered(parts: Iterable[Part], answers: Iterable[Scoped]) -> list[Part]:
    """What of `parts` none of `answers` answers, as parts that share neither a period nor a combination of values."""
    periods_by_scope: dict[Scope, list[Period]] = defaultdict(list)
    for answer in answers:
        periods_by_scope[answer.scope].append(answer.period)
    unanswered = list(parts)
    for scope, periods in periods_by_scope.items():
        answered = union(periods)
        unanswered = join_parts(piece for part in unanswered for piece in _subtract(part, scope, answered))
    return join_parts(unanswered)


def _subtract(part: Part, scope: Scope, answered: Sequence[Period]) -> list[Part]:
    lacking = part.scope.without(scope)
    if lacking == [part.scope]:
        return [part]
    outside = missing(part.period, answered)
    inside = missing(part.period, outside)
    return [Part(period, part.scope) for period in outside] + [
        Part(period, piece) for piece in lacking for period in inside
    ]


def join_parts(parts: Iterable[Part]) -> list[Part]:
    """The same as `parts`, those of one scope joined where they touch, by period."""
    periods_by_scope: dict[Scope, list[Period]] = defaultdict(list)
    for part in parts:
        periods_by_scope[part.scope].append(part.period)
    joined = [Part(period, scope) for scope, periods in periods_by_scope.items() for period in union(periods)]
    return sorted(joined, key=lambda part: part.period)


def find_doubts(whole: Part, answers: Sequence[FileAnswer]) -> list[Doubt]:
    """Where `whole` counts as answered only by answers that are not certain."""
    uncertain = [part.period for part in find_unanswered([whole], certain_answers(answers))]
    by_reason: dict[str, list[FileAnswer]] = defaultdict(list)
    for answer in answers:
        if answer.doubt and any(answer.period.overlaps(period) for period in uncertain):
            by_reason[answer.doubt].append(answer)
    return [
        Doubt(reason, len(doubtful), union(answer.period for answer in doubtful))
        for reason, doubtful in by_reason.items()
    ]


def find_partial(whole: Part, answers: Sequence[FileAnswer]) -> list[Part]:
    """What files were not asked for although they answer its period."""
    periods = [answer.period for answer in answers]
    return [
        Part(period, hole.scope)
        for hole in find_unanswered([whole], answers)
        for period in missing(hole.period, missing(hole.period, periods))
    ]


def describe_scopes(entry: str, whole: Part, answers: Sequence[FileAnswer]) -> list[str]:
    """What the files of the entry of this name were not asked for of `whole`, and where that is not certain."""
    partial = [
        (part.period, part.scope.describe_within(whole.scope) or "what the entry asks now")
        for part in find_partial(whole, answers)
    ]
    lacking = [f"{period}: the files were not asked for {described}" for period, described in partial]
    return lacking + [doubt.describe(entry) for doubt in find_doubts(whole, answers)]


def certain_answers(answers: Iterable[FileAnswer]) -> list[FileAnswer]:
    """Those of `answers` that say what was asked and how it was read."""
    return [answer for answer in answers if not answer.doubt]


def narrow_parts(entry: Entry, parts: Sequence[Part]) -> list[tuple[Entry, Period]]:
    """The periods of `parts`, each with an entry that asks for just its scope; all of them together ask nothing twice.

    Where the upstream of `entry` cannot be asked for a part alone, it is `entry`, and other parts of that period are
    not asked besides.
    """
    narrowed = [(part.period, narrow_entry(entry, part.scope)) for part in parts]
    whole = union(period for period, entries in narrowed if not entries)
    pieces = [
        (narrow, period)
        for part_period, entries in narrowed
        for period in missing(part_period, whole)
        for narrow in entries
    ]
    return sorted([*((entry, period) for period in whole), *pieces], key=lambda piece: piece[1])
