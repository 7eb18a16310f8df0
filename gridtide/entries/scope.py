"""The scope of an entry: what it requests from its upstream, apart from the period. Coverage is by period and scope.

A scope has a set of values for each of its facets, and requests all their combinations: `region: A, B` and `type: load`
requests two. The part of a scope that an earlier scope lacks is again a list of scopes, which share no combination:

           load   wind                     load   wind
        A    x          earlier         A            2
        B                               B    1       1      new, if A and B, load and wind are requested now
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from gridtide.entries.aliases import Alias
from gridtide.entries.entry import Entry
from gridtide.entries.table_layout import SeriesNames
from gridtide.errors import list_first
from gridtide.variables import spell_variable

ANY = "*"
"""The value of a facet without restriction: everything that the upstream has."""

INTERVAL_LENGTH = "interval length"
"""The facet with the length of the requested intervals."""

VALUES_NAMED = 5
"""The most values of a facet that a text names."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is requested: the values of each facet, by name. `reading` changes when responses are read in another
    way."""

    facets: tuple[tuple[str, frozenset[str]], ...]
    reading: str

    @classmethod
    def of_facets(cls, facets: Mapping[str, Iterable[str]], reading: str) -> Scope:
        """Returns the scope with these values of facets; a facet without values gets the value `""`."""
        facet_values = ((name, frozenset(values) or frozenset(("",))) for name, values in facets.items())
        return cls(tuple(sorted(facet_values, key=lambda facet: facet[0])), reading)

    def as_text(self) -> str:
        """Returns the scope as JSON, the same for equal scopes."""
        facets = {name: sorted(values) for name, values in self.facets}
        return json.dumps({"facets": facets, "reading": self.reading}, separators=(",", ":"), ensure_ascii=False)

    def values(self) -> dict[str, frozenset[str]]:
        """Returns the values of each facet."""
        return dict(self.facets)

    def without(self, earlier: Scope) -> list[Scope]:
        """Returns the combinations of this scope that `earlier` does not request, as scopes that share none.

        Returns the whole scope if `earlier` requests none of them, or if the difference cannot be named, such as that
        of all regions and one. A facet that only one of the two has restricts neither.
        """
        added_scopes, remaining_values, earlier_facets = [], self.values(), earlier.values()
        for name, values in self.facets:
            earlier_values = earlier_facets.get(name)
            if earlier_values is None or ANY in earlier_values:
                continue
            added_values = values - earlier_values
            if ANY in values or added_values == values:
                return [self]
            if added_values:
                added_scopes.append(Scope.of_facets({**remaining_values, name: added_values}, self.reading))
                remaining_values[name] = values & earlier_values
        return added_scopes

    def is_comparable(self, earlier: Scope) -> bool:
        """Whether this scope has the facets of `earlier` and its responses are read in the same way."""
        return self.reading == earlier.reading and self.values().keys() == earlier.values().keys()

    def describe_within(self, whole: Scope) -> str:
        """Describes the part of `whole` that it requests, such as `region: A, B`; empty if that is all of it."""
        whole_values = whole.values()
        return _describe_facets((name, values) for name, values in self.facets if values != whole_values.get(name))

    def describe_beyond(self, earlier: Scope) -> str:
        """Describes the facets of which `earlier` requests none of the values of this scope, such as `interval length:
        5 min`."""
        before = earlier.values()
        return _describe_facets(
            (name, values) for name, values in self.facets if name in before and not values & before[name]
        )


@functools.lru_cache(maxsize=256)
def rename_scope(scope: Scope, alias: Alias, entry_scope: Scope) -> Scope | None:
    """Returns what an answer to `scope` answers in the intervals in which `alias` renames its series, with the values
    by which `entry_scope` calls the new name; None if none of its values is the old name.

    Values are names of locations, of variables, or of columns with their variables. An alias of one location renames
    what was requested of that location, if a facet has it.
    """
    stored_series, read_series = alias.series
    entry_values, is_renamed = entry_scope.values(), False
    renamed_facets = scope.values()
    for name, values in scope.facets:
        for stored_name, read_name, read_value in (
            (stored_series.location, read_series.location, str),
            (stored_series.variable, read_series.variable, _read_variable),
        ):
            stored_values = frozenset(value for value in values if read_value(value) == stored_name)
            if not stored_values:
                continue
            renamed_facets[name] = stored_values
            if stored_name != read_name:
                new_values = (value for value in entry_values.get(name, ()) if read_value(value) == read_name)
                renamed_facets[name] = frozenset(new_values) or frozenset((read_name,))  # for the next alias
                is_renamed = True
    return Scope.of_facets(renamed_facets, scope.reading) if is_renamed else None


@functools.lru_cache(maxsize=256)
def parse_scope(text: str) -> Scope | None:
    """Parses the output of `Scope.as_text`; None for a text of another form, such as that of a later version."""
    try:
        document = json.loads(text)
        return Scope.of_facets(document["facets"], document["reading"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def describe_scope(entry: Entry) -> Scope:
    """Returns what `entry` requests, as far as that can be derived without knowledge of the upstream: each parameter is
    a facet, and a list of values under one parameter gives its values."""
    parts = urlsplit(entry.url)
    facets = {
        "request URL": [f"{parts.netloc}{parts.path}"],
        "series location": [_as_text(msgspec.to_builtins(entry.location))],
        **{name: split_values(value) for name, value in read_parameters(entry).items()},
        **{f"header {name}": [_hash_text(value)] for name, value in entry.headers.items()},
    }
    if entry.method != "GET":
        facets["request body"] = [_as_text(msgspec.to_builtins(entry.body))]
    return build_scope(entry, facets)


def build_scope(entry: Entry, facets: Mapping[str, Iterable[str]]) -> Scope:
    """Returns the scope of `entry` with these values of facets, and the length of the requested intervals."""
    minutes = entry.resolution // timedelta(minutes=1)
    return Scope.of_facets({**facets, INTERVAL_LENGTH: [f"{minutes} min"]}, _mark_reading(entry))


def read_parameters(entry: Entry) -> dict[str, Any]:
    """Returns the parameters of the URL and of `params`, which take precedence; several values as a tuple."""
    parameters: dict[str, Any] = {}
    for key, text in parse_qsl(urlsplit(entry.url).query, keep_blank_values=True):
        parameters[key] = (*parameters.get(key, ()), text)
    return {**parameters, **entry.params}


def split_values(value: Any) -> list[str]:
    """Returns the values of a parameter as texts; a list with repeated values is a single value, because its order
    matters."""
    values = [str(single) for single in _as_values(value)]
    return values if len(set(values)) == len(values) else [json.dumps(values)]


def narrow_params(entry: Entry, selection: Mapping[str, Collection[str]]) -> Entry:
    """Returns `entry` with only the values in `selection` of parameters that are lists, in their order."""
    shorter = {
        name: tuple(value for value in _as_values(entry.params[name]) if str(value) in values)
        for name, values in selection.items()
    }
    return msgspec.structs.replace(entry, params={**entry.params, **shorter})


def describe_columns(entry: Entry) -> list[str]:
    """Returns the value columns that `entry` reads, each with its variable and unit if they are given."""
    return [
        column if names == SeriesNames() else f"{column} as {_as_text(msgspec.to_builtins(names))}"
        for column, names in entry.value.items()
    ]


def _read_variable(text: str) -> str:
    """Returns the variable that `text` names: a variable itself, or a column as `describe_columns` writes it; empty for
    several columns in one text."""
    column, separator, names = text.partition(" as {")
    try:
        variable = json.loads("{" + names).get("variable") if separator else None
    except ValueError:
        return ""
    return variable or spell_variable(column)


def narrow_columns(entry: Entry, descriptions: Collection[str]) -> Entry:
    """Returns `entry` with only the value columns in `descriptions`, which `describe_columns` made, in their order."""
    columns = zip(entry.value, describe_columns(entry), strict=True)
    values = {column: entry.value[column] for column, text in columns if text in descriptions}
    return msgspec.structs.replace(entry, value=values)


def _describe_facets(facets: Iterable[tuple[str, frozenset[str]]]) -> str:
    return "; ".join(f"{name}: {list_first(sorted(values), VALUES_NAMED)}" for name, values in facets)


def _mark_reading(entry: Entry) -> str:
    """Returns 12 hex digits that change when responses are read in another way, but not with what is requested, or
    where files go."""
    empty: dict[str, Any] = {"url": "", "params": {}, "method": "GET", "headers": {}, "body": None, "location": None}
    empty |= {"locations": (), "archive": None, "table": None, "query": None}
    return msgspec.structs.replace(
        entry, **empty, output_folder="", file_prefix="", format="parquet", value={}, absent=()
    ).fingerprint


def _as_values(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _hash_text(text: str) -> str:
    """Returns a substitute for a text that may be private."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False) if value else ""
