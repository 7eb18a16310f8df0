"""Prices and their components: a price is the sum of its energy, congestion and loss.

    lmp_day_ahead = lmp_day_ahead_energy + lmp_day_ahead_congestion + lmp_day_ahead_loss

Where an upstream gives no energy, it is the price less the other two. Records whose components do not add up are not
stored, as nothing says which of their numbers is wrong; they are counted.

Parts of a value may also come in a record each, such as the conforming and the other load of a zone; they are added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from gridtide.errors import FormatError
from gridtide.observations.arrays import from_numpy
from gridtide.sources.contract import Skipped
from gridtide.sources.formats.cells import CellColumn, CellTable, build_table, decode_texts, factorize
from gridtide.sources.formats.numbers import read_numbers

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

ENDINGS = ("", "_energy", "_congestion", "_loss")
"""The endings of the variables of a price and of its components."""

TOLERANCE = 0.0205
"""The largest difference between a price and the sum of its components, in their unit: each of the four numbers is
rounded, at most to cents."""

INCONSISTENT = "prices that are not the sum of their components"
"""Why such a price and its components are not stored."""

PARTIAL = "energies of prices that lack the congestion or the loss"
"""Why no energy is derived of such a price."""

_DECIMALS = 6
"""The decimals to which a derived energy is rounded, so that it has no more than the upstream's numbers."""


class Balance(NamedTuple):
    """The energy of prices, given or derived, and which of the prices are not the sum of their components, each
    (prices,)."""

    energy: np.ndarray
    inconsistent: np.ndarray


def balance_prices(price: np.ndarray, energy: np.ndarray | None, congestion: np.ndarray, loss: np.ndarray) -> Balance:
    """Checks prices against their components, each (prices,); derives the energy if it is None. A NaN is a null, with
    which nothing is checked and no energy is derived."""
    if energy is None:
        derived = np.round(price - congestion - loss, _DECIMALS) + 0.0
        return Balance(derived, np.zeros(len(price), bool))
    with np.errstate(invalid="ignore"):
        return Balance(energy, np.abs(energy + congestion + loss - price) > TOLERANCE)


@dataclass(frozen=True)
class ComponentColumns:
    """The numbers of the columns of a price and its components in a table with a column for each; `energy` is None if
    there is no such column."""

    price: int
    energy: int | None
    congestion: int
    loss: int

    @classmethod
    def find(cls, prefix: str | None, variables: Sequence[str]) -> ComponentColumns | None:
        """Returns the columns of the price `prefix` among those of `variables`; None if they cannot be balanced."""
        numbers = [variables.index(f"{prefix}{end}") if f"{prefix}{end}" in variables else None for end in ENDINGS]
        price, energy, congestion, loss = numbers
        if prefix is None or price is None or congestion is None or loss is None:
            return None
        return cls(price, energy, congestion, loss)

    def balance(self, numbers: np.ndarray) -> Balance:
        """Balances the prices in `numbers` (records, columns)."""
        energy = None if self.energy is None else numbers[:, self.energy]
        return balance_prices(numbers[:, self.price], energy, numbers[:, self.congestion], numbers[:, self.loss])

    def describe(self, numbers: np.ndarray) -> str:
        """Describes a record with `numbers` (columns,) that does not add up."""
        parts = " + ".join(
            f"{numbers[part]:g}" for part in (self.energy, self.congestion, self.loss) if part is not None
        )
        return f"{numbers[self.price]:g} is not {parts}"


def balance_records(observations: pa.Table, prefix: str, skipped: list[Skipped]) -> pa.Table:
    """Balances `observations` in which a price and its components come in a record each. Returns them with derived
    energies, and without prices that do not add up, which are added to `skipped`."""
    from gridtide.observations.arrays import dictionary_array
    from gridtide.observations.table import concat

    table = observations.combine_chunks()
    variable = table["variable"].to_numpy()
    is_part = [np.flatnonzero(variable == f"{prefix}{end}") for end in ENDINGS]
    groups = _group_by_key(table)
    group_count = int(groups.max(initial=-1)) + 1
    numbers = np.full((4, group_count), np.nan)
    counts = np.zeros((4, group_count), np.int64)
    values = table["value"].to_numpy()
    for part, rows in enumerate(is_part):
        numbers[part, groups[rows]] = values[rows]
        counts[part] = np.bincount(groups[rows], minlength=group_count)
        different = groups[rows][~np.isclose(numbers[part, groups[rows]], values[rows], equal_nan=True)]
        numbers[part, different] = np.nan  # two values, of which the core stores neither
    price_rows, energy_rows, congestion_rows, _ = is_part
    if not len(price_rows) or not len(congestion_rows):
        return observations
    is_partial = (counts[0] > 0) & (counts[2:] == 0).any(axis=0)
    if is_partial.any():
        row = price_rows[is_partial[groups[price_rows]]][0]
        place = f"{table['location'][row]} at {table['interval_start'][row].as_py():%Y-%m-%dT%H:%MZ}"
        skipped.append(Skipped(PARTIAL, int(is_partial.sum()), place))
    balance = balance_prices(numbers[0], numbers[1] if len(energy_rows) else None, numbers[2], numbers[3])
    if not len(energy_rows):
        derivable = price_rows[~np.isnan(balance.energy[groups[price_rows]])]
        derived = table.take(pa.array(derivable))
        names = dictionary_array(np.zeros(len(derivable), np.int32), [f"{prefix}_energy"])
        derived = derived.set_column(derived.schema.get_field_index("variable"), "variable", names)
        energies = pa.array(balance.energy[groups[derivable]])
        derived = derived.set_column(derived.schema.get_field_index("value"), "value", energies)
        return concat([observations, derived.cast(observations.schema)])
    if not balance.inconsistent.any():
        return observations
    is_dropped = balance.inconsistent[groups] & np.isin(np.arange(len(groups)), np.concatenate(is_part))
    first = int(np.flatnonzero(is_dropped)[0])
    price, energy, congestion, loss = numbers[:, groups[first]]
    place = f"{table['location'][first]} at {table['interval_start'][first].as_py():%Y-%m-%dT%H:%MZ}"
    example = f"{place}: {price:g} is not {energy:g} + {congestion:g} + {loss:g}"
    skipped.append(Skipped(INCONSISTENT, int(is_dropped.sum()), example))
    return observations.filter(pa.array(~is_dropped))


def _group_by_key(table: pa.Table) -> np.ndarray:
    """Returns the group of each observation (rows,): those of one place, interval and publication."""
    location = table["location"].combine_chunks()
    codes: np.ndarray = location.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    times = [table[name].cast(pa.int64()).fill_null(-1).to_numpy() for name in ("interval_start", "published_at")]
    for column in times:
        _, column_codes = np.unique(column, return_inverse=True)
        _, codes = np.unique(codes * (int(column_codes.max(initial=0)) + 1) + column_codes, return_inverse=True)
    return codes


NO_PART = "parts of a sum that hold no number"
"""Why a sum is null although its records have texts."""

FEWER_PARTS = "sums that lack a part of their series"
"""Why a sum is null although all of its records hold numbers."""

DOUBLE_PARTS = "sums of which a part stands twice"
"""Why a sum is null although none of its parts is missing."""

OTHER_PARTS = "sums with a part that the entry does not name"
"""Why a sum is null although its records hold all the parts that it needs."""


def add_parts(entry: Entry, table: CellTable, labels: Sequence[str], skipped: list[Skipped]) -> CellTable:
    """Returns `table` with one record for those that differ only in the column of `summed` among their `labels`.

    A sum is null if one of its parts is, or stands twice; if it lacks a part that `summed` names, or has another one;
    and, if it names none, if it lacks a part that its series has at another time. All of these are added to `skipped`.
    Raises `FormatError` if `summed` names parts, and there is no such column.
    """
    sums = entry.summed
    column = sums and sums.column
    if not sums or not column or not table.rows:
        return table
    if column not in table.names:
        if not sums.parts:
            return table
        happened = f"summed: no record has a column {column}; the columns are: {', '.join(table.names)}"
        raise FormatError(entry.name, happened, 'Correct "summed"')
    names = [name for name in labels if name in table.names and name != column]
    _, first_rows, places = np.unique(
        _group(table.read(names).values(), table.rows), return_index=True, return_inverse=True
    )
    is_wrong = np.zeros(len(first_rows), bool)
    for reason, is_broken in _find_broken_sums(entry, table, sums.parts, names, column, places).items():
        if is_broken.any():
            example = table.place(int(first_rows[np.flatnonzero(is_broken)[0]]))
            skipped.append(Skipped(reason, int(is_broken.sum()), example))
            is_wrong |= is_broken
    values = [name for name in entry.value if name in table.names]
    other_names = [name for name in table.names if name != column and name not in values]
    rows = from_numpy(first_rows, pa.int64())
    columns: dict[str, CellColumn] = {
        name: decode_texts(texts).take(rows) for name, texts in table.read(other_names).items()
    }
    for name in values:
        sums_of_cells = np.where(is_wrong, np.nan, _sum_cells(entry, table, name, places, skipped))
        columns[name] = from_numpy(sums_of_cells, pa.float64())
    summed = build_table(columns, lambda row: table.place(int(first_rows[row])), table.inherited_columns, table.skipped)
    return replace(summed, hint=table.hint)


def _find_broken_sums(
    entry: Entry, table: CellTable, declared: Sequence[str], names: Sequence[str], column: str, places: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns which sums (places,) are not those of all their parts, by the reason; each row of `table` belongs to one
    of `places` (rows,), and its `names` are the labels apart from `column`."""
    cells = table.read([*names, column])
    _, part_rows = np.unique(places * (table.rows + 1) + _group([cells[column]], table.rows), return_index=True)
    sum_count = int(places.max()) + 1
    part_counts = np.bincount(places[part_rows], minlength=sum_count)
    is_double = np.bincount(places, minlength=sum_count) > part_counts
    if declared:
        codes, texts = factorize(cells[column])
        spellings = {part.casefold() for part in declared}
        is_declared = np.array([(text or "").strip().casefold() in spellings for text in texts], bool)[codes[part_rows]]
        declared_counts = np.bincount(places[part_rows[is_declared]], minlength=sum_count)
        is_short, is_other = declared_counts < len(spellings), declared_counts < part_counts
    else:
        series = _group([cells[name] for name in names if name not in (*entry.time, entry.timezone_from)], table.rows)
        _, kinds = np.unique(series * (table.rows + 1) + _group([cells[column]], table.rows), return_index=True)
        expected = np.bincount(series[kinds], minlength=int(series.max()) + 1)
        _, first_rows = np.unique(places, return_index=True)
        is_short, is_other = part_counts < expected[series[first_rows]], np.zeros(sum_count, bool)
    return {DOUBLE_PARTS: is_double, FEWER_PARTS: is_short & ~is_double, OTHER_PARTS: is_other & ~is_double & ~is_short}


def _group(columns: Iterable[CellColumn], row_count: int) -> np.ndarray:
    """Returns the number of the group (rows,), from 0, of the records with equal cells in `columns`."""
    groups = np.zeros(row_count, np.int64)
    for column in columns:
        codes, texts = factorize(column)
        _, groups = np.unique(groups * len(texts) + codes, return_inverse=True)
    return groups


def _sum_cells(entry: Entry, table: CellTable, name: str, places: np.ndarray, skipped: list[Skipped]) -> np.ndarray:
    """Returns the sums (places,) of the cells of column `name`, of which each row belongs to one of `places`
    (rows,)."""
    readings = [read_numbers(piece[name], entry.numbers) for piece in table.pieces([name], entry.numbers)]
    unread = np.concatenate([reading.unread for reading in readings])
    if unread.any():
        example = table.place(int(np.flatnonzero(unread)[0]))
        skipped.append(Skipped(NO_PART, int(unread.sum()), f"{example}, {name}"))
    return np.bincount(places, np.concatenate([reading.values for reading in readings]))
