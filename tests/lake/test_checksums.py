"""Checksums of row groups: written to the footer, and checked when a row group is read."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gridtide.lake.files.checksums import CHECKSUMS_KEY, ChecksummingSink, open_checked, verify_row_groups


def written(*groups: list[int]) -> tuple[bytes, dict[bytes, bytes]]:
    """A Parquet file of a row group each, and its metadata."""
    sink = io.BytesIO()
    summed = ChecksummingSink(sink)
    schema = pa.schema([("number", pa.int64())])
    with pq.ParquetWriter(summed.sink, schema, compression="none", use_dictionary=False) as writer:
        for group in groups:
            writer.write_table(pa.table({"number": group}, schema))
            summed.end_group()
        writer.add_key_value_metadata(summed.as_footer())
    body = sink.getvalue()
    return body, pq.read_metadata(pa.BufferReader(body)).metadata


def test_each_row_group_is_held_to_its_own() -> None:
    """A changed row group is refused when it is read, and the others can still be read."""
    body, pairs = written([1111], [2222], [3333])
    verify_row_groups(pairs, body, range(3))
    at = body.index((2222).to_bytes(8, "little"))
    changed = body[:at] + (4444).to_bytes(8, "little") + body[at + 8 :]
    verify_row_groups(pairs, changed, [0, 2])
    for asked in ([1], range(3)):
        with pytest.raises(ValueError, match="are not those it was written with"):
            verify_row_groups(pairs, changed, asked)


def test_all_bytes_before_the_footer_are_summed() -> None:
    """The checksums cover all bytes up to the footer, with every column of the last row group."""
    body, pairs = written([1], [2])
    size = pq.read_metadata(pa.BufferReader(body)).serialized_size + 8
    assert pairs[CHECKSUMS_KEY.encode()].startswith(b"[[")
    for at in range(len(body) - size):
        changed = bytearray(body)
        changed[at] ^= 1
        with pytest.raises(ValueError, match="are not those it was written with"):
            verify_row_groups(pairs, bytes(changed), range(2))


def test_a_footer_that_says_nothing_is_believed() -> None:
    """Files of other tools, without checksums, can be read; a row group that the footer does not list is refused."""
    body, pairs = written([1])
    verify_row_groups({}, body, range(5))
    with pytest.raises(ValueError, match="are not those it was written with"):
        verify_row_groups(pairs, body, range(2))
    with pytest.raises(ValueError, match="Expected `array`"):
        verify_row_groups({CHECKSUMS_KEY.encode(): b"3"}, body, [0])


def test_pages_are_held_to_theirs_where_a_footer_tells_none() -> None:
    """A flipped bit in a file without checksums of row groups is detected by the checksums of its pages."""
    sink, table = io.BytesIO(), pa.table({"number": [1111]})
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(table, sink, write_page_checksum=True, **plain)
    body = bytearray(sink.getvalue())
    assert open_checked(pa.py_buffer(bytes(body))).read()["number"].to_pylist() == [1111]
    body[body.index((1111).to_bytes(8, "little"))] ^= 1
    with pytest.raises(OSError, match="CRC"):
        open_checked(pa.py_buffer(bytes(body))).read()
