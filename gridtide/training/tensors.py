"""Tensors in one safetensors file, aligned to pages so that it can be loaded or memory-mapped.

Format: https://github.com/huggingface/safetensors#format. The header is padded with blanks, and tensors named
`_padding.N` fill each part up to a whole page, because the format allows no holes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gridtide.errors import StorageError

Array = npt.NDArray[np.generic]


PAGE = 16384
"""The size of a page in bytes: one page of Apple silicon, four of x86."""


PADDING = "_padding."


_CODES = {"float32": "F32", "float64": "F64", "bool": "BOOL", "uint8": "U8", "int32": "I32", "int64": "I64"}


_TYPES = {code: name for name, code in _CODES.items()}


@dataclass(frozen=True)
class LazyTensor:
    """A tensor of `shape` and `dtype` whose items along its first axis are made when they are needed, by `make_item`
    with their number, because all of them together would take gigabytes of memory."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    make_item: Callable[[int], npt.NDArray[Any]]

    def __getitem__(self, number: int) -> npt.NDArray[Any]:
        return self.make_item(number)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        whole = np.empty(self.shape, self.dtype)
        for number, item in enumerate(whole):
            item[...] = self[number]
        return whole if dtype is None else whole.astype(dtype, copy=False)


AnyTensor = npt.NDArray[Any] | LazyTensor
"""A tensor in memory, or one that is made in parts."""


@dataclass(frozen=True)
class EncodedFile:
    """The bytes of a file in parts. Each iteration gives all of them; parts of a `LazyTensor` are made for it."""

    parts: Sequence[bytes | memoryview | LazyTensor] = field(repr=False)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        for part in self.parts:
            if isinstance(part, LazyTensor):
                yield from (_view_bytes(part[number]) for number in range(part.shape[0]))
            else:
                yield part

    def measure(self) -> int:
        """Returns the number of bytes."""
        return sum(_count_bytes(part) if isinstance(part, LazyTensor) else len(part) for part in self.parts)


def _count_bytes(tensor: AnyTensor) -> int:
    return math.prod(tensor.shape) * tensor.dtype.itemsize


def _view_bytes(array: Array) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def encode_tensors(tensors: Mapping[str, AnyTensor], metadata: Mapping[str, str]) -> EncodedFile:
    """Returns the file in parts; the same bytes for the same `tensors` and `metadata` in the same order.

    Parts of contiguous tensors are views, not copies, because together they can be gigabytes.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    encoded_parts: list[bytes | memoryview | LazyTensor] = []
    offset = 0
    for number, (name, tensor) in enumerate(tensors.items()):
        size = _count_bytes(tensor)
        padding = bytes(-size % PAGE)
        header[name] = _header_field(_CODES[tensor.dtype.name], tensor.shape, offset, size)
        offset += size
        encoded_parts += [tensor if isinstance(tensor, LazyTensor) else _view_bytes(tensor), padding]
        if padding:
            header[f"{PADDING}{number}"] = _header_field("U8", (len(padding),), offset, len(padding))
            offset += len(padding)
    header_bytes = json.dumps(header, separators=(",", ":")).encode()
    header_bytes += b" " * (-(8 + len(header_bytes)) % PAGE)
    return EncodedFile([len(header_bytes).to_bytes(8, "little"), header_bytes, *encoded_parts])


def _header_field(type_code: str, shape: tuple[int, ...], offset: int, size: int) -> dict[str, object]:
    return {"dtype": type_code, "shape": list(shape), "data_offsets": [offset, offset + size]}


def decode_tensors(body: bytes) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Returns the tensors, of any shapes, and the metadata of a file that `encode_tensors` made; the tensors are
    read-only views of `body`."""
    tensors_begin = 8 + int.from_bytes(body[:8], "little")
    header = json.loads(body[8:tensors_begin])
    metadata = header.pop("__metadata__", None) or {}
    tensors = {}
    for name, descriptor in header.items():
        if not name.startswith(PADDING):
            dtype, shape = np.dtype(_TYPES[descriptor["dtype"]]), descriptor["shape"]
            tensors[name] = np.frombuffer(
                body, dtype, math.prod(shape), tensors_begin + descriptor["data_offsets"][0]
            ).reshape(shape)
    return tensors, metadata


def open_mapped(path: str | Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Opens the tensors of the file at `path` as read-only memory maps, and returns them with its metadata.

    Raises `StorageError` if the file is missing, truncated or not a safetensors file.
    """
    path = Path(path)
    try:
        return _open_local(path)
    except OSError as error:
        raise StorageError(str(path), f"cannot be read: {error.strerror}", "Run `gridtide prepare` first") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        reason = error if isinstance(error, ValueError) else "its header is not that of a safetensors file"
        raise StorageError(str(path), f"is damaged: {reason}", "Run `gridtide prepare` again") from error


def _open_local(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    file_size = path.stat().st_size
    with path.open("rb") as file:
        header_length = int.from_bytes(file.read(8), "little")
        if 8 + header_length > file_size:
            raise ValueError(f"it has {file_size} bytes, its header alone should have {8 + header_length}")
        header = json.loads(file.read(header_length))
    metadata = header.pop("__metadata__", None) or {}
    expected_size = 8 + header_length + max((field["data_offsets"][1] for field in header.values()), default=0)
    if expected_size != file_size:
        raise ValueError(f"it has {file_size} bytes, it should have {expected_size}")
    fields = {name: field for name, field in header.items() if not name.startswith(PADDING)}
    return {name: _map_tensor(path, 8 + header_length, field) for name, field in fields.items()}, metadata


def _map_tensor(path: Path, tensors_begin: int, descriptor: Mapping[str, Any]) -> Array:
    shape, dtype = tuple(descriptor["shape"]), np.dtype(_TYPES[descriptor["dtype"]])
    first_byte, end_byte = descriptor["data_offsets"]
    if end_byte - first_byte != dtype.itemsize * math.prod(shape):
        raise ValueError(f"a tensor of {dtype} {shape} has {end_byte - first_byte} bytes")
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.asarray(
        np.memmap(path, dtype, "r", offset=tensors_begin + first_byte, shape=shape)
    )  # plain arrays are indexed faster than memory maps
