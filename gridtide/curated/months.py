"""Compacted files: the record of a dataset's compacted files, and its months.

    processed/<output_folder>/<file_prefix>/inputs.json              the files, and the months of each
    processed/<output_folder>/<file_prefix>/2024/2024-03.parquet     a month; its footer lists its inputs

The footer of a month is authoritative: it is stored together with the rows. `inputs.json` is stored after the months
and saves opening files; a reader that finds another month than it describes reads the footer. Losing `inputs.json`, or
an update of it, costs only time.
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
"""Years that a datetime can represent, including the end of their last month."""


MONTH_ROW_GROUP = 1 << 16
"""Rows in a row group: with more rows, more are decoded for one location; with fewer, they compress worse."""


SORTED_ROWS = 1 << 20
"""Rows that are sorted at a time, about 0.5 kB each; the other rows of a month wait in memory, 0.1 kB each."""


FILTER_COLUMNS = ["source", "location", "variable", "interval_start"]
"""The columns by whose statistics a reader skips row groups."""


_INPUTS = b"gridtide.inputs"


_NEWEST = b"gridtide.newest"


_LATEST = b"gridtide.latest"
"""The number of row groups with the latest vintages, which come first."""


_ROWS = b"gridtide.rows"
"""The number of rows of each row group. A program that rewrites a file may copy the footer but divide the rows
otherwise."""


class CompactedFile(msgspec.Struct, frozen=True):
    """A compacted file: `months`, such as `2024-03`, are those in which its intervals start."""

    size: int
    content_hash: str
    stored_at: datetime
    months: tuple[str, ...]


class CompactedMonth(msgspec.Struct, frozen=True):
    """A stored month: the store's tag, and the latest retrieval in it, in µs since 1970."""

    e_tag: str | None
    newest: int


class CompactionRecord(msgspec.Struct):
    """The compacted files of a dataset by path, and its months."""

    files: dict[str, CompactedFile] = {}
    months: dict[str, CompactedMonth] = {}

    def encode(self) -> bytes:
        """Encodes the record as JSON, one line per file."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1) + b"\n"

    @classmethod
    def decode(cls, body: bytes) -> CompactionRecord:
        """Decodes the output of `encode`; raises `ValueError` for anything else."""
        return msgspec.json.decode(body, type=cls)

    def inputs_of(self, month: str) -> dict[str, str]:
        """Returns the content hashes, by path, of the files with values of `month`."""
        return {path: compacted.content_hash for path, compacted in self.files.items() if month in compacted.months}


@dataclass(frozen=True)
class Month:
    """A month: at least its vintages in `table`, the files that they are from (content hash by path), and the latest
    retrieval in those, in µs since 1970."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    newest: int = -(1 << 63)
    table: pa.Table = field(default_factory=STORED.empty_table)

    def encode(self, *, row_group_rows: int = MONTH_ROW_GROUP, sorted_rows: int = SORTED_ROWS) -> bytes:
        """Encodes the month as Parquet with statistics by row group: first the latest vintages, then the others, each
        sorted by key.

        A row group has `row_group_rows` rows; about `sorted_rows` rows are sorted at a time.
        """
        sink = io.BytesIO()
        group_rows: list[int] = []
        older: list[pa.Table] = []
        constants = ConstantsFinder()

        # the latest vintages come first, as training reads only them: it stops where `latest_groups` says
        def sort_latest() -> Iterator[pa.Table]:
            for piece in split_by_location(self.table, sorted_rows):
                constants.add(piece)
                newest, earlier = compact_rows(piece)
                older.append(earlier)
                yield newest

        checksumming_sink = ChecksummingSink(sink)

        def write_group(row_group: pa.Table) -> None:
            writer.write_table(row_group)
            checksumming_sink.end_group()
            group_rows.append(row_group.num_rows)

        with pq.ParquetWriter(
            checksumming_sink.sink,
            STORED,
            compression="zstd",
            use_dictionary=[*LABEL_COLUMNS, "file", "stored_at", "retrieved_at", RETRIEVALS.name],
            column_encoding=ENCODINGS,
            write_statistics=FILTER_COLUMNS,
            write_page_checksum=True,
        ) as writer:
            for row_group in _list_row_groups(sort_latest(), row_group_rows):
                write_group(row_group)
            latest_groups = len(group_rows)
            for row_group in _list_row_groups(older, row_group_rows):
                write_group(row_group)
            metadata = {_INPUTS: json.dumps(self.inputs, sort_keys=True), _NEWEST: str(self.newest)}
            metadata |= {_LATEST: str(latest_groups), _ROWS: json.dumps(group_rows)}
            writer.add_key_value_metadata(metadata)
            # only now are all rows and the bytes of all groups known
            writer.add_key_value_metadata(constants.as_footer() | checksumming_sink.as_footer())
        return sink.getvalue()

    @classmethod
    def decode(
        cls, body: Any, period: Period, *, only_latest: bool = False, locations: Collection[str] | None = None
    ) -> Month:
        """Decodes the output of `encode`: the row groups that may contain values of `period`, at `locations` if given.

        With `only_latest` only the latest vintages are read, without file, time of storing and constant columns
        (`ConstantColumns`). Raises `ValueError` if the month is damaged.
        """
        schema = SCHEMA.append(RETRIEVALS) if only_latest else STORED
        try:
            file = open_checked(pa.py_buffer(body))
            description = cls.of_footer(file.metadata)
            pairs = file.metadata.metadata
            constants = ConstantColumns.read(pairs) if only_latest else ConstantColumns()
            schema = constants.drop_from(schema)
            group_range = range(int(pairs[_LATEST]) if only_latest else file.metadata.num_row_groups)
            selected_groups = [
                group
                for group in group_range
                if _may_overlap(file.metadata, group, period) and _may_have_any(file.metadata, group, locations)
            ]
            verify_row_groups(pairs, body, selected_groups)
            table = file.read_row_groups(selected_groups, schema.names, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(str(error)) from error
        return cls(description.inputs, description.newest, constants.attach(table))

    @classmethod
    def of_footer(cls, metadata: pq.FileMetaData) -> Month:
        """Returns the month of a footer, without rows; raises `ValueError` if the footer is not that of a month, or
        describes other columns or rows than the file has."""
        pairs = metadata.metadata or {}
        ConstantColumns.read(pairs)
        try:
            description = cls(_read_value(pairs, _INPUTS, dict[str, str]), _read_value(pairs, _NEWEST, Micros))
            written_rows, latest_groups = (
                _read_value(pairs, _ROWS, list[int]),
                _read_value(pairs, _LATEST, int),
            )
        except KeyError as error:
            raise ValueError("it does not list the files it was compacted from") from error
        row_counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        if row_counts != written_rows or not 0 <= latest_groups <= len(written_rows):
            raise ValueError("it does not hold the rows it was written with")
        if not metadata.schema.to_arrow_schema().equals(STORED):
            raise ValueError(f"its columns are not those of a compacted month: {', '.join(metadata.schema.names)}")
        return description


def _read_value(pairs: Mapping[bytes, bytes], key: bytes, value_type: Any) -> Any:
    """Returns the value of `key` in a footer; raises `ValueError` if it is not of type `value_type`, `KeyError` if it
    is absent."""
    try:
        return msgspec.json.decode(pairs[key], type=value_type)
    except msgspec.DecodeError as error:
        raise ValueError(f"its {key.decode()} is damaged: {error}") from error


def _list_row_groups(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yields the rows of `tables` as row groups of `rows` rows, with dictionaries of only the labels they use."""
    waiting = STORED.empty_table()
    for table in tables:
        waiting = pa.concat_tables([waiting, table])
        while waiting.num_rows >= rows:
            yield relabel(waiting.slice(0, rows))
            waiting = waiting.slice(rows)
    if waiting.num_rows:
        yield relabel(waiting)


def name_dataset_folder(output_folder: str, file_prefix: str) -> str:
    """Returns the folder of the months of an entry, which its output folder and file prefix identify."""
    return f"{PROCESSED}/{output_folder}/{file_prefix}"


def name_month_path(dataset: str, month: str) -> str:
    """Returns the path of `month`."""
    return f"{dataset}/{month[:4]}/{month}.parquet"


def is_month(name: str) -> bool:
    """Whether `name` is the name of a month, such as `2024-03`."""
    return _MONTH.fullmatch(name) is not None


def find_month_period(month: str) -> Period:
    """Returns the period of `month`, UTC."""
    start = EPOCH.replace(year=int(month[:4]), month=int(month[5:]))
    return Period(start, (start + timedelta(days=31)).replace(day=1))


def list_months(period: Period) -> list[str]:
    """Returns the months that overlap `period`, UTC.

    >>> list_months(Period(EPOCH, EPOCH + timedelta(days=32)))
    ['1970-01', '1970-02']
    """
    months = [f"{period.start:%Y-%m}"]
    while find_month_period(months[-1]).end < period.end:
        months.append(f"{find_month_period(months[-1]).end:%Y-%m}")
    return months


def _read_statistics(metadata: pq.FileMetaData, group: int, name: str) -> pq.Statistics | None:
    """Returns the bounds of a column in a row group, or None if the file does not state them."""
    statistics = metadata.row_group(group).column(STORED.get_field_index(name)).statistics
    return statistics if statistics is not None and statistics.has_min_max else None


def _may_overlap(metadata: pq.FileMetaData, group: int, period: Period) -> bool:
    bounds = _read_statistics(metadata, group, "interval_start")
    return bounds is None or bool(bounds.min < period.end and bounds.max >= period.start)


def _may_have_any(metadata: pq.FileMetaData, group: int, locations: Collection[str] | None) -> bool:
    """Whether a row group may contain values at `locations`, or at locations below them (`A/B` is below `A`)."""
    bounds = _read_statistics(metadata, group, "location")
    if locations is None or bounds is None:
        return True
    # 0 is the character after the slash, so all of `A/…` sorts before `A0`.
    return any(bounds.min < f"{location}0" and location <= bounds.max for location in locations)
