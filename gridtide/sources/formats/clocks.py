"""Time labels as moments: each distinct label is parsed once, in the time zone of its clock.

texts ─► labels (local or UTC) ─► starts in local time ─► UTC; the hour that occurs twice is resolved
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from gridtide.periods import EPOCH, HOUR, count_microseconds, microseconds

HOUR_LENGTH = count_microseconds(HOUR)
DAY_LENGTH = 24 * HOUR_LENGTH
EPOCH_DIGITS = re.compile(r"-?\d{9,}(\.\d+)?")
CALENDAR_DIGITS = re.compile(
    r"((19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]?\d|2[0-4])([0-5]\d)?"
    r"|2\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]\d|2[0-4])[0-5]\d([0-5]\d)?)"
)
"""Dates with an hour, a minute or a second in digits alone; years of two digits from 2020 on. As numbers since 1970
they lie before 1981 or after 2029."""

TIME_OF_DAY = re.compile(r"(\d{1,2})(:\d{2}(?::\d{2})?)")
NUMBERED = re.compile(r"(?:HE|H|HR)?\s*(\d{1,3})(?:\.0+)?([X*B]|A)?", re.IGNORECASE)
SECOND_PASS = re.compile(r"\s+DST$")
PASS_LETTER = re.compile(r"(?<![\d:])(0?[0-3](?::[0-5]\d)*)\s?([AaBb])((?::[0-5]\d)*)$")
"""An hour that may come twice, with the letter of its first or second pass: 02:00A, 02B:15, 3A."""

ANY_LETTER = re.compile("[AaBb]")
"""Without which no text has one, as most have none."""

HOUR_AND_MINUS = re.compile(r"\d{4}-?\d\d-?\d\d\D?\d\d-\d\d(:?\d\d)?")
"""A day and 01-02: two hours, or an hour and a minute, which Python reads as an hour and an offset."""

PART_OF_HOUR = re.compile(r"\d{4}-?\d\d-?\d\d\D?\d\d(:?\d\d)?[.,]\d+(Z|[+-].*)?")
"""A day and 01.30 or 01:30.5: an hour and a minute, or a part of an hour or a minute, which Python reads as one of a
second."""

TIME_AND_MINUS = re.compile(r"(?:\d{4}-?\d\d-?\d\d\D?)(\d\d):?(\d\d)-(\d\d):?(\d\d)")
"""A day and 01:00-02:00: two times, or a time and an offset."""

DAY_AND_OFFSET = re.compile(r"\d{4}-\d\d-\d\d([+-]\d\d:?\d\d)")
"""A day with an offset, as dates of XML have, which Python reads as a day and a time."""

BEHIND_RANGE = re.compile(r"\d\s*[-\u2013]\s*\d\d?(:?\d\d)?$")

ZONE_DIRECTIVE = "%Z"
MIDNIGHT = re.compile(r"([T ])24(:00(:00(\.0+)?)?)?(?=$|Z|[+-])")
DOTNET = re.compile(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/")
MILLISECONDS_FROM = 1e11
"""Larger numbers are milliseconds since 1970; as seconds they would lie after the year 5000."""

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
        "%y%m%d%H%M",
        "%y%m%d%H%M%S",
        "%Y-%m-%d-%H",
        "%Y-%m-%d %H",
        "%Y-%m-%d-%H:%M",
        "%Y-%m-%d-%H-%M",
        "%Y-%m-%d%z",
        "%Y-%m-%d %H.%M",
        "%d.%m.%Y %H.%M",
        "%d.%m.%Y %H.%M.%S",
        "%d/%m/%Y %H.%M",
        "%d.%m.%y %H:%M",
        "%d-%m-%y %H:%M",
        "%b %d %Y %H:%M",
        "%d %B %Y %H:%M",
        "%B %d, %Y %H:%M",
        "%d%b%Y:%H:%M:%S",
        "%d. %m. %Y %H:%M",
        "%Y.%m.%d. %H:%M",
        "%Y年%m月%d日 %H:%M",
        "%Y年%m月%d日 %H時",
    ),
    *("%Y.%m.%d %H:%M:%S", "%Y.%m.%d %H:%M", "%Y.%m.%d", "%m-%d-%Y %H:%M", "%d/%m/%Y %H", "%m/%d/%Y %H"),
)
"""Formats that an error message proposes if they fit all labels."""

ISO_FORMATS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z")
"""Formats that need no proposal but beside others."""

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
"""The UTC offsets, in hours, of abbreviated time zones beside times."""


ALTERNATIVES = " | "
"""Stands between the formats of times that are written in several ways."""


class LabelError(ValueError):
    """A label that cannot be read: its row, what is wrong, and a fix."""

    def __init__(self, row: int, happened: str, fix: str = "") -> None:
        super().__init__(row, happened, fix)
        self.row, self.happened, self.fix = row, happened, fix


class ClockLabel(NamedTuple):
    """A parsed label: microseconds since 1970 on its clock, whether that is UTC, whether it states that it belongs to
    the second pass of an hour, and whether it was a time of day without a date."""

    moment: int
    is_utc: bool = False
    second: bool = False
    of_day: bool = False


@functools.lru_cache(maxsize=1 << 17)  # 14 years of hours, which come again in every series and block
def parse_label(label_text: str, time_format: str | None, day: date | None) -> ClockLabel:
    """Parses `label_text` as a label; raises `ValueError` if it is not one.

    >>> parse_label("2026-01-10T24:00", None, None).moment == parse_label("2026-01-11", None, None).moment
    True
    """
    stripped, is_second_pass = _split_pass(label_text.strip())
    if time_format in ("unix", "unix_ms"):
        return _count_since_1970(float(stripped) * (1e6 if time_format == "unix" else 1e3))
    if time_format == "dotnet":
        match = DOTNET.fullmatch(stripped)
        if match is None:
            raise ValueError(f"{label_text!r} is not a /Date(…)/")
        return _count_since_1970(int(match[1]) * 1000)
    if time_format is not None:
        return _count_local(_parse_by_format(stripped, time_format), is_second_pass)
    if stripped[4:5] == "-":  # a date, as most are
        return _count_local(_parse_iso(stripped), is_second_pass)
    if EPOCH_DIGITS.fullmatch(stripped):
        if CALENDAR_DIGITS.fullmatch(stripped):
            raise ValueError(f"{label_text!r} is a number since 1970 or a date with an hour")
        number = float(stripped)
        return _count_since_1970(number * (1e3 if abs(number) >= MILLISECONDS_FROM else 1e6))
    of_day = TIME_OF_DAY.fullmatch(stripped)
    if of_day and day:
        label = _count_local(_parse_iso(f"{day}T{int(of_day[1]):02}{of_day[2]}"), is_second_pass)
        return label._replace(of_day=True)
    return _count_local(_parse_iso(stripped), is_second_pass)


def _split_pass(text: str) -> tuple[str, bool]:
    """Returns `text` without what says which pass of its hour it is of, and whether that is the second."""
    if text.endswith("DST") and SECOND_PASS.search(text):
        return SECOND_PASS.sub("", text), True
    letter = PASS_LETTER.search(text) if ANY_LETTER.search(text) else None
    if letter is None:
        return text, False
    return text[: letter.start()] + letter[1] + letter[3], letter[2] in "Bb"


def _count_since_1970(moment: float) -> ClockLabel:
    return _count_local(EPOCH + timedelta(microseconds=round(moment)), is_second_pass=False)


def _count_local(moment: datetime, is_second_pass: bool) -> ClockLabel:
    if not 1900 <= moment.year < 2200:
        raise ValueError(f"{moment} lies before 1900 or after 2199")
    is_aware = moment.tzinfo is not None
    return ClockLabel(microseconds(moment if is_aware else moment.replace(tzinfo=UTC)), is_aware, is_second_pass)


def _parse_iso(text: str) -> datetime:
    """Parses ISO 8601; 24:00 is the next midnight, an offset is behind a minute, and decimals are of a second."""
    if "-" in text[10:] and HOUR_AND_MINUS.fullmatch(text):
        raise ValueError(f"{text!r} may be an hour and a minute, or two hours")
    if ("." in text or "," in text) and PART_OF_HOUR.fullmatch(text):
        raise ValueError(f"{text!r} may be an hour and a minute, or a part of an hour")
    if MIDNIGHT.search(text):
        return datetime.fromisoformat(MIDNIGHT.sub(r"\g<1>00\2", text)) + timedelta(days=1)
    return datetime.fromisoformat(text)


def _parse_by_format(label_text: str, time_format: str) -> datetime:
    """Parses `label_text` by `time_format`; hour 24 is the next midnight, and 100 is the hour 01:00 of `%H%M`.

    `%Z` is an abbreviation of a zone, such as CEST, of which the result is aware. A format that ends in `*` ignores the
    end of the text; a `*` within it passes over the text between a day and a time of day (`%d-%b-%Y * %H:%M`). Of
    several formats with ` | ` between them, the first that fits counts.
    """
    if ALTERNATIVES in time_format:
        return _parse_by_alternatives(label_text, time_format.split(ALTERNATIVES))
    if ZONE_DIRECTIVE in time_format:
        return _parse_with_zone(label_text, time_format)
    if time_format.endswith("*"):
        return _parse_beginning(label_text, time_format[:-1].rstrip())
    if "*" in time_format:
        return _parse_around(label_text, *time_format.split("*", 1))
    if time_format.endswith("%H%M") and (short_hour := re.search(r"(?<!\d)(\d{1,3})$", label_text)):
        label_text = label_text[: short_hour.start()] + short_hour[1].zfill(4)
    try:
        return datetime.strptime(label_text, time_format)  # local until its clock is known
    except ValueError:
        for match in re.finditer("24", label_text):
            try:
                moment = datetime.strptime(f"{label_text[: match.start()]}00{label_text[match.end() :]}", time_format)
            except ValueError:
                continue
            if (moment.hour, moment.minute, moment.second) == (0, 0, 0):
                return moment + timedelta(days=1)
        raise


def _parse_with_zone(label_text: str, time_format: str) -> datetime:
    """Parses a time with the abbreviation of its zone, each a word of its own."""
    words = _split_words(label_text)
    zones = [word for word in words if word.upper() in OFFSETS]
    if len(zones) != 1:
        raise ValueError(f"{label_text!r} has no abbreviation of a zone")
    other_words = " ".join(word for word in words if word != zones[0])
    moment = _parse_by_format(other_words, " ".join(time_format.replace(ZONE_DIRECTIVE, " ").split()))
    return moment.replace(tzinfo=timezone(timedelta(hours=OFFSETS[zones[0].upper()])))


def _split_words(label_text: str) -> list[str]:
    """Returns the words of `label_text`, of which the abbreviation of a zone is one: 01:00CET, 01:00 (CET)."""
    return [word.strip("()") for word in re.sub(r"(?<=\d)(?=[A-Z]{3,5}$)", " ", label_text).split()]


def _parse_by_alternatives(label_text: str, time_formats: Sequence[str]) -> datetime:
    for time_format in time_formats:
        try:
            return _parse_by_format(label_text, time_format.strip())
        except ValueError as error:
            failure = error
    raise failure


def _parse_around(text: str, day_format: str, time_format: str) -> datetime:
    """Parses a day at the beginning of `text` and a time of day at its end."""
    day = _parse_beginning(text, day_format.rstrip())
    for blank in reversed(list(re.finditer(r"\s+", text))):
        try:
            time_of_day = _parse_by_format(text[blank.end() :], time_format.lstrip())
        except ValueError:
            continue
        return day + (time_of_day - NO_DAY)
    raise ValueError(f"{text!r} does not end as {time_format!r} says")


NO_DAY = datetime(1900, 1, 1)
"""What `strptime` returns for a midnight without a day."""


def _parse_beginning(text: str, time_format: str) -> datetime:
    """Parses the beginning of `text` by `time_format`, such as the start of a range of times."""
    for spelling in (text, text.replace("24:00", "00:00", 1)):
        try:
            return datetime.strptime(spelling, time_format)
        except ValueError as error:
            _, remains, behind = str(error).partition("unconverted data remains: ")
            if remains:
                return _parse_by_format(text[: len(text) - len(behind)].rstrip(), time_format)
    raise ValueError(f"{text!r} does not begin as {time_format!r} says")


def propose_formats(texts: Sequence[str]) -> list[str]:
    """Returns the formats that fit all of `texts`, for texts that the default parser cannot read; several with ` | `
    between them if no single one does.

    >>> propose_formats(["01/10/2026 00:00", "01/31/2026 00:05"]), propose_formats(["2026-01-10 00:00 CET"])
    (['%m/%d/%Y %H:%M'], ['%Y-%m-%d %H:%M %Z'])
    """
    stripped_texts = list(dict.fromkeys(_split_pass(text.strip())[0] for text in texts))
    if stripped_texts and all(DOTNET.fullmatch(text) for text in stripped_texts):
        return ["dotnet"]
    if not stripped_texts:
        return []
    candidates: tuple[str, ...] = COMMON_FORMATS
    if all(any(word.upper() in OFFSETS for word in _split_words(text)) for text in stripped_texts):
        candidates = tuple(f"{name} {ZONE_DIRECTIVE}" for name in (*COMMON_FORMATS, *ISO_FORMATS[:2]))
        candidates += ("%a %b %d %H:%M:%S %Z %Y",)
    formats = [name for name in candidates if all(_can_read(text, name) for text in stripped_texts)]
    if formats:
        return formats
    if all(EPOCH_DIGITS.fullmatch(text) for text in stripped_texts):
        name = "unix_ms" if abs(float(stripped_texts[0])) >= MILLISECONDS_FROM else "unix"
        return [name] if all(_can_count(text, name) for text in stripped_texts) else []
    if all(map(BEHIND_RANGE.search, stripped_texts)):
        timed = [name for name in COMMON_FORMATS if "%M" in name] + [
            name for name in COMMON_FORMATS if name[-2:] == "%H"
        ]
        beginnings = (f"{name}*" for name in timed if all(_can_read(text, f"{name}*") for text in stripped_texts))
        return list(beginnings)[:1]
    return _combine_formats(stripped_texts, (*candidates, *ISO_FORMATS))


def _combine_formats(texts: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Returns pairs of `candidates` of which one fits each of the `texts`."""
    fitting = {name: {text for text in texts if _can_read(text, name)} for name in candidates}
    first = max(fitting, key=lambda name: len(fitting[name]))
    remaining = set(texts) - fitting[first]
    if not fitting[first]:
        return []
    return [f"{first}{ALTERNATIVES}{name}" for name in fitting if remaining <= fitting[name] and name != first]


def are_misread(texts: Sequence[str]) -> bool:
    """Whether Python reads `texts` as ISO 8601, but as other times than they say together."""
    signed = [text for text in texts if "-" in text[10:] or "+" in text[10:]]
    return bool(signed) and (are_ranges(signed) or (len(signed) == len(texts) and are_days_with_offset(signed)))


def are_ranges(texts: Iterable[str]) -> bool:
    """Whether the texts with a minus between two times are ranges of one length, and not times with an offset.

    >>> are_ranges(["2026-01-10 00:00-01:00", "2026-01-10 01:00-02:00"])
    True
    >>> are_ranges(["2026-01-10 00:00-05:00", "2026-01-10 01:00-05:00"])
    False
    """
    matches = [match for text in texts if (match := TIME_AND_MINUS.fullmatch(text.strip()))]
    numbers = [[int(group) for group in match.groups()] for match in matches]
    lengths = {((hour - begin) * 60 + minute - part) % (24 * 60) for begin, part, hour, minute in numbers}
    return len(lengths) == 1 and len({(begin, part) for begin, part, *_ in numbers}) > 1


def are_days_with_offset(texts: Iterable[str]) -> bool:
    """Whether the texts are days with an offset, and not days with a time behind a minus.

    >>> are_days_with_offset(["2026-01-10-05:00", "2026-01-11-05:00"]), are_days_with_offset(["2026-01-10+01:00"])
    (True, True)
    >>> are_days_with_offset(["2026-01-10-01:00", "2026-01-10-02:00", "2026-01-11-01:00"])
    False
    """
    matches = [DAY_AND_OFFSET.fullmatch(text.strip()) for text in texts]
    days: dict[str, set[str]] = {}
    for match in matches:
        if match is None:
            return False
        days.setdefault(match[0][:10], set()).add(match[1])
    offsets = set().union(*days.values())
    is_one_each = len(days) > 1 and len(offsets) <= 2 and all(len(values) == 1 for values in days.values())
    return bool(offsets) and (is_one_each or all(offset[0] == "+" for offset in offsets))


def looks_like_time(text: str) -> bool:
    """Whether `text` begins as a date or a time does.

    >>> looks_like_time("10/01/2026 01:00"), looks_like_time("Total 2026-01-10"), looks_like_time("5.1")
    (True, False, False)
    """
    return re.match(r"\s*\d{1,4}([-/.]\d{1,2}[-/.]\d{1,4}|:\d{2})|\s*\d{8,14}\s*$", text) is not None


def _can_read(text: str, time_format: str) -> bool:
    if text.isdecimal() and len(text) != _count_digits(time_format):  # strptime reads 2026011000 by %Y%m%d%H%M too
        return False
    try:
        return 1900 <= _parse_by_format(text, time_format).year < 2200
    except ValueError:
        return False


def _can_count(text: str, time_format: str) -> bool:
    try:
        return parse_label(text, time_format, None) is not None
    except (ValueError, OverflowError):
        return False


def _count_digits(time_format: str) -> int:
    """Returns the number of digits of a text in `time_format`; 0 if other characters are between them."""
    directives = re.findall(r"%[A-Za-z]", time_format)
    return sum(4 if part == "%Y" else 2 for part in directives) if "".join(directives) == time_format else 0


def parse_zone(zone_text: str) -> int | ZoneInfo | None:
    """Parses the time zone beside a time: an offset in microseconds, an IANA zone, or None if it is neither.

    >>> [parse_zone(text) / HOUR_LENGTH for text in ("EST", "+05:30", "UTC-3")], parse_zone("?")
    ([-5.0, 5.5, -3.0], None)
    """
    stripped = zone_text.strip()
    if stripped.upper() in OFFSETS:
        return round(OFFSETS[stripped.upper()] * HOUR_LENGTH)
    match = re.fullmatch(r"(?:UTC|GMT)?([+\-\u2212])(\d{1,2}):?(\d{2})?", stripped)
    if match:
        length = int(match[2]) * HOUR_LENGTH + int(match[3] or 0) * HOUR_LENGTH // 60
        return length if match[1] == "+" else -length
    try:
        return ZoneInfo(stripped) if "/" in stripped else None
    except Exception:  # what zoneinfo raises for a name depends on the name
        return None


@dataclass(frozen=True)
class Clock:
    """The meaning of labels without an offset: their `zone`, how to resolve the hour that occurs twice (`ambiguous`),
    and, if the rows state them, their zones or flags, shape (rows,)."""

    zone: ZoneInfo
    ambiguous: str = "refuse"
    zones: Sequence[str | None] | None = None
    second: np.ndarray | None = None


class Moments(NamedTuple):
    """Labels as microseconds since 1970, (rows,), and which rows (rows,) lie in an hour that the clock skips."""

    utc: np.ndarray
    skipped: np.ndarray


def to_utc(local: np.ndarray, series: np.ndarray, clock: Clock, second: np.ndarray | None = None) -> Moments:
    """Converts `local` (rows,), microseconds on the clock, to UTC; rows of one `series` (rows,) are resolved by their
    order.

    `second` (rows,) marks rows that state that they belong to the second pass. Of two equal labels of a series in
    ascending order, the first is the earlier one. Raises `LabelError` if only one of the two is present, unless
    `clock.ambiguous` resolves it.
    """
    if clock.zones is not None:
        return Moments(local - _find_row_offsets(local, clock.zones), np.zeros(len(local), bool))
    moments, moment_codes = np.unique(local, return_inverse=True)
    first_pass, second_pass = convert_both_passes(moments, clock.zone)
    utc, is_ambiguous, skipped = (
        first_pass[moment_codes],
        (first_pass < second_pass)[moment_codes],
        (first_pass > second_pass)[moment_codes],
    )
    if not is_ambiguous.any():
        return Moments(utc, skipped)
    rows = np.flatnonzero(is_ambiguous)
    flagged = (
        clock.second if clock.second is not None else second if second is not None and second[rows].any() else None
    )
    try:
        is_late = flagged[rows] if flagged is not None else _resolve_by_order(rows, local, series, clock)
    except LabelError as error:
        if second is None or not second.any():
            raise
        fix = f'Say what the labels are, as marks of a second pass are at other hours: "label": "end". {error.fix}'
        raise LabelError(error.row, error.happened, fix) from error
    utc = utc.copy()
    utc[rows[is_late]] = second_pass[moment_codes][rows[is_late]]
    return Moments(utc, skipped)


def convert_both_passes(moments: np.ndarray, zone: ZoneInfo) -> tuple[np.ndarray, np.ndarray]:
    """Returns local `moments` (rows,) as UTC in the first pass of their hour and in the second, which usually are the
    same."""
    if zone.key == "UTC":
        return moments, moments
    offsets = np.empty((2, len(moments)), np.int64)
    for index, local_moment in enumerate(moments.tolist()):
        naive = (EPOCH + timedelta(microseconds=local_moment)).replace(tzinfo=None)
        for fold in (0, 1):
            offset = naive.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta(0)
            offsets[fold, index] = count_microseconds(offset)
    return moments - offsets[0], moments - offsets[1]


def _find_row_offsets(local: np.ndarray, zones: Sequence[str | None]) -> np.ndarray:
    """Returns the offset of each of the rows `local` (rows,) from its own zone."""
    offset_by_name: dict[str | None, int | ZoneInfo | None] = {
        zone_name: parse_zone(zone_name or "") for zone_name in set(zones)
    }
    offsets = np.empty(len(local), np.int64)
    for row_number, (moment, zone_name) in enumerate(zip(local.tolist(), zones, strict=True)):
        offset = offset_by_name[zone_name]
        if offset is None:
            raise LabelError(
                row_number, f"timezone: {zone_name!r} is neither a zone nor an offset", 'Correct "timezone"'
            )
        if isinstance(offset, ZoneInfo):
            first_pass, second_pass = convert_both_passes(np.array([moment]), offset)
            if first_pass[0] != second_pass[0]:
                raise LabelError(
                    row_number, f"the label does not exist once in {offset.key}", "Ask for UTC, or for an offset"
                )
            offset = int(moment - first_pass[0])
        offsets[row_number] = offset
    return offsets


def _resolve_by_order(rows: np.ndarray, local: np.ndarray, series: np.ndarray, clock: Clock) -> np.ndarray:
    """Returns which of the ambiguous `rows` (ambiguous,) belong to the second pass."""
    is_late = np.zeros(len(rows), bool)
    for code in np.unique(series[rows]):
        series_rows = np.flatnonzero(series == code)
        positions = np.flatnonzero(series[rows] == code)
        is_descending = len(series_rows) > 1 and local[series_rows[0]] > local[series_rows[-1]]
        ordered = positions[::-1] if is_descending else positions
        labels = local[rows[ordered]]
        counts = dict(zip(*np.unique(labels, return_counts=True), strict=True))
        if all(count == 2 for count in counts.values()):
            is_late[ordered] = _find_later_of_pairs(labels)
        elif clock.ambiguous == "order":
            is_late[ordered] = _find_after_turning_back(labels)
            _refuse_lone_pass(rows[ordered], is_late[ordered], local, series_rows, clock.zone)
        elif clock.ambiguous in ("first", "second") and all(count <= 2 for count in counts.values()):
            is_single = np.array([counts[label] == 1 for label in labels])
            is_late[ordered] = np.where(is_single, clock.ambiguous == "second", _find_later_of_pairs(labels))
        else:
            label_number = next(label_number for label_number, label in enumerate(labels) if counts[label] != 2)
            raise _build_ambiguous_error(
                int(rows[ordered[label_number]]), int(labels[label_number]), counts[labels[label_number]], clock.zone
            )
    return is_late


def _find_later_of_pairs(labels: np.ndarray) -> np.ndarray:
    """Returns which of `labels` (rows,) have occurred before."""
    _, first_index, codes = np.unique(labels, return_index=True, return_inverse=True)
    is_later: np.ndarray = first_index[codes] != np.arange(len(labels))
    return is_later


def _find_after_turning_back(labels: np.ndarray) -> np.ndarray:
    """Returns which of `labels` (rows,) come after the clock of their night was turned back."""
    is_late = np.zeros(len(labels), bool)
    for index in range(1, len(labels)):
        is_near = abs(labels[index] - labels[index - 1]) < 4 * HOUR_LENGTH
        is_late[index] = is_near and (is_late[index - 1] or labels[index] <= labels[index - 1])
    return is_late


def _refuse_lone_pass(
    rows: np.ndarray, is_late: np.ndarray, local: np.ndarray, series_rows: np.ndarray, zone: ZoneInfo
) -> None:
    """Raises if the order of a series does not tell which pass of an hour its ambiguous `rows` (ambiguous,) are of:
    none of a night `is_late` (ambiguous,), although the hour after it is there. Without that the night may not be over
    yet."""
    labels = local[rows]
    for place in np.flatnonzero(~is_late):
        is_same_night = np.abs(labels - labels[place]) < 4 * HOUR_LENGTH
        last = labels[is_same_night].max()
        later = local[series_rows]
        if not is_late[is_same_night].any() and ((later > last) & (later < last + 4 * HOUR_LENGTH)).any():
            raise _build_ambiguous_error(int(rows[place]), int(labels[place]), 1, zone)


def _build_ambiguous_error(row: int, label: int, count: int, zone: ZoneInfo) -> LabelError:
    moment = EPOCH + timedelta(microseconds=label)
    times = "once" if count == 1 else f"{count} times"
    happened = f"{moment:%Y-%m-%dT%H:%M} comes twice in {zone.key}, as the clock is set back, but {times} in the answer"
    fix = 'Say which it is with "ambiguous": "first" or "second", or name the column that flags it, or ask for UTC'
    return LabelError(row, happened, fix)


def measure_day(day: int, zone: ZoneInfo) -> tuple[int, int]:
    """Returns the start in UTC and the length of the local day that begins at `day` (microseconds on the clock), both
    in microseconds."""
    day_start = (EPOCH + timedelta(microseconds=day)).replace(tzinfo=zone)
    next_day_start = (EPOCH + timedelta(microseconds=day + DAY_LENGTH)).replace(tzinfo=zone)
    begin, end = microseconds(day_start.astimezone(UTC)), microseconds(next_day_start.astimezone(UTC))
    return begin, end - begin


def quote_formats(formats: Sequence[str]) -> str:
    """Returns `formats` as values of the key `time_format`."""
    return " or ".join(f'"time_format": {json.dumps(time_format)}' for time_format in formats)


def read_day(name: str, day_format: str) -> str | None:
    """Returns the day that a column called `name` is of, as ISO 8601; None if it is of none."""
    try:
        return datetime.strptime(name.strip(), day_format).date().isoformat()  # a day has no zone
    except ValueError:
        return None


DAY_FORMATS = ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%Y%m%d", "%d-%b-%Y")
"""Formats of days that a fix proposes."""


def guess_day_format(names: Sequence[str]) -> str | None:
    """Returns the first of `DAY_FORMATS` in which all of `names`, at least two, are days; None if there is none."""
    return next(
        (form for form in DAY_FORMATS if len(names) > 1 and all(read_day(name, form) for name in names)),
        None,
    )
