"""The lake: files of observations in a store, written under their names and read back."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, TypeVar

from gridtide.entries.lake_address import resolve_lake_address
from gridtide.errors import ConfigurationError, DamagedError, list_first
from gridtide.lake.connect import connect_store
from gridtide.lake.files.metadata import Metadata, Provenance, verify_sidecar
from gridtide.lake.names import (
    EXTENSIONS,
    PROCESSED,
    REJECTED,
    SIDECAR,
    File,
    file_name,
    parse_name,
    parse_superseded_name,
    superseded_name,
)
from gridtide.lake.removed import decode_removed, is_removed_name
from gridtide.lake.store import ByteStore
from gridtide.threads import run_blocking, run_computing, run_decoding

if TYPE_CHECKING:
    import boto3
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gridtide.lake.files.draft import Draft

logger = logging.getLogger("gridtide.lake")

S = TypeVar("S")
T = TypeVar("T")

NAMES_LISTED = 5
"""The number of names that a warning lists."""

FOOTER_BYTES = 1 << 14
"""The number of bytes first read from the end of a file; the footer of a file with few row groups is smaller."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file in the lake; `path` is relative to the lake.

    `is_new` is False if the same content was stored before; `stored_at` is then the time of that.
    """

    path: str
    rows: int
    bytes: int
    content_hash: str
    stored_at: datetime
    is_new: bool


class Lake:
    """Files of observations in one folder, bucket or prefix. Files of any other content are read and written through
    `store`. Paths are relative to `uri`, with `/` between their parts.

    Every method raises `StorageError` with the reason if the lake cannot be read or written, and `DamagedError` if a
    file is not as it was stored.
    """

    def __init__(self, store: ByteStore) -> None:
        self.store = store
        self.uri = store.uri

    def __repr__(self) -> str:
        return f"Lake({self.uri!r})"

    @classmethod
    def open(
        cls, uri: str, credentials: boto3.Session | None = None, endpoint_url: str | None = None, *, make: bool = True
    ) -> Lake:
        """Opens the lake at `uri`: a folder, `file://`, `s3://bucket/prefix`, `gs://`, `az://` or `memory://`.

        A folder that does not exist is made; without `make`, for commands that only read, it is an empty lake.

        For S3, `credentials` is a boto3 session (default: the AWS chain, with AWS_PROFILE and AWS_REGION), which is
        asked again before its credentials expire; `endpoint_url` overrides AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL and
        the profile's. No request to S3 is made yet. Raises `ConfigurationError` for an invalid address,
        `CredentialsError` if there are no credentials.
        """
        try:
            uri = resolve_lake_address(uri)
        except ValueError as error:
            raise ConfigurationError("the lake", f"its address {error}") from None
        return cls(connect_store(uri, credentials, endpoint_url, make=make))

    async def put_draft(self, draft: Draft, folder: str, prefix: str, stamp: datetime) -> Stored:
        """Stores the observations of `draft` as `<folder>/<prefix>_<stamp>…`; the package's docstring states the
        contract."""
        body, metadata = await run_computing(draft.finish)
        return await self._put_under_free_name(body, metadata, folder, prefix, stamp, EXTENSIONS[draft.format])

    async def put_body(
        self, body: bytes, folder: str, prefix: str, stamp: datetime, provenance: Provenance, extension: str
    ) -> Stored:
        """Stores `body` unchanged, with a sidecar, as `<folder>/<prefix>_<stamp>….<extension>`."""
        metadata = Metadata.now(provenance, 0, hashlib.sha256(body).hexdigest())
        return await self._put_under_free_name(body, metadata, folder, prefix, stamp, extension)

    async def put_rejected(self, body: bytes, metadata: Metadata, folder: str, prefix: str, stamp: datetime) -> Stored:
        """Stores rejected rows, as `files.rejected` encodes them, as `rejected/<folder>/<prefix>_<stamp>….parquet`."""
        return await self._put_under_free_name(body, metadata, f"{REJECTED}/{folder}", prefix, stamp, "parquet")

    async def put_raw(self, path: str, *parts: bytes | IO[bytes]) -> bool:
        """Stores `parts`, bytes or files at their start, one after another and zstd-compressed, at `path`, which is
        under `raw/`. Returns False if a file exists there; it is kept."""
        from gridtide.lake.files import encoding

        return await self.store.create(path, await run_computing(encoding.compress_body, *parts), path)

    async def read_raw(self, path: str) -> bytes:
        """Returns the body that `put_raw` stored at `path`."""
        from gridtide.lake.files import encoding

        body = await self.store.read_buffer(path)
        try:
            return await run_computing(encoding.decompress_body, body)
        except ValueError as error:
            raise _damaged_error(path, error) from error

    async def list_files(self, folder: str, prefix: str, *, superseded: bool = False) -> list[File]:
        """Lists the files of `folder` whose names have `prefix`, by stamp and path; with `superseded` also those that
        other files have superseded.

        The list includes files that were removed after they were compacted (`File.removed`).

        Sidecars, hidden files and files of other prefixes are ignored. One warning lists names that are not those of
        lake files, another lists superseding marks dated in the future.
        """
        listing, foreign_names, future_marks = [], [], []
        now = datetime.now(UTC)
        superseded_moments: dict[str, datetime] = {}
        (_, objects), removed = await asyncio.gather(self.store.list_folder(folder), self._read_removed(folder, prefix))
        for listed_file in objects:
            name = listed_file.path.rpartition("/")[2]
            if name.startswith(".") or name.endswith(SIDECAR):
                continue
            file_of_name = parse_name(name)
            if file_of_name is None and (superseded_mark := parse_superseded_name(name)):
                original, moment = superseded_mark
                if moment > now:
                    future_marks.append(name)
                else:
                    superseded_moments[original] = min(moment, superseded_moments.get(original, moment))
            elif file_of_name is None:
                foreign_names.append(name)
            elif file_of_name.prefix == prefix:
                listing.append(
                    File(
                        listed_file.path,
                        file_of_name.stamp,
                        file_of_name.period,
                        file_of_name.extension,
                        listed_file.size,
                        tag=listed_file.e_tag,
                    )
                )
        # A pruning that was killed leaves files that its record lists as removed; those that are present count as such.
        present = {file.path for file in listing}
        listing += [file for file in removed if file.path not in present]
        if foreign_names:
            names = list_first(sorted(foreign_names), NAMES_LISTED)
            logger.warning("%s/%s: passed over, no names of lake files: %s", self.uri, folder, names)
        if future_marks:
            names = list_first(sorted(future_marks), NAMES_LISTED)
            logger.warning("%s/%s: passed over, their moment is in the future: %s", self.uri, folder, names)
        if superseded_moments:
            listing = [
                replace(file, superseded_at=superseded_moments.get(file.path.rpartition("/")[2])) for file in listing
            ]
            listing = [file for file in listing if superseded or file.superseded_at is None]
        return sorted(listing, key=lambda file: (file.stamp, file.path))

    async def supersede(self, path: str) -> datetime:
        """Marks the file at `path` as superseded by other files from now on; returns the time of the mark."""
        moment = datetime.now(UTC)
        await self.store.put(superseded_name(path, moment), b"")
        return moment

    async def read_table(self, path: str) -> pa.Table:
        """Reads the observations of the Parquet or CSV file at `path`, exactly as they were stored.

        Raises `DamagedError` for a file that is damaged or does not match its sidecar.
        """
        from gridtide.lake.files import encoding

        extension = path.rpartition(".")[2]
        body = await self.store.read_buffer(path)
        try:
            if extension == "csv":  # CSV has no checksums of its own
                verify_sidecar(await self._read_sidecar(path), body)
            return await run_computing(encoding.decode_table, extension, body)
        except ValueError as error:
            raise _damaged_error(path, error) from error

    async def read_observations(
        self, paths: Sequence[str], *, only_varying: bool = False
    ) -> list[tuple[Metadata, pa.Table]]:
        """Reads the metadata and the observations of the files at `paths`; several files should be small ones.

        Raises as `read_table` does. With `only_varying`, tables may lack their constant columns (`ConstantColumns`).
        """
        if not all(path.endswith(".parquet") for path in paths):
            return [(await self.read_metadata(path), await self.read_table(path)) for path in paths]
        decode = partial(self._decode_files, only_varying=only_varying)
        if not self.store.is_local:
            return await _call_each(decode, paths)
        if len(paths) > 1:  # a second thread would take as long, and half as much CPU again
            return decode(paths)
        return await run_decoding(decode, paths)

    async def read_footer(self, path: str) -> pq.FileMetaData:
        """Reads the footer of the Parquet file at `path`, and nothing else of it."""
        try:
            return await run_blocking(self._read_footer, path)
        except ValueError as error:
            raise _damaged_error(path, error) from error

    async def read_metadata(self, path: str) -> Metadata:
        """Reads the metadata of the file at `path`; of a Parquet file only the footer is read."""
        try:
            return await self._read_metadata(path)
        except ValueError as error:
            raise _damaged_error(path, error) from error

    async def read_metadata_of(self, paths: Sequence[str]) -> list[Metadata]:
        """Reads the metadata of each of the files at `paths`."""
        if not all(path.endswith(".parquet") for path in paths):
            return list(await asyncio.gather(*map(self.read_metadata, paths)))
        return (
            await run_blocking(self._read_footers, paths)
            if self.store.is_local
            else await _call_each(self._read_footers, paths)
        )

    async def _put_under_free_name(
        self, body: Any, metadata: Metadata, folder: str, prefix: str, stamp: datetime, extension: str
    ) -> Stored:
        """Stores `body` under the first free name from `stamp` on, unless an occupied name has the same content."""
        while True:
            path = f"{folder}/{file_name(prefix, stamp, metadata.period, extension)}"
            if await self._claim_name(path, body, metadata):
                return _describe_stored(path, len(body), metadata, is_new=True)
            present = await self._find_same(path, metadata)
            if present is not None:
                return present
            stamp += timedelta(seconds=1)

    async def _claim_name(self, path: str, body: Any, metadata: Metadata) -> bool:
        """Stores `body` at `path` if that is free; returns False if it is not.

        The sidecar is stored first: no reader sees a file without it, and the writer that stored the sidecar owns the
        name.
        """
        if not path.endswith(".parquet"):
            if await self.store.exists(path):
                return False
            sidecar = await run_computing(metadata.as_sidecar, body)
            if not await self.store.create(path + SIDECAR, sidecar, metadata.entry):
                return False
        return await self.store.create(path, body, metadata.entry)

    async def _find_same(self, path: str, metadata: Metadata) -> Stored | None:
        """Returns the file at `path` if it has that content, else None.

        A file that does not state what was requested may answer any request.
        """
        file_size = await self.store.find_size(path)
        if file_size is None:
            return None
        try:
            present = await self._read_metadata(path)
        except ValueError as error:
            logger.warning("%s: left as it is, its name is taken by a file that is none of the lake's: %s", path, error)
            return None
        if present.content_hash != metadata.content_hash or present.scope not in ("", metadata.scope):
            return None
        return _describe_stored(path, file_size, present, is_new=False)

    async def _read_removed(self, folder: str, prefix: str) -> list[File]:
        """Returns the files of `folder` with `prefix` that were removed after they were compacted."""
        _, processed = await self.store.list_folder(f"{PROCESSED}/{folder}/{prefix}")
        record_paths = [file.path for file in processed if is_removed_name(file.path.rpartition("/")[2])]
        files: dict[str, File] = {}
        for path, body in zip(record_paths, await asyncio.gather(*map(self.store.read, record_paths)), strict=True):
            try:
                files |= {file.path: file for file in decode_removed(body)}
            except ValueError as error:
                fix = "Restore it from a backup: it lists the files that the months replace"
                raise DamagedError(path, f"is damaged: {error}", fix) from error
        return list(files.values())

    async def _read_metadata(self, path: str) -> Metadata:
        """As `read_metadata`, but raises `ValueError` for a file without the metadata of a lake file."""
        if not path.endswith(".parquet"):
            return Metadata.from_sidecar(await self._read_sidecar(path))
        return _parse_footer(await run_blocking(self._read_footer, path))

    def _decode_files(self, paths: Sequence[str], *, only_varying: bool) -> list[tuple[Metadata, pa.Table]]:
        """As `read_observations`, for Parquet files."""
        from gridtide.lake.files import encoding

        files = _apply_step(encoding.open_sound, paths, list(map(self.store.read_blocking, paths)))
        tables = _apply_step(partial(encoding.decode_rows, only_varying=only_varying), paths, files)
        return list(zip(_apply_step(_parse_footer, paths, [file.metadata for file in files]), tables, strict=True))

    def _read_footers(self, paths: Sequence[str]) -> list[Metadata]:
        """As `read_metadata_of`, for Parquet files."""
        return _apply_step(_parse_footer, paths, _apply_step(self._read_footer, paths, paths))

    def _read_footer(self, path: str) -> pq.FileMetaData:
        """As `read_footer`, but blocking; raises `ValueError` for a file without a footer."""
        from gridtide.lake.files import encoding

        footer_bytes = self.store.read_blocking(path, FOOTER_BYTES)
        # The end of a Parquet file states how long its footer is; mostly the first read has all of it.
        footer_length = encoding.footer_size(footer_bytes)
        if footer_length > len(footer_bytes):
            footer_bytes = self.store.read_blocking(path, footer_length)
        return encoding.decode_footer(footer_bytes)

    async def _read_sidecar(self, path: str) -> bytes:
        if not await self.store.exists(path + SIDECAR):
            raise ValueError("it has no sidecar")
        return await self.store.read(path + SIDECAR)


async def _call_each(call: Callable[[Sequence[str]], list[T]], paths: Sequence[str]) -> list[T]:
    """Calls `call` once per file, concurrently, and returns all results: the store answers many requests at once."""
    return list(chain.from_iterable(await asyncio.gather(*(run_blocking(call, [path]) for path in paths))))


def _describe_stored(path: str, size: int, metadata: Metadata, *, is_new: bool) -> Stored:
    return Stored(path, metadata.rows, size, metadata.content_hash, metadata.stored_at, is_new)


def _apply_step(step: Callable[[S], T], paths: Iterable[str], items: Iterable[S]) -> list[T]:
    """Returns the results of `step` for `items`, which belong to the files at `paths`; an error names the first damaged
    file.

    Each step runs over all files before the next step starts: running all steps file by file takes a fifth longer,
    because the code of each step then leaves the processor's cache.
    """
    results = []
    for path, step_item in zip(paths, items, strict=True):
        try:
            results.append(step(step_item))
        except ValueError as error:
            raise _damaged_error(path, error) from error
    return results


def _parse_footer(footer: pq.FileMetaData) -> Metadata:
    return Metadata.from_footer(footer.metadata or {})


def _damaged_error(path: str, error: ValueError) -> DamagedError:
    return DamagedError(path, f"is damaged: {error}", "Move it out of the lake and collect its period again")
