"""ISO New England Web Services v1.1, imitated: /api/v1.1/<resource>/….

The whole request is in the path, with HTTP Basic; JSON by `Accept` or a `.json` suffix, else XML. Times are Eastern
with their offset and name the beginning of an interval: spring days have 23 hours, autumn days 25. A single record has
three shapes, no record has several, and fields change over the years.
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
from gridtide.sandbox.formats.exchange import Question, WireAnswer, write_html, write_json, write_number
from gridtide.sandbox.formats.iso_ne_reports import (
    CODE,
    ONE_HOUR,
    ZONE,
    ReportRecord,
    make_morning_report,
    make_seven_day_forecast,
    write_stamp,
)
from gridtide.simulation import (
    NEW_ENGLAND,
    Grid,
    GridState,
    Market,
    Price,
    Times,
    Values,
    find_utc_offset,
    list_interval_starts,
    to_times,
)

PATH_PREFIXES = ("/api/v1.1/",)
SECRETS = {"ISO_NE_USERNAME": "sandbox@example.com", "ISO_NE_PASSWORD": "sandbox-password"}
RATE_LIMITS: tuple[tuple[int, float], ...] = ()
"""No limits are documented."""


FIVE_MINUTES = timedelta(minutes=5)


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


SYSTEM_LOCATION = {"@LocId": "32", "$": "NEPOOL AREA"}


LOAD_ZONES = {"32": 1.0, **NEW_ENGLAND.zones}
"""The locations with metered demand, and their shares of the system's demand."""


Records = Callable[[Question, date | None, str | None], Sequence[ReportRecord]]
"""Returns the records of an operating day, or the current ones (None), optionally of one location only."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource: the element of its records, the function that makes them, and its paths.

    `current` is the shape of a single current record: `records` are a list of one as usual, an `object` is under the
    plural root, a `bare` object or a bare `list` under the singular root; None if there is no current record.
    `locations` may be requested; with `by_location` a day can be requested for a single one only.
    """

    singular: str
    records: Records
    current: Literal["records", "object", "bare", "list"] | None = "object"
    locations: Collection[str] = ()
    by_location: bool = False

    @property
    def plural(self) -> str:
        """The element around the records: `HourlyLmps`, `GenFuelMixes`."""
        return f"{self.singular}es" if self.singular.endswith("x") else f"{self.singular}s"


def answer_request(question: Question) -> WireAnswer:
    """Returns the response of ISO-NE."""
    user_password = f"{SECRETS['ISO_NE_USERNAME']}:{SECRETS['ISO_NE_PASSWORD']}".encode()
    if question.headers.get("Authorization") != f"Basic {base64.b64encode(user_password).decode()}":
        return write_refusal(401)
    resource_path = question.path.removeprefix("/api/v1.1/").rstrip("/")
    match = re.fullmatch(
        r"(.+?)(/all)?/(?:current|day/(\d{8}))(?:/location/(\d+))?", resource_path.removesuffix(".json")
    )
    resource = RESOURCES.get((match[1] + (match[2] or "")) if match else "")
    if match is None or resource is None or not _has_path(resource, match[3], match[4]):
        return write_refusal(404)
    try:
        day = datetime.strptime(match[3], "%Y%m%d").date() if match[3] else None
    except ValueError:
        return write_refusal(400)
    document = _write_document(resource, list(resource.records(question, day, match[4])), question, day)
    if resource_path.endswith(".json") or "json" in question.headers.get("Accept", ""):
        return write_json(document)
    return WireAnswer(
        b'<?xml version="1.0" encoding="UTF-8"?>' + _write_xml(document).encode(), content_type="application/xml"
    )


def write_refusal(status: int, window: float = 1, speed: float = 1) -> WireAnswer:
    """Returns the web page for an error with this status."""
    challenge = {"WWW-Authenticate": 'Basic realm="ISO New England Web Services"'} if status == 401 else {}
    return write_html(f"HTTP Status {status}", status, challenge)


def _has_path(resource: Resource, day: str | None, location: str | None) -> bool:
    if location is not None and location not in resource.locations:
        return False
    return resource.current is not None if day is None else location is not None or not resource.by_location


def _write_document(resource: Resource, records: list[ReportRecord], question: Question, day: date | None) -> Any:
    """Returns `records` in the shape of the upstream."""
    if not records:
        empty_documents: list[Any] = [{resource.plural: {}}, {resource.plural: ""}, {resource.plural: None}]
        empty_documents += [{resource.plural: {resource.singular: []}}, {}]
        return empty_documents[(day or question.now.date()).toordinal() % len(empty_documents)]
    if day is None and len(records) == 1:
        match resource.current:
            case "object":
                return {resource.plural: {resource.singular: records[0]}}
            case "bare":
                return {resource.singular: records[0]}
            case "list":
                return {resource.singular: records}
    return {resource.plural: {resource.singular: records}}


def _write_xml(node: Any, name: str = "") -> str:
    """Writes `node` as elements: `@` are attributes, `$` is text."""
    if isinstance(node, list):
        return "".join(_write_xml(item, name) for item in node)
    if not isinstance(node, dict):
        return f"<{name}>{escape('' if node is None else str(node))}</{name}>"
    content = "".join(_write_xml(value, key) for key, value in node.items() if key[0] not in "@$")
    content += escape(str(node.get("$", "")))
    attributes = "".join(f" {key[1:]}={quoteattr(str(value))}" for key, value in node.items() if key[0] == "@")
    return f"<{name}{attributes}>{content}</{name}>" if name else content


def _write_stamps(times: Times) -> list[str]:
    """Returns Eastern times with milliseconds and offset: `2024-11-25T15:31:41.000-05:00`."""
    offsets = find_utc_offset(times, ZONE.key)
    local_times = np.datetime_as_string(times + offsets, unit="s").tolist()
    hours = (offsets // np.timedelta64(3600, "s")).tolist()
    return [
        f"{text}.000{'-' if hour < 0 else '+'}{abs(hour):02d}:00" for text, hour in zip(local_times, hours, strict=True)
    ]


def _name_location(location: str) -> ReportRecord:
    location_type, name = LOCATIONS[location]
    return {"@LocId": location, "@LocType": location_type, "$": name}


RowMaker = Callable[[Question, Times, Sequence[str]], Mapping[str, Sequence[ReportRecord]]]
"""Returns the fields of each location at these interval starts."""


def _list_intervals(
    step: timedelta, released: Callable[[datetime], datetime], rows: RowMaker, newest: timedelta = timedelta(0)
) -> Records:
    """Returns records of intervals of length `step`, published up to the time from `released`. The current record is
    that of the last complete interval, or, with `newest`, of the running one."""

    def records(question: Question, day: date | None, location: str | None) -> list[ReportRecord]:
        limit = released(question.now)
        if day is None:
            limit = min(limit, question.now + newest)
            begins = list_interval_starts(limit - 2 * step, limit, step)
        else:
            period = local_day(day, ZONE)
            begins = list_interval_starts(period.start, period.end, step)
        begins = begins[begins + np.timedelta64(step) <= to_times([limit])[0]][0 if day else -1 :]
        fields_by_location = rows(question, begins, [location] if location else [])
        labels = _write_stamps(begins)
        return [
            {"BeginDate": label, **fields[number]}
            for number, label in enumerate(labels)
            for fields in fields_by_location.values()
        ]

    return records


def _apply_lag(lag: timedelta) -> Callable[[datetime], datetime]:
    return lambda now: now - lag


def _find_market_clearing(now: datetime) -> datetime:
    """Returns the end of the published day-ahead results; tomorrow's are published at 13:00 Eastern time."""
    local_time = now.astimezone(ZONE)
    return local_midnight(local_time.date() + timedelta(days=2 if local_time.hour >= 13 else 1), ZONE)


def _make_prices(market: Market, step: timedelta) -> RowMaker:
    def rows(question: Question, begins: Times, locations: Sequence[str]) -> dict[str, list[ReportRecord]]:
        nodes = list(locations) or list(LOCATIONS)
        prices = question.grid.price_nodes(CODE, nodes, begins + np.timedelta64(step // 2, "s"), market)
        return {node: _list_prices(node, price) for node, price in prices.items()}

    return rows


def _list_prices(node: str, price: Price) -> list[ReportRecord]:
    """Returns a record for each value of `price`, the price at `node`."""
    columns = {
        "LmpTotal": price.total,
        "EnergyComponent": price.energy,
        "CongestionComponent": price.congestion,
        "LossComponent": price.loss,
    }
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    return [
        {"Location": _name_location(node), **dict(zip(columns, map(write_number, row), strict=True))} for row in rows
    ]


def _make_load(question: Question, begins: Times, locations: Sequence[str]) -> dict[str, list[ReportRecord]]:
    state = question.grid.state_at(CODE, begins + HALF_HOUR)
    native = question.grid.publish_values("iso_ne load", state.demand, begins + np.timedelta64(3600, "s"), question.now)
    fields = {"Load": native + state.pumping, "NativeLoad": native, "ArdDemand": state.pumping}
    return {"32": [{"Location": SYSTEM_LOCATION, **row} for row in _round_values(fields)]}


def _make_frequent_load(question: Question, begins: Times, locations: Sequence[str]) -> dict[str, list[ReportRecord]]:
    state = question.grid.state_at(CODE, begins + np.timedelta64(150, "s"))
    load, native = state.demand + state.pumping, state.demand
    fields = {
        "LoadMw": load,
        "NativeLoad": native,
        "ArdDemand": state.pumping,
        "SystemLoadBtmPv": load + state.rooftop,
        "NativeLoadBtmPv": native + state.rooftop,
    }
    return {"": _round_values(fields)}


def _make_demand(market: Market) -> RowMaker:
    def rows(question: Question, begins: Times, locations: Sequence[str]) -> dict[str, list[ReportRecord]]:
        middles = begins + HALF_HOUR
        lead = 24.0 if market == "day_ahead" else 0.0
        demand = question.grid.state_at(CODE, middles, lead).demand
        return {
            place: [
                {"Location": SYSTEM_LOCATION if place == "32" else _name_location(place), **row}
                for row in _round_values({"Load": LOAD_ZONES[place] * demand})
            ]
            for place in (locations or NEW_ENGLAND.zones)
        }

    return rows


def _round_values(fields: Mapping[str, Values]) -> list[ReportRecord]:
    """Returns records of numbers with three decimals."""
    columns = [[write_number(value) for value in np.round(values, 3).tolist()] for values in fields.values()]
    return [dict(zip(fields, row, strict=True)) for row in zip(*columns, strict=True)]


def list_readings(grid: Grid, day: date) -> Times:
    """Returns the times at which the fuel mix of an operating day was read: 188 to 267 times in a day of 24 hours, at
    irregular seconds."""
    period = local_day(day, ZONE)
    begin = to_times([period.start])
    seconds = int(period.duration.total_seconds())
    count = int((188 + 80 * grid.draw_uniform("readings", begin)[0]) * seconds / 86400)
    number = np.arange(count)
    jitter = 0.15 + 0.7 * grid.draw_uniform("reading", begin + number.astype("timedelta64[s]"))
    reading_times: Times = begin + np.floor((number + jitter) * seconds / count).astype("timedelta64[s]")
    return reading_times


def _make_fuel_mix(question: Question, day: date | None, location: str | None) -> list[ReportRecord]:
    published_by = question.now - timedelta(minutes=1)
    days = (
        [day]
        if day
        else [published_by.astimezone(ZONE).date() - timedelta(days=1), published_by.astimezone(ZONE).date()]
    )
    times = np.concatenate([list_readings(question.grid, each_day) for each_day in days])
    times = times[times <= to_times([published_by])[0]][0 if day else -1 :]
    state = question.grid.state_at(CODE, times).whole()
    mixed = draw_fuel_mix(question.grid, times, state)
    flags = question.grid.draw_uniform("marginal", times)
    rollups = {"Landfill Gas": "Renewables", "Refuse": "Renewables", "Solar": "Renewables"}
    rollups |= {"Wind": "Renewables", "Wood": "Renewables"}
    records = []
    for number, begin in enumerate(_write_stamps(times)):
        for fuel, output in mixed.items():
            if np.isnan(output[number]):
                continue
            record = {"BeginDate": begin, "GenMw": int(output[number]), "FuelCategoryRollup": rollups.get(fuel, fuel)}
            marginal = fuel == "Natural Gas" or (fuel == "Hydro" and flags[number] > 0.85)
            # In a few readings the upstream does not state which fuel is marginal.
            flag = {} if flags[number] < 0.004 else {"MarginalFlag": "Y" if marginal else "N"}
            records.append(record | {"FuelCategory": fuel} | flag)
    return records


def draw_fuel_mix(grid: Grid, times: Times, state: GridState) -> dict[str, Values]:
    """Returns the output by ISO-NE's fuel categories in whole MW, NaN for a category that is not listed; the small
    categories are subtracted from natural gas, so that the sum is unchanged."""
    generation = state.generation
    refuse, wood = np.round(0.45 * generation["other"]), np.round(0.5 * generation["other"])
    other_small = np.where(
        grid.draw_uniform("other listed", times) < 0.8, np.floor(6 * grid.draw_uniform("other", times)), np.nan
    )
    storing = times >= np.datetime64("2026-01-01T05")  # midnight, Eastern
    battery = np.where(storing, np.floor(60 * grid.draw_uniform("battery", times)), np.nan)
    return {
        "Batteries": battery,
        "Coal": generation["coal"],
        "Hydro": generation["hydro"],
        "Natural Gas": generation["natural_gas"] - np.nan_to_num(other_small) - np.nan_to_num(battery),
        "Nuclear": generation["nuclear"],
        "Oil": np.where(generation["petroleum"] > 0, generation["petroleum"], np.nan),
        "Other": other_small,
        "Landfill Gas": generation["other"] - refuse - wood,
        "Refuse": refuse,
        "Solar": generation["solar"],
        "Wind": generation["wind"],
        "Wood": wood,
    }


ISSUES = ((-2, 3.6), (-2, 9.3), (-2, 15.3), (-1, 3.8), (-1, 9.4), (-1, 15.4), (0, 3.75), (0, 9.3), (0, 13.1))
"""When forecasts for a day are made: days relative to it and local hours, approximately."""


def list_vintages(grid: Grid, day: date) -> list[datetime]:
    """Returns the creation times of the 6 to 9 forecasts for an operating day, UTC."""
    created = [
        datetime.combine(day, time(), ZONE) + timedelta(days=days, seconds=int(3600 * hour)) for days, hour in ISSUES
    ]
    draws = grid.draw_uniform("vintage", to_times(created))
    selected = [
        (moment, draw)
        for number, (moment, draw) in enumerate(zip(created, draws, strict=True))
        if number in (0, 3, 4, 6, 7, 8) or draw > 0.3
    ]
    return [(moment + timedelta(seconds=int(900 * draw))).astimezone(UTC) for moment, draw in selected]


def _make_load_forecast(question: Question, day: date | None, location: str | None) -> list[ReportRecord]:
    """Returns the newest forecast of each hour; the current one is that of the last hour with a forecast."""
    last_day = (question.now - timedelta(hours=4)).astimezone(ZONE).date() + timedelta(days=2)
    newest: dict[str, ReportRecord] = {}
    for record in _make_all_forecasts(question, day or last_day, location):
        newest[record["BeginDate"]] = record
    return list(newest.values())[0 if day else -1 :]


def _make_all_forecasts(question: Question, day: date | None, location: str | None) -> list[ReportRecord]:
    period = local_day(day or question.now.astimezone(ZONE).date(), ZONE)
    begins = list_interval_starts(period.start, period.end, ONE_HOUR)
    created = [
        moment
        for moment in list_vintages(question.grid, period.start.astimezone(ZONE).date())
        if moment <= question.now
    ]
    loads = []
    for moment in created:
        lead_hours = np.maximum((begins - to_times([moment])) / np.timedelta64(3600, "s"), 1.0)
        state = question.grid.state_at(CODE, begins + HALF_HOUR, lead_hours)
        loads.append(np.round(state.demand, -1).astype(int).tolist())
    return [
        {"BeginDate": begin, "CreationDate": write_stamp(moment), "LoadMw": load[number], "NetLoadMw": load[number]}
        for number, begin in enumerate(_write_stamps(begins))
        for moment, load in zip(created, loads, strict=True)
    ]


def _make_report(hour: float, write: Callable[[Grid, date], ReportRecord]) -> Records:
    """Makes a daily report at this Eastern hour or up to half an hour later; the current one is the last that was
    made."""

    def creation_time(grid: Grid, day: date) -> datetime:
        clock = datetime.combine(day, time(), ZONE) + timedelta(hours=hour)
        late = grid.draw_uniform(write.__name__, to_times([clock]))[0]
        return (clock + timedelta(seconds=int(1800 * late))).astimezone(UTC)

    def records(question: Question, day: date | None, location: str | None) -> list[ReportRecord]:
        today = question.now.astimezone(ZONE).date()
        report_day = day or (
            today if creation_time(question.grid, today) <= question.now else today - timedelta(days=1)
        )
        created = creation_time(question.grid, report_day)
        is_published = created <= question.now
        return [{"CreationDate": write_stamp(created), **write(question.grid, report_day)}] if is_published else []

    return records


FIVE_DAYS = timedelta(days=5)


RESOURCES = {
    "genfuelmix": Resource("GenFuelMix", _make_fuel_mix),
    "hourlylmp/da/final": Resource(
        "HourlyLmp",
        _list_intervals(ONE_HOUR, _find_market_clearing, _make_prices("day_ahead", ONE_HOUR), ONE_HOUR),
        locations=LOCATIONS,
    ),
    "hourlylmp/rt/final": Resource(
        "HourlyLmp",
        _list_intervals(ONE_HOUR, _apply_lag(FIVE_DAYS), _make_prices("real_time", ONE_HOUR)),
        None,
        LOCATIONS,
    ),
    "hourlylmp/rt/prelim": Resource(
        "HourlyLmp",
        _list_intervals(ONE_HOUR, _apply_lag(ONE_HOUR / 2), _make_prices("real_time_preliminary", ONE_HOUR)),
        locations=LOCATIONS,
    ),
    "fiveminutelmp": Resource(
        "FiveMinLmp",
        _list_intervals(FIVE_MINUTES, _apply_lag(FIVE_MINUTES), _make_prices("five_minute", FIVE_MINUTES)),
        locations=LOCATIONS,
        by_location=True,
    ),
    "fiveminutesystemload": Resource(
        "FiveMinSystemLoad", _list_intervals(FIVE_MINUTES, _apply_lag(FIVE_MINUTES), _make_frequent_load), "list"
    ),
    "hourlysysload": Resource("HourlySystemLoad", _list_intervals(ONE_HOUR, _apply_lag(2 * FIVE_MINUTES), _make_load)),
    "hourlyloadforecast": Resource("HourlyLoadForecast", _make_load_forecast, "list"),
    "hourlyloadforecast/all": Resource("HourlyLoadForecast", _make_all_forecasts, None),
    "realtimehourlydemand": Resource(
        "HourlyRtDemand",
        _list_intervals(ONE_HOUR, _apply_lag(FIVE_DAYS), _make_demand("real_time")),
        "bare",
        LOAD_ZONES,
    ),
    "dayaheadhourlydemand": Resource(
        "HourlyDaDemand",
        _list_intervals(ONE_HOUR, _find_market_clearing, _make_demand("day_ahead"), ONE_HOUR),
        "bare",
        LOAD_ZONES,
    ),
    "morningreport": Resource("MorningReport", _make_report(8.1, make_morning_report), "records"),
    "sevendayforecast": Resource("SevenDayForecast", _make_report(9.2, make_seven_day_forecast), "records"),
}
