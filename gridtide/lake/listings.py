"""Lists the content of a store, including names that the store library refuses, which make its own listing fail as a
whole.

Such names contain control characters, bytes that are not UTF-8, or parts that are empty, `.` or `..`. No file of a lake
has such a name; they are ignored and named in a warning.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import obstore

from gridtide.periods import EPOCH

if TYPE_CHECKING:
    from obstore.store import ObjectStore

REFUSED = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters, and the characters that stand for bytes that are not UTF-8."""

LISTED_AT_ONCE = 1000
"""The most names in an answer of S3."""

PASSING = (errno.ENOENT, errno.ELOOP)
"""Errors of a missing file, of a broken link, and of a link to itself."""


@dataclass(frozen=True, slots=True)
class Object:
    """What a store knows of the file at `path` without opening it; `e_tag` changes with the content."""

    path: str
    size: int
    last_modified: datetime
    e_tag: str | None


@dataclass
class FolderContent:
    """The paths of the folders and the files in a folder; `refusals` are the names that were ignored."""

    folders: list[str] = field(default_factory=list)
    objects: list[Object] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def sort(self) -> FolderContent:
        """Returns the content with folders and files sorted by path."""
        return FolderContent(
            sorted(self.folders), sorted(self.objects, key=lambda file: file.path), sorted(self.refusals)
        )


ListFolder = Callable[[str, bool], FolderContent]
"""Lists a folder, "" for the whole store, with its subfolders if requested; ignores refused names."""


def is_readable(path: str) -> bool:
    r"""Whether the store library can read the file at `path`.

    >>> is_readable("eia/ü [1].csv"), is_readable("eia/a\nb.csv"), is_readable("eia//a.csv")
    (True, False, False)
    """
    return not REFUSED.search(path) and {"", ".", ".."}.isdisjoint(path.split("/"))


def list_store(client: ObjectStore, folder: str, recursive: bool) -> FolderContent:
    """Lists `folder` by the store library; raises its errors, such as `InvalidPathError` for a name that it refuses."""
    prefix = folder or None
    if recursive:
        folders, files = [], obstore.list(client, prefix).collect()
    else:
        content = obstore.list_with_delimiter(client, prefix)
        folders, files = list(content["common_prefixes"]), content["objects"]
    objects = [Object(file["path"], file["size"], file["last_modified"], file["e_tag"]) for file in files]
    return FolderContent(folders, objects).sort()


def list_store_range(client: ObjectStore, folder: str, start: str, end: str) -> list[Object]:
    """Lists the files below `folder` of a store that lists in the order of paths, from just after the path `start`
    below `folder` until just before `end`; later ones are not requested. Raises the errors of the store library."""
    objects = []
    for chunk in obstore.list(client, folder, offset=f"{folder}/{start}", chunk_size=LISTED_AT_ONCE):
        objects += [
            Object(file["path"], file["size"], file["last_modified"], file["e_tag"])
            for file in chunk
            if file["path"] < f"{folder}/{end}"
        ]
        if chunk and chunk[-1]["path"] >= f"{folder}/{end}":
            break
    return objects


def list_local_folder(root: str, folder: str, recursive: bool) -> FolderContent:
    """Lists `folder` of the store with files in the local folder `root`, in the same way as the store library.

    Raises `OSError` for anything that cannot be read.
    """
    listing = FolderContent()
    _scan_folder(root, folder, recursive, listing, ())
    return listing.sort()


def _scan_folder(root: str, folder: str, recursive: bool, listing: FolderContent, above: tuple[int, ...]) -> None:
    """Adds the content of `folder` to `listing`; `above` are the inodes of its parent folders."""
    for name in _list_names(os.path.join(root, folder)):  # noqa: PTH118  # names may be no text
        path = f"{folder}/{name}" if folder else name
        try:
            status = os.stat(os.path.join(root, path))  # noqa: PTH116, PTH118
        except OSError as error:
            if error.errno not in PASSING:
                raise
            if error.errno == errno.ELOOP:
                listing.refusals.append(path)
            continue
        if not is_readable(path) or status.st_ino in above:
            listing.refusals.append(path)
        elif stat.S_ISDIR(status.st_mode) and recursive:
            _scan_folder(root, path, recursive, listing, (*above, status.st_ino))
        elif stat.S_ISDIR(status.st_mode):
            listing.folders.append(path)
        elif stat.S_ISREG(status.st_mode) and not _is_staged(name):
            listing.objects.append(_describe_file(path, status))


def _list_names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except FileNotFoundError:
        return []


def _is_staged(name: str) -> bool:
    """Whether `name` is the name of a file that the store library is still writing."""
    return name.rpartition("#")[2].isdigit() and "#" in name


def _describe_file(path: str, status: os.stat_result) -> Object:
    modified = status.st_mtime_ns // 1000  # in whole microseconds: a float would round some of them
    tag = f'"{status.st_ino:x}-{modified:x}-{status.st_size:x}"'  # as the store library makes it
    return Object(path, status.st_size, EPOCH + timedelta(microseconds=modified), tag)


def list_bucket(
    client: Any, bucket: str, prefix: str, folder: str, recursive: bool, page_names: int | None = None
) -> FolderContent:
    """Lists `folder` below `prefix` of `bucket` with the boto3 `client`, with at most `page_names` in each answer;
    raises `OSError` if S3 does not answer."""
    root = f"{prefix}/" if prefix else ""
    listing = FolderContent()
    for page in _list_pages(client, bucket, f"{root}{folder}/" if folder else root, recursive, page_names):
        for item in page.get("CommonPrefixes", []):
            path = item["Prefix"].removeprefix(root)[:-1]
            (listing.folders if is_readable(path) else listing.refusals).append(path)
        for item in page.get("Contents", []):
            path = item["Key"].removeprefix(root)
            if is_readable(path):
                listing.objects.append(Object(path, item["Size"], item["LastModified"], item["ETag"]))
            elif not _marks_folder(path):
                listing.refusals.append(path)
    return listing.sort()


def _marks_folder(path: str) -> bool:
    """Whether `path` is that of an empty object that stands for a folder, such as `eia/`."""
    return not path or (path.endswith("/") and is_readable(path[:-1]))


def _list_pages(
    client: Any, bucket: str, prefix: str, recursive: bool, page_names: int | None
) -> Iterator[dict[str, Any]]:
    from botocore.exceptions import BotoCoreError, ClientError

    options: dict[str, Any] = {} if recursive else {"Delimiter": "/"}
    if page_names is not None:
        options["PaginationConfig"] = {"PageSize": page_names}
    try:
        yield from client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **options)
    except (BotoCoreError, ClientError) as error:
        raise OSError(str(error)) from None
