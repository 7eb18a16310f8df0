"""One check of the series of an entry: which are silent, back, or new since the check before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gridtide import curated
from gridtide.coverage.freshness.memory import SeriesMemory, update_memory
from gridtide.coverage.freshness.silence import Candidate, SeriesHistory, SilentSeries, find_candidates, is_silent
from gridtide.entries.entry import Entry
from gridtide.lake import Lake
from gridtide.periods import EPOCH, floor, microseconds

if TYPE_CHECKING:
    import pyarrow as pa

    from gridtide.observations.series_days import SeriesLabel

HISTORY_SPAN = timedelta(days=30)
"""The time before a series fell silent of which the gaps and delays are compared with its pause."""


@dataclass(frozen=True)
class SeriesLook:
    """The series that are `silent`, those that are `back`, and those that are `new`. `memory` is to be stored; `before`
    is what was stored."""

    memory: SeriesMemory
    before: SeriesMemory
    silent: Sequence[SilentSeries] = ()
    back: Sequence[SeriesLabel] = ()
    new: Sequence[SeriesLabel] = ()

    @property
    def is_news(self) -> bool:
        """Whether the silent series differ from those that were reported."""
        return self.memory.reported.keys() != self.before.reported.keys()


async def look_at_series(lake: Lake, entry: Entry, before: SeriesMemory, now: datetime) -> SeriesLook:
    """Compares the series of `entry` at `now` with the memory `before`, stored at the last check. Raises
    `StorageError`."""
    memory = await update_memory(lake, entry, before, now)
    silent = [*await _find_silent(lake, entry, memory, now), *find_unheard(entry, memory)]
    reported = {series.label: series.since for series in silent}
    back = [
        label
        for label, since in before.reported.items()
        if label not in reported and _has_value_after(memory, label, since)
    ]
    new = sorted(memory.last_rows.keys() - before.last_rows.keys()) if before.stamp else []
    return SeriesLook(replace(memory, reported=reported), before, silent, sorted(back), new)


def find_unheard(entry: Entry, memory: SeriesMemory) -> list[SilentSeries]:
    """Returns the expected locations that never had a value."""
    heard = {location for (location, _), rows in memory.last_rows.items() if rows.value}
    return [SilentSeries(location, "", None) for location in entry.expect.locations if location not in heard]


async def _find_silent(lake: Lake, entry: Entry, memory: SeriesMemory, now: datetime) -> list[SilentSeries]:
    """Returns the silent series. A series that was reported stays silent until it has a new value."""
    silent, by_day = [], defaultdict[datetime, list[Candidate]](list)
    for candidate in find_candidates(entry, memory.last_rows, now):
        was_reported = memory.reported.get(candidate.series.label) == candidate.since
        if was_reported and candidate.series.stored != "zeros":  # zeros after nulls may be values
            silent.append(candidate.series)
        else:
            by_day[floor(candidate.since, timedelta(days=1))].append(candidate)
    for day, candidates in by_day.items():
        table = await curated.read(lake, [entry], day - HISTORY_SPAN, day + timedelta(days=1))
        histories = read_histories(table, [candidate.series for candidate in candidates])
        silent += [
            candidate.series
            for candidate in candidates
            if is_silent(entry, candidate, histories[candidate.series.label])
        ]
    return sorted(silent, key=lambda series: series.label)


def read_histories(table: pa.Table, candidates: Sequence[SilentSeries]) -> Mapping[SeriesLabel, SeriesHistory]:
    """Returns the history of each of the series `candidates` in the observations `table`, up to its last value."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from gridtide.observations.times import read_times, to_floats

    starts, values = read_times(table, "interval_start"), to_floats(table["value"])
    ends, retrieved = read_times(table, "interval_end"), read_times(table, "retrieved_at")
    names = [table[name].cast(pa.string()) for name in ("location", "variable")]
    histories = {}
    for series in candidates:
        matches = pc.and_(pc.equal(names[0], series.location), pc.equal(names[1], series.variable))
        rows = matches.combine_chunks().to_numpy(zero_copy_only=False).astype(bool) & ~np.isnan(values)
        rows &= starts <= microseconds(series.since or EPOCH)
        zeros = values[rows] == 0
        counted = rows & (values != 0) if series.stored == "zeros" else rows
        share = float(zeros.mean()) if len(zeros) else 0.0
        observed = timedelta(microseconds=int(starts[rows].max() - starts.min())) if rows.any() else timedelta()
        histories[series.label] = SeriesHistory(starts[counted], ends[counted], retrieved[counted], share, observed)
    return histories


def _has_value_after(memory: SeriesMemory, label: SeriesLabel, since: datetime | None) -> bool:
    rows = memory.last_rows.get(label)
    if rows is None:  # an expected location without a series until now
        return any(location == label[0] and rows.value for (location, _), rows in memory.last_rows.items())
    return rows.value is not None and (since is None or rows.value > since)
