"""Which sources there are, and whose upstream a host is."""

from __future__ import annotations

import importlib
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from gridtide.periods import Period, split, split_days
from gridtide.sources.contract import Source

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry


NAMES = ("iso_ne", "eia", "caiso", "open_meteo", "synthetic", "generic")


HOSTS = {
    "webservices.iso-ne.com": "iso_ne",
    "api.eia.gov": "eia",
    "oasis.caiso.com": "caiso",
    "api.open-meteo.com": "open_meteo",
    "archive-api.open-meteo.com": "open_meteo",
    "historical-forecast-api.open-meteo.com": "open_meteo",
}
"""Whose upstream a host is; an unknown host gets the generic source."""


def source(name: str) -> Source:
    """The source called `name`, one of `NAMES`."""
    return cast(Source, importlib.import_module(f"gridtide.sources.{name}"))


def in_chunks(entry: Entry, period: Period) -> list[Period]:
    """`period` in the touching slices that are collected one by one, each at most `entry.chunk` long.

    Where the upstream answers by day, they are cut between its days, so that each is asked once, and no shorter.
    """
    zone = source(entry.source).days(entry)
    if zone is None:
        return split(period, entry.chunk)
    return split_days(period, max(entry.chunk // timedelta(days=1), 1), zone)
