"""A safetensors file that can be loaded and memory-mapped."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from gridtide.errors import StorageError
from gridtide.lake import Lake
from gridtide.training import tensors

GIVEN = {
    "values": np.arange(5000, dtype=np.float32).reshape(1, 1000, 5),
    "mask": np.arange(13) % 2 == 0,
    "time": np.arange(3, dtype=np.int64),
    "mean": np.array([[0.1, 0.2]], np.float32),
    "none": np.empty((0, 2), np.int64),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with the tensors `GIVEN`."""
    path = tmp_path / "some.safetensors"
    path.write_bytes(b"".join(tensors.encode_tensors(GIVEN, {"name": "ö"})))
    return path


def test_what_was_written_is_mapped(path: Path) -> None:
    """Names, shapes, types, values and metadata are read back."""
    mapped, metadata = tensors.open_mapped(path)
    assert metadata == {"name": "ö"}
    assert list(mapped) == list(GIVEN)
    for name, tensor in GIVEN.items():
        assert mapped[name].dtype == tensor.dtype
        np.testing.assert_array_equal(mapped[name], tensor)


def test_other_readers_read_it(path: Path) -> None:
    """The reference reader accepts the file, and there are no gaps between tensors."""
    loaded = load_file(path)
    for name, tensor in GIVEN.items():
        np.testing.assert_array_equal(loaded[name], tensor)


def test_every_tensor_starts_on_a_page(path: Path) -> None:
    """Every tensor starts at a multiple of the page size in the file."""
    body = path.read_bytes()
    length = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + length])
    for name in GIVEN:
        assert (8 + length + header[name]["data_offsets"][0]) % tensors.PAGE == 0


def test_a_missing_file_is_named(path: Path) -> None:
    """The error of a missing file has its name and the fix."""
    with pytest.raises(StorageError, match=r"none.*gridtide prepare"):
        tensors.open_mapped(path.with_name("none"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
@example(share=0)
def test_a_cut_file_is_damaged(path: Path, share: float) -> None:
    """A truncated file is damaged, wherever it ends."""
    body = b"".join(tensors.encode_tensors(GIVEN, {"name": "ö"}))
    path.write_bytes(body[: int(share * len(body))])
    with pytest.raises(StorageError, match=r"some\.safetensors: is damaged: .*gridtide prepare"):
        tensors.open_mapped(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 900), byte=st.integers(0, 255))
@example(place=241, byte=ord("."))  # of two offsets one is left
def test_a_changed_header_never_opens_as_something_else_unnoticed(path: Path, place: int, byte: int) -> None:
    """With any changed byte in the header, the file is damaged, or the tensors fit in the file."""
    body = bytearray(b"".join(tensors.encode_tensors(GIVEN, {"name": "ö"})))
    body[place] = byte
    path.write_bytes(body)
    try:
        mapped, _ = tensors.open_mapped(path)
    except StorageError:
        return
    assert sum(tensor.nbytes for tensor in mapped.values()) <= len(body)
    assert all(np.asarray(tensor).sum() is not None for tensor in mapped.values())  # can be read to the end


def test_a_file_that_is_replaced_stays_what_it_was_for_who_has_it_open(tmp_path: Path) -> None:
    """A process that has the old file open keeps reading it; a new process reads the new file."""
    lake = Lake.open(str(tmp_path))
    for number in (1, 2):
        ones = {"values": np.full((1, 1 << 20), number, np.float32)}
        asyncio.run(lake.store.put_parts("set/some.safetensors", tensors.encode_tensors(ones, {})))
        if number == 1:
            old, _ = tensors.open_mapped(tmp_path / "set" / "some.safetensors")
    new, _ = tensors.open_mapped(tmp_path / "set" / "some.safetensors")
    assert (old["values"] == 1).all()
    assert (new["values"] == 2).all()
    assert [file.name for file in (tmp_path / "set").iterdir()] == ["some.safetensors"]
