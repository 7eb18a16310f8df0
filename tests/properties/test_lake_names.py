"""Names and contents of lake files are read as they were written."""

import io
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.lake import EXTENSIONS, file_name
from gridtide.lake.files import encoding
from gridtide.lake.names import Name, parse_name, parse_superseded_name, superseded_name
from gridtide.observations.identity import content_hash
from gridtide.observations.table import SCHEMA, Row, concat, from_rows
from gridtide.periods import Period

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1970, 1, 3), datetime(2200, 1, 1), timezones=ZONES)
MINUTES = MOMENTS.map(lambda moment: moment.replace(second=0, microsecond=0))
PERIODS = st.tuples(MINUTES, MINUTES).filter(lambda ends: ends[0] < ends[1]).map(lambda ends: Period(*ends))
PREFIXES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,30}", fullmatch=True)


@given(PREFIXES, MOMENTS, st.none() | PERIODS, st.sampled_from(list(EXTENSIONS.values())))
def test_a_name_says_what_it_was_made_of(prefix: str, stamp: datetime, period: Period | None, extension: str) -> None:
    """Prefix, stamp in seconds and period are read back in UTC, also if the prefix looks like a stamp."""
    assert parse_name(file_name(prefix, stamp, period, extension)) == Name(
        prefix, stamp.astimezone(UTC).replace(microsecond=0), period, extension
    )


@given(PREFIXES, MOMENTS, st.none() | PERIODS, MOMENTS)
def test_a_mark_says_whose_it_is_and_from_when_on(
    prefix: str, stamp: datetime, period: Period | None, moment: datetime
) -> None:
    """A mark gives the name of the superseded file and the time in microseconds; no file looks like a mark."""
    name = file_name(prefix, stamp, period, "csv")
    mark = superseded_name(name, moment)
    assert parse_superseded_name(mark) == (name, moment)
    assert parse_name(mark) is None
    assert parse_superseded_name(name) is None


@given(PREFIXES, PREFIXES, MOMENTS, st.none() | PERIODS)
def test_no_file_is_of_two_prefixes(prefix: str, rest: str, stamp: datetime, period: Period | None) -> None:
    """A file of `<prefix>_<rest>` never counts as a file of `<prefix>`."""
    found = parse_name(file_name(f"{prefix}_{rest}", stamp, period, "csv"))
    assert found is not None
    assert found.prefix == f"{prefix}_{rest}"


@given(st.text(st.sampled_from("0123456789T_.abcsvj-"), max_size=60))
def test_what_parses_is_a_name(text: str) -> None:
    """A text that can be parsed is exactly the name of its contents."""
    found = parse_name(text)
    assert found is None or file_name(found.prefix, found.stamp, found.period, found.extension) == text


TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))
LABELS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PLACES = LABELS.filter(lambda label: label.strip() != "")
VALUES = st.none() | st.floats(allow_nan=False)
ROWS = st.lists(
    st.tuples(TIMES, TIMES, PLACES, LABELS, LABELS, VALUES, st.none() | TIMES).map(
        lambda fields: Row(*sorted(fields[:2]), *fields[2:])
    ),
    max_size=6,
)


@given(st.sampled_from(["parquet", "csv"]), st.lists(ROWS, max_size=3), LABELS, TIMES)
def test_any_observations_come_back(format: str, pages: list[list[Row]], source: str, asked: datetime) -> None:  # noqa: A002
    """Labels with quotes, commas and line ends, nulls, infinities and minus zero are read back exactly."""
    tables = [from_rows(source, rows, asked) for rows in pages]
    file = io.BytesIO()
    sink = encoding.SINKS[format](file)
    for table in tables:
        sink.write(table)
    sink.close({})
    read, wanted = encoding.decode_table(format, file.getvalue()), concat(tables)
    assert content_hash(read).digest() == content_hash(wanted).digest()
    for name in SCHEMA.names:
        assert read[name].to_pylist() == wanted[name].to_pylist()
        assert read[name].null_count == wanted[name].null_count


@given(st.binary(max_size=2_000))
def test_any_body_comes_back(body: bytes) -> None:
    """Any body is read back unchanged."""
    assert encoding.decompress_body(encoding.compress_body(body)) == body


def test_a_large_body_comes_back_and_its_loss_is_noticed() -> None:
    """Of several parts, compressed piece by piece; wherever it is cut, also between the pieces."""
    size = encoding.COMPRESSED_AT_ONCE
    body = random.Random(0).randbytes(2 * size) + bytes(size)  # noqa: S311  # bytes that cannot be compressed
    compressed = bytes(encoding.compress_body(b"envelope\n", body, b"end"))
    assert encoding.decompress_body(compressed) == b"envelope\n" + body + b"end"
    for length in (5, size, 2 * size, len(compressed) - 1):
        with pytest.raises(ValueError, match=r".+"):
            encoding.decompress_body(compressed[:length])


@given(st.binary(max_size=300), st.sampled_from(["parquet", "csv"]))
def test_no_bytes_break_the_reader(body: bytes, format: str) -> None:  # noqa: A002
    """Bytes that are not a file of observations are a ValueError."""
    with suppress(ValueError):
        assert encoding.decode_table(format, body).schema.equals(SCHEMA)
