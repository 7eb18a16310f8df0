"""Reads a table of cells as observations; every record and cell is stored, counted or refused.

columns ─► series, timing ─► repeats ─► numbers, piece by piece ─► observations
                                            └► skipped
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from gridtide.errors import FormatError
from gridtide.observations.arrays import not_null, to_numpy
from gridtide.periods import count_microseconds, local_day, microseconds
from gridtide.sources.contract import Skipped
from gridtide.sources.formats import clocks
from gridtide.sources.formats.cells import (
    CellColumn,
    CellColumns,
    CellTable,
    attach_constants,
    factorize,
    split_alternatives,
)
from gridtide.sources.formats.json_paths import KEY_COLUMN
from gridtide.sources.formats.numbers import ReadNumbers, drop_mixed_truths, read_numbers
from gridtide.sources.formats.xml_rows import POSITION, RESOLUTION
from gridtide.sources.tables import repeats
from gridtide.sources.tables.components import INCONSISTENT, ComponentColumns, add_parts, balance_records
from gridtide.sources.tables.large.tally import AnswerTally
from gridtide.sources.tables.selection import choose_columns, count_unused, find_unselected, is_ignored
from gridtide.sources.tables.series import (
    RowLabels,
    ValueColumn,
    choose_value_columns,
    choose_whole_sums,
    is_nothing,
    list_columns,
    propose_labels,
    read_locations,
    read_variables,
    refuse_merged_labels,
    refuse_other_style,
)
from gridtide.sources.tables.timing import Timing, list_long_intervals, read_timing, show_moment
from gridtide.sources.tables.wide import count_missing_hours, list_wide_columns, unfold_days, unfold_hours

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry


@dataclass(frozen=True)
class AnswerContext:
    """The context of a response: the local `day` that it is for, or None, and its `headers`, with names in lower
    case."""

    day: date | None
    headers: Mapping[str, str]
    retrieved_at: datetime
    labels: dict[tuple[str, ...], str] = field(default_factory=dict)
    """What the unnamed columns of the files of an archive say of their series, by column, location and variable."""
    tally: AnswerTally = field(default_factory=AnswerTally)


def read_observations(
    entry: Entry, table: CellTable, context: AnswerContext, skipped: list[Skipped]
) -> Iterator[pa.Table]:
    """Yields the observations of `table`, piece by piece; cells that are not stored are added to `skipped`, the last of
    them at the end.

    Raises `FormatError`, which names the position and a fix, for content that can be neither stored nor counted.
    """
    if not table.rows:
        skipped += table.skipped
        return iter(())
    has_versions = entry.has_versions
    entry = choose_columns(entry, table.names)
    entry, table = _set_day(entry, table, context.day)
    if not entry.time:
        entry = _set_time(entry, table)
    _check_time(entry, table)
    wide_columns = list_wide_columns(entry, table)
    if wide_columns:
        skipped += count_unused(entry, table, {*label_columns(entry), *wide_columns})
    skipped += count_missing_hours(entry, table)
    entry, table = unfold_days(*unfold_hours(entry, table, entry.time[0]))
    table = add_parts(entry, table, label_columns(entry), skipped)
    if entry.layout == "positions" and RESOLUTION in table.names and entry.interval_from is None:
        import msgspec

        entry = msgspec.structs.replace(entry, interval_from=RESOLUTION)
    pieces = _TableReader(entry, table, context, skipped).read()
    if has_versions and not entry.has_versions:  # its column need not be there: all are of one version
        pieces = (_append_ranks(piece, np.zeros(piece.num_rows, np.int64)) for piece in pieces)
    if entry.components is None or entry.variable is None:
        return pieces
    return (balance_records(piece, entry.components, skipped) for piece in pieces)


def _append_ranks(observations: pa.Table, ranks: np.ndarray) -> pa.Table:
    from gridtide.observations.table import RANK

    return observations.append_column(RANK, pa.array(ranks, pa.int64()))


DAY_COLUMN = "day of the answer"
"""The column for the local day of an answer whose records do not name it."""


def _set_day(entry: Entry, table: CellTable, day: date | None) -> tuple[Entry, CellTable]:
    """Returns `entry` and `table` with the local `day` of the answer as a column of times, if its records have only
    hours: columns of hours without a column of dates, or numbers of hours as the only column of times."""
    import msgspec

    lacks_day = _are_hours(entry, table) if entry.time else entry.hours is not None
    if day is None or not lacks_day:
        return entry, table
    changed = msgspec.structs.replace(entry, time=(DAY_COLUMN, *entry.time))
    return changed, attach_constants(table, {DAY_COLUMN: day.isoformat()})


def _are_hours(entry: Entry, table: CellTable) -> bool:
    """Whether numbers of hours or intervals are the only column of times."""
    if len(entry.time) != 1 or entry.time_format is not None or entry.time[0] not in table.names:
        return False
    column = table.read(entry.time)[entry.time[0]]
    if pa.types.is_timestamp(column.type):
        return False
    _, texts = factorize(column)
    bare = [text.strip() for text in texts if text and text.strip()]
    return bool(bare) and all(re.fullmatch(r"(?i)(HE|H|HR)?\s*\d{1,3}", text) for text in bare)


def _set_time(entry: Entry, table: CellTable) -> Entry:
    """Returns `entry` with the column of the times, if only one column can be that."""
    import msgspec

    preset = {"positions": POSITION, "keyed": KEY_COLUMN}.get(entry.layout)
    if preset in table.names:
        return msgspec.structs.replace(entry, time=(str(preset),))
    beginning = next(iter(table.pieces(table.own, entry.numbers)), {})
    candidates = [name for name, column in beginning.items() if _are_times(column)]
    cells = table.read(candidates)
    columns = [name for name in candidates if _are_times(cells[name])]
    if len(columns) != 1:
        description = f"more than one ({', '.join(columns)})" if columns else f"none of {', '.join(table.own)}"
        happened = f"the column of the times is not clear: {description} holds ISO 8601 times"
        raise FormatError(entry.name, happened, table.hint or _propose_time(table, columns))
    return msgspec.structs.replace(entry, time=(columns[0],))


def _are_times(column: CellColumn) -> bool:
    """Whether all nonempty cells of `column` are ISO 8601 dates or times."""
    if pa.types.is_timestamp(column.type):
        return True
    if pa.types.is_floating(column.type):
        return False
    _, distinct_texts = factorize(column)
    stripped_texts = [text.strip() for text in distinct_texts if text and text.strip()]
    return (
        bool(stripped_texts)
        and len(stripped_texts) == len([text for text in distinct_texts if text is not None])
        and all(map(_is_iso, stripped_texts))
    )


def _is_iso(text: str) -> bool:
    try:
        return (
            "-" in text and clocks.parse_label(text, None, None) is not None and not clocks.EPOCH_DIGITS.fullmatch(text)
        )
    except (ValueError, OverflowError):
        return False


def _propose_time(table: CellTable, columns: Sequence[str]) -> str:
    if not columns:
        for name in table.own:
            _, distinct_texts = factorize(table.read([name])[name])
            stripped_texts = [text.strip() for text in distinct_texts if text and text.strip()]
            if stripped_texts and "." not in name and all(text[:1] == "[" for text in stripped_texts):
                if any(text[1:2] == "[" for text in stripped_texts):
                    return f'If each list in {name} is a record, add its path as "records", and "layout": "rows"'
                return 'If each list is a column, add "layout": "columns"'
            if stripped_texts and all(map(clocks.EPOCH_DIGITS.fullmatch, stripped_texts)):
                return f'If it is {name}, add "time": {json.dumps(name, ensure_ascii=False)}'
            formats = clocks.propose_formats(stripped_texts)
            if formats:
                times_of_day = [] if "%H" in formats[0] else _find_times_of_day(table)
                named = json.dumps([name, *times_of_day] if times_of_day else name, ensure_ascii=False)
                formats = [f"{day_format} %H:%M" for day_format in formats] if times_of_day else formats
                return f'If it is {name}, add "time": {named} and {clocks.quote_formats(formats)}'
    return 'Name it with "time"'


def _find_times_of_day(table: CellTable) -> list[str]:
    """Returns the column of times of day without a date and without seconds, if there is a single one."""
    names = []
    for name in table.own:
        _, texts = factorize(table.read([name])[name])
        stripped_texts = [text.strip() for text in texts if text and text.strip()]
        if stripped_texts and all(re.fullmatch(r"\d{1,2}:\d{2}", text) for text in stripped_texts):
            names.append(name)
    return names if len(names) == 1 else []


def _check_time(entry: Entry, table: CellTable) -> None:
    missing = [column for column in entry.time if column not in table.names]
    if missing:
        happened = f"no record has a column {', '.join(missing)}; the columns are: {', '.join(table.names)}"
        last_parts = {name: name.rpartition(".")[2] for name in missing}
        fix = propose_labels(table, "time", entry.time) or 'Correct "time" or "value"'
        if all(end in table.names for end in last_parts.values()):
            fix = f'Add "time": {json.dumps([last_parts.get(name, name) for name in entry.time], ensure_ascii=False)}'
        raise FormatError(entry.name, happened, table.hint or fix)


def label_columns(entry: Entry) -> list[str]:
    """Returns the columns that `entry` names beside its value columns: those for times, locations and other labels."""
    named_columns = [entry.published, entry.timezone_from, entry.interval_from, entry.ambiguous]
    named_columns.append(entry.conflict if entry.has_versions else None)
    labels = [*list_columns(entry.location), *list_columns(entry.variable), *entry.where]
    named_columns += [*labels]
    names = [*entry.time, *(name for name in named_columns if name)]
    return list(dict.fromkeys(split_alternatives(names)))


CROSSING = "intervals of several lengths at one time, of which none is stored"
"""Why a record of a product is not stored whose interval another one of its series overlaps."""


class _TableReader:
    """Reads a table that has its time columns."""

    def __init__(self, entry: Entry, table: CellTable, context: AnswerContext, skipped: list[Skipped]) -> None:
        self.entry, self.table, self.context, self.skipped = entry, table, context, skipped
        self.tally = context.tally
        skipped += table.skipped

    def read(self) -> Iterator[pa.Table]:
        """Yields the observations. Whatever can be refused by keys alone is refused before the first piece."""
        unlabelled = self._find_unlabelled()
        locations_by_row = read_locations(self.entry, self.table, unlabelled, self.tally.texts)
        names = read_variables(self.entry, self.table, unlabelled, self.tally.texts)
        refuse_merged_labels(self.entry, locations_by_row, names, self.tally.texts)
        published = self._read_published()
        ranks = self._read_ranks()
        series = _combine_codes(
            [locations_by_row.codes, *([names.codes] if names else []), *([published] if published is not None else [])]
        )
        timing = read_timing(self.entry, self.table, self.entry.time, series, self.context.day, self._find_valued)
        if timing.blank.all() and not self.tally.is_cut:
            column, position = ", ".join(self.entry.time), self.table.place(0)
            happened = f"time: {column} holds None, which is not a valid ISO 8601 time, in {position}"
            raise FormatError(self.entry.name, happened, 'Name the column of the times with "time"')
        is_live = ~(timing.blank | timing.skipped | timing.elsewhere)
        self._count_rows(timing)
        is_live &= self._leave_out_nameless(locations_by_row, names, is_live)
        is_live &= self._select(timing, locations_by_row, is_live)
        columns = [value.column for value in self.values]
        ignored = [name for name in self.table.names if is_ignored(self.entry, name)]
        dropped: dict[str, np.ndarray] = {}
        is_single = ranks is None or not len(ranks) or bool((ranks == ranks[0]).all())
        versions = series if ranks is None or is_single else _combine_codes([series, ranks])
        if not repeats.has_regular_keys(versions, timing, is_live):
            dropped = self._settle_repeats(versions, timing, is_live, columns)
        used = [*self._naming, *columns, *ignored]
        labels = repeats.refuse_merged_series(self.entry, self.table, series, is_live, used)
        repeats.refuse_other_labels(self.entry, self.table, labels, self.context.labels, [locations_by_row, names])
        if self.tally.is_cut:
            self._compare_intervals(timing, locations_by_row, names, published is not None, is_live)
        else:
            self.skipped += list_long_intervals(self.entry, timing, series, is_live)
        return self._build_table(_Rows(timing, is_live, locations_by_row, names, published, ranks, dropped))

    def _compare_intervals(
        self, timing: Timing, places: RowLabels, names: RowLabels | None, is_published: bool, is_live: np.ndarray
    ) -> None:
        """Raises if intervals of the `is_live` records (rows,) may overlap those of earlier tables of the answer. Of
        values with a time of publication, several may be for one time."""
        starts, ends = timing.starts[is_live], timing.ends[is_live]
        self.tally.add_intervals(starts, ends)
        codes, variables = places.codes[is_live].astype(np.int64), names.names if names else [""]
        if names:
            codes = codes * len(variables) + names.codes[is_live]
        distinct_codes, codes = np.unique(codes, return_inverse=True)
        series = [
            (places.names[place], variables[variable])
            for place, variable in (divmod(code, len(variables)) for code in distinct_codes.tolist())
        ]
        unclear = self.tally.spans.add(series, codes, starts, ends)
        if unclear and not is_published:
            happened = f"interval: those of {'/'.join(filter(None, unclear))} have several lengths and may overlap"
            raise FormatError(self.entry.name, happened, 'Ask for less at a time: shorten "chunk"')

    def _settle_repeats(
        self, series: np.ndarray, timing: Timing, is_live: np.ndarray, columns: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Returns the rows of each of `columns` that are not stored because another record has their key. Raises for
        records that only an unnamed label tells apart, and for intervals that overlap."""
        groups = repeats.find_repeated_keys(series, timing, is_live)
        dropped: dict[str, np.ndarray] = {}
        if (groups >= 0).any():
            if self.entry.product is None:  # of a product other keys are stored, as a day of an operator has thousands
                repeats.refuse_unnamed_labels(self.entry, self.table, groups, [*self._used, *columns], columns, timing)
            if self.entry.conflict in ("first", "last"):  # else the core counts them, names the day and stores neither
                dropped = repeats.choose_values(self.entry, self.table, groups, columns, timing, self.skipped)
        if self.entry.product is not None:
            self._leave_out_crossing(series, timing, is_live)
        repeats.refuse_overlaps(self.entry, self.table, series, [*self._named, *columns], timing, is_live)
        return dropped

    def _leave_out_crossing(self, series: np.ndarray, timing: Timing, is_live: np.ndarray) -> None:
        """Takes the records of a product out of `is_live` (rows,) that have intervals of several lengths at one time,
        and counts their cells: nothing says which of them counts. None if all of them do."""
        crossing = repeats.find_crossing(series, timing, is_live)
        if not len(crossing) or len(crossing) == np.count_nonzero(is_live):
            return
        example = f"{self.table.place(int(crossing[0]))}, at {show_moment(int(timing.starts[crossing[0]]))}"
        if RESOLUTION in self.table.names:
            texts = factorize(self.table.read([RESOLUTION])[RESOLUTION])[1]
            example += f'; choose with "where": {{"{RESOLUTION}": ["{texts[0]}"]}}'
        self.skipped.append(Skipped(CROSSING, len(crossing) * len(self.values), example))
        is_live[crossing] = False

    @cached_property
    def _used(self) -> list[str]:
        """The label columns that the table has."""
        return [name for name in label_columns(self.entry) if name in self.table.names]

    @property
    def _naming(self) -> list[str]:
        """The label columns that the entry names, not only to select records by them."""
        import msgspec

        labels = label_columns(msgspec.structs.replace(self.entry, where={}))
        return [name for name in labels if name in self.table.names]

    @property
    def _named(self) -> list[str]:
        """The label columns that the entry names, whatever is added for reading them."""
        return [name for name in self._used if name != self.entry.interval_from or self.entry.layout != "positions"]

    @cached_property
    def values(self) -> list[ValueColumn]:
        """The value columns."""
        chosen = choose_value_columns(self.entry, self.table, self._used, self.skipped)
        return choose_whole_sums(self.entry, chosen, self.table.rows, self.skipped)

    def _find_unlabelled(self) -> np.ndarray:
        """Returns which records (rows,) are empty in all time columns."""
        cells = self.table.read(self.entry.time)
        is_blank = np.ones(self.table.rows, bool)
        for column in cells.values():
            if pa.types.is_timestamp(column.type):
                is_blank &= ~not_null(column)
                continue
            codes, distinct_texts = factorize(column)
            is_blank &= np.array([not (text or "").strip() for text in distinct_texts], bool)[codes]
        return is_blank

    def _find_valued(self) -> np.ndarray:
        """Returns which records (rows,) have a value."""
        parts = [np.zeros(0, bool)]
        for piece in self._read_pieces():
            cells = [read_numbers(column, self.entry.numbers) for column in piece.values()]
            parts.append(np.any([read.unread | ~np.isnan(read.values) for read in cells], axis=0))
        return np.concatenate(parts)

    def _read_pieces(self) -> Iterator[CellColumns]:
        """Yields the value columns, piece by piece."""
        return self.table.pieces([value.column for value in self.values], self.entry.numbers)

    def _count_rows(self, timing: Timing) -> None:
        """Counts the cells of records without an interval; records without a label count only if they have a value."""
        reasons = {
            "records of an hour that the clock skips, without a value": timing.skipped,
            "records of the next day's first moment, which its own answer holds": timing.elsewhere,
        }
        if timing.blank.any():
            reasons["records without a time"] = timing.blank & self._find_valued()
        for reason, rows in reasons.items():
            if rows.any():
                self.skipped.append(self._count_skipped(reason, rows))

    def _select(self, timing: Timing, places: RowLabels, is_live: np.ndarray) -> np.ndarray:
        """Returns which records (rows,) the entry selects, and counts the cells of those `is_live` (rows,) that it does
        not."""
        selected = np.ones(self.table.rows, bool)
        in_header = any(value.location is not None for value in self.values)  # which are selected by columns
        names = None if in_header else places.names
        unselected = list(find_unselected(self.entry, self.table, places.codes, names, is_part=self.tally.is_cut))
        is_none_selected = any(rows.all() for _, rows in unselected)
        if self.entry.past:
            is_open = timing.ends > microseconds(self.context.retrieved_at)
            unselected.append(("records of intervals that are not over yet", is_open))
        for reason, rows in unselected:
            counted = np.flatnonzero(rows & is_live & selected)
            selected &= ~rows
            if len(counted):
                cell_count, example = len(counted) * len(self.values), self.table.place(int(counted[0]))
                is_expected = self.tally.is_cut or not is_none_selected
                self.skipped.append(Skipped(reason, cell_count, example, expected=is_expected))
        return selected

    def _leave_out_nameless(self, places: RowLabels, names: RowLabels | None, is_live: np.ndarray) -> np.ndarray:
        """Returns which records (rows,) have a location and a variable; counts the cells of those `is_live` (rows,)
        that have none."""
        has_name = np.ones(self.table.rows, bool)
        for noun, labels in (("location", places), ("variable", names)):
            if labels is None or all(labels.names):
                continue
            is_nameless = np.array([not name for name in labels.names], bool)[labels.codes]
            if (is_nameless & is_live & has_name).any():
                reason = f"records without a {noun}"
                self.skipped.append(self._count_skipped(reason, is_nameless & is_live & has_name))
            has_name &= ~is_nameless
        return has_name

    def _count_skipped(self, reason: str, rows: np.ndarray) -> Skipped:
        """Returns the count of the cells of the records `rows` (rows,), which are not stored, with the first as
        example."""
        first_row = int(np.flatnonzero(rows)[0])
        cells = self.table.read([*self.entry.time, *(value.column for value in self.values[:5])])
        texts = {name: column[first_row].as_py() for name, column in cells.items()}
        written = [f"{name} {text!r:.60}" for name, text in texts.items() if text]
        example = ", ".join(written) or "no time and no value"
        present_count, offset = 0, 0
        for piece in self._read_pieces():
            for column in piece.values():
                span = rows[offset : offset + len(column)]
                read = read_numbers(column, self.entry.numbers)
                present_count += int((span & ~read.absent).sum())
            offset += len(column)
        return Skipped(reason, present_count, f"{self.table.place(first_row)}: {example}")

    def _read_published(self) -> np.ndarray | None:
        """Returns when each record was published, (rows,), in microseconds since 1970; None if that is not given."""
        name = self.entry.published
        if name is None:
            return None
        if name == START:
            return np.full(self.table.rows, self._repeat_request_time())
        return self._read_moments("published", name)

    def _read_ranks(self) -> np.ndarray | None:
        """Returns the version of each record, (rows,), of which the largest counts; None if there are no versions."""
        name = self.entry.conflict
        if name is None or not self.entry.has_versions:
            return None
        if name in self.table.names:
            codes, texts = factorize(self.table.read([name])[name])
            numbers = read_numbers(pa.array(texts, pa.string()), self.entry.numbers)
            if not numbers.unread.any():
                ranks = np.where(np.isnan(numbers.values), NOT_PUBLISHED, np.round(numbers.values * 1e6))
                return np.take(ranks.astype(np.int64), codes)
        return self._read_moments("conflict", name)

    def _read_moments(self, key: str, name: str) -> np.ndarray:
        """Returns the times (rows,) in the column, or the header, `name` that `key` gives, in microseconds since
        1970."""
        if name not in self.table.names:
            return np.full(self.table.rows, self._read_header_time(key, name))
        column = self.table.read([name])[name]
        zone = ZoneInfo(self.entry.times_in or self.entry.timezone)
        if pa.types.is_timestamp(column.type):
            return _read_publications(column, zone)
        codes, distinct_texts = factorize(column)
        moments = []
        for code, text in enumerate(distinct_texts):
            try:
                moments.append(NOT_PUBLISHED if is_nothing(text) else self._parse_moment(str(text), zone))
            except (ValueError, OverflowError) as error:
                where = self.table.place(int(np.flatnonzero(codes == code)[0]))
                raise FormatError(
                    self.entry.name,
                    f"{key}: {name} holds {text!r:.80}, which is not a valid time, in {where}",
                    f'Correct "{key}"',
                ) from error
        return np.take(np.array(moments, np.int64), codes)

    def _parse_moment(self, text: str, zone: ZoneInfo) -> int:
        """Parses a time of publication as microseconds since 1970."""
        entry = self.entry
        moment = _parse_moment(text, entry.published_format or entry.time_format, zone)
        if entry.published_time is None or len(text.strip()) > LONGEST_DATE:
            return moment
        hours, minutes = map(int, entry.published_time.split(":"))
        return moment + count_microseconds(timedelta(hours=hours, minutes=minutes))

    def _repeat_request_time(self) -> int:
        """Returns the start of the day that the answer is for, at the entry's time of publication."""
        if self.context.day is None:
            return NOT_PUBLISHED
        zone = ZoneInfo(self.entry.timezone)
        hours, minutes = map(int, (self.entry.published_time or "00:00").split(":"))
        return microseconds(datetime.combine(self.context.day, time(hours, minutes), zone))

    def _end_of_day(self) -> int:
        """Returns the end of the local day that the answer is for, by which it was published at the latest."""
        if self.context.day is None:
            return NOT_PUBLISHED
        return microseconds(local_day(self.context.day, ZoneInfo(self.entry.timezone)).end)

    def _read_header_time(self, key: str, name: str) -> int:
        text = self.context.headers.get(name.lower(), "")
        if not text and name.lower() == "last-modified":  # not every server sends it with every answer
            return self._end_of_day()
        try:
            moment = parsedate_to_datetime(text)
        except ValueError as error:
            columns = ", ".join(self.table.names)
            happened = f"{key}: there is no column {name} and no such header; the columns are: {columns}"
            raise FormatError(self.entry.name, happened, f'Correct "{key}", or leave it out') from error
        return microseconds(moment.replace(tzinfo=moment.tzinfo or UTC))

    def _build_table(self, rows: _Rows) -> Iterator[pa.Table]:
        labels = _LabelColumns.of([*self._distinct_values, *self._derive_series()], rows)
        offset = 0
        for piece in self._read_pieces():
            length = len(next(iter(piece.values())))
            yield self._build_piece(piece, slice(offset, offset + length), rows, labels)
            offset += length
        if not self.tally.is_cut:
            finish_reading(self.entry, self.context, self.skipped)

    @cached_property
    def _components(self) -> ComponentColumns | None:
        """The columns of a price and its components; None if there are none, or they come in a record each."""
        prefix = self.entry.components if self.entry.variable is None else None
        return ComponentColumns.find(prefix, [value.variable for value in self.values])

    @cached_property
    def _distinct_values(self) -> list[ValueColumn]:
        """The value columns, of those that are added up the first."""
        if not self.entry.sums_columns:
            return self.values
        firsts: dict[tuple[str | None, str], ValueColumn] = {}
        for value in self.values:
            firsts.setdefault((value.location, value.variable), value)
        return list(firsts.values())

    def _add_components(self, numbers: np.ndarray, stored: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns `numbers` and `stored`, both (records, values), with one column for those that are added up. A sum
        is stored if all of its parts are."""
        if len(self._distinct_values) == len(self.values):
            return numbers, stored
        keys = [(value.location, value.variable) for value in self.values]
        groups = [
            [place for place, key in enumerate(keys) if key == (value.location, value.variable)]
            for value in self._distinct_values
        ]
        sums = np.column_stack([numbers[:, places].sum(axis=1) for places in groups])
        if stored is None:
            return sums, None
        return sums, np.column_stack([stored[:, places].all(axis=1) for places in groups])

    def _derive_series(self) -> list[ValueColumn]:
        """Returns the column of the energy of prices, if it is derived."""
        if self._components is None or self._components.energy is not None:
            return []
        return [ValueColumn("", f"{self.entry.components}_energy", self.values[self._components.price].unit)]

    def _balance_series(
        self, numbers: np.ndarray, stored: np.ndarray | None, start: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns `numbers` and `stored`, both (records, values), with derived energies and without prices that do not
        add up, which are counted; the first record is number `start`."""
        columns = self._components
        if columns is None:
            return numbers, stored
        parts = [part for part in (columns.price, columns.energy, columns.congestion, columns.loss) if part is not None]
        are_stored = np.ones(len(numbers), bool) if stored is None else stored[:, parts].all(axis=1)
        balance = columns.balance(numbers)
        if columns.energy is None:
            numbers = np.column_stack([numbers, balance.energy])
            are_derived = are_stored & ~np.isnan(balance.energy)
            if stored is not None or not are_derived.all():
                stored = np.ones(numbers[:, :-1].shape, bool) if stored is None else stored
                stored = np.column_stack([stored, are_derived])
        bad_rows = np.flatnonzero(balance.inconsistent & are_stored)
        if len(bad_rows):
            stored = np.ones(numbers.shape, bool) if stored is None else stored
            stored[np.ix_(bad_rows, np.array(parts))] = False
            first_row = int(bad_rows[0])
            example = f"{self.table.place(start + first_row)}: {columns.describe(numbers[first_row])}"
            self.skipped.append(Skipped(INCONSISTENT, len(bad_rows) * len(parts), example))
        return numbers, stored

    def _build_piece(self, piece: CellColumns, span: slice, rows: _Rows, labels: _LabelColumns) -> pa.Table:
        """Returns the observations of the records in `span`, row by row."""
        from gridtide.observations.table import from_columns

        numbers, stored = self._balance_series(
            *self._add_components(*self._read_numbers(piece, span, rows)), span.start
        )
        shape = numbers.shape
        places = None if stored is None else np.flatnonzero(stored.ravel())

        def spread(column: np.ndarray) -> np.ndarray:
            broadcast = np.broadcast_to(column[:, None], shape).ravel()
            return broadcast if places is None else broadcast[places]

        observations = from_columns(
            self.entry.source,
            self.context.retrieved_at,
            interval_start=spread(rows.timing.starts[span]),
            interval_end=spread(rows.timing.ends[span]),
            value=numbers.ravel() if places is None else numbers.ravel()[places],
            published_at=None if rows.published is None else _build_times(spread(rows.published[span])),
            **labels.columns(span, places),
        )
        return observations if rows.ranks is None else _append_ranks(observations, spread(rows.ranks[span]))

    def _read_numbers(self, piece: CellColumns, span: slice, rows: _Rows) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the numbers of the records in `span`, (records, values), and which of them are stored; None means
        all."""
        shape = (span.stop - span.start, len(self.values))
        numbers = np.empty(shape)
        is_live = rows.live[span]
        stored = None if is_live.all() else np.broadcast_to(is_live[:, None], shape).copy()
        for index, value in enumerate(self.values):
            numbers_read = self._refuse_mixed_truths(value, read_numbers(piece[value.column], self.entry.numbers))
            numbers[:, index] = numbers_read.values
            if value.column in self.entry.negated:
                numbers[:, index] = 0.0 - numbers[:, index]
            self._count_cells(value.column, numbers_read, is_live, piece[value.column], span.start)
            if self.entry.past and (is_open := np.isnan(numbers[:, index]) & is_live).any():
                stored = np.broadcast_to(is_live[:, None], shape).copy() if stored is None else stored
                stored[:, index] &= ~is_open
                self.tally.open_cells[value.column] += int(is_open.sum())
            dropped_rows = rows.dropped.get(value.column, np.zeros(0, np.int64))
            dropped_rows = dropped_rows[(dropped_rows >= span.start) & (dropped_rows < span.stop)] - span.start
            if len(dropped_rows) or not numbers_read.complete:
                stored = np.ones(shape, bool) if stored is None else stored
                stored[:, index] &= ~(numbers_read.absent | numbers_read.unread)
                stored[dropped_rows, index] = False
        return numbers, stored

    def _refuse_mixed_truths(self, value: ValueColumn, cells: ReadNumbers) -> ReadNumbers:
        """Returns `cells` without true and false if they hold numbers too: only a column of flags is 1 and 0. Raises if
        the pieces of a column hold the one and the other."""
        if cells.truths is None and value.column in self.tally.number_columns:
            return cells
        is_number = ~(cells.unread | np.isnan(cells.values))
        truths = np.zeros(len(is_number), bool) if cells.truths is None else cells.truths
        if (is_number & ~truths).any():
            self.tally.number_columns.add(value.column)
        elif truths.any():
            self.tally.flag_columns.add(value.column)
        if value.column in self.tally.number_columns & self.tally.flag_columns:
            happened = f"value: {value.column} holds true or false in some records, and numbers in others"
            raise FormatError(self.entry.name, happened, 'Leave it out of "value"')
        return drop_mixed_truths(cells)

    def _count_cells(
        self, column: str, numbers_read: ReadNumbers, is_live: np.ndarray, cells: CellColumn, start: int
    ) -> None:
        """Counts the cells without a number; raises if they are numbers in another style."""
        count = self.tally.cells[column]
        if numbers_read.complete:
            count.read += len(cells)
            return
        count.read += int((~(numbers_read.unread | numbers_read.absent)).sum())
        bad_rows = np.flatnonzero(numbers_read.unread & is_live)
        if len(bad_rows):
            texts = [cells[int(row)].as_py() for row in bad_rows[:1000]]
            refuse_other_style(self.entry, self.table, column, texts, start + int(bad_rows[0]))
            count.unread += len(bad_rows)
            count.example = count.example or f"{self.table.place(start + int(bad_rows[0]))}, {column}: {texts[0]!r:.80}"


def finish_reading(entry: Entry, context: AnswerContext, skipped: list[Skipped]) -> None:
    """Raises for columns of an answer that contain only texts, and adds its other cells without a number to `skipped`;
    and the gaps that only all tables of it show."""
    tally = context.tally
    for column, count in tally.cells.items():
        if count.unread and not count.read:
            happened = f"value: {column} holds no numbers: {count.example}, which is not a number"
            raise FormatError(entry.name, happened, _propose_units(count.example) or 'Leave it out of "value"')
        if count.unread:
            skipped.append(Skipped(f"cells of {column} that hold no number", count.unread, count.example))
    for column, number in tally.open_cells.items():
        skipped.append(Skipped(f"empty cells of {column}, not measured yet", number, column, expected=True))
    if tally.is_cut and tally.length is not None:
        starts = np.array(sorted(tally.starts), np.int64)
        every, none = np.ones(len(starts), bool), np.zeros(len(starts), bool)
        timing = Timing(starts, starts + tally.length, none, none, none)
        skipped += list_long_intervals(entry, timing, np.zeros(len(starts), np.int64), every)


@dataclass(frozen=True)
class _Rows:
    """The properties of all records: their times, which are stored, and their labels."""

    timing: Timing
    live: np.ndarray
    locations: RowLabels
    variables: RowLabels | None
    published: np.ndarray | None
    ranks: np.ndarray | None
    dropped: dict[str, np.ndarray]


@dataclass(frozen=True)
class _LabelColumns:
    """Locations, variables and units as codes of records, (rows,), and of value columns, (values,)."""

    rows: _Rows
    locations: Sequence[str]
    location_codes: np.ndarray | None
    variables: Sequence[str]
    units: Sequence[str]

    @classmethod
    def of(cls, values: Sequence[ValueColumn], rows: _Rows) -> _LabelColumns:
        """Returns the label columns of `rows` and of the value columns `values`."""
        by_header = [value.location for value in values if value.location is not None]
        variables = [value.variable for value in values]
        if rows.variables is not None:
            is_single = len(values) == 1
            variables = [
                name if is_single else f"{name}_{value.variable}" for name in rows.variables.names for value in values
            ]
        nonempty_name = next(filter(None, rows.locations.names), "")  # for empty records, which are not stored
        return cls(
            rows,
            by_header or [name or nonempty_name for name in rows.locations.names],
            np.arange(len(values)) if by_header else None,
            variables,
            [value.unit for value in values],
        )

    def columns(self, span: slice, places: np.ndarray | None) -> dict[str, pa.DictionaryArray]:
        """Returns the label columns of the records in `span`, of which the cells at `places` (stored,) are stored."""
        from gridtide.observations.arrays import dictionary_array

        length, width = span.stop - span.start, len(self.units)
        of_values = np.tile(np.arange(width, dtype=np.int32), length)
        location_codes, variables = of_values, of_values
        if self.location_codes is None:
            location_codes = np.repeat(self.rows.locations.codes[span].astype(np.int32), width)
        if self.rows.variables is not None:
            variables = np.repeat(self.rows.variables.codes[span].astype(np.int32), width) * width + of_values
        codes = {"location": location_codes, "variable": variables, "unit": of_values}
        names = {"location": self.locations, "variable": self.variables, "unit": self.units}
        return {
            key: dictionary_array(column if places is None else column[places], names[key])
            for key, column in codes.items()
        }


MULTIPLES = re.compile(r"(?i)k|m|g|t|mi?o|mrd|mn|bn|tsd|thousand|million|billion|hundred")
"""Texts behind a number that may multiply it; without them, it would be another number."""


def _propose_units(example: str) -> str:
    """Returns the fix for numbers with a unit, such as the one in `example`; empty if there is no unit."""
    match = re.search(r": '([^\d\s.,+-]*) ?[+-]?\d[\d.,]* ?([^\d.,+-]*)'$", example)
    around = [text.strip() for text in match.groups() if text.strip()] if match else []
    if any(MULTIPLES.fullmatch(text) for text in around):
        return f"{around[-1]} may multiply the number, which no key says: ask the upstream for plain numbers"
    return f'If it is a unit, add "strip": {json.dumps(around, ensure_ascii=False)}' if around else ""


START = "{start}"
"""As `published`: the local day that the answer is for, at the time of `published_time`."""

LONGEST_DATE = len("September 10, 2026")
"""The length of the longest text that is a date without a time of day."""

NOT_PUBLISHED = -(1 << 62)
"""Stands for a missing publication time, in microseconds since 1970."""


def _build_times(moments: np.ndarray) -> pa.Array:
    return pa.array(moments, pa.int64(), mask=moments == NOT_PUBLISHED).cast(pa.timestamp("us", "UTC"))


def _read_publications(column: pa.TimestampArray, zone: ZoneInfo) -> np.ndarray:
    """Returns times of publication (rows,) in microseconds since 1970; those without an offset are in `zone`."""
    moments = to_numpy(column.cast(pa.int64()).fill_null(NOT_PUBLISHED), "i8").copy()
    if column.type.tz is None:
        is_given = moments != NOT_PUBLISHED
        moments[is_given] = clocks.convert_both_passes(moments[is_given], zone)[0]
    return moments


def _parse_moment(text: str, time_format: str | None, zone: ZoneInfo) -> int:
    """Parses `text` as microseconds since 1970, by ISO 8601 or else by `time_format`; a local time is in `zone`."""
    try:
        label = clocks.parse_label(text, None, None)
    except ValueError:
        label = clocks.parse_label(text, time_format, None)
    if label.is_utc:
        return label.moment
    first_pass, _ = clocks.convert_both_passes(np.array([label.moment]), zone)
    return int(first_pass[0])


def _combine_codes(codes: Sequence[np.ndarray]) -> np.ndarray:
    """Returns codes (rows,) for the combinations of several codes, each (rows,)."""
    combined_codes = np.asarray(codes[0], np.int64)
    for column in codes[1:]:
        _, column_codes = np.unique(column, return_inverse=True)
        _, combined_codes = np.unique(
            combined_codes * (int(column_codes.max(initial=0)) + 1) + column_codes, return_inverse=True
        )
    return combined_codes
