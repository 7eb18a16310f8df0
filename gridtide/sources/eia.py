"""EIA API v2, hourly electric grid monitor (form EIA-930): https://www.eia.gov/opendata/documentation.php

`period` names the hour *ending*, in UTC without a suffix; `end` is inclusive. An answer holds at
most 5,000 rows and says in `total` how many there are. Where the number of series is predictable
the period is asked in slices that fit one answer, without offsets: a slice fetched before a crash
stays valid after it, and no page shifts while the upstream adds rows.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec

from gridtide.errors import (
    ConfigurationError,
    CredentialsError,
    FormatError,
    GridtideError,
    QuotaError,
    UpstreamError,
)
from gridtide.periods import Period, split
from gridtide.sources.contract import BOM, Page, Request

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gridtide.entries.entry import Entry

HOSTS = ("api.eia.gov",)
HOUR = timedelta(hours=1)
PAGE_ROWS = 5000
"""The most rows the upstream puts into one JSON answer."""

MOST_ROWS = 200_000_000
"""More than all that the grid monitor holds of a route; each page of a larger total would be asked for."""

FUELS = {
    "COL": "coal",
    "NG": "natural_gas",
    "NUC": "nuclear",
    "OIL": "petroleum",
    "SUN": "solar",
    "WAT": "hydro",
    "WND": "wind",
    "OTH": "other",
}
TYPES = {
    "D": "demand",
    "DF": "demand_forecast_day_ahead",
    "NG": "net_generation",
    "TI": "net_interchange",
}


@dataclass(frozen=True, slots=True)
class Route:
    """How one route's rows are read: the columns of the key beside `period`, which of them is the
    location facet and which splits it into series, and about how many series a location has."""

    columns: tuple[str, str]
    facet: str
    splits: str
    series: int


ROUTES = {
    "region-data": Route(("respondent", "type"), "respondent", "type", 4),
    "fuel-type-data": Route(("respondent", "fueltype"), "respondent", "fueltype", 10),
    "interchange-data": Route(("fromba", "toba"), "fromba", "toba", 12),
    "region-sub-ba-data": Route(("parent", "subba"), "parent", "subba", 12),
}


def defaults(url: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The key from `EIA_API_KEY`, the documented limits, and the lag of the route."""
    lag = {"fuel-type-data": "PT5H", "interchange-data": "PT28H"}.get(_route_name(url) or "", "PT2H")
    forecast = _facet(params, "type") == ("DF",)
    return {
        "auth": {"kind": "api_key", "env": "EIA_API_KEY"},
        "rate_limit": {"name": "eia", "rates": ["5/second", "9000/hour"]},
        "available": {"day_before": "12:00", "timezone": "America/New_York"} if forecast else {"lag": lag},
        "reread": "P3D",
        "chunk": "P60D",
        "concurrency": 5,
    }


def problems(entry: Mapping[str, Any]) -> list[str]:
    """A route without `/data/`, which answers with a description of itself, and any frequency but `hourly`.

    An entry that keeps bodies only may ask for either.
    """
    url, params = entry.get("url"), entry.get("params")
    if not isinstance(url, str) or entry.get("format") in ("json", "raw"):
        return []
    refusals = []
    path = urlsplit(url).path.rstrip("/")
    if _route_name(url) in ROUTES and not path.endswith("/data"):
        corrected = urlsplit(url)._replace(path=f"{path}/data/").geturl()
        refusals.append(f"url: lacks /data/, without which EIA describes the route and gives no rows; use {corrected}")
    queries = {**dict(parse_qsl(urlsplit(url).query)), **(params if isinstance(params, dict) else {})}
    frequency = queries.get("frequency", "hourly")
    if frequency != "hourly":
        refusals.append(f'params.frequency: is "{frequency}", whose times are not in UTC; use "hourly" or leave it out')
    return refusals


def requests(entry: Entry, period: Period | None) -> list[Request]:
    """The one request whose answer decides the rest: the first slice, else the first page."""
    slices = _slices(entry, period)
    if period is None or len(slices) < 2:
        return [_request(entry, period)]
    return [replace(_request(entry, slices[0]), whole_period=period)]


def parse(entry: Entry, request: Request, body: bytes, retrieved_at: datetime) -> Page:
    """The rows of one answer; the first page of a period names its other pages.

    Raises `UpstreamError` for a body that is no JSON, `FormatError` for one of another shape, and for one that is an
    error what that means: `QuotaError`, `CredentialsError`, `ConfigurationError` or `UpstreamError`.
    """
    answer, route = _decode(entry, body, request.url)
    table = _observations(entry, answer.data, route, retrieved_at)
    page = Page(table, len(answer.data), answer.total)
    return page if request.offset else replace(page, following=_following(entry, request, page))


def actual_status(status: int, body: bytes) -> int:
    """400 or 404 where the body names it: `{"error": …, "code": 404}` arrives under HTTP 500. 429 for
    `OVER_RATE_LIMIT`, which may arrive under HTTP 403."""
    if b"OVER_RATE_LIMIT" in body[:4000]:
        return 429
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return status
    code = document.get("code") if isinstance(document, dict) else None
    return code if status >= 500 and code in (400, 404) else status


def _following(entry: Entry, request: Request, page: Page) -> list[Request]:
    total = page.total or 0
    pages = [_page(request, offset) for offset in range(page.received, total, PAGE_ROWS)] if page.received else []
    if request.whole_period is None or _ignores_period(entry, request, page):
        return pages
    return pages + [_request(entry, piece) for piece in _slices(entry, request.whole_period)[1:]]


def _ignores_period(entry: Entry, request: Request, page: Page) -> bool:
    """Whether the answer to a slice is about more than the slice: then it is paged by offset alone,
    as all other slices would give the same again."""
    if request.period is None or not page.received:
        return False
    starts = page.observations["interval_start"]
    outside = starts[0].as_py() < request.period.start or starts[-1].as_py() >= request.period.end
    return outside or (page.total or 0) > 4 * PAGE_ROWS


def _slices(entry: Entry, period: Period | None) -> list[Period]:
    """`period` in pieces whose rows should fit one answer, whole where that cannot be told."""
    route = ROUTES.get(_route_name(entry.url) or "")
    locations = _facet(entry.params, route.facet) if route else ()
    if period is None or route is None or not locations:
        return [period] if period else []
    series = len(locations) * (len(_facet(entry.params, route.splits)) or route.series)
    return split(period, max(PAGE_ROWS // series, 1) * HOUR)


def _request(entry: Entry, period: Period | None) -> Request:
    """The first page of `period`: interval starts `[A, B)` are the hour-ending labels `A + 1 h … B`."""
    route = ROUTES.get(_route_name(entry.url) or "")
    asked: dict[str, Any] = {"frequency": "hourly", "data[0]": "value", **entry.params}
    if period is not None:
        asked |= {"start": f"{period.start + HOUR:%Y-%m-%dT%H}", "end": f"{period.end:%Y-%m-%dT%H}"}
    for number, column in enumerate(("period", *(route.columns if route else ()))):
        asked |= {f"sort[{number}][column]": column, f"sort[{number}][direction]": "asc"}
    asked["length"] = PAGE_ROWS
    params = tuple((key, str(v)) for key, value in asked.items() for v in _several(value))
    return Request(entry.url, params, label=f"{period} from row 0" if period else "from row 0", period=period)


def _page(first: Request, offset: int) -> Request:
    label = f"{first.label.removesuffix(' from row 0')} from row {offset}"
    return replace(
        first, params=(*first.params, ("offset", str(offset))), label=label, offset=offset, whole_period=None
    )


_Numbered = tuple[list[str], "np.ndarray", list[tuple[str, str]], "np.ndarray"]


class _Response(msgspec.Struct, gc=False):
    total: int
    data: list[Any]


class _Answer(msgspec.Struct):
    response: _Response


_ANY_ROUTE = msgspec.json.Decoder(_Answer, strict=False)


@functools.cache
def _decoder(route: Route, value: Any) -> msgspec.json.Decoder[Any]:
    """A decoder that makes objects of just what we read of a row: twice as fast as dictionaries.

    `first` and `second` are the columns of the route. Values are of the type `value`; one that is absent
    reads like a null, as does an absent unit.
    """
    row = msgspec.defstruct(
        "Row",
        [
            ("period", str),
            ("first", str),
            ("second", str),
            ("value", value | None, None),
            ("unit", Literal["megawatthours"] | None, None),
        ],
        gc=False,
        rename={"first": route.columns[0], "second": route.columns[1], "unit": "value-units"},
    )
    response = msgspec.defstruct("Response", [("total", int), ("data", list[row])], gc=False)  # type: ignore[valid-type]  # made above
    return msgspec.json.Decoder(msgspec.defstruct("Answer", [("response", response)]), strict=False)


def _decode(entry: Entry, body: bytes, url: str) -> tuple[_Response, Route]:
    """The answer, and its route: by the URL, else by the columns that the first row has."""
    body = body.removeprefix(BOM)
    try:
        route = ROUTES.get(_route_name(url) or "") or _route(entry, url, _ANY_ROUTE.decode(body).response.data)
        answer = _decoded(body, route)
    except msgspec.ValidationError as error:
        what = FormatError(entry.name, f"the answer has not the promised shape: {error}")
        raise _refusal(entry, body) or what from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(entry.name, f"the answer is no JSON: {error}", "It is tried again") from error
    refusal = None if answer.data else _refusal(entry, body)
    if refusal:
        raise refusal
    if answer.total > MOST_ROWS:
        raise FormatError(entry.name, f"the answer says that there are {answer.total:,} rows, more than can be")
    return answer, route


def _refusal(entry: Entry, body: bytes) -> GridtideError | None:
    """What an answer means that is an error under HTTP 200, None for any other: `{"error": {"code": …, "message": …}}`
    or `{"error": …, "code": …}`, also within `response`."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # broken behind what was read of it
        return None
    parts = (document, document.get("response")) if isinstance(document, dict) else ()
    found = next((part for part in parts if isinstance(part, dict) and part.get("error")), None)
    if found is None:
        return None
    said = found["error"] if isinstance(found["error"], dict) else {**found, "message": found["error"]}
    code, message = (str(said.get(key) or "") for key in ("code", "message"))
    told = ": ".join(text for text in (code, message) if text) or msgspec.json.encode(said).decode()
    happened = f"instead of rows EIA answers: {' '.join(told.split())[:300]}"
    if code in ("429", "OVER_RATE_LIMIT"):
        return QuotaError(entry.name, happened, 'Ask less often: lower the rates in "rate_limit"')
    if code in ("401", "403") or code.startswith("API_KEY"):
        return CredentialsError(entry.name, happened, 'Check the credentials that "auth" names')
    if code in ("400", "404", "NOT_FOUND"):
        return ConfigurationError(entry.name, happened, 'Correct "url" or "params"')
    return UpstreamError(entry.name, happened, "Try again later")


def _decoded(body: bytes, route: Route) -> _Response:
    """Numbers in strings are read as such while decoding, which saves a third of the time; one as `".306"`,
    which is none in JSON, is read after it. `"null"` is a null, whatever stands beside it."""
    try:
        answer: _Response = _decoder(route, float).decode(body).response
    except msgspec.ValidationError:
        answer = _decoder(route, str | float).decode(body).response
        for row in answer.data:
            if isinstance(row.value, str) and row.value.lower() == "null":
                row.value = None
    return answer


def _route_name(url: str) -> str | None:
    match = re.search(r"/rto/([a-z-]+)(?:/data)?/?(?:\?|$)", url)
    return match[1] if match else None


def _route(entry: Entry, url: str, rows: Sequence[Any]) -> Route:
    """The route that the columns of the first row tell; raises `ConfigurationError` where none has them and the
    URL asks EIA for another, `FormatError` where it does not say what it asks."""
    for route in ROUTES.values():
        if not rows or all(isinstance(rows[0], dict) and rows[0].get(column) is not None for column in route.columns):
            return route
    columns = (", ".join(rows[0]) if isinstance(rows[0], dict) else "")[:200] or "none"
    fix = f"Ask one of {', '.join(ROUTES)} under /v2/electricity/rto/"
    asked = re.search(r"/v2/([a-z0-9/-]+?)(?:/data)?/?(?:\?|$)", url)
    if asked:
        happened = f'"{asked[1]}" is no hourly route of EIA\'s grid monitor: the columns of its rows are {columns}'
        raise ConfigurationError(entry.name, happened, fix)
    raise FormatError(entry.name, f"the answer is of no route of EIA's grid monitor: its columns are {columns}", fix)


def _observations(entry: Entry, rows: Sequence[Any], route: Route, retrieved_at: datetime) -> pa.Table:

    from gridtide.observations import arrays
    from gridtide.observations.table import from_columns

    columns = [row.period for row in rows], [row.first for row in rows], [row.second for row in rows]
    labels, hours, series, codes = _regular(*columns) or _irregular(*columns)
    ends = _hour_ends(entry, labels)[hours]
    return from_columns(
        "eia",
        retrieved_at,
        interval_start=ends - HOUR // timedelta(microseconds=1),
        interval_end=ends,
        location=arrays.dictionary_array(codes, [_location(route, key) for key in series]),
        variable=arrays.dictionary_array(codes, [_variable(route, key) for key in series]),
        unit="MWh",
        value=_values(entry, [row.value for row in rows]),
    )


def _location(route: Route, key: tuple[str, str]) -> str:
    match route.splits:
        case "toba":
            return f"{key[0]}>{key[1]}"
        case "subba":
            return f"{key[0]}/{key[1]}"
    return key[0]


def _variable(route: Route, key: tuple[str, str]) -> str:
    match route.splits:
        case "toba":
            return "interchange"
        case "fueltype":
            return f"generation_{FUELS.get(key[1], key[1].lower())}"
        case "type":
            return TYPES.get(key[1], key[1].lower())
    return "demand"


def _hour_ends(entry: Entry, labels: Iterable[str]) -> np.ndarray:
    """Microseconds since 1970 of hour-ending `labels` such as `2024-01-01T00`, shape (labels,)."""
    import numpy as np

    for label in labels:
        if len(label) != len("2024-01-01T00"):
            raise FormatError(
                entry.name,
                f"the period {label!r} is no hour such as '2024-01-01T00'",
                "Ask an hourly route; the daily ones return a row per time zone",
            )
    try:
        hours = np.array(list(labels), "datetime64[h]")
    except ValueError as error:
        raise FormatError(entry.name, f"a period is no hour such as '2024-01-01T00': {error}") from error
    return hours.astype("datetime64[us]").astype(np.int64)


def _values(entry: Entry, values: list[str | float | None]) -> np.ndarray:
    """Numbers, strings of numbers (`".306"`) and nulls, also mixed, shape (rows,); NaN for null."""
    import numpy as np

    try:
        numbers = np.array(values, np.float64)
    except ValueError as error:
        raise FormatError(entry.name, f"a value is no number: {error}") from error
    if np.isinf(numbers).any():
        raise FormatError(entry.name, "a value is infinite")
    return numbers


def _regular(periods: list[str], firsts: list[str], seconds: list[str]) -> _Numbered | None:
    """As `_irregular`, in a third of the time, where all hours have the same series in the same order, as they do in
    most answers; None elsewhere."""
    import numpy as np

    each = periods.count(periods[0]) if periods else 1
    labels = periods[::each]
    hours = len(labels)
    if (
        any(periods[row::each] != labels for row in range(each))
        or firsts != firsts[:each] * hours
        or seconds != seconds[:each] * hours
    ):
        return None
    series = list(zip(firsts[:each], seconds[:each], strict=True))
    return labels, np.repeat(np.arange(hours), each), series, np.tile(np.arange(each), hours)


def _irregular(periods: list[str], firsts: list[str], seconds: list[str]) -> _Numbered:
    """The labels of hours and which of them each row has, shape (rows,); the series, as pairs of the values that rows
    have in two columns, and which of them each row has, shape (rows,)."""
    return *_coded(periods), *_combined(_coded(firsts), _coded(seconds))


class _Codes(dict[Any, int]):
    """Numbers keys in the order of their first use."""

    def __missing__(self, key: Any) -> int:
        code = self[key] = len(self)
        return code


def _coded(keys: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The different ones of `keys`, and which of them stands in each row, shape (rows,)."""
    import numpy as np

    codes = _Codes()
    numbers = np.fromiter([codes[key] for key in keys], np.int64, len(keys))
    return list(codes), numbers


def _combined(
    first: tuple[list[str], np.ndarray], second: tuple[list[str], np.ndarray]
) -> tuple[list[tuple[str, str]], np.ndarray]:
    """The pairs of values that rows have in two columns, and which pair each row has, shape (rows,)."""
    import numpy as np

    (firsts, ones), (seconds, others) = first, second
    pairs = ones * len(seconds) + others
    used = np.bincount(pairs, minlength=len(firsts) * len(seconds)) > 0
    series = [(firsts[pair // len(seconds)], seconds[pair % len(seconds)]) for pair in np.flatnonzero(used).tolist()]
    return series, (np.cumsum(used) - 1)[pairs]


def _facet(params: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The values asked for `facets[name][]`, in any of its spellings (`facets[name][0]`)."""
    found = (value for key, value in params.items() if key.startswith(f"facets[{name}]"))
    return tuple(str(v) for value in found for v in _several(value))


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple | list) else (value,)
