"""The identity of observations: keys, their fingerprints, and the content hash of a table."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from gridtide.observations.arrays import not_null, one_chunk, to_numpy

KEY = ("source", "location", "variable", "interval_start", "interval_end", "published_at")
"""The columns that identify a value; a later retrieval of the same key is a revision."""


def fingerprints(table: pa.Table) -> np.ndarray:
    """Returns a 64-bit hash of each row's key, shape (rows,), uint64: equal keys have equal fingerprints.

    Different keys may share a fingerprint (about n²/2⁶⁵ of them do), so equality must be confirmed exactly.
    """
    marks = np.zeros(table.num_rows, np.uint64)
    for name in KEY:
        marks = _mix_column(marks, to_integers(table[name]))
    return marks


def content_hash(
    table: pa.Table, digest: hashlib._Hash | None = None, marks: np.ndarray | None = None
) -> hashlib._Hash:
    """Returns the SHA-256 of keys, units and values in row order; `retrieved_at` is not included.

    If the `digest` of earlier rows is given, it is continued, so that a stream of tables hashes like their
    concatenation. `marks` (rows,) are the `fingerprints` of `table`, if known.
    """
    digest = hashlib.sha256() if digest is None else digest
    hashed_rows = np.empty((table.num_rows, 3), np.uint64)
    hashed_rows[:, 0] = fingerprints(table) if marks is None else marks
    hashed_rows[:, 1] = to_integers(table["unit"])
    hashed_rows[:, 2] = to_integers(table["value"])
    digest.update(hashed_rows.data)
    return digest


ConflictRule = Literal["first", "last", "refuse"]
"""Which of several values of one key is stored: the first, the last, or none."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """The result of `resolve_repeats`: `rows` (kept,) are the positions of the rows that stay, in order; `conflicts`
    are the keys with different values, with `value_min`, `value_max` and `row_count`; `outranked` (rows,) are the
    positions of earlier versions."""

    rows: np.ndarray
    conflicts: pa.Table
    refused: int
    outranked: np.ndarray

    def describe_first_repeat(self, table: pa.Table) -> str:
        """Describes the first row of `table` that does not stay; its key comes again in another row."""
        return _describe_row(table, int(np.setdiff1d(np.arange(table.num_rows), self.rows)[0]))

    def describe_first_outranked(self, table: pa.Table) -> str:
        """Describes the first row of `table` of which a later version counts."""
        return _describe_row(table, int(self.outranked[0]))

    def describe_first_conflict(self) -> str:
        """Describes the first conflicting key and two of its values."""
        row = self.conflicts.slice(0, 1).to_pylist()[0]
        return (
            f"{row['source']}/{row['location']}/{row['variable']} at {row['interval_start']:%Y-%m-%dT%H:%MZ} "
            f"with {describe_rivals(row)}"
        )


def describe_rivals(conflict: Mapping[str, Any]) -> str:
    """Describes two of the different values of a key in a row of `Repeats.conflicts`, of which one may be a null."""
    second = "no value" if conflict["value_min"] == conflict["value_max"] else conflict["value_max"]
    return f"{conflict['value_min']} and {second}"


def _describe_row(table: pa.Table, place: int) -> str:
    row = table.slice(place, 1).to_pylist()[0]
    return f"{row['location']}/{row['variable']} at {row['interval_start']:%Y-%m-%dT%H:%MZ}"


def resolve_repeats(table: pa.Table, conflict: ConflictRule, ranks: np.ndarray | None = None) -> Repeats:
    """Finds the rows of `table` that stay if each key may occur once: the first of exact duplicates, and for a key with
    different values the row that `conflict` selects. `refused` counts the rows of such keys that do not stay.

    With `ranks` (rows,) only the rows of the highest rank of their key count, whatever the order of the rows.
    """
    if ranks is None:
        return _resolve(table, conflict, np.arange(table.num_rows))
    is_best = _find_best(table, ranks)
    best = np.flatnonzero(is_best)
    return replace(_resolve(table.take(best), conflict, best), outranked=np.flatnonzero(~is_best))


def _find_best(table: pa.Table, ranks: np.ndarray) -> np.ndarray:
    """Returns which rows of `table` have the highest of the `ranks` of their key, each (rows,)."""
    groups = _name_rows(table).append_column("rank", pa.array(ranks)).group_by(list(KEY), use_threads=False)
    best = groups.aggregate([("rank", "max"), ("row", "list")])
    lists = one_chunk(best["row_list"])
    rows = lists.flatten().to_numpy()
    is_best = np.zeros(table.num_rows, bool)
    is_best[rows] = ranks[rows] == np.repeat(best["rank_max"].to_numpy(), np.diff(lists.offsets.to_numpy()))
    return is_best


def _name_rows(table: pa.Table) -> pa.Table:
    """Returns the keys of `table` with labels as texts, and the number of each row."""
    key_table = table.select([*KEY, "value"]).append_column("row", pa.array(np.arange(table.num_rows)))
    for name in ("source", "location", "variable"):
        column = key_table[name].cast(pa.string())
        key_table = key_table.set_column(key_table.schema.get_field_index(name), name, column)
    return key_table


def _resolve(table: pa.Table, conflict: ConflictRule, places: np.ndarray) -> Repeats:
    """Resolves the repeats in `table`, whose rows have the numbers `places` (rows,)."""
    import pyarrow.compute as pc

    key_table = _name_rows(table)
    aggregations = [
        ("row", "min"),
        ("row", "max"),
        ("row", "count"),
        ("value", "min"),
        ("value", "max"),
        ("value", "count"),
    ]
    groups = key_table.group_by(list(KEY), use_threads=False).aggregate(aggregations)
    values_agree = pc.fill_null(pc.equal(groups["value_min"], groups["value_max"]), True)
    nulls_agree = pc.or_(pc.equal(groups["value_count"], 0), pc.equal(groups["value_count"], groups["row_count"]))
    is_agreed = pc.and_(values_agree, nulls_agree)
    conflicts = groups.filter(pc.invert(is_agreed))
    kept_rows = groups.filter(is_agreed)["row_min"].to_numpy()
    refused = int(np.sum(conflicts["row_count"].to_numpy()))
    if conflict != "refuse":
        kept_rows = np.concatenate([kept_rows, conflicts["row_min" if conflict == "first" else "row_max"].to_numpy()])
        refused -= conflicts.num_rows
    return Repeats(places[np.sort(kept_rows)], conflicts, refused, np.zeros(0, np.int64))


SORTED_AT_ONCE = 4_000_000
"""Fingerprints that are sorted at a time, to bound memory: of many, those that begin with the same bits."""


def has_repeats(marks: Iterable[np.ndarray], at_once: int = SORTED_AT_ONCE) -> bool:
    """Whether any fingerprint occurs twice in all of `marks`, each of shape (rows,), together; about `at_once` of them
    are sorted at a time, so `marks` must be iterable several times."""
    bits = max(sum(map(len, marks)) // at_once, 1).bit_length() - 1
    return any(_has_equal(marks, share, bits) for share in range(1 << bits))


def _has_equal(marks: Iterable[np.ndarray], share: int, bits: int) -> bool:
    """Whether any fingerprint whose first `bits` are the number `share` occurs twice."""
    shift = np.uint64(64 - bits)
    marks_of_share = [part[part >> shift == share] for part in marks] if bits else marks
    sorted_marks = np.concatenate([np.empty(0, np.uint64), *marks_of_share])
    sorted_marks.sort()
    return bool((sorted_marks[1:] == sorted_marks[:-1]).any())


def _mix_column(marks: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Mixes `column` into `marks` by one multiply-xorshift round (the finaliser of SplitMix64)."""
    marks = (marks + column) * np.uint64(0x9E3779B97F4A7C15)
    marks ^= marks >> np.uint64(32)
    marks *= np.uint64(0xBF58476D1CE4E5B9)
    marks ^= marks >> np.uint64(29)
    return marks


_NULL = np.uint64(0x6E756C6C)
"""What a null is hashed to: the letters of `null`."""


def to_integers(column: pa.ChunkedArray) -> np.ndarray:
    """Returns `column` as uint64: microseconds of a time, a hash of a label's text."""
    parts = [_convert_chunk(chunk) for chunk in column.chunks]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.uint64), *parts])


def _convert_chunk(chunk: pa.Array) -> np.ndarray:
    if pa.types.is_dictionary(chunk.type):
        labels = np.array([_label_hash(label) for label in chunk.dictionary.to_pylist()], np.uint64)
        hashed_labels: np.ndarray = labels[to_numpy(chunk.indices, "i4")]
        return hashed_labels
    if chunk.null_count == len(chunk):
        return np.full(len(chunk), _NULL)
    numbers = to_numpy(chunk, "u8")
    return np.where(not_null(chunk), numbers, _NULL) if chunk.null_count else numbers


@functools.lru_cache(maxsize=1 << 16)
def _label_hash(label: str) -> int:
    return int.from_bytes(hashlib.blake2b(label.encode(), digest_size=8).digest(), "little")
