"""The times of a table's records: their labels as half-open intervals in UTC.

label "start"    10:00 ├────┤ 11:00        label "end"    ├────┤ 10:00        label "instant"    │ 10:00
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from gridtide.errors import FormatError, UpstreamError
from gridtide.observations.arrays import not_null, to_numpy
from gridtide.periods import EPOCH, count_microseconds, microseconds
from gridtide.sources.contract import Skipped
from gridtide.sources.formats import clocks
from gridtide.sources.formats.cells import CellTable, decode_texts, factorize
from gridtide.sources.formats.clocks import DAY_LENGTH, HOUR_LENGTH, Clock, ClockLabel, LabelError

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

REPEATED_HOUR = 99
"""The number, beside a date, of the second pass of the hour that occurs twice."""

_BY_ORDER = ("order", "first", "second", "refuse")
"""The ways of `ambiguous` that need no column."""

FAILURE_LINE = re.compile(r"(?i)\s*<(!--|[!?/]?[a-z])|\W*([\w.]*(error|exception)|fatal|time-?out)\b")
"""How a page or a message begins that an upstream appends to a table when it fails on the way."""

FLAG_WORDS = {
    **dict.fromkeys(("y", "yes", "true", "t", "1"), True),
    **dict.fromkeys(("n", "no", "false", "f", "0", ""), False),
}
"""The values of a column that flags the second pass of an hour."""


@dataclass(frozen=True)
class Timing:
    """The intervals of records in microseconds since 1970, (rows,), and the records without one: `blank` (rows,) have
    no label, `skipped` (rows,) a label in an hour that the clock skips, `elsewhere` (rows,) a label of another day."""

    starts: np.ndarray
    ends: np.ndarray
    blank: np.ndarray
    skipped: np.ndarray
    elsewhere: np.ndarray


@dataclass(frozen=True)
class _Labels:
    """The labels of records: on their clock or in UTC, (rows,), and the numbers beside dates, (rows,), 0 for none."""

    moments: np.ndarray
    is_utc: np.ndarray
    second: np.ndarray
    of_day: np.ndarray
    blank: np.ndarray
    numbers: np.ndarray | None = None


def read_timing(
    entry: Entry,
    table: CellTable,
    columns: Sequence[str],
    series: np.ndarray,
    day: date | None,
    valued: Callable[[], np.ndarray],
) -> Timing:
    """Reads the times of the records of `table` from their time `columns`; each of the `series` (rows,) is resolved
    separately, a time of day belongs to `day`, and `valued()` (rows,) tells which records have a value.

    Raises `FormatError` with the column, text and position of a label that cannot be read.
    """
    try:
        return _Reader(entry, table, columns, series, day, valued).read()
    except LabelError as error:
        position = table.place(error.row)
        raise FormatError(
            entry.name, f"time: {', '.join(columns)}: {error.happened}, in {position}", error.fix
        ) from error


class _Reader:
    """Reads the labels of one table."""

    def __init__(
        self,
        entry: Entry,
        table: CellTable,
        columns: Sequence[str],
        series: np.ndarray,
        day: date | None,
        valued: Callable[[], np.ndarray],
    ) -> None:
        self.entry, self.table, self.columns = entry, table, list(columns)
        self.series, self.day, self.valued = series, day, valued
        self.zone = ZoneInfo(entry.times_in or entry.timezone)
        self.length = count_microseconds(entry.interval or timedelta(0))

    def read(self) -> Timing:
        """Reads the labels, then the starts of their intervals on the clock, then UTC, then the ends."""
        labels = self._read_labels()
        shift = self.length if self.entry.label == "end" and labels.numbers is None else 0
        local, elsewhere = self._move_midnights(labels, shift)
        is_instant = bool(shift) and self._are_instants(labels, local, shift)
        starts, skipped = self._convert_to_utc(labels, local if is_instant else local - shift)
        starts -= shift if is_instant else 0
        local = local - shift
        starts[labels.blank] = 0
        starts, ends = self._find_ends(starts, labels.blank | skipped, local if shift else None, labels)
        return Timing(starts, ends, labels.blank, skipped & ~labels.blank, elsewhere & ~labels.blank)

    def _read_labels(self) -> _Labels:
        cells = self.table.read(self.columns)
        *dates, last_column = self.columns
        if pa.types.is_timestamp(cells[last_column].type):  # which the answer of a database has, never beside dates
            return _read_moments(cells[last_column])
        numbers = None
        if dates and self._are_numbers(cells[last_column]):
            parts_of_hour = None
            if len(dates) > 1 and self._are_numbers(cells[dates[-1]]) and not self._are_dates(dates):
                *dates, hour = dates
                parts_of_hour, last_column = _read_numbers(cells[last_column]), hour
            numbers = _read_numbers(cells[last_column])
            is_second_pass = _find_marked(cells[last_column])
            if parts_of_hour is not None:
                return self._add_parts(_join_columns([cells[name] for name in dates]), numbers, parts_of_hour)
        texts = _join_columns([cells[name] for name in (dates if numbers is not None else self.columns)])
        labels = self._parse_texts(texts)
        if numbers is None:
            return labels
        return self._add_numbers(replace(labels, second=labels.second | is_second_pass), numbers)

    def _are_dates(self, columns: Sequence[str]) -> bool:
        """Whether the joined texts of `columns` are dates in the entry's `time_format`."""
        if self.entry.time_format is None:
            return False
        _, texts = factorize(_join_columns(list(self.table.read(columns).values())))
        first = next((text for text in texts if text and text.strip()), "")
        try:
            return clocks.parse_label(first, self.entry.time_format, None) is not None
        except (ValueError, OverflowError):
            return False

    def _are_numbers(self, column: pa.StringArray) -> bool:
        """Whether a column beside a date has numbers of hours or of intervals."""
        if self.entry.time_format is not None and re.search(r"%[HI]", self.entry.time_format):
            return False
        _, distinct_texts = factorize(column)
        stripped_texts = [text for text in distinct_texts if text and text.strip()]
        return bool(stripped_texts) and all(clocks.NUMBERED.fullmatch(text.strip()) for text in stripped_texts)

    def _parse_texts(self, texts: pa.StringArray) -> _Labels:
        text_codes, distinct_texts = factorize(texts)
        parsed_labels: list[ClockLabel] = []
        unreadable_texts: dict[int, str] = {}
        if self.entry.time_format is None and clocks.are_misread([text for text in distinct_texts if text]):
            unreadable_texts = {code: text for code, text in enumerate(distinct_texts) if text}
        for code, text in enumerate(distinct_texts):
            try:
                parsed_labels.append(
                    clocks.parse_label(text, self.entry.time_format, self.day)
                    if text and text.strip()
                    else ClockLabel(0)
                )
            except (ValueError, OverflowError):
                parsed_labels.append(ClockLabel(0))
                unreadable_texts[code] = text or ""
        if unreadable_texts:
            raise self._build_label_error(text_codes, [text or "" for text in distinct_texts], unreadable_texts)
        is_blank = np.array([not (text and text.strip()) for text in distinct_texts], bool)
        columns = [np.array(column) for column in zip(*parsed_labels, strict=True)] or [np.zeros(0, int)] * 4
        moments, is_utc, second, of_day = (column[text_codes] for column in columns)
        return _Labels(
            moments.astype(np.int64),
            is_utc.astype(bool),
            second.astype(bool),
            of_day.astype(bool),
            is_blank[text_codes],
        )

    def _build_label_error(
        self, codes: np.ndarray, texts: Sequence[str], bad: dict[int, str]
    ) -> FormatError | UpstreamError:
        """Returns the error for the unreadable labels `bad`, by their codes, with a way to read them or to leave out
        their rows; where the upstream failed on the way, it is one that is retried."""
        rows = np.flatnonzero(np.isin(codes, list(bad)))
        text = bad[int(codes[rows[0]])]
        column = ", ".join(self.columns)
        if clocks.TIME_OF_DAY.fullmatch(text.strip()) and self.entry.time_format is None:
            happened = f"time: {column} holds {text!r}, a time of day without its date"
            fix = "Name the day in the URL, such as {start:%Y%m%d}: it is then asked for day by day"
            return FormatError(self.entry.name, happened, self._propose_days() or fix)
        description = (
            "ISO 8601 time" if self.entry.time_format is None else f"time of the format {self.entry.time_format}"
        )
        text_shown = repr(text)[:80] if text else "None"
        failure = next((code for code, wrong in bad.items() if FAILURE_LINE.match(wrong)), None)
        if failure is not None and len(bad) < len(texts):
            position = self.table.place(int(np.flatnonzero(codes == failure)[0]))
            happened = f"the table is broken off by {bad[failure][:80]!r} where a time should be, in {position}"
            skips = self._propose_skips(rows)
            fix = "Try again later" + (f"; if the answer always ends so, add {skips}" if "footer" in skips else "")
            return UpstreamError(self.entry.name, happened, fix)
        position = self.table.place(int(rows[0]))
        happened = f"time: {column} holds {text_shown}, which is not a valid {description}, in {position}"
        return FormatError(self.entry.name, happened, self._propose_days() or self._propose_fix(rows, texts, bad))

    def _propose_days(self) -> str:
        """Returns the fix for a table with a column for each day; empty for others."""
        day_format = clocks.guess_day_format([name for name in self.table.own if name not in self.columns])
        return f'If the columns are days, add "days": "{day_format}"' if day_format else ""

    def _propose_fix(self, rows: np.ndarray, texts: Sequence[str], bad: Iterable[int]) -> str:
        """Describes how to read the labels at `rows`, those of `texts` that are `bad`, or to leave out their rows."""
        formats = clocks.propose_formats([text for text in texts if text.strip()])
        if formats:
            return f"Add {clocks.quote_formats(formats)}"
        if self.columns == ["position"] and all(text.strip().isdecimal() for text in texts):
            return 'If the records are points of periods, add "layout": "positions"'
        if not rows[0] and not isinstance(self.entry.csv.header, int) and texts[0].split() == self.columns[0].split():
            return 'If the first line is a header, add "skip": 1, or leave "header" out'
        if any(text.split() == " ".join(self.columns).split() for text in texts):
            return 'If another table begins there, end this one before it: add "footer": "blank", or "from:" and a text'
        if all(text.strip()[:1] == "[" for text in texts if text.strip()):
            return 'If each list is a column, add "layout": "columns"'
        around = self._propose_skips(rows)
        if around and not any(clocks.looks_like_time(texts[code]) for code in bad):
            return f"If the first rows belong to the header, or the last are no records, add {around}"
        return 'Name the format with "time_format", such as "%d.%m.%Y %H:%M", or another column with "time"'

    def _propose_skips(self, rows: np.ndarray) -> str:
        """Returns the keys that leave out `rows` if they are the first or the last few of the table, else an empty
        text."""
        leading_count = int((rows == np.arange(len(rows))).sum())
        trailing_count = len(rows) - leading_count
        is_at_end = rows[leading_count:] == np.arange(self.table.rows - trailing_count, self.table.rows)
        if not is_at_end.all() or len(rows) > 20 or len(rows) == self.table.rows:
            return ""
        keys = [f'"header": {leading_count + 1}'] if leading_count else []
        keys += [f'"footer": {trailing_count}'] if trailing_count else []
        return ", ".join(keys)

    def _add_numbers(self, labels: _Labels, numbers: np.ndarray) -> _Labels:
        """Returns labels from dates and `numbers` (rows,): hours of the clock, or intervals counted from midnight."""
        self._refuse_parts(labels)
        rows = np.flatnonzero(~labels.blank)
        if not self.length:
            raise LabelError(0, "numbers beside dates need the length of an interval", 'Add "interval", such as "PT1H"')
        if self.length != HOUR_LENGTH:
            first = 0 if (numbers[rows] == 0).any() else 1
            return self._count_intervals(labels, numbers, np.ones(len(numbers), bool), first)
        if self.entry.label is None:
            fix = 'Say what they are with "label": "end" (hours 1 to 24) or "start" (0 to 23)'
            raise LabelError(int(rows[0]) if len(rows) else 0, f"{self.columns[-1]} holds numbers of hours", fix)
        return self._count_intervals(labels, numbers, self._find_elapsed_days(labels, numbers), 1)

    def _find_elapsed_days(self, labels: _Labels, numbers: np.ndarray) -> np.ndarray:
        """Returns which rows (rows,) belong to days of another length whose hours are numbered consecutively, 1 to 23
        or to 25."""
        is_elapsed_day = np.zeros(len(numbers), bool)
        days = np.unique(labels.moments[~labels.blank])
        changed_days = [(int(day), clocks.measure_day(int(day), self.zone)[1]) for day in days]
        changed_days = [(day, length) for day, length in changed_days if length != DAY_LENGTH]
        if changed_days:
            valued = self.valued()
            for day, length in changed_days:
                is_of_day = (labels.moments == day) & ~labels.blank
                consecutive = set(range(1, length // HOUR_LENGTH + 1))
                if consecutive in (set(numbers[is_of_day & valued].tolist()), set(numbers[is_of_day].tolist())):
                    is_elapsed_day |= is_of_day
        return is_elapsed_day

    def _count_intervals(self, labels: _Labels, numbers: np.ndarray, elapsed: np.ndarray, first_number: int) -> _Labels:
        """Returns the starts of intervals: those in `elapsed` (rows,) counted from midnight in UTC, others on the
        clock."""
        numbers, second, blank = self._resolve_repeated(labels, numbers)
        moments = labels.moments.copy()
        is_utc = labels.is_utc | elapsed
        last_start = DAY_LENGTH // self.length - (0 if self.entry.label == "instant" else 1)  # 24 is the next midnight
        for day in np.unique(labels.moments[~blank]):
            is_of_day = (labels.moments == day) & ~blank
            begin, length = clocks.measure_day(int(day), self.zone)
            is_elapsed = is_of_day & elapsed
            moments[is_elapsed] = begin + (numbers[is_elapsed] - first_number) * self.length
            number_offset = 1 if self.entry.label == "end" else 0
            on_clock = is_of_day & ~elapsed
            moments[on_clock] += (numbers[on_clock] - number_offset) * self.length
            is_beyond = (is_elapsed & (numbers - first_number >= length // self.length)) | (
                on_clock & (numbers - number_offset > last_start)
            )
            is_beyond |= is_of_day & (numbers < (first_number if elapsed[is_of_day].all() else number_offset))
            if is_beyond.any():
                blank = blank | self._find_valueless(is_beyond, numbers)
        return _Labels(moments, is_utc, second, labels.of_day, blank, numbers)

    def _find_valueless(self, beyond: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Returns the rows `beyond` (rows,) the intervals of their day, if none of them has a value; else raises."""
        rows = np.flatnonzero(beyond & self.valued())
        if len(rows):
            number = numbers[rows[0]]
            description = "hour that comes twice" if number == REPEATED_HOUR else f"interval {number}"
            raise LabelError(int(rows[0]), f"the day has no {description}", 'Correct "interval", "label" or "timezone"')
        return beyond

    def _resolve_repeated(self, labels: _Labels, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns `numbers` (rows,) with the number of the repeated hour for its second pass, which rows that is, and
        which rows have no interval because their day has no repeated hour."""
        is_second_pass, is_blank, numbers = labels.second.copy(), labels.blank.copy(), numbers.copy()
        rows = np.flatnonzero((numbers == REPEATED_HOUR) & ~is_blank)
        number_offset = 1 if self.entry.label == "end" else 0
        missing = np.zeros(len(numbers), bool)
        for row_number in rows:
            hours = labels.moments[row_number] + np.arange(24) * HOUR_LENGTH
            first_pass, second_pass = clocks.convert_both_passes(hours, self.zone)
            repeated_hours = np.flatnonzero(first_pass < second_pass)
            missing[row_number] = not len(repeated_hours)
            is_second_pass[row_number] = True
            numbers[row_number] = repeated_hours[0] + number_offset if len(repeated_hours) else REPEATED_HOUR
        return numbers, is_second_pass, is_blank | self._find_valueless(missing, numbers) if missing.any() else is_blank

    def _add_parts(self, texts: pa.StringArray, hours: np.ndarray, parts: np.ndarray) -> _Labels:
        """Returns labels from dates, hours of the clock, and numbers from 1 of intervals within an hour."""
        labels = self._parse_texts(texts)
        self._refuse_parts(labels)
        if self.entry.label is None or not self.length:
            fix = 'Add "interval", such as "PT15M", and "label": "end" (hours 1 to 24) or "start" (0 to 23)'
            raise LabelError(0, f"{self.columns[-2]} holds numbers of hours", fix)
        number_offset = 1 if self.entry.label == "end" else 0
        is_beyond = (hours < number_offset) | (hours - number_offset > 23)
        is_beyond |= (parts < 1) | (parts > HOUR_LENGTH // self.length)
        rows = np.flatnonzero(is_beyond & ~labels.blank)
        if len(rows):
            numbers = f"interval {parts[rows[0]]} of hour {hours[rows[0]]}"
            raise LabelError(int(rows[0]), f"the day has no {numbers}", 'Correct "interval", "label" or "timezone"')
        moments = labels.moments + (hours - number_offset) * HOUR_LENGTH + (parts - 1) * self.length
        return _Labels(moments, labels.is_utc, labels.second, labels.of_day, labels.blank, parts)

    def _refuse_parts(self, labels: _Labels) -> None:
        rows_with_time = np.flatnonzero((labels.moments % DAY_LENGTH != 0) & ~labels.blank)
        if len(rows_with_time):
            fix = 'Name the time alone, or say how all is written with "time_format"'
            raise LabelError(
                int(rows_with_time[0]), f"a number stands beside a value that is not a day: {self.columns}", fix
            )

    def _move_midnights(self, labels: _Labels, shift: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the labels with a final 00:00 after later labels as the next midnight, and which rows are only
        that."""
        local = labels.moments.copy()
        elsewhere = np.zeros(len(local), bool)
        midnight = np.flatnonzero(labels.of_day & (local % DAY_LENGTH == 0))
        if len(midnight):
            last_rows = _find_last_rows(self.series)
            for row_number in midnight:
                rows_of_series = np.flatnonzero((self.series == self.series[row_number]) & labels.of_day)
                if last_rows[self.series[row_number]] == row_number and local[rows_of_series].max() > local[row_number]:
                    local[row_number] += DAY_LENGTH
                    elsewhere[row_number] = not shift
        return local, elsewhere

    def _convert_to_utc(self, labels: _Labels, local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        utc = local.copy()
        skipped = np.zeros(len(local), bool)
        has_other_clock = self.zone.key != "UTC" or self.entry.timezone_from is not None
        rows = np.flatnonzero(~labels.is_utc & ~labels.blank)
        if len(rows) and has_other_clock:
            clock = self._build_clock(rows)
            try:
                utc[rows], skipped[rows] = clocks.to_utc(local[rows], self.series[rows], clock, labels.second[rows])
            except LabelError as error:
                raise LabelError(int(rows[error.row]), error.happened, error.fix) from error
            self._refuse_guessing(rows, local)
        if skipped.any():
            self._refuse_skipped(skipped, local)
        return utc, skipped

    def _are_instants(self, labels: _Labels, ends: np.ndarray, shift: int) -> bool:
        """Whether the labels `ends` (rows,) show what the clock says as intervals of the length `shift` end.

        Else they are the clock at their start plus that length. The two differ where the clock is changed: an interval
        that ends as it is set back from 02:00 to 01:00 has the label 01:00, or 02:00.
        """
        flagged = self.entry.timezone_from is not None or self.entry.ambiguous not in _BY_ORDER
        rows = np.flatnonzero(~labels.is_utc & ~labels.blank)
        if flagged or not len(rows) or self.zone.key == "UTC":
            return False
        moments = np.unique(ends[rows])
        first_pass, second_pass = clocks.convert_both_passes(moments, self.zone)
        first_pass_before, second_pass_before = clocks.convert_both_passes(moments - shift, self.zone)
        is_repeated, was_repeated = first_pass < second_pass, first_pass_before < second_pass_before
        for at_begin, behind_end in zip(
            moments[is_repeated & ~was_repeated], moments[~is_repeated & was_repeated], strict=False
        ):
            series = self.series[rows]
            begin_count = np.bincount(series[ends[rows] == at_begin]).max(initial=0)
            if begin_count > np.bincount(series[ends[rows] == behind_end]).max(initial=0):
                return True
        behind_gap = moments[(first_pass_before > second_pass_before) & (first_pass == second_pass)]
        return bool(len(behind_gap)) and not np.isin(behind_gap - HOUR_LENGTH, moments).any()

    def _build_clock(self, rows: np.ndarray) -> Clock:
        entry = self.entry
        zones = None
        if entry.timezone_from is not None:
            codes, names = factorize(self._get_column(entry.timezone_from, "timezone"))
            zones = [names[code] for code in codes[rows].tolist()]
        second = None
        if entry.ambiguous not in _BY_ORDER:
            codes, texts = factorize(self._get_column(entry.ambiguous, "ambiguous"))
            flags = [FLAG_WORDS.get((text or "").strip().lower()) for text in texts]
            if None in flags:
                code = flags.index(None)
                row = int(np.flatnonzero(codes == code)[0])
                raise LabelError(row, f"ambiguous: {entry.ambiguous} holds {texts[code]!r}, neither yes nor no")
            second = np.array(flags, bool)[codes[rows]]
        return Clock(self.zone, entry.ambiguous, zones, second)

    def _get_column(self, name: str, key: str) -> pa.StringArray:
        if name not in self.table.names:
            happened = f"{key}: no record has a column {name}; the columns are: {', '.join(self.table.names)}"
            raise FormatError(self.entry.name, happened, f'Correct "{key}"')
        return self.table.read([name])[name]

    def _refuse_guessing(self, rows: np.ndarray, local: np.ndarray) -> None:
        """Refuses to resolve the repeated hour by order if an unnamed column tells which pass it is."""
        if self.entry.ambiguous != "refuse" or self.entry.timezone_from is not None:
            return
        flag_columns = [name for name in self.table.names if "dst" in name.lower() and name not in self.columns]
        first_pass, second_pass = clocks.convert_both_passes(np.unique(local[rows]), self.zone)
        if flag_columns and (first_pass < second_pass).any():
            row = int(rows[0])
            raise LabelError(
                row,
                f"a column {flag_columns[0]} tells the hour that comes twice",
                f'Add "ambiguous": "{flag_columns[0]}"',
            )

    def _refuse_skipped(self, skipped: np.ndarray, local: np.ndarray) -> None:
        """Raises if a record in an hour that the clock skips has a value."""
        rows = np.flatnonzero(skipped & self.valued())
        if len(rows):
            moment = EPOCH + timedelta(microseconds=int(local[rows[0]]))
            happened = f"{moment:%Y-%m-%dT%H:%M} does not exist in {self.zone.key}: the clock skips it"
            raise LabelError(int(rows[0]), happened, 'Correct "timezone" or "label", or ask for UTC')

    def _find_ends(
        self, starts: np.ndarray, without: np.ndarray, shifted: np.ndarray | None, labels: _Labels
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns starts and ends; `without` (rows,) are records that have none."""
        entry = self.entry
        if entry.label == "instant":
            return starts, starts.copy()
        if entry.interval_from == "gaps":
            return self._read_between_labels(starts, without)
        if entry.interval_from is not None:
            return self._read_by_column(starts, without)
        if self.length % DAY_LENGTH or not self.length:
            return starts, starts + self.length
        moments, codes = np.unique(starts, return_inverse=True)
        ends = [self._add_days(int(moment)) for moment in moments]
        return starts, np.array(ends, np.int64)[codes]

    def _add_days(self, start: int) -> int:
        """Returns the end of an interval of days that begins at `start`; days are those of the clock, 23 to 25 hours
        long."""
        moment = (EPOCH + timedelta(microseconds=start)).astimezone(self.zone) + (self.entry.interval or timedelta(0))
        return microseconds(moment)

    def _read_between_labels(self, starts: np.ndarray, without: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns intervals up to the next label of their series, or from the previous one if labels are ends.

        Where labels of a product lie on the grid of its resolution, a longer gap is one of missing labels: its
        interval, and that at the edge of the answer, reaches to the next point of the grid. Elsewhere a gap is one of
        missing labels if it is longer than all gaps that occur twice, and such intervals have the length of the
        adjacent one.
        """
        begins, ends = starts.copy(), starts.copy()
        resolution = count_microseconds(self.entry.resolution)
        on_grid = self.entry.product is not None and _are_on_grid(starts[~without], resolution)
        for code in np.unique(self.series[~without]):
            rows = np.flatnonzero((self.series == code) & ~without)
            moments, moment_index = np.unique(starts[rows], return_inverse=True)
            gaps = _replace_long_gaps(np.diff(moments), resolution)
            if self.entry.label == "end":
                lengths = np.concatenate([gaps[:1], gaps])
                lengths = _measure_on_grid(-moments[::-1], resolution)[::-1] if on_grid else lengths
                begins[rows] = (moments - lengths)[moment_index]
            else:
                lengths = np.concatenate([gaps, gaps[-1:]])
                lengths = _measure_on_grid(moments, resolution) if on_grid else lengths
                ends[rows] = (moments + lengths)[moment_index]
        return begins, ends

    def _read_by_column(self, starts: np.ndarray, without: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns intervals whose length or other bound is in a column."""
        name = str(self.entry.interval_from)
        if pa.types.is_timestamp(self._get_column(name, "interval").type):
            return self._read_by_bounds(name, _read_moments(self.table.read([name])[name]), starts, without)
        text_codes, distinct_texts = factorize(self._get_column(name, "interval"))
        lengths = [_parse_length(text) for text in distinct_texts]
        direction = -1 if self.entry.label == "end" else 1
        if any(length is not None for length in lengths):
            missing = next(
                (
                    code
                    for code, length in enumerate(lengths)
                    if length is None and (text_codes[~without] == code).any()
                ),
                None,
            )
            if missing is not None:
                row = int(np.flatnonzero((text_codes == missing) & ~without)[0])
                raise LabelError(
                    row,
                    f"interval: {name} holds {distinct_texts[missing]!r}, which is not a length",
                    'Correct "interval"',
                )
            lengths_by_row = np.array([length or 0 for length in lengths], np.int64)[text_codes]
            return (starts, starts + lengths_by_row) if direction == 1 else (starts - lengths_by_row, starts)
        reader_of_bounds = _Reader(self.entry, self.table, [name], self.series, self.day, self.valued)
        labels = reader_of_bounds._parse_texts(self.table.read([name])[name])
        return self._read_by_bounds(name, labels, starts, without)

    def _read_by_bounds(
        self, name: str, labels: _Labels, starts: np.ndarray, without: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns intervals whose other bound has the `labels` of the column `name`."""
        direction = -1 if self.entry.label == "end" else 1
        reader_of_bounds = _Reader(self.entry, self.table, [name], self.series, self.day, self.valued)
        bounds, _ = reader_of_bounds._convert_to_utc(labels, labels.moments)
        wrong_rows = np.flatnonzero(((bounds - starts) * direction <= 0) & ~without)
        if len(wrong_rows):
            raise LabelError(
                int(wrong_rows[0]), f"interval: {name} lies not behind the label", 'Correct "interval" or "label"'
            )
        return (starts, bounds) if direction == 1 else (bounds, starts)


def _read_moments(column: pa.TimestampArray) -> _Labels:
    """Returns the labels of times (rows,) that are no texts; without a time zone they are on the clock."""
    no_rows = np.zeros(len(column), bool)
    is_utc = np.full(len(column), column.type.tz is not None)
    moments = to_numpy(column.cast(pa.int64()).fill_null(0), "i8").copy()
    return _Labels(moments, is_utc, no_rows, no_rows, ~not_null(column))


def _join_columns(columns: Sequence[pa.StringArray]) -> pa.StringArray:
    if len(columns) == 1:
        return columns[0]
    import pyarrow.compute as pc

    joined = pc.binary_join_element_wise(*map(decode_texts, columns), " ", null_handling="replace", null_replacement="")
    return pc.utf8_trim_whitespace(joined)


def _find_marked(column: pa.StringArray) -> np.ndarray:
    """Returns which numbers of hours in `column` (rows,) are marked as the second pass, such as 02X."""
    text_codes, distinct_texts = factorize(column)
    matches = [clocks.NUMBERED.fullmatch((text or "").strip()) for text in distinct_texts]
    are_marked = [bool(match and match[2] and match[2] not in "Aa") for match in matches]
    return np.take(np.array(are_marked, bool), text_codes)


def _read_numbers(column: pa.StringArray) -> np.ndarray:
    """Returns the numbers of hours or intervals in `column` (rows,), 0 for none."""
    text_codes, distinct_texts = factorize(column)
    matches = [clocks.NUMBERED.fullmatch((text or "").strip()) for text in distinct_texts]
    return np.take(np.array([int(match[1]) if match else 0 for match in matches], np.int64), text_codes)


def _find_last_rows(series: np.ndarray) -> dict[int, int]:
    """Returns the last row of each of the `series` (rows,)."""
    return {int(code): row for row, code in enumerate(series.tolist())}


def _are_on_grid(moments: np.ndarray, resolution: int) -> bool:
    """Whether more than half of the `moments` (rows,) are multiples of `resolution`, and the most frequent gap is not
    longer."""
    distinct = np.unique(moments)
    gaps, counts = np.unique(np.diff(distinct), return_counts=True)
    if not len(gaps) or np.mean(distinct % resolution == 0) <= 0.5:
        return False
    return bool(gaps[np.argmax(counts)] <= resolution)


def _measure_on_grid(moments: np.ndarray, resolution: int) -> np.ndarray:
    """Returns the lengths (moments,) from each of `moments`, in order, to the next one, or to the next multiple of
    `resolution` if there is none within it."""
    gaps = np.append(np.diff(moments), resolution + 1)
    return np.where(gaps > resolution, resolution - moments % resolution, gaps)


def _replace_long_gaps(gaps: np.ndarray, resolution: int) -> np.ndarray:
    """Returns `gaps` (gaps,), in which gaps that are longer than any that occurs twice are replaced by the gap before
    them."""
    if not len(gaps):
        return np.array([resolution], np.int64)
    lengths, counts = np.unique(gaps, return_counts=True)
    longest = max([resolution, *lengths[counts > 1].tolist()]) if len(gaps) > 1 else max(resolution, int(gaps[0]))
    filled_gaps = gaps.copy()
    for index, gap in enumerate(gaps.tolist()):
        if gap > longest:
            filled_gaps[index] = filled_gaps[index - 1] if index else min(resolution, int(gaps.min()))
    return filled_gaps


def _parse_length(text: str | None) -> int | None:
    """Returns the microseconds of an ISO 8601 duration, or of a number of minutes."""
    stripped = (text or "").strip()
    match = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", stripped)
    if match and any(match.groups()):
        days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
        return days * DAY_LENGTH + hours * HOUR_LENGTH + minutes * HOUR_LENGTH // 60 + seconds * 1_000_000
    return int(stripped) * HOUR_LENGTH // 60 if re.fullmatch(r"[1-9]\d{0,3}", stripped) else None


LONG_INTERVALS = 'gaps as long as intervals of another length, of which "interval" leaves out a part'
"""Why a part of the time that records stand for is not stored."""


def list_long_intervals(entry: Entry, timing: Timing, series: np.ndarray, live: np.ndarray) -> list[Skipped]:
    """Returns the count of long gaps in the `live` records (rows,) of `series` (rows,), if the entry gives the length
    of its intervals itself and there are any."""
    if entry.interval is None or entry.product is not None:
        return []
    count = _count_long_intervals(timing, series, live)
    return [count] if count else []


def _count_long_intervals(timing: Timing, series: np.ndarray, live: np.ndarray) -> Skipped | None:
    """Returns the count of gaps in the `live` records (rows,) before or after which the intervals have their constant
    length, as where hours become quarter-hours: at one end of a series at least two in a row, which are of one length
    and begin at its multiples. None if there are none."""
    rows = np.flatnonzero(live)
    steps, lengths = np.diff(timing.starts[rows]), (timing.ends - timing.starts)[rows]
    if len(rows) < 4 or lengths[0] <= 0 or (lengths != lengths[0]).any():
        return None
    if (steps >= 0).all() and (steps <= lengths[0]).all():  # in the order of time, without any gap
        return None
    rows = rows[np.lexsort((timing.starts[rows], series[rows]))]
    starts = timing.starts[rows]
    bounds = [0, *(np.flatnonzero(np.diff(series[rows])) + 1).tolist(), len(rows)]
    count, example = 0, ""
    for begin, end in pairwise(bounds):
        steps = np.diff(starts[begin:end])
        for ordered, order_of_starts in ((steps, starts[begin:end]), (steps[::-1], starts[begin:end][::-1][1:])):
            if len(ordered) < 3 or not lengths[0] < ordered[0] <= LONGEST_OTHER_INTERVAL:
                continue
            run = int(np.argmax(ordered != ordered[0])) if (ordered != ordered[0]).any() else 0
            if run > 1 and (ordered[run:] == lengths[0]).any() and not (order_of_starts[:run] % ordered[0]).any():
                count += run
                first = int(min(order_of_starts[:run]))
                example = example or f"from {show_moment(first)} on, every {ordered[0] * 60 // HOUR_LENGTH} minutes"
    return Skipped(LONG_INTERVALS, count, f'{example}; "interval": "gaps" stores them whole') if count else None


LONGEST_OTHER_INTERVAL = HOUR_LENGTH
"""The longest interval, in microseconds, that a series may have had before or after it had a shorter one."""


def show_moment(moment: int) -> str:
    """Formats a moment in microseconds since 1970 for messages."""
    return f"{datetime.fromtimestamp(moment / 1e6, UTC):%Y-%m-%dT%H:%MZ}"
