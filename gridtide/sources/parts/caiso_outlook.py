"""The CSVs of CAISO's outlook, a file for each local day: https://www.caiso.com/todays-outlook

    Time,Solar,Wind,…          00:00 … 23:55, five minutes each, on the clock of California
    00:00,-37,3193,…

On the day of the spring change the skipped hour is listed without values; on that of the autumn change the hour that
comes twice is listed once, or twice in order. Some files end with the next midnight.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from gridtide.errors import FormatError, UpstreamError
from gridtide.periods import Period, local_day, local_days
from gridtide.sources.contract import Page, Request, Response
from gridtide.sources.formats.bodies import is_html
from gridtide.sources.parts.left_out import NO_NUMBER, NOT_READ, LeftOut, to_numbers
from gridtide.variables import Variable, snake_case, unit_of

if TYPE_CHECKING:
    import pyarrow as pa

    from gridtide.entries.entry import Entry

LOCATION = "CAISO"
"""All of these reports are about the whole system."""

OUTLOOK_VARIABLES = (
    Variable(r"generation_\w+", "MW", "mean", "Output of a fuel, and forecasts of solar and wind"),
    Variable("imports", "MW", "mean", "Net imports"),
    Variable(r"(net_)?demand(_\w+)?", "MW", "mean", "Demand and net demand, with forecasts"),
    Variable(r"co2_\w+", "t/h", "mean", "Emissions of carbon dioxide, by fuel"),
)

OUTLOOK_INTERVAL = timedelta(minutes=5)

DEMAND_VARIABLES = {
    "Current demand": "demand",
    "Demand": "demand",
    "Net demand": "net_demand",
    "Demand response": "demand_response",
    "Day ahead forecast": "demand_forecast_day_ahead",
    "Day-ahead forecast": "demand_forecast_day_ahead",
    "Hour ahead forecast": "demand_forecast_hour_ahead",
    "Hour-ahead forecast": "demand_forecast_hour_ahead",
}
"""The variables of the columns of `demand.csv` and `netdemand.csv`."""

AMBIGUOUS = 'a time that comes twice and is listed once; "ambiguous": "first" or "second" says which it is'
"""Why the rows of that hour are not stored."""

_PATH = re.compile(r"/outlook/(?:history|current)/(?:[^/]*/)?(fuelsource|renewables|demand|netdemand|co2)\.csv$", re.I)


def find_report(url: str) -> str | None:
    """Returns which report of the outlook `url` asks for, None if it asks for something else."""
    match = _PATH.search(urlsplit(url).path)
    return match[1].lower() if match else None


def list_requests(entry: Entry, period: Period, zone: ZoneInfo) -> list[Request]:
    """Returns a request for each local day of `period`."""
    parts, report = urlsplit(entry.url), find_report(entry.url)
    folder = parts.path[: parts.path.lower().index("/outlook/")] + "/outlook/history"
    return [
        Request(
            parts._replace(path=f"{folder}/{day:%Y%m%d}/{report}.csv", query="").geturl(),
            label=day.isoformat(),
            period=local_day(day, zone),
        )
        for day in local_days(period, zone)
    ]


def parse_outlook(entry: Entry, request: Request, response: Response, zone: ZoneInfo) -> Page:
    """Parses the file of one local day; an empty cell is a null.

    Raises `UpstreamError` for a web page and a cut file, `FormatError` if a time or a header cannot be read.
    """
    from gridtide.observations.table import concat, empty

    if is_html(response.body) or not response.body.strip():
        raise UpstreamError(entry.name, "the answer is a web page or empty, not CSV", "It is tried again")
    rows = list(csv.reader(io.StringIO(response.body.decode("utf-8-sig", "replace"), newline="")))
    header, lines = [name.strip() for name in rows[0]], [row for row in rows[1:] if any(cell.strip() for cell in row)]
    if header[:1] != ["Time"] or len(set(header)) != len(header) or not request.period:
        happened = f"the columns {', '.join(header)[:200]} are not those of a report: Time and others, each once"
        raise FormatError(entry.name, happened, 'Keep the bodies as they are, with "format": "raw"')
    _refuse_cut(entry, header, lines, response)
    left_out = LeftOut()
    day = request.period.start.astimezone(zone).date()
    starts = _read_starts(entry, lines, day, zone, left_out)
    tables = [
        _read_column(name, variable, number, lines, starts, response.retrieved_at, left_out)
        for (number, name), variable in _name_columns(entry, find_report(request.url) or "", header, lines, left_out)
    ]
    unread = left_out.first_of(NO_NUMBER)
    if unread and not any(table.num_rows for table in tables):
        raise FormatError(entry.name, f"no value is a number, the first is {unread}")
    return Page(concat(tables) if tables else empty(), len(lines), skipped=left_out.list_skipped())


def _refuse_cut(entry: Entry, header: Sequence[str], lines: Sequence[Sequence[str]], response: Response) -> None:
    """Raises `UpstreamError` if the file ends in the middle of a row, or may end in the middle of a number."""
    headers = response.headers
    length_known = not headers or bool({"content-length", "transfer-encoding"} & headers.keys())
    if (lines and len(lines[-1]) < len(header)) or not (length_known or response.body.endswith((b"\n", b"\r"))):
        raise UpstreamError(entry.name, f"the CSV is cut in row {len(lines)}", "It is tried again")


def _name_columns(
    entry: Entry, report: str, header: Sequence[str], lines: Sequence[Sequence[str]], left_out: LeftOut
) -> list[tuple[tuple[int, str], str]]:
    """Returns number and name of each column that is read, with its variable; counts the cells of the others.

    Raises `FormatError` if two columns have the same variable.
    """
    named_columns = []
    for number, name in enumerate(header[1:], 1):
        variable = name_variable(report, name)
        if variable is None:
            left_out.add(NOT_READ, f"{name or 'a column without a name'} in row 1", len(lines))
        else:
            named_columns.append(((number, name), variable))
    repeated = [variable for variable, count in Counter(variable for _, variable in named_columns).items() if count > 1]
    if repeated:
        columns = ", ".join(repr(name) for (_, name), variable in named_columns if variable == repeated[0])
        raise FormatError(entry.name, f"the columns {columns} are one variable, {repeated[0]}")
    return named_columns


def name_variable(report: str, column: str) -> str | None:
    """Returns the variable of `column` in `report`, None if it is not known.

    >>> name_variable("fuelsource", "Large Hydro"), name_variable("co2", "Natural Gas CO2")
    ('generation_large_hydro', 'co2_natural_gas')
    """
    if not snake_case(column):
        return None
    if report in ("demand", "netdemand"):
        return DEMAND_VARIABLES.get(column)
    if report == "co2":
        return f"co2_{snake_case(re.sub(r'(?i) ?co2$', '', column)) or 'total'}"
    return "imports" if column == "Imports" else f"generation_{snake_case(column)}"


def _read_starts(
    entry: Entry, lines: Sequence[Sequence[str]], day: date, zone: ZoneInfo, left_out: LeftOut
) -> list[datetime | None]:
    """Returns when each row begins (UTC), None for a row that is not stored, which is counted."""
    labels = [_read_label(entry, row, number) for number, row in enumerate(lines, 1)]
    counts, seen_labels = Counter(labels), Counter[time]()
    starts: list[datetime | None] = []
    for number, label in enumerate(labels, 1):
        seen_labels[label] += 1
        first_time, second_time = (
            datetime.combine(day, label, zone).replace(fold=fold).astimezone(UTC) for fold in (0, 1)
        )
        start: datetime | None = first_time
        if number == len(labels) > 1 and label == time() and labels[-2] != time():
            left_out.add("the next midnight, which the file of the next day holds", f"row {number}: {label:%H:%M}")
            start = None
        elif first_time.astimezone(zone).time() != label:
            _skip_absent_hour(entry, lines[number - 1], number, label, left_out)
            start = None
        elif first_time != second_time and counts[label] > 1:
            start = first_time if seen_labels[label] == 1 else second_time
        elif first_time != second_time:
            start = {"first": first_time, "second": second_time}.get(entry.ambiguous)
            if start is None:
                left_out.add(AMBIGUOUS, f"row {number}: {label:%H:%M}")
        starts.append(start)
    return starts


def _read_label(entry: Entry, row: Sequence[str], number: int) -> time:
    try:
        return time.fromisoformat(row[0].strip().zfill(5))
    except ValueError as error:
        raise FormatError(entry.name, f"row {number}: {row[0][:60]!r} is not a time such as 00:05") from error


def _skip_absent_hour(entry: Entry, row: Sequence[str], number: int, label: time, left_out: LeftOut) -> None:
    """Counts a row of the hour that the clocks skip; raises `FormatError` if it holds a value."""
    if any(cell.strip() for cell in row[1:]):
        raise FormatError(entry.name, f"row {number}: {label:%H:%M} does not exist on this day, and has values")
    left_out.add("empty rows of the hour that the clocks skip", f"row {number}: {label:%H:%M}")


def _read_column(
    name: str,
    variable: str,
    number: int,
    lines: Sequence[Sequence[str]],
    starts: Sequence[datetime | None],
    retrieved_at: datetime,
    left_out: LeftOut,
) -> pa.Table:
    import numpy as np

    from gridtide.observations.table import from_columns

    cells = [(row[number] if number < len(row) else "").strip() or None for row in lines]
    numbers = to_numbers(cells)
    row_numbers = [
        row_number for row_number, start in enumerate(starts) if start is not None and not np.isinf(numbers[row_number])
    ]
    for row_number in np.flatnonzero(np.isinf(numbers)).tolist():
        if starts[row_number] is not None:
            left_out.add(
                NO_NUMBER, f"{name} in row {row_number + 1}, {lines[row_number][0]}: {str(cells[row_number])[:60]!r}"
            )
    begins = [start for start in (starts[row_number] for row_number in row_numbers) if start is not None]
    return from_columns(
        "caiso",
        retrieved_at,
        interval_start=begins,
        interval_end=[begin + OUTLOOK_INTERVAL for begin in begins],
        location=LOCATION,
        variable=variable,
        unit=unit_of(OUTLOOK_VARIABLES, variable),
        value=numbers[row_numbers],
    )
