"""Which series an entry still requests, when its requests have changed since the series had rows; pure.

answer     region: A, B, C      A |-|-|-|   B |-|-|-|   C |-|
entry      region: A, B, C, D   C is still requested: it is silent
entry      region: A, B, D      C is no longer requested: it is not

Scopes hold the values of parameters. A source may name the same thing in parameters and in series alike, such as
`ISNE`, or by two names, such as `NG` and `generation_natural_gas`. So names are compared first; what they leave open is
decided by later answers, which show the locations and the variables that the entry has now.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gridtide.coverage.freshness.last_rows import LastRows
from gridtide.entries.entry import Entry
from gridtide.entries.scope import ANY, INTERVAL_LENGTH, parse_scope
from gridtide.sources.registry import find_entry_scope

if TYPE_CHECKING:
    from gridtide.observations.series_days import SeriesLabel

Facets = Mapping[str, frozenset[str]]

_BETWEEN_NAMES = re.compile(r'[\s,;:|/"{}\[\]]+')
"""What stands between the names in one value, such as `A,B,C`, the path of a URL, or a list in JSON."""


@dataclass(frozen=True, slots=True)
class _Change:
    """How an entry differs from an earlier answer: it has `dropped_names` from its values, or the names `are_open`:
    what it has dropped may be named otherwise."""

    dropped_names: frozenset[str] = frozenset()
    are_open: bool = False


_NO_CHANGE = _Change()


def select_requested(entry: Entry, last_rows: Mapping[SeriesLabel, LastRows]) -> dict[SeriesLabel, LastRows]:
    """Returns the series of `last_rows` that `entry` requests, as far as that can be known.

    A series is requested if the entry has dropped no value since the answer that last held it. If it has, the series is
    left out if it has the name of a dropped value, or if neither the values of the entry nor the series that are
    certainly requested name its location and its variable. A facet with one value before and another now, such as a
    URL, drops names only.
    """
    entry_values = find_entry_scope(entry).values()
    changes: dict[tuple[str, str], _Change] = {}  # series are many, and their scopes few
    for rows in last_rows.values():
        if (rows.scope, rows.fingerprint) not in changes:
            changes[rows.scope, rows.fingerprint] = _compare_scopes(entry, entry_values, rows)
    change_by_label = {label: changes[rows.scope, rows.fingerprint] for label, rows in last_rows.items()}
    present_names = _split_names(*entry_values.values())
    present_names |= {
        name.casefold() for label, change in change_by_label.items() if change == _NO_CHANGE for name in label
    }
    return {
        label: rows
        for label, rows in last_rows.items()
        if not (names := {name.casefold() for name in label}) & change_by_label[label].dropped_names
        and (not change_by_label[label].are_open or names <= present_names)
    }


def _compare_scopes(entry: Entry, entry_values: Facets, rows: LastRows) -> _Change:
    """Returns how `entry`, with `entry_values` in its scope, differs from the answer with the last `rows` of a
    series."""
    scope = parse_scope(rows.scope) if rows.scope else None
    if scope is None:
        return _Change(are_open=rows.fingerprint not in ("", entry.fingerprint))
    narrowed_facets = [
        (values, entry_values[name])
        for name, values in scope.facets
        if name in entry_values
        and name != INTERVAL_LENGTH
        and ANY not in entry_values[name]
        and values - entry_values[name]
    ]
    dropped_names = (_split_names(values) - _split_names(values_now) for values, values_now in narrowed_facets)
    are_open = any(ANY in values or max(len(values), len(values_now)) > 1 for values, values_now in narrowed_facets)
    return _Change(frozenset().union(*dropped_names), are_open)


def _split_names(*facets: frozenset[str]) -> set[str]:
    """Returns the values, and the names within them, in lower case."""
    values = {value.casefold() for facet in facets for value in facet}
    return values | {name for value in values for name in _BETWEEN_NAMES.split(value)}
