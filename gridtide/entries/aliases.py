"""Aliases: a series that its upstream renamed is one series when it is read; what is stored keeps its name.

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
"""As a location: each location, which keeps its name."""


class Alias(StrictStruct, frozen=True, kw_only=True):
    """The values of the series `old_name` whose intervals start from `since` on and before `before` are read as
    `new_name`; both are names `source/location/variable`, where the location of both may be `*`."""

    old_name: PrintableText = msgspec.field(name="from")
    new_name: PrintableText = msgspec.field(name="to")
    since: Moment | None = None
    before: Moment | None = None

    def __post_init__(self) -> None:
        """Raises `ValueError` for names that are none, of two sources, or the same, and for a period that is none."""
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
        """The name as it is stored, and the name as which it is read; raises `ValueError` for what is none."""
        return SeriesName.parse(self.old_name), SeriesName.parse(self.new_name)

    @property
    def bounds(self) -> tuple[datetime | None, datetime | None]:
        """The moments `since` and `before`."""
        since, before = (datetime.fromisoformat(text) if text else None for text in (self.since, self.before))
        return since, before

    def reverse(self) -> Alias:
        """The alias by which the series keeps its old name: what is stored as `new_name` is read as `old_name`."""
        return Alias(old_name=self.new_name, new_name=self.old_name, since=self.before)


def keep_names(aliases: Iterable[Alias], series_names: Iterable[str]) -> tuple[Alias, ...]:
    """`aliases`, those reversed that would rename one of `series_names`, by which a model in service knows its series.

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
