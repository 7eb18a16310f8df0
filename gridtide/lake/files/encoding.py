"""Encodes observations as Parquet or CSV, and decodes them to the same bits.

Identical tables and metadata give identical bytes. The parts of Arrow that only CSV needs are imported where they are
used, because they take a cold process 30 ms.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from gridtide.lake.files.checksums import ChecksummingSink, open_checked, verify_row_groups
from gridtide.observations.constant_columns import ConstantColumns, ConstantsFinder
from gridtide.observations.table import LABEL, SCHEMA

LABEL_COLUMNS = [field.name for field in SCHEMA if pa.types.is_dictionary(field.type)]


TIME_COLUMNS = [field.name for field in SCHEMA if pa.types.is_timestamp(field.type)]


ENCODINGS = {
    "interval_start": "DELTA_BINARY_PACKED",
    "interval_end": "DELTA_BINARY_PACKED",
    "value": "BYTE_STREAM_SPLIT",  # a third smaller than plain, and faster, as floats share their high bytes
}
"""Labels are dictionaries; the other two times come in constant runs, which compression folds."""


CODEC = "lz4"
"""Reads and writes these small files in half the time of zstd; zstd would make them a fifth smaller, and is used for
compacted months, which stay."""


_LONGEST = len("2024-01-01T00:00:00.000000")


class Sink(Protocol):
    """Writes observations to an open file, table by table."""

    def write(self, table: pa.Table) -> None:
        """Appends `table`."""
        ...

    def close(self, footer: Mapping[str, str]) -> None:
        """Completes the file, with `footer` if the format has a place for it."""
        ...


class ParquetSink:
    """Writes one row group per table, with checksums of pages and of row groups, so that damage and changes are
    noticed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._constants = ConstantsFinder()
        self._summed = ChecksummingSink(file)
        self._writer = pq.ParquetWriter(
            self._summed.sink,
            SCHEMA,
            compression=CODEC,
            use_dictionary=LABEL_COLUMNS,
            column_encoding=ENCODINGS,
            write_statistics=["interval_start"],
            write_page_checksum=True,
        )

    def write(self, table: pa.Table) -> None:
        """Appends `table` as one row group."""
        self._constants.add(table)
        self._writer.write_table(table)
        self._summed.end_group()

    def close(self, footer: Mapping[str, str]) -> None:
        """Writes the Parquet footer."""
        self._writer.add_key_value_metadata({**footer, **self._constants.as_footer(), **self._summed.as_footer()})
        self._writer.close()


class CsvSink:
    """Writes a header and one line per row: ISO 8601 times in UTC, an empty field for a null."""

    def __init__(self, file: IO[bytes]) -> None:
        from pyarrow import csv

        self._schema = pa.schema([field.with_type(LABEL) if field.name in TIME_COLUMNS else field for field in SCHEMA])
        self._writer = csv.CSVWriter(file, self._schema)

    def write(self, table: pa.Table) -> None:
        """Appends `table`."""
        columns = [_format_times(table[name]) if name in TIME_COLUMNS else table[name] for name in self._schema.names]
        self._writer.write(pa.Table.from_arrays(columns, schema=self._schema))

    def close(self, footer: Mapping[str, str]) -> None:
        """Closes the file; a CSV has no footer, its metadata goes into a sidecar."""
        self._writer.close()


SINKS: Mapping[str, Callable[[IO[bytes]], Sink]] = {"parquet": ParquetSink, "csv": CsvSink}


def decode_table(extension: str, body: Any) -> pa.Table:
    """Decodes the observations in `body` (bytes or another buffer); raises `ValueError` if it is damaged.

    Large Parquet files keep one chunk per row group.
    """
    if extension != "csv":
        return decode_rows(open_sound(body))
    with _translate_damage():
        return _check_columns(_read_csv(pa.py_buffer(body)), SCHEMA)


def open_sound(body: Any) -> pq.ParquetFile:
    """Opens the Parquet file in `body` and verifies its row groups; raises `ValueError` if they differ from those
    written."""
    buffer = pa.py_buffer(body)
    with _translate_damage():
        file = open_checked(buffer)
        verify_row_groups(file.metadata.metadata or {}, buffer, range(file.metadata.num_row_groups))
    return file


def decode_rows(file: pq.ParquetFile, *, only_varying: bool = False) -> pa.Table:
    """Decodes the observations in `file`; raises `ValueError` if it is damaged.

    With `only_varying` the table lacks its constant columns, as `ConstantColumns.attach` returns it.
    """
    pairs = (file.metadata.metadata or {}) if only_varying else {}
    with _translate_damage():
        constants = ConstantColumns.read(pairs)
        schema = constants.drop_from(SCHEMA)
        table = file.read(None if schema is SCHEMA else schema.names, use_threads=False)
    return constants.attach(_check_columns(table, schema))


def decode_footer(footer_bytes: Any) -> pq.FileMetaData:
    """Decodes the footer of a Parquet file from its last `footer_size` bytes or more; raises `ValueError` if it has
    none."""
    with _translate_damage():
        return pq.ParquetFile(pa.py_buffer(footer_bytes)).metadata  # takes half the time of `read_metadata`


def footer_size(footer_bytes: Any) -> int:
    """Returns the length of the footer of a Parquet file in bytes, from the last 8 bytes of the file or more."""
    return int.from_bytes(memoryview(footer_bytes)[-8:-4], "little") + 8


COMPRESSED_AT_ONCE = 1 << 22
"""The bytes of a body that are compressed at a time; at once, compression needs as much memory as the body again."""


class _KeptBytes(io.BytesIO):
    """Bytes that stay readable after the stream that writes to them has closed them."""

    def close(self) -> None:
        """Does nothing."""


def compress_body(*parts: bytes | IO[bytes]) -> Any:
    """Compresses `parts`, bytes or files at their start, one after another, into one zstd frame."""
    if all(isinstance(part, bytes) for part in parts) and sum(map(len, parts)) <= COMPRESSED_AT_ONCE:  # type: ignore[arg-type]
        return pa.compress(b"".join(parts), codec="zstd", asbytes=True)  # type: ignore[arg-type]
    compressed = _KeptBytes()
    with pa.CompressedOutputStream(pa.PythonFile(compressed, mode="w"), "zstd") as stream:
        for part in parts:
            with io.BytesIO(part) if isinstance(part, bytes) else part as content:
                while piece := content.read(COMPRESSED_AT_ONCE):
                    stream.write(piece)
    return compressed.getbuffer()


def decompress_body(body: Any) -> bytes:
    """Decompresses the output of `compress_body`; raises `ValueError` if it is damaged."""
    with _translate_damage(), pa.CompressedInputStream(pa.BufferReader(pa.py_buffer(body)), "zstd") as stream:
        decompressed: bytes = stream.read()
    return decompressed


@contextmanager
def _translate_damage() -> Iterator[None]:
    """Turns errors of Arrow into `ValueError`."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error)) from error


def _check_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Returns `table`; raises `ValueError` if its columns are not those of `schema`."""
    if not table.schema.equals(schema):
        raise ValueError(f"its columns are not those of observations: {', '.join(table.schema.names)}")
    return table


def _read_csv(buffer: pa.Buffer) -> pa.Table:
    from pyarrow import csv

    table = csv.read_csv(
        buffer,
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=SCHEMA, null_values=[""], strings_can_be_null=False, include_columns=SCHEMA.names
        ),
    )
    return table.cast(SCHEMA)  # sets which columns may hold nulls; raises if another column holds one


def _format_times(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Formats UTC times, to the second if none has a fraction: `2024-01-01T00:00:00Z`."""
    import pyarrow.compute as pc

    encoded = column.combine_chunks().dictionary_encode()  # few times differ, and formatting is slow
    times = encoded.dictionary.cast(pa.timestamp("us"))  # without a time zone, which would take a hundred times as long
    with suppress(pa.ArrowInvalid):  # raised if there are fractions, which would be lost
        times = times.cast(pa.timestamp("s"))
    formatted = pc.binary_replace_slice(times.cast(pa.string()), start=10, stop=11, replacement="T")
    formatted = pc.binary_replace_slice(formatted, start=_LONGEST, stop=_LONGEST, replacement="Z")
    return pa.DictionaryArray.from_arrays(encoded.indices, formatted)
