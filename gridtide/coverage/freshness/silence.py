"""Which series are silent: without new values for longer than ever before, while other series have them; pure.

another series  |-|-|-|-|-|-|-|-|-|-|-|   reference: up to where others have values
this one        |-|-|-|-|-|- - - -        behind by more than `measure_pause`: silent, or it sends nulls or zeros
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from gridtide.coverage.freshness.last_rows import LastRows
from gridtide.coverage.freshness.requested import select_requested
from gridtide.entries.entry import Entry
from gridtide.entries.expect.rules import expects_zeros
from gridtide.observations.availability import find_due_end
from gridtide.periods import HOUR, count_microseconds
from gridtide.variables import SeriesName

if TYPE_CHECKING:
    from gridtide.observations.array_types import Floats, Integers
    from gridtide.observations.series_days import SeriesLabel

SPACINGS = 3
"""A series is checked when it is behind by more than this many of its usual spacings."""

USUAL_SHARE = 0.99
"""The share of a series' gaps between values, and of its delays, that counts as usual; longer ones are outages."""

FEWEST_ANSWERS = 20
"""Delays are computed only from more than this many answers, each in an hour of its own: a backfill retrieves many old
values within a few hours."""

REGULAR_SHARE, REGULAR_SPAN = 0.9, timedelta(days=7)
"""A series is regular that had values in this share of at least this time; a fuel that is burnt now and then is not."""

MOST_ZEROS = 0.01
"""A series with at most this share of zeros counts as never zero."""


@dataclass(frozen=True, slots=True)
class SilentSeries:
    """A series without values since the interval that starts at `since` (None: it never had any), and what is stored
    instead: nothing, nulls or zeros. An expected location without any series has an empty `variable`."""

    location: str
    variable: str
    since: datetime | None
    stored: Literal["nothing", "nulls", "zeros"] = "nothing"

    @property
    def label(self) -> SeriesLabel:
        """Returns the location and the variable of the series."""
        return self.location, self.variable

    def __str__(self) -> str:
        name = f"{self.location}/{self.variable}" if self.variable else self.location
        since = f"since {self.since:%Y-%m-%dT%H:%MZ}" if self.since else "so far"
        return f"{name} {since}" + (f" ({self.stored})" if self.stored != "nothing" else "")

    def as_dict(self) -> dict[str, Any]:
        """Returns the series as a JSON object."""
        since = self.since.isoformat() if self.since else None
        return {"location": self.location, "variable": self.variable, "since": since, "stored": self.stored}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A series that may be silent: it is `behind` other series by this much, since its last value at `since`. It
    `has_peers` if other locations have its variable."""

    series: SilentSeries
    since: datetime
    behind: timedelta
    has_peers: bool


def find_candidates(entry: Entry, last_rows: Mapping[SeriesLabel, LastRows], now: datetime) -> list[Candidate]:
    """Returns the series of `entry` that are behind others by more than `SPACINGS` of its resolution, among values due
    at `now`.

    Each is compared with the other locations of its variable, or with all other series if there are none. A series
    that the entry no longer requests is not a candidate.
    """
    current = select_requested(entry, last_rows)
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
        value, nonzero = min(reference, last_due), min(nonzero, last_due)
        if candidate := _compare_series(entry, label, rows, value, nonzero, has_peers=len(peers) > 1):
            candidates.append(candidate)
    return candidates


def _compare_series(
    entry: Entry, label: SeriesLabel, rows: LastRows, value: datetime, nonzero: datetime, *, has_peers: bool
) -> Candidate | None:
    """Returns the series as a candidate if its last `rows` are behind the last `value` of others, or behind their last
    value other than zero, `nonzero`."""
    limit = SPACINGS * entry.resolution
    if rows.value and value - rows.value > limit:
        content: Literal["nothing", "nulls"] = "nulls" if value - rows.row <= limit else "nothing"
        return Candidate(SilentSeries(*label, rows.value, content), rows.value, value - rows.value, has_peers)
    are_values = expects_zeros(entry.expect, SeriesName(entry.source, *label))
    if rows.nonzero and nonzero - rows.nonzero > limit and not are_values:
        zeros = SilentSeries(*label, rows.nonzero, "zeros")
        return Candidate(zeros, rows.nonzero, nonzero - rows.nonzero, has_peers)
    return None


def is_silent(entry: Entry, candidate: Candidate, history: SeriesHistory) -> bool:
    """Whether the pause of `candidate` is longer than the pauses in its `history`.

    Zeros count if its history has none. A variable that no other location has may come and go, such as a fuel; without
    rows it counts as silent only if it was regular.
    """
    if candidate.series.stored == "zeros" and history.zero_share > MOST_ZEROS:
        return False
    if candidate.series.stored == "nothing" and not candidate.has_peers and not is_regular(history):
        return False
    return candidate.behind > measure_pause(entry, history)


@dataclass(frozen=True, slots=True)
class SeriesHistory:
    """The rows of a series before it fell silent. `starts` and `ends`: the intervals with values; `retrieval_times`:
    when these were first retrieved; all (N,) in µs since 1970. `zero_share`: the share of the values that are zero.
    `observed_span`: how long the entry had rows by then, within the time that was read."""

    starts: Integers
    ends: Integers
    retrieval_times: Integers
    zero_share: float = 0.0
    observed_span: timedelta = timedelta()


def is_regular(history: SeriesHistory) -> bool:
    """Whether the series had values in nearly all of the time in which the entry had rows, a week at least."""
    import numpy as np

    starts = np.unique(history.starts)
    if len(starts) < 2 or history.observed_span < REGULAR_SPAN:
        return False
    return len(starts) * _to_timedelta(np.median(np.diff(starts))) >= REGULAR_SHARE * history.observed_span


def measure_pause(entry: Entry, history: SeriesHistory) -> timedelta:
    """Returns how long the series may have no new value: some usual spacings, or the longest gaps and delays of its
    history.

    A delay is the age of the latest value, less the entry's lag, when the next one was retrieved.
    """
    import numpy as np

    starts = np.unique(history.starts)
    gaps = np.diff(starts).astype(np.float64)
    pauses = [SPACINGS * entry.resolution]
    if len(gaps):
        pauses += [SPACINGS * _to_timedelta(np.median(gaps)), 2 * _to_timedelta(_find_usual_longest(gaps))]
    retrieval_order = np.argsort(history.retrieval_times, kind="stable")
    hour = count_microseconds(HOUR)
    answers, places = np.unique(history.retrieval_times[retrieval_order] // hour * hour, return_index=True)
    if len(answers) > FEWEST_ANSWERS:
        latest_ends = np.maximum.accumulate(history.ends[retrieval_order])
        lag = count_microseconds(entry.available.lag or timedelta())
        delays = (answers[1:] - lag - latest_ends[places[1:] - 1]).astype(np.float64)
        pauses.append(_to_timedelta(_find_usual_longest(delays)) + entry.resolution)
    return max(pauses)


def _find_usual_longest(lengths: Floats) -> float:
    import numpy as np

    return float(np.quantile(lengths, USUAL_SHARE, method="lower"))


def _to_timedelta(length: float) -> timedelta:
    return timedelta(microseconds=float(length))
