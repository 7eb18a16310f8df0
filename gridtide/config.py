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
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from gridtide import address, refusals
from gridtide.errors import ConfigurationError
from gridtide.periods import EPOCH, floor, local_midnight
from gridtide.sources import HOSTS, NAMES, source
from gridtide.strict import Strict, called, read

Format = Literal["parquet", "csv", "json", "raw"]
TABULAR: tuple[Format, ...] = ("parquet", "csv")
"""The formats that hold observations; `json` and `raw` keep the body only."""


LEAST = '[{"name": …, "url": …, "output_folder": …}]'
"""The least that "apis" may be."""

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


def _cron(text: str) -> None:
    fields = text.split()
    if len(fields) != 5 or not all(_is_cron_field(f, *r) for f, r in zip(fields, CRON_FIELDS, strict=True)):
        raise ValueError(f'"{text}" is no cron; use five fields such as "12 * * * *"')
    if fields[2] != "*":
        from cronsim import CronSim, CronSimError

        try:
            CronSim(text, EPOCH)
        except CronSimError as error:
            raise ValueError(f'"{text}" never comes; name a day that one of its months has') from error


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


class Schedule(Strict, frozen=True):
    """A five-field cron in a time zone."""

    cron: Annotated[str, _cron]
    timezone: Zone = "UTC"
    description: str = ""


class NoAuth(Strict, frozen=True):
    """The upstream asks for no credentials."""

    kind: Literal["none"] = "none"


class BasicAuth(Strict, frozen=True):
    """HTTP Basic: names of environment variables, or of a Secret block that holds `user:password`."""

    kind: Literal["basic"]
    username: str | None = None
    username_env: Variable = "ISO_NE_USERNAME"
    password_env: Variable = "ISO_NE_PASSWORD"  # noqa: S105  # the name of a variable
    secret: Block | None = None


class KeyAuth(Strict, frozen=True):
    """An API key or bearer token: the name of an environment variable or of a Secret block."""

    kind: Literal["api_key", "bearer"]
    env: Variable | None = None
    secret: Block | None = None

    def __post_init__(self) -> None:
        """Raises `ValueError` unless it has one origin."""
        if (self.env is None) == (self.secret is None):
            raise ValueError('name either "env" (an environment variable) or "secret" (a Prefect Secret block)')


Auth = NoAuth | BasicAuth | KeyAuth


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


class RateLimit(Strict, frozen=True):
    """Rates that all entries with the same `name` share."""

    name: Label
    rates: Annotated[tuple[Annotated[str, _rate], ...], Meta(min_length=1)]


class Available(Strict, frozen=True):
    """When a value can be known: `lag` after its interval's end, or at `day_before` local time on
    the day before its operating day, for day-ahead products."""

    lag: Span | None = None
    day_before: Annotated[str, _time_of_day] | None = None
    timezone: Zone = "UTC"

    def __post_init__(self) -> None:
        """Raises `ValueError` unless it is one rule."""
        if (self.lag is None) == (self.day_before is None):
            raise ValueError('give either "lag" (such as "PT5H") or "day_before" (such as "13:00") with "timezone"')


class Expect(Strict, frozen=True):
    """What an answer must hold, or the entry fails."""

    minimum_rows: Annotated[int, Meta(ge=0)] = 0
    required: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises `ValueError` for a range that is none."""
        for variable, (low, high) in self.ranges.items():
            if not low <= high:
                raise ValueError(f"the range of {variable} ends before it begins; give [lowest, highest]")


class Entry(Strict, frozen=True, kw_only=True):
    """One API: what to ask, how politely, and where its files go. Durations are ISO 8601."""

    name: Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME), _printable]
    description: str = ""
    source: Annotated[str, _known_source]
    url: str = ""
    method: Literal["GET"] = "GET"
    params: Mapping[str, Param | tuple[Param, ...]] = msgspec.field(default_factory=dict)
    auth: Auth = NoAuth()
    output_folder: Text
    file_prefix: Text
    format: Format = "parquet"
    schedule: str | None = None
    location: Shown | tuple[Shown, ...] | None = None
    resolution: Minutes = timedelta(hours=1)
    available: Available = Available(lag=timedelta(0))
    reread: Minutes = timedelta(days=1)
    chunk: Minutes = timedelta(days=30)
    rate_limit: RateLimit | None = None
    concurrency: Annotated[int, Meta(ge=1, le=64)] = 4
    timeout: Annotated[float, Meta(gt=0, le=86_400)] = 30
    retries: Annotated[int, Meta(ge=1, le=20)] = 5
    """HTTP attempts."""
    deadline: Duration = timedelta(minutes=30)
    fresh: Annotated[timedelta, _bounded, _not_negative] = timedelta(0)
    raw: bool = True
    expect: Expect = Expect()
    records: Text | None = None
    time: Text | None = None
    timezone: Zone = "UTC"
    value: tuple[Text, ...] = ()
    unit: Shown = "1"
    interval: Duration | None = None

    @property
    def tabular(self) -> bool:
        """Whether its files hold observations, and so take part in backfill and training."""
        return self.format in TABULAR

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change when what is asked, or how it is read or written, changes."""
        asked = {
            name: msgspec.to_builtins(getattr(self, name))
            for name in (
                *("source", "url", "params", "output_folder", "file_prefix", "format", "location"),
                *("records", "time", "timezone", "value", "unit", "interval"),
            )
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]

    def due(self, now: datetime) -> datetime:
        """The end of the latest interval that can be available at `now`, aligned to the resolution."""
        return _due(self.available, self.resolution, now)


class TaskRetries(Strict, frozen=True):
    """The one policy for long outages: how often a failed entry is tried again, and after what first delay."""

    count: Annotated[int, Meta(ge=0, le=10)] = 3
    delay: Duration = timedelta(minutes=1)


class Config(Strict, frozen=True):
    """All of `api_config.json`, every entry complete."""

    lake: Annotated[str, address.check] = "lake"
    schedules: Mapping[Label, Schedule] = msgspec.field(default_factory=dict)
    task_retries: TaskRetries = TaskRetries()
    apis: tuple[Entry, ...] = ()

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
            raise ConfigurationError(
                ", ".join(sorted(one or '""' for one in unknown)), "no such entry", f"The entries are: {known}"
            )
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
        data = json.loads(text, object_pairs_hook=_without_repeated_keys, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(str(path), f"is not JSON: {error}", "Mend the JSON at that place") from error
    return parse(data, str(path))


def parse(data: Any, origin: str = "configuration") -> Config:
    """The configuration in `data`, as read from JSON; raises `ConfigurationError` with every problem."""
    if not isinstance(data, dict):
        raise ConfigurationError(origin, f"is {called(data)}, not an object", f'Give {{"apis": {LEAST}}}')
    problems: list[str] = []
    raws = data["apis"] if isinstance(data.get("apis"), list) else []
    entries = [_entry(raw, f"apis[{number}]", problems) for number, raw in enumerate(raws)]
    found = [] if raws else [f"apis: {_no_list(data)}; give {LEAST}"]
    config: Config | None = read(Config, {key: value for key, value in data.items() if key != "apis"}, "", found)
    problems += [f"{origin}: {text}" for text in found]
    problems += refusals.between([raw for raw in raws if isinstance(raw, dict)], data.get("schedules", {}))
    problems += _disagreeing_limits(raws)
    if problems or config is None:
        raise ConfigurationError(
            origin,
            f"{len(problems)} problem{'s'[: len(problems) > 1]}:\n" + "\n".join(f"  - {_shown(p)}" for p in problems),
        )
    return msgspec.structs.replace(config, apis=tuple(entry for entry in entries if entry))


def _shown(text: str) -> str:
    """`text` on one line, with what cannot be seen or written as JSON escapes it."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _no_list(data: Mapping[str, Any]) -> str:
    if "apis" not in data:
        return "is missing"
    return "is empty" if data["apis"] == [] else f"is {called(data['apis'])}, not a list"


def _entry(raw: Any, where: str, problems: list[str]) -> Entry | None:
    """`raw` as a complete entry, or None after saying in `problems` all that is wrong with it."""
    if not isinstance(raw, dict):
        problems.append(f"{where}: is {called(raw)}, not an object")
        return None
    refused = refusals.of_entry(raw, {*BasicAuth.__struct_fields__, *KeyAuth.__struct_fields__})
    keys = tuple(text.partition(": ")[0] + ": " for text in refused)
    found: list[str] = []
    complete = _complete(raw)
    entry: Entry | None = read(Entry, complete, "", found)
    found += _too_short(raw, complete) + _too_early(complete)
    refused += [text for text in found if not text.startswith(keys)]  # of one key the first refusal is enough
    problems += [f"{refusals.name_of(raw, where)}: {text}" for text in dict.fromkeys(refused)]
    return None if refused else entry


def _complete(raw: Mapping[str, Any]) -> dict[str, Any]:
    """`raw` with its short forms spelled out and the defaults of its source beneath."""
    entry = dict(raw)
    host = refusals.host_of(raw)
    origin = entry.setdefault("source", HOSTS.get(host, "generic"))
    if raw.get("csv_prefix") and not raw.get("file_prefix"):
        entry.setdefault("format", "csv")
    prefix = refusals.prefix_of(raw)
    entry["file_prefix"] = prefix if isinstance(prefix, str) and prefix else "unnamed"  # what is none is refused
    entry.pop("csv_prefix", None)
    kind, username = entry.pop("auth_type", None), entry.pop("username", None)
    if kind == "none":
        entry["auth"] = {"kind": "none"}
    elif kind is not None or username is not None:
        entry["auth"] = {"kind": "basic", "username": username if isinstance(username, str) else None}
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


def _too_short(raw: Mapping[str, Any], complete: Mapping[str, Any]) -> list[str]:
    """Which periods of `raw` are shorter than an interval, so that none would begin in them."""
    resolution = read(Minutes, complete.get("resolution", "PT1H"), "", [])
    lengths = {key: read(Minutes, raw[key], "", []) for key in ("reread", "chunk") if key in raw}
    return [
        f'{key}: is shorter than the "resolution" of the values; use a multiple of that'
        for key, length in lengths.items()
        if length and resolution and length < resolution
    ]


def _too_early(complete: Mapping[str, Any]) -> list[str]:
    """What would call a forecast known before it was made: Open-Meteo replaces its own until their hour, and does not
    say when."""
    rule = read(Available, complete.get("available"), "", []) if complete.get("source") == "open_meteo" else None
    if rule is None or (rule.lag is not None and rule.lag >= timedelta(0)):
        return []
    return ['available: what Open-Meteo foretells is replaced until its hour; give "lag", of "PT0S" at least']


def _disagreeing_limits(raws: Iterable[Any]) -> list[str]:
    """Which entries, complete or not, have other rates than one before whose limit they share."""
    found = []
    limits: dict[str, tuple[str, tuple[str, ...]]] = {}
    for number, raw in enumerate(raws):
        limit = read(RateLimit, _complete(raw).get("rate_limit"), "", []) if isinstance(raw, dict) else None
        if limit:
            name = refusals.name_of(raw, f"apis[{number}]")
            first, rates = limits.setdefault(limit.name, (name, limit.rates))
            if rates != limit.rates:
                found.append(f'{name}: rate_limit: "{limit.name}" has other rates in {first}; give both the same')
    return found


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


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} stands twice in one object")
    return found
