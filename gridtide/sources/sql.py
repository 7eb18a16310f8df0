"""A database: a table, or a query with the parameters `:start` and `:end`, read as the entry describes its columns.

The statement and the values of its parameters are sent apart, as the body and the parameters of the request; values
are bound by the driver and never become part of the text. The answer is a stream of Arrow batches with the types of the
database, which are read one after another:

    table or query ─► cursor ─► Arrow batches ─► cells ─► times, series ─► observations
                                                          as of the generic source

A row answers a period if its interval starts in it. With `updated`, another request has the rows of other intervals
that were changed in it, so that these revisions are stored as vintages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from gridtide.entries.scope import (
    ANY,
    Scope,
    build_scope,
    describe_columns,
    narrow_columns,
    narrow_params,
    split_values,
)
from gridtide.errors import FormatError
from gridtide.periods import Period
from gridtide.sources.contract import Page, Request, Response, Skipped

if TYPE_CHECKING:
    import pyarrow as pa

    from gridtide.entries.entry import Entry

NEEDS_URL = False

ACCESS = 'write the URL of the database into the variable or block that "auth" names'

SCHEME = "sql:"
"""The scheme of the URLs of requests to databases; the rest is the name of the variable or block with the address."""

BOUNDS = ("start", "end")
"""The parameters that the period gives."""

CHANGES = ("changed_from", "changed_to")
"""The parameters that the period gives for the time of a change."""

_PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?![:\w])")
"""A parameter as SQLAlchemy finds it, also within a text or a comment."""

_CAST_PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?=::)")
"""A parameter with a cast of PostgreSQL, in which SQLAlchemy finds none."""

_DAY = timedelta(days=1)

_FROM_YEARS_DOWN = ["%Y", "%m", "%d", "%H", "%M", "%S", "%f"]

_FOREIGN_KEYS = (
    *("url", "method", "headers", "body", "tls_ca", "absent", "product", "records", "layout", "csv", "hours", "days"),
    *("unpack", "pages", "archive", "per", "locations", "times_in"),
)
"""Keys that describe answers of HTTP, and have no meaning here."""


def choose_defaults(url: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns few concurrent statements, each of five minutes at most. The answers are not kept, as the database keeps
    its rows itself."""
    return {"concurrency": 2, "timeout": 300, "raw": False}


def takes_period(entry: Entry) -> bool:
    """Whether it reads a table, or its query has the parameter `:start` or `:end`."""
    return entry.query is None or bool(set(list_parameters(entry.query)) & set(BOUNDS))


def find_day_zone(entry: Entry) -> ZoneInfo | None:
    """Returns the time zone of local days if the first column of times holds dates, which are requested as whole
    days."""
    has_dates = len(entry.time) > 1 or (entry.time_format is not None and not _has_hours(entry.time_format))
    return ZoneInfo(entry.timezone) if has_dates and takes_period(entry) else None


def _has_hours(time_format: str) -> bool:
    return time_format.startswith("unix") or bool(re.search(r"%[HITXcR]", time_format))


def find_scope(entry: Entry) -> Scope:
    """Returns the table or the query, its parameters and the columns of values as facets; no named columns mean all of
    them."""
    statement = entry.table or " ".join((entry.query or "").split())
    facets: dict[str, Iterable[str]] = {name: split_values(value) for name, value in entry.params.items()}
    location = msgspec.json.encode(entry.location).decode()
    columns = describe_columns(entry) or [ANY]
    return build_scope(entry, {**facets, "statement": [statement], "series location": [location], "value": columns})


def narrow(entry: Entry, part: Scope) -> Sequence[Entry]:
    """Returns the entry with fewer values of one list in `params`, or with fewer columns of values."""
    entry_scope = find_scope(entry).values()
    shorter = [name for name, values in part.facets if values != entry_scope[name]]
    if shorter == ["value"]:
        return [narrow_columns(entry, part.values()["value"])]
    if len(shorter) != 1 or not isinstance(entry.params.get(shorter[0]), tuple):
        return ()
    return [narrow_params(entry, {shorter[0]: part.values()[shorter[0]]})]


def is_sortable(time_format: str) -> bool:
    """Whether times written in `time_format` are in the order of time, so that a database can compare them.

    >>> is_sortable("%Y-%m-%dT%H:%M"), is_sortable("unix"), is_sortable("%d.%m.%Y")
    (True, True, False)
    """
    directives = re.findall(r"%[A-Za-z]", time_format)
    return time_format in ("unix", "unix_ms") or (
        bool(directives) and directives == _FROM_YEARS_DOWN[: len(directives)]
    )


def list_parameters(query: str) -> list[str]:
    """Returns the names of the parameters of `query`, each once; `::` is a cast, and `\\:` a colon."""
    return list(dict.fromkeys(_PARAMETER.findall(enclose_casts(query))))


def enclose_casts(query: str) -> str:
    """Returns `query` with each parameter that is cast in parentheses.

    >>> enclose_casts("select day::text from days where day = :day::date")
    'select day::text from days where day = (:day)::date'
    """
    return _CAST_PARAMETER.sub(r"(:\1)", query)


def find_problems(entry: Mapping[str, Any]) -> list[str]:
    """Returns the keys that contradict each other, or have no meaning for a database."""
    return [*_find_statement_problems(entry), *_find_reading_problems(entry), *_find_auth_problems(entry)]


def _find_statement_problems(entry: Mapping[str, Any]) -> Iterator[str]:
    table, query, params = entry.get("table"), entry.get("query"), entry.get("params")
    if (table is None) == (query is None):
        yield 'table: give either a "table" or a "query"'
    names = list_parameters(query) if isinstance(query, str) else []
    values = params if isinstance(params, dict) else {}
    for name in values:
        if name in BOUNDS:
            yield f"params.{name}: is given by the period that is requested; use another name"
        elif name not in names:
            yield f"params.{name}: no query has the parameter :{name}; leave it out, or use it"
    missing = [name for name in names if name not in {*values, *BOUNDS}]
    if missing:
        name = missing[0]
        yield f'query: the parameter :{name} has no value; give it in "params", or write \\:{name} if it is none'
    for name, value in values.items():
        if isinstance(value, list | tuple) and name in names:
            if not value:
                yield f"params.{name}: is an empty list, which selects nothing; give at least one value"
            elif not re.search(rf"(?i)\bin\s+:{name}\b", str(query)):
                yield f"params.{name}: is a list, which goes with in :{name} without parentheses"
    if set(names) & set(BOUNDS) and not set(BOUNDS) <= set(names):
        yield "query: has only one of the parameters :start and :end; use both"
    if table is not None and not entry.get("time"):
        yield "time: is missing; name the column of the times, by which the table is read"
    if table is not None and not _is_comparable(entry.get("time_format")):
        yield (
            "time_format: texts of this format are not in the order of time, so no period of them can be read; give a "
            '"query" that converts them'
        )
    if query is not None and entry.get("updated") is not None:
        yield 'updated: a query says itself which rows it gives; name the column with "published", and compare it there'


def _is_comparable(time_format: Any) -> bool:
    return not isinstance(time_format, str) or is_sortable(time_format)


def _find_reading_problems(entry: Mapping[str, Any]) -> Iterator[str]:
    from gridtide.sources.tables.contradictions import find_contradictions

    yield from (f"{key}: has no meaning for a database; leave it out" for key in _FOREIGN_KEYS if entry.get(key))
    if entry.get("format", "parquet") not in ("parquet", "csv"):
        yield 'format: the answer of a database is no text; use "parquet" or "csv"'
    if entry.get("interval_from") == "gaps":
        yield 'interval_from: rows of a database have no order; give "interval", or the column with the other bound'
    if entry.get("updated") is not None and entry.get("published") is not None:
        yield 'published: "updated" is the time of publication; leave out one of them'
    yield from find_contradictions(entry)


def _find_auth_problems(entry: Mapping[str, Any]) -> Iterator[str]:
    auth = entry.get("auth")
    if not isinstance(auth, dict) or auth.get("kind") != "database_url":
        yield (
            'auth: names no database; give {"kind": "database_url", "env": "PLANT_DATABASE_URL"}, a variable that '
            "holds such as postgresql://user:password@host/name"
        )


def build_requests(entry: Entry, period: Period | None) -> list[Request]:
    """Returns the request for `period`, or for the snapshot; with `updated` also that for the rows of other intervals
    that were changed in `period`."""
    auth = entry.auths[0]
    url = f"{SCHEME}{getattr(auth, 'env', None) or getattr(auth, 'secret', None) or ''}"
    params = tuple((name, json.dumps(msgspec.to_builtins(value))) for name, value in entry.params.items())
    if period is None:
        return [Request(url, params, label="snapshot", body=json.dumps(_describe_statement(entry)))]
    bounds = _name_bounds(BOUNDS, *_find_labels(entry, period))
    main = Request(url, params + bounds, label=str(period), period=period, body=json.dumps(_describe_statement(entry)))
    if entry.updated is None:
        return [main]
    changes = _name_bounds(CHANGES, *_widen(period.start, period.end, ZoneInfo(entry.timezone)))
    body = json.dumps({**_describe_statement(entry), "updated": entry.updated})
    return [main, Request(url, bounds + changes, label=f"changes in {period}", body=body, beyond=True)]


def _name_bounds(names: Sequence[str], start: datetime, end: datetime) -> tuple[tuple[str, str], ...]:
    return (names[0], start.isoformat()), (names[1], end.isoformat())


def _describe_statement(entry: Entry) -> dict[str, Any]:
    """Returns what a statement is built from: the query, or the table with its columns; and the clock of its times."""
    clock = {"timezone": entry.timezone, "time_format": _bound_format(entry)}
    if entry.query is not None:
        return {"query": entry.query, **clock}
    return {"table": entry.table, "columns": _list_columns(entry), "time": entry.time[0], **clock}


def _list_columns(entry: Entry) -> list[str]:
    """Returns the columns that are read of a table; all of them if the entry names no values, or says that a column
    has one of several names or need not be there."""
    single_names = [entry.updated, entry.published, entry.timezone_from, entry.interval_from]
    single_names.append(entry.conflict if entry.has_versions else None)
    single_names += [entry.ambiguous if entry.ambiguous not in ("order", "first", "second", "refuse") else None]
    lists = [names if isinstance(names, tuple) else (names,) for names in (entry.location, entry.variable)]
    names = [*entry.time, *single_names, *(name for names in lists for name in names), *entry.where, *entry.value]
    columns = [name for name in dict.fromkeys(names) if name]
    return columns if entry.value and not any("|" in name for name in columns) else []


def _bound_format(entry: Entry) -> str | None:
    """Returns the format in which bounds are compared with texts of times; None if they are compared as times."""
    return entry.time_format if entry.time_format and is_sortable(entry.time_format) else None


def _find_labels(entry: Entry, period: Period) -> tuple[datetime, datetime]:
    """Returns the moments in UTC between which the labels of the intervals that start in `period` lie."""
    zone = ZoneInfo(entry.timezone)
    start, end = period.start, period.end
    if entry.table is not None and entry.label == "end" and entry.interval:
        start, end = (_add_interval(moment, entry.interval, zone) for moment in (start, end))
    return _widen(start, end, zone)


def _widen(start: datetime, end: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Returns bounds that are wider near an hour that the clock repeats, where a time without offset may be of either
    pass."""
    return start - _find_repeated(start, zone), end + _find_repeated(end, zone)


def _add_interval(moment: datetime, interval: timedelta, zone: ZoneInfo) -> datetime:
    """Returns the end of the interval that starts at `moment`; days are those of the clock."""
    if interval % _DAY:
        return moment + interval
    return (moment.astimezone(zone) + interval).astimezone(moment.tzinfo)


def _find_repeated(moment: datetime, zone: ZoneInfo) -> timedelta:
    """Returns the length of the time that the clock repeats around `moment`, zero at all others."""
    local = moment.astimezone(zone).replace(tzinfo=zone)
    first_offset, second_offset = (local.replace(fold=fold).utcoffset() or timedelta(0) for fold in (0, 1))
    return max(first_offset - second_offset, timedelta(0))


def _reading(entry: Entry) -> Entry:
    """Returns `entry` as its rows are read: a row that is changed is published anew."""
    return msgspec.structs.replace(entry, published=entry.updated) if entry.updated else entry


def parse_response(entry: Entry, request: Request, response: Response) -> Page:
    """Reads the batches of a response; the first is in the page, the others are in `more`.

    Raises `FormatError` for columns that are missing or hold neither times nor numbers where these are expected.
    """
    from gridtide.observations.table import empty

    skipped: list[Skipped] = []
    received = int(response.headers.get("rows", 0))
    pieces = _read_pieces(_reading(entry), request, response, skipped)
    try:
        first_piece = next(pieces, None)
    except FormatError as error:
        error.fix = error.fix or 'Compare the columns with "time", "value" and the other keys of the entry'
        raise
    return Page(empty() if first_piece is None else first_piece, received, skipped=skipped, more=pieces)


def _read_pieces(entry: Entry, request: Request, response: Response, skipped: list[Skipped]) -> Iterator[pa.Table]:
    from gridtide.sources.tables.batches import check_compared, tabulate_batch
    from gridtide.sources.tables.reading import AnswerContext, read_observations

    context = AnswerContext(None, response.headers, response.retrieved_at)
    first_row = 0
    for batch in _read_batches(entry, response):
        table = tabulate_batch(entry, batch, first_row)
        if request.period is not None:
            check_compared(entry, batch, _bound_format(entry))
        first_row += table.rows
        yield from read_observations(entry, table, context, skipped)


def _read_batches(entry: Entry, response: Response) -> Iterator[pa.RecordBatch]:
    """Yields the batches of the Arrow streams in the body, one stream after another: a database without types of
    columns may change them on the way."""
    import pyarrow as pa

    body: IO[bytes] = response.file or BytesIO(response.body)
    size = body.seek(0, 2)
    body.seek(0)
    try:
        while body.tell() < size:
            with pa.ipc.open_stream(pa.PythonFile(body, mode="r")) as stream:
                yield from stream
    except pa.ArrowInvalid as error:
        raise FormatError(entry.name, f"the answer is no stream of Arrow: {error}") from error
