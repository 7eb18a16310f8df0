"""The layout of a response of the generic source: a frozen struct for each group of keys, checked before any request.

The keys are in the entry itself (`"delimiter": ";"`) or in an object of their group (`"csv": {"delimiter": ";"}`);
`spell_out` moves both into the groups.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from gridtide.entries.field_types import Duration, Param, PrintableText, Text
from gridtide.entries.structs import StrictStruct, read_value

RecordLayout = Literal["records", "rows", "columns", "keyed", "lines", "positions"]


def _check_character(written_text: str) -> None:
    if len(written_text) != 1:
        raise ValueError(f'is "{written_text}"; give one character, such as ";"')


def _check_charset(name: str) -> None:
    try:
        "".encode(name)
    except LookupError as error:
        raise ValueError(f'"{name}" is not an encoding; use such as "shift_jis", "cp1252" or "utf-16"') from error


def _check_jmespath(written_text: str) -> None:
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        jmespath.compile(written_text)
    except JMESPathError as error:
        raise ValueError(f'"{written_text}" is not a JMESPath expression: {" ".join(str(error).split())}') from error


def _check_skipped_lines(written_text: str) -> None:
    if not re.fullmatch(r"until:.+", written_text):
        raise ValueError(
            f'"{written_text}" is not a number of lines; give one, or "until:" and what the header begins with'
        )


def _check_last_lines(written_text: str) -> None:
    if written_text != "blank" and not re.fullmatch(r"from:.+", written_text):
        raise ValueError(
            f'"{written_text}" is not a number of lines; give one, "blank", or "from:" and what the first begins with'
        )


def _check_pattern(written_text: str) -> None:
    try:
        groups = re.compile(written_text).groups
    except re.error as error:
        raise ValueError(f'"{written_text}" is not a regular expression: {error}') from error
    if groups != 1:
        raise ValueError(f'"{written_text}" needs one group in parentheses, such as "Updated: (.*)"')


def _check_time_format(written_text: str) -> None:
    if written_text not in ("unix", "unix_ms", "dotnet") and not re.search(r"%[A-Za-z]", written_text):
        raise ValueError(
            f'"{written_text}" is not a format; use strptime\'s such as "%d.%m.%Y %H:%M", "unix", "unix_ms" or "dotnet"'
        )


def _check_hour_columns(written_text: str) -> None:
    if not re.search(r"\{hour(:[^{}]*)?\}", written_text):
        raise ValueError(f'"{written_text}" says no hour; write it as the header does, such as "HE{{hour:02}}"')
    try:
        written_text.format(hour=1, minute=0)
    except (ValueError, KeyError, IndexError) as error:
        raise ValueError(f'"{written_text}" cannot be filled: {error}; write such as "HE{{hour:02}}"') from error


def _check_day_format(written_text: str) -> None:
    if not re.search(r"%[A-Za-z]", written_text) or re.search(r"%[HIMSpfzZ]", written_text):
        raise ValueError(f'"{written_text}" is not a format of days; use strptime\'s such as "%Y-%m-%d"')


Character = Annotated[str, _check_character]
Lines = Annotated[int, Meta(ge=0)]
Path = Annotated[str, Meta(min_length=1), _check_jmespath]
TimeFormat = Annotated[str, _check_time_format]
DayFormat = Annotated[str, _check_day_format]
Header = Annotated[int, Meta(ge=1, le=10)] | tuple[str, ...] | Text


class Csv(StrictStruct, frozen=True):
    """How a CSV is written: its delimiters, quotes, and the lines before and after its rows."""

    delimiter: Character | None = None
    encoding: Annotated[str, _check_charset] | None = None
    skip: Lines | Annotated[str, _check_skipped_lines] = 0
    above: Mapping[Text, Annotated[str, _check_pattern]] = msgspec.field(default_factory=dict)
    """Columns whose single text is in the lines before the header: a regular expression with one group for each."""
    comment: Text | tuple[Text, ...] | None = None
    header: Header = 1
    rows: Text | None = None
    """The text with which rows begin, if there are lines of other kinds among them."""
    footer: Lines | Annotated[str, _check_last_lines] = 0
    quote: Character = '"'


class NumberStyle(StrictStruct, frozen=True):
    """How numbers are written, and which texts and numbers mean an absent value in addition to the usual ones."""

    decimal: Character | None = None
    """The mark before decimals; None is a point that the entry does not name, which may be doubted."""
    thousands: Character | None = None
    nulls: tuple[str | int | float, ...] = ()
    strip: tuple[Text, ...] = ()
    """Texts before or after a number that are not part of it, such as a unit."""
    negative: Literal["parentheses"] | None = None
    """How negative numbers are written, beside a sign: (12.5) for -12.5."""

    def __post_init__(self) -> None:
        """Raises `ValueError` if one character has two meanings."""
        if self.decimal_mark == self.thousands:
            raise ValueError('has the same character as "decimal" and "thousands"; correct one')

    @property
    def decimal_mark(self) -> str:
        """The mark before decimals."""
        return self.decimal or "."


class Hours(StrictStruct, frozen=True):
    """Columns for the hours of a row's day; `repeated` is the second occurrence of the hour that comes twice in
    autumn."""

    columns: Annotated[str, _check_hour_columns]
    label: Literal["start", "end"] = "end"
    repeated: Text | None = None


class Melt(StrictStruct, frozen=True):
    """Columns, by name or by patterns with `*`, that become series; the header names their variable or location."""

    columns: Annotated[tuple[Text, ...], Meta(min_length=1)] = ("*",)
    into: Literal["variable", "location"] = "variable"
    variable: PrintableText = "value"


class Summed(StrictStruct, frozen=True):
    """What is added up: records that differ only in `column`; without it, columns of one variable and location.

    `parts` are what a sum needs: the texts of `column`, or patterns of the names of columns. Without them a sum needs
    the parts that its series has at any time of the answer.
    """

    column: Text | None = None
    parts: tuple[Text, ...] = ()


class SeriesNames(StrictStruct, frozen=True):
    """The variable and unit of a column of values, if its name does not give them."""

    variable: PrintableText | None = None
    unit: PrintableText | None = None


class Pages(StrictStruct, frozen=True):
    """How the next page of a response is requested. Paths are JMESPath expressions into the JSON response."""

    next: Path | None = None
    link: bool = False
    page: Text | None = None
    last: Path | None = None
    first: int | None = None
    """The number of the first page, if it is not 1, or of the first row, if it is not 0."""
    offset: Text | None = None
    limit: tuple[Text, Annotated[int, Meta(ge=1)]] | None = None
    total: Path | None = None
    """The number of records of all pages; without it, a page with fewer records than the limit is the last."""
    cursor: Path | None = None
    param: Text | None = None
    single: bool = False
    """The response is complete, whatever it says about pages."""

    def __post_init__(self) -> None:
        """Raises `ValueError` unless it describes exactly one way of paging, completely."""
        ways_of_paging = [key for key in ("next", "link", "page", "offset", "cursor", "single") if getattr(self, key)]
        if len(ways_of_paging) != 1:
            raise ValueError('give one of "next", "link", "page", "offset", "cursor" and "single"')
        if self.offset is not None and self.limit is None:
            raise ValueError('"offset" needs "limit", such as ["limit", 1000]; "total" is a path to the number of rows')
        if self.page is not None and self.last is None:
            raise ValueError('"page" needs "last", a path to the number of pages')
        if (self.cursor is None) != (self.param is None):
            raise ValueError('"cursor", a path, and "param", the parameter that takes it, go together')


class Archive(StrictStruct, frozen=True):
    """Where the upstream keeps what is older than `after`, by local days: in another place, or in larger files."""

    after: Duration
    url: Text
    params: Mapping[str, Param | tuple[Param, ...]] | None = None
    """The parameters of such requests; None if they have those of the entry."""
    per: Literal["day", "month", "year"] | None = None


GROUPS: Mapping[str, type[StrictStruct]] = {"csv": Csv, "numbers": NumberStyle}
"""Groups whose keys may be in the entry itself."""


def spell_out(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `entry` with the keys of `GROUPS` in their groups, and all other short forms replaced by long ones."""
    long_form = dict(entry)
    group_objects = [dict(long_form.pop(group)) for group in GROUPS if isinstance(long_form.get(group), dict)]
    for group, struct in GROUPS.items():
        keys = [key for key in struct.__struct_fields__ if key in long_form]
        group_values = {key: long_form.pop(key) for key in keys}
        for keys_of_group in group_objects:
            group_values |= {key: keys_of_group.pop(key) for key in struct.__struct_fields__ if key in keys_of_group}
        if group_values:
            long_form[group] = group_values
    for unknown in group_objects:
        if unknown:
            long_form["csv"] = unknown | long_form.get("csv", {})
    return long_form | _expand_short_forms(long_form)


def find_column_problems(entry: Mapping[str, Any]) -> list[str]:
    """Returns the problems of a list of value columns in `entry`, before `spell_out` makes an object of it."""
    problems: list[str] = []
    value = [entry["value"]] if isinstance(entry.get("value"), str) else entry.get("value")
    if isinstance(value, list):
        read_value(tuple[Text, ...], value, "value", problems)
    return problems


def _expand_short_forms(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the long forms of the keys of `entry` that have short ones."""
    long_forms: dict[str, Any] = {}
    if isinstance(entry.get("time"), str):
        long_forms["time"] = [entry["time"]]
    value = entry.get("value")
    if isinstance(value, str | list):
        columns = [value] if isinstance(value, str) else value
        long_forms["value"] = {column: {} for column in columns if isinstance(column, str) and column}
    elif isinstance(value, dict):
        long_forms["value"] = {
            key: {"variable": word} if isinstance(word, str) else word for key, word in value.items()
        }
    summed = entry.get("summed")
    if isinstance(summed, bool | str):
        long_forms["summed"] = ({"column": summed} if isinstance(summed, str) else {}) if summed else None
    melt = entry.get("melt")
    if isinstance(melt, str | list):
        long_forms["melt"] = {"columns": [melt] if isinstance(melt, str) else melt}
    if isinstance(entry.get("pages"), dict) and isinstance(entry["pages"].get("limit"), int):
        long_forms["pages"] = entry["pages"] | {"limit": ["limit", entry["pages"]["limit"]]}
    interval = entry.get("interval")
    if isinstance(interval, str) and not re.match(r"[+-]?P[\dT]", interval):
        long_forms |= {"interval": None, "interval_from": interval}
    return long_forms | _expand_zones(entry.get("timezone"))


def _expand_zones(timezone: Any) -> dict[str, Any]:
    """Returns the long form of a `timezone` that is a column, or an object with the time zone of requests, and a column
    or the time zone of times."""
    if isinstance(timezone, dict) and set(timezone) == {"times", "zone"}:
        return {"timezone": timezone["zone"], "times_in": timezone["times"]}
    if isinstance(timezone, dict) and set(timezone) <= {"column", "zone"}:
        return {"timezone": timezone.get("zone", "UTC"), "timezone_from": timezone.get("column")}
    if isinstance(timezone, str) and timezone and "/" not in timezone and not _is_zone(timezone):
        return {"timezone": "UTC", "timezone_from": timezone}
    return {}


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except Exception:  # what zoneinfo raises for a name depends on the name
        return False
    return True
