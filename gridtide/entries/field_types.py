"""The types of the fields of `api_config.json`, with the checks of their values."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from msgspec import Meta

from gridtide.entries.structs import StrictStruct

LONGEST_NAME = 200
"""The most characters in the name of an entry, a schedule or a rate limit."""


LONGEST_DURATION = timedelta(days=36525)
"""A hundred years: adding a longer duration could leave the range of dates."""


def check_length(duration: timedelta) -> None:
    """Raises `ValueError` if `duration` is too long for the range of dates."""
    if abs(duration) > LONGEST_DURATION:
        raise ValueError('is longer than a hundred years; use such as "P30D"')


def _check_positive(duration: timedelta) -> None:
    if duration <= timedelta(0):
        raise ValueError('must be longer than nothing, such as "PT1H"')


def _check_whole_minutes(duration: timedelta) -> None:
    if duration % timedelta(minutes=1):
        raise ValueError('must be whole minutes, as file names say periods; use such as "PT5M"')


def check_not_negative(duration: timedelta) -> None:
    """Raises `ValueError` if `duration` is negative."""
    if duration < timedelta(0):
        raise ValueError('must not be negative; use such as "PT1H"')


def check_zone(name: str) -> None:
    """Raises `ValueError` if `name` is not a time zone."""
    try:
        ZoneInfo(name)
    except Exception as error:
        raise ValueError(f'"{name}" is not a time zone; use an IANA name such as "America/New_York"') from error


def check_printable(name: str) -> None:
    """Raises `ValueError` if `name` cannot be printed unchanged on one line."""
    if not name.isprintable():
        raise ValueError(f"{name!r} holds control characters; use letters, digits and _")
    if name != name.strip():
        raise ValueError(f"{name!r} begins or ends with a space; leave it out")


def check_server_name(name: str) -> None:
    """Raises `ValueError` if the Prefect server would refuse `name`."""
    if not name:
        raise ValueError("is empty; give it a text")
    check_printable(name)
    if set(name) & set("/%&<>"):
        raise ValueError(f"{name!r} is not a name for the Prefect server; use letters, digits, _ . and -")


def _check_block_name(name: str) -> None:
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise ValueError('is not the name of a Prefect Secret block; use such as "eia-key", never the secret itself')


def _check_variable_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(
            'is not the name of an environment variable; use such as "EIA_API_KEY", never the secret itself'
        )


def check_rate(text: str) -> None:
    """Raises `ValueError` if `text` is not a rate such as `5/second`."""
    Rate.parse(text)


def check_time_of_day(text: str) -> None:
    """Raises `ValueError` if `text` is not a time such as `13:00`."""
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError(f'"{text}" is not a time of day; use such as "13:00"')


def check_moment(text: str) -> None:
    """Raises `ValueError` if `text` is not a valid time with a zone."""
    try:
        zone = datetime.fromisoformat(text).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise ValueError(f'"{text}" is not a valid time with a zone; use such as "2024-04-01T00:00Z"')


Text = Annotated[str, Meta(min_length=1)]


Label = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME), check_server_name]


VariableName = Annotated[str, _check_variable_name]


BlockName = Annotated[str, _check_block_name]


PrintableText = Annotated[str, Meta(min_length=1), check_printable]


BoundedDuration = Annotated[timedelta, check_length]


Duration = Annotated[timedelta, check_length, _check_positive]


WholeMinutes = Annotated[timedelta, check_length, _check_positive, _check_whole_minutes]


ZoneName = Annotated[str, check_zone]


Moment = Annotated[str, check_moment]


Param = str | int | float


class Rate(StrictStruct, frozen=True):
    """At most `count` requests in any `seconds`."""

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Parses `5/second`, `9000/hour` or `1/5second`; raises `ValueError` for anything else."""
        match = re.fullmatch(r"([1-9]\d{0,8})/(\d{1,9}(?:\.\d{1,9})?)?\s*(second|minute|hour|day)s?", text)
        if match is None or float(match[2] or 1) <= 0:
            raise ValueError(f'"{text}" is not a rate; use N/second|minute|hour|day or such as "1/5second"')
        unit_seconds = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}[match[3]]
        return cls(count=int(match[1]), seconds=float(match[2] or 1) * unit_seconds)
