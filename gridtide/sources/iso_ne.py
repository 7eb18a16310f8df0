"""ISO New England Web Services v1.1: https://webservices.iso-ne.com/docs/v1.1/

The whole request is in the path: `<resource>/current` or `<resource>/day/<YYYYMMDD>`, either with an optional
`/location/<id>`. There is no query and no paging. Times carry their Eastern offset and name the *beginning* of an
interval, so a spring day has 23 hours, and an autumn day has two hours that begin at 01:00.

The JSON is converted from XML: attributes are `@LocId`, texts are `$`. A single record may be an object under the
plural root, an object under the singular root, or a list of one. No records may be an empty object, an empty string,
null, an empty list, or no root at all.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import msgspec

from gridtide.entries.scope import ANY, Scope, build_scope, read_parameters, split_values
from gridtide.errors import FormatError, UpstreamError
from gridtide.periods import Period, count_microseconds, local_day, local_days, microseconds
from gridtide.sources.contract import BOM, Licence, Page, Request, Response
from gridtide.sources.parts.left_out import NO_NUMBER, NO_TIME, NOT_READ, LeftOut
from gridtide.variables import Variable, snake_case, unit_of

if TYPE_CHECKING:
    import pyarrow as pa

    from gridtide.entries.entry import Entry

ZONE = ZoneInfo("America/New_York")
HOSTS = ("webservices.iso-ne.com",)
ACCESS = "Create an account at https://www.iso-ne.com/participate/support/web-services-data"
LICENCE = Licence(
    "",
    "ISO New England terms",
    "https://www.iso-ne.com/legal-privacy",
    "Protected by copyright; duplication or use beyond personal use may need permission of ISO New England.",
    "ISO New England Inc.",
)
SYSTEM_LOCATIONS = ("32", "ISNE")
"""`hourlysysload` has location 32, the fuel mix has no location."""

SYSTEM = "ISNE"
"""The location of values for all of New England."""

DEMAND_ZONES = tuple(str(number) for number in range(4001, 4009))
"""Maine, New Hampshire, Vermont, Connecticut, Rhode Island, and three zones of Massachusetts: all of New England."""

VARIABLES = (
    Variable(r"generation_\w+", "MW", "mean", "Output of a fuel category", ZONE.key),
    Variable(r"marginal_\w+", "1", "mean", "1 where the fuel category is marginal", ZONE.key),
    Variable(
        r"lmp_(day_ahead|real_time(_preliminary)?|(five|fifteen)_minute(_final|_preliminary)?)(_energy|_congestion|_loss)?",
        "USD/MWh",
        "mean",
        "Locational marginal price and its components",
    ),
    Variable(r"load(_native|_ard|_btm_pv|_native_btm_pv)?(_five_minute)?", "MW", "mean", "System load"),
    Variable(r"(net_)?load_forecast", "MW", "mean", "Load forecast, a vintage per creation"),
    Variable(r"demand_(real_time|day_ahead)", "MW", "mean", "Hourly demand of a location"),
    Variable(r"(morning_report|seven_day)_\w*(temp_f|temperature|dew_point_f)(_\w+)?", "°F", "repeat", "City weather"),
    Variable(r"(morning_report|seven_day)_\w*mw(_\w+)?", "MW", "repeat", "Daily capacity figures"),
    Variable(r"(morning_report|seven_day)_\w+", "1", "repeat", "Daily counts and flags"),
)

BASIC_AUTH = {"username_env": "ISO_NE_USERNAME", "password_env": "ISO_NE_PASSWORD"}

HEADERS = (("Accept", "application/json"),)
"""Without this header the upstream answers in XML."""

ApiRecord = Mapping[str, Any]
ColumnValues = Mapping[str, Any]
"""The arguments of `observations.from_columns`; times are datetimes or microseconds since 1970."""


def choose_defaults(url: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns basic authentication, 5 requests per second (no limit is documented, but 429 occurs), and the policy of
    the resource."""
    product = _find_product(url)
    return {
        "auth": {"kind": "basic", **BASIC_AUTH},
        "rate_limit": {"name": "iso_ne", "rates": ["5/second"]},
        "timeout": 60,
        **(product.policy if product else HOURLY_POLICY),
    }


def takes_period(entry: Entry) -> bool:
    """Whether the URL belongs to the API and names no day, and its resource has whole days."""
    url_path = urlsplit(entry.url).path
    product = _find_product(entry.url)
    if product is None or not _API.search(url_path) or _FIXED.search(url_path):
        return False
    return not product.by_location or _find_place(entry.url) is not None


def find_day_zone(entry: Entry) -> ZoneInfo:
    """Returns the zone of operating days, `America/New_York`."""
    return ZONE


def find_due_period(entry: Entry, now: datetime) -> Period | None:
    """Returns the last `reread` until what is due, or None for a URL with `/current`, which is requested unchanged; its
    days are for backfills."""
    from gridtide.observations.availability import find_due_end

    if _CURRENT.search(urlsplit(entry.url).path) or not takes_period(entry):
        return None
    due = find_due_end(entry, now)
    return Period(due - entry.reread, due)


def build_requests(entry: Entry, period: Period | None) -> list[Request]:
    """Returns the URL unchanged for a snapshot, or one request for each operating day that overlaps `period`."""
    params = tuple((key, str(item)) for key, setting in entry.params.items() for item in _as_items(setting))
    if period is None or not takes_period(entry):
        return [Request(entry.url, params, HEADERS, "current")]
    product = _find_product(entry.url)
    zones = product.zones if product and _find_place(entry.url) is None else ()
    return [
        Request(url, params, HEADERS, " ".join((day.isoformat(), *label)), local_day(day, ZONE))
        for day in local_days(period, ZONE)
        for url, label in _build_day_urls(entry.url, day, zones)
    ]


def find_scope(entry: Entry) -> Scope:
    """Returns the resource, and the locations that are requested one by one."""
    parts = urlsplit(entry.url)
    resource = _CURRENT.sub("", re.sub(r"/location/[^/.]+", "", parts.path)).removesuffix(".json").strip("/")
    parameters = {name: split_values(value) for name, value in read_parameters(entry).items()}
    return build_scope(entry, {**parameters, "resource": [resource], "location": _list_asked_places(entry)})


def narrow(entry: Entry, part: Scope) -> Sequence[Entry]:
    """Returns one entry for each location of `part`, if `entry` requests locations one by one."""
    entry_scope, values = find_scope(entry).values(), part.values()
    if any(values[name] != entry_scope[name] for name in entry_scope if name != "location"):
        return ()
    zones = [zone for zone in _list_asked_places(entry) if zone in values["location"]]
    return [msgspec.structs.replace(entry, url=_add_location(entry.url, zone)) for zone in zones]


def _list_asked_places(entry: Entry) -> Sequence[str]:
    """Returns the location in the URL, or else those that are requested one by one, or else all that the resource
    has."""
    place, product = _find_place(entry.url), _find_product(entry.url)
    if place is not None:
        return (place,)
    return (product.zones if product else ()) or (ANY,)


def _build_day_urls(url: str, day: date, zones: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Returns the URL of one operating day, or one URL for each of `zones`; each with the words that its label gets for
    the zone."""
    day_url = _build_day_url(url, day)
    if not zones:
        return [(day_url, ())]
    return [(_add_location(day_url, zone), (f"location {zone}",)) for zone in zones]


def _add_location(url: str, zone: str) -> str:
    """Returns `url`, which names no location, for `zone`."""
    url_parts = urlsplit(url)
    stem, suffix = (
        (url_parts.path.removesuffix(".json"), ".json") if url_parts.path.endswith(".json") else (url_parts.path, "")
    )
    return urlunsplit(url_parts._replace(path=f"{stem.rstrip('/')}/location/{zone}{suffix}"))


_WITHOUT_HISTORY = re.compile(r"/(current/(?:all|locationType)|previous|info)(?=[/.]|$)")


def find_problems(entry: Mapping[str, Any]) -> list[str]:
    """Refuses a form of a resource that cannot be requested by day and so has no history; the message names a form that
    can."""
    url = entry.get("url")
    if not isinstance(url, str) or entry.get("format") in ("json", "raw"):
        return []
    url_parts = urlsplit(url)
    match, product = _WITHOUT_HISTORY.search(url_parts.path), _find_product(url)
    if match is None or product is None or not _API.search(url_parts.path):
        return []
    location = "/location/4000" if product.has_locations else ""
    form = urlunsplit(url_parts._replace(path=f"{url_parts.path[: match.start()]}/current{location}"))
    return [f"url: no history exists of /{match[1]}; use {form}"]


def parse_response(entry: Entry, request: Request, response: Response) -> Page:
    """Parses the observations of a JSON body; an empty value (null, `""`, `"-"`) becomes a null.

    Raises `UpstreamError` for a body that is not JSON, `FormatError` for a body that does not match the URL's resource,
    lacks required fields, or could be one of several products.
    """
    from gridtide.observations.table import concat, empty, from_columns

    try:
        document = msgspec.json.decode(response.body.removeprefix(BOM))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(entry.name, f"the answer is not JSON: {error}", "It is tried again") from error
    product = _find_product(request.url) or _identify_product(document, entry)
    if product is None:
        return Page(empty(), 0)
    url_location = _find_place(request.url)
    left_out = LeftOut()

    def read_table(records: Sequence[ApiRecord]) -> pa.Table:
        columns = product.read(product, records, url_location, left_out)
        return concat([from_columns("iso_ne", response.retrieved_at, **values) for values in columns])

    try:
        records = _find_records(document, product)
        try:
            table = read_table(records)
        except (KeyError, ValueError):  # perhaps only some records cannot be read
            left_out = LeftOut()
            timed_records = _leave_out_timeless(product, records, left_out)
            if not timed_records or not left_out.list_skipped():
                raise
            table = read_table(timed_records)
    except KeyError as error:
        raise FormatError(entry.name, f"a {product.root} has no {error.args[0]}") from error
    except (ValueError, OverflowError) as error:
        happened = f"the answer cannot be read as {product.roots[0]}: {error}"
        raise FormatError(entry.name, happened) from error
    unread = left_out.first_of(NO_NUMBER)
    if unread and not table.num_rows:
        raise FormatError(entry.name, f"no value can be read, the first is {unread}")
    return Page(table, len(records), skipped=left_out.list_skipped())


_API = re.compile(r"/api/v\d[\d.]*/")
_FIXED = re.compile(r"/(day|month|year)/\d")
_CURRENT = re.compile(r"/current(?=[/.]|$)")
_TAIL = re.compile(r"(/location/[^/]+?)?(\.json)?/?$")


def _find_product(url: str) -> Product | None:
    """Returns the product whose words are all in the URL's path."""
    path_words = set(re.split(r"[^a-z0-9]+", urlsplit(url).path.lower()))
    return next((product for product in PRODUCTS if path_words.issuperset(product.path.split("/"))), None)


def _identify_product(document: Any, entry: Entry) -> Product | None:
    """Returns the product that has the root of the answer, or None for an empty answer."""
    if _is_nothing(document):
        return None
    root_keys = set(document) if isinstance(document, dict) else set()
    matches = [product for product in PRODUCTS if not root_keys.isdisjoint(product.roots)]
    candidates = [product for product in matches if "/" not in product.path] or matches
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        paths = ", ".join(product.path for product in candidates)
        raise FormatError(
            entry.name,
            f"neither the URL nor {candidates[0].root} says which of {paths} this is",
            f"Ask it as the API does, …/api/v1.1/{candidates[0].path}/final/current",
        )
    roots = ", ".join(dict.fromkeys(product.roots[0] for product in PRODUCTS))
    raise FormatError(
        entry.name,
        f"the answer holds {', '.join(sorted(root_keys)) or 'no object'}, which is not a resource that Gridtide reads",
        f'Ask a resource that answers with one of {roots}; or keep bodies only, with "format": "json"',
    )


def _find_place(url: str) -> str | None:
    """Returns the location that the URL requests, or None."""
    match = re.search(r"/location/([^/.]+)", urlsplit(url).path)
    return match[1] if match else None


def _build_day_url(url: str, day: date) -> str:
    """Returns `url` for one operating day: `/day/<day>` replaces `/current`, or is inserted before the location."""
    url_parts = urlsplit(url)
    path, count = _CURRENT.subn(f"/day/{day:%Y%m%d}", url_parts.path, count=1)
    if not count:
        path = _TAIL.sub(rf"/day/{day:%Y%m%d}\1\2", url_parts.path, count=1)
    return urlunsplit(url_parts._replace(path=path))


def _is_nothing(value: Any) -> bool:
    """Whether `value` is one of the upstream's spellings of an absent value."""
    return value is None or value in ({}, []) or (isinstance(value, str) and value.strip() in ("", "-"))


def _as_items(content: Any) -> Sequence[Any]:
    """Returns `content` as a list: a single item becomes a list of one, an absent value an empty list."""
    if _is_nothing(content):
        return []
    return content if isinstance(content, list | tuple) else [content]


def _as_objects(content: Any) -> Sequence[ApiRecord]:
    """Returns `content` as a list of objects; raises `ValueError` for any other item."""
    objects = _as_items(content)
    for item in objects:
        if not isinstance(item, dict):
            raise ValueError(f"{str(item)[:60]!r} is not an object")
    return objects


def _find_records(document: Any, product: Product) -> Sequence[ApiRecord]:
    """Returns the records of `product` from any shape of answer, also one without a root."""
    inner = document
    for root in product.roots:
        if isinstance(inner, dict) and root in inner:
            inner = inner[root]
    if isinstance(inner, dict) and all(key.startswith("@") for key in inner):
        return []  # the root has only attributes, such as @xmlns
    if inner is document and isinstance(inner, dict) and inner and "BeginDate" not in inner:
        raise ValueError(f"the answer holds {', '.join(sorted(inner))}")
    return _as_objects(inner)


def _leave_out_timeless(product: Product, records: Sequence[ApiRecord], left_out: LeftOut) -> Sequence[ApiRecord]:
    """Returns the records with a time that can be read; counts the others, of seven-day forecasts the days."""
    if product.read is not _read_seven_days:
        return _filter_timed(records, "BeginDate", "record", left_out)
    days = [_filter_timed(_as_objects(record.get("MarketDay")), "MarketDate", "day", left_out) for record in records]
    return [{**record, "MarketDay": timed} for record, timed in zip(records, days, strict=True) if timed]


def _filter_timed(records: Sequence[ApiRecord], field: str, noun: str, left_out: LeftOut) -> Sequence[ApiRecord]:
    """Returns the records whose `field` is a time; counts the others, each a `noun` in the example."""
    timed = []
    for number, record in enumerate(records, 1):
        try:
            _to_microseconds(str(record[field]))
            timed.append(record)
        except (KeyError, ValueError, OverflowError):
            left_out.add(NO_TIME, f"{field} of {noun} {number}: {str(record.get(field))[:60]!r}")
    return timed


def _read_fuel_mix(
    product: Product, records: Sequence[ApiRecord], url_location: str | None, left_out: LeftOut
) -> Iterator[ColumnValues]:
    """Reads the output, and whether the fuel is marginal if the record says so, at the instant of the reading."""
    for record in records:
        if "GenMw" not in record:
            raise KeyError(f"GenMw{_describe_place(record)}")
    _count_unread_fields(records, ("GenMw", "MarginalFlag"), left_out)
    yield _build_fuel_columns(*_read_cells(records, "GenMw", left_out, _read_number), "generation")
    yield _build_fuel_columns(*_read_cells(records, "MarginalFlag", left_out, _read_flag), "marginal")


def _read_cells(
    records: Sequence[ApiRecord], name: str, left_out: LeftOut, read: Callable[[Any], float | None]
) -> tuple[list[ApiRecord], list[float | None]]:
    """Returns the records whose field `name` can be read, and its values; counts the fields that cannot."""
    holders: list[ApiRecord] = []
    values: list[float | None] = []
    for record in records:
        if name in record:
            try:
                values.append(read(record[name]))
                holders.append(record)
            except ValueError as error:
                left_out.add(NO_NUMBER, f"{name}{_describe_place(record)}: {error}")
    return holders, values


LABEL_FIELDS = frozenset({"BeginDate", "CreationDate", "Location", "FuelCategory", "FuelCategoryRollup"})
"""The fields that say what the values of a record are about."""


def _count_unread_fields(records: Sequence[ApiRecord], fields: Collection[str], left_out: LeftOut) -> None:
    """Counts the fields that are neither labels nor attributes nor among `fields`."""
    read_fields = LABEL_FIELDS.union(fields)
    for record in records:
        if record.keys() <= read_fields:
            continue
        for name in sorted(record.keys() - read_fields):
            if not name.startswith("@"):
                left_out.add(NOT_READ, f"{name}{_describe_place(record)}: {str(record[name])[:60]!r}")


def _describe_place(record: ApiRecord) -> str:
    return f" at {record['BeginDate']}" if "BeginDate" in record else ""


def _build_fuel_columns(records: Sequence[ApiRecord], values: Sequence[float | None], quantity: str) -> ColumnValues:
    instants = [_to_microseconds(str(record["BeginDate"])) for record in records]
    fuels = [record.get("FuelCategory") or record["FuelCategoryRollup"] for record in records]
    return {
        "interval_start": instants,
        "interval_end": instants,
        "location": SYSTEM,
        "variable": [f"{quantity}_{_snake(str(fuel))}" for fuel in fuels],
        "unit": unit_of(VARIABLES, f"{quantity}_any"),
        "value": values,
        "published_at": _read_published(records),
    }


def _read_intervals(
    product: Product, records: Sequence[ApiRecord], url_location: str | None, left_out: LeftOut
) -> Iterator[ColumnValues]:
    """Reads each field of the records that have it, over the interval of length `product.step` from BeginDate."""
    for record in records:
        if record.keys().isdisjoint(product.fields):
            raise KeyError(f"{' nor '.join(product.fields)}{_describe_place(record)}")
    _count_unread_fields(records, product.fields, left_out)
    interval_length = count_microseconds(product.step)
    for name, variable in product.fields.items():
        holders, values = _read_cells(records, name, left_out, _read_number)
        starts = [_to_microseconds(str(record["BeginDate"])) for record in holders]
        yield {
            "interval_start": starts,
            "interval_end": [start + interval_length for start in starts],
            "location": [_read_location(record, url_location) for record in holders]
            if product.has_locations
            else SYSTEM,
            "variable": variable,
            "unit": unit_of(VARIABLES, variable),
            "value": values,
            "published_at": _read_published(holders),
        }


def _read_morning_report(
    product: Product, records: Sequence[ApiRecord], url_location: str | None, left_out: LeftOut
) -> Iterator[ColumnValues]:
    """Reads the numbers of each report, for the operating day of BeginDate. An absent value becomes a null only if the
    unit of the field shows that it is a number."""
    for record in records:
        numbers = [
            (variable, _read_number(value))
            for variable, value in _list_scalars(record, "morning_report")
            if _may_be_number(variable, value, record["BeginDate"], left_out)
            and not (_is_nothing(value) and unit_of(VARIABLES, variable) == "1")
        ]
        yield _build_day_columns(record["BeginDate"], numbers, record)


def _read_seven_days(
    product: Product, records: Sequence[ApiRecord], url_location: str | None, left_out: LeftOut
) -> Iterator[ColumnValues]:
    """Reads the numbers and flags for each MarketDay; the BeginDate of the record itself has no fixed meaning."""
    for record in records:
        for market_day in _as_objects(record["MarketDay"]):
            numbers = [
                (variable, _read_flag(value))
                for variable, value in _list_scalars(market_day, "seven_day")
                if _is_flag(value) or _may_be_number(variable, value, market_day["MarketDate"], left_out)
            ]
            yield _build_day_columns(market_day["MarketDate"], numbers, record)


_TEXTS = re.compile(
    r"(morning_report|seven_day)_(begin_date|creation_date|market_date|day|report_type|ny_iso_sar_avail"
    r"|peak_load_(to|yester)day_hour|geo_mag_dist_\w+|(city_name|tie_name|weather_conditions|wind_dir_speed)(_.*)?)"
)
"""The variables of fields that hold texts and times, which are not values."""


def _may_be_number(variable: str, value: Any, day: Any, left_out: LeftOut) -> bool:
    """Returns whether a field holds a number or is empty; counts what else it holds, unless it is a field of texts."""
    if _is_nothing(value) or _is_finite(value):
        return True
    if not _TEXTS.fullmatch(variable):
        left_out.add(NO_NUMBER, f"{variable} of {str(day)[:10]}: {str(value)[:60]!r}")
    return False


def _build_day_columns(midnight: Any, numbers: Sequence[tuple[str, float | None]], record: ApiRecord) -> ColumnValues:
    """Returns the values of `record` for the operating day that starts at `midnight`. Only the date is read, so that an
    offset from before a clock change does not move the day."""
    day = local_day(date.fromisoformat(str(midnight)[:10]), ZONE)
    return {
        "interval_start": day.start,
        "interval_end": day.end,
        "location": SYSTEM,
        "variable": [variable for variable, _ in numbers],
        "unit": [unit_of(VARIABLES, variable) for variable, _ in numbers],
        "value": [number for _, number in numbers],
        "published_at": _read_published([record]) * len(numbers),
    }


HOLDERS = {"Weather", "CityWeather"}
"""Fields that contain the fields of the cities. They are not values, even if they are empty."""


def _list_scalars(node: ApiRecord, prefix: str, suffix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the fields of `node` as variables; the name of an object within it is a suffix: `TieDelivery: [{TieName:
    "NYISO AC", TieFlowMw: 1}]` becomes `<prefix>_tie_flow_mw_nyiso_ac`."""
    for field_name, value in node.items():
        if isinstance(value, dict | list):
            for inner_object in _as_objects(value):
                object_name = next((text for key, text in inner_object.items() if key.endswith("Name")), None)
                yield from _list_scalars(
                    inner_object, prefix, suffix if object_name is None else f"{suffix}_{_snake(str(object_name))}"
                )
        elif field_name not in HOLDERS:
            yield f"{prefix}_{_snake(field_name)}{suffix}", value


_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d\d?)?\s*")
FLAGS = {"Y": 1.0, "N": 0.0}


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    """Returns whether `value` is a number that float64 can hold."""
    try:
        return _is_number(value) and math.isfinite(float(value))
    except OverflowError:
        return False


def _read_number(value: Any) -> float | None:
    """Reads a number in any spelling, and an absent value as None; raises `ValueError` for anything else."""
    if _is_finite(value):
        return float(value)
    if _is_nothing(value):
        return None
    raise ValueError(f"{str(value)[:60]!r} is not a number")


def _is_flag(value: Any) -> bool:
    return isinstance(value, str) and value in FLAGS


def _read_flag(value: Any) -> float | None:
    return FLAGS[value] if _is_flag(value) else _read_number(value)


def _read_location(record: ApiRecord, requested_location: str | None) -> str:
    """Returns the location id of the record, or else the requested location."""
    location = record.get("Location")
    identifier = location.get("@LocId", location.get("LocId")) if isinstance(location, dict) else location
    if _is_nothing(identifier):
        identifier = requested_location
    if not isinstance(identifier, str | int):
        raise KeyError("Location with an @LocId")
    return str(identifier)


def _read_published(records: Sequence[ApiRecord]) -> list[int | None]:
    """Returns the creation time of each record in microseconds since 1970, None for a record without one."""
    created = [record.get("CreationDate") for record in records]
    return [
        None if created_at is None or _is_nothing(created_at) else _to_microseconds(str(created_at))
        for created_at in created
    ]


@functools.lru_cache(maxsize=4096)
def _to_microseconds(timestamp: str) -> int:
    """Converts a time with its offset to microseconds since 1970; raises `ValueError` for anything else."""
    moment = datetime.fromisoformat(timestamp)
    if moment.tzinfo is None:
        raise ValueError(f"{timestamp!r} has no offset")
    return microseconds(moment)


_snake = functools.lru_cache(maxsize=1024)(snake_case)


HOURLY_POLICY = {
    "resolution": "PT1H",
    "available": {"lag": "PT2H"},
    "reread": "P3D",
    "chunk": "P30D",
    "fresh": "PT30M",
}
FREQUENT_POLICY = {
    "resolution": "PT5M",
    "available": {"lag": "PT15M"},
    "reread": "P1D",
    "chunk": "P7D",
    "fresh": "PT5M",
}
FINAL_POLICY = {"available": {"lag": "P7D"}, "reread": "P7D"}
"""Five business days are seven days, as each week has a weekend."""
SETTLED_POLICY = HOURLY_POLICY | FINAL_POLICY
"""For data that are final after about five business days."""
DAY_AHEAD_POLICY = HOURLY_POLICY | {"available": {"day_before": "13:30", "timezone": ZONE.key}, "reread": "P2D"}
"""For results of the day-ahead market, which are published by 13:30 on the day before."""
FORECAST_POLICY = HOURLY_POLICY | {"available": {"day_before": "10:00", "timezone": ZONE.key}, "reread": "P2D"}
REPORT_POLICY = HOURLY_POLICY | {"resolution": "P1D", "available": {"lag": "PT0S"}, "reread": "P2D"}


@dataclass(frozen=True, slots=True)
class Product:
    """A resource of the API: its defaults and how it is read.

    `path` are the words that its URL contains, `root` is the element that repeats in its answers, `policy` are the
    defaults of an entry. `fields` maps the upstream's fields to variables, for readers that use it. Records name their
    location if it `has_locations`; other records are for the whole system. A `by_location` resource gives whole days of
    only one location. If the URL names no location, a day is requested once for each of `zones`.
    """

    path: str
    root: str
    policy: Mapping[str, Any]
    read: Callable[[Product, Sequence[ApiRecord], str | None, LeftOut], Iterator[ColumnValues]] = _read_intervals
    fields: Mapping[str, str] = field(default_factory=dict)
    step: timedelta = timedelta(hours=1)
    has_locations: bool = False
    by_location: bool = False
    zones: Sequence[str] = ()

    @property
    def roots(self) -> tuple[str, str]:
        """The plural and singular name of the root: `GenFuelMixes`, `GenFuelMix`."""
        return (f"{self.root}es" if self.root.endswith("x") else f"{self.root}s", self.root)


def _make_lmp(path: str, root: str, policy: Mapping[str, Any], variable: str, **options: Any) -> Product:
    fields = {
        "LmpTotal": variable,
        "EnergyComponent": f"{variable}_energy",
        "CongestionComponent": f"{variable}_congestion",
        "LossComponent": f"{variable}_loss",
    }
    return Product(path, root, policy, fields=fields, has_locations=True, **options)


def _make_frequent_lmp(path: str, root: str, minutes: int, variable: str, **policy: Any) -> Product:
    policy = FREQUENT_POLICY | {"resolution": f"PT{minutes}M"} | policy
    return _make_lmp(path, root, policy, variable, step=timedelta(minutes=minutes), by_location=True)


PRODUCTS = (
    Product("genfuelmix", "GenFuelMix", FREQUENT_POLICY, _read_fuel_mix),
    _make_lmp("hourlylmp/da", "HourlyLmp", DAY_AHEAD_POLICY, "lmp_day_ahead"),
    _make_lmp("hourlylmp/rt/final", "HourlyLmp", SETTLED_POLICY, "lmp_real_time"),
    _make_lmp("hourlylmp/rt/prelim", "HourlyLmp", HOURLY_POLICY, "lmp_real_time_preliminary"),
    _make_frequent_lmp("fiveminutelmp/final", "FiveMinLmp", 5, "lmp_five_minute_final", **FINAL_POLICY),
    _make_frequent_lmp("fiveminutelmp/prelim", "FiveMinLmp", 5, "lmp_five_minute_preliminary"),
    _make_frequent_lmp("fiveminutelmp", "FiveMinLmp", 5, "lmp_five_minute"),
    _make_frequent_lmp("fifteenminutelmp/final", "FifteenMinLmp", 15, "lmp_fifteen_minute_final", **FINAL_POLICY),
    _make_frequent_lmp("fifteenminutelmp/prelim", "FifteenMinLmp", 15, "lmp_fifteen_minute_preliminary"),
    _make_frequent_lmp("fifteenminutelmp", "FifteenMinLmp", 15, "lmp_fifteen_minute"),
    Product(
        "hourlysysload",
        "HourlySystemLoad",
        HOURLY_POLICY,
        fields={"Load": "load", "NativeLoad": "load_native", "ArdDemand": "load_ard"},
        has_locations=True,
    ),
    Product(
        "fiveminutesystemload",
        "FiveMinSystemLoad",
        FREQUENT_POLICY,
        fields={
            "LoadMw": "load_five_minute",
            "NativeLoad": "load_native_five_minute",
            "ArdDemand": "load_ard_five_minute",
            "SystemLoadBtmPv": "load_btm_pv_five_minute",
            "NativeLoadBtmPv": "load_native_btm_pv_five_minute",
        },
        step=timedelta(minutes=5),
    ),
    Product(
        "hourlyloadforecast",
        "HourlyLoadForecast",
        FORECAST_POLICY,
        fields={"LoadMw": "load_forecast", "NetLoadMw": "net_load_forecast"},
    ),
    Product(
        "realtimehourlydemand",
        "HourlyRtDemand",
        SETTLED_POLICY,
        fields={"Load": "demand_real_time"},
        has_locations=True,
        zones=DEMAND_ZONES,
    ),
    Product(
        "dayaheadhourlydemand",
        "HourlyDaDemand",
        DAY_AHEAD_POLICY,
        fields={"Load": "demand_day_ahead"},
        has_locations=True,
        zones=DEMAND_ZONES,
    ),
    Product("morningreport", "MorningReport", REPORT_POLICY, _read_morning_report),
    Product("sevendayforecast", "SevenDayForecast", REPORT_POLICY, _read_seven_days),
)
