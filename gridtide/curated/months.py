"""What is compacted: of the files of a dataset, and in each of its months.

    processed/<output_folder>/<file_prefix>/inputs.json              the files, and what each holds
    processed/<output_folder>/<file_prefix>/2024/2024-03.parquet     a month; its footer says what went in

The footer of a month is the truth about that month, put with its rows in one piece. `inputs.json`
is put after the months and spares opening files: whoever finds a month other than it says looks at
the footer. Losing it, or an update of it, costs time and nothing else.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from gridtide.curated.vintages import STORED, compact_rows, relabel, split_by_location
from gridtide.lake.files.checksums import ChecksummingSink, open_checked, verify_row_groups
from gridtide.lake.files.encoding import ENCODINGS, LABEL_COLUMNS
from gridtide.lake.names import PROCESSED
from gridtide.observations.constant_columns import ConstantColumns, ConstantsFinder
from gridtide.observations.table import RETRIEVALS, SCHEMA, Micros
from gridtide.periods import EPOCH, Period

RECORD_NAME = "inputs.json"


_MONTH = re.compile(r"(?!0000|9999)[0-9]{4}-(0[1-9]|1[0-2])")
"""Of the years that a datetime has, and can tell the end of."""


MONTH_ROW_GROUP = 1 << 16
"""Rows of a row group: more are decoded for one location, fewer compress worse."""


SORTED_ROWS = 1 << 20
"""Rows that are sorted at a time, some 0.5 kB each; the others of a month wait in memory, 0.1 kB each."""


FILTER_COLUMNS = ["source", "location", "variable", "interval_start"]
"""By these a reader passes over row groups."""


_INPUTS = b"gridtide.inputs"


_NEWEST = b"gridtide.newest"


_LATEST = b"gridtide.latest"
"""How many row groups hold the latest vintages, which come first."""


_ROWS = b"gridtide.rows"
"""How many rows each row group has: who writes a file anew may keep what its footer says, but divides it otherwise."""


class CompactedFile(msgspec.Struct, frozen=True):
    """What a file holds: `months` are those its intervals start in, such as `2024-03`."""

    size: int
    content_hash: str
    stored_at: datetime
    months: tuple[str, ...]


class CompactedMonth(msgspec.Struct, frozen=True):
    """A month as it was put: the store's tag of it, and the latest retrieval in it, µs since 1970."""

    e_tag: str | None
    newest: int


class CompactionRecord(msgspec.Struct):
    """The compacted files of a dataset by path, and its months."""

    files: dict[str, CompactedFile] = {}
    months: dict[str, CompactedMonth] = {}

    def encode(self) -> bytes:
        """As JSON, a line a file."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1) + b"\n"

    @classmethod
    def decode(cls, body: bytes) -> CompactionRecord:
        """The inverse of `encode`; raises `ValueError` if it is none."""
        return msgspec.json.decode(body, type=cls)

    def inputs(self, month: str) -> dict[str, str]:
        """The content hashes, by path, of the files that hold values of `month`."""
        return {path: compacted.content_hash for path, compacted in self.files.items() if month in compacted.months}


@dataclass(frozen=True)
class Month:
    """What is known of a month, its vintages at least, of which files (content hash by path), and the latest
    retrieval in those, in µs since 1970."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    newest: int = -(1 << 63)
    table: pa.Table = field(default_factory=STORED.empty_table)

    def encode(self, *, row_group_rows: int = MONTH_ROW_GROUP, sorted_rows: int = SORTED_ROWS) -> bytes:
        """As Parquet with statistics by row group: the latest vintages sorted by key, then the others so.

        A row group has `row_group_rows` rows; about `sorted_rows` are sorted at a time.
        """
        sink = io.BytesIO()
        rows: list[int] = []
        older: list[pa.Table] = []
        constants = ConstantsFinder()

        def sort_latest() -> Iterator[pa.Table]:
            for piece in split_by_location(self.table, sorted_rows):
                constants.add(piece)
                newest, earlier = compact_rows(piece)
                older.append(earlier)
                yield newest

        summed = ChecksummingSink(sink)

        def write_group(group: pa.Table) -> None:
            writer.write_table(group)
            summed.end_group()
            rows.append(group.num_rows)

        with pq.ParquetWriter(
            summed.sink,
            STORED,
            compression="zstd",
            use_dictionary=[*LABEL_COLUMNS, "file", "stored_at", "retrieved_at", RETRIEVALS.name],
            column_encoding=ENCODINGS,
            write_statistics=FILTER_COLUMNS,
            write_page_checksum=True,
        ) as writer:
            for group in _row_groups(sort_latest(), row_group_rows):
                write_group(group)
            groups = len(rows)
            for group in _row_groups(older, row_group_rows):
                write_group(group)
            metadata = {_INPUTS: json.dumps(self.inputs, sort_keys=True), _NEWEST: str(self.newest)}
            metadata |= {_LATEST: str(groups), _ROWS: json.dumps(rows)}
            writer.add_key_value_metadata(metadata)
            writer.add_key_value_metadata(constants.as_footer() | summed.as_footer())
        return sink.getvalue()

    @classmethod
    def decode(
        cls, body: Any, period: Period, *, only_latest: bool = False, locations: Collection[str] | None = None
    ) -> Month:
        """The inverse of `encode`, with those row groups that may hold values of `period`, at `locations` if given.

        With `only_latest` these are the latest vintages alone, without file, moment of storing and constant columns
        (`ConstantColumns`). Raises `ValueError` if it is damaged.
        """
        schema = SCHEMA.append(RETRIEVALS) if only_latest else STORED
        try:
            file = open_checked(pa.py_buffer(body))
            about = cls.of_footer(file.metadata)
            pairs = file.metadata.metadata
            constants = ConstantColumns.read(pairs) if only_latest else ConstantColumns()
            schema = constants.drop_from(schema)
            groups = range(int(pairs[_LATEST]) if only_latest else file.metadata.num_row_groups)
            chosen = [
                group
                for group in groups
                if _may_overlap(file.metadata, group, period) and _may_have_any(file.metadata, group, locations)
            ]
            verify_row_groups(pairs, body, chosen)
            table = file.read_row_groups(chosen, schema.names, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(str(error)) from error
        return cls(about.inputs, about.newest, constants.attach(table))

    @classmethod
    def of_footer(cls, metadata: pq.FileMetaData) -> Month:
        """What the footer says, without rows; raises `ValueError` if it is not that of a month, or tells of other
        columns or rows than were written."""
        pairs = metadata.metadata or {}
        ConstantColumns.read(pairs)
        try:
            about = cls(_footer_value(pairs, _INPUTS, dict[str, str]), _footer_value(pairs, _NEWEST, Micros))
            rows, latest = _footer_value(pairs, _ROWS, list[int]), _footer_value(pairs, _LATEST, int)
        except KeyError as error:
            raise ValueError("it does not say what it was compacted from") from error
        row_counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        if row_counts != rows or not 0 <= latest <= len(rows):
            raise ValueError("it does not hold the rows it was written with")
        if not metadata.schema.to_arrow_schema().equals(STORED):
            raise ValueError(f"its columns are not those of a compacted month: {', '.join(metadata.schema.names)}")
        return about


def _footer_value(pairs: Mapping[bytes, bytes], key: bytes, kind: Any) -> Any:
    """What a footer says under `key`, of that `kind`; raises `ValueError` for another, `KeyError` for nothing."""
    try:
        return msgspec.json.decode(pairs[key], type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(f"what it says as {key.decode()} is damaged: {error}") from error


def _row_groups(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The rows of `tables`, one after the other, as row groups of `rows` with the labels that they have."""
    waiting = STORED.empty_table()
    for table in tables:
        waiting = pa.concat_tables([waiting, table])
        while waiting.num_rows >= rows:
            yield relabel(waiting.slice(0, rows))
            waiting = waiting.slice(rows)
    if waiting.num_rows:
        yield relabel(waiting)


def dataset_folder(output_folder: str, file_prefix: str) -> str:
    """The folder of what is compacted from an entry's files, which folder and prefix identify."""
    return f"{PROCESSED}/{output_folder}/{file_prefix}"


def month_path(dataset: str, month: str) -> str:
    """Where `month` is."""
    return f"{dataset}/{month[:4]}/{month}.parquet"


def is_month(name: str) -> bool:
    """Whether `name` is that of a month, as `2024-03` is."""
    return _MONTH.fullmatch(name) is not None


def month_period(month: str) -> Period:
    """The interval starts of `month`, UTC."""
    start = EPOCH.replace(year=int(month[:4]), month=int(month[5:]))
    return Period(start, (start + timedelta(days=31)).replace(day=1))


def months_of(period: Period) -> list[str]:
    """The months that have a part in `period`, UTC.

    >>> months_of(Period(EPOCH, EPOCH + timedelta(days=32)))
    ['1970-01', '1970-02']
    """
    months = [f"{period.start:%Y-%m}"]
    while month_period(months[-1]).end < period.end:
        months.append(f"{month_period(months[-1]).end:%Y-%m}")
    return months


def _read_statistics(metadata: pq.FileMetaData, group: int, name: str) -> pq.Statistics | None:
    """The bounds of a column in a row group, None where the file does not say them."""
    statistics = metadata.row_group(group).column(STORED.get_field_index(name)).statistics
    return statistics if statistics is not None and statistics.has_min_max else None


def _may_overlap(metadata: pq.FileMetaData, group: int, period: Period) -> bool:
    bounds = _read_statistics(metadata, group, "interval_start")
    return bounds is None or bool(bounds.min < period.end and bounds.max >= period.start)


def _may_have_any(metadata: pq.FileMetaData, group: int, locations: Collection[str] | None) -> bool:
    """Whether a row group may hold values at `locations`, or at what they are the first part of (`A` of `A/B`)."""
    bounds = _read_statistics(metadata, group, "location")
    if locations is None or bounds is None:
        return True
    # 0 is the character after the slash: all of `A/…` sorts before `A0`.
    return any(bounds.min < f"{location}0" and location <= bounds.max for location in locations)
