"""EIA API v2 as the sandbox imitates it: /v2/electricity/rto/<route>/data/.

Labels name the hour *ending* in UTC, `start` and `end` are inclusive, numbers are strings, at most
5,000 rows come at once and more bring a warning on every page. Rarely a value is null, absent or
without its zero (`".306"`). An unknown route is the upstream's HTTP 500 that means 404.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from gridtide.periods import local_midnight
from gridtide.sandbox import SECRETS
from gridtide.sandbox.formats.exchange import Question, WireAnswer, write_json
from gridtide.simulation import (
    FUELS,
    HOUR_STEP,
    TIES,
    Grid,
    GridState,
    Times,
    Values,
    count_day_ahead_lead,
    find_authority,
)

RATE_LIMITS = ((5, 1.0), (9000, 3600.0))
"""Requests in seconds."""


ROWS_PER_PAGE = 5000


FIRST_LABEL = np.datetime64("2019-01-01T00", "h")


EASTERN = ZoneInfo("America/New_York")


FORECAST_HOUR = 11
"""The Eastern hour from which tomorrow's day-ahead forecasts are out."""


AUTHORITY_NAMES = {
    "AECI": "Associated Electric Cooperative, Inc.",
    "AZPS": "Arizona Public Service Company",
    "BANC": "Balancing Authority of Northern California",
    "BPAT": "Bonneville Power Administration",
    "CEN": "Centro Nacional de Control de Energia",
    "CISO": "California Independent System Operator",
    "CPLE": "Duke Energy Progress East",
    "DUK": "Duke Energy Carolinas",
    "ERCO": "Electric Reliability Council of Texas, Inc.",
    "FPL": "Florida Power & Light Co.",
    "HQT": "Hydro-Quebec TransEnergie",
    "IESO": "Ontario IESO",
    "IID": "Imperial Irrigation District",
    "IPCO": "Idaho Power Company",
    "ISNE": "ISO New England",
    "LDWP": "Los Angeles Department of Water and Power",
    "MISO": "Midcontinent Independent System Operator, Inc.",
    "NBSO": "New Brunswick System Operator",
    "NEVP": "Nevada Power Company",
    "NYIS": "New York Independent System Operator",
    "PACE": "PacifiCorp East",
    "PACW": "PacifiCorp West",
    "PJM": "PJM Interconnection, LLC",
    "PSCO": "Public Service Company of Colorado",
    "PSEI": "Puget Sound Energy, Inc.",
    "SOCO": "Southern Company Services, Inc. - Trans",
    "SRP": "Salt River Project Agricultural Improvement and Power District",
    "SWPP": "Southwest Power Pool",
    "TIDC": "Turlock Irrigation District",
    "TVA": "Tennessee Valley Authority",
    "WACM": "Western Area Power Administration - Rocky Mountain Region",
    "WALC": "Western Area Power Administration - Desert Southwest Region",
}


FOREIGN = frozenset(("CEN", "HQT", "IESO", "NBSO"))
"""Neighbours abroad, who report nothing themselves."""


TYPE_NAMES = {
    "D": "Demand",
    "DF": "Day-ahead demand forecast",
    "NG": "Net generation",
    "TI": "Total interchange",
}


FUEL_CODES = dict(zip(FUELS, ("COL", "NG", "NUC", "OIL", "SUN", "WAT", "WND", "OTH"), strict=True))


FUEL_NAMES = dict(
    zip(FUELS, ("Coal", "Natural Gas", "Nuclear", "Petroleum", "Solar", "Hydro", "Wind", "Other"), strict=True)
)


PUBLICATION_LAGS = {"D": 1, "NG": 5, "TI": 28}
"""Hours from an hour's end to its publication; day-ahead forecasts come by the clock."""


@dataclass(frozen=True, slots=True)
class RouteSeries:
    """One series of a route: its authority, the columns of its rows, what its value is, and the
    kind (`D`, `DF`, `NG`, `TI`) that decides when it is published."""

    code: str
    columns: tuple[tuple[str, str], ...]
    of: Callable[[GridState], Values]
    kind: str

    @property
    def name(self) -> str:
        """What tells it from all others."""
        return " ".join(value for key, value in self.columns if not key.endswith("-name"))


@dataclass(frozen=True, slots=True)
class ImitatedRoute:
    """A route: which columns may be facets, all its series, and what its metadata say it holds."""

    facets: tuple[str, ...]
    series: Callable[[], Sequence[RouteSeries]]
    description: str


def _list_region_series() -> list[RouteSeries]:
    values: dict[str, Callable[[GridState], Values]] = {
        "D": lambda state: state.demand,
        "DF": lambda state: state.demand,
        "NG": lambda state: state.net_generation,
        "TI": lambda state: state.net_interchange,
    }
    return [
        RouteSeries(code, (*_name_columns("respondent", code), ("type", kind), ("type-name", name)), values[kind], kind)
        for code in sorted(AUTHORITY_NAMES.keys() - FOREIGN)
        for kind, name in TYPE_NAMES.items()
    ]


def _list_fuel_series() -> list[RouteSeries]:
    series_list = [
        RouteSeries(
            code,
            (*_name_columns("respondent", code), ("fueltype", FUEL_CODES[fuel]), ("type-name", FUEL_NAMES[fuel])),
            lambda state, fuel=fuel: state.generation[fuel],  # type: ignore[misc]  # a default binds the loop's fuel
            "NG",
        )
        for code in sorted(AUTHORITY_NAMES.keys() - FOREIGN)
        for fuel in find_authority(code).fuels
    ]
    return sorted(series_list, key=lambda series: series.name)


def _list_interchange_series() -> list[RouteSeries]:
    pairs = sorted(pair for tie in TIES for pair in (tie, tie[::-1]) if pair[0] not in FOREIGN)
    return [
        RouteSeries(
            first,
            (*_name_columns("fromba", first), *_name_columns("toba", second)),
            lambda state, to=second: state.exports[to],  # type: ignore[misc]  # a default binds the loop's neighbour
            "TI",
        )
        for first, second in pairs
    ]


def _list_zone_series() -> list[RouteSeries]:
    return [
        RouteSeries(
            code,
            (("subba", zone), ("subba-name", f"{AUTHORITY_NAMES[code]}, zone {zone}"), *_name_columns("parent", code)),
            lambda state, share=share: np.round(share * state.demand),  # type: ignore[misc]  # binds the loop's share
            "D",
        )
        for code in sorted(AUTHORITY_NAMES)
        for zone, share in sorted(find_authority(code).zones.items())
    ]


def _name_columns(key: str, code: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (key, code), (f"{key}-name", AUTHORITY_NAMES[code])


IMITATED_ROUTES = {
    "region-data": ImitatedRoute(
        ("respondent", "type"),
        lru_cache(_list_region_series),
        "Hourly demand, day-ahead demand forecast, net generation, and interchange by balancing authority.",
    ),
    "fuel-type-data": ImitatedRoute(
        ("respondent", "fueltype"),
        lru_cache(_list_fuel_series),
        "Hourly net generation by balancing authority and energy source.",
    ),
    "interchange-data": ImitatedRoute(
        ("fromba", "toba"),
        lru_cache(_list_interchange_series),
        "Daily interchange between neighboring balancing authorities.",
    ),
    "region-sub-ba-data": ImitatedRoute(
        ("subba", "parent"),
        lru_cache(_list_zone_series),
        "Hourly demand by subregion.",
    ),
}


class _BadRequestError(Exception):
    """What the upstream says about a request it does not understand."""


def answer_request(question: Question) -> WireAnswer:
    """What EIA would answer."""
    key = question.headers.get("X-Api-Key") or question.get("api_key")
    if key != SECRETS["EIA_API_KEY"]:
        return _refuse(403, "API_KEY_INVALID" if key else "API_KEY_MISSING")
    match = re.fullmatch(r"/v2/electricity/rto/([a-z-]+)/data/?", question.path)
    if match is None or match[1] not in IMITATED_ROUTES:
        return write_json({"error": "Not found.", "code": 404}, 500)
    try:
        row_request = _RowRequest.read(question, IMITATED_ROUTES[match[1]])
    except _BadRequestError as error:
        return write_json({"error": str(error), "code": 400}, 400)
    return _write_envelope(question, IMITATED_ROUTES[match[1]], row_request, key)


def write_refusal(status: int, window: float = 1, speed: float = 1) -> WireAnswer:
    """EIA's own shape of an error of this status."""
    codes = {401: "API_KEY_MISSING", 403: "API_KEY_INVALID", 429: "OVER_RATE_LIMIT"}
    if status in codes:
        return _refuse(status, codes[status])
    if status in (400, 404):
        return write_json({"error": "Not found." if status == 404 else "Bad request.", "code": status}, status)
    return WireAnswer(b"Something unexpected happened.", status, "text/plain")


def _refuse(status: int, code: str) -> WireAnswer:
    messages = {
        "API_KEY_INVALID": "An invalid api_key was supplied. Get one at https://api.eia.gov:443",
        "API_KEY_MISSING": "No api_key was supplied. Get one at https://api.eia.gov:443",
        "OVER_RATE_LIMIT": "You have exceeded your rate limit. Try again later.",
    }
    return write_json({"error": {"code": code, "message": messages[code]}}, status)


@dataclass(frozen=True, slots=True)
class _RowRequest:
    """A request understood: which series, the hour-ending labels in the order of the rows, the page."""

    series: Sequence[RouteSeries]
    labels: Times
    cutoffs: Times
    offset: int
    length: int
    with_value: bool

    @classmethod
    def read(cls, question: Question, route: ImitatedRoute) -> _RowRequest:
        """Raises `_BadRequestError` for what the upstream refuses."""
        frequency = question.get("frequency", "hourly")
        if frequency != "hourly":
            raise _BadRequestError(
                f"Invalid frequency '{frequency}' provided. The only valid frequencies are 'hourly'."
            )
        columns = [value for key, value in question.query if re.fullmatch(r"data\[\d*\]", key)]
        for column in columns:
            if column != "value":
                raise _BadRequestError(f"Invalid data '{column}' provided. The only valid data are 'value'.")
        series = _choose_series(question, route)
        backward = _read_direction(question) == "desc"
        if _read_direction(question) is None:
            series = series[::-1]
        cutoffs = np.array([_find_cutoff(each_series.kind, question.now) for each_series in series], "datetime64[h]")
        return cls(
            series[::-1] if backward else series,
            _list_labels(question, cutoffs),
            cutoffs[::-1] if backward else cutoffs,
            _read_count(question, "offset", 0),
            min(_read_count(question, "length", ROWS_PER_PAGE), ROWS_PER_PAGE),
            bool(columns),
        )


def _choose_series(question: Question, route: ImitatedRoute) -> list[RouteSeries]:
    """The series that the facets leave."""
    chosen_values: dict[str, set[str]] = {}
    for key, value in question.query:
        match = re.fullmatch(r"facets\[([^\]]*)\]\[\d*\]", key)
        if match and match[1] not in route.facets:
            valid_facets = ", and ".join(f"'{facet}'" for facet in route.facets)
            raise _BadRequestError(f"Invalid facet '{match[1]}' provided. The only valid facets are {valid_facets}.")
        if match:
            chosen_values.setdefault(match[1], set()).add(value)
    return [
        series
        for series in route.series()
        if all(value in chosen_values[key] for key, value in series.columns if key in chosen_values)
    ]


def _read_direction(question: Question) -> str | None:
    """asc or desc, None without any sorting."""
    column, direction = question.get("sort[0][column]"), question.get("sort[0][direction]", "asc")
    if not column:
        return None
    if column != "period" or direction not in ("asc", "desc"):
        raise _BadRequestError(f"Invalid sort '{column} {direction}' provided. The sandbox sorts by 'period' first.")
    return direction


def _list_labels(question: Question, cutoffs: Times) -> Times:
    """The hour-ending labels that may have rows; in no good order unless a sort was asked for."""
    last = max(cutoffs, default=FIRST_LABEL - 1)
    start = max(_read_hour(question, "start", FIRST_LABEL), FIRST_LABEL)
    labels = np.arange(start, min(_read_hour(question, "end", last), last) + 1)
    direction = _read_direction(question)
    if direction is None and len(labels):
        stride = next(prime for prime in (7919, 7907) if len(labels) % prime)
        return labels[np.arange(len(labels)) * stride % len(labels)]
    return labels[::-1] if direction == "desc" else labels


def _read_hour(question: Question, name: str, otherwise: np.datetime64) -> np.datetime64:
    text = question.get(name)
    if not text:
        return otherwise
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(T\d{2})?", text):
        raise _BadRequestError(f"Invalid {name} '{text}' provided. The format is 'YYYY-MM-DD\"T\"HH24'.")
    try:
        return np.datetime64(text, "h")
    except ValueError as error:
        raise _BadRequestError(f"Invalid {name} '{text}' provided. The format is 'YYYY-MM-DD\"T\"HH24'.") from error


def _read_count(question: Question, name: str, otherwise: int) -> int:
    text = question.get(name)
    if text and not text.isdigit():
        raise _BadRequestError(f"Invalid {name} '{text}' provided. It must be a whole number.")
    return int(text) if text else otherwise


def _find_cutoff(kind: str, now: datetime) -> np.datetime64:
    """The last hour-ending label of this kind that is out at `now`."""
    if kind != "DF":
        return _to_label(now - timedelta(hours=PUBLICATION_LAGS[kind]))
    local = now.astimezone(EASTERN)
    days = 2 if local.hour >= FORECAST_HOUR else 1
    return _to_label(local_midnight(local.date() + timedelta(days=days), EASTERN))


def _to_label(moment: datetime) -> np.datetime64:
    return np.datetime64(f"{moment.astimezone(UTC):%Y-%m-%dT%H}", "h")


def _write_envelope(question: Question, route: ImitatedRoute, row_request: _RowRequest, key: str) -> WireAnswer:
    # Hours before the first cutoff have a row for every series, later ones for fewer: with a running
    # count the page's hours are found without making the rows before it.
    before = np.concatenate(
        [[0], np.cumsum(len(row_request.series) - np.searchsorted(np.sort(row_request.cutoffs), row_request.labels))]
    )
    total = int(before[-1])
    first = max(int(np.searchsorted(before, row_request.offset, "right")) - 1, 0)
    last = int(np.searchsorted(before, min(row_request.offset + row_request.length, total)))
    rows = _write_rows(question, row_request, row_request.labels[first:last]) if row_request.offset < total else []
    skipped = row_request.offset - int(before[first])
    warning = {
        "warning": "incomplete return",
        "description": "The API can only return 5000 rows in JSON format.  Please consider constraining your request "
        "with facet, start, or end, or using offset to paginate results.",
    }
    head: dict[str, Any] = {"warnings": [warning]} if total > ROWS_PER_PAGE else {}
    head |= {"total": str(total), "dateFormat": 'YYYY-MM-DD"T"HH24', "frequency": "hourly"}
    described = f"{route.description}  \n    Source: Form EIA-930\n    Product: Hourly Electric Grid Monitor"
    request = {"command": question.path, "params": {**_nest_query(question.query), "api_key": key}}
    tail = {"description": described}, {"request": request, "apiVersion": "2.1.8", "ExcelAddInVersion": "2.1.0"}
    opening, closing, around = (write_json(part).body for part in (head, *tail))
    data = ",".join(rows[skipped : skipped + row_request.length]).encode()
    body = b'{"response":' + opening[:-1] + b',"data":[' + data + b"]," + closing[1:] + b"," + around[1:]
    return WireAnswer(body)


def _write_rows(question: Question, row_request: _RowRequest, labels: Times) -> list[str]:
    """The rows of whole hours as JSON, hour by hour."""
    states = _States(question.grid, labels.astype("datetime64[s]"))
    columns = [_write_column(series, states, question.now, row_request.with_value) for series in row_request.series]
    periods = [f'{{"period":"{label}",' for label in np.datetime_as_string(labels, unit="h").tolist()]
    hours, numbers = (indices.tolist() for indices in np.nonzero(labels[:, None] <= row_request.cutoffs[None, :]))
    return [periods[hour] + columns[number][hour] for hour, number in zip(hours, numbers, strict=True)]


class _States(dict[tuple[str, bool], GridState]):
    """The grid in the hours that end at `ends`, made once for each authority and whether it is a forecast."""

    def __init__(self, grid: Grid, ends: Times) -> None:
        self.grid, self.ends = grid, ends

    def __missing__(self, key: tuple[str, bool]) -> GridState:
        code, forecast = key
        middles = self.ends - HOUR_STEP // 2
        lead = count_day_ahead_lead(middles, find_authority(code).zone) if forecast else 0.0
        state = self[key] = self.grid.state_at(code, middles, lead).whole()
        return state


def _write_column(series: RouteSeries, states: _States, now: datetime, with_value: bool) -> list[str]:
    """What follows the period in the rows of one series, an hour each."""
    opening = write_json(dict(series.columns)).body.decode()[1:-1]
    closing = '"value-units":"megawatthours"}'
    if not with_value:
        return [f"{opening},{closing}"] * len(states.ends)
    values = series.of(states[series.code, series.kind == "DF"])
    if series.kind != "DF":
        values = np.round(states.grid.publish_values(series.name, values, states.ends, now))
    written = [f'"value":"{value}",' for value in values.astype(np.int64).tolist()]
    odd = find_quirks(states.grid, series, states.ends, values)
    for hour in np.flatnonzero(odd):
        written[hour] = {1: '"value":null,', 2: "", 3: '"value":".306",'}[int(odd[hour])]
    return [f"{opening},{value}{closing}" for value in written]


def find_quirks(grid: Grid, series: RouteSeries, ends: Times, values: Values) -> NDArray[np.int64]:
    """Which of (hours,) values are odd on the wire, (hours,): 1 null, 2 absent, 3 a zero that reads `.306`; else 0."""
    chance = grid.draw_uniform(f"{series.name} quirk", ends)
    return np.select([chance < 1 / 6000, chance < 2 / 6000, (chance < 1 / 300) & (values == 0)], [1, 2, 3], 0)


def _nest_query(query: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The query as the upstream echoes it: brackets as objects and lists."""
    nested: dict[str, Any] = {}
    for key, value in query:
        name, *inner = re.findall(r"[^\[\]]+", key)
        if name == "facets" and inner:
            nested.setdefault(name, {}).setdefault(inner[0], []).append(value)
        elif name == "sort" and len(inner) == 2:
            sorts = nested.setdefault(name, [])
            sorts += [{} for _ in range(int(inner[0]) + 1 - len(sorts))] if inner[0].isdigit() else []
            sorts[int(inner[0])][inner[1]] = value
        elif name == "data":
            nested.setdefault(name, []).append(value)
        else:
            nested[name] = value
    return nested
