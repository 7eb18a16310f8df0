"""The table of observations: its schema, keys and duplicates."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from gridtide.errors import FormatError
from gridtide.observations.identity import content_hash, resolve_repeats
from gridtide.observations.table import SCHEMA, Row, empty, from_columns, from_rows

AT = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def row(hour: int, value: float | None, variable: str = "demand", location: str = "ISNE") -> Row:
    """One hourly value of a series."""
    return Row(AT + hour * HOUR, AT + (hour + 1) * HOUR, location, variable, "MWh", value)


def table(*rows: Row) -> pa.Table:
    """Rows as observations."""
    return from_rows("eia", rows, AT)


@pytest.mark.parametrize("location", ["", " "])
def test_a_location_says_something(location: str) -> None:
    """A row with an empty location is refused."""
    with pytest.raises(FormatError, match="eia: a row has no location"):
        table(row(0, 1.0), row(0, 2.0, location=location))


@pytest.mark.parametrize("hours", [-24 * 365 * 200, 24 * 365 * 200])
def test_an_interval_lies_in_the_centuries_of_grids(hours: int) -> None:
    """A time outside the possible years, such as seconds read as milliseconds, is refused."""
    with pytest.raises(FormatError, match="before 1900 or after 2199"):
        table(row(0, 1.0), row(hours, 2.0))


def test_an_interval_does_not_end_before_it_starts() -> None:
    """An interval must not end before it starts; an instant ends when it starts."""
    instant = Row(AT, AT, "ISNE", "demand", "MWh", 1.0)
    assert table(instant).num_rows == 1
    with pytest.raises(FormatError, match="ends before it starts"):
        table(instant, instant._replace(interval_end=AT - HOUR))


def test_rows_become_the_one_table() -> None:
    """Columns, types and values are those of the schema, in the order of the rows."""
    made = table(row(1, 2.0), row(0, None))
    assert made.schema == SCHEMA
    assert made["value"].to_pylist() == [2.0, None]
    assert made["interval_start"].to_pylist() == [AT + HOUR, AT]
    assert made["source"].to_pylist() == ["eia", "eia"]
    assert made["published_at"].null_count == 2


def test_no_rows_are_an_empty_table() -> None:
    """No rows become an empty table."""
    assert table().equals(empty())


def test_a_missing_location_is_refused() -> None:
    """A null in a column without nulls is a format error that names the column."""
    with pytest.raises(FormatError, match="location"):
        from_columns(
            "eia",
            AT,
            interval_start=[AT],
            interval_end=[AT],
            location=[None],
            variable="demand",
            unit="MWh",
            value=[1.0],
        )


def test_exact_duplicates_collapse_in_order() -> None:
    """Of equal rows the first is kept; nulls are equal to nulls."""
    doubled = table(row(2, 3.0), row(0, 1.0), row(1, None), row(0, 1.0), row(1, None))
    assert doubled.take(resolve_repeats(doubled, "refuse").rows)["value"].to_pylist() == [3.0, 1.0, None]


@pytest.mark.parametrize("other", [2.0, None])
def test_neither_of_conflicting_duplicates_stays(other: float | None) -> None:
    """One key with two values is refused, and the description names the key."""
    repeats = resolve_repeats(table(row(0, 1.0), row(0, other)), "refuse")
    assert (list(repeats.rows), repeats.refused, repeats.conflicts.num_rows) == ([], 2, 1)
    assert repeats.describe_first_conflict().startswith("eia/ISNE/demand at 2024-01-01T00:00Z with ")


def test_distinct_keys_stay_apart() -> None:
    """Rows that differ in location, variable or time are different keys."""
    rows = [row(0, 1.0), row(1, 1.0), row(0, 1.0, "net_generation"), row(0, 1.0, location="CISO")]
    assert len(resolve_repeats(table(*rows), "refuse").rows) == 4


def test_the_content_hash_sees_values_but_not_retrieval_or_chunking() -> None:
    """The hash depends on keys, values and their order, not on retrieval times and chunks."""
    whole = table(row(0, 1.0), row(1, None))
    later = from_rows("eia", [row(0, 1.0), row(1, None)], AT + HOUR)
    digest = content_hash(table(row(0, 1.0)))
    digest = content_hash(table(row(1, None)), digest)
    assert content_hash(whole).hexdigest() == content_hash(later).hexdigest() == digest.hexdigest()
    assert content_hash(table(row(0, 1.0), row(1, 0.0))).hexdigest() != digest.hexdigest()
