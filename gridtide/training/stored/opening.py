"""Opens a training set by the name that people give it: in a lake, a folder, or a URI."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from gridtide.errors import StorageError
from gridtide.threads import run_blocking
from gridtide.training import tensors
from gridtide.training.stored.choices import SetView

if TYPE_CHECKING:
    from gridtide.lake import Lake

SEQUENCES_FILE = "sequences.safetensors"


async def open_set(name: str, lake: Lake) -> SetView:
    """Returns the training set `name`: its folder or file on this machine, or its name or path in `lake`.

    Raises `StorageError` if there is none, or if it is damaged.
    """
    local = Path(name)
    for path in (local, local / SEQUENCES_FILE):
        if await run_blocking(path.is_file) and path.name == SEQUENCES_FILE:
            return await run_blocking(read_set, path)
    folder = name.removesuffix(SEQUENCES_FILE).rstrip("/")
    candidates = [f"{folder}/{SEQUENCES_FILE}".lstrip("/"), f"features/{folder}/{SEQUENCES_FILE}"]
    for candidate in candidates:
        if await lake.store.exists(candidate):
            with TemporaryDirectory() as temporary:
                copy = Path(temporary, SEQUENCES_FILE)
                await run_blocking(copy.write_bytes, await lake.store.read(candidate))
                return await run_blocking(read_set, copy)
    raise StorageError(
        name, f"is no training set here, and not in {lake.uri}", "Name the folder of a set, or a set in features/"
    )


async def open_stored_set(folder: str, lake: Lake) -> SetView:
    """Returns the training set in `folder` of `lake`; a local file is mapped where it is.

    Raises `StorageError` if there is none, or if it is damaged.
    """
    if lake.store.is_local:
        return await run_blocking(read_set, Path(lake.uri.removeprefix("file://"), folder, SEQUENCES_FILE))
    return await open_set(folder, lake)


def read_set(path: Path) -> SetView:
    """Returns the training set in the file at `path`, its tensors as memory maps.

    Raises `StorageError` if it is none.
    """
    mapped, metadata = tensors.open_mapped(path)
    if "manifest" not in metadata:
        raise StorageError(str(path), "is not a training set", "Name a file that `gridtide prepare` wrote")
    return SetView(json.loads(metadata["manifest"]), mapped)
