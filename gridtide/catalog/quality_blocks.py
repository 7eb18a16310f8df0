"""What the table of quality says of each series, for the catalogue, and of each entry, for `gridtide status`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from gridtide.catalog.records import QualityBlock
from gridtide.lake import Lake
from gridtide.quality.flags import Flag, find_worst
from gridtide.quality.table import is_monthly, read_verdicts

if TYPE_CHECKING:
    from gridtide.quality.daily import DayVerdict

DAYS_COUNTED = 7
"""The flag of a series is the worst of its last days; an error of long ago is seen in its calendar."""

DAYS_JUDGED = 30
"""The days that the flow `quality` judges unless it gets another number; the last of them say what is bad."""

DAYS_SHOWN = 120
"""How many days of the calendar are shown."""


async def read_quality(lake: Lake) -> dict[str, QualityBlock]:
    """Returns what the checks of stored values found of each series, by its name; empty if there is no table. Raises
    `StorageError` if the lake cannot be listed."""
    return summarize_verdicts((await read_verdicts(lake)).values())


def summarize_verdicts(verdicts: Iterable[DayVerdict]) -> dict[str, QualityBlock]:
    """Returns the block of each series in `verdicts`: a day has the worst flag of its checks."""
    from gridtide.quality.relations.pair_verdicts import tabulate_months  # loads NumPy, which `gridtide status` avoids

    verdicts = list(verdicts)
    last_months = {(row["series"], row["reference"]): row for row in tabulate_months(verdicts)}  # sorted by month
    comparisons: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for (name, _), row in last_months.items():
        comparisons[name].append(row)
    flags_by_series: dict[str, dict[date, Flag]] = defaultdict(dict)
    for verdict in verdicts:
        if is_monthly(verdict.check):
            continue  # it is not about the day that it has
        flags = flags_by_series[verdict.series]
        flags[verdict.day] = find_worst((flags.get(verdict.day, Flag.NOT_EVALUATED), verdict.flag))
    return {
        series: replace(_build_block(flags), comparisons=comparisons[series])
        for series, flags in sorted(flags_by_series.items())
    }


@dataclass(frozen=True, slots=True)
class EntryQuality:
    """What the checks of stored values found of an entry: the worst `flag` of the last seven days that were judged,
    the last of which is `until`; the number of `series` judged in the last 30 days, of those that are `bad`, and of
    those that disagree with their reference, another source or what was forecast, in the last month."""

    flag: Flag
    until: date
    series: int
    bad: int
    disagreeing: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Returns the block as JSON."""
        return {
            "flag": name_flag(self.flag),
            "until": self.until.isoformat(),
            "series": self.series,
            "bad": self.bad,
            "disagreeing": self.disagreeing,
        }


def summarize_entry_quality(verdicts: Iterable[DayVerdict], names: Set[str]) -> EntryQuality | None:
    """Returns what `verdicts` say of an entry with the series `names`; None if they say nothing of these."""
    of_names = [verdict for verdict in verdicts if verdict.series in names]
    of_days = [verdict for verdict in of_names if not is_monthly(verdict.check)]
    if not of_days:
        return None
    from gridtide.quality.daily import find_bad_series  # loads NumPy, which a lake without verdicts does not need

    until = max(verdict.day for verdict in of_days)
    latest = [verdict for verdict in of_days if verdict.day > until - timedelta(days=DAYS_JUDGED)]
    monthly = [verdict for verdict in of_names if is_monthly(verdict.check)]
    last_month = max((verdict.day for verdict in monthly), default=until)
    of_month = [verdict for verdict in monthly if verdict.day == last_month]
    return EntryQuality(
        find_worst(verdict.flag for verdict in latest if verdict.day > until - timedelta(days=DAYS_COUNTED)),
        until,
        len({verdict.series for verdict in latest}),
        len(find_bad_series([*latest, *of_month])),
        len({verdict.series for verdict in of_month if verdict.flag == Flag.SUSPECT}),
    )


def _build_block(flags: Mapping[date, Flag]) -> QualityBlock:
    last_day = max(flags)
    latest = [flag for day, flag in flags.items() if day > last_day - timedelta(days=DAYS_COUNTED)]
    counts = Counter(name_flag(flag) for flag in flags.values())
    calendar = {
        day.isoformat(): name_flag(flag)
        for day, flag in sorted(flags.items())
        if day > last_day - timedelta(days=DAYS_SHOWN)
    }
    return QualityBlock(name_flag(find_worst(latest)), dict(sorted(counts.items())), calendar)


def name_flag(flag: Flag) -> str:
    """Returns the word for `flag`, such as `not evaluated`."""
    return flag.name.lower().replace("_", " ")
