"""Which series are silent: no new values for longer than they ever took, while other series have them; pure.

another series  |-|-|-|-|-|-|-|-|-|-|-|   reference: up to where others have values
this one        |-|-|-|-|-|- - - -        behind by more than `longest_pause`: silent, or it sends nulls or zeros
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from gridtide.coverage.freshness.last_rows import LastRows
from gridtide.entries.entry import Entry
from gridtide.observations.availability import find_due_end
from gridtide.periods import HOUR

if TYPE_CHECKING:
    from gridtide.observations.array_types import Floats, Integers
    from gridtide.observations.series_days import SeriesLabel

SPACINGS = 3
"""How many usual spacings a series may lack before it is looked at."""

USUAL_SHARE = 0.99
"""The share of the gaps between values, and of the pauses between answers, that are a series' own; more are outages."""

FEWEST_ANSWERS = 20
"""Answers, each in an hour of its own, that show how late values come; a backfill brings old ones within few hours."""

MOST_ZEROS = 0.01
"""The share of zeros up to which a series is one that is never zero."""


@dataclass(frozen=True, slots=True)
class SilentSeries:
    """A series that has had no value since the interval that starts `since` (None: never), and what is stored instead:
    nothing, nulls or zeros. An expected location without any series has no `variable`."""

    location: str
    variable: str
    since: datetime | None
    stored: Literal["nothing", "nulls", "zeros"] = "nothing"

    @property
    def label(self) -> SeriesLabel:
        """Its location and variable."""
        return self.location, self.variable

    def __str__(self) -> str:
        name = f"{self.location}/{self.variable}" if self.variable else self.location
        since = f"since {self.since:%Y-%m-%dT%H:%MZ}" if self.since else "so far"
        return f"{name} {since}" + (f" ({self.stored})" if self.stored != "nothing" else "")

    def as_dict(self) -> dict[str, Any]:
        """The same as small JSON."""
        since = self.since.isoformat() if self.since else None
        return {"location": self.location, "variable": self.variable, "since": since, "stored": self.stored}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A series that may be silent: it is `behind` others."""

    series: SilentSeries
    since: datetime
    behind: timedelta


def find_candidates(entry: Entry, last_rows: Mapping[SeriesLabel, LastRows], now: datetime) -> list[Candidate]:
    """The series of `entry` that are behind others by more than `SPACINGS` of its resolution, of what is due at `now`.

    Each is compared with the other locations of its variable, or with all other series where there are none. A series
    that the entry does not ask for any more, by its fingerprint, is no candidate.
    """
    current = {label: rows for label, rows in last_rows.items() if rows.fingerprint in ("", entry.fingerprint)}
    by_variable: dict[str, list[LastRows]] = defaultdict(list)
    for (_, variable), rows in current.items():
        by_variable[variable].append(rows)
    last_due = find_due_end(entry, now) - entry.resolution
    candidates = []
    for label, rows in current.items():
        peers = by_variable[label[1]]
        compared = peers if len(peers) > 1 else list(current.values())
        reference = max((peer.value for peer in compared if peer.value), default=rows.row)
        if len(compared) == 1:
            reference = rows.row
        nonzero = max((peer.nonzero for peer in peers if peer.nonzero), default=rows.row)
        candidates += _compare_series(entry, label, rows, min(reference, last_due), min(nonzero, last_due))
    return candidates


def _compare_series(
    entry: Entry, label: SeriesLabel, rows: LastRows, value: datetime, nonzero: datetime
) -> list[Candidate]:
    """The series as a candidate if its last `rows` are behind those of others with a value, or one other than zero."""
    limit = SPACINGS * entry.resolution
    if rows.value and value - rows.value > limit:
        stored: Literal["nothing", "nulls"] = "nulls" if value - rows.row <= limit else "nothing"
        return [Candidate(SilentSeries(*label, rows.value, stored), rows.value, value - rows.value)]
    if rows.nonzero and nonzero - rows.nonzero > limit:
        return [Candidate(SilentSeries(*label, rows.nonzero, "zeros"), rows.nonzero, nonzero - rows.nonzero)]
    return []


def is_silent(entry: Entry, candidate: Candidate, history: SeriesHistory) -> bool:
    """Whether the pause of `candidate` is longer than those in its `history`; zeros count where it has none there."""
    if candidate.series.stored == "zeros" and history.zero_share > MOST_ZEROS:
        return False
    return candidate.behind > longest_pause(entry, history)


@dataclass(frozen=True, slots=True)
class SeriesHistory:
    """The rows of a series before it fell silent: `starts` and `ends` of intervals with values, and when these were
    first `retrieved`, all (N,) in µs since 1970; and which share of the values are zeros."""

    starts: Integers
    ends: Integers
    retrieved: Integers
    zero_share: float = 0.0


def longest_pause(entry: Entry, history: SeriesHistory) -> timedelta:
    """How long the series may have no new value: some usual spacings, or the longest gaps and delays of its own.

    A delay is how old, by what was due, the latest value was when the next one was retrieved.
    """
    import numpy as np

    starts = np.unique(history.starts)
    gaps = np.diff(starts).astype(np.float64)
    pauses = [SPACINGS * entry.resolution]
    if len(gaps):
        pauses += [SPACINGS * _to_timedelta(np.median(gaps)), 2 * _to_timedelta(_find_usual_longest(gaps))]
    order = np.argsort(history.retrieved, kind="stable")
    hour = HOUR // timedelta(microseconds=1)
    answers, places = np.unique(history.retrieved[order] // hour * hour, return_index=True)
    if len(answers) > FEWEST_ANSWERS:
        newest = np.maximum.accumulate(history.ends[order])
        lag = (entry.available.lag or timedelta()) // timedelta(microseconds=1)
        delays = (answers[1:] - lag - newest[places[1:] - 1]).astype(np.float64)
        pauses.append(_to_timedelta(_find_usual_longest(delays)) + entry.resolution)
    return max(pauses)


def _find_usual_longest(lengths: Floats) -> float:
    import numpy as np

    return float(np.quantile(lengths, USUAL_SHARE, method="lower"))


def _to_timedelta(length: float) -> timedelta:
    return timedelta(microseconds=float(length))
