"""The statements that define the views: pure.

"<entry>"      the latest vintages of an entry, as `curated.read` returns them
observations   those of all entries, with the name of their entry
vintages       every vintage of every key, with the time when it was stored and when it was available
as_of('…')     what `observations` was at a time
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from gridtide.entries.aliases import EVERY, Alias
from gridtide.entries.entry import Available, Entry
from gridtide.periods import Period

KEY_COLUMNS = ("source", "location", "variable", "interval_start", "interval_end", "published_at")

COLUMNS = (*KEY_COLUMNS[3:5], *KEY_COLUMNS[:3], "unit", "value", "published_at", "retrieved_at")
"""The columns of observations, in their order."""

STORED_COLUMNS = ("entry", *COLUMNS, "stored_at", "file", "available_at", "position", "superseded_at")
"""The columns of a view of all stored rows."""

_ORDER = ("retrieved_at", "stored_at", "file", "position")


def quote_name(name: str) -> str:
    """Returns `name` as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Returns `text` as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def define_entry(view: str, paths: Sequence[str], table: str) -> str:
    """Returns the definition of the view of an entry: the latest rows of the months at `paths`, and all of `table`.

    A row of a month stands for the retrieved rows of its key, and a row that was replaced for none.
    """
    columns = ", ".join(COLUMNS)
    selections = [f"SELECT {columns} FROM {quote_name(table)}"]
    if paths:
        selections.append(f"SELECT {columns} FROM {_scan(paths)} WHERE retrievals > 0")
    return f"CREATE VIEW {quote_name(view)} AS {' UNION ALL '.join(selections)}"


def define_stored(view: str, entry: Entry, paths: Sequence[str], table: str) -> str:
    """Returns the definition of a view of all stored rows of `entry`, from which vintages are derived."""
    columns = ", ".join((*COLUMNS, "stored_at", "file"))
    available = f"coalesce(published_at, {_write_rule(entry.available)}) AS available_at"
    entry_name = f"{quote_text(entry.name)} AS entry"
    selections = [f"SELECT {entry_name}, {columns}, {available}, position, superseded_at FROM {quote_name(table)}"]
    if paths:
        months = _scan(paths, "file_row_number = true")
        months_part = (
            f"SELECT {entry_name}, {columns}, {available}, file_row_number AS position, NULL::TIMESTAMPTZ FROM {months}"
        )
        selections.append(months_part)
    all_rows = " UNION ALL ".join(selections)
    for alias in entry.aliases:
        all_rows = _rename(all_rows, alias)
    return f"CREATE VIEW {quote_name(view)} AS {all_rows}"


def _rename(rows: str, alias: Alias) -> str:
    """Returns the selection of `rows` with the series that `alias` names under its new name."""
    stored_series, read_series = alias.series
    terms = [f"source = {quote_text(stored_series.source)}", f"variable = {quote_text(stored_series.variable)}"]
    if stored_series.location != EVERY:
        terms.append(f"location = {quote_text(stored_series.location)}")
    since, before = alias.bounds
    terms += [f"interval_start >= {_write_moment(since)}"] if since else []
    terms += [f"interval_start < {_write_moment(before)}"] if before else []
    new_names = {"variable": read_series.variable}
    if read_series.location != EVERY:
        new_names["location"] = read_series.location
    condition = " AND ".join(terms)
    replaced = ", ".join(
        f"CASE WHEN {condition} THEN {quote_text(text)} ELSE {column} END AS {column}"
        for column, text in new_names.items()
    )
    return f"SELECT * REPLACE ({replaced}) FROM ({rows})"


def _scan(paths: Sequence[str], option: str = "") -> str:
    return f"read_parquet([{', '.join(map(quote_text, paths))}]{', ' if option else ''}{option})"


def _write_rule(rule: Available) -> str:
    """Returns the expression for when a value is available, as `observations.availability` calculates it."""
    if rule.lag is not None:
        return f"interval_end + to_microseconds({rule.lag // timedelta(microseconds=1)})"
    zone = quote_text(rule.timezone)
    day = f"date_trunc('day', timezone({zone}, interval_start))"
    hours, minutes = str(rule.day_before).split(":")
    shift = f"to_minutes({int(hours) * 60 + int(minutes)}) - to_days({rule.days})"
    return f"timezone({zone}, {day} + {shift})"


def define_observations(entry_views: Iterable[tuple[str, str]], shared: Sequence[tuple[str, str, str]]) -> str:
    """Returns the definition of the view over all entries, of which `entry_views` are the names and views. Of the
    `shared` series, which several entries have, each key is there once: the value that was first retrieved last."""
    selections = [
        f"SELECT {quote_text(name)} AS entry, {', '.join(COLUMNS)} FROM {quote_name(view)}"
        for name, view in entry_views
    ]
    all_rows = " UNION ALL ".join(selections)
    if not shared:
        return f"CREATE VIEW observations AS {all_rows}"
    series = ", ".join(f"({', '.join(map(quote_text, names))})" for names in shared)
    condition = f"(source, location, variable) IN ({series})"
    latest = (
        f"SELECT * FROM ({all_rows}) WHERE {condition} "
        f"QUALIFY row_number() OVER (PARTITION BY {', '.join(KEY_COLUMNS)} ORDER BY retrieved_at DESC, entry DESC) = 1"
    )
    return f"CREATE VIEW observations AS SELECT * FROM ({all_rows}) WHERE NOT ({condition}) UNION ALL {latest}"


def define_vintages(stored_views: Iterable[str]) -> str:
    """Returns the definition of the view of every vintage that counts: of adjacent rows with one value, the first."""
    columns = f"entry, {', '.join(COLUMNS)}, stored_at, available_at, file"
    marked = _mark(stored_views, "superseded_at IS NULL")
    return f"CREATE VIEW vintages AS SELECT {columns} FROM ({marked}) WHERE begins_vintage"


def define_as_of(refused_by_view: Mapping[str, Sequence[Period]]) -> str:
    """Returns the definition of the macro `as_of(moment)`: of what was stored by then, of each key the latest; an error
    for a moment in a refused period of a view."""
    stored_by = "stored_at <= moment::TIMESTAMPTZ AND (superseded_at IS NULL OR superseded_at > moment::TIMESTAMPTZ)"
    refusals = [_refuse_moments(view, refused) for view, refused in refused_by_view.items() if refused]
    key = ", ".join(KEY_COLUMNS)
    backwards = ", ".join(f"{column} DESC" for column in _ORDER)
    vintages = f"SELECT * FROM ({_mark(refused_by_view, stored_by, refusals)}) WHERE begins_vintage"
    latest = f"{vintages} QUALIFY row_number() OVER (PARTITION BY entry, {key} ORDER BY {backwards}) = 1"
    across = f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY retrieved_at DESC, entry DESC) = 1"
    return f"CREATE MACRO as_of(moment) AS TABLE SELECT entry, {', '.join(COLUMNS)} FROM ({latest}) {across}"


def _refuse_moments(view: str, refused: Sequence[Period]) -> str:
    """Returns a selection of no stored rows, which is an error for a `moment` in one of the periods `refused`.

    It depends on no row, as there may be none under another condition.
    """
    parts = (
        f"moment::TIMESTAMPTZ >= {_write_moment(period.start)} AND moment::TIMESTAMPTZ < {_write_moment(period.end)}"
        for period in refused
    )
    message = f"{view.removesuffix(' stored')}: what was there then had files that are gone, as they were compacted"
    nulls = ", ".join(["NULL"] * len(STORED_COLUMNS))
    is_refused = f"CASE WHEN {' OR '.join(parts)} THEN error({quote_text(message)}) ELSE false END"
    return f"SELECT * FROM (VALUES ({nulls})) WHERE {is_refused}"


def _write_moment(moment: datetime) -> str:
    return f"{quote_text(moment.isoformat())}::TIMESTAMPTZ"


def _mark(stored_views: Iterable[str], condition: str, further_selections: Iterable[str] = ()) -> str:
    """Returns the stored rows under `condition`, and those of `further_selections`, each with whether it begins a
    vintage of its key."""
    selections = [f"SELECT * FROM {quote_name(view)} WHERE {condition}" for view in stored_views]
    all_rows = " UNION ALL ".join([*selections, *further_selections])
    window = f"PARTITION BY entry, {', '.join(KEY_COLUMNS)} ORDER BY {', '.join(_ORDER)}"
    begins_vintage = (
        "lag(retrieved_at) OVER w IS NULL OR value IS DISTINCT FROM lag(value) OVER w "
        "OR signbit(value) IS DISTINCT FROM signbit(lag(value) OVER w) "  # of zeros, which else are equal
        "OR unit IS DISTINCT FROM lag(unit) OVER w"
    )
    return f"SELECT *, ({begins_vintage}) AS begins_vintage FROM ({all_rows}) WINDOW w AS ({window})"
