"""Features of the local calendar: hour, weekday, day of the year, holidays."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import numpy.typing as npt

from gridtide.observations.times import MICROSECONDS_PER_HOUR, local_times
from gridtide.periods import Period, microseconds
from gridtide.training.features.columns import Columns, Feature


def local_hours(period: Period, timezone: str, shift: int = 0) -> npt.NDArray[np.datetime64]:
    """What clocks show at the start of the hour `shift` after each row of `period`, (T,)."""
    steps = period.duration // timedelta(hours=1)
    return local_times(microseconds(period.start) + (np.arange(steps) + shift) * MICROSECONDS_PER_HOUR, timezone)


def calendar_columns(period: Period, timezone: str, region: str | None = None) -> Columns:
    """Place of each row's hour in the day, week and year of local time, and the holidays of `region`."""
    local = local_hours(period, timezone)
    day = local.astype("datetime64[D]")
    hour = (local - day) / np.timedelta64(1, "h")
    weekday = (day.astype(np.int64) + 3) % 7  # 1970 began on a Thursday
    first, following = (day.astype("datetime64[Y]") + n for n in (0, 1))
    year = (following.astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64)
    place = (local - first) / np.timedelta64(1, "D")
    month = local.astype("datetime64[M]").astype(np.int64) % 12 + 1
    columns: dict[str, tuple[str, npt.NDArray[np.generic]]] = {}
    for name, value, round_, text in (
        ("hour", hour, 24, "hour / 24"),
        ("weekday", weekday + hour / 24, 7, "(weekday + hour / 24) / 7"),
        ("month", month - 1, 12, "(month − 1) / 12"),
        ("year", place, year, "day of year / days of the year"),
    ):
        for function in (np.sin, np.cos):
            columns[f"{name}_{function.__name__}"] = (
                f"{function.__name__}(2π · {text})",
                function(2 * np.pi * value / round_),
            )
    workday = weekday < 5
    columns["weekend"] = ("1 on Saturday and Sunday", ~workday)
    columns["business_hour"] = ("1 from 8 to 18 on Monday to Friday", workday & (hour >= 8) & (hour < 18))
    columns["peak_hour"] = ("1 from 7 to 23 on Monday to Friday (NERC on-peak)", workday & (hour >= 7) & (hour < 23))
    for season, months in (
        ("winter", (12, 1, 2)),
        ("spring", (3, 4, 5)),
        ("summer", (6, 7, 8)),
        ("autumn", (9, 10, 11)),
    ):
        columns[season] = (f"1 in the months {', '.join(map(str, months))}", np.isin(month, months))
    if region:
        free = _public_holidays(region, day)
        for name, days, text in (
            ("holiday", 0, "on"),
            ("day_before_holiday", 1, "on the day before"),
            ("day_after_holiday", -1, "on the day after"),
        ):
            columns[name] = (f"1 {text} a public holiday of {region}", np.isin(day + days, free))
    features = [
        Feature(f"calendar/{name}", "1", text, 0, None, f"calendar/{name}") for name, (text, _) in columns.items()
    ]
    table = np.stack([values.astype(np.float64) for _, values in columns.values()])
    return Columns(tuple(features), table, np.ones_like(table, bool))


def _public_holidays(region: str, days: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    """The public holidays of `region` in the years of `days` and those beside them."""
    import holidays

    country, _, part = region.partition("-")
    years = range(int(str(days[0])[:4]) - 1, int(str(days[-1])[:4]) + 2)
    return np.array(sorted(holidays.country_holidays(country, subdiv=part or None, years=years)), "datetime64[D]")
