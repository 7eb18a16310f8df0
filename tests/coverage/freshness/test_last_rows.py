"""The last rows of series, against looking at every row."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from gridtide.coverage.freshness.last_rows import LastRows, merge_last_rows, read_last_rows
from gridtide.observations.table import Row, from_rows
from gridtide.periods import HOUR

START = datetime(2024, 3, 1, tzinfo=UTC)
CELLS = st.dictionaries(
    st.tuples(st.integers(0, 6), st.sampled_from("AB"), st.sampled_from(["load", "wind"])),
    st.sampled_from([None, 0.0, 1.5]),
    max_size=12,
)


def rows_of(cells: dict[tuple[int, str, str], float | None]) -> list[Row]:
    """One row for each hour, location and variable."""
    return [
        Row(START + hour * HOUR, START + (hour + 1) * HOUR, location, variable, "MW", value)
        for (hour, location, variable), value in cells.items()
    ]


@given(CELLS, CELLS)
def test_the_last_rows_are_those_of_all_tables_together(
    first: dict[tuple[int, str, str], float | None], second: dict[tuple[int, str, str], float | None]
) -> None:
    """Of rows, of values and of values other than zero; the later answer says what the entry was then."""
    tables = [from_rows("generic", rows_of(cells), START) for cells in (first, second)]
    early, late = read_last_rows(tables[0], "early"), read_last_rows(tables[1], "late")
    merged = merge_last_rows(early, late)
    cells = [*first.items(), *second.items()]
    assert merged.keys() == {key[1:] for key, _ in cells}
    for label, rows in merged.items():
        own = [(START + hour * HOUR, value) for (hour, *name), value in cells if tuple(name) == label]
        assert rows == LastRows(
            max(moment for moment, _ in own),
            max((moment for moment, value in own if value is not None), default=None),
            max((moment for moment, value in own if value), default=None),
            "late" if label in late else "early",
        )
    swapped = merge_last_rows(late, early)
    assert {label: (rows.row, rows.value, rows.nonzero) for label, rows in swapped.items()} == {
        label: (rows.row, rows.value, rows.nonzero) for label, rows in merged.items()
    }
