"""ERCOT, imitated: the Public API with its login, the documents of its market information system, and its dashboards.

A request to the Public API needs a subscription key and a bearer token, which a login with user and password gives for
an hour. Rows are positional; `fields` names their columns. Hours end on the clock of Chicago, 01:00 to 24:00, and
`DSTFlag` marks the hour after the clock was set back, which stands before the other one. The API answers about the last
ninety days; older days are files in the archive, zips that may hold zips.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import numpy as np

from gridtide.periods import local_midnight
from gridtide.sandbox.formats.exchange import Question, WireAnswer, write_json
from gridtide.sandbox.formats.operators.gateway import refuse_key, write_gateway_error
from gridtide.sandbox.formats.operators.market_days import (
    FIVE_MINUTES,
    QUARTER_HOUR,
    WHOLE_HOUR,
    cut_after,
    find_middles,
    flag_second_pass,
    list_day,
    mix_fuels,
    pack_zip,
    write_csv_lines,
    write_times,
)
from gridtide.simulation import TEXAS, Grid, Times, Values, find_utc_offset, list_interval_starts, to_times

PATH_PREFIXES = (
    *("/api/public-reports/", "/api/1/services/read/dashboards/", "/ercotb2c.onmicrosoft.com/"),
    *("/misapp/servlets/IceDocListJsonWS", "/misdownload/servlets/mirDownload"),
)
"""The paths of its four hosts."""

METHODS = ("GET", "POST")

RATE_LIMITS = ((30, 60.0),)
"""Requests per number of seconds."""

SECRETS = {
    "ERCOT_API_KEY": "sandbox-ercot-key",
    "ERCOT_USERNAME": "sandbox@example.com",
    "ERCOT_PASSWORD": "sandbox-password",
}

TEXAS_CLOCK = ZoneInfo(TEXAS.zone)

TOKEN_LIFE, DAYS_ANSWERED = timedelta(hours=1), timedelta(days=90)

MOST_ROWS, USUAL_ROWS = 1_000_000, 1000

DAYS_OF_OUTPUT = 2
"""The days for which reports of wind and solar repeat what was generated."""

DAYS_FORESEEN = 7

WEATHER_ZONES = {
    "coast": TEXAS.zones["COAST"],
    "east": TEXAS.zones["EAST"],
    "farWest": TEXAS.zones["FAR_WEST"],
    "north": TEXAS.zones["NORTH"],
    "northC": TEXAS.zones["NORTH_C"],
    "southern": TEXAS.zones["SOUTHERN"],
    "southC": TEXAS.zones["SOUTH_C"],
    "west": TEXAS.zones["WEST"],
}
"""The fields of actual load by weather zone and their shares of the demand."""

FORECAST_ZONES = {
    "coast": TEXAS.zones["COAST"],
    "east": TEXAS.zones["EAST"],
    "farWest": TEXAS.zones["FAR_WEST"],
    "north": TEXAS.zones["NORTH"],
    "northCentral": TEXAS.zones["NORTH_C"],
    "southCentral": TEXAS.zones["SOUTH_C"],
    "southern": TEXAS.zones["SOUTHERN"],
    "west": TEXAS.zones["WEST"],
}
"""The fields of forecast load by weather zone and their shares of the demand."""

ZONE_SHARES = {"north": 0.36, "south": 0.27, "west": 0.1, "houston": 0.27}

SETTLEMENT_POINTS = {
    "HB_BUSAVG": "SH",
    "HB_HOUSTON": "HU",
    "HB_HUBAVG": "AH",
    "HB_NORTH": "HU",
    "HB_SOUTH": "HU",
    "HB_WEST": "HU",
    "LZ_HOUSTON": "LZ",
    "LZ_NORTH": "LZ",
    "LZ_SOUTH": "LZ",
    "LZ_WEST": "LZ",
}
"""The settlement points and their types."""

MODELS = ("E", "X")
"""The models of load forecasts; the first one is in use."""

ERCOT_FUELS = {
    "Coal and Lignite": {"coal": 1.0},
    "Hydro": {"hydro": 1.0},
    "Nuclear": {"nuclear": 1.0},
    "Power Storage": {},
    "Solar": {"solar": 1.0},
    "Wind": {"wind": 1.0},
    "Natural Gas": {"natural_gas": 1.0},
    "Other": {"other": 1.0},
}
"""The categories of the fuel mix, by their shares of the simulated fuels."""

DataRow = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ReportField:
    """A column of a report: its name, its type, and whether it can be filtered by a range."""

    name: str
    kind: str

    def describe(self, number: int) -> dict[str, Any]:
        """Returns the description in a response."""
        words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=DST)(?=Flag)", " ", self.name)
        described = {"name": self.name, "label": words[0].upper() + words[1:], "cardinality": number}
        in_ranges = self.kind not in ("VARCHAR", "BOOLEAN")
        return {**described, "dataType": self.kind, "searchable": True, "sortable": True, "hasRange": in_ranges}


@dataclass(frozen=True, slots=True)
class PublicReport:
    """A report of the Public API: how it is called, its columns, its rows of a local day, the column of that day, and
    how it is sorted."""

    title: str
    number: str
    fields: tuple[ReportField, ...]
    rows: Callable[[Question, date], list[DataRow]]
    day: str
    order: str
    file: str

    @property
    def is_posted(self) -> bool:
        """Whether it is posted several times for a day, as forecasts are."""
        return self.fields[0] == POSTED


def answer_request(question: Question) -> WireAnswer:
    """Answers as the host of the path does."""
    if question.path.startswith("/ercotb2c"):
        return _log_in(question)
    if question.path.startswith("/api/public-reports/"):
        return _refuse_caller(question) or _answer_report(question)
    if question.path.startswith("/mis"):
        return _answer_document(question)
    dashboard = DASHBOARDS.get(question.path.rpartition("/")[2])
    return write_json(dashboard(question)) if dashboard else write_refusal(404)


def write_refusal(status: int, window: float = 60, speed: float = 1) -> WireAnswer:
    """Returns the error of the gateway with this status; a 429 asks to wait for the window."""
    return write_gateway_error(status, window, speed)


def _log_in(question: Question) -> WireAnswer:
    """Answers the login by OAuth's password grant with a token that holds when it was given."""
    form = {name: values[0] for name, values in parse_qs(question.body.decode()).items()}
    if question.method != "POST" or form.get("grant_type") != "password" or "client_id" not in form:
        description = "AADB2C90086: The supplied grant_type is not supported."
        return write_json({"error": "unsupported_grant_type", "error_description": description}, 400)
    if (form.get("username"), form.get("password")) != (SECRETS["ERCOT_USERNAME"], SECRETS["ERCOT_PASSWORD"]):
        description = "AADB2C90225: The username or password provided in the request are invalid."
        return write_json({"error": "access_denied", "error_description": description}, 400)
    token = f"sandbox-token-{int(question.now.timestamp())}"
    answer = {"access_token": token, "token_type": "Bearer", "expires_in": "3600", "id_token": token}
    return write_json(answer)


def _refuse_caller(question: Question) -> WireAnswer | None:
    """Returns the refusal of a request without the key or without a token of the last hour."""
    refusal = refuse_key(question, SECRETS["ERCOT_API_KEY"])
    if refusal is not None:
        return refusal
    match = re.fullmatch(r"Bearer sandbox-token-(\d+)", question.headers.get("Authorization", ""))
    age = question.now - datetime.fromtimestamp(int(match[1]), UTC) if match else TOKEN_LIFE
    if not timedelta(minutes=-1) < age < TOKEN_LIFE:
        return write_json({"statusCode": 401, "message": "Unauthorized. Access token is missing or invalid."}, 401)
    return None


def _answer_report(question: Question) -> WireAnswer:
    path = question.path.removeprefix("/api/public-reports/").rstrip("/")
    if path.startswith("archive/"):
        return _answer_archive(question, path.removeprefix("archive/"))
    report = PUBLIC_REPORTS.get(path)
    if report is None:
        return write_refusal(404)
    filters = {name: text for name, text in question.query if name not in ("page", "size", "sort", "dir")}
    allowed_filters = {f"{field.name}{end}" for field in report.fields for end in ("", "From", "To")}
    if set(filters) - allowed_filters:
        message = "One or more of the query parameters specified are not available for this resource."
        return write_json({"message": message}, 400)
    try:
        page, size = int(question.get("page", "1")), int(question.get("size", str(USUAL_ROWS)))
        rows = _filter_rows(question, report, filters)
    except ValueError:
        return write_json({"message": "Invalid value of a query parameter"}, 400)
    if page < 1 or not 1 <= size <= MOST_ROWS:
        return write_json({"message": "Invalid page or size"}, 400)
    return write_json(_write_page(question, path, report, rows, filters, page, size))


def _find_days(question: Question, report: PublicReport, filters: Mapping[str, str]) -> tuple[date, date]:
    """Returns the first and the last day of the rows that `filters` may let through: those of the days, or those that
    reports of the postings hold, or else yesterday to a week ahead."""
    today = question.now.astimezone(TEXAS_CLOCK).date()
    first, last = today - timedelta(days=1), today + timedelta(days=8)
    posted = [filters.get(f"postedDatetime{end}") for end in ("From", "To")]
    if posted[0]:
        first = datetime.fromisoformat(posted[0]).date() - timedelta(days=DAYS_OF_OUTPUT)
    if posted[1]:
        last = datetime.fromisoformat(posted[1]).date() + timedelta(days=DAYS_FORESEEN)
    first = date.fromisoformat(filters.get(f"{report.day}From", str(first)))
    last = date.fromisoformat(filters.get(f"{report.day}To", str(last)))
    return max(first, today - DAYS_ANSWERED), min(last, today + DAYS_ANSWERED)


def _filter_rows(question: Question, report: PublicReport, filters: Mapping[str, str]) -> list[DataRow]:
    """Returns the rows that all filters let through, newest day first."""
    first, last = _find_days(question, report, filters)
    names = [field.name for field in report.fields]
    rows: list[DataRow] = []
    for number in range((last - first).days, -1, -1):
        rows += report.rows(question, first + timedelta(days=number))
    for name, text in filters.items():
        place = names.index(re.sub(r"(From|To)$", "", name))
        if name in names:
            rows = [row for row in rows if str(row[place]).lower() == text.lower()]
        elif name.endswith("From"):
            rows = [row for row in rows if str(row[place]) >= text]
        else:
            rows = [row for row in rows if str(row[place]) <= text]
    return rows


def _write_page(
    question: Question,
    path: str,
    report: PublicReport,
    rows: list[DataRow],
    filters: Mapping[str, str],
    page: int,
    size: int,
) -> dict[str, Any]:
    emil, _, name = path.partition("/")
    address = f"http://{question.headers.get('Host', 'api.ercot.com')}/api/public-reports"
    return {
        "_meta": {
            "totalRecords": len(rows),
            "pageSize": size,
            "totalPages": -(-len(rows) // size),
            "currentPage": page,
            "query": {"parameterCount": len(filters), "parameters": filters, "sortedBy": report.order},
        },
        "report": {
            "reportName": name,
            "reportDisplayName": report.title,
            "reportId": report.number,
            "reportEMIL": emil.upper(),
            "downloadLimit": 2_000_000,
        },
        "fields": [field.describe(number) for number, field in enumerate(report.fields, 1)],
        "data": rows[(page - 1) * size : page * size],
        "_links": {"self": {"href": f"{address}/{path}"}, "parent": {"href": f"{address}/{emil}"}},
    }


@dataclass(frozen=True, slots=True)
class HourLabels:
    """The intervals of a local day as ERCOT labels them, in the order of its rows: their starts, the day, the hour that
    they end in (1 to 24), and whether they are of the second pass of the autumn hour, which comes first."""

    starts: Times
    day: str
    hours: list[int]
    flags: list[bool]

    @classmethod
    def of(cls, day: date, step: timedelta) -> HourLabels:
        """Returns the intervals of length `step` of `day`."""
        starts = list_day(day, TEXAS.zone, step)
        hours = [int(text) + 1 for text in write_times(starts, TEXAS.zone, "%H")]
        flags = flag_second_pass(starts, TEXAS.zone)
        order = sorted(range(len(starts)), key=lambda number: (hours[number], not flags[number], number))
        return cls(
            starts[order], day.isoformat(), [hours[number] for number in order], [flags[number] for number in order]
        )


def _list_load(shares: Mapping[str, float]) -> Callable[[Question, date], list[DataRow]]:
    """Rows of the load by zone and its sum, of the hours that are over."""

    def rows(question: Question, day: date) -> list[DataRow]:
        labels = HourLabels.of(day, WHOLE_HOUR)
        demand = question.grid.state_at(TEXAS.code, find_middles(labels.starts, WHOLE_HOUR)).demand
        loads = [np.round(share * demand, 2) for share in shares.values()]
        loads.append(np.round(np.asarray(sum(loads)), 2))
        complete = _is_over(labels.starts, WHOLE_HOUR, question.now)
        return [
            (labels.day, f"{labels.hours[n]:02}:00", *(float(load[n]) for load in loads), labels.flags[n])
            for n in np.flatnonzero(complete).tolist()
        ]

    return rows


def _is_over(starts: Times, step: timedelta, now: datetime) -> Values:
    over: Values = starts + np.timedelta64(step) <= to_times([now])[0]
    return over


POSTED_BEFORE = timedelta(minutes=5)
"""How long before midnight and noon reports are posted: within the last hour of a day, as many are every hour."""


def find_postings(day: date, now: datetime, days_after: int = 0) -> list[datetime]:
    """Returns when values of `day` were posted: five minutes before midnight and noon of Chicago, from seven days
    before its midnight to so many days after it."""
    midnight = datetime(day.year, day.month, day.day)
    local_times = [midnight + timedelta(hours=12 * number) - POSTED_BEFORE for number in range(-14, 2 * days_after + 1)]
    postings = [local_time.replace(tzinfo=TEXAS_CLOCK).astimezone(UTC) for local_time in local_times]
    return [posting for posting in postings if posting <= now]


def forecast_demand(grid: Grid, starts: Times, posted: datetime, model: str) -> Values:
    """Returns the demand over the hours from `starts` as posted by a model; other models than the one in use are one
    percent higher."""
    middles = find_middles(starts, WHOLE_HOUR)
    leads = np.maximum((middles - to_times([posted])) / np.timedelta64(WHOLE_HOUR), 0)
    demand = grid.state_at(TEXAS.code, middles, leads).demand
    return demand * (1.0 if model == MODELS[0] else 1.01)


def _list_load_forecasts(
    shares: Mapping[str, float], models: Sequence[str]
) -> Callable[[Question, date], list[DataRow]]:
    """Rows of forecast load by zone and its sum, of each posting; with several models also which one, and whether it is
    in use."""

    def rows(question: Question, day: date) -> list[DataRow]:
        labels = HourLabels.of(day, WHOLE_HOUR)
        listed: list[DataRow] = []
        for posted in find_postings(day, question.now):
            text = posted.astimezone(TEXAS_CLOCK).strftime("%Y-%m-%dT%H:%M:%S")
            for model in models:
                demand = forecast_demand(question.grid, labels.starts, posted, model)
                loads = [np.round(share * demand, 4) for share in shares.values()]
                loads.append(np.round(np.asarray(sum(loads)), 4))
                marks = (model, model == MODELS[0]) if len(models) > 1 else ()
                for n, hour in enumerate(labels.hours):
                    numbers = [float(load[n]) for load in loads]
                    listed.append((text, labels.day, f"{hour:02}:00", *numbers, *marks, labels.flags[n]))
        return listed

    return rows


def _list_day_ahead_prices(question: Question, day: date) -> list[DataRow]:
    if local_midnight(day, TEXAS_CLOCK) - timedelta(hours=10) > question.now:  # out at about 14:00 the day before
        return []
    labels = HourLabels.of(day, WHOLE_HOUR)
    middles = find_middles(labels.starts, WHOLE_HOUR)
    prices = question.grid.price_nodes(TEXAS.code, list(SETTLEMENT_POINTS), middles, "day_ahead")
    return [
        (labels.day, f"{hour:02}:00", point, float(price.total[n]), labels.flags[n])
        for n, hour in enumerate(labels.hours)
        for point, price in prices.items()
    ]


def _list_real_time_prices(question: Question, day: date) -> list[DataRow]:
    labels = HourLabels.of(day, QUARTER_HOUR)
    quarters = [int(text) // 15 + 1 for text in write_times(labels.starts, TEXAS.zone, "%M")]
    middles = find_middles(labels.starts, QUARTER_HOUR)
    prices = question.grid.price_nodes(TEXAS.code, list(SETTLEMENT_POINTS), middles, "five_minute")
    over = _is_over(labels.starts, QUARTER_HOUR, question.now).tolist()
    return [
        (labels.day, hour, quarters[n], point, SETTLEMENT_POINTS[point], float(price.total[n]), labels.flags[n])
        for n, hour in enumerate(labels.hours)
        if over[n]
        for point, price in prices.items()
    ]


def _list_output(fuel: str, parts: Mapping[str, float]) -> Callable[[Question, date], list[DataRow]]:
    """Rows of actual and forecast output; past hours hold actual values, future ones none."""

    def rows(question: Question, day: date) -> list[DataRow]:
        postings = find_postings(day, question.now, DAYS_OF_OUTPUT)
        labels = HourLabels.of(day, WHOLE_HOUR)
        middles = find_middles(labels.starts, WHOLE_HOUR)
        actual = question.grid.state_at(TEXAS.code, middles).generation[fuel]
        listed: list[DataRow] = []
        for posted in postings:
            leads = np.maximum((middles - to_times([posted])) / np.timedelta64(WHOLE_HOUR), 0)
            foreseen = question.grid.state_at(TEXAS.code, middles, leads).generation[fuel]
            over = _is_over(labels.starts, WHOLE_HOUR, posted).tolist()
            text = posted.astimezone(TEXAS_CLOCK).strftime("%Y-%m-%dT%H:%M:%S")
            for n, hour in enumerate(labels.hours):
                measured = round(float(actual[n]), 2) if over[n] else None
                numbers = [
                    number
                    for share in parts.values()
                    for number in _forecast_parts(share, measured, float(foreseen[n]))
                ]
                capacity = None if measured is None else round(1.1 * measured, 2)
                listed.append((text, labels.day, hour, *numbers, capacity, labels.flags[n]))
        return listed

    return rows


def _forecast_parts(share: float, measured: float | None, foreseen: float) -> tuple[float | None, ...]:
    """Returns output, plan, forecast and its lower estimate."""
    part = None if measured is None else round(share * measured, 2)
    return part, round(share * foreseen * 0.98, 1), round(share * foreseen, 1), round(share * foreseen * 0.9, 1)


def _fields(**kinds: str) -> tuple[ReportField, ...]:
    return tuple(ReportField(name, kind) for name, kind in kinds.items())


FLAG = ReportField("DSTFlag", "BOOLEAN")
LOAD_DAY = _fields(operatingDay="DATE", hourEnding="VARCHAR")
DELIVERY = _fields(deliveryDate="DATE", hourEnding="VARCHAR")
POSTED = ReportField("postedDatetime", "TIMESTAMP")
WIND_PARTS = {"SystemWide": 1.0, "LoadZoneSouthHouston": 0.25, "LoadZoneWest": 0.6, "LoadZoneNorth": 0.15}


def _output_fields(parts: Mapping[str, float], forecast: str, estimate: str) -> tuple[ReportField, ...]:
    names = [f"{kind}{part}" for part in parts for kind in ("gen", "COPHSL", forecast, estimate)]
    return (
        *(POSTED, *_fields(deliveryDate="DATE", hourEnding="INTEGER")),
        *(ReportField(name, "DOUBLE") for name in (*names, "HSLSystemWide")),
        FLAG,
    )


def _doubles(names: Sequence[str]) -> tuple[ReportField, ...]:
    return tuple(ReportField(name, "DOUBLE") for name in names)


DAILY_ORDER = "operatingDay: DESC,hourEnding: ASC"

PUBLIC_REPORTS = {
    "np6-345-cd/act_sys_load_by_wzn": PublicReport(
        title="Actual System Load by Weather Zone",
        number="13101",
        fields=(*LOAD_DAY, *_doubles([*WEATHER_ZONES, "total"]), FLAG),
        rows=_list_load(WEATHER_ZONES),
        day="operatingDay",
        order=DAILY_ORDER,
        file="ACTUALSYSLOADWZNP6345",
    ),
    "np6-346-cd/act_sys_load_by_fzn": PublicReport(
        title="Actual System Load by Forecast Zone",
        number="14836",
        fields=(*LOAD_DAY, *_doubles([*ZONE_SHARES, "total"]), FLAG),
        rows=_list_load(ZONE_SHARES),
        day="operatingDay",
        order=DAILY_ORDER,
        file="ACTUALSYSLOADFZNP6346",
    ),
    "np3-565-cd/lf_by_model_weather_zone": PublicReport(
        title="Seven-Day Load Forecast by Model and Weather Zone",
        number="14837",
        fields=(
            *(POSTED, *DELIVERY, *_doubles([*FORECAST_ZONES, "systemTotal"])),
            *(*_fields(model="VARCHAR", inUseFlag="BOOLEAN"), FLAG),
        ),
        rows=_list_load_forecasts(FORECAST_ZONES, MODELS),
        day="deliveryDate",
        order="deliveryDate: DESC,postedDatetime: ASC",
        file="LFCMODWEATHERNP3565",
    ),
    "np3-560-cd/lf_by_fcst_zone": PublicReport(
        title="Seven-Day Load Forecast by Forecast Zone",
        number="12311",
        fields=(POSTED, *DELIVERY, *_doubles([*ZONE_SHARES, "systemTotal"]), FLAG),
        rows=_list_load_forecasts(ZONE_SHARES, MODELS[:1]),
        day="deliveryDate",
        order="deliveryDate: DESC,postedDatetime: ASC",
        file="LFCFCSTZONENP3560",
    ),
    "np4-190-cd/dam_stlmnt_pnt_prices": PublicReport(
        title="DAM Settlement Point Prices",
        number="12331",
        fields=(*DELIVERY, *_fields(settlementPoint="VARCHAR", settlementPointPrice="DOUBLE"), FLAG),
        rows=_list_day_ahead_prices,
        day="deliveryDate",
        order="deliveryDate: DESC,hourEnding: ASC,settlementPoint: ASC",
        file="DAMSPNP4190",
    ),
    "np6-905-cd/spp_node_zone_hub": PublicReport(
        title="Settlement Point Prices at Resource Nodes, Hubs and Load Zones",
        number="12301",
        fields=(
            *_fields(deliveryDate="DATE", deliveryHour="INTEGER", deliveryInterval="INTEGER"),
            *_fields(settlementPoint="VARCHAR", settlementPointType="VARCHAR", settlementPointPrice="DOUBLE"),
            FLAG,
        ),
        rows=_list_real_time_prices,
        day="deliveryDate",
        order="deliveryDate: DESC,deliveryHour: ASC,deliveryInterval: ASC",
        file="SPPHLZNP6905",
    ),
    "np4-732-cd/wpp_hrly_avrg_actl_fcast": PublicReport(
        title="Wind Power Production - Hourly Averaged Actual and Forecasted Values",
        number="13028",
        fields=_output_fields(WIND_PARTS, "STWPF", "WGRPP"),
        rows=_list_output("wind", WIND_PARTS),
        day="deliveryDate",
        order="deliveryDate: DESC,hourEnding: ASC",
        file="WPPHRLYAVRGACTLNP4732",
    ),
    "np4-737-cd/spp_hrly_avrg_actl_fcast": PublicReport(
        title="Solar Power Production - Hourly Averaged Actual and Forecasted Values",
        number="13483",
        fields=_output_fields({"SystemWide": 1.0}, "STPPF", "PVGRPP"),
        rows=_list_output("solar", {"SystemWide": 1.0}),
        day="deliveryDate",
        order="deliveryDate: DESC,hourEnding: ASC",
        file="PVGRHRLYAVGACTNP4737",
    ),
}
"""The reports by product and name."""

FIRST_ARCHIVED = date(2011, 1, 1)


def _answer_archive(question: Question, emil: str) -> WireAnswer:
    """Lists the files of a product, one for each day or posting, or sends one of them: a zip of a zip of a CSV."""
    report = next((report for path, report in PUBLIC_REPORTS.items() if path.startswith(emil)), None)
    if report is None:
        return write_refusal(404)
    if question.get("download"):
        return _send_archived(question, report, question.get("download"))
    try:
        first, last = (datetime.fromisoformat(question.get(f"postDatetime{end}")) for end in ("From", "To"))
        page, size = int(question.get("page", "1")), int(question.get("size", "1000"))
    except ValueError:
        return write_json({"message": "Invalid value of a query parameter"}, 400)
    days = range((first.date() - FIRST_ARCHIVED).days - 1, (last.date() - FIRST_ARCHIVED).days + 1)
    numbers = range(2 * days.start, 2 * days.stop) if report.is_posted else days
    posted = [
        (number, moment)
        for number in numbers
        for moment in (_find_posting(report, number),)
        if first <= moment <= last and moment.replace(tzinfo=TEXAS_CLOCK) <= question.now
    ]
    address = f"http://{question.headers.get('Host', 'api.ercot.com')}/api/public-reports"
    link = f"{address}/archive/{emil}"
    archives = [
        {
            "docId": int(report.number) * 100_000 + number,
            "friendlyName": report.file,
            "postDatetime": f"{moment:%Y-%m-%dT%H:%M:%S.000}",
            "_links": {"endpoint": {"href": f"{link}?download={int(report.number) * 100_000 + number}"}},
        }
        for number, moment in reversed(posted)
    ]
    filters = {name: text for name, text in question.query if name.startswith("postDatetime")}
    query = {"parameterCount": len(filters), "parameters": filters, "sortedBy": "postDatetime: DESC"}
    counts = {"totalRecords": len(archives), "pageSize": size, "totalPages": -(-len(archives) // size)}
    return write_json(
        {
            "_meta": {**counts, "currentPage": page, "query": query},
            "product": {"emilId": emil.upper(), "name": report.title, "reportTypeId": int(report.number)},
            "archives": archives[(page - 1) * size : page * size],
            "_links": {"self": {"href": link}, "parent": {"href": address}},
        }
    )


def _find_posting(report: PublicReport, number: int) -> datetime:
    """Returns when the file with this number is posted, local time: that of a day on the next morning, forecasts every
    twelve hours."""
    midnight = datetime(FIRST_ARCHIVED.year, FIRST_ARCHIVED.month, FIRST_ARCHIVED.day)
    if report.is_posted:
        return midnight + timedelta(hours=12 * number) - POSTED_BEFORE
    return midnight + timedelta(days=number + 1, hours=3, minutes=16, seconds=10)


def _send_archived(question: Question, report: PublicReport, number: str) -> WireAnswer:
    if not number.isdigit() or int(number) // 100_000 != int(report.number):
        return write_refusal(404)
    posted = _find_posting(report, int(number) % 100_000).replace(tzinfo=TEXAS_CLOCK)
    name = f"cdr.{report.number:0>8}.0000000000000000.{posted:%Y%m%d.%H%M%S}.{report.file}"
    text = _write_report_csv(question, report, posted)
    inner = pack_zip([(f"{name}.csv", posted, text.encode())], TEXAS.zone)
    body = pack_zip([(f"{name}_csv.zip", posted, inner)], TEXAS.zone)
    return WireAnswer(body, content_type="application/zip")


def _write_report_csv(question: Question, report: PublicReport, posted: datetime) -> str:
    """Returns the rows of the day before, or of one posting, as a file: names in capitals, days as in MM/DD/YYYY, flags
    as Y and N, and no time of posting."""
    header = [name[0].upper() + name[1:] for name in (field.name for field in report.fields)]
    if not report.is_posted:
        rows = report.rows(question, posted.date() - timedelta(days=1))
        return write_csv_lines(header, ([_write_cell(cell) for cell in row] for row in rows))
    days = [posted.date() + timedelta(days=number) for number in range(-DAYS_OF_OUTPUT, DAYS_FORESEEN + 1)]
    rows = [row for day in days for row in report.rows(question, day) if row[0] == f"{posted:%Y-%m-%dT%H:%M:%S}"]
    return write_csv_lines(header[1:], ([_write_cell(cell) for cell in row[1:]] for row in rows))


def _write_cell(cell: Any) -> str:
    if isinstance(cell, bool):
        return "Y" if cell else "N"
    text = "" if cell is None else str(cell)
    return re.sub(r"^(\d{4})-(\d\d)-(\d\d)$", r"\2/\3/\1", text)


def _answer_document(question: Question) -> WireAnswer:
    """Lists the newest document of a report type, or sends it: a zip of one CSV."""
    if question.path.startswith("/misapp"):
        kind = question.get("reportTypeId")
        documents = [_describe_document(question, kind)] if kind in MARKET_DOCUMENTS else []
        return write_json({"ListDocsByRptListRes": {"DocumentList": documents}})
    kind = question.get("doclookupId")[:5]
    if kind not in MARKET_DOCUMENTS:
        return write_refusal(404)
    name, write = MARKET_DOCUMENTS[kind]
    posted = _find_newest_posting(question.now)
    member = f"cdr.{kind:0>8}.0000000000000000.{posted:%Y%m%d.%H%M%S}.{name}.csv"
    body = pack_zip([(member, posted, write(question).encode())], TEXAS.zone)
    return WireAnswer(body, content_type="application/zip")


def _find_newest_posting(now: datetime) -> datetime:
    return now.astimezone(TEXAS_CLOCK).replace(minute=0, second=0, microsecond=0)


def _describe_document(question: Question, kind: str) -> dict[str, Any]:
    posted = _find_newest_posting(question.now)
    name = MARKET_DOCUMENTS[kind][0]
    return {
        "Document": {
            "ExpiredDate": f"{posted + timedelta(days=31):%Y-%m-%dT%H:%M:%S%z}",
            "ILMStatus": "EXT",
            "SecurityStatus": "P",
            "ContentSize": "0",
            "Extension": "zip",
            "FileName": "",
            "ReportTypeID": kind,
            "Prefix": "cdr",
            "FriendlyName": name,
            "DocID": f"{kind}{int(posted.timestamp()) % 100_000:05}",
            "ConstructedName": f"cdr.{kind:0>8}.0000000000000000.{posted:%Y%m%d.%H%M%S}.{name}_csv.zip",
            "PublishDate": posted.isoformat(),
            "ReportName": name,
            "DUNS": "0000000000000000",
            "DocCount": "0",
        }
    }


def _write_load_document(question: Question) -> str:
    """The forecast by forecast zone of this day and the seven after it; the name of the flag has trailing blanks."""
    posted = _find_newest_posting(question.now)
    rows: list[Sequence[str]] = []
    for number in range(8):
        day = posted.date() + timedelta(days=number)
        labels = HourLabels.of(day, WHOLE_HOUR)
        demand = forecast_demand(question.grid, labels.starts, posted, MODELS[0])
        loads = [share * demand for share in ZONE_SHARES.values()]
        for n, hour in enumerate(labels.hours):
            numbers = [repr(float(load[n])) for load in (*loads, demand)]
            rows.append((f"{day:%m/%d/%Y}", f"{hour}:00", *numbers, "Y" if labels.flags[n] else "N"))
    header = ("DeliveryDate", "HourEnding", "North", "South", "West", "Houston", "SystemTotal", "DSTFlag    ")
    return write_csv_lines(header, rows)


def _write_solar_document(question: Question) -> str:
    """Two days back and seven ahead; hours that are over hold what was generated, the others nothing."""
    posted = _find_newest_posting(question.now)
    starts = list_interval_starts(posted - timedelta(hours=48), posted + timedelta(hours=168), WHOLE_HOUR)
    middles = find_middles(starts, WHOLE_HOUR)
    leads = np.maximum((middles - to_times([posted])) / np.timedelta64(WHOLE_HOUR), 0)
    foreseen = question.grid.state_at(TEXAS.code, middles, leads).generation["solar"].tolist()
    actual = question.grid.state_at(TEXAS.code, middles).generation["solar"].tolist()
    over = _is_over(starts, WHOLE_HOUR, posted).tolist()
    flags = flag_second_pass(starts, TEXAS.zone)
    rows = []
    for n, start in enumerate(write_times(starts, TEXAS.zone, "%m/%d/%Y %H")):
        day, hour = start.split()
        measured = [_write_cell(round(factor * actual[n], 2)) if over[n] else "" for factor in (1.0, 1.1)]
        numbers = [f"{factor * foreseen[n]:.1f}".removesuffix(".0") for factor in (0.98, 1.0, 0.9)]
        rows.append((day, f"{int(hour) + 1:02}", measured[0], *numbers, measured[1], "Y" if flags[n] else "N"))
    header = ("DELIVERY_DATE", "HOUR_ENDING", "SYSTEM_WIDE_GEN", "COP_HSL_SYSTEM_WIDE", "STPPF_SYSTEM_WIDE")
    return write_csv_lines((*header, "PVGRPP_SYSTEM_WIDE", "SYSTEM_WIDE_HSL", "DSTFlag"), rows)


MARKET_DOCUMENTS: Mapping[str, tuple[str, Callable[[Question], str]]] = {
    "12311": ("LFCCONGESTNP3560", _write_load_document),
    "13483": ("PVGRHRLYAVGACTNP4737", _write_solar_document),
}
"""The documents by their report type: their name, and the function that writes the CSV."""


def _write_stamp(times: Times, n: int) -> str:
    """Writes a time with its offset: `2024-11-24 01:00:00-0600`."""
    local = write_times(times[n : n + 1], TEXAS.zone, "%Y-%m-%d %H:%M:%S")[0]
    hours = int(find_utc_offset(times[n : n + 1], TEXAS.zone)[0] / np.timedelta64(1, "h"))
    return f"{local}-{-hours:02}00"


def _show_supply_and_demand(question: Question) -> dict[str, Any]:
    """Loads and forecasts of yesterday, today and tomorrow by the hour; the future has no load."""
    now_stamp = _write_stamp(to_times([question.now]), 0)
    today = question.now.astimezone(TEXAS_CLOCK).date()
    dashboard = {"lastUpdated": now_stamp}
    days = {"previousDay": -1, "currentDay": 0, "nextDay": 1}
    return {**dashboard, **{name: _show_day(question, today + timedelta(days=offset)) for name, offset in days.items()}}


def _show_day(question: Question, day: date) -> dict[str, Any]:
    starts = list_day(day, TEXAS.zone, WHOLE_HOUR)
    ends = (starts + np.timedelta64(WHOLE_HOUR)).astype("datetime64[s]")
    midnight = local_midnight(day, TEXAS_CLOCK)
    actual = question.grid.state_at(TEXAS.code, find_middles(starts, WHOLE_HOUR))
    current = forecast_demand(question.grid, starts, min(question.now, midnight), MODELS[0])
    ahead = forecast_demand(question.grid, starts, midnight - timedelta(hours=14), MODELS[0])
    over = _is_over(starts, WHOLE_HOUR, question.now).tolist()
    flags = flag_second_pass(starts, TEXAS.zone)
    hours = [int(text) + 1 for text in write_times(starts, TEXAS.zone, "%H")]
    records = []
    for n, end in enumerate(ends):
        record: dict[str, Any] = {"hourEnding": hours[n], "dstFlag": "Y" if flags[n] else "N"}
        record["currentLoadForecast"] = round(float(current[n]), 4)
        if midnight <= question.now:
            record["dayAheadForecast"] = round(float(ahead[n]), 4)
            record |= {"currentDayHsl": round(1.4 * float(actual.demand[n]), 1)} if over[n] else {}
            record["dayAheadHsl"] = round(1.5 * float(ahead[n]), 1)
            record |= {"systemLoad": round(float(actual.demand[n]), 2)} if over[n] else {}
        epoch = int(end.astype("datetime64[ms]").astype(np.int64))
        records.append({**record, "timestamp": _write_stamp(ends, n), "epoch": epoch})
    return {"dayDate": _write_stamp(starts, 0), "data": records}


def _show_fuel_mix(question: Question) -> dict[str, Any]:
    """The mix of yesterday and today every five minutes, four seconds before the next one."""
    today = question.now.astimezone(TEXAS_CLOCK).date()
    dashboard: dict[str, Any] = {"lastUpdated": _write_stamp(to_times([question.now]), 0), "data": {}}
    for day in (today - timedelta(days=1), today):
        starts = list_day(day, TEXAS.zone, FIVE_MINUTES)
        stamps = cut_after((starts + np.timedelta64(296, "s")).astype("datetime64[s]"), question.now)
        outputs = mix_fuels(question.grid.state_at(TEXAS.code, stamps), ERCOT_FUELS)
        dashboard["data"][day.isoformat()] = {
            _write_stamp(stamps, n): {fuel: {"gen": round(float(output[n]), 3)} for fuel, output in outputs.items()}
            for n in range(len(stamps))
        }
    return {**dashboard, "types": list(ERCOT_FUELS)}


DASHBOARDS: Mapping[str, Callable[[Question], dict[str, Any]]] = {
    "fuel-mix.json": _show_fuel_mix,
    "supply-demand.json": _show_supply_and_demand,
}
