"""The registry of sources, and the source of a host.

The name of a source in this package is its module's name (`eia`). The name of any other source is its import path
(`our_grid.operator`); its `parse_response` must give that same name to its observations.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from gridtide.periods import Period, split, split_calendar_months, split_days
from gridtide.sources.contract import Source, complete, is_source
from gridtide.sources.presets.catalogue import describe_module, list_preset_names
from gridtide.variables import HourlyRule, Quantity, Variable, dimension, find_customary_quantity, match_variable

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry
    from gridtide.entries.scope import Scope


PACKAGES = ("gridtide.sources",)
"""The packages whose modules are sources, if they define `build_requests` and `parse_response`."""

_MONTH = timedelta(days=31)
"""The longest month: a chunk of P31D holds any calendar month whole."""


@functools.cache
def get_source(name: str) -> Source:
    """Returns the source called `name`: one of `list_sources()`, or the path of a module that can be imported.

    Raises `LookupError` for any other name, and any error that importing the module raises.
    """
    if "." in name:
        return complete(importlib.import_module(name))
    for package in PACKAGES:
        if name in _list_modules(package) and is_source(module := importlib.import_module(f"{package}.{name}")):
            return complete(module)
    described_module = describe_module(name)
    if described_module is not None:
        return complete(described_module)
    names = ", ".join(list_sources())
    raise LookupError(f'"{name}" is unknown; use one of {names}, or the path of a module of your own')


@functools.cache
def list_sources() -> tuple[str, ...]:
    """Returns the names of all sources of Gridtide, sorted."""
    return tuple(sorted([*_find_sources(), *list_preset_names()]))


def _find_sources() -> Iterator[str]:
    for package in PACKAGES:
        for name in _list_modules(package):
            if is_source(importlib.import_module(f"{package}.{name}")):
                yield name


@functools.cache
def _list_modules(package: str) -> tuple[str, ...]:
    """Returns the names of the modules in `package`, without importing them."""
    paths = importlib.import_module(package).__path__
    return tuple(module.name for module in pkgutil.iter_modules(paths) if not module.ispkg)


def find_host_source(host: str) -> str:
    """Returns the name of the source that `host` belongs to, or `generic`."""
    return next((name for name in _find_sources() if host in get_source(name).HOSTS), "generic")


def find_source_problem(name: str) -> str | None:
    """Returns what is wrong with `name` as the name of a source, or None."""
    try:
        get_source(name)
    except LookupError as error:
        return str(error.args[0])
    except Exception as error:  # a module of the user's own may raise anything
        return f'"{name}" cannot be imported: {type(error).__name__}: {error}; install it, or set PYTHONPATH'
    return None


def find_variable(source_name: str, variable: str) -> Variable | None:
    """Returns how the source describes `variable`; None if its unit comes with the data, or there is no such source."""
    if find_source_problem(source_name):
        return None
    return match_variable(get_source(source_name).VARIABLES, variable)


def find_hourly_rule(source_name: str, variable: str, unit: str) -> HourlyRule:
    """Returns how `variable` becomes hourly: as its source says, or else by its unit."""
    description = find_variable(source_name, variable)
    if description is not None:
        return description.hourly
    rule = None if find_source_problem(source_name) else get_source(source_name).HOURLY_RULE
    return rule or ("sum" if dimension(unit) == "energy" else "mean")


def find_quantity(source_name: str, variable: str) -> Quantity | None:
    """Returns what `variable` measures: as its source says, or else by its name; None if it is no quantity that
    training derives features from."""
    description = find_variable(source_name, variable)
    declared = description.quantity if description else None
    return declared or find_customary_quantity(variable)


def find_basic_auth(source_name: str) -> Mapping[str, str]:
    """Returns the keys of HTTP Basic that an entry of the source need not give: the variables of user and password."""
    return get_source(source_name).BASIC_AUTH or get_source("generic").BASIC_AUTH


def list_system_locations(name: str) -> Sequence[str]:
    """Returns the locations that name the whole system in the source `name`; empty if there is no such source."""
    return () if find_source_problem(name) else get_source(name).SYSTEM_LOCATIONS


def find_longitude(source_name: str, location: str) -> float:
    """Returns the longitude of a location of the source in degrees, NaN if the source does not say it."""
    return (
        float("nan")
        if find_source_problem(source_name)
        else get_source(source_name).LONGITUDES.get(location, float("nan"))
    )


def find_operator(source_name: str, location: str) -> str | None:
    """Returns the source whose whole system a location of the source `source_name` is; None if there is none."""
    return None if find_source_problem(source_name) else get_source(source_name).OPERATORS.get(location)


def find_entry_scope(entry: Entry) -> Scope:
    """Returns what `entry` requests, apart from the period, by its source."""
    return get_source(entry.source).find_scope(entry)


def narrow_entry(entry: Entry, part: Scope) -> Sequence[Entry]:
    """Returns the entries that together request exactly `part` of the scope of `entry`: the entry itself if that is all
    of it; empty if its upstream cannot be asked for that part alone, or if `expect` is about whole responses."""
    if part == find_entry_scope(entry):
        return [entry]
    if entry.expect.is_about_answers:
        return ()
    return get_source(entry.source).narrow(entry, part)


def split_into_chunks(entry: Entry, period: Period) -> list[Period]:
    """Splits `period` into adjacent chunks of at most `entry.chunk`, each collected by itself.

    If the upstream answers by day, chunks end at its midnights, so that each day is requested once; the shortest chunk
    is one day. If it answers by month or year, they end with these, for the same reason.
    """
    zone = get_source(entry.source).find_day_zone(entry)
    if zone is None:
        return split(period, entry.chunk)
    if entry.per in ("month", "year"):
        return split_calendar_months(period, max(entry.chunk // _MONTH, 1) if entry.per == "month" else 12, zone)
    return split_days(period, max(entry.chunk // timedelta(days=1), 1), zone)
