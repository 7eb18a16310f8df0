"""Labels of time as moments: read as they are written, on the clock they are of, one reading for each label.

texts ─► labels (local or UTC) ─► starts on the wall clock ─► UTC, the hour that comes twice told apart
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from gridtide.periods import EPOCH

HOUR_LENGTH = 3_600_000_000
DAY_LENGTH = 24 * HOUR_LENGTH
EPOCH_DIGITS = re.compile(r"-?\d{9,}(\.\d+)?")
TIME_OF_DAY = re.compile(r"(\d{1,2})(:\d{2}(?::\d{2})?)")
NUMBERED = re.compile(r"(?:HE|H|HR)?\s*(\d{1,3})(?:\.0+)?", re.IGNORECASE)
SECOND_PASS = re.compile(r"\s+DST$")
MIDNIGHT = re.compile(r"([T ])24(:00(:00(\.0+)?)?)?(?=$|Z|[+-])")
DOTNET = re.compile(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/")
MILLISECONDS_FROM = 1e11
"""Larger numbers are milliseconds since 1970; as seconds they would lie beyond the year 5000."""

COMMON_FORMATS = (
    *("%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p"),
    *("%d/%m/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y %H:%M", "%d/%m/%y %H:%M"),
    *("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y/%m/%d %H", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M"),
    *(
        "%d.%m.%Y",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%d %I:%M:%S %p",
        "%Y-%m-%d %I:%M %p",
        "%d-%m-%Y %H:%M:%S",
    ),
    *(
        "%d-%m-%Y %H:%M",
        "%d-%m-%Y",
        "%d-%b-%Y %H:%M:%S",
        "%d-%b-%Y %H:%M",
        "%d-%b-%Y",
        "%d %b %Y %H:%M",
        "%b %d, %Y %H:%M",
    ),
    *(
        "%Y%m%d %H:%M",
        "%Y%m%d %H%M",
        "%Y%m%d%H%M%S",
        "%Y%m%d%H%M",
        "%Y%m%d%H",
        "%Y-%m-%d-%H",
        "%Y-%m-%d %H",
        "%Y-%m-%d-%H:%M",
    ),
    *("%Y.%m.%d %H:%M:%S", "%Y.%m.%d %H:%M", "%Y.%m.%d", "%m-%d-%Y %H:%M", "%d/%m/%Y %H", "%m/%d/%Y %H"),
)
"""Formats that an error proposes where they read all labels."""

OFFSETS = {
    "UTC": 0,
    "GMT": 0,
    "Z": 0,
    "WET": 0,
    "WEST": 1,
    "BST": 1,
    "CET": 1,
    "CEST": 2,
    "MEZ": 1,
    "MESZ": 2,
    "EET": 2,
    "EEST": 3,
    "MSK": 3,
    "SAST": 2,
    "SGT": 8,
    "HKT": 8,
    "AWST": 8,
    "JST": 9,
    "KST": 9,
    "ACST": 9.5,
    "ACDT": 10.5,
    "AEST": 10,
    "AEDT": 11,
    "NZST": 12,
    "NZDT": 13,
    "NST": -3.5,
    "NDT": -2.5,
    "AST": -4,
    "ADT": -3,
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
    "AKST": -9,
    "AKDT": -8,
    "HST": -10,
}
"""Hours east of Greenwich of the zones that stand beside times by their short names."""


class LabelError(ValueError):
    """A label that cannot be read: its row, what is wrong with it, and a fix."""

    def __init__(self, row: int, happened: str, fix: str = "") -> None:
        super().__init__(row, happened, fix)
        self.row, self.happened, self.fix = row, happened, fix


class ClockLabel(NamedTuple):
    """A label as it is written: microseconds since 1970 on its clock, whether that is UTC, whether it says by itself
    that it is of the second pass of an hour, and whether it was a time of day without a date."""

    moment: int
    is_utc: bool = False
    second: bool = False
    of_day: bool = False


def parse_label(text: str, time_format: str | None, day: date | None) -> ClockLabel:
    """`text` as a label; raises `ValueError` where it is none.

    >>> parse_label("2026-01-10T24:00", None, None).moment == parse_label("2026-01-11", None, None).moment
    True
    """
    bare = text.strip()
    second = SECOND_PASS.search(bare) is not None
    if second:
        bare = SECOND_PASS.sub("", bare)
    if time_format in ("unix", "unix_ms"):
        return _since_1970(float(bare) * (1e6 if time_format == "unix" else 1e3))
    if time_format == "dotnet":
        match = DOTNET.fullmatch(bare)
        if match is None:
            raise ValueError(f"{text!r} is no /Date(…)/")
        return _since_1970(int(match[1]) * 1000)
    if time_format is not None:
        return _counted(_strptime(bare, time_format), second)
    if EPOCH_DIGITS.fullmatch(bare):
        number = float(bare)
        return _since_1970(number * (1e3 if abs(number) >= MILLISECONDS_FROM else 1e6))
    of_day = TIME_OF_DAY.fullmatch(bare)
    if of_day and day:
        label = _counted(_iso(f"{day}T{int(of_day[1]):02}{of_day[2]}"), second)
        return label._replace(of_day=True)
    return _counted(_iso(bare), second)


def _since_1970(microseconds: float) -> ClockLabel:
    return _counted(EPOCH + timedelta(microseconds=round(microseconds)), second=False)


def _counted(moment: datetime, second: bool) -> ClockLabel:
    if not 1900 <= moment.year < 2200:
        raise ValueError(f"{moment} lies before 1900 or after 2199")
    aware = moment.tzinfo is not None
    return ClockLabel(_microseconds(moment if aware else moment.replace(tzinfo=UTC)), aware, second)


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _iso(text: str) -> datetime:
    """ISO 8601, 24:00 being the next midnight."""
    if MIDNIGHT.search(text):
        return datetime.fromisoformat(MIDNIGHT.sub(r"\g<1>00\2", text)) + timedelta(days=1)
    return datetime.fromisoformat(text)


def _strptime(text: str, time_format: str) -> datetime:
    """`text` by `time_format`, its hour 24 being the next midnight, and 100 the hour 01:00 of `%H%M`."""
    if time_format.endswith("%H%M") and (short := re.search(r"(?<!\d)(\d{1,3})$", text)):
        text = text[: short.start()] + short[1].zfill(4)
    try:
        return datetime.strptime(text, time_format)  # local until its clock is known
    except ValueError:
        for match in re.finditer("24", text):
            try:
                moment = datetime.strptime(f"{text[: match.start()]}00{text[match.end() :]}", time_format)
            except ValueError:
                continue
            if (moment.hour, moment.minute, moment.second) == (0, 0, 0):
                return moment + timedelta(days=1)
        raise


def proposed_formats(texts: Sequence[str]) -> list[str]:
    """The formats under which all of `texts` can be read, where the usual reading cannot.

    >>> proposed_formats(["01/10/2026 00:00", "01/31/2026 00:05"])
    ['%m/%d/%Y %H:%M']
    """
    bare = [SECOND_PASS.sub("", text.strip()) for text in texts]
    if bare and all(DOTNET.fullmatch(text) for text in bare):
        return ["dotnet"]
    return (
        [time_format for time_format in COMMON_FORMATS if all(_reads(text, time_format) for text in bare)]
        if bare
        else []
    )


def _reads(text: str, time_format: str) -> bool:
    try:
        return 1900 <= _strptime(text, time_format).year < 2200
    except ValueError:
        return False


def zone_offset(text: str) -> int | ZoneInfo | None:
    """What stands beside a time as its zone: an offset in microseconds, an IANA zone, or None where it is neither.

    >>> [zone_offset(text) / HOUR_LENGTH for text in ("EST", "+05:30", "UTC-3")], zone_offset("?")
    ([-5.0, 5.5, -3.0], None)
    """
    bare = text.strip()
    if bare.upper() in OFFSETS:
        return round(OFFSETS[bare.upper()] * HOUR_LENGTH)
    match = re.fullmatch(r"(?:UTC|GMT)?([+\-\u2212])(\d{1,2}):?(\d{2})?", bare)
    if match:
        length = int(match[2]) * HOUR_LENGTH + int(match[3] or 0) * HOUR_LENGTH // 60
        return length if match[1] == "+" else -length
    try:
        return ZoneInfo(bare) if "/" in bare else None
    except Exception:  # what zoneinfo raises for a name depends on the name
        return None


@dataclass(frozen=True)
class Clock:
    """What labels without an offset mean: the `zone`, how the hour that comes twice is told (`ambiguous`), and where
    rows say it themselves, their zones or flags, shape (rows,)."""

    zone: ZoneInfo
    ambiguous: str = "refuse"
    zones: Sequence[str | None] | None = None
    second: np.ndarray | None = None


class Moments(NamedTuple):
    """Labels as microseconds since 1970, (rows,), and which rows (rows,) are of an hour that the clock skips."""

    utc: np.ndarray
    skipped: np.ndarray


def to_utc(local: np.ndarray, series: np.ndarray, clock: Clock, second: np.ndarray | None = None) -> Moments:
    """`local` (rows,), microseconds on the clock, as UTC; rows of one `series` (rows,) are told apart by their order.

    `second` (rows,) marks rows that say by themselves that they are of the second pass. Of a pair of equal labels of a
    series, the one that comes first going forward is the earlier. Raises `LabelError` where only one of the two is
    there, unless `clock.ambiguous` says which.
    """
    if clock.zones is not None:
        return Moments(local - _row_offsets(local, clock.zones), np.zeros(len(local), bool))
    moments, codes = np.unique(local, return_inverse=True)
    first, last = both_passes(moments, clock.zone)
    utc, twice, skipped = first[codes], (first < last)[codes], (first > last)[codes]
    if not twice.any():
        return Moments(utc, skipped)
    rows = np.flatnonzero(twice)
    flagged = (
        clock.second if clock.second is not None else second if second is not None and second[rows].any() else None
    )
    late = flagged[rows] if flagged is not None else _told_by_order(rows, local, series, clock)
    utc = utc.copy()
    utc[rows[late]] = last[codes][rows[late]]
    return Moments(utc, skipped)


def both_passes(moments: np.ndarray, zone: ZoneInfo) -> tuple[np.ndarray, np.ndarray]:
    """Local `moments` (rows,) as UTC in the first pass of their hour and in the second, which are mostly one."""
    if zone.key == "UTC":
        return moments, moments
    offsets = np.empty((2, len(moments)), np.int64)
    for place, moment in enumerate(moments.tolist()):
        naive = (EPOCH + timedelta(microseconds=moment)).replace(tzinfo=None)
        for fold in (0, 1):
            offset = naive.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta(0)
            offsets[fold, place] = offset // timedelta(microseconds=1)
    return moments - offsets[0], moments - offsets[1]


def _row_offsets(local: np.ndarray, zones: Sequence[str | None]) -> np.ndarray:
    """The offset of each of the rows `local` (rows,) from its own zone."""
    read: dict[str | None, int | ZoneInfo | None] = {name: zone_offset(name or "") for name in set(zones)}
    offsets = np.empty(len(local), np.int64)
    for row, (moment, name) in enumerate(zip(local.tolist(), zones, strict=True)):
        offset = read[name]
        if offset is None:
            raise LabelError(row, f"timezone: {name!r} is no zone and no offset", 'Correct "timezone"')
        if isinstance(offset, ZoneInfo):
            first, second = both_passes(np.array([moment]), offset)
            if first[0] != second[0]:
                raise LabelError(row, f"the label does not exist once in {offset.key}", "Ask for UTC, or for an offset")
            offset = int(moment - first[0])
        offsets[row] = offset
    return offsets


def _told_by_order(rows: np.ndarray, local: np.ndarray, series: np.ndarray, clock: Clock) -> np.ndarray:
    """Which of the ambiguous `rows` (ambiguous,) are of the second pass."""
    late = np.zeros(len(rows), bool)
    for code in np.unique(series[rows]):
        whole = np.flatnonzero(series == code)
        inside = np.flatnonzero(series[rows] == code)
        backward = len(whole) > 1 and local[whole[0]] > local[whole[-1]]
        ordered = inside[::-1] if backward else inside
        labels = local[rows[ordered]]
        counts = dict(zip(*np.unique(labels, return_counts=True), strict=True))
        if all(count == 2 for count in counts.values()):
            late[ordered] = _later_of_pairs(labels)
        elif clock.ambiguous == "order":
            late[ordered] = _after_turning_back(labels)
        elif clock.ambiguous in ("first", "second") and all(count <= 2 for count in counts.values()):
            single = np.array([counts[label] == 1 for label in labels])
            late[ordered] = np.where(single, clock.ambiguous == "second", _later_of_pairs(labels))
        else:
            place = next(place for place, label in enumerate(labels) if counts[label] != 2)
            raise _ambiguous_error(int(rows[ordered[place]]), int(labels[place]), counts[labels[place]], clock.zone)
    return late


def _later_of_pairs(labels: np.ndarray) -> np.ndarray:
    """Which of `labels` (rows,) stood before already."""
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    later: np.ndarray = first[codes] != np.arange(len(labels))
    return later


def _after_turning_back(labels: np.ndarray) -> np.ndarray:
    """Which of `labels` (rows,) stand after the clock of their night was turned back."""
    late = np.zeros(len(labels), bool)
    for place in range(1, len(labels)):
        near = abs(labels[place] - labels[place - 1]) < 4 * HOUR_LENGTH
        late[place] = near and (late[place - 1] or labels[place] <= labels[place - 1])
    return late


def _ambiguous_error(row: int, label: int, count: int, zone: ZoneInfo) -> LabelError:
    moment = EPOCH + timedelta(microseconds=label)
    happened = f"{moment:%Y-%m-%dT%H:%M} comes twice in {zone.key}, but {count} times in the answer"
    fix = 'Say which it is with "ambiguous": "first" or "second", or name the column that flags it, or ask for UTC'
    return LabelError(row, happened, fix)


def day_length(day: int, zone: ZoneInfo) -> tuple[int, int]:
    """When the local day that begins at `day` (microseconds on the clock) begins in UTC, and how long it is, both in
    microseconds."""
    start = (EPOCH + timedelta(microseconds=day)).replace(tzinfo=zone)
    following = (EPOCH + timedelta(microseconds=day + DAY_LENGTH)).replace(tzinfo=zone)
    begin, end = _microseconds(start.astimezone(UTC)), _microseconds(following.astimezone(UTC))
    return begin, end - begin


def quoted(formats: Sequence[str]) -> str:
    """`formats` as values of the key `time_format`."""
    return " or ".join(f'"time_format": {json.dumps(time_format)}' for time_format in formats)
