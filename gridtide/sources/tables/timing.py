"""When the records of a table are: their labels as half-open intervals in UTC.

label "start"    10:00 ├────┤ 11:00        label "end"    ├────┤ 10:00        label "instant"    │ 10:00
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from gridtide.errors import FormatError
from gridtide.periods import EPOCH
from gridtide.sources.formats import clocks
from gridtide.sources.formats.cells import CellTable, factorised
from gridtide.sources.formats.clocks import DAY_LENGTH, HOUR_LENGTH, Clock, ClockLabel, LabelError

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

REPEATED_HOUR = 99
"""The number, beside a date, of the second of the hour that comes twice."""

FLAG_WORDS = {
    **dict.fromkeys(("y", "yes", "true", "t", "1"), True),
    **dict.fromkeys(("n", "no", "false", "f", "0", ""), False),
}
"""What a column says of the second pass of an hour."""


@dataclass(frozen=True)
class Timing:
    """The intervals of records in microseconds since 1970, (rows,), and which records have none: `blank` (rows,) have
    no label, `skipped` (rows,) that of an hour that the clock skips, `elsewhere` (rows,) that of another day."""

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
    """When the records of `table` are, by their time `columns`; `series` (rows,) are told apart by themselves, a time
    of day is one of `day`, and `valued()` (rows,) says which records hold a value.

    Raises `FormatError` that names column, text and place of a label that cannot be read.
    """
    try:
        return _Reader(entry, table, columns, series, day, valued).timing()
    except LabelError as error:
        place = table.place(error.row)
        raise FormatError(entry.name, f"time: {', '.join(columns)}: {error.happened}, in {place}", error.fix) from error


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
        self.zone = ZoneInfo(entry.timezone)
        self.length = (entry.interval or timedelta(0)) // timedelta(microseconds=1)

    def timing(self) -> Timing:
        """Labels, then the starts of their intervals on the clock, then UTC, then the ends."""
        labels = self._labels()
        shift = self.length if self.entry.label == "end" and labels.numbers is None else 0
        local, elsewhere = self._next_midnights(labels, shift)
        local = local - shift
        starts, skipped = self._in_utc(labels, local)
        starts[labels.blank] = 0
        starts, ends = self._ends(starts, labels.blank | skipped, local if shift else None, labels)
        return Timing(starts, ends, labels.blank, skipped & ~labels.blank, elsewhere & ~labels.blank)

    def _labels(self) -> _Labels:
        cells = self.table.read(self.columns)
        *dates, last = self.columns
        numbers = None
        if dates and self._are_numbers(cells[last]):
            sub = None
            if len(dates) > 1 and self._are_numbers(cells[dates[-1]]):
                *dates, hour = dates
                sub, last = _as_numbers(cells[last]), hour
            numbers = _as_numbers(cells[last])
            if sub is not None:
                return self._of_parts(_joined([cells[name] for name in dates]), numbers, sub)
        texts = _joined([cells[name] for name in (dates if numbers is not None else self.columns)])
        labels = self._parsed(texts)
        return labels if numbers is None else self._numbered(labels, numbers)

    def _are_numbers(self, column: pa.StringArray) -> bool:
        """Whether a column beside a date holds numbers of hours or of intervals."""
        if self.entry.time_format is not None and re.search(r"%[HI]", self.entry.time_format):
            return False
        _, texts = factorised(column)
        bare = [text for text in texts if text and text.strip()]
        return bool(bare) and all(clocks.NUMBERED.fullmatch(text.strip()) for text in bare)

    def _parsed(self, texts: pa.StringArray) -> _Labels:
        codes, distinct_texts = factorised(texts)
        read: list[ClockLabel] = []
        bad: dict[int, str] = {}
        for code, text in enumerate(distinct_texts):
            try:
                read.append(
                    clocks.parse_label(text, self.entry.time_format, self.day)
                    if text and text.strip()
                    else ClockLabel(0)
                )
            except (ValueError, OverflowError):
                read.append(ClockLabel(0))
                bad[code] = text or ""
        if bad:
            raise self._unreadable(codes, [text or "" for text in distinct_texts], bad)
        blank = np.array([not (text and text.strip()) for text in distinct_texts], bool)
        columns = [np.array(column) for column in zip(*read, strict=True)] or [np.zeros(0, int)] * 4
        moments, is_utc, second, of_day = (column[codes] for column in columns)
        return _Labels(
            moments.astype(np.int64), is_utc.astype(bool), second.astype(bool), of_day.astype(bool), blank[codes]
        )

    def _unreadable(self, codes: np.ndarray, texts: Sequence[str], bad: dict[int, str]) -> FormatError:
        """What is wrong with the labels `bad` by their codes, and how they or their rows can be read."""
        rows = np.flatnonzero(np.isin(codes, list(bad)))
        text = bad[int(codes[rows[0]])]
        column = ", ".join(self.columns)
        if clocks.TIME_OF_DAY.fullmatch(text.strip()) and self.entry.time_format is None:
            happened = f"time: {column} holds {text!r}, a time of day without its date"
            fix = "Name the day in the URL, such as {start:%Y%m%d}: it is then asked for day by day"
            return FormatError(self.entry.name, happened, fix)
        what = "ISO 8601 time" if self.entry.time_format is None else f"time of the format {self.entry.time_format}"
        text_shown = repr(text)[:80] if text else "None"
        happened = f"time: {column} holds {text_shown}, which is no {what}, in {self.table.place(int(rows[0]))}"
        return FormatError(self.entry.name, happened, self._fix(rows, texts))

    def _fix(self, rows: np.ndarray, texts: Sequence[str]) -> str:
        """How the labels at `rows` can be read, or their rows left out."""
        formats = clocks.proposed_formats([text for text in texts if text.strip()])
        if formats:
            return f"Add {clocks.quoted(formats)}"
        if self.columns == ["position"] and all(text.strip().isdecimal() for text in texts):
            return 'If the records are points of periods, add "layout": "positions"'
        around = self._around(rows)
        if around:
            return f"If the first rows belong to the header, or the last are no records, add {around}"
        return 'Name the format with "time_format", such as "%d.%m.%Y %H:%M", or another column with "time"'

    def _around(self, rows: np.ndarray) -> str:
        """The keys that leave out `rows` where they are the first or the last few of the table, else nothing."""
        before = int((rows == np.arange(len(rows))).sum())
        after = len(rows) - before
        of_end = rows[before:] == np.arange(self.table.rows - after, self.table.rows)
        if not of_end.all() or len(rows) > 20 or len(rows) == self.table.rows:
            return ""
        keys = [f'"header": {before + 1}'] if before else []
        keys += [f'"footer": {after}'] if after else []
        return ", ".join(keys)

    def _numbered(self, labels: _Labels, numbers: np.ndarray) -> _Labels:
        """Labels of dates and `numbers` (rows,): hours of the clock, or intervals counted from midnight."""
        self._refuse_parts(labels)
        rows = np.flatnonzero(~labels.blank)
        if not self.length:
            raise LabelError(0, "numbers beside dates need the length of an interval", 'Add "interval", such as "PT1H"')
        if self.length != HOUR_LENGTH:
            first = 0 if (numbers[rows] == 0).any() else 1
            return self._counted(labels, numbers, np.ones(len(numbers), bool), first)
        if self.entry.label is None:
            fix = 'Say what they are with "label": "end" (hours 1 to 24) or "start" (0 to 23)'
            raise LabelError(int(rows[0]) if len(rows) else 0, f"{self.columns[-1]} holds numbers of hours", fix)
        return self._counted(labels, numbers, self._elapsed_days(labels, numbers), 1)

    def _elapsed_days(self, labels: _Labels, numbers: np.ndarray) -> np.ndarray:
        """Which rows (rows,) are of days of another length whose hours are numbered through, 1 to 23 or to 25."""
        elapsed = np.zeros(len(numbers), bool)
        days = np.unique(labels.moments[~labels.blank])
        changed = [(int(day), clocks.day_length(int(day), self.zone)[1]) for day in days]
        changed = [(day, length) for day, length in changed if length != DAY_LENGTH]
        if changed:
            valued = self.valued()
            for day, length in changed:
                of_day = (labels.moments == day) & ~labels.blank
                hours = set(numbers[of_day & valued].tolist())
                if hours == set(range(1, length // HOUR_LENGTH + 1)):
                    elapsed |= of_day
        return elapsed

    def _counted(self, labels: _Labels, numbers: np.ndarray, elapsed: np.ndarray, first: int) -> _Labels:
        """The starts of intervals: those `elapsed` (rows,) counted from midnight in UTC, others on the clock."""
        numbers, second, blank = self._without_repeated(labels, numbers)
        moments = labels.moments.copy()
        is_utc = labels.is_utc | elapsed
        for day in np.unique(labels.moments[~blank]):
            of_day = (labels.moments == day) & ~blank
            begin, length = clocks.day_length(int(day), self.zone)
            through = of_day & elapsed
            moments[through] = begin + (numbers[through] - first) * self.length
            back = 1 if self.entry.label == "end" else 0
            on_clock = of_day & ~elapsed
            moments[on_clock] += (numbers[on_clock] - back) * self.length
            beyond = (through & (numbers - first >= length // self.length)) | (
                on_clock & (numbers - back > DAY_LENGTH // self.length)
            )
            beyond |= of_day & (numbers < (first if elapsed[of_day].all() else back))
            if beyond.any():
                blank = blank | self._without_value(beyond, numbers)
        return _Labels(moments, is_utc, second, labels.of_day, blank, numbers)

    def _without_value(self, beyond: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The rows `beyond` (rows,) the intervals of their day, where none holds a value."""
        rows = np.flatnonzero(beyond & self.valued())
        if len(rows):
            number = numbers[rows[0]]
            what = "hour that comes twice" if number == REPEATED_HOUR else f"interval {number}"
            raise LabelError(int(rows[0]), f"the day has no {what}", 'Correct "interval", "label" or "timezone"')
        return beyond

    def _without_repeated(self, labels: _Labels, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`numbers` (rows,) with that of the hour that comes twice for the second of it, which rows are that, and which
        rows are none as their day has none."""
        second, blank, numbers = labels.second.copy(), labels.blank.copy(), numbers.copy()
        rows = np.flatnonzero((numbers == REPEATED_HOUR) & ~blank)
        back = 1 if self.entry.label == "end" else 0
        missing = np.zeros(len(numbers), bool)
        for row in rows:
            hours = labels.moments[row] + np.arange(24) * HOUR_LENGTH
            first, again = clocks.both_passes(hours, self.zone)
            twice = np.flatnonzero(first < again)
            missing[row] = not len(twice)
            second[row] = True
            numbers[row] = twice[0] + back if len(twice) else REPEATED_HOUR
        return numbers, second, blank | self._without_value(missing, numbers) if missing.any() else blank

    def _of_parts(self, texts: pa.StringArray, hours: np.ndarray, parts: np.ndarray) -> _Labels:
        """Labels of dates, hours of the clock, and intervals of an hour from 1 on."""
        labels = self._parsed(texts)
        self._refuse_parts(labels)
        if self.entry.label is None or not self.length:
            fix = 'Add "interval", such as "PT15M", and "label": "end" (hours 1 to 24) or "start" (0 to 23)'
            raise LabelError(0, f"{self.columns[-2]} holds numbers of hours", fix)
        back = 1 if self.entry.label == "end" else 0
        moments = labels.moments + (hours - back) * HOUR_LENGTH + (parts - 1) * self.length
        return _Labels(moments, labels.is_utc, labels.second, labels.of_day, labels.blank, parts)

    def _refuse_parts(self, labels: _Labels) -> None:
        late = np.flatnonzero((labels.moments % DAY_LENGTH != 0) & ~labels.blank)
        if len(late):
            fix = 'Name the time alone, or say how all is written with "time_format"'
            raise LabelError(int(late[0]), f"a number stands beside what is no day: {self.columns}", fix)

    def _next_midnights(self, labels: _Labels, shift: int) -> tuple[np.ndarray, np.ndarray]:
        """The labels with a last one of 00:00 after later ones as the next midnight, and which rows are only that."""
        local = labels.moments.copy()
        elsewhere = np.zeros(len(local), bool)
        midnight = np.flatnonzero(labels.of_day & (local % DAY_LENGTH == 0))
        if len(midnight):
            last_rows = _last_of_series(self.series)
            for row in midnight:
                mates = np.flatnonzero((self.series == self.series[row]) & labels.of_day)
                if last_rows[self.series[row]] == row and local[mates].max() > local[row]:
                    local[row] += DAY_LENGTH
                    elsewhere[row] = not shift
        return local, elsewhere

    def _in_utc(self, labels: _Labels, local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        utc = local.copy()
        skipped = np.zeros(len(local), bool)
        rows = np.flatnonzero(~labels.is_utc & ~labels.blank)
        if len(rows):
            clock = self._clock(rows)
            try:
                utc[rows], skipped[rows] = clocks.to_utc(local[rows], self.series[rows], clock, labels.second[rows])
            except LabelError as error:
                raise LabelError(int(rows[error.row]), error.happened, error.fix) from error
            self._refuse_guessing(rows, local)
        if skipped.any():
            self._refuse_skipped(skipped, local)
        return utc, skipped

    def _clock(self, rows: np.ndarray) -> Clock:
        entry = self.entry
        zones = None
        if entry.timezone_from is not None:
            codes, names = factorised(self._column(entry.timezone_from, "timezone"))
            zones = [names[code] for code in codes[rows].tolist()]
        second = None
        if entry.ambiguous not in ("order", "first", "second", "refuse"):
            codes, texts = factorised(self._column(entry.ambiguous, "ambiguous"))
            flags = [FLAG_WORDS.get((text or "").strip().lower()) for text in texts]
            if None in flags:
                code = flags.index(None)
                row = int(np.flatnonzero(codes == code)[0])
                raise LabelError(row, f"ambiguous: {entry.ambiguous} holds {texts[code]!r}, neither yes nor no")
            second = np.array(flags, bool)[codes[rows]]
        return Clock(self.zone, entry.ambiguous, zones, second)

    def _column(self, name: str, key: str) -> pa.StringArray:
        if name not in self.table.names:
            happened = f"{key}: no record has a column {name}; the columns are: {', '.join(self.table.names)}"
            raise FormatError(self.entry.name, happened, f'Correct "{key}"')
        return self.table.read([name])[name]

    def _refuse_guessing(self, rows: np.ndarray, local: np.ndarray) -> None:
        """Refuse to tell the hour that comes twice by order where a column that is not named says which it is."""
        if self.entry.ambiguous != "refuse" or self.entry.timezone_from is not None:
            return
        flags = [name for name in self.table.names if "dst" in name.lower() and name not in self.columns]
        first, again = clocks.both_passes(np.unique(local[rows]), self.zone)
        if flags and (first < again).any():
            row = int(rows[0])
            raise LabelError(
                row, f"a column {flags[0]} tells the hour that comes twice", f'Add "ambiguous": "{flags[0]}"'
            )

    def _refuse_skipped(self, skipped: np.ndarray, local: np.ndarray) -> None:
        """Raise where a record of an hour that the clock skips holds a value."""
        rows = np.flatnonzero(skipped & self.valued())
        if len(rows):
            moment = EPOCH + timedelta(microseconds=int(local[rows[0]]))
            happened = f"{moment:%Y-%m-%dT%H:%M} does not exist in {self.zone.key}: the clock skips it"
            raise LabelError(int(rows[0]), happened, 'Correct "timezone" or "label", or ask for UTC')

    def _ends(
        self, starts: np.ndarray, without: np.ndarray, shifted: np.ndarray | None, labels: _Labels
    ) -> tuple[np.ndarray, np.ndarray]:
        """Starts and ends; `without` (rows,) are records that have none."""
        entry = self.entry
        if entry.label == "instant":
            return starts, starts.copy()
        if entry.interval_from == "gaps":
            return self._between(starts, without)
        if entry.interval_from is not None:
            return self._by_column(starts, without)
        if self.length % DAY_LENGTH or not self.length:
            return starts, starts + self.length
        moments, codes = np.unique(starts, return_inverse=True)
        ends = [self._days_later(int(moment)) for moment in moments]
        return starts, np.array(ends, np.int64)[codes]

    def _days_later(self, start: int) -> int:
        """Where an interval of days ends that begins at `start`; days are those of the clock, 23 to 25 hours long."""
        moment = (EPOCH + timedelta(microseconds=start)).astimezone(self.zone) + (self.entry.interval or timedelta(0))
        return int((moment.astimezone(UTC) - EPOCH) // timedelta(microseconds=1))

    def _between(self, starts: np.ndarray, without: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Intervals that reach to the next label of their series, or from the one before where labels are ends.

        A gap that is longer than all that come twice is a hole: the interval is as long as the one beside it.
        """
        begins, ends = starts.copy(), starts.copy()
        resolution = self.entry.resolution // timedelta(microseconds=1)
        for code in np.unique(self.series[~without]):
            rows = np.flatnonzero((self.series == code) & ~without)
            moments, places = np.unique(starts[rows], return_inverse=True)
            gaps = _without_holes(np.diff(moments), resolution)
            if self.entry.label == "end":
                lengths = np.concatenate([gaps[:1], gaps])
                begins[rows] = (moments - lengths)[places]
            else:
                lengths = np.concatenate([gaps, gaps[-1:]])
                ends[rows] = (moments + lengths)[places]
        return begins, ends

    def _by_column(self, starts: np.ndarray, without: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Intervals whose length, or whose reader_of_bounds end, stands in a column."""
        name = str(self.entry.interval_from)
        codes, texts = factorised(self._column(name, "interval"))
        lengths = [_length(text) for text in texts]
        back = -1 if self.entry.label == "end" else 1
        if any(length is not None for length in lengths):
            missing = next(
                (code for code, length in enumerate(lengths) if length is None and (codes[~without] == code).any()),
                None,
            )
            if missing is not None:
                row = int(np.flatnonzero((codes == missing) & ~without)[0])
                raise LabelError(
                    row, f"interval: {name} holds {texts[missing]!r}, which is no length", 'Correct "interval"'
                )
            spans = np.array([length or 0 for length in lengths], np.int64)[codes]
            return (starts, starts + spans) if back == 1 else (starts - spans, starts)
        reader_of_bounds = _Reader(self.entry, self.table, [name], self.series, self.day, self.valued)
        labels = reader_of_bounds._parsed(self.table.read([name])[name])
        bounds, _ = reader_of_bounds._in_utc(labels, labels.moments)
        wrong = np.flatnonzero(((bounds - starts) * back <= 0) & ~without)
        if len(wrong):
            raise LabelError(
                int(wrong[0]), f"interval: {name} lies not behind the label", 'Correct "interval" or "label"'
            )
        return (starts, bounds) if back == 1 else (bounds, starts)


def _joined(columns: Sequence[pa.StringArray]) -> pa.StringArray:
    if len(columns) == 1:
        return columns[0]
    import pyarrow.compute as pc

    joined = pc.binary_join_element_wise(*columns, " ", null_handling="replace", null_replacement="")
    return pc.utf8_trim_whitespace(joined)


def _as_numbers(column: pa.StringArray) -> np.ndarray:
    """The numbers of hours or intervals in `column` (rows,), 0 where there is none."""
    codes, texts = factorised(column)
    matches = [clocks.NUMBERED.fullmatch((text or "").strip()) for text in texts]
    return np.take(np.array([int(match[1]) if match else 0 for match in matches], np.int64), codes)


def _last_of_series(series: np.ndarray) -> dict[int, int]:
    """The last row of each of the `series` (rows,)."""
    return {int(code): row for row, code in enumerate(series.tolist())}


def _without_holes(gaps: np.ndarray, resolution: int) -> np.ndarray:
    """`gaps` (gaps,) with those that are longer than any that comes twice as long as the one before them."""
    if not len(gaps):
        return np.array([resolution], np.int64)
    lengths, counts = np.unique(gaps, return_counts=True)
    longest = max([resolution, *lengths[counts > 1].tolist()]) if len(gaps) > 1 else max(resolution, int(gaps[0]))
    usual = gaps.copy()
    for place, gap in enumerate(gaps.tolist()):
        if gap > longest:
            usual[place] = usual[place - 1] if place else min(resolution, int(gaps.min()))
    return usual


def _length(text: str | None) -> int | None:
    """The microseconds of an ISO 8601 duration, or of a number of minutes."""
    bare = (text or "").strip()
    match = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", bare)
    if match and any(match.groups()):
        days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
        return days * DAY_LENGTH + hours * HOUR_LENGTH + minutes * HOUR_LENGTH // 60 + seconds * 1_000_000
    return int(bare) * HOUR_LENGTH // 60 if re.fullmatch(r"[1-9]\d{0,3}", bare) else None


def show_moment(moment: int) -> str:
    """A moment in microseconds since 1970 as messages say it."""
    return f"{datetime.fromtimestamp(moment / 1e6, UTC):%Y-%m-%dT%H:%MZ}"
