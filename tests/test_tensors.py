"""One safetensors file that loads and maps alike."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from gridtide import tensors
from gridtide.errors import StorageError

GIVEN = {
    "values": np.arange(5000, dtype=np.float32).reshape(1, 1000, 5),
    "mask": np.arange(13) % 2 == 0,
    "time": np.arange(3, dtype=np.int64),
    "mean": np.array([[0.1, 0.2]], np.float32),
    "none": np.empty((0, 2), np.int64),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file with what is `GIVEN`."""
    path = tmp_path / "some.safetensors"
    path.write_bytes(tensors.encode(GIVEN, {"name": "ö"}))
    return path


def test_what_was_written_is_mapped(path: Path) -> None:
    """Names, shapes, types, values and metadata come back."""
    mapped, metadata = tensors.open_mapped(path)
    assert metadata == {"name": "ö"}
    assert list(mapped) == list(GIVEN)
    for name, tensor in GIVEN.items():
        assert mapped[name].dtype == tensor.dtype
        np.testing.assert_array_equal(mapped[name], tensor)


def test_other_readers_read_it(path: Path) -> None:
    """The reference reader checks the format, and that there are no holes."""
    loaded = load_file(path)
    for name, tensor in GIVEN.items():
        np.testing.assert_array_equal(loaded[name], tensor)


def test_every_tensor_starts_on_a_page(path: Path) -> None:
    """Counted from the beginning of the file."""
    body = path.read_bytes()
    length = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + length])
    for name in GIVEN:
        assert (8 + length + header[name]["data_offsets"][0]) % tensors.PAGE == 0


def test_a_missing_or_cut_file_is_named(path: Path) -> None:
    """The error says which file, and what to do."""
    with pytest.raises(StorageError, match=r"none.*gridtide prepare"):
        tensors.open_mapped(path.with_name("none"))
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(StorageError, match="is damaged"):
        tensors.open_mapped(path)
