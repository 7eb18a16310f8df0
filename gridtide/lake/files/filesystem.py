"""The lake as a file system of fsspec, for libraries that read Parquet by themselves; it cannot be written."""

from __future__ import annotations

import io
from typing import Any

import fsspec
import obstore
from obstore.exceptions import PreconditionError

from gridtide.errors import StorageError
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
        return io.BufferedReader(_RangeReader(self._store, self._strip_protocol(path)), READ_BYTES)


class _RangeReader(io.RawIOBase):
    """The file at `name` in `store` as it was when it was opened: raises `StorageError` if it has been replaced since,
    as ranges of two versions of a month are neither."""

    def __init__(self, store: ByteStore, name: str) -> None:
        super().__init__()
        self._store, self._name, self._offset = store, name, 0
        with self._translate_errors():
            description = obstore.head(store.client, name)
        self._size, self._version = description["size"], description["e_tag"]

    def _translate_errors(self) -> Any:
        return translate_errors(self._name, f"cannot be read in {self._store.uri}")

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def seekable(self) -> bool:
        """Whether `seek` can be used: always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Moves to `offset` from the start, the current position or the end, and returns the new position."""
        self._offset = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._size}[whence]
        return self._offset

    def tell(self) -> int:
        """Returns the position."""
        return self._offset

    def readinto(self, buffer: Any, /) -> int:
        """Requests as many bytes as `buffer` takes, or as there are, and returns their number."""
        end = min(self._offset + len(buffer), self._size)
        if end <= self._offset:
            return 0
        options: Any = {"range": (self._offset, end), "if_match": self._version}
        with self._translate_errors():
            try:
                part = obstore.get(self._store.client, self._name, options=options).bytes()
            except PreconditionError:
                raise StorageError(self._name, "was replaced while it was read", "Connect and ask again") from None
        buffer[: len(part)] = bytes(part)
        self._offset += len(part)
        return len(part)
