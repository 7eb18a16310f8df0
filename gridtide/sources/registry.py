"""The registry of sources, and the source of a host.

The name of a source in this package is its module's name (`eia`). The name of any other source is its import path
(`our_grid.operator`); its `parse` must give that same name to its observations.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from gridtide.periods import Period, split, split_calendar_months, split_days
from gridtide.sources.contract import Source, complete

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry
    from gridtide.entries.scope import Scope


NAMES = ("iso_ne", "eia", "caiso", "open_meteo", "synthetic", "generic")
"""The modules of this package that are sources; a host is looked up in this order."""

_MONTH = timedelta(days=31)


@functools.cache
def source(name: str) -> Source:
    """Returns the source called `name`: one of `NAMES`, or the path of a module that can be imported.

    Raises `LookupError` for any other name, and any error that importing the module raises.
    """
    if name not in NAMES and "." not in name:
        raise LookupError(f'"{name}" is unknown; use one of {", ".join(NAMES)}, or the path of a module of your own')
    return complete(importlib.import_module(f"gridtide.sources.{name}" if name in NAMES else name))


def source_of_host(host: str) -> str:
    """Returns the name of the source that `host` belongs to, or `generic`."""
    return next((name for name in NAMES if host in source(name).HOSTS), "generic")


def find_source_problem(name: str) -> str | None:
    """Returns what is wrong with `name` as the name of a source, or None."""
    try:
        source(name)
    except LookupError as error:
        return str(error.args[0])
    except Exception as error:  # a module of the user's own may raise anything
        return f'"{name}" cannot be imported: {type(error).__name__}: {error}; install it, or set PYTHONPATH'
    return None


def system_locations(name: str) -> Sequence[str]:
    """Returns the locations that name the whole system in the source `name`; empty if there is no such source."""
    return () if find_source_problem(name) else source(name).SYSTEM_LOCATIONS


def scope_of(entry: Entry) -> Scope:
    """Returns what `entry` requests, apart from the period, by its source."""
    return source(entry.source).scope(entry)


def narrow_entry(entry: Entry, part: Scope) -> Sequence[Entry]:
    """Returns the entries that together request exactly `part` of the scope of `entry`: the entry itself if that is all
    of it; empty if its upstream cannot be asked for that part alone, or if `expect` is about whole responses."""
    if part == scope_of(entry):
        return [entry]
    if entry.expect.required or entry.expect.minimum_rows:
        return ()
    return source(entry.source).narrow(entry, part)


def in_chunks(entry: Entry, period: Period) -> list[Period]:
    """Splits `period` into adjacent chunks of at most `entry.chunk`, each collected by itself.

    If the upstream answers by day, chunks end at its midnights, so that each day is requested once; the shortest chunk
    is one day. If it answers by month or year, they end with these, for the same reason.
    """
    zone = source(entry.source).days(entry)
    if zone is None:
        return split(period, entry.chunk)
    if entry.per in ("month", "year"):
        return split_calendar_months(period, max(entry.chunk // _MONTH, 1) if entry.per == "month" else 12, zone)
    return split_days(period, max(entry.chunk // timedelta(days=1), 1), zone)
