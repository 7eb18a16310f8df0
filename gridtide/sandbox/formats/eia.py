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
from gridtide.sandbox.formats.exchange import Answer, Question, json_answer
from gridtide.simulation import FUELS, HOUR, TIES, Grid, State, Times, Values, authority, day_ahead_lead

LIMITS = ((5, 1.0), (9000, 3600.0))
"""Requests in seconds."""


PAGE_ROWS = 5000


FIRST = np.datetime64("2019-01-01T00", "h")


EASTERN = ZoneInfo("America/New_York")


POSTED = 11
"""The Eastern hour from which tomorrow's day-ahead forecasts are out."""


NAMES = {
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


TYPES = {
    "D": "Demand",
    "DF": "Day-ahead demand forecast",
    "NG": "Net generation",
    "TI": "Total interchange",
}


FUEL_CODES = dict(zip(FUELS, ("COL", "NG", "NUC", "OIL", "SUN", "WAT", "WND", "OTH"), strict=True))


FUEL_NAMES = dict(
    zip(FUELS, ("Coal", "Natural Gas", "Nuclear", "Petroleum", "Solar", "Hydro", "Wind", "Other"), strict=True)
)


LAGS = {"D": 1, "NG": 5, "TI": 28}
"""Hours from an hour's end to its publication; day-ahead forecasts come by the clock."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a route: its authority, the columns of its rows, what its value is, and the
    kind (`D`, `DF`, `NG`, `TI`) that decides when it is published."""

    code: str
    columns: tuple[tuple[str, str], ...]
    of: Callable[[State], Values]
    kind: str

    @property
    def name(self) -> str:
        """What tells it from all others."""
        return " ".join(value for key, value in self.columns if not key.endswith("-name"))


@dataclass(frozen=True, slots=True)
class Route:
    """A route: which columns may be facets, all its series, and what its metadata say it holds."""

    facets: tuple[str, ...]
    series: Callable[[], Sequence[Series]]
    description: str


def _region() -> list[Series]:
    values: dict[str, Callable[[State], Values]] = {
        "D": lambda state: state.demand,
        "DF": lambda state: state.demand,
        "NG": lambda state: state.net_generation,
        "TI": lambda state: state.net_interchange,
    }
    return [
        Series(code, (*_named("respondent", code), ("type", kind), ("type-name", name)), values[kind], kind)
        for code in sorted(NAMES.keys() - FOREIGN)
        for kind, name in TYPES.items()
    ]


def _fuels() -> list[Series]:
    found = [
        Series(
            code,
            (*_named("respondent", code), ("fueltype", FUEL_CODES[fuel]), ("type-name", FUEL_NAMES[fuel])),
            lambda state, fuel=fuel: state.generation[fuel],  # type: ignore[misc]  # a default binds the loop's fuel
            "NG",
        )
        for code in sorted(NAMES.keys() - FOREIGN)
        for fuel in authority(code).fuels
    ]
    return sorted(found, key=lambda series: series.name)


def _interchange() -> list[Series]:
    pairs = sorted(pair for tie in TIES for pair in (tie, tie[::-1]) if pair[0] not in FOREIGN)
    return [
        Series(
            first,
            (*_named("fromba", first), *_named("toba", second)),
            lambda state, to=second: state.exports[to],  # type: ignore[misc]  # a default binds the loop's neighbour
            "TI",
        )
        for first, second in pairs
    ]


def _zones() -> list[Series]:
    return [
        Series(
            code,
            (("subba", zone), ("subba-name", f"{NAMES[code]}, zone {zone}"), *_named("parent", code)),
            lambda state, share=share: np.round(share * state.demand),  # type: ignore[misc]  # binds the loop's share
            "D",
        )
        for code in sorted(NAMES)
        for zone, share in sorted(authority(code).zones.items())
    ]


def _named(key: str, code: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (key, code), (f"{key}-name", NAMES[code])


ROUTES = {
    "region-data": Route(
        ("respondent", "type"),
        lru_cache(_region),
        "Hourly demand, day-ahead demand forecast, net generation, and interchange by balancing authority.",
    ),
    "fuel-type-data": Route(
        ("respondent", "fueltype"),
        lru_cache(_fuels),
        "Hourly net generation by balancing authority and energy source.",
    ),
    "interchange-data": Route(
        ("fromba", "toba"),
        lru_cache(_interchange),
        "Daily interchange between neighboring balancing authorities.",
    ),
    "region-sub-ba-data": Route(
        ("subba", "parent"),
        lru_cache(_zones),
        "Hourly demand by subregion.",
    ),
}


class _BadRequestError(Exception):
    """What the upstream says about a request it does not understand."""


def answer(question: Question) -> Answer:
    """What EIA would answer."""
    key = question.headers.get("X-Api-Key") or question.get("api_key")
    if key != SECRETS["EIA_API_KEY"]:
        return _refused(403, "API_KEY_INVALID" if key else "API_KEY_MISSING")
    match = re.fullmatch(r"/v2/electricity/rto/([a-z-]+)/data/?", question.path)
    if match is None or match[1] not in ROUTES:
        return json_answer({"error": "Not found.", "code": 404}, 500)
    try:
        asked = _Asked.read(question, ROUTES[match[1]])
    except _BadRequestError as error:
        return json_answer({"error": str(error), "code": 400}, 400)
    return _envelope(question, ROUTES[match[1]], asked, key)


def refusal(status: int, window: float = 1, speed: float = 1) -> Answer:
    """EIA's own shape of an error of this status."""
    codes = {401: "API_KEY_MISSING", 403: "API_KEY_INVALID", 429: "OVER_RATE_LIMIT"}
    if status in codes:
        return _refused(status, codes[status])
    if status in (400, 404):
        return json_answer({"error": "Not found." if status == 404 else "Bad request.", "code": status}, status)
    return Answer(b"Something unexpected happened.", status, "text/plain")


def _refused(status: int, code: str) -> Answer:
    messages = {
        "API_KEY_INVALID": "An invalid api_key was supplied. Get one at https://api.eia.gov:443",
        "API_KEY_MISSING": "No api_key was supplied. Get one at https://api.eia.gov:443",
        "OVER_RATE_LIMIT": "You have exceeded your rate limit. Try again later.",
    }
    return json_answer({"error": {"code": code, "message": messages[code]}}, status)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request understood: which series, the hour-ending labels in the order of the rows, the page."""

    series: Sequence[Series]
    labels: Times
    cutoffs: Times
    offset: int
    length: int
    with_value: bool

    @classmethod
    def read(cls, question: Question, route: Route) -> _Asked:
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
        series = _chosen(question, route)
        backward = _direction(question) == "desc"
        if _direction(question) is None:
            series = series[::-1]
        cutoffs = np.array([_cutoff(one.kind, question.now) for one in series], "datetime64[h]")
        return cls(
            series[::-1] if backward else series,
            _labels(question, cutoffs),
            cutoffs[::-1] if backward else cutoffs,
            _count(question, "offset", 0),
            min(_count(question, "length", PAGE_ROWS), PAGE_ROWS),
            bool(columns),
        )


def _chosen(question: Question, route: Route) -> list[Series]:
    """The series that the facets leave."""
    wanted: dict[str, set[str]] = {}
    for key, value in question.query:
        match = re.fullmatch(r"facets\[([^\]]*)\]\[\d*\]", key)
        if match and match[1] not in route.facets:
            known = ", and ".join(f"'{facet}'" for facet in route.facets)
            raise _BadRequestError(f"Invalid facet '{match[1]}' provided. The only valid facets are {known}.")
        if match:
            wanted.setdefault(match[1], set()).add(value)
    return [one for one in route.series() if all(value in wanted[key] for key, value in one.columns if key in wanted)]


def _direction(question: Question) -> str | None:
    """asc or desc, None without any sorting."""
    column, direction = question.get("sort[0][column]"), question.get("sort[0][direction]", "asc")
    if not column:
        return None
    if column != "period" or direction not in ("asc", "desc"):
        raise _BadRequestError(f"Invalid sort '{column} {direction}' provided. The sandbox sorts by 'period' first.")
    return direction


def _labels(question: Question, cutoffs: Times) -> Times:
    """The hour-ending labels that may have rows; in no good order unless a sort was asked for."""
    last = max(cutoffs, default=FIRST - 1)
    start = max(_hour(question, "start", FIRST), FIRST)
    labels = np.arange(start, min(_hour(question, "end", last), last) + 1)
    direction = _direction(question)
    if direction is None and len(labels):
        stride = next(prime for prime in (7919, 7907) if len(labels) % prime)
        return labels[np.arange(len(labels)) * stride % len(labels)]
    return labels[::-1] if direction == "desc" else labels


def _hour(question: Question, name: str, otherwise: np.datetime64) -> np.datetime64:
    text = question.get(name)
    if not text:
        return otherwise
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(T\d{2})?", text):
        raise _BadRequestError(f"Invalid {name} '{text}' provided. The format is 'YYYY-MM-DD\"T\"HH24'.")
    try:
        return np.datetime64(text, "h")
    except ValueError as error:
        raise _BadRequestError(f"Invalid {name} '{text}' provided. The format is 'YYYY-MM-DD\"T\"HH24'.") from error


def _count(question: Question, name: str, otherwise: int) -> int:
    text = question.get(name)
    if text and not text.isdigit():
        raise _BadRequestError(f"Invalid {name} '{text}' provided. It must be a whole number.")
    return int(text) if text else otherwise


def _cutoff(kind: str, now: datetime) -> np.datetime64:
    """The last hour-ending label of this kind that is out at `now`."""
    if kind != "DF":
        return _label(now - timedelta(hours=LAGS[kind]))
    local = now.astimezone(EASTERN)
    days = 2 if local.hour >= POSTED else 1
    return _label(local_midnight(local.date() + timedelta(days=days), EASTERN))


def _label(moment: datetime) -> np.datetime64:
    return np.datetime64(f"{moment.astimezone(UTC):%Y-%m-%dT%H}", "h")


def _envelope(question: Question, route: Route, asked: _Asked, key: str) -> Answer:
    # Hours before the first cutoff have a row for every series, later ones for fewer: with a running
    # count the page's hours are found without making the rows before it.
    before = np.concatenate([[0], np.cumsum(len(asked.series) - np.searchsorted(np.sort(asked.cutoffs), asked.labels))])
    total = int(before[-1])
    first = max(int(np.searchsorted(before, asked.offset, "right")) - 1, 0)
    last = int(np.searchsorted(before, min(asked.offset + asked.length, total)))
    rows = _rows(question, asked, asked.labels[first:last]) if asked.offset < total else []
    skipped = asked.offset - int(before[first])
    warning = {
        "warning": "incomplete return",
        "description": "The API can only return 5000 rows in JSON format.  Please consider constraining your request "
        "with facet, start, or end, or using offset to paginate results.",
    }
    head: dict[str, Any] = {"warnings": [warning]} if total > PAGE_ROWS else {}
    head |= {"total": str(total), "dateFormat": 'YYYY-MM-DD"T"HH24', "frequency": "hourly"}
    described = f"{route.description}  \n    Source: Form EIA-930\n    Product: Hourly Electric Grid Monitor"
    request = {"command": question.path, "params": {**_nested(question.query), "api_key": key}}
    tail = {"description": described}, {"request": request, "apiVersion": "2.1.8", "ExcelAddInVersion": "2.1.0"}
    opening, closing, around = (json_answer(part).body for part in (head, *tail))
    data = ",".join(rows[skipped : skipped + asked.length]).encode()
    body = b'{"response":' + opening[:-1] + b',"data":[' + data + b"]," + closing[1:] + b"," + around[1:]
    return Answer(body)


def _rows(question: Question, asked: _Asked, labels: Times) -> list[str]:
    """The rows of whole hours as JSON, hour by hour."""
    states = _States(question.grid, labels.astype("datetime64[s]"))
    columns = [_column(one, states, question.now, asked.with_value) for one in asked.series]
    periods = [f'{{"period":"{label}",' for label in np.datetime_as_string(labels, unit="h").tolist()]
    hours, series = (indices.tolist() for indices in np.nonzero(labels[:, None] <= asked.cutoffs[None, :]))
    return [periods[hour] + columns[one][hour] for hour, one in zip(hours, series, strict=True)]


class _States(dict[tuple[str, bool], State]):
    """The grid in the hours that end at `ends`, made once for each authority and whether it is a forecast."""

    def __init__(self, grid: Grid, ends: Times) -> None:
        self.grid, self.ends = grid, ends

    def __missing__(self, key: tuple[str, bool]) -> State:
        code, forecast = key
        middles = self.ends - HOUR // 2
        lead = day_ahead_lead(middles, authority(code).zone) if forecast else 0.0
        state = self[key] = self.grid.state(code, middles, lead).whole()
        return state


def _column(one: Series, states: _States, now: datetime, with_value: bool) -> list[str]:
    """What follows the period in the rows of one series, an hour each."""
    opening = json_answer(dict(one.columns)).body.decode()[1:-1]
    closing = '"value-units":"megawatthours"}'
    if not with_value:
        return [f"{opening},{closing}"] * len(states.ends)
    values = one.of(states[one.code, one.kind == "DF"])
    if one.kind != "DF":
        values = np.round(states.grid.as_seen(one.name, values, states.ends, now))
    written = [f'"value":"{value}",' for value in values.astype(np.int64).tolist()]
    odd = quirks(states.grid, one, states.ends, values)
    for hour in np.flatnonzero(odd):
        written[hour] = {1: '"value":null,', 2: "", 3: '"value":".306",'}[int(odd[hour])]
    return [f"{opening},{value}{closing}" for value in written]


def quirks(grid: Grid, one: Series, ends: Times, values: Values) -> NDArray[np.int64]:
    """Which of (hours,) values are odd on the wire, (hours,): 1 null, 2 absent, 3 a zero that reads `.306`; else 0."""
    chance = grid.chance(f"{one.name} quirk", ends)
    return np.select([chance < 1 / 6000, chance < 2 / 6000, (chance < 1 / 300) & (values == 0)], [1, 2, 3], 0)


def _nested(query: Sequence[tuple[str, str]]) -> dict[str, Any]:
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
