"""CAISO OASIS: https://www.caiso.com/documents/oasis-interfacespecification.pdf

`SingleZip` answers with a zip of one CSV; on an error it answers HTTP 200 and an XML document. The order of columns
differs between reports and the rows are not sorted, so a report is identified by its columns and read by column name.
The value is in column `MW`, `VALUE` or `PRC`. Only the `…_GMT` columns give the time: `OPR_HR` runs 1, 2, 4 in spring
and 1, 2, 25, 3 in autumn. A request returns the intervals that start in [startdatetime, enddatetime).
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import msgspec

from gridtide.entries.scope import Scope, build_scope
from gridtide.errors import ConfigurationError, FormatError, UpstreamError
from gridtide.periods import HOUR, Period, floor, split
from gridtide.sources.contract import BOM, Licence, Page, Request, Response
from gridtide.sources.formats.bodies import is_html, parse_tree
from gridtide.sources.parts.caiso_outlook import OUTLOOK_VARIABLES, find_report, list_requests, parse_outlook
from gridtide.sources.parts.left_out import NO_NUMBER, NO_TIME, NOT_READ, LeftOut, to_numbers
from gridtide.variables import Variable, snake_case

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gridtide.entries.entry import Entry

HOSTS = ("oasis.caiso.com",)
LICENCE = Licence(
    "",
    "California ISO terms",
    "https://www.caiso.com/privacy-terms-of-use",
    "Free for public use with the notices of copyright kept and the California ISO named.",
    "California Independent System Operator",
)
MARKET_ZONE = ZoneInfo("America/Los_Angeles")
SYSTEM_LOCATIONS = ("CA ISO-TAC", "NP15", "SP15", "ZP26")
"""Load is that of the whole system; solar and wind are those of three trading hubs, which together are the system."""

VARIABLES = (
    Variable("load", "MW", "mean", "Actual load"),
    Variable(r"load_forecast_\w+", "MW", "mean", "Load forecast of a market"),
    Variable(r"schedule_\w+", "MW", "mean", "System load and resource schedules"),
    Variable(r"lmp_\w+", "USD/MWh", "mean", "Locational marginal price of a market and its components"),
    *OUTLOOK_VARIABLES,
)
"""`generation_…` is that of both: solar and wind of OASIS, all fuels of the outlook."""

LONGEST_REPORT = timedelta(days=30)
"""The longest period of one request. OASIS answers at most 31 days, and has refused exactly 31."""

_SET_BY_REQUESTS = ("resultformat", "startdatetime", "enddatetime")
"""Parameters that every request sets anew."""

MAX_BYTES = 256 << 20
"""The largest unzipped answer, as a protection against zip bombs."""

NO_ROWS = "1000"
PASSING_CODES = ("1003", "1006", "1008", "1009", "1010", "1012", "1013", "1015")
"""Error codes of OASIS itself: time-outs, its own failures, and "in processing, try later"."""

ERROR_FIXES = {
    "1004": 'Set "chunk" to P30D or less',
    "1014": "Start later: OASIS keeps prices for about 39 months",
    "1017": 'Name at most 10 nodes in "params"',
    "1020": 'Set "version" in "params" to the one the report has',
}

DAY_AHEAD_MARKETS = frozenset({"DAM", "RUC", "2DA", "7DA"})
"""Markets whose results are published by noon of the day before."""

LEAD_DAYS = {"2DA": 2, "7DA": 7}
"""The number of days before its operating day that a market is published, for markets that are not published the day
before."""

OUTLOOK_POLICY = {
    "rate_limit": {"name": "caiso_outlook", "rates": ["1/second"]},
    "available": {"lag": "PT25H"},
    "resolution": "PT5M",
    "reread": "P2D",
    "chunk": "P30D",
    "concurrency": 2,
    "timeout": 60,
}
"""The file of a day is requested when the day, which may have 25 hours, is over."""

START, END, MARKET = "INTERVALSTARTTIME_GMT", "INTERVALENDTIME_GMT", "MARKET_RUN_ID"


@dataclass(frozen=True, slots=True)
class OasisReport:
    """A kind of report: its location column, the columns from which `name` makes the variable, and its unit."""

    location: str
    labels: tuple[str, ...]
    name: Callable[..., str]
    unit: str = "MW"


def _name_market(market: str) -> str:
    market_names = {"DAM": "day_ahead", "RTM": "real_time", "2DA": "two_day_ahead", "7DA": "seven_day_ahead"}
    return market_names.get(market, snake_case(market))


def _name_load(market: str) -> str:
    return "load" if market == "ACTUAL" else f"load_forecast_{_name_market(market)}"


def _name_renewable(market: str, renewable_type: str) -> str:
    return f"generation_{snake_case(renewable_type)}" + (
        "" if market == "ACTUAL" else f"_forecast_{_name_market(market)}"
    )


def _name_schedule(market: str, resource_type: str) -> str:
    return f"schedule_{snake_case(resource_type)}_{_name_market(market)}"


def _name_price(market: str, component: str) -> str:
    """Returns the variable of a price: RTM is the five-minute dispatch, RTPD the fifteen-minute market."""
    market_names = {"RTM": "five_minute", "RTPD": "fifteen_minute"}
    endings = {"LMP": "", "MCE": "_energy", "MCC": "_congestion", "MCL": "_loss", "MGHG": "_ghg"}
    return f"lmp_{market_names.get(market, _name_market(market))}" + endings.get(component, f"_{snake_case(component)}")


OASIS_REPORTS = (
    OasisReport("NODE_ID", (MARKET, "LMP_TYPE"), _name_price, "USD/MWh"),
    OasisReport("TAC_ZONE_NAME", (MARKET, "SCHEDULE"), _name_schedule),
    OasisReport("TRADING_HUB", (MARKET, "RENEWABLE_TYPE"), _name_renewable),
    OasisReport("TAC_AREA_NAME", (MARKET,), _name_load),
)
OASIS_LABELS = frozenset(
    [
        "INTERVALSTARTTIME_GMT",
        "INTERVALENDTIME_GMT",
        "OPR_DT",
        "OPR_HR",
        "OPR_INTERVAL",
        "OPR_TYPE",
        "MARKET_RUN_ID",
        "MARKET_RUN_ID_POS",
        "NODE",
        "NODE_ID",
        "NODE_ID_XML",
        "PNODE_RESMRID",
        "GRP_TYPE",
        "LMP_TYPE",
        "TAC_AREA_NAME",
        "TAC_ZONE_NAME",
        "TRADING_HUB",
        "RENEWABLE_TYPE",
        "RENEW_POS",
        "SCHEDULE",
        "SLRS_TYPE",
        "LOAD_TYPE",
        "LABEL",
        "XML_DATA_ITEM",
        "EXECUTION_TYPE",
        "POS",
        "GROUP",
    ]
)
"""The columns that say what the value of a row is about, or repeat that."""

VALUE_COLUMNS = ("MW", "VALUE", "PRC")
"""The possible columns of the value: `MW` in PRC_LMP, `VALUE` in PRC_INTVL_LMP, `PRC` in PRC_RTPD_LMP."""


def choose_defaults(url: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns OASIS's rate limit and longest request, and the lag and resolution of the report and market; for the
    outlook, a lag after which the file of a day is complete."""
    if find_report(url):
        return OUTLOOK_POLICY
    parameters = _read_params(url, params)
    report = parameters.get("queryname", "").upper()
    markets = set(parameters.get("market_run_id", "DAM" if report == "PRC_LMP" else "").upper().split(","))
    lag = "PT1H" if report.startswith("PRC_") else "PT2H"
    lead = min((LEAD_DAYS.get(market, 1) for market in markets), default=1)
    return {
        "rate_limit": {"name": "caiso", "rates": ["1/5second"]},
        "available": {"day_before": "13:00", "timezone": MARKET_ZONE.key} | ({"days": lead} if lead > 1 else {})
        if markets <= DAY_AHEAD_MARKETS
        else {"lag": lag},
        "resolution": _find_resolution(report, markets, parameters.get("execution_type", "").upper()),
        "reread": f"P{max(lead + 1, 3)}D",  # a forecast that reaches further is issued anew each day
        "chunk": "P30D",
        "concurrency": 2,
        "timeout": 120,
    }


def _find_resolution(report: str, markets: Set[str], execution: str) -> str:
    """Returns the length of a report's intervals; those of the real-time markets are 5 or 15 minutes."""
    if report in ("PRC_INTVL_LMP", "PRC_RTPD_LMP"):
        return "PT5M" if report == "PRC_INTVL_LMP" else "PT15M"
    if report not in ("SLD_FCST", "SLD_REN_FCST", "ENE_SLRS"):
        return "PT1H"
    if "RTD" in markets or ("RTM" in markets and execution != "RTPD"):
        return "PT5M"
    return "PT15M" if markets & {"RTPD", "RTM"} else "PT1H"


def find_day_zone(entry: Entry) -> ZoneInfo | None:
    """Returns the zone of the outlook's days, for requests per local day; None for OASIS, which answers any period."""
    return MARKET_ZONE if find_report(entry.url) else None


def find_problems(entry: Mapping[str, Any]) -> list[str]:
    """Refuses a URL of the outlook that does not name a supported report, and a choice that does not exist."""
    url = entry.get("url")
    if not isinstance(url, str) or entry.get("format") in ("json", "raw") or "/outlook/" not in urlsplit(url).path:
        return []
    if find_report(url) is None:
        form = urlsplit(url)._replace(path="/outlook/history/fuelsource.csv", query="").geturl()
        return [f"url: is not a report of the outlook (fuelsource, renewables, demand, netdemand, co2); use {form}"]
    if entry.get("ambiguous", "refuse") not in ("first", "second", "refuse"):
        return ['ambiguous: is for the hour that comes twice; give "first" or "second"']
    return []


def find_scope(entry: Entry) -> Scope:
    """Returns the parameters as facets; the values between commas count separately."""
    parameters = _read_params(entry.url, entry.params)
    facets = {
        parameter: setting.split(",") for parameter, setting in parameters.items() if parameter not in _SET_BY_REQUESTS
    }
    return build_scope(entry, {"request path": [urlsplit(entry.url).path], **facets})


def narrow(entry: Entry, part: Scope) -> Sequence[Entry]:
    """Returns the entry with fewer values of the parameters in its `params`."""
    entry_scope, parameters = find_scope(entry).values(), _read_params(entry.url, entry.params)
    shorter = {name: values for name, values in part.facets if values != entry_scope[name]}
    if not shorter.keys() <= entry.params.keys():
        return ()
    params = {
        name: ",".join(value for value in parameters[name].split(",") if value in values)
        for name, values in shorter.items()
    }
    return [msgspec.structs.replace(entry, params={**entry.params, **params})]


def build_requests(entry: Entry, period: Period | None) -> list[Request]:
    """Splits `period` into requests of at most 30 days, the most that OASIS answers at once.

    Raises `ConfigurationError` if the entry names no report.
    """
    if find_report(entry.url) and period is not None:
        return list_requests(entry, period, MARKET_ZONE)
    parameters = _read_params(entry.url, entry.params)
    if find_report(entry.url) is None and "queryname" not in parameters:
        raise ConfigurationError(
            entry.name, "params.queryname: is missing", 'Name the report, such as "queryname": "SLD_FCST"'
        )
    if period is None:
        raise ConfigurationError(entry.name, "CAISO answers periods only", "Give a start and an end")
    return [
        _build_request(entry, parameters, subperiod) for subperiod in split(period, min(entry.chunk, LONGEST_REPORT))
    ]


def _build_request(entry: Entry, parameters: Mapping[str, str], period: Period) -> Request:
    params = {
        "version": "1",
        **parameters,
        "resultformat": "6",
        "startdatetime": f"{period.start:%Y%m%dT%H:%M}-0000",
        "enddatetime": f"{period.end:%Y%m%dT%H:%M}-0000",
    }
    url = urlsplit(entry.url)._replace(query="", fragment="").geturl()
    return Request(url, tuple(params.items()), label=str(period), period=period)


def _read_params(url: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Merges the parameters of the URL's query and of `params`; several values are joined by commas."""
    parameters = dict(parse_qsl(urlsplit(url).query))
    for parameter, value in params.items():
        parameters[parameter] = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return parameters


def parse_response(entry: Entry, request: Request, response: Response) -> Page:
    """Reads the rows of one answer: a zip of CSV members, or a bare CSV or XML.

    For an entry that stores only bodies, only errors are read: any report is allowed. Raises `UpstreamError` for a
    truncated zip, a web page and the OASIS errors that may pass, `ConfigurationError` for those that do not pass,
    `FormatError` for a report with unknown columns.
    """
    from gridtide.observations.table import concat

    if find_report(request.url):
        if entry.tabular:
            return parse_outlook(entry, request, response, MARKET_ZONE)
        return Page(concat([]), 0)
    tables = []
    left_out = LeftOut()
    for member in _read_members(entry, response.body):
        if member[:200].removeprefix(BOM).lstrip().startswith(b"<"):
            _raise_error(entry, member)
        elif entry.tabular:
            tables.append(_read_observations(entry, member, response.retrieved_at, left_out))
    table = concat(tables)
    unread = left_out.first_of(NO_NUMBER)
    if unread and not table.num_rows:
        raise FormatError(entry.name, f"no value is a number, the first is {unread}")
    reaches = _find_reach(entry, request, table, response.retrieved_at) if entry.tabular else None
    return Page(table, table.num_rows, skipped=left_out.list_skipped(), reaches=reaches)


def _find_reach(entry: Entry, request: Request, table: pa.Table, retrieved_at: datetime) -> datetime | None:
    """Returns up to where the answer about a forecast for several days ahead reaches; None for other reports, and if
    the period was over when it was requested."""
    markets = set(_read_params(entry.url, entry.params).get("market_run_id", "").upper().split(","))
    if not markets <= LEAD_DAYS.keys() or request.period is None or request.period.end <= retrieved_at:
        return None
    ends: list[datetime] = table["interval_end"].to_pylist()
    return max(floor(retrieved_at, HOUR), *ends) if ends else floor(retrieved_at, HOUR)


def _read_members(entry: Entry, body: bytes) -> list[bytes]:
    if not body.startswith(b"PK"):
        if not body[:200].strip():
            raise UpstreamError(entry.name, "the body is empty")
        return [body]
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            member_names = archive.namelist()
            if sum(archive.getinfo(name).file_size for name in member_names) > MAX_BYTES:
                raise FormatError(
                    entry.name,
                    f"the zip holds more than {MAX_BYTES >> 20} MiB",
                    'Ask for less at once: a shorter "chunk", or fewer nodes',
                )
            members = [archive.read(name) for name in member_names]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UpstreamError(entry.name, f"the zip is cut or broken: {error}") from error
    if not members:
        raise UpstreamError(entry.name, "the zip is empty")
    return members


def _raise_error(entry: Entry, body: bytes) -> None:
    """Raises the error that the XML describes; returns if the XML means "no rows"."""
    if is_html(body):
        raise UpstreamError(entry.name, "OASIS answers with a web page", "It may be down, or asked too often")
    report = parse_tree(entry.name, body)
    error_code = (report.findtext(".//ERR_CODE") or "").strip()
    description = f"OASIS answers error {error_code}: {(report.findtext('.//ERR_DESC') or '').strip()}"
    if not error_code:
        unexpected = f"OASIS answers <{report.tag}> without an error in it; CSV was requested"
        if report.tag.startswith("OASIS"):
            raise FormatError(entry.name, unexpected)
        raise UpstreamError(entry.name, unexpected, "It is tried again")
    if error_code in PASSING_CODES:
        raise UpstreamError(entry.name, description)
    if error_code != NO_ROWS:
        fix = ERROR_FIXES.get(error_code, 'Compare "params" with the OASIS interface specification')
        raise ConfigurationError(entry.name, description, fix)


def _read_observations(entry: Entry, body: bytes, retrieved_at: datetime, left_out: LeftOut) -> pa.Table:
    from gridtide.observations.table import from_columns

    report, value_column, unread = _identify_report(entry, body)
    rows, numbers = _read_rows(entry, body, report, value_column)
    for column in unread:
        left_out.add(NOT_READ, f"{column} in row 1", rows.num_rows)
    rows, numbers = _leave_out_timeless(rows, numbers, left_out)
    for column in (report.location, *report.labels):
        _refuse_blanks(entry, rows, column)
    rows, numbers = _leave_out_unread(rows, numbers, report, value_column, left_out)
    return from_columns(
        "caiso",
        retrieved_at,
        interval_start=rows[START],
        interval_end=rows[END],
        location=rows[report.location],
        variable=_name_variables(rows, report),
        unit=report.unit,
        value=numbers,
        published_at=_find_issues(entry, rows, retrieved_at),
    )


def _find_issues(entry: Entry, rows: pa.Table, retrieved_at: datetime) -> list[datetime | None] | None:
    """Returns when each row was issued, None where this is unknown and the entry's `available` applies.

    A forecast for several days ahead is issued again each day until its operating day. OASIS does not say which issue a
    value is from, but a value whose interval was in the future when it was retrieved is from the latest issue then.
    """
    if not any(LEAD_DAYS.keys() & set(chunk.dictionary.to_pylist()) for chunk in rows[MARKET].chunks):
        return None
    from gridtide.observations.availability import latest_opening

    issue = latest_opening(entry.available, retrieved_at) or retrieved_at
    return [
        issue if market in LEAD_DAYS and start and start > retrieved_at else None
        for market, start in zip(rows[MARKET].to_pylist(), rows[START].to_pylist(), strict=True)
    ]


def _leave_out_timeless(rows: pa.Table, numbers: np.ndarray, left_out: LeftOut) -> tuple[pa.Table, np.ndarray]:
    """Returns the rows that have times, and their `numbers`, and counts the others; all rows if none has times."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not rows[START].null_count and not rows[END].null_count:
        return rows, numbers
    timed = pc.and_(pc.is_valid(rows[START]), pc.is_valid(rows[END])).to_numpy().astype(bool)
    if not timed.any():
        return rows, numbers
    row_number = int(np.flatnonzero(~timed)[0]) + 1
    left_out.add(NO_TIME, f"{START} or {END} in row {row_number}", int((~timed).sum()))
    return rows.filter(pa.array(timed)).unify_dictionaries(), numbers[timed]


def _refuse_blanks(entry: Entry, rows: pa.Table, column: str) -> None:
    """Raises `FormatError` if a label in `column` is blank: nothing else says what the row is about."""
    from gridtide.observations import arrays

    if arrays.has_blanks(rows[column]):
        row_number = next(row for row, label in enumerate(rows[column].to_pylist()) if not (label or "").strip())
        happened = f"a row has no {column}: row {row_number + 1}, of {rows[START][row_number].as_py():%Y-%m-%dT%H:%MZ}"
        raise FormatError(entry.name, happened)


def _leave_out_unread(
    rows: pa.Table, numbers: np.ndarray, report: OasisReport, value: str, left_out: LeftOut
) -> tuple[pa.Table, np.ndarray]:
    """Returns the rows whose value is a number or a null, and these values; counts the others."""
    import numpy as np
    import pyarrow as pa

    infinite = np.isinf(numbers)
    if not infinite.any():
        return rows, numbers
    row_number = int(np.flatnonzero(infinite)[0])
    start, location = rows[START][row_number].as_py(), rows[report.location][row_number].as_py()
    written = str(rows[value][row_number].as_py())[:60]
    left_out.add(
        NO_NUMBER,
        f"{value} in row {row_number + 1}, {location} at {start:%Y-%m-%dT%H:%MZ}: {written!r}",
        int(infinite.sum()),
    )
    return rows.filter(pa.array(~infinite)).unify_dictionaries(), numbers[~infinite]


def _name_variables(rows: pa.Table, report: OasisReport) -> pa.Array:
    """Returns the variable of each row of `rows`, shape (rows,). Each combination of labels is named only once."""
    import numpy as np

    from gridtide.observations import arrays

    row_codes, names = np.zeros(rows.num_rows, np.int32), [report.name]
    for label in report.labels:
        column = rows[label].combine_chunks()
        label_texts = column.dictionary.to_pylist()
        row_codes = row_codes * len(label_texts) + arrays.to_numpy(column.indices, "int32")
        names = [partial(name, word) for name in names for word in label_texts]
    return arrays.dictionary_array(row_codes, [name() for name in names])


def _identify_report(entry: Entry, body: bytes) -> tuple[OasisReport, str, list[str]]:
    """Returns the report that has the columns of the CSV's header, the column of its values, and the columns that are
    neither read nor known to be labels."""
    header = io.BytesIO(body).readline().decode("utf-8-sig", "replace")
    try:
        columns = next(csv.reader([header]), [])
    except csv.Error as error:
        happened = f"the header of the CSV cannot be read: {error}"
        raise FormatError(entry.name, happened) from error
    value_columns = [column for column in VALUE_COLUMNS if column in columns]
    for report in OASIS_REPORTS:
        if value_columns and {START, END, report.location, *report.labels} <= set(columns):
            return (
                report,
                value_columns[0],
                [column for column in columns if column not in {value_columns[0], *OASIS_LABELS}],
            )
    raise FormatError(
        entry.name,
        f"the columns {', '.join(columns) or '(none)'} are of no report that Gridtide reads",
        'Use SLD_FCST, SLD_REN_FCST, ENE_SLRS, PRC_LMP or PRC_INTVL_LMP, or "format": "raw"',
    )


def _read_rows(entry: Entry, body: bytes, report: OasisReport, value_column: str) -> tuple[pa.Table, np.ndarray]:
    """Returns the rows of a CSV and their values, shape (rows,): NaN for a null, an infinity for what is not a number.

    The column of values is text in the rows if some of it is not a number.
    """
    import numpy as np
    import pyarrow as pa

    from gridtide.observations.times import to_floats

    try:
        rows = _read_csv(body, report, value_column, pa.float64())
        numbers = to_floats(rows[value_column])
        if not np.isinf(numbers).any():
            return rows, numbers
    except pa.ArrowInvalid:
        pass  # a cell is not what its column holds: perhaps a value
    try:
        rows = _read_csv(body, report, value_column, pa.string())
    except pa.ArrowInvalid as error:
        try:
            rows = _with_times(_read_csv(body, report, value_column, pa.string(), pa.string()))
        except pa.ArrowInvalid:  # it is not the times
            rows = None
        if rows is None or rows[START].null_count == rows.num_rows:
            raise FormatError(entry.name, f"the CSV cannot be read: {error}") from error
    return rows, to_numbers(rows[value_column].to_pylist())


def _with_times(rows: pa.Table) -> pa.Table:
    """Returns `rows` with times instead of their texts; a text that is no time becomes a null."""
    import pyarrow as pa

    for column in (START, END):
        moments = pa.array([_parse_time(text) for text in rows[column].to_pylist()], pa.timestamp("us", "UTC"))
        rows = rows.set_column(rows.schema.get_field_index(column), column, moments)
    return rows


def _parse_time(text: str | None) -> datetime | None:
    """Returns the time with an offset in `text`, None if it is none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _read_csv(
    body: bytes, report: OasisReport, value: str, value_type: pa.DataType, time_type: pa.DataType | None = None
) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    time, label = time_type or pa.timestamp("us", "UTC"), pa.dictionary(pa.int32(), pa.string())
    types = {START: time, END: time, value: value_type}
    types |= dict.fromkeys((report.location, *report.labels), label)
    rows = arrow_csv.read_csv(
        io.BytesIO(body),
        read_options=arrow_csv.ReadOptions(use_threads=False),
        convert_options=arrow_csv.ConvertOptions(
            column_types=types, include_columns=list(types), strings_can_be_null=value_type == pa.string()
        ),
    )
    return rows.unify_dictionaries()
