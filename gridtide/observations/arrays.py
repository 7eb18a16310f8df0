"""Converts between Arrow and NumPy arrays, without pandas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def has_blanks(labels: pa.ChunkedArray) -> bool:
    """Whether any dictionary of `labels` contains a blank text."""
    return any(not word.strip() for chunk in labels.chunks for word in chunk.dictionary.to_pylist())


def dictionary_array(codes: np.ndarray, labels: Sequence[str]) -> pa.DictionaryArray:
    """Returns an Arrow dictionary array of `labels` at their `codes` (rows,); equal labels share one entry of the
    dictionary."""
    numbers: dict[str, int] = {}
    merged = np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.int32)
    dictionary = pa.lib.StringBuilder()
    dictionary.append_values(list(numbers))
    words = dictionary.finish()
    if len(words) == 1:
        indices = np.zeros(len(codes), np.int32)
    else:
        indices = codes if len(words) == len(labels) else merged[codes]
    return pa.DictionaryArray.from_arrays(from_numpy(indices, pa.int32()), words)


def from_numpy(data: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Converts `data` (rows,) to Arrow numbers, or to times from microseconds since 1970; a NaN becomes a null.

    It is built from buffers: `pa.array` and `to_numpy` import pandas, which costs a cold process a quarter of its time
    and 40 MB.
    """
    validity = None
    if data.dtype.kind == "f":
        is_number = ~np.isnan(data)
        validity = None if is_number.all() else pa.py_buffer(np.packbits(is_number, bitorder="little"))
    dense = np.ascontiguousarray(data, np.dtype(f"{data.dtype.kind}{kind.bit_width // 8}"))
    return pa.Array.from_buffers(kind, len(data), [validity, pa.py_buffer(dense)])


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """Returns `column` in one chunk, copied only if it has several."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def to_numpy(chunk: pa.Array, dtype: str) -> np.ndarray:
    """Returns the numbers of `chunk` (rows,) as `dtype`, of the same width; the value at a null is undefined."""
    all_values = np.frombuffer(chunk.buffers()[1] or b"", dtype)
    return all_values[chunk.offset : chunk.offset + len(chunk)]


def not_null(chunk: pa.Array) -> np.ndarray:
    """Returns which rows of `chunk` are not null, shape (rows,), bool."""
    validity = chunk.buffers()[0]
    if validity is None:
        return np.ones(len(chunk), bool)
    is_valid = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")
    return is_valid[chunk.offset : chunk.offset + len(chunk)].astype(bool)


def repeat_number(number: int, row_count: int, dtype: str = "i8") -> np.ndarray:
    """Returns `number` repeated `row_count` times, shape (rows,), in the memory of a single number."""
    return np.ndarray((row_count,), dtype, np.array(number, dtype), strides=(0,))
