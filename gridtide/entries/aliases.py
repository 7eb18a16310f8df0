"""Aliases: a series that its upstream renamed is read as one series; stored values keep their old name.

"aliases": [{"from": "generic/A/load", "to": "generic/A/load_mw", "before": "2024-04-01T00:00Z"}]

generic/A/load       ───────────┤                 renamed on April 1
generic/A/load_mw               ├───────────
read as load_mw      ───────────┴───────────
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from gridtide.entries.field_types import Moment, PrintableText
from gridtide.entries.structs import StrictStruct
from gridtide.variables import WILDCARDS, SeriesName, matches_any

EVERY = "*"
"""As a location: any location, which keeps its name."""


class Alias(StrictStruct, frozen=True, kw_only=True):
    """Values of the series `old_name` in intervals that start from `since` and before `before` are read as `new_name`.
    Both are names `source/location/variable`; the location of both may be `*`."""

    old_name: PrintableText = msgspec.field(name="from")
    new_name: PrintableText = msgspec.field(name="to")
    since: Moment | None = None
    before: Moment | None = None

    def __post_init__(self) -> None:
        """Raises `ValueError` if the names are invalid, equal or of two sources, or if the period is empty."""
        stored_series, read_series = self.series
        if stored_series.source != read_series.source:
            raise ValueError(f"{self.old_name} and {self.new_name} are of two sources; an alias stays within one")
        if stored_series == read_series:
            raise ValueError(f"{self.old_name} is read as itself; give another name")
        if (stored_series.location == EVERY) != (read_series.location == EVERY):
            raise ValueError('only one of the two has the location "*"; give it to both or to none')
        for name in self.series:
            if set(name.variable) & WILDCARDS.keys() or (name.location != EVERY and set(name.location) & {EVERY, "?"}):
                raise ValueError(f'{name} has wildcards; only the whole location may be "*"')
        earliest, latest = self.bounds
        if earliest and latest and earliest >= latest:
            raise ValueError('"since" is not earlier than "before"; no interval starts in between')

    @property
    def series(self) -> tuple[SeriesName, SeriesName]:
        """Returns the stored name and the name as which it is read; raises `ValueError` if one is invalid."""
        return SeriesName.parse(self.old_name), SeriesName.parse(self.new_name)

    @property
    def bounds(self) -> tuple[datetime | None, datetime | None]:
        """Returns the times `since` and `before`."""
        since, before = (datetime.fromisoformat(text) if text else None for text in (self.since, self.before))
        return since, before

    def reverse(self) -> Alias:
        """Returns the alias that keeps the old name: values stored as `new_name` are read as `old_name`."""
        return Alias(old_name=self.new_name, new_name=self.old_name, since=self.before)


def keep_names(aliases: Iterable[Alias], series_names: Iterable[str]) -> tuple[Alias, ...]:
    """Returns `aliases` for a model in service, which knows its series by `series_names`: an alias that would rename
    one of these is reversed.

    >>> alias = Alias(old_name="generic/A/load", new_name="generic/A/load_mw")
    >>> [kept.new_name for kept in keep_names([alias], ["generic/A/load"])]
    ['generic/A/load']
    """
    service_names = list(series_names)
    return tuple(
        alias.reverse()
        if any(matches_any(name, [alias.old_name]) for name in service_names)
        and not any(matches_any(name, [alias.new_name]) for name in service_names)
        else alias
        for alias in aliases
    )
