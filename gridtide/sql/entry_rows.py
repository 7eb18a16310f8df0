"""Where the rows of an entry are: months that DuckDB reads itself, and rows that are read here and given to it.

month, all of its files count, no other file has rows of it   ─► DuckDB reads its Parquet
any other month                                               ─► `curated.read`, as a table in memory
files beside the months, and files that were replaced         ─► their rows in memory, for `as_of` and `vintages`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gridtide import curated
from gridtide.curated.dataset import RESTORE, Dataset, find_earliest_retrieval, load_files, read_ahead, split_months
from gridtide.curated.months import Month, find_month_period, name_month_path
from gridtide.curated.vintages import STORED, as_stored
from gridtide.entries.entry import Entry
from gridtide.errors import StorageError
from gridtide.observations.table import SCHEMA, TIME
from gridtide.periods import Period, microseconds

if TYPE_CHECKING:
    import pyarrow as pa

    from gridtide.lake import File, Lake


@dataclass(frozen=True)
class EntryRows:
    """The rows of an entry. The latest vintages are those in the months at `latest_paths` and in `latest_table`; all
    stored rows are in the months at `month_paths` and in `loose_table`, which also has `superseded_at`.

    `refused` are the periods [stored, superseded) of files without which what was there then cannot be derived, as the
    files that they were compacted beside are gone.
    """

    entry: Entry
    latest_paths: Sequence[str]
    latest_table: pa.Table
    month_paths: Sequence[str]
    loose_table: pa.Table
    refused: Sequence[Period] = ()


async def locate_rows(lake: Lake, entry: Entry) -> EntryRows:
    """Finds where the rows of `entry` in `lake` are. Raises `StorageError` for a file that cannot be read."""
    import pyarrow as pa

    dataset = await Dataset.of_entry(lake, entry)
    described, loader = await _describe_months(lake, dataset), _FileLoader(dataset)
    counting_paths = [file_path for file_path in dataset.files if file_path not in dataset.superseded]
    current_months, current = await _fit_months(loader, described, counting_paths)
    touched_months = {month_name for rows in current.values() for month_name in split_months(rows)}
    untouched = set() if entry.aliases else current_months.keys() - touched_months
    mixed_months = sorted((current_months.keys() | touched_months) - untouched)
    read_tables = [await curated.read(lake, [entry], part.start, part.end) for part in _join_months(mixed_months)]
    months, loose, refused = current_months, current, []
    if dataset.superseded:
        try:
            months, loose = await _fit_months(loader, described, list(dataset.files))
        except StorageError:  # of files that were removed; what counts now does not need them
            refused = await _find_refused_periods(dataset)
    return EntryRows(
        entry,
        [name_month_path(dataset.path, month_name) for month_name in sorted(untouched)],
        pa.concat_tables([SCHEMA.empty_table(), *read_tables]),
        [name_month_path(dataset.path, month_name) for month_name in sorted(months)],
        _join_loose(dataset, loose),
        refused,
    )


async def _fit_months(
    loader: _FileLoader, months: Mapping[str, Month], paths: Sequence[str]
) -> tuple[Mapping[str, Month], dict[str, pa.Table]]:
    """Returns those of `months` that can be read beside the other rows of the files at `paths`, and these rows."""
    while True:  # until no month is dropped, as the files of a dropped month have rows of others
        loose = await _load_loose(loader, months, paths)
        late = {month_name: _select_late(month, loose, month_name) for month_name, month in months.items()}
        unfit_months = {
            month_name
            for month_name, late_rows in late.items()
            if late_rows and not await loader.dataset.may_join_late(month_name, months[month_name], late_rows)
        }
        if not unfit_months:
            return months, loose
        months = {month_name: month for month_name, month in months.items() if month_name not in unfit_months}


async def _find_refused_periods(dataset: Dataset) -> list[Period]:
    """Returns when each superseded file counted: from when it was stored until it was superseded."""
    files = [dataset.files[file_path] for file_path in dataset.superseded if file_path in dataset.files]
    stored = await dataset.lake.read_metadata_of([file.path for file in files])
    return [
        Period(metadata.stored_at, dataset.superseded[file.path])
        for file, metadata in zip(files, stored, strict=True)
        if metadata.stored_at < dataset.superseded[file.path]
    ]


class _FileLoader:
    """Loads the rows (`STORED`) of files of `dataset`, each once."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._tables: dict[str, pa.Table] = {}

    async def load(self, paths: Sequence[str]) -> dict[str, pa.Table]:
        """Returns the rows of each file; raises `StorageError` for one that was removed or is damaged."""
        dataset = self.dataset
        files = [_get_existing(dataset, file_path) for file_path in paths if file_path not in self._tables]
        hashes = {file.path: dataset.content_hash(file) for file in files}

        async def load_file(file: File) -> pa.Table:
            ((metadata, table),) = await load_files(dataset.lake, [file], hashes)
            return as_stored(table, metadata.stored_at, file.path)

        async for file, table in read_ahead(load_file, files):
            self._tables[file.path] = table
        return {file_path: self._tables[file_path] for file_path in paths}


async def _describe_months(lake: Lake, dataset: Dataset) -> dict[str, Month]:
    """Returns the months that can be read and of which all files still count, by their footers."""

    async def describe(month_name: str) -> Month | None:
        try:
            return Month.of_footer(await lake.read_footer(name_month_path(dataset.path, month_name)))
        except (StorageError, ValueError):  # its files are read instead
            return None

    described = {month_name: month async for month_name, month in read_ahead(describe, dataset.tags, limit=16)}
    return {
        month_name: month
        for month_name, month in described.items()
        if month is not None and all(dataset.still_counts(file_path, None) for file_path in month.inputs)
    }


async def _load_loose(loader: _FileLoader, months: Mapping[str, Month], paths: Sequence[str]) -> dict[str, pa.Table]:
    """Returns the rows of the files at `paths` that are in none of `months`, by the path of their file."""
    loose_paths = [file_path for file_path in paths if _is_loose(loader.dataset, file_path, months)]
    loose = {}
    for file_path, table in (await loader.load(loose_paths)).items():
        parts = split_months(table) if table.num_rows else {}
        lacking = [
            rows
            for month_name, rows in parts.items()
            if month_name not in months or file_path not in months[month_name].inputs
        ]
        loose[file_path] = _concat(lacking)
    return {file_path: rows for file_path, rows in loose.items() if rows.num_rows}


def _is_loose(dataset: Dataset, file_path: str, months: Mapping[str, Month]) -> bool:
    """Whether the file at `path` may have rows that are in none of `months`."""
    recorded = dataset.record.files.get(file_path)
    if recorded is None or file_path in dataset.superseded:
        return True
    return any(month_name not in months or file_path not in months[month_name].inputs for month_name in recorded.months)


def _get_existing(dataset: Dataset, file_path: str) -> File:
    file = dataset.files[file_path]
    if file.removed:
        fix = f"Run gridtide compact, which joins months with late files; if that fails, {RESTORE}"
        raise StorageError(file_path, "is missing, and the months it was compacted into cannot replace it", fix)
    return file


def _select_late(month: Month, loose: Mapping[str, pa.Table], month_name: str) -> list[pa.Table]:
    """Returns the other rows of the month, of each file with rows that were retrieved before the latest retrieval of
    `month`: they may lie between rows that it has merged."""
    parts = (split_months(rows).get(month_name) for rows in loose.values())
    return [part for part in parts if part is not None and find_earliest_retrieval(part) <= month.newest]


def _join_months(names: Sequence[str]) -> Iterable[Period]:
    """Yields the periods of adjacent months, joined."""
    joined: Period | None = None
    for period in map(find_month_period, names):
        if joined is not None and joined.end == period.start:
            joined = Period(joined.start, period.end)
            continue
        if joined is not None:
            yield joined
        joined = period
    if joined is not None:
        yield joined


def _join_loose(dataset: Dataset, loose: Mapping[str, pa.Table]) -> pa.Table:
    """Returns the loose rows, each with the time from which its file no longer counts, or null."""
    import pyarrow as pa

    tables = []
    for file_path, rows in loose.items():
        moment = dataset.superseded.get(file_path)
        count = None if moment is None else microseconds(moment)
        column = pa.repeat(pa.scalar(count, pa.int64()), rows.num_rows).cast(TIME)
        tables.append(rows.append_column(pa.field("superseded_at", TIME), column))
    empty = STORED.empty_table().append_column(pa.field("superseded_at", TIME), pa.array([], TIME))
    return pa.concat_tables([empty, *tables])


def _concat(tables: Sequence[pa.Table]) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables([STORED.empty_table(), *tables])
