"""The types of the fields of `api_config.json`, each with the check that its values must pass."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from msgspec import Meta

from gridtide.entries.structs import Strict
from gridtide.sources.registry import NAMES

LONGEST_NAME = 200
"""Characters of the name of an entry, a schedule or a rate limit."""


LONGEST = timedelta(days=36525)
"""A hundred years: a longer duration would lead out of the calendar."""


def _bounded(value: timedelta) -> None:
    if abs(value) > LONGEST:
        raise ValueError('is longer than a hundred years; use such as "P30D"')


def _positive(value: timedelta) -> None:
    if value <= timedelta(0):
        raise ValueError('must be longer than nothing, such as "PT1H"')


def _whole_minutes(value: timedelta) -> None:
    if value % timedelta(minutes=1):
        raise ValueError('must be whole minutes, as file names say periods; use such as "PT5M"')


def _not_negative(value: timedelta) -> None:
    if value < timedelta(0):
        raise ValueError('must not be negative; use such as "PT1H"')


def known_zone(name: str) -> None:
    """Raises `ValueError` where `name` is no time zone."""
    try:
        ZoneInfo(name)
    except Exception as error:
        raise ValueError(f'"{name}" is no time zone; use an IANA name such as "America/New_York"') from error


def _known_source(name: str) -> None:
    if name not in NAMES:
        raise ValueError(f'"{name}" is unknown; use one of {", ".join(NAMES)}')


def _printable(name: str) -> None:
    if not name.isprintable():
        raise ValueError(f"{name!r} holds control characters; use letters, digits and _")
    if name != name.strip():
        raise ValueError(f"{name!r} begins or ends with a space; leave it out")


def server_name(name: str) -> None:
    """Raises `ValueError` where `name` is none that a Prefect server takes."""
    if not name:
        raise ValueError("is empty; give it a text")
    _printable(name)
    if set(name) & set("/%&<>"):
        raise ValueError(f"{name!r} is no name for the Prefect server; use letters, digits, _ . and -")


def _block(name: str) -> None:
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise ValueError('is no name of a Prefect Secret block; use such as "eia-key", never the secret itself')


def _variable_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError('is no name of an environment variable; use such as "EIA_API_KEY", never the secret itself')


def _rate(text: str) -> None:
    Rate.parse(text)


def _time_of_day(text: str) -> None:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError(f'"{text}" is no time of day; use such as "13:00"')


Text = Annotated[str, Meta(min_length=1)]


Label = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME), server_name]


Variable = Annotated[str, _variable_name]


Block = Annotated[str, _block]


Shown = Annotated[str, Meta(min_length=1), _printable]


Span = Annotated[timedelta, _bounded]


Duration = Annotated[timedelta, _bounded, _positive]


Minutes = Annotated[timedelta, _bounded, _positive, _whole_minutes]


Zone = Annotated[str, known_zone]


Param = str | int | float


class Rate(Strict, frozen=True):
    """At most `count` requests in any `seconds`."""

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Rate:
        """`5/second`, `9000/hour`, `1/5second` → a rate; raises `ValueError` otherwise."""
        match = re.fullmatch(r"([1-9]\d{0,8})/(\d{1,9}(?:\.\d{1,9})?)?\s*(second|minute|hour|day)s?", text)
        if match is None or float(match[2] or 1) <= 0:
            raise ValueError(f'"{text}" is no rate; use N/second|minute|hour|day or such as "1/5second"')
        unit = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}[match[3]]
        return cls(count=int(match[1]), seconds=float(match[2] or 1) * unit)
