"""Keys of an entry of the generic source that contradict each other, found before anything is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any


def find_contradictions(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yields the problems of `entry`, which is complete and as in JSON, as `key: what is wrong; what to do`.

    Values may be of wrong types; that is checked elsewhere.
    """
    yield from _of_intervals(entry)
    yield from _of_hours(entry)
    yield from _of_days(entry)
    yield from _of_columns(entry)
    yield from _of_locations(entry)
    if entry.get("ambiguous", "refuse") != "refuse" and _is_utc(entry):
        yield 'ambiguous: no time of UTC comes twice; give the "timezone" of the times, or leave it out'
    requested = str([entry.get(key) for key in ("url", "params", "body")])
    if entry.get("per") is not None and not re.search(r"\{(start|end)", requested):
        yield 'per: the URL and "params" name no period; write "{start:%Y-%m}" where they do, or leave it out'


def _of_locations(entry: Mapping[str, Any]) -> Iterator[str]:
    asked_text = str([entry.get(key) for key in ("url", "params", "body")])
    if re.search(r"\{locations?[:}]", asked_text) and not entry.get("locations"):
        yield "locations: is missing, and the requests name them; list those to request"
    prefix, values = entry.get("components"), entry.get("value")
    if prefix and isinstance(values, dict) and values and not entry.get("variable"):
        names = {name.get("variable") if isinstance(name, dict) else name for name in values.values()}
        missing = [f"{prefix}{end}" for end in ("", "_congestion", "_loss") if f"{prefix}{end}" not in names]
        if missing:
            yield f'components: no column of "value" is {missing[0]}; name it, or leave "components" out'


def _of_intervals(entry: Mapping[str, Any]) -> Iterator[str]:
    interval = entry.get("interval") or entry.get("interval_from")
    has_own_interval = entry.get("hours") is not None or entry.get("layout") == "positions"
    if entry.get("label") == "end" and not interval and not has_own_interval:
        yield 'label: a time that is an "end" needs the length of its interval; add "interval", such as "PT1H"'
    if entry.get("label") == "instant" and interval:
        yield 'label: an "instant" has no interval; leave out one of them'


def _of_days(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yields what contradicts `days`, which give the day and the only value of a record."""
    if entry.get("days") is None:
        return
    if not entry.get("time"):
        yield 'days: the rows need an hour; name its column with "time"'
    for key in ("hours", "melt"):
        if entry.get(key) is not None:
            yield f'{key}: "days" names the columns of values already; leave out one of them'
    if isinstance(entry.get("value"), dict) and len(entry["value"]) > 1:
        yield 'value: the columns of "days" are one value; name one'


def _of_hours(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yields what contradicts `hours`, which give the hour, the label and the only value of a record."""
    hours = entry.get("hours")
    if not isinstance(hours, dict):
        return
    time_format = str(entry.get("time_format") or "")
    if re.search(r"%[HIMSp]", time_format) or time_format in ("unix", "unix_ms", "dotnet"):
        yield (
            'time_format: the hour comes from the columns of "hours"; give the format of the date alone, such as '
            '"%m/%d/%Y", or "%m/%d/%Y*" if a time stands behind it'
        )
    if entry.get("label") not in (None, hours.get("label", "end")):
        yield 'label: "hours" has a "label" of its own, which is another; leave this one out'
    if isinstance(entry.get("value"), dict) and len(entry["value"]) > 1:
        yield 'value: the columns of "hours" are one value; name one'
    if entry.get("melt") is not None:
        yield 'melt: "hours" names the columns of values already; leave out one of them'


def _of_columns(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yields columns that two keys name, of which one would be ignored."""
    values = entry.get("value")
    columns = {name for name in values if not name.endswith("|")} if isinstance(values, dict) else set()
    melt = entry.get("melt")
    if columns and melt is not None and entry.get("hours") is None:
        yield 'melt: "value" names the columns of values already; leave out one of them'
    if isinstance(melt, dict) and melt.get("into") == "location" and not _is_optional(entry.get("location")):
        yield 'location: "melt" takes the locations from the header; leave it out, or melt into variables'
    for key in ("time", "location", "variable", "published", "timezone_from", "interval_from", "ambiguous"):
        named = entry.get(key)
        names = named if isinstance(named, list | tuple) else [named]
        shared = [name for name in names if isinstance(name, str) and name in columns]
        if shared and entry.get("hours") is None:
            yield f'{key}: {shared[0]} is named by "value" too; name it once'


def _is_optional(column: Any) -> bool:
    """Whether a key names no column, or one that need not be there."""
    return column is None or (isinstance(column, str) and column.endswith("|"))


def _is_utc(entry: Mapping[str, Any]) -> bool:
    return entry.get("timezone", "UTC") in ("UTC", "Etc/UTC", "GMT") and not entry.get("timezone_from")
