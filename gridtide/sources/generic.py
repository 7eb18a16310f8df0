"""Any other upstream: JSON records, CSV rows or XML elements, read as the entry says.

`{start}` and `{end}` in the URL or in `params` make an entry answer periods; they are written in
the entry's `timezone`, as ISO 8601 or by a strftime format (`{start:%Y-%m-%d}`). With `{start}`
alone the upstream has one answer per local day, which is asked once for each day of the period.
Without placeholders the answer is a snapshot.

| key        | meaning                                                              | default                    |
|------------|----------------------------------------------------------------------|----------------------------|
| `records`  | where the records are in JSON or XML: see `gridtide.records`         | the root, or its children  |
| `time`     | column of ISO 8601 times, or of seconds or milliseconds since 1970   | the only ISO 8601 column   |
| `timezone` | of times without an offset                                           | UTC                        |
| `value`    | columns, each a variable by its name in snake case                   | every numeric column       |
| `location` | column of locations, or the one location                             | the entry's name           |
| `unit`     | of all values                                                        | `1`                        |
| `interval` | how long a value holds from its time on                              | an instant                 |
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from gridtide.errors import ConfigurationError, FormatError
from gridtide.periods import EPOCH, Period, local_day, local_days
from gridtide.sources.contract import Page, Request
from gridtide.sources.formats.local_times import to_utc
from gridtide.sources.formats.records import Record, records
from gridtide.sources.formats.request_bodies import body_texts, write_body
from gridtide.variables import snake_case

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry
    from gridtide.observations.table import Row

PLACEHOLDER = re.compile(r"\{(start|end)(?::([^{}]*))?\}")
EPOCH_DIGITS = re.compile(r"-?\d{9,}(\.\d+)?")
TIME_OF_DAY = re.compile(r"(\d{1,2})(:\d{2}(?::\d{2})?)")
NO_VALUE = frozenset({"", "-", "na", "n/a", "nan", "null", "none"})
MILLISECONDS_FROM = 1e11
"""Larger numbers are milliseconds since 1970; as seconds they would lie beyond the year 5000."""


def defaults(url: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Nothing is known of the upstream, so few requests run at once."""
    return {"concurrency": 2}


def takes_period(entry: Entry) -> bool:
    """Whether the URL or a parameter holds `{start}` or `{end}`."""
    return bool(_placeholders(entry))


def days(entry: Entry) -> ZoneInfo | None:
    """Days of the entry's `timezone` where only `{start}` is asked, else None."""
    return ZoneInfo(entry.timezone) if _placeholders(entry) == {"start"} else None


def requests(entry: Entry, period: Period | None) -> list[Request]:
    """One request for the snapshot or the period, or one for each local day of it."""
    if period is None:
        return [_request(entry, None, None)]
    zone = days(entry)
    if zone:
        asked = [local_day(day, zone) for day in local_days(period, zone)]
        return [_request(entry, day, _overlap(day, period)) for day in asked]
    return [_request(entry, period, period)]


def _overlap(day: Period, period: Period) -> Period:
    return Period(max(day.start, period.start), min(day.end, period.end))


def _placeholders(entry: Entry) -> set[str]:
    texts = [entry.url, *(str(value) for _, value in _pairs(entry.params)), *body_texts(entry.body)]
    return {match[1] for text in texts for match in PLACEHOLDER.finditer(text)}


def _pairs(params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The parameters one by one: a list of values repeats its key."""
    for key, value in params.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            yield key, one


def _request(entry: Entry, asked: Period | None, answers: Period | None) -> Request:
    """The question for `asked`, which answers `answers` of the period."""
    zone = ZoneInfo(entry.timezone)
    url = _filled(entry.url, asked, zone, quoted=True)
    params = tuple((key, _filled(str(value), asked, zone)) for key, value in _pairs(entry.params))
    request = Request(url, params, label=str(answers) if answers else "snapshot", period=answers)
    if entry.body is None:
        return request
    quoted = isinstance(entry.body, str)  # a text is a form already
    body, kind = write_body(entry.body, entry.headers, lambda text: _filled(text, asked, zone, quoted=quoted))
    return replace(request, body=body, headers=(("Content-Type", kind),))


def _filled(text: str, period: Period | None, zone: ZoneInfo, *, quoted: bool = False) -> str:
    """`text` with its placeholders replaced by the bounds of `period` in `zone`."""

    def bound(match: re.Match[str]) -> str:
        moment = getattr(period, match[1]).astimezone(zone)
        written = moment.strftime(match[2]) if match[2] else moment.isoformat().replace("+00:00", "Z")
        return quote(written) if quoted else written

    return PLACEHOLDER.sub(bound, text) if period else text


def parse(entry: Entry, request: Request, body: bytes, retrieved_at: datetime) -> Page:
    """The records of one answer as observations, one for each value column.

    A value absent from a record is no observation, a null one is a null. Raises the errors of
    `records`, and `FormatError` where a column is missing or its times or values cannot be read.
    """
    from gridtide.observations.table import from_rows

    found = records(entry.name, body, entry.records or "", entry.time)
    rows = _rows(entry, request, found) if found else []
    return Page(from_rows("generic", rows, retrieved_at), len(found))


def _rows(entry: Entry, request: Request, found: Sequence[Record]) -> list[Row]:
    from gridtide.observations.table import Row

    present = list(dict.fromkeys(column for record in found for column in record))
    time = entry.time or _time_column(entry, found, present)
    _check_columns(entry, [time, *entry.value], present)
    values = entry.value or _value_columns(entry, found, [c for c in present if c not in (time, entry.location)])
    locations = _locations(entry, found, present)
    starts = _starts(entry, request, time, found, locations)
    names = {column: snake_case(column) or column for column in values}
    return [
        Row(start, _end(entry, start), location, name, entry.unit, _number(entry, column, record[column]))
        for record, start, location in zip(found, starts, locations, strict=True)
        for column, name in names.items()
        if column in record
    ]


def _end(entry: Entry, start: datetime) -> datetime:
    """Where the interval from `start` ends; days are those of the local clock, 23 to 25 hours long."""
    length = entry.interval or timedelta(0)
    if length % timedelta(days=1):
        return start + length
    return (start.astimezone(ZoneInfo(entry.timezone)) + length).astimezone(UTC)


def _check_columns(entry: Entry, wanted: Iterable[str], present: Sequence[str]) -> None:
    missing = [column for column in wanted if column not in present]
    if missing:
        raise FormatError(
            entry.name,
            f"no record has a column {', '.join(missing)}; the columns are: {', '.join(present)}",
            'Correct "time" or "value"',
        )


def _locations(entry: Entry, found: Sequence[Record], present: Sequence[str]) -> list[str]:
    """The location of each record: the column that `location` names, else that very word."""
    named = entry.location if entry.location is not None else entry.name
    if not isinstance(named, str):
        raise ConfigurationError(entry.name, "location: is a list", "Give one location, or the column that holds them")
    if entry.location not in present:
        return [named] * len(found)
    places = ["" if record.get(named) is None else str(record[named]).strip() for record in found]
    if "" in places:
        raise FormatError(entry.name, f"record {places.index('') + 1} has no location in {named}")
    return places


def _time_column(entry: Entry, found: Sequence[Record], present: Sequence[str]) -> str:
    times = [column for column in present if all(_is_iso(record.get(column)) for record in found)]
    if len(times) != 1:
        which = f"more than one ({', '.join(times)})" if times else f"none of {', '.join(present)}"
        raise FormatError(
            entry.name, f"the column of the times is not clear: {which} holds ISO 8601 times", 'Name it with "time"'
        )
    return times[0]


def _value_columns(entry: Entry, found: Sequence[Record], columns: Sequence[str]) -> list[str]:
    numeric = [column for column in columns if _is_numeric(record.get(column) for record in found)]
    if not numeric:
        raise FormatError(entry.name, f"none of {', '.join(columns)} holds numbers", 'Name the columns with "value"')
    return numeric


def _is_iso(value: Any) -> bool:
    try:
        return isinstance(value, str) and "-" in value and datetime.fromisoformat(value.strip()) is not None
    except ValueError:
        return False


def _is_numeric(values: Iterable[Any]) -> bool:
    """Whether there is a number among `values`, and nothing but numbers and missing values."""
    given = [value for value in values if value is not None and str(value).strip().lower() not in NO_VALUE]
    try:
        return bool(given) and all(not isinstance(value, bool) and math.isfinite(float(value)) for value in given)
    except (TypeError, ValueError, OverflowError):
        return False


def _number(entry: Entry, column: str, value: Any) -> float | None:
    if value is None or str(value).strip().lower() in NO_VALUE:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.inf
    if not math.isfinite(number):
        raise FormatError(
            entry.name, f"value: {column} holds {value!r:.80}, which is no number", 'Leave it out of "value"'
        )
    return number


def _starts(
    entry: Entry, request: Request, column: str, found: Sequence[Record], locations: Sequence[str]
) -> list[datetime]:
    """The time of each record in UTC; local times are told apart within each location."""
    zone = ZoneInfo(entry.timezone)
    day = _day(entry, request)
    times = [_time(entry, column, record.get(column), day) for record in found]
    far = [time for time in times if not 1900 <= time.year < 2200]
    if far:
        raise FormatError(entry.name, f"time: {column} holds {far[0]}, before 1900 or after 2199")
    series = defaultdict(list)
    for number, (time, location) in enumerate(zip(times, locations, strict=True)):
        if time.tzinfo is None:
            series[location].append(number)
    for numbers in series.values():
        try:
            moments = to_utc([times[number] for number in numbers], zone)
        except ValueError as error:
            raise FormatError(entry.name, f"time: {column}: {error}", "Ask for UTC, or times with an offset") from error
        for number, moment in zip(numbers, moments, strict=True):
            times[number] = moment
    return [time.astimezone(UTC) for time in times]


def _day(entry: Entry, request: Request) -> date | None:
    """The local day that the request is about, where it is about one."""
    zone = days(entry)
    return request.period.start.astimezone(zone).date() if request.period and zone else None


def _time(entry: Entry, column: str, value: Any, day: date | None) -> datetime:
    """`value` as a datetime, without a zone where it is a local time."""
    text = str(value).strip()
    of_day = TIME_OF_DAY.fullmatch(text)
    try:
        if EPOCH_DIGITS.fullmatch(text):
            number = float(text)
            return EPOCH + timedelta(milliseconds=number if abs(number) >= MILLISECONDS_FROM else number * 1000)
        if of_day and day:
            return datetime.fromisoformat(f"{day}T{int(of_day[1]):02}{of_day[2]}")
        return datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        said = "a time of day without its date" if of_day and not day else "which is no ISO 8601 time"
        fix = "Name the day in the URL, such as {start:%Y%m%d}: it is then asked for day by day" if of_day else ""
        raise FormatError(entry.name, f"time: {column} holds {value!r:.80}, {said}", fix) from error
