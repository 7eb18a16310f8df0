"""Tensors in one safetensors file whose parts start on pages, so that it loads and maps alike.

Format: https://github.com/huggingface/safetensors#format. The header is padded with blanks, and tensors
named `_padding.N` fill each part up to a whole page, because the format allows no holes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gridtide.errors import StorageError

Array = npt.NDArray[np.generic]


PAGE = 16384
"""Bytes; a page of Apple silicon, four of x86."""


PADDING = "_padding."


_CODES = {"float32": "F32", "float64": "F64", "bool": "BOOL", "uint8": "U8", "int32": "I32", "int64": "I64"}


_TYPES = {code: name for name, code in _CODES.items()}


def encode_tensors(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> list[bytes | memoryview]:
    """The file's bytes, part after part; the same for the same `tensors` and `metadata` in the same order.

    The parts of contiguous tensors are views of them: together they can be gigabytes.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    parts: list[bytes | memoryview] = []
    offset = 0
    for number, (name, tensor) in enumerate(tensors.items()):
        data = np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data
        padding = bytes(-len(data) % PAGE)
        header[name] = _header_field(_CODES[tensor.dtype.name], tensor.shape, offset, len(data))
        offset += len(data)
        parts += [data, padding]
        if padding:
            header[f"{PADDING}{number}"] = _header_field("U8", (len(padding),), offset, len(padding))
            offset += len(padding)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % PAGE)
    return [len(text).to_bytes(8, "little"), text, *parts]


def _header_field(code: str, shape: tuple[int, ...], offset: int, size: int) -> dict[str, object]:
    return {"dtype": code, "shape": list(shape), "data_offsets": [offset, offset + size]}


def decode_tensors(body: bytes) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """The tensors, of any shapes, and the metadata whose parts `encode_tensors` made, as one `body`; they are read-only
    views of it."""
    begin = 8 + int.from_bytes(body[:8], "little")
    header = json.loads(body[8:begin])
    metadata = header.pop("__metadata__", None) or {}
    tensors = {}
    for name, field in header.items():
        if not name.startswith(PADDING):
            dtype, shape = np.dtype(_TYPES[field["dtype"]]), field["shape"]
            tensors[name] = np.frombuffer(body, dtype, math.prod(shape), begin + field["data_offsets"][0]).reshape(
                shape
            )
    return tensors, metadata


def open_mapped(path: str | Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The tensors of the file at `path` as read-only memory maps, and its metadata.

    Raises `StorageError` where there is no such file, or it is cut or no such file at all.
    """
    path = Path(path)
    try:
        return _open_local(path)
    except OSError as error:
        raise StorageError(str(path), f"cannot be read: {error.strerror}", "Run `gridtide prepare` first") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        says = error if isinstance(error, ValueError) else "its header is not that of a safetensors file"
        raise StorageError(str(path), f"is damaged: {says}", "Run `gridtide prepare` again") from error


def _open_local(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if 8 + length > size:
            raise ValueError(f"it has {size} bytes, its header alone should have {8 + length}")
        header = json.loads(file.read(length))
    metadata = header.pop("__metadata__", None) or {}
    end = 8 + length + max((field["data_offsets"][1] for field in header.values()), default=0)
    if end != size:
        raise ValueError(f"it has {size} bytes, it should have {end}")
    fields = {name: field for name, field in header.items() if not name.startswith(PADDING)}
    return {name: _map_tensor(path, 8 + length, field) for name, field in fields.items()}, metadata


def _map_tensor(path: Path, begin: int, field: Mapping[str, Any]) -> Array:
    shape, dtype = tuple(field["shape"]), np.dtype(_TYPES[field["dtype"]])
    first, last = field["data_offsets"]
    if last - first != dtype.itemsize * math.prod(shape):
        raise ValueError(f"a tensor of {dtype} {shape} has {last - first} bytes")
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.asarray(np.memmap(path, dtype, "r", offset=begin + first, shape=shape))  # plain ones are indexed faster
