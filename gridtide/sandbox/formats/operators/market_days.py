"""What the files of several operators share: the days of a market, its written times, its fuels and its CSVs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from zoneinfo import ZoneInfo

import numpy as np

from gridtide.periods import local_day
from gridtide.simulation import GridState, Times, Values, find_utc_offset, list_interval_starts

QUARTER_HOUR, FIVE_MINUTES, WHOLE_HOUR = (timedelta(minutes=minutes) for minutes in (15, 5, 60))


def list_day(day: date, zone: str, step: timedelta) -> Times:
    """Returns the starts, UTC, of the intervals of the local day `day`: 23, 24 or 25 hours of them."""
    period = local_day(day, ZoneInfo(zone))
    return list_interval_starts(period.start, period.end, step)


def find_middles(starts: Times, step: timedelta) -> Times:
    """Returns the middles of the intervals that start at `starts`; a value is the state of the grid there."""
    return starts + np.timedelta64(step) // 2


def write_times(times: Times, zone: str, pattern: str) -> list[str]:
    """Writes `times` (T,), UTC, on the clock of `zone` by a strftime pattern."""
    local_times = times + find_utc_offset(times, zone)
    return [moment.strftime(pattern) for moment in local_times.astype("datetime64[s]").tolist()]


def write_moment(moment: datetime, zone: str, pattern: str) -> str:
    """Writes one aware moment on the clock of `zone` by a strftime pattern."""
    return moment.astimezone(ZoneInfo(zone)).strftime(pattern)


def flag_second_pass(times: Times, zone: str) -> list[bool]:
    """Whether each of `times` lies in the hour after the clock of `zone` was set back."""
    hour = np.timedelta64(3600, "s")
    return [bool(flag) for flag in find_utc_offset(times - hour, zone) > find_utc_offset(times, zone)]


def mix_fuels(state: GridState, shares: Mapping[str, Mapping[str, float]]) -> dict[str, Values]:
    """Returns the output, MW, of each of the operator's categories: its shares of the simulated fuels. A fuel that the
    simulated operator lacks counts as 0."""
    no_output = np.zeros_like(state.demand)
    return {
        category: sum((share * state.generation.get(fuel, no_output) for fuel, share in parts.items()), no_output)
        for category, parts in shares.items()
    }


def cut_after(times: Times, now: datetime) -> Times:
    """Returns those of `times` that are not after `now`."""
    limit = np.datetime64(now.astimezone(UTC).replace(tzinfo=None), "s")
    return times[times <= limit]


def write_csv_lines(header: Sequence[str], rows: Iterable[Sequence[str]], quoted: bool = False) -> str:
    """Returns a CSV. With `quoted` the names of the columns are quoted; rows are written as they are."""
    names = [f'"{name}"' for name in header] if quoted else header
    return "\n".join([",".join(names), *(",".join(row) for row in rows)]) + "\n"


def write_http_date(moment: datetime) -> str:
    """Returns `moment` as in the header `Last-Modified`."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def pack_zip(members: Iterable[tuple[str, datetime, bytes]], zone: str) -> bytes:
    """Returns a zip of `members`: name, time of modification and content. Zips hold the time of a clock without its
    zone, here that of `zone`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, modified, content in members:
            entry = zipfile.ZipInfo(name, modified.astimezone(ZoneInfo(zone)).timetuple()[:6])
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=1)
    return buffer.getvalue()
