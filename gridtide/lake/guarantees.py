"""Tests whether a store does what a lake relies on: above all, that it never replaces a file that it was asked to
create.

Files are stored exactly once because a store refuses to create a file whose name is taken. Some stores ignore that
condition (`If-None-Match: *` in S3's protocol) and replace the file in silence.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError

from gridtide.errors import StorageError
from gridtide.lake.listings import ListFolder, list_store
from gridtide.lake.store_errors import describe_cause

if TYPE_CHECKING:
    from obstore.store import ObjectStore

logger = logging.getLogger("gridtide.lake")

MULTIPART_BYTES = 5 << 20
"""The size above which obstore stores a file in several parts, each of this size but the last."""

REPLACED = (
    "replaces a file that it was asked to create only if there is none (If-None-Match: *), so files would be lost"
)

ANOTHER_STORE = (
    "Use a store that keeps this promise, such as Amazon S3, MinIO, Cloudflare R2 or OpenStack Swift, "
    "or a newer version of this one"
)

_CREATE_ONLY_NAME = ".create-only"
"""Hidden, so that readers of the lake ignore it; the same for all processes, so that an interrupted one leaves at most
one such file in a folder, which answers the next process with a single request."""

_HTTP_FAILURE = "Error performing"
"""Part of the errors of requests that were refused or not answered, which tell nothing of what the store can do."""

_verified: dict[str, Future[None]] = {}
_verified_lock = threading.Lock()


def verify_once(store_name: str, verify: Callable[[], None]) -> None:
    """Calls `verify` unless it has returned for the store of this name in this process.

    Threads that need it at the same time share one call, and its error. After an error it is called again next time.
    """
    with _verified_lock:
        waiting = _verified.get(store_name)
        verification = _verified.setdefault(store_name, Future())
    if waiting is None:
        try:
            verify()
        except BaseException as error:
            del _verified[store_name]
            verification.set_exception(error)
        else:
            verification.set_result(None)
    verification.result()


def verify_create_only(client: ObjectStore, store_name: str, folder: str) -> None:
    """Raises `StorageError` if the store replaces a file that it was asked to create.

    Takes three small requests, or one where an interrupted process has left its file in `folder`.
    """
    path = f"{folder}/{_CREATE_ONLY_NAME}".removeprefix("/")
    if not create_file(client, path, b""):
        return
    replaced = create_file(client, path, b"")
    try:
        obstore.delete(client, path)
    except (BaseError, FileNotFoundError) as error:  # credentials may not allow it; it does no harm
        logger.warning("%s: the empty file %s could not be deleted: %s", store_name, path, describe_cause(error))
    if replaced:
        raise StorageError(store_name, REPLACED, ANOTHER_STORE)


def create_file(client: ObjectStore, path: str, body: Any) -> bool:
    """Stores `body` at `path` if there is no file; returns False, as the store says, if there is one."""
    try:
        obstore.put(client, path, body, mode="create")
    except AlreadyExistsError:
        return False
    return True


def probe_store(client: ObjectStore, store_name: str, list_pages: ListFolder | None) -> str:
    """Raises `StorageError` unless the store creates, replaces, reads, lists and deletes files as a lake needs it.

    `list_pages` lists a folder with a single name in each answer, if the store can be asked so. About 5 MB are stored,
    because larger files go to the store in parts. Returns the folder of the files, which are deleted.
    """
    folder = f".probe-{os.urandom(8).hex()}"
    paths = [f"{folder}/first", f"{folder}/second", f"{folder}/inner/third"]
    probes = (
        partial(_probe_creation, client, paths[0]),
        partial(_probe_parts, client, paths[0]),
        partial(_probe_listings, client, folder, paths, list_pages),
    )
    try:
        failure = next(filter(None, (probe() for probe in probes)), "")
    except BaseException:
        with suppress(BaseError, OSError):  # the first error tells more
            _delete_files(client, paths)
        raise
    _delete_files(client, paths)
    if not failure and (remaining := list_store(client, folder, recursive=True).objects):
        failure = f"still lists {len(remaining)} of {len(paths)} files after they were deleted"
    if failure:
        raise StorageError(store_name, failure, ANOTHER_STORE)
    return folder


def _probe_creation(client: ObjectStore, path: str) -> str:
    """Creates a small file at `path`, twice; returns what the store does wrong, empty if nothing."""
    if not create_file(client, path, b"first"):
        return "states that a file exists that was never stored"
    if create_file(client, path, b"other") or bytes(obstore.get(client, path).bytes()) != b"first":
        return REPLACED
    return ""


def _probe_parts(client: ObjectStore, path: str) -> str:
    """Replaces the file at `path` by one of two parts, and creates it again; returns what the store does wrong, empty
    if nothing."""
    body = os.urandom(MULTIPART_BYTES + 1024)
    obstore.put(client, path, iter([body]))
    if obstore.head(client, path)["size"] != len(body):
        return "states another size than that of a file that was stored in two parts"
    if failure := _probe_ranges(client, path, body):
        return failure
    if create_file(client, path, b"other") or _probe_ranges(client, path, body):
        return REPLACED
    return ""


def _probe_ranges(client: ObjectStore, path: str, body: bytes) -> str:
    """Reads two ranges of the file at `path`, which is `body`; returns what the store does wrong, empty if nothing."""
    start, end = MULTIPART_BYTES - 512, MULTIPART_BYTES + 512
    try:
        between = bytes(obstore.get_range(client, path, start=start, end=end))
        last = bytes(obstore.get(client, path, options={"range": {"suffix": 2048}}).bytes())
    except GenericError as error:
        if _HTTP_FAILURE in str(error):
            raise
        return f"does not return the requested range of a file: {describe_cause(error)}"
    if (between, last) != (body[start:end], body[-2048:]):
        return "returns other bytes than those of the requested range"
    return ""


def _probe_listings(client: ObjectStore, folder: str, paths: Sequence[str], list_pages: ListFolder | None) -> str:
    """Creates the other `paths` and lists the `folder`; returns what the store does wrong, empty if nothing."""
    for path in paths[1:]:
        create_file(client, path, b"other")
    if failure := _compare_listing(partial(list_store, client), folder, paths):
        return failure
    try:
        return _compare_listing(list_pages, folder, paths) if list_pages else ""
    except OSError as error:
        return f"does not list a folder in several answers: {describe_cause(error)}"


def _compare_listing(list_folder: ListFolder, folder: str, paths: Sequence[str]) -> str:
    """Returns what is wrong with the listing of `folder`, whose files are `paths`, the last one in an inner folder."""
    content = list_folder(folder, False)
    direct_files, inner_folder = list(paths[:-1]), paths[-1].rpartition("/")[0]
    if [file.path for file in content.objects] != direct_files or content.folders != [inner_folder]:
        return "does not list the files that were just stored, and their folder, each once"
    if [file.path for file in list_folder(folder, True).objects] != sorted(paths):
        return "does not list all the files that were just stored in a folder and below it, each once"
    return ""


def _delete_files(client: ObjectStore, paths: Sequence[str]) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            obstore.delete(client, path)
