"""EIA API v2, imitated: /v2/electricity/rto/<route>/data/.

Labels name the hour *ending* in UTC, `start` and `end` are inclusive, numbers are strings. A page has at most 5,000
rows, and if there are more, every page has a warning. Occasionally a value is null, absent or without its leading zero
(`".306"`). For an unknown route the upstream answers HTTP 500 with code 404.
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

PATH_PREFIXES = ("/v2/",)
SECRETS = {"EIA_API_KEY": "sandbox-eia-key"}
RATE_LIMITS = ((5, 1.0), (9000, 3600.0))
"""Requests per number of seconds."""


ROWS_PER_PAGE = 5000
"""The most rows of one answer, as the API documents it."""


FIRST_LABEL = np.datetime64("2019-01-01T00", "h")


EASTERN = ZoneInfo("America/New_York")


FORECAST_HOUR = 11
"""The Eastern hour from which tomorrow's day-ahead forecasts are published."""


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
"""Neighbours abroad, which report nothing themselves."""


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
"""Hours from the end of an hour to its publication; day-ahead forecasts are published at a fixed time."""


@dataclass(frozen=True, slots=True)
class RouteSeries:
    """One series of a route: its authority, the columns of its rows, the function for its value, and the kind (`D`,
    `DF`, `NG`, `TI`) that decides when it is published."""

    code: str
    columns: tuple[tuple[str, str], ...]
    of: Callable[[GridState], Values]
    kind: str

    @property
    def name(self) -> str:
        """A unique name of the series."""
        return " ".join(value for key, value in self.columns if not key.endswith("-name"))


@dataclass(frozen=True, slots=True)
class ImitatedRoute:
    """A route: its facet columns, all of its series, and its description."""

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
            from_authority,
            (*_name_columns("fromba", from_authority), *_name_columns("toba", to_authority)),
            lambda state, to=to_authority: state.exports[to],  # type: ignore[misc]  # a default binds the loop's neighbour
            "TI",
        )
        for from_authority, to_authority in pairs
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
    """The upstream's message for an invalid request."""


def answer_request(question: Question) -> WireAnswer:
    """Returns the response of EIA."""
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
    """Returns an error with this status in EIA's format."""
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
    """A parsed request: the series, the hour-ending labels in the order of the rows, and the page."""

    series: Sequence[RouteSeries]
    labels: Times
    cutoffs: Times
    offset: int
    length: int
    with_value: bool

    @classmethod
    def read(cls, question: Question, route: ImitatedRoute) -> _RowRequest:
        """Parses a request; raises `_BadRequestError` for one that the upstream refuses."""
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
        is_descending = _read_direction(question) == "desc"
        if _read_direction(question) is None:
            series = series[::-1]
        cutoffs = np.array([_find_cutoff(each_series.kind, question.now) for each_series in series], "datetime64[h]")
        return cls(
            series[::-1] if is_descending else series,
            _list_labels(question, cutoffs),
            cutoffs[::-1] if is_descending else cutoffs,
            _read_count(question, "offset", 0),
            min(_read_count(question, "length", ROWS_PER_PAGE), ROWS_PER_PAGE),
            bool(columns),
        )


def _choose_series(question: Question, route: ImitatedRoute) -> list[RouteSeries]:
    """Returns the series that match the facets."""
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
    """Returns asc or desc, or None without a sort."""
    column, direction = question.get("sort[0][column]"), question.get("sort[0][direction]", "asc")
    if not column:
        return None
    if column != "period" or direction not in ("asc", "desc"):
        raise _BadRequestError(f"Invalid sort '{column} {direction}' provided. The sandbox sorts by 'period' first.")
    return direction


def _list_labels(question: Question, cutoffs: Times) -> Times:
    """Returns the hour-ending labels that may have rows; in no useful order unless a sort is requested."""
    last_label = max(cutoffs, default=FIRST_LABEL - 1)
    start = max(_read_hour(question, "start", FIRST_LABEL), FIRST_LABEL)
    labels = np.arange(start, min(_read_hour(question, "end", last_label), last_label) + 1)
    direction = _read_direction(question)
    if direction is None and len(labels):
        stride = next(prime for prime in (7919, 7907) if len(labels) % prime)
        return labels[np.arange(len(labels)) * stride % len(labels)]
    return labels[::-1] if direction == "desc" else labels


def _read_hour(question: Question, name: str, otherwise: np.datetime64) -> np.datetime64:
    parameter = question.get(name)
    if not parameter:
        return otherwise
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(T\d{2})?", parameter):
        raise _BadRequestError(f"Invalid {name} '{parameter}' provided. The format is 'YYYY-MM-DD\"T\"HH24'.")
    try:
        return np.datetime64(parameter, "h")
    except ValueError as error:
        raise _BadRequestError(
            f"Invalid {name} '{parameter}' provided. The format is 'YYYY-MM-DD\"T\"HH24'."
        ) from error


def _read_count(question: Question, name: str, otherwise: int) -> int:
    parameter = question.get(name)
    if parameter and not parameter.isdigit():
        raise _BadRequestError(f"Invalid {name} '{parameter}' provided. It must be a whole number.")
    return int(parameter) if parameter else otherwise


def _find_cutoff(kind: str, now: datetime) -> np.datetime64:
    """Returns the last hour-ending label of this kind that is published at `now`."""
    if kind != "DF":
        return _to_label(now - timedelta(hours=PUBLICATION_LAGS[kind]))
    local_time = now.astimezone(EASTERN)
    days = 2 if local_time.hour >= FORECAST_HOUR else 1
    return _to_label(local_midnight(local_time.date() + timedelta(days=days), EASTERN))


def _to_label(moment: datetime) -> np.datetime64:
    return np.datetime64(f"{moment.astimezone(UTC):%Y-%m-%dT%H}", "h")


def _write_envelope(question: Question, route: ImitatedRoute, row_request: _RowRequest, key: str) -> WireAnswer:
    # Hours before the first cutoff have a row for every series, later hours for fewer. A running count finds the
    # hours of the page without making the rows before it.
    rows_before = np.concatenate(
        [[0], np.cumsum(len(row_request.series) - np.searchsorted(np.sort(row_request.cutoffs), row_request.labels))]
    )
    total = int(rows_before[-1])
    first_hour = max(int(np.searchsorted(rows_before, row_request.offset, "right")) - 1, 0)
    end_hour = int(np.searchsorted(rows_before, min(row_request.offset + row_request.length, total)))
    rows = (
        _write_rows(question, row_request, row_request.labels[first_hour:end_hour])
        if row_request.offset < total
        else []
    )
    skipped = row_request.offset - int(rows_before[first_hour])
    warning = {
        "warning": "incomplete return",
        "description": "The API can only return 5000 rows in JSON format.  Please consider constraining your request "
        "with facet, start, or end, or using offset to paginate results.",
    }
    opening_fields: dict[str, Any] = {"warnings": [warning]} if total > ROWS_PER_PAGE else {}
    opening_fields |= {"total": str(total), "dateFormat": 'YYYY-MM-DD"T"HH24', "frequency": "hourly"}
    description = f"{route.description}  \n    Source: Form EIA-930\n    Product: Hourly Electric Grid Monitor"
    request = {"command": question.path, "params": {**_nest_query(question.query), "api_key": key}}
    closing_fields = (
        {"description": description},
        {"request": request, "apiVersion": "2.1.8", "ExcelAddInVersion": "2.1.0"},
    )
    opening, closing, envelope_end = (write_json(part).body for part in (opening_fields, *closing_fields))
    joined_rows = ",".join(rows[skipped : skipped + row_request.length]).encode()
    body = b'{"response":' + opening[:-1] + b',"data":[' + joined_rows + b"]," + closing[1:] + b"," + envelope_end[1:]
    return WireAnswer(body)


def _write_rows(question: Question, row_request: _RowRequest, labels: Times) -> list[str]:
    """Returns the rows of whole hours as JSON, hour by hour."""
    states = _States(question.grid, labels.astype("datetime64[s]"))
    columns = [_write_column(series, states, question.now, row_request.with_value) for series in row_request.series]
    periods = [f'{{"period":"{label}",' for label in np.datetime_as_string(labels, unit="h").tolist()]
    hours, numbers = (indices.tolist() for indices in np.nonzero(labels[:, None] <= row_request.cutoffs[None, :]))
    return [periods[hour] + columns[number][hour] for hour, number in zip(hours, numbers, strict=True)]


class _States(dict[tuple[str, bool], GridState]):
    """The grid in the hours that end at `ends`, computed once per authority and kind (actual or forecast)."""

    def __init__(self, grid: Grid, ends: Times) -> None:
        self.grid, self.ends = grid, ends

    def __missing__(self, key: tuple[str, bool]) -> GridState:
        code, forecast = key
        middles = self.ends - HOUR_STEP // 2
        lead = count_day_ahead_lead(middles, find_authority(code).zone) if forecast else 0.0
        state = self[key] = self.grid.state_at(code, middles, lead).whole()
        return state


def _write_column(series: RouteSeries, states: _States, now: datetime, with_value: bool) -> list[str]:
    """Returns the part after the period in the rows of one series, one per hour."""
    opening = write_json(dict(series.columns)).body.decode()[1:-1]
    closing = '"value-units":"megawatthours"}'
    if not with_value:
        return [f"{opening},{closing}"] * len(states.ends)
    values = series.of(states[series.code, series.kind == "DF"])
    if series.kind != "DF":
        values = np.round(states.grid.publish_values(series.name, values, states.ends, now))
    written_values = [f'"value":"{value}",' for value in values.astype(np.int64).tolist()]
    quirks = find_quirks(states.grid, series, states.ends, values)
    for hour in np.flatnonzero(quirks):
        written_values[hour] = {1: '"value":null,', 2: "", 3: '"value":".306",'}[int(quirks[hour])]
    return [f"{opening},{value}{closing}" for value in written_values]


def find_quirks(grid: Grid, series: RouteSeries, ends: Times, values: Values) -> NDArray[np.int64]:
    """Returns which values (hours,) are irregular on the wire, (hours,): 1 null, 2 absent, 3 a zero written `.306`;
    else 0."""
    chance = grid.draw_uniform(f"{series.name} quirk", ends)
    return np.select([chance < 1 / 6000, chance < 2 / 6000, (chance < 1 / 300) & (values == 0)], [1, 2, 3], 0)


def _nest_query(query: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Returns the query as the upstream echoes it: brackets become objects and lists."""
    nested: dict[str, Any] = {}
    for key, value in query:
        parameter, *brackets = re.findall(r"[^\[\]]+", key)
        if parameter == "facets" and brackets:
            nested.setdefault(parameter, {}).setdefault(brackets[0], []).append(value)
        elif parameter == "sort" and len(brackets) == 2:
            sorts = nested.setdefault(parameter, [])
            sorts += [{} for _ in range(int(brackets[0]) + 1 - len(sorts))] if brackets[0].isdigit() else []
            sorts[int(brackets[0])][brackets[1]] = value
        elif parameter == "data":
            nested.setdefault(parameter, []).append(value)
        else:
            nested[parameter] = value
    return nested
