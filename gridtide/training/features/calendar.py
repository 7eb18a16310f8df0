"""Calendar features in local time: hour, weekday, day of the year, holidays."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import numpy.typing as npt

from gridtide.observations.times import local_times
from gridtide.periods import DAY, HOUR, Period, count_microseconds, microseconds
from gridtide.training.features.columns import Columns, Feature


def local_hours(period: Period, timezone: str, shift: int = 0, step: timedelta = HOUR) -> npt.NDArray[np.datetime64]:
    """Returns the local time at the start of the step `shift` rows after each row of `period`, (T,); of days of UTC, at
    midnight of the local day that contains their noon."""
    length = count_microseconds(step)
    times = microseconds(period.start) + (np.arange(period.duration // step) + shift) * length
    if step < DAY:
        return local_times(times, timezone)
    return local_times(times + length // 2, timezone).astype("datetime64[D]").astype("datetime64[us]")


def derive_calendar(period: Period, timezone: str, region: str | None = None, step: timedelta = HOUR) -> Columns:
    """Returns the position of each row's step in the day, week and year of local time, and the holidays of `region`;
    of days, no position in the day."""
    local_time = local_hours(period, timezone, step=step)
    day = local_time.astype("datetime64[D]")
    hour = (local_time - day) / np.timedelta64(1, "h")
    weekday = (day.astype(np.int64) + 3) % 7  # 1970 began on a Thursday
    year_start, next_year = (day.astype("datetime64[Y]") + offset for offset in (0, 1))
    year_length = (next_year.astype("datetime64[D]") - year_start.astype("datetime64[D]")).astype(np.int64)
    day_of_year = (local_time - year_start) / np.timedelta64(1, "D")
    month = local_time.astype("datetime64[M]").astype(np.int64) % 12 + 1
    columns: dict[str, tuple[str, npt.NDArray[np.generic]]] = {}
    for name, value, cycle, formula in (
        ("hour", hour, 24, "hour / 24"),
        ("weekday", weekday + hour / 24, 7, "(weekday + hour / 24) / 7"),
        ("month", month - 1, 12, "(month − 1) / 12"),
        ("year", day_of_year, year_length, "day of year / days of the year"),
    ):
        for function in (np.sin, np.cos):
            columns[f"{name}_{function.__name__}"] = (
                f"{function.__name__}(2π · {formula})",
                function(2 * np.pi * value / cycle),
            )
    is_workday = weekday < 5
    columns["weekend"] = ("1 on Saturday and Sunday", ~is_workday)
    columns["business_hour"] = ("1 from 8 to 18 on Monday to Friday", is_workday & (hour >= 8) & (hour < 18))
    columns["peak_hour"] = ("1 from 7 to 23 on Monday to Friday (NERC on-peak)", is_workday & (hour >= 7) & (hour < 23))
    for season, months in (
        ("winter", (12, 1, 2)),
        ("spring", (3, 4, 5)),
        ("summer", (6, 7, 8)),
        ("autumn", (9, 10, 11)),
    ):
        columns[season] = (f"1 in the months {', '.join(map(str, months))}", np.isin(month, months))
    if region:
        holiday_dates = _list_public_holidays(region, day)
        for name, day_offset, formula in (
            ("holiday", 0, "on"),
            ("day_before_holiday", 1, "on the day before"),
            ("day_after_holiday", -1, "on the day after"),
        ):
            columns[name] = (f"1 {formula} a public holiday of {region}", np.isin(day + day_offset, holiday_dates))
    if step >= DAY:
        columns = {name: column for name, column in columns.items() if "hour" not in name}
    features = [
        Feature(f"calendar/{name}", "1", formula, 0, None, f"calendar/{name}") for name, (formula, _) in columns.items()
    ]
    table = np.stack([values.astype(np.float64) for _, values in columns.values()])
    return Columns(tuple(features), table, np.ones_like(table, bool), step)


def _list_public_holidays(region: str, days: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    """Returns the public holidays of `region` in the years of `days`, and in the years before and after."""
    import holidays

    country, _, subdivision = region.partition("-")
    years = range(int(str(days[0])[:4]) - 1, int(str(days[-1])[:4]) + 2)
    return np.array(
        sorted(holidays.country_holidays(country, subdiv=subdivision or None, years=years)), "datetime64[D]"
    )
