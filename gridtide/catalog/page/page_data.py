"""The data of the page as small documents: an index that comes with the page, and details that it loads on demand.

    index             in index.html      every series in columns of numbers, entries, training sets, schedules
    sparks            sparks.js          a text of 84 characters for each series: its last three weeks
    series/<n>        series/<n>.js      the last weeks by the hour, coverage and quality of 50 series
    files/<n>         files/<n>.js       the files of an entry, with their bodies, months and training sets

Times are whole seconds or minutes since 1970. A value in a plot is a number of one or two characters of `ALPHABET`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, get_args

import numpy as np

from gridtide.catalog.corrections import describe_correction
from gridtide.catalog.entry_files import CatalogFile, merge_files
from gridtide.catalog.lineage.kept_bodies import Body
from gridtide.catalog.lineage.training_sets import SetRecord
from gridtide.catalog.making import EntryParts
from gridtide.catalog.recent_rows import RecentSeries
from gridtide.catalog.records import Catalogue, EntryRecord, Freshness, SeriesRecord, format_moment
from gridtide.observations.array_types import Floats, Integers
from gridtide.periods import DAY, EPOCH, HOUR, Period

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_~"
"""The characters of a number in a plot, by value; a dash stands for no value."""

SPARK_LEVELS, PLOT_LEVELS = 62, 4096
"""How many heights a point has in a small plot, which takes a character, and in a large one, which takes two."""

SPARK_STEP, SPARK_SPAN = 6 * HOUR, 21 * DAY
"""The time between two points of a small plot, and how much time it shows."""

SERIES_IN_CHUNK = 50
"""How many series have their details in one file, about 70 kB."""

QUALITY_FLAGS = ("", "good", "not evaluated", "suspect", "fail", "missing")
"""The flags of quality; the first stands for a series without one."""


@dataclass(frozen=True)
class LakePicture:
    """All that the page shows: the `catalogue` with the `parts` that it was made from, the training `sets`, the bodies
    of each file by entry and path, and the state of each schedule (None if no server was asked)."""

    catalogue: Catalogue
    parts: Sequence[EntryParts] = field(repr=False)
    sets: Sequence[SetRecord] = field(default=(), repr=False)
    bodies: Mapping[str, Mapping[str, Sequence[Body]]] = field(default_factory=dict, repr=False)
    schedules: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Detail:
    """A document that the page loads on demand; `key` changes with its content."""

    name: str
    content: Any
    key: str = ""

    @classmethod
    def keyed(cls, name: str, content: Any) -> Detail:
        """Returns the document with its key."""
        return cls(name, content, hashlib.sha256(write_compact(content).encode()).hexdigest()[:12])


def write_compact(document: Any) -> str:
    """Writes `document` as JSON without spaces that can stand within a script of a page."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def build_details(picture: LakePicture) -> list[Detail]:
    """Returns the documents that the page loads on demand."""
    series = picture.catalogue.series
    sparks = [draw_spark(record.recent) if record.recent else "" for record in series]
    chunks = [series[first : first + SERIES_IN_CHUNK] for first in range(0, len(series), SERIES_IN_CHUNK)]
    return [
        Detail.keyed("sparks", sparks),
        *(Detail.keyed(f"series/{number}", list(map(_describe_plot, chunk))) for number, chunk in enumerate(chunks)),
        *(
            Detail.keyed(f"files/{entry_number}", list_files(entry_parts, picture))
            for entry_number, entry_parts in enumerate(picture.parts)
        ),
    ]


def build_index(picture: LakePicture, details: Iterable[Detail]) -> dict[str, Any]:
    """Returns what comes with the page; the keys of its `details` are in it."""
    catalogue = picture.catalogue
    return {
        "made": format_moment(catalogue.made_at),
        "version": catalogue.version,
        "entries": [_describe_entry(entry) for entry in catalogue.entries],
        "licences": {name: licence.as_dict() if licence else None for name, licence in catalogue.licences.items()},
        "states": list(get_args(Freshness)),
        "flags": list(QUALITY_FLAGS),
        "sparkStep": int(SPARK_STEP.total_seconds()),
        "chunk": SERIES_IN_CHUNK,
        "keys": {detail.name: detail.key for detail in details},
        "schedules": None if picture.schedules is None else list(picture.schedules),
        "sets": [_describe_set(record, picture) for record in picture.sets],
        **_index_series(picture),
    }


def _index_series(picture: LakePicture) -> dict[str, Any]:
    """Returns the series as columns of numbers; texts that several of them share are in lists."""
    series = picture.catalogue.series
    entries = {entry.name: number for number, entry in enumerate(picture.catalogue.entries)}
    texts: dict[str, dict[str, int]] = {name: {} for name in ("locations", "variables", "units")}
    states = {state: number for number, state in enumerate(get_args(Freshness))}
    groups = {
        (entry_parts.files.entry.name, label): number
        for entry_parts in picture.parts
        for number, group in enumerate(entry_parts.files.group_series())
        for label in group.labels
    }

    def number_text(kind: str, text: str) -> int:
        return texts[kind].setdefault(text, len(texts[kind]))

    columns = {
        "entry": [entries[record.entry] for record in series],
        "location": [number_text("locations", record.name.location) for record in series],
        "variable": [number_text("variables", record.name.variable) for record in series],
        "unit": [number_text("units", record.unit) for record in series],
        "resolution": [int(record.resolution.total_seconds()) for record in series],
        "start": [_count_minutes(record.period.start) if record.period else None for record in series],
        "end": [_count_minutes(record.period.end) if record.period else None for record in series],
        "coverage": [None if record.coverage is None else int(10_000 * record.coverage) for record in series],
        "state": [states[record.freshness] for record in series],
        "last": [_count_minutes(record.last_value) if record.last_value else None for record in series],
        "late": [record.late_by // timedelta(minutes=1) for record in series],
        "flag": [_number_flag(record) for record in series],
        "vintages": [round(100 * record.recent.vintages.mean) if record.recent else None for record in series],
        "files": [record.files for record in series],
        "group": [groups.get((record.entry, (record.name.location, record.name.variable)), -1) for record in series],
    }
    meanings = {record.name.variable: record.meaning for record in series if record.meaning}
    return {"series": columns, "meanings": meanings, **{kind: list(numbers) for kind, numbers in texts.items()}}


def _number_flag(record: SeriesRecord) -> int:
    flag = record.quality.flag if record.quality else ""
    return QUALITY_FLAGS.index(flag) if flag in QUALITY_FLAGS else 0


def _describe_entry(entry: EntryRecord) -> dict[str, Any]:
    """Returns an entry for the page: as in the catalogue, with times in ms since 1970."""
    return {
        **entry.as_dict(),
        "covered": [[1000 * bound for bound in _count_bounds(stretch)] for stretch in entry.covered_periods],
        "failed": [[1000 * bound for bound in _count_bounds(stretch)] for stretch in entry.failed_periods],
        "due": 1000 * _count_seconds(entry.due),
        "newest": 1000 * _count_seconds(entry.newest) if entry.newest else None,
    }


def _describe_set(record: SetRecord, picture: LakePicture) -> dict[str, Any]:
    """Returns a training set for the page: of how many files of each entry it was made, by the number of the entry, -1
    for one that is no longer configured; and how many of its files are not in the lake as they were."""
    hashes = {
        file.path: file.metadata.content_hash
        for entry_parts in picture.parts
        for file in (*entry_parts.files.files, *entry_parts.files.superseded_files)
    }
    places = {
        f"{entry_parts.files.entry.output_folder}/{entry_parts.files.entry.file_prefix}_": entry_number
        for entry_number, entry_parts in enumerate(picture.parts)
    }
    counts: dict[int, int] = {}
    for pinned in record.inputs:
        number = next((number for place, number in places.items() if pinned.path.startswith(place)), -1)
        counts[number] = counts.get(number, 0) + 1
    configured = [pinned for pinned in record.inputs if pinned.path.startswith(tuple(places))]
    missing_count = sum(hashes.get(pinned.path) != pinned.content_hash for pinned in configured)
    return {**record.as_dict(), "entries": sorted(map(list, counts.items())), "missing": missing_count}


def list_files(entry_parts: EntryParts, picture: LakePicture) -> dict[str, Any]:
    """Returns the files of an entry for the page, oldest first: the rest of the path, when it was stored, its rows,
    content hash, months, training sets, collections under `raw/`, bytes and state (0 present, 1 removed, 2 superseded);
    and for each group of series the ranges of the files that list them."""
    entry_files = entry_parts.files
    place = f"{entry_files.entry.output_folder}/{entry_files.entry.file_prefix}"
    bodies = picture.bodies.get(entry_files.entry.name, {})
    users: dict[str, list[int]] = {}
    for number, record in enumerate(picture.sets):
        for pinned in record.inputs:
            users.setdefault(pinned.path, []).append(number)
    months: dict[str, int] = {}
    collections: dict[str, list[Any]] = {}
    rows = []
    files = merge_files([entry_files.files, entry_files.superseded_files])
    for file in files:
        folders = _count_bodies(bodies.get(file.path, ()), collections)
        rows.append(
            [
                file.path.removeprefix(place),
                _count_seconds(file.metadata.stored_at),
                file.metadata.rows,
                file.metadata.content_hash,
                [months.setdefault(month, len(months)) for month in file.months],
                users.get(file.path, []),
                folders,
                file.file.size,
                2 if file.file.superseded_at else 1 if file.file.removed else 0,
            ]
        )
    numbers = {file.path: number for number, file in enumerate(files)}
    groups = [_join_numbers(group.files, numbers) for group in entry_files.group_series()]
    return {
        "folder": place,
        "rows": rows,
        "months": list(months),
        "bodies": list(collections.values()),
        "groups": groups,
    }


def _count_bodies(bodies: Iterable[Body], collections: dict[str, list[Any]]) -> list[int]:
    """Returns the numbers of the collections of `bodies`; adds new ones, with their number of bodies and bytes, to
    `collections`."""
    numbers = list(collections)
    by_folder: dict[str, list[Body]] = {}
    for body in bodies:
        by_folder.setdefault(body.path.rpartition("/")[0], []).append(body)
    for folder, of_folder in by_folder.items():
        if folder not in collections:
            collections[folder] = [folder, len(of_folder), sum(body.size for body in of_folder)]
            numbers.append(folder)
    return [numbers.index(folder) for folder in by_folder]


def _join_numbers(files: Sequence[CatalogFile], numbers: Mapping[str, int]) -> list[list[int]]:
    """Returns the numbers of `files` as ranges `[first, end)`."""
    ordered = sorted(numbers[file.path] for file in files)
    breaks = [0, *(at for at, (first, second) in enumerate(pairwise(ordered), 1) if second > first + 1), len(ordered)]
    return [[ordered[first], ordered[end - 1] + 1] for first, end in pairwise(breaks)] if ordered else []


def _describe_plot(record: SeriesRecord) -> dict[str, Any]:
    """Returns the details of a series: its last weeks, and its coverage and quality over time."""
    details: dict[str, Any] = {"covered": record.covered_time.milliseconds}
    if record.corrections:
        details["corrections"] = list(map(describe_correction, record.corrections))
    if record.quality:
        details["calendar"] = dict(record.quality.calendar)
        details["comparisons"] = list(map(describe_comparison, record.quality.comparisons))
    recent = record.recent
    if recent is None:
        return details | {"points": "", "start": 0, "step": 3600, "low": 0, "high": 0}
    low, high = _find_range(recent.points)
    return details | {
        "points": encode_points(recent.points, PLOT_LEVELS),
        "start": _count_seconds(recent.start),
        "step": int(recent.step.total_seconds()),
        "low": low,
        "high": high,
    }


def describe_comparison(row: Mapping[str, Any]) -> str:
    """Returns a row of `tabulate_months` as a phrase, such as `2026-03 beside iso_ne/32/load: bias +0.5%, correlation
    0.998, lag +0 h, good`."""
    forms = {"bias": "{:+.1%}", "correlation": "{:.3f}", "lag": "{:+.0f} h", "drift": "{:+.1%}"}
    measures = [f"{name} {form.format(row[name])}" for name, form in forms.items() if row[name] is not None]
    return f"{row['month']} beside {row['reference']}: {', '.join([*measures, row['flag']])}"


def draw_spark(recent: RecentSeries) -> str:
    """Returns the last three weeks of a series as text, a character for the mean of six hours."""
    points = recent.points[-(SPARK_SPAN // recent.step) :]
    width = max(SPARK_STEP // recent.step, 1)
    padded = np.concatenate([np.full(-len(points) % width, np.nan), points]).reshape(-1, width)
    has_value = ~np.isnan(padded)
    counts = has_value.sum(axis=1)
    means = np.full(len(padded), np.nan)
    np.divide(np.where(has_value, padded, 0).sum(axis=1), counts, out=means, where=counts > 0)
    return encode_points(means, SPARK_LEVELS)


def encode_points(points: Floats, levels: int) -> str:
    """Returns `points` (B,) as text, each by its height among `levels` from the lowest to the highest: one character of
    `ALPHABET` for up to 64 levels, two for more. NaN is a dash for each character.

    >>> encode_points(np.array([0.0, 61.0, np.nan, 30.5]), 62)
    '0z-U'
    """
    is_missing = np.isnan(points)
    if is_missing.all():
        return ""
    low, high = _find_range(points)
    span = (high - low) or 1.0
    heights: Integers = np.floor((np.where(is_missing, low, points) - low) / span * (levels - 1) + 0.5).astype(np.int64)
    characters = np.array([*ALPHABET, "-"])
    digits = [heights] if levels <= len(ALPHABET) else [heights // len(ALPHABET), heights % len(ALPHABET)]
    columns = [characters[np.where(is_missing, len(ALPHABET), digit)] for digit in digits]
    return "".join(np.stack(columns, axis=1).ravel().tolist())


def _find_range(points: Floats) -> tuple[float, float]:
    """Returns the lowest and the highest of `points`; zeros if all are NaN."""
    values = points[~np.isnan(points)]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)


def _count_bounds(period: Period) -> list[int]:
    return [_count_seconds(period.start), _count_seconds(period.end)]


def _count_seconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(seconds=1)


def _count_minutes(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(minutes=1)
