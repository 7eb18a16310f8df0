"""Which sources exist, and whose upstream a host is.

A module of this package is a source by its name (`eia`). A source that is not of this package is named by the path
from which it is imported (`our_grid.operator`); `parse` then gives that same name to its observations.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from gridtide.periods import Period, split, split_days
from gridtide.sources.contract import Source, complete

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry


NAMES = ("iso_ne", "eia", "caiso", "open_meteo", "synthetic", "generic")
"""The modules of this package that are sources, in the order in which a host is looked up."""


@functools.cache
def source(name: str) -> Source:
    """The source called `name`: one of `NAMES`, or the path of a module that can be imported.

    Raises `LookupError` for any other name, and whatever the import of the module raises.
    """
    if name not in NAMES and "." not in name:
        raise LookupError(f'"{name}" is unknown; use one of {", ".join(NAMES)}, or the path of a module of your own')
    return complete(importlib.import_module(f"gridtide.sources.{name}" if name in NAMES else name))


def source_of_host(host: str) -> str:
    """The name of the source whose upstream `host` is, `generic` where it is of none."""
    return next((name for name in NAMES if host in source(name).HOSTS), "generic")


def find_source_problem(name: str) -> str | None:
    """What is wrong with `name` as that of a source, None where it is one."""
    try:
        source(name)
    except LookupError as error:
        return str(error.args[0])
    except Exception as error:  # a module of the user's own may raise anything
        return f'"{name}" cannot be imported: {type(error).__name__}: {error}; install it, or set PYTHONPATH'
    return None


def system_locations(name: str) -> Sequence[str]:
    """The locations that are one system in the observations of the source `name`; none where it is no source here."""
    return () if find_source_problem(name) else source(name).SYSTEM_LOCATIONS


def in_chunks(entry: Entry, period: Period) -> list[Period]:
    """`period` in the touching slices that are collected one by one, each at most `entry.chunk` long.

    Where the upstream answers by day, they are cut between its days, so that each is asked once, and no shorter.
    """
    zone = source(entry.source).days(entry)
    if zone is None:
        return split(period, entry.chunk)
    return split_days(period, max(entry.chunk // timedelta(days=1), 1), zone)
