"""EIA API v2, hourly electric grid monitor (form EIA-930): https://www.eia.gov/opendata/documentation.php

`period` names the hour *ending*, in UTC without a suffix; `end` is inclusive. A response holds at most 5,000 rows and
gives their total number in `total`. If the number of series is predictable, the period is requested in slices that fit
one response, without offsets: a slice fetched before a crash stays valid after it, and no page shifts while the
upstream adds rows.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec

from gridtide.entries.scope import ANY, Scope, build_scope, read_parameters, split_values
from gridtide.errors import (
    ConfigurationError,
    CredentialsError,
    FormatError,
    GridtideError,
    QuotaError,
    UpstreamError,
)
from gridtide.periods import HOUR, Period, count_microseconds, split
from gridtide.sources.contract import BOM, Licence, Page, Request, Response
from gridtide.sources.parts.left_out import NO_NUMBER, NOT_READ, LeftOut, to_numbers
from gridtide.variables import Variable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gridtide.entries.entry import Entry

VARIABLES = (
    Variable("demand", "MWh", "sum", "Demand"),
    Variable("demand_forecast_day_ahead", "MWh", "sum", "Day-ahead demand forecast"),
    Variable("net_generation", "MWh", "sum", "Net generation"),
    Variable("net_interchange", "MWh", "sum", "Total net interchange"),
    Variable(r"generation_\w+", "MWh", "sum", "Net generation by fuel"),
    Variable("interchange", "MWh", "sum", "Interchange with a neighbour, `FROMBA>TOBA`"),
)
OPERATORS = {
    "CISO": "caiso",
    "ERCO": "ercot",
    "ISNE": "iso_ne",
    "MISO": "miso",
    "NYIS": "nyiso",
    "PJM": "pjm",
    "SWPP": "spp",
}
LONGITUDES = {  # of balancing authorities
    "AVA": -118.0,
    "AVRN": -120.5,
    "AZPS": -112.0,
    "BANC": -121.3,
    "BPAT": -120.5,
    "CISO": -119.0,
    "CPLE": -78.7,
    "CPLW": -82.5,
    "DUK": -81.0,
    "EPE": -106.5,
    "ERCO": -100.5,
    "FMPP": -81.5,
    "FPC": -82.0,
    "FPL": -81.0,
    "GVL": -82.3,
    "HST": -80.5,
    "IID": -115.5,
    "IPCO": -115.0,
    "ISNE": -72.0,
    "JEA": -81.6,
    "LDWP": -118.2,
    "LGEE": -85.5,
    "MISO": -91.0,
    "NEVP": -115.5,
    "NYIS": -74.5,
    "PACE": -112.5,
    "PACW": -121.5,
    "PGE": -122.5,
    "PJM": -77.5,
    "PNM": -106.8,
    "PSCO": -104.3,
    "PSEI": -122.0,
    "SC": -80.0,
    "SCEG": -81.0,
    "SEC": -82.0,
    "SOCO": -84.0,
    "SRP": -111.7,
    "SWPP": -100.0,
    "TAL": -84.3,
    "TEC": -82.3,
    "TEPC": -110.9,
    "TIDC": -120.8,
    "TVA": -87.5,
    "WACM": -105.5,
    "WALC": -113.5,
    "WAUW": -107.0,
}
HOSTS = ("api.eia.gov",)
ACCESS = "Register at https://www.eia.gov/opendata/register.php"
LICENCE = Licence(
    "",
    "Public domain",
    "https://www.eia.gov/about/copyrights_reuse.php",
    "May be used and distributed freely; EIA asks to be named as the source, with the date of publication.",
    "U.S. Energy Information Administration",
)
MOST_ANSWER_ROWS = 5000
"""The largest number of rows in one JSON response."""

MOST_ROUTE_ROWS = 200_000_000
"""More rows than any route of the grid monitor has. A larger total is refused, because every page of it would be
requested."""

FUELS_BY_CODE = {
    "COL": "coal",
    "NG": "natural_gas",
    "NUC": "nuclear",
    "OIL": "petroleum",
    "SUN": "solar",
    "WAT": "hydro",
    "WND": "wind",
    "OTH": "other",
}
VARIABLES_BY_TYPE = {
    "D": "demand",
    "DF": "demand_forecast_day_ahead",
    "NG": "net_generation",
    "TI": "net_interchange",
}


@dataclass(frozen=True, slots=True)
class MonitorRoute:
    """How the rows of one route are read: its two key columns beside `period`, which of them is the location facet and
    which one splits a location into series, and the approximate number of series per location."""

    columns: tuple[str, str]
    facet: str
    splits: str
    series: int


MONITOR_ROUTES = {
    "region-data": MonitorRoute(("respondent", "type"), "respondent", "type", 4),
    "fuel-type-data": MonitorRoute(("respondent", "fueltype"), "respondent", "fueltype", 10),
    "interchange-data": MonitorRoute(("fromba", "toba"), "fromba", "toba", 12),
    "region-sub-ba-data": MonitorRoute(("parent", "subba"), "parent", "subba", 12),
}


def choose_defaults(url: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the API key from `EIA_API_KEY`, the documented limits, and the lag of the route."""
    lag = {"fuel-type-data": "PT5H", "interchange-data": "PT28H"}.get(_find_route_name(url) or "", "PT2H")
    forecast = _read_facet(params, "type") == ("DF",)
    return {
        "auth": {"kind": "api_key", "env": "EIA_API_KEY"},
        "rate_limit": {"name": "eia", "rates": ["5/second", "9000/hour"]},
        "available": {"day_before": "12:00", "timezone": "America/New_York"} if forecast else {"lag": lag},
        "reread": "P3D",
        "chunk": "P60D",
        "concurrency": 5,
    }


def find_problems(entry: Mapping[str, Any]) -> list[str]:
    """Refuses a route without `/data/`, which answers with a description of itself, and any frequency but `hourly`.

    An entry that stores only bodies may request either.
    """
    url, params = entry.get("url"), entry.get("params")
    if not isinstance(url, str) or entry.get("format") in ("json", "raw"):
        return []
    refusals = []
    url_path = urlsplit(url).path.rstrip("/")
    if _find_route_name(url) in MONITOR_ROUTES and not url_path.endswith("/data"):
        corrected = urlsplit(url)._replace(path=f"{url_path}/data/").geturl()
        refusals.append(f"url: lacks /data/, without which EIA describes the route and gives no rows; use {corrected}")
    queries = {**dict(parse_qsl(urlsplit(url).query)), **(params if isinstance(params, dict) else {})}
    frequency = queries.get("frequency", "hourly")
    if frequency != "hourly":
        refusals.append(f'params.frequency: is "{frequency}", whose times are not in UTC; use "hourly" or leave it out')
    return refusals


def find_scope(entry: Entry) -> Scope:
    """Returns the route, its facets, and the other parameters that affect the answer. A facet that is not named means
    all values."""
    route_name = _find_route_name(entry.url)
    route = MONITOR_ROUTES.get(route_name or "")
    facets: dict[str, list[str]] = {column: [] for column in (route.columns if route else ())}
    settings: dict[str, list[str]] = {"frequency": ["hourly"]}
    for key, value in read_parameters(entry).items():
        if name := _find_facet(key):
            facets.setdefault(name, []).extend(map(str, _as_sequence(value)))
        elif not _WITHOUT_MEANING.match(key):
            settings[key] = split_values(value)
    facet_values = {name: values or [ANY] for name, values in facets.items()}
    return build_scope(entry, {"route": [route_name or urlsplit(entry.url).path], **settings, **facet_values})


def narrow(entry: Entry, part: Scope) -> Sequence[Entry]:
    """Returns the entry with fewer values of the facets in its `params`."""
    entry_scope = find_scope(entry).values()
    shorter = {name: values for name, values in part.facets if values != entry_scope[name]}
    params = {key: value for key, value in entry.params.items() if _find_facet(key) not in shorter}
    for name, values in shorter.items():
        facet_values = tuple(value for value in _read_facet(entry.params, name) if value in values)
        if set(facet_values) != values:
            return ()
        params[f"facets[{name}][]"] = facet_values
    return [msgspec.structs.replace(entry, params=params)]


_FACET = re.compile(r"facets\[([^\]]+)\]")
_WITHOUT_MEANING = re.compile(r"(data|sort)\[|data$|(start|end|offset|length|api_key)$")
"""Parameters that change neither which rows there are nor what is read of them, and those that are set here."""


def _find_facet(key: str) -> str | None:
    match = _FACET.match(key)
    return match[1] if match else None


def build_requests(entry: Entry, period: Period | None) -> list[Request]:
    """Returns the one request whose answer decides which requests follow: the first slice, or else the first page."""
    # Slices of time are asked rather than offsets: a slice that was stored stays valid when rows are added elsewhere.
    slices = _slice_period(entry, period)
    if period is None or len(slices) < 2:
        return [_build_request(entry, period)]
    return [replace(_build_request(entry, slices[0]), whole_period=period)]


def parse_response(entry: Entry, request: Request, response: Response) -> Page:
    """Parses the rows of one response; the first page of a period lists its other pages.

    Raises `UpstreamError` for a body that is not JSON, `FormatError` for a body of another shape, and for an error in
    the body the matching `QuotaError`, `CredentialsError`, `ConfigurationError` or `UpstreamError`.
    """
    answer, route = _decode_answer(entry, response.body, request.url)
    left_out = LeftOut()
    rows, values = _read_values(entry, request, answer.data, left_out)
    _count_unread_columns(response.body, route, len(answer.data), left_out)
    table = _read_observations(entry, rows, values, route, response.retrieved_at)
    page = Page(table, len(answer.data), answer.total, skipped=left_out.list_skipped())
    return page if request.offset else replace(page, next_requests=_list_following(entry, request, page))


def correct_status(status: int, body: bytes) -> int:
    """Returns 400 or 404 if the body names it, as in `{"error": …, "code": 404}` under HTTP 500; 429 for
    `OVER_RATE_LIMIT`, which may come with HTTP 403."""
    # Searched in the text, as the gateway in front of EIA nests its code in another way than EIA itself.
    if b"OVER_RATE_LIMIT" in body[:4000]:
        return 429
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return status
    error_code = document.get("code") if isinstance(document, dict) else None
    return error_code if status >= 500 and error_code in (400, 404) else status


def _list_following(entry: Entry, request: Request, page: Page) -> list[Request]:
    total = page.total or 0
    offsets = range(page.record_count, total, MOST_ANSWER_ROWS) if page.record_count else ()
    pages = [_build_page_request(request, offset) for offset in offsets]
    if request.whole_period is None or _ignores_period(entry, request, page):
        return pages
    return pages + [_build_request(entry, subperiod) for subperiod in _slice_period(entry, request.whole_period)[1:]]


def _ignores_period(entry: Entry, request: Request, page: Page) -> bool:
    """Whether the answer covers more than the requested slice. Then only offsets are used for paging, because every
    other slice would return the same rows again."""
    if request.period is None or not page.record_count:
        return False
    starts = page.observations["interval_start"]
    outside = starts[0].as_py() < request.period.start or starts[-1].as_py() >= request.period.end
    return outside or (page.total or 0) > 4 * MOST_ANSWER_ROWS


def _slice_period(entry: Entry, period: Period | None) -> list[Period]:
    """Splits `period` into slices whose rows should fit one answer; one slice if the number of series is unknown."""
    route = MONITOR_ROUTES.get(_find_route_name(entry.url) or "")
    locations = _read_facet(entry.params, route.facet) if route else ()
    if period is None or route is None or not locations:
        return [period] if period else []
    series = len(locations) * (len(_read_facet(entry.params, route.splits)) or route.series)
    return split(period, max(MOST_ANSWER_ROWS // series, 1) * HOUR)


def _build_request(entry: Entry, period: Period | None) -> Request:
    """Builds the request for the first page of `period`. The interval starts `[A, B)` have the hour-ending labels `A +
    1 h … B`."""
    route = MONITOR_ROUTES.get(_find_route_name(entry.url) or "")
    query: dict[str, Any] = {"frequency": "hourly", "data[0]": "value", **entry.params}
    if period is not None:
        query |= {"start": f"{period.start + HOUR:%Y-%m-%dT%H}", "end": f"{period.end:%Y-%m-%dT%H}"}
    # Without a total order, pages may repeat one row and lack another: rows of one hour have no order of their own.
    for number, column in enumerate(("period", *(route.columns if route else ()))):
        query |= {f"sort[{number}][column]": column, f"sort[{number}][direction]": "asc"}
    query["length"] = MOST_ANSWER_ROWS
    params = tuple((parameter, str(item)) for parameter, setting in query.items() for item in _as_sequence(setting))
    return Request(entry.url, params, label=f"{period} from row 0" if period else "from row 0", period=period)


def _build_page_request(first: Request, offset: int) -> Request:
    label = f"{first.label.removesuffix(' from row 0')} from row {offset}"
    return replace(
        first, params=(*first.params, ("offset", str(offset))), label=label, offset=offset, whole_period=None
    )


_NumberedRows = tuple[list[str], "np.ndarray", list[tuple[str, str]], "np.ndarray"]


class _AnyResponse(msgspec.Struct, gc=False):
    total: int
    data: list[Any]


class _AnyAnswer(msgspec.Struct):
    response: _AnyResponse


_ANY_ROUTE = msgspec.json.Decoder(_AnyAnswer, strict=False)


@functools.cache
def _make_decoder(route: MonitorRoute, value_type: Any) -> msgspec.json.Decoder[Any]:
    """Returns a decoder that builds objects with only the columns that are read: twice as fast as dictionaries.

    `first` and `second` are the key columns of the route. Values have the type `value_type`; an absent value or unit is
    read as a null.
    """
    row = msgspec.defstruct(
        "Row",
        [
            ("period", str),
            ("first", str),
            ("second", str),
            ("value", value_type | None, None),
            ("unit", Literal["megawatthours"] | None, None),
        ],
        gc=False,
        rename={"first": route.columns[0], "second": route.columns[1], "unit": "value-units"},
    )
    response = msgspec.defstruct("Response", [("total", int), ("data", list[row])], gc=False)  # type: ignore[valid-type]  # made above
    return msgspec.json.Decoder(msgspec.defstruct("Answer", [("response", response)]), strict=False)


def _decode_answer(entry: Entry, body: bytes, url: str) -> tuple[_AnyResponse, MonitorRoute]:
    """Decodes an answer and returns it with its route, which the URL or else the columns of the first row identify."""
    body = body.removeprefix(BOM)
    try:
        route = MONITOR_ROUTES.get(_find_route_name(url) or "")
        if route is None:
            route = _identify_route(entry, url, _ANY_ROUTE.decode(body).response.data)
        answer = _decode_rows(body, route)
    except msgspec.ValidationError as error:
        shape_error = FormatError(entry.name, f"the answer does not have the documented shape: {error}")
        raise _find_refusal(entry, body) or shape_error from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(entry.name, f"the answer is not JSON: {error}", "It is tried again") from error
    refusal = None if answer.data else _find_refusal(entry, body)
    if refusal:
        raise refusal
    if answer.total > MOST_ROUTE_ROWS:
        raise FormatError(entry.name, f"the answer says that there are {answer.total:,} rows, more than EIA has")
    return answer, route


def _find_refusal(entry: Entry, body: bytes) -> GridtideError | None:
    """Returns the error that an answer under HTTP 200 describes, or None: `{"error": {"code": …, "message": …}}` or
    `{"error": …, "code": …}`, also within `response`."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # broken after the part that was read
        return None
    containers = (document, document.get("response")) if isinstance(document, dict) else ()
    container = next((part for part in containers if isinstance(part, dict) and part.get("error")), None)
    if container is None:
        return None
    error = container["error"]
    details = error if isinstance(error, dict) else {**container, "message": error}
    error_code, message = (str(details.get(key) or "") for key in ("code", "message"))
    description = ": ".join(text for text in (error_code, message) if text) or msgspec.json.encode(details).decode()
    explanation = f"EIA answers an error instead of rows: {' '.join(description.split())[:300]}"
    if error_code in ("429", "OVER_RATE_LIMIT"):
        return QuotaError(entry.name, explanation, 'Ask less often: lower the rates in "rate_limit"')
    if error_code in ("401", "403") or error_code.startswith("API_KEY"):
        return CredentialsError(entry.name, explanation, 'Check the credentials that "auth" names')
    if error_code in ("400", "404", "NOT_FOUND"):
        return ConfigurationError(entry.name, explanation, 'Correct "url" or "params"')
    return UpstreamError(entry.name, explanation, "Try again later")


def _decode_rows(body: bytes, route: MonitorRoute) -> _AnyResponse:
    """Decodes the rows of a response. Numbers in strings are converted while decoding, which saves a third of the time;
    spellings such as `".306"`, which JSON does not allow, are converted afterwards. `"null"` is a null, whatever else
    is in the column."""
    try:
        answer: _AnyResponse = _make_decoder(route, float).decode(body).response
    except msgspec.ValidationError:
        answer = _make_decoder(route, str | float).decode(body).response
        for row in answer.data:
            if isinstance(row.value, str) and row.value.lower() == "null":
                row.value = None
    return answer


def _find_route_name(url: str) -> str | None:
    match = re.search(r"/rto/([a-z-]+)(?:/data)?/?(?:\?|$)", url)
    return match[1] if match else None


def _identify_route(entry: Entry, url: str, rows: Sequence[Any]) -> MonitorRoute:
    """Returns the route that has the columns of the first row.

    Raises `ConfigurationError` if no route has them and the URL names another route of EIA, `FormatError` if the URL
    names none.
    """
    for route in MONITOR_ROUTES.values():
        if not rows or all(isinstance(rows[0], dict) and rows[0].get(column) is not None for column in route.columns):
            return route
    columns = (", ".join(rows[0]) if isinstance(rows[0], dict) else "")[:200] or "none"
    fix = f"Ask one of {', '.join(MONITOR_ROUTES)} under /v2/electricity/rto/"
    route_path = re.search(r"/v2/([a-z0-9/-]+?)(?:/data)?/?(?:\?|$)", url)
    if route_path:
        description = (
            f'"{route_path[1]}" is not an hourly route of EIA\'s grid monitor: the columns of its rows are {columns}'
        )
        raise ConfigurationError(entry.name, description, fix)
    raise FormatError(
        entry.name, f"the answer belongs to no route of EIA's grid monitor: its columns are {columns}", fix
    )


_FIRST_ROW = re.compile(rb'"data"\s*:\s*\[\s*(\{[^{}]*\})')


def _count_unread_columns(body: bytes, route: MonitorRoute, rows: int, left_out: LeftOut) -> None:
    """Counts the cells of the columns that are neither read nor names nor units, by those of the first row."""
    match = _FIRST_ROW.search(body)
    first_row = msgspec.json.decode(match[1]) if match else {}
    for name in first_row.keys() - {"period", "value", *route.columns}:
        if not name.endswith(("-name", "-units")):
            left_out.add(NOT_READ, f"{name} in row 1: {str(first_row[name])[:60]!r}", rows)


def _read_observations(
    entry: Entry, rows: Sequence[Any], values: np.ndarray, route: MonitorRoute, retrieved_at: datetime
) -> pa.Table:
    from gridtide.observations import arrays
    from gridtide.observations.table import from_columns

    columns = [row.period for row in rows], [row.first for row in rows], [row.second for row in rows]
    labels, hours, series, series_codes = _number_regular_rows(*columns) or _number_irregular_rows(*columns)
    ends = _read_hour_ends(entry, labels)[hours]
    return from_columns(
        "eia",
        retrieved_at,
        interval_start=ends - count_microseconds(HOUR),
        interval_end=ends,
        location=arrays.dictionary_array(series_codes, [_name_location(route, key) for key in series]),
        variable=arrays.dictionary_array(series_codes, [_name_variable(route, key) for key in series]),
        unit="MWh",
        value=values,
    )


def _name_location(route: MonitorRoute, series_key: tuple[str, str]) -> str:
    match route.splits:
        case "toba":
            return f"{series_key[0]}>{series_key[1]}"
        case "subba":
            return f"{series_key[0]}/{series_key[1]}"
    return series_key[0]


def _name_variable(route: MonitorRoute, series_key: tuple[str, str]) -> str:
    match route.splits:
        case "toba":
            return "interchange"
        case "fueltype":
            return f"generation_{FUELS_BY_CODE.get(series_key[1], series_key[1].lower())}"
        case "type":
            return VARIABLES_BY_TYPE.get(series_key[1], series_key[1].lower())
    return "demand"


def _read_hour_ends(entry: Entry, labels: Iterable[str]) -> np.ndarray:
    """Returns hour-ending `labels` such as `2024-01-01T00` as microseconds since 1970, shape (labels,)."""
    import numpy as np

    for hour_label in labels:
        if len(hour_label) != len("2024-01-01T00"):
            raise FormatError(
                entry.name,
                f"the period {hour_label!r} is not an hour such as '2024-01-01T00'",
                "Ask an hourly route; the daily ones return a row per time zone",
            )
    try:
        label_hours = np.array(list(labels), "datetime64[h]")
    except ValueError as error:
        raise FormatError(entry.name, f"a period is not an hour such as '2024-01-01T00': {error}") from error
    return label_hours.astype("datetime64[us]").astype(np.int64)


def _read_values(
    entry: Entry, request: Request, rows: Sequence[Any], left_out: LeftOut
) -> tuple[Sequence[Any], np.ndarray]:
    """Returns the rows whose value is a number, a string of one (`".306"`) or a null, and these values as floats, shape
    (rows,), a null as NaN; counts the other rows. Raises `FormatError` if no value is any of these."""
    import numpy as np

    numbers = to_numbers([row.value for row in rows])
    infinite = np.isinf(numbers)
    if not infinite.any():
        return rows, numbers
    row_number = int(np.flatnonzero(infinite)[0])
    example = (
        f"row {row_number + 1 + request.offset} of {rows[row_number].period}: {str(rows[row_number].value)[:60]!r}"
    )
    if infinite.all():
        raise FormatError(entry.name, f"no value is a number, the first is {example}")
    left_out.add(NO_NUMBER, example, int(infinite.sum()))
    return [row for row, skipped in zip(rows, infinite, strict=True) if not skipped], numbers[~infinite]


def _number_regular_rows(periods: list[str], firsts: list[str], seconds: list[str]) -> _NumberedRows | None:
    """Returns the same as `_number_irregular_rows` in a third of the time, or None. It works if all hours have the same
    series in the same order, as in most answers."""
    import numpy as np

    series_count = periods.count(periods[0]) if periods else 1
    labels = periods[::series_count]
    hours = len(labels)
    if (
        any(periods[position::series_count] != labels for position in range(series_count))
        or firsts != firsts[:series_count] * hours
        or seconds != seconds[:series_count] * hours
    ):
        return None
    series = list(zip(firsts[:series_count], seconds[:series_count], strict=True))
    return labels, np.repeat(np.arange(hours), series_count), series, np.tile(np.arange(series_count), hours)


def _number_irregular_rows(periods: list[str], firsts: list[str], seconds: list[str]) -> _NumberedRows:
    """Returns the distinct hour labels, the index of each row's label, shape (rows,), the distinct series as pairs of
    key values, and the index of each row's series, shape (rows,)."""
    return *_number_keys(periods), *_combine_codes(_number_keys(firsts), _number_keys(seconds))


class _Codes(dict[Any, int]):
    """Assigns numbers to keys in the order of their first use."""

    def __missing__(self, key: Any) -> int:
        code = self[key] = len(self)
        return code


def _number_keys(row_keys: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Returns the distinct `row_keys` in the order of their first use, and the index of each row's key, shape
    (rows,)."""
    import numpy as np

    code_by_key = _Codes()
    numbers = np.fromiter([code_by_key[key] for key in row_keys], np.int64, len(row_keys))
    return list(code_by_key), numbers


def _combine_codes(
    first: tuple[list[str], np.ndarray], second: tuple[list[str], np.ndarray]
) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Returns the distinct pairs of values of two columns, and the index of each row's pair, shape (rows,)."""
    import numpy as np

    (firsts, first_codes), (seconds, second_codes) = first, second
    pairs = first_codes * len(seconds) + second_codes
    used = np.bincount(pairs, minlength=len(firsts) * len(seconds)) > 0
    series = [(firsts[pair // len(seconds)], seconds[pair % len(seconds)]) for pair in np.flatnonzero(used).tolist()]
    return series, (np.cumsum(used) - 1)[pairs]


def _read_facet(params: Mapping[str, Any], facet: str) -> tuple[str, ...]:
    """Returns the values of `facets[name][]`, in any of its spellings (`facets[name][0]`)."""
    settings = (setting for parameter, setting in params.items() if parameter.startswith(f"facets[{facet}]"))
    return tuple(str(item) for setting in settings for item in _as_sequence(setting))


def _as_sequence(setting: Any) -> Sequence[Any]:
    return setting if isinstance(setting, tuple | list) else (setting,)
