"""The lake as a file system of fsspec, for libraries that read Parquet by themselves; it cannot be written."""

from __future__ import annotations

from typing import Any

import fsspec
import obstore

from gridtide.lake.store import ByteStore
from gridtide.lake.store_errors import translate_errors

PROTOCOL = "gridtide"
"""The scheme of the paths: `gridtide://processed/…`."""

READ_BYTES = 4 << 20
"""The bytes that a reader requests at a time."""


class LakeFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]  # it has no types
    """The files of `store` by their paths in the lake; one that is read is requested in ranges."""

    protocol = PROTOCOL
    cachable = False

    def __init__(self, store: ByteStore) -> None:
        super().__init__()
        self._store = store

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Returns the name and the size of the file at `path`. Raises `StorageError`."""
        name = self._strip_protocol(path)
        with translate_errors(name, f"cannot be read in {self._store.uri}"):
            description = obstore.head(self._store.client, name)
        return {"name": name, "size": description["size"], "type": "file", "mtime": description["last_modified"]}

    def glob(self, path: str, maxdepth: int | None = None, **options: Any) -> list[str]:
        """Returns `path` itself: paths here are never patterns."""
        return [self._strip_protocol(path)]

    def modified(self, path: str) -> Any:
        """Returns when the file at `path` was written."""
        return self.info(path)["mtime"]

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        name = self._strip_protocol(path)
        with translate_errors(name, f"cannot be read in {self._store.uri}"):
            return obstore.open_reader(self._store.client, name, buffer_size=READ_BYTES)
