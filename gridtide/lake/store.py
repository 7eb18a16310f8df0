"""The lake's bytes: files at paths, whatever their content."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import GenericError, InvalidPathError
from obstore.store import LocalStore

from gridtide.clock import measure_offset
from gridtide.errors import StorageError, list_first
from gridtide.lake.guarantees import create_file, probe_store, verify_create_only, verify_once
from gridtide.lake.listings import FolderContent, ListFolder, Object, list_local_folder, list_store, list_store_range
from gridtide.lake.store_errors import translate_errors
from gridtide.threads import run_blocking

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore


logger = logging.getLogger("gridtide.lake")


NAMED = 5
"""The most names in a warning; it says if there are more."""


class ByteStore:
    """The files in one folder, bucket or prefix, as bytes; `client` is the obstore client. `list_folder` lists folders
    with names that obstore refuses (by default as a local folder, or not at all), `list_pages` with a single name in
    each answer. `read_clock` returns the host of the store and the `Date` of an answer of it. `endpoint` is the URL of
    the store, if it is not part of `uri`.

    Paths are relative to `uri`, with `/` between their parts. Every method raises `StorageError` with the reason if the
    store cannot be read or written, or does not keep what `gridtide.lake.guarantees` tests: before the first file is
    created, the store is asked once in each process to create a file twice.
    """

    def __init__(
        self,
        client: ObjectStore,
        uri: str,
        list_folder: ListFolder | None = None,
        read_clock: Callable[[], tuple[str, datetime | None]] | None = None,
        list_pages: ListFolder | None = None,
        endpoint: str | None = None,
    ) -> None:
        self.client = client
        self.uri = uri
        self.name = f"{uri} at {endpoint}" if endpoint else uri
        self.is_local = isinstance(client, LocalStore)
        self._list_folder = partial(list_local_folder, uri) if self.is_local else list_folder
        self._read_clock = read_clock
        self._list_pages = list_pages

    async def measure_clock(self, now: Callable[[], datetime]) -> tuple[str, timedelta] | None:
        """Returns the host of the store, and how far `now`, this machine's clock, is ahead of it; None for a local
        folder, and if the store does not tell its time."""
        if self._read_clock is None:
            return None
        sent_at = now()
        host, moment = await run_blocking(self._read_clock)
        return (host, measure_offset(moment, sent_at, now())) if moment else None

    async def create(self, path: str, body: Any, subject: str) -> bool:
        """Stores `body` at `path`, whole or not at all. Returns False if a file exists there; it is kept.

        Errors are about `subject`.
        """
        with translate_errors(subject, f"{path} cannot be stored in {self.uri}"):
            return await run_blocking(self._create_file, path, body)

    async def put(self, path: str, body: bytes, *, replace: bool = False) -> str | None:
        """Stores `body` at `path`; with `replace` an existing file is replaced, and the tag of the new one is returned.

        Without `replace`, raises `StorageError` also if there is a file at `path`.
        """
        if not replace:
            if not await self.create(path, body, path):
                raise StorageError(path, "is there already", "Remove it, or use another name")
            return None
        with translate_errors(path, f"cannot be stored in {self.uri}"):
            put_result = await run_blocking(obstore.put, self.client, path, body)
        return put_result["e_tag"]

    async def put_parts(self, path: str, parts: Iterable[bytes | memoryview]) -> None:
        """Stores a file of `parts`, in their order, at `path`; an existing file is replaced."""
        with translate_errors(path, f"cannot be stored in {self.uri}"):
            await run_blocking(obstore.put, self.client, path, iter(parts))

    async def move(self, path: str, target: str) -> None:
        """Moves the file at `path` to `target`; an existing file is replaced."""
        with translate_errors(target, f"cannot be stored in {self.uri}"):
            await run_blocking(obstore.rename, self.client, path, target, overwrite=True)

    async def read(self, path: str) -> bytes:
        """Returns the bytes of the file at `path`."""
        return bytes(await self.read_buffer(path))

    async def read_buffer(self, path: str) -> Any:
        """Returns the bytes of the file at `path` as a buffer, without copying them."""
        return await run_blocking(self.read_blocking, path)

    def read_blocking(self, path: str, last: int | None = None) -> Any:
        """As `read_buffer`, for code that runs outside the event loop; only the `last` bytes of the file, if given."""
        with translate_errors(path, f"cannot be read from {self.uri}"):
            if self.is_local:
                return read_local_file(path, self.uri, last)
            options: GetOptions | None = None if last is None else {"range": {"suffix": last}}
            return obstore.get(self.client, path, options=options).bytes()

    async def exists(self, path: str) -> bool:
        """Whether a file exists at `path`."""
        return await self.find_size(path) is not None

    async def find_size(self, path: str) -> int | None:
        """Returns the size of the file at `path` in bytes, None if there is none."""
        with translate_errors(path, f"cannot be looked for in {self.uri}"):
            try:
                size: int = (await run_blocking(obstore.head, self.client, path))["size"]
            except FileNotFoundError:
                return None
        return size

    async def list_folder(self, folder: str) -> tuple[list[str], list[Object]]:
        """Returns the paths of the folders, and the files, that lie directly in `folder`, both sorted by path."""
        listing = await self._list(folder, recursive=False)
        return listing.folders, listing.objects

    async def list_objects(self, folder: str) -> list[Object]:
        """Returns the files in `folder` and its subfolders, sorted by path."""
        return (await self._list(folder, recursive=True)).objects

    async def list_range(self, folder: str, start: str, end: str) -> list[Object]:
        """Returns the files in the subfolders of `folder`, sorted by path, whose path below `folder` is from `start` up
        to, but not including, `end` in the order of their characters; of a local folder by the names of its subfolders
        alone.

        The store is asked for little else, however many other files there are in `folder`.
        """
        if self.is_local:
            folders, _ = await self.list_folder(folder)
            within = [path for path in folders if start <= path.removeprefix(f"{folder}/") < end]
            contents = [await self.list_objects(path) for path in within]
            return sorted(chain.from_iterable(contents), key=lambda file: file.path)
        with translate_errors(folder, f"cannot be listed in {self.uri}"):
            try:
                objects = await run_blocking(list_store_range, self.client, folder, start, end)
            except InvalidPathError:
                objects = await self.list_objects(folder)
        return [file for file in objects if start <= file.path.removeprefix(f"{folder}/") < end]

    async def remove(self, paths: Sequence[str]) -> None:
        """Removes the files at `paths`; missing files are ignored."""
        with translate_errors(self.uri, "files cannot be removed"):
            await run_blocking(_delete_files, self.client, list(paths))

    async def prune(self, folders: Iterable[str]) -> None:
        """Removes the empty folders among `folders`. Only a local store has folders without files.

        Inner folders are removed before outer ones, and each is tried once, so that a writer that recreates a folder
        finds its parent.
        """
        if isinstance(self.client, LocalStore) and self.client.prefix:
            root = Path(self.client.prefix)
            with translate_errors(self.uri, "empty folders cannot be removed"):
                await run_blocking(_remove_empty, [root / folder for folder in sorted(folders, reverse=True)])

    async def remove_abandoned(self, folder: str, before: datetime) -> None:
        """Removes `folder` with its files if all of them were last changed `before` a moment; also the partial files of
        a local store that a killed process leaves, which no listing shows."""
        with translate_errors(folder, f"cannot be removed from {self.uri}"):
            if isinstance(self.client, LocalStore) and self.client.prefix:
                await run_blocking(_remove_older, Path(self.client.prefix) / folder, before)
                return
            files = await self.list_objects(folder)
            if all(file.last_modified < before for file in files):
                await self.remove([file.path for file in files])

    async def probe(self) -> None:
        """Raises `StorageError` unless the store does all that a lake needs, see `gridtide.lake.guarantees`."""
        with translate_errors(self.uri, "cannot be used as a lake"):
            await self._list("", recursive=False)
            folder = await run_blocking(probe_store, self.client, self.name, self._list_pages)
        await self.prune([folder, f"{folder}/inner"])

    async def check_writable(self, folder: str) -> None:
        """Raises `StorageError` unless files can be written to `folder`, which need not exist, and deleted there."""
        with translate_errors(folder, f"cannot be written in {self.uri}"):
            await self._put_and_delete(f"{folder}/{_probe_name()}")
        await self.prune([folder, *map(str, PurePosixPath(folder).parents[:-1])])

    def _create_file(self, path: str, body: Any) -> bool:
        """As `create`, but blocking, and with the errors of the store."""
        top_folder = path.partition("/")[0] if "/" in path else ""
        verify_once(self.name, partial(verify_create_only, self.client, self.name, top_folder))
        return create_file(self.client, path, body)

    async def _list(self, folder: str, *, recursive: bool) -> FolderContent:
        """Lists the content of a folder; names that the store library refuses are ignored, with a warning."""
        with translate_errors(folder, f"cannot be listed in {self.uri}"):
            try:
                return await run_blocking(list_store, self.client, folder, recursive)
            except (InvalidPathError, GenericError) as error:
                refused_name = isinstance(error, InvalidPathError) or self.is_local  # also a link that leads to itself
                if self._list_folder is None or not refused_name:
                    raise
            listing = await run_blocking(self._list_folder, folder, recursive)
        names = list_first(map(ascii, listing.refusals), NAMED)
        logger.warning(
            "%s/%s: passed over, no names that can be read: %s; rename or move them", self.uri, folder, names
        )
        return listing

    async def _put_and_delete(self, path: str) -> None:
        await run_blocking(obstore.put, self.client, path, b"", mode="create")
        await run_blocking(obstore.delete, self.client, path)


def read_local_file(path: str, folder: str, last: int | None) -> bytes:
    """Returns the bytes of the file at `path` in the local `folder`; only the `last` bytes, if given.

    The obstore client reads each file in a thread of its own, which takes up to ten times as long. A named pipe is
    empty, as waiting for its writer would stop every reader of the lake.
    """
    # building a `Path` takes as long as reading
    with open(f"{folder}/{path}", "rb", buffering=0, opener=_open_without_waiting) as file:
        if not file.seekable():
            return b""
        if last is not None:
            file.seek(-min(last, file.seek(0, os.SEEK_END)), os.SEEK_END)
        return file.read()


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _probe_name() -> str:
    """Returns a name that no file has; readers of a lake ignore hidden files."""
    return f".probe-{os.urandom(8).hex()}"


def _delete_files(client: ObjectStore, paths: list[str]) -> None:
    try:
        obstore.delete(client, paths)
    except FileNotFoundError:  # of a local store, which leaves the files after the missing one
        for path in paths:
            with suppress(FileNotFoundError):
                obstore.delete(client, path)


def _remove_older(folder: Path, before: datetime) -> None:
    with suppress(FileNotFoundError):  # its writer goes on, or another process removes it
        changes = [path.stat().st_mtime for path in (folder, *folder.rglob("*"))]
        if max(changes) < before.timestamp():
            shutil.rmtree(folder)


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise
