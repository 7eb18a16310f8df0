"""Names of the files that one run collects: `<prefix>_<YYYYMMDD>_<HHMMSS>[_<from>_<to>].<ext>`, all UTC.

generation_20240310_061200_20240303T0000_20240310T0600.parquet
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gridtide.lake.files.metadata import Metadata
from gridtide.periods import Period

EXTENSIONS = {"parquet": "parquet", "csv": "csv", "json": "json", "raw": "raw"}
"""The file extension of each format."""

SIDECAR = ".meta.json"
"""The suffix that a sidecar adds to the name of its file."""

PROCESSED = "processed"
"""The folder of compacted months."""

REJECTED = "rejected"
"""The folder of rows that the rules of `expect` keep apart."""

_SUPERSEDED = ".superseded_"
_MOMENT = "%Y%m%dT%H%M%S%f"
_STAMP = "%Y%m%d_%H%M%S"
_BOUND = "%Y%m%dT%H%M"
_NAME = re.compile(
    r"(?P<prefix>.+)_(?P<stamp>\d{8}_\d{6})(?:_(?P<start>\d{8}T\d{4})_(?P<end>\d{8}T\d{4}))?"
    rf"\.(?P<extension>{'|'.join(EXTENSIONS.values())})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Name:
    """The parts of a file's name."""

    prefix: str
    stamp: datetime
    period: Period | None
    extension: str


@dataclass(frozen=True, slots=True)
class RemovedFile:
    """A file that was removed after it was compacted; the `months`, such as `2024-03`, contain its rows."""

    metadata: Metadata
    months: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class File:
    """One file of the lake by its name; `path` is relative to the lake, `size` in bytes. From `superseded_at` on other
    files replace it. A `removed` file still covers its period; compacted months contain its rows."""

    path: str
    stamp: datetime
    period: Period | None
    extension: str
    size: int
    superseded_at: datetime | None = None
    removed: RemovedFile | None = None
    tag: str | None = field(default=None, compare=False)
    """Changes with the content, as `Object.e_tag`; None if it is not known."""


def file_name(prefix: str, stamp: datetime, period: Period | None, extension: str) -> str:
    """Returns the name of the file that a run started at `stamp` writes for `period` (None: a snapshot).

    Raises `ValueError` for a stamp without a time zone and for bounds that are not whole minutes, which a name cannot
    hold.

    >>> file_name("demand", datetime(2024, 3, 10, 6, 12, tzinfo=UTC), None, "csv")
    'demand_20240310_061200.csv'
    """
    return f"{folder_name(prefix, stamp, period)}.{extension}"


def folder_name(prefix: str, stamp: datetime, period: Period | None) -> str:
    """As `file_name`, without the extension: the name of the folder under `raw/` for the bodies of that run."""
    if stamp.tzinfo is None:
        raise ValueError(f"a stamp needs a time zone, got {stamp!r}")
    parts = [prefix, stamp.astimezone(UTC).strftime(_STAMP)]
    if period is not None:
        parts += [_format_bound(period.start), _format_bound(period.end)]
    return "_".join(parts)


def parse_name(name: str) -> Name | None:
    """Parses `name`, the inverse of `file_name`; None if it is not the name of a lake file."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        period = Period(_parse_utc(match["start"]), _parse_utc(match["end"])) if match["start"] else None
        return Name(match["prefix"], _parse_utc(match["stamp"]), period, match["extension"])
    except ValueError:  # the digits are not a date, or the period ends before it starts
        return None


def superseded_name(name: str, moment: datetime) -> str:
    """Returns the name of the empty file that marks the file `name` as superseded from `moment` on."""
    return f"{name}{_SUPERSEDED}{moment.astimezone(UTC):{_MOMENT}}"


def parse_superseded_name(name: str) -> tuple[str, datetime] | None:
    """Parses the original name and the moment, the inverse of `superseded_name`; None if `name` is no such name."""
    original, marked, moment = name.rpartition(_SUPERSEDED)
    try:
        return (original, datetime.strptime(moment, _MOMENT).replace(tzinfo=UTC)) if marked else None
    except ValueError:
        return None


def parse_folder_name(name: str) -> Name | None:
    """Parses `name`, the inverse of `folder_name`, with `raw` as the extension; None if `name` is no such name."""
    return parse_name(f"{name}.raw")


def _format_bound(moment: datetime) -> str:
    if moment.second or moment.microsecond:
        raise ValueError(f"a period's bounds are whole minutes, got {moment.isoformat()}")
    return moment.astimezone(UTC).strftime(_BOUND)


def _parse_utc(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}Z")  # takes a twentieth of the time of `strptime`
