"""One API as frozen structs: what to request, how often, when, and where its files go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gridtide.entries import lake_address
from gridtide.entries.aliases import Alias
from gridtide.entries.auth import Auth, FieldName, HeaderValue, NoAuth
from gridtide.entries.cron import check_cron
from gridtide.entries.expect.checks import Check
from gridtide.entries.expect.rules import Expect
from gridtide.entries.field_types import (
    LONGEST_NAME,
    BoundedDuration,
    Duration,
    Label,
    Param,
    PrintableText,
    Text,
    VariableName,
    WholeMinutes,
    ZoneName,
    check_length,
    check_not_negative,
    check_printable,
    check_rate,
    check_time_of_day,
)
from gridtide.entries.shifts import Shift
from gridtide.entries.structs import StrictStruct
from gridtide.entries.table_layout import (
    Archive,
    Csv,
    DayFormat,
    Hours,
    Melt,
    NumberStyle,
    Pages,
    RecordLayout,
    SeriesNames,
    Summed,
    TimeFormat,
)
from gridtide.errors import ConfigurationError

Format = Literal["parquet", "csv", "json", "raw"]


TABULAR: tuple[Format, ...] = ("parquet", "csv")
"""The formats that contain observations; `json` and `raw` store only the body."""


class Schedule(StrictStruct, frozen=True):
    """A five-field cron in a time zone."""

    cron: Annotated[str, check_cron]
    timezone: ZoneName = "UTC"
    description: str = ""


class RateLimit(StrictStruct, frozen=True):
    """Rates that all entries with the same `name` share."""

    name: Label
    rates: Annotated[tuple[Annotated[str, check_rate], ...], Meta(min_length=1)]


class Available(StrictStruct, frozen=True):
    """When a value is available: `lag` after the end of its interval, or for day-ahead products at `day_before` local
    time on the day before its operating day, or `days` days before it for forecasts that reach further."""

    lag: BoundedDuration | None = None
    day_before: Annotated[str, check_time_of_day] | None = None
    days: Annotated[int, Meta(ge=1, le=31)] = 1
    timezone: ZoneName = "UTC"

    def __post_init__(self) -> None:
        """Raises `ValueError` unless it has exactly one rule."""
        if self.days != 1 and self.day_before is None:
            raise ValueError('"days" goes with "day_before" (such as "13:00")')
        if (self.lag is None) == (self.day_before is None):
            raise ValueError('give either "lag" (such as "PT5H") or "day_before" (such as "13:00") with "timezone"')


class Entry(StrictStruct, frozen=True, kw_only=True):
    """One API: what to request, how often, and where its files go. Durations are ISO 8601."""

    name: Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME), check_printable]
    description: str = ""
    source: str
    product: PrintableText | None = None
    """The product of a preset that the entry collects; the preset gives the keys that the entry does not."""
    url: str = ""
    method: Literal["GET", "POST"] = "GET"
    params: Mapping[str, Param | tuple[Param, ...]] = msgspec.field(default_factory=dict)
    headers: Mapping[FieldName, HeaderValue] = msgspec.field(default_factory=dict)
    body: Any = None
    """The body of a POST: a text is sent unchanged, an object or list as JSON, or as a form if the Content-Type says
    so."""
    auth: Auth | tuple[Auth, ...] = NoAuth()
    tls_ca: Text | None = None
    """A PEM file of certificates that are trusted in addition to the usual ones."""
    absent: tuple[Annotated[int, Meta(ge=204, le=599)] | Literal["empty"], ...] = ()
    """HTTP statuses that mean that the upstream has nothing for the request; `empty` stands for an empty body."""
    compare_clock: bool = True
    """Whether a `Date` header that differs from the local clock means that the local clock is wrong."""
    output_folder: Text
    file_prefix: Text
    format: Format = "parquet"
    schedule: str | None = None
    location: PrintableText | tuple[PrintableText, ...] | None = None
    locations: tuple[PrintableText, ...] = ()
    """The locations that are requested or, where an answer has more, stored; all of them if it is empty."""
    resolution: WholeMinutes = timedelta(hours=1)
    available: Available = Available(lag=timedelta(0))
    reread: WholeMinutes = timedelta(days=1)
    chunk: WholeMinutes = timedelta(days=30)
    rate_limit: RateLimit | None = None
    concurrency: Annotated[int, Meta(ge=1, le=64)] = 4
    timeout: Annotated[float, Meta(gt=0, le=86_400)] = 30
    retries: Annotated[int, Meta(ge=1, le=20)] = 5
    """HTTP attempts."""
    deadline: Duration = timedelta(minutes=30)
    fresh: Annotated[timedelta, check_length, check_not_negative] = timedelta(0)
    raw: bool = True
    expect: Expect = Expect()
    aliases: tuple[Alias, ...] = ()
    """Series that are read under other names than those they are stored under."""
    shift: Shift | tuple[Shift, ...] = ()
    """Series whose labels are early or late, and how training reads them."""
    table: Text | None = None
    """The table or view of a database that is read, such as `metering.load`."""
    query: Text | None = None
    """A query of a database, with the parameters `:start`, `:end` and those of `params`."""
    updated: Text | None = None
    """The column of a table that says when a row was last changed; it is the time of publication."""
    records: Text | None = None
    layout: RecordLayout = "records"
    csv: Csv = Csv()
    numbers: NumberStyle = NumberStyle()
    time: tuple[Text, ...] = ()
    time_format: TimeFormat | None = None
    timezone: ZoneName = "UTC"
    timezone_from: Text | None = None
    """A column of time zones or offsets."""
    times_in: ZoneName | None = None
    """The time zone of times in the answer, if it is not that of the days that are requested."""
    label: Literal["start", "end", "instant"] | None = None
    interval: Duration | None = None
    interval_from: Text | None = None
    """A column of lengths, or `gaps`."""
    ambiguous: Text = "refuse"
    value: Mapping[Text, SeriesNames] = msgspec.field(default_factory=dict)
    unit: PrintableText = "1"
    variable: Text | tuple[Text, ...] | None = None
    published: Text | None = None
    published_format: TimeFormat | None = None
    """The format of the times of publication, if it is another than `time_format`."""
    published_time: Annotated[str, check_time_of_day] | None = None
    """The time of day at which a date of publication counts as published."""
    hours: Hours | None = None
    days: DayFormat | None = None
    """The format of the days that columns are called by, in a table with a row for each hour."""
    melt: Melt | None = None
    names: Mapping[Text, PrintableText] = msgspec.field(default_factory=dict)
    """Variables by the texts of columns or labels, which may be patterns: `*` in a name is what it is in the text."""
    location_names: Mapping[Text, PrintableText] = msgspec.field(default_factory=dict)
    """Locations by the texts that stand for them in requests and answers."""
    negated: tuple[Text, ...] = ()
    """Columns that are stored with the opposite sign."""
    summed: Summed | None = None
    """What is added up: columns of one variable and location, or records that hold a part of a value each."""
    components: PrintableText | None = None
    """A price whose `_energy`, `_congestion` and `_loss` add up to it; the energy is derived if it is not given."""
    where: Mapping[Text, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """The texts that a column must hold; records with other texts are not stored."""
    ignore: tuple[Text, ...] = ()
    """Columns of texts that only describe the values, so that records that differ in them may be of one series."""
    past: bool = False
    """Whether only intervals that were over at the time of the answer are stored."""
    archive: Archive | None = None
    unpack: Text | None = None
    pages: Pages | None = None
    per: Literal["day", "month", "year"] | None = None
    conflict: Text | None = None
    """Which of several values of one key in a response is stored: the `first` or the `last`, or that with the largest
    number or the latest time in the column, or header, that it names. None stores none of them; with `refuse` the
    response fails."""

    @property
    def auths(self) -> tuple[Auth, ...]:
        """The kinds of credentials of the entry, as a tuple."""
        return self.auth if isinstance(self.auth, tuple) else (self.auth,)

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """The corrections of labels that are off, as a tuple."""
        return self.shift if isinstance(self.shift, tuple) else (self.shift,)

    @property
    def sums_columns(self) -> bool:
        """Whether columns of one variable and location are added up."""
        return self.summed is not None and self.summed.column is None

    @property
    def has_versions(self) -> bool:
        """Whether a column says which of several values of one key counts."""
        return self.conflict is not None and self.conflict not in ("first", "last", "refuse")

    @property
    def tabular(self) -> bool:
        """Whether its files contain observations, and so take part in backfill and training."""
        return self.format in TABULAR

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change when the request, or how its response is read or stored, changes."""
        identity = {
            name: msgspec.to_builtins(getattr(self, name))
            for name in (
                *("source", "url", "params", "output_folder", "file_prefix", "format", "location"),
                *("records", "timezone", "unit", "interval"),
            )
        }
        # Newer keys are included only if they are used, so that the fingerprints of older entries do not change.
        request_defaults: dict[str, Any] = {"method": "GET", "headers": {}, "body": None, "absent": (), "locations": ()}
        identity |= {
            name: msgspec.to_builtins(getattr(self, name))
            for name, default in request_defaults.items()
            if getattr(self, name) != default
        }
        identity |= {"time": " ".join(self.time) or None, "value": list(self.value)}
        default_values = {"value": {column: SeriesNames() for column in self.value}} | _DEFAULTS
        identity |= {
            f"{name}.": _write_key(key_value)
            for name in ("value", *_LAYOUT_KEYS)
            if (key_value := _spell_key(getattr(self, name))) != _spell_key(default_values[name])
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def _spell_key(key_value: Any) -> Any:
    """Returns the value of a key as it was always part of the fingerprint: with the decimal point that is not named."""
    if isinstance(key_value, NumberStyle):
        return msgspec.structs.replace(key_value, decimal=key_value.decimal_mark)
    return key_value


def _write_key(key_value: Any) -> Any:
    """Returns the value of a key as JSON: a sum without parts in its short form, as which files have it."""
    if isinstance(key_value, Summed) and not key_value.parts:
        return key_value.column or True
    return msgspec.to_builtins(key_value)


_LAYOUT_KEYS = (
    *("layout", "csv", "numbers", "time_format", "timezone_from", "label", "interval_from", "ambiguous", "variable"),
    *("published", "hours", "melt", "unpack", "pages", "per", "conflict"),
    *("times_in", "published_format", "published_time"),
    *("names", "location_names", "negated", "summed", "components", "where", "past", "archive", "ignore", "days"),
    *("table", "query", "updated"),
)
"""Keys that are part of the fingerprint only if they are given, so that the fingerprints of other entries do not
change."""


_DEFAULTS = {
    field.name: field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    for field in msgspec.structs.fields(Entry)
    if field.name in _LAYOUT_KEYS
}


class TaskRetries(StrictStruct, frozen=True):
    """The retry policy for long outages: how often a failed entry is retried, and the first delay."""

    count: Annotated[int, Meta(ge=0, le=10)] = 3
    delay: Duration = timedelta(minutes=1)


class Online(StrictStruct, frozen=True):
    """Training sets whose newest `hours` are stored in Redis after each run of `ingest` that brings new files, for
    `lifetime`. `env` is the variable with the URL of the server; `sets` are names of sets in the lake's `features/`."""

    env: VariableName
    sets: Annotated[tuple[Text, ...], Meta(min_length=1)]
    hours: Annotated[int, Meta(ge=1, le=24 * 366)] = 168
    lifetime: Duration = timedelta(hours=6)


class Config(StrictStruct, frozen=True):
    """The whole of `api_config.json`, with every entry complete."""

    lake: Annotated[str, lake_address.check_lake_address] = "lake"
    schedules: Mapping[Label, Schedule] = msgspec.field(default_factory=dict)
    task_retries: TaskRetries = TaskRetries()
    checks: tuple[Check, ...] = ()
    """What series of different entries must be like together."""
    online: Online | None = None
    processes: Annotated[int, Meta(ge=1, le=64)] = 1
    """The processes of this machine in which a backfill collects."""
    presets: tuple[Text, ...] = ()
    """Files beside the configuration that describe operators."""
    apis: tuple[Entry, ...] = ()

    def entry(self, name: str) -> Entry:
        """Returns the entry called `name`; raises `ConfigurationError` that lists the existing names."""
        return self.select([name])[0]

    def select(self, names: Iterable[str] = ()) -> list[Entry]:
        """Returns the entries called `names`, or all if none are named, in the order of the file.

        Raises `ConfigurationError` for a name that no entry has.
        """
        selection = set(names)
        unknown = selection - {entry.name for entry in self.apis}
        if unknown:
            entry_names = ", ".join(entry.name for entry in self.apis)
            raise ConfigurationError(
                ", ".join(sorted(name or '""' for name in unknown)), "no such entry", f"The entries are: {entry_names}"
            )
        return [entry for entry in self.apis if not selection or entry.name in selection]
