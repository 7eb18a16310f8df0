"""ISO New England Web Services v1.1 as the sandbox imitates it: /api/v1.1/<resource>/….

Everything is in the path, behind HTTP Basic; JSON by `Accept` or a `.json` suffix, else XML. Times
are Eastern with their offset and name the beginning of an interval: spring days have 23 hours,
autumn days 25. One record comes in three shapes, no record in several, fields drift over the years.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from gridtide.periods import local_day, local_midnight
from gridtide.sandbox import SECRETS
from gridtide.sandbox.formats.exchange import Answer, Question, html_answer, json_answer, plain_number
from gridtide.sandbox.formats.iso_ne_reports import CODE, HOUR, ZONE, Record, morning_report, seven_day_forecast, stamp
from gridtide.simulation import NEW_ENGLAND, Grid, Market, State, Times, Values, moments, starts, utc_offset

LIMITS: tuple[tuple[int, float], ...] = ()
"""None is documented."""


FIVE = timedelta(minutes=5)


HALF_HOUR = np.timedelta64(1800, "s")


LOCATIONS = {
    "4000": ("HUB", ".H.INTERNAL_HUB"),
    "4001": ("LOAD ZONE", ".Z.MAINE"),
    "4002": ("LOAD ZONE", ".Z.NEWHAMPSHIRE"),
    "4003": ("LOAD ZONE", ".Z.VERMONT"),
    "4004": ("LOAD ZONE", ".Z.CONNECTICUT"),
    "4005": ("LOAD ZONE", ".Z.RHODEISLAND"),
    "4006": ("LOAD ZONE", ".Z.SEMASS"),
    "4007": ("LOAD ZONE", ".Z.WCMASS"),
    "4008": ("LOAD ZONE", ".Z.NEMASSBOST"),
    "4010": ("EXT. NODE", ".I.SALBRYNB345 1"),
    "4011": ("EXT. NODE", ".I.ROSETON 345 1"),
    "4012": ("EXT. NODE", ".I.HQ_P1_P2345 5"),
}


SYSTEM = {"@LocId": "32", "$": "NEPOOL AREA"}


AREAS = {"32": 1.0, **NEW_ENGLAND.zones}
"""Where demand is metered: shares of the system's."""


Records = Callable[[Question, date | None, str | None], Sequence[Record]]
"""The records of an operating day, or of what is current (None), perhaps of one location only."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource: the element its records are, what makes them, and which paths it has.

    `current` is the shape a lone current record comes in: `records` are a list of one like any, an
    `object` stands under the plural, a `bare` object or a bare `list` under the singular; None where
    there is no current. `located` are the locations it may be asked for; with `by_location` a day
    is to be had for one of them only.
    """

    singular: str
    records: Records
    current: Literal["records", "object", "bare", "list"] | None = "object"
    located: Collection[str] = ()
    by_location: bool = False

    @property
    def plural(self) -> str:
        """The element around the records: `HourlyLmps`, `GenFuelMixes`."""
        return f"{self.singular}es" if self.singular.endswith("x") else f"{self.singular}s"


def answer(question: Question) -> Answer:
    """What ISO-NE would answer."""
    pair = f"{SECRETS['ISO_NE_USERNAME']}:{SECRETS['ISO_NE_PASSWORD']}".encode()
    if question.headers.get("Authorization") != f"Basic {base64.b64encode(pair).decode()}":
        return refusal(401)
    tail = question.path.removeprefix("/api/v1.1/").rstrip("/")
    match = re.fullmatch(r"(.+?)(/all)?/(?:current|day/(\d{8}))(?:/location/(\d+))?", tail.removesuffix(".json"))
    resource = RESOURCES.get((match[1] + (match[2] or "")) if match else "")
    if match is None or resource is None or not _has_path(resource, match[3], match[4]):
        return refusal(404)
    try:
        day = datetime.strptime(match[3], "%Y%m%d").date() if match[3] else None
    except ValueError:
        return refusal(400)
    document = _document(resource, list(resource.records(question, day, match[4])), question, day)
    if tail.endswith(".json") or "json" in question.headers.get("Accept", ""):
        return json_answer(document)
    return Answer(b'<?xml version="1.0" encoding="UTF-8"?>' + _xml(document).encode(), content_type="application/xml")


def refusal(status: int, window: float = 1, speed: float = 1) -> Answer:
    """The web page that goes with an error of this status."""
    challenge = {"WWW-Authenticate": 'Basic realm="ISO New England Web Services"'} if status == 401 else {}
    return html_answer(f"HTTP Status {status}", status, challenge)


def _has_path(resource: Resource, day: str | None, location: str | None) -> bool:
    if location is not None and location not in resource.located:
        return False
    return resource.current is not None if day is None else location is not None or not resource.by_location


def _document(resource: Resource, records: list[Record], question: Question, day: date | None) -> Any:
    """`records` in the shape that the upstream gives them."""
    if not records:
        forms: list[Any] = [{resource.plural: {}}, {resource.plural: ""}, {resource.plural: None}]
        forms += [{resource.plural: {resource.singular: []}}, {}]
        return forms[(day or question.now.date()).toordinal() % len(forms)]
    if day is None and len(records) == 1:
        match resource.current:
            case "object":
                return {resource.plural: {resource.singular: records[0]}}
            case "bare":
                return {resource.singular: records[0]}
            case "list":
                return {resource.singular: records}
    return {resource.plural: {resource.singular: records}}


def _xml(node: Any, name: str = "") -> str:
    """`node` as elements: `@` are attributes, `$` is text."""
    if isinstance(node, list):
        return "".join(_xml(item, name) for item in node)
    if not isinstance(node, dict):
        return f"<{name}>{escape('' if node is None else str(node))}</{name}>"
    inner = "".join(_xml(value, key) for key, value in node.items() if key[0] not in "@$")
    inner += escape(str(node.get("$", "")))
    attributes = "".join(f" {key[1:]}={quoteattr(str(value))}" for key, value in node.items() if key[0] == "@")
    return f"<{name}{attributes}>{inner}</{name}>" if name else inner


def _stamps(times: Times) -> list[str]:
    """Eastern times with milliseconds and offset: `2024-11-25T15:31:41.000-05:00`."""
    offsets = utc_offset(times, ZONE.key)
    local = np.datetime_as_string(times + offsets, unit="s").tolist()
    hours = (offsets // np.timedelta64(3600, "s")).tolist()
    return [f"{text}.000{'-' if hour < 0 else '+'}{abs(hour):02d}:00" for text, hour in zip(local, hours, strict=True)]


def _place(location: str) -> Record:
    kind, name = LOCATIONS[location]
    return {"@LocId": location, "@LocType": kind, "$": name}


Rows = Callable[[Question, Times, Sequence[str]], Mapping[str, Sequence[Record]]]
"""The fields of each location at these interval starts."""


def _every(
    step: timedelta, released: Callable[[datetime], datetime], rows: Rows, newest: timedelta = timedelta(0)
) -> Records:
    """Records of intervals of length `step`, published up to what `released` says; the current one
    is the last that has ended, or, with `newest`, the one that runs."""

    def records(question: Question, day: date | None, location: str | None) -> list[Record]:
        limit = released(question.now)
        if day is None:
            limit = min(limit, question.now + newest)
            begins = starts(limit - 2 * step, limit, step)
        else:
            period = local_day(day, ZONE)
            begins = starts(period.start, period.end, step)
        begins = begins[begins + np.timedelta64(step) <= moments([limit])[0]][0 if day else -1 :]
        found = rows(question, begins, [location] if location else [])
        labels = _stamps(begins)
        return [
            {"BeginDate": label, **fields[number]} for number, label in enumerate(labels) for fields in found.values()
        ]

    return records


def _lagged(lag: timedelta) -> Callable[[datetime], datetime]:
    return lambda now: now - lag


def _market_clears(now: datetime) -> datetime:
    """Tomorrow's day-ahead results are out at 13:00 Eastern."""
    local = now.astimezone(ZONE)
    return local_midnight(local.date() + timedelta(days=2 if local.hour >= 13 else 1), ZONE)


def _prices(market: Market, step: timedelta) -> Rows:
    def rows(question: Question, begins: Times, locations: Sequence[str]) -> dict[str, list[Record]]:
        nodes = list(locations) or list(LOCATIONS)
        prices = question.grid.prices(CODE, nodes, begins + np.timedelta64(step // 2, "s"), market)
        names = ("LmpTotal", "EnergyComponent", "CongestionComponent", "LossComponent")
        return {
            node: [
                {"Location": _place(node), **dict(zip(names, map(plain_number, parts), strict=True))}
                for parts in zip(*(part.tolist() for part in (p.total, p.energy, p.congestion, p.loss)), strict=True)
            ]
            for node, p in prices.items()
        }

    return rows


def _load(question: Question, begins: Times, locations: Sequence[str]) -> dict[str, list[Record]]:
    state = question.grid.state(CODE, begins + HALF_HOUR)
    native = question.grid.as_seen("iso_ne load", state.demand, begins + np.timedelta64(3600, "s"), question.now)
    fields = {"Load": native + state.pumping, "NativeLoad": native, "ArdDemand": state.pumping}
    return {"32": [{"Location": SYSTEM, **row} for row in _rounded(fields)]}


def _frequent_load(question: Question, begins: Times, locations: Sequence[str]) -> dict[str, list[Record]]:
    state = question.grid.state(CODE, begins + np.timedelta64(150, "s"))
    load, native = state.demand + state.pumping, state.demand
    fields = {
        "LoadMw": load,
        "NativeLoad": native,
        "ArdDemand": state.pumping,
        "SystemLoadBtmPv": load + state.rooftop,
        "NativeLoadBtmPv": native + state.rooftop,
    }
    return {"": _rounded(fields)}


def _demand(market: Market) -> Rows:
    def rows(question: Question, begins: Times, locations: Sequence[str]) -> dict[str, list[Record]]:
        middles = begins + HALF_HOUR
        lead = 24.0 if market == "day_ahead" else 0.0
        demand = question.grid.state(CODE, middles, lead).demand
        return {
            place: [
                {"Location": SYSTEM if place == "32" else _place(place), **row}
                for row in _rounded({"Load": AREAS[place] * demand})
            ]
            for place in (locations or NEW_ENGLAND.zones)
        }

    return rows


def _rounded(fields: Mapping[str, Values]) -> list[Record]:
    """Records of numbers with three decimals."""
    columns = [[plain_number(value) for value in np.round(values, 3).tolist()] for values in fields.values()]
    return [dict(zip(fields, row, strict=True)) for row in zip(*columns, strict=True)]


def readings(grid: Grid, day: date) -> Times:
    """When the fuel mix of an operating day was read: 188 to 267 times a day of 24 hours, at odd seconds."""
    period = local_day(day, ZONE)
    begin = moments([period.start])
    seconds = int(period.duration.total_seconds())
    count = int((188 + 80 * grid.chance("readings", begin)[0]) * seconds / 86400)
    number = np.arange(count)
    jitter = 0.15 + 0.7 * grid.chance("reading", begin + number.astype("timedelta64[s]"))
    read: Times = begin + np.floor((number + jitter) * seconds / count).astype("timedelta64[s]")
    return read


def _fuel_mix(question: Question, day: date | None, location: str | None) -> list[Record]:
    known = question.now - timedelta(minutes=1)
    days = [day] if day else [known.astimezone(ZONE).date() - timedelta(days=1), known.astimezone(ZONE).date()]
    times = np.concatenate([readings(question.grid, one) for one in days])
    times = times[times <= moments([known])[0]][0 if day else -1 :]
    state = question.grid.state(CODE, times).whole()
    mixed = mix(question.grid, times, state)
    flags = question.grid.chance("marginal", times)
    rollups = {"Landfill Gas": "Renewables", "Refuse": "Renewables", "Solar": "Renewables"}
    rollups |= {"Wind": "Renewables", "Wood": "Renewables"}
    records = []
    for number, begin in enumerate(_stamps(times)):
        for fuel, output in mixed.items():
            if np.isnan(output[number]):
                continue
            record = {"BeginDate": begin, "GenMw": int(output[number]), "FuelCategoryRollup": rollups.get(fuel, fuel)}
            marginal = fuel == "Natural Gas" or (fuel == "Hydro" and flags[number] > 0.85)
            # On rare readings the upstream does not say which fuel is marginal.
            flag = {} if flags[number] < 0.004 else {"MarginalFlag": "Y" if marginal else "N"}
            records.append(record | {"FuelCategory": fuel} | flag)
    return records


def mix(grid: Grid, times: Times, state: State) -> dict[str, Values]:
    """Output by ISO-NE's fuel categories in whole MW, NaN where a category is not listed; what the
    small ones have is taken from natural gas, so that the sum stays."""
    made = state.generation
    refuse, wood = np.round(0.45 * made["other"]), np.round(0.5 * made["other"])
    rest = np.where(grid.chance("other listed", times) < 0.8, np.floor(6 * grid.chance("other", times)), np.nan)
    storing = times >= np.datetime64("2026-01-01T05")  # midnight, Eastern
    battery = np.where(storing, np.floor(60 * grid.chance("battery", times)), np.nan)
    return {
        "Batteries": battery,
        "Coal": made["coal"],
        "Hydro": made["hydro"],
        "Natural Gas": made["natural_gas"] - np.nan_to_num(rest) - np.nan_to_num(battery),
        "Nuclear": made["nuclear"],
        "Oil": np.where(made["petroleum"] > 0, made["petroleum"], np.nan),
        "Other": rest,
        "Landfill Gas": made["other"] - refuse - wood,
        "Refuse": refuse,
        "Solar": made["solar"],
        "Wind": made["wind"],
        "Wood": wood,
    }


ISSUES = ((-2, 3.6), (-2, 9.3), (-2, 15.3), (-1, 3.8), (-1, 9.4), (-1, 15.4), (0, 3.75), (0, 9.3), (0, 13.1))
"""When forecasts for a day are made: days from it and hours of the clock, more or less."""


def vintages(grid: Grid, day: date) -> list[datetime]:
    """The creation times of the 6 to 9 forecasts for an operating day, UTC."""
    made = [
        datetime.combine(day, time(), ZONE) + timedelta(days=days, seconds=int(3600 * hour)) for days, hour in ISSUES
    ]
    chance = grid.chance("vintage", moments(made))
    kept = [
        (m, c)
        for number, (m, c) in enumerate(zip(made, chance, strict=True))
        if number in (0, 3, 4, 6, 7, 8) or c > 0.3
    ]
    return [(moment + timedelta(seconds=int(900 * c))).astimezone(UTC) for moment, c in kept]


def _load_forecast(question: Question, day: date | None, location: str | None) -> list[Record]:
    """The newest forecast of each hour; currently that of the last hour there is one for."""
    last = (question.now - timedelta(hours=4)).astimezone(ZONE).date() + timedelta(days=2)
    newest: dict[str, Record] = {}
    for record in _all_forecasts(question, day or last, location):
        newest[record["BeginDate"]] = record
    return list(newest.values())[0 if day else -1 :]


def _all_forecasts(question: Question, day: date | None, location: str | None) -> list[Record]:
    period = local_day(day or question.now.astimezone(ZONE).date(), ZONE)
    begins = starts(period.start, period.end, HOUR)
    created = [
        moment for moment in vintages(question.grid, period.start.astimezone(ZONE).date()) if moment <= question.now
    ]
    loads = []
    for moment in created:
        lead = np.maximum((begins - moments([moment])) / np.timedelta64(3600, "s"), 1.0)
        state = question.grid.state(CODE, begins + HALF_HOUR, lead)
        loads.append(np.round(state.demand, -1).astype(int).tolist())
    return [
        {"BeginDate": begin, "CreationDate": stamp(moment), "LoadMw": load[number], "NetLoadMw": load[number]}
        for number, begin in enumerate(_stamps(begins))
        for moment, load in zip(created, loads, strict=True)
    ]


def _report(hour: float, write: Callable[[Grid, date], Record]) -> Records:
    """A daily report, made at this Eastern hour or up to half an hour later; the current one is the
    last that was made."""

    def made(grid: Grid, day: date) -> datetime:
        clock = datetime.combine(day, time(), ZONE) + timedelta(hours=hour)
        late = grid.chance(write.__name__, moments([clock]))[0]
        return (clock + timedelta(seconds=int(1800 * late))).astimezone(UTC)

    def records(question: Question, day: date | None, location: str | None) -> list[Record]:
        today = question.now.astimezone(ZONE).date()
        wanted = day or (today if made(question.grid, today) <= question.now else today - timedelta(days=1))
        created = made(question.grid, wanted)
        known = created <= question.now
        return [{"CreationDate": stamp(created), **write(question.grid, wanted)}] if known else []

    return records


FIVE_DAYS = timedelta(days=5)


RESOURCES = {
    "genfuelmix": Resource("GenFuelMix", _fuel_mix),
    "hourlylmp/da/final": Resource(
        "HourlyLmp", _every(HOUR, _market_clears, _prices("day_ahead", HOUR), HOUR), located=LOCATIONS
    ),
    "hourlylmp/rt/final": Resource(
        "HourlyLmp", _every(HOUR, _lagged(FIVE_DAYS), _prices("real_time", HOUR)), None, LOCATIONS
    ),
    "hourlylmp/rt/prelim": Resource(
        "HourlyLmp", _every(HOUR, _lagged(HOUR / 2), _prices("real_time_preliminary", HOUR)), located=LOCATIONS
    ),
    "fiveminutelmp": Resource(
        "FiveMinLmp", _every(FIVE, _lagged(FIVE), _prices("five_minute", FIVE)), located=LOCATIONS, by_location=True
    ),
    "fiveminutesystemload": Resource("FiveMinSystemLoad", _every(FIVE, _lagged(FIVE), _frequent_load), "list"),
    "hourlysysload": Resource("HourlySystemLoad", _every(HOUR, _lagged(2 * FIVE), _load)),
    "hourlyloadforecast": Resource("HourlyLoadForecast", _load_forecast, "list"),
    "hourlyloadforecast/all": Resource("HourlyLoadForecast", _all_forecasts, None),
    "realtimehourlydemand": Resource(
        "HourlyRtDemand", _every(HOUR, _lagged(FIVE_DAYS), _demand("real_time")), "bare", AREAS
    ),
    "dayaheadhourlydemand": Resource(
        "HourlyDaDemand", _every(HOUR, _market_clears, _demand("day_ahead"), HOUR), "bare", AREAS
    ),
    "morningreport": Resource("MorningReport", _report(8.1, morning_report), "records"),
    "sevendayforecast": Resource("SevenDayForecast", _report(9.2, seven_day_forecast), "records"),
}
