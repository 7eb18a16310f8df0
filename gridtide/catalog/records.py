"""What the catalogue says of an entry and of a series, as frozen records that become JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from gridtide.periods import EPOCH, Period
from gridtide.sources.contract import Licence
from gridtide.variables import SeriesName

if TYPE_CHECKING:
    from gridtide.catalog.recent_rows import RecentSeries  # loads Arrow

SECOND = timedelta(seconds=1)

CATALOG_FORMAT = 1
"""The version of the format of `catalog.json`."""

Freshness = Literal["fresh", "late", "silent", "empty", "unscheduled"]
"""`late`: behind what is due by more than its schedule explains. `silent`: reported by the monitor. `empty`: without a
value. `unscheduled`: its entry has no schedule, so nothing is due."""


@dataclass(frozen=True, slots=True)
class QualityBlock:
    """What the checks of stored values found of a series: the gravest `flag` of the last days, how many `days` have
    each flag, and the flag of each day of the last months in `calendar`, by date; and `comparisons`: how far it agrees
    with each of its references in their last month, as `tabulate_months` describes it."""

    flag: str
    days: Mapping[str, int]
    calendar: Mapping[str, str] = field(default_factory=dict)
    comparisons: Sequence[Mapping[str, Any]] = ()

    def as_dict(self) -> dict[str, Any]:
        """Returns the block as JSON."""
        return {
            "flag": self.flag,
            "days": dict(self.days),
            "calendar": dict(self.calendar),
            "comparisons": list(map(dict, self.comparisons)),
        }


class CoveredTime(tuple[Period, ...]):
    """Joined periods, in order. Hundreds of series share one, so what is derived from it is computed once."""

    @cached_property
    def duration(self) -> timedelta:
        """The time in all of them."""
        return sum((stretch.duration for stretch in self), timedelta())

    @cached_property
    def texts(self) -> list[list[str | None] | None]:
        """The bounds of each in ISO 8601."""
        return [format_bounds(stretch) for stretch in self]

    @cached_property
    def milliseconds(self) -> list[list[int]]:
        """The bounds of each in ms since 1970."""
        return [[1000 * ((bound - EPOCH) // SECOND) for bound in (stretch.start, stretch.end)] for stretch in self]


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A series of an entry.

    `covered_time` is that of the files that list it; its share of the time from the first to the last moment is the
    `coverage`, None for snapshots. `late_by` is how much its last value is behind what is due. `files` counts the files
    that list it. `recent` are its last weeks, None if they have no rows; `last_value` is then that of the monitor's
    memory.
    """

    name: SeriesName
    entry: str
    unit: str
    meaning: str
    resolution: timedelta
    covered_time: CoveredTime
    files: int
    last_value: datetime | None
    freshness: Freshness
    late_by: timedelta
    recent: RecentSeries | None = None
    quality: QualityBlock | None = None
    snapshots: Period | None = None
    """From the first to the last snapshot that lists it; None if files answer periods."""
    corrections: Sequence[Mapping[str, Any]] = ()
    """What the configuration corrects of it as it is read; see `list_corrections`."""

    @property
    def period(self) -> Period | None:
        """The time from the first to the last of the periods or snapshots that list the series."""
        if self.covered_time:
            return Period(self.covered_time[0].start, self.covered_time[-1].end)
        return self.snapshots

    @property
    def coverage(self) -> float | None:
        """The share of `period` that files cover, 0 to 1; None for snapshots."""
        if not self.covered_time:
            return None
        return self.covered_time.duration / (self.covered_time[-1].end - self.covered_time[0].start)

    def as_dict(self) -> dict[str, Any]:
        """Returns the record as JSON: times in ISO 8601, lengths in seconds."""
        recent = self.recent
        return {
            "name": str(self.name),
            **self.name._asdict(),
            "entry": self.entry,
            "unit": self.unit,
            "meaning": self.meaning,
            "resolution": int(self.resolution.total_seconds()),
            "period": format_bounds(self.period),
            "covered": self.covered_time.texts,
            "coverage": None if self.coverage is None else round(self.coverage, 4),
            "files": self.files,
            "freshness": {
                "state": self.freshness,
                "last_value": format_moment(self.last_value),
                "value": recent.value if recent else None,
                "late_by": int(self.late_by.total_seconds()),
            },
            "quality": self.quality.as_dict() if self.quality else None,
            "corrections": [dict(correction) for correction in self.corrections],
            "vintages": recent.vintages._asdict() if recent else None,
            "recent": {"rows": recent.rows, "nulls": recent.nulls} if recent else None,
        }


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """An entry: where its files are, how many there are, and what they cover.

    `files`, `superseded_files` and `removed_files` count files; the removed ones are in compacted months.
    `covered_periods` are those for which the files answer all that the entry requests now, `failed_periods` those that
    were requested without success and are still missing; `due` is the end of what is due. `newest` is the stamp of the
    newest file. `problems` are files that cannot be read and the like, in sentences.
    """

    name: str
    description: str
    source: str
    folder: str
    prefix: str
    format: str
    schedule: str
    resolution: timedelta
    files: int
    superseded_files: int
    removed_files: int
    rows: int
    bytes: int
    newest: datetime | None
    covered_periods: Sequence[Period]
    due: datetime
    failed_periods: Sequence[Period] = ()
    problems: Sequence[str] = ()

    @property
    def coverage(self) -> float | None:
        """The covered share from the first covered moment to what is due, 0 to 1; None if nothing is covered."""
        if not self.covered_periods:
            return None
        span = max(self.due, self.covered_periods[-1].end) - self.covered_periods[0].start
        return sum((stretch.duration for stretch in self.covered_periods), timedelta()) / span

    def as_dict(self) -> dict[str, Any]:
        """Returns the record as JSON: times in ISO 8601, lengths in seconds."""
        return {
            "name": self.name,
            "description": self.description,
            "source": self.source,
            "folder": self.folder,
            "prefix": self.prefix,
            "format": self.format,
            "schedule": self.schedule,
            "resolution": int(self.resolution.total_seconds()),
            "files": self.files,
            "superseded": self.superseded_files,
            "removed": self.removed_files,
            "rows": self.rows,
            "bytes": self.bytes,
            "newest": format_moment(self.newest),
            "covered": [format_bounds(stretch) for stretch in self.covered_periods],
            "due": format_moment(self.due),
            "coverage": None if self.coverage is None else round(self.coverage, 4),
            "failed": [format_bounds(stretch) for stretch in self.failed_periods],
            "problems": list(self.problems),
        }


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The entries and the series of a lake, as of `made_at`; `licences` by source, None where the terms are not
    known."""

    made_at: datetime
    version: str
    entries: Sequence[EntryRecord] = field(repr=False)
    series: Sequence[SeriesRecord] = field(repr=False)  # thousands; asyncio writes the representation of a result
    licences: Mapping[str, Licence | None]

    def series_of(self, entry: str) -> list[SeriesRecord]:
        """Returns the series of the entry with this name."""
        return [record for record in self.series if record.entry == entry]

    def as_dict(self) -> dict[str, Any]:
        """Returns the catalogue as JSON; the same for the same lake and time."""
        return {
            "format": CATALOG_FORMAT,
            "made_at": format_moment(self.made_at),
            "version": self.version,
            "entries": [entry.as_dict() for entry in self.entries],
            "series": [series.as_dict() for series in self.series],
            "licences": {name: licence.as_dict() if licence else None for name, licence in self.licences.items()},
        }


def format_moment(moment: datetime | None) -> str | None:
    """Returns `moment` (UTC) in ISO 8601, to the second."""
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def format_bounds(period: Period | None) -> list[str | None] | None:
    """Returns the start and the end of `period` in ISO 8601."""
    return None if period is None else [format_moment(period.start), format_moment(period.end)]
