"""Strict models of `api_config.json`: what is collected, one entry per API.

`load(path)` either returns a `Config` in which every entry is complete (source inferred, defaults
of its source filled in), or raises one `ConfigurationError` that lists every problem at once, each
with the entry, the key and what would be right.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)

from gridtide import refusals
from gridtide.errors import ConfigurationError
from gridtide.periods import floor, local_midnight
from gridtide.sources import HOSTS, NAMES, source

Format = Literal["parquet", "csv", "json", "raw"]
TABULAR: tuple[Format, ...] = ("parquet", "csv")
"""The formats that hold observations; `json` and `raw` keep the body only."""


LONGEST = timedelta(days=36525)
"""A hundred years: a longer duration would lead out of the calendar."""


def _bounded(value: timedelta) -> timedelta:
    if abs(value) > LONGEST:
        raise ValueError('is longer than a hundred years; use such as "P30D"')
    return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError('must be longer than nothing, such as "PT1H"')
    return value


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except Exception as error:
        raise ValueError(f'"{name}" is no time zone; use an IANA name such as "America/New_York"') from error
    return name


def _source(name: str) -> str:
    if name not in NAMES:
        raise ValueError(f'"{name}" is unknown; use one of {", ".join(NAMES)}')
    return name


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError(f"{name!r} holds control characters; use letters, digits and _")
    return name


def _without_user(uri: str) -> str:
    if "@" in urlsplit(uri).netloc:
        raise ValueError("holds a user or password; credentials come from the environment, an AWS profile or a block")
    return uri


Span = Annotated[timedelta, AfterValidator(_bounded)]
Duration = Annotated[Span, AfterValidator(_positive)]
Zone = Annotated[str, AfterValidator(_zone)]
Param = StrictStr | StrictInt | StrictFloat


class Strict(BaseModel):
    """Refuses unknown keys; never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Schedule(Strict):
    """A five-field cron in a time zone."""

    cron: str
    timezone: Zone = "UTC"
    description: str = ""

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, cron: str) -> str:
        fields = cron.split()
        if len(fields) != 5 or not all(_is_cron_field(f, *r) for f, r in zip(fields, CRON_FIELDS, strict=True)):
            raise ValueError(f'"{cron}" is no cron; use five fields such as "12 * * * *"')
        return cron


class NoAuth(Strict):
    """The upstream asks for no credentials."""

    kind: Literal["none"] = "none"


class BasicAuth(Strict):
    """HTTP Basic: names of environment variables, or of a Secret block that holds `user:password`."""

    kind: Literal["basic"]
    username: str | None = None
    username_env: str = "ISO_NE_USERNAME"
    password_env: str = "ISO_NE_PASSWORD"  # noqa: S105  # the name of a variable
    secret: str | None = None


class KeyAuth(Strict):
    """An API key or bearer token: the name of an environment variable or of a Secret block."""

    kind: Literal["api_key", "bearer"]
    env: str | None = None
    secret: str | None = None

    @model_validator(mode="after")
    def _has_one_origin(self) -> KeyAuth:
        if (self.env is None) == (self.secret is None):
            raise ValueError('name either "env" (an environment variable) or "secret" (a Prefect Secret block)')
        return self


Auth = Annotated[NoAuth | BasicAuth | KeyAuth, Field(discriminator="kind")]


class Rate(Strict):
    """At most `count` requests in any `seconds`."""

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Rate:
        """`5/second`, `9000/hour`, `1/5second` → a rate; raises `ValueError` otherwise."""
        match = re.fullmatch(r"([1-9]\d*)/(\d+(?:\.\d+)?)?\s*(second|minute|hour|day)s?", text)
        if match is None or float(match[2] or 1) <= 0:
            raise ValueError(f'"{text}" is no rate; use N/second|minute|hour|day or such as "1/5second"')
        unit = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}[match[3]]
        return cls(count=int(match[1]), seconds=float(match[2] or 1) * unit)


class RateLimit(Strict):
    """Rates that all entries with the same `name` share."""

    name: str
    rates: tuple[str, ...] = Field(min_length=1)

    @field_validator("rates")
    @classmethod
    def _are_rates(cls, rates: tuple[str, ...]) -> tuple[str, ...]:
        for rate in rates:
            Rate.parse(rate)
        return rates


class Available(Strict):
    """When a value can be known: `lag` after its interval's end, or at `day_before` local time on
    the day before its operating day, for day-ahead products."""

    lag: Span | None = None
    day_before: str | None = None
    timezone: Zone = "UTC"

    @field_validator("day_before")
    @classmethod
    def _is_time_of_day(cls, text: str | None) -> str | None:
        if text is not None and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
            raise ValueError(f'"{text}" is no time of day; use such as "13:00"')
        return text

    @model_validator(mode="after")
    def _is_one_rule(self) -> Available:
        if (self.lag is None) == (self.day_before is None):
            raise ValueError('give either "lag" (such as "PT5H") or "day_before" (such as "13:00") with "timezone"')
        return self


class Expect(Strict):
    """What an answer must hold, or the entry fails."""

    minimum_rows: int = Field(0, ge=0)
    required: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _are_ranges(self) -> Expect:
        for variable, (low, high) in self.ranges.items():
            if not low <= high:
                raise ValueError(f"the range of {variable} ends before it begins; give [lowest, highest]")
        return self


class Entry(Strict):
    """One API: what to ask, how politely, and where its files go. Durations are ISO 8601."""

    name: Annotated[str, AfterValidator(_printable)] = Field(min_length=1)
    description: str = ""
    source: Annotated[str, AfterValidator(_source)]
    url: str = ""
    method: Literal["GET"] = "GET"
    params: Mapping[str, Param | tuple[Param, ...]] = Field(default_factory=dict)
    auth: Auth = NoAuth()
    output_folder: str = Field(min_length=1)
    file_prefix: str = Field(min_length=1)
    format: Format = "parquet"
    schedule: str | None = None
    location: str | tuple[str, ...] | None = None
    resolution: Duration = timedelta(hours=1)
    available: Available = Available(lag=timedelta(0))
    reread: Duration = timedelta(days=1)
    chunk: Duration = timedelta(days=30)
    rate_limit: RateLimit | None = None
    concurrency: int = Field(4, ge=1, le=64)
    timeout: float = Field(30, gt=0)
    retries: int = Field(5, ge=1, le=20, description="HTTP attempts")
    deadline: Duration = timedelta(minutes=30)
    fresh: Span = Field(timedelta(0), ge=timedelta(0))
    raw: bool = True
    expect: Expect = Expect()
    records: str | None = None
    time: str | None = None
    timezone: Zone = "UTC"
    value: tuple[str, ...] = ()
    unit: str = "1"
    interval: Duration | None = None

    @property
    def tabular(self) -> bool:
        """Whether its files hold observations, and so take part in backfill and training."""
        return self.format in TABULAR

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change when what is asked, or how it is read or written, changes."""
        asked = self.model_dump(
            mode="json",
            include={
                *("source", "url", "params", "output_folder", "file_prefix", "format", "location"),
                *("records", "time", "timezone", "value", "unit", "interval"),
            },
        )
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]

    def due(self, now: datetime) -> datetime:
        """The end of the latest interval that can be available at `now`, aligned to the resolution."""
        return _due(self.available, self.resolution, now)


class TaskRetries(Strict):
    """The one policy for long outages: how often a failed entry is tried again, and after what first delay."""

    count: int = Field(3, ge=0, le=10)
    delay: Duration = timedelta(minutes=1)


class Config(Strict):
    """All of `api_config.json`, every entry complete."""

    lake: Annotated[str, AfterValidator(_without_user)] = "lake"
    schedules: Mapping[str, Schedule] = Field(default_factory=dict)
    task_retries: TaskRetries = TaskRetries()
    apis: tuple[Entry, ...] = Field(min_length=1)

    def entry(self, name: str) -> Entry:
        """The entry called `name`; raises `ConfigurationError` that lists the names there are."""
        return self.select([name])[0]

    def select(self, names: Iterable[str] = ()) -> list[Entry]:
        """The entries called `names`, all if none are named, in the order of the file.

        Raises `ConfigurationError` for a name that no entry has.
        """
        wanted = set(names)
        unknown = wanted - {entry.name for entry in self.apis}
        if unknown:
            known = ", ".join(entry.name for entry in self.apis)
            raise ConfigurationError(", ".join(sorted(unknown)), "no such entry", f"The entries are: {known}")
        return [entry for entry in self.apis if not wanted or entry.name in wanted]


def load(path: str | Path) -> Config:
    """The configuration in the JSON file `path`; raises `ConfigurationError` with every problem."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(
            str(path), f"cannot be read: {error.strerror}", "Name the file with --config, or create it"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), f"is not UTF-8 text: {error}", "Save it as UTF-8") from error
    try:
        data = json.loads(text, object_pairs_hook=_without_repeated_keys)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(str(path), f"is not JSON: {error}", "Mend the JSON at that place") from error
    return parse(data, str(path))


def parse(data: Any, origin: str = "configuration") -> Config:
    """The configuration in `data`, as read from JSON; raises `ConfigurationError` with every problem."""
    if not isinstance(data, dict) or not isinstance(data.get("apis"), list) or not data["apis"]:
        raise ConfigurationError(
            origin, 'has no list "apis"', 'Give {"apis": [ {"name": …, "url": …, "output_folder": …} ]}'
        )
    problems: list[str] = []
    entries = []
    for number, raw in enumerate(data["apis"]):
        entry = _entry(raw, f"apis[{number}]", problems)
        if entry is not None:
            entries.append(entry)
    config = None
    try:
        config = Config.model_validate({**data, "apis": entries})
    except ValidationError as error:
        found = [_problem(e) for e in error.errors() if entries or e["loc"] != ("apis",)]
        problems += [f"{origin}: {text}" for text in found]
    problems += refusals.between(
        [raw for raw in data["apis"] if isinstance(raw, dict)], refusals.object_of(data, "schedules")
    )
    problems += _disagreeing_limits(entries)
    if problems or config is None:
        raise ConfigurationError(
            origin, f"{len(problems)} problem{'s'[: len(problems) > 1]}:\n" + "\n".join(f"  - {p}" for p in problems)
        )
    return config


def _entry(raw: Any, where: str, problems: list[str]) -> Entry | None:
    """`raw` as a complete entry, or None after saying in `problems` all that is wrong with it."""
    if not isinstance(raw, dict):
        problems.append(f"{where}: is {type(raw).__name__}, not an object")
        return None
    found = refusals.of_entry(raw, {*BasicAuth.model_fields, *KeyAuth.model_fields})
    entry = None
    try:
        entry = Entry.model_validate(_complete(raw))
    except ValidationError as error:
        found += [_problem(e) for e in error.errors()]
    first_of_key: dict[str, str] = {}
    for text in found:
        first_of_key.setdefault(text.partition(":")[0], text)
    problems += [f"{refusals.name_of(raw, where)}: {text}" for text in first_of_key.values()]
    return None if found else entry


def _complete(raw: Mapping[str, Any]) -> dict[str, Any]:
    """`raw` with its short forms spelled out and the defaults of its source beneath."""
    entry = dict(raw)
    host = refusals.host_of(raw)
    origin = entry.setdefault("source", HOSTS.get(host, "generic"))
    if raw.get("csv_prefix") and not raw.get("file_prefix"):
        entry.setdefault("format", "csv")
    entry["file_prefix"] = refusals.prefix_of(raw)
    entry.pop("csv_prefix", None)
    kind, username = entry.pop("auth_type", None), entry.pop("username", None)
    if kind == "none":
        entry["auth"] = {"kind": "none"}
    elif kind is not None or username is not None:
        entry["auth"] = {"kind": "basic", "username": username}
    if isinstance(entry.get("rate_limit"), str):
        entry["rate_limit"] = {"name": host or origin, "rates": [entry["rate_limit"]]}
    if isinstance(entry.get("value"), str):
        entry["value"] = [entry["value"]]
    if origin not in NAMES:
        return entry
    return {
        **source(origin).defaults(raw["url"] if refusals.url_parts(raw) else "", refusals.object_of(entry, "params")),
        **entry,
    }


def _disagreeing_limits(entries: Iterable[Entry]) -> list[str]:
    """The entries whose shared rate limit has other rates than in an entry before."""
    found = []
    limits: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        limit = entry.rate_limit
        if limit and limits.setdefault(limit.name, limit.rates) != limit.rates:
            found.append(f'{entry.name}: rate_limit: "{limit.name}" has other rates in another entry; use the same')
    return found


_ADVICE = {
    "extra_forbidden": "unknown key; remove it or correct its spelling",
    "missing": "is missing",
    "string_too_short": "is empty; give it a text",
    "time_delta_parsing": 'is no duration; use ISO 8601 such as "PT1H" or "P3D"',
    "time_delta_type": 'is no duration; use ISO 8601 such as "PT1H" or "P3D"',
    "union_tag_invalid": 'has an unknown "kind"; use "none", "basic", "api_key" or "bearer"',
    "union_tag_not_found": 'has no "kind"; use "none", "basic", "api_key" or "bearer"',
}


def _problem(error: Any) -> str:
    """One line for one of pydantic's errors: the key, what is wrong, what would be right."""
    first, *rest = error["loc"] or ("",)
    if first == "params" and rest:
        return f"params.{rest[0]}: must be a text, a number or a list of them"
    if first == "auth":
        rest = rest[1:]  # the first is the kind of the union
    where = ".".join(str(part) for part in (first, *rest))
    return f"{where}: {_ADVICE.get(error['type']) or error['msg'].removeprefix('Value error, ')}"


def _due(available: Available, resolution: timedelta, now: datetime) -> datetime:
    if available.lag is not None:
        return floor(now - available.lag, resolution)
    zone = ZoneInfo(available.timezone)
    local = now.astimezone(zone)
    days = 2 if f"{local:%H:%M}" >= (available.day_before or "") else 1
    return local_midnight(local.date() + timedelta(days=days), zone)


MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
CRON_FIELDS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, MONTHS),
    (0, 7, DAYS),
)
"""The least and the greatest number of each field of a cron, and the names of its numbers."""


def _is_cron_field(text: str, low: int, high: int, names: tuple[str, ...]) -> bool:
    for number, name in enumerate(names, low):
        text = re.sub(rf"\b{name}\b", str(number), text, flags=re.IGNORECASE)
    for part in text.split(","):
        match = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", part)
        if match is None:
            return False
        bounds = [int(n) for n in match.group(1, 2) if n is not None]
        if any(not low <= n <= high for n in bounds) or bounds != sorted(bounds):
            return False
    return True


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} stands twice in one object")
    return found
