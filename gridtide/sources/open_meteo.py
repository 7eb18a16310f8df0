"""Open-Meteo, archive (ERA5), forecast and previous runs: https://open-meteo.com/en/docs/historical-weather-api,
https://open-meteo.com/en/docs, https://open-meteo.com/en/docs/previous-runs-api

Times are requested in GMT, because in any other zone the whole answer has one fixed offset. Most variables are
instants. Those that the documentation calls a sum, mean or probability of the *preceding hour* (all kinds of
precipitation, radiation and irradiance, sunshine, evapotranspiration) cover `[t − 1 h, t)`, except for their `_instant`
variants. Gusts are a maximum of the preceding hour and are stored at their label.

`…_previous_day1` to `…_previous_day7` are what was forecast 24 to 168 hours before the label:

    label − N days      + available.lag                 label
    |---- model runs ----|x published_at                  |
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import msgspec

from gridtide.entries.scope import Scope, build_scope
from gridtide.errors import ConfigurationError, FormatError, QuotaError, UpstreamError
from gridtide.periods import DAY, HOUR, Period, count_microseconds, split
from gridtide.sources.contract import BOM, Licence, Page, Request, Response, Skipped
from gridtide.sources.parts.left_out import NO_NUMBER, LeftOut, to_numbers
from gridtide.variables import HourlyRule

if TYPE_CHECKING:
    import pyarrow as pa

    from gridtide.entries.entry import Entry

HOSTS = (
    "api.open-meteo.com",
    "archive-api.open-meteo.com",
    "historical-forecast-api.open-meteo.com",
    "previous-runs-api.open-meteo.com",
    "ensemble-api.open-meteo.com",
    "customer-api.open-meteo.com",
    "customer-archive-api.open-meteo.com",
    "customer-historical-forecast-api.open-meteo.com",
    "customer-previous-runs-api.open-meteo.com",
    "customer-ensemble-api.open-meteo.com",
)
HOURLY_RULE: HourlyRule = "start"
"""Units come with the answer, as they can be chosen by parameters; weather is that at the start of the hour."""

LICENCE = Licence(
    "CC-BY-4.0",
    "Creative Commons Attribution 4.0 International",
    "https://open-meteo.com/en/licence",
    "Name Open-Meteo with a link and say what was changed; the free API is for non-commercial use.",
    "Weather data by Open-Meteo.com",
)
GMT = ZoneInfo("GMT")
PLACE_KEYS = ("latitude", "longitude", "elevation")
"""Parameters with a value for each location."""

_SET_BY_REQUESTS = ("start_date", "end_date", "timezone", "timeformat", "apikey")
"""Parameters that every request sets anew, or that change nothing in what is answered."""

LONGEST_SPAN = timedelta(days=365)
"""The longest period of one request: a longer one counts as several requests and is truncated more often."""


RUN_DELAY = "PT9H"
"""The time that the slowest of the usual weather models takes from the start of a run until Open-Meteo has its result:
ECMWF's 6 to 7 hours, its release as open data, and the processing at Open-Meteo."""


def choose_defaults(url: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the customers' key from `OPEN_METEO_API_KEY`, and the documented limits.

    The archive lags five days and is revised for some more days. Previous runs are known after `RUN_DELAY`.
    """
    customer = (urlsplit(url).hostname or "").startswith("customer-")
    api_key = {"kind": "api_key", "env": "OPEN_METEO_API_KEY", "in": "query", "name": "apikey"}
    return {
        **({"auth": api_key} if customer else {}),
        "resolution": "PT1H",
        "available": {"lag": RUN_DELAY if _has_leads(url, params) else "P5D" if _is_archive(url) else "PT0S"},
        "reread": "P7D",
        "chunk": "P365D",
        "rate_limit": {"name": "open_meteo", "rates": ["600/minute", "5000/hour", "10000/day"]},
        "timeout": 60,
        "fresh": "PT30M",
    }


def takes_period(entry: Entry) -> bool:
    """Whether the upstream has past days at the URL, or of the variables, and the entry does not fix the days
    itself."""
    return (_is_archive(entry.url) or _has_leads(entry.url, entry.params)) and "start_date" not in _read_params(entry)


def find_problems(entry: Mapping[str, Any]) -> list[str]:
    """Returns the problem of an `available` by which a forecast would be known before it was made: Open-Meteo replaces
    its forecasts until their hour, and does not give the time of publication; of previous runs it gives the days."""
    availability = entry.get("available")
    if not isinstance(availability, dict) or (
        availability.get("day_before") is None and not str(availability.get("lag")).startswith("-")
    ):
        return []
    url, params = entry.get("url"), entry.get("params")
    if isinstance(url, str) and _has_leads(url, params if isinstance(params, dict) else {}):
        reason = "the days of a previous run are subtracted from its hours already, and the delay of the model is added"
    else:
        reason = "Open-Meteo replaces a forecast until its hour"
    return [f'available: {reason}; give "lag", of "PT0S" at least']


def read_wait(message: str, now: datetime) -> float | None:
    """Returns the seconds until the end of the minute, hour or day whose limit the message names, or None.

    >>> from datetime import UTC
    >>> read_wait("Please try again in the next hour.", datetime(2024, 1, 1, 5, 59, 30, tzinfo=UTC))
    30.0
    """
    rest_of_hour = 3600.0 - now.minute * 60 - now.second
    if re.search(r"(?i)one minute|minutely", message):
        return 60.0
    if re.search(r"(?i)next hour|hourly", message):
        return rest_of_hour
    if re.search(r"(?i)tomorrow|daily", message):
        return rest_of_hour + 3600.0 * (23 - now.hour)
    return None


def find_day_zone(entry: Entry) -> ZoneInfo:
    """Returns GMT: requests are per day of GMT."""
    return GMT


def find_scope(entry: Entry) -> Scope:
    """Returns the locations by name, the hourly variables, and the other parameters, each as one choice, because the
    names of variables depend on the list of models."""
    parameters = _read_params(entry)
    hourly = parameters.pop("hourly", "").split(",")
    places = _list_places(entry)
    settings = {key: [text] for key, text in parameters.items() if key not in (*PLACE_KEYS, *_SET_BY_REQUESTS)}
    path = urlsplit(entry.url).path
    kind = "archive" if takes_period(entry) else "forecast"
    return build_scope(entry, {"request path": [path], "kind": [kind], "place": places, "hourly": hourly, **settings})


def narrow(entry: Entry, part: Scope) -> Sequence[Entry]:
    """Returns the entry with fewer of the locations or variables in its `params`."""
    entry_scope, values = find_scope(entry).values(), part.values()
    shorter = {name for name in entry_scope if values[name] != entry_scope[name]}
    if not shorter <= {"place", "hourly"}:
        return ()
    keys = [*(PLACE_KEYS if "place" in shorter else ()), *(("hourly",) if "hourly" in shorter else ())]
    parameters = _read_params(entry)
    if any(key in parameters and key not in entry.params for key in keys):
        return ()
    positions = [number for number, place in enumerate(_list_places(entry)) if place in values["place"]]
    lists = {key: parameters[key].split(",") for key in keys if key in parameters}
    shorter_params = {
        key: tuple(items[number] for number in positions) if key in PLACE_KEYS else _choose(items, values["hourly"])
        for key, items in lists.items()
    }
    location = entry.location
    if isinstance(location, tuple) and "place" in shorter:
        location = tuple(location[number] for number in positions)
    return [msgspec.structs.replace(entry, params={**entry.params, **shorter_params}, location=location)]


def _list_places(entry: Entry) -> list[str]:
    """Returns each location by its name and its values of `PLACE_KEYS`."""
    parameters = _read_params(entry)
    columns = [parameters[key].split(",") for key in PLACE_KEYS if parameters.get(key)]
    try:
        columns.insert(0, list(_name_locations(entry)))
    except ConfigurationError:  # which is raised when it is asked
        return ["; ".join(map(",".join, columns))]
    return [", ".join(place) for place in zip(*columns, strict=False)]


def _choose(items: Sequence[str], values: Collection[str]) -> tuple[str, ...]:
    return tuple(item for item in items if item in values)


def build_requests(entry: Entry, period: Period | None) -> list[Request]:
    """Returns one request for each year or less of `period`, in whole days of GMT; one request for the forecast.

    Raises `ConfigurationError` if the locations have no names, or not one name for each coordinate.
    """
    _name_locations(entry)
    if period is None or not takes_period(entry):
        return [_build_request(entry, {}, "current", None)]
    return [
        _build_request(entry, _list_days(entry, subperiod), f"{subperiod.start:%Y-%m-%dT%H:%M}", subperiod)
        for subperiod in split(period, min(entry.chunk, LONGEST_SPAN))
    ]


def parse_response(entry: Entry, request: Request, response: Response) -> Page:
    """Parses the hourly block of each location, one series per variable; other blocks are ignored.

    Raises `UpstreamError` for a body that is not JSON, `QuotaError` for an exceeded limit, `ConfigurationError` for a
    refused request, `FormatError` for a body that is not in GMT or lacks documented fields.
    """
    from gridtide.observations.table import concat

    answers = sorted(
        _decode_answers(entry, response.body, response.retrieved_at), key=lambda answer: answer.location_id
    )
    locations = _name_locations(entry)
    if len(answers) != len(locations):
        raise FormatError(entry.name, f"{len(locations)} locations were requested, the answer has {len(answers)}")
    left_out = LeftOut()
    tables = []
    for location, answer in zip(locations, answers, strict=True):
        _count_unread_blocks(location, answer, left_out)
        tables += _build_tables(entry, location, answer, response.retrieved_at, left_out)
    if left_out.first_of(NO_NUMBER) and not any(table.num_rows for table in tables):
        happened = f"no value is a number, the first is {left_out.first_of(NO_NUMBER)}"
        raise FormatError(entry.name, happened)
    received = sum(len((answer.hourly or {})["time"]) for answer in answers)
    return Page(concat(tables), received, skipped=[*left_out.list_skipped(), *_count_nans(response.body)])


class LocationAnswer(msgspec.Struct):
    """The part of the answer for one location."""

    location_id: int = 0
    utc_offset_seconds: int = 0
    hourly_units: dict[str, str] = {}
    hourly: dict[str, list[str | float | None]] | None = None
    error: bool = False
    reason: str = ""
    current: dict[str, Any] = {}
    minutely_15: dict[str, Any] = {}
    six_hourly: dict[str, Any] = {}
    daily: dict[str, Any] = {}
    weekly: dict[str, Any] = {}
    monthly: dict[str, Any] = {}


UNREAD_BLOCKS = ("current", "minutely_15", "six_hourly", "daily", "weekly", "monthly")
"""The blocks beside `hourly`, of other intervals."""


def _count_unread_blocks(location: str, answer: LocationAnswer, left_out: LeftOut) -> None:
    """Counts the values of the blocks that are not read."""
    for block in UNREAD_BLOCKS:
        for name, values in getattr(answer, block).items():
            if name not in ("time", "interval"):
                count = len(values) if isinstance(values, list) else 1
                left_out.add('blocks other than "hourly" are not read', f"{block}.{name} of {location}", count)


_DECODER: msgspec.json.Decoder[list[LocationAnswer] | LocationAnswer] = msgspec.json.Decoder(
    list[LocationAnswer] | LocationAnswer
)


_NAN = re.compile(rb"(?i)(?<=[\[:,])\s*[-+]?(?:nan|inf(?:inity)?)\s*(?=[,\]}])")


def _without_nans(body: bytes) -> bytes:
    """Replaces `nan` and `inf` by nulls. A model that fails at one location writes them, and JSON does not allow
    them."""
    return _NAN.sub(b"null", body) if b"nan" in body or b"inf" in body else body


def _count_nans(body: bytes) -> list[Skipped]:
    """Counts the values in hourly blocks that are not numbers; they are stored as nulls."""
    spellings = [
        spelling for block in re.findall(rb'"hourly":\s*\{.*?\}', body, re.DOTALL) for spelling in _NAN.findall(block)
    ]
    return [Skipped("not a number", len(spellings), f"hourly: {spellings[0].decode().strip()}")] if spellings else []


def _decode_answers(entry: Entry, body: bytes, retrieved_at: datetime) -> list[LocationAnswer]:
    try:
        answer = _DECODER.decode(_without_nans(body.removeprefix(BOM)))
    except msgspec.ValidationError as error:
        raise FormatError(entry.name, f"the answer does not have the documented shape: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(entry.name, f"the answer is not JSON: {error}", "It is tried again") from error
    answers = answer if isinstance(answer, list) else [answer]
    for location_answer in answers:
        _check_answer(entry, location_answer, retrieved_at)
    return answers


_PASSING = re.compile(r"(?i)overloaded|unavailable|time.?out|timed out|try again|internal")
"""Reasons that are no fault of the request."""


def _check_answer(entry: Entry, answer: LocationAnswer, retrieved_at: datetime) -> None:
    """Raises if the answer is an error, not in GMT, or has no hourly block."""
    if answer.error:
        refusal = f"Open-Meteo refuses: {answer.reason}"
        if "limit exceeded" in answer.reason:
            fix = 'Ask less often: lower the rates in "rate_limit"'
            raise QuotaError(entry.name, refusal, fix, wait=read_wait(answer.reason, retrieved_at))
        if _PASSING.search(answer.reason):
            raise UpstreamError(entry.name, refusal, "It is tried again")
        raise ConfigurationError(entry.name, refusal, 'Correct "params"')
    if answer.utc_offset_seconds:
        raise FormatError(entry.name, f"times are {answer.utc_offset_seconds} s off GMT, which was requested")
    if answer.hourly is None or "time" not in answer.hourly:
        raise FormatError(
            entry.name,
            "the answer has no hourly block",
            'Name variables in params, such as "hourly": ["temperature_2m"]',
        )


def _build_tables(
    entry: Entry,
    location: str,
    answer: LocationAnswer,
    retrieved_at: datetime,
    left_out: LeftOut,
) -> list[pa.Table]:
    import numpy as np
    import pyarrow as pa

    from gridtide.observations import arrays
    from gridtide.observations.table import from_columns

    hourly = dict(answer.hourly or {})
    times = hourly.pop("time")
    try:
        labels = pa.array(times, pa.string()).cast(pa.timestamp("us"))
    except pa.ArrowException as error:
        raise FormatError(entry.name, f"{location}: hourly.time holds a value that is not a time: {error}") from error
    if labels.null_count:
        raise FormatError(entry.name, f"{location}: hourly.time has {labels.null_count} nulls")
    hours = arrays.to_numpy(labels, "i8")
    tables = []
    for name, values in hourly.items():
        if len(values) != len(labels) or name not in answer.hourly_units:
            happened = f"{location}: {name} has {len(values)} values for {len(labels)} hours, or no unit"
            raise FormatError(entry.name, happened)
        numbers = to_numbers(values)
        stored = ~np.isinf(numbers)
        for hour in np.flatnonzero(~stored):
            left_out.add(NO_NUMBER, f"{name} of {location} at {times[hour]}: {str(values[hour])[:60]!r}")
        starts = hours - count_microseconds(HOUR) if covers_preceding_hour(name) else hours
        lead_days = find_lead_days(name)
        issued = None if lead_days is None else hours - count_microseconds(lead_days * DAY - _run_delay(entry))
        tables.append(
            from_columns(
                "open_meteo",
                retrieved_at,
                interval_start=starts[stored],
                interval_end=hours[stored],
                location=location,
                variable=f"{name}_forecast" if _is_forecast(entry.url) else name,
                unit=answer.hourly_units[name],
                value=numbers[stored],
                published_at=None if issued is None else issued[stored],
            )
        )
    return tables


_LEAD = re.compile(r"_previous_day([1-9]\d*)(?=_|$)")


def find_lead_days(name: str) -> int | None:
    """Returns how many days before its label the value of the variable `name` was forecast; None if the name does not
    say.

    >>> find_lead_days("temperature_2m_previous_day2"), find_lead_days("temperature_2m")
    (2, None)
    """
    match = _LEAD.search(name)
    return int(match[1]) if match else None


def _run_delay(entry: Entry) -> timedelta:
    """Returns how long after its start the result of a model run is available."""
    return entry.available.lag or timedelta(0)


def _has_leads(url: str, params: Mapping[str, Any]) -> bool:
    """Whether `url` is that of previous runs, or a variable names a number of days."""
    hourly = params.get("hourly", ())
    in_url = [text for key, text in parse_qsl(urlsplit(url).query) if key == "hourly"]
    names = ",".join([*in_url, *([hourly] if isinstance(hourly, str) else map(str, hourly))]).split(",")
    return "previous-runs-api." in (urlsplit(url).hostname or "") or any(find_lead_days(name) for name in names)


_PRECEDING = re.compile(
    r"(^|_)(precipitation|rain|showers|snowfall(?!_height)|radiation|irradiance|sunshine_duration|evapotranspiration)(_|$)"
)


def covers_preceding_hour(name: str) -> bool:
    """Whether the value at `t` covers `[t − 1 h, t)`; `name` may end with the name of a model.

    >>> covers_preceding_hour("shortwave_radiation"), covers_preceding_hour("shortwave_radiation_instant")
    (True, False)
    """
    return _PRECEDING.search(name) is not None and "_instant" not in name


def _is_forecast(url: str) -> bool:
    """Whether the URL is a forecast: any host and path that is not the archive."""
    return "archive" not in urlsplit(url).path


_PAST = re.compile(r"(^|-)(historical-forecast|previous-runs)-api\.")


def _is_archive(url: str) -> bool:
    """Whether the URL has past days: the archive, or the archived forecasts."""
    url_parts = urlsplit(url)
    return "archive" in url_parts.path or _PAST.search(url_parts.hostname or "") is not None


def _read_params(entry: Entry) -> dict[str, str]:
    """Merges the parameters of the URL and of the entry; several values are joined by commas."""
    parameters: dict[str, Any] = {}
    for parameter, setting in parse_qsl(urlsplit(entry.url).query):
        parameters[parameter] = (*parameters.get(parameter, ()), setting)
    parameters |= entry.params
    settings = {parameter: value if isinstance(value, tuple) else (value,) for parameter, value in parameters.items()}
    return {parameter: re.sub(r"\s*,\s*", ",", ",".join(map(str, values))) for parameter, values in settings.items()}


def _build_request(entry: Entry, days: Mapping[str, str], label: str, period: Period | None) -> Request:
    params = {**_read_params(entry), **days, "timezone": "GMT", "timeformat": "iso8601"}
    url = urlunsplit(urlsplit(entry.url)._replace(query=""))
    return Request(url, tuple(params.items()), label=label, period=period)


def _list_days(entry: Entry, period: Period) -> dict[str, str]:
    """Returns the first and last day, both inclusive, that contain the labels of all interval starts in `period`. The
    last hour of a sum is labelled by its end, which at midnight is the next day."""
    has_sums = any(map(covers_preceding_hour, _read_params(entry).get("hourly", "").split(",")))
    last_label = period.end if has_sums else period.end - timedelta(microseconds=1)
    return {"start_date": f"{period.start:%Y-%m-%d}", "end_date": f"{last_label:%Y-%m-%d}"}


def _name_locations(entry: Entry) -> Sequence[str]:
    """Returns the name of each location: the entry's names, or else `lat,lon` as in the request."""
    parameters = _read_params(entry)
    axis_values = [parameters[key].split(",") if parameters.get(key) else [] for key in ("latitude", "longitude")]
    coordinates = list(map(",".join, zip(*axis_values, strict=False)))
    location_names = (entry.location,) if isinstance(entry.location, str) else entry.location or coordinates
    if (
        len(axis_values[0]) != len(axis_values[1])
        or (coordinates and len(location_names) != len(coordinates))
        or not location_names
    ):
        latitudes, longitudes = map(len, axis_values)
        raise ConfigurationError(
            entry.name,
            f"has {latitudes} latitudes, {longitudes} longitudes and {len(location_names)} locations",
            'Give one each, such as "latitude": [42.36], "longitude": [-71.06] in params and "location": ["Boston"]',
        )
    return location_names
