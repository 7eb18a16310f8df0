"""The lake as a place to put files and find them again."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore

from gridtide.entries.lake_address import resolve_lake_address
from gridtide.errors import ConfigurationError, DamagedError, StorageError
from gridtide.lake.connect import connect_store
from gridtide.lake.files.metadata import Metadata, Provenance, verify_sidecar
from gridtide.lake.names import (
    EXTENSIONS,
    SIDECAR,
    File,
    file_name,
    parse_name,
    parse_superseded_name,
    superseded_name,
)
from gridtide.lake.removed import decode_removed, is_removed_name
from gridtide.lake.store_errors import translate_errors
from gridtide.threads import run_blocking, run_computing, run_decoding

if TYPE_CHECKING:
    import boto3
    import pyarrow as pa
    import pyarrow.parquet as pq
    from obstore import GetOptions
    from obstore.store import ObjectStore

    from gridtide.lake.files.draft import Draft

logger = logging.getLogger("gridtide.lake")

PROCESSED = "processed"
"""The folder of what is compacted."""

S = TypeVar("S")
T = TypeVar("T")

FOOTER_BYTES = 1 << 14
"""Bytes read from a file's end at first; the footer of a file of few row groups is smaller."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is in the lake. `created` is False where the same content was there already, and
    `stored_at` then says since when; `path` is relative to the lake."""

    path: str
    rows: int
    bytes: int
    content_hash: str
    stored_at: datetime
    created: bool


@dataclass(frozen=True, slots=True)
class Object:
    """What a store says of the file at `path` without opening it; `e_tag` changes when its content does."""

    path: str
    size: int
    last_modified: datetime
    e_tag: str | None


class Lake:
    """One folder, bucket or prefix. Paths are relative to it, with `/` between their parts.

    Every method raises `StorageError` that says why the lake could not be read or written, `DamagedError` where
    a file is not what was stored.
    """

    def __init__(self, store: ObjectStore, uri: str) -> None:
        self.store = store
        self.uri = uri
        self._near = isinstance(store, LocalStore)

    def __repr__(self) -> str:
        return f"Lake({self.uri!r})"

    @classmethod
    def open(
        cls, uri: str, credentials: boto3.Session | None = None, endpoint_url: str | None = None, *, make: bool = True
    ) -> Lake:
        """The lake at `uri`: a folder, `file://`, `s3://bucket/prefix`, `gs://`, `az://` or `memory://`.

        A folder that is not there is made; without `make`, for those that only read, it is an empty lake.

        For S3, `credentials` is a boto3 session (default: the AWS chain, with AWS_PROFILE and
        AWS_REGION), asked anew before what it gave expires; `endpoint_url` overrides
        AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL and the profile's. Nothing is asked of S3 yet. Raises
        `ConfigurationError` for an address that is none, `CredentialsError` where there are none.
        """
        try:
            uri = resolve_lake_address(uri)
        except ValueError as error:
            raise ConfigurationError("the lake", f"its address {error}") from None
        return cls(connect_store(uri, credentials, endpoint_url, make=make), uri)

    async def put_draft(self, draft: Draft, folder: str, prefix: str, stamp: datetime) -> Stored:
        """Put the observations of `draft` as `<folder>/<prefix>_<stamp>…`, see the package's contract."""
        body, metadata = await run_computing(draft.finish)
        return await self._store(body, metadata, folder, prefix, stamp, EXTENSIONS[draft.format])

    async def put_body(
        self, body: bytes, folder: str, prefix: str, stamp: datetime, provenance: Provenance, extension: str
    ) -> Stored:
        """Put `body` as it is, with a sidecar, as `<folder>/<prefix>_<stamp>….<extension>`."""
        metadata = Metadata.now(provenance, 0, hashlib.sha256(body).hexdigest())
        return await self._store(body, metadata, folder, prefix, stamp, extension)

    async def put_raw(self, path: str, body: bytes) -> bool:
        """Put `body`, zstd-compressed, at `path`, which is under `raw/`; False where one is there, which is left."""
        from gridtide.lake.files import encoding

        return await self._create(path, await run_computing(encoding.compress, body), path)

    async def raw(self, path: str) -> bytes:
        """The body that `put_raw` put at `path`."""
        from gridtide.lake.files import encoding

        body = await self._get(path)
        try:
            return await run_computing(encoding.decompress, body)
        except ValueError as error:
            raise _damaged(path, error) from error

    async def put_parts(self, path: str, parts: Iterable[bytes | memoryview]) -> None:
        """Put a file of `parts`, one after the other, at `path`, in the place of what may be there."""
        with translate_errors(path, f"cannot be stored in {self.uri}"):
            await run_blocking(obstore.put, self.store, path, iter(parts))

    async def move(self, path: str, target: str) -> None:
        """Move the file at `path` to `target`, in the place of what may be there."""
        with translate_errors(target, f"cannot be stored in {self.uri}"):
            await run_blocking(obstore.rename, self.store, path, target, overwrite=True)

    async def put(self, path: str, body: bytes, *, replace: bool = False) -> str | None:
        """Put `body` at `path`; a file that is there is an error unless it is to be replaced.

        Returns its tag, as `Object` has it, where it may have replaced something.
        """
        if not replace:
            if not await self._create(path, body, path):
                raise StorageError(path, "is there already", "Remove it, or use another name")
            return None
        with translate_errors(path, f"cannot be stored in {self.uri}"):
            answer = await run_blocking(obstore.put, self.store, path, body)
        return answer["e_tag"]

    async def listing(self, folder: str) -> tuple[list[str], list[str]]:
        """The paths of the folders and those of the files that lie directly in `folder`, both sorted."""
        with translate_errors(folder, f"cannot be listed in {self.uri}"):
            listing = await run_blocking(obstore.list_with_delimiter, self.store, folder)
        return sorted(listing["common_prefixes"]), sorted(file["path"] for file in listing["objects"])

    async def objects(self, folder: str) -> list[Object]:
        """Everything in `folder` and its subfolders, by path."""
        with translate_errors(folder, f"cannot be listed in {self.uri}"):
            listing = await run_blocking(lambda: obstore.list(self.store, folder).collect())
        objects = [Object(one["path"], one["size"], one["last_modified"], one["e_tag"]) for one in listing]
        return sorted(objects, key=lambda one: one.path)

    async def remove(self, paths: Sequence[str]) -> None:
        """Remove the files at `paths`; one that is gone already is fine."""
        with translate_errors(self.uri, "files cannot be removed"), suppress(FileNotFoundError):
            await run_blocking(obstore.delete, self.store, list(paths))

    async def prune(self, folders: Iterable[str]) -> None:
        """Remove those of `folders` that are empty, where the store has such: on this machine.

        One after the other, those within others first, and each once: a writer that makes a folder anew finds the one
        around it.
        """
        if isinstance(self.store, LocalStore) and self.store.prefix:
            root = Path(self.store.prefix)
            with translate_errors(self.uri, "empty folders cannot be removed"):
                await run_blocking(_remove_empty, [root / one for one in sorted(folders, reverse=True)])

    async def files(self, folder: str, prefix: str, *, superseded: bool = False) -> list[File]:
        """The files of `folder` that `file_name` names with `prefix`, by stamp and path, with `superseded` also those
        that count no more.

        Among them are those that were removed after they were compacted (`File.removed`).

        Sidecars, hidden files and those of other prefixes are passed over; names that are no lake
        files are named in one warning, and so are marks of files that are superseded only in the future.
        """
        listing, foreign, early = [], [], []
        now = datetime.now(UTC)
        until: dict[str, datetime] = {}
        listed, removed = await asyncio.gather(self._list(folder), self._removed(folder, prefix))
        for path, size in listed:
            name = path.rpartition("/")[2]
            if name.startswith(".") or name.endswith(SIDECAR):
                continue
            parsed = parse_name(name)
            if parsed is None and (marked := parse_superseded_name(name)):
                of, moment = marked
                if moment > now:
                    early.append(name)
                else:
                    until[of] = min(moment, until.get(of, moment))
            elif parsed is None:
                foreign.append(name)
            elif parsed.prefix == prefix:
                listing.append(File(path, parsed.stamp, parsed.period, parsed.extension, size))
        present = {file.path for file in listing}
        listing += [file for file in removed if file.path not in present]
        if foreign:
            logger.warning("%s/%s: passed over, no names of lake files: %s", self.uri, folder, _listed(foreign))
        if early:
            logger.warning("%s/%s: passed over, their moment is in the future: %s", self.uri, folder, _listed(early))
        if until:
            listing = [replace(one, superseded_at=until.get(one.path.rpartition("/")[2])) for one in listing]
            listing = [one for one in listing if superseded or one.superseded_at is None]
        return sorted(listing, key=lambda file: (file.stamp, file.path))

    async def supersede(self, path: str) -> datetime:
        """Let the file at `path` count no more from now on, as others hold what it should; returns that moment."""
        moment = datetime.now(UTC)
        await self.put(superseded_name(path, moment), b"")
        return moment

    async def exists(self, path: str) -> bool:
        """Whether there is a file at `path`."""
        return await self._size(path) is not None

    async def read(self, path: str) -> bytes:
        """The bytes of the file at `path`."""
        return bytes(await self._get(path))

    async def table(self, path: str) -> pa.Table:
        """The observations in the Parquet or CSV file at `path`, exactly as they were put.

        A file that is damaged, or no longer what its sidecar says, raises `DamagedError`.
        """
        from gridtide.lake.files import encoding

        extension = path.rpartition(".")[2]
        body = await self._get(path)
        try:
            if extension == "csv":  # which has no checksums of its own
                verify_sidecar(await self._sidecar(path), body)
            return await run_computing(encoding.decode_table, extension, body)
        except ValueError as error:
            raise _damaged(path, error) from error

    async def observations(
        self, paths: Sequence[str], *, only_varying: bool = False
    ) -> list[tuple[Metadata, pa.Table]]:
        """What each of the files at `paths`, small ones if there are several, says of itself, and its observations.
        Raises as `table` does.

        With `only_varying`, tables may lack columns that `read_constants` tells.
        """
        if not all(path.endswith(".parquet") for path in paths):
            return [(await self.metadata(path), await self.table(path)) for path in paths]
        decode = partial(self._decoded, only_varying=only_varying)
        if not self._near:
            return await _call_each(decode, paths)
        if len(paths) > 1:  # sharing the interpreter with another thread takes as long, and half as much CPU again
            return decode(paths)
        return await run_decoding(decode, paths)

    async def footer(self, path: str) -> pq.FileMetaData:
        """The footer of the Parquet file at `path`; no more of it is read."""
        try:
            return await run_blocking(self._footer, path)
        except ValueError as error:
            raise _damaged(path, error) from error

    async def metadata(self, path: str) -> Metadata:
        """What the file at `path` says of itself; of a Parquet file only the footer is read."""
        try:
            return await self._metadata(path)
        except ValueError as error:
            raise _damaged(path, error) from error

    async def described(self, paths: Sequence[str]) -> list[Metadata]:
        """`metadata` of each of the files at `paths`."""
        if not all(path.endswith(".parquet") for path in paths):
            return list(await asyncio.gather(*map(self.metadata, paths)))
        return await run_blocking(self._described, paths) if self._near else await _call_each(self._described, paths)

    async def probe(self) -> None:
        """Raises `StorageError` unless the lake can be listed, written and deleted in."""
        path = f".probe-{os.urandom(8).hex()}"
        with translate_errors(self.uri, "cannot be used as a lake"):
            await run_blocking(obstore.list_with_delimiter, self.store)
            await run_blocking(obstore.put, self.store, path, b"", mode="create")
            await run_blocking(obstore.delete, self.store, path)

    async def _store(
        self, body: Any, metadata: Metadata, folder: str, prefix: str, stamp: datetime, extension: str
    ) -> Stored:
        """Put `body` under the first name from `stamp` on that is free, or find it there already."""
        while True:
            path = f"{folder}/{file_name(prefix, stamp, metadata.period, extension)}"
            if await self._claim(path, body, metadata):
                return _stored(path, len(body), metadata, created=True)
            there = await self._find_same(path, metadata.content_hash)
            if there is not None:
                return there
            stamp += timedelta(seconds=1)

    async def _claim(self, path: str, body: Any, metadata: Metadata) -> bool:
        """Put `body` at `path` if that is free. A sidecar goes first: no reader sees a file without it,
        and whoever puts the sidecar owns the name."""
        if not path.endswith(".parquet"):
            if await self.exists(path):
                return False
            sidecar = await run_computing(metadata.sidecar, body)
            if not await self._create(path + SIDECAR, sidecar, metadata.entry):
                return False
        return await self._create(path, body, metadata.entry)

    async def _find_same(self, path: str, content_hash: str) -> Stored | None:
        """The file at `path` if it holds that content."""
        size = await self._size(path)
        if size is None:
            return None
        try:
            there = await self._metadata(path)
        except ValueError as error:
            logger.warning("%s: left as it is, its name is taken by a file that is none of the lake's: %s", path, error)
            return None
        return _stored(path, size, there, created=False) if there.content_hash == content_hash else None

    async def _create(self, path: str, body: Any, subject: str) -> bool:
        """Put `body` at `path` whole or not at all; False where something is there."""
        with translate_errors(subject, f"{path} cannot be stored in {self.uri}"):
            try:
                await run_blocking(obstore.put, self.store, path, body, mode="create")
            except AlreadyExistsError:
                return False
        return True

    async def _get(self, path: str) -> Any:
        """The bytes at `path`, as a buffer."""
        return await run_blocking(self._read_bytes, path)

    def _read_bytes(self, path: str, last: int | None = None) -> Any:
        """The bytes at `path`, of those only the `last`, if given."""
        with translate_errors(path, f"cannot be read from {self.uri}"):
            if self._near:
                return read_local_file(path, self.uri, last)
            options: GetOptions | None = None if last is None else {"range": {"suffix": last}}
            return obstore.get(self.store, path, options=options).bytes()

    async def _size(self, path: str) -> int | None:
        """The size of the file at `path` in bytes, None if there is none."""
        with translate_errors(path, f"cannot be looked for in {self.uri}"):
            try:
                size: int = (await run_blocking(obstore.head, self.store, path))["size"]
            except FileNotFoundError:
                return None
        return size

    async def _list(self, folder: str) -> list[tuple[str, int]]:
        """Path and size of the files in `folder`, not of those in its subfolders."""
        with translate_errors(folder, f"cannot be listed in {self.uri}"):
            listing = await run_blocking(obstore.list_with_delimiter, self.store, folder)
        return [(file["path"], file["size"]) for file in listing["objects"]]

    async def _removed(self, folder: str, prefix: str) -> list[File]:
        """The files of `folder` with `prefix` that were removed after they were compacted."""
        processed = f"{PROCESSED}/{folder}/{prefix}"
        lists = [path for path, _ in await self._list(processed) if is_removed_name(path.rpartition("/")[2])]
        files: dict[str, File] = {}
        for path, body in zip(lists, await asyncio.gather(*map(self.read, lists)), strict=True):
            try:
                files |= {file.path: file for file in decode_removed(body)}
            except ValueError as error:
                fix = "Put it back from a backup: it says which files the months stand for"
                raise DamagedError(path, f"is damaged: {error}", fix) from error
        return list(files.values())

    async def _metadata(self, path: str) -> Metadata:
        """As `metadata`, but raises `ValueError` where the file is there and says nothing of the kind."""
        if not path.endswith(".parquet"):
            return Metadata.from_sidecar(await self._sidecar(path))
        return _parse_footer(await run_blocking(self._footer, path))

    def _decoded(self, paths: Sequence[str], *, only_varying: bool) -> list[tuple[Metadata, pa.Table]]:
        """As `observations`, of Parquet files."""
        from gridtide.lake.files import encoding

        files = _apply_step(encoding.open_sound, paths, list(map(self._read_bytes, paths)))
        tables = _apply_step(partial(encoding.decode_rows, only_varying=only_varying), paths, files)
        return list(zip(_apply_step(_parse_footer, paths, [file.metadata for file in files]), tables, strict=True))

    def _described(self, paths: Sequence[str]) -> list[Metadata]:
        """As `described`, of Parquet files."""
        return _apply_step(_parse_footer, paths, _apply_step(self._footer, paths, paths))

    def _footer(self, path: str) -> pq.FileMetaData:
        """As `footer`, but raises `ValueError` where there is none."""
        from gridtide.lake.files import encoding

        tail = self._read_bytes(path, FOOTER_BYTES)
        size = encoding.footer_size(tail)
        if size > len(tail):
            tail = self._read_bytes(path, size)
        return encoding.decode_footer(tail)

    async def _sidecar(self, path: str) -> bytes:
        if not await self.exists(path + SIDECAR):
            raise ValueError("it has no sidecar")
        return await self.read(path + SIDECAR)


async def _call_each(call: Callable[[Sequence[str]], list[T]], paths: Sequence[str]) -> list[T]:
    """What `call` makes of the files at `paths`, each by itself, as their store answers many at once."""
    return list(chain.from_iterable(await asyncio.gather(*(run_blocking(call, [path]) for path in paths))))


def read_local_file(path: str, folder: str, last: int | None) -> bytes:
    """The bytes of the file at `path` in `folder` of this machine, of those only the `last`, if given.

    The store has a thread of its own read each file, which takes up to ten times as long.
    """
    with open(f"{folder}/{path}", "rb", buffering=0) as file:  # noqa: PTH123  # a `Path` takes as long as the reading
        if last is not None:
            file.seek(-min(last, file.seek(0, os.SEEK_END)), os.SEEK_END)
        return file.read()


def _stored(path: str, size: int, metadata: Metadata, *, created: bool) -> Stored:
    return Stored(path, metadata.rows, size, metadata.content_hash, metadata.stored_at, created)


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise


def _apply_step(step: Callable[[S], T], paths: Iterable[str], items: Iterable[S]) -> list[T]:
    """What `step` makes of each of `items`, which are of the files at `paths`; the first that is damaged is named.

    Of many files each step is taken with all of them in turn: one whole file after the other takes a fifth longer,
    as each step then finds its code gone from the processor's cache.
    """
    results = []
    for path, item in zip(paths, items, strict=True):
        try:
            results.append(step(item))
        except ValueError as error:
            raise _damaged(path, error) from error
    return results


def _parse_footer(footer: pq.FileMetaData) -> Metadata:
    return Metadata.from_footer(footer.metadata or {})


def _damaged(path: str, error: ValueError) -> DamagedError:
    return DamagedError(path, f"is damaged: {error}", "Move it out of the lake and collect its period again")


def _listed(names: list[str]) -> str:
    first_names = ", ".join(sorted(names)[:5])
    return f"{first_names} and {len(names) - 5} more" if len(names) > 5 else first_names
