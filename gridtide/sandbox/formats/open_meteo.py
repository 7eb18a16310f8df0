"""Open-Meteo, imitated: /v1/archive (ERA5, five days late) and /v1/forecast.

`…_previous_day1` and on have the lead time of so many days. Several coordinates give a list, several models give
columns with suffixes. In any time zone but GMT the whole response has one fixed offset. Errors are HTTP 400 with a
reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from gridtide.sandbox.formats.exchange import Question, WireAnswer, write_json
from gridtide.simulation import HOUR_STEP, WEATHER, Times, Values, Weather, list_interval_starts, to_times

PATH_PREFIXES = ("/v1/",)
RATE_LIMITS = ((600, 60.0), (5000, 3600.0), (10_000, 86_400.0))
"""Calls per number of seconds."""


ARCHIVE, FORECAST = "/v1/archive", "/v1/forecast"


ARCHIVE_LAG = timedelta(days=5)
"""The archive is that of ERA5, which appears five days later."""


FIRST_DAY = {ARCHIVE: date(1940, 1, 1), FORECAST: date(2016, 1, 1)}


DAYS_AHEAD = {ARCHIVE: 0, FORECAST: 16}
"""How many days after today may be requested."""


class _BadRequestError(Exception):
    """The reason in the upstream's error."""


@dataclass(frozen=True, slots=True)
class _ForecastRequest:
    """A parsed request: P points, the days, the variables and the models."""

    latitudes: Sequence[float]
    longitudes: Sequence[float]
    first: date
    last: date
    variables: Sequence[str]
    models: Sequence[str]
    zone: str

    @classmethod
    def read(cls, question: Question) -> _ForecastRequest:
        """Parses a request; raises `_BadRequestError` for one that the upstream refuses."""
        latitudes, longitudes = (_read_coordinates(question, name) for name in ("latitude", "longitude"))
        if len(latitudes) != len(longitudes) or not latitudes:
            raise _BadRequestError("Parameter 'latitude' and 'longitude' must have the same number of elements")
        variables = _split_list(question, "hourly")
        unknown = [name for name in variables if _split_lead(name)[0] not in WEATHER]
        if unknown:
            raise _BadRequestError(
                f"Data corrupted at path ''. Cannot initialize ForecastVariable from invalid String value {unknown[0]}."
            )
        first_day, last_day = _read_days(question)
        zone = question.get("timezone", "GMT")
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, KeyError) as error:
            raise _BadRequestError("Invalid timezone") from error
        return cls(latitudes, longitudes, first_day, last_day, variables, _split_list(question, "models"), zone)


def answer_request(question: Question) -> WireAnswer:
    """Returns the response of Open-Meteo."""
    if question.path not in FIRST_DAY:
        return write_refusal(404)
    try:
        forecast_request = _ForecastRequest.read(question)
    except _BadRequestError as error:
        return write_json({"error": True, "reason": str(error)}, 400)
    time_zone = ZoneInfo(forecast_request.zone)
    offset = question.now.astimezone(time_zone).utcoffset() or timedelta(0)
    begin = (
        datetime(forecast_request.first.year, forecast_request.first.month, forecast_request.first.day, tzinfo=UTC)
        - offset
    )
    times = list_interval_starts(
        begin, begin + (forecast_request.last - forecast_request.first + timedelta(days=1)), timedelta(hours=1)
    )
    columns = _write_columns(question, forecast_request, times)
    labels = np.datetime_as_string(times + np.timedelta64(int(offset.total_seconds()), "s"), unit="m").tolist()
    points = []
    for number in range(len(forecast_request.latitudes)):
        units = {"time": "iso8601", **{name: unit for name, (unit, _) in columns.items()}}
        hourly = {"time": labels, **{name: values[number] for name, (_, values) in columns.items()}}
        points.append({**_write_head(forecast_request, number, offset), "hourly_units": units, "hourly": hourly})
    return write_json(points if len(points) > 1 else points[0])


def write_refusal(status: int, window: float = 60, speed: float = 1) -> WireAnswer:
    """Returns an error in Open-Meteo's format; a 429 names the limit of `window` seconds.

    The message always names the real limit; if limits run faster, a `Retry-After` gives the wait.
    """
    limit_name, retry_time = {60: ("Minutely", "in one minute"), 3600: ("Hourly", "in the next hour")}.get(
        int(window), ("Daily", "tomorrow")
    )
    reasons = {429: f"{limit_name} API request limit exceeded. Please try again {retry_time}.", 404: "Not Found"}
    reason = reasons.get(status, "The service is overloaded. Please try again later.")
    headers = {"Retry-After": str(math.ceil(window / speed))} if status == 429 and speed != 1 else {}
    return replace(write_json({"reason": reason, "error": True}, status), headers=headers)


def count_calls(question: Question) -> float:
    """Returns the number of calls that a request counts as: more than one for many points, days or variables."""
    try:
        forecast_request = _ForecastRequest.read(question)
    except _BadRequestError:
        return 1.0
    days = (forecast_request.last - forecast_request.first).days + 1
    return len(forecast_request.latitudes) * max(1.0, days / 14) * max(1.0, len(forecast_request.variables) / 10)


def _split_list(question: Question, name: str) -> list[str]:
    """Returns the values of a parameter that is repeated or contains commas."""
    return [part for key, value in question.query if key == name for part in value.split(",") if part]


def _read_coordinates(question: Question, name: str) -> list[float]:
    largest = 90 if name == "latitude" else 180
    try:
        coordinates = [float(text) for text in _split_list(question, name)]
    except ValueError as error:
        raise _BadRequestError(f"Parameter '{name}' has an invalid value") from error
    for value in coordinates:
        if not abs(value) <= largest or math.isnan(value):
            raise _BadRequestError(f"{name.capitalize()} must be in range of -{largest} to {largest}°. Given: {value}.")
    return coordinates


def _read_days(question: Question) -> tuple[date, date]:
    """Returns the first and the last requested day."""
    today, earliest = question.now.astimezone(UTC).date(), FIRST_DAY[question.path]
    latest = today + timedelta(days=DAYS_AHEAD[question.path])
    if question.path == FORECAST and not question.get("start_date"):
        past, ahead = (
            _read_whole_number(question, name, otherwise)
            for name, otherwise in (("past_days", 0), ("forecast_days", 7))
        )
        return today - timedelta(days=past), today + timedelta(days=ahead - 1)
    bounds = []
    for name in ("start_date", "end_date"):
        try:
            day = date.fromisoformat(question.get(name))
        except ValueError as error:
            raise _BadRequestError(f"Parameter '{name}' must be set and have the format 'YYYY-MM-DD'") from error
        if not earliest <= day <= latest:
            raise _BadRequestError(f"Parameter '{name}' is out of allowed range from {earliest} to {latest}")
        bounds.append(day)
    if bounds[1] < bounds[0]:
        raise _BadRequestError("End-date must be larger or equals than start-date")
    return bounds[0], bounds[1]


def _read_whole_number(question: Question, name: str, otherwise: int) -> int:
    text, largest = question.get(name, str(otherwise)), {"past_days": 92, "forecast_days": 16}[name]
    if not text.isdigit() or int(text) > largest:
        raise _BadRequestError(f"{name} is invalid. Allowed range 0 to {largest}. Given {text}.")
    return int(text)


def _write_columns(
    question: Question, forecast_request: _ForecastRequest, times: Times
) -> dict[str, tuple[str, list[list[float | None]]]]:
    """Returns, by column, its unit and the values of each point; hours that the archive does not have yet are null."""
    hours = (times - to_times([_find_model_run(question.now)])) / HOUR_STEP
    lead: Values | float = np.maximum(hours, 0.0) if question.path == FORECAST else 0.0
    known_hours = (
        int(np.sum(times <= to_times([question.now - ARCHIVE_LAG])[0])) if question.path == ARCHIVE else len(times)
    )
    skies: dict[tuple[bool, int], Weather] = {}
    columns = {}
    for name in forecast_request.variables:
        base_name, lead_days = _split_lead(name)
        measure = WEATHER[base_name]
        sky = measure.preceding, lead_days
        if sky not in skies:
            moment = times - HOUR_STEP // 2 if measure.preceding else times
            skies[sky] = question.grid.weather_at(
                forecast_request.latitudes, forecast_request.longitudes, moment, np.maximum(lead, 24.0 * lead_days)
            )
        values = np.round(measure.of(skies[sky]), measure.decimals) + 0.0  # no -0
        rounded_values = [[*point[:known_hours], *[None] * (len(times) - known_hours)] for point in values.tolist()]
        for model in forecast_request.models if len(forecast_request.models) > 1 else [""]:
            columns[f"{name}_{model}" if model else name] = measure.unit, rounded_values
    return columns


def _split_lead(name: str) -> tuple[str, int]:
    """Returns a variable without `_previous_dayN`, and N; 0 without it.

    >>> _split_lead("temperature_2m_previous_day3")
    ('temperature_2m', 3)
    """
    base_name, _, days = name.partition("_previous_day")
    return base_name, int(days) if days.isdigit() else 0


def _find_model_run(now: datetime) -> datetime:
    """Returns the time of the model run of a forecast: one every six hours."""
    return now.astimezone(UTC).replace(hour=now.astimezone(UTC).hour // 6 * 6, minute=0, second=0, microsecond=0)


def _write_head(forecast_request: _ForecastRequest, point_number: int, offset: timedelta) -> dict[str, Any]:
    """Returns the fields before the hours of one location; the first of several has no `location_id`."""
    seconds = int(offset.total_seconds())
    return {
        "latitude": round(forecast_request.latitudes[point_number], 1),
        "longitude": round(forecast_request.longitudes[point_number], 1),
        "generationtime_ms": 0.25,
        "utc_offset_seconds": seconds,
        "timezone": "GMT" if forecast_request.zone == "UTC" else forecast_request.zone,
        "timezone_abbreviation": f"GMT{seconds // 3600:+d}" if seconds else "GMT",
        "elevation": 20.0,
        **({"location_id": point_number} if point_number else {}),
    }
